/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Control commands: what is taken, and that nothing else is. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "virtio/features.h"
#include "virtio/virtio_net_ctrl.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_PAIRS     4u

/*
 * Parse a copy of exactly the length of the command, so that a sanitizer sees every byte read
 * beyond.
 */
static int
parse_with(const uint8_t *bytes, size_t len, uint64_t features, struct virtio_net_ctrl_cmd *cmd)
{
	uint8_t *copy = malloc(len != 0 ? len : 1);
	int rc;

	memcpy(copy, bytes, len);
	rc = virtio_net_ctrl_parse(copy, len, features, MAX_PAIRS, cmd);
	free(copy);
	return rc;
}

static int
parse(const uint8_t *bytes, size_t len, struct virtio_net_ctrl_cmd *cmd)
{
	return parse_with(bytes, len, virtio_net_supported_features(), cmd);
}

static void
receive_mode_is_a_mode_and_a_bit(void **state)
{
	struct virtio_net_ctrl_cmd cmd;

	assert_int_equal(parse((uint8_t[]){0, 0, 1}, 3, &cmd), 0);
	assert_int_equal(cmd.kind, VIRTIO_NET_CTRL_KIND_RX_MODE);
	assert_int_equal(cmd.rx.mode, VIRTIO_NET_CTRL_RX_PROMISC);
	assert_int_equal(cmd.rx.on, 1);
	assert_int_equal(parse((uint8_t[]){0, 1, 0}, 3, &cmd), 0);
	assert_int_equal(cmd.rx.mode, VIRTIO_NET_CTRL_RX_ALLMULTI);
	assert_int_equal(cmd.rx.on, 0);
}

static void
mac_address_is_six_bytes_of_a_station(void **state)
{
	static const uint8_t good[] = {1, 1, 0x02, 1, 2, 3, 4, 5};
	struct virtio_net_ctrl_cmd cmd;

	assert_int_equal(parse(good, 8, &cmd), 0);
	assert_int_equal(cmd.kind, VIRTIO_NET_CTRL_KIND_MAC_SET);
	assert_memory_equal(cmd.mac, good + 2, 6);
	assert_int_equal(parse((uint8_t[]){1, 1, 0x03, 1, 2, 3, 4, 5}, 8, &cmd), -EINVAL);
	assert_int_equal(parse((uint8_t[]){1, 1, 0, 0, 0, 0, 0, 0}, 8, &cmd), -EINVAL);
}

static void
pairs_are_between_one_and_the_devices_maximum(void **state)
{
	static const struct {
		uint8_t lo, hi;
		int rc;
	} table[] = {{0, 0, -EINVAL}, {1, 0, 0}, {4, 0, 0}, {5, 0, -EINVAL}, {0, 0x80, -EINVAL},
		{1, 1, -EINVAL}, {0xff, 0xff, -EINVAL}};
	struct virtio_net_ctrl_cmd cmd;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(
			parse((uint8_t[]){4, 0, table[i].lo, table[i].hi}, 4, &cmd), table[i].rc);
		if (table[i].rc == 0) {
			assert_int_equal(cmd.kind, VIRTIO_NET_CTRL_KIND_MQ);
			assert_int_equal(cmd.pairs, table[i].lo);
		}
	}
}

static void
announcement_is_acknowledged_without_data(void **state)
{
	struct virtio_net_ctrl_cmd cmd;

	assert_int_equal(parse((uint8_t[]){3, 0}, 2, &cmd), 0);
	assert_int_equal(cmd.kind, VIRTIO_NET_CTRL_KIND_ANNOUNCE);
}

/* The command with a driver that has negotiated `features`. */
static int
parse_offloads(uint64_t features, uint64_t offloads, struct virtio_net_ctrl_cmd *cmd)
{
	uint8_t buf[10] = {VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET};

	features |= VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ) | VIRTIO_BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	memcpy(buf + 2, &offloads, sizeof(offloads));
	return parse_with(buf, sizeof(buf), features, cmd);
}

static void
guest_offloads_are_a_subset_of_those_negotiated(void **state)
{
	const uint64_t csum = VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM),
		       tso4 = VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4),
		       uso6 = VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO6),
		       mac = VIRTIO_BIT(VIRTIO_NET_F_MAC);
	const struct {
		uint64_t features, offloads;
		int rc;
	} table[] = {
		{csum | tso4, csum | tso4, 0},
		{csum | tso4 | uso6, csum | uso6, 0},
		{csum | tso4, 0, 0},
		{csum, csum | tso4, -EINVAL},
		{csum | tso4, csum | uso6, -EINVAL},
		{csum | mac, csum | mac, -EINVAL}, /* no offload */
		{UINT64_MAX, UINT64_MAX, -EINVAL},
		{0, csum, -EINVAL},
		{0, 0, 0},
	};
	struct virtio_net_ctrl_cmd cmd;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (parse_offloads(table[i].features, table[i].offloads, &cmd) != table[i].rc)
			fail_msg("row %zu", i);
		if (table[i].rc == 0) {
			assert_int_equal(cmd.kind, VIRTIO_NET_CTRL_KIND_GUEST_OFFLOADS);
			assert_int_equal(cmd.offloads, table[i].offloads);
		}
	}
}

static void
offloads_that_build_on_one_that_is_off_are_off(void **state)
{
	const uint64_t csum = VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM),
		       tso6 = VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6),
		       ecn = VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN);
	const struct {
		uint64_t asked, got;
	} table[] = {
		{csum | tso6 | ecn, csum | tso6 | ecn},
		{csum | ecn, csum},
		{tso6 | ecn, 0},
		{tso6, 0},
	};
	struct virtio_net_ctrl_cmd cmd;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(parse_offloads(csum | tso6 | ecn, table[i].asked, &cmd), 0);
		assert_int_equal(cmd.offloads, table[i].got);
	}
}

/* Two tables of n and m entries, plus `extra` bytes. */
static size_t
mac_table(uint8_t *buf, uint32_t n, uint32_t m, size_t real_n, size_t real_m)
{
	size_t at = 2;

	buf[0] = VIRTIO_NET_CTRL_MAC;
	buf[1] = VIRTIO_NET_CTRL_MAC_TABLE_SET;
	memcpy(buf + at, &n, 4);
	at += 4;
	memset(buf + at, 0x02, real_n * 6);
	at += real_n * 6;
	memcpy(buf + at, &m, 4);
	at += 4;
	memset(buf + at, 0x01, real_m * 6);
	return at + real_m * 6;
}

static void
mac_tables_point_into_the_command(void **state)
{
	uint8_t buf[64];
	size_t len = mac_table(buf, 2, 1, 2, 1);
	struct virtio_net_ctrl_cmd cmd;

	assert_int_equal(
		virtio_net_ctrl_parse(buf, len, virtio_net_supported_features(), MAX_PAIRS, &cmd),
		0);
	assert_int_equal(cmd.kind, VIRTIO_NET_CTRL_KIND_MAC_TABLE);
	assert_int_equal(cmd.mac_table.n_unicast, 2);
	assert_int_equal(cmd.mac_table.n_multicast, 1);
	assert_ptr_equal(cmd.mac_table.unicast, buf + 6);
	assert_ptr_equal(cmd.mac_table.multicast, buf + 22);
}

static void
mac_table_counts_must_match_the_length(void **state)
{
	static const struct {
		uint32_t n, m;
		size_t real_n, real_m;
		int rc;
	} table[] = {
		{0, 0, 0, 0, 0},
		{1, 0, 1, 0, 0},
		{1024, 1024, 1024, 1024, 0},
		{1025, 0, 1025, 0, -EINVAL},
		{0, 1025, 0, 1025, -EINVAL},
		{1, 0, 0, 0, -EINVAL},
		{0, 1, 0, 0, -EINVAL},
		{0, 0, 0, 1, -EINVAL},
		{2, 0, 1, 1, -EINVAL},
		{0xffffffff, 0, 1, 0, -EINVAL},
		{0, 0xffffffff, 0, 1, -EINVAL},
		{0x2aaaaaab, 0, 1, 0, -EINVAL}, /* times 6 is 2 in 32 bits */
		{0x80000000, 0x80000000, 0, 0, -EINVAL},
	};
	uint8_t *buf = malloc(2 * VIRTIO_NET_CTRL_MAX);
	struct virtio_net_ctrl_cmd cmd;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t len =
			mac_table(buf, table[i].n, table[i].m, table[i].real_n, table[i].real_m);

		if (parse(buf, len, &cmd) != table[i].rc)
			fail_msg("row %zu", i);
	}
	free(buf);
}

/* Types, reserved fields, a key with its length. @return bytes */
static size_t
hash_config(uint8_t *buf, uint32_t types, uint8_t key_len)
{
	memset(buf, 0, 15);
	buf[0] = VIRTIO_NET_CTRL_MQ;
	buf[1] = VIRTIO_NET_CTRL_MQ_HASH_CONFIG;
	memcpy(buf + 2, &types, sizeof(types));
	buf[14] = key_len;
	for (uint8_t i = 0; i < key_len; i++)
		buf[15 + i] = i;
	return 15u + key_len;
}

static void
hash_config_has_types_and_a_key(void **state)
{
	static const uint32_t types[] = {0, 1, 0x3f, 0x1c0, 0x1ff};
	struct virtio_net_ctrl_cmd cmd;
	uint8_t buf[64];

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const size_t len = hash_config(buf, types[i], 40);

		assert_int_equal(virtio_net_ctrl_parse(buf, len, virtio_net_supported_features(),
					 MAX_PAIRS, &cmd),
			0);
		assert_int_equal(cmd.kind, VIRTIO_NET_CTRL_KIND_HASH_CONFIG);
		assert_int_equal(cmd.hash.types, types[i]);
		assert_ptr_equal(cmd.hash.key, buf + 15);
	}
}

static void
hash_types_that_there_are_not_are_refused(void **state)
{
	struct virtio_net_ctrl_cmd cmd;
	uint8_t buf[64];

	for (unsigned int bit = 9; bit < 32; bit++) {
		const size_t len = hash_config(buf, 1u << bit | 0x1ff, 40);

		assert_int_equal(parse(buf, len, &cmd), -EINVAL);
	}
}

static void
hash_keys_have_forty_bytes(void **state)
{
	struct virtio_net_ctrl_cmd cmd;
	uint8_t buf[15 + 255];

	for (unsigned int key_len = 0; key_len <= 255; key_len++) {
		const size_t len = hash_config(buf, 0x3f, (uint8_t)key_len);

		assert_int_equal(parse(buf, len, &cmd), key_len == 40 ? 0 : -EINVAL);
		/* A length that is not the key's. */
		buf[14] = 40;
		assert_int_equal(parse(buf, len, &cmd), key_len == 40 ? 0 : -EINVAL);
	}
}

/* Linux has the number of queue pairs there. */
static void
reserved_fields_of_a_hash_config_do_not_matter(void **state)
{
	struct virtio_net_ctrl_cmd cmd;
	uint8_t buf[64];
	const size_t len = hash_config(buf, 0x3f, 40);

	memset(buf + 6, 0xff, 8);
	assert_int_equal(parse(buf, len, &cmd), 0);
	assert_int_equal(cmd.hash.types, 0x3f);
}

static const struct {
	uint8_t class, command;
	size_t data;
	unsigned int feature;
} known[] = {
	{0, 0, 1, VIRTIO_NET_F_CTRL_RX},
	{0, 1, 1, VIRTIO_NET_F_CTRL_RX},
	{1, 0, 8, VIRTIO_NET_F_CTRL_RX},
	{1, 1, 6, VIRTIO_NET_F_CTRL_MAC_ADDR},
	{3, 0, 0, VIRTIO_NET_F_GUEST_ANNOUNCE},
	{4, 0, 2, VIRTIO_NET_F_MQ},
	{4, 2, 53, VIRTIO_NET_F_HASH_REPORT},
	{5, 0, 8, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS},
};

/*
 * Data that every command takes if its length is right: pairs 1, mode off, MAC 02:..., empty
 * tables, no offload, no hash.
 */
static void
fill(uint8_t *buf, size_t i)
{
	memset(buf, 0, 64);
	buf[0] = known[i].class;
	buf[1] = known[i].command;
	if (known[i].class == VIRTIO_NET_CTRL_MQ)
		buf[2] = 1;
	if (known[i].data == 6)
		buf[2] = 2;
	if (known[i].data == 53)
		hash_config(buf, 0, 40);
}

static void
every_wrong_length_is_refused(void **state)
{
	struct virtio_net_ctrl_cmd cmd;
	uint8_t buf[64];

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		for (size_t len = 0; len <= sizeof(buf); len++) {
			fill(buf, i);
			if (parse(buf, len, &cmd) != (len == 2 + known[i].data ? 0 : -EINVAL))
				fail_msg("command %zu, length %zu", i, len);
		}
}

static void
command_needs_its_feature_and_the_control_queue(void **state)
{
	const uint64_t all = virtio_net_supported_features();
	struct virtio_net_ctrl_cmd cmd;
	uint8_t buf[64];

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		size_t len = 2 + known[i].data;

		fill(buf, i);
		assert_int_equal(parse_with(buf, len, all, &cmd), 0);
		assert_int_equal(
			parse_with(buf, len, all & ~VIRTIO_BIT(known[i].feature), &cmd), -EINVAL);
		assert_int_equal(
			parse_with(buf, len, all & ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ), &cmd),
			-EINVAL);
	}
}

static bool
is_known(unsigned int class, unsigned int command)
{
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i].class == class && known[i].command == command)
			return true;
	return false;
}

static void
unknown_classes_and_commands_are_refused(void **state)
{
	struct virtio_net_ctrl_cmd cmd;

	for (unsigned int class = 0; class < 256; class ++)
		for (unsigned int command = 0; command < 256; command++)
			for (size_t len = 2; len <= 10 && !is_known(class, command); len++) {
				uint8_t buf[10] = {(uint8_t) class, (uint8_t)command, 1};

				assert_int_equal(virtio_net_ctrl_parse(
							 buf, len, UINT64_MAX, MAX_PAIRS, &cmd),
					-EINVAL);
			}
}

static void
values_other_than_zero_and_one_are_no_mode(void **state)
{
	struct virtio_net_ctrl_cmd cmd;

	for (unsigned int v = 2; v < 256; v++)
		assert_int_equal(parse((uint8_t[]){0, 0, (uint8_t)v}, 3, &cmd), -EINVAL);
}

static int
test_virtio_net_ctrl(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(receive_mode_is_a_mode_and_a_bit),
		cmocka_unit_test(mac_address_is_six_bytes_of_a_station),
		cmocka_unit_test(pairs_are_between_one_and_the_devices_maximum),
		cmocka_unit_test(announcement_is_acknowledged_without_data),
		cmocka_unit_test(guest_offloads_are_a_subset_of_those_negotiated),
		cmocka_unit_test(offloads_that_build_on_one_that_is_off_are_off),
		cmocka_unit_test(mac_tables_point_into_the_command),
		cmocka_unit_test(mac_table_counts_must_match_the_length),
		cmocka_unit_test(hash_config_has_types_and_a_key),
		cmocka_unit_test(hash_types_that_there_are_not_are_refused),
		cmocka_unit_test(hash_keys_have_forty_bytes),
		cmocka_unit_test(reserved_fields_of_a_hash_config_do_not_matter),
		cmocka_unit_test(every_wrong_length_is_refused),
		cmocka_unit_test(command_needs_its_feature_and_the_control_queue),
		cmocka_unit_test(unknown_classes_and_commands_are_refused),
		cmocka_unit_test(values_other_than_zero_and_one_are_no_mode),
	};

	return cmocka_run_group_tests_name("virtio_net_ctrl", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(virtio_net_ctrl, test_virtio_net_ctrl)
