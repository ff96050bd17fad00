/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The host-facing socket of a device that is reached over vhost-user. Doorbells are none of its
 * business: the client's eventfds are kept for the owner alone.
 */

#include <errno.h>
#include <string.h>

#include "kept_impl.h"
#include "vhost_user/vhost_user.h"

static const struct vhost_user_front_ops front_ops = {
	.request = kept_on_request,
	.connected = kept_on_connected,
	.disconnected = kept_on_disconnected,
	.log = kept_on_log,
};

static int
vhost_user_open(struct kept_device *d, const struct kept_sockets *adopt)
{
	struct vhost_user_front_conf conf = {
		.base = d->kept->base,
		.mailbox = d->mailbox,
		.path = d->open.path,
		.connect = d->transport->connects,
		.mode = d->open.mode,
		.gid = d->open.gid < 0 ? (gid_t)-1 : (gid_t)d->open.gid,
		.ops = &front_ops,
		.ctx = d,
		.any_fd = d->open.any_fd != 0,
		.listen_fd = -1,
		.conn_fd = -1,
	};
	struct vhost_user_front *front;
	int ret;

	if (adopt != NULL) {
		conf.adopt = true;
		conf.listen_fd = adopt->listen_fd;
		conf.conn_fd = adopt->conn_fd;
		conf.gone = d->gone;
		memcpy(conf.request_fds, adopt->request, sizeof(conf.request_fds));
	}
	ret = vhost_user_front_create(&conf, &front);
	if (ret == 0)
		d->front = front;
	return ret;
}

static void
vhost_user_close(struct kept_device *d)
{
	/* A request that stands gives up its descriptors with the connection. */
	d->ending = true;
	vhost_user_front_disconnect(d->front);
	vhost_user_front_destroy(d->front);
	d->front = NULL;
}

static void
vhost_user_reply(struct kept_device *d)
{
	vhost_user_front_reply(d->front);
}

static void
vhost_user_disconnect(struct kept_device *d)
{
	vhost_user_front_disconnect(d->front);
}

static void
vhost_user_pause(struct kept_device *d)
{
	vhost_user_front_pause(d->front);
}

static void
vhost_user_gone_done(struct kept_device *d)
{
	vhost_user_front_gone_done(d->front);
}

static bool
vhost_user_connected(const struct kept_device *d)
{
	return vhost_user_front_connected(d->front);
}

static int *
vhost_user_request_fds(const struct kept_device *d)
{
	return vhost_user_front_request_fds(d->front);
}

static int
vhost_user_listen_fd(const struct kept_device *d)
{
	return vhost_user_front_listen_fd(d->front);
}

static int
vhost_user_conn_fd(const struct kept_device *d)
{
	return vhost_user_front_conn_fd(d->front);
}

static void
vhost_user_set_notify(struct kept_device *d)
{
	(void)d;
}

static int
vhost_user_set_kick(struct kept_device *d, unsigned int queue, enum ha_kick_mode mode, int fd)
{
	(void)d;
	(void)queue;
	(void)mode;
	(void)fd;
	return 0;
}

static void
vhost_user_mailbox_moved(struct kept_device *d)
{
	vhost_user_front_set_mailbox(d->front, d->mailbox);
}

#define TRANSPORT(name_, connects_)                                                                \
	{                                                                                          \
		.name = name_, .connects = connects_, .open = vhost_user_open,                     \
		.close = vhost_user_close, .reply = vhost_user_reply,                              \
		.disconnect = vhost_user_disconnect, .gone_done = vhost_user_gone_done,            \
		.pause = vhost_user_pause, .connected = vhost_user_connected,                      \
		.request_fds = vhost_user_request_fds, .listen_fd = vhost_user_listen_fd,          \
		.conn_fd = vhost_user_conn_fd, .set_notify = vhost_user_set_notify,                \
		.set_kick = vhost_user_set_kick, .mailbox_moved = vhost_user_mailbox_moved,        \
	}

const struct kept_transport kept_vhost_user = TRANSPORT("vhost_user", false);
const struct kept_transport kept_vhost_user_client = TRANSPORT("vhost_user_client", true);
