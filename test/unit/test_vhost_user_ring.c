/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Device side of vhost-user: rings from what the client says of them to their end, and the log of a
 * live migration.
 */

#include "vhost_user_device_bench.h"

static void
ring_starts_with_its_kick_once_all_is_there(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT), SILENT);
	bench_memory(b);
	bench_ring(b, 3);
	trace_take(b);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 3, b->event), SILENT);
	assert_trace(b, "kick 3 fd; ring_set_base 3 0; ring_start 3; ");
	assert_int_equal(b->ring.size, RING_SIZE);
	assert_int_equal(b->ring.desc, RAM_GUEST + 0x30000);
	assert_int_equal(b->ring.driver, RAM_GUEST + 0x32000);
	assert_int_equal(b->ring.device, RAM_GUEST + 0x34000);
	assert_false(b->ring.enabled);
}

static void
ring_starts_with_whatever_comes_last(void **state)
{
	const struct vhost_user_vring_addr a = ring_addr(0);
	struct bench *b = *state;

	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT), SILENT);
	bench_memory(b);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), SILENT);
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, 8), SILENT);
	trace_take(b);
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
	assert_trace(b, "ring_set_base 0 0; ring_start 0; ");
}

static void
ring_begins_where_the_client_says(void **state)
{
	static const struct {
		uint64_t features;
		bool told;
		uint32_t base, begins;
		enum fate fate;
	} table[] = {
		{SPLIT, false, 0, 0, SILENT},
		{SPLIT, true, 0xfffe, 0xfffe, SILENT},
		{SPLIT, true, 0x10000, 0, ENDED},
		{PACKED, false, 0, 0x80008000, SILENT},
		{PACKED, true, 0x00058005, 0x00058005, SILENT},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct vhost_user_vring_addr a = ring_addr(0);
		struct bench *b = *state;
		char want[64];

		vhost_user_device_reset_connection(b->dev);
		tell_number(b, VHOST_USER_SET_FEATURES, table[i].features);
		bench_memory(b);
		tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, RING_SIZE);
		if (table[i].told)
			tell_vring(b, VHOST_USER_SET_VRING_BASE, 0, table[i].base);
		tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a));
		trace_take(b);
		assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), table[i].fate);
		snprintf(want, sizeof(want), "kick 0 none; ring_set_base 0 %x; ring_start 0; ",
			table[i].begins);
		assert_trace(b, table[i].fate == SILENT ? want : "kick 0 none; ");
	}
}

static void
ring_that_is_not_in_memory_does_not_start(void **state)
{
	const struct vhost_user_vring_addr good = ring_addr(0);
	const uint64_t end = RAM_USER + RAM_SIZE;
	const struct {
		uint64_t desc, avail, used;
	} table[] = {
		{0, good.avail, good.used},
		{RAM_USER - 16, good.avail, good.used},
		{end - RING_SIZE * 16 + 16, good.avail, good.used},
		{end, good.avail, good.used},
		{good.desc, end - RING_SIZE * 2 - 4, good.used},
		{good.desc, good.avail, end - RING_SIZE * 8 - 4},
		{UINT64_MAX - 15, good.avail, good.used},
		{good.desc, UINT64_MAX - 1, good.used},
		{RAM_GUEST, RAM_GUEST + 0x2000, RAM_GUEST + 0x4000},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct bench *b = *state;
		const struct vhost_user_vring_addr a = {
			.desc = table[i].desc, .avail = table[i].avail, .used = table[i].used};

		vhost_user_device_reset_connection(b->dev);
		tell_number(b, VHOST_USER_SET_FEATURES, SPLIT);
		bench_memory(b);
		tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, RING_SIZE);
		assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
		trace_take(b);
		assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), ENDED);
		assert_trace(b, "kick 0 none; ");
	}
}

static void
ring_up_to_the_last_byte_of_memory_starts(void **state)
{
	const uint64_t end = RAM_USER + RAM_SIZE;
	const struct vhost_user_vring_addr a = {.desc = end - 0x4000 - 16 * RING_SIZE,
		.avail = end - 0x2000 - 6 - 2 * RING_SIZE,
		.used = (end - 6 - 8 * RING_SIZE) & ~3ull};
	struct bench *b = *state;

	tell_number(b, VHOST_USER_SET_FEATURES, SPLIT);
	bench_memory(b);
	tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, RING_SIZE);
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), SILENT);
	assert_int_equal(b->ring.desc, RAM_GUEST + RAM_SIZE - 0x4000 - 16 * RING_SIZE);
}

/* Two regions side by side in the client are not so in the guest. */
static void
ring_across_two_regions_does_not_start(void **state)
{
	const struct vhost_user_mem_region r[] = {
		{0, 0x1000, RAM_USER, 0},
		{RAM_GUEST, 0x100000, RAM_USER + 0x1000, 0x1000},
	};
	const struct vhost_user_vring_addr a = ring_addr(0);
	struct vhost_user_vring_addr across = a;
	struct bench *b = *state;

	tell_number(b, VHOST_USER_SET_FEATURES, SPLIT);
	assert_int_equal(tell_table(b, r, (int[]){b->ram, b->ram}, 2), SILENT);
	tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, RING_SIZE);
	across.desc = RAM_USER + 0x10;
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &across, sizeof(across)), SILENT);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), ENDED);
	/* It does lie within one. */
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, 128), SILENT);
}

static void
addresses_are_aligned(void **state)
{
	static const struct {
		unsigned int desc, avail, used, flags;
	} table[] = {{8, 0, 0, 0}, {1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 2, 0}, {0, 0, 1, 0},
		{0, 0, 0, 2}, {0, 0, 0, 0x80000001}};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct vhost_user_vring_addr a = ring_addr(0);

		a.desc += table[i].desc;
		a.avail += table[i].avail;
		a.used += table[i].used;
		a.flags = table[i].flags;
		assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), ENDED);
	}
	assert_int_equal(b->state->ring[0].flags, 0);
}

static void
driver_area_of_a_packed_ring_is_aligned_to_four(void **state)
{
	struct vhost_user_vring_addr a = ring_addr(0);
	struct bench *b = *state;

	tell_number(b, VHOST_USER_SET_FEATURES, PACKED);
	bench_memory(b);
	tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, 100);
	a.avail += 2;
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), ENDED);
	a.avail += 2;
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
	assert_int_equal(b->ring.size, 100);
}

static void
split_ring_has_a_power_of_two_of_entries(void **state)
{
	static const struct {
		uint64_t features;
		uint32_t size;
		enum fate num, kick;
	} table[] = {
		{SPLIT, 0, ENDED, SILENT},
		{SPLIT, RING_SIZE + 1, ENDED, SILENT},
		{SPLIT, UINT32_MAX, ENDED, SILENT},
		{SPLIT, 0x10000, ENDED, SILENT},
		{SPLIT, 100, SILENT, ENDED},
		{SPLIT, 1, SILENT, SILENT},
		{PACKED, 100, SILENT, SILENT},
		{PACKED, 1, SILENT, SILENT},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct vhost_user_vring_addr a = ring_addr(0);
		struct bench *b = *state;

		vhost_user_device_reset_connection(b->dev);
		tell_number(b, VHOST_USER_SET_FEATURES, table[i].features);
		bench_memory(b);
		assert_int_equal(
			tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, table[i].size), table[i].num);
		tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a));
		assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), table[i].kick);
	}
}

static void
rings_that_the_device_does_not_have_are_refused(void **state)
{
	static const uint32_t numbers[] = {2 * PAIRS, 255, 256, UINT32_MAX};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const struct vhost_user_vring_addr a = ring_addr(numbers[i]);
		const uint32_t n = numbers[i];

		assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_NUM, n, 1), ENDED);
		assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_BASE, n, 0), ENDED);
		assert_int_equal(tell_vring(b, VHOST_USER_GET_VRING_BASE, n, 0), ENDED);
		assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_ENABLE, n, 1), ENDED);
		assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), ENDED);
	}
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_CALL, 2 * PAIRS, b->event), ENDED);
	assert_trace(b, "");
}

static void
descriptors_of_a_ring_come_when_they_are_announced(void **state)
{
	const uint64_t with = 2, without = 2 | VHOST_USER_VRING_NOFD, odd = 2 | 0x200;
	struct bench *b = *state;

	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_CALL, 2, b->event), SILENT);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_ERR, 2, b->event), SILENT);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_CALL, 2, -1), SILENT);
	assert_trace(b, "call 2 fd; err 2 fd; call 2 none; ");
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_CALL, &with, 8), ENDED);
	assert_int_equal(
		tell_with(b, VHOST_USER_SET_VRING_CALL, 0, &without, 8, &b->event, 1), ENDED);
	assert_int_equal(tell_with(b, VHOST_USER_SET_VRING_CALL, 0, &odd, 8, &b->event, 1), ENDED);
	assert_int_equal(tell_with(b, VHOST_USER_SET_VRING_CALL, 0, &with, 8,
				 (int[]){b->event, b->event}, 2),
		ENDED);
	assert_trace(b, "");
}

/* What is written to signal it would land in the client's file, or fail without end. */
static void
ring_takes_no_other_descriptors_than_eventfds(void **state)
{
	static const uint32_t table[] = {
		VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL, VHOST_USER_SET_VRING_ERR};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(tell_vring_fd(b, table[i], 0, b->ram), ENDED);
	assert_trace(b, "");
}

static void
kick_of_a_started_ring_is_replaced_without_a_new_start(void **state)
{
	struct bench *b = *state;

	bench_running(b, 1);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 1, b->event), SILENT);
	assert_trace(b, "kick 1 fd; ");
}

static void
started_ring_is_not_changed(void **state)
{
	struct vhost_user_vring_addr a = ring_addr(0);
	struct bench *b = *state;

	bench_running(b, 0);
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, 8), ENDED);
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_BASE, 0, 8), ENDED);
	a.desc += 16;
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), ENDED);
	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, PACKED), ENDED);
	assert_trace(b, "");
	assert_int_equal(b->state->ring[0].size, RING_SIZE);
	/* QEMU says the same again for each pair. */
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_NUM, 0, RING_SIZE), SILENT);
	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT), SILENT);
	assert_trace(b, "");
}

static void
ring_that_stops_says_where_it_stands(void **state)
{
	const struct vhost_user_vring_state s = {.index = 1, .num = 77};
	struct vhost_user_vring_state reply;
	struct bench *b = *state;

	bench_running(b, 1);
	b->base = 0x1234;
	b->fail = "ring_stop";
	b->ret = -EINPROGRESS;
	post(b, VHOST_USER_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);
	assert_false(vhost_user_device_handle(b->dev, b->fds));
	assert_trace(b, "ring_stop 1; ");
	assert_true(vhost_user_device_complete(b->dev, 0));
	assert_trace(b, "kick 1 none; ");
	assert_int_equal(fate(b), ANSWERED);
	memcpy(&reply, b->mb->reply, sizeof(reply));
	assert_int_equal(reply.index, 1);
	assert_int_equal(reply.num, 0x1234);
}

static void
ring_that_never_ran_stands_where_it_was_set(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_BASE, 5, 99), SILENT);
	assert_int_equal(tell_vring(b, VHOST_USER_GET_VRING_BASE, 5, 0), ANSWERED);
	assert_int_equal(((uint32_t *)b->mb->reply)[1], 99);
	assert_trace(b, "");
}

static void
stopped_ring_goes_on_where_it_stopped(void **state)
{
	struct bench *b = *state;

	bench_running(b, 0);
	b->base = 7;
	assert_int_equal(tell_vring(b, VHOST_USER_GET_VRING_BASE, 0, 0), ANSWERED);
	trace_take(b);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), SILENT);
	assert_trace(b, "kick 0 none; ring_start 0; ");
	/* ... unless the client says where. */
	assert_int_equal(tell_vring(b, VHOST_USER_GET_VRING_BASE, 0, 0), ANSWERED);
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_BASE, 0, 3), SILENT);
	trace_take(b);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), SILENT);
	assert_trace(b, "kick 0 none; ring_set_base 0 3; ring_start 0; ");
}

/* A position of one format says nothing in the other. */
static void
ring_of_another_format_begins_anew(void **state)
{
	struct bench *b = *state;

	bench_running(b, 0);
	b->base = 7;
	assert_int_equal(tell_vring(b, VHOST_USER_GET_VRING_BASE, 0, 0), ANSWERED);
	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, PACKED), SILENT);
	trace_take(b);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), SILENT);
	assert_trace(b, "kick 0 none; ring_set_base 0 80008000; ring_start 0; ");
}

static void
ring_that_will_not_stop_or_start_is_a_failed_message(void **state)
{
	struct bench *b = *state;

	tell_number(b, VHOST_USER_SET_FEATURES, SPLIT);
	bench_memory(b);
	bench_ring(b, 0);
	b->fail = "ring_start";
	b->ret = -ENODEV;
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), ENDED);
	assert_int_equal(b->state->ring[0].flags & VHOST_USER_RING_STARTED, 0);
}

static void
rings_are_enabled_by_message(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_ENABLE, 0, 1), SILENT);
	assert_trace(b, "");
	bench_running(b, 0);
	assert_true(b->ring.enabled);
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_ENABLE, 0, 0), SILENT);
	assert_trace(b, "ring_enable 0 0; ");
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_ENABLE, 0, 1), SILENT);
	assert_trace(b, "ring_enable 0 1; ");
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_ENABLE, 0, 2), ENDED);
}

static void
rings_are_enabled_from_the_start_without_protocol_features(void **state)
{
	struct bench *b = *state;

	tell_number(b, VHOST_USER_SET_FEATURES, 1ull << VIRTIO_F_VERSION_1);
	bench_memory(b);
	bench_ring(b, 0);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, 0, -1), SILENT);
	assert_true(b->ring.enabled);
}

/* ---- log */

static enum fate
tell_log(struct bench *b, uint64_t size, uint64_t offset)
{
	const struct vhost_user_log log = {size, offset};

	return tell_with(b, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &b->ram, 1);
}

static void
log_is_answered_without_a_body(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_log(b, 0x1000, 0x2000), ANSWERED);
	assert_int_equal(b->mb->reply_len, 0);
	assert_trace(b, "log_base 2000+1000; ");
}

static void
log_that_its_file_does_not_hold_is_refused(void **state)
{
	static const struct {
		uint64_t size, offset;
	} table[] = {
		{0, 0},
		{1, RAM_SIZE},
		{RAM_SIZE, 1},
		{RAM_SIZE + 1, 0},
		{UINT64_MAX, 0},
		{UINT64_MAX, 2},
		{2, UINT64_MAX},
		{INT64_MAX, INT64_MAX},
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(tell_log(b, table[i].size, table[i].offset), ENDED);
	assert_trace(b, "");
	assert_int_equal(tell_log(b, RAM_SIZE, 0), ANSWERED);
}

static void
logging_begins_and_ends_under_running_rings(void **state)
{
	struct bench *b = *state;

	bench_running(b, 0);
	assert_int_equal(tell_log(b, 0x1000, 0), ANSWERED);
	assert_false(vhost_user_device_logging(b->dev));
	trace_take(b);
	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT | LOG_ALL), SILENT);
	assert_trace(b, "logging 1; ");
	assert_true(vhost_user_device_logging(b->dev));
	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT | LOG_ALL), SILENT);
	assert_trace(b, "");
	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT), SILENT);
	assert_trace(b, "logging 0; ");
	assert_false(vhost_user_device_logging(b->dev));
}

/* QEMU does so when a guest is started in the middle of its migration. */
static void
log_may_come_after_the_feature(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT | LOG_ALL), SILENT);
	assert_false(vhost_user_device_logging(b->dev));
	trace_take(b);
	assert_int_equal(tell_log(b, 0x1000, 0), ANSWERED);
	assert_trace(b, "log_base 0+1000; logging 1; ");
	/* A larger one replaces it. */
	assert_int_equal(tell_log(b, 0x2000, 0), ANSWERED);
	assert_trace(b, "log_base 0+2000; logging 1; ");
}

static void
message_waits_until_all_is_logged(void **state)
{
	const uint64_t features = SPLIT | LOG_ALL;
	struct bench *b = *state;

	bench_running(b, 0);
	assert_int_equal(tell_log(b, 0x1000, 0), ANSWERED);
	b->fail = "logging";
	b->ret = -EINPROGRESS;
	post(b, VHOST_USER_SET_FEATURES, VHOST_USER_F_NEED_REPLY, &features, 8, NULL, 0);
	assert_false(vhost_user_device_handle(b->dev, b->fds));
	assert_false(vhost_user_device_logging(b->dev));
	assert_true(vhost_user_device_complete(b->dev, 0));
	assert_int_equal(fate(b), ANSWERED);
	assert_true(vhost_user_device_logging(b->dev));
}

static void
used_ring_of_a_started_ring_is_logged_by_its_address(void **state)
{
	struct vhost_user_vring_addr a = ring_addr(0);
	struct vhost_user_ring ring;
	struct bench *b = *state;

	bench_running(b, 0);
	a.flags = 1u << VHOST_VRING_F_LOG;
	a.log = 0x5000;
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
	assert_trace(b, "ring_log 0 1 5000; ");
	assert_true(vhost_user_device_ring(b->dev, 0, &ring));
	assert_true(ring.log_used);
	assert_int_equal(ring.log, 0x5000);
	a.flags = 0;
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
	assert_trace(b, "ring_log 0 0 5000; ");
}

static void
eventfd_of_the_log_is_handed_on(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_with(b, VHOST_USER_SET_LOG_FD, 0, NULL, 0, &b->event, 1), SILENT);
	assert_trace(b, "log_fd; ");
	assert_int_equal(tell_with(b, VHOST_USER_SET_LOG_FD, 0, NULL, 0, &b->ram, 1), ENDED);
}

static int
test_vhost_user_ring(void)
{
	const struct CMUnitTest tests[] = {
		T(ring_starts_with_its_kick_once_all_is_there),
		T(ring_starts_with_whatever_comes_last),
		T(ring_begins_where_the_client_says),
		T(ring_that_is_not_in_memory_does_not_start),
		T(ring_up_to_the_last_byte_of_memory_starts),
		T(ring_across_two_regions_does_not_start),
		T(addresses_are_aligned),
		T(driver_area_of_a_packed_ring_is_aligned_to_four),
		T(split_ring_has_a_power_of_two_of_entries),
		T(rings_that_the_device_does_not_have_are_refused),
		T(descriptors_of_a_ring_come_when_they_are_announced),
		T(ring_takes_no_other_descriptors_than_eventfds),
		T(kick_of_a_started_ring_is_replaced_without_a_new_start),
		T(started_ring_is_not_changed),
		T(ring_that_stops_says_where_it_stands),
		T(ring_that_never_ran_stands_where_it_was_set),
		T(stopped_ring_goes_on_where_it_stopped),
		T(ring_of_another_format_begins_anew),
		T(ring_that_will_not_stop_or_start_is_a_failed_message),
		T(rings_are_enabled_by_message),
		T(rings_are_enabled_from_the_start_without_protocol_features),
		T(log_is_answered_without_a_body),
		T(log_that_its_file_does_not_hold_is_refused),
		T(logging_begins_and_ends_under_running_rings),
		T(log_may_come_after_the_feature),
		T(message_waits_until_all_is_logged),
		T(used_ring_of_a_started_ring_is_logged_by_its_address),
		T(eventfd_of_the_log_is_handed_on),
	};

	return cmocka_run_group_tests_name("vhost_user_ring", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_ring, test_vhost_user_ring)
