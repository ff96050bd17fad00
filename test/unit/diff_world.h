/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_DIFF_WORLD_H
#define TEST_UNIT_DIFF_WORLD_H

/**
 * @file
 * A guest's memory with a pair of rings, and as the device side of them either ours or DPDK's vhost
 * library: two worlds with the same descriptors show how the two differ.
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_mbuf.h>

#include "vhost_peer.h"
#include "vring/vring.h"
#include "vring/vring_driver.h"

#define WORLD_BIT(n) (UINT64_C(1) << (n))
#define PACKED	     WORLD_BIT(VIRTIO_F_RING_PACKED)
#define IN_ORDER     WORLD_BIT(VIRTIO_F_IN_ORDER)
#define MERGEABLE    WORLD_BIT(VIRTIO_NET_F_MRG_RXBUF)
#define INDIRECT     WORLD_BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define EVENT	     WORLD_BIT(VIRTIO_RING_F_EVENT_IDX)
#define HDR	     ((uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf))
/* Two ranges, one behind the other for the guest but not in memory. */
#define NEAR	  UINT64_C(0x100000000)
#define NEAR_LEN  UINT64_C(0x200000)
#define FAR	  (NEAR + NEAR_LEN)
#define FAR_LEN	  UINT64_C(0x200000)
#define HOLE	  UINT64_C(0x800000000) /**< not mapped */
#define RING_LEN  UINT64_C(0xc0000)	/**< of each of the two rings */
#define ARENA	  (NEAR + 2 * RING_LEN) /**< buffers, up to the end of FAR */
#define ARENA_LEN (FAR + FAR_LEN - ARENA)
#define MAX_SIZE  512u

enum {
	RX,
	TX,
};

/** One memory with its driver and its device. */
struct world {
	int fd;
	uint8_t *mem;
	struct vring_driver vd[2];
	struct vring_driver_slot slots[2][MAX_SIZE];
	bool interrupted[2]; /**< by the last burst */
	/* one of the two */
	struct vhost_peer *theirs;
	struct hostmem_files *files;
	struct hostmem *hm;
	struct ring_record rec[2];
	struct vring vr[2];
	const struct vring_burst *burst;
};

/** mbufs for both sides */
struct rte_mempool *world_pool(void);

struct world *world_new(void);
/** Empty memory, fresh rings, a device; VERSION_1 is understood. May be called again. */
void world_start(struct world *w, uint16_t size, uint64_t features, bool theirs);
void world_free(struct world *w);

uint8_t *world_va(const struct world *w, uint64_t iova);
void world_write(struct world *w, uint64_t iova, const uint8_t *buf, uint32_t len);

/** A burst of the device. @return packets that the driver had sent; the caller's to free */
uint16_t world_tx(struct world *w, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n);
/** A burst of the device; all mbufs are freed. @return packets taken (ours: or dropped) */
uint16_t world_rx(struct world *w, struct rte_mbuf **pkts, uint16_t n);

#endif /* TEST_UNIT_DIFF_WORLD_H */
