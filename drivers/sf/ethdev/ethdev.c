/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "ethdev": life of an SF that is a DPDK port. Helper thread only. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sf/ethdev/ethdev.h"
#include "vring/vring.h"

RTE_LOG_REGISTER(ethdev_logtype, virtnet.sf.ethdev, NOTICE);

static const struct sf_ops ethdev_ops;

static int
params_check(const struct sf_params *params, char *err, size_t err_len)
{
	if (params->max_pairs == 0) {
		snprintf(err, err_len, "%s: no queue pairs", params->rep);
		return -EINVAL;
	}
	if (rte_pktmbuf_data_room_size(params->pool) <= VRING_MBUF_DATA_OFF) {
		snprintf(err, err_len, "%s: mbufs of pool %s are too small", params->rep,
			params->pool->name);
		return -EINVAL;
	}
	return 0;
}

static struct ethdev *
ethdev_alloc(const struct sf_params *params)
{
	const uint16_t pairs = RTE_MIN(params->max_pairs, SF_MAX_PAIRS);
	const size_t size = sizeof(struct ethdev) + pairs * sizeof(struct ethdev_queue);
	struct ethdev *e = aligned_alloc(
		_Alignof(struct ethdev), RTE_ALIGN_CEIL(size, _Alignof(struct ethdev)));

	if (e == NULL)
		return NULL;
	memset(e, 0, size);
	e->sf.ops = &ethdev_ops;
	e->sf.max_pairs = pairs;
	memcpy(e->sf.rep, params->rep, sizeof(e->sf.rep));
	e->port = RTE_MAX_ETHPORTS;
	e->mtu = params->mtu;
	e->link_up = true;
	e->pool = params->pool;
	for (uint16_t i = 0; i < pairs; i++) {
		e->queues[i].intr_fd = -1;
		e->queues[i].wait_fd = epoll_create1(EPOLL_CLOEXEC);
	}
	ethdev_gates_init(e);
	return e;
}

static void
ethdev_destroy(struct sf *sf)
{
	struct ethdev *e = (struct ethdev *)sf;

	if (e->port != RTE_MAX_ETHPORTS) {
		ethdev_port_unwatch(e);
		(void)ethdev_set_queues(sf, 0, 0);
		ethdev_remove(e->port);
	}
	for (uint16_t i = 0; i < e->sf.max_pairs; i++)
		if (e->queues[i].wait_fd >= 0)
			close(e->queues[i].wait_fd);
	free(e);
}

/* The port's netdev is the representor if it is called so. */
static void
representor_find(struct ethdev *e)
{
	char name[IF_NAMESIZE];

	if (e->info.if_index != 0 && if_indextoname(e->info.if_index, name) != NULL &&
		strcmp(name, e->sf.rep) == 0)
		e->sf.rep_ifindex = (int)e->info.if_index;
}

/*
 * A port that leads elsewhere has the device's address, so that a card lets its frames in. A
 * representor must not have it (drivers/sf/tap): bridges would take the guest's frames for its own.
 */
static void
mac_set(struct ethdev *e, const struct rte_ether_addr *device)
{
	struct rte_ether_addr mac = *device;
	int ret;

	if (e->sf.rep_ifindex != 0) {
		mac.addr_bytes[0] ^= 0x40;
		mac.addr_bytes[0] |= RTE_ETHER_LOCAL_ADMIN_ADDR;
		mac.addr_bytes[0] &= (uint8_t)~RTE_ETHER_GROUP_ADDR;
	}
	ret = rte_eth_dev_default_mac_addr_set(e->port, &mac);
	if (ret != 0 && ret != -ENOTSUP)
		ETHDEV_LOG(WARNING, "%s: port %u keeps its MAC address: %s\n", e->sf.rep, e->port,
			strerror(-ret));
}

/* What the port can do. */
static int
port_take(struct ethdev *e, const struct sf_params *params, char *err, size_t err_len)
{
	int ret = rte_eth_dev_info_get(e->port, &e->info);
	uint16_t queues;

	if (ret != 0) {
		snprintf(err, err_len, "%s: %s", e->devargs, strerror(-ret));
		return ret;
	}
	queues = RTE_MIN(e->info.max_rx_queues, e->info.max_tx_queues);
	e->sf.caps = ethdev_caps(
		ethdev_rx_offloads(&e->info), ethdev_tx_offloads(&e->info, e->args.uso));
	if (queues < e->sf.max_pairs) {
		snprintf(err, err_len, "%s: has %u queue pairs, too few for a device with %u",
			e->devargs, queues, e->sf.max_pairs);
		return -EINVAL;
	}
	if (!ethdev_mtu_fits(e, params->mtu)) {
		snprintf(err, err_len, "%s: MTU %u is out of range (%u..%u)", e->devargs,
			params->mtu, RTE_ETHER_MIN_MTU, ethdev_port_mtu_max(e));
		return -EINVAL;
	}
	representor_find(e);
	ret = ethdev_port_configure(e, e->sf.max_pairs);
	if (ret != 0) {
		snprintf(err, err_len, "%s: cannot be configured with %u queue pairs: %s",
			e->devargs, e->sf.max_pairs, strerror(-ret));
		return ret;
	}
	mac_set(e, &params->mac);
	ethdev_port_watch(e);
	return 0;
}

static int
ethdev_create(const struct sf_params *params, struct sf **out, char *err, size_t err_len)
{
	struct ethdev *e;
	int ret;

	ret = params_check(params, err, err_len);
	if (ret != 0)
		return ret;
	e = ethdev_alloc(params);
	if (e == NULL) {
		snprintf(err, err_len, "%s: out of memory", params->rep);
		return -ENOMEM;
	}
	ret = ethdev_args_parse(params->args, &e->args, err, err_len);
	if (ret == 0)
		ret = ethdev_args_expand(
			e->args.tmpl, params, e->devargs, sizeof(e->devargs), err, err_len);
	e->args.tmpl = NULL; /* the caller's */
	if (ret == 0)
		ret = ethdev_probe(e->devargs, &e->port, err, err_len);
	if (ret == 0)
		ret = port_take(e, params, err, err_len);
	if (ret != 0) {
		ethdev_destroy(&e->sf);
		return ret;
	}
	*out = &e->sf;
	return 0;
}

/* -1 while the port is stopped, too: whoever waits asks again after set_queues(). */
static int
ethdev_rx_fd(struct sf *sf, uint16_t queue)
{
	const struct ethdev_queue *q = &((struct ethdev *)sf)->queues[queue];

	return __atomic_load_n(&q->intr_fd, __ATOMIC_RELAXED) >= 0 ? q->wait_fd : -1;
}

static void
ethdev_queue_stats(struct sf *sf, uint16_t queue, struct sf_queue_stats *stats)
{
	const struct sf_queue_stats *s = &((struct ethdev *)sf)->queues[queue].stats;

	stats->rx_errors = __atomic_load_n(&s->rx_errors, __ATOMIC_RELAXED);
	stats->rx_no_mbuf = 0; /* the PMD's to count */
	stats->tx_errors = __atomic_load_n(&s->tx_errors, __ATOMIC_RELAXED);
}

/*
 * What is inside a PMD does not outlive a process: no descriptor(), no adopt(). A successor creates
 * its SFs anew; who hands over lets go of the port, or the successor could not probe it.
 */
static const struct sf_ops ethdev_ops = {
	.name = "ethdev",
	.create = ethdev_create,
	.destroy = ethdev_destroy,
	.release = ethdev_destroy,
	.set_queues = ethdev_set_queues,
	.set_mtu = ethdev_set_mtu,
	.set_link = ethdev_set_link,
	.rx_burst = ethdev_rx_burst,
	.tx_burst = ethdev_tx_burst,
	.rx_fd = ethdev_rx_fd,
	.rx_wait = ethdev_rx_wait,
	.queue_stats = ethdev_queue_stats,
};

SF_DRIVER_REGISTER(ethdev, ethdev_ops)
