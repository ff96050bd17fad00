/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The front: killed at any instruction. A child handles a client's messages in single steps, is
 * killed after so many, and a front in this process goes on.
 */

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "vfio_user_adopt_bench.h"

/* Spread over all steps; more would find more seldom cases and take longer. */
#define KILLS	    24u
#define STEPS_MAX   2000000u
#define ANSWERS_MAX 4096u

static struct mailbox *
shared_mailbox(void)
{
	void *p = mmap(NULL, sizeof(struct mailbox), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static int
setup_shared(void **state)
{
	struct bench *b;

	setup(state);
	b = *state;
	sock_front_destroy(b->front);
	free(b->mb);
	b->mb = shared_mailbox();
	assert_int_equal(bench_front(b, &b->front), 0);
	bench_doorbells(b);
	return 0;
}

static int
teardown_shared(void **state)
{
	struct bench *b = *state;
	struct mailbox *mb = b->mb;

	sock_front_destroy(b->front);
	b->front = NULL;
	b->mb = NULL;
	munmap(mb, sizeof(*mb));
	return teardown(state);
}

static void
talk(int s)
{
	send_reset(s, 2);
	send_write(s, 3, 0, BAR, DOORBELLS + 8, 4);
	send_write(s, 4, VFIO_USER_F_NO_REPLY, BAR, DOORBELLS + 8, 2);
	raw_send(s, (struct raw){.id = 5, .command = VFIO_USER_DEVICE_RESET, .flags = 7});
	send_write(s, 6, 0, 0, 0, 8);
	send_reset(s, 7);
}

static size_t
answers(int s, uint8_t *buf)
{
	ssize_t n = recv(s, buf, ANSWERS_MAX, MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

/* Handles what stands - all of it in one round - one traced instruction after the other. */
static pid_t
front_process(struct bench *b)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(77);
	raise(SIGSTOP);
	if (event_reinit(b->place.base) == 0)
		event_base_loop(b->place.base, EVLOOP_NONBLOCK);
	_exit(0);
}

/* @return steps done: fewer than wanted if the process has ended before */
static unsigned int
step(pid_t pid, unsigned int wanted)
{
	unsigned int n = 0;
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		return UINT32_MAX; /* not allowed here */
	while (n < wanted && WIFSTOPPED(status)) {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		n++;
	}
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	return n;
}

/* @return steps done before the kill; the successor's answers, with those before, in buf */
static unsigned int
talk_and_kill(struct bench *b, unsigned int wanted, uint8_t *buf, size_t *len)
{
	int s = negotiated_client(b);
	struct kept_front k;
	unsigned int n;

	talk(s);
	n = step(front_process(b), wanted);
	k = kill_front(b);
	adopt_front(b, &k);
	/* What stands is handled again, by the device side's successor. */
	if (atomic_load(&b->mb->state) == MAILBOX_REQUEST)
		on_request(b);
	pump(b->place.base);
	*len = answers(s, buf);
	close(s);
	pump(b->place.base);
	return n;
}

static void
front_that_is_killed_at_any_instruction_has_a_successor(void **state)
{
	static uint8_t want[ANSWERS_MAX], got[ANSWERS_MAX];
	unsigned int all;
	struct bench *b = *state;
	size_t want_len, len;

	b->big = true;
	b->bytes = 40;
	all = talk_and_kill(b, STEPS_MAX, want, &want_len);
	if (all == UINT32_MAX)
		skip();
	assert_in_range(want_len, 5 * 16 + 2 * 40, ANSWERS_MAX - 1);
	for (unsigned int i = 0; i < KILLS; i++) {
		const unsigned int gone = b->disconnected;

		talk_and_kill(b, (unsigned int)((uint64_t)all * i / KILLS) + i, got, &len);
		assert_int_equal(b->disconnected, gone + 1);
		assert_int_equal(len, want_len);
		assert_memory_equal(got, want, len);
	}
}

static int
test_vfio_user_kill(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			front_that_is_killed_at_any_instruction_has_a_successor, setup_shared,
			teardown_shared),
	};

	return cmocka_run_group_tests_name("vfio_user_kill", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_kill, test_vfio_user_kill)
