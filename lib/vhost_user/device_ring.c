/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Rings: what the client says about each, when it is complete, starting and stopping it.
 *
 *              NUM, ADDR, BASE (in any order)            KICK, all there: ring_start()
 *     stopped ----------------------------- stopped ------------------------------- started
 *        ^                                                                              |
 *        +------------ GET_VRING_BASE: ring_stop(); status 0, RESET_DEVICE -------------+
 *
 * What a started ring consists of does not change: a client that wants it otherwise stops it first.
 */

#include <errno.h>
#include <string.h>

#include "device_impl.h"
#include "sock/discard.h"

/** Alignments (virtio 1.2, 2.7, 2.8): of the table, of what the driver and what the device writes.
 */
#define DESC_ALIGN	    16u
#define SPLIT_DRIVER_ALIGN  2u
#define DEVICE_ALIGN	    4u
#define PACKED_DRIVER_ALIGN 4u

/** Where a new packed ring begins: index 0, wrap counter 1, both of what is available and used. */
#define PACKED_BASE_FIRST ((1u << 15) | (1u << 31))

static bool
packed(const struct vhost_user_device *dev)
{
	return vhost_device_has(dev, VIRTIO_F_RING_PACKED);
}

static struct vhost_user_ring_state *
ring_of(const struct vhost_user_device *dev, uint32_t queue)
{
	return queue < dev->rings ? &dev->state->ring[queue] : NULL;
}

static bool
started(const struct vhost_user_ring_state *r)
{
	return (r->flags & VHOST_USER_RING_STARTED) != 0;
}

bool
vhost_device_runs(const struct vhost_user_device *dev)
{
	for (unsigned int i = 0; i < dev->rings; i++)
		if (started(&dev->state->ring[i]))
			return true;
	return false;
}

void
vhost_device_rings_reset(struct vhost_user_device *dev, bool disable)
{
	const bool protocol = vhost_device_has(dev, VHOST_USER_F_PROTOCOL_FEATURES);

	for (unsigned int i = 0; i < dev->rings; i++) {
		struct vhost_user_ring_state *r = &dev->state->ring[i];
		const uint32_t kept = disable && protocol ? 0 : r->flags & VHOST_USER_RING_ENABLED;

		*r = (struct vhost_user_ring_state){.flags = kept};
	}
}

void
vhost_device_rings_displace(struct vhost_user_device *dev)
{
	for (unsigned int i = 0; i < dev->rings; i++)
		dev->state->ring[i].flags &= ~(VHOST_USER_RING_BASE | VHOST_USER_RING_PLACED);
}

void
vhost_device_rings_enable(struct vhost_user_device *dev)
{
	for (unsigned int i = 0; i < dev->rings; i++)
		dev->state->ring[i].flags |= VHOST_USER_RING_ENABLED;
}

/* ---- a ring that is complete */

static bool
size_fits(const struct vhost_user_device *dev, uint32_t size)
{
	return packed(dev) || (size & (size - 1)) == 0;
}

/* Bytes of the three areas (virtio 1.2, 2.7 and 2.8). */
static void
area_sizes(const struct vhost_user_device *dev, uint64_t n, uint64_t len[3])
{
	len[0] = 16 * n;
	len[1] = packed(dev) ? 4 : 6 + 2 * n;
	len[2] = packed(dev) ? 4 : 6 + 8 * n;
}

/* Checked against memory as it is now. @return 0; -EINVAL; -EFAULT */
static int
ring_describe(const struct vhost_user_device *dev, const struct vhost_user_ring_state *r,
	struct vhost_user_ring *out)
{
	uint64_t len[3];
	int ret;

	if (r->size == 0 || !size_fits(dev, r->size) ||
		(packed(dev) && r->user_avail % PACKED_DRIVER_ALIGN != 0))
		return -EINVAL;
	*out = (struct vhost_user_ring){
		.size = (uint16_t)r->size,
		.enabled = (r->flags & VHOST_USER_RING_ENABLED) != 0,
		.log_used = (r->flags & VHOST_USER_RING_LOG) != 0,
		.log = r->log,
	};
	area_sizes(dev, r->size, len);
	ret = vhost_device_translate(dev, r->user_desc, len[0], &out->desc);
	if (ret == 0)
		ret = vhost_device_translate(dev, r->user_avail, len[1], &out->driver);
	if (ret == 0)
		ret = vhost_device_translate(dev, r->user_used, len[2], &out->device);
	return ret;
}

bool
vhost_user_device_ring(
	const struct vhost_user_device *dev, uint16_t queue, struct vhost_user_ring *ring)
{
	const struct vhost_user_ring_state *r = ring_of(dev, queue);

	return r != NULL && started(r) && ring_describe(dev, r, ring) == 0;
}

static int
ring_started(struct vhost_user_device *dev, int err)
{
	if (err == 0)
		dev->state->ring[dev->queue].flags |= VHOST_USER_RING_STARTED;
	return err;
}

/* Where it begins is told once: the ring has a position of its own from then on. */
static int
ring_place(struct vhost_user_device *dev, struct vhost_user_ring_state *r)
{
	int ret;

	if ((r->flags & VHOST_USER_RING_PLACED) != 0)
		return 0;
	if ((r->flags & VHOST_USER_RING_BASE) == 0)
		r->base = packed(dev) ? PACKED_BASE_FIRST : 0;
	else if (!packed(dev) && r->base > UINT16_MAX)
		return -EINVAL;
	ret = dev->ops->ring_set_base(dev->conf.ctx, dev->queue, r->base);
	if (ret == 0)
		r->flags |= VHOST_USER_RING_PLACED;
	return ret;
}

/* Start the ring if nothing is missing. */
static int
ring_start(struct vhost_user_device *dev, uint32_t queue)
{
	const uint32_t needed = VHOST_USER_RING_ADDR | VHOST_USER_RING_KICK;
	struct vhost_user_ring_state *r = ring_of(dev, queue);
	struct vhost_user_ring ring;
	int ret;

	if (started(r) || (r->flags & needed) != needed || r->size == 0)
		return 0;
	dev->queue = (uint16_t)queue;
	ret = ring_describe(dev, r, &ring);
	if (ret == 0)
		ret = ring_place(dev, r);
	if (ret < 0)
		return ret;
	return vhost_device_then(
		dev, dev->ops->ring_start(dev->conf.ctx, dev->queue, &ring), ring_started);
}

/* ---- commands */

static struct vhost_user_vring_state
vring_state(const uint8_t *body)
{
	struct vhost_user_vring_state s;

	memcpy(&s, body, sizeof(s));
	return s;
}

int
vhost_device_set_vring_num(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const struct vhost_user_vring_state s = vring_state(body);
	struct vhost_user_ring_state *r = ring_of(dev, s.index);

	if (r == NULL || s.num == 0 || s.num > dev->conf.max_queue_size)
		return -EINVAL;
	if (started(r))
		return s.num == r->size ? 0 : -EBUSY;
	r->size = s.num;
	return ring_start(dev, s.index);
}

static int
addr_store(struct vhost_user_device *dev, int err)
{
	const struct vhost_user_vring_addr *a = &dev->addr;
	struct vhost_user_ring_state *r = ring_of(dev, a->index);

	if (err < 0)
		return err;
	r->user_desc = a->desc;
	r->user_avail = a->avail;
	r->user_used = a->used;
	r->log = a->log;
	r->flags &= ~VHOST_USER_RING_LOG;
	if (a->flags != 0)
		r->flags |= VHOST_USER_RING_LOG;
	r->flags |= VHOST_USER_RING_ADDR;
	return 0;
}

/* Only what is logged of a started ring may change. */
static int
addr_of_started(struct vhost_user_device *dev, const struct vhost_user_ring_state *r)
{
	const struct vhost_user_vring_addr *a = &dev->addr;

	if (a->desc != r->user_desc || a->avail != r->user_avail || a->used != r->user_used)
		return -EBUSY;
	return vhost_device_then(dev,
		dev->ops->ring_log(dev->conf.ctx, (uint16_t)a->index, a->flags != 0, a->log),
		addr_store);
}

int
vhost_device_set_vring_addr(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vhost_user_vring_addr *a = &dev->addr;
	struct vhost_user_ring_state *r;
	int ret;

	memcpy(a, body, sizeof(*a));
	r = ring_of(dev, a->index);
	if (r == NULL || (a->flags & ~(1u << VHOST_VRING_F_LOG)) != 0 ||
		a->desc % DESC_ALIGN != 0 || a->avail % SPLIT_DRIVER_ALIGN != 0 ||
		a->used % DEVICE_ALIGN != 0)
		return -EINVAL;
	if (started(r))
		return addr_of_started(dev, r);
	ret = addr_store(dev, 0);
	return ret == 0 ? ring_start(dev, a->index) : ret;
}

int
vhost_device_set_vring_base(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const struct vhost_user_vring_state s = vring_state(body);
	struct vhost_user_ring_state *r = ring_of(dev, s.index);

	if (r == NULL)
		return -EINVAL;
	if (started(r))
		return -EBUSY;
	r->base = s.num;
	r->flags &= ~VHOST_USER_RING_PLACED;
	r->flags |= VHOST_USER_RING_BASE;
	return 0;
}

static int
base_reply(struct vhost_user_device *dev)
{
	const struct vhost_user_vring_state s = {
		.index = dev->queue,
		.num = dev->state->ring[dev->queue].base,
	};

	vhost_device_reply_put(dev, &s, sizeof(s));
	return 0;
}

/* The client hands out another one when it starts the ring again. */
static void
kick_forget(struct vhost_user_device *dev, struct vhost_user_ring_state *r)
{
	if ((r->flags & VHOST_USER_RING_KICK) != 0)
		(void)dev->ops->ring_fd(dev->conf.ctx, dev->queue, VHOST_USER_FD_KICK, -1);
	r->flags &= ~VHOST_USER_RING_KICK;
}

/* The position stands in the state before the ring counts as stopped: it may be asked for again. */
static int
ring_stopped(struct vhost_user_device *dev, int err)
{
	struct vhost_user_ring_state *r = &dev->state->ring[dev->queue];

	if (err < 0)
		return err;
	r->base = dev->ops->ring_get_base(dev->conf.ctx, dev->queue);
	r->flags |= VHOST_USER_RING_BASE;
	kick_forget(dev, r);
	r->flags &= ~VHOST_USER_RING_STARTED;
	return base_reply(dev);
}

int
vhost_device_get_vring_base(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const struct vhost_user_vring_state s = vring_state(body);
	struct vhost_user_ring_state *r = ring_of(dev, s.index);

	if (r == NULL)
		return -EINVAL;
	dev->queue = (uint16_t)s.index;
	if (!started(r)) {
		kick_forget(dev, r);
		return base_reply(dev);
	}
	return vhost_device_then(dev, dev->ops->ring_stop(dev->conf.ctx, dev->queue), ring_stopped);
}

static enum vhost_user_ring_fd
fd_kind(uint32_t request)
{
	if (request == VHOST_USER_SET_VRING_KICK)
		return VHOST_USER_FD_KICK;
	return request == VHOST_USER_SET_VRING_CALL ? VHOST_USER_FD_CALL : VHOST_USER_FD_ERR;
}

int
vhost_device_set_vring_fd(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const enum vhost_user_ring_fd kind = fd_kind(dev->req.request);
	const uint64_t value = vhost_device_number(body);
	const uint32_t queue = value & VHOST_USER_VRING_INDEX_MASK;
	const bool none = (value & VHOST_USER_VRING_NOFD) != 0;
	struct vhost_user_ring_state *r = ring_of(dev, queue);
	int ret;

	if (r == NULL ||
		(value & ~(uint64_t)(VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NOFD)) ||
		dev->mb->nfds != (none ? 0 : 1))
		return -EINVAL;
	if (!none && !sock_fd_is_eventfd(dev->req_fds[0]))
		return -EINVAL;
	ret = dev->ops->ring_fd(dev->conf.ctx, (uint16_t)queue, kind, vhost_device_take_fd(dev, 0));
	if (ret < 0 || kind != VHOST_USER_FD_KICK)
		return ret;
	r->flags |= VHOST_USER_RING_KICK;
	return ring_start(dev, queue);
}

static int
enabled(struct vhost_user_device *dev, int err)
{
	struct vhost_user_ring_state *r = &dev->state->ring[dev->queue];

	if (err < 0)
		return err;
	r->flags &= ~VHOST_USER_RING_ENABLED;
	if (dev->value != 0)
		r->flags |= VHOST_USER_RING_ENABLED;
	return 0;
}

int
vhost_device_set_vring_enable(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const struct vhost_user_vring_state s = vring_state(body);
	const struct vhost_user_ring_state *r = ring_of(dev, s.index);

	if (r == NULL || s.num > 1)
		return -EINVAL;
	dev->queue = (uint16_t)s.index;
	dev->value = s.num;
	if (!started(r))
		return enabled(dev, 0);
	return vhost_device_then(
		dev, dev->ops->ring_enable(dev->conf.ctx, dev->queue, s.num != 0), enabled);
}
