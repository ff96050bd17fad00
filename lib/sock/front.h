/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef SOCK_FRONT_H
#define SOCK_FRONT_H

/**
 * @file
 * The front of a device: its socket, its one connection, and the mailbox (state/mailbox.h) through
 * which it meets the device side. What it does is the same for every protocol whose messages are a
 * header and a body; what a header says is told by a struct sock_proto. lib/vfio_user and
 * lib/vhost_user are its users, their headers its manual: functions here do what those of the same
 * name do there.
 *
 * A struct sock_front is the head of the protocol's own structure.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include "sock/stream.h"
#include "state/mailbox.h"

struct event;
struct event_base;
struct sock_front;

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

struct sock_front_ops {
	void (*request)(void *ctx);
	void (*connected)(void *ctx);
	void (*disconnected)(void *ctx);
	void (*log)(void *ctx, int level, const char *msg);
};

struct sock_front_conf {
	const struct sock_proto *proto;
	struct event_base *base;
	struct mailbox *mailbox;
	const char *path;
	bool connect; /**< connect to path rather than listen */
	mode_t mode;
	gid_t gid;
	struct sock_front_ops ops;
	void *ctx;
	bool adopt;
	int listen_fd;
	int conn_fd;
	bool gone;
	const int *request_fds; /**< MAILBOX_FDS_MAX; with adopt */
};

struct sock_front_stats {
	uint64_t connections;
	uint64_t surplus;
	uint64_t messages;  /**< counted by proto.message() */
	uint64_t malformed; /**< likewise, but for those of proto.frame() */
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
	struct sock_front_ops ops;
	void *ctx;
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
	bool in_rx;	    /* messages are being read: what is to be waited for is seen to there */
	bool gone;	    /* the owner is still busy with the end of the last one */
	bool resuming;	    /* rx is as a predecessor left it, not looked at yet */
	const char *broken; /* why an adopted connection cannot go on */
	struct event *adopt_ev;
	int req_fds[MAILBOX_FDS_MAX]; /* of the request that stands */

	struct sock_front_stats stats;
};

/** @param front  zeroed. @return 0; on failure sock_front_end() is still due */
int sock_front_begin(struct sock_front *front, const struct sock_front_conf *conf);
/** All but the memory. */
void sock_front_end(struct sock_front *front);
void sock_front_reply(struct sock_front *front);
void sock_front_disconnect(struct sock_front *front);
void sock_front_gone_done(struct sock_front *front);
void sock_front_pause(struct sock_front *front);
void sock_front_set_mailbox(struct sock_front *front, struct mailbox *mailbox);

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

#endif /* SOCK_FRONT_H */
