/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "tap" with real TAPs, in a network namespace of the test's own. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "sf_tap_fixture.h"

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
	int fd = rep_open(sf, 1, 0);
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
	assert_int_equal(tap.ops->set_queues(sf, 2, 0), 0);
	assert_true(rep_carrier());
	assert_int_equal(tap.ops->set_link(sf, false), 0);
	assert_false(rep_carrier());
	assert_int_equal(tap.ops->set_queues(sf, 1, 0), 0);
	assert_false(rep_carrier());
	assert_int_equal(tap.ops->set_link(sf, true), 0);
	assert_true(rep_carrier());
	assert_int_equal(tap.ops->set_queues(sf, 0, 0), 0);
	assert_false(rep_carrier());
	tap_delete(sf);
}

static void
frames_arrive_byte_for_byte_from_the_representor(void **state)
{
	static const size_t lengths[] = {14, 60, 64, 1514, 1518};
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, 0);
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
	int fd = rep_open(sf, 1, 0);
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
	int fd = rep_open(sf, 1, 0);
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
	int fd = rep_open(sf, 1, 0);
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
packets_go_to_enabled_queues_only(void **state)
{
	static const uint16_t steps[] = {1, 4, 2, 3, 1, 4};
	struct sf *sf = tap_new(4, 1500);
	int fd = rep_open(sf, 1, SF_CAP_RX_CSUM);

	for (size_t i = 0; i < RTE_DIM(steps); i++) {
		unsigned int got[4] = {0}, all = 0, used = 0;

		assert_int_equal(tap.ops->set_queues(sf, steps[i], SF_CAP_RX_CSUM), 0);
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
	int fd = rep_open(sf, 4, 0);
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
	int fd = rep_open(sf, 2, 0);

	send_flows(fd, 64);
	assert_int_equal(tap.ops->set_queues(sf, 0, 0), 0);
	assert_int_equal(tap.ops->set_queues(sf, 2, 0), 0);
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

	assert_int_equal(tap.ops->set_queues(sf, 3, 0), -EINVAL);
	tap_delete(sf);
}

static void
an_empty_read_takes_no_mbufs(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, 0);
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
	int fd = rep_open(sf, 1, 0);
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
		assert_int_equal(tap.ops->set_queues(sf, pairs, 0), 0);
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
	int fd = rep_open(sf, 1, 0);
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
	int fd = rep_open(sf, 1, 0);
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
	int fd = rep_open(sf, 1, 0);
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
	ret2 = tap.ops->set_queues(sf, 2, 0);
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

	assert_int_equal(tap.ops->set_queues(sf, 4, 0), 0);
	assert_int_equal(tap.ops->set_queues(sf, 2, 0), 0);
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
