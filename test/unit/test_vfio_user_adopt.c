/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: dies at every point of the stream, and its successor goes on. */

#include "test.h"
#include "vfio_user_adopt_bench.h"

/* ---- where it may have stopped */

static void
client_does_not_notice_a_new_front(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);

	replace_front(b);
	send_reset(s, 2);
	pump(b->place.base);
	assert_reply(s, 2, 0);
	send_write(s, 3, 0, BAR, DOORBELLS + 4, 4);
	pump(b->place.base);
	assert_reply(s, 3, 0);
	assert_int_equal(eventfd_take(b->kicks[1]), 1);
	assert_int_equal(b->connected, 1);
	assert_int_equal(b->disconnected, 0);
	close(s);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
}

static void
client_that_came_meanwhile_is_served(void **state)
{
	struct bench *b = *state;
	struct kept_front k = kill_front(b);
	int s = raw_connect(b->place.path);

	send_reset(s, 1);
	adopt_front(b, &k);
	pump(b->place.base);
	assert_int_equal(b->connected, 1);
	assert_reply(s, 1, 0);
	close(s);
}

static void
connection_that_ended_meanwhile_is_told(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);
	struct kept_front k = kill_front(b);

	close(s);
	adopt_front(b, &k);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
	close(client(b));
	pump(b->place.base);
	assert_int_equal(b->connected, 2);
}

static void
request_that_stands_is_answered_once_and_keeps_its_descriptors(void **state)
{
	struct bench *b = *state;
	int file = memfd("ram"), s = negotiated_client(b), *fds;

	b->hold = true;
	raw_send(s, (struct raw){.id = 2, .command = VFIO_USER_DMA_MAP, .fds = &file, .nfds = 1});
	pump(b->place.base);
	replace_front(b);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	fds = sock_front_request_fds(b->front);
	assert_true(same_file(fds[0], file));
	assert_int_equal(fds[1], -1);
	answer(b);
	pump(b->place.base);
	assert_reply(s, 2, 0);
	assert_int_equal(fds[0], -1);
	assert_no_reply(s);
	close_all(2, (int[]){file, s});
}

static void
request_whose_descriptors_are_lost_costs_the_connection(void **state)
{
	struct bench *b = *state;
	int file = memfd("ram"), s = negotiated_client(b);
	struct kept_front k;

	b->hold = true;
	b->abandon = true;
	raw_send(s, (struct raw){.id = 2, .command = VFIO_USER_DMA_MAP, .fds = &file, .nfds = 1});
	pump(b->place.base);
	k = kill_front(b);
	close(k.request_fds[0]);
	k.request_fds[0] = -1;
	adopt_front(b, &k);
	pump(b->place.base);
	assert_true(hung_up(s));
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	close_all(2, (int[]){file, s});
}

static void
reply_that_stands_is_sent(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);
	struct kept_front k;

	b->hold = true;
	send_reset(s, 2);
	send_reset(s, 3);
	pump(b->place.base);
	k = kill_front(b);
	answer_only(b);
	adopt_front(b, &k);
	pump(b->place.base);
	assert_reply(s, 2, 0);
	assert_int_equal(b->requests, 2);
	answer(b);
	assert_reply(s, 3, 0);
	close(s);
}

static void
reply_to_a_former_client_is_not_sent(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), next;
	struct kept_front k;

	b->hold = true;
	send_reset(s, 2);
	pump(b->place.base);
	sock_front_disconnect(b->front);
	next = client(b);
	k = kill_front(b);
	answer_only(b);
	adopt_front(b, &k);
	b->hold = false;
	send_reset(next, 9);
	pump(b->place.base);
	assert_reply(next, 9, 0);
	assert_no_reply(next);
	close_all(2, (int[]){s, next});
}

static void
disconnect_that_was_not_dealt_with_keeps_the_next_client_waiting(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), next;

	b->linger = true;
	close(s);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
	replace_front(b);
	next = client(b);
	send_reset(next, 2);
	pump(b->place.base);
	assert_int_equal(b->connected, 1);
	assert_no_reply(next);
	sock_front_gone_done(b->front);
	pump(b->place.base);
	assert_int_equal(b->connected, 2);
	assert_reply(next, 2, 0);
	b->linger = false;
	close(next);
}

static void
half_a_message_with_descriptors_costs_the_connection(void **state)
{
	const struct vfio_user_header hdr = {.id = 5, .command = VFIO_USER_DMA_MAP, .size = 24};
	struct bench *b = *state;

	for (unsigned int n = 1; n <= sizeof(hdr); n += 5) {
		int file = memfd("ram"), s = negotiated_client(b);

		send_with_fds(s, &hdr, n, &file, 1);
		pump(b->place.base);
		b->disconnected = 0;
		replace_front(b);
		pump(b->place.base);
		assert_true(hung_up(s));
		assert_int_equal(b->disconnected, 1);
		assert_string_equal(b->line, "descriptors of its message are lost");
		close_all(2, (int[]){file, s});
	}
}

/* ---- within a step: the store that commits it is there or not */

/* A message that has come whole; its header, and as if nothing had been done about it. */
static void
message_came(struct bench *b, uint16_t id)
{
	const struct vfio_user_header hdr = {
		.id = id, .command = VFIO_USER_DEVICE_RESET, .size = sizeof(hdr)};

	memcpy(b->mb->stream.rx_header, &hdr, sizeof(hdr));
	b->mb->stream.rx_got = sizeof(hdr);
}

static void
message_that_came_but_was_not_looked_at_is_handled(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);
	struct kept_front k = kill_front(b);

	message_came(b, 7);
	adopt_front(b, &k);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_reply(s, 7, 0);
	close(s);
}

static void
message_that_stands_as_a_request_is_not_handled_twice(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);
	struct kept_front k;

	b->hold = true;
	send_reset(s, 7);
	pump(b->place.base);
	k = kill_front(b);
	message_came(b, 7);
	adopt_front(b, &k);
	pump(b->place.base);
	answer(b);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_reply(s, 7, 0);
	assert_no_reply(s);
	close(s);
}

/* The front answers an undefined type by itself. */
static void
answer_of_the_front_s_own_is_sent_once(void **state)
{
	const struct vfio_user_header hdr = {.id = 7,
		.command = VFIO_USER_DEVICE_RESET,
		.flags = VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR,
		.size = sizeof(hdr),
		.error = EINVAL};
	struct bench *b = *state;

	for (unsigned int sent = 0; sent <= sizeof(hdr); sent++) {
		int s = negotiated_client(b);
		struct kept_front k = kill_front(b);

		message_came(b, 7);
		memcpy(b->mb->reply_header, &hdr, sizeof(hdr));
		send_with_fds(k.conn_fd, &hdr, sent, NULL, 0);
		b->mb->stream.tx_left = sizeof(hdr) - sent;
		b->mb->stream.tx_active = 1;
		adopt_front(b, &k);
		pump(b->place.base);
		assert_reply(s, 7, EINVAL);
		assert_no_reply(s);
		send_reset(s, 8);
		pump(b->place.base);
		assert_reply(s, 8, 0);
		close(s);
		pump(b->place.base);
	}
}

static void
reply_that_was_sent_but_not_taken_away_is_not_sent_again(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);
	struct kept_front k;

	b->hold = true;
	send_reset(s, 7);
	pump(b->place.base);
	k = kill_front(b);
	answer_only(b);
	b->mb->stream.tx_active = 1;
	b->mb->stream.tx_left = 0;
	adopt_front(b, &k);
	pump(b->place.base);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	assert_no_reply(s);
	close(s);
}

/* With a reply in hand, within the system call. */
static struct kept_front
die_sending(struct bench *b, int s)
{
	struct kept_front k;

	b->hold = true;
	send_reset(s, 7);
	pump(b->place.base);
	k = kill_front(b);
	answer_only(b);
	b->mb->stream.tx_active = 1;
	b->mb->stream.tx_left = 16;
	b->mb->stream.tx_call = 17;
	b->mb->tx_noted = 1;
	return k;
}

static void
reply_goes_on_after_what_the_kernel_has_noted_as_sent(void **state)
{
	const unsigned int noted[] = {SOCK_TX_NOTHING, 16, 5};
	struct bench *b = *state;

	for (unsigned int i = 0; i < sizeof(noted) / sizeof(noted[0]); i++) {
		int s = negotiated_client(b);
		struct kept_front k = die_sending(b, s);
		const size_t rest = noted[i] == SOCK_TX_NOTHING ? 16 : 16 - noted[i];
		uint8_t want[16], got[17];

		memcpy(want, b->mb->reply_header, 16);
		front_tx_call(b->mb)->msg_len = noted[i];
		adopt_front(b, &k);
		pump(b->place.base);
		assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
		assert_int_equal(
			recv(s, got, sizeof(got), MSG_DONTWAIT), rest == 0 ? -1 : (ssize_t)rest);
		assert_memory_equal(got, want + 16 - rest, rest);
		b->hold = false;
		close(s);
		pump(b->place.base);
	}
}

static void
note_of_more_than_there_was_to_send_ends_the_connection(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);
	struct kept_front k = die_sending(b, s);

	front_tx_call(b->mb)->msg_len = 17;
	adopt_front(b, &k);
	pump(b->place.base);
	assert_true(hung_up(s));
	assert_string_equal(b->line, "its mailbox is damaged");
	close(s);
}

static void
death_of_a_front_that_noted_nothing_within_the_call_that_sends_costs_the_connection(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);
	struct kept_front k = die_sending(b, s);

	b->mb->tx_noted = 0;
	adopt_front(b, &k);
	pump(b->place.base);
	assert_true(hung_up(s));
	assert_int_equal(b->disconnected, 1);
	assert_string_equal(b->line, "the former front died while it sent");
	close(s);
}

/* Receive as the front does, up to the store that commits it. */
static void
die_receiving(struct bench *b, int fd, void *room, size_t len, bool received)
{
	struct mailbox_stream *st = &b->mb->stream;

	front_call_mark(room, len);
	st->rx_call = st->rx_got + 1;
	if (received)
		assert_int_equal(recv(fd, room, len, MSG_DONTWAIT), len);
}

static void
death_within_the_call_that_receives_a_header_is_survived(void **state)
{
	struct bench *b = *state;

	for (int received = 0; received < 2; received++) {
		int s = negotiated_client(b);
		struct kept_front k = kill_front(b);

		send_write(s, 7, 0, 0, 0, 4);
		die_receiving(b, k.conn_fd, b->mb->stream.rx_header, 16, received);
		adopt_front(b, &k);
		pump(b->place.base);
		assert_int_equal(b->requests, 1);
		assert_reply(s, 7, 0);
		close(s);
		pump(b->place.base);
	}
}

static void
death_within_the_call_that_receives_a_body_is_survived(void **state)
{
	struct bench *b = *state;

	for (int received = 0; received < 2; received++) {
		int s = negotiated_client(b);
		struct kept_front k = kill_front(b);

		send_write(s, 7, 0, 0, 0x1122, 4);
		assert_int_equal(recv(k.conn_fd, b->mb->stream.rx_header, 16, MSG_DONTWAIT), 16);
		b->mb->stream.rx_got = 16;
		die_receiving(b, k.conn_fd, b->mb->req, 20, received);
		adopt_front(b, &k);
		pump(b->place.base);
		assert_int_equal(b->requests, 1);
		assert_int_equal(((struct vfio_user_region_access *)b->mb->req)->offset, 0x1122);
		assert_reply(s, 7, 0);
		close(s);
		pump(b->place.base);
	}
}

static void
death_with_a_header_that_may_have_had_descriptors_costs_the_connection(void **state)
{
	struct bench *b = *state;
	int file = memfd("ram"), s = negotiated_client(b);
	struct kept_front k = kill_front(b);

	raw_send(s, (struct raw){.id = 2, .command = VFIO_USER_DMA_MAP, .fds = &file, .nfds = 1});
	die_receiving(b, k.conn_fd, b->mb->stream.rx_header, 16, true);
	adopt_front(b, &k);
	pump(b->place.base);
	assert_true(hung_up(s));
	assert_int_equal(b->requests, 0);
	close_all(2, (int[]){file, s});
}

/* ---- a mailbox that makes no sense */

static void
damaged_mailbox_costs_the_connection_only(void **state)
{
	static const struct {
		uint32_t state;
		struct mailbox_stream st;
		uint32_t size; /* of rx_header and reply_header */
	} table[] = {
		{.state = 3},
		{.state = UINT32_MAX},
		{.st = {.rx_got = 5, .rx_skip = 1}},
		{.st = {.rx_got = 17}, .size = 16},
		{.st = {.rx_got = UINT32_MAX}, .size = 20},
		{.st = {.rx_got = 17}, .size = 3},
		{.st = {.rx_got = 16}, .size = UINT32_MAX},
		{.st = {.rx_got = 16, .rx_skip = 5}, .size = 20},
		{.st = {.rx_got = 16, .rx_skip = UINT32_MAX}, .size = VFIO_USER_MSG_MAX + 1},
		{.st = {.rx_got = 17, .rx_skip = 5}, .size = VFIO_USER_MSG_MAX + 1},
		{.st = {.rx_got = 0, .rx_skip = 5}},
		{.st = {.rx_got = 17, .rx_nfds = 1}, .size = 20},
		{.st = {.tx_active = 1, .tx_left = 17}, .size = 16},
		{.st = {.tx_active = 1, .tx_left = 5}, .size = 3},
		{.st = {.tx_active = 1, .tx_left = 16}, .size = VFIO_USER_MSG_MAX + 1},
		{.st = {.tx_active = 1, .tx_left = 16}, .size = 16, .state = MAILBOX_REQUEST},
		{.st = {.rx_got = 16, .rx_call = 17}, .size = 16},
	};
	struct bench *b = *state;

	b->abandon = true;
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct vfio_user_header hdr = {.size = table[i].size};
		int s = negotiated_client(b);
		struct kept_front k = kill_front(b);

		b->mb->stream = table[i].st;
		b->mb->stream.connection = b->mb->connection;
		memcpy(b->mb->stream.rx_header, &hdr, sizeof(hdr));
		memcpy(b->mb->reply_header, &hdr, sizeof(hdr));
		atomic_store(&b->mb->state, table[i].state);
		b->disconnected = 0;
		adopt_front(b, &k);
		pump(b->place.base);
		assert_int_equal(b->disconnected, 1);
		assert_true(hung_up(s));
		close(s);
	}
	close(negotiated_client(b));
}

static void
sockets_that_are_none_stay_the_caller_s(void **state)
{
	struct bench *b = *state;
	struct sock_front_conf conf = {.base = b->place.base,
		.mailbox = b->mb,
		.path = b->place.path,
		.ops = &ops,
		.ctx = b,
		.adopt = true,
		.listen_fd = memfd("x"),
		.conn_fd = -1};
	struct sock_front *front;

	assert_int_equal(vfio_user_front_create(&conf, &front), -EINVAL);
	conf.conn_fd = conf.listen_fd;
	conf.listen_fd = sock_front_listen_fd(b->front);
	assert_int_equal(vfio_user_front_create(&conf, &front), -EINVAL);
	assert_int_equal(close(conf.conn_fd), 0);
	close(client(b));
	pump(b->place.base);
	assert_int_equal(b->connected, 1);
}

/* ---- the whole stream, cut anywhere */

#define STREAM_MAX 32768u
#define KICK_BYTES (sizeof(struct vfio_user_region_access) + 4)

struct stream {
	uint8_t buf[STREAM_MAX];
	size_t len;
};

static void
put(struct stream *st, uint16_t id, uint16_t command, uint32_t flags, const void *body, size_t len)
{
	const struct vfio_user_header hdr = {
		.id = id, .command = command, .flags = flags, .size = 16 + (uint32_t)len};

	memcpy(st->buf + st->len, &hdr, sizeof(hdr));
	memcpy(st->buf + st->len + sizeof(hdr), body, len);
	st->len += sizeof(hdr) + len;
}

/* Everything that a front treats in a way of its own. */
static void
talk(struct stream *st)
{
	static const uint8_t zeros[VFIO_USER_BODY_MAX + 1];
	const struct {
		struct vfio_user_region_access a;
		uint8_t data[4];
	} kick = {.a = {.offset = DOORBELLS + 8, .region = BAR, .count = 4}};

	put(st, 1, VFIO_USER_VERSION, 0, "\0\0\0\0", 4);
	put(st, 2, VFIO_USER_DEVICE_RESET, 0, zeros, 0);
	put(st, 3, VFIO_USER_REGION_WRITE, 0, &kick, KICK_BYTES);
	put(st, 4, VFIO_USER_REGION_WRITE, VFIO_USER_F_NO_REPLY, &kick, KICK_BYTES);
	put(st, 5, VFIO_USER_DEVICE_RESET, VFIO_USER_F_NO_REPLY, zeros, 0);
	put(st, 6, VFIO_USER_DEVICE_RESET, 7, zeros, 0); /* undefined type */
	put(st, 7, VFIO_USER_REGION_WRITE, 0, zeros, 60);
	put(st, 8, VFIO_USER_REGION_WRITE, 0, zeros, VFIO_USER_BODY_MAX + 1);
	put(st, 9, VFIO_USER_DEVICE_RESET, 0, zeros, 0);
}

static size_t
take_all(int s, uint8_t *buf, size_t have)
{
	ssize_t n;

	while ((n = recv(s, buf + have, STREAM_MAX - have, MSG_DONTWAIT)) > 0)
		have += (size_t)n;
	return have;
}

/* The answers to the talk, with a new front after `cut` bytes. */
static size_t
answers_cut_at(struct bench *b, const struct stream *st, size_t cut, uint8_t *buf)
{
	int s = client(b);
	size_t have;

	b->requests = 0;
	if (cut > 0)
		send_with_fds(s, st->buf, cut, NULL, 0);
	pump(b->place.base);
	replace_front(b);
	have = take_all(s, buf, 0);
	if (cut < st->len)
		send_with_fds(s, st->buf + cut, st->len - cut, NULL, 0);
	pump(b->place.base);
	have = take_all(s, buf, have);
	assert_int_equal(b->requests, 5);
	assert_int_equal(eventfd_take(b->kicks[2]), 2);
	close(s);
	pump(b->place.base);
	return have;
}

/* Everywhere but within the body that is skipped, of which samples will do. */
static size_t
next_cut(size_t cut, size_t len)
{
	return cut > 300 && cut + 300 < len ? cut + 97 : cut + 1;
}

static void
answers_are_the_same_wherever_the_stream_is_cut(void **state)
{
	static struct stream st;
	static uint8_t want[STREAM_MAX], got[STREAM_MAX];
	struct bench *b = *state;
	size_t len;

	st.len = 0;
	talk(&st);
	b->big = true;
	len = answers_cut_at(b, &st, st.len, want);
	assert_in_range(len, 3 * REPLY_BYTES, STREAM_MAX - 1);
	for (size_t cut = 0; cut < st.len; cut = next_cut(cut, st.len)) {
		assert_int_equal(answers_cut_at(b, &st, cut, got), len);
		assert_memory_equal(got, want, len);
	}
	assert_int_equal(b->connected, b->disconnected);
}

static void
reply_half_sent_is_finished_by_the_successor(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), small = 1;
	const int conn = sock_front_conn_fd(b->front);
	unsigned int got = 0, halves = 0;
	struct raw_reply r;

	setsockopt(conn, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	b->big = true;
	b->bytes = MAILBOX_BODY_MAX;
	for (uint16_t i = 0; i < 20; i++)
		send_reset(s, i);
	pump(b->place.base);
	while (got < 20) {
		size_t have = 0;

		while (have < sizeof(r.hdr) || have < r.hdr.size) {
			size_t want = have < sizeof(r.hdr) ? sizeof(r.hdr) : r.hdr.size;
			ssize_t n = recv(s, (uint8_t *)&r + have, want - have, MSG_DONTWAIT);

			have += n > 0 ? (size_t)n : 0;
			halves += b->mb->stream.tx_active && b->mb->stream.tx_left > 0 &&
				  b->mb->stream.tx_left < 16 + MAILBOX_BODY_MAX;
			replace_front(b);
			pump(b->place.base);
		}
		assert_int_equal(r.hdr.id, got);
		for (unsigned int i = 0; i < MAILBOX_BODY_MAX; i++)
			assert_int_equal(r.body[i], got & 0xff);
		got++;
	}
	assert_true(halves > 0);
	assert_no_reply(s);
	assert_int_equal(b->requests, 20);
	close(s);
}

static int
test_vfio_user_adopt(void)
{
	const struct CMUnitTest tests[] = {
		T(client_does_not_notice_a_new_front),
		T(client_that_came_meanwhile_is_served),
		T(connection_that_ended_meanwhile_is_told),
		T(request_that_stands_is_answered_once_and_keeps_its_descriptors),
		T(request_whose_descriptors_are_lost_costs_the_connection),
		T(reply_that_stands_is_sent),
		T(reply_to_a_former_client_is_not_sent),
		T(disconnect_that_was_not_dealt_with_keeps_the_next_client_waiting),
		T(half_a_message_with_descriptors_costs_the_connection),
		T(message_that_came_but_was_not_looked_at_is_handled),
		T(message_that_stands_as_a_request_is_not_handled_twice),
		T(answer_of_the_front_s_own_is_sent_once),
		T(reply_that_was_sent_but_not_taken_away_is_not_sent_again),
		T(reply_goes_on_after_what_the_kernel_has_noted_as_sent),
		T(note_of_more_than_there_was_to_send_ends_the_connection),
		T(death_of_a_front_that_noted_nothing_within_the_call_that_sends_costs_the_connection),
		T(death_within_the_call_that_receives_a_header_is_survived),
		T(death_within_the_call_that_receives_a_body_is_survived),
		T(death_with_a_header_that_may_have_had_descriptors_costs_the_connection),
		T(damaged_mailbox_costs_the_connection_only),
		T(sockets_that_are_none_stay_the_caller_s),
		T(answers_are_the_same_wherever_the_stream_is_cut),
		T(reply_half_sent_is_finished_by_the_successor),
	};

	return cmocka_run_group_tests_name("vfio_user_adopt", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_adopt, test_vfio_user_adopt)
