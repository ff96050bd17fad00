/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Virtio-net headers that ask for an offload: whether they can be true. */

#include <rte_ether.h>

#include "net/gso.h"
#include "net/net_hdr.h"

#define BIT(n)	    (UINT64_C(1) << (n))

#define GSO_TYPE(h) ((h)->gso_type & ~VIRTIO_NET_HDR_GSO_ECN)

/* What is true of each kind of large segment. */
struct gso_kind {
	uint8_t type;
	uint8_t l4_len;	     /* shortest transport header */
	uint8_t csum_offset; /* of the checksum in it */
	bool ecn;	     /* the ECN flag makes sense */
	uint8_t feature;     /* that lets a driver send it */
};

static const struct gso_kind gso_kinds[] = {
	{VIRTIO_NET_HDR_GSO_TCPV4, 20, 16, true, VIRTIO_NET_F_HOST_TSO4},
	{VIRTIO_NET_HDR_GSO_TCPV6, 20, 16, true, VIRTIO_NET_F_HOST_TSO6},
	/* The header does not say which IP it is; there is one feature for both. */
	{VIRTIO_NET_HDR_GSO_UDP_L4, 8, 6, false, VIRTIO_NET_F_HOST_USO},
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

/*
 * Whoever cuts the packet - the SF's hardware, the kernel below a TAP while we write to it, or we -
 * pays for each piece, and the driver has chosen how many there are. TCP options count as payload
 * here: some bytes too many.
 */
static bool
gso_pieces_fit(const struct virtio_net_hdr *h, const struct gso_kind *kind, uint32_t pkt_len)
{
	const uint32_t payload = pkt_len - h->csum_start - kind->l4_len;

	return payload <= (uint32_t)h->gso_size * NET_GSO_SEGS_MAX;
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
	if (kind == NULL || (features & BIT(kind->feature)) == 0 || !gso_fits(h, kind, pkt_len))
		return false;
	if (!gso_pieces_fit(h, kind, pkt_len))
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

bool
net_hdr_sound(const struct virtio_net_hdr *h, uint32_t pkt_len)
{
	const struct gso_kind *kind;

	if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0 && !csum_fits(h, pkt_len))
		return false;
	if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	kind = gso_kind(GSO_TYPE(h));
	if (kind == NULL || !gso_fits(h, kind, pkt_len))
		return false;
	return kind->ecn || (h->gso_type & VIRTIO_NET_HDR_GSO_ECN) == 0;
}
