/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Dirty log of a live migration. */

#include "vring/packed_ring.h"
#include "vring/split_ring.h"

void
ring_log(const struct vring *vr, uint64_t addr, uint64_t len)
{
	const struct vring_log *log = vr->log;
	uint64_t last;

	if (len == 0)
		return;
	/* Where the used ring is logged is the client's word. */
	last = (len - 1 > UINT64_MAX - addr ? UINT64_MAX : addr + len - 1) / VRING_LOG_PAGE;
	/* Whoever finds the bit set copies the page afterwards, so the page must be written. */
	for (uint64_t page = addr / VRING_LOG_PAGE; page <= last && page / 8 < log->size; page++)
		__atomic_fetch_or(
			&log->bits[page / 8], (uint8_t)(1u << page % 8), __ATOMIC_RELEASE);
}

void
split_log(const struct vring *vr, uint16_t n)
{
	const uint64_t entries = vr->used_log_addr + offsetof(struct virtq_used, ring);

	for (uint16_t i = 1; i <= n; i++)
		ring_log(vr,
			entries + (size_t)((vr->used_idx - i) & vr->mask) *
					  sizeof(struct virtq_used_elem),
			sizeof(struct virtq_used_elem));
	ring_log(vr, vr->used_log_addr + offsetof(struct virtq_used, idx), sizeof(vr->used->idx));
}

void
packed_log(const struct vring *vr)
{
	for (uint16_t i = 0; i < vr->rec->shadow_n; i++)
		ring_log(vr, vr->desc_iova + vr->rec->shadow[i].slot * sizeof(struct pvirtq_desc),
			sizeof(struct pvirtq_desc));
}

void
ring_log_areas(const struct vring *vr)
{
	if (vr->packed) {
		ring_log(vr, vr->desc_iova, PACKED_DESC_SIZE(vr->size));
		ring_log(vr, vr->used_log_addr, PACKED_EVENT_SIZE);
	} else {
		ring_log(vr, vr->used_log_addr, SPLIT_USED_SIZE(vr->size));
	}
}
