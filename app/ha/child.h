/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_CHILD_H
#define APP_HA_CHILD_H

/**
 * @file
 * One emu process that the keeper has started: socket, fence, end. Main thread only.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ha/conn.h"
#include "ha/fence.h"

struct child;
struct event_base;

struct child_ops {
	/** HELLO has come: the process is up and its fence entered. */
	void (*ready)(struct child *ch);
	/** A message but HELLO; descriptors that are taken become -1, the others are closed. */
	void (*message)(struct child *ch, const struct ha_msg *msg, int *fds, unsigned int n);
	/**
	 * A message's descriptors are lost, since the keeper may open no more. Of msg type and
	 * device are known, unchecked.
	 */
	void (*lost)(struct child *ch, const struct ha_msg *msg);
	/**
	 * None of its threads can touch anything any more: the fence has fallen, or it has ended
	 * before HELLO. All messages that it had sent have been delivered. Called once; the process
	 * may still be a while in the kernel.
	 */
	void (*fenced)(struct child *ch);
	/** Reaped. Called once, after fenced(); child_destroy() may be called from within. */
	void (*reaped)(struct child *ch, int status);
	/** It was stopped (SIGSTOP, job control) or goes on. */
	void (*stopped)(struct child *ch, bool stopped);
};

struct child_params {
	struct event_base *base;
	char *const *argv; /**< program, then its options; the keeper's own are added */
	const struct child_ops *ops;
	void *ctx;
	const char *name; /**< for log lines: "emu", "standby", "successor" */
	enum ha_role role;
	int nice; /**< its priority; the keeper's own is higher */
	/** Its VIRTNET_FAULT (state/fault_point.h), NULL: none, whatever the keeper's is. */
	const char *fault;
};

/** Start a process. It dies with the keeper. @return 0; -errno */
int child_start(const struct child_params *params, struct child **out);
/** Forget it: after reaped(), or (it is killed) at any time. */
void child_destroy(struct child *ch);
/** SIGKILL; fenced() and reaped() follow. */
void child_kill(struct child *ch);

int child_send(struct child *ch, const struct ha_msg *msg, const int *fds, unsigned int n);

pid_t child_pid(const struct child *ch);
void *child_ctx(const struct child *ch);
const char *child_name(const struct child *ch);
void child_rename(struct child *ch, const char *name);
bool child_is_ready(const struct child *ch);
/** It has said what cannot be, or nothing while it should. */
bool child_is_broken(const struct child *ch);
/** What it said of itself; valid once it is ready. */
const struct ha_hello *child_hello(const struct child *ch);
struct ha_fence *child_fence(const struct child *ch);
/** CLOCK_MONOTONIC in ns of the fence's fall, and of the first child_kill(); 0: not yet. */
uint64_t child_fenced_ns(const struct child *ch);
uint64_t child_killed_ns(const struct child *ch);

#endif /* APP_HA_CHILD_H */
