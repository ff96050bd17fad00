/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Commands on the control queue (virtio 1.2, 5.1.6.5), which is polled. */

#include "net_dev.h"
#include "net_dev_hash.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include "must.h"

#define WAIT_MS	       5000
#define CTRL_NO_ANSWER 0xee

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
	struct net_dev_queue *q = net_dev_ctrl_queue(dev);
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
net_dev_ctrl_promisc(struct net_dev *dev, uint64_t iova, bool on)
{
	const uint8_t value = on;

	ctrl_send(dev, iova, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, &value, sizeof(value));
}

int
net_dev_ctrl_done(struct net_dev *dev, uint64_t iova)
{
	struct net_dev_queue *q = net_dev_ctrl_queue(dev);
	struct vring_used_chain used;

	if (vring_driver_get_burst(&q->ring, &used, 1) == 0)
		return q->ring.broken ? -EBADMSG : 0;
	return used.token == iova && used.len == 1 && *dev->ctrl_ack == VIRTIO_NET_OK ? 1
										      : -EBADMSG;
}

/* @return whether it was answered well */
static bool
ctrl_ask(struct net_dev *dev, uint8_t class, uint8_t command, const void *data, uint8_t len)
{
	const int64_t deadline = now_ms() + WAIT_MS;
	const uint64_t iova = guest_mem_alloc(dev->mem, NET_DEV_CTRL_LEN);
	int ret;

	ctrl_send(dev, iova, class, command, data, len);
	while ((ret = net_dev_ctrl_done(dev, iova)) == 0) {
		if (now_ms() > deadline)
			errx(EXIT_FAILURE, "the control queue does not answer");
		must(net_dev_process(dev), "connection");
		usleep(1000);
	}
	return ret > 0;
}

void
net_dev_ctrl_pairs(struct net_dev *dev)
{
	if (!ctrl_ask(dev, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &dev->pairs,
		    sizeof(dev->pairs)))
		errx(EXIT_FAILURE, "the device refuses %u queue pairs", dev->pairs);
}

void
net_dev_ctrl_hash(struct net_dev *dev)
{
	struct net_dev_hash_config config;

	net_dev_hash_config(dev, &config);
	if (!ctrl_ask(dev, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, &config,
		    sizeof(config)))
		errx(EXIT_FAILURE, "the device refuses to hash packets");
	dev->hashes = true;
}
