/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What the client does to the device's memory and connection (struct emu_upcalls). */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include <rte_debug.h>

#include "device_fault.h"
#include "device_rings.h"
#include "device_run.h"
#include "log.h"

/* Larger than the ROMs of a PC. */
#define UNSHARED_WARN (16u << 20)

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

/* ROMs come without a descriptor, too; memory of that size is what the driver's rings will be in. */
static void
warn_unshared(struct device *dev, uint64_t iova, uint64_t len)
{
	if (len < UNSHARED_WARN || dev->warned_unshared)
		return;
	dev->warned_unshared = true;
	log_err("%s: the host does not share its memory at 0x%" PRIx64 " (%" PRIu64
		" MiB): rings there will not work; start the VM with shared memory (share=on)",
		dev->vuid, iova, len >> 20);
}

static int
up_mem_map(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	struct device *dev = ctx;
	int ret = hostmem_map(dev->hm, iova, len, fd, off, prot);

	if (fd < 0)
		warn_unshared(dev, iova, len);
	if (ret == 0)
		ret = publish_memory(dev);
	if (ret == 0 && dev->waits_for_memory)
		(void)device_quiesce(dev, device_step_nothing, NULL, false);
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

	device_rings_stop_in(dev, u->iova, u->len);
	free(u);
}

static void
unmap_answer(void *arg)
{
	struct unmap *u = arg;

	/* A client that has gone meanwhile is not waiting any more. */
	if (u->client == u->dev->client)
		device_answer_host(u->dev);
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
	if (dev->published && device_rings_use(dev, iova, len))
		return device_quiesce(dev, step_unmap, unmap_create(dev, iova, len), true);
	if (!dev->published) {
		device_rings_stop_in(dev, iova, len);
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
	return device_quiesce(dev, device_step_nothing, NULL, true);
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
	dev->warned_unshared = false;
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
