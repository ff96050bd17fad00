/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Heartbeats against CPU time; the times are the test's. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ha/watchdog.h"

#include "test.h"

#define MS	 UINT64_C(1000000)
#define LIMIT_MS 1000u
#define LOOK_MS	 (LIMIT_MS / WATCHDOG_LOOKS)

struct rig {
	struct watchdog w;
	struct watchdog_source source;
	struct ha_fence fence;
	struct ha_thread *t; /* the one that is looked at */
	uint64_t now, cpu;
	char state;
	int cpu_ret;
	unsigned int asked;
};

static int
rig_cpu(void *ctx, pid_t pid, pid_t tid, uint64_t *ns)
{
	struct rig *r = ctx;

	assert_int_equal(tid, 4321);
	r->asked++;
	*ns = r->cpu;
	return r->cpu_ret;
}

static char
rig_state(void *ctx, pid_t pid, pid_t tid)
{
	return ((struct rig *)ctx)->state;
}

static int
setup(void **state)
{
	static struct rig rig;
	struct rig *r = &rig;

	memset(r, 0, sizeof(*r));
	r->source = (struct watchdog_source){.cpu_ns = rig_cpu, .state = rig_state, .ctx = r};
	r->now = 5000 * MS;
	r->state = 'R';
	r->t = &r->fence.thread[5];
	r->t->tid = 4321;
	r->t->busy = 1;
	watchdog_init(&r->w, LIMIT_MS, &r->source);
	*state = r;
	return 0;
}

/* Time passes, of which the thread gets cpu_percent of a CPU. */
static enum watchdog_verdict
pass(struct rig *r, unsigned int ms, unsigned int cpu_percent)
{
	enum watchdog_verdict v = WATCHDOG_FINE;

	for (unsigned int at = 0; at < ms && v == WATCHDOG_FINE; at += LOOK_MS) {
		unsigned int thread = 99;

		v = watchdog_look(&r->w, &r->fence, 1234, r->now, &thread);
		if (v != WATCHDOG_FINE)
			assert_int_equal(thread, 5);
		r->now += LOOK_MS * MS;
		r->cpu += LOOK_MS * MS * cpu_percent / 100;
	}
	return v;
}

static void
a_loop_without_a_beat_is_found_soon_after_the_limit(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pass(r, LIMIT_MS, 100), WATCHDOG_FINE);
	assert_int_equal(pass(r, LIMIT_MS / 4, 100), WATCHDOG_STUCK);
}

static void
a_thread_that_beats_is_fine_for_ever(void **state)
{
	struct rig *r = *state;

	for (unsigned int i = 0; i < 100; i++) {
		r->t->beats++;
		assert_int_equal(pass(r, LIMIT_MS / 2, 100), WATCHDOG_FINE);
	}
}

static void
a_thread_that_sleeps_by_intention_is_fine_for_ever(void **state)
{
	struct rig *r = *state;

	r->t->busy = 0;
	r->state = 'S';
	assert_int_equal(pass(r, 100 * LIMIT_MS, 0), WATCHDOG_FINE);
	assert_int_equal(r->asked, 0);
}

static void
a_thread_that_nobody_lets_run_is_fine(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pass(r, 100 * LIMIT_MS, 0), WATCHDOG_FINE);
}

static void
a_loop_that_gets_little_time_is_found_when_it_has_used_enough(void **state)
{
	struct rig *r = *state;

	assert_int_equal(pass(r, 4 * LIMIT_MS, 10), WATCHDOG_FINE);
	assert_int_equal(pass(r, 4 * LIMIT_MS, 10), WATCHDOG_STUCK);
}

static void
sleeping_in_the_kernel_at_work_for_ten_times_the_limit_is_hung(void **state)
{
	static const char states[] = {'S', 'D'};

	for (unsigned int i = 0; i < sizeof(states); i++) {
		struct rig *r;

		setup(state);
		r = *state;
		r->state = states[i];
		assert_int_equal(pass(r, 10 * LIMIT_MS, 0), WATCHDOG_FINE);
		assert_int_equal(pass(r, LIMIT_MS, 0), WATCHDOG_HUNG);
	}
}

static void
after_a_time_in_which_the_keeper_did_not_run_all_starts_anew(void **state)
{
	struct rig *r = *state;

	pass(r, LIMIT_MS / 2, 100);
	r->now += 100 * LIMIT_MS * MS;
	r->cpu += 100 * LIMIT_MS * MS;
	assert_int_equal(pass(r, LIMIT_MS, 100), WATCHDOG_FINE);
	assert_int_equal(pass(r, LIMIT_MS / 4, 100), WATCHDOG_STUCK);
}

static void
a_thread_whose_time_cannot_be_read_is_left_alone(void **state)
{
	struct rig *r = *state;

	r->cpu_ret = -ENOENT;
	assert_int_equal(pass(r, 100 * LIMIT_MS, 100), WATCHDOG_FINE);
}

static void
an_entry_that_nobody_has_is_not_looked_at(void **state)
{
	struct rig *r = *state;

	r->t->tid = 0;
	assert_int_equal(pass(r, 100 * LIMIT_MS, 100), WATCHDOG_FINE);
	assert_int_equal(r->asked, 0);
}

static void
proc_tells_the_time_and_the_state_of_a_thread(void **state)
{
	uint64_t ns = 0;

	assert_int_equal(watchdog_proc.cpu_ns(NULL, getpid(), gettid(), &ns), 0);
	assert_true(ns > 0);
	assert_int_equal(watchdog_proc.state(NULL, getpid(), gettid()), 'R');
	assert_int_equal(watchdog_proc.cpu_ns(NULL, getpid(), 1, &ns), -ENOENT);
	assert_int_equal(watchdog_proc.state(NULL, getpid(), 1), 0);
}

static int
test_keeper_watchdog(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_loop_without_a_beat_is_found_soon_after_the_limit, setup),
		cmocka_unit_test_setup(a_thread_that_beats_is_fine_for_ever, setup),
		cmocka_unit_test_setup(a_thread_that_sleeps_by_intention_is_fine_for_ever, setup),
		cmocka_unit_test_setup(a_thread_that_nobody_lets_run_is_fine, setup),
		cmocka_unit_test_setup(
			a_loop_that_gets_little_time_is_found_when_it_has_used_enough, setup),
		cmocka_unit_test_setup(
			sleeping_in_the_kernel_at_work_for_ten_times_the_limit_is_hung, setup),
		cmocka_unit_test_setup(
			after_a_time_in_which_the_keeper_did_not_run_all_starts_anew, setup),
		cmocka_unit_test_setup(a_thread_whose_time_cannot_be_read_is_left_alone, setup),
		cmocka_unit_test_setup(an_entry_that_nobody_has_is_not_looked_at, setup),
		cmocka_unit_test(proc_tells_the_time_and_the_state_of_a_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_watchdog, test_keeper_watchdog)
