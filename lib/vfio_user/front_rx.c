/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Messages from the client: exact-size reads, framing, doorbells, hand-over to the mailbox.
 *
 * A doorbell is looked at when its turn in the stream has come, like any other message. While a
 * request stands in the mailbox it waits: a client may send DMA_MAP or a queue's enable bit and
 * ring at once, and the protocol promises that commands take effect in order.
 */

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <event2/event.h>

#include "front_impl.h"

/*
 * Reads per event, two for most messages. One client that never pauses cannot starve the others on
 * the loop: what it has left over makes the socket readable again at once.
 */
#define FRONT_RX_BURST 128

static uint32_t
body_len(const struct front_rx *rx)
{
	return rx->hdr.size - VFIO_USER_HEADER_SIZE;
}

/*
 * This message is dealt with: what came with it and was not handed on is closed. An answer to it
 * has been prepared before, so that at no instant a successor would deal with it again.
 */
static void
rx_next(struct vfio_user_front *front)
{
	struct mailbox_stream *st = &front->mailbox->stream;

	vfio_user_fds_close(&front->rx.fds);
	front->rx.got = 0;
	front->rx.skip = 0;
	front_note(&st->rx_got, 0);
	front_note(&st->rx_skip, 0);
	front_note(&st->rx_nfds, 0);
}

static void
refuse(struct vfio_user_front *front, int err)
{
	front->stats.malformed++;
	front_answer(front, &front->rx.hdr, err, NULL, 0);
	rx_next(front);
	front_tx(front);
}

/* Queue of a doorbell write, or -1 if the write is none or must be seen by the device side. */
static int
doorbell(const struct vfio_user_front *front, const struct vfio_user_region_access *w,
	const uint8_t *data)
{
	const struct vfio_user_notify *n = &front->notify;
	uint64_t at, queue;
	uint16_t value;

	if (w->region != n->region || (w->count != 2 && w->count != 4))
		return -1;
	if (w->offset < n->offset || w->offset - n->offset >= n->size)
		return -1;
	at = w->offset - n->offset;
	if (w->count > n->size - at)
		return -1;
	memcpy(&value, data, sizeof(value));
	if (n->multiplier == 0)
		return at == 0 ? value : -1;
	if (at % n->multiplier != 0)
		return -1;
	queue = at / n->multiplier;
	return queue > UINT16_MAX ? -1 : (int)queue;
}

/* Signal a doorbell; false if it is not one. */
static bool
rx_kick(struct vfio_user_front *front)
{
	const struct front_rx *rx = &front->rx;
	const struct mailbox *mb = front->mailbox;
	struct vfio_user_region_access w;
	const uint64_t one = 1;
	int queue, fd = -1;

	if (rx->hdr.command != VFIO_USER_REGION_WRITE || front->notify.size == 0 ||
		rx->fds.n != 0 || body_len(rx) <= sizeof(w))
		return false;
	/* Nothing goes around the device side before it has agreed to talk. */
	if (mb->negotiated_seq == 0 || mb->connection != front->connection)
		return false;
	memcpy(&w, mb->req, sizeof(w));
	if (w.count != body_len(rx) - sizeof(w))
		return false;
	queue = doorbell(front, &w, mb->req + sizeof(w));
	if (queue < 0)
		return false;
	if ((unsigned int)queue < front->max_queues)
		fd = front->kicks[queue];
	if (fd == VFIO_USER_KICK_FORWARD)
		return false;
	front->stats.kicks++;
	/* A counter at its limit (EAGAIN) is signalled already. */
	if (fd < 0 || (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN))
		front->stats.spurious_kicks++;
	front_answer(front, &rx->hdr, 0, &w, sizeof(w));
	rx_next(front);
	front_tx(front);
	return true;
}

static void
rx_post(struct vfio_user_front *front)
{
	struct front_rx *rx = &front->rx;
	struct mailbox *mb = front->mailbox;

	if (mb->connection != front->connection) {
		mb->connection = front->connection;
		mb->negotiated_seq = 0;
	}
	memcpy(mb->header, &rx->hdr, sizeof(mb->header));
	mb->seq++;
	mb->req_len = body_len(rx);
	mb->reply_len = 0;
	mb->reply_wanted = vfio_user_wants_reply(&rx->hdr);
	mb->close = 0;
	mb->nfds = (uint8_t)rx->fds.n;
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		front->req_fds[i] = i < rx->fds.n ? rx->fds.fd[i] : -1;
	rx->fds.n = 0;
	atomic_store_explicit(&mb->state, MAILBOX_REQUEST, memory_order_release);
	rx_next(front);
	front->ops->request(front->ctx);
}

static bool
fds_acceptable(const struct vfio_user_front *front)
{
	const struct vfio_user_fds *fds = &front->rx.fds;

	for (unsigned int i = 0; i < fds->n && !front->any_fd; i++)
		if (!vfio_user_fd_harmless(fds->fd[i]))
			return false;
	return true;
}

static void
rx_message(struct vfio_user_front *front)
{
	struct front_rx *rx = &front->rx;

	if (!vfio_user_is_command(&rx->hdr) || rx->fds.lost) {
		refuse(front, -EINVAL);
		return;
	}
	if (!fds_acceptable(front)) {
		/* For memory the wrong file; elsewhere nothing that could be meant. */
		refuse(front, rx->hdr.command == VFIO_USER_DMA_MAP ? -EACCES : -EINVAL);
		return;
	}
	front->stats.messages++;
	if (!rx_kick(front))
		rx_post(front);
}

/* The header is complete; false if the connection is over. */
static bool
rx_header(struct vfio_user_front *front)
{
	struct front_rx *rx = &front->rx;

	if (vfio_user_is_reply(&rx->hdr)) {
		front->stats.malformed++;
		front_drop(front, LOG_WARNING, "client sent a reply to nothing");
		return false;
	}
	switch (vfio_user_frame_check(&rx->hdr, VFIO_USER_MSG_MAX)) {
	case VFIO_USER_FRAME_BROKEN:
		front->stats.malformed++;
		front_drop(front, LOG_WARNING, "client sent an impossible message size");
		return false;
	case VFIO_USER_FRAME_SKIP:
		rx->skip = body_len(rx);
		front_note(&front->mailbox->stream.rx_skip, rx->skip);
		return true;
	case VFIO_USER_FRAME_OK:
		break;
	}
	return true;
}

void *
front_rx_room(struct vfio_user_front *front, size_t *len)
{
	const struct front_rx *rx = &front->rx;

	if (rx->got < VFIO_USER_HEADER_SIZE) {
		*len = VFIO_USER_HEADER_SIZE - rx->got;
		return front->mailbox->stream.rx_header + rx->got;
	}
	if (rx->skip > 0) {
		*len = rx->skip < MAILBOX_BODY_MAX ? rx->skip : MAILBOX_BODY_MAX;
		return front->mailbox->req;
	}
	*len = rx->hdr.size - rx->got;
	return front->mailbox->req + (rx->got - VFIO_USER_HEADER_SIZE);
}

/* n more bytes have come. The position is the last to be noted: with it all is. */
static void
rx_advance(struct vfio_user_front *front, uint32_t n)
{
	struct mailbox_stream *st = &front->mailbox->stream;
	struct front_rx *rx = &front->rx;

	front_note(&st->rx_nfds, rx->fds.lost ? VFIO_USER_FDS_MAX : rx->fds.n);
	if (rx->skip > 0) {
		rx->skip -= n;
		front_note(&st->rx_skip, rx->skip);
		if (rx->skip > 0)
			return;
		n = body_len(rx);
	}
	if (rx->got < VFIO_USER_HEADER_SIZE)
		memcpy((uint8_t *)&rx->hdr + rx->got, st->rx_header + rx->got, n);
	rx->got += n;
	front_note(&st->rx_got, rx->got < VFIO_USER_MSG_MAX ? rx->got : VFIO_USER_MSG_MAX);
}

void
front_rx_proceed(struct vfio_user_front *front)
{
	struct front_rx *rx = &front->rx;

	if (rx->got == VFIO_USER_HEADER_SIZE && rx->skip == 0 && !rx_header(front))
		return;
	if (rx->got < VFIO_USER_HEADER_SIZE || rx->skip > 0 || rx->got != rx->hdr.size)
		return;
	if (rx->hdr.size > VFIO_USER_MSG_MAX)
		refuse(front, -EMSGSIZE);
	else
		rx_message(front);
}

/* One read; false when nothing more is to be read now. */
static bool
rx_step(struct vfio_user_front *front)
{
	struct front_rx *rx = &front->rx;
	size_t len;
	void *room = front_rx_room(front, &len);
	ssize_t n;

	front_call_mark(room, len);
	front_note(&front->mailbox->stream.rx_call, rx->got + 1);
	n = vfio_user_stream_recv(front->fd, room, len, &rx->fds);
	if (n > 0)
		rx_advance(front, (uint32_t)n);
	front_note(&front->mailbox->stream.rx_call, 0);
	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		front_drop(front, LOG_INFO, strerror((int)-n));
		return false;
	}
	if (n == 0) {
		front_drop(front, rx->got == 0 ? LOG_INFO : LOG_WARNING,
			rx->got == 0 ? "client has disconnected"
				     : "client has disconnected within a message");
		return false;
	}
	front_rx_proceed(front);
	return true;
}

void
front_rx(struct vfio_user_front *front)
{
	front->in_rx = true;
	if (front->resuming && front->fd >= 0 && !front_busy(front)) {
		front->resuming = false;
		front_rx_proceed(front);
	}
	for (int i = 0; i < FRONT_RX_BURST; i++)
		if (front->fd < 0 || front_busy(front) || !rx_step(front))
			break;
	front->in_rx = false;
	front_rearm(front);
}
