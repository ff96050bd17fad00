/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Bringing a network device up (virtio 1.2, 3.1.1 and 5.1.5) and telling it of work. */

#include "net_dev.h"

#include <assert.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_common.h>

#include "must.h"

#define BIT(n) (UINT64_C(1) << (n))
/* Vector 0: configuration; then a vector per queue. */
#define VECTORS_MAX (1u + NET_DEV_DIRS * NET_DEV_PAIRS_MAX)

static_assert(NET_DEV_FEATURES_BASE == (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM)),
	"features that are always wanted");

uint64_t
net_dev_memory(const struct net_dev_params *params)
{
	const uint64_t ring =
		vring_driver_memory(params->queue_size, params->features) + RTE_CACHE_LINE_SIZE;
	const uint64_t ctrl = vring_driver_memory(NET_DEV_CTRL_QUEUE_SIZE, params->features) +
			      RTE_CACHE_LINE_SIZE;

	return NET_DEV_DIRS * params->pairs * ring + ctrl + 2 * NET_DEV_CTRL_LEN;
}

static void
negotiate(struct net_dev *dev, uint64_t wanted, uint64_t required)
{
	const struct net_transport_ops *ops = dev->transport->ops;

	wanted |= NET_DEV_FEATURES_BASE;
	if (dev->pairs > 1)
		wanted |= BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_VQ);
	if ((wanted & BIT(VIRTIO_NET_F_HASH_REPORT)) != 0)
		wanted |= BIT(VIRTIO_NET_F_CTRL_VQ);
	dev->features = wanted & ops->offered(dev->transport);
	if ((required & ~dev->features) != 0)
		errx(EXIT_FAILURE, "the device lacks features 0x%" PRIx64,
			required & ~dev->features);
	ops->accept(dev->transport, dev->features);
	if (dev->features & BIT(VIRTIO_NET_F_MAC))
		ops->config_read(dev->transport, offsetof(struct virtio_net_config, mac), dev->mac,
			sizeof(dev->mac));
}

static void
interrupts_create(struct net_dev *dev)
{
	const uint32_t n = 1u + NET_DEV_DIRS * dev->pairs;
	int fds[VECTORS_MAX];

	for (uint32_t i = 0; i < n; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fds[i] < 0)
			err(EXIT_FAILURE, "eventfd");
	}
	dev->transport->ops->interrupts(dev->transport, fds, n);
	dev->config_irq_fd = fds[0];
	for (uint32_t i = 1; i < n; i++)
		dev->queue[i - 1].irq_fd = fds[i];
}

/* ---- queues ---- */

static void
ring_create(struct net_dev *dev, struct net_dev_queue *q, uint16_t size)
{
	const uint64_t iova = guest_mem_alloc(dev->mem, vring_driver_memory(size, dev->features));
	const struct vring_driver_conf conf = {
		.size = size,
		.features = dev->features,
		.va = guest_mem_va(dev->mem, iova),
		.iova = iova,
		.slots = calloc(size, sizeof(*conf.slots)),
	};

	if (conf.slots == NULL)
		err(EXIT_FAILURE, "queue %u", q->index);
	must(vring_driver_init(&q->ring, &conf), "ring");
}

static void
queue_create(struct net_dev *dev, struct net_dev_queue *q, uint16_t index, uint16_t wanted)
{
	const struct net_transport_ops *ops = dev->transport->ops;
	const uint16_t max = ops->queue_max(dev->transport, index);
	struct net_transport_queue told;

	if (max == 0)
		errx(EXIT_FAILURE, "the device has no queue %u", index);
	q->index = index;
	ring_create(dev, q, RTE_MIN(wanted, max));
	told = (struct net_transport_queue){
		.index = index,
		.size = q->ring.size,
		.desc = q->ring.desc_iova,
		.driver = q->ring.driver_iova,
		.device = q->ring.device_iova,
		.irq_fd = q->irq_fd,
		.vector = 1u + index,
	};
	q->doorbell = ops->queue_enable(dev->transport, &told);
}

static uint16_t
max_pairs(struct net_dev *dev)
{
	uint16_t max = 1;

	if (dev->features & BIT(VIRTIO_NET_F_MQ))
		dev->transport->ops->config_read(dev->transport,
			offsetof(struct virtio_net_config, max_virtqueue_pairs), &max, sizeof(max));
	return max;
}

static void
queues_create(struct net_dev *dev, uint16_t size, bool interrupts)
{
	const uint16_t most = max_pairs(dev);

	if (dev->pairs > most)
		errx(EXIT_FAILURE, "the device has %u queue pairs", most);
	for (uint16_t i = 0; i < NET_DEV_DIRS * dev->pairs; i++) {
		queue_create(dev, &dev->queue[i], i, size);
		if (!interrupts)
			vring_driver_interrupts_off(&dev->queue[i].ring);
	}
	if (dev->features & BIT(VIRTIO_NET_F_CTRL_VQ))
		queue_create(
			dev, net_dev_ctrl_queue(dev), NET_DEV_DIRS * most, NET_DEV_CTRL_QUEUE_SIZE);
}

/* ---- device ---- */

void
net_dev_open(struct net_dev *dev, const struct net_dev_params *params)
{
	const struct net_transport_ops *ops =
		params->transport != NULL ? params->transport : &net_transport_vfio_user;

	*dev = (struct net_dev){.mem = params->mem, .pairs = params->pairs, .config_irq_fd = -1};
	for (unsigned int i = 0; i < RTE_DIM(dev->queue); i++)
		dev->queue[i].irq_fd = -1;
	dev->transport = ops->open(params->path, params->mem);
	negotiate(dev, params->features, params->required);
	if (params->interrupts)
		interrupts_create(dev);
	queues_create(dev, params->queue_size, params->interrupts);
	ops->start(dev->transport);
	if (dev->pairs > 1 && (dev->features & BIT(VIRTIO_NET_F_CTRL_VQ)))
		net_dev_ctrl_pairs(dev);
	if ((dev->features & BIT(VIRTIO_NET_F_HASH_REPORT)) &&
		(dev->features & BIT(VIRTIO_NET_F_CTRL_VQ)))
		net_dev_ctrl_hash(dev);
}

void
net_dev_close(struct net_dev *dev)
{
	dev->transport->ops->close(dev->transport);
	if (dev->config_irq_fd >= 0)
		close(dev->config_irq_fd);
	for (unsigned int i = 0; i < RTE_DIM(dev->queue); i++) {
		if (dev->queue[i].irq_fd >= 0)
			close(dev->queue[i].irq_fd);
		free(dev->queue[i].ring.slots);
	}
}

int
net_dev_kick(struct net_dev *dev, struct net_dev_queue *q)
{
	const bool position = (dev->features & BIT(NET_DEV_F_NOTIFICATION_DATA)) != 0;
	const uint32_t data = position ? vring_driver_kick_data(&q->ring, q->index) : q->index;
	const int ret = dev->transport->ops->kick(
		dev->transport, q->doorbell, data, position ? sizeof(uint32_t) : sizeof(uint16_t));

	q->kick_waits = ret == -EAGAIN;
	if (q->kick_waits)
		return ret;
	q->kicks++;
	return ret < 0 ? ret : 1;
}

int
net_dev_publish(struct net_dev *dev, struct net_dev_queue *q)
{
	vring_driver_publish(&q->ring);
	return vring_driver_kick_needed(&q->ring) ? net_dev_kick(dev, q) : 0;
}

int
net_dev_fd(const struct net_dev *dev)
{
	return dev->transport->ops->fd(dev->transport);
}

short
net_dev_events(const struct net_dev *dev)
{
	return dev->transport->ops->events(dev->transport);
}

int
net_dev_process(struct net_dev *dev)
{
	return dev->transport->ops->process(dev->transport);
}
