/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Door of a vfio-user function in this process: the front of lib/vfio_user. */

#include "emu/local_door.h"
#include "vfio_user/vfio_user.h"
#include "vfio_user_door.h"

static void
set_notify(struct sock_front *front, const struct emu_notify *notify)
{
	const struct vfio_user_notify n = {
		.region = notify->region,
		.multiplier = notify->multiplier,
		.offset = notify->offset,
		.size = notify->size,
	};

	vfio_user_front_set_notify(front, &n);
}

static const struct local_front kind = {
	.create = vfio_user_front_create,
	.set_notify = set_notify,
	.set_kick = vfio_user_front_set_kick,
};

int
vfio_user_door_create(const struct emu_door_params *params, struct emu **emu, struct emu_door **out)
{
	return local_door_create(&kind, params, emu, out);
}
