/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Which breadcrumbs have been fatal twice, and which devices again and again. */

#include <string.h>

#include "ha/msg.h"
#include "poison.h"

static bool
crumbs_equal(const struct ha_crumb *a, const struct ha_crumb *b)
{
	if (a->kind != b->kind || a->device != b->device)
		return false;
	switch (a->kind) {
	case HA_CRUMB_QUEUE:
		return a->queue == b->queue && a->pos == b->pos;
	case HA_CRUMB_REQUEST:
		return a->seq == b->seq;
	default:
		return true;
	}
}

static void
sentence_add(struct poison *p, const struct ha_crumb *crumb)
{
	for (unsigned int i = 0; i < p->n_sentences; i++)
		if (crumbs_equal(&p->sentence[i], crumb))
			return;
	if (p->n_sentences < POISON_SENTENCES)
		p->sentence[p->n_sentences++] = *crumb;
}

static unsigned int
deaths_known(const struct poison *p)
{
	return p->n_deaths < POISON_DEATHS ? p->n_deaths : POISON_DEATHS;
}

static bool
fatal_before(const struct poison *p, const struct ha_crumb *crumb, uint64_t now_ms)
{
	for (unsigned int i = 0; i < deaths_known(p); i++)
		if (crumbs_equal(&p->death[i].crumb, crumb) &&
			now_ms - p->death[i].at_ms <= POISON_WINDOW_MS)
			return true;
	return false;
}

/* Deaths over a device, and over any. */
static unsigned int
deaths_of(const struct poison *p, uint32_t device, uint64_t now_ms, unsigned int *all)
{
	unsigned int n = 0;

	*all = 0;
	for (unsigned int i = 0; i < deaths_known(p); i++) {
		if (now_ms - p->death[i].at_ms > POISON_DEVICE_WINDOW_MS)
			continue;
		++*all;
		if (p->death[i].crumb.device == device)
			n++;
	}
	return n;
}

enum poison_verdict
poison_death(struct poison *p, const struct ha_crumb *crumb, uint64_t now_ms)
{
	const struct ha_crumb whole = {.kind = HA_CRUMB_ADOPT, .device = crumb->device};
	unsigned int n, all;
	bool again;

	if (crumb->kind < HA_CRUMB_QUEUE || crumb->kind > HA_CRUMB_ADOPT || crumb->device == 0)
		return POISON_NOT;
	again = fatal_before(p, crumb, now_ms);
	p->death[p->n_deaths % POISON_DEATHS].crumb = *crumb;
	p->death[p->n_deaths % POISON_DEATHS].at_ms = now_ms;
	p->n_deaths++;
	n = deaths_of(p, crumb->device, now_ms, &all);
	if (n >= POISON_DEVICE_DEATHS && n * POISON_DEVICE_SHARE >= all) {
		sentence_add(p, &whole);
		return POISON_DEVICE;
	}
	if (again)
		sentence_add(p, crumb);
	return again ? POISON_SPOT : POISON_NOT;
}

unsigned int
poison_quarantine_ms(const struct poison *p, uint32_t device, uint64_t now_ms)
{
	unsigned int all, more = deaths_of(p, device, now_ms, &all);

	more = more > POISON_DEVICE_DEATHS ? more - POISON_DEVICE_DEATHS : 0;
	return POISON_QUARANTINE_MS
	       << (more < POISON_QUARANTINE_DOUBLES ? more : POISON_QUARANTINE_DOUBLES);
}

uint32_t
poison_flags(const struct poison *p, uint32_t device, uint32_t *queue)
{
	uint32_t flags = 0;

	for (unsigned int i = 0; i < p->n_sentences; i++) {
		const struct ha_crumb *s = &p->sentence[i];

		if (s->device != device)
			continue;
		if (s->kind == HA_CRUMB_QUEUE) {
			flags |= HA_ADOPT_POISON_QUEUE;
			*queue = s->queue;
		} else {
			flags |= s->kind == HA_CRUMB_REQUEST ? HA_ADOPT_POISON_REQUEST
							     : HA_ADOPT_POISON_BLOCK;
		}
	}
	/* Of a device that begins anew nothing is left that could be poison. */
	return flags & HA_ADOPT_POISON_BLOCK ? HA_ADOPT_POISON_BLOCK : flags;
}

void
poison_carried_out(struct poison *p, uint32_t device)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < p->n_sentences; i++)
		if (p->sentence[i].device != device)
			p->sentence[kept++] = p->sentence[i];
	p->n_sentences = kept;
}
