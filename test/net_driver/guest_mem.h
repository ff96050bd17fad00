/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_DRIVER_GUEST_MEM_H
#define NET_DRIVER_GUEST_MEM_H

/**
 * @file
 * Memory that devices can reach: one file for all of them, as a guest's RAM is. Taken piece by
 * piece, given back as a whole. What goes wrong ends the program with a message.
 */

#include <stdbool.h>
#include <stdint.h>

struct guest_mem {
	int fd;
	uint8_t *va;
	uint64_t size, used;
	uint64_t iova;
};

/** A sparse file of that size; populate: all of its pages are there. */
void guest_mem_create(struct guest_mem *mem, uint64_t size, bool populate);
void guest_mem_destroy(struct guest_mem *mem);

/** @return address for devices, of a cache line's alignment */
uint64_t guest_mem_alloc(struct guest_mem *mem, uint64_t size);

/** The same memory for this program. */
static inline void *
guest_mem_va(const struct guest_mem *mem, uint64_t iova)
{
	return mem->va + (iova - mem->iova);
}

#endif /* NET_DRIVER_GUEST_MEM_H */
