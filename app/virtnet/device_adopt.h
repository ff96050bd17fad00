/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_ADOPT_H
#define APP_DEVICE_ADOPT_H

/**
 * @file
 * A device changes its process: taking one up from its state block and descriptors, and letting one
 * go. Control lcore only.
 */

#include "device.h"
#include "ha/msg.h"

/** Everything that came for one device between ADOPT and ADOPT_END. */
struct device_heirloom {
	uint32_t handle;
	struct ha_adopt adopt;
	int block_fd;
	unsigned int n, room;
	struct {
		uint16_t kind; /**< enum ha_fd_kind */
		uint16_t index;
		int fd; /**< -1 once taken */
	} * fd;
};

/**
 * Take up a device: registers, memory, interrupts, rings and SF as they were. Its queues run when
 * this returns, or as soon as a request that stands has been handled. Descriptors that are taken
 * become -1 in the structure, which stays the caller's: the block's and all others are the caller's
 * to close after the call. Calls keeper_link_adopted() exactly once, now or later.
 *
 * A damaged block costs the device its driver's state, not its existence: it is reset (the driver
 * sees NEEDS_RESET or a reset device) and reported. -errno to the keeper only if nothing can be
 * done.
 */
void device_adopt(struct controller *c, struct device_heirloom *h);

/**
 * Let the device go: finish what is under way, take its queues from the workers, leave positions in
 * the block, free everything of this process. Calls keeper_link_released() exactly once, later; the
 * device is gone then if err was 0. -EBUSY: something under way does not end in time; the device
 * stays. -ENOENT: it is being removed, and will be closed (HA_CLOSE).
 */
void device_release(struct device *dev);

/**
 * Bring the SF into line with what the driver has: for a device that has been taken up, or whose SF
 * is another one.
 */
void device_settle(struct device *dev);

/** The device is on its way to another process: commands on it answer VN_ERR_DEV_MIGRATING. */
bool device_migrating(const struct device *dev);

/**
 * Convert a block to the layouts of another version of the program, into a new memfd.
 *
 * @param want  layouts; sections that are not named stay as they are
 * @return 0; -ENOTSUP if a section's version is not known; -EBADMSG; -errno
 */
int device_block_convert(int fd, const struct ha_layout *want, unsigned int n_want, int *out_fd);
/** Layouts that this program writes. @return number, at most HA_LAYOUTS_MAX */
unsigned int device_block_layouts(struct ha_layout *out);

#endif /* APP_DEVICE_ADOPT_H */
