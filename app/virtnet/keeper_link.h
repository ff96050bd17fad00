/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_KEEPER_LINK_H
#define APP_KEEPER_LINK_H

/**
 * @file
 * The controller's end of its connection to the keeper (lib/ha/msg.h). Control lcore only. The
 * process ends here when the keeper says so, has gone or cannot be understood.
 *
 * With --no-ha there is no keeper: controller.keeper is NULL, and every function here that takes
 * the link accepts NULL and does nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "emu/emu.h"
#include "ha/msg.h"

struct controller;
struct device;
struct keeper_link;

enum keeper_role {
	KEEPER_PARKED, /**< standby, or new process of a hand-over: owns nothing, answers nothing */
	KEEPER_ACTIVE, /**< serves devices and commands */
	KEEPER_LEAVING, /**< a hand-over to another process is under way: no hotplug, no unplug */
};

/**
 * Connect to the keeper, say HELLO. Events are served by the controller's event base from now on.
 * @param fd  socket inherited from the keeper; taken
 */
int keeper_link_create(struct controller *c, int fd, struct keeper_link **out);
/** Without a word to the keeper, doors included. NULL is allowed. */
void keeper_link_destroy(struct keeper_link *link);
/** All devices are closed, and the loop has ended: tell the keeper that the process ends. */
void keeper_link_stopped(struct keeper_link *link);

/** This is the new process of a hand-over: the old one lives, and can have its devices back. */
bool keeper_link_is_heir(const struct keeper_link *link);

/** KEEPER_ACTIVE if link is NULL. */
enum keeper_role keeper_link_role(const struct keeper_link *link);
/** The last hand-over, as the keeper told. */
const struct ha_status *keeper_link_status(const struct keeper_link *link);
/** Ask for a hand-over. @return 0; -EBUSY one is under way; -ENOTSUP without a keeper; -errno */
int keeper_link_handover(struct keeper_link *link, enum ha_handover_kind kind);

/** A handle for a device that is about to be opened; 0 without a keeper. */
uint32_t keeper_link_handle(struct keeper_link *link);

/** Devices have gone to another process in the hand-over under way. */
bool keeper_link_away(const struct keeper_link *link);
/** This one has, or is about to. */
bool keeper_link_away_pf(const struct keeper_link *link, uint64_t pf_id);
bool keeper_link_away_vuid(const struct keeper_link *link, const char *vuid);

/**
 * Keep duplicates of descriptors for a successor, from index on; -1 leaves out one. The device has
 * a door; what is said before that is open reaches the keeper as soon as it is.
 */
void keeper_link_store(struct keeper_link *link, uint32_t device, enum ha_fd_kind kind,
	unsigned int index, const int *fds, unsigned int n);
void keeper_link_drop(struct keeper_link *link, uint32_t device, enum ha_fd_kind kind,
	unsigned int index, unsigned int count);

/** Result of a device's adoption or release; -ENOENT of a release: it is being removed. */
void keeper_link_adopted(
	struct keeper_link *link, uint32_t device, int err, bool was_reset, const char *text);
void keeper_link_released(struct keeper_link *link, uint32_t device, int err, const char *text);
/** The block that is in use from now on instead of the one that was adopted. */
void keeper_link_block(struct keeper_link *link, uint32_t device, int fd);

/**
 * A door in the keeper (drivers/emu/emu.h) for a device with a handle.
 *
 * @param open       the keeper has it already (adoption); then open() is not to be called
 * @param connected  a client is connected
 * @param block_fd   the device's state block, for open()
 */
int keeper_door_create(struct keeper_link *link, uint32_t device, const struct ha_open *open_params,
	bool open, bool connected, int block_fd, struct emu **emu, struct emu_door **out);
/**
 * The door's end when the device goes to another process: free it, tell the keeper nothing.
 */
void keeper_door_forget(struct emu_door *door);

/**
 * Tell when the keeper has closed everything of a device: its name and its TAP are free again.
 * Later, never from within; soon, if the keeper does not know the device.
 */
void keeper_link_closed_cb(
	struct keeper_link *link, uint32_t device, void (*fn)(void *arg), void *arg);

/**
 * The whole life of a process with role HA_ROLE_CONVERT: convert blocks until the keeper ends it.
 * No EAL. Blocks.
 * @return 0; -errno
 */
int keeper_convert(int socket_fd, int fence_fd);

#endif /* APP_KEEPER_LINK_H */
