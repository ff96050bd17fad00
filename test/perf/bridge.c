/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Port 0 <-> TAP. */

#include "bridge.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/if_tun.h>
#include <linux/virtio_net.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_net.h>

/** Packets moved at a time. */
#define BURST 32u
/** Rounds without a packet before the first sleep. */
#define PATIENCE 32u
/** The largest packet that a TAP has, in buffers of this size. */
#define SEG_LEN	 16384u
#define SEGS_MAX 5u
/** Beside what the rings hold. */
#define POOL_SPARE 256u
#define TCP_CSUM   16u
#define UDP_CSUM   6u

struct bridge {
	int tap, intr;
	bool gso;
	struct rte_mempool *pool;
	struct rte_mbuf *spare[SEGS_MAX]; /* where the next packet of the TAP goes */
	struct rte_mbuf *waits;		  /* what the port had no room for */
};

static int
tap_open(const char *ifname, bool gso)
{
	const int hdr_len = sizeof(struct virtio_net_hdr);
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	const unsigned int offloads = gso ? TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 : 0;

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) != 0 ||
		ioctl(fd, TUNSETVNETHDRSZ, &hdr_len) != 0 ||
		ioctl(fd, TUNSETOFFLOAD, offloads) != 0)
		err(EXIT_FAILURE, "TAP %s", ifname);
	return fd;
}

static void
must_dpdk(int ret, const char *what)
{
	if (ret < 0)
		errx(EXIT_FAILURE, "%s: %s", what, rte_strerror(-ret));
}

static void
port_open(struct bridge *b, uint16_t queue_size)
{
	struct rte_eth_conf conf = {.intr_conf.rxq = 1};

	if (b->gso) {
		conf.rxmode.offloads = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM |
				       RTE_ETH_RX_OFFLOAD_TCP_LRO;
		conf.txmode.offloads = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM |
				       RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	}
	/* A transmit ring of indirect descriptors keeps as many of the largest packets as it has
	 * entries: the driver takes them back when it needs the entry. */
	b->pool = rte_pktmbuf_pool_create("bridge", queue_size * (SEGS_MAX + 1u) + POOL_SPARE, 0, 0,
		SEG_LEN + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	must_dpdk(b->pool != NULL ? 0 : -rte_errno, "packet buffers");
	must_dpdk(rte_eth_dev_configure(0, 1, 1, &conf), "configuring the port");
	must_dpdk(rte_eth_rx_queue_setup(0, 0, queue_size, SOCKET_ID_ANY, NULL, b->pool),
		"receive queue");
	must_dpdk(rte_eth_tx_queue_setup(0, 0, queue_size, SOCKET_ID_ANY, NULL), "transmit queue");
	must_dpdk(rte_eth_dev_start(0), "starting the port");
	b->intr = rte_eth_dev_rx_intr_ctl_q_get_fd(0, 0);
	must_dpdk(b->intr, "the port's interrupt");
}

/* ---- TAP -> port */

static void
offloads_to_mbuf(struct rte_mbuf *m, const struct virtio_net_hdr *hdr)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const uint64_t ip = eth->ether_type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6)
				    ? RTE_MBUF_F_TX_IPV6
				    : RTE_MBUF_F_TX_IPV4;

	if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0)
		return;
	m->ol_flags |= ip | (hdr->csum_offset == UDP_CSUM ? RTE_MBUF_F_TX_UDP_CKSUM
							  : RTE_MBUF_F_TX_TCP_CKSUM);
	m->l2_len = sizeof(*eth);
	m->l3_len = hdr->csum_start - sizeof(*eth);
	if ((hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_NONE)
		return;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->l4_len = hdr->hdr_len - hdr->csum_start;
	m->tso_segsz = hdr->gso_size;
}

/* The first `len` bytes of the spare buffers become a packet. */
static struct rte_mbuf *
packet_of(struct bridge *b, uint32_t len, const struct virtio_net_hdr *hdr)
{
	struct rte_mbuf *head = b->spare[0], *last = NULL;
	const uint32_t n = (len + SEG_LEN - 1) / SEG_LEN;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_mbuf *m = b->spare[i];

		b->spare[i] = NULL;
		m->data_len = (uint16_t)RTE_MIN(len - i * SEG_LEN, SEG_LEN);
		if (last != NULL)
			last->next = m;
		last = m;
	}
	head->nb_segs = (uint16_t)n;
	head->pkt_len = len;
	offloads_to_mbuf(head, hdr);
	return head;
}

static struct rte_mbuf *
tap_read(struct bridge *b)
{
	struct virtio_net_hdr hdr;
	struct iovec iov[SEGS_MAX + 1] = {{.iov_base = &hdr, .iov_len = sizeof(hdr)}};
	ssize_t len;

	for (uint32_t i = 0; i < SEGS_MAX; i++) {
		if (b->spare[i] == NULL)
			b->spare[i] = rte_pktmbuf_alloc(b->pool);
		if (b->spare[i] == NULL)
			return NULL;
		iov[i + 1] = (struct iovec){rte_pktmbuf_mtod(b->spare[i], void *), SEG_LEN};
	}
	len = readv(b->tap, iov, RTE_DIM(iov));
	if (len <= (ssize_t)(sizeof(hdr) + sizeof(struct rte_ether_hdr)))
		return NULL;
	return packet_of(b, (uint32_t)len - (uint32_t)sizeof(hdr), &hdr);
}

static bool
transmit(struct bridge *b)
{
	struct rte_mbuf *m[BURST];
	uint16_t n = 0, sent;

	if (b->waits != NULL) {
		if (rte_eth_tx_burst(0, 0, &b->waits, 1) == 0)
			return false;
		b->waits = NULL;
	}
	while (n < BURST && (m[n] = tap_read(b)) != NULL)
		n++;
	sent = rte_eth_tx_burst(0, 0, m, n);
	if (sent < n) {
		b->waits = m[sent];
		rte_pktmbuf_free_bulk(m + sent + 1, n - sent - 1u);
	}
	return n > 0;
}

/* ---- Port -> TAP */

static struct virtio_net_hdr
offloads_of_mbuf(const struct rte_mbuf *m)
{
	struct virtio_net_hdr hdr = {0};
	struct rte_net_hdr_lens lens;
	uint32_t type;

	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) != RTE_MBUF_F_RX_L4_CKSUM_NONE)
		return hdr;
	type = rte_net_get_ptype(m, &lens, RTE_PTYPE_ALL_MASK);
	hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr.csum_start = (uint16_t)(lens.l2_len + lens.l3_len);
	hdr.csum_offset = (type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_UDP ? UDP_CSUM : TCP_CSUM;
	if ((m->ol_flags & RTE_MBUF_F_RX_LRO) != 0) {
		hdr.gso_type = RTE_ETH_IS_IPV6_HDR(type) ? VIRTIO_NET_HDR_GSO_TCPV6
							 : VIRTIO_NET_HDR_GSO_TCPV4;
		hdr.gso_size = m->tso_segsz;
		hdr.hdr_len = (uint16_t)(hdr.csum_start + lens.l4_len);
	}
	return hdr;
}

static void
tap_write(const struct bridge *b, const struct rte_mbuf *m)
{
	struct virtio_net_hdr hdr = offloads_of_mbuf(m);
	struct iovec iov[SEGS_MAX + 1] = {{.iov_base = &hdr, .iov_len = sizeof(hdr)}};
	int n = 1;

	for (; m != NULL && n < (int)RTE_DIM(iov); m = m->next)
		iov[n++] = (struct iovec){rte_pktmbuf_mtod(m, void *), m->data_len};
	if (writev(b->tap, iov, n) < 0 && errno != EAGAIN && errno != EIO)
		err(EXIT_FAILURE, "write to the TAP");
}

static bool
receive(const struct bridge *b)
{
	struct rte_mbuf *m[BURST];
	const uint16_t n = rte_eth_rx_burst(0, 0, m, BURST);

	for (uint16_t i = 0; i < n; i++)
		tap_write(b, m[i]);
	if (n > 0)
		rte_pktmbuf_free_bulk(m, n);
	return n > 0;
}

/* ---- Both */

/* @return standard input has ended */
static bool
sleep_until_something(struct bridge *b)
{
	struct pollfd p[] = {{.fd = b->tap, .events = POLLIN}, {.fd = b->intr, .events = POLLIN},
		{.fd = STDIN_FILENO, .events = POLLIN}};
	uint64_t count;
	int timeout = -1;

	rte_eth_dev_rx_intr_enable(0, 0);
	if (b->waits != NULL) {
		/* Nothing tells of room in the transmit ring. */
		p[0].fd = -1;
		timeout = 1;
	}
	if (!receive(b))
		poll(p, RTE_DIM(p), timeout);
	rte_eth_dev_rx_intr_disable(0, 0);
	if ((p[1].revents & POLLIN) != 0 && read(b->intr, &count, sizeof(count)) < 0)
		return errno != EAGAIN;
	return p[2].revents != 0;
}

void
bridge_run(const char *ifname, bool gso, uint16_t queue_size)
{
	static struct bridge b;
	unsigned int quiet = 0;

	b.gso = gso;
	b.tap = tap_open(ifname, gso);
	port_open(&b, queue_size);
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		bool moved = receive(&b);

		moved |= transmit(&b);
		quiet = moved ? 0 : quiet + 1;
		if (quiet >= PATIENCE) {
			if (sleep_until_something(&b))
				break;
			quiet = 0;
		}
	}
	close(b.tap);
}
