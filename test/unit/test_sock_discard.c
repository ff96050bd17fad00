/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Closers: nobody waits for a client's descriptors, and what does not close is bounded. */

#include <sys/resource.h>
#include <sys/wait.h>

#include "sock/discard.h"
#include "sock_lingering.h"

#define MESSAGE_FDS 253 /* the kernel's limit */

static unsigned int
threads(void)
{
	DIR *d = opendir("/proc/self/task");
	unsigned int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* Threads that had something to do have done it, and are gone. */
static void
threads_settle(unsigned int expected)
{
	alarm(STUCK_S);
	while (threads() != expected)
		sched_yield();
	alarm(0);
}

static int
null_fd(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void
client_has_one_thread_and_sockets_keep_what_lies_in_them(void **state)
{
	struct sock_closer *closer = sock_closer_create();
	const unsigned int threads_before = threads();
	const int before = open_fds(), null = null_fd();
	struct lingering s[12];
	int many[MESSAGE_FDS];

	for (unsigned int i = 1; i < MESSAGE_FDS; i++)
		many[i] = null;
	for (unsigned int i = 0; i < 3; i++) {
		int sv[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		for (unsigned int m = 0; m < 4; m++) {
			s[4 * i + m] = lingering_new();
			many[0] = s[4 * i + m].fd;
			send_fds(sv[1], many, MESSAGE_FDS);
			close(many[0]);
		}
		alarm(STUCK_S);
		sock_discard_socket(closer, sv[0]);
		alarm(0);
		close(sv[1]);
		assert_true(threads() <= threads_before + 1);
		/* The three sockets, their client's ends, /dev/null. */
		assert_in_range(open_fds(), before, before + 3 + 12 + 1);
	}
	close(null);
	for (unsigned int i = 0; i < 12; i++)
		close(s[i].peer);
	fds_settle(before);
	threads_settle(threads_before);
	sock_closer_release(closer);
}

static void
others_are_closed_while_one_is_not(void **state)
{
	struct sock_closer *bad = sock_closer_create(), *good = sock_closer_create();
	const int before = open_fds();
	struct lingering s = lingering_new();
	int null = null_fd();

	sock_discard(bad, &s.fd, 1);
	sock_discard(good, &null, 1);
	fds_settle(before + 1); /* its number is free already */
	assert_false(sock_closer_full(good));
	let_go(&s, before);
	sock_closer_release(bad);
	sock_closer_release(good);
}

static void
closer_is_full_when_all_together_have_too_much(void **state)
{
	enum { N = SOCK_CLOSERS_MAX / SOCK_CLOSER_MAX + 1 };
	struct sock_closer *one = sock_closer_create(), *many[N];
	int before = open_fds(), fds[SOCK_CLOSER_MAX - 1];
	struct lingering s[N], last = lingering_new();
	struct rlimit was, more;

	getrlimit(RLIMIT_NOFILE, &was);
	more = (struct rlimit){was.rlim_max, was.rlim_max};
	setrlimit(RLIMIT_NOFILE, &more);
	for (unsigned int i = 0; i < N; i++) {
		many[i] = sock_closer_create();
		s[i] = lingering_new();
		for (unsigned int k = 0; k < SOCK_CLOSER_MAX - 1; k++)
			fds[k] = k == 0 ? s[i].fd : null_fd();
		sock_discard(many[i], fds, SOCK_CLOSER_MAX - 1);
	}
	assert_false(sock_closer_full(one)); /* an honest one */
	sock_discard(one, &last.fd, 1);
	assert_true(sock_closer_full(one));
	assert_true(sock_closer_full(many[0]));
	for (unsigned int i = 0; i < N; i++)
		close(s[i].peer);
	fds_settle(before + 1); /* its number is free already */
	assert_false(sock_closer_full(one));
	let_go(&last, before);
	for (unsigned int i = 0; i < N; i++)
		sock_closer_release(many[i]);
	sock_closer_release(one);
	setrlimit(RLIMIT_NOFILE, &was);
}

/* In a process that can have no thread (its stack would not fit), and that alone has the socket. */
static void
discard_without_threads(void)
{
	const struct rlimit none = {0, 0};
	struct sock_closer *closer = sock_closer_create();
	struct lingering s = lingering_new();

	setrlimit(RLIMIT_AS, &none);
	alarm(STUCK_S);
	sock_discard(closer, &s.fd, 1);
	_exit(EXIT_SUCCESS);
}

static void
without_threads_nobody_waits_either(void **state)
{
	pid_t child;
	int status;

#ifdef __SANITIZE_ADDRESS__
	skip(); /* it needs more room itself */
#endif
	child = fork();
	if (child == 0)
		discard_without_threads();
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void
own_socket_without_anything_in_it_closes_at_once(void **state)
{
	struct sock_closer *closer = sock_closer_create();
	const int before = open_fds();
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	sock_discard_own(closer, sv[0]);
	assert_int_equal(open_fds(), before + 1);
	close(sv[1]);
	sock_closer_release(closer);
}

static void
peer_is_hung_up_at_once_and_told_of_no_error(void **state)
{
	struct sock_closer *closer = sock_closer_create();
	const int before = open_fds();
	struct lingering s;
	char byte;
	int peer, sock = lingering_in_socket(&s, &peer);

	assert_int_equal(send(peer, "more", 4, 0), 4);
	alarm(STUCK_S);
	sock_discard_own(closer, sock);
	assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), 0);
	alarm(0);
	let_go(&s, before + 1);
	assert_int_equal(recv(peer, &byte, 1, 0), 0);
	close(peer);
	sock_closer_release(closer);
}

static int
unix_socket(int type, bool listening)
{
	const struct sockaddr_un any = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	if (listening) {
		assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(sa_family_t)), 0);
		assert_int_equal(listen(fd, 1), 0);
	}
	return fd;
}

static void
connection_is_a_stream_socket_with_a_peer(void **state)
{
	struct lingering tcp = lingering_new();
	int stream[2], packets[2], pipes[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, packets), 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	const int others[] = {unix_socket(SOCK_STREAM, false), unix_socket(SOCK_STREAM, true),
		unix_socket(SOCK_DGRAM, false), packets[0], tcp.peer, pipes[0], memfd("x")};

	assert_true(sock_fd_is_connection(stream[0]));
	close(stream[1]);
	assert_true(sock_fd_is_connection(stream[0]));
	assert_int_equal(listen(stream[0], 1), -1);
	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(sock_fd_is_connection(others[i]));
	assert_false(sock_fd_is_connection(-1));
	close(tcp.peer);
	close(tcp.fd);
	close_all(4, (int[]){others[0], others[1], others[2], others[6]});
	close_all(5, (int[]){stream[0], packets[0], packets[1], pipes[0], pipes[1]});
}

static int
test_sock_discard(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_threads_nobody_waits_either),
		cmocka_unit_test(client_has_one_thread_and_sockets_keep_what_lies_in_them),
		cmocka_unit_test(others_are_closed_while_one_is_not),
		cmocka_unit_test(closer_is_full_when_all_together_have_too_much),
		cmocka_unit_test(own_socket_without_anything_in_it_closes_at_once),
		cmocka_unit_test(peer_is_hung_up_at_once_and_told_of_no_error),
		cmocka_unit_test(connection_is_a_stream_socket_with_a_peer),
	};

	return cmocka_run_group_tests_name("sock_discard", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(sock_discard, test_sock_discard)
