/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H

/**
 * @file
 * What a taker of packets - a driver, an SF - does itself with what their virtio-net headers ask
 * for. One set of names for both directions and all takers, so that what one side asks for and the
 * other cannot do is a matter of `&` and `~`.
 */

#include <stdint.h>

#include <linux/virtio_net.h>

/* Features of virtio 1.2 and later that the headers of the oldest kernels lack. */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO	56
#endif
#ifndef VIRTIO_NET_F_GUEST_HDRLEN
#define VIRTIO_NET_F_GUEST_HDRLEN 59
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/**
 * What the header has behind num_buffers with VIRTIO_NET_F_HASH_REPORT (virtio 1.2, 5.1.6). The
 * fields of the kernel's struct virtio_net_hdr_v1_hash have had more than one name.
 */
struct net_hdr_hash {
	uint32_t value;
	uint16_t report; /**< VIRTIO_NET_HASH_REPORT_* */
	uint16_t padding;
};

enum net_offload {
	NET_OFFLOAD_CSUM = 1u << 0, /**< NEEDS_CSUM, and DATA_VALID */
	NET_OFFLOAD_TSO4 = 1u << 1, /**< GSO_TCPV4 */
	NET_OFFLOAD_TSO6 = 1u << 2, /**< GSO_TCPV6 */
	NET_OFFLOAD_ECN = 1u << 3,  /**< either of them with GSO_ECN */
	NET_OFFLOAD_USO4 = 1u << 4, /**< GSO_UDP_L4 over IPv4 */
	NET_OFFLOAD_USO6 = 1u << 5, /**< GSO_UDP_L4 over IPv6 */
	/** Not a thing to do but a wish: hdr_len of a large segment is exact (GUEST_HDRLEN). */
	NET_OFFLOAD_HDRLEN = 1u << 6,
};
#define NET_OFFLOAD_USO (NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6)
#define NET_OFFLOAD_GSO (NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_USO)
#define NET_OFFLOAD_ALL (NET_OFFLOAD_CSUM | NET_OFFLOAD_GSO | NET_OFFLOAD_ECN)

#define NET_OFFLOAD_IF(features, feature, offload)                                                 \
	((uint32_t)((features) >> VIRTIO_NET_F_##feature & 1) * (uint32_t)(offload))

/** What a driver with these features takes (VIRTIO_NET_F_GUEST_*). */
static inline uint32_t
net_offload_guest(uint64_t features)
{
	return NET_OFFLOAD_IF(features, GUEST_CSUM, NET_OFFLOAD_CSUM) |
	       NET_OFFLOAD_IF(features, GUEST_TSO4, NET_OFFLOAD_TSO4) |
	       NET_OFFLOAD_IF(features, GUEST_TSO6, NET_OFFLOAD_TSO6) |
	       NET_OFFLOAD_IF(features, GUEST_ECN, NET_OFFLOAD_ECN) |
	       NET_OFFLOAD_IF(features, GUEST_USO4, NET_OFFLOAD_USO4) |
	       NET_OFFLOAD_IF(features, GUEST_USO6, NET_OFFLOAD_USO6) |
	       NET_OFFLOAD_IF(features, GUEST_HDRLEN, NET_OFFLOAD_HDRLEN);
}

/** What a driver with these features may ask for (VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_*). */
static inline uint32_t
net_offload_host(uint64_t features)
{
	return NET_OFFLOAD_IF(features, CSUM, NET_OFFLOAD_CSUM) |
	       NET_OFFLOAD_IF(features, HOST_TSO4, NET_OFFLOAD_TSO4) |
	       NET_OFFLOAD_IF(features, HOST_TSO6, NET_OFFLOAD_TSO6) |
	       NET_OFFLOAD_IF(features, HOST_ECN, NET_OFFLOAD_ECN) |
	       NET_OFFLOAD_IF(features, HOST_USO, NET_OFFLOAD_USO);
}

#endif /* NET_OFFLOAD_H */
