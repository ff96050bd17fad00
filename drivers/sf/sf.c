/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The SF drivers that this binary was linked with. */

#include <stdio.h>
#include <string.h>

#include "sf/sf.h"

static SLIST_HEAD(, sf_driver) drivers = SLIST_HEAD_INITIALIZER(drivers);

void
sf_driver_register(struct sf_driver *driver)
{
	SLIST_INSERT_HEAD(&drivers, driver, next);
}

const struct sf_ops *
sf_driver_find(const char *name)
{
	const struct sf_driver *d;

	SLIST_FOREACH (d, &drivers, next)
		if (strcmp(d->ops->name, name) == 0)
			return d->ops;
	return NULL;
}

void
sf_driver_names(char *buf, size_t len)
{
	const struct sf_driver *d;
	size_t at = 0;

	if (len > 0)
		buf[0] = '\0';
	SLIST_FOREACH (d, &drivers, next) {
		int n = snprintf(buf + at, len - at, "%s%s", at > 0 ? ", " : "", d->ops->name);

		if (n < 0 || (size_t)n >= len - at)
			return;
		at += (size_t)n;
	}
}
