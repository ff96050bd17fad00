/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_FUNCTION_H
#define APP_DEVICE_FUNCTION_H

/**
 * @file
 * The parts of a device around its state block: registers, memory, door and transport. Control
 * lcore only.
 */

#include "device.h"

/** Memory for a device that has nothing yet. @return NULL without memory */
struct device *device_alloc(struct controller *c);
/** What depends on the number of queues: dev->conf is known. @return 0; -ENOMEM */
int device_alloc_queues(struct device *dev);
/** Free a device in which nothing runs, with its block, registers and memory. May block. */
void device_free(struct device *dev);

struct device_function_how {
	bool adopt;	   /**< behind a door that is open already */
	bool connected;	   /**< adopt: a client is there */
	bool fresh_pci;	   /**< registers of the function start anew, else as the block has them */
	bool fresh_virtio; /**< the same for those of the device */
	struct emu_door *(*door)(
		struct device *dev, struct emu_door *door); /**< wrap it, or NULL */
};

/** Registers, door and transport on dev->block. On failure device_free() finds what is to be freed,
 * but for the door. @return 0; -errno */
int device_function_create(struct device *dev, const struct device_function_how *how);

#endif /* APP_DEVICE_FUNCTION_H */
