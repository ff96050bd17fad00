/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Ranges that are mapped by naming another one of the same file, as whoever takes up a device does.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vring/hostmem.h"

#include "test.h"

#define PAGE	 UINT64_C(4096)
#define FILE_LEN (64 * PAGE)
#define RW	 (HOSTMEM_READ | HOSTMEM_WRITE)
/* A range of one page at the file's beginning that tests name. */
#define FIRST UINT64_C(0x100000)

static struct {
	struct hostmem_files *files;
	struct hostmem *hm;
	int fd;
	uint8_t *mem; /* the client's own view */
} t;

static int
setup(void **state)
{
	(void)state;
	t.files = hostmem_files_create(false);
	t.hm = hostmem_create(t.files);
	t.fd = memfd_create("virtnet-test-like", MFD_CLOEXEC);
	assert_true(t.hm != NULL && t.fd >= 0 && ftruncate(t.fd, FILE_LEN) == 0);
	t.mem = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
	assert_ptr_not_equal(t.mem, MAP_FAILED);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	hostmem_destroy(t.hm);
	hostmem_files_destroy(t.files);
	munmap(t.mem, FILE_LEN);
	close(t.fd);
	return 0;
}

static int
setup_first(void **state)
{
	if (setup(state) != 0)
		return -1;
	return hostmem_map(t.hm, FIRST, PAGE, t.fd, 0, RW);
}

static void
publish(void)
{
	struct hostmem_retired *retired;

	assert_int_equal(hostmem_publish(t.hm, &retired), 0);
	hostmem_retire(retired);
}

static uint8_t *
find(uint64_t iova, uint64_t len, uint32_t prot)
{
	struct hostmem_hint hint = {0};
	const uint64_t want = len;
	uint8_t *va = hostmem_translate(hostmem_table(t.hm), &hint, iova, &len, prot);

	return len == want ? va : NULL;
}

/* ---- what it gives */

static void
range_is_the_same_files_memory(void **state)
{
	(void)state;
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, 2 * PAGE, FIRST, 3 * PAGE, RW), 0);
	publish();
	strcpy((char *)t.mem + 3 * PAGE, "client");
	assert_string_equal((char *)find(0x5000, 2 * PAGE, RW), "client");
	find(0x5000, 2 * PAGE, RW)[2 * PAGE - 1] = 7;
	assert_int_equal(t.mem[5 * PAGE - 1], 7);
	assert_null(find(0x5000, 2 * PAGE + 1, RW));
}

static void
any_address_of_the_other_range_will_do(void **state)
{
	(void)state;
	assert_int_equal(hostmem_map_like(t.hm, 0x0, PAGE, FIRST, 0, RW), 0);
	assert_int_equal(hostmem_map_like(t.hm, 0x2000, PAGE, FIRST + PAGE - 1, 0, RW), 0);
	/* And one that was mapped in the same way. */
	assert_int_equal(hostmem_map_like(t.hm, 0x4000, PAGE, 0x2000, 0, RW), 0);
	assert_int_equal(hostmem_ranges(t.hm), 4);
}

static void
range_has_its_own_rights(void **state)
{
	(void)state;
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, HOSTMEM_READ), 0);
	publish();
	assert_non_null(find(0x5000, PAGE, HOSTMEM_READ));
	assert_null(find(0x5000, PAGE, RW));
	assert_non_null(find(FIRST, PAGE, RW));
}

static void
file_stays_as_long_as_one_range_does(void **state)
{
	(void)state;
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, PAGE, RW), 0);
	assert_int_equal(hostmem_unmap(t.hm, FIRST, PAGE), 1);
	publish();
	t.mem[PAGE] = 42;
	assert_int_equal(*find(0x5000, 1, RW), 42);
	assert_int_equal(hostmem_map_like(t.hm, FIRST, PAGE, 0x5000, 0, RW), 0);
	assert_int_equal(hostmem_unmap(t.hm, 0x5000, PAGE), 1);
	publish();
	assert_non_null(find(FIRST, PAGE, RW));
}

static void
pages_in_any_order_are_one_mapping(void **state)
{
	const uint8_t *base;

	(void)state;
	publish();
	base = find(FIRST, 1, RW);
	for (uint64_t i = 63; i > 0; i--)
		assert_int_equal(
			hostmem_map_like(t.hm, FIRST + i * PAGE, PAGE, FIRST, i * PAGE, RW), 0);
	publish();
	for (uint64_t i = 0; i < 64; i++)
		assert_ptr_equal(find(FIRST + i * PAGE, PAGE, RW), base + i * PAGE);
}

/* ---- when the other range does not do */

static void
nothing_there_to_be_like(void **state)
{
	(void)state;
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, RW), -EAGAIN);
	assert_int_equal(hostmem_map(t.hm, FIRST, PAGE, t.fd, 0, RW), 0);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST - 1, 0, RW), -EAGAIN);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST + PAGE, 0, RW), -EAGAIN);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, UINT64_MAX, 0, RW), -EAGAIN);
	assert_int_equal(hostmem_unmap(t.hm, FIRST, PAGE), 1);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, RW), -EAGAIN);
	assert_int_equal(hostmem_ranges(t.hm), 0);
}

static void
range_without_memory_is_no_model(void **state)
{
	(void)state;
	assert_int_equal(hostmem_map(t.hm, FIRST, PAGE, -1, 0, RW), 0);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, RW), -EAGAIN);
	assert_int_equal(hostmem_ranges(t.hm), 1);
}

static void
what_lies_beyond_the_mapping_is_not_given(void **state)
{
	static const struct {
		uint64_t len;
		off_t off;
	} cases[] = {
		{PAGE, FILE_LEN},
		{2 * PAGE, FILE_LEN - PAGE},
		{FILE_LEN + 1, 0},
		{UINT64_MAX - FIRST - PAGE, 0},
		{PAGE, INT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			hostmem_map_like(t.hm, FIRST + PAGE, cases[i].len, FIRST, cases[i].off, RW),
			-EAGAIN);
	assert_int_equal(hostmem_map_like(t.hm, FIRST + PAGE, FILE_LEN, FIRST, 0, RW), 0);
}

/* A client's file that has grown since: only the descriptor can tell. */
static void
file_that_has_grown_is_mapped_by_its_descriptor(void **state)
{
	(void)state;
	assert_int_equal(ftruncate(t.fd, 2 * FILE_LEN), 0);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, FILE_LEN, RW), -EAGAIN);
	assert_int_equal(hostmem_map(t.hm, 0x5000, PAGE, t.fd, FILE_LEN, RW), 0);
	/* The larger mapping is a model from now on, the former still is for what it has. */
	assert_int_equal(hostmem_map_like(t.hm, 0x7000, PAGE, 0x5000, FILE_LEN + PAGE, RW), 0);
	assert_int_equal(hostmem_map_like(t.hm, 0x9000, PAGE, FIRST, PAGE, RW), 0);
}

static void
mapping_that_cannot_be_written_is_no_model_for_writers(void **state)
{
	char path[64];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", t.fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(hostmem_map(t.hm, FIRST, PAGE, fd, 0, HOSTMEM_READ), 0);
	close(fd);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, RW), -EAGAIN);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, HOSTMEM_WRITE), -EAGAIN);
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, HOSTMEM_READ), 0);
}

static void
lost_file_is_no_model(void **state)
{
	(void)state;
	publish();
	/* As a worker's SIGBUS handler does when the client has truncated it. */
	assert_true(hostmem_files_sigbus(t.files, find(FIRST, 1, RW)));
	assert_true(hostmem_lost(t.hm));
	assert_int_equal(hostmem_map_like(t.hm, 0x5000, PAGE, FIRST, 0, RW), -EAGAIN);
}

static void
another_devices_range_is_no_model(void **state)
{
	struct hostmem *other = hostmem_create(t.files);

	(void)state;
	assert_non_null(other);
	assert_int_equal(hostmem_map_like(other, 0x5000, PAGE, FIRST, 0, RW), -EAGAIN);
	hostmem_destroy(other);
}

/* ---- what no model helps */

static void
impossible_ranges_are_refused(void **state)
{
	static const struct {
		uint64_t iova, len;
		off_t off;
		int prot, ret;
	} cases[] = {
		{0x5000, 0, 0, RW, -EINVAL},
		{0x5000, PAGE, -1, RW, -EINVAL},
		{0x5000, PAGE, 0, 4, -EINVAL},
		{UINT64_MAX - PAGE + 1, 2 * PAGE, 0, RW, -EINVAL},
		{FIRST, PAGE, 0, RW, -EEXIST},
		{FIRST - 1, 2, 0, RW, -EEXIST},
		{FIRST + PAGE - 1, 1, 0, RW, -EEXIST},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(hostmem_map_like(t.hm, cases[i].iova, cases[i].len, FIRST,
					 cases[i].off, cases[i].prot),
			cases[i].ret);
	assert_int_equal(hostmem_ranges(t.hm), 1);
}

static void
ranges_count_however_they_are_mapped(void **state)
{
	(void)state;
	for (uint64_t i = 1; i < HOSTMEM_MAX_RANGES; i++)
		assert_int_equal(hostmem_map_like(t.hm, FIRST + i * PAGE, PAGE, FIRST, 0, RW), 0);
	assert_int_equal(hostmem_map_like(t.hm, 0, PAGE, FIRST, 0, RW), -ENOSPC);
	assert_int_equal(hostmem_unmap(t.hm, FIRST + PAGE, PAGE), 1);
	assert_int_equal(hostmem_map_like(t.hm, 0, PAGE, FIRST, 0, RW), 0);
}

static int
test_hostmem_like(void)
{
#define WITH_FIRST(f) cmocka_unit_test_setup_teardown(f, setup_first, teardown)
#define EMPTY(f)      cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_FIRST(range_is_the_same_files_memory),
		WITH_FIRST(any_address_of_the_other_range_will_do),
		WITH_FIRST(range_has_its_own_rights),
		WITH_FIRST(file_stays_as_long_as_one_range_does),
		WITH_FIRST(pages_in_any_order_are_one_mapping),
		EMPTY(nothing_there_to_be_like),
		EMPTY(range_without_memory_is_no_model),
		WITH_FIRST(what_lies_beyond_the_mapping_is_not_given),
		WITH_FIRST(file_that_has_grown_is_mapped_by_its_descriptor),
		EMPTY(mapping_that_cannot_be_written_is_no_model_for_writers),
		WITH_FIRST(lost_file_is_no_model),
		WITH_FIRST(another_devices_range_is_no_model),
		WITH_FIRST(impossible_ranges_are_refused),
		WITH_FIRST(ranges_count_however_they_are_mapped),
	};

	return cmocka_run_group_tests_name("hostmem_like", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(hostmem_like, test_hostmem_like)
