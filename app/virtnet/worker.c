/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Worker lcores: adopting published lists, polling, going to sleep. */

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_debug.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "fence.h"
#include "worker.h"

/* Events taken per look; what is left over is found by the next. */
#define WORKER_EVENTS 64

/* Of the fence; the control lcore's is 0. */
#define WORKER_FIRST_ENTRY 1

/* A list as published. `item` is the worker's scratch: the sides that it polls now. */
struct snapshot {
	uint64_t seq; /* never used twice, unlike addresses: a sleeping worker's list may be freed,
			 its memory a new list */
	unsigned int n;
	unsigned int n_active;
	struct qpair **pair;
	struct poll_item {
		struct qpair *qp;
		enum qpair_side side;
	} * item;
};

struct worker {
	/* control lcore's: what will be published */
	struct workers *ws;
	struct qpair **pair;
	unsigned int n, room;
	uint64_t seq; /* of the list published last */
	bool changed;
	unsigned int id, lcore;
	int epoll_fd;
	int wake_fd;
	_Atomic(struct snapshot *) published;
	_Atomic bool stop;

	/* worker's own */
	struct snapshot *snap __rte_cache_aligned;
	struct ha_thread *alive; /* its entry in the keeper's fence */
	uint64_t seen;		 /* seq of snap */
	uint64_t us_cycles, idle_cycles, look_cycles;
	uint64_t now, last_look;
	uint64_t busy_cycles, poll_cycles, sleeps, packets;
} __rte_cache_aligned;

struct workers {
	struct grace *grace;
	struct rte_rcu_qsbr *qsbr;
	int fault_fd;
	sem_t up; /* posted by each worker at its start */
	unsigned int n;
	struct worker worker[];
};

/* ---- worker lcore ---- */

static void
activate(struct worker *w, struct qpair *qp, enum qpair_side side)
{
	struct snapshot *s = w->snap;

	qp->last_work[side] = w->now;
	if (qp->active[side] || !qp->run[side])
		return;
	qp->active[side] = true;
	s->item[s->n_active].qp = qp;
	s->item[s->n_active].side = side;
	s->n_active++;
}

/*
 * Take up a newly published list. Pairs that were here before stay as they are, new ones are looked
 * at. `all`: events were dropped, so look at everything.
 */
static void
adopt(struct worker *w, struct snapshot *s, bool all)
{
	w->snap = s;
	w->seen = s->seq;
	s->n_active = 0;
	for (unsigned int i = 0; i < s->n; i++) {
		struct qpair *qp = s->pair[i];
		const bool asked = atomic_exchange_explicit(&qp->look, false, memory_order_acquire);
		const bool look = all || asked || !qp->adopted;

		qp->adopted = true;
		for (int side = 0; side < QPAIR_SIDES; side++) {
			const bool was = qp->active[side];

			qp->active[side] = false;
			if (was || look)
				activate(w, qp, side);
		}
	}
}

/* Take the wake descriptor's event out. @return events that name pairs */
static int
drop_wake(struct worker *w, struct epoll_event *ev, int n, bool *woken)
{
	eventfd_t count;

	*woken = false;
	for (int i = 0; i < n; i++)
		if (ev[i].data.ptr == NULL) {
			(void)eventfd_read(w->wake_fd, &count);
			*woken = true;
			ev[i] = ev[n - 1];
			return n - 1;
		}
	return RTE_MAX(n, 0);
}

/* Pairs that the control lcore wants looked at. */
static void
take_marks(struct worker *w)
{
	const struct snapshot *s = w->snap;

	for (unsigned int i = 0; i < s->n; i++) {
		struct qpair *qp = s->pair[i];

		if (!atomic_exchange_explicit(&qp->look, false, memory_order_acquire))
			continue;
		for (int side = 0; side < QPAIR_SIDES; side++)
			activate(w, qp, side);
	}
}

static void
take_events(struct worker *w, const struct epoll_event *ev, int n)
{
	for (int i = 0; i < n; i++) {
		const uintptr_t tag = (uintptr_t)ev[i].data.ptr;

		activate(w, (struct qpair *)(tag & ~(uintptr_t)1), tag & 1);
	}
}

/*
 * Events name pairs, and only published ones: a pair's descriptors are in the epoll set from after
 * its publication until before its withdrawal. Between epoll_wait() and here the control lcore may
 * have withdrawn and freed some if the worker was offline meanwhile, so the list is looked at
 * first: unchanged, every pair named is in it.
 */
static void
look(struct worker *w, bool sleep)
{
	struct epoll_event ev[WORKER_EVENTS];
	struct snapshot *s;
	bool woken;
	int n;

	if (sleep) {
		w->sleeps++;
		rte_rcu_qsbr_thread_offline(w->ws->qsbr, w->id);
		ha_thread_sleeps(w->alive, true);
		n = epoll_wait(w->epoll_fd, ev, WORKER_EVENTS, -1);
		ha_thread_sleeps(w->alive, false);
		rte_rcu_qsbr_thread_online(w->ws->qsbr, w->id);
	} else {
		n = epoll_wait(w->epoll_fd, ev, WORKER_EVENTS, 0);
	}
	n = drop_wake(w, ev, n, &woken);
	w->now = rte_rdtsc();
	w->last_look = w->now;
	s = atomic_load_explicit(&w->published, memory_order_acquire);
	if (s->seq != w->seen) {
		adopt(w, s, n > 0);
		return;
	}
	take_events(w, ev, n);
	if (woken)
		take_marks(w);
}

static void
signal_fault(struct worker *w, struct qpair *qp)
{
	if (unlikely(atomic_load_explicit(&qp->fault, memory_order_relaxed)))
		(void)eventfd_write(w->ws->fault_fd, 1);
}

/* Say what is about to be touched, for whoever finds the body. */
static inline void
drop_crumb(struct worker *w, const struct poll_item *it)
{
	ha_crumb_queue(w->alive, it->qp->handle, qpair_queue(it->qp, it->side),
		it->qp->ring[it->side].used_idx);
}

/* The driver's CPU is left alone with the ring. */
static inline bool
resting(const struct worker *w, const struct poll_item *it)
{
	return it->side == QPAIR_RX && w->now < it->qp->rest_until;
}

/* One round over the active sides. Sides that become idle leave the list. */
static void
poll_round(struct worker *w)
{
	struct snapshot *s = w->snap;
	unsigned int keep = 0;

	ha_thread_beat(w->alive);
	for (unsigned int i = 0; i < s->n_active; i++) {
		const struct poll_item it = s->item[i];
		unsigned int moved;
		uint64_t now;

		drop_crumb(w, &it);
		moved = resting(w, &it) ? 0 : qpair_poll(it.qp, it.side);
		/* For each burst, not for all: clients have a say in what their bursts cost, and in
		 * how many there are. */
		ha_thread_beat(w->alive);
		now = rte_rdtsc();
		if (moved > 0) {
			w->busy_cycles += now - w->now;
			w->packets += moved;
			if (it.side == QPAIR_RX)
				it.qp->rest_until = now + it.qp->rest_ns * w->us_cycles / 1000;
			it.qp->last_work[it.side] = now;
		} else {
			w->poll_cycles += now - w->now;
			if (now - it.qp->last_work[it.side] > w->idle_cycles) {
				signal_fault(w, it.qp);
				if (qpair_idle(it.qp, it.side)) {
					signal_fault(
						w, it.qp); /* its last look may have found one */
					it.qp->active[it.side] = false;
					w->now = now;
					continue;
				}
				it.qp->last_work[it.side] = now;
			}
		}
		w->now = now;
		s->item[keep++] = it;
	}
	s->n_active = keep;
}

static int
worker_main(void *arg)
{
	struct worker *w = arg;
	struct snapshot *s;

	w->alive = fence_enter(w->id + WORKER_FIRST_ENTRY);
	sem_post(&w->ws->up);
	if (w->alive == NULL)
		return -errno;
	rte_rcu_qsbr_thread_online(w->ws->qsbr, w->id);
	w->now = rte_rdtsc();
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		s = atomic_load_explicit(&w->published, memory_order_acquire);
		if (unlikely(s->seq != w->seen))
			adopt(w, s, false);
		if (w->snap->n_active == 0)
			look(w, true);
		else if (w->now - w->last_look > w->look_cycles)
			look(w, false);
		poll_round(w);
		w->alive->crumb.kind = HA_CRUMB_NONE;
		rte_rcu_qsbr_quiescent(w->ws->qsbr, w->id);
	}
	rte_rcu_qsbr_thread_offline(w->ws->qsbr, w->id);
	fence_leave();
	return 0;
}

/* ---- control lcore ---- */

static struct snapshot *
snapshot_make(struct worker *w)
{
	struct snapshot *s;
	const size_t pairs = w->n * sizeof(struct qpair *);
	const size_t items = w->n * QPAIR_SIDES * sizeof(struct poll_item);
	const size_t size = RTE_ALIGN_CEIL(sizeof(*s) + pairs + items, RTE_CACHE_LINE_SIZE);

	/* Not from EAL's heap, which is small without hugepages: without a list nothing can be
	 * taken away any more. */
	s = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	if (s == NULL)
		rte_panic("out of memory\n");
	memset(s, 0, size);
	s->seq = ++w->seq;
	s->n = w->n;
	s->pair = (struct qpair **)(s + 1);
	s->item = (struct poll_item *)(s->pair + w->n);
	if (w->n > 0)
		memcpy(s->pair, w->pair, pairs);
	return s;
}

static int
worker_init(struct worker *w, struct workers *ws, unsigned int id, unsigned int lcore,
	unsigned int idle_us)
{
	struct epoll_event ev = {.events = EPOLLIN};

	w->ws = ws;
	w->id = id;
	w->lcore = lcore;
	w->us_cycles = rte_get_tsc_hz() / US_PER_S;
	w->idle_cycles = w->us_cycles * idle_us;
	w->look_cycles = w->us_cycles * WORKER_LOOK_US;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->epoll_fd < 0 || w->wake_fd < 0 ||
		epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0)
		return -errno;
	w->snap = snapshot_make(w);
	atomic_init(&w->published, w->snap);
	return -rte_rcu_qsbr_thread_register(ws->qsbr, id);
}

struct workers *
workers_create(struct grace *grace, unsigned int idle_us, int fault_fd)
{
	const unsigned int n = rte_lcore_count() - 1;
	struct workers *ws;
	unsigned int lcore, i = 0;
	int ret = 0;

	ws = rte_zmalloc("workers", sizeof(*ws) + n * sizeof(struct worker), RTE_CACHE_LINE_SIZE);
	if (ws == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	ws->grace = grace;
	ws->qsbr = grace_qsbr(grace);
	ws->fault_fd = fault_fd;
	ws->n = n;
	sem_init(&ws->up, 0, 0);
	RTE_LCORE_FOREACH_WORKER (lcore) {
		if (ret == 0)
			ret = worker_init(&ws->worker[i], ws, i, lcore, idle_us);
		i++;
	}
	if (ret != 0) {
		rte_free(ws);
		errno = -ret;
		return NULL;
	}
	return ws;
}

int
workers_start(struct workers *ws)
{
	for (unsigned int i = 0; i < ws->n; i++) {
		const int ret =
			rte_eal_remote_launch(worker_main, &ws->worker[i], ws->worker[i].lcore);

		if (ret != 0)
			return ret;
	}
	for (unsigned int i = 0; i < ws->n; i++)
		while (sem_wait(&ws->up) < 0 && errno == EINTR)
			;
	for (unsigned int i = 0; i < ws->n; i++)
		if (ws->worker[i].alive == NULL)
			return -EBUSY;
	return 0;
}

void
workers_destroy(struct workers *ws)
{
	if (ws == NULL)
		return;
	for (unsigned int i = 0; i < ws->n; i++) {
		atomic_store(&ws->worker[i].stop, true);
		(void)eventfd_write(ws->worker[i].wake_fd, 1);
	}
	rte_eal_mp_wait_lcore();
	for (unsigned int i = 0; i < ws->n; i++) {
		struct worker *w = &ws->worker[i];

		rte_rcu_qsbr_thread_unregister(ws->qsbr, w->id);
		free(atomic_load(&w->published));
		free(w->pair);
		close(w->epoll_fd);
		close(w->wake_fd);
	}
	sem_destroy(&ws->up);
	rte_free(ws);
}

unsigned int
workers_count(const struct workers *ws)
{
	return ws->n;
}

static int
watch(struct worker *w, struct qpair *qp, int fd, enum qpair_side side)
{
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLET,
		.data.ptr = (void *)((uintptr_t)qp | (uintptr_t)side),
	};

	if (fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0)
		return 0;
	return -errno;
}

static void
unwatch(struct worker *w, int fd)
{
	if (fd >= 0)
		(void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void
unwatch_pair(struct worker *w, struct qpair *qp)
{
	unwatch(w, qp->kick_fd[QPAIR_RX]);
	unwatch(w, qp->kick_fd[QPAIR_TX]);
	unwatch(w, qp->sf_fd);
}

static struct worker *
least_loaded(struct workers *ws)
{
	struct worker *best = &ws->worker[0];

	for (unsigned int i = 1; i < ws->n; i++)
		if (ws->worker[i].n < best->n)
			best = &ws->worker[i];
	return best;
}

int
workers_add(struct workers *ws, struct qpair *qp)
{
	struct worker *w = least_loaded(ws);

	if (w->n == w->room) {
		const unsigned int room = w->room == 0 ? 16 : w->room * 2;
		struct qpair **pair = realloc(w->pair, room * sizeof(*pair));

		if (pair == NULL)
			return -ENOMEM;
		w->pair = pair;
		w->room = room;
	}
	qp->worker = w;
	qp->sf_fd = -1;
	qp->adopted = false;
	qp->active[QPAIR_RX] = qp->active[QPAIR_TX] = false;
	w->pair[w->n++] = qp;
	w->changed = true;
	return 0;
}

int
workers_watch(struct qpair *qp)
{
	struct worker *w = qp->worker;
	int ret;

	qp->sf_fd = qp->sf_ops->rx_fd(qp->sf, qp->index);
	ret = watch(w, qp, qp->kick_fd[QPAIR_RX], QPAIR_RX);
	if (ret == 0)
		ret = watch(w, qp, qp->kick_fd[QPAIR_TX], QPAIR_TX);
	if (ret == 0)
		ret = watch(w, qp, qp->sf_fd, QPAIR_RX);
	return ret;
}

void
workers_remove(struct qpair *qp)
{
	struct worker *w = qp->worker;

	for (unsigned int i = 0; i < w->n; i++)
		if (w->pair[i] == qp) {
			w->pair[i] = w->pair[--w->n];
			break;
		}
	unwatch_pair(w, qp);
	qp->worker = NULL;
	w->changed = true;
}

void
workers_publish(struct workers *ws)
{
	for (unsigned int i = 0; i < ws->n; i++) {
		struct worker *w = &ws->worker[i];
		struct snapshot *old;

		if (!w->changed)
			continue;
		w->changed = false;
		old = atomic_exchange(&w->published, snapshot_make(w));
		grace_call(ws->grace, free, old);
		(void)eventfd_write(w->wake_fd, 1);
	}
}

int
workers_rx_changed(struct qpair *qp)
{
	struct worker *w = qp->worker;
	int ret = 0;

	if (w == NULL)
		return 0;
	/* A TAP queue that is not attached cannot be waited for, not even for the time after it is
	 * attached again. */
	unwatch(w, qp->sf_fd);
	qp->sf_fd = -1;
	if (atomic_load(&qp->rx_on)) {
		qp->sf_fd = qp->sf_ops->rx_fd(qp->sf, qp->index);
		ret = watch(w, qp, qp->sf_fd, QPAIR_RX);
	}
	/*
	 * Not by the queue's kick, which is the client's: a write to an eventfd that it has filled
	 * waits until it is read.
	 */
	atomic_store_explicit(&qp->look, true, memory_order_release);
	(void)eventfd_write(w->wake_fd, 1);
	return ret;
}

void
workers_stats(const struct workers *ws, unsigned int i, struct worker_stats *stats)
{
	const struct worker *w = &ws->worker[i];

	stats->lcore = w->lcore;
	stats->pairs = w->n;
	stats->busy_cycles = w->busy_cycles;
	stats->poll_cycles = w->poll_cycles;
	stats->sleeps = w->sleeps;
	stats->packets = w->packets;
}
