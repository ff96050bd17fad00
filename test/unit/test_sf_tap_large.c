/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "tap" with segments of up to 64 KiB: whole in both directions, and no mbufs for
 * nothing. */

#include "offload_rig.h"
#include "sf_tap_fixture.h"

#define TSO (SF_CAP_RX_CSUM | SF_CAP_RX_TSO4 | SF_CAP_RX_TSO6)

/* Large: kept out of the stack. */
static struct offload_pkt pkt, got;

static void
large_send(int fd, uint32_t payload, uint32_t seed)
{
	const struct offload_kind kind = {.size = 1448, .payload = payload};

	offload_make(&pkt, &kind, seed);
	rep_send(fd, &pkt.hdr, pkt.data, pkt.len);
}

static void
assert_large(struct rte_mbuf *m)
{
	offload_flat(m, &got);
	assert_int_equal(got.len, pkt.len);
	assert_memory_equal(got.data, pkt.data, pkt.len);
	assert_int_equal(got.hdr.gso_type, pkt.hdr.gso_type);
	assert_int_equal(got.hdr.gso_size, pkt.hdr.gso_size);
	assert_int_equal(got.hdr.csum_start, pkt.hdr.csum_start);
	rte_pktmbuf_free(m);
}

static void
small_pass(struct sf *sf, int fd, unsigned int n)
{
	uint8_t frame[MAX_FRAME];

	for (unsigned int i = 0; i < n; i++) {
		const size_t len = frame_make(frame, 60 + i % 1400);
		struct rte_mbuf *m;

		rep_send(fd, NULL, frame, len);
		m = recv_one(sf, 0);
		assert_packet(m, frame, len);
		rte_pktmbuf_free(m);
	}
}

static void
large_segments_of_any_length_arrive_whole(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);

	for (uint32_t payload = 1449; payload <= 65400; payload += 1 + payload / 7) {
		/* Copied from where it spilt, then read in one piece, then small ones again. */
		for (uint32_t i = 0; i < 2; i++) {
			large_send(fd, payload, payload + i);
			assert_large(recv_one(sf, 0));
		}
		small_pass(sf, fd, 3);
	}
	close(fd);
	tap_delete(sf);
}

static void
each_kind_arrives_whole_if_it_was_asked_for(void **state)
{
	static const struct {
		uint32_t caps;
		struct offload_kind kind;
	} cases[] = {
		{SF_CAP_RX_TSO4, {.size = 1448, .payload = 9000}},
		{SF_CAP_RX_TSO6, {.ipv6 = true, .size = 1428, .payload = 9000}},
		{SF_CAP_RX_TSO4 | SF_CAP_RX_ECN,
			{.tcp_flags = 0x90, .size = 1448, .payload = 9000}},
		{SF_CAP_RX_USO, {.udp = true, .size = 1472, .payload = 9000}},
		{SF_CAP_RX_USO, {.udp = true, .ipv6 = true, .size = 1452, .payload = 9000}},
	};
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, 0);

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		const uint32_t caps = SF_CAP_RX_CSUM | cases[i].caps;
		struct rte_mbuf *m[8];
		uint16_t n;

		if ((sf->caps & caps) != caps)
			continue; /* Linux before 6.2 */
		offload_make(&pkt, &cases[i].kind, 1);
		assert_int_equal(tap.ops->set_queues(sf, 1, caps), 0);
		rep_send(fd, &pkt.hdr, pkt.data, pkt.len);
		assert_large(recv_one(sf, 0));
		assert_int_equal(tap.ops->set_queues(sf, 1, SF_CAP_RX_CSUM), 0);
		rep_send(fd, &pkt.hdr, pkt.data, pkt.len);
		assert_true(wait_readable(tap.ops->rx_fd(sf, 0)));
		n = tap.ops->rx_burst(sf, 0, m, RTE_DIM(m));
		assert_int_equal(n, 7);
		rte_pktmbuf_free_bulk(m, n);
	}
	close(fd);
	tap_delete(sf);
}

static void
large_segments_of_a_burst_are_kept_apart(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);
	struct rte_mbuf *m[3];

	for (uint32_t i = 0; i < RTE_DIM(m); i++)
		large_send(fd, 30000 + i, i);
	assert_int_equal(tap.ops->rx_burst(sf, 0, m, RTE_DIM(m)), RTE_DIM(m));
	for (uint32_t i = 0; i < RTE_DIM(m); i++) {
		const struct offload_kind kind = {.size = 1448, .payload = 30000 + i};

		offload_make(&pkt, &kind, i);
		assert_large(m[i]);
	}
	close(fd);
	tap_delete(sf);
}

static void
a_queue_keeps_many_mbufs_only_while_large_segments_come(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);
	struct rte_mbuf *m;

	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	assert_int_equal(rte_mempool_in_use_count(tap.pool), 1);
	large_send(fd, 60000, 1);
	assert_large(recv_one(sf, 0));
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	assert_in_range(rte_mempool_in_use_count(tap.pool), 30, 36);
	small_pass(sf, fd, 64);
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	assert_int_equal(rte_mempool_in_use_count(tap.pool), 1);
	close(fd);
	tap_delete(sf);
}

static void
a_queue_that_goes_to_sleep_keeps_one_mbuf(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);
	struct rte_mbuf *m;

	large_send(fd, 60000, 1);
	assert_large(recv_one(sf, 0));
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	assert_true(tap.ops->rx_wait(sf, 0));
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	assert_int_equal(rte_mempool_in_use_count(tap.pool), 1);
	close(fd);
	tap_delete(sf);
}

static void
without_mbufs_a_large_segment_is_lost_and_counted(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);
	struct rte_mbuf *all[N_MBUFS], *m;
	struct sf_queue_stats stats;

	assert_int_equal(rte_pktmbuf_alloc_bulk(tap.pool, all, N_MBUFS - 10), 0);
	large_send(fd, 60000, 1);
	assert_true(wait_readable(tap.ops->rx_fd(sf, 0)));
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	tap.ops->queue_stats(sf, 0, &stats);
	assert_int_equal(stats.rx_errors, 1);
	small_pass(sf, fd, 3);
	rte_pktmbuf_free_bulk(all, N_MBUFS - 10);
	large_send(fd, 60000, 1);
	assert_large(recv_one(sf, 0));
	close(fd);
	tap_delete(sf);
}

static void
a_queue_that_cannot_have_many_mbufs_goes_on_with_few(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);
	struct rte_mbuf *all[N_MBUFS], *m;

	large_send(fd, 60000, 1);
	assert_large(recv_one(sf, 0));
	assert_int_equal(rte_pktmbuf_alloc_bulk(tap.pool, all, N_MBUFS - 10), 0);
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	small_pass(sf, fd, 3);
	rte_pktmbuf_free_bulk(all, N_MBUFS - 10);
	close(fd);
	tap_delete(sf);
}

static void
a_frame_above_the_mtu_that_is_no_large_segment_is_dropped(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);
	uint8_t frame[MAX_FRAME];
	struct sf_queue_stats stats;
	struct rte_mbuf *m;

	rep_ioctl(SIOCSIFMTU, 9216);
	for (unsigned int i = 1; i <= 2; i++) {
		rep_send(fd, NULL, frame, frame_make(frame, 9014));
		assert_true(wait_readable(tap.ops->rx_fd(sf, 0)));
		assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
		tap.ops->queue_stats(sf, 0, &stats);
		assert_int_equal(stats.rx_errors, i);
		large_send(fd, 20000, i); /* the second time it is ready for these */
		assert_large(recv_one(sf, 0));
	}
	close(fd);
	tap_delete(sf);
}

static void
what_waits_from_before_offloads_were_switched_off_arrives(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);

	large_send(fd, 50000, 1);
	assert_int_equal(tap.ops->set_queues(sf, 1, 0), 0);
	assert_large(recv_one(sf, 0));
	large_send(fd, 50000, 2);
	for (unsigned int i = 0; i < (50000 + 1447) / 1448; i++) {
		struct rte_mbuf *m = recv_one(sf, 0);

		assert_true(m->pkt_len <= 1514);
		assert_int_equal(VRING_MBUF_HDR(m)->hdr.flags, 0);
		rte_pktmbuf_free(m);
	}
	close(fd);
	tap_delete(sf);
}

static void
nothing_large_comes_to_a_driver_that_comes_after(void **state)
{
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, TSO);
	struct rte_mbuf *m;

	large_send(fd, 50000, 1);
	assert_int_equal(tap.ops->set_queues(sf, 0, 0), 0);
	assert_int_equal(tap.ops->set_queues(sf, 1, 0), 0);
	assert_int_equal(tap.ops->rx_burst(sf, 0, &m, 1), 0);
	small_pass(sf, fd, 3);
	close(fd);
	tap_delete(sf);
}

static void
a_successor_takes_large_segments_as_well(void **state)
{
	const struct sf_state st = {.pairs = 1, .rx_caps = TSO, .link_up = true};
	const struct sf_params p = params(1, 1500);
	struct sf *sf = tap_new(1, 1500), *heir;
	int fd = rep_open(sf, 1, TSO), fds[1] = {dup(tap.ops->descriptor(sf, 0))};
	char err[256];

	large_send(fd, 50000, 1);
	tap.ops->release(sf);
	assert_int_equal(tap.ops->adopt(&p, &st, fds, &heir, err, sizeof(err)), 0);
	assert_large(recv_one(heir, 0));
	close(fd);
	tap_delete(heir);
}

static void
large_segments_go_out_whole(void **state)
{
	static const struct offload_kind kinds[] = {
		{.size = 1448, .payload = 65400},
		{.ipv6 = true, .size = 1428, .payload = 65400},
		{.udp = true, .size = 1472, .payload = 60000},
		{.tcp_flags = 0x90, .size = 1448, .payload = 20000},
	};
	struct sf *sf = tap_new(1, 1500);
	int fd = rep_open(sf, 1, 0);

	for (size_t i = 0; i < RTE_DIM(kinds); i++) {
		struct iovec iov[2] = {{&got.hdr, sizeof(got.hdr)}, {got.data, sizeof(got.data)}};
		struct rte_mbuf *m;

		offload_make(&pkt, &kinds[i], 1);
		if ((offload_asked(&pkt) & ~SF_TX_OFFLOADS(sf->caps)) != 0)
			continue;
		m = offload_mbuf(&pkt, 0);
		assert_int_equal(tap.ops->tx_burst(sf, 0, &m, 1), 1);
		assert_true(wait_readable(fd));
		assert_int_equal(readv(fd, iov, 2), sizeof(got.hdr) + pkt.len);
		assert_memory_equal(got.data, pkt.data, pkt.len);
		assert_int_equal(got.hdr.gso_type, pkt.hdr.gso_type);
		assert_int_equal(got.hdr.gso_size, pkt.hdr.gso_size);
	}
	close(fd);
	tap_delete(sf);
}

static int
test_sf_tap_large(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_segments_of_any_length_arrive_whole),
		cmocka_unit_test(each_kind_arrives_whole_if_it_was_asked_for),
		cmocka_unit_test(large_segments_of_a_burst_are_kept_apart),
		cmocka_unit_test(a_queue_keeps_many_mbufs_only_while_large_segments_come),
		cmocka_unit_test(a_queue_that_goes_to_sleep_keeps_one_mbuf),
		cmocka_unit_test(without_mbufs_a_large_segment_is_lost_and_counted),
		cmocka_unit_test(a_queue_that_cannot_have_many_mbufs_goes_on_with_few),
		cmocka_unit_test(a_frame_above_the_mtu_that_is_no_large_segment_is_dropped),
		cmocka_unit_test(what_waits_from_before_offloads_were_switched_off_arrives),
		cmocka_unit_test(nothing_large_comes_to_a_driver_that_comes_after),
		cmocka_unit_test(a_successor_takes_large_segments_as_well),
		cmocka_unit_test(large_segments_go_out_whole),
	};

	return cmocka_run_group_tests_name(
		"sf_tap_large", tests, tap_group_setup, tap_group_teardown);
}

REGISTER_TEST_COMMAND(sf_tap_large, test_sf_tap_large)
