/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_POISON_H
#define APP_HA_POISON_H

/**
 * @file
 * Poison: what crashes each process that touches it. Two deaths over the same breadcrumb within
 * POISON_WINDOW_MS, and the next process is told not to touch it (HA_ADOPT_POISON_*).
 *
 * Only for deaths by the process's own doing: whoever kills it from outside says nothing of what it
 * was at.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ha/fence.h"

#define POISON_WINDOW_MS 60000u
/** Deaths remembered: more within a minute are held up by the back-off. */
#define POISON_DEATHS 64u
/** Sentences not carried out yet; more at a time than lcores can die over at once. */
#define POISON_SENTENCES 64u

/** Zero-initialised. */
struct poison {
	struct {
		struct ha_crumb crumb;
		uint64_t at_ms;
	} death[POISON_DEATHS]; /**< cyclic */
	unsigned int n_deaths;
	struct ha_crumb sentence[POISON_SENTENCES];
	unsigned int n_sentences;
};

/**
 * A process has died over this. The crumb is the process's word: anything may stand in it.
 * @return true if it is poison
 */
bool poison_death(struct poison *p, const struct ha_crumb *crumb, uint64_t now_ms);

/**
 * What to tell the next process that adopts the device.
 * @param queue  set with HA_ADOPT_POISON_QUEUE
 * @return HA_ADOPT_POISON_*
 */
uint32_t poison_flags(const struct poison *p, uint32_t device, uint32_t *queue);

/** A process has adopted the device with these flags. */
void poison_carried_out(struct poison *p, uint32_t device);

#endif /* APP_HA_POISON_H */
