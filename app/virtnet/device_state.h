/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_STATE_H
#define APP_DEVICE_STATE_H

/**
 * @file
 * Section STATE_SEC_DEVICE: what a successor must know of a device beside its registers, its rings
 * and its memory. Written by the control lcore alone, as things change.
 *
 * Plain data: names instead of indices (the successor's configuration may be another), no pointers,
 * no descriptors. A change of the layout takes a new DEVICE_STATE_VERSION and a line in
 * device_layout.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEVICE_VUID_LEN	     64
#define DEVICE_PLUG_LEN	     80
#define DEVICE_PATH_LEN	     108
#define DEVICE_NAME_LEN	     32
#define DEVICE_BDF_LEN	     16
#define DEVICE_REP_LEN	     16
#define DEVICE_TRANSPORT_LEN 24
#define DEVICE_HASH_KEY_LEN  40

/** Where a device is in its life; the numbers stand in state blocks. */
enum device_phase {
	DEVICE_CREATING = 0,   /**< SF or function under way */
	DEVICE_PLUGGING = 1,   /**< host is plugging it */
	DEVICE_LIVE = 2,       /**< */
	DEVICE_UNPLUGGING = 3, /**< waiting for the host */
	DEVICE_REMOVING = 4,   /**< waiting for workers or the SF */
	DEVICE_PHASES
};

/** Why a device was stopped by us and not by its driver; bits of device_state.quarantine. */
enum device_quarantine {
	DEVICE_Q_QUEUE = 1u << 0,   /**< a queue crashed whoever polled it */
	DEVICE_Q_REQUEST = 1u << 1, /**< a request crashed whoever handled it */
	DEVICE_Q_BLOCK = 1u << 2,   /**< its state crashed whoever took it up */
	DEVICE_Q_DAMAGE = 1u << 3,  /**< its state was found damaged */
};

/**
 * What the device is. Written once, before anybody else can see the block; the checksum covers what
 * stands before it. A copy stands in a section of its own (STATE_SEC_IDENT), far from this one, so
 * that a device whose state is damaged still has its name, its MAC and its SF.
 */
struct device_ident {
	char vuid[DEVICE_VUID_LEN];
	char plug_id[DEVICE_PLUG_LEN];
	char socket[DEVICE_PATH_LEN];
	char host[DEVICE_NAME_LEN]; /**< of platform.hosts */
	char port[DEVICE_NAME_LEN]; /**< of platform.ports */
	uint32_t sf_num;
	uint64_t features; /**< offered */
	uint16_t pf_id;
	uint16_t mtu;
	uint16_t max_pairs;
	uint16_t max_queue_size;
	uint16_t num_msix; /**< vectors of the function; 0: INTx only */
	uint8_t slot;
	uint8_t intx_only;
	uint8_t mac[6];
	/** Name of the emu driver; "": the one there was when this was not written. */
	char transport[DEVICE_TRANSPORT_LEN];
	uint8_t reserved[22];
	uint64_t checksum;
};

/** The SF as its driver has to take it up (struct sf_state), and whether that can be believed. */
struct device_sf_state {
	uint16_t pairs;	     /**< that the SF was last given with success */
	uint16_t max_pairs;  /**< it can have */
	int32_t rep_ifindex; /**< of the representor */
	char rep[DEVICE_REP_LEN];
	uint8_t reserved0;
	uint8_t link;
	/**
	 * A change is with the helper: the SF has `pairs`, `wanted` or something between. Set
	 * before the change begins, cleared after `pairs` tells its end.
	 */
	uint8_t changing;
	uint8_t made; /**< it exists; its descriptors are with the keeper */
	uint16_t wanted;
	uint8_t reserved[14];
};

/** How received packets are hashed (VIRTIO_NET_CTRL_MQ_HASH_CONFIG). */
struct device_hash_state {
	uint32_t types; /**< VIRTIO_NET_HASH_TYPES; 0 until the driver asks for any */
	uint8_t key[DEVICE_HASH_KEY_LEN];
};

#ifndef VIRTNET_TEST_LAYOUT
#define DEVICE_STATE_VERSION 4
#else
#define DEVICE_STATE_VERSION 5 /* for tests of updates between versions: everything has moved */
#endif
#define DEVICE_STATE_MOVED 64u /**< bytes, in the layout for tests */

struct device_state {
#ifdef VIRTNET_TEST_LAYOUT
	uint8_t moved[DEVICE_STATE_MOVED];
#endif
	struct device_ident id;
	char bdf[DEVICE_BDF_LEN];
	uint8_t phase; /**< enum device_phase */
	uint8_t unplug_force;
	uint8_t started;     /**< DRIVER_OK, and the SF has its queues */
	uint8_t rx_mode;     /**< bit per VIRTIO_NET_CTRL_RX_* */
	uint8_t ctrl_mac[6]; /**< set by the driver */
	uint16_t pairs;	     /**< enabled by VIRTIO_NET_CTRL_MQ */
	uint32_t quarantine; /**< enum device_quarantine */
	uint32_t adoptions;  /**< how often it has changed its process */
	uint32_t clients;    /**< disconnects */
	struct device_sf_state sf;
	/**
	 * VIRTIO_NET_GUEST_OFFLOADS that the driver takes at present, and that the SF was told with
	 * its last change. All that were negotiated, until VIRTIO_NET_CTRL_GUEST_OFFLOADS.
	 */
	uint64_t guest_offloads;
	struct device_hash_state hash;
	/** Zero. What chooses a receive queue by the hash - a table of queues - has room here. */
	uint8_t reserved[1100];
};

#define DEVICE_IDENT_VERSION 1

/** Checksum of an identity (FNV-1a): against damage, not against an adversary. */
static inline uint64_t
device_ident_sum(const struct device_ident *id)
{
	const uint8_t *p = (const uint8_t *)id;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < offsetof(struct device_ident, checksum); i++)
		sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static inline bool
device_ident_intact(const struct device_ident *id)
{
	return id->checksum == device_ident_sum(id);
}

#endif /* APP_DEVICE_STATE_H */
