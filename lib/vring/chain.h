/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_CHAIN_H
#define VRING_CHAIN_H

/**
 * @file
 * Inside lib/vring: chains of any layout as lists of pieces. The way of everything that is not one
 * plain buffer.
 */

#include "vring/vring.h"

/**
 * Walk the chain that begins at descriptor `head` of a split ring; everything in it is checked and
 * translated.
 *
 * @param max  bytes, readable or writable, behind which the rest of the chain is not looked at:
 *	       nobody will use it. CHAIN_WHOLE: walk to the end.
 * @return 0; -1 the ring broke
 */
int split_gather(struct vring *vr, uint16_t head, uint32_t max, struct vring_chain *chain);

#define CHAIN_WHOLE UINT32_MAX

/** A place in a list of pieces. */
struct iov_cursor {
	const struct iovec *iov;
	uint32_t n; /**< pieces left, the current one included */
	size_t off; /**< in the current piece */
};

/** Copy out of, or into, the pieces from the cursor on; the cursor moves. @return bytes copied */
uint32_t iov_cursor_read(struct iov_cursor *cur, void *buf, uint32_t len);
uint32_t iov_cursor_write(struct iov_cursor *cur, const void *buf, uint32_t len);

#endif /* VRING_CHAIN_H */
