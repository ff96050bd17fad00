/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Burst functions: the variants made from burst.h, and which features take which. */

#include "vring/burst.h"

void
vring_tx_complete(struct vring *vr)
{
	burst_tx_complete(vr);
}

/* What a received packet may take means nothing to transmit, how used entries of transmit stand for
 * others nothing to receive. */
#define BURST_ENQUEUE(fn, spec)                                                                    \
	static uint16_t enqueue_##fn(struct vring *vr, struct rte_mbuf **pkts, uint16_t n)         \
	{                                                                                          \
		return burst_enqueue(vr, pkts, n, spec);                                           \
	}
#define BURST_DEQUEUE(fn, spec)                                                                    \
	static uint16_t dequeue_##fn(                                                              \
		struct vring *vr, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)      \
	{                                                                                          \
		return burst_dequeue(vr, mp, pkts, n, spec);                                       \
	}

BURST_ENQUEUES(BURST_ENQUEUE)
BURST_DEQUEUES(BURST_DEQUEUE)

/* While a migration logs, one function serves all. */
static uint16_t
enqueue_logged(struct vring *vr, struct rte_mbuf **pkts, uint16_t n)
{
	return burst_enqueue(vr, pkts, n, vr->spec);
}

static uint16_t
dequeue_logged(struct vring *vr, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)
{
	return burst_dequeue(vr, mp, pkts, n, vr->spec);
}

#define BURST_ENTRY(spec, rx, tx, text)                                                            \
	[spec] = {.name = text, .enqueue = enqueue_##rx, .dequeue = dequeue_##tx},                 \
	[(spec) | BURST_LOG] = {.name = text " logged",                                            \
		.enqueue = enqueue_logged,                                                         \
		.dequeue = dequeue_logged},

static const struct vring_burst variants[BURST_SPECS] = {BURST_VARIANTS(BURST_ENTRY)};

const struct vring_burst *
vring_burst_select(uint64_t features)
{
	return &variants[burst_spec(features)];
}
