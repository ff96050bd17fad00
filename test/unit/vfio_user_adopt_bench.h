/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VFIO_USER_ADOPT_BENCH_H
#define TEST_UNIT_VFIO_USER_ADOPT_BENCH_H

/**
 * @file
 * Fronts that die and have successors: the bench of the front, and what a keeper has of a front
 * that is no more.
 */

#include "sock_front_death.h"
#include "vfio_user/front_impl.h"
#include "vfio_user_front_bench.h"

/* What outlives a front. */
struct kept_front {
	int listen_fd;
	int conn_fd;
	int request_fds[MAILBOX_FDS_MAX];
	bool gone;
};

UNUSED static int
dup_of(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

UNUSED static struct kept_front
kill_front(struct bench *b)
{
	struct kept_front k = {
		.listen_fd = dup_of(sock_front_listen_fd(b->front)),
		.conn_fd = dup_of(sock_front_conn_fd(b->front)),
		.gone = b->front->gone,
	};

	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		k.request_fds[i] = dup_of(sock_front_request_fds(b->front)[i]);
	sock_front_dies(b->front);
	b->front = NULL;
	return k;
}

UNUSED static void
adopt_front(struct bench *b, const struct kept_front *k)
{
	struct sock_front_conf conf = {
		.base = b->place.base,
		.mailbox = b->mb,
		.path = b->place.path,
		.ops = &ops,
		.ctx = b,
		.max_queues = QUEUES,
		.adopt = true,
		.listen_fd = k->listen_fd,
		.conn_fd = k->conn_fd,
		.gone = k->gone,
	};

	memcpy(conf.request_fds, k->request_fds, sizeof(conf.request_fds));
	assert_int_equal(vfio_user_front_create(&conf, &b->front), 0);
	bench_doorbells(b);
}

/* A new front in the place of the old one. */
UNUSED static void
replace_front(struct bench *b)
{
	const struct kept_front k = kill_front(b);

	adopt_front(b, &k);
}

#endif /* TEST_UNIT_VFIO_USER_ADOPT_BENCH_H */
