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
 * FUSE server answers flush requests when it wants to, and a UNIX socket closes whatever lies in
 * its queue. Client memory and eventfds close at once; everything else goes to a closer, whose
 * descriptors are closed by a thread, one after the other. It is never the caller who waits, not
 * even if there can be no thread: then they stay open until there can be one.
 *
 * A closer belongs to one device, and so does what does not close: a device has one thread at most,
 * the others have theirs. Threads are started when there is something to close and end with it;
 * they keep the closer alive, so that its owner is not held up by what is never going to close, and
 * neither is the process's exit.
 *
 * All closers of the process share SOCK_CLOSER_THREADS_MAX threads and SOCK_CLOSERS_MAX
 * descriptors.
 *
 * Functions may be called by any thread.
 */

#include <stdbool.h>

/**
 * Descriptors of one closer that may be on their way before nothing more is to be taken in from its
 * client. An honest client has none.
 */
#define SOCK_CLOSER_MAX 64u
/**
 * Of all closers together, before those that have any count as full: far below the number of open
 * files that a process may have, so that it is not the honest clients whose sockets are refused.
 */
#define SOCK_CLOSERS_MAX 2048u
/** As many clients at once may have something that does not close; what others have then waits. */
#define SOCK_CLOSER_THREADS_MAX 128u

struct sock_closer;

/** NULL: no memory. */
struct sock_closer *sock_closer_create(void);
/** One more owner, who releases it as well. @return closer */
struct sock_closer *sock_closer_share(struct sock_closer *closer);
/** An owner is done with it. NULL is allowed. */
void sock_closer_release(struct sock_closer *closer);

/** Too much is on its way: take nothing in from this client. */
bool sock_closer_full(struct sock_closer *closer);

/**
 * Memory (memfd, tmpfs, hugetlbfs) or an eventfd: closing it and asking about it never waits for
 * anybody. Asks no file system.
 */
bool sock_fd_harmless(int fd);
/** The latter alone. */
bool sock_fd_is_eventfd(int fd);
/**
 * A UNIX stream socket with a peer. It stays one: it cannot listen any more, so no connections,
 * which nobody has looked at, can lie in its queue.
 */
bool sock_fd_is_connection(int fd);

/**
 * Close descriptors; -1 are skipped.
 *
 * @param closer  NULL: close all at once (the sender is trusted)
 */
void sock_discard(struct sock_closer *closer, const int *fds, unsigned int n);

/**
 * Hang up a connected socket, empty its queue and close it. The peer sees its end at once.
 */
void sock_discard_socket(struct sock_closer *closer, int sock);
/**
 * The same for one that is ours alone (accepted or connected by this process, or by the one it goes
 * on from): with nothing in its queue it closes at once. Of a socket that the client has as well
 * one cannot tell.
 */
void sock_discard_own(struct sock_closer *closer, int sock);

#endif /* SOCK_DISCARD_H */
