/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A process that converts state blocks for the keeper (--convert-blocks), and does nothing else. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "device_adopt.h"
#include "fence.h"
#include "ha/conn.h"
#include "keeper_link.h"

static int
say_hello(struct ha_conn *conn)
{
	struct ha_msg msg = {.type = HA_HELLO};

	msg.u.hello.proto = HA_PROTO_VERSION;
	msg.u.hello.role = HA_ROLE_CONVERT;
	msg.u.hello.pid = getpid();
	msg.u.hello.n_layouts = device_block_layouts(msg.u.hello.layout);
	snprintf(msg.u.hello.version, sizeof(msg.u.hello.version), "v%s", VIRTNET_VERSION);
	return ha_conn_send(conn, &msg, NULL, 0);
}

static int
convert(struct ha_conn *conn, const struct ha_msg *ask, int block)
{
	struct ha_msg msg = {.type = HA_CONVERTED, .device = ask->device};
	int fd = -1, ret;

	msg.u.result.err =
		device_block_convert(block, ask->u.hello.layout, ask->u.hello.n_layouts, &fd);
	if (msg.u.result.err != 0)
		snprintf(msg.u.result.text, sizeof(msg.u.result.text), "%s",
			strerror(-msg.u.result.err));
	ret = ha_conn_send(conn, &msg, &fd, msg.u.result.err == 0 ? 1 : 0);
	if (msg.u.result.err == 0)
		close(fd);
	return ret;
}

/* One message. @return 0; -errno when the connection has ended */
static int
serve(struct ha_conn *conn)
{
	int fds[HA_FDS_MAX];
	struct ha_msg msg;
	unsigned int n;
	int ret = ha_conn_recv(conn, &msg, fds, &n);

	if (ret <= 0)
		return ret;
	ret = msg.type == HA_CONVERT && n == 1 ? convert(conn, &msg, fds[0]) : 0;
	if (msg.type == HA_EXIT || msg.type == HA_STOP)
		ret = -EPIPE;
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
	return ret;
}

int
keeper_convert(int socket_fd, int fence_fd)
{
	struct pollfd p = {.fd = socket_fd, .events = POLLIN};
	struct ha_conn *conn;
	int ret = fence_fd >= 0 ? fence_attach(fence_fd) : 0;

	if (ret == 0 && fence_enter(0) == NULL)
		ret = -errno;
	if (ret == 0)
		ret = ha_conn_create(socket_fd, &conn);
	if (ret < 0)
		return ret;
	ret = say_hello(conn);
	while (ret == 0) {
		p.events = POLLIN | (ha_conn_waits(conn) ? POLLOUT : 0);
		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			ret = -errno;
		if (ret == 0)
			ret = ha_conn_flush(conn);
		if (ret == 0)
			ret = serve(conn);
	}
	ha_conn_destroy(conn);
	return ret == -EPIPE ? 0 : ret;
}
