/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_FRONT_IMPL_H
#define VFIO_USER_FRONT_IMPL_H

/**
 * @file
 * Internal to lib/vfio_user: what the files of the front share.
 *
 * front_listen.c: socket file and newcomers; front_surplus.c: newcomers too many; front_rx.c:
 * messages in, doorbells; front_tx.c: replies out; front_adopt.c: going on where another process
 * stopped; front.c: the connection's life and the public functions.
 *
 * Positions in the stream are kept twice: here, where they are believed, and in the mailbox
 * (struct mailbox_stream), where they are only written, for a successor: what others can write
 * must not move this process's pointers.
 */

#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "codec.h"
#include "stream.h"
#include "vfio_user.h"

struct event;

/** A message on its way in. */
struct front_rx {
	struct vfio_user_header hdr;
	uint32_t got;  /**< bytes of the header, then of the message */
	uint32_t skip; /**< body bytes still to be thrown away */
	struct vfio_user_fds fds;
};

/** Clients that may be waited for before they are turned away; further ones go without a word. */
#define FRONT_SURPLUS_MAX 8

/** A client that came while there was one. */
struct front_surplus {
	struct vfio_user_front *front;
	struct event *ev; /* NULL: free */
	int fd;
};

struct vfio_user_front {
	struct event_base *base;
	struct mailbox *mailbox;
	const struct vfio_user_front_ops *ops;
	void *ctx;

	/* listening socket */
	struct sockaddr_un addr;
	int listen_fd;
	dev_t dev; /* of the socket file: only our own is removed */
	ino_t ino;
	struct event *listen_ev;
	struct event *retry_ev; /* listens again after a pause */
	struct vfio_user_closer *closer;
	bool any_fd;

	struct front_surplus surplus[FRONT_SURPLUS_MAX];

	/* connection */
	int fd; /* -1: none */
	uint32_t connection;
	struct event *read_ev;
	struct event *write_ev;
	struct event *watch_ev; /* looks whether the client lives while nothing is read */
	struct front_rx rx;
	struct vfio_user_tx tx;
	bool tx_mailbox;    /* tx is the mailbox's reply */
	bool paused;	    /* nothing is read any more: a successor will */
	bool in_rx;	    /* front_rx() is on the stack and goes on by itself */
	bool gone;	    /* the owner is still busy with the end of the last one */
	bool resuming;	    /* rx is as a predecessor left it, not looked at yet */
	const char *broken; /* why an adopted connection cannot go on */
	struct event *adopt_ev;
	int req_fds[MAILBOX_FDS_MAX]; /* of the request that stands */

	struct vfio_user_notify notify;
	int *kicks;
	unsigned int max_queues;
	struct vfio_user_front_stats stats;
};

/* front.c */
void front_log(const struct vfio_user_front *front, int level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** Take over a connected socket. */
void front_attach(struct vfio_user_front *front, int fd);
/** Events of the connection, not armed; false: no memory. */
bool front_events_create(struct vfio_user_front *front, int fd);
void front_events_destroy(struct vfio_user_front *front);
/** End the connection and tell the owner. */
void front_drop(struct vfio_user_front *front, int level, const char *why);
/**
 * Nothing may be read: a request or reply stands, a reply is not sent yet, the former client is
 * not dealt with, or too many of the client's descriptors will not close.
 */
bool front_busy(const struct vfio_user_front *front);
/** Wait for what the connection's state calls for. */
void front_rearm(struct vfio_user_front *front);

/* front_listen.c */
int front_listen(struct vfio_user_front *front, const struct vfio_user_front_conf *conf);
/** The same with a socket that listens already. On failure it stays the caller's. */
int front_listen_adopt(struct vfio_user_front *front, const struct vfio_user_front_conf *conf);
void front_unlisten(struct vfio_user_front *front);
/** Clients may come again. */
void front_listen_on(struct vfio_user_front *front);

/* front_surplus.c */
/** Take over a socket that cannot be served. */
void front_surplus_add(struct vfio_user_front *front, int fd);
void front_surplus_end(struct vfio_user_front *front);

/* front_rx.c */
void front_rx(struct vfio_user_front *front);
/** Do what the bytes received so far call for. */
void front_rx_proceed(struct vfio_user_front *front);

/** Where the next bytes go. While the mailbox is empty its request part is the front's to fill. */
void *front_rx_room(struct vfio_user_front *front, size_t *len);

/* front_adopt.c */
/** Go on where a predecessor stopped; from the event loop on. On failure nothing is taken. */
int front_adopt(struct vfio_user_front *front, const struct vfio_user_front_conf *conf);

/* front_tx.c */
/**
 * Prepare a reply by the front itself, in the empty mailbox. err 0: body of len bytes. If one is
 * wanted, front_tx() sends it.
 */
void front_answer(struct vfio_user_front *front, const struct vfio_user_header *req, int err,
	const void *body, uint32_t len);
/** Send, or go on sending; nothing if there is nothing to send. */
void front_tx(struct vfio_user_front *front);

/** Rare as the last byte of headers and of doorbells, and as eight in a row of anything. */
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

/**
 * A store that a successor reads: in program order after what was stored before.
 */
static inline void
front_note(uint32_t *where, uint32_t value)
{
	__atomic_store_n(where, value, __ATOMIC_RELEASE);
}

#endif /* VFIO_USER_FRONT_IMPL_H */
