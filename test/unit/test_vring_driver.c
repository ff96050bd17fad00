/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The driver side of a ring, with a device that does what the test says. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_common.h>

#include "test.h"
#include "vring/vring_driver.h"

#define SIZE	 8u
#define IOVA	 UINT64_C(0x100000000)
#define BIT(n)	 (UINT64_C(1) << (n))
#define PACKED	 BIT(VIRTIO_F_RING_PACKED)
#define IN_ORDER BIT(VIRTIO_F_IN_ORDER)
#define EVENT	 BIT(VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT BIT(VIRTIO_RING_F_INDIRECT_DESC)
#define AVAIL	 VIRTQ_DESC_F_AVAIL
#define USED	 VIRTQ_DESC_F_USED
#define NEXT	 VIRTQ_DESC_F_NEXT
#define WRITE	 VIRTQ_DESC_F_WRITE
#define LEN	 1000u /**< of each buffer */
#define MAX_SIZE 300u

/** A ring and where its device stands. */
struct ring {
	struct vring_driver vd;
	struct vring_driver_slot slots[MAX_SIZE];
	uint8_t *mem;
	uint16_t at; /**< device's place: next used entry */
	bool wrap;
};

static int
setup(void **state)
{
	*state = calloc(1, sizeof(struct ring));
	return 0;
}

static int
teardown(void **state)
{
	struct ring *r = *state;

	free(r->mem);
	free(r);
	return 0;
}

static void
begin(struct ring *r, uint16_t size, uint64_t features)
{
	const size_t len = RTE_ALIGN_CEIL(vring_driver_memory(size, features), 64);
	struct vring_driver_conf conf = {
		.size = size, .features = features, .iova = IOVA, .slots = r->slots};

	free(r->mem);
	r->mem = conf.va = aligned_alloc(64, len);
	memset(r->mem, 0xee, len);
	assert_int_equal(vring_driver_init(&r->vd, &conf), 0);
	r->at = 0;
	r->wrap = true;
}

/* n chains of one buffer each, for the device to write; tokens from `first` on. */
static void
offer(struct ring *r, uint16_t n, uint64_t first)
{
	struct vring_buf bufs[MAX_SIZE];

	for (uint16_t i = 0; i < n; i++)
		bufs[i] = (struct vring_buf){IOVA + LEN * i, LEN};
	assert_int_equal(vring_driver_add_burst(&r->vd, bufs, n, true, first), n);
	vring_driver_publish(&r->vd);
}

/* What identifies the chain whose first descriptor stands at place `at` of an untouched ring. */
static uint16_t
id_at(const struct ring *r, uint16_t at)
{
	return r->vd.packed ? r->vd.ring[at % r->vd.size].id : r->vd.avail->ring[at % r->vd.size];
}

/* Give back `chains` chains that take `n` descriptors, with one used entry. */
static void
use(struct ring *r, uint32_t id, uint32_t len, uint16_t n, uint16_t chains)
{
	struct pvirtq_desc *d = &r->vd.ring[r->at];

	if (!r->vd.packed) {
		r->vd.used->ring[r->at & r->vd.mask] = (struct virtq_used_elem){id, len};
		r->at += chains;
		r->vd.used->idx = r->at;
		return;
	}
	d->id = (uint16_t)id;
	d->len = len;
	d->flags = (len != 0 ? WRITE : 0) | (r->wrap ? AVAIL | USED : 0);
	r->at += n;
	if (r->at >= r->vd.size) {
		r->at -= r->vd.size;
		r->wrap = !r->wrap;
	}
}

static void
assert_token(struct ring *r, uint64_t token, uint32_t len)
{
	struct vring_used_chain used;

	assert_int_equal(vring_driver_get_burst(&r->vd, &used, 1), 1);
	assert_int_equal(used.token, token);
	assert_int_equal(used.len, len);
}

static void
assert_no_token(struct ring *r)
{
	struct vring_used_chain used;

	assert_int_equal(vring_driver_get_burst(&r->vd, &used, 1), 0);
}

/* ---- what the device sees ---- */

static void
only_a_packed_ring_takes_sizes_that_are_no_power_of_two(void **state)
{
	static const struct {
		uint16_t size;
		int split, packed;
	} rows[] = {
		{0, -EINVAL, -EINVAL},
		{1, 0, 0},
		{7, -EINVAL, 0},
		{256, 0, 0},
		{257, -EINVAL, 0},
		{32769, -EINVAL, -EINVAL},
	};
	struct ring *r = *state;
	struct vring_driver_conf conf = {.iova = IOVA, .slots = r->slots};

	r->mem = conf.va = aligned_alloc(64, 1 << 20);
	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		conf.size = rows[i].size;
		conf.features = 0;
		assert_int_equal(vring_driver_init(&r->vd, &conf), rows[i].split);
		conf.features = PACKED;
		assert_int_equal(vring_driver_init(&r->vd, &conf), rows[i].packed);
	}
}

static void
packed_burst_appears_with_its_first_descriptor(void **state)
{
	const struct vring_buf bufs[3] = {{IOVA, 1}, {IOVA + 8, 2}, {IOVA + 16, 3}};
	struct ring *r = *state;

	begin(r, SIZE, PACKED);
	assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 2, false, 1), 0);
	assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 0, false, 2), 0);
	assert_int_equal(r->vd.ring[0].flags, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(r->vd.ring[0].flags, AVAIL | NEXT);
	assert_int_equal(r->vd.ring[1].flags, AVAIL | NEXT | WRITE);
	assert_int_equal(r->vd.ring[2].flags, AVAIL | WRITE);
	assert_int_equal(r->vd.ring[3].flags, AVAIL);
	assert_int_equal(r->vd.ring[2].addr, IOVA + 16);
	assert_int_equal(r->vd.ring[2].len, 3);
	assert_int_not_equal(r->vd.ring[2].id, r->vd.ring[3].id);
}

static void
packed_flags_turn_round_with_each_lap(void **state)
{
	struct ring *r = *state;

	begin(r, 3, PACKED);
	for (uint16_t i = 0; i < 12; i++) {
		const bool odd_lap = i / 3 % 2 != 0;

		offer(r, 1, i);
		assert_int_equal(r->vd.ring[i % 3].flags, WRITE | (odd_lap ? USED : AVAIL));
		use(r, id_at(r, i), LEN, 1, 1);
		assert_token(r, i, LEN);
	}
}

static void
packed_indirect_table_has_no_links(void **state)
{
	const struct vring_buf bufs[3] = {{IOVA, 1}, {IOVA + 8, 2}, {IOVA + 16, 3}};
	const struct pvirtq_desc *table;
	struct ring *r = *state;

	begin(r, SIZE, PACKED | INDIRECT);
	assert_int_equal(vring_driver_add(&r->vd, bufs, 2, 1, true, 1), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(r->vd.ring[0].flags, AVAIL | VIRTQ_DESC_F_INDIRECT);
	assert_int_equal(r->vd.ring[0].len, 3 * sizeof(*table));
	assert_int_equal(r->vd.n_free, SIZE - 1);
	table = (const struct pvirtq_desc *)(r->mem + (r->vd.ring[0].addr - IOVA));
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(table[i].addr, IOVA + 8 * i);
		assert_int_equal(table[i].len, i + 1);
		assert_int_equal(table[i].flags, i == 2 ? WRITE : 0);
	}
}

static void
in_order_chains_take_the_table_from_top_to_bottom(void **state)
{
	const struct vring_buf bufs[3] = {{IOVA, 1}, {IOVA + 8, 2}, {IOVA + 16, 3}};
	struct ring *r = *state;

	begin(r, SIZE, IN_ORDER);
	for (uint32_t i = 0; i < 40; i++) {
		const uint16_t head = 3 * i % SIZE;

		assert_int_equal(vring_driver_add(&r->vd, bufs, 3, 0, false, i), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(id_at(r, i), head);
		assert_int_equal(r->vd.desc[head].next, (head + 1) % SIZE);
		use(r, head, 0, 3, 1);
		assert_token(r, i, 0);
	}
}

static const struct {
	const char *name;
	uint64_t features;
} formats[] = {
	{"split", 0},
	{"split in order", IN_ORDER},
	{"packed", PACKED},
	{"packed in order", PACKED | IN_ORDER},
};

static void
full_ring_takes_no_more_until_a_chain_comes_back(void **state)
{
	const struct vring_buf bufs[2] = {{IOVA, LEN}, {IOVA + LEN, LEN}};
	struct ring *r = *state;

	for (size_t f = 0; f < RTE_DIM(formats); f++) {
		begin(r, SIZE, formats[f].features);
		for (uint64_t i = 0; i < SIZE / 2; i++)
			assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 1, false, i), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 0, false, 9), -ENOSPC);
		assert_int_equal(vring_driver_add_burst(&r->vd, bufs, 2, true, 9), 0);
		use(r, id_at(r, 0), 5, 2, 1);
		assert_token(r, 0, 5);
		assert_no_token(r);
		assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 1, false, 9), 0);
		assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 0, false, 9), -ENOSPC);
		assert_false(r->vd.broken);
	}
}

/* ---- what comes back ---- */

static void
chains_come_back_in_any_order(void **state)
{
	static const uint16_t order[] = {3, 0, 5, 1, 4, 2};
	struct ring *r = *state;
	uint16_t ids[RTE_DIM(order)];

	for (uint64_t features = 0; features <= PACKED; features += PACKED) {
		begin(r, SIZE, features);
		for (uint64_t lap = 0; lap < 10; lap++) {
			const uint16_t at = r->vd.avail_idx;

			offer(r, RTE_DIM(order), 100 * lap);
			for (size_t i = 0; i < RTE_DIM(order); i++)
				ids[i] = id_at(r, at + i);
			for (size_t i = 0; i < RTE_DIM(order); i++)
				use(r, ids[order[i]], 10 + order[i], 1, 1);
			for (size_t i = 0; i < RTE_DIM(order); i++)
				assert_token(r, 100 * lap + order[i], 10 + order[i]);
			assert_no_token(r);
		}
		assert_int_equal(r->vd.n_free, SIZE);
	}
}

static void
in_order_one_used_entry_gives_all_chains_up_to_its_own_back(void **state)
{
	struct ring *r = *state;

	for (uint64_t features = 0; features <= PACKED; features += PACKED) {
		begin(r, SIZE, features | IN_ORDER);
		for (uint64_t lap = 0; lap < 20; lap++) {
			const uint16_t at = r->vd.avail_idx;

			offer(r, 5, 100 * lap);
			use(r, id_at(r, at + 2), 77, 3, 3);
			/* Of those before the last the device says that all of it was used. */
			assert_token(r, 100 * lap, LEN);
			assert_token(r, 100 * lap + 1, LEN);
			assert_token(r, 100 * lap + 2, 77);
			assert_no_token(r);
			assert_int_equal(r->vd.n_free, SIZE - 2);
			use(r, id_at(r, at + 4), 78, 2, 2);
			assert_token(r, 100 * lap + 3, LEN);
			assert_token(r, 100 * lap + 4, 78);
		}
		assert_false(r->vd.broken);
	}
}

static void
length_without_the_write_flag_counts_as_zero(void **state)
{
	struct ring *r = *state;

	begin(r, SIZE, PACKED);
	offer(r, 1, 3);
	r->vd.ring[0].len = 5000;
	r->vd.ring[0].flags = AVAIL | USED;
	assert_token(r, 3, 0);
}

/* A used entry that cannot be, written by use(). */
struct impossible {
	const char *name;
	uint64_t features;
	uint32_t id, len;
	uint16_t chains;
};

static const struct impossible impossible[] = {
	{"id past the ring", 0, SIZE, 0, 1},
	{"id past the ring", PACKED, SIZE, 0, 1},
	{"id far past the ring", 0, 0x10000, 0, 1},
	{"id far past the ring", PACKED, 0xffff, 0, 1},
	{"id that is free", 0, 7, 0, 1},
	{"id that is free", PACKED, 7, 0, 1},
	{"id that is free", IN_ORDER, 7, 0, 1},
	{"id that is free", PACKED | IN_ORDER, 7, 0, 1},
	{"more bytes than there are", 0, 0, LEN + 1, 1},
	{"more bytes than there are", PACKED, 0, LEN + 1, 1},
	{"more bytes than there are", IN_ORDER, 0, LEN + 1, 1},
	{"more bytes than there are", PACKED | IN_ORDER, 0, LEN + 1, 1},
	{"more chains than the ring holds", 0, 0, 0, SIZE + 1},
	{"batch that ends after the index", IN_ORDER, 2, 0, 1},
	{"index after the batch and what was offered", IN_ORDER, 2, 0, 4},
};

static void
impossible_answer_breaks_the_ring(void **state)
{
	struct vring_used_chain used[SIZE];
	struct ring *r = *state;

	for (size_t i = 0; i < RTE_DIM(impossible); i++) {
		const struct impossible *bad = &impossible[i];

		begin(r, SIZE, bad->features);
		offer(r, 3, 0);
		use(r, bad->id, bad->len, 1, bad->chains);
		vring_driver_get_burst(&r->vd, used, SIZE);
		if (!r->vd.broken)
			fail_msg("%s: not noticed", bad->name);
		assert_no_token(r);
	}
}

static void
chain_that_comes_back_twice_breaks_the_ring(void **state)
{
	struct ring *r = *state;

	for (size_t f = 0; f < RTE_DIM(formats); f++) {
		uint16_t id;

		begin(r, SIZE, formats[f].features);
		offer(r, 2, 0);
		id = id_at(r, 0);
		use(r, id, 1, 1, 1);
		use(r, id, 1, 1, 1);
		assert_token(r, 0, 1);
		assert_no_token(r);
		assert_true(r->vd.broken);
	}
}

/* ---- packets in several buffers ---- */

static const struct virtio_net_hdr_mrg_rxbuf *
header(void *arg, uint64_t token)
{
	const struct virtio_net_hdr_mrg_rxbuf *headers = arg;

	return &headers[token];
}

static void
packet_comes_with_all_its_buffers(void **state)
{
	struct virtio_net_hdr_mrg_rxbuf headers[SIZE] = {[0].num_buffers = 3, [3].num_buffers = 1};
	struct vring_used_chain used[SIZE];
	struct ring *r = *state;

	for (size_t f = 0; f < RTE_DIM(formats); f++) {
		begin(r, SIZE, formats[f].features);
		offer(r, 4, 0);
		for (uint16_t i = 0; i < 4; i++)
			use(r, id_at(r, i), LEN - i, 1, 1);
		assert_int_equal(vring_driver_get_packet(&r->vd, used, SIZE, header, headers), 3);
		for (uint16_t i = 0; i < 3; i++) {
			assert_int_equal(used[i].token, i);
			assert_int_equal(used[i].len, LEN - i);
		}
		assert_int_equal(vring_driver_get_packet(&r->vd, used, SIZE, header, headers), 1);
		assert_int_equal(used[0].token, 3);
		assert_int_equal(vring_driver_get_packet(&r->vd, used, SIZE, header, headers), 0);
		assert_false(r->vd.broken);
	}
}

static void
packet_of_an_impossible_number_of_buffers_breaks_the_ring(void **state)
{
	static const struct {
		const char *name;
		uint16_t num_buffers;
		uint32_t len;
	} rows[] = {
		{"none", 0, LEN},
		{"more than were given back", 3, LEN},
		{"more than the ring holds", 0xffff, LEN},
		{"cut off", 1, sizeof(struct virtio_net_hdr_mrg_rxbuf) - 1},
	};
	struct vring_used_chain used[SIZE];
	struct ring *r = *state;

	for (size_t i = 0; i < RTE_DIM(rows); i++)
		for (size_t f = 0; f < RTE_DIM(formats); f++) {
			struct virtio_net_hdr_mrg_rxbuf h = {.num_buffers = rows[i].num_buffers};

			begin(r, SIZE, formats[f].features);
			offer(r, 4, 0);
			use(r, id_at(r, 0), rows[i].len, 1, 1);
			assert_int_equal(
				vring_driver_get_packet(&r->vd, used, SIZE, header, &h), 0);
			if (!r->vd.broken)
				fail_msg("%s, %s", rows[i].name, formats[f].name);
		}
}

/* ---- notifications ---- */

/* The device asks for a kick in the packed ring's device area. */
static void
event_ask(struct ring *r, uint16_t off_wrap, uint16_t flags)
{
	struct pvirtq_event_suppress *e =
		(struct pvirtq_event_suppress *)(r->mem + (r->vd.device_iova - IOVA));

	*e = (struct pvirtq_event_suppress){off_wrap, flags};
}

static void
packed_kick_is_needed_as_the_device_says(void **state)
{
	static const struct {
		const char *name;
		uint64_t features;
		uint16_t off_wrap, flags;
		bool needed;
	} rows[] = {
		{"enabled", 0, 0, RING_EVENT_FLAGS_ENABLE, true},
		{"disabled", 0, 0, RING_EVENT_FLAGS_DISABLE, false},
		{"flags of no meaning", 0, 0, 0xffff, true},
		{"a descriptor, not negotiated", 0, 7, RING_EVENT_FLAGS_DESC, true},
		{"disabled, with the event index", EVENT, 6, RING_EVENT_FLAGS_DISABLE, false},
		{"before those published", EVENT, 5 | RING_EVENT_WRAP, RING_EVENT_FLAGS_DESC,
			false},
		{"first of those published", EVENT, 6 | RING_EVENT_WRAP, RING_EVENT_FLAGS_DESC,
			true},
		{"the one before the border", EVENT, 7 | RING_EVENT_WRAP, RING_EVENT_FLAGS_DESC,
			true},
		{"the one after the border", EVENT, 0, RING_EVENT_FLAGS_DESC, true},
		{"last of those published", EVENT, 1, RING_EVENT_FLAGS_DESC, true},
		{"the next one", EVENT, 2, RING_EVENT_FLAGS_DESC, false},
		{"a lap behind", EVENT, 1 | RING_EVENT_WRAP, RING_EVENT_FLAGS_DESC, false},
		{"a lap ahead", EVENT, 6, RING_EVENT_FLAGS_DESC, false},
		{"past the ring", EVENT, 0x7fff, RING_EVENT_FLAGS_DESC, false},
	};
	struct vring_used_chain used[SIZE];
	struct ring *r = *state;

	for (size_t i = 0; i < RTE_DIM(rows); i++) {
		begin(r, SIZE, PACKED | rows[i].features);
		offer(r, 6, 0);
		for (uint16_t j = 0; j < 6; j++)
			use(r, id_at(r, j), 0, 1, 1);
		assert_int_equal(vring_driver_get_burst(&r->vd, used, SIZE), 6);
		vring_driver_kick_needed(&r->vd);
		offer(r, 4, 6); /* descriptors 6, 7, and 0, 1 of the next lap */
		event_ask(r, rows[i].off_wrap, rows[i].flags);
		if (vring_driver_kick_needed(&r->vd) != rows[i].needed)
			fail_msg("%s", rows[i].name);
		assert_false(vring_driver_kick_needed(&r->vd));
	}
}

static void
packed_kick_after_a_whole_lap_is_needed(void **state)
{
	struct ring *r = *state;

	begin(r, SIZE, PACKED | EVENT);
	event_ask(r, 4 | RING_EVENT_WRAP, RING_EVENT_FLAGS_DESC);
	for (uint64_t i = 0; i < 5 * SIZE; i++) {
		offer(r, 1, i);
		use(r, id_at(r, (uint16_t)i), 0, 1, 1);
		assert_token(r, i, 0);
	}
	assert_true(vring_driver_kick_needed(&r->vd));
}

static void
kick_says_where_the_driver_writes_next(void **state)
{
	const struct vring_buf buf = {IOVA, LEN};
	struct ring *r = *state;

	begin(r, SIZE, 0);
	offer(r, 3, 0);
	assert_int_equal(vring_driver_kick_data(&r->vd, 5), 5 | 3 << 16);
	begin(r, SIZE, PACKED);
	offer(r, 3, 0);
	assert_int_equal(vring_driver_kick_data(&r->vd, 5), 5 | (UINT32_C(0x8003) << 16));
	assert_int_equal(vring_driver_add(&r->vd, &buf, 1, 0, false, 3), 0);
	assert_int_equal(vring_driver_kick_data(&r->vd, 5), 5 | (UINT32_C(0x8003) << 16));
	offer(r, 4, 4);
	assert_int_equal(vring_driver_kick_data(&r->vd, 5), 5);
}

static void
packed_interrupts_are_asked_for_in_the_driver_area(void **state)
{
	const struct pvirtq_event_suppress *e;
	struct ring *r = *state;

	begin(r, SIZE, PACKED);
	e = r->vd.driver_event;
	assert_int_equal(e->flags, RING_EVENT_FLAGS_ENABLE);
	vring_driver_interrupts_off(&r->vd);
	assert_int_equal(e->flags, RING_EVENT_FLAGS_DISABLE);
	assert_false(vring_driver_interrupts_on(&r->vd));
	assert_int_equal(e->flags, RING_EVENT_FLAGS_ENABLE);

	begin(r, SIZE, PACKED | EVENT);
	e = r->vd.driver_event;
	assert_int_equal(e->flags, RING_EVENT_FLAGS_DESC);
	assert_int_equal(e->off_wrap, RING_EVENT_WRAP);
	offer(r, 8, 0);
	for (uint16_t i = 0; i < 8; i++) {
		use(r, id_at(r, i), 0, 1, 1);
		assert_true(vring_driver_interrupts_on(&r->vd));
		assert_token(r, i, 0);
		assert_int_equal(e->off_wrap, i == 7 ? 0 : (i + 1) | RING_EVENT_WRAP);
	}
	assert_false(vring_driver_interrupts_on(&r->vd));
	vring_driver_interrupts_off(&r->vd);
	assert_int_equal(e->flags, RING_EVENT_FLAGS_DISABLE);
}

static int
test_vring_driver(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(only_a_packed_ring_takes_sizes_that_are_no_power_of_two),
		TEST(packed_burst_appears_with_its_first_descriptor),
		TEST(packed_flags_turn_round_with_each_lap),
		TEST(packed_indirect_table_has_no_links),
		TEST(in_order_chains_take_the_table_from_top_to_bottom),
		TEST(full_ring_takes_no_more_until_a_chain_comes_back),
		TEST(chains_come_back_in_any_order),
		TEST(in_order_one_used_entry_gives_all_chains_up_to_its_own_back),
		TEST(length_without_the_write_flag_counts_as_zero),
		TEST(impossible_answer_breaks_the_ring),
		TEST(chain_that_comes_back_twice_breaks_the_ring),
		TEST(packet_comes_with_all_its_buffers),
		TEST(packet_of_an_impossible_number_of_buffers_breaks_the_ring),
		TEST(packed_kick_is_needed_as_the_device_says),
		TEST(packed_kick_after_a_whole_lap_is_needed),
		TEST(kick_says_where_the_driver_writes_next),
		TEST(packed_interrupts_are_asked_for_in_the_driver_area),
	};

	return cmocka_run_group_tests_name("vring_driver", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vring_driver, test_vring_driver)
