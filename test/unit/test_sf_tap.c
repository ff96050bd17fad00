/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "tap" with real TAPs, in a network namespace of the test's own. */

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
#define ARRIVAL_MS 2000	  /* for what the kernel does in its own time */
#define ETH_TEST   0x88b5 /* IEEE: local experiments; no stack answers it */

static const struct rte_ether_addr device_mac = {{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};

static struct {
	const char *missing; /* feature of the machine, NULL if all are there */
	int own_ns;
	int ctl; /* for interface ioctls, in the test's namespace */
	struct rte_mempool *pool;
	const struct sf_ops *ops;
} tap;

static int
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

static int
tap_group_teardown(void **state)
{
	int ret = setns(tap.own_ns, CLONE_NEWNET);

	close(tap.own_ns);
	if (tap.ctl >= 0)
		close(tap.ctl);
	rte_mempool_free(tap.pool);
	return tap.missing != NULL ? 0 : ret;
}

static struct sf_params
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

static void
need_tap(void)
{
	if (tap.missing != NULL) {
		print_message("[  SKIPPED ] no %s\n", tap.missing);
		skip();
	}
}

static struct sf *
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

static void
tap_delete(struct sf *sf)
{
	tap.ops->destroy(sf);
	assert_int_equal(rte_mempool_avail_count(tap.pool), N_MBUFS);
}

static struct ifreq
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
static bool
rep_carrier(void)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
	struct ifreq ifr = {.ifr_name = REP, .ifr_data = (void *)&link};

	assert_int_equal(ioctl(tap.ctl, SIOCETHTOOL, &ifr), 0);
	return link.data != 0;
}

/* A packet socket on the representor; every frame has a struct virtio_net_hdr before it. */
static int
rep_open(struct sf *sf, uint16_t pairs, bool rx_csum)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = sf->rep_ifindex};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	rep_ioctl(SIOCSIFFLAGS, IFF_UP);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(tap.ops->set_queues(sf, pairs, rx_csum), 0);
	assert_true(rep_carrier());
	return fd;
}

static bool
wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ARRIVAL_MS) == 1;
}

static size_t
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
static size_t
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

static void
rep_send(int fd, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
	struct virtio_net_hdr none = {0};
	struct iovec iov[2] = {
		{(void *)(uintptr_t)(hdr != NULL ? hdr : &none), sizeof(none)},
		{(void *)(uintptr_t)frame, len},
	};

	assert_int_equal(writev(fd, iov, 2), sizeof(none) + len);
}

static size_t
rep_recv(int fd, struct virtio_net_hdr *hdr, uint8_t *frame)
{
	struct iovec iov[2] = {{hdr, sizeof(*hdr)}, {frame, MAX_FRAME}};

	assert_true(wait_readable(fd));
	return (size_t)readv(fd, iov, 2) - sizeof(*hdr);
}

/*
 * A packet as a vring hands it over: header before the data, in segments of at most seg_len bytes.
 */
static struct rte_mbuf *
packet_make(const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len, size_t seg_len)
{
	struct rte_mbuf *first = NULL, *m;

	for (size_t at = 0; at < len; at += seg_len) {
		m = rte_pktmbuf_alloc(tap.pool);
		assert_non_null(m);
		m->data_off = VRING_MBUF_DATA_OFF;
		memcpy(rte_pktmbuf_append(m, (uint16_t)RTE_MIN(seg_len, len - at)), frame + at,
			RTE_MIN(seg_len, len - at));
		if (first == NULL)
			first = m;
		else
			assert_int_equal(rte_pktmbuf_chain(first, m), 0);
	}
	memset(VRING_MBUF_HDR(first), 0, sizeof(struct virtio_net_hdr_mrg_rxbuf));
	if (hdr != NULL)
		VRING_MBUF_HDR(first)->hdr = *hdr;
	return first;
}

static struct rte_mbuf *
recv_one(struct sf *sf, uint16_t queue)
{
	struct rte_mbuf *m = NULL;

	assert_true(wait_readable(tap.ops->rx_fd(sf, queue)));
	assert_int_equal(tap.ops->rx_burst(sf, queue, &m, 1), 1);
	return m;
}

static void
assert_packet(struct rte_mbuf *m, const uint8_t *frame, size_t len)
{
	uint8_t buf[MAX_FRAME];

	assert_int_equal(rte_pktmbuf_pkt_len(m), len);
	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
	assert_memory_equal(rte_pktmbuf_read(m, 0, (uint32_t)len, buf), frame, len);
}

static void
a_new_tap_has_its_name_and_mtu_and_is_down(void **state)
{
	struct sf *sf = tap_new(1, 1400);

	assert_string_equal(sf->rep, REP);
	assert_int_equal(sf->rep_ifindex, if_nametoindex(REP));
	assert_int_equal(rep_ioctl(SIOCGIFMTU, 0).ifr_mtu, 1400);
	assert_false(rep_ioctl(SIOCGIFFLAGS, 0).ifr_flags & IFF_UP);
	assert_false(rep_carrier());
	tap_delete(sf);
}

static void
the_representor_has_a_stable_local_mac_that_is_not_the_devices(void **state)
{
	struct rte_ether_addr first, again;
	struct sf *sf = tap_new(1, 1500);

	memcpy(&first, rep_ioctl(SIOCGIFHWADDR, 0).ifr_hwaddr.sa_data, sizeof(first));
	tap_delete(sf);
	sf = tap_new(1, 1500);
	memcpy(&again, rep_ioctl(SIOCGIFHWADDR, 0).ifr_hwaddr.sa_data, sizeof(again));
	tap_delete(sf);
	assert_true(rte_is_same_ether_addr(&first, &again));
	assert_true(rte_is_local_admin_ether_addr(&first));
	assert_true(rte_is_valid_assigned_ether_addr(&first));
	assert_false(rte_is_same_ether_addr(&first, &device_mac));
}

static void
the_kernel_puts_no_ipv6_address_on_the_representor(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	char line[256];
	FILE *f = fopen("/proc/thread-self/net/if_inet6", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		assert_null(strstr(line, REP));
	if (f != NULL)
		fclose(f);
	close(fd);
	tap_delete(sf);
}

static void
the_carrier_follows_queues_and_link(void **state)
{
	struct sf *sf = tap_new(2, 1500);

	rep_ioctl(SIOCSIFFLAGS, IFF_UP);
	assert_false(rep_carrier());
	assert_int_equal(tap.ops->set_queues(sf, 2, false), 0);
	assert_true(rep_carrier());
	assert_int_equal(tap.ops->set_link(sf, false), 0);
	assert_false(rep_carrier());
	assert_int_equal(tap.ops->set_queues(sf, 1, false), 0);
	assert_false(rep_carrier());
	assert_int_equal(tap.ops->set_link(sf, true), 0);
	assert_true(rep_carrier());
	assert_int_equal(tap.ops->set_queues(sf, 0, false), 0);
	assert_false(rep_carrier());
	tap_delete(sf);
}

static void
frames_arrive_byte_for_byte_from_the_representor(void **state)
{
	static const size_t lengths[] = {14, 60, 64, 1514, 1518};
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	uint8_t frame[MAX_FRAME];

	rep_ioctl(SIOCSIFMTU, 1504);
	for (size_t i = 0; i < RTE_DIM(lengths); i++) {
		struct rte_mbuf *m;

		rep_send(fd, NULL, frame, frame_make(frame, lengths[i]));
		m = recv_one(sf, 0);
		assert_packet(m, frame, lengths[i]);
		assert_int_equal(m->data_off, VRING_MBUF_DATA_OFF);
		assert_int_equal(VRING_MBUF_HDR(m)->num_buffers, rte_cpu_to_le_16(1));
		rte_pktmbuf_free(m);
	}
	close(fd);
	tap_delete(sf);
}

static void
frames_arrive_byte_for_byte_at_the_representor(void **state)
{
	static const struct {
		size_t len, seg_len;
	} cases[] = {
		{14, 64}, {60, 64}, {1514, 2000}, {1514, 500}, {9014, 2000}, {9014, 9014 / 63}};
	struct sf *sf = tap_new(1, 9000);
	int fd = rep_open(sf, 1, false);
	uint8_t frame[MAX_FRAME], got[MAX_FRAME];
	struct virtio_net_hdr hdr;

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct rte_mbuf *m =
			packet_make(NULL, frame, frame_make(frame, cases[i].len), cases[i].seg_len);

		assert_int_equal(tap.ops->tx_burst(sf, 0, &m, 1), 1);
		assert_int_equal(rep_recv(fd, &hdr, got), cases[i].len);
		assert_memory_equal(got, frame, cases[i].len);
	}
	close(fd);
	tap_delete(sf);
}

static void
a_9000_byte_frame_arrives_in_a_chain(void **state)
{
	struct sf *sf = tap_new(1, 9000);
	int fd = rep_open(sf, 1, false);
	uint8_t frame[MAX_FRAME];
	struct rte_mbuf *m;

	rep_send(fd, NULL, frame, frame_make(frame, 9014));
	m = recv_one(sf, 0);
	assert_packet(m, frame, 9014);
	assert_true(m->nb_segs > 1);
	rte_pktmbuf_free(m);
	close(fd);
	tap_delete(sf);
}

static void
an_unfinished_checksum_goes_out_as_it_is(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	uint8_t frame[MAX_FRAME], got[MAX_FRAME];
	struct virtio_net_hdr hdr;
	size_t len = frame_make_udp(frame, 1);
	struct rte_mbuf *m = packet_make(&needs_csum, frame, len, 2000);

	assert_true(sf->caps & SF_CAP_TX_CSUM);
	assert_int_equal(tap.ops->tx_burst(sf, 0, &m, 1), 1);
	assert_int_equal(rep_recv(fd, &hdr, got), len);
	assert_memory_equal(got, frame, len);
	assert_int_equal(hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(hdr.csum_start, needs_csum.csum_start);
	assert_int_equal(hdr.csum_offset, needs_csum.csum_offset);
	close(fd);
	tap_delete(sf);
}

static void
assert_udp_checksum(struct rte_mbuf *m)
{
	struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, sizeof(struct rte_ether_hdr));
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	uint16_t sum = udp->dgram_cksum;

	udp->dgram_cksum = 0;
	assert_int_equal(sum, rte_ipv4_udptcp_cksum(ip, udp));
}

static void
an_unfinished_checksum_is_delivered_only_when_asked_for(void **state)
{
	for (int rx_csum = 0; rx_csum < 2; rx_csum++) {
		struct sf *sf = tap_new(1, 1500);
		int fd = rep_open(sf, 1, rx_csum);
		uint8_t frame[MAX_FRAME];
		size_t len = frame_make_udp(frame, 1);
		struct rte_mbuf *m;

		rep_send(fd, &needs_csum, frame, len);
		m = recv_one(sf, 0);
		assert_int_equal(
			VRING_MBUF_HDR(m)->hdr.flags, rx_csum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
		assert_int_equal(VRING_MBUF_HDR(m)->hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		if (rx_csum)
			assert_packet(m, frame, len);
		else
			assert_udp_checksum(m);
		rte_pktmbuf_free(m);
		close(fd);
		tap_delete(sf);
	}
}

static void
send_flows(int fd, uint16_t n)
{
	uint8_t frame[MAX_FRAME];

	for (uint16_t i = 0; i < n; i++)
		rep_send(fd, &needs_csum, frame, frame_make_udp(frame, 1000 + i));
}

static unsigned int
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

static void
packets_go_to_enabled_queues_only(void **state)
{
	static const uint16_t steps[] = {1, 4, 2, 3, 1, 4};
	struct sf *sf = tap_new(4, 1500);
	int fd = rep_open(sf, 1, true);

	for (size_t i = 0; i < RTE_DIM(steps); i++) {
		unsigned int got[4] = {0}, all = 0, used = 0;

		assert_int_equal(tap.ops->set_queues(sf, steps[i], true), 0);
		send_flows(fd, 64);
		for (uint16_t q = 0; q < steps[i]; q++) {
			got[q] = recv_count(sf, q);
			all += got[q];
			used += got[q] > 0;
		}
		assert_int_equal(all, 64);
		assert_true(used > 1 || steps[i] == 1);
	}
	close(fd);
	tap_delete(sf);
}

static void
frames_sent_on_any_enabled_queue_arrive(void **state)
{
	struct sf *sf = tap_new(4, 1500);
	int fd = rep_open(sf, 4, false);
	uint8_t frame[MAX_FRAME], got[MAX_FRAME];
	struct virtio_net_hdr hdr;

	for (uint16_t q = 0; q < 4; q++) {
		struct rte_mbuf *m = packet_make(NULL, frame, frame_make(frame, 100u + q), 2000);

		assert_int_equal(tap.ops->tx_burst(sf, q, &m, 1), 1);
		assert_int_equal(rep_recv(fd, &hdr, got), 100 + q);
	}
	close(fd);
	tap_delete(sf);
}

static void
a_new_driver_does_not_see_the_frames_of_the_one_before(void **state)
{
	struct sf *sf = tap_new(2, 1500);
	int fd = rep_open(sf, 2, false);

	send_flows(fd, 64);
	assert_int_equal(tap.ops->set_queues(sf, 0, false), 0);
	assert_int_equal(tap.ops->set_queues(sf, 2, false), 0);
	assert_int_equal(recv_count(sf, 0) + recv_count(sf, 1), 0);
	assert_true(rep_carrier());
	send_flows(fd, 8);
	assert_int_equal(recv_count(sf, 0) + recv_count(sf, 1), 8);
	close(fd);
	tap_delete(sf);
}

static void
more_pairs_than_the_device_has_are_refused(void **state)
{
	struct sf *sf = tap_new(2, 1500);

	assert_int_equal(tap.ops->set_queues(sf, 3, false), -EINVAL);
	tap_delete(sf);
}

static void
an_empty_read_takes_no_mbufs(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	struct rte_mbuf *m;
	unsigned int left;

	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	left = rte_mempool_avail_count(tap.pool);
	for (int i = 0; i < 100; i++)
		assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	assert_int_equal(rte_mempool_avail_count(tap.pool), left);
	close(fd);
	tap_delete(sf);
}

static void
a_frame_waits_in_the_kernel_while_there_are_no_mbufs(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	struct rte_mbuf *all[N_MBUFS], *m;
	struct sf_queue_stats stats;
	uint8_t frame[MAX_FRAME];

	assert_int_equal(rte_pktmbuf_alloc_bulk(tap.pool, all, N_MBUFS), 0);
	rep_send(fd, NULL, frame, frame_make(frame, 64));
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	tap.ops->queue_stats(sf, 0, &stats);
	assert_int_equal(stats.rx_no_mbuf, 1);
	assert_true(wait_readable(tap.ops->rx_fd(sf, 0)));
	rte_pktmbuf_free_bulk(all, N_MBUFS);
	m = recv_one(sf, 0);
	assert_packet(m, frame, 64);
	rte_pktmbuf_free(m);
	close(fd);
	tap_delete(sf);
}

static void
queues_that_go_give_their_mbufs_back(void **state)
{
	struct sf *sf = tap_new(4, 1500);
	struct rte_mbuf *m;

	for (uint16_t pairs = 5; pairs-- > 0;) {
		assert_int_equal(tap.ops->set_queues(sf, pairs, false), 0);
		for (uint16_t q = 0; q < pairs; q++) /* takes one, for the next read */
			assert_int_equal(tap.ops->rx_burst(sf, q, &m, 1), 0);
		assert_int_equal(rte_mempool_in_use_count(tap.pool), pairs);
	}
	tap_delete(sf);
}

static void
a_frame_above_the_mtu_is_dropped_and_counted(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	uint8_t frame[MAX_FRAME];
	struct sf_queue_stats stats;
	struct rte_mbuf *m;

	rep_ioctl(SIOCSIFMTU, 9216);
	rep_send(fd, NULL, frame, frame_make(frame, 9014));
	rep_send(fd, NULL, frame, frame_make(frame, 64));
	assert_true(wait_readable(tap.ops->rx_fd(sf, 0)));
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1) + tap.ops->rx_burst(sf, 0, &m, 1), 1);
	assert_packet(m, frame, 64);
	rte_pktmbuf_free(m);
	tap.ops->queue_stats(sf, 0, &stats);
	assert_int_equal(stats.rx_errors, 1);
	close(fd);
	tap_delete(sf);
}

static void
a_larger_mtu_takes_effect_on_queues_in_use(void **state)
{
	static const uint16_t mtus[] = {9216, 68, 1280, 9000, 1500};
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	uint8_t frame[MAX_FRAME];

	for (size_t i = 0; i < RTE_DIM(mtus); i++) {
		struct rte_mbuf *m;

		assert_int_equal(tap.ops->set_mtu(sf, mtus[i]), 0);
		assert_int_equal(rep_ioctl(SIOCGIFMTU, 0).ifr_mtu, mtus[i]);
		rep_send(fd, NULL, frame, frame_make(frame, RTE_ETHER_HDR_LEN + mtus[i]));
		m = recv_one(sf, 0);
		assert_packet(m, frame, RTE_ETHER_HDR_LEN + mtus[i]);
		rte_pktmbuf_free(m);
	}
	assert_int_equal(tap.ops->set_mtu(sf, 9217), -EINVAL);
	assert_int_equal(rep_ioctl(SIOCGIFMTU, 0).ifr_mtu, 1500);
	close(fd);
	tap_delete(sf);
}

static void
frames_that_the_kernel_refuses_are_counted(void **state)
{
	static const struct virtio_net_hdr bad = {.gso_type = 0x7f};
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, false);
	uint8_t frame[MAX_FRAME];
	size_t len = frame_make(frame, 64);
	struct rte_mbuf *pkts[] = {
		packet_make(&bad, frame, len, 64), packet_make(NULL, frame, len, 64),
		packet_make(NULL, frame, len, 1), /* 64 segments: all that are taken */
	};
	struct sf_queue_stats stats;

	rte_pktmbuf_chain(pkts[2], packet_make(NULL, frame, 1, 1));
	assert_int_equal(tap.ops->tx_burst(sf, 0, pkts, RTE_DIM(pkts)), 1);
	tap.ops->queue_stats(sf, 0, &stats);
	assert_int_equal(stats.tx_errors, 2);
	rep_ioctl(SIOCSIFFLAGS, 0);
	pkts[0] = packet_make(NULL, frame, len, 64);
	assert_int_equal(tap.ops->tx_burst(sf, 0, pkts, 1), 0);
	tap.ops->queue_stats(sf, 0, &stats);
	assert_int_equal(stats.tx_errors, 3);
	close(fd);
	tap_delete(sf);
}

static void
a_representor_moved_to_another_namespace_still_obeys(void **state)
{
	struct sf *sf = tap_new(2, 1500);
	int ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), ret, ret2;

	/* The thread leaves the representor behind: the same to both as if it had been moved. */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	ret = tap.ops->set_mtu(sf, 2000);
	ret2 = tap.ops->set_queues(sf, 2, false);
	assert_int_equal(if_nametoindex(REP), 0);
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
	close(ns);
	assert_int_equal(ret, 0);
	assert_int_equal(ret2, 0);
	assert_int_equal(rep_ioctl(SIOCGIFMTU, 0).ifr_mtu, 2000);
	tap_delete(sf);
}

static void
an_existing_name_is_refused_with_a_sentence(void **state)
{
	struct sf *sf = tap_new(1, 1500), *second = NULL;
	const struct sf_params p = params(1, 1500);
	char err[256] = "";

	assert_int_equal(tap.ops->create(&p, &second, err, sizeof(err)), -EEXIST);
	assert_string_equal(err, REP ": an interface of this name exists already");
	assert_null(second);
	tap_delete(sf);
}

static void
bad_parameters_are_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *rep, *args;
		uint16_t mtu;
		const char *sentence;
	} cases[] = {
		{"", NULL, 1500, "is no name for a representor"},
		{"en%d", NULL, 1500, "is no name for a representor"},
		{"a/b", NULL, 1500, "is no name for a representor"},
		{REP, NULL, 67, "MTU 67 is out of range (68..9216)"},
		{REP, NULL, 9217, "MTU 9217 is out of range (68..9216)"},
		{REP, "queues=2", 1500, "queues is unknown to tap; allowed: ipv6"},
		{REP, "ipv6=yes", 1500, "'yes' is not one of 0, 1"},
		{REP, "ipv6", 1500, "'' is not one of 0, 1"},
	};

	need_tap();
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct sf_params p = params(1, cases[i].mtu);
		struct sf *sf = NULL;
		char err[256] = "";

		snprintf(p.rep, sizeof(p.rep), "%s", cases[i].rep);
		p.args = cases[i].args;
		assert_int_equal(tap.ops->create(&p, &sf, err, sizeof(err)), -EINVAL);
		if (strstr(err, cases[i].sentence) == NULL)
			fail_msg("'%s' does not say '%s'", err, cases[i].sentence);
		assert_int_equal(if_nametoindex(REP), 0);
	}
}

static void
destroy_removes_the_representor(void **state)
{
	struct sf *sf = tap_new(4, 1500);

	assert_int_equal(tap.ops->set_queues(sf, 4, false), 0);
	assert_int_equal(tap.ops->set_queues(sf, 2, false), 0);
	tap_delete(sf);
	assert_int_equal(if_nametoindex(REP), 0);
}

static int
test_sf_tap(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_tap_has_its_name_and_mtu_and_is_down),
		cmocka_unit_test(the_representor_has_a_stable_local_mac_that_is_not_the_devices),
		cmocka_unit_test(the_kernel_puts_no_ipv6_address_on_the_representor),
		cmocka_unit_test(the_carrier_follows_queues_and_link),
		cmocka_unit_test(frames_arrive_byte_for_byte_from_the_representor),
		cmocka_unit_test(frames_arrive_byte_for_byte_at_the_representor),
		cmocka_unit_test(a_9000_byte_frame_arrives_in_a_chain),
		cmocka_unit_test(an_unfinished_checksum_goes_out_as_it_is),
		cmocka_unit_test(an_unfinished_checksum_is_delivered_only_when_asked_for),
		cmocka_unit_test(packets_go_to_enabled_queues_only),
		cmocka_unit_test(frames_sent_on_any_enabled_queue_arrive),
		cmocka_unit_test(a_new_driver_does_not_see_the_frames_of_the_one_before),
		cmocka_unit_test(more_pairs_than_the_device_has_are_refused),
		cmocka_unit_test(an_empty_read_takes_no_mbufs),
		cmocka_unit_test(a_frame_waits_in_the_kernel_while_there_are_no_mbufs),
		cmocka_unit_test(queues_that_go_give_their_mbufs_back),
		cmocka_unit_test(a_frame_above_the_mtu_is_dropped_and_counted),
		cmocka_unit_test(a_larger_mtu_takes_effect_on_queues_in_use),
		cmocka_unit_test(frames_that_the_kernel_refuses_are_counted),
		cmocka_unit_test(a_representor_moved_to_another_namespace_still_obeys),
		cmocka_unit_test(an_existing_name_is_refused_with_a_sentence),
		cmocka_unit_test(bad_parameters_are_refused_with_a_sentence),
		cmocka_unit_test(destroy_removes_the_representor),
	};

	return cmocka_run_group_tests_name("sf_tap", tests, tap_group_setup, tap_group_teardown);
}

REGISTER_TEST_COMMAND(sf_tap, test_sf_tap)
