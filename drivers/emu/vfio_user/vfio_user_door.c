/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Door of a vfio-user function in this process: the front of lib/vfio_user, and nothing between the
 * two halves but their mailbox.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <event2/event.h>

#include <rte_log.h>

#include "vfio_user/vfio_user.h"
#include "vfio_user_door.h"

RTE_LOG_REGISTER(vfio_user_door_logtype, virtnet.emu.vfio_user, NOTICE);

struct local_door {
	struct emu_door door;
	struct emu **emu; /* the owner's */
	struct emu_door_params params;
	char *path;
	struct vfio_user_notify notify;
	struct vfio_user_front *front; /* NULL: not open */
	struct event *late_ev;	       /* tells of a disconnect that came within a call */
	bool in_call;
};

static struct local_door *
local(struct emu_door *door)
{
	return (struct local_door *)door;
}

/* ---- from the front */

static void
on_request(void *ctx)
{
	struct local_door *d = ctx;
	struct emu *emu = *d->emu;

	if (emu != NULL)
		emu->ops->request(emu, vfio_user_front_request_fds(d->front));
}

static void
on_connected(void *ctx)
{
	struct local_door *d = ctx;
	struct emu *emu = *d->emu;

	if (emu != NULL)
		emu->ops->connected(emu);
}

static void
tell_disconnected(struct local_door *d)
{
	struct emu *emu = *d->emu;

	if (emu != NULL)
		emu->ops->disconnected(emu);
}

/* The function hears of it when it is not in the middle of something. */
static void
on_disconnected(void *ctx)
{
	struct local_door *d = ctx;

	if (d->in_call)
		event_active(d->late_ev, EV_TIMEOUT, 0);
	else
		tell_disconnected(d);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	RTE_SET_USED(fd);
	RTE_SET_USED(what);
	tell_disconnected(arg);
}

static void
on_log(void *ctx, int level, const char *msg)
{
	RTE_SET_USED(ctx);
	rte_log(level <= LOG_WARNING ? RTE_LOG_WARNING : RTE_LOG_INFO, vfio_user_door_logtype,
		"%s\n", msg);
}

static const struct vfio_user_front_ops front_ops = {
	.request = on_request,
	.connected = on_connected,
	.disconnected = on_disconnected,
	.log = on_log,
};

/* ---- to the front; before open() there is no client to do anything for */

static void
door_open(struct emu_door *door, void (*opened)(void *ctx, int err), void *ctx)
{
	struct local_door *d = local(door);
	const struct vfio_user_front_conf conf = {
		.base = d->params.base,
		.mailbox = d->params.mailbox,
		.path = d->path,
		.mode = d->params.mode,
		.gid = (gid_t)-1,
		.ops = &front_ops,
		.ctx = d,
		.max_queues = d->params.max_queues,
		.any_fd = d->params.any_file,
	};
	const int ret = vfio_user_front_create(&conf, &d->front);

	if (ret == 0)
		vfio_user_front_set_notify(d->front, &d->notify);
	opened(ctx, ret);
}

static void
door_close(struct emu_door *door)
{
	struct local_door *d = local(door);

	vfio_user_front_destroy(d->front);
	event_free(d->late_ev);
	free(d->path);
	free(d);
}

static void
door_reply(struct emu_door *door)
{
	struct local_door *d = local(door);

	if (d->front == NULL)
		return;
	d->in_call = true;
	vfio_user_front_reply(d->front);
	d->in_call = false;
}

static void
door_gone_done(struct emu_door *door)
{
	struct local_door *d = local(door);

	if (d->front == NULL)
		return;
	d->in_call = true;
	vfio_user_front_gone_done(d->front);
	d->in_call = false;
}

static void
door_set_notify(struct emu_door *door, const struct emu_notify *notify)
{
	struct local_door *d = local(door);

	d->notify = (struct vfio_user_notify){
		.region = notify->region,
		.multiplier = notify->multiplier,
		.offset = notify->offset,
		.size = notify->size,
	};
	if (d->front != NULL)
		vfio_user_front_set_notify(d->front, &d->notify);
}

static void
door_set_kick(struct emu_door *door, uint16_t queue, int fd)
{
	struct local_door *d = local(door);

	if (d->front != NULL)
		(void)vfio_user_front_set_kick(d->front, queue, fd);
}

static bool
door_connected(const struct emu_door *door)
{
	const struct local_door *d = (const struct local_door *)door;

	return d->front != NULL && vfio_user_front_connected(d->front);
}

static const struct emu_door_ops door_ops = {
	.open = door_open,
	.close = door_close,
	.reply = door_reply,
	.gone_done = door_gone_done,
	.set_notify = door_set_notify,
	.set_kick = door_set_kick,
	.connected = door_connected,
};

int
vfio_user_door_create(const struct emu_door_params *params, struct emu **emu, struct emu_door **out)
{
	struct local_door *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return -ENOMEM;
	d->door.ops = &door_ops;
	d->emu = emu;
	d->params = *params;
	d->path = strdup(params->socket);
	d->late_ev = event_new(params->base, -1, 0, on_late, d);
	if (d->path == NULL || d->late_ev == NULL) {
		if (d->late_ev != NULL)
			event_free(d->late_ev);
		free(d->path);
		free(d);
		return -ENOMEM;
	}
	*out = &d->door;
	return 0;
}
