/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: its socket file, clients that come, go, die and come too many. */

#include <sys/resource.h>

#include "test.h"
#include "vfio_user_front_bench.h"

/* ---- connection */

static void
second_client_is_told_busy_and_turned_away(void **state)
{
	struct bench *b = *state;
	int first = client(b), second = client(b);

	assert_false(hung_up(second));
	send_reset(second, 7);
	pump(b->place.base);
	assert_reply(second, 7, EBUSY);
	assert_true(hung_up(second));
	assert_int_equal(b->connected, 1);
	assert_int_equal(sock_front_get_stats(b->front)->surplus, 1);
	send_reset(first, 1);
	pump(b->place.base);
	assert_reply(first, 1, 0);
	close_all(2, (int[]){first, second});
}

static void
second_client_that_says_nothing_is_turned_away(void **state)
{
	struct bench *b = *state;
	int first = client(b), second = client(b);

	assert_int_equal(event_base_loop(b->place.base, EVLOOP_ONCE), 0);
	assert_true(hung_up(second));
	assert_int_equal(b->connected, 1);
	close_all(2, (int[]){first, second});
}

static void
second_client_is_turned_away_even_while_a_request_is_pending(void **state)
{
	struct bench *b = *state;
	int first = client(b), second;

	b->hold = true;
	send_reset(first, 1);
	pump(b->place.base);
	second = client(b);
	send_reset(second, 2);
	pump(b->place.base);
	assert_reply(second, 2, EBUSY);
	assert_true(hung_up(second));
	close(second);
	answer(b);
	assert_reply(first, 1, 0);
	close(first);
}

static void
flood_of_clients_is_not_waited_for(void **state)
{
	struct bench *b = *state;
	int client_fd[12], gone = 0;

	for (size_t i = 0; i < sizeof(client_fd) / sizeof(client_fd[0]); i++)
		client_fd[i] = client(b);
	for (size_t i = 0; i < sizeof(client_fd) / sizeof(client_fd[0]); i++)
		gone += hung_up(client_fd[i]);
	/* One is served, eight may still say something. */
	assert_int_equal(gone, 3);
	close_all(sizeof(client_fd) / sizeof(client_fd[0]), client_fd);
}

static void
successor_of_a_killed_client_is_served(void **state)
{
	struct bench *b = *state;
	int first = client(b), second;

	/* Both lie in the loop's next round: the end of the first, the coming of the second. */
	close(first);
	second = client(b);
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(b->connected, 2);
	send_reset(second, 1);
	pump(b->place.base);
	assert_reply(second, 1, 0);
	close(second);
}

static void
successor_of_a_client_killed_with_a_pending_request_is_served(void **state)
{
	struct bench *b = *state;
	int first = client(b), second;

	b->hold = true;
	b->abandon = true;
	send_reset(first, 1);
	pump(b->place.base);
	/* The first one's end is not read while its request is pending. */
	close(first);
	second = client(b);
	b->hold = false;
	assert_int_equal(b->disconnected, 1);
	assert_int_equal(b->connected, 2);
	send_reset(second, 2);
	pump(b->place.base);
	assert_reply(second, 2, 0);
	assert_no_reply(second);
	close(second);
}

static void
client_that_comes_while_descriptors_are_short_is_served_later(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct rlimit full, none;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), next = dup(s);

	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &full), 0);
	none = full;
	none.rlim_cur = next;
	strcpy(addr.sun_path, b->place.path);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(connect(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	pump(b->place.base);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	assert_int_equal(b->connected, 0);
	assert_int_equal(b->lines, 1); /* one complaint, no busy loop */
	for (int i = 0; i < 100 && b->connected == 0; i++)
		event_base_loop(b->place.base, EVLOOP_ONCE);
	send_reset(s, 1);
	pump(b->place.base);
	assert_reply(s, 1, 0);
	close(s);
}

static void
end_of_file_disconnects_once_and_the_next_client_is_served(void **state)
{
	struct bench *b = *state;

	for (unsigned int i = 1; i <= 3; i++) {
		int s = client(b);

		assert_true(sock_front_connected(b->front));
		assert_int_equal(b->connected, i);
		close(s);
		pump(b->place.base);
		assert_int_equal(b->disconnected, i);
		assert_false(sock_front_connected(b->front));
	}
}

static void
client_that_dies_within_a_message_leaves_nothing_behind(void **state)
{
	struct bench *b = *state;
	const struct vfio_user_header hdr = {.command = VFIO_USER_DMA_MAP, .size = 48};
	int file = memfd("ram"), before = open_fds();

	for (size_t cut = 1; cut < 20; cut++) {
		uint8_t bytes[48] = {0};
		int s = client(b);

		memcpy(bytes, &hdr, sizeof(hdr));
		send_with_fds(s, bytes, cut, &file, 1);
		pump(b->place.base);
		close(s);
		pump(b->place.base);
		assert_int_equal(b->disconnected, cut);
	}
	assert_int_equal(b->requests, 0);
	assert_int_equal(open_fds(), before);
	close(file);
}

static void
owner_can_end_the_connection(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	sock_front_disconnect(b->front);
	assert_int_equal(b->disconnected, 1);
	assert_true(hung_up(s));
	sock_front_disconnect(b->front);
	assert_int_equal(b->disconnected, 1);
	close(s);
}

static void
device_side_can_end_the_connection_after_its_reply(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	b->end = true;
	send_reset(s, 1);
	send_reset(s, 2);
	pump(b->place.base);
	assert_reply(s, 1, 0);
	assert_true(hung_up(s));
	assert_int_equal(b->requests, 1);
	assert_int_equal(b->disconnected, 1);
	close(s);
}

static void
destroying_the_front_hangs_up_without_a_callback(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	sock_front_destroy(b->front);
	b->front = NULL;
	assert_true(hung_up(s));
	assert_int_equal(b->disconnected, 0);
	close(s);
}

/* ---- socket file */

static void
socket_file_has_the_mode_asked_for(void **state)
{
	struct bench *b = *state;
	struct sock_front_conf conf = {.base = b->place.base,
		.mailbox = b->mb,
		.mode = 0660,
		.ops = &ops,
		.gid = getgid()};
	struct sock_front *front;
	char path[128];
	struct stat st;

	assert_int_equal(stat(b->place.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	snprintf(path, sizeof(path), "%s/other", b->place.dir);
	conf.path = path;
	assert_int_equal(vfio_user_front_create(&conf, &front), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	sock_front_destroy(front);
}

static void
socket_that_is_listened_on_is_not_taken(void **state)
{
	struct bench *b = *state;
	struct sock_front *other;

	assert_int_equal(bench_front(b, &other), -EADDRINUSE);
	pump(b->place.base);
	/* The failure left the first one in place. */
	close(client(b));
}

static void
socket_file_left_by_a_dead_process_is_replaced(void **state)
{
	struct bench *b = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sock_front_destroy(b->front);
	strcpy(addr.sun_path, b->place.path);
	assert_int_equal(bind(s, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(s);
	assert_int_equal(access(b->place.path, F_OK), 0);
	assert_int_equal(bench_front(b, &b->front), 0);
	close(client(b));
	pump(b->place.base);
	assert_int_equal(b->connected, 1);
}

static void
file_that_is_no_socket_is_never_removed(void **state)
{
	struct bench *b = *state;
	int fd;

	sock_front_destroy(b->front);
	fd = open(b->place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(bench_front(b, &b->front), -EEXIST);
	b->front = NULL;
	assert_int_equal(unlink(b->place.path), 0);
}

static void
socket_file_of_a_successor_is_not_removed(void **state)
{
	struct bench *b = *state;
	struct sock_front *old = b->front;

	unlink(b->place.path);
	assert_int_equal(bench_front(b, &b->front), 0);
	sock_front_destroy(old);
	assert_int_equal(access(b->place.path, F_OK), 0);
}

static void
path_that_does_not_fit_or_exist_is_an_error(void **state)
{
	struct bench *b = *state;
	struct sock_front_conf conf = {
		.base = b->place.base, .mailbox = b->mb, .ops = &ops, .gid = (gid_t)-1};
	struct sock_front *front;
	char path[200];

	memset(path, 'p', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	conf.path = path;
	assert_int_equal(vfio_user_front_create(&conf, &front), -ENAMETOOLONG);
	conf.path = "/nonexistent/folder/sock";
	assert_int_equal(vfio_user_front_create(&conf, &front), -ENOENT);
	conf.path = NULL;
	assert_int_equal(vfio_user_front_create(&conf, &front), -EINVAL);
}

static int
test_vfio_user_conn(void)
{
	const struct CMUnitTest tests[] = {
		T(second_client_is_told_busy_and_turned_away),
		T(second_client_that_says_nothing_is_turned_away),
		T(second_client_is_turned_away_even_while_a_request_is_pending),
		T(flood_of_clients_is_not_waited_for),
		T(successor_of_a_killed_client_is_served),
		T(successor_of_a_client_killed_with_a_pending_request_is_served),
		T(client_that_comes_while_descriptors_are_short_is_served_later),
		T(end_of_file_disconnects_once_and_the_next_client_is_served),
		T(client_that_dies_within_a_message_leaves_nothing_behind),
		T(owner_can_end_the_connection),
		T(device_side_can_end_the_connection_after_its_reply),
		T(destroying_the_front_hangs_up_without_a_callback),
		T(socket_file_has_the_mode_asked_for),
		T(socket_that_is_listened_on_is_not_taken),
		T(socket_file_left_by_a_dead_process_is_replaced),
		T(file_that_is_no_socket_is_never_removed),
		T(socket_file_of_a_successor_is_not_removed),
		T(path_that_does_not_fit_or_exist_is_an_error),
	};

	return cmocka_run_group_tests_name("vfio_user_conn", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_conn, test_vfio_user_conn)
