/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Bookkeeping of arrivals. */

#include "track.h"

#include <errno.h>
#include <string.h>

static void
mark(struct track *t, uint32_t seq, bool seen)
{
	const uint64_t bit = UINT64_C(1) << (seq % 64);
	uint64_t *word = &t->seen[seq % TRACK_WINDOW / 64];

	*word = seen ? *word | bit : *word & ~bit;
}

static bool
was_seen(const struct track *t, uint32_t seq)
{
	return (t->seen[seq % TRACK_WINDOW / 64] >> (seq % 64) & 1) != 0;
}

void
track_begin(struct track *t, int64_t now_ns)
{
	t->begun = true;
	t->last_ns = now_ns;
	/* What came before counts as come. */
	memset(t->seen, 0xff, sizeof(t->seen));
	memset(&t->event, 0, sizeof(t->event));
	memset(&t->total, 0, sizeof(t->total));
}

static void
lost(struct track *t, int64_t n)
{
	t->event.lost += n;
	t->total.lost += n;
}

static int
place(struct track *t, uint32_t seq)
{
	const int32_t ahead = (int32_t)(seq - t->next);

	if (ahead >= (int32_t)TRACK_WINDOW || ahead < -(int32_t)TRACK_WINDOW)
		return -ERANGE;
	if (ahead >= 0) {
		for (; t->next != seq; t->next++)
			mark(t, t->next, false);
		mark(t, seq, true);
		t->next = seq + 1;
		lost(t, ahead);
	} else if (was_seen(t, seq)) {
		t->event.twice++;
		t->total.twice++;
	} else {
		mark(t, seq, true);
		lost(t, -1);
		t->event.late++;
		t->total.late++;
	}
	return 0;
}

int
track_arrival(struct track *t, uint32_t seq, int64_t now_ns)
{
	t->frames++;
	t->stalled = false;
	if (now_ns - t->last_ns > t->gap_ns) {
		t->gap_ns = now_ns - t->last_ns;
		t->gap_at = t->last_ns;
	}
	if (now_ns > t->last_ns)
		t->last_ns = now_ns;
	if (!t->begun) {
		t->next = seq + 1;
		return 0;
	}
	return place(t, seq);
}

void
track_event(struct track *t)
{
	memset(&t->event, 0, sizeof(t->event));
	t->gap_ns = 0;
	t->fresh = false;
}

int64_t
track_gap(const struct track *t, int64_t begin_ns, int64_t now_ns)
{
	const int64_t last = t->last_ns > begin_ns ? t->last_ns : begin_ns, open = now_ns - last;

	return open > t->gap_ns ? open : t->gap_ns;
}
