/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef DRIVERS_REGISTRY_H
#define DRIVERS_REGISTRY_H

/**
 * @file
 * Drivers of one kind that this binary was linked with, by name. They register themselves before
 * main(); afterwards the registry is read only, by any thread.
 */

#include <stddef.h>
#include <sys/queue.h>

struct driver {
	const char *name;
	const void *ops; /**< table of the kind: struct emu_ops, sf_ops or host_ops */
	SLIST_ENTRY(driver) next;
};

SLIST_HEAD(driver_registry, driver);

void driver_register(struct driver_registry *registry, struct driver *driver);

/** The driver's table, or NULL if there is none of that name. */
const void *driver_find(const struct driver_registry *registry, const char *name);

/** Names of all drivers, comma separated, for messages; cut where the buffer ends. */
void driver_names(const struct driver_registry *registry, char *buf, size_t len);

/** Have `table`, a kind's ops with a name, registered by `add` when the program starts. */
#define DRIVER_REGISTER(kind, id, table, add)                                                      \
	static struct driver kind##_driver_##id = {.ops = &(table)};                               \
	__attribute__((constructor)) static void kind##_driver_register_##id(void)                 \
	{                                                                                          \
		kind##_driver_##id.name = (table).name;                                            \
		add(&kind##_driver_##id);                                                          \
	}

#endif /* DRIVERS_REGISTRY_H */
