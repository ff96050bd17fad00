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
#include "vring/hostmem.h"
#include "worker.h"

struct device;
struct event;
struct event_base;

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
	bool stopping;
};

/** Set everything up. @return 0; -errno, after a log line that says what failed */
int controller_init(struct controller *c);
/** Serve until SIGTERM or SIGINT, then take all devices down. */
void controller_run(struct controller *c);
void controller_fini(struct controller *c);

#endif /* APP_CONTROLLER_H */
