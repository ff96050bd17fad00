/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Messages from the client: exact-size reads, framing, hand-over to the mailbox. */

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

/*
 * This message is dealt with: what came with it and was not handed on is closed. An answer to it
 * has been prepared before, so that at no instant a successor would deal with it again.
 */
static void
rx_next(struct sock_front *front)
{
	struct mailbox_stream *st = &front->mailbox->stream;

	sock_fds_close(&front->rx.fds);
	front->rx.got = 0;
	front->rx.skip = 0;
	front_note(&st->rx_got, 0);
	front_note(&st->rx_skip, 0);
	front_note(&st->rx_nfds, 0);
}

void
sock_front_answer(struct sock_front *front, const void *hdr, const void *body, uint32_t len)
{
	if (hdr != NULL)
		front_answer(front, hdr, body, len);
	rx_next(front);
	front_tx(front);
}

void
sock_front_post(struct sock_front *front, bool reply_wanted)
{
	struct sock_front_rx *rx = &front->rx;
	struct mailbox *mb = front->mailbox;

	if (mb->connection != front->connection) {
		mb->connection = front->connection;
		mb->negotiated_seq = 0;
	}
	memset(mb->header, 0, sizeof(mb->header));
	memcpy(mb->header, rx->hdr, front->proto->header_size);
	mb->seq++;
	mb->req_len = sock_front_body_len(front);
	mb->reply_len = 0;
	mb->reply_wanted = reply_wanted;
	mb->close = 0;
	mb->nfds = (uint8_t)rx->fds.n;
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		front->req_fds[i] = i < rx->fds.n ? rx->fds.fd[i] : -1;
	rx->fds.n = 0;
	front->retry_ms = 0; /* this is a peer that talks */
	atomic_store_explicit(&mb->state, MAILBOX_REQUEST, memory_order_release);
	rx_next(front);
	front->ops->request(front->ctx);
}

bool
sock_front_fds_harmless(const struct sock_front *front)
{
	const struct sock_fds *fds = &front->rx.fds;

	for (unsigned int i = 0; i < fds->n; i++)
		if (!sock_fd_harmless(fds->fd[i]))
			return false;
	return true;
}

/* The header is complete; false if the connection is over. */
static bool
rx_header(struct sock_front *front)
{
	struct sock_front_rx *rx = &front->rx;
	const char *why = "client sent an impossible header";
	const enum sock_frame frame = front->proto->frame(rx->hdr, &why);

	if (frame == SOCK_FRAME_BROKEN) {
		front->stats.malformed++;
		sock_front_drop(front, LOG_WARNING, why);
		return false;
	}
	rx->size = (uint32_t)front->proto->size(rx->hdr);
	if (frame == SOCK_FRAME_SKIP) {
		rx->skip = sock_front_body_len(front);
		front_note(&front->mailbox->stream.rx_skip, rx->skip);
	}
	return true;
}

void *
front_rx_room(struct sock_front *front, size_t *len)
{
	const uint32_t head = front->proto->header_size;
	const struct sock_front_rx *rx = &front->rx;

	if (rx->got < head) {
		*len = head - rx->got;
		return front->mailbox->stream.rx_header + rx->got;
	}
	if (rx->skip > 0) {
		*len = rx->skip < MAILBOX_BODY_MAX ? rx->skip : MAILBOX_BODY_MAX;
		return front->mailbox->req;
	}
	*len = rx->size - rx->got;
	return front->mailbox->req + (rx->got - head);
}

/* n more bytes have come. The position is the last to be noted: with it all is. */
static void
rx_advance(struct sock_front *front, uint32_t n)
{
	struct mailbox_stream *st = &front->mailbox->stream;
	const uint32_t max = front_msg_max(front);
	struct sock_front_rx *rx = &front->rx;

	front_note(&st->rx_nfds, rx->fds.lost ? SOCK_FDS_MAX : rx->fds.n);
	if (rx->skip > 0) {
		rx->skip -= n;
		front_note(&st->rx_skip, rx->skip);
		if (rx->skip > 0)
			return;
		n = sock_front_body_len(front);
	}
	if (rx->got < front->proto->header_size)
		memcpy(rx->hdr + rx->got, st->rx_header + rx->got, n);
	rx->got += n;
	front_note(&st->rx_got, rx->got < max ? rx->got : max);
}

void
front_rx_proceed(struct sock_front *front)
{
	const uint32_t head = front->proto->header_size;
	struct sock_front_rx *rx = &front->rx;

	if (rx->got == head && rx->skip == 0 && !rx_header(front))
		return;
	if (rx->got >= head && rx->skip == 0 && rx->got == rx->size)
		front->proto->message(front);
}

/* One read; false when nothing more is to be read now. */
static bool
rx_step(struct sock_front *front)
{
	struct sock_front_rx *rx = &front->rx;
	size_t len;
	void *room = front_rx_room(front, &len);
	ssize_t n;

	front_call_mark(room, len);
	front_note(&front->mailbox->stream.rx_call, rx->got + 1);
	n = sock_recv(front->fd, room, len, &rx->fds);
	if (n > 0)
		rx_advance(front, (uint32_t)n);
	front_note(&front->mailbox->stream.rx_call, 0);
	if (n == -EAGAIN)
		return false;
	if (n < 0) {
		sock_front_drop(front, LOG_INFO, strerror((int)-n));
		return false;
	}
	/* Not only once the message is complete: it may be as long as its header claims. */
	if (rx->fds.lost) {
		front->stats.malformed++;
		sock_front_drop(front, LOG_WARNING,
			"client sent too many descriptors, or more than this process may open");
		return false;
	}
	if (n == 0) {
		sock_front_drop(front, rx->got == 0 ? LOG_INFO : LOG_WARNING,
			rx->got == 0 ? "client has disconnected"
				     : "client has disconnected within a message");
		return false;
	}
	front_rx_proceed(front);
	return true;
}

void
front_rx(struct sock_front *front)
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
