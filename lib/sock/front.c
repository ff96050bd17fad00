/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: life of its one connection, and the functions for its user. */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <event2/event.h>

#include "front_impl.h"

#define FRONT_LOG_MAX 160
/*
 * While a request is pending nothing is read, so an end of file is not seen; at this interval the
 * socket is asked. Short against a person's patience, long against the cost of a poll().
 */
#define FRONT_WATCH_MS 100
/*
 * Looks until a client whose descriptors do not close loses its connection. What only takes its
 * time, as closing does on a busy machine, is done by then.
 */
#define FRONT_FULL_LOOKS 10u

void
front_log(const struct sock_front *front, int level, const char *fmt, ...)
{
	char msg[FRONT_LOG_MAX];
	va_list ap;

	if (front->ops->log == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	front->ops->log(front->ctx, level, msg);
}

bool
front_busy(const struct sock_front *front)
{
	return front->tx.active || front->gone || front->paused ||
	       sock_closer_full(front->closer) ||
	       atomic_load_explicit(&front->mailbox->state, memory_order_acquire) != MAILBOX_EMPTY;
}

void
front_events_destroy(struct sock_front *front)
{
	struct event **ev[] = {&front->read_ev, &front->write_ev, &front->watch_ev};

	for (size_t i = 0; i < sizeof(ev) / sizeof(ev[0]); i++) {
		if (*ev[i] != NULL)
			event_free(*ev[i]);
		*ev[i] = NULL;
	}
}

/* Nothing is on its way in or out. */
static void
front_forget_position(struct sock_front *front)
{
	struct mailbox_stream *st = &front->mailbox->stream;

	front_note(&st->rx_call, 0);
	front_note(&st->tx_call, 0);
	front_note(&st->rx_got, 0);
	front_note(&st->rx_skip, 0);
	front_note(&st->rx_nfds, 0);
	front_note(&st->tx_active, 0);
}

/* Close everything of the connection; what stands in the mailbox is left alone. */
static void
connection_close(struct sock_front *front)
{
	front_events_destroy(front);
	sock_discard_own(front->closer, front->fd);
	front->fd = -1;
	sock_fds_close(&front->rx.fds);
	memset(&front->rx, 0, sizeof(front->rx));
	front->tx.active = false;
	front->tx_mailbox = false;
	front->resuming = false;
	front->broken = NULL;
	front->full = 0;
	front_forget_position(front);
}

void
sock_front_drop(struct sock_front *front, int level, const char *why)
{
	connection_close(front);
	front_log(front, level, "%s", why);
	front->gone = front->ops->disconnected != NULL;
	if (front->gone)
		front->ops->disconnected(front->ctx);
	else if (front->connect)
		front_connect_on(front);
	/*
	 * A reply that was not sent, or that the owner has just left for a request without a
	 * client.
	 */
	sock_front_reply(front);
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	front_rx(arg);
}

static void
on_write(evutil_socket_t fd, short what, void *arg)
{
	struct sock_front *front = arg;

	if (front->tx.active)
		front_tx(front);
	front_rearm(front);
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct sock_front *front = arg;
	struct pollfd p = {.fd = front->fd, .events = 0};

	front->full = sock_closer_full(front->closer) ? front->full + 1 : 0;
	if (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)) != 0)
		sock_front_drop(front, LOG_INFO, "client has gone before its request was done");
	else if (front->full >= FRONT_FULL_LOOKS)
		sock_front_drop(front, LOG_WARNING,
			"client has sent too many descriptors that do not close");
	else
		front_rearm(front);
}

void
front_rearm(struct sock_front *front)
{
	const struct timeval watch = {.tv_usec = FRONT_WATCH_MS * 1000};

	if (front->fd < 0)
		return;
	if (front->tx.active)
		event_add(front->write_ev, NULL);
	if (front_busy(front)) {
		event_del(front->read_ev);
		event_add(front->watch_ev, &watch);
	} else {
		event_del(front->watch_ev);
		event_add(front->read_ev, NULL);
		/* What a predecessor has read does not make the socket readable. */
		if (front->resuming)
			event_active(front->read_ev, EV_READ, 0);
	}
}

bool
front_events_create(struct sock_front *front, int fd)
{
	front->read_ev = event_new(front->base, fd, EV_READ | EV_PERSIST, on_read, front);
	front->write_ev = event_new(front->base, fd, EV_WRITE, on_write, front);
	front->watch_ev = event_new(front->base, -1, 0, on_watch, front);
	if (front->read_ev != NULL && front->write_ev != NULL && front->watch_ev != NULL)
		return true;
	front_events_destroy(front);
	return false;
}

void
front_attach(struct sock_front *front, int fd)
{
	if (!front_events_create(front, fd)) {
		front_log(front, LOG_ERR, "no memory for a connection");
		sock_discard_own(front->closer, fd);
		return;
	}
	front->rx.fds.closer = front->closer;
	front->fd = fd;
	front->connection++;
	front_note(&front->mailbox->stream.connection, front->connection);
	front->stats.connections++;
	front_log(front, LOG_INFO, "client has connected");
	if (front->ops->connected != NULL)
		front->ops->connected(front->ctx);
	front_rearm(front);
}

static int
front_begin(struct sock_front *front, const struct sock_front_conf *conf)
{
	int ret;

	front->fd = -1;
	front->listen_fd = -1;
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		front->req_fds[i] = -1;
	front->closer =
		conf->closer != NULL ? sock_closer_share(conf->closer) : sock_closer_create();
	if (front->closer == NULL)
		return -ENOMEM;
	front->base = conf->base;
	front->mailbox = conf->mailbox;
	front->ops = conf->ops;
	front->ctx = conf->ctx;
	front->any_fd = conf->any_fd;
	front->connect = conf->connect;
	if (conf->adopt)
		return front_adopt(front, conf);
	front->connection = conf->mailbox->connection;
	ret = conf->connect ? front_connect(front, conf) : front_listen(front, conf);
	if (ret == 0)
		front_forget_position(front);
	return ret;
}

int
sock_front_create(const struct sock_proto *proto, size_t size, const struct sock_front_conf *conf,
	struct sock_front **out)
{
	struct sock_front *front;
	int ret;

	if (conf->base == NULL || conf->mailbox == NULL || conf->path == NULL ||
		conf->ops == NULL || conf->ops->request == NULL)
		return -EINVAL;
	front = calloc(1, size);
	if (front == NULL)
		return -ENOMEM;
	front->proto = proto;
	ret = front_begin(front, conf);
	if (ret < 0) {
		sock_front_destroy(front);
		return ret;
	}
	*out = front;
	return 0;
}

static void
front_end(struct sock_front *front)
{
	if (front->fd >= 0)
		connection_close(front);
	front_unlisten(front);
	if (front->adopt_ev != NULL)
		event_free(front->adopt_ev);
	if (front->closer == NULL)
		return;
	sock_discard(front->closer, front->req_fds, MAILBOX_FDS_MAX);
	sock_closer_release(front->closer);
}

void
sock_front_destroy(struct sock_front *front)
{
	if (front == NULL)
		return;
	front_end(front);
	free(front);
}

int *
sock_front_request_fds(struct sock_front *front)
{
	return front->req_fds;
}

int
sock_front_listen_fd(const struct sock_front *front)
{
	return front->listen_fd;
}

int
sock_front_conn_fd(const struct sock_front *front)
{
	return front->fd;
}

bool
sock_front_connected(const struct sock_front *front)
{
	return front->fd >= 0;
}

const struct sock_front_stats *
sock_front_get_stats(const struct sock_front *front)
{
	return &front->stats;
}

void
sock_front_disconnect(struct sock_front *front)
{
	if (front->fd >= 0)
		sock_front_drop(front, LOG_INFO, "disconnected by the device");
}

/* If they may. */
static void
clients_on(struct sock_front *front)
{
	if (front->connect)
		front_connect_on(front);
	else
		front_listen_on(front);
}

void
sock_front_hold(struct sock_front *front, bool hold)
{
	front->held = hold;
	if (!hold)
		clients_on(front);
}

void
sock_front_gone_done(struct sock_front *front)
{
	front->gone = false;
	clients_on(front);
	sock_front_reply(front);
	if (!front->in_rx)
		front_rearm(front);
}

void
sock_front_pause(struct sock_front *front)
{
	front->paused = true;
	front_rearm(front);
}
