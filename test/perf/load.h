/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef PERF_LOAD_H
#define PERF_LOAD_H

/**
 * @file
 * Load on a network device, as far as it does not matter how the device is driven: what a run is,
 * frames and their check, pace, a closed loop's window, latency, and the account of it all.
 *
 * A client brings struct load_ops and calls load_run() for one run, or load_commands() to be told
 * of runs line by line:
 *
 *   run MODE SIZE SECONDS [RATE]
 *
 * MODE: tx sends, rx receives, loop sends and awaits what comes back. SIZE: bytes of a frame
 * without its checksum, or imix. RATE: frames a second, 0 for as many as go. Each line is answered
 * with one of JSON. Between runs nothing moves, so counters on the device's side can be read.
 *
 * One thread.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_ether.h>

/** Frames that are sent or received at a time: DPDK's usual burst. */
#define LOAD_BURST     32u
#define LOAD_FRAME_MIN 60u
#define LOAD_FRAME_MAX 1518u
/** IEEE 802: local experiments; no stack answers it. */
#define LOAD_ETHER_TYPE 0x88b5
/** Frames of a mixture's pattern: 7, 4 and 1 of the three sizes of the simple Internet mix. */
#define LOAD_PATTERN_MAX 12u
/** Frames of a closed loop that may be on their way: keeps bursts full and overruns no ring. */
#define LOAD_WINDOW 512u
/** Latency is counted in steps of 2^this TSC cycles ... */
#define LOAD_LATENCY_SHIFT 6
/** ... up to about two milliseconds; the last counter has all that took longer. */
#define LOAD_LATENCY_STEPS 65536u

enum load_mode {
	LOAD_TX,
	LOAD_RX,
	LOAD_LOOP,
};

struct load_spec {
	enum load_mode mode;
	const char *size; /**< as it was said */
	uint16_t pattern[LOAD_PATTERN_MAX];
	uint32_t n_pattern;
	double seconds;
	double rate; /**< frames a second; 0: no limit */
};

/** A frame of ours; the sequence number shows losses when it comes back. */
struct load_frame {
	struct rte_ether_hdr eth;
	uint16_t pad;
	uint32_t seq;
	uint32_t sent; /**< low half of the TSC */
};

struct load_counts {
	uint64_t tx, rx, wire; /**< frames that the device took, gave, the far side took */
	uint64_t lost, disorder, other;
	uint64_t stalls;      /**< the loop stood still and was started anew */
	uint64_t busy, total; /**< TSC cycles */
};

struct load;

struct load_ops {
	/**
	 * Send up to n frames made with load_fill(); adds those that the device took to n.tx.
	 * @return whether there was anything to do
	 */
	bool (*transmit)(struct load *l, uint32_t n);
	/** Receive; calls load_look() for each frame. @return whether there was anything to do */
	bool (*receive)(struct load *l);
	/** Send into the far side. @return frames that it took; NULL: there is none. */
	uint32_t (*wire)(struct load *l, uint32_t n);
	/** Print more members of a result, each with a comma before it. May be NULL. */
	void (*print)(const struct load *l, FILE *to);
};

struct load {
	const struct load_ops *ops;
	void *client;
	double tsc_hz;
	struct load_spec spec;
	uint32_t seq;	  /**< of the next frame to fill */
	uint32_t first;	  /**< sequence number that the run began with */
	uint32_t next;	  /**< sequence number expected back */
	uint32_t in_loop; /**< frames on their way */
	uint32_t now;	  /**< low half of the TSC at the last look */
	struct load_counts n;
	uint32_t latency[LOAD_LATENCY_STEPS];
};

void load_init(struct load *l, const struct load_ops *ops, void *client);

/** Everything in a frame that stays the same. */
void load_frame_init(struct load_frame *f);

/** @return -EINVAL: neither a size nor a mixture */
int load_size(struct load_spec *spec, const char *text);
int load_mode(struct load_spec *spec, const char *text);

/** Do what l->spec says and print the account. */
void load_run(struct load *l, FILE *to);
/** Run what lines of a file say until it ends; a line that makes no sense ends the program. */
void load_commands(struct load *l, FILE *from, FILE *to);

void load_pin(int cpu);

/** Make the next frame. @return its length */
static inline uint32_t
load_fill(struct load *l, struct load_frame *f)
{
	const uint32_t seq = l->seq++;

	f->seq = seq;
	f->sent = l->now;
	return l->spec.pattern[seq % l->spec.n_pattern];
}

/** Look at a frame that was received. */
static inline void
load_look(struct load *l, const struct load_frame *f, uint32_t len)
{
	const bool ours = f->eth.ether_type == rte_cpu_to_be_16(LOAD_ETHER_TYPE);
	uint32_t seq, step;

	if (l->spec.mode != LOAD_LOOP) {
		/* A source on the device's side may put anything into its frames, and what it
		 * throws away leaves gaps in a mixture's pattern. */
		if (len == l->spec.pattern[0] || l->spec.n_pattern > 1)
			l->n.rx++;
		else
			l->n.other++;
		return;
	}
	if (!ours || len < sizeof(*f) || len != l->spec.pattern[f->seq % l->spec.n_pattern]) {
		l->n.other++;
		return;
	}
	seq = f->seq;
	if (l->in_loop > 0)
		l->in_loop--;
	/* A device that got no CPU may come with frames of the run before. */
	if ((int32_t)(seq - l->first) < 0) {
		l->n.other++;
		return;
	}
	l->n.rx++;
	if ((int32_t)(seq - l->next) < 0)
		l->n.disorder++;
	else
		l->n.lost += seq - l->next;
	l->next = seq + 1;
	step = (l->now - f->sent) >> LOAD_LATENCY_SHIFT;
	l->latency[step < LOAD_LATENCY_STEPS ? step : LOAD_LATENCY_STEPS - 1]++;
}

#endif /* PERF_LOAD_H */
