/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef STATE_MAILBOX_H
#define STATE_MAILBOX_H

/**
 * @file
 * Mailbox of one host connection: one request and its reply, in the device's state block.
 *
 * The front (which owns the socket) fills the request part and moves the state EMPTY -> REQUEST
 * with a release store; the device side handles it - idempotently, so that a successor may handle
 * it again - fills the reply part and stores REPLY; the front sends it, once, and stores EMPTY. A
 * connection handles one request at a time: the front reads the next message only when the mailbox
 * is empty again.
 */

#include <stdatomic.h>
#include <stdint.h>

#define MAILBOX_VERSION 1
/** Largest message body in either direction: a 4 KiB configuration space with its header, and some
 * room. */
#define MAILBOX_BODY_MAX 8192u
/** Descriptors with one message; what QEMU accepts as max_msg_fds. */
#define MAILBOX_FDS_MAX 16u

enum mailbox_state {
	MAILBOX_EMPTY = 0,
	MAILBOX_REQUEST, /**< request stands, to be handled by the device side */
	MAILBOX_REPLY,	 /**< handled, to be sent (or dropped if no reply is wanted) by the front */
};

struct mailbox {
	_Atomic uint32_t state; /**< enum mailbox_state */
	uint32_t connection;	/**< counts connections; a reply to a former one is dropped */
	uint64_t seq;		/**< counts requests */
	uint32_t req_len;	/**< bytes of body */
	uint32_t reply_len;
	uint8_t header[16];	  /**< transport's message header as received */
	uint8_t reply_header[16]; /**< as to be sent */
	uint8_t reply_wanted;
	uint8_t close; /**< device side asks the front to end the connection after this message */
	uint8_t nfds;
	uint8_t reserved[5];
	/**
	 * Request that negotiated the transport's version on this connection, 0 if none has; set by
	 * the device side, zeroed by the front with the first request of a connection.
	 */
	uint64_t negotiated_seq;
	/** Descriptors of the request, valid in the process that handles it; -1 once taken. */
	int32_t fds[MAILBOX_FDS_MAX];
	uint8_t req[MAILBOX_BODY_MAX] __attribute__((aligned(64)));
	uint8_t reply[MAILBOX_BODY_MAX] __attribute__((aligned(64)));
};

#endif /* STATE_MAILBOX_H */
