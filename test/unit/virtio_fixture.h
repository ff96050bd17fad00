/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VIRTIO_FIXTURE_H
#define TEST_UNIT_VIRTIO_FIXTURE_H

/* An owner that records what the device asks of it and answers as told. */

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "virtio/features.h"
#include "virtio/virtio.h"

#define FIX_QUEUES     9u /* four pairs and the control queue */
#define FIX_QUEUE_SIZE 256u
#define FIX_VECTORS    10u

/* Features that let a driver pass, and no more. */
#define FIX_MINIMAL VIRTIO_BIT(VIRTIO_F_VERSION_1)

struct owner {
	struct virtio_state st;
	struct virtio_dev *dev;
	int answer; /* of the operations that may take time */
	int features_answer;
	bool msix;
	/* what was asked */
	unsigned int features_ok, driver_ok, reset, queue_enable, queue_reset, notify;
	uint64_t features;
	uint16_t queue;
	unsigned int irqs[FIX_VECTORS], bad_irqs, intx_edges;
	bool intx;
};

static int
owner_features_ok(void *ctx, uint64_t features)
{
	struct owner *o = ctx;

	o->features_ok++;
	o->features = features;
	return o->features_answer;
}

static int
owner_driver_ok(void *ctx)
{
	struct owner *o = ctx;

	o->driver_ok++;
	return o->answer;
}

static int
owner_reset(void *ctx)
{
	struct owner *o = ctx;

	o->reset++;
	return o->answer;
}

static int
owner_queue_enable(void *ctx, uint16_t queue)
{
	struct owner *o = ctx;

	o->queue_enable++;
	o->queue = queue;
	return o->answer;
}

static int
owner_queue_reset(void *ctx, uint16_t queue)
{
	struct owner *o = ctx;

	o->queue_reset++;
	o->queue = queue;
	return o->answer;
}

static void
owner_notify(void *ctx, uint16_t queue)
{
	struct owner *o = ctx;

	o->notify++;
	o->queue = queue;
}

static void
owner_irq_msix(void *ctx, uint16_t vector)
{
	struct owner *o = ctx;

	if (vector < FIX_VECTORS)
		o->irqs[vector]++;
	else if (vector != VIRTIO_NO_VECTOR)
		o->bad_irqs++;
}

static void
owner_irq_intx(void *ctx, bool level)
{
	struct owner *o = ctx;

	o->intx_edges += level && !o->intx;
	o->intx = level;
}

static bool
owner_msix_enabled(void *ctx)
{
	return ((struct owner *)ctx)->msix;
}

static const struct virtio_dev_ops owner_ops = {
	.features_ok = owner_features_ok,
	.driver_ok = owner_driver_ok,
	.reset = owner_reset,
	.queue_enable = owner_queue_enable,
	.queue_reset = owner_queue_reset,
	.notify = owner_notify,
	.irq_msix = owner_irq_msix,
	.irq_intx = owner_irq_intx,
	.msix_enabled = owner_msix_enabled,
};

static inline struct virtio_dev_params
owner_params(void)
{
	return (struct virtio_dev_params){
		.device_features = virtio_net_default_features(UINT64_MAX),
		.num_queues = FIX_QUEUES,
		.max_queue_size = FIX_QUEUE_SIZE,
		.num_vectors = FIX_VECTORS,
		.config =
			{
				.mac = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55},
				.status = VIRTIO_NET_S_LINK_UP,
				.max_virtqueue_pairs = 4,
				.mtu = 1500,
				.speed = 200000,
				.duplex = 1,
				.rss_max_key_size = 40,
				.rss_max_indirection_table_length = 128,
				.supported_hash_types = 0x3f,
			},
	};
}

static inline struct owner *
owner_new(void)
{
	struct virtio_dev_params params = owner_params();
	struct owner *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	assert_int_equal(virtio_dev_create(&o->st, &params, true, &owner_ops, o, &o->dev), 0);
	return o;
}

static inline void
owner_free(struct owner *o)
{
	virtio_dev_destroy(o->dev);
	free(o);
}

/* A driver that has come as far as `status`, with these features. */
static inline void
driver_at(struct owner *o, uint8_t status, uint64_t features)
{
	static const uint8_t steps[] = {VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER,
		VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FAILED};

	virtio_dev_set_driver_features(o->dev, features);
	for (size_t i = 0; i < sizeof(steps); i++)
		if ((status & steps[i]) != 0)
			virtio_dev_set_status(o->dev, virtio_dev_status(o->dev) | steps[i]);
	if ((status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		virtio_dev_needs_reset(o->dev);
	assert_int_equal(virtio_dev_status(o->dev), status);
}

/* Registers as a sane driver leaves them. */
static inline void
driver_sets_queue(struct owner *o, uint16_t queue)
{
	struct virtio_queue_state *q = &o->st.queue[queue];

	q->size = 64;
	q->desc = 0x100000 + queue * 0x10000ull;
	q->driver = q->desc + 0x1000;
	q->device = q->desc + 0x2000;
}

#endif /* TEST_UNIT_VIRTIO_FIXTURE_H */
