/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Packets of the port, and the gates in front of its queues. Workers, but for the gates' keeper. */

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/membarrier.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_pause.h>

#include "sf/ethdev/ethdev.h"
#include "vring/vring.h"

/* ---- gates ---- */

static int
membarrier(int cmd)
{
	return (int)syscall(__NR_membarrier, cmd, 0, 0);
}

void
ethdev_gates_init(struct ethdev *e)
{
	/* Old kernels and seccomp profiles know nothing of it. */
	e->fence = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0;
}

void
ethdev_gates_close(struct ethdev *e)
{
	for (uint16_t i = 0; i < e->sf.max_pairs; i++)
		atomic_store_explicit(&e->queues[i].open, false, memory_order_relaxed);
	if (e->fence)
		atomic_thread_fence(memory_order_seq_cst);
	else
		(void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	/* Whoever is inside comes out after a burst. */
	for (uint16_t i = 0; i < e->sf.max_pairs; i++)
		while (atomic_load_explicit(&e->queues[i].inside, memory_order_acquire))
			rte_pause();
}

void
ethdev_gates_open(struct ethdev *e, uint16_t pairs)
{
	for (uint16_t i = 0; i < pairs; i++)
		atomic_store(&e->queues[i].open, true);
	/* It may be going just now; whoever comes second closes them. */
	if (atomic_load(&e->gone))
		ethdev_gates_close(e);
}

static inline bool
gate_enter(const struct ethdev *e, struct ethdev_queue *q)
{
	atomic_store_explicit(&q->inside, true, memory_order_relaxed);
	if (unlikely(e->fence))
		atomic_thread_fence(memory_order_seq_cst);
	else
		atomic_signal_fence(memory_order_seq_cst);
	if (likely(atomic_load_explicit(&q->open, memory_order_acquire)))
		return true;
	atomic_store_explicit(&q->inside, false, memory_order_release);
	return false;
}

static inline void
gate_leave(struct ethdev_queue *q)
{
	atomic_store_explicit(&q->inside, false, memory_order_release);
}

/* ---- receive ---- */

static inline void
count(uint64_t *counter, uint64_t n)
{
	/* Single writer; any thread reads. */
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

void
ethdev_queue_drain(struct ethdev *e, uint16_t queue)
{
	struct rte_mbuf *pkts[VRING_BURST];
	unsigned int dropped = 0;
	uint16_t n;

	do {
		n = rte_eth_rx_burst(e->port, queue, pkts, RTE_DIM(pkts));
		rte_pktmbuf_free_bulk(pkts, n);
		dropped += n;
	} while (n > 0 && dropped < ETHDEV_DRAIN_MAX);
}

/* A header before the data. @return false if the packet cannot be had */
static inline bool
rx_finish(struct rte_mbuf **m, uint32_t rx_caps)
{
	struct virtio_net_hdr_mrg_rxbuf *hdr;

	if (unlikely((*m)->data_off < sizeof(*hdr)))
		return false;
	hdr = VRING_MBUF_HDR(*m);
	memset(hdr, 0, sizeof(*hdr));
	hdr->num_buffers = rte_cpu_to_le_16(1);
	return likely(((*m)->ol_flags & ETHDEV_RX_FLAGS) == 0) ||
	       ethdev_rx_offload(m, rx_caps) == 0;
}

/* Out of line: packets have ended a sleep. */
static __rte_noinline void
disarm(struct ethdev *e, uint16_t queue)
{
	(void)rte_eth_dev_rx_intr_disable(e->port, queue);
	e->queues[queue].armed = false;
}

uint16_t
ethdev_rx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev *e = (struct ethdev *)sf;
	struct ethdev_queue *q = &e->queues[queue];
	uint32_t rx_caps;
	uint16_t got, kept = 0;

	if (unlikely(!gate_enter(e, q)))
		return 0;
	got = rte_eth_rx_burst(e->port, queue, pkts, n);
	if (unlikely(q->armed && got > 0))
		disarm(e, queue);
	gate_leave(q);
	rx_caps = atomic_load_explicit(&e->rx_caps, memory_order_relaxed);
	for (uint16_t i = 0; i < got; i++) {
		struct rte_mbuf *m = pkts[i];

		if (i + 1 < got)
			rte_prefetch0((uint8_t *)pkts[i + 1]->buf_addr + pkts[i + 1]->data_off -
				      sizeof(struct virtio_net_hdr_mrg_rxbuf));
		if (likely(rx_finish(&m, rx_caps))) {
			pkts[kept++] = m;
		} else {
			rte_pktmbuf_free(m);
			count(&q->stats.rx_errors, 1);
		}
	}
	return kept;
}

/*
 * To sleep, the interrupt must be on before the last look at the queue. One that has come since is
 * forgotten before that look, for it says what the look will find.
 */
bool
ethdev_rx_wait(struct sf *sf, uint16_t queue)
{
	struct ethdev *e = (struct ethdev *)sf;
	struct ethdev_queue *q = &e->queues[queue];
	bool may = true;

	if (!gate_enter(e, q))
		return true;
	if (q->has_counter) {
		uint64_t events;

		(void)!read(q->intr_fd, &events, sizeof(events));
		(void)rte_eth_dev_rx_intr_enable(e->port, queue);
		q->armed = true;
		/* Packets that are left for want of mbufs make no interrupt. */
		may = rte_eth_rx_queue_count(e->port, queue) <= 0;
	}
	gate_leave(q);
	return may;
}

/* ---- transmit ---- */

/* Offloads that packets ask for. Those that cannot be are taken out. @return packets left */
static uint16_t
tx_ready(struct ethdev *e, struct ethdev_queue *q, struct rte_mbuf **pkts, uint16_t n, bool *asked)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		const struct virtio_net_hdr *hdr = &VRING_MBUF_HDR(m)->hdr;
		int ret = 0;

		if (unlikely((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 ||
			     hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE)) {
			ret = ethdev_tx_offload(m, e->tx_offloads);
			*asked = true;
		}
		if (unlikely(m->nb_segs > 1 &&
			     (e->tx_offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) == 0) &&
			ret == 0)
			ret = rte_pktmbuf_linearize(m);
		if (likely(ret == 0)) {
			pkts[kept++] = m;
			continue;
		}
		rte_pktmbuf_free(m);
		count(&q->stats.tx_errors, 1);
	}
	return kept;
}

/* What the PMD itself has to do or to check of offloads; it stops at a packet that it refuses. */
static uint16_t
tx_prepare(struct ethdev *e, struct ethdev_queue *q, uint16_t queue, struct rte_mbuf **pkts,
	uint16_t n)
{
	uint16_t ready = 0;

	while (ready < n) {
		ready += rte_eth_tx_prepare(e->port, queue, pkts + ready, n - ready);
		if (ready == n)
			break;
		rte_pktmbuf_free(pkts[ready]);
		count(&q->stats.tx_errors, 1);
		n--;
		memmove(pkts + ready, pkts + ready + 1, (n - ready) * sizeof(*pkts));
	}
	return n;
}

uint16_t
ethdev_tx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct ethdev *e = (struct ethdev *)sf;
	struct ethdev_queue *q = &e->queues[queue];
	bool asked = false;
	uint16_t sent;

	if (unlikely(!gate_enter(e, q))) {
		rte_pktmbuf_free_bulk(pkts, n);
		count(&q->stats.tx_errors, n);
		return 0;
	}
	n = tx_ready(e, q, pkts, n, &asked);
	if (unlikely(asked))
		n = tx_prepare(e, q, queue, pkts, n);
	sent = rte_eth_tx_burst(e->port, queue, pkts, n);
	gate_leave(q);
	if (unlikely(sent < n)) {
		rte_pktmbuf_free_bulk(pkts + sent, n - sent);
		count(&q->stats.tx_errors, n - sent);
	}
	return sent;
}
