/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The client's synchronous helpers: one command, one reply, a deadline. */

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
wait_once(struct vfio_user_client *c, int64_t deadline)
{
	struct pollfd p = {.fd = c->fd, .events = vfio_user_client_events(c)};
	int64_t left = deadline - now_ms();
	int n;

	if (c->fd < 0)
		return c->err;
	n = poll(&p, 1, left > 0 ? (int)left : 0);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n == 0 && left <= 0)
		return -ETIMEDOUT;
	return vfio_user_client_process(c);
}

static void
call_done(void *ctx, int err, const void *body, size_t len, int *fds, unsigned int nfds)
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

int
vfio_user_client_flush(struct vfio_user_client *c)
{
	const int64_t deadline = now_ms() + c->timeout_ms;
	int ret = c->fd < 0 ? c->err : 0;

	while (ret == 0 && !sock_out_empty(&c->out))
		ret = wait_once(c, deadline);
	return ret;
}

int
vfio_user_client_call(struct vfio_user_client *c, uint16_t command, const struct iovec *body,
	int iovcnt, const int *fds, unsigned int nfds, void *reply, size_t *len)
{
	const int64_t deadline = now_ms() + c->timeout_ms;
	struct call call = {.reply = reply, .room = len != NULL ? *len : 0};
	int ret;

	if (c->in_process)
		return -EDEADLK;
	do {
		ret = vfio_user_client_request(
			c, command, body, iovcnt, fds, nfds, call_done, &call);
		if (ret != -EAGAIN)
			break;
		ret = wait_once(c, deadline);
	} while (ret == 0);
	while (ret == 0 && !call.done)
		ret = wait_once(c, deadline);
	if (!call.done) {
		client_abandon(c, call_done, &call);
		return ret;
	}
	if (len != NULL)
		*len = call.len;
	return call.err;
}

/* A command with one structure each way; reply_len is exact. */
static int
call_exact(struct vfio_user_client *c, uint16_t command, const void *body, size_t body_len,
	void *reply, size_t reply_len)
{
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)body, .iov_len = body_len};
	size_t len = reply_len;
	int ret = vfio_user_client_call(c, command, &iov, 1, NULL, 0, reply, &len);

	if (ret == 0 && len != reply_len)
		ret = -EPROTO;
	return ret;
}

int
vfio_user_client_negotiate(struct vfio_user_client *c, struct vfio_user_caps *caps)
{
	const struct vfio_user_caps ours = {
		.max_msg_fds = VFIO_USER_FDS_MAX,
		.max_data_xfer_size = VFIO_USER_XFER_MAX,
		.max_dma_maps = VFIO_USER_DMA_MAPS_MAX,
		.pgsizes = VFIO_USER_PAGE_SIZE,
		.write_multiple = true,
	};
	uint8_t request[512], reply[VFIO_USER_BODY_MAX];
	struct vfio_user_version version;
	struct iovec iov = {.iov_base = request};
	size_t len = sizeof(reply);
	int ret;

	ret = vfio_user_version_build(request, sizeof(request), &ours);
	if (ret < 0)
		return ret;
	iov.iov_len = (size_t)ret;
	ret = vfio_user_client_call(c, VFIO_USER_VERSION, &iov, 1, NULL, 0, reply, &len);
	if (ret < 0)
		return ret;
	if (vfio_user_version_parse(reply, len, &version, caps) < 0 ||
		version.major != VFIO_USER_VERSION_MAJOR || version.minor > VFIO_USER_VERSION_MINOR)
		return -EPROTO;
	return 0;
}

int
vfio_user_client_get_info(struct vfio_user_client *c, struct vfio_user_device_info *info)
{
	const struct vfio_user_device_info req = {.argsz = sizeof(req)};

	return call_exact(c, VFIO_USER_DEVICE_GET_INFO, &req, sizeof(req), info, sizeof(*info));
}

int
vfio_user_client_get_region_info(
	struct vfio_user_client *c, uint32_t index, struct vfio_user_region_info *info)
{
	const struct vfio_user_region_info req = {.argsz = sizeof(req), .index = index};

	return call_exact(
		c, VFIO_USER_DEVICE_GET_REGION_INFO, &req, sizeof(req), info, sizeof(*info));
}

int
vfio_user_client_get_irq_info(
	struct vfio_user_client *c, uint32_t index, struct vfio_user_irq_info *info)
{
	const struct vfio_user_irq_info req = {.argsz = sizeof(req), .index = index};

	return call_exact(c, VFIO_USER_DEVICE_GET_IRQ_INFO, &req, sizeof(req), info, sizeof(*info));
}

int
vfio_user_client_region_read(
	struct vfio_user_client *c, uint32_t region, uint64_t off, void *buf, uint32_t count)
{
	const struct vfio_user_region_access req = {
		.offset = off, .region = region, .count = count};
	uint8_t reply[sizeof(req) + VFIO_USER_XFER_MAX];
	int ret;

	if (count > VFIO_USER_XFER_MAX)
		return -EINVAL;
	ret = call_exact(c, VFIO_USER_REGION_READ, &req, sizeof(req), reply, sizeof(req) + count);
	if (ret == 0)
		memcpy(buf, reply + sizeof(req), count);
	return ret;
}

int
vfio_user_client_region_write(
	struct vfio_user_client *c, uint32_t region, uint64_t off, const void *buf, uint32_t count)
{
	struct vfio_user_region_access a = {.offset = off, .region = region, .count = count};
	const struct iovec iov[] = {
		{.iov_base = &a, .iov_len = sizeof(a)},
		{.iov_base = (void *)(uintptr_t)buf, .iov_len = count},
	};
	struct vfio_user_region_access reply;
	size_t len = sizeof(reply);
	int ret;

	ret = vfio_user_client_call(c, VFIO_USER_REGION_WRITE, iov, 2, NULL, 0, &reply, &len);
	if (ret == 0 && (len != sizeof(reply) || reply.count != count))
		ret = -EPROTO;
	return ret;
}

int
vfio_user_client_dma_map(struct vfio_user_client *c, uint64_t iova, uint64_t size, int fd,
	uint64_t offset, uint32_t prot)
{
	struct vfio_user_dma_map m = {
		.argsz = sizeof(m),
		.flags = prot,
		.offset = offset,
		.address = iova,
		.size = size,
	};
	const struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};

	return vfio_user_client_call(
		c, VFIO_USER_DMA_MAP, &iov, 1, &fd, fd >= 0 ? 1 : 0, NULL, NULL);
}

int
vfio_user_client_dma_unmap(struct vfio_user_client *c, uint64_t iova, uint64_t size, bool all)
{
	const struct vfio_user_dma_unmap u = {
		.argsz = sizeof(u),
		.flags = all ? VFIO_USER_DMA_UNMAP_F_ALL : 0,
		.address = iova,
		.size = size,
	};
	struct vfio_user_dma_unmap reply;

	return call_exact(c, VFIO_USER_DMA_UNMAP, &u, sizeof(u), &reply, sizeof(reply));
}

int
vfio_user_client_set_irqs(struct vfio_user_client *c, uint32_t index, uint32_t flags,
	uint32_t start, uint32_t count, const int *fds)
{
	struct vfio_user_irq_set_msg m = {
		.argsz = sizeof(m),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};
	const struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};

	return vfio_user_client_call(
		c, VFIO_USER_DEVICE_SET_IRQS, &iov, 1, fds, fds != NULL ? count : 0, NULL, NULL);
}

int
vfio_user_client_reset(struct vfio_user_client *c)
{
	return vfio_user_client_call(c, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0, NULL, NULL);
}
