/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What the driver asks for through its registers (struct virtio_dev_ops). */

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>

#include "device_rings.h"
#include "device_run.h"
#include "device_sf.h"
#include "device_transport.h"
#include "log.h"
#include "state/fault_point.h"

static int
op_features_ok(void *ctx, uint64_t features)
{
	RTE_SET_USED(ctx);
	RTE_SET_USED(features);
	return 0;
}

static void
started(struct device *dev, int err, uint32_t token)
{
	RTE_SET_USED(token);
	if (err < 0) {
		virtio_dev_needs_reset(dev->vdev);
		return;
	}
	if (dev->started)
		return;
	dev->started = true;
	dev->state->started = 1;
	FAULT_POINT("device.start.done");
	device_resume(dev);
	device_refresh_bdf(dev);
	log_limited(&dev->log_limit, LOG_LEVEL_INFO,
		"%s: driver is up, features 0x%" PRIx64 ", %u queue pairs", dev->vuid,
		virtio_dev_features(dev->vdev), dev->state->pairs);
}

/*
 * Rings are tried at once, so that nonsense is answered at once; they run when the SF is ready.
 * Without bus mastering nothing in the host's memory may be touched yet.
 */
static int
op_driver_ok(void *ctx)
{
	struct device *dev = ctx;
	int ret;

	dev->run++;
	dev->state->pairs = device_transport_pairs(dev);
	ret = hostmem_lost(dev->hm) ? -EFAULT : 0;
	if (ret == 0 && dev->dma_on)
		ret = device_rings_start(dev);
	if (ret < 0) {
		log_limited(&dev->log_limit, LOG_LEVEL_ERR,
			"%s: driver set up a queue that cannot work: %s", dev->vuid,
			strerror(-ret));
		device_rings_stop(dev);
		return ret;
	}
	device_sf_set_pairs(dev, dev->state->pairs, started, 0);
	return 0;
}

static void
started_again(struct device *dev, int err, uint32_t token)
{
	RTE_SET_USED(token);
	if (err < 0) {
		virtio_dev_needs_reset(dev->vdev);
		return;
	}
	dev->started = true;
	device_resume(dev);
}

void
device_pairs_changed(struct device *dev)
{
	const uint16_t pairs = device_transport_pairs(dev);

	if ((virtio_dev_status(dev->vdev) & VIRTIO_CONFIG_S_DRIVER_OK) == 0 || dev->held ||
		pairs == dev->state->sf.wanted)
		return;
	/* It takes the place of the start, if that is still under way. */
	device_sf_set_pairs(dev, pairs, started, 0);
}

void
device_start_again(struct device *dev)
{
	const bool was = dev->state->started;
	const bool told = dev->emu->ops->pairs != NULL;

	dev->run++;
	dev->started = false;
	device_sf_set_pairs(dev, was && !told ? dev->state->pairs : device_transport_pairs(dev),
		was ? started_again : started, 0);
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
	return device_quiesce(ctx, device_step_nothing, NULL, true);
}

static void
step_queue_reset(struct device *dev, void *arg)
{
	device_ring_reset(dev, (uint16_t)(uintptr_t)arg);
}

static int
op_queue_reset(void *ctx, uint16_t queue)
{
	return device_quiesce(ctx, step_queue_reset, (void *)(uintptr_t)queue, true);
}

static void
step_queue_stop(struct device *dev, void *arg)
{
	device_ring_stop(dev, (uint16_t)(uintptr_t)arg);
}

static int
op_queue_stop(void *ctx, uint16_t queue)
{
	return device_quiesce(ctx, step_queue_stop, (void *)(uintptr_t)queue, true);
}

static void
op_notify(void *ctx, uint16_t queue)
{
	const struct device *dev = ctx;
	int fd = -1;

	if (dev->ctrl.running && queue == dev->ctrl.queue)
		fd = dev->ctrl.kick_fd;
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
	.queue_stop = op_queue_stop,
	.notify = op_notify,
	.irq_msix = op_irq_msix,
	.irq_intx = op_irq_intx,
	.msix_enabled = op_msix_enabled,
};
