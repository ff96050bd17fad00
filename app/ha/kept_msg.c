/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Messages about a device from the process that has it. Nothing in them is believed unchecked. */

#include <errno.h>
#include <string.h>

#include "child.h"
#include "kept_impl.h"
#include "klog.h"

/* DROP: as many at once, so that the list stays on the stack. */
#define DROP_CHUNK 64u

struct arrival {
	const struct ha_msg *msg;
	int *fds; /* those that are kept become -1 */
	unsigned int n;
};

static int
open_checked(const struct ha_open *o)
{
	if (o->transport[0] == '\0' || o->vuid[0] == '\0' || o->path[0] == '\0')
		return -EPROTO;
	if (memchr(o->transport, '\0', sizeof(o->transport)) == NULL ||
		memchr(o->vuid, '\0', sizeof(o->vuid)) == NULL ||
		memchr(o->path, '\0', sizeof(o->path)) == NULL)
		return -EPROTO;
	return o->max_queues > KEPT_QUEUES_MAX ? -EPROTO : 0;
}

static int
device_open(struct kept_device *d, int block_fd)
{
	int ret;

	d->transport = kept_transport_find(d->open.transport);
	if (d->transport == NULL)
		return -ENOTSUP;
	ret = kept_block_open(block_fd, &d->block, &d->mailbox);
	return ret < 0 ? ret : kept_front_open(d, NULL);
}

static void
opened(struct child *from, const struct ha_msg *msg, int err)
{
	struct kept_device nobody = {.owner = from, .handle = msg->device, .open = msg->u.open};

	kept_tell(&nobody, HA_OPENED, err, NULL, 0);
}

static int
message_open(struct kept *k, struct child *from, const struct arrival *a)
{
	struct kept_device *d;
	int ret;

	if (a->n != 1 || a->msg->device == 0 || kept_find(k, a->msg->device) != NULL ||
		open_checked(&a->msg->u.open) < 0)
		return -EPROTO;
	d = kept_device_new(k, a->msg->device, &a->msg->u.open, REGISTER_SLOTS);
	if (d == NULL) {
		opened(from, a->msg, -ENOSPC);
		return 0;
	}
	ret = device_open(d, a->fds[0]);
	if (ret < 0) {
		kept_device_free(d);
		opened(from, a->msg, ret);
		return 0;
	}
	d->owner = from;
	kept_device_add(d);
	kept_store_device(d);
	kept_tell(d, HA_OPENED, 0, NULL, 0);
	return 0;
}

static int
message_close(struct kept_device *d, const struct arrival *a)
{
	if (a->n != 0)
		return -EPROTO;
	kept_device_close(d);
	return 0;
}

static int
message_reply(struct kept_device *d, const struct arrival *a)
{
	if (a->n != 0)
		return -EPROTO;
	kept_send_reply(d);
	return 0;
}

static int
message_gone_done(struct kept_device *d, const struct arrival *a)
{
	if (a->n != 0)
		return -EPROTO;
	if (!d->gone)
		return 0;
	/* A request of the former client that stood has been ended: out with it. */
	kept_send_reply(d);
	d->gone = false;
	kept_store_update(d);
	if (sock_front_connected(d->front))
		kept_tell(d, HA_CONNECTED, 0, NULL, 0);
	sock_front_gone_done(d->front);
	return 0;
}

static int
message_disconnect(struct kept_device *d, const struct arrival *a)
{
	if (a->n != 0)
		return -EPROTO;
	/* The client that is meant has gone by itself; the next one has done nothing wrong yet. */
	if (!d->gone)
		sock_front_disconnect(d->front);
	return 0;
}

static int
message_notify(struct kept_device *d, const struct arrival *a)
{
	if (a->n != 0)
		return -EPROTO;
	d->notify = a->msg->u.notify;
	kept_front_set_notify(d);
	kept_store_update(d);
	return 0;
}

/*
 * Keep a descriptor in the place of what was there. The table has room.
 * @return what was there, to be closed
 */
static int
slot_put(struct kept_device *d, enum ha_fd_kind kind, unsigned int index, int fd)
{
	const int old = kept_fds_put(&d->fds[kind], index, fd);
	struct request_change c = {0};

	kept_request_before(d, &c, kind, index, fd);
	kept_store_fd(d, kind, index, fd, old);
	kept_request_after(d, &c, kind, index);
	return old;
}

static void
slot_drop(struct kept_device *d, enum ha_fd_kind kind, unsigned int index)
{
	int old = kept_fds_put(&d->fds[kind], index, -1);
	struct request_change c = {0};

	if (old < 0)
		return;
	kept_request_before(d, &c, kind, index, -1);
	kept_store_update(d);
	kept_store_drop(d, kind, index, old);
	kept_request_after(d, &c, kind, index);
	kept_fds_close(d, kind, &old, 1);
}

static int
message_kick(struct kept_device *d, const struct arrival *a)
{
	const struct ha_kick *kick = &a->msg->u.kick;
	const unsigned int want = kick->mode == HA_KICK_EVENTFD ? 1 : 0;
	int old;

	if (kick->mode > HA_KICK_FORWARD || kick->queue >= d->open.max_queues || a->n != want)
		return -EPROTO;
	if (want == 0) {
		kept_front_set_kick(d, kick->queue, kick->mode, -1);
		slot_drop(d, HA_FD_KICK, kick->queue);
		return 0;
	}
	if (kept_fds_reserve(&d->fds[HA_FD_KICK], kick->queue + 1) < 0)
		return -ENOMEM;
	old = slot_put(d, HA_FD_KICK, kick->queue, a->fds[0]);
	kept_front_set_kick(d, kick->queue, HA_KICK_EVENTFD, a->fds[0]);
	a->fds[0] = -1;
	kept_fds_close(d, HA_FD_KICK, &old, 1);
	kept_store_update(d);
	return 0;
}

static bool
slots_valid(const struct kept_device *d, const struct ha_slot *slot)
{
	const unsigned int limit = slot->kind == HA_FD_KICK ? 0 : kept_fds_limit(d, slot->kind);

	return slot->count > 0 && slot->count <= limit && slot->index <= limit - slot->count;
}

static int
message_store(struct kept_device *d, const struct arrival *a)
{
	const struct ha_slot *slot = &a->msg->u.slot;

	if (!slots_valid(d, slot) || slot->count != a->n)
		return -EPROTO;
	if (kept_fds_reserve(&d->fds[slot->kind], slot->index + slot->count) < 0)
		return -ENOMEM;
	for (unsigned int i = 0; i < a->n; i++)
		a->fds[i] = slot_put(d, slot->kind, slot->index + i, a->fds[i]);
	kept_store_update(d);
	kept_fds_close(d, slot->kind, a->fds, a->n);
	return 0;
}

/* Indices from..to (at most DROP_CHUNK of them): the register knows before the manager does. */
static void
drop_some(struct kept_device *d, unsigned int kind, unsigned int from, unsigned int to)
{
	unsigned int index[DROP_CHUNK], n = 0;
	struct request_change c = {0};
	int fd[DROP_CHUNK];

	for (unsigned int i = from; i < to; i++) {
		fd[n] = kept_fds_put(&d->fds[kind], i, -1);
		index[n] = i;
		if (fd[n] >= 0)
			kept_request_before(d, &c, kind, index[n++], -1);
	}
	if (n == 0)
		return;
	kept_store_update(d);
	for (unsigned int i = 0; i < n; i++)
		kept_store_drop(d, kind, index[i], fd[i]);
	kept_request_after(d, &c, kind, from);
	kept_fds_close(d, kind, fd, n);
}

static int
message_drop(struct kept_device *d, const struct arrival *a)
{
	const struct ha_slot *slot = &a->msg->u.slot;
	unsigned int end;

	if (!slots_valid(d, slot) || a->n != 0)
		return -EPROTO;
	end = slot->index + slot->count;
	if (end > d->fds[slot->kind].room)
		end = d->fds[slot->kind].room;
	for (unsigned int i = slot->index; i < end; i += DROP_CHUNK)
		drop_some(d, slot->kind, i, end - i > DROP_CHUNK ? i + DROP_CHUNK : end);
	return 0;
}

static int
message_block(struct kept_device *d, const struct arrival *a)
{
	int ret;

	if (a->n != 1)
		return -EPROTO;
	ret = kept_block_convert(d, a->fds[0]);
	if (ret < 0)
		klog_err("%s: converted state block is refused: %s", d->open.vuid, strerror(-ret));
	return ret == -EBADMSG || ret == -EINVAL ? -EPROTO : ret;
}

static const struct {
	enum ha_msg_type type;
	int (*handle)(struct kept_device *d, const struct arrival *a);
} handlers[] = {
	{HA_CLOSE, message_close},
	{HA_REPLY, message_reply},
	{HA_GONE_DONE, message_gone_done},
	{HA_DISCONNECT, message_disconnect},
	{HA_NOTIFY, message_notify},
	{HA_KICK, message_kick},
	{HA_STORE, message_store},
	{HA_DROP, message_drop},
	{HA_BLOCK, message_block},
};

int
kept_lost(struct kept *k, struct child *from, const struct ha_msg *msg)
{
	struct kept_device *d = kept_find(k, msg->device);
	unsigned int left_out;

	/* It waits for OPENED, of a device that nobody knows yet. */
	if (msg->type == HA_OPEN) {
		opened(from, msg, -EMFILE);
		return 0;
	}
	if (d == NULL || d->owner != from)
		return -EPROTO;
	/* It works in a block that the next process would not have. */
	if (msg->type == HA_BLOCK)
		return -EMFILE;
	if (log_limit_take(&d->log_limit, &left_out))
		klog_err("%s: no more descriptors (RLIMIT_NOFILE): those of %s are lost, its host "
			 "is disconnected",
			d->open.vuid, ha_msg_name(msg->type));
	if (!d->gone && sock_front_connected(d->front))
		sock_front_disconnect(d->front);
	return 0;
}

int
kept_message(struct kept *k, struct child *from, const struct ha_msg *msg, int *fds, unsigned int n)
{
	const struct arrival a = {.msg = msg, .fds = fds, .n = n};
	struct kept_device *d;

	if (msg->type == HA_OPEN)
		return message_open(k, from, &a);
	d = kept_find(k, msg->device);
	if (d == NULL || d->owner != from)
		return -EPROTO;
	for (unsigned int i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].type == msg->type)
			return handlers[i].handle(d, &a);
	return -EPROTO;
}
