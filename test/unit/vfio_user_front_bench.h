/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VFIO_USER_FRONT_BENCH_H
#define TEST_UNIT_VFIO_USER_FRONT_BENCH_H

/**
 * @file
 * Bench for the front: a front on a socket in a scratch folder, a mailbox, and a device side that
 * is played by the test. Every test ends with as many descriptors as it began with.
 */

#include "vfio_user_fixture.h"

#define QUEUES	    4
#define DOORBELLS   0x3000u
#define BAR	    2u
#define REPLY_BYTES 4096u

struct bench {
	struct place place;
	struct mailbox *mb;
	struct sock_front *front;
	int kicks[QUEUES];
	int fds_before;
	bool hold;	/* leave requests unanswered */
	bool big;	/* answer with a body... */
	uint32_t bytes; /* ... of that many bytes, if not REPLY_BYTES */
	bool end;	/* ask for the end of the connection */
	bool abandon;	/* disconnected(): end the standing request */
	bool linger;	/* disconnected(): say later that it is dealt with */
	unsigned int requests, connected, disconnected;
	unsigned int nfds; /* of the last request */
	uint16_t ids[256]; /* of requests, in order */
	int last_fd;	   /* first descriptor of the last request, kept if keep_fd */
	bool keep_fd;
	unsigned int lines; /* logged */
	char line[200];	    /* the last of them */
};

/* What the device side does. */
UNUSED static void
answer_only(struct bench *b)
{
	struct vfio_user_header hdr;

	memcpy(&hdr, b->mb->header, sizeof(hdr));
	hdr.flags = VFIO_USER_F_TYPE_REPLY;
	b->mb->reply_len = !b->big ? 0 : b->bytes != 0 ? b->bytes : REPLY_BYTES;
	hdr.size = VFIO_USER_HEADER_SIZE + b->mb->reply_len;
	memset(b->mb->reply, hdr.id & 0xff, b->mb->reply_len);
	memcpy(b->mb->reply_header, &hdr, sizeof(hdr));
	b->mb->close = b->end;
	atomic_store(&b->mb->state, MAILBOX_REPLY);
}

UNUSED static void
answer(struct bench *b)
{
	answer_only(b);
	sock_front_reply(b->front);
}

UNUSED static void
on_request(void *ctx)
{
	struct bench *b = ctx;
	struct vfio_user_header hdr;

	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_REQUEST);
	memcpy(&hdr, b->mb->header, sizeof(hdr));
	b->ids[b->requests++ % 256] = hdr.id;
	b->nfds = b->mb->nfds;
	if (b->keep_fd && b->nfds > 0) {
		b->last_fd = sock_front_request_fds(b->front)[0];
		sock_front_request_fds(b->front)[0] = -1;
	}
	/* Later kicks need a negotiated connection. */
	if (hdr.command == VFIO_USER_VERSION)
		b->mb->negotiated_seq = b->mb->seq;
	if (!b->hold)
		answer(b);
}

UNUSED static void
on_connected(void *ctx)
{
	((struct bench *)ctx)->connected++;
}

UNUSED static void
on_disconnected(void *ctx)
{
	struct bench *b = ctx;

	b->disconnected++;
	if (b->abandon && atomic_load(&b->mb->state) == MAILBOX_REQUEST) {
		b->mb->reply_wanted = 0;
		atomic_store(&b->mb->state, MAILBOX_REPLY);
	}
	if (!b->linger)
		sock_front_gone_done(b->front);
}

UNUSED static void
on_log(void *ctx, int level, const char *msg)
{
	struct bench *b = ctx;

	b->lines++;
	snprintf(b->line, sizeof(b->line), "%s", msg);
}

static const struct sock_front_ops ops = {
	.request = on_request,
	.connected = on_connected,
	.disconnected = on_disconnected,
	.log = on_log,
};

UNUSED static int
bench_front(struct bench *b, struct sock_front **out)
{
	const struct sock_front_conf conf = {
		.base = b->place.base,
		.mailbox = b->mb,
		.path = b->place.path,
		.gid = (gid_t)-1,
		.ops = &ops,
		.ctx = b,
		.max_queues = QUEUES,
	};

	return vfio_user_front_create(&conf, out);
}

UNUSED static void
bench_doorbells(struct bench *b)
{
	const struct vfio_user_notify notify = {
		.region = BAR, .offset = DOORBELLS, .size = 4 * QUEUES + 2, .multiplier = 4};

	vfio_user_front_set_notify(b->front, &notify);
	for (unsigned int i = 0; i < QUEUES; i++)
		assert_int_equal(vfio_user_front_set_kick(b->front, i, b->kicks[i]), 0);
}

UNUSED static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->fds_before = open_fds();
	place_make(&b->place);
	b->mb = mailbox_new();
	assert_int_equal(bench_front(b, &b->front), 0);
	for (unsigned int i = 0; i < QUEUES; i++)
		b->kicks[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	bench_doorbells(b);
	*state = b;
	return 0;
}

/* Every test ends with as many descriptors as it began with. */
UNUSED static int
teardown(void **state)
{
	struct bench *b = *state;

	sock_front_destroy(b->front);
	assert_int_equal(access(b->place.path, F_OK), -1);
	close_all(QUEUES, b->kicks);
	place_remove(&b->place);
	fds_settle(b->fds_before);
	free(b->mb);
	free(b);
	return 0;
}

UNUSED static int
client(struct bench *b)
{
	int s = raw_connect(b->place.path);

	pump(b->place.base);
	return s;
}

UNUSED static int
negotiated_client(struct bench *b)
{
	int s = client(b);
	bool hold = b->hold;

	b->hold = false;
	raw_send(s, (struct raw){.id = 1, .command = VFIO_USER_VERSION});
	pump(b->place.base);
	assert_reply(s, 1, 0);
	b->hold = hold;
	b->requests = 0;
	return s;
}

UNUSED static void
send_reset(int s, uint16_t id)
{
	raw_send(s, (struct raw){.id = id, .command = VFIO_USER_DEVICE_RESET});
}

UNUSED static void
send_write(int s, uint16_t id, uint32_t flags, uint32_t region, uint64_t off, uint32_t count)
{
	struct {
		struct vfio_user_region_access a;
		uint8_t data[8];
	} body = {.a = {.offset = off, .region = region, .count = count}};

	raw_send(s, (struct raw){.id = id,
			    .command = VFIO_USER_REGION_WRITE,
			    .flags = flags,
			    .body = &body,
			    .len = sizeof(body.a) + count});
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif /* TEST_UNIT_VFIO_USER_FRONT_BENCH_H */
