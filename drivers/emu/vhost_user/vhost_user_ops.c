/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What the client asks of the device: features, status, memory, configuration. */

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <rte_log.h>

#include "sock/discard.h"
#include "state/fault_point.h"
#include "virtio/features.h"
#include "vhost_user_emu.h"
#include "vring/hostmem.h"

RTE_LOG_REGISTER(vhost_user_ops_logtype, virtnet.emu.vhost_user, NOTICE);

/* Commands of a control virtqueue, which is the client's. */
#define CTRL_FEATURES                                                                              \
	(VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VLAN) |                   \
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |  \
		VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |                                     \
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | VIRTIO_BIT(VIRTIO_NET_F_MQ) |            \
		VIRTIO_BIT(VIRTIO_NET_F_RSS) | VIRTIO_BIT(VIRTIO_NET_F_HASH_REPORT))

/* ---- features and status */

static uint64_t
op_get_features(void *ctx)
{
	const struct vhost_user_emu *e = ctx;

	return virtio_dev_state(e->vdev)->device_features;
}

/*
 * QEMU's user may take a feature away that others need ("csum=off" leaves host_ecn and host_uso
 * on), and Linux accepts what is left. It means nothing then; the registers of our own device would
 * refuse it, here it would cost the VM its network.
 */
static uint64_t
without_orphans(uint64_t features)
{
	unsigned int needs;

	while (virtio_net_check_features(features, &needs, NULL) < 0)
		features &= ~VIRTIO_BIT(needs);
	return features;
}

/*
 * Clients say what the device has to know, which need not be what the driver has accepted: a
 * control virtqueue is none of our business, and DPDK's virtio-user leaves it out while it has
 * queues by it.
 */
static uint64_t
whole(const struct vhost_user_emu *e, uint64_t features)
{
	const uint64_t ctrl = VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);

	if ((features & CTRL_FEATURES) != 0)
		features |= ctrl & virtio_dev_state(e->vdev)->device_features;
	return without_orphans(features);
}

int
vhost_user_emu_take_features(struct vhost_user_emu *e)
{
	const int ret = virtio_dev_negotiate(e->vdev, e->features);

	if (ret == 0)
		virtio_dev_registers(e->vdev)->msix_config = VHOST_USER_VECTOR_CONFIG;
	FAULT_POINT("emu.features.taken");
	return ret;
}

/* No ring is started: a device that has other features begins anew. */
static int
op_set_features(void *ctx, uint64_t features)
{
	struct vhost_user_emu *e = ctx;
	int ret;

	e->features = whole(e, features);
	if (virtio_dev_features(e->vdev) == e->features || virtio_dev_status(e->vdev) == 0)
		return vhost_user_emu_take_features(e);
	ret = virtio_dev_reset(e->vdev);
	if (ret == -EINPROGRESS)
		return vhost_user_emu_wait(e, VHOST_USER_STEP_FEATURES);
	return ret < 0 ? ret : vhost_user_emu_take_features(e);
}

static int
set_status(struct vhost_user_emu *e, uint8_t status)
{
	const int ret = virtio_dev_set_status(e->vdev, status);

	FAULT_POINT("emu.status.set");
	return ret == -EINPROGRESS ? vhost_user_emu_wait(e, VHOST_USER_STEP_OP) : ret;
}

/*
 * Bits come in an order of the client's own (QEMU tells FEATURES_OK alone, then the others), and
 * what SET_FEATURES has said counts already.
 */
static int
op_set_status(void *ctx, uint8_t status)
{
	struct vhost_user_emu *e = ctx;
	const uint8_t has = virtio_dev_status(e->vdev);
	const uint8_t mine =
		VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;

	return set_status(e, status == 0 ? 0 : status | (has & mine));
}

static uint8_t
op_get_status(void *ctx)
{
	const struct vhost_user_emu *e = ctx;

	return virtio_dev_status(e->vdev);
}

static int
op_reset(void *ctx)
{
	return set_status(ctx, 0);
}

int
vhost_user_emu_infer_driver_ok(struct vhost_user_emu *e)
{
	const uint8_t has = virtio_dev_status(e->vdev);

	if (vhost_user_device_status_told(e->dev) || (has & VIRTIO_CONFIG_S_DRIVER_OK) != 0)
		return 0;
	return set_status(e, has | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* ---- memory */

/* The front lets nothing through that would not close at once. */
static int
op_mem_add(void *ctx, unsigned int slot, const struct vhost_user_mem_region *region, int fd)
{
	struct vhost_user_emu *e = ctx;
	const int ret = e->up->mem_add(e->ctx, region->guest_addr, region->size, fd,
		(off_t)region->mmap_offset, HOSTMEM_READ | HOSTMEM_WRITE);

	RTE_SET_USED(slot);
	close(fd);
	return ret;
}

static int
op_mem_remove(void *ctx, unsigned int slot, const struct vhost_user_mem_region *region)
{
	struct vhost_user_emu *e = ctx;

	RTE_SET_USED(slot);
	return e->up->mem_remove(e->ctx, region->guest_addr, region->size);
}

static int
op_mem_commit(void *ctx)
{
	struct vhost_user_emu *e = ctx;
	const int ret = e->up->mem_commit(e->ctx);

	return ret == -EINPROGRESS ? vhost_user_emu_wait(e, VHOST_USER_STEP_OP) : ret;
}

/* ---- configuration, network, channel */

static int
op_config_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
	const struct vhost_user_emu *e = ctx;
	const struct virtio_net_config *config = &virtio_dev_state(e->vdev)->config;

	memset(buf, 0, len);
	if (off < sizeof(*config))
		memcpy(buf, (const uint8_t *)config + off, RTE_MIN(len, sizeof(*config) - off));
	return 0;
}

/* A modern driver can write none of it, and a device that has moved here has the operator's. */
static int
op_config_write(void *ctx, uint32_t off, const void *buf, uint32_t len, bool migration)
{
	RTE_SET_USED(ctx);
	RTE_SET_USED(off);
	RTE_SET_USED(buf);
	RTE_SET_USED(len);
	return migration ? 0 : -EPERM;
}

/* What the client tells its driver; packets as long as that must get through. */
static int
op_set_mtu(void *ctx, uint16_t mtu)
{
	const struct vhost_user_emu *e = ctx;

	return mtu <= virtio_dev_state(e->vdev)->config.mtu ? 0 : -EINVAL;
}

static int
op_send_rarp(void *ctx, const uint8_t mac[6])
{
	struct vhost_user_emu *e = ctx;
	const int ret = e->up->announce(e->ctx, mac);

	return ret == -EINPROGRESS ? vhost_user_emu_wait(e, VHOST_USER_STEP_OP) : ret;
}

static int
op_backend_channel(void *ctx, int fd)
{
	struct vhost_user_emu *e = ctx;

	if (e->backend >= 0)
		sock_discard_socket(e->closer, e->backend);
	e->backend = fd;
	vhost_user_emu_keep(e, EMU_KEEP_TRANSPORT, VHOST_USER_KEEP_BACKEND, 1, fd);
	FAULT_POINT("emu.backend.set");
	return 0;
}

static void
op_log(void *ctx, int level, const char *msg)
{
	struct vhost_user_emu *e = ctx;
	unsigned int left_out;

	if (!log_limit_take(&e->log_limit, &left_out))
		return;
	rte_log(level <= LOG_WARNING ? RTE_LOG_WARNING : RTE_LOG_INFO, vhost_user_ops_logtype,
		"%s\n", msg);
	if (left_out > 0)
		rte_log(RTE_LOG_WARNING, vhost_user_ops_logtype, "%u lines left out\n", left_out);
}

const struct vhost_user_device_ops vhost_user_emu_device_ops = {
	.get_features = op_get_features,
	.set_features = op_set_features,
	.mem_add = op_mem_add,
	.mem_remove = op_mem_remove,
	.mem_commit = op_mem_commit,
	.ring_set_base = vhost_user_emu_ring_set_base,
	.ring_get_base = vhost_user_emu_ring_get_base,
	.ring_start = vhost_user_emu_ring_start,
	.ring_stop = vhost_user_emu_ring_stop,
	.ring_enable = vhost_user_emu_ring_enable,
	.ring_fd = vhost_user_emu_ring_fd,
	.log_base = vhost_user_emu_log_base,
	.logging = vhost_user_emu_logging,
	.ring_log = vhost_user_emu_ring_log,
	.set_status = op_set_status,
	.get_status = op_get_status,
	.reset = op_reset,
	.config_read = op_config_read,
	.config_write = op_config_write,
	.set_mtu = op_set_mtu,
	.send_rarp = op_send_rarp,
	.backend_channel = op_backend_channel,
	.log = op_log,
};
