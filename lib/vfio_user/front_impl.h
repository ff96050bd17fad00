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
 * messages in, doorbells; front_tx.c: replies out; front.c: the connection's life and the public
 * functions.
 */

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
	bool tx_mailbox; /* tx is the mailbox's reply */
	bool in_rx;	 /* front_rx() is on the stack and goes on by itself */
	struct vfio_user_region_access ack;

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
/** End the connection and tell the owner. */
void front_drop(struct vfio_user_front *front, int level, const char *why);
/**
 * Nothing may be read: a request or reply stands, a reply is not sent yet, or too many of the
 * client's descriptors will not close.
 */
bool front_busy(const struct vfio_user_front *front);
/** Wait for what the connection's state calls for. */
void front_rearm(struct vfio_user_front *front);

/* front_listen.c */
int front_listen(struct vfio_user_front *front, const struct vfio_user_front_conf *conf);
void front_unlisten(struct vfio_user_front *front);

/* front_surplus.c */
/** Take over a socket that cannot be served. */
void front_surplus_add(struct vfio_user_front *front, int fd);
void front_surplus_end(struct vfio_user_front *front);

/* front_rx.c */
void front_rx(struct vfio_user_front *front);

/* front_tx.c */
/** Reply by the front itself. err 0: body of len bytes, which stays valid until sent. */
void front_answer(struct vfio_user_front *front, const struct vfio_user_header *req, int err,
	const void *body, uint32_t len);
/** Go on sending. */
void front_tx(struct vfio_user_front *front);

#endif /* VFIO_USER_FRONT_IMPL_H */
