/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Clients' files: which are accepted, one mapping per file, and what happens when one is truncated.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <linux/magic.h>

#include "vring/hostmem_files.h"

#define FILES_PER_BLOCK 32
/* Hosts map hundreds of files at most between them; chains stay short. */
#define FILE_BUCKETS 256u

struct file_block {
	struct file_block *next;
	struct hostmem_file file[FILES_PER_BLOCK];
};

struct hostmem_files {
	struct file_block
		*blocks; /* grows at the front, for the fault handler's sake never shrinks */
	uint32_t n_lost;
	bool any_file;
	struct hostmem_budget budget;
	/*
	 * Mapped files by device and inode, for the control lcore alone: who unmaps a file leaves
	 * it here, and it goes when its entry is used again.
	 */
	struct hostmem_file *bucket[FILE_BUCKETS];
};

struct hostmem_files *
hostmem_files_create(bool any_file)
{
	struct hostmem_files *files = calloc(1, sizeof(*files));

	if (files != NULL)
		files->any_file = any_file;
	return files;
}

void
hostmem_files_destroy(struct hostmem_files *files)
{
	struct file_block *b, *next;

	if (files == NULL)
		return;
	for (b = files->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(files);
}

struct hostmem_budget *
hostmem_files_budget(struct hostmem_files *files)
{
	return &files->budget;
}

static int
file_inspect(const struct hostmem_files *files, int fd, int prot, struct hostmem_file_info *info)
{
	struct statfs fs;
	struct stat st;
	int flags;

	/*
	 * Only memory has seals, and to ask for them calls no file system: fstat() of a FUSE file
	 * would wait for its server, which may be the client.
	 */
	if (!files->any_file && fcntl(fd, F_GET_SEALS) < 0)
		return errno == EBADF ? -EBADF : -EACCES;
	if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
		return -errno;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	if (!files->any_file && fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC)
		return -EACCES;
	if ((flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY)
		return -EACCES;
	info->writable = (flags & O_ACCMODE) == O_RDWR;
	if ((prot & HOSTMEM_WRITE) != 0 && !info->writable)
		return -EACCES;
	info->dev = st.st_dev;
	info->ino = st.st_ino;
	info->size = (uint64_t)st.st_size;
	/* munmap() of huge pages takes whole ones only */
	info->page = fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)st.st_blksize
						  : (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

static bool
file_mapped(const struct hostmem_file *f)
{
	return (__atomic_load_n(&f->gen, __ATOMIC_ACQUIRE) & 1) != 0;
}

/* A reference on a file that another thread may be about to unmap. */
static bool
file_try_ref(struct hostmem_file *f)
{
	uint32_t refs = __atomic_load_n(&f->refs, __ATOMIC_RELAXED);

	while (refs != 0)
		if (__atomic_compare_exchange_n(
			    &f->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

static struct hostmem_file **
file_bucket(struct hostmem_files *files, dev_t dev, ino_t ino)
{
	return &files->bucket[(dev * 31 + ino) % FILE_BUCKETS];
}

static void
file_hash(struct hostmem_files *files, struct hostmem_file *f)
{
	struct hostmem_file **bucket = file_bucket(files, f->dev, f->ino);

	f->next = *bucket;
	f->hashed = true;
	*bucket = f;
}

static void
file_unhash(struct hostmem_files *files, struct hostmem_file *f)
{
	struct hostmem_file **at = file_bucket(files, f->dev, f->ino);

	if (!f->hashed)
		return;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->hashed = false;
}

/*
 * The mapping keeps the inode alive, so equal numbers mean the same file. A file that has grown
 * since does not fit and gets a second mapping.
 */
struct hostmem_file *
hostmem_file_find(
	struct hostmem_files *files, const struct hostmem_file_info *info, uint64_t end, int prot)
{
	for (struct hostmem_file *f = *file_bucket(files, info->dev, info->ino); f != NULL;
		f = f->next) {
		if (!file_mapped(f) || f->dev != info->dev || f->ino != info->ino ||
			f->size < end || hostmem_file_lost(f))
			continue;
		if ((prot & HOSTMEM_WRITE) != 0 && !f->writable)
			continue;
		if (file_try_ref(f))
			return f;
	}
	return NULL;
}

static struct hostmem_file *
file_slot(struct hostmem_files *files)
{
	struct file_block *b;

	for (b = files->blocks; b != NULL; b = b->next)
		for (unsigned int i = 0; i < FILES_PER_BLOCK; i++)
			if (!file_mapped(&b->file[i]))
				return &b->file[i];
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->next = files->blocks;
	__atomic_store_n(&files->blocks, b, __ATOMIC_RELEASE);
	return &b->file[0];
}

/* A core file of ours must hold no guest's memory, nor take as long to write as it is large. */
static void
mapping_undumped(void *va, uint64_t len)
{
	(void)madvise(va, len, MADV_DONTDUMP);
}

/* Writable if it can be, because the next range of the file is likely to need it. */
static uint8_t *
file_mmap(int fd, uint64_t len, int prot, bool *writable)
{
	void *va = MAP_FAILED;

	if (*writable)
		va = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (va == MAP_FAILED && (prot & HOSTMEM_WRITE) == 0) {
		*writable = false;
		va = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	}
	return va == MAP_FAILED ? NULL : va;
}

int
hostmem_file_inspect(struct hostmem_files *files, int fd, uint64_t off, uint64_t len, int prot,
	uint64_t size, struct hostmem_file_info *info)
{
	int ret;

	ret = file_inspect(files, fd, prot, info);
	if (ret != 0)
		return ret;
	if (size != 0 && size < info->size)
		info->size = size;
	if (info->size > HOSTMEM_MAX_FILE_SIZE || off > info->size || len > info->size - off)
		return -EINVAL;
	return 0;
}

uint64_t
hostmem_file_len(const struct hostmem_file_info *info)
{
	return (info->size + info->page - 1) / info->page * info->page;
}

/* An entry for a mapping that is there, not to be seen yet. */
static void
file_fill(struct hostmem_files *files, struct hostmem_file *f, uint8_t *va, uint64_t len)
{
	mapping_undumped(va, len);
	file_unhash(files, f);
	f->va = va;
	f->len = len;
	f->size = 0;
	f->maps = 1;
	f->lost = false;
	f->budget = &files->budget;
	hostmem_budget_mapped(f->budget, len);
}

static void
file_show(struct hostmem_file *f)
{
	__atomic_store_n(&f->refs, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&f->gen, f->gen + 1, __ATOMIC_RELEASE);
}

int
hostmem_file_map(struct hostmem_files *files, int fd, const struct hostmem_file_info *info,
	int prot, struct hostmem_file **out)
{
	const uint64_t len = hostmem_file_len(info);
	struct hostmem_file *f = file_slot(files);
	bool writable = info->writable;
	uint8_t *va;

	if (f == NULL)
		return -ENOMEM;
	va = file_mmap(fd, len, prot, &writable);
	if (va == NULL)
		return -errno;
	file_fill(files, f, va, len);
	f->size = info->size;
	f->dev = info->dev;
	f->ino = info->ino;
	f->writable = writable;
	file_hash(files, f);
	file_show(f);
	*out = f;
	return 0;
}

struct hostmem_file *
hostmem_file_adopt(struct hostmem_files *files, uint8_t *va, uint64_t len, uint32_t maps)
{
	struct hostmem_file *f = file_slot(files);

	if (f == NULL)
		return NULL;
	file_fill(files, f, va, len);
	f->maps = maps;
	file_show(f);
	return f;
}

void
hostmem_file_put(struct hostmem_file *f)
{
	struct hostmem_budget *budget = f->budget;
	uint8_t *va = f->va;
	uint64_t len = f->len;

	if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) != 0)
		return;
	munmap(va, len);
	hostmem_budget_unmapped(budget, len);
	/* From here on the entry may be used again. */
	__atomic_store_n(&f->gen, f->gen + 1, __ATOMIC_RELEASE);
}

bool
hostmem_files_any_lost(const struct hostmem_files *files)
{
	return __atomic_load_n(&files->n_lost, __ATOMIC_ACQUIRE) != 0;
}

/*
 * The faulting thread holds a snapshot, so the file it hit stays mapped; other entries may change
 * while we look, and the generation tells.
 */
static bool
file_contains(const struct hostmem_file *f, uintptr_t addr, uint8_t **va, uint64_t *len)
{
	const uint32_t gen = __atomic_load_n(&f->gen, __ATOMIC_ACQUIRE);

	if ((gen & 1) == 0 || __atomic_load_n(&f->refs, __ATOMIC_RELAXED) == 0)
		return false;
	*va = __atomic_load_n(&f->va, __ATOMIC_RELAXED);
	*len = __atomic_load_n(&f->len, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&f->gen, __ATOMIC_RELAXED) != gen)
		return false;
	return addr - (uintptr_t)*va < *len;
}

bool
hostmem_files_sigbus(struct hostmem_files *files, void *addr)
{
	const struct file_block *first = __atomic_load_n(&files->blocks, __ATOMIC_ACQUIRE);
	const int saved = errno;
	uint64_t len = 0;
	uint8_t *va = NULL;
	bool ok;

	for (const struct file_block *b = first; b != NULL; b = b->next)
		for (unsigned int i = 0; i < FILES_PER_BLOCK; i++) {
			struct hostmem_file *f = (struct hostmem_file *)(uintptr_t)&b->file[i];

			if (!file_contains(f, (uintptr_t)addr, &va, &len))
				continue;
			ok = mmap(va, len, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
				     0) != MAP_FAILED;
			mapping_undumped(va, len);
			if (!__atomic_exchange_n(&f->lost, true, __ATOMIC_ACQ_REL))
				__atomic_add_fetch(&files->n_lost, 1, __ATOMIC_RELEASE);
			errno = saved;
			return ok;
		}
	return false;
}
