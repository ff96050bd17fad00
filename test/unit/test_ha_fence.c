/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The fence: it falls when, and only when, no thread of the process can touch anything any more. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ha/fence.h"
#include "test.h"

#define MAX_THREADS 8
#define EIGHT_MIB   (8 << 20)

/* ---- A process behind the fence, whose threads do what they are told. */

enum order {
	ORDER_LEAVE = 'l',
	ORDER_END = 'e',   /* the thread ends without leaving */
	ORDER_CRASH = 'c', /* as the handler of fatal signals does, then the process dies */
	ORDER_TWICE = 't', /* to enter an entry that it has already */
	ORDER_BEAT = 'b',
	ORDER_SLEEP = 's',
	ORDER_CRUMB = 'u',
};

struct process {
	pid_t pid;
	unsigned int n;
	int order[MAX_THREADS][2];
	int done[2]; /* a byte for each order that is carried out */
	struct ha_fence *fence;
	int fence_fd;
};

struct worker {
	struct process *p;
	struct ha_fence *fence;
	unsigned int i;
};

static void
carry_out(struct ha_fence *f, unsigned int i, char order)
{
	switch (order) {
	case ORDER_LEAVE:
		ha_fence_leave(f, i);
		break;
	case ORDER_CRASH:
		ha_fence_crashed(f, i, SIGSEGV);
		break;
	case ORDER_TWICE:
		if (ha_fence_enter(f, i) != -EBUSY)
			_exit(2);
		break;
	case ORDER_BEAT:
		ha_thread_beat(&f->thread[i]);
		break;
	case ORDER_SLEEP:
		ha_thread_sleeps(&f->thread[i], true);
		break;
	case ORDER_CRUMB:
		ha_crumb_queue(&f->thread[i], 77, 3, 65535);
		break;
	}
}

static void *
worker_main(void *arg)
{
	struct worker *w = arg;
	char order = 0;

	if (ha_fence_enter(w->fence, w->i) != 0)
		_exit(2);
	do {
		if (write(w->p->done[1], &order, 1) != 1 ||
			read(w->p->order[w->i][0], &order, 1) != 1)
			_exit(2);
		carry_out(w->fence, w->i, order);
	} while (order != ORDER_END && order != ORDER_CRASH);
	if (order == ORDER_CRASH)
		kill(getpid(), SIGKILL);
	/* Told before the thread is gone: what follows waits for the fence, not for this. */
	return write(w->p->done[1], &order, 1) == 1 ? NULL : arg;
}

static void
process_main(struct process *p)
{
	struct worker w[MAX_THREADS];
	pthread_t t;

	for (unsigned int i = 0; i < p->n; i++) {
		w[i] = (struct worker){.p = p, .i = i};
		if (ha_fence_open(p->fence_fd, &w[i].fence) != 0 ||
			pthread_create(&t, NULL, worker_main, &w[i]) != 0)
			_exit(2);
	}
	for (;;)
		pause();
}

static void
wait_done(struct process *p, unsigned int n)
{
	char c;

	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(read(p->done[0], &c, 1), 1);
}

static struct process *
process_start(unsigned int n)
{
	struct process *p = calloc(1, sizeof(*p));

	p->n = n;
	assert_int_equal(ha_fence_create(&p->fence, &p->fence_fd), 0);
	assert_int_equal(pipe2(p->done, O_CLOEXEC), 0);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(pipe2(p->order[i], O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0)
		process_main(p);
	wait_done(p, n);
	return p;
}

static void
give_order(struct process *p, unsigned int i, char order)
{
	assert_int_equal(write(p->order[i][1], &order, 1), 1);
	if (order != ORDER_CRASH)
		wait_done(p, 1);
}

static void
process_kill(struct process *p)
{
	kill(p->pid, SIGKILL);
}

/* Reaps it: a test that has not killed it ends it here. */
static void
process_end(struct process *p)
{
	int status;

	kill(p->pid, SIGKILL);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	assert_true(WIFSIGNALED(status));
	for (unsigned int i = 0; i < p->n; i++) {
		close(p->order[i][0]);
		close(p->order[i][1]);
	}
	close(p->done[0]);
	close(p->done[1]);
	close(p->fence_fd);
	ha_fence_close(p->fence);
	free(p);
}

/* ---- A waiter, as the keeper has one. */

struct waiter {
	pthread_t thread;
	struct ha_fence *fence;
	bool died;
	_Atomic bool fallen;
	struct timespec at;
};

static void *
waiter_main(void *arg)
{
	struct waiter *w = arg;

	w->died = ha_fence_wait(w->fence);
	clock_gettime(CLOCK_MONOTONIC, &w->at);
	atomic_store(&w->fallen, true);
	return NULL;
}

static void
waiter_start(struct waiter *w, struct ha_fence *f)
{
	*w = (struct waiter){.fence = f};
	assert_int_equal(pthread_create(&w->thread, NULL, waiter_main, w), 0);
}

static bool
waiter_join(struct waiter *w)
{
	assert_int_equal(pthread_join(w->thread, NULL), 0);
	return w->died;
}

/* ---- The end of a process */

static void
kill_of_all_threads_at_once_lets_the_waiter_return(void **state)
{
	struct process *p = process_start(5);
	struct waiter w;

	waiter_start(&w, p->fence);
	assert_false(atomic_load(&w.fallen));
	process_kill(p);
	assert_true(waiter_join(&w));
	process_end(p);
}

static void
wait_after_the_end_returns_the_same_at_once(void **state)
{
	struct process *p = process_start(3);

	process_kill(p);
	assert_true(ha_fence_wait(p->fence));
	assert_true(ha_fence_wait(p->fence));
	process_end(p);
}

static void
threads_that_end_one_by_one_hold_the_fence_until_the_last(void **state)
{
	struct process *p = process_start(4);
	struct waiter w;

	waiter_start(&w, p->fence);
	for (unsigned int i = 4; i-- > 0;) {
		assert_false(atomic_load(&w.fallen));
		give_order(p, i, ORDER_END);
	}
	assert_true(waiter_join(&w));
	process_end(p);
}

static void
all_leaving_in_order_is_no_death(void **state)
{
	struct process *p = process_start(4);
	struct waiter w;

	waiter_start(&w, p->fence);
	for (unsigned int i = 0; i < 4; i++) {
		assert_false(atomic_load(&w.fallen));
		give_order(p, i, ORDER_LEAVE);
	}
	assert_false(waiter_join(&w));
	assert_false(ha_fence_wait(p->fence));
	process_kill(p);
	assert_false(ha_fence_wait(p->fence));
	process_end(p);
}

static void
one_death_among_threads_that_left_is_told(void **state)
{
	struct process *p = process_start(3);

	give_order(p, 0, ORDER_LEAVE);
	give_order(p, 2, ORDER_LEAVE);
	process_kill(p);
	assert_true(ha_fence_wait(p->fence));
	process_end(p);
}

static void
many_waiters_all_return(void **state)
{
	struct process *p = process_start(MAX_THREADS);
	struct waiter w[6];

	for (unsigned int i = 0; i < 6; i++)
		waiter_start(&w[i], p->fence);
	process_kill(p);
	for (unsigned int i = 0; i < 6; i++)
		assert_true(waiter_join(&w[i]));
	process_end(p);
}

static void
a_stopped_process_is_not_dead(void **state)
{
	struct process *p = process_start(2);
	struct waiter w;
	int status;

	waiter_start(&w, p->fence);
	kill(p->pid, SIGSTOP);
	assert_int_equal(waitpid(p->pid, &status, WUNTRACED), p->pid);
	assert_true(WIFSTOPPED(status));
	assert_false(atomic_load(&w.fallen));
	process_kill(p);
	assert_true(waiter_join(&w));
	process_end(p);
}

static void
a_process_that_died_before_entering_holds_nothing(void **state)
{
	struct process *p = process_start(0);

	process_kill(p);
	assert_false(ha_fence_wait(p->fence));
	process_end(p);
}

/* The step between taking the mutex and saying who has it. */
static void
a_thread_that_died_while_entering_is_found(void **state)
{
	struct ha_fence *f;
	int fd;
	pid_t pid;

	assert_int_equal(ha_fence_create(&f, &fd), 0);
	pid = fork();
	if (pid == 0) {
		pthread_mutex_lock(&f->thread[9].alive);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(ha_fence_wait(f));
	close(fd);
	ha_fence_close(f);
}

static long
usec_between(const struct timespec *a, const struct timespec *b)
{
	return (b->tv_sec - a->tv_sec) * 1000000L + (b->tv_nsec - a->tv_nsec) / 1000;
}

/* Prints; a figure that is asserted here would depend on the machine's mood. */
static void
detection_time(void **state)
{
	enum { ROUNDS = 11 };
	long fence[ROUNDS], reaped[ROUNDS], worst = 0, sum = 0, sum_reaped = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct timespec t0, t1;
		struct waiter w;
		/* Inherited, so that its end takes the kernel a while. */
		void *ram = mmap(NULL, 32 * EIGHT_MIB, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		struct process *p = process_start(4);

		munmap(ram, 32 * EIGHT_MIB);
		waiter_start(&w, p->fence);
		clock_gettime(CLOCK_MONOTONIC, &t0);
		process_kill(p);
		assert_true(waiter_join(&w));
		process_end(p);
		clock_gettime(CLOCK_MONOTONIC, &t1);
		fence[i] = usec_between(&t0, &w.at);
		reaped[i] = usec_between(&t0, &t1);
		worst = fence[i] > worst ? fence[i] : worst;
		sum += fence[i];
		sum_reaped += reaped[i];
	}
	print_message(
		"256 MiB, 4 threads, %d kills: fence fell after %ld us (max %ld), reaped after "
		"%ld us\n",
		ROUNDS, sum / ROUNDS, worst, sum_reaped / ROUNDS);
}

/* ---- Entries */

static void
a_new_fence_is_empty(void **state)
{
	struct ha_fence *f;
	int fd;

	assert_int_equal(ha_fence_create(&f, &fd), 0);
	assert_int_equal(atomic_load(&f->crashed), HA_NO_THREAD);
	for (unsigned int i = 0; i < HA_THREADS_MAX; i++) {
		assert_int_equal(atomic_load(&f->thread[i].tid), 0);
		assert_int_equal(atomic_load(&f->thread[i].end), HA_THREAD_NEVER);
		assert_int_equal(f->thread[i].crumb.kind, HA_CRUMB_NONE);
	}
	assert_false(ha_fence_wait(f));
	close(fd);
	ha_fence_close(f);
}

static void
an_entry_tells_who_has_it_and_how_it_gets_on(void **state)
{
	struct process *p = process_start(2);
	struct ha_thread *t = &p->fence->thread[1];
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%u", (int)p->pid, atomic_load(&t->tid));
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(atomic_load(&t->busy), 1);
	assert_int_equal(atomic_load(&t->beats), 0);
	give_order(p, 1, ORDER_BEAT);
	give_order(p, 1, ORDER_BEAT);
	assert_int_equal(atomic_load(&t->beats), 2);
	give_order(p, 1, ORDER_SLEEP);
	assert_int_equal(atomic_load(&t->busy), 0);
	process_end(p);
}

static void
a_thread_that_left_is_not_expected_to_get_on(void **state)
{
	struct process *p = process_start(1);

	give_order(p, 0, ORDER_LEAVE);
	assert_int_equal(atomic_load(&p->fence->thread[0].tid), 0);
	assert_int_equal(atomic_load(&p->fence->thread[0].busy), 0);
	process_end(p);
}

static void
an_entry_that_is_taken_is_busy(void **state)
{
	struct process *p = process_start(2);

	give_order(p, 0, ORDER_TWICE);
	assert_int_equal(ha_fence_enter(p->fence, 0), -EBUSY);
	assert_int_equal(ha_fence_enter(p->fence, 1), -EBUSY);
	process_end(p);
}

static void
an_entry_that_its_thread_died_in_stays_busy(void **state)
{
	struct process *p = process_start(1);

	process_kill(p);
	assert_int_equal(waitid(P_PID, p->pid, &(siginfo_t){0}, WEXITED | WNOWAIT), 0);
	/* Both before a waiter has come by, and after. */
	assert_int_equal(ha_fence_enter(p->fence, 0), -EBUSY);
	assert_int_equal(ha_fence_enter(p->fence, 0), -EBUSY);
	assert_true(ha_fence_wait(p->fence));
	assert_int_equal(ha_fence_enter(p->fence, 0), -EBUSY);
	process_end(p);
}

static void
an_entry_that_was_left_can_be_entered_again(void **state)
{
	struct ha_fence *f;
	int fd;

	assert_int_equal(ha_fence_create(&f, &fd), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ha_fence_enter(f, 127), 0);
		ha_fence_leave(f, 127);
	}
	assert_false(ha_fence_wait(f));
	close(fd);
	ha_fence_close(f);
}

static void
entries_beyond_the_last_do_not_exist(void **state)
{
	struct ha_fence *f;
	int fd;

	assert_int_equal(ha_fence_create(&f, &fd), 0);
	assert_int_equal(ha_fence_enter(f, HA_THREADS_MAX), -EINVAL);
	assert_int_equal(ha_fence_enter(f, HA_NO_THREAD), -EINVAL);
	ha_fence_leave(f, HA_THREADS_MAX);
	ha_fence_crashed(f, HA_NO_THREAD, SIGSEGV);
	assert_int_equal(atomic_load(&f->crashed), HA_NO_THREAD);
	close(fd);
	ha_fence_close(f);
}

static void
leaving_an_entry_of_another_thread_does_nothing(void **state)
{
	struct process *p = process_start(1);

	ha_fence_leave(p->fence, 0);
	assert_int_equal(ha_fence_enter(p->fence, 0), -EBUSY);
	process_kill(p);
	assert_true(ha_fence_wait(p->fence));
	process_end(p);
}

/* ---- What is found with the body */

static void
the_thread_that_crashed_is_named_with_its_signal(void **state)
{
	struct process *p = process_start(4);

	give_order(p, 2, ORDER_CRASH);
	assert_true(ha_fence_wait(p->fence));
	assert_int_equal(atomic_load(&p->fence->crashed), 2);
	assert_int_equal(atomic_load(&p->fence->signal), SIGSEGV);
	process_end(p);
}

static void
a_kill_from_outside_names_nobody(void **state)
{
	struct process *p = process_start(2);

	process_kill(p);
	assert_true(ha_fence_wait(p->fence));
	assert_int_equal(atomic_load(&p->fence->crashed), HA_NO_THREAD);
	assert_int_equal(atomic_load(&p->fence->signal), 0);
	process_end(p);
}

static void
the_first_crash_counts(void **state)
{
	struct ha_fence *f;
	int fd;

	assert_int_equal(ha_fence_create(&f, &fd), 0);
	ha_fence_crashed(f, 5, SIGBUS);
	ha_fence_crashed(f, 1, SIGABRT);
	assert_int_equal(atomic_load(&f->crashed), 5);
	assert_int_equal(atomic_load(&f->signal), SIGBUS);
	close(fd);
	ha_fence_close(f);
}

static void
the_crumb_outlives_its_thread(void **state)
{
	struct process *p = process_start(2);
	const struct ha_crumb *c = &p->fence->thread[1].crumb;

	give_order(p, 1, ORDER_CRUMB);
	process_kill(p);
	assert_true(ha_fence_wait(p->fence));
	assert_int_equal(c->kind, HA_CRUMB_QUEUE);
	assert_int_equal(c->device, 77);
	assert_int_equal(c->queue, 3);
	assert_int_equal(c->pos, 65535);
	process_end(p);
}

/* ---- Descriptors that are no fence */

static int
memory(off_t size, const struct ha_fence *content, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	if (content != NULL)
		assert_int_equal(pwrite(fd, content, sizeof(*content), 0), sizeof(*content));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void
what_is_no_fence_is_refused(void **state)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct ha_fence *f, *none = NULL,
			    *wrong = aligned_alloc(_Alignof(struct ha_fence), sizeof(*wrong));
	int fds[6], pipe_end[2], fence_fd;

	assert_int_equal(ha_fence_create(&f, &fence_fd), 0);
	assert_int_equal(pipe2(pipe_end, O_CLOEXEC), 0);
	assert_non_null(wrong);
	memcpy(wrong, f, sizeof(*wrong));
	wrong->magic++;
	fds[0] = memory(sizeof(*f), NULL, seals);     /* empty */
	fds[1] = memory(sizeof(*f), wrong, seals);    /* another layout */
	fds[2] = memory(sizeof(*f) - 1, NULL, seals); /* truncated */
	fds[3] = memory(0, NULL, seals);
	fds[4] = memory(sizeof(*f), f, F_SEAL_GROW); /* may still be truncated */
	fds[5] = pipe_end[0];
	for (unsigned int i = 0; i < 6; i++) {
		assert_int_equal(ha_fence_open(fds[i], &none), -EBADMSG);
		assert_null(none);
		close(fds[i]);
	}
	assert_int_equal(ha_fence_open(fds[0], &none), -EBADF);
	close(pipe_end[1]);
	close(fence_fd);
	ha_fence_close(f);
	free(wrong);
}

static void
a_fence_cannot_be_truncated(void **state)
{
	struct ha_fence *f, *again;
	int fd;

	assert_int_equal(ha_fence_create(&f, &fd), 0);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ha_fence_open(fd, &again), 0);
	assert_ptr_not_equal(f, again);
	close(fd);
	ha_fence_close(again);
	ha_fence_close(f);
	ha_fence_close(NULL);
}

static int
test_ha_fence(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kill_of_all_threads_at_once_lets_the_waiter_return),
		cmocka_unit_test(wait_after_the_end_returns_the_same_at_once),
		cmocka_unit_test(threads_that_end_one_by_one_hold_the_fence_until_the_last),
		cmocka_unit_test(all_leaving_in_order_is_no_death),
		cmocka_unit_test(one_death_among_threads_that_left_is_told),
		cmocka_unit_test(many_waiters_all_return),
		cmocka_unit_test(a_stopped_process_is_not_dead),
		cmocka_unit_test(a_process_that_died_before_entering_holds_nothing),
		cmocka_unit_test(a_thread_that_died_while_entering_is_found),
		cmocka_unit_test(detection_time),
		cmocka_unit_test(a_new_fence_is_empty),
		cmocka_unit_test(an_entry_tells_who_has_it_and_how_it_gets_on),
		cmocka_unit_test(a_thread_that_left_is_not_expected_to_get_on),
		cmocka_unit_test(an_entry_that_is_taken_is_busy),
		cmocka_unit_test(an_entry_that_its_thread_died_in_stays_busy),
		cmocka_unit_test(an_entry_that_was_left_can_be_entered_again),
		cmocka_unit_test(entries_beyond_the_last_do_not_exist),
		cmocka_unit_test(leaving_an_entry_of_another_thread_does_nothing),
		cmocka_unit_test(the_thread_that_crashed_is_named_with_its_signal),
		cmocka_unit_test(a_kill_from_outside_names_nobody),
		cmocka_unit_test(the_first_crash_counts),
		cmocka_unit_test(the_crumb_outlives_its_thread),
		cmocka_unit_test(what_is_no_fence_is_refused),
		cmocka_unit_test(a_fence_cannot_be_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(ha_fence, test_ha_fence);
