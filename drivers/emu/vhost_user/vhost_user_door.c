/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Doors of a vhost-user function in this process: the front of lib/vhost_user. */

#include "emu/local_door.h"
#include "vhost_user/vhost_user.h"
#include "vhost_user_door.h"

static int
front_create(const struct emu_door_params *params, bool connect, void *ctx, void **out)
{
	static const struct vhost_user_front_ops ops = {
		.request = local_door_request,
		.connected = local_door_connected,
		.disconnected = local_door_disconnected,
		.log = local_door_log,
	};
	const struct vhost_user_front_conf conf = {
		.base = params->base,
		.mailbox = params->mailbox,
		.path = params->socket,
		.connect = connect,
		.mode = params->mode,
		.gid = (gid_t)-1,
		.ops = &ops,
		.ctx = ctx,
		.any_fd = params->any_file,
	};
	struct vhost_user_front *front;
	const int ret = vhost_user_front_create(&conf, &front);

	if (ret == 0)
		*out = front;
	return ret;
}

static int
front_listen(const struct emu_door_params *params, void *ctx, void **front)
{
	return front_create(params, false, ctx, front);
}

static int
front_connect(const struct emu_door_params *params, void *ctx, void **front)
{
	return front_create(params, true, ctx, front);
}

static void
front_destroy(void *front)
{
	vhost_user_front_destroy(front);
}

static int *
front_request_fds(void *front)
{
	return vhost_user_front_request_fds(front);
}

static void
front_reply(void *front)
{
	vhost_user_front_reply(front);
}

static void
front_disconnect(void *front)
{
	vhost_user_front_disconnect(front);
}

static void
front_gone_done(void *front)
{
	vhost_user_front_gone_done(front);
}

static bool
front_connected(const void *front)
{
	return vhost_user_front_connected(front);
}

#define FRONT_OPS(how)                                                                             \
	{                                                                                          \
		.create = how, .destroy = front_destroy, .request_fds = front_request_fds,         \
		.reply = front_reply, .disconnect = front_disconnect,                              \
		.gone_done = front_gone_done, .connected = front_connected,                        \
	}

static const struct local_front_ops listen_ops = FRONT_OPS(front_listen);
static const struct local_front_ops connect_ops = FRONT_OPS(front_connect);

int
vhost_user_door_listen(
	const struct emu_door_params *params, struct emu **emu, struct emu_door **out)
{
	return local_door_create(&listen_ops, params, emu, out);
}

int
vhost_user_door_connect(
	const struct emu_door_params *params, struct emu **emu, struct emu_door **out)
{
	return local_door_create(&connect_ops, params, emu, out);
}
