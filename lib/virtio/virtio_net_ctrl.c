/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Parsing of the control virtqueue's commands. */

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "virtio/features.h"
#include "virtio/virtio_net_ctrl.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MAC_LEN	      6u

/* What a command's parser gets: its data, after class and command. */
struct ctrl_data {
	const uint8_t *p;
	size_t len;
	uint8_t command;
	uint16_t max_pairs;
	uint64_t features;
};

static int
parse_rx_mode(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd)
{
	if (d->len != 1 || d->p[0] > 1)
		return -EINVAL;
	cmd->kind = VIRTIO_NET_CTRL_KIND_RX_MODE;
	cmd->rx.mode = d->command;
	cmd->rx.on = d->p[0];
	return 0;
}

static int
parse_mac_set(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd)
{
	static const uint8_t zero[MAC_LEN];

	if (d->len != MAC_LEN || (d->p[0] & 1) != 0 || memcmp(d->p, zero, MAC_LEN) == 0)
		return -EINVAL;
	cmd->kind = VIRTIO_NET_CTRL_KIND_MAC_SET;
	memcpy(cmd->mac, d->p, MAC_LEN);
	return 0;
}

/* One table at *at, which moves behind it. @return number of entries; -EINVAL */
static int
take_macs(const struct ctrl_data *d, size_t *at, const uint8_t **macs)
{
	uint32_t n;

	if (d->len - *at < sizeof(n))
		return -EINVAL;
	memcpy(&n, d->p + *at, sizeof(n));
	n = le32toh(n);
	*at += sizeof(n);
	if (n > VIRTIO_NET_CTRL_MAC_ENTRIES || n * MAC_LEN > d->len - *at)
		return -EINVAL;
	*macs = d->p + *at;
	*at += n * MAC_LEN;
	return (int)n;
}

static int
parse_mac_table(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd)
{
	size_t at = 0;
	int unicast, multicast;

	unicast = take_macs(d, &at, &cmd->mac_table.unicast);
	if (unicast < 0)
		return -EINVAL;
	multicast = take_macs(d, &at, &cmd->mac_table.multicast);
	if (multicast < 0 || at != d->len)
		return -EINVAL;
	cmd->kind = VIRTIO_NET_CTRL_KIND_MAC_TABLE;
	cmd->mac_table.n_unicast = (uint32_t)unicast;
	cmd->mac_table.n_multicast = (uint32_t)multicast;
	return 0;
}

static int
parse_mq(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd)
{
	uint16_t pairs;

	if (d->len != sizeof(pairs))
		return -EINVAL;
	memcpy(&pairs, d->p, sizeof(pairs));
	pairs = le16toh(pairs);
	if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > d->max_pairs)
		return -EINVAL;
	cmd->kind = VIRTIO_NET_CTRL_KIND_MQ;
	cmd->pairs = pairs;
	return 0;
}

static int
parse_announce(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd)
{
	if (d->len != 0)
		return -EINVAL;
	cmd->kind = VIRTIO_NET_CTRL_KIND_ANNOUNCE;
	return 0;
}

static int
parse_guest_offloads(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd)
{
	uint64_t offloads;
	unsigned int alone;

	if (d->len != sizeof(offloads))
		return -EINVAL;
	memcpy(&offloads, d->p, sizeof(offloads));
	offloads = le64toh(offloads);
	if ((offloads & ~(d->features & VIRTIO_NET_GUEST_OFFLOADS)) != 0)
		return -EINVAL;
	while (virtio_net_check_features(offloads, &alone, NULL) < 0)
		offloads &= ~VIRTIO_BIT(alone);
	cmd->kind = VIRTIO_NET_CTRL_KIND_GUEST_OFFLOADS;
	cmd->offloads = offloads;
	return 0;
}

/*
 * The hash types are a command's first field. At key_at are the key's length and the key, which end
 * the command.
 */
static int
take_hash(const struct ctrl_data *d, size_t key_at, struct virtio_net_ctrl_hash *hash)
{
	if (d->len != key_at + 1 + VIRTIO_NET_HASH_KEY_SIZE ||
		d->p[key_at] != VIRTIO_NET_HASH_KEY_SIZE)
		return -EINVAL;
	memcpy(&hash->types, d->p, sizeof(hash->types));
	hash->types = le32toh(hash->types);
	hash->key = d->p + key_at + 1;
	return (hash->types & ~VIRTIO_NET_HASH_TYPES) == 0 ? 0 : -EINVAL;
}

/*
 * The reserved fields are not looked at: Linux sends the same structure for RSS and for hashes
 * alone, and has a number of queues in one of them.
 */
static int
parse_hash_config(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd)
{
	cmd->kind = VIRTIO_NET_CTRL_KIND_HASH_CONFIG;
	return take_hash(d, offsetof(struct virtio_net_hash_config, hash_key_length), &cmd->hash);
}

static const struct {
	uint8_t class, command;
	uint8_t feature; /* that brings the command */
	int (*parse)(const struct ctrl_data *d, struct virtio_net_ctrl_cmd *cmd);
} commands[] = {
	{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX, parse_rx_mode},
	{VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX, parse_rx_mode},
	{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX, parse_mac_table},
	{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR,
		parse_mac_set},
	{VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_F_GUEST_ANNOUNCE,
		parse_announce},
	{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ, parse_mq},
	{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, VIRTIO_NET_F_HASH_REPORT,
		parse_hash_config},
	{VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
		VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, parse_guest_offloads},
};

int
virtio_net_ctrl_parse(const void *buf, size_t len, uint64_t features, uint16_t max_pairs,
	struct virtio_net_ctrl_cmd *cmd)
{
	const uint8_t *b = buf;
	struct ctrl_data d;

	if (len < sizeof(struct virtio_net_ctrl_hdr) || len > VIRTIO_NET_CTRL_MAX ||
		!virtio_has(features, VIRTIO_NET_F_CTRL_VQ))
		return -EINVAL;
	d = (struct ctrl_data){
		.p = b + 2,
		.len = len - 2,
		.command = b[1],
		.max_pairs = max_pairs,
		.features = features,
	};
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (commands[i].class == b[0] && commands[i].command == b[1])
			return virtio_has(features, commands[i].feature)
				       ? commands[i].parse(&d, cmd)
				       : -EINVAL;
	return -EINVAL;
}
