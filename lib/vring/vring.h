/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_VRING_H
#define VRING_VRING_H

/**
 * @file
 * Device side of a virtqueue (virtio 1.2, 2.6 "Virtqueues", 2.7 "Split Virtqueues", 2.8 "Packed
 * Virtqueues"). The driver's features say which of the two a ring is; users of this header need not
 * care.
 *
 * A vring is set up by the control lcore and then touched by its owning worker only (or, for the
 * control virtqueue, by the control lcore). Everything read from host memory is copied once,
 * checked, then used; an impossible descriptor or index stops the ring (vring_broken()) and never
 * the process.
 *
 * Packets travel as mbufs. By convention a `struct virtio_net_hdr_mrg_rxbuf` (12 bytes) stands
 * directly before the data of a packet's first mbuf (VRING_MBUF_HDR()); mbufs for it are allocated
 * with their data at VRING_MBUF_DATA_OFF so that header and first data byte share a cache line.
 *
 * The burst functions are generated from one inline body per (ring format x offloads x ...) and
 * chosen once by vring_burst_select() when the driver sets DRIVER_OK.
 *
 * A ring outlives its process (state/ring_record.h). Wherever that ends, the successor's
 * vring_start() goes on so that the driver gets each descriptor back exactly once:
 *
 *	ended after					transmit	receive
 *	chains taken, frames read			sent again	lost
 *	packets sent, frames copied into buffers	sent again	lost
 *	positions (packed: used entries) in the record	done: the successor stores the rest
 *	index, or first used entry, in the ring		done
 *
 * What may be sent twice or lost is what the burst under way had: VRING_BURST packets at most.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <linux/virtio_net.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_mbuf.h>

#include "state/ring_record.h"
#include "vring/hostmem.h"
#include "vring/virtq.h"

#if RTE_BYTE_ORDER != RTE_LITTLE_ENDIAN
#error "rings are little-endian in memory and are read as they stand"
#endif

#define VRING_MAX_SIZE	32768u /**< entries, virtio 1.2 2.7 */
#define VRING_MAX_CHAIN 1024u  /**< descriptors of one chain: what Linux and QEMU allow */
#define VRING_AREAS	3u     /**< descriptors, driver's, device's */
#define VRING_BURST	32u    /**< packets per call of a burst function, at most */
/**
 * Descriptors per call, more or less: two chains of the greatest length. With indirect tables a
 * driver pays one index store for VRING_BURST such chains, and we would read 32768 descriptors
 * while the worker's other queues wait. Ordinary drivers stay below: Linux' longest chains have 19.
 */
#define VRING_BURST_WORK    (2u * VRING_MAX_CHAIN)
#define VRING_MBUF_DATA_OFF (RTE_PKTMBUF_HEADROOM + sizeof(struct virtio_net_hdr_mrg_rxbuf))
#define VRING_MBUF_HDR(m)                                                                          \
	((struct virtio_net_hdr_mrg_rxbuf *)(rte_pktmbuf_mtod(m, uint8_t *) -                      \
					     sizeof(struct virtio_net_hdr_mrg_rxbuf)))
/** Largest packet of a driver: a 64 KiB segment with Ethernet and VLAN. */
#define VRING_MAX_PACKET 65562u

/** Why a ring was stopped. */
enum vring_error {
	VRING_OK = 0,
	/** available index ahead by more than the ring holds; head or next out of range */
	VRING_ERR_INDEX,
	/** loop, too long, readable after writable, too short for the header */
	VRING_ERR_CHAIN,
	/** indirect table not negotiated, nested, or of a length that is no multiple of 16 */
	VRING_ERR_INDIRECT,
	/** a buffer or an indirect table outside the client's memory */
	VRING_ERR_ADDRESS,
};

/**
 * Dirty log of a live migration: a bit per VRING_LOG_PAGE bytes of guest address, set for whatever
 * the device writes in guest memory (buffers, used entries, event suppression) after it is written.
 * The owner keeps the memory for as long as a ring has the log; several rings may share it.
 */
struct vring_log {
	uint8_t *bits;
	uint64_t size; /**< bytes; what is written beyond what they cover is not logged */
};
#define VRING_LOG_PAGE 4096u /**< of vhost's log, whatever the guest's pages are */
/**
 * Among the negotiated features: bursts are to write the log (vhost's own bit; none that a driver
 * could accept).
 */
#define VRING_F_LOG_ALL 26

struct vring_conf {
	uint16_t size;	   /**< entries; split: a power of two */
	uint64_t features; /**< negotiated device features (VIRTIO_*_F_* bits) */
	uint64_t desc;	   /**< IOVA of descriptor area */
	uint64_t driver;   /**< IOVA of driver area (split: available ring; packed: event) */
	uint64_t device;   /**< IOVA of device area (split: used ring; packed: event) */
	struct hostmem *hm;
	/** positions: taken up if record->running, else zero; a device reset clears `running` */
	struct ring_record *record;
	/** NULL: none. Otherwise VRING_F_LOG_ALL must be among the features, here and for
	 * vring_burst_select(). */
	const struct vring_log *log;
	/** Guest address under which the device area is logged. (A packed ring's descriptors, which
	 * the device writes as well, are logged under `desc`.) */
	uint64_t used_log_addr;
};

struct vring {
	/* read-mostly, hot */
	union {
		struct virtq_desc *desc;
		struct pvirtq_desc *pdesc; /**< packed: the ring itself */
	};
	union {
		struct virtq_avail *avail;
		struct pvirtq_event_suppress *driver_event; /**< packed */
	};
	union {
		struct virtq_used *used;
		struct pvirtq_event_suppress *device_event; /**< packed */
	};
	const struct hostmem_table *table;
	uint64_t table_gen;
	struct ring_record *rec;
	uint16_t mask; /**< split */
	uint16_t size;
	uint8_t hdr_len; /**< 12; 10 for a legacy driver, 20 with VIRTIO_NET_F_HASH_REPORT */
	bool packed;
	uint8_t indirect;
	uint8_t error; /**< enum vring_error */
	/* written per burst; packed: slot and wrap counter */
	uint16_t avail_idx;    /**< next entry to take */
	uint16_t used_idx;     /**< next entry to write */
	uint16_t avail_cached; /**< split: last available index read */
	uint16_t taken;	       /**< packed: chains taken and not given back */
	uint16_t shadow_n;     /**< packed: used entries that stand in the shadow for them */
	uint16_t seen;	       /**< packed: chains from avail_idx on that were counted ... */
	uint16_t seen_idx;     /**< ... and where they end, if there are any */
	bool seen_wrap;
	bool avail_wrap;
	bool used_wrap;
	bool kicks_are_off;	 /**< as the driver was told last */
	bool signalled_valid;	 /**< signalled_used means something (not right after start) */
	uint16_t signalled_used; /**< split: used index at the last interrupt decision */
	uint32_t unsignalled;	 /**< packed: slots used since then */
	uint8_t spec;		 /**< which variant of the burst functions serves it (burst.h) */
	uint8_t event_idx;
	uint16_t span; /**< chains that a large received packet took of late */
	struct hostmem_hint hint;
	struct hostmem_hint desc_hint; /**< for indirect tables */
	/* cold */
	uint16_t last_taken;  /**< packed: slots of the chain that was popped last */
	uint16_t short_looks; /**< of vring_rx_room(), since there was room */
	const struct vring_log *log;
	uint64_t used_log_addr;
	struct hostmem *hm;
	/** areas whose pages lie scattered (hostmem_gather()), or NULL */
	uint8_t *gathered[VRING_AREAS];
	uint64_t features;
	uint64_t desc_iova, driver_iova, device_iova;
} __rte_cache_aligned;

/**
 * Host -> driver: copy packets into the driver's buffers (RX queue). A packet longer than its
 * buffer chain is dropped and counted, its chain stays available. With VIRTIO_NET_F_HASH_REPORT the
 * header tells what net_hash_get() (net/hash.h) has of a packet.
 *
 * With VIRTIO_NET_F_MRG_RXBUF a packet takes as many chains as it needs, which the driver sees all
 * at once; it is left with the caller as long as the driver has not made enough available. Only
 * what needs more than RING_RECORD_BURST of them, or more than the ring has entries, is dropped.
 *
 * @return packets consumed; they are freed. Fewer than n when n is more than VRING_BURST, the
 *         driver has no more buffers, its chains took VRING_BURST_WORK or the ring broke.
 */
typedef uint16_t (*vring_enqueue_t)(struct vring *vr, struct rte_mbuf **pkts, uint16_t n);

/**
 * Driver -> host: copy packets out of the driver's buffers (TX queue) into mbufs of pool mp (an
 * ordinary packet pool: mbufs with data of their own). When the pool runs dry, or the chains took
 * VRING_BURST_WORK, the rest stays in the ring. A packet that has a bad virtio-net header or is
 * longer than VRING_MAX_PACKET is dropped and counted, its chain taken all the same.
 *
 * The driver gets nothing back before vring_tx_complete(). Chains may have been taken
 * (vring_tx_taken()) when no packet has.
 *
 * @return packets stored in pkts. The caller owns them.
 */
typedef uint16_t (*vring_dequeue_t)(
	struct vring *vr, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n);

struct vring_burst {
	const char *name; /**< e.g. "split", "split offload": shown by the debug command */
	vring_enqueue_t enqueue;
	vring_dequeue_t dequeue;
};

/** Chains that were taken by vring_burst.dequeue and not completed. */
static inline uint16_t
vring_tx_taken(const struct vring *vr)
{
	return vr->packed ? vr->taken : (uint16_t)(vr->avail_idx - vr->used_idx);
}

/**
 * Give the driver back what vring_burst.dequeue took, chains of dropped packets included, also on a
 * ring that has broken since. To be called when the packets are with the SF: a process that ends
 * before has them sent once more by its successor, and none is lost. Once per burst (a successor
 * believes in no more than VRING_BURST chains whose index did not get out), before
 * vring_interrupt_wanted().
 */
void vring_tx_complete(struct vring *vr);

/** Burst functions for a set of negotiated features (and VRING_F_LOG_ALL); never NULL. */
const struct vring_burst *vring_burst_select(uint64_t features);

/**
 * Start a ring: translate its areas, take up its positions, ask for kicks.
 *
 * A ring that goes on from its record begins at the record's used_idx: chains that had been taken
 * but not given back are taken again, and counted as received once. Its first
 * vring_interrupt_wanted() says yes unless the driver wants none at all: nobody knows which
 * interrupts got out.
 *
 * An area whose pages lie scattered is mapped once more in one piece (hostmem_gather()). Control
 * lcore.
 *
 * @return 0; -EINVAL on a bad size or misaligned area; -EFAULT if an area is not mapped, or in
 *         pieces that do not meet at borders of pages; -ERANGE if record and ring do not fit
 *         together (one of the two is damaged): nothing was stored, the device needs a reset
 */
int vring_start(struct vring *vr, const struct vring_conf *conf);

/**
 * Leave the positions in the record (still `running`) and forget the areas. The owner must have let
 * go of the ring. May be called for a ring that was never started (all zero).
 */
void vring_stop(struct vring *vr);

/**
 * The position of a ring that is stopped, as vhost-user's GET_VRING_BASE gives it: split: the index
 * of the next entry; packed: that of the next available descriptor in bits 0-14, its wrap counter
 * in bit 15, the same for the next used one above. Nothing is on its way in a stopped ring, so both
 * are where the ring goes on. A ring that has never run is at its beginning.
 */
uint32_t vring_base(const struct ring_record *rec, uint64_t features);

/**
 * SET_VRING_BASE: the next vring_start() with this record goes on from there. Of a packed ring's
 * base the available position alone counts: clients leave the other half zero.
 */
void vring_base_set(struct ring_record *rec, uint64_t features, uint32_t base);

/**
 * Does [iova, iova + len) touch one of the ring's three areas? Control lcore, before an unmap.
 */
bool vring_uses(const struct vring *vr, uint64_t iova, uint64_t len);

/** The owner's first act of a burst: takes up a new host-memory snapshot if there is one. */
static inline void
vring_refresh(struct vring *vr)
{
	const struct hostmem_table *t = hostmem_table(vr->hm);

	vr->table = t;
	if (__builtin_expect(t->gen != vr->table_gen, 0)) {
		vr->table_gen = t->gen;
		vr->hint.len = 0;
		vr->desc_hint.len = 0;
	}
}

static inline bool
vring_broken(const struct vring *vr)
{
	return vr->error != VRING_OK;
}

const char *vring_strerror(enum vring_error err);

/**
 * Chains that the driver has made available and that were not taken yet, as far as a look at the
 * index tells. Of a packed ring VRING_BURST at most: each has to be looked at, once.
 */
uint16_t vring_avail_entries(struct vring *vr);

/**
 * Packets that may be read from the wire now, for vring_burst.enqueue to find buffers for them: the
 * chains available or, with VIRTIO_NET_F_MRG_RXBUF, so many of them as large packets took of late
 * go into each. A guess, since the next one may be larger. A driver that leaves its ring that empty
 * for long is given single packets all the same.
 */
uint16_t vring_rx_room(struct vring *vr);

/** Ask the driver not to kick (polling). */
void vring_kicks_off(struct vring *vr);

/**
 * Ask the driver to kick. Full fence, then a second look.
 * @return true if entries came meanwhile: the caller must go on polling
 */
bool vring_kicks_on(struct vring *vr);

/**
 * The same of a ring whose entries are too few for what is to go into it: ask for a kick when there
 * are more than the last look has found.
 * @return true if more came meanwhile
 */
bool vring_kicks_on_more(struct vring *vr);

/**
 * Does the driver want an interrupt for what was used since the last call (event index or
 * NO_INTERRUPT flag)? Includes the fence between the used index and the driver's event. Call once
 * per burst that used something.
 */
bool vring_interrupt_wanted(struct vring *vr);

/** One chain taken by vring_pop(), of any layout: for the control and admin virtqueues. */
struct vring_chain {
	uint16_t
		head; /**< what the used entry names: the first descriptor, or (packed) buffer id */
	uint16_t slots; /**< packed: descriptors that it takes in the ring */
	uint16_t n_out; /**< device-readable pieces, first in iov */
	uint16_t n_in;	/**< device-writable pieces, after them */
	uint16_t work;	/**< descriptors read, or pieces if those are more */
	uint32_t out_len;
	uint32_t in_len;
	struct iovec iov[VRING_MAX_CHAIN];
	uint64_t iova[VRING_MAX_CHAIN]; /**< the driver's address of each piece */
};

/**
 * Take the next chain.
 * @return 1 a chain; 0 none; -1 the ring broke
 */
int vring_pop(struct vring *vr, struct vring_chain *chain);

/** Put the chain taken last back, to be taken again by the next vring_pop(). */
void vring_unpop(struct vring *vr);

/** Give a chain back with `written` bytes in its writable pieces; in the order they were taken. */
void vring_push(struct vring *vr, const struct vring_chain *chain, uint32_t written);

/** Copy from the chain's readable pieces. @return bytes copied, fewer at the chain's end */
uint32_t vring_chain_read(
	const struct vring_chain *chain, uint32_t offset, void *buf, uint32_t len);

/** Copy to the chain's writable pieces. @return bytes copied, fewer at the chain's end */
uint32_t vring_chain_write(
	const struct vring_chain *chain, uint32_t offset, const void *buf, uint32_t len);

#endif /* VRING_VRING_H */
