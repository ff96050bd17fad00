/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_BURST_WINDOW_H
#define VRING_BURST_WINDOW_H

/**
 * @file
 * Inside lib/vring: the first half of a burst (burst.h), the same for both directions: take chains
 * out of the ring and find out where their header and data are in memory.
 *
 * Known here are the layouts that drivers use: header and data in one buffer, or in two, described
 * in the ring or in an indirect table. Any other chain is left to the slow path, which reads it
 * anew.
 */

#include <rte_prefetch.h>

#include "net/offload.h"
#include "vring/packed_ring.h"
#include "vring/split_ring.h"

#define HDR_SIZE      sizeof(struct virtio_net_hdr_mrg_rxbuf)
#define HDR_HASH_SIZE (HDR_SIZE + sizeof(struct net_hdr_hash))

/** Of the header that a variant reads and writes itself; others take the slow path. */
static __rte_always_inline uint32_t
burst_hdr_size(const unsigned int spec)
{
	return (spec & BURST_HASH) != 0 ? HDR_HASH_SIZE : HDR_SIZE;
}

/** A chain, as far as all need it: one cache line has four. */
struct burst_slot {
	uint8_t *va;  /**< its bytes, if they are one piece of memory; NULL: look at the pieces */
	uint32_t len; /**< header and data; of the table */
	uint16_t at;  /**< its first descriptor */
	uint16_t id;  /**< packed: what the used entry names (split: `at`) */
};

/**
 * Of a chain without va: header and data, if they are one piece each. Of one with an indirect table
 * that was not looked into yet: data is the table, hdr NULL. Else both are NULL.
 */
struct burst_pieces {
	uint8_t *hdr;
	uint8_t *data;
};

/** Some consecutive chains. */
struct burst_window {
	struct burst_slot slot[VRING_BURST];
	struct burst_pieces pieces[VRING_BURST]; /**< meaningless where there is a va */
	uint16_t first; /**< chains between the ring's avail_idx and slot[0] */
	uint16_t n;
	/* packed */
	struct packed_at begin;
	struct packed_at next; /**< behind the last one */
	bool endless;	       /**< the last one has more descriptors than there can be */
};

/** Let the window begin at the chain `first` behind avail_idx; it is empty then. */
static __rte_always_inline void
burst_window_begin(struct burst_window *w, uint16_t first, struct packed_at at)
{
	w->first = first;
	w->n = 0;
	w->begin = at;
	w->next = at;
}

/** Where the window's i-th chain begins (packed), or the one behind its last. */
static __rte_always_inline struct packed_at
burst_place(const struct burst_window *w, uint16_t i)
{
	if (i == w->n)
		return w->next;
	/* A window is no longer than a lap. */
	return (struct packed_at){
		w->slot[i].at, w->slot[i].at >= w->begin.slot ? w->begin.wrap : !w->begin.wrap};
}

/**
 * Fetch a line that will be written; p may be NULL. A plain prefetch gets the line shared, and the
 * store has to ask the driver's CPU for it a second time. The builtin makes the right instruction
 * only for CPUs that the compiler was told of, though every 64-bit x86 takes it (the oldest as a
 * no-operation).
 */
static __rte_always_inline void
burst_prefetch_write(const void *p)
{
#ifdef RTE_ARCH_X86_64
	__asm__ volatile("prefetchw (%0)" : : "r"(p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/** A buffer of the driver's in one piece of memory; NULL: it is not. */
static __rte_always_inline uint8_t *
burst_buffer(struct vring *vr, uint64_t addr, uint32_t len, uint32_t prot)
{
	uint64_t got = len;
	uint8_t *va;

	if (unlikely(len == 0))
		return NULL;
	FAULT_MAGIC(addr);
	va = hostmem_translate(vr->table, &vr->hint, addr, &got, prot);
	return likely(got == len) ? va : NULL;
}

/** A chain of one buffer, however short. */
static __rte_always_inline void
burst_one(
	struct vring *vr, struct burst_slot *slot, uint64_t addr, uint32_t len, const uint32_t prot)
{
	slot->len = len;
	slot->va = burst_buffer(vr, addr, len, prot);
}

/** A chain of two buffers, the first for the header alone. */
static __rte_always_inline void
burst_two(struct vring *vr, struct burst_slot *slot, struct burst_pieces *p, uint64_t hdr_addr,
	uint64_t addr, uint32_t len, const uint32_t prot, const uint32_t hdr_size)
{
	uint8_t *const hdr = burst_buffer(vr, hdr_addr, hdr_size, prot);
	uint8_t *const data = burst_buffer(vr, addr, len, prot);

	if (unlikely(hdr == NULL || data == NULL || len > UINT32_MAX - hdr_size))
		return;
	slot->len = hdr_size + len;
	p->hdr = hdr;
	p->data = data;
}

/** Note where the indirect table is, and fetch it. */
static __rte_always_inline void
burst_table(struct vring *vr, struct burst_slot *slot, struct burst_pieces *p, uint64_t addr,
	uint32_t len)
{
	uint64_t got = len;
	uint8_t *va;

	if (unlikely(!vr->indirect || (len != 16 && len != 32)))
		return;
	va = hostmem_translate(vr->table, &vr->desc_hint, addr, &got, HOSTMEM_READ);
	if (unlikely(va == NULL || got != len))
		return;
	slot->len = len;
	p->data = va;
	rte_prefetch0(va);
}

/** Do a header and its data begin in different cache lines? */
static __rte_always_inline bool
burst_apart(uintptr_t hdr, uintptr_t data)
{
	return (hdr ^ data) >= RTE_CACHE_LINE_SIZE;
}

/**
 * Fetch the lines of a chain of one buffer that are copied from or to first, as far as it pays this
 * early. Without offloads nobody looks at the header of a packet to be sent; that of a received one
 * mostly stays as it is, where it is apart (burst_rx_header()).
 */
static __rte_always_inline void
burst_prefetch_one(const struct burst_slot *slot, const bool in, const unsigned int spec)
{
	/* An integer, since it may be NULL. */
	const uintptr_t at = (uintptr_t)slot->va;

	if (!in) {
		rte_prefetch0((const void *)((spec & BURST_OFFLOAD) != 0 ? at : at + HDR_SIZE));
		return;
	}
	if (burst_apart(at, at + HDR_SIZE))
		rte_prefetch0((const void *)at);
	else
		burst_prefetch_write((const void *)at);
	burst_prefetch_write((const void *)(at + RTE_CACHE_LINE_SIZE));
}

/** The same of a chain of two buffers, if it is one. */
static __rte_always_inline void
burst_prefetch_two(const struct burst_pieces *p, const bool in, const unsigned int spec)
{
	const uintptr_t data = (uintptr_t)p->data;

	if (in || (spec & BURST_OFFLOAD) != 0)
		rte_prefetch0(p->hdr);
	if (!in) {
		rte_prefetch0((const void *)data);
		return;
	}
	burst_prefetch_write((const void *)data);
	burst_prefetch_write((const void *)(data + RTE_CACHE_LINE_SIZE));
}

/* ---- split ---- */

static __rte_always_inline void
burst_translate_split(struct vring *vr, struct burst_window *w, uint16_t i, const uint16_t dir,
	const uint32_t prot, const uint32_t hdr_size)
{
	struct burst_slot *slot = &w->slot[i];
	struct burst_pieces *p = &w->pieces[i];
	struct virtq_desc d = {0}, next;

	/* An impossible head is no buffer either; the slow path is told of it, and says so. */
	if (likely(slot->at <= vr->mask))
		d = split_desc_load(&vr->desc[slot->at]);
	if (likely(d.flags == dir)) {
		burst_one(vr, slot, d.addr, d.len, prot);
		if (likely(slot->va != NULL))
			return;
	}
	slot->va = NULL;
	*p = (struct burst_pieces){NULL, NULL};
	FAULT_MAGIC(d.addr);
	if ((d.flags & ~VIRTQ_DESC_F_WRITE) == VIRTQ_DESC_F_INDIRECT) {
		burst_table(vr, slot, p, d.addr, d.len);
		return;
	}
	if (d.flags != (dir | VIRTQ_DESC_F_NEXT) || d.len != hdr_size || d.next > vr->mask)
		return;
	next = split_desc_load(&vr->desc[d.next]);
	if (likely(next.flags == dir))
		burst_two(vr, slot, p, d.addr, next.addr, next.len, prot, hdr_size);
}

static __rte_always_inline bool
burst_take_split(struct vring *vr, struct burst_window *w, uint16_t want, const bool in,
	const uint16_t dir, const uint32_t prot, const unsigned int spec)
{
	const uint16_t avail = split_avail(vr, w->first + want);
	const uint16_t n = avail > w->first ? avail - w->first : 0;
	bool others = false;

	w->n = n;
	for (uint16_t i = 0; i < n; i++) {
		w->slot[i].at = split_head(vr, (uint16_t)(vr->avail_idx + w->first + i));
		rte_prefetch0(&vr->desc[w->slot[i].at & vr->mask]);
	}
	for (uint16_t i = 0; i < n; i++) {
		burst_translate_split(vr, w, i, dir, prot, burst_hdr_size(spec));
		burst_prefetch_one(&w->slot[i], in, spec);
		others |= w->slot[i].va == NULL;
	}
	return others;
}

/** The chain in a table. */
static __rte_always_inline void
burst_look_split(struct vring *vr, struct burst_slot *slot, struct burst_pieces *p,
	const uint16_t dir, const uint32_t prot, const uint32_t hdr_size)
{
	const uint8_t *table = p->data;
	const struct virtq_desc d = split_desc_load(table);
	struct virtq_desc next;

	p->data = NULL;
	if (slot->len == sizeof(d)) {
		if (likely(d.flags == dir))
			burst_one(vr, slot, d.addr, d.len, prot);
		return;
	}
	next = split_desc_load(table + sizeof(d));
	if (likely(d.flags == (dir | VIRTQ_DESC_F_NEXT) && d.next == 1 && d.len == hdr_size &&
		    next.flags == dir))
		burst_two(vr, slot, p, d.addr, next.addr, next.len, prot, hdr_size);
}

/* ---- packed ---- */

static __rte_always_inline void
burst_translate_packed(struct vring *vr, struct burst_window *w, uint16_t i,
	const struct packed_head *head, struct packed_at at, const uint16_t dir,
	const uint32_t prot, const uint32_t hdr_size)
{
	struct burst_slot *slot = &w->slot[i];
	struct burst_pieces *p = &w->pieces[i];
	uint64_t rest;
	uint16_t next;

	slot->at = at.slot;
	slot->id = head->id;
	if (likely(head->flags == dir)) {
		burst_one(vr, slot, head->addr, head->len, prot);
		if (likely(slot->va != NULL))
			return;
	}
	slot->va = NULL;
	*p = (struct burst_pieces){NULL, NULL};
	FAULT_MAGIC(head->addr);
	if ((head->flags & ~VIRTQ_DESC_F_WRITE) == VIRTQ_DESC_F_INDIRECT) {
		burst_table(vr, slot, p, head->addr, head->len);
		return;
	}
	if (head->flags != (dir | VIRTQ_DESC_F_NEXT) || head->n != 2 || head->len != hdr_size)
		return;
	next = packed_ahead(vr, at, 1).slot;
	rest = packed_rest(vr, next);
	if (likely((PACKED_REST_FLAGS(rest) & ~PACKED_F_TURN) == dir))
		burst_two(vr, slot, p, head->addr, packed_addr(vr, next), PACKED_REST_LEN(rest),
			prot, hdr_size);
}

static __rte_always_inline bool
burst_take_packed(struct vring *vr, struct burst_window *w, uint16_t want, const bool in,
	const uint16_t dir, const uint32_t prot, const unsigned int spec)
{
	const uint32_t hdr_size = burst_hdr_size(spec);
	struct packed_at at = w->next;
	uint16_t room = packed_room(vr, at), n = 0;
	uint64_t rest[PACKED_LINE];
	struct packed_head head;
	bool others = false;

	w->begin = at;
	w->endless = false;
	while (n < want) {
		if ((uint16_t)(want - n) >= PACKED_LINE &&
			packed_take_line(vr, rest, at, room, dir)) {
			for (uint16_t i = 0; i < PACKED_LINE; i++, n++, at.slot++) {
				packed_head_set(vr, &head, at, rest[i]);
				head.flags = dir;
				burst_translate_packed(vr, w, n, &head, at, dir, prot, hdr_size);
				burst_prefetch_one(&w->slot[n], in, spec);
				others |= w->slot[n].va == NULL;
			}
			at.slot -= PACKED_LINE;
			at = packed_ahead(vr, at, PACKED_LINE);
			room -= PACKED_LINE;
			continue;
		}
		if (!packed_take(vr, &head, at, room))
			break;
		burst_translate_packed(vr, w, n, &head, at, dir, prot, hdr_size);
		burst_prefetch_one(&w->slot[n], in, spec);
		others |= w->slot[n].va == NULL;
		n++;
		at = packed_ahead(vr, at, head.n);
		room -= head.n;
		if (unlikely(head.n == 0)) {
			w->endless = true;
			break;
		}
	}
	w->next = at;
	w->n = n;
	return others;
}

/** The entries of a packed ring's table follow one another; flags but WRITE mean nothing (2.8.7).
 */
static __rte_always_inline void
burst_look_packed(struct vring *vr, struct burst_slot *slot, struct burst_pieces *p,
	const uint16_t dir, const uint32_t prot, const uint32_t hdr_size)
{
	const uint16_t look = VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT;
	const uint8_t *table = p->data;
	const struct pvirtq_desc d = packed_desc_load(table);
	struct pvirtq_desc next;

	p->data = NULL;
	if (unlikely((d.flags & look) != dir))
		return;
	if (slot->len == sizeof(d)) {
		burst_one(vr, slot, d.addr, d.len, prot);
		return;
	}
	next = packed_desc_load(table + sizeof(d));
	if (likely(d.len == hdr_size && (next.flags & look) == dir))
		burst_two(vr, slot, p, d.addr, next.addr, next.len, prot, hdr_size);
}

/* ---- both ---- */

/** The chains that are not one buffer in the ring: look into the tables that were found. */
static __rte_always_inline void
burst_look(struct vring *vr, struct burst_window *w, const bool in, const uint16_t dir,
	const uint32_t prot, const unsigned int spec)
{
	for (uint16_t i = 0; i < w->n; i++) {
		struct burst_slot *slot = &w->slot[i];
		struct burst_pieces *p = &w->pieces[i];

		if (slot->va != NULL)
			continue;
		if (p->hdr == NULL && p->data != NULL) {
			if ((spec & BURST_PACKED) != 0)
				burst_look_packed(vr, slot, p, dir, prot, burst_hdr_size(spec));
			else
				burst_look_split(vr, slot, p, dir, prot, burst_hdr_size(spec));
		}
		if (slot->va != NULL)
			burst_prefetch_one(slot, in, spec);
		else
			burst_prefetch_two(p, in, spec);
	}
}

/**
 * Fill the window with up to want chains, at most VRING_BURST, that follow those it has, and find
 * out where they are in memory.
 */
static __rte_always_inline uint16_t
burst_load(struct vring *vr, struct burst_window *w, uint16_t want, const bool in,
	const unsigned int spec)
{
	const uint16_t dir = in ? VIRTQ_DESC_F_WRITE : 0;
	const uint32_t prot = in ? HOSTMEM_WRITE : HOSTMEM_READ;
	bool others;

	w->first += w->n;
	if ((spec & BURST_PACKED) != 0)
		others = burst_take_packed(vr, w, want, in, dir, prot, spec);
	else
		others = burst_take_split(vr, w, want, in, dir, prot, spec);
	if (others)
		burst_look(vr, w, in, dir, prot, spec);
	return w->n;
}

/** Descriptors of the window's i-th chain (packed); 0: more than there can be. */
static inline uint16_t
burst_slots(const struct vring *vr, const struct burst_window *w, uint16_t i)
{
	if (!vr->packed)
		return 1;
	if (w->endless && i + 1 == w->n)
		return 0;
	return packed_distance(vr, burst_place(w, i), burst_place(w, i + 1));
}

#endif /* VRING_BURST_WINDOW_H */
