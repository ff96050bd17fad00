/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef PERF_OPTIONS_H
#define PERF_OPTIONS_H

/**
 * @file
 * The part of a client's command line that describes its run; the same for all clients.
 */

#include <getopt.h>
#include <stdbool.h>

#include "load.h"

#define LOAD_STATUS_USAGE 2

struct load_options {
	struct load_spec spec;
	double warmup;
	int cpu;       /**< -1: any */
	bool commands; /**< runs come from standard input */
};

/** Values of the clients' own options begin at 256. */
enum {
	LOAD_OPTION_MODE = 8192,
	LOAD_OPTION_SIZE,
	LOAD_OPTION_RATE,
	LOAD_OPTION_TIME,
	LOAD_OPTION_WARMUP,
	LOAD_OPTION_CPU,
	LOAD_OPTION_COMMANDS,
};

/* clang-format off */
#define LOAD_OPTIONS \
	{"mode", required_argument, NULL, LOAD_OPTION_MODE}, \
	{"size", required_argument, NULL, LOAD_OPTION_SIZE}, \
	{"rate", required_argument, NULL, LOAD_OPTION_RATE}, \
	{"time", required_argument, NULL, LOAD_OPTION_TIME}, \
	{"warmup", required_argument, NULL, LOAD_OPTION_WARMUP}, \
	{"cpu", required_argument, NULL, LOAD_OPTION_CPU}, \
	{"commands", no_argument, NULL, LOAD_OPTION_COMMANDS}

#define LOAD_OPTIONS_USAGE \
	"  --mode MODE       tx: send; rx: receive; loop: send and await what comes back (tx)\n" \
	"  --size N          bytes of a frame without its checksum, 60..1518, or imix (64)\n" \
	"  --rate N          frames a second; 0: as many as go (0)\n" \
	"  --time SECONDS    measured (1)\n" \
	"  --warmup SECONDS  before that (0.2)\n" \
	"  --cpu N           run on this CPU\n" \
	"  --commands        take runs from standard input: run MODE SIZE SECONDS [RATE]\n"
/* clang-format on */

void load_options_init(struct load_options *o);
/** Take an option, if it is one of these; a bad value ends the program. @return it is */
bool load_option(struct load_options *o, int opt, const char *arg);

/** Do what the options say; results go to standard output. */
void load_options_run(const struct load_options *o, struct load *l);

#endif /* PERF_OPTIONS_H */
