/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Bytes, messages and descriptors through a socket. */

#include <errno.h>
#include <string.h>

#include "sock/out.h"
#include "sock_fixture.h"

enum { HEADER = 12 };

static void
exact_reads_give_each_message_its_own_descriptors(void **state)
{
	int before = open_fds(), sv[2], a = memfd("a"), b = memfd("b");
	struct sock_fds fds = {.n = 0};
	char buf[16];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	send_with_fds(sv[0], "0123456789abcdef", 16, &a, 1);
	send_with_fds(sv[0], "fedcba9876543210", 16, NULL, 0);
	send_with_fds(sv[0], "0123456789abcdef", 16, &b, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(sock_recv(sv[1], buf, 16, &fds), 16);
		assert_int_equal(fds.n, i == 1 ? 0 : 1);
		if (i != 1)
			assert_true(same_file(fds.fd[0], i == 0 ? a : b));
		sock_fds_close(&fds);
	}
	assert_int_equal(sock_recv(sv[1], buf, 16, &fds), -EAGAIN);
	close_all(4, (int[]){sv[0], sv[1], a, b});
	assert_int_equal(open_fds(), before);
}

static void
received_descriptors_are_close_on_exec(void **state)
{
	int sv[2], a = memfd("a");
	struct sock_fds fds = {.n = 0};
	char c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	send_with_fds(sv[0], "x", 1, &a, 1);
	assert_int_equal(sock_recv(sv[1], &c, 1, &fds), 1);
	assert_int_equal(fcntl(fds.fd[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	sock_fds_close(&fds);
	close_all(3, (int[]){sv[0], sv[1], a});
}

static void
descriptors_past_the_limit_are_all_closed_and_said_to_be_lost(void **state)
{
	int before = open_fds(), sv[2], many[SOCK_FDS_MAX + 1], a = memfd("a");
	struct sock_fds fds = {.n = 0};
	char buf[2];

	for (unsigned int i = 0; i <= SOCK_FDS_MAX; i++)
		many[i] = a;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	/* Too many at once, then too many in two pieces of one message. */
	send_with_fds(sv[0], "x", 1, many, SOCK_FDS_MAX + 1);
	assert_int_equal(sock_recv(sv[1], buf, 1, &fds), 1);
	assert_true(fds.lost && fds.n == 0);
	sock_fds_close(&fds);
	send_with_fds(sv[0], "x", 1, many, SOCK_FDS_MAX);
	send_with_fds(sv[0], "x", 1, many, 1);
	assert_int_equal(sock_recv(sv[1], buf, 1, &fds), 1);
	assert_int_equal(sock_recv(sv[1], buf, 1, &fds), 1);
	assert_true(fds.lost && fds.n == 0);
	close_all(3, (int[]){sv[0], sv[1], a});
	assert_int_equal(open_fds(), before);
}

static void
message_larger_than_the_socket_is_sent_in_pieces(void **state)
{
	static uint8_t body[1024 * 1024], got[sizeof(body)];
	const size_t size = HEADER + sizeof(body);
	static const char hdr[HEADER] = "header";
	struct sock_tx tx = {.active = false};
	struct sock_fds fds = {.n = 0};
	size_t n = 0;
	int sv[2], ret;

	memset(body, 0x5a, sizeof(body));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	sock_tx_start(&tx, hdr, HEADER, body, sizeof(body));
	ret = sock_tx_push(&tx, sv[0], NULL, 0);
	assert_int_equal(ret, -EAGAIN);
	assert_true(tx.active);
	while (n < size) {
		uint8_t *to = n < HEADER ? got : got + n - HEADER;
		ssize_t r = sock_recv(sv[1], to, n < HEADER ? HEADER - n : size - n, &fds);

		n += r > 0 ? (size_t)r : 0;
		sock_tx_push(&tx, sv[0], NULL, 0);
	}
	assert_false(tx.active);
	assert_memory_equal(got, body, sizeof(body));
	close_all(2, sv);
}

/* A message of a few bytes. */
static struct sock_tx
small(const char *hdr)
{
	struct sock_tx tx;

	sock_tx_start(&tx, hdr, HEADER, NULL, 0);
	return tx;
}

static void
message_that_waits_keeps_descriptors_of_its_own(void **state)
{
	static uint8_t big[1024 * 1024];
	int before = open_fds(), sv[2], a = memfd("a");
	const struct sock_tx second = small("second      ");
	struct sock_fds fds = {.n = 0};
	struct sock_out out;
	struct sock_tx first;
	ssize_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	sock_out_init(&out, sizeof(big) + 1024);
	sock_tx_start(&first, "first       ", HEADER, big, sizeof(big));
	assert_int_equal(sock_out_send(&out, sv[0], &first, NULL, 0), 0);
	assert_int_equal(sock_out_send(&out, sv[0], &second, &a, 1), 0);
	close(a);
	for (size_t got = 0; got<sizeof(big) + HEADER; got += n> 0 ? (size_t)n : 0) {
		n = sock_recv(sv[1], big,
			sizeof(big) + HEADER - got < sizeof(big) ? sizeof(big) + HEADER - got
								 : sizeof(big),
			&fds);
		sock_out_push(&out, sv[0]);
	}
	assert_int_equal(fds.n, 0);
	assert_int_equal(sock_recv(sv[1], big, HEADER, &fds), HEADER);
	assert_memory_equal(big, "second", 6);
	assert_int_equal(fds.n, 1);
	assert_true(sock_out_empty(&out));
	sock_fds_close(&fds);
	close_all(2, sv);
	assert_int_equal(open_fds(), before);
}

static void
messages_past_the_limit_are_not_taken(void **state)
{
	static uint8_t big[1024 * 1024];
	const struct sock_tx more = small("more        ");
	struct sock_out out;
	struct sock_tx first;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	sock_out_init(&out, sizeof(big) + HEADER + HEADER - 1);
	sock_tx_start(&first, "first       ", HEADER, big, sizeof(big));
	assert_int_equal(sock_out_send(&out, sv[0], &first, NULL, 0), 0);
	assert_int_equal(sock_out_send(&out, sv[0], &more, NULL, 0), -EAGAIN);
	sock_out_clear(&out);
	assert_true(sock_out_empty(&out));
	assert_int_equal(out.bytes, 0);
	close_all(2, sv);
}

static int
test_sock_stream(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_reads_give_each_message_its_own_descriptors),
		cmocka_unit_test(received_descriptors_are_close_on_exec),
		cmocka_unit_test(descriptors_past_the_limit_are_all_closed_and_said_to_be_lost),
		cmocka_unit_test(message_larger_than_the_socket_is_sent_in_pieces),
		cmocka_unit_test(message_that_waits_keeps_descriptors_of_its_own),
		cmocka_unit_test(messages_past_the_limit_are_not_taken),
	};

	return cmocka_run_group_tests_name("sock_stream", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(sock_stream, test_sock_stream)
