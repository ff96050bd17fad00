/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Heartbeats against CPU time. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "watchdog.h"

static int
read_task_file(pid_t pid, pid_t tid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	len = read(fd, buf, size - 1);
	close(fd);
	if (len < 0)
		return -EIO;
	buf[len] = '\0';
	return 0;
}

static int
proc_cpu_ns(void *ctx, pid_t pid, pid_t tid, uint64_t *ns)
{
	char text[128];
	int ret = read_task_file(pid, tid, "schedstat", text, sizeof(text));

	if (ret == 0 && sscanf(text, "%" SCNu64, ns) != 1)
		ret = -EINVAL;
	return ret;
}

static char
proc_state(void *ctx, pid_t pid, pid_t tid)
{
	char text[512];
	const char *end;

	if (read_task_file(pid, tid, "stat", text, sizeof(text)) < 0)
		return 0;
	/* The name in front may hold anything, parentheses too. */
	end = strrchr(text, ')');
	return end != NULL && end[1] == ' ' ? end[2] : '\0';
}

const struct watchdog_source watchdog_proc = {.cpu_ns = proc_cpu_ns, .state = proc_state};

void
watchdog_init(struct watchdog *w, unsigned int limit_ms, const struct watchdog_source *source)
{
	memset(w, 0, sizeof(*w));
	w->source = source;
	w->limit_ns = limit_ms * NS_PER_MS;
}

static enum watchdog_verdict
judge(const struct watchdog *w, unsigned int i, pid_t pid, pid_t tid, uint64_t now_ns)
{
	const uint64_t silent = now_ns - w->thread[i].since_ns;
	uint64_t cpu;
	char state;

	if (silent < w->limit_ns)
		return WATCHDOG_FINE;
	if (w->source->cpu_ns(w->source->ctx, pid, tid, &cpu) < 0)
		return WATCHDOG_FINE;
	if (cpu - w->thread[i].cpu_ns >= w->limit_ns / 2)
		return WATCHDOG_STUCK;
	if (silent < w->limit_ns * WATCHDOG_HUNG_FACTOR)
		return WATCHDOG_FINE;
	state = w->source->state(w->source->ctx, pid, tid);
	return state == 'S' || state == 'D' ? WATCHDOG_HUNG : WATCHDOG_FINE;
}

static enum watchdog_verdict
look_at(struct watchdog *w, const struct ha_fence *f, unsigned int i, pid_t pid, uint64_t now_ns)
{
	const struct ha_thread *t = &f->thread[i];
	const pid_t tid = (pid_t)atomic_load_explicit(&t->tid, memory_order_relaxed);
	const uint64_t beats = atomic_load_explicit(&t->beats, memory_order_relaxed);

	if (tid == 0 || atomic_load_explicit(&t->busy, memory_order_relaxed) == 0) {
		w->thread[i].since_ns = 0;
		return WATCHDOG_FINE;
	}
	if (w->thread[i].since_ns != 0 && w->thread[i].beats == beats)
		return judge(w, i, pid, tid, now_ns);
	/* CPU time is read for those only that seem not to get on: not at the first look. */
	if (w->thread[i].beats != beats ||
		w->source->cpu_ns(w->source->ctx, pid, tid, &w->thread[i].cpu_ns) < 0)
		w->thread[i].since_ns = 0;
	else
		w->thread[i].since_ns = now_ns;
	w->thread[i].beats = beats;
	return WATCHDOG_FINE;
}

enum watchdog_verdict
watchdog_look(struct watchdog *w, const struct ha_fence *f, pid_t pid, uint64_t now_ns,
	unsigned int *thread)
{
	const bool late = now_ns - w->looked_ns > w->limit_ns;

	w->looked_ns = now_ns;
	for (unsigned int i = 0; i < HA_THREADS_MAX; i++) {
		enum watchdog_verdict v;

		if (late)
			w->thread[i].since_ns = 0;
		v = look_at(w, f, i, pid, now_ns);
		if (v != WATCHDOG_FINE) {
			*thread = i;
			return v;
		}
	}
	return WATCHDOG_FINE;
}
