/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_WORKER_H
#define APP_WORKER_H

/**
 * @file
 * Worker lcores: each polls the queue pairs of an immutable list that the control lcore publishes.
 *
 * A pair's side without work becomes idle: the worker arms its descriptors (edge triggered, in the
 * worker's epoll set as long as the pair is published) and forgets it until one of them fires. A
 * worker with active pairs looks at the descriptors every WORKER_LOOK_US; one without sleeps on
 * them, offline for RCU.
 *
 * All functions are for the control lcore unless marked.
 */

#include <stdint.h>

#include "grace.h"
#include "qpair.h"

#define WORKER_LOOK_US                                                                             \
	50u /**< interval of looking at idle queues' descriptors while others are busy */

struct workers;

struct worker_stats {
	unsigned int lcore;
	unsigned int pairs;
	uint64_t busy_cycles; /**< in polls that found work */
	uint64_t poll_cycles; /**< in polls that did not */
	uint64_t sleeps;
	uint64_t packets;
};

/**
 * One worker for each EAL worker lcore.
 *
 * @param idle_us   a side without work for so long becomes idle
 * @param fault_fd  eventfd to be signalled when a pair's fault flag was raised
 * @return NULL on failure, errno set
 */
struct workers *workers_create(struct grace *grace, unsigned int idle_us, int fault_fd);
/**
 * Launch the lcores and wait until each has entered the fence (fence.h), as entry 1 and so on.
 * @return 0; -errno
 */
int workers_start(struct workers *ws);
/** Stop the lcores and free everything; nothing may be published any more. */
void workers_destroy(struct workers *ws);

unsigned int workers_count(const struct workers *ws);

/** Give the pair to the worker with the fewest; visible after workers_publish(). @return 0; -ENOMEM
 */
int workers_add(struct workers *ws, struct qpair *qp);
/**
 * Have the worker woken by the pair's descriptors. After the workers_publish() that made it
 * visible, since a worker must not be told of a pair that it does not have.
 * @return 0; -errno of epoll: take the pair away again
 */
int workers_watch(struct qpair *qp);
/** Take the pair away; it may be freed a grace period after workers_publish(). */
void workers_remove(struct qpair *qp);
/** Make what was added and removed visible. */
void workers_publish(struct workers *ws);

/**
 * The pair's rx_on changed, and with it perhaps the SF's queue: have its worker watch the queue's
 * descriptor, which may be another one or attached anew, and look at the pair.
 *
 * @return 0; -errno of epoll
 */
int workers_rx_changed(struct qpair *qp);

void workers_stats(const struct workers *ws, unsigned int i, struct worker_stats *stats);

#endif /* APP_WORKER_H */
