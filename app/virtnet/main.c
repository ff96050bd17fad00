/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* dpdk-virtnet: command line, EAL, run. */

#include <errno.h>
#include <getopt.h>
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
#include "log.h"

#define DEFAULT_FILE_PREFIX "virtnet"
#define CONFIG_ERR_LEN	    4096

enum action {
	ACTION_RUN,
	ACTION_EXIT_OK,
	ACTION_EXIT_ERROR,
};

struct options {
	const char *config;
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, 'c'},
	{"validate", required_argument, NULL, 'V'},
	{"schema", no_argument, NULL, 's'},
	{"version", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{"no-ha", no_argument, NULL, 'n'},
	{0},
};

static void
usage(const char *self)
{
	printf("Usage: %s [EAL options] -- [--config FILE] [--no-ha]\n"
	       "       %s --validate FILE | --schema | --version | --help\n"
	       "\n"
	       "virtio-net device controller.\n"
	       "\n"
	       "  --config FILE    settings; default " CONFIG_DEFAULT_PATH ", if there is one\n"
	       "  --no-ha          one process, without a keeper (the only mode of this release)\n"
	       "  --validate FILE  check a settings file\n"
	       "  --schema         print the commands, their options and replies as JSON\n"
	       "  --version        print the version\n"
	       "\n"
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

static enum action
parse_options(int argc, char **argv, struct options *opts)
{
	int opt;

	optind = 1;
	while ((opt = getopt_long(argc, argv, "hv", long_options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			opts->config = optarg;
			break;
		case 'n':
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
	if (optind < argc) {
		fprintf(stderr, "%s: %s is no option; see --help\n", argv[0], argv[optind]);
		return ACTION_EXIT_ERROR;
	}
	return ACTION_RUN;
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
 * configuration, so that a successor can start beside us.
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
		eal[n++] = (char *)(uintptr_t) "--no-shconf";
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

int
main(int argc, char **argv)
{
	static struct controller controller;
	const int split = end_of_eal(argc, argv);
	/* Options of ours without "--" before them leave nothing for EAL. */
	const int eal_argc = split == argc && argc > 1 && is_ours(argv[1]) ? 1 : split;
	struct options opts = {0};
	enum action action;
	int ret;

	/* Without "--", arguments are ours if the first one is: --help, --version and so on need no
	 * EAL. */
	if (split < argc) {
		argv[split] = argv[0];
		action = parse_options(argc - split, argv + split, &opts);
	} else {
		action = argc > 1 && is_ours(argv[1]) ? parse_options(argc, argv, &opts)
						      : ACTION_RUN;
	}
	if (action != ACTION_RUN)
		return action == ACTION_EXIT_OK ? EXIT_SUCCESS : EXIT_FAILURE;
	log_init();
	if (load_config(&controller.cfg, &opts) < 0)
		return EXIT_FAILURE;
	raise_fd_limit();
	ret = start_eal(eal_argc, argv);
	if (ret < 0) {
		log_err("EAL cannot start: %s%s", strerror(-ret),
			has_option(eal_argc, argv, "--no-huge")
				? ""
				: "; without hugepages: --no-huge --iova-mode=va -m 512");
		return EXIT_FAILURE;
	}
	ret = controller_init(&controller);
	if (ret == 0)
		controller_run(&controller);
	controller_fini(&controller);
	rte_eal_cleanup();
	log_info("stopped");
	return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
