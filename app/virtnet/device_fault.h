/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_FAULT_H
#define APP_DEVICE_FAULT_H

/**
 * @file
 * Faults of a device that a host caused: broken rings, buffers outside its memory, memory truncated
 * under us. They cost the device (DEVICE_NEEDS_RESET), never the process. Control lcore only.
 */

#include "vring/vring.h"

struct device;

/** How long a buffer's address may be unmapped: hypervisors take all memory away and give it back
 * at times. */
#define DEVICE_FAULT_GRACE_MS 100

/** Look for faults that workers have flagged. */
void device_fault_check(struct device *dev);
/** The control queue was stopped for this. */
void device_fault_control(struct device *dev, enum vring_error error);
/** A ring that a predecessor had cannot be gone on with. */
void device_fault_positions(struct device *dev);
/** Memory was mapped: try rings that missed some again. */
void device_fault_retry(struct device *dev);
/** The device is being reset: nothing to retry. */
void device_fault_cancel(struct device *dev);

#endif /* APP_DEVICE_FAULT_H */
