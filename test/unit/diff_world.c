/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Two rings in a guest's memory, with our device side or with DPDK's. */

#include "diff_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"

#define MBUFS	 1023u
#define FAR_OFF	 UINT64_C(0x300000)
#define FILE_LEN (FAR_OFF + FAR_LEN)

struct rte_mempool *
world_pool(void)
{
	struct rte_mempool *mp = rte_mempool_lookup("diff");

	if (mp == NULL)
		mp = rte_pktmbuf_pool_create("diff", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(mp);
	return mp;
}

uint8_t *
world_va(const struct world *w, uint64_t iova)
{
	return iova < FAR ? w->mem + (iova - NEAR) : w->mem + FAR_OFF + (iova - FAR);
}

void
world_write(struct world *w, uint64_t iova, const uint8_t *buf, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		*world_va(w, iova + i) = buf[i];
}

struct world *
world_new(void)
{
	struct world *w = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*w), 64));

	assert_non_null(w);
	memset(w, 0, sizeof(*w));
	w->fd = memfd_create("virtnet-test-diff", MFD_CLOEXEC);
	assert_int_equal(ftruncate(w->fd, FILE_LEN), 0);
	w->mem = mmap(NULL, FILE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	assert_ptr_not_equal(w->mem, MAP_FAILED);
	return w;
}

static void
world_stop(struct world *w)
{
	vhost_peer_stop(w->theirs);
	w->theirs = NULL;
	for (int i = 0; i < 2; i++)
		vring_stop(&w->vr[i]);
	if (w->hm != NULL)
		hostmem_destroy(w->hm);
	if (w->files != NULL)
		hostmem_files_destroy(w->files);
	w->hm = NULL;
	w->files = NULL;
}

void
world_free(struct world *w)
{
	world_stop(w);
	munmap(w->mem, FILE_LEN);
	close(w->fd);
	free(w);
}

static void
theirs_start(struct world *w, uint64_t features)
{
	const struct vhost_peer_conf conf = {
		.features = features,
		.region = {{NEAR, NEAR_LEN, 0, w->fd}, {FAR, FAR_LEN, FAR_OFF, w->fd}},
		.ring = {&w->vd[RX], &w->vd[TX]},
	};

	w->theirs = vhost_peer_start(&conf);
}

static void
ours_start(struct world *w, uint64_t features)
{
	const int prot = HOSTMEM_READ | HOSTMEM_WRITE;
	struct hostmem_retired *retired;

	w->files = hostmem_files_create(false);
	w->hm = hostmem_create(w->files);
	assert_int_equal(hostmem_map(w->hm, NEAR, NEAR_LEN, w->fd, 0, prot), 0);
	assert_int_equal(hostmem_map(w->hm, FAR, FAR_LEN, w->fd, FAR_OFF, prot), 0);
	assert_int_equal(hostmem_publish(w->hm, &retired), 0);
	hostmem_retire(retired);
	w->burst = vring_burst_select(features);
	memset(w->rec, 0, sizeof(w->rec));
	for (int i = 0; i < 2; i++) {
		const struct vring_conf conf = {
			.size = w->vd[i].size,
			.features = features,
			.desc = w->vd[i].desc_iova,
			.driver = w->vd[i].driver_iova,
			.device = w->vd[i].device_iova,
			.hm = w->hm,
			.record = &w->rec[i],
		};

		assert_int_equal(vring_start(&w->vr[i], &conf), 0);
	}
}

void
world_start(struct world *w, uint16_t size, uint64_t features, bool theirs)
{
	world_stop(w);
	features |= WORLD_BIT(VIRTIO_F_VERSION_1);
	memset(w->mem, 0, FILE_LEN);
	for (int i = 0; i < 2; i++) {
		const struct vring_driver_conf conf = {
			.size = size,
			.features = features,
			.va = w->mem + (size_t)i * RING_LEN,
			.iova = NEAR + (uint64_t)i * RING_LEN,
			.slots = w->slots[i],
		};

		assert_true(vring_driver_memory(size, features) <= RING_LEN);
		assert_int_equal(vring_driver_init(&w->vd[i], &conf), 0);
	}
	if (theirs)
		theirs_start(w, features);
	else
		ours_start(w, features);
}

uint16_t
world_tx(struct world *w, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)
{
	const uint64_t used = w->rec[TX].stats.completed_desc;

	if (w->theirs != NULL) {
		n = vhost_peer_dequeue(w->theirs, mp, pkts, n);
		w->interrupted[TX] = vhost_peer_interrupted(w->theirs, TX);
		return n;
	}
	n = w->burst->dequeue(&w->vr[TX], mp, pkts, n);
	vring_tx_complete(&w->vr[TX]);
	w->interrupted[TX] =
		w->rec[TX].stats.completed_desc != used && vring_interrupt_wanted(&w->vr[TX]);
	return n;
}

uint16_t
world_rx(struct world *w, struct rte_mbuf **pkts, uint16_t n)
{
	const uint64_t used = w->rec[RX].stats.completed_desc;
	uint16_t done;

	if (w->theirs != NULL) {
		done = vhost_peer_enqueue(w->theirs, pkts, n);
		rte_pktmbuf_free_bulk(pkts, n);
		w->interrupted[RX] = vhost_peer_interrupted(w->theirs, RX);
		return done;
	}
	done = w->burst->enqueue(&w->vr[RX], pkts, n);
	rte_pktmbuf_free_bulk(&pkts[done], n - done);
	w->interrupted[RX] =
		w->rec[RX].stats.completed_desc != used && vring_interrupt_wanted(&w->vr[RX]);
	return done;
}
