/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A memfd that stands for a guest's RAM. */

#include "guest_mem.h"

#include <err.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_common.h>

/* Above 4 GiB, so that nothing works by cutting addresses short. */
#define MEM_IOVA  (UINT64_C(1) << 32)
#define MEM_ALIGN 4096u

void
guest_mem_create(struct guest_mem *mem, uint64_t size, bool populate)
{
	*mem = (struct guest_mem){.size = RTE_ALIGN_CEIL(size, MEM_ALIGN), .iova = MEM_IOVA};
	mem->fd = memfd_create("virtnet-guest", MFD_CLOEXEC);
	if (mem->fd < 0 || ftruncate(mem->fd, (off_t)mem->size) != 0)
		err(EXIT_FAILURE, "memfd");
	mem->va = mmap(NULL, mem->size, PROT_READ | PROT_WRITE,
		MAP_SHARED | (populate ? MAP_POPULATE : 0), mem->fd, 0);
	if (mem->va == MAP_FAILED)
		err(EXIT_FAILURE, "mmap of %" PRIu64 " bytes", mem->size);
}

void
guest_mem_destroy(struct guest_mem *mem)
{
	munmap(mem->va, mem->size);
	close(mem->fd);
}

uint64_t
guest_mem_alloc(struct guest_mem *mem, uint64_t size)
{
	const uint64_t at = mem->used;

	mem->used += RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE);
	if (mem->used > mem->size)
		errx(EXIT_FAILURE, "%" PRIu64 " bytes of memory are too few", mem->size);
	return mem->iova + at;
}
