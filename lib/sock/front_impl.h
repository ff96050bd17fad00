/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef SOCK_FRONT_IMPL_H
#define SOCK_FRONT_IMPL_H

/**
 * @file
 * Internal to lib/sock: what the files of the front share.
 *
 * front_listen.c: socket file and newcomers; front_connect.c: the same where the client is the one
 * that listens; front_surplus.c: newcomers too many; front_rx.c: messages in; front_tx.c: replies
 * out; front_adopt.c: going on where another process stopped; front.c: the connection's life and
 * the functions for its user.
 *
 * Positions in the stream are kept twice: here, where they are believed, and in the mailbox
 * (struct mailbox_stream), where they are only written, for a successor: what others can write
 * must not move this process's pointers.
 */

#include <string.h>

#include "front_proto.h"

/* front.c */
void front_log(const struct sock_front *front, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** Take over a connected socket. */
void front_attach(struct sock_front *front, int fd);
/** Events of the connection, not armed; false: no memory. */
bool front_events_create(struct sock_front *front, int fd);
void front_events_destroy(struct sock_front *front);
/**
 * Nothing may be read: a request or reply stands, a reply is not sent yet, the former client is
 * not dealt with, or too many of the client's descriptors will not close (for that long only).
 */
bool front_busy(const struct sock_front *front);
/** Wait for what the connection's state calls for. */
void front_rearm(struct sock_front *front);

/* front_listen.c */
int front_address_set(struct sock_front *front, const char *path);
int front_listen(struct sock_front *front, const struct sock_front_conf *conf);
/** The same with a socket that listens already. On failure it stays the caller's. */
int front_listen_adopt(struct sock_front *front, const struct sock_front_conf *conf);
void front_unlisten(struct sock_front *front);
/** Clients may come again. */
void front_listen_on(struct sock_front *front);

/* front_connect.c */
/** There is a peer to connect to, from the event loop on; not if there is a connection. */
int front_connect(struct sock_front *front, const struct sock_front_conf *conf);
/** Look for the peer again, after a pause. */
void front_connect_on(struct sock_front *front);

/* front_surplus.c */
/** Take over a socket that cannot be served. */
void front_surplus_add(struct sock_front *front, int fd);
void front_surplus_end(struct sock_front *front);

/* front_rx.c */
void front_rx(struct sock_front *front);
/** Do what the bytes received so far call for. */
void front_rx_proceed(struct sock_front *front);
/** Where the next bytes go. While the mailbox is empty its request part is the front's to fill. */
void *front_rx_room(struct sock_front *front, size_t *len);

/* front_adopt.c */
/** Go on where a predecessor stopped; from the event loop on. On failure nothing is taken. */
int front_adopt(struct sock_front *front, const struct sock_front_conf *conf);

/* front_tx.c */
/** Prepare an answer by the front itself, in the empty mailbox; front_tx() sends it. */
void front_answer(struct sock_front *front, const void *hdr, const void *body, uint32_t len);
/** Send, or go on sending; nothing if there is nothing to send. */
void front_tx(struct sock_front *front);

/** Largest message in either direction. */
static inline uint32_t
front_msg_max(const struct sock_front *front)
{
	return front->proto->header_size + front->proto->body_max;
}

/** Rare as the last byte of headers and bodies, and as eight in a row of anything. */
#define FRONT_MARK_BYTE 0xa5
#define FRONT_MARK_LEN	8u

/**
 * Before bytes are received: mark where they will go, at both ends, so that a successor can tell
 * whether they have come.
 */
static inline void
front_call_mark(uint8_t *room, size_t len)
{
	if (len < FRONT_MARK_LEN) {
		memset(room, FRONT_MARK_BYTE, len);
		return;
	}
	memset(room, FRONT_MARK_BYTE, FRONT_MARK_LEN);
	memset(room + len - FRONT_MARK_LEN, FRONT_MARK_BYTE, FRONT_MARK_LEN);
}

/** What a struct mmsghdr takes, rounded up: mailbox.req ends at a multiple of it. */
#define FRONT_CALL_ROOM 64u

/** The call that sends a part of a reply, where a successor finds it (struct mailbox, tx_noted). */
static inline struct mmsghdr *
front_tx_call(struct mailbox *mb)
{
	_Static_assert(sizeof(struct mmsghdr) <= FRONT_CALL_ROOM &&
			       MAILBOX_BODY_MAX % FRONT_CALL_ROOM == 0,
		"it has an aligned place");
	return (struct mmsghdr *)(void *)&mb->req[MAILBOX_BODY_MAX - FRONT_CALL_ROOM];
}

/**
 * A store that a successor reads: in program order after what was stored before.
 */
static inline void
front_note(uint32_t *where, uint32_t value)
{
	__atomic_store_n(where, value, __ATOMIC_RELEASE);
}

#endif /* SOCK_FRONT_IMPL_H */
