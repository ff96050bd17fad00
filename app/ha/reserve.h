/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_RESERVE_H
#define APP_HA_RESERVE_H

/**
 * @file
 * Descriptors in reserve: devices take as many as their hosts make them, but a process that goes on
 * after a crash can be started all the same.
 */

/** A start takes five and the watchdog one; the rest is for messages that wait to be sent to it. */
#define RESERVE_FDS 64u

/** Zero-initialised: nothing is reserved. */
struct reserve {
	unsigned int n;
	int fd[RESERVE_FDS];
};

/** Reserve what is missing, as far as there are any. */
void reserve_fill(struct reserve *r);
/** Let them go, to be taken at once by whoever needs them. */
void reserve_release(struct reserve *r);

#endif /* APP_HA_RESERVE_H */
