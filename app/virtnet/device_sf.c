/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The SF's queues: what the device wants, and the job that carries it out.
 *
 * The state block says what a successor finds: `changing` is set before anything of a change can
 * happen, `pairs` is stored when the SF has done it and its new descriptors are with the keeper,
 * `changing` is cleared last, with the last change. In between a successor has the SF put right.
 */

#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "device_sf.h"
#include "keeper_link.h"
#include "log.h"
#include "mem.h"
#include "state/fault_point.h"
#include "topology.h"
#include "virtio/virtio_net_ctrl.h"

/* One change on its way: through a grace period, then to the helper and back. */
struct sf_change {
	struct device *dev;
	struct sf *sf;
	uint32_t run; /* start of the device that it belongs to */
	uint16_t pairs;
	uint64_t features; /* negotiated, less what the driver has switched off */
	bool stop_first; /* a stop was asked for before and not carried out */
	int err;
	device_sf_done_t done;
	uint32_t token;
};

static void start(struct device *dev);
static void want(struct sf_change *ch);

void
device_sf_params(const struct device *dev, struct sf_params *p)
{
	const struct controller *c = dev->ctl;

	p->sf_num = dev->conf.sf_num;
	topology_rep_name(dev->conf.sf_num, p->rep, sizeof(p->rep));
	p->mac = dev->conf.mac;
	p->mtu = dev->conf.mtu;
	p->max_pairs = dev->conf.max_pairs;
	p->pool = c->pool;
	p->args = c->cfg.sf_args[0] != '\0' ? c->cfg.sf_args : NULL;
}

void
device_sf_store(struct device *dev)
{
	struct device_sf_state *s = &dev->state->sf;

	s->max_pairs = dev->sf->max_pairs;
	s->rep_ifindex = dev->sf->rep_ifindex;
	memcpy(s->rep, dev->sf->rep, sizeof(s->rep));
	s->made = 1;
	if (dev->handle == 0 || dev->sf->ops->descriptor == NULL)
		return;
	for (uint16_t i = 0; i < dev->sf->max_pairs && i < dev->conf.max_pairs; i++) {
		const int fd = dev->sf->ops->descriptor(dev->sf, i);

		if (fd == dev->sf_stored[i])
			continue;
		if (fd >= 0)
			keeper_link_store(dev->ctl->keeper, dev->handle, HA_FD_SF, i, &fd, 1);
		else
			keeper_link_drop(dev->ctl->keeper, dev->handle, HA_FD_SF, i, 1);
		dev->sf_stored[i] = fd;
	}
}

/* A change ends, carried out or not. */
static void
change_free(struct sf_change *ch)
{
	struct device *dev = ch->dev;

	free(ch);
	if (--dev->sf_changes == 0)
		dev->state->sf.changing = 0;
}

/* The driver's features with those of the offloads that are on. */
static uint64_t
features_with(const struct device *dev, uint64_t offloads)
{
	return virtio_dev_features(dev->vdev) & (offloads | ~VIRTIO_NET_GUEST_OFFLOADS);
}

static uint64_t
features_now(const struct device *dev)
{
	return features_with(
		dev, dev->state->started ? dev->state->guest_offloads : VIRTIO_NET_GUEST_OFFLOADS);
}

uint32_t
device_sf_offloads(const struct device *dev)
{
	return net_offload_guest(features_now(dev));
}

static void
apply(struct device *dev, uint16_t pairs)
{
	const uint32_t offloads = device_sf_offloads(dev);

	dev->state->pairs = pairs;
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++) {
		int ret;

		if (dev->pair[i] == NULL)
			continue;
		atomic_store(&dev->pair[i]->rx_offloads, offloads);
		atomic_store(&dev->pair[i]->rx_on, i < pairs);
		ret = workers_rx_changed(dev->pair[i]);
		if (ret < 0)
			log_err("%s: pair %u: cannot watch the SF's queue: %s", dev->vuid, i,
				strerror(-ret));
	}
}

static void
work(void *arg)
{
	struct sf_change *ch = arg;

	ch->err = 0;
	if (ch->stop_first)
		ch->err = ch->sf->ops->set_queues(ch->sf, 0, 0);
	if (ch->err == 0 && (ch->pairs > 0 || !ch->stop_first))
		ch->err = ch->sf->ops->set_queues(ch->sf, ch->pairs,
			net_offload_guest(ch->features) & SF_CAP_RX);
}

static void
work_done(void *arg)
{
	struct sf_change *ch = arg;
	struct device *dev = ch->dev;

	dev->sf_busy = false;
	if (ch->sf != dev->sf) {
		/* Another SF has come meanwhile (device_sf_late.c). */
		want(ch);
		return;
	}
	FAULT_POINT("device.sf.changed");
	/* The SF of a device that goes may have been destroyed by now, behind this change. */
	if (dev->phase != DEVICE_REMOVING)
		device_sf_store(dev);
	if (ch->err == 0) {
		dev->state->sf.pairs = ch->pairs;
		dev->state->guest_offloads = ch->features & VIRTIO_NET_GUEST_OFFLOADS;
	}
	FAULT_POINT("device.sf.recorded");
	if (ch->err < 0)
		log_err("%s: SF %s: cannot set %u queue pairs: %s", dev->vuid, dev->state->sf.rep,
			ch->pairs, strerror(-ch->err));
	if (ch->run == dev->run && ch->done != NULL) {
		/* A failed change keeps the former number. */
		apply(dev, ch->err == 0 ? ch->pairs : dev->state->pairs);
		ch->done(dev, ch->err, ch->token);
	}
	change_free(ch);
	start(dev);
}

/* Hand the next change to the helper, if there is one and the helper is done with the last. */
static void
start(struct device *dev)
{
	struct sf_change *ch = dev->sf_wanted;

	if (dev->sf_busy || ch == NULL)
		return;
	dev->sf_wanted = NULL;
	dev->sf_busy = true;
	ch->sf = dev->sf;
	helper_run(dev->ctl->helper, work, work_done, ch);
}

/* A change replaces one that has not been started; only a stop is never skipped. */
static void
want(struct sf_change *ch)
{
	struct device *dev = ch->dev;
	struct sf_change *old = dev->sf_wanted;

	if (old != NULL)
		ch->stop_first = old->stop_first || old->pairs == 0;
	if (old != NULL)
		change_free(old);
	dev->sf_wanted = ch;
	start(dev);
}

static struct sf_change *
change(struct device *dev, uint16_t pairs)
{
	struct sf_change *ch = must_zalloc(sizeof(*ch));

	ch->dev = dev;
	ch->run = dev->run;
	ch->pairs = pairs;
	ch->features = features_now(dev);
	dev->state->sf.wanted = pairs;
	dev->state->sf.changing = 1;
	dev->sf_changes++;
	return ch;
}

static void
after_grace(void *arg)
{
	struct sf_change *ch = arg;

	if (ch->run == ch->dev->run)
		want(ch);
	else
		change_free(ch);
}

void
device_sf_set_pairs(struct device *dev, uint16_t pairs, device_sf_done_t done, uint32_t token)
{
	struct sf_change *ch = change(dev, pairs);

	ch->done = done;
	ch->token = token;
	for (uint16_t i = pairs; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL)
			atomic_store(&dev->pair[i]->rx_on, false);
	dev->sf_used = true;
	grace_call(dev->ctl->grace, after_grace, ch);
}

void
device_sf_set_offloads(
	struct device *dev, uint64_t features, device_sf_done_t done, uint32_t token)
{
	struct sf_change *ch = change(dev, dev->state->pairs);

	ch->done = done;
	ch->token = token;
	ch->features = features_with(dev, features);
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL)
			atomic_fetch_and(
				&dev->pair[i]->rx_offloads, net_offload_guest(ch->features));
	dev->sf_used = true;
	grace_call(dev->ctl->grace, after_grace, ch);
}

void
device_sf_cancel(struct device *dev)
{
	if (dev->sf_wanted != NULL)
		change_free(dev->sf_wanted);
	dev->sf_wanted = NULL;
}

void
device_sf_stop(struct device *dev)
{
	if (dev->sf_used)
		want(change(dev, 0));
	dev->sf_used = false;
}
