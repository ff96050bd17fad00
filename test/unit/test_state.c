/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* State blocks: what is written survives, what is damaged is refused. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/state.h"
#include "test.h"

static const struct state_section_desc two_sections[] = {
	{.id = STATE_SEC_PCI, .version = 3, .size = 4096},
	{.id = STATE_SEC_RINGS, .version = 1, .size = 100},
};

static struct state_block *
block(void)
{
	struct state_block *blk = NULL;

	assert_int_equal(state_block_create("VNETS1D0F2", two_sections, 2, &blk), 0);
	return blk;
}

static int
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
new_block_has_its_sections_zeroed_and_aligned(void **state)
{
	struct state_block *blk = block();
	uint8_t *pci = state_block_section(blk, STATE_SEC_PCI, 3, 4096);
	uint8_t *rings = state_block_section(blk, STATE_SEC_RINGS, 1, 100);

	assert_non_null(pci);
	assert_non_null(rings);
	assert_int_equal((uintptr_t)pci % STATE_ALIGN, 0);
	assert_int_equal((uintptr_t)rings % STATE_ALIGN, 0);
	assert_true(rings >= pci + 4096);
	for (int i = 0; i < 4096; i++)
		assert_int_equal(pci[i], 0);
	assert_string_equal(state_block_name(blk), "VNETS1D0F2");
	state_block_close(blk);
}

static void
block_opened_by_its_descriptor_shows_what_was_written(void **state)
{
	struct state_block *a = block(), *b = NULL;
	char *text = state_block_section(a, STATE_SEC_RINGS, 1, 1);

	strcpy(text, "positions");
	assert_int_equal(state_block_open(state_block_fd(a), &b), 0);
	state_block_close(a);
	assert_string_equal(state_block_name(b), "VNETS1D0F2");
	assert_string_equal(state_block_section(b, STATE_SEC_RINGS, 1, 1), "positions");
	state_block_close(b);
}

static void
section_of_another_version_or_smaller_or_absent_is_not_handed_out(void **state)
{
	struct state_block *blk = block();

	assert_null(state_block_section(blk, STATE_SEC_PCI, 2, 1));
	assert_null(state_block_section(blk, STATE_SEC_PCI, 4, 1));
	assert_null(state_block_section(blk, STATE_SEC_PCI, 3, 4097));
	assert_null(state_block_section(blk, STATE_SEC_DMA, 1, 1));
	assert_int_equal(state_block_section_version(blk, STATE_SEC_PCI), 3);
	assert_int_equal(state_block_section_version(blk, STATE_SEC_DMA), 0);
	state_block_close(blk);
}

static void
block_with_impossible_descriptors_is_not_created(void **state)
{
	static const struct state_section_desc bad[][2] = {
		{{.id = 0, .version = 1, .size = 1}, {.id = 2, .version = 1, .size = 1}},
		{{.id = 1, .version = 0, .size = 1}, {.id = 2, .version = 1, .size = 1}},
		{{.id = 1, .version = 1, .size = 0}, {.id = 2, .version = 1, .size = 1}},
		{{.id = 1, .version = 1, .size = 1}, {.id = 1, .version = 1, .size = 1}},
		{{.id = 1, .version = 1, .size = UINT32_MAX},
			{.id = 2, .version = 1, .size = UINT32_MAX}},
	};
	struct state_block *blk;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(state_block_create("x", bad[i], 2, &blk), -EINVAL);
}

static void
block_has_limits_of_name_and_sections(void **state)
{
	struct state_section_desc many[STATE_MAX_SECTIONS + 1];
	char name[STATE_NAME_MAX + 1];
	struct state_block *blk;

	for (uint16_t i = 0; i <= STATE_MAX_SECTIONS; i++)
		many[i] = (struct state_section_desc){.id = i + 1, .version = 1, .size = 1};
	assert_int_equal(state_block_create("x", many, STATE_MAX_SECTIONS + 1, &blk), -ENOSPC);
	assert_int_equal(state_block_create("x", many, STATE_MAX_SECTIONS, &blk), 0);
	state_block_close(blk);

	memset(name, 'n', sizeof(name));
	name[STATE_NAME_MAX] = '\0';
	assert_int_equal(state_block_create(name, many, 1, &blk), -EINVAL);
	name[STATE_NAME_MAX - 1] = '\0';
	assert_int_equal(state_block_create(name, many, 1, &blk), 0);
	assert_string_equal(state_block_name(blk), name);
	state_block_close(blk);
}

static void
block_with_any_bit_of_its_header_or_table_flipped_is_refused(void **state)
{
	struct state_block *a = block(), *b;
	/* The first section follows the header and table. */
	uint8_t *first = state_block_section(a, STATE_SEC_PCI, 3, 1), *base;
	struct stat st;
	size_t header;

	assert_int_equal(fstat(state_block_fd(a), &st), 0);
	base = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, state_block_fd(a), 0);
	assert_ptr_not_equal(base, MAP_FAILED);
	*first = 0xa5;
	for (header = 0; base[header] != 0xa5; header++)
		continue;
	/* Up to 63 bytes of padding before the first section mean nothing. */
	for (size_t i = 0; i + STATE_ALIGN < header; i++) {
		base[i] ^= 1u << (i % 8);
		assert_int_equal(state_block_open(state_block_fd(a), &b), -EBADMSG);
		base[i] ^= 1u << (i % 8);
	}
	assert_int_equal(state_block_open(state_block_fd(a), &b), 0);
	state_block_close(b);
	munmap(base, st.st_size);
	state_block_close(a);
}

static void
files_that_are_no_block_are_refused(void **state)
{
	struct state_block *blk;
	char buf[8192] = {0};
	int fd;

	assert_int_equal(state_block_open(-1, &blk), -EINVAL);

	fd = memfd_create("short", MFD_CLOEXEC);
	assert_int_equal(state_block_open(fd, &blk), -EBADMSG);
	assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
	assert_int_equal(state_block_open(fd, &blk), -EBADMSG);
	close(fd);
}

static void
file_that_could_shrink_under_its_user_is_refused(void **state)
{
	struct state_block *a = block(), *b;
	char buf[16384];
	ssize_t n = pread(state_block_fd(a), buf, sizeof(buf), 0);
	int fd = memfd_create("copy", MFD_CLOEXEC);

	assert_true(n > 0);
	assert_int_equal(write(fd, buf, n), n);
	assert_int_equal(state_block_open(fd, &b), -EBADMSG);
	assert_int_equal(ftruncate(state_block_fd(a), 0), -1);
	close(fd);
	state_block_close(a);
}

static void
nothing_is_leaked_by_blocks_opened_closed_or_refused(void **state)
{
	int before = open_fds();

	state_block_close(NULL);
	block_opened_by_its_descriptor_shows_what_was_written(state);
	files_that_are_no_block_are_refused(state);
	block_with_impossible_descriptors_is_not_created(state);
	assert_int_equal(open_fds(), before);
}

static int
test_state(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_block_has_its_sections_zeroed_and_aligned),
		cmocka_unit_test(block_opened_by_its_descriptor_shows_what_was_written),
		cmocka_unit_test(section_of_another_version_or_smaller_or_absent_is_not_handed_out),
		cmocka_unit_test(block_with_impossible_descriptors_is_not_created),
		cmocka_unit_test(block_has_limits_of_name_and_sections),
		cmocka_unit_test(block_with_any_bit_of_its_header_or_table_flipped_is_refused),
		cmocka_unit_test(files_that_are_no_block_are_refused),
		cmocka_unit_test(file_that_could_shrink_under_its_user_is_refused),
		cmocka_unit_test(nothing_is_leaked_by_blocks_opened_closed_or_refused),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(state, test_state)
