/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_RUN_H
#define APP_DEVICE_RUN_H

/**
 * @file
 * Running a device's queues: who may touch them when. Control lcore only.
 *
 * device_virtio.c (the driver's registers) and device_host.c (the client's memory and connection)
 * say what happens; device_run.c does it without workers noticing; device_rings.c starts and stops
 * rings.
 */

#include "device.h"

extern const struct virtio_dev_ops device_virtio_ops;
extern const struct emu_upcalls device_emu_upcalls;

/**
 * Withdraw the device's pairs from workers, then run fn(dev, arg) and, if it left the device
 * started, publish them again. With nothing published fn runs at once.
 *
 * fn may set dev->step_err to fail the message that it is done for.
 *
 * @param answer  fn's end also ends the register write or message that waits for it
 * @return 0 done; -EINPROGRESS; what fn said
 */
int device_quiesce(
	struct device *dev, void (*fn)(struct device *dev, void *arg), void *arg, bool answer);

/** For device_quiesce(): take up what has changed already. */
void device_step_nothing(struct device *dev, void *arg);

/** Publish the pairs whose rings can run, if the device is started and may do DMA. Rings without
 * memory wait for it. */
void device_resume(struct device *dev);

/** The driver's start, or a change of its queues, was cut short by the end of the process: the SF
 * is given its queues (again), then they run. */
void device_start_again(struct device *dev);

/** The transport has another number of pairs in use (emu_ops.pairs()): so does the SF. */
void device_pairs_changed(struct device *dev);

/** The message that waits for the device is done. */
void device_answer_host(struct device *dev, int err);

/** Stop all rings and take the SF's queues back. For fn of device_quiesce(). */
void device_stop(struct device *dev);

/** Drop the client's memory; it is unmapped by the helper after a grace period. */
void device_forget_memory(struct device *dev);

#endif /* APP_DEVICE_RUN_H */
