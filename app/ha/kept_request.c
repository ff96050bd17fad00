/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * What the service manager holds of the request that stands.
 *
 * It keeps nothing twice: a descriptor from the same open() as one that it has is dropped, whatever
 * its name. A host sends interrupts' eventfds again and again, or one for several vectors. So a
 * request's descriptor is given to it only if it has no equal; the register says of the others
 * where their equals are (an alias).
 *
 * Whenever the keeper may die, an alias must lead to an equal or to nothing: it is taken back
 * before what it leads to changes, and noted when that is there.
 */

#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/kcmp.h>

#include "kept_impl.h"

/* An alias is a kind and an index in 16 bits; 0: none. Further ones have no alias. */
#define ALIAS_INDEX_BITS 12u
#define ALIAS_INDEX_MAX	 (1u << ALIAS_INDEX_BITS)
#define ALIAS_NOWHERE	 UINT16_MAX /* under a name that there is no alias for */

_Static_assert(HA_FD_KINDS <= 16, "four bits name a kind");
_Static_assert(MAILBOX_FDS_MAX <= REGISTER_ALIASES, "room in the register");

static uint16_t
alias_make(unsigned int kind, unsigned int index)
{
	return index < ALIAS_INDEX_MAX ? (uint16_t)(kind << ALIAS_INDEX_BITS | index) : 0;
}

/* From the same open(): 0; -1: the kernel does not say. */
static int
compare_files(int a, int b)
{
	const pid_t self = getpid();

	return (int)syscall(SYS_kcmp, self, self, KCMP_FILE, a, b);
}

unsigned int
kept_request_fds(const struct kept_device *d)
{
	const int *fds = sock_front_request_fds(d->front);
	unsigned int n = 0;

	while (n < MAILBOX_FDS_MAX && fds[n] >= 0)
		n++;
	return n;
}

static void
aliases_note(const struct kept_device *d)
{
	struct register_aliases a = {.seq = (uint32_t)d->stored_seq};

	memcpy(a.alias, d->alias, sizeof(d->alias));
	register_alias(d->kept->reg, d->slot, &a);
}

void
kept_request_forget(struct kept_device *d)
{
	while (d->stored_request > 0)
		if (d->alias[--d->stored_request] == 0)
			kept_store_drop(d, HA_FD_REQUEST, d->stored_request, -1);
	memset(d->alias, 0, sizeof(d->alias));
}

static bool
is_kept_as(const struct kept_device *d, unsigned int kind, unsigned int index, int fd)
{
	const int kept = kept_fds_get(&d->fds[kind], index);

	return kept >= 0 && compare_files(kept, fd) == 0;
}

/*
 * An equal of the request's descriptor at a position that the manager has. Vectors come in a row:
 * near is where the equal of the one before was.
 */
static uint16_t
alias_find(const struct kept_device *d, unsigned int position, uint16_t near)
{
	static const enum ha_fd_kind where[] = {
		HA_FD_MSIX, HA_FD_INTX, HA_FD_KICK, HA_FD_TRANSPORT};
	const int *fds = sock_front_request_fds(d->front);
	const unsigned int kind = near >> ALIAS_INDEX_BITS;
	const unsigned int next = near % ALIAS_INDEX_MAX + 1;

	/* Memory is opened again for the service manager (kept_store.c). */
	if (fcntl(fds[position], F_GET_SEALS) >= 0)
		return 0;
	if (kind >= HA_FD_KICK && is_kept_as(d, kind, next, fds[position]))
		return alias_make(kind, next);
	for (unsigned int w = 0; w < sizeof(where) / sizeof(where[0]); w++)
		for (unsigned int i = 0; i < d->fds[where[w]].room && i < ALIAS_INDEX_MAX; i++)
			if (is_kept_as(d, where[w], i, fds[position]))
				return alias_make(where[w], i);
	for (unsigned int i = 0; i < position; i++)
		if (d->alias[i] == 0 && compare_files(fds[i], fds[position]) == 0)
			return alias_make(HA_FD_REQUEST, i);
	return 0;
}

/* Told again, it is stored already; one that ended without a reply may have left its own. */
void
kept_request_store(struct kept_device *d)
{
	const int *fds = sock_front_request_fds(d->front);
	const unsigned int n = kept_request_fds(d);
	bool any = false;

	if (d->stored_seq != d->mailbox->seq)
		kept_request_forget(d);
	d->stored_seq = d->mailbox->seq;
	while (d->stored_request < n) {
		const unsigned int i = d->stored_request++;

		d->alias[i] = d->stored ? alias_find(d, i, i > 0 ? d->alias[i - 1] : 0) : 0;
		if (d->alias[i] == 0)
			kept_store_fd(d, HA_FD_REQUEST, i, fds[i], -1);
		else
			any = true;
	}
	if (any && d->stored)
		aliases_note(d);
}

void
kept_request_before(struct kept_device *d, struct request_change *c, unsigned int kind,
	unsigned int index, int fd)
{
	const int *fds = sock_front_request_fds(d->front);
	const uint16_t alias = alias_make(kind, index);
	bool lost = false;

	for (unsigned int i = 0; i < d->stored_request && d->stored; i++) {
		const uint32_t bit = 1u << i;

		if (fds[i] < 0 || ((c->orphans | c->moved) & bit))
			continue;
		if (d->alias[i] != 0 && d->alias[i] == alias) {
			if (fd >= 0 && compare_files(fds[i], fd) == 0)
				continue;
			d->alias[i] = 0;
			c->orphans |= bit;
			lost = true;
		} else if (d->alias[i] == 0 && fd >= 0 && kind != HA_FD_DMA &&
			   compare_files(fds[i], fd) <= 0) {
			kept_store_drop(d, HA_FD_REQUEST, i, -1);
			c->moved |= bit;
		}
	}
	if (lost)
		aliases_note(d);
}

/* What has moved, and what was an equal of that, is found under the new name. */
static void
aliases_move(struct kept_device *d, uint32_t moved, uint16_t alias)
{
	for (unsigned int i = 0; i < d->stored_request; i++) {
		const unsigned int at = d->alias[i] % ALIAS_INDEX_MAX;

		if (moved & (1u << i))
			d->alias[i] = alias;
		else if (d->alias[i] >> ALIAS_INDEX_BITS == HA_FD_REQUEST && moved & (1u << at))
			d->alias[i] = alias;
	}
}

void
kept_request_after(struct kept_device *d, const struct request_change *c, unsigned int kind,
	unsigned int index)
{
	const uint16_t alias = alias_make(kind, index);
	const int *fds = sock_front_request_fds(d->front);

	if (!d->stored || (c->moved | c->orphans) == 0)
		return;
	aliases_move(d, c->moved, alias != 0 ? alias : ALIAS_NOWHERE);
	if (c->moved != 0 && alias == 0) {
		kept_request_forget(d);
		return;
	}
	for (unsigned int i = 0; i < d->stored_request && d->stored; i++) {
		if (!(c->orphans & (1u << i)))
			continue;
		d->alias[i] = alias_find(d, i, 0);
		if (d->alias[i] == 0)
			kept_store_fd(d, HA_FD_REQUEST, i, fds[i], -1);
	}
	if (d->stored)
		aliases_note(d);
}

bool
kept_request_resolve(const struct register_aliases *a, uint64_t seq, unsigned int position,
	unsigned int *kind, unsigned int *index)
{
	const uint16_t alias = position < REGISTER_ALIASES ? a->alias[position] : 0;

	*kind = alias >> ALIAS_INDEX_BITS;
	*index = alias % ALIAS_INDEX_MAX;
	if (alias == 0 || a->seq != (uint32_t)seq)
		return false;
	return *kind == HA_FD_MSIX || *kind == HA_FD_INTX || *kind == HA_FD_KICK ||
	       *kind == HA_FD_SF || *kind == HA_FD_TRANSPORT ||
	       (*kind == HA_FD_REQUEST && *index < position);
}
