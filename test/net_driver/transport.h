/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_DRIVER_TRANSPORT_H
#define NET_DRIVER_TRANSPORT_H

/**
 * @file
 * How a driver reaches its device. net_dev.c brings a device up through these operations, in the
 * order in which they stand here, and knows nothing else of the connection; a transport knows
 * nothing of rings.
 *
 * What goes wrong ends the program with a message, except where a return value is described.
 */

#include <stddef.h>
#include <stdint.h>

#include "guest_mem.h"

/** A queue as the device is told of it. */
struct net_transport_queue {
	uint16_t index;
	uint16_t size;
	uint64_t desc, driver, device; /**< the ring's three parts, addresses for devices */
	int irq_fd;		       /**< -1: polled */
	uint32_t vector;	       /**< of irq_fd */
};

struct net_transport {
	const struct net_transport_ops *ops;
};

struct net_transport_ops {
	const char *name;

	/** Connect, share the memory, reset the device, tell it that a driver is there. */
	struct net_transport *(*open)(const char *path, const struct guest_mem *mem);

	/** Feature bits that the device offers. */
	uint64_t (*offered)(struct net_transport *t);
	/** Settle on these; what the device refuses ends the program. */
	void (*accept)(struct net_transport *t, uint64_t features);

	/** Read struct virtio_net_config; a transport without one makes up what it can. */
	void (*config_read)(struct net_transport *t, uint32_t off, void *buf, uint32_t len);

	/** Interrupts of vectors 0 (configuration) to n - 1. Not called for a polling driver. */
	void (*interrupts)(struct net_transport *t, const int *fds, uint32_t n);

	/** Entries that the queue can have; 0: there is no such queue. */
	uint16_t (*queue_max)(struct net_transport *t, uint16_t index);
	/** @return what kick() wants for this queue */
	uint32_t (*queue_enable)(struct net_transport *t, const struct net_transport_queue *q);

	/** The device may work. */
	void (*start)(struct net_transport *t);

	/**
	 * Notify the device, with len bytes of data (2 or 4) where the transport can carry them.
	 * @return 0; -EAGAIN: not now, there is no room for it; -errno: the connection has ended
	 */
	int (*kick)(struct net_transport *t, uint32_t doorbell, uint32_t data, uint32_t len);

	/** Descriptor to wait for and what to wait for (POLLIN, POLLOUT), then process(). */
	int (*fd)(const struct net_transport *t);
	short (*events)(const struct net_transport *t);
	/** Send what waits, receive what stands. @return 0; -errno: the connection has ended */
	int (*process)(struct net_transport *t);

	/** Reset the device if it answers, disconnect, free. */
	void (*close)(struct net_transport *t);
};

extern const struct net_transport_ops net_transport_vfio_user;
extern const struct net_transport_ops net_transport_vhost_user;

#endif /* NET_DRIVER_TRANSPORT_H */
