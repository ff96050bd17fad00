/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_SF_ETHDEV_ETHDEV_H
#define DRIVERS_SF_ETHDEV_ETHDEV_H

/**
 * @file
 * Inside of the SF driver "ethdev": any port that DPDK has a driver for.
 *
 * ethdev.c has the life of the SF, ethdev_args.c what a user says of it, ethdev_probe.c how its
 * port comes and goes, ethdev_names.c what must not be there already, ethdev_port.c the port's
 * queues, MTU and link (all helper thread), ethdev_rxtx.c the packets (workers), ethdev_offload.c
 * virtio-net headers <-> mbuf flags.
 *
 * A port's queues can be changed while it is stopped only, and its workers go on polling meanwhile.
 * Each queue has a gate for that: a worker passes it for each burst, the helper closes it and waits
 * until the worker is out. To pass costs two plain stores and a load, for the helper has the kernel
 * put the memory barrier into the other threads (membarrier(2)).
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_common.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include "sf/sf.h"

/** A template that has been filled in. Templates have to fit virtnet.conf, names get longer. */
#define ETHDEV_DEVARGS_MAX 768u
/** Ethernet header and two VLAN tags: not part of the MTU. */
#define ETHDEV_L2_LEN  22u
#define ETHDEV_MTU_MAX 9216u /**< largest MTU of a device */
/** Descriptors of a queue unless the PMD or the user says: 8 bursts. */
#define ETHDEV_DESC_DEFAULT 256u
/** Stale packets thrown away per queue at most: more than rings hold. Generators have no end.
 */
#define ETHDEV_DRAIN_MAX 4096u

extern int ethdev_logtype;
#define ETHDEV_LOG(level, ...) rte_log(RTE_LOG_##level, ethdev_logtype, __VA_ARGS__)

/** platform.sf_args */
struct ethdev_args {
	uint16_t rx_desc, tx_desc; /**< 0: as the PMD likes */
	bool poll;		   /**< no receive interrupts */
	bool uso;	  /**< the port's UDP_TSO makes datagrams of segments, not fragments */
	const char *tmpl; /**< devargs; within sf_params.args */
};

/** One pair. The worker's, but for `open`. */
struct ethdev_queue {
	_Atomic bool open;   /**< the helper's: workers may pass */
	_Atomic bool inside; /**< the worker's: it has passed */
	bool armed;	     /**< the receive interrupt is on */
	bool has_counter;    /**< intr_fd is an eventfd, which stays readable until it is read */
	int wait_fd;	     /**< epoll set of intr_fd: the same for good, unlike that */
	int intr_fd;	     /**< the PMD's, -1: none */
	struct sf_queue_stats stats;
} __rte_cache_aligned;

struct ethdev {
	struct sf sf;
	uint16_t port;
	uint16_t pairs;	   /**< that carry packets; > 0: the port is started */
	bool fence;	   /**< no membarrier(2): workers have to make the barrier themselves */
	bool link_up;	   /**< administrative */
	_Atomic bool gone; /**< INTR_RMV */
	_Atomic uint32_t rx_caps; /**< SF_CAP_RX_* that packets may be delivered with */
	uint64_t tx_offloads;	  /**< RTE_ETH_TX_OFFLOAD_* in force */
	/* helper */
	uint16_t mtu;
	bool watched; /**< callbacks are registered */
	struct rte_mempool *pool;
	struct ethdev_args args;
	struct rte_eth_dev_info info;
	char devargs[ETHDEV_DEVARGS_MAX];
	struct ethdev_queue queues[]; /**< sf.max_pairs */
};

/** The port is a kernel TAP of its own: the one PMD that needs to be known by its name. */
static inline bool
ethdev_is_net_tap(const struct rte_eth_dev_info *info)
{
	return info->driver_name != NULL && strcmp(info->driver_name, "net_tap") == 0;
}

/* ethdev_args.c */

/** @return 0; -EINVAL, err gets a sentence */
int ethdev_args_parse(const char *text, struct ethdev_args *args, char *err, size_t err_len);
/** Fill in a template. @return 0; -EINVAL, err gets a sentence */
int ethdev_args_expand(const char *tmpl, const struct sf_params *params, char *buf, size_t len,
	char *err, size_t err_len);

/* ethdev_names.c */

/** Has somebody else a name that the port of `devargs` is to take? err gets a sentence. */
bool ethdev_names_taken(const char *devargs, char *err, size_t err_len);

/* ethdev_probe.c */

/**
 * Probe the port of `devargs` and make it ours.
 * @return 0; -ENOSPC DPDK has no room for another port; -EEXIST in use; -EBUSY it cannot be probed
 * (now); -EINVAL; err gets a sentence
 */
int ethdev_probe(const char *devargs, uint16_t *port, char *err, size_t err_len);
/** Close the port and have its device removed, if it has no other port. */
void ethdev_remove(uint16_t port);

/* ethdev_port.c */

/** Largest MTU that the port takes at all. */
uint16_t ethdev_port_mtu_max(const struct ethdev *e);
/** Does the port take this MTU with our mbufs? */
bool ethdev_mtu_fits(const struct ethdev *e, uint16_t mtu);
/**
 * Configure the stopped port for so many pairs, to see that it can be. Its queues are set up when
 * it is started.
 * @return 0; -errno
 */
int ethdev_port_configure(struct ethdev *e, uint16_t pairs);
/** Have link changes and the removal of the port noticed. */
void ethdev_port_watch(struct ethdev *e);
void ethdev_port_unwatch(struct ethdev *e);
/** struct sf_ops */
int ethdev_set_queues(struct sf *sf, uint16_t pairs, uint32_t rx_caps);
int ethdev_set_mtu(struct sf *sf, uint16_t mtu);
int ethdev_set_link(struct sf *sf, bool up);

/* ethdev_rxtx.c */

/** Have the gates work. Once per SF, before there are workers. */
void ethdev_gates_init(struct ethdev *e);
/** No worker is inside of the port's queues any more, nor comes in. */
void ethdev_gates_close(struct ethdev *e);
void ethdev_gates_open(struct ethdev *e, uint16_t pairs);
/** Throw away what a queue has received. Its gate is closed. */
void ethdev_queue_drain(struct ethdev *e, uint16_t queue);
uint16_t ethdev_rx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
uint16_t ethdev_tx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
bool ethdev_rx_wait(struct sf *sf, uint16_t queue);

/* ethdev_offload.c */

/** What of rx_offload_capa and tx_offload_capa is used. */
uint64_t ethdev_rx_offloads(const struct rte_eth_dev_info *info);
uint64_t ethdev_tx_offloads(const struct rte_eth_dev_info *info, bool uso);
/** The same as enum sf_cap. */
uint32_t ethdev_caps(uint64_t rx_offloads, uint64_t tx_offloads);
/**
 * A packet to be sent has a header (checked by net_hdr_tx_check()) that asks for something: say it
 * in mbuf flags, or do it. Worker.
 * @param tx_offloads  RTE_ETH_TX_OFFLOAD_* in force
 * @return 0; -EINVAL header and packet contradict each other
 */
int ethdev_tx_offload(struct rte_mbuf *m, uint64_t tx_offloads);
/**
 * A received packet whose mbuf flags say something of checksum or VLAN: put the packet in order and
 * say in its header what a driver may know. Worker.
 * @param hdr  of the packet, zeroed; it may have to move
 * @return 0; -EINVAL no room for what the port has taken out
 */
int ethdev_rx_offload(struct rte_mbuf **m, uint32_t rx_caps);
/** Flags that make ethdev_rx_offload() worth a call. */
#define ETHDEV_RX_FLAGS (RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_VLAN_STRIPPED)

#endif /* DRIVERS_SF_ETHDEV_ETHDEV_H */
