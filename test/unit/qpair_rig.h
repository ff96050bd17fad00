/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_QPAIR_RIG_H
#define TEST_UNIT_QPAIR_RIG_H

/**
 * @file
 * A pair that receives: a real ring, an SF of the test's.
 */

#include "test.h"
#include "virtio_fixture.h"
#include "virtnet/qpair.h"
#include "vring_rig.h"

struct qpair_rig {
	struct rig *r;
	struct owner *owner;
	struct qpair qp;
	struct sf sf;
	struct sf_ops ops;
	unsigned int waiting; /**< frames that the SF has, each of ... */
	uint32_t frame;	      /**< ... so many bytes and with a pattern of its number, ... */
	uint32_t seg;	      /**< of mbufs that hold so much */
	uint32_t seed;	      /**< number of the next one */
	uint64_t token;	      /**< of the next buffer that is posted */
};

static uint16_t
qpair_rig_rx(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct qpair_rig *t = container_of(sf, struct qpair_rig, sf);

	RTE_SET_USED(queue);
	n = RTE_MIN(n, t->waiting);
	for (uint16_t i = 0; i < n; i++)
		pkts[i] = rig_mbuf(t->r, t->frame, t->seg, t->seed++);
	t->waiting -= n;
	return n;
}

static int
qpair_rig_fd(struct sf *sf, uint16_t queue)
{
	RTE_SET_USED(sf);
	RTE_SET_USED(queue);
	return -1;
}

/** features: RIG_PACKED and the like, and those to negotiate. */
static inline void
qpair_rig_start(struct qpair_rig *t, uint64_t features, uint16_t size)
{
	*t = (struct qpair_rig){
		.r = rig_new(),
		.owner = owner_new(),
		.seg = 2000,
		.ops = {.name = "test", .rx_burst = qpair_rig_rx, .rx_fd = qpair_rig_fd},
	};
	t->r->format = features & (RIG_PACKED | RIG_ORDER);
	rig_start(t->r, size, features & ~(RIG_PACKED | RIG_ORDER));
	t->sf.ops = &t->ops;
	t->qp.burst = t->r->burst;
	t->qp.pool = rig_pool();
	qpair_set_sf(&t->qp, &t->sf);
	t->qp.vdev = t->owner->dev;
	t->qp.kick_fd[QPAIR_RX] = 0; /* there is one; it is the worker that reads it */
	atomic_init(&t->qp.rx_on, true);
	vring_stop(&t->r->vr);
	assert_int_equal(vring_start(&t->qp.ring[QPAIR_RX], &t->r->conf), 0);
	t->qp.run[QPAIR_RX] = true;
}

static inline void
qpair_rig_end(struct qpair_rig *t)
{
	qpair_drop_held(&t->qp);
	vring_stop(&t->qp.ring[QPAIR_RX]);
	assert_int_equal(rig_mbufs_out(t->r), 0);
	rig_free(t->r);
	owner_free(t->owner);
}

/** Where the buffer with that token is. */
static inline uint64_t
qpair_rig_buffer(uint64_t token)
{
	return RIG_BUFS + token % 512 * 2048;
}

/** The driver posts n buffers of len bytes. */
static inline void
qpair_rig_post(struct qpair_rig *t, unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++, t->token++) {
		const struct vring_buf buf = {qpair_rig_buffer(t->token), len};

		assert_int_equal(vring_driver_add(&t->r->vd, &buf, 0, 1, false, t->token), 0);
	}
	vring_driver_publish(&t->r->vd);
}

#endif /* TEST_UNIT_QPAIR_RIG_H */
