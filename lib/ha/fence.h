/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef HA_FENCE_H
#define HA_FENCE_H

/**
 * @file
 * The fence of one emu process: how its keeper knows that it is dead, stuck, or what killed it.
 *
 * A page of shared memory (memfd) that the keeper makes for each emu process before starting it.
 * Each thread of the process that touches rings or registers enters the fence: it holds a robust,
 * process-shared mutex for as long as it lives, and says in its entry whether it is at work and
 * that it gets on. Robust mutexes tell of a death within a fraction of a millisecond, while a
 * process with much guest memory mapped takes up to a second to be reaped. Only when every mutex is
 * orphaned (or given back) may a successor touch what the process touched.
 *
 * A core dump comes before: all threads stand still meanwhile, and the fence stands as long as the
 * kernel writes. RLIMIT_CORE of 1 is what avoids it with any core_pattern (0 still feeds a pipe).
 *
 * Entry 0 is the control lcore, 1.. are the workers; the helper thread comes behind them.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define HA_THREADS_MAX 128u /**< control lcore, workers, helper: RTE_MAX_LCORE of the distributions */
#define HA_NO_THREAD   UINT32_MAX

/** What a thread is about to do, for whoever finds the body. */
enum ha_crumb_kind {
	HA_CRUMB_NONE = 0,
	HA_CRUMB_QUEUE,	  /**< a burst of a virtqueue: queue, pos = its used index */
	HA_CRUMB_REQUEST, /**< a request in the device's mailbox: seq */
	HA_CRUMB_ADOPT,	  /**< taking up a device's state block */
};

struct ha_crumb {
	uint32_t kind;	 /**< enum ha_crumb_kind */
	uint32_t device; /**< handle (msg.h) */
	uint16_t queue;
	uint16_t pos;
	uint32_t reserved;
	uint64_t seq;
};

/** How far an entry has come. */
enum ha_thread_end {
	HA_THREAD_NEVER = 0, /**< nobody has entered */
	HA_THREAD_ENTERED,
	HA_THREAD_LEFT,
	HA_THREAD_DIED, /**< a waiter has found the mutex orphaned */
};

/** One thread. The mutex and `tid` are written under the fence's functions only. */
struct ha_thread {
	pthread_mutex_t alive;
	_Atomic uint32_t tid;	/**< 0: nobody has entered */
	_Atomic uint32_t busy;	/**< 0: sleeps in the kernel by intention; nothing is expected */
	_Atomic uint64_t beats; /**< grows while it gets on */
	struct ha_crumb crumb;	/**< written by the thread alone, read when it is dead or stuck */
	_Atomic uint32_t end;	/**< enum ha_thread_end */
} __attribute__((aligned(128)));

struct ha_fence {
	uint64_t magic;
	_Atomic uint32_t crashed; /**< entry whose thread met a fatal signal of its own, or none */
	_Atomic uint32_t signal;  /**< that signal */
	struct ha_thread thread[HA_THREADS_MAX];
};

/** Make one in a new memfd (sealed against resizing). Keeper. @return 0; -errno */
int ha_fence_create(struct ha_fence **out, int *fd);
/** Map the fence that a keeper has made; the caller keeps fd. Emu. @return 0; -EBADMSG; -errno */
int ha_fence_open(int fd, struct ha_fence **out);
/** Unmap. NULL is allowed. */
void ha_fence_close(struct ha_fence *f);

/**
 * The calling thread is entry i from now on, until it dies or leaves. It is busy.
 * @return 0; -EINVAL; -EBUSY if the entry is taken
 */
int ha_fence_enter(struct ha_fence *f, unsigned int i);
/** Orderly end: the thread touches nothing any more. The thread that entered. */
void ha_fence_leave(struct ha_fence *f, unsigned int i);

/**
 * Wait until every thread that has entered is dead or has left. Blocks: for a thread of the
 * keeper's own. To be called once all threads of the process have entered. Several threads may
 * wait, and again after the end (then it returns at once).
 *
 * @return true if at least one was dead
 */
bool ha_fence_wait(struct ha_fence *f);

/**
 * For a handler of fatal signals: the calling thread's own doing (not a signal that somebody sent)
 * kills the process. The first one counts. Async-signal-safe.
 */
void ha_fence_crashed(struct ha_fence *f, unsigned int i, int sig);

static inline void
ha_thread_beat(struct ha_thread *t)
{
	atomic_store_explicit(&t->beats,
		atomic_load_explicit(&t->beats, memory_order_relaxed) + 1, memory_order_relaxed);
}

static inline void
ha_thread_sleeps(struct ha_thread *t, bool sleeps)
{
	atomic_store_explicit(&t->busy, !sleeps, memory_order_relaxed);
}

/** A few plain stores: cheap enough for each burst. */
static inline void
ha_crumb_queue(struct ha_thread *t, uint32_t device, uint16_t queue, uint16_t pos)
{
	t->crumb.kind = HA_CRUMB_QUEUE;
	t->crumb.device = device;
	t->crumb.queue = queue;
	t->crumb.pos = pos;
	t->crumb.seq = 0;
}

static inline void
ha_crumb_set(struct ha_thread *t, enum ha_crumb_kind kind, uint32_t device, uint64_t seq)
{
	t->crumb = (struct ha_crumb){.kind = kind, .device = device, .seq = seq};
}

#endif /* HA_FENCE_H */
