/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The front: clients that come while there is one.
 *
 * QEMU 11.1 aborts, and its VM with it, when a vfio-user server closes the connection just while
 * QEMU sends its first message. So, with a protocol that can say so, a surplus client is let say
 * it, is told that there is another, and only then the connection ends; who says nothing is not
 * waited for.
 */

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <event2/event.h>

#include "front_impl.h"

/* Enough for QEMU to get to its first message on a busy machine, short against a person's patience.
 */
#define SURPLUS_WAIT_MS 300

static void
surplus_end(struct sock_front_surplus *s)
{
	event_free(s->ev);
	s->ev = NULL;
	sock_discard_own(s->front->closer, s->fd);
}

/* The rest is read, too: closing a socket with unread data would take the answer back. */
static void
surplus_answer(struct sock_front *front, int fd)
{
	const uint32_t len = front->proto->header_size;
	struct sock_fds fds = {.closer = front->closer};
	uint8_t req[SOCK_HEADER_MAX], reply[SOCK_HEADER_MAX], rest[4096];
	ssize_t n;

	n = sock_recv(fd, req, len, &fds);
	if (n == (ssize_t)len)
		(void)sock_recv(fd, rest, sizeof(rest), &fds);
	sock_fds_close(&fds);
	if (n == (ssize_t)len && front->proto->turn_away(req, reply))
		(void)send(fd, reply, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
on_surplus(evutil_socket_t fd, short what, void *arg)
{
	struct sock_front_surplus *s = arg;

	if (what & EV_READ)
		surplus_answer(s->front, fd);
	surplus_end(s);
}

void
front_surplus_add(struct sock_front *front, int fd)
{
	const struct timeval wait = {.tv_usec = SURPLUS_WAIT_MS * 1000};

	front->stats.surplus++;
	for (unsigned int i = 0; i < SOCK_FRONT_SURPLUS_MAX; i++) {
		struct sock_front_surplus *s = &front->surplus[i];

		if (s->ev != NULL)
			continue;
		if (front->proto->turn_away == NULL)
			break;
		s->ev = event_new(front->base, fd, EV_READ, on_surplus, s);
		if (s->ev == NULL)
			break;
		s->fd = fd;
		s->front = front;
		if (event_add(s->ev, &wait) < 0)
			surplus_end(s);
		return;
	}
	sock_discard_own(front->closer, fd);
}

void
front_surplus_end(struct sock_front *front)
{
	for (unsigned int i = 0; i < SOCK_FRONT_SURPLUS_MAX; i++)
		if (front->surplus[i].ev != NULL)
			surplus_end(&front->surplus[i]);
}
