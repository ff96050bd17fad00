/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Chains for the control queue: any layout, read, written, given back. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "test.h"
#include "vring_rig.h"

#define OUT RIG_BUFS
#define IN  (RIG_BUFS + 0x1000)

static void
chain_add(struct rig *r, const struct vring_buf *bufs, uint16_t n_out, uint16_t n_in, bool indirect,
	uint64_t token)
{
	assert_int_equal(vring_driver_add(&r->vd, bufs, n_out, n_in, indirect, token), 0);
	vring_driver_publish(&r->vd);
}

static void
empty_ring_has_no_chain(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vring_pop(&r->vr, &r->chain), 0);
	assert_int_equal(vring_avail_entries(&r->vr), 0);
}

/* A control command as Linux lays it out: class and command, data, acknowledgement. */
static void
command_is_read_and_acknowledged(void **state)
{
	static const bool indirect[] = {false, true};
	const struct vring_buf bufs[] = {{OUT, 2}, {OUT + 2, 6}, {IN, 1}};
	struct rig *r = *state;
	uint8_t got[8], ack = 0x5a;

	for (size_t i = 0; i < RTE_DIM(indirect); i++) {
		rig_write(r, OUT, "\x01\x01macadr", 8);
		chain_add(r, bufs, 2, 1, indirect[i], 33);
		assert_int_equal(vring_avail_entries(&r->vr), 1);
		assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
		assert_int_equal(vring_pop(&r->vr, &(struct vring_chain){0}), 0);
		assert_int_equal(r->chain.out_len, 8);
		assert_int_equal(r->chain.in_len, 1);
		assert_int_equal(vring_chain_read(&r->chain, 0, got, 8), 8);
		assert_memory_equal(got, "\x01\x01macadr", 8);
		assert_int_equal(vring_chain_write(&r->chain, 0, &ack, 1), 1);
		rig_assert_none_used(r);
		vring_push(&r->vr, &r->chain, 1);
		rig_assert_used(r, 33, 1);
		assert_int_equal(*rig_ptr(r, IN), 0x5a);
	}
}

static void
reads_and_writes_end_with_the_chain(void **state)
{
	static const struct {
		uint32_t offset, len, want;
	} table[] = {
		{0, 10, 10},
		{0, 11, 10},
		{0, 1000, 10},
		{3, 7, 7},
		{3, 8, 7},
		{9, 1, 1},
		{9, 2, 1},
		{10, 1, 0},
		{11, 5, 0},
		{UINT32_MAX, 5, 0},
		{4, 0, 0},
		{5, 1, 1},
		{4, 3, 3},
	};
	/* ten bytes each way, in pieces of 5, none, 1 and 4 */
	const struct vring_buf bufs[] = {{OUT, 5}, {OUT + 5, 0}, {OUT + 5, 1}, {OUT + 6, 4},
		{IN, 5}, {IN + 5, 0}, {IN + 5, 1}, {IN + 6, 4}};
	struct rig *r = *state;
	uint8_t got[1000];

	rig_write(r, OUT, "0123456789", 10);
	chain_add(r, bufs, 4, 4, false, 0);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	for (size_t i = 0; i < RTE_DIM(table); i++) {
		const uint32_t offset = table[i].offset, len = table[i].len, want = table[i].want;

		memset(got, 0, sizeof(got));
		assert_int_equal(vring_chain_read(&r->chain, offset, got, len), want);
		if (want != 0)
			assert_memory_equal(got, &"0123456789"[offset], want);
		memset(rig_ptr(r, IN), 'x', 12);
		memset(got, 'y', sizeof(got));
		assert_int_equal(vring_chain_write(&r->chain, offset, got, len), want);
		for (uint32_t j = 0; j < 12; j++)
			assert_int_equal(*rig_ptr(r, IN + j), j - offset < want ? 'y' : 'x');
	}
}

static void
pieces_across_a_border_are_joined(void **state)
{
	const struct vring_buf bufs[] = {{RIG_FAR - 3, 8}, {RIG_FAR - 100, 50}, {RIG_FAR - 40, 80}};
	struct rig *r = *state;
	uint8_t data[80], got[80];

	rig_write(r, RIG_FAR - 3, "abcdefgh", 8);
	chain_add(r, bufs, 1, 2, true, 0);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	assert_int_equal(r->chain.n_out, 2);
	assert_int_equal(r->chain.n_in, 3);
	assert_int_equal(vring_chain_read(&r->chain, 0, got, 80), 8);
	assert_memory_equal(got, "abcdefgh", 8);
	rig_pattern(data, sizeof(data), 1);
	assert_int_equal(vring_chain_write(&r->chain, 50, data, 80), 80);
	rig_read(r, RIG_FAR - 40, got, 80);
	assert_memory_equal(got, data, 80);
}

static void
chain_without_readable_or_writable_part_is_a_chain(void **state)
{
	const struct vring_buf buf = {OUT, 8};
	struct rig *r = *state;
	uint8_t byte = 0;

	chain_add(r, &buf, 1, 0, false, 1);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	assert_int_equal(vring_chain_write(&r->chain, 0, &byte, 1), 0);
	vring_push(&r->vr, &r->chain, 0);
	chain_add(r, &buf, 0, 1, false, 2);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	assert_int_equal(vring_chain_read(&r->chain, 0, &byte, 1), 0);
	vring_push(&r->vr, &r->chain, 8);
	rig_assert_used(r, 1, 0);
	rig_assert_used(r, 2, 8);
}

static void
several_chains_may_be_out_at_once(void **state)
{
	static struct vring_chain chains[3];
	struct rig *r = *state;

	for (uint32_t i = 0; i < 3; i++) {
		const struct vring_buf buf = {OUT + i, 1};

		*rig_ptr(r, OUT + i) = (uint8_t)i;
		chain_add(r, &buf, 1, 0, false, i);
	}
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(vring_pop(&r->vr, &chains[i]), 1);
	for (uint8_t i = 0; i < 3; i++) {
		uint8_t got = 99;

		assert_int_equal(vring_chain_read(&chains[i], 0, &got, 1), 1);
		assert_int_equal(got, i);
		vring_push(&r->vr, &chains[i], 0);
		rig_assert_used(r, i, 0);
	}
	assert_int_equal(r->rec.stats.received_desc, 3);
	assert_int_equal(r->rec.stats.completed_desc, 3);
}

static void
chain_put_back_is_taken_again(void **state)
{
	const struct vring_buf buf = {OUT, 8};
	struct rig *r = *state;

	chain_add(r, &buf, 1, 0, false, 6);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	vring_unpop(&r->vr);
	assert_int_equal(r->rec.stats.received_desc, 0);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	vring_push(&r->vr, &r->chain, 0);
	rig_assert_used(r, 6, 0);
}

static void
chains_wrap_with_the_index(void **state)
{
	const struct vring_buf bufs[] = {{OUT, 4}, {IN, 4}};
	struct rig *r = *state;

	for (uint32_t i = 0; i < 66000; i++) {
		uint32_t got = 0;

		*(uint32_t *)rig_ptr(r, OUT) = i;
		chain_add(r, bufs, 1, 1, false, i);
		assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
		vring_chain_read(&r->chain, 0, &got, 4);
		assert_int_equal(got, i);
		vring_push(&r->vr, &r->chain, i % 5);
		rig_assert_used(r, i, i % 5);
	}
}

static void
chain_of_the_whole_ring_is_taken(void **state)
{
	struct vring_buf bufs[RIG_SIZE];
	struct rig *r = *state;

	for (uint32_t i = 0; i < RIG_SIZE; i++)
		bufs[i] = (struct vring_buf){i < 200 ? OUT + i : IN + i, 1};
	chain_add(r, bufs, 200, RIG_SIZE - 200, false, 1);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	assert_int_equal(r->chain.n_out, 200);
	assert_int_equal(r->chain.n_in, RIG_SIZE - 200);
}

static void
pieces_beyond_the_limit_break_the_ring(void **state)
{
	static struct virtq_desc table[VRING_MAX_CHAIN];
	struct rig *r = *state;

	/* Few enough descriptors, but each lies across a border. */
	for (uint16_t i = 0; i < VRING_MAX_CHAIN; i++)
		table[i] = (struct virtq_desc){RIG_FAR - 1, 2,
			i + 1u < VRING_MAX_CHAIN ? VIRTQ_DESC_F_NEXT : 0, (uint16_t)(i + 1)};
	rig_write(r, RIG_BUFS, table, sizeof(table));
	rig_desc(r, 0, RIG_BUFS, sizeof(table), VIRTQ_DESC_F_INDIRECT, 0);
	rig_offer(r, 0);
	assert_int_equal(vring_pop(&r->vr, &r->chain), -1);
	assert_int_equal(r->rec.stats.exceed_max_chain, 1);
}

static void
driver_side_refuses_what_it_cannot_do(void **state)
{
	struct vring_buf bufs[RIG_SIZE + 1] = {{OUT, 1}};
	struct rig *r = *state;

	assert_int_equal(vring_driver_add(&r->vd, bufs, 0, 0, false, 0), -EINVAL);
	assert_int_equal(vring_driver_add(&r->vd, bufs, RIG_SIZE + 1, 0, false, 0), -EINVAL);
	assert_int_equal(
		vring_driver_add(&r->vd, bufs, VRING_DRIVER_INDIRECT_MAX + 1, 0, true, 0), -EINVAL);
	assert_int_equal(vring_driver_add(&r->vd, bufs, RIG_SIZE, 0, false, 0), 0);
	assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 0, false, 0), -ENOSPC);
	assert_int_equal(vring_driver_add(&r->vd, bufs, 1, 0, true, 0), -ENOSPC);
}

static void
driver_side_does_not_trust_the_device(void **state)
{
	static const struct {
		uint16_t idx;
		uint32_t id;
	} table[] = {
		{RIG_SIZE + 1, 0}, {1, RIG_SIZE}, {1, 3 /* was not given */}, {2, 0 /* twice */}};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		const struct vring_buf buf = {OUT, 1};
		struct vring_used_chain used[4];

		rig_start(r, RIG_SIZE, 0);
		chain_add(r, &buf, 1, 0, false, 0);
		r->vd.used->ring[0].id = table[i].id;
		r->vd.used->ring[1].id = table[i].id;
		r->vd.used->idx = table[i].idx;
		vring_driver_get_burst(&r->vd, used, 4);
		assert_true(r->vd.broken);
	}
}

static int
test_vring_chain(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(empty_ring_has_no_chain),
		RIG_TEST(command_is_read_and_acknowledged),
		RIG_TEST(reads_and_writes_end_with_the_chain),
		RIG_TEST(pieces_across_a_border_are_joined),
		RIG_TEST(chain_without_readable_or_writable_part_is_a_chain),
		RIG_TEST(several_chains_may_be_out_at_once),
		RIG_TEST(chain_put_back_is_taken_again),
		RIG_TEST(chains_wrap_with_the_index),
		RIG_TEST(chain_of_the_whole_ring_is_taken),
		RIG_TEST_SPLIT(pieces_beyond_the_limit_break_the_ring),
		RIG_TEST(driver_side_refuses_what_it_cannot_do),
		RIG_TEST_SPLIT(driver_side_does_not_trust_the_device),
	};

	return cmocka_run_group_tests_name("vring_chain", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_chain, test_vring_chain)
