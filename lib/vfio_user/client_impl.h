/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_CLIENT_IMPL_H
#define VFIO_USER_CLIENT_IMPL_H

/**
 * @file
 * Internal to lib/vfio_user: what the files of the client share.
 *
 * client.c: connection, requests, replies; client_calls.c: the synchronous helpers.
 */

#include "codec.h"
#include "sock/out.h"
#include "vfio_user.h"

struct event;

/** A request that waits for its reply. */
struct client_pending {
	bool used;
	uint16_t id;
	uint16_t command;
	vfio_user_client_done done; /* NULL: nobody waits any more */
	void *ctx;
};

struct vfio_user_client {
	int fd;	 /* -1: ended */
	int err; /* why */
	int timeout_ms;
	bool in_process;

	uint16_t next_id;
	struct client_pending pending[VFIO_USER_CLIENT_PENDING_MAX];

	struct sock_out out;

	struct vfio_user_header hdr; /* of the message being received */
	uint32_t got;
	struct sock_fds fds;
	uint8_t body[VFIO_USER_BODY_MAX];

	struct event *read_ev;
	struct event *write_ev;
	void (*closed)(void *ctx, int err);
	void *closed_ctx;
};

/** Forget who waits for a reply; the reply itself may still come. */
void client_abandon(struct vfio_user_client *c, vfio_user_client_done done, void *ctx);

#endif /* VFIO_USER_CLIENT_IMPL_H */
