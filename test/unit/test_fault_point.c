/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Fault points: a process dies where, when and how the test has said, and nowhere else. */

/* Compiled in for this suite in any build (meson.build). */
#ifndef VIRTNET_FAULT_INJECTION
#define VIRTNET_FAULT_INJECTION
#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "state/fault_point.h"
#include "test.h"

#define SURVIVED 7

/* Run fn in a process of its own. @return its wait status, of the first stop as well */
static int
status_of(void (*fn)(const void *arg), const void *arg)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		/* A sanitizer's handler would turn the signal into an exit. */
		signal(SIGSEGV, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0});
		fn(arg);
		_exit(SURVIVED);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	return status;
}

static bool
survived(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == SURVIVED;
}

static void
arm_and_pass(const void *fault)
{
	/* A hang is CPU time that goes by; nothing else here needs any. */
	setitimer(ITIMER_VIRTUAL, &(struct itimerval){.it_value.tv_usec = 200000}, NULL);
	if (fault_point_arm(fault, NULL, NULL) == 0)
		fault_point_pass("vring.tx.sent");
}

static void
each_action_ends_the_process_in_its_way(void **state)
{
	static const struct {
		const char *fault;
		int sig;
	} cases[] = {
		{"vring.tx.sent:1", SIGKILL},
		{"vring.tx.sent:1:kill", SIGKILL},
		{"vring.tx.sent:1:segv", SIGSEGV},
		{"vring.tx.sent:1:abort", SIGABRT},
		{"vring.tx.sent:1:hang", SIGVTALRM},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int status = status_of(arm_and_pass, cases[i].fault);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), cases[i].sig);
	}
}

static void
stop_stops_the_process(void **state)
{
	int status = status_of(arm_and_pass, "vring.tx.sent:1:stop");

	assert_true(WIFSTOPPED(status));
	assert_int_equal(WSTOPSIG(status), SIGSTOP);
}

static void
segv_seen(int sig, siginfo_t *si, void *ctx)
{
	_exit(si->si_code == SEGV_MAPERR ? 3 : 4);
}

static void
segv_with_handler(const void *arg)
{
	struct sigaction sa = {.sa_sigaction = segv_seen, .sa_flags = SA_SIGINFO};

	sigaction(SIGSEGV, &sa, NULL);
	arm_and_pass("vring.tx.sent:1:segv");
}

static void
segv_is_a_fault_and_no_signal_that_was_sent(void **state)
{
	int status = status_of(segv_with_handler, NULL);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
}

static void
pass_others(const void *arg)
{
	fault_point_arm("vring.tx.sent:3", NULL, NULL);
	for (int i = 0; i < 5; i++) {
		fault_point_pass("vring.tx.sen");
		fault_point_pass("vring.tx.sent.x");
		fault_point_pass("emu.reply.told");
	}
	fault_point_pass("vring.tx.sent");
	fault_point_pass("vring.tx.sent");
}

static void
neither_other_names_nor_earlier_passages_matter(void **state)
{
	assert_true(survived(status_of(pass_others, NULL)));
}

static void
pass_to_the_third(const void *arg)
{
	pass_others(NULL);
	fault_point_pass("vring.tx.sent");
}

static void
the_nth_passage_dies(void **state)
{
	int status = status_of(pass_to_the_third, NULL);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void
nothing_set(const void *arg)
{
	unsetenv("VIRTNET_FAULT");
	unsetenv("VIRTNET_FAULT_MAGIC");
	fault_point_pass("vring.tx.sent");
	fault_magic_look(0);
}

static void
nothing_happens_without_the_variables(void **state)
{
	assert_true(survived(status_of(nothing_set, NULL)));
}

static void
from_environment(const void *value)
{
	setenv("VIRTNET_FAULT", value, 1);
	fault_point_pass("emu.reply.told");
}

static void
the_environment_arms_a_point(void **state)
{
	int status = status_of(from_environment, "emu.reply.told:1");

	assert_true(WIFSIGNALED(status));
}

static void
from_wrong_environment(const void *value)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO);
	from_environment(value);
}

static void
a_wrong_environment_ends_the_process(void **state)
{
	int status = status_of(from_wrong_environment, "emu.reply.told:0");

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 2);
}

static void
arm_wrong_values(const void *arg)
{
	static const char *const faults[] = {"", ":", ":1", "a", "a:", "a:0", "a:-1", "a:x", "a:1x",
		"a:1:", "a:1:die", "a:1:kill:", "a:99999999999999999999"};
	static const char *const magics[] = {"", "x", "-1", "0x", "12z", "0x10000000000000000"};
	char name[100];

	memset(name, 'n', sizeof(name));
	strcpy(&name[sizeof(name) - 3], ":1");
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		if (fault_point_arm(faults[i], NULL, NULL) != -EINVAL)
			_exit(10 + i);
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++)
		if (fault_point_arm(NULL, NULL, magics[i]) != -EINVAL)
			_exit(50 + i);
	if (fault_point_arm(name, NULL, NULL) != -EINVAL)
		_exit(99);
}

static void
wrong_values_are_refused(void **state)
{
	int status = status_of(arm_wrong_values, NULL);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SURVIVED);
}

static void
pass_twice_with_file(const void *file)
{
	fault_point_arm("vring.tx.sent:2", file, NULL);
	fault_point_pass("vring.tx.sent");
	fault_point_pass("vring.tx.sent");
}

static void
with_a_file_one_process_dies_and_the_next_one_lives(void **state)
{
	char file[] = "/tmp/virtnet-fault-XXXXXX";
	int fd = mkstemp(file);

	assert_true(fd >= 0);
	close(fd);
	assert_true(WIFSIGNALED(status_of(pass_twice_with_file, file)));
	assert_int_equal(access(file, F_OK), -1);
	assert_true(survived(status_of(pass_twice_with_file, file)));
}

static void
pass_around_file(const void *arg)
{
	const char *file = arg;

	fault_point_arm("vring.tx.sent:2", file, NULL);
	for (int i = 0; i < 5; i++)
		fault_point_pass("vring.tx.sent");
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	fault_point_pass("vring.tx.sent");
}

static void
passages_before_the_file_is_there_do_not_count(void **state)
{
	char file[] = "/tmp/virtnet-fault-XXXXXX";

	close(mkstemp(file));
	unlink(file);
	assert_true(survived(status_of(pass_around_file, file)));
	assert_int_equal(unlink(file), 0);
}

static void
look_at(const void *addr)
{
	fault_point_arm(NULL, NULL, "0xdead0000");
	fault_magic_look(*(const uint64_t *)addr);
}

static void
only_the_magic_address_crashes(void **state)
{
	uint64_t magic = 0xdead0000, other = 0xdead0001;
	int status = status_of(look_at, &magic);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_true(survived(status_of(look_at, &other)));
}

static int
test_fault_point(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_action_ends_the_process_in_its_way),
		cmocka_unit_test(stop_stops_the_process),
		cmocka_unit_test(segv_is_a_fault_and_no_signal_that_was_sent),
		cmocka_unit_test(neither_other_names_nor_earlier_passages_matter),
		cmocka_unit_test(the_nth_passage_dies),
		cmocka_unit_test(nothing_happens_without_the_variables),
		cmocka_unit_test(the_environment_arms_a_point),
		cmocka_unit_test(a_wrong_environment_ends_the_process),
		cmocka_unit_test(wrong_values_are_refused),
		cmocka_unit_test(with_a_file_one_process_dies_and_the_next_one_lives),
		cmocka_unit_test(passages_before_the_file_is_there_do_not_count),
		cmocka_unit_test(only_the_magic_address_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(fault_point, test_fault_point);
