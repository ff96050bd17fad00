/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The process ends at each step of a burst, and a successor goes on with what is left: guest memory
 * and the ring's record.
 *
 * The bursts are lib/vring's own bodies, with this file's FAULT_POINT() in them: at the one asked
 * for it keeps a copy of all that outlives the process.
 */

#include <string.h>

#include "state/fault_point.h"

#undef FAULT_POINT
#define FAULT_POINT(name) point_pass(name)
static void point_pass(const char *name);

#include "test.h"
#include "vring/burst.h"
#include "vring_rig.h"

#define TOTAL	    200u /* packets of a run */
#define POSTED	    40u	 /* chains that the driver keeps in the ring: more than a burst */
#define BUF_STEP    2048u
#define FRAME_LEN   60u
#define BUF_IOVA(i) (RIG_BUFS + (uint64_t)((i) % 64) * BUF_STEP)
#define SMALL	    40u /* bytes of a buffer where a frame takes two */

/* What a death of the process leaves alone. */
struct world {
	struct vring_driver vd;
	struct vring_driver_slot slots[RIG_SIZE];
	struct ring_record rec;
	uint32_t added;	 /* chains that the driver has made; a chain's token is its number */
	uint32_t back;	 /* chains that it got back */
	uint32_t frames; /* that the SF gave out */
	uint32_t n_seen;
	uint32_t seen[2 * TOTAL]; /* packets at the other end, in their order */
};

static struct {
	struct rig *r;
	struct world w;
	unsigned int spec;
	const char *point; /* NULL: nobody dies */
	unsigned int nth;
	bool driver_goes_on; /* before the successor is there */
	uint16_t burst;	     /* packets of the burst under way */
	/* at the point */
	uint16_t died_in;
	struct world left;
	uint8_t mem[RIG_NEAR_LEN];
} s;

static void
point_pass(const char *name)
{
	if (s.point == NULL || strcmp(name, s.point) != 0 || s.nth == 0 || --s.nth != 0)
		return;
	s.left = s.w;
	s.left.vd = s.r->vd;
	memcpy(s.left.slots, s.r->slots, sizeof(s.left.slots));
	s.left.rec = s.r->rec;
	s.died_in = s.burst;
	memcpy(s.mem, s.r->mem, sizeof(s.mem));
}

static void
successor_start(void (*driver)(void))
{
	assert_int_equal(s.nth, 0);
	vring_stop(&s.r->vr);
	s.point = NULL;
	s.w = s.left;
	s.r->vd = s.left.vd;
	memcpy(s.r->slots, s.left.slots, sizeof(s.left.slots));
	s.r->rec = s.left.rec;
	memcpy(s.r->mem, s.mem, sizeof(s.mem));
	if (s.driver_goes_on)
		driver();
	assert_int_equal(vring_start(&s.r->vr, &s.r->conf), 0);
	/* Whatever the predecessor used may not have been signalled. */
	assert_true(vring_interrupt_wanted(&s.r->vr));
}

/* A split ring that has gone round until both indices are at `base`. */
static void
begin_split_at(struct rig *r, uint16_t base)
{
	vring_stop(&r->vr);
	r->rec.used_idx = base;
	r->vd.avail_idx = r->vd.published_idx = r->vd.kicked_idx = r->vd.used_idx = base;
	r->vd.used->idx = base;
	vring_driver_publish(&r->vd);
	assert_int_equal(vring_start(&r->vr, &r->conf), 0);
}

/* A packed ring that n chains have gone through. */
static void
begin_packed_at(struct rig *r, uint16_t n)
{
	const struct vring_buf buf = {RIG_BUFS, 100};

	while (n-- > 0) {
		assert_int_equal(vring_driver_add(&r->vd, &buf, 1, 0, false, 0), 0);
		vring_driver_publish(&r->vd);
		assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
		vring_push(&r->vr, &r->chain, 0);
		rig_assert_used(r, 0, 0);
	}
	memset(&r->rec.stats, 0, sizeof(r->rec.stats));
}

static void
begin(struct rig *r, uint64_t features, uint16_t base)
{
	s.point = NULL;
	s.driver_goes_on = false;
	rig_start(r, RIG_SIZE, features);
	if (r->vr.packed)
		begin_packed_at(r, base % RIG_SIZE);
	else
		begin_split_at(r, base);
	memset(&s.w, 0, sizeof(s.w));
	s.r = r;
	s.spec = burst_spec(r->conf.features);
}

/* The driver takes back what was used: each chain once, in the order of the ring. */
static void
driver_take_back(void (*look)(const struct vring_used_chain *used))
{
	struct vring_used_chain used[RIG_SIZE];
	const uint16_t n = vring_driver_get_burst(&s.r->vd, used, RIG_SIZE);

	assert_false(s.r->vd.broken);
	for (uint16_t i = 0; i < n; i++) {
		assert_int_equal(used[i].token, s.w.back);
		s.w.back++;
		look(&used[i]);
	}
}

static uint32_t *
number_in(void *frame)
{
	return (uint32_t *)((uint8_t *)frame + RTE_ETHER_HDR_LEN + 2);
}

/* ---- transmit ---- */

/* Some chains are too short for a frame: dropped, and given back all the same. */
static bool
is_dropped(uint32_t token)
{
	return token % 17 == 5;
}

static void
driver_send(void)
{
	while (s.w.added < TOTAL && s.w.added - s.w.back < POSTED) {
		const uint64_t at = BUF_IOVA(s.w.added);
		const uint32_t len = is_dropped(s.w.added) ? 4 : FRAME_LEN;
		const struct vring_buf one[] = {{at, RIG_HDR + len}};
		const struct vring_buf two[] = {{at, RIG_HDR}, {at + RIG_HDR, len}};
		const bool split = s.w.added % 3 == 0, indirect = s.w.added % 5 == 4;

		memset(rig_ptr(s.r, at), 0, RIG_HDR);
		*number_in(rig_ptr(s.r, at) + RIG_HDR) = s.w.added;
		assert_int_equal(vring_driver_add(&s.r->vd, split ? two : one, split ? 2 : 1, 0,
					 indirect, s.w.added),
			0);
		s.w.added++;
	}
	vring_driver_publish(&s.r->vd);
}

static void
tx_look(const struct vring_used_chain *used)
{
	assert_int_equal(used->len, 0);
}

/* Driver, worker and SF in turn until the driver has everything back. */
static void
tx_run(void)
{
	struct rte_mbuf *pkts[VRING_BURST];

	while (s.w.back < TOTAL) {
		driver_send();
		vring_refresh(&s.r->vr);
		s.burst = burst_dequeue(&s.r->vr, s.r->mp, pkts, VRING_BURST, s.spec);
		assert_true(vring_tx_taken(&s.r->vr) > 0);
		for (uint16_t i = 0; i < s.burst; i++)
			s.w.seen[s.w.n_seen++] = *number_in(rte_pktmbuf_mtod(pkts[i], void *));
		rte_pktmbuf_free_bulk(pkts, s.burst);
		burst_tx_complete(&s.r->vr);
		(void)vring_interrupt_wanted(&s.r->vr);
		driver_take_back(tx_look);
	}
}

/* @return packets that were sent twice */
static uint32_t
tx_doubles(void)
{
	uint32_t times[TOTAL] = {0}, doubles = 0;

	for (uint32_t i = 0; i < s.w.n_seen; i++)
		times[s.w.seen[i]]++;
	for (uint32_t i = 0; i < TOTAL; i++) {
		assert_in_range(times[i], is_dropped(i) ? 0 : 1, is_dropped(i) ? 0 : 2);
		doubles += times[i] == 2;
	}
	return doubles;
}

static void
tx_driver(void)
{
	driver_take_back(tx_look);
	driver_send();
}

/* ---- receive ---- */

/* A frame takes two buffers. */
static bool
merges(void)
{
	return (s.spec & BURST_MERGE) != 0;
}

static void
driver_post(void)
{
	while (s.w.added - s.w.back < POSTED) {
		const uint64_t at = BUF_IOVA(s.w.added);
		const uint32_t len = merges() ? SMALL - RIG_HDR : FRAME_LEN;
		const struct vring_buf one[] = {{at, RIG_HDR + len}};
		const struct vring_buf two[] = {{at, RIG_HDR}, {at + RIG_HDR, len}};
		const bool split = s.w.added % 3 == 0, indirect = s.w.added % 5 == 4;

		assert_int_equal(vring_driver_add(&s.r->vd, split ? two : one, 0, split ? 2 : 1,
					 indirect, s.w.added),
			0);
		s.w.added++;
	}
	vring_driver_publish(&s.r->vd);
}

static void
rx_look(const struct vring_used_chain *used)
{
	uint8_t *frame = rig_ptr(s.r, BUF_IOVA(used->token)) + RIG_HDR;

	if (merges() && used->token % 2 == 1) {
		assert_int_equal(used->len, RIG_HDR + FRAME_LEN - SMALL);
		return;
	}
	assert_int_equal(used->len, merges() ? SMALL : RIG_HDR + FRAME_LEN);
	assert_int_equal(frame[-2], merges() ? 2 : 1); /* num_buffers */
	s.w.seen[s.w.n_seen++] = *number_in(frame);
	memset(frame, 0xee, SMALL - RIG_HDR);
}

static uint16_t
sf_read(struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t i;

	for (i = 0; i < n && s.w.frames < TOTAL; i++) {
		pkts[i] = rig_mbuf(s.r, FRAME_LEN, FRAME_LEN, s.w.frames);
		*number_in(rte_pktmbuf_mtod(pkts[i], void *)) = s.w.frames++;
	}
	return i;
}

static void
rx_run(void)
{
	struct rte_mbuf *pkts[VRING_BURST];
	uint16_t room;

	while (s.w.frames < TOTAL) {
		driver_post();
		vring_refresh(&s.r->vr);
		room = RTE_MIN(vring_avail_entries(&s.r->vr), VRING_BURST);
		s.burst = sf_read(pkts, merges() ? room / 2 : room);
		assert_int_equal(burst_enqueue(&s.r->vr, pkts, s.burst, s.spec), s.burst);
		(void)vring_interrupt_wanted(&s.r->vr);
		driver_take_back(rx_look);
	}
	/* What a successor found recorded of the last burst. */
	driver_take_back(rx_look);
}

static void
rx_driver(void)
{
	driver_take_back(rx_look);
	driver_post();
}

/* @return frames that did not arrive; those that did came once, whole and in their order */
static uint32_t
rx_lost(void)
{
	for (uint32_t i = 0; i < s.w.n_seen; i++)
		assert_in_range(s.w.seen[i], i == 0 ? 0 : s.w.seen[i - 1] + 1, TOTAL - 1);
	return TOTAL - s.w.n_seen;
}

/* ---- */

struct death {
	const char *point;
	bool burst_again; /* the packets of the burst are sent twice, or lost */
};

static const uint64_t feature_sets[] = {
	RIG_INDIRECT, RIG_INDIRECT | RIG_EVENT | RIG_OFFLOAD, RIG_INDIRECT | RIG_MERGE};
static const uint16_t bases[] = {0, 65500}; /* positions wrap in the middle of the run */

static void
each_death(struct rig *r, const struct death *deaths, size_t n, void (*run)(void),
	void (*driver)(void), uint32_t (*count)(void))
{
	for (size_t i = 0; i < n * RTE_DIM(feature_sets) * RTE_DIM(bases) * 4; i++) {
		const struct death *d = &deaths[i % n];

		if (strstr(d->point, "packed") != NULL && (r->format & RIG_PACKED) == 0)
			continue;
		begin(r, feature_sets[i / n % RTE_DIM(feature_sets)],
			bases[i / n / RTE_DIM(feature_sets) % RTE_DIM(bases)]);
		s.point = d->point;
		s.nth = 1 + (unsigned int)(i / n / RTE_DIM(feature_sets) / RTE_DIM(bases));
		s.driver_goes_on = s.nth % 2 == 0;
		run();
		successor_start(driver);
		run();
		assert_int_equal(count(), d->burst_again ? s.died_in : 0);
		assert_true(s.died_in > 0 && s.died_in <= VRING_BURST);
		assert_int_equal(r->rec.stats.completed_desc, s.w.back);
		assert_int_equal(r->rec.stats.received_desc, s.w.back);
		rig_assert_none_used(r);
	}
}

static void
a_transmit_burst_is_given_back_once_wherever_the_process_ends(void **state)
{
	static const struct death deaths[] = {
		{"vring.tx.sent", true},
		{"vring.tx.recorded", false},
		{"vring.packed.shadowed", false},
		{"vring.packed.written", false},
		{"vring.packed.shown", false},
		{"vring.packed.settled", false},
		{"vring.tx.published", false},
	};

	each_death(*state, deaths, RTE_DIM(deaths), tx_run, tx_driver, tx_doubles);
}

/* The burst under way is known only afterwards: its packets are not sent yet. */
static void
a_transmit_burst_that_was_only_taken_is_sent_once(void **state)
{
	for (unsigned int nth = 1; nth < 5; nth++) {
		begin(*state, RIG_OFFLOAD | RIG_INDIRECT, 0);
		s.point = "vring.tx.taken";
		s.nth = nth;
		tx_run();
		successor_start(tx_driver);
		tx_run();
		assert_int_equal(tx_doubles(), 0);
	}
}

static void
a_receive_burst_is_given_back_once_wherever_the_process_ends(void **state)
{
	static const struct death deaths[] = {
		{"vring.rx.read", true},
		{"vring.rx.copied", true},
		{"vring.rx.recorded", false},
		{"vring.packed.shadowed", false},
		{"vring.packed.written", false},
		{"vring.packed.shown", false},
		{"vring.packed.settled", false},
		{"vring.rx.published", false},
	};

	each_death(*state, deaths, RTE_DIM(deaths), rx_run, rx_driver, rx_lost);
}

/*
 * The handling of a control command ends at each step in turn: what is done before the record is
 * done again.
 */
static void
a_control_chain_is_given_back_once_wherever_the_process_ends(void **state)
{
	static const struct {
		const char *point;
		bool again;
	} table[] = {
		{"vring.chain.taken", true},
		{"vring.chain.handled", true},
		{"vring.chain.recorded", false},
		{"vring.packed.shadowed", false},
		{"vring.packed.written", false},
		{"vring.packed.shown", false},
		{"vring.packed.settled", false},
		{"vring.chain.published", false},
	};
	const struct vring_buf bufs[] = {{RIG_BUFS, 100}, {RIG_BUFS + 200, 1}};
	struct rig *r = *state;

	for (size_t i = 0; i < RTE_DIM(table); i++) {
		if (strstr(table[i].point, "packed") != NULL && (r->format & RIG_PACKED) == 0)
			continue;
		begin(r, 0, 65535);
		vring_driver_add(&r->vd, bufs, 1, 1, false, 7);
		vring_driver_publish(&r->vd);
		s.point = table[i].point;
		s.nth = 1;
		assert_int_equal(vring_pop(&r->vr, &r->chain), 1);
		FAULT_POINT("vring.chain.taken");
		chain_push(&r->vr, &r->chain, 1);
		successor_start(NULL);
		assert_int_equal(vring_pop(&r->vr, &r->chain), table[i].again);
		if (table[i].again)
			vring_push(&r->vr, &r->chain, 1);
		rig_assert_used(r, 7, 1);
		rig_assert_none_used(r);
		assert_int_equal(r->rec.stats.completed_desc, 1);
	}
}

static int
test_vring_crash(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(a_transmit_burst_is_given_back_once_wherever_the_process_ends),
		RIG_TEST(a_transmit_burst_that_was_only_taken_is_sent_once),
		RIG_TEST(a_receive_burst_is_given_back_once_wherever_the_process_ends),
		RIG_TEST(a_control_chain_is_given_back_once_wherever_the_process_ends),
	};

	return cmocka_run_group_tests_name("vring_crash", tests, NULL, NULL);
}
REGISTER_TEST_COMMAND(vring_crash, test_vring_crash)
