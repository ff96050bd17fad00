/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* When a receive ring is left to the driver for a moment: a real ring, an SF of the test's. */

#include "test.h"
#include "virtnet/qpair.h"
#include "vring_rig.h"

#define FRAME 60u

static unsigned int waiting; /* frames that the SF has */

static uint16_t
sf_rx(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	n = RTE_MIN(n, waiting);
	if (n > 0)
		assert_int_equal(rte_pktmbuf_alloc_bulk(rig_pool(), pkts, n), 0);
	for (uint16_t i = 0; i < n; i++)
		assert_non_null(rte_pktmbuf_append(pkts[i], FRAME));
	waiting -= n;
	return n;
}

static int
sf_fd(struct sf *sf, uint16_t queue)
{
	return -1;
}

static const struct sf_ops test_sf_ops = {.name = "test", .rx_burst = sf_rx, .rx_fd = sf_fd};

/* @return how long the ring is left alone after a poll with so many frames and buffers */
static uint32_t
rest_after(uint64_t format, uint16_t size, unsigned int buffers, unsigned int frames)
{
	struct rig *r = rig_new();
	struct sf sf = {.ops = &test_sf_ops};
	struct qpair qp = {0};
	uint32_t ns;

	r->format = format;
	rig_start(r, size, 0);
	for (unsigned int i = 0; i < buffers; i++) {
		const struct vring_buf buf = {RIG_BUFS + i * 256, 256};

		assert_int_equal(vring_driver_add(&r->vd, &buf, 0, 1, false, i), 0);
	}
	vring_driver_publish(&r->vd);
	vring_driver_interrupts_off(&r->vd);
	qp.burst = r->burst;
	qp.pool = rig_pool();
	qpair_set_sf(&qp, &sf);
	atomic_init(&qp.rx_on, true);
	assert_int_equal(vring_start(&qp.ring[QPAIR_RX], &r->conf), 0);
	qp.run[QPAIR_RX] = true;
	waiting = frames;
	assert_int_equal(qpair_poll(&qp, QPAIR_RX), RTE_MIN(RTE_MIN(buffers, frames), VRING_BURST));
	ns = qp.rest_ns;
	vring_stop(&qp.ring[QPAIR_RX]);
	rig_free(r);
	return ns;
}

static void
driver_that_has_no_buffer_left_is_given_time_that_it_needs_anyway(void **state)
{
	assert_int_equal(rest_after(RIG_PACKED, 256, 8, 100), (256 - VRING_BURST) * 10);
	assert_int_equal(rest_after(RIG_PACKED, 64, 8, 100), (64 - VRING_BURST) * 10);
}

static void
ring_is_looked_at_again_at_once_otherwise(void **state)
{
	/* there are more buffers; no more frames; too few entries to keep a driver busy */
	assert_int_equal(rest_after(RIG_PACKED, 256, 100, 100), 0);
	assert_int_equal(rest_after(RIG_PACKED, 256, 100, 8), 0);
	assert_int_equal(rest_after(RIG_PACKED, 256, 8, 3), 0);
	assert_int_equal(rest_after(RIG_PACKED, 16, 8, 100), 0);
	/* its index is one line, whatever is behind it */
	assert_int_equal(rest_after(0, 256, 8, 100), 0);
}

static int
test_qpair_rest(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(driver_that_has_no_buffer_left_is_given_time_that_it_needs_anyway),
		cmocka_unit_test(ring_is_looked_at_again_at_once_otherwise),
	};

	return cmocka_run_group_tests_name("qpair_rest", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(qpair_rest, test_qpair_rest)
