/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What clients are told on their command line. */

#include "options.h"

#include <err.h>
#include <stdlib.h>

void
load_options_init(struct load_options *o)
{
	*o = (struct load_options){
		.spec = {.mode = LOAD_TX, .seconds = 1}, .warmup = 0.2, .cpu = -1};
	load_size(&o->spec, "64");
}

static double
number(const char *text, const char *what, double lo, double hi)
{
	char *end;
	const double v = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !(v >= lo && v <= hi))
		errx(LOAD_STATUS_USAGE, "%s: '%s' is not in %g..%g", what, text, lo, hi);
	return v;
}

bool
load_option(struct load_options *o, int opt, const char *arg)
{
	switch (opt) {
	case LOAD_OPTION_MODE:
		if (load_mode(&o->spec, arg) != 0)
			errx(LOAD_STATUS_USAGE, "--mode: '%s' is not one of tx, rx, loop", arg);
		return true;
	case LOAD_OPTION_SIZE:
		if (load_size(&o->spec, arg) != 0)
			errx(LOAD_STATUS_USAGE, "--size: '%s' is not in %u..%u, nor imix", arg,
				LOAD_FRAME_MIN, LOAD_FRAME_MAX);
		return true;
	case LOAD_OPTION_RATE:
		o->spec.rate = number(arg, "--rate", 0, 1e9);
		return true;
	case LOAD_OPTION_TIME:
		o->spec.seconds = number(arg, "--time", 0.001, 3600);
		return true;
	case LOAD_OPTION_WARMUP:
		o->warmup = number(arg, "--warmup", 0, 3600);
		return true;
	case LOAD_OPTION_CPU:
		o->cpu = (int)number(arg, "--cpu", 0, 1023);
		return true;
	case LOAD_OPTION_COMMANDS:
		o->commands = true;
		return true;
	}
	return false;
}

void
load_options_run(const struct load_options *o, struct load *l)
{
	l->spec = o->spec;
	if (o->commands) {
		printf("ready\n");
		fflush(stdout);
		load_commands(l, stdin, stdout);
		return;
	}
	if (o->warmup > 0) {
		FILE *nowhere = fopen("/dev/null", "we");

		if (nowhere == NULL)
			err(EXIT_FAILURE, "/dev/null");
		l->spec.seconds = o->warmup;
		load_run(l, nowhere);
		fclose(nowhere);
		l->spec.seconds = o->spec.seconds;
	}
	load_run(l, stdout);
}
