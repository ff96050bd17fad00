/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Drivers by name. */

#include <stdio.h>
#include <string.h>

#include "registry.h"

void
driver_register(struct driver_registry *registry, struct driver *driver)
{
	SLIST_INSERT_HEAD(registry, driver, next);
}

const void *
driver_find(const struct driver_registry *registry, const char *name)
{
	const struct driver *d;

	SLIST_FOREACH (d, registry, next)
		if (strcmp(d->name, name) == 0)
			return d->ops;
	return NULL;
}

void
driver_names(const struct driver_registry *registry, char *buf, size_t len)
{
	const struct driver *d;
	size_t at = 0;

	if (len > 0)
		buf[0] = '\0';
	SLIST_FOREACH (d, registry, next) {
		const int n = snprintf(buf + at, len - at, "%s%s", at > 0 ? ", " : "", d->name);

		if (n < 0 || (size_t)n >= len - at)
			return;
		at += (size_t)n;
	}
}
