/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_GSO_H
#define NET_GSO_H

/**
 * @file
 * Segmentation in software of TCP and UDP over IPv4 and IPv6, with any VLAN tags, IPv4 options and
 * IPv6 extension headers that csum_start tells of: what a network card with TSO and USO would send.
 *
 * The packet is its sender's, who may be hostile: net_gso_parse() believes nothing that it has not
 * seen in the packet, and what a packet can cost is limited. Pure functions, any thread, never
 * blocking.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "net/net_hdr.h"

/**
 * Headers of a large segment, all of which each segment repeats. Ethernet, two tags, IPv6 and the
 * longest TCP header are 122 bytes; the rest is for extension headers.
 */
#define NET_GSO_HDR_MAX 512u
/**
 * Segments of one packet: 64 KiB in pieces of 64 bytes. Real ones have 45. Senders choose gso_size,
 * and a packet of one byte each would keep a worker from its other queues for milliseconds.
 */
#define NET_GSO_SEGS_MAX 1024u

/** A large segment as it was found to be. */
struct net_gso {
	uint16_t l3;	  /**< offset of the IP header */
	uint16_t l4;	  /**< offset of the transport header */
	uint16_t hdr_len; /**< of all headers */
	uint16_t size;	  /**< payload of a segment */
	uint16_t n;	  /**< segments, >= 1; with 1 there is nothing to cut */
	bool ipv6;
	bool udp;
	/** the headers, for net_gso_segment() to change */
	uint8_t hdr[NET_GSO_HDR_MAX] __rte_aligned(8);
};

/**
 * Look at a packet whose header says that it is a large segment and has passed net_hdr_sound().
 *
 * @return 0; -EINVAL if the packet is not what its header says, is a fragment, has headers of more
 *         than NET_GSO_HDR_MAX; -E2BIG if it would become more than NET_GSO_SEGS_MAX segments
 */
int net_gso_parse(const struct rte_mbuf *m, struct net_gso *gso);

/** Is the packet behind an IPv6 header? (The tags, then the EtherType; nothing else is checked.) */
bool net_gso_is_ipv6(const struct rte_mbuf *m);

/**
 * Cut a packet into its segments.
 *
 * IPv4 ids count up; CWR stays on the first segment, FIN and PSH on the last; lengths and the IPv4
 * header's checksum are right. The transport's checksum is as the packet's: the partial one of the
 * driver, put right for the segment's length (so that it holds for routing headers, too).
 *
 * @param m     packet; not touched, and still the caller's
 * @param gso   of net_gso_parse()
 * @param csum  finish the transport's checksum; else headers ask for it (NEEDS_CSUM)
 * @param pool  ordinary packet pool
 * @param segs  room for gso->n packets; each a chain if gso_size does not fit into one mbuf
 * @return 0; -ENOMEM: no segment was made
 */
int net_gso_segment(const struct rte_mbuf *m, struct net_gso *gso, bool csum,
	struct rte_mempool *pool, struct rte_mbuf **segs);

#endif /* NET_GSO_H */
