/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What packets are hashed as, and their hashes. */

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>

#include "net/hash.h"
#include "test.h"
#include "vring_rig.h"

#define T(report)      NET_HASH_TYPE(report)
#define R(report)      VIRTIO_NET_HASH_REPORT_##report

#define PACKET_MAX     3000u
#define TAG	       0x8100
#define RANDOM_PACKETS 20000u

/* The key of Microsoft's "Verifying the RSS Hash Calculation". */
static const uint8_t key[NET_HASH_KEY_SIZE] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41,
	0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4,
	0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01,
	0xfa};

/* A packet, and what is true of it by its making. */
struct pkt {
	uint8_t data[PACKET_MAX];
	uint32_t len;
	uint32_t next_at; /* where the number of the next header has to be put */
	uint8_t addrs[32], ex_addrs[32], ports[4];
	uint8_t addr_len; /* of one */
	bool ext;
	uint8_t l4; /* that can be seen */
};

/* ---- making packets ---- */

static void
put(struct pkt *p, const void *from, uint32_t len)
{
	assert_true(p->len + len <= sizeof(p->data));
	memcpy(p->data + p->len, from, len);
	p->len += len;
}

static void
put16(struct pkt *p, uint16_t v)
{
	v = htons(v);
	put(p, &v, sizeof(v));
}

static void
put_ether(struct pkt *p, unsigned int tags, uint16_t type)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

	*p = (struct pkt){0};
	put(p, macs, sizeof(macs));
	for (unsigned int i = 0; i < tags; i++) {
		put16(p, TAG);
		put16(p, (uint16_t)(i + 1));
	}
	put16(p, type);
}

static void
put_ipv4(struct pkt *p, const uint8_t *src, const uint8_t *dst, uint8_t words, uint16_t fragment)
{
	uint8_t hdr[60] = {0};

	hdr[0] = 0x40 | words;
	hdr[6] = (uint8_t)(fragment >> 8);
	hdr[7] = (uint8_t)fragment;
	memcpy(hdr + 12, src, 4);
	memcpy(hdr + 16, dst, 4);
	memset(hdr + 20, 1, 40);
	p->next_at = p->len + 9;
	p->addr_len = 4;
	put(p, hdr, words * 4u);
	memcpy(p->addrs, src, 4);
	memcpy(p->addrs + 4, dst, 4);
}

static void
put_ipv6(struct pkt *p, const uint8_t *src, const uint8_t *dst)
{
	uint8_t hdr[40] = {0x60};

	hdr[6] = IPPROTO_NONE;
	memcpy(hdr + 8, src, 16);
	memcpy(hdr + 24, dst, 16);
	p->next_at = p->len + 6;
	p->addr_len = 16;
	put(p, hdr, sizeof(hdr));
	memcpy(p->addrs, hdr + 8, 32);
	memcpy(p->ex_addrs, hdr + 8, 32);
}

/* A header of a type with what it has behind its length, in its own units. */
static void
put_ext(struct pkt *p, uint8_t type, uint8_t units, const void *body, uint32_t len)
{
	const uint8_t head[2] = {IPPROTO_NONE, units};

	p->data[p->next_at] = type;
	p->next_at = p->len;
	p->ext = true;
	put(p, head, sizeof(head));
	put(p, body, len);
}

/* Destination options that end with a home address, after some padding. */
static void
put_home(struct pkt *p, const uint8_t *home)
{
	uint8_t body[22] = {1, 2, 0, 0, 0xc9, 16};

	memcpy(body + 6, home, 16);
	put_ext(p, IPPROTO_DSTOPTS, 2, body, sizeof(body));
	memcpy(p->ex_addrs, home, 16);
}

static void
put_route(struct pkt *p, const uint8_t *dst)
{
	uint8_t body[22] = {2, 1};

	memcpy(body + 6, dst, 16);
	put_ext(p, IPPROTO_ROUTING, 2, body, sizeof(body));
	memcpy(p->ex_addrs + 16, dst, 16);
}

static void
put_l4(struct pkt *p, uint8_t proto, uint16_t sport, uint16_t dport)
{
	const uint32_t len = proto == IPPROTO_TCP ? 20 : 8;
	const uint8_t rest[64] = {0};

	p->data[p->next_at] = proto;
	p->l4 = proto;
	put16(p, sport);
	put16(p, dport);
	memcpy(p->ports, p->data + p->len - 4, 4);
	put(p, rest, len - 4);
}

/* ---- the expectation ---- */

/* Toeplitz by the book: a window of 32 bits of the key moves on with each bit of the input. */
static uint32_t
by_the_book(const uint8_t *k, const uint8_t *in, uint32_t len)
{
	uint32_t hash = 0;

	for (uint32_t bit = 0; bit < len * 8; bit++) {
		uint32_t window = 0;

		if ((in[bit / 8] & 0x80 >> bit % 8) == 0)
			continue;
		for (uint32_t i = bit; i < bit + 32; i++)
			window = window << 1 | (k[i / 8] >> (7 - i % 8) & 1u);
		hash ^= window;
	}
	return hash;
}

/* The first type of the spec's lists that is enabled and fits. */
static uint16_t
expected_report(const struct pkt *p, uint32_t types)
{
	const struct {
		uint8_t addr_len;
		bool ext;
		uint8_t l4; /* 0: any */
		uint16_t report;
	} list[] = {
		{4, false, IPPROTO_TCP, R(TCPv4)},
		{4, false, IPPROTO_UDP, R(UDPv4)},
		{4, false, 0, R(IPv4)},
		{16, true, IPPROTO_TCP, R(TCPv6_EX)},
		{16, true, IPPROTO_UDP, R(UDPv6_EX)},
		{16, true, 0, R(IPv6_EX)},
		{16, false, IPPROTO_TCP, R(TCPv6)},
		{16, false, IPPROTO_UDP, R(UDPv6)},
		{16, false, 0, R(IPv6)},
	};

	for (size_t i = 0; i < RTE_DIM(list); i++)
		if (list[i].addr_len == p->addr_len && (!list[i].ext || p->ext) &&
			(list[i].l4 == 0 || list[i].l4 == p->l4) &&
			(types & 1u << (list[i].report - 1)) != 0)
			return list[i].report;
	return R(NONE);
}

static struct net_hdr_hash
expected(const struct pkt *p, uint32_t types)
{
	const uint16_t report = expected_report(p, types);
	const bool ports = report != R(IPv4) && report != R(IPv6) && report != R(IPv6_EX);
	uint8_t in[36];

	if (report == R(NONE))
		return (struct net_hdr_hash){0};
	memcpy(in, report >= R(IPv6_EX) ? p->ex_addrs : p->addrs, 2u * p->addr_len);
	memcpy(in + 2 * p->addr_len, p->ports, 4);
	return (struct net_hdr_hash){
		.value = by_the_book(key, in, 2u * p->addr_len + (ports ? 4 : 0)),
		.report = report,
	};
}

/* ---- asking ---- */

/* The packet's first len bytes in mbufs of `piece` bytes, the first of them shorter. */
static struct rte_mbuf *
mbuf_of(const struct pkt *p, uint32_t len, uint32_t piece)
{
	struct rte_mbuf *m = NULL, *s;
	uint32_t at = 0, part = piece / 2 + 1;

	do {
		part = RTE_MIN(part, RTE_MIN(len - at, 1000u));
		s = rte_pktmbuf_alloc(rig_pool());
		assert_non_null(s);
		memcpy(rte_pktmbuf_append(s, (uint16_t)part), p->data + at, part);
		if (m == NULL)
			m = s;
		else
			assert_int_equal(rte_pktmbuf_chain(m, s), 0);
		at += part;
		part = piece;
	} while (at < len);
	return m;
}

static struct net_hdr_hash
hash_cut(const struct pkt *p, uint32_t types, uint32_t len, uint32_t piece)
{
	struct rte_mbuf *m = mbuf_of(p, len, piece);
	struct net_hdr_hash got;
	struct net_hash h;

	net_hash_init(&h, types, key);
	got = net_hash_packet(&h, m);
	rte_pktmbuf_free(m);
	return got;
}

static struct net_hdr_hash
hash(const struct pkt *p, uint32_t types)
{
	return hash_cut(p, types, p->len, PACKET_MAX);
}

static void
assert_hash(const struct pkt *p, uint32_t types, uint16_t report)
{
	const struct net_hdr_hash got = hash(p, types), want = expected(p, types);

	assert_int_equal(got.report, report);
	assert_int_equal(want.report, report);
	assert_int_equal(got.value, want.value);
	assert_int_equal(got.padding, 0);
}

/* ---- known answers ---- */

static const struct vector {
	int family;
	const char *src, *dst;
	uint16_t sport, dport;
	uint32_t ip, with_ports;
} vectors[] = {
	{AF_INET, "66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178},
	{AF_INET, "199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea},
	{AF_INET, "24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a},
	{AF_INET, "38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f},
	{AF_INET, "153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2},
	{AF_INET6, "3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5,
		0x40207d3d},
	{AF_INET6, "3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c,
		0xdde51bbf},
	{AF_INET6, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024,
		0x4b61e985, 0x02d1feef},
};

static void
put_vector(struct pkt *p, const struct vector *v, uint8_t proto)
{
	uint8_t src[16], dst[16];

	assert_int_equal(inet_pton(v->family, v->src, src), 1);
	assert_int_equal(inet_pton(v->family, v->dst, dst), 1);
	put_ether(p, 0, v->family == AF_INET ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
	if (v->family == AF_INET)
		put_ipv4(p, src, dst, 5, 0);
	else
		put_ipv6(p, src, dst);
	put_l4(p, proto, v->sport, v->dport);
}

static void
hashes_are_those_of_the_published_examples(void **state)
{
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(vectors); i++) {
		put_vector(&p, &vectors[i], IPPROTO_TCP);
		assert_int_equal(hash(&p, T(IPv4) | T(IPv6)).value, vectors[i].ip);
		assert_int_equal(hash(&p, T(TCPv4) | T(TCPv6)).value, vectors[i].with_ports);
		put_vector(&p, &vectors[i], IPPROTO_UDP);
		assert_int_equal(hash(&p, T(UDPv4) | T(UDPv6)).value, vectors[i].with_ports);
	}
}

/* ---- which type ---- */

static const uint8_t a4[4] = {10, 1, 2, 3}, b4[4] = {192, 168, 200, 100};
static const uint8_t a6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1},
		     b6[16] = {0x20, 1, 0xd, 0xb8, [15] = 2}, home6[16] = {0xfd, 1, [15] = 7},
		     route6[16] = {0xfd, 2, [15] = 8};

static void
ipv4_goes_by_transport_then_by_address(void **state)
{
	static const struct {
		uint8_t proto;
		uint32_t types;
		uint16_t report;
	} table[] = {
		{IPPROTO_TCP, T(TCPv4) | T(UDPv4) | T(IPv4), R(TCPv4)},
		{IPPROTO_UDP, T(TCPv4) | T(UDPv4) | T(IPv4), R(UDPv4)},
		{IPPROTO_ICMP, T(TCPv4) | T(UDPv4) | T(IPv4), R(IPv4)},
		{IPPROTO_TCP, T(UDPv4) | T(IPv4), R(IPv4)},
		{IPPROTO_UDP, T(TCPv4) | T(IPv4), R(IPv4)},
		{IPPROTO_TCP, T(UDPv4), R(NONE)},
		{IPPROTO_TCP, NET_HASH_TYPES_ALL & ~(T(TCPv4) | T(UDPv4) | T(IPv4)), R(NONE)},
		{IPPROTO_TCP, 0, R(NONE)},
	};
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		put_ether(&p, 0, RTE_ETHER_TYPE_IPV4);
		put_ipv4(&p, a4, b4, 5, 0);
		put_l4(&p, table[i].proto, 1, 2);
		assert_hash(&p, table[i].types, table[i].report);
	}
}

static void
ipv6_without_extension_headers_has_types_of_its_own(void **state)
{
	static const struct {
		uint8_t proto;
		uint32_t types;
		uint16_t report;
	} table[] = {
		{IPPROTO_TCP, NET_HASH_TYPES_ALL, R(TCPv6)},
		{IPPROTO_UDP, NET_HASH_TYPES_ALL, R(UDPv6)},
		{IPPROTO_ICMPV6, NET_HASH_TYPES_ALL, R(IPv6)},
		{IPPROTO_TCP, T(UDPv6) | T(IPv6), R(IPv6)},
		{IPPROTO_TCP, T(TCPv6_EX) | T(UDPv6_EX) | T(IPv6_EX), R(NONE)},
		{IPPROTO_TCP, T(TCPv4) | T(UDPv4) | T(IPv4), R(NONE)},
	};
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
		put_ipv6(&p, a6, b6);
		put_l4(&p, table[i].proto, 1, 2);
		assert_hash(&p, table[i].types, table[i].report);
	}
}

static void
types_for_extension_headers_come_before_those_without(void **state)
{
	static const struct {
		uint8_t proto;
		uint32_t types;
		uint16_t report;
	} table[] = {
		{IPPROTO_TCP, NET_HASH_TYPES_ALL, R(TCPv6_EX)},
		{IPPROTO_UDP, NET_HASH_TYPES_ALL, R(UDPv6_EX)},
		{IPPROTO_ICMPV6, NET_HASH_TYPES_ALL, R(IPv6_EX)},
		{IPPROTO_TCP, T(IPv6_EX) | T(TCPv6), R(IPv6_EX)},
		{IPPROTO_TCP, T(UDPv6_EX) | T(TCPv6), R(TCPv6)},
		{IPPROTO_TCP, T(UDPv6_EX) | T(IPv6), R(IPv6)},
		{IPPROTO_TCP, T(UDPv6_EX) | T(UDPv6), R(NONE)},
	};
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
		put_ipv6(&p, a6, b6);
		put_home(&p, home6);
		put_route(&p, route6);
		put_l4(&p, table[i].proto, 1, 2);
		assert_hash(&p, table[i].types, table[i].report);
	}
}

static void
home_address_and_route_stand_for_source_and_destination(void **state)
{
	const uint32_t ex = T(IPv6_EX);
	struct pkt plain, p;

	put_ether(&plain, 0, RTE_ETHER_TYPE_IPV6);
	put_ipv6(&plain, home6, route6);
	put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
	put_ipv6(&p, a6, b6);
	put_home(&p, home6);
	put_route(&p, route6);
	assert_int_equal(hash(&p, ex).value, hash(&plain, T(IPv6)).value);
	/* Types without extension headers know the packet's own addresses only. */
	assert_int_not_equal(hash(&p, T(IPv6)).value, hash(&plain, T(IPv6)).value);
}

static void
other_routing_headers_leave_the_destination(void **state)
{
	static const struct {
		uint8_t units, type, left;
	} others[] = {{2, 0, 1}, {2, 4, 1}, {4, 2, 1}, {2, 2, 0}, {2, 2, 2}};
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(others); i++) {
		uint8_t body[38] = {others[i].type, others[i].left};

		memcpy(body + 6, route6, 16);
		put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
		put_ipv6(&p, a6, b6);
		put_ext(&p, IPPROTO_ROUTING, others[i].units, body, 6u + 8u * others[i].units);
		put_l4(&p, IPPROTO_TCP, 1, 2);
		assert_hash(&p, NET_HASH_TYPES_ALL, R(TCPv6_EX));
	}
}

static void
fragments_are_hashed_by_address_the_first_one_too(void **state)
{
	static const struct {
		uint16_t v4, v6; /* as they stand in the headers */
		bool whole;
	} table[] = {{0x2000, 0x0001, false}, {0x0001, 0x0008, false}, {0x3fff, 0xfff9, false},
		{0x4000, 0x0006, true}, {0, 0, true}};
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		const uint8_t body[6] = {(uint8_t)(table[i].v6 >> 8), (uint8_t)table[i].v6};

		put_ether(&p, 0, RTE_ETHER_TYPE_IPV4);
		put_ipv4(&p, a4, b4, 5, table[i].v4);
		put_l4(&p, IPPROTO_UDP, 1, 2);
		p.l4 = table[i].whole ? p.l4 : 0;
		assert_hash(&p, NET_HASH_TYPES_ALL, table[i].whole ? R(UDPv4) : R(IPv4));
		put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
		put_ipv6(&p, a6, b6);
		put_ext(&p, IPPROTO_FRAGMENT, 0, body, sizeof(body));
		put_l4(&p, IPPROTO_UDP, 1, 2);
		p.l4 = table[i].whole ? p.l4 : 0;
		assert_hash(&p, NET_HASH_TYPES_ALL, table[i].whole ? R(UDPv6_EX) : R(IPv6_EX));
	}
}

static void
tags_do_not_change_a_hash(void **state)
{
	struct pkt p;

	for (unsigned int tags = 0; tags <= 9; tags++) {
		put_ether(&p, tags, RTE_ETHER_TYPE_IPV4);
		put_ipv4(&p, a4, b4, 5, 0);
		put_l4(&p, IPPROTO_TCP, 1, 2);
		p.addr_len = tags <= 8 ? p.addr_len : 0; /* nobody looks past so many */
		assert_hash(&p, NET_HASH_TYPES_ALL, tags <= 8 ? R(TCPv4) : R(NONE));
	}
}

/* ---- what has no hash, or less of one ---- */

static void
what_is_not_ip_has_no_hash(void **state)
{
	static const struct {
		uint16_t type;
		uint8_t first; /* byte behind it */
	} table[] = {{RTE_ETHER_TYPE_ARP, 0x45}, {RTE_ETHER_TYPE_IPV4, 0x65},
		{RTE_ETHER_TYPE_IPV6, 0x45}, {RTE_ETHER_TYPE_IPV4, 0x44}, {0x0800 - 1, 0x45}};
	const uint8_t zeros[60] = {0};
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		put_ether(&p, 0, table[i].type);
		put(&p, &table[i].first, 1);
		put(&p, zeros, sizeof(zeros));
		assert_hash(&p, NET_HASH_TYPES_ALL, R(NONE));
	}
}

static void
a_header_that_is_not_whole_does_not_count(void **state)
{
	const uint16_t ip = 14 + 40, home = ip + 24, route = home + 24, tcp = route + 20;
	struct pkt p, cut;

	put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
	put_ipv6(&p, a6, b6);
	put_home(&p, home6);
	put_route(&p, route6);
	put_l4(&p, IPPROTO_TCP, 1, 2);
	for (uint32_t len = 1; len <= p.len; len++) {
		const struct net_hdr_hash got = hash_cut(&p, NET_HASH_TYPES_ALL, len, len);

		cut = p;
		cut.l4 = len >= tcp ? p.l4 : 0;
		cut.addr_len = len >= ip ? p.addr_len : 0;
		if (len < home)
			memcpy(cut.ex_addrs, p.addrs, 16);
		if (len < route)
			memcpy(cut.ex_addrs + 16, p.addrs + 16, 16);
		assert_memory_equal(&got, &(struct net_hdr_hash){0}, len < ip ? sizeof(got) : 0);
		assert_int_equal(got.report, expected(&cut, NET_HASH_TYPES_ALL).report);
		assert_int_equal(got.value, expected(&cut, NET_HASH_TYPES_ALL).value);
	}
}

static void
options_that_overrun_their_header_are_not_read(void **state)
{
	static const uint8_t bodies[][6] = {{0xc9, 16, 1, 1, 1, 1}, {1, 200, 0xc9, 16, 0, 0},
		{0, 0, 0, 0, 0, 0xc9}, {5, 3, 0, 0, 0, 1}};
	struct pkt p;

	for (size_t i = 0; i < RTE_DIM(bodies); i++) {
		put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
		put_ipv6(&p, a6, b6);
		put_ext(&p, IPPROTO_DSTOPTS, 0, bodies[i], 6);
		put_l4(&p, IPPROTO_UDP, 1, 2);
		assert_hash(&p, NET_HASH_TYPES_ALL, R(UDPv6_EX));
	}
}

static void
what_is_behind_too_many_extension_headers_is_not_known(void **state)
{
	static const uint8_t padding[6] = {1, 4};
	struct pkt p;

	for (unsigned int n = 1; n <= NET_HASH_EXT_MAX + 2; n++) {
		put_ether(&p, 0, RTE_ETHER_TYPE_IPV6);
		put_ipv6(&p, a6, b6);
		for (unsigned int i = 0; i < n; i++)
			put_ext(&p, IPPROTO_HOPOPTS, 0, padding, sizeof(padding));
		put_l4(&p, IPPROTO_TCP, 1, 2);
		p.l4 = n <= NET_HASH_EXT_MAX ? p.l4 : 0;
		assert_hash(
			&p, NET_HASH_TYPES_ALL, n <= NET_HASH_EXT_MAX ? R(TCPv6_EX) : R(IPv6_EX));
	}
}

/* ---- any packet ---- */

static uint64_t rng;

static uint32_t
below(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % n;
}

static void
random_bytes(uint8_t *to, uint32_t len)
{
	while (len-- > 0)
		to[len] = (uint8_t)below(256);
}

/* A header that says nothing, of any type and length. */
static void
put_random_ext(struct pkt *p)
{
	static const uint8_t types[] = {IPPROTO_HOPOPTS, IPPROTO_AH, IPPROTO_MH, 139, 140};
	const uint8_t type = types[below(RTE_DIM(types))];
	const uint8_t units = (uint8_t)below(type == IPPROTO_AH ? 20 : 10);
	uint8_t body[90];

	random_bytes(body, sizeof(body));
	put_ext(p, type, units, body,
		type == IPPROTO_AH ? (units + 2u) * 4 - 2 : (units + 1u) * 8 - 2);
}

static void
put_random_ipv6(struct pkt *p, bool *fragment)
{
	uint8_t src[16], dst[16], home[16], route[16], frag[6] = {0};
	bool has_home = false, has_route = false;

	random_bytes(src, 16);
	random_bytes(dst, 16);
	random_bytes(home, 16);
	random_bytes(route, 16);
	put_ipv6(p, src, dst);
	for (unsigned int n = below(2) * below(7); n > 0 && !*fragment; n--) {
		switch (below(5)) {
		case 0:
			if (!has_home)
				put_home(p, home);
			has_home = true;
			break;
		case 1:
			if (!has_route)
				put_route(p, route);
			has_route = true;
			break;
		case 2:
			frag[1] = (uint8_t)(below(4) == 0 ? 1 + below(2) * 7 : 0);
			*fragment = frag[1] != 0;
			put_ext(p, IPPROTO_FRAGMENT, (uint8_t)below(256), frag, 6);
			break;
		default:
			put_random_ext(p);
		}
	}
}

static void
put_random(struct pkt *p)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ESP};
	const bool v4 = below(2) == 0;
	bool fragment = false;
	uint8_t addrs[8];

	put_ether(p, below(3) == 0 ? below(9) : 0, v4 ? RTE_ETHER_TYPE_IPV4 : RTE_ETHER_TYPE_IPV6);
	if (v4) {
		random_bytes(addrs, 8);
		fragment = below(4) == 0;
		put_ipv4(p, addrs, addrs + 4, (uint8_t)(5 + below(2) * below(11)),
			(uint16_t)(fragment ? 1 + below(0x3fff) : below(2) << 14));
	} else {
		put_random_ipv6(p, &fragment);
	}
	put_l4(p, protos[below(RTE_DIM(protos))], (uint16_t)below(65536), (uint16_t)below(65536));
	if (fragment)
		p->l4 = 0;
}

static void
any_packet_of_any_types_in_any_pieces_has_the_hash_that_it_was_made_for(void **state)
{
	struct pkt p;

	for (uint32_t seed = 1; seed <= RANDOM_PACKETS; seed++) {
		struct net_hdr_hash got, want;
		uint32_t types, piece;

		rng = seed * UINT64_C(0x9e3779b97f4a7c15);
		put_random(&p);
		types = below(NET_HASH_TYPES_ALL + 1);
		piece = below(3) == 0 ? 1 + below(80) : PACKET_MAX;
		got = hash_cut(&p, types, p.len, piece);
		want = expected(&p, types);
		if (memcmp(&got, &want, sizeof(got)) != 0)
			fail_msg("seed %u: %u 0x%x, not %u 0x%x", seed, got.report, got.value,
				want.report, want.value);
	}
}

/* ---- in mbufs ---- */

static void
a_hash_travels_in_its_mbuf(void **state)
{
	struct net_hash h;
	struct rte_mbuf *m[2];
	struct pkt p, arp;

	put_vector(&p, &vectors[0], IPPROTO_TCP);
	put_ether(&arp, 0, RTE_ETHER_TYPE_ARP);
	m[0] = mbuf_of(&p, p.len, PACKET_MAX);
	m[1] = mbuf_of(&arp, arp.len, PACKET_MAX);
	/* What a network card has found says nothing about our key and types. */
	m[1]->hash.rss = 0x1234;
	m[1]->ol_flags |= RTE_MBUF_F_RX_RSS_HASH;
	assert_int_equal(net_hash_get(m[0]).report, R(NONE));
	assert_int_equal(net_hash_get(m[1]).value, 0);
	net_hash_init(&h, NET_HASH_TYPES_ALL, key);
	net_hash_packets(&h, m, 2);
	assert_int_equal(net_hash_get(m[0]).report, R(TCPv4));
	assert_int_equal(net_hash_get(m[0]).value, vectors[0].with_ports);
	assert_int_equal(net_hash_get(m[1]).report, R(NONE));
	assert_int_equal(net_hash_get(m[1]).value, 0);
	rte_pktmbuf_free(m[0]);
	rte_pktmbuf_free(m[1]);
}

static int
test_net_hash(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_are_those_of_the_published_examples),
		cmocka_unit_test(ipv4_goes_by_transport_then_by_address),
		cmocka_unit_test(ipv6_without_extension_headers_has_types_of_its_own),
		cmocka_unit_test(types_for_extension_headers_come_before_those_without),
		cmocka_unit_test(home_address_and_route_stand_for_source_and_destination),
		cmocka_unit_test(other_routing_headers_leave_the_destination),
		cmocka_unit_test(fragments_are_hashed_by_address_the_first_one_too),
		cmocka_unit_test(tags_do_not_change_a_hash),
		cmocka_unit_test(what_is_not_ip_has_no_hash),
		cmocka_unit_test(a_header_that_is_not_whole_does_not_count),
		cmocka_unit_test(options_that_overrun_their_header_are_not_read),
		cmocka_unit_test(what_is_behind_too_many_extension_headers_is_not_known),
		cmocka_unit_test(
			any_packet_of_any_types_in_any_pieces_has_the_hash_that_it_was_made_for),
		cmocka_unit_test(a_hash_travels_in_its_mbuf),
	};

	return cmocka_run_group_tests_name("net_hash", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(net_hash, test_net_hash)
