/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_POISON_H
#define APP_HA_POISON_H

/**
 * @file
 * Poison: what crashes each process that touches it.
 *
 * - Two deaths over the same breadcrumb within POISON_WINDOW_MS, and the next process is told not
 *   to touch it (HA_ADOPT_POISON_*): one queue, one request.
 * - A host that moves on before it strikes again (the next descriptor, the next request) never
 *   leaves the same breadcrumb twice. So deaths over a device, wherever in it, count as well:
 *   POISON_DEVICE_DEATHS of them within POISON_DEVICE_WINDOW_MS, and it begins anew, without its
 *   host for a while. Where deaths come from elsewhere, breadcrumbs lie about: a device is only
 *   blamed if its share is one death of POISON_DEVICE_SHARE.
 *
 * Only deaths by the process's own doing are told here: a fatal signal that it raised itself
 * (SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT), or a thread that the watchdog found stuck. Whoever
 * kills it from outside, as often as he likes, says nothing of what it was at.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ha/fence.h"

#define POISON_WINDOW_MS 60000u
/**
 * Fewer than the deaths at short intervals that make everybody wait (backoff.h), more than a
 * device that crashes once now and then comes to.
 */
#define POISON_DEVICE_DEATHS	4u
#define POISON_DEVICE_WINDOW_MS 600000u
/** So many hosts in league share the blame and are found all the same. */
#define POISON_DEVICE_SHARE 8u
/** Its host waits so long after the fourth death, twice as long after each one more. */
#define POISON_QUARANTINE_MS	  60000u
#define POISON_QUARANTINE_DOUBLES 6u
/** Deaths remembered: the back-off lets no more happen within POISON_DEVICE_WINDOW_MS. */
#define POISON_DEATHS 128u
/** Sentences not carried out yet; more at a time than lcores can die over at once. */
#define POISON_SENTENCES 64u

enum poison_verdict {
	POISON_NOT = 0,
	POISON_SPOT,   /**< what the breadcrumb names is not to be touched */
	POISON_DEVICE, /**< the device is not to be let go on: poison_quarantine_ms() */
};

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

/** A process has died over this. The crumb is the process's word: anything may stand in it. */
enum poison_verdict poison_death(struct poison *p, const struct ha_crumb *crumb, uint64_t now_ms);

/** After POISON_DEVICE: how long its host is to be kept away. */
unsigned int poison_quarantine_ms(const struct poison *p, uint32_t device, uint64_t now_ms);

/**
 * What to tell the next process that adopts the device.
 * @param queue  set with HA_ADOPT_POISON_QUEUE
 * @return HA_ADOPT_POISON_*
 */
uint32_t poison_flags(const struct poison *p, uint32_t device, uint32_t *queue);

/** A process has adopted the device with these flags. */
void poison_carried_out(struct poison *p, uint32_t device);

#endif /* APP_HA_POISON_H */
