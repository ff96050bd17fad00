/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* When a receive ring is left to the driver for a moment: a real ring, an SF of the test's. */

#include "qpair_rig.h"

/* @return how long the ring is left alone after a poll with so many frames and buffers */
static uint32_t
rest_after(uint64_t format, uint16_t size, unsigned int buffers, unsigned int frames)
{
	struct qpair_rig t;
	uint32_t ns;

	qpair_rig_start(&t, format, size);
	qpair_rig_post(&t, buffers, 256);
	t.frame = 60;
	t.waiting = frames;
	assert_int_equal(
		qpair_poll(&t.qp, QPAIR_RX), RTE_MIN(RTE_MIN(buffers, frames), VRING_BURST));
	ns = t.qp.rest_ns;
	qpair_rig_end(&t);
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
