/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * A virtio-net device behind a vhost-user socket, through a client. The program is guest and
 * hypervisor in one: the addresses that it calls its own are those that devices use.
 */

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "must.h"
#include "transport.h"
#include "vhost_user/vhost_user.h"

#define PROTOCOL (UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
/* What is the hypervisor's, and none of a driver's. */
#define HIDDEN	 (PROTOCOL | UINT64_C(1) << VHOST_F_LOG_ALL | UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ)

#define PROTOCOL_FEATURES                                                                          \
	(VHOST_USER_PROTOCOL_BIT(MQ) | VHOST_USER_PROTOCOL_BIT(REPLY_ACK) |                        \
		VHOST_USER_PROTOCOL_BIT(STATUS) | VHOST_USER_PROTOCOL_BIT(CONFIG))

struct net_vhost_user {
	struct net_transport transport; /* first */
	struct vhost_user_client *client;
	uint64_t queues;
	int kick[VHOST_USER_RINGS_MAX];
};

static struct net_vhost_user *
of(const struct net_transport *t)
{
	return (struct net_vhost_user *)(uintptr_t)t;
}

static void
add_status(struct net_vhost_user *vu, uint64_t bits)
{
	uint64_t status;

	must(vhost_user_client_get(vu->client, VHOST_USER_GET_STATUS, &status), "status");
	must(vhost_user_client_set(vu->client, VHOST_USER_SET_STATUS, status | bits), "status");
	must(vhost_user_client_get(vu->client, VHOST_USER_GET_STATUS, &status), "status");
	if ((status & bits) != bits)
		errx(EXIT_FAILURE, "the device refuses status 0x%" PRIx64, bits);
}

static void
negotiate_protocol(struct net_vhost_user *vu)
{
	uint64_t offered, protocol;

	must(vhost_user_client_get(vu->client, VHOST_USER_GET_FEATURES, &offered), "features");
	if ((offered & PROTOCOL) == 0)
		errx(EXIT_FAILURE, "the device has no protocol features");
	must(vhost_user_client_get(vu->client, VHOST_USER_GET_PROTOCOL_FEATURES, &protocol),
		"protocol features");
	if ((PROTOCOL_FEATURES & ~protocol) != 0)
		errx(EXIT_FAILURE, "the device lacks protocol features 0x%" PRIx64,
			PROTOCOL_FEATURES & ~protocol);
	must(vhost_user_client_set(
		     vu->client, VHOST_USER_SET_PROTOCOL_FEATURES, PROTOCOL_FEATURES),
		"protocol features");
	must(vhost_user_client_tell(vu->client, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0), "owner");
}

static struct net_transport *
vu_open(const char *path, const struct guest_mem *mem)
{
	struct net_vhost_user *vu = calloc(1, sizeof(*vu));
	const struct vhost_user_mem_region region = {
		.guest_addr = mem->iova,
		.size = mem->size,
		.user_addr = mem->iova,
	};

	if (vu == NULL)
		err(EXIT_FAILURE, "%s", path);
	vu->transport.ops = &net_transport_vhost_user;
	for (unsigned int i = 0; i < VHOST_USER_RINGS_MAX; i++)
		vu->kick[i] = -1;
	must(vhost_user_client_connect(path, &vu->client), path);
	negotiate_protocol(vu);
	must(vhost_user_client_get(vu->client, VHOST_USER_GET_QUEUE_NUM, &vu->queues), "queues");
	vu->queues *= 2;
	must(vhost_user_client_set(vu->client, VHOST_USER_SET_STATUS, 0), "reset");
	must(vhost_user_client_set_mem_table(vu->client, &region, &mem->fd, 1), "memory");
	add_status(vu, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	return &vu->transport;
}

static void
vu_close(struct net_transport *t)
{
	struct net_vhost_user *vu = of(t);

	(void)vhost_user_client_set(vu->client, VHOST_USER_SET_STATUS, 0);
	vhost_user_client_destroy(vu->client);
	for (unsigned int i = 0; i < VHOST_USER_RINGS_MAX; i++)
		if (vu->kick[i] >= 0)
			close(vu->kick[i]);
	free(vu);
}

/* A hypervisor without a control queue enables all pairs by itself. */
static uint64_t
vu_offered(struct net_transport *t)
{
	uint64_t offered;

	must(vhost_user_client_get(of(t)->client, VHOST_USER_GET_FEATURES, &offered), "features");
	return offered & ~HIDDEN;
}

static void
vu_accept(struct net_transport *t, uint64_t features)
{
	struct net_vhost_user *vu = of(t);

	must(vhost_user_client_set(vu->client, VHOST_USER_SET_FEATURES, features | PROTOCOL),
		"features");
	add_status(vu, VIRTIO_CONFIG_S_FEATURES_OK);
}

static void
vu_config_read(struct net_transport *t, uint32_t off, void *buf, uint32_t len)
{
	must(vhost_user_client_get_config(of(t)->client, off, buf, len), "configuration");
}

/* Each queue has its own eventfd, the configuration has none. */
static void
vu_interrupts(struct net_transport *t, const int *fds, uint32_t n)
{
	(void)t;
	(void)fds;
	(void)n;
}

/* Nothing tells how long a ring may be, but whether one is too long. */
static uint16_t
vu_queue_max(struct net_transport *t, uint16_t index)
{
	struct net_vhost_user *vu = of(t);

	for (uint32_t n = VHOST_USER_RING_SIZE_MAX; index < vu->queues && n > 0; n /= 2)
		if (vhost_user_client_set_vring(vu->client, VHOST_USER_SET_VRING_NUM, index, n) == 0)
			return (uint16_t)n;
	return 0;
}

static uint32_t
vu_queue_enable(struct net_transport *t, const struct net_transport_queue *q)
{
	const struct vhost_user_vring_addr addr = {
		.index = q->index,
		.desc = q->desc,
		.avail = q->driver,
		.used = q->device,
	};
	struct net_vhost_user *vu = of(t);
	struct vhost_user_client *c = vu->client;

	vu->kick[q->index] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vu->kick[q->index] < 0)
		err(EXIT_FAILURE, "eventfd");
	must(vhost_user_client_set_vring(c, VHOST_USER_SET_VRING_NUM, q->index, q->size), "size");
	must(vhost_user_client_set_vring_addr(c, &addr), "addresses of a ring");
	if (q->irq_fd >= 0)
		must(vhost_user_client_set_vring_fd(
			     c, VHOST_USER_SET_VRING_CALL, q->index, q->irq_fd),
			"call eventfd");
	must(vhost_user_client_set_vring_fd(
		     c, VHOST_USER_SET_VRING_KICK, q->index, vu->kick[q->index]),
		"kick eventfd");
	must(vhost_user_client_set_vring(c, VHOST_USER_SET_VRING_ENABLE, q->index, 1), "enable");
	return q->index;
}

static void
vu_start(struct net_transport *t)
{
	add_status(of(t), VIRTIO_CONFIG_S_DRIVER_OK);
}

static int
vu_kick(struct net_transport *t, uint32_t doorbell, uint32_t data, uint32_t len)
{
	(void)data;
	(void)len;
	return eventfd_write(of(t)->kick[doorbell], 1) == 0 ? 0 : -errno;
}

static int
vu_fd(const struct net_transport *t)
{
	return vhost_user_client_fd(of(t)->client);
}

static short
vu_events(const struct net_transport *t)
{
	return vhost_user_client_events(of(t)->client);
}

static int
vu_process(struct net_transport *t)
{
	return vhost_user_client_process(of(t)->client);
}

const struct net_transport_ops net_transport_vhost_user = {
	.name = "vhost-user",
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
