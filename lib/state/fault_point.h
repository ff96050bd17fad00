/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef STATE_FAULT_POINT_H
#define STATE_FAULT_POINT_H

/**
 * @file
 * Named places where a test can let the process die (meson option fault_injection; otherwise
 * nothing is compiled in).
 *
 * VIRTNET_FAULT="NAME:N[:ACTION]" in the environment: the N-th time that NAME is passed (from 1),
 * ACTION is taken: kill (default: SIGKILL), segv, abort, stop (SIGSTOP), hang (a loop without end).
 * Names are dotted, from the outside in: "vring.tx.sent". FAULT_POINTS in test/fault lists them.
 *
 * VIRTNET_FAULT_FILE=PATH: only while this file exists are passages counted, and who takes the
 * action removes it first. So a successor, which has the same environment, goes on, and a test
 * says when (and says it again) by making the file.
 *
 * VIRTNET_FAULT_MAGIC=ADDRESS: reading a descriptor with that address crashes, each time.
 *
 * A value that makes no sense ends the process with a message (status 2): it is a test's mistake.
 */

#include <stdint.h>

#ifdef VIRTNET_FAULT_INJECTION
void fault_point_pass(const char *name);
void fault_magic_look(uint64_t addr);
/**
 * In place of the environment, for a test within the process: as the variables, NULL: not set.
 * @return 0; -EINVAL: a value that makes no sense
 */
int fault_point_arm(const char *fault, const char *file, const char *magic);
#define FAULT_POINT(name) fault_point_pass(name)
#define FAULT_MAGIC(addr) fault_magic_look(addr)
#else
#define FAULT_POINT(name) ((void)0)
#define FAULT_MAGIC(addr) ((void)(addr))
#endif

#endif /* STATE_FAULT_POINT_H */
