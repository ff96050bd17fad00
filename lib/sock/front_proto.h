/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef SOCK_FRONT_PROTO_H
#define SOCK_FRONT_PROTO_H

/**
 * @file
 * For lib/vfio_user and lib/vhost_user alone: what a front (front.h) has to be told of a protocol
 * whose messages are a header and a body, and what a protocol does with a message.
 *
 * A struct sock_front is the head of the protocol's own structure.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include "sock/front.h"
#include "sock/stream.h"

struct event;

enum sock_frame {
	SOCK_FRAME_OK,
	SOCK_FRAME_SKIP,   /**< too large: throw the body away, then see proto.message() */
	SOCK_FRAME_BROKEN, /**< the connection ends */
};

/** What a front knows of its protocol. */
struct sock_proto {
	uint32_t header_size; /**< <= SOCK_HEADER_MAX */
	uint32_t body_max;    /**< of messages taken or sent; <= MAILBOX_BODY_MAX */
	/** Bytes of the message that a header stands before, itself included, as it claims. */
	uint64_t (*size)(const void *hdr);
	/**
	 * Can the message of a client be taken? OK only if its body is at most body_max, SKIP only
	 * if its size is below 2^32. @param why  set for BROKEN, a static string
	 */
	enum sock_frame (*frame)(const void *hdr, const char **why);
	/**
	 * A message is complete, its body in mailbox.req (one that was skipped is larger than
	 * body_max: rx.size). Ends with one of sock_front_post(), sock_front_answer() and
	 * sock_front_drop().
	 */
	void (*message)(struct sock_front *front);
	/** Descriptors may come with a message of that kind. */
	bool (*may_carry_fds)(const void *hdr);
	/**
	 * Answer the first message of a client that is turned away. @return false: none. NULL: such
	 * a client is not listened to.
	 */
	bool (*turn_away)(const void *hdr, void *reply_hdr);
};

/** A message on its way in. */
struct sock_front_rx {
	uint8_t hdr[SOCK_HEADER_MAX];
	uint32_t size; /**< of the message; valid once its header has been looked at */
	uint32_t got;  /**< bytes of the header, then of the message */
	uint32_t skip; /**< body bytes still to be thrown away */
	struct sock_fds fds;
};

/** Clients that may be waited for before they are turned away; further ones go without a word. */
#define SOCK_FRONT_SURPLUS_MAX 8

/** A client that came while there was one. */
struct sock_front_surplus {
	struct sock_front *front;
	struct event *ev; /* NULL: free */
	int fd;
};

struct sock_front {
	const struct sock_proto *proto;
	struct event_base *base;
	struct mailbox *mailbox;
	const struct sock_front_ops *ops;
	void *ctx;
	bool any_fd;
	struct sock_closer *closer;

	/* listening socket, or whom to connect to */
	struct sockaddr_un addr;
	bool connect;
	int listen_fd;
	dev_t dev; /* of the socket file: only our own is removed */
	ino_t ino;
	struct event *listen_ev;
	struct event *retry_ev; /* listens again, or connects, after a pause */
	unsigned int retry_ms;	/* the next pause of a front that connects, 0: the first */
	struct sock_front_surplus surplus[SOCK_FRONT_SURPLUS_MAX];

	/* connection */
	int fd; /* -1: none */
	uint32_t connection;
	struct event *read_ev;
	struct event *write_ev;
	struct event *watch_ev; /* looks whether the client lives while nothing is read */
	struct sock_front_rx rx;
	struct sock_tx tx;
	bool tx_mailbox;    /* tx is the mailbox's reply */
	bool paused;	    /* nothing is read any more: a successor will */
	bool held;	    /* no client is let in */
	bool in_rx;	    /* messages are being read: what is to be waited for is seen to there */
	bool gone;	    /* the owner is still busy with the end of the last one */
	bool resuming;	    /* rx is as a predecessor left it, not looked at yet */
	unsigned int full;  /* looks at a closer that was full each time */
	const char *broken; /* why an adopted connection cannot go on */
	struct event *adopt_ev;
	int req_fds[MAILBOX_FDS_MAX]; /* of the request that stands */

	struct sock_front_stats stats;
};

/**
 * X_front_create() of a protocol.
 * @param size  of its own structure, zeroed but for its head
 * @return 0; -EINVAL if the configuration lacks something; otherwise as front.h says
 */
int sock_front_create(const struct sock_proto *proto, size_t size,
	const struct sock_front_conf *conf, struct sock_front **out);

/* ---- what becomes of a message; for proto.message() */

static inline uint32_t
sock_front_body_len(const struct sock_front *front)
{
	return front->rx.size - front->proto->header_size;
}

/** Every descriptor that came with the message is memory or an eventfd. */
bool sock_front_fds_harmless(const struct sock_front *front);
/** Hand the message to the device side. */
void sock_front_post(struct sock_front *front, bool reply_wanted);
/**
 * The front deals with it by itself.
 * @param hdr  of the answer, NULL: none is wanted. @param body  not in the mailbox
 */
void sock_front_answer(struct sock_front *front, const void *hdr, const void *body, uint32_t len);
/** End the connection and tell the owner. */
void sock_front_drop(struct sock_front *front, int level, const char *why);
/** The message has been sent on the connection that mailbox.negotiated_seq speaks of. */
static inline bool
sock_front_negotiated(const struct sock_front *front)
{
	return front->mailbox->negotiated_seq != 0 &&
	       front->mailbox->connection == front->connection;
}

#endif /* SOCK_FRONT_PROTO_H */
