/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Driver and device on two threads, each of which sleeps when it has nothing to do and wakes by the
 * other's notification only: what is stored too late or asked for too late leaves one asleep.
 */

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "test.h"
#include "vring_rig.h"

#define PACKETS	 20000u
#define LEN	 64u
#define SIZE	 32u   /* small: both sides come to its end all the time */
#define SLEEP_MS 20000 /* on a machine that does much else */
#define STEP	 2048u /* between buffers */

struct pair {
	struct rig *r;
	bool rx;
	int kick, call;
	const char *failed; /**< of the device's thread */
};

static bool
wait_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	eventfd_t count;

	return poll(&p, 1, SLEEP_MS) == 1 && eventfd_read(fd, &count) == 0;
}

static uint64_t
buffer_at(uint64_t token)
{
	return RIG_BUFS + token % SIZE * STEP;
}

/* ---- device ---- */

static uint16_t
device_take(struct pair *p, uint32_t seq)
{
	struct rte_mbuf *pkts[VRING_BURST];
	const uint16_t n = p->r->burst->dequeue(&p->r->vr, p->r->mp, pkts, VRING_BURST);
	uint32_t got;

	for (uint16_t i = 0; i < n; i++) {
		memcpy(&got, rte_pktmbuf_mtod(pkts[i], void *), sizeof(got));
		if (got != seq + i)
			p->failed = "a packet is not the next one";
	}
	rte_pktmbuf_free_bulk(pkts, n);
	vring_tx_complete(&p->r->vr);
	return n;
}

static uint16_t
device_give(struct pair *p, uint32_t seq)
{
	const uint16_t n =
		RTE_MIN(vring_avail_entries(&p->r->vr), RTE_MIN(VRING_BURST, PACKETS - seq));
	struct rte_mbuf *pkts[VRING_BURST];
	uint16_t done;

	if (n == 0)
		return 0;
	if (rte_pktmbuf_alloc_bulk(p->r->mp, pkts, n) != 0) {
		p->failed = "no mbufs";
		return 0;
	}
	for (uint16_t i = 0; i < n; i++) {
		const uint32_t number = seq + i;

		pkts[i]->data_off = VRING_MBUF_DATA_OFF;
		memset(VRING_MBUF_HDR(pkts[i]), 0, RIG_HDR);
		memcpy(rte_pktmbuf_append(pkts[i], LEN), &number, sizeof(number));
	}
	done = p->r->burst->enqueue(&p->r->vr, pkts, n);
	rte_pktmbuf_free_bulk(&pkts[done], n - done);
	return done;
}

static void *
device_run(void *arg)
{
	struct pair *p = arg;
	struct vring *vr = &p->r->vr;
	uint32_t done = 0;
	uint16_t n;

	while (done < PACKETS && p->failed == NULL) {
		vring_kicks_off(vr);
		vring_refresh(vr);
		n = p->rx ? device_give(p, done) : device_take(p, done);
		done += n;
		if (n != 0 && vring_interrupt_wanted(vr))
			eventfd_write(p->call, 1);
		if (vring_broken(vr))
			p->failed = "the ring is broken";
		if (n != 0 || vring_kicks_on(vr))
			continue;
		if (!wait_for(p->kick))
			p->failed = "no kick";
	}
	/* The driver waits no longer than for this. */
	eventfd_write(p->call, 1);
	return NULL;
}

/* ---- driver ---- */

static void
driver_add(struct pair *p, uint32_t *added)
{
	struct vring_driver *vd = &p->r->vd;
	bool any = false;

	while (*added < PACKETS && vd->n_free != 0) {
		const struct vring_buf buf = {buffer_at(*added), RIG_HDR + LEN};

		if (!p->rx)
			memcpy(rig_ptr(p->r, buf.iova + RIG_HDR), added, sizeof(*added));
		assert_int_equal(
			vring_driver_add(vd, &buf, p->rx ? 0 : 1, p->rx ? 1 : 0, false, *added), 0);
		(*added)++;
		any = true;
	}
	if (!any)
		return;
	vring_driver_publish(vd);
	if (vring_driver_kick_needed(vd))
		eventfd_write(p->kick, 1);
}

static uint16_t
driver_take(struct pair *p, uint32_t seq)
{
	struct vring_used_chain used[SIZE];
	const uint16_t n = vring_driver_get_burst(&p->r->vd, used, SIZE);
	uint32_t got;

	assert_false(p->r->vd.broken);
	for (uint16_t i = 0; i < n; i++) {
		assert_int_equal(used[i].token, seq + i);
		if (!p->rx)
			continue;
		assert_int_equal(used[i].len, RIG_HDR + LEN);
		memcpy(&got, rig_ptr(p->r, buffer_at(seq + i) + RIG_HDR), sizeof(got));
		assert_int_equal(got, seq + i);
	}
	return n;
}

static void
driver_run(struct pair *p)
{
	uint32_t added = 0, done = 0;
	uint16_t n;

	while (done < PACKETS && p->failed == NULL) {
		vring_driver_interrupts_off(&p->r->vd);
		driver_add(p, &added);
		n = driver_take(p, done);
		done += n;
		if (n == 0 && !vring_driver_interrupts_on(&p->r->vd))
			assert_true(wait_for(p->call));
	}
}

static void
play(struct rig *r, uint64_t features, bool rx)
{
	struct pair p = {.r = r, .rx = rx, .kick = eventfd(0, 0), .call = eventfd(0, 0)};
	pthread_t thread;

	rig_start(r, SIZE, features);
	assert_int_equal(pthread_create(&thread, NULL, device_run, &p), 0);
	driver_run(&p);
	pthread_join(thread, NULL);
	close(p.kick);
	close(p.call);
	if (p.failed != NULL)
		fail_msg("%s, features 0x%" PRIx64 ": %s", rx ? "receive" : "transmit", features,
			p.failed);
	assert_int_equal(r->rec.stats.packets, PACKETS);
}

static void
two_threads_wake_each_other(void **state)
{
	struct rig *r = *state;

	play(r, 0, false);
	play(r, 0, true);
	play(r, RIG_EVENT, false);
	play(r, RIG_EVENT, true);
}

static int
test_vring_threads(void)
{
	const struct CMUnitTest tests[] = {
		RIG_TEST(two_threads_wake_each_other),
	};

	return cmocka_run_group_tests_name("vring_threads", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vring_threads, test_vring_threads)
