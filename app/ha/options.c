/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Options of the keeper's own, among those of dpdk-virtnet. */

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

#define EMU_PROGRAM	   "dpdk-virtnet"
#define EMU_PROGRAM_OPTION "--emu-program"
#define LOG_LEVEL_OPTION   "--log-level"
#define LOG_TYPE	   "keeper:"

/* An hour: longer than any loop that ends. */
#define WATCHDOG_MAX_MS 3600000u

/* What may stand after "--": getopt must know which options have an argument. */
static const struct option after_eal[] = {
	{"config", required_argument, NULL, 'c'},
	{"no-ha", no_argument, NULL, 'i'},
	{"no-standby", no_argument, NULL, 's'},
	{"watchdog", required_argument, NULL, 'w'},
	{"fdstore", no_argument, NULL, 'f'},
	{0},
};

static int
watchdog_parse(const char *text, unsigned int *ms)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	v = strtoul(text, &end, 10);
	if (*end != '\0' || v > WATCHDOG_MAX_MS)
		return -EINVAL;
	*ms = (unsigned int)v;
	return 0;
}

/* argv: a copy, since getopt permutes. */
static int
after_eal_parse(int argc, char **argv, struct ha_options *opts)
{
	int opt, ret = 0;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "", after_eal, NULL)) != -1) {
		switch (opt) {
		case 's':
			opts->keeper.standby = false;
			break;
		case 'f':
			opts->fdstore = true;
			break;
		case 'w':
			if (watchdog_parse(optarg, &opts->keeper.watchdog_ms) < 0)
				ret = -EINVAL;
			break;
		default:
			break;
		}
	}
	return ret;
}

/* dpdk-virtnet takes its options without "--" in front if the first argument is one of them. */
static bool
is_ours(const char *arg)
{
	for (const struct option *o = after_eal; o->name != NULL; o++) {
		const size_t len = strlen(o->name);

		if (strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, o->name, len) == 0 &&
			(arg[2 + len] == '\0' || arg[2 + len] == '='))
			return true;
	}
	return false;
}

/* Absolute, links as they are: after an update the new file is found at the same place. */
static int
program_find(const char *given, char **out)
{
	char self[PATH_MAX];
	ssize_t len;
	char *slash;

	if (given != NULL && *given == '/') {
		*out = strdup(given);
		return *out == NULL ? -ENOMEM : 0;
	}
	if (given != NULL) {
		if (getcwd(self, sizeof(self)) == NULL)
			return -errno;
		return asprintf(out, "%s/%s", self, given) < 0 ? -ENOMEM : 0;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return -errno;
	self[len] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL || asprintf(out, "%.*s/%s", (int)(slash - self), self, EMU_PROGRAM) < 0)
		return -ENOMEM;
	return 0;
}

/* All arguments but --emu-program, which is noted. @return number; -ENOMEM */
static int
args_copy(int argc, char **argv, char **out, const char **program)
{
	const size_t len = strlen(EMU_PROGRAM_OPTION);
	int n = 1;

	*program = NULL;
	for (int i = 1; i < argc; i++) {
		if (*program != NULL || strncmp(argv[i], EMU_PROGRAM_OPTION, len) != 0)
			out[n++] = argv[i];
		else if (argv[i][len] == '=')
			*program = argv[i] + len + 1;
		else if (argv[i][len] == '\0' && i + 1 < argc)
			*program = argv[++i];
		else
			out[n++] = argv[i];
	}
	return n;
}

static int
split_find(int argc, char *const *argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return argc;
}

/*
 * --log-level=keeper:LEVEL, or in two words: the keeper is one more of EAL's log types. The last
 * one counts; EAL complains about a level that is none.
 */
static const char *
log_level_find(int eal_argc, char *const *argv)
{
	const size_t len = strlen(LOG_LEVEL_OPTION), own = strlen(LOG_TYPE);
	const char *found = NULL;

	for (int i = 1; i < eal_argc; i++) {
		const char *value = NULL;

		if (strncmp(argv[i], LOG_LEVEL_OPTION, len) != 0)
			continue;
		if (argv[i][len] == '=')
			value = argv[i] + len + 1;
		else if (argv[i][len] == '\0' && i + 1 < eal_argc)
			value = argv[++i];
		if (value != NULL && strncmp(value, LOG_TYPE, own) == 0)
			found = value + own;
	}
	return found;
}

/* Options can be appended to the result. */
static int
args_parse(struct ha_options *opts, int n)
{
	static char separator[] = "--";
	char **copy;
	int at, ret;

	at = split_find(n, opts->argv);
	opts->log_level = log_level_find(at, opts->argv);
	if (at == n) {
		/* Without one, all are ours or all are EAL's. */
		at = n > 1 && is_ours(opts->argv[1]) ? 0 : n;
		if (at == n)
			opts->argv[n++] = separator;
	}
	copy = calloc((size_t)(n - at) + 1, sizeof(*copy));
	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, opts->argv + at, (size_t)(n - at) * sizeof(*copy));
	ret = after_eal_parse(n - at, copy, opts);
	free(copy);
	return ret;
}

int
options_parse(int argc, char **argv, struct ha_options *opts)
{
	const char *given;
	int n, ret;

	*opts = (struct ha_options){0};
	opts->keeper.standby = true;
	opts->keeper.watchdog_ms = KEEPER_WATCHDOG_MS;
	opts->keeper.fault = getenv("VIRTNET_FAULT");
	opts->keeper.fault_standby = getenv("VIRTNET_FAULT_STANDBY");
	opts->keeper.fault_successor = getenv("VIRTNET_FAULT_SUCCESSOR");
	opts->argv = calloc((size_t)argc + 2, sizeof(*opts->argv));
	if (opts->argv == NULL)
		return -ENOMEM;
	n = args_copy(argc, argv, opts->argv, &given);
	ret = program_find(given, &opts->program);
	if (ret == 0) {
		opts->argv[0] = opts->program;
		ret = args_parse(opts, n);
	}
	opts->keeper.argv = opts->argv;
	if (ret < 0)
		options_free(opts);
	return ret;
}

void
options_free(struct ha_options *opts)
{
	free(opts->program);
	free(opts->argv);
	opts->program = NULL;
	opts->argv = NULL;
}
