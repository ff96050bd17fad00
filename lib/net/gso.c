/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Large segments: what they are, and how they are cut. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "net/csum.h"
#include "net/ether.h"
#include "net/gso.h"

#define IPV6_EXT_UNIT 8u
#define TCP_HDR_MIN   20u
#define UDP_HDR_LEN   8u

/* ---- looking ---- */

static bool
ipv4_leads_to(const struct net_gso *g, uint8_t proto)
{
	const uint8_t *ip = g->hdr + g->l3;
	const struct rte_ipv4_hdr *hdr = (const struct rte_ipv4_hdr *)ip;

	if (g->l4 < g->l3 + sizeof(*hdr) || ip[0] >> 4 != 4)
		return false;
	return g->l3 + rte_ipv4_hdr_len(hdr) == g->l4 && hdr->next_proto_id == proto &&
	       (net_be16_at((const uint8_t *)&hdr->fragment_offset) &
		       (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK)) == 0;
}

/* The extension headers that may stand in each segment: all but those of fragments and IPsec. */
static bool
ipv6_leads_to(const struct net_gso *g, uint8_t proto)
{
	uint32_t at = g->l3 + sizeof(struct rte_ipv6_hdr);
	uint8_t next;

	if (at > g->l4 || g->hdr[g->l3] >> 4 != 6)
		return false;
	next = g->hdr[g->l3 + offsetof(struct rte_ipv6_hdr, proto)];
	while (at < g->l4) {
		if ((next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
			    next != IPPROTO_DSTOPTS) ||
			at + IPV6_EXT_UNIT > g->l4)
			return false;
		next = g->hdr[at];
		at += (g->hdr[at + 1] + 1u) * IPV6_EXT_UNIT;
	}
	return at == g->l4 && next == proto;
}

static int
parse_l3(struct net_gso *g, uint32_t len, uint8_t gso_type)
{
	const uint8_t proto = g->udp ? IPPROTO_UDP : IPPROTO_TCP;
	const uint16_t type = net_ether_skip(g->hdr, len, &g->l3);

	g->ipv6 = type == RTE_ETHER_TYPE_IPV6;
	if (type == RTE_ETHER_TYPE_IPV4 && gso_type != VIRTIO_NET_HDR_GSO_TCPV6)
		return ipv4_leads_to(g, proto) ? 0 : -EINVAL;
	if (type == RTE_ETHER_TYPE_IPV6 && gso_type != VIRTIO_NET_HDR_GSO_TCPV4)
		return ipv6_leads_to(g, proto) ? 0 : -EINVAL;
	return -EINVAL;
}

static int
parse_l4(struct net_gso *g, uint32_t len)
{
	uint32_t l4_len = UDP_HDR_LEN;

	if (!g->udp) {
		const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)(g->hdr + g->l4);

		l4_len = (tcp->data_off >> 4) * 4u;
		if (l4_len < TCP_HDR_MIN)
			return -EINVAL;
	}
	if (g->l4 + l4_len > len)
		return -EINVAL;
	g->hdr_len = (uint16_t)(g->l4 + l4_len);
	return 0;
}

static int
parse_size(struct net_gso *g, uint32_t pkt_len)
{
	const uint32_t payload = pkt_len - g->hdr_len;
	const uint32_t n = (payload + g->size - 1) / g->size;

	if (n > NET_GSO_SEGS_MAX)
		return -E2BIG;
	g->n = (uint16_t)RTE_MAX(n, 1u);
	/* What the IP header can tell the length of. */
	if (g->n > 1 && (uint32_t)g->hdr_len - g->l3 + g->size > UINT16_MAX)
		return -EINVAL;
	return 0;
}

/* The packet's first bytes. @return how many */
static uint32_t
headers_copy(const struct rte_mbuf *m, uint8_t *to, uint32_t len)
{
	const void *at;

	len = RTE_MIN(len, m->pkt_len);
	at = rte_pktmbuf_read(m, 0, len, to);
	if (at != to)
		memcpy(to, at, len);
	return len;
}

int
net_gso_parse(const struct rte_mbuf *m, struct net_gso *g)
{
	const struct virtio_net_hdr *h = &NET_MBUF_HDR(m)->hdr;
	const uint8_t type = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
	uint32_t len;
	int ret;

	g->udp = type == VIRTIO_NET_HDR_GSO_UDP_L4;
	if (!g->udp && type != VIRTIO_NET_HDR_GSO_TCPV4 && type != VIRTIO_NET_HDR_GSO_TCPV6)
		return -EINVAL;
	g->l4 = h->csum_start;
	g->size = h->gso_size;
	len = headers_copy(m, g->hdr, NET_GSO_HDR_MAX);
	if (g->l4 + (g->udp ? UDP_HDR_LEN : TCP_HDR_MIN) > len || g->size == 0)
		return -EINVAL;
	ret = parse_l3(g, len, type);
	if (ret == 0)
		ret = parse_l4(g, len);
	return ret != 0 ? ret : parse_size(g, m->pkt_len);
}

bool
net_gso_is_ipv6(const struct rte_mbuf *m)
{
	uint8_t hdr[NET_ETHER_LOOK];
	const uint32_t len = headers_copy(m, hdr, sizeof(hdr));
	uint16_t l3;

	return net_ether_skip(hdr, len, &l3) == RTE_ETHER_TYPE_IPV6;
}

/* ---- cutting ---- */

/* Where the payload has been read to. */
struct cursor {
	const struct rte_mbuf *m;
	uint32_t off;
};

static void
cursor_skip(struct cursor *c, uint32_t len)
{
	c->off += len;
	while (c->off >= c->m->data_len && c->m->next != NULL) {
		c->off -= c->m->data_len;
		c->m = c->m->next;
	}
}

static void
cursor_read(struct cursor *c, uint8_t *to, uint32_t len)
{
	while (len > 0) {
		const uint32_t part = RTE_MIN(len, c->m->data_len - c->off);

		memcpy(to, rte_pktmbuf_mtod_offset(c->m, const uint8_t *, c->off), part);
		cursor_skip(c, part);
		to += part;
		len -= part;
	}
}

/* Give a fresh mbuf room for a packet of len bytes, its header's place included. */
static int
segment_room(struct rte_mbuf *seg, struct rte_mempool *pool, uint32_t len, uint16_t hdr_len)
{
	struct rte_mbuf *last = seg;
	uint32_t left = len;

	seg->data_off = NET_MBUF_DATA_OFF;
	if (rte_pktmbuf_tailroom(seg) < hdr_len)
		return -ENOMEM;
	seg->pkt_len = len;
	for (;;) {
		last->data_len = (uint16_t)RTE_MIN(left, rte_pktmbuf_tailroom(last));
		left -= last->data_len;
		if (left == 0)
			return 0;
		last->next = rte_pktmbuf_alloc(pool);
		if (last->next == NULL)
			return -ENOMEM;
		last = last->next;
		seg->nb_segs++;
	}
}

/* What differs from one segment's headers to the next. */
struct cut {
	uint16_t i;
	uint16_t len; /**< payload of segment i */
	uint32_t seq; /**< of the packet */
	uint16_t id;
	uint16_t sum; /**< the pseudo-header's, without the length */
	uint8_t flags;
};

static void
cut_begin(const struct net_gso *g, uint32_t pkt_len, struct cut *cut)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(g->hdr + g->l3);
	const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)(g->hdr + g->l4);
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)(g->hdr + g->l4);
	const uint32_t l4_len = pkt_len - g->l4;
	const uint16_t len = net_sum_add((uint16_t)l4_len, (uint16_t)(l4_len >> 16));

	*cut = (struct cut){.sum = g->udp ? udp->dgram_cksum : tcp->cksum};
	cut->sum = net_sum_add(cut->sum, (uint16_t)~rte_cpu_to_be_16(len));
	if (!g->ipv6)
		cut->id = rte_be_to_cpu_16(ip->packet_id);
	if (!g->udp) {
		cut->seq = rte_be_to_cpu_32(tcp->sent_seq);
		cut->flags = tcp->tcp_flags;
	}
}

static void
cut_l3(struct net_gso *g, const struct cut *cut)
{
	struct rte_ipv4_hdr *ip4 = (struct rte_ipv4_hdr *)(g->hdr + g->l3);
	struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)(g->hdr + g->l3);
	const uint16_t len = (uint16_t)(g->hdr_len - g->l3 + cut->len);

	if (g->ipv6) {
		ip6->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*ip6)));
		return;
	}
	ip4->total_length = rte_cpu_to_be_16(len);
	ip4->packet_id = rte_cpu_to_be_16((uint16_t)(cut->id + cut->i));
	ip4->hdr_checksum = 0;
	ip4->hdr_checksum = (uint16_t)~net_sum(ip4, (size_t)(g->l4 - g->l3));
}

static void
cut_l4(struct net_gso *g, const struct cut *cut)
{
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(g->hdr + g->l4);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(g->hdr + g->l4);
	const uint16_t len = rte_cpu_to_be_16((uint16_t)(g->hdr_len - g->l4 + cut->len));
	const uint16_t sum = net_sum_add(cut->sum, len);

	if (g->udp) {
		udp->dgram_len = len;
		udp->dgram_cksum = sum;
		return;
	}
	tcp->sent_seq = rte_cpu_to_be_32(cut->seq + (uint32_t)cut->i * g->size);
	tcp->cksum = sum;
	tcp->tcp_flags = cut->flags;
	if (cut->i > 0)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG; /* RFC 3168, 6.1.2 */
	if (cut->i + 1 < g->n)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
}

static void
segment_fill(struct rte_mbuf *seg, const struct net_gso *g, struct cursor *from)
{
	memcpy(rte_pktmbuf_mtod(seg, void *), g->hdr, g->hdr_len);
	cursor_read(from, rte_pktmbuf_mtod_offset(seg, uint8_t *, g->hdr_len),
		seg->data_len - g->hdr_len);
	for (seg = seg->next; seg != NULL; seg = seg->next)
		cursor_read(from, rte_pktmbuf_mtod(seg, uint8_t *), seg->data_len);
}

static void
segment_header(struct rte_mbuf *seg, const struct net_gso *g, bool csum)
{
	const uint16_t offset = g->udp ? offsetof(struct rte_udp_hdr, dgram_cksum)
				       : offsetof(struct rte_tcp_hdr, cksum);
	struct virtio_net_hdr_mrg_rxbuf *hdr = NET_MBUF_HDR(seg);

	memset(hdr, 0, sizeof(*hdr));
	if (csum) {
		/* Cannot fail: the field is in the headers. */
		(void)net_csum_complete(seg, g->l4, offset);
		return;
	}
	hdr->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->hdr.csum_start = g->l4;
	hdr->hdr.csum_offset = offset;
}

int
net_gso_segment(const struct rte_mbuf *m, struct net_gso *g, bool csum, struct rte_mempool *pool,
	struct rte_mbuf **segs)
{
	struct cursor from = {m, 0};
	uint32_t left = m->pkt_len - g->hdr_len;
	struct cut cut;

	if (rte_pktmbuf_alloc_bulk(pool, segs, g->n) != 0)
		return -ENOMEM;
	cursor_skip(&from, g->hdr_len);
	cut_begin(g, m->pkt_len, &cut);
	for (cut.i = 0; cut.i < g->n; cut.i++) {
		cut.len = (uint16_t)RTE_MIN(left, (uint32_t)g->size);
		left -= cut.len;
		if (segment_room(segs[cut.i], pool, (uint32_t)g->hdr_len + cut.len, g->hdr_len) !=
			0) {
			rte_pktmbuf_free_bulk(segs, g->n);
			return -ENOMEM;
		}
		cut_l3(g, &cut);
		cut_l4(g, &cut);
		segment_fill(segs[cut.i], g, &from);
		segment_header(segs[cut.i], g, csum);
	}
	return 0;
}
