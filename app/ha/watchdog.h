/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_WATCHDOG_H
#define APP_HA_WATCHDOG_H

/**
 * @file
 * Watchdog of one emu process: does a thread that is at work (struct ha_thread) still get on?
 *
 * Without a heartbeat for the limit, a thread that used half of that time of CPU is in a loop:
 * stuck. One that used less has been preempted, by others or by a hypervisor, and is left alone -
 * unless it has been sleeping in the kernel for ten times the limit, where nobody at work should.
 */

#include <stdint.h>
#include <sys/types.h>

#include "ha/fence.h"

/** How often to look, in parts of the limit: a stuck thread is found 2/8 late at most. */
#define WATCHDOG_LOOKS	     8u
#define WATCHDOG_HUNG_FACTOR 10u

enum watchdog_verdict {
	WATCHDOG_FINE,
	WATCHDOG_STUCK, /**< a loop without end */
	WATCHDOG_HUNG,	/**< in a system call without end */
};

/** Where CPU times come from; for tests. */
struct watchdog_source {
	/** @return 0; -errno if the thread is not there */
	int (*cpu_ns)(void *ctx, pid_t pid, pid_t tid, uint64_t *ns);
	/** Letter of proc(5): 'S' and 'D' are asleep in the kernel. 0: unknown. */
	char (*state)(void *ctx, pid_t pid, pid_t tid);
	void *ctx;
};

/** /proc */
extern const struct watchdog_source watchdog_proc;

struct watchdog {
	const struct watchdog_source *source;
	uint64_t limit_ns;
	uint64_t looked_ns;
	struct {
		uint64_t since_ns; /**< no beat since; 0: it gets on */
		uint64_t beats;
		uint64_t cpu_ns; /**< then */
	} thread[HA_THREADS_MAX];
};

void watchdog_init(struct watchdog *w, unsigned int limit_ms, const struct watchdog_source *source);

/**
 * Look at all threads. To be called WATCHDOG_LOOKS times per limit; after a longer break (the
 * keeper itself did not run) everything starts anew.
 *
 * @param thread  set unless fine
 */
enum watchdog_verdict watchdog_look(struct watchdog *w, const struct ha_fence *f, pid_t pid,
	uint64_t now_ns, unsigned int *thread);

#endif /* APP_HA_WATCHDOG_H */
