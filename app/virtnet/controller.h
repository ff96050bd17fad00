/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_CONTROLLER_H
#define APP_CONTROLLER_H

/**
 * @file
 * The controller: what the control lcore owns. Everything here is the control lcore's alone.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config.h"
#include "emu/emu.h"
#include "grace.h"
#include "helper.h"
#include "host/host.h"
#include "sf/sf.h"
#include "telemetry_path.h"
#include "vring/hostmem.h"
#include "worker.h"

struct device;
struct event;
struct event_base;
struct keeper_link;

TAILQ_HEAD(device_list, device);

struct controller {
	struct config cfg;
	struct event_base *base;
	struct grace *grace;
	struct helper *helper;
	struct workers *workers;
	struct hostmem_files *files;
	struct rte_mempool *pool;
	const struct emu_ops *emu_ops;
	const struct sf_ops *sf_ops;
	struct host *host[CONFIG_MAX_HOSTS];
	struct device_list devices; /**< by pf_id */
	uint32_t generation;	    /**< counts devices added and removed, for paged listings */
	int fault_fd; /**< a worker or the SIGBUS handler wants the devices looked at */
	struct event *fault_event;
	struct event *grace_timer;
	struct event *signal_event[2];
	struct event *beat_timer;
	struct keeper_link *keeper;	 /**< NULL: --no-ha */
	struct telemetry_path telemetry; /**< with a keeper */
	struct event *telemetry_retry;	 /**< it could not be given its usual name */
	uint32_t eal_us, pools_us;	 /**< how long their start has taken */
	bool stopping;
};

/**
 * Set everything up but what only one process may have: devices, and the telemetry socket's usual
 * name.
 *
 * @param keeper_fd  socket of the keeper, taken; -1: there is none
 * @return 0; -errno, after a log line that says what failed
 */
int controller_init(struct controller *c, int keeper_fd);
/**
 * Serve until all devices are down after controller_stop(). Without a keeper the process is the
 * active one, and SIGTERM and SIGINT stop it.
 */
void controller_run(struct controller *c);
void controller_fini(struct controller *c);

/** Time that no one sets, before EAL is up as well. */
uint64_t controller_clock_us(void);
/**
 * Take the telemetry socket's usual name. If that fails for a reason that may pass, it is said once
 * and tried again each second, while this is the active process.
 */
void controller_announce(struct controller *c);
/** Devices are about to be adopted: the control lcore is at work, and says so to the keeper. */
void controller_wake(struct controller *c);
/** This is the active process now: take commands under the usual name. */
void controller_activate(struct controller *c);
/** Take all devices down without asking hosts: they see the end of the connection. */
void controller_stop(struct controller *c, const char *who);
/** Remove what other processes find this one by. */
void controller_unannounce(struct controller *c);

#endif /* APP_CONTROLLER_H */
