/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * What the service manager holds for a next keeper: every descriptor of a device under a name of
 * its own, and the register.
 *
 * At a restart all names come in one environment variable, which the kernel limits to 128 KiB: a
 * service manager that holds more than that cannot start the keeper again at all. So names are
 * short - two digits of the slot, a letter for the kind (a capital: of what is wrapped), the index,
 * numbers to the base of 36, e.g. "0cm5" - and a device that does not fit goes without: it ends
 * with the keeper.
 */

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kept_impl.h"
#include "klog.h"
#include "sd.h"
#include "state/state.h"

/* The kernel's MAX_ARG_STRLEN, less the variable's own name. */
#define NAMES_MAX (32u * 4096u - sizeof("LISTEN_FDNAMES="))

#define BASE	  36u

_Static_assert(REGISTER_SLOTS <= BASE * BASE, "two digits name a slot");

static const struct {
	char letter;
	const char *name;
} kinds[HA_FD_KINDS] = {
	[HA_FD_BLOCK] = {'b', "state block"},
	[HA_FD_LISTEN] = {'l', "listening socket"},
	[HA_FD_CONN] = {'c', "connection"},
	[HA_FD_REQUEST] = {'r', "descriptors of a request"},
	[HA_FD_KICK] = {'k', "kick eventfds"},
	[HA_FD_DMA] = {'d', "client memory"},
	[HA_FD_MSIX] = {'m', "MSI-X eventfds"},
	[HA_FD_INTX] = {'i', "INTx eventfd"},
	[HA_FD_SF] = {'s', "SF descriptors"},
	[HA_FD_TRANSPORT] = {'t', "descriptors of the transport"},
};

const char *
kept_kind_name(unsigned int kind)
{
	return kinds[kind].name;
}

static char
digit(unsigned int v)
{
	return (char)(v < 10 ? '0' + v : 'a' + v - 10);
}

static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'z' ? c - 'a' + 10 : -1;
}

void
kept_name(char name[KEPT_NAME_ROOM], unsigned int slot, unsigned int kind, unsigned int index,
	bool wrapped)
{
	char reversed[KEPT_NAME_ROOM];
	unsigned int n = 0, at = 0;

	name[at++] = digit(slot / BASE);
	name[at++] = digit(slot % BASE);
	name[at++] = wrapped ? (char)toupper(kinds[kind].letter) : kinds[kind].letter;
	do {
		reversed[n++] = digit(index % BASE);
		index /= BASE;
	} while (index > 0);
	while (n > 0)
		name[at++] = reversed[--n];
	name[at] = '\0';
}

bool
kept_name_parse(const char *name, unsigned int *slot, unsigned int *kind, unsigned int *index,
	bool *wrapped)
{
	char again[KEPT_NAME_ROOM];
	const size_t len = strlen(name);

	if (len < 4 || len > 7 || digit_value(name[0]) < 0 || digit_value(name[1]) < 0)
		return false;
	*slot = (unsigned int)digit_value(name[0]) * BASE + (unsigned int)digit_value(name[1]);
	*wrapped = isupper((unsigned char)name[2]) != 0;
	for (*kind = 0;
		*kind < HA_FD_KINDS && kinds[*kind].letter != tolower((unsigned char)name[2]);)
		++*kind;
	if (*kind == HA_FD_KINDS || *slot >= REGISTER_SLOTS)
		return false;
	*index = 0;
	for (size_t i = 3; i < len; i++) {
		if (digit_value(name[i]) < 0)
			return false;
		*index = *index * BASE + (unsigned int)digit_value(name[i]);
	}
	/* There is one way only to write it. */
	kept_name(again, *slot, *kind, *index, *wrapped);
	return strcmp(again, name) == 0;
}

static void
register_account(struct kept *k)
{
	k->n_stored = 1;
	k->name_bytes = sizeof(KEPT_REGISTER_NAME);
}

int
kept_store_begin(struct kept *k)
{
	int ret;

	if (!sd_keeps())
		return 0;
	ret = register_create(&k->reg);
	if (ret < 0)
		return ret;
	ret = sd_store(KEPT_REGISTER_NAME, register_fd(k->reg));
	if (ret < 0)
		return ret;
	register_account(k);
	return 0;
}

void
kept_store_resume(struct kept *k, struct kept_register *reg)
{
	k->reg = reg;
	register_account(k);
}

/* One more, or (-1) one less is with the service manager. */
static void
account(struct kept_device *d, const char *name, int one)
{
	const int bytes = one * (int)(strlen(name) + 1);

	d->n_stored += (unsigned int)one;
	d->name_bytes += (unsigned int)bytes;
	d->kept->n_stored += (unsigned int)one;
	d->kept->name_bytes += (unsigned int)bytes;
}

/* Those that a client, or an SF, may give more than once; memory is opened again. */
static bool
may_have_equals(enum ha_fd_kind kind)
{
	return kind >= HA_FD_KICK && kind != HA_FD_DMA;
}

/* Whether the manager has it wrapped. NULL: such a one never is. */
static bool *
wrapped_at(struct kept_device *d, enum ha_fd_kind kind, unsigned int index)
{
	if (kind == HA_FD_REQUEST)
		return &d->wrapped[index];
	return may_have_equals(kind) ? &d->fds[kind].wrapped[index] : NULL;
}

/* As the manager has it, or is to have it. */
static void
name_now(struct kept_device *d, enum ha_fd_kind kind, unsigned int index, char name[KEPT_NAME_ROOM])
{
	const bool *wrapped = wrapped_at(d, kind, index);

	kept_name(name, d->slot, kind, index, wrapped != NULL && *wrapped);
}

void
kept_store_taken(struct kept_device *d, enum ha_fd_kind kind, unsigned int index)
{
	char name[KEPT_NAME_ROOM];

	name_now(d, kind, index, name);
	account(d, name, 1);
	if (may_have_equals(kind) && !d->fds[kind].wrapped[index])
		(void)kept_equal_add(d->kept, d->fds[kind].fd[index]);
}

/* Not all of the device can be kept: then nothing of it. */
static void
give_up(struct kept_device *d, const char *why)
{
	klog_err("%s: would not survive a restart of the service: %s", d->open.vuid, why);
	kept_store_forget(d);
}

/*
 * systemd takes a descriptor for one that it has if both come from the same open(): the devices of
 * one VM give the same memory, and the same dirty log. So memory is opened once more for it. A file
 * of another kind could block us in that; such a device is on its own.
 *
 * @return descriptor to be closed, or -1: none is needed, or to be had
 */
static int
opened_again(enum ha_fd_kind kind, int fd)
{
	char path[32];

	if ((kind != HA_FD_DMA && kind != HA_FD_REQUEST && kind != HA_FD_TRANSPORT) ||
		fcntl(fd, F_GET_SEALS) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, (fcntl(fd, F_GETFL) & O_ACCMODE) | O_CLOEXEC);
}

/* The manager has one from the same open() under another name, and would drop this one. */
static bool
has_equal(struct kept_device *d, enum ha_fd_kind kind, int fd)
{
	/* Of a request: it goes soon, and its own equals have aliases (kept_request.c). */
	if (kind == HA_FD_REQUEST)
		return kept_equal_known(d->kept, fd);
	return may_have_equals(kind) && !kept_equal_add(d->kept, fd);
}

/*
 * What the manager is to be given for fd. @param made  true: it is to be closed
 * @return -errno
 */
static int
given_for(struct kept_device *d, enum ha_fd_kind kind, unsigned int index, int fd, bool *made)
{
	bool *wrapped = wrapped_at(d, kind, index);
	const int again = opened_again(kind, fd);
	const bool wrap = again < 0 && has_equal(d, kind, fd);

	*made = again >= 0 || wrap;
	if (wrapped != NULL)
		*wrapped = wrap;
	if (again >= 0)
		return again;
	return wrap ? kept_wrap(fd) : fd;
}

void
kept_store_fd(struct kept_device *d, enum ha_fd_kind kind, unsigned int index, int fd, int old)
{
	struct kept *k = d->kept;
	char name[KEPT_NAME_ROOM];
	int given, ret;
	bool made;

	if (!d->stored)
		return;
	name_now(d, kind, index, name);
	if (old >= 0) {
		kept_equal_remove(k, old);
		sd_remove(name);
	} else if (k->n_stored + 1 > sd_room() || k->name_bytes + strlen(name) + 1 > NAMES_MAX) {
		give_up(d, "the service manager takes no more descriptors");
		return;
	} else {
		account(d, name, 1);
	}
	given = given_for(d, kind, index, fd, &made);
	name_now(d, kind, index, name);
	ret = given < 0 ? given : sd_store_new(name, given);
	if (made && given >= 0)
		close(given);
	if (ret < 0)
		give_up(d, strerror(-ret));
}

void
kept_store_drop(struct kept_device *d, enum ha_fd_kind kind, unsigned int index, int fd)
{
	char name[KEPT_NAME_ROOM];

	if (!d->stored)
		return;
	if (fd >= 0)
		kept_equal_remove(d->kept, fd);
	name_now(d, kind, index, name);
	sd_remove(name);
	account(d, name, -1);
}

void
kept_store_conn(struct kept_device *d)
{
	const bool had = d->stored_conn;
	const int fd = sock_front_conn_fd(d->front);

	if (fd >= 0)
		kept_store_fd(d, HA_FD_CONN, 0, fd, had ? fd : -1);
	d->stored_conn = fd >= 0;
	kept_store_update(d);
	if (fd < 0 && had)
		kept_store_drop(d, HA_FD_CONN, 0, -1);
}

static struct register_state
state_of(const struct kept_device *d)
{
	struct register_state state = {
		.connected = d->stored_conn,
		.gone = d->gone,
		.block = d->block_index,
		.notify = d->notify,
	};

	for (unsigned int kind = HA_FD_KICK; kind < HA_FD_KINDS; kind++)
		state.stored[kind] = d->fds[kind].n;
	return state;
}

void
kept_store_update(struct kept_device *d)
{
	const struct register_state state = state_of(d);

	if (d->stored)
		register_update(d->kept->reg, d->slot, &state);
}

void
kept_store_device(struct kept_device *d)
{
	struct register_state state;

	if (d->kept->reg == NULL)
		return;
	d->stored = true;
	kept_store_fd(d, HA_FD_BLOCK, d->block_index, state_block_fd(d->block), -1);
	if (!d->transport->connects)
		kept_store_fd(d, HA_FD_LISTEN, 0, sock_front_listen_fd(d->front), -1);
	if (!d->stored)
		return;
	state = state_of(d);
	register_put(d->kept->reg, d->slot, d->handle, &d->open, &state);
}

static void
forget(struct kept_device *d, enum ha_fd_kind kind, unsigned int index)
{
	char name[KEPT_NAME_ROOM];

	name_now(d, kind, index, name);
	sd_remove(name);
}

void
kept_store_forget(struct kept_device *d)
{
	if (!d->stored)
		return;
	d->stored = false;
	register_clear(d->kept->reg, d->slot);
	forget(d, HA_FD_BLOCK, d->block_index);
	if (!d->transport->connects)
		forget(d, HA_FD_LISTEN, 0);
	if (d->stored_conn)
		forget(d, HA_FD_CONN, 0);
	while (d->stored_request > 0)
		if (d->alias[--d->stored_request] == 0)
			forget(d, HA_FD_REQUEST, d->stored_request);
	for (unsigned int kind = HA_FD_KICK; kind < HA_FD_KINDS; kind++)
		for (unsigned int i = 0, left = d->fds[kind].n; left > 0; i++)
			if (d->fds[kind].fd[i] >= 0) {
				kept_equal_remove(d->kept, d->fds[kind].fd[i]);
				forget(d, kind, i);
				left--;
			}
	d->kept->n_stored -= d->n_stored;
	d->kept->name_bytes -= d->name_bytes;
	d->n_stored = 0;
	d->name_bytes = 0;
}
