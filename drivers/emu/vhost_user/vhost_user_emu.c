/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Transports "vhost_user" and "vhost_user_client": a virtio-net device whose registers, control
 * virtqueue and interrupts are a hypervisor's, which hands out rings over a vhost-user socket. They
 * differ in who listens at the socket: the device, or the hypervisor.
 *
 * The device is the same struct virtio_dev as behind registers: what messages say is what registers
 * would, so that rings, workers, SF, commands and recovery know of no difference. The features are
 * accepted with SET_FEATURES; the status is the client's or follows from rings; an enabled queue is
 * a ring that is started and enabled; interrupts are call eventfds, one for each queue. Whatever
 * has to wait for workers is a step: the client's message stays unanswered until op_done().
 *
 * A process may end between any two steps; its successor finds registers, ring records, memory and
 * the connection's state (struct vhost_user_state) as they were left, and handles the message
 * again. What it cannot make sense of ends the connection: a client that reconnects hands out
 * everything anew.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_byteorder.h>
#include <rte_log.h>

#include "sock/discard.h"
#include "state/fault_point.h"
#include "vhost_user_door.h"
#include "vhost_user_emu.h"

RTE_LOG_REGISTER(vhost_user_logtype, virtnet.emu.vhost_user.function, NOTICE);

_Static_assert(sizeof(struct vhost_user_state) <= EMU_TRANSPORT_STATE, "it has a section");
_Static_assert(VHOST_USER_STATE_VERSION == EMU_TRANSPORT_VERSION,
	"a new layout is a new version of the section");
_Static_assert(VHOST_USER_KEEP_ERR + VHOST_USER_RINGS_MAX <= EMU_KEEP_TRANSPORT_MAX, "indices");

/* ---- what happens at the door */

/* The reply stands. */
static void
answer(struct vhost_user_emu *e)
{
	e->door->ops->reply(e->door);
}

/* Rings may have come or gone with what has just been done. */
static void
done(struct vhost_user_emu *e)
{
	e->up->pairs_changed(e->ctx);
	answer(e);
}

static void
emu_request(struct emu *emu, int *fds)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;

	if (vhost_user_device_handle(e->dev, fds))
		done(e);
}

static void
emu_refuse(struct emu *emu)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;

	if (vhost_user_device_refuse(e->dev, -EIO))
		answer(e);
}

static void
emu_connected(struct emu *emu)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;

	e->up->connected(e->ctx);
}

static void
backend_close(struct vhost_user_emu *e)
{
	if (e->backend >= 0)
		sock_discard_socket(e->closer, e->backend);
	e->backend = -1;
}

/* Nothing of the client's is in use any more. */
static void
gone(struct vhost_user_emu *e)
{
	e->step = VHOST_USER_STEP_NONE;
	vhost_user_emu_log_close(e);
	FAULT_POINT("emu.gone.cleaned");
	e->door->ops->gone_done(e->door);
}

static void
emu_disconnected(struct emu *emu)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;

	FAULT_POINT("emu.gone.before");
	vhost_user_emu_rings_forget(e);
	backend_close(e);
	vhost_user_emu_keep(e, EMU_KEEP_TRANSPORT, VHOST_USER_KEEP_BACKEND, 2, -1);
	vhost_user_device_reset_connection(e->dev);
	e->step = VHOST_USER_STEP_GONE;
	if (e->up->disconnected(e->ctx) != -EINPROGRESS)
		gone(e);
}

static bool
emu_busy(const struct emu *emu)
{
	const struct vhost_user_emu *e = (const struct vhost_user_emu *)emu;

	return e->step != VHOST_USER_STEP_NONE || vhost_user_device_pending(e->dev);
}

static void
op_done(struct emu *emu, int err)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;
	const enum vhost_user_step step = e->step;

	rte_log(RTE_LOG_DEBUG, vhost_user_logtype, "step %d done: %d\n", (int)step, err);
	e->step = VHOST_USER_STEP_NONE;
	switch (step) {
	case VHOST_USER_STEP_NONE:
		return;
	case VHOST_USER_STEP_OP:
		break;
	case VHOST_USER_STEP_FEATURES:
		if (err == 0)
			err = vhost_user_emu_take_features(e);
		break;
	case VHOST_USER_STEP_LOG:
		vhost_user_emu_log_changed(e);
		break;
	case VHOST_USER_STEP_GONE:
		gone(e);
		return;
	}
	if (vhost_user_device_complete(e->dev, err))
		done(e);
}

/* ---- what the owner asks */

static bool
is_connected(const struct emu *emu)
{
	const struct vhost_user_emu *e = (const struct vhost_user_emu *)emu;

	return e->door->ops->connected(e->door);
}

/* The function is the hypervisor's own: it has to look as ours would. */
static void
describe(const struct emu *emu, struct vmm_function *out)
{
	const struct vhost_user_emu *e = (const struct vhost_user_emu *)emu;
	const struct virtio_state *s = virtio_dev_state(e->vdev);

	*out = (struct vmm_function){
		.kind = VMM_VHOST_USER,
		.msix = e->msix,
		.listens = emu->ops->door_create == vhost_user_door_connect,
		.mtu = virtio_has(s->device_features, VIRTIO_NET_F_MTU)
			       ? rte_le_to_cpu_16(s->config.mtu)
			       : 0,
		.pairs = e->queues / 2,
		.queue_size = s->queue[0].max_size,
		.features = s->device_features,
	};
	memcpy(out->mac, s->config.mac, sizeof(out->mac));
}

/* What the client does not want written it does not give. */
static bool
dma_enabled(const struct emu *emu)
{
	RTE_SET_USED(emu);
	return true;
}

static bool
msix_enabled(const struct emu *emu)
{
	RTE_SET_USED(emu);
	return true;
}

/* The owner changes the configuration, or the device fails: control lcore. */
static void
config_changed(struct vhost_user_emu *e)
{
	if ((virtio_dev_status(e->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		vhost_user_emu_rings_failed(e);
	if (e->backend >= 0 && vhost_user_device_config_told(e->dev))
		(void)vhost_user_backend_config_changed(e->backend);
}

static void
irq_msix(struct emu *emu, uint16_t vector)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;

	if (vector < e->queues)
		pci_irq_msix(e->irqs, vector);
	else if (vector == VHOST_USER_VECTOR_CONFIG)
		config_changed(e);
}

static void
irq_intx(struct emu *emu, bool level)
{
	RTE_SET_USED(emu);
	RTE_SET_USED(level);
}

/* ---- life */

static void
emu_destroy(struct emu *emu)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;

	vhost_user_emu_log_close(e);
	vhost_user_emu_rings_close(e);
	/* A successor may go on with it. What lies in its queue may take its time to close. */
	sock_discard(e->closer, &e->backend, 1);
	sock_closer_release(e->closer);
	pci_irqs_destroy(e->irqs);
	vhost_user_device_destroy(e->dev);
	free(e);
}

static int
take(struct vhost_user_emu *e, enum emu_keep kind, unsigned int index, int fd)
{
	switch (kind) {
	case EMU_KEEP_KICK:
		return vhost_user_emu_ring_adopt(e, VHOST_USER_FD_KICK, (uint16_t)index, fd);
	case EMU_KEEP_MSIX:
		return vhost_user_emu_ring_adopt(e, VHOST_USER_FD_CALL, (uint16_t)index, fd);
	case EMU_KEEP_TRANSPORT:
		break;
	case EMU_KEEP_INTX:
		return -EINVAL;
	}
	if (index == VHOST_USER_KEEP_LOG)
		return vhost_user_emu_log_adopt(e, fd);
	if (index >= VHOST_USER_KEEP_ERR)
		return vhost_user_emu_ring_adopt(
			e, VHOST_USER_FD_ERR, (uint16_t)(index - VHOST_USER_KEEP_ERR), fd);
	if (index != VHOST_USER_KEEP_BACKEND || e->backend >= 0)
		return -EINVAL;
	e->backend = fd;
	return 0;
}

static int
adopt_fd(struct emu *emu, enum emu_keep kind, unsigned int index, int fd)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;
	const int ret = take(e, kind, index, fd);

	if (ret < 0)
		sock_discard(e->closer, &fd, 1);
	return ret;
}

/* Descriptors that must be there are: else nobody would hear of packets, or miss them in the log.
 */
static bool
complete(const struct vhost_user_emu *e)
{
	return !vhost_user_device_logging(e->dev) || e->logging;
}

static void
adopted(struct emu *emu)
{
	struct vhost_user_emu *e = (struct vhost_user_emu *)emu;

	virtio_dev_resignal(e->vdev);
	if (e->stranger || !complete(e))
		e->door->ops->disconnect(e->door);
}

static int
create_device_side(struct vhost_user_emu *e, const struct emu_params *p)
{
	const struct virtio_state *s = virtio_dev_state(p->vdev);
	struct vhost_user_device_conf conf = {
		.pairs = e->queues / 2,
		.max_queue_size = s->queue[0].max_size,
		.ops = &vhost_user_emu_device_ops,
		.ctx = e,
		.mailbox = p->mailbox,
		.state = p->transport,
		.fresh = p->fresh,
	};
	int ret = vhost_user_device_create(&conf, &e->dev);

	if (ret == -EBADMSG) {
		conf.fresh = true;
		ret = vhost_user_device_create(&conf, &e->dev);
	}
	e->stranger = conf.fresh && e->door->ops->connected(e->door);
	return ret;
}

static void
take_up_rings(struct vhost_user_emu *e)
{
	struct vhost_user_ring ring;

	for (uint16_t q = 0; q < e->queues; q++)
		if (vhost_user_device_ring(e->dev, q, &ring))
			vhost_user_emu_log_used(e, q, ring.log_used, ring.log);
}

static int
create(const struct emu_params *p, const struct emu_ops *ops, struct emu **out)
{
	const uint16_t pairs = (virtio_dev_state(p->vdev)->num_queues - 1) / 2;
	struct vhost_user_emu *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return -ENOMEM;
	e->emu.ops = ops;
	e->door = p->door;
	e->vdev = p->vdev;
	e->state = p->transport;
	e->up = p->up;
	e->ctx = p->ctx;
	e->msix = p->msix_vectors > 0;
	e->queues = RTE_MIN(pairs * 2u, VHOST_USER_RINGS_MAX);
	e->backend = -1;
	for (unsigned int q = 0; q < VHOST_USER_RINGS_MAX; q++)
		e->kick[q] = -1;
	e->closer = sock_closer_share(p->door->closer);
	ret = pci_irqs_create(e->queues * 2u, p->up->retire_fd, p->ctx, &e->irqs);
	if (ret == 0)
		ret = create_device_side(e, p);
	if (ret < 0) {
		emu_destroy(&e->emu);
		return ret;
	}
	take_up_rings(e);
	*out = &e->emu;
	return 0;
}

static int create_listening(const struct emu_params *p, struct emu **out);
static int create_connecting(const struct emu_params *p, struct emu **out);

#define OPS(name_, door_, create_)                                                                 \
	{                                                                                          \
		.name = name_, .door_create = door_, .create = create_, .destroy = emu_destroy,    \
		.request = emu_request, .connected = emu_connected,                                \
		.disconnected = emu_disconnected, .refuse = emu_refuse, .adopt_fd = adopt_fd,      \
		.adopted = adopted, .busy = emu_busy, .op_done = op_done,                          \
		.kick_fd = vhost_user_emu_kick_fd, .pairs = vhost_user_emu_pairs,                  \
		.log = vhost_user_emu_log, .is_connected = is_connected, .describe = describe,     \
		.dma_enabled = dma_enabled, .msix_enabled = msix_enabled, .irq_msix = irq_msix,    \
		.irq_intx = irq_intx,                                                              \
	}

static const struct emu_ops listening = OPS("vhost_user", vhost_user_door_listen, create_listening);
static const struct emu_ops connecting =
	OPS("vhost_user_client", vhost_user_door_connect, create_connecting);

static int
create_listening(const struct emu_params *p, struct emu **out)
{
	return create(p, &listening, out);
}

static int
create_connecting(const struct emu_params *p, struct emu **out)
{
	return create(p, &connecting, out);
}

EMU_DRIVER_REGISTER(vhost_user, listening)
EMU_DRIVER_REGISTER(vhost_user_client, connecting)
