/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Queues of the TAP: which ones there are, and which of them the kernel gives frames. Helper thread
 * only.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "sf/tap/tap.h"

/* Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/** Stale frames thrown away at most: the kernel queues 500 unless a user raised txqueuelen. */
#define TAP_DRAIN_MAX 65536u

int
tap_queue_open(const char *name, bool first)
{
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE};
	int fd, ret;

	fd = open(TAP_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (first)
		ifr.ifr_flags |= (short)IFF_TUN_EXCL;
	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	if (ioctl(fd, TUNSETIFF, &ifr) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return first && ret == -EBUSY ? -EEXIST : ret;
}

static int
queue_attach(struct tap *t, uint16_t i)
{
	struct ifreq ifr = {.ifr_flags = IFF_ATTACH_QUEUE};
	struct tap_queue *q = &t->queues[i];
	int own_ns, fd;

	if (q->fd >= 0) {
		if (ioctl(q->fd, TUNSETQUEUE, &ifr) != 0)
			return -errno;
		q->attached = true;
		return 0;
	}
	/* By the name and in the namespace that a user may have given the interface meanwhile. */
	if (ioctl(t->queues[0].fd, TUNGETIFF, &ifr) != 0)
		return -errno;
	own_ns = tap_ns_enter(t->queues[0].fd);
	fd = tap_queue_open(ifr.ifr_name, false);
	tap_ns_leave(own_ns);
	if (fd < 0)
		return fd;
	q->fd = fd;
	q->attached = true;
	return 0;
}

/* Waits for a grace period of the kernel; drops what the queue holds. */
static void
queue_detach(struct tap *t, uint16_t i)
{
	struct ifreq ifr = {.ifr_flags = IFF_DETACH_QUEUE};

	(void)ioctl(t->queues[i].fd, TUNSETQUEUE, &ifr);
	t->queues[i].attached = false;
	tap_queue_release(&t->queues[i]);
}

/* On failure those of the former pairs are left. */
static int
queues_grow(struct tap *t, uint16_t wanted)
{
	const uint16_t had = RTE_MAX(t->pairs, 1);

	for (uint16_t i = 0; i < wanted; i++) {
		const int ret = t->queues[i].attached ? 0 : queue_attach(t, i);

		if (ret == 0)
			continue;
		while (i-- > had)
			if (t->queues[i].attached)
				queue_detach(t, i);
		return ret;
	}
	return 0;
}

/*
 * What the process before us has left: it may have died between any two queues. To attach a queue
 * that is attached, or to detach it twice, would be an error.
 */
static void
queues_look(struct tap *t)
{
	for (uint16_t i = 0; i < t->sf.max_pairs; i++) {
		struct tap_queue *q = &t->queues[i];
		struct ifreq ifr = {0};

		if (q->fd < 0)
			continue;
		if (ioctl(q->fd, TUNGETIFF, &ifr) == 0) {
			q->attached = (ifr.ifr_flags & IFF_DETACH_QUEUE) == 0;
		} else if (i >= t->pairs) {
			/* No queue of anything: opened anew when it is wanted. */
			close(q->fd);
			q->fd = -1;
		}
	}
}

static void
queue_drain(struct tap_queue *q)
{
	uint8_t start_of_frame[64]; /* the kernel drops the rest */

	for (unsigned int i = 0; i < TAP_DRAIN_MAX; i++)
		if (read(q->fd, start_of_frame, sizeof(start_of_frame)) <= 0)
			return;
}

int
tap_carrier_set(struct tap *t, bool on)
{
	int carrier = on;

	return ioctl(t->queues[0].fd, TUNSETCARRIER, &carrier) == 0 ? 0 : -errno;
}

static unsigned int
tun_offload(uint32_t rx_caps)
{
	unsigned int offload = TUN_F_CSUM;

	if ((rx_caps & SF_CAP_RX_CSUM) == 0)
		return 0;
	if ((rx_caps & SF_CAP_RX_TSO4) != 0)
		offload |= TUN_F_TSO4;
	if ((rx_caps & SF_CAP_RX_TSO6) != 0)
		offload |= TUN_F_TSO6;
	if ((rx_caps & SF_CAP_RX_ECN) != 0 && (offload & (TUN_F_TSO4 | TUN_F_TSO6)) != 0)
		offload |= TUN_F_TSO_ECN;
	/* One alone is refused. */
	if ((rx_caps & SF_CAP_RX_USO) == SF_CAP_RX_USO)
		offload |= TUN_F_USO4 | TUN_F_USO6;
	return offload;
}

int
tap_offload_set(struct tap *t, uint32_t rx_caps)
{
	/* What an older kernel may not know, from the newest to the oldest. */
	static const uint32_t unknown[] = {
		0, SF_CAP_RX_USO, SF_CAP_RX_ECN, SF_CAP_RX_TSO4 | SF_CAP_RX_TSO6, SF_CAP_RX_CSUM};
	int ret = 0;

	for (unsigned int i = 0; i < RTE_DIM(unknown); i++) {
		rx_caps &= ~unknown[i];
		if (ioctl(t->queues[0].fd, TUNSETOFFLOAD, tun_offload(rx_caps)) == 0)
			return 0;
		ret = -errno;
		if (ret != -EINVAL)
			break;
	}
	return ret;
}

void
tap_queue_caps(struct tap_queue *q, uint32_t rx_caps)
{
	__atomic_store_n(&q->rx_caps, rx_caps, __ATOMIC_RELAXED);
	if ((rx_caps & NET_OFFLOAD_GSO) != 0)
		__atomic_store_n(&q->large, true, __ATOMIC_RELAXED);
}

int
tap_set_queues(struct sf *sf, uint16_t pairs, uint32_t rx_caps)
{
	struct tap *t = (struct tap *)sf;
	uint16_t had = t->pairs, wanted = RTE_MAX(pairs, 1);
	int ret;

	if (pairs > t->sf.max_pairs)
		return -EINVAL;
	if (t->adopted)
		queues_look(t);
	t->adopted = false;
	ret = tap_offload_set(t, rx_caps);
	if (ret != 0)
		return ret;
	ret = queues_grow(t, wanted);
	if (ret == 0 && pairs == 0)
		ret = tap_carrier_set(t, false);
	if (ret != 0) {
		(void)tap_offload_set(t, t->rx_caps);
		return ret;
	}
	for (uint16_t i = t->sf.max_pairs; i-- > wanted;)
		if (t->queues[i].attached)
			queue_detach(t, i);
	/* Frames for the driver that went, or that crossed the loss of carrier. */
	if (had == 0 || pairs == 0)
		queue_drain(&t->queues[0]);
	if (pairs == 0)
		tap_queue_release(&t->queues[0]);
	for (uint16_t i = 0; i < t->sf.max_pairs; i++) {
		if (pairs == 0)
			t->queues[i].large = false;
		if (i < pairs)
			tap_queue_caps(&t->queues[i], rx_caps);
	}
	t->pairs = pairs;
	t->rx_caps = rx_caps;
	return pairs > 0 ? tap_carrier_set(t, t->link_up) : 0;
}
