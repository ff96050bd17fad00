/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VHOST_USER_CLIENT_IMPL_H
#define VHOST_USER_CLIENT_IMPL_H

/**
 * @file
 * Internal to lib/vhost_user: what the files of the client share.
 *
 * client.c: connection, requests, replies; client_calls.c: the synchronous helpers.
 */

#include "codec.h"
#include "sock/out.h"
#include "vhost_user.h"

/** A request that waits for its reply. */
struct client_pending {
	uint32_t request;
	vhost_user_client_done done; /* NULL: nobody waits any more */
	void *ctx;
};

struct vhost_user_client {
	int fd;	 /* -1: ended */
	int err; /* why */
	int timeout_ms;
	bool in_process;
	uint64_t protocol_features; /* as set by this client */

	/* Replies have no number: they come in the order of the requests. */
	struct client_pending pending[VHOST_USER_CLIENT_PENDING_MAX];
	unsigned int first, n;

	struct sock_out out;

	struct vhost_user_header hdr; /* of the message being received */
	uint32_t got;
	struct sock_fds fds;
	uint8_t body[VHOST_USER_BODY_MAX];
};

/** Forget who waits for a reply; the reply itself may still come. */
void vhost_client_abandon(struct vhost_user_client *c, vhost_user_client_done done, void *ctx);

#endif /* VHOST_USER_CLIENT_IMPL_H */
