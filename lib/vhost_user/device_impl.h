/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VHOST_USER_DEVICE_IMPL_H
#define VHOST_USER_DEVICE_IMPL_H

/**
 * @file
 * Internal to lib/vhost_user: what the files of the device side share.
 *
 * device.c: from the mailbox to a command and back; device_cmd.c: the table of commands, features,
 * status, configuration, log; device_mem.c: memory; device_ring.c: rings.
 *
 * A command is a chain of operations, each of which may take its time: what follows one is a
 * function (vhost_device_then()). Whatever happens between two stores to the state, a successor
 * handles the whole message again. So the state is changed after the operation that the change
 * stands for, and an operation that has been told is not refused when it is told again.
 */

#include <linux/virtio_config.h>

#include "codec.h"
#include "vhost_user.h"

/** What follows an operation; err is its result. @return 0; -errno; -EINPROGRESS */
typedef int (*vhost_device_next_fn)(struct vhost_user_device *dev, int err);

struct vhost_user_device {
	struct vhost_user_device_conf conf;
	const struct vhost_user_device_ops *ops;
	struct mailbox *mb;
	struct vhost_user_state *state;
	uint64_t protocol_features; /* offered */
	unsigned int rings;

	/* the request being handled */
	struct vhost_user_header req;
	uint32_t reply_len;
	bool pending;
	vhost_device_next_fn next;
	int *req_fds;
	/* what of it the functions that follow need */
	uint16_t queue;
	uint64_t value;
	int edit_err;
	struct vhost_user_vring_addr addr;
};

/**
 * A command; its body has one of the lengths that the table allows, and so has the number of
 * descriptors. Sets reply_len.
 *
 * @return 0; -errno; -EINPROGRESS
 */
typedef int (*vhost_device_command_fn)(
	struct vhost_user_device *dev, const uint8_t *body, uint32_t len);

struct vhost_device_command {
	uint32_t len_min;
	uint32_t len_max;
	uint32_t fds_min;
	uint32_t fds_max;
	vhost_device_command_fn run; /* NULL: not supported */
	uint64_t needs;		     /* protocol feature that must be offered, as a bit; 0: none */
	bool soft;		     /* its failure harms nobody who is not told of it */
};

/** What there is to know about a request; never NULL. */
const struct vhost_device_command *vhost_device_command_get(uint32_t request);

/** Go on with next when the operation that returned ret is done. */
int vhost_device_then(struct vhost_user_device *dev, int ret, vhost_device_next_fn next);
/** Descriptor i of the request, owned by whoever asked from now on; -1 if there is none. */
int vhost_device_take_fd(struct vhost_user_device *dev, unsigned int i);
void vhost_device_reply_put(struct vhost_user_device *dev, const void *body, uint32_t len);
void vhost_device_reply_number(struct vhost_user_device *dev, uint64_t value);
uint64_t vhost_device_number(const uint8_t *body);
bool vhost_device_has(const struct vhost_user_device *dev, unsigned int feature);
/** A range in a file of that length exists, the sum is an offset. @return 0; -EINVAL; -errno */
int vhost_device_file_covers(int fd, uint64_t offset, uint64_t size, uint64_t *dev, uint64_t *ino);

/* device_mem.c */
int vhost_device_set_mem_table(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
int vhost_device_add_mem_reg(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
int vhost_device_rem_mem_reg(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
/** Guest address of a range in one region of the client's memory. @return 0; -EFAULT */
int vhost_device_translate(
	const struct vhost_user_device *dev, uint64_t user, uint64_t len, uint64_t *guest);

/* device_ring.c */
int vhost_device_set_vring_num(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
int vhost_device_set_vring_addr(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
int vhost_device_set_vring_base(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
int vhost_device_get_vring_base(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
int vhost_device_set_vring_fd(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
int vhost_device_set_vring_enable(struct vhost_user_device *dev, const uint8_t *body, uint32_t len);
/** Some ring is started. */
bool vhost_device_runs(const struct vhost_user_device *dev);
/** The device was reset: rings are as at first. @param disable  also those that were enabled */
void vhost_device_rings_reset(struct vhost_user_device *dev, bool disable);
/** Rings will have another format: the positions of the former one are no more. None is started. */
void vhost_device_rings_displace(struct vhost_user_device *dev);
/** Without protocol features nobody enables rings: they are. */
void vhost_device_rings_enable(struct vhost_user_device *dev);

#endif /* VHOST_USER_DEVICE_IMPL_H */
