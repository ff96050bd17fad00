/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Virtio-net headers: which are believed of a driver. */

#include <stdbool.h>
#include <string.h>

#include "net/net_hdr.h"

#include "test.h"
#include "vring_rig.h"

#define F(name) (UINT64_C(1) << VIRTIO_NET_F_##name)
#define CSUM	F(CSUM)
#define TSO	(F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN))
#define NEEDS	VIRTIO_NET_HDR_F_NEEDS_CSUM
#define VALID	VIRTIO_NET_HDR_F_DATA_VALID
#define TCP4	VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6	VIRTIO_NET_HDR_GSO_TCPV6
#define UDP	VIRTIO_NET_HDR_GSO_UDP
#define UDP_L4	VIRTIO_NET_HDR_GSO_UDP_L4
#define ECN	VIRTIO_NET_HDR_GSO_ECN

/* flags, type, hdr_len, gso_size, csum_start, csum_offset */
#define H(...)                                                                                     \
	{                                                                                          \
		.hdr = {__VA_ARGS__}, .num_buffers = 9                                             \
	}

struct tx_case {
	const char *name;
	uint64_t features;
	uint32_t len;
	struct virtio_net_hdr_mrg_rxbuf hdr;
	bool want;
	struct virtio_net_hdr after;
};

static const struct tx_case tx_cases[] = {
	{"nothing asked", 0, 64, H(0, 0, 0, 0, 0, 0), true, {0}},
	{"fields without meaning are cleared", CSUM, 64, H(0, 0, 99, 99, 999, 999), true, {0}},
	{"flags of the other direction are cleared", 0, 64, H(VALID | 0xf8, 0, 0, 0, 0, 0), true,
		{0}},
	{"checksum", CSUM, 64, H(NEEDS, 0, 54, 1, 34, 16), true, {NEEDS, 0, 0, 0, 34, 16}},
	{"unknown flags beside", CSUM, 64, H(NEEDS | 0xf8, 0, 0, 0, 34, 16), true,
		{NEEDS, 0, 0, 0, 34, 16}},
	{"checksum not negotiated", 0, 64, H(NEEDS, 0, 0, 0, 34, 16), false, {0}},
	{"checksum in the last bytes", CSUM, 64, H(NEEDS, 0, 0, 0, 34, 28), true,
		{NEEDS, 0, 0, 0, 34, 28}},
	{"checksum half behind the end", CSUM, 64, H(NEEDS, 0, 0, 0, 34, 29), false, {0}},
	{"start behind the end", CSUM, 64, H(NEEDS, 0, 0, 0, 65, 0), false, {0}},
	{"start at the end", CSUM, 64, H(NEEDS, 0, 0, 0, 64, 0), false, {0}},
	{"sum of both wraps 16 bits", CSUM, 64, H(NEEDS, 0, 0, 0, 40, 0xffe0), false, {0}},
	{"both at their greatest", CSUM, VRING_MAX_PACKET, H(NEEDS, 0, 0, 0, 0xffff, 0xffff), false,
		{0}},
	{"start in the Ethernet header", CSUM, 64, H(NEEDS, 0, 0, 0, 13, 16), false, {0}},
	{"TSO4", TSO, 3000, H(NEEDS, TCP4, 54, 1460, 34, 16), true,
		{NEEDS, TCP4, 54, 1460, 34, 16}},
	{"TSO6", TSO, 3000, H(NEEDS, TCP6, 74, 1440, 54, 16), true,
		{NEEDS, TCP6, 74, 1440, 54, 16}},
	{"TSO4 with ECN", TSO, 3000, H(NEEDS, TCP4 | ECN, 54, 1460, 34, 16), true,
		{NEEDS, TCP4 | ECN, 54, 1460, 34, 16}},
	{"ECN not negotiated", CSUM | F(HOST_TSO4), 3000, H(NEEDS, TCP4 | ECN, 54, 1460, 34, 16),
		false, {0}},
	{"ECN alone", TSO, 3000, H(NEEDS, ECN, 54, 1460, 34, 16), false, {0}},
	{"ECN on UDP", TSO | F(HOST_USO), 3000, H(NEEDS, UDP_L4 | ECN, 42, 1400, 34, 6), false,
		{0}},
	{"TSO4 not negotiated", CSUM | F(HOST_TSO6), 3000, H(NEEDS, TCP4, 54, 1460, 34, 16), false,
		{0}},
	{"TSO6 not negotiated", CSUM | F(HOST_TSO4), 3000, H(NEEDS, TCP6, 74, 1440, 54, 16), false,
		{0}},
	{"unknown type", TSO, 3000, H(NEEDS, 2, 54, 1460, 34, 16), false, {0}},
	{"highest type", TSO, 3000, H(NEEDS, 0x7f, 54, 1460, 34, 16), false, {0}},
	{"segments without a checksum", TSO, 3000, H(0, TCP4, 54, 1460, 34, 16), false, {0}},
	{"segments of nothing", TSO, 3000, H(NEEDS, TCP4, 54, 0, 34, 16), false, {0}},
	{"TCP checksum elsewhere", TSO, 3000, H(NEEDS, TCP4, 54, 1460, 34, 6), false, {0}},
	{"no room for a TCP header", TSO, 53, H(NEEDS, TCP4, 0, 1460, 34, 16), false, {0}},
	{"header longer than the packet", TSO, 3000, H(NEEDS, TCP4, 3001, 1460, 34, 16), false,
		{0}},
	{"header too short is put right", TSO, 3000, H(NEEDS, TCP4, 0, 1460, 34, 16), true,
		{NEEDS, TCP4, 54, 1460, 34, 16}},
	{"header length past 16 bits", TSO, VRING_MAX_PACKET, H(NEEDS, TCP4, 0, 1, 65530, 16),
		false, {0}},
	{"pieces as many as are cut", TSO, 54 + 64 * 1024, H(NEEDS, TCP4, 54, 64, 34, 16), true,
		{NEEDS, TCP4, 54, 64, 34, 16}},
	{"one byte more", TSO, 55 + 64 * 1024, H(NEEDS, TCP4, 54, 64, 34, 16), false, {0}},
	{"pieces of one byte", TSO, 54 + 1025, H(NEEDS, TCP6, 54, 1, 34, 16), false, {0}},
	{"datagrams of one byte", CSUM | F(HOST_USO), 42 + 1025, H(NEEDS, UDP_L4, 42, 1, 34, 6),
		false, {0}},
	{"few pieces of one byte", TSO, 54 + 1024, H(NEEDS, TCP4, 54, 1, 34, 16), true,
		{NEEDS, TCP4, 54, 1, 34, 16}},
	{"UFO, which nobody does", CSUM | F(HOST_UFO), 3000, H(NEEDS, UDP, 42, 1480, 34, 6), false,
		{0}},
	{"USO", CSUM | F(HOST_USO), 3000, H(NEEDS, UDP_L4, 42, 1400, 34, 6), true,
		{NEEDS, UDP_L4, 42, 1400, 34, 6}},
	{"USO not negotiated", TSO | F(HOST_UFO), 3000, H(NEEDS, UDP_L4, 42, 1400, 34, 6), false,
		{0}},
};

static void
driver_headers_are_believed_only_if_they_can_be_true(void **state)
{
	for (size_t i = 0; i < RTE_DIM(tx_cases); i++) {
		const struct tx_case *c = &tx_cases[i];
		struct virtio_net_hdr_mrg_rxbuf hdr = c->hdr;

		if (net_hdr_tx_check(&hdr, c->len, c->features) != c->want)
			fail_msg("%s: %s", c->name, c->want ? "refused" : "accepted");
		if (!c->want)
			continue;
		if (memcmp(&hdr.hdr, &c->after, sizeof(c->after)) != 0)
			fail_msg("%s: header not as expected", c->name);
		assert_int_equal(hdr.num_buffers, 0);
	}
}

static int
test_net_hdr(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(driver_headers_are_believed_only_if_they_can_be_true),
	};

	return cmocka_run_group_tests_name("net_hdr", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(net_hdr, test_net_hdr)
