/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_DRIVER_TRANSPORT_VFIO_USER_H
#define NET_DRIVER_TRANSPORT_VFIO_USER_H

/**
 * @file
 * The transport of virtio-pci over vfio-user (virtio 1.2, 3.1.1 and 4.1), laid open for programs
 * that access registers themselves.
 */

#include "transport.h"
#include "vfio_user/vfio_user.h"

/** A register structure that a vendor capability points at (virtio 1.2, 4.1.4). */
struct net_vfio_user_regs {
	uint32_t bar;
	uint32_t offset;
};

struct net_vfio_user {
	struct net_transport transport; /**< first */
	struct vfio_user_client *client;
	struct net_vfio_user_regs common, notify, config;
	uint32_t notify_multiplier;
	uint32_t msix; /**< the capability in the configuration space; 0: none */
};

/** A net_transport_vfio_user's own. */
static inline struct net_vfio_user *
net_vfio_user(const struct net_transport *t)
{
	return (struct net_vfio_user *)(uintptr_t)t;
}

#endif /* NET_DRIVER_TRANSPORT_VFIO_USER_H */
