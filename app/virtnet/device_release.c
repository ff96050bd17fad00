/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Letting a device go: nothing new is begun, what is under way ends, workers let go of the queues;
 * then the state block is as a successor expects it, and this process forgets the device.
 */

#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>
#include <rte_cycles.h>

#include "device_adopt.h"
#include "device_fault.h"
#include "device_function.h"
#include "device_release.h"
#include "device_rings.h"
#include "device_run.h"
#include "errors.h"
#include "keeper_link.h"
#include "log.h"
#include "mem.h"
#include "state/fault_point.h"

/* Helper jobs take milliseconds. The keeper waits longer than this. */
#define RELEASE_MS 3000
/* What ends without telling device_release_try() is looked at this often. */
#define RELEASE_POLL_US 500
/* Of a driver that owes buffers for packets: half the gap that a hand-over may make. */
#define RELEASE_HELD_LOOKS 10u

#define REMOVED_TEXT	   "it is being removed"

struct device_release {
	struct event *timer;
	uint64_t deadline; /* TSC */
	unsigned int held_looks;
};

bool
device_migrating(const struct device *dev)
{
	return dev->release != NULL;
}

static void
end(struct device *dev)
{
	event_free(dev->release->timer);
	free(dev->release);
	dev->release = NULL;
}

/* ---- the device goes */

static void
forget_work(void *arg)
{
	struct device *dev = arg;

	if (dev->sf != NULL)
		dev->sf->ops->release(dev->sf);
	device_free(dev);
}

/* Calls that were put off before have been made. Unmapping takes long: the helper does it. */
static void
forget(void *arg)
{
	struct device *dev = arg;

	helper_run(dev->ctl->helper, forget_work, NULL, dev);
}

static void
go(struct device *dev)
{
	struct keeper_link *keeper = dev->ctl->keeper;
	const uint32_t handle = dev->handle;

	FAULT_POINT("device.release.quiesced");
	device_finish(dev, VN_ERR_DEV_MIGRATING, "it goes on in another process");
	device_fault_cancel(dev);
	if (dev->unplug_timer != NULL)
		event_free(dev->unplug_timer);
	dev->unplug_timer = NULL;
	device_rings_stop(dev);
	dev->emu->ops->destroy(dev->emu);
	dev->emu = NULL;
	keeper_door_forget(dev->door);
	dev->door = NULL;
	device_unlist(dev);
	end(dev);
	grace_call(dev->ctl->grace, forget, dev);
	/* Nothing of the block is touched after this. */
	keeper_link_released(keeper, handle, 0, "");
}

/* ---- or stays */

static void
stay(struct device *dev, int err, const char *why)
{
	log_err("%s: cannot go to another process: %s", dev->vuid, why);
	end(dev);
	dev->held = false;
	device_resume(dev);
	keeper_link_released(dev->ctl->keeper, dev->handle, err, why);
}

/* What is in the way, NULL if nothing is. */
static const char *
obstacle(const struct device *dev)
{
	if (dev->phase != DEVICE_LIVE && dev->phase != DEVICE_UNPLUGGING)
		return "it is being plugged in";
	if (dev->sf_late)
		return "its SF is being made";
	if (dev->sf_changes > 0)
		return "the SF's queues are being changed";
	if (dev->pairs_are != PAIRS_HERE || !STAILQ_EMPTY(&dev->steps))
		return "a worker does not let go of its queues";
	if (dev->emu->ops->busy(dev->emu))
		return "a request of the host is being carried out";
	return NULL;
}

/* Of packets that end with this process. @return some may still get to the driver */
static bool
owes_packets(struct device *dev)
{
	bool waits = false;

	if (!dev->started || !dev->dma_on || dev->release->held_looks == RELEASE_HELD_LOOKS)
		return false;
	dev->release->held_looks++;
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL)
			waits |= qpair_deliver_held(dev->pair[i]);
	return waits;
}

void
device_release_try(struct device *dev)
{
	if (dev->release != NULL && obstacle(dev) == NULL && !owes_packets(dev))
		go(dev);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval poll = {.tv_usec = RELEASE_POLL_US};
	struct device *dev = arg;
	const char *why = obstacle(dev);

	RTE_SET_USED(fd);
	RTE_SET_USED(what);
	if (why == NULL && !owes_packets(dev))
		go(dev);
	else if (why != NULL && rte_rdtsc() > dev->release->deadline)
		stay(dev, -EBUSY, why);
	else if (evtimer_add(dev->release->timer, &poll) < 0)
		stay(dev, -ENOMEM, "out of memory");
}

void
device_release(struct device *dev)
{
	const struct timeval now = {0};

	if (dev->release != NULL)
		return;
	if (dev->phase == DEVICE_REMOVING) {
		keeper_link_released(dev->ctl->keeper, dev->handle, -ENOENT, REMOVED_TEXT);
		return;
	}
	if (dev->sf != NULL && dev->sf->ops->release == NULL) {
		keeper_link_released(dev->ctl->keeper, dev->handle, -ENOTSUP,
			"its SF cannot change its process");
		return;
	}
	dev->release = must_zalloc(sizeof(*dev->release));
	dev->release->deadline = rte_rdtsc() + rte_get_tsc_hz() / MS_PER_S * RELEASE_MS;
	dev->release->timer = evtimer_new(dev->ctl->base, on_timer, dev);
	dev->held = true;
	if (dev->release->timer == NULL || evtimer_add(dev->release->timer, &now) < 0)
		rte_panic("out of memory\n");
	if (dev->pairs_are == PAIRS_WITH_WORKERS)
		(void)device_quiesce(dev, device_step_nothing, NULL, false);
}

void
device_release_cancel(struct device *dev)
{
	if (dev->release == NULL)
		return;
	end(dev);
	keeper_link_released(dev->ctl->keeper, dev->handle, -ENOENT, REMOVED_TEXT);
}
