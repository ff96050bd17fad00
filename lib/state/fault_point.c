/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Fault points: where a test build lets the process die. Empty in all other builds. */

#include "fault_point.h"

#ifdef VIRTNET_FAULT_INJECTION

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAULT_NAME_MAX 64

static void
act_kill(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/*
 * A store into the first page is what a wild pointer does; raising the signal would look like
 * somebody else's doing.
 */
static void
act_segv(void)
{
	volatile uintptr_t wild = 64;

	*(volatile int *)wild = 1;
}

static void
act_stop(void)
{
	kill(getpid(), SIGSTOP);
}

static void
act_hang(void)
{
	for (volatile unsigned int i = 0;; i++)
		;
}

static const struct {
	const char *name;
	void (*act)(void);
} actions[] = {
	{"kill", act_kill},
	{"segv", act_segv},
	{"abort", abort},
	{"stop", act_stop},
	{"hang", act_hang},
};

/*
 * One for the process: what is armed is a property of the process, as its environment is, and the
 * points are in functions that know no object of ours.
 */
static struct {
	pthread_once_t once;
	char name[FAULT_NAME_MAX];
	const char *file;
	void (*act)(void); /* NULL: no point is armed */
	unsigned long at;
	_Atomic unsigned long passed;
	bool magic_set;
	uint64_t magic;
} fault = {.once = PTHREAD_ONCE_INIT};

static int
parse_action(const char *name)
{
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (strcmp(actions[i].name, name) == 0) {
			fault.act = actions[i].act;
			return 0;
		}
	return -EINVAL;
}

static int
parse_number(const char *text, char **end, int base, unsigned long long *v)
{
	errno = 0;
	*v = strtoull(text, end, base);
	return errno != 0 || *end == text || *text == '-' ? -EINVAL : 0;
}

/* NAME:N[:ACTION] */
static int
parse_fault(const char *text)
{
	const char *colon = strchr(text, ':');
	unsigned long long at;
	char *end;

	if (colon == NULL || colon == text || colon - text >= FAULT_NAME_MAX)
		return -EINVAL;
	if (parse_number(colon + 1, &end, 10, &at) < 0 || at == 0)
		return -EINVAL;
	if (*end != '\0' && *end != ':')
		return -EINVAL;
	memcpy(fault.name, text, colon - text);
	fault.name[colon - text] = '\0';
	fault.at = at;
	return parse_action(*end == ':' ? end + 1 : "kill");
}

static int
parse_magic(const char *text)
{
	unsigned long long v;
	char *end;

	if (parse_number(text, &end, 0, &v) < 0 || *end != '\0')
		return -EINVAL;
	fault.magic = v;
	fault.magic_set = true;
	return 0;
}

static int
arm(const char *point, const char *file, const char *magic)
{
	int ret = 0;

	fault.act = NULL;
	fault.magic_set = false;
	fault.file = file;
	atomic_store(&fault.passed, 0);
	if (point != NULL)
		ret = parse_fault(point);
	if (ret == 0 && magic != NULL)
		ret = parse_magic(magic);
	return ret;
}

static void
arm_from_environment(void)
{
	const char *point = getenv("VIRTNET_FAULT");
	const char *magic = getenv("VIRTNET_FAULT_MAGIC");

	if (arm(point, getenv("VIRTNET_FAULT_FILE"), magic) == 0)
		return;
	fprintf(stderr,
		"VIRTNET_FAULT=\"%s\" VIRTNET_FAULT_MAGIC=\"%s\": must be "
		"NAME:N[:kill|segv|abort|stop|hang] and a number\n",
		point != NULL ? point : "", magic != NULL ? magic : "");
	_exit(2);
}

static void
nothing(void)
{
}

int
fault_point_arm(const char *point, const char *file, const char *magic)
{
	/* The environment is not to come after. */
	pthread_once(&fault.once, nothing);
	return arm(point, file, magic);
}

void
fault_point_pass(const char *name)
{
	pthread_once(&fault.once, arm_from_environment);
	if (fault.act == NULL || strcmp(name, fault.name) != 0)
		return;
	if (fault.file != NULL && access(fault.file, F_OK) < 0)
		return;
	if (atomic_fetch_add(&fault.passed, 1) + 1 != fault.at)
		return;
	if (fault.file != NULL) {
		/* For the next time that the file is there. */
		atomic_store(&fault.passed, 0);
		if (unlink(fault.file) < 0)
			return;
	}
	fault.act();
}

void
fault_magic_look(uint64_t addr)
{
	pthread_once(&fault.once, arm_from_environment);
	if (fault.magic_set && addr == fault.magic)
		act_segv();
}

#else

/* ISO C wants something in a file. */
typedef int fault_point_none;

#endif
