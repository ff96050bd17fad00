/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Entering the keeper's fence, and telling it of fatal signals. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rte_common.h>

#include "fence.h"
#include "pci/pci.h"

/* SIGBUS is the controller's first (memory that a client has truncated), which calls us then. */
static const int fatal_signal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

static struct ha_fence *fence;
static struct ha_thread nobody[HA_THREADS_MAX + 1];
static struct sigaction former[RTE_DIM(fatal_signal)];

static __thread unsigned int self = HA_NO_THREAD;

/*
 * The thread's own doing: the kernel's (a fault), or the process's (abort()). What others send is
 * theirs.
 */
static bool
own_doing(const siginfo_t *info)
{
	return info->si_code > 0 || info->si_pid == getpid();
}

void
fence_own_end(int sig)
{
	uint32_t none = 0;

	/* As in ha_fence_crashed(): the first one counts. */
	if (fence != NULL)
		(void)atomic_compare_exchange_strong(&fence->signal, &none, (uint32_t)sig);
}

void
fence_fatal(int sig, const siginfo_t *info)
{
	const int err = errno;

	if (fence != NULL && own_doing(info)) {
		if (self != HA_NO_THREAD)
			ha_fence_crashed(fence, self, sig);
		else
			fence_own_end(sig); /* one of EAL's or a library's threads */
	}
	for (unsigned int i = 0; i < RTE_DIM(fatal_signal); i++)
		if (fatal_signal[i] == sig)
			(void)sigaction(sig, &former[i], NULL);
	/* A fault happens again when the handler returns: the dump then shows where. */
	if (info->si_code <= 0)
		(void)raise(sig);
	errno = err;
}

static void
on_fatal(int sig, siginfo_t *info, void *context)
{
	(void)context;
	fence_fatal(sig, info);
}

int
fence_attach(int fd)
{
	struct sigaction sa = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO};
	const int ret = ha_fence_open(fd, &fence);

	close(fd);
	for (unsigned int i = 0; i < RTE_DIM(fatal_signal) && ret == 0; i++)
		if (sigaction(fatal_signal[i], &sa, &former[i]) < 0)
			return -errno;
	return ret;
}

struct ha_thread *
fence_enter(unsigned int i)
{
	int ret = i < HA_THREADS_MAX ? 0 : -EINVAL;

	if (ret == 0 && fence != NULL)
		ret = ha_fence_enter(fence, i);
	if (ret < 0) {
		errno = -ret;
		return NULL;
	}
	self = i;
	/* Whoever enters may raise interrupts; if it fails they only come a little later. */
	(void)pci_signal_begin();
	return fence_self();
}

void
fence_leave(void)
{
	if (fence != NULL && self != HA_NO_THREAD)
		ha_fence_leave(fence, self);
	self = HA_NO_THREAD;
}

struct ha_thread *
fence_self(void)
{
	if (self == HA_NO_THREAD)
		return &nobody[HA_THREADS_MAX];
	return fence != NULL ? &fence->thread[self] : &nobody[self];
}
