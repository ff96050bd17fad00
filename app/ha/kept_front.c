/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The host-facing socket of a device, and what happens there.
 *
 * The owner sees connections one after the other: it is told of a new client only when it has dealt
 * with the former one's going, which is also when the front reads the new one's first message.
 */

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "kept_impl.h"
#include "klog.h"
#include "vfio_user/vfio_user.h"

void
kept_on_request(void *ctx)
{
	kept_tell_request(ctx);
}

void
kept_on_connected(void *ctx)
{
	struct kept_device *d = ctx;

	kept_store_conn(d);
	if (!d->gone)
		kept_tell(d, HA_CONNECTED, 0, NULL, 0);
}

void
kept_on_disconnected(void *ctx)
{
	struct kept_device *d = ctx;
	const bool first = !d->gone;

	if (d->ending)
		return;
	d->gone = true;
	kept_store_conn(d);
	if (first)
		kept_tell(d, HA_DISCONNECTED, 0, NULL, 0);
}

void
kept_on_log(void *ctx, int level, const char *msg)
{
	struct kept_device *d = ctx;
	unsigned int left_out;

	/* Clients come and go as fast as they like, and send what they like. */
	if (level > LOG_WARNING) {
		klog_debug("%s: %s", d->open.vuid, msg);
		return;
	}
	if (!log_limit_take(&d->log_limit, &left_out))
		return;
	if (left_out > 0)
		klog_info("%s: %u more lines left out", d->open.vuid, left_out);
	if (level <= LOG_ERR)
		klog_err("%s: %s", d->open.vuid, msg);
	else
		klog_info("%s: %s", d->open.vuid, msg);
}

/* ---- vfio-user */

static const struct vfio_user_front_ops vfio_user_ops = {
	.request = kept_on_request,
	.connected = kept_on_connected,
	.disconnected = kept_on_disconnected,
	.log = kept_on_log,
};

static int
vfio_user_open(struct kept_device *d, const struct kept_sockets *adopt)
{
	struct vfio_user_front_conf conf = {
		.base = d->kept->base,
		.mailbox = d->mailbox,
		.path = d->open.path,
		.mode = d->open.mode,
		.gid = d->open.gid < 0 ? (gid_t)-1 : (gid_t)d->open.gid,
		.ops = &vfio_user_ops,
		.ctx = d,
		.max_queues = d->open.max_queues,
		.any_fd = d->open.any_fd != 0,
		.listen_fd = -1,
		.conn_fd = -1,
	};
	struct vfio_user_front *front;
	int ret;

	if (adopt != NULL) {
		conf.adopt = true;
		conf.listen_fd = adopt->listen_fd;
		conf.conn_fd = adopt->conn_fd;
		conf.gone = d->gone;
		memcpy(conf.request_fds, adopt->request, sizeof(conf.request_fds));
	}
	ret = vfio_user_front_create(&conf, &front);
	if (ret == 0)
		d->front = front;
	return ret;
}

static void
vfio_user_close(struct kept_device *d)
{
	/* A request that stands gives up its descriptors with the connection. */
	d->ending = true;
	vfio_user_front_disconnect(d->front);
	vfio_user_front_destroy(d->front);
	d->front = NULL;
}

static void
vfio_user_reply(struct kept_device *d)
{
	vfio_user_front_reply(d->front);
}

static void
vfio_user_disconnect(struct kept_device *d)
{
	vfio_user_front_disconnect(d->front);
}

static void
vfio_user_pause(struct kept_device *d)
{
	vfio_user_front_pause(d->front);
}

static void
vfio_user_gone_done(struct kept_device *d)
{
	vfio_user_front_gone_done(d->front);
}

static bool
vfio_user_connected(const struct kept_device *d)
{
	return vfio_user_front_connected(d->front);
}

static int *
vfio_user_request_fds(const struct kept_device *d)
{
	return vfio_user_front_request_fds(d->front);
}

static int
vfio_user_listen_fd(const struct kept_device *d)
{
	return vfio_user_front_listen_fd(d->front);
}

static int
vfio_user_conn_fd(const struct kept_device *d)
{
	return vfio_user_front_conn_fd(d->front);
}

static void
vfio_user_set_notify(struct kept_device *d)
{
	const struct vfio_user_notify notify = {
		.region = d->notify.region,
		.multiplier = d->notify.multiplier,
		.offset = d->notify.offset,
		.size = d->notify.size,
	};

	vfio_user_front_set_notify(d->front, notify.size > 0 ? &notify : NULL);
}

static int
vfio_user_set_kick(struct kept_device *d, unsigned int queue, enum ha_kick_mode mode, int fd)
{
	if (mode == HA_KICK_FORWARD)
		fd = VFIO_USER_KICK_FORWARD;
	return vfio_user_front_set_kick(d->front, queue, fd);
}

static void
vfio_user_mailbox_moved(struct kept_device *d)
{
	vfio_user_front_set_mailbox(d->front, d->mailbox);
}

/* ---- */

static const struct kept_transport vfio_user = {
	.name = "vfio_user",
	.open = vfio_user_open,
	.close = vfio_user_close,
	.reply = vfio_user_reply,
	.disconnect = vfio_user_disconnect,
	.gone_done = vfio_user_gone_done,
	.pause = vfio_user_pause,
	.connected = vfio_user_connected,
	.request_fds = vfio_user_request_fds,
	.listen_fd = vfio_user_listen_fd,
	.conn_fd = vfio_user_conn_fd,
	.set_notify = vfio_user_set_notify,
	.set_kick = vfio_user_set_kick,
	.mailbox_moved = vfio_user_mailbox_moved,
};

static const struct kept_transport *const transports[] = {
	&vfio_user,
	&kept_vhost_user,
	&kept_vhost_user_client,
};

const struct kept_transport *
kept_transport_find(const char *name)
{
	for (unsigned int i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (strcmp(transports[i]->name, name) == 0)
			return transports[i];
	return NULL;
}
