/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The SF's queues: what the device wants, and the job that carries it out. */

#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "device_sf.h"
#include "log.h"
#include "mem.h"

/* One change on its way: through a grace period, then to the helper and back. */
struct sf_change {
	struct device *dev;
	struct sf *sf;
	uint32_t run; /* start of the device that it belongs to */
	uint16_t pairs;
	bool rx_csum;
	bool stop_first; /* a stop was asked for before and not carried out */
	int err;
	device_sf_done_t done;
	uint32_t token;
};

static void start(struct device *dev);

static void
apply(struct device *dev, uint16_t pairs)
{
	dev->state->pairs = pairs;
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++) {
		int ret;

		if (dev->pair[i] == NULL)
			continue;
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

	if (ch->stop_first)
		ch->err = ch->sf->ops->set_queues(ch->sf, 0, false);
	if (ch->err == 0 && (ch->pairs > 0 || !ch->stop_first))
		ch->err = ch->sf->ops->set_queues(ch->sf, ch->pairs, ch->rx_csum);
}

static void
work_done(void *arg)
{
	struct sf_change *ch = arg;
	struct device *dev = ch->dev;

	dev->sf_busy = false;
	if (ch->err < 0)
		log_err("%s: SF %s: cannot set %u queue pairs: %s", dev->vuid, ch->sf->rep,
			ch->pairs, strerror(-ch->err));
	if (ch->run == dev->run && ch->done != NULL) {
		/* A failed change keeps the former number. */
		apply(dev, ch->err == 0 ? ch->pairs : dev->state->pairs);
		ch->done(dev, ch->err, ch->token);
	}
	free(ch);
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
	free(old);
	dev->sf_wanted = ch;
	start(dev);
}

static struct sf_change *
change(struct device *dev, uint16_t pairs)
{
	struct sf_change *ch = must_zalloc(sizeof(*ch));

	ch->dev = dev;
	ch->sf = dev->sf;
	ch->run = dev->run;
	ch->pairs = pairs;
	ch->rx_csum = virtio_has(virtio_dev_features(dev->vdev), VIRTIO_NET_F_GUEST_CSUM);
	return ch;
}

static void
after_grace(void *arg)
{
	struct sf_change *ch = arg;

	if (ch->run == ch->dev->run)
		want(ch);
	else
		free(ch);
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
device_sf_cancel(struct device *dev)
{
	free(dev->sf_wanted);
	dev->sf_wanted = NULL;
}

void
device_sf_stop(struct device *dev)
{
	if (dev->sf_used)
		want(change(dev, 0));
	dev->sf_used = false;
}
