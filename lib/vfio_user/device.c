/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The device side: takes a request from the mailbox, leaves the reply. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device_impl.h"
#include "state/fault_point.h"

/* Errors above are no errno. */
#define DEVICE_ERRNO_MAX 4095

int
vfio_user_device_create(const struct vfio_user_device_conf *conf, struct vfio_user_device **out)
{
	struct vfio_user_device *dev;

	if (conf->mailbox == NULL || conf->ops == NULL)
		return -EINVAL;
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return -ENOMEM;
	dev->conf = *conf;
	dev->mb = conf->mailbox;
	*out = dev;
	return 0;
}

void
vfio_user_device_destroy(struct vfio_user_device *dev)
{
	free(dev);
}

int
device_take_fd(struct vfio_user_device *dev, unsigned int i)
{
	int fd;

	if (i >= dev->mb->nfds || i >= MAILBOX_FDS_MAX)
		return -1;
	fd = dev->req_fds[i];
	dev->req_fds[i] = -1;
	return fd;
}

static bool
request_stands(const struct vfio_user_device *dev)
{
	return atomic_load_explicit(&dev->mb->state, memory_order_acquire) == MAILBOX_REQUEST;
}

static void
reply_store(struct vfio_user_device *dev, int err)
{
	struct mailbox *mb = dev->mb;
	struct vfio_user_header hdr;

	if (err > 0 || err < -DEVICE_ERRNO_MAX)
		err = -EIO;
	hdr = vfio_user_reply_to(&dev->req, dev->reply_len, err);
	memcpy(mb->reply_header, &hdr, sizeof(hdr));
	mb->reply_len = hdr.size - VFIO_USER_HEADER_SIZE;
	dev->pending = false;
	FAULT_POINT("emu.request.stored");
	atomic_store_explicit(&mb->state, MAILBOX_REPLY, memory_order_release);
}

static int
request_run(struct vfio_user_device *dev)
{
	const struct device_command *cmd = device_command_get(dev->req.command);
	const struct mailbox *mb = dev->mb;
	const bool negotiated = mb->negotiated_seq != 0;
	const bool version = dev->req.command == VFIO_USER_VERSION;

	/* Handled again after a crash, the request that negotiated is no second one. */
	if (version ? negotiated && mb->negotiated_seq != mb->seq : !negotiated)
		return -EINVAL;
	if (cmd->run == NULL)
		return cmd->err;
	if (mb->req_len < cmd->len_min || mb->req_len > cmd->len_max ||
		mb->req_len > MAILBOX_BODY_MAX || mb->nfds > cmd->fds_max) {
		/* A client that cannot introduce itself is not worth a connection. */
		dev->mb->close = version;
		return -EINVAL;
	}
	return cmd->run(dev, mb->req, mb->req_len);
}

bool
vfio_user_device_handle(struct vfio_user_device *dev, int *fds)
{
	int ret;

	if (dev->pending || !request_stands(dev))
		return false;
	memcpy(&dev->req, dev->mb->header, sizeof(dev->req));
	dev->reply_len = 0;
	dev->multi_done = 0;
	dev->req_fds = fds;
	ret = request_run(dev);
	dev->req_fds = NULL;
	if (ret == -EINPROGRESS) {
		dev->pending = true;
		return false;
	}
	reply_store(dev, ret);
	return true;
}

bool
vfio_user_device_complete(struct vfio_user_device *dev, int err)
{
	if (!dev->pending)
		return false;
	if (dev->req.command == VFIO_USER_REGION_WRITE_MULTI) {
		if (err == 0) {
			dev->multi_done++;
			err = device_write_multi_go_on(dev);
			if (err == -EINPROGRESS)
				return false;
		} else {
			err = device_write_multi_end(dev, err);
		}
	}
	reply_store(dev, err);
	return true;
}

bool
vfio_user_device_pending(const struct vfio_user_device *dev)
{
	return dev->pending;
}

void
vfio_user_device_reset_connection(struct vfio_user_device *dev)
{
	dev->pending = false;
	dev->mb->negotiated_seq = 0;
	if (!request_stands(dev))
		return;
	memcpy(&dev->req, dev->mb->header, sizeof(dev->req));
	dev->reply_len = 0;
	dev->mb->reply_wanted = 0;
	reply_store(dev, -ECONNRESET);
}

bool
vfio_user_device_refuse(struct vfio_user_device *dev, int err)
{
	if (dev->pending || !request_stands(dev))
		return false;
	memcpy(&dev->req, dev->mb->header, sizeof(dev->req));
	dev->reply_len = 0;
	reply_store(dev, err);
	return true;
}

bool
vfio_user_device_attached(const struct vfio_user_device *dev)
{
	return dev->mb->negotiated_seq != 0;
}
