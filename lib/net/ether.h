/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef NET_ETHER_H
#define NET_ETHER_H

/**
 * @file
 * Inside lib/net: what an Ethernet frame has behind its tags. Pure functions.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>

/** Before 802.1ad, for the outer tag; still configured. */
#define NET_ETHER_TYPE_QINQ1 0x9100
/** Tags in a row that are looked past; Linux stops there, too. */
#define NET_ETHER_TAGS_MAX 8u
/** Bytes of a frame up to where its longest row of tags ends. */
#define NET_ETHER_LOOK	   (RTE_ETHER_HDR_LEN + NET_ETHER_TAGS_MAX * NET_ETHER_TAG_LEN)

#define NET_ETHER_TYPE_LEN 2u
#define NET_ETHER_TAG_LEN  4u

static inline uint16_t
net_be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline bool
net_ether_is_tag(uint16_t ether_type)
{
	return ether_type == RTE_ETHER_TYPE_VLAN || ether_type == RTE_ETHER_TYPE_QINQ ||
	       ether_type == NET_ETHER_TYPE_QINQ1;
}

/**
 * Look past all tags.
 *
 * @param hdr  the frame's first len bytes
 * @param l3   offset of what the EtherType tells of
 * @return EtherType; 0 if it is not there
 */
static inline uint16_t
net_ether_skip(const uint8_t *hdr, uint32_t len, uint16_t *l3)
{
	uint32_t at = RTE_ETHER_HDR_LEN;

	for (unsigned int tags = 0; at <= len; tags++, at += NET_ETHER_TAG_LEN) {
		const uint16_t type = net_be16_at(hdr + at - NET_ETHER_TYPE_LEN);

		*l3 = (uint16_t)at;
		if (!net_ether_is_tag(type))
			return type;
		if (tags == NET_ETHER_TAGS_MAX)
			break;
	}
	return 0;
}

#endif /* NET_ETHER_H */
