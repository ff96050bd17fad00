/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_RING_COMMON_H
#define VRING_RING_COMMON_H

/**
 * @file
 * Inside lib/vring: what both formats of ring need.
 *
 * The driver may change its memory at any time: whatever is read from it is read exactly once, with
 * volatile or atomic loads that the compiler must not repeat.
 */

#include <stddef.h>

#include "state/fault_point.h"
#include "vring/vring.h"

/* What a variant of the burst functions is made for (burst.h). */
#define BURST_OFFLOAD  0x01u /**< headers are read, checked and passed on; else zeros both ways */
#define BURST_MERGE    0x02u /**< a received packet may take several chains */
#define BURST_IN_ORDER 0x04u /**< one used entry stands for all of a transmit burst */
#define BURST_PACKED   0x08u
#define BURST_LOG      0x10u /**< every write is noted in the dirty log */
#define BURST_HASH     0x20u /**< the header has a hash behind it; goes with BURST_OFFLOAD */
#define BURST_SPECS    0x40u

/** Stop the ring and count why. */
static inline void
vring_fail(struct vring *vr, enum vring_error err)
{
	vr->error = (uint8_t)err;
	vr->rec->stats.bad_desc_errors++;
	if (err == VRING_ERR_ADDRESS)
		vr->rec->stats.invalid_buffer++;
}

/* Tables of the driver's choosing may stand at any address. */
typedef uint64_t __attribute__((aligned(1), may_alias)) unaligned_u64;

/** Sixteen bytes of the driver's: a descriptor of the split format. */
static __rte_always_inline struct virtq_desc
split_desc_load(const void *at)
{
	const volatile unaligned_u64 *p = (const volatile unaligned_u64 *)at;
	const uint64_t addr = p[0], rest = p[1];

	return (struct virtq_desc){
		.addr = addr,
		.len = (uint32_t)rest,
		.flags = (uint16_t)(rest >> 32),
		.next = (uint16_t)(rest >> 48),
	};
}

/** The same of the packed format, in an indirect table. */
static __rte_always_inline struct pvirtq_desc
packed_desc_load(const void *at)
{
	const volatile unaligned_u64 *p = (const volatile unaligned_u64 *)at;
	const uint64_t addr = p[0], rest = p[1];

	return (struct pvirtq_desc){
		.addr = addr,
		.len = (uint32_t)rest,
		.id = (uint16_t)(rest >> 32),
		.flags = (uint16_t)(rest >> 48),
	};
}

/** Must what the device writes be logged? */
static __rte_always_inline bool
ring_logs(const struct vring *vr)
{
	return unlikely((vr->spec & BURST_LOG) != 0);
}

/** Note in the dirty log that guest memory from addr on was written. */
void ring_log(const struct vring *vr, uint64_t addr, uint64_t len);
/** The same of the last n used entries and the index; of the used entries in the shadow. */
void split_log(const struct vring *vr, uint16_t n);
void packed_log(const struct vring *vr);
/** The same of all that the device writes of a ring. */
void ring_log_areas(const struct vring *vr);

#endif /* VRING_RING_COMMON_H */
