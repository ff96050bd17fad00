/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_KEEPER_IMPL_H
#define APP_HA_KEEPER_IMPL_H

/**
 * @file
 * Inside of the keeper. keeper.c starts processes and passes on what happens to them, by role:
 * recovery.c (who is active, what if it dies), handover.c (from one to the next), stop.c (the end).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backoff.h"
#include "child.h"
#include "keeper.h"
#include "kept.h"
#include "poison.h"
#include "reserve.h"
#include "watchdog.h"

struct event;
struct keeper;

enum proc_role {
	PROC_STANDBY,	/* starting or parked; the very first one, too */
	PROC_ACTIVE,	/* has devices, answers commands */
	PROC_SUCCESSOR, /* new process of a hand-over */
	PROC_LEAVING,	/* has handed over everything */
	PROC_CONVERTER, /* converts state blocks for a roll-back */
	PROC_DYING,	/* killed by the keeper, of no more use */
};

/* What is known of a process's end. */
enum death {
	DEATH_BY_OTHERS, /* somebody sent it a signal, or it was stopped */
	DEATH_OWN,	 /* its own doing, for the first time in this place */
	DEATH_POISON,	 /* and not for the first time: what did it is not touched again */
};

struct proc {
	TAILQ_ENTRY(proc) next;
	struct keeper *k;
	struct child *ch;
	enum proc_role role;
	struct event *deadline; /* HELLO is due, or the end of a process that is leaving */
	struct event *resume;	/* it was stopped and should go on by then */
	struct watchdog watchdog;
	unsigned int stuck; /* thread that the watchdog found, or HA_NO_THREAD */
	const char *why;    /* the keeper killed it, or NULL */
	uint64_t since_ns;  /* it is the active process; 0: it never was */
	uint64_t started_ns;
	uint64_t ready_ns; /* it has said HELLO */
	bool slow;	   /* it has a lower priority than the active process */
	bool broken;	   /* it does not keep to the protocol: not listened to any more */
	bool told_to_exit;
};

TAILQ_HEAD(proc_list, proc);

enum handover_state {
	HANDOVER_NONE,
	HANDOVER_STARTING,	 /* the new process comes up */
	HANDOVER_RELEASING,	 /* the old one lets a device go */
	HANDOVER_ADOPTING,	 /* the new one takes it up */
	HANDOVER_BACK_FENCING,	 /* roll-back: the new one is being killed */
	HANDOVER_BACK_RELEASING, /* roll-back: the new one lets a device go */
	HANDOVER_BACK_CONVERTING,
	HANDOVER_BACK_ADOPTING, /* roll-back: the old one takes it up again */
};

struct handover {
	enum handover_state state;
	uint32_t kind; /* enum ha_handover_kind */
	struct proc *old, *heir, *converter;
	uint32_t device; /* on its way; devices up to its handle are done */
	unsigned int rounds;
	unsigned int devices; /* handed over */
	uint64_t began_ns, let_go_ns, gap_ns;
	struct event *deadline; /* of the present step */
	int err;		/* roll-back: why */
	char text[HA_TEXT_MAX];
};

/* What the log line about a crash needs; written when the last of it is known. */
struct crash_report {
	bool open;
	bool reaped, recovered;
	pid_t pid, heir;
	int status;
	const char *why;
	uint64_t fenced_ns;
	uint64_t killed_ns; /* by the keeper: then the time to detect it is known */
	uint64_t took_ns;
	unsigned int devices;
	/* Nobody was up: until its HELLO, of that EAL and packet buffers, until all was adopted. */
	bool cold;
	uint64_t start_ns, adoption_ns;
	uint64_t head_start_ns; /* it was a standby on its way up: so long before */
	uint32_t eal_us, pools_us;
};

enum stop_state {
	STOP_NOT,
	STOP_CLOSING, /* the active process closes its devices */
	STOP_PARKING, /* it releases them: the service manager keeps them */
	STOP_ENDING,  /* all processes are killed */
};

struct keeper {
	const struct keeper_options *opts;
	struct event_base *base;
	struct kept *kept;
	struct proc_list procs; /* not reaped yet */
	struct proc *active, *standby;
	struct ha_status status; /* of hand-overs */
	struct handover handover;
	struct poison poison;
	struct backoff backoff, standby_backoff;
	struct crash_report report;
	unsigned int adopting; /* devices that the active process has not taken up yet */
	bool settled;	       /* it has been told ACTIVE */
	bool first_up;	       /* the first process was */
	bool told_ready;
	bool fault_given[3];
	unsigned int crashes;
	uint64_t last_recovery_ns;
	enum stop_state stop;
	unsigned int closing_left; /* devices that were not closed when it was last looked */
	bool parked;		   /* leave sockets and devices to the service manager */
	int exit_status;
	int nice;	/* as the keeper was started: emu processes' */
	bool may_raise; /* priorities, so that what is not needed yet can have a lower one */
	struct event *sigterm, *sigint, *sighup;
	struct event *watchdog, *manager; /* looks at processes; tells the service manager */
	struct event *standby_due, *backoff_due, *adopt_due, *retry_due, *stop_due;
	struct reserve reserve; /* so that a process can be started at any time */
};

/* keeper.c */

/*
 * One that has not said HELLO, and has not ended. No other is started beside it: both would look
 * for DPDK's telemetry socket, and each could remove the other's. (A converter has no EAL.)
 */
bool proc_starting(const struct keeper *k);
/* Start one. @return NULL: it cannot be started, said in the log */
struct proc *proc_start(struct keeper *k, enum proc_role role, const char *name);
/* It is needed now: the active process's priority, for all of its threads. */
void proc_hurry(struct proc *p);
/* Kill it; its devices come back with proc_fenced. The reason is for the log; NULL: not a fault. */
void proc_kill(struct proc *p, const char *why);
int proc_send(struct proc *p, unsigned int type, uint32_t device);
/* HA_MIGRATE */
void proc_migrate(struct proc *p, bool begins);
void proc_send_status(struct proc *p);
void timer_arm(struct event *timer, unsigned int ms);

/* recovery.c */

int recovery_init(struct keeper *k);
void recovery_fini(struct keeper *k);
/* Nobody is active: let the standby be it, or start one. */
void recovery_next(struct keeper *k);
/*
 * p, which is activated, becomes the active process and gets all devices that nobody has.
 * under_way: devices that it has been given before and has not taken up yet.
 */
void recovery_take_over(struct keeper *k, struct proc *p, uint32_t flags, unsigned int under_way);
/* A process has ended that had been given up before: who is active gets what it still had. */
void recovery_left_over(struct keeper *k);
/* A process could not take up a device: it is tried once more, or this is the end of it. */
void recovery_not_taken(struct proc *p, struct kept_device *d, int err, const char *text);
/* Give one device with whatever is known of it. */
int recovery_give(struct keeper *k, struct kept_device *d, struct proc *to, uint32_t flags);
void recovery_adopted(struct proc *p, const struct ha_msg *msg);
/* A process that was active, or about to be, has ended by itself. */
void recovery_crashed(struct keeper *k, struct proc *p, unsigned int devices, enum death death);
void recovery_standby_lost(struct keeper *k, struct proc *p);
void recovery_reaped(struct keeper *k, pid_t pid, int status);
/* A new standby, a little later. */
void recovery_want_standby(struct keeper *k);
/* One line for the service manager's STATUS=. */
void recovery_tell_manager(struct keeper *k);

/* handover.c */

int handover_init(struct keeper *k);
void handover_fini(struct keeper *k);
void handover_start(struct keeper *k, uint32_t kind);
bool handover_ongoing(const struct keeper *k);
void handover_ready(struct keeper *k, struct proc *p);
/* A process is up, or has ended: the new one can perhaps be started. */
void handover_go_on(struct keeper *k);
/* The device has been closed by a command. */
void handover_closed(struct keeper *k, const struct proc *p, uint32_t device);
/* ADOPTED, RELEASED or CONVERTED of a process that takes part.
 * @return false if it is not about the hand-over */
bool handover_message(
	struct keeper *k, struct proc *p, const struct ha_msg *msg, int *fds, unsigned int n);
/* A process that takes part is dead, its devices are nobody's. @return true if it was the old one
 * and the new one goes on. */
bool handover_lost(struct keeper *k, struct proc *p);
/* The keeper stops: forget it, kill the new process. */
void handover_abandon(struct keeper *k);

/* stop.c */

int stop_init(struct keeper *k);
void stop_fini(struct keeper *k);
void stop_begin(struct keeper *k);
/* The active process does something about its end. */
void stop_progress(struct keeper *k);
void stop_released(struct keeper *k, uint32_t device);
/* A process is dead, or reaped. */
void stop_lost(struct keeper *k, struct proc *p);
void stop_if_empty(struct keeper *k);

#endif /* APP_HA_KEEPER_IMPL_H */
