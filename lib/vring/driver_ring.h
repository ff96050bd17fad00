/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_DRIVER_RING_H
#define VRING_DRIVER_RING_H

/**
 * @file
 * Inside lib/vring: what the driver side has for each ring format, behind vring_driver.h.
 *
 * Arguments have been checked: there are buffers, and there is room for them.
 */

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "vring/vring_driver.h"

#define DRIVER_AREA_ALIGN 64u

size_t split_driver_areas(uint16_t size);
void split_driver_init(struct vring_driver *vd, uint8_t *va, uint64_t iova);
void split_driver_add(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out,
	uint16_t n, bool indirect, uint64_t token);
uint16_t split_driver_add_burst(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n,
	bool in, uint64_t first_token);
void split_driver_publish(struct vring_driver *vd);
bool split_driver_kick_needed(struct vring_driver *vd);
uint16_t split_driver_get_burst(struct vring_driver *vd, struct vring_used_chain *used, uint16_t n);
void split_driver_interrupts_off(struct vring_driver *vd);
bool split_driver_interrupts_on(struct vring_driver *vd);

size_t packed_driver_areas(uint16_t size);
void packed_driver_init(struct vring_driver *vd, uint8_t *va, uint64_t iova);
void packed_driver_add(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out,
	uint16_t n, bool indirect, uint64_t token);
uint16_t packed_driver_add_burst(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n,
	bool in, uint64_t first_token);
void packed_driver_publish(struct vring_driver *vd);
/** Where the device will find the next chain: place and wrap counter. */
uint16_t packed_driver_published(const struct vring_driver *vd);
bool packed_driver_kick_needed(struct vring_driver *vd);
uint16_t packed_driver_get_burst(
	struct vring_driver *vd, struct vring_used_chain *used, uint16_t n);
void packed_driver_interrupts_off(struct vring_driver *vd);
bool packed_driver_interrupts_on(struct vring_driver *vd);

/** Bytes that a device may write in a chain's buffers. */
static inline uint32_t
driver_in_len(const struct vring_buf *bufs, uint16_t n_out, uint16_t n)
{
	uint64_t len = 0;

	for (uint16_t i = n_out; i < n; i++)
		len += bufs[i].len;
	return (uint32_t)RTE_MIN(len, UINT32_MAX);
}

/** Is there a chain at `id` that the device may say it has written len bytes to? */
static __rte_always_inline bool
driver_answer_fits(const struct vring_driver *vd, uint32_t id, uint32_t len)
{
	return likely(id < vd->size && vd->slots[id].n != 0 && len <= vd->slots[id].in_len);
}

/**
 * In order: the oldest chain, which the batch under way gives back. Of those before the last the
 * device says no more than that it has used them completely (virtio 1.2, 2.7.9, 2.8.11).
 */
static __rte_always_inline uint16_t
driver_batch_next(struct vring_driver *vd, struct vring_used_chain *used)
{
	const uint16_t at = vd->oldest;
	struct vring_driver_slot *slot = &vd->slots[at];
	const uint16_t n = slot->n;
	const uint32_t after = (uint32_t)at + n;

	vd->in_batch = at != vd->batch_end;
	used->token = slot->token;
	used->len = vd->in_batch ? slot->in_len : vd->batch_len;
	slot->n = 0;
	vd->oldest = (uint16_t)(after >= vd->size ? after - vd->size : after);
	vd->n_free += n;
	return n;
}

#endif /* VRING_DRIVER_RING_H */
