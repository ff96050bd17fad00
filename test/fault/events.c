/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Disturbances: what they cost each device, as lines of JSON. */

#include "run.h"

#include <inttypes.h>
#include <stdio.h>

#include <rte_common.h>

void
event_begin(struct run *run, long id, int64_t allow_ms)
{
	run->ev = (struct event){
		.active = true,
		.id = id,
		.begin_ns = run_now(),
		.allow_ns = allow_ms * NS_PER_MS,
	};
	for (unsigned int i = 0; i < run->n; i++) {
		struct device *dev = &run->dev[i];

		for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
			for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++)
				track_event(&dev->stream[pair].track[dir]);
		dev->req.longest_ns = 0;
	}
}

void
event_settle(struct run *run, int64_t timeout_ms)
{
	run->ev.settling = true;
	/* A process that has just been killed may still run for a moment. */
	run->ev.settle_ns = run_now() + NS_PER_MS;
	run->ev.deadline_ns = run->ev.settle_ns + timeout_ms * NS_PER_MS;
	for (unsigned int i = 0; i < run->n; i++) {
		struct device *dev = &run->dev[i];

		dev->req.fresh = run->opt.requests_us == 0;
		for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
			for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++)
				dev->stream[pair].track[dir].fresh = false;
	}
}

static bool
device_settled(const struct device *dev)
{
	if (dev->poisoned)
		return true;
	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
		for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++)
			if (!dev->stream[pair].track[dir].fresh)
				return false;
	return dev->req.fresh;
}

enum count {
	COUNT_TWICE,
	COUNT_LOST,
};

/* "name": [of each stream] */
static void
print_counts(
	const struct device *dev, const char *name, enum frame_dir dir, enum count what, bool total)
{
	printf("\"%s\": [", name);
	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++) {
		const struct track *t = &dev->stream[pair].track[dir];
		const struct track_counts *c = total ? &t->total : &t->event;

		printf("%s%" PRId64, pair > 0 ? ", " : "",
			what == COUNT_LOST ? c->lost : (int64_t)c->twice);
	}
	printf("], ");
}

static void
print_losses(const struct device *dev, bool total)
{
	uint64_t moved = 0, late = 0;

	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
		for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++) {
			const struct track *t = &dev->stream[pair].track[dir];

			moved += total ? t->total.moved : t->event.moved;
			late += total ? t->total.late : t->event.late;
		}
	print_counts(dev, "tx_twice", FRAME_TX, COUNT_TWICE, total);
	print_counts(dev, "tx_lost", FRAME_TX, COUNT_LOST, total);
	print_counts(dev, "rx_twice", FRAME_RX, COUNT_TWICE, total);
	print_counts(dev, "rx_lost", FRAME_RX, COUNT_LOST, total);
	printf("\"moved\": %" PRIu64 ", \"late\": %" PRIu64, moved, late);
}

static int64_t
longest_gap(const struct device *dev, enum frame_dir dir, const struct event *ev, int64_t now_ns)
{
	int64_t gap = 0;

	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
		gap = RTE_MAX(gap, track_gap(&dev->stream[pair].track[dir], ev->begin_ns, now_ns));
	return gap;
}

static void
print_event_device(const struct run *run, const struct device *dev, int64_t now_ns)
{
	const int64_t tx = longest_gap(dev, FRAME_TX, &run->ev, now_ns),
		      rx = longest_gap(dev, FRAME_RX, &run->ev, now_ns);

	printf("{\"device\": %u, \"gap_us\": %lld, \"tx_gap_us\": %lld, \"rx_gap_us\": %lld, "
	       "\"request_us\": %lld, ",
		dev->index, (long long)(RTE_MAX(tx, rx) / 1000), (long long)(tx / 1000),
		(long long)(rx / 1000), (long long)(dev->req.longest_ns / 1000));
	print_losses(dev, false);
	printf("}");
}

static void
event_end(struct run *run, bool settled, int64_t now_ns)
{
	struct event *ev = &run->ev;

	printf("{\"event\": %ld, \"settled\": %s, \"at_ms\": %lld, \"settled_us\": %lld, "
	       "\"self_us\": %lld, \"devices\": [",
		ev->id, settled ? "true" : "false",
		(long long)((ev->begin_ns - run->start_ns) / NS_PER_MS),
		(long long)((now_ns - ev->begin_ns) / 1000), (long long)(ev->self_ns / 1000));
	for (unsigned int i = 0; i < run->n; i++) {
		if (i > 0)
			printf(", ");
		print_event_device(run, &run->dev[i], now_ns);
	}
	printf("]}\n");
	fflush(stdout);
	run->events++;
	ev->active = ev->settling = false;
	ev->end_ns = now_ns;
	/* What shows from now on has no event that it could be counted for. */
	for (unsigned int i = 0; i < run->n; i++)
		for (uint16_t pair = 0; pair < run->dev[i].nd.pairs; pair++)
			for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++)
				track_event(&run->dev[i].stream[pair].track[dir]);
}

/* Outside of events nothing may be lost or come twice. */
static void
check_quiet(struct run *run)
{
	for (unsigned int i = 0; i < run->n; i++)
		for (uint16_t pair = 0; pair < run->dev[i].nd.pairs; pair++)
			for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++) {
				struct track *t = &run->dev[i].stream[pair].track[dir];
				const struct track_counts c = t->event;

				if (c.lost == 0 && c.twice == 0)
					continue;
				run_violation(run, &run->dev[i],
					"%s stream %u: %" PRId64 " lost, %" PRIu64
					" twice although nothing happened",
					dir == FRAME_TX ? "TX" : "RX", pair, c.lost, c.twice);
				t->event = (struct track_counts){0};
			}
}

void
event_poll(struct run *run, int64_t now_ns)
{
	const struct event *ev = &run->ev;
	bool settled = true;

	if (!ev->active) {
		if (run->ready)
			check_quiet(run);
		return;
	}
	if (!ev->settling)
		return;
	for (unsigned int i = 0; i < run->n && settled; i++)
		settled = device_settled(&run->dev[i]);
	if (settled || now_ns > ev->deadline_ns)
		event_end(run, settled, now_ns);
}

void
event_summary(struct run *run)
{
	printf("{\"summary\": {\"seconds\": %.3f, \"events\": %" PRIu64 ", \"violations\": %" PRIu64
	       ", \"devices\": [",
		(double)(run_now() - run->start_ns) / NS_PER_S, run->events, run->violations);
	for (unsigned int i = 0; i < run->n; i++) {
		struct device *dev = &run->dev[i];
		uint64_t tx = 0, rx = 0, kicks = 0, interrupts = 0;

		for (uint16_t pair = 0; pair < dev->nd.pairs; pair++) {
			tx += dev->stream[pair].track[FRAME_TX].frames;
			rx += dev->stream[pair].track[FRAME_RX].frames;
		}
		for (uint16_t q = 0; q < 2 * dev->nd.pairs; q++) {
			kicks += dev->nd.queue[q].kicks;
			interrupts += dev->nd.queue[q].interrupts;
		}
		wire_count_drops(&dev->wire);
		printf("%s{\"device\": %u, \"tx_frames\": %" PRIu64 ", \"rx_frames\": %" PRIu64
		       ", \"kicks\": %" PRIu64 ", \"interrupts\": %" PRIu64
		       ", \"requests\": %" PRIu64 ", \"controls\": %" PRIu64
		       ", \"tap_drops\": %" PRIu64 ", \"socket_drops\": %" PRIu64
		       ", \"wire_full\": %" PRIu64 ", ",
			i > 0 ? ", " : "", dev->index, tx, rx, kicks, interrupts, dev->req.answered,
			dev->req.controls, wire_tap_drops(&dev->wire) - dev->tap_drops,
			dev->wire.drops, dev->wire.full);
		print_losses(dev, true);
		printf("}");
	}
	printf("]}}\n");
	fflush(stdout);
}
