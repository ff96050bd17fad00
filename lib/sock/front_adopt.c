/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The front: going on where another process stopped, at whatever instruction that was.
 *
 * Each change of the stream's position is committed by one store (struct mailbox_stream), so what a
 * successor finds is what was so before or after it. Two things cannot be told by stores:
 *
 * - Bytes received, position not stored yet. The place for them had been marked: if the marks are
 *   untouched nothing has come, if they are gone all has. Descriptors that may have come along died
 *   with the receiver.
 * - Bytes sent, position not stored yet: the kernel has noted how many (front_tx_call()), unless
 *   the former front was of a version that did not have it noted.
 *
 * Where something is lost or unknown, or the mailbox makes no sense, the connection ends: that is
 * one device's loss, with a line in the log. To guess could mean that a client takes the middle of
 * a message for its start.
 *
 * The mailbox is believed as little as a client: its other user is a process that may have crashed
 * for having written where it should not.
 */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include <event2/event.h>

#include "front_impl.h"

#define WHY_DAMAGED   "its mailbox is damaged"
#define WHY_RECEIVING "the former front died while it received"
#define WHY_SENDING   "the former front died while it sent"
#define WHY_LOST      "descriptors of its message are lost"

static bool
marks_untouched(const uint8_t *room, size_t len)
{
	const size_t n = len < FRONT_MARK_LEN ? len : FRONT_MARK_LEN;

	for (size_t i = 0; i < n; i++)
		if (room[i] != FRONT_MARK_BYTE || room[len - n + i] != FRONT_MARK_BYTE)
			return false;
	return true;
}

static bool
marks_gone(const uint8_t *room, size_t len)
{
	return room[len - 1] != FRONT_MARK_BYTE;
}

/* A message whose header has been looked at lies before or at its end. */
static bool
rx_plausible(const struct sock_front *front)
{
	const struct sock_proto *proto = front->proto;
	const struct sock_front_rx *rx = &front->rx;
	const char *why;

	if (rx->got < proto->header_size)
		return rx->skip == 0;
	if (rx->got == proto->header_size && rx->skip == 0)
		return true; /* front_rx_proceed() looks at it */
	switch (proto->frame(rx->hdr, &why)) {
	case SOCK_FRAME_OK:
		return rx->skip == 0 && rx->got <= proto->size(rx->hdr);
	case SOCK_FRAME_SKIP:
		return rx->skip == 0
			       ? rx->got == front_msg_max(front)
			       : rx->got == proto->header_size &&
					 rx->skip <= proto->size(rx->hdr) - proto->header_size;
	case SOCK_FRAME_BROKEN:
		break;
	}
	return false;
}

/*
 * A header is complete, a call for the body was under way, so it had been looked at. @return false:
 * it was not one that a body follows
 */
static bool
body_was_due(struct sock_front *front)
{
	struct sock_front_rx *rx = &front->rx;
	const char *why;

	if (rx->skip > 0)
		return false;
	if (rx->got < front->proto->header_size)
		return true;
	return front->proto->frame(rx->hdr, &why) == SOCK_FRAME_OK;
}

/* Bytes were being received. @return NULL, or why the connection cannot go on */
static const char *
rx_settle(struct sock_front *front)
{
	struct mailbox_stream *st = &front->mailbox->stream;
	struct sock_front_rx *rx = &front->rx;
	const uint8_t *room;
	size_t len;

	if (!body_was_due(front))
		return WHY_RECEIVING;
	room = front_rx_room(front, &len);
	if (len == 0)
		return WHY_DAMAGED;
	if (marks_untouched(room, len))
		return NULL;
	if (!marks_gone(room, len))
		return WHY_RECEIVING;
	if (rx->got < front->proto->header_size)
		memcpy(rx->hdr, st->rx_header, sizeof(rx->hdr));
	rx->got += (uint32_t)len;
	return front->proto->may_carry_fds(rx->hdr) ? WHY_LOST : NULL;
}

/* A message on its way in. */
static const char *
rx_take(struct sock_front *front)
{
	const struct mailbox_stream *st = &front->mailbox->stream;
	struct sock_front_rx *rx = &front->rx;
	const char *why = NULL;

	rx->got = st->rx_got;
	rx->skip = st->rx_skip;
	memcpy(rx->hdr, st->rx_header, sizeof(rx->hdr));
	if (!rx_plausible(front))
		return WHY_DAMAGED;
	if (rx->got >= front->proto->header_size)
		rx->size = (uint32_t)front->proto->size(rx->hdr);
	if (st->rx_nfds > 0 && rx->got > 0)
		return WHY_LOST;
	/* What was skipped to its end was more than is noted. */
	if (rx->got == front_msg_max(front))
		rx->got = rx->size;
	if (st->rx_call == rx->got + 1)
		why = rx_settle(front);
	front->resuming = rx->got > 0;
	return why;
}

/* A part of a reply was being sent. @return NULL, or why the connection cannot go on */
static const char *
tx_settle(struct mailbox *mb, uint32_t *left)
{
	const unsigned int sent = *(const volatile unsigned int *)&front_tx_call(mb)->msg_len;

	if (mb->tx_noted != 1)
		return WHY_SENDING;
	if (sent == SOCK_TX_NOTHING)
		return NULL;
	if (sent > *left)
		return WHY_DAMAGED;
	*left -= sent;
	front_note(&mb->stream.tx_left, *left);
	return NULL;
}

/* A reply on its way out. */
static const char *
tx_take(struct sock_front *front, uint32_t state)
{
	struct mailbox *mb = front->mailbox;
	const uint32_t head = front->proto->header_size;
	uint32_t left = mb->stream.tx_left;
	const char *why = NULL;
	uint8_t hdr[SOCK_HEADER_MAX];
	uint64_t size;

	memcpy(hdr, mb->reply_header, sizeof(hdr));
	size = front->proto->size(hdr);
	if (state == MAILBOX_REQUEST || size < head || size > front_msg_max(front) || left > size)
		return WHY_DAMAGED;
	if (mb->stream.tx_call == left + 1)
		why = tx_settle(mb, &left);
	if (why != NULL)
		return why;
	sock_tx_start(&front->tx, hdr, head, mb->reply, (uint32_t)size - head);
	front->tx.sent = (size_t)size - left;
	front->tx_mailbox = state == MAILBOX_REPLY;
	return NULL;
}

/* The request that stands has the descriptors that it came with. */
static bool
request_whole(const struct sock_front *front)
{
	const struct mailbox *mb = front->mailbox;

	for (unsigned int i = 0; i < mb->nfds; i++)
		if (i >= MAILBOX_FDS_MAX || front->req_fds[i] < 0)
			return false;
	return true;
}

/* @return NULL, or why the connection cannot go on */
static const char *
position_take(struct sock_front *front)
{
	struct mailbox *mb = front->mailbox;
	const uint32_t state = atomic_load_explicit(&mb->state, memory_order_acquire);

	if (state > MAILBOX_REPLY) {
		atomic_store_explicit(&mb->state, MAILBOX_EMPTY, memory_order_release);
		return WHY_DAMAGED;
	}
	if (mb->stream.tx_active != 0)
		return tx_take(front, state);
	if (state == MAILBOX_REQUEST && mb->connection == front->connection &&
		!request_whole(front))
		return WHY_LOST;
	return state == MAILBOX_EMPTY ? rx_take(front) : NULL;
}

/* From here on all is as if this front had been there from the start. */
static void
on_adopt(evutil_socket_t fd, short what, void *arg)
{
	struct sock_front *front = arg;
	const char *why = front->broken;

	if (why != NULL) {
		sock_front_drop(front, LOG_WARNING, why);
		return;
	}
	if (front->tx.active)
		front_tx(front);
	else
		sock_front_reply(front);
	front_rearm(front);
}

static bool
is_stream_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

int
front_adopt(struct sock_front *front, const struct sock_front_conf *conf)
{
	int ret;

	if (conf->conn_fd >= 0 && !is_stream_socket(conf->conn_fd))
		return -EINVAL;
	front->adopt_ev = event_new(front->base, -1, 0, on_adopt, front);
	if (front->adopt_ev == NULL)
		return -ENOMEM;
	if (conf->conn_fd >= 0 && !front_events_create(front, conf->conn_fd))
		return -ENOMEM;
	front->gone = conf->gone;
	/* Known before a peer is looked for. */
	front->fd = conf->conn_fd;
	ret = conf->connect ? front_connect(front, conf) : front_listen_adopt(front, conf);
	if (ret < 0) {
		front_events_destroy(front);
		front->fd = -1;
		return ret;
	}
	memcpy(front->req_fds, conf->request_fds, sizeof(front->req_fds));
	front->rx.fds.closer = front->closer;
	front->connection = conf->mailbox->stream.connection;
	if (front->fd >= 0)
		front->broken = position_take(front);
	event_active(front->adopt_ev, EV_TIMEOUT, 0);
	return 0;
}

void
sock_front_set_mailbox(struct sock_front *front, struct mailbox *mailbox)
{
	front->mailbox = mailbox;
	/* All that is sent stands there. */
	front->tx.body = mailbox->reply;
}
