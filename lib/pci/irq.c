/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Interrupts to the host as eventfds: raised by any thread without locks, attached and replaced by
 * the control lcore.
 *
 * To signal an eventfd takes about a microsecond, unless the client has it watched from many
 * places: then all of them are gone through, by us, for milliseconds. A function whose signals take
 * long is relieved of delivering them by itself for a while: another thread does (late.c), which
 * then is all that is held up. The clock, which is cheap, raises a suspicion; CPU time, which is
 * not, decides: it may have been the kernel's scheduler, which gave the CPU to whom we woke.
 *
 * Raising races with replacing. A slot is a descriptor and a pending flag, tell() is pci_signal() -
 * or a mark, for which the late thread does R4 and R5 with what is attached by then:
 *
 *	raise					replace (one thread only)
 *	R1  f = fd				A1  old = exchange(fd, new)
 *	R2  if f >= 0: tell(f)			A2  if new >= 0 and exchange(pending, 0): tell(new)
 *	R3      if fd == f: done		A3  retire(old)
 *	R4  pending = 1
 *	R5  f = fd; if f >= 0: tell(f)
 *
 * Claim: every raise is seen by a descriptor that was attached at or after the moment of the raise,
 * or is still pending with none attached. All accesses but R1 are sequentially consistent, so there
 * is one order of them:
 *  - R3 finds f: the signal went to the descriptor while it was attached, and descriptor numbers
 *    cannot be reused meanwhile, because retire() closes only after a grace period of the raising
 *    threads. Done.
 *  - R3 finds another, or R1 found none: R4 is before R5. If R5 still misses the next A1, then R4
 *    is before that A1, hence before its A2, which sees the flag and signals. If R5 sees A1's
 *    descriptor, R5 signals it itself.
 * Raisers never clear the flag, so no path loops; the price is at most one spurious interrupt at
 * the next replacement, which every driver tolerates. R2's signal to a descriptor that was just
 * detached is harmless: it is open until the grace period is over.
 *
 * INTx works the same way with its level in the place of the flag. Nobody clears the level but its
 * owner.
 *
 * Flags, level and mask live in the function's state and outlive the process; descriptors and what
 * COMMAND says are found again. A process that dies between A1 and A2 leaves the flag set, one that
 * dies between R3 and R4 leaves nothing: so whoever takes over raises once everything that the
 * dead one may have been about to raise (its user's part) and signals what is pending
 * (pci_irqs_resignal()).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define CACHE_LINE 64u

/* On average over the last few: far above what any honest eventfd takes, nested VMs included. */
#define SIGNAL_SLOW_NS (50 * 1000u)
/* A sample's most: three in a row are needed to come to the above. */
#define SIGNAL_SAMPLE_MAX_NS (200 * 1000u)
#define SIGNAL_SAMPLES	     8
/* Then a few are tried again: a fraction of a percent of the time, if they are still slow. */
#define SIGNAL_LATE_NS (10ull * 1000 * 1000 * 1000)

/* One to a cache line: neighbours are raised by different workers, each counting. */
struct irq_slot {
	int fd;
	uint64_t count;
} __attribute__((aligned(CACHE_LINE)));

struct pci_irqs {
	pci_irq_retire_t retire;
	void *ctx;
	/* In the function's state once connected, before that at the end of this structure. */
	uint32_t *level;  /* of INTx */
	uint32_t *masked; /* INTx, by the client, until it unmasks */
	uint8_t *pending; /* by vector */
	uint32_t own_level;
	uint32_t own_masked;
	uint32_t intx_disabled; /* COMMAND.INTx Disable */
	struct pci_late *late;
	uint64_t late_until_ns; /* the late thread delivers; 0: everybody does */
	/* Several threads write these, not exactly. */
	uint32_t average_ns; /* a signal takes, by the clock */
	uint32_t suspect;    /* so many more are measured in CPU time... */
	uint64_t cpu_ns;     /* ...which comes to this */
	uint16_t n_msix;
	struct irq_slot intx;
	struct irq_slot msix[];
};

int
pci_irqs_create(uint16_t msix_vectors, pci_irq_retire_t retire, void *ctx, struct pci_irqs **out)
{
	struct pci_irqs *irqs;
	const size_t slots = sizeof(*irqs) + msix_vectors * sizeof(irqs->msix[0]);
	const size_t size = slots + (msix_vectors + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;

	if (msix_vectors > PCI_MSIX_MAX)
		return -EINVAL;
	irqs = aligned_alloc(CACHE_LINE, size);
	if (irqs == NULL)
		return -ENOMEM;
	memset(irqs, 0, size);
	irqs->retire = retire;
	irqs->ctx = ctx;
	irqs->level = &irqs->own_level;
	irqs->masked = &irqs->own_masked;
	irqs->pending = (uint8_t *)irqs + slots;
	irqs->n_msix = msix_vectors;
	irqs->intx.fd = -1;
	for (uint16_t i = 0; i < msix_vectors; i++)
		irqs->msix[i].fd = -1;
	irqs->late = pci_late_create(irqs, msix_vectors);
	if (irqs->late == NULL) {
		free(irqs);
		return -ENOMEM;
	}
	*out = irqs;
	return 0;
}

void
pci_irqs_destroy(struct pci_irqs *irqs)
{
	if (irqs == NULL)
		return;
	pci_late_destroy(irqs->late);
	if (irqs->intx.fd >= 0)
		close(irqs->intx.fd);
	for (uint16_t i = 0; i < irqs->n_msix; i++)
		if (irqs->msix[i].fd >= 0)
			close(irqs->msix[i].fd);
	free(irqs);
}

static uint64_t
clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool
is_late(struct pci_irqs *irqs, uint64_t now)
{
	const uint64_t until = __atomic_load_n(&irqs->late_until_ns, __ATOMIC_RELAXED);

	if (until == 0)
		return false;
	if (now < until)
		return true;
	__atomic_store_n(&irqs->late_until_ns, 0, __ATOMIC_RELAXED);
	return false;
}

static void
took(struct pci_irqs *irqs, uint64_t ns)
{
	const int64_t sample = ns < SIGNAL_SAMPLE_MAX_NS ? (int64_t)ns : SIGNAL_SAMPLE_MAX_NS;
	int64_t average = __atomic_load_n(&irqs->average_ns, __ATOMIC_RELAXED);

	average += (sample - average) / SIGNAL_SAMPLES;
	if (average > SIGNAL_SLOW_NS) {
		average = 0;
		__atomic_store_n(&irqs->cpu_ns, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&irqs->suspect, SIGNAL_SAMPLES, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&irqs->average_ns, (uint32_t)average, __ATOMIC_RELAXED);
}

/* Is it the signal itself? Whom it wakes may only have taken the CPU from us. */
static void
took_cpu(struct pci_irqs *irqs, uint64_t now, uint64_t ns)
{
	const uint64_t sum = __atomic_load_n(&irqs->cpu_ns, __ATOMIC_RELAXED) + ns;
	unsigned int left = __atomic_load_n(&irqs->suspect, __ATOMIC_RELAXED);

	if (left > 0)
		left--;
	if (sum > SIGNAL_SAMPLES * SIGNAL_SLOW_NS) {
		left = 0;
		__atomic_store_n(&irqs->late_until_ns, now + SIGNAL_LATE_NS, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&irqs->cpu_ns, sum, __ATOMIC_RELAXED);
	__atomic_store_n(&irqs->suspect, left, __ATOMIC_RELAXED);
}

static struct irq_slot *
slot_of(struct pci_irqs *irqs, unsigned int vector)
{
	return vector == PCI_IRQS_INTX ? &irqs->intx : &irqs->msix[vector];
}

void
pci_irqs_delivered(struct pci_irqs *irqs, unsigned int vector)
{
	__atomic_fetch_add(&slot_of(irqs, vector)->count, 1, __ATOMIC_RELAXED);
}

static void
slot_signal(struct pci_irqs *irqs, unsigned int vector, int fd)
{
	const uint64_t now = clock_ns(CLOCK_MONOTONIC);
	enum pci_signalled what;
	uint64_t cpu;

	if (is_late(irqs, now)) {
		what = PCI_SIGNAL_LATER;
	} else if (__atomic_load_n(&irqs->suspect, __ATOMIC_RELAXED) > 0) {
		cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		what = pci_signal(fd);
		took_cpu(irqs, now, clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu);
	} else {
		what = pci_signal(fd);
		took(irqs, clock_ns(CLOCK_MONOTONIC) - now);
	}
	if (what == PCI_SIGNAL_LATER)
		pci_late_raise(irqs->late, vector);
	else if (what == PCI_SIGNALLED)
		pci_irqs_delivered(irqs, vector);
}

int
pci_irqs_deliver_fd(struct pci_irqs *irqs, unsigned int vector)
{
	struct irq_slot *slot = slot_of(irqs, vector);
	int fd = __atomic_load_n(&slot->fd, __ATOMIC_SEQ_CST);

	/* As raising does; of INTx it is the level that says so. */
	if (fd < 0 && vector != PCI_IRQS_INTX) {
		__atomic_store_n(&irqs->pending[vector], 1, __ATOMIC_SEQ_CST);
		fd = __atomic_load_n(&slot->fd, __ATOMIC_SEQ_CST);
	}
	if (fd < 0)
		return -1;
	/* One that has just been detached is closed, or another one's: that gets an interrupt too
	 * many. */
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd >= 0 || errno == EBADF ? fd : -errno;
}

void
pci_irq_msix(struct pci_irqs *irqs, uint16_t vector)
{
	struct irq_slot *slot;
	int fd;

	if (vector >= irqs->n_msix)
		return;
	slot = &irqs->msix[vector];
	fd = __atomic_load_n(&slot->fd, __ATOMIC_ACQUIRE);
	if (fd >= 0) {
		slot_signal(irqs, vector, fd);
		if (__atomic_load_n(&slot->fd, __ATOMIC_SEQ_CST) == fd)
			return;
	}
	__atomic_store_n(&irqs->pending[vector], 1, __ATOMIC_SEQ_CST);
	fd = __atomic_load_n(&slot->fd, __ATOMIC_SEQ_CST);
	if (fd >= 0)
		slot_signal(irqs, vector, fd);
}

/* The level is set before and tested after: see the top of the file. */
static void
intx_signal(struct pci_irqs *irqs)
{
	int fd;

	if (__atomic_load_n(irqs->level, __ATOMIC_SEQ_CST) == 0 ||
		__atomic_load_n(&irqs->intx_disabled, __ATOMIC_SEQ_CST) != 0 ||
		__atomic_load_n(irqs->masked, __ATOMIC_SEQ_CST) != 0)
		return;
	fd = __atomic_load_n(&irqs->intx.fd, __ATOMIC_SEQ_CST);
	if (fd >= 0)
		slot_signal(irqs, PCI_IRQS_INTX, fd);
}

void
pci_irq_intx(struct pci_irqs *irqs, bool level)
{
	uint32_t old = __atomic_exchange_n(irqs->level, level ? 1 : 0, __ATOMIC_SEQ_CST);

	if (level && old == 0)
		intx_signal(irqs);
}

void
pci_irqs_intx_mask(struct pci_irqs *irqs)
{
	__atomic_store_n(irqs->masked, 1, __ATOMIC_SEQ_CST);
}

void
pci_irqs_intx_unmask(struct pci_irqs *irqs)
{
	__atomic_store_n(irqs->masked, 0, __ATOMIC_SEQ_CST);
	intx_signal(irqs);
}

void
pci_irqs_intx_trigger(struct pci_irqs *irqs)
{
	const int fd = __atomic_load_n(&irqs->intx.fd, __ATOMIC_RELAXED);

	if (fd >= 0 && __atomic_load_n(&irqs->intx_disabled, __ATOMIC_RELAXED) == 0)
		slot_signal(irqs, PCI_IRQS_INTX, fd);
}

void
pci_irqs_intx_disable(struct pci_irqs *irqs, bool disable)
{
	uint32_t old = __atomic_exchange_n(&irqs->intx_disabled, disable ? 1 : 0, __ATOMIC_SEQ_CST);

	if (old != 0 && !disable)
		intx_signal(irqs);
}

void
pci_irqs_use_state(struct pci_irqs *irqs, struct pci_fn_state *state)
{
	irqs->level = &state->intx_level;
	irqs->masked = &state->intx_masked;
	irqs->pending = state->msix_pending;
}

static void
slot_retire(struct pci_irqs *irqs, int fd)
{
	if (fd < 0)
		return;
	if (irqs->retire != NULL)
		irqs->retire(irqs->ctx, fd);
	else
		close(fd);
}

/*
 * Anything else cannot be signalled. Without /proc nobody can tell; then the client is believed,
 * and the kernel refuses at the first signal.
 */
static bool
is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(want) + 1];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link));
	if (n < 0)
		return fcntl(fd, F_GETFD) >= 0;
	return (size_t)n == sizeof(want) - 1 && memcmp(link, want, (size_t)n) == 0;
}

/*
 * The flag only serves where signals have to be written (signal.c): the client can take it back.
 *
 * @return 0; -EINVAL if it is no eventfd
 */
static int
eventfd_prepare(int fd)
{
	int flags;

	if (fd < 0)
		return 0;
	if (!is_eventfd(fd))
		return -EINVAL;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -EINVAL;
	return 0;
}

/* Signal what is pending for a descriptor that has just been attached. */
static void
slot_deliver(struct pci_irqs *irqs, unsigned int vector, int fd)
{
	if (__atomic_exchange_n(&irqs->pending[vector], 0, __ATOMIC_SEQ_CST) != 0)
		slot_signal(irqs, vector, fd);
}

int
pci_irqs_set_msix(struct pci_irqs *irqs, unsigned int start, unsigned int count, const int *fds)
{
	if (start > irqs->n_msix || count > irqs->n_msix - start)
		return -EINVAL;
	for (unsigned int i = 0; i < count && fds != NULL; i++)
		if (eventfd_prepare(fds[i]) < 0)
			return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		struct irq_slot *slot = &irqs->msix[start + i];
		int fd = fds != NULL && fds[i] >= 0 ? fds[i] : -1;
		int old = __atomic_exchange_n(&slot->fd, fd, __ATOMIC_SEQ_CST);

		if (fd >= 0)
			slot_deliver(irqs, start + i, fd);
		if (old != fd)
			slot_retire(irqs, old);
	}
	return 0;
}

int
pci_irqs_set_intx(struct pci_irqs *irqs, int fd)
{
	int old;

	if (eventfd_prepare(fd) < 0)
		return -EINVAL;
	if (fd < 0) {
		fd = -1;
		__atomic_store_n(irqs->masked, 0, __ATOMIC_SEQ_CST);
	}
	old = __atomic_exchange_n(&irqs->intx.fd, fd, __ATOMIC_SEQ_CST);
	intx_signal(irqs);
	if (old != fd)
		slot_retire(irqs, old);
	return 0;
}

static int
slot_adopt(struct pci_irqs *irqs, struct irq_slot *slot, int fd)
{
	int old;

	if (fd < 0 || eventfd_prepare(fd) < 0)
		return -EINVAL;
	old = __atomic_exchange_n(&slot->fd, fd, __ATOMIC_SEQ_CST);
	if (old != fd)
		slot_retire(irqs, old);
	return 0;
}

int
pci_irqs_adopt_msix(struct pci_irqs *irqs, unsigned int vector, int fd)
{
	return vector < irqs->n_msix ? slot_adopt(irqs, &irqs->msix[vector], fd) : -EINVAL;
}

int
pci_irqs_adopt_intx(struct pci_irqs *irqs, int fd)
{
	return slot_adopt(irqs, &irqs->intx, fd);
}

void
pci_irqs_resignal(struct pci_irqs *irqs)
{
	for (uint16_t i = 0; i < irqs->n_msix; i++) {
		const int fd = __atomic_load_n(&irqs->msix[i].fd, __ATOMIC_SEQ_CST);

		if (fd >= 0)
			slot_deliver(irqs, i, fd);
	}
	intx_signal(irqs);
}

bool
pci_irqs_msix_pending(const struct pci_irqs *irqs, uint16_t vector)
{
	/*
	 * The flag may be left over from a raise that was delivered: only without a descriptor it
	 * counts.
	 */
	return vector < irqs->n_msix &&
	       __atomic_load_n(&irqs->pending[vector], __ATOMIC_RELAXED) != 0 &&
	       __atomic_load_n(&irqs->msix[vector].fd, __ATOMIC_RELAXED) < 0;
}

void
pci_irqs_clear(struct pci_irqs *irqs)
{
	pci_irqs_set_intx(irqs, -1);
	pci_irqs_set_msix(irqs, 0, irqs->n_msix, NULL);
	for (uint16_t i = 0; i < irqs->n_msix; i++)
		__atomic_store_n(&irqs->pending[i], 0, __ATOMIC_RELAXED);
}

uint64_t
pci_irqs_count(const struct pci_irqs *irqs)
{
	uint64_t n = __atomic_load_n(&irqs->intx.count, __ATOMIC_RELAXED);

	for (uint16_t i = 0; i < irqs->n_msix; i++)
		n += __atomic_load_n(&irqs->msix[i].count, __ATOMIC_RELAXED);
	return n;
}
