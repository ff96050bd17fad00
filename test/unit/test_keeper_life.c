/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Start, crash, recovery: the keeper's program with fake emu processes. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper_rig.h"
#include "test.h"

/* Longer than anything that is waited for takes on a busy machine. */
#define PATIENCE_MS 30000
/* How far a process that is not needed yet stands back. */
#define SLOWER 10

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

static void
the_first_process_is_activated_and_a_standby_waits(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 1});

	keeper_rig_mark(r);
	kill(active, SIGKILL);
	keeper_rig_who(r, "ACTIVE 0");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_first_process_that_does_not_come_up_ends_the_keeper_with_its_status(void **state)
{
	static const struct {
		const char *fault;
		int status;
	} cases[] = {
		{"exit@START", 3},
		{"kill@START", 128 + SIGKILL},
		{"proto=77", 128 + SIGKILL},
		{"garbage@START", 128 + SIGKILL},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct keeper_rig *r = *state;
		int status;

		if (i > 0)
			keeper_rig_end(r);
		keeper_rig_start(r, &(struct keeper_rig_conf){.fault = cases[i].fault});
		status = keeper_rig_wait(r);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), cases[i].status);
	}
}

static void
the_standby_takes_over_however_the_process_dies(void **state)
{
	static const char *const faults[] = {"kill@KICKED", "segv@KICKED", "abort@KICKED",
		"exit@KICKED", "stop@KICKED", "hang@KICKED", "garbage@KICKED", "foreign@KICKED"};

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const struct keeper_rig_conf conf = {
			.devices = 3, .options = {"--watchdog=100"}, .fault = faults[i]};
		struct keeper_rig *r = *state;
		pid_t active, standby;

		if (i > 0)
			keeper_rig_end(r);
		active = keeper_rig_up(r, &conf);
		standby = keeper_rig_standby(r);
		keeper_rig_mark(r);
		kill(active, SIGUSR2);
		keeper_rig_await(r, "3 devices taken over by");
		assert_int_equal(keeper_rig_who(r, "ACTIVE 0"), standby);
		assert_int_equal(keeper_rig_count(r, " ADOPT_END"), 3);
		keeper_rig_await_gone(active);
		/* And has a standby of its own. */
		keeper_rig_await(r, "standby process");
		assert_int_equal(keeper_rig_stop(r), 0);
	}
}

static void
a_fault_that_a_test_injects_is_the_first_processs_only(void **state)
{
	const struct keeper_rig_conf conf = {.devices = 1, .fault = "kill@ACTIVE"};
	struct keeper_rig *r = *state;

	keeper_rig_start(r, &conf);
	keeper_rig_await(r, "0 devices taken over by");
	keeper_rig_await(r, "OPENED 1");
	keeper_rig_await(r, "standby process");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
without_a_standby_a_process_is_started_after_the_crash(void **state)
{
	const struct keeper_rig_conf conf = {.devices = 2, .options = {"--no-standby"}};
	struct keeper_rig *r = *state;
	pid_t active;

	keeper_rig_start(r, &conf);
	keeper_rig_await(r, "OPENED 2");
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_mark(r);
	kill(active, SIGKILL);
	keeper_rig_await(r, "2 devices taken over by the newly started");
	keeper_rig_await(r, ": EAL 1.5, pools 2.5; adoption ");
	assert_false(keeper_rig_has(r, "standby process"));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_crash_while_devices_are_taken_up_is_one_more_crash(void **state)
{
	const struct keeper_rig_conf conf = {.devices = 4, .standby = "segv@ADOPT/3"};
	struct keeper_rig *r = *state;
	const pid_t active = keeper_rig_up(r, &conf);

	keeper_rig_mark(r);
	kill(active, SIGKILL);
	keeper_rig_await(r, "4 devices taken over by");
	keeper_rig_who(r, "ACTIVE 0");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_device_that_is_not_taken_up_does_not_hold_up_the_others(void **state)
{
	const struct keeper_rig_conf conf = {.devices = 3, .standby = "error@ADOPT/2"};
	struct keeper_rig *r = *state;
	pid_t active = keeper_rig_up(r, &conf);

	keeper_rig_mark(r);
	kill(active, SIGKILL);
	keeper_rig_await(r, "VUID2 has not been taken up by process");
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await(r, "standby process");
	keeper_rig_mark(r);
	/* The next process may have more luck with it. */
	kill(active, SIGKILL);
	keeper_rig_await(r, "ACTIVE 0");
	keeper_rig_await(r, "ADOPT_END 2");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_device_that_is_not_taken_up_is_tried_once_more_with_a_reset(void **state)
{
	/* HA_ADOPT_POISON_BLOCK */
	static const struct {
		const char *fault, *end;
	} cases[] = {
		{"once@ADOPT/2", "layout1-flags32 2"},
		{"error@ADOPT/2", "it is without a process until the next one"},
	};

	for (unsigned int i = 0; i < 2; i++) {
		const struct keeper_rig_conf conf = {.devices = 3, .standby = cases[i].fault};
		struct keeper_rig *r = *state;
		pid_t active;

		if (i > 0)
			keeper_rig_end(r);
		active = keeper_rig_up(r, &conf);
		keeper_rig_mark(r);
		kill(active, SIGKILL);
		keeper_rig_await(r, "as told; once more, with a reset");
		keeper_rig_await(r, cases[i].end);
		keeper_rig_await(r, "layout1-flags32 2");
		assert_int_equal(keeper_rig_stop(r), 0);
		assert_int_equal(keeper_rig_count(r, " ADOPT_END 2"), 2);
		assert_int_equal(keeper_rig_count(r, " ADOPT_END 1"), 1);
	}
}

static void
processes_that_end_by_their_own_doing_again_and_again_are_held_up(void **state)
{
	static const char *const faults[] = {"signal@ACTIVE", "garbage@ACTIVE", "foreign@ACTIVE"};

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct keeper_rig *r = *state;

		if (i > 0)
			keeper_rig_end(r);
		setenv("FAKE_FAULT", faults[i], 1);
		keeper_rig_start(r, &(struct keeper_rig_conf){.devices = 1});
		keeper_rig_await(r, "crashes at short intervals");
		unsetenv("FAKE_FAULT");
		keeper_rig_stop(r);
	}
}

/* Crash the active process twice over the same crumb. @return what it is adopted with then */
static const char *
crash_twice(struct keeper_rig *r, pid_t active)
{
	keeper_rig_mark(r);
	kill(active, SIGUSR2);
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await(r, "standby process");
	keeper_rig_mark(r);
	kill(active, SIGUSR2);
	keeper_rig_await(r, "taken over by");
	return keeper_rig_await(r, "layout1-flags");
}

static void
what_kills_two_processes_by_their_own_doing_is_poison(void **state)
{
	static const char *const faults[] = {"segv@KICKED", "abort@KICKED", "hang@KICKED"};

	/* CRASHED | POISON_QUEUE, for the first device only: the crumb is the fake's. */
	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const struct keeper_rig_conf conf = {.devices = 2,
			.options = {"--watchdog=100"},
			.fault = faults[i],
			.standby = faults[i]};
		struct keeper_rig *r = *state;

		if (i > 0)
			keeper_rig_end(r);
		crash_twice(r, keeper_rig_up(r, &conf));
		assert_true(keeper_rig_has(r, "layout1-flags80 1"));
		assert_true(keeper_rig_has(r, "layout1-flags64 2"));
		assert_true(keeper_rig_has(r, "VUID1 has been fatal twice"));
		assert_int_equal(keeper_rig_stop(r), 0);
	}
}

static void
what_kills_again_and_again_elsewhere_is_kept_from_its_host(void **state)
{
	struct keeper_rig *r = *state;
	pid_t active;

	setenv("FAKE_FAULT", "move@KICKED", 1);
	active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 2});
	for (unsigned int i = 0; i < 4; i++) {
		assert_false(keeper_rig_has(r, "again and again"));
		keeper_rig_mark(r);
		kill(active, SIGUSR2);
		active = keeper_rig_who(r, "ACTIVE 0");
		keeper_rig_await(r, "standby process");
	}
	unsetenv("FAKE_FAULT");
	assert_true(keeper_rig_has(r, "VUID1 has been fatal again and again"));
	/* CRASHED | POISON_BLOCK */
	assert_true(keeper_rig_has(r, "layout1-flags96 1"));
	assert_true(keeper_rig_has(r, "layout1-flags64 2"));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
being_killed_by_others_is_nobodys_poison(void **state)
{
	const struct keeper_rig_conf conf = {
		.devices = 1, .fault = "kill@KICKED", .standby = "kill@KICKED"};
	struct keeper_rig *r = *state;

	crash_twice(r, keeper_rig_up(r, &conf));
	assert_true(keeper_rig_has(r, "layout1-flags64 1"));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
being_killed_by_others_is_never_held_up(void **state)
{
	struct keeper_rig *r = *state;
	pid_t active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 1});

	for (unsigned int i = 0; i < 6; i++) {
		keeper_rig_mark(r);
		kill(active, SIGKILL);
		active = keeper_rig_who(r, "ACTIVE 0");
	}
	assert_false(keeper_rig_has(r, "crashes at short intervals"));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_standby_that_ends_is_replaced(void **state)
{
	const struct keeper_rig_conf conf = {.devices = 1, .standby = "exit@START"};
	struct keeper_rig *r = *state;

	keeper_rig_start(r, &conf);
	keeper_rig_await(r, "has ended before it was needed");
	keeper_rig_await(r, "standby process");
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_crash_while_the_standby_starts_waits_for_it(void **state)
{
	const struct keeper_rig_conf conf = {
		.devices = 2, .standby = "stop@START", .options = {"--watchdog=0"}};
	struct keeper_rig *r = *state;
	pid_t active, standby;

	keeper_rig_start(r, &conf);
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await(r, "OPENED 2");
	keeper_rig_mark(r);
	standby = keeper_rig_who(r, "START 0");
	keeper_rig_await_stopped(standby);
	kill(active, SIGKILL);
	keeper_rig_await_gone(active);
	kill(standby, SIGCONT);
	keeper_rig_await(r, "2 devices taken over by");
	keeper_rig_await_from(r, standby, "ACTIVE 0");
	assert_int_equal(keeper_rig_stop(r), 0);
}

/* What the keeper's processes have when they are needed: ours. */
static int
priority_of(pid_t pid)
{
	errno = 0;
	return getpriority(PRIO_PROCESS, (id_t)pid);
}

static void
await_priority(pid_t pid, int nice)
{
	for (unsigned int i = 0; i < PATIENCE_MS && priority_of(pid) != nice; i++)
		poll(NULL, 0, 1);
	assert_int_equal(priority_of(pid), nice);
}

/* Else the keeper leaves priorities alone. */
static bool
may_raise_priorities(const struct keeper_rig *r)
{
	return priority_of(r->keeper) < priority_of(getpid());
}

static void
a_process_that_is_not_needed_yet_has_a_lower_priority(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 1});
	const pid_t standby = keeper_rig_standby(r);
	const int usual = priority_of(getpid());

	assert_int_equal(priority_of(active), usual);
	assert_int_equal(priority_of(standby), usual + (may_raise_priorities(r) ? SLOWER : 0));
	keeper_rig_mark(r);
	kill(active, SIGKILL);
	keeper_rig_await(r, "1 devices taken over by");
	assert_int_equal(priority_of(standby), usual);
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_standby_is_hurried_when_it_is_needed_before_it_is_up(void **state)
{
	const struct keeper_rig_conf conf = {.devices = 1, .standby = "stop@START"};
	struct keeper_rig *r = *state;
	const int usual = priority_of(getpid());
	pid_t active, standby;

	keeper_rig_start(r, &conf);
	active = keeper_rig_who(r, "ACTIVE 0");
	keeper_rig_await(r, "OPENED 1");
	keeper_rig_mark(r);
	standby = keeper_rig_who(r, "START 0");
	keeper_rig_await_stopped(standby);
	assert_int_equal(priority_of(standby), usual + (may_raise_priorities(r) ? SLOWER : 0));
	kill(active, SIGKILL);
	await_priority(standby, usual);
	kill(standby, SIGCONT);
	assert_int_equal(keeper_rig_who(r, "ACTIVE 0"), standby);
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
the_new_process_of_a_hand_over_has_the_usual_priority_when_it_is_activated(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 1});
	pid_t heir;

	keeper_rig_mark(r);
	kill(active, SIGUSR1);
	heir = keeper_rig_who(r, "ACTIVE 0");
	assert_int_equal(priority_of(heir), priority_of(getpid()));
	assert_int_equal(keeper_rig_stop(r), 0);
}

static void
a_process_that_was_stopped_for_a_moment_lives_on(void **state)
{
	const struct keeper_rig_conf conf = {.devices = 1, .options = {"--watchdog=20000"}};
	struct keeper_rig *r = *state;
	const pid_t active = keeper_rig_up(r, &conf);

	keeper_rig_mark(r);
	kill(active, SIGSTOP);
	kill(active, SIGUSR2);
	kill(active, SIGCONT);
	keeper_rig_await_from(r, active, "KICKED 1");
	assert_int_equal(keeper_rig_stop(r), 0);
	assert_false(keeper_rig_has(r, "killed"));
}

static void
whatever_a_process_says_there_is_a_next_one(void **state)
{
	const struct keeper_rig_conf conf = {
		.devices = 4, .fault = "fuzz@KICKED", .successor = "fuzz@ADOPT"};

	for (unsigned int i = 0; i < 10; i++) {
		struct keeper_rig *r = *state;
		pid_t active;

		if (i > 0)
			keeper_rig_end(r);
		active = keeper_rig_up(r, &conf);
		keeper_rig_mark(r);
		kill(active, SIGUSR2);
		keeper_rig_await_gone(active);
		keeper_rig_await(r, "ACTIVE 0");
		assert_int_equal(keeper_rig_stop(r), 0);
	}
}

static void
nobody_outlives_a_keeper_that_is_killed(void **state)
{
	struct keeper_rig *r = *state;
	const pid_t active = keeper_rig_up(r, &(struct keeper_rig_conf){.devices = 1});
	const pid_t standby = keeper_rig_standby(r);

	kill(r->keeper, SIGKILL);
	keeper_rig_wait(r);
	keeper_rig_await_gone(active);
	keeper_rig_await_gone(standby);
}

static int
test_keeper_life(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(the_first_process_is_activated_and_a_standby_waits),
		TEST(a_first_process_that_does_not_come_up_ends_the_keeper_with_its_status),
		TEST(the_standby_takes_over_however_the_process_dies),
		TEST(a_fault_that_a_test_injects_is_the_first_processs_only),
		TEST(without_a_standby_a_process_is_started_after_the_crash),
		TEST(a_crash_while_devices_are_taken_up_is_one_more_crash),
		TEST(a_device_that_is_not_taken_up_does_not_hold_up_the_others),
		TEST(a_device_that_is_not_taken_up_is_tried_once_more_with_a_reset),
		TEST(processes_that_end_by_their_own_doing_again_and_again_are_held_up),
		TEST(what_kills_two_processes_by_their_own_doing_is_poison),
		TEST(what_kills_again_and_again_elsewhere_is_kept_from_its_host),
		TEST(being_killed_by_others_is_nobodys_poison),
		TEST(being_killed_by_others_is_never_held_up),
		TEST(a_standby_that_ends_is_replaced),
		TEST(a_crash_while_the_standby_starts_waits_for_it),
		TEST(a_process_that_is_not_needed_yet_has_a_lower_priority),
		TEST(a_standby_is_hurried_when_it_is_needed_before_it_is_up),
		TEST(the_new_process_of_a_hand_over_has_the_usual_priority_when_it_is_activated),
		TEST(a_process_that_was_stopped_for_a_moment_lives_on),
		TEST(whatever_a_process_says_there_is_a_next_one),
		TEST(nobody_outlives_a_keeper_that_is_killed),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_life, test_keeper_life)
