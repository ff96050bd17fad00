/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VIRTIO_VIRTIO_NET_CTRL_H
#define VIRTIO_VIRTIO_NET_CTRL_H

/**
 * @file
 * Commands of the network device's control virtqueue (virtio 1.2, 5.1.6.5): parsing and checking.
 * What a command does is its owner's business. Pure functions.
 */

#include <stddef.h>
#include <stdint.h>

#include "virtio/virtio.h"

/**
 * Most entries of a MAC table; beyond it the driver is told no and falls back to promiscuous or
 * allmulti.
 */
#define VIRTIO_NET_CTRL_MAC_ENTRIES 1024u
/** Longest command taken: header, and both MAC tables with their counts, rounded up. */
#define VIRTIO_NET_CTRL_MAX 12304u

/** Features that VIRTIO_NET_CTRL_GUEST_OFFLOADS can switch (5.1.6.5.8). */
#define VIRTIO_NET_GUEST_OFFLOADS                                                                  \
	(VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) |               \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN) |         \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_UFO) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO4) |         \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO6))

/** Bytes of a hash key, no more and no less: what the longest input takes. */
#define VIRTIO_NET_HASH_KEY_SIZE 40u
/** What packets can be hashed as (5.1.6.4.3.1): all that the spec knows. */
#define VIRTIO_NET_HASH_TYPES                                                                      \
	(VIRTIO_NET_RSS_HASH_TYPE_IPv4 | VIRTIO_NET_RSS_HASH_TYPE_TCPv4 |                          \
		VIRTIO_NET_RSS_HASH_TYPE_UDPv4 | VIRTIO_NET_RSS_HASH_TYPE_IPv6 |                   \
		VIRTIO_NET_RSS_HASH_TYPE_TCPv6 | VIRTIO_NET_RSS_HASH_TYPE_UDPv6 |                  \
		VIRTIO_NET_RSS_HASH_TYPE_IP_EX | VIRTIO_NET_RSS_HASH_TYPE_TCP_EX |                 \
		VIRTIO_NET_RSS_HASH_TYPE_UDP_EX)

enum virtio_net_ctrl_kind {
	VIRTIO_NET_CTRL_KIND_RX_MODE,  /**< one receive mode bit switched */
	VIRTIO_NET_CTRL_KIND_MAC_SET,  /**< default MAC address */
	VIRTIO_NET_CTRL_KIND_MQ,       /**< number of queue pairs */
	VIRTIO_NET_CTRL_KIND_ANNOUNCE, /**< driver has announced itself */
	VIRTIO_NET_CTRL_KIND_MAC_TABLE,
	VIRTIO_NET_CTRL_KIND_GUEST_OFFLOADS, /**< what the driver takes from now on */
	VIRTIO_NET_CTRL_KIND_HASH_CONFIG,    /**< how received packets are hashed */
};

/** How packets are hashed: the same in every command that says it. */
struct virtio_net_ctrl_hash {
	uint32_t types;	    /**< of VIRTIO_NET_HASH_TYPES; 0: packets are not hashed */
	const uint8_t *key; /**< into buf, VIRTIO_NET_HASH_KEY_SIZE bytes */
};

struct virtio_net_ctrl_cmd {
	enum virtio_net_ctrl_kind kind;
	union {
		struct {
			uint8_t mode; /**< VIRTIO_NET_CTRL_RX_* command: promisc, allmulti, ... */
			uint8_t on;
		} rx;
		uint8_t mac[6];
		uint16_t pairs;
		/**
		 * VIRTIO_NET_GUEST_OFFLOADS. A driver may switch off what others build on - large
		 * segments come with unfinished checksums: those are then off, too.
		 */
		uint64_t offloads;
		struct {
			uint32_t n_unicast, n_multicast;
			const uint8_t *unicast, *multicast; /**< into buf, 6 bytes each */
		} mac_table;
		struct virtio_net_ctrl_hash hash;
	};
};

/**
 * Check a command as gathered from the device-readable part of the chain.
 *
 * Length, class, command, values and negotiated features are all checked: a class whose feature was
 * not negotiated, or one this device does not implement, is refused.
 *
 * @param max_pairs  of the device
 * @return 0; -EINVAL (answer VIRTIO_NET_ERR)
 */
int virtio_net_ctrl_parse(const void *buf, size_t len, uint64_t features, uint16_t max_pairs,
	struct virtio_net_ctrl_cmd *cmd);

#endif /* VIRTIO_VIRTIO_NET_CTRL_H */
