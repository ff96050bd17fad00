/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The packet path between a pair's rings and its SF queue. */

#include <poll.h>
#include <string.h>

#include "net/fit.h"
#include "qpair.h"

/*
 * Segments that the packets of one burst may become, and where bursts begin to get smaller: full
 * bursts of 64 KiB in ordinary segments stay below.
 */
#define QPAIR_SEGMENTS_MAX  4096u
#define QPAIR_SEGMENTS_MANY 2048u

_Static_assert(NET_FIT_BURST <= VRING_BURST, "one call of a burst function");
_Static_assert(NET_MBUF_DATA_OFF == VRING_MBUF_DATA_OFF, "one place for the header");

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

void
qpair_set_sf(struct qpair *qp, struct sf *sf)
{
	qp->sf = sf;
	qp->sf_ops = sf->ops;
	qp->fits[QPAIR_RX] = (qp->features & NET_HDR_RX_FEATURES) != 0;
	qp->fits[QPAIR_TX] = (net_offload_host(qp->features) & ~SF_TX_OFFLOADS(sf->caps)) != 0;
	qp->tx_limit = VRING_BURST;
}

void
qpair_set_hash(struct qpair *qp, uint32_t types, const uint8_t key[NET_HASH_KEY_SIZE])
{
	const struct net_hash *now = atomic_load_explicit(&qp->hash, memory_order_relaxed);
	struct net_hash *next = &qp->hashes[now == &qp->hashes[0]];

	net_hash_init(next, types, key);
	atomic_store_explicit(&qp->hash, next, memory_order_release);
}

static void
drop_without_buffer(struct qpair *qp, struct rte_mbuf **pkts, uint16_t n)
{
	qp->ring[QPAIR_RX].rec->stats.no_buffer += n;
	rte_pktmbuf_free_bulk(pkts, n);
}

void
qpair_drop_held(struct qpair *qp)
{
	if (qp->n_held > 0)
		drop_without_buffer(qp, qp->held, qp->n_held);
	qp->n_held = qp->held_segs = 0;
}

/* Until there are buffers. */
static void
hold(struct qpair *qp, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n && qp->n_held < RTE_DIM(qp->held); i++) {
		if (qp->n_held > 0 && qp->held_segs + pkts[i]->nb_segs > QPAIR_HELD_SEGMENTS)
			break;
		qp->held_segs += pkts[i]->nb_segs;
		qp->held[qp->n_held++] = pkts[i];
	}
	if (i < n)
		drop_without_buffer(qp, pkts + i, n - i);
}

static void
deliver(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	struct qpair *qp = arg;
	struct vring *vr = &qp->ring[QPAIR_RX];
	const struct net_hash *hash = atomic_load_explicit(&qp->hash, memory_order_acquire);
	uint16_t done = 0;

	if (hash != NULL)
		net_hash_packets(hash, pkts, n);
	if (likely(qp->n_held == 0)) /* none overtakes another */
		done = qp->burst->enqueue(vr, pkts, n);
	if (unlikely(done < n)) {
		hold(qp, pkts + done, n - done);
		check_broken(qp, QPAIR_RX);
	}
}

/*
 * The same to a driver that has offloads: the SF may have packets from before it switched some off.
 * A driver may ask for large segments and yet have buffers for small ones only; when one had to be
 * dropped for that, the next are cut.
 */
static void
deliver_fitted(struct qpair *qp, struct rte_mbuf **pkts, uint16_t n)
{
	struct ring_stats *stats = &qp->ring[QPAIR_RX].rec->stats;
	const uint64_t oversize = stats->oversize;
	struct net_fit fit = {
		.offloads = atomic_load_explicit(&qp->rx_offloads, memory_order_relaxed),
		.pool = qp->pool,
		.emit = deliver,
		.arg = qp,
		.budget = QPAIR_SEGMENTS_MAX,
	};

	if (unlikely(qp->rx_small))
		fit.offloads &= ~(uint32_t)NET_OFFLOAD_GSO;
	net_fit(&fit, pkts, n);
	if (unlikely(stats->oversize != oversize))
		qp->rx_small = !virtio_has(qp->features, VIRTIO_NET_F_MRG_RXBUF);
	stats->oversize += fit.bad + fit.no_mbuf + fit.excess;
}

#define REST_PER_ENTRY_NS 10u
#define REST_MAX_NS	  10000u

/*
 * What the driver has of the ring is what it has been given: it takes longer than this to go
 * through that, so it does not have to wait for the next burst.
 */
static uint32_t
rx_rest_ns(const struct vring *vr, uint16_t burst)
{
	if (!vr->packed || burst == VRING_BURST || vr->span > 1 || vr->size <= VRING_BURST)
		return 0;
	return RTE_MIN((vr->size - VRING_BURST) * REST_PER_ENTRY_NS, REST_MAX_NS);
}

/* @return packets for the driver: those that it had no buffers for first */
static uint16_t
rx_take(struct qpair *qp, struct rte_mbuf **pkts, uint16_t room)
{
	const uint16_t n = qp->n_held;

	if (likely(n == 0))
		return qp->sf_ops->rx_burst(
			qp->sf, qp->index, pkts, RTE_MIN(room, (uint16_t)VRING_BURST));
	memcpy(pkts, qp->held, n * sizeof(pkts[0]));
	qp->n_held = qp->held_segs = 0;
	return n;
}

/* How many packets there may be buffers for: a guess, unless it is known which packets. */
static uint16_t
rx_room(struct qpair *qp)
{
	struct vring *vr = &qp->ring[QPAIR_RX];

	vring_refresh(vr);
	return qp->n_held > 0 ? vring_avail_entries(vr) : vring_rx_room(vr);
}

/*
 * Packets stay with the SF while the driver has no buffers for them. Those that were read and find
 * too few all the same, being larger than was to be expected, wait here.
 */
static unsigned int
poll_rx(struct qpair *qp)
{
	struct vring *vr = &qp->ring[QPAIR_RX];
	struct rte_mbuf *pkts[VRING_BURST];
	uint16_t room, n;
	bool fresh;

	if (!atomic_load_explicit(&qp->rx_on, memory_order_relaxed)) {
		qpair_drop_held(qp);
		return 0;
	}
	room = rx_room(qp);
	if (room == 0) {
		check_broken(qp, QPAIR_RX);
		return 0;
	}
	fresh = qp->n_held == 0;
	n = rx_take(qp, pkts, room);
	if (n == 0)
		return 0;
	if (fresh) /* others may wait for a kick even now */
		vring_kicks_off(vr);
	if (qp->fits[QPAIR_RX])
		deliver_fitted(qp, pkts, n);
	else
		deliver(qp, pkts, n);
	interrupt(qp, QPAIR_RX);
	qp->rest_ns = n == room ? rx_rest_ns(vr, n) : 0;
	return fresh ? n : n - RTE_MIN(n, qp->n_held);
}

static void
transmit(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	struct qpair *qp = arg;

	qp->ring[QPAIR_TX].rec->stats.sf_drops +=
		n - qp->sf_ops->tx_burst(qp->sf, qp->index, pkts, n);
}

/*
 * The same to an SF that lacks what the driver may ask for. A burst is taken whole, so one that
 * grew too much is answered with smaller ones; nothing is lost but what would be too much for one
 * poll.
 */
static void
transmit_fitted(struct qpair *qp, struct rte_mbuf **pkts, uint16_t n)
{
	struct ring_stats *stats = &qp->ring[QPAIR_TX].rec->stats;
	struct net_fit fit = {
		.offloads = SF_TX_OFFLOADS(qp->sf->caps),
		.pool = qp->pool,
		.emit = transmit,
		.arg = qp,
		.budget = QPAIR_SEGMENTS_MAX,
	};

	net_fit(&fit, pkts, n);
	stats->bad_header += fit.bad;
	stats->sf_drops += fit.no_mbuf + fit.excess;
	if (unlikely(fit.segments > QPAIR_SEGMENTS_MANY || fit.excess > 0))
		qp->tx_limit = RTE_MAX(qp->tx_limit / 2, 1);
	else if (unlikely(qp->tx_limit < VRING_BURST) && fit.segments < QPAIR_SEGMENTS_MANY / 4)
		qp->tx_limit *= 2;
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
	const uint16_t limit = qp->tx_limit;
	uint16_t n;

	vring_refresh(vr);
	n = qp->burst->dequeue(vr, qp->pool, pkts, limit);
	check_broken(qp, QPAIR_TX);
	if (vring_tx_taken(vr) == 0) {
		interrupt(qp, QPAIR_TX);
		return 0;
	}
	vring_kicks_off(vr);
	if (n > 0 && qp->fits[QPAIR_TX])
		transmit_fitted(qp, pkts, n);
	else if (n > 0)
		transmit(qp, pkts, n);
	interrupt(qp, QPAIR_TX); /* for the burst before */
	vring_tx_complete(vr);
	if (n < limit)
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

bool
qpair_deliver_held(struct qpair *qp)
{
	if (qp->n_held > 0)
		(void)qpair_poll(qp, QPAIR_RX);
	return qp->n_held > 0;
}

static bool
readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0 && (p.revents & POLLIN) != 0;
}

/* The last look tries once more with all that the driver is not going to kick for. */
static bool
held_idle(struct qpair *qp)
{
	if (qp->kick_fd[QPAIR_RX] < 0 || vring_kicks_on_more(&qp->ring[QPAIR_RX]))
		return false;
	return poll_rx(qp) == 0;
}

/*
 * TX waits for the driver's kick. RX waits for the SF's descriptor; only a driver without buffers,
 * or without enough of them, has to kick. The descriptors are edge triggered, so what came before
 * the last look here is found by that look. A client that has given no descriptor for kicks wants
 * the queue polled.
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
		return qp->kick_fd[side] >= 0 && !vring_kicks_on(vr);
	if (!atomic_load_explicit(&qp->rx_on, memory_order_relaxed))
		return true;
	if (qp->n_held > 0)
		return held_idle(qp);
	if (vring_avail_entries(vr) == 0) {
		if (qp->kick_fd[side] < 0)
			return false;
		if (!vring_kicks_on(vr))
			return true;
	}
	fd = qp->sf_ops->rx_fd(qp->sf, qp->index);
	if (fd >= 0 && qp->sf_ops->rx_wait != NULL && !qp->sf_ops->rx_wait(qp->sf, qp->index))
		return false;
	/* Packets that the SF had no mbufs for make no second edge. */
	return fd >= 0 && poll_rx(qp) == 0 && !readable(fd);
}
