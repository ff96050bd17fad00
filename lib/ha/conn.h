/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef HA_CONN_H
#define HA_CONN_H

/**
 * @file
 * One end of the connection between keeper and emu process. Never blocks; one thread.
 */

#include <stdbool.h>

#include "ha/msg.h"

struct ha_conn;

/** Two connected sockets, close-on-exec, non-blocking, with large buffers. @return 0; -errno */
int ha_socketpair(int fd[2]);

/** @param fd  becomes the connection's. @return 0; -ENOMEM */
int ha_conn_create(int fd, struct ha_conn **out);
/** Close; what waits to be sent is lost. NULL is allowed. */
void ha_conn_destroy(struct ha_conn *c);
int ha_conn_fd(const struct ha_conn *c);

/**
 * Send, or keep it (descriptors duplicated) until the peer has room; memory is allocated only then.
 *
 * @param msg  len may be 0: then all that the type uses is sent
 * @param fds  n descriptors, the caller's
 * @return 0; -EINVAL: a message that the peer would refuse (see ha_conn_recv()), too many
 *         descriptors; -ENOMEM: also if too much waits; -EMFILE, -EBADF; -EPIPE: the peer has gone
 */
int ha_conn_send(struct ha_conn *c, const struct ha_msg *msg, const int *fds, unsigned int n);
/** Messages wait: call ha_conn_flush() when the socket is writable. */
bool ha_conn_waits(const struct ha_conn *c);
/**
 * They wait since this system is short of memory or of descriptors in flight: the socket may well
 * be writable. Call ha_conn_flush() a little later instead.
 */
bool ha_conn_starved(const struct ha_conn *c);
/** Send what waits, as far as there is room. @return 0; -EPIPE, -errno: nothing waits any more */
int ha_conn_flush(struct ha_conn *c);

/**
 * Receive one message. What was sent less long than the structure is zero-filled, what a newer
 * peer says beyond it is dropped. Checked: the length and the number of descriptors against the
 * type (KICK has one if its mode is EVENTFD, CONVERTED if err is 0), a handle where the message is
 * about a device, counts (fds.n, slot.count of STORE, n_layouts) against what came, slots within 16
 * bits. Strings end with NUL. Not checked: values whose range depends on the device, kinds, flags.
 *
 * All that a peer has sent before its end is received before -EPIPE.
 *
 * @param fds  room for HA_FDS_MAX, close-on-exec; the caller's after 1
 * @return 1 a message; 0 none now; -EPIPE the peer has gone; -EPROTO: a message that cannot be, the
 *         connection is of no more use (its descriptors are closed). Both are final: later calls
 *         return the same. -EMFILE: this process may open no more descriptors, those that came with
 *         the message are lost; of msg only type and device may be used, unchecked. The next call
 *         returns the next message.
 */
int ha_conn_recv(struct ha_conn *c, struct ha_msg *msg, int *fds, unsigned int *n);

/** Name of a type, for messages; never NULL. */
const char *ha_msg_name(unsigned int type);

#endif /* HA_CONN_H */
