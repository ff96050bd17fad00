/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_BURST_H
#define VRING_BURST_H

/**
 * @file
 * Inside lib/vring: the packet path. One body per direction, written once; each variant of
 * BURST_VARIANTS is the same text with another constant `spec`, so that what a variant does not
 * need is not in its code.
 *
 * A burst goes in three steps: take the heads and fetch their descriptors; translate them and fetch
 * what they point to; copy. A chain that is one plain buffer in one piece of memory is copied here,
 * every other one takes the slow path (chain.h). Nothing becomes visible to the driver before the
 * one store at the end: of the burst (receive), or of split_tx_complete() (transmit).
 *
 * A FAULT_POINT() stands at each step between which a death of the process makes a difference.
 */

#include <rte_memcpy.h>
#include <rte_prefetch.h>

#include "net/net_hdr.h"
#include "vring/chain.h"
#include "vring/split_ring.h"

/** Headers are read, checked and passed on; without it they are zeros on both sides. */
#define BURST_OFFLOAD 0x1u

/** prefix of the functions, spec, name shown */
#define BURST_VARIANTS(X)                                                                          \
	X(split, 0, "split")                                                                       \
	X(split_offload, BURST_OFFLOAD, "split offload")

/** From this length on, all lines that a received packet goes to are asked for before the copy. */
#define BURST_LONG 256u

#define HDR_SIZE   sizeof(struct virtio_net_hdr_mrg_rxbuf)

/** A chain that is one buffer in one piece of memory; va is NULL if it is anything else. */
struct burst_slot {
	uint8_t *va;
	uint32_t len;
	uint16_t head;
};

/** What became of a chain on the slow path. */
enum burst_slow {
	SLOW_DONE,
	SLOW_DROPPED, /**< the packet is lost; transmit: the chain is used all the same */
	SLOW_BROKEN,
	SLOW_LATER, /**< the burst has done enough, or (transmit) lacks mbufs: leave the chain */
};

/**
 * Copy the packet of any chain into raw mbufs, m first; unless done, m stays raw. work: what the
 * burst's chains have taken so far.
 */
enum burst_slow burst_dequeue_slow(struct vring *vr, struct rte_mempool *mp, struct rte_mbuf *m,
	uint16_t head, unsigned int spec, uint32_t *work);

/** Copy any packet into any chain. */
enum burst_slow burst_enqueue_slow(struct vring *vr, const struct rte_mbuf *m, uint16_t head,
	unsigned int spec, uint32_t *work);

static __rte_always_inline void
burst_heads(const struct vring *vr, struct burst_slot *slot, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		slot[i].head = split_head(vr, (uint16_t)(vr->avail_idx + i));
		rte_prefetch0(&vr->desc[slot[i].head & vr->mask]);
	}
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

/** The used entries of the next n chains: lines that the driver has read last. */
static __rte_always_inline void
burst_prefetch_used(const struct vring *vr, uint16_t n)
{
	const uint16_t per_line = RTE_CACHE_LINE_SIZE / sizeof(struct virtq_used_elem);

	for (uint16_t i = 0; i < n; i += per_line)
		burst_prefetch_write(&vr->used->ring[(uint16_t)(vr->avail_idx + i) & vr->mask]);
}

/** The lines of a receive buffer that header and packet go to, as far as it pays this early. */
static __rte_always_inline void
burst_prefetch_buffer(const struct burst_slot *slot)
{
	/* An integer, since va may be NULL. */
	const uintptr_t va = (uintptr_t)slot->va;

	burst_prefetch_write((const void *)va);
	burst_prefetch_write((const void *)(va + RTE_CACHE_LINE_SIZE));
}

static __rte_always_inline void
burst_translate(struct vring *vr, struct burst_slot *slot, uint16_t dir, uint32_t prot)
{
	struct virtq_desc d;
	uint64_t len;

	slot->va = NULL;
	slot->len = 0;
	/* The slow path is told of it, and says what is wrong. */
	if (unlikely(slot->head > vr->mask))
		return;
	d = split_desc_load(&vr->desc[slot->head]);
	FAULT_MAGIC(d.addr);
	if (unlikely(d.flags != dir || d.len == 0))
		return;
	len = d.len;
	slot->va = hostmem_translate(vr->table, &vr->hint, d.addr, &len, prot);
	slot->len = d.len;
	if (unlikely(len != d.len))
		slot->va = NULL;
}

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

/** One plain buffer: header and packet are copied in one go, to a cache-line boundary. */
static __rte_always_inline bool
burst_dequeue_plain(struct vring *vr, struct rte_mbuf *m, const struct burst_slot *slot,
	const unsigned int spec)
{
	const uint32_t len = slot->len - HDR_SIZE;
	struct virtio_net_hdr_mrg_rxbuf *hdr;

	burst_mbuf_init(m, len);
	hdr = VRING_MBUF_HDR(m);
	rte_memcpy(hdr, slot->va, slot->len);
	if ((spec & BURST_OFFLOAD) == 0) {
		memset(hdr, 0, sizeof(*hdr));
		return true;
	}
	/* From here on the copy counts, whatever becomes of the original. */
	rte_compiler_barrier();
	return net_hdr_tx_check(hdr, len, vr->features);
}

static __rte_always_inline uint16_t
burst_dequeue(struct vring *vr, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n,
	const unsigned int spec)
{
	const uint32_t room = rte_pktmbuf_data_room_size(mp) - (uint32_t)VRING_MBUF_DATA_OFF;
	/* The layout of a legacy driver's header differs: slow path only. */
	const bool plain = vr->hdr_len == HDR_SIZE && (int32_t)room > RTE_ETHER_HDR_LEN;
	struct burst_slot slot[VRING_BURST];
	uint16_t done, got = 0;
	uint32_t work = 0;
	uint64_t bytes = 0;

	if (unlikely(vring_broken(vr)))
		return 0;
	n = burst_mbufs(mp, pkts, split_avail(vr, RTE_MIN(n, (uint16_t)VRING_BURST)));
	if (n == 0)
		return 0;
	burst_heads(vr, slot, n);
	burst_prefetch_used(vr, n);
	for (uint16_t i = 0; i < n; i++) {
		burst_translate(vr, &slot[i], 0, HOSTMEM_READ);
		rte_prefetch0(slot[i].va);
	}
	for (done = 0; done < n; done++) {
		const uint32_t over = slot[done].len - (uint32_t)HDR_SIZE - RTE_ETHER_HDR_LEN;
		struct rte_mbuf *m = pkts[got];
		enum burst_slow what = SLOW_DONE;

		if (likely(slot[done].va != NULL && plain && over <= room - RTE_ETHER_HDR_LEN)) {
			if (unlikely(!burst_dequeue_plain(vr, m, &slot[done], spec))) {
				vr->rec->stats.bad_header++;
				what = SLOW_DROPPED;
			}
		} else {
			what = burst_dequeue_slow(vr, mp, m, slot[done].head, spec, &work);
		}
		if (unlikely(what >= SLOW_BROKEN))
			break;
		/* Used entries stand in the order of available ones. */
		split_used_set(vr, (uint16_t)(vr->avail_idx + done), slot[done].head, 0);
		if (likely(what == SLOW_DONE)) {
			bytes += m->pkt_len;
			got++;
		}
	}
	if (unlikely(got != n))
		rte_mempool_put_bulk(mp, (void **)&pkts[got], n - got);
	if (unlikely(done == 0))
		return 0;
	vr->avail_idx += done;
	vr->rec->stats.packets += got;
	vr->rec->stats.bytes += bytes;
	vr->rec->stats.received_desc += done;
	FAULT_POINT("vring.tx.taken");
	return got;
}

/**
 * Write the header of a received packet as the driver sees it: without mergeable buffers each
 * packet has one. It is put together in registers, since a field stored and then read back with its
 * neighbours would stall.
 */
static __rte_always_inline void
burst_rx_header(uint8_t *to, const struct rte_mbuf *m, const unsigned int spec)
{
	uint64_t first = 0;
	uint32_t last = 0;

	if ((spec & BURST_OFFLOAD) != 0) {
		memcpy(&first, VRING_MBUF_HDR(m), sizeof(first));
		memcpy(&last, (const uint8_t *)VRING_MBUF_HDR(m) + sizeof(first), sizeof(last));
		last &= 0xffff;
	}
	last |= UINT32_C(1) << 16; /* num_buffers */
	memcpy(to, &first, sizeof(first));
	memcpy(to + sizeof(first), &last, sizeof(last));
}

static __rte_always_inline void
burst_enqueue_plain(
	const struct rte_mbuf *m, const struct burst_slot *slot, const unsigned int spec)
{
	if (m->data_len >= BURST_LONG)
		for (uint32_t at = 2 * RTE_CACHE_LINE_SIZE; at < m->data_len;
			at += RTE_CACHE_LINE_SIZE)
			burst_prefetch_write(slot->va + at);
	burst_rx_header(slot->va, m, spec);
	rte_memcpy(slot->va + HDR_SIZE, rte_pktmbuf_mtod(m, const void *), m->data_len);
}

static __rte_always_inline uint16_t
burst_enqueue(struct vring *vr, struct rte_mbuf **pkts, uint16_t n, const unsigned int spec)
{
	const bool plain = vr->hdr_len == HDR_SIZE;
	struct burst_slot slot[VRING_BURST];
	uint16_t avail, done, used = 0;
	uint32_t work = 0;
	uint64_t bytes = 0;

	if (unlikely(vring_broken(vr)))
		return 0;
	n = RTE_MIN(n, (uint16_t)VRING_BURST);
	avail = split_avail(vr, n);
	if (avail == 0)
		return 0;
	FAULT_POINT("vring.rx.read");
	burst_heads(vr, slot, avail);
	burst_prefetch_used(vr, avail);
	for (uint16_t i = 0; i < avail; i++) {
		burst_translate(vr, &slot[i], VIRTQ_DESC_F_WRITE, HOSTMEM_WRITE);
		burst_prefetch_buffer(&slot[i]);
	}
	/* A packet that is dropped leaves its chain to the next one. */
	for (done = 0; done < n && used < avail; done++) {
		const struct rte_mbuf *m = pkts[done];
		const struct burst_slot *s = &slot[used];
		enum burst_slow what = SLOW_DONE;

		if (likely(s->va != NULL && plain && m->nb_segs == 1 &&
			    s->len >= HDR_SIZE + m->pkt_len))
			burst_enqueue_plain(m, s, spec);
		else
			what = burst_enqueue_slow(vr, m, s->head, spec, &work);
		if (unlikely(what >= SLOW_BROKEN))
			break;
		if (unlikely(what == SLOW_DROPPED))
			continue;
		split_used_set(
			vr, (uint16_t)(vr->used_idx + used), s->head, vr->hdr_len + m->pkt_len);
		bytes += m->pkt_len;
		used++;
	}
	rte_pktmbuf_free_bulk(pkts, done);
	if (unlikely(used == 0))
		return done;
	vr->avail_idx += used;
	vr->rec->stats.packets += used;
	vr->rec->stats.bytes += bytes;
	vr->rec->stats.received_desc += used;
	FAULT_POINT("vring.rx.copied");
	split_record(vr, used);
	FAULT_POINT("vring.rx.recorded");
	split_index_store(vr);
	FAULT_POINT("vring.rx.published");
	return done;
}

#endif /* VRING_BURST_H */
