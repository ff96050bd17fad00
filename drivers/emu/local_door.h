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

/* What happens at the front, for its own table of operations; ctx is what create() got. */
void local_door_request(void *ctx);
void local_door_connected(void *ctx);
void local_door_disconnected(void *ctx);
void local_door_log(void *ctx, int level, const char *msg);

/** A transport's front. */
struct local_front_ops {
	/** @param ctx  for local_door_request() and so on */
	int (*create)(const struct emu_door_params *params, void *ctx, void **front);
	void (*destroy)(void *front);
	int *(*request_fds)(void *front);
	void (*reply)(void *front);
	void (*disconnect)(void *front);
	void (*gone_done)(void *front);
	bool (*connected)(const void *front);
	/** Of a front through which doorbells come; both NULL otherwise. */
	void (*set_notify)(void *front, const struct emu_notify *notify);
	void (*set_kick)(void *front, uint16_t queue, int fd);
};

/** emu_ops.door_create() of a transport with this front. */
int local_door_create(const struct local_front_ops *ops, const struct emu_door_params *params,
	struct emu **emu, struct emu_door **out);

#endif /* EMU_LOCAL_DOOR_H */
