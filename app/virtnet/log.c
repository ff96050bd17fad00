/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Log lines on stderr, DPDK's included. */

#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_log.h>

#include "log.h"

/* Longest line; the rest of a longer one is cut. */
#define LOG_LINE_MAX 1024

static atomic_int log_threshold = LOG_LEVEL_INFO;
static const char *const level_name[] = {"ERR", "INFO", "DEBUG"};

/* The journal puts identity and pid in front of each line by itself. */
static void
log_line(const char *text)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	char line[LOG_LINE_MAX + 64];
	int len;

	if (getenv("JOURNAL_STREAM") != NULL)
		len = snprintf(line, sizeof(line), "%s\n", text);
	else
		len = snprintf(
			line, sizeof(line), "virtio-net-controller[%d]: %s\n", (int)getpid(), text);
	/* A reader that does not read loses lines; nobody waits for it. */
	if (poll(&out, 1, 0) != 1)
		return;
	/* One write per line: lines of several threads do not mix. */
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return;
}

void
log_write(enum log_level level, const char *file, int line, const char *func, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	va_list ap;
	int at;

	if ((int)level > log_threshold)
		return;
	at = snprintf(text, sizeof(text), "[%s] %s:%d:%s: ", level_name[level], file, line, func);
	va_start(ap, fmt);
	vsnprintf(text + at, sizeof(text) - at, fmt, ap);
	va_end(ap);
	log_line(text);
}

bool
log_limit_pass(struct log_limit *limit)
{
	unsigned int left_out;

	if (!log_limit_take(limit, &left_out))
		return false;
	if (left_out > 0)
		log_info("%u more lines about the same device left out", left_out);
	return true;
}

static enum log_level
from_rte_level(int level)
{
	if (level <= (int)RTE_LOG_ERR)
		return LOG_LEVEL_ERR;
	return level <= (int)RTE_LOG_INFO ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

static ssize_t
rte_stream_write(void *cookie, const char *buf, size_t len)
{
	const enum log_level level = from_rte_level(rte_log_cur_msg_loglevel());
	char text[LOG_LINE_MAX];
	size_t end = len;

	(void)cookie;
	while (end > 0 && buf[end - 1] == '\n')
		end--;
	if (end > 0 && (int)level <= log_threshold) {
		snprintf(text, sizeof(text), "[%s] dpdk: %.*s", level_name[level], (int)end, buf);
		log_line(text);
	}
	return (ssize_t)len;
}

void
log_init(void)
{
	static const cookie_io_functions_t io = {.write = rte_stream_write};
	FILE *stream = fopencookie(NULL, "w", io);

	if (stream == NULL)
		return;
	setvbuf(stream, NULL, _IOLBF, LOG_LINE_MAX);
	rte_openlog_stream(stream);
}

void
log_set_level(enum log_level level)
{
	log_threshold = level;
	rte_log_set_level_pattern(
		"virtnet.*", level == LOG_LEVEL_DEBUG ? RTE_LOG_DEBUG : RTE_LOG_INFO);
}

bool
log_level_parse(const char *name, enum log_level *level)
{
	static const char *const names[] = {"err", "info", "debug"};

	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	return false;
}
