/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Deferred calls over DPDK's quiescent-state RCU. */

#include <stdlib.h>
#include <sys/queue.h>

#include <rte_malloc.h>

#include "grace.h"
#include "mem.h"

struct grace_entry {
	STAILQ_ENTRY(grace_entry) next;
	uint64_t token;
	grace_fn fn;
	void *arg;
};

struct grace {
	struct rte_rcu_qsbr *qsbr;
	STAILQ_HEAD(, grace_entry) waiting;
};

struct grace *
grace_create(unsigned int max_workers)
{
	struct grace *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	STAILQ_INIT(&g->waiting);
	g->qsbr = rte_zmalloc("grace", rte_rcu_qsbr_get_memsize(max_workers), RTE_CACHE_LINE_SIZE);
	if (g->qsbr == NULL || rte_rcu_qsbr_init(g->qsbr, max_workers) != 0) {
		grace_destroy(g);
		return NULL;
	}
	return g;
}

void
grace_destroy(struct grace *g)
{
	if (g == NULL)
		return;
	rte_free(g->qsbr);
	free(g);
}

struct rte_rcu_qsbr *
grace_qsbr(struct grace *g)
{
	return g->qsbr;
}

void
grace_call(struct grace *g, grace_fn fn, void *arg)
{
	struct grace_entry *e = must_zalloc(sizeof(*e));

	e->token = rte_rcu_qsbr_start(g->qsbr);
	e->fn = fn;
	e->arg = arg;
	STAILQ_INSERT_TAIL(&g->waiting, e, next);
}

bool
grace_poll(struct grace *g)
{
	struct grace_entry *e;

	while ((e = STAILQ_FIRST(&g->waiting)) != NULL) {
		if (rte_rcu_qsbr_check(g->qsbr, e->token, false) == 0)
			return true;
		STAILQ_REMOVE_HEAD(&g->waiting, next);
		e->fn(e->arg);
		free(e);
	}
	return false;
}
