/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Dirty log of a live migration: a bit for every page that the device writes, and for no other. */

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "vring_rig.h"

#define HDR  RIG_HDR
#define PAGE ((uint64_t)VRING_LOG_PAGE)

/* Pages of the guest are logged from 0 on, so the log of its 4 GiB and some has gaps. */
#define LOG_SIZE ((RIG_FAR + RIG_FAR_LEN) / PAGE / 8)

static void
log_start(struct rig *r, uint64_t features)
{
	r->log = (struct vring_log){calloc(1, LOG_SIZE), LOG_SIZE};
	rig_start(r, RIG_SIZE, features | RIG_LOG);
}

static void
log_end(struct rig *r)
{
	rig_start(r, RIG_SIZE, 0);
	free(r->log.bits);
}

static void
log_clear(struct rig *r)
{
	memset(r->log.bits, 0, LOG_SIZE);
}

static bool
logged(const struct rig *r, uint64_t addr)
{
	return (r->log.bits[addr / PAGE / 8] >> (addr / PAGE % 8) & 1) != 0;
}

/* The bits of [addr, addr + len) are set; they are taken away. */
static void
assert_logged(struct rig *r, uint64_t addr, uint64_t len)
{
	for (uint64_t page = addr / PAGE; page <= (addr + len - 1) / PAGE; page++) {
		assert_true(logged(r, page * PAGE));
		r->log.bits[page / 8] &= (uint8_t) ~(1u << page % 8);
	}
}

static void
assert_nothing_else(const struct rig *r)
{
	for (uint64_t i = 0; i < LOG_SIZE; i++)
		assert_int_equal(r->log.bits[i], 0);
}

/* Where the device writes used entries. */
static uint64_t
used_at(const struct rig *r)
{
	return r->vr.packed ? r->conf.desc : r->conf.device;
}

static void
a_received_packet_marks_its_pages_and_the_ring(void **state)
{
	static const struct {
		uint64_t at;
		uint32_t len;
	} table[] = {{RIG_BUFS, 64}, {RIG_BUFS + 4000, 300}, {RIG_FAR - 4096 - 8, 9000}};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table) * 2; i++) {
		const uint64_t at = table[i / 2].at;
		const uint32_t len = table[i / 2].len;
		struct vring_buf buf = {at, 65536};
		struct rte_mbuf *m;

		log_start(r, i % 2 == 0 ? 0 : RIG_MERGE);
		vring_driver_add(&r->vd, &buf, 0, 1, false, 0);
		vring_driver_publish(&r->vd);
		m = rig_mbuf(r, len, 2000, 1);
		log_clear(r);
		assert_int_equal(rig_enqueue(r, &m, 1), 1);
		assert_logged(r, at, HDR + len);
		assert_logged(r, used_at(r), 1);
		assert_nothing_else(r);
		rig_assert_used(r, 0, HDR + len);
		log_end(r);
	}
}

static void
a_packet_over_several_buffers_marks_them_all(void **state)
{
	struct rig *r = *state;
	struct rte_mbuf *m;

	log_start(r, RIG_MERGE);
	for (uint32_t i = 0; i < 4; i++) {
		const struct vring_buf bufs[] = {
			{RIG_BUFS + i * 4 * PAGE, 10}, {RIG_BUFS + i * 4 * PAGE + PAGE, 190}};

		assert_int_equal(vring_driver_add(&r->vd, bufs, 0, 2, false, i), 0);
	}
	vring_driver_publish(&r->vd);
	m = rig_mbuf(r, 500, 500, 1);
	log_clear(r);
	assert_int_equal(rig_enqueue(r, &m, 1), 1);
	for (uint32_t i = 0; i < 3; i++) {
		assert_logged(r, RIG_BUFS + i * 4 * PAGE, 10);
		assert_logged(r, RIG_BUFS + i * 4 * PAGE + PAGE, 100);
	}
	assert_logged(r, used_at(r), 1);
	assert_nothing_else(r);
	log_end(r);
}

static void
a_transmitted_packet_marks_the_ring_alone(void **state)
{
	struct rig *r = *state;
	struct vring_buf buf;
	struct rte_mbuf *m;

	log_start(r, 0);
	buf = rig_tx_buf(r, RIG_BUFS, 64, 1);
	vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
	vring_driver_publish(&r->vd);
	log_clear(r);
	assert_int_equal(rig_dequeue(r, &m, 1), 1);
	rig_assert_packet(m, 64, 1);
	rte_pktmbuf_free(m);
	assert_logged(r, used_at(r), 1);
	assert_nothing_else(r);
	log_end(r);
}

static void
a_control_chain_marks_what_was_written(void **state)
{
	const struct vring_buf bufs[] = {{RIG_BUFS, 8}, {RIG_BUFS + 2 * PAGE, 10},
		{RIG_BUFS + 4 * PAGE, 10}, {RIG_BUFS + 6 * PAGE, 10}};
	struct rig *r = *state;

	log_start(r, 0);
	vring_driver_add(&r->vd, bufs, 1, 3, false, 0);
	vring_driver_publish(&r->vd);
	log_clear(r);
	assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
	vring_push(&r->vr, &r->chain, 11);
	assert_logged(r, RIG_BUFS + 2 * PAGE, 10);
	assert_logged(r, RIG_BUFS + 4 * PAGE, 1);
	assert_logged(r, used_at(r), 1);
	assert_nothing_else(r);
	log_end(r);
}

/* Ring and events: whatever the device may have written in a life before. */
static void
a_ring_that_is_started_marks_all_that_it_writes(void **state)
{
	struct rig *r = *state;

	log_start(r, RIG_EVENT);
	if (r->vr.packed)
		assert_logged(r, r->conf.desc, 16 * RIG_SIZE);
	if (!r->vr.packed || r->conf.device / PAGE != (r->conf.desc + 16 * RIG_SIZE - 1) / PAGE)
		assert_logged(r, r->conf.device, r->vr.packed ? 4 : 6 + 8 * RIG_SIZE);
	assert_nothing_else(r);
	vring_kicks_off(&r->vr);
	vring_kicks_on(&r->vr);
	assert_true(logged(r, r->conf.device + (r->vr.packed ? 0 : 4 + 8 * RIG_SIZE)));
	log_end(r);
}

/* The address is the client's word: a log base that overflows (CVE-2020-10722) is of no use. */
static void
an_address_beyond_the_log_is_not_logged(void **state)
{
	static const uint64_t addrs[] = {
		LOG_SIZE * 8 * PAGE, UINT64_MAX - 3, UINT64_MAX, LOG_SIZE * 8 * PAGE - PAGE};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(addrs); i++) {
		const struct vring_buf buf = {RIG_BUFS, 8};

		log_start(r, 0);
		vring_stop(&r->vr);
		r->conf.used_log_addr = addrs[i];
		assert_int_equal(vring_start(&r->vr, &r->conf), 0);
		vring_driver_add(&r->vd, &buf, 1, 0, false, 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
		vring_push(&r->vr, &r->chain, 0);
		log_end(r);
	}
}

static void
log_and_feature_go_together(void **state)
{
	struct rig *r = *state;

	vring_stop(&r->vr);
	r->conf.features |= RIG_LOG;
	assert_int_equal(vring_start(&r->vr, &r->conf), -EINVAL);
	r->conf.features &= ~RIG_LOG;
	r->conf.log = &r->log;
	assert_int_equal(vring_start(&r->vr, &r->conf), -EINVAL);
}

static int
test_vring_log(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_received_packet_marks_its_pages_and_the_ring),
		RIG_TEST(a_packet_over_several_buffers_marks_them_all),
		RIG_TEST(a_transmitted_packet_marks_the_ring_alone),
		RIG_TEST(a_control_chain_marks_what_was_written),
		RIG_TEST(a_ring_that_is_started_marks_all_that_it_writes),
		RIG_TEST(an_address_beyond_the_log_is_not_logged),
		RIG_TEST(log_and_feature_go_together),
	};

	return cmocka_run_group_tests_name("vring_log", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_log, test_vring_log)
