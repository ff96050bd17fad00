/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Marshalling of commands between telemetry threads and the control lcore. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_debug.h>
#include <rte_telemetry.h>

#include "cmd.h"
#include "controller.h"
#include "device_adopt.h"
#include "dpdk_compat.h"
#include "errors.h"
#include "keeper_link.h"
#include "log.h"
#include "request.h"

/* Telemetry's limits: strings of 128 with their NUL; longer ones are split over key, key_1, key_2,
 * ... */
#define TEL_STRING_MAX	 127
#define TEL_STRING_PARTS 8
#define ERROR_TEXT_MAX	 (TEL_STRING_MAX * TEL_STRING_PARTS + 1)

enum request_state {
	REQUEST_POSTED,
	REQUEST_DONE,
	REQUEST_ABANDONED, /* its waiter has gone: whoever ends it frees it */
};

struct pending {
	struct request req; /* first: handlers see only this */
	STAILQ_ENTRY(pending) next;
	enum request_state state;
};

static struct {
	struct controller *c;
	pthread_mutex_t lock;
	pthread_cond_t done;
	STAILQ_HEAD(, pending) posted;
	int event_fd;
	struct event *event;
	enum {
		QUEUE_NOT_YET, /* EAL's telemetry answers before the rest of us is there */
		QUEUE_OPEN,
		QUEUE_CLOSED,
	} state;
	atomic_uint inside; /* telemetry threads */
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.posted = STAILQ_HEAD_INITIALIZER(queue.posted),
	.event_fd = -1,
};

/* ---- reply as telemetry data ---- */

static void
add_string(struct rte_tel_data *d, const char *key, const char *s)
{
	char part[TEL_STRING_MAX + 1], name[64];
	size_t len = strlen(s);

	for (int i = 0; i < TEL_STRING_PARTS; i++) {
		const size_t n = RTE_MIN(len, (size_t)TEL_STRING_MAX);

		memcpy(part, s, n);
		part[n] = '\0';
		if (i == 0)
			snprintf(name, sizeof(name), "%s", key);
		else
			snprintf(name, sizeof(name), "%s_%d", key, i);
		rte_tel_data_add_dict_string(d, name, part);
		s += n;
		len -= n;
		if (len == 0)
			break;
	}
}

static void
add_object(struct rte_tel_data *d, json_t *obj)
{
	struct rte_tel_data *child;
	const char *key;
	json_t *v;

	json_object_foreach (obj, key, v) {
		if (json_is_integer(v)) {
			tel_add_int(d, key, json_integer_value(v));
		} else if (json_is_string(v)) {
			add_string(d, key, json_string_value(v));
		} else if (json_is_object(v)) {
			child = rte_tel_data_alloc();
			if (child == NULL)
				return;
			rte_tel_data_start_dict(child);
			add_object(child, v);
			rte_tel_data_add_dict_container(d, key, child, 0);
		}
	}
}

/*
 * The contract's sentence, then what is wrong in particular. That may quote what somebody typed:
 * bytes that are no UTF-8 would leave a reply without its error.
 */
static void
error_text(char text[ERROR_TEXT_MAX], int err, const char *detail)
{
	const bool more = detail != NULL && detail[0] != '\0';
	json_t *utf8;

	snprintf(text, ERROR_TEXT_MAX, "%s%s%s", vn_strerror(err), more ? ": " : "",
		more ? detail : "");
	utf8 = json_string(text);
	for (char *c = text; utf8 == NULL && *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	json_decref(utf8);
}

static void
add_error(struct rte_tel_data *d, int err, const char *detail)
{
	char text[ERROR_TEXT_MAX];

	error_text(text, err, detail);
	tel_add_int(d, "errno", err);
	add_string(d, "errstr", text);
}

/* ---- control lcore ---- */

static void
end(struct request *req)
{
	struct pending *p = (struct pending *)req;
	bool abandoned;

	pthread_mutex_lock(&queue.lock);
	abandoned = p->state == REQUEST_ABANDONED;
	p->state = REQUEST_DONE;
	if (!abandoned)
		pthread_cond_broadcast(&queue.done);
	pthread_mutex_unlock(&queue.lock);
	if (abandoned) {
		json_decref(p->req.reply);
		free(p);
	}
}

void
request_done(struct request *req)
{
	json_t *body = req->reply;

	req->reply = json_pack("{s:i, s:s}", "errno", 0, "errstr", vn_strerror(0));
	if (body != NULL && req->reply != NULL)
		json_object_update(req->reply, body);
	json_decref(body);
	end(req);
}

void
request_fail(struct request *req, int err, const char *detail)
{
	char text[ERROR_TEXT_MAX];

	error_text(text, err, detail);
	json_decref(req->reply);
	req->reply = json_pack("{s:i, s:s}", "errno", err, "errstr", text);
	end(req);
}

const struct request_arg *
request_arg(const struct request *req, const char *name)
{
	for (unsigned int i = 0; req->cmd->params[i].key != NULL; i++)
		if (strcmp(req->cmd->params[i].key, name) == 0)
			return &req->arg[i];
	rte_panic("%s has no parameter %s\n", req->cmd->name, name);
}

static struct pending *
next_posted(void)
{
	struct pending *p;

	pthread_mutex_lock(&queue.lock);
	p = STAILQ_FIRST(&queue.posted);
	if (p != NULL)
		STAILQ_REMOVE_HEAD(&queue.posted, next);
	pthread_mutex_unlock(&queue.lock);
	return p;
}

/* ---- while devices go to another process */

static const struct request_arg *
selector(const struct request *req, const char *name)
{
	for (unsigned int i = 0; req->cmd->params[i].key != NULL; i++)
		if (strcmp(req->cmd->params[i].key, name) == 0 && req->arg[i].given)
			return &req->arg[i];
	return NULL;
}

static bool
any_migrating(const struct controller *c)
{
	const struct device *dev;

	if (keeper_link_away(c->keeper))
		return true;
	TAILQ_FOREACH (dev, &c->devices, next)
		if (device_migrating(dev))
			return true;
	return false;
}

/*
 * Is a device that the request is about with another process, or on its way there? A listing is
 * about all of them: one that leaves some out would be worse than none.
 */
static bool
about_migrating(struct controller *c, const struct request *req)
{
	const struct request_arg *pf = selector(req, "pf"), *vuid = selector(req, "vuid");
	const struct device *dev = NULL;

	if (pf == NULL)
		pf = selector(req, "id");
	if (pf != NULL) {
		if (keeper_link_away_pf(c->keeper, pf->num))
			return true;
		dev = device_find_pf(c, pf->num);
	} else if (vuid != NULL) {
		if (keeper_link_away_vuid(c->keeper, vuid->str))
			return true;
		dev = device_find_vuid(c, vuid->str);
	} else {
		return req->cmd->reply == REPLY_DEVICES && any_migrating(c);
	}
	return dev != NULL && device_migrating(dev);
}

/* @return true: the request cannot be carried out by this process now, and has been ended */
static bool
refuse(struct controller *c, struct request *req)
{
	const enum keeper_role role = keeper_link_role(c->keeper);

	if (c->stopping)
		request_fail(req, -ECANCELED, "the controller is stopping");
	else if (role == KEEPER_PARKED)
		request_fail(req, -EAGAIN, "standby");
	else if (role == KEEPER_LEAVING && (req->cmd->flags & CMD_CHANGES_DEVICES))
		request_fail(req, -EBUSY,
			"a restart or live update is under way, try again when it has ended");
	else if (role == KEEPER_LEAVING && about_migrating(c, req))
		request_fail(req, VN_ERR_DEV_MIGRATING, NULL);
	else
		return false;
	return true;
}

static void
on_posted(evutil_socket_t fd, short what, void *arg)
{
	struct pending *p;
	eventfd_t n;

	(void)what;
	(void)arg;
	(void)eventfd_read(fd, &n);
	while ((p = next_posted()) != NULL) {
		log_debug("command %s", p->req.cmd->name);
		if (!refuse(queue.c, &p->req))
			p->req.cmd->handler(queue.c, &p->req);
	}
}

/* ---- telemetry threads ---- */

/* @return the ended request, or NULL if it took too long (then it is not ours any more) */
static struct pending *
post_and_wait(struct pending *p)
{
	struct timespec until;
	int ret = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += p->req.cmd->timeout_ms / 1000;
	pthread_mutex_lock(&queue.lock);
	if (queue.state != QUEUE_OPEN) {
		const bool early = queue.state == QUEUE_NOT_YET;

		pthread_mutex_unlock(&queue.lock);
		request_fail(&p->req, early ? -EAGAIN : -ECANCELED,
			early ? "standby, not up yet" : "the controller is stopping");
		return p;
	}
	STAILQ_INSERT_TAIL(&queue.posted, p, next);
	(void)eventfd_write(queue.event_fd, 1);
	while (p->state != REQUEST_DONE && ret == 0)
		ret = pthread_cond_timedwait(&queue.done, &queue.lock, &until);
	if (p->state != REQUEST_DONE) {
		p->state = REQUEST_ABANDONED;
		p = NULL;
	}
	pthread_mutex_unlock(&queue.lock);
	return p;
}

static const struct cmd *
find_cmd(const char *endpoint)
{
	for (unsigned int i = 0; i < cmd_table_len; i++)
		if (strcmp(cmd_table[i].endpoint, endpoint) == 0)
			return &cmd_table[i];
	return NULL;
}

static void
carry_out(const char *endpoint, const char *params, struct rte_tel_data *d)
{
	struct pending *p = calloc(1, sizeof(*p));
	char err[256];

	if (p == NULL) {
		add_error(d, -ENOMEM, NULL);
		return;
	}
	p->req.cmd = find_cmd(endpoint);
	if (cmd_parse(&p->req, params, err, sizeof(err)) < 0) {
		add_error(d, -EINVAL, err);
		free(p);
		return;
	}
	p = post_and_wait(p);
	if (p == NULL) {
		add_error(d, -ETIMEDOUT, "the command is still being carried out, see list");
		return;
	}
	add_object(d, p->req.reply);
	json_decref(p->req.reply);
	free(p);
}

static int
on_telemetry(const char *endpoint, const char *params, struct rte_tel_data *d)
{
	atomic_fetch_add(&queue.inside, 1);
	rte_tel_data_start_dict(d);
	carry_out(endpoint, params, d);
	atomic_fetch_sub(&queue.inside, 1);
	return 0;
}

/* ---- both ---- */

bool
request_waiting(void)
{
	return atomic_load(&queue.inside) > 0;
}

int
request_register(void)
{
	int ret = 0;

	for (unsigned int i = 0; i < cmd_table_len && ret == 0; i++)
		ret = rte_telemetry_register_cmd(
			cmd_table[i].endpoint, on_telemetry, cmd_table[i].help);
	return ret;
}

int
request_init(struct controller *c)
{
	pthread_condattr_t attr;

	queue.c = c;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&queue.done, &attr);
	pthread_condattr_destroy(&attr);
	queue.event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (queue.event_fd < 0)
		return -errno;
	queue.event = event_new(c->base, queue.event_fd, EV_READ | EV_PERSIST, on_posted, NULL);
	if (queue.event == NULL || event_add(queue.event, NULL) != 0)
		return -ENOMEM;
	pthread_mutex_lock(&queue.lock);
	queue.state = QUEUE_OPEN;
	pthread_mutex_unlock(&queue.lock);
	return 0;
}

void
request_fini(void)
{
	pthread_mutex_lock(&queue.lock);
	queue.state = QUEUE_CLOSED;
	pthread_mutex_unlock(&queue.lock);
	if (queue.event != NULL) {
		on_posted(queue.event_fd, 0, NULL);
		event_free(queue.event);
	}
	queue.event = NULL;
	if (queue.event_fd >= 0)
		close(queue.event_fd);
	queue.event_fd = -1;
}
