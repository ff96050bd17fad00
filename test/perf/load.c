/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Runs of a load: pace, window, account. */

#include "load.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_common.h>

#define LINE_MAX_LEN 256
/** The clock is looked at once in so many rounds only. */
#define ROUNDS 256u
/** A loop in which nothing moves for so long has lost its frames. */
#define STALL_S 0.05
/**
 * What a run begins with: a device that slept because there was nothing to do has to be woken
 * first. It is no part of packets per second, driver's busy time and latency.
 */
#define LEAD_S 0.02
/** Time in which the TSC is compared with the clock. */
#define CALIBRATION_S 0.02

/** The simple Internet mix: 7 of 64, 4 of 594, 1 of 1518 bytes, in an order that mixes them. */
static const uint16_t imix[LOAD_PATTERN_MAX] = {
	64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64};

static const char *const mode_names[] = {
	[LOAD_TX] = "tx",
	[LOAD_RX] = "rx",
	[LOAD_LOOP] = "loop",
};

void
load_frame_init(struct load_frame *f)
{
	memset(f, 0, sizeof(*f));
	memset(&f->eth.dst_addr, 0xff, sizeof(f->eth.dst_addr));
	f->eth.src_addr.addr_bytes[0] = 0x02;
	f->eth.ether_type = rte_cpu_to_be_16(LOAD_ETHER_TYPE);
}

int
load_size(struct load_spec *spec, const char *text)
{
	char *end;
	unsigned long size;

	if (strcmp(text, "imix") == 0) {
		memcpy(spec->pattern, imix, sizeof(imix));
		spec->n_pattern = RTE_DIM(imix);
		spec->size = "imix";
		return 0;
	}
	size = strtoul(text, &end, 10);
	if (*end != '\0' || size < LOAD_FRAME_MIN || size > LOAD_FRAME_MAX)
		return -EINVAL;
	spec->pattern[0] = (uint16_t)size;
	spec->n_pattern = 1;
	spec->size = NULL;
	return 0;
}

int
load_mode(struct load_spec *spec, const char *text)
{
	for (unsigned int i = 0; i < RTE_DIM(mode_names); i++)
		if (strcmp(text, mode_names[i]) == 0) {
			spec->mode = (enum load_mode)i;
			return 0;
		}
	return -EINVAL;
}

static double
clock_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Milliseconds for which this thread was ready to run and something else ran. */
static double
waited_ms(void)
{
	FILE *f = fopen("/proc/thread-self/schedstat", "re");
	unsigned long long ran = 0, waited = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu %llu", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return (double)waited / 1e6;
}

/* ---- One run */

struct pace {
	double per_cycle; /* frames; 0: no limit */
	uint64_t start;
	uint64_t given; /* frames since then */
};

/* Frames that may be sent now. */
static uint32_t
allowed(const struct load *l, const struct pace *p, uint64_t tsc)
{
	uint32_t n = LOAD_BURST;

	if (p->per_cycle > 0) {
		const double due = (double)(tsc - p->start) * p->per_cycle - (double)p->given;

		n = due >= LOAD_BURST ? LOAD_BURST : (uint32_t)RTE_MAX(due, 0.0);
	}
	if (l->spec.mode == LOAD_LOOP)
		n = RTE_MIN(n, LOAD_WINDOW - RTE_MIN(l->in_loop, LOAD_WINDOW));
	return n;
}

static bool
send_some(struct load *l, struct pace *p, uint64_t tsc)
{
	const uint64_t before = l->n.tx;
	const uint32_t n = allowed(l, p, tsc);
	bool moved;

	if (l->spec.mode == LOAD_RX) {
		const uint32_t given = l->ops->wire != NULL && n > 0 ? l->ops->wire(l, n) : 0;

		l->n.wire += given;
		p->given += given;
		return given > 0;
	}
	/* Also for none: chains that the device has done with come back. */
	moved = l->ops->transmit(l, n);
	p->given += l->n.tx - before;
	l->in_loop += (uint32_t)(l->n.tx - before);
	return moved;
}

static uint64_t
rounds(struct load *l, struct pace *p, uint64_t last)
{
	for (unsigned int i = 0; i < ROUNDS; i++) {
		bool moved;
		uint64_t t;

		l->now = (uint32_t)last;
		moved = l->ops->receive(l);
		moved |= send_some(l, p, last);
		t = rte_rdtsc();
		if (moved)
			l->n.busy += t - last;
		last = t;
	}
	return last;
}

/* A closed loop whose frames were lost would stand still for ever. */
static void
check_stall(struct load *l, uint64_t *rx_then, double *then, double now)
{
	if (l->n.rx != *rx_then || l->in_loop < LOAD_WINDOW) {
		*rx_then = l->n.rx;
		*then = now;
	} else if (now - *then > STALL_S) {
		l->n.stalls++;
		l->in_loop = 0;
		*then = now;
	}
}

/* @return seconds that it took, more than asked for by one round at most */
static double
drive_for(struct load *l, struct pace *p, double seconds)
{
	const double begin = clock_s();
	const uint64_t start = rte_rdtsc();
	uint64_t last = start, rx_then = 0;
	double then = begin, now;

	memset(l->latency, 0, sizeof(l->latency));
	do {
		last = rounds(l, p, last);
		now = clock_s();
		if (l->spec.mode == LOAD_LOOP)
			check_stall(l, &rx_then, &then, now);
	} while (now - begin < seconds);
	l->n.total += last - start;
	return now - begin;
}

/* What is still on its way belongs to this run, not to the next one; it is not counted. */
static void
drain(struct load *l)
{
	const struct load_counts n = l->n;
	const double begin = clock_s();

	while (l->in_loop > 0 && clock_s() - begin < STALL_S)
		l->ops->receive(l);
	l->n = n;
	l->in_loop = 0;
	l->next = l->seq;
}

/* ---- The account */

static double
latency_us(const struct load *l, uint32_t step)
{
	return ((double)step + 0.5) * (double)(1u << LOAD_LATENCY_SHIFT) / l->tsc_hz * 1e6;
}

static void
print_latency(const struct load *l, FILE *to)
{
	static const struct {
		const char *name;
		double share;
	} q[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
	uint64_t total = 0, sum = 0;
	unsigned int k = 0;

	for (uint32_t i = 0; i < LOAD_LATENCY_STEPS; i++)
		total += l->latency[i];
	if (total == 0)
		return;
	fprintf(to, ", \"latency_us\": {");
	for (uint32_t i = 0; i < LOAD_LATENCY_STEPS && k < RTE_DIM(q); i++) {
		sum += l->latency[i];
		for (; k < RTE_DIM(q) && (double)sum >= q[k].share * (double)total; k++)
			fprintf(to, "%s\"%s\": %.2f", k > 0 ? ", " : "", q[k].name,
				latency_us(l, i));
	}
	fprintf(to, "}");
}

static void
print_account(const struct load *l, const struct load_counts *lead, double lead_s, double took,
	double waited, FILE *to)
{
	const struct load_counts *n = &l->n;
	const uint64_t total = n->total - lead->total;

	fprintf(to, "{\"mode\": \"%s\", ", mode_names[l->spec.mode]);
	if (l->spec.size != NULL)
		fprintf(to, "\"size\": \"%s\", ", l->spec.size);
	else
		fprintf(to, "\"size\": %u, ", l->spec.pattern[0]);
	fprintf(to,
		"\"seconds\": %.3f, \"lasted\": %.3f, \"rate\": %.0f, \"tx_packets\": %" PRIu64
		", \"rx_packets\": %" PRIu64 ", \"wire_packets\": %" PRIu64
		", \"other_packets\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"disorder\": %" PRIu64
		", \"stalls\": %" PRIu64 ", \"tx_pps\": %.0f, \"rx_pps\": %.0f, "
		"\"driver_busy\": %.3f, \"waited_ms\": %.3f, \"tsc_hz\": %.0f",
		took, lead_s + took, l->spec.rate, n->tx, n->rx, n->wire, n->other, n->lost,
		n->disorder, n->stalls, (double)(n->tx - lead->tx) / took,
		(double)(n->rx - lead->rx) / took,
		total != 0 ? (double)(n->busy - lead->busy) / (double)total : 0.0, waited,
		l->tsc_hz);
	print_latency(l, to);
	if (l->ops->print != NULL)
		l->ops->print(l, to);
	fprintf(to, "}\n");
	fflush(to);
}

void
load_run(struct load *l, FILE *to)
{
	struct pace p = {.per_cycle = l->spec.rate / l->tsc_hz, .start = rte_rdtsc()};
	struct load_counts lead;
	double lead_s, took, waited;

	memset(&l->n, 0, sizeof(l->n));
	l->first = l->seq;
	l->next = l->seq;
	lead_s = drive_for(l, &p, LEAD_S);
	lead = l->n;
	waited = waited_ms();
	took = drive_for(l, &p, l->spec.seconds);
	print_account(l, &lead, lead_s, took, waited_ms() - waited, to);
	if (l->spec.mode == LOAD_LOOP)
		drain(l);
}

void
load_commands(struct load *l, FILE *from, FILE *to)
{
	char line[LINE_MAX_LEN], mode[8], size[8];

	while (fgets(line, sizeof(line), from) != NULL) {
		l->spec.rate = 0;
		if (sscanf(line, "run %7s %7s %lf %lf", mode, size, &l->spec.seconds,
			    &l->spec.rate) < 3 ||
			load_mode(&l->spec, mode) != 0 || load_size(&l->spec, size) != 0 ||
			!(l->spec.seconds > 0 && l->spec.seconds <= 3600) || !(l->spec.rate >= 0))
			errx(EXIT_FAILURE, "not understood: %s", line);
		load_run(l, to);
	}
}

void
load_init(struct load *l, const struct load_ops *ops, void *client)
{
	const double begin = clock_s();
	const uint64_t start = rte_rdtsc();
	double now;

	do {
		now = clock_s();
	} while (now - begin < CALIBRATION_S);
	memset(l, 0, sizeof(*l));
	l->tsc_hz = (double)(rte_rdtsc() - start) / (now - begin);
	l->ops = ops;
	l->client = client;
}

void
load_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) != 0)
		err(EXIT_FAILURE, "CPU %d", cpu);
}
