/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* How a port comes and goes: by devargs, as DPDK's hotplug has it. Helper thread only. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_ethdev.h>

#include "sf/ethdev/ethdev.h"

#define OWNER_NAME "virtnet"

/* The first port of the devargs, if there is one. */
static bool
find(const char *devargs, uint16_t *port)
{
	struct rte_dev_iterator it;
	uint16_t id;

	RTE_ETH_FOREACH_MATCHING_DEV(id, devargs, &it)
	{
		*port = id;
		rte_eth_iterator_cleanup(&it);
		return true;
	}
	return false;
}

static int
own(uint16_t id, uint16_t *port, char *err, size_t err_len)
{
	struct rte_eth_dev_owner owner = {.name = OWNER_NAME};

	if (rte_eth_dev_owner_get(id, &owner) == 0 && owner.id != RTE_ETH_DEV_NO_OWNER) {
		snprintf(err, err_len,
			"port %u belongs to %s already: without {sf_num} in platform.sf_args all "
			"SFs ask for the same port",
			id, owner.name);
		return -EEXIST;
	}
	owner = (struct rte_eth_dev_owner){.name = OWNER_NAME};
	if (rte_eth_dev_owner_new(&owner.id) != 0 || rte_eth_dev_owner_set(id, &owner) != 0) {
		snprintf(err, err_len, "port %u cannot be owned", id);
		return -EBUSY;
	}
	*port = id;
	return 0;
}

int
ethdev_probe(const char *devargs, uint16_t *port, char *err, size_t err_len)
{
	uint16_t id;
	int ret;

	/* One that EAL was given (--vdev, -a) is taken as it is. */
	if (find(devargs, &id))
		return own(id, port, err, err_len);
	if (rte_eth_dev_count_total() >= RTE_MAX_ETHPORTS) {
		snprintf(err, err_len,
			"%s: this DPDK has no more than %u ports (RTE_MAX_ETHPORTS), and all are "
			"in "
			"use; build DPDK with -Dmax_ethports=N for more, or use platform.sf: tap",
			devargs, RTE_MAX_ETHPORTS);
		return -ENOSPC;
	}
	if (ethdev_names_taken(devargs, err, err_len))
		return -EEXIST;
	ret = rte_dev_probe(devargs);
	if (ret < 0) {
		/* PMDs answer with anything, mostly -1. */
		snprintf(err, err_len, "%s: cannot be probed (%s); the log has what the PMD says",
			devargs, strerror(-ret));
		return ret == -EINVAL || ret == -ENODEV ? ret : -EBUSY;
	}
	if (find(devargs, &id))
		return own(id, port, err, err_len);
	snprintf(err, err_len, "%s: is no network device", devargs);
	return -ENODEV;
}

void
ethdev_remove(uint16_t port)
{
	struct rte_eth_dev_info info;
	uint16_t other;
	int ret;

	if (rte_eth_dev_info_get(port, &info) != 0)
		info.device = NULL;
	ret = rte_eth_dev_close(port);
	if (ret != 0)
		ETHDEV_LOG(WARNING, "port %u: close: %s\n", port, strerror(-ret));
	if (info.device == NULL)
		return;
	RTE_ETH_FOREACH_DEV_OF(other, info.device)
	if (other != port)
		return;
	ret = rte_dev_remove(info.device);
	if (ret != 0)
		ETHDEV_LOG(WARNING, "port %u: remove: %s\n", port, strerror(-ret));
}
