/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_FAULT_FRAME_H
#define TEST_FAULT_FRAME_H

/**
 * @file
 * Numbered, checksummed test frames.
 *
 * UDP in IPv4, because a multi-queue TAP steers by flow: a device's stream i sends on queue pair i
 * with the port of i, and what comes back with that port is steered to pair i. No stack answers
 * them: the far side has neither the address nor the MAC.
 */

#include <stdint.h>

#define FRAME_MIN 60u
#define FRAME_MAX 1514u

enum frame_dir {
	FRAME_TX, /**< driver to wire */
	FRAME_RX, /**< wire to driver */
	FRAME_DIRS,
};

struct frame_info {
	uint8_t dir; /**< enum frame_dir */
	uint8_t device;
	uint16_t stream;
	uint32_t seq;
	uint32_t stamp; /**< microseconds of the sender's clock, wrapping */
};

/** Length of the frame with a number: all of FRAME_MIN..FRAME_MAX, short ones more often. */
uint32_t frame_len(const struct frame_info *info);

/** Write a frame of frame_len() bytes. mac: of the device. @return its length */
uint32_t frame_make(uint8_t *buf, const struct frame_info *info, const uint8_t mac[6]);

/** Make a frame in a buffer that must not be sent any more fail its check. */
void frame_spoil(uint8_t *buf);

/** @return 0; -ENOMSG not one of ours; -EBADMSG one of ours, but its bytes are not what was made */
int frame_check(const uint8_t *buf, uint32_t len, struct frame_info *info);

#endif /* TEST_FAULT_FRAME_H */
