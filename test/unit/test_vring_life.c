/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A ring from start to stop: positions, records, areas, notifications both ways. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "vring_rig.h"

#define HDR RIG_HDR

/* ---- positions ---- */

/* One packet out and, by the same mbuf, back in. */
static void
loop_once(struct rig *r, uint16_t n)
{
	struct vring_used_chain used[VRING_BURST * 2];
	const struct vring_buf tx = {RIG_BUFS, HDR + 64}, rx = {RIG_BUFS + 4096, 1600};
	struct rte_mbuf *pkts[VRING_BURST];

	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(vring_driver_add(&r->vd, &tx, 1, 0, false, i), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, pkts, n), n);
	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(vring_driver_add(&r->vd, &rx, 0, 1, false, n + i), 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_enqueue(r, pkts, n), n);
	assert_int_equal(vring_driver_get_burst(&r->vd, used, n * 2), n * 2);
	for (uint16_t i = 0; i < n * 2; i++)
		assert_int_equal(used[i].token, i);
}

static void
indices_wrap_after_65536_entries(void **state)
{
	struct rig *r = *state;
	uint32_t sent = 0;

	for (uint16_t n = 1; sent < 70000; n = n % 31 + 1) {
		loop_once(r, n);
		sent += n;
	}
	assert_int_equal(r->rec.stats.packets, 2 * sent);
	assert_int_equal(
		r->rec.used_idx, r->vr.packed ? 2 * sent % RIG_SIZE : (uint16_t)(2 * sent));
}

static void
ring_of_any_legal_size_works(void **state)
{
	static const uint16_t sizes[] = {
		2, 4, 64, 256, 4096, 32768, /* packed: */ 3, 5, 1000, 32767};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(sizes); i++) {
		if (!rte_is_power_of_2(sizes[i]) && (r->format & RIG_PACKED) == 0)
			break;
		rig_start(r, sizes[i], 0);
		for (uint32_t j = 0; j < 300 || j < sizes[i] / 20; j++)
			loop_once(r, RTE_MIN(sizes[i] / 2, 32));
	}
}

static void
stopped_ring_goes_on_where_it_stood(void **state)
{
	struct rig *r = *state;

	loop_once(r, 20);
	vring_stop(&r->vr);
	assert_int_equal(r->rec.running, 1);
	assert_int_equal(r->rec.used_idx, 40);
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	loop_once(r, 20);
	assert_int_equal(r->rec.used_idx, 80);
}

static void
ring_with_a_cleared_record_begins_anew(void **state)
{
	struct rig *r = *state;

	loop_once(r, 20);
	vring_stop(&r->vr);
	r->rec.running = 0;
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(r->vr.used_idx, 0);
	assert_int_equal(r->vr.avail_idx, 0);
	assert_int_equal(r->vr.used_wrap, r->vr.packed);
	assert_int_equal(r->vr.avail_wrap, r->vr.packed);
}

static void
successor_stores_a_used_index_that_did_not_get_out(void **state)
{
	struct rig *r = *state;

	loop_once(r, 20);
	/* As if the process had died between the record and the ring. */
	r->vd.used->idx = 35;
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(r->vd.used->idx, 40);
}

static void
a_ring_that_does_not_fit_its_record_is_not_started(void **state)
{
	static const struct {
		uint16_t record, avail, used; /* the record's used index, and the ring's two */
		int want;
	} table[] = {
		{100, 100, 100, 0},
		{100, 100 + RIG_SIZE, 100, 0},
		{100, 101 + RIG_SIZE, 100, -ERANGE}, /* more than the ring holds */
		{100, 99, 99, -ERANGE},		     /* given back before it was available */
		{600, 700, 88, 0},		     /* a burst that did not get out */
		{600, 700, 87, -ERANGE},
		{100, 200, 101, -ERANGE}, /* the record is older than the ring */
		{100, 100 + 32768, 100, -ERANGE},
		{10, 20, 65530, 0}, /* across the wrap */
		{65530, 20, 65530, 0},
		{0x5a5a, 20, 10, -ERANGE},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		vring_stop(&r->vr);
		r->rec = (struct ring_record){.running = 1, .used_idx = table[i].record};
		r->vd.avail->idx = table[i].avail;
		r->vd.used->idx = table[i].used;
		assert_int_equal(vring_start(&r->vr, &r->conf), table[i].want);
		/* What is refused is left as it is. */
		assert_int_equal(
			r->vd.used->idx, table[i].want == 0 ? table[i].record : table[i].used);
		assert_int_equal(r->rec.used_idx, table[i].record);
	}
}

static void
stats_go_on_and_count_a_chain_taken_again_once(void **state)
{
	const struct vring_buf buf = rig_tx_buf(*state, RIG_BUFS, 64, 1);
	struct rig *r = *state;
	struct rte_mbuf *m;

	loop_once(r, 20);
	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(r->burst->dequeue(&r->vr, r->mp, &m, 1), 1);
	rte_pktmbuf_free(m);
	assert_int_equal(r->rec.stats.received_desc, 41);
	/* As if the process had died before vring_tx_complete(). */
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rte_pktmbuf_free(m);
	assert_int_equal(r->rec.stats.received_desc, 41);
	assert_int_equal(r->rec.stats.completed_desc, 41);
	assert_true(vring_interrupt_wanted(&r->vr));
}

static void
the_first_interrupt_after_a_resume_is_wanted(void **state)
{
	static const uint64_t features[] = {0, RIG_EVENT};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(features); i++) {
		rig_start(r, RIG_SIZE, features[i]);
		loop_once(r, 20);
		(void)vring_interrupt_wanted(&r->vr);
		/* The decision is in the record; nobody knows whether the interrupt got out. */
		if (!r->vr.packed)
			assert_int_equal(r->rec.signalled_used, r->rec.used_idx);
		assert_int_equal(vring_start(&r->vr, &r->conf), 0);
		assert_true(vring_interrupt_wanted(&r->vr));
		assert_false(vring_interrupt_wanted(&r->vr));
	}
}

static void
chains_are_given_back_when_the_packets_are_sent(void **state)
{
	const struct vring_buf buf = rig_tx_buf(*state, RIG_BUFS, 64, 1);
	struct rig *r = *state;
	struct rte_mbuf *m[2];

	for (uint16_t i = 0; i < 2; i++) {
		vring_driver_add(&r->vd, &buf, 1, 0, false, i);
		vring_driver_publish(&r->vd);
		assert_int_equal(r->burst->dequeue(&r->vr, r->mp, &m[i], 1), 1);
		rig_assert_none_used(r);
		assert_int_equal(vring_tx_taken(&r->vr), i + 1);
	}
	rte_pktmbuf_free_bulk(m, 2);
	vring_tx_complete(&r->vr);
	assert_int_equal(vring_tx_taken(&r->vr), 0);
	rig_assert_used(r, 0, 0);
	rig_assert_used(r, 1, 0);
	vring_tx_complete(&r->vr); /* nothing taken, nothing given */
	rig_assert_none_used(r);
}

static void
chain_taken_but_not_given_back_is_taken_again(void **state)
{
	const struct vring_buf buf = {RIG_BUFS, 100};
	struct rig *r = *state;

	vring_driver_add(&r->vd, &buf, 1, 0, false, 5);
	vring_driver_publish(&r->vd);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	vring_stop(&r->vr);
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	vring_push(&r->vr, &r->chain, 0);
	rig_assert_used(r, 5, 0);
}

static void
impossible_rings_are_not_started(void **state)
{
	static const struct {
		uint16_t size;
		int64_t desc, driver, device; /* moved by that much */
		int want;
	} table[] = {
		{0, 0, 0, 0, -EINVAL},
		{3, 0, 0, 0, -EINVAL},
		{255, 0, 0, 0, -EINVAL},
		{32769, 0, 0, 0, -EINVAL},
		{65535, 0, 0, 0, -EINVAL},
		{256, 8, 0, 0, -EINVAL},
		{256, 0, 1, 0, -EINVAL},
		{256, 0, 0, 2, -EINVAL},
		{256, -4096, 0, 0, -EFAULT},
		{256, 0, RIG_HOLE - RIG_NEAR, 0, -EFAULT},
		{256, 0, 0, RIG_HOLE - RIG_NEAR, -EFAULT},
		{256, RIG_FAR - RIG_NEAR - 64, 0, 0, 0}, /* across a border between pages */
		{256, RIG_FAR + RIG_FAR_LEN - RIG_NEAR - 64, 0, 0, -EFAULT}, /* beyond the end */
		{256, RIG_RO - RIG_NEAR, 0, 0, 0},
		{256, 0, 0, RIG_RO - RIG_NEAR, -EFAULT}, /* not writable */
		{32768, 0, 0, 0, 0},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		struct vring_conf conf = r->conf;
		struct vring vr;

		conf.size = table[i].size;
		conf.desc += (uint64_t)table[i].desc;
		conf.driver += (uint64_t)table[i].driver;
		conf.device += (uint64_t)table[i].device;
		assert_int_equal(vring_start(&vr, &conf), table[i].want);
		if (table[i].want == 0)
			vring_stop(&vr);
	}
}

static void
ring_misaligned_in_memory_is_not_started(void **state)
{
	struct rig *r = *state;
	struct vring_conf conf = r->conf;
	struct vring vr;

	/* The client's addresses are aligned, its file offset is not. */
	assert_int_equal(
		hostmem_map(r->hm, RIG_HOLE, 0x10000, r->fd, 1, HOSTMEM_READ | HOSTMEM_WRITE), 0);
	rig_publish(r);
	conf.desc = RIG_HOLE;
	assert_int_equal(vring_start(&vr, &conf), -EFAULT);
}

#define PAGE_4K	  UINT64_C(4096)
#define VIOMMU_IO UINT64_C(0x500000000)

/* What a page-grained virtual IOMMU makes of a megabyte and a half of one piece. */
static void
map_by_pages(struct rig *r, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(hostmem_map(r->hm, VIOMMU_IO + i * PAGE_4K, PAGE_4K, r->fd,
					 (off_t)(i * PAGE_4K), HOSTMEM_READ | HOSTMEM_WRITE),
			0);
	rig_publish(r);
}

static int
start_at(struct rig *r, uint16_t size, uint64_t iova)
{
	const uint64_t avail = iova + 16ull * size;
	struct vring_conf conf = r->conf;
	struct ring_record rec = {0};
	struct vring vr;
	int ret;

	conf.size = size;
	conf.desc = iova;
	conf.driver = avail;
	conf.device = (avail + 6 + 2ull * size + 3) & ~3ull;
	conf.record = &rec;
	ret = vring_start(&vr, &conf);
	if (ret == 0)
		vring_stop(&vr);
	return ret;
}

/* The table keeps ranges in chunks of 128; a ring may lie across any border. */
static void
ring_mapped_page_by_page_starts_wherever_it_lies(void **state)
{
	static const uint16_t sizes[] = {1024, 32768};
	const unsigned int pages = 400;
	struct rig *r = *state;

	map_by_pages(r, pages);
	for (unsigned int s = 0; s < RTE_DIM(sizes); s++) {
		const unsigned int own = (26u * sizes[s] + 64 + 4095) / 4096;

		for (unsigned int at = 0; at + own <= pages; at++)
			if (start_at(r, sizes[s], VIOMMU_IO + at * PAGE_4K) != 0)
				fail_msg("%u entries at page %u", sizes[s], at);
	}
}

static void
ring_with_a_missing_page_is_not_started(void **state)
{
	struct rig *r = *state;

	map_by_pages(r, 300);
	assert_int_equal(hostmem_unmap(r->hm, VIOMMU_IO + 2 * PAGE_4K, PAGE_4K), 1);
	rig_publish(r);
	assert_int_equal(start_at(r, 1024, VIOMMU_IO), -EFAULT);
	assert_int_equal(start_at(r, 1024, VIOMMU_IO + 3 * PAGE_4K), 0);
}

/* A guest with a virtual IOMMU takes any free pages for its rings. */
static void
ring_of_scattered_pages_is_one_piece(void **state)
{
	const unsigned int pages =
		8; /* 1024 entries: descriptors in four of them, then the rings */
	struct rig *r = *state;
	struct vring_conf conf = r->conf;
	struct vring vr;

	for (unsigned int i = 0; i < pages; i++)
		assert_int_equal(
			hostmem_map(r->hm, VIOMMU_IO + i * PAGE_4K, PAGE_4K, r->fd,
				(off_t)((100 - 3 * i) * PAGE_4K), HOSTMEM_READ | HOSTMEM_WRITE),
			0);
	rig_publish(r);
	conf.size = 1024;
	conf.desc = VIOMMU_IO;
	conf.driver = VIOMMU_IO + 4 * PAGE_4K;
	conf.device = VIOMMU_IO + 5 * PAGE_4K;
	assert_int_equal(vring_start(&vr, &conf), 0);
	for (unsigned int i = 0; i < 4; i++)
		r->mem[(100 - 3 * i) * PAGE_4K + 16] = (uint8_t)(i + 1);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(vr.desc[i * 256 + 1].addr & 0xff, i + 1);
	vr.used->ring[1023].id = 77;
	assert_int_equal(r->mem[(100 - 3 * 6) * PAGE_4K + 4092], 77);
	vring_stop(&vr);
}

static void
areas_in_use_are_known(void **state)
{
	struct rig *r = *state;
	const struct {
		uint64_t iova, len;
		bool want;
	} table[] = {
		{r->conf.desc, 1, true},
		{r->conf.desc - 16, 16, false},
		{r->conf.desc - 16, 17, true},
		{r->conf.driver + 4, 2, true},
		{r->conf.driver + 6 + 2 * RIG_SIZE - 1, 1, true},
		{r->conf.device + 6 + 8 * RIG_SIZE - 1, 1, true},
		{r->conf.device + 6 + 8 * RIG_SIZE, 4096, false},
		{0, UINT64_MAX, true},
		{RIG_BUFS, 4096, false},
	};

	for (size_t i = 0; i < RTE_DIM(table); i++)
		assert_int_equal(vring_uses(&r->vr, table[i].iova, table[i].len), table[i].want);
	vring_stop(&r->vr);
	assert_false(vring_uses(&r->vr, 0, UINT64_MAX));
}

static void
unmapped_buffer_is_not_reached_through_an_old_hint(void **state)
{
	const struct vring_buf buf = rig_tx_buf(*state, RIG_FAR, 64, 1);
	struct rig *r = *state;
	struct rte_mbuf *m;

	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rte_pktmbuf_free(m);
	assert_int_equal(hostmem_unmap(r->hm, RIG_FAR, RIG_FAR_LEN), 1);
	rig_publish(r);
	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 0);
	assert_int_equal(r->vr.error, VRING_ERR_ADDRESS);
	assert_int_equal(r->rec.stats.invalid_buffer, 1);
}

static void
snapshot_at_the_address_of_an_old_one_is_a_new_one(void **state)
{
	const struct vring_buf buf = rig_tx_buf(*state, RIG_FAR, 64, 1);
	struct hostmem_retired *retired;
	struct rig *r = *state;
	struct rte_mbuf *m;

	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rte_pktmbuf_free(m);
	/* The ring sleeps through some snapshots; malloc gives out the address of the first again.
	 */
	assert_int_equal(hostmem_unmap(r->hm, RIG_FAR, RIG_FAR_LEN), 1);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(hostmem_publish(r->hm, &retired), 0);
		hostmem_retire(retired);
		assert_int_equal(
			hostmem_map(r->hm, RIG_HOLE + (uint64_t)i * 4096, 4096, -1, 0, 0), 0);
	}
	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	assert_int_equal(rig_dequeue(r, &m, 1), 0);
	assert_int_equal(r->vr.error, VRING_ERR_ADDRESS);
}

/* ---- positions as a hypervisor keeps them ---- */

static void
a_ring_goes_on_from_the_position_it_was_asked_for(void **state)
{
	struct rig *r = *state;
	uint32_t base;

	for (uint16_t i = 0; i < 20; i++) {
		loop_once(r, 15);
		vring_stop(&r->vr);
		base = vring_base(&r->rec, r->conf.features);
		memset(&r->rec, 0, sizeof(r->rec));
		vring_base_set(&r->rec, r->conf.features, base);
		assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	}
}

static void
positions_are_told_as_vhost_user_does(void **state)
{
	static const struct {
		uint64_t features;
		struct ring_record rec;
		uint32_t base;
	} table[] = {
		{0, {.running = 0, .used_idx = 7}, 0},
		{0, {.running = 1, .used_idx = 7, .avail_idx = 7}, 7},
		{0, {.running = 1, .used_idx = 65535, .avail_idx = 65535}, 65535},
		{RIG_PACKED, {.running = 0}, 0x80008000},
		{RIG_PACKED, {.running = 1, .used_idx = 7, .used_wrap = 1}, 0x80078007},
		{RIG_PACKED, {.running = 1, .used_idx = 32767, .used_wrap = 0}, 0x7fff7fff},
		{RIG_PACKED, {.running = 1, .used_idx = 0, .used_wrap = 0}, 0},
	};

	for (size_t i = 0; i < RTE_DIM(table); i++)
		assert_int_equal(vring_base(&table[i].rec, table[i].features), table[i].base);
}

/* DPDK's virtio-user: available position 0 in the first lap, and nothing about the used one. */
static void
half_a_position_is_enough(void **state)
{
	struct rig *r = *state;

	vring_stop(&r->vr);
	vring_base_set(&r->rec, r->conf.features, 0x8000);
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(vring_base(&r->rec, r->conf.features), 0x80008000);
	loop_once(r, 20);
}

/* ---- notifications ---- */

/* Use n entries without asking for interrupts. */
static void
use_entries(struct rig *r, uint32_t n)
{
	const struct vring_buf buf = {RIG_BUFS, HDR + 64};
	struct vring_used_chain used;
	struct rte_mbuf *m;

	r->vd.interrupts_off = true;
	while (n-- != 0) {
		vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(rig_dequeue(r, &m, 1), 1);
		rte_pktmbuf_free(m);
		assert_int_equal(vring_driver_get_burst(&r->vd, &used, 1), 1);
	}
}

static void
interrupt_flag_is_obeyed(void **state)
{
	struct rig *r = *state;

	use_entries(r, 1);
	assert_true(vring_interrupt_wanted(&r->vr));
	assert_false(vring_interrupt_wanted(&r->vr)); /* nothing used since */
	vring_driver_interrupts_off(&r->vd);
	use_entries(r, 1);
	assert_false(vring_interrupt_wanted(&r->vr));
	vring_driver_interrupts_on(&r->vd);
	use_entries(r, 1);
	assert_true(vring_interrupt_wanted(&r->vr));
}

static void
interrupt_event_is_obeyed(void **state)
{
	static const struct {
		uint32_t before; /* used index at the last decision */
		uint32_t n;	 /* used since */
		uint16_t event;
		bool want;
	} table[] = {
		{10, 1, 10, true},	  /* this very entry */
		{10, 1, 11, false},	  /* the next one */
		{10, 1, 9, false},	  /* the one before: seen already */
		{10, 5, 12, true},	  /* in the middle */
		{10, 5, 14, true},	  /* the last */
		{10, 5, 15, false},	  /* just behind */
		{65530, 10, 65535, true}, /* across the wrap */
		{65530, 10, 0, true},
		{65530, 10, 3, true},
		{65530, 10, 4, false},
		{65530, 10, 65529, false},
		{65535, 1, 65535, true},
		{65535, 1, 0, false},
	};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		rig_start(r, RIG_SIZE, RIG_EVENT);
		/* Take up a ring that stands there already. */
		vring_stop(&r->vr);
		r->rec.used_idx = r->vd.used->idx = (uint16_t)table[i].before;
		r->vd.avail_idx = r->vd.used_idx = (uint16_t)table[i].before;
		vring_driver_publish(&r->vd);
		assert_int_equal(vring_start(&r->vr, &r->conf), 0);
		assert_true(vring_interrupt_wanted(&r->vr)); /* at first always: nobody knows */
		r->vd.avail->ring[RIG_SIZE] = table[i].event;
		use_entries(r, table[i].n);
		assert_int_equal(vring_interrupt_wanted(&r->vr), table[i].want);
		assert_false(vring_interrupt_wanted(&r->vr));
	}
}

static void
interrupt_is_wanted_after_the_index_lapped_the_last_decision(void **state)
{
	struct rig *r = *state;

	rig_start(r, RIG_SIZE, RIG_EVENT);
	use_entries(r, 1);
	assert_true(vring_interrupt_wanted(&r->vr));
	r->vd.avail->ring[RIG_SIZE] = 30000;
	use_entries(r, 65536 + 10); /* passed 30000, yet ends just behind where it began */
	assert_true(vring_interrupt_wanted(&r->vr));
}

static void
kicks_follow_the_flag(void **state)
{
	const struct vring_buf buf = {RIG_BUFS, 100};
	struct rig *r = *state;

	vring_kicks_off(&r->vr);
	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	assert_false(vring_driver_kick_needed(&r->vd));
	assert_true(vring_kicks_on(&r->vr)); /* it came meanwhile */
	use_entries(r, 1);
	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	assert_true(vring_driver_kick_needed(&r->vd));
	assert_false(vring_driver_kick_needed(&r->vd));
}

static void
kicks_follow_the_event(void **state)
{
	const struct vring_buf buf = {RIG_BUFS, 100};
	struct rte_mbuf *m;
	struct rig *r = *state;

	rig_start(r, RIG_SIZE, RIG_EVENT);
	for (int i = 0; i < 3; i++) {
		assert_false(vring_kicks_on(&r->vr));
		vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
		vring_driver_publish(&r->vd);
		assert_true(vring_driver_kick_needed(&r->vd));
		vring_kicks_off(&r->vr);
		vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
		vring_driver_publish(&r->vd);
		assert_false(vring_driver_kick_needed(&r->vd));
		assert_true(vring_kicks_on(&r->vr));
		for (int j = 0; j < 2; j++) {
			assert_int_equal(rig_dequeue(r, &m, 1), 1);
			rte_pktmbuf_free(m);
		}
		vring_driver_get_burst(&r->vd, (struct vring_used_chain[2]){0}, 2);
	}
}

static void
started_ring_asks_for_kicks(void **state)
{
	struct rig *r = *state;

	vring_kicks_off(&r->vr);
	assert_int_equal(r->vd.used->flags, VIRTQ_USED_F_NO_NOTIFY);
	vring_stop(&r->vr);
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
	assert_int_equal(r->vd.used->flags, 0);
}

static void
burst_functions_follow_the_features(void **state)
{
	static const struct {
		uint64_t features;
		const char *name;
	} table[] = {
		{RIG_VERSION1, "split"},
		{RIG_OFFLOAD, "split offload"},
		{UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM, "split offload"},
		{RIG_MERGE, "split mergeable"},
		{RIG_ORDER | RIG_OFFLOAD, "split in-order offload"},
		{RIG_PACKED | RIG_EVENT | RIG_INDIRECT, "packed"},
		{RIG_PACKED | RIG_ORDER, "packed in-order"},
		{RIG_PACKED | RIG_ORDER | RIG_MERGE | RIG_OFFLOAD,
			"packed in-order mergeable offload"},
		{RIG_PACKED | RIG_LOG, "packed logged"},
	};

	for (size_t i = 0; i < RTE_DIM(table); i++)
		assert_string_equal(vring_burst_select(table[i].features)->name, table[i].name);
	for (unsigned int i = 0; i < 32; i++) {
		const uint64_t features = (i & 1 ? RIG_PACKED : 0) | (i & 2 ? RIG_ORDER : 0) |
					  (i & 4 ? RIG_MERGE : 0) | (i & 8 ? RIG_OFFLOAD : 0) |
					  (i & 16 ? RIG_LOG : 0);

		assert_non_null(vring_burst_select(features)->enqueue);
		assert_non_null(vring_burst_select(features)->dequeue);
	}
}

static int
test_vring_life(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(indices_wrap_after_65536_entries),
		RIG_TEST(ring_of_any_legal_size_works),
		RIG_TEST(stopped_ring_goes_on_where_it_stood),
		RIG_TEST(ring_with_a_cleared_record_begins_anew),
		RIG_TEST_SPLIT(successor_stores_a_used_index_that_did_not_get_out),
		RIG_TEST_SPLIT(a_ring_that_does_not_fit_its_record_is_not_started),
		RIG_TEST(stats_go_on_and_count_a_chain_taken_again_once),
		RIG_TEST(the_first_interrupt_after_a_resume_is_wanted),
		RIG_TEST(chains_are_given_back_when_the_packets_are_sent),
		RIG_TEST(chain_taken_but_not_given_back_is_taken_again),
		RIG_TEST_SPLIT(impossible_rings_are_not_started),
		RIG_TEST_SPLIT(ring_misaligned_in_memory_is_not_started),
		RIG_TEST_SPLIT(ring_mapped_page_by_page_starts_wherever_it_lies),
		RIG_TEST_SPLIT(ring_with_a_missing_page_is_not_started),
		RIG_TEST_SPLIT(ring_of_scattered_pages_is_one_piece),
		RIG_TEST_SPLIT(areas_in_use_are_known),
		RIG_TEST(unmapped_buffer_is_not_reached_through_an_old_hint),
		RIG_TEST(snapshot_at_the_address_of_an_old_one_is_a_new_one),
		RIG_TEST(a_ring_goes_on_from_the_position_it_was_asked_for),
		RIG_TEST_SPLIT(positions_are_told_as_vhost_user_does),
		RIG_TEST_PACKED(half_a_position_is_enough),
		RIG_TEST(interrupt_flag_is_obeyed),
		RIG_TEST_SPLIT(interrupt_event_is_obeyed),
		RIG_TEST_SPLIT(interrupt_is_wanted_after_the_index_lapped_the_last_decision),
		RIG_TEST(kicks_follow_the_flag),
		RIG_TEST(kicks_follow_the_event),
		RIG_TEST_SPLIT(started_ring_asks_for_kicks),
		RIG_TEST_SPLIT(burst_functions_follow_the_features),
	};

	return cmocka_run_group_tests_name("vring_life", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_life, test_vring_life)
