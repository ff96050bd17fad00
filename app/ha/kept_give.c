/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Who has a device: giving it to a process, taking it back, and what stands meanwhile. */

#include <errno.h>
#include <stddef.h>

#include "child.h"
#include "kept_impl.h"

static uint32_t
mailbox_state(const struct kept_device *d)
{
	return atomic_load_explicit(&d->mailbox->state, memory_order_acquire);
}

void
kept_tell_request(struct kept_device *d)
{
	kept_request_store(d);
	if (d->owner == NULL)
		return;
	d->told = true;
	d->told_seq = d->mailbox->seq;
	kept_tell(d, HA_REQUEST, 0, sock_front_request_fds(d->front), kept_request_fds(d));
}

void
kept_send_reply(struct kept_device *d)
{
	if (mailbox_state(d) != MAILBOX_REPLY)
		return;
	kept_request_forget(d);
	d->told = false;
	/* May bring the next request, from within. */
	sock_front_reply(d->front);
}

bool
kept_request(const struct kept_device *d, uint64_t *seq)
{
	if (!d->told || mailbox_state(d) != MAILBOX_REQUEST || d->mailbox->seq != d->told_seq)
		return false;
	*seq = d->told_seq;
	return true;
}

static int
give_message(struct child *to, const struct kept_device *d, enum ha_msg_type type)
{
	const struct ha_msg msg = {.type = (uint16_t)type, .device = d->handle};

	return child_send(to, &msg, NULL, 0);
}

static uint32_t
standing_flags(const struct kept_device *d)
{
	uint32_t flags = 0;

	/* With a disconnect, all that stands is the former client's, and ends with it. */
	if (d->gone)
		return HA_ADOPT_GONE;
	if (sock_front_connected(d->front))
		flags |= HA_ADOPT_CONNECTED;
	if (mailbox_state(d) == MAILBOX_REQUEST)
		flags |= HA_ADOPT_REQUEST;
	return flags;
}

static int
give_adopt(struct kept_device *d, struct child *to, uint32_t flags, uint32_t queue)
{
	struct ha_msg msg = {.type = HA_ADOPT, .device = d->handle, .len = sizeof(msg.u.adopt)};
	const int block = kept_block(d);

	msg.u.adopt.open = d->open;
	msg.u.adopt.flags = flags;
	msg.u.adopt.queue = queue;
	return child_send(to, &msg, &block, 1);
}

/* FDS messages are filled across kinds and sent when they are full. */
struct fds_writer {
	struct child *to;
	struct ha_msg msg;
	int fds[HA_FDS_MAX];
};

static int
fds_flush(struct fds_writer *w)
{
	const unsigned int n = w->msg.u.fds.n;
	int ret;

	if (n == 0)
		return 0;
	w->msg.len = (uint16_t)(offsetof(struct ha_fds, slot) + n * sizeof(w->msg.u.fds.slot[0]));
	ret = child_send(w->to, &w->msg, w->fds, n);
	w->msg.u.fds.n = 0;
	return ret;
}

static int
fds_add(struct fds_writer *w, unsigned int kind, unsigned int index, int fd)
{
	const unsigned int at = w->msg.u.fds.n;

	w->msg.u.fds.slot[at].kind = (uint16_t)kind;
	w->msg.u.fds.slot[at].index = (uint16_t)index;
	w->fds[at] = fd;
	w->msg.u.fds.n = at + 1;
	return at + 1 == HA_FDS_MAX ? fds_flush(w) : 0;
}

static int
give_fds(struct kept_device *d, struct child *to)
{
	struct fds_writer w = {.to = to, .msg = {.type = HA_FDS, .device = d->handle}};
	int ret = 0;

	for (unsigned int kind = HA_FD_KICK; kind < HA_FD_KINDS; kind++) {
		const struct kept_fds *t = &d->fds[kind];

		for (unsigned int i = 0, left = t->n; left > 0 && ret == 0; i++) {
			if (t->fd[i] < 0)
				continue;
			ret = fds_add(&w, kind, i, t->fd[i]);
			left--;
		}
	}
	return ret < 0 ? ret : fds_flush(&w);
}

int
kept_give(struct kept_device *d, struct child *to, uint32_t flags, uint32_t queue)
{
	int ret;

	flags |= standing_flags(d);
	ret = give_adopt(d, to, flags, queue);
	if (ret == 0)
		ret = give_fds(d, to);
	if (ret == 0)
		ret = give_message(to, d, HA_ADOPT_END);
	if (ret < 0) {
		/* Whatever it makes of half a device; the next process is given a whole one. */
		if (ret != -EPIPE)
			child_kill(to);
		return ret;
	}
	d->owner = to;
	if (flags & HA_ADOPT_GONE)
		kept_tell(d, HA_DISCONNECTED, 0, NULL, 0);
	else if (flags & HA_ADOPT_REQUEST)
		kept_tell_request(d);
	return 0;
}

unsigned int *
kept_failures(struct kept_device *d)
{
	return &d->failures;
}

void
kept_take_back(struct kept_device *d)
{
	d->owner = NULL;
	kept_mailbox_mend(d);
	/* What it had answered is answered, whether or not it came to say so. */
	kept_send_reply(d);
}
