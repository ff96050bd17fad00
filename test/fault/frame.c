/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Test frames: headers, a payload that follows from the number, and a hash over everything. */

#include "frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <linux/if_ether.h>

#define PORT_BASE 40000u
/* 198.18.0.0/15: benchmarks between networks (RFC 2544). */
#define ADDRESS_BASE   UINT32_C(0xc6120000)
#define IPPROTO_OF_UDP 17u

struct frame {
	uint8_t dst[6], src[6];
	uint16_t type;
	/* IPv4 */
	uint8_t version, tos;
	uint16_t total;
	uint16_t id, fragment;
	uint8_t ttl, protocol;
	uint16_t ip_sum;
	uint32_t from, to;
	/* UDP */
	uint16_t sport, dport, udp_len, udp_sum;
	/* ours */
	uint32_t seq, stamp;
	uint64_t hash;
	uint8_t payload[];
} __attribute__((packed));

/* The far side of the wire: a MAC that the representor does not have. */
static const uint8_t wire_mac[6] = {0x02, 0x76, 0x6e, 0x66, 0x74, 0x01};

static uint64_t
mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static uint64_t
seed_of(const struct frame_info *info)
{
	return (uint64_t)info->dir << 56 | (uint64_t)info->device << 48 |
	       (uint64_t)info->stream << 32 | info->seq;
}

static uint64_t
hash(const uint8_t *buf, uint32_t len)
{
	uint64_t h = len, word;

	for (; len >= sizeof(word); len -= sizeof(word), buf += sizeof(word)) {
		memcpy(&word, buf, sizeof(word));
		h = (h ^ word) * UINT64_C(0xd6e8feb86659fd93);
		h ^= h >> 32;
	}
	word = 0;
	memcpy(&word, buf, len);
	return mix(h ^ word);
}

uint32_t
frame_len(const struct frame_info *info)
{
	const uint64_t r = mix(seed_of(info));
	const uint32_t range = (r & 1) != 0 ? FRAME_MAX - FRAME_MIN + 1 : 100;

	return FRAME_MIN + (uint32_t)((r >> 8) % range);
}

static uint16_t
ip_checksum(const struct frame *f)
{
	const uint8_t *at = &f->version;
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~(sum + (sum >> 16)));
}

static void
headers_make(struct frame *f, uint32_t len, const struct frame_info *info, const uint8_t mac[6])
{
	const uint32_t net = ADDRESS_BASE | (uint32_t)info->device << 8;
	const uint32_t device = htonl(net | 2), wire = htonl(net | 1);
	const bool tx = info->dir == FRAME_TX;

	memset(f, 0, sizeof(*f));
	memcpy(f->dst, tx ? wire_mac : mac, sizeof(f->dst));
	memcpy(f->src, tx ? mac : wire_mac, sizeof(f->src));
	f->type = htons(ETH_P_IP);
	f->version = 0x45;
	f->total = htons((uint16_t)(len - ETH_HLEN));
	f->id = htons((uint16_t)info->seq);
	f->ttl = 1;
	f->protocol = IPPROTO_OF_UDP;
	f->from = tx ? device : wire;
	f->to = tx ? wire : device;
	f->ip_sum = ip_checksum(f);
	f->sport = f->dport = htons((uint16_t)(PORT_BASE + info->stream));
	f->udp_len = htons((uint16_t)(len - ETH_HLEN - 20));
}

uint32_t
frame_make(uint8_t *buf, const struct frame_info *info, const uint8_t mac[6])
{
	const uint32_t len = frame_len(info), n = len - (uint32_t)sizeof(struct frame);
	struct frame *f = (struct frame *)buf;
	uint64_t seed = seed_of(info), sum;

	headers_make(f, len, info, mac);
	f->seq = info->seq;
	f->stamp = info->stamp;
	for (uint32_t at = 0; at < n; at += sizeof(seed)) {
		seed = mix(seed);
		memcpy(&f->payload[at], &seed, n - at < sizeof(seed) ? n - at : sizeof(seed));
	}
	sum = hash(buf, len);
	memcpy(&f->hash, &sum, sizeof(sum));
	return len;
}

void
frame_spoil(uint8_t *buf)
{
	struct frame *f = (struct frame *)buf;

	f->hash = ~f->hash;
}

int
frame_check(const uint8_t *buf, uint32_t len, struct frame_info *info)
{
	uint8_t copy[FRAME_MAX];
	struct frame *f = (struct frame *)copy;
	uint64_t told;

	if (len < FRAME_MIN || len > FRAME_MAX)
		return -ENOMSG;
	memcpy(copy, buf, len);
	if (f->type != htons(ETH_P_IP) || f->protocol != IPPROTO_OF_UDP ||
		(ntohl(f->from) & UINT32_C(0xfffe0000)) != ADDRESS_BASE)
		return -ENOMSG;
	told = f->hash;
	f->hash = 0;
	info->dir = (ntohl(f->from) & 0xff) == 2 ? FRAME_TX : FRAME_RX;
	info->device = (uint8_t)(ntohl(f->from) >> 8);
	info->stream = (uint16_t)(ntohs(f->sport) - PORT_BASE);
	info->seq = f->seq;
	info->stamp = f->stamp;
	return hash(copy, len) == told && len == frame_len(info) ? 0 : -EBADMSG;
}
