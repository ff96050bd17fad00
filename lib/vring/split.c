/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Burst functions of the split ring: the variants made from burst.h, and which features take which.
 */

#include "vring/burst.h"

void
vring_tx_complete(struct vring *vr)
{
	split_tx_complete(vr);
}

#define BURST_DEFINE(fn, spec, text)                                                               \
	static uint16_t fn##_enqueue(struct vring *vr, struct rte_mbuf **pkts, uint16_t n)         \
	{                                                                                          \
		return burst_enqueue(vr, pkts, n, spec);                                           \
	}                                                                                          \
	static uint16_t fn##_dequeue(                                                              \
		struct vring *vr, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)      \
	{                                                                                          \
		return burst_dequeue(vr, mp, pkts, n, spec);                                       \
	}

BURST_VARIANTS(BURST_DEFINE)

#define BURST_ENTRY(fn, spec, text)                                                                \
	[spec] = {.name = text, .enqueue = fn##_enqueue, .dequeue = fn##_dequeue},

static const struct vring_burst variants[] = {BURST_VARIANTS(BURST_ENTRY)};

const struct vring_burst *
vring_burst_select(uint64_t features)
{
	unsigned int spec = 0;

	if ((features & (NET_HDR_TX_FEATURES | NET_HDR_RX_FEATURES)) != 0)
		spec |= BURST_OFFLOAD;
	return &variants[spec];
}
