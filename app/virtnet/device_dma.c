/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The client's memory ranges in the state block: entries, the tree that finds them, files.
 *
 * What a crash between two stores leaves:
 * - map: file kept, its size, entry filled, `high`, valid, answer. Before valid there is no range,
 *   and the request, which still stands, maps it; after it the range stands and carries the number
 *   of the request. A file without ranges is dropped by the successor.
 * - unmap: number, ranges one after the other, files, answer. The request still stands and removes
 *   what is left; when nothing is left the number says that this is right.
 */

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "device_dma.h"

#define FILE_BUCKETS 64u

struct dma_file {
	dev_t dev;
	ino_t ino;
	bool writable;
	bool used;
	uint32_t ranges;
	uint64_t like; /* adoption: an address that lies in it */
	uint16_t next; /* slot + 1 of the next in the bucket */
};

struct device_dma {
	struct device_dma_state *state;
	const struct device_dma_ops *ops;
	void *ctx;
	void *tree; /* tsearch(): valid ranges, none overlap */
	uint32_t n;
	uint32_t n_lost; /* adoption: ranges whose memory cannot be had */
	/* Entries that were valid once, to be used again; the last given back comes first. */
	uint16_t *free;
	uint32_t n_free, free_room;
	struct dma_file file[HOSTMEM_MAX_FILES];
	uint16_t bucket[FILE_BUCKETS]; /* slot + 1 */
};

static uint64_t
last_of(const struct device_dma_range *r)
{
	return r->iova + (r->len - 1);
}

/* Ranges that overlap are equal: a key finds some range in it. */
static int
range_cmp(const void *a, const void *b)
{
	const struct device_dma_range *x = a, *y = b;

	if (last_of(x) < y->iova)
		return -1;
	return x->iova > last_of(y) ? 1 : 0;
}

static struct device_dma_range *
range_find(const struct device_dma *dma, uint64_t iova, uint64_t len)
{
	const struct device_dma_range key = {.iova = iova, .len = len};
	void *const *node = tfind(&key, &dma->tree, range_cmp);

	return node != NULL ? *(struct device_dma_range *const *)node : NULL;
}

/* ---- files ---- */

static uint16_t *
file_bucket(struct device_dma *dma, dev_t dev, ino_t ino)
{
	return &dma->bucket[(dev * 31 + ino) % FILE_BUCKETS];
}

static int
file_identify(int fd, struct dma_file *f)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) < 0)
		return -errno;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	f->writable = (flags & O_ACCMODE) == O_RDWR;
	return 0;
}

static void
file_enter(struct device_dma *dma, uint16_t slot, const struct dma_file *f)
{
	uint16_t *bucket = file_bucket(dma, f->dev, f->ino);

	dma->file[slot] = *f;
	dma->file[slot].used = true;
	dma->file[slot].ranges = 0;
	dma->file[slot].next = *bucket;
	*bucket = slot + 1;
}

/*
 * A file that is mapped twice, for it has grown in between, has two slots, so that each is known as
 * long as it is there and no longer.
 * @return slot, or -errno
 */
static int
file_get(struct device_dma *dma, int fd, uint64_t size)
{
	struct dma_file f = {0};
	uint16_t slot;
	int ret;

	ret = file_identify(fd, &f);
	if (ret < 0)
		return ret;
	for (uint16_t at = *file_bucket(dma, f.dev, f.ino); at != 0; at = dma->file[at - 1].next) {
		const struct dma_file *have = &dma->file[at - 1];

		if (have->dev == f.dev && have->ino == f.ino && have->writable == f.writable &&
			dma->state->file_size[at - 1] == size)
			return at - 1;
	}
	for (slot = 0; slot < HOSTMEM_MAX_FILES && dma->file[slot].used;)
		slot++;
	if (slot == HOSTMEM_MAX_FILES)
		return -ENOSPC;
	dma->state->file_size[slot] = size;
	file_enter(dma, slot, &f);
	dma->ops->store(dma->ctx, slot, fd);
	return slot;
}

static void
file_drop(struct device_dma *dma, uint16_t slot)
{
	struct dma_file *f = &dma->file[slot];
	uint16_t *at = file_bucket(dma, f->dev, f->ino);

	while (*at != slot + 1)
		at = &dma->file[*at - 1].next;
	*at = f->next;
	f->used = false;
	dma->ops->drop(dma->ctx, slot);
}

static void
file_put(struct device_dma *dma, uint16_t slot)
{
	if (slot != DEVICE_DMA_NO_FILE && --dma->file[slot].ranges == 0)
		file_drop(dma, slot);
}

/* ---- entries ---- */

/* Room to give every entry back, so that an unmap cannot fail. */
static int
free_reserve(struct device_dma *dma, uint32_t entries)
{
	uint32_t room = dma->free_room == 0 ? 64 : dma->free_room * 2;
	uint16_t *list;

	if (entries <= dma->free_room)
		return 0;
	while (room < entries)
		room *= 2;
	list = realloc(dma->free, room * sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	dma->free = list;
	dma->free_room = room;
	return 0;
}

static int
entry_get(struct device_dma *dma, uint32_t *i)
{
	struct device_dma_state *s = dma->state;
	int ret;

	if (dma->n_free > 0) {
		*i = dma->free[--dma->n_free];
		return 0;
	}
	if (s->high >= HOSTMEM_MAX_RANGES)
		return -ENOSPC;
	ret = free_reserve(dma, s->high + 1);
	if (ret < 0)
		return ret;
	*i = s->high++;
	return 0;
}

static void
entry_put(struct device_dma *dma, struct device_dma_range *r)
{
	dma->free[dma->n_free++] = (uint16_t)(r - dma->state->range);
}

static void
range_remove(struct device_dma *dma, struct device_dma_range *r)
{
	tdelete(r, &dma->tree, range_cmp);
	dma->n--;
	atomic_store_explicit(&r->valid, 0, memory_order_release);
	file_put(dma, r->file);
	entry_put(dma, r);
}

/* ---- life ---- */

int
device_dma_create(struct device_dma_state *state, const struct device_dma_ops *ops, void *ctx,
	struct device_dma **out)
{
	struct device_dma *dma = calloc(1, sizeof(*dma));

	if (dma == NULL)
		return -ENOMEM;
	dma->state = state;
	dma->ops = ops;
	dma->ctx = ctx;
	*out = dma;
	return 0;
}

static void
free_nothing(void *range)
{
	(void)range;
}

void
device_dma_destroy(struct device_dma *dma)
{
	if (dma == NULL)
		return;
	tdestroy(dma->tree, free_nothing);
	free(dma->free);
	free(dma);
}

/* ---- requests ---- */

bool
device_dma_mapped(const struct device_dma *dma, uint64_t seq, uint64_t iova, uint64_t len)
{
	const struct device_dma_range *r;

	if (len == 0 || iova + (len - 1) < iova)
		return false;
	r = range_find(dma, iova, len);
	return r != NULL && r->iova == iova && r->len == len && r->seq == (uint32_t)seq;
}

int
device_dma_map(struct device_dma *dma, uint64_t seq, uint64_t iova, uint64_t len, int fd, off_t off,
	int prot, uint64_t size)
{
	struct device_dma_range *r;
	int slot = DEVICE_DMA_NO_FILE, ret;
	uint32_t i;

	if (fd >= 0) {
		slot = file_get(dma, fd, size);
		if (slot < 0)
			return slot;
		dma->file[slot].ranges++;
	}
	ret = entry_get(dma, &i);
	if (ret < 0) {
		file_put(dma, (uint16_t)slot);
		return ret;
	}
	r = &dma->state->range[i];
	r->iova = iova;
	r->len = len;
	r->off = (uint64_t)off;
	r->seq = (uint32_t)seq;
	r->file = (uint16_t)slot;
	r->prot = (uint8_t)prot;
	if (tsearch(r, &dma->tree, range_cmp) == NULL) {
		file_put(dma, (uint16_t)slot);
		entry_put(dma, r);
		return -ENOMEM;
	}
	dma->n++;
	atomic_store_explicit(&r->valid, 1, memory_order_release);
	return 0;
}

bool
device_dma_unmapped(const struct device_dma *dma, uint64_t seq)
{
	return dma->state->unmap_seq == seq;
}

void
device_dma_unmap(struct device_dma *dma, uint64_t seq, uint64_t iova, uint64_t len)
{
	struct device_dma_range *r;

	dma->state->unmap_seq = seq;
	atomic_signal_fence(memory_order_seq_cst);
	while ((r = range_find(dma, iova, len)) != NULL)
		range_remove(dma, r);
}

void
device_dma_unmap_all(struct device_dma *dma, uint64_t seq)
{
	struct device_dma_state *s = dma->state;

	s->unmap_seq = seq;
	atomic_signal_fence(memory_order_seq_cst);
	for (uint32_t i = 0; i < s->high; i++)
		atomic_store_explicit(&s->range[i].valid, 0, memory_order_release);
	s->high = 0;
	tdestroy(dma->tree, free_nothing);
	dma->tree = NULL;
	dma->n = 0;
	dma->n_free = 0;
	for (uint16_t slot = 0; slot < HOSTMEM_MAX_FILES; slot++)
		if (dma->file[slot].used)
			file_drop(dma, slot);
}

unsigned int
device_dma_ranges(const struct device_dma *dma)
{
	return dma->n;
}

/* ---- a predecessor's ---- */

/* Files are few, ranges perhaps many. */
static int
adopt_memory(struct device_dma *dma, struct hostmem *hm, const int *fds,
	const struct device_dma_range *r)
{
	struct dma_file *f = &dma->file[r->file];
	int ret = -EAGAIN;

	if (f->ranges > 0)
		ret = hostmem_map_like(hm, r->iova, r->len, f->like, (off_t)r->off, r->prot);
	if (ret == -EAGAIN && f->used)
		ret = hostmem_adopt(hm, r->iova, r->len, fds[r->file], (off_t)r->off, r->prot,
			dma->state->file_size[r->file]);
	if (ret == 0) {
		f->ranges++;
		f->like = r->iova;
	}
	return ret;
}

/*
 * Memory that cannot be had, for the client has truncated its file, costs this range alone: a
 * client maps its other memory once and not again when its driver resets the device. The range
 * stays, without memory, for the client to unmap.
 */
static int
adopt_without(struct device_dma *dma, struct hostmem *hm, struct device_dma_range *r)
{
	const int ret = hostmem_map(hm, r->iova, r->len, -1, 0, r->prot);

	if (ret < 0)
		return ret;
	r->file = DEVICE_DMA_NO_FILE;
	dma->n_lost++;
	return 0;
}

static int
adopt_range(struct device_dma *dma, struct hostmem *hm, const int *fds, struct device_dma_range *r)
{
	const bool file = r->file != DEVICE_DMA_NO_FILE;
	void *const *node;

	if (r->len == 0 || r->iova + (r->len - 1) < r->iova || r->off > INT64_MAX || r->valid != 1)
		return -EBADMSG;
	if (file && r->file >= HOSTMEM_MAX_FILES)
		return -EBADMSG;
	node = tsearch(r, &dma->tree, range_cmp);
	if (node == NULL)
		return -ENOMEM;
	if (*(struct device_dma_range *const *)node != r)
		return -EBADMSG;
	dma->n++;
	if (file && adopt_memory(dma, hm, fds, r) == 0)
		return 0;
	return file ? adopt_without(dma, hm, r) : hostmem_map(hm, r->iova, r->len, -1, 0, r->prot);
}

static int
adopt_ranges(struct device_dma *dma, struct hostmem *hm, const int *fds)
{
	struct device_dma_state *s = dma->state;
	int ret;

	if (s->high > HOSTMEM_MAX_RANGES)
		return -EBADMSG;
	ret = free_reserve(dma, s->high);
	for (uint32_t i = s->high; i-- > 0 && ret == 0;) {
		if (atomic_load_explicit(&s->range[i].valid, memory_order_relaxed) == 0)
			entry_put(dma, &s->range[i]);
		else
			ret = adopt_range(dma, hm, fds, &s->range[i]);
	}
	return ret;
}

int
device_dma_adopt(struct device_dma *dma, struct hostmem *hm, const int *fds)
{
	struct dma_file f;
	int ret;

	for (uint16_t slot = 0; slot < HOSTMEM_MAX_FILES; slot++)
		if (fds[slot] >= 0 && file_identify(fds[slot], &f) == 0)
			file_enter(dma, slot, &f);
	ret = adopt_ranges(dma, hm, fds);
	if (ret < 0) {
		if (dma->state->high > HOSTMEM_MAX_RANGES)
			dma->state->high = HOSTMEM_MAX_RANGES;
		device_dma_unmap_all(dma, 0);
		return ret;
	}
	for (uint16_t slot = 0; slot < HOSTMEM_MAX_FILES; slot++)
		if (dma->file[slot].used && dma->file[slot].ranges == 0)
			file_drop(dma, slot);
	return (int)dma->n_lost;
}
