/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Commands list and query, in pages that fit a telemetry reply.
 *
 * A cursor is pf_id << 16 | (0: the device, n + 1: its queue n). Pages carry the generation of the
 * device list: a client that sees it change starts again.
 */

#include <errno.h>
#include <string.h>

#include "cmd.h"
#include "device.h"
#include "device_run.h"
#include "errors.h"
#include "show.h"

/* Of telemetry's 16 KiB; the rest is for the frame. Entries are then far fewer than a dictionary's
 * 256. */
#define PAGE_BYTES	    15000

#define CURSOR(pf_id, item) ((uint64_t)(pf_id) << 16 | (item))

struct page {
	const struct controller *c;
	struct request *req;
	json_t *out;
	size_t bytes;
	unsigned int n;
	int64_t next; /* cursor, -1: all shown */
};

/* As telemetry writes it, key included. */
static size_t
text_size(const json_t *entry)
{
	return json_dumpb(entry, NULL, 0, JSON_COMPACT) + sizeof("\"device_4294967295\":,");
}

/* @return false if the page is full: the next begins at cursor */
static bool
page_add(struct page *pg, const char *kind, json_t *entry, uint64_t cursor)
{
	const size_t bytes = text_size(entry);
	char key[32];

	if (pg->n > 0 && pg->bytes + bytes > PAGE_BYTES) {
		json_decref(entry);
		pg->next = (int64_t)cursor;
		return false;
	}
	snprintf(key, sizeof(key), "%s_%u", kind, pg->n++);
	json_object_set_new(pg->out, key, entry);
	pg->bytes += bytes;
	return true;
}

static void
page_start(struct page *pg, const struct controller *c, struct request *req)
{
	*pg = (struct page){.c = c, .req = req, .out = json_object(), .next = -1};
}

static void
page_end(struct page *pg)
{
	json_t *head = json_object();

	json_object_set_new(head, "generation", json_integer(pg->c->generation));
	json_object_set_new(head, "next", json_integer(pg->next));
	json_object_update(head, pg->out);
	json_decref(pg->out);
	pg->req->reply = head;
	request_done(pg->req);
}

/* Devices under construction or being removed are not shown. */
static bool
shown(const struct device *dev)
{
	return dev->phase == DEVICE_LIVE || dev->phase == DEVICE_UNPLUGGING;
}

void
cmd_list(struct controller *c, struct request *req)
{
	const struct device *dev;
	struct page pg;

	page_start(&pg, c, req);
	if (req->at == 0) {
		json_t *controller = show_controller(c);

		pg.bytes += text_size(controller);
		json_object_set_new(pg.out, "controller", controller);
	}
	TAILQ_FOREACH (dev, &c->devices, next)
		if (shown(dev) && CURSOR(dev->pf_id, 0) >= req->at &&
			!page_add(&pg, "device", show_device(dev, false, false), CURSOR(dev->pf_id, 0)))
			break;
	page_end(&pg);
}

/* @return false if the page is full */
static bool
query_queues(struct page *pg, const struct device *dev)
{
	const struct request_arg *only = request_arg(pg->req, "queue_id");
	const bool debug = request_arg(pg->req, "dbg_stats")->given;

	for (uint16_t q = 0; q < device_num_queues(dev); q++) {
		const uint64_t cursor = CURSOR(dev->pf_id, q + 1u);

		if (cursor < pg->req->at || !virtio_dev_state(dev->vdev)->queue[q].enable ||
			(only->given && only->num != q))
			continue;
		if (!page_add(pg, "queue", show_queue(dev, q, debug), cursor))
			return false;
	}
	return true;
}

static bool
query_device(struct page *pg, const struct device *dev)
{
	const uint64_t cursor = CURSOR(dev->pf_id, 0);
	const bool debug = request_arg(pg->req, "dbg_stats")->given;

	if (cursor >= pg->req->at && !page_add(pg, "device", show_device(dev, true, debug), cursor))
		return false;
	return request_arg(pg->req, "brief")->given || query_queues(pg, dev);
}

/* The one device that a query names, or NULL with the answer given. */
static struct device *
selected(struct controller *c, struct request *req)
{
	const struct request_arg *pf = request_arg(req, "pf");
	const struct request_arg *queue = request_arg(req, "queue_id");
	struct device *dev = pf->given ? device_find_pf(c, pf->num)
				       : device_find_vuid(c, request_arg(req, "vuid")->str);

	if (dev == NULL || !shown(dev) || request_arg(req, "vf")->given) {
		request_fail(req, VN_ERR_DEV_NOT_FOUND, NULL);
		return NULL;
	}
	if (queue->given && queue->num >= device_num_queues(dev)) {
		request_fail(req, VN_ERR_QUEUE_INDEX, NULL);
		return NULL;
	}
	return dev;
}

static void
step_clear(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	for (uint16_t q = 0; q < device_num_queues(dev); q++)
		memset(&dev->records[q].stats, 0, sizeof(dev->records[q].stats));
}

/* The counters have one writer, the worker: it lets go of the queues for that moment. */
static void
clear_stats(struct controller *c, struct device *one)
{
	struct device *dev;

	TAILQ_FOREACH (dev, &c->devices, next)
		if (shown(dev) && (one == NULL || one == dev))
			(void)device_quiesce(dev, step_clear, NULL, false);
}

void
cmd_query(struct controller *c, struct request *req)
{
	const bool all = request_arg(req, "all")->given;
	struct device *dev = NULL;
	struct page pg;

	if (request_arg(req, "latency_stats")->given) {
		request_fail(req, VN_ERR_OPT_NOT_SUPPORTED, "latency_stats");
		return;
	}
	if (!all) {
		dev = selected(c, req);
		if (dev == NULL)
			return;
	}
	if (request_arg(req, "stats_clear")->given && req->at == 0)
		clear_stats(c, dev);
	page_start(&pg, c, req);
	if (!all) {
		(void)query_device(&pg, dev);
		page_end(&pg);
		return;
	}
	TAILQ_FOREACH (dev, &c->devices, next)
		if (shown(dev) && CURSOR(dev->pf_id + 1u, 0) > req->at && !query_device(&pg, dev))
			break;
	page_end(&pg);
}
