/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Descriptors of a device, by kind and index. */

#include <errno.h>
#include <stdlib.h>

#include "kept_impl.h"

unsigned int
kept_fds_limit(const struct kept_device *d, unsigned int kind)
{
	switch (kind) {
	case HA_FD_KICK:
		return d->open.max_queues;
	case HA_FD_DMA:
		return KEPT_DMA_MAX;
	case HA_FD_MSIX:
		return KEPT_MSIX_MAX;
	case HA_FD_INTX:
		return 1;
	case HA_FD_SF:
		return KEPT_SF_MAX;
	case HA_FD_TRANSPORT:
		return KEPT_TRANSPORT_MAX;
	default:
		return 0;
	}
}

int
kept_fds_reserve(struct kept_fds *t, unsigned int n)
{
	unsigned int room = t->room == 0 ? 4 : t->room;
	bool *wrapped;
	int *fd;

	if (n <= t->room)
		return 0;
	while (room < n)
		room *= 2;
	fd = realloc(t->fd, room * sizeof(*fd));
	if (fd == NULL)
		return -ENOMEM;
	t->fd = fd;
	wrapped = realloc(t->wrapped, room * sizeof(*wrapped));
	if (wrapped == NULL)
		return -ENOMEM;
	t->wrapped = wrapped;
	for (unsigned int i = t->room; i < room; i++) {
		fd[i] = -1;
		wrapped[i] = false;
	}
	t->room = room;
	return 0;
}

void
kept_fds_free(struct kept_fds *t)
{
	free(t->fd);
	free(t->wrapped);
	*t = (struct kept_fds){0};
}

void
kept_fds_close(struct kept_device *d, unsigned int kind, int *fds, unsigned int n)
{
	if (kind == HA_FD_SF)
		closer_close(d->kept->closer, fds, n);
	else
		closer_close_clients(d->kept->closer, d->closer, fds, n);
}

int
kept_fds_get(const struct kept_fds *t, unsigned int index)
{
	return index < t->room ? t->fd[index] : -1;
}

int
kept_fds_put(struct kept_fds *t, unsigned int index, int fd)
{
	const int old = kept_fds_get(t, index);

	if (old >= 0)
		t->n--;
	if (index < t->room)
		t->fd[index] = fd;
	if (fd >= 0)
		t->n++;
	return old;
}
