/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Signalling a client's eventfd.
 *
 * O_NONBLOCK belongs to the open file, which the client shares with us: it may clear the flag after
 * we have set it and fill the counter, and write(2) would sleep until the client reads - for ever,
 * on a worker or the control lcore. What the kernel's own parts use to signal an eventfd never
 * sleeps, and Linux AIO offers it to us: a request that names an eventfd signals it on completion.
 * The request is an empty read of /dev/null, which completes within io_submit().
 *
 * An AIO context is a lock and a ring of completions; shared by workers it would be contended. So
 * each thread that raises interrupts has one: made when the thread begins, or at its first signal,
 * gone with the thread. This is the exception to "no global state in lib/". It belongs to the
 * thread as errno does, nobody can tell one from another, and every caller of pci_irq_msix() would
 * have to carry it about.
 *
 * Completions say nothing; they are taken off the ring where it is mapped, without a system call.
 *
 * A thread that cannot have a context (fs.aio-max-nr is used up, by whomever) signals nothing: the
 * interrupt is raised later, by a thread that waits (late.c). Where there is no AIO at all (a
 * kernel without it, a sandbox that forbids it) that thread has to use write(2), and is all that a
 * client with the above in mind can stop.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/aio_abi.h>

#include "internal.h"

/* Completions left lying before they are taken off. */
#define SIGNAL_BATCH 32u
/* Room for them: the kernel keeps some of it back per CPU, and that may be another one. */
#define SIGNAL_ROOM (4 * SIGNAL_BATCH)

/* Start of what the kernel maps at the address that is the context's name; the same since 2.6. */
struct aio_ring {
	uint32_t id;
	uint32_t nr;
	uint32_t head; /* ours */
	uint32_t tail; /* the kernel's */
	uint32_t magic;
	uint32_t compat_features;
	uint32_t incompat_features;
	uint32_t header_length;
};

#define AIO_RING_MAGIC 0xa10a10a1u

struct signaller {
	bool ready;
	int null_fd;
	unsigned int submitted; /* since completions were last taken off */
	aio_context_t ctx;
};

static __thread struct signaller self;
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static bool exit_key_made;

static void
signaller_close(void *arg)
{
	struct signaller *s = arg;

	syscall(SYS_io_destroy, s->ctx);
	close(s->null_fd);
	s->ready = false;
}

static void
exit_key_make(void)
{
	exit_key_made = pthread_key_create(&exit_key, signaller_close) == 0;
}

static bool
ring_known(aio_context_t ctx)
{
	const struct aio_ring *ring = (const struct aio_ring *)(uintptr_t)ctx;

	return ring->magic == AIO_RING_MAGIC && ring->incompat_features == 0;
}

/* @return 0; -EAGAIN, -ENOMEM, -EMFILE and the like: perhaps later; -ENOSYS: there is no AIO */
static int
signaller_open(struct signaller *s)
{
	int err;

	s->ctx = 0;
	s->submitted = 0;
	pthread_once(&exit_once, exit_key_make);
	if (!exit_key_made)
		return -EAGAIN;
	s->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (s->null_fd < 0)
		return -errno;
	if (syscall(SYS_io_setup, SIGNAL_ROOM, &s->ctx) != 0) {
		err = errno;
		close(s->null_fd);
		return err == EPERM || err == EACCES ? -ENOSYS : -err;
	}
	if (!ring_known(s->ctx)) {
		signaller_close(s);
		return -ENOSYS;
	}
	if (pthread_setspecific(exit_key, s) != 0) {
		signaller_close(s);
		return -ENOMEM;
	}
	s->ready = true;
	return 0;
}

int
pci_signal_begin(void)
{
	return self.ready ? 0 : signaller_open(&self);
}

static void
completions_drop(struct signaller *s)
{
	struct aio_ring *ring = (struct aio_ring *)(uintptr_t)s->ctx;

	__atomic_store_n(
		&ring->head, __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	s->submitted = 0;
}

static enum pci_signalled
signaller_submit(struct signaller *s, int fd)
{
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)s->null_fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	struct iocb *list[] = {&cb};

	if (++s->submitted >= SIGNAL_BATCH)
		completions_drop(s);
	if (syscall(SYS_io_submit, s->ctx, 1, list) == 1)
		return PCI_SIGNALLED;
	return errno == EINVAL || errno == EBADF ? PCI_SIGNAL_NOBODY : PCI_SIGNAL_LATER;
}

enum pci_signalled
pci_signal(int fd)
{
	if (!self.ready && signaller_open(&self) < 0)
		return PCI_SIGNAL_LATER;
	return signaller_submit(&self, fd);
}

enum pci_signalled
pci_signal_patiently(int fd)
{
	const uint64_t one = 1;
	const int ret = pci_signal_begin();

	if (ret == 0)
		return signaller_submit(&self, fd);
	if (ret != -ENOSYS)
		return PCI_SIGNAL_LATER;
	if (write(fd, &one, sizeof(one)) == (ssize_t)sizeof(one) || errno == EAGAIN)
		return PCI_SIGNALLED;
	return PCI_SIGNAL_NOBODY;
}
