/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Virtio-net headers: which are believed of a driver, and what a driver gets to see. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ip.h>

#include "net/net_hdr.h"

#include "test.h"
#include "vring_rig.h"

#define F(name) (UINT64_C(1) << VIRTIO_NET_F_##name)
#define CSUM	F(CSUM)
#define TSO	(F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN))
#define NEEDS	VIRTIO_NET_HDR_F_NEEDS_CSUM
#define VALID	VIRTIO_NET_HDR_F_DATA_VALID
#define TCP4	VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6	VIRTIO_NET_HDR_GSO_TCPV6
#define UDP	VIRTIO_NET_HDR_GSO_UDP
#define UDP_L4	VIRTIO_NET_HDR_GSO_UDP_L4
#define ECN	VIRTIO_NET_HDR_GSO_ECN

/* flags, type, hdr_len, gso_size, csum_start, csum_offset */
#define H(...)                                                                                     \
	{                                                                                          \
		.hdr = {__VA_ARGS__}, .num_buffers = 9                                             \
	}

struct tx_case {
	const char *name;
	uint64_t features;
	uint32_t len;
	struct virtio_net_hdr_mrg_rxbuf hdr;
	bool want;
	struct virtio_net_hdr after;
};

static const struct tx_case tx_cases[] = {
	{"nothing asked", 0, 64, H(0, 0, 0, 0, 0, 0), true, {0}},
	{"fields without meaning are cleared", CSUM, 64, H(0, 0, 99, 99, 999, 999), true, {0}},
	{"flags of the other direction are cleared", 0, 64, H(VALID | 0xf8, 0, 0, 0, 0, 0), true,
		{0}},
	{"checksum", CSUM, 64, H(NEEDS, 0, 54, 1, 34, 16), true, {NEEDS, 0, 0, 0, 34, 16}},
	{"unknown flags beside", CSUM, 64, H(NEEDS | 0xf8, 0, 0, 0, 34, 16), true,
		{NEEDS, 0, 0, 0, 34, 16}},
	{"checksum not negotiated", 0, 64, H(NEEDS, 0, 0, 0, 34, 16), false, {0}},
	{"checksum in the last bytes", CSUM, 64, H(NEEDS, 0, 0, 0, 34, 28), true,
		{NEEDS, 0, 0, 0, 34, 28}},
	{"checksum half behind the end", CSUM, 64, H(NEEDS, 0, 0, 0, 34, 29), false, {0}},
	{"start behind the end", CSUM, 64, H(NEEDS, 0, 0, 0, 65, 0), false, {0}},
	{"start at the end", CSUM, 64, H(NEEDS, 0, 0, 0, 64, 0), false, {0}},
	{"sum of both wraps 16 bits", CSUM, 64, H(NEEDS, 0, 0, 0, 40, 0xffe0), false, {0}},
	{"both at their greatest", CSUM, VRING_MAX_PACKET, H(NEEDS, 0, 0, 0, 0xffff, 0xffff), false,
		{0}},
	{"start in the Ethernet header", CSUM, 64, H(NEEDS, 0, 0, 0, 13, 16), false, {0}},
	{"TSO4", TSO, 3000, H(NEEDS, TCP4, 54, 1460, 34, 16), true,
		{NEEDS, TCP4, 54, 1460, 34, 16}},
	{"TSO6", TSO, 3000, H(NEEDS, TCP6, 74, 1440, 54, 16), true,
		{NEEDS, TCP6, 74, 1440, 54, 16}},
	{"TSO4 with ECN", TSO, 3000, H(NEEDS, TCP4 | ECN, 54, 1460, 34, 16), true,
		{NEEDS, TCP4 | ECN, 54, 1460, 34, 16}},
	{"ECN not negotiated", CSUM | F(HOST_TSO4), 3000, H(NEEDS, TCP4 | ECN, 54, 1460, 34, 16),
		false, {0}},
	{"ECN alone", TSO, 3000, H(NEEDS, ECN, 54, 1460, 34, 16), false, {0}},
	{"ECN on UDP", TSO | F(HOST_USO), 3000, H(NEEDS, UDP_L4 | ECN, 42, 1400, 34, 6), false,
		{0}},
	{"TSO4 not negotiated", CSUM | F(HOST_TSO6), 3000, H(NEEDS, TCP4, 54, 1460, 34, 16), false,
		{0}},
	{"TSO6 not negotiated", CSUM | F(HOST_TSO4), 3000, H(NEEDS, TCP6, 74, 1440, 54, 16), false,
		{0}},
	{"unknown type", TSO, 3000, H(NEEDS, 2, 54, 1460, 34, 16), false, {0}},
	{"highest type", TSO, 3000, H(NEEDS, 0x7f, 54, 1460, 34, 16), false, {0}},
	{"segments without a checksum", TSO, 3000, H(0, TCP4, 54, 1460, 34, 16), false, {0}},
	{"segments of nothing", TSO, 3000, H(NEEDS, TCP4, 54, 0, 34, 16), false, {0}},
	{"TCP checksum elsewhere", TSO, 3000, H(NEEDS, TCP4, 54, 1460, 34, 6), false, {0}},
	{"no room for a TCP header", TSO, 53, H(NEEDS, TCP4, 0, 1460, 34, 16), false, {0}},
	{"header longer than the packet", TSO, 3000, H(NEEDS, TCP4, 3001, 1460, 34, 16), false,
		{0}},
	{"header too short is put right", TSO, 3000, H(NEEDS, TCP4, 0, 1460, 34, 16), true,
		{NEEDS, TCP4, 54, 1460, 34, 16}},
	{"header length past 16 bits", TSO, VRING_MAX_PACKET, H(NEEDS, TCP4, 0, 1, 65530, 16),
		false, {0}},
	{"UFO", CSUM | F(HOST_UFO), 3000, H(NEEDS, UDP, 42, 1480, 34, 6), true,
		{NEEDS, UDP, 42, 1480, 34, 6}},
	{"UFO not negotiated", TSO, 3000, H(NEEDS, UDP, 42, 1480, 34, 6), false, {0}},
	{"USO", CSUM | F(HOST_USO), 3000, H(NEEDS, UDP_L4, 42, 1400, 34, 6), true,
		{NEEDS, UDP_L4, 42, 1400, 34, 6}},
	{"USO not negotiated", TSO | F(HOST_UFO), 3000, H(NEEDS, UDP_L4, 42, 1400, 34, 6), false,
		{0}},
};

static void
driver_headers_are_believed_only_if_they_can_be_true(void **state)
{
	for (size_t i = 0; i < RTE_DIM(tx_cases); i++) {
		const struct tx_case *c = &tx_cases[i];
		struct virtio_net_hdr_mrg_rxbuf hdr = c->hdr;

		if (net_hdr_tx_check(&hdr, c->len, c->features) != c->want)
			fail_msg("%s: %s", c->name, c->want ? "refused" : "accepted");
		if (!c->want)
			continue;
		if (memcmp(&hdr.hdr, &c->after, sizeof(c->after)) != 0)
			fail_msg("%s: header not as expected", c->name);
		assert_int_equal(hdr.num_buffers, 0);
	}
}

#define IP_START 14
#define L4_START 34
#define L4_MAX	 200

/* Ethernet, IPv4, TCP or UDP. */
struct frame {
	uint8_t data[L4_START + L4_MAX] __rte_aligned(4);
};

/* A frame whose transport checksum is still the pseudo-header's. @return what it is when complete
 */
static uint16_t
frame_make(struct frame *f, uint8_t proto, uint16_t l4_len, uint32_t seed)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(f->data + IP_START);
	uint8_t *field = f->data + L4_START + (proto == IPPROTO_TCP ? 16 : 6);
	uint16_t full, partial;

	rig_pattern(f->data, sizeof(f->data), seed);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->next_proto_id = proto;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + l4_len));
	memset(field, 0, sizeof(full));
	full = rte_ipv4_udptcp_cksum(ip, f->data + L4_START);
	partial = rte_ipv4_phdr_cksum(ip, 0);
	memcpy(field, &partial, sizeof(partial));
	return full;
}

/* The frame in mbufs cut at the given places. */
static struct rte_mbuf *
frame_mbuf(const uint8_t *data, uint32_t len, const uint16_t *cut, uint16_t n)
{
	struct rte_mbuf *m = NULL, *s;
	uint32_t at = 0;

	for (uint16_t i = 0; i <= n; i++) {
		const uint32_t end = i < n && cut[i] < len ? cut[i] : len;

		s = rte_pktmbuf_alloc(rig_pool());
		assert_non_null(s);
		memcpy(rte_pktmbuf_append(s, (uint16_t)(end - at)), data + at, end - at);
		if (m == NULL)
			m = s;
		else
			rte_pktmbuf_chain(m, s);
		at = end;
	}
	return m;
}

static void
completed_checksum_is_right_however_the_packet_is_cut(void **state)
{
	static const struct {
		uint16_t cut[4];
		uint16_t n;
	} cuts[] = {{{0}, 0}, {{34}, 1}, {{35}, 1}, {{51}, 1}, {{14, 35, 36, 37}, 4},
		{{33, 51, 52, 99}, 4}, {{1, 2, 3, 4}, 4}, {{34, 41, 41, 60}, 4}};
	struct frame f;
	uint32_t seed = 0;

	for (size_t i = 0; i < RTE_DIM(cuts); i++)
		for (uint16_t l4_len = 20; l4_len <= 200; l4_len++) {
			const uint8_t proto = l4_len % 2 ? IPPROTO_TCP : IPPROTO_UDP;
			const uint16_t offset = proto == IPPROTO_TCP ? 16 : 6;
			const uint16_t full = frame_make(&f, proto, l4_len, seed++);
			struct rte_mbuf *m =
				frame_mbuf(f.data, L4_START + l4_len, cuts[i].cut, cuts[i].n);
			uint16_t got, copy;

			assert_int_equal(net_csum_complete(m, L4_START, offset), 0);
			memcpy(&got, rte_pktmbuf_read(m, L4_START + offset, 2, &copy), 2);
			if (got != full)
				fail_msg(
					"cut %zu, length %u: %04x, not %04x", i, l4_len, got, full);
			rte_pktmbuf_free(m);
		}
}

static void
long_odd_segments_lose_no_carry(void **state)
{
	static uint8_t data[9000];
	static const uint16_t cut[] = {1001, 3002, 5003, 6500};
	struct rte_mbuf *parts;
	uint16_t a, b, copy;

	memset(data, 0xff, sizeof(data));
	for (uint32_t i = 0; i < sizeof(data); i += 7)
		data[i] = (uint8_t)i;
	parts = frame_mbuf(data, 8000, cut, RTE_DIM(cut));
	assert_int_equal(net_csum_complete(parts, 14, 16), 0);
	memcpy(&a, rte_pktmbuf_read(parts, 30, 2, &copy), 2);
	b = (uint16_t)~rte_raw_cksum(data + 14, 8000 - 14);
	assert_int_equal(a, b == 0 ? 0xffff : b);
	rte_pktmbuf_free(parts);
}

static void
checksum_behind_the_end_is_refused(void **state)
{
	struct rte_mbuf *m = frame_mbuf((uint8_t[64]){0}, 64, NULL, 0);

	assert_int_equal(net_csum_complete(m, 34, 29), -EINVAL);
	assert_int_equal(net_csum_complete(m, 0xffff, 0xffff), -EINVAL);
	assert_int_equal(net_csum_complete(m, 34, 28), 0);
	rte_pktmbuf_free(m);
}

#define GCSUM F(GUEST_CSUM)
#define GTSO4 (GCSUM | F(GUEST_TSO4))

static void
driver_sees_only_what_it_negotiated(void **state)
{
	static const struct {
		const char *name;
		uint64_t features;
		struct virtio_net_hdr_mrg_rxbuf hdr;
		int want;
		struct virtio_net_hdr after;
	} table[] = {
		{"nothing said", 0, H(0, 0, 0, 0, 0, 0), 0, {0}},
		{"partial, taken", GCSUM, H(NEEDS, 0, 54, 0, 34, 16), 0, {NEEDS, 0, 54, 0, 34, 16}},
		{"partial, not taken", 0, H(NEEDS, 0, 54, 0, 34, 16), 0, {0}},
		{"valid, taken", GCSUM, H(VALID, 0, 0, 0, 0, 0), 0, {VALID, 0, 0, 0, 0, 0}},
		{"valid, not taken", 0, H(VALID, 0, 0, 0, 0, 0), 0, {0}},
		{"unknown flag", GCSUM, H(0xf8, 0, 0, 0, 0, 0), 0, {0}},
		{"beyond the packet", GCSUM, H(NEEDS, 0, 0, 0, 34, 500), -EINVAL, {0}},
		{"beyond the packet, not taken", 0, H(NEEDS, 0, 0, 0, 34, 500), -EINVAL, {0}},
		{"segment, taken", GTSO4, H(NEEDS, TCP4, 54, 50, 34, 16), 0,
			{NEEDS, TCP4, 54, 50, 34, 16}},
		{"segment, not taken", GCSUM, H(NEEDS, TCP4, 54, 50, 34, 16), -EMSGSIZE, {0}},
		{"segment of the other IP", GTSO4, H(NEEDS, TCP6, 74, 50, 54, 16), -EMSGSIZE, {0}},
		{"segment, no checksums at all", 0, H(NEEDS, TCP4, 54, 50, 34, 16), -EMSGSIZE, {0}},
		{"ECN segment, not taken", GTSO4, H(NEEDS, TCP4 | ECN, 54, 50, 34, 16), -EMSGSIZE,
			{0}},
		{"ECN segment, taken", GTSO4 | F(GUEST_ECN), H(NEEDS, TCP4 | ECN, 54, 50, 34, 16),
			0, {NEEDS, TCP4 | ECN, 54, 50, 34, 16}},
		{"segment without checksum", GTSO4, H(0, TCP4, 54, 50, 34, 16), -EINVAL, {0}},
		{"USO, one of two", GCSUM | F(GUEST_USO6), H(NEEDS, UDP_L4, 42, 50, 34, 6), 0,
			{NEEDS, UDP_L4, 42, 50, 34, 6}},
		{"unknown kind", GTSO4, H(NEEDS, 9, 54, 50, 34, 16), -EINVAL, {0}},
	};
	struct frame f;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		struct virtio_net_hdr_mrg_rxbuf hdr = table[i].hdr;
		struct rte_mbuf *m;

		frame_make(&f, IPPROTO_TCP, 200, 1);
		m = frame_mbuf(f.data, sizeof(f), NULL, 0);
		if (net_hdr_rx(m, &hdr, table[i].features) != table[i].want)
			fail_msg("%s: not %d", table[i].name, table[i].want);
		if (table[i].want == 0 && memcmp(&hdr.hdr, &table[i].after, sizeof(hdr.hdr)) != 0)
			fail_msg("%s: header not as expected", table[i].name);
		rte_pktmbuf_free(m);
	}
}

static void
packet_for_a_driver_without_checksums_is_complete(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = H(NEEDS, 0, 0, 0, 34, 16);
	struct frame f;
	const uint16_t full = frame_make(&f, IPPROTO_TCP, 100, 1);
	struct rte_mbuf *m = frame_mbuf(f.data, L4_START + 100, NULL, 0);

	assert_int_equal(net_hdr_rx(m, &hdr, 0), 0);
	assert_memory_equal(rte_pktmbuf_mtod_offset(m, uint8_t *, 34 + 16), &full, sizeof(full));
	rte_pktmbuf_free(m);
}

static int
test_net_hdr(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(driver_headers_are_believed_only_if_they_can_be_true),
		cmocka_unit_test(completed_checksum_is_right_however_the_packet_is_cut),
		cmocka_unit_test(long_odd_segments_lose_no_carry),
		cmocka_unit_test(checksum_behind_the_end_is_refused),
		cmocka_unit_test(driver_sees_only_what_it_negotiated),
		cmocka_unit_test(packet_for_a_driver_without_checksums_is_complete),
	};

	return cmocka_run_group_tests_name("net_hdr", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(net_hdr, test_net_hdr)
