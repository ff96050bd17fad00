/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef HA_LOG_LIMIT_H
#define HA_LOG_LIMIT_H

/**
 * @file
 * How often a log line may be written that a host can cause as often as it likes: LOG_LIMIT_BURST
 * at once, then one a second; those left out are counted. Single-threaded.
 */

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define LOG_LIMIT_BURST 10u

/** Zero-initialised. */
struct log_limit {
	uint64_t last_ms;
	unsigned int used;
	unsigned int left_out;
};

/**
 * May a line be written now?
 * @param left_out  number of lines left out since the last one, when it may
 */
static inline bool
log_limit_take(struct log_limit *limit, unsigned int *left_out)
{
	struct timespec ts;
	uint64_t now_ms;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	now_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	if (now_ms - limit->last_ms >= 1000) {
		const uint64_t back = (now_ms - limit->last_ms) / 1000;

		limit->used -= back < limit->used ? (unsigned int)back : limit->used;
		limit->last_ms = now_ms;
	}
	if (limit->used >= LOG_LIMIT_BURST) {
		limit->left_out++;
		return false;
	}
	limit->used++;
	*left_out = limit->left_out;
	limit->left_out = 0;
	return true;
}

#endif /* HA_LOG_LIMIT_H */
