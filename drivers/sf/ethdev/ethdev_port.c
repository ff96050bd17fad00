/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The port's queues, MTU and link. Helper thread only, but for the events.
 *
 * A port has as many queues as pairs carry packets, so that none spreads packets to a queue that
 * nobody reads. Another number takes a stop, a configuration and a start: the gates are closed
 * meanwhile, and the port's link may flap.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "sf/ethdev/ethdev.h"

#define RSS_HASHES (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)
/** DPDK's own assumption where a PMD does not say what it adds to the MTU. */
#define OVERHEAD_DEFAULT (RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN)

/* ---- configuration ---- */

uint16_t
ethdev_port_mtu_max(const struct ethdev *e)
{
	const struct rte_eth_dev_info *info = &e->info;
	const uint32_t overhead = info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu
					  ? info->max_rx_pktlen - info->max_mtu
					  : OVERHEAD_DEFAULT;
	uint32_t max = RTE_MIN((uint32_t)info->max_mtu, ETHDEV_MTU_MAX);

	if (info->max_rx_pktlen > overhead)
		max = RTE_MIN(max, info->max_rx_pktlen - overhead);
	return (uint16_t)max;
}

/* A frame of this MTU takes more than one mbuf. */
static bool
must_scatter(const struct ethdev *e, uint16_t mtu)
{
	const uint32_t room = rte_pktmbuf_data_room_size(e->pool) - RTE_PKTMBUF_HEADROOM;

	return (uint32_t)mtu + ETHDEV_L2_LEN + RTE_ETHER_CRC_LEN > room;
}

bool
ethdev_mtu_fits(const struct ethdev *e, uint16_t mtu)
{
	return mtu >= RTE_ETHER_MIN_MTU && mtu <= ethdev_port_mtu_max(e) &&
	       (!must_scatter(e, mtu) ||
		       (e->info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) != 0);
}

static void
conf_fill(const struct ethdev *e, uint16_t pairs, struct rte_eth_conf *conf)
{
	const uint64_t hashes = e->info.flow_type_rss_offloads & RSS_HASHES;

	memset(conf, 0, sizeof(*conf));
	conf->rxmode.mtu = e->mtu;
	conf->rxmode.offloads = ethdev_rx_offloads(&e->info);
	if (must_scatter(e, e->mtu))
		conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
	conf->txmode.offloads = ethdev_tx_offloads(&e->info, e->args.uso);
	if (pairs > 1 && hashes != 0) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf->rx_adv_conf.rss_conf.rss_hf = hashes;
	}
	conf->intr_conf.rxq = !e->args.poll;
	conf->intr_conf.lsc = (*e->info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0;
	conf->intr_conf.rmv = (*e->info.dev_flags & RTE_ETH_DEV_INTR_RMV) != 0;
}

/* What only makes a port better is left out if the port does not like it. */
static int
port_configure(struct ethdev *e, uint16_t pairs, struct rte_eth_conf *conf)
{
	int ret;

	conf_fill(e, pairs, conf);
	ret = rte_eth_dev_configure(e->port, pairs, pairs, conf);
	if (ret != 0 && conf->intr_conf.rxq != 0) {
		conf->intr_conf.rxq = 0;
		ret = rte_eth_dev_configure(e->port, pairs, pairs, conf);
	}
	if (ret != 0 && conf->rxmode.mq_mode != RTE_ETH_MQ_RX_NONE) {
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_NONE;
		conf->rx_adv_conf.rss_conf.rss_hf = 0;
		ret = rte_eth_dev_configure(e->port, pairs, pairs, conf);
	}
	return ret;
}

static uint16_t
ring_size(uint16_t asked, uint16_t preferred)
{
	if (asked != 0)
		return asked;
	return preferred != 0 ? preferred : ETHDEV_DESC_DEFAULT;
}

static int
queues_setup(struct ethdev *e, uint16_t pairs, const struct rte_eth_conf *conf)
{
	struct rte_eth_rxconf rx = e->info.default_rxconf;
	struct rte_eth_txconf tx = e->info.default_txconf;
	uint16_t n_rx = ring_size(e->args.rx_desc, e->info.default_rxportconf.ring_size);
	uint16_t n_tx = ring_size(e->args.tx_desc, e->info.default_txportconf.ring_size);
	const int socket = rte_eth_dev_socket_id(e->port);
	int ret;

	ret = rte_eth_dev_adjust_nb_rx_tx_desc(e->port, &n_rx, &n_tx);
	rx.offloads = conf->rxmode.offloads;
	tx.offloads = conf->txmode.offloads;
	for (uint16_t i = 0; i < pairs && ret == 0; i++)
		ret = rte_eth_rx_queue_setup(e->port, i, n_rx, (unsigned int)socket, &rx, e->pool);
	for (uint16_t i = 0; i < pairs && ret == 0; i++)
		ret = rte_eth_tx_queue_setup(e->port, i, n_tx, (unsigned int)socket, &tx);
	return ret;
}

/* PMDs without the operation have no MTU: any frame passes that fits their buffers. */
static int
port_set_mtu(const struct ethdev *e, uint16_t mtu)
{
	const int ret = rte_eth_dev_set_mtu(e->port, mtu);

	return ret == -ENOTSUP ? 0 : ret;
}

/* Everything but the queues. */
static int
configure(struct ethdev *e, uint16_t pairs, struct rte_eth_conf *conf)
{
	int ret;

	ret = port_configure(e, pairs, conf);
	if (ret == 0)
		ret = port_set_mtu(e, e->mtu);
	if (ret == 0)
		e->tx_offloads = conf->txmode.offloads;
	return ret;
}

int
ethdev_port_configure(struct ethdev *e, uint16_t pairs)
{
	struct rte_eth_conf conf;

	return configure(e, pairs, &conf);
}

/* ---- interrupts ---- */

static bool
is_eventfd(int fd)
{
	char path[32], target[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	target[RTE_MAX(n, 0)] = '\0';
	return strcmp(target, "anon_inode:[eventfd]") == 0;
}

/*
 * net_tap gives the queue itself to wait for. Of another PMD it must be an eventfd, of which is
 * known how to forget an interrupt.
 */
static int
intr_fd(const struct ethdev *e, uint16_t queue, bool *has_counter)
{
	const bool tap = ethdev_is_net_tap(&e->info);
	int fd;

	*has_counter = false;
	if (e->args.poll)
		return -1;
	/* Asked first because to ask for the descriptor in vain logs an error. */
	if (!tap && rte_eth_dev_rx_intr_enable(e->port, queue) != 0)
		return -1;
	fd = rte_eth_dev_rx_intr_ctl_q_get_fd(e->port, queue);
	if (!tap)
		(void)rte_eth_dev_rx_intr_disable(e->port, queue);
	if (fd < 0 || tap)
		return fd;
	*has_counter = true;
	return is_eventfd(fd) && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 ? fd : -1;
}

static void
intr_off(struct ethdev *e)
{
	for (uint16_t i = 0; i < e->sf.max_pairs; i++) {
		struct ethdev_queue *q = &e->queues[i];

		if (q->intr_fd >= 0)
			(void)epoll_ctl(q->wait_fd, EPOLL_CTL_DEL, q->intr_fd, NULL);
		__atomic_store_n(&q->intr_fd, -1, __ATOMIC_RELAXED);
		q->armed = false;
	}
}

static void
intr_on(struct ethdev *e, uint16_t pairs)
{
	struct epoll_event ev = {.events = EPOLLIN};

	for (uint16_t i = 0; i < pairs; i++) {
		struct ethdev_queue *q = &e->queues[i];
		const int fd = q->wait_fd >= 0 ? intr_fd(e, i, &q->has_counter) : -1;

		if (fd >= 0 && epoll_ctl(q->wait_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
			__atomic_store_n(&q->intr_fd, fd, __ATOMIC_RELAXED);
	}
}

/* ---- start and stop; the gates are closed ---- */

static void
stop(struct ethdev *e)
{
	int ret;

	if (e->pairs == 0)
		return;
	intr_off(e);
	ret = rte_eth_dev_stop(e->port);
	if (ret != 0 && !atomic_load(&e->gone))
		ETHDEV_LOG(WARNING, "%s: port %u: stop: %s\n", e->sf.rep, e->port, strerror(-ret));
	e->pairs = 0;
}

static int
start(struct ethdev *e, uint16_t pairs, bool fresh)
{
	struct rte_eth_conf conf;
	int ret;

	if (atomic_load(&e->gone))
		return -ENODEV;
	ret = configure(e, pairs, &conf);
	if (ret == 0)
		ret = queues_setup(e, pairs, &conf);
	if (ret == 0)
		ret = rte_eth_dev_start(e->port);
	if (ret != 0)
		return ret;
	e->pairs = pairs;
	/* A driver may change its address, and a representor carries everything. */
	(void)rte_eth_promiscuous_enable(e->port);
	(void)rte_eth_allmulticast_enable(e->port);
	if (!e->link_up)
		(void)rte_eth_dev_set_link_down(e->port);
	intr_on(e, pairs);
	/* A port on a kernel's interface has gone on receiving. (A file has what is for us.) */
	for (uint16_t i = 0; fresh && e->info.if_index != 0 && i < pairs; i++)
		ethdev_queue_drain(e, i);
	if (e->link_up)
		ethdev_gates_open(e, pairs);
	return 0;
}

/* With another number of pairs, or another MTU that needs it. On failure it goes on as before. */
static int
restart(struct ethdev *e, uint16_t pairs, uint16_t mtu)
{
	const uint16_t had = e->pairs, had_mtu = e->mtu;
	int ret = 0;

	ethdev_gates_close(e);
	for (uint16_t i = pairs; i < had; i++)
		ethdev_queue_drain(e, i);
	stop(e);
	e->mtu = mtu;
	if (pairs > 0)
		ret = start(e, pairs, had == 0);
	if (ret == 0)
		return 0;
	e->mtu = had_mtu;
	if (had > 0 && start(e, had, false) != 0)
		ETHDEV_LOG(ERR, "%s: port %u cannot be started again: no packets\n", e->sf.rep,
			e->port);
	return ret;
}

int
ethdev_set_queues(struct sf *sf, uint16_t pairs, uint32_t rx_caps)
{
	struct ethdev *e = (struct ethdev *)sf;
	int ret = 0;

	if (pairs > e->sf.max_pairs)
		return -EINVAL;
	if (pairs != e->pairs)
		ret = restart(e, pairs, e->mtu);
	if (ret == 0)
		atomic_store(&e->rx_caps, rx_caps);
	return ret;
}

int
ethdev_set_mtu(struct sf *sf, uint16_t mtu)
{
	struct ethdev *e = (struct ethdev *)sf;
	const uint16_t had = e->mtu;
	int ret;

	if (!ethdev_mtu_fits(e, mtu))
		return -EINVAL;
	if (must_scatter(e, mtu) == must_scatter(e, e->mtu)) {
		ret = port_set_mtu(e, mtu);
		if (ret == 0)
			e->mtu = mtu;
		if (ret != -EBUSY)
			return ret;
	}
	if (e->pairs > 0)
		return restart(e, e->pairs, mtu);
	e->mtu = mtu;
	ret = ethdev_port_configure(e, e->sf.max_pairs);
	if (ret != 0)
		e->mtu = had;
	return ret;
}

int
ethdev_set_link(struct sf *sf, bool up)
{
	struct ethdev *e = (struct ethdev *)sf;

	if (up == e->link_up)
		return 0;
	e->link_up = up;
	if (e->pairs == 0)
		return 0;
	/* PMDs without a link of their own: the gates do it. */
	if (up) {
		(void)rte_eth_dev_set_link_up(e->port);
	} else {
		ethdev_gates_close(e);
		(void)rte_eth_dev_set_link_down(e->port);
	}
	for (uint16_t i = 0; i < e->pairs; i++)
		ethdev_queue_drain(e, i);
	if (up)
		ethdev_gates_open(e, e->pairs);
	return 0;
}

/* ---- events; EAL's interrupt thread ---- */

static int
on_link(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret_param)
{
	const struct ethdev *e = arg;
	struct rte_eth_link link;

	(void)type;
	(void)ret_param;
	if (rte_eth_link_get_nowait(port, &link) == 0)
		ETHDEV_LOG(NOTICE, "%s: port %u: link is %s\n", e->sf.rep, port,
			link.link_status == RTE_ETH_LINK_UP ? "up" : "down");
	return 0;
}

static int
on_removed(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret_param)
{
	struct ethdev *e = arg;

	(void)type;
	(void)ret_param;
	ETHDEV_LOG(ERR,
		"%s: port %u has been removed: no packets until the device is unplugged "
		"and plugged again\n",
		e->sf.rep, port);
	atomic_store(&e->gone, true);
	for (uint16_t i = 0; i < e->sf.max_pairs; i++)
		atomic_store(&e->queues[i].open, false);
	return 0;
}

void
ethdev_port_watch(struct ethdev *e)
{
	(void)rte_eth_dev_callback_register(e->port, RTE_ETH_EVENT_INTR_LSC, on_link, e);
	(void)rte_eth_dev_callback_register(e->port, RTE_ETH_EVENT_INTR_RMV, on_removed, e);
	e->watched = true;
}

/* One that is being called is left alone. */
static void
unregister(struct ethdev *e, enum rte_eth_event_type type, rte_eth_dev_cb_fn fn)
{
	while (rte_eth_dev_callback_unregister(e->port, type, fn, e) == -EAGAIN)
		usleep(100);
}

void
ethdev_port_unwatch(struct ethdev *e)
{
	if (!e->watched)
		return;
	unregister(e, RTE_ETH_EVENT_INTR_LSC, on_link);
	unregister(e, RTE_ETH_EVENT_INTR_RMV, on_removed);
	e->watched = false;
}
