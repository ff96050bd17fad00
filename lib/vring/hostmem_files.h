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
#include "vring/hostmem_budget.h"

struct hostmem_file {
	uint32_t gen;  /**< odd: mapped. Changes with each use, so that a fault handler notices */
	uint32_t refs; /**< 0: free, or being unmapped by the thread that dropped the last one */
	uint8_t *va;
	uint64_t len;  /**< mapped bytes, whole pages of the file system */
	uint64_t size; /**< bytes of the file that the mapping covers */
	uint32_t maps; /**< mappings that it takes in the kernel: more than 1 if gathered */
	dev_t dev;
	ino_t ino;
	struct hostmem_file *next; /**< of the same bucket; the control lcore's */
	bool hashed;		   /**< in the bucket of dev and ino, mapped or not any more */
	bool writable;
	bool lost;		       /**< truncated under us; zero pages stand in for it */
	struct hostmem_budget *budget; /**< that it counts in */
};

/** What a descriptor turned out to be. */
struct hostmem_file_info {
	dev_t dev;
	ino_t ino;
	uint64_t size; /**< bytes that are to be mapped */
	uint64_t page;
	bool writable;
};

struct hostmem_budget *hostmem_files_budget(struct hostmem_files *files);

/**
 * May [off, off + len) of the file be mapped with these rights? Control lcore; may block.
 *
 * @param size  bytes that are to be mapped at most, 0: the whole file
 * @return 0 or -errno as hostmem_map() says
 */
int hostmem_file_inspect(struct hostmem_files *files, int fd, uint64_t off, uint64_t len, int prot,
	uint64_t size, struct hostmem_file_info *info);

/** Bytes that a mapping of it takes. */
uint64_t hostmem_file_len(const struct hostmem_file_info *info);

/**
 * A mapping of the file that reaches up to `end` and has these rights, with one more reference.
 * Control lcore.
 * @return NULL: there is none
 */
struct hostmem_file *hostmem_file_find(
	struct hostmem_files *files, const struct hostmem_file_info *info, uint64_t end, int prot);

/** Make one, with a reference. Control lcore; may block. @return 0; -ENOMEM; -errno of mmap() */
int hostmem_file_map(struct hostmem_files *files, int fd, const struct hostmem_file_info *info,
	int prot, struct hostmem_file **out);

/**
 * Take over a mapping that came about otherwise: faults in it are met as in a file's. It is never
 * found by hostmem_file_find(). Control lcore.
 *
 * @param maps  mappings in the kernel
 * @return with one reference, which ends the mapping; NULL: out of memory
 */
struct hostmem_file *hostmem_file_adopt(
	struct hostmem_files *files, uint8_t *va, uint64_t len, uint32_t maps);

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
