/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_DMA_H
#define APP_DEVICE_DMA_H

/**
 * @file
 * Section STATE_SEC_DMA: the client's memory ranges, for a successor of this process.
 *
 * A range stands in an entry that is valid from the store of its `valid` on. Its file is named by a
 * slot: the keeper holds a descriptor of each file, once, however many ranges lie in it. Ranges are
 * found in O(log n), since a virtual IOMMU maps page by page and waits for each answer.
 *
 * Requests are idempotent by the number that they have in the mailbox: one that a predecessor
 * carried out, but did not live to answer, succeeds without being carried out again.
 *
 * Control lcore only.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vring/hostmem.h"

#define DEVICE_DMA_VERSION 2
#define DEVICE_DMA_NO_FILE 0xffffu /**< a range without memory */

struct device_dma_range {
	uint64_t iova;
	uint64_t len;
	uint64_t off;  /**< in the file */
	uint32_t seq;  /**< of the request that mapped it, low half */
	uint16_t file; /**< slot, DEVICE_DMA_NO_FILE */
	uint8_t prot;  /**< HOSTMEM_READ, HOSTMEM_WRITE */
	_Atomic uint8_t valid;
};

struct device_dma_state {
	uint64_t unmap_seq; /**< of the unmap that was begun last */
	uint32_t high;	    /**< entries from here on have never been valid */
	uint32_t reserved[13];
	/**
	 * Bytes that are mapped of each slot's file, 0: not known. A successor maps no more: a
	 * client may have made it larger since, and what all devices have mapped has a limit.
	 */
	uint64_t file_size[HOSTMEM_MAX_FILES];
	struct device_dma_range range[HOSTMEM_MAX_RANGES];
};

/** Who keeps the files' descriptors. */
struct device_dma_ops {
	/** The descriptor stays the caller's. */
	void (*store)(void *ctx, unsigned int slot, int fd);
	void (*drop)(void *ctx, unsigned int slot);
};

struct device_dma;

/**
 * This process's view of the section, which is empty (zero).
 * @return 0; -ENOMEM
 */
int device_dma_create(struct device_dma_state *state, const struct device_dma_ops *ops, void *ctx,
	struct device_dma **out);
/** The section and the kept descriptors stay. NULL is allowed. */
void device_dma_destroy(struct device_dma *dma);

/**
 * Has the request `seq` mapped this range already?
 */
bool device_dma_mapped(const struct device_dma *dma, uint64_t seq, uint64_t iova, uint64_t len);

/**
 * Remember a range that hostmem_map() has accepted: it overlaps no other.
 * @param fd    its file, or -1; stays the caller's
 * @param size  bytes that are mapped of the file (hostmem_mapped_size())
 * @return 0; -ENOSPC too many files or ranges; -ENOMEM; -errno of fstat()
 */
int device_dma_map(struct device_dma *dma, uint64_t seq, uint64_t iova, uint64_t len, int fd,
	off_t off, int prot, uint64_t size);

/** Was the unmap of request `seq` begun before? Finding nothing to unmap is then no error. */
bool device_dma_unmapped(const struct device_dma *dma, uint64_t seq);
/** Forget every range in [iova, iova + len), which hostmem_unmap() has accepted. */
void device_dma_unmap(struct device_dma *dma, uint64_t seq, uint64_t iova, uint64_t len);
/** Forget all. */
void device_dma_unmap_all(struct device_dma *dma, uint64_t seq);

unsigned int device_dma_ranges(const struct device_dma *dma);

/**
 * Take up what a predecessor has left: enter all ranges in hm (to be published by the caller). Of
 * no file more is mapped than the predecessor had, and no limit is asked again (hostmem_adopt()).
 *
 * @param fds  descriptor by slot, HOSTMEM_MAX_FILES entries, -1: none; they stay the caller's.
 * Those in which no range lies are dropped from the keeper.
 * @return 0; > 0: so many ranges are without memory from now on, since their file is missing, too
 *         short or cannot be mapped; -EBADMSG if the section cannot be right: nothing is left,
 *         some ranges may be in hm; -errno of hostmem_adopt(), the same
 */
int device_dma_adopt(struct device_dma *dma, struct hostmem *hm, const int *fds);

#endif /* APP_DEVICE_DMA_H */
