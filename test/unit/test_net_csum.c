/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The Internet checksum over packets however they are cut. */

#include <errno.h>
#include <string.h>

#include <rte_ip.h>

#include "net/csum.h"
#include "test.h"
#include "vring_rig.h"

#define IP_START 14
#define L4_START 34
#define L4_MAX	 200

/* Ethernet, IPv4, TCP or UDP. */
struct frame {
	uint8_t data[L4_START + L4_MAX] __rte_aligned(4);
};

/* A frame whose transport checksum is still the pseudo-header's. @return what it is when complete
 */
static uint16_t
frame_make(struct frame *f, uint8_t proto, uint16_t l4_len, uint32_t seed)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(f->data + IP_START);
	uint8_t *field = f->data + L4_START + (proto == IPPROTO_TCP ? 16 : 6);
	uint16_t full, partial;

	rig_pattern(f->data, sizeof(f->data), seed);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->next_proto_id = proto;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(sizeof(*ip) + l4_len));
	memset(field, 0, sizeof(full));
	full = rte_ipv4_udptcp_cksum(ip, f->data + L4_START);
	partial = rte_ipv4_phdr_cksum(ip, 0);
	memcpy(field, &partial, sizeof(partial));
	return full;
}

/* The frame in mbufs cut at the given places. */
static struct rte_mbuf *
frame_mbuf(const uint8_t *data, uint32_t len, const uint16_t *cut, uint16_t n)
{
	struct rte_mbuf *m = NULL, *s;
	uint32_t at = 0;

	for (uint16_t i = 0; i <= n; i++) {
		const uint32_t end = i < n && cut[i] < len ? cut[i] : len;

		s = rte_pktmbuf_alloc(rig_pool());
		assert_non_null(s);
		memcpy(rte_pktmbuf_append(s, (uint16_t)(end - at)), data + at, end - at);
		if (m == NULL)
			m = s;
		else
			rte_pktmbuf_chain(m, s);
		at = end;
	}
	return m;
}

static void
completed_checksum_is_right_however_the_packet_is_cut(void **state)
{
	static const struct {
		uint16_t cut[4];
		uint16_t n;
	} cuts[] = {{{0}, 0}, {{34}, 1}, {{35}, 1}, {{51}, 1}, {{14, 35, 36, 37}, 4},
		{{33, 51, 52, 99}, 4}, {{1, 2, 3, 4}, 4}, {{34, 41, 41, 60}, 4}};
	struct frame f;
	uint32_t seed = 0;

	for (size_t i = 0; i < RTE_DIM(cuts); i++)
		for (uint16_t l4_len = 20; l4_len <= 200; l4_len++) {
			const uint8_t proto = l4_len % 2 ? IPPROTO_TCP : IPPROTO_UDP;
			const uint16_t offset = proto == IPPROTO_TCP ? 16 : 6;
			const uint16_t full = frame_make(&f, proto, l4_len, seed++);
			struct rte_mbuf *m =
				frame_mbuf(f.data, L4_START + l4_len, cuts[i].cut, cuts[i].n);
			uint16_t got, copy;

			assert_int_equal(net_csum_complete(m, L4_START, offset), 0);
			memcpy(&got, rte_pktmbuf_read(m, L4_START + offset, 2, &copy), 2);
			if (got != full)
				fail_msg(
					"cut %zu, length %u: %04x, not %04x", i, l4_len, got, full);
			rte_pktmbuf_free(m);
		}
}

static void
long_odd_segments_lose_no_carry(void **state)
{
	static uint8_t data[9000];
	static const uint16_t cut[] = {1001, 3002, 5003, 6500};
	struct rte_mbuf *parts;
	uint16_t a, b, copy;

	memset(data, 0xff, sizeof(data));
	for (uint32_t i = 0; i < sizeof(data); i += 7)
		data[i] = (uint8_t)i;
	parts = frame_mbuf(data, 8000, cut, RTE_DIM(cut));
	assert_int_equal(net_csum_complete(parts, 14, 16), 0);
	memcpy(&a, rte_pktmbuf_read(parts, 30, 2, &copy), 2);
	b = (uint16_t)~rte_raw_cksum(data + 14, 8000 - 14);
	assert_int_equal(a, b == 0 ? 0xffff : b);
	rte_pktmbuf_free(parts);
}

static void
checksum_behind_the_end_is_refused(void **state)
{
	struct rte_mbuf *m = frame_mbuf((uint8_t[64]){0}, 64, NULL, 0);

	assert_int_equal(net_csum_complete(m, 34, 29), -EINVAL);
	assert_int_equal(net_csum_complete(m, 0xffff, 0xffff), -EINVAL);
	assert_int_equal(net_csum_complete(m, 34, 28), 0);
	rte_pktmbuf_free(m);
}

static void
sum_is_that_of_16_bit_words_at_any_address_and_length(void **state)
{
	uint8_t data[80];

	rig_pattern(data, sizeof(data), 5);
	for (uint32_t at = 0; at < 8; at++)
		for (uint32_t len = 0; len <= 64; len++)
			assert_int_equal(net_sum(data + at, len), rte_raw_cksum(data + at, len));
	assert_int_equal(net_sum_add(0xffff, 0xffff), 0xffff);
	assert_int_equal(net_sum_add(0xfffe, 3), 2);
}

static int
test_net_csum(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(completed_checksum_is_right_however_the_packet_is_cut),
		cmocka_unit_test(long_odd_segments_lose_no_carry),
		cmocka_unit_test(checksum_behind_the_end_is_refused),
		cmocka_unit_test(sum_is_that_of_16_bit_words_at_any_address_and_length),
	};

	return cmocka_run_group_tests_name("net_csum", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(net_csum, test_net_csum)
