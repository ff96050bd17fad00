/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* virtnet-perf: drives a vfio-user network device with our own driver as fast as one thread can,
 * and prints what it saw as JSON. */

#include <err.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>

#include <rte_common.h>

#include "load.h"
#include "net_driver/must.h"
#include "net_driver/net_dev.h"
#include "net_driver/options.h"
#include "options.h"
#include "wire.h"

#define BUFFER_LEN 2048u
/* Not a power of two, or the first lines of all buffers would share a few sets of the caches. */
#define BUFFER_STEP (BUFFER_LEN + 2 * RTE_CACHE_LINE_SIZE)
#define QUEUE_SIZE  1024u

#define BIT(n)	    (UINT64_C(1) << (n))

struct client {
	struct load load;
	struct load_options opt;
	const char *wire; /* interface that frames are sent into, for mode rx */
	int wire_fd;
	bool indirect;
	struct net_dev_params net;
	struct guest_mem mem;
	struct net_dev dev;
	uint64_t base[NET_DEV_DIRS];
	uint64_t seq[NET_DEV_DIRS]; /* chains added; a buffer's number is that of its chain, modulo
				       the ring's size */
};

/* A header, then the frame. */
static uint8_t *
packet_at(const struct client *c, enum net_dev_dir dir, uint64_t seq, uint64_t *iova)
{
	*iova = c->base[dir] + seq % c->dev.queue[dir].ring.size * BUFFER_STEP;
	return guest_mem_va(&c->mem, *iova);
}

static void
publish(struct client *c, struct net_dev_queue *q)
{
	const int ret = net_dev_publish(&c->dev, q);

	must(ret, "kick");
	if (ret > 0)
		must(net_dev_process(&c->dev), "connection");
}

static void
add_indirect(struct client *c, struct net_dev_queue *q, const struct vring_buf *bufs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (vring_driver_add(&q->ring, &bufs[i], 1, 0, true, c->seq[NET_DEV_TX] + i) != 0)
			errx(EXIT_FAILURE, "no indirect descriptors");
}

/* Put up to n chains of one buffer each into a queue, buffers taken in turn: the device uses them
 * in order. */
static uint32_t
add(struct client *c, enum net_dev_dir dir, uint32_t n)
{
	struct net_dev_queue *q = &c->dev.queue[dir];
	const uint32_t hdr_len = net_dev_hdr_len(&c->dev);
	struct vring_buf bufs[LOAD_BURST];

	n = RTE_MIN(RTE_MIN(n, LOAD_BURST), (uint32_t)q->ring.n_free);
	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = packet_at(c, dir, c->seq[dir] + i, &bufs[i].iova);

		bufs[i].len = BUFFER_LEN;
		if (dir == NET_DEV_TX) {
			memset(p, 0, hdr_len);
			bufs[i].len =
				hdr_len + load_fill(&c->load, (struct load_frame *)(p + hdr_len));
		}
	}
	if (dir == NET_DEV_TX && c->indirect)
		add_indirect(c, q, bufs, n);
	else
		vring_driver_add_burst(&q->ring, bufs, (uint16_t)n, dir == NET_DEV_RX, c->seq[dir]);
	c->seq[dir] += n;
	publish(c, q);
	return n;
}

static uint32_t
take_back(struct client *c, enum net_dev_dir dir, struct vring_used_chain *used)
{
	struct net_dev_queue *q = &c->dev.queue[dir];
	const uint32_t n = vring_driver_get_burst(&q->ring, used, LOAD_BURST);

	if (q->ring.broken)
		errx(EXIT_FAILURE, "queue %u: the device has used what it was not given", q->index);
	return n;
}

static bool
transmit(struct load *l, uint32_t n)
{
	struct client *c = l->client;
	struct vring_used_chain used[LOAD_BURST];
	const uint32_t done = take_back(c, NET_DEV_TX, used), sent = add(c, NET_DEV_TX, n);

	l->n.tx += sent;
	return done + sent > 0;
}

static bool
receive(struct load *l)
{
	struct client *c = l->client;
	struct vring_used_chain used[LOAD_BURST];
	const uint32_t n = take_back(c, NET_DEV_RX, used), hdr_len = net_dev_hdr_len(&c->dev);
	uint64_t iova;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *p = packet_at(c, NET_DEV_RX, used[i].token, &iova);

		load_look(l, (const struct load_frame *)(p + hdr_len),
			used[i].len - RTE_MIN(used[i].len, hdr_len));
	}
	if (n > 0)
		add(c, NET_DEV_RX, n);
	return n > 0;
}

static uint32_t
wire(struct load *l, uint32_t n)
{
	const struct client *c = l->client;

	return wire_send(c->wire_fd, n, l->spec.pattern[0]);
}

static void
print(const struct load *l, FILE *to)
{
	const struct client *c = l->client;

	fprintf(to, ", \"queue_size\": %u, \"features\": \"0x%" PRIx64 "\", \"kicks\": %" PRIu64,
		c->dev.queue[NET_DEV_TX].ring.size, c->dev.features,
		c->dev.queue[NET_DEV_TX].kicks + c->dev.queue[NET_DEV_RX].kicks);
}

static const struct load_ops ops = {
	.transmit = transmit,
	.receive = receive,
	.print = print,
};

static const struct load_ops ops_wire = {
	.transmit = transmit,
	.receive = receive,
	.wire = wire,
	.print = print,
};

static void
buffers_create(struct client *c)
{
	uint64_t iova;

	for (enum net_dev_dir dir = NET_DEV_RX; dir < NET_DEV_DIRS; dir++)
		c->base[dir] = guest_mem_alloc(
			&c->mem, (uint64_t)c->dev.queue[dir].ring.size * BUFFER_STEP);
	for (uint64_t i = 0; i < c->dev.queue[NET_DEV_TX].ring.size; i++)
		load_frame_init((struct load_frame *)(packet_at(c, NET_DEV_TX, i, &iova) +
						      net_dev_hdr_len(&c->dev)));
	while (add(c, NET_DEV_RX, LOAD_BURST) > 0)
		;
}

static void
device_open(struct client *c, const char *path)
{
	struct net_dev_params *net = &c->net;

	c->indirect = (net->features & BIT(VIRTIO_RING_F_INDIRECT_DESC)) != 0;
	guest_mem_create(&c->mem,
		net_dev_memory(net) + (uint64_t)NET_DEV_DIRS * net->queue_size * BUFFER_STEP, true);
	net->path = path;
	net->mem = &c->mem;
	net_dev_open(&c->dev, net);
	buffers_create(c);
}

/* ---- Command line */

static void
usage(FILE *to)
{
	fprintf(to,
		"Usage: virtnet-perf [OPTION...] SOCKET\n"
		"\n"
		"Drives the network device behind a vfio-user socket, one queue pair, from one "
		"polling thread.\n"
		"\n" LOAD_OPTIONS_USAGE
		"  --wire IFNAME     also send frames into this interface, for --mode rx on a TAP\n"
		"  --offloads        negotiate checksum offloads, so that headers are looked at\n"
		"  --features BITS   negotiate these, too, if the device offers them\n"
		"\n" NET_OPTIONS_USAGE,
		QUEUE_SIZE);
}

enum {
	OPT_WIRE = 256,
	OPT_OFFLOADS,
	OPT_FEATURES,
	OPT_HELP,
};

static const struct option long_options[] = {
	LOAD_OPTIONS,
	{"wire", required_argument, NULL, OPT_WIRE},
	{"offloads", no_argument, NULL, OPT_OFFLOADS},
	{"features", required_argument, NULL, OPT_FEATURES},
	{"help", no_argument, NULL, OPT_HELP},
	NET_OPTIONS,
	{0},
};

static void
take_option(struct client *c, int opt, const char *arg)
{
	if (load_option(&c->opt, opt, arg) || net_option(&c->net, opt, arg))
		return;
	switch (opt) {
	case OPT_WIRE:
		c->wire = arg;
		break;
	case OPT_OFFLOADS:
		c->net.features |= BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM);
		break;
	case OPT_FEATURES:
		c->net.features |= strtoull(arg, NULL, 0);
		break;
	case OPT_HELP:
		usage(stdout);
		exit(EXIT_SUCCESS);
	default:
		usage(stderr);
		exit(NET_OPTION_STATUS);
	}
}

int
main(int argc, char **argv)
{
	static struct client c = {.net = {.queue_size = QUEUE_SIZE, .pairs = 1}};
	int opt;

	load_options_init(&c.opt);
	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		take_option(&c, opt == 'h' ? OPT_HELP : opt, optarg);
	if (optind + 1 != argc) {
		usage(stderr);
		return NET_OPTION_STATUS;
	}
	if (c.opt.cpu >= 0)
		load_pin(c.opt.cpu);
	if (c.wire != NULL)
		c.wire_fd = wire_open(c.wire);
	load_init(&c.load, c.wire != NULL ? &ops_wire : &ops, &c);
	device_open(&c, argv[optind]);
	load_options_run(&c.opt, &c.load);
	net_dev_close(&c.dev);
	guest_mem_destroy(&c.mem);
	return EXIT_SUCCESS;
}
