/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_HOSTMEM_FILES_H
#define VRING_HOSTMEM_FILES_H

/**
 * @file
 * Inside lib/vring: clients' files mapped into this process, each whole and once.
 *
 * References are taken on the control lcore only and may be dropped by any thread; the thread that
 * drops the last one unmaps. A fault handler may look at the table at any moment, so entries never
 * move and are never freed while the table lives.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vring/hostmem.h"

struct hostmem_file {
	uint32_t gen;  /**< odd: mapped. Changes with each use, so that a fault handler notices */
	uint32_t refs; /**< 0: free, or being unmapped by the thread that dropped the last one */
	uint8_t *va;
	uint64_t len;  /**< mapped bytes, whole pages of the file system */
	uint64_t size; /**< bytes of the file that the mapping covers */
	dev_t dev;
	ino_t ino;
	struct hostmem_file *next; /**< of the same bucket; the control lcore's */
	bool hashed;		   /**< in the bucket of dev and ino, mapped or not any more */
	bool writable;
	bool lost; /**< truncated under us; zero pages stand in for it */
};

/**
 * Find or make a mapping that covers [off, off + len) of the file with these rights, and take a
 * reference. Control lcore; may block.
 *
 * @return 0 or -errno as hostmem_map() says
 */
int hostmem_file_get(struct hostmem_files *files, int fd, uint64_t off, uint64_t len, int prot,
	struct hostmem_file **out);

/**
 * Take over a mapping that came about otherwise: faults in it are met as in a file's. It is never
 * found by hostmem_file_get(). Control lcore.
 *
 * @return with one reference, which ends the mapping; NULL: out of memory
 */
struct hostmem_file *hostmem_file_adopt(struct hostmem_files *files, uint8_t *va, uint64_t len);

/** Drop a reference. Any thread; may block. */
void hostmem_file_put(struct hostmem_file *file);

/** Has any file of any client been lost? A quick look before the slow one. */
bool hostmem_files_any_lost(const struct hostmem_files *files);

static inline bool
hostmem_file_lost(const struct hostmem_file *file)
{
	return __atomic_load_n(&file->lost, __ATOMIC_ACQUIRE);
}

#endif /* VRING_HOSTMEM_FILES_H */
