/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Giving a device's pairs to workers and taking them back.
 *
 * One mechanism for everything that takes something away from workers - reset, queue reset, bus
 * mastering off, memory unmapped, client gone, removal: withdraw the pairs, wait for a grace
 * period, run the steps that asked for it, publish what can still run, answer the host.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device_fault.h"
#include "device_release.h"
#include "device_rings.h"
#include "device_run.h"
#include "device_sf.h"
#include "device_transport.h"
#include "log.h"
#include "mem.h"

struct device_step {
	STAILQ_ENTRY(device_step) next;
	void (*fn)(struct device *dev, void *arg);
	void *arg;
	bool answer;
};

static void
withdraw(struct device *dev)
{
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL && dev->pair[i]->worker != NULL)
			workers_remove(dev->pair[i]);
	workers_publish(dev->ctl->workers);
	dev->pairs_are = PAIRS_COMING_BACK;
}

static bool
may_run(const struct device *dev)
{
	const uint8_t status = virtio_dev_status(dev->vdev);

	return dev->started && dev->dma_on && !dev->held && (status & VIRTIO_CONFIG_S_DRIVER_OK) &&
	       !(status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* Give all pairs that run to workers. @return 0, or the first failure */
static int
publish(struct device *dev)
{
	int ret = 0;

	for (uint16_t i = 0; i < dev->conf.max_pairs && ret == 0; i++) {
		struct qpair *qp = dev->pair[i];

		if (qp != NULL && (qp->run[QPAIR_RX] || qp->run[QPAIR_TX]))
			ret = workers_add(dev->ctl->workers, qp);
	}
	workers_publish(dev->ctl->workers);
	for (uint16_t i = 0; i < dev->conf.max_pairs && ret == 0; i++)
		if (dev->pair[i] != NULL && dev->pair[i]->worker != NULL)
			ret = workers_watch(dev->pair[i]);
	return ret;
}

void
device_resume(struct device *dev)
{
	int ret;

	if (dev->pairs_are != PAIRS_HERE || !may_run(dev))
		return;
	device_announce(dev);
	ret = device_rings_start(dev);
	dev->waits_for_memory = ret == -EFAULT;
	if (ret == -ERANGE) {
		device_fault_positions(dev);
		return;
	}
	if (ret < 0 && ret != -EFAULT)
		log_err("%s: cannot start a queue: %s", dev->vuid, strerror(-ret));
	ret = publish(dev);
	dev->pairs_are = PAIRS_WITH_WORKERS;
	if (ret < 0) {
		log_err("%s: no worker for a queue: %s", dev->vuid, strerror(-ret));
		virtio_dev_needs_reset(dev->vdev);
		(void)device_quiesce(dev, device_step_nothing, NULL, false);
		return;
	}
	ctrl_vq_wake(dev);
}

void
device_answer_host(struct device *dev, int err)
{
	dev->emu->ops->op_done(dev->emu, err);
}

/*
 * The grace period is over. One answer after all steps: a device has one request under way.
 * Registers take their final values before the pairs go out again, so that a queue that the driver
 * has just enabled is started with the others.
 */
static void
quiesced(void *arg)
{
	struct device *dev = arg;
	struct device_step *step;
	bool answer = false;

	while ((step = STAILQ_FIRST(&dev->steps)) != NULL) {
		STAILQ_REMOVE_HEAD(&dev->steps, next);
		/* A device that has been destroyed by a step has no host to do anything for. */
		if (dev->emu != NULL)
			step->fn(dev, step->arg);
		answer |= step->answer;
		free(step);
	}
	dev->pairs_are = PAIRS_HERE;
	if (dev->emu == NULL)
		return;
	if (answer && virtio_dev_op_pending(dev->vdev))
		virtio_dev_op_done(dev->vdev);
	device_resume(dev);
	if (answer)
		device_answer_host(dev, dev->step_err);
	dev->step_err = 0;
	device_release_try(dev);
}

int
device_quiesce(
	struct device *dev, void (*fn)(struct device *dev, void *arg), void *arg, bool answer)
{
	struct device_step *step;
	int err;

	if (dev->pairs_are == PAIRS_HERE) {
		fn(dev, arg);
		if (dev->emu != NULL)
			device_resume(dev);
		err = dev->step_err;
		dev->step_err = 0;
		return err;
	}
	step = must_zalloc(sizeof(*step));
	step->fn = fn;
	step->arg = arg;
	step->answer = answer;
	STAILQ_INSERT_TAIL(&dev->steps, step, next);
	if (dev->pairs_are == PAIRS_WITH_WORKERS) {
		withdraw(dev);
		grace_call(dev->ctl->grace, quiesced, dev);
	}
	return -EINPROGRESS;
}

void
device_step_nothing(struct device *dev, void *arg)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(arg);
}

void
device_stop(struct device *dev)
{
	device_fault_cancel(dev);
	device_rings_stop(dev);
	/* First what a successor would run by. */
	dev->state->started = 0;
	memset(dev->records, 0, sizeof(*dev->records) * device_num_queues(dev));
	memset(dev->state->ctrl_mac, 0, sizeof(dev->state->ctrl_mac));
	memset(&dev->state->hash, 0, sizeof(dev->state->hash));
	dev->state->rx_mode = 0;
	dev->state->pairs = 1;
	dev->waits_for_memory = false;
	dev->run++;
	device_sf_stop(dev);
	dev->started = false;
}
