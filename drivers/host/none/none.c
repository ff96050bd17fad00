/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Host driver "none": nobody is told. Whoever runs the host connects to the device's socket
 * himself.
 */

#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>
#include <rte_debug.h>

#include "host/host.h"

static const struct host_ops none_ops;

struct none_host {
	struct host host;
	struct event_base *base;
	LIST_HEAD(, none_answer) pending;
};

/** An answer that waits for the next turn of the event loop. */
struct none_answer {
	LIST_ENTRY(none_answer) link;
	struct event *turn;
	host_done_t done;
	void *arg;
};

static void
none_answer_free(struct none_answer *a)
{
	LIST_REMOVE(a, link);
	event_free(a->turn);
	free(a);
}

static void
none_answer_now(evutil_socket_t fd, short what, void *arg)
{
	const struct host_reply reply = {.result = HOST_OK};
	struct none_answer *a = arg;
	host_done_t done = a->done;
	void *done_arg = a->arg;

	none_answer_free(a);
	done(done_arg, &reply);
}

static void
none_answer_later(struct host *host, host_done_t done, void *arg)
{
	struct none_host *h = (struct none_host *)host;
	struct none_answer *a = calloc(1, sizeof(*a));

	/* A few dozen bytes: a control lcore that cannot have them cannot go on either. */
	if (a == NULL || (a->turn = evtimer_new(h->base, none_answer_now, a)) == NULL)
		rte_panic("out of memory\n");
	a->done = done;
	a->arg = arg;
	LIST_INSERT_HEAD(&h->pending, a, link);
	event_active(a->turn, EV_TIMEOUT, 0);
}

static int
none_create(const struct host_conf *conf, struct event_base *base, struct host **out, char *err,
	size_t err_len)
{
	struct none_host *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return -ENOMEM;
	h->host.ops = &none_ops;
	h->host.name = conf->name;
	h->base = base;
	LIST_INIT(&h->pending);
	*out = &h->host;
	return 0;
}

static void
none_destroy(struct host *host)
{
	struct none_host *h = (struct none_host *)host;

	while (!LIST_EMPTY(&h->pending))
		none_answer_free(LIST_FIRST(&h->pending));
	free(h);
}

static void
none_plug(struct host *host, const struct host_plug *plug, host_done_t done, void *arg)
{
	none_answer_later(host, done, arg);
}

static void
none_unplug(struct host *host, const struct host_plug *plug, bool force, unsigned int timeout_ms,
	host_done_t done, void *arg)
{
	none_answer_later(host, done, arg);
}

static void
none_query(struct host *host, const char *id, host_done_t done, void *arg)
{
	none_answer_later(host, done, arg);
}

static const struct host_ops none_ops = {
	.name = "none",
	.create = none_create,
	.destroy = none_destroy,
	.plug = none_plug,
	.unplug = none_unplug,
	.query = none_query,
};

HOST_DRIVER_REGISTER(none, none_ops)
