/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_NET_HDR_H
#define NET_NET_HDR_H

/**
 * @file
 * The virtio-net header (virtio 1.2, 5.1.6 "Device Operation"): which headers of a driver are
 * believed, and which a driver may be shown.
 *
 * Transmit: net_hdr_tx_check() turns a header that was copied out of host memory into one that the
 * rest of the program may rely on, or refuses the packet. Receive: net_hdr_rx() makes a packet from
 * the wire fit the offloads that the driver has negotiated.
 *
 * Pure functions: no state, any thread, never blocking. Fields are little-endian in host order, as
 * all supported machines are.
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO	56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/** Feature bits that let headers carry anything but zeros. */
#define NET_HDR_TX_FEATURES                                                                        \
	(UINT64_C(1) << VIRTIO_NET_F_CSUM | UINT64_C(1) << VIRTIO_NET_F_HOST_TSO4 |                \
		UINT64_C(1) << VIRTIO_NET_F_HOST_TSO6 | UINT64_C(1) << VIRTIO_NET_F_HOST_UFO |     \
		UINT64_C(1) << VIRTIO_NET_F_HOST_USO)
#define NET_HDR_RX_FEATURES                                                                        \
	(UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM | UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4 |         \
		UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO6 | UINT64_C(1) << VIRTIO_NET_F_GUEST_UFO |   \
		UINT64_C(1) << VIRTIO_NET_F_GUEST_USO4 | UINT64_C(1) << VIRTIO_NET_F_GUEST_USO6)

/** Slow path of net_hdr_tx_check(): a header that asks for something. */
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

/** Slow path of net_hdr_rx(): a header that says something. */
int net_hdr_rx_fix(struct rte_mbuf *m, struct virtio_net_hdr_mrg_rxbuf *hdr, uint64_t features);

/**
 * Make a packet from the wire fit for a driver: a checksum that the driver will not complete itself
 * is completed in the packet, and flags that it has not negotiated are cleared.
 *
 * @param m        packet; its data is written to, so it must not be shared
 * @param hdr      header of the packet
 * @param features negotiated
 * @return 0; -EMSGSIZE if it is a large segment of a kind that the driver does not take and must be
 * segmented first; -EINVAL if header and packet contradict each other
 */
static inline int
net_hdr_rx(struct rte_mbuf *m, struct virtio_net_hdr_mrg_rxbuf *hdr, uint64_t features)
{
	if (__builtin_expect(
		    hdr->hdr.flags == 0 && hdr->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE, 1))
		return 0;
	return net_hdr_rx_fix(m, hdr, features);
}

/**
 * Complete a partial checksum in the packet: sum from byte `start` to the end, stored at start +
 * offset, where the pseudo-header's sum stands already.
 *
 * @param m  chain of any shape; its data must not be shared
 * @return 0; -EINVAL if the field is not within the packet
 */
int net_csum_complete(struct rte_mbuf *m, uint16_t start, uint16_t offset);

#endif /* NET_NET_HDR_H */
