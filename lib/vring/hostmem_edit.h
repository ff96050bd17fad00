/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_HOSTMEM_EDIT_H
#define VRING_HOSTMEM_EDIT_H

/**
 * @file
 * Inside lib/vring: the control lcore's side of a device's host-memory table, which hostmem.c
 * (ranges, snapshots) and hostmem_use.c (the files below them) share.
 */

#include "vring/hostmem_files.h"

#define HOSTMEM_USE_BUCKETS 64u

/**
 * This device's use of a file: one reference, however many ranges. Ranges know it by its number, so
 * that removing tens of thousands at once does not search for each.
 */
struct file_use {
	struct file_use *next; /**< of the same bucket, or in the list of dropped ones */
	struct hostmem_file *file;
	uint32_t ranges; /**< 0: an area (hostmem_gather(), hostmem_area()) */
	uint32_t number;
};

struct hostmem_edit {
	struct hostmem_files *files;
	struct hostmem_slice *slice;
	uint32_t n_slices;
	uint32_t cap;
	uint32_t n_ranges;
	uint32_t n_files;
	uint64_t gen;
	bool dirty;
	struct hostmem_cost cost; /**< of all uses */
	struct hostmem_refusal refusal;
	struct file_use *use[HOSTMEM_MAX_FILES];      /**< by number; NULL: free */
	struct file_use *bucket[HOSTMEM_USE_BUCKETS]; /**< by file */
	/* what snapshots up to the one in force may still show */
	struct file_use *dropped_uses;
	struct hostmem_chunk *dropped_chunks;
};

/** Where a range's memory is to be found. */
struct hostmem_source {
	int fd;		      /**< -1: nowhere */
	const uint64_t *like; /**< NULL, or instead of the descriptor: of the same file */
	uint64_t size;	      /**< bytes of the file that are to be mapped, 0: all */
	bool adopt;	      /**< limits have been asked before, by another process */
};

/** The region that begins last at or before an address, published or not; NULL: none. */
const struct hostmem_region *hostmem_edit_find(const struct hostmem_edit *e, uint64_t iova);

/** The use of the source's file with one more range on it. @return 0; -errno as hostmem_map() */
int hostmem_use_get(struct hostmem_edit *e, const struct hostmem_source *from, uint64_t off,
	uint64_t len, int prot, struct file_use **out);
/** One range less. */
void hostmem_use_put(struct hostmem_edit *e, uint32_t number);
/** Readers may still be in the file: it goes with the snapshot. */
void hostmem_use_drop(struct hostmem_edit *e, struct file_use *use);
/** Give up the files of a list of dropped uses. Any one thread; may block. */
void hostmem_uses_free(struct file_use *use);

#endif /* VRING_HOSTMEM_EDIT_H */
