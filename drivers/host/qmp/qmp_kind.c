/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* QEMU's devices for our functions. */

#include "host/qmp/qmp_host.h"

static json_t *
vfio_user_properties(const struct qmp_job *job)
{
	return json_pack("{s:{s:s, s:s}}", "socket", "type", "unix", "path", job->socket);
}

static const struct qmp_kind vfio_user = {
	.device = "vfio-user-pci",
	.properties = vfio_user_properties,
	.since = {10, 1, 0},
	.need = "vfio-user devices need QEMU 10.1 or later",
	.msix_kills = true,
};

static const struct qmp_kind vhost_user = {
	.device = "virtio-net-pci",
	.properties = qmp_vhost_properties,
	.make = qmp_vhost_make,
	.remove = qmp_vhost_remove,
	.has_mac = true,
};

const struct qmp_kind *
qmp_kind_of(enum vmm_kind kind)
{
	switch (kind) {
	case VMM_VFIO_USER:
		return &vfio_user;
	case VMM_VHOST_USER:
		return &vhost_user;
	}
	return NULL;
}
