/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_HASH_H
#define NET_HASH_H

/**
 * @file
 * Hash of a received packet (virtio 1.2, 5.1.6.4.3 "Hash calculation for incoming packets"): of
 * which of its fields it is made, and the Toeplitz function over them. For hash reports
 * (VIRTIO_NET_F_HASH_REPORT) and for whoever chooses a receive queue by it.
 *
 * Pure functions: no state, any thread, never blocking. Packets are their sender's: nothing is
 * believed that does not stand in them, and what a look at one can cost is limited.
 */

#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>

#include "net/offload.h"

/** Bytes of a key: what the longest input, two IPv6 addresses and two ports, takes. */
#define NET_HASH_KEY_SIZE 40u

/** What a packet may be hashed as: VIRTIO_NET_RSS_HASH_TYPE_*. */
#define NET_HASH_TYPE(report) (1u << (VIRTIO_NET_HASH_REPORT_##report - 1))
#define NET_HASH_TYPES_ALL                                                                         \
	(NET_HASH_TYPE(IPv4) | NET_HASH_TYPE(TCPv4) | NET_HASH_TYPE(UDPv4) | NET_HASH_TYPE(IPv6) | \
		NET_HASH_TYPE(TCPv6) | NET_HASH_TYPE(UDPv6) | NET_HASH_TYPE(IPv6_EX) |             \
		NET_HASH_TYPE(TCPv6_EX) | NET_HASH_TYPE(UDPv6_EX))

/**
 * IPv6 extension headers that are looked past, and bytes of destination options that are looked at,
 * where a home address may stand. Real packets have one or two headers of a few bytes; what a
 * sender makes up must not cost a worker what a hundred packets do. What a longer chain leads to is
 * not known.
 */
#define NET_HASH_EXT_MAX     16u
#define NET_HASH_OPTIONS_MAX 256u

/** How packets are hashed: types and key, made ready by net_hash_init(). */
struct net_hash {
	uint32_t types; /**< NET_HASH_TYPE() enabled; 0: packets have no hash */
	uint32_t key[NET_HASH_KEY_SIZE / sizeof(uint32_t)]; /**< in the CPU's order */
};

void net_hash_init(struct net_hash *h, uint32_t types, const uint8_t key[NET_HASH_KEY_SIZE]);

/**
 * Hash a packet as it stands, from the Ethernet header on, behind any VLAN tags.
 *
 * A fragment is hashed as IP alone, the first one too, for all fragments of a datagram to have the
 * same hash.
 *
 * @return value and report; both 0 (VIRTIO_NET_HASH_REPORT_NONE) if it is none of the types
 */
struct net_hdr_hash net_hash_packet(const struct net_hash *h, const struct rte_mbuf *m);

/** Hash packets and leave it in them, for net_hash_get(). */
void net_hash_packets(const struct net_hash *h, struct rte_mbuf **pkts, uint16_t n);

/**
 * The hash travels in its mbuf, where network cards leave theirs: hash.rss, and what it was made of
 * beside it.
 */
static inline void
net_hash_set(struct rte_mbuf *m, struct net_hdr_hash hash)
{
	m->hash.rss = hash.value;
	m->hash.fdir.hi = hash.report;
	m->ol_flags |= RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_FDIR_ID;
}

/** None of a packet that nobody has hashed. */
static inline struct net_hdr_hash
net_hash_get(const struct rte_mbuf *m)
{
	const uint64_t both = RTE_MBUF_F_RX_RSS_HASH | RTE_MBUF_F_RX_FDIR_ID;

	if ((m->ol_flags & both) != both)
		return (struct net_hdr_hash){0};
	return (struct net_hdr_hash){
		.value = m->hash.rss,
		.report = (uint16_t)m->hash.fdir.hi,
	};
}

#endif /* NET_HASH_H */
