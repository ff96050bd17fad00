/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The host drivers that this binary was linked with. */

#include "host/host.h"

static struct driver_registry registry = SLIST_HEAD_INITIALIZER(registry);

void
host_driver_register(struct driver *driver)
{
	driver_register(&registry, driver);
}

const struct host_ops *
host_driver_find(const char *name)
{
	return driver_find(&registry, name);
}

void
host_driver_names(char *buf, size_t len)
{
	driver_names(&registry, buf, len);
}
