/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_VMM_H
#define DRIVERS_VMM_H

/**
 * @file
 * What a hypervisor must be told for a function to become a device of a VM. The function's
 * transport (drivers/emu) says it, the host's driver (drivers/host) makes the hypervisor's own
 * objects of it: neither knows the other.
 */

#include <stdbool.h>
#include <stdint.h>

enum vmm_kind {
	/** A PCI function, all of it behind a vfio-user socket that the hypervisor connects to. */
	VMM_VFIO_USER,
	/**
	 * A virtio-net function of the hypervisor's own, whose rings are served over a vhost-user
	 * socket.
	 */
	VMM_VHOST_USER,
};

struct vmm_function {
	enum vmm_kind kind;
	bool msix; /**< else: INTx */
	/* VMM_VHOST_USER: what the hypervisor shows to the guest */
	bool listens; /**< the hypervisor listens at the socket, else it connects */
	uint8_t mac[6];
	uint16_t mtu;	     /**< 0: not told to the guest */
	uint16_t pairs;	     /**< of queues */
	uint16_t queue_size; /**< entries of the largest queue */
	uint64_t features;   /**< virtio's bits that are offered */
};

#endif /* DRIVERS_VMM_H */
