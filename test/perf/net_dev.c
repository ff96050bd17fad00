/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Bringing a virtio-pci network device up over vfio-user (virtio 1.2, 3.1.1 and 4.1). */

#include "net_dev.h"

#include <err.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <rte_common.h>

/* Above 4 GiB, so that nothing works by cutting addresses short. */
#define MEM_IOVA  (UINT64_C(1) << 32)
#define MEM_ALIGN 4096u
#define MAX_CAPS  48 /* what fits in 256 bytes: a chain that is longer is a loop */

static void
must(int ret, const char *what)
{
	if (ret < 0)
		errx(EXIT_FAILURE, "%s: %s", what, strerror(-ret));
}

static uint64_t
get(struct net_dev *dev, uint32_t region, uint32_t off, uint32_t width)
{
	uint64_t value = 0;

	must(vfio_user_client_region_read(dev->client, region, off, &value, width),
		"read of a register");
	return value;
}

static void
set(struct net_dev *dev, uint32_t region, uint32_t off, uint64_t value, uint32_t width)
{
	must(vfio_user_client_region_write(dev->client, region, off, &value, width),
		"write of a register");
}

static uint64_t
common_get(struct net_dev *dev, uint32_t field, uint32_t width)
{
	return get(dev, dev->common.bar, dev->common.offset + field, width);
}

static void
common_set(struct net_dev *dev, uint32_t field, uint64_t value, uint32_t width)
{
	set(dev, dev->common.bar, dev->common.offset + field, value, width);
}

static void
common_set_address(struct net_dev *dev, uint32_t field, uint64_t iova)
{
	common_set(dev, field, (uint32_t)iova, 4);
	common_set(dev, field + 4, iova >> 32, 4);
}

static void
take_capability(struct net_dev *dev, uint32_t at)
{
	const uint32_t cfg = VFIO_PCI_CONFIG_REGION_INDEX;
	const struct net_dev_regs regs = {
		.bar = (uint32_t)get(dev, cfg, at + offsetof(struct virtio_pci_cap, bar), 1),
		.offset = (uint32_t)get(dev, cfg, at + offsetof(struct virtio_pci_cap, offset), 4),
	};

	switch (get(dev, cfg, at + offsetof(struct virtio_pci_cap, cfg_type), 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		dev->common = regs;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		dev->notify = regs;
		dev->notify_multiplier = (uint32_t)get(dev, cfg,
			at + offsetof(struct virtio_pci_notify_cap, notify_off_multiplier), 4);
		break;
	}
}

static void
find_registers(struct net_dev *dev)
{
	const uint32_t cfg = VFIO_PCI_CONFIG_REGION_INDEX;
	uint32_t at = (uint32_t)get(dev, cfg, PCI_CAPABILITY_LIST, 1);

	dev->common.offset = dev->notify.offset = UINT32_MAX;
	for (int i = 0; at >= PCI_STD_HEADER_SIZEOF && i < MAX_CAPS; i++) {
		if (get(dev, cfg, at, 1) == PCI_CAP_ID_VNDR)
			take_capability(dev, at);
		at = (uint32_t)get(dev, cfg, at + PCI_CAP_LIST_NEXT, 1);
	}
	if (dev->common.offset == UINT32_MAX || dev->notify.offset == UINT32_MAX)
		errx(EXIT_FAILURE, "not a modern virtio device: a register structure is missing");
	set(dev, cfg, PCI_COMMAND,
		get(dev, cfg, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void
add_status(struct net_dev *dev, uint8_t bit)
{
	common_set(dev, VIRTIO_PCI_COMMON_STATUS,
		common_get(dev, VIRTIO_PCI_COMMON_STATUS, 1) | bit, 1);
}

static void
negotiate(struct net_dev *dev, uint64_t wanted)
{
	uint64_t offered = 0;

	for (uint32_t half = 0; half < 2; half++) {
		common_set(dev, VIRTIO_PCI_COMMON_DFSELECT, half, 4);
		offered |= common_get(dev, VIRTIO_PCI_COMMON_DF, 4) << (32 * half);
	}
	dev->features = wanted & offered;
	for (uint32_t half = 0; half < 2; half++) {
		common_set(dev, VIRTIO_PCI_COMMON_GFSELECT, half, 4);
		common_set(dev, VIRTIO_PCI_COMMON_GF, (uint32_t)(dev->features >> (32 * half)), 4);
	}
	add_status(dev, VIRTIO_CONFIG_S_FEATURES_OK);
	if ((common_get(dev, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_FEATURES_OK) == 0)
		errx(EXIT_FAILURE, "the device refuses features 0x%" PRIx64, dev->features);
}

static void
memory_create(struct net_dev *dev, uint64_t size)
{
	const int fd = memfd_create("virtnet-perf", MFD_CLOEXEC);

	dev->mem_size = RTE_ALIGN_CEIL(size, MEM_ALIGN);
	if (fd < 0 || ftruncate(fd, (off_t)dev->mem_size) != 0)
		err(EXIT_FAILURE, "memfd");
	dev->mem =
		mmap(NULL, dev->mem_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (dev->mem == MAP_FAILED)
		err(EXIT_FAILURE, "mmap of %" PRIu64 " bytes", dev->mem_size);
	must(vfio_user_client_dma_map(dev->client, MEM_IOVA, dev->mem_size, fd, 0,
		     VFIO_USER_DMA_F_READ | VFIO_USER_DMA_F_WRITE),
		"DMA map");
	close(fd);
}

static uint16_t
queue_size_of(struct net_dev *dev, uint16_t index, uint16_t wanted)
{
	uint16_t max;

	common_set(dev, VIRTIO_PCI_COMMON_Q_SELECT, index, 2);
	max = (uint16_t)common_get(dev, VIRTIO_PCI_COMMON_Q_SIZE, 2);
	if (max == 0)
		errx(EXIT_FAILURE, "the device has no queue %u", index);
	return RTE_MIN(wanted, max);
}

static void
queue_create(struct net_dev *dev, uint16_t index, uint16_t wanted)
{
	struct net_dev_queue *q = &dev->queue[index];
	const uint16_t size = queue_size_of(dev, index, wanted);
	const uint64_t iova = net_dev_alloc(dev, vring_driver_memory(size, dev->features));
	struct vring_driver_conf conf = {
		.size = size,
		.features = dev->features,
		.va = net_dev_va(dev, iova),
		.iova = iova,
	};

	q->index = index;
	conf.slots = q->slots = calloc(size, sizeof(*q->slots));
	if (q->slots == NULL)
		err(EXIT_FAILURE, "queue %u", index);
	must(vring_driver_init(&q->ring, &conf), "ring");
	vring_driver_interrupts_off(&q->ring);
	common_set(dev, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	common_set_address(dev, VIRTIO_PCI_COMMON_Q_DESCLO, q->ring.desc_iova);
	common_set_address(dev, VIRTIO_PCI_COMMON_Q_AVAILLO, q->ring.driver_iova);
	common_set_address(dev, VIRTIO_PCI_COMMON_Q_USEDLO, q->ring.device_iova);
	q->doorbell = dev->notify.offset + (uint32_t)common_get(dev, VIRTIO_PCI_COMMON_Q_NOFF, 2) *
						   dev->notify_multiplier;
	common_set(dev, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

void
net_dev_open(struct net_dev *dev, const char *path, uint64_t features, uint16_t queue_size,
	uint64_t buffers)
{
	struct vfio_user_caps caps;

	*dev = (struct net_dev){0};
	must(vfio_user_client_connect(path, &dev->client), path);
	must(vfio_user_client_negotiate(dev->client, &caps), "version");
	find_registers(dev);
	common_set(dev, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	add_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(dev, VIRTIO_CONFIG_S_DRIVER);
	negotiate(dev, features);
	memory_create(dev,
		buffers + NET_DEV_QUEUES *
				  (vring_driver_memory(queue_size, dev->features) + MEM_ALIGN));
	for (uint16_t i = 0; i < NET_DEV_QUEUES; i++)
		queue_create(dev, i, queue_size);
	add_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
	if (common_get(dev, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET)
		errx(EXIT_FAILURE, "the device cannot start: it needs a reset");
}

void
net_dev_close(struct net_dev *dev)
{
	common_set(dev, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	vfio_user_client_destroy(dev->client);
	munmap(dev->mem, dev->mem_size);
	for (int i = 0; i < NET_DEV_QUEUES; i++)
		free(dev->queue[i].slots);
}

uint64_t
net_dev_alloc(struct net_dev *dev, uint64_t size)
{
	const uint64_t at = dev->mem_used;

	dev->mem_used += RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE);
	if (dev->mem_used > dev->mem_size)
		errx(EXIT_FAILURE, "out of the device's memory");
	return MEM_IOVA + at;
}

void *
net_dev_va(const struct net_dev *dev, uint64_t iova)
{
	return dev->mem + (iova - MEM_IOVA);
}

void
net_dev_publish(struct net_dev *dev, struct net_dev_queue *q)
{
	vring_driver_publish(&q->ring);
	if (!vring_driver_kick_needed(&q->ring))
		return;
	q->kicks++;
	must(vfio_user_client_region_post(
		     dev->client, dev->notify.bar, q->doorbell, &q->index, sizeof(q->index)),
		"kick");
	must(vfio_user_client_process(dev->client), "connection");
}
