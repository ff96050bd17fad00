/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Door of a vfio-user function in this process: the front of lib/vfio_user. */

#include "emu/local_door.h"
#include "vfio_user/vfio_user.h"
#include "vfio_user_door.h"

static int
front_create(const struct emu_door_params *params, void *ctx, void **out)
{
	static const struct vfio_user_front_ops ops = {
		.request = local_door_request,
		.connected = local_door_connected,
		.disconnected = local_door_disconnected,
		.log = local_door_log,
	};
	const struct vfio_user_front_conf conf = {
		.base = params->base,
		.mailbox = params->mailbox,
		.path = params->socket,
		.mode = params->mode,
		.gid = (gid_t)-1,
		.ops = &ops,
		.ctx = ctx,
		.max_queues = params->max_queues,
		.any_fd = params->any_file,
	};
	struct vfio_user_front *front;
	const int ret = vfio_user_front_create(&conf, &front);

	if (ret == 0)
		*out = front;
	return ret;
}

static void
front_destroy(void *front)
{
	vfio_user_front_destroy(front);
}

static int *
front_request_fds(void *front)
{
	return vfio_user_front_request_fds(front);
}

static void
front_reply(void *front)
{
	vfio_user_front_reply(front);
}

static void
front_disconnect(void *front)
{
	vfio_user_front_disconnect(front);
}

static void
front_gone_done(void *front)
{
	vfio_user_front_gone_done(front);
}

static bool
front_connected(const void *front)
{
	return vfio_user_front_connected(front);
}

static void
front_set_notify(void *front, const struct emu_notify *notify)
{
	const struct vfio_user_notify n = {
		.region = notify->region,
		.multiplier = notify->multiplier,
		.offset = notify->offset,
		.size = notify->size,
	};

	vfio_user_front_set_notify(front, &n);
}

static void
front_set_kick(void *front, uint16_t queue, int fd)
{
	(void)vfio_user_front_set_kick(front, queue, fd);
}

static const struct local_front_ops front_ops = {
	.create = front_create,
	.destroy = front_destroy,
	.request_fds = front_request_fds,
	.reply = front_reply,
	.disconnect = front_disconnect,
	.gone_done = front_gone_done,
	.connected = front_connected,
	.set_notify = front_set_notify,
	.set_kick = front_set_kick,
};

int
vfio_user_door_create(const struct emu_door_params *params, struct emu **emu, struct emu_door **out)
{
	return local_door_create(&front_ops, params, emu, out);
}
