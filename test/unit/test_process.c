/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What a controller process does about itself: the telemetry socket's name, becoming the keeper. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"
#include "virtnet/keeper_exec.h"
#include "virtnet/telemetry_path.h"

static char dir[] = "/tmp/virtnet-test-process-XXXXXX";

static int
setup(void **state)
{
	(void)state;
	strcpy(strrchr(dir, '-'), "-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	char cmd[128];

	(void)state;
	snprintf(cmd, sizeof(cmd), "rm -r '%s'", dir);
	return system(cmd);
}

/* ---- telemetry socket */

static int
listen_at(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", dir, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* @return whether somebody listens there */
static bool
answers(const char *name)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int ret;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", dir, name);
	ret = connect(fd, (struct sockaddr *)&sun, sizeof(sun));
	close(fd);
	return ret == 0;
}

/* The socket at tp->path is this process's. */
static void
numbers_of(struct telemetry_path *tp)
{
	struct stat st;

	assert_int_equal(lstat(tp->path, &st), 0);
	tp->dev = st.st_dev;
	tp->ino = st.st_ino;
}

static void
the_active_process_takes_the_usual_name_from_whoever_has_it(void **state)
{
	struct telemetry_path tp;
	int dead, own;

	(void)state;
	dead = listen_at(TELEMETRY_NAME);
	close(dead);
	own = listen_at(TELEMETRY_NAME ":1");
	assert_int_equal(telemetry_path_find(&tp, dir), 0);
	assert_false(answers(TELEMETRY_NAME));
	assert_int_equal(telemetry_path_take(&tp), 0);
	assert_true(answers(TELEMETRY_NAME));
	assert_false(answers(TELEMETRY_NAME ":1"));
	assert_int_equal(telemetry_path_take(&tp), 0);
	telemetry_path_remove(&tp);
	assert_false(answers(TELEMETRY_NAME));
	close(own);
}

static void
a_successors_socket_is_not_removed(void **state)
{
	struct telemetry_path tp;
	char from[128], to[128];
	int own, successor;

	(void)state;
	own = listen_at(TELEMETRY_NAME);
	assert_int_equal(telemetry_path_find(&tp, dir), 0);
	successor = listen_at("successor");
	snprintf(from, sizeof(from), "%s/successor", dir);
	snprintf(to, sizeof(to), "%s/" TELEMETRY_NAME, dir);
	assert_int_equal(rename(from, to), 0);
	telemetry_path_remove(&tp);
	assert_true(answers(TELEMETRY_NAME));
	assert_int_equal(telemetry_path_take(&tp), -ENOENT);
	close(own);
	close(successor);
}

/*
 * The first could not rename when its turn came (a folder that was read-only), the second has
 * started since and bound the usual name in the place of a dead process's.
 */
static void
a_name_that_is_taken_late_leaves_the_next_process_its_own(void **state)
{
	struct telemetry_path first, second;
	int fd[2];

	(void)state;
	fd[0] = listen_at(TELEMETRY_NAME ":1");
	assert_int_equal(telemetry_path_find(&first, dir), 0);
	fd[1] = listen_at(TELEMETRY_NAME);
	second = first;
	snprintf(second.path, sizeof(second.path), "%s/" TELEMETRY_NAME, dir);
	numbers_of(&second);
	assert_int_equal(telemetry_path_take(&first), 0);
	assert_int_equal(telemetry_path_take(&second), 0);
	assert_true(answers(TELEMETRY_NAME));
	assert_true(answers(TELEMETRY_NAME ":1"));
	close(fd[0]);
	assert_true(answers(TELEMETRY_NAME));
	telemetry_path_remove(&second);
	telemetry_path_remove(&first);
	close(fd[1]);
}

/* A process that listens there until it is killed. */
static pid_t
process_at(const char *name)
{
	int up[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(up), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(20);
		(void)listen_at(name);
		close(up[1]);
		for (;;)
			pause();
	}
	close(up[1]);
	assert_int_equal(read(up[0], &c, 1), 0);
	close(up[0]);
	return pid;
}

static bool
exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void
the_last_one_removes_the_names_of_dead_and_of_siblings(void **state)
{
	struct telemetry_path tp;
	int own, dead;
	pid_t child;

	(void)state;
	own = listen_at(TELEMETRY_NAME);
	assert_int_equal(telemetry_path_find(&tp, dir), 0);
	dead = listen_at(TELEMETRY_NAME ":1");
	close(dead);
	/* Ours is its parent, not its sibling. */
	child = process_at(TELEMETRY_NAME ":2");
	telemetry_path_sweep(&tp, true);
	assert_true(exists(TELEMETRY_NAME));
	assert_false(exists(TELEMETRY_NAME ":1"));
	assert_true(exists(TELEMETRY_NAME ":2"));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(own);
}

/* A dead process's socket: of some time ago, or perhaps of one that is about to listen. */
static void
bound_at(const char *name, time_t ago)
{
	const struct timespec when[2] = {
		{.tv_sec = time(NULL) - ago}, {.tv_sec = time(NULL) - ago}};
	char path[128];

	close(listen_at(name));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(utimensat(AT_FDCWD, path, when, AT_SYMLINK_NOFOLLOW), 0);
}

static void
the_active_process_removes_the_names_of_dead_ones_alone(void **state)
{
	struct telemetry_path tp;
	const int own = listen_at(TELEMETRY_NAME);
	const int alive = listen_at(TELEMETRY_NAME ":3");

	(void)state;
	bound_at(TELEMETRY_NAME ":1", 60);
	bound_at(TELEMETRY_NAME ":2", 0);
	assert_int_equal(telemetry_path_find(&tp, dir), 0);
	telemetry_path_sweep(&tp, false);
	assert_false(exists(TELEMETRY_NAME ":1"));
	assert_true(exists(TELEMETRY_NAME ":2"));
	assert_true(exists(TELEMETRY_NAME ":3"));
	assert_true(answers(TELEMETRY_NAME));
	close(own);
	close(alive);
}

/* Of two that started at the same time, the other one has bound its socket in place of ours. */
static void
a_name_that_leads_to_another_process_is_not_ours(void **state)
{
	struct telemetry_path tp;
	const int own = listen_at(TELEMETRY_NAME);
	char path[128];
	pid_t other;

	(void)state;
	snprintf(path, sizeof(path), "%s/" TELEMETRY_NAME, dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(telemetry_path_find(&tp, dir), -EADDRINUSE);
	other = process_at(TELEMETRY_NAME);
	assert_int_equal(telemetry_path_find(&tp, dir), -EADDRINUSE);
	assert_int_equal(telemetry_path_take(&tp), -ENOENT);
	telemetry_path_remove(&tp);
	telemetry_path_sweep(&tp, true);
	assert_true(answers(TELEMETRY_NAME));
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, NULL, 0), other);
	assert_int_equal(telemetry_path_find(&tp, dir), -EADDRINUSE);
	close(own);
}

static void
other_sockets_are_not_taken_for_telemetry(void **state)
{
	const int a = listen_at("other"), b = listen_at(TELEMETRY_NAME "x");
	struct telemetry_path tp;

	(void)state;
	assert_int_equal(telemetry_path_find(&tp, dir), -ENOENT);
	assert_int_equal(telemetry_path_take(&tp), -ENOENT);
	telemetry_path_remove(&tp);
	assert_true(answers("other"));
	close(a);
	close(b);
}

/* ---- the keeper's command line */

static void
the_program_is_named_as_it_was_called(void **state)
{
	char real[128], link[128], path[256], old[256], want[256];

	(void)state;
	snprintf(real, sizeof(real), "%s/program-1", dir);
	snprintf(link, sizeof(link), "%s/program", dir);
	close(open(real, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	assert_int_equal(symlink(real, link), 0);
	/* The link itself: what it points to may be another version tomorrow. */
	assert_int_equal(keeper_program(link, path, sizeof(path)), 0);
	assert_string_equal(path, link);
	assert_non_null(getcwd(old, sizeof(old)));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(keeper_program("./program", path, sizeof(path)), 0);
	assert_string_equal(path, link);
	assert_int_equal(chdir(old), 0);
	assert_int_equal(keeper_program("sh", path, sizeof(path)), 0);
	snprintf(want, sizeof(want), "/sh");
	assert_string_equal(strrchr(path, '/'), want);
	assert_int_equal(path[0], '/');
	assert_int_equal(keeper_program("no-such-program-here", path, sizeof(path)), -ENOENT);
	assert_int_equal(keeper_program("/nonexistent/program", path, sizeof(path)), -ENOENT);
	assert_int_equal(keeper_program(link, path, 4), -ENAMETOOLONG);
}

static void
the_keeper_gets_all_arguments_and_the_programs_path(void **state)
{
	static const struct {
		const char *argv[8];
		int argc, eal_argc, app_at;
		const char *want[8];
	} cases[] = {
		{{"x", "-l", "0,1", "--", "--config", "c"}, 6, 3, 4,
			{"/k", "-l", "0,1", "--", "--config", "c", "--emu-program=/p"}},
		{{"x", "-l", "0,1"}, 3, 3, 3, {"/k", "-l", "0,1", "--", "--emu-program=/p"}},
		{{"x", "--config", "c"}, 3, 1, 1,
			{"/k", "--", "--config", "c", "--emu-program=/p"}},
		{{"x"}, 1, 1, 1, {"/k", "--", "--emu-program=/p"}},
		{{"x", "--"}, 2, 1, 2, {"/k", "--", "--emu-program=/p"}},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char **args = keeper_argv(cases[i].argc, (char **)(uintptr_t)cases[i].argv,
			cases[i].eal_argc, cases[i].app_at, "/k", "/p");
		int n = 0;

		assert_non_null(args);
		for (; cases[i].want[n] != NULL; n++)
			assert_string_equal(args[n], cases[i].want[n]);
		assert_null(args[n]);
		free(args[n - 1]);
		free(args);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
test_process(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_active_process_takes_the_usual_name_from_whoever_has_it),
		TEST(a_successors_socket_is_not_removed),
		TEST(a_name_that_is_taken_late_leaves_the_next_process_its_own),
		TEST(the_last_one_removes_the_names_of_dead_and_of_siblings),
		TEST(the_active_process_removes_the_names_of_dead_ones_alone),
		TEST(a_name_that_leads_to_another_process_is_not_ours),
		TEST(other_sockets_are_not_taken_for_telemetry),
		TEST(the_program_is_named_as_it_was_called),
		TEST(the_keeper_gets_all_arguments_and_the_programs_path),
	};

	return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(process, test_process)
