/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The front that connects: its peer listens, may come later than we and may go before us. It is
 * looked for until it is there.
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <event2/event.h>

#include "front_impl.h"

/*
 * Pauses between attempts: the first is what a peer that restarts is made wait at most by us, the
 * last is what a thousand devices without peers cost: a system call each.
 */
#define CONNECT_RETRY_FIRST_MS 50
#define CONNECT_RETRY_LAST_MS  1000

static void
pause_then_connect(struct sock_front *front)
{
	const unsigned int ms = front->retry_ms > 0 ? front->retry_ms : CONNECT_RETRY_FIRST_MS;
	const struct timeval pause = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	front->retry_ms = 2 * ms < CONNECT_RETRY_LAST_MS ? 2 * ms : CONNECT_RETRY_LAST_MS;
	event_add(front->retry_ev, &pause);
}

/* @return a socket; -errno. A UNIX socket connects at once or not at all. */
static int
peer_connect(const struct sockaddr_un *addr)
{
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	int err;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
		err = errno;
		close(fd);
		return -err;
	}
	/* An urgent byte is a byte: the kernel must not throw it, and what came with it, away. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	return fd;
}

static bool
wanted(const struct sock_front *front)
{
	return front->fd < 0 && !front->gone && !front->held && !front->paused;
}

static void
on_connect(evutil_socket_t none, short what, void *arg)
{
	struct sock_front *front = arg;
	int fd;

	if (!wanted(front))
		return;
	fd = sock_closer_full(front->closer) ? -EAGAIN : peer_connect(&front->addr);
	if (fd >= 0)
		front_attach(front, fd);
	else if (fd != -ENOENT && fd != -ECONNREFUSED && fd != -EAGAIN)
		front_log(front, LOG_WARNING, "cannot connect: %s", strerror(-fd));
	if (wanted(front))
		pause_then_connect(front);
}

int
front_connect(struct sock_front *front, const struct sock_front_conf *conf)
{
	const int ret = front_address_set(front, conf->path);

	if (ret < 0)
		return ret;
	front->retry_ev = event_new(front->base, -1, 0, on_connect, front);
	if (front->retry_ev == NULL)
		return -ENOMEM;
	event_active(front->retry_ev, EV_TIMEOUT, 0);
	return 0;
}

void
front_connect_on(struct sock_front *front)
{
	if (wanted(front))
		pause_then_connect(front);
}
