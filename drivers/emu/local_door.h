/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef EMU_LOCAL_DOOR_H
#define EMU_LOCAL_DOOR_H

/**
 * @file
 * A door in this process (emu_ops.door_create()): a transport's front, and nothing between it and
 * the function but their mailbox.
 */

#include "emu/emu.h"

struct sock_front;
struct sock_front_conf;

/** A transport's front (sock/front.h), as far as transports differ. */
struct local_front {
	int (*create)(const struct sock_front_conf *conf, struct sock_front **out);
	bool connects; /**< to a client that listens */
	/** Of a front through which doorbells come; both NULL otherwise. */
	void (*set_notify)(struct sock_front *front, const struct emu_notify *notify);
	int (*set_kick)(struct sock_front *front, unsigned int queue, int fd);
};

/** emu_ops.door_create() of a transport with this front. */
int local_door_create(const struct local_front *kind, const struct emu_door_params *params,
	struct emu **emu, struct emu_door **out);

#endif /* EMU_LOCAL_DOOR_H */
