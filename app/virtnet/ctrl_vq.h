/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_CTRL_VQ_H
#define APP_CTRL_VQ_H

/**
 * @file
 * The control virtqueue of a device, served by the control lcore (virtio 1.2, 5.1.6.5).
 *
 * Every chain is completed, with VIRTIO_NET_ERR if need be: a driver may spin for the answer. A
 * command that has to wait for workers stays in the ring until it is done.
 */

#include <stdbool.h>

#include "vring/vring.h"

struct device;
struct event;

struct ctrl_vq {
	struct vring ring;
	bool running;
	bool waiting;	 /**< a command is being carried out */
	uint32_t starts; /**< counts lives of the queue */
	uint16_t queue;	 /**< its number; depends on the negotiated features */
	int kick_fd;
	struct event *kick_event;
};

/** Start the queue if the driver has enabled it. @return 0; -errno of vring_start() or of the kick
 * descriptor */
int ctrl_vq_start(struct device *dev);
/** Stop it; a command under way is forgotten. */
void ctrl_vq_stop(struct device *dev);
/** Bus mastering or memory is back: look at the queue. */
void ctrl_vq_wake(struct device *dev);
/**
 * The command under way is done: complete its chain and go on with the next.
 * @param starts  ctrl.starts when the command was taken; a command of an earlier life of the queue
 * is gone
 */
void ctrl_vq_done(struct device *dev, int err, uint32_t starts);

#endif /* APP_CTRL_VQ_H */
