/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_SF_TAP_FIXTURE_H
#define TEST_UNIT_SF_TAP_FIXTURE_H

/**
 * @file
 * Real TAPs in a network namespace of the test's own, and the far side of their wire, for the
 * suites sf_tap*.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "sf/sf.h"
#include "test.h"
#include "vring/vring.h"

#define REP	   "en3f0pf0sf2000"
#define N_MBUFS	   512u
#define MAX_FRAME  10240u
#define ARRIVAL_MS 10000  /* for what the kernel does in its own time */
#define ETH_TEST   0x88b5 /* IEEE: local experiments; no stack answers it */

static const struct rte_ether_addr device_mac = {{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};

static struct {
	const char *missing; /* feature of the machine, NULL if all are there */
	int own_ns;
	int ctl; /* for interface ioctls, in the test's namespace */
	struct rte_mempool *pool;
	const struct sf_ops *ops;
} tap;

static inline int
tap_group_setup(void **state)
{
	tap.own_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	tap.ctl = -1;
	if (access("/dev/net/tun", R_OK | W_OK) != 0)
		tap.missing = "/dev/net/tun";
	else if (unshare(CLONE_NEWNET) != 0)
		tap.missing = "network namespaces (CAP_SYS_ADMIN)";
	else
		tap.ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	tap.pool = rte_pktmbuf_pool_create(
		"test-sf-tap", N_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	tap.ops = sf_driver_find("tap");
	return tap.pool == NULL || tap.ops == NULL ? -1 : 0;
}

static inline int
tap_group_teardown(void **state)
{
	int ret = setns(tap.own_ns, CLONE_NEWNET);

	close(tap.own_ns);
	if (tap.ctl >= 0)
		close(tap.ctl);
	rte_mempool_free(tap.pool);
	return tap.missing != NULL ? 0 : ret;
}

static inline struct sf_params
params(uint16_t pairs, uint16_t mtu)
{
	struct sf_params p = {
		.sf_num = 2000,
		.rep = REP,
		.mac = device_mac,
		.mtu = mtu,
		.max_pairs = pairs,
		.pool = tap.pool,
	};

	return p;
}

static inline void
need_tap(void)
{
	if (tap.missing != NULL) {
		print_message("[  SKIPPED ] no %s\n", tap.missing);
		skip();
	}
}

static inline struct sf *
tap_new(uint16_t pairs, uint16_t mtu)
{
	const struct sf_params p = params(pairs, mtu);
	struct sf *sf = NULL;
	char err[256] = "";

	need_tap();
	if (tap.ops->create(&p, &sf, err, sizeof(err)) != 0)
		fail_msg("create: %s", err);
	return sf;
}

static inline void
tap_delete(struct sf *sf)
{
	tap.ops->destroy(sf);
	assert_int_equal(rte_mempool_avail_count(tap.pool), N_MBUFS);
}

static inline struct ifreq
rep_ioctl(unsigned long request, int value)
{
	struct ifreq ifr = {.ifr_name = REP};

	if (request == SIOCSIFFLAGS)
		ifr.ifr_flags = (short)value;
	else
		ifr.ifr_mtu = value;
	assert_int_equal(ioctl(tap.ctl, request, &ifr), 0);
	return ifr;
}

/* Asking makes the kernel act on a change of the carrier at once. */
static inline bool
rep_carrier(void)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
	struct ifreq ifr = {.ifr_name = REP, .ifr_data = (void *)&link};

	assert_int_equal(ioctl(tap.ctl, SIOCETHTOOL, &ifr), 0);
	return link.data != 0;
}

/* A packet socket on the representor; every frame has a struct virtio_net_hdr before it. */
static inline int
rep_socket(int ifindex)
{
	struct sockaddr_ll at = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	rep_ioctl(SIOCSIFFLAGS, IFF_UP);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static inline int
rep_open(struct sf *sf, uint16_t pairs, uint32_t rx_caps)
{
	int fd = rep_socket(sf->rep_ifindex);

	assert_int_equal(tap.ops->set_queues(sf, pairs, rx_caps), 0);
	assert_true(rep_carrier());
	return fd;
}

static inline bool
wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ARRIVAL_MS) == 1;
}

static inline size_t
frame_make(uint8_t *frame, size_t len)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)frame;

	for (size_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 7 + len);
	memset(&eth->dst_addr, 0xff, sizeof(eth->dst_addr));
	eth->src_addr = device_mac;
	eth->ether_type = htons(ETH_TEST);
	return len;
}

/*
 * IPv4/UDP with an unfinished checksum: the pseudo header's sum, as a stack with offload leaves it.
 */
static inline size_t
frame_make_udp(uint8_t *frame, uint16_t src_port)
{
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)frame;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(eth + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	const uint16_t payload = 64;

	frame_make(frame, sizeof(*eth) + sizeof(*ip) + sizeof(*udp) + payload);
	eth->ether_type = htons(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = htons(sizeof(*ip) + sizeof(*udp) + payload),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = htonl(0xc0000201u),
		.dst_addr = htonl(0xc0000202u),
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->src_port = htons(src_port);
	udp->dst_port = htons(9);
	udp->dgram_len = htons(sizeof(*udp) + payload);
	udp->dgram_cksum = rte_ipv4_phdr_cksum(ip, 0);
	return sizeof(*eth) + sizeof(*ip) + sizeof(*udp) + payload;
}

static const struct virtio_net_hdr needs_csum = {
	.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
	.csum_start = sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr),
	.csum_offset = offsetof(struct rte_udp_hdr, dgram_cksum),
};

static inline void
rep_send(int fd, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
	struct virtio_net_hdr none = {0};
	struct iovec iov[2] = {
		{(void *)(uintptr_t)(hdr != NULL ? hdr : &none), sizeof(none)},
		{(void *)(uintptr_t)frame, len},
	};

	assert_int_equal(writev(fd, iov, 2), sizeof(none) + len);
}

static inline struct rte_mbuf *
recv_one(struct sf *sf, uint16_t queue)
{
	struct rte_mbuf *m = NULL;

	assert_true(wait_readable(tap.ops->rx_fd(sf, queue)));
	assert_int_equal(tap.ops->rx_burst(sf, queue, &m, 1), 1);
	return m;
}

static inline void
assert_packet(struct rte_mbuf *m, const uint8_t *frame, size_t len)
{
	uint8_t buf[MAX_FRAME];

	assert_int_equal(rte_pktmbuf_pkt_len(m), len);
	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
	assert_memory_equal(rte_pktmbuf_read(m, 0, (uint32_t)len, buf), frame, len);
}

static inline void
send_flows(int fd, uint16_t n)
{
	uint8_t frame[MAX_FRAME];

	for (uint16_t i = 0; i < n; i++)
		rep_send(fd, &needs_csum, frame, frame_make_udp(frame, 1000 + i));
}

static inline unsigned int
recv_count(struct sf *sf, uint16_t queue)
{
	struct rte_mbuf *pkts[VRING_BURST];
	unsigned int n, all = 0;

	while ((n = tap.ops->rx_burst(sf, queue, pkts, RTE_DIM(pkts))) > 0) {
		rte_pktmbuf_free_bulk(pkts, n);
		all += n;
	}
	return all;
}

#endif /* TEST_UNIT_SF_TAP_FIXTURE_H */
