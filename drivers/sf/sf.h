/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_SF_SF_H
#define DRIVERS_SF_SF_H

/**
 * @file
 * SF driver: what carries a device's packets to its representor.
 *
 * A driver registers a struct sf_ops under a name with SF_DRIVER_REGISTER() and is known nowhere
 * else.
 *
 * Threads: functions marked "helper" may block and run on the controller's helper thread, one at a
 * time per SF, never while a worker uses what they take away. Functions marked "worker" run on the
 * lcore that owns the queue.
 *
 * Packets are mbufs with a struct virtio_net_hdr_mrg_rxbuf directly before their data
 * (lib/vring/vring.h).
 */

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "net/offload.h"
#include "registry.h"

/** Queue pairs of a device: 256 MSI-X vectors less configuration and control. */
#define SF_MAX_PAIRS 127u

/**
 * What the SF does itself with the virtio-net header: sets of enum net_offload, one per direction.
 *
 * SF_CAP_TX_*: what tx_burst() takes as it is; the rest is done in software before it gets a
 * packet. SF_CAP_RX_*: what the SF may deliver when asked to (set_queues()).
 */
#define SF_CAP_TX_SHIFT 16
enum sf_cap {
	SF_CAP_RX_CSUM = NET_OFFLOAD_CSUM, /**< NEEDS_CSUM or DATA_VALID */
	SF_CAP_RX_TSO4 = NET_OFFLOAD_TSO4,
	SF_CAP_RX_TSO6 = NET_OFFLOAD_TSO6,
	SF_CAP_RX_ECN = NET_OFFLOAD_ECN, /**< those two with GSO_ECN */
	SF_CAP_RX_USO4 = NET_OFFLOAD_USO4,
	SF_CAP_RX_USO6 = NET_OFFLOAD_USO6,
	SF_CAP_TX_CSUM = NET_OFFLOAD_CSUM << SF_CAP_TX_SHIFT,
	SF_CAP_TX_TSO4 = NET_OFFLOAD_TSO4 << SF_CAP_TX_SHIFT,
	SF_CAP_TX_TSO6 = NET_OFFLOAD_TSO6 << SF_CAP_TX_SHIFT,
	SF_CAP_TX_ECN = NET_OFFLOAD_ECN << SF_CAP_TX_SHIFT,
	SF_CAP_TX_USO4 = NET_OFFLOAD_USO4 << SF_CAP_TX_SHIFT,
	SF_CAP_TX_USO6 = NET_OFFLOAD_USO6 << SF_CAP_TX_SHIFT,
};
#define SF_CAP_RX_USO (SF_CAP_RX_USO4 | SF_CAP_RX_USO6)
#define SF_CAP_TX_USO (SF_CAP_TX_USO4 | SF_CAP_TX_USO6)
#define SF_CAP_RX     ((uint32_t)NET_OFFLOAD_ALL)
#define SF_CAP_TX     (SF_CAP_RX << SF_CAP_TX_SHIFT)

/** SF_CAP_TX_* of a mask as enum net_offload. (SF_CAP_RX_* are the same as they stand.) */
#define SF_TX_OFFLOADS(caps) (((caps)&SF_CAP_TX) >> SF_CAP_TX_SHIFT)

struct sf_params {
	uint32_t sf_num;	   /**< 1000.. */
	char rep[IFNAMSIZ];	   /**< name of the representor, e.g. en3f0pf0sf2000 */
	struct rte_ether_addr mac; /**< of the device; the representor's own differs */
	uint16_t mtu;
	uint16_t max_pairs;	  /**< queue pairs the device can have */
	struct rte_mempool *pool; /**< for received packets; data room >= 2 KiB */
	/** driver's own "key=value,..." from platform.sf_args, or NULL */
	const char *args;
};

struct sf_ops;

/** Head of every driver's own structure. */
struct sf {
	const struct sf_ops *ops;
	uint32_t caps;	 /**< enum sf_cap */
	int rep_ifindex; /**< of the representor, 0 if it has none */
	char rep[IFNAMSIZ];
	uint16_t max_pairs; /**< pairs the SF can really have, <= params */
};

struct sf_queue_stats {
	uint64_t rx_errors;  /**< frames that could not be read and are lost (truncated) */
	uint64_t rx_no_mbuf; /**< bursts that ended for want of mbufs; frames may wait */
	uint64_t tx_errors;  /**< frames refused */
};

/** What an SF was when its process ended, for adopt(). */
struct sf_state {
	uint16_t pairs;	  /**< that carried packets */
	uint32_t rx_caps; /**< as of the last set_queues() */
	bool link_up;
	int32_t rep_ifindex;
};

struct sf_ops {
	const char *name;
	/**
	 * helper.
	 * @return 0; -EEXIST representor name in use; -EBUSY what it needs is in use (both may be
	 * by a process that is on its way out); -EINVAL bad args; -errno. err gets a sentence
	 */
	int (*create)(const struct sf_params *params, struct sf **out, char *err, size_t err_len);
	/**
	 * helper. Removes the representor - as soon as nobody else holds its descriptors
	 * (descriptor()).
	 */
	void (*destroy)(struct sf *sf);
	/**
	 * Control lcore, must not block. The descriptor that keeps part `index` (0..max_pairs - 1)
	 * of the SF alive, for somebody else to hold while this process comes and goes. It stays
	 * the SF's. -1: none there (now). NULL: the driver has no such descriptors; its SFs are
	 * created anew.
	 */
	int (*descriptor)(struct sf *sf, unsigned int index);
	/**
	 * Control lcore, must not block (no netlink, no ioctl of the TAP: both wait for the
	 * kernel's lock). Take up an SF that another process has left, by its descriptors: as if
	 * create() and set_queues() had been called.
	 *
	 * The other process may have died within set_queues(): the next set_queues() of the adopted
	 * SF puts right what it left half done, so call it soon, also with the number that is in
	 * force. Frames in flight keep in the descriptors' queues.
	 *
	 * @param params  mtu: as last set; max_pairs and args as at create()
	 * @param fds  params->max_pairs entries as descriptor() gave them, -1: none; taken. NULL if
	 *             the driver has no descriptor()
	 * @return 0; -EINVAL; -ENOMEM; err gets a sentence, nothing was taken
	 */
	int (*adopt)(const struct sf_params *params, const struct sf_state *state, const int *fds,
		struct sf **out, char *err, size_t err_len);
	/**
	 * helper. Let go of an SF that another process takes over: frees what is this process's,
	 * changes nothing outside. NULL if there is no adopt().
	 */
	void (*release)(struct sf *sf);
	/**
	 * helper. Number of pairs that carry packets, 0..max_pairs. 0: no driver, the representor
	 * loses its carrier and whatever was queued is dropped. Growing attaches queues first;
	 * queues that go give back the mbufs they hold.
	 *
	 * @param rx_caps  SF_CAP_RX_*: what packets may ask their receiver for. The SF does the
	 *                 rest, and as much of this as it likes. Packets that wait in its queues
	 *                 may still come as the last call said; none outlives 0 pairs. What sf.caps
	 *                 lacks is ignored.
	 * @return 0; -errno (nothing changed)
	 */
	int (*set_queues)(struct sf *sf, uint16_t pairs, uint32_t rx_caps);
	/** helper. */
	int (*set_mtu)(struct sf *sf, uint16_t mtu);
	/** helper. Administrative link of the device: carrier of the representor. */
	int (*set_link)(struct sf *sf, bool up);
	/**
	 * worker. Up to n packets received; the caller owns them. Fewer than n, and even 0, do not
	 * say that none is left: without mbufs packets wait. The descriptor of rx_fd() says it.
	 */
	uint16_t (*rx_burst)(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
	/**
	 * worker. Takes all n packets; those it cannot send are freed and counted.
	 * @return packets sent
	 */
	uint16_t (*tx_burst)(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
	/**
	 * Any thread. Descriptor that is readable (POLLIN) as long as the queue has packets, those
	 * included that a burst left behind; -1: must be polled. Whoever waits for edges must look
	 * at the level before: packets that are there already make none.
	 */
	int (*rx_fd)(struct sf *sf, uint16_t queue);
	/**
	 * worker. NULL: nothing to do. The queue is about to be waited for by its descriptor, after
	 * one more rx_burst(): have packets that come from now on make it readable.
	 * @return false: packets are there that would not, poll on
	 */
	bool (*rx_wait)(struct sf *sf, uint16_t queue);
	/** Any thread. */
	void (*queue_stats)(struct sf *sf, uint16_t queue, struct sf_queue_stats *stats);
};

void sf_driver_register(struct driver *driver);
/** NULL if there is no driver of that name. */
const struct sf_ops *sf_driver_find(const char *name);
/** Names of all drivers, comma separated, for messages. */
void sf_driver_names(char *buf, size_t len);

#define SF_DRIVER_REGISTER(id, table) DRIVER_REGISTER(sf, id, table, sf_driver_register)

#endif /* DRIVERS_SF_SF_H */
