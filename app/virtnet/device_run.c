/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Running a device's queues.
 *
 * One mechanism for everything that takes something away from workers - reset, queue reset, bus mastering off, memory
 * unmapped, client gone, removal: withdraw the pairs, wait for a grace period, run the steps that asked for it, publish
 * what can still run, answer the host.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_debug.h>
#include <rte_malloc.h>

#include "device_fault.h"
#include "device_run.h"
#include "log.h"

struct device_step {
	STAILQ_ENTRY(device_step) next;
	void (*fn)(struct device *dev, void *arg);
	void *arg;
	bool answer;
};

/* ---- rings ---- */

static struct qpair *
pair_create(struct device *dev, uint16_t index)
{
	struct qpair *qp = rte_zmalloc("qpair", sizeof(*qp), RTE_CACHE_LINE_SIZE);

	if (qp == NULL)
		return NULL;
	qp->burst = vring_burst_select(virtio_dev_features(dev->vdev));
	qp->sf = dev->sf;
	qp->sf_ops = dev->sf->ops;
	qp->pool = dev->ctl->pool;
	qp->vdev = dev->vdev;
	qp->index = index;
	qp->dev = dev;
	qp->sf_fd = -1;
	for (int side = 0; side < QPAIR_SIDES; side++) {
		qp->kick_fd[side] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		dev->emu->ops->set_kick(dev->emu, qpair_queue(qp, side), qp->kick_fd[side]);
	}
	atomic_init(&qp->rx_on, index < dev->state->pairs);
	return qp;
}

static void
pair_destroy(struct device *dev, struct qpair *qp)
{
	for (int side = 0; side < QPAIR_SIDES; side++) {
		if (qp->run[side])
			vring_stop(&qp->ring[side]);
		dev->emu->ops->set_kick(dev->emu, qpair_queue(qp, side), -1);
		if (qp->kick_fd[side] >= 0)
			close(qp->kick_fd[side]);
	}
	rte_free(qp);
}

static int
ring_start(struct device *dev, struct qpair *qp, enum qpair_side side)
{
	const uint16_t q = qpair_queue(qp, side);
	const struct virtio_queue_state *qs = &virtio_dev_state(dev->vdev)->queue[q];
	const struct vring_conf conf = {
		.size = qs->size,
		.features = virtio_dev_features(dev->vdev),
		.desc = qs->desc,
		.driver = qs->driver,
		.device = qs->device,
		.hm = dev->hm,
		.record = &dev->records[q],
	};
	int ret;

	if (qp->run[side])
		return 0;
	ret = vring_start(&qp->ring[side], &conf);
	qp->run[side] = ret == 0;
	return ret;
}

bool
device_queue_wanted(const struct device *dev, uint16_t q)
{
	const struct virtio_queue_state *qs = &virtio_dev_state(dev->vdev)->queue[q];

	return qs->enable && !qs->reset;
}

/* Start every ring that the driver has enabled and that does not run. @return 0, or the first failure */
static int
rings_start(struct device *dev)
{
	int first = ctrl_vq_start(dev);

	for (uint16_t i = 0; i < virtio_net_pairs(virtio_dev_state(dev->vdev)); i++) {
		for (int side = 0; side < QPAIR_SIDES; side++) {
			int ret;

			if (!device_queue_wanted(dev, i * 2 + side))
				continue;
			if (dev->pair[i] == NULL)
				dev->pair[i] = pair_create(dev, i);
			ret = dev->pair[i] != NULL ? ring_start(dev, dev->pair[i], side) : -ENOMEM;
			if (ret < 0 && first == 0)
				first = ret;
		}
	}
	return first;
}

static void
rings_stop(struct device *dev)
{
	ctrl_vq_stop(dev);
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL) {
			pair_destroy(dev, dev->pair[i]);
			dev->pair[i] = NULL;
		}
}

/* Stop the rings that live in a range of memory; resume() starts them again once there is memory. */
static void
rings_stop_in(struct device *dev, uint64_t iova, uint64_t len)
{
	if (dev->ctrl.running && vring_uses(&dev->ctrl.ring, iova, len))
		ctrl_vq_stop(dev);
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++) {
		struct qpair *qp = dev->pair[i];

		for (int side = 0; qp != NULL && side < QPAIR_SIDES; side++)
			if (qp->run[side] && vring_uses(&qp->ring[side], iova, len)) {
				vring_stop(&qp->ring[side]);
				qp->run[side] = false;
			}
	}
}

static bool
rings_use(const struct device *dev, uint64_t iova, uint64_t len)
{
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		for (int side = 0; dev->pair[i] != NULL && side < QPAIR_SIDES; side++)
			if (dev->pair[i]->run[side] && vring_uses(&dev->pair[i]->ring[side], iova, len))
				return true;
	return false;
}

/* ---- with workers ---- */

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

/* Publish what can run. Rings whose memory is gone wait for it. */
static void
resume(struct device *dev)
{
	int ret;

	if (dev->published || !STAILQ_EMPTY(&dev->steps) || !may_run(dev))
		return;
	ret = rings_start(dev);
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

/* The register write or message that waits for us is done. */
static void
answer_host(struct device *dev)
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
	resume(dev);
	if (answer)
		answer_host(dev);
}

int
device_quiesce(struct device *dev, void (*fn)(struct device *dev, void *arg), void *arg, bool answer)
{
	struct device_step *step;
	bool first;

	if (!dev->published && STAILQ_EMPTY(&dev->steps)) {
		fn(dev, arg);
		resume(dev);
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

static void
step_nothing(struct device *dev, void *arg)
{
	RTE_SET_USED(dev);
	RTE_SET_USED(arg);
}

/* ---- SF queues (helper) ---- */

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

/* ---- virtio: what the driver asks for ---- */

static int
op_features_ok(void *ctx, uint64_t features)
{
	RTE_SET_USED(ctx);
	RTE_SET_USED(features);
	return 0;
}

static void
started(struct device *dev, int err)
{
	if (err < 0) {
		virtio_dev_needs_reset(dev->vdev);
		return;
	}
	dev->started = true;
	resume(dev);
	log_info("%s: driver is up, features 0x%" PRIx64 ", %u queue pairs", dev->vuid,
		virtio_dev_features(dev->vdev), dev->state->pairs);
}

/* Rings are tried at once, so that nonsense is answered at once; they run when the SF is ready. */
static int
op_driver_ok(void *ctx)
{
	struct device *dev = ctx;
	int ret;

	dev->run++;
	dev->state->pairs = 1;
	ret = hostmem_lost(dev->hm) ? -EFAULT : rings_start(dev);
	if (ret < 0) {
		log_err("%s: driver set up a queue that cannot work: %s", dev->vuid, strerror(-ret));
		rings_stop(dev);
		return ret;
	}
	device_set_pairs(dev, 1, started);
	return 0;
}

void
device_stop(struct device *dev)
{
	device_fault_cancel(dev);
	rings_stop(dev);
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

static void
step_reset(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	device_stop(dev);
}

static int
op_reset(void *ctx)
{
	return device_quiesce(ctx, step_reset, NULL, true);
}

static int
op_queue_enable(void *ctx, uint16_t queue)
{
	RTE_SET_USED(queue);
	return device_quiesce(ctx, step_nothing, NULL, true);
}

static void
step_queue_reset(struct device *dev, void *arg)
{
	const uint16_t q = (uint16_t)(uintptr_t)arg;
	struct qpair *qp;

	if (q == virtio_net_ctrl_queue(virtio_dev_state(dev->vdev))) {
		ctrl_vq_stop(dev);
	} else {
		qp = dev->pair[q / 2];
		if (qp != NULL && qp->run[q % 2]) {
			vring_stop(&qp->ring[q % 2]);
			qp->run[q % 2] = false;
		}
	}
	memset(&dev->records[q], 0, sizeof(dev->records[q]));
}

static int
op_queue_reset(void *ctx, uint16_t queue)
{
	return device_quiesce(ctx, step_queue_reset, (void *)(uintptr_t)queue, true);
}

static void
op_notify(void *ctx, uint16_t queue)
{
	const struct device *dev = ctx;
	int fd = -1;

	if (queue == virtio_net_ctrl_queue(virtio_dev_state(dev->vdev)))
		fd = dev->ctrl.running ? dev->ctrl.kick_fd : -1;
	else if (queue / 2 < dev->conf.max_pairs && dev->pair[queue / 2] != NULL)
		fd = dev->pair[queue / 2]->kick_fd[queue % 2];
	if (fd >= 0)
		(void)eventfd_write(fd, 1);
}

static void
op_irq_msix(void *ctx, uint16_t vector)
{
	struct device *dev = ctx;

	dev->emu->ops->irq_msix(dev->emu, vector);
}

static void
op_irq_intx(void *ctx, bool level)
{
	struct device *dev = ctx;

	dev->emu->ops->irq_intx(dev->emu, level);
}

static bool
op_msix_enabled(void *ctx)
{
	const struct device *dev = ctx;

	return dev->emu->ops->msix_enabled(dev->emu);
}

const struct virtio_dev_ops device_virtio_ops = {
	.features_ok = op_features_ok,
	.driver_ok = op_driver_ok,
	.reset = op_reset,
	.queue_enable = op_queue_enable,
	.queue_reset = op_queue_reset,
	.notify = op_notify,
	.irq_msix = op_irq_msix,
	.irq_intx = op_irq_intx,
	.msix_enabled = op_msix_enabled,
};

/* ---- transport: memory and connection ---- */

/* What a former table held, on its way to the helper. */
struct retired {
	struct controller *ctl;
	struct hostmem_retired *memory;
};

static void
retired_free(void *arg)
{
	hostmem_retire(arg);
}

static void
retired_after_grace(void *arg)
{
	struct retired *r = arg;

	helper_run(r->ctl->helper, retired_free, NULL, r->memory);
	free(r);
}

/* Publish the table; what it replaces is freed when no worker can be using it, by the helper: munmap may take long. */
static int
publish_memory(struct device *dev)
{
	struct hostmem_retired *memory = NULL;
	const int ret = hostmem_publish(dev->hm, &memory);
	struct retired *r;

	if (ret < 0 || memory == NULL)
		return ret;
	r = malloc(sizeof(*r));
	if (r == NULL)
		rte_panic("out of memory\n");
	r->ctl = dev->ctl;
	r->memory = memory;
	grace_call(dev->ctl->grace, retired_after_grace, r);
	return 0;
}

static int
up_mem_map(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	struct device *dev = ctx;
	int ret = hostmem_map(dev->hm, iova, len, fd, off, prot);

	if (ret == 0)
		ret = publish_memory(dev);
	if (ret == 0 && dev->waits_for_memory)
		(void)device_quiesce(dev, step_nothing, NULL, false);
	if (ret == 0)
		device_fault_retry(dev);
	return ret;
}

struct unmap {
	struct device *dev;
	uint64_t iova, len;
	uint32_t client;
};

static struct unmap *
unmap_create(struct device *dev, uint64_t iova, uint64_t len)
{
	struct unmap *u = malloc(sizeof(*u));

	if (u == NULL)
		rte_panic("out of memory\n");
	*u = (struct unmap){.dev = dev, .iova = iova, .len = len, .client = dev->client};
	return u;
}

static void
step_unmap(struct device *dev, void *arg)
{
	struct unmap *u = arg;

	rings_stop_in(dev, u->iova, u->len);
	free(u);
}

static void
unmap_answer(void *arg)
{
	struct unmap *u = arg;

	/* A client that has gone meanwhile is not waiting any more. */
	if (u->client == u->dev->client)
		answer_host(u->dev);
	free(u);
}

/*
 * The new table is in force at once; the answer waits until no worker can be using the old one. Rings in the range are
 * stopped first.
 */
static int
up_mem_unmap(void *ctx, uint64_t iova, uint64_t len, bool all)
{
	struct device *dev = ctx;
	int ret;

	if (all) {
		iova = 0;
		len = UINT64_MAX;
		hostmem_unmap_all(dev->hm);
	} else {
		ret = hostmem_unmap(dev->hm, iova, len);
		if (ret <= 0)
			return ret < 0 ? ret : -ENOENT;
	}
	ret = publish_memory(dev);
	if (ret < 0)
		return ret;
	if (dev->published && rings_use(dev, iova, len))
		return device_quiesce(dev, step_unmap, unmap_create(dev, iova, len), true);
	if (!dev->published) {
		rings_stop_in(dev, iova, len);
		return 0;
	}
	if (dev->ctrl.running && vring_uses(&dev->ctrl.ring, iova, len)) {
		ctrl_vq_stop(dev);
		dev->waits_for_memory = true;
	}
	grace_call(dev->ctl->grace, unmap_answer, unmap_create(dev, iova, len));
	return -EINPROGRESS;
}

static int
up_dma_enable(void *ctx, bool on)
{
	struct device *dev = ctx;

	dev->dma_on = on;
	return device_quiesce(dev, step_nothing, NULL, true);
}

static void
up_connected(void *ctx)
{
	const struct device *dev = ctx;

	log_info("%s: host connected", dev->vuid);
}

void
device_forget_memory(struct device *dev)
{
	hostmem_unmap_all(dev->hm);
	(void)publish_memory(dev);
}

static void
step_gone(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	if (virtio_dev_op_pending(dev->vdev))
		virtio_dev_op_done(dev->vdev);
	(void)virtio_dev_reset(dev->vdev);
	device_forget_memory(dev);
}

static int
up_disconnected(void *ctx)
{
	struct device *dev = ctx;

	log_info("%s: host disconnected", dev->vuid);
	dev->client++;
	device_host_gone(dev);
	return device_quiesce(dev, step_gone, NULL, true);
}

static void
close_fd(void *arg)
{
	close((int)(intptr_t)arg);
}

static void
up_retire_fd(void *ctx, int fd)
{
	struct device *dev = ctx;

	grace_call(dev->ctl->grace, close_fd, (void *)(intptr_t)fd);
}

const struct emu_upcalls device_emu_upcalls = {
	.mem_map = up_mem_map,
	.mem_unmap = up_mem_unmap,
	.dma_enable = up_dma_enable,
	.connected = up_connected,
	.disconnected = up_disconnected,
	.retire_fd = up_retire_fd,
};
