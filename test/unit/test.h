/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_TEST_H
#define TEST_UNIT_TEST_H

/**
 * @file
 * Self-registering unit suites, in the manner of dpdk-test: `dpdk-virtnet-test [EAL arguments --]
 * <name>...`.
 *
 * A suite is a cmocka group behind a function; each of its tests states one behaviour in its name.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct test_command {
	const char *name;
	int (*fn)(void); /**< @return number of failed tests */
	struct test_command *next;
};

void test_command_add(struct test_command *cmd);

#define REGISTER_TEST_COMMAND(suite, func)                                                         \
	static struct test_command test_command_##suite = {.name = #suite, .fn = func};            \
	__attribute__((constructor)) static void test_register_##suite(void)                       \
	{                                                                                          \
		test_command_add(&test_command_##suite);                                           \
	}

#endif /* TEST_UNIT_TEST_H */
