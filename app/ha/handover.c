/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Fast restart and live update: devices go from the active process to a new one, one by one. If
 * anything fails before the last one is over, all go back (handover_back.c). Either way one of the
 * two ends with everything.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "clock.h"
#include "handover.h"
#include "klog.h"

/* The new process reads its settings and starts EAL. */
#define START_MS 30000u
/* The old one still has its command socket until the new one has put its own in its place. */
#define EXIT_DELAY_MS 100u
/* Devices that the old process opens meanwhile are fetched by another round. */
#define ROUNDS_MAX 8u

bool
handover_ongoing(const struct keeper *k)
{
	return k->handover.state != HANDOVER_NONE;
}

static const char *
kind_name(const struct handover *h)
{
	return h->kind == HA_HANDOVER_UPDATE ? "live update" : "fast restart";
}

struct kept_device *
handover_device(struct keeper *k)
{
	return kept_find(k->kept, k->handover.device);
}

struct kept_device *
handover_next_device(struct keeper *k, const struct proc *done)
{
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_handle(d) > k->handover.device && kept_owner(d) != done->ch)
			return d;
	return NULL;
}

void
handover_step(struct keeper *k, enum handover_state state, unsigned int ms)
{
	k->handover.state = state;
	timer_arm(k->handover.deadline, ms);
}

void
handover_end(struct keeper *k, struct proc *winner, int err)
{
	struct handover *h = &k->handover;
	struct ha_status *s = &k->status;

	event_del(h->deadline);
	h->state = HANDOVER_NONE;
	s->ongoing = 0;
	s->last = err;
	s->devices = h->devices;
	s->time_us = (clock_ns() - h->began_ns) / NS_PER_US;
	s->gap_us = h->gap_ns / NS_PER_US;
	memcpy(s->text, h->text, sizeof(s->text));
	if (err == 0)
		klog_info("%s from %s to %s: %u devices in %.1f ms, none without a process for "
			  "longer than %.1f ms",
			kind_name(h), s->from, s->to, s->devices, (double)s->time_us / 1000,
			(double)s->gap_us / 1000);
	else
		klog_err("%s failed: %s", kind_name(h), h->text);
	if (winner != NULL) {
		proc_migrate(winner, false);
		proc_send_status(winner);
	}
	h->old = h->heir = NULL;
}

void
handover_fail(struct keeper *k, int err, const char *fmt, ...)
{
	struct handover *h = &k->handover;
	va_list ap;

	/* The first reason is the one to know. */
	if (h->err != 0)
		return;
	h->err = err;
	va_start(ap, fmt);
	vsnprintf(h->text, sizeof(h->text), fmt, ap);
	va_end(ap);
}

/* It is of the former version. */
static void
drop_standby(struct keeper *k)
{
	struct proc *p = k->standby;

	k->standby = NULL;
	if (p == NULL)
		return;
	p->role = PROC_DYING;
	proc_kill(p, NULL);
}

/* All is there: the new process answers commands from now on. */
static void
succeed(struct keeper *k)
{
	struct handover *h = &k->handover;
	struct proc *old = h->old, *heir = h->heir;

	drop_standby(k);
	old->role = PROC_LEAVING;
	child_rename(old->ch, "former emu");
	timer_arm(old->deadline, EXIT_DELAY_MS);
	recovery_take_over(k, heir, 0, 0);
	handover_end(k, heir, 0);
}

static void
adopt(struct keeper *k, struct kept_device *d)
{
	struct handover *h = &k->handover;

	if (recovery_give(k, d, h->heir, 0) < 0) {
		handover_fail(k, -EIO, "%s cannot be sent to the new process", kept_vuid(d));
		handover_back(k);
		return;
	}
	handover_step(k, HANDOVER_ADOPTING, HANDOVER_STEP_MS);
}

static void
forward(struct keeper *k)
{
	struct handover *h = &k->handover;
	struct kept_device *d = handover_next_device(k, h->heir);

	if (d == NULL && h->rounds < ROUNDS_MAX) {
		h->rounds++;
		h->device = 0;
		d = handover_next_device(k, h->heir);
		if (d == NULL) {
			succeed(k);
			return;
		}
	}
	if (d == NULL) {
		handover_fail(k, -EBUSY, "the process opens devices faster than it lets them go");
		handover_back(k);
		return;
	}
	h->device = kept_handle(d);
	h->let_go_ns = clock_ns();
	if (kept_owner(d) == NULL) {
		adopt(k, d);
		return;
	}
	proc_send(h->old, HA_RELEASE, h->device);
	handover_step(k, HANDOVER_RELEASING, HANDOVER_STEP_MS);
}

void
handover_ready(struct keeper *k, struct proc *p)
{
	struct handover *h = &k->handover;

	if (p == h->converter) {
		handover_convert(k);
		return;
	}
	if (p != h->heir || h->state != HANDOVER_STARTING)
		return;
	memcpy(k->status.to, child_hello(p->ch)->version, sizeof(k->status.to));
	proc_migrate(h->old, true);
	proc_migrate(p, true);
	proc_hurry(p);
	proc_send(p, HA_ACTIVATE, 0);
	h->device = 0;
	forward(k);
}

static void
begin(struct keeper *k, uint32_t kind)
{
	struct handover *h = &k->handover;
	struct event *deadline = h->deadline;

	*h = (struct handover){.deadline = deadline, .kind = kind, .old = k->active};
	h->began_ns = clock_ns();
	k->status.ongoing = 1;
	k->status.kind = kind;
	k->status.text[0] = '\0';
	memcpy(k->status.from, child_hello(h->old->ch)->version, sizeof(k->status.from));
	memset(k->status.to, 0, sizeof(k->status.to));
	klog_info("%s begins", kind_name(h));
	handover_step(k, HANDOVER_STARTING, START_MS);
	proc_send_status(h->old);
	handover_go_on(k);
}

/* The standby may still be on its way up. */
void
handover_go_on(struct keeper *k)
{
	struct handover *h = &k->handover;

	if (h->state != HANDOVER_STARTING || h->heir != NULL || proc_starting(k))
		return;
	handover_step(k, HANDOVER_STARTING, START_MS);
	h->heir = proc_start(k, PROC_SUCCESSOR, "successor");
	if (h->heir == NULL) {
		handover_fail(k, -ENOEXEC, "%s cannot be started", k->opts->argv[0]);
		handover_end(k, h->old, h->err);
	}
}

void
handover_start(struct keeper *k, uint32_t kind)
{
	/* An answer in any case: whoever asked looks at the status. */
	if (handover_ongoing(k) || k->stop != STOP_NOT || !k->settled ||
		kind > HA_HANDOVER_UPDATE) {
		klog_err("a hand-over now is refused: %s",
			handover_ongoing(k) ? "one is under way" : "devices are being taken up");
		proc_send_status(k->active);
		return;
	}
	begin(k, kind);
}

static void
released(struct keeper *k, int err, const char *text)
{
	struct handover *h = &k->handover;
	struct kept_device *d = handover_device(k);

	/*
	 * Its removal is under way, CLOSE will come: the others meanwhile; when none is left, it
	 * is waited for.
	 */
	if (d != NULL && err == -ENOENT) {
		if (h->rounds == 0)
			forward(k);
		return;
	}
	if (d != NULL && err != 0) {
		handover_fail(
			k, err, "%s was not released: %s: %s", kept_vuid(d), strerror(-err), text);
		handover_back(k);
		return;
	}
	if (d == NULL) {
		forward(k);
		return;
	}
	kept_take_back(d);
	h->devices++;
	adopt(k, d);
}

static void
adopted(struct keeper *k, int err, const char *text)
{
	struct handover *h = &k->handover;
	struct kept_device *d = handover_device(k);
	const uint64_t gap = clock_ns() - h->let_go_ns;

	if (gap > h->gap_ns)
		h->gap_ns = gap;
	if (d != NULL && err != 0) {
		kept_take_back(d);
		handover_fail(k, err, "%s was not taken up by the new process: %s: %s",
			kept_vuid(d), strerror(-err), text);
		handover_back(k);
		return;
	}
	poison_carried_out(&k->poison, h->device);
	forward(k);
}

bool
handover_message(
	struct keeper *k, struct proc *p, const struct ha_msg *msg, int *fds, unsigned int n)
{
	struct handover *h = &k->handover;
	const int err = msg->u.result.err > 0 ? -EPROTO : msg->u.result.err;

	if (p == h->converter && msg->type == HA_CONVERTED) {
		handover_converted(k, err, n == 1 ? &fds[0] : NULL);
		return true;
	}
	if (!handover_ongoing(k) || msg->device != h->device)
		return false;
	if (msg->type != HA_RELEASED && msg->type != HA_ADOPTED)
		return false;
	if (h->state == HANDOVER_RELEASING && p == h->old && msg->type == HA_RELEASED)
		released(k, err, msg->u.result.text);
	else if (h->state == HANDOVER_ADOPTING && p == h->heir && msg->type == HA_ADOPTED)
		adopted(k, err, msg->u.result.text);
	else
		return handover_back_message(k, p, msg->type, err);
	return true;
}

/* By a command that came before: nothing to hand over. */
void
handover_closed(struct keeper *k, const struct proc *p, uint32_t device)
{
	struct handover *h = &k->handover;

	if (h->state == HANDOVER_RELEASING && p == h->old && device == h->device)
		forward(k);
}

/* The standby could not read what has been converted and not come back. */
static void
drop_standby_if_too_old(struct keeper *k)
{
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_former_block(d) >= 0) {
			drop_standby(k);
			return;
		}
}

/* The old one has died: the new one gets everything at once, and keeps what it has. */
static bool
old_lost(struct keeper *k)
{
	struct handover *h = &k->handover;
	struct proc *heir = h->heir;
	struct kept_device *d = handover_device(k);
	const bool up = h->state != HANDOVER_STARTING && h->state != HANDOVER_BACK_FENCING &&
			heir != NULL && child_killed_ns(heir->ch) == 0;
	const bool under_way =
		h->state == HANDOVER_ADOPTING && d != NULL && up && kept_owner(d) == heir->ch;

	h->old = NULL;
	handover_drop_converter(k);
	if (up) {
		klog_err("the former process died during the hand-over: the new one goes on");
		drop_standby(k);
		recovery_take_over(k, heir, HA_ADOPT_CRASHED, under_way);
		h->text[0] = '\0';
		handover_end(k, heir, 0);
		return true;
	}
	handover_fail(k, -ESRCH, "the process died before the new one was up");
	h->heir = NULL;
	if (h->state == HANDOVER_STARTING && k->standby == NULL && heir != NULL) {
		/* Nobody will be up sooner. */
		heir->role = PROC_STANDBY;
		k->standby = heir;
	} else if (heir != NULL) {
		heir->role = PROC_DYING;
		proc_kill(heir, NULL);
	}
	handover_end(k, NULL, h->err);
	drop_standby_if_too_old(k);
	return false;
}

bool
handover_lost(struct keeper *k, struct proc *p)
{
	struct handover *h = &k->handover;

	if (!handover_ongoing(k))
		return false;
	if (p == h->old)
		return old_lost(k);
	if (p == h->converter) {
		h->converter = NULL;
		handover_converted(k, -ESRCH, NULL);
	} else if (p == h->heir) {
		handover_fail(k, -ESRCH, "the new process %s",
			h->state == HANDOVER_STARTING ? "did not come up" : "died");
		h->heir = NULL;
		handover_back(k);
	}
	return false;
}

void
handover_abandon(struct keeper *k)
{
	struct handover *h = &k->handover;

	if (!handover_ongoing(k))
		return;
	event_del(h->deadline);
	handover_drop_converter(k);
	if (h->heir != NULL) {
		h->heir->role = PROC_DYING;
		proc_kill(h->heir, NULL);
	}
	h->state = HANDOVER_NONE;
	h->old = h->heir = NULL;
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	struct handover *h = &k->handover;
	struct kept_device *d = handover_device(k);
	const char *vuid = d != NULL ? kept_vuid(d) : "a device";

	switch (h->state) {
	case HANDOVER_STARTING:
		handover_fail(k, -ETIMEDOUT, "%s was not up within %u s",
			h->heir != NULL ? "the new process" : "the standby before it",
			START_MS / 1000);
		if (h->heir != NULL)
			handover_back_fence(k);
		else
			handover_back(k);
		break;
	case HANDOVER_RELEASING:
		handover_fail(k, -ETIMEDOUT, "%s was not released within %u s", vuid,
			HANDOVER_STEP_MS / 1000);
		handover_back(k);
		break;
	case HANDOVER_ADOPTING:
		handover_fail(k, -ETIMEDOUT, "%s was not taken up within %u s", vuid,
			HANDOVER_STEP_MS / 1000);
		handover_back_fence(k);
		break;
	case HANDOVER_NONE:
		break;
	default:
		handover_back_late(k);
		break;
	}
}

int
handover_init(struct keeper *k)
{
	k->handover.deadline = evtimer_new(k->base, on_deadline, k);
	return k->handover.deadline == NULL ? -ENOMEM : 0;
}

void
handover_fini(struct keeper *k)
{
	if (k->handover.deadline != NULL)
		event_free(k->handover.deadline);
}
