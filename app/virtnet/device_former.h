/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_FORMER_H
#define APP_DEVICE_FORMER_H

/**
 * @file
 * Sections of a device's state block as former releases wrote them, for device_layout.c. They are
 * never changed.
 */

#include <stdint.h>

#include "device_dma.h"
#include "device_state.h"
#include "state/ring_record.h"

struct device_state_v1 {
	char vuid[64];
	uint32_t sf_num;
	uint16_t pf_id;
	uint16_t pairs;
	uint8_t mac[6];
	uint8_t ctrl_mac[6];
	uint16_t mtu;
	uint8_t rx_mode;
	uint8_t reserved[9];
};

struct device_state_v2 {
	struct device_ident id;
	char bdf[16];
	uint8_t phase;
	uint8_t unplug_force;
	uint8_t started;
	uint8_t rx_mode;
	uint8_t ctrl_mac[6];
	uint16_t pairs;
	uint32_t quarantine;
	uint32_t adoptions;
	uint32_t clients;
	struct {
		uint16_t pairs;
		uint16_t max_pairs;
		int32_t rep_ifindex;
		char rep[16];
		uint8_t rx_csum;
		uint8_t link;
		uint8_t changing;
		uint8_t made;
		uint16_t wanted;
		uint8_t reserved[14];
	} sf;
	uint8_t reserved[128];
};

struct device_state_v3 {
	struct device_ident id;
	char bdf[16];
	uint8_t phase;
	uint8_t unplug_force;
	uint8_t started;
	uint8_t rx_mode;
	uint8_t ctrl_mac[6];
	uint16_t pairs;
	uint32_t quarantine;
	uint32_t adoptions;
	uint32_t clients;
	struct {
		uint16_t pairs;
		uint16_t max_pairs;
		int32_t rep_ifindex;
		char rep[16];
		uint8_t reserved0;
		uint8_t link;
		uint8_t changing;
		uint8_t made;
		uint16_t wanted;
		uint8_t reserved[14];
	} sf;
	uint64_t guest_offloads;
	uint8_t reserved[120];
};

struct pci_fn_state_v1 {
	uint8_t cfg[4096];
	uint32_t intx_level;
	uint32_t flr_count;
	uint8_t msix_table[2048 * 16];
};

struct mailbox_v1 {
	uint32_t state;
	uint32_t connection;
	uint64_t seq;
	uint32_t req_len;
	uint32_t reply_len;
	uint8_t header[16];
	uint8_t reply_header[16];
	uint8_t reply_wanted;
	uint8_t close;
	uint8_t nfds;
	uint8_t reserved[5];
	uint64_t negotiated_seq;
	int32_t fds[16];
	uint8_t req[8192] __attribute__((aligned(64)));
	uint8_t reply[8192] __attribute__((aligned(64)));
};

struct ring_record_v1 {
	uint16_t avail_idx;
	uint16_t used_idx;
	uint8_t avail_wrap;
	uint8_t used_wrap;
	uint8_t valid;
	uint8_t shadow_n;
	uint16_t next_avail;
	uint16_t next_used;
	uint8_t next_avail_wrap;
	uint8_t next_used_wrap;
	uint16_t signalled_used;
	uint8_t running;
	uint8_t reserved[15];
	struct ring_shadow shadow[32];
	struct ring_stats stats __attribute__((aligned(64)));
} __attribute__((aligned(64)));

struct device_dma_state_v1 {
	uint64_t unmap_seq;
	uint32_t high;
	uint32_t reserved[13];
	struct device_dma_range range[HOSTMEM_MAX_RANGES];
};

#endif /* APP_DEVICE_FORMER_H */
