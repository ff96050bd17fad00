/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* One emu process of the keeper's: the fake one, watched by the test. */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "ha/child.h"
#include "ha/klog.h"
#include "ha/reserve.h"

#include "keeper_rig.h"
#include "test.h"

/* What has happened, in order. */
enum event_id {
	NOTHING,
	READY,
	MESSAGE,
	FENCED,
	REAPED,
	STOPPED,
	CONTINUED,
};

struct rig {
	struct event_base *base;
	struct event *alarm;
	char program[PATH_MAX];
	char *argv[4];
	struct child *ch;
	enum event_id seen[16];
	unsigned int n;
	struct ha_msg last;
	int status;
	enum event_id until;
};

static void
note(struct child *ch, enum event_id id)
{
	struct rig *r = child_ctx(ch);

	assert_true(r->n < 16);
	r->seen[r->n++] = id;
	if (id == r->until)
		event_base_loopbreak(r->base);
}

static void
on_ready(struct child *ch)
{
	note(ch, READY);
}

static void
on_message(struct child *ch, const struct ha_msg *msg, int *fds, unsigned int n)
{
	((struct rig *)child_ctx(ch))->last = *msg;
	note(ch, MESSAGE);
}

static void
on_lost(struct child *ch, const struct ha_msg *msg)
{
	fail_msg("descriptors of %s are lost", ha_msg_name(msg->type));
}

static void
on_fenced(struct child *ch)
{
	note(ch, FENCED);
}

static void
on_reaped(struct child *ch, int status)
{
	((struct rig *)child_ctx(ch))->status = status;
	note(ch, REAPED);
}

static void
on_stopped(struct child *ch, bool stopped)
{
	note(ch, stopped ? STOPPED : CONTINUED);
}

static const struct child_ops ops = {
	on_ready, on_message, on_lost, on_fenced, on_reaped, on_stopped};

static void
on_alarm(evutil_socket_t fd, short what, void *arg)
{
	fail_msg("nothing happens");
}

static int
setup(void **state)
{
	static struct rig rig;
	const struct timeval patience = {.tv_sec = 30};

	memset(&rig, 0, sizeof(rig));
	klog_set_level(KLOG_ERR);
	rig.base = event_base_new();
	rig.alarm = event_new(rig.base, -1, EV_PERSIST, on_alarm, NULL);
	event_add(rig.alarm, &patience);
	keeper_rig_path(rig.program, sizeof(rig.program), "keeper-fake-emu");
	rig.argv[0] = rig.program;
	*state = &rig;
	return 0;
}

/* It is freed when it has been reaped. */
static void
forget(struct rig *r)
{
	const pid_t pid = r->ch != NULL ? child_pid(r->ch) : 0;

	child_destroy(r->ch);
	r->ch = NULL;
	while (pid != 0 && kill(pid, 0) == 0)
		event_base_loop(r->base, EVLOOP_ONCE);
}

static int
teardown(void **state)
{
	struct rig *r = *state;

	forget(r);
	event_free(r->alarm);
	event_base_free(r->base);
	return 0;
}

static int
start(struct rig *r, const char *fault)
{
	const struct child_params params = {.base = r->base,
		.argv = r->argv,
		.ops = &ops,
		.ctx = r,
		.name = "test",
		.fault = fault};

	return child_start(&params, &r->ch);
}

/* Run until it has happened. */
static void
await(struct rig *r, enum event_id id)
{
	for (unsigned int i = 0; i < r->n; i++)
		if (r->seen[i] == id)
			return;
	r->until = id;
	event_base_dispatch(r->base);
	r->until = NOTHING;
}

static void
started(struct rig *r, const char *fault)
{
	assert_int_equal(start(r, fault), 0);
	await(r, READY);
}

static void
assert_seen(const struct rig *r, const enum event_id *ids, unsigned int n)
{
	assert_int_equal(r->n, n);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(r->seen[i], ids[i]);
}

static void
hello_makes_it_ready(void **state)
{
	struct rig *r = *state;

	started(r, "version=1.\002three");
	assert_true(child_is_ready(r->ch));
	assert_string_equal(child_hello(r->ch)->version, "1.?three");
	assert_int_equal(child_hello(r->ch)->pid, child_pid(r->ch));
}

static void
its_last_messages_come_before_its_fence_falls(void **state)
{
	static const enum event_id expected[] = {READY, MESSAGE, FENCED, REAPED};
	const struct ha_msg release = {.type = HA_RELEASE, .device = 5};
	struct rig *r = *state;

	started(r, "exit@EXIT");
	child_send(r->ch, &release, NULL, 0);
	child_send(r->ch, &(struct ha_msg){.type = HA_EXIT}, NULL, 0);
	await(r, REAPED);
	assert_seen(r, expected, 4);
	assert_int_equal(r->last.type, HA_RELEASED);
	assert_int_equal(r->last.device, 5);
	assert_int_equal(WEXITSTATUS(r->status), 3);
}

static void
a_killed_one_is_fenced_then_reaped(void **state)
{
	static const enum event_id expected[] = {READY, FENCED, REAPED};
	struct rig *r = *state;

	started(r, NULL);
	child_kill(r->ch);
	await(r, REAPED);
	assert_seen(r, expected, 3);
	assert_int_equal(WTERMSIG(r->status), SIGKILL);
	assert_true(child_fenced_ns(r->ch) >= child_killed_ns(r->ch));
	assert_int_equal(child_send(r->ch, &(struct ha_msg){.type = HA_EXIT}, NULL, 0), -EPIPE);
}

static void
one_that_ends_before_hello_is_fenced_and_reaped_all_the_same(void **state)
{
	static const enum event_id expected[] = {FENCED, REAPED};
	struct rig *r = *state;

	assert_int_equal(start(r, "exit@START"), 0);
	await(r, REAPED);
	assert_seen(r, expected, 2);
	assert_false(child_is_ready(r->ch));
}

static void
one_that_breaks_the_protocol_is_killed_and_not_listened_to(void **state)
{
	static const char *const faults[] = {
		"proto=2", "proto=4294967295", "garbage@START", "foreign@START"};

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct rig *r;

		if (i > 0) {
			teardown(state);
			setup(state);
		}
		r = *state;
		assert_int_equal(start(r, faults[i]), 0);
		await(r, REAPED);
		assert_int_equal(WTERMSIG(r->status), SIGKILL);
		assert_false(child_is_ready(r->ch));
		assert_int_equal(r->seen[0], FENCED);
	}
}

static void
being_stopped_and_going_on_are_told(void **state)
{
	static const enum event_id expected[] = {READY, STOPPED, CONTINUED};
	struct rig *r = *state;

	started(r, NULL);
	kill(child_pid(r->ch), SIGSTOP);
	await(r, STOPPED);
	kill(child_pid(r->ch), SIGCONT);
	await(r, CONTINUED);
	assert_seen(r, expected, 3);
}

static void
its_own_fatal_signal_stands_in_its_fence(void **state)
{
	struct rig *r = *state;

	started(r, "segv@KICKED");
	kill(child_pid(r->ch), SIGUSR2);
	await(r, FENCED);
	assert_int_equal(child_fence(r->ch)->crashed, 0);
	assert_int_equal(child_fence(r->ch)->signal, SIGSEGV);
	await(r, REAPED);
}

static void
forgetting_it_kills_it_at_any_time(void **state)
{
	struct rig *r = *state;

	started(r, NULL);
	forget(r);
	assert_int_equal(r->n, 1);
}

static void
a_program_that_is_not_there_is_an_error(void **state)
{
	struct rig *r = *state;

	strcpy(r->program, "/nowhere/emu");
	assert_int_equal(start(r, NULL), -ENOENT);
	strcpy(r->program, "/dev/null");
	assert_int_equal(start(r, NULL), -EACCES);
}

/* Lines of a file in /proc of the process. */
static bool
proc_has(pid_t pid, const char *name, const char *text)
{
	char path[64], buf[8192];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	for (size_t i = 0; i < n; i++)
		if (buf[i] == '\0')
			buf[i] = '\n';
	buf[n] = '\0';
	return strstr(buf, text) != NULL;
}

static void
it_inherits_neither_signals_nor_what_is_for_the_keeper(void **state)
{
	struct rig *r = *state;

	setenv("NOTIFY_SOCKET", "/x", 1);
	setenv("VIRTNET_FAULT", "kill@START", 1);
	setenv("VIRTNET_FAULT_MAGIC", "77", 1);
	signal(SIGPIPE, SIG_IGN);
	started(r, NULL);
	unsetenv("NOTIFY_SOCKET");
	unsetenv("VIRTNET_FAULT");
	assert_false(proc_has(child_pid(r->ch), "environ", "NOTIFY_SOCKET"));
	assert_false(proc_has(child_pid(r->ch), "environ", "VIRTNET_FAULT="));
	assert_true(proc_has(child_pid(r->ch), "environ", "VIRTNET_FAULT_MAGIC=77"));
	assert_true(proc_has(child_pid(r->ch), "status", "SigIgn:\t0000000000000000"));
	assert_int_equal(getpgid(child_pid(r->ch)), child_pid(r->ch));
}

static void
it_inherits_its_two_descriptors_only(void **state)
{
	struct rig *r = *state;
	const int other = dup(STDERR_FILENO); /* not close-on-exec */
	char path[64], target[64];
	bool there;

	started(r, NULL);
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)child_pid(r->ch), other);
	there = readlink(path, target, sizeof(target)) > 0 &&
		strncmp(target, "anon_inode", 10) != 0;
	close(other);
	assert_false(there);
	assert_true(proc_has(child_pid(r->ch), "cmdline", "--keeper-socket="));
	assert_true(proc_has(child_pid(r->ch), "cmdline", "--keeper-fence="));
}

static void
a_reserve_of_descriptors_is_there_when_all_others_are_used(void **state)
{
	static struct reserve reserve;
	struct rlimit lim, tight;
	int fd[RESERVE_FDS], n = 0;

	fd[0] = dup(STDERR_FILENO);
	close(fd[0]);
	getrlimit(RLIMIT_NOFILE, &lim);
	tight = (struct rlimit){(rlim_t)fd[0] + RESERVE_FDS, lim.rlim_max};
	reserve_fill(&reserve);
	assert_int_equal(reserve.n, RESERVE_FDS);
	setrlimit(RLIMIT_NOFILE, &tight);
	assert_int_equal(dup(STDERR_FILENO), -1);
	reserve_release(&reserve);
	while (n < 5 && (fd[n] = dup(STDERR_FILENO)) >= 0)
		n++;
	/* What is left of it is reserved again, the rest when it is given back. */
	reserve_fill(&reserve);
	assert_int_equal(reserve.n, RESERVE_FDS - 5);
	while (n > 0)
		close(fd[--n]);
	reserve_fill(&reserve);
	setrlimit(RLIMIT_NOFILE, &lim);
	assert_int_equal(reserve.n, RESERVE_FDS);
	reserve_release(&reserve);
}

static int
test_keeper_child(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(hello_makes_it_ready),
		TEST(its_last_messages_come_before_its_fence_falls),
		TEST(a_killed_one_is_fenced_then_reaped),
		TEST(one_that_ends_before_hello_is_fenced_and_reaped_all_the_same),
		TEST(one_that_breaks_the_protocol_is_killed_and_not_listened_to),
		TEST(being_stopped_and_going_on_are_told),
		TEST(its_own_fatal_signal_stands_in_its_fence),
		TEST(forgetting_it_kills_it_at_any_time),
		TEST(a_program_that_is_not_there_is_an_error),
		TEST(it_inherits_neither_signals_nor_what_is_for_the_keeper),
		TEST(it_inherits_its_two_descriptors_only),
		TEST(a_reserve_of_descriptors_is_there_when_all_others_are_used),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_child, test_keeper_child)
