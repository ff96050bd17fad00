/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The client's synchronous helpers: one request, its reply if there is one, a deadline. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "client_impl.h"

struct call {
	bool done;
	int err;
	void *reply;
	size_t room;
	size_t len;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Let the socket do something before the deadline. */
static int
wait_once(struct vhost_user_client *c, int64_t deadline)
{
	struct pollfd p = {.fd = c->fd, .events = vhost_user_client_events(c)};
	int64_t left = deadline - now_ms();
	int n;

	if (c->fd < 0)
		return c->err;
	n = poll(&p, 1, left > 0 ? (int)left : 0);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n == 0 && left <= 0)
		return -ETIMEDOUT;
	return vhost_user_client_process(c);
}

static void
call_done(void *ctx, int err, const void *body, size_t len)
{
	struct call *call = ctx;

	call->done = true;
	call->err = err;
	call->len = len;
	if (err == 0 && len > call->room)
		call->err = -EPROTO;
	else if (err == 0 && len > 0)
		memcpy(call->reply, body, len);
}

/* @param call  NULL: return when all is sent */
static int
send_and_wait(struct vhost_user_client *c, uint32_t request, uint32_t flags, const void *body,
	size_t len, const int *fds, unsigned int nfds, struct call *call)
{
	const int64_t deadline = now_ms() + c->timeout_ms;
	int ret;

	if (c->in_process)
		return -EDEADLK;
	do {
		ret = vhost_user_client_request(c, request, flags, body, len, fds, nfds,
			call != NULL ? call_done : NULL, call);
		if (ret != -EAGAIN)
			break;
		ret = wait_once(c, deadline);
	} while (ret == 0);
	while (ret == 0 && (call != NULL ? !call->done : !sock_out_empty(&c->out)))
		ret = wait_once(c, deadline);
	if (call != NULL && !call->done) {
		vhost_client_abandon(c, call_done, call);
		return ret;
	}
	return call != NULL ? call->err : ret;
}

int
vhost_user_client_call(struct vhost_user_client *c, uint32_t request, const void *body,
	size_t body_len, void *reply, size_t *len)
{
	struct call call = {.reply = reply, .room = len != NULL ? *len : 0};
	const int ret = send_and_wait(c, request, 0, body, body_len, NULL, 0, &call);

	if (len != NULL)
		*len = call.len;
	return ret;
}

int
vhost_user_client_tell(struct vhost_user_client *c, uint32_t request, const void *body,
	size_t body_len, const int *fds, unsigned int nfds)
{
	uint64_t answer = 0;
	struct call call = {.reply = &answer, .room = sizeof(answer)};
	int ret;

	if ((c->protocol_features & VHOST_USER_PROTOCOL_BIT(REPLY_ACK)) == 0)
		return send_and_wait(c, request, 0, body, body_len, fds, nfds, NULL);
	ret = send_and_wait(c, request, VHOST_USER_F_NEED_REPLY, body, body_len, fds, nfds, &call);
	if (ret == 0 && call.len != sizeof(answer))
		ret = -EPROTO;
	return ret == 0 && answer != 0 ? -EREMOTEIO : ret;
}

/* A request with one structure each way; reply_len is exact. */
static int
call_exact(struct vhost_user_client *c, uint32_t request, const void *body, size_t body_len,
	void *reply, size_t reply_len)
{
	size_t len = reply_len;
	const int ret = vhost_user_client_call(c, request, body, body_len, reply, &len);

	return ret == 0 && len != reply_len ? -EPROTO : ret;
}

int
vhost_user_client_get(struct vhost_user_client *c, uint32_t request, uint64_t *value)
{
	return call_exact(c, request, NULL, 0, value, sizeof(*value));
}

int
vhost_user_client_set(struct vhost_user_client *c, uint32_t request, uint64_t value)
{
	const int ret = vhost_user_client_tell(c, request, &value, sizeof(value), NULL, 0);

	if (ret == 0 && request == VHOST_USER_SET_PROTOCOL_FEATURES)
		c->protocol_features = value;
	return ret;
}

int
vhost_user_client_set_mem_table(struct vhost_user_client *c,
	const struct vhost_user_mem_region *region, const int *fds, unsigned int n)
{
	struct vhost_user_mem_table t = {.n = n};

	if (n > VHOST_USER_TABLE_MAX)
		return -EINVAL;
	memcpy(t.region, region, n * sizeof(*region));
	return vhost_user_client_tell(c, VHOST_USER_SET_MEM_TABLE, &t,
		offsetof(struct vhost_user_mem_table, region) + n * sizeof(*region), fds, n);
}

int
vhost_user_client_add_region(
	struct vhost_user_client *c, const struct vhost_user_mem_region *region, int fd)
{
	const struct vhost_user_mem_single m = {.region = *region};

	return vhost_user_client_tell(c, VHOST_USER_ADD_MEM_REG, &m, sizeof(m), &fd, 1);
}

int
vhost_user_client_remove_region(
	struct vhost_user_client *c, const struct vhost_user_mem_region *region)
{
	const struct vhost_user_mem_single m = {.region = *region};

	return vhost_user_client_tell(c, VHOST_USER_REM_MEM_REG, &m, sizeof(m), NULL, 0);
}

int
vhost_user_client_set_vring(
	struct vhost_user_client *c, uint32_t request, uint32_t queue, uint32_t num)
{
	const struct vhost_user_vring_state s = {.index = queue, .num = num};

	return vhost_user_client_tell(c, request, &s, sizeof(s), NULL, 0);
}

int
vhost_user_client_set_vring_addr(
	struct vhost_user_client *c, const struct vhost_user_vring_addr *addr)
{
	return vhost_user_client_tell(c, VHOST_USER_SET_VRING_ADDR, addr, sizeof(*addr), NULL, 0);
}

int
vhost_user_client_set_vring_fd(
	struct vhost_user_client *c, uint32_t request, uint32_t queue, int fd)
{
	const uint64_t value = queue | (fd < 0 ? VHOST_USER_VRING_NOFD : 0);

	return vhost_user_client_tell(c, request, &value, sizeof(value), &fd, fd >= 0 ? 1 : 0);
}

int
vhost_user_client_get_vring_base(struct vhost_user_client *c, uint32_t queue, uint32_t *base)
{
	struct vhost_user_vring_state s = {.index = queue}, reply;
	const int ret =
		call_exact(c, VHOST_USER_GET_VRING_BASE, &s, sizeof(s), &reply, sizeof(reply));

	if (ret == 0 && reply.index != queue)
		return -EPROTO;
	if (ret == 0)
		*base = reply.num;
	return ret;
}

int
vhost_user_client_get_config(struct vhost_user_client *c, uint32_t off, void *buf, uint32_t len)
{
	struct {
		struct vhost_user_config c;
		uint8_t data[VHOST_USER_CONFIG_MAX];
	} m = {.c = {.offset = off, .size = len}}, reply;
	size_t got = sizeof(reply);
	int ret;

	if (len > VHOST_USER_CONFIG_MAX)
		return -EINVAL;
	ret = vhost_user_client_call(c, VHOST_USER_GET_CONFIG, &m, sizeof(m.c) + len, &reply, &got);
	if (ret == 0 && got == 0)
		return -EREMOTEIO;
	if (ret == 0 && got != sizeof(m.c) + len)
		return -EPROTO;
	if (ret == 0)
		memcpy(buf, reply.data, len);
	return ret;
}

int
vhost_user_client_set_config(
	struct vhost_user_client *c, uint32_t off, const void *buf, uint32_t len, uint32_t flags)
{
	struct {
		struct vhost_user_config c;
		uint8_t data[VHOST_USER_CONFIG_MAX];
	} m = {.c = {.offset = off, .size = len, .flags = flags}};

	if (len > VHOST_USER_CONFIG_MAX)
		return -EINVAL;
	memcpy(m.data, buf, len);
	return vhost_user_client_tell(c, VHOST_USER_SET_CONFIG, &m, sizeof(m.c) + len, NULL, 0);
}

int
vhost_user_client_set_log_base(struct vhost_user_client *c, uint64_t size, uint64_t offset, int fd)
{
	const struct vhost_user_log log = {.size = size, .offset = offset};
	uint64_t ignored;
	struct call call = {.reply = &ignored, .room = sizeof(ignored)};

	return send_and_wait(c, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &fd, 1, &call);
}
