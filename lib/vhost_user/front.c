/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: what messages look like. The rest is that of every front: lib/sock. */

#include <syslog.h>

#include "codec.h"
#include "sock/front_proto.h"
#include "vhost_user.h"

static uint64_t
message_size(const void *hdr)
{
	return (uint64_t)VHOST_USER_HEADER_SIZE + vhost_user_header_of(hdr).size;
}

/* There is no way to tell a client that its message was too large. */
static enum sock_frame
message_frame(const void *hdr, const char **why)
{
	const struct vhost_user_header h = vhost_user_header_of(hdr);

	if (vhost_user_is_reply(&h))
		*why = "client sent a reply to nothing";
	else if (!vhost_user_header_ok(&h))
		*why = "client sent an impossible message header";
	else
		return SOCK_FRAME_OK;
	return SOCK_FRAME_BROKEN;
}

static bool
may_carry_fds(const void *hdr)
{
	return vhost_user_has_fds(vhost_user_header_of(hdr).request);
}

/* @return NULL, or why the message's descriptors are not taken */
static const char *
fds_refused(const struct sock_front *front, uint32_t request)
{
	const struct sock_fds *fds = &front->rx.fds;

	if (fds->n > VHOST_USER_FDS_MAX)
		return "client sent too many descriptors";
	if (request == VHOST_USER_SET_BACKEND_REQ_FD && fds->n == 1)
		return sock_fd_is_connection(fds->fd[0])
			       ? NULL
			       : "client sent a channel that is no connected UNIX stream socket";
	if (!front->any_fd && !sock_front_fds_harmless(front))
		return "client sent a descriptor that is neither memory nor an eventfd";
	return NULL;
}

static void
message(struct sock_front *front)
{
	const char *why = fds_refused(front, vhost_user_header_of(front->rx.hdr).request);

	if (why != NULL) {
		front->stats.malformed++;
		sock_front_drop(front, LOG_WARNING, why);
		return;
	}
	front->stats.messages++;
	/* Whether a reply is wanted is the device side's to know. */
	sock_front_post(front, false);
}

static const struct sock_proto proto = {
	.header_size = VHOST_USER_HEADER_SIZE,
	.body_max = VHOST_USER_BODY_MAX,
	.size = message_size,
	.frame = message_frame,
	.message = message,
	.may_carry_fds = may_carry_fds,
};

int
vhost_user_front_create(const struct sock_front_conf *conf, struct sock_front **out)
{
	return sock_front_create(&proto, sizeof(struct sock_front), conf, out);
}
