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
packet_gather(struct vring *vr, uint16_t head, struct vring_chain *chain, uint32_t *work)
{
	if (*work >= VRING_BURST_WORK)
		return SLOW_LATER;
	if (split_gather(vr, head, vr->hdr_len + VRING_MAX_PACKET, chain) != 0)
		return SLOW_BROKEN;
	*work += chain->work;
	return SLOW_DONE;
}

enum burst_slow
burst_dequeue_slow(struct vring *vr, struct rte_mempool *mp, struct rte_mbuf *m, uint16_t head,
	unsigned int spec, uint32_t *work)
{
	struct vring_chain chain;
	struct iov_cursor cur;
	enum burst_slow what;
	uint32_t len;

	what = packet_gather(vr, head, &chain, work);
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
	cur = (struct iov_cursor){chain.iov, chain.n_out, 0};
	memset(VRING_MBUF_HDR(m), 0, HDR_SIZE);
	if ((spec & BURST_OFFLOAD) == 0) {
		cur.off = vr->hdr_len;
	} else {
		iov_cursor_read(&cur, VRING_MBUF_HDR(m), vr->hdr_len);
		if (!net_hdr_tx_check(VRING_MBUF_HDR(m), len, vr->features)) {
			vr->rec->stats.bad_header++;
			return SLOW_DROPPED;
		}
	}
	return packet_read(&cur, mp, m, len) == 0 ? SLOW_DONE : SLOW_LATER;
}

enum burst_slow
burst_enqueue_slow(struct vring *vr, const struct rte_mbuf *m, uint16_t head, unsigned int spec,
	uint32_t *work)
{
	struct vring_chain chain;
	struct iov_cursor cur;
	enum burst_slow what;
	uint8_t hdr[HDR_SIZE];

	what = packet_gather(vr, head, &chain, work);
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
	burst_rx_header(hdr, m, spec);
	iov_cursor_write(&cur, hdr, vr->hdr_len);
	for (; m != NULL; m = m->next)
		iov_cursor_write(&cur, rte_pktmbuf_mtod(m, const void *), m->data_len);
	return SLOW_DONE;
}
