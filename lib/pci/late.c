/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Interrupts that are raised by one thread and delivered by another.
 *
 * A worker that cannot signal without waiting, or that would be held up by what a client has made
 * of its eventfd (irq.c), leaves a mark and goes on. A thread of the process's own delivers what is
 * marked; whom that holds up are other clients of that kind. It is made at the first mark, runs
 * where the process's first thread does - not on the core of the worker that it is to relieve - and
 * stays.
 *
 * Raisers take no lock: marks are bits, and functions with marks stand in a list that they push to
 * and that the thread takes as a whole. A function is in it once. What raisers share with the
 * thread lives until both have let go of it, so that the control lcore never waits for the thread.
 *
 * As with sockets' closers (sock/discard.c) the list is the process's: nobody can tell.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define WORD_BITS 64u
/* Until the system may have again what was short. */
#define PAUSE_NS (10 * 1000 * 1000)
/* Behind whoever else works there: an interrupt that is late is in no hurry. */
#define LATE_NICE 10

struct pci_late {
	struct pci_late *next;
	atomic_uint refs; /* the owner's, and the list's */
	atomic_bool listed;
	pthread_mutex_t lock;
	struct pci_irqs *irqs; /* under lock; NULL: gone */
	unsigned int n_words;
	_Atomic uint64_t marks[]; /* by vector; the last of all is INTx */
};

static struct {
	struct pci_late *_Atomic list;
	atomic_bool started;
	_Atomic int wake_fd; /* -1: there is no thread yet */
} pool = {.wake_fd = -1};

static unsigned int
mark_of(const struct pci_late *late, unsigned int vector)
{
	return vector == PCI_IRQS_INTX ? late->n_words * WORD_BITS - 1 : vector;
}

static unsigned int
vector_of(const struct pci_late *late, unsigned int mark)
{
	return mark == late->n_words * WORD_BITS - 1 ? PCI_IRQS_INTX : mark;
}

static void
late_put(struct pci_late *late)
{
	if (atomic_fetch_sub(&late->refs, 1) != 1)
		return;
	pthread_mutex_destroy(&late->lock);
	free(late);
}

struct pci_late *
pci_late_create(struct pci_irqs *irqs, unsigned int vectors)
{
	const unsigned int words = (vectors + WORD_BITS) / WORD_BITS;
	struct pci_late *late = calloc(1, sizeof(*late) + words * sizeof(late->marks[0]));

	if (late == NULL)
		return NULL;
	atomic_init(&late->refs, 1);
	pthread_mutex_init(&late->lock, NULL);
	late->irqs = irqs;
	late->n_words = words;
	return late;
}

void
pci_late_destroy(struct pci_late *late)
{
	if (late == NULL)
		return;
	pthread_mutex_lock(&late->lock);
	late->irqs = NULL;
	pthread_mutex_unlock(&late->lock);
	late_put(late);
}

/* ---- the thread */

/* @return false: not now */
static bool
deliver(struct pci_late *late, unsigned int vector)
{
	enum pci_signalled what;
	int fd = -1;

	pthread_mutex_lock(&late->lock);
	if (late->irqs != NULL)
		fd = pci_irqs_deliver_fd(late->irqs, vector);
	pthread_mutex_unlock(&late->lock);
	if (fd < 0)
		return fd == -1;
	what = pci_signal_patiently(fd);
	close(fd);
	if (what != PCI_SIGNALLED)
		return what == PCI_SIGNAL_NOBODY;
	pthread_mutex_lock(&late->lock);
	if (late->irqs != NULL)
		pci_irqs_delivered(late->irqs, vector);
	pthread_mutex_unlock(&late->lock);
	return true;
}

/* @return false: something is still marked */
static bool
deliver_all(struct pci_late *late)
{
	bool all = true;

	for (unsigned int w = 0; w < late->n_words; w++) {
		uint64_t marks = atomic_exchange(&late->marks[w], 0);

		while (marks != 0) {
			const unsigned int bit = (unsigned int)__builtin_ctzll(marks);

			marks &= marks - 1;
			if (deliver(late, vector_of(late, w * WORD_BITS + bit)))
				continue;
			atomic_fetch_or(&late->marks[w], 1ull << bit);
			all = false;
		}
	}
	return all;
}

static void
list_push(struct pci_late *late)
{
	struct pci_late *head = atomic_load(&pool.list);

	atomic_fetch_add(&late->refs, 1);
	do
		late->next = head;
	while (!atomic_compare_exchange_weak(&pool.list, &head, late));
}

static void
list_serve(void)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	struct pci_late *late = atomic_exchange(&pool.list, NULL), *next;
	bool all = true;

	for (; late != NULL; late = next) {
		next = late->next;
		/* Before the marks are looked at: who comes behind that lists it again. */
		atomic_store(&late->listed, false);
		if (!deliver_all(late)) {
			all = false;
			if (!atomic_exchange(&late->listed, true))
				list_push(late);
		}
		late_put(late);
	}
	if (!all)
		nanosleep(&pause, NULL);
}

static void *
late_main(void *arg)
{
	const int fd = (int)(intptr_t)arg;
	eventfd_t n;

	pthread_setname_np(pthread_self(), "late-irq");
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), LATE_NICE);
	for (;;) {
		if (atomic_load(&pool.list) == NULL)
			(void)eventfd_read(fd, &n);
		list_serve();
	}
	return NULL;
}

/* The process's signals are for others. */
static int
thread_create(int fd)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	cpu_set_t cpus;
	int ret = pthread_attr_init(&attr);

	if (ret != 0)
		return -ret;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (sched_getaffinity(getpid(), sizeof(cpus), &cpus) == 0)
		pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attr, late_main, (void *)(intptr_t)fd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -ret;
}

/* A process that has been forked has no such thread. */
static void
on_fork(void)
{
	atomic_store(&pool.list, NULL);
	atomic_store(&pool.started, false);
	atomic_store(&pool.wake_fd, -1);
}

static void
fork_prepare(void)
{
	(void)pthread_atfork(NULL, NULL, on_fork);
}

/* If it cannot be, the next one who marks something tries again. */
static void
thread_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int fd;

	if (atomic_exchange(&pool.started, true))
		return;
	pthread_once(&once, fork_prepare);
	fd = eventfd(0, EFD_CLOEXEC);
	if (fd >= 0 && thread_create(fd) == 0) {
		atomic_store(&pool.wake_fd, fd);
		return;
	}
	if (fd >= 0)
		close(fd);
	atomic_store(&pool.started, false);
}

/* ---- raisers */

void
pci_late_raise(struct pci_late *late, unsigned int vector)
{
	const unsigned int mark = mark_of(late, vector);
	int fd;

	atomic_fetch_or(&late->marks[mark / WORD_BITS], 1ull << mark % WORD_BITS);
	if (!atomic_exchange(&late->listed, true))
		list_push(late);
	else if (atomic_load_explicit(&pool.wake_fd, memory_order_relaxed) >= 0)
		return;
	thread_start();
	/* If it is being started: it finds the list before it waits. */
	fd = atomic_load(&pool.wake_fd);
	if (fd >= 0)
		(void)eventfd_write(fd, 1);
}
