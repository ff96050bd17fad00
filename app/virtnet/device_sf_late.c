/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* An SF that comes later than its device, and what stands in for it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <rte_mbuf.h>

#include "device_adopt.h"
#include "device_run.h"
#include "device_sf.h"
#include "device_sf_late.h"
#include "log.h"
#include "mem.h"

/* The keeper may still be closing the former SF, whose name is wanted: a fraction of a second. */
#define LATE_TRIES    100u
#define LATE_RETRY_MS 20

/* ---- the stand-in: a representor without a link ---- */

static void
none_destroy(struct sf *sf)
{
	free(sf);
}

static int
none_set_queues(struct sf *sf, uint16_t pairs, uint32_t rx_caps)
{
	(void)rx_caps;
	return pairs <= sf->max_pairs ? 0 : -EINVAL;
}

static int
none_set_mtu(struct sf *sf, uint16_t mtu)
{
	(void)sf;
	(void)mtu;
	return 0;
}

static int
none_set_link(struct sf *sf, bool up)
{
	(void)sf;
	(void)up;
	return 0;
}

static uint16_t
none_rx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	(void)sf;
	(void)queue;
	(void)pkts;
	(void)n;
	return 0;
}

static uint16_t
none_tx_burst(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	(void)sf;
	(void)queue;
	rte_pktmbuf_free_bulk(pkts, n);
	return 0;
}

static int
none_rx_fd(struct sf *sf, uint16_t queue)
{
	(void)sf;
	(void)queue;
	return -1;
}

static void
none_queue_stats(struct sf *sf, uint16_t queue, struct sf_queue_stats *stats)
{
	(void)sf;
	(void)queue;
	memset(stats, 0, sizeof(*stats));
}

static const struct sf_ops none_ops = {
	.name = "none",
	.destroy = none_destroy,
	.release = none_destroy,
	.set_queues = none_set_queues,
	.set_mtu = none_set_mtu,
	.set_link = none_set_link,
	.rx_burst = none_rx_burst,
	.tx_burst = none_tx_burst,
	.rx_fd = none_rx_fd,
	.queue_stats = none_queue_stats,
};

/* ---- the SF itself ---- */

struct late {
	struct device *dev;
	const struct sf_ops *ops;
	struct sf_params params;
	struct sf *sf; /* made, then the one that goes */
	unsigned int tries;
	int ret;
	char err[256];
};

static void
destroy_work(void *arg)
{
	struct late *late = arg;

	if (late->sf != NULL)
		late->sf->ops->destroy(late->sf);
}

static void
free_late(void *arg)
{
	free(arg);
}

static void
removed(void *arg)
{
	struct late *late = arg;

	device_ended(late->dev);
	free(late);
}

/* Jobs that the helper has for the stand-in come before its end. */
static void
step_swap(struct device *dev, void *arg)
{
	struct late *late = arg;
	struct sf *sf = late->sf;

	late->sf = dev->sf;
	dev->sf = sf;
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL)
			qpair_set_sf(dev->pair[i], sf);
	dev->state->sf.pairs = 0;
	dev->state->sf.changing = 1;
	device_sf_store(dev);
	helper_run(dev->ctl->helper, destroy_work, free_late, late);
	device_settle(dev);
}

static void make_again(evutil_socket_t fd, short what, void *arg);

/* @return it will be tried again */
static bool
retry(struct late *late)
{
	const struct timeval wait = {.tv_usec = LATE_RETRY_MS * 1000};

	return (late->ret == -EEXIST || late->ret == -EBUSY) && ++late->tries < LATE_TRIES &&
	       event_base_once(late->dev->ctl->base, -1, EV_TIMEOUT, make_again, late, &wait) == 0;
}

static void
made(void *arg)
{
	struct late *late = arg;
	struct device *dev = late->dev;

	if (dev->phase == DEVICE_REMOVING) {
		helper_run(dev->ctl->helper, destroy_work, removed, late);
		return;
	}
	if (retry(late))
		return;
	dev->sf_late = false;
	if (late->ret < 0) {
		log_err("%s: SF cannot be made anew: %s: no packets", dev->vuid, late->err);
		free(late);
		return;
	}
	log_info("%s: SF %s has been made anew", dev->vuid, late->sf->rep);
	(void)device_quiesce(dev, step_swap, late, false);
}

static void
make_work(void *arg)
{
	struct late *late = arg;

	late->ret = late->ops->create(&late->params, &late->sf, late->err, sizeof(late->err));
}

static void
make_again(evutil_socket_t fd, short what, void *arg)
{
	struct late *late = arg;

	(void)fd;
	(void)what;
	if (late->dev->phase == DEVICE_REMOVING)
		removed(late);
	else
		helper_run(late->dev->ctl->helper, make_work, made, late);
}

int
device_sf_late(struct device *dev)
{
	struct late *late = calloc(1, sizeof(*late));
	struct sf *sf = calloc(1, sizeof(*sf));

	if (late == NULL || sf == NULL) {
		free(late);
		free(sf);
		return -ENOMEM;
	}
	late->dev = dev;
	late->ops = dev->ctl->sf_ops;
	device_sf_params(dev, &late->params);
	sf->ops = &none_ops;
	sf->max_pairs = dev->conf.max_pairs;
	memcpy(sf->rep, late->params.rep, sizeof(sf->rep));
	dev->sf = sf;
	dev->sf_late = true;
	helper_run(dev->ctl->helper, make_work, made, late);
	return 0;
}
