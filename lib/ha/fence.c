/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The fence: a page of robust mutexes that tell the keeper when an emu process can do no more. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fence.h"

#define FENCE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* "VNFENCE" and the version of the layout. */
#define FENCE_MAGIC 0x01454e434546564eull

/*
 * Keeper and emu process may be of different versions: what stands here stays where it is. (Of one
 * C library they are: its mutex is the first field, of a size that depends on the machine.)
 */
#define AFTER_MUTEX(field) (offsetof(struct ha_thread, field) - sizeof(pthread_mutex_t))
static_assert(offsetof(struct ha_fence, thread) == 128, "fence layout");
static_assert(sizeof(struct ha_thread) == 128, "fence layout");
static_assert(AFTER_MUTEX(tid) == 0, "fence layout");
static_assert(AFTER_MUTEX(busy) == 4, "fence layout");
static_assert(AFTER_MUTEX(beats) == 8, "fence layout");
static_assert(AFTER_MUTEX(crumb) == 16, "fence layout");
static_assert(AFTER_MUTEX(end) == 40, "fence layout");

static int
fence_init(struct ha_fence *f)
{
	pthread_mutexattr_t attr;
	int ret = pthread_mutexattr_init(&attr);

	if (ret != 0)
		return -ret;
	ret = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (ret == 0)
		ret = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (unsigned int i = 0; ret == 0 && i < HA_THREADS_MAX; i++)
		ret = pthread_mutex_init(&f->thread[i].alive, &attr);
	pthread_mutexattr_destroy(&attr);
	atomic_init(&f->crashed, HA_NO_THREAD);
	f->magic = FENCE_MAGIC;
	return -ret;
}

static int
fence_map(int fd, struct ha_fence **out)
{
	void *p =
		mmap(NULL, sizeof(**out), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

static int
fence_make(int fd, struct ha_fence **out)
{
	int ret;

	if (ftruncate(fd, sizeof(**out)) < 0 || fcntl(fd, F_ADD_SEALS, FENCE_SEALS) < 0)
		return -errno;
	ret = fence_map(fd, out);
	if (ret < 0)
		return ret;
	ret = fence_init(*out);
	if (ret < 0)
		munmap(*out, sizeof(**out));
	return ret;
}

int
ha_fence_create(struct ha_fence **out, int *fd)
{
	int ret;

	*fd = memfd_create("virtnet-fence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return -errno;
	ret = fence_make(*fd, out);
	if (ret < 0)
		close(*fd);
	return ret;
}

int
ha_fence_open(int fd, struct ha_fence **out)
{
	struct ha_fence *f = NULL;
	struct stat st;
	int seals, ret;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* Unsealed memory could shrink under a worker. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & FENCE_SEALS) != FENCE_SEALS || st.st_size != sizeof(*f))
		return -EBADMSG;
	ret = fence_map(fd, &f);
	if (ret < 0)
		return ret;
	if (f->magic != FENCE_MAGIC) {
		ha_fence_close(f);
		return -EBADMSG;
	}
	*out = f;
	return 0;
}

void
ha_fence_close(struct ha_fence *f)
{
	if (f != NULL)
		munmap(f, sizeof(*f));
}

/*
 * The calling thread has found the mutex orphaned and holds it. Noting the death in the entry and
 * giving the mutex back whole lets any number of waiters come after.
 */
static void
bury(struct ha_fence *f, unsigned int i)
{
	struct ha_thread *t = &f->thread[i];

	atomic_store(&t->end, HA_THREAD_DIED);
	pthread_mutex_consistent(&t->alive);
	pthread_mutex_unlock(&t->alive);
}

int
ha_fence_enter(struct ha_fence *f, unsigned int i)
{
	struct ha_thread *t;
	int ret;

	if (i >= HA_THREADS_MAX)
		return -EINVAL;
	t = &f->thread[i];
	/* The mutex first: dying between the two steps is seen by the waiter all the same. */
	ret = pthread_mutex_trylock(&t->alive);
	if (ret == EOWNERDEAD) {
		bury(f, i);
		return -EBUSY;
	}
	if (ret != 0)
		return -ret;
	if (atomic_load(&t->end) == HA_THREAD_DIED) {
		pthread_mutex_unlock(&t->alive);
		return -EBUSY;
	}
	atomic_store(&t->end, HA_THREAD_ENTERED);
	atomic_store(&t->busy, 1);
	atomic_store(&t->tid, (uint32_t)gettid());
	return 0;
}

void
ha_fence_leave(struct ha_fence *f, unsigned int i)
{
	struct ha_thread *t;

	if (i >= HA_THREADS_MAX)
		return;
	t = &f->thread[i];
	if (atomic_load(&t->tid) != (uint32_t)gettid())
		return;
	ha_thread_sleeps(t, true);
	atomic_store(&t->tid, 0);
	atomic_store(&t->end, HA_THREAD_LEFT);
	pthread_mutex_unlock(&t->alive);
}

bool
ha_fence_wait(struct ha_fence *f)
{
	bool died = false;

	/* Every mutex, also of entries that nobody seems to have: one may have died while entering.
	 */
	for (unsigned int i = 0; i < HA_THREADS_MAX; i++) {
		struct ha_thread *t = &f->thread[i];
		int ret = pthread_mutex_lock(&t->alive);

		if (ret == EOWNERDEAD)
			bury(f, i);
		else if (ret == 0)
			pthread_mutex_unlock(&t->alive);
		died |= atomic_load(&t->end) == HA_THREAD_DIED;
	}
	return died;
}

void
ha_fence_crashed(struct ha_fence *f, unsigned int i, int sig)
{
	uint32_t none = 0;

	/* The signal decides who was first, so that it stands before `crashed` is seen. */
	if (i < HA_THREADS_MAX && atomic_compare_exchange_strong(&f->signal, &none, (uint32_t)sig))
		atomic_store(&f->crashed, i);
}
