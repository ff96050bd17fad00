/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The packet path between a pair's rings and its SF queue. */

#include <poll.h>

#include "qpair.h"

static void
check_broken(struct qpair *qp, enum qpair_side side)
{
	if (unlikely(vring_broken(&qp->ring[side])))
		atomic_store_explicit(&qp->fault, true, memory_order_release);
}

static void
interrupt(struct qpair *qp, enum qpair_side side)
{
	struct vring *vr = &qp->ring[side];

	if (!vring_interrupt_wanted(vr))
		return;
	vr->rec->stats.interrupts++;
	virtio_dev_queue_interrupt(qp->vdev, qpair_queue(qp, side));
}

/* Packets stay with the SF while the driver has no buffers for them. */
static unsigned int
poll_rx(struct qpair *qp)
{
	struct vring *vr = &qp->ring[QPAIR_RX];
	struct rte_mbuf *pkts[VRING_BURST];
	uint16_t room, n, done;

	if (!atomic_load_explicit(&qp->rx_on, memory_order_relaxed))
		return 0;
	vring_refresh(vr);
	room = vring_avail_entries(vr);
	if (room == 0) {
		check_broken(qp, QPAIR_RX);
		return 0;
	}
	n = qp->sf_ops->rx_burst(qp->sf, qp->index, pkts, RTE_MIN(room, (uint16_t)VRING_BURST));
	if (n == 0)
		return 0;
	vring_kicks_off(vr);
	done = qp->burst->enqueue(vr, pkts, n);
	if (unlikely(done < n)) {
		vr->rec->stats.no_buffer += n - done;
		rte_pktmbuf_free_bulk(pkts + done, n - done);
		check_broken(qp, QPAIR_RX);
	}
	interrupt(qp, QPAIR_RX);
	return n;
}

/*
 * The driver gets its chains back when the packets are with the SF: should the process die, its
 * successor sends them again. The decision on an interrupt has to wait for the used index to get
 * out; a full burst, which another one follows, leaves it to that one, for it to cost nothing. An
 * empty poll decides as well: of a resumed ring, interrupts may have been lost.
 */
static unsigned int
poll_tx(struct qpair *qp)
{
	struct vring *vr = &qp->ring[QPAIR_TX];
	struct rte_mbuf *pkts[VRING_BURST];
	uint16_t n, sent;

	vring_refresh(vr);
	n = qp->burst->dequeue(vr, qp->pool, pkts, VRING_BURST);
	check_broken(qp, QPAIR_TX);
	if (vring_tx_taken(vr) == 0) {
		interrupt(qp, QPAIR_TX);
		return 0;
	}
	vring_kicks_off(vr);
	if (n > 0) {
		sent = qp->sf_ops->tx_burst(qp->sf, qp->index, pkts, n);
		vr->rec->stats.sf_drops += n - sent;
	}
	interrupt(qp, QPAIR_TX); /* for the burst before */
	vring_tx_complete(vr);
	if (n < VRING_BURST)
		interrupt(qp, QPAIR_TX);
	return RTE_MAX(n, 1u); /* chains with bad packets are work, too */
}

unsigned int
qpair_poll(struct qpair *qp, enum qpair_side side)
{
	if (unlikely(!qp->run[side] || vring_broken(&qp->ring[side])))
		return 0;
	return side == QPAIR_RX ? poll_rx(qp) : poll_tx(qp);
}

static bool
readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0;
}

/*
 * TX waits for the driver's kick. RX waits for the SF's descriptor; only a driver without buffers
 * has to kick. The descriptors are edge triggered, so what came before the last look here is found
 * by that look.
 */
bool
qpair_idle(struct qpair *qp, enum qpair_side side)
{
	struct vring *vr = &qp->ring[side];
	int fd;

	if (!qp->run[side] || vring_broken(vr))
		return true;
	vring_refresh(vr);
	if (side == QPAIR_TX)
		return !vring_kicks_on(vr);
	if (!atomic_load_explicit(&qp->rx_on, memory_order_relaxed))
		return true;
	if (vring_avail_entries(vr) == 0 && !vring_kicks_on(vr))
		return true;
	fd = qp->sf_ops->rx_fd(qp->sf, qp->index);
	/* Packets that the SF had no mbufs for make no second edge. */
	return fd >= 0 && poll_rx(qp) == 0 && !readable(fd);
}
