/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Starting an emu process. */

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child_spawn.h"

/* Exit status of a shell that cannot run a program. */
#define EXIT_CANNOT_RUN 127

/* socket, fence, role, end */
#define EXTRA_ARGS 4u

#define OPTION_MAX 40

/* What the service manager says to the keeper, and what a test says to one process. */
static const char *const not_inherited[] = {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS",
	"LISTEN_FDNAMES", "FDSTORE", "WATCHDOG_PID", "WATCHDOG_USEC", "VIRTNET_FAULT",
	"VIRTNET_FAULT_STANDBY", "VIRTNET_FAULT_SUCCESSOR"};

/* All that must be ready before fork(): after it nothing may be allocated. */
struct image {
	char **argv;
	char **envp;
	char socket[OPTION_MAX];
	char fence[OPTION_MAX];
	char *fault;
};

static unsigned int
count(char *const *list)
{
	unsigned int n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

static bool
is_inherited(const char *var)
{
	const size_t len = strcspn(var, "=");

	for (unsigned int i = 0; i < sizeof(not_inherited) / sizeof(not_inherited[0]); i++)
		if (strlen(not_inherited[i]) == len && strncmp(var, not_inherited[i], len) == 0)
			return false;
	return true;
}

static void
image_free(struct image *im)
{
	free(im->argv);
	free(im->envp);
	free(im->fault);
}

static int
image_env(struct image *im, const char *fault)
{
	unsigned int n = 0;

	im->envp = calloc(count(environ) + 2, sizeof(*im->envp));
	if (im->envp == NULL)
		return -ENOMEM;
	for (char **var = environ; *var != NULL; var++)
		if (is_inherited(*var))
			im->envp[n++] = *var;
	if (fault == NULL)
		return 0;
	if (asprintf(&im->fault, "VIRTNET_FAULT=%s", fault) < 0) {
		im->fault = NULL;
		return -ENOMEM;
	}
	im->envp[n] = im->fault;
	return 0;
}

static int
image_args(struct image *im, const struct child_spawn *spawn)
{
	static char convert[] = "--" HA_OPT_CONVERT;
	unsigned int n = count(spawn->argv);

	im->argv = calloc(n + EXTRA_ARGS, sizeof(*im->argv));
	if (im->argv == NULL)
		return -ENOMEM;
	memcpy(im->argv, spawn->argv, n * sizeof(*im->argv));
	snprintf(im->socket, sizeof(im->socket), "--" HA_OPT_SOCKET "=%d", spawn->socket_fd);
	snprintf(im->fence, sizeof(im->fence), "--" HA_OPT_FENCE "=%d", spawn->fence_fd);
	im->argv[n++] = im->socket;
	im->argv[n++] = im->fence;
	if (spawn->role == HA_ROLE_CONVERT)
		im->argv[n] = convert;
	return 0;
}

/*
 * The fence falls when a core dump is complete. Who wants none, by a limit of 0, still gets one
 * where the kernel pipes it to a program; a limit of 1 is the kernel's word for none at all.
 */
static void
no_core_means_none(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_CORE, &rl) < 0 || rl.rlim_cur != 0)
		return;
	rl.rlim_cur = 1;
	if (rl.rlim_max < 1)
		rl.rlim_max = 1;
	(void)setrlimit(RLIMIT_CORE, &rl);
}

/* In the new process: async-signal-safe functions only. */
static void
run(const struct child_spawn *spawn, const struct image *im, pid_t keeper)
{
	static const char failed[] = "dpdk-virtnet-keeper: the program cannot be run\n";
	const struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != keeper)
		_exit(EXIT_CANNOT_RUN);
	setpgid(0, 0);
	no_core_means_none();
	close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	fcntl(spawn->socket_fd, F_SETFD, 0);
	fcntl(spawn->fence_fd, F_SETFD, 0);
	/* A handler of the keeper's would write to a pipe that is the keeper's, too. */
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(im->argv[0], im->argv, im->envp);
	if (write(STDERR_FILENO, failed, sizeof(failed) - 1) < 0)
		_exit(EXIT_CANNOT_RUN);
	_exit(EXIT_CANNOT_RUN);
}

static int
fork_and_run(const struct child_spawn *spawn, const struct image *im, pid_t *pid)
{
	const pid_t keeper = getpid();
	sigset_t all, old;
	int ret = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	*pid = fork();
	if (*pid == 0)
		run(spawn, im, keeper);
	if (*pid < 0) {
		ret = -errno;
	} else {
		/*
		 * Here, not there: what the keeper says of its priority later must not come first.
		 * The group is made on both sides, since either may be.
		 */
		(void)setpgid(*pid, *pid);
		(void)setpriority(PRIO_PGRP, (id_t)*pid, spawn->nice);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int
child_spawn(const struct child_spawn *spawn, pid_t *pid)
{
	struct image im = {0};
	int ret = access(spawn->argv[0], X_OK) < 0 ? -errno : image_env(&im, spawn->fault);

	if (ret == 0)
		ret = image_args(&im, spawn);
	if (ret == 0)
		ret = fork_and_run(spawn, &im, pid);
	image_free(&im);
	return ret;
}
