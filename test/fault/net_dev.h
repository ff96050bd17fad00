/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_FAULT_NET_DEV_H
#define TEST_FAULT_NET_DEV_H

/**
 * @file
 * A virtio-net device behind a vfio-user socket, brought up as a guest's driver does it: several
 * queue pairs with an interrupt each. One thread. What goes wrong ends the program with a message.
 */

#include <stdbool.h>
#include <stdint.h>

#include "vfio_user/vfio_user.h"
#include "vring/vring_driver.h"

#define NET_DEV_PAIRS_MAX 16u
#define NET_DEV_CTRL_LEN  64u
/** Vector 0: configuration; then a vector per queue; the control queue is polled. */
#define NET_DEV_VECTORS_MAX (1u + 2u * NET_DEV_PAIRS_MAX)

/** Memory that devices can reach: one file for all of them, as a guest's RAM is. */
struct guest_mem {
	int fd;
	uint8_t *va;
	uint64_t size, used;
	uint64_t iova;
};

/** A register structure that a vendor capability points at (virtio 1.2, 4.1.4). */
struct net_dev_regs {
	uint32_t bar;
	uint32_t offset;
};

struct net_dev_queue {
	struct vring_driver ring;
	uint32_t doorbell; /**< offset in the BAR of the notification structure */
	uint16_t index;
	bool kick_waits; /**< the connection had no room for it */
	int irq_fd;
	uint64_t kicks, interrupts;
};

struct net_dev {
	struct vfio_user_client *client;
	struct guest_mem *mem;
	struct net_dev_regs common, notify, config;
	uint32_t notify_multiplier;
	uint64_t features; /**< negotiated */
	uint8_t mac[6];
	uint16_t pairs;
	int config_irq_fd;
	const uint8_t *ctrl_ack; /**< where the answer to the last control command will be */
	struct net_dev_queue queue[2 * NET_DEV_PAIRS_MAX + 1];
};

struct net_dev_params {
	const char *path;
	struct guest_mem *mem;
	uint64_t features;   /**< wanted; those that the device does not offer are left out */
	uint16_t queue_size; /**< entries; less if the device has fewer */
	uint16_t pairs;
};

/** A sparse file of that size; populate: all of its pages are there. */
void guest_mem_create(struct guest_mem *mem, uint64_t size, bool populate);
/** @return address for devices */
uint64_t guest_mem_alloc(struct guest_mem *mem, uint64_t size);
/** The same memory for this program. */
void *guest_mem_va(const struct guest_mem *mem, uint64_t iova);

/**
 * Ask on the control queue for all frames or the device's own only: memory of NET_DEV_CTRL_LEN
 * bytes at iova. Its answer is there when net_dev_ctrl_done() says so.
 */
void net_dev_ctrl_send(struct net_dev *dev, uint64_t iova, bool on);
/** @return 1 answered well; 0 not yet; -EBADMSG: answered, but not as it must be */
int net_dev_ctrl_done(struct net_dev *dev, uint64_t iova);

/** Connect and set DRIVER_OK, with all pairs enabled. */
void net_dev_open(struct net_dev *dev, const struct net_dev_params *params);
/** Reset the device and disconnect; just disconnect if it does not answer. */
void net_dev_close(struct net_dev *dev);

/** Show the device what was added to a queue, and kick it if it asks for that. */
void net_dev_publish(struct net_dev *dev, struct net_dev_queue *q);
/** Send a kick that could not be sent. */
void net_dev_kick(struct net_dev *dev, struct net_dev_queue *q);

#endif /* TEST_FAULT_NET_DEV_H */
