/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Messages from the client: framing, doorbells, what is refused without asking the device side.
 *
 * A doorbell is looked at when its turn in the stream has come, like any other message. While a
 * request stands in the mailbox it waits: a client may send DMA_MAP or a queue's enable bit and
 * ring at once, and the protocol promises that commands take effect in order.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "front_impl.h"

static struct vfio_user_header
header_of(const void *hdr)
{
	struct vfio_user_header h;

	memcpy(&h, hdr, sizeof(h));
	return h;
}

static uint64_t
message_size(const void *hdr)
{
	return header_of(hdr).size;
}

static enum sock_frame
message_frame(const void *hdr, const char **why)
{
	const struct vfio_user_header h = header_of(hdr);

	if (vfio_user_is_reply(&h)) {
		*why = "client sent a reply to nothing";
		return SOCK_FRAME_BROKEN;
	}
	*why = "client sent an impossible message size";
	return vfio_user_frame_check(&h, VFIO_USER_MSG_MAX);
}

static bool
may_carry_fds(const void *hdr)
{
	const uint16_t command = header_of(hdr).command;

	return command == VFIO_USER_DMA_MAP || command == VFIO_USER_DEVICE_SET_IRQS;
}

static bool
turn_away(const void *hdr, void *reply_hdr)
{
	const struct vfio_user_header req = header_of(hdr);
	const struct vfio_user_header reply = vfio_user_reply_to(&req, 0, -EBUSY);

	memcpy(reply_hdr, &reply, sizeof(reply));
	return vfio_user_is_command(&req) && vfio_user_wants_reply(&req);
}

/* Answer by the front itself. */
static void
answer(struct vfio_user_front *front, int err, const void *body, uint32_t len)
{
	const struct vfio_user_header req = header_of(front->sock.rx.hdr);
	const struct vfio_user_header reply = vfio_user_reply_to(&req, len, err);

	sock_front_answer(&front->sock, vfio_user_wants_reply(&req) ? &reply : NULL, body,
		err == 0 ? len : 0);
}

static void
refuse(struct vfio_user_front *front, int err)
{
	front->sock.stats.malformed++;
	answer(front, err, NULL, 0);
}

/* Queue of a doorbell write, or -1 if the write is none or must be seen by the device side. */
static int
doorbell(const struct vfio_user_front *front, const struct vfio_user_region_access *w,
	const uint8_t *data)
{
	const struct vfio_user_notify *n = &front->notify;
	uint64_t at, queue;
	uint16_t value;

	if (w->region != n->region || (w->count != 2 && w->count != 4))
		return -1;
	if (w->offset < n->offset || w->offset - n->offset >= n->size)
		return -1;
	at = w->offset - n->offset;
	if (w->count > n->size - at)
		return -1;
	memcpy(&value, data, sizeof(value));
	if (n->multiplier == 0)
		return at == 0 ? value : -1;
	if (at % n->multiplier != 0)
		return -1;
	queue = at / n->multiplier;
	return queue > UINT16_MAX ? -1 : (int)queue;
}

/* Signal a doorbell; false if it is not one. */
static bool
kick(struct vfio_user_front *front, const struct vfio_user_header *hdr)
{
	const struct mailbox *mb = front->sock.mailbox;
	const uint32_t len = sock_front_body_len(&front->sock);
	struct vfio_user_region_access w;
	const uint64_t one = 1;
	int queue, fd = -1;

	if (hdr->command != VFIO_USER_REGION_WRITE || front->notify.size == 0 ||
		front->sock.rx.fds.n != 0 || len <= sizeof(w))
		return false;
	/* Nothing goes around the device side before it has agreed to talk. */
	if (!sock_front_negotiated(&front->sock))
		return false;
	memcpy(&w, mb->req, sizeof(w));
	if (w.count != len - sizeof(w))
		return false;
	queue = doorbell(front, &w, mb->req + sizeof(w));
	if (queue < 0)
		return false;
	if ((unsigned int)queue < front->max_queues)
		fd = front->kicks[queue];
	if (fd == VFIO_USER_KICK_FORWARD)
		return false;
	front->stats.kicks++;
	/* A counter at its limit (EAGAIN) is signalled already. */
	if (fd < 0 || (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN))
		front->stats.spurious++;
	answer(front, 0, &w, sizeof(w));
	return true;
}

static void
message(struct sock_front *sock)
{
	struct vfio_user_front *front = (struct vfio_user_front *)sock;
	const struct vfio_user_header hdr = header_of(sock->rx.hdr);

	if (hdr.size > VFIO_USER_MSG_MAX) {
		refuse(front, -EMSGSIZE);
		return;
	}
	if (!vfio_user_is_command(&hdr)) {
		refuse(front, -EINVAL);
		return;
	}
	if (!sock->any_fd && !sock_front_fds_harmless(sock)) {
		/* For memory the wrong file; elsewhere nothing that could be meant. */
		refuse(front, hdr.command == VFIO_USER_DMA_MAP ? -EACCES : -EINVAL);
		return;
	}
	sock->stats.messages++;
	if (!kick(front, &hdr))
		sock_front_post(sock, vfio_user_wants_reply(&hdr));
}

const struct sock_proto front_proto = {
	.header_size = VFIO_USER_HEADER_SIZE,
	.body_max = VFIO_USER_BODY_MAX,
	.size = message_size,
	.frame = message_frame,
	.message = message,
	.may_carry_fds = may_carry_fds,
	.turn_away = turn_away,
};
