/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Log lines that a host causes: a few at once, then one a second, and none goes uncounted. */

#include <time.h>

#include "test.h"

static int64_t clock_ms;

static int
clock_of_the_test(clockid_t clock, struct timespec *ts)
{
	assert_int_equal(clock, CLOCK_MONOTONIC_COARSE);
	*ts = (struct timespec){.tv_sec = clock_ms / 1000, .tv_nsec = clock_ms % 1000 * 1000000};
	return 0;
}

#define clock_gettime clock_of_the_test
#include "ha/log_limit.h"
#undef clock_gettime

/* Ask for n lines, pause_ms apart. @return how many may be written, and of how many they tell */
static unsigned int
ask(struct log_limit *limit, unsigned int n, unsigned int pause_ms, unsigned int *left_out)
{
	unsigned int written = 0;

	*left_out = 0;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int more = 0;

		written += log_limit_take(limit, &more);
		*left_out += more;
		clock_ms += pause_ms;
	}
	return written;
}

static int
machine_runs_for_a_day(void **state)
{
	clock_ms = 86400 * 1000;
	return 0;
}

static void
first_lines_are_all_written(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out;

	assert_int_equal(ask(&limit, LOG_LIMIT_BURST, 0, &left_out), LOG_LIMIT_BURST);
	assert_int_equal(left_out, 0);
}

static void
flood_is_cut_to_a_burst(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out;

	assert_int_equal(ask(&limit, 100000, 0, &left_out), LOG_LIMIT_BURST);
}

static void
flood_that_lasts_is_cut_to_one_a_second(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out;

	/* 60 s of a line each millisecond. */
	assert_in_range(
		ask(&limit, 60000, 1, &left_out), LOG_LIMIT_BURST + 59, LOG_LIMIT_BURST + 60);
}

static void
next_line_tells_how_many_were_left_out_and_only_once(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out;

	ask(&limit, LOG_LIMIT_BURST + 7, 0, &left_out);
	clock_ms += 1000;
	assert_true(log_limit_take(&limit, &left_out));
	assert_int_equal(left_out, 7);
	clock_ms += 1000;
	assert_true(log_limit_take(&limit, &left_out));
	assert_int_equal(left_out, 0);
}

static void
no_line_of_a_flood_is_lost_to_the_count(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out, written;

	written = ask(&limit, 5000, 3, &left_out);
	assert_int_equal(written + left_out + limit.left_out, 5000);
}

static void
rest_gives_the_whole_burst_back_and_no_more(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out;

	ask(&limit, 1000, 0, &left_out);
	clock_ms += 3600 * 1000;
	assert_int_equal(ask(&limit, 1000, 0, &left_out), LOG_LIMIT_BURST);
}

static void
seldom_lines_are_never_cut(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out;

	assert_int_equal(ask(&limit, 1000, 1000, &left_out), 1000);
	assert_int_equal(left_out, 0);
}

static void
limits_are_independent_of_each_other(void **state)
{
	struct log_limit noisy = {0}, other = {0};
	unsigned int left_out;

	ask(&noisy, 1000, 0, &left_out);
	assert_int_equal(ask(&other, 1, 0, &left_out), 1);
}

static void
machine_that_has_just_started_has_its_burst(void **state)
{
	struct log_limit limit = {0};
	unsigned int left_out;

	clock_ms = 3;
	assert_int_equal(ask(&limit, 1000, 0, &left_out), LOG_LIMIT_BURST);
}

static int
test_log_limit(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(first_lines_are_all_written, machine_runs_for_a_day),
		cmocka_unit_test_setup(flood_is_cut_to_a_burst, machine_runs_for_a_day),
		cmocka_unit_test_setup(
			flood_that_lasts_is_cut_to_one_a_second, machine_runs_for_a_day),
		cmocka_unit_test_setup(next_line_tells_how_many_were_left_out_and_only_once,
			machine_runs_for_a_day),
		cmocka_unit_test_setup(
			no_line_of_a_flood_is_lost_to_the_count, machine_runs_for_a_day),
		cmocka_unit_test_setup(
			rest_gives_the_whole_burst_back_and_no_more, machine_runs_for_a_day),
		cmocka_unit_test_setup(seldom_lines_are_never_cut, machine_runs_for_a_day),
		cmocka_unit_test_setup(
			limits_are_independent_of_each_other, machine_runs_for_a_day),
		cmocka_unit_test_setup(
			machine_that_has_just_started_has_its_burst, machine_runs_for_a_day),
	};

	return cmocka_run_group_tests_name("log_limit", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(log_limit, test_log_limit)
