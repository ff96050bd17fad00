/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Closing what clients have sent, without waiting for it.
 *
 * Threads and open files are the process's, so the limits of both are as well, and with them the
 * queue of closers that wait for a thread. It is an exception to "no global state in lib/": nobody
 * can tell one from another, and whoever has descriptors of a client would have to carry it about.
 */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "discard.h"

/*
 * Two functions deep. Thread-local data of the whole program stand on the same stack, which takes
 * memory only where it is touched.
 */
#define CLOSER_STACK_SIZE (256u * 1024)

/* What was given at once. */
struct batch {
	STAILQ_ENTRY(batch) next;
	bool sockets; /* hung up; their queues are to be emptied */
	unsigned int n;
	int fd[];
};

struct sock_closer {
	unsigned int refs; /* its owners', and one while it is claimed */
	bool claimed;	   /* it waits for a thread, or one is at it */
	STAILQ_HEAD(, batch) batches;
	STAILQ_ENTRY(sock_closer) next;
	atomic_uint waiting; /* descriptors, that at hand included */
};

static struct {
	pthread_mutex_t lock; /* of all but the counters of every closer, too */
	STAILQ_HEAD(, sock_closer) queue;
	unsigned int threads;
	atomic_uint waiting;
} pool = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.queue = STAILQ_HEAD_INITIALIZER(pool.queue),
};

struct sock_closer *
sock_closer_create(void)
{
	struct sock_closer *closer = calloc(1, sizeof(*closer));

	if (closer == NULL)
		return NULL;
	closer->refs = 1;
	STAILQ_INIT(&closer->batches);
	return closer;
}

struct sock_closer *
sock_closer_share(struct sock_closer *closer)
{
	pthread_mutex_lock(&pool.lock);
	closer->refs++;
	pthread_mutex_unlock(&pool.lock);
	return closer;
}

/* Lock held. */
static void
closer_put(struct sock_closer *closer)
{
	if (--closer->refs == 0)
		free(closer);
}

void
sock_closer_release(struct sock_closer *closer)
{
	if (closer == NULL)
		return;
	pthread_mutex_lock(&pool.lock);
	closer_put(closer);
	pthread_mutex_unlock(&pool.lock);
}

/* ---- what descriptors are */

/* A file's name begins with a slash, so none can look like an eventfd. */
bool
sock_fd_is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], link[sizeof(want) + 1];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, link, sizeof(link)) == (ssize_t)(sizeof(want) - 1) &&
	       memcmp(link, want, sizeof(want) - 1) == 0;
}

bool
sock_fd_harmless(int fd)
{
	return fcntl(fd, F_GET_SEALS) >= 0 || sock_fd_is_eventfd(fd);
}

static int
socket_option(int fd, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

bool
sock_fd_is_connection(int fd)
{
	struct sockaddr_un peer;
	socklen_t len = sizeof(peer);

	return socket_option(fd, SO_DOMAIN) == AF_UNIX &&
	       socket_option(fd, SO_TYPE) == SOCK_STREAM &&
	       getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

/* ---- threads */

/*
 * A queue that is hung up does not grow. What lies in it is closed by the reading, having nowhere
 * to go; the rest by the end. A peer that is left with unread bytes would be told of an error.
 */
static void
queue_empty(int sock)
{
	char rest[4096];

	while (recv(sock, rest, sizeof(rest), MSG_DONTWAIT) > 0)
		continue;
}

static void
batch_close(struct sock_closer *closer, struct batch *b)
{
	for (unsigned int i = 0; i < b->n; i++) {
		if (b->sockets)
			queue_empty(b->fd[i]);
		close(b->fd[i]);
		atomic_fetch_sub(&closer->waiting, 1);
		atomic_fetch_sub(&pool.waiting, 1);
	}
	free(b);
}

/* Lock held, but not while something is closed. */
static void
closer_serve(struct sock_closer *closer)
{
	struct batch *b;

	while ((b = STAILQ_FIRST(&closer->batches)) != NULL) {
		STAILQ_REMOVE_HEAD(&closer->batches, next);
		pthread_mutex_unlock(&pool.lock);
		batch_close(closer, b);
		pthread_mutex_lock(&pool.lock);
	}
	closer->claimed = false;
	closer_put(closer);
}

static void *
thread_main(void *arg)
{
	struct sock_closer *closer;

	pthread_setname_np(pthread_self(), "sock-closer");
	pthread_mutex_lock(&pool.lock);
	while ((closer = STAILQ_FIRST(&pool.queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&pool.queue, next);
		closer_serve(closer);
	}
	pool.threads--;
	pthread_mutex_unlock(&pool.lock);
	return NULL;
}

/* The process's signals are for others. */
static int
thread_start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	if (pthread_attr_init(&attr) != 0)
		return -1;
	pthread_attr_setstacksize(&attr, CLOSER_STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attr, thread_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret == 0 ? 0 : -1;
}

/* Lock held, but not while a thread is started. Without one the queue waits for the next call. */
static void
pool_staff(void)
{
	if (STAILQ_EMPTY(&pool.queue) || pool.threads >= SOCK_CLOSER_THREADS_MAX)
		return;
	pool.threads++;
	pthread_mutex_unlock(&pool.lock);
	if (thread_start() == 0) {
		pthread_mutex_lock(&pool.lock);
		return;
	}
	pthread_mutex_lock(&pool.lock);
	pool.threads--;
}

bool
sock_closer_full(struct sock_closer *closer)
{
	const unsigned int n = atomic_load_explicit(&closer->waiting, memory_order_relaxed);

	if (n == 0)
		return false;
	pthread_mutex_lock(&pool.lock);
	pool_staff();
	pthread_mutex_unlock(&pool.lock);
	return n >= SOCK_CLOSER_MAX ||
	       atomic_load_explicit(&pool.waiting, memory_order_relaxed) >= SOCK_CLOSERS_MAX;
}

static void
batch_give(struct sock_closer *closer, struct batch *b)
{
	atomic_fetch_add(&closer->waiting, b->n);
	atomic_fetch_add(&pool.waiting, b->n);
	pthread_mutex_lock(&pool.lock);
	STAILQ_INSERT_TAIL(&closer->batches, b, next);
	if (!closer->claimed) {
		closer->claimed = true;
		closer->refs++;
		STAILQ_INSERT_TAIL(&pool.queue, closer, next);
	}
	pool_staff();
	pthread_mutex_unlock(&pool.lock);
}

/* ---- what they are given */

void
sock_discard(struct sock_closer *closer, const int *fds, unsigned int n)
{
	struct batch *b = NULL;

	for (unsigned int i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		if (closer == NULL || sock_fd_harmless(fds[i])) {
			close(fds[i]);
			continue;
		}
		if (b == NULL)
			b = calloc(1, sizeof(*b) + n * sizeof(b->fd[0]));
		/* Without memory it stays open: better that than to wait for who knows whom. */
		if (b != NULL)
			b->fd[b->n++] = fds[i];
	}
	if (b != NULL)
		batch_give(closer, b);
}

void
sock_discard_socket(struct sock_closer *closer, int sock)
{
	struct batch *b;

	shutdown(sock, SHUT_RDWR);
	if (closer == NULL) {
		close(sock);
		return;
	}
	b = calloc(1, sizeof(*b) + sizeof(b->fd[0]));
	if (b == NULL)
		return;
	b->sockets = true;
	b->n = 1;
	b->fd[0] = sock;
	batch_give(closer, b);
}

/* Descriptors come with bytes: who has not sent any has sent none. */
void
sock_discard_own(struct sock_closer *closer, int sock)
{
	int bytes;

	shutdown(sock, SHUT_RDWR);
	if (ioctl(sock, FIONREAD, &bytes) == 0 && bytes == 0)
		close(sock);
	else
		sock_discard_socket(closer, sock);
}
