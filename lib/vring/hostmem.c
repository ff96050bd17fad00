/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Host-memory table of one device: ranges in chunks of a two-level sorted array, edited
 * copy-on-write.
 *
 * Chunks that a snapshot shows are never changed: an edit replaces the chunk it touches. Finding is
 * O(log n); an edit moves at most one chunk and, rarely, the list of slices; publishing copies the
 * list of slices only.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vring/hostmem_edit.h"

#define CHUNK_REGIONS 128u /* 4 KiB */
/* Neighbours looked at when a lookup widens its result: a bound, QEMU cuts RAM into fewer pieces.
 */
#define WIDEN_MAX 16u

struct hostmem_chunk {
	struct hostmem_chunk *next; /* in the list of replaced chunks */
	uint32_t n;
	bool shown; /* a published snapshot refers to it */
	struct hostmem_region region[CHUNK_REGIONS];
};

struct hostmem_retired {
	struct hostmem_table *table;
	struct file_use *uses;
	struct hostmem_chunk *chunks;
};

static const struct hostmem_table empty_table;

static uint64_t
region_last(const struct hostmem_region *r)
{
	return r->iova + (r->len - 1);
}

static void
chunks_free(struct hostmem_chunk *chunk)
{
	struct hostmem_chunk *next;

	for (; chunk != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
}

static void
chunk_drop(struct hostmem_edit *e, struct hostmem_chunk *chunk)
{
	if (!chunk->shown) {
		free(chunk);
		return;
	}
	chunk->next = e->dropped_chunks;
	e->dropped_chunks = chunk;
}

struct hostmem *
hostmem_create(struct hostmem_files *files)
{
	struct hostmem *hm = calloc(1, sizeof(*hm));

	if (hm == NULL)
		return NULL;
	hm->edit = calloc(1, sizeof(*hm->edit));
	if (hm->edit == NULL) {
		free(hm);
		return NULL;
	}
	hm->edit->files = files;
	hm->published = &empty_table;
	return hm;
}

void
hostmem_destroy(struct hostmem *hm)
{
	struct hostmem_edit *e;

	if (hm == NULL)
		return;
	e = hm->edit;
	hostmem_unmap_all(hm);
	hostmem_uses_free(e->dropped_uses);
	chunks_free(e->dropped_chunks);
	if (hm->published != &empty_table)
		free((void *)(uintptr_t)hm->published);
	free(e->slice);
	free(e);
	free(hm);
}

unsigned int
hostmem_ranges(const struct hostmem *hm)
{
	return hm->edit->n_ranges;
}

/* Last slice that begins at or before iova; 0 if there is none. */
static uint32_t
slice_find(const struct hostmem_slice *slice, uint32_t n, uint64_t iova)
{
	uint32_t lo = 0, hi = n;

	while (hi - lo > 1) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (slice[mid].iova <= iova)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Number of regions of the chunk that begin at or before iova. */
static uint32_t
chunk_find(const struct hostmem_chunk *c, uint64_t iova)
{
	uint32_t lo = 0, hi = c->n;

	while (lo < hi) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (c->region[mid].iova <= iova)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
region_goes_on(const struct hostmem_region *a, const struct hostmem_region *b)
{
	return a->iova + a->len == b->iova && a->va != NULL && b->va != NULL &&
	       a->va + a->len == b->va && a->prot == b->prot;
}

uint8_t *
hostmem_lookup(const struct hostmem_table *t, struct hostmem_hint *hint, uint64_t iova,
	uint64_t *len, uint32_t prot)
{
	const struct hostmem_chunk *c;
	uint32_t pos, first, last;
	uint64_t off;

	if (t->n == 0)
		return NULL;
	c = t->slice[slice_find(t->slice, t->n, iova)].chunk;
	pos = chunk_find(c, iova);
	if (pos-- == 0)
		return NULL;
	if (iova - c->region[pos].iova >= c->region[pos].len || c->region[pos].va == NULL ||
		(prot & ~c->region[pos].prot) != 0)
		return NULL;
	for (first = pos; first > 0 && pos - first < WIDEN_MAX; first--)
		if (!region_goes_on(&c->region[first - 1], &c->region[first]))
			break;
	for (last = pos; last + 1 < c->n && last - pos < WIDEN_MAX; last++)
		if (!region_goes_on(&c->region[last], &c->region[last + 1]))
			break;
	hint->iova = c->region[first].iova;
	hint->len = c->region[last].iova + c->region[last].len - hint->iova;
	hint->va = c->region[first].va;
	hint->prot = c->region[pos].prot;
	off = iova - hint->iova;
	if (*len > hint->len - off)
		*len = hint->len - off;
	return hint->va + off;
}

/* The chunk of a slice, made safe to change. */
static struct hostmem_chunk *
slice_own(struct hostmem_edit *e, uint32_t s)
{
	struct hostmem_chunk *old = e->slice[s].chunk, *c;

	if (!old->shown)
		return old;
	c = malloc(sizeof(*c));
	if (c == NULL)
		return NULL;
	c->n = old->n;
	c->shown = false;
	c->next = NULL;
	memcpy(c->region, old->region, old->n * sizeof(old->region[0]));
	e->slice[s].chunk = c;
	chunk_drop(e, old);
	return c;
}

static int
slice_insert(struct hostmem_edit *e, uint32_t s, struct hostmem_chunk *chunk)
{
	if (e->n_slices == e->cap) {
		const uint32_t cap = e->cap == 0 ? 4 : e->cap * 2;
		struct hostmem_slice *slice = realloc(e->slice, cap * sizeof(*slice));

		if (slice == NULL)
			return -ENOMEM;
		e->slice = slice;
		e->cap = cap;
	}
	memmove(&e->slice[s + 1], &e->slice[s], (e->n_slices - s) * sizeof(e->slice[0]));
	e->slice[s].chunk = chunk;
	e->n_slices++;
	return 0;
}

/* Make room for a region at position pos of slice s; both may move on to a new slice. */
static int
slice_make_room(struct hostmem_edit *e, uint32_t *s, uint32_t *pos)
{
	struct hostmem_chunk *c = NULL, *upper;
	uint32_t half;

	if (e->n_slices != 0) {
		c = slice_own(e, *s);
		if (c == NULL)
			return -ENOMEM;
		if (c->n < CHUNK_REGIONS)
			return 0;
	}
	upper = calloc(1, sizeof(*upper));
	if (upper == NULL)
		return -ENOMEM;
	if (slice_insert(e, c == NULL ? 0 : *s + 1, upper) != 0) {
		free(upper);
		return -ENOMEM;
	}
	if (c == NULL)
		return 0;
	/* Ascending maps leave full chunks behind. */
	half = *pos == CHUNK_REGIONS ? CHUNK_REGIONS : CHUNK_REGIONS / 2;
	upper->n = c->n - half;
	memcpy(upper->region, &c->region[half], upper->n * sizeof(c->region[0]));
	c->n = half;
	if (upper->n != 0)
		e->slice[*s + 1].iova = upper->region[0].iova;
	if (*pos > half || half == CHUNK_REGIONS) {
		*pos -= half;
		(*s)++;
	}
	return 0;
}

static void
region_insert(struct hostmem_edit *e, uint32_t s, uint32_t pos, const struct hostmem_region *r)
{
	struct hostmem_chunk *c = e->slice[s].chunk;

	memmove(&c->region[pos + 1], &c->region[pos], (c->n - pos) * sizeof(c->region[0]));
	c->region[pos] = *r;
	c->n++;
	e->slice[s].iova = c->region[0].iova;
	e->n_ranges++;
	e->dirty = true;
}

/* Where a new range belongs. */
static int
region_place(
	const struct hostmem_edit *e, const struct hostmem_region *r, uint32_t *s, uint32_t *pos)
{
	const struct hostmem_region *next = NULL;
	const struct hostmem_chunk *c;

	*s = 0;
	*pos = 0;
	if (e->n_slices == 0)
		return 0;
	*s = slice_find(e->slice, e->n_slices, r->iova);
	c = e->slice[*s].chunk;
	*pos = chunk_find(c, r->iova);
	if (*pos > 0 && region_last(&c->region[*pos - 1]) >= r->iova)
		return -EEXIST;
	if (*pos < c->n)
		next = &c->region[*pos];
	else if (*s + 1 < e->n_slices)
		next = &e->slice[*s + 1].chunk->region[0];
	if (next != NULL && next->iova <= region_last(r))
		return -EEXIST;
	return 0;
}

const struct hostmem_region *
hostmem_edit_find(const struct hostmem_edit *e, uint64_t iova)
{
	const struct hostmem_chunk *c;
	uint32_t pos;

	if (e->n_slices == 0)
		return NULL;
	c = e->slice[slice_find(e->slice, e->n_slices, iova)].chunk;
	pos = chunk_find(c, iova);
	return pos > 0 ? &c->region[pos - 1] : NULL;
}

static int
range_add(struct hostmem *hm, uint64_t iova, uint64_t len, const struct hostmem_source *from,
	off_t off, int prot)
{
	struct hostmem_region r = {.iova = iova, .len = len, .prot = (uint32_t)prot};
	struct hostmem_edit *e = hm->edit;
	struct file_use *use;
	uint32_t s, pos;
	int ret;

	e->refusal.text[0] = '\0';
	if (len == 0 || iova + len < iova || off < 0 ||
		(prot & ~(HOSTMEM_READ | HOSTMEM_WRITE)) != 0)
		return -EINVAL;
	if (e->n_ranges >= HOSTMEM_MAX_RANGES) {
		snprintf(e->refusal.text, sizeof(e->refusal.text),
			"it would be one of more than %u ranges", HOSTMEM_MAX_RANGES);
		return -ENOSPC;
	}
	ret = region_place(e, &r, &s, &pos);
	if (ret != 0)
		return ret;
	if (from->like != NULL || from->fd >= 0) {
		ret = hostmem_use_get(e, from, (uint64_t)off, len, prot, &use);
		if (ret != 0)
			return ret;
		r.va = use->file->va + off;
		r.use = use->number;
	}
	ret = slice_make_room(e, &s, &pos);
	if (ret != 0) {
		if (r.va != NULL)
			hostmem_use_put(e, r.use);
		return ret;
	}
	region_insert(e, s, pos, &r);
	return 0;
}

int
hostmem_map(struct hostmem *hm, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	const struct hostmem_source from = {.fd = fd};

	return range_add(hm, iova, len, &from, off, prot);
}

int
hostmem_adopt(
	struct hostmem *hm, uint64_t iova, uint64_t len, int fd, off_t off, int prot, uint64_t size)
{
	const struct hostmem_source from = {.fd = fd, .size = size, .adopt = true};

	return range_add(hm, iova, len, &from, off, prot);
}

int
hostmem_map_like(
	struct hostmem *hm, uint64_t iova, uint64_t len, uint64_t like, off_t off, int prot)
{
	const struct hostmem_source from = {.fd = -1, .like = &like};

	return range_add(hm, iova, len, &from, off, prot);
}

/* A span of regions: from the first of `from` up to, not including, `to`. */
struct span {
	uint32_t slice;
	uint32_t pos;
};

static const struct hostmem_region *
span_region(const struct hostmem_edit *e, struct span *at)
{
	while (at->slice < e->n_slices && at->pos >= e->slice[at->slice].chunk->n) {
		at->slice++;
		at->pos = 0;
	}
	return at->slice < e->n_slices ? &e->slice[at->slice].chunk->region[at->pos] : NULL;
}

/* Regions in [iova, last], or -EINVAL if one lies across a border. */
static int
span_find(const struct hostmem_edit *e, uint64_t iova, uint64_t last, struct span *from)
{
	const struct hostmem_region *r;
	struct span at = {0, 0};
	int n = 0;

	if (e->n_slices == 0)
		return 0;
	at.slice = slice_find(e->slice, e->n_slices, iova);
	at.pos = chunk_find(e->slice[at.slice].chunk, iova);
	if (at.pos > 0) {
		r = &e->slice[at.slice].chunk->region[at.pos - 1];
		if (r->iova == iova)
			at.pos--;
		else if (region_last(r) >= iova)
			return -EINVAL;
	}
	r = span_region(e, &at);
	*from = at;
	for (; r != NULL && r->iova <= last; n++) {
		if (region_last(r) > last)
			return -EINVAL;
		at.pos++;
		r = span_region(e, &at);
	}
	return n;
}

/* Remove k regions of one slice from pos on; true if the slice is gone. */
static bool
slice_cut(struct hostmem_edit *e, uint32_t s, uint32_t pos, uint32_t k)
{
	struct hostmem_chunk *c = e->slice[s].chunk;

	for (uint32_t i = pos; i < pos + k; i++)
		if (c->region[i].va != NULL)
			hostmem_use_put(e, c->region[i].use);
	e->n_ranges -= k;
	if (k == c->n) {
		chunk_drop(e, c);
		return true;
	}
	memmove(&c->region[pos], &c->region[pos + k], (c->n - pos - k) * sizeof(c->region[0]));
	c->n -= k;
	e->slice[s].iova = c->region[0].iova;
	return false;
}

int
hostmem_unmap(struct hostmem *hm, uint64_t iova, uint64_t len)
{
	struct hostmem_edit *e = hm->edit;
	uint32_t s, gone_from = 0, gone = 0, left;
	struct span from = {0, 0};
	int n;

	if (len == 0 || iova + (len - 1) < iova)
		return -EINVAL;
	n = span_find(e, iova, iova + (len - 1), &from);
	if (n <= 0)
		return n;
	/* All that can fail comes first: chunks that lose some of their regions must be ours. */
	for (s = from.slice, left = (uint32_t)n; left != 0; s++) {
		const uint32_t pos = s == from.slice ? from.pos : 0;
		const uint32_t here = e->slice[s].chunk->n - pos;

		if ((pos != 0 || here > left) && slice_own(e, s) == NULL)
			return -ENOMEM;
		left -= here < left ? here : left;
	}
	for (s = from.slice, left = (uint32_t)n; left != 0; s++) {
		const uint32_t pos = s == from.slice ? from.pos : 0;
		const uint32_t here = e->slice[s].chunk->n - pos;
		const uint32_t k = here < left ? here : left;

		if (slice_cut(e, s, pos, k) && gone++ == 0)
			gone_from = s;
		left -= k;
	}
	memmove(&e->slice[gone_from], &e->slice[gone_from + gone],
		(e->n_slices - gone_from - gone) * sizeof(e->slice[0]));
	e->n_slices -= gone;
	e->dirty = true;
	return n;
}

void
hostmem_unmap_all(struct hostmem *hm)
{
	struct hostmem_edit *e = hm->edit;

	if (e->n_ranges == 0 && e->n_files == 0)
		return;
	for (uint32_t s = 0; s < e->n_slices; s++)
		chunk_drop(e, e->slice[s].chunk);
	for (uint32_t i = 0; i < HOSTMEM_MAX_FILES; i++)
		if (e->use[i] != NULL)
			hostmem_use_drop(e, e->use[i]);
	e->n_slices = 0;
	e->n_ranges = 0;
	e->dirty = true;
}

int
hostmem_publish(struct hostmem *hm, struct hostmem_retired **retired)
{
	struct hostmem_table *t, *old = (struct hostmem_table *)(uintptr_t)hm->published;
	struct hostmem_edit *e = hm->edit;
	struct hostmem_retired *r;

	*retired = NULL;
	if (!e->dirty)
		return 0;
	t = malloc(sizeof(*t) + e->n_slices * sizeof(t->slice[0]));
	r = malloc(sizeof(*r));
	if (t == NULL || r == NULL) {
		free(t);
		free(r);
		return -ENOMEM;
	}
	t->gen = ++e->gen;
	t->n = e->n_slices;
	if (t->n != 0)
		memcpy(t->slice, e->slice, t->n * sizeof(t->slice[0]));
	for (uint32_t s = 0; s < t->n; s++)
		t->slice[s].chunk->shown = true;
	__atomic_store_n(&hm->published, t, __ATOMIC_RELEASE);
	r->table = old == &empty_table ? NULL : old;
	r->uses = e->dropped_uses;
	r->chunks = e->dropped_chunks;
	e->dropped_uses = NULL;
	e->dropped_chunks = NULL;
	e->dirty = false;
	if (r->table == NULL && r->uses == NULL && r->chunks == NULL)
		free(r);
	else
		*retired = r;
	return 0;
}

void
hostmem_retire(struct hostmem_retired *r)
{
	if (r == NULL)
		return;
	hostmem_uses_free(r->uses);
	chunks_free(r->chunks);
	free(r->table);
	free(r);
}
