/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_QPAIR_H
#define APP_QPAIR_H

/**
 * @file
 * Queue pair: RX vring, TX vring and SF queue. The unit that a worker owns.
 *
 * Made by the control lcore; while it is published (worker.h) its rings belong to the worker.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/hash.h"
#include "sf/sf.h"
#include "virtio/virtio.h"
#include "vring/vring.h"

struct worker;

/**
 * Segments of received packets that wait for buffers at one pair: a large one and some small ones.
 * They are from the pool that all devices share, so a driver that gives no buffers must not gather
 * more.
 */
#define QPAIR_HELD_SEGMENTS 64u

/** The two things a worker polls of a pair. */
enum qpair_side {
	QPAIR_RX, /**< SF -> driver */
	QPAIR_TX, /**< driver -> SF */
	QPAIR_SIDES,
};

struct qpair {
	struct vring ring[QPAIR_SIDES];
	/* constant while published */
	const struct vring_burst *burst;
	struct sf *sf;
	const struct sf_ops *sf_ops;
	struct rte_mempool *pool;
	struct virtio_dev *vdev;
	uint64_t features; /**< negotiated */
	/**
	 * Packets may ask for what the other side lacks, so each header is looked at. TX: the
	 * driver for what the SF cannot do. RX: the driver has negotiated any, and may have
	 * switched it off since. Set by qpair_set_sf().
	 */
	bool fits[QPAIR_SIDES];
	uint32_t handle; /**< of the device, for the worker's crumbs; 0 without a keeper */
	uint16_t index;	 /**< virtqueues are 2 * index (RX) and 2 * index + 1 (TX) */
	bool run[QPAIR_SIDES];
	/** RX: the driver has enabled this pair (VIRTIO_NET_CTRL_MQ). */
	_Atomic bool rx_on;
	/** RX: enum net_offload that the driver takes now (VIRTIO_NET_CTRL_GUEST_OFFLOADS). */
	_Atomic uint32_t rx_offloads;
	/** RX: how packets are hashed; NULL: no hash is reported. qpair_set_hash() */
	const struct net_hash *_Atomic hash;
	/** A ring broke: the control lcore has to look. */
	_Atomic bool fault;
	/** The worker has to look (workers_rx_changed()), which takes the mark away. */
	_Atomic bool look;
	/* the worker's own */
	bool adopted;
	bool active[QPAIR_SIDES];
	bool rx_small; /**< the driver's buffers do not hold the large segments that it asked for */
	uint16_t tx_limit; /**< packets per burst, fewer while each becomes very many */
	uint64_t last_work[QPAIR_SIDES]; /**< TSC */
	/**
	 * RX: the last burst has used up the buffers of a packed ring, so the driver's CPU gives
	 * back new ones in the lines that follow. It gets on faster, and the next burst is a better
	 * one, if nobody looks at them for so long. Set by qpair_poll().
	 */
	uint32_t rest_ns;
	uint64_t rest_until; /**< TSC */
	/**
	 * RX: packets that were read from the SF and found too few buffers. They are the next to go
	 * in. Lost with the pair (device_release() gives the driver some time first), and when the
	 * driver disables it.
	 */
	uint16_t n_held, held_segs;
	struct rte_mbuf *held[VRING_BURST];
	/* the control lcore's own, constant while published */
	int kick_fd[QPAIR_SIDES]; /**< -1: the client has none, and the queue is polled */
	int sf_fd;
	struct worker *worker;
	struct net_hash hashes[2]; /**< one in use, and room for the next */
} __rte_cache_aligned;

static inline uint16_t
qpair_queue(const struct qpair *qp, enum qpair_side side)
{
	return qp->index * 2 + side;
}

/** Give a pair that no worker has its SF. features must be set. */
void qpair_set_sf(struct qpair *qp, struct sf *sf);

/**
 * Hash packets from now on with these types and this key, and report it. A worker may go on with
 * the former ones for a grace period, before the end of which there can be no third ones.
 */
void qpair_set_hash(struct qpair *qp, uint32_t types, const uint8_t key[NET_HASH_KEY_SIZE]);

/**
 * Try again to deliver what waits for buffers, and read nothing more from the SF. By whoever has
 * the RX ring.
 * @return some still wait
 */
bool qpair_deliver_held(struct qpair *qp);

/** Free what waits for buffers, as packets that found none. By whoever has the RX ring. */
void qpair_drop_held(struct qpair *qp);

/**
 * Move one burst. Worker only.
 * @return packets moved
 */
unsigned int qpair_poll(struct qpair *qp, enum qpair_side side);

/**
 * Nothing to do for a while: let the driver kick and look once more. Worker only.
 * @return false if there is work after all: go on polling
 */
bool qpair_idle(struct qpair *qp, enum qpair_side side);

#endif /* APP_QPAIR_H */
