/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* dpdk-virtnet: command line, EAL, run. */

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_common.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "cmd.h"
#include "controller.h"
#include "fence.h"
#include "ha/msg.h"
#include "keeper_exec.h"
#include "keeper_link.h"
#include "log.h"
#include "request.h"

#define DEFAULT_FILE_PREFIX "virtnet"
#define CONFIG_ERR_LEN	    4096

enum action {
	ACTION_RUN,
	ACTION_EXIT_OK,
	ACTION_EXIT_ERROR,
};

struct options {
	const char *config;
	bool no_ha;
	bool convert;
	int keeper_socket, keeper_fence; /* -1: not given */
};

/* Long options without a letter. */
enum long_opt {
	OPT_KEEPERS = 256, /* checked and used by the keeper */
	OPT_WATCHDOG,
	OPT_KEEPER_SOCKET,
	OPT_KEEPER_FENCE,
	OPT_CONVERT,
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"validate", required_argument, NULL, 'V'},
	{"schema", no_argument, NULL, 's'},
	{"version", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"no-ha", no_argument, NULL, 'n'},
	{"no-standby", no_argument, NULL, OPT_KEEPERS},
	{"fdstore", no_argument, NULL, OPT_KEEPERS},
	{"watchdog", required_argument, NULL, OPT_WATCHDOG},
	{KEEPER_OPT_PROGRAM, required_argument, NULL, OPT_KEEPERS},
	{HA_OPT_SOCKET, required_argument, NULL, OPT_KEEPER_SOCKET},
	{HA_OPT_FENCE, required_argument, NULL, OPT_KEEPER_FENCE},
	{HA_OPT_CONVERT, no_argument, NULL, OPT_CONVERT},
	{0},
};

static void
usage(const char *self)
{
	printf("Usage: %s [EAL options] -- [--config FILE] [--no-ha | --no-standby] "
	       "[--watchdog MS]\n"
	       "       %s --validate FILE | --schema | --version | --help\n"
	       "\n"
	       "virtio-net device controller.\n"
	       "\n"
	       "  --config FILE    settings; default " CONFIG_DEFAULT_PATH ", if there is one\n"
	       "  --no-ha          one process: nothing survives its end, no restart, no update\n"
	       "  --no-standby     keep no second process ready; after a crash one is started\n"
	       "  --watchdog MS    a thread that gets nowhere for so long has hung; default 1000, "
	       "0: never\n"
	       "  --fdstore        the service manager keeps descriptors though it does not say "
	       "so\n"
	       "  --validate FILE  check a settings file\n"
	       "  --schema         print the commands, their options and replies as JSON\n"
	       "  --version        print the version\n"
	       "\n"
	       "Of EAL's options --log-level=keeper:LEVEL is the keeper's, too: error, info, "
	       "debug.\n"
	       "EAL needs two lcores or more: the first controls, the others move packets. Without "
	       "hugepages:\n"
	       "  %s -l 0,1 --no-huge -m 512 --no-pci --iova-mode=va -- --config virtnet.conf\n"
	       "See dpdk-virtnet(8) and virtnet(1).\n",
		self, self, self);
}

static enum action
validate(const char *path)
{
	static struct config cfg;
	static char err[CONFIG_ERR_LEN];

	if (config_load(&cfg, path, err, sizeof(err)) < 0) {
		printf("%s\n", err);
		return ACTION_EXIT_ERROR;
	}
	printf("%s is valid\n", path);
	return ACTION_EXIT_OK;
}

/* A number from 0 on. */
static bool
parse_int(const char *self, const char *option, const char *text, int *value)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || n < 0 || n > INT_MAX) {
		fprintf(stderr, "%s: --%s: %s is not a number from 0 on\n", self, option, text);
		return false;
	}
	*value = (int)n;
	return true;
}

static enum action
parse_options(int argc, char **argv, struct options *opts)
{
	int opt, ms;
	bool ok = true;

	optind = 1;
	while (ok && (opt = getopt_long(argc, argv, "hv", long_options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			opts->config = optarg;
			break;
		case 'n':
			opts->no_ha = true;
			break;
		case OPT_KEEPERS:
			break;
		case OPT_WATCHDOG:
			ok = parse_int(argv[0], "watchdog", optarg, &ms);
			break;
		case OPT_KEEPER_SOCKET:
			ok = parse_int(argv[0], HA_OPT_SOCKET, optarg, &opts->keeper_socket);
			break;
		case OPT_KEEPER_FENCE:
			ok = parse_int(argv[0], HA_OPT_FENCE, optarg, &opts->keeper_fence);
			break;
		case OPT_CONVERT:
			opts->convert = true;
			break;
		case 'V':
			return validate(optarg);
		case 's':
			cmd_print_schema(stdout);
			return ACTION_EXIT_OK;
		case 'v':
			printf("v%s\n", VIRTNET_VERSION);
			return ACTION_EXIT_OK;
		case 'h':
			usage(argv[0]);
			return ACTION_EXIT_OK;
		default:
			return ACTION_EXIT_ERROR;
		}
	}
	if (ok && optind < argc) {
		fprintf(stderr, "%s: %s is no option; see --help\n", argv[0], argv[optind]);
		return ACTION_EXIT_ERROR;
	}
	return ok ? ACTION_RUN : ACTION_EXIT_ERROR;
}

/* Position of "--", or argc. */
static int
end_of_eal(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return argc;
}

static bool
has_option(int argc, char **argv, const char *name)
{
	const size_t len = strlen(name);

	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], name, len) == 0 &&
			(argv[i][len] == '\0' || argv[i][len] == '='))
			return true;
	return false;
}

static bool
is_ours(const char *arg)
{
	for (const struct option *o = long_options; o->name != NULL; o++) {
		const size_t len = strlen(o->name);

		if (strncmp(arg, "--", 2) == 0 && strncmp(arg + 2, o->name, len) == 0 &&
			(arg[2 + len] == '\0' || arg[2 + len] == '='))
			return true;
	}
	return strcmp(arg, "-h") == 0 || strcmp(arg, "-v") == 0;
}

/*
 * EAL with our defaults: one file prefix, so that virtnet finds the telemetry socket; no shared
 * configuration and no hugepage files, so that a successor can start beside us.
 */
static int
start_eal(int argc, char **argv)
{
	static char **eal; /* EAL keeps pointers into its arguments */
	int n = 0;
	int ret;

	eal = calloc((size_t)argc + 4, sizeof(*eal));
	if (eal == NULL)
		return -ENOMEM;
	for (int i = 0; i < argc; i++)
		eal[n++] = argv[i];
	if (!has_option(argc, argv, "--file-prefix"))
		eal[n++] = (char *)(uintptr_t) "--file-prefix=" DEFAULT_FILE_PREFIX;
	if (!has_option(argc, argv, "--in-memory") && !has_option(argc, argv, "--no-shconf"))
		eal[n++] = (char *)(uintptr_t)(has_option(argc, argv, "--no-huge") ? "--no-shconf"
										   : "--in-memory");
	ret = rte_eal_init(n, eal);
	return ret < 0 ? -rte_errno : 0;
}

/* A device takes some 25 descriptors with four queue pairs; the usual soft limit is for small
 * programs. */
static void
raise_fd_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

static int
load_config(struct config *cfg, const struct options *opts)
{
	static char err[CONFIG_ERR_LEN];
	const char *path = opts->config;

	if (path == NULL && access(CONFIG_DEFAULT_PATH, F_OK) == 0)
		path = CONFIG_DEFAULT_PATH;
	if (config_load(cfg, path, err, sizeof(err)) == 0)
		return 0;
	for (char *line = strtok(err, "\n"); line != NULL; line = strtok(NULL, "\n"))
		log_err("%s", line);
	return -EINVAL;
}

/* EAL, then serve until the end. @return 0; < 0 if it could not be started */
static int
run(int eal_argc, char **argv, const struct options *opts)
{
	static struct controller controller;
	uint64_t began;
	int ret;

	if (load_config(&controller.cfg, opts) < 0)
		return -EINVAL;
	raise_fd_limit();
	ret = opts->keeper_fence >= 0 ? fence_attach(opts->keeper_fence) : 0;
	if (ret < 0) {
		log_err("--" HA_OPT_FENCE ": %s", strerror(-ret));
		return ret;
	}
	ret = request_register();
	if (ret < 0) {
		log_err("commands: %s", strerror(-ret));
		return ret;
	}
	began = controller_clock_us();
	ret = start_eal(eal_argc, argv);
	if (ret < 0) {
		log_err("EAL cannot start: %s%s", strerror(-ret),
			has_option(eal_argc, argv, "--no-huge")
				? ""
				: "; without hugepages: --no-huge --iova-mode=va -m 512");
		return ret;
	}
	controller.eal_us = (uint32_t)(controller_clock_us() - began);
	ret = controller_init(&controller, opts->keeper_socket);
	if (ret == 0)
		controller_run(&controller);
	controller_fini(&controller);
	rte_eal_cleanup();
	log_info("stopped");
	return ret;
}

/* Under a keeper, but for the two kinds of process that have none. @return an exit status */
static int
become_keeper(int argc, char **argv, int eal_argc, int app_at)
{
	const int ret = keeper_exec(argc, argv, eal_argc, app_at);

	if (ret == -ENOENT)
		log_err("no dpdk-virtnet-keeper beside this program or in PATH; --no-ha runs "
			"without it");
	else
		log_err("dpdk-virtnet-keeper: %s; --no-ha runs without it", strerror(-ret));
	return EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	const int split = end_of_eal(argc, argv);
	/* Without "--", arguments are ours if the first one is: --help, --version and so on need no
	 * EAL, and options of ours leave nothing for EAL. */
	const bool all_ours = split == argc && argc > 1 && is_ours(argv[1]);
	const int eal_argc = all_ours ? 1 : split;
	const int app_at = all_ours ? 1 : RTE_MIN(split + 1, argc);
	struct options opts = {.keeper_socket = -1, .keeper_fence = -1};
	enum action action = ACTION_RUN;
	int ret;

	if (app_at < argc || split < argc) {
		char *const at = argv[app_at - 1];

		argv[app_at - 1] = argv[0];
		action = parse_options(argc - app_at + 1, argv + app_at - 1, &opts);
		argv[app_at - 1] = at;
	}
	if (action != ACTION_RUN)
		return action == ACTION_EXIT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
	log_init();
	if (opts.convert && opts.keeper_socket >= 0)
		_exit(keeper_convert(opts.keeper_socket, opts.keeper_fence) == 0 ? EXIT_SUCCESS
										 : EXIT_FAILURE);
	if (!opts.no_ha && opts.keeper_socket < 0)
		return become_keeper(argc, argv, eal_argc, app_at);
	ret = run(eal_argc, argv, &opts);
	/* EAL's exit handler would remove a telemetry socket that may be another process's. */
	if (opts.keeper_socket >= 0) {
		fflush(NULL);
		_exit(ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
