/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* dpdk-virtnet-keeper: command line and run. */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "keeper.h"
#include "klog.h"
#include "options.h"
#include "sd.h"

static void
usage(const char *self)
{
	printf("Usage: %s [--emu-program PATH] [arguments of dpdk-virtnet]\n"
	       "\n"
	       "Starts dpdk-virtnet and keeps its devices while it crashes, restarts or is "
	       "updated.\n"
	       "dpdk-virtnet starts it by itself, unless it is given --no-ha.\n"
	       "\n"
	       "  --emu-program PATH  dpdk-virtnet; default: beside this program\n"
	       "\n"
	       "Of the options after \"--\", which are dpdk-virtnet's, it heeds these:\n"
	       "\n"
	       "  --no-standby        no second process that waits to go on after a crash; "
	       "recovery\n"
	       "                      then takes as long as a start\n"
	       "  --watchdog MS       kill a process with a thread that has been in a loop for so\n"
	       "                      long; default %u, 0: never\n"
	       "  --fdstore           the service manager keeps descriptors "
	       "(FileDescriptorStoreMax=)\n"
	       "                      though it does not say so: systemd before 254\n"
	       "\n"
	       "and of EAL's:\n"
	       "\n"
	       "  --log-level keeper:LEVEL  its own log lines: error, info (default) or debug\n"
	       "\n"
	       "SIGTERM, SIGINT: stop; a second one: at once.\n"
	       "See dpdk-virtnet(8).\n",
		self, KEEPER_WATCHDOG_MS);
}

/* Some 30 descriptors for each device; the usual soft limit is for small programs. */
static void
raise_fd_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
			klog_err("RLIMIT_NOFILE: %s", strerror(errno));
	}
}

int
main(int argc, char **argv)
{
	struct ha_options opts;
	int ret, status;

	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
		usage(argv[0]);
		return EXIT_SUCCESS;
	}
	ret = options_parse(argc, argv, &opts);
	if (ret < 0) {
		fprintf(stderr, "%s: %s\n", argv[0],
			ret == -EINVAL ? "--watchdog takes milliseconds; see --help"
				       : strerror(-ret));
		return EXIT_FAILURE;
	}
	if (opts.log_level != NULL && klog_set_level_named(opts.log_level) < 0)
		klog_err("--log-level: %s is no level", opts.log_level);
	sd_init();
	if (opts.fdstore)
		sd_assume_keeps();
	raise_fd_limit();
	status = keeper_run(&opts.keeper);
	options_free(&opts);
	return status;
}
