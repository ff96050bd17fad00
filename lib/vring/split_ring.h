/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_SPLIT_RING_H
#define VRING_SPLIT_RING_H

/**
 * @file
 * Inside lib/vring: the three areas of a split ring (virtio 1.2, 2.7), one access each.
 */

#include "vring/ring_common.h"

#define SPLIT_DESC_SIZE(n)  (16u * (uint64_t)(n))
#define SPLIT_AVAIL_SIZE(n) (6u + 2u * (uint64_t)(n))
#define SPLIT_USED_SIZE(n)  (6u + 8u * (uint64_t)(n))

/** The event fields follow the rings' entries (2.7.6, 2.7.8). */
static inline uint16_t *
split_used_event(const struct vring *vr)
{
	return (uint16_t *)((uint8_t *)vr->avail + 4 + 2 * (size_t)vr->size);
}

static inline uint16_t *
split_avail_event(const struct vring *vr)
{
	return (uint16_t *)((uint8_t *)vr->used + 4 + 8 * (size_t)vr->size);
}

/**
 * Entries to take, up to want. The driver's index is read only if those known do not suffice: its
 * cache line is being written by another CPU.
 */
static __rte_always_inline uint16_t
split_avail(struct vring *vr, uint16_t want)
{
	uint16_t n = (uint16_t)(vr->avail_cached - vr->avail_idx);

	if (n < want) {
		vr->avail_cached = __atomic_load_n(&vr->avail->idx, __ATOMIC_ACQUIRE);
		n = (uint16_t)(vr->avail_cached - vr->avail_idx);
		if (unlikely(n > vr->size)) {
			vr->avail_cached = vr->avail_idx;
			vring_fail(vr, VRING_ERR_INDEX);
			return 0;
		}
	}
	return RTE_MIN(n, want);
}

static __rte_always_inline uint16_t
split_head(const struct vring *vr, uint16_t at)
{
	return *(const volatile uint16_t *)&vr->avail->ring[at & vr->mask];
}

static __rte_always_inline void
split_used_set(struct vring *vr, uint16_t at, uint16_t head, uint32_t len)
{
	struct virtq_used_elem *e = &vr->used->ring[at & vr->mask];

	e->id = head;
	e->len = len;
}

/**
 * Note in the record that n entries, written from used_idx on, are used.
 *
 * From here on they count as given back: should the process die before split_show(), its successor
 * stores the index.
 */
static __rte_always_inline void
split_record(struct vring *vr, uint16_t n)
{
	const uint16_t used = (uint16_t)(vr->used_idx + n);

	vr->used_idx = used;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	vr->rec->avail_idx = vr->avail_idx;
	vr->rec->used_idx = used;
	vr->rec->stats.completed_desc += n;
	/* Too long without a decision on an interrupt: the index has lapped it. */
	if (unlikely((uint16_t)(used - vr->signalled_used) < n))
		vr->signalled_valid = false;
}

/** Make what the record says, n entries more than before, visible with one store. */
static __rte_always_inline void
split_show(struct vring *vr, uint16_t n)
{
	__atomic_store_n(&vr->used->idx, vr->used_idx, __ATOMIC_RELEASE);
	if (ring_logs(vr))
		split_log(vr, n);
}

#endif /* VRING_SPLIT_RING_H */
