/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Registry of emulation transports. */

#include <stdio.h>
#include <string.h>

#include "emu/emu.h"

static SLIST_HEAD(, emu_driver) emu_drivers = SLIST_HEAD_INITIALIZER(emu_drivers);

void
emu_driver_register(struct emu_driver *driver)
{
	SLIST_INSERT_HEAD(&emu_drivers, driver, next);
}

const struct emu_ops *
emu_driver_find(const char *name)
{
	const struct emu_driver *d;

	SLIST_FOREACH (d, &emu_drivers, next)
		if (strcmp(d->ops->name, name) == 0)
			return d->ops;
	return NULL;
}

void
emu_driver_names(char *buf, size_t len)
{
	const struct emu_driver *d;
	size_t at = 0;

	buf[0] = '\0';
	SLIST_FOREACH (d, &emu_drivers, next)
		if (at < len)
			at += snprintf(buf + at, len - at, "%s%s", at ? ", " : "", d->ops->name);
}
