/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_GRACE_H
#define APP_GRACE_H

/**
 * @file
 * Grace periods: call a function once every worker has passed a quiescent state. Control lcore
 * only; never blocks.
 */

#include <stdbool.h>

#include <rte_rcu_qsbr.h>

struct grace;

typedef void (*grace_fn)(void *arg);

/** @return the object, or NULL without memory */
struct grace *grace_create(unsigned int max_workers);
void grace_destroy(struct grace *g);

/** For workers: register, report. */
struct rte_rcu_qsbr *grace_qsbr(struct grace *g);

/** Call fn(arg) after a grace period, from grace_poll(). Calls happen in the order in which they
 * were asked for. */
void grace_call(struct grace *g, grace_fn fn, void *arg);

/** Make the calls that are due. @return true while some are waiting: poll again soon */
bool grace_poll(struct grace *g);

#endif /* APP_GRACE_H */
