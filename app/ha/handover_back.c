/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The way back: the new process lets go of what it has, or is dead; the old one, which still runs,
 * takes it up again. A state block that the new one has converted is converted back by a process of
 * the new program that does nothing else; the old program could not read it.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "handover.h"
#include "klog.h"

static void back_next(struct keeper *k);

void
handover_drop_converter(struct keeper *k)
{
	struct proc *p = k->handover.converter;

	k->handover.converter = NULL;
	if (p == NULL)
		return;
	p->role = PROC_DYING;
	proc_kill(p, NULL);
}

static void
back_end(struct keeper *k)
{
	struct handover *h = &k->handover;
	struct proc *old = h->old;

	handover_drop_converter(k);
	if (h->heir != NULL) {
		h->heir->role = PROC_DYING;
		proc_kill(h->heir, NULL);
	}
	handover_end(k, old, h->err);
	recovery_left_over(k);
	recovery_want_standby(k);
	recovery_tell_manager(k);
}

static void
back_give(struct keeper *k, struct kept_device *d, uint32_t flags)
{
	if (recovery_give(k, d, k->handover.old, flags) < 0) {
		back_next(k);
		return;
	}
	handover_step(k, HANDOVER_BACK_ADOPTING, HANDOVER_STEP_MS);
}

/* Nobody can read the block for the old process: the device starts anew rather than not at all. */
static void
back_give_anew(struct keeper *k, struct kept_device *d)
{
	const int fd = fcntl(kept_former_block(d), F_DUPFD_CLOEXEC, 0);

	klog_err("%s: its state cannot be converted back, it is reset", kept_vuid(d));
	if (fd < 0 || kept_replace_block(d, fd) < 0)
		klog_err("%s: its former state block is lost, too", kept_vuid(d));
	back_give(k, d, HA_ADOPT_POISON_BLOCK);
}

static void
back_convert(struct keeper *k, struct kept_device *d)
{
	struct handover *h = &k->handover;

	handover_step(k, HANDOVER_BACK_CONVERTING, HANDOVER_STEP_MS);
	if (h->converter == NULL)
		h->converter = proc_start(k, PROC_CONVERTER, "converter");
	else if (child_is_ready(h->converter->ch))
		handover_convert(k);
	if (h->converter == NULL)
		back_give_anew(k, d);
}

void
handover_convert(struct keeper *k)
{
	struct handover *h = &k->handover;
	struct kept_device *d = handover_device(k);
	struct ha_msg msg = {.type = HA_CONVERT, .len = sizeof(msg.u.hello), .device = h->device};
	int fd;

	if (h->state != HANDOVER_BACK_CONVERTING || d == NULL)
		return;
	msg.u.hello = *child_hello(h->old->ch);
	fd = kept_block(d);
	/* A failure is found by the deadline. */
	child_send(h->converter->ch, &msg, &fd, 1);
}

void
handover_converted(struct keeper *k, int err, int *fd)
{
	struct kept_device *d = handover_device(k);

	if (k->handover.state != HANDOVER_BACK_CONVERTING)
		return;
	if (d == NULL) {
		back_next(k);
		return;
	}
	if (err != 0 || fd == NULL || kept_replace_block(d, *fd) < 0) {
		back_give_anew(k, d);
		return;
	}
	*fd = -1;
	back_give(k, d, 0);
}

static void
back_one(struct keeper *k, struct kept_device *d)
{
	if (kept_former_block(d) >= 0)
		back_convert(k, d);
	else
		back_give(k, d, 0);
}

static void
back_next(struct keeper *k)
{
	struct handover *h = &k->handover;
	struct kept_device *d = handover_next_device(k, h->old);

	if (d == NULL) {
		back_end(k);
		return;
	}
	h->device = kept_handle(d);
	if (kept_owner(d) == NULL) {
		back_one(k, d);
		return;
	}
	proc_send(h->heir, HA_RELEASE, h->device);
	handover_step(k, HANDOVER_BACK_RELEASING, HANDOVER_STEP_MS);
}

void
handover_back(struct keeper *k)
{
	struct handover *h = &k->handover;

	klog_err("the hand-over is taken back: %s", h->text);
	h->device = 0;
	back_next(k);
}

void
handover_back_fence(struct keeper *k)
{
	struct handover *h = &k->handover;

	/* Its end is certain, only not yet here: no deadline. */
	h->state = HANDOVER_BACK_FENCING;
	event_del(h->deadline);
	proc_kill(h->heir, "failed to take over");
}

bool
handover_back_message(struct keeper *k, struct proc *p, unsigned int type, int err)
{
	struct handover *h = &k->handover;
	struct kept_device *d = handover_device(k);

	if (h->state == HANDOVER_BACK_RELEASING && p == h->heir && type == HA_RELEASED) {
		if (err != 0) {
			handover_back_fence(k);
		} else if (d == NULL) {
			back_next(k);
		} else {
			kept_take_back(d);
			back_one(k, d);
		}
		return true;
	}
	if (h->state == HANDOVER_BACK_ADOPTING && p == h->old && type == HA_ADOPTED) {
		if (d != NULL && err != 0) {
			recovery_not_taken(p, d, err, "");
		} else {
			poison_carried_out(&k->poison, h->device);
		}
		back_next(k);
		return true;
	}
	return false;
}

void
handover_back_late(struct keeper *k)
{
	struct handover *h = &k->handover;

	switch (h->state) {
	case HANDOVER_BACK_RELEASING:
		handover_back_fence(k);
		break;
	case HANDOVER_BACK_CONVERTING:
		handover_drop_converter(k);
		handover_converted(k, -ETIMEDOUT, NULL);
		break;
	case HANDOVER_BACK_ADOPTING:
		/* It has it, and is watched. */
		back_next(k);
		break;
	default:
		break;
	}
}
