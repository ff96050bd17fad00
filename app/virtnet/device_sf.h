/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_SF_H
#define APP_DEVICE_SF_H

/**
 * @file
 * How many queues of its SF a device uses. The SF attaches and detaches them on the helper thread,
 * one job per device at a time: a driver that resets in a loop replaces what it asked for, it does
 * not pile up jobs. Control lcore only.
 */

#include <stdint.h>

#include "sf/sf.h"

struct device;

/** What the device's SF is made of. */
void device_sf_params(const struct device *dev, struct sf_params *params);

/** Let the state block and the keeper know of the SF and its descriptors, as far as they are new.
 */
void device_sf_store(struct device *dev);

/** End of a change. `token` is the caller's. */
typedef void (*device_sf_done_t)(struct device *dev, int err, uint32_t token);

/**
 * Change the number of pairs that receive. Those above it stop before the SF takes their queues
 * away. `done` is called later with 0 or -errno, unless the device is reset first.
 */
void device_sf_set_pairs(struct device *dev, uint16_t pairs, device_sf_done_t done, uint32_t token);

/**
 * Change what the driver takes, while it runs (VIRTIO_NET_CTRL_GUEST_OFFLOADS).
 *
 * What is switched off is off for the driver when `done` is called: the SF is told, and packets that
 * it has queued before are cut and completed in software. What is switched on may come from the call
 * of `done` on.
 *
 * @param features  VIRTIO_NET_F_GUEST_* bits, of those that were negotiated; others are ignored
 */
void device_sf_set_offloads(
	struct device *dev, uint64_t features, device_sf_done_t done, uint32_t token);

/** What the driver takes at present: enum net_offload. A new driver takes all that it has
 * negotiated. */
uint32_t device_sf_offloads(const struct device *dev);

/** No driver any more: take all queues back; what waits in them is dropped. No worker has the
 * pairs. */
void device_sf_stop(struct device *dev);

/** The SF is about to be destroyed: what is not with the helper yet will not reach it. */
void device_sf_cancel(struct device *dev);

#endif /* APP_DEVICE_SF_H */
