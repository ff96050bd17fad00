/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef HA_MSG_H
#define HA_MSG_H

/**
 * @file
 * What keeper and emu process say to each other.
 *
 * A SOCK_SEQPACKET socket pair, one message per packet: struct ha_msg, of which only the used part
 * is sent, with descriptors by SCM_RIGHTS. Descriptors that are sent stay the sender's; those that
 * are received belong to the receiver. Messages in one direction keep their order; this is what
 * makes a request's descriptors known to the keeper before its reply goes out.
 *
 * A process's life, keeper K and emu process E:
 *
 *	E: HELLO			version, layouts understood; fence entered, EAL is up
 *	K: WELCOME			E stays parked: it owns no device, answers no command
 *	K: ACTIVATE			E becomes the active process:
 *	K: ADOPT, FDS..., ADOPT_END	for each device; E: ADOPTED
 *	K: ACTIVE			all are there. E opens its command socket under its usual name
 *
 * A device's life (E -> K unless noted; every message names it by its handle):
 *
 *	OPEN			K listens at the socket; K answers OPENED
 *	NOTIFY, KICK		doorbells
 *	STORE, DROP		descriptors that must outlive E
 *	K: CONNECTED		a client is there
 *	K: REQUEST		one stands in the mailbox, with its descriptors
 *	REPLY			it is answered in the mailbox; K sends the reply
 *	K: DISCONNECTED		the client has gone; E cleans up, then GONE_DONE
 *	DISCONNECT		K ends the connection
 *	CLOSE			K closes everything of the device; K answers CLOSED
 *
 * Hand-over of one device from the old process O to the new one N:
 *
 *	K -> O: RELEASE		O quiesces the device and forgets it; O: RELEASED
 *	K -> N: ADOPT ...	N: ADOPTED
 *
 * What stands (request, disconnect) is told again to whoever adopts the device.
 *
 * Keeper and emu process may be of different versions, so this file is an ABI:
 * - A structure only grows at its end. The receiver reads fields that an older peer does not send
 *   as 0, and ignores those that it does not know itself. The length of version 1 is the least
 *   that is accepted, for ever (msg.c; test_ha_msg holds every offset).
 * - Numbers keep their meaning. A new meaning gets a new type, which may be sent only to a peer
 *   that has shown that it knows it: by a field appended to HELLO or WELCOME, or by a message
 *   that only such a peer sends. A type that is not known is -EPROTO.
 * - HA_PROTO_VERSION changes only when none of this suffices: then the two do not talk.
 */

#include <stdint.h>

#define HA_PROTO_VERSION 1
#define HA_FDS_MAX	 64u /**< with one message; the kernel's limit is 253 */
#define HA_PATH_MAX	 108u /**< of a socket, with NUL */
#define HA_NAME_MAX	 64u
#define HA_TEXT_MAX	 256u
#define HA_LAYOUTS_MAX	 16u

/** Inherited descriptors of an emu process: command line options name them. */
#define HA_OPT_SOCKET "keeper-socket" /**< --keeper-socket=FD */
#define HA_OPT_FENCE  "keeper-fence"  /**< --keeper-fence=FD */
/** Option of a process with role HA_ROLE_CONVERT, beside the two. */
#define HA_OPT_CONVERT "convert-blocks"

enum ha_msg_type {
	/* emu -> keeper */
	HA_HELLO = 1,	   /**< u.hello; first message */
	HA_OPEN = 2,	   /**< u.open; fd: state block */
	HA_CLOSE = 3,	   /**< no argument */
	HA_REPLY = 4,	   /**< no argument */
	HA_GONE_DONE = 5,  /**< no argument */
	HA_DISCONNECT = 6, /**< no argument */
	HA_NOTIFY = 7,	   /**< u.notify */
	HA_KICK = 8,	   /**< u.kick; fd: eventfd, or none */
	HA_STORE = 9,	   /**< u.slot (count = number of fds, from index on); fds */
	HA_DROP = 10,	   /**< u.slot: kind, index, count */
	HA_RELEASED = 11,  /**< u.result; 0: the device is the keeper's; else it stays */
	HA_ADOPTED = 12,   /**< u.result; 0 or -errno: the keeper may try another process */
	HA_BLOCK = 13,	   /**< fd: the state block, converted; kept beside the former */
	HA_HANDOVER = 14,  /**< u.handover: an operator asks for it */
	HA_CONVERTED = 15, /**< u.result; fd: the block; of a process with role CONVERT */
	HA_STOPPED = 16,   /**< all devices are closed, the process is about to end */

	/* keeper -> emu */
	HA_WELCOME = 64,      /**< u.status: the last hand-over */
	HA_ACTIVATE = 65,     /**< no argument */
	HA_ADOPT = 66,	      /**< u.adopt; fd: state block */
	HA_FDS = 67,	      /**< u.fds; fds: descriptors that were stored */
	HA_ADOPT_END = 68,    /**< no argument */
	HA_ACTIVE = 69,	      /**< no argument */
	HA_OPENED = 70,	      /**< u.result */
	HA_CLOSED = 71,	      /**< everything of the device is closed, its TAP gone */
	HA_CONNECTED = 72,    /**< no argument */
	HA_DISCONNECTED = 73, /**< no argument */
	HA_REQUEST = 74,      /**< fds: those of the request */
	HA_RELEASE = 75,      /**< no argument */
	HA_MIGRATE = 76,      /**< u.result.err: 1 a hand-over begins, 0 it has ended */
	HA_STATUS = 77,	      /**< u.status: a hand-over has begun or ended */
	HA_STOP = 78,	      /**< close all devices, then STOPPED and exit */
	HA_EXIT = 79,	      /**< the process owns nothing any more: _exit() at once */
	HA_CONVERT = 80,      /**< u.hello.layouts wanted; fd: block; role CONVERT */
};

/** Descriptors of a device that outlive the process. */
enum ha_fd_kind {
	HA_FD_BLOCK = 0,   /**< state block (keeper's own use) */
	HA_FD_LISTEN = 1,  /**< listening socket (keeper only) */
	HA_FD_CONN = 2,	   /**< the connection (keeper only) */
	HA_FD_REQUEST = 3, /**< of the request that stands, by position (keeper only) */
	HA_FD_KICK = 4,	   /**< eventfd per virtqueue */
	HA_FD_DMA = 5,	   /**< file of the client's memory, by the index in section DMA */
	HA_FD_MSIX = 6,	   /**< eventfd per vector */
	HA_FD_INTX = 7,	   /**< index 0 */
	HA_FD_SF = 8,	   /**< SF driver's own, e.g. TAP queues */
	HA_FD_TRANSPORT = 9, /**< emu driver's own */
	HA_FD_KINDS
};

enum ha_role {
	HA_ROLE_EMU,	 /**< an EAL process that serves devices */
	HA_ROLE_CONVERT, /**< converts state blocks, no EAL (--convert-blocks) */
};

struct ha_layout {
	uint16_t section; /**< enum state_section_id */
	uint16_t version; /**< written by this process */
};

struct ha_hello {
	uint32_t proto;
	uint32_t role; /**< enum ha_role */
	int32_t pid;
	uint32_t n_layouts;
	struct ha_layout layout[HA_LAYOUTS_MAX];
	char version[HA_NAME_MAX]; /**< of the program, as --version prints it */
	uint32_t eal_us;	   /**< the start of EAL took; 0: it does not say */
	uint32_t pools_us;	   /**< making the packet buffers did; 0 as well */
};

struct ha_open {
	char transport[HA_NAME_MAX]; /**< emu driver's name */
	char vuid[HA_NAME_MAX];
	char path[HA_PATH_MAX];
	uint32_t mode; /**< of the socket file */
	int32_t gid;   /**< -1: leave */
	uint32_t max_queues;
	uint32_t any_fd; /**< client memory on any file system */
};

struct ha_notify {
	uint32_t region;
	uint32_t multiplier;
	uint64_t offset;
	uint64_t size; /**< 0: none */
};

struct ha_kick {
	uint32_t queue;
	uint32_t mode; /**< enum ha_kick_mode */
};

enum ha_kick_mode {
	HA_KICK_NONE,	 /**< dropped; fd: none */
	HA_KICK_EVENTFD, /**< signalled; fd: the eventfd, kept as HA_FD_KICK */
	HA_KICK_FORWARD, /**< passed on as a request */
};

struct ha_slot {
	uint32_t kind; /**< enum ha_fd_kind */
	uint32_t index;
	uint32_t count;
};

/** u.slot of each descriptor, as many as come with the message. */
struct ha_fds {
	uint32_t n;
	struct {
		uint16_t kind;
		uint16_t index;
	} slot[HA_FDS_MAX];
};

enum ha_adopt_flag {
	HA_ADOPT_CONNECTED = 1u << 0,  /**< a client is connected */
	HA_ADOPT_REQUEST = 1u << 1,    /**< a request stands: REQUEST follows ADOPT_END */
	HA_ADOPT_GONE = 1u << 2,       /**< a disconnect was not cleaned up: DISCONNECTED follows */
	HA_ADOPT_POISON_REQUEST = 1u << 3, /**< the request crashes whoever handles it: refuse it */
	HA_ADOPT_POISON_QUEUE = 1u << 4,   /**< `queue` does: the device needs a reset */
	HA_ADOPT_POISON_BLOCK = 1u << 5,   /**< adopting it does: start from a new block */
	HA_ADOPT_CRASHED = 1u << 6,    /**< after a crash, not a hand-over */
};

struct ha_adopt {
	uint32_t flags; /**< enum ha_adopt_flag */
	uint32_t queue;
	struct ha_open open; /**< last: what is appended to it is appended here */
};

struct ha_result {
	int32_t err; /**< 0 or -errno */
	uint32_t flags; /**< ADOPTED: 1 the device was reset because its block was damaged */
	char text[HA_TEXT_MAX];
};

enum ha_handover_kind {
	HA_HANDOVER_RESTART,
	HA_HANDOVER_UPDATE,
};

struct ha_handover {
	uint32_t kind; /**< enum ha_handover_kind */
};

/** State of hand-overs, for commands. */
struct ha_status {
	uint32_t ongoing;
	uint32_t kind;	 /**< of the present or last one */
	int32_t last;	 /**< its result: 0, -errno; 1: there was none */
	uint32_t devices;
	uint64_t time_us; /**< it took */
	uint64_t gap_us;  /**< longest time that one device was with nobody */
	char from[HA_NAME_MAX], to[HA_NAME_MAX]; /**< versions */
	char text[HA_TEXT_MAX]; /**< why it failed */
};

struct ha_msg {
	uint16_t type; /**< enum ha_msg_type */
	uint16_t len;  /**< bytes of u that are sent; sending 0 means all that the type uses */
	uint32_t device; /**< handle: chosen by the process that opens it, > 0, never used again */
	union {
		struct ha_hello hello;
		struct ha_open open;
		struct ha_notify notify;
		struct ha_kick kick;
		struct ha_slot slot;
		struct ha_fds fds;
		struct ha_adopt adopt;
		struct ha_result result;
		struct ha_handover handover;
		struct ha_status status;
	} u;
};

#define HA_MSG_HEADER (sizeof(uint16_t) * 2 + sizeof(uint32_t))

/**
 * Longest packet of any version. What a newer peer's longer message says beyond what is known here
 * must still fit the buffer, or it could not be told from a broken one.
 */
#define HA_PACKET_MAX 4096u

#endif /* HA_MSG_H */
