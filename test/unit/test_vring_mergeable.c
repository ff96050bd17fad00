/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Received packets over several buffers (VIRTIO_NET_F_MRG_RXBUF): what is in them, and all or none.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "vring_rig.h"

#define HDR	RIG_HDR
#define SPACE	0x200000u /* from RIG_BUFS on, across the border to RIG_FAR */
#define ENTRIES 4096u

/* How each buffer lies in descriptors. */
enum lay {
	ONE,	/* one descriptor */
	APART,	/* room for a header apart */
	TABLE,	/* the same in an indirect table */
	CRUMBS, /* header byte by byte */
	LAYS,
};

static const uint16_t lay_pieces[LAYS] = {[ONE] = 1, [APART] = 2, [TABLE] = 2, [CRUMBS] = 13};

static void
post(struct rig *r, uint16_t n, uint32_t len, enum lay lay)
{
	for (uint32_t i = 0; i < n; i++) {
		struct vring_buf bufs[13];
		uint64_t at = RIG_BUFS + (uint64_t)i * len;
		uint32_t left = len;
		uint16_t k = 0;

		assert_true((i + 1) * len <= SPACE);
		for (; k + 1 < lay_pieces[lay]; k++) {
			bufs[k] = (struct vring_buf){at, lay == CRUMBS ? 1 : HDR};
			at += bufs[k].len;
			left -= bufs[k].len;
		}
		bufs[k++] = (struct vring_buf){at, left};
		assert_int_equal(vring_driver_add(&r->vd, bufs, 0, k, lay == TABLE, i), 0);
	}
	vring_driver_publish(&r->vd);
}

/* Tables take much room. */
static void
start(struct rig *r, enum lay lay)
{
	if (lay == TABLE)
		rig_start(r, RIG_SIZE, RIG_MERGE | RIG_INDIRECT);
	else
		rig_start(r, ENTRIES, RIG_MERGE);
}

static const struct virtio_net_hdr_mrg_rxbuf *
header_of(void *arg, uint64_t token)
{
	static struct virtio_net_hdr_mrg_rxbuf hdr;
	struct rig *r = ((void **)arg)[0];
	const uint32_t len = *(const uint32_t *)((void **)arg)[1];

	rig_read(r, RIG_BUFS + token * len, &hdr, sizeof(hdr));
	return &hdr;
}

/* The driver finds a packet, from buffer `first` on. @return buffers */
static uint16_t
assert_packet(struct rig *r, uint64_t first, uint32_t buf_len, uint32_t len, uint32_t seed)
{
	static uint8_t got[RIG_HDR + VRING_MAX_PACKET], want[VRING_MAX_PACKET];
	struct vring_used_chain used[RING_RECORD_BURST];
	void *arg[] = {r, &buf_len};
	uint32_t at = 0;
	const uint16_t n = vring_driver_get_packet(&r->vd, used, RING_RECORD_BURST, header_of, arg);

	assert_int_equal(n, (HDR + len + buf_len - 1) / buf_len);
	for (uint16_t i = 0; i < n; i++) {
		assert_int_equal(used[i].token, first + i);
		assert_int_equal(used[i].len, RTE_MIN(buf_len, HDR + len - at));
		rig_read(r, RIG_BUFS + (first + i) * buf_len, got + at, used[i].len);
		at += used[i].len;
	}
	assert_int_equal(at, HDR + len);
	rig_pattern(want, len, seed);
	assert_memory_equal(got + HDR, want, len);
	return n;
}

static void
packet_takes_as_many_buffers_as_it_needs(void **state)
{
	static const struct {
		uint32_t len, buf;
	} table[] = {
		{64, 1536},
		{1524, 1536}, /* to the last byte */
		{1525, 1536},
		{3060, 1536},
		{3061, 1536},
		{9014, 1536},
		{65562, 1536}, /* a segment of 64 KiB */
		{65562, 65574},
		{65562, 4096},
		{65562, 129},
		{14, 14},
		{100, 13},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table) * LAYS; i++) {
		const uint32_t len = table[i / LAYS].len, buf = table[i / LAYS].buf;
		const uint16_t n = (uint16_t)((HDR + len + buf - 1) / buf);
		const enum lay lay = i % LAYS;
		struct rte_mbuf *m;

		if (n * lay_pieces[lay] > (lay == TABLE ? RIG_SIZE : ENTRIES))
			continue;
		start(r, lay);
		post(r, n, buf, lay);
		m = rig_mbuf(r, len, 2000, len);
		assert_int_equal(rig_enqueue(r, &m, 1), 1);
		assert_packet(r, 0, buf, len, len);
		rig_assert_none_used(r);
		assert_int_equal(r->rec.stats.packets, 1);
		assert_int_equal(r->rec.stats.bytes, len);
		assert_int_equal(r->rec.stats.completed_desc, n);
	}
}

static void
header_is_the_mbufs_with_the_number_of_buffers(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = {
		.hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16}};
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (enum lay lay = ONE; lay < LAYS; lay++) {
		rig_start(r, RIG_SIZE,
			RIG_MERGE | RIG_INDIRECT | UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM);
		post(r, 3, 100, lay);
		m = rig_mbuf(r, 250, 250, 1);
		*VRING_MBUF_HDR(m) = hdr;
		VRING_MBUF_HDR(m)->num_buffers = 77;
		assert_int_equal(rig_enqueue(r, &m, 1), 1);
		hdr.num_buffers = 3;
		assert_memory_equal(rig_ptr(r, RIG_BUFS), &hdr, sizeof(hdr));
	}
}

static void
small_and_large_packets_follow_one_another(void **state)
{
	static const uint32_t lens[] = {64, 9000, 1524, 60, 65562, 1525, 1500, 3000};
	struct rte_mbuf *pkts[RTE_DIM(lens)];
	struct rig *r = *state;
	uint64_t at = 0;

	rig_start(r, ENTRIES, RIG_MERGE);
	post(r, 100, 1536, ONE);
	for (uint32_t i = 0; i < RTE_DIM(lens); i++)
		pkts[i] = rig_mbuf(r, lens[i], 2000, i);
	assert_int_equal(rig_enqueue(r, pkts, RTE_DIM(lens)), RTE_DIM(lens));
	for (uint32_t i = 0; i < RTE_DIM(lens); i++)
		at += assert_packet(r, at, 1536, lens[i], i);
	rig_assert_none_used(r);
}

/* 43 buffers each: more than one record holds. */
static void
a_burst_of_segments_is_shown_in_parts_of_whole_packets(void **state)
{
	struct rte_mbuf *pkts[20];
	struct rig *r = *state;
	uint64_t at = 0;

	rig_start(r, ENTRIES, RIG_MERGE);
	for (uint32_t round = 0; round < 10; round++) {
		post(r, 20 * 43, 1536, ONE);
		for (uint32_t i = 0; i < 20; i++)
			pkts[i] = rig_mbuf(r, 65000, 1900, i);
		assert_int_equal(rig_enqueue(r, pkts, 20), 20);
		at = 0;
		for (uint32_t i = 0; i < 20; i++)
			at += assert_packet(r, at, 1536, 65000, i);
	}
	assert_int_equal(at, 20 * 43);
}

/* The record is full in the middle of packets of one buffer. */
static void
small_packets_go_on_where_segments_filled_the_record(void **state)
{
	struct rte_mbuf *pkts[VRING_BURST];
	struct rig *r = *state;
	uint64_t at = 0;

	rig_start(r, ENTRIES, RIG_MERGE);
	post(r, 600, 1536, ONE);
	for (uint32_t i = 0; i < VRING_BURST; i++)
		pkts[i] = rig_mbuf(r, i < 17 ? 29 * 1536 + 5 : 60, 1900, i);
	assert_int_equal(rig_enqueue(r, pkts, VRING_BURST), VRING_BURST);
	for (uint32_t i = 0; i < VRING_BURST; i++)
		at += assert_packet(r, at, 1536, i < 17 ? 29 * 1536 + 5 : 60, i);
	assert_int_equal(at, 17 * 30 + 15);
	rig_assert_none_used(r);
}

static void
packet_waits_while_its_last_buffer_is_missing(void **state)
{
	struct rte_mbuf *pkts[2];
	struct rig *r = *state;

	rig_start(r, RIG_SIZE, RIG_MERGE);
	pkts[0] = rig_mbuf(r, 60, 60, 0);
	pkts[1] = rig_mbuf(r, 4 * 1536 - HDR, 2000, 1);
	post(r, 4, 1536, ONE);
	assert_int_equal(rig_enqueue(r, pkts, 2), 1);
	assert_packet(r, 0, 1536, 60, 0);
	rig_assert_none_used(r);
	assert_int_equal(r->rec.stats.oversize, 0);
	assert_int_equal(vring_driver_add(&r->vd, &(struct vring_buf){RIG_BUFS + 4 * 1536, 1536}, 0,
				 1, false, 4),
		0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_enqueue(r, pkts + 1, 1), 1);
	assert_packet(r, 1, 1536, 4 * 1536 - HDR, 1);
}

static void
packet_that_no_record_holds_is_dropped_and_its_buffers_stay(void **state)
{
	struct rte_mbuf *pkts[3];
	struct rig *r = *state;

	rig_start(r, ENTRIES, RIG_MERGE);
	post(r, 1024, 100, ONE);
	pkts[0] = rig_mbuf(r, 60, 60, 0);
	pkts[1] = rig_mbuf(r, RING_RECORD_BURST * 100 - HDR + 1, 2000, 1);
	pkts[2] = rig_mbuf(r, RING_RECORD_BURST * 100 - HDR, 2000, 2);
	assert_int_equal(rig_enqueue(r, pkts, 3), 3);
	assert_int_equal(r->rec.stats.oversize, 1);
	assert_packet(r, 0, 100, 60, 0);
	assert_packet(r, 1, 100, RING_RECORD_BURST * 100 - HDR, 2);
	rig_assert_none_used(r);
}

static void
packet_longer_than_all_of_a_ring_is_dropped(void **state)
{
	struct rig *r = *state;
	struct rte_mbuf *m = rig_mbuf(r, 401, 401, 0);

	rig_start(r, 4, RIG_MERGE);
	post(r, 4, 100, ONE);
	assert_int_equal(rig_enqueue(r, &m, 1), 1);
	assert_int_equal(r->rec.stats.oversize, 1);
	rig_assert_none_used(r);
}

static void
room_is_counted_in_packets_like_the_last_ones(void **state)
{
	struct rig *r = *state;
	struct rte_mbuf *m;

	rig_start(r, ENTRIES, RIG_MERGE);
	post(r, 100, 1536, ONE);
	assert_int_equal(vring_rx_room(&r->vr), r->vr.packed ? VRING_BURST : 100);
	m = rig_mbuf(r, 65000, 1900, 0);
	assert_int_equal(rig_enqueue(r, &m, 1), 1); /* takes 43 */
	assert_int_equal(vring_rx_room(&r->vr), 1);
	m = rig_mbuf(r, 20000, 1900, 0);
	assert_int_equal(rig_enqueue(r, &m, 1), 1); /* takes 14 */
	assert_int_equal(vring_rx_room(&r->vr), 1);
	for (uint32_t i = 0; i < 20; i++) {
		m = rig_mbuf(r, 60, 60, 0);
		assert_int_equal(rig_enqueue(r, &m, 1), 1);
	}
	assert_int_equal(vring_rx_room(&r->vr), 23);
}

static void
packet_that_found_no_room_says_how_much_it_wants(void **state)
{
	struct rte_mbuf *pkts[2];
	struct rig *r = *state;
	uint32_t looks = 0;

	rig_start(r, ENTRIES, RIG_MERGE);
	post(r, 20, 1536, ONE);
	pkts[0] = rig_mbuf(r, 65000, 1900, 0);
	assert_int_equal(rig_enqueue(r, pkts, 1), 0);
	rte_pktmbuf_free(pkts[0]);
	assert_int_equal(vring_rx_room(&r->vr), 0);
	/* A driver that has no more is not left without packets for ever. */
	while (vring_rx_room(&r->vr) == 0)
		assert_true(++looks < 100000);
	assert_int_equal(vring_rx_room(&r->vr), 0);
	post(r, 30, 1536, ONE);
	assert_int_equal(vring_rx_room(&r->vr), 1);
}

static void
buffer_without_room_for_a_header_breaks_the_ring(void **state)
{
	const struct vring_buf bufs[] = {{RIG_BUFS, 1536}, {RIG_BUFS + 1536, HDR - 1}};
	struct rig *r = *state;
	struct rte_mbuf *m = rig_mbuf(r, 3000, 1500, 0);

	rig_start(r, RIG_SIZE, RIG_MERGE);
	for (uint16_t i = 0; i < 2; i++)
		assert_int_equal(vring_driver_add(&r->vd, &bufs[i], 0, 1, false, i), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_enqueue(r, &m, 1), 0);
	assert_int_equal(r->vr.error, VRING_ERR_CHAIN);
	rig_assert_none_used(r);
	rte_pktmbuf_free(m);
}

/* Every buffer is a chain of the greatest length: a burst must not walk them for ever. */
static void
endless_chains_end_the_burst(void **state)
{
	struct rte_mbuf *pkts[8];
	struct vring_buf bufs[64];
	struct rig *r = *state;
	uint16_t n;

	rig_start(r, ENTRIES, RIG_MERGE);
	for (uint32_t i = 0; i < 64; i++)
		bufs[i] = (struct vring_buf){RIG_BUFS + i, 1};
	for (uint64_t i = 0; i < 64; i++)
		assert_int_equal(vring_driver_add(&r->vd, bufs, 0, 64, false, i), 0);
	vring_driver_publish(&r->vd);
	for (uint32_t i = 0; i < 8; i++)
		pkts[i] = rig_mbuf(r, 64 * 8 - HDR, 600, i);
	n = rig_enqueue(r, pkts, 8);
	assert_int_equal(n, VRING_BURST_WORK / (64 * 8));
	rte_pktmbuf_free_bulk(pkts + n, 8 - n);
}

static int
test_vring_mergeable(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(packet_takes_as_many_buffers_as_it_needs),
		RIG_TEST(header_is_the_mbufs_with_the_number_of_buffers),
		RIG_TEST(small_and_large_packets_follow_one_another),
		RIG_TEST(a_burst_of_segments_is_shown_in_parts_of_whole_packets),
		RIG_TEST(small_packets_go_on_where_segments_filled_the_record),
		RIG_TEST(packet_waits_while_its_last_buffer_is_missing),
		RIG_TEST(packet_that_no_record_holds_is_dropped_and_its_buffers_stay),
		RIG_TEST(packet_longer_than_all_of_a_ring_is_dropped),
		RIG_TEST(room_is_counted_in_packets_like_the_last_ones),
		RIG_TEST(packet_that_found_no_room_says_how_much_it_wants),
		RIG_TEST(buffer_without_room_for_a_header_breaks_the_ring),
		RIG_TEST(endless_chains_end_the_burst),
	};

	return cmocka_run_group_tests_name("vring_mergeable", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_mergeable, test_vring_mergeable)
