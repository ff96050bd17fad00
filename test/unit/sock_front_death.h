/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_SOCK_FRONT_DEATH_H
#define TEST_UNIT_SOCK_FRONT_DEATH_H

/**
 * @file
 * Fronts whose process dies: for the suites of both transports.
 */

#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "sock/front_impl.h"

/* The front's memory and descriptors go, nobody is told. */
__attribute__((unused)) static void
sock_front_dies(struct sock_front *sock)
{
	front_events_destroy(sock);
	if (sock->listen_ev != NULL)
		event_free(sock->listen_ev);
	event_free(sock->retry_ev);
	if (sock->adopt_ev != NULL)
		event_free(sock->adopt_ev);
	if (sock->fd >= 0)
		close(sock->fd);
	if (sock->listen_fd >= 0)
		close(sock->listen_fd);
	sock_fds_close(&sock->rx.fds);
	sock_discard(sock->closer, sock->req_fds, MAILBOX_FDS_MAX);
	sock_closer_release(sock->closer);
	free(sock);
}

#endif /* TEST_UNIT_SOCK_FRONT_DEATH_H */
