/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * What virtio-net headers and mbuf flags say of a packet, in the other's words. Two differences:
 *
 * - A large segment's checksum field holds the sum of the pseudo-header: with the length of all of
 *   it in virtio, without any length in DPDK.
 * - DPDK has one offload for TCP over IPv4 and IPv6, and its UDP_TSO makes IP fragments of a large
 *   datagram in some PMDs and datagrams in others; virtio's GSO_UDP_L4 means the latter.
 */

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "net/csum.h"
#include "net/net_hdr.h"
#include "sf/ethdev/ethdev.h"
#include "vring/vring.h"

#define RX_CSUM_OFFLOADS (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)
#define TX_CSUM_OFFLOADS (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
/** A segment's checksums are the port's to compute. */
#define TX_TSO_OFFLOADS                                                                            \
	(RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |                              \
		RTE_ETH_TX_OFFLOAD_MULTI_SEGS | TX_CSUM_OFFLOADS)
#define TX_USO_OFFLOADS                                                                            \
	(RTE_ETH_TX_OFFLOAD_UDP_TSO | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |                              \
		RTE_ETH_TX_OFFLOAD_MULTI_SEGS | TX_CSUM_OFFLOADS)

/** Widths of the mbuf's fields. */
#define L2_LEN_MAX 127u
#define L3_LEN_MAX 511u

uint64_t
ethdev_rx_offloads(const struct rte_eth_dev_info *info)
{
	const uint64_t capa = info->rx_offload_capa;

	if ((capa & RX_CSUM_OFFLOADS) != RX_CSUM_OFFLOADS)
		return 0;
	return capa & (RX_CSUM_OFFLOADS | RTE_ETH_RX_OFFLOAD_IPV4_CKSUM);
}

uint64_t
ethdev_tx_offloads(const struct rte_eth_dev_info *info, bool uso)
{
	const uint64_t capa = info->tx_offload_capa;
	uint64_t used = capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;

	if ((capa & TX_CSUM_OFFLOADS) == TX_CSUM_OFFLOADS)
		used |= TX_CSUM_OFFLOADS;
	/* It segments in software, by librte_gso, which leaves TCP over IPv6 whole and gives up at
	 * 64 segments. Ours does neither. */
	if (ethdev_is_net_tap(info))
		return used;
	if ((capa & TX_TSO_OFFLOADS) == TX_TSO_OFFLOADS)
		used |= TX_TSO_OFFLOADS;
	if (uso && (capa & TX_USO_OFFLOADS) == TX_USO_OFFLOADS)
		used |= TX_USO_OFFLOADS;
	return used;
}

uint32_t
ethdev_caps(uint64_t rx_offloads, uint64_t tx_offloads)
{
	uint32_t caps = 0;

	if ((rx_offloads & RX_CSUM_OFFLOADS) == RX_CSUM_OFFLOADS)
		caps |= SF_CAP_RX_CSUM;
	if ((tx_offloads & TX_CSUM_OFFLOADS) == TX_CSUM_OFFLOADS)
		caps |= SF_CAP_TX_CSUM;
	if ((tx_offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO) != 0)
		caps |= SF_CAP_TX_TSO4 | SF_CAP_TX_TSO6;
	if ((tx_offloads & RTE_ETH_TX_OFFLOAD_UDP_TSO) != 0)
		caps |= SF_CAP_TX_USO;
	return caps;
}

/* Where a packet's headers are. */
struct headers {
	uint16_t l2_len, l3_len, l4_len;
	bool ipv6;
	bool tcp; /* else UDP */
};

/* @return false: neither TCP nor UDP over IP, a fragment, not in one piece, or no headers at all */
static bool
headers_find(const struct rte_mbuf *m, struct headers *h)
{
	struct rte_net_hdr_lens len = {0};
	const uint32_t ptype = rte_net_get_ptype(
		m, &len, RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK);
	const uint32_t l4 = ptype & RTE_PTYPE_L4_MASK;

	h->ipv6 = RTE_ETH_IS_IPV6_HDR(ptype);
	h->tcp = l4 == RTE_PTYPE_L4_TCP;
	h->l2_len = len.l2_len;
	h->l3_len = len.l3_len;
	h->l4_len = h->tcp ? len.l4_len : sizeof(struct rte_udp_hdr);
	if ((!h->ipv6 && !RTE_ETH_IS_IPV4_HDR(ptype)) || (!h->tcp && l4 != RTE_PTYPE_L4_UDP))
		return false;
	return h->l2_len <= L2_LEN_MAX && h->l3_len <= L3_LEN_MAX &&
	       h->l3_len >= (h->ipv6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr)) &&
	       (!h->tcp || h->l4_len >= sizeof(struct rte_tcp_hdr)) &&
	       (uint32_t)h->l2_len + h->l3_len + h->l4_len <= m->data_len;
}

static uint16_t
csum_offset(const struct headers *h)
{
	return h->tcp ? offsetof(struct rte_tcp_hdr, cksum)
		      : offsetof(struct rte_udp_hdr, dgram_cksum);
}

/* What the device of a large segment needs to be told. */
static void
segment(struct rte_mbuf *m, const struct headers *h, uint16_t gso_size)
{
	const uint32_t l4_offset = (uint32_t)h->l2_len + h->l3_len;
	const uint32_t len = m->pkt_len - l4_offset;
	rte_be16_t *csum = rte_pktmbuf_mtod_offset(m, rte_be16_t *, l4_offset + csum_offset(h));
	const rte_be32_t be_len = rte_cpu_to_be_32(len);

	/* Take the length out of the pseudo-header's sum: add its complement. */
	*csum = net_sum_add(*csum, (uint16_t)~net_sum(&be_len, sizeof(be_len)));
	m->tso_segsz = gso_size;
	m->ol_flags |= h->tcp ? RTE_MBUF_F_TX_TCP_SEG : RTE_MBUF_F_TX_UDP_SEG;
	if (!h->ipv6) {
		rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, h->l2_len)->hdr_checksum = 0;
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	}
}

/* Is it a large segment of this kind, whole headers and all? */
static bool
gso_fits(const struct virtio_net_hdr *hdr, const struct headers *h)
{
	if (hdr->gso_size == 0)
		return false;
	switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return h->tcp && !h->ipv6;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return h->tcp && h->ipv6;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return !h->tcp;
	default:
		return false;
	}
}

int
ethdev_tx_offload(struct rte_mbuf *m, uint64_t tx_offloads)
{
	const struct virtio_net_hdr *hdr = &VRING_MBUF_HDR(m)->hdr;
	const bool gso = hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE;
	struct headers h;
	bool known;

	if ((hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0)
		return gso ? -EINVAL : 0;
	known = headers_find(m, &h) && hdr->csum_start == h.l2_len + h.l3_len &&
		hdr->csum_offset == csum_offset(&h);
	if (gso && (!known || !gso_fits(hdr, &h)))
		return -EINVAL;
	/* Checksums of other protocols, and within tunnels: the packet is in one piece, so it costs
	 * little. */
	if (!known || (tx_offloads & TX_CSUM_OFFLOADS) == 0)
		return gso ? -EINVAL : net_csum_complete(m, hdr->csum_start, hdr->csum_offset);
	m->l2_len = h.l2_len;
	m->l3_len = h.l3_len;
	m->l4_len = h.l4_len;
	m->ol_flags |= (h.ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
		       (h.tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	if (gso && m->pkt_len - h.l2_len - h.l3_len - h.l4_len > hdr->gso_size)
		segment(m, &h, hdr->gso_size);
	return 0;
}

/*
 * The packet is as it was sent, but its checksum was never computed: the other end is a virtual
 * machine. What the field holds meanwhile is not defined.
 * @return the checksum is right now
 */
static bool
csum_finish(struct rte_mbuf *m)
{
	struct headers h;
	const uint8_t *l3;
	rte_be16_t *csum;
	struct {
		rte_be32_t len, proto;
	} rest;
	uint16_t addresses, l4;

	if (!headers_find(m, &h))
		return false;
	l3 = rte_pktmbuf_mtod_offset(m, const uint8_t *, h.l2_len);
	l4 = h.l2_len + h.l3_len;
	csum = rte_pktmbuf_mtod_offset(m, rte_be16_t *, l4 + csum_offset(&h));
	if (h.ipv6)
		addresses = net_sum(&((const struct rte_ipv6_hdr *)l3)->src_addr, 32);
	else
		addresses = net_sum(&((const struct rte_ipv4_hdr *)l3)->src_addr, 8);
	rest.len = rte_cpu_to_be_32(m->pkt_len - l4);
	rest.proto = rte_cpu_to_be_32(h.tcp ? IPPROTO_TCP : IPPROTO_UDP);
	*csum = net_sum_add(addresses, net_sum(&rest, sizeof(rest)));
	return net_csum_complete(m, l4, csum_offset(&h)) == 0;
}

int
ethdev_rx_offload(struct rte_mbuf **m, uint32_t rx_caps)
{
	uint64_t l4 = (*m)->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

	/* Some PMDs strip tags without being asked to. */
	if (((*m)->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
		const struct virtio_net_hdr_mrg_rxbuf hdr = *VRING_MBUF_HDR(*m);

		if (rte_pktmbuf_headroom(*m) < sizeof(hdr) + RTE_VLAN_HLEN ||
			rte_vlan_insert(m) != 0)
			return -EINVAL;
		*VRING_MBUF_HDR(*m) = hdr;
	}
	if (l4 == RTE_MBUF_F_RX_L4_CKSUM_NONE && csum_finish(*m))
		l4 = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD && (rx_caps & SF_CAP_RX_CSUM) != 0)
		VRING_MBUF_HDR(*m)->hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	return 0;
}
