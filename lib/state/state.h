/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef STATE_STATE_H
#define STATE_STATE_H

/**
 * @file
 * State blocks: what must outlive the process that uses it.
 *
 * A state block is one memfd per device with a versioned, fixed layout: a header, a section table
 * and the sections themselves (PCI configuration space, virtio registers, ring records, mailbox,
 * ...). Libraries define the plain structures that fill a section - no pointers, no descriptors of
 * this process - and bump the section's version when its layout changes. Whoever holds the memfd
 * can map the block again and go on.
 *
 * A block is created and mapped by its owner (the control lcore); sections may be shared with
 * worker lcores and with another process under the rules of the section's own structure.
 */

#include <stddef.h>
#include <stdint.h>

#define STATE_ALIGN	   64u /**< sections start on a cache line */
#define STATE_MAX_SECTIONS 16u
#define STATE_NAME_MAX	   64u

/** Section ids. Never reused for something else. */
enum state_section_id {
	STATE_SEC_DEVICE = 1,  /**< device manager: identity and settings (app/virtnet) */
	STATE_SEC_PCI = 2,     /**< struct pci_fn_state */
	STATE_SEC_VIRTIO = 3,  /**< struct virtio_state */
	STATE_SEC_RINGS = 4,   /**< array of struct ring_record, one per virtqueue */
	STATE_SEC_MAILBOX = 5, /**< struct mailbox */
	STATE_SEC_DMA = 6,     /**< IOVA ranges of the client */
	STATE_SEC_IDENT = 7,   /**< second copy of what does not change of the first section */
	STATE_SEC_TRANSPORT = 8, /**< of a transport without STATE_SEC_PCI: its connection */
};

struct state_section_desc {
	uint16_t id;	  /**< enum state_section_id */
	uint16_t version; /**< layout version of the section, > 0 */
	uint32_t size;	  /**< bytes, > 0 */
};

struct state_block;

/**
 * Create a block in a new memfd, zero-filled, with one section per descriptor.
 *
 * The memfd is sealed against shrinking and growing. Does not block.
 *
 * @param name   for /proc and messages (a VUID), at most STATE_NAME_MAX - 1 characters
 * @return 0; -EINVAL on a bad or repeated descriptor; -ENOSPC past STATE_MAX_SECTIONS; -errno of
 * memfd or mmap
 */
int state_block_create(const char *name, const struct state_section_desc *desc, unsigned int n,
	struct state_block **out);

/**
 * Map a block that another process created. The header, every section's bounds and the header
 * checksum are checked before anything is believed.
 *
 * @param fd  duplicated; the caller keeps its own
 * @return 0; -EBADMSG if it is not an intact block; -EINVAL; -errno
 */
int state_block_open(int fd, struct state_block **out);

/** Unmap and close. Pointers into the block are invalid afterwards. NULL is allowed. */
void state_block_close(struct state_block *blk);

/** The memfd, owned by the block. */
int state_block_fd(const struct state_block *blk);

const char *state_block_name(const struct state_block *blk);

/**
 * A section's memory.
 *
 * @param version  layout that the caller understands
 * @param size     bytes that the caller needs
 * @return the section, or NULL when absent, of another version or too small
 */
void *state_block_section(
	const struct state_block *blk, enum state_section_id id, uint16_t version, size_t size);

/** Version of a section as stored, 0 when absent. */
uint16_t state_block_section_version(const struct state_block *blk, enum state_section_id id);

/**
 * All sections, in their order in the block.
 *
 * @param desc  room for STATE_MAX_SECTIONS
 * @return number
 */
unsigned int state_block_describe(const struct state_block *blk, struct state_section_desc *desc);

/** Where a section begins in the memfd, 0 when absent. */
uint64_t state_block_section_offset(const struct state_block *blk, enum state_section_id id);

#endif /* STATE_STATE_H */
