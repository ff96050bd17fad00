/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The device as its driver sees it: status machine, feature negotiation, queue registers,
 * interrupts.
 */

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_pci.h>

#include "virtio/features.h"
#include "virtio/virtio.h"

#define ISR_QUEUE  0x1u
#define ISR_CONFIG ((uint32_t)VIRTIO_PCI_ISR_CONFIG)

#define STATUS_DRIVER_BITS                                                                         \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
		VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

#define QUEUE_SIZE_LIMIT 32768u /* virtio 1.2, 2.7: largest split ring */

/* What is under way at the owner. */
enum dev_op {
	DEV_OP_NONE,
	DEV_OP_RESET,
	DEV_OP_DRIVER_OK,
	DEV_OP_QUEUE_ENABLE,
	DEV_OP_QUEUE_RESET,
	DEV_OP_QUEUE_STOP,
};

struct virtio_dev {
	struct virtio_state *state;
	const struct virtio_dev_ops *ops;
	void *ctx;
	uint16_t num_vectors;
	uint16_t op_queue;
	enum dev_op op;
};

/* ---- life ---- */

static bool
params_ok(const struct virtio_dev_params *p)
{
	uint16_t min_queues = virtio_has(p->device_features, VIRTIO_NET_F_CTRL_VQ) ? 3 : 2;

	return p->num_queues >= min_queues && p->num_queues <= VIRTIO_MAX_QUEUES &&
	       p->max_queue_size != 0 && p->max_queue_size <= QUEUE_SIZE_LIMIT &&
	       (p->max_queue_size & (p->max_queue_size - 1)) == 0 &&
	       virtio_net_check_features(p->device_features, NULL, NULL) == 0;
}

static void
vector_store(uint16_t *reg, uint16_t vector)
{
	__atomic_store_n(reg, vector, __ATOMIC_RELAXED);
}

static void
queue_defaults(struct virtio_queue_state *q)
{
	q->desc = q->driver = q->device = 0;
	q->size = q->max_size;
	vector_store(&q->msix_vector, VIRTIO_NO_VECTOR);
	q->enable = 0;
	/* A successor that finds this set does the rest again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	q->reset = 0;
}

/* Registers as after a reset; what is offered and the configuration stay. */
static void
registers_defaults(struct virtio_state *s)
{
	s->driver_features = 0;
	s->device_feature_select = 0;
	s->driver_feature_select = 0;
	s->queue_select = 0;
	s->status = 0;
	s->config.status &= (uint16_t)~htole16(VIRTIO_NET_S_ANNOUNCE);
	vector_store(&s->msix_config, VIRTIO_NO_VECTOR);
	__atomic_store_n(&s->isr, 0, __ATOMIC_SEQ_CST);
	for (uint16_t i = 0; i < VIRTIO_MAX_QUEUES; i++)
		queue_defaults(&s->queue[i]);
}

static void
params_apply(struct virtio_dev *dev, const struct virtio_dev_params *p)
{
	struct virtio_state *s = dev->state;

	s->device_features = p->device_features;
	s->num_queues = p->num_queues;
	s->config = p->config;
	for (uint16_t i = 0; i < VIRTIO_MAX_QUEUES; i++)
		s->queue[i].max_size = i < p->num_queues ? p->max_queue_size : 0;
	registers_defaults(s);
	dev->num_vectors = p->num_vectors;
}

int
virtio_dev_create(struct virtio_state *state, const struct virtio_dev_params *params, bool fresh,
	const struct virtio_dev_ops *ops, void *ctx, struct virtio_dev **out)
{
	struct virtio_dev *dev;

	if (fresh ? !params_ok(params) : state->num_queues > VIRTIO_MAX_QUEUES)
		return -EINVAL;
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return -ENOMEM;
	dev->state = state;
	dev->ops = ops;
	dev->ctx = ctx;
	dev->num_vectors = params->num_vectors;
	if (fresh) {
		memset(state, 0, sizeof(*state));
		params_apply(dev, params);
	}
	*out = dev;
	return 0;
}

void
virtio_dev_destroy(struct virtio_dev *dev)
{
	free(dev);
}

const struct virtio_state *
virtio_dev_state(const struct virtio_dev *dev)
{
	return dev->state;
}

struct virtio_state *
virtio_dev_registers(struct virtio_dev *dev)
{
	return dev->state;
}

int
virtio_dev_reconfigure(struct virtio_dev *dev, const struct virtio_dev_params *params)
{
	if (dev->state->status != 0 || dev->op != DEV_OP_NONE)
		return -EBUSY;
	if (!params_ok(params))
		return -EINVAL;
	params_apply(dev, params);
	dev->state->config_generation++;
	return 0;
}

/* ---- interrupts ---- */

static void
interrupt(struct virtio_dev *dev, const uint16_t *vector, uint32_t isr)
{
	bool msix = dev->ops->msix_enabled(dev->ctx);

	/*
	 * The configuration bit is set in either mode, the queue bit for INTx only
	 * (virtio 1.2, 4.1.4.5.1).
	 */
	if (!msix || isr == ISR_CONFIG)
		__atomic_fetch_or(&dev->state->isr, isr, __ATOMIC_SEQ_CST);
	if (!msix)
		dev->ops->irq_intx(dev->ctx, true);
	else
		dev->ops->irq_msix(dev->ctx, __atomic_load_n(vector, __ATOMIC_RELAXED));
}

void
virtio_dev_queue_interrupt(struct virtio_dev *dev, uint16_t queue)
{
	if (queue < VIRTIO_MAX_QUEUES)
		interrupt(dev, &dev->state->queue[queue].msix_vector, ISR_QUEUE);
}

static void
config_interrupt(struct virtio_dev *dev)
{
	if ((dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		interrupt(dev, &dev->state->msix_config, ISR_CONFIG);
}

void
virtio_dev_resignal(struct virtio_dev *dev)
{
	if ((dev->state->status & VIRTIO_CONFIG_S_DRIVER_OK) == 0)
		return;
	for (uint16_t i = 0; i < dev->state->num_queues && i < VIRTIO_MAX_QUEUES; i++)
		if (dev->state->queue[i].enable)
			virtio_dev_queue_interrupt(dev, i);
	config_interrupt(dev);
}

/*
 * A worker sets its bit and then raises the level, so lowering the level first loses nothing: a bit
 * that the exchange misses is followed by a rising level. The other way round could leave a bit set
 * with the level down.
 */
uint8_t
virtio_dev_isr_read(struct virtio_dev *dev)
{
	dev->ops->irq_intx(dev->ctx, false);
	return (uint8_t)__atomic_exchange_n(&dev->state->isr, 0, __ATOMIC_SEQ_CST);
}

void
virtio_dev_irq_mode_changed(struct virtio_dev *dev)
{
	bool pending = __atomic_load_n(&dev->state->isr, __ATOMIC_SEQ_CST) != 0;

	dev->ops->irq_intx(dev->ctx, pending && !dev->ops->msix_enabled(dev->ctx));
}

void
virtio_dev_set_config_vector(struct virtio_dev *dev, uint16_t vector)
{
	vector_store(
		&dev->state->msix_config, vector < dev->num_vectors ? vector : VIRTIO_NO_VECTOR);
}

void
virtio_dev_set_queue_vector(struct virtio_dev *dev, uint16_t queue, uint16_t vector)
{
	if (queue < dev->state->num_queues)
		vector_store(&dev->state->queue[queue].msix_vector,
			vector < dev->num_vectors ? vector : VIRTIO_NO_VECTOR);
}

/* ---- the end of an operation ---- */

static void
op_finish(struct virtio_dev *dev, enum dev_op op, uint16_t queue)
{
	struct virtio_state *s = dev->state;

	switch (op) {
	case DEV_OP_NONE:
		break;
	case DEV_OP_RESET:
		dev->ops->irq_intx(dev->ctx, false);
		registers_defaults(s);
		break;
	case DEV_OP_DRIVER_OK:
		s->status |= VIRTIO_CONFIG_S_DRIVER_OK;
		/*
		 * The device may have failed while it was being started, when no interrupt was due.
		 */
		if ((s->status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
			config_interrupt(dev);
		break;
	case DEV_OP_QUEUE_ENABLE:
		s->queue[queue].enable = 1;
		break;
	case DEV_OP_QUEUE_RESET:
		queue_defaults(&s->queue[queue]);
		break;
	case DEV_OP_QUEUE_STOP:
		s->queue[queue].enable = 0;
		break;
	}
}

/* The owner answered `rc` to an operation. @return what the transport is told */
static int
op_result(struct virtio_dev *dev, enum dev_op op, uint16_t queue, int rc)
{
	dev->op = rc == -EINPROGRESS ? op : DEV_OP_NONE;
	dev->op_queue = queue;
	if (rc == 0)
		op_finish(dev, op, queue);
	return rc;
}

void
virtio_dev_op_done(struct virtio_dev *dev)
{
	enum dev_op op = dev->op;

	dev->op = DEV_OP_NONE;
	op_finish(dev, op, dev->op_queue);
}

bool
virtio_dev_op_pending(const struct virtio_dev *dev)
{
	return dev->op != DEV_OP_NONE;
}

/* ---- status ---- */

uint8_t
virtio_dev_status(const struct virtio_dev *dev)
{
	return dev->state->status;
}

uint64_t
virtio_dev_features(const struct virtio_dev *dev)
{
	const struct virtio_state *s = dev->state;

	return (s->status & VIRTIO_CONFIG_S_FEATURES_OK) != 0 ? s->driver_features : 0;
}

void
virtio_dev_set_driver_features(struct virtio_dev *dev, uint64_t features)
{
	if ((dev->state->status & VIRTIO_CONFIG_S_FEATURES_OK) == 0)
		dev->state->driver_features = features;
}

void
virtio_dev_needs_reset(struct virtio_dev *dev)
{
	struct virtio_state *s = dev->state;

	if (s->status == 0 || (s->status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		return;
	s->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	config_interrupt(dev);
}

int
virtio_dev_reset(struct virtio_dev *dev)
{
	int rc = 0;

	if (dev->op == DEV_OP_RESET)
		return -EINPROGRESS;
	if (dev->state->status != 0)
		rc = dev->ops->reset(dev->ctx);
	rc = op_result(dev, DEV_OP_RESET, 0, rc);
	if (rc != 0 && rc != -EINPROGRESS)
		virtio_dev_needs_reset(dev);
	return rc;
}

static bool
features_acceptable(const struct virtio_dev *dev, uint64_t features)
{
	return (features & ~dev->state->device_features) == 0 &&
	       virtio_net_check_features(features, NULL, NULL) == 0 &&
	       dev->ops->features_ok(dev->ctx, features) == 0;
}

int
virtio_dev_negotiate(struct virtio_dev *dev, uint64_t features)
{
	struct virtio_state *s = dev->state;

	if ((s->status & VIRTIO_CONFIG_S_FEATURES_OK) != 0)
		return s->driver_features == features ? 0 : -EBUSY;
	if (!features_acceptable(dev, features))
		return -EINVAL;
	s->driver_features = features;
	s->status |= VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
		     VIRTIO_CONFIG_S_FEATURES_OK;
	return 0;
}

static int
driver_ok(struct virtio_dev *dev)
{
	int rc = op_result(dev, DEV_OP_DRIVER_OK, 0, dev->ops->driver_ok(dev->ctx));

	if (rc != 0 && rc != -EINPROGRESS) {
		/* The driver believes that the device runs, so it must hear that it does not. */
		dev->state->status |= VIRTIO_CONFIG_S_DRIVER_OK;
		virtio_dev_needs_reset(dev);
		return 0;
	}
	return rc;
}

/*
 * Order of the bits (virtio 1.2, 3.1.1). A bit is taken when all of `after` were set before it;
 * those of the same write count, but for FEATURES_OK: the driver must have read it back before it
 * goes on.
 */
static const struct {
	uint8_t bit, after;
} status_order[] = {
	{VIRTIO_CONFIG_S_ACKNOWLEDGE, 0},
	{VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_ACKNOWLEDGE},
	{VIRTIO_CONFIG_S_DRIVER_OK,
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK},
	{VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER},
	{VIRTIO_CONFIG_S_FAILED, 0},
};

static int
status_bit_set(struct virtio_dev *dev, uint8_t bit)
{
	if (bit == VIRTIO_CONFIG_S_DRIVER_OK)
		return driver_ok(dev);
	if (bit == VIRTIO_CONFIG_S_FEATURES_OK &&
		(!virtio_has(dev->state->driver_features, VIRTIO_F_VERSION_1) ||
			!features_acceptable(dev, dev->state->driver_features)))
		return 0;
	dev->state->status |= bit;
	return 0;
}

int
virtio_dev_set_status(struct virtio_dev *dev, uint8_t status)
{
	struct virtio_state *s = dev->state;
	uint8_t wanted = status & STATUS_DRIVER_BITS;
	int rc = 0;

	if (status == 0)
		return virtio_dev_reset(dev);
	if (dev->op != DEV_OP_NONE)
		return -EBUSY;
	if ((s->status & STATUS_DRIVER_BITS & ~wanted) != 0)
		return 0;
	wanted &= ~s->status;
	if ((s->status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		wanted &= VIRTIO_CONFIG_S_FAILED;
	for (size_t i = 0; i < sizeof(status_order) / sizeof(status_order[0]) && rc == 0; i++)
		if ((wanted & status_order[i].bit) != 0 &&
			(s->status & status_order[i].after) == status_order[i].after)
			rc = status_bit_set(dev, status_order[i].bit);
	return rc;
}

/* ---- queues ---- */

/* Areas of a ring: alignment and length (virtio 1.2, 2.7 and 2.8). */
static bool
area_ok(uint64_t addr, uint64_t align, uint64_t len)
{
	return addr != 0 && addr % align == 0 && addr <= UINT64_MAX - len;
}

static bool
queue_registers_ok(const struct virtio_queue_state *q, uint64_t features)
{
	uint64_t n = q->size;

	if (n == 0 || n > q->max_size)
		return false;
	if (virtio_has(features, VIRTIO_F_RING_PACKED))
		return area_ok(q->desc, 16, 16 * n) && area_ok(q->driver, 4, 4) &&
		       area_ok(q->device, 4, 4);
	return (n & (n - 1)) == 0 && area_ok(q->desc, 16, 16 * n) &&
	       area_ok(q->driver, 2, 6 + 2 * n) && area_ok(q->device, 4, 6 + 8 * n);
}

int
virtio_dev_queue_enable(struct virtio_dev *dev, uint16_t queue)
{
	struct virtio_state *s = dev->state;
	int rc = 0;

	if (dev->op != DEV_OP_NONE)
		return -EBUSY;
	if (queue >= s->num_queues || (s->status & VIRTIO_CONFIG_S_FEATURES_OK) == 0 ||
		(s->status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		return -EINVAL;
	if (s->queue[queue].enable != 0)
		return 0;
	if (s->queue[queue].reset != 0 || !queue_registers_ok(&s->queue[queue], s->driver_features))
		return -EINVAL;
	if ((s->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		rc = dev->ops->queue_enable(dev->ctx, queue);
	return op_result(dev, DEV_OP_QUEUE_ENABLE, queue, rc);
}

int
virtio_dev_queue_reset(struct virtio_dev *dev, uint16_t queue)
{
	struct virtio_state *s = dev->state;
	struct virtio_queue_state *q;
	int rc = 0;

	if (dev->op != DEV_OP_NONE)
		return -EBUSY;
	if (queue >= s->num_queues || !virtio_has(virtio_dev_features(dev), VIRTIO_F_RING_RESET))
		return -EINVAL;
	q = &s->queue[queue];
	/* A reset that a crash cut short is found with its bit set and done again. */
	if (q->enable == 0 && q->reset == 0)
		return 0;
	q->reset = 1;
	if ((s->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		rc = dev->ops->queue_reset(dev->ctx, queue);
	if (rc != 0 && rc != -EINPROGRESS)
		q->reset = 0;
	return op_result(dev, DEV_OP_QUEUE_RESET, queue, rc);
}

int
virtio_dev_queue_stop(struct virtio_dev *dev, uint16_t queue)
{
	const struct virtio_state *s = dev->state;
	int rc = 0;

	if (dev->op != DEV_OP_NONE)
		return -EBUSY;
	if (queue >= s->num_queues)
		return -EINVAL;
	if (s->queue[queue].enable == 0)
		return 0;
	if ((s->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		rc = dev->ops->queue_stop(dev->ctx, queue);
	return op_result(dev, DEV_OP_QUEUE_STOP, queue, rc);
}

void
virtio_dev_notify(struct virtio_dev *dev, uint16_t queue)
{
	const struct virtio_state *s = dev->state;

	if (queue < s->num_queues && s->queue[queue].enable != 0 && s->queue[queue].reset == 0 &&
		(s->status & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		dev->ops->notify(dev->ctx, queue);
}

/* ---- configuration ---- */

static bool
config_replace(struct virtio_dev *dev, const struct virtio_net_config *config)
{
	if (memcmp(&dev->state->config, config, sizeof(*config)) == 0)
		return false;
	dev->state->config = *config;
	dev->state->config_generation++;
	return true;
}

void
virtio_dev_config_update(struct virtio_dev *dev, const struct virtio_net_config *config)
{
	if (config_replace(dev, config))
		config_interrupt(dev);
}

void
virtio_dev_config_update_quiet(struct virtio_dev *dev, const struct virtio_net_config *config)
{
	config_replace(dev, config);
}
