/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Life of a ring: start, stop, notifications both ways. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "vring/burst.h"

static_assert(offsetof(struct vring, desc_hint) <= 2 * RTE_CACHE_LINE_SIZE,
	"what a plain packet needs of a ring is in two cache lines");

#define FEATURE(conf, bit) (((conf)->features & UINT64_C(1) << (bit)) != 0)

/* What a ring consists of: descriptors, the driver's area, the device's (virtio 1.2, 2.7, 2.8). */
#define RW (HOSTMEM_READ | HOSTMEM_WRITE)
static const struct area {
	uint32_t align;
	uint32_t fixed, each; /* bytes */
	uint32_t prot;
} split_areas[VRING_AREAS] = {{16, 0, 16, HOSTMEM_READ}, {2, 6, 2, HOSTMEM_READ}, {4, 6, 8, RW}},
  packed_areas[VRING_AREAS] = {{16, 0, 16, RW}, {4, 4, 0, HOSTMEM_READ}, {4, 4, 0, RW}};

static uint64_t
area_size(const struct area *a, uint16_t size)
{
	return a->fixed + (uint64_t)a->each * size;
}

/*
 * An area that lies in one piece of memory and is aligned there as well as in the client's view.
 * The table may know it as many ranges: a lookup only goes as far as its hint reaches.
 */
static void *
area_translate(const struct hostmem_table *table, uint64_t iova, uint64_t len, uint64_t align,
	uint32_t prot)
{
	struct hostmem_hint hint = {0};
	uint8_t *base = NULL, *va;
	uint64_t got;

	for (uint64_t done = 0; done < len; done += got) {
		got = len - done;
		va = hostmem_translate(table, &hint, iova + done, &got, prot);
		if (done == 0)
			base = va;
		if (va == NULL || va != base + done)
			return NULL;
	}
	return ((uintptr_t)base & (align - 1)) == 0 ? base : NULL;
}

static void *
area_get(struct vring *vr, uint8_t **gathered, uint64_t iova, uint64_t len, uint64_t align,
	uint32_t prot)
{
	void *area = area_translate(vr->table, iova, len, align, prot);

	if (area == NULL)
		area = *gathered = hostmem_gather(vr->hm, iova, len, prot);
	return area;
}

static void
areas_release(struct vring *vr)
{
	for (size_t i = 0; i < RTE_DIM(vr->gathered); i++)
		if (vr->gathered[i] != NULL)
			hostmem_area_end(vr->hm, vr->gathered[i]);
}

static int
areas_translate(struct vring *vr, const struct vring_conf *conf)
{
	const struct area *areas = vr->packed ? packed_areas : split_areas;
	const uint64_t iova[VRING_AREAS] = {conf->desc, conf->driver, conf->device};
	void *va[VRING_AREAS];

	for (unsigned int i = 0; i < VRING_AREAS; i++)
		if ((iova[i] & (areas[i].align - 1)) != 0)
			return -EINVAL;
	for (unsigned int i = 0; i < VRING_AREAS; i++) {
		va[i] = area_get(vr, &vr->gathered[i], iova[i], area_size(&areas[i], conf->size),
			areas[i].align, areas[i].prot);
		if (va[i] == NULL)
			return -EFAULT;
	}
	vr->desc = va[0];
	vr->avail = va[1];
	vr->used = va[2];
	return 0;
}

/*
 * Does the record belong to this ring? The driver has made no more available than the ring holds,
 * and the index that it sees is ours: at most one burst behind the record, if a predecessor ended
 * before it stored the index. A driver has no business with that index, so a lie costs it its own
 * device.
 */
static bool
split_record_fits(const struct vring *vr, const struct ring_record *rec)
{
	const uint16_t avail = __atomic_load_n(&vr->avail->idx, __ATOMIC_ACQUIRE);
	const uint16_t used = __atomic_load_n(&vr->used->idx, __ATOMIC_RELAXED);

	return (uint16_t)(avail - rec->used_idx) <= vr->size &&
	       (uint16_t)(rec->used_idx - used) <= RING_RECORD_BURST;
}

static bool
shadow_fits(const struct vring *vr, const struct ring_record *rec)
{
	if (rec->shadow_n == 0 || rec->shadow_n > RTE_MIN(vr->size, RING_RECORD_BURST) ||
		rec->next_used >= vr->size || rec->next_used_wrap > 1 ||
		rec->shadow[0].slot != rec->used_idx)
		return false;
	for (uint16_t i = 0; i < rec->shadow_n; i++)
		if (rec->shadow[i].slot >= vr->size)
			return false;
	return true;
}

/* Behind the record's position nothing can have been used in this lap. */
static bool
packed_record_fits(const struct vring *vr, const struct ring_record *rec)
{
	if (rec->used_idx >= vr->size || rec->used_wrap > 1)
		return false;
	if (rec->valid)
		return shadow_fits(vr, rec);
	return (PACKED_REST_FLAGS(packed_rest(vr, rec->used_idx)) & PACKED_F_TURN) !=
	       packed_used_flags(rec->used_wrap);
}

/* A predecessor ended while it wrote a burst (state/ring_record.h). */
static void
packed_roll_forward(struct vring *vr)
{
	struct ring_record *rec = vr->rec;
	const struct packed_at from = {rec->used_idx, rec->used_wrap};

	if (packed_rest_avail(packed_rest(vr, from.slot), from.wrap))
		packed_show(vr);
	else
		packed_settle(rec);
}

static void
positions_begin(struct vring *vr)
{
	struct ring_record *rec = vr->rec;

	rec->used_idx = 0;
	rec->used_wrap = vr->packed;
	rec->valid = 0;
	rec->signalled_used = 0;
	if (!vr->packed)
		__atomic_store_n(&vr->used->idx, 0, __ATOMIC_RELEASE);
	/* A process that ends here leaves a ring to begin, or one that fits its record. */
	__atomic_store_n(&rec->running, 1, __ATOMIC_RELEASE);
	vr->signalled_valid = true;
}

/* Chains complete in available order, so used_idx tells where to go on. */
static int
positions_take(struct vring *vr)
{
	struct ring_record *rec = vr->rec;

	if (!rec->running)
		positions_begin(vr);
	else if (!(vr->packed ? packed_record_fits(vr, rec) : split_record_fits(vr, rec)))
		return -ERANGE;
	if (vr->packed && rec->valid)
		packed_roll_forward(vr);
	/* What was taken and not given back is going to be taken again. */
	rec->stats.received_desc = rec->stats.completed_desc;
	rec->avail_idx = rec->used_idx;
	rec->avail_wrap = rec->used_wrap;
	vr->used_idx = rec->used_idx;
	vr->used_wrap = rec->used_wrap;
	vr->avail_idx = rec->used_idx;
	vr->avail_wrap = rec->used_wrap;
	vr->avail_cached = rec->used_idx;
	vr->signalled_used = rec->signalled_used;
	if (!vr->packed)
		__atomic_store_n(&vr->used->idx, vr->used_idx, __ATOMIC_RELEASE);
	return 0;
}

static void
forget(struct vring *vr)
{
	areas_release(vr);
	memset(vr, 0, sizeof(*vr));
}

/* Virtio 1.2, 5.1.6 and 5.1.6.1. */
static uint8_t
hdr_len(const struct vring_conf *conf)
{
	if (FEATURE(conf, VIRTIO_NET_F_HASH_REPORT))
		return HDR_HASH_SIZE;
	if (FEATURE(conf, VIRTIO_F_VERSION_1) || FEATURE(conf, VIRTIO_NET_F_MRG_RXBUF))
		return HDR_SIZE;
	return sizeof(struct virtio_net_hdr);
}

int
vring_start(struct vring *vr, const struct vring_conf *conf)
{
	int ret;

	if (conf->size == 0 || conf->size > VRING_MAX_SIZE)
		return -EINVAL;
	if (!FEATURE(conf, VIRTIO_F_RING_PACKED) && !rte_is_power_of_2(conf->size))
		return -EINVAL;
	if (conf->record == NULL || conf->hm == NULL)
		return -EINVAL;
	if (FEATURE(conf, VRING_F_LOG_ALL) != (conf->log != NULL))
		return -EINVAL;
	memset(vr, 0, sizeof(*vr));
	vr->hm = conf->hm;
	vr->spec = (uint8_t)burst_spec(conf->features);
	vr->packed = FEATURE(conf, VIRTIO_F_RING_PACKED);
	vr->table = hostmem_table(conf->hm);
	vr->table_gen = vr->table->gen;
	ret = areas_translate(vr, conf);
	if (ret != 0) {
		forget(vr);
		return ret;
	}
	vr->rec = conf->record;
	vr->size = conf->size;
	vr->mask = conf->size - 1;
	vr->features = conf->features;
	vr->event_idx = FEATURE(conf, VIRTIO_RING_F_EVENT_IDX);
	vr->indirect = FEATURE(conf, VIRTIO_RING_F_INDIRECT_DESC);
	vr->hdr_len = hdr_len(conf);
	vr->desc_iova = conf->desc;
	vr->driver_iova = conf->driver;
	vr->device_iova = conf->device;
	vr->span = 1;
	vr->log = conf->log;
	vr->used_log_addr = conf->used_log_addr;
	ret = positions_take(vr);
	if (ret != 0) {
		forget(vr);
		return ret;
	}
	/* What a predecessor wrote last it may not have logged. */
	if (ring_logs(vr))
		ring_log_areas(vr);
	vring_kicks_on(vr);
	return 0;
}

void
vring_stop(struct vring *vr)
{
	if (vr->rec != NULL) {
		vr->rec->avail_idx = vr->avail_idx;
		vr->rec->avail_wrap = vr->avail_wrap;
		vr->rec->used_idx = vr->used_idx;
		vr->rec->used_wrap = vr->used_wrap;
		vr->rec->signalled_used = vr->signalled_used;
	}
	forget(vr);
}

uint32_t
vring_base(const struct ring_record *rec, uint64_t features)
{
	const bool packed = (features & UINT64_C(1) << VIRTIO_F_RING_PACKED) != 0;
	uint32_t half;

	if (!packed)
		return rec->running ? rec->used_idx : 0;
	half = rec->running ? rec->used_idx | (uint32_t)rec->used_wrap << 15 : 1u << 15;
	return half | half << 16;
}

void
vring_base_set(struct ring_record *rec, uint64_t features, uint32_t base)
{
	const bool packed = (features & UINT64_C(1) << VIRTIO_F_RING_PACKED) != 0;

	rec->valid = 0;
	rec->used_idx = (uint16_t)(packed ? base & 0x7fff : base);
	rec->used_wrap = packed ? base >> 15 & 1 : 0;
	rec->avail_idx = rec->used_idx;
	rec->avail_wrap = rec->used_wrap;
	rec->signalled_used = rec->used_idx;
	rec->running = 1;
}

static bool
overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a - b < b_len || b - a < a_len;
}

bool
vring_uses(const struct vring *vr, uint64_t iova, uint64_t len)
{
	const struct area *areas = vr->packed ? packed_areas : split_areas;
	const uint64_t at[VRING_AREAS] = {vr->desc_iova, vr->driver_iova, vr->device_iova};

	for (unsigned int i = 0; vr->size != 0 && i < VRING_AREAS; i++)
		if (overlaps(iova, len, at[i], area_size(&areas[i], vr->size)))
			return true;
	return false;
}

const char *
vring_strerror(enum vring_error err)
{
	static const char *const text[] = {
		[VRING_OK] = "no error",
		[VRING_ERR_INDEX] = "ring index out of range",
		[VRING_ERR_CHAIN] = "malformed descriptor chain",
		[VRING_ERR_INDIRECT] = "malformed indirect descriptor",
		[VRING_ERR_ADDRESS] = "address outside the client's memory",
	};

	return (size_t)err < RTE_DIM(text) ? text[err] : "unknown error";
}
