/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The keeper's processes and what happens to them, passed on by their roles. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "clock.h"
#include "keeper_impl.h"
#include "klog.h"
#include "sd.h"

/* EAL with very much memory takes its time; the first process may take any. */
#define HELLO_MS 60000u
/* After EXIT there is nothing left to do. */
#define LEAVE_MS 2000u
/*
 * Runs for microseconds, at moments when hosts wait for it: a busy machine's other programs must
 * not come first. Its watching threads inherit it, emu processes do not.
 */
#define KEEPER_NICE (-10)
/* Of a process that is not needed yet, above (that is: behind) the active one's. */
#define SLOW_NICE 10
/* A shell's way to tell of a signal. */
#define EXIT_SIGNAL 128

void
timer_arm(struct event *timer, unsigned int ms)
{
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000};

	event_add(timer, &tv);
}

int
proc_send(struct proc *p, unsigned int type, uint32_t device)
{
	const struct ha_msg msg = {.type = (uint16_t)type, .device = device};

	return child_send(p->ch, &msg, NULL, 0);
}

void
proc_migrate(struct proc *p, bool begins)
{
	struct ha_msg msg = {.type = HA_MIGRATE, .len = sizeof(msg.u.result)};

	msg.u.result.err = begins;
	child_send(p->ch, &msg, NULL, 0);
}

static void
send_status_as(struct proc *p, uint16_t type)
{
	struct ha_msg msg = {.type = type, .len = sizeof(msg.u.status)};

	msg.u.status = p->k->status;
	child_send(p->ch, &msg, NULL, 0);
}

void
proc_send_status(struct proc *p)
{
	send_status_as(p, HA_STATUS);
}

void
proc_kill(struct proc *p, const char *why)
{
	if (p->why == NULL)
		p->why = why;
	if (why != NULL)
		klog_err("%s process %d %s: killed", child_name(p->ch), (int)child_pid(p->ch), why);
	child_kill(p->ch);
}

static void
proc_free(struct proc *p)
{
	TAILQ_REMOVE(&p->k->procs, p, next);
	child_destroy(p->ch);
	if (p->deadline != NULL)
		event_free(p->deadline);
	if (p->resume != NULL)
		event_free(p->resume);
	free(p);
}

static void
on_ready(struct child *ch)
{
	struct proc *p = child_ctx(ch);
	struct keeper *k = p->k;

	event_del(p->deadline);
	p->ready_ns = clock_ns();
	klog_info("%s process %d is up: %s", child_name(ch), (int)child_pid(ch),
		child_hello(ch)->version);
	if (k->stop != STOP_NOT)
		return;
	if (p->role == PROC_DYING) {
		handover_go_on(k);
		return;
	}
	k->first_up = true;
	send_status_as(p, HA_WELCOME);
	if (p->role == PROC_STANDBY) {
		if (k->active == NULL)
			recovery_next(k);
		else
			recovery_tell_manager(k);
		handover_go_on(k);
	} else {
		handover_ready(k, p);
	}
}

/* RELEASED without anybody having asked (late, after a time-out): it has the device again. */
static void
released_unasked(struct proc *p, uint32_t device)
{
	struct kept_device *d = kept_find(p->k->kept, device);

	if (d == NULL || kept_owner(d) != p->ch)
		return;
	kept_take_back(d);
	if (recovery_give(p->k, d, p, 0) == 0)
		p->k->adopting++;
}

/* From the active process, or the new one of a hand-over. */
static void
message_of_owner(struct proc *p, const struct ha_msg *msg, int *fds, unsigned int n)
{
	struct keeper *k = p->k;
	const bool handled = handover_message(k, p, msg, fds, n);

	switch (msg->type) {
	case HA_ADOPTED:
		if (!handled)
			recovery_adopted(p, msg);
		return;
	case HA_RELEASED:
		if (k->stop != STOP_NOT)
			stop_released(k, msg->device);
		else if (!handled && msg->u.result.err == 0)
			released_unasked(p, msg->device);
		return;
	case HA_HANDOVER:
		if (p == k->active && p->why == NULL)
			handover_start(k, msg->u.handover.kind);
		return;
	case HA_STOPPED:
		return;
	default:
		break;
	}
	if ((msg->type == HA_OPEN && p != k->active) ||
		kept_message(k->kept, p->ch, msg, fds, n) < 0) {
		klog_err("%s of device %u is not for %s process %d to send", ha_msg_name(msg->type),
			msg->device, child_name(p->ch), (int)child_pid(p->ch));
		p->broken = true;
		proc_kill(p, "broke the protocol");
	} else if (msg->type == HA_CLOSE) {
		handover_closed(k, p, msg->device);
	}
}

static void
on_message(struct child *ch, const struct ha_msg *msg, int *fds, unsigned int n)
{
	struct proc *p = child_ctx(ch);

	/* Nothing that it says after a wrong message can be relied on. */
	if (p->broken)
		return;
	switch (p->role) {
	case PROC_ACTIVE:
	case PROC_SUCCESSOR:
		message_of_owner(p, msg, fds, n);
		/* Whatever it does about its devices: it gets on. */
		stop_progress(p->k);
		break;
	case PROC_CONVERTER:
		handover_message(p->k, p, msg, fds, n);
		break;
	case PROC_STANDBY:
		p->broken = true;
		proc_kill(p, "owns nothing and has nothing to say");
		break;
	case PROC_DYING:
		/* What it stored belongs to requests whose replies may stand already. */
		if (msg->type != HA_OPEN)
			(void)kept_message(p->k->kept, ch, msg, fds, n);
		break;
	case PROC_LEAVING:
		break;
	}
}

static void
on_lost(struct child *ch, const struct ha_msg *msg)
{
	struct proc *p = child_ctx(ch);
	int none = -1;

	if (p->broken)
		return;
	/* Neither is of any use without. */
	if (msg->type == HA_CONVERTED)
		handover_message(p->k, p, msg, &none, 0);
	else if (kept_lost(p->k->kept, ch, msg) < 0)
		proc_kill(p, "cannot be heard: no more descriptors");
}

static unsigned int
take_back_all(struct keeper *k, struct child *ch)
{
	unsigned int n = 0;

	for (struct kept_device *d = kept_first(k->kept); d != NULL; d = kept_next(k->kept, d))
		if (kept_owner(d) == ch) {
			kept_take_back(d);
			n++;
		}
	kept_forget(k->kept, ch);
	return n;
}

/* What the next process is not to do. */
static void
sentence(struct keeper *k, const struct ha_crumb *crumb, enum poison_verdict verdict)
{
	struct kept_device *d = kept_find(k->kept, crumb->device);
	const char *vuid = d != NULL ? kept_vuid(d) : "a device that is gone";
	unsigned int ms;

	if (verdict == POISON_SPOT) {
		klog_err("%s has been fatal twice (%s): it will not be touched that way again",
			vuid,
			crumb->kind == HA_CRUMB_QUEUE	  ? "a queue"
			: crumb->kind == HA_CRUMB_REQUEST ? "a request of its host"
							  : "its state block");
		return;
	}
	ms = poison_quarantine_ms(&k->poison, crumb->device, clock_ns() / NS_PER_MS);
	klog_err("%s has been fatal again and again: it begins anew, its host is disconnected and "
		 "kept away for %u s",
		vuid, ms / 1000);
	if (d != NULL)
		kept_quarantine(d, ms);
}

/* Did it die by its own doing, and over something that was fatal before? */
static enum death
death_of(struct keeper *k, const struct proc *p)
{
	struct ha_fence *f = child_fence(p->ch);
	/* A signal of its own, in whichever thread; or what it said was its end. */
	const bool own = atomic_load(&f->signal) != 0 || p->broken || child_is_broken(p->ch) ||
			 (p->why == NULL && child_killed_ns(p->ch) != 0);
	unsigned int i = p->stuck;
	enum poison_verdict verdict;
	struct ha_crumb crumb;

	if (i == HA_NO_THREAD && p->why == NULL)
		i = atomic_load(&f->crashed);
	if (i >= HA_THREADS_MAX)
		return own ? DEATH_OWN : DEATH_BY_OTHERS;
	crumb = f->thread[i].crumb;
	verdict = poison_death(&k->poison, &crumb, clock_ns() / NS_PER_MS);
	if (verdict == POISON_NOT)
		return DEATH_OWN;
	sentence(k, &crumb, verdict);
	return DEATH_POISON;
}

static void
on_fenced(struct child *ch)
{
	struct proc *p = child_ctx(ch);
	struct keeper *k = p->k;
	const enum proc_role role = p->role;
	const unsigned int devices = take_back_all(k, ch);
	const enum death death = death_of(k, p);

	event_del(p->resume);
	event_del(p->deadline);
	p->role = PROC_DYING;
	if (k->stop != STOP_NOT) {
		stop_lost(k, p);
		return;
	}
	if (role == PROC_STANDBY && k->standby == p)
		recovery_standby_lost(k, p);
	else if (role == PROC_ACTIVE)
		recovery_crashed(k, p, devices, death);
	else
		handover_lost(k, p);
	if (devices > 0)
		recovery_left_over(k);
}

static int
exit_status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status);
}

static void
on_reaped(struct child *ch, int status)
{
	struct proc *p = child_ctx(ch);
	struct keeper *k = p->k;
	const pid_t pid = child_pid(ch);

	if (WIFSIGNALED(status))
		klog_debug("%s process %d: signal %d", child_name(ch), (int)pid, WTERMSIG(status));
	else
		klog_debug(
			"%s process %d: status %d", child_name(ch), (int)pid, WEXITSTATUS(status));
	proc_free(p);
	if (!k->first_up && k->stop == STOP_NOT) {
		/* It has said itself what is wrong. */
		k->exit_status = exit_status_of(status);
		event_base_loopbreak(k->base);
		return;
	}
	recovery_reaped(k, pid, status);
	reserve_fill(&k->reserve);
	/* Whoever has waited for it to be out of the way. */
	recovery_next(k);
	handover_go_on(k);
	stop_if_empty(k);
}

static void
on_stopped(struct child *ch, bool stopped)
{
	struct proc *p = child_ctx(ch);

	if (!stopped)
		event_del(p->resume);
	else if (p->k->opts->watchdog_ms > 0)
		timer_arm(p->resume, p->k->opts->watchdog_ms);
}

static const struct child_ops child_ops = {
	.ready = on_ready,
	.message = on_message,
	.lost = on_lost,
	.fenced = on_fenced,
	.reaped = on_reaped,
	.stopped = on_stopped,
};

static void
on_resume_due(evutil_socket_t fd, short what, void *arg)
{
	proc_kill(arg, "was stopped and did not go on");
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct proc *p = arg;

	if (p->role != PROC_LEAVING) {
		proc_kill(p, "does not come up");
	} else if (!p->told_to_exit) {
		p->told_to_exit = true;
		proc_send(p, HA_EXIT, 0);
		timer_arm(p->deadline, LEAVE_MS);
	} else {
		proc_kill(p, "was told to exit and did not");
	}
}

/* A process's share of the faults that tests inject: the first of its role gets it, no other. */
static const char *
fault_for(struct keeper *k, enum proc_role role)
{
	const char *const fault[] = {
		k->opts->fault, k->opts->fault_standby, k->opts->fault_successor};
	unsigned int i = !k->first_up ? 0 : role == PROC_STANDBY ? 1 : 2;

	if (role == PROC_CONVERTER || k->fault_given[i])
		return NULL;
	k->fault_given[i] = true;
	return fault[i];
}

void
proc_hurry(struct proc *p)
{
	if (!p->slow)
		return;
	/*
	 * It leads a group of its own, all threads of which are meant. One that is being made at
	 * this moment could be left out: as long as the process starts, this is not the last time.
	 */
	p->slow = !child_is_ready(p->ch);
	if (setpriority(PRIO_PGRP, (id_t)child_pid(p->ch), p->k->nice) < 0 && errno != ESRCH)
		klog_err("%s process %d keeps a low priority: %s", child_name(p->ch),
			(int)child_pid(p->ch), strerror(errno));
}

bool
proc_starting(const struct keeper *k)
{
	const struct proc *p;

	TAILQ_FOREACH (p, &k->procs, next)
		if (p->role != PROC_CONVERTER && !child_is_ready(p->ch))
			return true;
	return false;
}

struct proc *
proc_start(struct keeper *k, enum proc_role role, const char *name)
{
	/* A converter's result is waited for; so is whoever starts when nobody is there. */
	const bool slow = k->may_raise && k->active != NULL && role != PROC_CONVERTER;
	struct child_params params = {.base = k->base,
		.argv = k->opts->argv,
		.ops = &child_ops,
		.name = name,
		.nice = k->nice + (slow ? SLOW_NICE : 0),
		.role = role == PROC_CONVERTER ? HA_ROLE_CONVERT : HA_ROLE_EMU,
		.fault = fault_for(k, role)};
	struct proc *p = calloc(1, sizeof(*p));
	int ret = -ENOMEM;

	if (p == NULL)
		goto failed;
	p->k = k;
	p->role = role;
	p->slow = slow;
	p->started_ns = clock_ns();
	p->stuck = HA_NO_THREAD;
	watchdog_init(&p->watchdog, k->opts->watchdog_ms, &watchdog_proc);
	p->deadline = evtimer_new(k->base, on_deadline, p);
	p->resume = evtimer_new(k->base, on_resume_due, p);
	params.ctx = p;
	reserve_release(&k->reserve);
	if (p->deadline != NULL && p->resume != NULL)
		ret = child_start(&params, &p->ch);
	reserve_fill(&k->reserve);
	TAILQ_INSERT_TAIL(&k->procs, p, next);
	if (ret < 0) {
		proc_free(p);
		goto failed;
	}
	if (k->first_up)
		timer_arm(p->deadline, HELLO_MS);
	return p;

failed:
	klog_err("%s: a process cannot be started: %s", k->opts->argv[0], strerror(-ret));
	return NULL;
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	struct keeper *k = arg;
	const uint64_t now = clock_ns();
	struct proc *p;

	TAILQ_FOREACH (p, &k->procs, next) {
		unsigned int thread = 0;
		enum watchdog_verdict v;

		if (!child_is_ready(p->ch) || p->role == PROC_DYING || p->role == PROC_CONVERTER ||
			p->why != NULL)
			continue;
		v = watchdog_look(&p->watchdog, child_fence(p->ch), child_pid(p->ch), now, &thread);
		if (v == WATCHDOG_FINE)
			continue;
		p->stuck = thread;
		proc_kill(p, v == WATCHDOG_STUCK
				     ? "has a thread in an endless loop"
				     : "has a thread that does not return from the kernel");
	}
}

static void
on_manager(evutil_socket_t fd, short what, void *arg)
{
	sd_notify("WATCHDOG=1");
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	stop_begin(arg);
}

/* $WATCHDOG_USEC is the manager's patience; half of it is sd_watchdog_enabled(3)'s advice. */
static int
manager_watchdog(struct keeper *k)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	const unsigned long half = usec == NULL ? 0 : strtoul(usec, NULL, 10) / 2;
	const struct timeval tv = {
		.tv_sec = (time_t)(half / 1000000), .tv_usec = (long)(half % 1000000)};

	if (half == 0 || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	k->manager = event_new(k->base, -1, EV_PERSIST, on_manager, k);
	return k->manager == NULL || event_add(k->manager, &tv) < 0 ? -ENOMEM : 0;
}

static int
keeper_events(struct keeper *k)
{
	const unsigned int look_ms = k->opts->watchdog_ms / WATCHDOG_LOOKS;
	const struct timeval tv = {
		.tv_sec = look_ms / 1000, .tv_usec = (long)(look_ms % 1000) * 1000};

	k->sigterm = evsignal_new(k->base, SIGTERM, on_signal, k);
	k->sigint = evsignal_new(k->base, SIGINT, on_signal, k);
	/* The terminal that it was started from has gone. */
	k->sighup = evsignal_new(k->base, SIGHUP, on_signal, k);
	k->watchdog = event_new(k->base, -1, EV_PERSIST, on_watchdog, k);
	if (k->sigterm == NULL || k->sigint == NULL || k->sighup == NULL || k->watchdog == NULL ||
		event_add(k->sigterm, NULL) < 0 || event_add(k->sigint, NULL) < 0 ||
		event_add(k->sighup, NULL) < 0)
		return -ENOMEM;
	if (look_ms > 0 && event_add(k->watchdog, &tv) < 0)
		return -ENOMEM;
	return manager_watchdog(k);
}

/* Before its processes in any case; also, it shows whether it may raise theirs. */
static int
keeper_nice(int now)
{
	return now > KEEPER_NICE ? KEEPER_NICE : now - 1;
}

static int
keeper_init(struct keeper *k)
{
	int ret;

	TAILQ_INIT(&k->procs);
	k->status.last = 1;
	signal(SIGPIPE, SIG_IGN);
	k->nice = getpriority(PRIO_PROCESS, 0);
	k->may_raise = setpriority(PRIO_PROCESS, 0, keeper_nice(k->nice)) == 0;
	if (!k->may_raise)
		klog_debug("no higher priority: %s", strerror(errno));
	k->base = event_base_new();
	if (k->base == NULL)
		return -ENOMEM;
	ret = keeper_events(k);
	if (ret == 0)
		ret = recovery_init(k);
	if (ret == 0)
		ret = handover_init(k);
	if (ret == 0)
		ret = stop_init(k);
	if (ret == 0)
		ret = kept_create(k->base, sd_stored() > 0, &k->kept);
	return ret;
}

static void
keeper_fini(struct keeper *k)
{
	struct event *const events[] = {k->sigterm, k->sigint, k->sighup, k->watchdog, k->manager};
	struct proc *p;

	/* Whoever is left has been killed; it is reaped by others. */
	while ((p = TAILQ_FIRST(&k->procs)) != NULL)
		proc_free(p);
	kept_destroy(k->kept);
	reserve_release(&k->reserve);
	stop_fini(k);
	handover_fini(k);
	recovery_fini(k);
	for (unsigned int i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	if (k->base != NULL)
		event_base_free(k->base);
}

int
keeper_run(const struct keeper_options *opts)
{
	static struct keeper keeper;
	struct keeper *k = &keeper;
	int ret;

	k->opts = opts;
	ret = keeper_init(k);
	if (ret == 0) {
		k->standby = proc_start(k, PROC_STANDBY, "emu");
		if (k->standby == NULL)
			k->exit_status = EXIT_FAILURE;
		else
			event_base_dispatch(k->base);
	} else {
		klog_err("cannot start: %s", strerror(-ret));
		k->exit_status = EXIT_FAILURE;
	}
	if (k->parked) {
		klog_info("stopped; the service manager keeps %u devices", kept_count(k->kept));
		_exit(EXIT_SUCCESS);
	}
	keeper_fini(k);
	klog_info("stopped");
	return k->exit_status;
}
