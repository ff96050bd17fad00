/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_SD_H
#define APP_HA_SD_H

/**
 * @file
 * The service manager's side of the keeper: sd_notify(3) and the descriptor store, by their
 * documented protocol (a datagram to $NOTIFY_SOCKET; $LISTEN_FDS, $LISTEN_FDNAMES). Without a
 * service manager every function does nothing. Never blocks: what a full socket does not take is
 * sent by a thread, in order. Main thread only; one service manager per process, as the environment
 * has it.
 */

#include <stdbool.h>

/** Read the environment, and take it away from children. */
void sd_init(void);
/** --fdstore: the manager keeps descriptors though it is too old to say so. After sd_init(). */
void sd_assume_keeps(void);
/** A manager listens, and it keeps descriptors ($FDSTORE, or --fdstore where it is too old to say).
 */
bool sd_keeps(void);
/** How many descriptors it keeps ($FDSTORE), or as many as our unit asks for. */
unsigned int sd_room(void);
/** Tell it: "READY=1", "STATUS=...", "STOPPING=1", "WATCHDOG=1", lines separated by newline. */
void sd_notify(const char *text);
/** Keep a duplicate under a name, instead of any other of that name. @return 0, or -errno: it won't
 */
int sd_store(const char *name, int fd);
/** The same for a name that is not in use: one message less. */
int sd_store_new(const char *name, int fd);
void sd_remove(const char *name);
/**
 * A descriptor that becomes readable (end of file) once the manager has read everything that was
 * sent before. The caller closes it. @return -errno if there is none to be had
 */
int sd_barrier(void);

/** Descriptors that were kept, with their names; each is to be taken or closed once. */
unsigned int sd_stored(void);
int sd_stored_get(unsigned int i, const char **name);

#endif /* APP_HA_SD_H */
