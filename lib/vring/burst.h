/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_BURST_H
#define VRING_BURST_H

/**
 * @file
 * Inside lib/vring: the packet path. One body per direction, written once; each variant of
 * BURST_VARIANTS is the same text with another constant `spec` (ring_common.h), so that what a
 * variant does not need is not in its code.
 *
 * A burst goes in steps: take chains into a window and fetch what their descriptors point to;
 * translate; copy. The layouts that drivers use are copied here: header and data in one buffer or
 * in two, described in the ring or in an indirect table. Every other one takes the slow path
 * (burst_slow.c). Nothing becomes visible to the driver before the one store at the end: of the
 * burst (receive), or of burst_tx_complete() (transmit).
 *
 * A FAULT_POINT() stands at each step between which a death of the process makes a difference.
 */

#include <linux/virtio_config.h>

#include <rte_memcpy.h>

#include "net/hash.h"
#include "net/net_hdr.h"
#include "vring/burst_window.h"
#include "vring/chain.h"

/** A header with a hash is one that says something. */
#define BURST_HASHES (BURST_OFFLOAD | BURST_HASH)

/** Bodies: name, spec */
#define BURST_ENQUEUES(X)                                                                          \
	X(split, 0)                                                                                \
	X(split_o, BURST_OFFLOAD)                                                                  \
	X(split_m, BURST_MERGE)                                                                    \
	X(split_mo, BURST_MERGE | BURST_OFFLOAD)                                                   \
	X(split_h, BURST_HASHES)                                                                   \
	X(split_mh, BURST_MERGE | BURST_HASHES)                                                    \
	X(packed, BURST_PACKED)                                                                    \
	X(packed_o, BURST_PACKED | BURST_OFFLOAD)                                                  \
	X(packed_m, BURST_PACKED | BURST_MERGE)                                                    \
	X(packed_mo, BURST_PACKED | BURST_MERGE | BURST_OFFLOAD)                                   \
	X(packed_h, BURST_PACKED | BURST_HASHES)                                                   \
	X(packed_mh, BURST_PACKED | BURST_MERGE | BURST_HASHES)
#define BURST_DEQUEUES(X)                                                                          \
	X(split, 0)                                                                                \
	X(split_o, BURST_OFFLOAD)                                                                  \
	X(split_i, BURST_IN_ORDER)                                                                 \
	X(split_io, BURST_IN_ORDER | BURST_OFFLOAD)                                                \
	X(split_h, BURST_HASHES)                                                                   \
	X(split_ih, BURST_IN_ORDER | BURST_HASHES)                                                 \
	X(packed, BURST_PACKED)                                                                    \
	X(packed_o, BURST_PACKED | BURST_OFFLOAD)                                                  \
	X(packed_i, BURST_PACKED | BURST_IN_ORDER)                                                 \
	X(packed_io, BURST_PACKED | BURST_IN_ORDER | BURST_OFFLOAD)                                \
	X(packed_h, BURST_PACKED | BURST_HASHES)                                                   \
	X(packed_ih, BURST_PACKED | BURST_IN_ORDER | BURST_HASHES)

/** spec, bodies of receive and transmit, name shown */
#define BURST_VARIANTS(X)                                                                          \
	BURST_FORMAT(X, split, 0)                                                                  \
	BURST_FORMAT(X, packed, BURST_PACKED)
#define BURST_FORMAT(X, f, spec)                                                                   \
	X(spec, f, f, #f)                                                                          \
	X(spec | BURST_OFFLOAD, f##_o, f##_o, #f " offload")                                       \
	X(spec | BURST_HASHES, f##_h, f##_h, #f " hash")                                           \
	X(spec | BURST_MERGE, f##_m, f, #f " mergeable")                                           \
	X(spec | BURST_MERGE | BURST_OFFLOAD, f##_mo, f##_o, #f " mergeable offload")              \
	X(spec | BURST_MERGE | BURST_HASHES, f##_mh, f##_h, #f " mergeable hash")                  \
	X(spec | BURST_IN_ORDER, f, f##_i, #f " in-order")                                         \
	X(spec | BURST_IN_ORDER | BURST_OFFLOAD, f##_o, f##_io, #f " in-order offload")            \
	X(spec | BURST_IN_ORDER | BURST_HASHES, f##_h, f##_ih, #f " in-order hash")                \
	X(spec | BURST_IN_ORDER | BURST_MERGE, f##_m, f##_i, #f " in-order mergeable")             \
	X(spec | BURST_IN_ORDER | BURST_MERGE | BURST_OFFLOAD, f##_mo, f##_io,                     \
		#f " in-order mergeable offload")                                                  \
	X(spec | BURST_IN_ORDER | BURST_MERGE | BURST_HASHES, f##_mh, f##_ih,                      \
		#f " in-order mergeable hash")

/** Which variant serves a set of negotiated features. */
static inline unsigned int
burst_spec(uint64_t features)
{
	unsigned int spec = 0;

	if ((features & (NET_HDR_TX_FEATURES | NET_HDR_RX_FEATURES)) != 0)
		spec |= BURST_OFFLOAD;
	if ((features & UINT64_C(1) << VIRTIO_NET_F_HASH_REPORT) != 0)
		spec |= BURST_HASHES;
	if ((features & UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF) != 0)
		spec |= BURST_MERGE;
	if ((features & UINT64_C(1) << VIRTIO_F_IN_ORDER) != 0)
		spec |= BURST_IN_ORDER;
	if ((features & UINT64_C(1) << VIRTIO_F_RING_PACKED) != 0)
		spec |= BURST_PACKED;
	if ((features & UINT64_C(1) << VRING_F_LOG_ALL) != 0)
		spec |= BURST_LOG;
	return spec;
}

/** From this length on, all lines that a received packet goes to are asked for before the copy. */
#define BURST_LONG 256u
/**
 * Before a packet of this length is copied, the next one's first lines are asked for; so many,
 * besides the one that was fetched: the CPU finds out the others by itself.
 */
#define BURST_FULL	 1024u
#define BURST_FULL_LINES 3u

/** Chains filled in a burst of receive and not recorded yet. */
struct burst_fill {
	uint16_t n;
	uint16_t packets;
	uint64_t bytes;
};

/** What became of a chain on the slow path. */
enum burst_slow {
	SLOW_DONE,
	SLOW_MERGED,  /**< done, with several chains */
	SLOW_DROPPED, /**< the packet is lost; transmit: the chain is used all the same */
	SLOW_BROKEN,
	SLOW_LATER, /**< the burst has done enough, or lacks mbufs or buffers: leave the chain */
	SLOW_FULL,  /**< what was filled before has to be recorded first */
};

/**
 * Copy the packet of the window's i-th chain, whatever it is like, into raw mbufs, m first; unless
 * done, m stays raw. work: what the burst's chains have taken so far.
 */
enum burst_slow burst_dequeue_slow(struct vring *vr, struct rte_mempool *mp, struct rte_mbuf *m,
	const struct burst_window *w, uint16_t i, unsigned int spec, uint32_t *work);

/** Copy any packet into the window's i-th chain, whatever it is like. */
enum burst_slow burst_enqueue_slow(struct vring *vr, const struct rte_mbuf *m,
	const struct burst_window *w, uint16_t i, unsigned int spec, uint32_t *work);

/**
 * Copy any packet into as many chains as it takes, which count as filled then (SLOW_MERGED). Unless
 * it gets that far, they do not, and the window begins with the first of them.
 */
enum burst_slow burst_enqueue_merge(struct vring *vr, const struct rte_mbuf *m,
	struct burst_window *w, struct burst_fill *fill, unsigned int spec, uint32_t *work);

/** The used entries of the next n chains: lines that the driver has read last. */
static __rte_always_inline void
burst_prefetch_used(const struct vring *vr, uint16_t n, const unsigned int spec)
{
	const uint16_t per_line = RTE_CACHE_LINE_SIZE / sizeof(struct virtq_used_elem);

	/* A packed ring's stand where its descriptors do. */
	if ((spec & BURST_PACKED) != 0)
		return;
	for (uint16_t i = 0; i < n; i += per_line)
		burst_prefetch_write(&vr->used->ring[(uint16_t)(vr->avail_idx + i) & vr->mask]);
}

/** Write the used entry of the k-th chain behind avail_idx; the driver does not see it yet. */
static __rte_always_inline void
burst_used_set(struct vring *vr, uint16_t k, const struct burst_slot *slot, uint32_t len,
	const unsigned int spec)
{
	/* Used entries stand in the order of available ones. */
	if ((spec & BURST_PACKED) != 0)
		packed_shadow_set(vr, vr->shadow_n + k, slot->at, slot->id, len);
	else
		split_used_set(vr, (uint16_t)(vr->avail_idx + k), slot->at, len);
}

/** n chains are taken: they are given back with the next record. */
static __rte_always_inline void
burst_advance(struct vring *vr, const struct burst_window *w, uint16_t n, const unsigned int spec)
{
	if ((spec & BURST_PACKED) != 0)
		packed_advance(vr, burst_place(w, n - w->first), n);
	else
		vr->avail_idx += n;
	vr->rec->stats.received_desc += n;
}

/* ---- transmit ---- */

/** Raw mbufs for up to n packets: all, or what a nearly empty pool still has. */
static __rte_always_inline uint16_t
burst_mbufs(struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)
{
	while (n != 0 && unlikely(rte_mempool_get_bulk(mp, (void **)pkts, n) != 0))
		n /= 2;
	return n;
}

/**
 * Turn a raw mbuf (one segment, no successor: what a pool holds) into a packet. Twelve cycles
 * cheaper than to let rte_pktmbuf_alloc_bulk() reset it and then to set what differs; neighbouring
 * constants become one store.
 */
static __rte_always_inline void
burst_mbuf_init(struct rte_mbuf *m, uint32_t len)
{
	m->data_off = VRING_MBUF_DATA_OFF;
	m->refcnt = 1;
	m->nb_segs = 1;
	m->port = RTE_MBUF_PORT_INVALID;
	m->ol_flags = 0;
	m->packet_type = 0;
	m->pkt_len = len;
	m->data_len = (uint16_t)len;
	m->vlan_tci = 0;
	m->vlan_tci_outer = 0;
	m->tx_offload = 0;
}

/**
 * With a header to be looked at, header and packet of one buffer are copied in one go, to a
 * cache-line boundary. Without, it is mostly a cache line less to wait for.
 */
static __rte_always_inline bool
burst_dequeue_plain(struct vring *vr, struct rte_mbuf *m, const struct burst_slot *slot,
	const struct burst_pieces *p, const unsigned int spec)
{
	const uint32_t size = burst_hdr_size(spec), len = slot->len - size;
	struct virtio_net_hdr_mrg_rxbuf *hdr;
	uint8_t *to;

	burst_mbuf_init(m, len);
	hdr = VRING_MBUF_HDR(m);
	if ((spec & BURST_OFFLOAD) == 0) {
		memset(hdr, 0, sizeof(*hdr));
		rte_memcpy(hdr + 1, likely(slot->va != NULL) ? slot->va + HDR_SIZE : p->data, len);
		return true;
	}
	if (likely(slot->va != NULL)) {
		to = rte_pktmbuf_mtod(m, uint8_t *) - size;
		rte_memcpy(to, slot->va, slot->len);
		/* A driver's hash says nothing; the header takes its place. */
		if ((spec & BURST_HASH) != 0)
			memmove(hdr, to, HDR_SIZE);
	} else {
		memcpy(hdr, p->hdr, HDR_SIZE);
		rte_memcpy(hdr + 1, p->data, len);
	}
	/* From here on the copy counts, whatever becomes of the original. */
	rte_compiler_barrier();
	return net_hdr_tx_check(hdr, len, vr->features);
}

/** A packet as long as the last one may follow it: to begin with it must not wait. */
static __rte_always_inline void
burst_prefetch_next(const struct burst_window *w, uint16_t i)
{
	const uintptr_t next = (uintptr_t)w->slot[i + 1].va;

	for (uint32_t line = 1; line <= BURST_FULL_LINES; line++)
		rte_prefetch0((const void *)(next + HDR_SIZE + line * RTE_CACHE_LINE_SIZE));
}

/**
 * One used entry for all chains that are out (in-order, 2.7.9, 2.8.12): it names the last one and
 * stands where the first one's would.
 */
static __rte_always_inline void
burst_used_batch(struct vring *vr, const struct burst_slot *last, const unsigned int spec)
{
	if ((spec & BURST_PACKED) != 0) {
		packed_shadow_set(vr, 0, vr->used_idx, last->id, 0);
		vr->shadow_n = 1;
	} else {
		split_used_set(vr, vr->used_idx, last->at, 0);
	}
}

static __rte_always_inline uint16_t
burst_dequeue(struct vring *vr, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n,
	const unsigned int spec)
{
	const uint32_t room = rte_pktmbuf_data_room_size(mp) - (uint32_t)VRING_MBUF_DATA_OFF;
	const uint32_t hdr_size = burst_hdr_size(spec);
	/* The layout of a legacy driver's header differs: slow path only. */
	const bool plain = vr->hdr_len == hdr_size && (int32_t)room > RTE_ETHER_HDR_LEN;
	struct burst_window w;
	uint16_t done, got = 0;
	uint32_t work = 0;
	uint64_t bytes = 0;

	if (unlikely(vring_broken(vr)))
		return 0;
	n = RTE_MIN(n, (uint16_t)VRING_BURST);
	/* Bursts that were not completed wait in the shadow. */
	if ((spec & BURST_PACKED) != 0)
		n = RTE_MIN(n, (uint16_t)(RING_RECORD_BURST - vr->shadow_n));
	burst_window_begin(&w, 0, packed_avail_at(vr));
	n = burst_mbufs(mp, pkts, burst_load(vr, &w, n, false, spec));
	if (n == 0)
		return 0;
	if ((spec & BURST_IN_ORDER) == 0)
		burst_prefetch_used(vr, n, spec);
	for (done = 0; done < n; done++) {
		const struct burst_slot *slot = &w.slot[done];
		const uint32_t over = slot->len - hdr_size - RTE_ETHER_HDR_LEN;
		const bool fits = plain && over <= room - RTE_ETHER_HDR_LEN;
		const struct burst_pieces *p = &w.pieces[done];
		struct rte_mbuf *m = pkts[got];
		enum burst_slow what = SLOW_DONE;

		if (slot->len >= BURST_FULL && done + 1 < n)
			burst_prefetch_next(&w, done);
		if (likely(fits && (slot->va != NULL || p->hdr != NULL))) {
			if (unlikely(!burst_dequeue_plain(vr, m, slot, p, spec))) {
				vr->rec->stats.bad_header++;
				what = SLOW_DROPPED;
			}
		} else {
			what = burst_dequeue_slow(vr, mp, m, &w, done, spec, &work);
		}
		if (unlikely(what >= SLOW_BROKEN))
			break;
		if ((spec & BURST_IN_ORDER) == 0)
			burst_used_set(vr, done, slot, 0, spec);
		if (likely(what == SLOW_DONE)) {
			bytes += m->pkt_len;
			got++;
		}
	}
	if (unlikely(got != n))
		rte_mempool_put_bulk(mp, (void **)&pkts[got], n - got);
	if (unlikely(done == 0))
		return 0;
	if ((spec & BURST_IN_ORDER) != 0)
		burst_used_batch(vr, &w.slot[done - 1], spec);
	else if ((spec & BURST_PACKED) != 0)
		vr->shadow_n += done;
	burst_advance(vr, &w, done, spec);
	vr->rec->stats.packets += got;
	vr->rec->stats.bytes += bytes;
	FAULT_POINT("vring.tx.taken");
	return got;
}

/** vring_tx_complete() */
static __rte_always_inline void
burst_tx_complete(struct vring *vr)
{
	const uint16_t n = vring_tx_taken(vr);

	if (unlikely(n == 0))
		return;
	FAULT_POINT("vring.tx.sent");
	if (vr->packed) {
		packed_record(vr, n, packed_avail_at(vr));
		FAULT_POINT("vring.tx.recorded");
		packed_show(vr);
	} else {
		split_record(vr, n);
		FAULT_POINT("vring.tx.recorded");
		split_show(vr, n);
	}
	FAULT_POINT("vring.tx.published");
}

/* ---- receive ---- */

/** Is this what stands there already? */
static __rte_always_inline bool
burst_rx_header_is(const uint8_t *at, uint64_t first, uint32_t last)
{
	uint64_t was_first;
	uint32_t was_last;

	memcpy(&was_first, at, sizeof(was_first));
	memcpy(&was_last, at + sizeof(was_first), sizeof(was_last));
	return was_first == first && was_last == last;
}

/**
 * Write the header of a received packet as the driver sees it. It is put together in registers,
 * since a field stored and then read back with its neighbours would stall.
 *
 * @param apart  in a cache line of its own: stored only if it is another one than before, or that
 *		 line would wander between the two CPUs
 */
static __rte_always_inline void
burst_rx_header(uint8_t *to, const struct rte_mbuf *m, uint16_t num_buffers, const bool apart,
	const unsigned int spec)
{
	struct net_hdr_hash hash;
	uint64_t first = 0;
	uint32_t last = 0;

	if ((spec & BURST_OFFLOAD) != 0) {
		memcpy(&first, VRING_MBUF_HDR(m), sizeof(first));
		memcpy(&last, (const uint8_t *)VRING_MBUF_HDR(m) + sizeof(first), sizeof(last));
		last &= 0xffff;
	}
	last |= (uint32_t)num_buffers << 16;
	if ((spec & BURST_HASH) == 0 && apart && likely(burst_rx_header_is(to, first, last)))
		return;
	memcpy(to, &first, sizeof(first));
	memcpy(to + sizeof(first), &last, sizeof(last));
	if ((spec & BURST_HASH) != 0) {
		hash = net_hash_get(m);
		memcpy(to + HDR_SIZE, &hash, sizeof(hash));
	}
}

/** A packet of one segment. */
static __rte_always_inline void
burst_enqueue_plain(const struct rte_mbuf *m, const struct burst_slot *slot,
	const struct burst_pieces *p, const unsigned int spec)
{
	uint8_t *hdr = slot->va, *data = slot->va + burst_hdr_size(spec);

	if (unlikely(slot->va == NULL)) {
		hdr = p->hdr;
		data = p->data;
	}
	/* Ask for all lines of a long one at once. */
	if (m->data_len >= BURST_LONG)
		for (uint32_t at = 2 * RTE_CACHE_LINE_SIZE; at < m->data_len;
			at += RTE_CACHE_LINE_SIZE)
			burst_prefetch_write(data + at);
	burst_rx_header(hdr, m, 1, burst_apart((uintptr_t)hdr, (uintptr_t)data), spec);
	rte_memcpy(data, rte_pktmbuf_mtod(m, const void *), m->data_len);
}

/** Count a packet that took n chains. */
static __rte_always_inline void
burst_filled(struct burst_fill *fill, const struct rte_mbuf *m, uint16_t n)
{
	fill->n += n;
	fill->packets++;
	fill->bytes += m->pkt_len;
}

/** Show the driver what was filled. */
static __rte_always_inline void
burst_rx_show(struct vring *vr, const struct burst_window *w, const struct burst_fill *fill,
	const unsigned int spec)
{
	const uint16_t n = fill->n;

	vr->rec->stats.packets += fill->packets;
	vr->rec->stats.bytes += fill->bytes;
	burst_advance(vr, w, n, spec);
	FAULT_POINT("vring.rx.copied");
	if ((spec & BURST_PACKED) != 0) {
		vr->shadow_n = n;
		packed_record(vr, n, packed_avail_at(vr));
		FAULT_POINT("vring.rx.recorded");
		packed_show(vr);
	} else {
		split_record(vr, n);
		FAULT_POINT("vring.rx.recorded");
		split_show(vr, n);
	}
	FAULT_POINT("vring.rx.published");
}

static __rte_always_inline uint16_t
burst_enqueue(struct vring *vr, struct rte_mbuf **pkts, uint16_t n, const unsigned int spec)
{
	/* The slow path notes what it writes, and where a legacy driver has its header. */
	const bool plain = vr->hdr_len == burst_hdr_size(spec) && (spec & BURST_LOG) == 0;
	struct burst_fill fill = {0};
	struct burst_window w;
	uint32_t work = 0;
	uint16_t done = 0;

	if (unlikely(vring_broken(vr)))
		return 0;
	n = RTE_MIN(n, (uint16_t)VRING_BURST);
	burst_window_begin(&w, 0, packed_avail_at(vr));
	if (burst_load(vr, &w, n, true, spec) == 0)
		return 0;
	/* Large packets, if there are any more, set it right again. */
	if ((spec & BURST_MERGE) != 0 && vr->span > 1)
		vr->span -= (vr->span + 7) / 8;
	FAULT_POINT("vring.rx.read");
	burst_prefetch_used(vr, w.n, spec);
	/* A packet that is dropped leaves its chain to the next one. */
	while (done < n) {
		const struct rte_mbuf *m = pkts[done];
		const uint32_t len = vr->hdr_len + m->pkt_len;
		uint16_t i = fill.n - w.first;
		const struct burst_slot *slot;
		enum burst_slow what = SLOW_DONE;

		if (i == w.n) {
			if ((spec & BURST_MERGE) == 0 ||
				burst_load(vr, &w, n - done, true, spec) == 0)
				break;
			i = 0;
		}
		slot = &w.slot[i];
		if ((spec & BURST_MERGE) != 0 && unlikely(fill.n == RING_RECORD_BURST)) {
			burst_window_begin(&w, fill.n, burst_place(&w, i));
			what = SLOW_FULL;
		} else if (likely(plain && m->nb_segs == 1 &&
				   (slot->va != NULL || w.pieces[i].hdr != NULL) &&
				   slot->len >= len)) {
			burst_enqueue_plain(m, slot, &w.pieces[i], spec);
		} else if ((spec & BURST_MERGE) != 0) {
			what = burst_enqueue_merge(vr, m, &w, &fill, spec, &work);
		} else {
			what = burst_enqueue_slow(vr, m, &w, i, spec, &work);
		}
		if (likely(what == SLOW_DONE)) {
			burst_used_set(vr, fill.n, slot, len, spec);
			burst_filled(&fill, m, 1);
		} else if (what == SLOW_FULL) {
			burst_rx_show(vr, &w, &fill, spec);
			w.first -= fill.n; /* which it begins with, and is empty */
			fill = (struct burst_fill){0};
			continue;
		} else if (what >= SLOW_BROKEN) {
			break;
		}
		done++;
	}
	rte_pktmbuf_free_bulk(pkts, done);
	if (likely(fill.n != 0))
		burst_rx_show(vr, &w, &fill, spec);
	return done;
}

#endif /* VRING_BURST_H */
