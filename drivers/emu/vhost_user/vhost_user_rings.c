/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Rings: their registers, which are the device's, and their eventfds.
 *
 * A ring that the client has started and enabled is a queue that is enabled; one that is started and
 * not enabled keeps its registers and does not run. Its packets wait, as they do with other servers.
 */

#include <errno.h>
#include <unistd.h>

#include "state/fault_point.h"
#include "vhost_user_emu.h"

int
vhost_user_emu_ring_set_base(void *ctx, uint16_t queue, uint32_t base)
{
	struct vhost_user_emu *e = ctx;

	e->up->queue_set_base(e->ctx, queue, base);
	return 0;
}

uint32_t
vhost_user_emu_ring_get_base(void *ctx, uint16_t queue)
{
	struct vhost_user_emu *e = ctx;

	return e->up->queue_base(e->ctx, queue);
}

/* @return what an operation of the device side returns */
static int
answer_later(struct vhost_user_emu *e, int ret)
{
	return ret == -EINPROGRESS ? vhost_user_emu_wait(e, VHOST_USER_STEP_OP) : ret;
}

static int
run(struct vhost_user_emu *e, uint16_t queue)
{
	const int ret = answer_later(e, virtio_dev_queue_enable(e->vdev, queue));

	FAULT_POINT("emu.ring.enabled");
	return ret == 0 ? vhost_user_emu_infer_driver_ok(e) : ret;
}

int
vhost_user_emu_ring_start(void *ctx, uint16_t queue, const struct vhost_user_ring *ring)
{
	struct vhost_user_emu *e = ctx;
	struct virtio_queue_state *q = &virtio_dev_registers(e->vdev)->queue[queue];

	vhost_user_emu_log_used(e, queue, ring->log_used, ring->log);
	/* A predecessor has started it and did not live to say so. */
	if (!q->enable) {
		q->desc = ring->desc;
		q->driver = ring->driver;
		q->device = ring->device;
		q->size = ring->size;
		__atomic_store_n(&q->msix_vector, queue, __ATOMIC_RELAXED);
	}
	FAULT_POINT("emu.ring.described");
	return ring->enabled ? run(e, queue) : vhost_user_emu_infer_driver_ok(e);
}

int
vhost_user_emu_ring_stop(void *ctx, uint16_t queue)
{
	struct vhost_user_emu *e = ctx;

	return answer_later(e, virtio_dev_queue_stop(e->vdev, queue));
}

int
vhost_user_emu_ring_enable(void *ctx, uint16_t queue, bool on)
{
	return on ? run(ctx, queue) : vhost_user_emu_ring_stop(ctx, queue);
}

/* ---- what the owner asks */

/* Pairs are used from the first on; one whose rings wait for their driver is none yet. */
uint16_t
vhost_user_emu_pairs(const struct emu *emu)
{
	const struct vhost_user_emu *e = (const struct vhost_user_emu *)emu;
	const struct virtio_state *s = virtio_dev_state(e->vdev);
	uint16_t n = 0;

	while (2 * n < e->queues && s->queue[2 * n].enable)
		n++;
	return n > 0 ? n : 1;
}

int
vhost_user_emu_kick_fd(const struct emu *emu, uint16_t queue)
{
	const struct vhost_user_emu *e = (const struct vhost_user_emu *)emu;

	return queue < e->queues ? e->kick[queue] : -1;
}

/* ---- eventfds: calls and errors are sent as interrupts are */

static unsigned int
vector_err(const struct vhost_user_emu *e, uint16_t queue)
{
	return e->queues + queue;
}

static void
fd_put(int *where, int fd)
{
	if (*where >= 0)
		close(*where);
	*where = fd;
}

/* The owner has a duplicate of the former one for as long as a worker waits for it. */
static int
set_kick(struct vhost_user_emu *e, uint16_t queue, int fd)
{
	fd_put(&e->kick[queue], fd);
	e->door->ops->set_kick(e->door, queue, fd);
	FAULT_POINT("emu.ring.kick");
	e->up->kick_changed(e->ctx, queue);
	return 0;
}

static int
attach(struct vhost_user_emu *e, unsigned int vector, int fd)
{
	const int ret = pci_irqs_set_msix(e->irqs, vector, 1, &fd);

	if (ret < 0 && fd >= 0)
		close(fd);
	return ret;
}

static int
set_call(struct vhost_user_emu *e, uint16_t queue, int fd)
{
	const int ret = attach(e, queue, fd);

	if (ret < 0)
		return ret;
	vhost_user_emu_keep(e, EMU_KEEP_MSIX, queue, 1, fd);
	FAULT_POINT("emu.ring.call");
	return 0;
}

static int
set_err(struct vhost_user_emu *e, uint16_t queue, int fd)
{
	const int ret = attach(e, vector_err(e, queue), fd);

	if (ret < 0)
		return ret;
	e->has_err[queue] = fd >= 0;
	vhost_user_emu_keep(e, EMU_KEEP_TRANSPORT, VHOST_USER_KEEP_ERR + queue, 1, fd);
	return 0;
}

int
vhost_user_emu_ring_fd(void *ctx, uint16_t queue, enum vhost_user_ring_fd kind, int fd)
{
	switch (kind) {
	case VHOST_USER_FD_KICK:
		return set_kick(ctx, queue, fd);
	case VHOST_USER_FD_CALL:
		return set_call(ctx, queue, fd);
	case VHOST_USER_FD_ERR:
		return set_err(ctx, queue, fd);
	}
	return -EINVAL;
}

int
vhost_user_emu_ring_adopt(
	struct vhost_user_emu *e, enum vhost_user_ring_fd kind, uint16_t queue, int fd)
{
	if (queue >= e->queues)
		return -EINVAL;
	switch (kind) {
	case VHOST_USER_FD_KICK:
		fd_put(&e->kick[queue], fd);
		return 0;
	case VHOST_USER_FD_CALL:
		return pci_irqs_adopt_msix(e->irqs, queue, fd);
	case VHOST_USER_FD_ERR:
		e->has_err[queue] = true;
		return pci_irqs_adopt_msix(e->irqs, vector_err(e, queue), fd);
	}
	return -EINVAL;
}

void
vhost_user_emu_rings_failed(struct vhost_user_emu *e)
{
	for (uint16_t q = 0; q < e->queues; q++)
		if (e->has_err[q])
			pci_irq_msix(e->irqs, vector_err(e, q));
}

void
vhost_user_emu_rings_forget(struct vhost_user_emu *e)
{
	pci_irqs_clear(e->irqs);
	vhost_user_emu_keep(e, EMU_KEEP_MSIX, 0, e->queues, -1);
	vhost_user_emu_keep(e, EMU_KEEP_TRANSPORT, VHOST_USER_KEEP_ERR, e->queues, -1);
	for (uint16_t q = 0; q < e->queues; q++) {
		if (e->kick[q] >= 0)
			e->door->ops->set_kick(e->door, q, -1);
		fd_put(&e->kick[q], -1);
		e->has_err[q] = false;
	}
}

void
vhost_user_emu_rings_close(struct vhost_user_emu *e)
{
	for (uint16_t q = 0; q < e->queues; q++)
		fd_put(&e->kick[q], -1);
}
