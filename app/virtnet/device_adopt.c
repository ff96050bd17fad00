/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Taking up a device that another process has left, orderly or not.
 *
 * The order: state block; registers behind the door, which stays open; the client's memory; its
 * interrupts; kicks; the SF. Then the keeper is told, and what stands at the door - a request, the
 * end of a connection - is dealt with before anything runs: a driver that is being reset must not
 * see its queues run again. Then rings start from their records, interrupts that may have been lost
 * are raised once more, and workers get the queues, which they look at first thing.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "device_adopt.h"
#include "device_block.h"
#include "device_dma.h"
#include "device_function.h"
#include "device_rings.h"
#include "device_run.h"
#include "device_sf.h"
#include "device_sf_late.h"
#include "fence.h"
#include "keeper_link.h"
#include "log.h"
#include "mem.h"
#include "state/fault_point.h"

/* Steps that are measured. */
enum step {
	STEP_BLOCK,
	STEP_FUNCTION,
	STEP_MEMORY,
	STEP_INTERRUPTS,
	STEP_SF,
	STEPS,
};

struct device_adoption {
	struct device *dev;
	struct device_heirloom *h;
	uint32_t flags;
	uint32_t queue;
	unsigned int damage;
	uint64_t since;
	uint32_t us[STEPS];
};

static void
measure(struct device_adoption *a, enum step step)
{
	const uint64_t now = rte_rdtsc();

	a->us[step] = (now - a->since) * US_PER_S / rte_get_tsc_hz();
	a->since = now;
}

/* ---- running again ---- */

/* Queues that the driver has left running go on, others are taken back. */
void
device_settle(struct device *dev)
{
	const uint8_t status = virtio_dev_status(dev->vdev);
	const struct device_state *s = dev->state;
	const bool on = (status & VIRTIO_CONFIG_S_DRIVER_OK) != 0;

	if (dev->sf_changes > 0)
		return; /* a request that stood has just asked for it */
	if (on && (status & VIRTIO_CONFIG_S_NEEDS_RESET) != 0)
		dev->started = s->started;
	else if (on && s->started && !s->sf.changing)
		dev->started = true;
	else if (on)
		device_start_again(dev);
	else if (dev->sf_used)
		device_sf_stop(dev);
	else
		dev->state->sf.changing = 0;
}

static void
run(struct device *dev)
{
	const uint8_t status = virtio_dev_status(dev->vdev);

	dev->held = false;
	device_settle(dev);
	if (dev->started && dev->dma_on && !(status & VIRTIO_CONFIG_S_NEEDS_RESET))
		(void)device_rings_start(dev); /* what fails is met by device_resume() */
	FAULT_POINT("device.adopt.rings");
	virtio_dev_irq_mode_changed(dev->vdev);
	dev->emu->ops->adopted(dev->emu);
	FAULT_POINT("device.adopt.signalled");
	device_resume(dev);
	device_go_on(dev);
	if (dev->state->quarantine & (DEVICE_Q_DAMAGE | DEVICE_Q_BLOCK))
		device_refresh_bdf(dev); /* the address that the host told may be lost */
}

/* ---- a door that tells when the request that stood has been dealt with ---- */

struct device_guard {
	struct emu_door door; /* first */
	struct emu_door *real;
	struct device *dev;
};

static struct device_guard *
guard(const struct emu_door *door)
{
	return (struct device_guard *)(uintptr_t)door;
}

static void
guard_reply(struct emu_door *door)
{
	struct device_guard *g = guard(door);

	g->real->ops->reply(g->real);
	if (g->dev->held && g->dev->release == NULL)
		run(g->dev);
}

static void
guard_gone_done(struct emu_door *door)
{
	struct device_guard *g = guard(door);

	g->real->ops->gone_done(g->real);
	if (g->dev->held && g->dev->release == NULL)
		run(g->dev);
}

static void
guard_disconnect(struct emu_door *door)
{
	guard(door)->real->ops->disconnect(guard(door)->real);
}

static void
guard_set_notify(struct emu_door *door, const struct emu_notify *notify)
{
	guard(door)->real->ops->set_notify(guard(door)->real, notify);
}

static void
guard_set_kick(struct emu_door *door, uint16_t queue, int fd)
{
	guard(door)->real->ops->set_kick(guard(door)->real, queue, fd);
}

static bool
guard_connected(const struct emu_door *door)
{
	return guard(door)->real->ops->connected(guard(door)->real);
}

/* The door's owner opens and closes the real one. */
static const struct emu_door_ops guard_ops = {
	.reply = guard_reply,
	.gone_done = guard_gone_done,
	.disconnect = guard_disconnect,
	.set_notify = guard_set_notify,
	.set_kick = guard_set_kick,
	.connected = guard_connected,
};

static struct emu_door *
guard_door(struct device *dev, struct emu_door *real)
{
	dev->guard = must_zalloc(sizeof(*dev->guard));
	dev->guard->door.ops = &guard_ops;
	dev->guard->door.closer = real->closer;
	dev->guard->real = real;
	dev->guard->dev = dev;
	return &dev->guard->door;
}

/* ---- the end ---- */

static void
abandon(struct device_adoption *a, int err, const char *text)
{
	struct device *dev = a->dev;
	struct keeper_link *keeper = dev->ctl->keeper;
	const uint32_t handle = dev->handle;

	log_err("%s: cannot be taken up: %s", dev->vuid, text[0] != '\0' ? text : strerror(-err));
	if (dev->emu != NULL)
		dev->emu->ops->destroy(dev->emu);
	dev->emu = NULL;
	if (dev->door != NULL)
		keeper_door_forget(dev->door);
	dev->door = NULL;
	if (dev->listed)
		device_unlist(dev);
	device_free(dev);
	keeper_link_adopted(keeper, handle, err, false, text[0] != '\0' ? text : strerror(-err));
}

/* The driver must learn that something of its device is lost. */
static void
tell_driver(struct device_adoption *a)
{
	struct device *dev = a->dev;

	if (a->flags & HA_ADOPT_POISON_QUEUE) {
		log_err("%s: queue %u crashed the process that polled it, twice: device needs "
			"reset",
			dev->vuid, a->queue);
		dev->state->quarantine |= DEVICE_Q_QUEUE;
		virtio_dev_needs_reset(dev->vdev);
	} else if (a->damage & (DEVICE_BAD_STATE | DEVICE_BAD_RINGS | DEVICE_BAD_DMA)) {
		virtio_dev_needs_reset(dev->vdev);
	}
}

static void
complete(struct device_adoption *a)
{
	struct device *dev = a->dev;
	char lost[HA_TEXT_MAX] = "";

	dev->sf_used = dev->state->sf.pairs > 0 || dev->state->sf.changing;
	dev->state->adoptions++;
	if (a->damage != 0) {
		device_block_damage_text(a->damage, lost, sizeof(lost));
		log_err("%s: its state was damaged (%s): the device is reset", dev->vuid, lost);
	}
	tell_driver(a);
	log_info("%s: taken up after %s in %u us (block %u, registers %u, memory %u, interrupts "
		 "%u, SF %u)",
		dev->vuid, a->flags & HA_ADOPT_CRASHED ? "a crash" : "another process",
		a->us[STEP_BLOCK] + a->us[STEP_FUNCTION] + a->us[STEP_MEMORY] +
			a->us[STEP_INTERRUPTS] + a->us[STEP_SF],
		a->us[STEP_BLOCK], a->us[STEP_FUNCTION], a->us[STEP_MEMORY], a->us[STEP_INTERRUPTS],
		a->us[STEP_SF]);
	keeper_link_adopted(dev->ctl->keeper, dev->handle, 0, a->damage != 0, lost);
	if (dev->state->phase == DEVICE_CREATING || dev->state->phase == DEVICE_REMOVING)
		device_go_on(dev);
	else if ((a->flags & (HA_ADOPT_REQUEST | HA_ADOPT_GONE)) == 0)
		run(dev);
	/* Else the guard runs it. */
}

/* ---- SF ---- */

/* One whose driver cannot hand it on, or whose descriptors are lost. */
static int
make_sf(struct device_adoption *a)
{
	struct device *dev = a->dev;

	keeper_link_drop(dev->ctl->keeper, dev->handle, HA_FD_SF, 0, dev->conf.max_pairs);
	return device_sf_late(dev);
}

static int
heirloom_take(struct device_heirloom *h, unsigned int i)
{
	const int fd = h->fd[i].fd;

	h->fd[i].fd = -1;
	return fd;
}

static int
take_sf(struct device_adoption *a)
{
	struct device *dev = a->dev;
	const struct sf_ops *ops = dev->ctl->sf_ops;
	const struct device_sf_state *s = &dev->state->sf;
	const struct sf_state state = {
		.pairs = s->pairs,
		.rx_caps = net_offload_guest(dev->state->guest_offloads) & SF_CAP_RX,
		.link_up = s->link,
		.rep_ifindex = s->rep_ifindex,
	};
	struct sf_params params;
	char err[HA_TEXT_MAX];
	int ret;

	device_sf_params(dev, &params);
	if (ops->adopt == NULL)
		return make_sf(a);
	for (unsigned int i = 0; i < a->h->n; i++)
		if (a->h->fd[i].kind == HA_FD_SF && a->h->fd[i].index < dev->conf.max_pairs &&
			dev->sf_stored[a->h->fd[i].index] < 0)
			dev->sf_stored[a->h->fd[i].index] = heirloom_take(a->h, i);
	ret = ops->adopt(&params, &state, ops->descriptor != NULL ? dev->sf_stored : NULL, &dev->sf,
		err, sizeof(err));
	if (ret == 0)
		return 0;
	log_err("%s: SF: %s; it is made anew", dev->vuid, err);
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->sf_stored[i] >= 0) {
			close(dev->sf_stored[i]);
			dev->sf_stored[i] = -1;
		}
	return make_sf(a);
}

/* ---- memory, interrupts, kicks ---- */

static void
take_memory(struct device_adoption *a)
{
	struct hostmem_retired *none;
	int fds[HOSTMEM_MAX_FILES];
	int ret;

	for (unsigned int i = 0; i < HOSTMEM_MAX_FILES; i++)
		fds[i] = -1;
	for (unsigned int i = 0; i < a->h->n; i++)
		if (a->h->fd[i].kind == HA_FD_DMA && a->h->fd[i].index < HOSTMEM_MAX_FILES)
			fds[a->h->fd[i].index] = a->h->fd[i].fd;
	ret = device_dma_adopt(a->dev->dma, a->dev->hm, fds);
	if (ret < 0) {
		log_err("%s: memory of the client: %s", a->dev->vuid, strerror(-ret));
		a->damage |= DEVICE_BAD_DMA;
		hostmem_unmap_all(a->dev->hm);
	} else if (ret > 0) {
		log_err("%s: memory of the client: %d range(s) cannot be mapped again",
			a->dev->vuid, ret);
		a->damage |= DEVICE_BAD_DMA;
	}
	/* Nothing was published before, so nothing is to be retired. */
	ret = hostmem_publish(a->dev->hm, &none);
	if (ret == 0)
		hostmem_retire(none);
	else
		a->damage |= DEVICE_BAD_DMA;
}

/* Descriptors that the transport has a use for. */
static bool
emus_own(const struct device *dev, uint16_t kind, enum emu_keep *as)
{
	switch (kind) {
	case HA_FD_MSIX:
		*as = EMU_KEEP_MSIX;
		return true;
	case HA_FD_INTX:
		*as = EMU_KEEP_INTX;
		return true;
	case HA_FD_TRANSPORT:
		*as = EMU_KEEP_TRANSPORT;
		return true;
	case HA_FD_KICK:
		*as = EMU_KEEP_KICK;
		return dev->emu->ops->kick_fd != NULL;
	default:
		return false;
	}
}

static void
take_descriptors(struct device_adoption *a)
{
	struct device *dev = a->dev;
	struct device_heirloom *h = a->h;

	for (unsigned int i = 0; i < h->n; i++) {
		const unsigned int index = h->fd[i].index;
		enum emu_keep kind;

		if (h->fd[i].fd < 0)
			continue;
		if (emus_own(dev, h->fd[i].kind, &kind))
			(void)dev->emu->ops->adopt_fd(dev->emu, kind, index, heirloom_take(h, i));
		else if (h->fd[i].kind == HA_FD_KICK && index < device_num_queues(dev) &&
			 dev->kick_kept[index] < 0)
			dev->kick_kept[index] = heirloom_take(h, i);
	}
}

/* ---- block and registers ---- */

/* A number that was made up may be another device's. */
static void
resolve_numbers(struct device *dev)
{
	while (device_find_pf(dev->ctl, dev->pf_id) != NULL)
		dev->pf_id++;
}

static int
take_block(struct device_adoption *a, bool *changed)
{
	struct device *dev = a->dev;
	int ret;

	ret = device_block_take(dev, a->h->block_fd, &a->h->adopt.open,
		(a->flags & HA_ADOPT_POISON_BLOCK) != 0, keeper_link_is_heir(dev->ctl->keeper),
		changed);
	if (ret < 0)
		return ret;
	a->damage = (unsigned int)ret;
	snprintf(dev->bdf, sizeof(dev->bdf), "%s", dev->state->bdf);
	dev->phase = DEVICE_LIVE;
	if (a->damage & DEVICE_BAD_IDENT)
		resolve_numbers(dev);
	return device_alloc_queues(dev);
}

static int
take_function(struct device_adoption *a)
{
	const struct device_function_how how = {
		.adopt = true,
		.connected = (a->flags & HA_ADOPT_CONNECTED) != 0,
		/* A client without registers cannot see that its device is another one. */
		.fresh_pci =
			a->dev->emu_ops->pci ? (a->damage & DEVICE_BAD_PCI) != 0 : a->damage != 0,
		.fresh_virtio = (a->damage & DEVICE_BAD_VIRTIO) != 0,
		.door = guard_door,
	};

	return device_function_create(a->dev, &how);
}

void
device_adopt(struct controller *c, struct device_heirloom *h)
{
	struct device_adoption a = {
		.dev = device_alloc(c),
		.h = h,
		.flags = h->adopt.flags,
		.queue = h->adopt.queue,
		.since = rte_rdtsc(),
	};
	bool changed = false;
	int ret;

	if (a.dev == NULL) {
		keeper_link_adopted(c->keeper, h->handle, -ENOMEM, false, "out of memory");
		return;
	}
	a.dev->handle = h->handle;
	snprintf(a.dev->vuid, sizeof(a.dev->vuid), "%s", h->adopt.open.vuid); /* for messages */
	a.dev->held = true;
	ret = take_block(&a, &changed);
	measure(&a, STEP_BLOCK);
	FAULT_POINT("device.adopt.block");
	if (ret == 0)
		ret = take_function(&a);
	if (ret < 0) {
		abandon(&a, ret, ret == -ENOTSUP ? "its state is of a later version" : "");
		return;
	}
	if (changed)
		keeper_link_block(c->keeper, h->handle, state_block_fd(a.dev->block));
	device_list(c, a.dev);
	measure(&a, STEP_FUNCTION);
	take_memory(&a);
	measure(&a, STEP_MEMORY);
	FAULT_POINT("device.adopt.memory");
	take_descriptors(&a);
	measure(&a, STEP_INTERRUPTS);
	FAULT_POINT("device.adopt.interrupts");
	ret = take_sf(&a);
	if (ret < 0) {
		abandon(&a, ret, "");
		return;
	}
	measure(&a, STEP_SF);
	FAULT_POINT("device.adopt.sf");
	complete(&a);
}
