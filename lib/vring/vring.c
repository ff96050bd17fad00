/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Life of a ring: start, stop, notifications both ways. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "vring/split_ring.h"

static_assert(offsetof(struct vring, desc_hint) <= 2 * RTE_CACHE_LINE_SIZE,
	"what a plain packet needs of a ring is in two cache lines");

#define FEATURE(conf, bit) (((conf)->features & UINT64_C(1) << (bit)) != 0)

/*
 * An area that lies in one piece of memory and is aligned there as well as in the client's view. The
 * table may know it as many ranges: a lookup only goes as far as its hint reaches.
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
			hostmem_gather_end(vr->hm, vr->gathered[i]);
}

static int
areas_translate(struct vring *vr, const struct vring_conf *conf)
{
	const uint16_t n = conf->size;

	/* virtio 1.2, 2.7: alignment of the three parts */
	if ((conf->desc & 15) != 0 || (conf->driver & 1) != 0 || (conf->device & 3) != 0)
		return -EINVAL;
	vr->desc = area_get(
		vr, &vr->gathered[0], conf->desc, SPLIT_DESC_SIZE(n), 16, HOSTMEM_READ);
	vr->avail = area_get(
		vr, &vr->gathered[1], conf->driver, SPLIT_AVAIL_SIZE(n), 2, HOSTMEM_READ);
	vr->used = area_get(vr, &vr->gathered[2], conf->device, SPLIT_USED_SIZE(n), 4,
		HOSTMEM_READ | HOSTMEM_WRITE);
	if (vr->desc == NULL || vr->avail == NULL || vr->used == NULL)
		return -EFAULT;
	return 0;
}

/*
 * Does the record belong to this ring? The driver has made no more available than the ring holds,
 * and the index that it sees is ours: at most one burst behind the record, if a predecessor ended
 * before it stored the index. A driver has no business with that index, so a lie costs it its own
 * device.
 */
static bool
record_fits(const struct vring *vr, const struct ring_record *rec)
{
	const uint16_t avail = __atomic_load_n(&vr->avail->idx, __ATOMIC_ACQUIRE);
	const uint16_t used = __atomic_load_n(&vr->used->idx, __ATOMIC_RELAXED);

	return (uint16_t)(avail - rec->used_idx) <= vr->size &&
	       (uint16_t)(rec->used_idx - used) <= VRING_BURST;
}

/* In the split ring chains complete in available order, so used_idx tells where to go on. */
static int
positions_take(struct vring *vr)
{
	struct ring_record *rec = vr->rec;

	if (!rec->running) {
		rec->used_idx = 0;
		rec->signalled_used = 0;
		__atomic_store_n(&vr->used->idx, 0, __ATOMIC_RELEASE);
		/* A process that ends here leaves a ring to begin, or one that fits its record. */
		__atomic_store_n(&rec->running, 1, __ATOMIC_RELEASE);
		vr->signalled_valid = true;
	} else if (!record_fits(vr, rec)) {
		return -ERANGE;
	}
	/* What was taken and not given back is going to be taken again. */
	rec->stats.received_desc = rec->stats.completed_desc;
	rec->avail_idx = rec->used_idx;
	vr->used_idx = rec->used_idx;
	vr->avail_idx = rec->used_idx;
	vr->avail_cached = rec->used_idx;
	vr->signalled_used = rec->signalled_used;
	__atomic_store_n(&vr->used->idx, vr->used_idx, __ATOMIC_RELEASE);
	return 0;
}

static void
forget(struct vring *vr)
{
	areas_release(vr);
	memset(vr, 0, sizeof(*vr));
}

int
vring_start(struct vring *vr, const struct vring_conf *conf)
{
	int ret;

	if (conf->size == 0 || conf->size > VRING_MAX_SIZE || !rte_is_power_of_2(conf->size))
		return -EINVAL;
	if (conf->record == NULL || conf->hm == NULL)
		return -EINVAL;
	memset(vr, 0, sizeof(*vr));
	vr->hm = conf->hm;
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
	vr->hdr_len = FEATURE(conf, VIRTIO_F_VERSION_1) || FEATURE(conf, VIRTIO_NET_F_MRG_RXBUF)
			      ? sizeof(struct virtio_net_hdr_mrg_rxbuf)
			      : sizeof(struct virtio_net_hdr);
	vr->desc_iova = conf->desc;
	vr->driver_iova = conf->driver;
	vr->device_iova = conf->device;
	ret = positions_take(vr);
	if (ret != 0) {
		forget(vr);
		return ret;
	}
	vring_kicks_on(vr);
	return 0;
}

void
vring_stop(struct vring *vr)
{
	if (vr->rec != NULL) {
		vr->rec->avail_idx = vr->avail_idx;
		vr->rec->used_idx = vr->used_idx;
		vr->rec->signalled_used = vr->signalled_used;
	}
	forget(vr);
}

static bool
overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a - b < b_len || b - a < a_len;
}

bool
vring_uses(const struct vring *vr, uint64_t iova, uint64_t len)
{
	return vr->size != 0 &&
	       (overlaps(iova, len, vr->desc_iova, SPLIT_DESC_SIZE(vr->size)) ||
		       overlaps(iova, len, vr->driver_iova, SPLIT_AVAIL_SIZE(vr->size)) ||
		       overlaps(iova, len, vr->device_iova, SPLIT_USED_SIZE(vr->size)));
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

uint16_t
vring_avail_entries(struct vring *vr)
{
	const uint16_t known = (uint16_t)(vr->avail_cached - vr->avail_idx);

	if (vring_broken(vr))
		return 0;
	return known >= VRING_BURST ? known : split_avail(vr, UINT16_MAX);
}

void
vring_kicks_off(struct vring *vr)
{
	/* Stored on a change only: the driver reads the line all the time, for the used index. */
	if (vr->kicks_are_off)
		return;
	vr->kicks_are_off = true;
	/* With the event index the event is left where it is, behind: a kick per 65536 entries. */
	if (!vr->event_idx)
		__atomic_store_n(&vr->used->flags, VIRTQ_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

bool
vring_kicks_on(struct vring *vr)
{
	vr->kicks_are_off = false;
	if (vr->event_idx)
		__atomic_store_n(split_avail_event(vr), vr->avail_idx, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vr->used->flags, 0, __ATOMIC_RELAXED);
	/* The driver stores its index, then looks at this; we do it the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&vr->avail->idx, __ATOMIC_ACQUIRE) != vr->avail_idx;
}

bool
vring_interrupt_wanted(struct vring *vr)
{
	const uint16_t old = vr->signalled_used, new = vr->used_idx;
	const bool valid = vr->signalled_valid;

	if (valid && old == new)
		return false;
	vr->signalled_used = new;
	vr->signalled_valid = true;
	vr->rec->signalled_used = new;
	/* The used index must be out before we look whether the driver waits for it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vr->event_idx)
		return (__atomic_load_n(&vr->avail->flags, __ATOMIC_RELAXED) &
			       VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
	/* virtio 1.2, 2.7.7.2: has the index passed used_event since the last time? */
	return !valid ||
	       virtq_need_event(__atomic_load_n(split_used_event(vr), __ATOMIC_RELAXED), new, old);
}
