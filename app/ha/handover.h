/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_HANDOVER_H
#define APP_HA_HANDOVER_H

/**
 * @file
 * A hand-over, inside of the keeper: what its way forth (handover.c) and its way back
 * (handover_back.c) share. What others may call is in keeper_impl.h.
 *
 *	STARTING	the new process comes up beside the old one, once no other is coming up
 *	RELEASING	the old one lets device d go
 *	ADOPTING	the new one takes d up; then RELEASING of the next one
 *
 * After the last one the new process is told ACTIVE, the old one EXIT. Until then, whatever fails
 *
 *	BACK_FENCING	the new process does not answer any more: killed, its end is awaited
 *	BACK_RELEASING	the new one, still of use, lets d go
 *	BACK_CONVERTING	d's state block, which it had converted, is made readable for the old one
 *	BACK_ADOPTING	the old one takes d up again; then BACK_RELEASING of the next one
 *
 * and everything is as before. If the old process dies on the way, there is no way back: the new
 * one gets all. If both die, it is a crash (recovery.c).
 */

#include "keeper_impl.h"

/* One device's step; commands and hosts wait for it. */
#define HANDOVER_STEP_MS 5000u

/* The device on its way; NULL if it has been closed. */
struct kept_device *handover_device(struct keeper *k);
/* The next one, by handle, that the process has not got yet. */
struct kept_device *handover_next_device(struct keeper *k, const struct proc *done);
void handover_step(struct keeper *k, enum handover_state state, unsigned int ms);
/* Remember why, unless there was a reason before. */
void handover_fail(struct keeper *k, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* It is over; the winner has everything, or NULL: nobody has. */
void handover_end(struct keeper *k, struct proc *winner, int err);

/* Bring all devices back to the old process. */
void handover_back(struct keeper *k);
/* The same, but kill the new process first. */
void handover_back_fence(struct keeper *k);
/* A step of the way back is late. */
void handover_back_late(struct keeper *k);
bool handover_back_message(struct keeper *k, struct proc *p, unsigned int type, int err);
/* The converter is up: send it the block that waits. */
void handover_convert(struct keeper *k);
/* It has answered, or (fd == NULL or err) cannot. *fd becomes -1 if it is taken. */
void handover_converted(struct keeper *k, int err, int *fd);
void handover_drop_converter(struct keeper *k);

#endif /* APP_HA_HANDOVER_H */
