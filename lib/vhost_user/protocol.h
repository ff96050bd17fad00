/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VHOST_USER_PROTOCOL_H
#define VHOST_USER_PROTOCOL_H

/**
 * @file
 * The vhost-user protocol as it stands on the wire: requests, flags, message layouts and limits.
 *
 * Layouts and names follow QEMU's docs/interop/vhost-user. Fields are in the byte order of the
 * machine (both ends share it: the transport is a UNIX socket). Every structure is the message's
 * *body*; struct vhost_user_header stands before each.
 *
 * The protocol can tell a client of an error only where the client has asked for it (need_reply).
 * What this server does with a message that it does not carry out:
 *
 * - a reply other than 0 to a message with need_reply that gets no other reply. GET_CONFIG: a reply
 *   without a body.
 * - NET_SET_MTU, SEND_RARP, SET_CONFIG without need_reply: nothing, the device works on.
 * - everything else ends the connection: a client that believes its memory table or its rings set
 *   up would wait for ever. So do, whatever was asked for, a message of another version than 1, a
 *   reply (nothing was asked), a body past VHOST_USER_BODY_MAX, more descriptors than
 *   VHOST_USER_FDS_MAX and one that is neither memory nor an eventfd (SET_BACKEND_REQ_FD: one that
 *   is no connected UNIX stream socket).
 */

#include <stdint.h>

#include "state/mailbox.h"

#define VHOST_USER_VERSION 0x1u

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4, /**< deprecated; nothing happens */
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_SET_VRING_ENDIAN = 23,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_CREATE_CRYPTO_SESSION = 26,
	VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_VRING_KICK = 35,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
};

/** Requests of the server to the client, on the channel of SET_BACKEND_REQ_FD. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
};

/* struct vhost_user_header flags */
#define VHOST_USER_F_VERSION_MASK 0x3u
#define VHOST_USER_F_REPLY	  0x4u
#define VHOST_USER_F_NEED_REPLY	  0x8u

struct vhost_user_header {
	uint32_t request; /**< enum vhost_user_request, repeated in the reply */
	uint32_t flags;	  /**< VHOST_USER_VERSION | VHOST_USER_F_ */
	uint32_t size;	  /**< of the body */
};

#define VHOST_USER_HEADER_SIZE 12u

/* As in <linux/vhost_types.h>, which defines a struct vring of its own. */
#ifndef VHOST_F_LOG_ALL
#define VHOST_F_LOG_ALL	  26 /**< feature: write the dirty log */
#define VHOST_VRING_F_LOG 0  /**< bit of struct vhost_user_vring_addr.flags */
#endif

/** Feature bit by which both ends know that there are protocol features. No driver ever sees it. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vhost_user_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
};

#define VHOST_USER_PROTOCOL_BIT(name) (UINT64_C(1) << VHOST_USER_PROTOCOL_F_##name)

/**
 * What this library can do. INFLIGHT_SHMFD is not among it: a network device completes in order,
 * its used index tells all. Nor is what would need an IOTLB, postcopy or legacy byte orders.
 */
#define VHOST_USER_PROTOCOL_FEATURES                                                               \
	(VHOST_USER_PROTOCOL_BIT(MQ) | VHOST_USER_PROTOCOL_BIT(LOG_SHMFD) |                        \
		VHOST_USER_PROTOCOL_BIT(RARP) | VHOST_USER_PROTOCOL_BIT(REPLY_ACK) |               \
		VHOST_USER_PROTOCOL_BIT(MTU) | VHOST_USER_PROTOCOL_BIT(BACKEND_REQ) |              \
		VHOST_USER_PROTOCOL_BIT(CONFIG) | VHOST_USER_PROTOCOL_BIT(RESET_DEVICE) |          \
		VHOST_USER_PROTOCOL_BIT(CONFIGURE_MEM_SLOTS) | VHOST_USER_PROTOCOL_BIT(STATUS))

/** Largest body taken or sent. The protocol's largest is a memory table or a configuration space.
 */
#define VHOST_USER_BODY_MAX 1024u
/** Regions of one SET_MEM_TABLE; the protocol's own limit. */
#define VHOST_USER_TABLE_MAX 8u
/** Descriptors with one message: one per region of a memory table. */
#define VHOST_USER_FDS_MAX 8u
/** Regions by ADD_MEM_REG: what QEMU can use on x86 (its ACPI tables' slots). */
#define VHOST_USER_SLOTS_MAX 512u
/** Rings of a device: the ring's number has 8 bits in SET_VRING_KICK. */
#define VHOST_USER_RINGS_MAX 256u
/** Entries of a ring; virtio's own limit. */
#define VHOST_USER_RING_SIZE_MAX 32768u
/** Bytes of configuration space in one message; the protocol's own limit. */
#define VHOST_USER_CONFIG_MAX 256u
/** A bit of the log stands for so many bytes of guest memory. */
#define VHOST_USER_LOG_PAGE 4096u

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

/** Addresses are the client's own virtual ones, but for log: a guest address. */
struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags; /**< 1 << VHOST_VRING_F_LOG: log writes to the used ring */
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

/* SET_VRING_KICK, _CALL, _ERR: a 64-bit number */
#define VHOST_USER_VRING_INDEX_MASK 0xffu
#define VHOST_USER_VRING_NOFD	    0x100u /**< no descriptor comes along: polling */

struct vhost_user_mem_region {
	uint64_t guest_addr;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

/** SET_MEM_TABLE; only the regions that exist need to be there. */
struct vhost_user_mem_table {
	uint32_t n;
	uint32_t padding;
	struct vhost_user_mem_region region[VHOST_USER_TABLE_MAX];
};

/** ADD_MEM_REG, REM_MEM_REG. */
struct vhost_user_mem_single {
	uint64_t padding;
	struct vhost_user_mem_region region;
};

struct vhost_user_log {
	uint64_t size;
	uint64_t offset;
};

#define VHOST_USER_CONFIG_WRITABLE  0u /**< SET_CONFIG by the driver */
#define VHOST_USER_CONFIG_MIGRATION 1u /**< SET_CONFIG of a device that has moved here */

/** GET_CONFIG, SET_CONFIG; so many bytes of data follow, in GET_CONFIG's request as well. */
struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
};

_Static_assert(sizeof(struct vhost_user_header) == VHOST_USER_HEADER_SIZE, "layout");
_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "layout");
_Static_assert(sizeof(struct vhost_user_mem_table) == 264, "layout");
_Static_assert(sizeof(struct vhost_user_mem_single) == 40, "layout");
_Static_assert(sizeof(struct vhost_user_config) == 12, "layout");
_Static_assert(VHOST_USER_BODY_MAX <= MAILBOX_BODY_MAX, "a message fits the mailbox");
_Static_assert(VHOST_USER_FDS_MAX <= MAILBOX_FDS_MAX, "its descriptors do, too");

#endif /* VHOST_USER_PROTOCOL_H */
