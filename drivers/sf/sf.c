/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The SF drivers that this binary was linked with. */

#include "sf/sf.h"

static struct driver_registry registry = SLIST_HEAD_INITIALIZER(registry);

void
sf_driver_register(struct driver *driver)
{
	driver_register(&registry, driver);
}

const struct sf_ops *
sf_driver_find(const char *name)
{
	return driver_find(&registry, name);
}

void
sf_driver_names(char *buf, size_t len)
{
	driver_names(&registry, buf, len);
}
