/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A QMP monitor that plays transcripts. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "qmp_monitor.h"
#include "test.h"

struct qmp_monitor qmp_monitor;

void
qmp_monitor_drop(void)
{
	if (qmp_monitor.reading != NULL)
		event_free(qmp_monitor.reading);
	if (qmp_monitor.client >= 0)
		close(qmp_monitor.client);
	qmp_monitor.reading = NULL;
	qmp_monitor.client = -1;
	qmp_monitor.in_len = 0;
	if (qmp_monitor.accepting != NULL)
		event_add(qmp_monitor.accepting, NULL);
}

static void
monitor_say(const char *text, json_int_t id)
{
	char out[8192], *at = out;

	for (; *text != '\0' && at < out + sizeof(out) - 32; text++) {
		if (*text == '@')
			at += sprintf(at, "%lld", (long long)id);
		else
			*at++ = *text;
	}
	at += sprintf(at, "\r\n");
	if (write(qmp_monitor.client, out, (size_t)(at - out)) != at - out)
		qmp_monitor_drop(); /* the driver has hung up */
}

static void
monitor_command(const char *line)
{
	json_t *cmd = json_loads(line, 0, NULL);
	json_int_t id = json_integer_value(json_object_get(cmd, "id"));
	const struct qmp_step *step = &qmp_monitor.steps[qmp_monitor.at];

	json_decref(cmd);
	assert_non_null(cmd);
	if (strstr(line, "\"qmp_capabilities\"") != NULL) {
		monitor_say(OK, id);
		return;
	}
	if (qmp_monitor.at == qmp_monitor.n_steps || strstr(line, step->want) == NULL)
		fail_msg("unexpected: %s (wanted %s)", line,
			qmp_monitor.at < qmp_monitor.n_steps ? step->want : "nothing");
	qmp_monitor.at++;
	if (step->say == NULL)
		qmp_monitor_drop();
	else
		monitor_say(step->say, id);
}

static void
monitor_readable(evutil_socket_t fd, short what, void *arg)
{
	ssize_t n = read(fd, qmp_monitor.in + qmp_monitor.in_len,
		sizeof(qmp_monitor.in) - qmp_monitor.in_len - 1);
	char *end;

	if (n <= 0) {
		qmp_monitor_drop();
		return;
	}
	qmp_monitor.in_len += (size_t)n;
	qmp_monitor.in[qmp_monitor.in_len] = '\0';
	for (end = qmp_monitor.in;
		qmp_monitor.client >= 0 && (end = strchr(qmp_monitor.in, '\n')) != NULL;) {
		*end = '\0';
		monitor_command(qmp_monitor.in);
		if (qmp_monitor.client < 0)
			return;
		qmp_monitor.in_len -= (size_t)(end + 1 - qmp_monitor.in);
		memmove(qmp_monitor.in, end + 1, qmp_monitor.in_len + 1);
	}
}

static void
monitor_accept(evutil_socket_t fd, short what, void *arg)
{
	assert_int_equal(qmp_monitor.client, -1);
	qmp_monitor.client = accept(fd, NULL, NULL);
	assert_true(qmp_monitor.client >= 0);
	/* As QEMU does: one client at a time, the others wait. */
	event_del(qmp_monitor.accepting);
	qmp_monitor.accepted++;
	qmp_monitor.reading = event_new(
		qmp_monitor.base, qmp_monitor.client, EV_READ | EV_PERSIST, monitor_readable, NULL);
	event_add(qmp_monitor.reading, NULL);
	if (qmp_monitor.greeting != NULL)
		monitor_say(qmp_monitor.greeting, 0);
}

void
qmp_monitor_listen(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", qmp_monitor.path);
	qmp_monitor.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(qmp_monitor.listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(qmp_monitor.listener, 1), 0);
	qmp_monitor.accepting = event_new(
		qmp_monitor.base, qmp_monitor.listener, EV_READ | EV_PERSIST, monitor_accept, NULL);
	event_add(qmp_monitor.accepting, NULL);
}

void
qmp_monitor_close(void)
{
	if (qmp_monitor.accepting != NULL)
		event_free(qmp_monitor.accepting);
	if (qmp_monitor.listener >= 0)
		close(qmp_monitor.listener);
	qmp_monitor.accepting = NULL;
	qmp_monitor.listener = -1;
}

void
qmp_monitor_wait_drop(void)
{
	while (qmp_monitor.client >= 0)
		event_base_loop(qmp_monitor.base, EVLOOP_ONCE);
}

int
qmp_monitor_setup(void)
{
	memset(&qmp_monitor, 0, sizeof(qmp_monitor));
	qmp_monitor.client = qmp_monitor.listener = -1;
	qmp_monitor.greeting = GREETING;
	snprintf(qmp_monitor.dir, sizeof(qmp_monitor.dir), "/tmp/virtnet-test-XXXXXX");
	if (mkdtemp(qmp_monitor.dir) == NULL)
		return -1;
	snprintf(qmp_monitor.path, sizeof(qmp_monitor.path), "%s/qmp.sock", qmp_monitor.dir);
	signal(SIGPIPE, SIG_IGN);
	qmp_monitor.base = event_base_new();
	return qmp_monitor.base != NULL ? 0 : -1;
}

int
qmp_monitor_teardown(void)
{
	qmp_monitor_drop();
	qmp_monitor_close();
	event_base_free(qmp_monitor.base);
	unlink(qmp_monitor.path);
	return rmdir(qmp_monitor.dir);
}
