/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What becomes of a device whose host has put something impossible into a ring. */

#include <stdio.h>

#include <event2/event.h>

#include "device_fault.h"
#include "device_run.h"
#include "log.h"

#define DEVICE_FAULT_TEXT 128

/* NEEDS_RESET keeps device_quiesce() from publishing the pairs again. */
static void
give_up(struct device *dev, const char *why)
{
	const uint8_t status = virtio_dev_status(dev->vdev);

	if (status == 0 || (status & VIRTIO_CONFIG_S_NEEDS_RESET))
		return;
	log_limited(&dev->log_limit, LOG_LEVEL_ERR, "%s: %s: device needs reset", dev->vuid, why);
	virtio_dev_needs_reset(dev->vdev);
	device_fault_cancel(dev);
	(void)device_quiesce(dev, device_step_nothing, NULL, false);
}

void
device_fault_positions(struct device *dev)
{
	give_up(dev, "a ring and its record do not fit together");
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	RTE_SET_USED(fd);
	RTE_SET_USED(what);
	give_up(arg, vring_strerror(VRING_ERR_ADDRESS));
}

static void
wait_for_memory(struct device *dev)
{
	const struct timeval wait = {.tv_usec = DEVICE_FAULT_GRACE_MS * 1000};

	if (dev->retry_timer == NULL)
		dev->retry_timer = evtimer_new(dev->ctl->base, on_timeout, dev);
	if (dev->retry_timer == NULL)
		give_up(dev, vring_strerror(VRING_ERR_ADDRESS));
	else if (!evtimer_pending(dev->retry_timer, NULL))
		(void)evtimer_add(dev->retry_timer, &wait);
}

void
device_fault_control(struct device *dev, enum vring_error error)
{
	char why[DEVICE_FAULT_TEXT];

	if (error == VRING_ERR_ADDRESS) {
		dev->waits_for_memory = true;
		wait_for_memory(dev);
		return;
	}
	snprintf(why, sizeof(why), "control queue: %s", vring_strerror(error));
	give_up(dev, why);
}

/* Positions are where the failed chain is: starting the ring again tries it again. */
static void
step_retry(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++) {
		struct qpair *qp = dev->pair[i];

		for (int side = 0; qp != NULL && side < QPAIR_SIDES; side++)
			if (qp->run[side] && vring_broken(&qp->ring[side])) {
				vring_stop(&qp->ring[side]);
				qp->run[side] = false;
			}
	}
}

/*
 * The ring may have failed before the memory came that it missed, and the control lcore heard of it
 * after: the memory that comes next may be long in coming.
 */
static void
retry_or_wait(struct device *dev)
{
	const bool is_new = dev->tables_tried != dev->tables;

	dev->tables_tried = dev->tables;
	if (is_new)
		(void)device_quiesce(dev, step_retry, NULL, false);
	else
		wait_for_memory(dev);
}

void
device_fault_check(struct device *dev)
{
	char why[DEVICE_FAULT_TEXT];
	bool missed = false;

	if (dev->hm != NULL && hostmem_lost(dev->hm)) {
		give_up(dev, "its memory was truncated by the client");
		return;
	}
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++) {
		struct qpair *qp = dev->pair[i];

		if (qp == NULL || !atomic_exchange(&qp->fault, false))
			continue;
		for (int side = 0; side < QPAIR_SIDES; side++) {
			if (!qp->run[side] || !vring_broken(&qp->ring[side]))
				continue;
			if (qp->ring[side].error == VRING_ERR_ADDRESS) {
				missed = true;
				continue;
			}
			snprintf(why, sizeof(why), "queue %u: %s", qpair_queue(qp, side),
				vring_strerror(qp->ring[side].error));
			give_up(dev, why);
			return;
		}
	}
	if (missed)
		retry_or_wait(dev);
}

void
device_fault_retry(struct device *dev)
{
	if (dev->retry_timer == NULL || !evtimer_pending(dev->retry_timer, NULL))
		return;
	(void)evtimer_del(dev->retry_timer);
	(void)device_quiesce(dev, step_retry, NULL, false);
}

void
device_fault_cancel(struct device *dev)
{
	if (dev->retry_timer != NULL)
		event_free(dev->retry_timer);
	dev->retry_timer = NULL;
}
