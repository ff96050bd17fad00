/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_BACKOFF_H
#define APP_HA_BACKOFF_H

/**
 * @file
 * When processes crash again and again, starting the next one at once only burns CPU time and log
 * lines: the wait before it grows.
 */

#include <stdint.h>

/** This many crashes are answered at once, if they happen within BACKOFF_WINDOW_MS. */
#define BACKOFF_CRASHES	  5u
#define BACKOFF_WINDOW_MS 10000u
/** The first wait, doubled with each further crash, and the longest. */
#define BACKOFF_FIRST_MS 100u
#define BACKOFF_MAX_MS	 5000u

/** Zero-initialised. */
struct backoff {
	uint64_t at_ms[BACKOFF_CRASHES]; /**< the latest crashes, cyclic */
	unsigned int n;			 /**< crashes so far, since the last quiet time */
	unsigned int delay_ms;
};

/**
 * A process has crashed. After BACKOFF_WINDOW_MS without a crash and without waiting, everything is
 * forgotten.
 *
 * @return ms to wait before the next one goes to work; 0: none
 */
unsigned int backoff_crash(struct backoff *b, uint64_t now_ms);

#endif /* APP_HA_BACKOFF_H */
