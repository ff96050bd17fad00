/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Layouts of a device's state block, and the steps between them. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include <rte_common.h>

#include "device_adopt.h"
#include "device_dma.h"
#include "device_former.h"
#include "device_layout.h"
#include "device_state.h"
#include "emu/emu.h"
#include "pci/pci.h"
#include "state/mailbox.h"
#include "state/ring_record.h"
#include "virtio/virtio.h"

/* Of a block's making, before it is seen by anybody; more cannot be a device's. */
#define SECTION_MAX (16u << 20)

/* Size of version 4 of the device section, whichever this program writes. */
#ifdef VIRTNET_TEST_LAYOUT
#define DEVICE_V4_MOVED DEVICE_STATE_MOVED
#else
#define DEVICE_V4_MOVED 0u
#endif
#define DEVICE_V4_SIZE (sizeof(struct device_state) - DEVICE_V4_MOVED)

/* Version 4 has more behind what version 3 knew. */
#define DEVICE_V3_USED offsetof(struct device_state_v3, reserved)
_Static_assert(DEVICE_V3_USED == offsetof(struct device_state, hash) - DEVICE_V4_MOVED,
	"what versions 3 and 4 share");

/* ---- the table of layouts ---- */

/* What sizes depend on. */
struct shape {
	const struct state_block *blk;
	unsigned int queues;
};

static size_t
rings_v1_size(unsigned int queues)
{
	return sizeof(struct ring_record_v1) * queues;
}

static size_t
rings_size(unsigned int queues)
{
	return sizeof(struct ring_record) * queues;
}

static const struct {
	uint16_t id, version;
	size_t size;		    /* or */
	size_t (*of)(unsigned int); /* by number of virtqueues */
} layouts[] = {
	{STATE_SEC_DEVICE, 1, sizeof(struct device_state_v1), NULL},
	{STATE_SEC_DEVICE, 2, sizeof(struct device_state_v2), NULL},
	{STATE_SEC_DEVICE, 3, sizeof(struct device_state_v3), NULL},
	{STATE_SEC_DEVICE, 4, DEVICE_V4_SIZE, NULL},
#ifdef VIRTNET_TEST_LAYOUT
	{STATE_SEC_DEVICE, 5, sizeof(struct device_state), NULL},
#endif
	{STATE_SEC_PCI, 1, sizeof(struct pci_fn_state_v1), NULL},
	{STATE_SEC_PCI, 2, sizeof(struct pci_fn_state), NULL},
	{STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION, sizeof(struct virtio_state), NULL},
	{STATE_SEC_RINGS, 1, 0, rings_v1_size},
	{STATE_SEC_RINGS, 2, 0, rings_size},
	{STATE_SEC_MAILBOX, 1, sizeof(struct mailbox_v1), NULL},
	{STATE_SEC_MAILBOX, 2, sizeof(struct mailbox), NULL},
	{STATE_SEC_DMA, 1, sizeof(struct device_dma_state_v1), NULL},
	{STATE_SEC_DMA, 2, sizeof(struct device_dma_state), NULL},
	{STATE_SEC_TRANSPORT, EMU_TRANSPORT_VERSION, EMU_TRANSPORT_STATE, NULL},
	{STATE_SEC_IDENT, DEVICE_IDENT_VERSION, sizeof(struct device_ident), NULL},
};

/* Written by this program, in the order of the block. */
static const struct ha_layout written[DEVICE_SECTIONS] = {
	{STATE_SEC_DEVICE, DEVICE_STATE_VERSION},
	{STATE_SEC_PCI, PCI_FN_VERSION},
	{STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION},
	{STATE_SEC_RINGS, RING_RECORD_VERSION},
	{STATE_SEC_MAILBOX, MAILBOX_VERSION},
	{STATE_SEC_DMA, DEVICE_DMA_VERSION},
	{STATE_SEC_TRANSPORT, EMU_TRANSPORT_VERSION},
	{STATE_SEC_IDENT, DEVICE_IDENT_VERSION},
};

_Static_assert(DEVICE_SECTIONS <= HA_LAYOUTS_MAX, "they are told in one message");
_Static_assert(MAILBOX_VERSION == 2 && PCI_FN_VERSION == 2 && VIRTIO_STATE_VERSION == 1 &&
		       RING_RECORD_VERSION == 2 && DEVICE_DMA_VERSION == 2,
	"a new layout needs its steps here");

static size_t
layout_size(uint16_t id, uint16_t version, unsigned int queues)
{
	for (size_t i = 0; i < RTE_DIM(layouts); i++)
		if (layouts[i].id == id && layouts[i].version == version)
			return layouts[i].of != NULL ? layouts[i].of(queues) : layouts[i].size;
	return 0;
}

unsigned int
device_block_layouts(struct ha_layout *out)
{
	memcpy(out, written, sizeof(written));
	return DEVICE_SECTIONS;
}

void
device_layout_sections(unsigned int queues, struct state_section_desc desc[DEVICE_SECTIONS])
{
	for (unsigned int i = 0; i < DEVICE_SECTIONS; i++)
		desc[i] = (struct state_section_desc){written[i].section, written[i].version,
			(uint32_t)layout_size(written[i].section, written[i].version, queues)};
}

bool
device_layout_current(const struct state_block *blk)
{
	for (unsigned int i = 0; i < DEVICE_SECTIONS; i++)
		if (state_block_section_version(blk, written[i].section) != written[i].version)
			return false;
	return true;
}

/* ---- steps ---- */

/* The first release had its SF's name and its socket's path from the configuration. */
static void
ident_from_v1(
	const struct device_state_v1 *old, const struct state_block *blk, struct device_ident *id)
{
	const struct virtio_state *vs = state_block_section(blk, STATE_SEC_VIRTIO, 1, sizeof(*vs));
	const struct pci_fn_state_v1 *pci =
		state_block_section(blk, STATE_SEC_PCI, 1, sizeof(*pci));
	const char *port = strstr(old->vuid, "VNETS");

	memcpy(id->vuid, old->vuid, sizeof(id->vuid) - 1);
	snprintf(id->plug_id, sizeof(id->plug_id), "virtnet-%.*s", (int)sizeof(id->vuid) - 1,
		id->vuid);
	id->sf_num = old->sf_num;
	id->pf_id = old->pf_id;
	id->mtu = old->mtu;
	memcpy(id->mac, old->mac, sizeof(id->mac));
	if (port != NULL)
		id->slot = (uint8_t)(strtoul(port + strlen("VNETS"), NULL, 10) - 1);
	if (vs != NULL && vs->num_queues > 0) {
		id->features = vs->device_features;
		id->max_pairs = (vs->num_queues - 1) / 2;
		id->max_queue_size = vs->queue[0].max_size;
	}
	for (uint8_t at = pci != NULL ? pci->cfg[PCI_CAPABILITY_LIST] : 0, n = 0;
		at >= PCI_STD_HEADER_SIZEOF && n < PCI_CFG_SPACE_SIZE / 4;
		at = pci->cfg[at + PCI_CAP_LIST_NEXT], n++)
		if (pci->cfg[at] == PCI_CAP_ID_MSIX && at < PCI_CFG_SPACE_SIZE - 3) {
			id->num_msix = (pci->cfg[at + PCI_MSIX_FLAGS] |
					       pci->cfg[at + PCI_MSIX_FLAGS + 1] << 8) &
				       PCI_MSIX_FLAGS_QSIZE;
			id->num_msix++;
		}
	id->intx_only = id->num_msix == 0;
	id->checksum = device_ident_sum(id);
}

/* The driver's registers, whose layout has never changed. */
static const struct virtio_state *
registers(const struct shape *sh)
{
	return state_block_section(
		sh->blk, STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION, sizeof(struct virtio_state));
}

static int
device_1_to_2(const struct shape *sh, const void *from, void *to)
{
	const struct virtio_state *vs = registers(sh);
	struct device_state_v1 old;
	struct device_state_v2 *s = to;

	memcpy(&old, from, sizeof(old));
	old.vuid[sizeof(old.vuid) - 1] = '\0';
	ident_from_v1(&old, sh->blk, &s->id);
	s->phase = DEVICE_LIVE;
	s->started = vs != NULL && (vs->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0;
	s->rx_mode = old.rx_mode;
	memcpy(s->ctrl_mac, old.ctrl_mac, sizeof(s->ctrl_mac));
	s->pairs = old.pairs;
	s->sf.pairs = s->started ? old.pairs : 0;
	s->sf.wanted = s->sf.pairs;
	s->sf.max_pairs = s->id.max_pairs;
	s->sf.rx_csum = vs != NULL && virtio_has(vs->driver_features, VIRTIO_NET_F_GUEST_CSUM);
	s->sf.link = 1;
	s->sf.made = 1;
	return 0;
}

static int
device_2_to_1(const struct shape *sh, const void *from, void *to)
{
	const struct device_state_v2 *s = from;
	struct device_state_v1 *old = to;

	(void)sh;
	memcpy(old->vuid, s->id.vuid, sizeof(old->vuid));
	old->sf_num = s->id.sf_num;
	old->pf_id = s->id.pf_id;
	old->pairs = s->pairs;
	memcpy(old->mac, s->id.mac, sizeof(old->mac));
	memcpy(old->ctrl_mac, s->ctrl_mac, sizeof(old->ctrl_mac));
	old->mtu = s->id.mtu;
	old->rx_mode = s->rx_mode;
	return 0;
}

/* What both have, from one to the other. */
#define DEVICE_2_3_COMMON(to, from)                                                                \
	do {                                                                                       \
		(to)->id = (from)->id;                                                             \
		memcpy((to)->bdf, (from)->bdf, sizeof((to)->bdf));                                 \
		(to)->phase = (from)->phase;                                                       \
		(to)->unplug_force = (from)->unplug_force;                                         \
		(to)->started = (from)->started;                                                   \
		(to)->rx_mode = (from)->rx_mode;                                                   \
		memcpy((to)->ctrl_mac, (from)->ctrl_mac, sizeof((to)->ctrl_mac));                  \
		(to)->pairs = (from)->pairs;                                                       \
		(to)->quarantine = (from)->quarantine;                                             \
		(to)->adoptions = (from)->adoptions;                                               \
		(to)->clients = (from)->clients;                                                   \
		(to)->sf.pairs = (from)->sf.pairs;                                                 \
		(to)->sf.max_pairs = (from)->sf.max_pairs;                                         \
		(to)->sf.rep_ifindex = (from)->sf.rep_ifindex;                                     \
		memcpy((to)->sf.rep, (from)->sf.rep, sizeof((to)->sf.rep));                        \
		(to)->sf.link = (from)->sf.link;                                                   \
		(to)->sf.changing = (from)->sf.changing;                                           \
		(to)->sf.made = (from)->sf.made;                                                   \
		(to)->sf.wanted = (from)->sf.wanted;                                               \
	} while (0)

/* Version 2 knew checksums only, and had its SF told what was negotiated. */
static int
device_2_to_3(const struct shape *sh, const void *from, void *to)
{
	const struct device_state_v2 *old = from;
	struct device_state_v3 *s = to;

	(void)sh;
	DEVICE_2_3_COMMON(s, old);
	if (old->sf.rx_csum)
		s->guest_offloads = VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM);
	return 0;
}

/*
 * What version 2 could offer a driver. A device that offers more does not go back, nor one at a
 * transport that there was not: nobody there would know what its packets, rings and requests mean.
 */
#define DEVICE_V2_FEATURES                                                                         \
	(VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |                     \
		VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_MAC) |                      \
		VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |          \
		VIRTIO_BIT(VIRTIO_NET_F_STATUS) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) |               \
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |       \
		VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |             \
		VIRTIO_BIT(28) | VIRTIO_BIT(29) | /* INDIRECT_DESC, EVENT_IDX */                   \
		VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_ACCESS_PLATFORM) |            \
		VIRTIO_BIT(VIRTIO_F_ORDER_PLATFORM) | VIRTIO_BIT(VIRTIO_F_RING_RESET) |            \
		VIRTIO_BIT(VIRTIO_NET_F_SPEED_DUPLEX))

static int
device_3_to_2(const struct shape *sh, const void *from, void *to)
{
	const struct virtio_state *vs = registers(sh);
	const struct device_state_v3 *s = from;
	struct device_state_v2 *old = to;

	if (vs == NULL || (vs->device_features & ~DEVICE_V2_FEATURES) != 0 ||
		(s->id.transport[0] != '\0' &&
			strncmp(s->id.transport, "vfio_user", sizeof(s->id.transport)) != 0))
		return -ENOTSUP;
	DEVICE_2_3_COMMON(old, s);
	old->sf.rx_csum = virtio_has(s->guest_offloads, VIRTIO_NET_F_GUEST_CSUM);
	return 0;
}

static int
device_3_to_4(const struct shape *sh, const void *from, void *to)
{
	(void)sh;
	memcpy(to, from, DEVICE_V3_USED);
	return 0;
}

/* The same of version 3: what it could offer a driver. */
#define DEVICE_V3_FEATURES                                                                         \
	(DEVICE_V2_FEATURES | VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |                       \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |        \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO4) |         \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO6) | VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) |          \
		VIRTIO_BIT(VIRTIO_NET_F_HOST_USO) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_HDRLEN) |        \
		VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_F_RING_PACKED) |            \
		VIRTIO_BIT(VIRTIO_F_IN_ORDER) | VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA))

static int
device_4_to_3(const struct shape *sh, const void *from, void *to)
{
	const struct virtio_state *vs = registers(sh);

	if (vs == NULL || (vs->device_features & ~DEVICE_V3_FEATURES) != 0)
		return -ENOTSUP;
	memcpy(to, from, DEVICE_V3_USED);
	return 0;
}

#ifdef VIRTNET_TEST_LAYOUT
static int
device_4_to_5(const struct shape *sh, const void *from, void *to)
{
	(void)sh;
	memcpy((uint8_t *)to + DEVICE_STATE_MOVED, from, DEVICE_V4_SIZE);
	return 0;
}

static int
device_5_to_4(const struct shape *sh, const void *from, void *to)
{
	(void)sh;
	memcpy(to, (const uint8_t *)from + DEVICE_STATE_MOVED, DEVICE_V4_SIZE);
	return 0;
}
#endif

static int
pci_1_to_2(const struct shape *sh, const void *from, void *to)
{
	const struct pci_fn_state_v1 *old = from;
	struct pci_fn_state *pci = to;

	(void)sh;
	memcpy(pci->cfg, old->cfg, sizeof(pci->cfg));
	pci->intx_level = old->intx_level;
	pci->flr_count = old->flr_count;
	memcpy(pci->msix_table, old->msix_table, sizeof(pci->msix_table));
	return 0;
}

/* What was pending is lost, as the former process lost it. */
static int
pci_2_to_1(const struct shape *sh, const void *from, void *to)
{
	const struct pci_fn_state *pci = from;
	struct pci_fn_state_v1 *old = to;

	(void)sh;
	memcpy(old->cfg, pci->cfg, sizeof(old->cfg));
	old->intx_level = pci->intx_level;
	old->flr_count = pci->flr_count;
	memcpy(old->msix_table, pci->msix_table, sizeof(old->msix_table));
	return 0;
}

/* Version 1 knew split rings only, which have nothing in their shadow. */
static int
rings_1_to_2(const struct shape *sh, const void *from, void *to)
{
	const struct ring_record_v1 *old = from;
	struct ring_record *rec = to;

	for (unsigned int q = 0; q < sh->queues; q++) {
		rec[q].avail_idx = old[q].avail_idx;
		rec[q].used_idx = old[q].used_idx;
		rec[q].signalled_used = old[q].signalled_used;
		rec[q].running = old[q].running;
		rec[q].stats = old[q].stats;
	}
	return 0;
}

/* A device whose driver has packed rings does not go back: nobody there could run them. */
static int
rings_2_to_1(const struct shape *sh, const void *from, void *to)
{
	const struct ring_record *rec = from;
	struct ring_record_v1 *old = to;

	for (unsigned int q = 0; q < sh->queues; q++) {
		if (rec[q].valid || rec[q].avail_wrap || rec[q].used_wrap)
			return -ENOTSUP;
		old[q].avail_idx = rec[q].avail_idx;
		old[q].used_idx = rec[q].used_idx;
		old[q].signalled_used = rec[q].signalled_used;
		old[q].running = rec[q].running;
		old[q].stats = rec[q].stats;
	}
	return 0;
}

/* Descriptors of a request that stands came by the mailbox in version 1 and are gone with it. */
static int
mailbox_1_to_2(const struct shape *sh, const void *from, void *to)
{
	const struct mailbox_v1 *old = from;
	struct mailbox *mb = to;

	(void)sh;
	atomic_init(&mb->state, old->state);
	mb->connection = old->connection;
	mb->seq = old->seq;
	mb->req_len = old->req_len;
	mb->reply_len = old->reply_len;
	memcpy(mb->header, old->header, sizeof(mb->header));
	memcpy(mb->reply_header, old->reply_header, sizeof(mb->reply_header));
	mb->reply_wanted = old->reply_wanted;
	mb->close = old->close;
	mb->nfds = old->nfds;
	mb->negotiated_seq = old->negotiated_seq;
	memcpy(mb->req, old->req, sizeof(mb->req));
	memcpy(mb->reply, old->reply, sizeof(mb->reply));
	return 0;
}

static int
mailbox_2_to_1(const struct shape *sh, const void *from, void *to)
{
	const struct mailbox *mb = from;
	struct mailbox_v1 *old = to;

	(void)sh;
	old->state = atomic_load(&mb->state);
	old->connection = mb->connection;
	old->seq = mb->seq;
	old->req_len = mb->req_len;
	old->reply_len = mb->reply_len;
	memcpy(old->header, mb->header, sizeof(mb->header));
	memcpy(old->reply_header, mb->reply_header, sizeof(mb->reply_header));
	old->reply_wanted = mb->reply_wanted;
	old->close = mb->close;
	old->nfds = mb->nfds;
	old->negotiated_seq = mb->negotiated_seq;
	for (size_t i = 0; i < RTE_DIM(old->fds); i++)
		old->fds[i] = -1;
	memcpy(old->req, mb->req, sizeof(mb->req));
	memcpy(old->reply, mb->reply, sizeof(mb->reply));
	return 0;
}

/* No ranges: the first release had them in its process only. */
static int
dma_0_to_1(const struct shape *sh, const void *from, void *to)
{
	(void)sh;
	(void)from;
	(void)to;
	return 0;
}

/* How much of files was mapped was not told: all. */
static int
dma_1_to_2(const struct shape *sh, const void *from, void *to)
{
	const struct device_dma_state_v1 *old = from;
	struct device_dma_state *dma = to;

	(void)sh;
	dma->unmap_seq = old->unmap_seq;
	dma->high = RTE_MIN(old->high, HOSTMEM_MAX_RANGES);
	memcpy(dma->range, old->range, dma->high * sizeof(dma->range[0]));
	return 0;
}

static int
dma_2_to_1(const struct shape *sh, const void *from, void *to)
{
	const struct device_dma_state *dma = from;
	struct device_dma_state_v1 *old = to;

	(void)sh;
	old->unmap_seq = dma->unmap_seq;
	old->high = RTE_MIN(dma->high, HOSTMEM_MAX_RANGES);
	memcpy(old->range, dma->range, old->high * sizeof(old->range[0]));
	return 0;
}

static int section_get(const struct shape *sh, uint16_t id, uint16_t version, void **out);

/* Nothing is known of a connection that is told by registers. */
static int
transport_0_to_1(const struct shape *sh, const void *from, void *to)
{
	(void)sh;
	(void)from;
	(void)to;
	return 0;
}

/* The copy of what does not change, from the original. */
static int
ident_0_to_1(const struct shape *sh, const void *from, void *to)
{
	void *device;
	int ret;

	(void)from;
	ret = section_get(sh, STATE_SEC_DEVICE, 2, &device);
	if (ret == 0) {
		memcpy(to, &((struct device_state_v2 *)device)->id, sizeof(struct device_ident));
		free(device);
	}
	return ret;
}

/* To a zeroed section. Version 0: there is none. @return 0; -errno */
typedef int (*step_fn)(const struct shape *sh, const void *from, void *to);

static const struct {
	uint16_t id, from, to;
	step_fn fn;
} steps[] = {
	{STATE_SEC_DEVICE, 1, 2, device_1_to_2},
	{STATE_SEC_DEVICE, 2, 1, device_2_to_1},
	{STATE_SEC_DEVICE, 2, 3, device_2_to_3},
	{STATE_SEC_DEVICE, 3, 2, device_3_to_2},
	{STATE_SEC_DEVICE, 3, 4, device_3_to_4},
	{STATE_SEC_DEVICE, 4, 3, device_4_to_3},
#ifdef VIRTNET_TEST_LAYOUT
	{STATE_SEC_DEVICE, 4, 5, device_4_to_5},
	{STATE_SEC_DEVICE, 5, 4, device_5_to_4},
#endif
	{STATE_SEC_PCI, 1, 2, pci_1_to_2},
	{STATE_SEC_PCI, 2, 1, pci_2_to_1},
	{STATE_SEC_RINGS, 1, 2, rings_1_to_2},
	{STATE_SEC_RINGS, 2, 1, rings_2_to_1},
	{STATE_SEC_MAILBOX, 1, 2, mailbox_1_to_2},
	{STATE_SEC_MAILBOX, 2, 1, mailbox_2_to_1},
	{STATE_SEC_DMA, 0, 1, dma_0_to_1},
	{STATE_SEC_DMA, 1, 2, dma_1_to_2},
	{STATE_SEC_DMA, 2, 1, dma_2_to_1},
	{STATE_SEC_TRANSPORT, 0, 1, transport_0_to_1},
	{STATE_SEC_IDENT, 0, 1, ident_0_to_1},
};

static step_fn
step_find(uint16_t id, uint16_t from, uint16_t to)
{
	for (size_t i = 0; i < RTE_DIM(steps); i++)
		if (steps[i].id == id && steps[i].from == from && steps[i].to == to)
			return steps[i].fn;
	return NULL;
}

/* Is there a way at all? */
static bool
way_exists(uint16_t id, uint16_t from, uint16_t to)
{
	while (from != to) {
		const uint16_t next = from < to ? from + 1 : from - 1;

		if (step_find(id, from, next) == NULL)
			return false;
		from = next;
	}
	return true;
}

/* Bytes of a section that are worth copying: the table of ranges is large and mostly never used. */
static size_t
section_used(uint16_t id, const void *section, size_t size)
{
	const struct device_dma_state *dma = section;

	if (id != STATE_SEC_DMA || size < sizeof(*dma))
		return size;
	return offsetof(struct device_dma_state, range) +
	       RTE_MIN(dma->high, HOSTMEM_MAX_RANGES) * sizeof(dma->range[0]);
}

/* Zeroed, and aligned as in a block. */
static void *
section_alloc(size_t size)
{
	void *buf;

	size = RTE_ALIGN_CEIL(size != 0 ? size : 1, (size_t)STATE_ALIGN);
	buf = aligned_alloc(STATE_ALIGN, size);
	if (buf != NULL)
		memset(buf, 0, size);
	return buf;
}

/* A section of the block in a version, in memory of its own. */
static int
section_get(const struct shape *sh, uint16_t id, uint16_t version, void **out)
{
	uint16_t at = state_block_section_version(sh->blk, id);
	size_t size = at != 0 ? layout_size(id, at, sh->queues) : 0;
	const void *old = at != 0 ? state_block_section(sh->blk, id, at, size) : NULL;
	void *buf, *next;
	int ret = 0;

	if (at != 0 && (size == 0 || old == NULL))
		return -EBADMSG;
	buf = section_alloc(size);
	if (buf == NULL)
		return -ENOMEM;
	if (old != NULL)
		memcpy(buf, old, section_used(id, old, size));
	while (at != version && ret == 0) {
		const uint16_t to = at < version ? at + 1 : at - 1;
		const step_fn step = step_find(id, at, to);

		next = section_alloc(layout_size(id, to, sh->queues));
		if (next == NULL)
			ret = -ENOMEM;
		else
			ret = step != NULL ? step(sh, buf, next) : -ENOTSUP;
		free(buf);
		buf = next;
		at = to;
	}
	if (ret < 0)
		free(buf);
	else
		*out = buf;
	return ret;
}

/* ---- blocks ---- */

static int
shape_get(const struct state_block *blk, struct shape *sh)
{
	const struct virtio_state *vs =
		state_block_section(blk, STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION, sizeof(*vs));

	if (vs == NULL || vs->num_queues == 0 || vs->num_queues > VIRTIO_MAX_QUEUES)
		return -EBADMSG;
	sh->blk = blk;
	sh->queues = vs->num_queues;
	return 0;
}

/* Sections of the new block: those of the old one, and those that are wanted besides. */
static int
plan(const struct shape *sh, const struct ha_layout *want, unsigned int n_want,
	struct state_section_desc *desc, unsigned int *n)
{
	*n = state_block_describe(sh->blk, desc);
	for (unsigned int w = 0; w < n_want; w++) {
		const uint16_t id = want[w].section, version = want[w].version;
		const size_t size = layout_size(id, version, sh->queues);
		unsigned int i;

		if (size == 0 || size > SECTION_MAX ||
			!way_exists(id, state_block_section_version(sh->blk, id), version))
			return -ENOTSUP;
		for (i = 0; i < *n && desc[i].id != id;)
			i++;
		if (i == STATE_MAX_SECTIONS)
			return -ENOSPC;
		if (i == *n)
			desc[(*n)++].version = 0;
		if (desc[i].version == version && desc[i].size < size)
			return -EBADMSG;
		if (desc[i].version != version)
			desc[i] = (struct state_section_desc){id, version, (uint32_t)size};
	}
	return 0;
}

static int
fill(const struct shape *sh, const struct state_section_desc *desc, unsigned int n,
	struct state_block *to)
{
	for (unsigned int i = 0; i < n; i++) {
		const uint16_t id = desc[i].id, version = desc[i].version;
		void *dst = state_block_section(to, id, version, desc[i].size), *buf;
		const void *same = state_block_section(sh->blk, id, version, desc[i].size);
		int ret;

		if (same != NULL) {
			memcpy(dst, same, section_used(id, same, desc[i].size));
			continue;
		}
		ret = section_get(sh, id, version, &buf);
		if (ret < 0)
			return ret;
		memcpy(dst, buf, section_used(id, buf, desc[i].size));
		free(buf);
	}
	return 0;
}

int
device_block_convert(int fd, const struct ha_layout *want, unsigned int n_want, int *out_fd)
{
	struct state_section_desc desc[STATE_MAX_SECTIONS];
	struct state_block *from, *to = NULL;
	struct shape sh;
	unsigned int n;
	int ret;

	ret = state_block_open(fd, &from);
	if (ret < 0)
		return ret;
	ret = shape_get(from, &sh);
	if (ret == 0)
		ret = plan(&sh, want, n_want, desc, &n);
	if (ret == 0)
		ret = state_block_create(state_block_name(from), desc, n, &to);
	if (ret == 0)
		ret = fill(&sh, desc, n, to);
	if (ret == 0) {
		*out_fd = fcntl(state_block_fd(to), F_DUPFD_CLOEXEC, 0);
		ret = *out_fd < 0 ? -errno : 0;
	}
	state_block_close(to);
	state_block_close(from);
	return ret;
}
