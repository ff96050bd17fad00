/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The helper thread and its two queues: jobs to it, results back. */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "fence.h"
#include "helper.h"
#include "mem.h"

struct job {
	STAILQ_ENTRY(job) next;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

STAILQ_HEAD(job_list, job);

struct helper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct job_list todo;
	struct job_list finished;
	bool stop;
	unsigned int entry; /* of the fence */
	sem_t up;	    /* it has entered, or cannot: */
	int err;
	int event_fd;
	struct event *event;
};

static struct job *
next_job(struct helper *h)
{
	struct job *job;

	pthread_mutex_lock(&h->lock);
	while (STAILQ_EMPTY(&h->todo) && !h->stop)
		pthread_cond_wait(&h->more, &h->lock);
	job = STAILQ_FIRST(&h->todo);
	if (job != NULL)
		STAILQ_REMOVE_HEAD(&h->todo, next);
	pthread_mutex_unlock(&h->lock);
	return job;
}

static void *
helper_main(void *arg)
{
	struct helper *h = arg;
	struct ha_thread *alive = fence_enter(h->entry);
	struct job *job;

	h->err = alive != NULL ? 0 : errno;
	/*
	 * For the watchdog it sleeps at all times: jobs wait for the kernel's locks (rtnl) or unmap
	 * gigabytes, for seconds, and that is no reason to end the process.
	 */
	if (alive != NULL)
		ha_thread_sleeps(alive, true);
	sem_post(&h->up);
	if (alive == NULL)
		return NULL;
	while ((job = next_job(h)) != NULL) {
		ha_thread_beat(alive);
		job->work(job->arg);
		pthread_mutex_lock(&h->lock);
		STAILQ_INSERT_TAIL(&h->finished, job, next);
		pthread_mutex_unlock(&h->lock);
		(void)eventfd_write(h->event_fd, 1);
	}
	fence_leave();
	return NULL;
}

static void
deliver(struct helper *h)
{
	struct job_list list = STAILQ_HEAD_INITIALIZER(list);
	struct job *job;

	pthread_mutex_lock(&h->lock);
	STAILQ_CONCAT(&list, &h->finished);
	pthread_mutex_unlock(&h->lock);
	while ((job = STAILQ_FIRST(&list)) != NULL) {
		STAILQ_REMOVE_HEAD(&list, next);
		if (job->done != NULL)
			job->done(job->arg);
		free(job);
	}
}

static void
on_finished(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t n;

	(void)what;
	(void)eventfd_read(fd, &n);
	deliver(arg);
}

/* @return 0; errno */
static int
start(struct helper *h)
{
	int err = pthread_create(&h->thread, NULL, helper_main, h);

	if (err != 0)
		return err;
	pthread_setname_np(h->thread, "virtnet-helper");
	while (sem_wait(&h->up) < 0)
		;
	if (h->err != 0)
		pthread_join(h->thread, NULL);
	return h->err;
}

struct helper *
helper_create(struct event_base *base, unsigned int entry)
{
	struct helper *h = calloc(1, sizeof(*h));
	int err;

	if (h == NULL)
		return NULL;
	STAILQ_INIT(&h->todo);
	STAILQ_INIT(&h->finished);
	h->entry = entry;
	sem_init(&h->up, 0, 0);
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->more, NULL);
	h->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (h->event_fd < 0)
		goto fail;
	h->event = event_new(base, h->event_fd, EV_READ | EV_PERSIST, on_finished, h);
	if (h->event == NULL || event_add(h->event, NULL) != 0)
		goto fail;
	err = start(h);
	if (err != 0) {
		errno = err;
		goto fail;
	}
	return h;
fail:
	err = errno;
	if (h->event != NULL)
		event_free(h->event);
	if (h->event_fd >= 0)
		close(h->event_fd);
	free(h);
	errno = err;
	return NULL;
}

void
helper_destroy(struct helper *h)
{
	if (h == NULL)
		return;
	pthread_mutex_lock(&h->lock);
	h->stop = true;
	pthread_cond_signal(&h->more);
	pthread_mutex_unlock(&h->lock);
	pthread_join(h->thread, NULL);
	deliver(h);
	event_free(h->event);
	close(h->event_fd);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->more);
	sem_destroy(&h->up);
	free(h);
}

void
helper_run(struct helper *h, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *job = must_zalloc(sizeof(*job));

	job->work = work;
	job->done = done;
	job->arg = arg;
	pthread_mutex_lock(&h->lock);
	STAILQ_INSERT_TAIL(&h->todo, job, next);
	pthread_cond_signal(&h->more);
	pthread_mutex_unlock(&h->lock);
}
