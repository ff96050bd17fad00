/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_PROTOCOL_H
#define VFIO_USER_PROTOCOL_H

/**
 * @file
 * The vfio-user protocol as it stands on the wire: commands, flags, message layouts and limits.
 *
 * Layouts and names follow QEMU's docs/interop/vfio-user. Fields are in the byte order of the
 * machine (both ends share it: the transport is a UNIX socket). Every structure is the message's
 * *body*; struct vfio_user_header stands before each.
 *
 * What this server answers to a message that it does not carry out:
 *
 * - EINVAL: any command before VERSION; VERSION a second time; DMA_READ and DMA_WRITE (they go from
 *   server to client); a body of another size, too small an argsz, a field, flag, index or count
 *   out of range, too many descriptors; an access past its region or against the region's flags; a
 *   message type that is neither command nor reply.
 * - EINVAL (ENOTSUP for another major version), then disconnect: VERSION that cannot be met or
 *   read.
 * - ENOTSUP: GET_REGION_IO_FDS, DIRTY_PAGES, DEVICE_FEATURE, MIG_DATA_READ, MIG_DATA_WRITE and all
 *   numbers that are no command.
 * - EMSGSIZE: larger than VFIO_USER_MSG_MAX; the body is skipped.
 * - disconnect: a size below that of the header or past VFIO_USER_SKIP_MAX (the next message cannot
 *   be found), or a reply (nothing was asked).
 */

#include <stdint.h>

#include "state/mailbox.h"

#define VFIO_USER_VERSION_MAJOR 0
/** QEMU refuses a server that answers with minor version 1. */
#define VFIO_USER_VERSION_MINOR 0

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	VFIO_USER_DMA_READ = 11,  /**< server to client */
	VFIO_USER_DMA_WRITE = 12, /**< server to client */
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_DIRTY_PAGES = 14,
	VFIO_USER_REGION_WRITE_MULTI = 15,
	VFIO_USER_DEVICE_FEATURE = 16,
	VFIO_USER_MIG_DATA_READ = 17,
	VFIO_USER_MIG_DATA_WRITE = 18,
};

/* struct vfio_user_header flags */
#define VFIO_USER_F_TYPE_MASK	 0xfu
#define VFIO_USER_F_TYPE_COMMAND 0x0u
#define VFIO_USER_F_TYPE_REPLY	 0x1u
#define VFIO_USER_F_NO_REPLY	 0x10u
#define VFIO_USER_F_ERROR	 0x20u

struct vfio_user_header {
	uint16_t id;	  /**< sender's own; echoed in the reply */
	uint16_t command; /**< enum vfio_user_command */
	uint32_t size;	  /**< of the whole message */
	uint32_t flags;	  /**< VFIO_USER_F_ */
	uint32_t error;	  /**< reply with VFIO_USER_F_ERROR: errno */
};

#define VFIO_USER_HEADER_SIZE 16u

/** Largest message taken or sent: what a mailbox holds. */
#define VFIO_USER_BODY_MAX MAILBOX_BODY_MAX
#define VFIO_USER_MSG_MAX  (VFIO_USER_HEADER_SIZE + VFIO_USER_BODY_MAX)
/**
 * Largest message whose body is read and thrown away: a client that believes in the protocol's
 * default max_data_xfer_size (1 MiB) can still be told its mistake; past that it is not a client to
 * talk to.
 */
#define VFIO_USER_SKIP_MAX (1024u * 1024u + 4096u)
/**
 * Data of one access, announced as max_data_xfer_size. QEMU reads a whole configuration space at
 * once.
 */
#define VFIO_USER_XFER_MAX 4096u
/** Descriptors with one message, announced as max_msg_fds. QEMU refuses a server that says more. */
#define VFIO_USER_FDS_MAX MAILBOX_FDS_MAX
/** Announced as max_dma_maps; the protocol's default and QEMU's own limit. */
#define VFIO_USER_DMA_MAPS_MAX 65535u
/** Granularity of DMA maps, announced as pgsizes. */
#define VFIO_USER_PAGE_SIZE 4096u
/** Nesting of the JSON in a VERSION message; what the protocol defines needs three levels. */
#define VFIO_USER_JSON_DEPTH_MAX 16u

/**
 * Regions and interrupt indexes of a PCI device: linux/vfio.h, VFIO_PCI_*_REGION_INDEX,
 * VFIO_PCI_*_IRQ_INDEX.
 */
#define VFIO_USER_PCI_REGIONS 9u
#define VFIO_USER_PCI_IRQS    5u

/** Followed by JSON with its terminating NUL, or by nothing. Same layout both ways. */
struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
};

#define VFIO_USER_DMA_F_READ  0x1u
#define VFIO_USER_DMA_F_WRITE 0x2u

struct vfio_user_dma_map {
	uint32_t argsz; /**< 32; there is no reply body */
	uint32_t flags; /**< VFIO_USER_DMA_F_ */
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};

/** Everything at once, address and size 0. Not in the protocol's text, but QEMU sends it. */
#define VFIO_USER_DMA_UNMAP_F_ALL 0x2u

/** The reply repeats the request. */
struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags; /**< VFIO_USER_DMA_UNMAP_F_ALL or 0 */
	uint64_t address;
	uint64_t size;
};

#define VFIO_USER_DEVICE_F_RESET 0x1u
#define VFIO_USER_DEVICE_F_PCI	 0x2u

struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags; /**< VFIO_USER_DEVICE_F_ */
	uint32_t num_regions;
	uint32_t num_irqs;
};

#define VFIO_USER_REGION_F_READ	 0x1u
#define VFIO_USER_REGION_F_WRITE 0x2u

struct vfio_user_region_info {
	uint32_t argsz;
	uint32_t flags; /**< VFIO_USER_REGION_F_ */
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};

#define VFIO_USER_IRQ_F_EVENTFD	   0x1u
#define VFIO_USER_IRQ_F_MASKABLE   0x2u
#define VFIO_USER_IRQ_F_AUTOMASKED 0x4u
/** Makes QEMU disable every vector to add one; interrupts between are lost. Not used. */
#define VFIO_USER_IRQ_F_NORESIZE 0x8u

struct vfio_user_irq_info {
	uint32_t argsz;
	uint32_t flags; /**< VFIO_USER_IRQ_F_ */
	uint32_t index;
	uint32_t count;
};

#define VFIO_USER_IRQ_SET_DATA_NONE	 0x1u
#define VFIO_USER_IRQ_SET_DATA_BOOL	 0x2u
#define VFIO_USER_IRQ_SET_DATA_EVENTFD	 0x4u
#define VFIO_USER_IRQ_SET_ACTION_MASK	 0x8u
#define VFIO_USER_IRQ_SET_ACTION_UNMASK	 0x10u
#define VFIO_USER_IRQ_SET_ACTION_TRIGGER 0x20u
#define VFIO_USER_IRQ_SET_DATA_MASK	 0x7u
#define VFIO_USER_IRQ_SET_ACTION_ANY	 0x38u

/** Followed by `count` bytes with DATA_BOOL. */
struct vfio_user_irq_set_msg {
	uint32_t argsz; /**< size of the body; there is no reply body */
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

/** REGION_READ and REGION_WRITE; data follow in the read's reply and in the write. */
struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

/**
 * One of REGION_WRITE_MULTI, whose body is a 64-bit number of them, then they. The reply is the
 * number done.
 */
struct vfio_user_write_one {
	uint64_t offset;
	uint32_t region;
	uint32_t count; /**< 1..8 */
	uint8_t data[8];
};

_Static_assert(sizeof(struct vfio_user_header) == VFIO_USER_HEADER_SIZE, "layout");
_Static_assert(sizeof(struct vfio_user_dma_map) == 32, "layout");
_Static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "layout");
_Static_assert(sizeof(struct vfio_user_device_info) == 16, "layout");
_Static_assert(sizeof(struct vfio_user_region_info) == 32, "layout");
_Static_assert(sizeof(struct vfio_user_irq_info) == 16, "layout");
_Static_assert(sizeof(struct vfio_user_irq_set_msg) == 20, "layout");
_Static_assert(sizeof(struct vfio_user_region_access) == 16, "layout");
_Static_assert(sizeof(struct vfio_user_write_one) == 24, "layout");

#endif /* VFIO_USER_PROTOCOL_H */
