/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* An SF that comes after its device was taken up, with the helper thread and an SF driver of the
 * test's. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <rte_mbuf.h>

#include "test.h"
#include "virtio_fixture.h"
#include "virtnet/device.h"
#include "virtnet/device_sf_late.h"

#define PAIRS	     2u
#define SF_NUM	     2007u
#define REP	     "en3f0pf0sf2007"
#define IFINDEX	     17
#define EVER	     1000u
#define TRIES	     100u /* of device_sf_late.c */
#define HANG_SECONDS 20

static struct {
	struct controller ctl;
	struct device dev;
	struct device_state state;
	struct qpair pair[PAIRS];
	struct qpair *pairs[PAIRS];
	int stored[PAIRS];
	struct owner *owner;
	struct emu emu;
	/* the driver; on the helper's thread, while the test waits for its answer */
	unsigned int fail_first; /* calls of create() */
	int fail;
	unsigned int created, destroyed, sets;
	uint16_t set_pairs;
	struct sf_params params;
} t;

/* ---- the SF driver */

static int sf_create(const struct sf_params *params, struct sf **out, char *err, size_t err_len);

static void
sf_destroy(struct sf *sf)
{
	t.destroyed++;
	free(sf);
}

static int
sf_set_queues(struct sf *sf, uint16_t pairs, uint32_t rx_caps)
{
	(void)sf;
	(void)rx_caps;
	t.sets++;
	t.set_pairs = pairs;
	return 0;
}

/* Of a transport whose driver says by its control queue how many pairs it uses. */
static const struct emu_ops test_emu_ops = {.name = "test"};

static const struct sf_ops test_sf_ops = {
	.name = "test",
	.create = sf_create,
	.destroy = sf_destroy,
	.set_queues = sf_set_queues,
};

static int
sf_create(const struct sf_params *params, struct sf **out, char *err, size_t err_len)
{
	struct sf *sf;

	t.params = *params;
	if (t.created++ < t.fail_first) {
		snprintf(err, err_len, "on purpose");
		return t.fail;
	}
	sf = calloc(1, sizeof(*sf));
	assert_non_null(sf);
	sf->ops = &test_sf_ops;
	sf->max_pairs = params->max_pairs;
	sf->rep_ifindex = IFINDEX;
	memcpy(sf->rep, params->rep, sizeof(sf->rep));
	*out = sf;
	return 0;
}

/* ---- bench */

static int
setup(void **state)
{
	struct device *dev = &t.dev;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.ctl.base = event_base_new();
	t.ctl.grace = grace_create(1);
	t.ctl.helper = helper_create(t.ctl.base, 0);
	t.ctl.sf_ops = &test_sf_ops;
	t.owner = owner_new();
	assert_true(t.ctl.base != NULL && t.ctl.grace != NULL && t.ctl.helper != NULL);
	dev->ctl = &t.ctl;
	dev->conf = (struct device_conf){.max_pairs = PAIRS, .mtu = 1400, .sf_num = SF_NUM};
	dev->phase = DEVICE_LIVE;
	dev->state = &t.state;
	dev->vdev = t.owner->dev;
	t.emu.ops = &test_emu_ops;
	dev->emu = &t.emu;
	dev->sf_stored = t.stored;
	dev->pair = t.pairs;
	STAILQ_INIT(&dev->steps);
	snprintf(dev->vuid, sizeof(dev->vuid), "LATE");
	t.pairs[0] = &t.pair[0]; /* the other does not run */
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	helper_destroy(t.ctl.helper);
	if (t.dev.sf != NULL)
		t.dev.sf->ops->destroy(t.dev.sf);
	owner_free(t.owner);
	grace_destroy(t.ctl.grace);
	event_base_free(t.ctl.base);
	return 0;
}

/* What the control lcore does until something has happened. */
#define UNTIL(condition)                                                                           \
	do {                                                                                       \
		const struct timeval hang = {.tv_sec = HANG_SECONDS};                              \
                                                                                                   \
		(void)grace_poll(t.ctl.grace);                                                     \
		while (!(condition)) {                                                             \
			event_base_loopexit(t.ctl.base, &hang);                                    \
			event_base_loop(t.ctl.base, EVLOOP_ONCE);                                  \
			if (event_base_got_exit(t.ctl.base))                                       \
				fail_msg("never: %s", #condition);                                 \
			(void)grace_poll(t.ctl.grace);                                             \
		}                                                                                  \
	} while (0)

/* One more job for the helper, behind all others. */
static void
nothing(void *arg)
{
	(void)arg;
}

static void
note(void *arg)
{
	*(bool *)arg = true;
}

static void
helper_is_through(void)
{
	bool through = false;

	helper_run(t.ctl.helper, nothing, note, &through);
	UNTIL(through);
}

static void
creation_fails(unsigned int times, int err)
{
	t.fail_first = times;
	t.fail = err;
}

/* ---- the stand-in */

static void
device_has_a_stand_in_at_once(void **state)
{
	const struct sf *sf;

	(void)state;
	assert_int_equal(device_sf_late(&t.dev), 0);
	sf = t.dev.sf;
	assert_true(t.dev.sf_late);
	assert_ptr_not_equal(sf->ops, &test_sf_ops);
	assert_string_equal(sf->rep, REP);
	assert_int_equal(sf->rep_ifindex, 0);
	assert_int_equal(sf->max_pairs, PAIRS);
	UNTIL(!t.dev.sf_late);
}

static void
stand_in_takes_every_order(void **state)
{
	struct sf_queue_stats stats = {.rx_errors = 1, .rx_no_mbuf = 1, .tx_errors = 1};
	struct sf *sf;

	(void)state;
	assert_int_equal(device_sf_late(&t.dev), 0);
	sf = t.dev.sf;
	assert_int_equal(sf->ops->set_queues(sf, PAIRS, 1), 0);
	assert_int_equal(sf->ops->set_queues(sf, 0, 0), 0);
	assert_int_equal(sf->ops->set_queues(sf, PAIRS + 1, 0), -EINVAL);
	assert_int_equal(sf->ops->set_mtu(sf, 9000), 0);
	assert_int_equal(sf->ops->set_link(sf, true), 0);
	assert_int_equal(sf->ops->rx_fd(sf, 0), -1);
	sf->ops->queue_stats(sf, 0, &stats);
	assert_int_equal(stats.rx_errors + stats.rx_no_mbuf + stats.tx_errors, 0);
	UNTIL(!t.dev.sf_late);
}

static void
stand_in_carries_nothing_and_keeps_nothing(void **state)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create("late", 63, 0, 0, 2048, SOCKET_ID_ANY);
	struct rte_mbuf *pkts[4];
	struct sf *sf;

	(void)state;
	assert_non_null(pool);
	assert_int_equal(device_sf_late(&t.dev), 0);
	sf = t.dev.sf;
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, pkts, 4), 0);
	assert_int_equal(sf->ops->tx_burst(sf, 0, pkts, 4), 0);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	assert_int_equal(sf->ops->rx_burst(sf, 0, pkts, 4), 0);
	UNTIL(!t.dev.sf_late);
	rte_mempool_free(pool);
}

/* ---- the SF */

static void
sf_takes_the_place_of_its_stand_in(void **state)
{
	(void)state;
	assert_int_equal(device_sf_late(&t.dev), 0);
	UNTIL(!t.dev.sf_late);
	assert_int_equal(t.created, 1);
	assert_int_equal(t.params.sf_num, SF_NUM);
	assert_int_equal(t.params.mtu, 1400);
	assert_int_equal(t.params.max_pairs, PAIRS);
	assert_string_equal(t.params.rep, REP);
	assert_ptr_equal(t.dev.sf->ops, &test_sf_ops);
	assert_ptr_equal(t.pair[0].sf, t.dev.sf);
	assert_ptr_equal(t.pair[0].sf_ops, &test_sf_ops);
	assert_null(t.pair[1].sf);
}

static void
state_block_tells_of_it(void **state)
{
	(void)state;
	t.state.sf = (struct device_sf_state){.pairs = PAIRS, .rep_ifindex = 3};
	assert_int_equal(device_sf_late(&t.dev), 0);
	UNTIL(!t.dev.sf_late);
	assert_int_equal(t.state.sf.made, 1);
	assert_int_equal(t.state.sf.rep_ifindex, IFINDEX);
	assert_string_equal(t.state.sf.rep, REP);
	/* No driver: the new one has no queues, and none are to come. */
	assert_int_equal(t.state.sf.pairs, 0);
	assert_int_equal(t.state.sf.changing, 0);
	helper_is_through();
	assert_int_equal(t.sets, 0);
}

static void
running_device_has_its_queues_back(void **state)
{
	(void)state;
	driver_at(t.owner,
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
			VIRTIO_CONFIG_S_DRIVER_OK,
		FIX_MINIMAL);
	t.state.started = 1;
	t.state.pairs = PAIRS;
	t.dev.started = true;
	assert_int_equal(device_sf_late(&t.dev), 0);
	UNTIL(!t.dev.sf_late);
	assert_false(t.dev.started);
	assert_int_equal(t.state.sf.changing, 1);
	UNTIL(t.dev.sf_changes == 0);
	assert_int_equal(t.sets, 1);
	assert_int_equal(t.set_pairs, PAIRS);
	assert_int_equal(t.state.sf.pairs, PAIRS);
	assert_int_equal(t.state.sf.changing, 0);
	assert_true(t.dev.started);
}

/* ---- when it cannot be made */

static void
name_that_is_in_use_is_tried_again(void **state)
{
	(void)state;
	creation_fails(2, -EEXIST);
	assert_int_equal(device_sf_late(&t.dev), 0);
	UNTIL(!t.dev.sf_late);
	assert_int_equal(t.created, 3);
	assert_ptr_equal(t.dev.sf->ops, &test_sf_ops);
}

static void
name_that_stays_in_use_is_given_up(void **state)
{
	(void)state;
	creation_fails(EVER, -EEXIST);
	assert_int_equal(device_sf_late(&t.dev), 0);
	UNTIL(!t.dev.sf_late);
	assert_int_equal(t.created, TRIES);
	assert_ptr_not_equal(t.dev.sf->ops, &test_sf_ops);
}

static void
other_failures_leave_the_stand_in(void **state)
{
	(void)state;
	creation_fails(EVER, -EPERM);
	assert_int_equal(device_sf_late(&t.dev), 0);
	UNTIL(!t.dev.sf_late);
	assert_int_equal(t.created, 1);
	assert_ptr_not_equal(t.dev.sf->ops, &test_sf_ops);
	assert_null(t.pair[0].sf);
	assert_int_equal(t.state.sf.made, 0);
}

/* ---- when the device goes meanwhile */

/* As remove_device() does; of its two ends the other is the stand-in's. */
static void
device_goes(void)
{
	t.dev.phase = DEVICE_REMOVING;
	t.dev.ends = 2;
}

static void
sf_of_a_device_that_goes_is_destroyed(void **state)
{
	(void)state;
	assert_int_equal(device_sf_late(&t.dev), 0);
	device_goes();
	UNTIL(t.dev.ends == 1);
	assert_int_equal(t.created, 1);
	assert_int_equal(t.destroyed, 1);
	assert_ptr_not_equal(t.dev.sf->ops, &test_sf_ops);
}

static void
device_that_goes_does_not_wait_for_what_failed(void **state)
{
	(void)state;
	creation_fails(EVER, -EPERM);
	assert_int_equal(device_sf_late(&t.dev), 0);
	device_goes();
	UNTIL(t.dev.ends == 1);
	assert_int_equal(t.destroyed, 0);
}

static void
nothing_is_tried_again_for_a_device_that_goes(void **state)
{
	(void)state;
	creation_fails(1, -EEXIST);
	assert_int_equal(device_sf_late(&t.dev), 0);
	/* The helper's answer is all that can come: then the next try is waited for. */
	event_base_loop(t.ctl.base, EVLOOP_ONCE);
	assert_true(t.dev.sf_late);
	device_goes();
	UNTIL(t.dev.ends == 1);
	assert_int_equal(t.created, 1);
	assert_int_equal(t.destroyed, 0);
}

static int
test_device_sf_late(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(device_has_a_stand_in_at_once),
		TEST(stand_in_takes_every_order),
		TEST(stand_in_carries_nothing_and_keeps_nothing),
		TEST(sf_takes_the_place_of_its_stand_in),
		TEST(state_block_tells_of_it),
		TEST(running_device_has_its_queues_back),
		TEST(name_that_is_in_use_is_tried_again),
		TEST(name_that_stays_in_use_is_given_up),
		TEST(other_failures_leave_the_stand_in),
		TEST(sf_of_a_device_that_goes_is_destroyed),
		TEST(device_that_goes_does_not_wait_for_what_failed),
		TEST(nothing_is_tried_again_for_a_device_that_goes),
	};

	return cmocka_run_group_tests_name("device_sf_late", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(device_sf_late, test_device_sf_late)
