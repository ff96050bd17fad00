/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_CLOSER_H
#define APP_HA_CLOSER_H

/**
 * @file
 * Closing descriptors without waiting for it: a TAP's last descriptor takes tens of milliseconds
 * in the kernel, much memory as well. One thread closes them in the order in which they came, for
 * all devices: what a client can make last for ever is not for this thread, but for the device's
 * own (sock/discard.h). Main thread only.
 */

#include <sys/queue.h>

struct closer;
struct event_base;
struct sock_closer;

/** Told when all that was to be closed before it is closed; the caller's memory until then. */
struct closer_note {
	STAILQ_ENTRY(closer_note) next;
	void (*done)(struct closer_note *note); /**< main thread, from the event base */
};

/** @return 0; -errno */
int closer_create(struct event_base *base, struct closer **out);
/**
 * Close what is left and call the notes that are due. What does not close within a few seconds is
 * left to the end of the process, its notes are never called. NULL is allowed.
 */
void closer_destroy(struct closer *c);

/** Close fds, which become -1; those that are -1 are skipped. */
void closer_close(struct closer *c, int *fds, unsigned int n);
/**
 * The same for descriptors that a client has sent: those that are neither memory nor an eventfd go
 * to `own`, and no note waits for them.
 */
void closer_close_clients(struct closer *c, struct sock_closer *own, int *fds, unsigned int n);
/** Tell when everything that has been given to closer_close() is closed. */
void closer_tell(struct closer *c, struct closer_note *note);

#endif /* APP_HA_CLOSER_H */
