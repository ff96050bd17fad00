/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Doors of a vhost-user function in this process: the front of lib/vhost_user. */

#include "emu/local_door.h"
#include "vhost_user/vhost_user.h"
#include "vhost_user_door.h"

static const struct local_front listens = {.create = vhost_user_front_create};
static const struct local_front connects = {.create = vhost_user_front_create, .connects = true};

int
vhost_user_door_listen(
	const struct emu_door_params *params, struct emu **emu, struct emu_door **out)
{
	return local_door_create(&listens, params, emu, out);
}

int
vhost_user_door_connect(
	const struct emu_door_params *params, struct emu **emu, struct emu_door **out)
{
	return local_door_create(&connects, params, emu, out);
}
