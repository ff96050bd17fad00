/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_STREAM_H
#define VFIO_USER_STREAM_H

/**
 * @file
 * Internal to lib/vfio_user: non-blocking transfer of messages and descriptors over a UNIX socket.
 *
 * A peer sends its messages back to back. The kernel hands out descriptors with the bytes that they
 * were sent with, so a read that ends where a message ends never sees the descriptors of the next
 * one: read exactly a header, then exactly its body.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "discard.h"
#include "protocol.h"

/** Descriptors received with one message; owned. */
struct vfio_user_fds {
	int fd[VFIO_USER_FDS_MAX];
	unsigned int n;
	bool lost;			 /**< there were more than fit: all have been closed */
	struct vfio_user_closer *closer; /**< closes them; NULL: the peer is trusted */
};

void vfio_user_fds_close(struct vfio_user_fds *fds);

/**
 * Receive up to len bytes, and the descriptors that come with them.
 *
 * @param fds  added to; on overflow emptied and marked lost
 * @return bytes > 0; 0 at the end of the stream; -EAGAIN; -errno
 */
ssize_t vfio_user_stream_recv(int sock, void *buf, size_t len, struct vfio_user_fds *fds);

/** A message on its way out. Zeroed: none. */
struct vfio_user_tx {
	struct vfio_user_header hdr;
	const uint8_t *body; /**< hdr.size - 16 bytes, not owned */
	size_t sent;
	bool active;
};

void vfio_user_tx_start(
	struct vfio_user_tx *tx, const struct vfio_user_header *hdr, const void *body);

static inline uint32_t
vfio_user_tx_left(const struct vfio_user_tx *tx)
{
	return tx->hdr.size - (uint32_t)tx->sent;
}

/**
 * Send a part of what is left, if possible all of it; tx->active is false when that was all.
 *
 * @param fds  go with the first byte; ignored once that is sent
 * @return 0; -EAGAIN; -errno
 */
int vfio_user_tx_step(struct vfio_user_tx *tx, int sock, const int *fds, unsigned int nfds);

/**
 * Send what is left.
 *
 * @param fds  go with the first byte; ignored once that is sent
 * @return 0 when all is sent; -EAGAIN; -errno
 */
int vfio_user_tx_push(struct vfio_user_tx *tx, int sock, const int *fds, unsigned int nfds);

#endif /* VFIO_USER_STREAM_H */
