/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What a received packet is hashed as, and its hash. */

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_thash.h>
#include <rte_udp.h>

#include "net/ether.h"
#include "net/hash.h"

#define IPV6_ADDR_LEN  16u
#define IPV6_EXT_UNIT  8u
#define IPV6_AH_UNIT   4u
#define IPV6_FRAG_MASK 0xfff9 /* offset and "more follow" */

/* Upper-layer numbers that <netinet/in.h> lacks; headers like any other (RFC 5533, RFC 7401). */
#define PROTO_HIP      139
#define PROTO_SHIM6    140

#define ROUTING_TYPE_2 2 /* RFC 6275, 6.4 */
#define OPTION_PAD1    0
#define OPTION_HOME    0xc9 /* RFC 6275, 6.3 */

#define WORD_LEN       4u
#define ADDR_BYTES_MAX (2 * IPV6_ADDR_LEN)
#define PORT_BYTES     4u

/* The three ways of hashing a packet of a kind. */
struct family {
	uint16_t tcp, udp, ip;
};

#define FAMILY(f)                                                                                  \
	{                                                                                          \
		VIRTIO_NET_HASH_REPORT_TCP##f, VIRTIO_NET_HASH_REPORT_UDP##f,                      \
			VIRTIO_NET_HASH_REPORT_IP##f                                               \
	}
static const struct family ipv4 = FAMILY(v4), ipv6 = FAMILY(v6), ipv6_ex = FAMILY(v6_EX);

void
net_hash_init(struct net_hash *h, uint32_t types, const uint8_t key[NET_HASH_KEY_SIZE])
{
	uint32_t words[NET_HASH_KEY_SIZE / WORD_LEN];

	memcpy(words, key, sizeof(words));
	h->types = types;
	rte_convert_rss_key(words, h->key, sizeof(words));
}

/* ---- what there is to hash ---- */

/* A transport header, if it is there. */
struct transport {
	uint8_t proto; /* TCP or UDP, else 0 */
	uint8_t ports[PORT_BYTES];
};

static void
transport_look(struct transport *t, const struct rte_mbuf *m, uint32_t off, uint8_t proto)
{
	const uint32_t len =
		proto == IPPROTO_TCP ? sizeof(struct rte_tcp_hdr) : sizeof(struct rte_udp_hdr);
	uint8_t buf[sizeof(struct rte_tcp_hdr)];
	const void *hdr;

	t->proto = 0;
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return;
	hdr = rte_pktmbuf_read(m, off, len, buf);
	if (hdr == NULL)
		return;
	t->proto = proto;
	memcpy(t->ports, hdr, sizeof(t->ports));
}

/* Which of the enabled types comes first (5.1.6.4.3.2 to 5.1.6.4.3.4). */
static uint16_t
choose(uint32_t types, const struct family *f, uint8_t proto)
{
	if (proto == IPPROTO_TCP && (types >> (f->tcp - 1) & 1) != 0)
		return f->tcp;
	if (proto == IPPROTO_UDP && (types >> (f->udp - 1) & 1) != 0)
		return f->udp;
	return (types >> (f->ip - 1) & 1) != 0 ? f->ip : VIRTIO_NET_HASH_REPORT_NONE;
}

/* The hash of two addresses and, unless it is of IP alone, the ports. */
static struct net_hdr_hash
toeplitz(const struct net_hash *h, const struct family *f, uint16_t report, const uint8_t *addrs,
	uint32_t len, const struct transport *t)
{
	uint32_t words[(ADDR_BYTES_MAX + PORT_BYTES) / WORD_LEN], n;

	if (report == VIRTIO_NET_HASH_REPORT_NONE)
		return (struct net_hdr_hash){0};
	memcpy(words, addrs, len);
	if (report != f->ip) {
		memcpy((uint8_t *)words + len, t->ports, sizeof(t->ports));
		len += sizeof(t->ports);
	}
	n = len / WORD_LEN;
	for (uint32_t i = 0; i < n; i++)
		words[i] = rte_be_to_cpu_32(words[i]);
	return (struct net_hdr_hash){
		.value = rte_softrss_be(words, n, (const uint8_t *)h->key),
		.report = report,
	};
}

static struct net_hdr_hash
hash_ipv4(const struct net_hash *h, const struct rte_mbuf *m, uint32_t at)
{
	struct transport t = {0};
	struct rte_ipv4_hdr buf;
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_read(m, at, sizeof(buf), &buf);
	uint8_t len;

	if (ip == NULL || ip->version_ihl >> 4 != 4)
		return (struct net_hdr_hash){0};
	len = rte_ipv4_hdr_len(ip);
	if (len < sizeof(*ip))
		return (struct net_hdr_hash){0};
	if ((ip->fragment_offset &
		    rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) == 0)
		transport_look(&t, m, at + len, ip->next_proto_id);
	return toeplitz(h, &ipv4, choose(h->types, &ipv4, t.proto), (const uint8_t *)&ip->src_addr,
		2 * sizeof(ip->src_addr), &t);
}

/* ---- IPv6 ---- */

/* What extension headers have to say. */
struct ipv6_look {
	uint8_t addrs[ADDR_BYTES_MAX]; /* source and destination, or what stands for them */
	uint32_t budget;	       /* bytes of options that may still be looked at */
	bool home;		       /* the source is a home address */
	bool route;		       /* the destination is a routing header's */
	bool fragment;
};

/* Find a home address among a header's options. */
static void
look_options(struct ipv6_look *look, const struct rte_mbuf *m, uint32_t at, uint32_t len)
{
	uint8_t buf[NET_HASH_OPTIONS_MAX];
	const uint8_t *p;
	uint32_t size;

	len = RTE_MIN(len, look->budget);
	look->budget -= len;
	p = rte_pktmbuf_read(m, at, len, buf);
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < len && !look->home; i += size) {
		size = 1;
		if (p[i] == OPTION_PAD1)
			continue;
		if (i + 2 > len || i + 2 + p[i + 1] > len)
			return;
		size = 2u + p[i + 1];
		if (p[i] == OPTION_HOME && p[i + 1] == IPV6_ADDR_LEN) {
			memcpy(look->addrs, &p[i + 2], IPV6_ADDR_LEN);
			look->home = true;
		}
	}
}

/* The header of a mobile node's home: one address, on its last hop (RFC 6275, 6.4.1). */
static void
look_routing(struct ipv6_look *look, const struct rte_mbuf *m, uint32_t at, const uint8_t *hdr)
{
	uint8_t buf[IPV6_ADDR_LEN];
	const uint8_t *addr;

	if (look->route || hdr[1] != IPV6_ADDR_LEN / IPV6_EXT_UNIT || hdr[2] != ROUTING_TYPE_2 ||
		hdr[3] != 1)
		return;
	addr = rte_pktmbuf_read(m, at + IPV6_EXT_UNIT, IPV6_ADDR_LEN, buf);
	if (addr == NULL)
		return;
	memcpy(look->addrs + IPV6_ADDR_LEN, addr, IPV6_ADDR_LEN);
	look->route = true;
}

static bool
is_extension(uint8_t next)
{
	switch (next) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case PROTO_HIP:
	case PROTO_SHIM6:
		return true;
	}
	return false;
}

/* Look at the extension header at `at`. @return its length */
static uint32_t
look_extension(struct ipv6_look *look, const struct rte_mbuf *m, uint8_t type, uint32_t at,
	const uint8_t *hdr)
{
	const uint32_t len = (hdr[1] + 1u) * IPV6_EXT_UNIT;

	switch (type) {
	case IPPROTO_FRAGMENT:
		look->fragment |= (net_be16_at(hdr + 2) & IPV6_FRAG_MASK) != 0;
		return IPV6_EXT_UNIT;
	case IPPROTO_AH:
		return (hdr[1] + 2u) * IPV6_AH_UNIT;
	case IPPROTO_DSTOPTS:
		look_options(look, m, at + 2, len - 2);
		break;
	case IPPROTO_ROUTING:
		look_routing(look, m, at, hdr);
		break;
	}
	return len;
}

/*
 * Follow the chain of extension headers from `next` on, which stands at *at. What is behind a
 * header that is not whole, or of a fragment, is not known.
 *
 * @return the upper layer, which stands at *at; IPPROTO_NONE
 */
static uint8_t
look_past_extensions(struct ipv6_look *look, const struct rte_mbuf *m, uint8_t next, uint32_t *at)
{
	uint8_t buf[IPV6_EXT_UNIT];
	const uint8_t *hdr;

	for (unsigned int i = 0; is_extension(next); i++) {
		hdr = rte_pktmbuf_read(m, *at, sizeof(buf), buf);
		if (i == NET_HASH_EXT_MAX || hdr == NULL)
			return IPPROTO_NONE;
		*at += look_extension(look, m, next, *at, hdr);
		if (look->fragment)
			return IPPROTO_NONE;
		next = hdr[0];
	}
	return next;
}

static struct net_hdr_hash
hash_ipv6(const struct net_hash *h, const struct rte_mbuf *m, uint32_t at)
{
	struct ipv6_look look = {.budget = NET_HASH_OPTIONS_MAX};
	struct transport t = {0};
	struct rte_ipv6_hdr buf;
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_read(m, at, sizeof(buf), &buf);
	const uint8_t *addrs;
	uint16_t report;
	uint8_t upper;

	if (ip == NULL || *(const uint8_t *)ip >> 4 != 6)
		return (struct net_hdr_hash){0};
	addrs = (const uint8_t *)&ip->src_addr;
	at += sizeof(*ip);
	if (likely(!is_extension(ip->proto))) {
		transport_look(&t, m, at, ip->proto);
	} else {
		memcpy(look.addrs, addrs, sizeof(look.addrs));
		upper = look_past_extensions(&look, m, ip->proto, &at);
		transport_look(&t, m, at, upper);
		report = choose(h->types, &ipv6_ex, t.proto);
		if (report != VIRTIO_NET_HASH_REPORT_NONE)
			return toeplitz(h, &ipv6_ex, report, look.addrs, sizeof(look.addrs), &t);
	}
	report = choose(h->types, &ipv6, t.proto);
	return toeplitz(h, &ipv6, report, addrs, 2 * IPV6_ADDR_LEN, &t);
}

/* ---- packets ---- */

struct net_hdr_hash
net_hash_packet(const struct net_hash *h, const struct rte_mbuf *m)
{
	uint8_t buf[NET_ETHER_LOOK];
	const uint32_t len = RTE_MIN(m->pkt_len, (uint32_t)sizeof(buf));
	const uint8_t *hdr;
	uint16_t l3;

	/* As long as the driver has not asked for any, packets need not be looked at. */
	if (h->types == 0)
		return (struct net_hdr_hash){0};
	hdr = rte_pktmbuf_read(m, 0, len, buf);
	switch (net_ether_skip(hdr, len, &l3)) {
	case RTE_ETHER_TYPE_IPV4:
		return hash_ipv4(h, m, l3);
	case RTE_ETHER_TYPE_IPV6:
		return hash_ipv6(h, m, l3);
	}
	return (struct net_hdr_hash){0};
}

void
net_hash_packets(const struct net_hash *h, struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		net_hash_set(pkts[i], net_hash_packet(h, pkts[i]));
}
