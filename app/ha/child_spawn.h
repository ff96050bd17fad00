/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_CHILD_SPAWN_H
#define APP_HA_CHILD_SPAWN_H

/**
 * @file
 * The start of an emu process: arguments, environment, descriptors, signals.
 */

#include <sys/types.h>

#include "ha/msg.h"

struct child_spawn {
	char *const *argv; /**< as in struct child_params */
	enum ha_role role;
	int nice;
	const char *fault;
	/** Stay the caller's; the process inherits no others but 0, 1, 2. */
	int socket_fd, fence_fd;
};

/**
 * Start it. It dies with the keeper's main thread, is in a process group of its own (a terminal's
 * signals are for the keeper alone) and has no signal blocked, ignored or handled.
 *
 * @return 0; -errno: also if the program is not there or cannot be run
 */
int child_spawn(const struct child_spawn *spawn, pid_t *pid);

#endif /* APP_HA_CHILD_SPAWN_H */
