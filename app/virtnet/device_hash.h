/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_HASH_H
#define APP_DEVICE_HASH_H

/**
 * @file
 * How a device's received packets are hashed: what its driver has asked for, in the state block and
 * with its pairs. A reset forgets it. Control lcore only.
 */

#include <stdbool.h>
#include <stdint.h>

#include "device_state.h"

struct device;
struct qpair;

/** End of a change. `token` is the caller's. */
typedef void (*device_hash_done_t)(struct device *dev, int err, uint32_t token);

/** Has the device told its driver that it can hash packets as all of these types? */
bool device_hash_possible(const struct device *dev, uint32_t types);

/**
 * Hash packets as the driver asks (VIRTIO_NET_CTRL_MQ_HASH_CONFIG). `done` is called later, when no
 * worker hashes as before. One change at a time.
 */
void device_hash_set(struct device *dev, uint32_t types, const uint8_t key[DEVICE_HASH_KEY_LEN],
	device_hash_done_t done, uint32_t token);

/** Let a pair that no worker has hash as its device does, if the driver has negotiated it. */
void device_hash_pair(const struct device *dev, struct qpair *qp);

#endif /* APP_DEVICE_HASH_H */
