/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_DOOR_H
#define VFIO_USER_DOOR_H

/**
 * @file
 * Internal to the transport "vfio_user": its door in this process (emu_ops.door_create()).
 */

#include "emu/emu.h"

int vfio_user_door_create(
	const struct emu_door_params *params, struct emu **emu, struct emu_door **out);

#endif /* VFIO_USER_DOOR_H */
