/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Doors in this process. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <event2/event.h>

#include <rte_log.h>

#include "local_door.h"
#include "sock/discard.h"
#include "sock/front.h"

RTE_LOG_REGISTER(emu_door_logtype, virtnet.emu.door, NOTICE);

struct local_door {
	struct emu_door door;
	const struct local_front *kind;
	struct emu **emu; /* the owner's */
	struct emu_door_params params;
	char *path;
	struct emu_notify notify;
	struct sock_front *front; /* NULL: not open */
	struct event *late_ev;	  /* tells of a disconnect that came within a call */
	struct event *end_ev;	  /* ends the connection */
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
		emu->ops->request(emu, sock_front_request_fds(d->front));
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
on_end(evutil_socket_t fd, short what, void *arg)
{
	struct local_door *d = arg;

	RTE_SET_USED(fd);
	RTE_SET_USED(what);
	sock_front_disconnect(d->front);
}

static void
on_log(void *ctx, int level, const char *msg)
{
	RTE_SET_USED(ctx);
	rte_log(level <= LOG_WARNING ? RTE_LOG_WARNING : RTE_LOG_INFO, emu_door_logtype, "%s\n",
		msg);
}

static const struct sock_front_ops front_ops = {
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
	const struct sock_front_conf conf = {
		.base = d->params.base,
		.mailbox = d->params.mailbox,
		.path = d->path,
		.connect = d->kind->connects,
		.mode = d->params.mode,
		.gid = (gid_t)-1,
		.ops = &front_ops,
		.ctx = d,
		.max_queues = d->params.max_queues,
		.any_fd = d->params.any_file,
		.closer = d->door.closer,
	};
	const int ret = d->kind->create(&conf, &d->front);

	if (ret == 0 && d->kind->set_notify != NULL)
		d->kind->set_notify(d->front, &d->notify);
	opened(ctx, ret);
}

static void
door_free(struct local_door *d)
{
	if (d->late_ev != NULL)
		event_free(d->late_ev);
	if (d->end_ev != NULL)
		event_free(d->end_ev);
	sock_closer_release(d->door.closer);
	free(d->path);
	free(d);
}

static void
door_close(struct emu_door *door)
{
	struct local_door *d = local(door);

	if (d->front != NULL)
		sock_front_destroy(d->front);
	door_free(d);
}

static void
door_reply(struct emu_door *door)
{
	struct local_door *d = local(door);

	if (d->front == NULL)
		return;
	d->in_call = true;
	sock_front_reply(d->front);
	d->in_call = false;
}

static void
door_gone_done(struct emu_door *door)
{
	struct local_door *d = local(door);

	if (d->front == NULL)
		return;
	d->in_call = true;
	sock_front_gone_done(d->front);
	d->in_call = false;
}

static void
door_disconnect(struct emu_door *door)
{
	struct local_door *d = local(door);

	if (d->front != NULL)
		event_active(d->end_ev, EV_TIMEOUT, 0);
}

static void
door_set_notify(struct emu_door *door, const struct emu_notify *notify)
{
	struct local_door *d = local(door);

	d->notify = *notify;
	if (d->front != NULL && d->kind->set_notify != NULL)
		d->kind->set_notify(d->front, &d->notify);
}

static void
door_set_kick(struct emu_door *door, uint16_t queue, int fd)
{
	struct local_door *d = local(door);

	if (d->front != NULL && d->kind->set_kick != NULL)
		(void)d->kind->set_kick(d->front, queue, fd);
}

static bool
door_connected(const struct emu_door *door)
{
	const struct local_door *d = (const struct local_door *)door;

	return d->front != NULL && sock_front_connected(d->front);
}

static const struct emu_door_ops door_ops = {
	.open = door_open,
	.close = door_close,
	.reply = door_reply,
	.gone_done = door_gone_done,
	.disconnect = door_disconnect,
	.set_notify = door_set_notify,
	.set_kick = door_set_kick,
	.connected = door_connected,
};

int
local_door_create(const struct local_front *kind, const struct emu_door_params *params,
	struct emu **emu, struct emu_door **out)
{
	struct local_door *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return -ENOMEM;
	d->door.ops = &door_ops;
	d->kind = kind;
	d->emu = emu;
	d->params = *params;
	d->door.closer = sock_closer_create();
	d->path = strdup(params->socket);
	d->late_ev = event_new(params->base, -1, 0, on_late, d);
	d->end_ev = event_new(params->base, -1, 0, on_end, d);
	if (d->door.closer == NULL || d->path == NULL || d->late_ev == NULL || d->end_ev == NULL) {
		door_free(d);
		return -ENOMEM;
	}
	*out = &d->door;
	return 0;
}
