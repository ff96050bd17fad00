/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Front of vhost-user: the kind that connects to a client which listens, and fronts that go on
 * where another process stopped.
 */

#include "sock_front_death.h"
#include "vhost_user_front_bench.h"

static int
peer_listen(struct bench *b)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, b->place.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

/* The event loop runs until somebody has come. */
static int
peer_accept(struct bench *b, int listener)
{
	int s;

	alarm(STUCK_S);
	while ((s = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0) {
		assert_int_equal(errno, EAGAIN);
		event_base_loop(b->place.base, EVLOOP_ONCE);
	}
	alarm(0);
	pump(b->place.base);
	return s;
}

static void
peer_is_found_whenever_it_comes(void **state)
{
	struct bench *b = *state;
	int listener, s;

	pump(b->place.base);
	assert_int_equal(b->connected, 0);
	assert_false(sock_front_connected(b->front));
	listener = peer_listen(b);
	s = peer_accept(b, listener);
	assert_int_equal(b->connected, 1);
	say(b, s, VHOST_USER_GET_FEATURES);
	hear(s, VHOST_USER_GET_FEATURES);
	assert_int_equal(sock_front_listen_fd(b->front), -1);
	close_all(2, (int[]){listener, s});
}

static void
peer_that_goes_is_looked_for_again(void **state)
{
	struct bench *b = *state;
	int listener = peer_listen(b), s;

	for (unsigned int i = 0; i < 3; i++) {
		s = peer_accept(b, listener);
		assert_int_equal(b->connected, i + 1);
		close(s);
		pump(b->place.base);
		assert_int_equal(b->disconnected, i + 1);
	}
	/* Another one, at the same place. */
	close(listener);
	unlink(b->place.path);
	pump(b->place.base);
	listener = peer_listen(b);
	s = peer_accept(b, listener);
	assert_int_equal(b->connected, 4);
	close_all(2, (int[]){listener, s});
}

static void
peer_waits_until_its_predecessor_is_dealt_with(void **state)
{
	struct bench *b = *state;
	int listener = peer_listen(b), s = peer_accept(b, listener);

	b->linger = true;
	close(s);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
	/* Nothing is even waited for. */
	assert_int_equal(event_base_get_num_events(b->place.base, EVENT_BASE_COUNT_ADDED), 0);
	sock_front_gone_done(b->front);
	s = peer_accept(b, listener);
	assert_int_equal(b->connected, 2);
	close_all(2, (int[]){listener, s});
}

static void
connection_ended_by_the_owner_is_followed_by_another(void **state)
{
	struct bench *b = *state;
	int listener = peer_listen(b), s = peer_accept(b, listener), t;

	sock_front_disconnect(b->front);
	assert_true(hung_up(s));
	t = peer_accept(b, listener);
	assert_int_equal(b->connected, 2);
	close_all(3, (int[]){listener, s, t});
}

static void
paused_front_looks_for_nobody(void **state)
{
	struct bench *b = *state;
	int listener;

	sock_front_pause(b->front);
	listener = peer_listen(b);
	pump(b->place.base);
	assert_int_equal(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
	assert_int_equal(event_base_get_num_events(b->place.base, EVENT_BASE_COUNT_ADDED), 0);
	close(listener);
}

static void
path_that_is_too_long_is_refused(void **state)
{
	struct bench *b = *state;
	char path[200];
	struct sock_front_conf conf = bench_conf(b);
	struct sock_front *front;

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	conf.path = path;
	assert_int_equal(vhost_user_front_create(&conf, &front), -ENAMETOOLONG);
	conf.connect = false;
	assert_int_equal(vhost_user_front_create(&conf, &front), -ENAMETOOLONG);
}

/* ---- successors */

/* The front's process ends, a keeper has its sockets and the request's descriptors. */
static void
replace_front(struct bench *b)
{
	struct sock_front_conf conf = bench_conf(b);
	struct sock_front *former = b->front;
	const int fds[] = {sock_front_listen_fd(former), sock_front_conn_fd(former)};

	conf.adopt = true;
	conf.listen_fd = fds[0] < 0 ? -1 : fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	conf.conn_fd = fds[1] < 0 ? -1 : fcntl(fds[1], F_DUPFD_CLOEXEC, 0);
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++) {
		const int fd = sock_front_request_fds(former)[i];

		conf.request_fds[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	sock_front_dies(former);
	assert_int_equal(vhost_user_front_create(&conf, &b->front), 0);
	pump(b->place.base);
}

static void
successor_answers_the_request_that_stands(void **state)
{
	struct bench *b = *state;
	int s = client(b), event = eventfd(0, EFD_CLOEXEC);
	const uint64_t ring = 1;

	b->hold = true;
	say_with(b, s, VHOST_USER_SET_VRING_CALL, VHOST_USER_VERSION, &ring, 8, &event, 1);
	replace_front(b);
	assert_true(same_file(sock_front_request_fds(b->front)[0], event));
	answer(b);
	hear(s, VHOST_USER_SET_VRING_CALL);
	b->hold = false;
	say(b, s, VHOST_USER_GET_FEATURES);
	hear(s, VHOST_USER_GET_FEATURES);
	assert_int_equal(b->connected, 1);
	assert_int_equal(b->disconnected, 0);
	close_all(2, (int[]){s, event});
}

static void
successor_goes_on_within_a_message(void **state)
{
	const struct {
		struct vhost_user_header hdr;
		uint64_t body;
	} __attribute__((packed))
	m = {{VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8}, 0x0102030405060708};
	struct bench *b = *state;
	int s = client(b);

	for (size_t cut = 1; cut < sizeof(m); cut++) {
		send_with_fds(s, &m, cut, NULL, 0);
		pump(b->place.base);
		replace_front(b);
		send_with_fds(s, (const char *)&m + cut, sizeof(m) - cut, NULL, 0);
		pump(b->place.base);
		assert_int_equal(b->requests, cut);
		assert_memory_equal(b->mb->req, &m.body, 8);
		hear(s, VHOST_USER_SET_FEATURES);
	}
	assert_int_equal(b->disconnected, 0);
	close(s);
}

static void
successor_that_connects_keeps_the_connection(void **state)
{
	struct bench *b = *state;
	int listener = peer_listen(b), s = peer_accept(b, listener);

	replace_front(b);
	say(b, s, VHOST_USER_GET_FEATURES);
	hear(s, VHOST_USER_GET_FEATURES);
	assert_int_equal(b->connected, 1);
	assert_int_equal(accept4(listener, NULL, NULL, SOCK_CLOEXEC), -1);
	close_all(2, (int[]){listener, s});
}

static void
successor_without_connection_looks_for_one(void **state)
{
	struct bench *b = *state;
	int listener, s;

	replace_front(b);
	listener = peer_listen(b);
	s = peer_accept(b, listener);
	assert_int_equal(b->connected, 1);
	close_all(2, (int[]){listener, s});
}

static int
test_vhost_user_connect(void)
{
	const struct CMUnitTest tests[] = {
		TC(peer_is_found_whenever_it_comes),
		TC(peer_that_goes_is_looked_for_again),
		TC(peer_waits_until_its_predecessor_is_dealt_with),
		TC(connection_ended_by_the_owner_is_followed_by_another),
		TC(paused_front_looks_for_nobody),
		TC(path_that_is_too_long_is_refused),
		T(successor_answers_the_request_that_stands),
		T(successor_goes_on_within_a_message),
		TC(successor_that_connects_keeps_the_connection),
		TC(successor_without_connection_looks_for_one),
	};

	return cmocka_run_group_tests_name("vhost_user_connect", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_connect, test_vhost_user_connect)
