/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_CLOCK_H
#define APP_HA_CLOCK_H

/**
 * @file
 * Time for measuring, which no one sets.
 */

#include <stdint.h>
#include <time.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_US UINT64_C(1000)

static inline uint64_t
clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif /* APP_HA_CLOCK_H */
