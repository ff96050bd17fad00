/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Closing what clients have sent, without waiting for it. */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "discard.h"
#include "stream.h"

struct sock_closer {
	atomic_uint refs; /* the owner's, and one of each thread */
	atomic_uint waiting;
};

/* What one thread closes. */
struct batch {
	struct sock_closer *closer;
	unsigned int n;
	int fd[];
};

struct sock_closer *
sock_closer_create(void)
{
	struct sock_closer *closer = calloc(1, sizeof(*closer));

	if (closer != NULL)
		atomic_store(&closer->refs, 1);
	return closer;
}

void
sock_closer_release(struct sock_closer *closer)
{
	if (closer != NULL && atomic_fetch_sub(&closer->refs, 1) == 1)
		free(closer);
}

bool
sock_closer_full(const struct sock_closer *closer)
{
	return atomic_load_explicit(&closer->waiting, memory_order_relaxed) >= SOCK_CLOSER_MAX;
}

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

static void *
batch_close(void *arg)
{
	struct batch *b = arg;

	for (unsigned int i = 0; i < b->n; i++) {
		close(b->fd[i]);
		atomic_fetch_sub(&b->closer->waiting, 1);
	}
	sock_closer_release(b->closer);
	free(b);
	return NULL;
}

/* The process's signals are for others. */
static int
thread_start(struct batch *b)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	sigfillset(&all);
	if (pthread_attr_init(&attr) != 0)
		return -1;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = pthread_create(&thread, &attr, batch_close, b);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return ret == 0 ? 0 : -1;
}

static void
batch_start(struct batch *b)
{
	atomic_fetch_add(&b->closer->refs, 1);
	atomic_fetch_add(&b->closer->waiting, b->n);
	/* Without a thread we have to wait: to keep the descriptors would only postpone it. */
	if (thread_start(b) != 0)
		batch_close(b);
}

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
		if (b == NULL) {
			b = malloc(sizeof(*b) + n * sizeof(b->fd[0]));
			if (b == NULL) {
				close(fds[i]);
				continue;
			}
			b->closer = closer;
			b->n = 0;
		}
		b->fd[b->n++] = fds[i];
	}
	if (b != NULL)
		batch_start(b);
}

void
sock_discard_socket(struct sock_closer *closer, int sock)
{
	struct sock_fds fds = {.closer = closer};
	uint8_t rest[4096];

	/* Nothing can be added any more, so the loop ends with what the socket's buffer holds. */
	shutdown(sock, SHUT_RDWR);
	while (sock_recv(sock, rest, sizeof(rest), &fds) > 0)
		sock_fds_close(&fds);
	sock_fds_close(&fds);
	close(sock);
}
