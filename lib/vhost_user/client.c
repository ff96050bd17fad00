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

#include "client_impl.h"

/*
 * Reads per vhost_user_client_process(): a server that never pauses must not hold up the caller's
 * loop.
 */
#define CLIENT_RX_BURST 128

int
vhost_user_client_adopt(int fd, struct vhost_user_client **out)
{
	struct vhost_user_client *c;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->fd = fd;
	c->timeout_ms = VHOST_USER_CLIENT_TIMEOUT_MS;
	sock_out_init(&c->out, VHOST_USER_CLIENT_TX_MAX);
	*out = c;
	return 0;
}

int
vhost_user_client_connect(const char *path, struct vhost_user_client **out)
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
		ret = vhost_user_client_adopt(fd, out);
	if (ret < 0)
		close(fd);
	return ret;
}

static struct client_pending
pending_take(struct vhost_user_client *c)
{
	const struct client_pending p = c->pending[c->first];

	c->first = (c->first + 1) % VHOST_USER_CLIENT_PENDING_MAX;
	c->n--;
	return p;
}

/* The connection is over: close everything, tell everybody who waits. */
static void
client_end(struct vhost_user_client *c, int err)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	c->err = err;
	sock_out_clear(&c->out);
	sock_fds_close(&c->fds);
	while (c->n > 0) {
		const struct client_pending p = pending_take(c);

		if (p.done != NULL)
			p.done(p.ctx, -ECONNRESET, NULL, 0);
	}
}

void
vhost_user_client_destroy(struct vhost_user_client *c)
{
	if (c == NULL)
		return;
	client_end(c, -ECONNRESET);
	free(c);
}

int
vhost_user_client_fd(const struct vhost_user_client *c)
{
	return c->fd;
}

short
vhost_user_client_events(const struct vhost_user_client *c)
{
	return sock_out_empty(&c->out) ? POLLIN : POLLIN | POLLOUT;
}

void
vhost_user_client_set_timeout(struct vhost_user_client *c, int ms)
{
	c->timeout_ms = ms;
}

void
vhost_client_abandon(struct vhost_user_client *c, vhost_user_client_done done, void *ctx)
{
	for (unsigned int i = 0; i < VHOST_USER_CLIENT_PENDING_MAX; i++)
		if (c->pending[i].done == done && c->pending[i].ctx == ctx)
			c->pending[i].done = NULL;
}

int
vhost_user_client_request(struct vhost_user_client *c, uint32_t request, uint32_t flags,
	const void *body, size_t len, const int *fds, unsigned int nfds,
	vhost_user_client_done done, void *ctx)
{
	const struct vhost_user_header hdr =
		vhost_user_request_header(request, flags, (uint32_t)len);
	struct sock_tx tx;
	int ret;

	if (c->fd < 0)
		return c->err;
	if (len > VHOST_USER_BODY_MAX || nfds > VHOST_USER_FDS_MAX)
		return -EINVAL;
	if (done != NULL && c->n == VHOST_USER_CLIENT_PENDING_MAX)
		return -EAGAIN;
	sock_tx_start(&tx, &hdr, sizeof(hdr), body, (uint32_t)len);
	ret = sock_out_send(&c->out, c->fd, &tx, fds, nfds);
	if (ret == -ENOTRECOVERABLE)
		client_end(c, -ECONNRESET);
	if (ret < 0)
		return ret == -EPIPE || ret == -ENOTRECOVERABLE ? -ECONNRESET : ret;
	if (done != NULL)
		c->pending[(c->first + c->n++) % VHOST_USER_CLIENT_PENDING_MAX] =
			(struct client_pending){.request = request, .done = done, .ctx = ctx};
	return 0;
}

/* A complete message. 0 or -EPROTO. */
static int
message_dispatch(struct vhost_user_client *c)
{
	struct client_pending p;

	c->got = 0;
	sock_fds_close(&c->fds);
	if (!vhost_user_is_reply(&c->hdr) || c->n == 0)
		return -EPROTO;
	p = pending_take(c);
	if (p.request != c->hdr.request)
		return -EPROTO;
	if (p.done != NULL)
		p.done(p.ctx, 0, c->body, c->hdr.size);
	return 0;
}

/* One read. 0; -EAGAIN; -errno: the connection is over */
static int
rx_step(struct vhost_user_client *c)
{
	const bool head = c->got < VHOST_USER_HEADER_SIZE;
	void *room =
		head ? (uint8_t *)&c->hdr + c->got : c->body + (c->got - VHOST_USER_HEADER_SIZE);
	size_t len = VHOST_USER_HEADER_SIZE + (head ? 0 : c->hdr.size) - c->got;
	ssize_t n = sock_recv(c->fd, room, len, &c->fds);

	if (n <= 0)
		return n == 0 ? -ECONNRESET : (int)n;
	c->got += (uint32_t)n;
	if (c->got == VHOST_USER_HEADER_SIZE && !vhost_user_header_ok(&c->hdr))
		return -EPROTO;
	if (c->got >= VHOST_USER_HEADER_SIZE && c->got == VHOST_USER_HEADER_SIZE + c->hdr.size)
		return message_dispatch(c);
	return 0;
}

int
vhost_user_client_process(struct vhost_user_client *c)
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
