/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Descriptors in reserve. */

#include <fcntl.h>
#include <unistd.h>

#include "reserve.h"

void
reserve_fill(struct reserve *r)
{
	while (r->n < RESERVE_FDS) {
		/* Duplicates of one: no path is looked up 64 times. */
		const int fd = r->n == 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC)
					 : fcntl(r->fd[0], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return;
		r->fd[r->n++] = fd;
	}
}

void
reserve_release(struct reserve *r)
{
	while (r->n > 0)
		close(r->fd[--r->n]);
}
