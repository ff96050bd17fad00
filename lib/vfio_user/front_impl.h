/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_FRONT_IMPL_H
#define VFIO_USER_FRONT_IMPL_H

/**
 * @file
 * Internal to lib/vfio_user: what the files of the front share.
 *
 * front_rx.c: what messages say, doorbells; front.c: the public functions that are not those of
 * every front. The rest is that of every front: lib/sock.
 */

#include "codec.h"
#include "sock/front_proto.h"
#include "vfio_user.h"

struct vfio_user_front {
	struct sock_front sock;
	struct vfio_user_notify notify;
	struct vfio_user_kick_stats stats;
	unsigned int max_queues;
	int kicks[]; /* max_queues */
};

/* front_rx.c */
extern const struct sock_proto front_proto;

#endif /* VFIO_USER_FRONT_IMPL_H */
