/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* virtnet-fault: traffic through vfio-user network devices that are being disturbed, and what
 * became of every single frame. */

#include "run.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_net.h>

#include <rte_common.h>

#include "net_driver/options.h"

#define BIT(n)		  (UINT64_C(1) << (n))
#define EVENTS		  64
#define DEVICES_MAX	  256u /* a byte of the frame */
#define VIOLATIONS_SHOWN  200u
#define STALL_CHECK_NS	  (10 * NS_PER_MS)
#define WARM_UP_NS	  (15 * NS_PER_S)
#define STATUS_VIOLATION  1
#define STATUS_USAGE	  NET_OPTION_STATUS
#define QUEUE_SIZE	  256u
#define STATUS_DISCONNECT 3

int64_t
run_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

uint32_t
run_stamp(const struct run *run, int64_t now_ns)
{
	return (uint32_t)((now_ns - run->start_ns) / 1000);
}

void
run_watch(struct run *run, int fd, struct source *source)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = source};

	if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
		err(EXIT_FAILURE, "epoll");
}

void
run_violation(struct run *run, const struct device *dev, const char *fmt, ...)
{
	char text[256];
	va_list args;

	if ((dev != NULL && dev->poisoned) || run->violations++ >= VIOLATIONS_SHOWN)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	printf("{\"violation\": \"%s\", \"device\": %d, \"event\": %ld, \"at_ms\": %lld}\n", text,
		dev != NULL ? (int)dev->index : -1, run->ev.id,
		(long long)((run_now() - run->start_ns) / NS_PER_MS));
	fflush(stdout);
}

/* ---- commands ---- */

static void
do_kill(struct run *run, long id, long allow_ms, int sig, pid_t pid)
{
	event_begin(run, id, allow_ms);
	if (kill(pid, sig) != 0)
		run_violation(run, NULL, "kill of %d: %s", pid, strerror(errno));
}

static void
command(struct run *run, const char *line)
{
	long id, ms, pid;
	unsigned int n;
	uint64_t addr;
	int sig;

	if (sscanf(line, "kill %ld %ld %d %ld", &id, &ms, &sig, &pid) == 4 && pid > 1) {
		do_kill(run, id, ms, sig, (pid_t)pid);
	} else if (sscanf(line, "mark %ld %ld", &id, &ms) == 2) {
		event_begin(run, id, ms);
		/* The orchestrator goes on when this is certain. */
		printf("{\"marked\": %ld}\n", id);
		fflush(stdout);
	} else if (sscanf(line, "settle %ld", &ms) == 1) {
		event_settle(run, ms);
	} else if (sscanf(line, "poison %u %" SCNx64, &n, &addr) == 2 && n < run->n) {
		device_poison(&run->dev[n], addr);
	} else if (sscanf(line, "exempt %u", &n) == 1 && n < run->n) {
		run->dev[n].poisoned = true;
	} else if (strcmp(line, "stop") == 0) {
		run->over = true;
	} else {
		errx(STATUS_USAGE, "unknown command: %s", line);
	}
}

static void
take_commands(struct run *run)
{
	static char buf[512];
	static size_t used;
	const ssize_t n = read(STDIN_FILENO, buf + used, sizeof(buf) - 1 - used);
	char *line = buf, *end;

	if (n <= 0) {
		run->over = true;
		return;
	}
	used += (size_t)n;
	buf[used] = '\0';
	while ((end = strchr(line, '\n')) != NULL) {
		*end = '\0';
		command(run, line);
		line = end + 1;
	}
	used = strlen(line);
	memmove(buf, line, used);
	if (used == sizeof(buf) - 1)
		errx(STATUS_USAGE, "a command is too long");
}

/* ---- the loop ---- */

static void
check_ready(struct run *run, int64_t now_ns)
{
	for (unsigned int i = 0; i < run->n; i++)
		if (!device_moves(&run->dev[i])) {
			if (now_ns - run->start_ns > WARM_UP_NS)
				errx(EXIT_FAILURE, "%s: no traffic", run->dev[i].wire.name);
			return;
		}
	for (unsigned int i = 0; i < run->n; i++)
		device_begin(&run->dev[i], now_ns);
	run->ready = true;
	printf("{\"ready\": {\"devices\": %u, \"pairs\": %u, \"features\": \"0x%" PRIx64 "\"}}\n",
		run->n, run->opt.net.pairs, run->dev[0].nd.features);
	fflush(stdout);
}

static void
tick(struct run *run)
{
	static int64_t last_check;
	const int64_t now = run_now();
	uint64_t expired;

	if (read(run->tick_fd, &expired, sizeof(expired)) < 0)
		return;
	for (unsigned int i = 0; i < run->n; i++) {
		device_tick(&run->dev[i], now);
		requests_tick(&run->dev[i], now);
	}
	event_poll(run, now);
	if (now - last_check < STALL_CHECK_NS)
		return;
	last_check = now;
	if (!run->ready) {
		check_ready(run, now);
		return;
	}
	for (unsigned int i = 0; i < run->n; i++)
		if (!run->dev[i].poisoned && !run->dev[i].gone)
			device_check_stall(&run->dev[i], now);
}

static void
process_client(struct run *run, struct device *dev)
{
	if (dev->gone || net_dev_process(&dev->nd) == 0)
		return;
	dev->gone = true;
	printf("{\"disconnected\": %u}\n", dev->index);
	fflush(stdout);
	if (!dev->poisoned)
		run->over = true;
}

static void
serve(struct run *run, const struct source *source)
{
	eventfd_t count;

	switch (source->type) {
	case SOURCE_TICK:
		tick(run);
		break;
	case SOURCE_COMMANDS:
		take_commands(run);
		break;
	case SOURCE_WIRE:
		device_wire(source->dev);
		break;
	case SOURCE_CLIENT:
		process_client(run, source->dev);
		break;
	case SOURCE_CONFIG_IRQ:
		(void)eventfd_read(source->dev->nd.config_irq_fd, &count);
		break;
	case SOURCE_QUEUE_IRQ:
		(void)eventfd_read(source->dev->nd.queue[source->queue].irq_fd, &count);
		device_queue(source->dev, source->queue);
		break;
	}
}

static void
loop(struct run *run)
{
	struct epoll_event ev[EVENTS];

	run->last_loop_ns = run_now();
	while (!run->over) {
		const int n = epoll_wait(run->epoll_fd, ev, EVENTS, -1);
		const int64_t now = run_now();

		run->ev.self_ns = RTE_MAX(run->ev.self_ns, now - run->last_loop_ns);
		run->last_loop_ns = now;
		for (int i = 0; i < n; i++)
			serve(run, ev[i].data.ptr);
		for (unsigned int i = 0; i < run->n; i++)
			if (!run->dev[i].gone && (net_dev_events(&run->dev[i].nd) & EPOLLOUT) != 0)
				process_client(run, &run->dev[i]);
	}
}

static void
loop_prepare(struct run *run)
{
	static struct source commands = {.type = SOURCE_COMMANDS}, ticks = {.type = SOURCE_TICK};
	const struct timespec period = {
		.tv_sec = run->opt.tick_us / 1000000, .tv_nsec = run->opt.tick_us % 1000000 * 1000};
	const struct sched_param first = {.sched_priority = 1};
	const struct itimerspec timer = {.it_interval = period, .it_value = period};

	/* 50 us of slack would be half of the resolution. */
	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	/* A host has CPUs of its own; here its pauses would be taken for the device's. */
	if (run->opt.realtime && sched_setscheduler(0, SCHED_FIFO, &first) != 0)
		err(EXIT_FAILURE, "real-time priority");
	run->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (run->tick_fd < 0 || timerfd_settime(run->tick_fd, 0, &timer, NULL) != 0)
		err(EXIT_FAILURE, "timer");
	run_watch(run, run->tick_fd, &ticks);
	run_watch(run, STDIN_FILENO, &commands);
}

/* ---- options ---- */

static void
usage(FILE *to)
{
	fprintf(to,
		"Usage: virtnet-fault [OPTION...] SOCKET=REPRESENTOR...\n"
		"\n"
		"Drives the network devices behind vfio-user sockets and the far sides of their\n"
		"representors (in the present network namespace), both ways, and follows every "
		"frame.\n"
		"\n"
		"  --pairs N        queue pairs of each device (1)\n"
		"  --rate N         frames a second, pair and direction (8000)\n"
		"  --tick US        time between looks at what is due (100)\n"
		"  --requests US    time between register accesses, 0: none (1000)\n"
		"  --memory MIB     memory that devices can reach (4096)\n"
		"  --populate       all of it is touched, not only what is used\n"
		"  --realtime       run ahead of all other processes\n"
		"\n" NET_OPTIONS_USAGE "\n"
		"Commands, one a line on standard input:\n"
		"  kill ID ALLOW_MS SIGNAL PID   an event begins with this signal to a process;\n"
		"                                nothing may move for that long\n"
		"  mark ID ALLOW_MS              an event begins that somebody else causes; "
		"answered\n"
		"  settle TIMEOUT_MS             it ends when all that is sent from now on "
		"arrives\n"
		"  poison DEVICE ADDRESS         add a TX descriptor with this address (hex); "
		"exempts it\n"
		"  exempt DEVICE                 what happens to it is no violation any more\n"
		"  stop                          (or end of file) print the summary and end\n"
		"\n"
		"Status: 0, 1 something happened that must not, 3 a connection ended.\n",
		QUEUE_SIZE);
}

enum {
	OPT_PAIRS = 256,
	OPT_RATE,
	OPT_TICK,
	OPT_REQUESTS,
	OPT_MEMORY,
	OPT_POPULATE,
	OPT_REALTIME,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"pairs", required_argument, NULL, OPT_PAIRS},
	{"rate", required_argument, NULL, OPT_RATE},
	{"tick", required_argument, NULL, OPT_TICK},
	{"requests", required_argument, NULL, OPT_REQUESTS},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"populate", no_argument, NULL, OPT_POPULATE},
	{"realtime", no_argument, NULL, OPT_REALTIME},
	{"help", no_argument, NULL, OPT_HELP},
	NET_OPTIONS,
	{0},
};

static void
take_option(struct options *o, int opt, const char *arg)
{
	if (net_option(&o->net, opt, arg))
		return;
	switch (opt) {
	case OPT_PAIRS:
		o->net.pairs = (uint16_t)net_option_number(arg, "--pairs", 1, NET_DEV_PAIRS_MAX);
		break;
	case OPT_RATE:
		o->rate = (uint32_t)net_option_number(arg, "--rate", 10, 1000000);
		break;
	case OPT_TICK:
		o->tick_us = (uint32_t)net_option_number(arg, "--tick", 10, 100000);
		break;
	case OPT_REQUESTS:
		o->requests_us = (uint32_t)net_option_number(arg, "--requests", 0, 1000000);
		break;
	case OPT_MEMORY:
		o->memory = net_option_number(arg, "--memory", 1, 1 << 20) << 20;
		break;
	case OPT_POPULATE:
		o->populate = true;
		break;
	case OPT_REALTIME:
		o->realtime = true;
		break;
	case OPT_HELP:
		usage(stdout);
		exit(EXIT_SUCCESS);
	default:
		usage(stderr);
		exit(STATUS_USAGE);
	}
}

static void
devices_create(struct run *run, char **names, unsigned int n)
{
	if (n == 0 || n > DEVICES_MAX)
		errx(STATUS_USAGE, "%u devices: 1..%u are possible", n, DEVICES_MAX);
	run->n = n;
	run->dev = calloc(n, sizeof(*run->dev));
	if (run->dev == NULL)
		err(EXIT_FAILURE, "devices");
	for (unsigned int i = 0; i < n; i++) {
		char *equals = strchr(names[i], '=');

		if (equals == NULL)
			errx(STATUS_USAGE, "'%s' is not SOCKET=REPRESENTOR", names[i]);
		*equals = '\0';
		run->dev[i].run = run;
		run->dev[i].index = i;
		run->dev[i].socket = names[i];
		wire_open(&run->dev[i].wire, equals + 1);
	}
	for (unsigned int i = 0; i < n; i++)
		device_open(&run->dev[i]);
}

static int
run_status(const struct run *run)
{
	if (run->violations > 0)
		return STATUS_VIOLATION;
	for (unsigned int i = 0; i < run->n; i++)
		if (run->dev[i].gone && !run->dev[i].poisoned)
			return STATUS_DISCONNECT;
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	static struct run run = {
		.opt = {.rate = 8000,
			.tick_us = 100,
			.requests_us = 1000,
			.memory = UINT64_C(4096) << 20,
			.net = {.pairs = 1,
				.queue_size = QUEUE_SIZE,
				.features = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
					    BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX),
				.interrupts = true}},
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1)
		take_option(&run.opt, opt == 'h' ? OPT_HELP : opt, optarg);
	signal(SIGPIPE, SIG_IGN);
	run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll_fd < 0)
		err(EXIT_FAILURE, "epoll");
	guest_mem_create(&run.mem, run.opt.memory, run.opt.populate);
	/* Memory that is touched for the first time may take longer than traffic may take to begin.
	 */
	run.start_ns = run_now();
	devices_create(&run, argv + optind, (unsigned int)(argc - optind));
	loop_prepare(&run);
	loop(&run);
	event_summary(&run);
	for (unsigned int i = 0; i < run.n; i++)
		device_close(&run.dev[i]);
	return run_status(&run);
}
