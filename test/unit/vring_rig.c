/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Guest memory and a ring with both sides, for the tests of lib/vring. */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "vring_rig.h"

struct rte_mempool *
rig_pool(void)
{
	struct rte_mempool *mp = rte_mempool_lookup("rig");

	if (mp == NULL)
		mp = rte_pktmbuf_pool_create("rig", RIG_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	return mp;
}

struct rig *
rig_new(void)
{
	struct rig *r =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*r), RTE_CACHE_LINE_SIZE));

	assert_non_null(r);
	memset(r, 0, sizeof(*r));
	r->slots = calloc(VRING_MAX_SIZE, sizeof(*r->slots));
	assert_non_null(r->slots);
	r->fd = memfd_create("virtnet-test-rig", MFD_CLOEXEC);
	assert_int_equal(ftruncate(r->fd, RIG_FILE_LEN), 0);
	r->mem = mmap(NULL, RIG_FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	assert_ptr_not_equal(r->mem, MAP_FAILED);
	r->files = hostmem_files_create(false);
	r->hm = hostmem_create(r->files);
	assert_int_equal(
		hostmem_map(r->hm, RIG_NEAR, RIG_NEAR_LEN, r->fd, 0, HOSTMEM_READ | HOSTMEM_WRITE),
		0);
	assert_int_equal(hostmem_map(r->hm, RIG_FAR, RIG_FAR_LEN, r->fd, RIG_FAR_OFF,
				 HOSTMEM_READ | HOSTMEM_WRITE),
		0);
	assert_int_equal(
		hostmem_map(r->hm, RIG_RO, RIG_RO_LEN, r->fd, RIG_RO_OFF, HOSTMEM_READ), 0);
	r->mp = rig_pool();
	assert_non_null(r->mp);
	rig_publish(r);
	return r;
}

void
rig_start(struct rig *r, uint16_t size, uint64_t features)
{
	const struct vring_driver_conf dconf = {
		.size = size,
		.features = features | r->format | RIG_VERSION1,
		.va = r->mem,
		.iova = RIG_NEAR,
		.slots = r->slots,
	};

	if (r->vr.hm != NULL)
		vring_stop(&r->vr);
	assert_true(vring_driver_memory(size, dconf.features) <= RIG_BUFS - RIG_NEAR);
	assert_int_equal(vring_driver_init(&r->vd, &dconf), 0);
	memset(&r->rec, 0, sizeof(r->rec));
	r->conf = (struct vring_conf){
		.size = size,
		.features = dconf.features,
		.desc = r->vd.desc_iova,
		.driver = r->vd.driver_iova,
		.device = r->vd.device_iova,
		.hm = r->hm,
		.record = &r->rec,
		.log = (features & RIG_LOG) != 0 ? &r->log : NULL,
		.used_log_addr = r->vd.device_iova,
	};
	r->burst = vring_burst_select(r->conf.features);
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
}

void
rig_free(struct rig *r)
{
	assert_int_equal(rig_mbufs_out(r), 0);
	vring_stop(&r->vr);
	hostmem_destroy(r->hm);
	hostmem_files_destroy(r->files);
	munmap(r->mem, RIG_FILE_LEN);
	close(r->fd);
	free(r->slots);
	free(r);
}

uint8_t *
rig_ptr(struct rig *r, uint64_t iova)
{
	if (iova - RIG_NEAR < RIG_NEAR_LEN)
		return r->mem + (iova - RIG_NEAR);
	if (iova - RIG_RO < RIG_RO_LEN)
		return r->mem + RIG_RO_OFF + (iova - RIG_RO);
	assert_true(iova - RIG_FAR < RIG_FAR_LEN);
	return r->mem + RIG_FAR_OFF + (iova - RIG_FAR);
}

void
rig_write(struct rig *r, uint64_t iova, const void *buf, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		*rig_ptr(r, iova + i) = ((const uint8_t *)buf)[i];
}

void
rig_read(struct rig *r, uint64_t iova, void *buf, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = *rig_ptr(r, iova + i);
}

void
rig_publish(struct rig *r)
{
	struct hostmem_retired *retired;

	assert_int_equal(hostmem_publish(r->hm, &retired), 0);
	if (r->vr.hm != NULL)
		vring_refresh(&r->vr);
	hostmem_retire(retired);
}

void
rig_desc(struct rig *r, uint16_t at, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
	r->vd.desc[at] =
		(struct virtq_desc){.addr = addr, .len = len, .flags = flags, .next = next};
}

void
rig_offer(struct rig *r, uint16_t head)
{
	r->vd.avail->ring[r->vd.avail_idx++ & r->vd.mask] = head;
	vring_driver_publish(&r->vd);
}

void
rig_pdesc(struct rig *r, uint64_t addr, uint32_t len, uint16_t flags, uint16_t id)
{
	struct vring_driver *vd = &r->vd;

	flags |= vd->avail_wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
	vd->ring[vd->avail_idx] =
		(struct pvirtq_desc){.addr = addr, .len = len, .id = id, .flags = flags};
	if (++vd->avail_idx == vd->size) {
		vd->avail_idx = 0;
		vd->avail_wrap = !vd->avail_wrap;
	}
}

uint32_t
rig_shown(const struct rig *r)
{
	/* A packed ring has no index. What tells is where a used entry does not stand. */
	if (!r->vr.packed)
		return r->vd.used->idx;
	assert_int_not_equal(
		r->vd.ring[r->rec.used_idx].flags & 0x8080, r->rec.used_wrap ? 0x8080 : 0);
	return (uint32_t)r->rec.stats.completed_desc;
}

void
rig_pattern(uint8_t *buf, uint32_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (uint32_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(x >> 24);
	}
}

unsigned int
rig_mbufs_out(struct rig *r)
{
	return rte_mempool_in_use_count(r->mp);
}

struct rte_mbuf *
rig_mbuf(struct rig *r, uint32_t len, uint32_t seg, uint32_t seed)
{
	uint8_t *data = malloc(len + 1);
	struct rte_mbuf *m = NULL, *s;
	uint32_t done = 0, part;

	rig_pattern(data, len, seed);
	do {
		s = rte_pktmbuf_alloc(r->mp);
		assert_non_null(s);
		if (m == NULL) {
			m = s;
			m->data_off = VRING_MBUF_DATA_OFF;
			memset(VRING_MBUF_HDR(m), 0, sizeof(*VRING_MBUF_HDR(m)));
		} else {
			assert_int_equal(rte_pktmbuf_chain(m, s), 0);
		}
		part = RTE_MIN(len - done, seg);
		assert_non_null(rte_pktmbuf_append(m, (uint16_t)part));
		memcpy(rte_pktmbuf_mtod(s, void *), data + done, part);
		done += part;
	} while (done < len);
	free(data);
	return m;
}

uint16_t
rig_dequeue(struct rig *r, struct rte_mbuf **pkts, uint16_t n)
{
	vring_refresh(&r->vr);
	n = r->burst->dequeue(&r->vr, r->mp, pkts, n);
	vring_tx_complete(&r->vr);
	return n;
}

uint16_t
rig_enqueue(struct rig *r, struct rte_mbuf **pkts, uint16_t n)
{
	vring_refresh(&r->vr);
	return r->burst->enqueue(&r->vr, pkts, n);
}

struct vring_buf
rig_tx_buf(struct rig *r, uint64_t iova, uint32_t len, uint32_t seed)
{
	uint8_t *buf = calloc(1, RIG_HDR + len);

	rig_pattern(buf + RIG_HDR, len, seed);
	rig_write(r, iova, buf, RIG_HDR + len);
	free(buf);
	return (struct vring_buf){iova, RIG_HDR + len};
}

void
rig_assert_packet(const struct rte_mbuf *m, uint32_t len, uint32_t seed)
{
	uint8_t *want = malloc(len), *copy = malloc(len);

	assert_int_equal(m->pkt_len, len);
	assert_int_equal(rte_mbuf_check(m, 1, &(const char *){NULL}), 0);
	rig_pattern(want, len, seed);
	assert_memory_equal(rte_pktmbuf_read(m, 0, len, copy), want, len);
	free(want);
	free(copy);
}

void
rig_assert_used(struct rig *r, uint64_t token, uint32_t len)
{
	struct vring_used_chain used;

	assert_int_equal(vring_driver_get_burst(&r->vd, &used, 1), 1);
	assert_int_equal(used.token, token);
	assert_int_equal(used.len, len);
}

void
rig_assert_none_used(struct rig *r)
{
	struct vring_used_chain used;

	assert_int_equal(vring_driver_get_burst(&r->vd, &used, 1), 0);
	assert_false(r->vd.broken);
}

static int
setup(void **state, uint64_t format)
{
	struct rig *r = rig_new();

	r->format = format;
	rig_start(r, RIG_SIZE, RIG_INDIRECT);
	*state = r;
	return 0;
}

int
rig_setup(void **state)
{
	return setup(state, 0);
}

int
rig_setup_order(void **state)
{
	return setup(state, RIG_ORDER);
}

int
rig_setup_packed(void **state)
{
	return setup(state, RIG_PACKED);
}

int
rig_setup_packed_order(void **state)
{
	return setup(state, RIG_PACKED | RIG_ORDER);
}

int
rig_teardown(void **state)
{
	rig_free(*state);
	return 0;
}
