/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef SOCK_STREAM_H
#define SOCK_STREAM_H

/**
 * @file
 * Non-blocking transfer of messages and descriptors over a UNIX socket, for protocols whose
 * messages are a header of fixed size and a body whose size the header tells.
 *
 * A peer sends its messages back to back. The kernel hands out descriptors with the bytes that they
 * were sent with, so a read that ends where a message ends never sees the descriptors of the next
 * one: read exactly a header, then exactly its body.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "sock/discard.h"
#include "state/mailbox.h"

/** Descriptors with one message. */
#define SOCK_FDS_MAX MAILBOX_FDS_MAX
/** Largest header of a protocol: what a mailbox has room for. */
#define SOCK_HEADER_MAX 16u

_Static_assert(
	sizeof(((struct mailbox *)0)->header) == SOCK_HEADER_MAX, "a header fits the mailbox");

/** Descriptors received with one message; owned. */
struct sock_fds {
	int fd[SOCK_FDS_MAX];
	unsigned int n;
	bool lost;		    /**< there were more than fit: all have been closed */
	struct sock_closer *closer; /**< closes them; NULL: the peer is trusted */
};

void sock_fds_close(struct sock_fds *fds);

/**
 * Receive up to len bytes, and the descriptors that come with them.
 *
 * @param fds  added to; on overflow emptied and marked lost
 * @return bytes > 0; 0 at the end of the stream; -EAGAIN; -errno
 */
ssize_t sock_recv(int sock, void *buf, size_t len, struct sock_fds *fds);

/** A message on its way out. Zeroed: none. */
struct sock_tx {
	uint8_t hdr[SOCK_HEADER_MAX];
	uint32_t hdr_len;
	uint32_t size;	     /**< of the message, header included */
	const uint8_t *body; /**< size - hdr_len bytes, not owned */
	size_t sent;
	bool active;
};

void sock_tx_start(
	struct sock_tx *tx, const void *hdr, uint32_t hdr_len, const void *body, uint32_t body_len);

static inline uint32_t
sock_tx_left(const struct sock_tx *tx)
{
	return tx->size - (uint32_t)tx->sent;
}

/**
 * Send a part of what is left, if possible all of it; tx->active is false when that was all.
 *
 * @param fds  go with the first byte; ignored once that is sent
 * @return 0; -EAGAIN; -errno
 */
int sock_tx_step(struct sock_tx *tx, int sock, const int *fds, unsigned int nfds);

/** sock_tx_step_noted(): nothing has been sent, or it is not known yet. */
#define SOCK_TX_NOTHING UINT32_MAX

/**
 * As sock_tx_step(), without descriptors, for memory that outlives the caller: the kernel itself
 * writes the number of bytes sent to call->msg_len within the system call, so it stands there
 * even when the caller is killed before that returns.
 *
 * Who shares that memory and writes to it meanwhile can spoil the message or have the call fail,
 * and nothing else.
 *
 * @param call  msg_len is SOCK_TX_NOTHING, the rest is filled here
 * @return 0; -EAGAIN; -EPROTO: more is noted than there was to send; -errno
 */
int sock_tx_step_noted(struct sock_tx *tx, int sock, struct mmsghdr *call);

/**
 * Send what is left.
 *
 * @param fds  go with the first byte; ignored once that is sent
 * @return 0 when all is sent; -EAGAIN; -errno
 */
int sock_tx_push(struct sock_tx *tx, int sock, const int *fds, unsigned int nfds);

#endif /* SOCK_STREAM_H */
