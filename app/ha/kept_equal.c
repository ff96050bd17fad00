/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Descriptors from one open() that are kept more than once.
 *
 * The service manager keeps nothing twice: of two descriptors from one open() it has the first,
 * whatever the names. A host may give one eventfd to several vectors or devices. So those that the
 * manager has are known here, sorted as the kernel sorts them, and what equals one of them is
 * wrapped: it lies in the queue of a socket, and the socket is kept.
 */

#include <errno.h>
#include <search.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "kept_impl.h"

/* The tree's keys are the descriptors themselves; none of them is NULL. */
static void *
key_of(int fd)
{
	return (void *)((intptr_t)fd + 1);
}

static int
fd_of(const void *key)
{
	return (int)((intptr_t)key - 1);
}

/* A kernel that does not say which is first has none that are equal. */
static int
compare(const void *a, const void *b)
{
	const pid_t self = getpid();

	if (a == b)
		return 0;
	switch (syscall(SYS_kcmp, self, self, KCMP_FILE, fd_of(a), fd_of(b))) {
	case 0:
		return 0;
	case 1:
		return -1;
	case 2:
		return 1;
	default:
		return (intptr_t)a < (intptr_t)b ? -1 : 1;
	}
}

bool
kept_equal_known(const struct kept *k, int fd)
{
	return tfind(key_of(fd), &k->files, compare) != NULL;
}

bool
kept_equal_add(struct kept *k, int fd)
{
	void **at = tsearch(key_of(fd), &k->files, compare);

	/* Without memory it is not known: an equal that comes later is lost, as the worst. */
	return at == NULL || *at == key_of(fd);
}

void
kept_equal_remove(struct kept *k, int fd)
{
	void **at = tfind(key_of(fd), &k->files, compare);

	if (at != NULL && *at == key_of(fd))
		(void)tdelete(key_of(fd), &k->files, compare);
}

static void
nothing(void *key)
{
	(void)key;
}

void
kept_equal_end(struct kept *k)
{
	tdestroy(k->files, nothing);
	k->files = NULL;
}

/* A message of one byte with room for a descriptor. */
struct parcel {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
};

static void
parcel_init(struct parcel *p)
{
	*p = (struct parcel){.iov = {.iov_base = &p->byte, .iov_len = 1}};
	p->msg = (struct msghdr){
		.msg_iov = &p->iov,
		.msg_iovlen = 1,
		.msg_control = p->control.buf,
		.msg_controllen = sizeof(p->control.buf),
	};
}

static int
put_in(int sock, int fd)
{
	struct parcel p;
	struct cmsghdr *c;

	parcel_init(&p);
	c = CMSG_FIRSTHDR(&p.msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &p.msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int
kept_wrap(int fd)
{
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	ret = put_in(pair[1], fd);
	close(pair[1]);
	if (ret == 0)
		return pair[0];
	close(pair[0]);
	return ret;
}

/* It stays in the queue, which the manager has as well: for the next keeper. */
int
kept_unwrap(int sock)
{
	struct parcel p;
	const struct cmsghdr *c;
	int fd;

	parcel_init(&p);
	if (recvmsg(sock, &p.msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&p.msg);
	if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
		c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EBADMSG;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}
