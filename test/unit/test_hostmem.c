/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Host-memory table: maps, unmaps, snapshots, rights, and files that change under us. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "vring/hostmem.h"

#include "test.h"

#define PAGE	  UINT64_C(4096)
#define FILE_LEN  (64 * PAGE)
#define RW	  (HOSTMEM_READ | HOSTMEM_WRITE)
#define FILE_NAME "virtnet-test-hostmem"

struct fixture {
	struct hostmem_files *files;
	struct hostmem *hm;
	int fd;
	uint8_t *mem; /* the client's own view */
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->files = hostmem_files_create(false);
	f->hm = hostmem_create(f->files);
	f->fd = memfd_create(FILE_NAME, MFD_CLOEXEC);
	if (f->hm == NULL || f->fd < 0 || ftruncate(f->fd, FILE_LEN) != 0)
		return -1;
	f->mem = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	*state = f;
	return f->mem == MAP_FAILED ? -1 : 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	hostmem_destroy(f->hm);
	hostmem_files_destroy(f->files);
	munmap(f->mem, FILE_LEN);
	close(f->fd);
	free(f);
	return 0;
}

static void
publish(struct fixture *f)
{
	struct hostmem_retired *retired;

	assert_int_equal(hostmem_publish(f->hm, &retired), 0);
	hostmem_retire(retired);
}

/* Translate with a fresh hint; *len says how far it goes. */
static uint8_t *
find(struct fixture *f, uint64_t iova, uint64_t *len, uint32_t prot)
{
	struct hostmem_hint hint = {0};

	return hostmem_translate(hostmem_table(f->hm), &hint, iova, len, prot);
}

static uint8_t *
find1(struct fixture *f, uint64_t iova, uint32_t prot)
{
	uint64_t len = 1;

	return find(f, iova, &len, prot);
}

/* Mappings of this process whose line in maps has all of the name; the fixture's own is one. */
static int
count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int n = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps) != NULL)
		n += strstr(line, FILE_NAME) != NULL;
	fclose(maps);
	return n;
}

static void
range_is_seen_after_publish_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hostmem_map(f->hm, 0x10000, 2 * PAGE, f->fd, PAGE, RW), 0);
	assert_null(find1(f, 0x10000, RW));
	publish(f);
	strcpy((char *)f->mem + PAGE, "client");
	assert_string_equal((char *)find1(f, 0x10000, RW), "client");
	assert_null(find1(f, 0x10000 - 1, HOSTMEM_READ));
	assert_non_null(find1(f, 0x10000 + 2 * PAGE - 1, HOSTMEM_READ));
	assert_null(find1(f, 0x10000 + 2 * PAGE, HOSTMEM_READ));
}

static void
unmapped_range_is_seen_until_publish(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hostmem_map(f->hm, 0, PAGE, f->fd, 0, RW), 0);
	publish(f);
	assert_int_equal(hostmem_unmap(f->hm, 0, PAGE), 1);
	assert_non_null(find1(f, 0, RW));
	publish(f);
	assert_null(find1(f, 0, RW));
}

static void
publish_without_edit_changes_nothing(void **state)
{
	struct fixture *f = *state;
	const struct hostmem_table *before = hostmem_table(f->hm);
	struct hostmem_retired *retired = (void *)1;

	assert_int_equal(hostmem_publish(f->hm, &retired), 0);
	assert_null(retired);
	assert_ptr_equal(hostmem_table(f->hm), before);
}

static void
impossible_maps_are_refused(void **state)
{
	static const struct {
		uint64_t iova, len;
		off_t off;
		int prot, want;
	} table[] = {
		{0, 0, 0, RW, -EINVAL},			       /* empty */
		{UINT64_MAX - PAGE + 2, PAGE, 0, RW, -EINVAL}, /* wraps */
		{PAGE, UINT64_MAX, 0, RW, -EINVAL},	       /* wraps */
		{0, PAGE, -1, RW, -EINVAL},		       /* negative offset */
		{0, FILE_LEN + 1, 0, RW, -EINVAL},	       /* longer than the file */
		{0, PAGE, FILE_LEN, RW, -EINVAL},	       /* behind the file */
		{0, UINT64_MAX / 2, PAGE, RW, -EINVAL},
		{0, PAGE, 0, 4, -EINVAL}, /* unknown rights */
		{0, FILE_LEN, 0, RW, 0},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(hostmem_map(f->hm, table[i].iova, table[i].len, f->fd,
					 table[i].off, table[i].prot),
			table[i].want);
	assert_int_equal(hostmem_ranges(f->hm), 1);
}

static void
overlapping_maps_are_refused(void **state)
{
	static const struct {
		uint64_t iova, len;
		int want;
	} table[] = {
		{0x10000, 0x4000, -EEXIST}, /* the same */
		{0x0f000, 0x1001, -EEXIST}, /* its beginning */
		{0x13fff, 0x1000, -EEXIST}, /* its end */
		{0x11000, 0x1000, -EEXIST}, /* within */
		{0x0f000, 0x9000, -EEXIST}, /* around */
		{0x0f000, 0x1000, 0},	    /* just before */
		{0x14000, 0x1000, 0},	    /* just behind */
	};
	struct fixture *f = *state;

	assert_int_equal(hostmem_map(f->hm, 0x10000, 0x4000, f->fd, 0, RW), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(hostmem_map(f->hm, table[i].iova, table[i].len, f->fd, 0, RW),
			table[i].want);
}

static void
unmap_takes_whole_ranges_and_cuts_none(void **state)
{
	static const struct {
		uint64_t iova, len;
		int want;
	} table[] = {
		{0x10000, 0x2000, 1},	    /* exactly one */
		{0x0f000, 0x20000, 3},	    /* all, with holes around */
		{0x12000, 0x4000, 2},	    /* the last two */
		{0x20000, 0x1000, 0},	    /* none there */
		{0x0, 0x10000, 0},	    /* ends where the first begins */
		{0x10000, 0x1000, -EINVAL}, /* half of the first */
		{0x11000, 0x1000, -EINVAL}, /* the other half */
		{0x11000, 0x8000, -EINVAL}, /* begins within the first */
		{0x10000, 0x4800, -EINVAL}, /* ends within the third */
		{0x10000, 0, -EINVAL},
		{0x10000, UINT64_MAX, -EINVAL},
		{0, UINT64_MAX, 3},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		for (uint64_t iova = 0x10000; iova < 0x16000; iova += 0x2000)
			assert_int_equal(hostmem_map(f->hm, iova, 0x2000, f->fd, 0, RW), 0);
		publish(f);
		assert_int_equal(hostmem_unmap(f->hm, table[i].iova, table[i].len), table[i].want);
		assert_int_equal(
			hostmem_ranges(f->hm), 3 - (table[i].want > 0 ? table[i].want : 0));
		hostmem_unmap_all(f->hm);
		publish(f);
		assert_int_equal(hostmem_ranges(f->hm), 0);
	}
}

static void
neighbours_in_memory_are_one_for_a_lookup(void **state)
{
	struct fixture *f = *state;
	uint64_t len;

	assert_int_equal(hostmem_map(f->hm, 0x10000, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(hostmem_map(f->hm, 0x11000, PAGE, f->fd, PAGE, RW), 0);
	assert_int_equal(hostmem_map(f->hm, 0x12000, PAGE, f->fd, 5 * PAGE, RW), 0);
	assert_int_equal(hostmem_map(f->hm, 0x13000, PAGE, f->fd, 6 * PAGE, HOSTMEM_READ), 0);
	publish(f);
	len = 4 * PAGE;
	assert_non_null(find(f, 0x10800, &len, HOSTMEM_READ));
	assert_int_equal(len, 0x1800); /* two pages together, the third is elsewhere */
	len = 4 * PAGE;
	assert_non_null(find(f, 0x12000, &len, HOSTMEM_READ));
	assert_int_equal(len, PAGE); /* the fourth has other rights */
}

static void
rights_of_a_range_are_enforced(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hostmem_map(f->hm, 0x10000, PAGE, f->fd, 0, HOSTMEM_READ), 0);
	assert_int_equal(hostmem_map(f->hm, 0x20000, PAGE, f->fd, 0, HOSTMEM_WRITE), 0);
	assert_int_equal(hostmem_map(f->hm, 0x30000, PAGE, -1, 0, RW), 0);
	publish(f);
	assert_non_null(find1(f, 0x10000, HOSTMEM_READ));
	assert_null(find1(f, 0x10000, HOSTMEM_WRITE));
	assert_non_null(find1(f, 0x20000, HOSTMEM_WRITE));
	assert_null(find1(f, 0x20000, HOSTMEM_READ));
	assert_null(find1(f, 0x30000, HOSTMEM_READ));
}

static void
hint_does_not_lend_its_rights(void **state)
{
	struct hostmem_hint hint = {0};
	struct fixture *f = *state;
	uint64_t len = 1;

	assert_int_equal(hostmem_map(f->hm, 0x10000, PAGE, f->fd, 0, HOSTMEM_READ), 0);
	publish(f);
	assert_non_null(
		hostmem_translate(hostmem_table(f->hm), &hint, 0x10000, &len, HOSTMEM_READ));
	assert_null(hostmem_translate(hostmem_table(f->hm), &hint, 0x10001, &len, HOSTMEM_WRITE));
}

static void
rights_of_a_descriptor_are_enforced(void **state)
{
	struct fixture *f = *state;
	char path[64];
	int ro, wo;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	wo = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, ro, 0, RW), -EACCES);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, wo, 0, HOSTMEM_WRITE), -EACCES);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, ro, 0, HOSTMEM_READ), 0);
	assert_int_equal(hostmem_map(f->hm, PAGE, PAGE, f->fd, PAGE, RW), 0);
	publish(f);
	*find1(f, PAGE, RW) = 0x5a;
	assert_int_equal(f->mem[PAGE], 0x5a);
	close(ro);
	close(wo);
}

static void
write_sealed_file_can_be_mapped_for_reading(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, fd, 0, RW), -EPERM);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, fd, 0, HOSTMEM_READ), 0);
	close(fd);
}

static void
descriptors_that_are_no_memory_are_refused(void **state)
{
	struct fixture *f = *state;
	int pipes[2], null = open("/dev/null", O_RDWR | O_CLOEXEC),
		      dir = open("/dev/shm", O_RDONLY);

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, pipes[0], 0, HOSTMEM_READ), -EACCES);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, null, 0, RW), -EACCES);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, dir, 0, HOSTMEM_READ), -EACCES);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, 1000000, 0, RW), -EBADF);
	assert_int_equal(hostmem_ranges(f->hm), 0);
	close(pipes[0]);
	close(pipes[1]);
	close(null);
	close(dir);
}

static void
other_file_systems_need_the_option(void **state)
{
	struct hostmem_files *any = hostmem_files_create(true);
	struct hostmem *hm = hostmem_create(any);
	struct fixture *f = *state;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct statfs fs;

	assert_int_equal(fstatfs(fd, &fs), 0);
	if (fs.f_type != TMPFS_MAGIC)
		assert_int_equal(hostmem_map(f->hm, 0, PAGE, fd, 0, HOSTMEM_READ), -EACCES);
	assert_int_equal(hostmem_map(hm, 0, PAGE, fd, 0, HOSTMEM_READ), 0);
	hostmem_destroy(hm);
	hostmem_files_destroy(any);
	close(fd);
}

static void
sparse_file_beyond_the_limit_is_refused(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("sparse", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)HOSTMEM_MAX_FILE_SIZE + 1), 0);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, fd, 0, RW), -EINVAL);
	close(fd);
}

static void
file_is_mapped_once_for_all_devices(void **state)
{
	struct fixture *f = *state;
	struct hostmem *other = hostmem_create(f->files);
	struct hostmem_retired *retired;

	for (uint64_t i = 0; i < 8; i++) {
		int fd = dup(f->fd); /* a client sends another descriptor each time */

		assert_int_equal(
			hostmem_map(f->hm, i * 2 * PAGE, PAGE, fd, (off_t)(i * PAGE), RW), 0);
		assert_int_equal(
			hostmem_map(other, i * 2 * PAGE, PAGE, fd, (off_t)(i * PAGE), RW), 0);
		close(fd);
	}
	assert_int_equal(count_mappings(), 2);
	publish(f);
	assert_int_equal(hostmem_publish(other, &retired), 0);
	hostmem_retire(retired);
	hostmem_destroy(other);
	assert_int_equal(count_mappings(), 2);
}

static void
file_is_unmapped_when_its_last_snapshot_retires(void **state)
{
	struct hostmem_retired *retired;
	struct fixture *f = *state;
	const uint8_t *va;

	assert_int_equal(hostmem_map(f->hm, 0, PAGE, f->fd, 0, RW), 0);
	publish(f);
	va = find1(f, 0, RW);
	hostmem_unmap_all(f->hm);
	assert_int_equal(hostmem_publish(f->hm, &retired), 0);
	assert_non_null(retired);
	assert_int_equal(count_mappings(), 2);
	f->mem[0] = 7;
	assert_int_equal(*va, 7); /* a worker that still holds the old snapshot */
	hostmem_retire(retired);
	assert_int_equal(count_mappings(), 1);
}

static void
file_mapped_again_before_retiring_is_not_mapped_twice(void **state)
{
	struct hostmem_retired *retired;
	struct fixture *f = *state;

	assert_int_equal(hostmem_map(f->hm, 0, PAGE, f->fd, 0, RW), 0);
	publish(f);
	hostmem_unmap_all(f->hm);
	assert_int_equal(hostmem_publish(f->hm, &retired), 0);
	assert_int_equal(hostmem_map(f->hm, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(count_mappings(), 2);
	hostmem_retire(retired);
	publish(f);
	assert_int_equal(count_mappings(), 2);
	*find1(f, 0, RW) = 9;
	assert_int_equal(f->mem[0], 9);
}

static void
grown_file_is_mapped_anew_for_what_was_added(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hostmem_map(f->hm, 0, PAGE, f->fd, 0, RW), 0);
	assert_int_equal(hostmem_map(f->hm, FILE_LEN, PAGE, f->fd, FILE_LEN, RW), -EINVAL);
	assert_int_equal(ftruncate(f->fd, FILE_LEN + PAGE), 0);
	assert_int_equal(hostmem_map(f->hm, FILE_LEN, PAGE, f->fd, FILE_LEN, RW), 0);
	publish(f);
	*find1(f, FILE_LEN, RW) = 0x77;
	assert_int_equal(pwrite(f->fd, "x", 1, 0), 1);
	assert_int_equal(*find1(f, 0, RW), 'x');
	assert_int_equal(count_mappings(), 3);
}

static struct hostmem_files *sigbus_files;

static void
on_sigbus(int sig, siginfo_t *info, void *context)
{
	if (!hostmem_files_sigbus(sigbus_files, info->si_addr))
		_exit(99);
}

static void
truncated_file_costs_its_device_only(void **state)
{
	struct sigaction act = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO}, old;
	struct fixture *f = *state;
	struct hostmem *other = hostmem_create(f->files);
	int fd = memfd_create("other", MFD_CLOEXEC);
	volatile uint8_t *va;

	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(hostmem_map(f->hm, 0, FILE_LEN, f->fd, 0, RW), 0);
	assert_int_equal(hostmem_map(other, 0, PAGE, fd, 0, RW), 0);
	publish(f);
	va = find1(f, 0, RW);
	sigbus_files = f->files;
	sigaction(SIGBUS, &act, &old);
	assert_int_equal(ftruncate(f->fd, PAGE), 0);
	assert_false(hostmem_lost(f->hm));
	va[3 * PAGE] = 1;
	assert_int_equal(va[4 * PAGE], 0);
	assert_true(hostmem_lost(f->hm));
	assert_false(hostmem_lost(other));
	assert_false(hostmem_files_sigbus(f->files, &act)); /* not ours */
	sigaction(SIGBUS, &old, NULL);
	hostmem_destroy(other);
	close(fd);
}

/* What a guest with a virtual IOMMU makes of pages 5, 1, 9. */
static void
map_scattered(struct fixture *f, uint64_t iova)
{
	assert_int_equal(hostmem_map(f->hm, iova, PAGE, f->fd, 5 * PAGE, RW), 0);
	assert_int_equal(hostmem_map(f->hm, iova + PAGE, PAGE, f->fd, PAGE, RW), 0);
	assert_int_equal(hostmem_map(f->hm, iova + 2 * PAGE, PAGE, f->fd, 9 * PAGE, RW), 0);
	publish(f);
}

static void
scattered_pages_are_gathered_side_by_side(void **state)
{
	struct fixture *f = *state;
	uint8_t *va;

	map_scattered(f, 0x10000);
	va = hostmem_gather(f->hm, 0x10000 + 100, 2 * PAGE, RW);
	assert_non_null(va);
	f->mem[5 * PAGE + 100] = 1;
	f->mem[PAGE] = 2;
	va[2 * PAGE - 100] = 3;
	assert_int_equal(va[0], 1);
	assert_int_equal(va[PAGE - 100], 2);
	assert_int_equal(f->mem[9 * PAGE], 3);
	assert_int_equal(count_mappings(), 2 + 3);
	hostmem_area_end(f->hm, va);
	assert_int_equal(count_mappings(), 2);
}

static void
pages_that_do_not_fit_together_are_not_gathered(void **state)
{
	struct fixture *f = *state;
	const uint64_t odd = 0x100000, ro = 0x200000;

	map_scattered(f, 0x10000);
	assert_int_equal(hostmem_map(f->hm, odd, PAGE, f->fd, 100, RW), 0);
	assert_int_equal(hostmem_map(f->hm, odd + PAGE, 100, f->fd, 3 * PAGE, RW), 0);
	assert_int_equal(hostmem_map(f->hm, odd + PAGE + 100, PAGE, f->fd, 7 * PAGE + 100, RW), 0);
	assert_int_equal(hostmem_map(f->hm, ro, PAGE, f->fd, 5 * PAGE, HOSTMEM_READ), 0);
	assert_int_equal(hostmem_map(f->hm, ro + PAGE, PAGE, -1, 0, HOSTMEM_READ), 0);
	publish(f);
	assert_null(hostmem_gather(f->hm, 0x10000, 4 * PAGE, RW)); /* ends too early */
	assert_null(hostmem_gather(f->hm, 0x8000, PAGE, RW));	   /* nothing there */
	assert_null(hostmem_gather(f->hm, odd, PAGE, RW));	   /* in the middle of a page */
	assert_null(hostmem_gather(f->hm, odd + PAGE, PAGE, RW));  /* borders within a page */
	assert_null(hostmem_gather(f->hm, ro, PAGE, RW));	   /* no right to write */
	assert_null(hostmem_gather(f->hm, ro, 2 * PAGE, HOSTMEM_READ)); /* no memory */
	assert_int_equal(count_mappings(), 2);
}

static void
gathered_pages_go_with_the_client(void **state)
{
	struct fixture *f = *state;
	uint8_t *va;

	map_scattered(f, 0x10000);
	va = hostmem_gather(f->hm, 0x10000, 3 * PAGE, RW);
	hostmem_unmap_all(f->hm);
	publish(f);
	assert_int_equal(count_mappings(), 1);
	hostmem_area_end(f->hm, va); /* knows that they have gone */
}

static void
truncated_file_is_noticed_in_gathered_pages(void **state)
{
	struct fixture *f = *state;
	uint8_t *va;

	map_scattered(f, 0x10000);
	va = hostmem_gather(f->hm, 0x10000, 3 * PAGE, RW);
	assert_true(hostmem_files_sigbus(f->files, va + PAGE));
	assert_true(hostmem_lost(f->hm));
	va[PAGE] = 1;
}

static void
lost_file_is_not_used_for_new_ranges(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(hostmem_map(f->hm, 0, FILE_LEN, f->fd, 0, RW), 0);
	publish(f);
	assert_true(hostmem_files_sigbus(f->files, find1(f, PAGE, RW)));
	assert_true(hostmem_lost(f->hm));
	hostmem_unmap_all(f->hm);
	assert_int_equal(hostmem_map(f->hm, 0, FILE_LEN, f->fd, 0, RW), 0);
	publish(f);
	assert_false(hostmem_lost(f->hm));
	*find1(f, 0, RW) = 3;
	assert_int_equal(f->mem[0], 3);
}

static void
huge_pages_are_mapped_by_parts_of_a_page(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

	if (fd < 0 || ftruncate(fd, 2 << 20) != 0 ||
		hostmem_map(f->hm, 0xc3000, 3 * PAGE, fd, 0xc3000, RW) != 0) {
		if (fd >= 0)
			close(fd);
		skip();
	}
	publish(f);
	*find1(f, 0xc3000, RW) = 1;
	close(fd);
}

static void
number_of_files_is_limited(void **state)
{
	struct fixture *f = *state;
	int ret = 0;

	for (unsigned int i = 0; i <= HOSTMEM_MAX_FILES; i++) {
		int fd = memfd_create("many", MFD_CLOEXEC);

		assert_int_equal(ret, 0);
		assert_int_equal(ftruncate(fd, PAGE), 0);
		ret = hostmem_map(f->hm, i * PAGE, PAGE, fd, 0, RW);
		close(fd);
	}
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(hostmem_ranges(f->hm), HOSTMEM_MAX_FILES);
}

static void
number_of_ranges_is_limited(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < HOSTMEM_MAX_RANGES; i++)
		assert_int_equal(hostmem_map(f->hm, i * PAGE, PAGE, -1, 0, RW), 0);
	assert_int_equal(hostmem_map(f->hm, UINT64_C(1) << 40, PAGE, -1, 0, RW), -ENOSPC);
	assert_int_equal(hostmem_unmap(f->hm, 0, UINT64_MAX), HOSTMEM_MAX_RANGES);
}

static void
page_by_page_with_a_publish_each_stays_cheap(void **state)
{
	struct fixture *f = *state;

	/* Descending is the worse order: each map lands at the front. Quadratic cost would show as
	 * a time-out. */
	for (uint64_t i = 20000; i-- != 0;) {
		assert_int_equal(
			hostmem_map(f->hm, i * PAGE, PAGE, f->fd, (off_t)(i * 7 % 64 * PAGE), RW),
			0);
		publish(f);
	}
	f->mem[3 * 7 % 64 * PAGE] = 0x42;
	assert_int_equal(*find1(f, 3 * PAGE, RW), 0x42);
	for (uint64_t i = 0; i < 20000; i++) {
		assert_int_equal(hostmem_unmap(f->hm, i * PAGE, PAGE), 1);
		publish(f);
	}
	assert_int_equal(count_mappings(), 1);
}

/* A model of the table: for each page of a small address space, where it points to. */
#define MODEL_PAGES 1024
struct model {
	uint16_t start[MODEL_PAGES]; /* first page + 1 of the range that this page belongs to; 0:
					none */
	uint16_t off[MODEL_PAGES];   /* page of the file */
};

static void
model_map(struct model *m, struct fixture *f, unsigned int at, unsigned int n, unsigned int off)
{
	bool is_free = true;
	int ret = hostmem_map(f->hm, at * PAGE, n * PAGE, f->fd, (off_t)(off * PAGE), RW);

	for (unsigned int i = at; i < at + n; i++)
		is_free &= m->start[i] == 0;
	assert_int_equal(ret, is_free ? 0 : -EEXIST);
	for (unsigned int i = 0; is_free && i < n; i++) {
		m->start[at + i] = (uint16_t)(at + 1);
		m->off[at + i] = (uint16_t)(off + i);
	}
}

static void
model_unmap(struct model *m, struct fixture *f, unsigned int at, unsigned int n)
{
	int ret = hostmem_unmap(f->hm, at * PAGE, n * PAGE), want = 0;
	const unsigned int end = at + n;

	for (unsigned int i = at; i < end; i++)
		want += m->start[i] == i + 1;
	if ((m->start[at] != 0 && m->start[at] != at + 1) ||
		(end < MODEL_PAGES && m->start[end] != 0 && m->start[end] != end + 1))
		want = -EINVAL;
	assert_int_equal(ret, want);
	if (want > 0)
		memset(&m->start[at], 0, n * sizeof(m->start[0]));
}

static void
random_edits_agree_with_a_model(void **state)
{
	struct fixture *f = *state;
	static struct model m;
	unsigned int seed = 1;

	memset(&m, 0, sizeof(m));
	for (int round = 0; round < 6000; round++) {
		const unsigned int at = rand_r(&seed) % (MODEL_PAGES - 16);
		const unsigned int n = 1 + rand_r(&seed) % (rand_r(&seed) % 4 == 0 ? 16 : 2);

		if (rand_r(&seed) % 3 != 0)
			model_map(&m, f, at, n, rand_r(&seed) % 48);
		else
			model_unmap(&m, f, at, n);
		if (rand_r(&seed) % 4 != 0)
			continue;
		publish(f);
		for (unsigned int i = 0; i < MODEL_PAGES; i += 1 + rand_r(&seed) % 64) {
			uint8_t *va = find1(f, i * PAGE + 5, RW);

			assert_int_equal(va != NULL, m.start[i] != 0);
			if (va != NULL) {
				f->mem[m.off[i] * PAGE + 5] = (uint8_t)round;
				assert_int_equal(*va, (uint8_t)round);
			}
		}
	}
}

#define MANY_FILES 40u

/* Ranges of many files in turn; whichever goes first, a file goes with its last range. */
static void
each_of_many_files_goes_with_its_last_range(void **state)
{
	struct fixture *f = *state;
	int fd[MANY_FILES];

	for (unsigned int i = 0; i < MANY_FILES; i++) {
		fd[i] = memfd_create(FILE_NAME, MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd[i], FILE_LEN), 0);
	}
	for (unsigned int i = 0; i < 3 * MANY_FILES; i++)
		assert_int_equal(hostmem_map(f->hm, i * PAGE, PAGE, fd[i % MANY_FILES], 0, RW), 0);
	publish(f);
	assert_int_equal(count_mappings(), 1 + MANY_FILES);
	assert_int_equal(hostmem_unmap(f->hm, 0, 2 * MANY_FILES * PAGE), 2 * MANY_FILES);
	publish(f);
	assert_int_equal(count_mappings(), 1 + MANY_FILES);
	assert_int_equal(hostmem_unmap(f->hm, 2 * MANY_FILES * PAGE, 30 * PAGE), 30);
	publish(f);
	assert_int_equal(count_mappings(), 1 + MANY_FILES - 30);
	/* Their places are taken by others. */
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(hostmem_map(f->hm, i * PAGE, PAGE, fd[i], 0, RW), 0);
	publish(f);
	assert_int_equal(count_mappings(), 1 + MANY_FILES - 10);
	assert_int_equal(hostmem_unmap(f->hm, 0, 3 * MANY_FILES * PAGE), 30);
	publish(f);
	assert_int_equal(count_mappings(), 1);
	for (unsigned int i = 0; i < MANY_FILES; i++)
		close(fd[i]);
}

static int
test_hostmem(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(range_is_seen_after_publish_only),
		T(unmapped_range_is_seen_until_publish),
		T(publish_without_edit_changes_nothing),
		T(impossible_maps_are_refused),
		T(overlapping_maps_are_refused),
		T(unmap_takes_whole_ranges_and_cuts_none),
		T(neighbours_in_memory_are_one_for_a_lookup),
		T(rights_of_a_range_are_enforced),
		T(hint_does_not_lend_its_rights),
		T(rights_of_a_descriptor_are_enforced),
		T(write_sealed_file_can_be_mapped_for_reading),
		T(descriptors_that_are_no_memory_are_refused),
		T(other_file_systems_need_the_option),
		T(sparse_file_beyond_the_limit_is_refused),
		T(file_is_mapped_once_for_all_devices),
		T(file_is_unmapped_when_its_last_snapshot_retires),
		T(file_mapped_again_before_retiring_is_not_mapped_twice),
		T(grown_file_is_mapped_anew_for_what_was_added),
		T(truncated_file_costs_its_device_only),
		T(scattered_pages_are_gathered_side_by_side),
		T(pages_that_do_not_fit_together_are_not_gathered),
		T(gathered_pages_go_with_the_client),
		T(truncated_file_is_noticed_in_gathered_pages),
		T(lost_file_is_not_used_for_new_ranges),
		T(huge_pages_are_mapped_by_parts_of_a_page),
		T(number_of_files_is_limited),
		T(number_of_ranges_is_limited),
		T(page_by_page_with_a_publish_each_stays_cheap),
		T(random_edits_agree_with_a_model),
		T(each_of_many_files_goes_with_its_last_range),
	};

	return cmocka_run_group_tests_name("hostmem", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(hostmem, test_hostmem)
