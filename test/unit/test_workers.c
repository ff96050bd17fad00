/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Worker lcores with a real ring and a small SF: who wakes them, when they sleep, what they let go
 * of. */

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_lcore.h>
#include <rte_malloc.h>

#include "test.h"
#include "virtnet/fence.h"
#include "virtnet/worker.h"
#include "vring_rig.h"

#define IDLE_US	     20
#define HANG_SECONDS 20 /* a test that waits longer for its event has failed */
#define FRAME	     64u

/* An SF whose descriptor the test signals. */
struct test_sf {
	struct sf sf;
	int fd;
	struct rte_mempool *mp;
	_Atomic unsigned int pending; /* frames to be received */
	_Atomic unsigned int starved; /* times that there was no mbuf for one */
	_Atomic unsigned int sent;
	_Atomic bool hold;	  /* show frames, but give none */
	_Atomic uint64_t rx_beat; /* the worker's when it asked for frames last, */
	_Atomic uint64_t beats;	  /* from then to when it sent some */
};

static struct {
	struct rig *rig;
	struct rig *rx_rig; /* of a pair with both sides */
	struct grace *grace;
	struct workers *ws;
	struct qpair *qp;
	struct test_sf sf;
	int fault_fd;
	bool called;
	bool polled; /* the pair has no descriptors for kicks */
} t;

static uint16_t
sf_rx(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct test_sf *s = (struct test_sf *)sf;
	struct rte_mbuf *m;
	eventfd_t count;

	(void)queue;
	s->rx_beat = fence_self()->beats;
	if (s->hold)
		return 0;
	/* The descriptor stays readable as long as there are any. */
	if (s->pending == 0)
		(void)eventfd_read(s->fd, &count);
	if (n == 0 || s->pending == 0)
		return 0;
	m = rte_pktmbuf_alloc(s->mp);
	if (m == NULL) {
		s->starved++;
		return 0;
	}
	m->data_off = VRING_MBUF_DATA_OFF;
	m->pkt_len = m->data_len = FRAME;
	memset(VRING_MBUF_HDR(m), 0, sizeof(*VRING_MBUF_HDR(m)) + FRAME);
	s->pending--;
	pkts[0] = m;
	return 1;
}

static uint16_t
sf_tx(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	struct test_sf *s = (struct test_sf *)sf;

	(void)queue;
	rte_pktmbuf_free_bulk(pkts, n);
	s->beats = fence_self()->beats - s->rx_beat;
	s->sent += n;
	return n;
}

static int
sf_fd(struct sf *sf, uint16_t queue)
{
	(void)queue;
	return ((struct test_sf *)sf)->fd;
}

static const struct sf_ops test_sf_ops = {
	.name = "test", .rx_burst = sf_rx, .tx_burst = sf_tx, .rx_fd = sf_fd};

/* Wait for something that another thread brings about. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		const time_t until = time(NULL) + HANG_SECONDS;                                    \
                                                                                                   \
		while (!(condition)) {                                                             \
			if (time(NULL) > until)                                                    \
				fail_msg("never: %s", #condition);                                 \
			sched_yield();                                                             \
		}                                                                                  \
	} while (0)

static struct worker_stats
stats(void)
{
	struct worker_stats st;

	workers_stats(t.ws, 0, &st);
	return st;
}

/* A pair of which one side runs, on the rig's ring. */
static void
publish(enum qpair_side side)
{
	struct qpair *qp = rte_zmalloc("qpair", sizeof(*qp), RTE_CACHE_LINE_SIZE);

	assert_non_null(qp);
	qp->burst = t.rig->burst;
	qpair_set_sf(qp, &t.sf.sf);
	qp->pool = t.rig->mp;
	for (int i = 0; i < QPAIR_SIDES; i++)
		qp->kick_fd[i] = t.polled ? -1 : eventfd(0, EFD_NONBLOCK);
	atomic_init(&qp->rx_on, true);
	assert_int_equal(vring_start(&qp->ring[side], &t.rig->conf), 0);
	qp->run[side] = true;
	if (t.rx_rig != NULL) {
		assert_int_equal(vring_start(&qp->ring[QPAIR_RX], &t.rx_rig->conf), 0);
		qp->run[QPAIR_RX] = true;
	}
	t.qp = qp;
	assert_int_equal(workers_add(t.ws, qp), 0);
	workers_publish(t.ws);
	assert_int_equal(workers_watch(qp), 0);
}

static void
set_called(void *arg)
{
	(void)arg;
	t.called = true;
}

/* Take the pair back, as the control lcore does. */
static void
withdraw(void)
{
	workers_remove(t.qp);
	workers_publish(t.ws);
	t.called = false;
	grace_call(t.grace, set_called, NULL);
	WAIT_FOR(grace_poll(t.grace) == false);
	assert_true(t.called);
}

static int
setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.rig = rig_new();
	rig_start(t.rig, RIG_SIZE, 0);
	vring_stop(&t.rig->vr); /* the pair starts it again, elsewhere */
	memset(&t.rig->rec, 0, sizeof(t.rig->rec));
	vring_driver_interrupts_off(&t.rig->vd);
	t.sf.sf.ops = &test_sf_ops;
	t.sf.fd = eventfd(0, EFD_NONBLOCK);
	t.sf.mp = t.rig->mp;
	t.fault_fd = eventfd(0, EFD_NONBLOCK);
	t.grace = grace_create(rte_lcore_count());
	t.ws = workers_create(t.grace, IDLE_US, t.fault_fd);
	return t.ws != NULL && workers_count(t.ws) == 1 ? workers_start(t.ws) : -1;
}

static int
teardown(void **state)
{
	(void)state;
	if (t.qp != NULL) {
		if (t.qp->worker != NULL)
			withdraw();
		for (int i = 0; i < QPAIR_SIDES && !t.polled; i++)
			close(t.qp->kick_fd[i]);
		rte_free(t.qp);
	}
	workers_destroy(t.ws);
	while (grace_poll(t.grace))
		;
	grace_destroy(t.grace);
	close(t.sf.fd);
	close(t.fault_fd);
	if (t.rx_rig != NULL)
		rig_free(t.rx_rig);
	rig_free(t.rig);
	return 0;
}

static void
send_frames(uint16_t n)
{
	struct vring_buf buf = rig_tx_buf(t.rig, RIG_BUFS, FRAME, 1);

	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(vring_driver_add(&t.rig->vd, &buf, 1, 0, false, i), 0);
	vring_driver_publish(&t.rig->vd);
	if (vring_driver_kick_needed(&t.rig->vd) && !t.polled)
		eventfd_write(t.qp->kick_fd[QPAIR_TX], 1);
}

static void
post_buffers(uint16_t n)
{
	const struct vring_buf buf = {RIG_BUFS, 2048};

	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(vring_driver_add(&t.rig->vd, &buf, 0, 1, false, i), 0);
	vring_driver_publish(&t.rig->vd);
	if (vring_driver_kick_needed(&t.rig->vd) && !t.polled)
		eventfd_write(t.qp->kick_fd[QPAIR_RX], 1);
}

static uint16_t
used(void)
{
	struct vring_used_chain chain[RIG_SIZE];

	return vring_driver_get_burst(&t.rig->vd, chain, RIG_SIZE);
}

static void
a_worker_without_traffic_goes_to_sleep(void **state)
{
	uint64_t sleeps;

	(void)state;
	publish(QPAIR_TX);
	WAIT_FOR(stats().sleeps > 0);
	sleeps = stats().sleeps;
	send_frames(1);
	WAIT_FOR(t.sf.sent == 1);
	WAIT_FOR(stats().sleeps > sleeps);
}

static void
a_kick_wakes_a_sleeping_worker(void **state)
{
	(void)state;
	publish(QPAIR_TX);
	for (unsigned int i = 1; i <= 100; i++) {
		const uint64_t sleeps = stats().sleeps;

		send_frames(1);
		WAIT_FOR(t.sf.sent == i);
		WAIT_FOR(used() == 1);
		WAIT_FOR(stats().sleeps > sleeps);
	}
}

static void
frames_sent_without_a_pause_all_arrive(void **state)
{
	unsigned int n = 0;

	(void)state;
	publish(QPAIR_TX);
	for (unsigned int i = 0; i < 500; i++) {
		send_frames(i % 7 + 1);
		n += i % 7 + 1;
		WAIT_FOR(used() > 0 || t.rig->vd.n_free >= 8);
	}
	WAIT_FOR(t.sf.sent == n);
}

static void
the_sfs_descriptor_wakes_a_sleeping_worker(void **state)
{
	(void)state;
	publish(QPAIR_RX);
	post_buffers(8);
	for (unsigned int i = 0; i < 8; i++) {
		WAIT_FOR(stats().sleeps > i);
		t.sf.pending = 1;
		eventfd_write(t.sf.fd, 1);
		WAIT_FOR(used() == 1);
	}
}

static void
a_driver_without_buffers_gets_the_frames_when_it_posts_some(void **state)
{
	(void)state;
	publish(QPAIR_RX);
	t.sf.pending = 3;
	eventfd_write(t.sf.fd, 1);
	WAIT_FOR(stats().sleeps > 1);
	assert_int_equal(t.sf.pending, 3);
	post_buffers(4);
	WAIT_FOR(t.sf.pending == 0);
	WAIT_FOR(t.qp->ring[QPAIR_RX].used_idx == 3);
}

/* The time after which other queues are left to their descriptors, twice. */
static void
let_it_idle(void)
{
	const uint64_t idle = rte_rdtsc() + 2 * rte_get_tsc_hz() / 1000000 * IDLE_US;

	WAIT_FOR(rte_rdtsc() > idle);
}

static void
a_queue_without_a_kick_descriptor_is_polled_and_its_worker_does_not_sleep(void **state)
{
	uint64_t sleeps = 0;

	(void)state;
	t.polled = true;
	publish(QPAIR_TX);
	for (unsigned int i = 1; i <= 20; i++) {
		send_frames(1);
		WAIT_FOR(t.sf.sent == i);
		WAIT_FOR(used() == 1);
		if (i == 1)
			sleeps = stats().sleeps;
		let_it_idle();
	}
	assert_int_equal(stats().sleeps, sleeps);
}

static void
a_driver_without_buffers_and_kicks_gets_the_frames_when_it_posts_some(void **state)
{
	(void)state;
	t.polled = true;
	publish(QPAIR_RX);
	t.sf.pending = 3;
	eventfd_write(t.sf.fd, 1);
	let_it_idle();
	assert_int_equal(t.sf.pending, 3);
	post_buffers(4);
	WAIT_FOR(t.sf.pending == 0);
	WAIT_FOR(t.qp->ring[QPAIR_RX].used_idx == 3);
}

static void
frames_that_wait_for_mbufs_are_taken_when_there_are_some(void **state)
{
	struct rte_mbuf *all[RIG_MBUFS];

	(void)state;
	publish(QPAIR_RX);
	post_buffers(1);
	WAIT_FOR(stats().sleeps > 0);
	assert_int_equal(rte_pktmbuf_alloc_bulk(t.sf.mp, all, RIG_MBUFS), 0);
	t.sf.pending = 1;
	eventfd_write(t.sf.fd, 1);
	/* Longer than it would stay awake for nothing. */
	WAIT_FOR(t.sf.starved > 1000 * IDLE_US);
	rte_pktmbuf_free_bulk(all, RIG_MBUFS);
	WAIT_FOR(used() == 1);
	WAIT_FOR(t.sf.pending == 0);
}

static void
a_pair_that_does_not_receive_leaves_frames_with_the_sf(void **state)
{
	(void)state;
	publish(QPAIR_RX);
	atomic_store(&t.qp->rx_on, false);
	post_buffers(4);
	t.sf.pending = 1;
	eventfd_write(t.sf.fd, 1);
	WAIT_FOR(stats().sleeps > 1);
	assert_int_equal(t.sf.pending, 1);
	atomic_store(&t.qp->rx_on, true);
	assert_int_equal(workers_rx_changed(t.qp), 0);
	WAIT_FOR(t.sf.pending == 0);
}

/* A client may have filled its eventfd: who writes to it then sleeps until somebody reads. */
static void
a_clients_kick_is_never_written(void **state)
{
	eventfd_t n;

	(void)state;
	publish(QPAIR_RX);
	WAIT_FOR(stats().sleeps > 0);
	assert_int_equal(workers_rx_changed(t.qp), 0);
	assert_int_equal(eventfd_read(t.qp->kick_fd[QPAIR_RX], &n), -1);
	assert_int_equal(eventfd_read(t.qp->kick_fd[QPAIR_TX], &n), -1);
}

static void
a_pair_that_is_to_be_looked_at_is_whatever_else_goes_on(void **state)
{
	(void)state;
	publish(QPAIR_RX);
	for (unsigned int i = 0; i < 100; i++) {
		atomic_store(&t.qp->rx_on, false);
		assert_int_equal(workers_rx_changed(t.qp), 0);
		post_buffers(1);
		t.sf.pending = 1;
		eventfd_write(t.sf.fd, 1);
		atomic_store(&t.qp->rx_on, true);
		assert_int_equal(workers_rx_changed(t.qp), 0);
		WAIT_FOR(t.sf.pending == 0);
		WAIT_FOR(used() == 1);
	}
}

/* Else the sum of what many sides cost would look like a worker that hangs. */
static void
a_worker_beats_between_the_bursts_of_a_round(void **state)
{
	const struct vring_buf buf = {RIG_BUFS, 2048};

	(void)state;
	t.rx_rig = rig_new();
	rig_start(t.rx_rig, RIG_SIZE, 0);
	vring_stop(&t.rx_rig->vr);
	assert_int_equal(vring_driver_add(&t.rx_rig->vd, &buf, 0, 1, false, 0), 0);
	vring_driver_publish(&t.rx_rig->vd);
	t.sf.hold = true;
	t.sf.pending = 1;
	eventfd_write(t.sf.fd, 1);
	publish(QPAIR_TX);
	WAIT_FOR(t.sf.rx_beat > 0);
	send_frames(1);
	WAIT_FOR(t.sf.sent == 1);
	assert_true(t.sf.beats > 0);
}

static void
a_withdrawn_pair_is_not_touched_any_more(void **state)
{
	(void)state;
	publish(QPAIR_TX);
	send_frames(1);
	WAIT_FOR(t.sf.sent == 1);
	withdraw();
	send_frames(3);
	/* A pair that comes back takes up where it was. */
	assert_int_equal(t.sf.sent, 1);
	assert_int_equal(workers_add(t.ws, t.qp), 0);
	workers_publish(t.ws);
	assert_int_equal(workers_watch(t.qp), 0);
	WAIT_FOR(t.sf.sent == 4);
}

static void
a_broken_ring_raises_the_fault(void **state)
{
	eventfd_t n;

	(void)state;
	publish(QPAIR_TX);
	rig_desc(t.rig, 0, RIG_HOLE, 100, 0, 0);
	rig_offer(t.rig, 0);
	eventfd_write(t.qp->kick_fd[QPAIR_TX], 1);
	WAIT_FOR(eventfd_read(t.fault_fd, &n) == 0);
	assert_true(t.qp->fault);
	assert_int_equal(t.qp->ring[QPAIR_TX].error, VRING_ERR_ADDRESS);
	assert_int_equal(t.sf.sent, 0);
}

static int
test_workers(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_worker_without_traffic_goes_to_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kick_wakes_a_sleeping_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(
			frames_sent_without_a_pause_all_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_sfs_descriptor_wakes_a_sleeping_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_driver_without_buffers_gets_the_frames_when_it_posts_some, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_queue_without_a_kick_descriptor_is_polled_and_its_worker_does_not_sleep,
			setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_driver_without_buffers_and_kicks_gets_the_frames_when_it_posts_some,
			setup, teardown),
		cmocka_unit_test_setup_teardown(
			frames_that_wait_for_mbufs_are_taken_when_there_are_some, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_pair_that_does_not_receive_leaves_frames_with_the_sf, setup, teardown),
		cmocka_unit_test_setup_teardown(a_clients_kick_is_never_written, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_pair_that_is_to_be_looked_at_is_whatever_else_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_worker_beats_between_the_bursts_of_a_round, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_withdrawn_pair_is_not_touched_any_more, setup, teardown),
		cmocka_unit_test_setup_teardown(a_broken_ring_raises_the_fault, setup, teardown),
	};

	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(workers, test_workers)
