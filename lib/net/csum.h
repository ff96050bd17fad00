/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_CSUM_H
#define NET_CSUM_H

/**
 * @file
 * The Internet checksum (RFC 1071) over packets of any shape. Pure functions.
 *
 * Sums are of 16-bit words as they stand in memory, folded to 16 bits, not inverted: they can be
 * stored and added to without regard to byte order.
 */

#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

/** Sum of len bytes at any address; an odd last byte counts as if a zero followed. */
uint16_t net_sum(const void *buf, size_t len);

/** Ones' complement sum of two sums. */
static inline uint16_t
net_sum_add(uint16_t a, uint16_t b)
{
	const uint32_t sum = (uint32_t)a + b;

	return (uint16_t)(sum + (sum >> 16));
}

/**
 * Complete a partial checksum in the packet: sum from byte `start` to the end, stored at start +
 * offset, where the pseudo-header's sum stands already. What lies before `start` - tags, options,
 * IPv6 extension headers - does not matter.
 *
 * @param m  chain of any shape; its data must not be shared
 * @return 0; -EINVAL if the field is not within the packet
 */
int net_csum_complete(struct rte_mbuf *m, uint16_t start, uint16_t offset);

#endif /* NET_CSUM_H */
