/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Register accesses, DMA maps and interrupt set-ups in turn, one at a time, for as long as the
 * traffic runs: each has to be answered once, and as if nothing had happened. A map that is made
 * twice, or an unmap that finds nothing, is an error of the device's and shows here.
 */

#include "run.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <rte_common.h>

#include "net_driver/transport_vfio_user.h"

#define MAP_SIZE 65536u
/* Behind the memory, with a hole between. */
#define MAP_IOVA(mem) ((mem)->iova + (mem)->size + (UINT64_C(1) << 30))

enum step {
	STEP_ID,
	STEP_MAC,
	STEP_STATUS,
	STEP_SELECT,
	STEP_SELECTED,
	STEP_MAP,
	STEP_UNMAP,
	STEP_IRQ,
	STEP_CONTROL,
	STEP_COMMAND,
	STEPS,
};

static const char *const step_name[STEPS] = {
	"read of the PCI id",
	"read of the MAC",
	"read of the status",
	"write of queue_select",
	"read of queue_select",
	"DMA map",
	"DMA unmap",
	"set-up of an interrupt",
	"control command",
	"write of the PCI command register",
};

static struct net_vfio_user *
way(const struct device *dev)
{
	return net_vfio_user(dev->nd.transport);
}

void
requests_open(struct device *dev)
{
	struct requests *r = &dev->req;

	*r = (struct requests){.step = STEP_ID, .answered_ns = run_now()};
	r->map_fd = memfd_create("virtnet-fault-map", MFD_CLOEXEC);
	r->control_iova = guest_mem_alloc(dev->nd.mem, NET_DEV_CTRL_LEN);
	r->irq_fd = dup(dev->nd.config_irq_fd);
	if (r->map_fd < 0 || r->irq_fd < 0 || ftruncate(r->map_fd, MAP_SIZE) != 0)
		err(EXIT_FAILURE, "memfd");
}

void
requests_close(struct device *dev)
{
	close(dev->req.map_fd);
	close(dev->req.irq_fd);
}

static void
take_status(struct device *dev, uint8_t status)
{
	struct run *run = dev->run;

	if ((status & VIRTIO_CONFIG_S_NEEDS_RESET) == 0 || dev->needs_reset)
		return;
	dev->needs_reset = true;
	if (!dev->poisoned) {
		run_violation(run, dev, "the device needs a reset (status 0x%02x)", status);
		return;
	}
	printf("{\"needs_reset\": %u}\n", dev->index);
	fflush(stdout);
}

static void
check_answer(struct device *dev, const uint8_t *body, size_t len)
{
	const struct requests *r = &dev->req;

	if (r->wanted_len == 0)
		return;
	if (len != sizeof(struct vfio_user_region_access) + r->wanted_len) {
		run_violation(dev->run, dev, "%s: answer of %zu bytes", step_name[r->step], len);
		return;
	}
	body += sizeof(struct vfio_user_region_access);
	if (r->step == STEP_STATUS && (body[0] & VIRTIO_CONFIG_S_NEEDS_RESET) != 0) {
		take_status(dev, body[0]);
		return;
	}
	if (memcmp(body, r->wanted, r->wanted_len) != 0)
		run_violation(dev->run, dev, "%s: %02x%02x%02x%02x instead of %02x%02x%02x%02x",
			step_name[r->step], body[0], body[r->wanted_len > 1 ? 1 : 0],
			body[r->wanted_len > 2 ? 2 : 0], body[r->wanted_len > 3 ? 3 : 0],
			r->wanted[0], r->wanted[1], r->wanted[2], r->wanted[3]);
}

static void
step_done(struct device *dev)
{
	struct requests *r = &dev->req;
	const struct event *ev = &dev->run->ev;
	const int64_t now = run_now();

	r->pending = false;
	r->answered_ns = now;
	r->longest_ns = RTE_MAX(r->longest_ns, now - r->asked_ns);
	if (ev->settling && r->asked_ns > ev->settle_ns)
		r->fresh = true;
	r->step = (r->step + 1) % STEPS;
}

static void
answered(void *ctx, int ret, const void *body, size_t len, int *fds, unsigned int nfds)
{
	struct device *dev = ctx;
	struct requests *r = &dev->req;

	if (ret == -ECONNRESET)
		return;
	r->answered++;
	if (ret != 0)
		run_violation(dev->run, dev, "%s: %s", step_name[r->step], strerror(-ret));
	else
		check_answer(dev, body, len);
	step_done(dev);
}

/* The control queue has no interrupt: it is looked at. */
static void
control_poll(struct device *dev)
{
	const bool was_broken = net_dev_ctrl_queue(&dev->nd)->ring.broken;
	const int ret = net_dev_ctrl_done(&dev->nd, dev->req.control_iova);

	if (ret == 0 || was_broken)
		return;
	if (ret < 0)
		run_violation(dev->run, dev, "the control queue: a wrong answer");
	dev->req.controls++;
	step_done(dev);
}

static int
access_send(struct device *dev, uint16_t command, uint32_t region, uint32_t off, const void *data,
	uint32_t len)
{
	const struct vfio_user_region_access a = {.offset = off, .region = region, .count = len};
	const struct iovec iov[] = {
		{.iov_base = (void *)(uintptr_t)&a, .iov_len = sizeof(a)},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = len},
	};

	return vfio_user_client_request(way(dev)->client, command, iov,
		command == VFIO_USER_REGION_WRITE ? 2 : 1, NULL, 0, answered, dev);
}

static int
read_send(struct device *dev, uint32_t region, uint32_t off, const void *wanted, uint32_t len)
{
	struct requests *r = &dev->req;

	memcpy(r->wanted, wanted, len);
	r->wanted_len = len;
	return access_send(dev, VFIO_USER_REGION_READ, region, off, NULL, len);
}

static int
map_send(struct device *dev)
{
	const struct vfio_user_dma_map m = {
		.argsz = sizeof(m),
		.flags = VFIO_USER_DMA_F_READ | VFIO_USER_DMA_F_WRITE,
		.address = MAP_IOVA(dev->nd.mem),
		.size = MAP_SIZE,
	};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&m, .iov_len = sizeof(m)};

	return vfio_user_client_request(
		way(dev)->client, VFIO_USER_DMA_MAP, &iov, 1, &dev->req.map_fd, 1, answered, dev);
}

static int
unmap_send(struct device *dev)
{
	const struct vfio_user_dma_unmap u = {
		.argsz = sizeof(u), .address = MAP_IOVA(dev->nd.mem), .size = MAP_SIZE};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&u, .iov_len = sizeof(u)};

	return vfio_user_client_request(
		way(dev)->client, VFIO_USER_DMA_UNMAP, &iov, 1, NULL, 0, answered, dev);
}

static int
irq_send(struct device *dev)
{
	const struct vfio_user_irq_set_msg m = {
		.argsz = sizeof(m),
		.flags = VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
		.count = 1,
	};
	const struct iovec iov = {.iov_base = (void *)(uintptr_t)&m, .iov_len = sizeof(m)};

	return vfio_user_client_request(way(dev)->client, VFIO_USER_DEVICE_SET_IRQS, &iov, 1,
		&dev->req.irq_fd, 1, answered, dev);
}

static int
step_send(struct device *dev)
{
	static const uint8_t id[] = {0xf4, 0x1a, 0x41, 0x10};
	static const uint8_t status[] = {VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK};
	static const uint8_t command[] = {PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0};
	const struct net_vfio_user_regs *c = &way(dev)->common, *config = &way(dev)->config;
	struct requests *r = &dev->req;

	r->wanted_len = 0;
	switch ((enum step)r->step) {
	case STEP_ID:
		return read_send(dev, VFIO_PCI_CONFIG_REGION_INDEX, 0, id, sizeof(id));
	case STEP_MAC:
		return read_send(
			dev, config->bar, config->offset, dev->nd.mac, sizeof(dev->nd.mac));
	case STEP_STATUS:
		return read_send(
			dev, c->bar, c->offset + VIRTIO_PCI_COMMON_STATUS, status, sizeof(status));
	case STEP_SELECT:
		r->select = (uint16_t)((r->select + 1) % (2 * dev->nd.pairs));
		return access_send(dev, VFIO_USER_REGION_WRITE, c->bar,
			c->offset + VIRTIO_PCI_COMMON_Q_SELECT, &r->select, sizeof(r->select));
	case STEP_SELECTED:
		return read_send(dev, c->bar, c->offset + VIRTIO_PCI_COMMON_Q_SELECT, &r->select,
			sizeof(r->select));
	case STEP_MAP:
		return map_send(dev);
	case STEP_UNMAP:
		return unmap_send(dev);
	case STEP_IRQ:
		return irq_send(dev);
	case STEP_CONTROL:
		if (!dev->poisoned)
			net_dev_ctrl_promisc(&dev->nd, r->control_iova, (r->controls & 1) != 0);
		return 0;
	case STEP_COMMAND:
		return access_send(dev, VFIO_USER_REGION_WRITE, VFIO_PCI_CONFIG_REGION_INDEX,
			PCI_COMMAND, command, sizeof(command));
	case STEPS:
		break;
	}
	return -EINVAL;
}

static void
report_silence(struct device *dev, int64_t allowed)
{
	const struct vring_driver *vd = &net_dev_ctrl_queue(&dev->nd)->ring;
	const long long ms = allowed / NS_PER_MS;

	if (dev->req.step != STEP_CONTROL)
		run_violation(
			dev->run, dev, "%s: no answer for %lld ms", step_name[dev->req.step], ms);
	else
		run_violation(dev->run, dev,
			"%s: no answer for %lld ms: available %u, used %u, kick wanted from %u, "
			"flags %u",
			step_name[dev->req.step], ms, vd->avail->idx, vd->used->idx,
			*(const uint16_t *)&vd->used->ring[vd->size], vd->used->flags);
}

void
requests_tick(struct device *dev, int64_t now_ns)
{
	const struct event *ev = &dev->run->ev;
	const int64_t allowed = ev->active ? ev->allow_ns : QUIET_MS * NS_PER_MS;
	struct requests *r = &dev->req;

	/* A poisoned device serves registers only. */
	if (r->pending && r->step == STEP_CONTROL && dev->poisoned)
		step_done(dev);
	else if (r->pending && r->step == STEP_CONTROL)
		control_poll(dev);
	if (r->pending) {
		/* Told once: it counts from the report on. */
		if (now_ns - RTE_MAX(r->answered_ns, RTE_MAX(r->asked_ns, ev->end_ns)) > allowed) {
			report_silence(dev, allowed);
			r->answered_ns = now_ns;
		}
		return;
	}
	if (dev->run->opt.requests_us == 0 || dev->run->stop || dev->gone ||
		now_ns - r->answered_ns < dev->run->opt.requests_us * 1000LL)
		return;
	r->asked_ns = now_ns;
	r->pending = true;
	if (step_send(dev) != 0)
		r->pending = false;
}
