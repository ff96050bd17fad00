/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_DISCARD_H
#define VFIO_USER_DISCARD_H

/**
 * @file
 * Internal to lib/vfio_user: getting rid of descriptors that a client has sent.
 *
 * close(2) of somebody else's file may take as long as that somebody likes: a TCP socket lingers, a
 * FUSE server answers flush requests when it wants to. Client memory and eventfds close at once;
 * everything else is closed by a thread that is started for it and ends with it.
 *
 * A closer belongs to one front. Its threads keep it alive: the front is not held up by what is
 * never going to close, neither is the process's exit.
 */

#include <stdbool.h>

/**
 * Descriptors of one closer that may be on their way before the front stops taking in more. An
 * honest client has none; one whose descriptors do not close waits, others do not notice.
 */
#define VFIO_USER_CLOSER_MAX 64u

struct vfio_user_closer;

/** NULL: no memory. */
struct vfio_user_closer *vfio_user_closer_create(void);
/** The front is done with it. NULL is allowed. */
void vfio_user_closer_release(struct vfio_user_closer *closer);

/** Too much is on its way: take nothing in from this front's clients. */
bool vfio_user_closer_full(const struct vfio_user_closer *closer);

/**
 * Memory (memfd, tmpfs, hugetlbfs) or an eventfd: closing it and asking about it never waits for
 * anybody. Asks no file system.
 */
bool vfio_user_fd_harmless(int fd);

/**
 * Close descriptors; -1 are skipped. Does not block, unless the process can start no more threads.
 *
 * @param closer  NULL: close all at once (the sender is trusted)
 */
void vfio_user_discard(struct vfio_user_closer *closer, const int *fds, unsigned int n);

/** The same for a connected UNIX socket: descriptors may lie in its queue. */
void vfio_user_discard_socket(struct vfio_user_closer *closer, int sock);

#endif /* VFIO_USER_DISCARD_H */
