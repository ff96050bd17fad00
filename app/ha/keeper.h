/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_KEEPER_H
#define APP_HA_KEEPER_H

/**
 * @file
 * The keeper: starts the emu process and its standby, lets the standby go on when the emu process
 * crashes, hands devices over to a new version, ends everything. doc/architecture.rst tells the
 * story.
 */

#include <stdbool.h>

#define KEEPER_WATCHDOG_MS 1000u

struct keeper_options {
	char *const *argv;	   /**< of emu processes: absolute path, options after "--" last */
	bool standby;		   /**< have one */
	unsigned int watchdog_ms;  /**< 0: off */
	const char *fault;	   /**< VIRTNET_FAULT of the first process, or NULL */
	const char *fault_standby; /**< of the first standby */
	const char *fault_successor; /**< of the first new process of a hand-over */
};

/**
 * Run until stopped. sd_init() has been called.
 *
 * @return exit status: that of the first emu process if it ended before it was up
 */
int keeper_run(const struct keeper_options *opts);

#endif /* APP_HA_KEEPER_H */
