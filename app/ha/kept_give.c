/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Who has a device: giving it to a process, taking it back, and what stands meanwhile. */

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "child.h"
#include "kept_impl.h"

static uint32_t
mailbox_state(const struct kept_device *d)
{
	return atomic_load_explicit(&d->mailbox->state, memory_order_acquire);
}

/*
 * Descriptors of the request, by position: those that are there, up to the first that is not.
 */
static unsigned int
request_fds(const struct kept_device *d)
{
	const int *fds = d->transport->request_fds(d);
	unsigned int n = 0;

	while (n < MAILBOX_FDS_MAX && fds[n] >= 0)
		n++;
	return n;
}

static void
request_forget(struct kept_device *d)
{
	while (d->stored_request > 0)
		kept_store_drop(d, HA_FD_REQUEST, --d->stored_request);
}

/* From the same open(). Where the kernel does not say, they may be. */
static bool
same_file(int a, int b)
{
	const pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) <= 0;
}

void
kept_request_passed_on(struct kept_device *d, int fd)
{
	const int *fds = d->transport->request_fds(d);

	for (unsigned int i = 0; i < d->stored_request; i++)
		if (fds[i] >= 0 && same_file(fd, fds[i])) {
			request_forget(d);
			return;
		}
}

/* Told again, it is stored already; one that ended without a reply may have left its own. */
static void
request_store(struct kept_device *d)
{
	const int *fds = d->transport->request_fds(d);
	const unsigned int n = request_fds(d);

	if (d->stored_seq != d->mailbox->seq)
		request_forget(d);
	d->stored_seq = d->mailbox->seq;
	for (; d->stored_request < n; d->stored_request++)
		kept_store_fd(d, HA_FD_REQUEST, d->stored_request, fds[d->stored_request], false);
}

void
kept_tell_request(struct kept_device *d)
{
	request_store(d);
	if (d->owner == NULL)
		return;
	d->told = true;
	d->told_seq = d->mailbox->seq;
	kept_tell(d, HA_REQUEST, 0, d->transport->request_fds(d), request_fds(d));
}

void
kept_send_reply(struct kept_device *d)
{
	if (mailbox_state(d) != MAILBOX_REPLY)
		return;
	request_forget(d);
	d->told = false;
	/* May bring the next request, from within. */
	d->transport->reply(d);
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
	if (d->transport->connected(d))
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
