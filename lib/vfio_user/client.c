/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The client endpoint: connection, requests out, replies in. Never blocks. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include "client_impl.h"

/*
 * Reads per vfio_user_client_process(): a server that never pauses must not hold up the caller's
 * loop.
 */
#define CLIENT_RX_BURST 128

int
vfio_user_client_adopt(int fd, struct vfio_user_client **out)
{
	struct vfio_user_client *c;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->fd = fd;
	c->timeout_ms = VFIO_USER_CLIENT_TIMEOUT_MS;
	sock_out_init(&c->out, VFIO_USER_CLIENT_TX_MAX);
	*out = c;
	return 0;
}

int
vfio_user_client_connect(const char *path, struct vfio_user_client **out)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, ret;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	ret = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	if (ret == 0)
		ret = vfio_user_client_adopt(fd, out);
	if (ret < 0)
		close(fd);
	return ret;
}

static void
events_free(struct vfio_user_client *c)
{
	if (c->read_ev != NULL)
		event_free(c->read_ev);
	if (c->write_ev != NULL)
		event_free(c->write_ev);
	c->read_ev = NULL;
	c->write_ev = NULL;
}

/* The connection is over: close everything, tell everybody who waits. */
static void
client_end(struct vfio_user_client *c, int err)
{
	if (c->fd < 0)
		return;
	events_free(c);
	close(c->fd);
	c->fd = -1;
	c->err = err;
	sock_out_clear(&c->out);
	sock_fds_close(&c->fds);
	for (unsigned int i = 0; i < VFIO_USER_CLIENT_PENDING_MAX; i++) {
		struct client_pending p = c->pending[i];

		c->pending[i].used = false;
		if (p.used && p.done != NULL)
			p.done(p.ctx, -ECONNRESET, NULL, 0, NULL, 0);
	}
	if (c->closed != NULL)
		c->closed(c->closed_ctx, err);
}

void
vfio_user_client_destroy(struct vfio_user_client *c)
{
	if (c == NULL)
		return;
	c->closed = NULL;
	client_end(c, -ECONNRESET);
	free(c);
}

int
vfio_user_client_fd(const struct vfio_user_client *c)
{
	return c->fd;
}

short
vfio_user_client_events(const struct vfio_user_client *c)
{
	return sock_out_empty(&c->out) ? POLLIN : POLLIN | POLLOUT;
}

void
vfio_user_client_set_timeout(struct vfio_user_client *c, int ms)
{
	c->timeout_ms = ms;
}

static int
client_send(struct vfio_user_client *c, const struct vfio_user_header *hdr, const void *body,
	const int *fds, unsigned int nfds)
{
	struct sock_tx tx;
	int ret;

	sock_tx_start(&tx, hdr, sizeof(*hdr), body, hdr->size - VFIO_USER_HEADER_SIZE);
	ret = sock_out_send(&c->out, c->fd, &tx, fds, nfds);
	if (ret == -ENOTRECOVERABLE) {
		client_end(c, -ECONNRESET);
		return -ECONNRESET;
	}
	if (c->write_ev != NULL && !sock_out_empty(&c->out))
		event_add(c->write_ev, NULL);
	return ret;
}

static struct client_pending *
pending_new(struct vfio_user_client *c)
{
	for (unsigned int i = 0; i < VFIO_USER_CLIENT_PENDING_MAX; i++) {
		struct client_pending *p = &c->pending[++c->next_id % VFIO_USER_CLIENT_PENDING_MAX];

		if (!p->used) {
			p->id = c->next_id;
			return p;
		}
	}
	return NULL;
}

void
client_abandon(struct vfio_user_client *c, vfio_user_client_done done, void *ctx)
{
	for (unsigned int i = 0; i < VFIO_USER_CLIENT_PENDING_MAX; i++)
		if (c->pending[i].used && c->pending[i].done == done && c->pending[i].ctx == ctx)
			c->pending[i].done = NULL;
}

/* One stretch of memory; its length or -EINVAL. */
static int
body_gather(uint8_t *flat, const struct iovec *body, int iovcnt)
{
	size_t len = 0;

	for (int i = 0; i < iovcnt; i++) {
		if (body[i].iov_len > VFIO_USER_BODY_MAX - len)
			return -EINVAL;
		if (body[i].iov_len > 0)
			memcpy(flat + len, body[i].iov_base, body[i].iov_len);
		len += body[i].iov_len;
	}
	return (int)len;
}

int
vfio_user_client_request(struct vfio_user_client *c, uint16_t command, const struct iovec *body,
	int iovcnt, const int *fds, unsigned int nfds, vfio_user_client_done done, void *ctx)
{
	struct vfio_user_header hdr = {.command = command};
	struct client_pending *p = NULL;
	uint8_t flat[VFIO_USER_BODY_MAX];
	int len, ret;

	if (c->fd < 0)
		return c->err;
	len = body_gather(flat, body, iovcnt);
	if (len < 0 || nfds > VFIO_USER_FDS_MAX)
		return -EINVAL;
	hdr.size = VFIO_USER_HEADER_SIZE + (uint32_t)len;
	if (done != NULL) {
		p = pending_new(c);
		if (p == NULL)
			return -EAGAIN;
		hdr.id = p->id;
	} else {
		hdr.flags = VFIO_USER_F_NO_REPLY;
	}
	ret = client_send(c, &hdr, flat, fds, nfds);
	if (ret < 0)
		return ret == -EPIPE ? -ECONNRESET : ret;
	if (p != NULL) {
		p->used = true;
		p->command = command;
		p->done = done;
		p->ctx = ctx;
	}
	return 0;
}

int
vfio_user_client_region_post(
	struct vfio_user_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t count)
{
	struct vfio_user_region_access a = {.offset = off, .region = region, .count = count};
	const struct iovec iov[] = {
		{.iov_base = &a, .iov_len = sizeof(a)},
		{.iov_base = (void *)(uintptr_t)buf, .iov_len = count},
	};

	return vfio_user_client_request(c, VFIO_USER_REGION_WRITE, iov, 2, NULL, 0, NULL, NULL);
}

/* A complete reply. 0 or -EPROTO. */
static int
reply_dispatch(struct vfio_user_client *c)
{
	struct client_pending *slot = &c->pending[c->hdr.id % VFIO_USER_CLIENT_PENDING_MAX];
	struct client_pending p = *slot;
	int err = 0;

	if (!p.used || p.id != c->hdr.id || p.command != c->hdr.command)
		return -EPROTO;
	slot->used = false;
	/*
	 * An error without an errno is still an error; one out of range is not to be returned as it
	 * is.
	 */
	if (c->hdr.flags & VFIO_USER_F_ERROR)
		err = c->hdr.error > 0 && c->hdr.error < 4096 ? -(int)c->hdr.error : -EIO;
	if (p.done != NULL)
		p.done(p.ctx, err, c->body, c->hdr.size - VFIO_USER_HEADER_SIZE, c->fds.fd,
			c->fds.n);
	return 0;
}

/* Servers may ask for guest memory; this client shares its memory by descriptors only. */
static int
command_refuse(struct vfio_user_client *c)
{
	struct vfio_user_header hdr = vfio_user_reply_to(&c->hdr, 0, -ENOTSUP);
	int ret = 0;

	if (vfio_user_wants_reply(&c->hdr))
		ret = client_send(c, &hdr, NULL, NULL, 0);
	return ret == -EAGAIN ? -EPROTO : ret;
}

static int
message_dispatch(struct vfio_user_client *c)
{
	int ret;

	c->got = 0;
	if (vfio_user_is_reply(&c->hdr))
		ret = reply_dispatch(c);
	else
		ret = vfio_user_is_command(&c->hdr) ? command_refuse(c) : -EPROTO;
	sock_fds_close(&c->fds);
	return ret;
}

/* One read. 0; -EAGAIN; -errno: the connection is over */
static int
rx_step(struct vfio_user_client *c)
{
	const bool head = c->got < VFIO_USER_HEADER_SIZE;
	void *room =
		head ? (uint8_t *)&c->hdr + c->got : c->body + (c->got - VFIO_USER_HEADER_SIZE);
	size_t len = (head ? VFIO_USER_HEADER_SIZE : c->hdr.size) - c->got;
	ssize_t n = sock_recv(c->fd, room, len, &c->fds);

	if (n <= 0)
		return n == 0 ? -ECONNRESET : (int)n;
	c->got += (uint32_t)n;
	if (c->got == VFIO_USER_HEADER_SIZE &&
		vfio_user_frame_check(&c->hdr, VFIO_USER_MSG_MAX) != SOCK_FRAME_OK)
		return -EPROTO;
	if (c->got >= VFIO_USER_HEADER_SIZE && c->got == c->hdr.size)
		return message_dispatch(c);
	return 0;
}

int
vfio_user_client_process(struct vfio_user_client *c)
{
	int ret;

	if (c->fd < 0 || c->in_process)
		return c->fd < 0 ? c->err : -EDEADLK;
	c->in_process = true;
	ret = sock_out_push(&c->out, c->fd);
	if (ret == -EAGAIN)
		ret = 0;
	/*
	 * A failed send does not mean that nothing is left to read: replies may stand before the
	 * end.
	 */
	for (int i = 0; i < CLIENT_RX_BURST && c->fd >= 0; i++) {
		int err = rx_step(c);

		if (err == -EAGAIN)
			break;
		if (err < 0) {
			ret = err;
			break;
		}
	}
	c->in_process = false;
	if (ret < 0)
		client_end(c, ret == -EPROTO ? ret : -ECONNRESET);
	return c->fd < 0 ? c->err : 0;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct vfio_user_client *c = arg;

	if (vfio_user_client_process(c) == 0 && !sock_out_empty(&c->out))
		event_add(c->write_ev, NULL);
}

int
vfio_user_client_attach(struct vfio_user_client *c, struct event_base *base,
	void (*closed)(void *ctx, int err), void *ctx)
{
	if (c->fd < 0)
		return c->err;
	if (c->read_ev != NULL)
		return -EBUSY;
	c->read_ev = event_new(base, c->fd, EV_READ | EV_PERSIST, on_event, c);
	c->write_ev = event_new(base, c->fd, EV_WRITE, on_event, c);
	if (c->read_ev == NULL || c->write_ev == NULL || event_add(c->read_ev, NULL) < 0 ||
		(!sock_out_empty(&c->out) && event_add(c->write_ev, NULL) < 0)) {
		events_free(c);
		return -ENOMEM;
	}
	c->closed = closed;
	c->closed_ctx = ctx;
	return 0;
}
