/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The register: its layout, and what is checked before it is believed. */

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kept_register.h"

#define REGISTER_VERSION 1u
#define REGISTER_MARK	 0x76646b70u /* an entry that counts */
#define REGISTER_SEALS	 (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static const char register_magic[8] = {'v', 'n', 'e', 't', 'k', 'e', 'p', '\n'};

struct header {
	char magic[8];
	uint32_t version;
	uint32_t entry_size;
	uint32_t slots;
	uint32_t reserved;
	uint64_t checksum; /* of what is before it */
};

struct identity {
	struct ha_open open;
	uint32_t handle;
	uint32_t reserved[2]; /* checksums cover every byte: no padding */
	uint64_t checksum;
};

struct variable {
	uint64_t seq;
	struct register_state state;
	uint64_t checksum;
};

/* Stands once: what was being written when the keeper died is as good as lost. */
struct aliases {
	struct register_aliases a;
	uint32_t checksum;
};

struct entry {
	_Atomic uint32_t mark;
	uint32_t reserved;
	struct identity id;
	struct variable var[2];
	struct aliases aliases; /* 0 where a keeper has written that did not know of them */
} __attribute__((aligned(64)));

struct layout {
	struct header hdr;
	struct entry entry[REGISTER_SLOTS];
};

/* A keeper of another version may read it: whoever changes this counts REGISTER_VERSION up. */
_Static_assert(sizeof(struct entry) == 512, "layout of the register");
_Static_assert(offsetof(struct identity, checksum) == sizeof(struct ha_open) + 12, "no padding");
_Static_assert(
	offsetof(struct variable, checksum) == sizeof(struct register_state) + 8, "no padding");

_Static_assert(offsetof(struct aliases, checksum) == sizeof(struct register_aliases), "no padding");
_Static_assert(offsetof(struct entry, aliases) == 472, "where version 1 had nothing");

struct kept_register {
	int fd;
	struct layout *mem;
};

/* FNV-1a, over what stands before the checksum: against damage, not against an adversary. */
static uint64_t
checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t sum = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001b3ull;
	return sum;
}

#define CHECKSUM(s) checksum((s), offsetof(__typeof__(*(s)), checksum))

static struct kept_register *
register_alloc(void)
{
	struct kept_register *reg = calloc(1, sizeof(*reg));

	if (reg != NULL)
		reg->fd = -1;
	return reg;
}

static int
register_map(struct kept_register *reg)
{
	void *mem = mmap(NULL, sizeof(*reg->mem), PROT_READ | PROT_WRITE, MAP_SHARED, reg->fd, 0);

	if (mem == MAP_FAILED)
		return -errno;
	reg->mem = mem;
	return 0;
}

static int
register_init(struct kept_register *reg)
{
	struct header hdr = {.version = REGISTER_VERSION,
		.entry_size = sizeof(struct entry),
		.slots = REGISTER_SLOTS};
	int ret;

	reg->fd = memfd_create("virtnet-register", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (reg->fd < 0)
		return -errno;
	if (ftruncate(reg->fd, sizeof(*reg->mem)) < 0 ||
		fcntl(reg->fd, F_ADD_SEALS, REGISTER_SEALS) < 0)
		return -errno;
	ret = register_map(reg);
	if (ret < 0)
		return ret;
	memcpy(hdr.magic, register_magic, sizeof(hdr.magic));
	hdr.checksum = CHECKSUM(&hdr);
	reg->mem->hdr = hdr;
	return 0;
}

int
register_create(struct kept_register **out)
{
	struct kept_register *reg = register_alloc();
	int ret;

	if (reg == NULL)
		return -ENOMEM;
	ret = register_init(reg);
	if (ret < 0) {
		register_close(reg);
		return ret;
	}
	*out = reg;
	return 0;
}

static int
register_adopt(struct kept_register *reg, int fd)
{
	struct header hdr;
	struct stat st;
	int seals, ret;

	reg->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (reg->fd < 0)
		return -errno;
	/* Without the seals it could shrink under us, and an access would be a SIGBUS. */
	seals = fcntl(reg->fd, F_GET_SEALS);
	if (seals < 0 || (seals & REGISTER_SEALS) != REGISTER_SEALS)
		return -EBADMSG;
	if (fstat(reg->fd, &st) < 0)
		return -errno;
	if (st.st_size != (off_t)sizeof(*reg->mem))
		return -EBADMSG;
	ret = register_map(reg);
	if (ret < 0)
		return ret;
	hdr = reg->mem->hdr;
	if (memcmp(hdr.magic, register_magic, sizeof(hdr.magic)) != 0 ||
		hdr.version != REGISTER_VERSION || hdr.entry_size != sizeof(struct entry) ||
		hdr.slots != REGISTER_SLOTS || hdr.checksum != CHECKSUM(&hdr))
		return -EBADMSG;
	return 0;
}

int
register_open(int fd, struct kept_register **out)
{
	struct kept_register *reg = register_alloc();
	int ret;

	if (reg == NULL)
		return -ENOMEM;
	ret = register_adopt(reg, fd);
	if (ret < 0) {
		register_close(reg);
		return ret;
	}
	*out = reg;
	return 0;
}

void
register_close(struct kept_register *reg)
{
	if (reg == NULL)
		return;
	if (reg->mem != NULL)
		munmap(reg->mem, sizeof(*reg->mem));
	if (reg->fd >= 0)
		close(reg->fd);
	free(reg);
}

int
register_fd(const struct kept_register *reg)
{
	return reg->fd;
}

/* The one that counts, copied; false if neither does. */
static bool
variable_latest(const struct entry *e, struct variable *out, unsigned int *index)
{
	bool found = false;

	for (unsigned int i = 0; i < 2; i++) {
		struct variable v = e->var[i];

		if (v.checksum != CHECKSUM(&v) || (found && v.seq < out->seq))
			continue;
		*out = v;
		*index = i;
		found = true;
	}
	return found;
}

static void
variable_write(struct variable *to, uint64_t seq, const struct register_state *state)
{
	struct variable v;

	memset(&v, 0, sizeof(v));
	v.seq = seq;
	v.state = *state;
	v.checksum = CHECKSUM(&v);
	*to = v;
}

void
register_update(struct kept_register *reg, unsigned int slot, const struct register_state *state)
{
	struct entry *e = &reg->mem->entry[slot];
	struct variable last = {0};
	unsigned int at = 1;

	(void)variable_latest(e, &last, &at);
	variable_write(&e->var[1 - at], last.seq + 1, state);
}

void
register_put(struct kept_register *reg, unsigned int slot, uint32_t handle,
	const struct ha_open *open, const struct register_state *state)
{
	struct entry *e = &reg->mem->entry[slot];
	struct identity id;

	register_clear(reg, slot);
	memset(&id, 0, sizeof(id));
	id.handle = handle;
	id.open = *open;
	id.checksum = CHECKSUM(&id);
	e->id = id;
	memset(e->var, 0, sizeof(e->var));
	memset(&e->aliases, 0, sizeof(e->aliases));
	variable_write(&e->var[0], 1, state);
	atomic_store_explicit(&e->mark, REGISTER_MARK, memory_order_release);
}

void
register_clear(struct kept_register *reg, unsigned int slot)
{
	atomic_store_explicit(&reg->mem->entry[slot].mark, 0, memory_order_release);
}

void
register_alias(struct kept_register *reg, unsigned int slot, const struct register_aliases *aliases)
{
	struct aliases a = {.a = *aliases};

	a.checksum = (uint32_t)CHECKSUM(&a);
	reg->mem->entry[slot].aliases = a;
}

void
register_aliases(
	const struct kept_register *reg, unsigned int slot, struct register_aliases *aliases)
{
	const struct aliases a = reg->mem->entry[slot].aliases;

	*aliases = (struct register_aliases){0};
	if (a.checksum == (uint32_t)CHECKSUM(&a))
		*aliases = a.a;
}

static bool
terminated(const char *s, size_t len)
{
	return memchr(s, '\0', len) != NULL;
}

int
register_get(const struct kept_register *reg, unsigned int slot, uint32_t *handle,
	struct ha_open *open, struct register_state *state)
{
	const struct entry *e = &reg->mem->entry[slot];
	const uint32_t mark = atomic_load_explicit(&e->mark, memory_order_acquire);
	struct identity id = e->id;
	struct variable v;
	unsigned int at;

	if (mark == 0)
		return 0;
	if (mark != REGISTER_MARK || id.checksum != CHECKSUM(&id) || !variable_latest(e, &v, &at))
		return -EBADMSG;
	if (id.handle == 0 || !terminated(id.open.transport, sizeof(id.open.transport)) ||
		!terminated(id.open.vuid, sizeof(id.open.vuid)) ||
		!terminated(id.open.path, sizeof(id.open.path)))
		return -EBADMSG;
	*handle = id.handle;
	*open = id.open;
	*state = v.state;
	return 1;
}
