/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_LOG_H
#define APP_LOG_H

/**
 * @file
 * Log lines in the contract's shape: `virtio-net-controller[PID]: [INFO] file.c:LINE:function:
 * message`. Any thread; never from the packet path.
 */

#include <stdbool.h>
#include <stdint.h>

#include "ha/log_limit.h"

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/** Send DPDK's own messages (EAL, drivers) through here, too. Once, before EAL starts. */
void log_init(void);
void log_set_level(enum log_level level);
/** "err", "info", "debug". @return false if it is none of them */
bool log_level_parse(const char *name, enum log_level *level);

void log_write(enum log_level level, const char *file, int line, const char *func, const char *fmt,
	...) __attribute__((format(printf, 5, 6)));

/** May a line that a host can cause be written now? Tells how many were left out. */
bool log_limit_pass(struct log_limit *limit);

#define log_limited(limit, level, ...)                                                             \
	do {                                                                                       \
		if (log_limit_pass(limit))                                                         \
			LOG_AT(level, __VA_ARGS__);                                                \
	} while (0)

#define LOG_AT(level, ...) log_write(level, __FILE_NAME__, __LINE__, __func__, __VA_ARGS__)
#define log_err(...)	   LOG_AT(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_info(...)	   LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	   LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif /* APP_LOG_H */
