/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* State blocks: layout of the memfd, its creation and the checks before one is believed. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state.h"

#define STATE_LAYOUT 1u
/*
 * Bound on one block; far above a device with every queue, small enough that sums of 32-bit sizes
 * are safe.
 */
#define STATE_MAX_SIZE (1ull << 32)
#define STATE_SEALS    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const char state_magic[8] = {'v', 'n', 'e', 't', 's', 't', 'a', '\n'};

struct state_section {
	uint16_t id;
	uint16_t version;
	uint32_t size;
	uint64_t offset;
};

/* First bytes of the memfd. The checksum covers all of it with the checksum itself as 0. */
struct state_header {
	char magic[8];
	uint32_t layout;
	uint32_t n_sections;
	uint64_t size; /* of the whole block */
	uint64_t checksum;
	char name[STATE_NAME_MAX];
	struct state_section sections[STATE_MAX_SECTIONS];
};

/*
 * The header is a private copy: what another process does to the shared one later changes nothing
 * here.
 */
struct state_block {
	int fd;
	uint8_t *mem;
	struct state_header hdr;
};

static uint64_t
align_up(uint64_t v)
{
	return (v + STATE_ALIGN - 1) & ~(uint64_t)(STATE_ALIGN - 1);
}

/* FNV-1a: it guards against damage and foreign files, not against an adversary. */
static uint64_t
header_checksum(const struct state_header *hdr)
{
	struct state_header copy = *hdr;
	const uint8_t *p = (const uint8_t *)&copy;
	uint64_t sum = 0xcbf29ce484222325ull;

	copy.checksum = 0;
	for (size_t i = 0; i < sizeof(copy); i++)
		sum = (sum ^ p[i]) * 0x100000001b3ull;
	return sum;
}

static const struct state_section *
section_find(const struct state_header *hdr, uint16_t id)
{
	for (uint32_t i = 0; i < hdr->n_sections; i++)
		if (hdr->sections[i].id == id)
			return &hdr->sections[i];
	return NULL;
}

static int
header_fill(struct state_header *hdr, const char *name, const struct state_section_desc *desc,
	unsigned int n)
{
	uint64_t at = align_up(sizeof(*hdr));

	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr->magic, state_magic, sizeof(state_magic));
	hdr->layout = STATE_LAYOUT;
	strcpy(hdr->name, name);
	for (unsigned int i = 0; i < n; i++) {
		if (desc[i].id == 0 || desc[i].version == 0 || desc[i].size == 0 ||
			section_find(hdr, desc[i].id) != NULL)
			return -EINVAL;
		hdr->sections[i].id = desc[i].id;
		hdr->sections[i].version = desc[i].version;
		hdr->sections[i].size = desc[i].size;
		hdr->sections[i].offset = at;
		hdr->n_sections++;
		at = align_up(at + desc[i].size);
	}
	if (at > STATE_MAX_SIZE)
		return -EINVAL;
	hdr->size = at;
	hdr->checksum = header_checksum(hdr);
	return 0;
}

/* Everything that a section's user relies on; size is that of the file. */
static bool
header_intact(const struct state_header *hdr, uint64_t size)
{
	uint64_t free_from = sizeof(*hdr);

	if (memcmp(hdr->magic, state_magic, sizeof(state_magic)) != 0 ||
		hdr->layout != STATE_LAYOUT || hdr->checksum != header_checksum(hdr))
		return false;
	if (hdr->size != size || size > STATE_MAX_SIZE || hdr->n_sections > STATE_MAX_SECTIONS ||
		memchr(hdr->name, '\0', sizeof(hdr->name)) == NULL)
		return false;
	for (uint32_t i = 0; i < hdr->n_sections; i++) {
		const struct state_section *s = &hdr->sections[i];

		if (s->id == 0 || s->version == 0 || s->size == 0 || s->offset % STATE_ALIGN != 0 ||
			section_find(hdr, s->id) != s)
			return false;
		if (s->offset < free_from || s->offset > size || s->size > size - s->offset)
			return false;
		free_from = s->offset + s->size;
	}
	return true;
}

static int
block_map(struct state_block *blk, uint64_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, blk->fd, 0);

	if (mem == MAP_FAILED)
		return -errno;
	blk->mem = mem;
	blk->hdr.size = size;
	return 0;
}

static int
block_init(struct state_block *blk)
{
	int ret;

	blk->fd = memfd_create(blk->hdr.name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (blk->fd < 0)
		return -errno;
	if (ftruncate(blk->fd, (off_t)blk->hdr.size) < 0 ||
		fcntl(blk->fd, F_ADD_SEALS, STATE_SEALS) < 0)
		return -errno;
	ret = block_map(blk, blk->hdr.size);
	if (ret == 0)
		memcpy(blk->mem, &blk->hdr, sizeof(blk->hdr));
	return ret;
}

static struct state_block *
block_alloc(void)
{
	struct state_block *blk = calloc(1, sizeof(*blk));

	if (blk != NULL)
		blk->fd = -1;
	return blk;
}

int
state_block_create(const char *name, const struct state_section_desc *desc, unsigned int n,
	struct state_block **out)
{
	struct state_block *blk;
	int ret;

	if (strlen(name) >= STATE_NAME_MAX)
		return -EINVAL;
	if (n > STATE_MAX_SECTIONS)
		return -ENOSPC;
	blk = block_alloc();
	if (blk == NULL)
		return -ENOMEM;
	ret = header_fill(&blk->hdr, name, desc, n);
	if (ret == 0)
		ret = block_init(blk);
	if (ret < 0) {
		state_block_close(blk);
		return ret;
	}
	*out = blk;
	return 0;
}

static int
block_adopt(struct state_block *blk, int fd)
{
	struct stat st;
	int seals, ret;

	blk->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (blk->fd < 0 || fstat(blk->fd, &st) < 0)
		return -errno;
	/* Without the seals the file could shrink under us, and an access would be a SIGBUS. */
	seals = fcntl(blk->fd, F_GET_SEALS);
	if (seals < 0 || (seals & STATE_SEALS) != STATE_SEALS)
		return -EBADMSG;
	if (st.st_size < (off_t)sizeof(blk->hdr) || (uint64_t)st.st_size > STATE_MAX_SIZE)
		return -EBADMSG;
	ret = block_map(blk, (uint64_t)st.st_size);
	if (ret < 0)
		return ret;
	memcpy(&blk->hdr, blk->mem, sizeof(blk->hdr));
	if (!header_intact(&blk->hdr, (uint64_t)st.st_size)) {
		blk->hdr.size = (uint64_t)st.st_size; /* what is to be unmapped */
		return -EBADMSG;
	}
	return 0;
}

int
state_block_open(int fd, struct state_block **out)
{
	struct state_block *blk;
	int ret;

	if (fd < 0)
		return -EINVAL;
	blk = block_alloc();
	if (blk == NULL)
		return -ENOMEM;
	ret = block_adopt(blk, fd);
	if (ret < 0) {
		state_block_close(blk);
		return ret;
	}
	*out = blk;
	return 0;
}

void
state_block_close(struct state_block *blk)
{
	if (blk == NULL)
		return;
	if (blk->mem != NULL)
		munmap(blk->mem, blk->hdr.size);
	if (blk->fd >= 0)
		close(blk->fd);
	free(blk);
}

int
state_block_fd(const struct state_block *blk)
{
	return blk->fd;
}

const char *
state_block_name(const struct state_block *blk)
{
	return blk->hdr.name;
}

void *
state_block_section(
	const struct state_block *blk, enum state_section_id id, uint16_t version, size_t size)
{
	const struct state_section *s = section_find(&blk->hdr, (uint16_t)id);

	if (s == NULL || s->version != version || s->size < size)
		return NULL;
	return blk->mem + s->offset;
}

uint16_t
state_block_section_version(const struct state_block *blk, enum state_section_id id)
{
	const struct state_section *s = section_find(&blk->hdr, (uint16_t)id);

	return s == NULL ? 0 : s->version;
}

unsigned int
state_block_describe(const struct state_block *blk, struct state_section_desc *desc)
{
	for (uint32_t i = 0; i < blk->hdr.n_sections; i++) {
		desc[i].id = blk->hdr.sections[i].id;
		desc[i].version = blk->hdr.sections[i].version;
		desc[i].size = blk->hdr.sections[i].size;
	}
	return blk->hdr.n_sections;
}

uint64_t
state_block_section_offset(const struct state_block *blk, enum state_section_id id)
{
	const struct state_section *s = section_find(&blk->hdr, (uint16_t)id);

	return s == NULL ? 0 : s->offset;
}
