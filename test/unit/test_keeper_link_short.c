/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A controller under its keeper when the system is short of something. */

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <linux/capability.h>

#include "keeper_link_bench.h"

/* ---- descriptors */

/* While this process may open no more. The message is sent before that, since it needs some. */
static void
tell_when_full(const struct ha_msg *msg, const int *fds, unsigned int n)
{
	struct rlimit lim;

	assert_int_equal(ha_conn_send(t.keeper, msg, fds, n), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_max = lim.rlim_max}), 0);
	turn();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static void
a_device_whose_descriptors_are_lost_is_not_adopted_the_next_one_is(void **state)
{
	static const enum ha_msg_type types[] = {HA_ADOPT, HA_FDS};
	const int fd = state_block_fd(t.block);
	const unsigned int before = descriptors();

	(void)state;
	t.ctl.emu_ops = &test_emu_ops; /* which cannot make its function */
	for (unsigned int i = 0; i < RTE_DIM(types); i++) {
		struct ha_msg msg = {.type = types[i], .device = HANDLE};
		const struct ha_msg adopt = {.type = HA_ADOPT, .device = HANDLE};

		msg.u.fds.n = types[i] == HA_FDS ? 1 : 0;
		tell(&adopt, &fd, 1);
		tell_when_full(&msg, &fd, 1);
		tell_type(HA_ADOPT_END, HANDLE, 0);
		assert_int_equal(heard(), HA_ADOPTED);
		assert_int_equal(t.msg.u.result.err, -EMFILE);
		assert_int_equal(descriptors(), before);
	}
	send_adoption();
	assert_int_equal(heard(), HA_ADOPTED);
	assert_int_equal(t.msg.u.result.err, -ENODEV);
}

static void
a_request_whose_descriptors_are_lost_is_refused_the_next_one_is_not(void **state)
{
	const struct ha_msg msg = {.type = HA_REQUEST, .device = HANDLE};
	const int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	make_door(true);
	tell_when_full(&msg, &fd, 1);
	close(fd);
	assert_int_equal(t.function.refused, 1);
	assert_int_equal(t.function.requests, 0);
	request(1);
	assert_int_equal(t.function.refused, 1);
	assert_int_equal(t.function.requests, 1);
	close(t.function.fds[0]);
}

/* ---- descriptors in flight, of all processes of one user */

#define FLIGHT_LIMIT 512u /* above what this process has open, and others send meanwhile */

/* The limit does not hold for who may exceed all of them. */
static void
give_up_privileges(void)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[2] = {0};

	(void)syscall(SYS_capset, &hdr, none);
}

/* Nobody has received so many yet. @return who could */
static struct ha_conn *
fly(unsigned int n)
{
	struct ha_msg msg = {.type = HA_STORE, .device = HANDLE, .u.slot.count = HA_FDS_MAX};
	struct ha_conn *from, *to;
	int pair[2], fds[HA_FDS_MAX];

	for (unsigned int i = 0; i < HA_FDS_MAX; i++)
		fds[i] = STDIN_FILENO;
	if (ha_socketpair(pair) < 0 || ha_conn_create(pair[0], &from) < 0 ||
		ha_conn_create(pair[1], &to) < 0)
		return NULL;
	for (unsigned int i = 0; i < n; i += HA_FDS_MAX)
		(void)ha_conn_send(from, &msg, fds, HA_FDS_MAX);
	return to;
}

/* @return NULL, or what is wrong */
static const char *
starve(void)
{
	const int fd = eventfd(0, EFD_CLOEXEC);
	struct ha_conn *flight = fly(FLIGHT_LIMIT + HA_FDS_MAX);

	make_door(true);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){FLIGHT_LIMIT, FLIGHT_LIMIT});
	give_up_privileges();
	keeper_link_store(t.link, HANDLE, HA_FD_MSIX, 0, &fd, 1);
	if (flight == NULL || heard() != 0 || !ha_conn_starved(t.link->conn))
		return "it is sent";
	if (event_pending(t.link->writable, EV_WRITE, NULL))
		return "the socket is writable, and the process busy with that";
	if (!evtimer_pending(t.link->send_later, NULL))
		return "nobody tries again";
	ha_conn_destroy(flight);
	event_active(t.link->send_later, EV_TIMEOUT, 1);
	turn();
	return heard() == HA_STORE ? NULL : "it is not sent";
}

static void
what_cannot_be_sent_for_lack_of_room_in_flight_is_sent_later(void **state)
{
	const pid_t pid = fork();
	const char *wrong;
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		wrong = starve();
		if (wrong != NULL)
			fprintf(stderr, "%s\n", wrong);
		_exit(wrong == NULL ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- the command socket's name */

/* A folder where this process's telemetry socket has a number, and the usual name is a folder. */
static int
telemetry_in_the_way(char *dir, char *usual, size_t size)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_non_null(mkdtemp(dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/" TELEMETRY_NAME ":1", dir);
	snprintf(usual, size, "%s/" TELEMETRY_NAME, dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(telemetry_path_find(&t.ctl.telemetry, dir), 0);
	assert_int_equal(mkdir(usual, 0700), 0);
	return fd;
}

static bool
is_socket(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* As if its time had come. */
static void
telemetry_retried(void)
{
	event_active(t.ctl.telemetry_retry, EV_TIMEOUT, 1);
	turn();
}

static void
the_usual_name_is_taken_as_soon_as_that_is_possible(void **state)
{
	char dir[] = "/tmp/virtnet-test-link-XXXXXX", usual[64];
	const int fd = telemetry_in_the_way(dir, usual, sizeof(usual));

	(void)state;
	t.link->active = true;
	controller_announce(&t.ctl);
	assert_true(evtimer_pending(t.ctl.telemetry_retry, NULL));
	telemetry_retried();
	assert_true(evtimer_pending(t.ctl.telemetry_retry, NULL));
	assert_int_equal(rmdir(usual), 0);
	/* In a hand-over it may be another process's. */
	t.link->migrating = true;
	telemetry_retried();
	assert_false(is_socket(usual));
	t.link->migrating = false;
	telemetry_retried();
	assert_true(is_socket(usual));
	assert_false(evtimer_pending(t.ctl.telemetry_retry, NULL));
	controller_unannounce(&t.ctl);
	assert_false(is_socket(usual));
	close(fd);
	assert_int_equal(rmdir(dir), 0);
}

static void
a_socket_that_is_not_there_is_not_renamed_later(void **state)
{
	(void)state;
	controller_announce(&t.ctl);
	assert_null(t.ctl.telemetry_retry);
}

static int
test_keeper_link_short(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_whose_descriptors_are_lost_is_not_adopted_the_next_one_is),
		TEST(a_request_whose_descriptors_are_lost_is_refused_the_next_one_is_not),
		TEST(what_cannot_be_sent_for_lack_of_room_in_flight_is_sent_later),
		TEST(the_usual_name_is_taken_as_soon_as_that_is_possible),
		TEST(a_socket_that_is_not_there_is_not_renamed_later),
	};

	return cmocka_run_group_tests_name("keeper_link_short", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_link_short, test_keeper_link_short)
