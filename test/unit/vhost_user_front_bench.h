/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VHOST_USER_FRONT_BENCH_H
#define TEST_UNIT_VHOST_USER_FRONT_BENCH_H

/**
 * @file
 * Bench for the front of vhost-user: a front that listens at a socket in a scratch folder, or
 * connects to it, a mailbox, and a device side that is played by the test. Every test ends with as
 * many descriptors as it began with.
 */

#include <sched.h>

#include "sock_fixture.h"
#include "vhost_user/vhost_user.h"

/** A test that takes so long is stuck. */
#define STUCK_S 20

struct bench {
	struct place place;
	struct mailbox *mb;
	struct sock_front *front;
	bool connect, any_fd; /* of the front */
	bool hold;	      /* leave requests unanswered */
	bool silent;	      /* end requests without a reply */
	bool end;	      /* ask for the end of the connection */
	bool linger;	      /* disconnected(): say later that it is dealt with */
	unsigned int requests, connected, disconnected;
	uint32_t last; /* request */
	unsigned int nfds;
	char line[200];
	int fds_before;
};

UNUSED static void
answer_only(struct bench *b)
{
	struct vhost_user_header hdr;
	const uint64_t value = 0x1122334455667788;

	memcpy(&hdr, b->mb->header, sizeof(hdr));
	hdr.flags = VHOST_USER_VERSION | VHOST_USER_F_REPLY;
	hdr.size = sizeof(value);
	memcpy(b->mb->reply, &value, sizeof(value));
	memcpy(b->mb->reply_header, &hdr, sizeof(hdr));
	b->mb->reply_len = sizeof(value);
	b->mb->reply_wanted = !b->silent;
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
	struct vhost_user_header hdr;

	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_REQUEST);
	memcpy(&hdr, b->mb->header, sizeof(hdr));
	b->requests++;
	b->last = hdr.request;
	b->nfds = b->mb->nfds;
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
	if (atomic_load(&b->mb->state) == MAILBOX_REQUEST) {
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

	snprintf(b->line, sizeof(b->line), "%s", msg);
}

static const struct sock_front_ops front_ops = {
	.request = on_request,
	.connected = on_connected,
	.disconnected = on_disconnected,
	.log = on_log,
};

UNUSED static struct sock_front_conf
bench_conf(struct bench *b)
{
	return (struct sock_front_conf){
		.base = b->place.base,
		.mailbox = b->mb,
		.path = b->place.path,
		.connect = b->connect,
		.gid = (gid_t)-1,
		.ops = &front_ops,
		.ctx = b,
		.any_fd = b->any_fd,
	};
}

UNUSED static void
bench_front(struct bench *b)
{
	const struct sock_front_conf conf = bench_conf(b);

	assert_int_equal(vhost_user_front_create(&conf, &b->front), 0);
}

UNUSED static int
setup_bench(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->fds_before = open_fds();
	place_make(&b->place);
	b->mb = mailbox_new();
	*state = b;
	return 0;
}

UNUSED static int
setup(void **state)
{
	setup_bench(state);
	bench_front(*state);
	return 0;
}

/* A front that connects; nobody listens yet. */
UNUSED static int
setup_connecting(void **state)
{
	setup_bench(state);
	((struct bench *)*state)->connect = true;
	bench_front(*state);
	return 0;
}

UNUSED static int
teardown(void **state)
{
	struct bench *b = *state;

	sock_front_destroy(b->front);
	place_remove(&b->place);
	/* What does not surely close at once is closed by another thread. */
	alarm(STUCK_S);
	while (open_fds() != b->fds_before)
		sched_yield();
	alarm(0);
	free(b->mb);
	free(b);
	return 0;
}

UNUSED static int
client(struct bench *b)
{
	const int s = raw_connect(b->place.path);

	pump(b->place.base);
	return s;
}

/* Until nothing happens any more. */
UNUSED static void
say_with(struct bench *b, int s, uint32_t request, uint32_t flags, const void *body, uint32_t len,
	const int *fds, unsigned int nfds)
{
	uint8_t buf[VHOST_USER_HEADER_SIZE + VHOST_USER_BODY_MAX];
	const struct vhost_user_header hdr = {request, flags, len};

	memcpy(buf, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(buf + sizeof(hdr), body, len);
	send_with_fds(s, buf, sizeof(hdr) + len, fds, nfds);
	pump(b->place.base);
}

UNUSED static void
say(struct bench *b, int s, uint32_t request)
{
	say_with(b, s, request, VHOST_USER_VERSION, NULL, 0, NULL, 0);
}

/* There is one complete reply, to this request. */
UNUSED static void
hear(int s, uint32_t request)
{
	struct {
		struct vhost_user_header hdr;
		uint64_t value;
	} __attribute__((packed)) r;

	assert_int_equal(recv(s, &r, sizeof(r), MSG_DONTWAIT), sizeof(r));
	assert_int_equal(r.hdr.request, request);
	assert_int_equal(r.hdr.flags, VHOST_USER_VERSION | VHOST_USER_F_REPLY);
	assert_int_equal(r.hdr.size, sizeof(r.value));
	assert_int_equal(r.value, 0x1122334455667788);
}

#define T(name)	 cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TC(name) cmocka_unit_test_setup_teardown(name, setup_connecting, teardown)

#endif /* TEST_UNIT_VHOST_USER_FRONT_BENCH_H */
