/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What QEMU says about its devices: query-pci and qom-list. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/qmp/qmp_host.h"

/** Bridges behind bridges that are followed: PCI has 256 buses, machines a handful of levels. */
#define PCI_DEPTH_MAX 32u
/** "child<...>" of the drivers that we plug. */
#define QMP_TYPE_LEN 64

static bool
device_bdf(const json_t *dev, char bdf[HOST_BDF_LEN])
{
	json_int_t bus = json_integer_value(json_object_get(dev, "bus"));
	json_int_t slot = json_integer_value(json_object_get(dev, "slot"));
	json_int_t function = json_integer_value(json_object_get(dev, "function"));

	if (bus < 0 || bus > 0xff || slot < 0 || slot > 0x1f || function < 0 || function > 7)
		return false;
	snprintf(bdf, HOST_BDF_LEN, "%02x:%02x.%x", (unsigned int)bus, (unsigned int)slot,
		(unsigned int)function);
	return true;
}

static bool
devices_find(const json_t *devices, const char *id, char bdf[HOST_BDF_LEN], unsigned int depth)
{
	size_t i;
	json_t *dev;

	if (depth == PCI_DEPTH_MAX)
		return false;
	json_array_foreach (devices, i, dev) {
		const char *qdev_id = json_string_value(json_object_get(dev, "qdev_id"));
		const json_t *behind =
			json_object_get(json_object_get(dev, "pci_bridge"), "devices");

		if (qdev_id != NULL && strcmp(qdev_id, id) == 0)
			return device_bdf(dev, bdf);
		if (devices_find(behind, id, bdf, depth + 1))
			return true;
	}
	return false;
}

bool
qmp_pci_find(const json_t *buses, const char *id, char bdf[HOST_BDF_LEN])
{
	size_t i;
	json_t *bus;

	json_array_foreach (buses, i, bus) {
		if (devices_find(json_object_get(bus, "devices"), id, bdf, 0))
			return true;
	}
	return false;
}

/* @return its type, NULL if there is none of that name */
static const char *
qom_type(const json_t *properties, const char *name)
{
	size_t i;
	json_t *p;

	json_array_foreach (properties, i, p) {
		const char *have = json_string_value(json_object_get(p, "name"));
		const char *type = json_string_value(json_object_get(p, "type"));

		if (have != NULL && strcmp(have, name) == 0)
			return type != NULL ? type : "";
	}
	return NULL;
}

bool
qmp_qom_has(const json_t *properties, const char *name)
{
	return qom_type(properties, name) != NULL;
}

bool
qmp_qom_has_device(const json_t *properties, const char *id, const char *driver)
{
	const char *type = qom_type(properties, id);
	char child[QMP_TYPE_LEN];

	snprintf(child, sizeof(child), "child<%s>", driver);
	return type != NULL && strcmp(type, child) == 0;
}

bool
qmp_qom_bus_used(const json_t *properties)
{
	size_t i;
	json_t *p;

	json_array_foreach (properties, i, p) {
		const char *name = json_string_value(json_object_get(p, "name"));

		if (name != NULL && strncmp(name, "child[", strlen("child[")) == 0)
			return true;
	}
	return false;
}

static bool
is_port(const char *type)
{
	static const char *const types[] = {
		"child<pcie-root-port>",
		"child<ioh3420>",
		"child<xio3130-downstream>",
	};

	for (size_t i = 0; type != NULL && i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static int
port_order(const void *a, const void *b)
{
	return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *
qmp_qom_ports(const json_t *properties)
{
	const char **names = calloc(json_array_size(properties) + 1, sizeof(*names));
	json_t *ports = json_array(), *p;
	size_t i, n = 0;

	json_array_foreach (properties, i, p) {
		const char *name = json_string_value(json_object_get(p, "name"));

		if (names != NULL && name != NULL &&
			is_port(json_string_value(json_object_get(p, "type"))))
			names[n++] = name;
	}
	/* QEMU lists in the order of a hash table; people expect rp1 before rp2 and rp10. */
	if (n > 0)
		qsort(names, n, sizeof(*names), port_order);
	for (i = 0; i < n; i++)
		json_array_append_new(ports, json_string(names[i]));
	free(names);
	return ports;
}
