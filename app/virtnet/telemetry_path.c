/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Finding, renaming and removing this process's telemetry socket. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "telemetry_path.h"

/*
 * A socket that was bound so recently may be between bind() and listen(), when it refuses
 * connections like one whose process is dead.
 */
#define STARTING_S 1
/* More clients than may queue there are let in within so long by whoever listens. */
#define CROWD_MS 100

/* Is it a listening socket with such a name? Then its name is left in path. */
static bool
is_telemetry(int fd, const char *dir, char *path, size_t len)
{
	struct sockaddr_un sun = {0};
	socklen_t size = sizeof(sun);
	int listens = 0;
	socklen_t listens_len = sizeof(listens);
	char name[sizeof(sun.sun_path)];
	int n;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_len) < 0 || !listens)
		return false;
	if (getsockname(fd, (struct sockaddr *)&sun, &size) < 0 || sun.sun_family != AF_UNIX)
		return false;
	n = snprintf(name, sizeof(name), "%s/" TELEMETRY_NAME, dir);
	if (n >= (int)sizeof(name) || strncmp(sun.sun_path, name, n) != 0 ||
		(sun.sun_path[n] != '\0' && sun.sun_path[n] != ':'))
		return false;
	snprintf(path, len, "%.*s", (int)sizeof(sun.sun_path) - 1, sun.sun_path);
	return true;
}

/* Who listens there. @return its pid, 0 if it is not to be learnt; -errno of connect() */
static pid_t
listener_of(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	pid_t pid = 0;

	if (fd < 0)
		return 0;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		pid = -errno;
	else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		pid = peer.pid;
	close(fd);
	return pid;
}

/*
 * The file under the name of our socket may be another process's: of two that start at the same
 * time the one takes the other's, not yet listening, for a dead one's and binds its own in its
 * place. Our socket keeps the file that it was bound to from being freed, so that its numbers,
 * once known, are nobody else's.
 */
static int
identify(struct telemetry_path *tp)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	struct stat before, after;
	pid_t who;

	if (lstat(tp->path, &before) < 0)
		return -EADDRINUSE;
	who = listener_of(tp->path);
	for (unsigned int i = 0; who == -EAGAIN && i < CROWD_MS; i++) {
		nanosleep(&moment, NULL);
		who = listener_of(tp->path);
	}
	if (who != getpid() || lstat(tp->path, &after) < 0 || before.st_dev != after.st_dev ||
		before.st_ino != after.st_ino)
		return -EADDRINUSE;
	tp->dev = after.st_dev;
	tp->ino = after.st_ino;
	return 0;
}

int
telemetry_path_find(struct telemetry_path *tp, const char *dir)
{
	DIR *fds = opendir("/proc/self/fd");
	const struct dirent *e;
	int ret;

	memset(tp, 0, sizeof(*tp));
	if (fds == NULL)
		return -errno;
	while (tp->path[0] == '\0' && (e = readdir(fds)) != NULL)
		if (e->d_name[0] != '.')
			(void)is_telemetry(atoi(e->d_name), dir, tp->path, sizeof(tp->path));
	closedir(fds);
	if (tp->path[0] == '\0')
		return -ENOENT;
	ret = identify(tp);
	if (ret < 0)
		tp->path[0] = '\0';
	else
		snprintf(tp->dir, sizeof(tp->dir), "%s", dir);
	return ret;
}

static bool
is_ours(const struct telemetry_path *tp)
{
	struct stat st;

	return tp->path[0] != '\0' && lstat(tp->path, &st) == 0 && st.st_dev == tp->dev &&
	       st.st_ino == tp->ino;
}

/* Another process has given our socket a new name: by its numbers it is found again. */
static void
find_again(struct telemetry_path *tp)
{
	char path[sizeof(tp->dir) + NAME_MAX + 2];
	const struct dirent *e;
	struct stat st;
	DIR *dir;

	if (tp->dir[0] == '\0' || is_ours(tp))
		return;
	dir = opendir(tp->dir);
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (strncmp(e->d_name, TELEMETRY_NAME, strlen(TELEMETRY_NAME)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", tp->dir, e->d_name);
		if (strlen(path) >= sizeof(tp->path) || lstat(path, &st) < 0 ||
			st.st_dev != tp->dev || st.st_ino != tp->ino)
			continue;
		strcpy(tp->path, path);
		break;
	}
	if (dir != NULL)
		closedir(dir);
}

/*
 * The usual name may be that of a process that has started since, in the place of a dead one's, and
 * waits for its turn: it must not lose its socket, so the two change names.
 */
static int
rename_over(const char *from, const char *to)
{
	if (listener_of(to) >= 0 && renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) == 0)
		return 0;
	return rename(from, to) < 0 ? -errno : 0;
}

int
telemetry_path_take(struct telemetry_path *tp)
{
	char usual[sizeof(tp->path) + sizeof(TELEMETRY_NAME)];
	int ret;

	find_again(tp);
	if (!is_ours(tp))
		return -ENOENT;
	snprintf(usual, sizeof(usual), "%s/" TELEMETRY_NAME, tp->dir);
	if (strlen(usual) >= sizeof(tp->path))
		return -ENAMETOOLONG;
	ret = strcmp(usual, tp->path) != 0 ? rename_over(tp->path, usual) : 0;
	if (ret == 0)
		strcpy(tp->path, usual);
	return ret;
}

/* Parent of a process, 0 if it has gone. */
static pid_t
parent_of(pid_t pid)
{
	char path[32], line[256];
	const char *at;
	FILE *f;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	/* The name in parentheses may contain anything: "pid (name) state ppid". */
	if (fgets(line, sizeof(line), f) != NULL && (at = strrchr(line, ')')) != NULL &&
		sscanf(at + 1, " %*c %d", &parent) != 1)
		parent = 0;
	fclose(f);
	return parent;
}

/* Has nobody listened there for a while? */
static bool
is_dead(const char *path)
{
	struct stat st;

	return listener_of(path) == -ECONNREFUSED && lstat(path, &st) == 0 &&
	       time(NULL) - st.st_mtime > STARTING_S;
}

/* Does nobody listen there, or somebody with the same parent as we? */
static bool
is_siblings(const char *path)
{
	const pid_t pid = listener_of(path);

	return pid == -ECONNREFUSED || (pid > 0 && parent_of(pid) == getppid());
}

void
telemetry_path_sweep(const struct telemetry_path *tp, bool last)
{
	char path[sizeof(tp->dir) + NAME_MAX + 2];
	const struct dirent *e;
	DIR *dir;

	if (tp->dir[0] == '\0')
		return;
	dir = opendir(tp->dir);
	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (strncmp(e->d_name, TELEMETRY_NAME ":", strlen(TELEMETRY_NAME ":")) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", tp->dir, e->d_name);
		if (strlen(path) < sizeof(tp->path) && (last ? is_siblings(path) : is_dead(path)))
			(void)unlink(path);
	}
	if (dir != NULL)
		closedir(dir);
}

void
telemetry_path_remove(struct telemetry_path *tp)
{
	find_again(tp);
	if (is_ours(tp))
		(void)unlink(tp->path);
	tp->path[0] = '\0';
}
