/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_VIRTQ_H
#define VRING_VIRTQ_H

/**
 * @file
 * Layout of a split and of a packed virtqueue in memory, under the names of virtio 1.2, 2.7
 * and 2.8. (The kernel's linux/virtio_ring.h has the same, and a struct vring that is not ours: the
 * two headers do not go together.)
 */

#include <stdbool.h>
#include <stdint.h>

/* Feature bits, as in linux/virtio_ring.h. */
#define VIRTIO_RING_F_INDIRECT_DESC 28
#define VIRTIO_RING_F_EVENT_IDX	    29

#define VIRTQ_DESC_F_NEXT	    1
#define VIRTQ_DESC_F_WRITE	    2
#define VIRTQ_DESC_F_INDIRECT	    4

#define VIRTQ_USED_F_NO_NOTIFY	    1
#define VIRTQ_AVAIL_F_NO_INTERRUPT  1

struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

/** Followed by used_event with VIRTIO_RING_F_EVENT_IDX. */
struct virtq_avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];
};

struct virtq_used_elem {
	uint32_t id;
	uint32_t len;
};

/** Followed by avail_event with VIRTIO_RING_F_EVENT_IDX. */
struct virtq_used {
	uint16_t flags;
	uint16_t idx;
	struct virtq_used_elem ring[];
};

/* Bits of a packed descriptor's flags, besides VIRTQ_DESC_F_* above (2.8.1). */
#define VIRTQ_DESC_F_AVAIL (1 << 7)
#define VIRTQ_DESC_F_USED  (1 << 15)

/* How notifications are wanted (2.8.10). */
#define RING_EVENT_FLAGS_ENABLE	 0
#define RING_EVENT_FLAGS_DISABLE 1
#define RING_EVENT_FLAGS_DESC	 2	   /**< VIRTIO_RING_F_EVENT_IDX: for one descriptor */
#define RING_EVENT_WRAP		 (1 << 15) /**< in off_wrap */

/** One descriptor of a packed ring: available as the driver writes it, used as the device does. */
struct pvirtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id;
	uint16_t flags;
};

/** Driver area and device area of a packed ring. */
struct pvirtq_event_suppress {
	uint16_t off_wrap; /**< descriptor's place in the ring and wrap counter */
	uint16_t flags;
};

/** Has an index that went from `before` to `now` passed the other side's event? (2.7.7.2) */
static inline bool
virtq_need_event(uint16_t event, uint16_t now, uint16_t before)
{
	return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

#endif /* VRING_VIRTQ_H */
