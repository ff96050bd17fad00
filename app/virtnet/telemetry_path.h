/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_TELEMETRY_PATH_H
#define APP_TELEMETRY_PATH_H

/**
 * @file
 * The telemetry socket under its usual name.
 *
 * EAL gives a process that starts beside another one of the same file prefix a socket with a number
 * behind its name. Whoever becomes the active process renames its own over the usual name: clients
 * connect to the former process until then, to this one from then on, and to nobody in between.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#define TELEMETRY_NAME "dpdk_telemetry.v2"

/** This process's socket: where it is now, and which file it is. */
struct telemetry_path {
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t dev;
	ino_t ino;
};

/**
 * Find the socket of this process that listens in a folder under the usual name, with or without a
 * number.
 * @param dir  EAL's runtime folder
 * @return 0; -ENOENT if there is none (--no-telemetry); -EADDRINUSE if its name leads to another
 *         process, for good; -errno
 */
int telemetry_path_find(struct telemetry_path *tp, const char *dir);
/** Give it the usual name. @return 0; -ENOENT if it was not found or is gone; -errno */
int telemetry_path_take(struct telemetry_path *tp);
/** Remove its name, unless somebody else has taken that meanwhile. */
void telemetry_path_remove(struct telemetry_path *tp);
/**
 * Remove the numbered names that dead processes have left in the folder.
 * @param last  all processes of the same parent end: theirs, too
 */
void telemetry_path_sweep(const struct telemetry_path *tp, bool last);

#endif /* APP_TELEMETRY_PATH_H */
