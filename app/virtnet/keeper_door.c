/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * A device's door when the keeper owns it: what the emu driver wants of it becomes messages, and
 * what happens at it is told to the emu driver.
 *
 * The keeper knows a device from OPEN to CLOSE and takes no word about it before or after. A door
 * that is closed lives on until the keeper has closed it, too.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_common.h>

#include "fence.h"
#include "keeper_internal.h"
#include "log.h"
#include "mem.h"
#include "sock/discard.h"
#include "state/fault_point.h"

/* Until it is looked again whether the former client's descriptors are closed. */
#define CLOSING_MS 100

enum door_state {
	DOOR_NEW,
	DOOR_OPENING, /* OPEN is sent */
	DOOR_OPEN,
	DOOR_FAILED,	  /* the keeper could not open it */
	DOOR_CLOSE_LATER, /* closed by its owner while the keeper opens it */
	DOOR_CLOSING,	  /* CLOSE is sent */
};

/* What is to be told once the door is open. Its descriptors are duplicates. */
struct door_word {
	STAILQ_ENTRY(door_word) next;
	struct ha_msg msg;
	unsigned int n;
	int fds[];
};

struct keeper_door {
	struct emu_door door; /* first */
	LIST_ENTRY(keeper_door) next;
	struct keeper_link *link;
	uint32_t device;
	enum door_state state;
	bool connected;
	bool refuse;	  /* the next request */
	bool refuse_lost; /* also: it has come without its descriptors */
	struct emu **emu;
	struct ha_open params;
	struct state_block *block;
	const struct mailbox *mailbox;
	void (*opened)(void *ctx, int err);
	void *opened_ctx;
	void (*closed)(void *arg);
	void *closed_arg;
	STAILQ_HEAD(, door_word) words;
	/* What has happened while the device was about to go to another process. */
	bool held, held_connected, held_disconnected, held_request;
	int held_fds[MAILBOX_FDS_MAX];
	struct event *closing; /* GONE_DONE waits */
};

static struct keeper_door *
to_door(struct emu_door *door)
{
	return (struct keeper_door *)door;
}

struct keeper_door *
keeper_door_find(struct keeper_link *link, uint32_t device)
{
	struct keeper_door *d;

	LIST_FOREACH (d, &link->door[device % DOOR_BUCKETS], next)
		if (d->device == device)
			return d;
	return NULL;
}

/* They are the client's, or duplicates of those: the keeper's may have been closed before. */
static void
discard_fds(struct keeper_door *d, int *fds, unsigned int n)
{
	sock_discard(d->door.closer, fds, n);
	memset(fds, -1, n * sizeof(fds[0]));
}

static void
say(struct keeper_door *d, enum ha_msg_type type)
{
	const struct ha_msg msg = {.type = type, .device = d->device};

	keeper_link_send(d->link, &msg, NULL, 0);
}

/* ---- words about a device that wait for it to be open */

static void
words_drop(struct keeper_door *d)
{
	struct door_word *w;

	while ((w = STAILQ_FIRST(&d->words)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->words, next);
		discard_fds(d, w->fds, w->n);
		free(w);
	}
}

static void
words_send(struct keeper_door *d)
{
	struct door_word *w;

	STAILQ_FOREACH (w, &d->words, next)
		keeper_link_send(d->link, &w->msg, w->fds, w->n);
	words_drop(d);
}

void
keeper_door_send(struct keeper_door *d, const struct ha_msg *msg, const int *fds, unsigned int n)
{
	struct door_word *w;

	if (d->state == DOOR_OPEN)
		keeper_link_send(d->link, msg, fds, n);
	if (d->state != DOOR_NEW && d->state != DOOR_OPENING)
		return;
	w = must_zalloc(sizeof(*w) + n * sizeof(w->fds[0]));
	w->msg = *msg;
	for (w->n = 0; w->n < n; w->n++) {
		w->fds[w->n] = dup(fds[w->n]);
		if (w->fds[w->n] < 0)
			break;
	}
	if (w->n < n)
		log_err("a descriptor cannot be kept for a successor: %s", strerror(errno));
	STAILQ_INSERT_TAIL(&d->words, w, next);
}

/* ---- emu_door_ops */

static void
door_release(struct keeper_door *d)
{
	if (d->closing != NULL)
		event_free(d->closing);
	state_block_close(d->block);
	sock_closer_release(d->door.closer);
	free(d);
}

static void
door_free(struct keeper_door *d)
{
	LIST_REMOVE(d, next);
	words_drop(d);
	discard_fds(d, d->held_fds, RTE_DIM(d->held_fds));
	door_release(d);
}

static void
door_open(struct emu_door *door, void (*opened)(void *ctx, int err), void *ctx)
{
	struct keeper_door *d = to_door(door);
	struct ha_msg msg = {.type = HA_OPEN, .device = d->device, .u.open = d->params};
	const int fd = state_block_fd(d->block);

	d->opened = opened;
	d->opened_ctx = ctx;
	d->state = DOOR_OPENING;
	keeper_link_send(d->link, &msg, &fd, 1);
}

struct closed_call {
	void (*fn)(void *arg);
	void *arg;
};

static void
on_closed_call(evutil_socket_t fd, short what, void *arg)
{
	struct closed_call *call = arg;

	(void)fd;
	(void)what;
	call->fn(call->arg);
	free(call);
}

/* There is nothing to wait for, but whoever waits expects to be called later. */
static void
call_soon(struct keeper_link *link, void (*fn)(void *arg), void *arg)
{
	struct closed_call *call = must_zalloc(sizeof(*call));
	const struct timeval now = {0};

	call->fn = fn;
	call->arg = arg;
	if (event_base_once(link->c->base, -1, EV_TIMEOUT, on_closed_call, call, &now) < 0)
		rte_panic("out of memory\n");
}

/* The end of a door that the keeper does not know (any more). */
static void
door_end(struct keeper_door *d)
{
	if (d->closed != NULL)
		call_soon(d->link, d->closed, d->closed_arg);
	door_free(d);
}

static void
door_close(struct emu_door *door)
{
	struct keeper_door *d = to_door(door);

	d->emu = NULL;
	d->opened = NULL;
	event_del(d->closing);
	switch (d->state) {
	case DOOR_OPENING:
		d->state = DOOR_CLOSE_LATER;
		words_drop(d);
		break;
	case DOOR_OPEN:
		d->state = DOOR_CLOSING;
		say(d, HA_CLOSE);
		break;
	default:
		door_end(d);
		break;
	}
}

static void
door_reply(struct emu_door *door)
{
	say(to_door(door), HA_REPLY);
	FAULT_POINT("emu.reply.told");
}

/* The next client would only add to what does not close. */
static void
door_gone_done(struct emu_door *door)
{
	const struct timeval pause = {.tv_usec = CLOSING_MS * 1000};
	struct keeper_door *d = to_door(door);

	if (sock_closer_full(door->closer))
		event_add(d->closing, &pause);
	else
		say(d, HA_GONE_DONE);
}

static void
on_closing(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	door_gone_done(arg);
}

static void
door_disconnect(struct emu_door *door)
{
	say(to_door(door), HA_DISCONNECT);
}

static void
door_set_notify(struct emu_door *door, const struct emu_notify *notify)
{
	struct keeper_door *d = to_door(door);
	struct ha_msg msg = {.type = HA_NOTIFY, .device = d->device};

	if (notify != NULL) {
		msg.u.notify.region = notify->region;
		msg.u.notify.multiplier = notify->multiplier;
		msg.u.notify.offset = notify->offset;
		msg.u.notify.size = notify->size;
	}
	keeper_door_send(d, &msg, NULL, 0);
}

static void
door_set_kick(struct emu_door *door, uint16_t queue, int fd)
{
	struct keeper_door *d = to_door(door);
	struct ha_msg msg = {.type = HA_KICK, .device = d->device};

	msg.u.kick.queue = queue;
	msg.u.kick.mode = fd >= 0 ? HA_KICK_EVENTFD : HA_KICK_NONE;
	keeper_door_send(d, &msg, &fd, fd >= 0 ? 1 : 0);
}

static bool
door_connected(const struct emu_door *door)
{
	return ((const struct keeper_door *)door)->connected;
}

static const struct emu_door_ops keeper_door_ops = {
	.open = door_open,
	.close = door_close,
	.reply = door_reply,
	.gone_done = door_gone_done,
	.disconnect = door_disconnect,
	.set_notify = door_set_notify,
	.set_kick = door_set_kick,
	.connected = door_connected,
};

/* ---- making and forgetting one */

/* Our own mapping: the number of a request that stands is wanted before anything looks at it. */
static int
map_block(struct keeper_door *d, int fd)
{
	struct state_block *block;
	const int ret = state_block_open(fd, &block);

	if (ret < 0)
		return ret;
	state_block_close(d->block);
	d->block = block;
	d->mailbox =
		state_block_section(block, STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(*d->mailbox));
	return 0;
}

int
keeper_door_create(struct keeper_link *link, uint32_t device, const struct ha_open *open_params,
	bool open, bool connected, int block_fd, struct emu **emu, struct emu_door **out)
{
	struct keeper_door *d;
	int ret;

	if (keeper_door_find(link, device) != NULL)
		return -EEXIST;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return -ENOMEM;
	d->door.closer = sock_closer_create();
	d->closing = event_new(link->c->base, -1, 0, on_closing, d);
	ret = d->door.closer == NULL || d->closing == NULL ? -ENOMEM : map_block(d, block_fd);
	if (ret < 0) {
		door_release(d);
		return ret;
	}
	d->door.ops = &keeper_door_ops;
	d->link = link;
	d->device = device;
	d->params = *open_params;
	d->state = open ? DOOR_OPEN : DOOR_NEW;
	d->connected = connected;
	d->emu = emu;
	STAILQ_INIT(&d->words);
	memset(d->held_fds, -1, sizeof(d->held_fds));
	LIST_INSERT_HEAD(&link->door[device % DOOR_BUCKETS], d, next);
	*out = &d->door;
	return 0;
}

void
keeper_door_forget(struct emu_door *door)
{
	door_free(to_door(door));
}

void
keeper_doors_free(struct keeper_link *link)
{
	for (unsigned int i = 0; i < DOOR_BUCKETS; i++)
		while (!LIST_EMPTY(&link->door[i]))
			door_free(LIST_FIRST(&link->door[i]));
}

void
keeper_door_block(struct keeper_door *d, int fd)
{
	const int ret = map_block(d, fd);

	if (ret < 0)
		log_err("state block: %s", strerror(-ret));
}

void
keeper_door_refuse(struct keeper_door *d)
{
	d->refuse = true;
}

void
keeper_link_closed_cb(struct keeper_link *link, uint32_t device, void (*fn)(void *arg), void *arg)
{
	struct keeper_door *d;

	if (link == NULL)
		return;
	d = keeper_door_find(link, device);
	if (d == NULL) {
		call_soon(link, fn, arg);
		return;
	}
	d->closed = fn;
	d->closed_arg = arg;
}

/* ---- what happens at it */

static struct emu *
emu_of(const struct keeper_door *d)
{
	return d->emu != NULL ? *d->emu : NULL;
}

static void
opened(struct keeper_door *d, int err)
{
	void (*const fn)(void *ctx, int err) = d->opened;
	const enum door_state state = d->state;

	if (state != DOOR_OPENING && state != DOOR_CLOSE_LATER)
		return;
	d->opened = NULL;
	d->state = err == 0 ? DOOR_OPEN : DOOR_FAILED;
	if (err == 0)
		words_send(d);
	else
		words_drop(d);
	if (state == DOOR_CLOSE_LATER)
		door_close(&d->door);
	else if (fn != NULL)
		fn(d->opened_ctx, err);
}

static void
refuse(struct keeper_door *d, struct emu *emu)
{
	log_err("%s: a request of the host %s: refused", d->params.vuid,
		d->refuse_lost ? "has lost its descriptors, this process may open no more"
			       : "crashed the process that handled it");
	d->refuse = false;
	d->refuse_lost = false;
	emu->ops->refuse(emu);
}

static void
request(struct keeper_door *d, int *fds)
{
	struct emu *emu = emu_of(d);
	const uint64_t seq = d->mailbox != NULL ? d->mailbox->seq : 0;

	if (emu == NULL)
		return;
	if (d->refuse) {
		refuse(d, emu);
		return;
	}
	if (sock_closer_full(d->door.closer)) {
		log_err("%s: the host has sent too many descriptors that do not close: "
			"disconnected",
			d->params.vuid);
		emu->ops->refuse(emu);
		say(d, HA_DISCONNECT);
		return;
	}
	ha_crumb_set(fence_self(), HA_CRUMB_REQUEST, d->device, seq);
	emu->ops->request(emu, fds);
	ha_crumb_set(fence_self(), HA_CRUMB_NONE, 0, 0);
}

static void
connected(struct keeper_door *d)
{
	struct emu *emu = emu_of(d);

	if (emu != NULL)
		emu->ops->connected(emu);
}

static void
disconnected(struct keeper_door *d)
{
	struct emu *emu = emu_of(d);

	d->refuse = false;
	d->refuse_lost = false;
	if (emu != NULL)
		emu->ops->disconnected(emu);
}

/* The request's descriptors in a row of the length that the driver expects. */
static void
on_request(struct keeper_door *d, int *fds, unsigned int n)
{
	int row[MAILBOX_FDS_MAX];

	n = RTE_MIN(n, MAILBOX_FDS_MAX);
	memset(row, -1, sizeof(row));
	memcpy(row, fds, n * sizeof(row[0]));
	memset(fds, -1, n * sizeof(fds[0]));
	if (d->held) {
		discard_fds(d, d->held_fds, RTE_DIM(d->held_fds));
		memcpy(d->held_fds, row, sizeof(row));
		d->held_request = true;
		return;
	}
	request(d, row);
	discard_fds(d, row, RTE_DIM(row));
}

void
keeper_door_request_lost(struct keeper_door *d)
{
	int none = -1;

	if (!d->refuse)
		d->refuse_lost = true;
	d->refuse = true;
	on_request(d, &none, 0);
}

static void
on_connection(struct keeper_door *d, bool is)
{
	d->connected = is;
	if (d->held) {
		/* A client that has gone takes its request with it. */
		if (!is)
			d->held_request = false;
		d->held_connected = is;
		d->held_disconnected |= !is;
	} else if (is) {
		connected(d);
	} else {
		disconnected(d);
	}
}

void
keeper_door_event(struct keeper_door *d, const struct ha_msg *msg, int *fds, unsigned int n)
{
	switch (msg->type) {
	case HA_OPENED:
		opened(d, msg->u.result.err);
		break;
	case HA_CLOSED:
		if (d->state == DOOR_CLOSING)
			door_end(d);
		break;
	case HA_CONNECTED:
	case HA_DISCONNECTED:
		on_connection(d, msg->type == HA_CONNECTED);
		break;
	case HA_REQUEST:
		on_request(d, fds, n);
		break;
	default:
		break;
	}
}

void
keeper_door_hold(struct keeper_door *d)
{
	d->held = true;
}

void
keeper_door_unhold(struct keeper_door *d)
{
	if (!d->held)
		return;
	d->held = false;
	if (d->held_disconnected)
		disconnected(d);
	if (d->held_connected)
		connected(d);
	if (d->held_request)
		request(d, d->held_fds);
	discard_fds(d, d->held_fds, RTE_DIM(d->held_fds));
	d->held_connected = d->held_disconnected = d->held_request = false;
}
