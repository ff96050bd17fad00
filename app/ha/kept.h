/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_KEPT_H
#define APP_HA_KEPT_H

/**
 * @file
 * Kept devices: what the keeper holds of each - state block, host-facing socket with its front,
 * descriptors - and the messages about it. Main thread only.
 *
 * What is not a descriptor stands in one more memfd (the register), so that the next keeper can go
 * on from the register and the descriptors that the service manager has kept (sd.h).
 *
 * Which process has a device: nobody, or one child. Events of a device that nobody has (a request,
 * a disconnect) wait and are told to whoever adopts it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ha/msg.h"

struct child;
struct event_base;
struct kept;	    /**< all devices */
struct kept_device; /**< one */

/**
 * @param take_up  go on from what the service manager has kept (sd_listen_fds()); a device whose
 *         descriptors are incomplete is reported and dropped
 * @return 0; -errno
 */
int kept_create(struct event_base *base, bool take_up, struct kept **out);
/** Close all devices: sockets are removed, hosts see the end of their connection. */
void kept_destroy(struct kept *k);

unsigned int kept_count(const struct kept *k);
struct kept_device *kept_first(struct kept *k);
struct kept_device *kept_next(struct kept *k, struct kept_device *d); /**< by handle */
struct kept_device *kept_find(struct kept *k, uint32_t handle);
uint32_t kept_handle(const struct kept_device *d);
const char *kept_vuid(const struct kept_device *d);
/** A client is connected: such devices are given first. */
bool kept_connected(const struct kept_device *d);
/** The child that has it, or NULL. */
struct child *kept_owner(const struct kept_device *d);
/** A client is connected to it. */
bool kept_connected(const struct kept_device *d);
/** Devices whose CLOSE is not done yet; they are not counted or found any more. */
unsigned int kept_closing(const struct kept *k);

/**
 * A message about a device from the child that has it (or opens it): OPEN, CLOSE, REPLY, GONE_DONE,
 * DISCONNECT, NOTIFY, KICK, STORE, DROP, BLOCK. Answers OPENED and CLOSED by itself.
 *
 * @param fds  n descriptors; those that are kept become -1
 * @return 0; -EPROTO: not a message about a device, of a device that is not the child's, with a
 *         wrong number of descriptors or values that cannot be; -ENOMEM: it is lost, the child is
 *         of no more use
 */
int kept_message(
	struct kept *k, struct child *from, const struct ha_msg *msg, int *fds, unsigned int n);

/**
 * A message about a device has come without its descriptors: this process may open no more. Its
 * client, for whom they were, is disconnected; the other devices do not notice.
 * @return 0; -EPROTO as above; -EMFILE: without them the child is of no more use
 */
int kept_lost(struct kept *k, struct child *from, const struct ha_msg *msg);

/** Processes have failed to take it up so many times: for the caller to count. */
unsigned int *kept_failures(struct kept_device *d);

/**
 * Give a device to a child: ADOPT, FDS, ADOPT_END, then what stands (DISCONNECTED, REQUEST).
 * Nobody has it now.
 *
 * @param flags  enum ha_adopt_flag: CRASHED and POISON_*; what stands is added
 * @return 0; -errno of ha_conn_send(): the device stays with nobody, the child, which has heard
 *         half of it, is of no more use: it is killed
 */
int kept_give(struct kept_device *d, struct child *to, uint32_t flags, uint32_t queue);
/** Nobody has the device any more: its child is dead, or has released it. */
void kept_take_back(struct kept_device *d);
/**
 * A child is gone: take back all that it has, and tell it of nothing any more. To be called before
 * child_destroy(): devices that it had closed may still be waiting to tell it CLOSED.
 */
void kept_forget(struct kept *k, const struct child *ch);

/**
 * Read nothing more from the device's host: this keeper is about to end, and what comes is for the
 * next one. A request that stands is still answered.
 */
void kept_pause(struct kept_device *d);

/**
 * Keep its host away for so long: the connection ends, no other client is let in. Nobody has it, or
 * whoever is given it next is told of the disconnect.
 */
void kept_quarantine(struct kept_device *d, unsigned int ms);

/** A request stands that was told to its owner and is not answered. For the poison rule. */
bool kept_request(const struct kept_device *d, uint64_t *seq);

/** The state block as it was before the owner converted it (BLOCK); -1 if it was not. */
int kept_former_block(const struct kept_device *d);
/** The hand-over is final: forget the former block. */
void kept_commit_block(struct kept_device *d);
/** Replace the block by a converted one, for a roll-back. fd is taken on success. @return 0; -errno
 */
int kept_replace_block(struct kept_device *d, int fd);
/** The present one. */
int kept_block(const struct kept_device *d);

#endif /* APP_HA_KEPT_H */
