/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Life of a device: creation, plugging, unplugging, removal. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "device.h"
#include "device_fault.h"
#include "device_run.h"
#include "device_sf.h"
#include "errors.h"
#include "log.h"
#include "mem.h"
#include "topology.h"
#include "virtio/features.h"

#define DEVICE_ERR_LEN	   256
#define DEVICE_SPEED_MBPS  25000
#define DEVICE_FULL_DUPLEX 1
/* A guest takes a while to let go of a device; it may be booting. */
#define DEVICE_UNPLUG_MS 30000
/* From the host's word that the function is gone to the end of its connection. */
#define DEVICE_UNPLUG_EOF_MS 1000
#define DEVICE_SOCKET_MODE   0600

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

/* Tell whoever waits for a hotplug or unplug. */
static void
finish(struct device *dev, int err, const char *text)
{
	const device_done_t done = dev->done;

	dev->done = NULL;
	if (done != NULL)
		done(dev->done_arg, dev, err, text);
}

/* A question to the host that the device does not outlive. */
struct bdf_query {
	struct device *dev; /* NULL: it has gone */
};

/* A host that is destroyed never answers. */
static void
bdf_query_drop(struct device *dev)
{
	if (dev->bdf_query != NULL)
		dev->bdf_query->dev = NULL;
	if (dev->ctl->host[dev->conf.host] == NULL)
		free(dev->bdf_query);
}

static void
device_free(struct device *dev)
{
	bdf_query_drop(dev);
	if (dev->vdev != NULL)
		virtio_dev_destroy(dev->vdev);
	if (dev->hm != NULL)
		hostmem_destroy(dev->hm);
	state_block_close(dev->block);
	free(dev->pair);
	TAILQ_REMOVE(&dev->ctl->devices, dev, next);
	dev->ctl->generation++;
	log_info("%s: removed", dev->vuid);
	finish(dev, 0, "");
	free(dev);
}

static void
sf_destroy_work(void *arg)
{
	struct sf_job *job = arg;

	if (job->sf != NULL)
		job->ops->destroy(job->sf);
}

static void
sf_destroy_done(void *arg)
{
	struct sf_job *job = arg;

	device_free(job->dev);
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

static void
step_destroy(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	device_stop(dev);
	device_sf_cancel(dev);
	device_forget_memory(dev);
	dev->emu->ops->destroy(dev->emu);
	dev->emu = NULL;
	grace_call(dev->ctl->grace, destroy_after_grace, dev);
}

/* Whoever waits for an unplug hears of it when all is gone. */
static void
remove_device(struct device *dev)
{
	const enum device_phase phase = dev->phase;

	if (phase == DEVICE_REMOVING)
		return;
	dev->phase = DEVICE_REMOVING;
	if (dev->unplug_timer != NULL)
		event_free(dev->unplug_timer);
	dev->unplug_timer = NULL;
	if (phase == DEVICE_CREATING)
		return; /* sf_created() goes on */
	if (dev->emu != NULL)
		(void)device_quiesce(dev, step_destroy, NULL, false);
	else
		grace_call(dev->ctl->grace, destroy_after_grace, dev);
}

void
device_destroy(struct device *dev)
{
	if (dev->phase != DEVICE_REMOVING)
		finish(dev, -ECANCELED, "the device is being removed");
	remove_device(dev);
}

static void
fail(struct device *dev, int err, const char *text)
{
	log_err("%s: %s%s%s", dev->vuid, vn_strerror(err), text[0] ? ": " : "", text);
	finish(dev, err, text);
	device_destroy(dev);
}

/* ---- hotplug ---- */

static void
describe_plug(const struct device *dev, struct host_plug *plug)
{
	plug->id = dev->plug_id;
	plug->transport = dev->ctl->emu_ops->name;
	plug->socket = dev->socket;
	plug->msix = !dev->conf.intx_only;
}

static void
plugged(void *arg, const struct host_reply *reply)
{
	struct device *dev = arg;

	if (dev->phase != DEVICE_PLUGGING)
		return;
	if (reply->result != HOST_OK) {
		fail(dev, VN_ERR_HOTPLUG, reply->err);
		return;
	}
	dev->phase = DEVICE_LIVE;
	if (reply->bdf[0] != '\0') {
		strcpy(dev->bdf, reply->bdf);
		log_info("%s: plugged into host %s at %s", dev->vuid,
			dev->ctl->host[dev->conf.host]->name, dev->bdf);
	} else {
		log_info("%s: waits for a client at %s", dev->vuid, dev->socket);
	}
	finish(dev, 0, "");
}

static void
fill_net_config(const struct device *dev, struct virtio_net_config *config)
{
	memcpy(config->mac, &dev->conf.mac, sizeof(config->mac));
	config->status = VIRTIO_NET_S_LINK_UP;
	config->max_virtqueue_pairs = dev->conf.max_pairs;
	config->mtu = dev->conf.mtu;
	config->speed = DEVICE_SPEED_MBPS;
	config->duplex = DEVICE_FULL_DUPLEX;
}

static int
create_block(struct device *dev)
{
	const struct state_section_desc sections[] = {
		{STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(struct device_state)},
		{STATE_SEC_PCI, PCI_FN_VERSION, sizeof(struct pci_fn_state)},
		{STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION, sizeof(struct virtio_state)},
		{STATE_SEC_RINGS, RING_RECORD_VERSION,
			sizeof(struct ring_record) * device_num_queues(dev)},
		{STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(struct mailbox)},
	};
	const int ret = state_block_create(dev->vuid, sections, RTE_DIM(sections), &dev->block);

	if (ret < 0)
		return ret;
	dev->state = state_block_section(
		dev->block, STATE_SEC_DEVICE, DEVICE_STATE_VERSION, sizeof(*dev->state));
	dev->records = state_block_section(dev->block, STATE_SEC_RINGS, RING_RECORD_VERSION,
		sizeof(struct ring_record) * device_num_queues(dev));
	strcpy(dev->state->vuid, dev->vuid);
	dev->state->pf_id = dev->pf_id;
	dev->state->sf_num = dev->conf.sf_num;
	dev->state->mtu = dev->conf.mtu;
	dev->state->pairs = 1;
	memcpy(dev->state->mac, &dev->conf.mac, sizeof(dev->state->mac));
	return 0;
}

static int
create_function(struct device *dev)
{
	struct virtio_dev_params vp = {
		.device_features = dev->conf.features,
		.num_queues = device_num_queues(dev),
		.max_queue_size = dev->conf.max_queue_size,
		.num_vectors = dev->conf.intx_only ? 0 : dev->ctl->cfg.num_msix,
	};
	struct emu_params ep = {
		.socket = dev->socket,
		.mode = DEVICE_SOCKET_MODE,
		.base = dev->ctl->base,
		.fresh = true,
		.msix_vectors = vp.num_vectors,
		.serial = topology_serial(&dev->ctl->cfg, dev->slot),
		.any_file = dev->ctl->cfg.any_file,
		.up = &device_emu_upcalls,
		.ctx = dev,
	};
	int ret;

	fill_net_config(dev, &vp.config);
	ret = create_block(dev);
	if (ret < 0)
		return ret;
	ret = virtio_dev_create(state_block_section(dev->block, STATE_SEC_VIRTIO,
					VIRTIO_STATE_VERSION, sizeof(struct virtio_state)),
		&vp, true, &device_virtio_ops, dev, &dev->vdev);
	if (ret < 0)
		return ret;
	ep.vdev = dev->vdev;
	ep.pci = state_block_section(dev->block, STATE_SEC_PCI, PCI_FN_VERSION, sizeof(*ep.pci));
	ep.mailbox = state_block_section(
		dev->block, STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(*ep.mailbox));
	return dev->ctl->emu_ops->create(&ep, &dev->emu);
}

static void
sf_created(void *arg)
{
	struct sf_job *job = arg;
	struct device *dev = job->dev;
	struct host *host = dev->ctl->host[dev->conf.host];
	char text[DEVICE_ERR_LEN];
	struct host_plug plug;
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
		snprintf(text, sizeof(text), "%s: %s", dev->socket, strerror(-ret));
		fail(dev, VN_ERR_DEV_OPEN, text);
		return;
	}
	describe_plug(dev, &plug);
	host->ops->plug(host, &plug, plugged, dev);
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
	struct sf_params *p = &job->params;

	p->sf_num = dev->conf.sf_num;
	topology_rep_name(dev->conf.sf_num, p->rep, sizeof(p->rep));
	p->mac = dev->conf.mac;
	p->mtu = dev->conf.mtu;
	p->max_pairs = dev->conf.max_pairs;
	p->pool = dev->ctl->pool;
	p->args = dev->ctl->cfg.sf_args[0] != '\0' ? dev->ctl->cfg.sf_args : NULL;
	helper_run(dev->ctl->helper, sf_create_work, sf_created, job);
}

/* Lists show devices by pf_id. */
static void
insert(struct controller *c, struct device *dev)
{
	struct device *d;

	c->generation++;
	TAILQ_FOREACH (d, &c->devices, next)
		if (d->pf_id > dev->pf_id) {
			TAILQ_INSERT_BEFORE(d, dev, next);
			return;
		}
	TAILQ_INSERT_TAIL(&c->devices, dev, next);
}

int
device_hotplug(struct controller *c, const struct device_conf *conf, device_done_t done, void *arg,
	char *text, size_t text_len)
{
	struct device *dev = calloc(1, sizeof(*dev));
	struct topology_ids ids;
	int ret;

	if (dev == NULL)
		return -ENOMEM;
	dev->ctl = c;
	dev->conf = *conf;
	ret = topology_assign(c, conf->sf_num, &ids, text, text_len);
	dev->pair = calloc(conf->max_pairs, sizeof(*dev->pair));
	dev->hm = ret == 0 ? hostmem_create(c->files) : NULL;
	if (ret == 0 && (dev->pair == NULL || dev->hm == NULL))
		ret = -ENOMEM;
	if (ret == 0 && snprintf(dev->socket, sizeof(dev->socket), "%s/%s.sock", c->cfg.socket_dir,
				ids.vuid) >= (int)sizeof(dev->socket)) {
		snprintf(text, text_len, "platform.socket_dir is too long for a socket's name");
		ret = VN_ERR_PATH_FORMAT;
	}
	if (ret != 0) {
		if (dev->hm != NULL)
			hostmem_destroy(dev->hm);
		free(dev->pair);
		free(dev);
		return ret;
	}
	dev->conf.sf_num = ids.sf_num;
	dev->pf_id = ids.pf_id;
	dev->slot = ids.slot;
	strcpy(dev->vuid, ids.vuid);
	strcpy(dev->bdf, ids.bdf);
	snprintf(dev->plug_id, sizeof(dev->plug_id), "virtnet-%s", dev->vuid);
	STAILQ_INIT(&dev->steps);
	dev->done = done;
	dev->done_arg = arg;
	dev->phase = DEVICE_CREATING;
	insert(c, dev);
	create_sf(dev);
	return 0;
}

/* ---- unplug ---- */

static void
unplug_refused(struct device *dev, const char *text)
{
	dev->phase = DEVICE_LIVE;
	finish(dev, VN_ERR_UNPLUG_NOT_READY, text);
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
	if (dev->emu->ops->connected(dev->emu))
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
unplugged(void *arg, const struct host_reply *reply)
{
	const struct timeval wait = {
		.tv_sec = DEVICE_UNPLUG_EOF_MS / 1000,
		.tv_usec = DEVICE_UNPLUG_EOF_MS % 1000 * 1000,
	};
	struct device *dev = arg;

	if (dev->phase != DEVICE_UNPLUGGING)
		return;
	if (reply->result != HOST_OK) {
		unplug_refused(dev, reply->err);
		return;
	}
	if (!dev->emu->ops->connected(dev->emu) || dev->unplug_force) {
		remove_device(dev);
		return;
	}
	dev->unplug_timer = evtimer_new(dev->ctl->base, on_unplug_timer, dev);
	if (dev->unplug_timer == NULL || evtimer_add(dev->unplug_timer, &wait) != 0)
		unplug_refused(dev, "out of memory");
}

int
device_unplug(struct device *dev, bool force, device_done_t done, void *arg)
{
	struct host *host = dev->ctl->host[dev->conf.host];
	struct host_plug plug;

	if (dev->phase != DEVICE_LIVE)
		return VN_ERR_UNPLUG_NOT_READY;
	dev->phase = DEVICE_UNPLUGGING;
	dev->unplug_force = force;
	dev->done = done;
	dev->done_arg = arg;
	describe_plug(dev, &plug);
	host->ops->unplug(host, &plug, force, DEVICE_UNPLUG_MS, unplugged, dev);
	return 0;
}

/* ---- where the host sees it ---- */

static void
bdf_answered(void *arg, const struct host_reply *reply)
{
	struct bdf_query *q = arg;
	struct device *dev = q->dev;

	free(q);
	if (dev == NULL)
		return;
	dev->bdf_query = NULL;
	if (reply->result != HOST_OK || reply->bdf[0] == '\0' || strcmp(dev->bdf, reply->bdf) == 0)
		return;
	log_info("%s: now at %s, was at %s", dev->vuid, reply->bdf, dev->bdf);
	strcpy(dev->bdf, reply->bdf);
}

void
device_refresh_bdf(struct device *dev)
{
	struct host *host = dev->ctl->host[dev->conf.host];

	/* One question at a time: drivers may come and go as fast as they like. */
	if (dev->bdf_query != NULL || dev->phase != DEVICE_LIVE || host == NULL)
		return;
	dev->bdf_query = calloc(1, sizeof(*dev->bdf_query));
	if (dev->bdf_query == NULL)
		return;
	dev->bdf_query->dev = dev;
	host->ops->query(host, dev->plug_id, bdf_answered, dev->bdf_query);
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
