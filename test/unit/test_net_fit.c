/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What packets ask for and their taker does not do: cut, completed, or refused. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>

#include "net/csum.h"
#include "net/fit.h"
#include "offload_rig.h"
#include "test.h"

#define NEEDS VIRTIO_NET_HDR_F_NEEDS_CSUM
#define VALID VIRTIO_NET_HDR_F_DATA_VALID
#define TCP4  VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6  VIRTIO_NET_HDR_GSO_TCPV6
#define UDPL4 VIRTIO_NET_HDR_GSO_UDP_L4
#define ECN   VIRTIO_NET_HDR_GSO_ECN

static const struct offload_limits any = {.len = 9000, .gso_len = 65500, .gso_size = 64};

/* Large: kept out of the stack. */
static struct {
	struct offload_pkt pkt, part;
	struct offload_wire got, want;
	struct rte_mbuf *out[NET_GSO_SEGS_MAX * 2];
	unsigned int n_out;
	unsigned int calls;
} t;

static void
keep(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	(void)arg;
	assert_in_range(n, 1, NET_FIT_BURST);
	assert_true(t.n_out + n <= RTE_DIM(t.out));
	memcpy(t.out + t.n_out, pkts, n * sizeof(pkts[0]));
	t.n_out += n;
	t.calls++;
}

static struct net_fit
fit_for(uint32_t offloads)
{
	const struct net_fit fit = {
		.offloads = offloads,
		.pool = offload_pool(),
		.emit = keep,
		.budget = UINT32_MAX,
	};

	t.n_out = 0;
	t.calls = 0;
	return fit;
}

/* All mbufs must be back. */
static void
drop_all(void)
{
	rte_pktmbuf_free_bulk(t.out, t.n_out);
	t.n_out = 0;
	assert_int_equal(rte_mempool_avail_count(offload_pool()), OFFLOAD_MBUFS);
}

static struct net_fit
fit_one(uint32_t offloads, uint32_t seed)
{
	struct net_fit fit = fit_for(offloads);
	struct rte_mbuf *m = offload_mbuf(&t.pkt, seed);

	net_fit(&fit, &m, 1);
	return fit;
}

static void
whoever_does_what_the_same_frames_are_on_the_wire(void **state)
{
	char what[64];

	for (uint32_t seed = 1; seed <= 150; seed++) {
		offload_random(&t.pkt, seed, &any);
		t.want.n = t.want.bytes = 0;
		offload_finish(&t.want, &t.pkt);
		for (uint32_t offloads = 0; offloads <= NET_OFFLOAD_ALL; offloads++) {
			const struct net_fit fit = fit_one(offloads, seed + offloads);

			snprintf(what, sizeof(what), "packet %u, offloads 0x%x", seed, offloads);
			t.got.n = t.got.bytes = 0;
			for (unsigned int i = 0; i < t.n_out; i++) {
				offload_flat(t.out[i], &t.part);
				if ((offload_asked(&t.part) & ~offloads) != 0)
					fail_msg("%s: asks for 0x%x", what, offload_asked(&t.part));
				offload_finish(&t.got, &t.part);
			}
			offload_same(&t.got, &t.want, what);
			assert_int_equal(fit.bad + fit.no_mbuf + fit.excess, 0);
			drop_all();
		}
	}
}

static void
a_taker_of_everything_gets_packets_as_they_are(void **state)
{
	for (uint32_t seed = 1; seed <= 50; seed++) {
		struct net_fit fit = fit_for(NET_OFFLOAD_ALL);
		struct rte_mbuf *m;

		offload_random(&t.pkt, seed, &any);
		m = offload_mbuf(&t.pkt, seed);
		net_fit(&fit, &m, 1);
		assert_int_equal(t.n_out, 1);
		assert_ptr_equal(t.out[0], m);
		offload_flat(m, &t.part);
		assert_memory_equal(&t.part.hdr, &t.pkt.hdr, sizeof(t.pkt.hdr));
		assert_memory_equal(t.part.data, t.pkt.data, t.pkt.len);
		drop_all();
	}
}

static const struct offload_kind tcp4 = {.tcp_flags = 0x99, .size = 1000, .payload = 3500};
static const struct offload_kind tcp6 = {
	.ipv6 = true, .tcp_flags = 0x18, .size = 1000, .payload = 3500};
static const struct offload_kind udp4 = {.udp = true, .size = 1000, .payload = 3500};
static const struct offload_kind udp6 = {.ipv6 = true, .udp = true, .size = 1000, .payload = 3500};

static uint8_t
out_byte(unsigned int i, uint32_t at)
{
	return *rte_pktmbuf_mtod_offset(t.out[i], uint8_t *, at);
}

static void
flags_that_mean_one_segment_are_on_one_segment(void **state)
{
	/* CWR, ACK, PSH, FIN */
	static const uint8_t flags[] = {0x90, 0x10, 0x10, 0x19};

	offload_make(&t.pkt, &tcp4, 1);
	fit_one(0, 0);
	assert_int_equal(t.n_out, RTE_DIM(flags));
	for (unsigned int i = 0; i < RTE_DIM(flags); i++)
		assert_int_equal(out_byte(i, 34 + 13), flags[i]);
	drop_all();
}

static void
ids_and_sequence_numbers_count_up_past_their_ends(void **state)
{
	offload_make(&t.pkt, &tcp4, 1);
	memcpy(t.pkt.data + 14 + 4, "\xff\xfe", 2);
	memcpy(t.pkt.data + 34 + 4, "\xff\xff\xff\x00", 4);
	fit_one(NET_OFFLOAD_CSUM, 0);
	assert_int_equal(t.n_out, 4);
	for (unsigned int i = 0; i < 4; i++) {
		const uint32_t seq = UINT32_C(0xffffff00) + i * 1000;

		assert_int_equal(out_byte(i, 18) << 8 | out_byte(i, 19), (0xfffe + i) & 0xffff);
		assert_int_equal(out_byte(i, 38), seq >> 24);
		assert_int_equal(out_byte(i, 41), seq & 0xff);
	}
	drop_all();
}

static void
segments_longer_than_an_mbuf_are_chains(void **state)
{
	const struct offload_kind kind = {.ipv6 = true, .size = 9000, .payload = 60000};

	offload_make(&t.pkt, &kind, 1);
	fit_one(0, 0);
	assert_int_equal(t.n_out, 7);
	assert_int_equal(t.out[0]->pkt_len, 74 + 9000);
	assert_true(t.out[0]->nb_segs > 1);
	assert_int_equal(t.out[6]->pkt_len, 74 + 6000);
	drop_all();
}

static void
what_is_no_larger_than_a_segment_is_not_cut(void **state)
{
	struct offload_kind kind = tcp4;
	struct net_fit fit;

	kind.payload = kind.size;
	offload_make(&t.pkt, &kind, 1);
	fit = fit_one(NET_OFFLOAD_CSUM, 0);
	assert_int_equal(t.n_out, 1);
	assert_int_equal(fit.segments, 0);
	offload_flat(t.out[0], &t.part);
	assert_int_equal(t.part.hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	assert_int_equal(t.part.hdr.gso_size, 0);
	assert_int_equal(t.part.hdr.flags, NEEDS);
	assert_memory_equal(t.part.data, t.pkt.data, t.pkt.len);
	drop_all();
}

static void
header_length_is_exact_for_a_driver_that_negotiated_it(void **state)
{
	static const uint16_t said[] = {0, 20, 54, 2000};

	for (uint32_t seed = 1; seed <= 100; seed++) {
		offload_random(&t.pkt, seed, &any);
		if (t.pkt.hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE)
			continue;
		t.pkt.hdr.hdr_len = said[seed % RTE_DIM(said)];
		fit_one(NET_OFFLOAD_ALL | NET_OFFLOAD_HDRLEN, seed);
		assert_int_equal(t.n_out, 1);
		offload_flat(t.out[0], &t.part);
		assert_int_equal(t.part.hdr.hdr_len, offload_hdr_len(&t.pkt));
		drop_all();
	}
}

static void
routing_headers_do_not_disturb_the_checksum_that_the_driver_began(void **state)
{
	struct offload_kind kind = tcp6;
	uint16_t before, after;

	/*
	 * With segments left, the pseudo-header has an address that is not in the IPv6 header. Its
	 * sum can only come from the driver.
	 */
	kind.ext = 3;
	kind.payload = 2000;
	offload_make(&t.pkt, &kind, 1);
	memcpy(&before, t.pkt.data + t.pkt.hdr.csum_start + 16, 2);
	before ^= 0x0100;
	memcpy(t.pkt.data + t.pkt.hdr.csum_start + 16, &before, 2);
	fit_one(NET_OFFLOAD_CSUM, 0);
	assert_int_equal(t.n_out, 2);
	offload_flat(t.out[0], &t.part);
	memcpy(&after, t.part.data + t.pkt.hdr.csum_start + 16, 2);
	assert_int_equal(net_sum_add(after, rte_cpu_to_be_16(1000)), before);
	drop_all();
}

struct bad_case {
	const char *name;
	const struct offload_kind *kind;
	uint16_t at; /* byte that is changed, from csum_start if L4 */
	uint8_t to;
	bool l4;
};

static void
what_is_not_as_its_header_says_is_dropped_and_counted(void **state)
{
	static const struct bad_case cases[] = {
		{"EtherType of nothing", &tcp4, 12, 0x12, false},
		{"IPv6 in an IPv4 segment", &tcp4, 12, 0x86, false},
		{"version", &tcp4, 14, 0x65, false},
		{"version of IPv6", &tcp6, 14, 0x40, false},
		{"IPv4 header shorter than its minimum", &tcp4, 14, 0x44, false},
		{"IPv4 header longer than csum_start", &tcp4, 14, 0x46, false},
		{"first fragment", &tcp4, 20, 0x20, false},
		{"later fragment", &udp4, 21, 0x01, false},
		{"UDP in a TCP segment", &tcp4, 23, 17, false},
		{"TCP in a UDP segment", &udp6, 20, 6, false},
		{"a fragment header", &tcp6, 20, 44, false},
		{"an extension header that leads past csum_start", &udp6, 20, 60, false},
		{"TCP header shorter than its minimum", &tcp4, 12, 0x40, true},
		{"a tag, and nothing that it tags", &tcp4, 12, 0x81, false},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		const struct bad_case *c = &cases[i];
		struct net_fit fit;

		offload_make(&t.pkt, c->kind, 1);
		t.pkt.data[c->at + (c->l4 ? t.pkt.hdr.csum_start : 0)] = c->to;
		fit = fit_one(NET_OFFLOAD_CSUM, 0);
		if (t.n_out != 0 || fit.bad != 1)
			fail_msg("%s: %u packets, %u bad", c->name, t.n_out, fit.bad);
		drop_all();
	}
}

static void
headers_that_lie_about_the_packet_are_dropped(void **state)
{
	static const struct {
		const char *name;
		struct virtio_net_hdr hdr;
	} cases[] = {
		{"checksum behind the end", {NEEDS, 0, 0, 0, 34, 5000}},
		{"checksum in the Ethernet header", {NEEDS, 0, 0, 0, 12, 0}},
		{"segment without a checksum", {0, TCP4, 54, 1000, 34, 16}},
		{"segment of nothing", {NEEDS, TCP4, 54, 0, 34, 16}},
		{"checksum at another place", {NEEDS, TCP4, 54, 1000, 34, 6}},
		{"unknown kind", {NEEDS, 9, 54, 1000, 34, 16}},
		{"UFO", {NEEDS, VIRTIO_NET_HDR_GSO_UDP, 42, 1000, 34, 6}},
		{"ECN alone", {NEEDS, ECN, 54, 1000, 34, 16}},
		{"ECN of UDP", {NEEDS, UDPL4 | ECN, 42, 1000, 34, 6}},
		{"the other IP", {NEEDS, TCP6, 54, 1000, 34, 16}},
		{"transport header elsewhere", {NEEDS, TCP4, 54, 1000, 36, 16}},
		{"transport header past the packet", {NEEDS, TCP4, 54, 1000, 3550, 16}},
		{"headers without end", {NEEDS, TCP4, 54, 1000, 1000, 16}},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct net_fit fit;

		offload_make(&t.pkt, &tcp4, 1);
		t.pkt.hdr = cases[i].hdr;
		fit = fit_one(0, 0);
		if (t.n_out != 0 || fit.bad != 1)
			fail_msg("%s: %u packets, %u bad", cases[i].name, t.n_out, fit.bad);
		drop_all();
	}
}

static void
driver_sees_only_what_it_takes(void **state)
{
	static const struct {
		const char *name;
		uint32_t offloads;
		struct virtio_net_hdr hdr, after;
	} cases[] = {
		{"nothing said", 0, {0}, {0}},
		{"partial, taken", NET_OFFLOAD_CSUM, {NEEDS, 0, 54, 0, 34, 16},
			{NEEDS, 0, 54, 0, 34, 16}},
		{"partial, not taken", 0, {NEEDS, 0, 54, 0, 34, 16}, {0}},
		{"valid, taken", NET_OFFLOAD_CSUM, {VALID, 0, 0, 0, 0, 0}, {VALID, 0, 0, 0, 0, 0}},
		{"valid, not taken", 0, {VALID, 0, 0, 0, 0, 0}, {0}},
		{"unknown flag", NET_OFFLOAD_CSUM, {0xf8, 0, 0, 0, 0, 0}, {0}},
		{"size without a segment", NET_OFFLOAD_CSUM, {VALID, 0, 0, 99, 0, 0},
			{VALID, 0, 0, 0, 0, 0}},
	};
	const struct offload_kind kind = {.payload = 100};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		offload_make(&t.pkt, &kind, 1);
		t.pkt.hdr = cases[i].hdr;
		fit_one(cases[i].offloads, 0);
		assert_int_equal(t.n_out, 1);
		offload_flat(t.out[0], &t.part);
		if (memcmp(&t.part.hdr, &cases[i].after, sizeof(t.part.hdr)) != 0)
			fail_msg("%s: header not as expected", cases[i].name);
		drop_all();
	}
}

static void
a_packet_of_too_many_segments_costs_nothing_but_itself(void **state)
{
	static const uint16_t sizes[] = {1, 2, 10, 63};
	struct offload_kind kind = udp4;

	kind.payload = 65000;
	for (size_t i = 0; i < RTE_DIM(sizes); i++) {
		struct net_fit fit;

		kind.size = sizes[i];
		offload_make(&t.pkt, &kind, 1);
		fit = fit_one(0, 0);
		assert_int_equal(t.n_out, 0);
		assert_int_equal(fit.excess, 1);
		drop_all();
	}
}

static void
a_burst_makes_no_more_segments_than_its_budget(void **state)
{
	struct net_fit fit = fit_for(0);
	struct rte_mbuf *pkts[4];

	offload_make(&t.pkt, &tcp4, 1);
	for (unsigned int i = 0; i < RTE_DIM(pkts); i++)
		pkts[i] = offload_mbuf(&t.pkt, 0);
	fit.budget = 10; /* of 4 each */
	net_fit(&fit, pkts, RTE_DIM(pkts));
	assert_int_equal(t.n_out, 8);
	assert_int_equal(fit.segments, 8);
	assert_int_equal(fit.excess, 2);
	drop_all();
}

static void
without_mbufs_for_all_segments_none_is_sent(void **state)
{
	static struct rte_mbuf *all[OFFLOAD_MBUFS];
	/* Segments of one mbuf, and of three. */
	static const uint16_t sizes[] = {1000, 5000};

	for (size_t i = 0; i < RTE_DIM(sizes); i++) {
		const struct offload_kind kind = {.size = sizes[i], .payload = 20000};
		struct net_fit fit = fit_for(0);
		struct rte_mbuf *pkts[3];
		unsigned int n;

		offload_make(&t.pkt, &kind, 1);
		pkts[1] = offload_mbuf(&t.pkt, 0);
		t.pkt.len = 100;
		memset(&t.pkt.hdr, 0, sizeof(t.pkt.hdr));
		pkts[0] = offload_mbuf(&t.pkt, 0);
		pkts[2] = offload_mbuf(&t.pkt, 0);
		n = rte_mempool_avail_count(offload_pool()) - 10;
		assert_int_equal(rte_pktmbuf_alloc_bulk(offload_pool(), all, n), 0);
		net_fit(&fit, pkts, RTE_DIM(pkts));
		assert_int_equal(t.n_out, 2);
		assert_int_equal(fit.no_mbuf, 1);
		assert_int_equal(fit.segments, 0);
		rte_pktmbuf_free_bulk(all, n);
		drop_all();
	}
}

static void
order_is_kept_and_runs_that_fit_go_out_in_one_call(void **state)
{
	struct net_fit fit = fit_for(0);
	struct rte_mbuf *pkts[9];

	for (unsigned int i = 0; i < RTE_DIM(pkts); i++) {
		offload_make(&t.pkt, &tcp4, i);
		if (i != 4)
			memset(&t.pkt.hdr, 0, sizeof(t.pkt.hdr));
		pkts[i] = offload_mbuf(&t.pkt, 0);
		*rte_pktmbuf_mtod_offset(pkts[i], uint8_t *, 11) = (uint8_t)i;
	}
	net_fit(&fit, pkts, RTE_DIM(pkts));
	assert_int_equal(t.n_out, 8 + 4);
	assert_int_equal(t.calls, 3);
	for (unsigned int i = 0; i < t.n_out; i++)
		assert_int_equal(out_byte(i, 11), i < 4 ? i : i < 8 ? 4 : i - 3);
	drop_all();
}

/* A driver may put anything anywhere. */
static void
whatever_a_packet_is_nothing_breaks_and_no_mbuf_is_lost(void **state)
{
	unsigned int s = 1;

	for (uint32_t seed = 1; seed <= 3000; seed++) {
		struct net_fit fit = fit_for(seed % (2 * NET_OFFLOAD_HDRLEN));
		struct rte_mbuf *m;
		uint8_t *hdr = (uint8_t *)&t.pkt.hdr;

		offload_random(&t.pkt, seed, &any);
		for (unsigned int n = (unsigned int)rand_r(&s) % 4; n > 0; n--)
			t.pkt.data[(unsigned int)rand_r(&s) % 140] = (uint8_t)rand_r(&s);
		for (unsigned int n = (unsigned int)rand_r(&s) % 3; n > 0; n--)
			hdr[(unsigned int)rand_r(&s) % sizeof(t.pkt.hdr)] = (uint8_t)rand_r(&s);
		if (rand_r(&s) % 4 == 0)
			t.pkt.len = 14 + (uint32_t)rand_r(&s) % 100;
		m = offload_mbuf(&t.pkt, seed);
		fit.budget = NET_GSO_SEGS_MAX;
		net_fit(&fit, &m, 1);
		assert_in_range(t.n_out + fit.bad + fit.no_mbuf + fit.excess, 1, NET_GSO_SEGS_MAX);
		for (unsigned int i = 0; i < t.n_out; i++)
			assert_int_equal(rte_mbuf_check(t.out[i], 1, &(const char *){NULL}), 0);
		drop_all();
	}
}

static int
test_net_fit(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_does_what_the_same_frames_are_on_the_wire),
		cmocka_unit_test(a_taker_of_everything_gets_packets_as_they_are),
		cmocka_unit_test(flags_that_mean_one_segment_are_on_one_segment),
		cmocka_unit_test(ids_and_sequence_numbers_count_up_past_their_ends),
		cmocka_unit_test(segments_longer_than_an_mbuf_are_chains),
		cmocka_unit_test(what_is_no_larger_than_a_segment_is_not_cut),
		cmocka_unit_test(header_length_is_exact_for_a_driver_that_negotiated_it),
		cmocka_unit_test(routing_headers_do_not_disturb_the_checksum_that_the_driver_began),
		cmocka_unit_test(what_is_not_as_its_header_says_is_dropped_and_counted),
		cmocka_unit_test(headers_that_lie_about_the_packet_are_dropped),
		cmocka_unit_test(driver_sees_only_what_it_takes),
		cmocka_unit_test(a_packet_of_too_many_segments_costs_nothing_but_itself),
		cmocka_unit_test(a_burst_makes_no_more_segments_than_its_budget),
		cmocka_unit_test(without_mbufs_for_all_segments_none_is_sent),
		cmocka_unit_test(order_is_kept_and_runs_that_fit_go_out_in_one_call),
		cmocka_unit_test(whatever_a_packet_is_nothing_breaks_and_no_mbuf_is_lost),
	};

	return cmocka_run_group_tests_name("net_fit", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(net_fit, test_net_fit)
