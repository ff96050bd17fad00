/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_DEVICE_RELEASE_H
#define APP_DEVICE_RELEASE_H

/**
 * @file
 * Within the device manager: a device on its way to another process (device_release() in
 * device_adopt.h). Control lcore only.
 */

struct device;

/** Something that the release may have waited for has ended. */
void device_release_try(struct device *dev);
/** The device is being removed instead. */
void device_release_cancel(struct device *dev);

#endif /* APP_DEVICE_RELEASE_H */
