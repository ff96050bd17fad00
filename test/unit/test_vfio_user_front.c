/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: framing, one reply per request, late replies, messages that make no sense. */

#include "test.h"
#include "vfio_user_front_bench.h"

/* ---- messages */

static void
request_reaches_the_mailbox_and_its_reply_the_client(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	raw_send(
		s, (struct raw){.id = 77, .command = VFIO_USER_DMA_MAP, .body = "hello", .len = 5});
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_int_equal(b->mb->req_len, 5);
	assert_memory_equal(b->mb->req, "hello", 5);
	assert_reply(s, 77, 0);
	assert_no_reply(s);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	close(s);
}

static void
request_with_no_reply_gets_none(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	raw_send(s,
		(struct raw){
			.id = 1, .command = VFIO_USER_DEVICE_RESET, .flags = VFIO_USER_F_NO_REPLY});
	send_reset(s, 2);
	pump(b->place.base);
	assert_int_equal(b->requests, 2);
	assert_reply(s, 2, 0);
	assert_no_reply(s);
	close(s);
}

static void
pipelined_requests_are_handled_in_order_with_one_reply_each(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	for (uint16_t i = 0; i < 200; i++)
		send_reset(s, i);
	pump(b->place.base);
	assert_int_equal(b->requests, 200);
	for (uint16_t i = 0; i < 200; i++) {
		assert_int_equal(b->ids[i], i);
		assert_reply(s, i, 0);
	}
	assert_no_reply(s);
	close(s);
}

static void
one_event_handles_a_bounded_number_of_messages(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	for (uint16_t i = 0; i < 200; i++)
		send_reset(s, i);
	event_base_loop(b->place.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_in_range(b->requests, 1, 199);
	pump(b->place.base);
	assert_int_equal(b->requests, 200);
	close(s);
}

static void
message_that_comes_byte_by_byte_is_put_together(void **state)
{
	struct bench *b = *state;
	const struct vfio_user_header hdr = {.id = 5, .command = VFIO_USER_DMA_MAP, .size = 20};
	uint8_t bytes[20] = {0};
	int s = client(b);

	memcpy(bytes, &hdr, sizeof(hdr));
	memcpy(bytes + 16, "abcd", 4);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(b->requests, 0);
		send_with_fds(s, bytes + i, 1, NULL, 0);
		pump(b->place.base);
	}
	assert_int_equal(b->requests, 1);
	assert_memory_equal(b->mb->req, "abcd", 4);
	assert_reply(s, 5, 0);
	close(s);
}

static void
pipelined_descriptors_belong_to_the_message_they_were_sent_with(void **state)
{
	struct bench *b = *state;
	int files[4], s = client(b);

	b->hold = true;
	b->keep_fd = true;
	for (int i = 0; i < 4; i++) {
		files[i] = memfd("ram");
		raw_send(s, (struct raw){.id = i,
				    .command = VFIO_USER_DMA_MAP,
				    .body = "x",
				    .len = 1,
				    .fds = &files[i],
				    .nfds = i == 2 ? 0 : 1});
	}
	for (int i = 0; i < 4; i++) {
		pump(b->place.base);
		assert_int_equal(b->requests, i + 1);
		assert_int_equal(b->nfds, i == 2 ? 0 : 1);
		if (i != 2) {
			assert_true(same_file(b->last_fd, files[i]));
			close(b->last_fd);
		}
		answer(b);
		assert_reply(s, i, 0);
	}
	close_all(4, files);
	close(s);
}

static void
descriptors_in_the_middle_of_a_body_belong_to_its_message(void **state)
{
	struct bench *b = *state;
	const struct vfio_user_header hdr = {.id = 5, .command = VFIO_USER_DMA_MAP, .size = 24};
	int file = memfd("ram"), s = client(b);

	b->keep_fd = true;
	send_with_fds(s, &hdr, sizeof(hdr), NULL, 0);
	send_with_fds(s, "abcd", 4, NULL, 0);
	send_with_fds(s, "efgh", 4, &file, 1);
	pump(b->place.base);
	assert_int_equal(b->nfds, 1);
	assert_true(same_file(b->last_fd, file));
	close_all(3, (int[]){b->last_fd, file, s});
}

static void
descriptors_that_nobody_took_are_closed_with_the_reply(void **state)
{
	struct bench *b = *state;
	int file = memfd("ram"), s = client(b), before = open_fds();

	raw_send(s, (struct raw){.id = 1,
			    .command = VFIO_USER_DMA_MAP,
			    .fds = (int[]){file, file},
			    .nfds = 2});
	pump(b->place.base);
	assert_int_equal(b->nfds, 2);
	assert_reply(s, 1, 0);
	assert_int_equal(open_fds(), before);
	close_all(2, (int[]){file, s});
}

static void
too_many_descriptors_are_closed_and_end_the_connection(void **state)
{
	struct bench *b = *state;
	int many[VFIO_USER_FDS_MAX + 1], file = memfd("ram"), s = client(b), before = open_fds();

	for (unsigned int i = 0; i <= VFIO_USER_FDS_MAX; i++)
		many[i] = file;
	raw_send(s, (struct raw){.id = 3,
			    .command = VFIO_USER_DEVICE_SET_IRQS,
			    .body = "x",
			    .len = 1,
			    .fds = many,
			    .nfds = VFIO_USER_FDS_MAX + 1});
	send_reset(s, 4);
	pump(b->place.base);
	assert_true(hung_up(s));
	assert_int_equal(b->requests, 0);
	assert_int_equal(b->disconnected, 1);
	fds_settle(before - 1);
	close_all(2, (int[]){file, s});
}

static void
as_many_descriptors_as_announced_arrive(void **state)
{
	struct bench *b = *state;
	int many[VFIO_USER_FDS_MAX], file = memfd("ram"), s = client(b);

	for (unsigned int i = 0; i < VFIO_USER_FDS_MAX; i++)
		many[i] = file;
	raw_send(s, (struct raw){.id = 3,
			    .command = VFIO_USER_DEVICE_SET_IRQS,
			    .fds = many,
			    .nfds = VFIO_USER_FDS_MAX});
	pump(b->place.base);
	assert_int_equal(b->nfds, VFIO_USER_FDS_MAX);
	assert_reply(s, 3, 0);
	close_all(2, (int[]){file, s});
}

/* ---- malformed */

static void
message_that_cannot_be_followed_ends_the_connection(void **state)
{
	static const struct raw table[] = {
		{.size = 1, .command = VFIO_USER_VERSION},
		{.size = 15, .command = VFIO_USER_DEVICE_RESET},
		{.size = VFIO_USER_SKIP_MAX + 1, .command = VFIO_USER_VERSION},
		{.size = UINT32_MAX, .command = VFIO_USER_REGION_WRITE},
		/* a reply to nothing */
		{.flags = VFIO_USER_F_TYPE_REPLY, .command = VFIO_USER_VERSION},
		{.flags = VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR,
			.command = VFIO_USER_DMA_READ},
	};
	struct bench *b = *state;

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int s = client(b);

		raw_send(s, table[i]);
		pump(b->place.base);
		assert_true(hung_up(s));
		assert_int_equal(b->disconnected, i + 1);
		assert_int_equal(sock_front_get_stats(b->front)->malformed, i + 1);
		close(s);
	}
	assert_int_equal(b->requests, 0);
}

static void
log_tells_of_each_connection_s_begin_and_end(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	assert_int_equal(b->lines, 1);
	assert_string_equal(b->line, "client has connected");
	send_with_fds(s, "x", 1, NULL, 0);
	close(s);
	pump(b->place.base);
	assert_int_equal(b->lines, 2);
	assert_string_equal(b->line, "client has disconnected within a message");
}

static void
message_size_zero_ends_the_connection(void **state)
{
	const struct vfio_user_header hdr = {.command = VFIO_USER_VERSION};
	struct bench *b = *state;
	int s = client(b);

	send_with_fds(s, &hdr, sizeof(hdr), NULL, 0);
	pump(b->place.base);
	assert_true(hung_up(s));
	close(s);
}

static void
undefined_message_type_is_answered_with_einval(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	for (uint32_t type = 2; type < 16; type++) {
		raw_send(s,
			(struct raw){.id = type, .command = VFIO_USER_DEVICE_RESET, .flags = type});
		pump(b->place.base);
		assert_reply(s, type, EINVAL);
	}
	assert_int_equal(b->requests, 0);
	close(s);
}

static void
oversized_message_is_skipped_and_answered_with_emsgsize(void **state)
{
	const uint32_t len = VFIO_USER_BODY_MAX + 1;
	struct bench *b = *state;
	uint8_t body[VFIO_USER_BODY_MAX + 1] = {0};
	int file = memfd("ram"), s = client(b), before = open_fds();

	raw_send(s, (struct raw){.id = 9,
			    .command = VFIO_USER_REGION_WRITE,
			    .body = body,
			    .len = len,
			    .fds = &file,
			    .nfds = 1});
	send_reset(s, 10);
	pump(b->place.base);
	assert_reply(s, 9, EMSGSIZE);
	assert_reply(s, 10, 0);
	assert_int_equal(b->requests, 1);
	assert_int_equal(open_fds(), before);
	close_all(2, (int[]){file, s});
}

static void
largest_message_is_taken(void **state)
{
	struct bench *b = *state;
	uint8_t body[VFIO_USER_BODY_MAX] = {[VFIO_USER_BODY_MAX - 1] = 0x77};
	int s = client(b);

	raw_send(s,
		(struct raw){
			.id = 9, .command = VFIO_USER_VERSION, .body = body, .len = sizeof(body)});
	pump(b->place.base);
	assert_int_equal(b->mb->req_len, VFIO_USER_BODY_MAX);
	assert_int_equal(b->mb->req[VFIO_USER_BODY_MAX - 1], 0x77);
	assert_reply(s, 9, 0);
	close(s);
}

/* ---- late replies */

static void
late_reply_is_delivered_exactly_once(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->hold = true;
	send_reset(s, 1);
	send_reset(s, 2);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_no_reply(s);
	sock_front_reply(b->front); /* nothing to send yet */
	assert_no_reply(s);
	b->hold = false;
	answer(b);
	sock_front_reply(b->front);
	sock_front_reply(b->front);
	assert_reply(s, 1, 0);
	pump(b->place.base);
	assert_reply(s, 2, 0);
	assert_no_reply(s);
	close(s);
}

static void
late_reply_to_a_former_client_is_not_given_to_the_next(void **state)
{
	struct bench *b = *state;
	int s = client(b), next;

	b->hold = true;
	send_reset(s, 1);
	pump(b->place.base);
	sock_front_disconnect(b->front);
	close(s);
	next = client(b);
	send_reset(next, 2);
	pump(b->place.base);
	assert_int_equal(b->requests, 1); /* the former one's still stands */
	b->hold = false;
	answer(b);
	pump(b->place.base);
	assert_int_equal(b->requests, 2);
	assert_reply(next, 2, 0);
	assert_no_reply(next);
	close(next);
}

static void
client_that_dies_while_its_request_is_pending_is_noticed(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->hold = true;
	b->abandon = true;
	send_reset(s, 1);
	send_reset(s, 2);
	pump(b->place.base);
	close(s);
	for (int i = 0; i < 100 && b->disconnected == 0; i++)
		event_base_loop(b->place.base, EVLOOP_ONCE);
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	assert_int_equal(b->requests, 1);
}

static void
client_that_only_stops_sending_still_gets_its_reply(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->hold = true;
	send_reset(s, 1);
	shutdown(s, SHUT_WR);
	pump(b->place.base);
	/* Nothing else can wake the loop: two looks at the socket go by. */
	for (int i = 0; i < 2; i++)
		event_base_loop(b->place.base, EVLOOP_ONCE);
	assert_int_equal(b->disconnected, 0);
	answer(b);
	assert_reply(s, 1, 0);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
	close(s);
}

static void
reply_that_cannot_be_right_is_not_sent(void **state)
{
	static const struct {
		uint32_t size;
		uint32_t len;
	} table[] = {{16 + MAILBOX_BODY_MAX + 1, MAILBOX_BODY_MAX + 1}, {16, 8}, {24, 0},
		{0, UINT32_MAX - 15}};
	struct bench *b = *state;

	b->hold = true;
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct vfio_user_header hdr = {
			.flags = VFIO_USER_F_TYPE_REPLY, .size = table[i].size};
		int s = client(b);

		send_reset(s, 1);
		pump(b->place.base);
		memcpy(b->mb->reply_header, &hdr, sizeof(hdr));
		b->mb->reply_len = table[i].len;
		atomic_store(&b->mb->state, MAILBOX_REPLY);
		sock_front_reply(b->front);
		assert_true(hung_up(s));
		assert_int_equal(b->disconnected, i + 1);
		assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
		close(s);
	}
}

static void
reply_to_a_client_that_has_closed_disconnects_once(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->hold = true;
	send_reset(s, 1);
	pump(b->place.base);
	close(s);
	answer(b);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
}

static void
client_that_reads_slowly_gets_every_reply_whole(void **state)
{
	struct bench *b = *state;
	struct raw_reply r;
	int s = client(b), small = 4096;
	unsigned int got = 0;

	/* The sender's buffer is what bounds a UNIX socket: the front's, inherited by no one. */
	setsockopt(s, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	b->big = true;
	for (uint16_t i = 0; i < 200; i++)
		send_reset(s, i);
	pump(b->place.base);
	assert_in_range(b->requests, 1, 199);
	for (int round = 0; round < 1000 && got < 200; round++) {
		while (recv(s, &r.hdr, sizeof(r.hdr), MSG_DONTWAIT | MSG_PEEK) ==
			(ssize_t)sizeof(r.hdr)) {
			size_t have = 0;

			assert_int_equal(r.hdr.id, got);
			while (have < r.hdr.size) {
				ssize_t n = recv(
					s, (uint8_t *)&r + have, r.hdr.size - have, MSG_DONTWAIT);

				have += n > 0 ? (size_t)n : 0;
				pump(b->place.base);
			}
			for (unsigned int i = 0; i < REPLY_BYTES; i++)
				assert_int_equal(r.body[i], got & 0xff);
			got++;
		}
		pump(b->place.base);
	}
	assert_int_equal(got, 200);
	assert_no_reply(s);
	close(s);
}

static void
client_that_never_reads_and_dies_is_disconnected_once(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->big = true;
	for (uint16_t i = 0; i < 200; i++)
		send_reset(s, i);
	pump(b->place.base);
	assert_in_range(b->requests, 1, 199);
	close(s);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
}

static int
test_vfio_user_front(void)
{
	const struct CMUnitTest tests[] = {
		T(request_reaches_the_mailbox_and_its_reply_the_client),
		T(request_with_no_reply_gets_none),
		T(pipelined_requests_are_handled_in_order_with_one_reply_each),
		T(one_event_handles_a_bounded_number_of_messages),
		T(message_that_comes_byte_by_byte_is_put_together),
		T(pipelined_descriptors_belong_to_the_message_they_were_sent_with),
		T(descriptors_in_the_middle_of_a_body_belong_to_its_message),
		T(descriptors_that_nobody_took_are_closed_with_the_reply),
		T(too_many_descriptors_are_closed_and_end_the_connection),
		T(as_many_descriptors_as_announced_arrive),
		T(message_that_cannot_be_followed_ends_the_connection),
		T(log_tells_of_each_connection_s_begin_and_end),
		T(message_size_zero_ends_the_connection),
		T(undefined_message_type_is_answered_with_einval),
		T(oversized_message_is_skipped_and_answered_with_emsgsize),
		T(largest_message_is_taken),
		T(late_reply_is_delivered_exactly_once),
		T(late_reply_to_a_former_client_is_not_given_to_the_next),
		T(client_that_dies_while_its_request_is_pending_is_noticed),
		T(client_that_only_stops_sending_still_gets_its_reply),
		T(reply_that_cannot_be_right_is_not_sent),
		T(reply_to_a_client_that_has_closed_disconnects_once),
		T(client_that_reads_slowly_gets_every_reply_whole),
		T(client_that_never_reads_and_dies_is_disconnected_once),
	};

	return cmocka_run_group_tests_name("vfio_user_front", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_front, test_vfio_user_front)
