/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef STATE_RING_RECORD_H
#define STATE_RING_RECORD_H

/**
 * @file
 * Ring record: how far a virtqueue has got, kept outside guest memory and outside the process.
 *
 * Written by the queue's owning worker only. The split ring uses the positions alone: descriptors
 * complete in available order, so used_idx tells everything.
 *
 * A packed ring overwrites available descriptors with used ones. So a burst first stands here as a
 * list of (slot, id, len) with the position behind it (next_*); then `valid` is stored (release);
 * then the ring is written, the flags of the burst's first entry last; then the positions here
 * become the next ones and `valid` is cleared. A successor that finds `valid` set looks at the first
 * entry: as long as that is not used, the driver has seen nothing and all of the list is written
 * (again). Otherwise everything stands in the ring, and the driver may have made new descriptors of
 * it, which must not be touched. Either way it goes on from the next positions.
 */

#include <stdint.h>

#define RING_RECORD_VERSION 2
/**
 * Largest burst of completions: a large received packet whose buffers (VIRTIO_NET_F_MRG_RXBUF) are
 * as small as 128 bytes. The driver sees all of a packet's buffers at once, so one packet is one
 * burst.
 */
#define RING_RECORD_BURST   512u

/** Counters of one virtqueue; single writer, read by the control lcore. */
struct ring_stats {
	uint64_t packets;
	uint64_t bytes;
	uint64_t received_desc;	  /**< descriptor chains taken from the driver */
	uint64_t completed_desc;  /**< descriptor chains given back */
	uint64_t bad_desc_errors; /**< malformed descriptors or indices */
	uint64_t exceed_max_chain;
	uint64_t invalid_buffer; /**< buffers outside the client's DMA ranges */
	uint64_t no_buffer;	 /**< RX: packets dropped because the driver had posted none */
	uint64_t oversize;	 /**< RX: packets dropped because they did not fit into a chain */
	uint64_t sf_drops;	 /**< TX: packets that the SF did not take */
	uint64_t bad_header; /**< TX: packets dropped for an impossible virtio-net header or length
			      */
	uint64_t interrupts;
	uint64_t kicks;
};

/** A used entry of a packed ring. */
struct ring_shadow {
	uint16_t slot; /**< descriptor that it overwrites */
	uint16_t id;
	uint32_t len;
};

struct ring_record {
	/* positions */
	uint16_t avail_idx; /**< next available entry to take (split: free-running index) */
	uint16_t used_idx;  /**< next used entry to write */
	uint8_t avail_wrap; /**< packed: wrap counter of avail_idx */
	uint8_t used_wrap;  /**< packed: wrap counter of used_idx */
	uint8_t running;    /**< positions are meaningful */
	uint8_t valid;	    /**< packed: the shadow below must be rolled forward */
	/* packed: what holds after the shadow has been written */
	uint16_t shadow_n; /**< entries in the shadow */
	uint16_t next_used;
	uint8_t next_used_wrap;
	uint8_t reserved0;
	uint16_t signalled_used; /**< split: used_idx at the last interrupt decision */
	uint64_t next_completed; /**< stats.completed_desc */
	uint8_t reserved[40];
	struct ring_stats stats __attribute__((aligned(64)));
	struct ring_shadow shadow[RING_RECORD_BURST] __attribute__((aligned(64)));
} __attribute__((aligned(64)));

#endif /* STATE_RING_RECORD_H */
