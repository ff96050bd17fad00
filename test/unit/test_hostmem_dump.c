/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Guest memory stays out of core files: every mapping of it, however it came about. */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "vring/hostmem.h"

#define PAGE	 UINT64_C(4096)
#define FILE_LEN (64 * PAGE)
#define IOVA	 UINT64_C(0x100000000)
#define RW	 (HOSTMEM_READ | HOSTMEM_WRITE)

struct fixture {
	struct hostmem_files *files;
	struct hostmem *hm;
	int fd;
};

static int
setup(void **state)
{
	static struct fixture f;

	f.files = hostmem_files_create(false);
	f.hm = hostmem_create(f.files);
	f.fd = memfd_create("virtnet-test-dump", MFD_CLOEXEC);
	*state = &f;
	return f.hm == NULL || ftruncate(f.fd, FILE_LEN) != 0 ? -1 : 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	hostmem_destroy(f->hm);
	hostmem_files_destroy(f->files);
	close(f->fd);
	return 0;
}

static uint8_t *
map(struct fixture *f, uint64_t iova, uint64_t len, off_t off)
{
	struct hostmem_retired *retired;
	struct hostmem_hint hint = {0};

	assert_int_equal(hostmem_map(f->hm, iova, len, f->fd, off, RW), 0);
	assert_int_equal(hostmem_publish(f->hm, &retired), 0);
	hostmem_retire(retired);
	return hostmem_translate(hostmem_table(f->hm), &hint, iova, &len, RW);
}

/* Bytes of [va, va + len) that the kernel would put into a core file ("dd": do not dump). */
static uint64_t
dumped(const uint8_t *va, uint64_t len)
{
	const uint64_t from = (uintptr_t)va, to = from + len;
	FILE *smaps = fopen("/proc/self/smaps", "re");
	uint64_t first, last, begin = 0, end = 0, left = 0;
	char line[512];

	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &first, &last) == 2) {
			begin = first > from ? first : from;
			end = last < to ? last : to;
		} else if (strncmp(line, "VmFlags:", 8) == 0 && begin < end &&
			   strstr(line, " dd") == NULL) {
			left += end - begin;
		}
	}
	fclose(smaps);
	return left;
}

static void
ordinary_memory_is_dumped(void **state)
{
	uint8_t *va = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_int_equal(dumped(va, PAGE), PAGE);
	munmap(va, PAGE);
}

static void
a_clients_file_is_not_dumped(void **state)
{
	assert_int_equal(dumped(map(*state, IOVA, FILE_LEN, 0), FILE_LEN), 0);
}

static void
gathered_pages_are_not_dumped(void **state)
{
	struct fixture *f = *state;
	uint8_t *va;

	for (unsigned int i = 0; i < 8; i++)
		map(f, IOVA + i * PAGE, PAGE, (off_t)((40 - 3 * i) * PAGE));
	va = hostmem_gather(f->hm, IOVA, 8 * PAGE, RW);
	assert_non_null(va);
	assert_int_equal(dumped(va, 8 * PAGE), 0);
	hostmem_area_end(f->hm, va);
}

static void
what_stands_in_for_a_truncated_file_is_not_dumped(void **state)
{
	struct fixture *f = *state;
	uint8_t *va = map(f, IOVA, FILE_LEN, 0);

	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_true(hostmem_files_sigbus(f->files, va + PAGE));
	va[PAGE] = 1;
	assert_int_equal(dumped(va, FILE_LEN), 0);
}

static int
test_hostmem_dump(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(ordinary_memory_is_dumped),
		T(a_clients_file_is_not_dumped),
		T(gathered_pages_are_not_dumped),
		T(what_stands_in_for_a_truncated_file_is_not_dumped),
	};

	return cmocka_run_group_tests_name("hostmem_dump", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(hostmem_dump, test_hostmem_dump)
