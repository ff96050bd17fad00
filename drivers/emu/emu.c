/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The emulation transports that this binary was linked with. */

#include "emu/emu.h"

static struct driver_registry registry = SLIST_HEAD_INITIALIZER(registry);

void
emu_driver_register(struct driver *driver)
{
	driver_register(&registry, driver);
}

const struct emu_ops *
emu_driver_find(const char *name)
{
	return driver_find(&registry, name);
}

void
emu_driver_names(char *buf, size_t len)
{
	driver_names(&registry, buf, len);
}
