/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Driver side of a packed ring (virtio 1.2, 2.8). */

#include "vring/driver_ring.h"

#define AREA(bytes)  RTE_ALIGN_CEIL(bytes, DRIVER_AREA_ALIGN)
#define DESC_SIZE(n) (sizeof(struct pvirtq_desc) * (size_t)(n))
#define EVENT_SIZE   sizeof(struct pvirtq_event_suppress)
/* An event suppression structure is read and written as one: its halves belong together. */
#define EVENT(at, flags) ((uint32_t)(at) | (uint32_t)(flags) << 16)

size_t
packed_driver_areas(uint16_t size)
{
	return AREA(DESC_SIZE(size)) + 2 * AREA(EVENT_SIZE);
}

void
packed_driver_init(struct vring_driver *vd, uint8_t *va, uint64_t iova)
{
	const uint64_t driver = AREA(DESC_SIZE(vd->size));
	const uint64_t device = driver + AREA(EVENT_SIZE);

	vd->ring = (struct pvirtq_desc *)va;
	vd->driver_event = (struct pvirtq_event_suppress *)(va + driver);
	vd->device_event = (const struct pvirtq_event_suppress *)(va + device);
	vd->desc_iova = iova;
	vd->driver_iova = iova + driver;
	vd->device_iova = iova + device;
	vd->avail_wrap = true;
	vd->used_wrap = true;
	if (vd->event_idx)
		packed_driver_interrupts_on(vd);
}

/* Write the next descriptor. The device must not see it before the one held back. */
static __rte_always_inline void
desc_put(struct vring_driver *vd, const struct vring_buf *buf, uint16_t id, uint16_t flags)
{
	struct pvirtq_desc *d = &vd->ring[vd->avail_idx];

	d->addr = buf->iova;
	d->len = buf->len;
	d->id = id;
	flags |= vd->avail_wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
	if (unlikely(!vd->held)) {
		vd->held = true;
		vd->held_at = vd->avail_idx;
		vd->held_flags = flags;
	} else {
		__atomic_store_n(&d->flags, flags, __ATOMIC_RELAXED);
	}
	if (unlikely(++vd->avail_idx == vd->size)) {
		vd->avail_idx = 0;
		vd->avail_wrap = !vd->avail_wrap;
	}
	vd->unpublished++;
}

/* In order, a chain is known by the place of its first descriptor. */
static __rte_always_inline uint16_t
id_take(struct vring_driver *vd, uint16_t n, uint32_t in_len, uint64_t token)
{
	const uint16_t id = vd->in_order ? vd->avail_idx : vd->free_head;
	struct vring_driver_slot *slot = &vd->slots[id];

	vd->free_head = slot->next;
	slot->token = token;
	slot->in_len = in_len;
	slot->n = n;
	vd->n_free -= n;
	return id;
}

static struct vring_buf
table_fill(struct vring_driver *vd, uint16_t id, const struct vring_buf *bufs, uint16_t n_out,
	uint16_t n)
{
	const size_t first = (size_t)id * VRING_DRIVER_INDIRECT_MAX;

	for (uint16_t i = 0; i < n; i++)
		vd->pindirect[first + i] = (struct pvirtq_desc){
			.addr = bufs[i].iova,
			.len = bufs[i].len,
			.flags = i >= n_out ? VIRTQ_DESC_F_WRITE : 0,
		};
	return (struct vring_buf){
		.iova = vd->indirect_iova + first * sizeof(struct pvirtq_desc),
		.len = n * (uint32_t)sizeof(struct pvirtq_desc),
	};
}

void
packed_driver_add(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out, uint16_t n,
	bool indirect, uint64_t token)
{
	const uint16_t id = id_take(vd, indirect ? 1 : n, driver_in_len(bufs, n_out, n), token);

	if (indirect) {
		const struct vring_buf table = table_fill(vd, id, bufs, n_out, n);

		desc_put(vd, &table, id, VIRTQ_DESC_F_INDIRECT);
		return;
	}
	for (uint16_t i = 0; i < n; i++)
		desc_put(vd, &bufs[i], id,
			(i >= n_out ? VIRTQ_DESC_F_WRITE : 0) |
				(i + 1 < n ? VIRTQ_DESC_F_NEXT : 0));
}

uint16_t
packed_driver_add_burst(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n, bool in,
	uint64_t first_token)
{
	const uint16_t flags = in ? VIRTQ_DESC_F_WRITE : 0;

	for (uint16_t i = 0; i < n; i++)
		desc_put(
			vd, &bufs[i], id_take(vd, 1, in ? bufs[i].len : 0, first_token + i), flags);
	return n;
}

void
packed_driver_publish(struct vring_driver *vd)
{
	if (!vd->held)
		return;
	vd->held = false;
	vd->unkicked += vd->unpublished;
	vd->unpublished = 0;
	__atomic_store_n(&vd->ring[vd->held_at].flags, vd->held_flags, __ATOMIC_RELEASE);
}

/* What is added and not published does not count. */
uint16_t
packed_driver_published(const struct vring_driver *vd)
{
	const uint16_t at = vd->held ? vd->held_at : vd->avail_idx;
	const bool wrap = vd->avail_wrap != (vd->held && at >= vd->avail_idx);

	return at | (wrap ? RING_EVENT_WRAP : 0);
}

bool
packed_driver_kick_needed(struct vring_driver *vd)
{
	const uint16_t where = packed_driver_published(vd);
	const uint16_t new = where & ~RING_EVENT_WRAP;
	const uint32_t n = vd->unkicked;
	uint32_t event;
	uint16_t at;

	vd->unkicked = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = __atomic_load_n((const uint32_t *)vd->device_event, __ATOMIC_RELAXED);
	if (n == 0 || event >> 16 == RING_EVENT_FLAGS_DISABLE)
		return false;
	if (event >> 16 != RING_EVENT_FLAGS_DESC || !vd->event_idx || n >= vd->size)
		return true;
	at = event & (RING_EVENT_WRAP - 1);
	/* The counters differ: the device means the lap before this one. */
	if (((event ^ where) & RING_EVENT_WRAP) != 0)
		at -= vd->size;
	return virtq_need_event(at, new, (uint16_t)(new - n));
}

/* One chain; 0 if there is none, negative if the device's answer cannot be. */
static __rte_always_inline int
used_take(struct vring_driver *vd, struct vring_used_chain *used)
{
	const struct pvirtq_desc *d = &vd->ring[vd->used_idx];
	uint16_t n;

	if (!vd->in_batch) {
		const uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
		const uint16_t id = *(const volatile uint16_t *)&d->id;
		const uint32_t len = *(const volatile uint32_t *)&d->len;

		if (((flags & VIRTQ_DESC_F_AVAIL) != 0) != vd->used_wrap ||
			((flags & VIRTQ_DESC_F_USED) != 0) != vd->used_wrap)
			return 0;
		if (!driver_answer_fits(vd, id, (flags & VIRTQ_DESC_F_WRITE) != 0 ? len : 0))
			return -1;
		vd->batch_end = id;
		vd->batch_len = (flags & VIRTQ_DESC_F_WRITE) != 0 ? len : 0;
	}
	if (vd->in_order) {
		n = driver_batch_next(vd, used);
	} else {
		struct vring_driver_slot *slot = &vd->slots[vd->batch_end];

		*used = (struct vring_used_chain){slot->token, vd->batch_len};
		n = slot->n;
		slot->n = 0;
		slot->next = vd->free_head;
		vd->free_head = vd->batch_end;
		vd->n_free += n;
	}
	vd->used_idx += n;
	if (unlikely(vd->used_idx >= vd->size)) {
		vd->used_idx -= vd->size;
		vd->used_wrap = !vd->used_wrap;
	}
	return 1;
}

uint16_t
packed_driver_get_burst(struct vring_driver *vd, struct vring_used_chain *used, uint16_t n)
{
	uint16_t i;
	int ret;

	for (i = 0; i < n; i++) {
		ret = used_take(vd, &used[i]);
		if (ret == 1)
			continue;
		vd->broken = ret < 0;
		break;
	}
	return i;
}

static void
event_set(struct vring_driver *vd, uint32_t event)
{
	__atomic_store_n((uint32_t *)vd->driver_event, event, __ATOMIC_RELAXED);
}

void
packed_driver_interrupts_off(struct vring_driver *vd)
{
	event_set(vd, EVENT(0, RING_EVENT_FLAGS_DISABLE));
}

bool
packed_driver_interrupts_on(struct vring_driver *vd)
{
	const uint16_t at = vd->used_idx | (vd->used_wrap ? RING_EVENT_WRAP : 0);
	uint16_t flags;

	event_set(vd, vd->event_idx ? EVENT(at, RING_EVENT_FLAGS_DESC)
				    : EVENT(0, RING_EVENT_FLAGS_ENABLE));
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	flags = __atomic_load_n(&vd->ring[vd->used_idx].flags, __ATOMIC_ACQUIRE);
	return vd->in_batch || (((flags & VIRTQ_DESC_F_AVAIL) != 0) == vd->used_wrap &&
				       ((flags & VIRTQ_DESC_F_USED) != 0) == vd->used_wrap);
}
