/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What only a packed ring has: laps, events, ids, records; and what a hostile driver makes of it.
 */

#include <errno.h>
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
#define TURN	 (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)
#define BUF	 RIG_BUFS
#define TABLE	 (RIG_BUFS + 0x8000)

/* ---- what is in the ring ---- */

static void
chains_run_across_the_end_of_the_ring(void **state)
{
	const struct vring_buf bufs[] = {{BUF, HDR}, {BUF + HDR, 30}, {BUF + HDR + 30, 34}};
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (uint16_t size = 3; size <= 7; size++) {
		rig_start(r, size, 0);
		for (uint32_t i = 0; i < 100; i++) {
			const uint16_t n = 1 + i % 3;
			const uint32_t len = n == 1 ? 64 : n == 2 ? 30 : 64;
			const struct vring_buf one = {BUF, HDR + 64};

			rig_tx_buf(r, BUF, 64, i);
			assert_int_equal(
				vring_driver_add(&r->vd, n == 1 ? &one : bufs, n, 0, false, i), 0);
			vring_driver_publish(&r->vd);
			assert_int_equal(vring_avail_entries(&r->vr), 1);
			assert_int_equal(rig_dequeue(r, &m, 1), 1);
			assert_int_equal(m->pkt_len, len);
			rte_pktmbuf_free(m);
			rig_assert_used(r, i, 0);
		}
	}
}

static void
the_used_entry_names_whatever_id_the_last_descriptor_has(void **state)
{
	static const uint16_t ids[] = {0, 7, RIG_SIZE, 0xffff};
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (uint16_t i = 0; i < RTE_DIM(ids); i++) {
		rig_pdesc(r, BUF, HDR, NEXT, 1234);
		rig_pdesc(r, BUF + HDR, 64, 0, ids[i]);
		assert_int_equal(rig_dequeue(r, &m, 1), 1);
		rte_pktmbuf_free(m);
		assert_int_equal(r->vd.ring[2 * i].id, ids[i]);
		assert_int_equal(r->vd.ring[2 * i].flags, TURN);
		assert_int_equal(r->vd.ring[2 * i + 1].flags & TURN, VIRTQ_DESC_F_AVAIL);
	}
}

static void
the_write_flag_says_that_there_is_a_length(void **state)
{
	struct rig *r = *state;
	struct rte_mbuf *m = rig_mbuf(r, 64, 64, 1);

	rig_pdesc(r, BUF, 1600, WRITE, 3);
	assert_int_equal(rig_enqueue(r, &m, 1), 1);
	assert_int_equal(r->vd.ring[0].flags, TURN | WRITE);
	assert_int_equal(r->vd.ring[0].len, HDR + 64);
	rig_pdesc(r, BUF, HDR + 64, 0, 4);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	assert_int_equal(r->vd.ring[1].flags, TURN);
	rte_pktmbuf_free(m);
}

static void
flags_but_write_mean_nothing_in_a_table(void **state)
{
	struct pvirtq_desc table[2] = {
		{.addr = BUF, .len = HDR, .id = 99, .flags = 0},
		{.addr = BUF + HDR, .len = 64, .id = 98, .flags = NEXT | TURN},
	};
	struct rig *r = *state;
	struct rte_mbuf *m;

	rig_tx_buf(r, BUF, 64, 5);
	for (uint16_t i = 0; i < 2; i++) {
		table[0].flags = i == 0 ? 0 : NEXT;
		rig_write(r, TABLE, table, sizeof(table));
		rig_pdesc(r, TABLE, sizeof(table), INDIRECT | WRITE, 55);
		assert_int_equal(rig_dequeue(r, &m, 1), 1);
		rig_assert_packet(m, 64, 5);
		rte_pktmbuf_free(m);
		assert_int_equal(r->vd.ring[i].id, 55);
	}
}

static void
chains_to_take_are_counted_up_to_a_burst(void **state)
{
	const struct vring_buf bufs[] = {{BUF, 100}, {BUF, 100}};
	struct rig *r = *state;

	for (uint16_t i = 1; i <= RIG_SIZE / 2; i++) {
		assert_int_equal(vring_driver_add(&r->vd, bufs, 2, 0, false, i), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(vring_avail_entries(&r->vr), RTE_MIN(i, VRING_BURST));
	}
}

/* Each is looked at once; how many there are must come out right wherever looks and bursts meet. */
static void
chains_that_were_counted_count_until_they_are_taken(void **state)
{
	const struct vring_buf bufs[] = {{BUF, HDR}, {BUF + HDR, 30}, {BUF + HDR + 30, 34}};
	struct rte_mbuf *pkts[VRING_BURST];
	uint32_t added = 0, taken = 0;
	unsigned int seed = 1;
	struct rig *r = *state;
	uint16_t n;

	rig_start(r, 100, 0);
	rig_tx_buf(r, BUF, 64, 1);
	for (uint32_t i = 0; i < 2000; i++) {
		for (int k = rand_r(&seed) % 20; k > 0; k--)
			if (vring_driver_add(&r->vd, bufs, 2 + k % 2, 0, false, added) == 0)
				added++;
		vring_driver_publish(&r->vd);
		for (int looks = rand_r(&seed) % 3; looks > 0; looks--)
			assert_int_equal(
				vring_avail_entries(&r->vr), RTE_MIN(added - taken, VRING_BURST));
		n = rig_dequeue(r, pkts, (uint16_t)(rand_r(&seed) % (VRING_BURST + 1)));
		rte_pktmbuf_free_bulk(pkts, n);
		for (; n > 0; n--)
			rig_assert_used(r, taken++, 0);
	}
}

static void
a_chain_is_not_seen_before_its_first_descriptor(void **state)
{
	struct rig *r = *state;
	struct rte_mbuf *m;

	rig_tx_buf(r, BUF, 64, 1);
	r->vd.avail_idx = 1;
	rig_pdesc(r, BUF + HDR, 64, 0, 1);
	assert_int_equal(rig_dequeue(r, &m, 1), 0);
	assert_int_equal(vring_avail_entries(&r->vr), 0);
	r->vd.avail_idx = 0;
	rig_pdesc(r, BUF, HDR, NEXT, 1);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rig_assert_packet(m, 64, 1);
	rte_pktmbuf_free(m);
}

static void
in_order_a_burst_has_one_used_entry(void **state)
{
	const struct vring_buf bufs[] = {{BUF, HDR}, {BUF + HDR, 64}};
	struct rte_mbuf *pkts[5];
	struct rig *r = *state;

	rig_tx_buf(r, BUF, 64, 1);
	for (uint16_t i = 0; i < 5; i++)
		assert_int_equal(vring_driver_add(&r->vd, bufs, 2, 0, false, i), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, pkts, 5), 5);
	rte_pktmbuf_free_bulk(pkts, 5);
	assert_int_equal(r->vd.ring[0].flags, TURN);
	assert_int_equal(r->vd.ring[0].id, 8); /* of the last chain */
	for (uint16_t i = 1; i < 10; i++)
		assert_int_equal(r->vd.ring[i].flags & TURN, VIRTQ_DESC_F_AVAIL);
	assert_int_equal(r->rec.used_idx, 10);
}

/* ---- positions ---- */

static void
impossible_rings_are_not_started(void **state)
{
	static const struct {
		uint16_t size;
		int64_t desc, driver, device; /* moved by that much */
		int want;
	} table[] = {
		{0, 0, 0, 0, -EINVAL},
		{1, 0, 0, 0, 0},
		{255, 0, 0, 0, 0},
		{32768, 0, 0, 0, 0},
		{32769, 0, 0, 0, -EINVAL},
		{256, 8, 0, 0, -EINVAL},
		{256, 0, 2, 0, -EINVAL},
		{256, 0, 0, 2, -EINVAL},
		{256, -4096, 0, 0, -EFAULT},
		{256, 0, RIG_HOLE - RIG_NEAR, 0, -EFAULT},
		{256, 0, 0, RIG_HOLE - RIG_NEAR, -EFAULT},
		{256, RIG_FAR - RIG_NEAR - 64, 0, 0, 0}, /* across a border between pages */
		{256, RIG_RO - RIG_NEAR, 0, 0, -EFAULT}, /* descriptors are written to */
		{256, 0, RIG_RO - RIG_NEAR - 4096, 0, 0},
		{256, 0, 0, RIG_RO - RIG_NEAR, -EFAULT},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		struct ring_record rec = {0};
		struct vring_conf conf = r->conf;
		struct vring vr;

		conf.record = &rec;
		conf.size = table[i].size;
		conf.desc += (uint64_t)table[i].desc;
		conf.driver += (uint64_t)table[i].driver;
		conf.device += (uint64_t)table[i].device;
		assert_int_equal(vring_start(&vr, &conf), table[i].want);
		if (table[i].want == 0)
			vring_stop(&vr);
	}
}

static void
areas_in_use_are_known(void **state)
{
	struct rig *r = *state;
	const struct {
		uint64_t iova, len;
		bool want;
	} table[] = {
		{r->conf.desc, 1, true},
		{r->conf.desc - 16, 16, false},
		{r->conf.desc + 16 * RIG_SIZE - 1, 1, true},
		{r->conf.driver + 3, 1, true},
		{r->conf.driver + 4, 4, false},
		{r->conf.device + 3, 1, true},
		{r->conf.device + 4, 4096, false},
	};

	for (size_t i = 0; i < RTE_DIM(table); i++)
		assert_int_equal(vring_uses(&r->vr, table[i].iova, table[i].len), table[i].want);
}

static void
a_ring_that_does_not_fit_its_record_is_not_started(void **state)
{
	static const struct {
		struct ring_record rec;
		uint16_t flags; /* of the descriptor at slot 5 */
		int want;
	} table[] = {
		{{.used_idx = 5, .used_wrap = 1}, 0, 0},
		{{.used_idx = 5, .used_wrap = 1}, VIRTQ_DESC_F_AVAIL, 0},
		{{.used_idx = 5, .used_wrap = 0}, VIRTQ_DESC_F_USED, 0},
		{{.used_idx = 5, .used_wrap = 0}, TURN, 0},
		{{.used_idx = 5, .used_wrap = 1}, TURN, -ERANGE}, /* older than the ring */
		{{.used_idx = 5, .used_wrap = 0}, 0, -ERANGE},
		{{.used_idx = 5, .used_wrap = 2}, 0, -ERANGE},
		{{.used_idx = RIG_SIZE, .used_wrap = 1}, 0, -ERANGE},
		{{.used_idx = 5, .used_wrap = 1, .valid = 1, .shadow_n = 0}, 0, -ERANGE},
		{{.used_idx = 5, .used_wrap = 1, .valid = 1, .shadow_n = RIG_SIZE + 1}, 0, -ERANGE},
		{{.used_idx = 5,
			 .used_wrap = 1,
			 .valid = 1,
			 .shadow_n = 1,
			 .next_used = RIG_SIZE,
			 .shadow = {{5, 0, 0}}},
			0, -ERANGE},
		{{.used_idx = 5,
			 .used_wrap = 1,
			 .valid = 1,
			 .shadow_n = 1,
			 .next_used = 6,
			 .next_used_wrap = 2,
			 .shadow = {{5, 0, 0}}},
			0, -ERANGE},
		{{.used_idx = 5,
			 .used_wrap = 1,
			 .valid = 1,
			 .shadow_n = 1,
			 .next_used = 6,
			 .next_used_wrap = 1,
			 .shadow = {{6, 0, 0}}},
			0, -ERANGE},
		{{.used_idx = 5,
			 .used_wrap = 1,
			 .valid = 1,
			 .shadow_n = 2,
			 .next_used = 7,
			 .next_used_wrap = 1,
			 .shadow = {{5, 0, 0}, {RIG_SIZE, 0, 0}}},
			0, -ERANGE},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		vring_stop(&r->vr);
		r->rec = table[i].rec;
		r->rec.running = 1;
		r->vd.ring[5].flags = table[i].flags;
		assert_int_equal(vring_start(&r->vr, &r->conf), table[i].want);
		assert_int_equal(r->vd.ring[5].flags, table[i].flags); /* left as it is */
	}
}

/* A burst of two that stands in the shadow, across the end of the ring. */
static void
shadow_of_two(struct rig *r)
{
	vring_stop(&r->vr);
	r->rec = (struct ring_record){
		.running = 1,
		.used_idx = RIG_SIZE - 1,
		.used_wrap = 1,
		.valid = 1,
		.shadow_n = 2,
		.next_used = 3,
		.next_completed = 12,
		.shadow = {{RIG_SIZE - 1, 70, 100}, {0, 71, 0}},
	};
}

static void
a_burst_that_did_not_get_out_is_written_by_the_successor(void **state)
{
	struct rig *r = *state;

	shadow_of_two(r);
	r->vd.ring[RIG_SIZE - 1].flags = VIRTQ_DESC_F_AVAIL;
	r->vd.ring[0] = (struct pvirtq_desc){.id = 1, .len = 2, .flags = VIRTQ_DESC_F_USED};
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(r->vd.ring[RIG_SIZE - 1].id, 70);
	assert_int_equal(r->vd.ring[RIG_SIZE - 1].len, 100);
	assert_int_equal(r->vd.ring[RIG_SIZE - 1].flags, TURN | WRITE);
	assert_int_equal(r->vd.ring[0].id, 71);
	assert_int_equal(r->vd.ring[0].flags, 0); /* used, in the lap that follows */
	assert_int_equal(r->rec.valid, 0);
	assert_int_equal(r->rec.used_idx, 3);
	assert_int_equal(r->rec.used_wrap, 0);
	assert_int_equal(r->rec.stats.completed_desc, 12);
	assert_int_equal(r->vr.avail_idx, 3);
	assert_false(r->vr.avail_wrap);
}

/* The first entry is out, so all are, and the driver may have made new descriptors of them. */
static void
a_burst_that_got_out_is_left_alone_by_the_successor(void **state)
{
	static const uint16_t flags[] = {
		TURN | WRITE /* not looked at yet */, VIRTQ_DESC_F_USED /* available once more */};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(flags); i++) {
		shadow_of_two(r);
		r->vd.ring[RIG_SIZE - 1] = (struct pvirtq_desc){.id = 8, .flags = flags[i]};
		r->vd.ring[0] = (struct pvirtq_desc){.id = 9, .flags = VIRTQ_DESC_F_AVAIL};
		r->vd.ring[3].flags = VIRTQ_DESC_F_AVAIL;
		assert_int_equal(vring_start(&r->vr, &r->conf), 0);
		assert_int_equal(r->vd.ring[RIG_SIZE - 1].id, 8);
		assert_int_equal(r->vd.ring[0].id, 9);
		assert_int_equal(r->rec.used_idx, 3);
		assert_int_equal(r->rec.used_wrap, 0);
		assert_int_equal(r->rec.valid, 0);
	}
}

/* ---- events ---- */

static void
interrupt_event_is_obeyed(void **state)
{
	static const struct {
		uint16_t before; /* slots used until the last decision */
		uint16_t n;	 /* since then */
		uint16_t off_wrap;
		bool want;
	} table[] = {
		{10, 1, 10 | 0x8000, true},  /* this very descriptor */
		{10, 1, 11 | 0x8000, false}, /* the next one */
		{10, 1, 9 | 0x8000, false},  /* the one before: seen already */
		{10, 5, 12 | 0x8000, true}, {10, 5, 14 | 0x8000, true}, {10, 5, 15 | 0x8000, false},
		{10, 5, 12, false},		       /* in the lap to come */
		{RIG_SIZE - 3, 6, 254 | 0x8000, true}, /* across the end */
		{RIG_SIZE - 3, 6, 255 | 0x8000, true}, {RIG_SIZE - 3, 6, 0, true},
		{RIG_SIZE - 3, 6, 2, true}, {RIG_SIZE - 3, 6, 3, false},
		{RIG_SIZE - 3, 6, 252 | 0x8000, false}, {RIG_SIZE - 3, 3, 0, false},
		{RIG_SIZE + 5, 2, 6, true}, /* in the second lap */
		{RIG_SIZE + 5, 2, 6 | 0x8000, false},
		{10, RIG_SIZE, 5 | 0x8000, true}, /* a whole lap */
		{10, 2, 0xffff, false},		  /* nowhere */
	};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		rig_start(r, RIG_SIZE, RIG_EVENT);
		for (uint16_t j = 0; j < table[i].before + table[i].n; j++) {
			const struct vring_buf buf = {BUF, 100};

			r->vd.interrupts_off = true;
			vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
			vring_driver_publish(&r->vd);
			assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
			vring_push(&r->vr, &r->chain, 0);
			rig_assert_used(r, 0, 0);
			if (j + 1 == table[i].before)
				(void)vring_interrupt_wanted(&r->vr);
		}
		r->vd.driver_event->off_wrap = table[i].off_wrap;
		r->vd.driver_event->flags = RING_EVENT_FLAGS_DESC;
		if (vring_interrupt_wanted(&r->vr) != table[i].want)
			fail_msg("case %zu", i);
		assert_false(vring_interrupt_wanted(&r->vr));
	}
}

static void
event_that_was_not_negotiated_means_any(void **state)
{
	const struct vring_buf buf = {BUF, 100};
	struct rig *r = *state;

	rig_start(r, RIG_SIZE, 0);
	for (uint16_t flags = 0; flags < 4; flags++) {
		vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
		vring_push(&r->vr, &r->chain, 0);
		rig_assert_used(r, 0, 0);
		r->vd.driver_event->flags = flags;
		r->vd.driver_event->off_wrap = 77;
		assert_int_equal(vring_interrupt_wanted(&r->vr), flags != RING_EVENT_FLAGS_DISABLE);
	}
}

static void
started_ring_asks_for_kicks(void **state)
{
	struct rig *r = *state;

	vring_kicks_off(&r->vr);
	assert_int_equal(r->vd.device_event->flags, RING_EVENT_FLAGS_DISABLE);
	vring_stop(&r->vr);
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(r->vd.device_event->flags, RING_EVENT_FLAGS_ENABLE);
	rig_start(r, RIG_SIZE, RIG_EVENT);
	assert_int_equal(r->vd.device_event->flags, RING_EVENT_FLAGS_DESC);
	assert_int_equal(r->vd.device_event->off_wrap, 0x8000);
}

/* ---- hostile drivers ---- */

struct hostile {
	const char *name;
	struct pvirtq_desc desc[4]; /* until the first one of all zeros */
	struct pvirtq_desc table[4];
	enum vring_error want;
	bool rx;
};

#define D(addr, len, flags)                                                                        \
	{                                                                                          \
		addr, len, 7, flags                                                                \
	}

static const struct hostile hostiles[] = {
	{"no end", {D(BUF, 40, NEXT)}, {{0}}, VRING_ERR_CHAIN, false},
	{"no end on receive", {D(BUF, 40, NEXT | WRITE)}, {{0}}, VRING_ERR_CHAIN, true},
	{"readable after writable", {D(BUF, 90, WRITE | NEXT), D(BUF, 90, 0)}, {{0}},
		VRING_ERR_CHAIN, false},
	{"readable after writable on receive", {D(BUF, 90, WRITE | NEXT), D(BUF, 90, 0)}, {{0}},
		VRING_ERR_CHAIN, true},
	{"nothing readable", {D(BUF, 1000, WRITE)}, {{0}}, VRING_ERR_CHAIN, false},
	{"nothing writable", {D(BUF, 1000, 0)}, {{0}}, VRING_ERR_CHAIN, true},
	{"too short for the header", {D(BUF, HDR - 1, 0)}, {{0}}, VRING_ERR_CHAIN, false},
	{"too short for the header in pieces", {D(BUF, 5, NEXT), D(BUF, 6, 0)}, {{0}},
		VRING_ERR_CHAIN, false},
	{"too short for the header on receive", {D(BUF, HDR - 1, WRITE)}, {{0}}, VRING_ERR_CHAIN,
		true},
	{"empty at a bad address", {D(RIG_HOLE, 0, 0)}, {{0}}, VRING_ERR_CHAIN, false},
	{"empty on receive", {D(RIG_HOLE, 0, WRITE)}, {{0}}, VRING_ERR_CHAIN, true},
	{"4 GiB in a chain", {D(BUF, 0x10000, NEXT), D(BUF, UINT32_MAX, 0)}, {{0}}, VRING_ERR_CHAIN,
		false},
	{"unmapped", {D(RIG_HOLE, 90, 0)}, {{0}}, VRING_ERR_ADDRESS, false},
	{"unmapped on receive", {D(RIG_HOLE, 1600, WRITE)}, {{0}}, VRING_ERR_ADDRESS, true},
	{"runs out of the memory", {D(RIG_FAR + RIG_FAR_LEN - 89, 90, 0)}, {{0}}, VRING_ERR_ADDRESS,
		false},
	{"wraps", {D(UINT64_MAX - 20, 90, 0)}, {{0}}, VRING_ERR_ADDRESS, false},
	{"read-only memory on receive", {D(RIG_RO, 1600, WRITE)}, {{0}}, VRING_ERR_ADDRESS, true},
	{"header unmapped", {D(RIG_HOLE, HDR, NEXT), D(BUF, 60, 0)}, {{0}}, VRING_ERR_ADDRESS,
		false},
	{"data unmapped", {D(BUF, HDR, NEXT), D(RIG_HOLE, 60, 0)}, {{0}}, VRING_ERR_ADDRESS, false},
	{"data unmapped on receive", {D(BUF, HDR, NEXT | WRITE), D(RIG_HOLE, 60, WRITE)}, {{0}},
		VRING_ERR_ADDRESS, true},
	{"header read-only on receive", {D(RIG_RO, HDR, NEXT | WRITE), D(BUF, 60, WRITE)}, {{0}},
		VRING_ERR_ADDRESS, true},
	{"table unmapped", {D(RIG_HOLE, 32, INDIRECT)}, {{0}}, VRING_ERR_ADDRESS, false},
	{"table cut by the end of memory", {D(RIG_FAR + RIG_FAR_LEN - 8, 32, INDIRECT)}, {{0}},
		VRING_ERR_ADDRESS, false},
	{"table wraps", {D(UINT64_MAX - 15, 32, INDIRECT)}, {{0}}, VRING_ERR_ADDRESS, false},
	{"table empty", {D(TABLE, 0, INDIRECT)}, {{0}}, VRING_ERR_INDIRECT, false},
	{"table of 15 bytes", {D(TABLE, 15, INDIRECT)}, {{0}}, VRING_ERR_INDIRECT, false},
	{"table of 33 bytes", {D(TABLE, 33, INDIRECT)}, {D(BUF, 90, 0)}, VRING_ERR_INDIRECT, false},
	{"table with successor", {D(TABLE, 16, INDIRECT | NEXT), D(BUF, 90, 0)}, {D(BUF, 90, 0)},
		VRING_ERR_INDIRECT, false},
	{"table in a table", {D(TABLE, 32, INDIRECT)}, {D(TABLE + 16, 16, INDIRECT), D(BUF, 90, 0)},
		VRING_ERR_INDIRECT, false},
	{"table that is its own", {D(TABLE, 16, INDIRECT)}, {D(TABLE, 16, INDIRECT)},
		VRING_ERR_INDIRECT, false},
	{"table in a table behind the header", {D(TABLE, 32, INDIRECT)},
		{D(BUF, HDR, 0), D(TABLE, 16, INDIRECT)}, VRING_ERR_INDIRECT, false},
	{"table with unmapped data", {D(TABLE, 32, INDIRECT)}, {D(BUF, HDR, 0), D(RIG_HOLE, 60, 0)},
		VRING_ERR_ADDRESS, false},
	{"table with data of none", {D(TABLE, 32, INDIRECT)}, {D(BUF, HDR - 1, 0), D(BUF, 0, 0)},
		VRING_ERR_CHAIN, false},
	{"table with both directions", {D(TABLE, 32, INDIRECT)}, {D(BUF, 60, WRITE), D(BUF, 60, 0)},
		VRING_ERR_CHAIN, true},
};

static void
hostile_offer(struct rig *r, const struct hostile *h)
{
	rig_write(r, TABLE, h->table, sizeof(h->table));
	rig_tx_buf(r, RIG_BUFS + 0x4000, 64, 1);
	rig_pdesc(r, RIG_BUFS + 0x4000, HDR + 64, h->rx ? WRITE : 0, 1);
	for (size_t i = 0; i < RTE_DIM(h->desc) && h->desc[i].id != 0; i++)
		rig_pdesc(r, h->desc[i].addr, h->desc[i].len, h->desc[i].flags, h->desc[i].id);
	if (strncmp(h->name, "no end", 6) != 0)
		rig_pdesc(r, RIG_BUFS + 0x4000, HDR + 64, h->rx ? WRITE : 0, 2);
	else
		for (uint16_t i = 2; i < RIG_SIZE; i++)
			rig_pdesc(r, BUF, 1, h->desc[0].flags, 2);
}

static void
hostile_run(struct rig *r, const struct hostile *h)
{
	struct rte_mbuf *pkts[3];
	uint16_t n;

	hostile_offer(r, h);
	if (h->rx) {
		for (uint32_t i = 0; i < 3; i++)
			pkts[i] = rig_mbuf(r, 64, 64, i);
		n = rig_enqueue(r, pkts, 3);
		rte_pktmbuf_free_bulk(pkts + n, 3 - n);
	} else {
		n = rig_dequeue(r, pkts, 3);
		rte_pktmbuf_free_bulk(pkts, n);
	}
	if (n != 1 || r->vr.error != h->want || rig_shown(r) != 1)
		fail_msg("%s: %u packets, error \"%s\"", h->name, n, vring_strerror(r->vr.error));
	assert_int_equal(r->rec.stats.bad_desc_errors, 1);
	assert_int_equal(r->rec.used_idx, 1);
	assert_int_equal(rig_mbufs_out(r), 0);
}

static void
malformed_chain_breaks_the_ring_and_nothing_else(void **state)
{
	static const uint64_t features[] = {RIG_INDIRECT, RIG_INDIRECT | RIG_MERGE,
		RIG_INDIRECT | RIG_OFFLOAD | UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM};
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
		hostile_offer(r, h);
		assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
		vring_push(&r->vr, &r->chain, 0);
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
	const struct hostile h = {"not negotiated", {D(TABLE, 16, INDIRECT)}, {D(BUF, 90, 0)},
		VRING_ERR_INDIRECT, false};
	struct rig *r = *state;

	rig_start(r, RIG_SIZE, 0);
	hostile_run(r, &h);
}

/* A driver that makes descriptors anew before it got them back cannot have us run on for ever. */
static void
no_more_is_taken_than_the_ring_holds(void **state)
{
	struct rte_mbuf *pkts[VRING_BURST];
	struct rig *r = *state;
	uint16_t got = 0, n;

	rig_start(r, 8, 0);
	rig_tx_buf(r, BUF, 64, 1);
	for (int lap = 0; lap < 3; lap++) {
		for (uint16_t i = 0; i < 8; i++)
			rig_pdesc(r, BUF, HDR + 64, 0, i);
		vring_refresh(&r->vr);
		n = r->burst->dequeue(&r->vr, r->mp, pkts, VRING_BURST);
		rte_pktmbuf_free_bulk(pkts, n);
		got += n;
	}
	assert_int_equal(got, 8);
	assert_int_equal(vring_tx_taken(&r->vr), 8);
	vring_tx_complete(&r->vr);
	assert_int_equal(r->rec.used_idx, 0);
	assert_int_equal(r->rec.used_wrap, 0);
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
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(vring_driver_add(&r->vd, bufs, RIG_SIZE, 0, false, 4), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(rig_dequeue(r, &m, 1), 1);
		rig_assert_packet(m, RIG_SIZE * 5 - HDR, 1);
		rig_assert_used(r, 4, 0);
		rte_pktmbuf_free(m);
	}
}

static void
table_may_be_longer_than_the_ring_but_not_endless(void **state)
{
	static struct pvirtq_desc table[VRING_MAX_CHAIN + 1];
	struct rig *r = *state;
	struct rte_mbuf *m;

	for (uint32_t n = VRING_MAX_CHAIN; n <= VRING_MAX_CHAIN + 1; n++) {
		for (uint16_t i = 0; i < n; i++)
			table[i] = (struct pvirtq_desc){.addr = RIG_BUFS, .len = 2};
		rig_write(r, TABLE, table, n * sizeof(table[0]));
		rig_pdesc(r, TABLE, n * (uint32_t)sizeof(table[0]), INDIRECT, 0);
		assert_int_equal(rig_dequeue(r, &m, 1), n == VRING_MAX_CHAIN);
		if (n == VRING_MAX_CHAIN)
			rte_pktmbuf_free(m);
	}
	assert_int_equal(r->vr.error, VRING_ERR_CHAIN);
	assert_int_equal(r->rec.stats.exceed_max_chain, 1);
}

/* Any bytes at all as ring, table and buffers: the sanitizers are the judge, and the loop must end.
 */
static void
fuzz_desc(struct pvirtq_desc *d, unsigned int *seed)
{
	static const uint64_t places[] = {RIG_BUFS, TABLE, RIG_FAR - 8, RIG_FAR + RIG_FAR_LEN - 40,
		RIG_RO, RIG_HOLE, RIG_NEAR, UINT64_MAX - 50};

	*d = (struct pvirtq_desc){
		.addr = places[rand_r(seed) % RTE_DIM(places)] + rand_r(seed) % 64,
		.len = rand_r(seed) % 8 == 0 ? (uint32_t)rand_r(seed) * 3
					     : (uint32_t)rand_r(seed) % 160,
		.id = (uint16_t)rand_r(seed),
		.flags = (uint16_t)(rand_r(seed) % (rand_r(seed) % 8 == 0 ? 16 : 4)),
	};
	if (rand_r(seed) % 4 == 0)
		d->len &= ~15u;
	if (rand_r(seed) % 3 == 0)
		d->len = HDR;
}

static void
fuzz_round(struct rig *r, unsigned int *seed)
{
	struct rte_mbuf *pkts[VRING_BURST];
	struct pvirtq_desc d;
	uint16_t n;

	rig_start(r, (uint16_t)(1 + rand_r(seed) % 20),
		(rand_r(seed) & 1 ? RIG_INDIRECT : 0) | (rand_r(seed) & 1 ? RIG_OFFLOAD : 0) |
			(rand_r(seed) & 1 ? RIG_EVENT : 0) | (rand_r(seed) & 1 ? RIG_MERGE : 0));
	for (uint32_t i = 0; i < 16; i++) {
		fuzz_desc(&d, seed);
		rig_write(r, TABLE + i * 16, &d, sizeof(d));
	}
	for (uint32_t i = 0; i < 64; i++)
		*rig_ptr(r, RIG_BUFS + i) = (uint8_t)rand_r(seed);
	for (int round = 0; round < 3; round++) {
		for (int i = rand_r(seed) % 20; i >= 0; i--) {
			fuzz_desc(&d, seed);
			rig_pdesc(r, d.addr, d.len, d.flags, d.id);
		}
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
		if (vring_pop(&r->vr, &r->chain) == 1)
			vring_push(&r->vr, &r->chain, 0);
	}
}

static void
random_rings_do_no_harm(void **state)
{
	const clock_t end = clock() + 2 * CLOCKS_PER_SEC;
	struct rig *r = *state;
	unsigned int seed = 20260102;

	for (int i = 0; i < 20000 && clock() < end; i++)
		fuzz_round(r, &seed);
}

static int
test_vring_packed(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST_PACKED(chains_run_across_the_end_of_the_ring),
		RIG_TEST_PACKED(the_used_entry_names_whatever_id_the_last_descriptor_has),
		RIG_TEST_PACKED(the_write_flag_says_that_there_is_a_length),
		RIG_TEST_PACKED(flags_but_write_mean_nothing_in_a_table),
		RIG_TEST_PACKED(chains_to_take_are_counted_up_to_a_burst),
		RIG_TEST_PACKED(chains_that_were_counted_count_until_they_are_taken),
		RIG_TEST_PACKED(a_chain_is_not_seen_before_its_first_descriptor),
		RIG_TEST_OF(in_order_a_burst_has_one_used_entry, "packed in-order",
			rig_setup_packed_order),
		RIG_TEST_PACKED(impossible_rings_are_not_started),
		RIG_TEST_PACKED(areas_in_use_are_known),
		RIG_TEST_PACKED(a_ring_that_does_not_fit_its_record_is_not_started),
		RIG_TEST_PACKED(a_burst_that_did_not_get_out_is_written_by_the_successor),
		RIG_TEST_PACKED(a_burst_that_got_out_is_left_alone_by_the_successor),
		RIG_TEST_PACKED(interrupt_event_is_obeyed),
		RIG_TEST_PACKED(event_that_was_not_negotiated_means_any),
		RIG_TEST_PACKED(started_ring_asks_for_kicks),
		RIG_TEST_PACKED(malformed_chain_breaks_the_ring_and_nothing_else),
		RIG_TEST_PACKED(malformed_chain_breaks_the_control_queue_too),
		RIG_TEST_PACKED(indirect_descriptor_that_was_not_negotiated_breaks_the_ring),
		RIG_TEST_PACKED(no_more_is_taken_than_the_ring_holds),
		RIG_TEST_PACKED(longest_chain_is_the_whole_ring),
		RIG_TEST_PACKED(table_may_be_longer_than_the_ring_but_not_endless),
		RIG_TEST_PACKED(random_rings_do_no_harm),
	};

	return cmocka_run_group_tests_name("vring_packed", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_packed, test_vring_packed)
