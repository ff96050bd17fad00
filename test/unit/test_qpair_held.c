/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Received packets for which the driver has too few buffers: they wait, in their order. */

#include "qpair_rig.h"

#define SMALL  200u /* buffers; a frame fits into one ... */
#define FRAME  100u
#define LARGE  1000u /* ... or needs six of them */
#define CHAINS 6u

static const uint64_t formats[] = {
	0,
	RIG_EVENT,
	RIG_ORDER,
	RIG_PACKED,
	RIG_PACKED | RIG_EVENT,
	RIG_PACKED | RIG_ORDER,
};

/* A large frame has been read when the driver had buffers for a third of it. */
static void
start_with_one_held(struct qpair_rig *t, uint64_t format)
{
	qpair_rig_start(t, format | RIG_MERGE, RIG_SIZE);
	qpair_rig_post(t, 2, SMALL);
	t->frame = LARGE;
	t->waiting = 1;
	assert_int_equal(qpair_poll(&t->qp, QPAIR_RX), 1);
	assert_int_equal(t->waiting, 0);
	assert_int_equal(t->qp.n_held, 1);
}

/* The next packet that the driver finds is that with the seed, in n chains. */
static void
assert_received(struct qpair_rig *t, uint32_t seed, uint32_t len, uint16_t n)
{
	struct vring_used_chain used[CHAINS];
	uint8_t got[LARGE + RIG_HDR], want[LARGE];
	uint32_t at = 0;

	assert_int_equal(vring_driver_get_burst(&t->r->vd, used, n), n);
	for (uint16_t i = 0; i < n; i++) {
		assert_true(at + used[i].len <= sizeof(got));
		rig_read(t->r, qpair_rig_buffer(used[i].token), got + at, used[i].len);
		at += used[i].len;
	}
	assert_int_equal(at, RIG_HDR + len);
	rig_pattern(want, len, seed);
	assert_memory_equal(got + RIG_HDR, want, len);
}

static void
a_packet_waits_for_buffers_and_goes_before_the_next(void **state)
{
	struct qpair_rig t;

	for (size_t i = 0; i < RTE_DIM(formats); i++) {
		start_with_one_held(&t, formats[i]);
		t.frame = FRAME;
		t.waiting = 1;
		qpair_rig_post(&t, 2, SMALL);
		assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), 0);
		qpair_rig_post(&t, CHAINS - 3, SMALL);
		assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), 1);
		assert_int_equal(t.qp.n_held, 0);
		qpair_rig_post(&t, CHAINS, SMALL);
		assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), 1);
		assert_received(&t, 0, LARGE, CHAINS);
		assert_received(&t, 1, FRAME, 1);
		assert_int_equal(t.r->rec.stats.no_buffer, 0);
		qpair_rig_end(&t);
	}
}

static void
the_pair_sleeps_until_the_driver_kicks_for_more(void **state)
{
	struct qpair_rig t;

	for (size_t i = 0; i < RTE_DIM(formats); i++) {
		start_with_one_held(&t, formats[i]);
		(void)vring_driver_kick_needed(&t.r->vd); /* for what was posted */
		assert_true(qpair_idle(&t.qp, QPAIR_RX));
		assert_int_equal(t.qp.n_held, 1);
		qpair_rig_post(&t, 1, SMALL);
		assert_true(vring_driver_kick_needed(&t.r->vd));
		assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), 0);
		assert_true(qpair_idle(&t.qp, QPAIR_RX));
		qpair_rig_post(&t, CHAINS - 3, SMALL);
		assert_true(vring_driver_kick_needed(&t.r->vd));
		assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), 1);
		qpair_rig_end(&t);
	}
}

static void
buffers_that_came_meanwhile_are_taken_before_it_sleeps(void **state)
{
	struct qpair_rig t;

	for (size_t i = 0; i < RTE_DIM(formats); i++) {
		start_with_one_held(&t, formats[i]);
		qpair_rig_post(&t, CHAINS, SMALL);
		assert_false(qpair_idle(&t.qp, QPAIR_RX));
		(void)qpair_poll(&t.qp, QPAIR_RX);
		assert_int_equal(t.qp.n_held, 0);
		assert_received(&t, 0, LARGE, CHAINS);
		qpair_rig_end(&t);
	}
}

static void
nothing_more_is_read_when_only_the_rest_is_to_be_delivered(void **state)
{
	struct qpair_rig t;

	start_with_one_held(&t, 0);
	t.waiting = 1;
	assert_true(qpair_deliver_held(&t.qp));
	qpair_rig_post(&t, 2 * CHAINS, SMALL);
	assert_false(qpair_deliver_held(&t.qp));
	assert_false(qpair_deliver_held(&t.qp));
	assert_int_equal(t.waiting, 1);
	assert_received(&t, 0, LARGE, CHAINS);
	qpair_rig_end(&t);
}

static void
a_pair_that_is_disabled_forgets_them(void **state)
{
	struct qpair_rig t;

	start_with_one_held(&t, 0);
	atomic_store(&t.qp.rx_on, false);
	assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), 0);
	assert_int_equal(t.qp.n_held, 0);
	assert_int_equal(t.r->rec.stats.no_buffer, 1);
	assert_int_equal(rig_mbufs_out(t.r), 0);
	qpair_rig_end(&t);
}

static void
a_driver_without_buffers_gathers_few_segments_of_the_pool(void **state)
{
	struct qpair_rig t;

	qpair_rig_start(&t, RIG_MERGE, RIG_SIZE);
	qpair_rig_post(&t, VRING_BURST, 20); /* for so many packets of a few bytes */
	t.frame = 1000;
	t.seg = 100;
	t.waiting = VRING_BURST;
	assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), VRING_BURST);
	assert_int_equal(t.qp.held_segs, QPAIR_HELD_SEGMENTS / 10 * 10);
	assert_int_equal(t.qp.n_held, QPAIR_HELD_SEGMENTS / 10);
	assert_int_equal(rig_mbufs_out(t.r), t.qp.held_segs);
	assert_int_equal(t.r->rec.stats.no_buffer, VRING_BURST - t.qp.n_held);
	qpair_rig_end(&t);
}

static int
test_qpair_held(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_waits_for_buffers_and_goes_before_the_next),
		cmocka_unit_test(the_pair_sleeps_until_the_driver_kicks_for_more),
		cmocka_unit_test(buffers_that_came_meanwhile_are_taken_before_it_sleeps),
		cmocka_unit_test(nothing_more_is_read_when_only_the_rest_is_to_be_delivered),
		cmocka_unit_test(a_pair_that_is_disabled_forgets_them),
		cmocka_unit_test(a_driver_without_buffers_gathers_few_segments_of_the_pool),
	};

	return cmocka_run_group_tests_name("qpair_held", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(qpair_held, test_qpair_held)
