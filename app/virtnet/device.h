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
#include "device_state.h"
#include "log.h"
#include "qpair.h"
#include "state/state.h"

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
	uint16_t num_msix; /**< vectors; 0: INTx only */
	bool intx_only;
	char transport[DEVICE_TRANSPORT_LEN]; /**< of drivers/emu; "": platform.emu */
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

/** Ranges of memory that are to go with the next mem_commit(). */
struct device_edits {
	unsigned int n; /**< more than there is room for: they may be anywhere */
	struct {
		uint64_t iova, len;
	} range[8];
};

struct device {
	TAILQ_ENTRY(device) next;
	struct controller *ctl;
	struct device_conf conf;
	enum device_phase phase; /**< device_set_phase() */
	uint32_t handle;	 /**< at the keeper; 0 without one */

	/* identity */
	uint16_t pf_id;
	uint8_t slot; /**< switch port, from 0 */
	char vuid[DEVICE_VUID_LEN];
	char bdf[HOST_BDF_LEN];
	struct host_call *bdf_query; /**< the host is being asked for it */
	struct host_call *host_call; /**< the host plugs or unplugs it */
	char plug_id[DEVICE_VUID_LEN + 16];
	char socket[CONFIG_PATH_LEN];

	/* parts */
	const struct emu_ops *emu_ops; /**< how it reaches its host */
	struct sf *sf;
	struct state_block *block;
	struct device_state *state;	    /**< sections of the block */
	struct device_ident *ident;	    /**< */
	struct pci_fn_state *pci;	    /**< */
	void *transport_state;		    /**< */
	struct virtio_state *virtio;	    /**< */
	struct ring_record *records;	    /**< */
	struct mailbox *mailbox;	    /**< */
	struct device_dma_state *dma_state; /**< */
	struct hostmem *hm;
	struct device_dma *dma; /**< NULL without a keeper */
	struct virtio_dev *vdev;
	struct emu_door *door;
	struct emu *emu;
	struct device_guard *guard; /**< of an adopted one: device_adopt.c */
	bool listed;		    /**< in the controller's list */
	bool opened;		    /**< the door has been asked to open, or was found open */

	/* running (device_run.c) */
	struct qpair **pair; /**< conf.max_pairs entries, NULL: not there */
	bool started;	     /**< DRIVER_OK, and the SF has its queues */
	enum device_pairs pairs_are;
	bool held; /**< nothing may run: being taken up (device_adopt.c) or let go */
	bool dma_on;
	bool waits_for_memory;		/**< a ring cannot run until its memory is mapped again */
	struct sf_change *sf_wanted;	/**< device_sf.c: to be carried out next */
	bool sf_busy;			/**< a change is with the helper */
	uint32_t sf_changes;		/**< asked for and not ended */
	bool sf_late;			/**< the helper makes it: device_sf_late.c */
	int *sf_stored;			/**< by pair: the descriptor that the keeper has, -1 */
	int *kick_kept;			/**< by virtqueue: a predecessor's eventfd, -1 */
	bool sf_used;			/**< the SF has been given queues since the last stop */
	int step_err;			/**< of a step of device_quiesce() */
	uint64_t unmap_iova, unmap_len; /**< of the DMA_UNMAP under way */
	struct device_edits edits;	/**< of memory, not in force yet: device_host.c */
	uint32_t tables;		/**< of memory that have been put in force */
	uint32_t tables_tried;		/**< the same when rings last failed: device_fault.c */
	bool *base_told;		/**< by virtqueue: the client has said where it begins */
	struct rte_mbuf *announcement;	/**< to be sent when there is a queue: device_transport.c */
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
	unsigned int ends;	    /**< of a removal: what is still to come */

	struct device_release *release; /**< on its way to another process (device_release.c) */
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

/**
 * Go on where a predecessor was in the device's life: plug it, unplug it, finish its removal or
 * undo its making.
 */
void device_go_on(struct device *dev);

/** One of the things that a removal waits for (device.ends) has ended; the last one frees the
 * device.
 */
void device_ended(struct device *dev);

/** Into the controller's list. */
void device_list(struct controller *c, struct device *dev);
/** Out of it; nothing is called back any more. */
void device_unlist(struct device *dev);

/** Answer whoever waits for a hotplug or unplug, if somebody does. */
void device_finish(struct device *dev, int err, const char *text);

/** A driver has come up, perhaps after a reboot that renumbered buses: ask the host where it sees
 * the device. */
void device_refresh_bdf(struct device *dev);

/** The host has closed its connection; an unplug may be waiting for it. */
void device_host_gone(struct device *dev);

/** The phase, here and in the state block. */
void device_set_phase(struct device *dev, enum device_phase phase);

/** Its address at the host, the same. */
void device_set_bdf(struct device *dev, const char *bdf);

struct device *device_find_pf(struct controller *c, uint64_t pf_id);
struct device *device_find_vuid(struct controller *c, const char *vuid);

/** Virtqueues of the device, control included. */
static inline uint16_t
device_num_queues(const struct device *dev)
{
	return dev->conf.max_pairs * 2 + 1;
}

#endif /* APP_DEVICE_H */
