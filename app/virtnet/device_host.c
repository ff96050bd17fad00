/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * What the client does to the device's memory and connection (struct emu_upcalls).
 *
 * A process may end between any two steps; its successor gets the request again and finds the state
 * block as it was left. Memory: device_dma.c. Bus mastering is read from configuration space. The
 * end of a connection is dealt with from the beginning.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device_dma.h"
#include "device_fault.h"
#include "device_rings.h"
#include "device_run.h"
#include "device_transport.h"
#include "keeper_link.h"
#include "log.h"
#include "mem.h"
#include "state/fault_point.h"

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

/* Publish the table; what it replaces is freed when no worker can be using it, by the helper:
 * munmap may take long. */
static int
publish_memory(struct device *dev)
{
	struct hostmem_retired *memory = NULL;
	const int ret = hostmem_publish(dev->hm, &memory);
	struct retired *r;

	if (ret == 0)
		dev->tables++;
	if (ret < 0 || memory == NULL)
		return ret;
	r = must_zalloc(sizeof(*r));
	r->ctl = dev->ctl;
	r->memory = memory;
	grace_call(dev->ctl->grace, retired_after_grace, r);
	return 0;
}

/* ROMs come without a descriptor, too; memory of that size is what the driver's rings will be in.
 */
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

/* Here and in the state block. */
static int
map_memory(struct device *dev, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	int ret = hostmem_map(dev->hm, iova, len, fd, off, prot);

	if (ret == -ENOSPC)
		log_limited(&dev->log_limit, LOG_LEVEL_ERR,
			"%s: memory of %" PRIu64 " bytes at 0x%" PRIx64 " is refused: %s",
			dev->vuid, len, iova, hostmem_refusal(dev->hm));
	if (ret < 0 || dev->dma == NULL)
		return ret;
	FAULT_POINT("device.map.begin");
	ret = device_dma_map(dev->dma, dev->mailbox->seq, iova, len, fd, off, prot,
		hostmem_mapped_size(dev->hm, iova));
	FAULT_POINT("device.map.recorded");
	if (ret < 0)
		(void)hostmem_unmap(dev->hm, iova, len);
	return ret;
}

static int
up_mem_map(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	struct device *dev = ctx;
	int ret;

	if (dev->dma != NULL && device_dma_mapped(dev->dma, dev->mailbox->seq, iova, len))
		return 0;
	ret = map_memory(dev, iova, len, fd, off, prot);
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

/* Rings in the range have let go of it before the table changes: they hold addresses that no table
 * can renew. */
static void
step_unmap(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	device_rings_stop_in(dev, dev->unmap_iova, dev->unmap_len);
	dev->waits_for_memory = true;
	dev->step_err = publish_memory(dev);
}

/* An answer for a client, if it is still the same. */
struct unmap_answer {
	struct device *dev;
	uint32_t client;
};

static void
unmap_answer(void *arg)
{
	struct unmap_answer *a = arg;

	if (a->client == a->dev->client && a->dev->emu != NULL)
		device_answer_host(a->dev, 0);
	free(a);
}

/* Only packets were in the range: the new table is in force at once, nobody uses the old one after
 * a grace period. */
static int
unmap_buffers(struct device *dev)
{
	struct unmap_answer *a = malloc(sizeof(*a));
	const int ret = a != NULL ? publish_memory(dev) : -ENOMEM;

	if (ret < 0) {
		free(a);
		return ret;
	}
	a->dev = dev;
	a->client = dev->client;
	grace_call(dev->ctl->grace, unmap_answer, a);
	return -EINPROGRESS;
}

/* Here and in the state block. @return 0; -ENOENT; -errno */
static int
unmap_memory(struct device *dev, uint64_t iova, uint64_t len)
{
	const int ret = hostmem_unmap(dev->hm, iova, len);

	if (ret < 0)
		return ret;
	if (ret == 0)
		return dev->dma != NULL && device_dma_unmapped(dev->dma, dev->mailbox->seq)
			       ? 0
			       : -ENOENT;
	FAULT_POINT("device.unmap.begin");
	if (dev->dma != NULL)
		device_dma_unmap(dev->dma, dev->mailbox->seq, iova, len);
	FAULT_POINT("device.unmap.recorded");
	return 0;
}

static void
unmap_all_memory(struct device *dev)
{
	hostmem_unmap_all(dev->hm);
	if (dev->dma != NULL)
		device_dma_unmap_all(dev->dma, dev->mailbox->seq);
}

static int
up_mem_unmap(void *ctx, uint64_t iova, uint64_t len, bool all)
{
	struct device *dev = ctx;
	int ret;

	if (all) {
		iova = 0;
		len = UINT64_MAX;
		unmap_all_memory(dev);
	} else {
		ret = unmap_memory(dev, iova, len);
		if (ret < 0)
			return ret;
	}
	dev->unmap_iova = iova;
	dev->unmap_len = len;
	if (dev->pairs_are == PAIRS_WITH_WORKERS && !device_rings_use(dev, iova, len))
		return unmap_buffers(dev);
	return device_quiesce(dev, step_unmap, NULL, true);
}

/* ---- memory by tables: edits, then all at once */

static int
up_mem_add(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	struct device *dev = ctx;

	if (dev->dma != NULL && device_dma_mapped(dev->dma, dev->mailbox->seq, iova, len))
		return 0;
	return map_memory(dev, iova, len, fd, off, prot);
}

static int
up_mem_remove(void *ctx, uint64_t iova, uint64_t len)
{
	struct device *dev = ctx;
	struct device_edits *e = &dev->edits;
	const int ret = unmap_memory(dev, iova, len);

	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	if (e->n < RTE_DIM(e->range)) {
		e->range[e->n].iova = iova;
		e->range[e->n].len = len;
	}
	e->n++;
	return 0;
}

/* Rings in what goes hold addresses that no table can renew: they are started again with the new
 * table, if it has their memory. */
static void
step_commit(struct device *dev, void *arg)
{
	const struct device_edits *e = &dev->edits;

	RTE_SET_USED(arg);
	for (unsigned int i = 0; i < RTE_MIN(e->n, RTE_DIM(e->range)); i++)
		device_rings_stop_in(dev, e->range[i].iova, e->range[i].len);
	if (e->n > RTE_DIM(e->range))
		device_rings_stop_in(dev, 0, UINT64_MAX);
	dev->edits.n = 0;
	dev->waits_for_memory = true;
	dev->step_err = publish_memory(dev);
}

static bool
edits_hit_rings(const struct device *dev)
{
	const struct device_edits *e = &dev->edits;

	for (unsigned int i = 0; i < RTE_MIN(e->n, RTE_DIM(e->range)); i++)
		if (device_rings_use(dev, e->range[i].iova, e->range[i].len))
			return true;
	return e->n > RTE_DIM(e->range);
}

static int
up_mem_commit(void *ctx)
{
	struct device *dev = ctx;
	int ret;

	if (dev->edits.n == 0) {
		ret = publish_memory(dev);
		if (ret == 0 && dev->waits_for_memory)
			(void)device_quiesce(dev, device_step_nothing, NULL, false);
	} else if (dev->pairs_are == PAIRS_WITH_WORKERS && !edits_hit_rings(dev)) {
		dev->edits.n = 0;
		ret = unmap_buffers(dev);
	} else {
		ret = device_quiesce(dev, step_commit, NULL, true);
	}
	if (ret == 0 || ret == -EINPROGRESS)
		device_fault_retry(dev);
	return ret;
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
	struct device *dev = ctx;

	log_limited(&dev->log_limit, LOG_LEVEL_INFO, "%s: host connected", dev->vuid);
}

void
device_forget_memory(struct device *dev)
{
	unmap_all_memory(dev);
	(void)publish_memory(dev);
}

static void
step_gone(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	if (virtio_dev_op_pending(dev->vdev))
		virtio_dev_op_done(dev->vdev);
	(void)virtio_dev_reset(dev->vdev);
	dev->edits.n = 0;
	rte_pktmbuf_free(dev->announcement);
	dev->announcement = NULL;
	device_forget_memory(dev);
}

static int
up_disconnected(void *ctx)
{
	struct device *dev = ctx;

	log_limited(&dev->log_limit, LOG_LEVEL_INFO, "%s: host disconnected", dev->vuid);
	dev->client++;
	dev->state->clients++;
	dev->warned_unshared = false;
	device_host_gone(dev);
	return device_quiesce(dev, step_gone, NULL, true);
}

static void
close_fd(void *arg)
{
	close((int)(intptr_t)arg);
}

/* ---- memory that is not the device's: the dirty log */

static int
up_area_map(void *ctx, uint64_t len, int fd, off_t off, uint8_t **va)
{
	struct device *dev = ctx;
	/* A successor gets what its predecessor had. */
	const int ret = hostmem_area(dev->hm, fd, off, len, dev->held, va);

	if (ret < 0)
		log_limited(&dev->log_limit, LOG_LEVEL_ERR,
			"%s: a dirty log of %" PRIu64 " bytes is refused: %s", dev->vuid, len,
			ret == -ENOSPC ? hostmem_refusal(dev->hm) : strerror(-ret));
	return ret;
}

static void
up_area_end(void *ctx, uint8_t *va)
{
	struct device *dev = ctx;

	hostmem_area_end(dev->hm, va);
}

static void
up_retire_fd(void *ctx, int fd)
{
	struct device *dev = ctx;

	grace_call(dev->ctl->grace, close_fd, (void *)(intptr_t)fd);
}

/* Without a keeper nothing outlives this process. */
static void
up_keep(void *ctx, enum emu_keep kind, unsigned int index, unsigned int count, int fd)
{
	static const enum ha_fd_kind kinds[] = {
		[EMU_KEEP_MSIX] = HA_FD_MSIX,
		[EMU_KEEP_INTX] = HA_FD_INTX,
		[EMU_KEEP_KICK] = HA_FD_KICK,
		[EMU_KEEP_TRANSPORT] = HA_FD_TRANSPORT,
	};
	const enum ha_fd_kind as = kinds[kind];
	const struct device *dev = ctx;

	if (dev->handle == 0)
		return;
	if (fd >= 0)
		keeper_link_store(dev->ctl->keeper, dev->handle, as, index, &fd, 1);
	else
		keeper_link_drop(dev->ctl->keeper, dev->handle, as, index, count);
}

const struct emu_upcalls device_emu_upcalls = {
	.mem_map = up_mem_map,
	.mem_unmap = up_mem_unmap,
	.mem_add = up_mem_add,
	.mem_remove = up_mem_remove,
	.mem_commit = up_mem_commit,
	.area_map = up_area_map,
	.area_end = up_area_end,
	.dma_enable = up_dma_enable,
	.connected = up_connected,
	.disconnected = up_disconnected,
	.queue_base = device_up_queue_base,
	.queue_set_base = device_up_queue_set_base,
	.pairs_changed = device_up_pairs_changed,
	.kick_changed = device_up_kick_changed,
	.log_changed = device_up_log_changed,
	.announce = device_up_announce,
	.retire_fd = up_retire_fd,
	.keep = up_keep,
};
