/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_PREVIOUS_LAYOUTS_H
#define TEST_PREVIOUS_LAYOUTS_H

/*
 * Sections of a state block as the previous release wrote them. Copies of its structures, never to
 * be changed: blocks like these are what an update meets.
 */

#include <stdint.h>

#include <linux/virtio_net.h>

struct previous_device { /* section 1, version 1 */
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

struct previous_ident { /* section 7, version 1, and in the next */
	char vuid[64];
	char plug_id[80];
	char socket[108];
	char host[32];
	char port[32];
	uint32_t sf_num;
	uint64_t features;
	uint16_t pf_id;
	uint16_t mtu;
	uint16_t max_pairs;
	uint16_t max_queue_size;
	uint16_t num_msix;
	uint8_t slot;
	uint8_t intx_only;
	uint8_t mac[6];
	uint8_t reserved[46];
	uint64_t checksum;
};

struct previous_device_2 { /* section 1, version 2 */
	struct previous_ident id;
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

struct previous_device_3 { /* section 1, version 3 */
	struct previous_ident id;
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

struct previous_pci { /* section 2, version 1 */
	uint8_t cfg[4096];
	uint32_t intx_level;
	uint32_t flr_count;
	uint8_t msix_table[2048 * 16];
};

struct previous_queue {
	uint64_t desc, driver, device;
	uint16_t size;
	uint16_t max_size;
	uint16_t msix_vector;
	uint16_t enable;
	uint16_t reset;
	uint16_t reserved[3];
};

struct previous_virtio { /* section 3, version 1 */
	uint64_t device_features;
	uint64_t driver_features;
	uint32_t device_feature_select;
	uint32_t driver_feature_select;
	uint16_t num_queues;
	uint16_t queue_select;
	uint16_t msix_config;
	uint8_t status;
	uint8_t config_generation;
	uint32_t isr;
	uint32_t reserved;
	struct virtio_net_config config;
	struct previous_queue queue[256];
};

struct previous_ring { /* section 4, version 1, one per virtqueue */
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
	struct {
		uint16_t slot;
		uint16_t id;
		uint32_t len;
	} shadow[32];
	uint64_t stats[13] __attribute__((aligned(64)));
} __attribute__((aligned(64)));

struct previous_mailbox { /* section 5, version 1 */
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

struct previous_dma { /* section 6, version 1 */
	uint64_t unmap_seq;
	uint32_t high;
	uint32_t reserved[13];
	struct {
		uint64_t iova;
		uint64_t len;
		uint64_t off;
		uint32_t seq;
		uint16_t file;
		uint8_t prot;
		uint8_t valid;
	} range[65535];
};

#endif /* TEST_PREVIOUS_LAYOUTS_H */
