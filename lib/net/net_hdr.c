/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Virtio-net headers that ask for an offload: checked on transmit, fitted to the driver on receive.
 */

#include <errno.h>
#include <string.h>

#include <rte_ip.h>

#include "net/net_hdr.h"

#define BIT(n)	    (UINT64_C(1) << (n))

#define GSO_TYPE(h) ((h)->gso_type & ~VIRTIO_NET_HDR_GSO_ECN)

/* What is true of each kind of large segment. */
struct gso_kind {
	uint8_t type;
	uint8_t l4_len;	     /* shortest transport header */
	uint8_t csum_offset; /* of the checksum in it */
	bool ecn;	     /* the ECN flag makes sense */
	uint64_t tx_any;     /* features one of which lets a driver send it */
	uint64_t rx_any;     /* features one of which lets it take it */
};

static const struct gso_kind gso_kinds[] = {
	{VIRTIO_NET_HDR_GSO_TCPV4, 20, 16, true, BIT(VIRTIO_NET_F_HOST_TSO4),
		BIT(VIRTIO_NET_F_GUEST_TSO4)},
	{VIRTIO_NET_HDR_GSO_TCPV6, 20, 16, true, BIT(VIRTIO_NET_F_HOST_TSO6),
		BIT(VIRTIO_NET_F_GUEST_TSO6)},
	{VIRTIO_NET_HDR_GSO_UDP, 8, 6, false, BIT(VIRTIO_NET_F_HOST_UFO),
		BIT(VIRTIO_NET_F_GUEST_UFO)},
	/* The header does not say which IP it is; Linux offers both or none. */
	{VIRTIO_NET_HDR_GSO_UDP_L4, 8, 6, false, BIT(VIRTIO_NET_F_HOST_USO),
		BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6)},
};

static const struct gso_kind *
gso_kind(uint8_t type)
{
	for (size_t i = 0; i < RTE_DIM(gso_kinds); i++)
		if (gso_kinds[i].type == type)
			return &gso_kinds[i];
	return NULL;
}

/* virtio 1.2, 5.1.6.2: the checksum's field lies behind the Ethernet header and in the packet. */
static bool
csum_fits(const struct virtio_net_hdr *h, uint32_t pkt_len)
{
	return h->csum_start >= RTE_ETHER_HDR_LEN &&
	       (uint32_t)h->csum_start + h->csum_offset + sizeof(uint16_t) <= pkt_len;
}

static bool
gso_fits(const struct virtio_net_hdr *h, const struct gso_kind *kind, uint32_t pkt_len)
{
	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 || h->gso_size == 0)
		return false;
	if (h->csum_offset != kind->csum_offset)
		return false;
	return (uint32_t)h->csum_start + kind->l4_len <= RTE_MIN(pkt_len, (uint32_t)UINT16_MAX);
}

bool
net_hdr_tx_check_offload(struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t pkt_len, uint64_t features)
{
	struct virtio_net_hdr *h = &hdr->hdr;
	const struct gso_kind *kind;

	hdr->num_buffers = 0;
	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (h->flags != 0 && ((features & BIT(VIRTIO_NET_F_CSUM)) == 0 || !csum_fits(h, pkt_len)))
		return false;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
		h->gso_size = 0;
		h->hdr_len = 0;
		return true;
	}
	kind = gso_kind(GSO_TYPE(h));
	if (kind == NULL || (features & kind->tx_any) == 0 || !gso_fits(h, kind, pkt_len))
		return false;
	if ((h->gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0 &&
		(!kind->ecn || (features & BIT(VIRTIO_NET_F_HOST_ECN)) == 0))
		return false;
	/* A hint only (5.1.6.2.2), yet receivers allocate by it. */
	if (h->hdr_len > pkt_len)
		return false;
	if (h->hdr_len < h->csum_start + kind->l4_len)
		h->hdr_len = h->csum_start + kind->l4_len;
	return true;
}

static void
hdr_clear_csum(struct virtio_net_hdr *h)
{
	h->flags &= ~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->csum_start = 0;
	h->csum_offset = 0;
}

int
net_hdr_rx_fix(struct rte_mbuf *m, struct virtio_net_hdr_mrg_rxbuf *hdr, uint64_t features)
{
	const bool guest_csum = (features & BIT(VIRTIO_NET_F_GUEST_CSUM)) != 0;
	struct virtio_net_hdr *h = &hdr->hdr;
	const struct gso_kind *kind;
	int ret;

	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 && !csum_fits(h, m->pkt_len))
		return -EINVAL;
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE) {
		kind = gso_kind(GSO_TYPE(h));
		if (kind == NULL)
			return -EINVAL;
		if ((features & kind->rx_any) == 0 || !guest_csum)
			return -EMSGSIZE;
		if (!gso_fits(h, kind, m->pkt_len))
			return -EINVAL;
		if ((features & BIT(VIRTIO_NET_F_GUEST_ECN)) == 0 &&
			(h->gso_type & VIRTIO_NET_HDR_GSO_ECN) != 0)
			return -EMSGSIZE;
		return 0;
	}
	h->gso_size = 0;
	if (guest_csum)
		return 0;
	h->flags &= ~VIRTIO_NET_HDR_F_DATA_VALID;
	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0) {
		ret = net_csum_complete(m, h->csum_start, h->csum_offset);
		if (ret != 0)
			return ret;
		hdr_clear_csum(h);
	}
	h->hdr_len = 0;
	return 0;
}

/* Two bytes at any place of a chain. */
static void
mbuf_put16(struct rte_mbuf *m, uint32_t off, uint16_t value)
{
	const uint8_t *src = (const uint8_t *)&value;

	for (unsigned int i = 0; i < sizeof(value); i++) {
		for (; off >= m->data_len; m = m->next)
			off -= m->data_len;
		rte_pktmbuf_mtod(m, uint8_t *)[off++] = src[i];
	}
}

/*
 * Ones' complement sum of a chain from byte off to its end. Pieces are folded to 16 bits before the
 * bytes of those at odd places are swapped: rte_raw_cksum_mbuf() of DPDK 22.11 does it the other
 * way round and loses carries.
 */
static uint16_t
mbuf_sum(const struct rte_mbuf *m, uint32_t off)
{
	uint32_t sum = 0, done = 0;

	for (; m != NULL; m = m->next) {
		uint32_t part, len;

		if (off >= m->data_len) {
			off -= m->data_len;
			continue;
		}
		len = m->data_len - off;
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, off), len);
		off = 0;
		sum += (done & 1) != 0 ? rte_bswap16((uint16_t)part) : part;
		done += len;
	}
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + sum);
}

int
net_csum_complete(struct rte_mbuf *m, uint16_t start, uint16_t offset)
{
	uint16_t sum;

	if ((uint32_t)start + offset + sizeof(sum) > m->pkt_len)
		return -EINVAL;
	sum = (uint16_t)~mbuf_sum(m, start);
	/* UDP writes "no checksum" as zero; for TCP both zeros mean the same. */
	mbuf_put16(m, (uint32_t)start + offset, sum == 0 ? 0xffff : sum);
	return 0;
}
