/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Registers of a virtio-pci device, through a vfio-user client. */

#include "transport_vfio_user.h"

#include <err.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "must.h"

#define MAX_CAPS 48 /* what fits in 256 bytes: a chain that is longer is a loop */

/* ---- registers ---- */

static uint64_t
get(struct net_vfio_user *vu, uint32_t region, uint32_t off, uint32_t width)
{
	uint64_t value = 0;

	must(vfio_user_client_region_read(vu->client, region, off, &value, width),
		"read of a register");
	return value;
}

static void
set(struct net_vfio_user *vu, uint32_t region, uint32_t off, uint64_t value, uint32_t width)
{
	must(vfio_user_client_region_write(vu->client, region, off, &value, width),
		"write of a register");
}

static uint64_t
common_get(struct net_vfio_user *vu, uint32_t field, uint32_t width)
{
	return get(vu, vu->common.bar, vu->common.offset + field, width);
}

static void
common_set(struct net_vfio_user *vu, uint32_t field, uint64_t value, uint32_t width)
{
	set(vu, vu->common.bar, vu->common.offset + field, value, width);
}

static void
common_set_address(struct net_vfio_user *vu, uint32_t field, uint64_t iova)
{
	common_set(vu, field, (uint32_t)iova, 4);
	common_set(vu, field + 4, iova >> 32, 4);
}

static void
add_status(struct net_vfio_user *vu, uint8_t bit)
{
	common_set(
		vu, VIRTIO_PCI_COMMON_STATUS, common_get(vu, VIRTIO_PCI_COMMON_STATUS, 1) | bit, 1);
}

/* ---- connection ---- */

static void
take_capability(struct net_vfio_user *vu, uint32_t at)
{
	const uint32_t cfg = VFIO_PCI_CONFIG_REGION_INDEX;
	const struct net_vfio_user_regs regs = {
		.bar = (uint32_t)get(vu, cfg, at + offsetof(struct virtio_pci_cap, bar), 1),
		.offset = (uint32_t)get(vu, cfg, at + offsetof(struct virtio_pci_cap, offset), 4),
	};

	switch (get(vu, cfg, at + offsetof(struct virtio_pci_cap, cfg_type), 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		vu->common = regs;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		vu->config = regs;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		vu->notify = regs;
		vu->notify_multiplier = (uint32_t)get(vu, cfg,
			at + offsetof(struct virtio_pci_notify_cap, notify_off_multiplier), 4);
		break;
	}
}

static void
find_registers(struct net_vfio_user *vu)
{
	const uint32_t cfg = VFIO_PCI_CONFIG_REGION_INDEX;
	uint32_t at = (uint32_t)get(vu, cfg, PCI_CAPABILITY_LIST, 1);

	vu->common.offset = vu->notify.offset = vu->config.offset = UINT32_MAX;
	for (int i = 0; at >= PCI_STD_HEADER_SIZEOF && i < MAX_CAPS; i++) {
		const uint64_t id = get(vu, cfg, at, 1);

		if (id == PCI_CAP_ID_VNDR)
			take_capability(vu, at);
		else if (id == PCI_CAP_ID_MSIX)
			vu->msix = at;
		at = (uint32_t)get(vu, cfg, at + PCI_CAP_LIST_NEXT, 1);
	}
	if (vu->common.offset == UINT32_MAX || vu->notify.offset == UINT32_MAX ||
		vu->config.offset == UINT32_MAX)
		errx(EXIT_FAILURE, "not a modern virtio device: a register structure is missing");
	set(vu, cfg, PCI_COMMAND,
		get(vu, cfg, PCI_COMMAND, 2) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static struct net_transport *
vu_open(const char *path, const struct guest_mem *mem)
{
	struct net_vfio_user *vu = calloc(1, sizeof(*vu));
	struct vfio_user_caps caps;

	if (vu == NULL)
		err(EXIT_FAILURE, "%s", path);
	vu->transport.ops = &net_transport_vfio_user;
	must(vfio_user_client_connect(path, &vu->client), path);
	must(vfio_user_client_negotiate(vu->client, &caps), "version");
	must(vfio_user_client_dma_map(vu->client, mem->iova, mem->size, mem->fd, 0,
		     VFIO_USER_DMA_F_READ | VFIO_USER_DMA_F_WRITE),
		"DMA map");
	find_registers(vu);
	common_set(vu, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	add_status(vu, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(vu, VIRTIO_CONFIG_S_DRIVER);
	return &vu->transport;
}

static void
vu_close(struct net_transport *t)
{
	struct net_vfio_user *vu = net_vfio_user(t);
	const uint8_t zero = 0;

	(void)vfio_user_client_region_write(
		vu->client, vu->common.bar, vu->common.offset + VIRTIO_PCI_COMMON_STATUS, &zero, 1);
	vfio_user_client_destroy(vu->client);
	free(vu);
}

/* ---- bringing up ---- */

static uint64_t
vu_offered(struct net_transport *t)
{
	struct net_vfio_user *vu = net_vfio_user(t);
	uint64_t offered = 0;

	for (uint32_t half = 0; half < 2; half++) {
		common_set(vu, VIRTIO_PCI_COMMON_DFSELECT, half, 4);
		offered |= common_get(vu, VIRTIO_PCI_COMMON_DF, 4) << (32 * half);
	}
	return offered;
}

static void
vu_accept(struct net_transport *t, uint64_t features)
{
	struct net_vfio_user *vu = net_vfio_user(t);

	for (uint32_t half = 0; half < 2; half++) {
		common_set(vu, VIRTIO_PCI_COMMON_GFSELECT, half, 4);
		common_set(vu, VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> (32 * half)), 4);
	}
	add_status(vu, VIRTIO_CONFIG_S_FEATURES_OK);
	if ((common_get(vu, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_FEATURES_OK) == 0)
		errx(EXIT_FAILURE, "the device refuses features 0x%" PRIx64, features);
}

static void
vu_config_read(struct net_transport *t, uint32_t off, void *buf, uint32_t len)
{
	struct net_vfio_user *vu = net_vfio_user(t);

	must(vfio_user_client_region_read(
		     vu->client, vu->config.bar, vu->config.offset + off, buf, len),
		"read of the configuration");
}

static void
vu_interrupts(struct net_transport *t, const int *fds, uint32_t n)
{
	struct net_vfio_user *vu = net_vfio_user(t);
	const uint32_t cfg = VFIO_PCI_CONFIG_REGION_INDEX, flags = vu->msix + PCI_MSIX_FLAGS;

	if (vu->msix == 0)
		errx(EXIT_FAILURE, "the device has no MSI-X");
	set(vu, cfg, flags, get(vu, cfg, flags, 2) | PCI_MSIX_FLAGS_ENABLE, 2);
	must(vfio_user_client_set_irqs(vu->client, VFIO_PCI_MSIX_IRQ_INDEX,
		     VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER, 0, n, fds),
		"interrupts");
	common_set(vu, VIRTIO_PCI_COMMON_MSIX, 0, 2);
}

static uint16_t
vu_queue_max(struct net_transport *t, uint16_t index)
{
	struct net_vfio_user *vu = net_vfio_user(t);

	common_set(vu, VIRTIO_PCI_COMMON_Q_SELECT, index, 2);
	return (uint16_t)common_get(vu, VIRTIO_PCI_COMMON_Q_SIZE, 2);
}

/* The doorbell is its offset in the BAR of the notification structure. */
static uint32_t
vu_queue_enable(struct net_transport *t, const struct net_transport_queue *q)
{
	struct net_vfio_user *vu = net_vfio_user(t);
	uint32_t doorbell;

	common_set(vu, VIRTIO_PCI_COMMON_Q_SELECT, q->index, 2);
	common_set(vu, VIRTIO_PCI_COMMON_Q_SIZE, q->size, 2);
	common_set(
		vu, VIRTIO_PCI_COMMON_Q_MSIX, q->irq_fd >= 0 ? q->vector : VIRTIO_MSI_NO_VECTOR, 2);
	common_set_address(vu, VIRTIO_PCI_COMMON_Q_DESCLO, q->desc);
	common_set_address(vu, VIRTIO_PCI_COMMON_Q_AVAILLO, q->driver);
	common_set_address(vu, VIRTIO_PCI_COMMON_Q_USEDLO, q->device);
	doorbell = vu->notify.offset +
		   (uint32_t)common_get(vu, VIRTIO_PCI_COMMON_Q_NOFF, 2) * vu->notify_multiplier;
	common_set(vu, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	return doorbell;
}

static void
vu_start(struct net_transport *t)
{
	struct net_vfio_user *vu = net_vfio_user(t);

	add_status(vu, VIRTIO_CONFIG_S_DRIVER_OK);
	if (common_get(vu, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET)
		errx(EXIT_FAILURE, "the device cannot start: it needs a reset");
}

/* ---- at work ---- */

static int
vu_kick(struct net_transport *t, uint32_t doorbell, uint32_t data, uint32_t len)
{
	struct net_vfio_user *vu = net_vfio_user(t);

	return vfio_user_client_region_post(vu->client, vu->notify.bar, doorbell, &data, len);
}

static int
vu_fd(const struct net_transport *t)
{
	return vfio_user_client_fd(net_vfio_user(t)->client);
}

static short
vu_events(const struct net_transport *t)
{
	return vfio_user_client_events(net_vfio_user(t)->client);
}

static int
vu_process(struct net_transport *t)
{
	return vfio_user_client_process(net_vfio_user(t)->client);
}

const struct net_transport_ops net_transport_vfio_user = {
	.name = "vfio-user",
	.open = vu_open,
	.offered = vu_offered,
	.accept = vu_accept,
	.config_read = vu_config_read,
	.interrupts = vu_interrupts,
	.queue_max = vu_queue_max,
	.queue_enable = vu_queue_enable,
	.start = vu_start,
	.kick = vu_kick,
	.fd = vu_fd,
	.events = vu_events,
	.process = vu_process,
	.close = vu_close,
};
