/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* How long to wait after a crash. */

#include "backoff.h"

unsigned int
backoff_crash(struct backoff *b, uint64_t now_ms)
{
	uint64_t *oldest = &b->at_ms[b->n % BACKOFF_CRASHES];
	const uint64_t last = b->n == 0 ? 0 : b->at_ms[(b->n - 1) % BACKOFF_CRASHES];

	if (b->n > 0 && now_ms - last >= BACKOFF_WINDOW_MS + b->delay_ms) {
		b->n = 0;
		b->delay_ms = 0;
		oldest = &b->at_ms[0];
	}
	if (b->delay_ms > 0) {
		b->delay_ms *= 2;
		if (b->delay_ms > BACKOFF_MAX_MS)
			b->delay_ms = BACKOFF_MAX_MS;
	} else if (b->n >= BACKOFF_CRASHES && now_ms - *oldest < BACKOFF_WINDOW_MS) {
		b->delay_ms = BACKOFF_FIRST_MS;
	}
	*oldest = now_ms;
	b->n++;
	return b->delay_ms;
}
