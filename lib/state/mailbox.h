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

#define MAILBOX_VERSION 2
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

/**
 * Where the front is in the stream of the present connection; written by the front alone, for its
 * successor. The order of its stores is that of the program, so that at each instant a successor
 * knows what has been done; whether a system call under way has taken effect (rx_call, tx_call)
 * shows in what the kernel has written before it came back.
 *
 * - Bytes are received into rx_header, then into mailbox.req. Unless the mailbox is empty and
 *   nothing is being sent, the message that rx_* tell of has been dealt with.
 * - tx_active with the mailbox in MAILBOX_REPLY: its reply is being sent; in MAILBOX_EMPTY: an
 *   answer of the front's own, which stands in reply_header and reply as well.
 */
struct mailbox_stream {
	uint8_t rx_header[16]; /**< of the message on its way in */
	uint32_t rx_got;       /**< bytes of the header, then of the message, up to the largest */
	uint32_t rx_skip;      /**< bytes of body still to be thrown away */
	uint32_t rx_nfds;      /**< descriptors that came with it so far; a successor has lost them */
	uint32_t rx_call;      /**< rx_got + 1: more is being received just now; else: no */
	uint32_t tx_left;      /**< bytes (header and body) not sent yet */
	uint32_t tx_active;    /**< 1: a reply is being sent */
	uint32_t tx_call;      /**< tx_left + 1: a part is being sent just now; else: no */
	uint32_t connection;   /**< number of the present connection, or of the last one */
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
	uint8_t nfds; /**< descriptors of the request */
	uint8_t reserved[5];
	/**
	 * Request that negotiated the transport's version on this connection, 0 if none has; set by
	 * the device side, zeroed by the front with the first request of a connection.
	 */
	uint64_t negotiated_seq;
	struct mailbox_stream stream; /**< the front's own */
	/**
	 * The front's: 1: sendmmsg(2)'s message header stands at the end of req while a reply is
	 * being sent (its request is done with), so that the kernel notes there what it has sent.
	 */
	uint32_t tx_noted;
	uint8_t req[MAILBOX_BODY_MAX] __attribute__((aligned(64)));
	uint8_t reply[MAILBOX_BODY_MAX] __attribute__((aligned(64)));
};

#endif /* STATE_MAILBOX_H */
