/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The keeper's log lines on stderr. */

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "klog.h"

/* Longest message; the rest of a longer one is cut. */
#define KLOG_LINE_MAX 1024

static enum klog_level klog_threshold = KLOG_INFO;

void
klog_set_level(enum klog_level level)
{
	klog_threshold = level;
}

void
klog_write(
	enum klog_level level, const char *file, int line, const char *func, const char *fmt, ...)
{
	static const char *const level_name[] = {"ERR", "INFO", "DEBUG"};
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	char text[KLOG_LINE_MAX + 2];
	size_t len = 0;
	va_list ap;

	if (level > klog_threshold)
		return;
	/* The journal puts identity and pid in front of each line by itself. */
	if (getenv("JOURNAL_STREAM") == NULL)
		len += (size_t)snprintf(
			text, KLOG_LINE_MAX, "virtio-net-controller[%d]: ", (int)getpid());
	len += (size_t)snprintf(text + len, KLOG_LINE_MAX - len,
		"[%s] %s:%d:%s: ", level_name[level], file, line, func);
	va_start(ap, fmt);
	len += (size_t)vsnprintf(text + len, KLOG_LINE_MAX - len, fmt, ap);
	va_end(ap);
	if (len > KLOG_LINE_MAX - 1)
		len = KLOG_LINE_MAX - 1;
	text[len++] = '\n';
	/* A reader that does not read loses lines; recovery waits for nobody. */
	if (poll(&out, 1, 0) == 1 && write(STDERR_FILENO, text, len) < 0)
		return;
}
