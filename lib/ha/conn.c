/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* One end of the connection between keeper and emu process: packets, descriptors, what waits. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "msg_check.h"

/*
 * Room in the kernel for what the keeper says about some hundred devices in one go; what is beyond
 * waits in memory.
 */
#define SOCKET_BUFFER (1 << 20)

/*
 * Messages that may wait for a peer that does not read: all of a hand-over of 1008 devices (ADOPT,
 * a few FDS, ADOPT_END and what stands, each), but no flood.
 */
#define WAITING_MAX 16384u

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(HA_FDS_MAX * sizeof(int))];
};

/* A message that waits. Its descriptors are duplicates. */
struct waiting {
	STAILQ_ENTRY(waiting) next;
	unsigned int size; /* of the packet */
	unsigned int n;
	int fds[HA_FDS_MAX];
	char packet[];
};

struct ha_conn {
	int fd;
	int broken;   /* -EPROTO or -EPIPE: nothing more will be received */
	bool starved; /* the last one to be sent waits, though the peer may have room */
	unsigned int n_waiting;
	STAILQ_HEAD(, waiting) waiting;
};

int
ha_socketpair(int fd[2])
{
	static const int size = SOCKET_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) < 0)
		return -errno;
	/* Without the privilege as much as the system's limit allows. */
	for (int i = 0; i < 2; i++)
		if (setsockopt(fd[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
			setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

int
ha_conn_create(int fd, struct ha_conn **out)
{
	struct ha_conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->fd = fd;
	STAILQ_INIT(&c->waiting);
	*out = c;
	return 0;
}

static void
close_fds(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
}

static void
waiting_drop(struct ha_conn *c)
{
	struct waiting *w = STAILQ_FIRST(&c->waiting);

	STAILQ_REMOVE_HEAD(&c->waiting, next);
	c->n_waiting--;
	close_fds(w->fds, w->n);
	free(w);
}

static void
waiting_drop_all(struct ha_conn *c)
{
	while (!STAILQ_EMPTY(&c->waiting))
		waiting_drop(c);
}

void
ha_conn_destroy(struct ha_conn *c)
{
	if (c == NULL)
		return;
	waiting_drop_all(c);
	close(c->fd);
	free(c);
}

int
ha_conn_fd(const struct ha_conn *c)
{
	return c->fd;
}

static bool
peer_gone(int err)
{
	return err == EPIPE || err == ECONNRESET || err == ECONNREFUSED || err == ENOTCONN;
}

/* @return 0; -EAGAIN no room now; -ENOBUFS the kernel is short of something; -EPIPE; -errno */
static int
transmit(int fd, const void *packet, size_t size, const int *fds, unsigned int n)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)packet, .iov_len = size};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	union control ctl = {0};
	ssize_t ret;

	if (n > 0) {
		mh.msg_control = ctl.buf;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&ctl.align), fds, n * sizeof(int));
	}
	do
		ret = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (ret < 0 && errno == EINTR);
	if (ret >= 0)
		return 0;
	if (errno == EAGAIN)
		return -EAGAIN;
	/* Memory, or descriptors in flight: that they are there again, no event tells. */
	if (errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS)
		return -ENOBUFS;
	return peer_gone(errno) ? -EPIPE : -errno;
}

/* @return 0; -errno: then nothing has been duplicated */
static int
duplicate(int *to, const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		to[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (to[i] < 0) {
			int err = errno;

			close_fds(to, i);
			return -err;
		}
	}
	return 0;
}

static int
keep_waiting(
	struct ha_conn *c, const void *packet, unsigned int size, const int *fds, unsigned int n)
{
	struct waiting *w;
	int ret;

	if (c->n_waiting >= WAITING_MAX)
		return -ENOMEM;
	w = malloc(sizeof(*w) + size);
	if (w == NULL)
		return -ENOMEM;
	ret = duplicate(w->fds, fds, n);
	if (ret < 0) {
		free(w);
		return ret;
	}
	w->n = n;
	w->size = size;
	memcpy(w->packet, packet, size);
	STAILQ_INSERT_TAIL(&c->waiting, w, next);
	c->n_waiting++;
	return 0;
}

int
ha_conn_send(struct ha_conn *c, const struct ha_msg *msg, const int *fds, unsigned int n)
{
	struct ha_msg m;
	int len = ha_msg_length(msg);
	int ret = -EAGAIN;

	if (len < 0 || n > HA_FDS_MAX || ha_msg_check(msg, len, n) < 0)
		return -EINVAL;
	if (c->broken != 0)
		return -EPIPE;
	memcpy(&m, msg, HA_MSG_HEADER + len);
	m.len = len;
	if (STAILQ_EMPTY(&c->waiting)) {
		ret = transmit(c->fd, &m, HA_MSG_HEADER + len, fds, n);
		c->starved = ret == -ENOBUFS;
	}
	return ret != -EAGAIN && ret != -ENOBUFS ? ret
						 : keep_waiting(c, &m, HA_MSG_HEADER + len, fds, n);
}

bool
ha_conn_waits(const struct ha_conn *c)
{
	return !STAILQ_EMPTY(&c->waiting);
}

bool
ha_conn_starved(const struct ha_conn *c)
{
	return c->starved && ha_conn_waits(c);
}

int
ha_conn_flush(struct ha_conn *c)
{
	struct waiting *w;

	while ((w = STAILQ_FIRST(&c->waiting)) != NULL) {
		int ret = transmit(c->fd, w->packet, w->size, w->fds, w->n);

		c->starved = ret == -ENOBUFS;
		if (ret == -EAGAIN || ret == -ENOBUFS)
			return 0;
		if (ret < 0) {
			waiting_drop_all(c);
			return ret;
		}
		waiting_drop(c);
	}
	return 0;
}

/* One SCM_RIGHTS is all that the kernel makes of what a peer sends. */
static unsigned int
take_fds(struct msghdr *mh, int *fds)
{
	unsigned int n = 0;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm)) {
		unsigned int came;

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		came = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(&fds[n], CMSG_DATA(cm), came * sizeof(int));
		n += came;
	}
	return n;
}

/*
 * An empty packet and the end both read as 0 bytes; only at the end has the peer closed its side.
 */
static bool
at_end(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

/* @return bytes, 0 also at the end; -EAGAIN none now; -EPIPE */
static int
receive(int fd, struct msghdr *mh)
{
	ssize_t ret;

	/*
	 * A peer that closes with our messages unread makes the kernel report a reset, once, before
	 * what the peer itself has sent.
	 */
	do
		ret = recvmsg(fd, mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (ret < 0 && (errno == EINTR || errno == ECONNRESET));
	if (ret >= 0)
		return ret;
	return errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS ? -EAGAIN : -EPIPE;
}

/* @param n  descriptors that have come; lost: there were more, nobody knows how many */
static int
decode(struct ha_msg *msg, const char *packet, unsigned int size, unsigned int n, bool lost)
{
	unsigned int known = size < sizeof(*msg) ? size : sizeof(*msg);

	if (size < HA_MSG_HEADER)
		return -EPROTO;
	memset(msg, 0, sizeof(*msg));
	memcpy(msg, packet, known);
	if (msg->len != size - HA_MSG_HEADER)
		return -EPROTO;
	if (!lost && ha_msg_check(msg, msg->len, n) < 0)
		return -EPROTO;
	ha_msg_terminate(msg);
	msg->len = known - HA_MSG_HEADER;
	return 0;
}

/*
 * @return 1 a message; 0 none now; -EMFILE; -EPIPE; -EPROTO. What has come with it is in fds in any
 * case.
 */
static int
recv_one(struct ha_conn *c, struct ha_msg *msg, int *fds, unsigned int *n)
{
	char packet[HA_PACKET_MAX];
	union control ctl;
	struct iovec iov = {.iov_base = packet, .iov_len = sizeof(packet)};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ctl.buf,
		.msg_controllen = sizeof(ctl.buf),
	};
	int size = receive(c->fd, &mh);
	bool lost;

	if (size < 0)
		return size == -EAGAIN ? 0 : size;
	*n = take_fds(&mh, fds);
	lost = mh.msg_flags & MSG_CTRUNC;
	/* A full house came: it is the peer that has sent too many. */
	if ((mh.msg_flags & MSG_TRUNC) || (lost && *n >= HA_FDS_MAX))
		return -EPROTO;
	if (size == 0 && *n == 0 && !lost && at_end(c->fd))
		return -EPIPE;
	if (decode(msg, packet, size, *n, lost) < 0)
		return -EPROTO;
	return lost ? -EMFILE : 1;
}

int
ha_conn_recv(struct ha_conn *c, struct ha_msg *msg, int *fds, unsigned int *n)
{
	int ret;

	*n = 0;
	if (c->broken != 0)
		return c->broken;
	ret = recv_one(c, msg, fds, n);
	if (ret < 0) {
		close_fds(fds, *n);
		*n = 0;
		if (ret != -EMFILE)
			c->broken = ret;
	}
	return ret;
}
