/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The device side: takes a request from the mailbox, leaves the reply, if there is to be one. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "device_impl.h"
#include "state/fault_point.h"

#define LINE_MAX_BYTES 120

/* What a process that crashed may have left there is not believed. */
static bool
state_plausible(const struct vhost_user_state *st, unsigned int rings, uint16_t max_queue_size)
{
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++) {
		const struct vhost_user_mem_region *r = &st->slot[i].region;

		if (r->size > UINT64_MAX - r->guest_addr || r->size > UINT64_MAX - r->user_addr)
			return false;
	}
	for (unsigned int i = 0; i < VHOST_USER_RINGS_MAX; i++) {
		const struct vhost_user_ring_state *r = &st->ring[i];

		if (i >= rings && (r->flags & VHOST_USER_RING_STARTED) != 0)
			return false;
		if (r->size > max_queue_size)
			return false;
		if ((r->flags & VHOST_USER_RING_STARTED) != 0 && r->size == 0)
			return false;
	}
	return true;
}

int
vhost_user_device_create(const struct vhost_user_device_conf *conf, struct vhost_user_device **out)
{
	struct vhost_user_device *dev;

	if (conf->mailbox == NULL || conf->ops == NULL || conf->state == NULL || conf->pairs == 0 ||
		conf->pairs > VHOST_USER_RINGS_MAX / 2 || conf->max_queue_size == 0 ||
		conf->max_queue_size > VHOST_USER_RING_SIZE_MAX ||
		(conf->protocol_features & ~VHOST_USER_PROTOCOL_FEATURES) != 0)
		return -EINVAL;
	if (!conf->fresh && !state_plausible(conf->state, 2u * conf->pairs, conf->max_queue_size))
		return -EBADMSG;
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return -ENOMEM;
	dev->conf = *conf;
	dev->ops = conf->ops;
	dev->mb = conf->mailbox;
	dev->state = conf->state;
	dev->rings = 2u * conf->pairs;
	dev->protocol_features = conf->protocol_features != 0 ? conf->protocol_features
							      : VHOST_USER_PROTOCOL_FEATURES;
	if (conf->fresh)
		memset(dev->state, 0, sizeof(*dev->state));
	*out = dev;
	return 0;
}

void
vhost_user_device_destroy(struct vhost_user_device *dev)
{
	free(dev);
}

int
vhost_device_take_fd(struct vhost_user_device *dev, unsigned int i)
{
	int fd;

	if (i >= dev->mb->nfds || i >= MAILBOX_FDS_MAX)
		return -1;
	fd = dev->req_fds[i];
	dev->req_fds[i] = -1;
	return fd;
}

int
vhost_device_then(struct vhost_user_device *dev, int ret, vhost_device_next_fn next)
{
	if (ret != -EINPROGRESS)
		return next(dev, ret);
	dev->next = next;
	return ret;
}

void
vhost_device_reply_put(struct vhost_user_device *dev, const void *body, uint32_t len)
{
	memcpy(dev->mb->reply, body, len);
	dev->reply_len = len;
}

void
vhost_device_reply_number(struct vhost_user_device *dev, uint64_t value)
{
	vhost_device_reply_put(dev, &value, sizeof(value));
}

static bool
request_stands(const struct vhost_user_device *dev)
{
	return atomic_load_explicit(&dev->mb->state, memory_order_acquire) == MAILBOX_REQUEST;
}

static void
say(const struct vhost_user_device *dev, int err, const char *consequence)
{
	char line[LINE_MAX_BYTES];

	if (dev->ops->log == NULL)
		return;
	snprintf(line, sizeof(line), "%s (%u): %s%s", vhost_user_request_name(dev->req.request),
		dev->req.request, strerror(-err), consequence);
	dev->ops->log(dev->conf.ctx, LOG_WARNING, line);
}

/* The request has failed: tell the client, or, if it cannot be told, end the connection. */
static void
request_failed(struct vhost_user_device *dev, int err)
{
	const uint32_t request = dev->req.request;

	dev->reply_len = 0;
	if (request == VHOST_USER_GET_CONFIG) {
		say(dev, err, "");
		dev->mb->reply_wanted = 1;
	} else if (vhost_user_needs_reply(&dev->req) && !vhost_user_has_reply(request)) {
		say(dev, err, "");
		vhost_device_reply_number(dev, (uint64_t)-err);
		dev->mb->reply_wanted = 1;
	} else if (vhost_device_command_get(request)->soft) {
		say(dev, err, "");
	} else {
		say(dev, err, ", and no way to tell the client");
		dev->mb->close = 1;
	}
}

/* The request is done. */
static void
request_end(struct vhost_user_device *dev, int err)
{
	struct mailbox *mb = dev->mb;
	struct vhost_user_header hdr;

	mb->reply_wanted = 0;
	if (err != 0) {
		request_failed(dev, err < 0 ? err : -EIO);
	} else if (vhost_user_has_reply(dev->req.request)) {
		mb->reply_wanted = 1;
	} else if (vhost_user_needs_reply(&dev->req)) {
		vhost_device_reply_number(dev, 0);
		mb->reply_wanted = 1;
	}
	hdr = vhost_user_reply_to(&dev->req, dev->reply_len);
	memset(mb->reply_header, 0, sizeof(mb->reply_header));
	memcpy(mb->reply_header, &hdr, sizeof(hdr));
	mb->reply_len = dev->reply_len;
	dev->pending = false;
	dev->next = NULL;
	FAULT_POINT("emu.request.stored");
	atomic_store_explicit(&mb->state, MAILBOX_REPLY, memory_order_release);
}

static int
request_run(struct vhost_user_device *dev)
{
	const struct vhost_device_command *cmd = vhost_device_command_get(dev->req.request);
	const struct mailbox *mb = dev->mb;

	if (cmd->run == NULL || (cmd->needs & ~dev->protocol_features) != 0)
		return -ENOTSUP;
	if (mb->req_len < cmd->len_min || mb->req_len > cmd->len_max ||
		mb->req_len > VHOST_USER_BODY_MAX || mb->nfds < cmd->fds_min ||
		mb->nfds > cmd->fds_max)
		return -EINVAL;
	return cmd->run(dev, mb->req, mb->req_len);
}

static void
request_take(struct vhost_user_device *dev)
{
	dev->req = vhost_user_header_of(dev->mb->header);
	dev->reply_len = 0;
	dev->next = NULL;
}

bool
vhost_user_device_handle(struct vhost_user_device *dev, int *fds)
{
	int ret;

	if (dev->pending || !request_stands(dev))
		return false;
	request_take(dev);
	dev->req_fds = fds;
	ret = request_run(dev);
	dev->req_fds = NULL;
	if (ret == -EINPROGRESS) {
		dev->pending = true;
		return false;
	}
	request_end(dev, ret);
	return true;
}

bool
vhost_user_device_complete(struct vhost_user_device *dev, int err)
{
	if (!dev->pending)
		return false;
	if (dev->next != NULL)
		err = dev->next(dev, err);
	if (err == -EINPROGRESS)
		return false;
	request_end(dev, err);
	return true;
}

bool
vhost_user_device_pending(const struct vhost_user_device *dev)
{
	return dev->pending;
}

void
vhost_user_device_reset_connection(struct vhost_user_device *dev)
{
	struct mailbox *mb = dev->mb;

	dev->pending = false;
	dev->next = NULL;
	memset(dev->state, 0, sizeof(*dev->state));
	if (!request_stands(dev))
		return;
	mb->reply_wanted = 0;
	mb->reply_len = 0;
	atomic_store_explicit(&mb->state, MAILBOX_REPLY, memory_order_release);
}

bool
vhost_user_device_refuse(struct vhost_user_device *dev, int err)
{
	if (dev->pending || !request_stands(dev))
		return false;
	request_take(dev);
	request_end(dev, err);
	return true;
}

bool
vhost_device_has(const struct vhost_user_device *dev, unsigned int feature)
{
	return ((dev->state->features >> feature) & 1) != 0;
}

bool
vhost_user_device_status_told(const struct vhost_user_device *dev)
{
	return (dev->state->protocol_features & VHOST_USER_PROTOCOL_BIT(STATUS)) != 0;
}

bool
vhost_user_device_logging(const struct vhost_user_device *dev)
{
	return vhost_device_has(dev, VHOST_F_LOG_ALL) && dev->state->log_size > 0;
}

bool
vhost_user_device_config_told(const struct vhost_user_device *dev)
{
	const uint64_t both =
		VHOST_USER_PROTOCOL_BIT(CONFIG) | VHOST_USER_PROTOCOL_BIT(BACKEND_REQ);

	return (dev->state->protocol_features & both) == both;
}

int
vhost_user_backend_config_changed(int sock)
{
	const struct vhost_user_header hdr =
		vhost_user_request_header(VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, 0);
	ssize_t n;

	do {
		n = send(sock, &hdr, sizeof(hdr), MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	/* A UNIX socket takes so little whole or not at all. */
	return n == (ssize_t)sizeof(hdr) ? 0 : -EIO;
}
