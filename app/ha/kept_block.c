/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* State blocks: what is checked before the front works in one, and its change for another. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kept_impl.h"
#include "klog.h"
#include "state/state.h"

/* What a front relies on when it goes on where another one stopped. */
static bool
mailbox_intact(const struct mailbox *mb)
{
	return atomic_load_explicit(&mb->state, memory_order_acquire) <= MAILBOX_REPLY &&
	       mb->req_len <= MAILBOX_BODY_MAX && mb->reply_len <= MAILBOX_BODY_MAX &&
	       mb->nfds <= MAILBOX_FDS_MAX && mb->stream.rx_nfds <= MAILBOX_FDS_MAX &&
	       mb->stream.rx_got <= sizeof(mb->header) + MAILBOX_BODY_MAX &&
	       mb->stream.tx_left <= sizeof(mb->reply_header) + MAILBOX_BODY_MAX;
}

int
kept_block_open(int fd, struct state_block **block, struct mailbox **mailbox)
{
	int ret = state_block_open(fd, block);

	if (ret < 0)
		return ret;
	*mailbox =
		state_block_section(*block, STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(**mailbox));
	if (*mailbox == NULL || !mailbox_intact(*mailbox)) {
		state_block_close(*block);
		*block = NULL;
		return -EBADMSG;
	}
	return 0;
}

void
kept_mailbox_mend(struct kept_device *d)
{
	struct mailbox *mb = d->mailbox;

	if (mailbox_intact(mb))
		return;
	klog_err("%s: the mailbox was damaged: its client's connection is ended", d->open.vuid);
	mb->req_len = 0;
	mb->reply_len = 0;
	mb->nfds = 0;
	memset(&mb->stream, 0, sizeof(mb->stream));
	atomic_store_explicit(&mb->state, MAILBOX_EMPTY, memory_order_release);
	sock_front_disconnect(d->front);
}

/*
 * The mailbox of a converted block is a copy from some moment in the past; meanwhile the front went
 * on in the old one. A request that stood at that moment may have been handled in the new one
 * since.
 *
 * @return true if a request stands that whoever has the new one cannot have seen
 */
static bool
mailbox_catch_up(struct mailbox *to, const struct mailbox *from)
{
	const uint32_t state = atomic_load_explicit(&from->state, memory_order_acquire);

	/* Damaged: the new one is empty. */
	if (!mailbox_intact(from))
		return false;
	if (state != MAILBOX_EMPTY && to->seq == from->seq) {
		to->stream = from->stream;
		return false;
	}
	/* Nobody works in it: it is empty, or its request is answered already. */
	atomic_store_explicit(&to->state, MAILBOX_EMPTY, memory_order_relaxed);
	memcpy((char *)to + sizeof(to->state), (const char *)from + sizeof(from->state),
		sizeof(*to) - sizeof(to->state));
	atomic_store_explicit(&to->state, state, memory_order_release);
	return state == MAILBOX_REQUEST;
}

/* The device works in another block from now on. @return the one before */
static struct state_block *
block_change(struct kept_device *d, struct state_block *block, struct mailbox *mailbox)
{
	struct state_block *before = d->block;
	const bool unseen = mailbox_catch_up(mailbox, d->mailbox);
	const unsigned int index = d->block_index;

	d->block = block;
	d->mailbox = mailbox;
	sock_front_set_mailbox(d->front, d->mailbox);
	/* The new one is stored before the register says so, the old one removed after that. */
	d->block_index = 1 - index;
	kept_store_fd(d, HA_FD_BLOCK, d->block_index, state_block_fd(block), -1);
	kept_store_update(d);
	kept_store_drop(d, HA_FD_BLOCK, index, -1);
	if (unseen)
		kept_tell_request(d);
	return before;
}

int
kept_block_convert(struct kept_device *d, int fd)
{
	struct state_block *block, *before;
	struct mailbox *mailbox;
	int ret = kept_block_open(fd, &block, &mailbox);

	if (ret < 0)
		return ret;
	before = block_change(d, block, mailbox);
	if (d->former == NULL)
		d->former = before;
	else
		state_block_close(before);
	return 0;
}

int
kept_replace_block(struct kept_device *d, int fd)
{
	struct state_block *block;
	struct mailbox *mailbox;
	int ret = kept_block_open(fd, &block, &mailbox);

	if (ret < 0)
		return ret;
	close(fd);
	state_block_close(block_change(d, block, mailbox));
	kept_commit_block(d);
	return 0;
}

void
kept_commit_block(struct kept_device *d)
{
	state_block_close(d->former);
	d->former = NULL;
}

int
kept_former_block(const struct kept_device *d)
{
	return d->former != NULL ? state_block_fd(d->former) : -1;
}

int
kept_block(const struct kept_device *d)
{
	return state_block_fd(d->block);
}
