/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Packets in chains of any layout, and packets of more than one mbuf. */

#include "vring/burst.h"

/* Copy len bytes into m and mbufs chained to it. On failure m is a raw mbuf. */
static int
packet_read(struct iov_cursor *cur, struct rte_mempool *mp, struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *seg = m;
	uint32_t left = len;

	for (;;) {
		const uint32_t part = RTE_MIN(left, rte_pktmbuf_tailroom(seg));

		iov_cursor_read(cur, rte_pktmbuf_mtod(seg, void *), part);
		seg->data_len = (uint16_t)part;
		left -= part;
		if (left == 0)
			break;
		seg->next = rte_pktmbuf_alloc(mp);
		if (seg->next == NULL)
			goto no_mbuf;
		seg = seg->next;
		m->nb_segs++;
	}
	m->pkt_len = len;
	return 0;

no_mbuf:
	rte_pktmbuf_free(m->next);
	m->next = NULL;
	m->nb_segs = 1;
	return -1;
}

/* A chain as far as a packet can use it. */
static enum burst_slow
packet_gather(struct vring *vr, const struct burst_window *w, uint16_t i, struct vring_chain *chain,
	uint32_t *work)
{
	const uint16_t slots = burst_slots(vr, w, i);

	if (*work >= VRING_BURST_WORK)
		return SLOW_LATER;
	if (chain_gather(vr, w->slot[i].at, slots, vr->hdr_len + VRING_MAX_PACKET, chain) != 0)
		return SLOW_BROKEN;
	*work += chain->work;
	return SLOW_DONE;
}

enum burst_slow
burst_dequeue_slow(struct vring *vr, struct rte_mempool *mp, struct rte_mbuf *m,
	const struct burst_window *w, uint16_t i, unsigned int spec, uint32_t *work)
{
	struct vring_chain chain;
	struct iov_cursor cur;
	enum burst_slow what;
	uint32_t len;

	what = packet_gather(vr, w, i, &chain, work);
	if (what != SLOW_DONE)
		return what;
	if (chain.out_len < vr->hdr_len) {
		vring_fail(vr, VRING_ERR_CHAIN);
		return SLOW_BROKEN;
	}
	len = chain.out_len - vr->hdr_len;
	if (len < RTE_ETHER_HDR_LEN || len > VRING_MAX_PACKET) {
		vr->rec->stats.bad_header++;
		return SLOW_DROPPED;
	}
	burst_mbuf_init(m, 0);
	memset(VRING_MBUF_HDR(m), 0, HDR_SIZE);
	if ((spec & BURST_OFFLOAD) != 0) {
		cur = (struct iov_cursor){chain.iov, chain.n_out, 0};
		iov_cursor_read(&cur, VRING_MBUF_HDR(m), RTE_MIN(vr->hdr_len, HDR_SIZE));
		if (!net_hdr_tx_check(VRING_MBUF_HDR(m), len, vr->features)) {
			vr->rec->stats.bad_header++;
			return SLOW_DROPPED;
		}
	}
	cur = (struct iov_cursor){chain.iov, chain.n_out, vr->hdr_len};
	return packet_read(&cur, mp, m, len) == 0 ? SLOW_DONE : SLOW_LATER;
}

/* A place in a packet. */
struct packet_place {
	const struct rte_mbuf *m;
	uint32_t off;
};

/* Copy the next len bytes of a packet, which has them. */
static void
packet_write(struct iov_cursor *cur, struct packet_place *from, uint32_t len)
{
	while (len != 0) {
		const uint32_t part = RTE_MIN(len, from->m->data_len - from->off);

		iov_cursor_write(
			cur, rte_pktmbuf_mtod_offset(from->m, const void *, from->off), part);
		len -= part;
		from->off += part;
		if (from->off == from->m->data_len)
			*from = (struct packet_place){from->m->next, 0};
	}
}

enum burst_slow
burst_enqueue_slow(struct vring *vr, const struct rte_mbuf *m, const struct burst_window *w,
	uint16_t i, unsigned int spec, uint32_t *work)
{
	struct packet_place from = {m, 0};
	struct vring_chain chain;
	struct iov_cursor cur;
	enum burst_slow what;
	uint8_t hdr[HDR_HASH_SIZE];

	what = packet_gather(vr, w, i, &chain, work);
	if (what != SLOW_DONE)
		return what;
	if (chain.in_len < vr->hdr_len) {
		vring_fail(vr, VRING_ERR_CHAIN);
		return SLOW_BROKEN;
	}
	if (chain.in_len - vr->hdr_len < m->pkt_len) {
		vr->rec->stats.oversize++;
		return SLOW_DROPPED;
	}
	cur = (struct iov_cursor){chain.iov + chain.n_out, chain.n_in, 0};
	burst_rx_header(hdr, m, 1, false, spec);
	iov_cursor_write(&cur, hdr, vr->hdr_len);
	packet_write(&cur, &from, m->pkt_len);
	chain_log(vr, &chain, vr->hdr_len + m->pkt_len);
	return SLOW_DONE;
}

/* ---- a packet over several chains ---- */

/* What a packet has taken so far. */
struct merge {
	struct packet_place from;
	uint32_t left; /* bytes of it */
	uint16_t n;    /* chains */
	/* where its header is to be written, when the number of chains is known */
	struct iovec hdr[HDR_HASH_SIZE];
	uint64_t hdr_iova[HDR_HASH_SIZE];
};

static void
merge_header_keep(struct merge *mg, const struct vring_chain *chain)
{
	for (uint32_t i = 0; i < RTE_MIN((uint32_t)chain->n_in, RTE_DIM(mg->hdr)); i++) {
		mg->hdr[i] = chain->iov[chain->n_out + i];
		mg->hdr_iova[i] = chain->iova[chain->n_out + i];
	}
}

static void
merge_header_write(
	struct vring *vr, const struct merge *mg, const struct rte_mbuf *m, unsigned int spec)
{
	struct iov_cursor cur = {mg->hdr, RTE_DIM(mg->hdr), 0};
	uint8_t hdr[HDR_HASH_SIZE];

	burst_rx_header(hdr, m, mg->n, false, spec);
	iov_cursor_write(&cur, hdr, vr->hdr_len);
	if (!ring_logs(vr))
		return;
	for (size_t i = 0, left = vr->hdr_len; left != 0; i++) {
		const size_t part = RTE_MIN(left, mg->hdr[i].iov_len);

		ring_log(vr, mg->hdr_iova[i], part);
		left -= part;
	}
}

/* Fill one chain that is plain. @return bytes */
static uint32_t
merge_plain(const struct vring *vr, struct merge *mg, const struct burst_slot *slot,
	const struct burst_pieces *p)
{
	const uint32_t hdr_len = vr->hdr_len;
	uint8_t *const hdr = slot->va != NULL ? slot->va : p->hdr;
	uint8_t *const data = slot->va != NULL ? slot->va + hdr_len : p->data;
	const struct iovec iov[2] = {{hdr, hdr_len}, {data, slot->len - hdr_len}};
	const uint32_t skip = mg->n == 0 ? hdr_len : 0;
	const uint32_t part = RTE_MIN(mg->left, slot->len - skip);
	struct iov_cursor cur = {iov, 2, skip};

	if (mg->n == 0)
		mg->hdr[0] = iov[0];
	packet_write(&cur, &mg->from, part);
	mg->left -= part;
	return skip + part;
}

/* Fill one chain of any layout. Each has room for a header at least (5.1.6.3.1). */
static enum burst_slow
merge_chain(struct vring *vr, struct merge *mg, const struct burst_window *w, uint16_t i,
	uint32_t *len, uint32_t *work)
{
	const uint32_t skip = mg->n == 0 ? vr->hdr_len : 0;
	struct vring_chain chain;
	struct iov_cursor cur;
	enum burst_slow what;
	uint32_t part;

	what = packet_gather(vr, w, i, &chain, work);
	if (what != SLOW_DONE)
		return what;
	if (chain.in_len < vr->hdr_len) {
		vring_fail(vr, VRING_ERR_CHAIN);
		return SLOW_BROKEN;
	}
	if (mg->n == 0)
		merge_header_keep(mg, &chain);
	part = RTE_MIN(mg->left, chain.in_len - skip);
	cur = (struct iov_cursor){chain.iov + chain.n_out, chain.n_in, skip};
	packet_write(&cur, &mg->from, part);
	mg->left -= part;
	*len = skip + part;
	chain_log(vr, &chain, *len);
	return SLOW_DONE;
}

/* Fill the next chain. */
static enum burst_slow
merge_next(struct vring *vr, struct merge *mg, struct burst_window *w,
	const struct burst_fill *fill, unsigned int spec, uint32_t *work)
{
	const uint16_t at = fill->n + mg->n;
	const struct burst_slot *slot;
	enum burst_slow what;
	uint32_t len;
	uint16_t i;

	if (*work >= VRING_BURST_WORK)
		return SLOW_LATER;
	if (at == RING_RECORD_BURST || mg->n == vr->size) {
		if (fill->n != 0)
			return SLOW_FULL;
		vr->rec->stats.oversize++;
		return SLOW_DROPPED;
	}
	if (at == w->first + w->n && burst_load(vr, w, VRING_BURST, true, spec) == 0)
		return vring_broken(vr) ? SLOW_BROKEN : SLOW_LATER;
	i = at - w->first;
	slot = &w->slot[i];
	if ((slot->va != NULL || w->pieces[i].hdr != NULL) && slot->len > vr->hdr_len &&
		!ring_logs(vr)) {
		len = merge_plain(vr, mg, slot, &w->pieces[i]);
		(*work)++;
	} else {
		what = merge_chain(vr, mg, w, i, &len, work);
		if (what != SLOW_DONE)
			return what;
	}
	burst_used_set(vr, at, slot, len, spec);
	mg->n++;
	return SLOW_DONE;
}

/* Note how many chains the packet took or, by what it took so far, would take. */
static void
merge_span(struct vring *vr, const struct merge *mg, uint32_t len)
{
	const uint32_t span = mg->left == 0 ? mg->n : 1 + mg->n * len / (len - mg->left + 1);

	if (span > vr->span)
		vr->span = (uint16_t)RTE_MIN(span, RTE_MIN(vr->size, RING_RECORD_BURST));
}

enum burst_slow
burst_enqueue_merge(struct vring *vr, const struct rte_mbuf *m, struct burst_window *w,
	struct burst_fill *fill, unsigned int spec, uint32_t *work)
{
	const struct packed_at begin = burst_place(w, fill->n - w->first);
	struct merge mg = {.from = {m, 0}, .left = m->pkt_len};
	enum burst_slow what;

	do {
		what = merge_next(vr, &mg, w, fill, spec, work);
		if (what != SLOW_DONE) {
			if (what == SLOW_LATER)
				merge_span(vr, &mg, m->pkt_len);
			burst_window_begin(w, fill->n, begin);
			return what;
		}
	} while (mg.left != 0);
	merge_header_write(vr, &mg, m, spec);
	merge_span(vr, &mg, m->pkt_len);
	burst_filled(fill, m, mg.n);
	return SLOW_MERGED;
}
