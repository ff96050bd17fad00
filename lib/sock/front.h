/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef SOCK_FRONT_H
#define SOCK_FRONT_H

/**
 * @file
 * The front of a device: its host-facing socket, the one connection, and the mailbox
 * (state/mailbox.h) through which it meets the device side. It frames messages, attributes
 * descriptors and sends replies; no device logic.
 *
 * All protocols have the same front and differ in what a message looks like: lib/vfio_user and
 * lib/vhost_user make one (vfio_user_front_create(), vhost_user_front_create()), everything else is
 * here. Nothing blocks. A front belongs to the thread that runs its event base.
 *
 * A client whose descriptors do not close (sock/discard.h) is not read on; if that does not change
 * within a second its connection ends, and the next one waits until they are closed. A message that
 * comes with more than MAILBOX_FDS_MAX descriptors ends the connection as well, before its end.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "state/mailbox.h"

struct event_base;
struct sock_closer;
struct sock_front;

struct sock_front_ops {
	/**
	 * A request stands in the mailbox, its descriptors with the front
	 * (sock_front_request_fds()). Have it handled, then call sock_front_reply(), from within or
	 * later; also if it wants no reply: that is what ends it.
	 */
	void (*request)(void *ctx);
	/** There is a connection; no message yet. May be NULL. */
	void (*connected)(void *ctx);
	/**
	 * The connection is gone (end of file, error, malformed message, sock_front_disconnect()),
	 * its socket closed. Called exactly once per connected(). A request may still stand in the
	 * mailbox: the owner ends it by the device side's reset_connection(). When everything of
	 * the former client has been dealt with, the owner calls sock_front_gone_done(), from
	 * within or later; a new client may connect at once, but none of its messages is read
	 * before that.
	 */
	void (*disconnected)(void *ctx);
	/** One line about the connection, without newline. level as in syslog(3). May be NULL. */
	void (*log)(void *ctx, int level, const char *msg);
};

struct sock_front_conf {
	struct event_base *base;
	struct mailbox *mailbox; /**< EMPTY; outlives the front */
	const char *path;	 /**< of the socket; copied */
	/**
	 * Connect to path, where the client listens, and again whenever there is no connection;
	 * path need not exist. Otherwise listen there. vhost-user only.
	 */
	bool connect;
	mode_t mode; /**< of the socket file, when listening; 0 means 0600 */
	gid_t gid;   /**< group of the socket file, when listening; (gid_t)-1 leaves it */
	const struct sock_front_ops *ops;
	void *ctx;
	/** vfio-user: doorbells; 0 if kicks go through the mailbox */
	unsigned int max_queues;
	/**
	 * Hand on descriptors of any kind. Otherwise messages with others than memory (memfd,
	 * tmpfs, hugetlbfs), eventfds and what the protocol names besides are refused, each in the
	 * protocol's way: so whoever handles a request can examine and close its descriptors
	 * without being held up by the client.
	 */
	bool any_fd;
	/** Closes what the client has sent; NULL: one of the front's own. Shared, not taken over.
	 */
	struct sock_closer *closer;
	/**
	 * Sockets of a predecessor, to go on where it stopped; they become the front's, on success.
	 * The mailbox is its, too, in whatever state, stream position included.
	 */
	bool adopt;
	int listen_fd; /**< listens at path already; not used with `connect` */
	int conn_fd;   /**< the connection, -1: none; no ops.connected() follows */
	bool gone;     /**< a disconnect was not dealt with: sock_front_gone_done() is due */
	/** Descriptors of the request that stands, -1 for those that are lost. */
	int request_fds[MAILBOX_FDS_MAX];
};

struct sock_front_stats {
	uint64_t connections;
	uint64_t surplus;   /**< clients turned away because one was connected */
	uint64_t messages;  /**< well-framed messages, vfio-user's doorbells included */
	uint64_t malformed; /**< messages that were refused by the front or ended the connection */
};

/**
 * Close the connection (without ops.disconnected()) and the listening socket, remove its file if it
 * is still ours. The mailbox is left as it is: whoever ends the device for good calls
 * sock_front_disconnect() first, so that a standing request gives up its descriptors. Not
 * from within one of the ops. NULL is allowed.
 */
void sock_front_destroy(struct sock_front *front);

/**
 * The mailbox holds a reply: send it - or drop it if none is wanted or the connection is a former
 * one - empty the mailbox and read on. Does nothing if no reply stands. May be called from within
 * ops.request(). May call ops.disconnected() when the socket has failed or the device side asked to
 * end the connection.
 */
void sock_front_reply(struct sock_front *front);

/**
 * End the connection, if there is one; ops.disconnected() is called from within. Not from within
 * ops.disconnected().
 */
void sock_front_disconnect(struct sock_front *front);

/**
 * Let no client in (true), or again (false): those that come wait, or are not connected to. The one
 * that is connected is left alone.
 */
void sock_front_hold(struct sock_front *front, bool hold);

/** The owner has dealt with ops.disconnected(): messages of the next client may be read. */
void sock_front_gone_done(struct sock_front *front);

/**
 * Descriptors of the request that stands. They stay the front's, which closes them with the reply:
 * whoever wants one duplicates it, or takes it by writing -1.
 *
 * @return MAILBOX_FDS_MAX entries, -1: none
 */
int *sock_front_request_fds(struct sock_front *front);

/** Read no further message: those that come are the successor's. What stands is still answered. */
void sock_front_pause(struct sock_front *front);

/** For whoever keeps the sockets for a successor. -1: none (with `connect`: never a listening one).
 */
int sock_front_listen_fd(const struct sock_front *front);
int sock_front_conn_fd(const struct sock_front *front);

/**
 * The mailbox has moved to another place, content and all: use that one from now on. Not from
 * within one of the ops.
 */
void sock_front_set_mailbox(struct sock_front *front, struct mailbox *mailbox);

bool sock_front_connected(const struct sock_front *front);

const struct sock_front_stats *sock_front_get_stats(const struct sock_front *front);

#endif /* SOCK_FRONT_H */
