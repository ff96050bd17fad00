/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Interrupts that one thread raises and another delivers. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "pci_irq_fixture.h"

/* Asking for an AIO context fails like that from now on, in this thread and those it makes. */
static void
forbid_aio(int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = {.len = 4, .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		_exit(EXIT_FAILURE);
}

/* In a thread that has raised nothing yet. */
static void *
raise_at_hostile_and_honest(void *arg)
{
	struct pci_irqs **irqs = arg;

	pci_irq_msix(irqs[0], 0);
	pci_irq_msix(irqs[1], 0);
	return NULL;
}

/* @return in the child, whose end is its result */
static void
without_aio(int err, bool hostile)
{
	struct pci_irqs *irqs[2] = {irqs_new(NULL, NULL), irqs_new(NULL, NULL)};
	int bad = client_fd(), good = client_fd();
	pthread_t thread;
	uint64_t n = 0;

	forbid_aio(err);
	attach_msix(irqs[0], 0, bad);
	attach_msix(irqs[1], 0, good);
	if (hostile)
		make_full_and_blocking(bad);
	alarm(STUCK_S);
	pthread_create(&thread, NULL, raise_at_hostile_and_honest, irqs);
	pthread_join(thread, NULL);
	fcntl(good, F_SETFL, 0);
	if (!hostile && read(good, &n, sizeof(n)) != sizeof(n))
		_exit(EXIT_FAILURE);
	_exit(EXIT_SUCCESS);
}

static void
thread_without_aio_waits_for_nobody(void **state)
{
	/* No more of it, for now; none at all; and then a client that has done nothing wrong. */
	static const struct {
		int err;
		bool hostile;
	} cases[] = {{EAGAIN, true}, {ENOSYS, true}, {ENOSYS, false}};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const pid_t child = fork();
		int status;

		if (child == 0)
			without_aio(cases[i].err, cases[i].hostile);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

/*
 * The client watches its eventfd from many places, all of which a signal goes through. Whoever
 * raises is relieved of that after a few.
 */
static void
slow_eventfd_is_left_to_another_thread(void **state)
{
	enum { WATCHES = 5000, RAISES = 1000 };
	struct epoll_event ev = {.events = EPOLLIN};
	struct pci_irqs *irqs = irqs_new(NULL, NULL);
	int client = client_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
	static int watch[WATCHES];
	struct rlimit was, more;

	getrlimit(RLIMIT_NOFILE, &was);
	if (was.rlim_max < WATCHES + 100)
		skip();
	more = (struct rlimit){was.rlim_max, was.rlim_max};
	setrlimit(RLIMIT_NOFILE, &more);
	attach_msix(irqs, 0, client);
	for (unsigned int i = 0; i < WATCHES; i++) {
		watch[i] = dup(client);
		assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, watch[i], &ev), 0);
	}
	for (unsigned int i = 0; i < RAISES; i++)
		pci_irq_msix(irqs, 0);
	/* Marks of a vector are one: far fewer signals than raises. */
	assert_in_range(pci_irqs_count(irqs), 1, RAISES / 2);
	/* And what was raised last comes. */
	alarm(STUCK_S);
	drain(client);
	pci_irq_msix(irqs, 0);
	fcntl(client, F_SETFL, 0);
	assert_true(drain(client) > 0);
	alarm(0);
	pci_irqs_destroy(irqs);
	close(epoll);
	for (unsigned int i = 0; i < WATCHES; i++)
		close(watch[i]);
	close(client);
	setrlimit(RLIMIT_NOFILE, &was);
}

static int
test_pci_late(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thread_without_aio_waits_for_nobody),
		cmocka_unit_test(slow_eventfd_is_left_to_another_thread),
	};

	return cmocka_run_group_tests_name("pci_late", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(pci_late, test_pci_late)
