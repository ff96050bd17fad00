/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_DEVICE_IMPL_H
#define VFIO_USER_DEVICE_IMPL_H

/**
 * @file
 * Internal to lib/vfio_user: what the files of the device side share.
 *
 * device.c: from the mailbox to a command and back; device_cmd.c: the commands.
 */

#include "codec.h"
#include "vfio_user.h"

struct vfio_user_device {
	struct vfio_user_device_conf conf;
	struct mailbox *mb;
	struct vfio_user_header req; /* of the request being handled */
	uint32_t reply_len;	     /* body, if the command succeeds */
	bool pending;
	uint64_t multi_done;	    /* REGION_WRITE_MULTI: writes carried out */
	int *req_fds;		    /* the request's, while it is being handled */
	int fds[VFIO_USER_FDS_MAX]; /* on their way to an operation */
};

/**
 * A command. Its body has one of the sizes that the table allows, there are not too many
 * descriptors. Sets reply_len.
 *
 * @return 0; -errno; -EINPROGRESS
 */
typedef int (*device_command_fn)(struct vfio_user_device *dev, const uint8_t *body, uint32_t len);

struct device_command {
	uint32_t len_min;
	uint32_t len_max;
	uint32_t fds_max;
	device_command_fn run; /* NULL: refused with err */
	int err;
};

/** What there is to know about a command number; never NULL. */
const struct device_command *device_command_get(uint16_t command);

/** The next writes of a REGION_WRITE_MULTI, the last one's result in err. */
int device_write_multi_go_on(struct vfio_user_device *dev);

/** Number of writes that the reply tells about. */
int device_write_multi_end(struct vfio_user_device *dev, int err);

/** Descriptor i of the request, owned by whoever asked from now on; -1 if there is none. */
int device_take_fd(struct vfio_user_device *dev, unsigned int i);

#endif /* VFIO_USER_DEVICE_IMPL_H */
