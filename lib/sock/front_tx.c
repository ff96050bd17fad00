/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Replies to the client: from the mailbox, or the front's own. */

#include <errno.h>
#include <string.h>
#include <syslog.h>

#include <event2/event.h>

#include "front_impl.h"

/* Nobody has taken these, or only duplicates of them. */
static void
request_fds_close(struct sock_front *front)
{
	sock_discard(front->closer, front->req_fds, MAILBOX_FDS_MAX);
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		front->req_fds[i] = -1;
}

/* The reply in the mailbox is dealt with. */
static void
reply_done(struct sock_front *front, bool current)
{
	struct mailbox *mb = front->mailbox;
	bool end = current && mb->close;

	request_fds_close(front);
	mb->nfds = 0;
	atomic_store_explicit(&mb->state, MAILBOX_EMPTY, memory_order_release);
	front_note(&mb->stream.tx_active, 0);
	if (end)
		sock_front_drop(front, LOG_INFO, "ended by the device");
}

/*
 * hdr and body stand in the mailbox, too. The length is checked: the body does not leave it.
 */
static void
tx_begin(struct sock_front *front, const void *hdr, uint32_t body_len)
{
	struct mailbox_stream *st = &front->mailbox->stream;

	sock_tx_start(&front->tx, hdr, front->proto->header_size, front->mailbox->reply, body_len);
	front_note(&st->tx_left, sock_tx_left(&front->tx));
	front_note(&st->tx_active, 1);
}

/* A part of the reply, so that a successor can tell what of it is out, wherever this ends. */
static int
tx_step(struct sock_front *front)
{
	struct mailbox *mb = front->mailbox;
	struct mailbox_stream *st = &mb->stream;
	struct mmsghdr *call = front_tx_call(mb);
	int ret;

	call->msg_len = SOCK_TX_NOTHING;
	front_note(&mb->tx_noted, 1);
	front_note(&st->tx_call, sock_tx_left(&front->tx) + 1);
	ret = sock_tx_step_noted(&front->tx, front->fd, call);
	front_note(&st->tx_left, sock_tx_left(&front->tx));
	front_note(&st->tx_call, 0);
	front_note(&mb->tx_noted, 0);
	return ret;
}

/* @return 0 when all is sent; -EAGAIN; -errno */
static int
tx_go_on(struct sock_front *front)
{
	int ret;

	do {
		ret = tx_step(front);
	} while (ret == 0 && front->tx.active);
	return ret;
}

void
front_tx(struct sock_front *front)
{
	int ret;

	if (!front->tx.active)
		return;
	ret = tx_go_on(front);
	if (ret == -EAGAIN)
		return;
	if (ret < 0) {
		sock_front_drop(front, LOG_INFO, strerror(-ret));
		return;
	}
	if (front->tx_mailbox) {
		front->tx_mailbox = false;
		reply_done(front, true);
	} else {
		front_note(&front->mailbox->stream.tx_active, 0);
	}
}

void
front_answer(struct sock_front *front, const void *hdr, const void *body, uint32_t len)
{
	struct mailbox *mb = front->mailbox;

	memcpy(mb->reply_header, hdr, front->proto->header_size);
	if (len > 0)
		memcpy(mb->reply, body, len);
	tx_begin(front, hdr, len);
}

void
sock_front_reply(struct sock_front *front)
{
	const struct sock_proto *proto = front->proto;
	struct mailbox *mb = front->mailbox;
	uint8_t hdr[SOCK_HEADER_MAX];
	uint32_t body;
	bool current;

	if (front->tx_mailbox || front->broken != NULL ||
		atomic_load_explicit(&mb->state, memory_order_acquire) != MAILBOX_REPLY)
		return;
	current = front->fd >= 0 && mb->connection == front->connection;
	if (!current || !mb->reply_wanted) {
		reply_done(front, current);
	} else {
		/* The device side may still write there: what has been checked is what is used. */
		memcpy(hdr, mb->reply_header, sizeof(hdr));
		body = *(const volatile uint32_t *)&mb->reply_len;
		if (body > proto->body_max ||
			proto->size(hdr) != (uint64_t)proto->header_size + body) {
			sock_front_drop(front, LOG_ERR, "the device left an impossible reply");
			return;
		}
		front->tx_mailbox = true;
		tx_begin(front, hdr, body);
		front_tx(front);
	}
	if (!front->in_rx)
		front_rearm(front);
}
