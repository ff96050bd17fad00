/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What clients' memory may take of the process, and that no client takes another one's. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vring/hostmem.h"
#include "vring/hostmem_budget.h"

#include "test.h"

#define PAGE	UINT64_C(4096)
#define GIB	(UINT64_C(1) << 30)
#define TIB	(UINT64_C(1) << 40)
#define RW	(HOSTMEM_READ | HOSTMEM_WRITE)
#define DEVICES 8u
/* Devices that have all they can get, until nothing beyond the shares is left. */
#define HOARDERS (HOSTMEM_SPACE_OPEN / HOSTMEM_SPACE_DEVICE)

static struct {
	struct hostmem_files *files;
	struct hostmem *hm[DEVICES];
	uint64_t iova;
} t;

static int
setup(void **state)
{
	(void)state;
	t.files = hostmem_files_create(false);
	for (unsigned int i = 0; i < DEVICES; i++)
		t.hm[i] = hostmem_create(t.files);
	t.iova = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < DEVICES; i++)
		hostmem_destroy(t.hm[i]);
	hostmem_files_destroy(t.files);
	return 0;
}

static int
sparse(uint64_t size)
{
	const int fd = memfd_create("virtnet-test-sparse", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* One page of a file. */
static int
map_page(unsigned int device, int fd)
{
	t.iova += PAGE;
	return hostmem_map(t.hm[device], t.iova, PAGE, fd, 0, RW);
}

static int
map_sparse(unsigned int device, uint64_t size)
{
	const int fd = sparse(size), ret = map_page(device, fd);

	close(fd);
	return ret;
}

static void
publish(unsigned int device)
{
	struct hostmem_retired *retired;

	assert_int_equal(hostmem_publish(t.hm[device], &retired), 0);
	hostmem_retire(retired);
}

static void
hoard(void)
{
	for (unsigned int i = 0; i < HOARDERS; i++)
		assert_int_equal(map_sparse(i, HOSTMEM_SPACE_DEVICE), 0);
}

/* ---- addresses */

static void
a_device_has_no_more_addresses_than_its_limit(void **state)
{
	(void)state;
	assert_int_equal(map_sparse(0, 10 * TIB), 0);
	assert_int_equal(map_sparse(0, 6 * TIB), 0);
	assert_string_equal(hostmem_refusal(t.hm[0]), "");
	assert_int_equal(map_sparse(0, PAGE), -ENOSPC);
	assert_string_equal(hostmem_refusal(t.hm[0]),
		"its files would take 16777216 MiB of addresses, limit 16777216 MiB");
	assert_int_equal(hostmem_ranges(t.hm[0]), 2);
}

static void
what_a_device_gives_back_it_can_have_again(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 20; i++) {
		assert_int_equal(map_sparse(0, 12 * TIB), 0);
		assert_int_equal(map_sparse(0, 12 * TIB), -ENOSPC);
		assert_int_equal(hostmem_unmap(t.hm[0], 0, UINT64_MAX), 1);
		publish(0);
	}
}

static void
devices_that_take_all_they_can_leave_others_their_shares(void **state)
{
	void *own;

	(void)state;
	hoard();
	assert_int_equal(map_sparse(HOARDERS, HOSTMEM_SPACE_DEVICE), -ENOSPC);
	assert_non_null(strstr(hostmem_refusal(t.hm[HOARDERS]), "all devices' files would take"));
	assert_int_equal(map_sparse(HOARDERS, HOSTMEM_SPACE_SHARE), 0);
	assert_int_equal(map_sparse(HOARDERS + 1, HOSTMEM_SPACE_SHARE / 2), 0);
	assert_int_equal(map_sparse(HOARDERS + 1, HOSTMEM_SPACE_SHARE / 2), 0);
	/* And the process has room for itself. */
	own = mmap(NULL, TIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(own, MAP_FAILED);
	munmap(own, TIB);
}

/* As the functions of one guest do. */
static void
a_file_that_devices_have_in_common_counts_once(void **state)
{
	const int fd = sparse(HOSTMEM_SPACE_DEVICE);

	(void)state;
	for (unsigned int i = 0; i < DEVICES; i++)
		for (unsigned int range = 0; range < 4; range++)
			assert_int_equal(map_page(i, fd), 0);
	close(fd);
}

/* ---- who takes up the devices of another process */

static void
what_was_let_in_before_is_let_in_again_in_any_order(void **state)
{
	const int share = sparse(HOSTMEM_SPACE_SHARE), more = sparse(256 * GIB);

	(void)state;
	/* Small devices were there when large ones had taken the rest; now they come first. */
	hoard();
	assert_int_equal(hostmem_adopt(t.hm[6], PAGE, PAGE, share, 0, RW, 0), 0);
	assert_int_equal(map_page(7, more), -ENOSPC);
	assert_int_equal(hostmem_adopt(t.hm[7], PAGE, PAGE, more, 0, RW, 0), 0);
	close(share);
	close(more);
}

static void
of_a_file_that_has_grown_no_more_is_mapped_than_before(void **state)
{
	const int fd = sparse(4 * PAGE);

	(void)state;
	assert_int_equal(map_page(0, fd), 0);
	assert_int_equal(hostmem_mapped_size(t.hm[0], t.iova), 4 * PAGE);
	assert_int_equal(ftruncate(fd, (off_t)HOSTMEM_SPACE_DEVICE), 0);
	hostmem_unmap_all(t.hm[0]);
	publish(0);
	assert_int_equal(hostmem_adopt(t.hm[0], PAGE, PAGE, fd, 3 * PAGE, RW, 4 * PAGE), 0);
	assert_int_equal(hostmem_mapped_size(t.hm[0], PAGE), 4 * PAGE);
	assert_int_equal(
		hostmem_adopt(t.hm[0], 9 * PAGE, PAGE, fd, 4 * PAGE, RW, 4 * PAGE), -EINVAL);
	close(fd);
}

/* ---- mappings */

/* Pages of a file in the order that makes a mapping of each, in a device's memory. */
static void
map_scattered(unsigned int device, unsigned int pages)
{
	const int fd = sparse(2 * pages * PAGE);

	for (unsigned int i = 0; i < pages; i++)
		assert_int_equal(hostmem_map(t.hm[device], i * PAGE, PAGE, fd,
					 (off_t)(2 * (pages - 1 - i) * PAGE), RW),
			0);
	publish(device);
	close(fd);
}

static void
a_gathered_area_counts_as_the_pieces_that_it_is_of(void **state)
{
	const unsigned int pages = HOSTMEM_MAPS_DEVICE / 2;
	uint8_t *va;

	(void)state;
	map_scattered(0, pages);
	va = hostmem_gather(t.hm[0], 0, pages * PAGE, RW);
	assert_non_null(va);
	assert_null(hostmem_gather(t.hm[0], 0, pages * PAGE, RW));
	assert_string_equal(
		hostmem_refusal(t.hm[0]), "its memory would be 2049 mappings, limit 2048");
	assert_non_null(hostmem_gather(t.hm[0], 0, (pages - 1) * PAGE, RW));
	hostmem_area_end(t.hm[0], va);
	assert_non_null(hostmem_gather(t.hm[0], 0, pages * PAGE, RW));
}

/* ---- areas */

static void
an_area_is_the_clients_memory_and_counts(void **state)
{
	const int fd = sparse(16 * PAGE);
	uint8_t *va, byte = 0;

	(void)state;
	assert_int_equal(hostmem_area(t.hm[0], fd, 100, 2 * PAGE, false, &va), 0);
	va[2 * PAGE - 1] = 7;
	assert_int_equal(pread(fd, &byte, 1, 100 + 2 * (off_t)PAGE - 1), 1);
	assert_int_equal(byte, 7);
	assert_int_equal(map_sparse(0, HOSTMEM_SPACE_DEVICE), -ENOSPC);
	hostmem_area_end(t.hm[0], va);
	assert_int_equal(map_sparse(0, HOSTMEM_SPACE_DEVICE), 0);
	assert_int_equal(hostmem_area(t.hm[0], fd, 0, PAGE, false, &va), -ENOSPC);
	assert_int_equal(hostmem_area(t.hm[0], fd, 0, PAGE, true, &va), 0);
	close(fd);
}

static void
impossible_areas_are_refused(void **state)
{
	const struct {
		off_t off;
		uint64_t len;
		int ret;
	} cases[] = {
		{0, 0, -EINVAL},
		{-1, PAGE, -EINVAL},
		{0, 16 * PAGE + 1, -EINVAL},
		{16 * (off_t)PAGE, 1, -EINVAL},
		{INT64_MAX, PAGE, -EINVAL},
		{0, HOSTMEM_AREA_SIZE + 1, -ENOSPC},
		{0, UINT64_MAX, -ENOSPC},
	};
	const int fd = sparse(16 * PAGE);
	uint8_t *va;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(hostmem_area(t.hm[0], fd, cases[i].off, cases[i].len, false, &va),
			cases[i].ret);
	close(fd);
}

static void
an_area_in_huge_pages_is_refused(void **state)
{
	const int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	uint8_t *va;

	(void)state;
	if (fd < 0)
		skip(); /* a kernel without them */
	assert_int_equal(ftruncate(fd, 2 << 20), 0);
	assert_int_equal(hostmem_area(t.hm[0], fd, 0, 2 << 20, false, &va), -EACCES);
	close(fd);
}

static void
an_area_that_loses_its_memory_is_noticed(void **state)
{
	const int fd = sparse(16 * PAGE);
	uint8_t *va;

	(void)state;
	assert_int_equal(hostmem_area(t.hm[0], fd, 0, 16 * PAGE, false, &va), 0);
	assert_true(hostmem_files_sigbus(t.files, va + 5 * PAGE));
	va[5 * PAGE] = 1;
	assert_true(hostmem_lost(t.hm[0]));
	assert_false(hostmem_lost(t.hm[1]));
	close(fd);
}

/* ---- the rules alone */

static void
no_device_is_refused_its_share(void **state)
{
	const struct hostmem_cost one = {GIB, 1};
	struct hostmem_cost has[HOSTMEM_DEVICES] = {{0}};
	struct hostmem_budget b = {0};
	struct hostmem_refusal why;

	(void)state;
	/* All ask in turn, and again, for as long as anybody gets something. */
	for (unsigned int got = 1; got > 0;) {
		got = 0;
		for (unsigned int i = 0; i < HOSTMEM_DEVICES; i++) {
			if (hostmem_budget_ask(&b, &has[i], &one, false, &why) != 0)
				continue;
			hostmem_budget_mapped(&b, one.bytes);
			hostmem_budget_take(&b, &has[i], &one);
			got++;
		}
	}
	for (unsigned int i = 0; i < HOSTMEM_DEVICES; i++) {
		assert_true(has[i].bytes >= HOSTMEM_SPACE_SHARE);
		assert_true(has[i].maps >= HOSTMEM_MAPS_SHARE);
	}
	assert_true(b.mapped <= HOSTMEM_SPACE_ALL);
	assert_true(b.open <= HOSTMEM_MAPS_OPEN);
	for (unsigned int i = 0; i < HOSTMEM_DEVICES; i++)
		hostmem_budget_give(&b, &has[i], &(struct hostmem_cost){has[i].bytes, has[i].maps});
	assert_int_equal(b.shares, 0);
	assert_int_equal(b.open, 0);
}

static void
sums_that_wrap_are_refused(void **state)
{
	static const struct hostmem_cost cases[] = {
		{UINT64_MAX, 1}, {UINT64_MAX - GIB + 1, 1}, {PAGE, UINT32_MAX}};
	const struct hostmem_cost has = {GIB, 1};
	struct hostmem_budget b = {.mapped = GIB, .shares = GIB};
	struct hostmem_refusal why;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(hostmem_budget_ask(&b, &has, &cases[i], false, &why), -ENOSPC);
}

static int
test_hostmem_budget(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_device_has_no_more_addresses_than_its_limit),
		T(what_a_device_gives_back_it_can_have_again),
		T(devices_that_take_all_they_can_leave_others_their_shares),
		T(a_file_that_devices_have_in_common_counts_once),
		T(what_was_let_in_before_is_let_in_again_in_any_order),
		T(of_a_file_that_has_grown_no_more_is_mapped_than_before),
		T(a_gathered_area_counts_as_the_pieces_that_it_is_of),
		T(an_area_is_the_clients_memory_and_counts),
		T(impossible_areas_are_refused),
		T(an_area_in_huge_pages_is_refused),
		T(an_area_that_loses_its_memory_is_noticed),
		cmocka_unit_test(no_device_is_refused_its_share),
		cmocka_unit_test(sums_that_wrap_are_refused),
	};

	return cmocka_run_group_tests_name("hostmem_budget", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(hostmem_budget, test_hostmem_budget)
