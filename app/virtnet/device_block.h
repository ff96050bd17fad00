/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_BLOCK_H
#define APP_DEVICE_BLOCK_H

/**
 * @file
 * The state block of a device: making one, and believing one that a predecessor has left.
 * Control lcore only.
 */

#include "device.h"
#include "ha/msg.h"

/** Parts of a block that were found damaged and start anew. */
enum device_damage {
	DEVICE_BAD_BLOCK = 1u << 0,  /**< no part of it could be found: the block is a new one */
	DEVICE_BAD_IDENT = 1u << 1,  /**< made up from what the keeper knows */
	DEVICE_BAD_STATE = 1u << 2,  /**< section DEVICE */
	DEVICE_BAD_PCI = 1u << 3,    /**< all zero now: the function is to be made fresh */
	DEVICE_BAD_VIRTIO = 1u << 4, /**< all zero now, the same */
	DEVICE_BAD_RINGS = 1u << 5,  /**< positions are lost */
	DEVICE_BAD_DMA = 1u << 6,    /**< memory ranges are lost */
	/** Empty now: a request that stood is never answered, the connection goes on. */
	DEVICE_BAD_MAILBOX = 1u << 7,
};

/** A new block for a device whose identity and configuration are known. @return 0; -errno */
int device_block_create(struct device *dev);

/**
 * Take up a predecessor's block, converted if it is of another version of the program. Fills the
 * device's identity and configuration from it. Damaged parts are made empty, from intact copies
 * where there are any.
 *
 * @param fd       stays the caller's
 * @param poison   do not look at it: it crashed whoever did
 * @param strict   a layout that is not known is an error and no damage
 * @param changed  the device's block is another one now
 * @return enum device_damage; -ENOTSUP (strict); -errno
 */
int device_block_take(struct device *dev, int fd, const struct ha_open *open, bool poison,
	bool strict, bool *changed);

/** Words for enum device_damage. */
void device_block_damage_text(unsigned int damage, char *buf, size_t len);

#endif /* APP_DEVICE_BLOCK_H */
