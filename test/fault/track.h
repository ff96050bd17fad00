/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_FAULT_TRACK_H
#define TEST_FAULT_TRACK_H

/**
 * @file
 * What arrives of one stream in one direction: which numbers, and when.
 *
 * Every path is first in, first out: a number that is jumped over is lost, until it comes after
 * all. Losses and repetitions are counted for the event (a kill, say) during which they show.
 */

#include <stdbool.h>
#include <stdint.h>

/** Numbers that are remembered; a power of two. */
#define TRACK_WINDOW 65536u

struct track_counts {
	int64_t lost;	/**< never came */
	uint64_t twice; /**< came again */
	uint64_t late;	/**< came after a higher number */
	uint64_t moved; /**< came on another queue than the stream's own */
};

struct track {
	bool begun;   /**< counted; before that the first numbers may get lost while a link comes up
		       */
	bool stalled; /**< has been reported */
	uint32_t next; /**< number expected */
	uint64_t frames;
	int64_t last_ns; /**< time of the last arrival */
	int64_t gap_ns;	 /**< longest time between two arrivals that ended in the present event */
	int64_t gap_at;	 /**< when it began */
	bool fresh;	 /**< a frame has come that was sent after the present event began */
	struct track_counts event, total;
	uint64_t seen[TRACK_WINDOW / 64];
};

/** Count from now on. */
void track_begin(struct track *t, int64_t now_ns);

/** @return 0; -ERANGE: a number from nowhere */
int track_arrival(struct track *t, uint32_t seq, int64_t now_ns);

/** A new event: its counts begin at zero. */
void track_event(struct track *t);

/** Longest gap of the event, that which lasts still included. */
int64_t track_gap(const struct track *t, int64_t begin_ns, int64_t now_ns);

#endif /* TEST_FAULT_TRACK_H */
