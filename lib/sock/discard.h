/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef SOCK_DISCARD_H
#define SOCK_DISCARD_H

/**
 * @file
 * Getting rid of descriptors that a client has sent.
 *
 * close(2) of somebody else's file may take as long as that somebody likes: a TCP socket lingers, a
 * FUSE server answers flush requests when it wants to. Client memory and eventfds close at once;
 * everything else is closed by a thread that is started for it and ends with it.
 *
 * A closer belongs to one front, or to whoever else has descriptors of a client. Its threads keep
 * it alive: its owner is not held up by what is never going to close, neither is the process's
 * exit.
 */

#include <stdbool.h>

/**
 * Descriptors of one closer that may be on their way before the front stops taking in more. An
 * honest client has none; one whose descriptors do not close waits, others do not notice.
 */
#define SOCK_CLOSER_MAX 64u

struct sock_closer;

/** NULL: no memory. */
struct sock_closer *sock_closer_create(void);
/** Its owner is done with it. NULL is allowed. */
void sock_closer_release(struct sock_closer *closer);

/** Too much is on its way: take nothing in from this front's clients. */
bool sock_closer_full(const struct sock_closer *closer);

/**
 * Memory (memfd, tmpfs, hugetlbfs) or an eventfd: closing it and asking about it never waits for
 * anybody. Asks no file system.
 */
bool sock_fd_harmless(int fd);
/** The latter alone. */
bool sock_fd_is_eventfd(int fd);

/**
 * Close descriptors; -1 are skipped. Does not block, unless the process can start no more threads.
 *
 * @param closer  NULL: close all at once (the sender is trusted)
 */
void sock_discard(struct sock_closer *closer, const int *fds, unsigned int n);

/** The same for a connected UNIX socket: descriptors may lie in its queue. */
void sock_discard_socket(struct sock_closer *closer, int sock);

#endif /* SOCK_DISCARD_H */
