/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The client's memory ranges in the state block: what a successor finds, whenever it comes. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "virtnet/device_dma.h"

#define PAGE	  4096u
#define FILE_SIZE (16u * PAGE)
#define RW	  (HOSTMEM_READ | HOSTMEM_WRITE)
#define RANGES	  10000u

/* The section, and what the keeper would hold. */
struct world {
	struct device_dma_state *state;
	struct device_dma *dma;
	struct hostmem_files *files;
	int fd[2];
	int kept[HOSTMEM_MAX_FILES];
	unsigned int stores;
};

static void
store(void *ctx, unsigned int slot, int fd)
{
	struct world *w = ctx;

	assert_int_equal(w->kept[slot], -1);
	w->kept[slot] = dup(fd);
	w->stores++;
}

static void
drop(void *ctx, unsigned int slot)
{
	struct world *w = ctx;

	assert_true(w->kept[slot] >= 0);
	close(w->kept[slot]);
	w->kept[slot] = -1;
}

static const struct device_dma_ops ops = {.store = store, .drop = drop};

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	memset(w->kept, -1, sizeof(w->kept));
	w->state = mmap(
		NULL, sizeof(*w->state), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->state, MAP_FAILED);
	w->files = hostmem_files_create(false);
	assert_non_null(w->files);
	for (int i = 0; i < 2; i++) {
		w->fd[i] = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(ftruncate(w->fd[i], FILE_SIZE), 0);
	}
	assert_int_equal(device_dma_create(w->state, &ops, w, &w->dma), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	device_dma_destroy(w->dma);
	for (unsigned int i = 0; i < HOSTMEM_MAX_FILES; i++)
		if (w->kept[i] >= 0)
			close(w->kept[i]);
	close(w->fd[0]);
	close(w->fd[1]);
	hostmem_files_destroy(w->files);
	munmap(w->state, sizeof(*w->state));
	free(w);
	return 0;
}

static unsigned int
files_kept(const struct world *w)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < HOSTMEM_MAX_FILES; i++)
		n += w->kept[i] >= 0;
	return n;
}

static int
map(struct world *w, uint64_t seq, uint64_t iova, uint64_t len, int file)
{
	return device_dma_map(w->dma, seq, iova, len, file < 0 ? -1 : w->fd[file],
		file < 0 ? 0 : (off_t)(iova % FILE_SIZE), RW, file < 0 ? 0 : FILE_SIZE);
}

/* A process ends and another one comes. @return what it says to the section */
static int
successor(struct world *w, struct hostmem *hm)
{
	device_dma_destroy(w->dma);
	assert_int_equal(device_dma_create(w->state, &ops, w, &w->dma), 0);
	return device_dma_adopt(w->dma, hm, w->kept);
}

static void
a_successor_maps_what_its_predecessor_had(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	assert_int_equal(map(w, 2, 0x20000, PAGE, 1), 0);
	assert_int_equal(map(w, 3, 0x30000, PAGE, -1), 0);
	device_dma_unmap(w->dma, 4, 0x20000, PAGE);

	assert_int_equal(successor(w, hm), 0);

	assert_int_equal(device_dma_ranges(w->dma), 2);
	assert_int_equal(hostmem_ranges(hm), 2);
	assert_int_equal(hostmem_unmap(hm, 0x10000, PAGE), 1);
	assert_int_equal(hostmem_unmap(hm, 0x30000, PAGE), 1);
	hostmem_destroy(hm);
}

static void
a_file_is_kept_once_and_as_long_as_a_range_lies_in_it(void **state)
{
	struct world *w = *state;

	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(map(w, i, i * PAGE, PAGE, 0), 0);
	assert_int_equal(w->stores, 1);
	assert_int_equal(map(w, 9, 0x100000, PAGE, 1), 0);
	assert_int_equal(files_kept(w), 2);

	device_dma_unmap(w->dma, 10, 0, 7 * PAGE);
	assert_int_equal(files_kept(w), 2);
	device_dma_unmap(w->dma, 11, 7 * PAGE, PAGE);
	assert_int_equal(files_kept(w), 1);
}

static void
a_request_that_was_carried_out_is_known_again(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 7, 0x10000, PAGE, 0), 0);
	assert_int_equal(successor(w, hm), 0);
	assert_true(device_dma_mapped(w->dma, 7, 0x10000, PAGE));
	/* Another request for the same range is an error of the client's. */
	assert_false(device_dma_mapped(w->dma, 8, 0x10000, PAGE));
	assert_false(device_dma_mapped(w->dma, 7, 0x10000, 2 * PAGE));
	hostmem_destroy(hm);

	device_dma_unmap(w->dma, 9, 0x10000, PAGE);
	hm = hostmem_create(w->files);
	assert_int_equal(successor(w, hm), 0);
	assert_true(device_dma_unmapped(w->dma, 9));
	assert_false(device_dma_unmapped(w->dma, 10));
	hostmem_destroy(hm);
}

/* The predecessor died between the two stores of a map: entry filled, not valid. */
static void
a_range_that_was_not_finished_does_not_exist(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	assert_int_equal(map(w, 2, 0x20000, PAGE, 1), 0);
	atomic_store(&w->state->range[1].valid, 0);

	assert_int_equal(successor(w, hm), 0);

	assert_int_equal(device_dma_ranges(w->dma), 1);
	assert_int_equal(files_kept(w), 1);
	assert_int_equal(map(w, 2, 0x20000, PAGE, 1), 0);
	hostmem_destroy(hm);
}

static void
forgetting_all_leaves_an_empty_section(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	assert_int_equal(map(w, 2, 0x20000, PAGE, 1), 0);
	device_dma_unmap_all(w->dma, 3);

	assert_int_equal(files_kept(w), 0);
	assert_int_equal(successor(w, hm), 0);
	assert_int_equal(device_dma_ranges(w->dma), 0);
	hostmem_destroy(hm);
}

/* Pages by the thousand, as a virtual IOMMU maps them; entries are used again. */
static void
entries_are_used_again(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	for (unsigned int i = 0; i < RANGES; i++)
		assert_int_equal(map(w, i, (uint64_t)i * PAGE, PAGE, i % 2), 0);
	for (unsigned int i = 0; i < RANGES; i += 2)
		device_dma_unmap(w->dma, i, (uint64_t)i * PAGE, PAGE);
	for (unsigned int i = 0; i < RANGES; i += 2)
		assert_int_equal(map(w, i, (uint64_t)(RANGES + i) * PAGE, PAGE, 0), 0);

	assert_int_equal(w->state->high, RANGES);
	assert_int_equal(successor(w, hm), 0);
	assert_int_equal(device_dma_ranges(w->dma), RANGES);
	hostmem_destroy(hm);
}

static void
more_ranges_than_a_device_may_have_are_refused(void **state)
{
	struct world *w = *state;

	for (unsigned int i = 0; i < HOSTMEM_MAX_RANGES; i++)
		assert_int_equal(map(w, i, (uint64_t)i * PAGE, PAGE, -1), 0);
	assert_int_equal(map(w, 1, UINT64_C(1) << 40, PAGE, 0), -ENOSPC);
	assert_int_equal(files_kept(w), 0);
}

/* What a damaged section may say; each must be met by forgetting everything. */
static void
damage_costs_the_ranges_and_nothing_else(void **state)
{
	const struct {
		const char *what;
		struct device_dma_range r;
	} bad[] = {
		{"no length", {.iova = 0x20000, .len = 0, .prot = RW, .valid = 1}},
		{"wraps", {.iova = UINT64_MAX - 1, .len = 4096, .prot = RW, .valid = 1}},
		{"overlaps", {.iova = 0x10000, .len = PAGE, .prot = RW, .valid = 1}},
		{"file out of range", {.iova = 0x20000, .len = PAGE, .file = 600, .valid = 1}},
		{"offset", {.iova = 0x20000, .len = PAGE, .off = UINT64_MAX, .valid = 1}},
		{"rights", {.iova = 0x20000, .len = PAGE, .prot = 0x80, .valid = 1}},
		{"mark", {.iova = 0x20000, .len = PAGE, .prot = RW, .valid = 0x5a}},
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct hostmem *hm = hostmem_create(w->files);

		assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
		assert_int_equal(map(w, 2, 0x30000, PAGE, 0), 0);
		memcpy(&w->state->range[1], &bad[i].r, sizeof(bad[i].r));
		if (successor(w, hm) >= 0)
			fail_msg("accepted: %s", bad[i].what);
		assert_int_equal(device_dma_ranges(w->dma), 0);
		assert_int_equal(files_kept(w), 0);
		hostmem_destroy(hm);
	}
}

/* @return ranges that have a file */
static unsigned int
with_file(const struct world *w)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < w->state->high; i++)
		n += w->state->range[i].valid && w->state->range[i].file != DEVICE_DMA_NO_FILE;
	return n;
}

static void
a_file_that_was_truncated_costs_the_ranges_beyond_its_end(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	assert_int_equal(map(w, 2, 0x20000, PAGE, 1), 0);
	assert_int_equal(map(w, 3, 0x31000, PAGE, 1), 0);
	assert_int_equal(ftruncate(w->fd[1], PAGE), 0);

	assert_int_equal(successor(w, hm), 1);

	assert_int_equal(with_file(w), 2);
	assert_int_equal(files_kept(w), 2);
	/* The client takes back what it has mapped, and hears of no error. */
	assert_int_equal(hostmem_unmap(hm, 0x31000, PAGE), 1);
	device_dma_unmap(w->dma, 4, 0x31000, PAGE);
	assert_int_equal(device_dma_ranges(w->dma), 2);
	hostmem_destroy(hm);
}

static void
a_file_that_is_missing_costs_its_ranges(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	assert_int_equal(map(w, 2, 0x20000, PAGE, 1), 0);
	assert_int_equal(map(w, 3, 0x31000, PAGE, 1), 0);
	close(w->kept[1]);
	w->kept[1] = -1;

	assert_int_equal(successor(w, hm), 2);
	assert_int_equal(with_file(w), 1);
	hostmem_destroy(hm);

	/* The next one finds nothing wrong. */
	hm = hostmem_create(w->files);
	assert_int_equal(successor(w, hm), 0);
	assert_int_equal(hostmem_ranges(hm), 3);
	hostmem_destroy(hm);
}

/* Else a client could make its successor map what it would not have been given. */
static void
no_more_of_a_file_is_mapped_than_there_was(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	assert_int_equal(map(w, 2, 0x12000, PAGE, 0), 0);
	assert_int_equal(ftruncate(w->fd[0], (off_t)HOSTMEM_MAX_FILE_SIZE + 1), 0);

	assert_int_equal(successor(w, hm), 0);

	assert_int_equal(hostmem_mapped_size(hm, 0x10000), FILE_SIZE);
	assert_int_equal(hostmem_mapped_size(hm, 0x12000), FILE_SIZE);
	hostmem_destroy(hm);
}

static void
of_a_file_that_was_mapped_larger_later_the_larger_goes_with_its_ranges(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	assert_int_equal(ftruncate(w->fd[0], 4 * FILE_SIZE), 0);
	assert_int_equal(
		device_dma_map(w->dma, 2, 0x80000, PAGE, w->fd[0], FILE_SIZE, RW, 4 * FILE_SIZE),
		0);
	assert_int_equal(files_kept(w), 2);
	device_dma_unmap(w->dma, 3, 0x80000, PAGE);

	assert_int_equal(successor(w, hm), 0);

	assert_int_equal(files_kept(w), 1);
	assert_int_equal(hostmem_mapped_size(hm, 0x10000), FILE_SIZE);
	hostmem_destroy(hm);
}

static void
an_impossible_number_of_entries_is_damage(void **state)
{
	struct world *w = *state;
	struct hostmem *hm = hostmem_create(w->files);

	assert_int_equal(map(w, 1, 0x10000, PAGE, 0), 0);
	w->state->high = UINT32_MAX;
	assert_int_equal(successor(w, hm), -EBADMSG);
	assert_int_equal(w->state->high, 0);
	hostmem_destroy(hm);
}

static int
test_device_dma(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_successor_maps_what_its_predecessor_had, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_file_is_kept_once_and_as_long_as_a_range_lies_in_it, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_request_that_was_carried_out_is_known_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_range_that_was_not_finished_does_not_exist, setup, teardown),
		cmocka_unit_test_setup_teardown(
			forgetting_all_leaves_an_empty_section, setup, teardown),
		cmocka_unit_test_setup_teardown(entries_are_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			more_ranges_than_a_device_may_have_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			damage_costs_the_ranges_and_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_file_that_was_truncated_costs_the_ranges_beyond_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_file_that_is_missing_costs_its_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(
			no_more_of_a_file_is_mapped_than_there_was, setup, teardown),
		cmocka_unit_test_setup_teardown(
			of_a_file_that_was_mapped_larger_later_the_larger_goes_with_its_ranges,
			setup, teardown),
		cmocka_unit_test_setup_teardown(
			an_impossible_number_of_entries_is_damage, setup, teardown),
	};

	return cmocka_run_group_tests_name("device_dma", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(device_dma, test_device_dma);
