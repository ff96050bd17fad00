/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Numbers and names of devices. */

#include <stdbool.h>
#include <stdio.h>

#include <rte_jhash.h>

#include "device.h"
#include "errors.h"
#include "topology.h"

/* Bus of the first switch port; a host that assigns its own is asked for them. */
#define TOPOLOGY_HOTPLUG_BUS 0x15

_Static_assert(TOPOLOGY_HOTPLUG_BUS + CONFIG_SWITCH_PORTS_MAX <= 0x100, "buses of switch ports");

static bool
slot_used(const struct controller *c, uint8_t slot)
{
	const struct device *d;

	TAILQ_FOREACH (d, &c->devices, next)
		if (d->slot == slot)
			return true;
	return false;
}

static bool
sf_used(const struct controller *c, uint32_t sf_num)
{
	const struct device *d;

	TAILQ_FOREACH (d, &c->devices, next)
		if (d->conf.sf_num == sf_num)
			return true;
	return false;
}

static bool
pf_used(const struct controller *c, uint16_t pf_id)
{
	const struct device *d;

	TAILQ_FOREACH (d, &c->devices, next)
		if (d->pf_id == pf_id)
			return true;
	return false;
}

int
topology_assign(const struct controller *c, uint32_t sf_num, struct topology_ids *ids, char *text,
	size_t text_len)
{
	*ids = (struct topology_ids){.sf_num = sf_num};
	if (sf_num != 0 && sf_used(c, sf_num))
		return VN_ERR_SF_NUM_USED;
	for (ids->slot = 0; slot_used(c, ids->slot); ids->slot++)
		if (ids->slot + 1u >= c->cfg.num_switch_ports) {
			snprintf(text, text_len,
				"all %u switch ports are in use (platform.num_switch_ports)",
				(unsigned int)c->cfg.num_switch_ports);
			return VN_ERR_ID_OUT_OF_RANGE;
		}
	while (pf_used(c, ids->pf_id))
		ids->pf_id++;
	if (ids->sf_num == 0)
		for (ids->sf_num = TOPOLOGY_HOTPLUG_SF_FIRST; sf_used(c, ids->sf_num);)
			ids->sf_num++;
	snprintf(ids->vuid, sizeof(ids->vuid), "%sVNETS%uD0F0", c->cfg.serial, ids->slot + 1u);
	topology_bdf(ids->slot, ids->bdf);
	return 0;
}

void
topology_bdf(uint8_t slot, char buf[HOST_BDF_LEN])
{
	snprintf(buf, HOST_BDF_LEN, "%02x:00.0", TOPOLOGY_HOTPLUG_BUS + slot);
}

void
topology_rep_name(uint32_t sf_num, char *buf, size_t len)
{
	snprintf(buf, len, "en3f0pf0sf%u", sf_num);
}

uint64_t
topology_serial(const struct config *cfg, uint8_t slot)
{
	return (uint64_t)rte_jhash(cfg->serial, strlen(cfg->serial), 0) << 8 | slot;
}
