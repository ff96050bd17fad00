/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Who is the active process, and who is it next when it has crashed. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <event2/event.h>

#include "clock.h"
#include "keeper_impl.h"
#include "klog.h"
#include "sd.h"

/* A new standby's start takes CPU time that the process just activated needs more. */
#define STANDBY_DELAY_MS 200u
/* A device that is not taken up by then must not keep the others from having a command socket. */
#define ADOPT_MS 10000u
/*
 * A process that dies by its own doing within that time is one of a loop, and to start the next one
 * at once would only burn CPU time. Who is killed by others, or has served for a while, is replaced
 * at once.
 */
#define LOOP_MS 1000u
/* A device that was not taken up: what was in the way may be gone by then. */
#define RETRY_MS 1000u

/* What a cold recovery's time went to. A process of another version may not say all of it. */
static void
report_split(const struct crash_report *r, char *text, size_t size)
{
	char head_start[32] = "", of_start[64] = "";

	if (r->head_start_ns != 0)
		snprintf(head_start, sizeof(head_start), ", %.1f before",
			(double)r->head_start_ns / NS_PER_MS);
	if (r->eal_us != 0 || r->pools_us != 0)
		snprintf(of_start, sizeof(of_start), ": EAL %.1f, pools %.1f",
			(double)r->eal_us / 1000, (double)r->pools_us / 1000);
	snprintf(text, size, " (start %.1f%s%s; adoption %.1f)", (double)r->start_ns / NS_PER_MS,
		head_start, of_start, (double)r->adoption_ns / NS_PER_MS);
}

/* Until it was up, and what it says of that. */
static void
report_heir(struct crash_report *r, const struct proc *p)
{
	const struct ha_hello *hello = child_hello(p->ch);

	r->start_ns = p->ready_ns > r->fenced_ns ? p->ready_ns - r->fenced_ns : 0;
	r->head_start_ns = p->started_ns < r->fenced_ns ? r->fenced_ns - p->started_ns : 0;
	r->eal_us = hello->eal_us;
	r->pools_us = hello->pools_us;
}

static void
report_write(struct crash_report *r)
{
	char end[64] = "died", detected[64] = "", split[128] = "", heir[224] = "";

	if (!r->open)
		return;
	r->open = false;
	if (r->reaped && WIFSIGNALED(r->status))
		snprintf(end, sizeof(end), "died by signal %d", WTERMSIG(r->status));
	else if (r->reaped)
		snprintf(end, sizeof(end), "ended with status %d", WEXITSTATUS(r->status));
	if (r->cold)
		report_split(r, split, sizeof(split));
	if (r->killed_ns != 0)
		snprintf(detected, sizeof(detected), "detected in %.0f us, ",
			(double)(r->fenced_ns - r->killed_ns) / NS_PER_US);
	if (r->recovered)
		snprintf(heir, sizeof(heir), "taken over by %s%d in %.1f ms%s",
			r->cold ? "the newly started " : "", (int)r->heir,
			(double)r->took_ns / NS_PER_MS, r->cold ? split : "");
	klog_err("emu process %d %s%s%s: %s%u devices %s", (int)r->pid, end,
		r->why != NULL ? ", it " : "", r->why != NULL ? r->why : "", detected, r->devices,
		r->recovered ? heir : "wait for another one");
}

static void
report_try(struct crash_report *r)
{
	if (r->open && r->reaped && r->recovered)
		report_write(r);
}

static void
report_open(struct keeper *k, const struct proc *p, unsigned int devices)
{
	const bool killed = p->why != NULL && child_killed_ns(p->ch) < child_fenced_ns(p->ch);

	/* The one before may never be complete any more. */
	report_write(&k->report);
	k->report = (struct crash_report){
		.open = true,
		.pid = child_pid(p->ch),
		.why = p->why,
		.fenced_ns = child_fenced_ns(p->ch),
		.killed_ns = killed ? child_killed_ns(p->ch) : 0,
		.devices = devices,
	};
}

/* Devices that even a reset has not helped. */
static unsigned int
given_up(struct keeper *k)
{
	unsigned int n = 0;

	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_owner(d) == NULL && *kept_failures(d) > 1)
			n++;
	return n;
}

void
recovery_tell_manager(struct keeper *k)
{
	const unsigned int idle = given_up(k);
	char text[320];
	int len;

	len = snprintf(text, sizeof(text), "STATUS=%u devices", kept_count(k->kept));
	if (idle > 0)
		len += snprintf(text + len, sizeof(text) - (size_t)len,
			", of which %u could not be taken up", idle);
	if (k->active != NULL)
		len += snprintf(text + len, sizeof(text) - (size_t)len, ", emu process %d",
			(int)child_pid(k->active->ch));
	else if (evtimer_pending(k->backoff_due, NULL))
		len += snprintf(text + len, sizeof(text) - (size_t)len,
			", no emu process: it crashes again and again, next try in %u ms",
			k->backoff.delay_ms);
	else
		len += snprintf(text + len, sizeof(text) - (size_t)len, ", emu process starting");
	if (k->standby != NULL && child_is_ready(k->standby->ch))
		len += snprintf(text + len, sizeof(text) - (size_t)len, ", standby %d",
			(int)child_pid(k->standby->ch));
	if (k->crashes > 0)
		snprintf(text + len, sizeof(text) - (size_t)len,
			", %u crashes, last recovery took %.1f ms", k->crashes,
			(double)k->last_recovery_ns / NS_PER_MS);
	sd_notify(text);
}

void
recovery_want_standby(struct keeper *k)
{
	if (k->opts->standby && k->standby == NULL && k->stop == STOP_NOT &&
		!evtimer_pending(k->standby_due, NULL))
		timer_arm(k->standby_due, STANDBY_DELAY_MS);
}

static void
on_standby_due(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	if (k->standby != NULL || k->active == NULL || k->stop != STOP_NOT)
		return;
	if (handover_ongoing(k) || proc_starting(k)) {
		timer_arm(k->standby_due, STANDBY_DELAY_MS);
		return;
	}
	k->standby = proc_start(k, PROC_STANDBY, "standby");
	if (k->standby == NULL)
		timer_arm(k->standby_due, BACKOFF_MAX_MS);
}

/* Every device that can be taken up has been. */
static void
settle(struct keeper *k)
{
	struct crash_report *r = &k->report;

	event_del(k->adopt_due);
	k->settled = true;
	proc_send(k->active, HA_ACTIVE, 0);
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_former_block(d) >= 0)
			kept_commit_block(d);
	if (r->open && !r->recovered) {
		r->recovered = true;
		r->heir = child_pid(k->active->ch);
		r->took_ns = clock_ns() - r->fenced_ns;
		r->adoption_ns = clock_ns() - k->active->since_ns;
		report_heir(r, k->active);
		k->last_recovery_ns = r->took_ns;
		report_try(r);
	}
	if (!k->told_ready) {
		k->told_ready = true;
		sd_notify("READY=1");
	}
	recovery_tell_manager(k);
	recovery_want_standby(k);
}

static void
on_adopt_due(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	if (k->active == NULL || k->settled)
		return;
	klog_err("%u devices have not been taken up by process %d in %u s; it goes to work without",
		k->adopting, (int)child_pid(k->active->ch), ADOPT_MS / 1000);
	k->adopting = 0;
	settle(k);
}

int
recovery_give(struct keeper *k, struct kept_device *d, struct proc *to, uint32_t flags)
{
	uint32_t queue = 0;
	int ret;

	flags |= poison_flags(&k->poison, kept_handle(d), &queue);
	ret = kept_give(d, to->ch, flags, queue);
	if (ret < 0)
		klog_err("%s cannot be given to process %d: %s", kept_vuid(d),
			(int)child_pid(to->ch), strerror(-ret));
	return ret;
}

/* All that nobody has, but those that it could not take up before. */
static unsigned int
give_all(struct keeper *k, struct proc *p, uint32_t flags, bool connected)
{
	unsigned int n = 0;

	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_owner(d) == NULL && kept_connected(d) == connected &&
			*kept_failures(d) == 0 && recovery_give(k, d, p, flags) == 0)
			n++;
	return n;
}

void
recovery_take_over(struct keeper *k, struct proc *p, uint32_t flags, unsigned int under_way)
{
	if (k->standby == p)
		k->standby = NULL;
	p->role = PROC_ACTIVE;
	p->since_ns = clock_ns();
	child_rename(p->ch, "emu");
	k->active = p;
	k->settled = false;
	proc_send_status(p);
	/* It may have more luck than the one before. */
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_owner(d) == NULL)
			*kept_failures(d) = 0;
	/* Hosts wait for those with a client. */
	k->adopting = under_way + give_all(k, p, flags, true);
	k->adopting += give_all(k, p, flags, false);
	if (k->adopting == 0)
		settle(k);
	else
		timer_arm(k->adopt_due, ADOPT_MS);
}

void
recovery_left_over(struct keeper *k)
{
	unsigned int n;

	if (k->active == NULL || k->stop != STOP_NOT || handover_ongoing(k))
		return;
	n = give_all(k, k->active, HA_ADOPT_CRASHED, true);
	n += give_all(k, k->active, HA_ADOPT_CRASHED, false);
	k->adopting += n;
	if (n > 0 && !k->settled)
		timer_arm(k->adopt_due, ADOPT_MS);
}

void
recovery_next(struct keeper *k)
{
	struct proc *p;

	if (k->stop != STOP_NOT || k->active != NULL || evtimer_pending(k->backoff_due, NULL))
		return;
	/* Called again when whoever is starting has ended. */
	if (k->standby == NULL && proc_starting(k)) {
		k->report.cold = true;
		return;
	}
	if (k->standby == NULL)
		k->standby = proc_start(k, PROC_STANDBY, "emu");
	p = k->standby;
	if (p == NULL) {
		timer_arm(k->backoff_due, BACKOFF_MAX_MS);
		return;
	}
	/* Also one that is still starting: nobody else is there. */
	proc_hurry(p);
	if (child_is_ready(p->ch)) {
		proc_send(p, HA_ACTIVATE, 0);
		recovery_take_over(k, p, k->crashes > 0 ? HA_ADOPT_CRASHED : 0, 0);
	} else {
		k->report.cold = true;
	}
}

static void
on_backoff_due(evutil_socket_t fd, short what, void *arg)
{
	recovery_next(arg);
}

/* After a delay, if it has come to that. */
static void
next_after_crash(struct keeper *k, bool loop)
{
	const unsigned int ms = loop ? backoff_crash(&k->backoff, clock_ns() / NS_PER_MS) : 0;

	if (ms > 0) {
		klog_err("%u crashes at short intervals: the next process waits %u ms",
			k->backoff.n, ms);
		timer_arm(k->backoff_due, ms);
		recovery_tell_manager(k);
	}
	recovery_next(k);
}

void
recovery_crashed(struct keeper *k, struct proc *p, unsigned int devices, enum death death)
{
	const uint64_t served_ms = (clock_ns() - p->since_ns) / NS_PER_MS;

	event_del(k->adopt_due);
	k->active = NULL;
	k->settled = false;
	k->adopting = 0;
	k->crashes++;
	report_open(k, p, devices);
	if (!handover_lost(k, p))
		next_after_crash(k, death == DEATH_OWN && served_ms < LOOP_MS);
}

void
recovery_standby_lost(struct keeper *k, struct proc *p)
{
	unsigned int ms;

	k->standby = NULL;
	/* The very first process: the keeper ends with it. */
	if (!k->first_up)
		return;
	klog_err("%s process %d has ended before it was needed", child_name(p->ch),
		(int)child_pid(p->ch));
	if (k->active == NULL) {
		next_after_crash(k, true);
		return;
	}
	ms = backoff_crash(&k->standby_backoff, clock_ns() / NS_PER_MS);
	if (ms < STANDBY_DELAY_MS)
		ms = STANDBY_DELAY_MS;
	if (k->opts->standby)
		timer_arm(k->standby_due, ms);
	recovery_tell_manager(k);
}

void
recovery_reaped(struct keeper *k, pid_t pid, int status)
{
	struct crash_report *r = &k->report;

	if (!r->open || r->pid != pid)
		return;
	r->reaped = true;
	r->status = status;
	report_try(r);
}

void
recovery_not_taken(struct proc *p, struct kept_device *d, int err, const char *text)
{
	struct keeper *k = p->k;
	const bool again = ++*kept_failures(d) == 1;

	klog_err("%s has not been taken up by process %d: %s%s%s; %s", kept_vuid(d),
		(int)child_pid(p->ch), strerror(-err), *text != '\0' ? ": " : "", text,
		again ? "once more, with a reset" : "it is without a process until the next one");
	kept_take_back(d);
	if (again)
		timer_arm(k->retry_due, RETRY_MS);
	recovery_tell_manager(k);
}

static void
on_retry_due(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	/* The next process is given everything anyway. */
	if (k->active == NULL || k->stop != STOP_NOT)
		return;
	if (handover_ongoing(k)) {
		timer_arm(k->retry_due, RETRY_MS);
		return;
	}
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_owner(d) == NULL && *kept_failures(d) == 1 &&
			recovery_give(k, d, k->active, HA_ADOPT_POISON_BLOCK) == 0)
			k->adopting++;
}

void
recovery_adopted(struct proc *p, const struct ha_msg *msg)
{
	struct keeper *k = p->k;
	struct kept_device *d = kept_find(k->kept, msg->device);

	if (p != k->active || d == NULL || kept_owner(d) != p->ch)
		return;
	if (msg->u.result.err != 0) {
		recovery_not_taken(p, d, msg->u.result.err, msg->u.result.text);
	} else {
		*kept_failures(d) = 0;
		poison_carried_out(&k->poison, msg->device);
	}
	if (k->adopting > 0)
		k->adopting--;
	if (k->adopting == 0 && !k->settled)
		settle(k);
}

int
recovery_init(struct keeper *k)
{
	k->standby_due = evtimer_new(k->base, on_standby_due, k);
	k->backoff_due = evtimer_new(k->base, on_backoff_due, k);
	k->adopt_due = evtimer_new(k->base, on_adopt_due, k);
	k->retry_due = evtimer_new(k->base, on_retry_due, k);
	if (k->standby_due == NULL || k->backoff_due == NULL || k->adopt_due == NULL ||
		k->retry_due == NULL)
		return -ENOMEM;
	return 0;
}

void
recovery_fini(struct keeper *k)
{
	struct event *const events[] = {k->standby_due, k->backoff_due, k->adopt_due, k->retry_due};

	for (unsigned int i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i] != NULL)
			event_free(events[i]);
}
