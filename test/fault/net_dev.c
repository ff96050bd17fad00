/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Bringing a virtio-pci network device up over vfio-user (virtio 1.2, 3.1.1, 4.1 and 5.1.6.5.6). */

#include "net_dev.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>

#include <rte_common.h>

/* Above 4 GiB, so that nothing works by cutting addresses short. */
#define MEM_IOVA  (UINT64_C(1) << 32)
#define MEM_ALIGN 4096u
#define MAX_CAPS  48 /* what fits in 256 bytes: a chain that is longer is a loop */
#define WAIT_MS	  5000
#define BIT(n)	  (UINT64_C(1) << (n))
/* Offset in struct virtio_net_config. */
#define CONFIG_MAC	 0u
#define CONFIG_MAX_PAIRS 8u
#define CTRL_NO_ANSWER	 0xee

static void
must(int ret, const char *what)
{
	if (ret < 0)
		errx(EXIT_FAILURE, "%s: %s", what, strerror(-ret));
}

/* ---- memory ---- */

void
guest_mem_create(struct guest_mem *mem, uint64_t size, bool populate)
{
	*mem = (struct guest_mem){.size = RTE_ALIGN_CEIL(size, MEM_ALIGN), .iova = MEM_IOVA};
	mem->fd = memfd_create("virtnet-fault", MFD_CLOEXEC);
	if (mem->fd < 0 || ftruncate(mem->fd, (off_t)mem->size) != 0)
		err(EXIT_FAILURE, "memfd");
	mem->va = mmap(NULL, mem->size, PROT_READ | PROT_WRITE,
		MAP_SHARED | (populate ? MAP_POPULATE : 0), mem->fd, 0);
	if (mem->va == MAP_FAILED)
		err(EXIT_FAILURE, "mmap of %" PRIu64 " bytes", mem->size);
}

uint64_t
guest_mem_alloc(struct guest_mem *mem, uint64_t size)
{
	const uint64_t at = mem->used;

	mem->used += RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE);
	if (mem->used > mem->size)
		errx(EXIT_FAILURE, "%" PRIu64 " bytes of memory are too few", mem->size);
	return mem->iova + at;
}

void *
guest_mem_va(const struct guest_mem *mem, uint64_t iova)
{
	return mem->va + (iova - mem->iova);
}

/* ---- registers ---- */

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
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		dev->config = regs;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		dev->notify = regs;
		dev->notify_multiplier = (uint32_t)get(dev, cfg,
			at + offsetof(struct virtio_pci_notify_cap, notify_off_multiplier), 4);
		break;
	}
}

static void
msix_enable(struct net_dev *dev, uint32_t at)
{
	const uint32_t cfg = VFIO_PCI_CONFIG_REGION_INDEX, field = at + PCI_MSIX_FLAGS;

	set(dev, cfg, field, get(dev, cfg, field, 2) | PCI_MSIX_FLAGS_ENABLE, 2);
}

static void
find_registers(struct net_dev *dev)
{
	const uint32_t cfg = VFIO_PCI_CONFIG_REGION_INDEX;
	uint32_t at = (uint32_t)get(dev, cfg, PCI_CAPABILITY_LIST, 1);

	dev->common.offset = dev->notify.offset = dev->config.offset = UINT32_MAX;
	for (int i = 0; at >= PCI_STD_HEADER_SIZEOF && i < MAX_CAPS; i++) {
		const uint64_t id = get(dev, cfg, at, 1);

		if (id == PCI_CAP_ID_VNDR)
			take_capability(dev, at);
		else if (id == PCI_CAP_ID_MSIX)
			msix_enable(dev, at);
		at = (uint32_t)get(dev, cfg, at + PCI_CAP_LIST_NEXT, 1);
	}
	if (dev->common.offset == UINT32_MAX || dev->notify.offset == UINT32_MAX ||
		dev->config.offset == UINT32_MAX)
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

static uint16_t
max_pairs(struct net_dev *dev)
{
	if ((dev->features & BIT(VIRTIO_NET_F_MQ)) == 0)
		return 1;
	return (uint16_t)get(dev, dev->config.bar, dev->config.offset + CONFIG_MAX_PAIRS, 2);
}

/* ---- queues ---- */

static void
interrupts_create(struct net_dev *dev)
{
	int fds[NET_DEV_VECTORS_MAX];
	const uint32_t n = 1 + 2u * dev->pairs;

	for (uint32_t i = 0; i < n; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fds[i] < 0)
			err(EXIT_FAILURE, "eventfd");
	}
	must(vfio_user_client_set_irqs(dev->client, VFIO_PCI_MSIX_IRQ_INDEX,
		     VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER, 0, n, fds),
		"interrupts");
	dev->config_irq_fd = fds[0];
	for (uint32_t i = 1; i < n; i++)
		dev->queue[i - 1].irq_fd = fds[i];
	common_set(dev, VIRTIO_PCI_COMMON_MSIX, 0, 2);
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
queue_create(struct net_dev *dev, struct net_dev_queue *q, uint16_t index, uint16_t wanted,
	uint16_t vector)
{
	const uint16_t size = queue_size_of(dev, index, wanted);
	const uint64_t iova = guest_mem_alloc(dev->mem, vring_driver_memory(size, dev->features));
	const struct vring_driver_conf conf = {
		.size = size,
		.features = dev->features,
		.va = guest_mem_va(dev->mem, iova),
		.iova = iova,
		.slots = calloc(size, sizeof(*conf.slots)),
	};

	q->index = index;
	if (conf.slots == NULL)
		err(EXIT_FAILURE, "queue %u", index);
	must(vring_driver_init(&q->ring, &conf), "ring");
	common_set(dev, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	common_set(dev, VIRTIO_PCI_COMMON_Q_MSIX, vector, 2);
	common_set_address(dev, VIRTIO_PCI_COMMON_Q_DESCLO, q->ring.desc_iova);
	common_set_address(dev, VIRTIO_PCI_COMMON_Q_AVAILLO, q->ring.driver_iova);
	common_set_address(dev, VIRTIO_PCI_COMMON_Q_USEDLO, q->ring.device_iova);
	q->doorbell = dev->notify.offset + (uint32_t)common_get(dev, VIRTIO_PCI_COMMON_Q_NOFF, 2) *
						   dev->notify_multiplier;
	common_set(dev, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

static void
queues_create(struct net_dev *dev, uint16_t wanted)
{
	const uint16_t most = max_pairs(dev);

	if (dev->pairs > most)
		errx(EXIT_FAILURE, "the device has %u queue pairs", most);
	for (uint16_t i = 0; i < 2 * dev->pairs; i++)
		queue_create(dev, &dev->queue[i], i, wanted, i + 1);
	if (dev->features & BIT(VIRTIO_NET_F_CTRL_VQ))
		queue_create(dev, &dev->queue[2 * dev->pairs], 2 * most, 64, VIRTIO_MSI_NO_VECTOR);
}

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
ctrl_send(struct net_dev *dev, uint64_t iova, uint8_t class, uint8_t command, const void *data,
	uint8_t len)
{
	struct net_dev_queue *q = &dev->queue[2 * dev->pairs];
	const struct vring_buf bufs[] = {{iova, 2}, {iova + 2, len}, {iova + 2 + len, 1}};
	uint8_t *va = guest_mem_va(dev->mem, iova);

	va[0] = class;
	va[1] = command;
	memcpy(&va[2], data, len);
	va[2 + len] = CTRL_NO_ANSWER;
	dev->ctrl_ack = &va[2 + len];
	must(vring_driver_add(&q->ring, bufs, 2, 1, false, iova), "control queue");
	net_dev_publish(dev, q);
}

void
net_dev_ctrl_send(struct net_dev *dev, uint64_t iova, bool on)
{
	const uint8_t value = on;

	ctrl_send(dev, iova, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &value, sizeof(value));
}

int
net_dev_ctrl_done(struct net_dev *dev, uint64_t iova)
{
	struct net_dev_queue *q = &dev->queue[2 * dev->pairs];
	struct vring_used_chain used;

	if (vring_driver_get_burst(&q->ring, &used, 1) == 0)
		return q->ring.broken ? -EBADMSG : 0;
	return used.token == iova && used.len == 1 && *dev->ctrl_ack == VIRTIO_NET_OK ? 1
										      : -EBADMSG;
}

static void
enable_pairs(struct net_dev *dev)
{
	const int64_t deadline = now_ms() + WAIT_MS;
	const uint64_t iova = guest_mem_alloc(dev->mem, NET_DEV_CTRL_LEN);
	int ret;

	ctrl_send(dev, iova, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &dev->pairs,
		sizeof(dev->pairs));
	while ((ret = net_dev_ctrl_done(dev, iova)) == 0) {
		if (now_ms() > deadline)
			errx(EXIT_FAILURE, "the control queue does not answer");
		must(vfio_user_client_process(dev->client), "connection");
		usleep(1000);
	}
	if (ret < 0)
		errx(EXIT_FAILURE, "the device refuses %u queue pairs", dev->pairs);
}

void
net_dev_open(struct net_dev *dev, const struct net_dev_params *params)
{
	struct vfio_user_caps caps;

	*dev = (struct net_dev){.mem = params->mem, .pairs = params->pairs};
	must(vfio_user_client_connect(params->path, &dev->client), params->path);
	must(vfio_user_client_negotiate(dev->client, &caps), "version");
	must(vfio_user_client_dma_map(dev->client, dev->mem->iova, dev->mem->size, dev->mem->fd, 0,
		     VFIO_USER_DMA_F_READ | VFIO_USER_DMA_F_WRITE),
		"DMA map");
	find_registers(dev);
	common_set(dev, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	add_status(dev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(dev, VIRTIO_CONFIG_S_DRIVER);
	negotiate(dev, params->features);
	must(vfio_user_client_region_read(dev->client, dev->config.bar,
		     dev->config.offset + CONFIG_MAC, dev->mac, sizeof(dev->mac)),
		"MAC");
	interrupts_create(dev);
	queues_create(dev, params->queue_size);
	add_status(dev, VIRTIO_CONFIG_S_DRIVER_OK);
	if (common_get(dev, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET)
		errx(EXIT_FAILURE, "the device cannot start: it needs a reset");
	if (dev->pairs > 1)
		enable_pairs(dev);
}

void
net_dev_close(struct net_dev *dev)
{
	const uint8_t zero = 0;

	(void)vfio_user_client_region_write(dev->client, dev->common.bar,
		dev->common.offset + VIRTIO_PCI_COMMON_STATUS, &zero, 1);
	vfio_user_client_destroy(dev->client);
	close(dev->config_irq_fd);
	for (uint16_t i = 0; i < 2 * dev->pairs; i++)
		close(dev->queue[i].irq_fd);
	for (uint16_t i = 0; i <= 2 * dev->pairs; i++)
		free(dev->queue[i].ring.slots);
}

void
net_dev_kick(struct net_dev *dev, struct net_dev_queue *q)
{
	q->kick_waits = vfio_user_client_region_post(dev->client, dev->notify.bar, q->doorbell,
				&q->index, sizeof(q->index)) == -EAGAIN;
	if (!q->kick_waits)
		q->kicks++;
}

void
net_dev_publish(struct net_dev *dev, struct net_dev_queue *q)
{
	vring_driver_publish(&q->ring);
	if (vring_driver_kick_needed(&q->ring))
		net_dev_kick(dev, q);
}
