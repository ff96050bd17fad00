/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The closing thread: nobody waits for close(2) but those who want to be told. */

#include <netinet/in.h>

#include "ha/closer.h"
#include "sock/discard.h"
#include "vfio_user_fixture.h"

struct bench {
	struct event_base *base;
	struct closer *c;
	int fds_before;
};

struct told {
	struct closer_note note;
	bool done;
};

static void
on_done(struct closer_note *note)
{
	((struct told *)note)->done = true;
}

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->fds_before = open_fds();
	b->base = event_base_new();
	assert_int_equal(closer_create(b->base, &b->c), 0);
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	closer_destroy(b->c);
	event_base_free(b->base);
	assert_int_equal(open_fds(), b->fds_before);
	free(b);
	return 0;
}

static void
wait_told(struct bench *b, const struct told *t)
{
	alarm(20);
	while (!t->done)
		event_base_loop(b->base, EVLOOP_ONCE);
	alarm(0);
}

/* A descriptor whose close waits for the other end, *peer. */
static int
lingering(int *peer)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 60};
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char data[4096] = {0};

	assert_int_equal(bind(l, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(l, 1), 0);
	assert_int_equal(getsockname(l, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(connect(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	*peer = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	close(l);
	setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	while (send(s, data, sizeof(data), MSG_DONTWAIT) > 0)
		continue;
	return s;
}

static void
note_comes_when_all_before_it_is_closed(void **state)
{
	struct bench *b = *state;
	struct told first = {.note.done = on_done}, second = {.note.done = on_done};
	int slow[1], fds[3], peer;

	for (int i = 0; i < 3; i++)
		fds[i] = memfd("x");
	slow[0] = lingering(&peer);
	closer_close(b->c, fds, 3);
	closer_tell(b->c, &first.note);
	closer_close(b->c, slow, 1);
	closer_tell(b->c, &second.note);
	assert_int_equal(fds[0], -1);
	assert_int_equal(slow[0], -1);
	wait_told(b, &first);
	pump(b->base);
	assert_false(second.done);
	close(peer);
	wait_told(b, &second);
}

static void
more_than_the_queue_had_room_for_are_closed_in_order(void **state)
{
	struct bench *b = *state;
	struct told told[600];
	int peer, slow = lingering(&peer), fd;

	closer_close(b->c, &slow, 1);
	for (int i = 0; i < 600; i++) {
		told[i] = (struct told){.note.done = on_done};
		fd = memfd("x");
		closer_close(b->c, &fd, 1);
		closer_tell(b->c, &told[i].note);
	}
	close(peer);
	wait_told(b, &told[599]);
	for (int i = 0; i < 600; i++)
		assert_true(told[i].done);
}

static void
note_does_not_wait_for_what_clients_have_sent(void **state)
{
	struct bench *b = *state;
	struct sock_closer *own = sock_closer_create();
	struct told told = {.note.done = on_done};
	int before = open_fds(), peer, fds[] = {lingering(&peer), memfd("x"), -1};

	closer_close_clients(b->c, own, fds, 3);
	assert_int_equal(fds[0], -1);
	assert_int_equal(fds[1], -1);
	closer_tell(b->c, &told.note);
	wait_told(b, &told);
	close(peer);
	fds_settle(before);
	sock_closer_release(own);
}

static void
nothing_is_closed_for_descriptors_that_are_not_there(void **state)
{
	struct bench *b = *state;
	struct told told = {.note.done = on_done};
	int fds[] = {-1, -1};

	closer_close(b->c, fds, 2);
	closer_tell(b->c, &told.note);
	wait_told(b, &told);
}

static void
destroy_closes_what_is_left_and_calls_the_notes(void **state)
{
	struct bench *b = *state;
	struct told told = {.note.done = on_done};
	int fd = memfd("x");

	closer_close(b->c, &fd, 1);
	closer_tell(b->c, &told.note);
	closer_destroy(b->c);
	assert_true(told.done);
	assert_int_equal(closer_create(b->base, &b->c), 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
test_closer(void)
{
	const struct CMUnitTest tests[] = {
		T(note_comes_when_all_before_it_is_closed),
		T(more_than_the_queue_had_room_for_are_closed_in_order),
		T(note_does_not_wait_for_what_clients_have_sent),
		T(nothing_is_closed_for_descriptors_that_are_not_there),
		T(destroy_closes_what_is_left_and_calls_the_notes),
	};

	return cmocka_run_group_tests_name("closer", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(closer, test_closer)
