/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Bytes and descriptors in and out of a UNIX socket. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "stream.h"

/* What the kernel lets into one message (SCM_MAX_FD); it would close here what has no room. */
#define STREAM_FDS_MAX 253

void
sock_fds_close(struct sock_fds *fds)
{
	sock_discard(fds->closer, fds->fd, fds->n);
	fds->n = 0;
	fds->lost = false;
}

static unsigned int
control_fds(struct msghdr *msg, int *fd)
{
	unsigned int got = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n && got < STREAM_FDS_MAX; i++)
			memcpy(&fd[got++], CMSG_DATA(c) + i * sizeof(int), sizeof(fd[0]));
	}
	return got;
}

/*
 * With MSG_CTRUNC the kernel has closed some, because our own limit of open files was reached.
 */
static void
fds_collect(struct sock_fds *fds, struct msghdr *msg)
{
	int fd[STREAM_FDS_MAX];
	const unsigned int n = control_fds(msg, fd);

	if (n == 0 && (msg->msg_flags & MSG_CTRUNC) == 0)
		return;
	if (fds->lost || n > SOCK_FDS_MAX - fds->n || (msg->msg_flags & MSG_CTRUNC) != 0) {
		sock_discard(fds->closer, fd, n);
		sock_fds_close(fds);
		fds->lost = true;
		return;
	}
	memcpy(&fds->fd[fds->n], fd, n * sizeof(fd[0]));
	fds->n += n;
}

ssize_t
sock_recv(int sock, void *buf, size_t len, struct sock_fds *fds)
{
	union {
		char buf[CMSG_SPACE(STREAM_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	do {
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	fds_collect(fds, &msg);
	return n;
}

void
sock_tx_start(
	struct sock_tx *tx, const void *hdr, uint32_t hdr_len, const void *body, uint32_t body_len)
{
	memcpy(tx->hdr, hdr, hdr_len);
	tx->hdr_len = hdr_len;
	tx->size = hdr_len + body_len;
	tx->body = body;
	tx->sent = 0;
	tx->active = true;
}

static int
tx_iov(const struct sock_tx *tx, struct iovec iov[2])
{
	size_t head = tx->hdr_len, from = 0;
	int n = 0;

	if (tx->sent < head) {
		iov[n].iov_base = (uint8_t *)(uintptr_t)tx->hdr + tx->sent;
		iov[n++].iov_len = head - tx->sent;
	} else {
		from = tx->sent - head;
	}
	if (tx->size > head + from) {
		iov[n].iov_base = (uint8_t *)(uintptr_t)tx->body + from;
		iov[n++].iov_len = tx->size - head - from;
	}
	return n;
}

static void
tx_attach_fds(struct msghdr *msg, char *control, const int *fds, unsigned int nfds)
{
	struct cmsghdr *c;

	msg->msg_control = control;
	msg->msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	memset(control, 0, msg->msg_controllen);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
}

static void
tx_advance(struct sock_tx *tx, size_t n)
{
	tx->sent += n;
	tx->active = tx->sent < tx->size;
}

int
sock_tx_step(struct sock_tx *tx, int sock, const int *fds, unsigned int nfds)
{
	union {
		char buf[CMSG_SPACE(SOCK_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov[2];
	struct msghdr msg = {.msg_iov = iov};
	ssize_t n;

	msg.msg_iovlen = (size_t)tx_iov(tx, iov);
	if (tx->sent == 0 && nfds > 0)
		tx_attach_fds(&msg, control.buf, fds, nfds);
	do {
		n = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	tx_advance(tx, (size_t)n);
	return 0;
}

int
sock_tx_step_noted(struct sock_tx *tx, int sock, struct mmsghdr *call)
{
	struct iovec iov[2];
	unsigned int sent;
	int n;

	call->msg_hdr = (struct msghdr){.msg_iov = iov, .msg_iovlen = (size_t)tx_iov(tx, iov)};
	do {
		n = sendmmsg(sock, call, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	sent = *(const volatile unsigned int *)&call->msg_len;
	if (sent > sock_tx_left(tx))
		return -EPROTO;
	tx_advance(tx, sent);
	return 0;
}

int
sock_tx_push(struct sock_tx *tx, int sock, const int *fds, unsigned int nfds)
{
	int ret = 0;

	while (ret == 0 && tx->active)
		ret = sock_tx_step(tx, sock, fds, nfds);
	return ret;
}
