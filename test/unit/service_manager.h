/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_SERVICE_MANAGER_H
#define TEST_UNIT_SERVICE_MANAGER_H

/**
 * @file
 * A service manager that is played by the test: the socket of sd_notify(3) and the descriptor store
 * behind it. It reads when it is told to, and holds what it was given.
 */

#include <poll.h>

#include "ha/sd.h"
#include "vfio_user_fixture.h"

#define MANAGER_STORE_MAX 4096u

struct manager {
	int sock;
	char path[96];
	unsigned int n;
	int fd[MANAGER_STORE_MAX];
	char *name[MANAGER_STORE_MAX]; /* of which each is on the heap */
	unsigned int messages;
	char text[256]; /* last one that was not about the store */
};

UNUSED static void
manager_listen(struct manager *m)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	m->sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(m->sock >= 0);
	strcpy(addr.sun_path, m->path);
	assert_int_equal(bind(m->sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
}

/* The environment that it gives to its service, as far as this process is one. */
UNUSED static void
manager_start(struct manager *m, const char *dir, const char *room)
{
	memset(m, 0, sizeof(*m));
	snprintf(m->path, sizeof(m->path), "%s/notify", dir);
	manager_listen(m);
	setenv("NOTIFY_SOCKET", m->path, 1);
	if (room != NULL)
		setenv("FDSTORE", room, 1);
	sd_init();
}

UNUSED static int
manager_index(const struct manager *m, const char *name)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (strcmp(m->name[i], name) == 0)
			return (int)i;
	return -1;
}

/* -1: there is none of that name. */
UNUSED static int
manager_fd(const struct manager *m, const char *name)
{
	const int i = manager_index(m, name);

	return i < 0 ? -1 : m->fd[i];
}

UNUSED static void
manager_close(struct manager *m, unsigned int i)
{
	close(m->fd[i]);
	free(m->name[i]);
	m->n--;
	m->fd[i] = m->fd[m->n];
	m->name[i] = m->name[m->n];
}

UNUSED static void
manager_forget(struct manager *m, const char *name)
{
	int i;

	while ((i = manager_index(m, name)) >= 0)
		manager_close(m, (unsigned int)i);
}

UNUSED static void
manager_put(struct manager *m, const char *name, int fd)
{
	assert_true(m->n < MANAGER_STORE_MAX);
	m->fd[m->n] = fd;
	m->name[m->n++] = strdup(name);
}

/* One message: lines, and perhaps a descriptor. */
UNUSED static void
manager_message(struct manager *m, char *text, int fd)
{
	char whole[256], name[64] = "stored";
	bool store = false, away = false, other = false;

	snprintf(whole, sizeof(whole), "%s", text);
	for (char *save, *line = strtok_r(text, "\n", &save); line != NULL;
		line = strtok_r(NULL, "\n", &save)) {
		if (strcmp(line, "FDSTORE=1") == 0)
			store = true;
		else if (strcmp(line, "FDSTOREREMOVE=1") == 0)
			away = true;
		else if (strncmp(line, "FDNAME=", 7) == 0)
			snprintf(name, sizeof(name), "%s", line + 7);
		else if (strncmp(line, "FDPOLL=", 7) != 0 && strcmp(line, "BARRIER=1") != 0)
			other = true;
	}
	m->messages++;
	if (other)
		strcpy(m->text, whole);
	if (away)
		manager_forget(m, name);
	if (store)
		manager_put(m, name, fd);
	else if (fd >= 0)
		close(fd);
}

/* @return false: there is nothing to read */
UNUSED static bool
manager_read_one(struct manager *m)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	char text[256];
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	ssize_t len = recvmsg(m->sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	int fd = -1;

	if (len < 0)
		return false;
	text[len] = '\0';
	c = CMSG_FIRSTHDR(&msg);
	if (c != NULL && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	manager_message(m, text, fd);
	return true;
}

UNUSED static void
manager_read(struct manager *m)
{
	while (manager_read_one(m))
		continue;
}

/* Until there is something to read. */
UNUSED static void
manager_poll(struct manager *m)
{
	struct pollfd p = {.fd = m->sock, .events = POLLIN};

	poll(&p, 1, -1);
}

/* This process is nobody's service any more. */
UNUSED static void
manager_stop(struct manager *m)
{
	close(m->sock);
	unlink(m->path);
	sd_init();
	while (m->n > 0)
		manager_close(m, 0);
}

#endif /* TEST_UNIT_SERVICE_MANAGER_H */
