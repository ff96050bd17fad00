/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VHOST_PEER_H
#define TEST_UNIT_VHOST_PEER_H

/**
 * @file
 * DPDK's own vhost as the device side of two rings: what ours is compared with. The library is
 * reached as a hypervisor reaches it, over a socket within this process.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "vring/vring_driver.h"

#define VHOST_PEER_REGIONS 2u

struct vhost_peer_region {
	uint64_t iova;
	uint64_t len;
	uint64_t offset;
	int fd;
};

struct vhost_peer_conf {
	uint64_t features;
	struct vhost_peer_region region[VHOST_PEER_REGIONS];
	const struct vring_driver *ring[2]; /**< receive, transmit */
};

struct vhost_peer;

/** Connect and wait until the device runs. Fails the test if it doesn't. */
struct vhost_peer *vhost_peer_start(const struct vhost_peer_conf *conf);
/** Disconnect and wait until the device is gone. */
void vhost_peer_stop(struct vhost_peer *peer);

/**
 * Teardown of a group of tests that have used it: the library's own thread goes on with the last
 * device after it is "gone", so it has to be waited for before EAL takes the memory away.
 */
int vhost_peer_end(void **state);

/** @return packets that the driver had sent; the caller's to free */
uint16_t vhost_peer_dequeue(
	struct vhost_peer *peer, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n);
/** @return packets that were taken; all are still the caller's to free */
uint16_t vhost_peer_enqueue(struct vhost_peer *peer, struct rte_mbuf **pkts, uint16_t n);
/** Was there an interrupt for that ring since the last call? */
bool vhost_peer_interrupted(struct vhost_peer *peer, uint16_t ring);

#endif /* TEST_UNIT_VHOST_PEER_H */
