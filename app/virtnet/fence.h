/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_FENCE_H
#define APP_FENCE_H

/**
 * @file
 * This process's threads in the fence that its keeper has made (lib/ha/fence.h).
 *
 * One per process, since a handler of fatal signals can reach nothing else. Without a keeper
 * threads enter all the same, entries that nobody reads: those who beat and drop crumbs need not
 * ask.
 */

#include <signal.h>

#include "ha/fence.h"

/**
 * Take the keeper's fence, and tell it of fatal signals. Main thread, before any thread enters.
 * @param fd  taken
 * @return 0; -errno
 */
int fence_attach(int fd);

/**
 * The calling thread is entry i from now on.
 * @return the entry, busy; NULL with errno set
 */
struct ha_thread *fence_enter(unsigned int i);
/** The calling thread touches nothing any more. */
void fence_leave(void);

/** The calling thread's entry; one that nobody reads if it has not entered. */
struct ha_thread *fence_self(void);

/**
 * For handlers of fatal signals: tell the keeper, then let the signal have the effect that it had
 * before anybody handled it. To be called last. Async-signal-safe.
 */
void fence_fatal(int sig, const siginfo_t *info);

/**
 * The process ends by its own doing, in no thread that could be blamed: the keeper is not to take
 * it for somebody's kill. Async-signal-safe.
 */
void fence_own_end(int sig);

#endif /* APP_FENCE_H */
