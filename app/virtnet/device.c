/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Life of a device: creation, plugging, unplugging, removal. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "device.h"
#include "device_block.h"
#include "device_fault.h"
#include "device_function.h"
#include "device_release.h"
#include "device_run.h"
#include "device_sf.h"
#include "errors.h"
#include "keeper_link.h"
#include "log.h"
#include "mem.h"
#include "state/fault_point.h"
#include "topology.h"

#define DEVICE_ERR_LEN 256
/* A guest takes a while to let go of a device; it may be booting. */
#define DEVICE_UNPLUG_MS 30000
/* From the host's word that the function is gone to the end of its connection. */
#define DEVICE_UNPLUG_EOF_MS 1000

void
device_set_phase(struct device *dev, enum device_phase phase)
{
	dev->phase = phase;
	if (dev->state != NULL)
		dev->state->phase = (uint8_t)phase;
}

void
device_set_bdf(struct device *dev, const char *bdf)
{
	snprintf(dev->bdf, sizeof(dev->bdf), "%s", bdf);
	if (dev->state != NULL)
		snprintf(dev->state->bdf, sizeof(dev->state->bdf), "%s", dev->bdf);
}

/* ---- removal ---- */

/* The SF's end of life on the helper. */
struct sf_job {
	struct device *dev;
	struct sf *sf;
	const struct sf_ops *ops;
	struct sf_params params;
	int ret;
	char err[DEVICE_ERR_LEN];
};

static struct sf_job *
sf_job_create(struct device *dev)
{
	struct sf_job *job = must_zalloc(sizeof(*job));

	job->dev = dev;
	job->sf = dev->sf;
	job->ops = dev->ctl->sf_ops;
	return job;
}

void
device_finish(struct device *dev, int err, const char *text)
{
	const device_done_t done = dev->done;

	dev->done = NULL;
	if (done != NULL)
		done(dev->done_arg, dev, err, text);
}

/* ---- questions to the host, which the device may not outlive ---- */

struct host_call {
	struct device *dev;	 /* NULL: it has gone */
	struct host_call **from; /* where the device has it */
	void (*fn)(struct device *dev, const struct host_reply *reply);
};

static struct host_call *
host_call(struct device *dev, struct host_call **from,
	void (*fn)(struct device *dev, const struct host_reply *reply))
{
	struct host_call *call = must_zalloc(sizeof(*call));

	call->dev = dev;
	call->from = from;
	call->fn = fn;
	*from = call;
	return call;
}

static void
host_answered(void *arg, const struct host_reply *reply)
{
	struct host_call call = *(struct host_call *)arg;

	free(arg);
	if (call.dev == NULL)
		return;
	*call.from = NULL;
	call.fn(call.dev, reply);
}

/* A host that is destroyed never answers. */
static void
host_call_drop(struct device *dev, struct host_call *call)
{
	if (call == NULL)
		return;
	call->dev = NULL;
	if (dev->ctl->host[dev->conf.host] == NULL)
		free(call);
}

void
device_unlist(struct device *dev)
{
	host_call_drop(dev, dev->bdf_query);
	host_call_drop(dev, dev->host_call);
	dev->bdf_query = dev->host_call = NULL;
	dev->listed = false;
	TAILQ_REMOVE(&dev->ctl->devices, dev, next);
	dev->ctl->generation++;
}

void
device_ended(struct device *dev)
{
	if (--dev->ends > 0)
		return;
	device_unlist(dev);
	log_info("%s: removed", dev->vuid);
	device_finish(dev, 0, "");
	device_free(dev);
}

static void
ended(void *arg)
{
	device_ended(arg);
}

static void
sf_destroy_work(void *arg)
{
	struct sf_job *job = arg;

	if (job->sf != NULL)
		job->sf->ops->destroy(job->sf);
}

static void
sf_destroy_done(void *arg)
{
	struct sf_job *job = arg;

	ended(job->dev);
	free(job);
}

/* A last grace period: what was put into motion for the device before has then reached the helper.
 */
static void
destroy_after_grace(void *arg)
{
	struct device *dev = arg;

	helper_run(dev->ctl->helper, sf_destroy_work, sf_destroy_done, sf_job_create(dev));
}

/*
 * The keeper holds descriptors of the SF and of the socket: the device ends, and its names are free
 * again, when the keeper has closed them, too. A process that dies after this leaves the rest to
 * the keeper.
 */
static void
close_door(struct device *dev)
{
	if (dev->door == NULL)
		return;
	FAULT_POINT("device.remove.close");
	if (dev->handle != 0) {
		dev->ends++;
		keeper_link_closed_cb(dev->ctl->keeper, dev->handle, ended, dev);
	}
	dev->door->ops->close(dev->door);
	dev->door = NULL;
	FAULT_POINT("device.remove.closed");
}

static void
step_destroy(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	device_stop(dev);
	device_sf_cancel(dev);
	device_forget_memory(dev);
	dev->emu->ops->destroy(dev->emu);
	dev->emu = NULL;
	close_door(dev);
	grace_call(dev->ctl->grace, destroy_after_grace, dev);
}

/* Whoever waits for an unplug hears of it when all is gone. */
static void
remove_device(struct device *dev)
{
	const enum device_phase phase = dev->phase;

	if (phase == DEVICE_REMOVING)
		return;
	device_set_phase(dev, DEVICE_REMOVING);
	device_release_cancel(dev);
	/* The SF's end, or the ends of both; others are added as they begin. */
	dev->ends = dev->sf_late ? 2 : 1;
	if (dev->unplug_timer != NULL)
		event_free(dev->unplug_timer);
	dev->unplug_timer = NULL;
	if (phase == DEVICE_CREATING)
		return; /* sf_created() goes on */
	if (dev->emu != NULL) {
		(void)device_quiesce(dev, step_destroy, NULL, false);
	} else {
		close_door(dev);
		grace_call(dev->ctl->grace, destroy_after_grace, dev);
	}
}

void
device_destroy(struct device *dev)
{
	if (dev->phase != DEVICE_REMOVING)
		device_finish(dev, -ECANCELED, "the device is being removed");
	remove_device(dev);
}

static void
fail(struct device *dev, int err, const char *text)
{
	log_err("%s: %s%s%s", dev->vuid, vn_strerror(err), text[0] ? ": " : "", text);
	device_finish(dev, err, text);
	device_destroy(dev);
}

/* ---- hotplug ---- */

static void
describe_plug(const struct device *dev, struct host_plug *plug)
{
	plug->id = dev->plug_id;
	plug->socket = dev->socket;
	dev->emu->ops->describe(dev->emu, &plug->function);
}

static void
plugged(struct device *dev, const struct host_reply *reply)
{
	if (dev->phase != DEVICE_PLUGGING)
		return;
	if (reply->result != HOST_OK) {
		fail(dev, VN_ERR_HOTPLUG, reply->err);
		return;
	}
	device_set_phase(dev, DEVICE_LIVE);
	if (reply->bdf[0] != '\0') {
		device_set_bdf(dev, reply->bdf);
		log_info("%s: plugged into host %s at %s", dev->vuid,
			dev->ctl->host[dev->conf.host]->name, dev->bdf);
	} else {
		log_info("%s: waits for a client at %s", dev->vuid, dev->socket);
	}
	device_finish(dev, 0, "");
}

static void
ask_plug(struct device *dev)
{
	struct host *host = dev->ctl->host[dev->conf.host];
	struct host_plug plug;

	describe_plug(dev, &plug);
	host->ops->plug(host, &plug, host_answered, host_call(dev, &dev->host_call, plugged));
}

static void
open_failed(struct device *dev, int err)
{
	char text[DEVICE_ERR_LEN];

	snprintf(text, sizeof(text), "%s: %s", dev->socket, strerror(-err));
	fail(dev, VN_ERR_DEV_OPEN, text);
}

/* The host may come. */
static void
door_opened(void *ctx, int err)
{
	struct device *dev = ctx;

	if (dev->phase != DEVICE_PLUGGING)
		return;
	if (err < 0) {
		open_failed(dev, err);
		return;
	}
	/* From here on the device outlives this process. Until here the keeper closes it. */
	FAULT_POINT("device.hotplug.opened");
	device_set_phase(dev, DEVICE_PLUGGING);
	FAULT_POINT("device.hotplug.plugging");
	ask_plug(dev);
}

/* Registers, and what a successor needs to undo the rest. */
static int
create_function(struct device *dev)
{
	const struct device_function_how how = {.fresh_pci = true, .fresh_virtio = true};
	int ret = device_block_create(dev);

	if (ret == 0) {
		dev->handle = keeper_link_handle(dev->ctl->keeper);
		ret = device_function_create(dev, &how);
	}
	if (ret == 0)
		device_sf_store(dev);
	return ret;
}

static void
sf_created(void *arg)
{
	struct sf_job *job = arg;
	struct device *dev = job->dev;
	char text[DEVICE_ERR_LEN];
	int ret = job->ret;

	dev->sf = job->sf;
	strcpy(text, job->err);
	free(job);
	if (dev->phase == DEVICE_REMOVING) {
		grace_call(dev->ctl->grace, destroy_after_grace, dev);
		return;
	}
	dev->phase = DEVICE_PLUGGING;
	if (ret < 0) {
		fail(dev, VN_ERR_SF_CREATE, text);
		return;
	}
	ret = create_function(dev);
	if (ret < 0) {
		open_failed(dev, ret);
		return;
	}
	dev->opened = true;
	dev->door->ops->open(dev->door, door_opened, dev);
}

static void
sf_create_work(void *arg)
{
	struct sf_job *job = arg;

	job->ret = job->ops->create(&job->params, &job->sf, job->err, sizeof(job->err));
}

static void
create_sf(struct device *dev)
{
	struct sf_job *job = sf_job_create(dev);

	device_sf_params(dev, &job->params);
	helper_run(dev->ctl->helper, sf_create_work, sf_created, job);
}

/* Lists show devices by pf_id. */
void
device_list(struct controller *c, struct device *dev)
{
	struct device *d;

	dev->listed = true;
	c->generation++;
	TAILQ_FOREACH (d, &c->devices, next)
		if (d->pf_id > dev->pf_id) {
			TAILQ_INSERT_BEFORE(d, dev, next);
			return;
		}
	TAILQ_INSERT_TAIL(&c->devices, dev, next);
}

/* Who listens at a vhost-user socket is the operator's choice for all. */
static const struct emu_ops *
transport(const struct controller *c, const struct device_conf *conf)
{
	const char *name = conf->transport[0] != '\0' ? conf->transport : c->emu_ops->name;

	if (strcmp(name, "vhost_user") == 0 && config_vhost_client(&c->cfg))
		name = "vhost_user_client";
	return emu_driver_find(name);
}

static int
assign(struct device *dev, const struct device_conf *conf, char *text, size_t text_len)
{
	const struct config *cfg = &dev->ctl->cfg;
	struct topology_ids ids;
	int ret;

	ret = topology_assign(dev->ctl, conf->sf_num, &ids, text, text_len);
	if (ret != 0)
		return ret;
	if (snprintf(dev->socket, sizeof(dev->socket), "%s/%s.sock", cfg->socket_dir, ids.vuid) >=
		(int)sizeof(dev->socket)) {
		snprintf(text, text_len, "platform.socket_dir is too long for a socket's name");
		return VN_ERR_PATH_FORMAT;
	}
	dev->conf = *conf;
	dev->emu_ops = transport(dev->ctl, conf);
	if (dev->emu_ops == NULL) {
		snprintf(text, text_len, "transport %s is not part of this build", conf->transport);
		return VN_ERR_OPT_NOT_SUPPORTED;
	}
	dev->conf.sf_num = ids.sf_num;
	dev->conf.num_msix = conf->intx_only ? 0 : cfg->num_msix;
	dev->pf_id = ids.pf_id;
	dev->slot = ids.slot;
	strcpy(dev->vuid, ids.vuid);
	strcpy(dev->bdf, ids.bdf);
	snprintf(dev->plug_id, sizeof(dev->plug_id), "virtnet-%s", dev->vuid);
	return device_alloc_queues(dev);
}

int
device_hotplug(struct controller *c, const struct device_conf *conf, device_done_t done, void *arg,
	char *text, size_t text_len)
{
	struct device *dev = device_alloc(c);
	int ret;

	if (dev == NULL)
		return -ENOMEM;
	ret = assign(dev, conf, text, text_len);
	if (ret != 0) {
		device_free(dev);
		return ret;
	}
	dev->done = done;
	dev->done_arg = arg;
	dev->phase = DEVICE_CREATING;
	device_list(c, dev);
	create_sf(dev);
	return 0;
}

/* ---- unplug ---- */

static void
unplug_refused(struct device *dev, const char *text)
{
	device_set_phase(dev, DEVICE_LIVE);
	dev->state->unplug_force = 0;
	device_finish(dev, VN_ERR_UNPLUG_NOT_READY, text);
}

/* The host's connection has ended, or it is late. */
static void
on_unplug_timer(evutil_socket_t fd, short what, void *arg)
{
	struct device *dev = arg;

	RTE_SET_USED(fd);
	RTE_SET_USED(what);
	event_free(dev->unplug_timer);
	dev->unplug_timer = NULL;
	if (dev->emu->ops->is_connected(dev->emu))
		unplug_refused(dev,
			"a client is still connected; detach the device there, or use --force");
	else
		remove_device(dev);
}

void
device_host_gone(struct device *dev)
{
	const struct timeval at_once = {0};

	/* Not here: the transport is in the middle of its own disconnect. */
	if (dev->unplug_timer != NULL)
		(void)evtimer_add(dev->unplug_timer, &at_once);
}

static void
unplugged(struct device *dev, const struct host_reply *reply)
{
	const struct timeval wait = {
		.tv_sec = DEVICE_UNPLUG_EOF_MS / 1000,
		.tv_usec = DEVICE_UNPLUG_EOF_MS % 1000 * 1000,
	};

	if (dev->phase != DEVICE_UNPLUGGING)
		return;
	if (reply->result != HOST_OK) {
		unplug_refused(dev, reply->err);
		return;
	}
	if (!dev->emu->ops->is_connected(dev->emu) || dev->unplug_force) {
		remove_device(dev);
		return;
	}
	dev->unplug_timer = evtimer_new(dev->ctl->base, on_unplug_timer, dev);
	if (dev->unplug_timer == NULL || evtimer_add(dev->unplug_timer, &wait) != 0)
		unplug_refused(dev, "out of memory");
}

static void
ask_unplug(struct device *dev)
{
	struct host *host = dev->ctl->host[dev->conf.host];
	struct host_plug plug;

	describe_plug(dev, &plug);
	host->ops->unplug(host, &plug, dev->unplug_force, DEVICE_UNPLUG_MS, host_answered,
		host_call(dev, &dev->host_call, unplugged));
}

int
device_unplug(struct device *dev, bool force, device_done_t done, void *arg)
{
	if (dev->phase != DEVICE_LIVE)
		return VN_ERR_UNPLUG_NOT_READY;
	dev->unplug_force = force;
	dev->state->unplug_force = force;
	device_set_phase(dev, DEVICE_UNPLUGGING);
	FAULT_POINT("device.unplug.asked");
	dev->done = done;
	dev->done_arg = arg;
	ask_unplug(dev);
	return 0;
}

/* ---- a predecessor's ---- */

/* Has the host what the predecessor may have plugged in? If it cannot tell, to plug tells. */
static void
looked_for(struct device *dev, const struct host_reply *reply)
{
	if (dev->phase != DEVICE_PLUGGING)
		return;
	if (reply->result == HOST_OK) {
		plugged(dev, reply);
		return;
	}
	ask_plug(dev);
}

void
device_go_on(struct device *dev)
{
	struct host *host = dev->ctl->host[dev->conf.host];

	if (host == NULL) { /* gone from the settings: nobody to ask */
		device_set_phase(dev, DEVICE_LIVE);
		return;
	}
	switch ((enum device_phase)dev->state->phase) {
	case DEVICE_PLUGGING:
		dev->phase = DEVICE_PLUGGING;
		host->ops->query(host, dev->plug_id, host_answered,
			host_call(dev, &dev->host_call, looked_for));
		break;
	case DEVICE_UNPLUGGING:
		dev->phase = DEVICE_UNPLUGGING;
		dev->unplug_force = dev->state->unplug_force;
		ask_unplug(dev);
		break;
	case DEVICE_CREATING: /* whoever asked for it has been told that it failed */
	case DEVICE_REMOVING:
		dev->phase = DEVICE_LIVE;
		remove_device(dev);
		break;
	default:
		device_set_phase(dev, DEVICE_LIVE);
		break;
	}
}

/* ---- where the host sees it ---- */

static void
bdf_answered(struct device *dev, const struct host_reply *reply)
{
	if (reply->result != HOST_OK || reply->bdf[0] == '\0' || strcmp(dev->bdf, reply->bdf) == 0)
		return;
	log_info("%s: now at %s, was at %s", dev->vuid, reply->bdf, dev->bdf);
	device_set_bdf(dev, reply->bdf);
}

void
device_refresh_bdf(struct device *dev)
{
	struct host *host = dev->ctl->host[dev->conf.host];

	/* One question at a time: drivers may come and go as fast as they like. */
	if (dev->bdf_query != NULL || dev->phase != DEVICE_LIVE || host == NULL)
		return;
	host->ops->query(
		host, dev->plug_id, host_answered, host_call(dev, &dev->bdf_query, bdf_answered));
}

/* ---- finding ---- */

struct device *
device_find_pf(struct controller *c, uint64_t pf_id)
{
	struct device *d;

	TAILQ_FOREACH (d, &c->devices, next)
		if (d->pf_id == pf_id)
			return d;
	return NULL;
}

struct device *
device_find_vuid(struct controller *c, const char *vuid)
{
	struct device *d;

	TAILQ_FOREACH (d, &c->devices, next)
		if (strcmp(d->vuid, vuid) == 0)
			return d;
	return NULL;
}
