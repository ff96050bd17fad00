/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The keeper's options among those of dpdk-virtnet. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ha/klog.h"
#include "ha/options.h"

#include "test.h"

#define ARGS_MAX 12u

static int
parse(const char *const *args, struct ha_options *opts)
{
	char *argv[ARGS_MAX] = {(char *)"keeper"};
	int argc = 1;

	while (args[argc - 1] != NULL) {
		argv[argc] = (char *)(uintptr_t)args[argc - 1];
		argc++;
	}
	return options_parse(argc, argv, opts);
}

static void
everything_is_handed_on_but_the_path_of_the_program(void **state)
{
	static const struct {
		const char *args[ARGS_MAX], *handed_on[ARGS_MAX];
	} cases[] = {
		{{"--emu-program=/e", "-l", "0,1", "--", "--config", "f"},
			{"/e", "-l", "0,1", "--", "--config", "f"}},
		{{"-l", "0,1", "--", "--no-standby", "--emu-program", "/e"},
			{"/e", "-l", "0,1", "--", "--no-standby"}},
		/* Options can be appended: what there is is EAL's, or ours. */
		{{"--emu-program=/e", "-l", "0,1"}, {"/e", "-l", "0,1", "--"}},
		{{"--emu-program=/e"}, {"/e", "--"}},
		{{"--emu-program=/e", "--config=f"}, {"/e", "--config=f"}},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ha_options opts;

		assert_int_equal(parse(cases[i].args, &opts), 0);
		for (unsigned int n = 0; cases[i].handed_on[n] != NULL; n++)
			assert_string_equal(opts.keeper.argv[n], cases[i].handed_on[n]);
		for (unsigned int n = 0; opts.keeper.argv[n] != NULL; n++)
			assert_non_null(cases[i].handed_on[n]);
		options_free(&opts);
	}
}

static void
options_are_heeded_behind_the_separator_only(void **state)
{
	static const struct {
		const char *args[ARGS_MAX];
		bool standby, fdstore;
		unsigned int watchdog_ms;
	} cases[] = {
		{{"-l", "0"}, true, false, KEEPER_WATCHDOG_MS},
		{{"-l", "0", "--", "--no-standby", "--fdstore"}, false, true, KEEPER_WATCHDOG_MS},
		{{"--", "--watchdog=50"}, true, false, 50},
		{{"--", "--config", "f", "--watchdog", "0"}, true, false, 0},
		{{"--watchdog", "7", "--no-standby"}, false, false, 7},
		/* The name of a file. */
		{{"--", "--config", "--no-standby"}, true, false, KEEPER_WATCHDOG_MS},
		/* EAL's to complain about. */
		{{"-l", "--no-standby"}, true, false, KEEPER_WATCHDOG_MS},
		/* The emu process's to complain about. */
		{{"--", "--what", "--no-standby", "-x", "more"}, false, false, KEEPER_WATCHDOG_MS},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ha_options opts;

		assert_int_equal(parse(cases[i].args, &opts), 0);
		assert_int_equal(opts.keeper.standby, cases[i].standby);
		assert_int_equal(opts.fdstore, cases[i].fdstore);
		assert_int_equal(opts.keeper.watchdog_ms, cases[i].watchdog_ms);
		options_free(&opts);
	}
}

static void
a_watchdog_time_that_is_none_is_refused(void **state)
{
	static const char *const values[] = {
		"", "x", "5s", "-1", "3600001", "99999999999999999999"};

	for (unsigned int i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const char *const args[] = {"--", "--watchdog", values[i], NULL};
		struct ha_options opts;

		assert_int_equal(parse(args, &opts), -EINVAL);
	}
}

static void
the_keeper_is_one_of_the_log_types(void **state)
{
	static const struct {
		const char *args[ARGS_MAX], *level;
	} cases[] = {
		{{"-l", "0", "--log-level=keeper:debug", "--"}, "debug"},
		{{"--log-level", "keeper:error", "-l", "0"}, "error"},
		{{"--log-level=keeper:error", "--log-level=keeper:7", "--"}, "7"},
		{{"--log-level=debug", "--log-level=lib.eal:8", "--"}, NULL},
		{{"--log-level"}, NULL},
		{{"--log-levels=keeper:debug"}, NULL},
		{{"--", "--log-level=keeper:debug"}, NULL},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ha_options opts;

		assert_int_equal(parse(cases[i].args, &opts), 0);
		if (cases[i].level != NULL)
			assert_string_equal(opts.log_level, cases[i].level);
		else
			assert_null(opts.log_level);
		options_free(&opts);
	}
}

static void
levels_have_eals_names_and_numbers(void **state)
{
	static const struct {
		const char *name;
		int ret;
	} cases[] = {{"emergency", 0}, {"error", 0}, {"warning", 0}, {"notice", 0}, {"debug", 0},
		{"1", 0}, {"8", 0}, {"info", 0}, {"", -EINVAL}, {"0", -EINVAL}, {"9", -EINVAL},
		{"DEBUG", -EINVAL}, {"debug ", -EINVAL}};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(klog_set_level_named(cases[i].name), cases[i].ret);
	klog_set_level(KLOG_INFO);
}

static void
the_program_is_beside_the_keeper_or_where_it_is_said_to_be(void **state)
{
	static const char *const none[] = {NULL};
	static const char *const relative[] = {"--emu-program=bin/emu", NULL};
	struct ha_options opts;
	const char *name;

	assert_int_equal(parse(none, &opts), 0);
	name = strrchr(opts.keeper.argv[0], '/');
	assert_string_equal(name, "/dpdk-virtnet");
	assert_int_equal(opts.keeper.argv[0][0], '/');
	options_free(&opts);
	assert_int_equal(parse(relative, &opts), 0);
	assert_int_equal(opts.keeper.argv[0][0], '/');
	assert_non_null(strstr(opts.keeper.argv[0], "/bin/emu"));
	options_free(&opts);
}

static int
test_keeper_options(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_handed_on_but_the_path_of_the_program),
		cmocka_unit_test(options_are_heeded_behind_the_separator_only),
		cmocka_unit_test(a_watchdog_time_that_is_none_is_refused),
		cmocka_unit_test(the_keeper_is_one_of_the_log_types),
		cmocka_unit_test(levels_have_eals_names_and_numbers),
		cmocka_unit_test(the_program_is_beside_the_keeper_or_where_it_is_said_to_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_options, test_keeper_options)
