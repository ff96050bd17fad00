/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The closing thread and its queue. */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "closer.h"
#include "sock/discard.h"

/* A device's descriptors at once, most of the time; the queue grows when it has to. */
#define CLOSER_ROOM 256u
/* At the end of the process: above what the kernel takes for a thousand TAPs in a row. */
#define CLOSER_END_SECONDS 5

/* A descriptor, or a note that is due once everything before it is closed. */
struct item {
	int fd;
	struct closer_note *note;
};

STAILQ_HEAD(note_list, closer_note);

struct closer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct item *ring;
	unsigned int room, head, used;
	struct note_list finished;
	bool stop;
	int event_fd;
	struct event *event;
};

/* False: nothing is left, and nothing will come. */
static bool
item_take(struct closer *c, struct item *item)
{
	bool have;

	pthread_mutex_lock(&c->lock);
	while (c->used == 0 && !c->stop)
		pthread_cond_wait(&c->more, &c->lock);
	have = c->used > 0;
	if (have) {
		*item = c->ring[c->head];
		c->head = (c->head + 1) % c->room;
		c->used--;
	}
	pthread_mutex_unlock(&c->lock);
	return have;
}

static void *
closer_main(void *arg)
{
	struct closer *c = arg;
	struct item item;

	while (item_take(c, &item)) {
		if (item.note == NULL) {
			close(item.fd);
			continue;
		}
		pthread_mutex_lock(&c->lock);
		STAILQ_INSERT_TAIL(&c->finished, item.note, next);
		pthread_mutex_unlock(&c->lock);
		(void)eventfd_write(c->event_fd, 1);
	}
	return NULL;
}

static void
deliver(struct closer *c)
{
	struct note_list due = STAILQ_HEAD_INITIALIZER(due);
	struct closer_note *note;

	pthread_mutex_lock(&c->lock);
	STAILQ_CONCAT(&due, &c->finished);
	pthread_mutex_unlock(&c->lock);
	while ((note = STAILQ_FIRST(&due)) != NULL) {
		STAILQ_REMOVE_HEAD(&due, next);
		note->done(note);
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

/* The process's signals are for the main thread. */
static int
thread_start(struct closer *c)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&c->thread, NULL, closer_main, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err == 0)
		pthread_setname_np(c->thread, "virtnet-closer");
	return -err;
}

static void
closer_free(struct closer *c)
{
	if (c->event != NULL)
		event_free(c->event);
	if (c->event_fd >= 0)
		close(c->event_fd);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->more);
	free(c->ring);
	free(c);
}

static int
closer_init(struct closer *c, struct event_base *base)
{
	c->room = CLOSER_ROOM;
	c->ring = calloc(c->room, sizeof(*c->ring));
	if (c->ring == NULL)
		return -ENOMEM;
	c->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->event_fd < 0)
		return -errno;
	c->event = event_new(base, c->event_fd, EV_READ | EV_PERSIST, on_finished, c);
	if (c->event == NULL || event_add(c->event, NULL) != 0)
		return -ENOMEM;
	return thread_start(c);
}

int
closer_create(struct event_base *base, struct closer **out)
{
	struct closer *c = calloc(1, sizeof(*c));
	int ret;

	if (c == NULL)
		return -ENOMEM;
	STAILQ_INIT(&c->finished);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->more, NULL);
	c->event_fd = -1;
	ret = closer_init(c, base);
	if (ret < 0) {
		closer_free(c);
		return ret;
	}
	*out = c;
	return 0;
}

void
closer_destroy(struct closer *c)
{
	struct timespec end;

	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->more);
	pthread_mutex_unlock(&c->lock);
	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += CLOSER_END_SECONDS;
	if (pthread_timedjoin_np(c->thread, NULL, &end) != 0) {
		/* It still uses all of this, and will until the process has ended. */
		event_free(c->event);
		pthread_detach(c->thread);
		return;
	}
	deliver(c);
	closer_free(c);
}

/* Lock held. */
static bool
ring_grow(struct closer *c)
{
	struct item *ring = calloc(c->room, 2 * sizeof(*ring));

	if (ring == NULL)
		return false;
	for (unsigned int i = 0; i < c->used; i++)
		ring[i] = c->ring[(c->head + i) % c->room];
	free(c->ring);
	c->ring = ring;
	c->head = 0;
	c->room *= 2;
	return true;
}

static bool
item_put(struct closer *c, struct item item)
{
	bool put;

	pthread_mutex_lock(&c->lock);
	put = c->used < c->room || ring_grow(c);
	if (put) {
		c->ring[(c->head + c->used) % c->room] = item;
		c->used++;
		pthread_cond_signal(&c->more);
	}
	pthread_mutex_unlock(&c->lock);
	return put;
}

void
closer_close(struct closer *c, int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		/* Without memory it is us who have to wait. */
		if (fds[i] >= 0 && !item_put(c, (struct item){.fd = fds[i]}))
			close(fds[i]);
		fds[i] = -1;
	}
}

void
closer_close_clients(struct closer *c, struct sock_closer *own, int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (fds[i] < 0 || sock_fd_harmless(fds[i]))
			continue;
		sock_discard(own, &fds[i], 1);
		fds[i] = -1;
	}
	closer_close(c, fds, n);
}

void
closer_tell(struct closer *c, struct closer_note *note)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};

	/* A full queue that cannot grow becomes shorter by itself. */
	while (!item_put(c, (struct item){.fd = -1, .note = note}))
		nanosleep(&pause, NULL);
}
