/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_RINGS_H
#define APP_DEVICE_RINGS_H

/**
 * @file
 * The rings of a device, data and control, and the pairs that hold them. Control lcore only, while
 * no worker has the pairs (device_run.h).
 */

#include "device.h"

/** A virtqueue's ring as its registers have it. */
void device_ring_conf(const struct device *dev, uint16_t queue, struct vring_conf *conf);

/**
 * The eventfd that the driver's kicks of a queue come by: a predecessor's, or a new one. -1: none
 * can be had.
 */
int device_kick_get(struct device *dev, uint16_t queue);
/** The queue is stopped: close it. -1 is allowed. */
void device_kick_put(struct device *dev, uint16_t queue, int fd);

/** The driver has enabled this virtqueue and is not resetting it. */
bool device_queue_wanted(const struct device *dev, uint16_t queue);

/**
 * Start every ring that the driver has enabled and that does not run.
 * @return 0, or the first failure: -EFAULT if a ring's memory is not mapped; -errno. The others
 * run.
 */
int device_rings_start(struct device *dev);

/** Stop all rings and free the pairs. Positions stay in the ring records. */
void device_rings_stop(struct device *dev);

/** Stop one ring and forget its positions (RING_RESET). */
void device_ring_reset(struct device *dev, uint16_t queue);

/** Stop one ring, its positions stay. */
void device_ring_stop(struct device *dev, uint16_t queue);

/** Another eventfd stands for the driver's kicks (emu_ops.kick_fd()). */
void device_ring_kick_renew(struct device *dev, uint16_t queue);

/** Stop the rings that live in a range of memory; device_rings_start() starts them again once there
 * is memory. */
void device_rings_stop_in(struct device *dev, uint64_t iova, uint64_t len);

/** Does a running ring live in this range of memory? */
bool device_rings_use(const struct device *dev, uint64_t iova, uint64_t len);

#endif /* APP_DEVICE_RINGS_H */
