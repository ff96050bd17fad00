/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The parts of a device around its state block. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device_dma.h"
#include "device_function.h"
#include "device_run.h"
#include "keeper_link.h"
#include "topology.h"
#include "virtio/virtio_net_ctrl.h"

#define DEVICE_SPEED_MBPS  25000
#define DEVICE_FULL_DUPLEX 1
#define DEVICE_SOCKET_MODE 0600

/* ---- memory */

struct device *
device_alloc(struct controller *c)
{
	struct device *dev = calloc(1, sizeof(*dev));

	if (dev == NULL)
		return NULL;
	dev->ctl = c;
	dev->emu_ops = c->emu_ops;
	STAILQ_INIT(&dev->steps);
	return dev;
}

/* Nobody has any of these descriptors. */
static int *
no_descriptors(unsigned int n)
{
	int *fds = malloc(n * sizeof(*fds));

	for (unsigned int i = 0; fds != NULL && i < n; i++)
		fds[i] = -1;
	return fds;
}

int
device_alloc_queues(struct device *dev)
{
	dev->pair = calloc(dev->conf.max_pairs, sizeof(*dev->pair));
	dev->sf_stored = no_descriptors(dev->conf.max_pairs);
	dev->kick_kept = no_descriptors(device_num_queues(dev));
	dev->base_told = calloc(device_num_queues(dev), sizeof(*dev->base_told));
	dev->hm = hostmem_create(dev->ctl->files);
	return dev->base_told != NULL && dev->pair != NULL && dev->sf_stored != NULL &&
			       dev->kick_kept != NULL && dev->hm != NULL
		       ? 0
		       : -ENOMEM;
}

void
device_free(struct device *dev)
{
	if (dev->emu != NULL)
		dev->emu->ops->destroy(dev->emu);
	if (dev->vdev != NULL)
		virtio_dev_destroy(dev->vdev);
	device_dma_destroy(dev->dma);
	if (dev->hm != NULL)
		hostmem_destroy(dev->hm);
	for (uint16_t q = 0; dev->kick_kept != NULL && q < device_num_queues(dev); q++)
		if (dev->kick_kept[q] >= 0)
			close(dev->kick_kept[q]);
	rte_pktmbuf_free(dev->announcement);
	state_block_close(dev->block);
	free(dev->guard);
	free(dev->kick_kept);
	free(dev->base_told);
	free(dev->sf_stored);
	free(dev->pair);
	free(dev);
}

/* ---- memory ranges for a successor */

static void
dma_store(void *ctx, unsigned int slot, int fd)
{
	const struct device *dev = ctx;

	keeper_link_store(dev->ctl->keeper, dev->handle, HA_FD_DMA, slot, &fd, 1);
}

static void
dma_drop(void *ctx, unsigned int slot)
{
	const struct device *dev = ctx;

	keeper_link_drop(dev->ctl->keeper, dev->handle, HA_FD_DMA, slot, 1);
}

static const struct device_dma_ops dma_ops = {.store = dma_store, .drop = dma_drop};

/* ---- the function */

static void
fill_net_config(const struct device *dev, struct virtio_net_config *config)
{
	memcpy(config->mac, &dev->conf.mac, sizeof(config->mac));
	config->status = VIRTIO_NET_S_LINK_UP;
	config->max_virtqueue_pairs = dev->conf.max_pairs;
	config->mtu = dev->conf.mtu;
	config->speed = DEVICE_SPEED_MBPS;
	config->duplex = DEVICE_FULL_DUPLEX;
	if (virtio_has(dev->conf.features, VIRTIO_NET_F_HASH_REPORT)) {
		config->rss_max_key_size = VIRTIO_NET_HASH_KEY_SIZE;
		config->supported_hash_types = VIRTIO_NET_HASH_TYPES;
	}
}

static int
create_virtio(struct device *dev, bool fresh)
{
	struct virtio_dev_params vp = {
		.device_features = dev->conf.features,
		.num_queues = device_num_queues(dev),
		.max_queue_size = dev->conf.max_queue_size,
		.num_vectors = dev->conf.num_msix,
	};

	fill_net_config(dev, &vp.config);
	return virtio_dev_create(dev->virtio, &vp, fresh, &device_virtio_ops, dev, &dev->vdev);
}

static int
create_local_door(struct device *dev)
{
	const struct emu_door_params dp = {
		.socket = dev->socket,
		.mode = DEVICE_SOCKET_MODE,
		.base = dev->ctl->base,
		.mailbox = dev->mailbox,
		.max_queues = VIRTIO_MAX_QUEUES,
		.any_file = dev->ctl->cfg.any_file,
	};

	return dev->emu_ops->door_create(&dp, &dev->emu, &dev->door);
}

static int
create_keeper_door(struct device *dev, const struct device_function_how *how)
{
	struct ha_open open = {
		.mode = DEVICE_SOCKET_MODE,
		.gid = -1,
		.max_queues = VIRTIO_MAX_QUEUES,
		.any_fd = dev->ctl->cfg.any_file,
	};
	int ret;

	snprintf(open.transport, sizeof(open.transport), "%s", dev->emu_ops->name);
	snprintf(open.vuid, sizeof(open.vuid), "%s", dev->vuid);
	snprintf(open.path, sizeof(open.path), "%s", dev->socket);
	ret = keeper_door_create(dev->ctl->keeper, dev->handle, &open, how->adopt, how->connected,
		state_block_fd(dev->block), &dev->emu, &dev->door);
	if (ret == 0)
		dev->opened = how->adopt;
	return ret;
}

int
device_function_create(struct device *dev, const struct device_function_how *how)
{
	struct emu_params ep = {
		.pci = dev->pci,
		.transport = dev->transport_state,
		.mailbox = dev->mailbox,
		.fresh = how->fresh_pci,
		.msix_vectors = dev->conf.num_msix,
		.serial = topology_serial(&dev->ctl->cfg, dev->slot),
		.up = &device_emu_upcalls,
		.ctx = dev,
	};
	int ret = create_virtio(dev, how->fresh_virtio);

	if (ret == 0 && dev->handle != 0)
		ret = device_dma_create(dev->dma_state, &dma_ops, dev, &dev->dma);
	if (ret == 0)
		ret = dev->handle != 0 ? create_keeper_door(dev, how) : create_local_door(dev);
	if (ret < 0)
		return ret;
	ep.vdev = dev->vdev;
	ep.door = how->door != NULL ? how->door(dev, dev->door) : dev->door;
	ret = dev->emu_ops->create(&ep, &dev->emu);
	if (ret == 0)
		dev->dma_on = dev->emu->ops->dma_enabled(dev->emu);
	return ret;
}
