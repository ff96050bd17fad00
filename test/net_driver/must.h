/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_DRIVER_MUST_H
#define NET_DRIVER_MUST_H

/** @file End of the program when something fails that has to succeed. */

#include <err.h>
#include <stdlib.h>
#include <string.h>

/** ret: 0 or more, or -errno. */
static inline void
must(int ret, const char *what)
{
	if (ret < 0)
		errx(EXIT_FAILURE, "%s: %s", what, strerror(-ret));
}

#endif /* NET_DRIVER_MUST_H */
