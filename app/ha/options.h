/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_OPTIONS_H
#define APP_HA_OPTIONS_H

/**
 * @file
 * The keeper's command line: that of dpdk-virtnet, of which it needs a few options and hands on
 * all.
 */

#include <stdbool.h>

#include "keeper.h"

struct ha_options {
	struct keeper_options keeper;
	bool fdstore;
	const char *log_level; /**< of the keeper's own lines; NULL: as it is */
	char **argv;	       /**< what keeper.argv points to */
	char *program;	       /**< its first */
};

/**
 * @return 0; -EINVAL: a value that is none; -ENOMEM; -errno: the program's path cannot be found.
 *         Options that are unknown are for the emu process to complain about.
 */
int options_parse(int argc, char **argv, struct ha_options *opts);
void options_free(struct ha_options *opts);

#endif /* APP_HA_OPTIONS_H */
