/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_VRING_DRIVER_H
#define VRING_VRING_DRIVER_H

/**
 * @file
 * Driver side of a virtqueue, split or packed: what a guest does. For tests, benchmarks and
 * programs that drive a device themselves.
 *
 * Nothing is allocated here: the caller gives memory that the device can reach, at some IOVA, for
 * the ring (and its indirect tables), and an array for the driver's own bookkeeping. One thread per
 * ring. The device's answers are checked as a driver does that does not trust its device: an
 * impossible used entry breaks the ring.
 *
 * Chains are added, then published together; buffers are given as IOVAs and are not looked at. The
 * format follows from the features: VIRTIO_F_RING_PACKED, VIRTIO_F_IN_ORDER (the device may answer
 * for many chains at once), VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vring/virtq.h"

#define VRING_DRIVER_INDIRECT_MAX 64u /**< descriptors of one indirect table */

struct virtio_net_hdr_mrg_rxbuf;

/** One buffer, in the device's address space. */
struct vring_buf {
	uint64_t iova;
	uint32_t len;
};

/** A chain that came back. */
struct vring_used_chain {
	uint64_t token; /**< what the caller gave with the chain */
	uint32_t len;	/**< bytes written by the device */
};

/** The driver's note on a chain: at its first descriptor (split) or its buffer id (packed). */
struct vring_driver_slot {
	uint64_t token;
	uint32_t in_len; /**< bytes that the device may write, in all its buffers */
	uint16_t next;	 /**< free list; split: or the chain's next descriptor */
	uint16_t n;	 /**< descriptors of the chain in the ring; 0: no chain here */
};

struct vring_driver_conf {
	uint16_t size;	   /**< entries: a power of two unless packed */
	uint64_t features; /**< negotiated */
	uint8_t *va;	   /**< vring_driver_memory() bytes, aligned to 64; the ring is zeroed */
	uint64_t iova;	   /**< its address for the device, aligned likewise */
	struct vring_driver_slot *slots; /**< `size` entries */
};

struct vring_driver {
	/* split */
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	struct virtq_used *used;
	struct virtq_desc *indirect; /**< VRING_DRIVER_INDIRECT_MAX per descriptor, or NULL */
	/* packed */
	struct pvirtq_desc *ring;
	struct pvirtq_event_suppress *driver_event;
	const struct pvirtq_event_suppress *device_event;
	struct pvirtq_desc *pindirect;

	struct vring_driver_slot *slots;
	uint64_t indirect_iova;
	uint16_t size;
	uint16_t mask; /**< split */
	bool packed;
	bool in_order;
	bool event_idx;
	bool interrupts_off;
	bool broken;
	bool avail_wrap; /**< packed: wrap counters of the two positions */
	bool used_wrap;
	uint16_t free_head;
	uint16_t n_free;    /**< descriptors */
	uint16_t avail_idx; /**< next entry to write; split: published up to published_idx */
	uint16_t published_idx;
	uint16_t kicked_idx; /**< published index at the last vring_driver_kick_needed() */
	uint16_t used_idx;   /**< next entry to look at */
	/* packed: the first descriptor that is not published; its flags are stored last */
	bool held;
	uint16_t held_at;
	uint16_t held_flags;
	uint32_t unpublished; /**< packed: descriptors that the device does not see yet */
	uint32_t unkicked;    /**< packed: seen by it since the last vring_driver_kick_needed() */
	/* in order: a used entry stands for all chains from the oldest to its own */
	bool in_batch;
	uint16_t oldest;
	uint16_t batch_end;
	uint32_t batch_len;
	uint64_t desc_iova; /**< for the device's registers */
	uint64_t driver_iova;
	uint64_t device_iova;
};

/** Bytes that a ring takes, indirect tables included if negotiated. */
size_t vring_driver_memory(uint16_t size, uint64_t features);

/** @return 0; -EINVAL on a bad size or alignment */
int vring_driver_init(struct vring_driver *vd, const struct vring_driver_conf *conf);

/**
 * Add a chain: n_out buffers for the device to read, then n_in to write.
 *
 * @param indirect  put the descriptors in an indirect table (must be negotiated)
 * @return 0; -EINVAL without buffers or with too many; -ENOSPC if the ring is full
 */
int vring_driver_add(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out,
	uint16_t n_in, bool indirect, uint64_t token);

/**
 * Add up to n chains of one buffer each; tokens are the buffers' numbers, first_token upward.
 * @return chains added
 */
uint16_t vring_driver_add_burst(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n,
	bool in, uint64_t first_token);

/** Show the device what was added. */
void vring_driver_publish(struct vring_driver *vd);

/** Does the device want a kick for what was published since the last call? Includes the fence. */
bool vring_driver_kick_needed(struct vring_driver *vd);

/**
 * What a kick of queue number `index` says with VIRTIO_F_NOTIFICATION_DATA: where the driver writes
 * next, too (virtio 1.2, 2.9).
 */
uint32_t vring_driver_kick_data(const struct vring_driver *vd, uint16_t index);

/** Take back up to n used chains. @return number; 0 also when the ring is broken */
uint16_t vring_driver_get_burst(struct vring_driver *vd, struct vring_used_chain *used, uint16_t n);

/** The driver's view of the header at the beginning of a chain's first buffer. */
typedef const struct virtio_net_hdr_mrg_rxbuf *(*vring_driver_hdr_t)(void *arg, uint64_t token);

/**
 * Take back all chains of one received packet (VIRTIO_NET_F_MRG_RXBUF). A device shows them
 * together; less, or a number of buffers that cannot be, breaks the ring.
 *
 * @param used  the packet's chains, in its order
 * @param max   room in used
 * @return number of chains; 0: no packet, or the ring is broken
 */
uint16_t vring_driver_get_packet(struct vring_driver *vd, struct vring_used_chain *used,
	uint16_t max, vring_driver_hdr_t hdr, void *arg);

/** Ask the device not to interrupt. */
void vring_driver_interrupts_off(struct vring_driver *vd);

/**
 * Ask for an interrupt with the next used chain.
 * @return true if chains were used meanwhile: look again
 */
bool vring_driver_interrupts_on(struct vring_driver *vd);

#endif /* VRING_VRING_DRIVER_H */
