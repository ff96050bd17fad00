/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Host driver "qmp": a VM whose QEMU is asked over its monitor to plug and unplug. The host, and
 * its jobs' life.
 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <rte_debug.h>

#include "host/qmp/qmp_host.h"

/**
 * An unused connection keeps other QMP clients out: it stays only as long as the next command may
 * follow.
 */
#define QMP_IDLE_MS 1000u
/**
 * Pause between tries to connect when there is no room among the clients that wait. The process
 * before us may have been one; QEMU takes it out when it sees that it is gone. Altogether not
 * longer than one waits for the greeting, which is for the same reason.
 */
#define QMP_RETRY_MS 100u

static const struct host_ops qmp_ops;
static const struct qmp_conn_cb conn_cb;

static void
timer_ms(struct event *timer, unsigned int ms)
{
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	evtimer_add(timer, &tv);
}

void
qmp_job_timer(struct qmp_job *job, unsigned int ms)
{
	timer_ms(job->timer, ms);
}

void
qmp_job_deadline(struct qmp_job *job, unsigned int ms)
{
	timer_ms(job->deadline, ms);
}

static void
turn_soon(struct qmp_host *h)
{
	event_active(h->turn, EV_TIMEOUT, 0);
}

static void
job_free(struct qmp_job *job)
{
	event_free(job->timer);
	event_free(job->deadline);
	json_decref(job->ports);
	free(job->id);
	free(job->socket);
	free(job);
}

/*
 * The sentence goes to logs, terminals and JSON. JSON from QEMU is UTF-8, which has the controls
 * below the blank, DEL, and those from U+0080 on; the end may have been cut within a character.
 */
static void
text_clean(char *text, size_t size)
{
	size_t len = strlen(text);

	for (char *c = text; *c != '\0'; c++) {
		const unsigned char first = (unsigned char)c[0], second = (unsigned char)c[1];

		if (first < ' ' || first == 0x7f)
			c[0] = '?';
		else if (first == 0xc2 && second >= 0x80 && second < 0xa0)
			c[0] = c[1] = '?';
	}
	if (len < size - 1)
		return;
	while (len > 0 && ((unsigned char)text[len - 1] & 0xc0) == 0x80)
		len--;
	if (len > 0 && ((unsigned char)text[len - 1] & 0x80) != 0)
		len--;
	text[len] = '\0';
}

static void
result_set(struct qmp_job *job, enum host_result result, const char *fmt, va_list ap)
{
	job->reply.result = result;
	vsnprintf(job->reply.err, sizeof(job->reply.err), fmt, ap);
	text_clean(job->reply.err, sizeof(job->reply.err));
}

void
qmp_job_result(struct qmp_job *job, enum host_result result, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	result_set(job, result, fmt, ap);
	va_end(ap);
}

void
qmp_job_finish(struct qmp_job *job, enum host_result result, const char *fmt, ...)
{
	struct qmp_host *h = job->host;
	va_list ap;

	job->reply.result = result;
	if (fmt != NULL) {
		va_start(ap, fmt);
		result_set(job, result, fmt, ap);
		va_end(ap);
	}
	if (h->conn != NULL)
		qmp_conn_forget(h->conn, job);
	evtimer_del(job->timer);
	evtimer_del(job->deadline);
	TAILQ_REMOVE(&h->jobs, job, link);
	TAILQ_INSERT_TAIL(&h->finished, job, link);
	if (TAILQ_EMPTY(&h->jobs))
		timer_ms(h->idle, QMP_IDLE_MS);
	turn_soon(h);
}

void
qmp_job_restart(struct qmp_job *job)
{
	job->started = false;
	/* Whatever was said to the connection before is said again. */
	job->asked = false;
	turn_soon(job->host);
}

void
qmp_job_execute(struct qmp_job *job, const char *command, json_t *args, qmp_reply_t done)
{
	qmp_conn_execute(job->host->conn, command, args, done, job);
}

void
qmp_job_qom_list(struct qmp_job *job, const char *path, qmp_reply_t done)
{
	qmp_job_execute(job, "qom-list", json_pack("{s:s}", "path", path), done);
}

static void sequence_step(struct qmp_job *job);

static void
sequence_answered(void *arg, const struct qmp_reply *reply)
{
	struct qmp_job *job = arg;

	if (!job->step->answered(job, reply)) {
		job->then(job, false);
		return;
	}
	job->step++;
	sequence_step(job);
}

static void
sequence_step(struct qmp_job *job)
{
	const struct qmp_seq *s = job->step;

	if (s->command == NULL) {
		job->then(job, true);
		return;
	}
	if (s->changes)
		job->state = PLUG_ADDING;
	qmp_job_execute(job, s->command, s->args != NULL ? s->args(job) : NULL, sequence_answered);
}

void
qmp_job_sequence(struct qmp_job *job, const struct qmp_seq *steps, qmp_then_t then)
{
	job->step = steps;
	job->then = then;
	sequence_step(job);
}

static void
jobs_start(struct qmp_host *h)
{
	struct qmp_job *job, *next;

	for (job = TAILQ_FIRST(&h->jobs); job != NULL; job = next) {
		next = TAILQ_NEXT(job, link);
		if (job->started)
			continue;
		job->started = true;
		job->type->start(job);
	}
}

static void
jobs_lost(struct qmp_host *h, enum qmp_loss loss, const char *text)
{
	struct qmp_job *job, *next;

	for (job = TAILQ_FIRST(&h->jobs); job != NULL; job = next) {
		next = TAILQ_NEXT(job, link);
		job->type->lost(job, loss, text);
	}
}

static void
conn_ready(void *arg)
{
	jobs_start(arg);
}

static void
conn_event(void *arg, const char *name, const json_t *data)
{
	struct qmp_host *h = arg;
	struct qmp_job *job, *next;

	for (job = TAILQ_FIRST(&h->jobs); job != NULL; job = next) {
		next = TAILQ_NEXT(job, link);
		if (job->started && job->type->event != NULL)
			job->type->event(job, name, data);
	}
}

static void
conn_lost(void *arg, enum qmp_loss loss, const char *text)
{
	struct qmp_host *h = arg;

	qmp_conn_close(h->conn);
	h->conn = NULL;
	jobs_lost(h, loss, text);
}

static const struct qmp_conn_cb conn_cb = {
	.ready = conn_ready,
	.event = conn_event,
	.lost = conn_lost,
};

static void
host_connect(struct qmp_host *h)
{
	bool gone;
	char text[160];
	int ret;

	ret = qmp_conn_open(h->conf.qmp_socket, h->base, &conn_cb, h, &h->conn);
	if (ret == -EAGAIN && h->connect_ms < QMP_GREETING_MS) {
		h->connect_ms += QMP_RETRY_MS;
		timer_ms(h->retry, QMP_RETRY_MS);
		return;
	}
	h->connect_ms = 0;
	if (ret == 0)
		return;
	gone = ret == -ENOENT || ret == -ECONNREFUSED;
	snprintf(text, sizeof(text), "no QMP connection to %s: %s%s", h->conf.qmp_socket,
		strerror(-ret), gone ? " (is the VM running?)" : "");
	jobs_lost(h, gone ? QMP_GONE : QMP_SILENT, text);
}

/* One answer in each turn, and nothing after it: the callback may destroy the host. */
static void
host_turn(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_host *h = arg;
	struct qmp_job *job;
	struct host_reply reply;
	host_done_t done;
	void *done_arg;

	if (h->conn != NULL && qmp_conn_is_ready(h->conn))
		jobs_start(h);
	else if (h->conn == NULL && !TAILQ_EMPTY(&h->jobs) && !evtimer_pending(h->retry, NULL))
		host_connect(h);
	job = TAILQ_FIRST(&h->finished);
	if (job == NULL)
		return;
	TAILQ_REMOVE(&h->finished, job, link);
	if (!TAILQ_EMPTY(&h->finished))
		turn_soon(h);
	reply = job->reply;
	done = job->done;
	done_arg = job->arg;
	job_free(job);
	done(done_arg, &reply);
}

static void
host_retry(evutil_socket_t fd, short what, void *arg)
{
	turn_soon(arg);
}

static void
host_idle(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_host *h = arg;

	if (h->conn != NULL && TAILQ_EMPTY(&h->jobs)) {
		qmp_conn_close(h->conn);
		h->conn = NULL;
	}
}

static void
job_timer(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_job *job = arg;

	job->type->timer(job);
}

static void
job_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct qmp_job *job = arg;

	job->type->expired(job);
}

static char *
copy(const char *s)
{
	char *c = strdup(s != NULL ? s : "");

	if (c == NULL)
		rte_panic("out of memory\n");
	return c;
}

static struct qmp_job *
job_new(struct host *host, const struct qmp_job_type *type, const char *id, host_done_t done,
	void *arg)
{
	struct qmp_host *h = (struct qmp_host *)host;
	struct qmp_job *job = calloc(1, sizeof(*job));

	/* A few hundred bytes: a control lcore that cannot have them cannot go on either. */
	if (job == NULL || (job->timer = evtimer_new(h->base, job_timer, job)) == NULL ||
		(job->deadline = evtimer_new(h->base, job_deadline, job)) == NULL)
		rte_panic("out of memory\n");
	job->host = h;
	job->type = type;
	job->id = copy(id);
	job->done = done;
	job->arg = arg;
	TAILQ_INSERT_TAIL(&h->jobs, job, link);
	turn_soon(h);
	return job;
}

static void
job_about(struct qmp_job *job, const struct host_plug *plug)
{
	job->function = plug->function;
	job->kind = qmp_kind_of(plug->function.kind);
}

static void
qmp_plug(struct host *host, const struct host_plug *plug, host_done_t done, void *arg)
{
	struct qmp_job *job = job_new(host, &qmp_job_plug, plug->id, done, arg);

	job_about(job, plug);
	job->socket = copy(plug->socket);
	qmp_job_deadline(job, job->host->plug_ms);
}

static void
qmp_unplug(struct host *host, const struct host_plug *plug, bool force, unsigned int timeout_ms,
	host_done_t done, void *arg)
{
	struct qmp_job *job = job_new(host, &qmp_job_unplug, plug->id, done, arg);

	job_about(job, plug);
	job->force = force;
	job->timeout_ms = timeout_ms;
	qmp_job_timer(job, timeout_ms / 2);
}

static void
qmp_query(struct host *host, const char *id, host_done_t done, void *arg)
{
	job_new(host, &qmp_job_query, id, done, arg);
}

static void
qmp_destroy(struct host *host)
{
	struct qmp_host *h = (struct qmp_host *)host;
	struct qmp_job *job;

	TAILQ_CONCAT(&h->jobs, &h->finished, link);
	while ((job = TAILQ_FIRST(&h->jobs)) != NULL) {
		TAILQ_REMOVE(&h->jobs, job, link);
		job_free(job);
	}
	if (h->conn != NULL)
		qmp_conn_close(h->conn);
	if (h->turn != NULL)
		event_free(h->turn);
	if (h->idle != NULL)
		event_free(h->idle);
	if (h->retry != NULL)
		event_free(h->retry);
	free(h);
}

static int
conf_check(const struct host_conf *conf, char *err, size_t err_len)
{
	const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (conf->qmp_socket == NULL || conf->qmp_socket[0] == '\0') {
		snprintf(
			err, err_len, "host %s: the path of its QMP socket is missing", conf->name);
		return -EINVAL;
	}
	if (strlen(conf->qmp_socket) > max) {
		snprintf(err, err_len,
			"host %s: the path of its QMP socket has more than %zu characters",
			conf->name, max);
		return -EINVAL;
	}
	return 0;
}

static int
qmp_create(const struct host_conf *conf, struct event_base *base, struct host **out, char *err,
	size_t err_len)
{
	struct qmp_host *h;
	int ret = conf_check(conf, err, err_len);

	if (ret != 0)
		return ret;
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		goto no_memory;
	h->host.ops = &qmp_ops;
	h->host.name = conf->name;
	h->conf = *conf;
	h->base = base;
	h->plug_ms = QMP_PLUG_MS;
	TAILQ_INIT(&h->jobs);
	TAILQ_INIT(&h->finished);
	h->turn = evtimer_new(base, host_turn, h);
	h->idle = evtimer_new(base, host_idle, h);
	h->retry = evtimer_new(base, host_retry, h);
	if (h->turn == NULL || h->idle == NULL || h->retry == NULL) {
		qmp_destroy(&h->host);
		goto no_memory;
	}
	*out = &h->host;
	return 0;
no_memory:
	snprintf(err, err_len, "host %s: out of memory", conf->name);
	return -ENOMEM;
}

static const struct host_ops qmp_ops = {
	.name = "qmp",
	.create = qmp_create,
	.destroy = qmp_destroy,
	.plug = qmp_plug,
	.unplug = qmp_unplug,
	.query = qmp_query,
};

HOST_DRIVER_REGISTER(qmp, qmp_ops)
