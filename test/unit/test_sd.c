/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The keeper's side of sd_notify(3) and of the descriptor store. */

#include <sys/wait.h>

#include "ha/klog.h"
#include "service_manager.h"

struct bench {
	char dir[64];
	struct manager m;
	int fds_before;
};

static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	klog_set_level(KLOG_ERR);
	b->fds_before = open_fds();
	strcpy(b->dir, "/tmp/virtnet-test-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	manager_start(&b->m, b->dir, "500");
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	manager_stop(&b->m);
	rmdir(b->dir);
	assert_int_equal(open_fds(), b->fds_before);
	free(b);
	return 0;
}

static void
environment_is_read_and_taken_away_from_children(void **state)
{
	(void)state;
	assert_true(sd_keeps());
	assert_int_equal(sd_room(), 500);
	assert_null(getenv("NOTIFY_SOCKET"));
	assert_null(getenv("FDSTORE"));
}

static void
without_a_manager_nothing_happens(void **state)
{
	struct bench *b = *state;

	sd_init();
	sd_assume_keeps();
	assert_false(sd_keeps());
	sd_notify("READY=1");
	assert_int_equal(sd_store("x", 0), 0);
	sd_remove("x");
	assert_true(sd_barrier() < 0);
	assert_int_equal(sd_stored(), 0);
	manager_read(&b->m);
	assert_int_equal(b->m.messages, 0);
}

static void
manager_that_does_not_say_it_keeps_is_given_nothing_unless_told_to(void **state)
{
	struct bench *b = *state;

	setenv("NOTIFY_SOCKET", b->m.path, 1);
	sd_init();
	assert_false(sd_keeps());
	sd_store("x", 0);
	manager_read(&b->m);
	assert_int_equal(b->m.messages, 0);
	sd_assume_keeps();
	assert_true(sd_keeps());
	sd_store("x", 0);
	manager_read(&b->m);
	assert_true(manager_fd(&b->m, "x") >= 0);
	/* An old one: its unit has room for as many as ours asks for. */
	assert_int_equal(sd_room(), 32768);
}

static void
lines_are_told_as_they_are(void **state)
{
	struct bench *b = *state;

	sd_notify("READY=1\nSTATUS=2 devices");
	manager_read(&b->m);
	assert_string_equal(b->m.text, "READY=1\nSTATUS=2 devices");
}

static void
manager_may_have_an_abstract_address(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), len;
	char name[64], text[64] = "";

	(void)state;
	len = snprintf(name, sizeof(name), "@virtnet-test-%d", (int)getpid());
	memcpy(addr.sun_path + 1, name + 1, (size_t)len - 1);
	assert_int_equal(bind(sock, (struct sockaddr *)&addr,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
		0);
	setenv("NOTIFY_SOCKET", name, 1);
	sd_init();
	sd_notify("READY=1");
	assert_int_equal(recv(sock, text, sizeof(text), 0), 7);
	assert_string_equal(text, "READY=1");
	close(sock);
}

static void
address_that_is_none_is_no_manager(void **state)
{
	static const char *const names[] = {"", "/", "vsock:2:1234", "relative", "@"};
	char longer[300];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	setenv("NOTIFY_SOCKET", longer, 1);
	for (unsigned int i = 0; i <= sizeof(names) / sizeof(names[0]); i++) {
		sd_init();
		sd_assume_keeps();
		assert_false(sd_keeps());
		if (i < sizeof(names) / sizeof(names[0]))
			setenv("NOTIFY_SOCKET", names[i], 1);
	}
}

static void
descriptor_is_kept_under_its_name_until_it_is_replaced_or_removed(void **state)
{
	struct bench *b = *state;
	int first = memfd("a"), second = memfd("b");

	assert_int_equal(sd_store("00b0", first), 0);
	manager_read(&b->m);
	assert_true(same_file(manager_fd(&b->m, "00b0"), first));
	assert_int_equal(sd_store("00b0", second), 0);
	manager_read(&b->m);
	assert_true(same_file(manager_fd(&b->m, "00b0"), second));
	assert_int_equal(b->m.n, 1);
	sd_remove("00b0");
	manager_read(&b->m);
	assert_int_equal(b->m.n, 0);
	close_all(2, (int[]){first, second});
}

static void
manager_that_was_started_anew_is_found(void **state)
{
	struct bench *b = *state;

	sd_notify("STATUS=1");
	close(b->m.sock);
	unlink(b->m.path);
	manager_listen(&b->m);
	sd_notify("STATUS=2");
	manager_read(&b->m);
	assert_string_equal(b->m.text, "STATUS=2");
}

static void
manager_that_does_not_read_is_not_waited_for_and_misses_nothing(void **state)
{
	struct bench *b = *state;
	char text[32];
	int fd = memfd("a");

	alarm(20);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "STATUS=%d", i);
		sd_notify(text);
		assert_int_equal(sd_store_new("a", fd), 0);
		sd_remove("a");
	}
	close(fd);
	for (int i = 0; i < 3000; i++) {
		while (!manager_read_one(&b->m))
			manager_poll(&b->m);
		snprintf(text, sizeof(text), "STATUS=%d", i / 3);
		assert_string_equal(b->m.text, text);
		assert_int_equal(b->m.n, i % 3 == 1);
	}
	alarm(0);
}

static void
manager_that_ends_with_messages_unread_is_forgotten(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 1000; i++)
		sd_store_new("a", 0);
	close(b->m.sock);
	unlink(b->m.path);
	sd_init(); /* waits for whoever still sends */
	assert_false(sd_keeps());
	manager_listen(&b->m);
}

static void
barrier_falls_when_the_manager_has_read_everything(void **state)
{
	struct bench *b = *state;
	char byte;
	int fd;

	sd_notify("STATUS=1");
	fd = sd_barrier();
	assert_true(fd >= 0);
	assert_true(manager_read_one(&b->m));
	assert_int_equal(read(fd, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(manager_read_one(&b->m));
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
}

/* ---- what was kept: in a process of its own, whose descriptors from 3 on are the manager's */

struct service {
	const char *fds, *names; /* NULL: not set */
	bool other_pid;
	unsigned int stored; /* expected */
	const char *first, *second;
};

/* Exit status of the service: 0 if all is as expected. */
static int
service_main(const struct service *s)
{
	char pid[32];
	const char *name;

	for (int fd = 5; fd >= 3; fd--)
		dup2(memfd_create("x", 0), fd);
	snprintf(pid, sizeof(pid), "%d", (int)getpid() + s->other_pid);
	setenv("LISTEN_PID", pid, 1);
	if (s->fds != NULL)
		setenv("LISTEN_FDS", s->fds, 1);
	if (s->names != NULL)
		setenv("LISTEN_FDNAMES", s->names, 1);
	sd_init();
	if (sd_stored() != s->stored || getenv("LISTEN_FDS") != NULL ||
		getenv("LISTEN_PID") != NULL || getenv("LISTEN_FDNAMES") != NULL)
		return 1;
	if (s->stored == 0)
		return 0;
	if (sd_stored_get(0, &name) != 3 || strcmp(name, s->first) != 0)
		return 2;
	if (s->stored > 1 && (sd_stored_get(1, &name) != 4 || strcmp(name, s->second) != 0))
		return 3;
	return fcntl(3, F_GETFD) == FD_CLOEXEC ? 0 : 4;
}

static void
what_was_kept_is_handed_over_with_its_names(void **state)
{
	static const struct service table[] = {
		{"2", "register:00b0", false, 2, "register", "00b0"},
		{"2", "00b0:", false, 2, "00b0", ""}, {"2", "00b0", false, 2, "00b0", "unknown"},
		{"1", NULL, false, 1, "unknown", NULL},
		{"2", "a:b", true, 0, NULL, NULL}, /* somebody else's */
		{NULL, "a:b", false, 0, NULL, NULL}, {"0", "", false, 0, NULL, NULL},
		{"-1", "a", false, 0, NULL, NULL}, {"2x", "a:b", false, 0, NULL, NULL},
		{"99999999999999999999", "a", false, 0, NULL, NULL},
		{"1000000", "a", false, 0, NULL, NULL}, /* more than there are */
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const pid_t pid = fork();
		int status;

		if (pid == 0) {
			close(2);
			_exit(service_main(&table[i]));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
test_sd(void)
{
	const struct CMUnitTest tests[] = {
		T(environment_is_read_and_taken_away_from_children),
		T(without_a_manager_nothing_happens),
		T(manager_that_does_not_say_it_keeps_is_given_nothing_unless_told_to),
		T(lines_are_told_as_they_are),
		T(manager_may_have_an_abstract_address),
		T(address_that_is_none_is_no_manager),
		T(descriptor_is_kept_under_its_name_until_it_is_replaced_or_removed),
		T(manager_that_was_started_anew_is_found),
		T(manager_that_does_not_read_is_not_waited_for_and_misses_nothing),
		T(manager_that_ends_with_messages_unread_is_forgotten),
		T(barrier_falls_when_the_manager_has_read_everything),
		T(what_was_kept_is_handed_over_with_its_names),
	};

	return cmocka_run_group_tests_name("sd", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(sd, test_sd)
