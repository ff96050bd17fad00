/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_NET_HDR_H
#define NET_NET_HDR_H

/**
 * @file
 * The virtio-net header (virtio 1.2, 5.1.6 "Device Operation"): which headers are believed.
 *
 * net_hdr_tx_check() turns a header that was copied out of host memory into one that the rest of
 * the program may rely on, or refuses the packet. What is asked for and cannot be had of whoever
 * gets the packet is done by net_fit() (fit.h), in both directions.
 *
 * Pure functions: no state, any thread, never blocking. Fields are little-endian in host order, as
 * all supported machines are.
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "net/offload.h"

/** Where the data of a packet's first mbuf begins, and the header directly before it. */
#define NET_MBUF_DATA_OFF (RTE_PKTMBUF_HEADROOM + sizeof(struct virtio_net_hdr_mrg_rxbuf))
#define NET_MBUF_HDR(m)                                                                            \
	((struct virtio_net_hdr_mrg_rxbuf *)(rte_pktmbuf_mtod(m, uint8_t *) -                      \
					     sizeof(struct virtio_net_hdr_mrg_rxbuf)))

/** Feature bits that let headers carry anything but zeros. */
#define NET_HDR_TX_FEATURES                                                                        \
	(UINT64_C(1) << VIRTIO_NET_F_CSUM | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4 |                \
		UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6 | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO |     \
		UINT64_C(1) << VIRTIO_NET_F_HOST_USO)
#define NET_HDR_RX_FEATURES                                                                        \
	(UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4 |         \
		UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6 | UINT64_C(1) << VIRTIO_NET_F_GUEST_UFO |   \
		UINT64_C(1) << VIRTIO_NET_F_GUEST_USO4 | UINT64_C(1) << VIRTIO_NET_F_GUEST_USO6)

/** Nothing asked, nothing said. */
static inline bool
net_hdr_is_plain(const struct virtio_net_hdr_mrg_rxbuf *hdr)
{
	return hdr->hdr.flags == 0 && hdr->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

/**
 * Slow path of net_hdr_tx_check(): a header that asks for something. A large segment of more than
 * NET_GSO_SEGS_MAX (gso.h) pieces is refused, whoever would cut it.
 */
bool net_hdr_tx_check_offload(
	struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t pkt_len, uint64_t features);

/**
 * Check a driver's header and put it in order: flags that a driver has no business with are
 * cleared, fields without meaning are zeroed.
 *
 * @param hdr      private copy
 * @param pkt_len  bytes of the packet behind the header
 * @param features negotiated
 * @return false if the header cannot be true of the packet or uses what was not negotiated; drop
 * the packet
 */
static inline bool
net_hdr_tx_check(struct virtio_net_hdr_mrg_rxbuf *hdr, uint32_t pkt_len, uint64_t features)
{
	if (__builtin_expect((hdr->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 &&
				     hdr->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE,
		    1)) {
		__builtin_memset(hdr, 0, sizeof(*hdr));
		return true;
	}
	return net_hdr_tx_check_offload(hdr, pkt_len, features);
}

/**
 * Can the header be true of a packet of this length, whoever has filled it in? The checksum's field
 * is in the packet, the kind of a large segment is known, its checksum's place the right one.
 */
bool net_hdr_sound(const struct virtio_net_hdr *h, uint32_t pkt_len);

#endif /* NET_NET_HDR_H */
