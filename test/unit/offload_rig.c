/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Packets with offload requests for tests, and a model of what is to be made of them. */

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>

#include "net/net_hdr.h"
#include "net/offload.h"
#include "offload_rig.h"
#include "test.h"

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

/** Ethernet, two tags, IPv6, three extension headers of three units, TCP with options. */
#define HEADERS_MAX (14u + 8u + 40u + 72u + 60u)

static struct rte_mempool *pool;

struct rte_mempool *
offload_pool(void)
{
	if (pool == NULL)
		pool = rte_pktmbuf_pool_create("test-offload", OFFLOAD_MBUFS, 0, 0,
			RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(pool);
	return pool;
}

/* ---- bytes ---- */

static void
put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void
put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* Word by word, in network order. */
static uint32_t
sum16(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* ---- layout of a packet ---- */

struct layout {
	uint32_t l3, l4, hdr_len;
	bool ipv6, udp;
};

/* The test's own packets are well-formed: nothing is checked. */
static struct layout
layout_of(const uint8_t *d)
{
	struct layout l = {.l3 = 14};
	uint8_t proto;

	while (get16(d + l.l3 - 2) == 0x8100 || get16(d + l.l3 - 2) == 0x88a8)
		l.l3 += 4;
	l.ipv6 = get16(d + l.l3 - 2) == 0x86dd;
	if (l.ipv6) {
		proto = d[l.l3 + 6];
		l.l4 = l.l3 + 40;
		while (proto != IPPROTO_TCP && proto != IPPROTO_UDP) {
			proto = d[l.l4];
			l.l4 += (d[l.l4 + 1] + 1u) * 8;
		}
	} else {
		proto = d[l.l3 + 9];
		l.l4 = l.l3 + (d[l.l3] & 0xfu) * 4;
	}
	l.udp = proto == IPPROTO_UDP;
	l.hdr_len = l.l4 + (l.udp ? 8u : (d[l.l4 + 12] >> 4) * 4u);
	return l;
}

static uint8_t *
csum_field(uint8_t *d, const struct layout *l)
{
	return d + l->l4 + (l->udp ? 6 : 16);
}

static uint32_t
pseudo_sum(const uint8_t *d, const struct layout *l, uint32_t l4_len)
{
	const uint8_t *addr = d + l->l3 + (l->ipv6 ? 8 : 12);
	uint8_t tail[8] = {0};

	put32(tail, l4_len);
	tail[7] = l->udp ? IPPROTO_UDP : IPPROTO_TCP;
	return sum16(tail, sizeof(tail), sum16(addr, l->ipv6 ? 32 : 8, 0));
}

/* Lengths and the IPv4 checksum for a frame of len bytes. */
static void
lengths_set(uint8_t *d, const struct layout *l, uint32_t len)
{
	if (l->udp)
		put16(d + l->l4 + 4, len - l->l4);
	if (l->ipv6) {
		put16(d + l->l3 + 4, len - l->l3 - 40);
		return;
	}
	put16(d + l->l3 + 2, len - l->l3);
	put16(d + l->l3 + 10, 0);
	put16(d + l->l3 + 10, ~sum16(d + l->l3, l->l4 - l->l3, 0));
}

/* The transport's checksum from scratch: addresses, protocol, all bytes. */
static void
csum_set(uint8_t *d, const struct layout *l, uint32_t len)
{
	uint8_t *field = csum_field(d, l);
	uint32_t sum;

	put16(field, 0);
	sum = ~sum16(d + l->l4, len - l->l4, pseudo_sum(d, l, len - l->l4)) & 0xffff;
	put16(field, sum == 0 ? 0xffff : sum);
}

/* ---- making ---- */

static void
make_ipv4(uint8_t *d, struct layout *l, const struct offload_kind *k, uint32_t seed)
{
	uint8_t *ip = d + l->l3;

	l->l4 = l->l3 + 20 + k->ext * 4u;
	memset(ip, 0, l->l4 - l->l3);
	ip[0] = (uint8_t)(0x45 + k->ext);
	ip[1] = (uint8_t)(seed & 3);
	put16(ip + 4, seed * 40503u);
	ip[6] = 0x40;
	ip[8] = 64;
	ip[9] = l->udp ? IPPROTO_UDP : IPPROTO_TCP;
	put32(ip + 12, 0xc0000201u);
	put32(ip + 16, 0xc0000202u + seed % 7);
	memset(ip + 20, 1, k->ext * 4u); /* no operation */
}

static void
make_ipv6(uint8_t *d, struct layout *l, const struct offload_kind *k, uint32_t seed)
{
	static const uint8_t kinds[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING};
	const uint8_t proto = l->udp ? IPPROTO_UDP : IPPROTO_TCP;
	uint8_t *next = d + l->l3 + 6;

	memset(d + l->l3, 0, 40);
	d[l->l3] = 0x60;
	d[l->l3 + 7] = 64;
	put32(d + l->l3 + 8, 0x20010db8u);
	d[l->l3 + 23] = 1;
	put32(d + l->l3 + 24, 0x20010db8u);
	put32(d + l->l3 + 36, seed * 2654435761u);
	l->l4 = l->l3 + 40;
	for (unsigned int i = 0; i < k->ext; i++) {
		const uint32_t units = 1 + (seed >> i) % 3;
		uint8_t *ext = d + l->l4;

		*next = kinds[i % sizeof(kinds)];
		memset(ext, 0, units * 8); /* padding; a routing header without segments left */
		ext[1] = (uint8_t)(units - 1);
		if (kinds[i % sizeof(kinds)] == IPPROTO_ROUTING)
			ext[2] = 253; /* RFC 3692: experiments */
		next = ext;
		l->l4 += units * 8;
	}
	*next = proto;
}

static void
make_l4(uint8_t *d, struct layout *l, const struct offload_kind *k, uint32_t seed)
{
	uint8_t *l4 = d + l->l4;

	l->hdr_len = l->l4 + (l->udp ? 8 : 20 + k->tcp_opts * 4u);
	memset(l4, 1, l->hdr_len - l->l4); /* options: no operation */
	put16(l4, 1024 + seed % 50000);
	put16(l4 + 2, 5001);
	if (l->udp)
		return;
	put32(l4 + 4, seed * 2654435761u);
	put32(l4 + 8, ~seed);
	l4[12] = (uint8_t)((5 + k->tcp_opts) << 4);
	l4[13] = k->tcp_flags;
	put16(l4 + 14, 501);
	put16(l4 + 18, 0);
}

void
offload_make(struct offload_pkt *p, const struct offload_kind *k, uint32_t seed)
{
	struct layout l = {.l3 = 14 + k->tags * 4u, .ipv6 = k->ipv6, .udp = k->udp};
	uint8_t *d = p->data;

	memset(d, 0xff, 6);
	memcpy(d + 6, "\x52\x54\x00\x12\x34\x56", 6);
	for (unsigned int i = 0; i < k->tags; i++) {
		put16(d + 12 + i * 4, i == 0 && k->tags > 1 ? 0x88a8 : 0x8100);
		put16(d + 14 + i * 4, 0x2000 | (100 + i));
	}
	put16(d + l.l3 - 2, l.ipv6 ? 0x86dd : 0x0800);
	if (l.ipv6)
		make_ipv6(d, &l, k, seed);
	else
		make_ipv4(d, &l, k, seed);
	make_l4(d, &l, k, seed);
	p->len = l.hdr_len + k->payload;
	assert_true(p->len <= OFFLOAD_PKT_MAX);
	for (uint32_t i = l.hdr_len; i < p->len; i++)
		d[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
	lengths_set(d, &l, p->len);
	put16(csum_field(d, &l), pseudo_sum(d, &l, p->len - l.l4));
	p->hdr = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.hdr_len = (uint16_t)l.hdr_len,
		.csum_start = (uint16_t)l.l4,
		.csum_offset = l.udp ? 6 : 16,
	};
	if (k->size == 0)
		return;
	p->hdr.gso_size = k->size;
	p->hdr.gso_type = l.udp	   ? VIRTIO_NET_HDR_GSO_UDP_L4
			  : l.ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
				   : VIRTIO_NET_HDR_GSO_TCPV4;
	if (!l.udp && (k->tcp_flags & TCP_CWR) != 0)
		p->hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}

static uint32_t
upto(unsigned int *state, uint32_t max)
{
	return max == 0 ? 0 : ((uint32_t)rand_r(state) << 8 ^ (uint32_t)rand_r(state)) % (max + 1);
}

void
offload_random(struct offload_pkt *p, uint32_t seed, const struct offload_limits *limits)
{
	unsigned int s = seed;
	struct offload_kind k = {
		.ipv6 = upto(&s, 1),
		.udp = upto(&s, 1),
		.tags = (uint8_t)upto(&s, 2),
		.ext = (uint8_t)upto(&s, 3),
		.tcp_opts = (uint8_t)upto(&s, 10),
		.tcp_flags = (uint8_t)(0x10 | upto(&s, 1) | upto(&s, 1) << 3 | upto(&s, 3) << 6),
	};
	const bool large = limits->gso_len != 0 && upto(&s, 3) > 0;
	const bool plain = !large && upto(&s, 2) == 0;
	uint32_t max = limits->len;

	if (large) {
		max = upto(&s, 7) == 0 ? limits->gso_len : RTE_MIN(limits->gso_len, 8000u);
		k.size = (uint16_t)(limits->gso_size +
				    upto(&s, limits->len - HEADERS_MAX - limits->gso_size));
	}
	k.payload = upto(&s, max - HEADERS_MAX);
	offload_make(p, &k, seed);
	if (plain) {
		const struct layout l = layout_of(p->data);

		csum_set(p->data, &l, p->len);
		memset(&p->hdr, 0, sizeof(p->hdr));
	}
}

/* ---- mbufs ---- */

struct rte_mbuf *
offload_mbuf(const struct offload_pkt *p, uint32_t seed)
{
	struct rte_mbuf *m = NULL;
	unsigned int s = seed;

	for (uint32_t at = 0; at < p->len;) {
		struct rte_mbuf *seg = rte_pktmbuf_alloc(offload_pool());
		uint32_t part;

		assert_non_null(seg);
		seg->data_off = NET_MBUF_DATA_OFF;
		part = RTE_MIN(p->len - at, rte_pktmbuf_tailroom(seg));
		if (seed != 0)
			part = RTE_MIN(part, 1 + upto(&s, upto(&s, 3) == 0 ? 40 : 3000));
		/* The number of pieces has its limits, too. */
		if (seed != 0 && p->len > 10000)
			part = RTE_MIN(p->len - at, RTE_MAX(part, 1500u));
		part = RTE_MIN(part, rte_pktmbuf_tailroom(seg));
		memcpy(rte_pktmbuf_append(seg, (uint16_t)part), p->data + at, part);
		at += part;
		if (m == NULL)
			m = seg;
		else
			assert_int_equal(rte_pktmbuf_chain(m, seg), 0);
	}
	memset(NET_MBUF_HDR(m), 0, sizeof(struct virtio_net_hdr_mrg_rxbuf));
	NET_MBUF_HDR(m)->hdr = p->hdr;
	return m;
}

void
offload_flat(const struct rte_mbuf *m, struct offload_pkt *p)
{
	const void *d;

	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
	assert_true(m->pkt_len <= OFFLOAD_PKT_MAX);
	p->len = m->pkt_len;
	p->hdr = NET_MBUF_HDR(m)->hdr;
	d = rte_pktmbuf_read(m, 0, p->len, p->data);
	if (d != p->data)
		memcpy(p->data, d, p->len);
}

/* ---- model ---- */

static uint8_t *
wire_frame(struct offload_wire *w, uint32_t len)
{
	assert_true(w->n < RTE_DIM(w->frame) && w->bytes + len <= sizeof(w->data));
	w->frame[w->n].at = w->bytes;
	w->frame[w->n].len = len;
	w->n++;
	w->bytes += len;
	return w->data + w->bytes - len;
}

static void
finish_one(struct offload_wire *w, const struct offload_pkt *p)
{
	uint8_t *d = wire_frame(w, p->len);
	struct layout l;

	memcpy(d, p->data, p->len);
	l = layout_of(d);
	if ((p->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
		csum_set(d, &l, p->len);
	else if (!l.udp && get16(csum_field(d, &l)) == 0)
		put16(csum_field(d, &l), 0xffff); /* two zeros */
}

void
offload_finish(struct offload_wire *w, const struct offload_pkt *p)
{
	const struct layout l = layout_of(p->data);
	const uint32_t payload = p->len - l.hdr_len, size = p->hdr.gso_size;

	if (p->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE || payload <= size) {
		finish_one(w, p);
		return;
	}
	for (uint32_t at = 0, i = 0; at < payload; at += size, i++) {
		const uint32_t part = RTE_MIN(size, payload - at);
		uint8_t *d = wire_frame(w, l.hdr_len + part);

		memcpy(d, p->data, l.hdr_len);
		memcpy(d + l.hdr_len, p->data + l.hdr_len + at, part);
		if (!l.ipv6)
			put16(d + l.l3 + 4, get16(p->data + l.l3 + 4) + i);
		if (!l.udp) {
			put32(d + l.l4 + 4, get32(p->data + l.l4 + 4) + at);
			if (at > 0)
				d[l.l4 + 13] &= (uint8_t)~TCP_CWR;
			if (at + part < payload)
				d[l.l4 + 13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		}
		lengths_set(d, &l, l.hdr_len + part);
		csum_set(d, &l, l.hdr_len + part);
	}
}

void
offload_same(const struct offload_wire *got, const struct offload_wire *want, const char *what)
{
	for (unsigned int i = 0; i < RTE_MIN(got->n, want->n); i++) {
		const uint8_t *g = got->data + got->frame[i].at;
		const uint8_t *x = want->data + want->frame[i].at;
		uint32_t at = 0;

		if (got->frame[i].len != want->frame[i].len)
			fail_msg("%s: frame %u has %u bytes, not %u", what, i, got->frame[i].len,
				want->frame[i].len);
		while (at < got->frame[i].len && g[at] == x[at])
			at++;
		if (at < got->frame[i].len)
			fail_msg("%s: frame %u of %u: byte %u is %02x, not %02x", what, i, want->n,
				at, g[at], x[at]);
	}
	if (got->n != want->n)
		fail_msg("%s: %u frames, not %u", what, got->n, want->n);
}

uint32_t
offload_asked(const struct offload_pkt *p)
{
	const bool ipv6 = layout_of(p->data).ipv6;
	uint32_t asked = 0;

	if (p->hdr.flags != 0)
		asked |= NET_OFFLOAD_CSUM;
	if ((p->hdr.gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0)
		asked |= NET_OFFLOAD_ECN;
	switch (p->hdr.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return asked | NET_OFFLOAD_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return asked | NET_OFFLOAD_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return asked | (ipv6 ? NET_OFFLOAD_USO6 : NET_OFFLOAD_USO4);
	}
	return asked;
}

uint16_t
offload_hdr_len(const struct offload_pkt *p)
{
	return (uint16_t)layout_of(p->data).hdr_len;
}
