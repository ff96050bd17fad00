/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* virtnet-perf-dpdk: drives a DPDK port, made for a virtio-user one, as fast as one thread can, and
 * prints what it saw as JSON. The other end is told nothing of it. */

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "bridge.h"
#include "load.h"
#include "options.h"

#define QUEUE_SIZE 1024u
/** Beside the rings' own, what the mempools' caches may keep. */
#define POOL_SPARE   1024u
#define POOL_CACHE   256u
#define LINK_WAIT_MS 2000u

struct client {
	struct load load;
	struct load_options opt;
	const char *tap; /* to be bridged with the port; NULL: the load is our own */
	bool gso;
	uint16_t queue_size;
	struct rte_mempool *rx_pool, *tx_pool;
	struct rte_mbuf *pending[LOAD_BURST]; /* what the ring had no room for */
	uint16_t n_pending, first_pending;
};

/* The frames stay in their buffers for good: the pool is used for nothing else. */
static void
prepare(struct rte_mempool *mp, void *arg, void *obj, unsigned int index)
{
	struct rte_mbuf *m = obj;

	load_frame_init(rte_pktmbuf_mtod(m, struct load_frame *));
}

static uint16_t
fill(struct client *c, uint32_t n)
{
	if (rte_pktmbuf_alloc_bulk(c->tx_pool, c->pending, n) != 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = c->pending[i];

		m->data_len =
			(uint16_t)load_fill(&c->load, rte_pktmbuf_mtod(m, struct load_frame *));
		m->pkt_len = m->data_len;
	}
	return (uint16_t)n;
}

static bool
transmit(struct load *l, uint32_t n)
{
	struct client *c = l->client;
	uint16_t sent;

	if (c->n_pending == 0) {
		if (n == 0)
			return false;
		c->n_pending = fill(c, n);
		c->first_pending = 0;
	}
	sent = rte_eth_tx_burst(0, 0, c->pending + c->first_pending, c->n_pending);
	c->n_pending -= sent;
	c->first_pending += sent;
	l->n.tx += sent;
	return sent > 0;
}

static bool
receive(struct load *l)
{
	struct rte_mbuf *m[LOAD_BURST];
	const uint16_t n = rte_eth_rx_burst(0, 0, m, LOAD_BURST);

	for (uint16_t i = 0; i < n; i++)
		load_look(l, rte_pktmbuf_mtod(m[i], struct load_frame *), m[i]->pkt_len);
	if (n > 0)
		rte_pktmbuf_free_bulk(m, n);
	return n > 0;
}

static const struct load_ops ops = {
	.transmit = transmit,
	.receive = receive,
};

static void
must_dpdk(int ret, const char *what)
{
	if (ret < 0)
		errx(EXIT_FAILURE, "%s: %s", what, rte_strerror(-ret));
}

static struct rte_mempool *
pool_create(const struct client *c, const char *name)
{
	struct rte_mempool *mp = rte_pktmbuf_pool_create(name, 2u * c->queue_size + POOL_SPARE,
		POOL_CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);

	if (mp == NULL)
		errx(EXIT_FAILURE, "%s: %s", name, rte_strerror(rte_errno));
	return mp;
}

static void
port_open(struct client *c)
{
	const struct rte_eth_conf conf = {0};
	struct rte_eth_link link = {0};

	if (rte_eth_dev_count_avail() != 1)
		errx(EXIT_FAILURE, "there must be one port: --vdev net_virtio_user0,path=...");
	c->rx_pool = pool_create(c, "rx");
	c->tx_pool = pool_create(c, "tx");
	rte_mempool_obj_iter(c->tx_pool, prepare, NULL);
	must_dpdk(rte_eth_dev_configure(0, 1, 1, &conf), "configuring the port");
	must_dpdk(rte_eth_rx_queue_setup(0, 0, c->queue_size, SOCKET_ID_ANY, NULL, c->rx_pool),
		"receive queue");
	must_dpdk(
		rte_eth_tx_queue_setup(0, 0, c->queue_size, SOCKET_ID_ANY, NULL), "transmit queue");
	must_dpdk(rte_eth_dev_start(0), "starting the port");
	for (unsigned int ms = 0; ms < LINK_WAIT_MS; ms += 10) {
		if (rte_eth_link_get_nowait(0, &link) == 0 && link.link_status)
			return;
		rte_delay_us_sleep(10000);
	}
	errx(EXIT_FAILURE, "the link stays down");
}

/* ---- Command line */

static void
usage(FILE *to)
{
	fprintf(to,
		"Usage: virtnet-perf-dpdk EAL-OPTION... -- [OPTION...]\n"
		"\n"
		"Drives the one DPDK port that the EAL's options make, one queue pair, from one "
		"polling thread.\n"
		"\n" LOAD_OPTIONS_USAGE "  --queue-size N    entries of a ring (%u)\n"
		"  --tap NAME        make this TAP and move its packets instead, until standard "
		"input ends\n"
		"  --gso             with checksum and segmentation offloads\n",
		QUEUE_SIZE);
}

enum {
	OPT_QUEUE_SIZE = 256,
	OPT_TAP,
	OPT_GSO,
	OPT_HELP,
};

static const struct option long_options[] = {
	LOAD_OPTIONS,
	{"queue-size", required_argument, NULL, OPT_QUEUE_SIZE},
	{"tap", required_argument, NULL, OPT_TAP},
	{"gso", no_argument, NULL, OPT_GSO},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

static void
take_option(struct client *c, int opt, const char *arg)
{
	if (load_option(&c->opt, opt, arg))
		return;
	switch (opt) {
	case OPT_QUEUE_SIZE:
		c->queue_size = (uint16_t)strtoul(arg, NULL, 10);
		break;
	case OPT_TAP:
		c->tap = arg;
		break;
	case OPT_GSO:
		c->gso = true;
		break;
	case OPT_HELP:
		usage(stdout);
		exit(EXIT_SUCCESS);
	default:
		usage(stderr);
		exit(LOAD_STATUS_USAGE);
	}
}

int
main(int argc, char **argv)
{
	static struct client c = {.queue_size = QUEUE_SIZE};
	const int eal = rte_eal_init(argc, argv);
	int opt;

	must_dpdk(eal < 0 ? -rte_errno : 0, "EAL");
	argc -= eal;
	argv += eal;
	load_options_init(&c.opt);
	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		take_option(&c, opt == 'h' ? OPT_HELP : opt, optarg);
	if (optind != argc) {
		usage(stderr);
		return LOAD_STATUS_USAGE;
	}
	if (c.opt.cpu >= 0)
		load_pin(c.opt.cpu);
	if (c.tap != NULL) {
		bridge_run(c.tap, c.gso, c.queue_size);
	} else {
		load_init(&c.load, &ops, &c);
		port_open(&c);
		load_options_run(&c.opt, &c.load);
	}
	rte_eth_dev_stop(0);
	rte_eth_dev_close(0);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
