/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef PERF_BRIDGE_H
#define PERF_BRIDGE_H

/**
 * @file
 * A DPDK port as a network interface of this machine: packets go between port 0 and a TAP, with
 * their offloads. So a kernel's TCP can be used over virtio-user.
 *
 * It sleeps when there is nothing to do, for it shares its CPU with those who make the packets.
 */

#include <stdbool.h>
#include <stdint.h>

/**
 * Bridge until standard input ends. Prints "ready" when the interface is there. What goes wrong
 * ends the program.
 *
 * @param gso  checksums and segmentation are left to the device, and the device may leave them to
 *             us; else packets are as they would be on a wire
 */
void bridge_run(const char *ifname, bool gso, uint16_t queue_size);

#endif /* PERF_BRIDGE_H */
