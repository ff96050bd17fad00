/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Fast restart and live update: the keeper's program with fake emu processes. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "keeper_rig.h"
#include "test.h"

static int
teardown(void **state)
{
	keeper_rig_end(*state);
	return 0;
}

static int
setup(void **state)
{
	static struct keeper_rig rig;

	*state = &rig;
	return 0;
}

/* Up with three devices, and an update has been asked for. @return the old process */
static pid_t
update(struct keeper_rig *r, const struct keeper_rig_conf *conf)
{
	struct keeper_rig_conf full = *conf;
	pid_t old;

	full.devices = 3;
	if (full.options[0] == NULL)
		full.options[0] = "--watchdog=200";
	old = keeper_rig_up(r, &full);
	keeper_rig_mark(r);
	kill(old, SIGUSR1);
	return old;
}

static void
all_devices_go_over_one_by_one_and_the_old_process_ends(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t old = update(r, &(struct keeper_rig_conf){.successor = "version=two"});
	pid_t new;

	keeper_rig_await(r, "live update from one to two: 3 devices in");
	new = keeper_rig_who(r, "ACTIVE 0");
	for (unsigned int i = 1; i <= 3; i++) {
		char word[24];

		snprintf(word, sizeof(word), "RELEASE %u", i);
		keeper_rig_await_from(r, old, word);
		snprintf(word, sizeof(word), "ADOPT_END %u", i);
		keeper_rig_await_from(r, new, word);
	}
	keeper_rig_await_from(r, old, "EXIT 0");
	keeper_rig_await_gone(old);
	/* A standby of the new version. */
	keeper_rig_await(r, "standby process");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
the_standby_of_the_old_version_is_replaced(void **state)
{
	struct keeper_rig *r = *state;
	pid_t old_standby;

	keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 1});
	old_standby = keeper_rig_standby(r);
	kill(keeper_rig_who(r, "ACTIVE 0"), SIGUSR1);
	keeper_rig_await_gone(old_standby);
	keeper_rig_await(r, "live update from");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
one_update_after_the_other(void **state)
{
	struct keeper_rig *r = *state;
	pid_t active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 8});

	for (unsigned int i = 0; i < 5; i++) {
		keeper_rig_mark(r);
		kill(active, SIGUSR1);
		keeper_rig_await(r, "8 devices in");
		active = keeper_rig_who(r, "ACTIVE 0");
	}
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
whatever_fails_in_the_new_process_the_old_one_has_all_again(void **state)
{
	static const struct {
		const char *fault;
		unsigned int returned; /* devices that the old process had let go */
	} cases[] = {
		{"exit@START", 0},
		{"proto=9", 0},
		{"kill@WELCOME", 0},
		{"kill@ACTIVATE", 1},
		{"garbage@ACTIVATE", 1},
		{"kill@ADOPT/2", 2},
		{"segv@ADOPT_END/3", 3},
		{"stop@ADOPT/2", 2},
		{"hang@ADOPT_END/2", 2},
		{"error@ADOPT/1", 1},
		{"error@ADOPT/3", 3},
		{"foreign@ADOPT/2", 2},
		/* The way back fails, too. */
		{"error@ADOPT/3,error@RELEASE/1", 3},
		{"error@ADOPT/3,kill@RELEASE/2", 3},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keeper_rig *r = *state;
		pid_t old;

		if (i > 0)
			keeper_rig_end(r);
		old = update(r, &(struct keeper_rig_conf){.successor = cases[i].fault});
		keeper_rig_await(r, "live update failed");
		keeper_rig_await_from(r, old, "MIGRATE 0");
		kill(old, SIGUSR2);
		keeper_rig_await_from(r, old, "KICKED");
		for (unsigned int d = 1; d <= cases[i].returned; d++) {
			char word[24];

			snprintf(word, sizeof(word), "RELEASE %u", d);
			keeper_rig_await_from(r, old, word);
			snprintf(word, sizeof(word), "ADOPT_END %u", d);
			keeper_rig_await_from(r, old, word);
		}
		assert_int_equal(keeper_rig_stop(r), 0);
		/* It had them all: each was closed by it. */
		assert_false(keeper_rig_has(r, "taken over by"));
	}
}

static void
a_device_that_the_old_process_cannot_release_ends_the_update(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t old = update(r, &(struct keeper_rig_conf){.fault = "error@RELEASE/2"});

	keeper_rig_await(r, "live update failed");
	keeper_rig_await(r, "VUID2 was not released: Input/output error: as told");
	keeper_rig_await_from(r, old, "ADOPT_END 1");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_step_that_is_not_answered_ends_the_update(void **state)
{
	static const struct keeper_rig_conf confs[] = {
		{.fault = "mute@RELEASE/2"},
		{.successor = "mute@ADOPT/2"},
	};

	for (unsigned int i = 0; i < sizeof(confs) / sizeof(confs[0]); i++) {
		struct keeper_rig *r = *state;
		pid_t old;

		if (i > 0)
			keeper_rig_end(r);
		old = update(r, &confs[i]);
		keeper_rig_await(r, "live update failed");
		keeper_rig_await_from(r, old, "ADOPT_END 1");
		assert_int_equal(keeper_rig_stop(r), 0);
	}
}

static void
if_the_old_process_dies_the_new_one_gets_everything(void **state)
{
	static const char *const faults[] = {
		"kill@MIGRATE", "kill@RELEASE/1", "segv@RELEASE/2", "exit@RELEASE/3"};

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct keeper_rig *r = *state;
		pid_t old;

		if (i > 0)
			keeper_rig_end(r);
		old = update(r, &(struct keeper_rig_conf){.fault = faults[i]});
		keeper_rig_await(r, "the former process died during the hand-over");
		keeper_rig_await(r, "devices taken over by");
		assert_int_not_equal(keeper_rig_who(r, "ACTIVE 0"), old);
		assert_true(keeper_rig_has(r, "ADOPT_END 3"));
		assert_int_equal(keeper_rig_stop(r), 0);
	}
}

static void
if_the_old_process_dies_before_the_new_one_is_up_the_standby_goes_on(void **state)
{
	struct keeper_rig *r = *state;
	const struct keeper_rig_conf conf = {
		.successor = "stop@START", .options = {"--watchdog=0"}};
	const pid_t old = update(r, &conf);

	keeper_rig_who(r, "START 0");
	kill(old, SIGKILL);
	keeper_rig_await(r, "live update failed");
	keeper_rig_await(r, "3 devices taken over by");
	assert_int_equal(keeper_rig_stop(r), 0);
}

/* The new process's START stands behind the standby's HELLO. */
static void
assert_one_after_the_other(struct keeper_rig *r, pid_t first, pid_t second)
{
	const char *up, *start;
	char text[64];

	snprintf(text, sizeof(text), "process %d is up", (int)first);
	up = keeper_rig_await(r, text);
	snprintf(text, sizeof(text), "%d START 0", (int)second);
	start = keeper_rig_await(r, text);
	assert_true(up < start);
}

static unsigned int
children_of(pid_t pid)
{
	char path[64], word[16];
	unsigned int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fscanf(f, "%15s", word) == 1)
		n++;
	fclose(f);
	return n;
}

static void
the_new_process_is_not_started_beside_a_standby_that_is_coming_up(void **state)
{
	const struct keeper_rig_conf conf = {
		.devices = 3, .standby = "stop@START", .options = {"--watchdog=0"}};
	struct keeper_rig *r = *state;
	pid_t active, standby;

	keeper_rig_start(r, &conf);
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await(r, "OPENED 3");
	keeper_rig_mark(r);
	standby = keeper_rig_who(r, "START 0");
	keeper_rig_await_stopped(standby);
	kill(active, SIGUSR1);
	keeper_rig_await(r, "live update begins");
	/* The second word is answered when the first has been carried out. */
	kill(active, SIGUSR1);
	keeper_rig_await(r, "refused: one is under way");
	assert_int_equal(children_of(r->keeper), 2);
	kill(standby, SIGCONT);
	keeper_rig_await(r, "3 devices in");
	assert_one_after_the_other(r, standby, keeper_rig_who(r, "ACTIVE 0"));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
if_the_process_dies_while_the_standby_is_waited_for_it_goes_on(void **state)
{
	const struct keeper_rig_conf conf = {
		.devices = 3, .standby = "stop@START", .options = {"--watchdog=0"}};
	struct keeper_rig *r = *state;
	pid_t active, standby;

	keeper_rig_start(r, &conf);
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await(r, "OPENED 3");
	keeper_rig_mark(r);
	standby = keeper_rig_who(r, "START 0");
	keeper_rig_await_stopped(standby);
	kill(active, SIGUSR1);
	keeper_rig_await(r, "live update begins");
	kill(active, SIGKILL);
	keeper_rig_await(r, "live update failed");
	kill(standby, SIGCONT);
	keeper_rig_await(r, "3 devices taken over by");
	assert_int_equal(keeper_rig_who(r, "ACTIVE 0"), standby);
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
right_after_a_crash_an_update_comes_first_and_the_standby_after_it(void **state)
{
	struct keeper_rig *r = *state;
	pid_t active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 3});
	pid_t new;

	keeper_rig_mark(r);
	kill(active, SIGKILL);
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_mark(r);
	kill(active, SIGUSR1);
	keeper_rig_await(r, "3 devices in");
	new = keeper_rig_who(r, "ACTIVE 0");
	assert_one_after_the_other(r, new, keeper_rig_standby(r));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_device_that_is_being_removed_is_not_handed_over_and_no_obstacle(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t old = update(r, &(struct keeper_rig_conf){.fault = "removing@RELEASE/2"});
	pid_t new;

	keeper_rig_await(r, "2 devices in");
	new = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await_from(r, new, "ADOPT_END 1");
	keeper_rig_await_from(r, new, "ADOPT_END 3");
	assert_false(keeper_rig_has(r, " ADOPT_END 2"));
	assert_int_equal(keeper_rig_count(r, " RELEASE 2"), 2);
	keeper_rig_await_gone(old);
	assert_int_equal(keeper_rig_stop(r), 0);
}

/*
 * The keeper stands still while the new process breaks the protocol and the old one dies, so that
 * it learns of both at once.
 */
static void
what_a_killed_process_still_had_when_the_next_one_took_over_comes_later(void **state)
{
	static const struct keeper_rig_conf conf = {
		.options = {"--watchdog=0"}, .successor = "stop@ADOPT/2,foreign@ADOPT/2"};
	struct keeper_rig *r = *state;
	const pid_t old = update(r, &conf);
	pid_t heir, next;

	heir = keeper_rig_who(r, "ADOPT 2");
	keeper_rig_await_stopped(heir);
	kill(r->keeper, SIGSTOP);
	keeper_rig_await_stopped(r->keeper);
	kill(heir, SIGCONT);
	keeper_rig_await_from(r, heir, "ADOPT_END 2");
	keeper_rig_mark(r);
	kill(old, SIGKILL);
	kill(r->keeper, SIGCONT);
	next = keeper_rig_who(r, "ACTIVE 0");
	for (unsigned int i = 1; i <= 3; i++) {
		char word[24];

		snprintf(word, sizeof(word), "ADOPT_END %u", i);
		keeper_rig_await_from(r, next, word);
	}
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_block_that_was_converted_is_converted_back(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t old =
		update(r, &(struct keeper_rig_conf){.successor = "convert@ADOPT,error@ADOPT/3"});

	keeper_rig_await(r, "live update failed");
	keeper_rig_await_from(r, old, "ADOPT_END 3");
	assert_int_equal(keeper_rig_count(r, " CONVERT "), 3);
	keeper_rig_await_from(r, old, "layout1-flags0 1");
	keeper_rig_await_from(r, old, "layout1-flags0 3");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_converted_block_stays_if_the_update_succeeds(void **state)
{
	struct keeper_rig *r = *state;
	pid_t new;

	update(r, &(struct keeper_rig_conf){.successor = "convert@ADOPT"});
	keeper_rig_await(r, "live update from one");
	new = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await(r, "standby process");
	keeper_rig_mark(r);
	kill(new, SIGKILL);
	keeper_rig_await(r, "layout2-flags64 1");
	assert_false(keeper_rig_has(r, "CONVERT"));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
if_old_and_new_die_a_process_of_the_new_version_goes_on(void **state)
{
	struct keeper_rig *r = *state;
	const struct keeper_rig_conf conf = {
		.fault = "kill@ADOPT", .successor = "convert@ADOPT,kill@ADOPT/2"};

	update(r, &conf);
	keeper_rig_await(r, "taken over by");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static int
test_keeper_handover(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(all_devices_go_over_one_by_one_and_the_old_process_ends),
		TEST(the_standby_of_the_old_version_is_replaced),
		TEST(one_update_after_the_other),
		TEST(whatever_fails_in_the_new_process_the_old_one_has_all_again),
		TEST(a_device_that_the_old_process_cannot_release_ends_the_update),
		TEST(a_step_that_is_not_answered_ends_the_update),
		TEST(if_the_old_process_dies_the_new_one_gets_everything),
		TEST(if_the_old_process_dies_before_the_new_one_is_up_the_standby_goes_on),
		TEST(the_new_process_is_not_started_beside_a_standby_that_is_coming_up),
		TEST(if_the_process_dies_while_the_standby_is_waited_for_it_goes_on),
		TEST(right_after_a_crash_an_update_comes_first_and_the_standby_after_it),
		TEST(a_device_that_is_being_removed_is_not_handed_over_and_no_obstacle),
		TEST(what_a_killed_process_still_had_when_the_next_one_took_over_comes_later),
		TEST(a_block_that_was_converted_is_converted_back),
		TEST(a_converted_block_stays_if_the_update_succeeds),
		TEST(if_old_and_new_die_a_process_of_the_new_version_goes_on),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_handover, test_keeper_handover)
