/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The keeper's log lines on stderr. */

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int
klog_set_level_named(const char *name)
{
	static const struct {
		const char *name, *number;
		enum klog_level level;
	} levels[] = {
		{"emergency", "1", KLOG_ERR},
		{"alert", "2", KLOG_ERR},
		{"critical", "3", KLOG_ERR},
		{"error", "4", KLOG_ERR},
		{"warning", "5", KLOG_ERR},
		{"notice", "6", KLOG_INFO},
		{"info", "7", KLOG_INFO},
		{"debug", "8", KLOG_DEBUG},
	};

	for (unsigned int i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i].name, name) == 0 || strcmp(levels[i].number, name) == 0) {
			klog_threshold = levels[i].level;
			return 0;
		}
	return -EINVAL;
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
