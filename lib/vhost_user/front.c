/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The front: what messages look like, and its public functions. The rest is that of every front:
 * lib/sock.
 */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <syslog.h>

#include "codec.h"
#include "sock/front.h"

struct vhost_user_front {
	struct sock_front sock;
	bool any_fd;
};

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

static bool
is_unix_socket(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX &&
	       getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static bool
fds_acceptable(const struct vhost_user_front *front, uint32_t request)
{
	const struct sock_fds *fds = &front->sock.rx.fds;

	if (front->any_fd || sock_front_fds_harmless(&front->sock))
		return true;
	return request == VHOST_USER_SET_BACKEND_REQ_FD && fds->n == 1 &&
	       is_unix_socket(fds->fd[0]);
}

static void
message(struct sock_front *sock)
{
	struct vhost_user_front *front = (struct vhost_user_front *)sock;
	const char *why = NULL;

	if (sock->rx.fds.lost || sock->rx.fds.n > VHOST_USER_FDS_MAX)
		why = "client sent too many descriptors";
	else if (!fds_acceptable(front, vhost_user_header_of(sock->rx.hdr).request))
		why = "client sent a descriptor that is neither memory nor an eventfd";
	if (why != NULL) {
		sock->stats.malformed++;
		sock_front_drop(sock, LOG_WARNING, why);
		return;
	}
	sock->stats.messages++;
	/* Whether a reply is wanted is the device side's to know. */
	sock_front_post(sock, false);
}

static const struct sock_proto proto = {
	.header_size = VHOST_USER_HEADER_SIZE,
	.body_max = VHOST_USER_BODY_MAX,
	.size = message_size,
	.frame = message_frame,
	.message = message,
	.may_carry_fds = may_carry_fds,
};

static int
front_begin(struct vhost_user_front *front, const struct vhost_user_front_conf *conf)
{
	const struct sock_front_conf sock = {
		.proto = &proto,
		.base = conf->base,
		.mailbox = conf->mailbox,
		.path = conf->path,
		.connect = conf->connect,
		.mode = conf->mode,
		.gid = conf->gid,
		.ops = {conf->ops->request, conf->ops->connected, conf->ops->disconnected,
			conf->ops->log},
		.ctx = conf->ctx,
		.adopt = conf->adopt,
		.listen_fd = conf->listen_fd,
		.conn_fd = conf->conn_fd,
		.gone = conf->gone,
		.request_fds = conf->request_fds,
	};

	front->any_fd = conf->any_fd;
	return sock_front_begin(&front->sock, &sock);
}

int
vhost_user_front_create(const struct vhost_user_front_conf *conf, struct vhost_user_front **out)
{
	struct vhost_user_front *front;
	int ret;

	if (conf->base == NULL || conf->mailbox == NULL || conf->path == NULL ||
		conf->ops == NULL || conf->ops->request == NULL)
		return -EINVAL;
	front = calloc(1, sizeof(*front));
	if (front == NULL)
		return -ENOMEM;
	ret = front_begin(front, conf);
	if (ret < 0) {
		vhost_user_front_destroy(front);
		return ret;
	}
	*out = front;
	return 0;
}

void
vhost_user_front_destroy(struct vhost_user_front *front)
{
	if (front == NULL)
		return;
	sock_front_end(&front->sock);
	free(front);
}

void
vhost_user_front_reply(struct vhost_user_front *front)
{
	sock_front_reply(&front->sock);
}

void
vhost_user_front_disconnect(struct vhost_user_front *front)
{
	sock_front_disconnect(&front->sock);
}

void
vhost_user_front_gone_done(struct vhost_user_front *front)
{
	sock_front_gone_done(&front->sock);
}

int *
vhost_user_front_request_fds(struct vhost_user_front *front)
{
	return front->sock.req_fds;
}

int
vhost_user_front_listen_fd(const struct vhost_user_front *front)
{
	return front->sock.listen_fd;
}

int
vhost_user_front_conn_fd(const struct vhost_user_front *front)
{
	return front->sock.fd;
}

void
vhost_user_front_pause(struct vhost_user_front *front)
{
	sock_front_pause(&front->sock);
}

void
vhost_user_front_set_mailbox(struct vhost_user_front *front, struct mailbox *mailbox)
{
	sock_front_set_mailbox(&front->sock, mailbox);
}

bool
vhost_user_front_connected(const struct vhost_user_front *front)
{
	return front->sock.fd >= 0;
}

struct vhost_user_front_stats
vhost_user_front_get_stats(const struct vhost_user_front *front)
{
	const struct sock_front_stats *s = &front->sock.stats;

	return (struct vhost_user_front_stats){
		.connections = s->connections,
		.surplus = s->surplus,
		.messages = s->messages,
		.malformed = s->malformed,
	};
}
