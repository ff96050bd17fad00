/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What a device uses of clients' files: below its ranges, and in areas of their own. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vring/hostmem_edit.h"

void
hostmem_uses_free(struct file_use *use)
{
	struct file_use *next;

	for (; use != NULL; use = next) {
		next = use->next;
		hostmem_file_put(use->file);
		free(use);
	}
}

static struct file_use **
use_bucket(struct hostmem_edit *e, const struct hostmem_file *file)
{
	return &e->bucket[(uintptr_t)file / sizeof(*file) % HOSTMEM_USE_BUCKETS];
}

static struct hostmem_cost
file_cost(const struct hostmem_file *file)
{
	return (struct hostmem_cost){.bytes = file->len, .maps = file->maps};
}

/* May the device use one more file, or area, of that cost? */
static int
use_ask(struct hostmem_edit *e, const struct hostmem_cost *more, bool shared)
{
	if (e->n_files >= HOSTMEM_MAX_FILES) {
		snprintf(e->refusal.text, sizeof(e->refusal.text),
			"it would be in more than %u files", HOSTMEM_MAX_FILES);
		return -ENOSPC;
	}
	return hostmem_budget_ask(
		hostmem_files_budget(e->files), &e->cost, more, shared, &e->refusal);
}

/* A use with no range yet; the reference on the file becomes its own. */
static int
use_new(struct hostmem_edit *e, struct hostmem_file *file, struct file_use **out)
{
	struct file_use **bucket = use_bucket(e, file), *use;
	const struct hostmem_cost cost = file_cost(file);
	uint32_t number = 0;

	if (e->n_files >= HOSTMEM_MAX_FILES)
		return -ENOSPC;
	use = calloc(1, sizeof(*use));
	if (use == NULL)
		return -ENOMEM;
	while (e->use[number] != NULL)
		number++;
	use->file = file;
	use->number = number;
	use->next = *bucket;
	*bucket = use;
	e->use[number] = use;
	e->n_files++;
	hostmem_budget_take(hostmem_files_budget(e->files), &e->cost, &cost);
	*out = use;
	return 0;
}

static void
use_remove(struct hostmem_edit *e, struct file_use *use)
{
	const struct hostmem_cost cost = file_cost(use->file);
	struct file_use **at = use_bucket(e, use->file);

	while (*at != use)
		at = &(*at)->next;
	*at = use->next;
	e->use[use->number] = NULL;
	e->n_files--;
	hostmem_budget_give(hostmem_files_budget(e->files), &e->cost, &cost);
}

static struct file_use *
use_find(struct hostmem_edit *e, const struct hostmem_file *file)
{
	struct file_use *use = *use_bucket(e, file);

	while (use != NULL && use->file != file)
		use = use->next;
	return use;
}

/* A mapping that another device has made, or that is to be made. */
static int
file_get(struct hostmem_edit *e, const struct hostmem_source *from,
	const struct hostmem_file_info *info, uint64_t end, int prot, struct hostmem_file **out)
{
	struct hostmem_cost cost = {.bytes = hostmem_file_len(info), .maps = 1};
	struct hostmem_file *file = hostmem_file_find(e->files, info, end, prot);
	int ret = 0;

	if (file != NULL) {
		*out = file;
		if (use_find(e, file) != NULL)
			return 0;
		cost = file_cost(file);
	}
	if (!from->adopt)
		ret = use_ask(e, &cost, file != NULL);
	if (file != NULL && ret != 0)
		hostmem_file_put(file);
	if (file == NULL && ret == 0)
		ret = hostmem_file_map(e->files, from->fd, info, prot, out);
	return ret;
}

/*
 * Of equal right for all ranges of a file: the whole of it is mapped, since a virtual IOMMU's pages
 * of it come one by one, in any order, and what is one mapping can be found as one.
 */
static int
use_get_fd(struct hostmem_edit *e, const struct hostmem_source *from, uint64_t off, uint64_t len,
	int prot, struct file_use **out)
{
	struct hostmem_file_info info = {0};
	struct hostmem_file *file;
	struct file_use *use;
	int ret;

	ret = hostmem_file_inspect(e->files, from->fd, off, len, prot, from->size, &info);
	if (ret == 0)
		ret = file_get(e, from, &info, off + len, prot, &file);
	if (ret != 0)
		return ret;
	use = use_find(e, file);
	if (use != NULL)
		hostmem_file_put(file);
	else
		ret = use_new(e, file, &use);
	if (ret != 0) {
		hostmem_file_put(file);
		return ret;
	}
	*out = use;
	return 0;
}

/* The region that an address lies in, published or not. */
static const struct hostmem_region *
region_at(const struct hostmem_edit *e, uint64_t iova)
{
	const struct hostmem_region *r = hostmem_edit_find(e, iova);

	return r != NULL && iova - r->iova < r->len && r->va != NULL ? r : NULL;
}

static int
use_get_like(struct hostmem_edit *e, const struct hostmem_source *from, uint64_t off, uint64_t len,
	int prot, struct file_use **out)
{
	const struct hostmem_region *r = region_at(e, *from->like);
	struct file_use *use;

	if (r == NULL)
		return -EAGAIN;
	use = e->use[r->use];
	if (off > use->file->size || len > use->file->size - off || hostmem_file_lost(use->file) ||
		((prot & HOSTMEM_WRITE) != 0 && !use->file->writable))
		return -EAGAIN;
	*out = use;
	return 0;
}

int
hostmem_use_get(struct hostmem_edit *e, const struct hostmem_source *from, uint64_t off,
	uint64_t len, int prot, struct file_use **out)
{
	const int ret = from->like != NULL ? use_get_like(e, from, off, len, prot, out)
					   : use_get_fd(e, from, off, len, prot, out);

	if (ret == 0)
		(*out)->ranges++;
	return ret;
}

void
hostmem_use_drop(struct hostmem_edit *e, struct file_use *use)
{
	use_remove(e, use);
	use->next = e->dropped_uses;
	e->dropped_uses = use;
}

void
hostmem_use_put(struct hostmem_edit *e, uint32_t number)
{
	struct file_use *use = e->use[number];

	if (--use->ranges == 0)
		hostmem_use_drop(e, use);
}

uint64_t
hostmem_mapped_size(const struct hostmem *hm, uint64_t iova)
{
	const struct hostmem_region *r = region_at(hm->edit, iova);

	return r != NULL ? hm->edit->use[r->use]->file->size : 0;
}

bool
hostmem_lost(const struct hostmem *hm)
{
	const struct hostmem_edit *e = hm->edit;

	if (!hostmem_files_any_lost(e->files))
		return false;
	for (uint32_t i = 0; i < HOSTMEM_MAX_FILES; i++)
		if (e->use[i] != NULL && hostmem_file_lost(e->use[i]->file))
			return true;
	return false;
}

const char *
hostmem_refusal(const struct hostmem *hm)
{
	return hm->edit->refusal.text;
}

/* ---- areas ---- */

/* A mapping that has come about becomes an area; else it goes. */
static uint8_t *
area_new(struct hostmem *hm, uint8_t *va, uint64_t len, uint32_t maps)
{
	struct hostmem_file *file = hostmem_file_adopt(hm->edit->files, va, len, maps);
	struct file_use *use;

	if (file == NULL) {
		munmap(va, len);
		return NULL;
	}
	if (use_new(hm->edit, file, &use) != 0) {
		hostmem_file_put(file);
		return NULL;
	}
	return va;
}

/*
 * Map the pages of [iova, iova + len) side by side at win.
 * @return pieces that they lie in; -errno
 */
static int
pages_gather(
	struct hostmem *hm, uint64_t iova, uint64_t len, uint32_t prot, uint8_t *win, uint64_t size)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct hostmem_cost cost = {.bytes = size};
	struct hostmem_hint hint = {0};
	uint64_t got;
	int ret;

	for (uint64_t done = 0; done < len; done += got) {
		const uint64_t in_page = (iova + done) & (page - 1);
		uint8_t *va;

		got = len - done;
		va = hostmem_translate(hm->published, &hint, iova + done, &got, prot);
		if (va == NULL || ((uintptr_t)va & (page - 1)) != in_page)
			return -EFAULT;
		if (done + got < len && ((iova + done + got) & (page - 1)) != 0)
			return -EFAULT;
		cost.maps++;
		/* Rings are small: their bytes count, and need not be asked for. */
		ret = use_ask(hm->edit, &cost, true);
		if (ret < 0)
			return ret;
		/* Of a shared mapping, an old size of 0 asks for a second mapping. */
		if (mremap(va - in_page, 0, (in_page + got + page - 1) & ~(page - 1),
			    MREMAP_MAYMOVE | MREMAP_FIXED, win) == MAP_FAILED)
			return -errno;
		win += in_page + got;
	}
	return (int)cost.maps;
}

uint8_t *
hostmem_gather(struct hostmem *hm, uint64_t iova, uint64_t len, uint32_t prot)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), in_page = iova & (page - 1);
	const uint64_t size = (in_page + len + page - 1) & ~(page - 1);
	uint8_t *win, *area;
	int pieces;

	hm->edit->refusal.text[0] = '\0';
	win = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (win == MAP_FAILED)
		return NULL;
	pieces = pages_gather(hm, iova, len, prot, win, size);
	if (pieces < 0) {
		munmap(win, size);
		return NULL;
	}
	area = area_new(hm, win, size, (uint32_t)pieces);
	return area != NULL ? area + in_page : NULL;
}

int
hostmem_area(struct hostmem *hm, int fd, off_t off, uint64_t len, bool adopt, uint8_t **out)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), in_page = (uint64_t)off & (page - 1);
	const struct hostmem_cost cost = {
		.bytes = (in_page + len + page - 1) & ~(page - 1),
		.maps = 1,
	};
	struct hostmem_file_info info = {0};
	uint8_t *area;
	void *va;
	int ret;

	hm->edit->refusal.text[0] = '\0';
	if (off < 0 || len == 0)
		return -EINVAL;
	if (len > HOSTMEM_AREA_SIZE) {
		snprintf(hm->edit->refusal.text, sizeof(hm->edit->refusal.text),
			"it would take %" PRIu64 " MiB of addresses, limit %" PRIu64 " MiB",
			len >> 20, HOSTMEM_AREA_SIZE >> 20);
		return -ENOSPC;
	}
	ret = hostmem_file_inspect(
		hm->edit->files, fd, (uint64_t)off, len, HOSTMEM_READ | HOSTMEM_WRITE, 0, &info);
	if (ret == 0 && info.page != page)
		ret = -EACCES;
	if (ret == 0 && !adopt)
		ret = use_ask(hm->edit, &cost, false);
	if (ret != 0)
		return ret;
	va = mmap(NULL, cost.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, off - (off_t)in_page);
	if (va == MAP_FAILED)
		return -errno;
	area = area_new(hm, va, cost.bytes, 1);
	if (area == NULL)
		return -ENOMEM;
	*out = area + in_page;
	return 0;
}

void
hostmem_area_end(struct hostmem *hm, uint8_t *va)
{
	struct hostmem_edit *e = hm->edit;
	struct file_use *use;

	for (uint32_t i = 0; i < HOSTMEM_MAX_FILES; i++) {
		use = e->use[i];
		/* Files have ranges; one may lie by now where pages were that went with their
		 * client. */
		if (use == NULL || use->ranges != 0 ||
			(uintptr_t)va - (uintptr_t)use->file->va >= use->file->len)
			continue;
		use_remove(e, use);
		use->next = NULL;
		hostmem_uses_free(use);
		return;
	}
}
