/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The register: what is written is found again, what is damaged is not believed. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ha/kept_register.h"
#include "test.h"

#define ENTRY_BYTES  512u /* of the layout: see kept_register.c */
#define HEADER_BYTES 64u

struct bench {
	struct kept_register *reg;
	uint8_t *bytes; /* the same memory */
};

static const struct ha_open opened = {
	.transport = "vfio_user", .vuid = "VNETS1D0F2", .path = "/run/x", .max_queues = 5};

static struct register_state
state_with(uint32_t sf)
{
	struct register_state state = {.connected = 1, .notify = {.region = 2, .size = 64}};

	state.stored[HA_FD_SF] = sf;
	return state;
}

static size_t
bytes_of(void)
{
	return HEADER_BYTES + REGISTER_SLOTS * ENTRY_BYTES;
}

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));
	const struct register_state first = state_with(1);

	assert_int_equal(register_create(&b->reg), 0);
	b->bytes =
		mmap(NULL, bytes_of(), PROT_READ | PROT_WRITE, MAP_SHARED, register_fd(b->reg), 0);
	assert_ptr_not_equal(b->bytes, MAP_FAILED);
	register_put(b->reg, 3, 42, &opened, &first);
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	munmap(b->bytes, bytes_of());
	register_close(b->reg);
	free(b);
	return 0;
}

/* As the next keeper finds it. @return what register_get() says */
static int
found(struct bench *b, unsigned int slot, uint32_t *sf)
{
	struct kept_register *reg;
	struct register_state state = {0};
	struct ha_open open = {0};
	uint32_t handle = 0;
	int ret;

	assert_int_equal(register_open(register_fd(b->reg), &reg), 0);
	ret = register_get(reg, slot, &handle, &open, &state);
	register_close(reg);
	if (ret == 1) {
		assert_int_equal(handle, 42);
		assert_memory_equal(&open, &opened, sizeof(open));
		assert_int_equal(state.connected, 1);
		assert_int_equal(state.notify.size, 64);
	}
	*sf = state.stored[HA_FD_SF];
	return ret;
}

static void
aliases_are_found_again_with_their_entry_only_and_undamaged(void **state)
{
	const struct register_aliases given = {.seq = 7, .alias = {[0] = 1, [15] = 0x6003}};
	const struct register_state first = state_with(1);
	static const struct register_aliases none;
	const size_t at = HEADER_BYTES + 3 * ENTRY_BYTES + 472;
	struct bench *b = *state;
	struct register_aliases got;

	/* As in a register of a keeper that did not know of them. */
	register_aliases(b->reg, 3, &got);
	assert_memory_equal(&got, &none, sizeof(got));
	register_alias(b->reg, 3, &given);
	register_aliases(b->reg, 3, &got);
	assert_memory_equal(&got, &given, sizeof(got));
	b->bytes[at + 4] ^= 0xff;
	register_aliases(b->reg, 3, &got);
	assert_memory_equal(&got, &none, sizeof(got));
	register_alias(b->reg, 3, &given);
	register_put(b->reg, 3, 42, &opened, &first);
	register_aliases(b->reg, 3, &got);
	assert_memory_equal(&got, &none, sizeof(got));
}

static void
entry_is_found_by_who_opens_the_register_again(void **state)
{
	struct bench *b = *state;
	uint32_t sf;

	assert_int_equal(found(b, 3, &sf), 1);
	assert_int_equal(sf, 1);
	assert_int_equal(found(b, 2, &sf), 0);
	register_clear(b->reg, 3);
	assert_int_equal(found(b, 3, &sf), 0);
}

static void
latest_state_counts(void **state)
{
	struct bench *b = *state;
	uint32_t sf;

	for (uint32_t i = 2; i < 7; i++) {
		const struct register_state next = state_with(i);

		register_update(b->reg, 3, &next);
		assert_int_equal(found(b, 3, &sf), 1);
		assert_int_equal(sf, i);
	}
}

static void
update_that_was_cut_short_leaves_the_state_before_it(void **state)
{
	struct bench *b = *state;
	const struct register_state second = state_with(2);
	uint8_t before[ENTRY_BYTES], *entry = b->bytes + HEADER_BYTES + 3 * ENTRY_BYTES;
	uint32_t sf;

	memcpy(before, entry, ENTRY_BYTES);
	register_update(b->reg, 3, &second);
	/* Every prefix of the update's stores. */
	for (unsigned int n = 0; n < ENTRY_BYTES; n++) {
		uint8_t after[ENTRY_BYTES];

		memcpy(after, entry, ENTRY_BYTES);
		memcpy(entry + n, before + n, ENTRY_BYTES - n);
		assert_int_equal(found(b, 3, &sf), 1);
		assert_in_range(sf, 1, 2);
		memcpy(entry, after, ENTRY_BYTES);
	}
}

static void
damage_to_any_byte_that_counts_is_noticed_or_costs_one_update(void **state)
{
	struct bench *b = *state;
	uint8_t *entry = b->bytes + HEADER_BYTES + 3 * ENTRY_BYTES;
	const struct register_state second = state_with(2);
	unsigned int noticed = 0;

	register_update(b->reg, 3, &second);
	for (unsigned int n = 0; n < ENTRY_BYTES; n++) {
		uint32_t sf;
		int ret;

		entry[n] ^= 0x10;
		ret = found(b, 3, &sf); /* checks that nothing wrong is handed out */
		entry[n] ^= 0x10;
		if (ret == -EBADMSG)
			noticed++;
		else
			assert_true(ret == 1 && (sf == 1 || sf == 2));
	}
	/* All of the identity, at least. */
	assert_in_range(noticed, sizeof(opened), ENTRY_BYTES);
}

static void
strings_without_an_end_are_not_handed_out(void **state)
{
	struct bench *b = *state;
	const struct register_state any = state_with(0);
	struct ha_open open = opened;
	uint32_t sf;

	memset(open.path, 'x', sizeof(open.path));
	register_put(b->reg, 4, 42, &open, &any);
	assert_int_equal(found(b, 4, &sf), -EBADMSG);
}

static void
damaged_header_makes_it_no_register(void **state)
{
	struct bench *b = *state;
	struct kept_register *reg;

	for (unsigned int n = 0; n < 32; n++) {
		b->bytes[n] ^= 1;
		assert_int_equal(register_open(register_fd(b->reg), &reg), -EBADMSG);
		b->bytes[n] ^= 1;
	}
	assert_int_equal(register_open(register_fd(b->reg), &reg), 0);
	register_close(reg);
}

static void
file_of_another_size_or_without_seals_is_no_register(void **state)
{
	struct bench *b = *state;
	struct kept_register *reg;
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(register_open(fd, &reg), -EBADMSG);
	assert_int_equal(ftruncate(fd, (off_t)bytes_of()), 0);
	assert_int_equal(write(fd, b->bytes, bytes_of()), bytes_of());
	assert_int_equal(register_open(fd, &reg), -EBADMSG);
	close(fd);
	assert_int_equal(register_open(-1, &reg), -EBADF);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
test_kept_register(void)
{
	const struct CMUnitTest tests[] = {
		T(aliases_are_found_again_with_their_entry_only_and_undamaged),
		T(entry_is_found_by_who_opens_the_register_again),
		T(latest_state_counts),
		T(update_that_was_cut_short_leaves_the_state_before_it),
		T(damage_to_any_byte_that_counts_is_noticed_or_costs_one_update),
		T(strings_without_an_end_are_not_handed_out),
		T(damaged_header_makes_it_no_register),
		T(file_of_another_size_or_without_seals_is_no_register),
	};

	return cmocka_run_group_tests_name("kept_register", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(kept_register, test_kept_register)
