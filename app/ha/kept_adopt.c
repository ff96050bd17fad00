/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Going on from the register and the descriptors that the service manager has kept for us.
 *
 * A device of which a part is missing or damaged ends here, with a word that says which part; the
 * others go on. What belongs to no device is closed.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "kept_impl.h"
#include "klog.h"
#include "sd.h"
#include "sock/discard.h"
#include "state/state.h"

/* What came under the names of one slot. A table has room for what came only. */
struct parts {
	struct kept_fds fds[HA_FD_KINDS];
	char path[HA_PATH_MAX]; /* of the socket, where the register knows it */
};

struct taking {
	struct kept *k;
	struct parts *parts[REGISTER_SLOTS];
	struct kept_register *former; /* NULL: lost */
	unsigned int taken, lost, foreign;
};

static void
discard(struct taking *t, const char *name, int fd)
{
	sd_remove(name);
	closer_close_clients(t->k->closer, t->k->strays, &fd, 1);
}

static unsigned int
index_limit(unsigned int kind)
{
	switch (kind) {
	case HA_FD_BLOCK:
		return 2;
	case HA_FD_LISTEN:
	case HA_FD_CONN:
	case HA_FD_INTX:
		return 1;
	case HA_FD_REQUEST:
		return MAILBOX_FDS_MAX;
	case HA_FD_MSIX:
		return KEPT_MSIX_MAX;
	case HA_FD_SF:
		return KEPT_SF_MAX;
	case HA_FD_TRANSPORT:
		return KEPT_TRANSPORT_MAX;
	default: /* kicks and client memory */
		return KEPT_QUEUES_MAX;
	}
}

/* A name once too often goes away with both; the first one comes back. */
static void
store_first(const char *name, int fd, bool wrapped)
{
	const int given = wrapped ? kept_wrap(fd) : fd;

	sd_store(name, given);
	if (wrapped && given >= 0)
		close(given);
}

/* False: it belongs to nothing. */
static bool
sort_one(struct taking *t, const char *name, int fd)
{
	unsigned int slot, kind, index;
	struct kept_fds *fds;
	bool wrapped;

	if (!kept_name_parse(name, &slot, &kind, &index, &wrapped) || index >= index_limit(kind))
		return false;
	if (t->parts[slot] == NULL)
		t->parts[slot] = calloc(1, sizeof(*t->parts[slot]));
	if (t->parts[slot] == NULL)
		return false;
	fds = &t->parts[slot]->fds[kind];
	if (kept_fds_get(fds, index) >= 0) {
		store_first(name, kept_fds_get(fds, index), wrapped);
		closer_close_clients(t->k->closer, t->k->strays, &fd, 1);
		return true;
	}
	if (kept_fds_reserve(fds, index + 1) < 0)
		return false;
	if (wrapped) {
		const int inside = kept_unwrap(fd);

		if (inside < 0)
			return false;
		closer_close_clients(t->k->closer, t->k->strays, &fd, 1);
		fd = inside;
	}
	fds->wrapped[index] = wrapped;
	kept_fds_put(fds, index, fd);
	return true;
}

static void
former_register(struct taking *t, int fd)
{
	int ret;

	if (t->former != NULL)
		ret = -EEXIST;
	else
		ret = register_open(fd, &t->former);
	if (ret < 0)
		klog_err("the register that the service manager has kept is damaged: %s",
			strerror(-ret));
	close(fd);
}

static void
sort_all(struct taking *t, bool take)
{
	for (unsigned int i = 0; i < sd_stored(); i++) {
		const char *name;
		const int fd = sd_stored_get(i, &name);

		if (take && strcmp(name, KEPT_REGISTER_NAME) == 0) {
			former_register(t, fd);
		} else if (!take || !sort_one(t, name, fd)) {
			t->foreign++;
			discard(t, name, fd);
		}
	}
}

/* Close what is left of a slot, and let the service manager do so. */
static void
parts_discard(struct taking *t, unsigned int slot)
{
	struct parts *p = t->parts[slot];
	char name[KEPT_NAME_ROOM];

	for (unsigned int kind = 0; kind < HA_FD_KINDS; kind++) {
		struct kept_fds *fds = &p->fds[kind];

		for (unsigned int i = 0; i < fds->room; i++) {
			if (fds->fd[i] < 0)
				continue;
			kept_name(name, slot, kind, i, fds->wrapped[i]);
			discard(t, name, fds->fd[i]);
			t->foreign++;
		}
		kept_fds_free(fds);
	}
	free(p);
	t->parts[slot] = NULL;
}

static bool
is_socket(int fd, int option, int value, const char *path)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(int);
	int v;

	if (getsockopt(fd, SOL_SOCKET, option, &v, &len) < 0 || v != value)
		return false;
	len = sizeof(v);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &v, &len) < 0 || v != AF_UNIX)
		return false;
	if (path == NULL)
		return true;
	memset(&addr, 0, sizeof(addr));
	len = sizeof(addr) - 1;
	return getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
	       strcmp(addr.sun_path, path) == 0;
}

static bool
within(const struct kept_fds *t, unsigned int limit)
{
	for (unsigned int i = limit; i < t->room; i++)
		if (t->fd[i] >= 0)
			return false;
	return true;
}

/* Everything that must be there is. @return NULL, or what is not */
static const char *
incomplete(const struct kept_device *d, const struct parts *p, const struct register_state *state)
{
	if (kept_fds_get(&p->fds[HA_FD_BLOCK], d->block_index) < 0)
		return kept_kind_name(HA_FD_BLOCK);
	if (!d->transport->connects &&
		!is_socket(kept_fds_get(&p->fds[HA_FD_LISTEN], 0), SO_ACCEPTCONN, 1, d->open.path))
		return kept_kind_name(HA_FD_LISTEN);
	if (p->fds[HA_FD_CONN].n > 0 &&
		!is_socket(p->fds[HA_FD_CONN].fd[0], SO_TYPE, SOCK_STREAM, NULL))
		return kept_kind_name(HA_FD_CONN);
	/*
	 * More than that are possible: of those that come the register is told last, of those that
	 * go it is told first.
	 */
	for (unsigned int kind = HA_FD_KICK; kind < HA_FD_KINDS; kind++)
		if (p->fds[kind].n < state->stored[kind] ||
			!within(&p->fds[kind], kept_fds_limit(d, kind)))
			return kept_kind_name(kind);
	return NULL;
}

static bool
identity_valid(const struct taking *t, const struct kept_device *d)
{
	for (unsigned int i = 0; i < t->k->n; i++)
		if (t->k->device[i]->handle == d->handle)
			return false;
	return d->block_index < 2 && d->open.max_queues <= KEPT_QUEUES_MAX && d->transport != NULL;
}

/* The device's descriptors become its own; those that it does not have a use for stay in parts. */
static void
parts_take(struct kept_device *d, struct parts *p)
{
	for (unsigned int kind = HA_FD_KICK; kind < HA_FD_KINDS; kind++) {
		d->fds[kind] = p->fds[kind];
		p->fds[kind] = (struct kept_fds){0};
		for (unsigned int i = 0; i < d->fds[kind].room; i++)
			if (d->fds[kind].fd[i] >= 0)
				kept_store_taken(d, kind, i);
	}
	kept_store_taken(d, HA_FD_BLOCK, d->block_index);
	close(kept_fds_put(&p->fds[HA_FD_BLOCK], d->block_index, -1));
	if (!d->transport->connects) {
		kept_store_taken(d, HA_FD_LISTEN, 0);
		kept_fds_put(&p->fds[HA_FD_LISTEN], 0, -1);
	}
	d->stored_conn = kept_fds_put(&p->fds[HA_FD_CONN], 0, -1) >= 0;
	if (d->stored_conn)
		kept_store_taken(d, HA_FD_CONN, 0);
	for (unsigned int i = 0; i < d->stored_request; i++) {
		if (d->alias[i] != 0)
			continue;
		kept_store_taken(d, HA_FD_REQUEST, i);
		kept_fds_put(&p->fds[HA_FD_REQUEST], i, -1);
	}
	d->stored = true;
}

/* The service manager has kept an equal of it, for which the device has a use of its own. */
static int
alias_take(struct kept_device *d, const struct parts *p, const struct kept_sockets *s,
	const struct register_aliases *a, unsigned int at)
{
	unsigned int kind, index;
	int fd;

	if (!kept_request_resolve(a, d->mailbox->seq, at, &kind, &index))
		return -1;
	fd = kind == HA_FD_REQUEST ? s->request[index] : kept_fds_get(&p->fds[kind], index);
	fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0)
		d->alias[at] = a->alias[at];
	return fd;
}

/* Descriptors of the request that stands; without one of them the front ends the connection. */
static void
request_take(const struct taking *t, struct kept_device *d, const struct parts *p,
	struct kept_sockets *s)
{
	const bool stands = atomic_load(&d->mailbox->state) == MAILBOX_REQUEST;
	const unsigned int n = stands ? d->mailbox->nfds : 0;
	struct register_aliases a = {0};

	register_aliases(t->former, d->slot, &a);
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		s->request[i] = -1;
	while (d->stored_request < n) {
		const unsigned int at = d->stored_request;
		int fd = kept_fds_get(&p->fds[HA_FD_REQUEST], at);

		if (fd >= 0)
			d->wrapped[at] = p->fds[HA_FD_REQUEST].wrapped[at];
		else
			fd = alias_take(d, p, s, &a, at);
		if (fd < 0)
			break;
		s->request[d->stored_request++] = fd;
	}
	d->stored_seq = d->mailbox->seq;
}

/* It has come to nothing: what is not among the parts. */
static void
request_put_back(struct kept_device *d, const struct kept_sockets *s)
{
	for (unsigned int i = 0; i < d->stored_request; i++)
		if (d->alias[i] != 0)
			sock_discard(d->closer, &s->request[i], 1);
	d->stored_request = 0;
}

/* Doorbells without an eventfd are the next owner's to hear, once there is one. */
static void
doorbells_set(struct kept_device *d)
{
	for (unsigned int i = 0; i < d->open.max_queues; i++) {
		const int fd = kept_fds_get(&d->fds[HA_FD_KICK], i);

		kept_front_set_kick(d, i, fd < 0 ? HA_KICK_FORWARD : HA_KICK_EVENTFD, fd);
	}
	kept_front_set_notify(d);
}

/* @return NULL, or what is missing or damaged */
static const char *
device_take(struct taking *t, struct kept_device *d, const struct register_state *state)
{
	struct parts *p = t->parts[d->slot];
	struct kept_sockets s = {.listen_fd = -1};
	const char *what;

	d->transport = kept_transport_find(d->open.transport);
	d->block_index = state->block;
	d->notify = state->notify;
	if (!identity_valid(t, d))
		return "entry in the register";
	what = incomplete(d, p, state);
	if (what != NULL)
		return what;
	if (kept_block_open(p->fds[HA_FD_BLOCK].fd[d->block_index], &d->block, &d->mailbox) < 0)
		return kept_kind_name(HA_FD_BLOCK);
	s.listen_fd = d->transport->connects ? -1 : p->fds[HA_FD_LISTEN].fd[0];
	s.conn_fd = kept_fds_get(&p->fds[HA_FD_CONN], 0);
	/* Its client has gone while nobody was there, or with the keeper in the middle of that. */
	d->gone = state->gone != 0 || (state->connected != 0 && s.conn_fd < 0);
	request_take(t, d, p, &s);
	if (kept_front_open(d, &s) < 0) {
		request_put_back(d, &s);
		return kept_kind_name(HA_FD_LISTEN);
	}
	parts_take(d, p);
	doorbells_set(d);
	kept_device_add(d);
	return NULL;
}

/* The name of a device whose entry cannot be read is in its block. */
static void
lost(struct taking *t, unsigned int slot, const char *vuid, const char *what)
{
	struct parts *p = t->parts[slot];
	struct state_block *block = NULL;
	char text[32];

	for (unsigned int i = 0; vuid == NULL && p != NULL && i < p->fds[HA_FD_BLOCK].room; i++)
		if (block == NULL && p->fds[HA_FD_BLOCK].fd[i] >= 0 &&
			state_block_open(p->fds[HA_FD_BLOCK].fd[i], &block) == 0)
			vuid = state_block_name(block);
	snprintf(text, sizeof(text), "device %u of the register", slot);
	klog_err("%s: does not survive the restart: %s missing or damaged",
		vuid != NULL ? vuid : text, what);
	state_block_close(block);
	t->lost++;
}

/*
 * A socket file that leads nowhere would puzzle whoever looks for the device. Without the register
 * the socket itself knows where it is.
 */
static void
socket_file_remove(const struct taking *t, const struct parts *p)
{
	struct sockaddr_un addr = {0};
	socklen_t len = sizeof(addr) - 1;
	const int fd = kept_fds_get(&p->fds[HA_FD_LISTEN], 0);
	struct stat st;

	if (p->path[0] != '\0')
		snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", p->path);
	else if (fd < 0 || getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
		 addr.sun_family != AF_UNIX)
		return;
	for (unsigned int i = 0; i < t->k->n; i++)
		if (strcmp(t->k->device[i]->open.path, addr.sun_path) == 0)
			return;
	if (addr.sun_path[0] == '/' && lstat(addr.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(addr.sun_path);
}

/* The socket's file is: a device that connects has its client's. */
static bool
is_ours(const struct ha_open *open)
{
	const struct kept_transport *transport = kept_transport_find(open->transport);

	return transport == NULL || !transport->connects;
}

/* @return true: it goes on */
static bool
slot_take(struct taking *t, unsigned int slot)
{
	struct register_state state;
	struct kept_device *d;
	struct ha_open open;
	const char *what;
	uint32_t handle;
	int ret;

	if (t->former == NULL) {
		if (t->parts[slot] != NULL && t->parts[slot]->fds[HA_FD_BLOCK].n > 0)
			lost(t, slot, NULL, "register");
		return false;
	}
	ret = register_get(t->former, slot, &handle, &open, &state);
	if (ret == 0)
		return false;
	if (ret < 0 || t->parts[slot] == NULL) {
		lost(t, slot, ret > 0 ? open.vuid : NULL,
			ret > 0 ? "everything" : "entry in the register");
		return false;
	}
	if (is_ours(&open))
		memcpy(t->parts[slot]->path, open.path, sizeof(open.path));
	d = kept_device_new(t->k, handle, &open, slot);
	what = d != NULL ? device_take(t, d, &state) : "memory for it";
	if (what == NULL)
		return true;
	lost(t, slot, open.vuid, what);
	if (d != NULL)
		kept_device_free(d);
	return false;
}

static void
slots_take(struct taking *t)
{
	for (unsigned int slot = 0; slot < REGISTER_SLOTS; slot++) {
		if (slot_take(t, slot)) {
			kept_store_update(t->k->slot[slot]);
			t->taken++;
		} else if (t->former != NULL) {
			register_clear(t->former, slot);
		}
	}
	for (unsigned int slot = 0; slot < REGISTER_SLOTS; slot++) {
		if (t->parts[slot] == NULL)
			continue;
		if (t->k->slot[slot] == NULL)
			socket_file_remove(t, t->parts[slot]);
		parts_discard(t, slot);
	}
}

int
kept_take_up(struct kept *k, bool take)
{
	struct taking t = {.k = k};

	sort_all(&t, take);
	if (t.former != NULL)
		kept_store_resume(k, t.former);
	slots_take(&t);
	if (sd_stored() > 0)
		klog_info("of %u descriptors that the service manager has kept: %u devices go on, "
			  "%u do not; %u descriptors closed",
			sd_stored(), t.taken, t.lost, t.foreign);
	return k->reg != NULL ? 0 : kept_store_begin(k);
}
