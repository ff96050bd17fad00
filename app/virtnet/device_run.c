/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Giving a device's pairs to workers and taking them back.
 *
 * One mechanism for everything that takes something away from workers - reset, queue reset, bus mastering off, memory
 * unmapped, client gone, removal: withdraw the pairs, wait for a grace period, run the steps that asked for it, publish
 * what can still run, answer the host.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_debug.h>

#include "device_fault.h"
#include "device_rings.h"
#include "device_run.h"
#include "log.h"

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
			workers_remove(dev->ctl->workers, dev->pair[i]);
	workers_publish(dev->ctl->workers);
	dev->published = false;
}

static bool
may_run(const struct device *dev)
{
	const uint8_t status = virtio_dev_status(dev->vdev);

	return dev->started && dev->dma_on && (status & VIRTIO_CONFIG_S_DRIVER_OK) &&
		!(status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

void
device_resume(struct device *dev)
{
	int ret;

	if (dev->published || !STAILQ_EMPTY(&dev->steps) || !may_run(dev))
		return;
	ret = device_rings_start(dev);
	dev->waits_for_memory = ret == -EFAULT;
	if (ret < 0 && ret != -EFAULT)
		log_err("%s: cannot start a queue: %s", dev->vuid, strerror(-ret));
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++) {
		struct qpair *qp = dev->pair[i];

		if (qp == NULL || (!qp->run[QPAIR_RX] && !qp->run[QPAIR_TX]))
			continue;
		ret = workers_add(dev->ctl->workers, qp);
		if (ret < 0)
			log_err("%s: pair %u: no worker: %s", dev->vuid, i, strerror(-ret));
	}
	workers_publish(dev->ctl->workers);
	dev->published = true;
}

void
device_answer_host(struct device *dev)
{
	if (virtio_dev_op_pending(dev->vdev))
		virtio_dev_op_done(dev->vdev);
	if (dev->emu != NULL)
		dev->emu->ops->op_done(dev->emu, 0);
}

/* The grace period is over. One answer after all steps: a device has one request under way. */
static void
quiesced(void *arg)
{
	struct device *dev = arg;
	struct device_step *step;
	bool answer = false;

	while ((step = STAILQ_FIRST(&dev->steps)) != NULL) {
		step->fn(dev, step->arg);
		answer |= step->answer;
		STAILQ_REMOVE_HEAD(&dev->steps, next);
		free(step);
	}
	/* Registers first: a queue that the driver has just enabled is started with the others. */
	if (answer && virtio_dev_op_pending(dev->vdev))
		virtio_dev_op_done(dev->vdev);
	device_resume(dev);
	if (answer)
		device_answer_host(dev);
}

int
device_quiesce(struct device *dev, void (*fn)(struct device *dev, void *arg), void *arg, bool answer)
{
	struct device_step *step;
	bool first;

	if (!dev->published && STAILQ_EMPTY(&dev->steps)) {
		fn(dev, arg);
		device_resume(dev);
		return 0;
	}
	step = malloc(sizeof(*step));
	if (step == NULL)
		rte_panic("out of memory\n");
	step->fn = fn;
	step->arg = arg;
	step->answer = answer;
	first = STAILQ_EMPTY(&dev->steps);
	STAILQ_INSERT_TAIL(&dev->steps, step, next);
	if (first) {
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

/* ---- number of pairs; the SF attaches its queues on the helper ---- */

struct pairs_job {
	struct device *dev;
	struct sf *sf;
	uint32_t run;
	uint16_t pairs;
	bool rx_csum;
	int err;
	void (*done)(struct device *dev, int err);
};

static void
pairs_work(void *arg)
{
	struct pairs_job *job = arg;

	job->err = job->sf->ops->set_queues(job->sf, job->pairs, job->rx_csum);
}

static void
pairs_apply(struct device *dev, uint16_t pairs)
{
	dev->state->pairs = pairs;
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++) {
		int ret;

		if (dev->pair[i] == NULL)
			continue;
		atomic_store(&dev->pair[i]->rx_on, i < pairs);
		ret = workers_rx_changed(dev->pair[i]);
		if (ret < 0)
			log_err("%s: pair %u: cannot watch the SF's queue: %s", dev->vuid, i, strerror(-ret));
	}
}

static void
pairs_done(void *arg)
{
	struct pairs_job *job = arg;
	struct device *dev = job->dev;

	if (job->err < 0)
		log_err("%s: SF %s: cannot set %u queue pairs: %s", dev->vuid, job->sf->rep, job->pairs,
			strerror(-job->err));
	if (job->run == dev->run && job->done != NULL) {
		/* A failed change keeps the former number. */
		pairs_apply(dev, job->err == 0 ? job->pairs : dev->state->pairs);
		job->done(dev, job->err);
	}
	free(job);
}

static struct pairs_job *
pairs_job(struct device *dev, uint16_t pairs, void (*done)(struct device *dev, int err))
{
	struct pairs_job *job = calloc(1, sizeof(*job));

	if (job == NULL)
		rte_panic("out of memory\n");
	job->dev = dev;
	job->sf = dev->sf;
	job->run = dev->run;
	job->pairs = pairs;
	job->rx_csum = virtio_has(virtio_dev_features(dev->vdev), VIRTIO_NET_F_GUEST_CSUM);
	job->done = done;
	return job;
}

static void
pairs_after_grace(void *arg)
{
	struct pairs_job *job = arg;

	helper_run(job->dev->ctl->helper, pairs_work, pairs_done, job);
}

/* Pairs above the new number stop receiving before the SF takes their queues away. */
void
device_set_pairs(struct device *dev, uint16_t pairs, void (*done)(struct device *dev, int err))
{
	for (uint16_t i = pairs; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL)
			atomic_store(&dev->pair[i]->rx_on, false);
	dev->sf_pairs = pairs;
	grace_call(dev->ctl->grace, pairs_after_grace, pairs_job(dev, pairs, done));
}

void
device_stop(struct device *dev)
{
	device_fault_cancel(dev);
	device_rings_stop(dev);
	memset(dev->records, 0, sizeof(*dev->records) * device_num_queues(dev));
	memset(dev->state->ctrl_mac, 0, sizeof(dev->state->ctrl_mac));
	dev->state->rx_mode = 0;
	dev->state->pairs = 1;
	dev->waits_for_memory = false;
	dev->run++;
	if (dev->sf_pairs > 0)
		helper_run(dev->ctl->helper, pairs_work, pairs_done, pairs_job(dev, 0, NULL));
	dev->sf_pairs = 0;
	dev->started = false;
}
