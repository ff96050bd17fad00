/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_DRIVER_NET_DEV_HASH_H
#define NET_DRIVER_NET_DEV_HASH_H

/** @file How this driver has packets hashed (virtio 1.2, 5.1.6.5.6.4). */

#include <stdint.h>

#include "net_dev.h"

#define NET_DEV_HASH_KEY_LEN 40u

/** VIRTIO_NET_CTRL_MQ_HASH_CONFIG with a key. */
struct net_dev_hash_config {
	uint32_t types;
	uint16_t reserved[4];
	uint8_t key_len;
	uint8_t key[NET_DEV_HASH_KEY_LEN];
} __attribute__((packed));

/** All types that the device supports, and a key. */
void net_dev_hash_config(struct net_dev *dev, struct net_dev_hash_config *config);

#endif /* NET_DRIVER_NET_DEV_HASH_H */
