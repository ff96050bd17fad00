/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The front: clients that come while there is one.
 *
 * QEMU 11.1 aborts, and its VM with it, when a server closes the connection just while QEMU sends
 * its first message. So a surplus client is let say it, is told EBUSY, and only then the connection
 * ends; who says nothing is not waited for.
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
surplus_end(struct front_surplus *s)
{
	event_free(s->ev);
	s->ev = NULL;
	vfio_user_discard_socket(s->front->closer, s->fd);
}

/* The rest is read, too: closing a socket with unread data would take the answer back. */
static void
surplus_answer(struct vfio_user_front *front, int fd)
{
	struct vfio_user_fds fds = {.closer = front->closer};
	struct vfio_user_header req, reply;
	ssize_t n;
	uint8_t rest[4096];

	n = vfio_user_stream_recv(fd, &req, sizeof(req), &fds);
	if (n == (ssize_t)sizeof(req))
		(void)vfio_user_stream_recv(fd, rest, sizeof(rest), &fds);
	vfio_user_fds_close(&fds);
	if (n != (ssize_t)sizeof(req))
		return;
	reply = vfio_user_reply_to(&req, 0, -EBUSY);
	if (vfio_user_is_command(&req) && vfio_user_wants_reply(&req))
		(void)send(fd, &reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
on_surplus(evutil_socket_t fd, short what, void *arg)
{
	struct front_surplus *s = arg;

	if (what & EV_READ)
		surplus_answer(s->front, fd);
	surplus_end(s);
}

void
front_surplus_add(struct vfio_user_front *front, int fd)
{
	const struct timeval wait = {.tv_usec = SURPLUS_WAIT_MS * 1000};

	front->stats.surplus++;
	for (unsigned int i = 0; i < FRONT_SURPLUS_MAX; i++) {
		struct front_surplus *s = &front->surplus[i];

		if (s->ev != NULL)
			continue;
		s->ev = event_new(front->base, fd, EV_READ, on_surplus, s);
		if (s->ev == NULL)
			break;
		s->fd = fd;
		s->front = front;
		if (event_add(s->ev, &wait) < 0)
			surplus_end(s);
		return;
	}
	vfio_user_discard_socket(front->closer, fd);
}

void
front_surplus_end(struct vfio_user_front *front)
{
	for (unsigned int i = 0; i < FRONT_SURPLUS_MAX; i++)
		if (front->surplus[i].ev != NULL)
			surplus_end(&front->surplus[i]);
}
