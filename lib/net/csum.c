/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The Internet checksum over chains of mbufs. */

#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

#include "net/csum.h"

/*
 * Words of 32 bits into a sum of 64, which no packet can overflow: the compiler makes one addition
 * of four or eight bytes of it, where rte_raw_cksum() adds two at a time.
 */
uint16_t
net_sum(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint64_t sum = 0, v;
	uint32_t half = 0;

	for (; len >= sizeof(v); p += sizeof(v), len -= sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		sum += (v & UINT32_MAX) + (v >> 32);
	}
	if (len >= sizeof(half)) {
		memcpy(&half, p, sizeof(half));
		sum += half;
		p += sizeof(half);
		len -= sizeof(half);
	}
	if (len > 0) {
		half = 0;
		memcpy(&half, p, len);
		sum += half;
	}
	while ((sum >> 16) != 0)
		sum = (sum & UINT16_MAX) + (sum >> 16);
	return (uint16_t)sum;
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

/* From byte off to the end. A piece that begins at an odd place counts with its bytes swapped. */
static uint16_t
mbuf_sum(const struct rte_mbuf *m, uint32_t off)
{
	uint32_t done = 0;
	uint16_t sum = 0;

	for (; m != NULL; m = m->next) {
		uint16_t part;
		uint32_t len;

		if (off >= m->data_len) {
			off -= m->data_len;
			continue;
		}
		len = m->data_len - off;
		part = net_sum(rte_pktmbuf_mtod_offset(m, const void *, off), len);
		sum = net_sum_add(sum, (done & 1) != 0 ? rte_bswap16(part) : part);
		off = 0;
		done += len;
	}
	return sum;
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
