/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Hashes of received frames, worked out in the plainest way. */

#include "net_dev_hash.h"

#include <stddef.h>
#include <string.h>

/* A frame's two IPv4 addresses and two ports, one after the other. */
#define FIELDS_AT  26u
#define FIELDS_LEN 12u

static uint8_t
key_byte(uint32_t i)
{
	return (uint8_t)(i * 73 + 41);
}

void
net_dev_hash_config(struct net_dev *dev, struct net_dev_hash_config *config)
{
	uint32_t types;

	dev->transport->ops->config_read(dev->transport,
		offsetof(struct virtio_net_config, supported_hash_types), &types, sizeof(types));
	*config = (struct net_dev_hash_config){.types = types, .key_len = NET_DEV_HASH_KEY_LEN};
	for (uint32_t i = 0; i < NET_DEV_HASH_KEY_LEN; i++)
		config->key[i] = key_byte(i);
}

/* Toeplitz: each bit of the input that is set adds the key's 32 bits from there on. */
static uint32_t
hash(const uint8_t *in, uint32_t len)
{
	uint32_t window = 0, sum = 0;

	for (uint32_t i = 0; i < 4; i++)
		window = window << 8 | key_byte(i);
	for (uint32_t bit = 0; bit < len * 8; bit++) {
		const uint32_t next = bit + 32;

		if ((in[bit / 8] & 0x80 >> bit % 8) != 0)
			sum ^= window;
		window = window << 1 | (key_byte(next / 8) >> (7 - next % 8) & 1u);
	}
	return sum;
}

bool
net_dev_hash_right(const struct net_dev *dev, const uint8_t *hdr, const uint8_t *frame)
{
	struct {
		uint32_t value;
		uint16_t report;
		uint16_t padding;
	} want = {0};

	if (net_dev_hdr_len(dev) != NET_DEV_HDR_MAX)
		return true;
	if (dev->hashes) {
		want.value = hash(frame + FIELDS_AT, FIELDS_LEN);
		want.report = VIRTIO_NET_HASH_REPORT_UDPv4;
	}
	return memcmp(hdr + NET_DEV_HDR_MAX - sizeof(want), &want, sizeof(want)) == 0;
}
