/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_OFFLOAD_RIG_H
#define TEST_UNIT_OFFLOAD_RIG_H

/**
 * @file
 * Random packets with offload requests, and what must be on the wire in the end: each packet cut
 * and its checksums complete, worked out here in the plainest way from the flat bytes.
 *
 * Whoever does which part of the work, rig_finish() of all that comes out must be rig_finish() of
 * what went in.
 */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include <rte_mbuf.h>

#define OFFLOAD_MBUFS	  4096u
#define OFFLOAD_PKT_MAX	  65562u
#define OFFLOAD_WIRE_MAX  1024u /**< frames that a packet becomes */
#define OFFLOAD_ROUND_MAX 16u	/**< packets that are dealt with at a time */

struct offload_pkt {
	uint32_t len;
	struct virtio_net_hdr hdr;
	uint8_t data[OFFLOAD_PKT_MAX];
};

/** Frames as they are on the wire, in their order. */
struct offload_wire {
	unsigned int n;
	uint32_t bytes;
	struct {
		uint32_t at, len;
	} frame[OFFLOAD_WIRE_MAX * OFFLOAD_ROUND_MAX];
	uint8_t data[8 * 1024 * 1024];
};

/** What random packets may be like. */
struct offload_limits {
	uint32_t len;	   /**< of a packet that is not a large segment, and of a segment's part */
	uint32_t gso_len;  /**< of one that is; 0: none */
	uint16_t gso_size; /**< at least */
};

struct rte_mempool *offload_pool(void);

/** A packet of any kind, by seed: TCP or UDP, IPv4 or IPv6, tags, options, extension headers. */
void offload_random(struct offload_pkt *p, uint32_t seed, const struct offload_limits *limits);

/** A packet of one kind, for tests of one thing. hdr asks for segments of size, unless that is 0.
 */
struct offload_kind {
	bool ipv6, udp;
	uint8_t tags;	  /**< 0..2 */
	uint8_t ext;	  /**< IPv6: extension headers; IPv4: words of options */
	uint8_t tcp_opts; /**< words */
	uint8_t tcp_flags;
	uint16_t size;
	uint32_t payload;
};
void offload_make(struct offload_pkt *p, const struct offload_kind *kind, uint32_t seed);

/** The packet in mbufs, its header before it. seed 0: as few as possible; else cut at random. */
struct rte_mbuf *offload_mbuf(const struct offload_pkt *p, uint32_t seed);
/** The reverse; frees nothing. */
void offload_flat(const struct rte_mbuf *m, struct offload_pkt *p);

/** Add what must be on the wire of a packet. */
void offload_finish(struct offload_wire *w, const struct offload_pkt *p);

/** Frame by frame; a failure names what. */
void offload_same(
	const struct offload_wire *got, const struct offload_wire *want, const char *what);

/** enum net_offload that the packet asks for. */
uint32_t offload_asked(const struct offload_pkt *p);

/** Where the headers end. */
uint16_t offload_hdr_len(const struct offload_pkt *p);

#endif /* TEST_UNIT_OFFLOAD_RIG_H */
