/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "loop": what goes out comes back, is swallowed, or is made up. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "sf/sf.h"
#include "test.h"
#include "vring/vring.h"

#define N_MBUFS	 512u
#define ETH_TEST 0x88b5
#define PAIRS	 4u

static const struct rte_ether_addr device_mac = {{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};

static struct {
	struct rte_mempool *pool;
	const struct sf_ops *ops;
} loop;

static int
group_setup(void **state)
{
	(void)state;
	loop.pool = rte_pktmbuf_pool_create(
		"test-sf-loop", N_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	loop.ops = sf_driver_find("loop");
	return loop.pool == NULL || loop.ops == NULL ? -1 : 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	rte_mempool_free(loop.pool);
	return 0;
}

static int
try_create(const char *args, struct sf **sf, char *err, size_t err_len)
{
	const struct sf_params p = {
		.sf_num = 2000,
		.rep = "en3f0pf0sf2000",
		.mac = device_mac,
		.mtu = 1500,
		.max_pairs = PAIRS,
		.pool = loop.pool,
		.args = args,
	};

	return loop.ops->create(&p, sf, err, err_len);
}

static struct sf *
create(const char *args)
{
	char err[256] = "";
	struct sf *sf = NULL;

	assert_int_equal(try_create(args, &sf, err, sizeof(err)), 0);
	assert_int_equal(loop.ops->set_queues(sf, PAIRS, 0), 0);
	return sf;
}

/* Every mbuf must be back in the pool. */
static void
destroy(struct sf *sf)
{
	loop.ops->destroy(sf);
	assert_int_equal(rte_mempool_avail_count(loop.pool), N_MBUFS);
}

static struct rte_mbuf *
frame(uint16_t len, uint8_t fill)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(loop.pool);

	assert_non_null(m);
	m->data_off = VRING_MBUF_DATA_OFF;
	assert_non_null(rte_pktmbuf_append(m, len));
	memset(rte_pktmbuf_mtod(m, void *), fill, len);
	memset(VRING_MBUF_HDR(m), 0, sizeof(struct virtio_net_hdr_mrg_rxbuf));
	return m;
}

static uint16_t
send_frames(struct sf *sf, uint16_t queue, uint16_t n)
{
	uint16_t sent = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = frame(64, (uint8_t)i);

		sent += loop.ops->tx_burst(sf, queue, &m, 1);
	}
	return sent;
}

static void
what_is_sent_comes_back_on_the_same_pair_in_order(void **state)
{
	struct sf *sf = create(NULL);
	struct rte_mbuf *got[8];

	(void)state;
	assert_int_equal(send_frames(sf, 1, 3), 3);
	assert_int_equal(loop.ops->rx_burst(sf, 0, got, 8), 0);
	assert_int_equal(loop.ops->rx_burst(sf, 1, got, 8), 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(got[i]->pkt_len, 64);
		assert_int_equal(*rte_pktmbuf_mtod(got[i], uint8_t *), i);
	}
	rte_pktmbuf_free_bulk(got, 3);
	destroy(sf);
}

static void
frames_that_find_no_room_are_dropped_and_counted(void **state)
{
	struct sf *sf = create("mode=loop");
	struct sf_queue_stats stats;
	uint16_t sent;

	(void)state;
	sent = send_frames(sf, 0, 200);
	loop.ops->queue_stats(sf, 0, &stats);
	assert_in_range(sent, VRING_BURST, 199);
	assert_int_equal(stats.tx_errors, 200 - sent);
	destroy(sf);
}

static void
a_checksum_left_open_is_completed_for_a_receiver_that_did_not_ask(void **state)
{
	struct sf *sf = create("mode=loop");
	struct rte_mbuf *m = frame(64, 0), *got;
	struct virtio_net_hdr_mrg_rxbuf *hdr = VRING_MBUF_HDR(m);

	(void)state;
	*rte_pktmbuf_mtod_offset(m, uint8_t *, 42) = 0x12;
	hdr->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->hdr.csum_start = sizeof(struct rte_ether_hdr) + sizeof(struct rte_ipv4_hdr);
	hdr->hdr.csum_offset = offsetof(struct rte_udp_hdr, dgram_cksum);
	assert_int_equal(loop.ops->tx_burst(sf, 0, &m, 1), 1);
	assert_int_equal(loop.ops->rx_burst(sf, 0, &got, 1), 1);
	assert_int_equal(VRING_MBUF_HDR(got)->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
	assert_int_equal(
		*rte_pktmbuf_mtod_offset(got, rte_be16_t *, 40), rte_cpu_to_be_16(0xffff - 0x1200));
	rte_pktmbuf_free(got);
	destroy(sf);
}

static void
a_sink_takes_everything_and_delivers_nothing(void **state)
{
	struct sf *sf = create("mode=sink");
	struct rte_mbuf *got;

	(void)state;
	assert_int_equal(send_frames(sf, 0, 300), 300);
	assert_int_equal(loop.ops->rx_burst(sf, 0, &got, 1), 0);
	assert_int_equal(rte_mempool_avail_count(loop.pool), N_MBUFS);
	destroy(sf);
}

static void
a_source_delivers_frames_of_its_size_to_the_device_without_end(void **state)
{
	struct sf *sf = create("mode=source,size=1518");
	struct rte_mbuf *got[VRING_BURST];

	(void)state;
	for (unsigned int round = 0; round < 100; round++) {
		assert_int_equal(loop.ops->rx_burst(sf, 2, got, VRING_BURST), VRING_BURST);
		for (unsigned int i = 0; i < VRING_BURST; i++) {
			const struct rte_ether_hdr *eth =
				rte_pktmbuf_mtod(got[i], const struct rte_ether_hdr *);

			assert_int_equal(got[i]->pkt_len, 1518);
			assert_int_equal(got[i]->nb_segs, 1);
			assert_memory_equal(&eth->dst_addr, &device_mac, sizeof(device_mac));
			assert_int_equal(eth->ether_type, rte_cpu_to_be_16(ETH_TEST));
			assert_int_equal(VRING_MBUF_HDR(got[i])->hdr.flags, 0);
		}
		rte_pktmbuf_free_bulk(got, VRING_BURST);
	}
	destroy(sf);
}

static void
a_source_whose_frames_are_all_out_delivers_fewer(void **state)
{
	struct sf *sf = create("mode=source");
	struct rte_mbuf *got[4096];
	unsigned int n = 0, more;

	(void)state;
	while (n + VRING_BURST <= RTE_DIM(got) &&
		(more = loop.ops->rx_burst(sf, 0, got + n, VRING_BURST)) > 0)
		n += more;
	assert_in_range(n, VRING_BURST, RTE_DIM(got) - VRING_BURST);
	rte_pktmbuf_free_bulk(got, n);
	destroy(sf);
}

static void
a_pair_taken_out_of_use_forgets_its_frames(void **state)
{
	struct sf *sf = create("mode=loop");
	struct rte_mbuf *got;

	(void)state;
	assert_int_equal(send_frames(sf, 1, 5), 5);
	assert_int_equal(loop.ops->set_queues(sf, 1, 0), 0);
	assert_int_equal(send_frames(sf, 1, 1), 0);
	assert_int_equal(loop.ops->set_queues(sf, 2, 0), 0);
	assert_int_equal(loop.ops->rx_burst(sf, 1, &got, 1), 0);
	assert_int_equal(rte_mempool_avail_count(loop.pool), N_MBUFS);
	destroy(sf);
}

static void
a_pair_that_stays_in_use_keeps_its_frames(void **state)
{
	struct sf *sf = create("mode=loop");
	struct rte_mbuf *got[2];

	(void)state;
	assert_int_equal(send_frames(sf, 0, 2), 2);
	assert_int_equal(loop.ops->set_queues(sf, 1, 0), 0);
	assert_int_equal(loop.ops->rx_burst(sf, 0, got, 2), 2);
	rte_pktmbuf_free_bulk(got, 2);
	destroy(sf);
}

static void
nothing_passes_while_the_link_is_down(void **state)
{
	struct sf *sf = create("mode=source");
	struct rte_mbuf *got;

	(void)state;
	assert_int_equal(loop.ops->set_link(sf, false), 0);
	assert_int_equal(loop.ops->rx_burst(sf, 0, &got, 1), 0);
	assert_int_equal(send_frames(sf, 0, 1), 0);
	assert_int_equal(loop.ops->set_link(sf, true), 0);
	assert_int_equal(loop.ops->rx_burst(sf, 0, &got, 1), 1);
	rte_pktmbuf_free(got);
	destroy(sf);
}

static void
it_has_no_representor_and_must_be_polled(void **state)
{
	struct sf *sf = create(NULL);

	(void)state;
	assert_string_equal(sf->rep, "");
	assert_int_equal(sf->rep_ifindex, 0);
	assert_int_equal(sf->max_pairs, PAIRS);
	assert_int_equal(loop.ops->rx_fd(sf, 0), -1);
	destroy(sf);
}

static void
a_successor_makes_a_new_one_of_the_same_mode_and_state(void **state)
{
	const struct sf_params p = {.max_pairs = PAIRS,
		.pool = loop.pool,
		.args = "mode=source,size=100",
		.sf_num = 2000,
		.mtu = 1500};
	const struct sf_state up = {.pairs = 2, .link_up = true}, down = {.pairs = 2};
	const struct sf_state many = {.pairs = PAIRS + 1};
	struct rte_mbuf *m;
	struct sf *sf;
	char err[256] = "";

	(void)state;
	assert_null(loop.ops->descriptor);
	assert_int_equal(loop.ops->adopt(&p, &up, NULL, &sf, err, sizeof(err)), 0);
	assert_int_equal(loop.ops->rx_burst(sf, 1, &m, 1), 1);
	assert_int_equal(m->pkt_len, 100);
	rte_pktmbuf_free(m);
	assert_int_equal(loop.ops->rx_burst(sf, 2, &m, 1), 0);
	loop.ops->release(sf);
	assert_int_equal(loop.ops->adopt(&p, &down, NULL, &sf, err, sizeof(err)), 0);
	assert_int_equal(loop.ops->rx_burst(sf, 1, &m, 1), 0);
	loop.ops->release(sf);
	assert_int_equal(loop.ops->adopt(&p, &many, NULL, &sf, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "loop: 5 queue pairs carried packets, the device has 4");
}

static void
bad_arguments_are_named_with_what_is_allowed(void **state)
{
	static const struct {
		const char *args, *says;
	} bad[] = {
		{"mode=ring", "loop, sink, source"},
		{"mode", "mode"},
		{"size=59", "60..1518"},
		{"size=1519", "60..1518"},
		{"size=64k", "60..1518"},
		{"size=-1", "60..1518"},
		{"ipv6=1", "allowed: mode, size, caps"},
	};
	struct sf *sf;
	char err[256];

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		err[0] = '\0';
		assert_int_equal(try_create(bad[i].args, &sf, err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, bad[i].says));
	}
}

static void
it_takes_and_delivers_what_its_arguments_say(void **state)
{
	static const struct {
		const char *args;
		uint32_t caps;
	} cases[] = {
		{NULL, SF_CAP_RX | SF_CAP_TX},
		{"caps=all", SF_CAP_RX | SF_CAP_TX},
		{"caps=none", 0},
		{"caps=rx_csum", SF_CAP_RX_CSUM},
		{"mode=loop,caps=rx_csum+rx_tso4+tx_csum+tx_uso6",
			SF_CAP_RX_CSUM | SF_CAP_RX_TSO4 | SF_CAP_TX_CSUM | SF_CAP_TX_USO6},
		{"caps=none+tx_ecn", SF_CAP_TX_ECN},
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		struct sf *sf = create(cases[i].args);

		assert_int_equal(sf->caps, cases[i].caps);
		destroy(sf);
	}
}

static void
bad_capabilities_are_named(void **state)
{
	static const char *const bad[] = {"caps", "caps=", "caps=csum", "caps=rx_csum+",
		"caps=rx_cs", "caps=rx_csum++tx_csum"};
	struct sf *sf;
	char err[256];

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		assert_int_equal(try_create(bad[i], &sf, err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, "platform.sf_args: caps: '"));
	}
}

static int
test_sf_loop(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent_comes_back_on_the_same_pair_in_order),
		cmocka_unit_test(frames_that_find_no_room_are_dropped_and_counted),
		cmocka_unit_test(a_checksum_left_open_is_completed_for_a_receiver_that_did_not_ask),
		cmocka_unit_test(a_sink_takes_everything_and_delivers_nothing),
		cmocka_unit_test(a_source_delivers_frames_of_its_size_to_the_device_without_end),
		cmocka_unit_test(a_source_whose_frames_are_all_out_delivers_fewer),
		cmocka_unit_test(a_pair_taken_out_of_use_forgets_its_frames),
		cmocka_unit_test(a_pair_that_stays_in_use_keeps_its_frames),
		cmocka_unit_test(nothing_passes_while_the_link_is_down),
		cmocka_unit_test(it_has_no_representor_and_must_be_polled),
		cmocka_unit_test(a_successor_makes_a_new_one_of_the_same_mode_and_state),
		cmocka_unit_test(bad_arguments_are_named_with_what_is_allowed),
		cmocka_unit_test(it_takes_and_delivers_what_its_arguments_say),
		cmocka_unit_test(bad_capabilities_are_named),
	};

	return cmocka_run_group_tests_name("sf_loop", tests, group_setup, group_teardown);
}

REGISTER_TEST_COMMAND(sf_loop, test_sf_loop)
