/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Transport "vfio_user": a modern virtio-net PCIe function behind a vfio-user socket.
 *
 * Composes the function from lib/pci (configuration space, MSI-X), lib/virtio (registers) and
 * lib/vfio_user (device side). Whatever has to wait for workers is a step: the client's access
 * stays unanswered until op_done().
 *
 * A process may end between any two steps; its successor finds the registers as they were left and
 * handles the request again. So each operation, done once more, leads to the same registers and the
 * same reply:
 *
 * - Register writes store what they were given. What a write does beyond that is done again (reset,
 *   FLR, a queue's reset, which shows in its register until it is done) or follows from the
 *   registers: bus mastering (dma_enabled()), whether INTx or MSI-X is in use (adopted()), the
 *   driver's status and its queues.
 * - The one read that changes something is the ISR's. What it took away and did not deliver is
 *   there again: adopted() sets every bit that may have been set.
 * - Interrupts are attached once more, to another descriptor of the same eventfd; detaching and
 *   masking what is detached and masked changes nothing. A loopback signal may come twice.
 * - Several writes in one message are done again from the first on.
 */

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>
#include <unistd.h>

#include <linux/vfio.h>

#include <rte_log.h>

#include "emu/emu.h"
#include "state/fault_point.h"
#include "vfio_user/vfio_user.h"
#include "virtio/virtio_pci.h"
#include "vfio_user_door.h"

RTE_LOG_REGISTER(vfio_user_logtype, virtnet.emu.vfio_user, NOTICE);

/* What the function is waiting for; decides what op_done() has to finish. */
enum step {
	STEP_NONE,
	STEP_ACCESS, /* a register write: only the reply is missing */
	STEP_FLR,    /* function level reset written to configuration space */
	STEP_RESET,  /* VFIO_USER_DEVICE_RESET */
	STEP_GONE,   /* client disconnected */
};

struct vfio_user_emu {
	struct emu emu;
	struct pci_fn *fn;
	struct pci_irqs *irqs;
	struct virtio_dev *vdev;
	struct virtio_pci *vp;
	struct vfio_user_device *dev;
	struct emu_door *door;
	const struct emu_upcalls *up;
	void *ctx;
	enum step step;
	uint16_t msix_vectors;
	bool dma_on;
};

static const char *
step_name(enum step step)
{
	static const char *const name[] = {
		"none", "register write", "FLR", "device reset", "disconnect"};

	return name[step];
}

static int
wait_for(struct vfio_user_emu *e, enum step step)
{
	e->step = step;
	return -EINPROGRESS;
}

/* Registers back to power-on values, once nothing runs any more. */
static void
function_reset(struct vfio_user_emu *e, bool flr)
{
	pci_fn_reset(e->fn, flr);
	pci_irq_intx(e->irqs, false);
	e->dma_on = false;
	(void)e->up->dma_enable(e->ctx, false);
}

static int
reset(struct vfio_user_emu *e, enum step step)
{
	if (virtio_dev_reset(e->vdev) == -EINPROGRESS)
		return wait_for(e, step);
	function_reset(e, step == STEP_FLR);
	return 0;
}

static int
set_dma(struct vfio_user_emu *e, bool on)
{
	if (e->dma_on == on)
		return 0;
	e->dma_on = on;
	if (e->up->dma_enable(e->ctx, on) == -EINPROGRESS)
		return wait_for(e, STEP_ACCESS);
	return 0;
}

static int
config_read(struct vfio_user_emu *e, uint64_t off, void *buf, uint32_t count)
{
	virtio_pci_cfg_access_read(e->vp, off, count);
	return pci_fn_cfg_read(e->fn, off, buf, count);
}

/*
 * A write may touch several registers of which two may have to wait: the virtio window, then bus
 * mastering. They wait one after the other (access_done()); a reset makes both pointless.
 */
static int
config_write(struct vfio_user_emu *e, uint64_t off, const void *buf, uint32_t count)
{
	const int events = pci_fn_cfg_write(e->fn, off, buf, count);

	FAULT_POINT("emu.config.written");
	if (events < 0)
		return events;
	if (events & PCI_EV_FLR)
		return reset(e, STEP_FLR);
	if (events & PCI_EV_MSIX)
		virtio_dev_irq_mode_changed(e->vdev);
	if ((events & PCI_EV_VENDOR) &&
		virtio_pci_cfg_access_write(e->vp, off, count) == -EINPROGRESS)
		return wait_for(e, STEP_ACCESS);
	return set_dma(e, pci_fn_bus_master(e->fn));
}

static int
region_read(void *ctx, unsigned int region, uint64_t off, void *buf, uint32_t count)
{
	struct vfio_user_emu *e = ctx;

	switch (region) {
	case VIRTIO_PCI_BAR:
		return virtio_pci_bar_read(e->vp, off, buf, count);
	case VIRTIO_PCI_MSIX_BAR:
		return pci_fn_msix_bar_read(e->fn, off, buf, count);
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return config_read(e, off, buf, count);
	default:
		return -EINVAL;
	}
}

static int
region_write(void *ctx, unsigned int region, uint64_t off, const void *buf, uint32_t count)
{
	struct vfio_user_emu *e = ctx;
	int ret;

	switch (region) {
	case VIRTIO_PCI_BAR:
		ret = virtio_pci_bar_write(e->vp, off, buf, count);
		return ret == -EINPROGRESS ? wait_for(e, STEP_ACCESS) : ret;
	case VIRTIO_PCI_MSIX_BAR:
		return pci_fn_msix_bar_write(e->fn, off, buf, count);
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return config_write(e, off, buf, count);
	default:
		return -EINVAL;
	}
}

/* The front lets nothing through that would not close at once. */
static int
dma_map(void *ctx, uint64_t iova, uint64_t size, int fd, uint64_t offset, uint32_t prot)
{
	struct vfio_user_emu *e = ctx;
	const int ret = e->up->mem_map(e->ctx, iova, size, fd, offset, prot);

	if (fd >= 0)
		close(fd);
	return ret;
}

static int
dma_unmap(void *ctx, uint64_t iova, uint64_t size, bool all)
{
	struct vfio_user_emu *e = ctx;
	const int ret = e->up->mem_unmap(e->ctx, iova, size, all);

	return ret == -EINPROGRESS ? wait_for(e, STEP_ACCESS) : ret;
}

static void
keep(struct vfio_user_emu *e, enum emu_keep kind, unsigned int index, unsigned int count, int fd)
{
	e->up->keep(e->ctx, kind, index, count, fd);
}

static void
forget_irq_fds(struct vfio_user_emu *e)
{
	if (e->msix_vectors > 0)
		keep(e, EMU_KEEP_MSIX, 0, e->msix_vectors, -1);
	keep(e, EMU_KEEP_INTX, 0, 1, -1);
}

static void
close_fds(const struct vfio_user_irq_set *set)
{
	for (unsigned int i = 0; set->fds != NULL && i < set->count; i++)
		if (set->fds[i] >= 0)
			close(set->fds[i]);
}

static int
detach_msix(struct vfio_user_emu *e, unsigned int start, unsigned int count)
{
	int none[PCI_MSIX_MAX];

	for (unsigned int i = 0; i < count; i++)
		none[i] = -1;
	if (count > 0)
		keep(e, EMU_KEEP_MSIX, start, count, -1);
	return pci_irqs_set_msix(e->irqs, start, count, none);
}

static int
irq_set_msix(struct vfio_user_emu *e, const struct vfio_user_irq_set *set)
{
	int ret;

	if (set->count == 0)
		return detach_msix(e, 0, e->msix_vectors);
	if (set->data == VFIO_USER_IRQ_EVENTFD) {
		if (set->fds == NULL)
			return detach_msix(e, set->start, set->count);
		ret = pci_irqs_set_msix(e->irqs, set->start, set->count, set->fds);
		if (ret < 0) {
			close_fds(set);
			return ret;
		}
		FAULT_POINT("emu.irqs.set");
		for (unsigned int i = 0; i < set->count; i++)
			keep(e, EMU_KEEP_MSIX, set->start + i, 1, set->fds[i]);
		return 0;
	}
	for (unsigned int i = 0; i < set->count; i++)
		if (set->data == VFIO_USER_IRQ_NONE || set->bools[i])
			pci_irq_msix(e->irqs, set->start + i);
	return 0;
}

/* @param fd  -1: detach */
static int
attach_intx(struct vfio_user_emu *e, const struct vfio_user_irq_set *set, int fd)
{
	const int ret = pci_irqs_set_intx(e->irqs, fd);

	if (ret < 0)
		close_fds(set);
	else
		keep(e, EMU_KEEP_INTX, 0, 1, fd);
	return ret;
}

static int
act_on_intx(struct vfio_user_emu *e, enum vfio_user_irq_action action)
{
	switch (action) {
	case VFIO_USER_IRQ_MASK:
		pci_irqs_intx_mask(e->irqs);
		break;
	case VFIO_USER_IRQ_UNMASK:
		pci_irqs_intx_unmask(e->irqs);
		break;
	case VFIO_USER_IRQ_TRIGGER:
		pci_irqs_intx_trigger(e->irqs);
		break;
	}
	return 0;
}

/* The eventfd is signalled on assertion only: nothing is masked by being signalled. */
static int
irq_set_intx(struct vfio_user_emu *e, const struct vfio_user_irq_set *set)
{
	if (set->data == VFIO_USER_IRQ_EVENTFD) {
		if (set->action == VFIO_USER_IRQ_TRIGGER)
			return attach_intx(e, set, set->fds != NULL ? set->fds[0] : -1);
		/* (Un)masking by eventfd is for KVM in the kernel; nobody would look at it here. */
		close_fds(set);
		return set->fds != NULL ? -ENOTSUP : 0;
	}
	if (set->count == 0)
		return attach_intx(e, set, -1);
	if (set->data == VFIO_USER_IRQ_BOOL && !set->bools[0])
		return 0;
	return act_on_intx(e, set->action);
}

static int
irq_set(void *ctx, const struct vfio_user_irq_set *set)
{
	struct vfio_user_emu *e = ctx;

	if (set->index == VFIO_PCI_MSIX_IRQ_INDEX && set->action == VFIO_USER_IRQ_TRIGGER)
		return irq_set_msix(e, set);
	if (set->index == VFIO_PCI_INTX_IRQ_INDEX)
		return irq_set_intx(e, set);
	/* Error and request interrupts are accepted and never fired: QEMU stops the VM on the
	 * first. */
	if (set->data == VFIO_USER_IRQ_EVENTFD)
		close_fds(set);
	return set->index == VFIO_PCI_ERR_IRQ_INDEX || set->index == VFIO_PCI_REQ_IRQ_INDEX
		       ? 0
		       : -EINVAL;
}

static int
device_reset(void *ctx)
{
	return reset(ctx, STEP_RESET);
}

static const struct vfio_user_device_ops device_ops = {
	.region_read = region_read,
	.region_write = region_write,
	.dma_map = dma_map,
	.dma_unmap = dma_unmap,
	.irq_set = irq_set,
	.reset = device_reset,
};

/* The reply stands. */
static void
answer(struct vfio_user_emu *e)
{
	e->door->ops->reply(e->door);
}

static void
emu_request(struct emu *emu, int *fds)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	if (vfio_user_device_handle(e->dev, fds))
		answer(e);
}

static void
emu_refuse(struct emu *emu)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	if (vfio_user_device_refuse(e->dev, -EIO))
		answer(e);
}

static void
emu_connected(struct emu *emu)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	e->up->connected(e->ctx);
}

/* Nothing of the client's is in use any more. */
static void
gone(struct vfio_user_emu *e)
{
	e->step = STEP_NONE;
	function_reset(e, false);
	FAULT_POINT("emu.gone.cleaned");
	e->door->ops->gone_done(e->door);
}

/* The host has gone: what it was waiting for is over, what it gave us goes once nobody uses it. */
static void
emu_disconnected(struct emu *emu)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	FAULT_POINT("emu.gone.before");
	pci_irqs_clear(e->irqs);
	forget_irq_fds(e);
	vfio_user_device_reset_connection(e->dev);
	e->step = STEP_GONE;
	if (e->up->disconnected(e->ctx) != -EINPROGRESS)
		gone(e);
}

static bool
emu_busy(const struct emu *emu)
{
	const struct vfio_user_emu *e = (const struct vfio_user_emu *)emu;

	return e->step != STEP_NONE || vfio_user_device_pending(e->dev);
}

/* An access has taken effect; what else it changed may take effect now. */
static void
access_done(struct vfio_user_emu *e, int err)
{
	if (set_dma(e, pci_fn_bus_master(e->fn)) == -EINPROGRESS)
		return;
	if (vfio_user_device_complete(e->dev, err))
		answer(e);
}

static void
op_done(struct emu *emu, int err)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;
	const enum step step = e->step;

	rte_log(RTE_LOG_DEBUG, vfio_user_logtype, "%s done: %d\n", step_name(step), err);
	e->step = STEP_NONE;
	switch (step) {
	case STEP_NONE:
		break;
	case STEP_FLR:
	case STEP_RESET:
		function_reset(e, step == STEP_FLR);
		/* fallthrough */
	case STEP_ACCESS:
		access_done(e, err);
		break;
	case STEP_GONE:
		gone(e);
		break;
	}
}

static void
set_kick(struct emu *emu, uint16_t queue, int fd)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	e->door->ops->set_kick(e->door, queue, fd);
}

static bool
is_connected(const struct emu *emu)
{
	const struct vfio_user_emu *e = (const struct vfio_user_emu *)emu;

	return e->door->ops->connected(e->door);
}

/* All the rest the hypervisor reads from the function. */
static void
describe(const struct emu *emu, struct vmm_function *out)
{
	const struct vfio_user_emu *e = (const struct vfio_user_emu *)emu;

	*out = (struct vmm_function){.kind = VMM_VFIO_USER, .msix = e->msix_vectors > 0};
}

static bool
dma_enabled(const struct emu *emu)
{
	const struct vfio_user_emu *e = (const struct vfio_user_emu *)emu;

	return e->dma_on;
}

static bool
msix_enabled(const struct emu *emu)
{
	const struct vfio_user_emu *e = (const struct vfio_user_emu *)emu;

	return pci_fn_msix_enabled(e->fn);
}

static void
irq_msix(struct emu *emu, uint16_t vector)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	pci_irq_msix(e->irqs, vector);
}

static void
irq_intx(struct emu *emu, bool level)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	pci_irq_intx(e->irqs, level);
}

static void
emu_destroy(struct emu *emu)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	vfio_user_device_destroy(e->dev);
	virtio_pci_destroy(e->vp);
	if (e->irqs != NULL)
		pci_irqs_destroy(e->irqs);
	if (e->fn != NULL)
		pci_fn_destroy(e->fn);
	free(e);
}

/* As a predecessor had it: what is pending for it stays pending until adopted(). */
static int
adopt_fd(struct emu *emu, enum emu_keep kind, unsigned int index, int fd)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;
	int ret = -EINVAL;

	switch (kind) {
	case EMU_KEEP_MSIX:
		ret = pci_irqs_adopt_msix(e->irqs, index, fd);
		break;
	case EMU_KEEP_INTX:
		ret = index == 0 ? pci_irqs_adopt_intx(e->irqs, fd) : -EINVAL;
		break;
	case EMU_KEEP_KICK:
	case EMU_KEEP_TRANSPORT:
		break;
	}
	if (ret < 0 && fd >= 0)
		close(fd);
	return ret;
}

static void
adopted(struct emu *emu)
{
	struct vfio_user_emu *e = (struct vfio_user_emu *)emu;

	/* A write that changed the mode may be seen as none when it is handled again. */
	virtio_dev_irq_mode_changed(e->vdev);
	pci_irqs_resignal(e->irqs);
	virtio_dev_resignal(e->vdev);
}

/* The PCI function: capabilities, registers, interrupts. */
static int
create_function(struct vfio_user_emu *e, const struct emu_params *p, struct pci_fn_params *fp)
{
	int ret;

	virtio_pci_fn_params(fp, p->msix_vectors, p->msix_vectors == 0);
	fp->serial = p->serial;
	ret = pci_fn_create(p->pci, fp, p->fresh, &e->fn);
	if (ret < 0)
		return ret;
	ret = pci_irqs_create(p->msix_vectors, p->up->retire_fd, p->ctx, &e->irqs);
	if (ret < 0)
		return ret;
	pci_fn_set_irqs(e->fn, e->irqs);
	return virtio_pci_create(p->vdev, e->fn, &e->vp);
}

static int
create_device_side(
	struct vfio_user_emu *e, const struct emu_params *p, const struct pci_fn_params *fp)
{
	struct vfio_user_device_conf conf = {
		.ops = &device_ops,
		.ctx = e,
		.mailbox = p->mailbox,
	};

	for (unsigned int i = 0; i < PCI_NUM_BARS; i++) {
		conf.regions[i].size = fp->bar[i].size;
		if (fp->bar[i].size != 0)
			conf.regions[i].flags = VFIO_USER_REGION_F_READ | VFIO_USER_REGION_F_WRITE;
	}
	conf.regions[VFIO_PCI_CONFIG_REGION_INDEX].size = PCI_CFG_SIZE;
	conf.regions[VFIO_PCI_CONFIG_REGION_INDEX].flags =
		VFIO_USER_REGION_F_READ | VFIO_USER_REGION_F_WRITE;
	conf.irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	conf.irqs[VFIO_PCI_INTX_IRQ_INDEX].flags =
		VFIO_USER_IRQ_F_EVENTFD | VFIO_USER_IRQ_F_MASKABLE | VFIO_USER_IRQ_F_AUTOMASKED;
	/* No NORESIZE: with it QEMU takes all vectors away to add one, losing what fires between.
	 */
	conf.irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = p->msix_vectors;
	conf.irqs[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_USER_IRQ_F_EVENTFD;
	conf.irqs[VFIO_PCI_ERR_IRQ_INDEX].count = 1;
	conf.irqs[VFIO_PCI_ERR_IRQ_INDEX].flags = VFIO_USER_IRQ_F_EVENTFD;
	conf.irqs[VFIO_PCI_REQ_IRQ_INDEX].count = 1;
	conf.irqs[VFIO_PCI_REQ_IRQ_INDEX].flags = VFIO_USER_IRQ_F_EVENTFD;
	return vfio_user_device_create(&conf, &e->dev);
}

static void
set_notify(struct vfio_user_emu *e)
{
	const struct emu_notify notify = {
		.region = VIRTIO_PCI_BAR,
		.multiplier = VIRTIO_PCI_NOTIFY_MULT,
		.offset = VIRTIO_PCI_NOTIFY_OFFSET,
		.size = VIRTIO_PCI_NOTIFY_SIZE,
	};

	e->door->ops->set_notify(e->door, &notify);
}

static const struct emu_ops vfio_user_ops;

static int
emu_create(const struct emu_params *p, struct emu **out)
{
	struct vfio_user_emu *e = calloc(1, sizeof(*e));
	struct pci_fn_params fp = {0};
	int ret;

	if (e == NULL)
		return -ENOMEM;
	e->emu.ops = &vfio_user_ops;
	e->door = p->door;
	e->vdev = p->vdev;
	e->up = p->up;
	e->ctx = p->ctx;
	e->msix_vectors = p->msix_vectors;
	ret = create_function(e, p, &fp);
	if (ret == 0)
		ret = create_device_side(e, p, &fp);
	if (ret < 0) {
		emu_destroy(&e->emu);
		return ret;
	}
	e->dma_on = pci_fn_bus_master(e->fn);
	set_notify(e);
	*out = &e->emu;
	return 0;
}

static const struct emu_ops vfio_user_ops = {
	.name = "vfio_user",
	.pci = true,
	.door_create = vfio_user_door_create,
	.create = emu_create,
	.destroy = emu_destroy,
	.request = emu_request,
	.connected = emu_connected,
	.disconnected = emu_disconnected,
	.refuse = emu_refuse,
	.adopt_fd = adopt_fd,
	.adopted = adopted,
	.busy = emu_busy,
	.op_done = op_done,
	.set_kick = set_kick,
	.is_connected = is_connected,
	.describe = describe,
	.dma_enabled = dma_enabled,
	.msix_enabled = msix_enabled,
	.irq_msix = irq_msix,
	.irq_intx = irq_intx,
};

EMU_DRIVER_REGISTER(vfio_user, vfio_user_ops)
