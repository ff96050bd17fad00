/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_CHAIN_H
#define VRING_CHAIN_H

/**
 * @file
 * Inside lib/vring: chains of any layout as lists of pieces. The way of everything that is not
 * plain (burst.h).
 */

#include "vring/packed_ring.h"
#include "vring/split_ring.h"

/**
 * Walk the chain that begins at descriptor `at`; everything in it is checked and translated.
 *
 * @param n    packed: its descriptors in the ring, 0: more than there can be
 * @param max  bytes, readable or writable, behind which the rest of the chain is not looked at:
 *	       nobody will use it. CHAIN_WHOLE: walk to the end.
 * @return 0; -1 the ring broke
 */
int chain_gather(
	struct vring *vr, uint16_t at, uint16_t n, uint32_t max, struct vring_chain *chain);

#define CHAIN_WHOLE UINT32_MAX

/** Note in the dirty log, if there is one, that the first len writable bytes were written. */
void chain_log(const struct vring *vr, const struct vring_chain *chain, uint32_t len);

/** A place in a list of pieces. */
struct iov_cursor {
	const struct iovec *iov;
	uint32_t n; /**< pieces left, the current one included */
	size_t off; /**< in the current piece */
};

/** Copy out of, or into, the pieces from the cursor on; the cursor moves. @return bytes copied */
uint32_t iov_cursor_read(struct iov_cursor *cur, void *buf, uint32_t len);
uint32_t iov_cursor_write(struct iov_cursor *cur, const void *buf, uint32_t len);

/** vring_push() */
static inline void
chain_push(struct vring *vr, const struct vring_chain *chain, uint32_t written)
{
	chain_log(vr, chain, written);
	if (vr->packed) {
		packed_shadow_set(vr, 0, vr->used_idx, chain->head, written);
		vr->shadow_n = 1;
		FAULT_POINT("vring.chain.handled");
		packed_record(vr, 1, packed_ahead(vr, packed_used_at(vr), chain->slots));
		FAULT_POINT("vring.chain.recorded");
		packed_show(vr);
	} else {
		split_used_set(vr, vr->used_idx, chain->head, written);
		FAULT_POINT("vring.chain.handled");
		split_record(vr, 1);
		FAULT_POINT("vring.chain.recorded");
		split_show(vr, 1);
	}
	FAULT_POINT("vring.chain.published");
}

#endif /* VRING_CHAIN_H */
