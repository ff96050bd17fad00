/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The end of the keeper, with and without a service manager that keeps descriptors. */

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "keeper_rig.h"
#include "test.h"

struct rig {
	struct keeper_rig k;
	char manager[64]; /* NOTIFY_SOCKET */
	int sock;
};

static int
setup(void **state)
{
	static struct rig rig;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(rig.manager, sizeof(rig.manager), "/tmp/keeper-manager-%d", (int)getpid());
	strcpy(addr.sun_path, rig.manager);
	unlink(rig.manager);
	rig.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(rig.sock, (struct sockaddr *)&addr, sizeof(addr)), 0);
	*state = &rig;
	return 0;
}

static int
teardown(void **state)
{
	struct rig *r = *state;

	keeper_rig_end(&r->k);
	close(r->sock);
	unlink(r->manager);
	return 0;
}

/* Read what the manager was told, until it is this. */
static void
manager_await(struct rig *r, const char *text)
{
	char got[1024] = "";

	while (strstr(got, text) == NULL) {
		ssize_t n = recv(r->sock, got, sizeof(got) - 1, 0);

		assert_true(n >= 0);
		got[n] = '\0';
	}
}

static bool
socket_is_there(const struct rig *r, unsigned int device)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%u", r->k.dir, device);
	return access(path, F_OK) == 0;
}

static void
devices_are_closed_and_nobody_is_left(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

	for (unsigned int i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct rig *r = *state;
		pid_t active, standby;

		if (i > 0)
			keeper_rig_end(&r->k);
		active = keeper_rig_up(&r->k, &(struct keeper_rig_conf){.devices = 2});
		standby = keeper_rig_standby(&r->k);
		assert_true(socket_is_there(r, 2));
		kill(r->k.keeper, signals[i]);
		assert_int_equal(keeper_rig_wait(&r->k), 0);
		assert_true(keeper_rig_has(&r->k, "STOP 0"));
		assert_false(socket_is_there(r, 1) || socket_is_there(r, 2));
		keeper_rig_await_gone(active);
		keeper_rig_await_gone(standby);
	}
}

static void
a_second_signal_ends_it_at_once(void **state)
{
	struct rig *r = *state;
	const struct keeper_rig_conf conf = {.devices = 2, .fault = "mute@STOP"};
	const pid_t active = keeper_rig_up(&r->k, &conf);

	kill(r->k.keeper, SIGTERM);
	keeper_rig_await(&r->k, "STOP 0");
	kill(r->k.keeper, SIGTERM);
	assert_int_equal(keeper_rig_wait(&r->k), 0);
	keeper_rig_await_gone(active);
	assert_false(socket_is_there(r, 1));
}

static void
a_process_that_does_not_stop_is_killed(void **state)
{
	static const char *const faults[] = {"mute@STOP", "stop@STOP", "kill@STOP"};

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct rig *r = *state;

		if (i > 0)
			keeper_rig_end(&r->k);
		keeper_rig_up(&r->k, &(struct keeper_rig_conf){.devices = 1, .fault = faults[i]});
		assert_int_equal(keeper_rig_stop(&r->k), 0);
		assert_false(socket_is_there(r, 1));
	}
}

static void
an_update_under_way_is_no_obstacle(void **state)
{
	static const char *const faults[] = {"stop@START", "mute@ADOPT/1", "mute@ADOPT/2"};
	static const char *const until[] = {"START 0", "ADOPT_END 1", "ADOPT_END 2"};

	for (unsigned int i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const struct keeper_rig_conf conf = {.devices = 2, .successor = faults[i]};
		struct rig *r = *state;
		pid_t old;

		if (i > 0)
			keeper_rig_end(&r->k);
		old = keeper_rig_up(&r->k, &conf);
		keeper_rig_mark(&r->k);
		kill(old, SIGUSR1);
		keeper_rig_await(&r->k, until[i]);
		assert_int_equal(keeper_rig_stop(&r->k), 0);
		assert_false(socket_is_there(r, 1) || socket_is_there(r, 2));
	}
}

static void
the_manager_is_told_how_it_goes(void **state)
{
	struct rig *r = *state;
	pid_t active;

	active =
		keeper_rig_up(&r->k, &(struct keeper_rig_conf){.devices = 1, .notify = r->manager});
	manager_await(r, "READY=1");
	manager_await(r, "standby");
	kill(active, SIGKILL);
	manager_await(r, "1 crashes, last recovery took");
	kill(r->k.keeper, SIGTERM);
	manager_await(r, "STOPPING=1");
	assert_int_equal(keeper_rig_wait(&r->k), 0);
}

static void
what_the_manager_keeps_is_released_and_left_alone(void **state)
{
	struct rig *r = *state;
	const struct keeper_rig_conf conf = {.devices = 2, .notify = r->manager};
	const pid_t active = keeper_rig_up(&r->k, &conf);
	const pid_t standby = keeper_rig_standby(&r->k);

	kill(r->k.keeper, SIGTERM);
	manager_await(r, "STOPPING=1");
	manager_await(r, "BARRIER=1");
	assert_int_equal(keeper_rig_wait(&r->k), 0);
	keeper_rig_await_from(&r->k, active, "RELEASE 1");
	keeper_rig_await_from(&r->k, active, "RELEASE 2");
	assert_false(keeper_rig_has(&r->k, "STOP 0"));
	assert_true(socket_is_there(r, 1) && socket_is_there(r, 2));
	keeper_rig_await_gone(active);
	keeper_rig_await_gone(standby);
}

static int
test_keeper_stop(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(devices_are_closed_and_nobody_is_left),
		TEST(a_second_signal_ends_it_at_once),
		TEST(a_process_that_does_not_stop_is_killed),
		TEST(an_update_under_way_is_no_obstacle),
		TEST(the_manager_is_told_how_it_goes),
		TEST(what_the_manager_keeps_is_released_and_left_alone),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_stop, test_keeper_stop)
