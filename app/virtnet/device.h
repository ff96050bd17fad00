/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_H
#define APP_DEVICE_H

/**
 * @file
 * A virtio-net device: a function at a transport, an SF, queue pairs on workers. Control lcore
 * only.
 *
 * Life: device_hotplug() -> SF is created (helper) -> function is set up -> host plugs it -> live.
 * device_unplug() -> host lets go -> workers let go -> SF is destroyed (helper) -> gone.
 *
 * Anything that changes what workers use goes through device_quiesce() (device_run.c): withdraw the
 * pairs, wait for a grace period, change, publish again.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <rte_ether.h>

#include "controller.h"
#include "ctrl_vq.h"
#include "log.h"
#include "qpair.h"
#include "state/state.h"

#define DEVICE_STATE_VERSION 1
#define DEVICE_VUID_LEN	     64

/** What the operator asked for. */
struct device_conf {
	const struct config_port *port;
	struct rte_ether_addr mac;
	uint16_t mtu;
	uint16_t max_pairs;
	uint16_t max_queue_size;
	uint32_t sf_num; /**< 0: first free */
	uint64_t features;
	unsigned int host; /**< index of config.host */
	bool intx_only;
};

/** Plain state of a device beside its registers, section STATE_SEC_DEVICE. */
struct device_state {
	char vuid[DEVICE_VUID_LEN];
	uint32_t sf_num;
	uint16_t pf_id;
	uint16_t pairs;	     /**< enabled by VIRTIO_NET_CTRL_MQ */
	uint8_t mac[6];	     /**< permanent */
	uint8_t ctrl_mac[6]; /**< set by the driver */
	uint16_t mtu;
	uint8_t rx_mode; /**< bit per VIRTIO_NET_CTRL_RX_* */
	uint8_t reserved[9];
};

enum device_phase {
	DEVICE_CREATING, /**< SF or function under way */
	DEVICE_PLUGGING, /**< host is plugging it */
	DEVICE_LIVE,
	DEVICE_UNPLUGGING, /**< waiting for the host */
	DEVICE_REMOVING,   /**< waiting for workers or the SF */
};

/** Who may touch the pairs. */
enum device_pairs {
	PAIRS_HERE, /**< the control lcore */
	PAIRS_WITH_WORKERS,
	PAIRS_COMING_BACK, /**< withdrawn, until the grace period is over: nobody */
};

/** End of device_hotplug() or device_unplug(): err is 0 or a vn_error or -errno, text a sentence.
 */
typedef void (*device_done_t)(void *arg, struct device *dev, int err, const char *text);

STAILQ_HEAD(device_steps, device_step);

struct device {
	TAILQ_ENTRY(device) next;
	struct controller *ctl;
	struct device_conf conf;
	enum device_phase phase;

	/* identity */
	uint16_t pf_id;
	uint8_t slot; /**< switch port, from 0 */
	char vuid[DEVICE_VUID_LEN];
	char bdf[HOST_BDF_LEN];
	struct bdf_query *bdf_query; /**< the host is being asked for it */
	char plug_id[DEVICE_VUID_LEN + 16];
	char socket[CONFIG_PATH_LEN];

	/* parts */
	struct sf *sf;
	struct state_block *block;
	struct device_state *state;
	struct ring_record *records;
	struct hostmem *hm;
	struct virtio_dev *vdev;
	struct emu *emu;

	/* running (device_run.c) */
	struct qpair **pair; /**< conf.max_pairs entries, NULL: not there */
	bool started;	     /**< DRIVER_OK, and the SF has its queues */
	enum device_pairs pairs_are;
	bool dma_on;
	bool waits_for_memory;		/**< a ring cannot run until its memory is mapped again */
	struct sf_change *sf_wanted;	/**< device_sf.c: to be carried out next */
	bool sf_busy;			/**< a change is with the helper */
	bool sf_used;			/**< the SF has been given queues since the last stop */
	int step_err;			/**< of a step of device_quiesce() */
	uint64_t unmap_iova, unmap_len; /**< of the DMA_UNMAP under way */
	uint32_t run;			/**< counts starts, to tell late answers of the helper */
	uint32_t client;		/**< counts disconnects */
	bool warned_unshared;		/**< told this client's operator to share memory */
	struct device_steps steps;	/**< to be done after the grace period under way */
	struct event *retry_timer;	/**< device_fault.c */
	struct ctrl_vq ctrl;

	struct log_limit log_limit; /**< of lines that its host can cause */

	/* hotplug or unplug under way */
	device_done_t done;
	void *done_arg;
	bool unplug_force;
	struct event *unplug_timer; /**< waiting for the host to close its connection */
};

/**
 * Create a device and plug it into its host. `done` is called exactly once, later.
 * @return 0; a vn_error (done is not called), text then holds a sentence
 */
int device_hotplug(struct controller *c, const struct device_conf *conf, device_done_t done,
	void *arg, char *text, size_t text_len);

/**
 * Have the host let go of a device, then destroy it. `done` is called exactly once, later; with err
 * 0 the device is about to be freed.
 * @return 0; a vn_error (done is not called)
 */
int device_unplug(struct device *dev, bool force, device_done_t done, void *arg);

/** Destroy without asking the host (controller stops). */
void device_destroy(struct device *dev);

/** A driver has come up, perhaps after a reboot that renumbered buses: ask the host where it sees
 * the device. */
void device_refresh_bdf(struct device *dev);

/** The host has closed its connection; an unplug may be waiting for it. */
void device_host_gone(struct device *dev);

struct device *device_find_pf(struct controller *c, uint64_t pf_id);
struct device *device_find_vuid(struct controller *c, const char *vuid);

/** Virtqueues of the device, control included. */
static inline uint16_t
device_num_queues(const struct device *dev)
{
	return dev->conf.max_pairs * 2 + 1;
}

#endif /* APP_DEVICE_H */
