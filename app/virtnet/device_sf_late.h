/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_SF_LATE_H
#define APP_DEVICE_SF_LATE_H

/**
 * @file
 * An SF that comes later than its device: a device was taken up from another process, but its SF
 * could not be (the driver's SFs do not outlive a process, or their descriptors are lost). Until
 * the helper has made another the device has one that carries nothing. Control lcore only.
 */

struct device;

/** Give the device its stand-in, and have the SF made. @return 0; -ENOMEM */
int device_sf_late(struct device *dev);

#endif /* APP_DEVICE_SF_LATE_H */
