/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* QMP on a unix socket: lines of JSON, one command at a time. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "host/qmp/qmp_conn.h"

#define QMP_READ_SIZE 65536 /**< bytes taken per turn of the event loop */
#define QMP_TEXT_LEN  256

enum conn_state {
	CONN_GREETING,	  /* waits for {"QMP": ...} */
	CONN_NEGOTIATING, /* waits for the answer to qmp_capabilities */
	CONN_READY,
};

struct qmp_cmd {
	TAILQ_ENTRY(qmp_cmd) link;
	char *text; /* a line, NULL once sent */
	json_int_t id;
	char name[32];
	qmp_reply_t done; /* NULL: nobody wants to know */
	void *arg;
};

struct qmp_conn {
	const struct qmp_conn_cb *cb;
	void *arg;
	int fd;
	enum conn_state state;
	struct qmp_version version;
	struct event *readable;
	struct event *timer; /* greeting, or answer to the first of cmds */
	struct evbuffer *in;
	size_t scanned; /* bytes of `in` known to have no end of line */
	json_int_t last_id;
	TAILQ_HEAD(, qmp_cmd) cmds; /* the first one is under way */
};

/* Calls back and, with that, frees the connection: to be followed by return. */
static void
conn_lost(struct qmp_conn *c, enum qmp_loss loss, const char *what)
{
	const struct qmp_cmd *cmd = TAILQ_FIRST(&c->cmds);
	char text[QMP_TEXT_LEN];

	if (cmd != NULL && cmd->text == NULL)
		snprintf(text, sizeof(text), "%s (QMP command %s)", what, cmd->name);
	else
		snprintf(text, sizeof(text), "%s", what);
	c->cb->lost(c->arg, loss, text);
}

static void
timer_start(struct qmp_conn *c, unsigned int ms)
{
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	evtimer_add(c->timer, &tv);
}

static void
cmd_free(struct qmp_conn *c, struct qmp_cmd *cmd)
{
	TAILQ_REMOVE(&c->cmds, cmd, link);
	free(cmd->text);
	free(cmd);
}

static void
cmd_send_first(struct qmp_conn *c)
{
	struct qmp_cmd *cmd = TAILQ_FIRST(&c->cmds);
	ssize_t n, len;

	if (cmd == NULL || cmd->text == NULL)
		return;
	len = (ssize_t)strlen(cmd->text);
	n = send(c->fd, cmd->text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(cmd->text);
	cmd->text = NULL;
	/*
	 * With one short command under way the socket has room, or the peer is broken. The end of
	 * the connection is reported from the event loop like any other.
	 */
	if (n != len)
		shutdown(c->fd, SHUT_RDWR);
	timer_start(c, QMP_ANSWER_MS);
}

static char *
cmd_text(const char *command, json_int_t id, json_t *args)
{
	json_t *msg = json_pack("{s:s, s:I}", "execute", command, "id", id);
	char *json, *line = NULL;

	if (args != NULL)
		json_object_set_new(msg, "arguments", args);
	json = json_dumps(msg, JSON_COMPACT);
	if (json != NULL && asprintf(&line, "%s\n", json) < 0)
		line = NULL;
	free(json);
	json_decref(msg);
	return line;
}

void
qmp_conn_execute(struct qmp_conn *c, const char *command, json_t *args, qmp_reply_t done, void *arg)
{
	struct qmp_cmd *cmd = calloc(1, sizeof(*cmd));
	char *text = cmd_text(command, ++c->last_id, args);
	bool idle = TAILQ_EMPTY(&c->cmds);

	if (cmd == NULL || text == NULL) {
		free(cmd);
		free(text);
		shutdown(c->fd, SHUT_RDWR);
		return;
	}
	cmd->text = text;
	cmd->id = c->last_id;
	snprintf(cmd->name, sizeof(cmd->name), "%s", command);
	cmd->done = done;
	cmd->arg = arg;
	TAILQ_INSERT_TAIL(&c->cmds, cmd, link);
	if (idle)
		cmd_send_first(c);
}

void
qmp_conn_forget(struct qmp_conn *c, const void *arg)
{
	struct qmp_cmd *cmd, *next;

	for (cmd = TAILQ_FIRST(&c->cmds); cmd != NULL; cmd = next) {
		next = TAILQ_NEXT(cmd, link);
		if (cmd->arg != arg)
			continue;
		if (cmd->text != NULL)
			cmd_free(c, cmd);
		else
			cmd->done = NULL;
	}
}

static void
negotiated(void *arg, const struct qmp_reply *reply)
{
	struct qmp_conn *c = arg;

	if (reply->ret == NULL) {
		/* The end of the connection is reported from the event loop. */
		shutdown(c->fd, SHUT_RDWR);
		return;
	}
	c->state = CONN_READY;
	c->cb->ready(c->arg);
}

static bool
greeting_take(struct qmp_conn *c, const json_t *msg)
{
	const json_t *qemu;
	int major, minor, micro;

	qemu = json_object_get(json_object_get(json_object_get(msg, "QMP"), "version"), "qemu");
	if (json_unpack((json_t *)qemu, "{s:i, s:i, s:i}", "major", &major, "minor", &minor,
		    "micro", &micro) != 0 ||
		major < 0 || minor < 0 || micro < 0)
		return false;
	c->version =
		(struct qmp_version){(unsigned int)major, (unsigned int)minor, (unsigned int)micro};
	c->state = CONN_NEGOTIATING;
	evtimer_del(c->timer);
	qmp_conn_execute(c, "qmp_capabilities", NULL, negotiated, c);
	return true;
}

static bool
reply_take(struct qmp_conn *c, const json_t *msg)
{
	struct qmp_cmd *cmd = TAILQ_FIRST(&c->cmds);
	const json_t *error = json_object_get(msg, "error"), *id = json_object_get(msg, "id");
	struct qmp_reply reply = {.ret = json_object_get(msg, "return")};
	qmp_reply_t done;
	void *arg;

	if (cmd == NULL || cmd->text != NULL || !json_is_integer(id) ||
		json_integer_value(id) != cmd->id)
		return false;
	if (reply.ret == NULL) {
		reply.error_class = json_string_value(json_object_get(error, "class"));
		reply.error_desc = json_string_value(json_object_get(error, "desc"));
		if (reply.error_class == NULL || reply.error_desc == NULL)
			return false;
	}
	done = cmd->done;
	arg = cmd->arg;
	evtimer_del(c->timer);
	cmd_free(c, cmd);
	if (done != NULL)
		done(arg, &reply);
	cmd_send_first(c);
	return true;
}

static bool
message_take(struct qmp_conn *c, const json_t *msg)
{
	const char *event = json_string_value(json_object_get(msg, "event"));

	if (c->state == CONN_GREETING)
		return greeting_take(c, msg);
	if (event == NULL)
		return reply_take(c, msg);
	if (c->state == CONN_READY)
		c->cb->event(c->arg, event, json_object_get(msg, "data"));
	return true;
}

static bool
line_take(struct qmp_conn *c, const char *line, size_t len)
{
	json_t *msg;
	bool ok;

	if (len == 0)
		return true;
	msg = json_loadb(line, len, 0, NULL);
	ok = json_is_object(msg) && message_take(c, msg);
	json_decref(msg);
	return ok;
}

/* 1: a line of len bytes and its end of eol bytes are there; 0: not yet; -1: too long. */
static int
line_find(struct qmp_conn *c, size_t *len, size_t *eol)
{
	struct evbuffer_ptr from, at;

	if (evbuffer_ptr_set(c->in, &from, c->scanned, EVBUFFER_PTR_SET) != 0)
		return 0;
	at = evbuffer_search_eol(c->in, &from, eol, EVBUFFER_EOL_CRLF);
	if (at.pos < 0) {
		c->scanned = evbuffer_get_length(c->in);
		return c->scanned > QMP_LINE_MAX ? -1 : 0;
	}
	*len = (size_t)at.pos;
	c->scanned = 0;
	return *len > QMP_LINE_MAX ? -1 : 1;
}

static void
conn_readable(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_conn *c = arg;
	size_t len, eol;
	int n, found;

	n = evbuffer_read(c->in, fd, QMP_READ_SIZE);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		conn_lost(c, QMP_CLOSED, "QEMU closed the QMP connection");
		return;
	}
	while ((found = line_find(c, &len, &eol)) > 0) {
		/* A line is at most QMP_LINE_MAX, and most are in one piece already. */
		const char *line = (const char *)evbuffer_pullup(c->in, (ev_ssize_t)len);

		if (!line_take(c, line, len)) {
			found = -1;
			break;
		}
		evbuffer_drain(c->in, len + eol);
	}
	if (found < 0)
		conn_lost(c, QMP_GARBAGE, "what the QMP socket sent is not QMP");
}

static void
conn_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_conn *c = arg;

	if (c->state == CONN_GREETING)
		conn_lost(c, QMP_SILENT,
			"no greeting on the QMP socket: is another QMP client connected to it?");
	else
		conn_lost(c, QMP_SILENT, "QEMU did not answer in time");
}

static int
socket_connect(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd, ret;

	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	strcpy(sun.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* On a unix socket it succeeds or fails at once. */
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	return ret;
}

int
qmp_conn_open(const char *path, struct event_base *base, const struct qmp_conn_cb *cb, void *arg,
	struct qmp_conn **out)
{
	struct qmp_conn *c;
	int fd = socket_connect(path);

	if (fd < 0)
		return fd;
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		close(fd);
		return -ENOMEM;
	}
	TAILQ_INIT(&c->cmds);
	c->cb = cb;
	c->arg = arg;
	c->fd = fd;
	c->in = evbuffer_new();
	c->timer = evtimer_new(base, conn_timeout, c);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, conn_readable, c);
	if (c->in == NULL || c->timer == NULL || c->readable == NULL ||
		event_add(c->readable, NULL) != 0) {
		qmp_conn_close(c);
		return -ENOMEM;
	}
	timer_start(c, QMP_GREETING_MS);
	*out = c;
	return 0;
}

void
qmp_conn_close(struct qmp_conn *c)
{
	while (!TAILQ_EMPTY(&c->cmds))
		cmd_free(c, TAILQ_FIRST(&c->cmds));
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->timer != NULL)
		event_free(c->timer);
	if (c->in != NULL)
		evbuffer_free(c->in);
	close(c->fd);
	free(c);
}

bool
qmp_conn_is_ready(const struct qmp_conn *c)
{
	return c->state == CONN_READY;
}

const struct qmp_version *
qmp_conn_version(const struct qmp_conn *c)
{
	return &c->version;
}
