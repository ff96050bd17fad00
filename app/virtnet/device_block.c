/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* State blocks of devices: sections, identity, and the checks before one is believed. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "device_adopt.h"
#include "device_block.h"
#include "device_dma.h"
#include "device_layout.h"
#include "pci/pci.h"
#include "state/mailbox.h"
#include "topology.h"
#include "virtio/features.h"
#include "virtio/virtio_net_ctrl.h"
#include "virtio/virtio_pci.h"

#define QUEUE_SIZE_MIN 4u
#define QUEUE_SIZE_MAX 32768u
/* What the driver could have written before this program had a device that it can be compared to.
 */
#define STATUS_BITS                                                                                \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_NEEDS_RESET |                        \
		VIRTIO_CONFIG_S_FAILED)

/* ---- identity ---- */

static void
ident_fill(const struct device *dev, struct device_ident *id)
{
	const struct device_conf *conf = &dev->conf;
	const struct config *cfg = &dev->ctl->cfg;

	memset(id, 0, sizeof(*id));
	snprintf(id->vuid, sizeof(id->vuid), "%s", dev->vuid);
	snprintf(id->plug_id, sizeof(id->plug_id), "%s", dev->plug_id);
	snprintf(id->socket, sizeof(id->socket), "%s", dev->socket);
	if (conf->host < cfg->n_hosts)
		snprintf(id->host, sizeof(id->host), "%s", cfg->host[conf->host].name);
	if (conf->port != NULL)
		snprintf(id->port, sizeof(id->port), "%s", conf->port->name);
	id->sf_num = conf->sf_num;
	id->features = conf->features;
	id->pf_id = dev->pf_id;
	id->mtu = conf->mtu;
	id->max_pairs = conf->max_pairs;
	id->max_queue_size = conf->max_queue_size;
	id->num_msix = conf->num_msix;
	id->slot = dev->slot;
	id->intx_only = conf->intx_only;
	snprintf(id->transport, sizeof(id->transport), "%s", dev->emu_ops->name);
	memcpy(id->mac, &conf->mac, sizeof(id->mac));
	id->checksum = device_ident_sum(id);
}

static bool
terminated(const char *text, size_t len)
{
	return memchr(text, '\0', len) != NULL;
}

static bool
ident_ok(const struct device_ident *id)
{
	return device_ident_intact(id) && terminated(id->vuid, sizeof(id->vuid)) &&
	       terminated(id->plug_id, sizeof(id->plug_id)) &&
	       terminated(id->socket, sizeof(id->socket)) &&
	       terminated(id->host, sizeof(id->host)) && terminated(id->port, sizeof(id->port)) &&
	       terminated(id->transport, sizeof(id->transport)) && id->vuid[0] != '\0' &&
	       id->max_pairs >= 1 && id->max_pairs <= SF_MAX_PAIRS &&
	       id->max_queue_size >= QUEUE_SIZE_MIN && id->max_queue_size <= QUEUE_SIZE_MAX &&
	       rte_is_power_of_2(id->max_queue_size) && id->num_msix <= PCI_MSIX_MAX &&
	       (id->num_msix == 0) == (id->intx_only != 0);
}

/*
 * Whoever wrote no name knew one transport only. The keeper, which holds the door, has the last
 * word.
 */
static const struct emu_ops *
transport_find(const struct device *dev, const char *name)
{
	const struct emu_ops *ops = emu_driver_find(name[0] != '\0' ? name : "vfio_user");

	return ops != NULL ? ops : dev->ctl->emu_ops;
}

/* A setting that has gone from the configuration must not cost the device. */
static void
ident_use(struct device *dev, const struct device_ident *id)
{
	const struct config *cfg = &dev->ctl->cfg;
	struct device_conf *conf = &dev->conf;

	conf->port = config_find_port(cfg, id->port);
	if (conf->port == NULL)
		conf->port = &cfg->port[0];
	conf->host = 0;
	for (unsigned int i = 0; i < cfg->n_hosts; i++)
		if (strcmp(cfg->host[i].name, id->host) == 0)
			conf->host = i;
	memcpy(&conf->mac, id->mac, sizeof(conf->mac));
	conf->mtu = id->mtu;
	conf->max_pairs = id->max_pairs;
	conf->max_queue_size = id->max_queue_size;
	conf->num_msix = id->num_msix;
	conf->sf_num = id->sf_num;
	conf->features = id->features;
	conf->intx_only = id->intx_only;
	dev->emu_ops = transport_find(dev, id->transport);
	snprintf(conf->transport, sizeof(conf->transport), "%s", dev->emu_ops->name);
	dev->pf_id = id->pf_id;
	dev->slot = id->slot;
	snprintf(dev->vuid, sizeof(dev->vuid), "%s", id->vuid);
	snprintf(dev->plug_id, sizeof(dev->plug_id), "%s", id->plug_id);
	snprintf(dev->socket, sizeof(dev->socket), "%s", id->socket);
}

/*
 * The keeper knows the name, the socket and no more. What was asked for at hotplug is lost; numbers
 * that are derived from the switch port are most likely right.
 */
static void
ident_make_up(struct device *dev, const struct ha_open *open)
{
	const char *port = strstr(open->vuid, "VNETS");
	const struct config *cfg = &dev->ctl->cfg;
	struct device_conf *conf = &dev->conf;

	snprintf(dev->vuid, sizeof(dev->vuid), "%s", open->vuid);
	snprintf(dev->plug_id, sizeof(dev->plug_id), "virtnet-%s", dev->vuid);
	snprintf(dev->socket, sizeof(dev->socket), "%s", open->path);
	if (open->transport[0] != '\0')
		dev->emu_ops = transport_find(dev, open->transport);
	snprintf(conf->transport, sizeof(conf->transport), "%s", dev->emu_ops->name);
	dev->slot = port != NULL ? (uint8_t)(strtoul(port + strlen("VNETS"), NULL, 10) - 1) : 0;
	dev->pf_id = dev->slot;
	conf->port = &cfg->port[0];
	conf->host = 0;
	conf->mtu = conf->port->mtu < RTE_ETHER_MTU ? conf->port->mtu : RTE_ETHER_MTU;
	conf->max_pairs = 1;
	conf->max_queue_size = 256;
	conf->num_msix = cfg->num_msix;
	conf->sf_num = TOPOLOGY_HOTPLUG_SF_FIRST + dev->slot;
	conf->features = virtio_net_default_features(config_features(&dev->ctl->cfg)) |
			 virtio_net_required_features();
	rte_eth_random_addr(conf->mac.addr_bytes);
}

/* ---- making a block ---- */

static int
map_sections(struct device *dev)
{
	const struct state_block *blk = dev->block;
	const uint16_t queues = device_num_queues(dev);

	dev->state = state_block_section(
		blk, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*dev->state));
	dev->pci = state_block_section(blk, STATE_SEC_PCI, PCI_FN_VERSION, sizeof(*dev->pci));
	dev->virtio = state_block_section(
		blk, STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION, sizeof(*dev->virtio));
	dev->records = state_block_section(
		blk, STATE_SEC_RINGS, RING_RECORD_VERSION, sizeof(struct ring_record) * queues);
	dev->mailbox =
		state_block_section(blk, STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(*dev->mailbox));
	dev->dma_state = state_block_section(
		blk, STATE_SEC_DMA, DEVICE_DMA_VERSION, sizeof(*dev->dma_state));
	dev->ident = state_block_section(
		blk, STATE_SEC_IDENT, DEVICE_IDENT_VERSION, sizeof(*dev->ident));
	dev->transport_state = state_block_section(
		blk, STATE_SEC_TRANSPORT, EMU_TRANSPORT_VERSION, EMU_TRANSPORT_STATE);
	return dev->state != NULL && dev->pci != NULL && dev->virtio != NULL &&
			       dev->records != NULL && dev->mailbox != NULL &&
			       dev->dma_state != NULL && dev->ident != NULL &&
			       dev->transport_state != NULL
		       ? 0
		       : -EBADMSG;
}

/* The part that changes, as of a device without a driver. */
static void
state_defaults(struct device *dev)
{
	struct device_state *s = dev->state;

	memset(s, 0, sizeof(*s));
	s->pairs = 1;
	s->sf.link = 1;
	if (dev->bdf[0] != '\0')
		snprintf(s->bdf, sizeof(s->bdf), "%s", dev->bdf);
	else
		topology_bdf(dev->slot, s->bdf);
}

int
device_block_create(struct device *dev)
{
	struct state_section_desc desc[DEVICE_SECTIONS];
	int ret;

	device_layout_sections(device_num_queues(dev), desc);
	ret = state_block_create(dev->vuid, desc, DEVICE_SECTIONS, &dev->block);
	if (ret == 0)
		ret = map_sections(dev);
	if (ret < 0)
		return ret;
	state_defaults(dev);
	ident_fill(dev, &dev->state->id);
	*dev->ident = dev->state->id;
	return 0;
}

/* ---- what can be right ---- */

static bool
state_ok(const struct device *dev)
{
	const struct device_state *s = dev->state;

	return terminated(s->bdf, sizeof(s->bdf)) && s->phase < DEVICE_PHASES &&
	       s->unplug_force <= 1 && s->started <= 1 && s->pairs >= 1 &&
	       s->pairs <= dev->conf.max_pairs && s->sf.pairs <= dev->conf.max_pairs &&
	       s->sf.wanted <= dev->conf.max_pairs && s->sf.link <= 1 &&
	       (s->guest_offloads & ~VIRTIO_NET_GUEST_OFFLOADS) == 0 &&
	       (s->hash.types & ~VIRTIO_NET_HASH_TYPES) == 0 && s->sf.changing <= 1 &&
	       s->sf.made <= 1 && terminated(s->sf.rep, sizeof(s->sf.rep));
}

static bool
pci_ok(const struct device *dev)
{
	const uint8_t *cfg = dev->pci->cfg;
	struct pci_fn_params p;

	if (!dev->emu_ops->pci)
		return true; /* nobody looks at it */
	virtio_pci_fn_params(&p, dev->conf.num_msix, dev->conf.intx_only);
	return (cfg[PCI_VENDOR_ID] | cfg[PCI_VENDOR_ID + 1] << 8) == p.vendor_id &&
	       (cfg[PCI_DEVICE_ID] | cfg[PCI_DEVICE_ID + 1] << 8) == p.device_id &&
	       cfg[PCI_REVISION_ID] == p.revision &&
	       (cfg[PCI_CLASS_PROG] | cfg[PCI_CLASS_PROG + 1] << 8 |
		       cfg[PCI_CLASS_PROG + 2] << 16) == (int)p.class_code &&
	       (cfg[PCI_STATUS] & PCI_STATUS_CAP_LIST) != 0 &&
	       cfg[PCI_CAPABILITY_LIST] >= PCI_STD_HEADER_SIZEOF && dev->pci->intx_level <= 1;
}

static bool
queue_ok(const struct virtio_queue_state *q, uint16_t max_size)
{
	return q->max_size == max_size && q->size <= max_size && q->enable <= 1 && q->reset <= 1;
}

static bool
virtio_ok(const struct device *dev)
{
	const struct virtio_state *vs = dev->virtio;
	const uint8_t s = vs->status;

	if (vs->num_queues != device_num_queues(dev) || vs->device_features != dev->conf.features ||
		vs->config.max_virtqueue_pairs != dev->conf.max_pairs || (s & ~STATUS_BITS) != 0)
		return false;
	if ((s & VIRTIO_CONFIG_S_DRIVER_OK) != 0 && (s & VIRTIO_CONFIG_S_FEATURES_OK) == 0 &&
		(s & VIRTIO_CONFIG_S_NEEDS_RESET) == 0)
		return false;
	if ((s & VIRTIO_CONFIG_S_FEATURES_OK) != 0 &&
		((vs->driver_features & ~vs->device_features) != 0 ||
			virtio_net_check_features(vs->driver_features, NULL, NULL) < 0))
		return false;
	for (uint16_t q = 0; q < vs->num_queues; q++)
		if (!queue_ok(&vs->queue[q], dev->conf.max_queue_size))
			return false;
	return true;
}

static bool
rings_ok(const struct device *dev)
{
	for (uint16_t q = 0; q < device_num_queues(dev); q++) {
		const struct ring_record *r = &dev->records[q];

		if (r->running > 1 || r->valid > 1 || r->shadow_n > RING_RECORD_BURST)
			return false;
	}
	return true;
}

static bool
mailbox_ok(const struct device *dev)
{
	const struct mailbox *mb = dev->mailbox;

	return atomic_load(&mb->state) <= MAILBOX_REPLY && mb->req_len <= MAILBOX_BODY_MAX &&
	       mb->reply_len <= MAILBOX_BODY_MAX && mb->nfds <= MAILBOX_FDS_MAX;
}

/* ---- taking one up ---- */

/* Find the identity: it stands twice, and what it says is needed to look at anything else. */
static int
take_ident(struct device *dev)
{
	const struct device_state *s =
		state_block_section(dev->block, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*s));
	const struct device_ident *copy = state_block_section(
		dev->block, STATE_SEC_IDENT, DEVICE_IDENT_VERSION, sizeof(*copy));

	if (s != NULL && ident_ok(&s->id))
		ident_use(dev, &s->id);
	else if (copy != NULL && ident_ok(copy))
		ident_use(dev, copy);
	else
		return -EBADMSG;
	return 0;
}

/* Make what is damaged empty. */
static unsigned int
check_sections(struct device *dev)
{
	unsigned int bad = 0;

	if (!ident_ok(&dev->state->id) || !state_ok(dev)) {
		bad |= DEVICE_BAD_STATE;
		state_defaults(dev);
		dev->state->phase = DEVICE_LIVE;
		dev->state->sf.made = 1;
		dev->state->sf.changing = 1;
	}
	if (!pci_ok(dev)) {
		bad |= DEVICE_BAD_PCI | DEVICE_BAD_VIRTIO;
		memset(dev->pci->cfg, 0, sizeof(dev->pci->cfg));
	}
	if (!virtio_ok(dev))
		bad |= DEVICE_BAD_VIRTIO;
	if (!rings_ok(dev))
		bad |= DEVICE_BAD_RINGS;
	if (!mailbox_ok(dev)) {
		bad |= DEVICE_BAD_MAILBOX;
		dev->mailbox->req_len = dev->mailbox->reply_len = 0;
		dev->mailbox->nfds = 0;
		atomic_store(&dev->mailbox->state, MAILBOX_EMPTY);
	}
	if (bad & (DEVICE_BAD_RINGS | DEVICE_BAD_VIRTIO))
		memset(dev->records, 0, sizeof(*dev->records) * device_num_queues(dev));
	if (bad != 0)
		dev->state->quarantine |= DEVICE_Q_DAMAGE;
	ident_fill(dev, &dev->state->id);
	*dev->ident = dev->state->id;
	return bad;
}

/* The block as it is, or converted. @return 0, dev->block is set; -errno */
static int
open_block(struct device *dev, int fd, bool *changed)
{
	struct ha_layout want[HA_LAYOUTS_MAX];
	struct state_block *blk;
	int ret, new_fd;

	ret = state_block_open(fd, &blk);
	if (ret < 0)
		return ret;
	if (device_layout_current(blk)) {
		dev->block = blk;
		return 0;
	}
	state_block_close(blk);
	ret = device_block_convert(fd, want, device_block_layouts(want), &new_fd);
	if (ret < 0)
		return ret;
	ret = state_block_open(new_fd, &dev->block);
	close(new_fd);
	*changed = true;
	return ret;
}

/* The copy of the identity is the last thing in a block: it is found without the header. */
static bool
ident_salvage(int fd, struct device_ident *id)
{
	const off_t len = RTE_ALIGN_CEIL(sizeof(*id), (size_t)STATE_ALIGN);
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size > len &&
	       pread(fd, id, sizeof(*id), st.st_size - len) == sizeof(*id) && ident_ok(id);
}

/* A section from where it must be in a block whose header is damaged. */
static void
section_salvage(struct device *dev, int fd, enum state_section_id id, void *to, size_t len)
{
	const off_t at = (off_t)state_block_section_offset(dev->block, id);

	if (pread(fd, to, len, at) != (ssize_t)len)
		memset(to, 0, len);
}

static void
dma_salvage(struct device *dev, int fd)
{
	struct device_dma_state *dma = dev->dma_state;
	const size_t head = offsetof(struct device_dma_state, range);

	section_salvage(dev, fd, STATE_SEC_DMA, dma, head);
	if (dma->high > HOSTMEM_MAX_RANGES)
		dma->high = 0;
	section_salvage(dev, fd, STATE_SEC_DMA, dma, head + dma->high * sizeof(dma->range[0]));
}

/*
 * A new block in place of one that cannot be read. The function's registers and the client's memory
 * are taken over if they can be found; the driver sees a reset device.
 */
static int
replace_block(struct device *dev, int fd, const struct ha_open *open, bool poison)
{
	unsigned int bad = DEVICE_BAD_BLOCK | DEVICE_BAD_STATE | DEVICE_BAD_VIRTIO;
	struct device_ident id;
	int ret;

	if (ident_salvage(fd, &id)) {
		ident_use(dev, &id);
	} else {
		ident_make_up(dev, open);
		bad |= DEVICE_BAD_IDENT;
	}
	ret = device_block_create(dev);
	if (ret < 0)
		return ret;
	if (!poison && (bad & DEVICE_BAD_IDENT) == 0) {
		section_salvage(dev, fd, STATE_SEC_PCI, dev->pci, sizeof(*dev->pci));
		dma_salvage(dev, fd);
	}
	if (!pci_ok(dev)) {
		bad |= DEVICE_BAD_PCI;
		memset(dev->pci, 0, sizeof(*dev->pci));
	}
	dev->state->phase = DEVICE_LIVE;
	dev->state->sf.made = 1;
	dev->state->sf.changing = 1;
	dev->state->quarantine |= poison ? DEVICE_Q_BLOCK : DEVICE_Q_DAMAGE;
	return (int)bad;
}

int
device_block_take(struct device *dev, int fd, const struct ha_open *open, bool poison, bool strict,
	bool *changed)
{
	int ret = poison ? -EBADMSG : open_block(dev, fd, changed);

	if (ret == -ENOTSUP && strict)
		return ret;
	if (ret == 0)
		ret = take_ident(dev);
	if (ret == 0)
		ret = map_sections(dev);
	if (ret == 0)
		return (int)check_sections(dev);
	state_block_close(dev->block);
	dev->block = NULL;
	*changed = true;
	return replace_block(dev, fd, open, poison);
}

void
device_block_damage_text(unsigned int damage, char *buf, size_t len)
{
	static const char *const name[] = {"block", "identity", "settings", "configuration space",
		"virtio registers", "ring positions", "memory ranges", "mailbox"};
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned int i = 0; i < RTE_DIM(name); i++)
		if ((damage & 1u << i) != 0 && at < len)
			at += (size_t)snprintf(
				buf + at, len - at, "%s%s", at > 0 ? ", " : "", name[i]);
}
