/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Which breadcrumbs have been fatal twice. */

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

bool
poison_death(struct poison *p, const struct ha_crumb *crumb, uint64_t now_ms)
{
	const unsigned int known = p->n_deaths < POISON_DEATHS ? p->n_deaths : POISON_DEATHS;
	bool again = false;

	if (crumb->kind < HA_CRUMB_QUEUE || crumb->kind > HA_CRUMB_ADOPT || crumb->device == 0)
		return false;
	for (unsigned int i = 0; i < known; i++)
		if (crumbs_equal(&p->death[i].crumb, crumb) &&
			now_ms - p->death[i].at_ms <= POISON_WINDOW_MS)
			again = true;
	p->death[p->n_deaths % POISON_DEATHS].crumb = *crumb;
	p->death[p->n_deaths % POISON_DEATHS].at_ms = now_ms;
	p->n_deaths++;
	if (again)
		sentence_add(p, crumb);
	return again;
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
	return flags;
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
