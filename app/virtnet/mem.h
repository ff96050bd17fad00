/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_MEM_H
#define APP_MEM_H

/**
 * @file
 * Memory for the steps of state machines.
 */

#include <stdlib.h>

#include <rte_debug.h>

/**
 * Zeroed memory, to be freed with free(). A step that is already under way cannot be given up:
 * somebody's request would stay unanswered and what workers let go of would be lost. Such steps are
 * small; a process that has no room for one ends. No client can bring that about: what its memory
 * takes of the process's addresses has a limit (HOSTMEM_SPACE_ALL), what is sent has others.
 */
static inline void *
must_zalloc(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL)
		rte_panic("out of memory\n");
	return p;
}

#endif /* APP_MEM_H */
