/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front's listening socket: its file, and clients that come while there is one. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include <event2/event.h>

#include "front_impl.h"

/* Clients waiting to be accepted; one is served, the others are turned away. */
#define FRONT_BACKLOG 16
/* Newcomers per event, so that a flood of them cannot hold up the loop. */
#define FRONT_ACCEPT_BURST 16
/*
 * Pause after running out of descriptors, or with too many that do not close: the listening socket
 * stays readable meanwhile.
 */
#define FRONT_RETRY_MS 100

/* 0: nobody listens there, the path is free now. */
static int
path_claim(const struct sockaddr_un *addr)
{
	struct stat st;
	int fd, err = 0;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		err = errno;
	close(fd);
	/* Connected, or a full backlog: somebody is there. */
	if (err == 0 || err == EAGAIN)
		return -EADDRINUSE;
	if (err != ECONNREFUSED)
		return err == ENOENT ? 0 : -err;
	if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

/* Until listen() nobody can connect, so the mode is right before anyone could use the file. */
static int
socket_publish(struct sock_front *front, const struct sock_front_conf *conf)
{
	const char *path = front->addr.sun_path;
	struct stat st;

	if (bind(front->listen_fd, (struct sockaddr *)&front->addr, sizeof(front->addr)) < 0)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	front->dev = st.st_dev;
	front->ino = st.st_ino;
	if (chmod(path, conf->mode == 0 ? 0600 : conf->mode) < 0)
		return -errno;
	if (conf->gid != (gid_t)-1 && chown(path, (uid_t)-1, conf->gid) < 0)
		return -errno;
	if (listen(front->listen_fd, FRONT_BACKLOG) < 0)
		return -errno;
	return 0;
}

/*
 * A client that was killed leaves a hung-up socket, whose end of file may still lie in the queue
 * behind its successor's connect: the successor must not be turned away for that.
 */
static bool
client_is_gone(int fd)
{
	struct pollfd p = {.fd = fd, .events = 0};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void
newcomer(struct sock_front *front, int fd)
{
	const int on = 1;

	/* An urgent byte is a byte: the kernel must not throw it, and what came with it, away. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	if (front->fd >= 0) {
		front_surplus_add(front, fd);
		return;
	}
	front_attach(front, fd);
}

static void
listen_pause(struct sock_front *front)
{
	const struct timeval pause = {.tv_usec = FRONT_RETRY_MS * 1000};

	event_del(front->listen_ev);
	event_add(front->retry_ev, &pause);
}

static void
on_listen(evutil_socket_t listen_fd, short what, void *arg)
{
	struct sock_front *front = arg;

	for (int i = 0; i < FRONT_ACCEPT_BURST; i++) {
		int fd;

		if (sock_closer_full(front->closer)) {
			listen_pause(front);
			return;
		}
		if (front->fd >= 0 && client_is_gone(front->fd))
			sock_front_drop(front, LOG_INFO, "client has gone");
		if (front->gone || front->held) {
			/* The next one waits in the backlog for front_listen_on(). */
			event_del(front->listen_ev);
			return;
		}
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			newcomer(front, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			front_log(front, LOG_ERR, "cannot accept: %s", strerror(errno));
			listen_pause(front);
			return;
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct sock_front *front = arg;

	event_add(front->listen_ev, NULL);
}

void
front_listen_on(struct sock_front *front)
{
	event_add(front->listen_ev, NULL);
}

int
front_address_set(struct sock_front *front, const char *path)
{
	if (strlen(path) >= sizeof(front->addr.sun_path))
		return -ENAMETOOLONG;
	front->addr.sun_family = AF_UNIX;
	strcpy(front->addr.sun_path, path);
	return 0;
}

static int
listen_events_create(struct sock_front *front)
{
	front->listen_ev =
		event_new(front->base, front->listen_fd, EV_READ | EV_PERSIST, on_listen, front);
	front->retry_ev = event_new(front->base, -1, 0, on_retry, front);
	if (front->listen_ev == NULL || front->retry_ev == NULL ||
		event_add(front->listen_ev, NULL) < 0)
		return -ENOMEM;
	return 0;
}

/*
 * The file is taken for ours: as long as the socket listens no other virtnet takes its place.
 */
static int
socket_check(struct sock_front *front, int fd)
{
	socklen_t len = sizeof(int);
	struct stat st;
	int listening = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0 || listening == 0 ||
		fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return -EINVAL;
	if (lstat(front->addr.sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		front->dev = st.st_dev;
		front->ino = st.st_ino;
	}
	return 0;
}

int
front_listen_adopt(struct sock_front *front, const struct sock_front_conf *conf)
{
	int ret = front_address_set(front, conf->path);

	if (ret == 0)
		ret = socket_check(front, conf->listen_fd);
	if (ret < 0)
		return ret;
	front->listen_fd = conf->listen_fd;
	ret = listen_events_create(front);
	if (ret < 0) {
		front->listen_fd = -1;
		front->ino = 0;
	}
	return ret;
}

int
front_listen(struct sock_front *front, const struct sock_front_conf *conf)
{
	int ret = front_address_set(front, conf->path);

	if (ret < 0)
		return ret;
	ret = path_claim(&front->addr);
	if (ret < 0)
		return ret;
	front->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (front->listen_fd < 0)
		return -errno;
	ret = socket_publish(front, conf);
	return ret < 0 ? ret : listen_events_create(front);
}

/* Clients that nobody has accepted may have sent something, too. */
static void
listen_close(struct sock_front *front)
{
	int fd;

	shutdown(front->listen_fd, SHUT_RDWR);
	while ((fd = accept4(front->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		sock_discard_own(front->closer, fd);
	close(front->listen_fd);
}

void
front_unlisten(struct sock_front *front)
{
	struct stat st;

	front_surplus_end(front);
	if (front->listen_ev != NULL)
		event_free(front->listen_ev);
	if (front->retry_ev != NULL)
		event_free(front->retry_ev);
	if (front->ino != 0 && lstat(front->addr.sun_path, &st) == 0 && st.st_dev == front->dev &&
		st.st_ino == front->ino)
		unlink(front->addr.sun_path);
	if (front->listen_fd >= 0)
		listen_close(front);
}
