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

#include <event2/event.h>

#include "kept_impl.h"
#include "klog.h"
#include "vfio_user/vfio_user.h"
#include "vhost_user/vhost_user.h"

static void
on_request(void *ctx)
{
	kept_tell_request(ctx);
}

static void
on_connected(void *ctx)
{
	struct kept_device *d = ctx;

	kept_store_conn(d);
	if (!d->gone)
		kept_tell(d, HA_CONNECTED, 0, NULL, 0);
}

static void
on_disconnected(void *ctx)
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

static void
on_log(void *ctx, int level, const char *msg)
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

static const struct sock_front_ops front_ops = {
	.request = on_request,
	.connected = on_connected,
	.disconnected = on_disconnected,
	.log = on_log,
};

int
kept_front_open(struct kept_device *d, const struct kept_sockets *adopt)
{
	struct sock_front_conf conf = {
		.base = d->kept->base,
		.mailbox = d->mailbox,
		.path = d->open.path,
		.connect = d->transport->connects,
		.mode = d->open.mode,
		.gid = d->open.gid < 0 ? (gid_t)-1 : (gid_t)d->open.gid,
		.ops = &front_ops,
		.ctx = d,
		.max_queues = d->open.max_queues,
		.any_fd = d->open.any_fd != 0,
		.closer = d->closer,
		.listen_fd = -1,
		.conn_fd = -1,
	};

	if (adopt != NULL) {
		conf.adopt = true;
		conf.listen_fd = adopt->listen_fd;
		conf.conn_fd = adopt->conn_fd;
		conf.gone = d->gone;
		memcpy(conf.request_fds, adopt->request, sizeof(conf.request_fds));
	}
	return d->transport->create(&conf, &d->front);
}

static void
on_quarantine_over(evutil_socket_t fd, short what, void *arg)
{
	struct kept_device *d = arg;

	klog_info("%s: its host may come again", d->open.vuid);
	sock_front_hold(d->front, false);
}

void
kept_quarantine(struct kept_device *d, unsigned int ms)
{
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000};

	if (d->quarantine == NULL)
		d->quarantine = evtimer_new(d->kept->base, on_quarantine_over, d);
	/* Without memory for the end of it there is only this. */
	if (d->quarantine != NULL && event_add(d->quarantine, &tv) == 0)
		sock_front_hold(d->front, true);
	sock_front_disconnect(d->front);
}

void
kept_front_close(struct kept_device *d)
{
	if (d->front == NULL)
		return;
	if (d->quarantine != NULL)
		event_free(d->quarantine);
	d->quarantine = NULL;
	/* A request that stands gives up its descriptors with the connection. */
	d->ending = true;
	sock_front_disconnect(d->front);
	sock_front_destroy(d->front);
	d->front = NULL;
}

void
kept_front_set_notify(struct kept_device *d)
{
	const struct vfio_user_notify notify = {
		.region = d->notify.region,
		.multiplier = d->notify.multiplier,
		.offset = d->notify.offset,
		.size = d->notify.size,
	};

	if (d->transport->doorbells)
		vfio_user_front_set_notify(d->front, notify.size > 0 ? &notify : NULL);
}

void
kept_front_set_kick(struct kept_device *d, unsigned int queue, enum ha_kick_mode mode, int fd)
{
	if (mode == HA_KICK_FORWARD)
		fd = VFIO_USER_KICK_FORWARD;
	if (d->transport->doorbells)
		(void)vfio_user_front_set_kick(d->front, queue, fd);
}

static const struct kept_transport transports[] = {
	{.name = "vfio_user", .create = vfio_user_front_create, .doorbells = true},
	{.name = "vhost_user", .create = vhost_user_front_create},
	{.name = "vhost_user_client", .create = vhost_user_front_create, .connects = true},
};

const struct kept_transport *
kept_transport_find(const char *name)
{
	for (unsigned int i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (strcmp(transports[i].name, name) == 0)
			return &transports[i];
	return NULL;
}
