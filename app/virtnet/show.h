/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_SHOW_H
#define APP_SHOW_H

/**
 * @file
 * Devices and queues as list and query show them: keys, order and types of the contract.
 */

#include <jansson.h>

#include "device.h"

#define SHOW_MAC_LEN 18

/** Upper-case, colons. */
void show_mac(const uint8_t *mac, char buf[SHOW_MAC_LEN]);

/** The controller's own object of list. */
json_t *show_controller(const struct controller *c);
/**
 * @param query  with query's keys, without the pool's
 * @param debug  with the debug keys
 */
json_t *show_device(const struct device *dev, bool query, bool debug);
/** @param debug  with the debug keys */
json_t *show_queue(const struct device *dev, uint16_t queue, bool debug);

#endif /* APP_SHOW_H */
