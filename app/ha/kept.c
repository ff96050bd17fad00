/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Kept devices: the table of them, their making and their end. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "child.h"
#include "kept_impl.h"
#include "klog.h"
#include "sd.h"
#include "sock/discard.h"
#include "state/state.h"

/*
 * How long a device that is closed waits for the service manager to let go of its descriptors. It
 * does so within milliseconds unless it is busy with itself.
 */
#define KEPT_BARRIER_SECONDS 2

/* Where a handle is, or would be. */
static unsigned int
position(const struct kept *k, uint32_t handle)
{
	unsigned int from = 0, to = k->n;

	while (from < to) {
		const unsigned int mid = (from + to) / 2;

		if (k->device[mid]->handle < handle)
			from = mid + 1;
		else
			to = mid;
	}
	return from;
}

static unsigned int
slot_free(const struct kept *k)
{
	unsigned int i = 0;

	while (i < REGISTER_SLOTS && k->slot[i] != NULL)
		i++;
	return i;
}

struct kept_device *
kept_device_new(struct kept *k, uint32_t handle, const struct ha_open *open, unsigned int slot)
{
	struct kept_device *d;

	if (slot == REGISTER_SLOTS)
		slot = slot_free(k);
	if (slot == REGISTER_SLOTS)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	d->closer = sock_closer_create();
	if (d->closer == NULL) {
		free(d);
		return NULL;
	}
	d->kept = k;
	d->handle = handle;
	d->open = *open;
	d->slot = slot;
	k->slot[slot] = d;
	return d;
}

void
kept_device_add(struct kept_device *d)
{
	struct kept *k = d->kept;
	const unsigned int at = position(k, d->handle);

	memmove(&k->device[at + 1], &k->device[at], (k->n - at) * sizeof(k->device[0]));
	k->device[at] = d;
	k->n++;
}

static void
device_remove(struct kept_device *d)
{
	struct kept *k = d->kept;
	const unsigned int at = position(k, d->handle);

	if (at == k->n || k->device[at] != d)
		return;
	k->n--;
	memmove(&k->device[at], &k->device[at + 1], (k->n - at) * sizeof(k->device[0]));
}

/* All but descriptors that may take their time. */
static void
device_end(struct kept_device *d)
{
	kept_front_close(d);
	state_block_close(d->block);
	state_block_close(d->former);
	d->block = NULL;
	d->former = NULL;
	d->mailbox = NULL;
	for (unsigned int kind = 0; kind < HA_FD_KINDS; kind++) {
		kept_fds_close(d, kind, d->fds[kind].fd, d->fds[kind].room);
		kept_fds_free(&d->fds[kind]);
	}
}

void
kept_device_free(struct kept_device *d)
{
	device_end(d);
	sock_closer_release(d->closer);
	d->kept->slot[d->slot] = NULL;
	free(d);
}

static void
closed(struct kept_device *d)
{
	kept_tell(d, HA_CLOSED, 0, NULL, 0);
	TAILQ_REMOVE(&d->kept->closing, d, closing);
	kept_device_free(d);
}

static void
barrier_end(struct kept_device *d)
{
	const int fd = event_get_fd(d->barrier);

	event_free(d->barrier);
	d->barrier = NULL;
	close(fd);
}

static void
on_barrier(evutil_socket_t fd, short what, void *arg)
{
	struct kept_device *d = arg;

	barrier_end(d);
	/* What the service manager closed last, only the kernel knows: take our turn behind it. */
	closer_tell(d->kept->closer, &d->closed);
}

/* False: there is nothing to wait for. */
static bool
barrier_begin(struct kept_device *d)
{
	const struct timeval limit = {.tv_sec = KEPT_BARRIER_SECONDS};
	const int fd = sd_barrier();

	if (fd < 0)
		return false;
	d->barrier = event_new(d->kept->base, fd, EV_READ, on_barrier, d);
	if (d->barrier == NULL) {
		close(fd);
		return false;
	}
	event_add(d->barrier, &limit);
	return true;
}

static void
on_closed(struct closer_note *note)
{
	struct kept_device *d =
		(struct kept_device *)((char *)note - offsetof(struct kept_device, closed));

	closed(d);
}

void
kept_device_close(struct kept_device *d)
{
	struct kept *k = d->kept;
	const bool stored = d->stored;

	kept_store_forget(d);
	device_remove(d);
	TAILQ_INSERT_TAIL(&k->closing, d, closing);
	device_end(d);
	d->closed.done = on_closed;
	if (!stored || !barrier_begin(d))
		closer_tell(k->closer, &d->closed);
}

void
kept_tell(struct kept_device *d, enum ha_msg_type type, int err, const int *fds, unsigned int n)
{
	struct ha_msg msg = {.type = (uint16_t)type, .device = d->handle};
	int ret;

	if (d->owner == NULL)
		return;
	if (type == HA_OPENED) {
		msg.u.result.err = err;
		if (err < 0)
			snprintf(
				msg.u.result.text, sizeof(msg.u.result.text), "%s", strerror(-err));
		msg.len = sizeof(msg.u.result);
	}
	ret = child_send(d->owner, &msg, fds, n);
	if (ret == 0 || ret == -EPIPE)
		return;
	/* It would wait for ever for what it was not told; its successor is told everything. */
	klog_err("%s: %s process %d cannot be told %s: %s", d->open.vuid, child_name(d->owner),
		(int)child_pid(d->owner), ha_msg_name(type), strerror(-ret));
	child_kill(d->owner);
}

int
kept_create(struct event_base *base, bool take_up, struct kept **out)
{
	struct kept *k = calloc(1, sizeof(*k));
	int ret;

	if (k == NULL)
		return -ENOMEM;
	k->base = base;
	TAILQ_INIT(&k->closing);
	ret = closer_create(base, &k->closer);
	if (ret < 0) {
		free(k);
		return ret;
	}
	k->strays = sock_closer_create();
	ret = k->strays == NULL ? -ENOMEM : kept_take_up(k, take_up);
	if (ret < 0) {
		kept_destroy(k);
		return ret;
	}
	*out = k;
	return 0;
}

void
kept_destroy(struct kept *k)
{
	struct kept_device *d;

	if (k == NULL)
		return;
	while (k->n > 0) {
		k->device[0]->owner = NULL;
		kept_device_close(k->device[0]);
	}
	TAILQ_FOREACH (d, &k->closing, closing) {
		d->owner = NULL;
		if (d->barrier != NULL) {
			barrier_end(d);
			closer_tell(k->closer, &d->closed);
		}
	}
	closer_destroy(k->closer);
	sock_closer_release(k->strays);
	if (!TAILQ_EMPTY(&k->closing))
		return; /* the closing thread still uses them */
	if (k->reg != NULL)
		sd_remove(KEPT_REGISTER_NAME);
	register_close(k->reg);
	kept_equal_end(k);
	free(k);
}

void
kept_forget(struct kept *k, const struct child *ch)
{
	struct kept_device *d;

	for (unsigned int i = 0; i < k->n; i++)
		if (k->device[i]->owner == ch)
			kept_take_back(k->device[i]);
	TAILQ_FOREACH (d, &k->closing, closing)
		if (d->owner == ch)
			d->owner = NULL;
}

unsigned int
kept_count(const struct kept *k)
{
	return k->n;
}

unsigned int
kept_closing(const struct kept *k)
{
	const struct kept_device *d;
	unsigned int n = 0;

	TAILQ_FOREACH (d, &k->closing, closing)
		n++;
	return n;
}

struct kept_device *
kept_first(struct kept *k)
{
	return k->n > 0 ? k->device[0] : NULL;
}

struct kept_device *
kept_next(struct kept *k, struct kept_device *d)
{
	const unsigned int at = position(k, d->handle) + 1;

	return at < k->n ? k->device[at] : NULL;
}

struct kept_device *
kept_find(struct kept *k, uint32_t handle)
{
	const unsigned int at = position(k, handle);

	return at < k->n && k->device[at]->handle == handle ? k->device[at] : NULL;
}

uint32_t
kept_handle(const struct kept_device *d)
{
	return d->handle;
}

const char *
kept_vuid(const struct kept_device *d)
{
	return d->open.vuid;
}

struct child *
kept_owner(const struct kept_device *d)
{
	return d->owner;
}

void
kept_pause(struct kept_device *d)
{
	sock_front_pause(d->front);
}

bool
kept_connected(const struct kept_device *d)
{
	return sock_front_connected(d->front);
}
