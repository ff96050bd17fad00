/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Starting and stopping a device's rings. Nothing here is with a worker. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_malloc.h>

#include "device_hash.h"
#include "device_rings.h"
#include "device_sf.h"
#include "device_transport.h"
#include "log.h"

/* A client's own: a duplicate, which outlives its being replaced. */
static int
clients_kick(const struct device *dev, uint16_t queue)
{
	const int fd = dev->emu->ops->kick_fd(dev->emu, queue);

	return fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

int
device_kick_get(struct device *dev, uint16_t queue)
{
	int fd = dev->kick_kept[queue];

	if (dev->emu->ops->kick_fd != NULL)
		return clients_kick(dev, queue);
	dev->kick_kept[queue] = -1;
	if (fd >= 0)
		return fd;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd >= 0)
		dev->emu->ops->set_kick(dev->emu, queue, fd);
	return fd;
}

void
device_kick_put(struct device *dev, uint16_t queue, int fd)
{
	if (fd < 0)
		return;
	/* A successor is to find it where it is. */
	if (dev->release == NULL && dev->emu->ops->kick_fd == NULL)
		dev->emu->ops->set_kick(dev->emu, queue, -1);
	close(fd);
}

static void
pair_destroy(struct device *dev, struct qpair *qp)
{
	qpair_drop_held(qp);
	for (int side = 0; side < QPAIR_SIDES; side++) {
		if (qp->run[side])
			vring_stop(&qp->ring[side]);
		device_kick_put(dev, qpair_queue(qp, side), qp->kick_fd[side]);
	}
	rte_free(qp);
}

/* Negotiated, and with the transport's word on whether all writes are logged. */
static uint64_t
ring_features(const struct device *dev)
{
	uint64_t features = virtio_dev_features(dev->vdev), used;

	if (dev->emu->ops->log != NULL && dev->emu->ops->log(dev->emu, 0, &used) != NULL)
		features |= VIRTIO_BIT(VRING_F_LOG_ALL);
	return features;
}

/* @return NULL without memory or descriptors */
static struct qpair *
pair_create(struct device *dev, uint16_t index)
{
	struct qpair *qp = rte_zmalloc("qpair", sizeof(*qp), RTE_CACHE_LINE_SIZE);

	if (qp == NULL)
		return NULL;
	qp->burst = vring_burst_select(ring_features(dev));
	qp->features = virtio_dev_features(dev->vdev);
	qpair_set_sf(qp, dev->sf);
	qp->pool = dev->ctl->pool;
	qp->vdev = dev->vdev;
	qp->handle = dev->handle;
	qp->index = index;
	qp->sf_fd = -1;
	atomic_init(&qp->rx_on, index < dev->state->pairs);
	atomic_init(&qp->rx_offloads, device_sf_offloads(dev));
	device_hash_pair(dev, qp);
	for (int side = 0; side < QPAIR_SIDES; side++)
		qp->kick_fd[side] = device_kick_get(dev, qpair_queue(qp, side));
	if (dev->emu->ops->kick_fd == NULL &&
		(qp->kick_fd[QPAIR_RX] < 0 || qp->kick_fd[QPAIR_TX] < 0)) {
		pair_destroy(dev, qp);
		return NULL;
	}
	return qp;
}

void
device_ring_conf(const struct device *dev, uint16_t queue, struct vring_conf *conf)
{
	const struct virtio_queue_state *qs = &virtio_dev_state(dev->vdev)->queue[queue];

	*conf = (struct vring_conf){
		.size = qs->size,
		.features = ring_features(dev),
		.desc = qs->desc,
		.driver = qs->driver,
		.device = qs->device,
		.hm = dev->hm,
		.record = &dev->records[queue],
	};
	if (dev->emu->ops->log != NULL)
		conf->log = dev->emu->ops->log(dev->emu, queue, &conf->used_log_addr);
}

static int
ring_start(struct device *dev, struct qpair *qp, enum qpair_side side)
{
	struct vring_conf conf;
	int ret;

	if (qp->run[side])
		return 0;
	device_ring_conf(dev, qpair_queue(qp, side), &conf);
	device_base_check(dev, qpair_queue(qp, side));
	ret = vring_start(&qp->ring[side], &conf);
	qp->run[side] = ret == 0;
	if (ret == -EFAULT && hostmem_refusal(dev->hm)[0] != '\0')
		log_limited(&dev->log_limit, LOG_LEVEL_ERR, "%s: queue %u does not start: %s",
			dev->vuid, qpair_queue(qp, side), hostmem_refusal(dev->hm));
	return ret;
}

bool
device_queue_wanted(const struct device *dev, uint16_t q)
{
	const struct virtio_queue_state *qs = &virtio_dev_state(dev->vdev)->queue[q];

	return qs->enable && !qs->reset;
}

int
device_rings_start(struct device *dev)
{
	int first = ctrl_vq_start(dev);

	for (uint16_t i = 0; i < virtio_net_pairs(virtio_dev_state(dev->vdev)); i++) {
		for (int side = 0; side < QPAIR_SIDES; side++) {
			int ret;

			if (!device_queue_wanted(dev, i * 2 + side))
				continue;
			if (dev->pair[i] == NULL)
				dev->pair[i] = pair_create(dev, i);
			ret = dev->pair[i] != NULL ? ring_start(dev, dev->pair[i], side) : -ENOBUFS;
			/* Nonsense counts more than what may get better. */
			if (ret < 0 && (first == 0 || ret == -ERANGE))
				first = ret;
		}
	}
	return first;
}

void
device_rings_stop(struct device *dev)
{
	ctrl_vq_stop(dev);
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL) {
			pair_destroy(dev, dev->pair[i]);
			dev->pair[i] = NULL;
		}
}

void
device_ring_reset(struct device *dev, uint16_t queue)
{
	struct qpair *qp = queue / 2 < dev->conf.max_pairs ? dev->pair[queue / 2] : NULL;

	if (dev->ctrl.running && dev->ctrl.queue == queue) {
		ctrl_vq_stop(dev);
	} else if (qp != NULL && qp->run[queue % 2]) {
		if (queue % 2 == QPAIR_RX)
			qpair_drop_held(qp);
		vring_stop(&qp->ring[queue % 2]);
		qp->run[queue % 2] = false;
	}
	memset(&dev->records[queue], 0, sizeof(dev->records[queue]));
}

/*
 * A predecessor's ring may never have been started here, and yet have entries on their way out (a
 * packed ring's record): starting it sends them.
 */
static void
ring_settle(struct device *dev, uint16_t queue)
{
	struct vring_conf conf;
	struct vring vr = {0};

	if (!dev->records[queue].running)
		return;
	device_ring_conf(dev, queue, &conf);
	if (vring_start(&vr, &conf) == 0)
		vring_stop(&vr);
}

void
device_ring_stop(struct device *dev, uint16_t queue)
{
	struct qpair *qp = queue / 2 < dev->conf.max_pairs ? dev->pair[queue / 2] : NULL;

	if (qp == NULL || !qp->run[queue % 2]) {
		ring_settle(dev, queue);
		return;
	}
	vring_stop(&qp->ring[queue % 2]);
	qp->run[queue % 2] = false;
	if (!qp->run[0] && !qp->run[1]) {
		pair_destroy(dev, qp);
		dev->pair[queue / 2] = NULL;
	}
}

void
device_ring_kick_renew(struct device *dev, uint16_t queue)
{
	struct qpair *qp = queue / 2 < dev->conf.max_pairs ? dev->pair[queue / 2] : NULL;

	if (qp == NULL)
		return;
	device_kick_put(dev, queue, qp->kick_fd[queue % 2]);
	qp->kick_fd[queue % 2] = device_kick_get(dev, queue);
}

void
device_rings_stop_in(struct device *dev, uint64_t iova, uint64_t len)
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

bool
device_rings_use(const struct device *dev, uint64_t iova, uint64_t len)
{
	if (dev->ctrl.running && vring_uses(&dev->ctrl.ring, iova, len))
		return true;
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		for (int side = 0; dev->pair[i] != NULL && side < QPAIR_SIDES; side++)
			if (dev->pair[i]->run[side] &&
				vring_uses(&dev->pair[i]->ring[side], iova, len))
				return true;
	return false;
}
