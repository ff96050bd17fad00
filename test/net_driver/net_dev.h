/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_DRIVER_NET_DEV_H
#define NET_DRIVER_NET_DEV_H

/**
 * @file
 * A virtio-net device as a guest's driver sees it: found through a transport, brought up with the
 * features and queue pairs that the program wants, then driven by it. For programs that measure or
 * disturb a device.
 *
 * Three layers: guest_mem.h is memory that devices can reach, transport.h is the way to a device,
 * this one has what virtio-net says whatever the way is. Rings are vring/vring_driver.h's: the
 * program adds chains to net_dev_queue.ring, shows them with net_dev_publish() and takes them back
 * with vring_driver_get_burst(). Many devices may share one memory.
 *
 * A program's steps:
 *
 *   guest_mem_create()       memory for rings and buffers; net_dev_memory() says what rings take
 *   net_dev_open()           connect, negotiate, set up queues, start the device
 *   guest_mem_alloc()        buffers
 *   vring_driver_..., net_dev_publish(), net_dev_process()
 *   net_dev_close()
 *
 * One thread. What goes wrong ends the program with a message, except where a return value is
 * described: programs that end a device's process on purpose look at those.
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include "guest_mem.h"
#include "transport.h"
#include "vring/vring_driver.h"

#define NET_DEV_PAIRS_MAX 16u
/** Bytes of memory for a control command and its answer. */
#define NET_DEV_CTRL_LEN 64u
/** Bytes of a frame's virtio-net header, at most. */
#define NET_DEV_HDR_MAX 20u
/** Entries of the control queue; less if the device has fewer. */
#define NET_DEV_CTRL_QUEUE_SIZE 64u

/** Queues of a pair, as they follow each other. */
enum net_dev_dir {
	NET_DEV_RX,
	NET_DEV_TX,
	NET_DEV_DIRS,
};

struct net_dev_queue {
	struct vring_driver ring;
	uint32_t doorbell; /**< what the transport wants for a kick */
	uint16_t index;	   /**< the device's number of it */
	bool kick_waits;   /**< the connection had no room for it: net_dev_kick() */
	int irq_fd;	   /**< eventfd, non-blocking; -1: polled */
	uint64_t kicks;
	uint64_t interrupts; /**< counted by the program */
};

struct net_dev {
	struct net_transport *transport;
	struct guest_mem *mem;
	uint64_t features; /**< negotiated */
	uint8_t mac[6];	   /**< if VIRTIO_NET_F_MAC is */
	uint16_t pairs;
	int config_irq_fd;	 /**< vector 0: configuration; -1: polled */
	const uint8_t *ctrl_ack; /**< where the answer to the last control command will be */
	bool hashes;		 /**< the device has been told how to hash packets */
	/** RX and TX of pair 0, of pair 1, ...; behind them the control queue, if there is one. */
	struct net_dev_queue queue[NET_DEV_DIRS * NET_DEV_PAIRS_MAX + 1];
};

struct net_dev_params {
	const struct net_transport_ops *transport; /**< NULL: net_transport_vfio_user */
	const char *path;			   /**< of the device's socket */
	struct guest_mem *mem;
	/**
	 * Wanted; those that the device does not offer are left out. NET_DEV_FEATURES_BASE, and
	 * what several pairs or hash reports need, is wanted always.
	 */
	uint64_t features;
	uint64_t required;   /**< of these: a device without them ends the program */
	uint16_t queue_size; /**< entries, see vring_driver.h; less if the device has fewer */
	uint16_t pairs;
	bool interrupts; /**< an eventfd for each queue; the control queue is always polled */
};

/** VIRTIO_F_VERSION_1 and VIRTIO_F_ACCESS_PLATFORM. */
#define NET_DEV_FEATURES_BASE (UINT64_C(1) << 32 | UINT64_C(1) << 33)

/** VIRTIO_F_NOTIFICATION_DATA; the kernel's headers do not have it yet. */
#define NET_DEV_F_NOTIFICATION_DATA 38

/** Bytes of memory that a device's rings and control commands take at most. */
uint64_t net_dev_memory(const struct net_dev_params *params);

/** Connect and start the device, with all pairs enabled and, if that was negotiated, hashes on. */
void net_dev_open(struct net_dev *dev, const struct net_dev_params *params);
/** Reset the device and disconnect; just disconnect if it does not answer. */
void net_dev_close(struct net_dev *dev);

static inline struct net_dev_queue *
net_dev_queue(struct net_dev *dev, uint16_t pair, enum net_dev_dir dir)
{
	return &dev->queue[NET_DEV_DIRS * pair + dir];
}

/** The control queue; only with VIRTIO_NET_F_CTRL_VQ. */
static inline struct net_dev_queue *
net_dev_ctrl_queue(struct net_dev *dev)
{
	return &dev->queue[NET_DEV_DIRS * dev->pairs];
}

/** Bytes of a frame's virtio-net header. */
static inline uint32_t
net_dev_hdr_len(const struct net_dev *dev)
{
	return (dev->features >> VIRTIO_NET_F_HASH_REPORT & 1) != 0
		       ? NET_DEV_HDR_MAX
		       : (uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf);
}

/**
 * Does a received frame's header report the hash that it must have? For UDP over IPv4 without
 * options; with devices that report none, or have not been told how to hash, that must be none.
 */
bool net_dev_hash_right(const struct net_dev *dev, const uint8_t *hdr, const uint8_t *frame);

/**
 * Show the device what was added to a queue, and kick it if it asks for that.
 * @return 1 kicked; 0 it did not ask; -errno as of net_dev_kick()
 */
int net_dev_publish(struct net_dev *dev, struct net_dev_queue *q);
/**
 * Kick, whether the device asks for it or not.
 * @return 1; -EAGAIN: the connection has no room, kick_waits says so until it succeeds; -errno: it
 *         has ended
 */
int net_dev_kick(struct net_dev *dev, struct net_dev_queue *q);

/** Descriptor of the connection and the events (POLLIN, POLLOUT) to wait for. */
int net_dev_fd(const struct net_dev *dev);
short net_dev_events(const struct net_dev *dev);
/** What the connection has to do. Never blocks. @return 0; -errno: it has ended */
int net_dev_process(struct net_dev *dev);

/* ---- Control queue: one command at a time */

/**
 * Ask for all frames (on) or the device's own only, with memory of NET_DEV_CTRL_LEN bytes at iova.
 * The answer is there when net_dev_ctrl_done() says so.
 */
void net_dev_ctrl_promisc(struct net_dev *dev, uint64_t iova, bool on);
/** Let the device use dev->pairs pairs; waits for the answer. */
void net_dev_ctrl_pairs(struct net_dev *dev);
/** Have packets hashed as whatever they can be; waits for the answer. */
void net_dev_ctrl_hash(struct net_dev *dev);
/** @return 1 answered well; 0 not yet; -EBADMSG: answered, but not as it must be */
int net_dev_ctrl_done(struct net_dev *dev, uint64_t iova);

#endif /* NET_DRIVER_NET_DEV_H */
