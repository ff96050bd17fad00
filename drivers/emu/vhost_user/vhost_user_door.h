/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VHOST_USER_DOOR_H
#define VHOST_USER_DOOR_H

/**
 * @file
 * Internal to the transport "vhost_user": its doors in this process (emu_ops.door_create()).
 */

#include "emu/emu.h"

/** The client comes to us. */
int vhost_user_door_listen(
	const struct emu_door_params *params, struct emu **emu, struct emu_door **out);
/** It is the client that listens. */
int vhost_user_door_connect(
	const struct emu_door_params *params, struct emu **emu, struct emu_door **out);

#endif /* VHOST_USER_DOOR_H */
