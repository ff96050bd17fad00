/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: its making, and its doorbells. The rest is that of every front: lib/sock. */

#include <errno.h>

#include "front_impl.h"

/* Virtio's own limit of queues. */
#define FRONT_QUEUES_MAX 65536u

static struct vfio_user_front *
own(struct sock_front *sock)
{
	return (struct vfio_user_front *)sock;
}

int
vfio_user_front_create(const struct sock_front_conf *conf, struct sock_front **out)
{
	struct vfio_user_front *front;
	int ret;

	if (conf->connect || conf->max_queues > FRONT_QUEUES_MAX)
		return -EINVAL;
	/* No message is read before the event loop runs. */
	ret = sock_front_create(&front_proto,
		sizeof(*front) + conf->max_queues * sizeof(front->kicks[0]), conf, out);
	if (ret < 0)
		return ret;
	front = own(*out);
	front->max_queues = conf->max_queues;
	for (unsigned int i = 0; i < conf->max_queues; i++)
		front->kicks[i] = -1;
	return 0;
}

void
vfio_user_front_set_notify(struct sock_front *front, const struct vfio_user_notify *notify)
{
	if (notify != NULL)
		own(front)->notify = *notify;
	else
		own(front)->notify.size = 0;
}

int
vfio_user_front_set_kick(struct sock_front *front, unsigned int queue, int fd)
{
	if (queue >= own(front)->max_queues)
		return -EINVAL;
	own(front)->kicks[queue] = fd;
	return 0;
}

struct vfio_user_kick_stats
vfio_user_front_kick_stats(const struct sock_front *front)
{
	return ((const struct vfio_user_front *)front)->stats;
}
