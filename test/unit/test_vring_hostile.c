/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What a hostile driver may write into a split ring, and that it harms its own ring only. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "test.h"
#include "vring_rig.h"

#define HDR	 RIG_HDR
#define NEXT	 VIRTQ_DESC_F_NEXT
#define WRITE	 VIRTQ_DESC_F_WRITE
#define INDIRECT VIRTQ_DESC_F_INDIRECT

struct hostile {
	const char *name;
	struct virtq_desc desc[4];
	struct virtq_desc table[4]; /* at RIG_BUFS + 0x8000 */
	uint16_t head;
	enum vring_error want;
	bool rx; /* for the receive queue (else transmit) */
};

#define TABLE (RIG_BUFS + 0x8000)
#define BUF   RIG_BUFS

static const struct hostile hostiles[] = {
	{"head out of range", {{0}}, {{0}}, RIG_SIZE, VRING_ERR_INDEX, false},
	{"head far out of range", {{0}}, {{0}}, 0xffff, VRING_ERR_INDEX, true},
	{"next out of range", {{BUF, 40, NEXT, RIG_SIZE}}, {{0}}, 0, VRING_ERR_INDEX, false},
	{"next out of the table", {{TABLE, 32, INDIRECT, 0}}, {{BUF, 40, NEXT, 2}}, 0,
		VRING_ERR_INDEX, false},
	{"loop of one", {{BUF, 40, NEXT, 0}}, {{0}}, 0, VRING_ERR_CHAIN, false},
	{"loop of two", {{BUF, 40, NEXT, 1}, {BUF, 1, NEXT, 0}}, {{0}}, 0, VRING_ERR_CHAIN, false},
	{"loop of empty buffers", {{BUF, 0, NEXT, 1}, {BUF, 0, NEXT, 0}}, {{0}}, 0, VRING_ERR_CHAIN,
		false},
	{"loop on receive", {{BUF, 40, NEXT | WRITE, 0}}, {{0}}, 0, VRING_ERR_CHAIN, true},
	{"loop in the table", {{TABLE, 64, INDIRECT, 0}}, {{BUF, 40, NEXT, 1}, {BUF, 1, NEXT, 0}},
		0, VRING_ERR_CHAIN, false},
	{"readable after writable", {{BUF, 90, WRITE | NEXT, 1}, {BUF, 90, 0, 0}}, {{0}}, 0,
		VRING_ERR_CHAIN, false},
	{"readable after empty writable", {{BUF, 0, WRITE | NEXT, 1}, {BUF, 90, 0, 0}}, {{0}}, 0,
		VRING_ERR_CHAIN, false},
	{"readable after writable on receive", {{BUF, 90, WRITE | NEXT, 1}, {BUF, 90, 0, 0}}, {{0}},
		0, VRING_ERR_CHAIN, true},
	{"nothing readable", {{BUF, 1000, WRITE, 0}}, {{0}}, 0, VRING_ERR_CHAIN, false},
	{"nothing writable", {{BUF, 1000, 0, 0}}, {{0}}, 0, VRING_ERR_CHAIN, true},
	{"too short for the header", {{BUF, HDR - 1, 0, 0}}, {{0}}, 0, VRING_ERR_CHAIN, false},
	{"too short for the header in pieces", {{BUF, 5, NEXT, 1}, {BUF, 6, 0, 0}}, {{0}}, 0,
		VRING_ERR_CHAIN, false},
	{"too short for the header on receive", {{BUF, HDR - 1, WRITE, 0}}, {{0}}, 0,
		VRING_ERR_CHAIN, true},
	{"empty", {{BUF, 0, 0, 0}}, {{0}}, 0, VRING_ERR_CHAIN, false},
	{"empty at a bad address", {{RIG_HOLE, 0, 0, 0}}, {{0}}, 0, VRING_ERR_CHAIN, false},
	{"empty on receive", {{RIG_HOLE, 0, WRITE, 0}}, {{0}}, 0, VRING_ERR_CHAIN, true},
	{"4 GiB in a chain",
		{{RIG_HOLE, 0, NEXT, 1}, {BUF, 0x10000, NEXT, 2}, {BUF, UINT32_MAX, 0, 0}}, {{0}},
		0, VRING_ERR_CHAIN, false},
	{"unmapped", {{RIG_HOLE, 90, 0, 0}}, {{0}}, 0, VRING_ERR_ADDRESS, false},
	{"unmapped on receive", {{RIG_HOLE, 1600, WRITE, 0}}, {{0}}, 0, VRING_ERR_ADDRESS, true},
	{"begins before the memory", {{RIG_NEAR - 1, 90, 0, 0}}, {{0}}, 0, VRING_ERR_ADDRESS,
		false},
	{"runs out of the memory", {{RIG_FAR + RIG_FAR_LEN - 89, 90, 0, 0}}, {{0}}, 0,
		VRING_ERR_ADDRESS, false},
	{"runs out of the memory on receive", {{RIG_FAR + RIG_FAR_LEN - 1599, 1600, WRITE, 0}},
		{{0}}, 0, VRING_ERR_ADDRESS, true},
	{"whole memory and more", {{RIG_NEAR, UINT32_MAX, 0, 0}}, {{0}}, 0, VRING_ERR_ADDRESS,
		false},
	{"wraps", {{UINT64_MAX - 20, 90, 0, 0}}, {{0}}, 0, VRING_ERR_ADDRESS, false},
	{"ends at 2^64", {{UINT64_MAX - 89, 90, 0, 0}}, {{0}}, 0, VRING_ERR_ADDRESS, false},
	{"read-only memory on receive", {{RIG_RO, 1600, WRITE, 0}}, {{0}}, 0, VRING_ERR_ADDRESS,
		true},
	{"second buffer unmapped", {{BUF, 40, NEXT, 1}, {RIG_HOLE, 60, 0, 0}}, {{0}}, 0,
		VRING_ERR_ADDRESS, false},
	{"table unmapped", {{RIG_HOLE, 32, INDIRECT, 0}}, {{0}}, 0, VRING_ERR_ADDRESS, false},
	{"table runs out of the memory", {{RIG_FAR + RIG_FAR_LEN - 16, 32, INDIRECT, 0}}, {{0}}, 0,
		VRING_ERR_CHAIN, false}, /* its first entry is zeros: an empty chain */
	{"table cut by the end of memory", {{RIG_FAR + RIG_FAR_LEN - 8, 32, INDIRECT, 0}}, {{0}}, 0,
		VRING_ERR_ADDRESS, false},
	{"table wraps", {{UINT64_MAX - 15, 32, INDIRECT, 0}}, {{0}}, 0, VRING_ERR_ADDRESS, false},
	{"table empty", {{TABLE, 0, INDIRECT, 0}}, {{0}}, 0, VRING_ERR_INDIRECT, false},
	{"table of 15 bytes", {{TABLE, 15, INDIRECT, 0}}, {{0}}, 0, VRING_ERR_INDIRECT, false},
	{"table of 33 bytes", {{TABLE, 33, INDIRECT, 0}}, {{BUF, 90, 0, 0}}, 0, VRING_ERR_INDIRECT,
		false},
	{"table with successor", {{TABLE, 16, INDIRECT | NEXT, 1}, {BUF, 90, 0, 0}},
		{{BUF, 90, 0, 0}}, 0, VRING_ERR_INDIRECT, false},
	{"table in a table", {{TABLE, 32, INDIRECT, 0}},
		{{TABLE + 16, 16, INDIRECT, 0}, {BUF, 90, 0, 0}}, 0, VRING_ERR_INDIRECT, false},
	{"table that is its own", {{TABLE, 16, INDIRECT, 0}}, {{TABLE, 16, INDIRECT, 0}}, 0,
		VRING_ERR_INDIRECT, false},
	{"table in a table on receive", {{TABLE, 16, INDIRECT, 0}},
		{{TABLE, 16, INDIRECT | WRITE, 0}}, 0, VRING_ERR_INDIRECT, true},
};

/* A good chain before and one behind the bad one: the first is served, the last is not. */
static void
hostile_run(struct rig *r, const struct hostile *h)
{
	struct rte_mbuf *pkts[3];
	uint16_t n;

	for (uint16_t i = 0; i < RTE_DIM(h->desc); i++)
		r->vd.desc[i] = h->desc[i];
	rig_write(r, TABLE, h->table, sizeof(h->table));
	rig_tx_buf(r, RIG_BUFS + 0x4000, 64, 1);
	rig_desc(r, 10, RIG_BUFS + 0x4000, HDR + 64, h->rx ? WRITE : 0, 0);
	rig_offer(r, 10);
	rig_offer(r, h->head);
	rig_offer(r, 10);
	if (h->rx) {
		for (uint32_t i = 0; i < 3; i++)
			pkts[i] = rig_mbuf(r, 64, 64, i);
		n = rig_enqueue(r, pkts, 3);
		rte_pktmbuf_free_bulk(pkts + n, 3 - n);
	} else {
		n = rig_dequeue(r, pkts, 3);
		rte_pktmbuf_free_bulk(pkts, n);
	}
	if (n != 1 || r->vr.error != h->want || r->vd.used->idx != 1)
		fail_msg("%s: %u packets, error \"%s\"", h->name, n, vring_strerror(r->vr.error));
	assert_int_equal(r->rec.stats.bad_desc_errors, 1);
	assert_int_equal(r->rec.used_idx, 1);
	assert_int_equal(rig_mbufs_out(r), 0);
}

static void
malformed_chain_breaks_the_ring_and_nothing_else(void **state)
{
	static const uint64_t features[] = {
		RIG_INDIRECT, RIG_INDIRECT | RIG_OFFLOAD | UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM};
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (size_t f = 0; f < RTE_DIM(features); f++)
		for (size_t i = 0; i < RTE_DIM(hostiles); i++) {
			rig_start(r, RIG_SIZE, features[f]);
			hostile_run(r, &hostiles[i]);
			/* and stays broken */
			assert_int_equal(rig_dequeue(r, &m, 1), 0);
			assert_int_equal(rig_enqueue(r, &m, 1), 0);
			assert_int_equal(vring_pop(&r->vr, &r->chain), -1);
			assert_int_equal(vring_avail_entries(&r->vr), 0);
		}
}

static void
malformed_chain_breaks_the_control_queue_too(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(hostiles); i++) {
		const struct hostile *h = &hostiles[i];
		int ret;

		rig_start(r, RIG_SIZE, RIG_INDIRECT);
		for (uint16_t j = 0; j < RTE_DIM(h->desc); j++)
			r->vd.desc[j] = h->desc[j];
		rig_write(r, TABLE, h->table, sizeof(h->table));
		rig_offer(r, h->head);
		ret = vring_pop(&r->vr, &r->chain);
		/* Too little for a packet may still be a chain. */
		if (ret != -1 || r->vr.error != h->want)
			if (ret != 1 || h->want != VRING_ERR_CHAIN)
				fail_msg("%s: %d, error \"%s\"", h->name, ret,
					vring_strerror(r->vr.error));
	}
}

static void
indirect_descriptor_that_was_not_negotiated_breaks_the_ring(void **state)
{
	const struct hostile h = {"not negotiated", {{TABLE, 16, INDIRECT, 0}}, {{BUF, 90, 0, 0}},
		0, VRING_ERR_INDIRECT, false};
	struct rig *r = *state;

	rig_start(r, RIG_SIZE, 0);
	hostile_run(r, &h);
}

static void
available_index_ahead_by_more_than_the_ring_breaks_it(void **state)
{
	static const uint16_t jumps[] = {RIG_SIZE + 1, 0x8000, 0xffff /* backwards */};
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (size_t i = 0; i < RTE_DIM(jumps); i++) {
		rig_start(r, RIG_SIZE, 0);
		r->vd.avail->idx = jumps[i];
		assert_int_equal(rig_dequeue(r, &m, 1), 0);
		assert_int_equal(r->vr.error, VRING_ERR_INDEX);
	}
}

static void
full_ring_is_not_a_jump(void **state)
{
	struct rig *r = *state;
	struct vring_buf bufs[RIG_SIZE];

	for (uint32_t i = 0; i < RIG_SIZE; i++)
		bufs[i] = (struct vring_buf){RIG_BUFS, 100};
	assert_int_equal(vring_driver_add_burst(&r->vd, bufs, RIG_SIZE, false, 0), RIG_SIZE);
	assert_int_equal(vring_driver_add_burst(&r->vd, bufs, 1, false, 0), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(vring_avail_entries(&r->vr), RIG_SIZE);
	assert_false(vring_broken(&r->vr));
}

static void
longest_chain_is_the_whole_ring(void **state)
{
	struct vring_buf bufs[RIG_SIZE];
	struct rig *r = *state;
	struct rte_mbuf *m;

	rig_tx_buf(r, RIG_BUFS, RIG_SIZE * 5 - HDR, 1);
	for (uint32_t i = 0; i < RIG_SIZE; i++)
		bufs[i] = (struct vring_buf){RIG_BUFS + i * 5, 5};
	assert_int_equal(vring_driver_add(&r->vd, bufs, RIG_SIZE, 0, false, 4), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rig_assert_packet(m, RIG_SIZE * 5 - HDR, 1);
	rig_assert_used(r, 4, 0);
	rte_pktmbuf_free(m);
}

static void
table_may_be_longer_than_the_ring_but_not_endless(void **state)
{
	static struct virtq_desc table[VRING_MAX_CHAIN + 1];
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (uint32_t n = VRING_MAX_CHAIN; n <= VRING_MAX_CHAIN + 1; n++) {
		for (uint16_t i = 0; i < n; i++)
			table[i] = (struct virtq_desc){
				RIG_BUFS, 2, i + 1u < n ? NEXT : 0, (uint16_t)(i + 1)};
		rig_write(r, TABLE, table, n * sizeof(table[0]));
		rig_desc(r, 0, TABLE, n * (uint32_t)sizeof(table[0]), INDIRECT, 0);
		rig_offer(r, 0);
		assert_int_equal(rig_dequeue(r, &m, 1), n == VRING_MAX_CHAIN);
		if (n == VRING_MAX_CHAIN)
			rte_pktmbuf_free(m);
	}
	assert_int_equal(r->vr.error, VRING_ERR_CHAIN);
	assert_int_equal(r->rec.stats.exceed_max_chain, 1);
}

static void
what_lies_behind_the_longest_packet_is_not_looked_at(void **state)
{
	static const uint64_t features[] = {RIG_INDIRECT, RIG_INDIRECT | RIG_OFFLOAD};
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (size_t i = 0; i < RTE_DIM(features); i++) {
		rig_start(r, RIG_SIZE, features[i]);
		rig_desc(r, 0, BUF, HDR + VRING_MAX_PACKET, NEXT, 1);
		rig_desc(r, 1, BUF, 1, NEXT, 2);
		rig_desc(r, 2, RIG_HOLE, 90, 0, 0);
		rig_offer(r, 0);
		assert_int_equal(rig_dequeue(r, &m, 1), 0);
		assert_false(vring_broken(&r->vr));
		assert_int_equal(r->rec.stats.bad_header, 1);
		assert_int_equal(r->vd.used->idx, 1);
	}
}

/* Offer n times the same chain of the greatest length, of buffers of `each` bytes. */
static void
offer_longest(struct rig *r, uint16_t n, uint32_t each, uint16_t flags)
{
	static struct virtq_desc table[VRING_MAX_CHAIN];

	for (uint16_t i = 0; i < VRING_MAX_CHAIN; i++)
		table[i] = (struct virtq_desc){RIG_BUFS + 0x10000, each,
			flags | (i + 1u < VRING_MAX_CHAIN ? NEXT : 0), (uint16_t)(i + 1)};
	rig_write(r, TABLE, table, sizeof(table));
	rig_desc(r, 0, TABLE, sizeof(table), INDIRECT, 0);
	while (n-- > 0)
		rig_offer(r, 0);
}

static void
transmit_burst_ends_early_when_its_chains_are_endless(void **state)
{
	struct rig *r = *state;
	struct rte_mbuf *pkts[8];

	offer_longest(r, 8, 2, 0);
	for (uint16_t used = 2; used <= 8; used += 2) {
		assert_int_equal(rig_dequeue(r, pkts, 8), 2);
		assert_int_equal(r->vd.used->idx, used);
		rte_pktmbuf_free_bulk(pkts, 2);
	}
	assert_int_equal(rig_dequeue(r, pkts, 8), 0);
	assert_int_equal(r->rec.stats.packets, 8);
}

static void
receive_burst_ends_early_when_its_chains_are_endless(void **state)
{
	/* buffer too small: each packet would walk the same chain anew */
	static const struct {
		uint32_t each;
		uint16_t used;
	} cases[] = {{2, 2}, {1, 0}};
	struct rig *r = *state;
	struct rte_mbuf *pkts[8];

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		rig_start(r, RIG_SIZE, RIG_INDIRECT);
		offer_longest(r, 8, cases[i].each, WRITE);
		for (uint32_t j = 0; j < 8; j++)
			pkts[j] = rig_mbuf(r, 1500, 1500, j);
		assert_int_equal(rig_enqueue(r, pkts, 8), 2);
		assert_int_equal(r->vd.used->idx, cases[i].used);
		rte_pktmbuf_free_bulk(pkts + 2, 6);
	}
}

/* Any bytes at all as ring, table and buffers: the sanitizers are the judge, and the loop must end.
 */
static void
fuzz_round(struct rig *r, unsigned int *seed)
{
	static const uint64_t places[] = {RIG_BUFS, TABLE, RIG_FAR - 8, RIG_FAR + RIG_FAR_LEN - 40,
		RIG_RO, RIG_HOLE, RIG_NEAR, UINT64_MAX - 50};
	struct rte_mbuf *pkts[VRING_BURST];
	uint16_t n;

	rig_start(r, 16,
		(rand_r(seed) & 1 ? RIG_INDIRECT : 0) | (rand_r(seed) & 1 ? RIG_OFFLOAD : 0) |
			(rand_r(seed) & 1 ? RIG_EVENT : 0));
	for (int i = 0; i < 32; i++) {
		struct virtq_desc d = {
			.addr = places[rand_r(seed) % RTE_DIM(places)] + rand_r(seed) % 64,
			.len = rand_r(seed) % 8 == 0 ? (uint32_t)rand_r(seed) * 3
						     : (uint32_t)rand_r(seed) % 160,
			.flags = (uint16_t)(rand_r(seed) % (rand_r(seed) % 8 == 0 ? 16 : 4)),
			.next = (uint16_t)(rand_r(seed) % 17),
		};

		if (rand_r(seed) % 4 == 0)
			d.len &= ~15u;
		if (i < 16)
			r->vd.desc[i] = d;
		else
			rig_write(r, TABLE + (uint64_t)(i - 16) * 16, &d, sizeof(d));
	}
	for (uint32_t i = 0; i < 64; i++)
		*rig_ptr(r, RIG_BUFS + i) = (uint8_t)rand_r(seed);
	for (int i = rand_r(seed) % 16; i >= 0; i--)
		rig_offer(r, (uint16_t)(rand_r(seed) % (rand_r(seed) % 16 == 0 ? 65536 : 16)));
	if (rand_r(seed) & 1) {
		n = rig_dequeue(r, pkts, VRING_BURST);
		rte_pktmbuf_free_bulk(pkts, n);
	} else {
		for (uint32_t i = 0; i < 4; i++)
			pkts[i] = rig_mbuf(r, 60 + (uint32_t)rand_r(seed) % 200, 150, i);
		n = rig_enqueue(r, pkts, 4);
		rte_pktmbuf_free_bulk(pkts + n, 4 - n);
	}
	assert_int_equal(rig_mbufs_out(r), 0);
	assert_int_equal(r->rec.used_idx, r->vr.used_idx);
	vring_interrupt_wanted(&r->vr);
	vring_pop(&r->vr, &r->chain);
}

static void
random_rings_do_no_harm(void **state)
{
	const clock_t end = clock() + 2 * CLOCKS_PER_SEC;
	struct rig *r = *state;
	unsigned int seed = 20260101;

	for (int i = 0; i < 20000 && clock() < end; i++)
		fuzz_round(r, &seed);
}

static int
test_vring_hostile(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(malformed_chain_breaks_the_ring_and_nothing_else),
		T(malformed_chain_breaks_the_control_queue_too),
		T(indirect_descriptor_that_was_not_negotiated_breaks_the_ring),
		T(available_index_ahead_by_more_than_the_ring_breaks_it),
		T(full_ring_is_not_a_jump),
		T(longest_chain_is_the_whole_ring),
		T(table_may_be_longer_than_the_ring_but_not_endless),
		T(what_lies_behind_the_longest_packet_is_not_looked_at),
		T(transmit_burst_ends_early_when_its_chains_are_endless),
		T(receive_burst_ends_early_when_its_chains_are_endless),
		T(random_rings_do_no_harm),
	};

	return cmocka_run_group_tests_name("vring_hostile", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_hostile, test_vring_hostile)
