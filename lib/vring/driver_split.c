/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Driver side of a split ring (virtio 1.2, 2.7). */

#include "vring/driver_ring.h"
#include "vring/split_ring.h"

#define AREA(bytes) RTE_ALIGN_CEIL(bytes, DRIVER_AREA_ALIGN)

size_t
split_driver_areas(uint16_t size)
{
	return AREA(SPLIT_DESC_SIZE(size)) + AREA(SPLIT_AVAIL_SIZE(size)) +
	       AREA(SPLIT_USED_SIZE(size));
}

void
split_driver_init(struct vring_driver *vd, uint8_t *va, uint64_t iova)
{
	const uint64_t avail = AREA(SPLIT_DESC_SIZE(vd->size));
	const uint64_t used = avail + AREA(SPLIT_AVAIL_SIZE(vd->size));

	vd->desc = (struct virtq_desc *)va;
	vd->avail = (struct virtq_avail *)(va + avail);
	vd->used = (struct virtq_used *)(va + used);
	vd->desc_iova = iova;
	vd->driver_iova = iova + avail;
	vd->device_iova = iova + used;
}

/*
 * The table's last descriptor names the first one as its successor, each other one the next: with
 * in-order use the spec wants it so (2.7.5.1), and slots[].next begins so and then stays so.
 */
static struct virtq_desc
desc_of(const struct vring_buf *buf, bool in, bool last, uint16_t next)
{
	return (struct virtq_desc){
		.addr = buf->iova,
		.len = buf->len,
		.flags = (in ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT),
		.next = last ? 0 : next,
	};
}

static __rte_always_inline void
head_add(struct vring_driver *vd, uint16_t head, uint16_t n, uint32_t in_len, uint64_t token)
{
	vd->slots[head].token = token;
	vd->slots[head].in_len = in_len;
	vd->slots[head].n = n;
	vd->avail->ring[vd->avail_idx++ & vd->mask] = head;
	vd->n_free -= n;
}

static void
table_fill(struct vring_driver *vd, uint16_t head, const struct vring_buf *bufs, uint16_t n_out,
	uint16_t n)
{
	const size_t first = (size_t)head * VRING_DRIVER_INDIRECT_MAX;

	for (uint16_t i = 0; i < n; i++)
		vd->indirect[first + i] = desc_of(&bufs[i], i >= n_out, i + 1 == n, i + 1);
	vd->desc[head] = (struct virtq_desc){
		.addr = vd->indirect_iova + first * sizeof(struct virtq_desc),
		.len = n * sizeof(struct virtq_desc),
		.flags = VIRTQ_DESC_F_INDIRECT,
	};
}

void
split_driver_add(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out, uint16_t n,
	bool indirect, uint64_t token)
{
	const uint32_t in_len = driver_in_len(bufs, n_out, n);
	const uint16_t head = vd->free_head;
	uint16_t at = head;

	if (indirect) {
		table_fill(vd, head, bufs, n_out, n);
		vd->free_head = vd->slots[head].next;
		head_add(vd, head, 1, in_len, token);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		const uint16_t next = vd->slots[at].next;

		vd->desc[at] = desc_of(&bufs[i], i >= n_out, i + 1 == n, next);
		at = next;
	}
	vd->free_head = at;
	head_add(vd, head, n, in_len, token);
}

uint16_t
split_driver_add_burst(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n, bool in,
	uint64_t first_token)
{
	for (uint16_t i = 0; i < n; i++) {
		const uint16_t head = vd->free_head;

		vd->free_head = vd->slots[head].next;
		vd->desc[head] = desc_of(&bufs[i], in, true, 0);
		head_add(vd, head, 1, in ? bufs[i].len : 0, first_token + i);
	}
	return n;
}

void
split_driver_publish(struct vring_driver *vd)
{
	vd->published_idx = vd->avail_idx;
	__atomic_store_n(&vd->avail->idx, vd->avail_idx, __ATOMIC_RELEASE);
}

bool
split_driver_kick_needed(struct vring_driver *vd)
{
	const uint16_t old = vd->kicked_idx, new = vd->published_idx;
	const uint16_t *event = (const uint16_t *)&vd->used->ring[vd->size];

	vd->kicked_idx = new;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vd->event_idx)
		return virtq_need_event(__atomic_load_n(event, __ATOMIC_RELAXED), new, old);
	return old != new &&
	       (__atomic_load_n(&vd->used->flags, __ATOMIC_RELAXED) & VIRTQ_USED_F_NO_NOTIFY) == 0;
}

/* Give the descriptors of the chain at head back to the free list. */
static __rte_always_inline void
head_free(struct vring_driver *vd, uint16_t head)
{
	struct vring_driver_slot *slot = &vd->slots[head];
	const uint16_t n = slot->n;
	uint16_t last = head;

	for (uint16_t i = 1; i < n; i++)
		last = vd->slots[last].next;
	slot->n = 0;
	vd->slots[last].next = vd->free_head;
	vd->free_head = head;
	vd->n_free += n;
}

/* One chain; false if the device's answer cannot be. */
static __rte_always_inline bool
used_take(struct vring_driver *vd, struct vring_used_chain *used)
{
	const volatile struct virtq_used_elem *e = &vd->used->ring[vd->used_idx & vd->mask];

	if (!vd->in_batch) {
		const uint32_t id = e->id, len = e->len;

		if (!driver_answer_fits(vd, id, len))
			return false;
		if (!vd->in_order) {
			*used = (struct vring_used_chain){vd->slots[id].token, len};
			head_free(vd, (uint16_t)id);
			vd->used_idx++;
			return true;
		}
		vd->batch_end = (uint16_t)id;
		vd->batch_len = len;
	}
	driver_batch_next(vd, used);
	vd->used_idx++;
	return true;
}

uint16_t
split_driver_get_burst(struct vring_driver *vd, struct vring_used_chain *used, uint16_t n)
{
	const uint16_t idx = __atomic_load_n(&vd->used->idx, __ATOMIC_ACQUIRE);
	const uint16_t there = (uint16_t)(idx - vd->used_idx);
	uint16_t i;

	if (there > vd->size) {
		vd->broken = true;
		return 0;
	}
	n = RTE_MIN(n, there);
	for (i = 0; i < n; i++)
		if (!used_take(vd, &used[i])) {
			vd->broken = true;
			break;
		}
	/* A batch ends where the index says. */
	if (unlikely(vd->in_batch && vd->used_idx == idx))
		vd->broken = true;
	return i;
}

void
split_driver_interrupts_off(struct vring_driver *vd)
{
	if (!vd->event_idx)
		__atomic_store_n(&vd->avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}

bool
split_driver_interrupts_on(struct vring_driver *vd)
{
	uint16_t *event = &vd->avail->ring[vd->size];

	if (vd->event_idx)
		__atomic_store_n(event, vd->used_idx, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vd->avail->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&vd->used->idx, __ATOMIC_ACQUIRE) != vd->used_idx;
}
