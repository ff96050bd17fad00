/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Front of vhost-user: what is different from vfio-user's, which shares the rest with it - headers,
 * messages without a reply, what ends a connection.
 */

#include <sys/socket.h>

#include "vhost_user_front_bench.h"

static void
message_is_answered_and_the_next_is_read(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	for (int i = 0; i < 3; i++) {
		say(b, s, VHOST_USER_GET_FEATURES);
		hear(s, VHOST_USER_GET_FEATURES);
	}
	assert_int_equal(b->requests, 3);
	assert_int_equal(b->connected, 1);
	close(s);
}

static void
message_that_wants_no_reply_gets_none(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->silent = true;
	say(b, s, VHOST_USER_SET_OWNER);
	say(b, s, VHOST_USER_SET_OWNER);
	assert_int_equal(b->requests, 2);
	assert_no_reply(s);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	close(s);
}

static void
body_and_descriptors_reach_the_device_side(void **state)
{
	const uint64_t body = 0x1234;
	struct bench *b = *state;
	int s = client(b), event = eventfd(0, EFD_CLOEXEC);

	b->hold = true;
	say_with(b, s, VHOST_USER_SET_VRING_KICK, VHOST_USER_VERSION, &body, 8, &event, 1);
	assert_int_equal(b->last, VHOST_USER_SET_VRING_KICK);
	assert_int_equal(b->mb->req_len, 8);
	assert_memory_equal(b->mb->req, &body, 8);
	assert_true(same_file(sock_front_request_fds(b->front)[0], event));
	answer(b);
	assert_int_equal(sock_front_request_fds(b->front)[0], -1);
	close_all(2, (int[]){s, event});
}

static void
message_in_single_bytes_is_a_message(void **state)
{
	const struct {
		struct vhost_user_header hdr;
		uint32_t body[2];
	} m = {{VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8}, {1, 2}};
	struct bench *b = *state;
	int s = client(b);

	for (size_t i = 0; i < sizeof(m); i++) {
		assert_int_equal(b->requests, 0);
		send_with_fds(s, (const char *)&m + i, 1, NULL, 0);
		pump(b->place.base);
	}
	assert_int_equal(b->requests, 1);
	assert_memory_equal(b->mb->req, m.body, 8);
	hear(s, VHOST_USER_SET_FEATURES);
	close(s);
}

static void
messages_back_to_back_keep_their_descriptors(void **state)
{
	struct vhost_user_header hdr = {VHOST_USER_SET_LOG_FD, VHOST_USER_VERSION, 0};
	struct bench *b = *state;
	int s = client(b), m = memfd("m");

	b->hold = true;
	send_with_fds(s, &hdr, sizeof(hdr), NULL, 0);
	send_with_fds(s, &hdr, sizeof(hdr), &m, 1);
	send_with_fds(s, &hdr, sizeof(hdr), NULL, 0);
	pump(b->place.base);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(b->requests, i + 1);
		assert_int_equal(b->nfds, i == 1);
		answer(b);
		pump(b->place.base);
	}
	close_all(2, (int[]){s, m});
}

static void
impossible_header_ends_the_connection(void **state)
{
	static const struct vhost_user_header table[] = {
		{VHOST_USER_GET_FEATURES, 0, 0},
		{VHOST_USER_GET_FEATURES, 2, 0},
		{VHOST_USER_GET_FEATURES, 3, 0},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION | VHOST_USER_F_REPLY, 0},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, VHOST_USER_BODY_MAX + 1},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, UINT32_MAX},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, UINT32_MAX - 11},
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int s = client(b);

		send_with_fds(s, &table[i], sizeof(table[i]), NULL, 0);
		pump(b->place.base);
		assert_true(hung_up(s));
		assert_int_equal(b->disconnected, i + 1);
		assert_int_equal(sock_front_get_stats(b->front)->malformed, i + 1);
		close(s);
	}
	assert_int_equal(b->requests, 0);
}

static void
largest_message_is_taken(void **state)
{
	static const uint8_t body[VHOST_USER_BODY_MAX];
	struct bench *b = *state;
	int s = client(b);

	say_with(b, s, VHOST_USER_SET_CONFIG, VHOST_USER_VERSION, body, sizeof(body), NULL, 0);
	assert_int_equal(b->requests, 1);
	assert_int_equal(b->mb->req_len, VHOST_USER_BODY_MAX);
	close(s);
}

static void
too_many_descriptors_end_the_connection(void **state)
{
	struct bench *b = *state;
	int m = memfd("m"), many[20];

	for (int i = 0; i < 20; i++)
		many[i] = m;
	for (unsigned int n = VHOST_USER_FDS_MAX; n <= 20; n++) {
		int s = client(b);

		say_with(b, s, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION, NULL, 0, many, n);
		assert_int_equal(hung_up(s), n > VHOST_USER_FDS_MAX);
		close(s);
		pump(b->place.base);
	}
	assert_int_equal(b->requests, 1);
	assert_int_equal(b->nfds, VHOST_USER_FDS_MAX);
	close(m);
}

static void
descriptor_that_could_hold_us_up_ends_the_connection(void **state)
{
	struct bench *b = *state;
	int pipes[2], sv[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	for (int i = 0; i < 2; i++) {
		int s = client(b);

		say_with(b, s, VHOST_USER_SET_LOG_FD, VHOST_USER_VERSION, NULL, 0,
			i == 0 ? pipes : sv, 1);
		assert_true(hung_up(s));
		close(s);
	}
	assert_int_equal(b->requests, 0);
	assert_string_equal(
		b->line, "client sent a descriptor that is neither memory nor an eventfd");
	close_all(4, (int[]){pipes[0], pipes[1], sv[0], sv[1]});
}

static void
socket_is_welcome_as_the_channel_alone(void **state)
{
	struct bench *b = *state;
	int s = client(b), sv[2], udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	say_with(b, s, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, NULL, 0, sv, 1);
	assert_int_equal(b->requests, 1);
	assert_int_equal(b->nfds, 1);
	say_with(b, s, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, NULL, 0, &udp, 1);
	assert_int_equal(b->requests, 1);
	assert_int_equal(b->disconnected, 1);
	close_all(4, (int[]){s, sv[0], sv[1], udp});
}

/* What could bring connections of its own, which close as they like, into our process. */
static void
channel_that_is_no_connection_ends_the_connection(void **state)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	struct bench *b = *state;
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int idle = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), null;
	unsigned int ended = 0;

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bind(listening, (const struct sockaddr *)&any, sizeof(sa_family_t));
	listen(listening, 1);
	for (int i = 0; i < 2; i++) {
		const int fds[] = {listening, idle, null};

		for (unsigned int k = 0; k < 3; k++) {
			int s = client(b);

			say_with(b, s, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION, NULL, 0,
				&fds[k], 1);
			assert_true(hung_up(s));
			assert_int_equal(b->disconnected, ++ended);
			close(s);
		}
		assert_string_equal(
			b->line, "client sent a channel that is no connected UNIX stream socket");
		/* The same where memory may be of any kind. */
		sock_front_destroy(b->front);
		b->any_fd = true;
		bench_front(b);
	}
	assert_int_equal(b->requests, 0);
	close_all(3, (int[]){listening, idle, null});
}

static void
any_descriptor_is_taken_where_that_is_wanted(void **state)
{
	struct bench *b = *state;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), s;

	b->any_fd = true;
	bench_front(b);
	s = client(b);
	say_with(b, s, VHOST_USER_SET_LOG_FD, VHOST_USER_VERSION, NULL, 0, &null, 1);
	assert_int_equal(b->nfds, 1);
	close_all(2, (int[]){s, null});
}

static void
surplus_client_is_sent_away_at_once(void **state)
{
	struct bench *b = *state;
	int s = client(b), t = client(b);

	assert_true(hung_up(t));
	say(b, s, VHOST_USER_GET_FEATURES);
	hear(s, VHOST_USER_GET_FEATURES);
	assert_int_equal(sock_front_get_stats(b->front)->surplus, 1);
	assert_int_equal(b->connected, 1);
	close_all(2, (int[]){s, t});
}

static void
device_ends_the_connection_without_a_word(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->silent = b->end = true;
	say(b, s, VHOST_USER_SET_FEATURES);
	assert_true(hung_up(s));
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	close(s);
	b->silent = b->end = false;
	s = client(b);
	say(b, s, VHOST_USER_GET_FEATURES);
	hear(s, VHOST_USER_GET_FEATURES);
	close(s);
}

static void
impossible_reply_of_the_device_is_not_sent(void **state)
{
	static const uint32_t sizes[] = {7, 9, VHOST_USER_BODY_MAX + 1, UINT32_MAX};
	struct bench *b = *state;

	b->hold = true;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vhost_user_header hdr = {1, 5, sizes[i]};
		int s = client(b);

		say(b, s, VHOST_USER_GET_FEATURES);
		answer_only(b);
		memcpy(b->mb->reply_header, &hdr, sizeof(hdr));
		sock_front_reply(b->front);
		assert_true(hung_up(s));
		close(s);
	}
}

static void
client_that_goes_in_the_middle_is_gone(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->hold = true;
	say(b, s, VHOST_USER_GET_FEATURES);
	close(s);
	/* Nothing is read while a request stands; the newcomer makes it known. */
	s = client(b);
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(b->connected, 2);
	b->hold = false;
	say(b, s, VHOST_USER_GET_FEATURES);
	hear(s, VHOST_USER_GET_FEATURES);
	close(s);
}

static int
test_vhost_user_front(void)
{
	const struct CMUnitTest tests[] = {
		T(message_is_answered_and_the_next_is_read),
		T(message_that_wants_no_reply_gets_none),
		T(body_and_descriptors_reach_the_device_side),
		T(message_in_single_bytes_is_a_message),
		T(messages_back_to_back_keep_their_descriptors),
		T(impossible_header_ends_the_connection),
		T(largest_message_is_taken),
		T(too_many_descriptors_end_the_connection),
		T(descriptor_that_could_hold_us_up_ends_the_connection),
		T(socket_is_welcome_as_the_channel_alone),
		T(channel_that_is_no_connection_ends_the_connection),
		cmocka_unit_test_setup_teardown(
			any_descriptor_is_taken_where_that_is_wanted, setup_bench, teardown),
		T(surplus_client_is_sent_away_at_once),
		T(device_ends_the_connection_without_a_word),
		T(impossible_reply_of_the_device_is_not_sent),
		T(client_that_goes_in_the_middle_is_gone),
	};

	return cmocka_run_group_tests_name("vhost_user_front", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_front, test_vhost_user_front)
