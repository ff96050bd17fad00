/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HELPER_H
#define APP_HELPER_H

/**
 * @file
 * The helper thread: calls that may block, in order, so that the control lcore does not. It owns no
 * device state; a job gets what it needs and its result comes back to the control lcore's event
 * loop.
 */

struct event_base;
struct helper;

/**
 * Start the thread and wait until it has entered the fence (fence.h): nobody may take over what
 * this process has as long as a call of a job is under way in the kernel.
 * @param entry  of the fence
 * @return NULL on failure, errno set
 */
struct helper *helper_create(struct event_base *base, unsigned int entry);

/** Finish all jobs, their done calls included, and end the thread. */
void helper_destroy(struct helper *h);

/**
 * Run work(arg) on the helper thread, then done(arg) on the control lcore. Jobs run one after
 * another, in order.
 * @param done  may be NULL
 */
void helper_run(struct helper *h, void (*work)(void *arg), void (*done)(void *arg), void *arg);

#endif /* APP_HELPER_H */
