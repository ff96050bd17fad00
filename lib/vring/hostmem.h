/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VRING_HOSTMEM_H
#define VRING_HOSTMEM_H

/**
 * @file
 * Host-memory table: I/O virtual addresses of a device -> memory of this process.
 *
 * The control lcore owns a struct hostmem per device and edits it as the client maps and unmaps
 * ranges. Workers never see it: they read a struct hostmem_table, an immutable sorted snapshot made
 * by hostmem_publish(). What a former snapshot referred to is freed with hostmem_retire() once
 * every worker has passed a quiescent state.
 *
 * Files are mapped whole and once: a client that sends a descriptor of the same file per 4 KiB page
 * (a virtual IOMMU does) or per device costs one mapping. Mappings are MADV_DONTDUMP. What they
 * take of the process's addresses and mappings is limited, per device and for all, so that no
 * client harms another one or the process (HOSTMEM_SPACE_*, HOSTMEM_MAPS_*).
 *
 * Unless stated otherwise functions are for the control lcore only.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HOSTMEM_READ  0x1 /**< the device may read it */
#define HOSTMEM_WRITE 0x2 /**< the device may write it */

/**
 * Ranges of one device. QEMU's own limit is 65535 mappings; a guest with a page-grained vIOMMU
 * comes near.
 */
#define HOSTMEM_MAX_RANGES 65535u
/**
 * Files of one device: QEMU takes 256 memory modules plus a few regions of its own, and a process
 * has 65530 mappings in all (vm.max_map_count), which no single client may use up.
 */
#define HOSTMEM_MAX_FILES 512u
/** Largest file: a sparse one costs its sender nothing. */
#define HOSTMEM_MAX_FILE_SIZE HOSTMEM_SPACE_DEVICE

/** Devices that limits are made for: as many as a keeper has room for. */
#define HOSTMEM_DEVICES 1100u

/**
 * Addresses of the files that one device's ranges lie in: guests have several TiB, none more than
 * this. A file counts as long as it is, however little of it is named.
 */
#define HOSTMEM_SPACE_DEVICE (UINT64_C(16) << 40)
/**
 * So much each device can have, whatever others have taken: most guests' memory.
 */
#define HOSTMEM_SPACE_SHARE (UINT64_C(32) << 30)
/**
 * What is beyond devices' shares, for all of them; a file that devices have in common counts once.
 */
#define HOSTMEM_SPACE_OPEN (UINT64_C(80) << 40)
/**
 * Together 114 TiB of the 128 TiB that a process has on x86-64 (four levels of page tables). The
 * rest is the process's own: a process without addresses has no heap. EAL reserves half a TiB for
 * each size of pages (RTE_MAX_MEM_MB).
 */
#define HOSTMEM_SPACE_ALL (HOSTMEM_SPACE_OPEN + HOSTMEM_DEVICES * HOSTMEM_SPACE_SHARE)

/**
 * One area (hostmem_area()): a dirty log with a bit for each page of 64 TiB of guest addresses,
 * four times what a device may have mapped, for there are holes between them. Where a guest's
 * memory ends is no limit: clients make their log larger before they add memory.
 */
#define HOSTMEM_AREA_SIZE ((UINT64_C(64) << 40) / 4096 / 8)

/**
 * Mappings, of which the kernel gives a process 65530 (vm.max_map_count). A device has one for each
 * file and, where a virtual IOMMU lays out rings in scattered pages, one for each piece of them:
 * seven pages for a split queue of 1024, and 256 queues.
 */
#define HOSTMEM_MAPS_DEVICE 2048u
/** So many each device can have, whatever others have taken. */
#define HOSTMEM_MAPS_SHARE 32u
/** Beyond devices' shares, for all of them. With the shares 57728: the rest is the process's own.
 */
#define HOSTMEM_MAPS_OPEN 22528u

struct hostmem_files;	/**< files mapped by this process, shared by all devices */
struct hostmem_edit;	/**< the control lcore's side of a struct hostmem */
struct hostmem_retired; /**< what a former snapshot held */

/** One entry of a snapshot. */
struct hostmem_region {
	uint64_t iova;
	uint64_t len;
	uint8_t *va; /**< NULL: a range without memory, accesses fail */
	uint32_t prot;
	uint32_t use; /**< the table's own: which of the device's files */
};

struct hostmem_chunk; /**< some consecutive regions, shared between snapshots */

/** Consecutive regions from iova on. */
struct hostmem_slice {
	uint64_t iova;
	struct hostmem_chunk *chunk;
};

/**
 * Snapshot: slices sorted by iova, immutable once published.
 *
 * A snapshot shares all chunks with its predecessor that were not edited in between. So publishing
 * one edit costs one chunk and the list of slices - some microseconds even with HOSTMEM_MAX_RANGES
 * ranges, when a virtual IOMMU maps page by page and waits for each reply.
 */
struct hostmem_table {
	uint64_t gen; /**< number of the snapshot: addresses of tables come again, this does not */
	uint32_t n;
	struct hostmem_slice slice[];
};

/**
 * Ranges of one device. Workers follow `published` (hostmem_table()) and nothing else.
 */
struct hostmem {
	const struct hostmem_table *published;
	struct hostmem_edit *edit; /**< the control lcore's side */
};

/** A reader's cache: the region hit last. Belongs to one ring; void with another snapshot. */
struct hostmem_hint {
	uint64_t iova;
	uint64_t len; /**< 0: nothing cached */
	uint8_t *va;
	uint32_t prot;
};

/**
 * @param any_file  accept descriptors of any file system, not only tmpfs, memfd and hugetlbfs
 *                  (a FUSE file could stall a worker)
 */
struct hostmem_files *hostmem_files_create(bool any_file);
void hostmem_files_destroy(struct hostmem_files *files);

/**
 * SIGBUS at addr: if it lies in a client's file, replace the file's mapping by anonymous zero pages
 * and mark the file as gone. Async-signal-safe, any thread.
 *
 * @return true if the address was ours and the access may be tried again
 */
bool hostmem_files_sigbus(struct hostmem_files *files, void *addr);

struct hostmem *hostmem_create(struct hostmem_files *files);
/** No worker may hold a snapshot any more. May block (munmap). */
void hostmem_destroy(struct hostmem *hm);

/** Why the last hostmem_map(), hostmem_gather() or hostmem_area() was refused with -ENOSPC: what,
 * how much, the limit. Empty if it was not. */
const char *hostmem_refusal(const struct hostmem *hm);

/** Was a file of this device truncated under us (hostmem_files_sigbus())? The device must stop. */
bool hostmem_lost(const struct hostmem *hm);

/**
 * Add a client's memory range.
 *
 * It becomes visible to workers with the next hostmem_publish(). May block: maps the file.
 *
 * @param iova  first address, any alignment (QEMU sends 4 KiB-grained ranges of huge pages)
 * @param len   bytes, > 0; iova + len must not wrap
 * @param fd    file to map, or -1 for a range without memory; the caller keeps its own descriptor
 * @param off   offset of the range in the file
 * @param prot  HOSTMEM_READ | HOSTMEM_WRITE
 * @return 0; -EEXIST if it overlaps another range; -EINVAL on a bad length, unknown rights or a
 *         range beyond the end of the file; -EACCES if the descriptor lacks the rights or the file
 *         system is not accepted; -ENOSPC past a limit (hostmem_refusal()); -ENOMEM; -errno of
 *         mmap()
 */
int hostmem_map(struct hostmem *hm, uint64_t iova, uint64_t len, int fd, off_t off, int prot);

/**
 * The same for a range in a file that another range of the device lies in: nothing is asked of the
 * file system, which takes most of the time of hostmem_map(). For whoever maps many at once.
 *
 * @param like  an address in that other range
 * @return as hostmem_map(); -EAGAIN: its mapping does not do (no file, too short, fewer rights),
 * use hostmem_map()
 */
int hostmem_map_like(
	struct hostmem *hm, uint64_t iova, uint64_t len, uint64_t like, off_t off, int prot);

/**
 * hostmem_map() for a range that a former process had: no more is mapped of its file than there,
 * and the limits, which it was within, are not asked again. So what one device or the order of
 * devices takes from another is the same as before, whatever clients have made of their files
 * since.
 *
 * @param size  of the former mapping (hostmem_mapped_size()); 0: not known, the whole file
 */
int hostmem_adopt(struct hostmem *hm, uint64_t iova, uint64_t len, int fd, off_t off, int prot,
	uint64_t size);

/** Bytes that are mapped of the file in which a range lies, published or not; 0: no file. */
uint64_t hostmem_mapped_size(const struct hostmem *hm, uint64_t iova);

/**
 * Remove every range that lies wholly in [iova, iova + len).
 *
 * @return number of ranges removed; -EINVAL if the interval is empty, wraps or cuts a range in two
 *         (nothing is removed then); -ENOMEM (nothing removed either)
 */
int hostmem_unmap(struct hostmem *hm, uint64_t iova, uint64_t len);

/**
 * One piece of memory for addresses whose pages lie scattered, as a guest with a virtual IOMMU lays
 * out its rings: the same pages, mapped once more side by side. For areas that live long; works on
 * the snapshot in force. May block.
 *
 * @param iova  first address; where pieces meet, address and memory must be at a page's border
 * @param prot  rights that every piece must have
 * @return address, valid until hostmem_area_end() or the grace period after hostmem_unmap_all();
 *         NULL if the range is not mapped so, is past a limit (hostmem_refusal()) or there is no
 *         memory
 */
uint8_t *hostmem_gather(struct hostmem *hm, uint64_t iova, uint64_t len, uint32_t prot);

/**
 * A part of a client's file that is no range of the device's memory, to be read and written, such
 * as a dirty log. It counts and is watched (hostmem_lost()) as the others. May block.
 *
 * @param adopt  a former process had it: limits are not asked
 * @param out    its address, valid as long as a gathered one
 * @return 0; -errno as hostmem_map(); -EACCES also for huge pages, in which a client can punch a
 *         hole that there is no page for any more
 */
int hostmem_area(struct hostmem *hm, int fd, off_t off, uint64_t len, bool adopt, uint8_t **out);

/** Give up what hostmem_gather() or hostmem_area() returned. No worker may use it any more. May
 * block. */
void hostmem_area_end(struct hostmem *hm, uint8_t *va);

/** Remove all ranges (client gone). */
void hostmem_unmap_all(struct hostmem *hm);

/**
 * Make the edits visible.
 *
 * @param retired  what must be freed with hostmem_retire() after a grace period, or NULL if nothing
 * @return 0; -ENOMEM (nothing changed)
 */
int hostmem_publish(struct hostmem *hm, struct hostmem_retired **retired);

/** Free what a former snapshot held. Any one thread; may block (munmap of much touched memory). */
void hostmem_retire(struct hostmem_retired *retired);

/** The snapshot in force, never NULL. Any thread; valid until the reader's next quiescent state. */
static inline const struct hostmem_table *
hostmem_table(const struct hostmem *hm)
{
	return __atomic_load_n(&hm->published, __ATOMIC_ACQUIRE);
}

/** Ranges of the device, for listing. */
unsigned int hostmem_ranges(const struct hostmem *hm);

/**
 * Slow path of hostmem_translate(): binary search. Any thread.
 *
 * Fills the hint with the range found, widened by neighbours that go on in memory with the same
 * rights.
 */
uint8_t *hostmem_lookup(const struct hostmem_table *t, struct hostmem_hint *hint, uint64_t iova,
	uint64_t *len, uint32_t prot);

/**
 * Translate the beginning of [iova, iova + *len). Any thread that holds the table.
 *
 * @param len  in: bytes wanted, > 0; out: contiguous bytes at the returned address, <= wanted
 * @return address, or NULL if iova is not mapped with all rights in prot (or is a range without
 *         memory)
 */
static inline uint8_t *
hostmem_translate(const struct hostmem_table *t, struct hostmem_hint *hint, uint64_t iova,
	uint64_t *len, uint32_t prot)
{
	const uint64_t off = iova - hint->iova;

	if (__builtin_expect(
		    off < hint->len && *len <= hint->len - off && (prot & ~hint->prot) == 0, 1))
		return hint->va + off;
	return hostmem_lookup(t, hint, iova, len, prot);
}

#endif /* VRING_HOSTMEM_H */
