/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Descriptors that do not close when one wants: no client's can hold up the loop that serves all.
 */

#include "sock/discard.h"
#include "sock_lingering.h"
#include "vfio_user_front_bench.h"

/* Sends it, and closes the test's own: the receiver's close is the last one, which lingers. */
static void
send_lingering(int sock, uint16_t id, const struct lingering *s)
{
	raw_send(sock,
		(struct raw){
			.id = id, .command = VFIO_USER_DEVICE_RESET, .fds = &s->fd, .nfds = 1});
	close(s->fd);
}

/* Everything that stands is handled; SIGALRM ends a test whose front is stuck in close(). */
static void
pump_unstuck(struct bench *b)
{
	alarm(STUCK_S);
	pump(b->place.base);
	alarm(0);
}

static void
memory_and_eventfds_are_harmless_all_else_is_not(void **state)
{
	const int memory = memfd("x"), event = eventfd(0, EFD_CLOEXEC);
	const int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int path = open("/dev/shm", O_PATH | O_CLOEXEC);
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_true(sock_fd_harmless(memory));
	assert_true(sock_fd_harmless(event));
	assert_false(sock_fd_harmless(pipes[0]));
	assert_false(sock_fd_harmless(udp));
	assert_false(sock_fd_harmless(null));
	assert_false(sock_fd_harmless(path));
	assert_false(sock_fd_harmless(-1));
	close_all(7, (int[]){memory, event, udp, null, path, pipes[0], pipes[1]});
}

static void
lingering_descriptor_is_closed_by_somebody_else(void **state)
{
	struct sock_closer *closer = sock_closer_create();
	const int before = open_fds();
	struct lingering s = lingering_new();

	alarm(STUCK_S);
	sock_discard(closer, (int[]){-1, s.fd, memfd("x")}, 3);
	alarm(0);
	assert_false(sock_closer_full(closer));
	sock_closer_release(closer); /* its owner may go first */
	let_go(&s, before);
}

static void
closer_is_full_while_too_many_do_not_close(void **state)
{
	struct sock_closer *closer = sock_closer_create();
	const int before = open_fds();
	int fds[SOCK_CLOSER_MAX];
	struct lingering s = lingering_new();

	fds[0] = s.fd;
	for (unsigned int i = 1; i < SOCK_CLOSER_MAX; i++)
		fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
	sock_discard(closer, fds, SOCK_CLOSER_MAX);
	assert_true(sock_closer_full(closer));
	let_go(&s, before);
	alarm(STUCK_S);
	while (sock_closer_full(closer))
		sched_yield();
	alarm(0);
	sock_closer_release(closer);
}

/* ---- at the front */

static void
message_with_anything_but_memory_and_eventfds_is_refused(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), pipes[2], event = eventfd(0, EFD_CLOEXEC);
	char byte;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	raw_send(s, (struct raw){.id = 2,
			    .command = VFIO_USER_DEVICE_RESET,
			    .fds = (int[]){event, pipes[1]},
			    .nfds = 2});
	close(pipes[1]);
	pump(b->place.base);
	assert_reply(s, 2, EINVAL);
	assert_int_equal(read(pipes[0], &byte, 1), 0); /* waits until it is closed */
	assert_int_equal(b->requests, 0);
	send_reset(s, 3);
	pump(b->place.base);
	assert_reply(s, 3, 0);
	close_all(3, (int[]){s, event, pipes[0]});
}

static void
lingering_descriptor_of_a_message_holds_nobody_up(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), fds = open_fds();
	struct lingering st = lingering_new();

	send_lingering(s, 2, &st);
	pump_unstuck(b);
	assert_reply(s, 2, EINVAL);
	let_go(&st, fds);
	close(s);
}

/* More than a message may have. */
static void
lingering_descriptor_among_too_many_ends_the_connection(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), fds = open_fds(), many[VFIO_USER_FDS_MAX + 1];
	struct lingering st = lingering_new();

	for (unsigned int i = 0; i < VFIO_USER_FDS_MAX + 1; i++)
		many[i] = st.fd;
	raw_send(s, (struct raw){.id = 2,
			    .command = VFIO_USER_DEVICE_RESET,
			    .fds = many,
			    .nfds = VFIO_USER_FDS_MAX + 1});
	close(st.fd);
	pump_unstuck(b);
	assert_int_equal(b->disconnected, 1);
	assert_true(hung_up(s));
	let_go(&st, fds - 1);
	close(s);
}

/* The header claims all that a message may: descriptors could come with each part of it. */
static void
too_many_descriptors_end_the_connection_before_the_message_does(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), many[VFIO_USER_FDS_MAX + 1];
	const struct vfio_user_header hdr = {
		.id = 2, .command = VFIO_USER_DEVICE_RESET, .size = VFIO_USER_SKIP_MAX};

	assert_int_equal(send(s, &hdr, sizeof(hdr), 0), sizeof(hdr));
	many[0] = eventfd(0, EFD_CLOEXEC);
	for (unsigned int i = 1; i < VFIO_USER_FDS_MAX + 1; i++)
		many[i] = many[0];
	send_fds(s, many, VFIO_USER_FDS_MAX);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 0);
	send_fds(s, many, 1);
	pump(b->place.base);
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(sock_front_get_stats(b->front)->malformed, 1);
	close_all(2, (int[]){s, many[0]});
}

static void
lingering_descriptor_that_was_never_read_holds_nobody_up(void **state)
{
	struct bench *b = *state;
	int fds = open_fds(), s = negotiated_client(b);
	struct lingering st = lingering_new();

	b->hold = true;
	send_reset(s, 2);
	pump(b->place.base);
	send_lingering(s, 3, &st);
	close(s);
	alarm(STUCK_S);
	sock_front_disconnect(b->front);
	alarm(0);
	answer(b);
	let_go(&st, fds);
}

static void
lingering_descriptor_with_an_urgent_byte_holds_nobody_up(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), fds = open_fds();
	struct lingering st = lingering_new();
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (char[]){0}, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &st.fd, sizeof(int));
	if (sendmsg(s, &msg, MSG_OOB | MSG_NOSIGNAL) != 1) {
		close_all(3, (int[]){s, st.peer, st.fd});
		skip(); /* the kernel knows no urgent data on UNIX sockets */
	}
	send_reset(s, 2);
	close(st.fd);
	pump_unstuck(b);
	close(s);
	pump(b->place.base);
	let_go(&st, fds - 2);
}

static void
lingering_descriptor_of_a_surplus_client_holds_nobody_up(void **state)
{
	struct bench *b = *state;
	int first = client(b), fds = open_fds(), second = client(b);
	struct lingering st = lingering_new();

	send_lingering(second, 2, &st);
	pump_unstuck(b);
	assert_reply(second, 2, EBUSY);
	close(second);
	let_go(&st, fds);
	close(first);
}

static void
lingering_descriptor_of_a_client_never_accepted_holds_nobody_up(void **state)
{
	struct bench *b = *state;
	int fds = open_fds(), s = raw_connect(b->place.path);
	struct lingering st = lingering_new();

	send_lingering(s, 1, &st);
	alarm(STUCK_S);
	sock_front_destroy(b->front);
	alarm(0);
	close(s);
	let_go(&st, fds - 1);
	assert_int_equal(bench_front(b, &b->front), 0);
}

/* As many messages as make it full, and one more, which is not read. */
static void
fill_closer(struct bench *b, int s, struct lingering *st)
{
	const unsigned int messages = SOCK_CLOSER_MAX / VFIO_USER_FDS_MAX;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), many[VFIO_USER_FDS_MAX];

	*st = lingering_new();
	for (unsigned int i = 0; i < messages; i++) {
		for (unsigned int k = 0; k < VFIO_USER_FDS_MAX; k++)
			many[k] = i == 0 && k == 0 ? st->fd : null;
		raw_send(s, (struct raw){.id = 3,
				    .command = VFIO_USER_DEVICE_RESET,
				    .fds = many,
				    .nfds = VFIO_USER_FDS_MAX});
	}
	send_reset(s, 4);
	close(null);
	close(st->fd);
	pump_unstuck(b);
	for (unsigned int i = 0; i < messages; i++)
		assert_reply(s, 3, EINVAL);
	assert_no_reply(s);
}

static void
client_whose_descriptors_do_not_close_is_not_read_on(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b), fds = open_fds();
	struct lingering st;

	fill_closer(b, s, &st);
	let_go(&st, fds);
	assert_int_equal(event_base_loop(b->place.base, EVLOOP_ONCE), 0);
	pump(b->place.base);
	assert_reply(s, 4, 0);
	close(s);
}

static void
client_whose_descriptors_never_close_loses_its_connection(void **state)
{
	struct bench *b = *state;
	int before = open_fds(), s = negotiated_client(b), next;
	struct lingering st;

	fill_closer(b, s, &st);
	alarm(STUCK_S);
	while (b->disconnected == 0)
		event_base_loop(b->place.base, EVLOOP_ONCE);
	alarm(0);
	close(s);
	/* Nor is another one let in. */
	next = raw_connect(b->place.path);
	pump(b->place.base);
	assert_false(sock_front_connected(b->front));
	let_go(&st, before + 1);
	alarm(STUCK_S);
	while (!sock_front_connected(b->front))
		event_base_loop(b->place.base, EVLOOP_ONCE);
	alarm(0);
	close(next);
}

static int
test_vfio_user_discard(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_and_eventfds_are_harmless_all_else_is_not),
		cmocka_unit_test(lingering_descriptor_is_closed_by_somebody_else),
		cmocka_unit_test(closer_is_full_while_too_many_do_not_close),
		T(message_with_anything_but_memory_and_eventfds_is_refused),
		T(lingering_descriptor_of_a_message_holds_nobody_up),
		T(lingering_descriptor_among_too_many_ends_the_connection),
		T(too_many_descriptors_end_the_connection_before_the_message_does),
		T(lingering_descriptor_that_was_never_read_holds_nobody_up),
		T(lingering_descriptor_with_an_urgent_byte_holds_nobody_up),
		T(lingering_descriptor_of_a_surplus_client_holds_nobody_up),
		T(lingering_descriptor_of_a_client_never_accepted_holds_nobody_up),
		T(client_whose_descriptors_do_not_close_is_not_read_on),
		T(client_whose_descriptors_never_close_loses_its_connection),
	};

	return cmocka_run_group_tests_name("vfio_user_discard", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_discard, test_vfio_user_discard)
