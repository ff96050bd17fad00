/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_SOCK_LINGERING_H
#define TEST_UNIT_SOCK_LINGERING_H

/**
 * @file
 * A descriptor that does not close when one wants: a TCP socket that lingers, its peer not reading.
 * A test that has waited for it is ended by SIGALRM.
 */

#include <netinet/in.h>

#include "sock_fixture.h"

#define LINGER_S 60
#define STUCK_S	 20

struct lingering {
	int fd;
	int peer;
};

UNUSED static struct lingering
lingering_new(void)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = LINGER_S};
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);
	static const char data[65536];
	struct lingering s;

	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	getsockname(listener, (struct sockaddr *)&addr, &len);
	s.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(s.fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	s.peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	close(listener);
	setsockopt(s.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	while (send(s.fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		continue;
	return s;
}

/* A byte with descriptors. */
UNUSED static void
send_fds(int sock, const int *fds, unsigned int n)
{
	union {
		char buf[CMSG_SPACE(253 * sizeof(int))];
		struct cmsghdr head;
	} control = {0};
	struct iovec iov = {.iov_base = (char[]){0}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int))};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(&control.head), fds, n * sizeof(int));
	assert_int_equal(sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT), 1);
}

/*
 * A connected socket with a lingering descriptor in its queue, and nowhere else: who closes the
 * socket last closes that.
 * @param s     filled, but for s->fd
 * @param peer  of the socket
 */
UNUSED static int
lingering_in_socket(struct lingering *s, int *peer)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	*s = lingering_new();
	send_fds(sv[1], &s->fd, 1);
	close(s->fd);
	s->fd = -1;
	*peer = sv[1];
	return sv[0];
}

/* Its peer resets the connection, which ends the wait. */
UNUSED static void
let_go(struct lingering *s, int fds_expected)
{
	close(s->peer);
	alarm(STUCK_S);
	while (open_fds() > fds_expected)
		sched_yield();
	alarm(0);
}

#endif /* TEST_UNIT_SOCK_LINGERING_H */
