/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_TRANSPORT_H
#define APP_DEVICE_TRANSPORT_H

/**
 * @file
 * Within the device manager: what a transport whose client hands out rings by messages asks of its
 * device (the second half of struct emu_upcalls). Control lcore only.
 */

#include "device.h"

uint32_t device_up_queue_base(void *ctx, uint16_t queue);
void device_up_queue_set_base(void *ctx, uint16_t queue, uint32_t base);
void device_up_pairs_changed(void *ctx);
void device_up_kick_changed(void *ctx, uint16_t queue);
int device_up_log_changed(void *ctx);
int device_up_announce(void *ctx, const uint8_t mac[6]);

/** Queue pairs that the driver has, for a start. */
uint16_t device_transport_pairs(const struct device *dev);

/** A ring is about to start: where its client has said that it begins may be wrong. */
void device_base_check(struct device *dev, uint16_t queue);

/** Send what was to be announced, if anything; nothing of the device is with a worker. */
void device_announce(struct device *dev);

#endif /* APP_DEVICE_TRANSPORT_H */
