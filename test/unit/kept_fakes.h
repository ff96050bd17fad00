/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_KEPT_FAKES_H
#define TEST_UNIT_KEPT_FAKES_H

/**
 * @file
 * What the kept devices are linked with in tests, instead of real processes and of descriptors that
 * a service manager has handed over: meson.build renames the functions that they call.
 */

#include <stdbool.h>

#include "ha/child.h"

/** A process that is alive and listens. */
struct child *fake_child_new(void);
/** One at the other end of a socket, which becomes its own: for keepers that are processes. */
struct child *fake_child_on(int fd);
/** The keeper's end of the connection to it. */
struct ha_conn *fake_child_conn(const struct child *ch);
void fake_child_free(struct child *ch);
/** The process has hung up: whoever sends gets -EPIPE. */
void fake_child_hang_up(struct child *ch);
bool fake_child_killed(const struct child *ch);
/** What the process reads next. @return false: nothing */
bool fake_child_recv(struct child *ch, struct ha_msg *msg, int *fds, unsigned int *n);
/** Sends to the process fail with this error. */
void fake_child_fail(struct child *ch, int err);

/** n descriptors and their names that sd_stored() tells of; the caller's memory. */
void fake_stored_set(unsigned int n, const int *fds, char *const *names);

int fake_child_send(struct child *ch, const struct ha_msg *msg, const int *fds, unsigned int n);
void fake_child_kill(struct child *ch);
pid_t fake_child_pid(const struct child *ch);
const char *fake_child_name(const struct child *ch);
unsigned int fake_sd_stored(void);
int fake_sd_stored_get(unsigned int i, const char **name);

#endif /* TEST_UNIT_KEPT_FAKES_H */
