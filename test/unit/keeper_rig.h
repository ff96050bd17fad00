/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_KEEPER_RIG_H
#define TEST_KEEPER_RIG_H

/**
 * @file
 * A keeper, the program itself, with fake emu processes (keeper_fake_emu.c). What all of them
 * write is one log that a test waits for lines in.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct keeper_rig {
	pid_t keeper;
	int out;
	char dir[64]; /**< of the devices' sockets */
	char *log;
	size_t len;
	size_t mark; /**< what stands before it is not looked at */
};

struct keeper_rig_conf {
	unsigned int devices;
	const char *options[6];		 /**< after "--" */
	const char *fault;		 /**< of the first process */
	const char *standby, *successor; /**< of the first of these */
	const char *notify;		 /**< NOTIFY_SOCKET, with FDSTORE */
};

void keeper_rig_start(struct keeper_rig *r, const struct keeper_rig_conf *conf);
/** Kill what is left. */
void keeper_rig_end(struct keeper_rig *r);

/** Wait for a line with the text behind the mark. @return what stands before the text */
const char *keeper_rig_await(struct keeper_rig *r, const char *text);
/** A process says a word: "ACTIVE 0". @return the last one behind the mark that did */
pid_t keeper_rig_who(struct keeper_rig *r, const char *word);
/** The standby that came up last. Waits for one. */
pid_t keeper_rig_standby(struct keeper_rig *r);
/** Wait until this process says it. */
void keeper_rig_await_from(struct keeper_rig *r, pid_t pid, const char *word);
/** Is it in the log now? */
bool keeper_rig_has(struct keeper_rig *r, const char *text);
unsigned int keeper_rig_count(struct keeper_rig *r, const char *text);
/** Forget what has been said so far. */
void keeper_rig_mark(struct keeper_rig *r);

/** Up, with a standby. @return the active process */
pid_t keeper_rig_up(struct keeper_rig *r, const struct keeper_rig_conf *conf);
/** Wait for its end. @return wait status */
int keeper_rig_wait(struct keeper_rig *r);
/** SIGTERM, then its end. */
int keeper_rig_stop(struct keeper_rig *r);
/** No process: it is neither running nor a zombie. Waits for it. */
void keeper_rig_await_gone(pid_t pid);

/** Waits until the process is stopped. */
void keeper_rig_await_stopped(pid_t pid);

/** A program in the test program's folder or a neighbouring one. */
void keeper_rig_path(char *path, size_t size, const char *relative);

#endif /* TEST_KEEPER_RIG_H */
