/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Replies to the client: from the mailbox, or the front's own. */

#include <errno.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <event2/event.h>

#include "front_impl.h"

static void
mailbox_empty(struct mailbox *mb)
{
	/*
	 * The device side closes what it did not pass on; a handler that took nothing at all leaves
	 * them here.
	 */
	for (unsigned int i = 0; i < mb->nfds && i < MAILBOX_FDS_MAX; i++)
		if (mb->fds[i] >= 0) {
			close(mb->fds[i]);
			mb->fds[i] = -1;
		}
	mb->nfds = 0;
	atomic_store_explicit(&mb->state, MAILBOX_EMPTY, memory_order_release);
}

/* The reply in the mailbox is dealt with. */
static void
reply_done(struct vfio_user_front *front, bool current)
{
	bool end = current && front->mailbox->close;

	mailbox_empty(front->mailbox);
	if (end)
		front_drop(front, LOG_INFO, "ended by the device");
}

void
front_tx(struct vfio_user_front *front)
{
	int ret = vfio_user_tx_push(&front->tx, front->fd, NULL, 0);

	if (ret == -EAGAIN)
		return;
	if (ret < 0) {
		front_drop(front, LOG_INFO, strerror(-ret));
		return;
	}
	if (front->tx_mailbox) {
		front->tx_mailbox = false;
		reply_done(front, true);
	}
}

void
front_answer(struct vfio_user_front *front, const struct vfio_user_header *req, int err,
	const void *body, uint32_t len)
{
	struct vfio_user_header hdr = vfio_user_reply_to(req, len, err);

	if (!vfio_user_wants_reply(req))
		return;
	vfio_user_tx_start(&front->tx, &hdr, body);
	front_tx(front);
}

void
vfio_user_front_reply(struct vfio_user_front *front)
{
	struct mailbox *mb = front->mailbox;
	struct vfio_user_header hdr;
	bool current;

	if (front->tx_mailbox ||
		atomic_load_explicit(&mb->state, memory_order_acquire) != MAILBOX_REPLY)
		return;
	current = front->fd >= 0 && mb->connection == front->connection;
	if (!current || !mb->reply_wanted) {
		reply_done(front, current);
	} else {
		memcpy(&hdr, mb->reply_header, sizeof(hdr));
		/*
		 * The body's length is one of two statements; the smaller cannot leave the mailbox.
		 */
		if (mb->reply_len > MAILBOX_BODY_MAX ||
			hdr.size != VFIO_USER_HEADER_SIZE + mb->reply_len) {
			front_drop(front, LOG_ERR, "the device left an impossible reply");
			return;
		}
		front->tx_mailbox = true;
		vfio_user_tx_start(&front->tx, &hdr, mb->reply);
		front_tx(front);
	}
	if (!front->in_rx)
		front_rearm(front);
}
