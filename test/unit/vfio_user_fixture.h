/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VFIO_USER_FIXTURE_H
#define TEST_UNIT_VFIO_USER_FIXTURE_H

/**
 * @file
 * Shared by the vfio-user suites: descriptors, raw messages on a socket, a scratch folder, an event
 * loop that is driven until nothing happens any more.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "test.h"
#include "vfio_user/vfio_user.h"

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

/* ---- raw messages */

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

/* A message as one would lay it out by hand; its parts may lie. */
struct raw {
	uint16_t id;
	uint16_t command;
	uint32_t flags;
	uint32_t size; /* 0: the true one */
	const void *body;
	uint32_t len;
	const int *fds;
	unsigned int nfds;
};

UNUSED static void
raw_send(int sock, struct raw m)
{
	uint8_t buf[VFIO_USER_MSG_MAX + 4096];
	struct vfio_user_header hdr = {
		.id = m.id,
		.command = m.command,
		.size = m.size != 0 ? m.size : VFIO_USER_HEADER_SIZE + m.len,
		.flags = m.flags,
	};

	assert_true(m.len <= sizeof(buf) - sizeof(hdr));
	memcpy(buf, &hdr, sizeof(hdr));
	if (m.len > 0)
		memcpy(buf + sizeof(hdr), m.body, m.len);
	send_with_fds(sock, buf, sizeof(hdr) + m.len, m.fds, m.nfds);
}

struct raw_reply {
	struct vfio_user_header hdr;
	uint8_t body[VFIO_USER_BODY_MAX];
};

/* False if there is no complete reply. */
UNUSED static bool
raw_recv(int sock, struct raw_reply *r)
{
	memset(r, 0, sizeof(*r));
	if (recv(sock, &r->hdr, sizeof(r->hdr), MSG_DONTWAIT) != (ssize_t)sizeof(r->hdr))
		return false;
	if (r->hdr.size == sizeof(r->hdr))
		return true;
	assert_true(r->hdr.size <= VFIO_USER_MSG_MAX);
	return recv(sock, r->body, r->hdr.size - sizeof(r->hdr), MSG_DONTWAIT) ==
		(ssize_t)(r->hdr.size - sizeof(r->hdr));
}

/* A reply with this id, and this errno or 0. */
#define assert_reply(sock, id_, err_)                                                              \
	do {                                                                                       \
		struct raw_reply reply_;                                                           \
		assert_true(raw_recv(sock, &reply_));                                              \
		assert_int_equal(reply_.hdr.id, id_);                                              \
		assert_int_equal(reply_.hdr.error, err_);                                          \
		assert_int_equal(reply_.hdr.flags,                                                 \
			VFIO_USER_F_TYPE_REPLY | ((err_) != 0 ? VFIO_USER_F_ERROR : 0));           \
	} while (0)

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

#endif /* TEST_UNIT_VFIO_USER_FIXTURE_H */
