/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Device side of vhost-user: the client's memory. A table is set whole or slot by slot; what is in
 * use by rings stays where it is; what cannot be true is refused before anything has changed.
 */

#include "vhost_user_device_bench.h"

#define MIB 0x100000ull

static enum fate
tell_single(struct bench *b, uint32_t request, uint32_t flags,
	const struct vhost_user_mem_region *r, int fd)
{
	const struct vhost_user_mem_single m = {.region = *r};

	return tell_with(b, request, flags, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
}

static unsigned int
slots_used(const struct bench *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++)
		n += b->state->slot[i].region.size > 0;
	return n;
}

static void
table_takes_effect_at_once(void **state)
{
	const struct vhost_user_mem_region r[] = {
		{0, MIB, RAM_USER, 0},
		{RAM_GUEST, MIB, RAM_USER + MIB, MIB},
	};
	struct bench *b = *state;

	assert_int_equal(tell_table(b, r, (int[]){b->ram, b->ram}, 2), SILENT);
	assert_trace(b, "mem_add 0 0+100000; mem_add 1 40000000+100000; mem_commit; ");
	assert_memory_equal(&b->state->slot[1].region, &r[1], sizeof(r[1]));
	assert_int_equal(b->n_taken, 2);
	assert_true(same_file(b->taken[1], b->ram));
}

static void
region_that_stays_is_left_alone(void **state)
{
	const struct vhost_user_mem_region r[] = {
		{0, MIB, RAM_USER, 0},
		{RAM_GUEST, MIB, RAM_USER + MIB, MIB},
		{2 * RAM_GUEST, MIB, RAM_USER + 8 * MIB, 0},
	};
	struct bench *b = *state;

	assert_int_equal(tell_table(b, r, (int[]){b->ram, b->ram}, 2), SILENT);
	trace_take(b);
	assert_int_equal(tell_table(b, &r[1], (int[]){b->ram, b->ram}, 2), SILENT);
	assert_trace(b, "mem_remove 0; mem_add 0 80000000+100000; mem_commit; ");
	assert_int_equal(slots_used(b), 2);
}

static void
same_addresses_of_another_file_are_another_region(void **state)
{
	const struct vhost_user_mem_region r = ram_region();
	struct bench *b = *state;
	int other = memfd("other");

	assert_int_equal(ftruncate(other, RAM_SIZE), 0);
	bench_memory(b);
	trace_take(b);
	assert_int_equal(tell_table(b, &r, &other, 1), SILENT);
	assert_trace(b, "mem_remove 0; mem_add 0 40000000+200000; mem_commit; ");
	close(other);
}

static void
table_without_regions_takes_all_away(void **state)
{
	struct bench *b = *state;

	bench_memory(b);
	trace_take(b);
	assert_int_equal(tell_table(b, NULL, NULL, 0), SILENT);
	assert_trace(b, "mem_remove 0; mem_commit; ");
	assert_int_equal(slots_used(b), 0);
}

static void
full_length_table_with_fewer_regions_is_taken(void **state)
{
	struct vhost_user_mem_table t = {.n = 1, .region = {ram_region()}};
	struct bench *b = *state;

	assert_int_equal(
		tell_with(b, VHOST_USER_SET_MEM_TABLE, 0, &t, sizeof(t), &b->ram, 1), SILENT);
	assert_int_equal(slots_used(b), 1);
}

static void
table_whose_counts_disagree_is_refused(void **state)
{
	static const struct {
		uint32_t n, regions, fds;
	} table[] = {
		{2, 2, 1},
		{1, 1, 2},
		{1, 1, 0},
		{0, 0, 1},
		{2, 1, 2},
		{9, 8, 8},
		{UINT32_MAX, 8, 8},
		{0x80000001, 1, 1},
	};
	struct vhost_user_mem_table t = {.n = 0};
	struct bench *b = *state;
	int fds[8];

	for (unsigned int i = 0; i < 8; i++) {
		fds[i] = b->ram;
		t.region[i] = (struct vhost_user_mem_region){i * MIB, MIB, i * MIB, 0};
	}
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		t.n = table[i].n;
		assert_int_equal(
			tell_with(b, VHOST_USER_SET_MEM_TABLE, 0, &t,
				8 + table[i].regions * sizeof(t.region[0]), fds, table[i].fds),
			ENDED);
	}
	assert_trace(b, "");
}

/* Regions that cannot be, by themselves. */
static const struct vhost_user_mem_region impossible[] = {
	{0, 0, 0, 0},
	{0, MIB, 0, RAM_SIZE - MIB + 1},
	{0, RAM_SIZE + 1, 0, 0},
	{0, MIB, 0, RAM_SIZE},
	{UINT64_MAX - MIB + 2, MIB, 0, 0},
	{0, MIB, UINT64_MAX - MIB + 2, 0},
	{0, MIB, 0, UINT64_MAX - MIB + 1},
	{0, MIB, 0, INT64_MAX},
	{0, UINT64_MAX, 0, 0},
	{0, UINT64_MAX, 1, 1},
	{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
};

static void
region_that_cannot_be_is_refused_whichever_way_it_comes(void **state)
{
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
		assert_int_equal(tell_table(b, &impossible[i], &b->ram, 1), ENDED);
		assert_int_equal(
			tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &impossible[i], b->ram), ENDED);
	}
	assert_trace(b, "");
	assert_int_equal(slots_used(b), 0);
}

static void
region_up_to_the_last_address_is_possible(void **state)
{
	const struct vhost_user_mem_region r = {
		UINT64_MAX - MIB, MIB, UINT64_MAX - MIB, RAM_SIZE - MIB};

	assert_int_equal(tell_table(*state, &r, &((struct bench *)*state)->ram, 1), SILENT);
}

static void
what_is_not_memory_is_refused_as_memory(void **state)
{
	const struct vhost_user_mem_region r = {0, 1, 0, 0};
	int event = eventfd(0, EFD_CLOEXEC), sv[2];
	struct bench *b = *state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(tell_table(b, &r, &event, 1), ENDED);
	assert_int_equal(tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &r, sv[0]), ENDED);
	assert_trace(b, "");
	close_all(3, (int[]){event, sv[0], sv[1]});
}

static void
regions_that_overlap_in_the_guest_are_refused(void **state)
{
	const struct vhost_user_mem_region r[] = {
		{RAM_GUEST, MIB, RAM_USER, 0},
		{RAM_GUEST + MIB - 1, MIB, RAM_USER + 8 * MIB, 0},
	};
	struct bench *b = *state;

	assert_int_equal(tell_table(b, r, (int[]){b->ram, b->ram}, 2), ENDED);
	assert_trace(b, "");
	assert_int_equal(tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &r[0], b->ram), SILENT);
	assert_int_equal(tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &r[1], b->ram), ENDED);
	assert_int_equal(slots_used(b), 1);
}

static void
regions_come_and_go_one_by_one(void **state)
{
	const struct vhost_user_mem_region a = {0, MIB, RAM_USER, 0};
	const struct vhost_user_mem_region c = {RAM_GUEST, MIB, RAM_USER + MIB, MIB};
	struct vhost_user_mem_region gone = a;
	struct bench *b = *state;

	assert_int_equal(tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &a, b->ram), SILENT);
	assert_int_equal(tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &c, b->ram), SILENT);
	assert_trace(b, "mem_add 0 0+100000; mem_commit; mem_add 1 40000000+100000; mem_commit; ");
	/* The offset is not part of what a region is known by. */
	gone.mmap_offset = 77;
	assert_int_equal(tell_single(b, VHOST_USER_REM_MEM_REG, 0, &gone, -1), SILENT);
	assert_trace(b, "mem_remove 0; mem_commit; ");
	assert_int_equal(slots_used(b), 1);
	assert_int_equal(tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &a, b->ram), SILENT);
	assert_trace(b, "mem_add 0 0+100000; mem_commit; ");
}

static void
region_that_is_there_is_not_added_again(void **state)
{
	const struct vhost_user_mem_region r = ram_region();
	struct bench *b = *state;

	assert_int_equal(tell_single(b, VHOST_USER_ADD_MEM_REG, 0, &r, b->ram), SILENT);
	trace_take(b);
	assert_int_equal(
		tell_single(b, VHOST_USER_ADD_MEM_REG, VHOST_USER_F_NEED_REPLY, &r, b->ram),
		REFUSED);
	assert_trace(b, "");
}

static void
region_that_is_not_there_is_not_removed(void **state)
{
	struct vhost_user_mem_region r = ram_region();
	struct bench *b = *state;

	bench_memory(b);
	trace_take(b);
	r.size--;
	assert_int_equal(
		tell_single(b, VHOST_USER_REM_MEM_REG, VHOST_USER_F_NEED_REPLY, &r, -1), REFUSED);
	r.size = 0;
	r.guest_addr = r.user_addr = 0;
	assert_int_equal(
		tell_single(b, VHOST_USER_REM_MEM_REG, VHOST_USER_F_NEED_REPLY, &r, -1), REFUSED);
	assert_trace(b, "");
}

static void
descriptor_that_comes_with_a_removal_is_nobodys(void **state)
{
	const struct vhost_user_mem_region r = ram_region();
	struct bench *b = *state;

	bench_memory(b);
	assert_int_equal(tell_single(b, VHOST_USER_REM_MEM_REG, 0, &r, b->ram), SILENT);
	assert_int_equal(b->n_taken, 1); /* that of the table */
}

static void
slots_are_as_many_as_were_announced(void **state)
{
	struct bench *b = *state;

	for (unsigned int i = 0; i <= VHOST_USER_SLOTS_MAX; i++) {
		const struct vhost_user_mem_region r = {i * MIB, MIB, i * MIB, 0};

		assert_int_equal(
			tell_single(b, VHOST_USER_ADD_MEM_REG, VHOST_USER_F_NEED_REPLY, &r, b->ram),
			i < VHOST_USER_SLOTS_MAX ? ANSWERED : REFUSED);
		trace_take(b);
		while (b->n_taken > 0)
			close(b->taken[--b->n_taken]);
	}
	assert_int_equal(slots_used(b), VHOST_USER_SLOTS_MAX);
}

static void
reply_waits_until_nobody_uses_what_was_removed(void **state)
{
	struct vhost_user_mem_table none = {.n = 0};
	struct bench *b = *state;

	bench_memory(b);
	b->fail = "mem_commit";
	b->ret = -EINPROGRESS;
	post(b, VHOST_USER_SET_MEM_TABLE, VHOST_USER_F_NEED_REPLY, &none, 8, NULL, 0);
	assert_false(vhost_user_device_handle(b->dev, b->fds));
	assert_true(vhost_user_device_pending(b->dev));
	assert_false(vhost_user_device_handle(b->dev, b->fds));
	assert_true(vhost_user_device_complete(b->dev, 0));
	assert_int_equal(fate(b), ANSWERED);
	assert_false(vhost_user_device_complete(b->dev, 0));
}

static void
edit_that_fails_is_told_after_the_others_took_effect(void **state)
{
	const struct vhost_user_mem_region r[] = {
		{0, MIB, RAM_USER, 0},
		{RAM_GUEST, MIB, RAM_USER + MIB, MIB},
	};
	struct bench *b = *state;

	b->fail = "mem_add 1";
	b->ret = -ENOMEM;
	assert_int_equal(tell_table(b, r, (int[]){b->ram, b->ram}, 2), ENDED);
	assert_trace(b, "mem_add 0 0+100000; mem_add 1 40000000+100000; mem_commit; ");
	assert_int_equal(slots_used(b), 1);
}

static void
memory_may_change_under_a_running_ring(void **state)
{
	const struct vhost_user_mem_region r[] = {
		ram_region(),
		{2 * RAM_GUEST, MIB, RAM_USER + 8 * MIB, 0},
	};
	struct bench *b = *state;
	struct vhost_user_ring ring;

	bench_running(b, 0);
	assert_int_equal(tell_table(b, r, (int[]){b->ram, b->ram}, 2), SILENT);
	assert_trace(b, "mem_add 1 80000000+100000; mem_commit; ");
	assert_true(vhost_user_device_ring(b->dev, 0, &ring));
}

static void
repeated_table_leaks_no_descriptor(void **state)
{
	struct bench *b = *state;
	int before;

	bench_memory(b);
	before = open_fds();
	for (int i = 0; i < 100; i++)
		bench_memory(b);
	assert_int_equal(open_fds(), before);
	assert_int_equal(b->n_taken, 1);
}

static int
test_vhost_user_mem(void)
{
	const struct CMUnitTest tests[] = {
		T(table_takes_effect_at_once),
		T(region_that_stays_is_left_alone),
		T(same_addresses_of_another_file_are_another_region),
		T(table_without_regions_takes_all_away),
		T(full_length_table_with_fewer_regions_is_taken),
		T(table_whose_counts_disagree_is_refused),
		T(region_that_cannot_be_is_refused_whichever_way_it_comes),
		T(region_up_to_the_last_address_is_possible),
		T(what_is_not_memory_is_refused_as_memory),
		T(regions_that_overlap_in_the_guest_are_refused),
		T(regions_come_and_go_one_by_one),
		T(region_that_is_there_is_not_added_again),
		T(region_that_is_not_there_is_not_removed),
		T(descriptor_that_comes_with_a_removal_is_nobodys),
		T(slots_are_as_many_as_were_announced),
		T(reply_waits_until_nobody_uses_what_was_removed),
		T(edit_that_fails_is_told_after_the_others_took_effect),
		T(memory_may_change_under_a_running_ring),
		T(repeated_table_leaks_no_descriptor),
	};

	return cmocka_run_group_tests_name("vhost_user_mem", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_mem, test_vhost_user_mem)
