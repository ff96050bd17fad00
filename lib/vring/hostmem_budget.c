/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Limits on the addresses and mappings that clients' memory takes. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "vring/hostmem.h"
#include "vring/hostmem_budget.h"

/* Of a device's bytes or mappings, those within its share. */
static uint64_t
within(uint64_t has, uint64_t share)
{
	return has < share ? has : share;
}

static uint64_t
beyond(uint64_t has, uint64_t share)
{
	return has - within(has, share);
}

static int
refuse_bytes(struct hostmem_refusal *why, const char *whose, uint64_t bytes, uint64_t limit)
{
	snprintf(why->text, sizeof(why->text),
		"%s files would take %" PRIu64 " MiB of addresses, limit %" PRIu64 " MiB", whose,
		bytes >> 20, limit >> 20);
	return -ENOSPC;
}

static int
refuse_maps(struct hostmem_refusal *why, const char *whose, uint64_t maps, uint64_t limit)
{
	snprintf(why->text, sizeof(why->text),
		"%s memory would be %" PRIu64 " mappings, limit %" PRIu64, whose, maps, limit);
	return -ENOSPC;
}

/* Within its share a device gets what it wants: that much is left for each. */
static int
ask_all(const struct hostmem_budget *b, uint64_t has, uint64_t more, struct hostmem_refusal *why)
{
	const uint64_t after = __atomic_load_n(&b->mapped, __ATOMIC_RELAXED) + more;
	const uint64_t shares = b->shares - within(has, HOSTMEM_SPACE_SHARE) +
				within(has + more, HOSTMEM_SPACE_SHARE);
	const uint64_t limit =
		has + more <= HOSTMEM_SPACE_SHARE ? HOSTMEM_SPACE_ALL : HOSTMEM_SPACE_OPEN + shares;

	return after > limit ? refuse_bytes(why, "all devices'", after, limit) : 0;
}

int
hostmem_budget_ask(const struct hostmem_budget *b, const struct hostmem_cost *has,
	const struct hostmem_cost *more, bool shared, struct hostmem_refusal *why)
{
	const uint64_t maps = (uint64_t)has->maps + more->maps;
	uint64_t open;

	if (more->bytes > HOSTMEM_SPACE_DEVICE || has->bytes + more->bytes > HOSTMEM_SPACE_DEVICE)
		return refuse_bytes(why, "its", has->bytes + more->bytes, HOSTMEM_SPACE_DEVICE);
	if (maps > HOSTMEM_MAPS_DEVICE)
		return refuse_maps(why, "its", maps, HOSTMEM_MAPS_DEVICE);
	open = b->open - beyond(has->maps, HOSTMEM_MAPS_SHARE) + beyond(maps, HOSTMEM_MAPS_SHARE);
	if (maps > HOSTMEM_MAPS_SHARE && open > HOSTMEM_MAPS_OPEN)
		return refuse_maps(
			why, "all devices' beyond their shares", open, HOSTMEM_MAPS_OPEN);
	return shared ? 0 : ask_all(b, has->bytes, more->bytes, why);
}

static void
change(struct hostmem_budget *b, struct hostmem_cost *has, uint64_t bytes, uint32_t maps)
{
	b->shares -= within(has->bytes, HOSTMEM_SPACE_SHARE);
	b->open -= (uint32_t)beyond(has->maps, HOSTMEM_MAPS_SHARE);
	has->bytes = bytes;
	has->maps = maps;
	b->shares += within(has->bytes, HOSTMEM_SPACE_SHARE);
	b->open += (uint32_t)beyond(has->maps, HOSTMEM_MAPS_SHARE);
}

void
hostmem_budget_take(
	struct hostmem_budget *b, struct hostmem_cost *has, const struct hostmem_cost *more)
{
	change(b, has, has->bytes + more->bytes, has->maps + more->maps);
}

void
hostmem_budget_give(
	struct hostmem_budget *b, struct hostmem_cost *has, const struct hostmem_cost *less)
{
	change(b, has, has->bytes - less->bytes, has->maps - less->maps);
}

void
hostmem_budget_mapped(struct hostmem_budget *b, uint64_t bytes)
{
	__atomic_add_fetch(&b->mapped, bytes, __ATOMIC_RELAXED);
}

void
hostmem_budget_unmapped(struct hostmem_budget *b, uint64_t bytes)
{
	__atomic_sub_fetch(&b->mapped, bytes, __ATOMIC_RELAXED);
}
