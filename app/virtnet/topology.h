/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_TOPOLOGY_H
#define APP_TOPOLOGY_H

/**
 * @file
 * Numbers and names of devices: ids, VUIDs, PCI addresses, SF numbers, representors. The emulated
 * topology stands for the card's: each hotplug device has a switch port, a bus of its own.
 */

#include <stddef.h>
#include <stdint.h>

#include "controller.h"

#define TOPOLOGY_HOTPLUG_SF_FIRST 2000
#define TOPOLOGY_HOTPLUG_SF_LAST  2999

struct topology_ids {
	uint16_t pf_id;
	uint8_t slot;
	uint32_t sf_num;
	char vuid[64];
	char bdf[HOST_BDF_LEN];
};

/**
 * Numbers for a new hotplug device.
 * @param sf_num  wanted, or 0 for the first free one
 * @return 0; VN_ERR_SF_NUM_USED; VN_ERR_ID_OUT_OF_RANGE when all switch ports are taken
 */
int topology_assign(const struct controller *c, uint32_t sf_num, struct topology_ids *ids,
	char *text, size_t text_len);

/** Address of the device at a switch port, as long as no host has told another. */
void topology_bdf(uint8_t slot, char buf[HOST_BDF_LEN]);

/** "en3f0pf0sf2000" */
void topology_rep_name(uint32_t sf_num, char *buf, size_t len);

/** Device serial number of a function: its VUID in numbers. */
uint64_t topology_serial(const struct config *cfg, uint8_t slot);

#endif /* APP_TOPOLOGY_H */
