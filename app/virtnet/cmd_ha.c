/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Commands restart and update: all devices go to a new process. */

#include <errno.h>
#include <stdio.h>

#include "cmd.h"
#include "device.h"
#include "errors.h"
#include "keeper_link.h"

#define UPDATE_STARTED "Update started, use 'virtnet update -t' or check logs for status"

/* A device that only half exists cannot go to another process. */
static const struct device *
find_unsettled(const struct controller *c)
{
	const struct device *dev;

	TAILQ_FOREACH (dev, &c->devices, next)
		if (dev->phase != DEVICE_LIVE)
			return dev;
	return NULL;
}

static void
hand_over(struct controller *c, struct request *req, enum ha_handover_kind kind, const char *text)
{
	const struct device *dev = find_unsettled(c);
	char why[128];
	int ret;

	if (dev != NULL) {
		snprintf(why, sizeof(why), "%s is being plugged or unplugged, try again later",
			dev->vuid);
		request_fail(req, -EBUSY, why);
		return;
	}
	ret = keeper_link_handover(c->keeper, kind);
	if (ret == -ENOTSUP) {
		request_fail(req, ret,
			"update not supported: the controller runs without a keeper (--no-ha)");
	} else if (ret == -EBUSY) {
		request_fail(req, ret, "a restart or live update is under way");
	} else if (ret < 0) {
		request_fail(req, ret, NULL);
	} else {
		req->reply = json_pack("{s:s}", "text", text);
		request_done(req);
	}
}

void
cmd_restart(struct controller *c, struct request *req)
{
	hand_over(c, req, HA_HANDOVER_RESTART, "SUCCESS");
}

static void
show_status(struct controller *c, struct request *req)
{
	const struct ha_status *st = keeper_link_status(c->keeper);
	char last[sizeof(st->text) + 16];

	if (st->last > 0)
		snprintf(last, sizeof(last), "none");
	else if (st->last == 0)
		snprintf(last, sizeof(last), "success");
	else
		snprintf(last, sizeof(last), "failed%s%s", st->text[0] != '\0' ? ": " : "",
			st->text);
	req->reply = json_pack("{s:s, s:s, s:I}", "status", st->ongoing ? "ongoing" : "inactive",
		"last_live_update_status", last, "time_used_us", (json_int_t)st->time_us);
	/* Words of others: not of our own making, perhaps no UTF-8. */
	if (req->reply == NULL)
		req->reply = json_pack("{s:s, s:s, s:I}", "status",
			st->ongoing ? "ongoing" : "inactive", "last_live_update_status", "failed",
			"time_used_us", (json_int_t)st->time_us);
	request_done(req);
}

void
cmd_update(struct controller *c, struct request *req)
{
	if (request_arg(req, "status")->given)
		show_status(c, req);
	else
		hand_over(c, req, HA_HANDOVER_UPDATE, UPDATE_STARTED);
}
