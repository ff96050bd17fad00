/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_SOCK_FIXTURE_H
#define TEST_UNIT_SOCK_FIXTURE_H

/**
 * @file
 * Shared by the suites of both transports: descriptors, bytes on a socket, a scratch folder, an
 * event loop that is driven until nothing happens any more, a mailbox.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "test.h"
#include "state/mailbox.h"

#define UNUSED __attribute__((unused))

/* ---- descriptors */

UNUSED static int
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* A client's descriptors are closed by others: as many are open before long. */
UNUSED static void
fds_settle(int expected)
{
	const time_t end = time(NULL) + 20;

	while (open_fds() != expected && time(NULL) < end)
		sched_yield();
	assert_int_equal(open_fds(), expected);
}

UNUSED static int
memfd(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

UNUSED static bool
same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

UNUSED static void
close_all(int n, const int *fds)
{
	for (int i = 0; i < n; i++)
		close(fds[i]);
}

UNUSED static uint64_t
eventfd_take(int fd)
{
	uint64_t v = 0;

	return read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

/* ---- raw bytes */

UNUSED static ssize_t
try_send_with_fds(int sock, const void *buf, size_t len, const int *fds, unsigned int nfds)
{
	char control[CMSG_SPACE(64 * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds > 0) {
		struct cmsghdr *c;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

UNUSED static void
send_with_fds(int sock, const void *buf, size_t len, const int *fds, unsigned int nfds)
{
	assert_int_equal(try_send_with_fds(sock, buf, len, fds, nfds), (int)len);
}

#define assert_no_reply(sock)                                                                      \
	do {                                                                                       \
		char byte_;                                                                        \
		assert_int_equal(recv(sock, &byte_, 1, MSG_DONTWAIT | MSG_PEEK), -1);              \
		assert_int_equal(errno, EAGAIN);                                                   \
	} while (0)

UNUSED static bool
hung_up(int sock)
{
	char buf[4096];
	ssize_t n;

	while ((n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		continue;
	return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* ---- place and loop */

struct place {
	struct event_base *base;
	char dir[64];
	char path[96];
};

UNUSED static void
place_make(struct place *p)
{
	strcpy(p->dir, "/tmp/virtnet-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/sock", p->dir);
	p->base = event_base_new();
	assert_non_null(p->base);
}

UNUSED static void
place_remove(struct place *p)
{
	event_base_free(p->base);
	unlink(p->path);
	rmdir(p->dir);
}

/*
 * Everything that stands in sockets is handled at once: a few rounds see to what rounds make of it.
 */
UNUSED static void
pump(struct event_base *base)
{
	for (int i = 0; i < 8; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

UNUSED static int
raw_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

UNUSED static struct mailbox *
mailbox_new(void)
{
	struct mailbox *mb = aligned_alloc(64, sizeof(*mb));

	assert_non_null(mb);
	memset(mb, 0, sizeof(*mb));
	return mb;
}

#endif /* TEST_UNIT_SOCK_FIXTURE_H */
