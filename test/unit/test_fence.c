/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A process's own part of the fence: entering, and what it leaves behind when a signal ends it. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "test.h"
#include "virtnet/fence.h"
#include "virtnet/helper.h"

#define ENTRY	     5u
#define HANG_SECONDS 20

static struct ha_fence *fence;
static int fence_fd;

static int
setup(void **state)
{
	(void)state;
	return ha_fence_create(&fence, &fence_fd);
}

static int
teardown(void **state)
{
	(void)state;
	ha_fence_close(fence);
	close(fence_fd);
	return 0;
}

/* A process that enters the fence, or not, and does something deadly. */
static pid_t
process(void (*deed)(void), bool enter)
{
	static const int fatal[] = {SIGSEGV, SIGFPE, SIGABRT, SIGBUS, SIGILL};
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	alarm(HANG_SECONDS);
	/* Without the test runner's handlers. */
	for (unsigned int i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	if (freopen("/dev/null", "w", stderr) == NULL || fence_attach(dup(fence_fd)) < 0 ||
		(enter && fence_enter(ENTRY) == NULL))
		_exit(2);
	deed();
	_exit(3);
}

static void
touch_nothing(void)
{
	raise(SIGSEGV);
}

static void
divide(void)
{
	raise(SIGFPE);
}

static void
wait_for_a_signal(void)
{
	for (;;)
		pause();
}

static void
a_signal_of_the_threads_own_doing_is_told(void **state)
{
	static const struct {
		void (*deed)(void);
		int sig;
	} cases[] = {{touch_nothing, SIGSEGV}, {divide, SIGFPE}, {abort, SIGABRT}};
	int status;

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const pid_t pid = process(cases[i].deed, true);

		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WTERMSIG(status), cases[i].sig);
		assert_int_equal(fence->crashed, ENTRY);
		assert_int_equal(fence->signal, cases[i].sig);
		assert_true(ha_fence_wait(fence));
		teardown(NULL);
		setup(NULL);
	}
}

static void
a_signal_that_others_send_is_not(void **state)
{
	const pid_t pid = process(wait_for_a_signal, true);
	int status;

	(void)state;
	while (fence->thread[ENTRY].tid == 0)
		usleep(100);
	assert_int_equal(kill(pid, SIGSEGV), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(fence->crashed, HA_NO_THREAD);
	assert_int_equal(fence->signal, 0);
	assert_true(ha_fence_wait(fence));
}

static void
end_without_a_signal(void)
{
	fence_own_end(SIGABRT);
	_exit(0);
}

static void
without_an_entry_the_process_is_blamed_and_no_thread(void **state)
{
	static const struct {
		void (*deed)(void);
		int sig;
	} cases[] = {{touch_nothing, SIGSEGV}, {abort, SIGABRT}, {end_without_a_signal, SIGABRT}};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const pid_t pid = process(cases[i].deed, false);

		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(fence->crashed, HA_NO_THREAD);
		assert_int_equal(fence->signal, cases[i].sig);
		teardown(NULL);
		setup(NULL);
	}
}

/* ---- the helper */

static void
job(void *arg)
{
	const struct ha_thread *t = &((struct ha_fence *)arg)->thread[ENTRY];

	/* The watchdog has nothing to say while it waits for the kernel. */
	if (fence_self()->tid != t->tid || t->tid == 0 || t->busy != 0 || t->beats == 0)
		_exit(4);
}

static void
have_a_helper(void)
{
	struct event_base *base = event_base_new();
	struct helper *h = helper_create(base, ENTRY);

	if (h == NULL || fence->thread[ENTRY].end != HA_THREAD_ENTERED)
		_exit(5);
	helper_run(h, job, NULL, fence);
	helper_destroy(h);
	event_base_free(base);
	_exit(fence->thread[ENTRY].end == HA_THREAD_LEFT ? 0 : 6);
}

static void
the_helper_stands_in_the_fence_from_its_start_and_counts_as_asleep(void **state)
{
	const pid_t pid = process(have_a_helper, false);
	int status;

	(void)state;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(ha_fence_wait(fence));
}

static void
wait_in_a_job(void *arg)
{
	(void)arg;
	fence->thread[ENTRY].crumb.seq = 1;
	wait_for_a_signal();
}

static void
have_a_busy_helper(void)
{
	helper_run(helper_create(event_base_new(), ENTRY), wait_in_a_job, NULL, NULL);
	wait_for_a_signal();
}

static void
a_job_under_way_holds_the_fence_up(void **state)
{
	const pid_t pid = process(have_a_busy_helper, false);

	(void)state;
	while (__atomic_load_n(&fence->thread[ENTRY].crumb.seq, __ATOMIC_RELAXED) == 0)
		usleep(100);
	assert_int_equal(pthread_mutex_trylock(&fence->thread[ENTRY].alive), EBUSY);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(ha_fence_wait(fence));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
a_helper_without_an_entry_cannot_start(void **state)
{
	struct event_base *base = event_base_new();

	(void)state;
	assert_null(helper_create(base, HA_THREADS_MAX));
	assert_int_equal(errno, EINVAL);
	event_base_free(base);
}

static void
without_a_keeper_crumbs_and_beats_go_nowhere(void **state)
{
	struct ha_thread *t;

	(void)state;
	assert_non_null(fence_self());
	t = fence_enter(ENTRY);
	assert_non_null(t);
	assert_ptr_equal(fence_self(), t);
	ha_thread_beat(t);
	ha_crumb_queue(t, 1, 2, 3);
	fence_leave();
	assert_ptr_not_equal(fence_self(), t);
	assert_null(fence_enter(HA_THREADS_MAX));
}

static int
test_fence(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_signal_of_the_threads_own_doing_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_signal_that_others_send_is_not, setup, teardown),
		cmocka_unit_test_setup_teardown(
			without_an_entry_the_process_is_blamed_and_no_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_helper_stands_in_the_fence_from_its_start_and_counts_as_asleep, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_job_under_way_holds_the_fence_up, setup, teardown),
		cmocka_unit_test(a_helper_without_an_entry_cannot_start),
		cmocka_unit_test(without_a_keeper_crumbs_and_beats_go_nowhere),
	};

	return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(fence, test_fence)
