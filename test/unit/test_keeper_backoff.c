/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* How long to wait after a crash. */

#include "ha/backoff.h"

#include "test.h"

static void
the_first_five_crashes_are_answered_at_once(void **state)
{
	struct backoff b = {0};

	for (unsigned int i = 0; i < BACKOFF_CRASHES; i++)
		assert_int_equal(backoff_crash(&b, 1000 + i), 0);
}

static void
from_the_sixth_within_ten_seconds_the_wait_doubles_up_to_its_limit(void **state)
{
	static const unsigned int waits[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
	struct backoff b = {0};
	uint64_t now = 5;

	for (unsigned int i = 0; i < BACKOFF_CRASHES; i++)
		backoff_crash(&b, now);
	for (unsigned int i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		assert_int_equal(backoff_crash(&b, now), waits[i]);
		now += waits[i];
	}
}

static void
crashes_at_long_intervals_never_wait(void **state)
{
	struct backoff b = {0};

	for (uint64_t now = 0; now < 1000 * 1000; now += BACKOFF_WINDOW_MS / BACKOFF_CRASHES)
		assert_int_equal(backoff_crash(&b, now), 0);
}

static void
ten_quiet_seconds_make_all_forgotten(void **state)
{
	struct backoff b = {0};

	for (unsigned int i = 0; i <= BACKOFF_CRASHES; i++)
		backoff_crash(&b, 0);
	assert_int_equal(backoff_crash(&b, BACKOFF_FIRST_MS + BACKOFF_WINDOW_MS), 0);
	assert_int_equal(backoff_crash(&b, BACKOFF_FIRST_MS + BACKOFF_WINDOW_MS), 0);
}

static void
the_wait_itself_is_no_quiet_time(void **state)
{
	struct backoff b = {0};

	for (unsigned int i = 0; i <= BACKOFF_CRASHES; i++)
		backoff_crash(&b, 0);
	assert_int_equal(backoff_crash(&b, BACKOFF_WINDOW_MS), 2 * BACKOFF_FIRST_MS);
}

static int
test_keeper_backoff(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_five_crashes_are_answered_at_once),
		cmocka_unit_test(
			from_the_sixth_within_ten_seconds_the_wait_doubles_up_to_its_limit),
		cmocka_unit_test(crashes_at_long_intervals_never_wait),
		cmocka_unit_test(ten_quiet_seconds_make_all_forgotten),
		cmocka_unit_test(the_wait_itself_is_no_quiet_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_backoff, test_keeper_backoff)
