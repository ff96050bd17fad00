/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_HOSTMEM_BUDGET_H
#define VRING_HOSTMEM_BUDGET_H

/**
 * @file
 * Inside lib/vring: what clients' memory may take of the process's addresses and mappings
 * (HOSTMEM_SPACE_*, HOSTMEM_MAPS_* in hostmem.h).
 *
 * The rules name sums over all devices, not an order, so that who takes up all devices of another
 * process comes to what that one had. It does not even ask (hostmem_adopt()), since what is let in
 * again was let in before.
 *
 * Control lcore only, but for hostmem_budget_unmapped().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What mappings take. */
struct hostmem_cost {
	uint64_t bytes;
	uint32_t maps;
};

/** What all devices take. */
struct hostmem_budget {
	uint64_t mapped; /**< bytes, of each mapping once; any thread */
	uint64_t shares; /**< bytes that devices have within HOSTMEM_SPACE_SHARE */
	uint32_t open;	 /**< mappings that devices have beyond HOSTMEM_MAPS_SHARE */
};

/** Why a device gets no more. */
struct hostmem_refusal {
	char text[128]; /**< empty: nothing was refused */
};

/**
 * May a device that has `has` get a mapping of its own, or share one that is there?
 * @return 0; -ENOSPC, *why says which limit
 */
int hostmem_budget_ask(const struct hostmem_budget *b, const struct hostmem_cost *has,
	const struct hostmem_cost *more, bool shared, struct hostmem_refusal *why);

/** The device has it now, has it no more. */
void hostmem_budget_take(
	struct hostmem_budget *b, struct hostmem_cost *has, const struct hostmem_cost *more);
void hostmem_budget_give(
	struct hostmem_budget *b, struct hostmem_cost *has, const struct hostmem_cost *less);

/** So many bytes are mapped. Those that are unmapped any thread may tell. */
void hostmem_budget_mapped(struct hostmem_budget *b, uint64_t bytes);
void hostmem_budget_unmapped(struct hostmem_budget *b, uint64_t bytes);

#endif /* VRING_HOSTMEM_BUDGET_H */
