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

enum virtio_net_ctrl_kind {
	VIRTIO_NET_CTRL_KIND_RX_MODE,  /**< one receive mode bit switched */
	VIRTIO_NET_CTRL_KIND_MAC_SET,  /**< default MAC address */
	VIRTIO_NET_CTRL_KIND_MQ,       /**< number of queue pairs */
	VIRTIO_NET_CTRL_KIND_ANNOUNCE, /**< driver has announced itself */
	VIRTIO_NET_CTRL_KIND_MAC_TABLE,
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
		struct {
			uint32_t n_unicast, n_multicast;
			const uint8_t *unicast, *multicast; /**< into buf, 6 bytes each */
		} mac_table;
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
