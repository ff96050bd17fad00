/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef PERF_WIRE_H
#define PERF_WIRE_H

/** @file The far side of a TAP: frames that are sent into its network interface. */

#include <stdint.h>

/** What goes wrong ends the program. @return a socket */
int wire_open(const char *ifname);

/** Send up to n frames of that size. What the interface cannot take now is gone, as on a wire.
 * @return frames that it took */
uint32_t wire_send(int fd, uint32_t n, uint16_t size);

#endif /* PERF_WIRE_H */
