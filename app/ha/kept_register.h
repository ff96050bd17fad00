/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_KEPT_REGISTER_H
#define APP_HA_KEPT_REGISTER_H

/**
 * @file
 * The register: what a keeper must know of its devices beside their descriptors, in a memfd that
 * outlives it. Main thread only.
 *
 * One entry per slot. What never changes is written once. What does stands twice, each with a
 * number and a checksum, and is written alternately: a keeper that dies within a write leaves the
 * other one. An entry counts from the moment when its mark is set, which is the last of its stores.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ha/msg.h"

/**
 * Devices of one keeper: 1008 VFs, static PFs and hotplug ports make 1070, and some of them may be
 * closing while others are opened in their place.
 */
#define REGISTER_SLOTS 1100u

/** Descriptors of one request. */
#define REGISTER_ALIASES 16u

struct kept_register;

/** What changes while a device is kept. */
struct register_state {
	uint32_t connected; /**< a client is, its socket is stored */
	uint32_t gone;	    /**< a disconnect was not dealt with */
	uint32_t block;	    /**< index under which the block is stored */
	uint32_t reserved;
	struct ha_notify notify;
	/** Descriptors that are stored, at least, by kind. A keeper that knew nine left the tenth 0. */
	uint32_t stored[HA_FD_KINDS];
};

/** Where descriptors of the request seq are kept that are not kept under its own name. */
struct register_aliases {
	uint32_t seq;			  /**< its lower half */
	uint16_t alias[REGISTER_ALIASES]; /**< kept_request.c's; 0: none */
};

/** @return 0; -errno */
int register_create(struct kept_register **out);
/**
 * Go on with that of a former keeper.
 * @param fd  duplicated
 * @return 0; -EBADMSG: not a register, or of another version; -errno
 */
int register_open(int fd, struct kept_register **out);
/** NULL is allowed. */
void register_close(struct kept_register *reg);
int register_fd(const struct kept_register *reg);

void register_put(struct kept_register *reg, unsigned int slot, uint32_t handle,
	const struct ha_open *open, const struct register_state *state);
void register_update(
	struct kept_register *reg, unsigned int slot, const struct register_state *state);
void register_clear(struct kept_register *reg, unsigned int slot);
/** @return 1: a device; 0: none; -EBADMSG: damaged */
int register_get(const struct kept_register *reg, unsigned int slot, uint32_t *handle,
	struct ha_open *open, struct register_state *state);
/** For a device that has been put. */
void register_alias(
	struct kept_register *reg, unsigned int slot, const struct register_aliases *aliases);
/** All 0 if there are none, or they were being written. */
void register_aliases(
	const struct kept_register *reg, unsigned int slot, struct register_aliases *aliases);

#endif /* APP_HA_KEPT_REGISTER_H */
