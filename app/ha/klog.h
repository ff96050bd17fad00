/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_HA_KLOG_H
#define APP_HA_KLOG_H

/**
 * @file
 * The keeper's log lines, in the shape of the emu process's (app/virtnet/log.h): one service, one
 * log. Main thread only.
 */

enum klog_level {
	KLOG_ERR,
	KLOG_INFO,
	KLOG_DEBUG,
};

void klog_set_level(enum klog_level level);
/** By EAL's name or number for it, of which there are more than here. @return 0; -EINVAL */
int klog_set_level_named(const char *name);

void klog_write(enum klog_level level, const char *file, int line, const char *func,
	const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#define KLOG_AT(level, ...) klog_write(level, __FILE_NAME__, __LINE__, __func__, __VA_ARGS__)
#define klog_err(...)	    KLOG_AT(KLOG_ERR, __VA_ARGS__)
#define klog_info(...)	    KLOG_AT(KLOG_INFO, __VA_ARGS__)
#define klog_debug(...)	    KLOG_AT(KLOG_DEBUG, __VA_ARGS__)

#endif /* APP_HA_KLOG_H */
