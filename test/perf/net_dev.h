/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_PERF_NET_DEV_H
#define TEST_PERF_NET_DEV_H

/**
 * @file
 * A virtio-net device behind a vfio-user socket, brought up as a guest's driver does it: one queue
 * pair, polled, memory shared through a memfd. One thread. What goes wrong ends the program with a
 * message.
 */

#include <stdint.h>

#include "vfio_user/vfio_user.h"
#include "vring/vring_driver.h"

enum {
	NET_DEV_RX,
	NET_DEV_TX,
	NET_DEV_QUEUES,
};

/** A register structure that a vendor capability points at (virtio 1.2, 4.1.4). */
struct net_dev_regs {
	uint32_t bar;
	uint32_t offset;
};

struct net_dev_queue {
	struct vring_driver ring;
	struct vring_driver_slot *slots;
	uint32_t doorbell; /**< offset in the BAR of the notification structure */
	uint16_t index;
	uint64_t kicks;
};

struct net_dev {
	struct vfio_user_client *client;
	struct net_dev_regs common, notify;
	uint32_t notify_multiplier;
	uint64_t features; /**< negotiated */
	uint8_t *mem;	   /**< memory that the device can reach */
	uint64_t mem_size, mem_used;
	struct net_dev_queue queue[NET_DEV_QUEUES];
};

/**
 * Connect and set DRIVER_OK.
 *
 * @param features    wanted; those that the device does not offer are left out
 * @param queue_size  entries; less if the device has fewer
 * @param buffers     bytes of memory for net_dev_alloc()
 */
void net_dev_open(struct net_dev *dev, const char *path, uint64_t features, uint16_t queue_size,
	uint64_t buffers);

/** Reset the device and disconnect. */
void net_dev_close(struct net_dev *dev);

/** Memory that the device can reach. @return its address for the device */
uint64_t net_dev_alloc(struct net_dev *dev, uint64_t size);

/** The same memory for this program. */
void *net_dev_va(const struct net_dev *dev, uint64_t iova);

/** Show the device what was added to a queue, and kick it if it asks for that. */
void net_dev_publish(struct net_dev *dev, struct net_dev_queue *q);

#endif /* TEST_PERF_NET_DEV_H */
