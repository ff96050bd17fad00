/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef SOCK_OUT_H
#define SOCK_OUT_H

/**
 * @file
 * Messages that a socket did not take at once, in their order, with descriptors of their own: what
 * a client endpoint has in hand.
 */

#include <sys/queue.h>

#include "sock/stream.h"

/** A message that waits. */
struct sock_out_msg {
	STAILQ_ENTRY(sock_out_msg) next;
	struct sock_tx tx;
	struct sock_fds fds;
	uint8_t body[];
};

struct sock_out {
	STAILQ_HEAD(, sock_out_msg) queue;
	size_t bytes;
	size_t limit; /**< of bytes; messages beyond it get -EAGAIN */
};

void sock_out_init(struct sock_out *out, size_t limit);
/** Forget what waits. */
void sock_out_clear(struct sock_out *out);

static inline bool
sock_out_empty(const struct sock_out *out)
{
	return STAILQ_EMPTY(&out->queue);
}

/**
 * Send a message, or keep what cannot be sent at once; the caller keeps body and descriptors.
 *
 * @return 0; -EAGAIN past the limit (nothing has been sent); -ENOTRECOVERABLE if only
 *         a part of it is out and the rest cannot be kept: the stream cannot be continued; -errno
 */
int sock_out_send(struct sock_out *out, int sock, const struct sock_tx *msg, const int *fds,
	unsigned int nfds);

/** Send what waits. @return 0 when all is sent; -EAGAIN; -errno */
int sock_out_push(struct sock_out *out, int sock);

#endif /* SOCK_OUT_H */
