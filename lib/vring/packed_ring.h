/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_PACKED_RING_H
#define VRING_PACKED_RING_H

/**
 * @file
 * Inside lib/vring: a packed ring (virtio 1.2, 2.8), one access each.
 *
 * A chain is a run of descriptors; the used entry overwrites its first one and names the buffer id
 * that stands in its last one. Used entries wait in the record's shadow (state/ring_record.h) until
 * all of a burst is shown.
 */

#include <string.h>

#include <rte_prefetch.h>

#include "vring/ring_common.h"

#define PACKED_DESC_SIZE(n) (16u * (uint64_t)(n))
#define PACKED_EVENT_SIZE   4u

#define PACKED_F_TURN	    (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

typedef uint64_t __attribute__((may_alias)) packed_u64;

/** A place in the ring, and which lap it belongs to. */
struct packed_at {
	uint16_t slot;
	bool wrap;
};

/** A chain as its first descriptor shows it. */
struct packed_head {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /**< without those that say whose turn it is */
	uint16_t id;	/**< of its last descriptor */
	uint16_t n;	/**< its descriptors; 0: more than there can be */
};

static __rte_always_inline struct packed_at
packed_ahead(const struct vring *vr, struct packed_at at, uint16_t n)
{
	const uint32_t slot = (uint32_t)at.slot + n;

	if (unlikely(slot >= vr->size))
		return (struct packed_at){(uint16_t)(slot - vr->size), !at.wrap};
	return (struct packed_at){(uint16_t)slot, at.wrap};
}

/** Slots from `from` up to `to`, which is ahead of it by a lap at most. */
static __rte_always_inline uint16_t
packed_distance(const struct vring *vr, struct packed_at from, struct packed_at to)
{
	return (uint16_t)(to.slot - from.slot + (from.wrap != to.wrap ? vr->size : 0));
}

static __rte_always_inline struct packed_at
packed_avail_at(const struct vring *vr)
{
	return (struct packed_at){vr->avail_idx, vr->avail_wrap};
}

static __rte_always_inline struct packed_at
packed_used_at(const struct vring *vr)
{
	return (struct packed_at){vr->used_idx, vr->used_wrap};
}

static __rte_always_inline struct packed_at
packed_seen_at(const struct vring *vr)
{
	return vr->seen != 0 ? (struct packed_at){vr->seen_idx, vr->seen_wrap}
			     : packed_avail_at(vr);
}

/** n chains up to `next` are taken. */
static __rte_always_inline void
packed_advance(struct vring *vr, struct packed_at next, uint16_t n)
{
	vr->avail_idx = next.slot;
	vr->avail_wrap = next.wrap;
	vr->taken += n;
	vr->seen -= RTE_MIN(vr->seen, n);
}

/** Flags of a descriptor that is available, or of one that is used, in a lap. */
static __rte_always_inline uint16_t
packed_avail_flags(bool wrap)
{
	return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

static __rte_always_inline uint16_t
packed_used_flags(bool wrap)
{
	return wrap ? PACKED_F_TURN : 0;
}

/** Length, id and flags of a descriptor; its address is to be read afterwards. */
static __rte_always_inline uint64_t
packed_rest(const struct vring *vr, uint16_t slot)
{
	return __atomic_load_n((const packed_u64 *)&vr->pdesc[slot].len, __ATOMIC_ACQUIRE);
}

#define PACKED_REST_LEN(rest)	((uint32_t)(rest))
#define PACKED_REST_ID(rest)	((uint16_t)((rest) >> 32))
#define PACKED_REST_FLAGS(rest) ((uint16_t)((rest) >> 48))
#define PACKED_REST(len, id, flags)                                                                \
	((uint64_t)(len) | (uint64_t)(id) << 32 | (uint64_t)(uint16_t)(flags) << 48)

static __rte_always_inline bool
packed_rest_avail(uint64_t rest, bool wrap)
{
	return (PACKED_REST_FLAGS(rest) & PACKED_F_TURN) == packed_avail_flags(wrap);
}

static __rte_always_inline uint64_t
packed_addr(const struct vring *vr, uint16_t slot)
{
	return *(const volatile uint64_t *)&vr->pdesc[slot].addr;
}

static __rte_always_inline void
packed_head_set(
	const struct vring *vr, struct packed_head *head, struct packed_at at, uint64_t rest)
{
	head->addr = packed_addr(vr, at.slot);
	head->len = PACKED_REST_LEN(rest);
	head->id = PACKED_REST_ID(rest);
	head->flags = PACKED_REST_FLAGS(rest) & (uint16_t)~PACKED_F_TURN;
	head->n = 1;
}

/**
 * Find the end of a chain of more than one descriptor. Whose turn the later ones are does not
 * matter: the driver shows a chain by its first one, last of all (2.8.6).
 */
static __rte_always_inline void
packed_walk(const struct vring *vr, struct packed_head *head, struct packed_at at, uint16_t limit)
{
	uint64_t rest;
	uint16_t n = 1;

	do {
		if (unlikely(n == limit)) {
			head->n = 0;
			return;
		}
		at = packed_ahead(vr, at, 1);
		rest = packed_rest(vr, at.slot);
		n++;
	} while (unlikely((PACKED_REST_FLAGS(rest) & VIRTQ_DESC_F_NEXT) != 0));
	head->id = PACKED_REST_ID(rest);
	head->n = n;
}

/**
 * Look at the chain at `at`.
 *
 * @param room  slots that the driver can have filled from there on
 * @return false: there is none
 */
static __rte_always_inline bool
packed_take(const struct vring *vr, struct packed_head *head, struct packed_at at, uint16_t room)
{
	uint64_t rest;

	if (unlikely(room == 0))
		return false;
	rest = packed_rest(vr, at.slot);
	if (!packed_rest_avail(rest, at.wrap))
		return false;
	packed_head_set(vr, head, at, rest);
	if (unlikely((head->flags & VIRTQ_DESC_F_NEXT) != 0))
		packed_walk(vr, head, at, RTE_MIN(room, (uint16_t)VRING_MAX_CHAIN));
	return true;
}

#define PACKED_LINE (RTE_CACHE_LINE_SIZE / 16u) /**< descriptors in a cache line */

/**
 * The descriptors of a cache line that begins at `at`, if all are available and each is a chain of
 * one buffer, to be written or not as dir says: one branch for all of them.
 */
static __rte_always_inline bool
packed_take_line(const struct vring *vr, uint64_t rest[PACKED_LINE], struct packed_at at,
	uint16_t room, const uint16_t dir)
{
	const uint16_t kind = VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE;
	const uint64_t look = PACKED_REST(0, 0, PACKED_F_TURN | kind);
	const uint64_t want = PACKED_REST(0, 0, packed_avail_flags(at.wrap) | dir);
	uint64_t off = 0;

	if (at.slot % PACKED_LINE != 0 || room < PACKED_LINE || at.slot + PACKED_LINE > vr->size)
		return false;
	for (uint16_t i = 0; i < PACKED_LINE; i++) {
		rest[i] = packed_rest(vr, at.slot + i);
		off |= (rest[i] ^ want) & look;
	}
	return off == 0;
}

/** Ask for the lines of the n descriptors from `at` on. */
static __rte_always_inline void
packed_prefetch(const struct vring *vr, struct packed_at at, uint16_t n)
{
	for (uint16_t i = 0; i < n; i += PACKED_LINE)
		rte_prefetch0(&vr->pdesc[packed_ahead(vr, at, i).slot]);
}

/** Slots that the driver can have filled from `at` on. */
static __rte_always_inline uint16_t
packed_room(const struct vring *vr, struct packed_at at)
{
	return vr->size - packed_distance(vr, packed_used_at(vr), at);
}

/** Put a used entry into the shadow; the first one stands at used_idx. */
static __rte_always_inline void
packed_shadow_set(struct vring *vr, uint16_t at, uint16_t slot, uint16_t id, uint32_t len)
{
	const uint64_t entry = slot | (uint64_t)id << 16 | (uint64_t)len << 32;

	/* struct ring_shadow, in one store */
	memcpy(&vr->rec->shadow[at], &entry, sizeof(entry));
}

static __rte_always_inline void
packed_used_write(struct vring *vr, const struct ring_shadow *s, bool wrap)
{
	/* A length without the WRITE flag means nothing (2.8.4). */
	const uint16_t flags = packed_used_flags(wrap) | (s->len != 0 ? VIRTQ_DESC_F_WRITE : 0);

	__atomic_store_n((packed_u64 *)&vr->pdesc[s->slot].len, PACKED_REST(s->len, s->id, flags),
		__ATOMIC_RELAXED);
}

/**
 * Note in the record that the shadow is to be written, n chains up to `next`. From here on they
 * count as given back.
 */
static __rte_always_inline void
packed_record(struct vring *vr, uint16_t n, struct packed_at next)
{
	struct ring_record *rec = vr->rec;

	rec->shadow_n = vr->shadow_n;
	rec->next_used = next.slot;
	rec->next_used_wrap = next.wrap;
	rec->next_completed = rec->stats.completed_desc + n;
	__atomic_store_n(&rec->valid, 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	vr->unsignalled += packed_distance(vr, packed_used_at(vr), next);
	vr->used_idx = next.slot;
	vr->used_wrap = next.wrap;
	vr->taken -= n;
}

/** What the shadow says stands in the ring: the positions are those behind it. */
static __rte_always_inline void
packed_settle(struct ring_record *rec)
{
	rec->avail_idx = rec->next_used;
	rec->avail_wrap = rec->next_used_wrap;
	rec->used_idx = rec->next_used;
	rec->used_wrap = rec->next_used_wrap;
	rec->stats.completed_desc = rec->next_completed;
	__atomic_store_n(&rec->valid, 0, __ATOMIC_RELEASE);
}

/** Write the shadow into the ring. The driver sees all of it at once, by the entry written last. */
static __rte_always_inline void
packed_show(struct vring *vr)
{
	struct ring_record *rec = vr->rec;
	const struct ring_shadow *shadow = rec->shadow;
	const uint16_t n = rec->shadow_n, first = shadow[0].slot;
	const bool wrap = rec->used_wrap;

	FAULT_POINT("vring.packed.shadowed");
	for (uint16_t i = 1; i < n; i++)
		packed_used_write(vr, &shadow[i], shadow[i].slot > first ? wrap : !wrap);
	FAULT_POINT("vring.packed.written");
	__atomic_thread_fence(__ATOMIC_RELEASE);
	packed_used_write(vr, &shadow[0], wrap);
	FAULT_POINT("vring.packed.shown");
	if (ring_logs(vr))
		packed_log(vr);
	packed_settle(rec);
	vr->shadow_n = 0;
	FAULT_POINT("vring.packed.settled");
}

#endif /* VRING_PACKED_RING_H */
