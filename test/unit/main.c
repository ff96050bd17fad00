/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Runs the unit suites named on the command line, or lists them. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_debug.h>
#include <rte_eal.h>

#include "test.h"

static struct test_command *commands;

void
test_command_add(struct test_command *cmd)
{
	struct test_command **at = &commands;

	while (*at != NULL && strcmp((*at)->name, cmd->name) < 0)
		at = &(*at)->next;
	cmd->next = *at;
	*at = cmd;
}

static const struct test_command *
command_find(const char *name)
{
	for (const struct test_command *c = commands; c != NULL; c = c->next)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

/* No hugepages, devices or files: the suites run anywhere, several at a time. One worker lcore, on
 * the same CPU. */
static void
eal_start(char *self)
{
	char *argv[] = {self, (char *)"--no-huge", (char *)"--no-shconf", (char *)"--no-pci",
		(char *)"--no-telemetry", (char *)"-m", (char *)"128", (char *)"--iova-mode=va",
		(char *)"--lcores", (char *)"0@0,1@0", (char *)"--log-level=lib.eal:error"};

	if (rte_eal_init(RTE_DIM(argv), argv) < 0)
		rte_exit(EXIT_FAILURE, "EAL initialisation failed\n");
}

int
main(int argc, char **argv)
{
	int failed = 0;

	if (argc < 2) {
		for (const struct test_command *c = commands; c != NULL; c = c->next)
			printf("%s\n", c->name);
		return EXIT_SUCCESS;
	}
	for (int i = 1; i < argc; i++)
		if (command_find(argv[i]) == NULL) {
			fprintf(stderr, "%s: no such suite; run without arguments for the list\n",
				argv[i]);
			return 2;
		}
	eal_start(argv[0]);
	for (int i = 1; i < argc; i++)
		failed += command_find(argv[i])->fn();
	rte_eal_cleanup();
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
