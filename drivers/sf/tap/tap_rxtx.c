/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Packets of the TAP, one system call each. Workers only. */

#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "sf/tap/tap.h"
#include "vring/vring.h"

_Static_assert(TAP_HDR_LEN == sizeof(struct virtio_net_hdr_mrg_rxbuf), "header of the TAP");

static inline void
count(uint64_t *counter)
{
	/* Single writer; any thread reads. */
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/*
 * Room of segment i: behind the usual headroom, with the virtio header in front of the data, or all
 * of the buffer.
 */
static inline uint16_t
seg_room(struct rte_mempool *pool, unsigned int i)
{
	uint16_t room = rte_pktmbuf_data_room_size(pool);

	return i == 0 ? room - RTE_PKTMBUF_HEADROOM : room;
}

/*
 * One byte more than the largest frame, header included: a read that fills everything was cut
 * short.
 */
static inline uint32_t
room_wanted(uint16_t mtu)
{
	return TAP_HDR_LEN + TAP_L2_LEN + mtu + 1;
}

bool
tap_pool_fits(struct rte_mempool *pool)
{
	uint32_t room = 0;

	if (rte_pktmbuf_data_room_size(pool) <= VRING_MBUF_DATA_OFF)
		return false;
	for (unsigned int i = 0; i < TAP_RX_SEGS; i++)
		room += seg_room(pool, i);
	return room >= room_wanted(TAP_MTU_MAX);
}

void
tap_queue_release(struct tap_queue *q)
{
	if (q->n_segs > q->n_used)
		rte_pktmbuf_free_bulk(q->ready + q->n_used, q->n_segs - q->n_used);
	q->n_used = q->n_segs;
}

/*
 * Where the rest of a large segment goes that a queue was not laid out for, to be copied from
 * there: to have 64 KiB of mbufs wait at each queue would take most of a pool, and to tell the
 * kernel of them costs small frames a third of their time. A lcore's own, since all of its queues
 * use it.
 */
static __thread uint8_t spill[TAP_LARGE_MAX + 1];

static uint32_t
segs_add(struct tap_queue *q, uint32_t wanted, uint8_t max)
{
	for (; q->n_segs < max && q->room < wanted; q->n_segs++) {
		q->iov[q->n_segs].iov_len = seg_room(q->pool, q->n_segs);
		q->room += q->iov[q->n_segs].iov_len;
	}
	return q->room;
}

static void
queue_layout(struct tap_queue *q, uint16_t mtu, bool large, bool wide)
{
	tap_queue_release(q);
	q->mtu = mtu;
	q->spills = large;
	q->wide = wide;
	q->room = 0;
	q->n_segs = 0;
	q->mtu_room = segs_add(q, room_wanted(mtu), TAP_RX_SEGS);
	if (wide)
		segs_add(q, TAP_LARGE_MAX + 1, TAP_LARGE_SEGS);
	q->iov[q->n_segs].iov_base = spill;
	q->iov[q->n_segs].iov_len = TAP_LARGE_MAX + 1 - RTE_MIN(q->room, TAP_LARGE_MAX + 1);
	q->n_used = q->n_segs;
}

/* Layouts change between bursts only. */
static inline void
queue_prepare(const struct tap *t, struct tap_queue *q)
{
	const uint16_t mtu = __atomic_load_n(&t->mtu, __ATOMIC_RELAXED);
	const bool large = __atomic_load_n(&q->large, __ATOMIC_RELAXED);
	const bool wide = large && q->hold > 0;

	if (unlikely(q->mtu != mtu || q->spills != large || q->wide != wide))
		queue_layout(q, mtu, large, wide);
	q->iov[q->n_segs].iov_base = spill; /* of the lcore that it is with now */
}

/* New segments for those that went with the last frame. */
static bool
queue_refill(struct tap_queue *q)
{
	if (unlikely(rte_pktmbuf_alloc_bulk(q->pool, q->ready, q->n_used) != 0))
		return false;
	for (unsigned int i = 0; i < q->n_used; i++) {
		struct rte_mbuf *m = q->ready[i];

		m->data_off = i == 0 ? VRING_MBUF_DATA_OFF : 0;
		q->iov[i].iov_base = (uint8_t *)m->buf_addr + (i == 0 ? RTE_PKTMBUF_HEADROOM : 0);
	}
	q->n_used = 0;
	return true;
}

/* @return all segments are there; a nearly empty pool may have those for small frames only */
static inline bool
queue_ready(struct tap_queue *q)
{
	if (q->n_used == 0 || likely(queue_refill(q)))
		return true;
	if (!q->wide)
		return false;
	q->hold = 0;
	queue_layout(q, q->mtu, q->spills, false);
	return queue_refill(q);
}

/* The chain of segments that a frame of len bytes, header included, filled. */
static inline struct rte_mbuf *
queue_take(struct tap_queue *q, uint32_t len)
{
	struct rte_mbuf *first = q->ready[0], *last = first;
	uint32_t left = len - RTE_MIN(len, (uint32_t)q->iov[0].iov_len);

	first->data_len = len - left - TAP_HDR_LEN;
	first->pkt_len = len - TAP_HDR_LEN;
	q->n_used = 1;
	while (unlikely(left > 0)) {
		struct rte_mbuf *m = q->ready[q->n_used];

		m->data_len = RTE_MIN(left, (uint32_t)q->iov[q->n_used].iov_len);
		left -= m->data_len;
		last->next = m;
		last = m;
		q->n_used++;
	}
	first->nb_segs = q->n_used;
	return first;
}

/* The same, of a frame whose last bytes were spilt. @return NULL without mbufs for them */
static struct rte_mbuf *
queue_take_spilt(struct tap_queue *q, uint32_t len)
{
	const uint32_t room = seg_room(q->pool, 1);
	struct rte_mbuf *more[TAP_LARGE_SEGS], *m;
	uint32_t left = len - q->room;
	const unsigned int n = (left + room - 1) / room;

	if (n > RTE_DIM(more) || rte_pktmbuf_alloc_bulk(q->pool, more, n) != 0)
		return NULL;
	m = queue_take(q, q->room);
	rte_pktmbuf_lastseg(m)->next = more[0];
	for (unsigned int i = 0; i < n; i++) {
		more[i]->data_off = 0;
		more[i]->data_len = RTE_MIN(left, room);
		more[i]->next = i + 1 < n ? more[i + 1] : NULL;
		memcpy(more[i]->buf_addr, spill + i * room, more[i]->data_len);
		left -= more[i]->data_len;
	}
	m->pkt_len = len - TAP_HDR_LEN;
	m->nb_segs += n;
	return m;
}

/* A frame that is longer than the MTU allows: a large segment, or lost. */
static struct rte_mbuf *
queue_take_large(struct tap_queue *q, uint32_t len)
{
	const struct virtio_net_hdr_mrg_rxbuf *hdr = VRING_MBUF_HDR(q->ready[0]);
	struct rte_mbuf *m;

	/* A read that filled everything was cut short. */
	if (!q->spills || len > TAP_LARGE_MAX || hdr->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return NULL;
	m = len > q->room ? queue_take_spilt(q, len) : queue_take(q, len);
	if (m != NULL)
		q->hold = TAP_LARGE_HOLD;
	return m;
}

static inline void
hdr_finish(const struct tap_queue *q, struct rte_mbuf *m)
{
	struct virtio_net_hdr_mrg_rxbuf *hdr = VRING_MBUF_HDR(m);

	/*
	 * The kernel says DATA_VALID of forwarded packets even when no checksum offload was asked
	 * for.
	 */
	if ((__atomic_load_n(&q->rx_caps, __ATOMIC_RELAXED) & SF_CAP_RX_CSUM) == 0)
		hdr->hdr.flags &= ~VIRTIO_NET_HDR_F_DATA_VALID;
	/* It knows the header's length but fills in the first ten bytes only. */
	hdr->num_buffers = rte_cpu_to_le_16(1);
}

static inline struct rte_mbuf *
frame_take(struct tap_queue *q, uint32_t len)
{
	if (unlikely(len < TAP_HDR_LEN))
		return NULL;
	if (unlikely(len >= q->mtu_room))
		return queue_take_large(q, len);
	if (unlikely(q->hold > 0))
		q->hold--;
	return queue_take(q, len);
}

uint16_t
tap_rx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct tap *t = (struct tap *)sf;
	struct tap_queue *q = &t->queues[queue];
	uint16_t got = 0;

	queue_prepare(t, q);
	for (uint16_t i = 0; i < n; i++) {
		ssize_t len;

		/* Without mbufs the frame stays in the kernel's queue, and rx_fd() readable. */
		if (unlikely(!queue_ready(q))) {
			count(&q->stats.rx_no_mbuf);
			break;
		}
		len = readv(q->fd, q->iov, q->n_segs + q->spills);
		if (len <= 0)
			break;
		pkts[got] = frame_take(q, (uint32_t)len);
		if (unlikely(pkts[got] == NULL)) {
			count(&q->stats.rx_errors);
			continue;
		}
		hdr_finish(q, pkts[got]);
		got++;
	}
	return got;
}

/* A queue that sleeps keeps no more mbufs than the next small frame needs. */
bool
tap_rx_wait(struct sf *sf, uint16_t queue)
{
	((struct tap *)sf)->queues[queue].hold = 0;
	return true;
}

static ssize_t
send_segs(int fd, struct rte_mbuf *m)
{
	struct iovec iov[TAP_TX_SEGS];
	unsigned int n = 1;

	if (m->nb_segs > TAP_TX_SEGS)
		return -1;
	iov[0].iov_base = VRING_MBUF_HDR(m);
	iov[0].iov_len = TAP_HDR_LEN + m->data_len;
	for (m = m->next; m != NULL && n < TAP_TX_SEGS; m = m->next, n++) {
		iov[n].iov_base = rte_pktmbuf_mtod(m, void *);
		iov[n].iov_len = m->data_len;
	}
	return writev(fd, iov, (int)n);
}

uint16_t
tap_tx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct tap_queue *q = &((struct tap *)sf)->queues[queue];
	uint16_t sent = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		ssize_t ret;

		if (likely(m->nb_segs == 1))
			ret = write(q->fd, VRING_MBUF_HDR(m), TAP_HDR_LEN + m->data_len);
		else
			ret = send_segs(q->fd, m);
		/* Bad header, interface down, no kernel memory: the frame is lost, as on a wire. */
		if (likely(ret >= 0))
			sent++;
		else
			count(&q->stats.tx_errors);
	}
	rte_pktmbuf_free_bulk(pkts, n);
	return sent;
}
