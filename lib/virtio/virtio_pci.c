/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Registers of a modern virtio PCI device (virtio 1.2, 4.1.4): one table of the common
 * configuration, one of the structures in the BAR, and the window to them through configuration
 * space.
 */

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_pci.h>

#include "virtio/virtio_pci.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* As of virtio 1.2: Linux 6.1's struct virtio_pci_common_cfg ends before the last two registers. */
#define COMMON_LEN (VIRTIO_PCI_COMMON_Q_RESET + 2u)
#define ISR_LEN	   1u
#define DEVICE_LEN ((uint32_t)sizeof(struct virtio_net_config))

static_assert(VIRTIO_MAX_QUEUES * VIRTIO_PCI_NOTIFY_MULT <= VIRTIO_PCI_NOTIFY_SIZE,
	"each queue has its doorbell in the notify area");

struct virtio_pci {
	struct virtio_dev *dev;
	struct virtio_state *state;
	struct pci_fn *fn;
	uint16_t cfg_cap; /* offset of the PCI configuration access capability */
};

/* ---- common configuration: one pair of functions per register ---- */

static struct virtio_queue_state *
selected(const struct virtio_pci *vp)
{
	uint16_t q = vp->state->queue_select;

	return q < vp->state->num_queues ? &vp->state->queue[q] : NULL;
}

/*
 * The queue whose registers may change now: one that runs, or is being started, keeps what it was
 * started with.
 */
static struct virtio_queue_state *
writable(const struct virtio_pci *vp)
{
	struct virtio_queue_state *q = selected(vp);

	if (q == NULL || q->enable != 0 || q->reset != 0 || virtio_dev_op_pending(vp->dev))
		return NULL;
	return q;
}

/* Half of a 64-bit set of features; there are none beyond. */
static uint32_t
features_half(uint64_t features, uint32_t select)
{
	return select < 2 ? (uint32_t)(features >> 32 * select) : 0;
}

static uint32_t
read_dfselect(const struct virtio_pci *vp, unsigned int arg)
{
	return vp->state->device_feature_select;
}

static int
write_dfselect(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	vp->state->device_feature_select = v;
	return 0;
}

static uint32_t
read_df(const struct virtio_pci *vp, unsigned int arg)
{
	return features_half(vp->state->device_features, vp->state->device_feature_select);
}

static uint32_t
read_gfselect(const struct virtio_pci *vp, unsigned int arg)
{
	return vp->state->driver_feature_select;
}

static int
write_gfselect(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	vp->state->driver_feature_select = v;
	return 0;
}

static uint32_t
read_gf(const struct virtio_pci *vp, unsigned int arg)
{
	return features_half(vp->state->driver_features, vp->state->driver_feature_select);
}

static int
write_gf(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	uint32_t select = vp->state->driver_feature_select;
	uint64_t features = vp->state->driver_features;

	if (select >= 2)
		return 0;
	features &= ~(0xffffffffull << 32 * select);
	virtio_dev_set_driver_features(vp->dev, features | (uint64_t)v << 32 * select);
	return 0;
}

static uint32_t
read_msix(const struct virtio_pci *vp, unsigned int arg)
{
	return vp->state->msix_config;
}

static int
write_msix(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	virtio_dev_set_config_vector(vp->dev, (uint16_t)v);
	return 0;
}

static uint32_t
read_numq(const struct virtio_pci *vp, unsigned int arg)
{
	return vp->state->num_queues;
}

static uint32_t
read_status(const struct virtio_pci *vp, unsigned int arg)
{
	return virtio_dev_status(vp->dev);
}

static int
write_status(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	return virtio_dev_set_status(vp->dev, (uint8_t)v);
}

static uint32_t
read_generation(const struct virtio_pci *vp, unsigned int arg)
{
	return vp->state->config_generation;
}

static uint32_t
read_q_select(const struct virtio_pci *vp, unsigned int arg)
{
	return vp->state->queue_select;
}

static int
write_q_select(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	vp->state->queue_select = (uint16_t)v;
	return 0;
}

static uint32_t
read_q_size(const struct virtio_pci *vp, unsigned int arg)
{
	const struct virtio_queue_state *q = selected(vp);

	return q != NULL ? q->size : 0;
}

/*
 * A bad size is kept, so that the queue cannot be enabled with another than the driver thinks of.
 */
static int
write_q_size(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	struct virtio_queue_state *q = writable(vp);

	if (q != NULL)
		q->size = (uint16_t)v;
	return 0;
}

static uint32_t
read_q_msix(const struct virtio_pci *vp, unsigned int arg)
{
	const struct virtio_queue_state *q = selected(vp);

	return q != NULL ? q->msix_vector : VIRTIO_NO_VECTOR;
}

static int
write_q_msix(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	virtio_dev_set_queue_vector(vp->dev, vp->state->queue_select, (uint16_t)v);
	return 0;
}

static uint32_t
read_q_enable(const struct virtio_pci *vp, unsigned int arg)
{
	const struct virtio_queue_state *q = selected(vp);

	return q != NULL ? q->enable : 0;
}

static int
write_q_enable(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	return v == 1 ? virtio_dev_queue_enable(vp->dev, vp->state->queue_select) : 0;
}

static uint32_t
read_q_index(const struct virtio_pci *vp, unsigned int arg)
{
	return selected(vp) != NULL ? vp->state->queue_select : 0;
}

static uint32_t
read_q_reset(const struct virtio_pci *vp, unsigned int arg)
{
	const struct virtio_queue_state *q = selected(vp);

	return q != NULL ? q->reset : 0;
}

static int
write_q_reset(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	return v == 1 ? virtio_dev_queue_reset(vp->dev, vp->state->queue_select) : 0;
}

/*
 * Addresses are accessed as two halves; arg: place in struct virtio_queue_state, bit 0 the upper
 * half.
 */
#define ADDR_LO(field) ((unsigned int)offsetof(struct virtio_queue_state, field))
#define ADDR_HI(field) (ADDR_LO(field) | 1u)

static uint64_t *
queue_addr(struct virtio_queue_state *q, unsigned int arg)
{
	return (uint64_t *)(void *)((uint8_t *)q + (arg & ~1u));
}

static uint32_t
read_q_addr(const struct virtio_pci *vp, unsigned int arg)
{
	struct virtio_queue_state *q = selected(vp);

	return q != NULL ? (uint32_t)(*queue_addr(q, arg) >> 32 * (arg & 1)) : 0;
}

static int
write_q_addr(struct virtio_pci *vp, unsigned int arg, uint32_t v)
{
	struct virtio_queue_state *q = writable(vp);
	unsigned int shift = 32 * (arg & 1);

	if (q != NULL) {
		uint64_t *addr = queue_addr(q, arg);

		*addr = (*addr & ~(0xffffffffull << shift)) | (uint64_t)v << shift;
	}
	return 0;
}

static const struct common_reg {
	uint8_t off, width;
	uint32_t (*read)(const struct virtio_pci *vp, unsigned int arg);
	int (*write)(struct virtio_pci *vp, unsigned int arg, uint32_t v); /* NULL: read-only */
	unsigned int arg;
} common_regs[] = {
	{VIRTIO_PCI_COMMON_DFSELECT, 4, read_dfselect, write_dfselect, 0},
	{VIRTIO_PCI_COMMON_DF, 4, read_df, NULL, 0},
	{VIRTIO_PCI_COMMON_GFSELECT, 4, read_gfselect, write_gfselect, 0},
	{VIRTIO_PCI_COMMON_GF, 4, read_gf, write_gf, 0},
	{VIRTIO_PCI_COMMON_MSIX, 2, read_msix, write_msix, 0},
	{VIRTIO_PCI_COMMON_NUMQ, 2, read_numq, NULL, 0},
	{VIRTIO_PCI_COMMON_STATUS, 1, read_status, write_status, 0},
	{VIRTIO_PCI_COMMON_CFGGENERATION, 1, read_generation, NULL, 0},
	{VIRTIO_PCI_COMMON_Q_SELECT, 2, read_q_select, write_q_select, 0},
	{VIRTIO_PCI_COMMON_Q_SIZE, 2, read_q_size, write_q_size, 0},
	{VIRTIO_PCI_COMMON_Q_MSIX, 2, read_q_msix, write_q_msix, 0},
	{VIRTIO_PCI_COMMON_Q_ENABLE, 2, read_q_enable, write_q_enable, 0},
	{VIRTIO_PCI_COMMON_Q_NOFF, 2, read_q_index, NULL, 0},
	{VIRTIO_PCI_COMMON_Q_DESCLO, 4, read_q_addr, write_q_addr, ADDR_LO(desc)},
	{VIRTIO_PCI_COMMON_Q_DESCHI, 4, read_q_addr, write_q_addr, ADDR_HI(desc)},
	{VIRTIO_PCI_COMMON_Q_AVAILLO, 4, read_q_addr, write_q_addr, ADDR_LO(driver)},
	{VIRTIO_PCI_COMMON_Q_AVAILHI, 4, read_q_addr, write_q_addr, ADDR_HI(driver)},
	{VIRTIO_PCI_COMMON_Q_USEDLO, 4, read_q_addr, write_q_addr, ADDR_LO(device)},
	{VIRTIO_PCI_COMMON_Q_USEDHI, 4, read_q_addr, write_q_addr, ADDR_HI(device)},
	{VIRTIO_PCI_COMMON_Q_NDATA, 2, read_q_index, NULL, 0},
	{VIRTIO_PCI_COMMON_Q_RESET, 2, read_q_reset, write_q_reset, 0},
};

static const struct common_reg *
common_find(uint32_t off, uint32_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(common_regs); i++)
		if (common_regs[i].off == off)
			return common_regs[i].width == len ? &common_regs[i] : NULL;
	return NULL;
}

static void
common_read(struct virtio_pci *vp, uint32_t off, uint8_t *buf, uint32_t len)
{
	const struct common_reg *r = common_find(off, len);
	uint32_t v;

	if (r == NULL)
		return;
	v = htole32(r->read(vp, r->arg));
	memcpy(buf, &v, len);
}

static int
common_write(struct virtio_pci *vp, uint32_t off, const uint8_t *buf, uint32_t len)
{
	const struct common_reg *r = common_find(off, len);
	uint32_t v = 0;

	if (r == NULL || r->write == NULL)
		return 0;
	memcpy(&v, buf, len);
	return r->write(vp, r->arg, le32toh(v));
}

/* ---- ISR, device configuration, doorbells ---- */

static void
isr_read(struct virtio_pci *vp, uint32_t off, uint8_t *buf, uint32_t len)
{
	if (off == 0 && len == ISR_LEN)
		buf[0] = virtio_dev_isr_read(vp->dev);
}

#define RSS_FEATURES (VIRTIO_BIT(VIRTIO_NET_F_RSS) | VIRTIO_BIT(VIRTIO_NET_F_HASH_REPORT))

/*
 * A field exists when one of its features is offered (virtio 1.2, 5.1.4); what does not exist reads
 * as zero.
 */
static const struct {
	uint8_t off, len;
	uint64_t any;
} config_fields[] = {
#define FIELD(f) offsetof(struct virtio_net_config, f), sizeof(((struct virtio_net_config *)0)->f)
	{FIELD(mac), VIRTIO_BIT(VIRTIO_NET_F_MAC)},
	{FIELD(status), VIRTIO_BIT(VIRTIO_NET_F_STATUS)},
	{FIELD(max_virtqueue_pairs), VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_RSS)},
	{FIELD(mtu), VIRTIO_BIT(VIRTIO_NET_F_MTU)},
	{FIELD(speed), VIRTIO_BIT(VIRTIO_NET_F_SPEED_DUPLEX)},
	{FIELD(duplex), VIRTIO_BIT(VIRTIO_NET_F_SPEED_DUPLEX)},
	{FIELD(rss_max_key_size), RSS_FEATURES},
	{FIELD(rss_max_indirection_table_length), VIRTIO_BIT(VIRTIO_NET_F_RSS)},
	{FIELD(supported_hash_types), RSS_FEATURES},
#undef FIELD
};

static void
device_read(struct virtio_pci *vp, uint32_t off, uint8_t *buf, uint32_t len)
{
	const uint8_t *config = (const uint8_t *)&vp->state->config;
	uint8_t visible[DEVICE_LEN] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(config_fields); i++)
		if ((vp->state->device_features & config_fields[i].any) != 0)
			memcpy(visible + config_fields[i].off, config + config_fields[i].off,
				config_fields[i].len);
	memcpy(buf, visible + off, len < DEVICE_LEN - off ? len : DEVICE_LEN - off);
}

/*
 * The address alone says which queue: the front that sends doorbells straight to a worker goes by
 * it too, and the value comes from the same untrusted driver.
 */
static int
notify_write(struct virtio_pci *vp, uint32_t off, const uint8_t *buf, uint32_t len)
{
	bool with_data = virtio_has(virtio_dev_features(vp->dev), VIRTIO_F_NOTIFICATION_DATA);

	if (len == (with_data ? 4 : 2) && off % VIRTIO_PCI_NOTIFY_MULT == 0)
		virtio_dev_notify(vp->dev, (uint16_t)(off / VIRTIO_PCI_NOTIFY_MULT));
	return 0;
}

/* ---- the BAR ---- */

static const struct area {
	uint32_t off, len;
	void (*read)(struct virtio_pci *vp, uint32_t off, uint8_t *buf, uint32_t len);
	int (*write)(struct virtio_pci *vp, uint32_t off, const uint8_t *buf, uint32_t len);
} areas[] = {
	{VIRTIO_PCI_COMMON_OFFSET, COMMON_LEN, common_read, common_write},
	{VIRTIO_PCI_ISR_OFFSET, ISR_LEN, isr_read, NULL},
	/* All of the configuration is read-only in virtio 1.x. */
	{VIRTIO_PCI_DEVICE_OFFSET, DEVICE_LEN, device_read, NULL},
	{VIRTIO_PCI_NOTIFY_OFFSET, VIRTIO_PCI_NOTIFY_SIZE, NULL, notify_write},
};

static bool
in_bar(uint64_t off, uint32_t len)
{
	return off <= VIRTIO_PCI_BAR_SIZE && len <= VIRTIO_PCI_BAR_SIZE - off;
}

/* The structure that an access starts in, or NULL. */
static const struct area *
area_find(uint64_t off)
{
	for (size_t i = 0; i < ARRAY_SIZE(areas); i++)
		if (off >= areas[i].off && off < areas[i].off + areas[i].len)
			return &areas[i];
	return NULL;
}

int
virtio_pci_bar_read(struct virtio_pci *vp, uint64_t off, void *buf, uint32_t len)
{
	const struct area *a = area_find(off);

	if (!in_bar(off, len))
		return -EINVAL;
	memset(buf, 0, len);
	if (a != NULL && a->read != NULL)
		a->read(vp, (uint32_t)off - a->off, buf, len);
	return 0;
}

int
virtio_pci_bar_write(struct virtio_pci *vp, uint64_t off, const void *buf, uint32_t len)
{
	const struct area *a = area_find(off);
	int rc = 0;

	if (!in_bar(off, len))
		return -EINVAL;
	if (a != NULL && a->write != NULL)
		rc = a->write(vp, (uint32_t)off - a->off, buf, len);
	/* A register has no way to say no: the driver sees it by reading back. */
	return rc == -EINPROGRESS ? rc : 0;
}

/* ---- PCI configuration access ---- */

#define CFG_DATA_OFF offsetof(struct virtio_pci_cfg_cap, pci_cfg_data)
#define CFG_DATA_LEN 4u

/* What the window points to. @return false: nowhere, or the access misses pci_cfg_data */
static bool
cfg_window(
	const struct virtio_pci *vp, uint32_t cfg_off, uint32_t len, struct virtio_pci_cfg_cap *cap)
{
	uint32_t data = vp->cfg_cap + (uint32_t)CFG_DATA_OFF;

	if (cfg_off >= data + CFG_DATA_LEN || len > PCI_CFG_SIZE || cfg_off + len <= data ||
		pci_fn_cfg_read(vp->fn, vp->cfg_cap, cap, sizeof(*cap)) != 0)
		return false;
	cap->cap.offset = le32toh(cap->cap.offset);
	cap->cap.length = le32toh(cap->cap.length);
	return cap->cap.bar == VIRTIO_PCI_BAR &&
	       (cap->cap.length == 1 || cap->cap.length == 2 || cap->cap.length == 4) &&
	       cap->cap.offset % cap->cap.length == 0;
}

int
virtio_pci_cfg_access_write(struct virtio_pci *vp, uint32_t cfg_off, uint32_t len)
{
	struct virtio_pci_cfg_cap cap;
	int rc;

	if (!cfg_window(vp, cfg_off, len, &cap))
		return 0;
	rc = virtio_pci_bar_write(vp, cap.cap.offset, cap.pci_cfg_data, cap.cap.length);
	return rc == -EINPROGRESS ? rc : 0;
}

void
virtio_pci_cfg_access_read(struct virtio_pci *vp, uint32_t cfg_off, uint32_t len)
{
	struct virtio_pci_cfg_cap cap;
	uint8_t data[CFG_DATA_LEN] = {0};

	if (!cfg_window(vp, cfg_off, len, &cap) ||
		virtio_pci_bar_read(vp, cap.cap.offset, data, cap.cap.length) != 0)
		return;
	pci_fn_cfg_poke(vp->fn, vp->cfg_cap + (uint32_t)CFG_DATA_OFF, data, cap.cap.length);
}

/* ---- life ---- */

void
virtio_pci_fn_params(struct pci_fn_params *params, uint16_t msix_vectors, bool intx_only)
{
	uint16_t vectors = intx_only ? 0 : msix_vectors;

	*params = (struct pci_fn_params){
		.vendor_id = VIRTIO_PCI_VENDOR,
		.device_id = VIRTIO_PCI_DEVICE_BASE + VIRTIO_ID_NET,
		.subsys_vendor_id = VIRTIO_PCI_VENDOR,
		.subsys_id = VIRTIO_PCI_DEVICE_BASE + VIRTIO_ID_NET,
		.revision = VIRTIO_PCI_REVISION_MODERN,
		.class_code = VIRTIO_PCI_CLASS_ETHERNET,
		.msix_vectors = vectors,
		.msix_bar = VIRTIO_PCI_MSIX_BAR,
		.intx = true,
	};
	/*
	 * Prefetchable, or bridges could place them below 4 GiB only. Nobody reads them
	 * speculatively.
	 */
	params->bar[VIRTIO_PCI_BAR] =
		(struct pci_bar){.size = VIRTIO_PCI_BAR_SIZE, .mem64 = true, .prefetchable = true};
	if (vectors != 0)
		params->bar[VIRTIO_PCI_MSIX_BAR] = (struct pci_bar){
			.size = pci_msix_bar_size(vectors), .mem64 = true, .prefetchable = true};
}

static struct virtio_pci_cap
vendor_cap(uint8_t type, uint8_t cap_len, uint32_t off, uint32_t len)
{
	return (struct virtio_pci_cap){
		.cap_vndr = PCI_CAP_ID_VNDR,
		.cap_len = cap_len,
		.cfg_type = type,
		.bar = VIRTIO_PCI_BAR,
		.offset = htole32(off),
		.length = htole32(len),
	};
}

static int
structure_caps_add(struct pci_fn *fn)
{
	const struct virtio_pci_notify_cap notify = {
		.cap = vendor_cap(VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(notify),
			VIRTIO_PCI_NOTIFY_OFFSET, VIRTIO_PCI_NOTIFY_SIZE),
		.notify_off_multiplier = htole32(VIRTIO_PCI_NOTIFY_MULT),
	};
	const struct virtio_pci_cap plain[] = {
		vendor_cap(VIRTIO_PCI_CAP_COMMON_CFG, sizeof(plain[0]), VIRTIO_PCI_COMMON_OFFSET,
			COMMON_LEN),
		vendor_cap(
			VIRTIO_PCI_CAP_ISR_CFG, sizeof(plain[0]), VIRTIO_PCI_ISR_OFFSET, ISR_LEN),
		vendor_cap(VIRTIO_PCI_CAP_DEVICE_CFG, sizeof(plain[0]), VIRTIO_PCI_DEVICE_OFFSET,
			DEVICE_LEN),
	};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		int rc = pci_fn_add_cap(fn, &plain[i], sizeof(plain[i]), NULL, 0);

		if (rc < 0)
			return rc;
	}
	return pci_fn_add_cap(fn, &notify, sizeof(notify), NULL, 0);
}

/* @return offset; -ENOSPC */
static int
cfg_access_cap_add(struct pci_fn *fn)
{
	const struct virtio_pci_cfg_cap cap = {
		.cap = vendor_cap(VIRTIO_PCI_CAP_PCI_CFG, sizeof(cap), 0, 0),
	};
	const struct virtio_pci_cfg_cap mask = {
		.cap = {.bar = 0xff, .offset = 0xffffffff, .length = 0xffffffff},
		.pci_cfg_data = {0xff, 0xff, 0xff, 0xff},
	};

	return pci_fn_add_cap(fn, &cap, sizeof(cap), &mask, PCI_EV_VENDOR);
}

int
virtio_pci_create(struct virtio_dev *dev, struct pci_fn *fn, struct virtio_pci **out)
{
	struct virtio_pci *vp = calloc(1, sizeof(*vp));
	int rc;

	if (vp == NULL)
		return -ENOMEM;
	rc = structure_caps_add(fn);
	if (rc >= 0)
		rc = cfg_access_cap_add(fn);
	if (rc < 0) {
		free(vp);
		return rc;
	}
	vp->dev = dev;
	vp->fn = fn;
	vp->state = virtio_dev_registers(dev);
	vp->cfg_cap = (uint16_t)rc;
	*out = vp;
	return 0;
}

void
virtio_pci_destroy(struct virtio_pci *vp)
{
	free(vp);
}
