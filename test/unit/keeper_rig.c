/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Running a keeper and reading what it and its processes say. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ha/watchdog.h"

#include "keeper_rig.h"
#include "test.h"

/* Longer than anything that is waited for takes on a busy machine. */
#define PATIENCE_MS 30000
#define LOG_SIZE    (1u << 20)

void
keeper_rig_path(char *path, size_t size, const char *relative)
{
	char self[PATH_MAX];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	assert_true(snprintf(path, size, "%s/%s", self, relative) < (int)size);
}

static void
env_set(const char *name, const char *value)
{
	if (value != NULL)
		setenv(name, value, 1);
	else
		unsetenv(name);
}

static void
run(const struct keeper_rig *r, const struct keeper_rig_conf *conf, const char *keeper,
	const char *fake, int out)
{
	char option[PATH_MAX + 32], number[16];
	const char *argv[16] = {keeper, option, "-l", "0,1", "--"};
	unsigned int n = 5;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(option, sizeof(option), "--emu-program=%s", fake);
	snprintf(number, sizeof(number), "%u", conf->devices);
	for (unsigned int i = 0; conf->options[i] != NULL; i++)
		argv[n++] = conf->options[i];
	env_set("FAKE_DEVICES", number);
	env_set("FAKE_DIR", r->dir);
	env_set("VIRTNET_FAULT", conf->fault);
	env_set("VIRTNET_FAULT_STANDBY", conf->standby);
	env_set("VIRTNET_FAULT_SUCCESSOR", conf->successor);
	env_set("NOTIFY_SOCKET", conf->notify);
	env_set("FDSTORE", conf->notify != NULL ? "1000" : NULL);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execv(keeper, (char **)(uintptr_t)argv);
	_exit(126);
}

void
keeper_rig_start(struct keeper_rig *r, const struct keeper_rig_conf *conf)
{
	char keeper[PATH_MAX], fake[PATH_MAX];
	int out[2];

	*r = (struct keeper_rig){0};
	strcpy(r->dir, "/tmp/keeper-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->log = calloc(1, LOG_SIZE);
	assert_non_null(r->log);
	keeper_rig_path(keeper, sizeof(keeper), "../../app/dpdk-virtnet-keeper");
	keeper_rig_path(fake, sizeof(fake), "keeper-fake-emu");
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	r->out = out[0];
	r->keeper = fork();
	assert_true(r->keeper >= 0);
	if (r->keeper == 0)
		run(r, conf, keeper, fake, out[1]);
	close(out[1]);
}

static void
remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	rmdir(path);
}

void
keeper_rig_end(struct keeper_rig *r)
{
	if (r->keeper > 0) {
		kill(r->keeper, SIGKILL);
		waitpid(r->keeper, NULL, 0);
	}
	close(r->out);
	remove_dir(r->dir);
	free(r->log);
}

/* Read what comes. @return false at the end, when nobody is left who could say something */
static bool
more(struct keeper_rig *r, int timeout_ms)
{
	struct pollfd p = {.fd = r->out, .events = POLLIN};
	ssize_t n;

	if (poll(&p, 1, timeout_ms) != 1)
		return false;
	n = read(r->out, r->log + r->len, LOG_SIZE - 1 - r->len);
	if (n <= 0)
		return false;
	r->len += (size_t)n;
	return true;
}

static void
read_all(struct keeper_rig *r)
{
	while (more(r, 0))
		continue;
}

/* A text that ends where its line or word does. */
static const char *
find(const struct keeper_rig *r, const char *from, const char *text)
{
	const size_t len = strlen(text);
	const char *at = from;

	while ((at = strstr(at, text)) != NULL) {
		if (text[len - 1] < '0' || text[len - 1] > '9' || at[len] == '\n')
			return at;
		at++;
	}
	return NULL;
}

const char *
keeper_rig_await(struct keeper_rig *r, const char *text)
{
	const char *at;

	while ((at = find(r, r->log + r->mark, text)) == NULL)
		if (!more(r, PATIENCE_MS))
			fail_msg("no \"%s\" in:\n%s", text, r->log + r->mark);
	return at;
}

/* The process whose line it is. */
static pid_t
pid_of(const struct keeper_rig *r, const char *at)
{
	while (at > r->log && at[-1] != '\n')
		at--;
	return (pid_t)atoi(at);
}

pid_t
keeper_rig_who(struct keeper_rig *r, const char *word)
{
	char text[64];
	const char *at, *last;

	snprintf(text, sizeof(text), " %s", word);
	last = keeper_rig_await(r, text);
	while ((at = find(r, last + 1, text)) != NULL)
		last = at;
	return pid_of(r, last);
}

pid_t
keeper_rig_standby(struct keeper_rig *r)
{
	static const char up[] = "standby process ";
	const char *at, *last = keeper_rig_await(r, up);

	while ((at = find(r, last + 1, up)) != NULL)
		last = at;
	return (pid_t)atoi(last + strlen(up));
}

void
keeper_rig_await_from(struct keeper_rig *r, pid_t pid, const char *word)
{
	char text[80];

	snprintf(text, sizeof(text), "%d %s", (int)pid, word);
	keeper_rig_await(r, text);
}

bool
keeper_rig_has(struct keeper_rig *r, const char *text)
{
	read_all(r);
	return find(r, r->log + r->mark, text) != NULL;
}

unsigned int
keeper_rig_count(struct keeper_rig *r, const char *text)
{
	const char *at = r->log + r->mark;
	unsigned int n = 0;

	read_all(r);
	while ((at = find(r, at, text)) != NULL) {
		at++;
		n++;
	}
	return n;
}

void
keeper_rig_mark(struct keeper_rig *r)
{
	read_all(r);
	r->mark = r->len;
}

pid_t
keeper_rig_up(struct keeper_rig *r, const struct keeper_rig_conf *conf)
{
	char last[24];
	pid_t active;

	keeper_rig_start(r, conf);
	active = keeper_rig_who(r, "ACTIVE 0");
	snprintf(last, sizeof(last), "OPENED %u", conf->devices);
	if (conf->devices > 0)
		keeper_rig_await(r, last);
	keeper_rig_await(r, "standby process");
	return active;
}

int
keeper_rig_wait(struct keeper_rig *r)
{
	int status;

	while (more(r, PATIENCE_MS))
		continue;
	assert_int_equal(waitpid(r->keeper, &status, 0), r->keeper);
	r->keeper = 0;
	return status;
}

int
keeper_rig_stop(struct keeper_rig *r)
{
	read_all(r);
	/* In no test does a process start beside another that starts. */
	assert_null(find(r, r->log, " BESIDE 0"));
	kill(r->keeper, SIGTERM);
	return keeper_rig_wait(r);
}

void
keeper_rig_await_gone(pid_t pid)
{
	for (unsigned int i = 0; i < PATIENCE_MS && kill(pid, 0) == 0; i++)
		poll(NULL, 0, 1);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

void
keeper_rig_await_stopped(pid_t pid)
{
	for (unsigned int i = 0; i < PATIENCE_MS; i++) {
		if (watchdog_proc.state(NULL, pid, pid) == 'T')
			return;
		poll(NULL, 0, 1);
	}
	fail_msg("process %d is not stopped", (int)pid);
}
