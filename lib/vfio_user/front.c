/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: its public functions. */

#include <errno.h>
#include <stdlib.h>

#include "front_impl.h"

/* Virtio's own limit of queues. */
#define FRONT_QUEUES_MAX 65536u

static int
front_begin(struct vfio_user_front *front, const struct vfio_user_front_conf *conf)
{
	const struct sock_front_conf sock = {
		.proto = &front_proto,
		.base = conf->base,
		.mailbox = conf->mailbox,
		.path = conf->path,
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

	if (conf->max_queues > 0) {
		front->kicks = malloc(conf->max_queues * sizeof(*front->kicks));
		if (front->kicks == NULL)
			return -ENOMEM;
	}
	for (unsigned int i = 0; i < conf->max_queues; i++)
		front->kicks[i] = -1;
	front->max_queues = conf->max_queues;
	front->any_fd = conf->any_fd;
	return sock_front_begin(&front->sock, &sock);
}

int
vfio_user_front_create(const struct vfio_user_front_conf *conf, struct vfio_user_front **out)
{
	struct vfio_user_front *front;
	int ret;

	if (conf->base == NULL || conf->mailbox == NULL || conf->path == NULL ||
		conf->ops == NULL || conf->ops->request == NULL ||
		conf->max_queues > FRONT_QUEUES_MAX)
		return -EINVAL;
	front = calloc(1, sizeof(*front));
	if (front == NULL)
		return -ENOMEM;
	ret = front_begin(front, conf);
	if (ret < 0) {
		vfio_user_front_destroy(front);
		return ret;
	}
	*out = front;
	return 0;
}

void
vfio_user_front_destroy(struct vfio_user_front *front)
{
	if (front == NULL)
		return;
	sock_front_end(&front->sock);
	free(front->kicks);
	free(front);
}

void
vfio_user_front_reply(struct vfio_user_front *front)
{
	sock_front_reply(&front->sock);
}

void
vfio_user_front_disconnect(struct vfio_user_front *front)
{
	sock_front_disconnect(&front->sock);
}

void
vfio_user_front_gone_done(struct vfio_user_front *front)
{
	sock_front_gone_done(&front->sock);
}

int *
vfio_user_front_request_fds(struct vfio_user_front *front)
{
	return front->sock.req_fds;
}

int
vfio_user_front_listen_fd(const struct vfio_user_front *front)
{
	return front->sock.listen_fd;
}

int
vfio_user_front_conn_fd(const struct vfio_user_front *front)
{
	return front->sock.fd;
}

void
vfio_user_front_pause(struct vfio_user_front *front)
{
	sock_front_pause(&front->sock);
}

void
vfio_user_front_set_mailbox(struct vfio_user_front *front, struct mailbox *mailbox)
{
	sock_front_set_mailbox(&front->sock, mailbox);
}

bool
vfio_user_front_connected(const struct vfio_user_front *front)
{
	return front->sock.fd >= 0;
}

void
vfio_user_front_set_notify(struct vfio_user_front *front, const struct vfio_user_notify *notify)
{
	if (notify != NULL)
		front->notify = *notify;
	else
		front->notify.size = 0;
}

int
vfio_user_front_set_kick(struct vfio_user_front *front, unsigned int queue, int fd)
{
	if (queue >= front->max_queues)
		return -EINVAL;
	front->kicks[queue] = fd;
	return 0;
}

struct vfio_user_front_stats
vfio_user_front_get_stats(const struct vfio_user_front *front)
{
	const struct sock_front_stats *s = &front->sock.stats;

	return (struct vfio_user_front_stats){
		.connections = s->connections,
		.surplus = s->surplus,
		.messages = s->messages,
		.kicks = front->n_kicks,
		.spurious_kicks = front->n_spurious,
		.malformed = s->malformed,
	};
}
