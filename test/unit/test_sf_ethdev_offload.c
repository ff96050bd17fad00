/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "ethdev": virtio-net headers in mbuf flags, and back. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "sf/ethdev/ethdev.h"
#include "test.h"
#include "vring/vring.h"

#define N_MBUFS 64u

#define TX_CSUM (RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
#define TX_TSO                                                                                     \
	(TX_CSUM | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_TSO |                    \
		RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
#define TX_ALL	(TX_TSO | RTE_ETH_TX_OFFLOAD_UDP_TSO)
#define RX_CSUM (RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM)

static struct rte_mempool *pool;

static int
group_setup(void **state)
{
	(void)state;
	pool = rte_pktmbuf_pool_create(
		"test-offload", N_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool == NULL ? -1 : 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	return 0;
}

/* ---- packets ---- */

/* What a packet is made of. */
struct shape {
	uint8_t vlans;
	bool ipv6;
	bool ext; /* an IPv6 extension header, an IPv4 option */
	bool udp;
	uint16_t payload;
};

struct packet {
	struct rte_mbuf *m;
	uint16_t l3, l4, l4_len;
};

static void *
append(struct rte_mbuf *m, uint16_t len)
{
	void *at = rte_pktmbuf_append(m, len);

	assert_non_null(at);
	if (at == NULL)
		abort(); /* the compiler does not know assert_non_null() */
	return at;
}

static uint16_t
l3_add(struct rte_mbuf *m, const struct shape *s, uint16_t l4_total)
{
	const uint8_t proto = s->udp ? IPPROTO_UDP : IPPROTO_TCP;
	const uint16_t ext = s->ext ? (s->ipv6 ? 8 : 4) : 0;

	if (s->ipv6) {
		struct rte_ipv6_hdr *ip = append(m, sizeof(*ip) + ext);

		if (ip == NULL) /* there is room */
			return 0;
		memset(ip, 0x11, sizeof(*ip));
		ip->vtc_flow = rte_cpu_to_be_32(0x60000000);
		ip->payload_len = rte_cpu_to_be_16(ext + l4_total);
		ip->proto = s->ext ? IPPROTO_DSTOPTS : proto;
		if (s->ext) {
			/* PadN of 4 bytes */
			const uint8_t opts[8] = {proto, 0, 1, 4, 0, 0, 0, 0};

			memcpy(ip + 1, opts, sizeof(opts));
		}
		return sizeof(*ip) + ext;
	}
	struct rte_ipv4_hdr *ip = append(m, sizeof(*ip) + ext);

	memset(ip, 0, sizeof(*ip) + ext);
	ip->version_ihl = 0x40 | (uint8_t)((sizeof(*ip) + ext) / 4);
	ip->total_length = rte_cpu_to_be_16(sizeof(*ip) + ext + l4_total);
	ip->next_proto_id = proto;
	ip->src_addr = rte_cpu_to_be_32(0xc0000201);
	ip->dst_addr = rte_cpu_to_be_32(0xc0000202);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return sizeof(*ip) + ext;
}

static struct packet
packet(const struct shape *s)
{
	struct packet p = {.m = rte_pktmbuf_alloc(pool), .l4_len = s->udp ? 8 : 20};
	const uint16_t ether_type = s->ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	uint8_t *at;

	assert_non_null(p.m);
	p.m->data_off = VRING_MBUF_DATA_OFF;
	memset(VRING_MBUF_HDR(p.m), 0, sizeof(struct virtio_net_hdr_mrg_rxbuf));
	p.l3 = 14 + 4 * s->vlans;
	at = append(p.m, p.l3);
	memset(at, 0, p.l3);
	for (unsigned int i = 0; i <= s->vlans; i++) {
		const uint16_t type = i == s->vlans		? ether_type
				      : i == 0 && s->vlans == 2 ? RTE_ETHER_TYPE_QINQ
								: RTE_ETHER_TYPE_VLAN;

		*(rte_be16_t *)(at + 12 + 4 * i) = rte_cpu_to_be_16(type);
	}
	p.l4 = p.l3 + l3_add(p.m, s, p.l4_len + s->payload);
	at = append(p.m, p.l4_len + s->payload);
	memset(at, 0, p.l4_len);
	memset(at + p.l4_len, 0xa5, s->payload);
	if (s->udp)
		((struct rte_udp_hdr *)at)->dgram_len = rte_cpu_to_be_16(8 + s->payload);
	else
		((struct rte_tcp_hdr *)at)->data_off = 5 << 4;
	return p;
}

static rte_be16_t *
csum_field(const struct packet *p, const struct shape *s)
{
	return rte_pktmbuf_mtod_offset(p->m, rte_be16_t *, p->l4 + (s->udp ? 6 : 16));
}

/* Sum of the pseudo-header, of which `len` is the length: written out from RFC 793 and 8200. */
static uint16_t
pseudo(const struct packet *p, const struct shape *s, uint32_t len)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->l3);
	const unsigned int from = s->ipv6 ? 8 : 12, to = s->ipv6 ? 40 : 20;
	uint32_t sum = (s->udp ? IPPROTO_UDP : IPPROTO_TCP) + (len >> 16) + (len & 0xffff);

	for (unsigned int i = from; i < to; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/* As a guest's stack leaves it: the pseudo-header's sum in the field, and a header that says so. */
static struct packet
unfinished(const struct shape *s, uint8_t gso_type, uint16_t gso_size)
{
	struct packet p = packet(s);

	*csum_field(&p, s) = rte_cpu_to_be_16(pseudo(&p, s, p.m->pkt_len - p.l4));
	VRING_MBUF_HDR(p.m)->hdr = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = p.l4,
		.csum_offset = s->udp ? 6 : 16,
		.gso_type = gso_type,
		.gso_size = gso_size,
		.hdr_len = gso_type != 0 ? p.l4 + p.l4_len : 0,
	};
	return p;
}

/* The checksum as a receiver computes it: pseudo-header and all that follows are 0xffff. */
static bool
csum_right(const struct packet *p, const struct shape *s)
{
	const uint8_t *l4 = rte_pktmbuf_mtod_offset(p->m, const uint8_t *, p->l4);
	const uint32_t len = p->m->pkt_len - p->l4;
	uint32_t sum = pseudo(p, s, len);

	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)l4[i] << 8 : l4[i];
	while (sum > 0xffff)
		sum = (sum >> 16) + (sum & 0xffff);
	return sum == 0xffff;
}

static const struct shape shapes[] = {
	{.payload = 100},
	{.payload = 101, .vlans = 1},
	{.payload = 100, .vlans = 2},
	{.payload = 100, .ext = true},
	{.payload = 101, .ipv6 = true},
	{.payload = 100, .ipv6 = true, .ext = true},
	{.payload = 100, .udp = true},
	{.payload = 101, .udp = true, .vlans = 1},
	{.payload = 101, .udp = true, .ipv6 = true},
	{.payload = 100, .udp = true, .ipv6 = true, .ext = true, .vlans = 2},
};

/* ---- transmit ---- */

static void
an_unfinished_checksum_is_told_to_the_port_with_the_headers_lengths(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(shapes); i++) {
		const struct shape *s = &shapes[i];
		struct packet p = unfinished(s, VIRTIO_NET_HDR_GSO_NONE, 0);

		assert_int_equal(ethdev_tx_offload(p.m, TX_CSUM), 0);
		assert_int_equal(p.m->l2_len, p.l3);
		assert_int_equal(p.m->l3_len, p.l4 - p.l3);
		assert_int_equal(p.m->l4_len, p.l4_len);
		assert_int_equal(p.m->ol_flags,
			(s->ipv6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) |
				(s->udp ? RTE_MBUF_F_TX_UDP_CKSUM : RTE_MBUF_F_TX_TCP_CKSUM));
		assert_int_equal(
			*csum_field(&p, s), rte_cpu_to_be_16(pseudo(&p, s, p.m->pkt_len - p.l4)));
		assert_int_equal(rte_validate_tx_offload(p.m), 0);
		rte_pktmbuf_free(p.m);
	}
}

static void
a_port_without_checksums_gets_them_finished(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(shapes); i++) {
		struct packet p = unfinished(&shapes[i], VIRTIO_NET_HDR_GSO_NONE, 0);

		assert_int_equal(ethdev_tx_offload(p.m, 0), 0);
		assert_int_equal(p.m->ol_flags, 0);
		assert_true(csum_right(&p, &shapes[i]));
		rte_pktmbuf_free(p.m);
	}
}

/* A tunnel's inner checksum, or a protocol that DPDK has no flag for. */
static void
a_checksum_at_another_place_is_finished_in_software(void **state)
{
	static const struct shape s = {.payload = 100, .udp = true};
	struct packet p = unfinished(&s, VIRTIO_NET_HDR_GSO_NONE, 0);
	struct virtio_net_hdr *hdr = &VRING_MBUF_HDR(p.m)->hdr;
	rte_be16_t *inner = rte_pktmbuf_mtod_offset(p.m, rte_be16_t *, p.l4 + 30);

	(void)state;
	hdr->csum_start = p.l4 + 20;
	hdr->csum_offset = 10;
	*inner = 0;
	assert_int_equal(ethdev_tx_offload(p.m, TX_ALL), 0);
	assert_int_equal(p.m->ol_flags, 0);
	assert_int_not_equal(*inner, 0);
	rte_pktmbuf_free(p.m);
}

/* DPDK's rule: no length in the pseudo-header's sum. rte_ip.h has it as code. */
static void
a_large_tcp_segment_has_the_pseudo_header_that_dpdk_wants(void **state)
{
	(void)state;
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const struct shape s = {.ipv6 = v6, .payload = 1400, .vlans = 1};
		struct packet p = unfinished(
			&s, v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4, 500);
		void *ip = rte_pktmbuf_mtod_offset(p.m, void *, p.l3);

		assert_int_equal(ethdev_tx_offload(p.m, TX_ALL), 0);
		assert_int_equal(p.m->tso_segsz, 500);
		assert_int_equal(p.m->l4_len, 20);
		assert_int_equal(
			p.m->ol_flags, RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM |
					       (v6 ? RTE_MBUF_F_TX_IPV6
						   : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM));
		assert_int_equal(*csum_field(&p, &s), v6 ? rte_ipv6_phdr_cksum(ip, p.m->ol_flags)
							 : rte_ipv4_phdr_cksum(ip, p.m->ol_flags));
		assert_int_equal(rte_validate_tx_offload(p.m), 0);
		rte_pktmbuf_free(p.m);
	}
}

static void
a_large_segment_of_several_mbufs_is_known_by_its_first(void **state)
{
	static const struct shape s = {.payload = 100};
	struct packet p = packet(&s);
	struct rte_mbuf *tail = rte_pktmbuf_alloc(pool);

	(void)state;
	assert_non_null(tail);
	memset(append(tail, 1501), 0, 1501);
	assert_int_equal(rte_pktmbuf_chain(p.m, tail), 0);
	*csum_field(&p, &s) = rte_cpu_to_be_16(pseudo(&p, &s, p.m->pkt_len - p.l4));
	VRING_MBUF_HDR(p.m)->hdr = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = p.l4,
		.csum_offset = 16,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = 1000};
	assert_int_equal(ethdev_tx_offload(p.m, TX_ALL), 0);
	assert_true(p.m->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
	assert_int_equal(*csum_field(&p, &s), rte_cpu_to_be_16(pseudo(&p, &s, 0)));
	rte_pktmbuf_free(p.m);
}

static void
a_large_datagram_becomes_datagrams_where_the_port_makes_such(void **state)
{
	static const struct shape s = {.payload = 1400, .udp = true};
	struct packet p = unfinished(&s, VIRTIO_NET_HDR_GSO_UDP_L4, 500);

	(void)state;
	assert_int_equal(ethdev_tx_offload(p.m, TX_ALL), 0);
	assert_true(p.m->ol_flags & RTE_MBUF_F_TX_UDP_SEG);
	assert_int_equal(p.m->tso_segsz, 500);
	assert_int_equal(p.m->l4_len, 8);
	rte_pktmbuf_free(p.m);
}

static void
a_large_segment_that_is_none_is_an_ordinary_packet(void **state)
{
	static const struct shape s = {.payload = 100};
	struct packet p = unfinished(&s, VIRTIO_NET_HDR_GSO_TCPV4, 100);

	(void)state;
	assert_int_equal(ethdev_tx_offload(p.m, TX_ALL), 0);
	assert_int_equal(p.m->ol_flags, RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM);
	rte_pktmbuf_free(p.m);
}

static void
a_large_segment_that_is_not_what_its_header_says_is_refused(void **state)
{
	static const struct {
		struct shape shape;
		uint8_t gso_type;
		uint16_t gso_size;
		int16_t start;	    /* off by */
		uint8_t tcp_offset; /* instead of 5 */
	} bad[] = {
		{{.payload = 1000}, VIRTIO_NET_HDR_GSO_TCPV6, 500, 0, 0},
		{{.payload = 1000, .ipv6 = true}, VIRTIO_NET_HDR_GSO_TCPV4, 500, 0, 0},
		{{.payload = 1000, .udp = true}, VIRTIO_NET_HDR_GSO_TCPV4, 500, 0, 0},
		{{.payload = 1000}, VIRTIO_NET_HDR_GSO_UDP_L4, 500, 0, 0},
		{{.payload = 1000}, VIRTIO_NET_HDR_GSO_UDP, 500, 0, 0},
		{{.payload = 1000}, VIRTIO_NET_HDR_GSO_TCPV4, 0, 0, 0},
		{{.payload = 1000}, VIRTIO_NET_HDR_GSO_TCPV4, 500, 4, 0},
		{{.payload = 1000}, VIRTIO_NET_HDR_GSO_TCPV4, 500, -4, 0},
		{{.payload = 1000}, VIRTIO_NET_HDR_GSO_TCPV4, 500, 0, 4},
		{{.payload = 1}, VIRTIO_NET_HDR_GSO_TCPV4, 500, 0, 15},
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		struct packet p = unfinished(&bad[i].shape, bad[i].gso_type, bad[i].gso_size);

		VRING_MBUF_HDR(p.m)->hdr.csum_start += bad[i].start;
		if (bad[i].tcp_offset != 0)
			rte_pktmbuf_mtod_offset(p.m, struct rte_tcp_hdr *, p.l4)->data_off =
				(uint8_t)(bad[i].tcp_offset << 4);
		assert_int_equal(ethdev_tx_offload(p.m, TX_ALL), -EINVAL);
		rte_pktmbuf_free(p.m);
	}
}

/* Every byte of the headers at every value: nothing is believed that is not in the packet. */
static void
no_byte_of_a_packet_leads_out_of_it(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(shapes); i++)
		for (uint16_t at = 12; at < 90; at++)
			for (unsigned int value = 0; value < 256; value += 5) {
				struct packet p = unfinished(&shapes[i],
					shapes[i].ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
						       : VIRTIO_NET_HDR_GSO_TCPV4,
					10);

				*rte_pktmbuf_mtod_offset(p.m, uint8_t *, at) = (uint8_t)value;
				if (ethdev_tx_offload(p.m, TX_ALL) == 0)
					assert_in_range(p.m->l2_len + p.m->l3_len + p.m->l4_len, 0,
						p.m->data_len);
				p.m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
				(void)ethdev_rx_offload(&p.m, 0);
				rte_pktmbuf_free(p.m);
			}
}

/* ---- receive ---- */

static void
what_the_port_says_of_a_checksum_is_told_to_who_asked(void **state)
{
	static const struct {
		uint64_t ol_flags;
		uint32_t rx_caps;
		uint8_t flags;
	} cases[] = {
		{RTE_MBUF_F_RX_L4_CKSUM_GOOD, SF_CAP_RX_CSUM, VIRTIO_NET_HDR_F_DATA_VALID},
		{RTE_MBUF_F_RX_L4_CKSUM_GOOD, 0, 0},
		{RTE_MBUF_F_RX_L4_CKSUM_BAD, SF_CAP_RX_CSUM, 0},
		{RTE_MBUF_F_RX_L4_CKSUM_UNKNOWN, SF_CAP_RX_CSUM, 0},
		{RTE_MBUF_F_RX_L4_CKSUM_NONE, SF_CAP_RX_CSUM, VIRTIO_NET_HDR_F_DATA_VALID},
		{RTE_MBUF_F_RX_L4_CKSUM_NONE, 0, 0},
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		struct packet p = packet(&shapes[0]);

		p.m->ol_flags = cases[i].ol_flags;
		assert_int_equal(ethdev_rx_offload(&p.m, cases[i].rx_caps), 0);
		assert_int_equal(VRING_MBUF_HDR(p.m)->hdr.flags, cases[i].flags);
		assert_int_equal(VRING_MBUF_HDR(p.m)->hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		rte_pktmbuf_free(p.m);
	}
}

static void
a_checksum_that_the_sender_never_computed_is_computed(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(shapes); i++) {
		struct packet p = packet(&shapes[i]);

		*csum_field(&p, &shapes[i]) = 0x1234;
		p.m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
		assert_int_equal(ethdev_rx_offload(&p.m, 0), 0);
		assert_true(csum_right(&p, &shapes[i]));
		rte_pktmbuf_free(p.m);
	}
}

static void
a_vlan_tag_that_the_port_took_out_is_put_back(void **state)
{
	struct packet p = packet(&shapes[0]);
	const uint32_t len = p.m->pkt_len;

	(void)state;
	VRING_MBUF_HDR(p.m)->num_buffers = 1;
	p.m->vlan_tci = 123;
	p.m->ol_flags =
		RTE_MBUF_F_RX_VLAN | RTE_MBUF_F_RX_VLAN_STRIPPED | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	assert_int_equal(ethdev_rx_offload(&p.m, SF_CAP_RX_CSUM), 0);
	assert_int_equal(p.m->pkt_len, len + 4);
	assert_int_equal(*rte_pktmbuf_mtod_offset(p.m, rte_be16_t *, 12), rte_cpu_to_be_16(0x8100));
	assert_int_equal(*rte_pktmbuf_mtod_offset(p.m, rte_be16_t *, 14), rte_cpu_to_be_16(123));
	assert_int_equal(VRING_MBUF_HDR(p.m)->num_buffers, 1);
	assert_int_equal(VRING_MBUF_HDR(p.m)->hdr.flags, VIRTIO_NET_HDR_F_DATA_VALID);
	rte_pktmbuf_free(p.m);
}

static void
a_vlan_tag_without_room_in_front_of_the_packet_costs_the_packet(void **state)
{
	struct packet p = packet(&shapes[0]);

	(void)state;
	p.m->data_off = sizeof(struct virtio_net_hdr_mrg_rxbuf);
	p.m->ol_flags = RTE_MBUF_F_RX_VLAN_STRIPPED;
	assert_int_equal(ethdev_rx_offload(&p.m, 0), -EINVAL);
	rte_pktmbuf_free(p.m);
}

/* ---- capabilities ---- */

static uint32_t
caps(const struct rte_eth_dev_info *info, bool uso)
{
	return ethdev_caps(ethdev_rx_offloads(info), ethdev_tx_offloads(info, uso));
}

static void
capabilities_are_those_of_the_port(void **state)
{
	static const struct {
		const char *driver;
		uint64_t rx, tx;
		bool uso;
		uint32_t caps;
	} cases[] = {
		{"net_ring", 0, RTE_ETH_TX_OFFLOAD_MULTI_SEGS, false, 0},
		{"net_x", RX_CSUM, TX_CSUM, false, SF_CAP_RX_CSUM | SF_CAP_TX_CSUM},
		{"net_x", RTE_ETH_RX_OFFLOAD_UDP_CKSUM, RTE_ETH_TX_OFFLOAD_TCP_CKSUM, false, 0},
		{"net_x", 0, TX_TSO, false, SF_CAP_TX_CSUM | SF_CAP_TX_TSO4 | SF_CAP_TX_TSO6},
		{"net_x", 0, TX_TSO & ~RTE_ETH_TX_OFFLOAD_MULTI_SEGS, false, SF_CAP_TX_CSUM},
		{"net_x", 0, TX_ALL, false, SF_CAP_TX_CSUM | SF_CAP_TX_TSO4 | SF_CAP_TX_TSO6},
		{"net_x", 0, TX_ALL, true,
			SF_CAP_TX_CSUM | SF_CAP_TX_TSO4 | SF_CAP_TX_TSO6 | SF_CAP_TX_USO},
		{"net_tap", RX_CSUM, TX_ALL, true, SF_CAP_RX_CSUM | SF_CAP_TX_CSUM},
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		const struct rte_eth_dev_info info = {.driver_name = cases[i].driver,
			.rx_offload_capa = cases[i].rx,
			.tx_offload_capa = cases[i].tx};

		assert_int_equal(caps(&info, cases[i].uso), cases[i].caps);
	}
}

static int
test_sf_ethdev_offload(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			an_unfinished_checksum_is_told_to_the_port_with_the_headers_lengths),
		cmocka_unit_test(a_port_without_checksums_gets_them_finished),
		cmocka_unit_test(a_checksum_at_another_place_is_finished_in_software),
		cmocka_unit_test(a_large_tcp_segment_has_the_pseudo_header_that_dpdk_wants),
		cmocka_unit_test(a_large_segment_of_several_mbufs_is_known_by_its_first),
		cmocka_unit_test(a_large_datagram_becomes_datagrams_where_the_port_makes_such),
		cmocka_unit_test(a_large_segment_that_is_none_is_an_ordinary_packet),
		cmocka_unit_test(a_large_segment_that_is_not_what_its_header_says_is_refused),
		cmocka_unit_test(no_byte_of_a_packet_leads_out_of_it),
		cmocka_unit_test(what_the_port_says_of_a_checksum_is_told_to_who_asked),
		cmocka_unit_test(a_checksum_that_the_sender_never_computed_is_computed),
		cmocka_unit_test(a_vlan_tag_that_the_port_took_out_is_put_back),
		cmocka_unit_test(a_vlan_tag_without_room_in_front_of_the_packet_costs_the_packet),
		cmocka_unit_test(capabilities_are_those_of_the_port),
	};

	return cmocka_run_group_tests_name("sf_ethdev_offload", tests, group_setup, group_teardown);
}

REGISTER_TEST_COMMAND(sf_ethdev_offload, test_sf_ethdev_offload)
