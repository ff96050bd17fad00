/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_FIT_H
#define NET_FIT_H

/**
 * @file
 * Packets on their way to somebody who cannot do all that their headers ask for: what he lacks is
 * done in software. The same for both directions: to an SF (driver's wishes, the SF's
 * capabilities), and to a driver (the SF's packets, the driver's negotiated and present offloads).
 *
 * Whoever knows that nothing can be lacking does not call it.
 */

#include <stdint.h>

#include <rte_mbuf.h>

#include "net/gso.h"
#include "net/offload.h"

/** Packets per call of emit(), at most: what a burst function takes. */
#define NET_FIT_BURST 32u

struct net_fit {
	/* the caller's */
	uint32_t offloads;	  /**< enum net_offload: what the taker does itself */
	struct rte_mempool *pool; /**< for segments */
	/**
	 * Takes n <= NET_FIT_BURST packets, in their order; they are its own. It may not call
	 * net_fit().
	 */
	void (*emit)(void *arg, struct rte_mbuf **pkts, uint16_t n);
	void *arg;
	/** Segments that may still be made: bounds what a burst can cost. Packets beyond are lost.
	 */
	uint32_t budget;
	/* counted up */
	uint32_t segments; /**< made */
	uint32_t bad;	   /**< packets lost: their header cannot be true of them */
	uint32_t no_mbuf;  /**< packets lost: the pool could not hold their segments */
	uint32_t excess;   /**< packets lost: too many segments, budget used up */
};

/**
 * Hand packets on so that they ask for no more than the taker does. A packet that must be cut
 * becomes all of its segments or, when something is wrong, none.
 *
 * @param pkts  taken; their data is written to, so it must not be shared
 */
void net_fit(struct net_fit *fit, struct rte_mbuf **pkts, uint16_t n);

#endif /* NET_FIT_H */
