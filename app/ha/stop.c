/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The end. Either the active process closes its devices, or, where the service manager keeps
 * descriptors, it releases them: whether they live on is the manager's decision, not ours. Then all
 * processes are killed and waited for: nobody outlives the keeper.
 */

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <event2/event.h>

#include "keeper_impl.h"
#include "klog.h"
#include "sd.h"

/* Without any sign of progress for so long, the active process will not end by itself. */
#define STOP_MS 5000u
/* A killed process with much memory takes a second to be reaped. */
#define END_MS 5000u
/* A service manager that does not read what it is to keep. */
#define BARRIER_MS 1000

void
stop_if_empty(struct keeper *k)
{
	if (k->stop != STOP_NOT && TAILQ_EMPTY(&k->procs))
		event_base_loopbreak(k->base);
}

/* What the manager was told counts only if it has read it before we are gone. */
static void
wait_for_manager(void)
{
	struct pollfd p = {.fd = sd_barrier(), .events = POLLIN};

	if (p.fd < 0)
		return;
	if (poll(&p, 1, BARRIER_MS) != 1)
		klog_err("the service manager does not read");
	close(p.fd);
}

static void
stop_end(struct keeper *k)
{
	struct proc *p;

	if (k->stop == STOP_PARKING) {
		k->parked = true;
		wait_for_manager();
	}
	k->stop = STOP_ENDING;
	TAILQ_FOREACH (p, &k->procs, next)
		proc_kill(p, NULL);
	timer_arm(k->stop_due, END_MS);
	stop_if_empty(k);
}

static void
on_stop_due(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;

	const unsigned int left = kept_count(k->kept) + kept_closing(k->kept);

	if (k->stop == STOP_ENDING) {
		event_base_loopbreak(k->base);
		return;
	}
	/* It may have told all, and waits for us: a TAP takes its time to close. */
	if (left < k->closing_left) {
		k->closing_left = left;
		timer_arm(k->stop_due, STOP_MS);
		return;
	}
	klog_err("the emu process does not get on with its end: killed");
	stop_end(k);
}

static bool
active_has_devices(struct keeper *k)
{
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (k->active != NULL && kept_owner(d) == k->active->ch)
			return true;
	return false;
}

/*
 * No request comes any more, so that none stands with descriptors of its own at the end: the
 * service manager does not keep those of which it has the like already.
 */
static void
park(struct keeper *k)
{
	k->stop = STOP_PARKING;
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		kept_pause(d);
	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (k->active != NULL && kept_owner(d) == k->active->ch)
			proc_send(k->active, HA_RELEASE, kept_handle(d));
	if (!active_has_devices(k))
		stop_end(k);
}

void
stop_begin(struct keeper *k)
{
	if (k->stop != STOP_NOT) {
		klog_info("told twice to stop: at once");
		stop_end(k);
		return;
	}
	klog_info("stopping");
	sd_notify("STOPPING=1");
	k->stop = STOP_CLOSING;
	event_del(k->standby_due);
	event_del(k->backoff_due);
	event_del(k->adopt_due);
	handover_abandon(k);
	if (k->standby != NULL)
		proc_kill(k->standby, NULL);
	k->closing_left = kept_count(k->kept) + kept_closing(k->kept);
	timer_arm(k->stop_due, STOP_MS);
	if (sd_keeps() && k->first_up)
		park(k);
	else if (k->active == NULL || proc_send(k->active, HA_STOP, 0) < 0)
		stop_end(k);
}

void
stop_progress(struct keeper *k)
{
	if (k->stop == STOP_CLOSING || k->stop == STOP_PARKING)
		timer_arm(k->stop_due, STOP_MS);
}

void
stop_released(struct keeper *k, uint32_t device)
{
	struct kept_device *d = kept_find(k->kept, device);

	/* One that cannot be released is left as if its process had crashed. */
	if (d != NULL && k->active != NULL && kept_owner(d) == k->active->ch)
		kept_take_back(d);
	if (k->stop == STOP_PARKING && !active_has_devices(k))
		stop_end(k);
}

void
stop_lost(struct keeper *k, struct proc *p)
{
	if (k->standby == p)
		k->standby = NULL;
	if (k->active != p)
		return;
	k->active = NULL;
	if (k->stop != STOP_ENDING)
		stop_end(k);
}

int
stop_init(struct keeper *k)
{
	k->stop_due = evtimer_new(k->base, on_stop_due, k);
	return k->stop_due == NULL ? -ENOMEM : 0;
}

void
stop_fini(struct keeper *k)
{
	if (k->stop_due != NULL)
		event_free(k->stop_due);
}
