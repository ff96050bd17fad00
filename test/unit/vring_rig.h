/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VRING_RIG_H
#define TEST_UNIT_VRING_RIG_H

/**
 * @file
 * A ring with both of its sides for tests: memory that plays the guest's, our driver side, the
 * device side.
 */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_mbuf.h>

#include "vring/vring.h"
#include "vring/vring_driver.h"

#define RIG_SIZE     256u
#define RIG_HDR	     12u /**< bytes of the virtio-net header */
#define RIG_VERSION1 (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define RIG_EVENT    (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define RIG_INDIRECT (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)
#define RIG_PACKED   (UINT64_C(1) << VIRTIO_F_RING_PACKED)
#define RIG_ORDER    (UINT64_C(1) << VIRTIO_F_IN_ORDER)
#define RIG_MERGE    (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)
#define RIG_LOG	     (UINT64_C(1) << VRING_F_LOG_ALL)
#define RIG_OFFLOAD  (UINT64_C(1) << VIRTIO_NET_F_CSUM | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4)

/*
 * The guest's memory: three ranges in one file. FAR follows NEAR for the guest but not in memory,
 * so a buffer across the border is in two pieces. Nothing else is mapped; HOLE is far from
 * everything.
 */
#define RIG_NEAR     UINT64_C(0x100000000)
#define RIG_NEAR_LEN UINT64_C(0x200000)
#define RIG_FAR	     (RIG_NEAR + RIG_NEAR_LEN)
#define RIG_FAR_LEN  UINT64_C(0x100000)
#define RIG_FAR_OFF  UINT64_C(0x300000)
#define RIG_RO	     UINT64_C(0x300000000)
#define RIG_RO_LEN   UINT64_C(0x10000)
#define RIG_RO_OFF   UINT64_C(0x200000)
#define RIG_HOLE     UINT64_C(0x200000000)
#define RIG_FILE_LEN UINT64_C(0x400000)
#define RIG_BUFS     (RIG_NEAR + 0x100000) /**< free for buffers; the ring stands before it */

struct rig {
	int fd;
	uint8_t *mem;
	struct hostmem_files *files;
	struct hostmem *hm;
	struct rte_mempool *mp;
	const struct vring_burst *burst;
	struct vring_conf conf;
	struct ring_record rec;
	struct vring vr;
	struct vring_driver vd;
	struct vring_driver_slot *slots; /**< VRING_MAX_SIZE */
	uint64_t format;		 /**< features of each start: RIG_PACKED, RIG_ORDER */
	struct vring_log log;		 /**< for RIG_LOG */
	struct vring_chain chain;
};

#define RIG_MBUFS 1023u
struct rte_mempool *rig_pool(void);

/** A fresh rig; a second rig_start() begins anew with other features. */
struct rig *rig_new(void);
void rig_start(struct rig *r, uint16_t size, uint64_t features);
void rig_free(struct rig *r);

/**
 * Around each test: a rig with a started ring of RIG_SIZE entries, indirect descriptors negotiated.
 */
int rig_setup(void **state);
int rig_setup_order(void **state);
int rig_setup_packed(void **state);
int rig_setup_packed_order(void **state);
int rig_teardown(void **state);

/** A test on a split ring, on a packed one, on both with and without VIRTIO_F_IN_ORDER. */
/* clang-format off */
#define RIG_TEST_OF(fn, name, setup) {#fn "/" name, fn, setup, rig_teardown, NULL}
#define RIG_TEST_SPLIT(fn)  {#fn, fn, rig_setup, rig_teardown, NULL}
#define RIG_TEST_PACKED(fn) {#fn, fn, rig_setup_packed, rig_teardown, NULL}
#define RIG_TEST(fn)                                                                               \
	RIG_TEST_OF(fn, "split", rig_setup),                                                       \
	RIG_TEST_OF(fn, "split in-order", rig_setup_order),                                        \
	RIG_TEST_OF(fn, "packed", rig_setup_packed),                                               \
	RIG_TEST_OF(fn, "packed in-order", rig_setup_packed_order)
/* clang-format on */

/** The test's own pointer to an address of the guest. */
uint8_t *rig_ptr(struct rig *r, uint64_t iova);

/** Write to, read from guest memory, across borders. */
void rig_write(struct rig *r, uint64_t iova, const void *buf, uint32_t len);
void rig_read(struct rig *r, uint64_t iova, void *buf, uint32_t len);

/** Make hm's edits visible and take the snapshot up. */
void rig_publish(struct rig *r);

/** Raw access, past the driver side: what a hostile guest writes. */
void rig_desc(
	struct rig *r, uint16_t at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
void rig_offer(struct rig *r, uint16_t head);
/** Packed: the next descriptor of the ring, available at once. */
void rig_pdesc(struct rig *r, uint64_t addr, uint32_t len, uint16_t flags, uint16_t id);
/** Chains that the device has shown as used since the start. */
uint32_t rig_shown(const struct rig *r);

/** Fill with a pattern of which no two parts are alike. */
void rig_pattern(uint8_t *buf, uint32_t len, uint32_t seed);

/** mbufs that are out of the pool. */
unsigned int rig_mbufs_out(struct rig *r);

/** A packet with the pattern, in mbufs of at most seg bytes. */
struct rte_mbuf *rig_mbuf(struct rig *r, uint32_t len, uint32_t seg, uint32_t seed);

/** Bursts as a worker does them. */
uint16_t rig_dequeue(struct rig *r, struct rte_mbuf **pkts, uint16_t n);
uint16_t rig_enqueue(struct rig *r, struct rte_mbuf **pkts, uint16_t n);

/** Write a header of zeros and the pattern at iova. */
struct vring_buf rig_tx_buf(struct rig *r, uint64_t iova, uint32_t len, uint32_t seed);

/** The packet is well-formed and has the pattern. */
void rig_assert_packet(const struct rte_mbuf *m, uint32_t len, uint32_t seed);

/** The driver finds one used entry that gives back `token` with len bytes written; or none. */
void rig_assert_used(struct rig *r, uint64_t token, uint32_t len);
void rig_assert_none_used(struct rig *r);

#endif /* TEST_UNIT_VRING_RIG_H */
