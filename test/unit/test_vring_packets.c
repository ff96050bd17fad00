/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Packets through a ring of either format: layouts of descriptors and mbufs, bursts, drops. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>

#include "test.h"
#include "vring_rig.h"

#define HDR	 RIG_HDR
#define NEXT	 VIRTQ_DESC_F_NEXT
#define WRITE	 VIRTQ_DESC_F_WRITE
#define INDIRECT VIRTQ_DESC_F_INDIRECT

/* ---- transmit ---- */

static void
transmitted_packet_arrives_with_a_zero_header_before_it(void **state)
{
	struct rig *r = *state;
	const struct vring_buf buf = rig_tx_buf(r, RIG_BUFS, 64, 1);
	struct virtio_net_hdr_mrg_rxbuf zero = {0};
	struct rte_mbuf *m;

	memset(rig_ptr(r, RIG_BUFS), 0xff, HDR); /* offloads are not negotiated: not looked at */
	assert_int_equal(vring_driver_add(&r->vd, &buf, 1, 0, false, 7), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rig_assert_packet(m, 64, 1);
	assert_memory_equal(VRING_MBUF_HDR(m), &zero, sizeof(zero));
	rig_assert_used(r, 7, 0);
	assert_int_equal(r->rec.stats.packets, 1);
	assert_int_equal(r->rec.stats.bytes, 64);
	assert_int_equal(r->rec.stats.completed_desc, 1);
	rte_pktmbuf_free(m);
}

/* How a packet lies in descriptors: lengths of pieces, 0 ends; REST takes what is left. */
#define REST  UINT32_MAX
#define EMPTY (UINT32_MAX - 1)
struct layout {
	const char *name;
	uint32_t piece[20];
	uint64_t base;
};

static const struct layout layouts[] = {
	{"one buffer", {REST}, RIG_BUFS},
	{"header apart", {HDR, REST}, RIG_BUFS},
	{"header in two", {5, 7, REST}, RIG_BUFS},
	{"header byte by byte", {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, REST}, RIG_BUFS},
	{"header with one byte", {HDR + 1, REST}, RIG_BUFS},
	{"last byte apart", {HDR + 63, REST}, RIG_BUFS},
	{"empty buffers", {EMPTY, HDR, EMPTY, EMPTY, 10, EMPTY, REST}, RIG_BUFS},
	{"across a border", {REST}, RIG_FAR - 20},
	{"header across a border", {REST}, RIG_FAR - 6},
	{"pieces across a border", {6, 10, 3, REST}, RIG_FAR - 17},
	{"unaligned", {REST}, RIG_BUFS + 3},
};

static uint16_t
lay_out(const struct layout *l, uint32_t total, struct vring_buf *bufs)
{
	uint64_t at = l->base;
	uint16_t n = 0;

	for (uint32_t left = total; left != 0; n++) {
		uint32_t len = l->piece[n] == REST ? left : l->piece[n] == EMPTY ? 0 : l->piece[n];

		bufs[n] = (struct vring_buf){at, len};
		at += len;
		left -= len;
	}
	return n;
}

static void
transmit_in_layout(struct rig *r, const struct layout *l, uint32_t len, bool indirect)
{
	struct vring_buf bufs[20];
	const uint16_t n = lay_out(l, HDR + len, bufs);
	struct rte_mbuf *m;

	rig_tx_buf(r, l->base, len, len);
	assert_int_equal(vring_driver_add(&r->vd, bufs, n, 0, indirect, len), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rig_assert_packet(m, len, len);
	rig_assert_used(r, len, 0);
	assert_int_equal(r->vd.n_free, RIG_SIZE);
	rte_pktmbuf_free(m);
}

static void
transmit_takes_any_layout(void **state)
{
	static const uint32_t lens[] = {64, 65, 100, 1514, 2036, 2037, 9014, VRING_MAX_PACKET};
	static const uint64_t features[] = {RIG_INDIRECT, RIG_INDIRECT | RIG_OFFLOAD};
	struct rig *r = *state;

	for (size_t f = 0; f < RTE_DIM(features); f++) {
		rig_start(r, RIG_SIZE, features[f]);
		for (size_t i = 0; i < RTE_DIM(layouts); i++)
			for (size_t j = 0; j < RTE_DIM(lens); j++) {
				transmit_in_layout(r, &layouts[i], lens[j], false);
				transmit_in_layout(r, &layouts[i], lens[j], true);
			}
	}
}

static void
descriptors_may_end_in_an_indirect_one(void **state)
{
	struct rig *r = *state;
	struct virtq_desc table[2] = {
		{.addr = RIG_BUFS + 20, .len = 30, .flags = NEXT, .next = 1},
		{.addr = RIG_BUFS + 50, .len = 26},
	};
	struct rte_mbuf *m;

	rig_tx_buf(r, RIG_BUFS, 64, 3);
	/* The table lies across a border; the WRITE flag of its descriptor means nothing
	 * (2.7.5.3.2). */
	rig_write(r, RIG_FAR - 24, table, sizeof(table));
	rig_desc(r, 0, RIG_BUFS, 20, NEXT, 5);
	rig_desc(r, 5, RIG_FAR - 24, sizeof(table), INDIRECT | WRITE, 0);
	rig_offer(r, 0);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rig_assert_packet(m, 64, 3);
	rte_pktmbuf_free(m);
}

static void
burst_is_published_once_and_in_order(void **state)
{
	struct vring_used_chain used[RIG_SIZE];
	struct rte_mbuf *pkts[VRING_BURST];
	struct vring_buf bufs[40];
	struct rig *r = *state;

	for (uint32_t i = 0; i < 40; i++)
		bufs[i] = rig_tx_buf(r, RIG_BUFS + i * 2048, 60 + i, i);
	assert_int_equal(vring_driver_add_burst(&r->vd, bufs, 40, false, 100), 40);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, pkts, 64), VRING_BURST);
	for (uint32_t i = 0; i < VRING_BURST; i++)
		rig_assert_packet(pkts[i], 60 + i, i);
	assert_int_equal(vring_driver_get_burst(&r->vd, used, RIG_SIZE), VRING_BURST);
	for (uint32_t i = 0; i < VRING_BURST; i++)
		assert_int_equal(used[i].token, 100 + i);
	rte_pktmbuf_free_bulk(pkts, VRING_BURST);
	assert_int_equal(rig_dequeue(r, pkts, 64), 8);
	rte_pktmbuf_free_bulk(pkts, 8);
}

static void
lengths_that_are_no_packet_are_dropped_and_completed(void **state)
{
	static const uint32_t lens[] = {0, 1, RTE_ETHER_HDR_LEN - 1, VRING_MAX_PACKET + 1, 1 << 20};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(lens); i++) {
		const struct vring_buf buf = {RIG_BUFS, HDR + lens[i]};
		struct rte_mbuf *m;

		assert_int_equal(vring_driver_add(&r->vd, &buf, 1, 0, false, i), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(rig_dequeue(r, &m, 1), 0);
		rig_assert_used(r, i, 0);
		assert_int_equal(r->rec.stats.bad_header, i + 1);
		assert_false(vring_broken(&r->vr));
	}
}

static void
packet_with_a_bad_header_is_dropped_and_the_next_one_taken(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf bad = {
		.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 60, .csum_offset = 3}};
	struct rig *r = *state;
	struct vring_buf bufs[3];
	struct rte_mbuf *pkts[3];

	rig_start(r, RIG_SIZE, RIG_OFFLOAD);
	for (uint32_t i = 0; i < 3; i++)
		bufs[i] = rig_tx_buf(r, RIG_BUFS + i * 2048, 64, i);
	rig_write(r, bufs[1].iova, &bad, sizeof(bad));
	assert_int_equal(vring_driver_add_burst(&r->vd, bufs, 3, false, 0), 3);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, pkts, 3), 2);
	rig_assert_packet(pkts[0], 64, 0);
	rig_assert_packet(pkts[1], 64, 2);
	for (uint64_t i = 0; i < 3; i++)
		rig_assert_used(r, i, 0);
	assert_int_equal(r->rec.stats.bad_header, 1);
	rte_pktmbuf_free_bulk(pkts, 2);
}

static void
good_offload_header_is_passed_on(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf want = {
		.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16}};
	struct virtio_net_hdr_mrg_rxbuf sent = want;
	struct rig *r = *state;

	sent.num_buffers = 0xabcd;			      /* means nothing on transmit */
	sent.hdr.flags |= 0x80 | VIRTIO_NET_HDR_F_DATA_VALID; /* nor do these */
	rig_start(r, RIG_SIZE, RIG_INDIRECT | RIG_OFFLOAD);
	for (size_t i = 0; i < RTE_DIM(layouts); i++) {
		struct vring_buf bufs[20];
		const uint16_t n = lay_out(&layouts[i], HDR + 64, bufs);
		struct rte_mbuf *m;

		rig_tx_buf(r, layouts[i].base, 64, 1);
		rig_write(r, layouts[i].base, &sent, sizeof(sent));
		assert_int_equal(vring_driver_add(&r->vd, bufs, n, 0, false, i), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(rig_dequeue(r, &m, 1), 1);
		assert_memory_equal(VRING_MBUF_HDR(m), &want, sizeof(want));
		rig_assert_packet(m, 64, 1);
		rte_pktmbuf_free(m);
	}
}

static void
chain_waits_while_there_are_no_mbufs(void **state)
{
	static const uint32_t lens[] = {64, 9000}; /* not even one; too few for all of it */
	struct rte_mbuf *held[RIG_MBUFS], *m;
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(lens); i++) {
		const struct vring_buf buf = rig_tx_buf(r, RIG_BUFS, lens[i], 5);
		const unsigned int n = RIG_MBUFS - (unsigned int)i * 2;

		assert_int_equal(rte_pktmbuf_alloc_bulk(r->mp, held, n), 0);
		assert_int_equal(vring_driver_add(&r->vd, &buf, 1, 0, false, i), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(rig_dequeue(r, &m, 1), 0);
		rig_assert_none_used(r);
		assert_int_equal(rig_mbufs_out(r), n);
		rte_pktmbuf_free_bulk(held, n);
		assert_int_equal(rig_dequeue(r, &m, 1), 1);
		rig_assert_packet(m, lens[i], 5);
		rig_assert_used(r, i, 0);
		rte_pktmbuf_free(m);
	}
}

static void
nearly_empty_pool_still_serves(void **state)
{
	struct rte_mbuf *held[RIG_MBUFS], *pkts[8];
	struct rig *r = *state;
	struct vring_buf bufs[8];
	uint16_t n, got = 0;

	for (uint32_t i = 0; i < 8; i++)
		bufs[i] = rig_tx_buf(r, RIG_BUFS + i * 2048, 64, i);
	vring_driver_add_burst(&r->vd, bufs, 8, false, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rte_pktmbuf_alloc_bulk(r->mp, held, RIG_MBUFS - 5), 0);
	while ((n = rig_dequeue(r, &pkts[got], 8)) != 0)
		got += n;
	assert_int_equal(got, 5);
	rte_pktmbuf_free_bulk(pkts, got);
	rte_pktmbuf_free_bulk(held, RIG_MBUFS - 5);
	assert_int_equal(rig_dequeue(r, pkts, 8), 3);
	rig_assert_packet(pkts[2], 64, 7);
	rte_pktmbuf_free_bulk(pkts, 3);
}

/* ---- receive ---- */

static void
assert_received(
	struct rig *r, const struct vring_buf *bufs, uint16_t n, uint32_t len, uint32_t seed)
{
	static const struct virtio_net_hdr_mrg_rxbuf hdr = {.num_buffers = 1};
	uint8_t *want = calloc(1, HDR + len), *got = calloc(1, HDR + len);
	uint32_t at = 0;

	memcpy(want, &hdr, HDR);
	rig_pattern(want + HDR, len, seed);
	for (uint16_t i = 0; i < n && at < HDR + len; i++) {
		const uint32_t part = RTE_MIN(bufs[i].len, HDR + len - at);

		rig_read(r, bufs[i].iova, got + at, part);
		at += part;
	}
	assert_memory_equal(got, want, HDR + len);
	free(want);
	free(got);
}

static void
receive_in_layout(struct rig *r, const struct layout *l, uint32_t len, uint32_t seg, bool indirect)
{
	struct vring_buf bufs[20];
	const uint16_t n = lay_out(l, HDR + len + 100, bufs);
	struct rte_mbuf *m = rig_mbuf(r, len, seg, len);

	assert_int_equal(vring_driver_add(&r->vd, bufs, 0, n, indirect, len), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_enqueue(r, &m, 1), 1);
	rig_assert_used(r, len, HDR + len);
	assert_received(r, bufs, n, len, len);
	assert_int_equal(rig_mbufs_out(r), 0);
}

static void
receive_fills_any_layout(void **state)
{
	static const uint32_t lens[] = {64, 100, 1514, 9014, 65000};
	static const uint32_t segs[] = {2000, 1900, 1001};
	static const uint64_t features[] = {
		RIG_INDIRECT, RIG_INDIRECT | UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM};
	struct rig *r = *state;

	for (size_t f = 0; f < RTE_DIM(features); f++) {
		rig_start(r, RIG_SIZE, features[f]);
		for (size_t i = 0; i < RTE_DIM(layouts); i++)
			for (size_t j = 0; j < RTE_DIM(lens); j++) {
				receive_in_layout(r, &layouts[i], lens[j], segs[j % 3], false);
				receive_in_layout(r, &layouts[i], lens[j], segs[(j + 1) % 3], true);
			}
	}
}

static void
receive_header_is_the_mbufs_with_one_buffer(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = {
		.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16}};
	const struct vring_buf bufs[2] = {{RIG_BUFS, 1600}, {RIG_BUFS + 1600, 400}};
	struct rig *r = *state;
	struct rte_mbuf *m;

	rig_start(r, RIG_SIZE, UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM);
	for (uint16_t n = 1; n <= 2; n++) {
		m = rig_mbuf(r, 64, 64, 1);
		*VRING_MBUF_HDR(m) = hdr;
		VRING_MBUF_HDR(m)->num_buffers = 77;
		assert_int_equal(vring_driver_add(&r->vd, bufs, 0, n, false, n), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(rig_enqueue(r, &m, 1), 1);
		hdr.num_buffers = 1;
		assert_memory_equal(rig_ptr(r, RIG_BUFS), &hdr, sizeof(hdr));
	}
}

/* One that stands in a cache line of its own is stored only if it is not there already. */
static void
receive_header_is_right_whatever_stood_there(void **state)
{
	static const uint8_t want[HDR] = {[10] = 1};
	static const uint64_t places[] = {RIG_BUFS, RIG_BUFS + RTE_CACHE_LINE_SIZE - HDR};
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (size_t i = 0; i < RTE_DIM(places); i++)
		for (uint32_t byte = 0; byte <= HDR; byte++) {
			const struct vring_buf buf = {places[i], HDR + 64};
			uint8_t *const hdr = rig_ptr(r, places[i]);

			memcpy(hdr, want, HDR);
			if (byte < HDR)
				hdr[byte] ^= 0x80;
			assert_int_equal(vring_driver_add(&r->vd, &buf, 0, 1, false, byte), 0);
			vring_driver_publish(&r->vd);
			m = rig_mbuf(r, 64, 64, byte);
			assert_int_equal(rig_enqueue(r, &m, 1), 1);
			assert_memory_equal(hdr, want, HDR);
			assert_received(r, &buf, 1, 64, byte);
			rig_assert_used(r, byte, HDR + 64);
		}
}

static void
packet_that_does_not_fit_is_dropped_and_its_chain_stays(void **state)
{
	const struct vring_buf buf = {RIG_BUFS, HDR + 100};
	struct rig *r = *state;
	struct rte_mbuf *pkts[3] = {
		rig_mbuf(r, 101, 2000, 1), rig_mbuf(r, 3000, 1500, 2), rig_mbuf(r, 100, 2000, 3)};

	assert_int_equal(vring_driver_add(&r->vd, &buf, 0, 1, false, 9), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_enqueue(r, pkts, 3), 3);
	assert_int_equal(r->rec.stats.oversize, 2);
	rig_assert_used(r, 9, HDR + 100);
	rig_assert_none_used(r);
	assert_received(r, &buf, 1, 100, 3);
}

static void
packets_without_a_buffer_stay_with_the_caller(void **state)
{
	const struct vring_buf buf = {RIG_BUFS, 1600};
	struct rig *r = *state;
	struct rte_mbuf *pkts[2] = {rig_mbuf(r, 64, 64, 1), rig_mbuf(r, 64, 64, 2)};

	assert_int_equal(rig_enqueue(r, pkts, 2), 0);
	assert_int_equal(vring_driver_add(&r->vd, &buf, 0, 1, false, 0), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_enqueue(r, pkts, 2), 1);
	assert_int_equal(rig_mbufs_out(r), 1);
	rte_pktmbuf_free(pkts[1]);
}

static void
receive_burst_is_in_order(void **state)
{
	struct vring_used_chain used[40];
	struct rte_mbuf *pkts[40];
	struct vring_buf bufs[40];
	struct rig *r = *state;

	for (uint32_t i = 0; i < 40; i++) {
		bufs[i] = (struct vring_buf){RIG_BUFS + i * 2048, 1600};
		pkts[i] = rig_mbuf(r, 64 + i, 2000, i);
	}
	vring_driver_add_burst(&r->vd, bufs, 40, true, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_enqueue(r, pkts, 40), VRING_BURST);
	assert_int_equal(rig_enqueue(r, pkts + VRING_BURST, 8), 8);
	assert_int_equal(vring_driver_get_burst(&r->vd, used, 40), 40);
	for (uint32_t i = 0; i < 40; i++) {
		assert_int_equal(used[i].token, i);
		assert_int_equal(used[i].len, HDR + 64 + i);
		assert_received(r, &bufs[i], 1, 64 + i, i);
	}
}

static void
legacy_driver_has_ten_bytes_of_header(void **state)
{
	const struct vring_buf tx = {RIG_BUFS, 10 + 64}, rx = {RIG_BUFS + 4096, 1600};
	struct rig *r = *state;
	struct rte_mbuf *m;

	r->conf.features = 0;
	r->rec.running = 0;
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(r->vr.hdr_len, 10);
	rig_pattern(rig_ptr(r, RIG_BUFS) + 10, 64, 1);
	vring_driver_add(&r->vd, &tx, 1, 0, false, 0);
	vring_driver_add(&r->vd, &rx, 0, 1, false, 1);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rig_assert_packet(m, 64, 1);
	assert_int_equal(rig_enqueue(r, &m, 1), 1);
	rig_assert_used(r, 0, 0);
	rig_assert_used(r, 1, 10 + 64);
	assert_memory_equal(rig_ptr(r, rx.iova) + 10, rig_ptr(r, tx.iova) + 10, 64);
}

static int
test_vring_packets(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(transmitted_packet_arrives_with_a_zero_header_before_it),
		RIG_TEST(transmit_takes_any_layout),
		RIG_TEST_SPLIT(descriptors_may_end_in_an_indirect_one),
		RIG_TEST(burst_is_published_once_and_in_order),
		RIG_TEST(lengths_that_are_no_packet_are_dropped_and_completed),
		RIG_TEST(packet_with_a_bad_header_is_dropped_and_the_next_one_taken),
		RIG_TEST(good_offload_header_is_passed_on),
		RIG_TEST(chain_waits_while_there_are_no_mbufs),
		RIG_TEST(nearly_empty_pool_still_serves),
		RIG_TEST(receive_fills_any_layout),
		RIG_TEST(receive_header_is_the_mbufs_with_one_buffer),
		RIG_TEST(receive_header_is_right_whatever_stood_there),
		RIG_TEST(packet_that_does_not_fit_is_dropped_and_its_chain_stays),
		RIG_TEST(packets_without_a_buffer_stay_with_the_caller),
		RIG_TEST(receive_burst_is_in_order),
		RIG_TEST_SPLIT(legacy_driver_has_ten_bytes_of_header),
	};

	return cmocka_run_group_tests_name("vring_packets", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_packets, test_vring_packets)
