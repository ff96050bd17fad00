/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_SF_TAP_TAP_H
#define DRIVERS_SF_TAP_TAP_H

/**
 * @file
 * Inside of the SF driver "tap": a multi-queue kernel TAP whose queues speak virtio-net headers.
 *
 * tap.c has the life of the device (helper thread), tap_queues.c its queues (helper thread),
 * tap_rxtx.c its packets (workers), tap_link.c what is said to the kernel over netlink and in which
 * network namespace.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <rte_common.h>
#include <rte_mbuf.h>

#include "sf/sf.h"

#define TAP_DEVICE  "/dev/net/tun"
#define TAP_HDR_LEN 12u	  /**< struct virtio_net_hdr_mrg_rxbuf */
#define TAP_MTU_MAX 9216u /**< largest MTU of a device */
#define TAP_L2_LEN  22u	  /**< Ethernet header and two VLAN tags: not part of the MTU */
/**
 * Segments that hold a frame of the largest MTU: 2 KiB each, the header takes part of the first.
 */
#define TAP_RX_SEGS 5u
/** Largest segment that the kernel hands over, with its header: 64 KiB of IP and TAP_L2_LEN. */
#define TAP_LARGE_MAX (TAP_HDR_LEN + TAP_L2_LEN + 65535u)
/** Segments that hold one, and a byte more, of the smallest mbufs that hold a frame of the largest
 * MTU. Of 2 KiB, 33 do. */
#define TAP_LARGE_SEGS 36u
/** Frames, none of them large, after which a queue no longer reckons with large ones. */
#define TAP_LARGE_HOLD 64u
/** Pieces of a sent packet: 64 KiB in 2 KiB mbufs are 33. */
#define TAP_TX_SEGS 64u

/** One pair. Used by its worker, or by the helper thread while no worker does. */
struct tap_queue {
	int fd;	       /**< -1: not opened yet */
	bool attached; /**< helper: the kernel gives it frames. Unknown after an adoption */
	/* written by the helper, at any time */
	uint32_t rx_caps;
	bool large; /**< large segments may come: asked for since there were no frames at all */
	/* what the segments are laid out for */
	uint16_t mtu; /**< 0: not laid out yet */
	bool spills;  /**< as large */
	bool wide;    /**< for large segments as a whole */
	/* the layout */
	uint8_t n_segs;	   /**< segments that a frame may need */
	uint8_t n_used;	   /**< segments at the start of ready[] that went with the last frame */
	uint8_t hold;	   /**< frames until it is narrow again */
	uint32_t room;	   /**< bytes of all segments */
	uint32_t mtu_room; /**< bytes of those that a frame of the MTU needs */
	struct rte_mempool *pool;
	/** Kept from one read to the next: an empty read costs nothing. */
	struct rte_mbuf *ready[TAP_LARGE_SEGS];
	struct iovec iov[TAP_LARGE_SEGS + 1];
	struct sf_queue_stats stats; /**< written by the worker only */
} __rte_cache_aligned;

struct tap {
	struct sf sf;
	struct rte_mempool *pool;
	uint16_t mtu;	/**< written by the helper, taken up by each queue's worker */
	uint16_t pairs; /**< that carry packets; queue 0 stays attached without any, the kernel
			   needs one */
	uint32_t rx_caps;
	bool link_up; /**< administrative */
	bool kernel_ipv6;
	bool adopted; /**< and not looked at since: another process may have died in set_queues() */
	struct tap_queue queues[]; /**< sf.max_pairs */
};

/* tap_queues.c */

/**
 * Open a queue of the TAP called name. The first makes the interface, which must not be there yet;
 * the others belong to one that must be.
 * @return descriptor; -errno, -EEXIST if the first finds its name taken
 */
int tap_queue_open(const char *name, bool first);
int tap_carrier_set(struct tap *t, bool on);
/**
 * Tell the kernel what packets may ask for: rx_caps as far as it knows them. (USO needs Linux 6.2,
 * and both kinds together.)
 * @return 0; -errno
 */
int tap_offload_set(struct tap *t, uint32_t rx_caps);
/** A queue is told, too. */
void tap_queue_caps(struct tap_queue *q, uint32_t rx_caps);
/** struct sf_ops.set_queues */
int tap_set_queues(struct sf *sf, uint16_t pairs, uint32_t rx_caps);

/* tap_rxtx.c */

/** Can the pool's mbufs hold frames of TAP_MTU_MAX in TAP_RX_SEGS segments? */
bool tap_pool_fits(struct rte_mempool *pool);
/** Give back the segments kept for the next read. */
void tap_queue_release(struct tap_queue *q);
uint16_t tap_rx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
bool tap_rx_wait(struct sf *sf, uint16_t queue);
uint16_t tap_tx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);

/* tap_link.c */

struct tap_link {
	const struct rte_ether_addr *mac; /**< NULL: leave */
	uint16_t mtu;			  /**< 0: leave */
	bool no_ipv6;			  /**< no kernel IPv6 addresses */
};

/**
 * Go to the network namespace where the TAP of a queue's descriptor is now: a user may have moved
 * it. Changes the calling thread only.
 * @return descriptor of the thread's own namespace for tap_ns_leave(), or -1 if it is there already
 */
int tap_ns_enter(int tun_fd);
void tap_ns_leave(int own_ns);
/**
 * The TAP's interface index in its present namespace, under whatever name. @return 0 if it is gone
 */
int tap_link_index(int tun_fd);
/** Change an interface of the present namespace. May block. @return 0; -errno */
int tap_link_set(int ifindex, const struct tap_link *link);
/**
 * Keep the kernel's IPv6 off an interface, before it is up.
 * A kernel without IPv6 and a read-only /proc/sys (containers) are no errors.
 */
void tap_link_no_ipv6(int ifindex);

#endif /* DRIVERS_SF_TAP_TAP_H */
