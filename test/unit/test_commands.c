/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Parameters of commands: what telemetry's "key=value,..." becomes, and how the rest is refused. */

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "test.h"
#include "virtnet/cmd.h"
#include "virtnet/errors.h"

static struct request req;
static char err[256];

static int
parse(const char *command, const char *params)
{
	memset(&req, 0, sizeof(req));
	err[0] = '\0';
	for (unsigned int i = 0; i < cmd_table_len; i++)
		if (strcmp(cmd_table[i].name, command) == 0)
			req.cmd = &cmd_table[i];
	assert_non_null(req.cmd);
	return cmd_parse(&req, params, err, sizeof(err));
}

static void
numbers_may_be_decimal_or_hex(void **state)
{
	(void)state;
	assert_int_equal(parse("query", "pf=0x10,queue_id=3"), 0);
	assert_int_equal(request_arg(&req, "pf")->num, 16);
	assert_int_equal(request_arg(&req, "queue_id")->num, 3);
	assert_false(request_arg(&req, "vuid")->given);
}

static void
a_flag_of_zero_is_a_flag_not_given(void **state)
{
	(void)state;
	assert_int_equal(parse("query", "all=0x0,pf=0x0,brief=0x1,dbg_stats=0x0"), 0);
	assert_false(request_arg(&req, "all")->given);
	assert_true(request_arg(&req, "brief")->given);
	assert_false(request_arg(&req, "dbg_stats")->given);
}

static void
a_cursor_belongs_to_paged_commands_only(void **state)
{
	(void)state;
	assert_int_equal(parse("list", "at=0x30001"), 0);
	assert_int_equal(req.at, 0x30001);
	assert_int_equal(parse("log", "level=err,at=0"), -EINVAL);
}

static void
bad_parameters_are_named(void **state)
{
	static const char hotplug[] =
		"ib_device=mlx5_0,mac=00:11:22:33:44:55,mtu=1500,max_queue_size=256";
	static const struct {
		const char *command, *params, *words;
	} cases[] = {
		{"query", "", "one of all, pf, vuid is required"},
		{"query", NULL, "one of all, pf, vuid is required"},
		{"query", "pf=0,vuid=x", "only one of all, pf, vuid can be given"},
		{"query", "vuid=x,vf=0", "vf is given without pf"},
		{"query", "pf=zero", "pf: zero is not a number"},
		{"query", "pf=-1", "pf: -1 is not a number"},
		{"query", "pf=70000", "pf: 70000 is out of range (0..65535)"},
		{"query", "pf=99999999999999999999", "is not a number"},
		{"query", "pf=0,brief=2", "brief: 2 is neither 0 nor 1"},
		{"query", "pf=0,speed=5", "query has no parameter speed"},
		{"query", "pf", "pf: no value"},
		{"update", "", "one of start, status is required"},
		{"update", "start=0x1,status=0x1", "only one of start, status can be given"},
		{"unplug", "force=1", "one of id, vuid is required"},
		{"log", "level=loud", "level: loud is none of: info, err, debug"},
		{"hotplug", hotplug, "one of max_queues, max_queue_pairs is required"},
		{"hotplug", "mac=x", "ib_device is required"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].command, cases[i].params), -EINVAL);
		if (strstr(err, cases[i].words) == NULL)
			fail_msg("%s %s: no \"%s\" in \"%s\"", cases[i].command, cases[i].params,
				cases[i].words, err);
	}
}

static void
a_value_longer_than_any_is_refused(void **state)
{
	char params[1024] = "vuid=";

	(void)state;
	memset(params + 5, 'x', 600);
	assert_int_equal(parse("unplug", params), -EINVAL);
	assert_non_null(strstr(err, "vuid: longer than"));
}

static void
every_parameter_of_the_table_fits_a_request(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < cmd_table_len; i++) {
		unsigned int n = 0;

		while (cmd_table[i].params[n].key != NULL)
			n++;
		assert_true(n <= REQUEST_MAX_PARAMS);
		assert_string_equal(strrchr(cmd_table[i].endpoint, '/') + 1, cmd_table[i].name);
	}
}

static void
errors_have_the_contracts_sentences(void **state)
{
	(void)state;
	assert_string_equal(vn_strerror(0), "Success");
	assert_string_equal(vn_strerror(-1065),
		"Error - Device is not ready to be unplugged please check host and retry");
	assert_string_equal(vn_strerror(-1041), "Failed - Device is migrating");
	assert_string_equal(vn_strerror(-EINVAL), "Invalid argument");
}

static int
test_commands(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_may_be_decimal_or_hex),
		cmocka_unit_test(a_flag_of_zero_is_a_flag_not_given),
		cmocka_unit_test(a_cursor_belongs_to_paged_commands_only),
		cmocka_unit_test(bad_parameters_are_named),
		cmocka_unit_test(a_value_longer_than_any_is_refused),
		cmocka_unit_test(every_parameter_of_the_table_fits_a_request),
		cmocka_unit_test(errors_have_the_contracts_sentences),
	};

	return cmocka_run_group_tests_name("commands", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(commands, test_commands)
