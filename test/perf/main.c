/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* virtnet-perf: drives a vfio-user network device as fast as one thread can, and prints what it saw
 * as JSON. */

#include <err.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <linux/if_packet.h>
#include <linux/virtio_net.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_ether.h>

#include "net_driver/must.h"
#include "net_driver/net_dev.h"
#include "net_driver/options.h"

#define BURST	   32u
#define HDR_LEN	   ((uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf))
#define BUFFER_LEN 2048u
/* Not a power of two, or the first lines of all buffers would share a few sets of the caches. */
#define BUFFER_STEP (BUFFER_LEN + 2 * RTE_CACHE_LINE_SIZE)
#define QUEUE_SIZE  1024u
#define FRAME_MIN   60u
#define FRAME_MAX   1518u
#define ETH_TEST    0x88b5 /* IEEE 802: local experiments; no stack answers it */

#define BIT(n)	    (UINT64_C(1) << (n))

struct options {
	const char *mode;
	const char *wire; /* interface that frames are sent into, for mode rx */
	double seconds, warmup;
	uint16_t size;
	bool send, indirect;
	int cpu;
	struct net_dev_params net;
};

/* A frame of ours; the sequence number shows losses when it comes back. */
struct frame {
	struct virtio_net_hdr_mrg_rxbuf hdr;
	struct rte_ether_hdr eth;
	uint16_t pad;
	uint32_t seq;
};

struct counts {
	uint64_t tx, rx, wire, lost, disorder, other;
	uint64_t busy, total; /* cycles */
};

struct perf {
	struct options opt;
	struct guest_mem mem;
	struct net_dev dev;
	uint64_t tx_base, rx_base;
	uint64_t tx_seq, rx_seq; /* chains added; a buffer's number is that of its chain, modulo the
				    ring's size */
	uint32_t next;		 /* sequence number expected back */
	int wire_fd;
	uint8_t wire_frame[FRAME_MAX];
	struct mmsghdr wire_msg[BURST];
	struct iovec wire_iov;
	struct counts n;
};

static void
frame_init(struct frame *f)
{
	memset(f, 0, sizeof(*f));
	memset(&f->eth.dst_addr, 0xff, sizeof(f->eth.dst_addr));
	f->eth.src_addr.addr_bytes[0] = 0x02;
	f->eth.ether_type = rte_cpu_to_be_16(ETH_TEST);
}

static void
publish(struct perf *p, struct net_dev_queue *q)
{
	const int ret = net_dev_publish(&p->dev, q);

	must(ret, "kick");
	if (ret > 0)
		must(net_dev_process(&p->dev), "connection");
}

/* Put up to n chains of one buffer each into a queue, buffers taken in turn: the device uses them
 * in order. */
static uint16_t
add(struct perf *p, struct net_dev_queue *q, uint64_t base, uint64_t *seq, uint32_t len, bool in)
{
	struct vring_buf bufs[BURST];
	const uint16_t n = RTE_MIN(q->ring.n_free, (uint16_t)BURST);

	for (uint16_t i = 0; i < n; i++) {
		bufs[i].iova = base + ((*seq + i) & q->ring.mask) * BUFFER_STEP;
		bufs[i].len = len;
		if (!in) {
			/* What a driver writes for each packet: the header, and here a number. */
			struct frame *f = guest_mem_va(&p->mem, bufs[i].iova);

			memset(&f->hdr, 0, sizeof(f->hdr));
			f->seq = (uint32_t)(*seq + i);
		}
	}
	if (n == 0)
		return 0;
	if (!in && p->opt.indirect) {
		for (uint16_t i = 0; i < n; i++)
			if (vring_driver_add(&q->ring, &bufs[i], 1, 0, true, *seq + i) != 0)
				errx(EXIT_FAILURE, "no indirect descriptors");
	} else {
		vring_driver_add_burst(&q->ring, bufs, n, in, *seq);
	}
	*seq += n;
	publish(p, q);
	return n;
}

static void
check_ring(const struct net_dev_queue *q)
{
	if (q->ring.broken)
		errx(EXIT_FAILURE, "queue %u: the device has used what it was not given", q->index);
}

static unsigned int
transmit(struct perf *p)
{
	struct net_dev_queue *q = &p->dev.queue[NET_DEV_TX];
	struct vring_used_chain used[BURST];
	const uint16_t done = vring_driver_get_burst(&q->ring, used, BURST);

	check_ring(q);
	p->n.tx += done;
	return add(p, q, p->tx_base, &p->tx_seq, HDR_LEN + p->opt.size, false) + done;
}

static void
look_at(struct perf *p, const struct vring_used_chain *used)
{
	const uint64_t iova =
		p->rx_base + (used->token & p->dev.queue[NET_DEV_RX].ring.mask) * BUFFER_STEP;
	const struct frame *f = guest_mem_va(&p->mem, iova);
	const uint32_t seq = f->seq;

	if (used->len != HDR_LEN + p->opt.size || f->eth.ether_type != rte_cpu_to_be_16(ETH_TEST)) {
		p->n.other++;
		return;
	}
	p->n.rx++;
	if (!p->opt.send)
		return;
	if ((int32_t)(seq - p->next) < 0)
		p->n.disorder++;
	else
		p->n.lost += seq - p->next;
	p->next = seq + 1;
}

static unsigned int
receive(struct perf *p)
{
	struct net_dev_queue *q = &p->dev.queue[NET_DEV_RX];
	struct vring_used_chain used[BURST];
	const uint16_t n = vring_driver_get_burst(&q->ring, used, BURST);

	check_ring(q);
	for (uint16_t i = 0; i < n; i++)
		look_at(p, &used[i]);
	if (n > 0)
		add(p, q, p->rx_base, &p->rx_seq, BUFFER_LEN, true);
	return n;
}

/* The far side of a TAP. What it cannot take now is gone, as on a wire. */
static unsigned int
send_into_wire(struct perf *p)
{
	const int n = sendmmsg(p->wire_fd, p->wire_msg, BURST, MSG_DONTWAIT);

	if (n > 0)
		p->n.wire += (unsigned int)n;
	return n > 0 ? (unsigned int)n : 0;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* @return seconds that it took */
static double
run(struct perf *p, double seconds)
{
	const double begin = now();
	const uint64_t start = rte_rdtsc();
	uint64_t last = start;
	double took;

	memset(&p->n, 0, sizeof(p->n));
	do {
		/* The clock is looked at now and then only. */
		for (unsigned int round = 0; round < 1024; round++) {
			unsigned int moved = receive(p);
			uint64_t t;

			if (p->opt.send)
				moved += transmit(p);
			if (p->wire_fd >= 0)
				moved += send_into_wire(p);
			t = rte_rdtsc();
			if (moved > 0)
				p->n.busy += t - last;
			last = t;
		}
		took = now() - begin;
	} while (took < seconds);
	p->n.total = last - start;
	return took;
}

static void
wire_open(struct perf *p)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(p->opt.wire)};
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)p->wire_frame;
	const int one = 1;

	/* Protocol 0: it only sends. */
	p->wire_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->wire_fd < 0 || bind(p->wire_fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
		setsockopt(p->wire_fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) != 0)
		err(EXIT_FAILURE, "%s", p->opt.wire);
	memset(&eth->dst_addr, 0xff, sizeof(eth->dst_addr));
	eth->src_addr.addr_bytes[0] = 0x02;
	eth->ether_type = rte_cpu_to_be_16(ETH_TEST);
	p->wire_iov = (struct iovec){.iov_base = p->wire_frame, .iov_len = p->opt.size};
	for (unsigned int i = 0; i < BURST; i++)
		p->wire_msg[i].msg_hdr = (struct msghdr){.msg_iov = &p->wire_iov, .msg_iovlen = 1};
}

static void
buffers_create(struct perf *p)
{
	const uint16_t n_tx = p->dev.queue[NET_DEV_TX].ring.size,
		       n_rx = p->dev.queue[NET_DEV_RX].ring.size;

	p->tx_base = guest_mem_alloc(&p->mem, (uint64_t)n_tx * BUFFER_STEP);
	p->rx_base = guest_mem_alloc(&p->mem, (uint64_t)n_rx * BUFFER_STEP);
	for (uint16_t i = 0; i < n_tx; i++)
		frame_init(guest_mem_va(&p->mem, p->tx_base + (uint64_t)i * BUFFER_STEP));
	while (add(p, &p->dev.queue[NET_DEV_RX], p->rx_base, &p->rx_seq, BUFFER_LEN, true) > 0)
		;
}

/* Milliseconds for which this thread was ready to run and something else ran. */
static double
waited_ms(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	unsigned long long ran = 0, waited = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return (double)waited / 1e6;
}

static void
print_result(const struct perf *p, double seconds, double waited)
{
	const struct counts *n = &p->n;

	printf("{\"mode\": \"%s\", \"size\": %u, \"queue_size\": %u, \"features\": \"0x%" PRIx64
	       "\", "
	       "\"seconds\": %.3f, \"tx_packets\": %" PRIu64 ", \"rx_packets\": %" PRIu64 ", "
	       "\"wire_packets\": %" PRIu64 ", \"other_packets\": %" PRIu64 ", \"lost\": %" PRIu64
	       ", "
	       "\"disorder\": %" PRIu64 ", \"tx_pps\": %.0f, \"rx_pps\": %.0f, \"kicks\": %" PRIu64
	       ", "
	       "\"driver_busy\": %.3f, \"waited_ms\": %.3f}\n",
		p->opt.mode, p->opt.size, p->dev.queue[NET_DEV_TX].ring.size, p->dev.features,
		seconds, n->tx, n->rx, n->wire, n->other, n->lost, n->disorder,
		(double)n->tx / seconds, (double)n->rx / seconds,
		p->dev.queue[NET_DEV_TX].kicks + p->dev.queue[NET_DEV_RX].kicks,
		n->total != 0 ? (double)n->busy / (double)n->total : 0.0, waited);
}

static void
usage(FILE *to)
{
	fprintf(to,
		"Usage: virtnet-perf [OPTION...] SOCKET\n"
		"\n"
		"Drives the network device behind a vfio-user socket, one queue pair, from one "
		"polling thread.\n"
		"\n"
		"  --mode MODE       tx: send; rx: receive; loop: send and receive what comes back "
		"(tx)\n"
		"  --size N          bytes of a frame without its checksum, %u..%u (64)\n"
		"  --time SECONDS    measured (1)\n"
		"  --warmup SECONDS  before that (0.2)\n"
		"  --cpu N           run on this CPU\n"
		"  --wire IFNAME     also send frames into this interface, for --mode rx on a TAP\n"
		"  --offloads        negotiate checksum offloads, so that headers are looked at\n"
		"\n" NET_OPTIONS_USAGE,
		FRAME_MIN, FRAME_MAX, QUEUE_SIZE);
}

enum {
	OPT_MODE = 256,
	OPT_SIZE,
	OPT_TIME,
	OPT_WARMUP,
	OPT_CPU,
	OPT_WIRE,
	OPT_OFFLOADS,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"mode", required_argument, NULL, OPT_MODE},
	{"size", required_argument, NULL, OPT_SIZE},
	{"time", required_argument, NULL, OPT_TIME},
	{"warmup", required_argument, NULL, OPT_WARMUP},
	{"cpu", required_argument, NULL, OPT_CPU},
	{"wire", required_argument, NULL, OPT_WIRE},
	{"offloads", no_argument, NULL, OPT_OFFLOADS},
	{"help", no_argument, NULL, OPT_HELP},
	NET_OPTIONS,
	{0},
};

static void
take_option(struct options *o, int opt, const char *arg)
{
	if (net_option(&o->net, opt, arg))
		return;
	switch (opt) {
	case OPT_MODE:
		if (strcmp(arg, "tx") != 0 && strcmp(arg, "rx") != 0 && strcmp(arg, "loop") != 0)
			errx(NET_OPTION_STATUS, "--mode: '%s' is not one of tx, rx, loop", arg);
		o->mode = arg;
		o->send = strcmp(arg, "rx") != 0;
		break;
	case OPT_SIZE:
		o->size = (uint16_t)net_option_number(arg, "--size", FRAME_MIN, FRAME_MAX);
		break;
	case OPT_TIME:
		o->seconds = net_option_real(arg, "--time", 0.001, 3600);
		break;
	case OPT_WARMUP:
		o->warmup = net_option_real(arg, "--warmup", 0, 3600);
		break;
	case OPT_CPU:
		o->cpu = (int)net_option_number(arg, "--cpu", 0, CPU_SETSIZE - 1);
		break;
	case OPT_WIRE:
		o->wire = arg;
		break;
	case OPT_OFFLOADS:
		o->net.features |= BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM);
		break;
	case OPT_HELP:
		usage(stdout);
		exit(EXIT_SUCCESS);
	default:
		usage(stderr);
		exit(NET_OPTION_STATUS);
	}
}

static void
pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(EXIT_FAILURE, "CPU %d", cpu);
}

static void
device_open(struct perf *p, const char *path)
{
	struct net_dev_params *net = &p->opt.net;

	p->opt.indirect = (net->features & BIT(VIRTIO_RING_F_INDIRECT_DESC)) != 0;
	guest_mem_create(&p->mem,
		net_dev_memory(net) + (uint64_t)NET_DEV_DIRS * net->queue_size * BUFFER_STEP, true);
	net->path = path;
	net->mem = &p->mem;
	net_dev_open(&p->dev, net);
	buffers_create(p);
}

int
main(int argc, char **argv)
{
	static struct perf p = {
		.opt = {.mode = "tx",
			.send = true,
			.seconds = 1,
			.warmup = 0.2,
			.size = 64,
			.cpu = -1,
			.net = {.queue_size = QUEUE_SIZE, .pairs = 1}},
		.wire_fd = -1,
	};
	double seconds, waited;
	int opt;

	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		take_option(&p.opt, opt == 'h' ? OPT_HELP : opt, optarg);
	if (optind + 1 != argc) {
		usage(stderr);
		return NET_OPTION_STATUS;
	}
	if (p.opt.cpu >= 0)
		pin(p.opt.cpu);
	device_open(&p, argv[optind]);
	if (p.opt.wire != NULL)
		wire_open(&p);
	run(&p, p.opt.warmup);
	waited = waited_ms();
	seconds = run(&p, p.opt.seconds);
	waited = waited_ms() - waited;
	net_dev_close(&p.dev);
	guest_mem_destroy(&p.mem);
	print_result(&p, seconds, waited);
	return EXIT_SUCCESS;
}
