/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Control virtqueue: taking commands, doing them, completing their chains.
 *
 * A command has taken its effect, state block included, before its chain is completed: whoever
 * takes over in between finds it in the ring and does it again. All commands say what is to be,
 * none what is to change, so that doing one twice is doing it once.
 */

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "ctrl_vq.h"
#include "device.h"
#include "device_fault.h"
#include "device_hash.h"
#include "device_rings.h"
#include "device_sf.h"
#include "fence.h"
#include "log.h"
#include "state/fault_point.h"
#include "virtio/virtio_net_ctrl.h"

/* Commands per kick; a driver that keeps posting them must not keep the control lcore from the
 * others. */
#define CTRL_VQ_BURST 64

enum outcome {
	OUTCOME_OK,
	OUTCOME_ERR,
	OUTCOME_WAIT, /* ctrl_vq_done() follows */
};

static void ctrl_vq_poll(struct device *dev);

static void
set_mac(struct device *dev, const uint8_t *mac)
{
	memcpy(dev->state->ctrl_mac, mac, sizeof(dev->state->ctrl_mac));
}

static void
set_rx_mode(struct device *dev, uint8_t mode, bool on)
{
	if (on)
		dev->state->rx_mode |= 1u << mode;
	else
		dev->state->rx_mode &= ~(1u << mode);
}

static void
announced(struct device *dev)
{
	struct virtio_net_config config = virtio_dev_state(dev->vdev)->config;

	config.status &= ~VIRTIO_NET_S_ANNOUNCE;
	virtio_dev_config_update_quiet(dev->vdev, &config);
}

/* Packets for a queue that the driver never set up would be lost. */
static bool
pairs_exist(const struct device *dev, uint16_t pairs)
{
	for (uint16_t q = 0; q < pairs * 2; q++)
		if (!device_queue_wanted(dev, q))
			return false;
	return true;
}

static enum outcome
execute(struct device *dev, const uint8_t *buf, uint32_t len)
{
	struct virtio_net_ctrl_cmd cmd;

	if (virtio_net_ctrl_parse(
		    buf, len, virtio_dev_features(dev->vdev), dev->conf.max_pairs, &cmd) < 0)
		return OUTCOME_ERR;
	switch (cmd.kind) {
	case VIRTIO_NET_CTRL_KIND_RX_MODE:
		set_rx_mode(dev, cmd.rx.mode, cmd.rx.on);
		return OUTCOME_OK;
	case VIRTIO_NET_CTRL_KIND_MAC_SET:
		set_mac(dev, cmd.mac);
		return OUTCOME_OK;
	case VIRTIO_NET_CTRL_KIND_MAC_TABLE:
		return OUTCOME_OK; /* every frame is delivered: the table asks for a subset */
	case VIRTIO_NET_CTRL_KIND_ANNOUNCE:
		announced(dev);
		return OUTCOME_OK;
	case VIRTIO_NET_CTRL_KIND_MQ:
		if (!pairs_exist(dev, cmd.pairs))
			return OUTCOME_ERR;
		device_sf_set_pairs(dev, cmd.pairs, ctrl_vq_done, dev->ctrl.starts);
		return OUTCOME_WAIT;
	case VIRTIO_NET_CTRL_KIND_GUEST_OFFLOADS:
		device_sf_set_offloads(dev, cmd.offloads, ctrl_vq_done, dev->ctrl.starts);
		return OUTCOME_WAIT;
	case VIRTIO_NET_CTRL_KIND_HASH_CONFIG:
		if (!device_hash_possible(dev, cmd.hash.types))
			return OUTCOME_ERR;
		device_hash_set(dev, cmd.hash.types, cmd.hash.key, ctrl_vq_done, dev->ctrl.starts);
		return OUTCOME_WAIT;
	}
	return OUTCOME_ERR;
}

static void
complete(struct device *dev, struct vring_chain *chain, uint8_t ack)
{
	struct vring *vr = &dev->ctrl.ring;
	const uint32_t written = vring_chain_write(chain, 0, &ack, sizeof(ack));

	FAULT_POINT("device.ctrl.done");
	vring_push(vr, chain, written);
	FAULT_POINT("device.ctrl.completed");
	if (vring_interrupt_wanted(vr))
		virtio_dev_queue_interrupt(dev->vdev, dev->ctrl.queue);
}

/* @return 1 a command was taken; 0 none */
static int
take(struct device *dev, struct vring_chain *chain)
{
	struct vring *vr = &dev->ctrl.ring;
	const int ret = vring_pop(vr, chain);
	enum vring_error error;

	if (ret >= 0)
		return ret;
	error = vr->error;
	ctrl_vq_stop(dev);
	device_fault_control(dev, error);
	return 0;
}

/* One command. @return false when there is nothing more to do now */
static bool
serve(struct device *dev)
{
	static struct vring_chain chain; /* large; the control lcore is one thread */
	static uint8_t buf[VIRTIO_NET_CTRL_MAX + 1];
	struct vring *vr = &dev->ctrl.ring;
	enum outcome outcome = OUTCOME_ERR;
	uint32_t len;

	vring_refresh(vr);
	if (take(dev, &chain) == 0)
		return false;
	len = vring_chain_read(&chain, 0, buf, sizeof(buf));
	if (len <= VIRTIO_NET_CTRL_MAX && chain.in_len > 0)
		outcome = execute(dev, buf, len);
	if (outcome == OUTCOME_WAIT) {
		/* Its memory may be gone when the answer comes: take the chain again then. */
		vring_unpop(vr);
		dev->ctrl.waiting = true;
		return false;
	}
	complete(dev, &chain, outcome == OUTCOME_OK ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
	return true;
}

/* The same, with a word for whoever finds the body. */
static bool
serve_watched(struct device *dev)
{
	struct ha_thread *self = fence_self();
	bool more;

	ha_crumb_queue(self, dev->handle, dev->ctrl.queue, dev->ctrl.ring.used_idx);
	more = serve(dev);
	self->crumb.kind = HA_CRUMB_NONE;
	return more;
}

/*
 * Host memory is out of bounds without bus mastering, and after a fault. Before the SF is ready a
 * command would overtake the start that it builds on.
 */
static bool
may_serve(const struct device *dev)
{
	return dev->started && dev->dma_on && !dev->held &&
	       !(virtio_dev_status(dev->vdev) & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void
ctrl_vq_poll(struct device *dev)
{
	struct ctrl_vq *cq = &dev->ctrl;

	for (int i = 0; i < CTRL_VQ_BURST; i++) {
		if (!cq->running || cq->waiting || !may_serve(dev))
			return;
		if (!serve_watched(dev) &&
			(!cq->running || cq->waiting || !vring_kicks_on(&cq->ring)))
			return;
	}
	(void)eventfd_write(cq->kick_fd, 1); /* the rest after the others had their turn */
}

void
ctrl_vq_done(struct device *dev, int err, uint32_t starts)
{
	static struct vring_chain chain;

	if (!dev->ctrl.running || !dev->ctrl.waiting || dev->ctrl.starts != starts)
		return;
	dev->ctrl.waiting = false;
	/* The command is still in the ring; ctrl_vq_wake() has it done again. */
	if (!may_serve(dev))
		return;
	vring_refresh(&dev->ctrl.ring);
	if (take(dev, &chain) == 1)
		complete(dev, &chain, err == 0 ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
	ctrl_vq_poll(dev);
}

static void
on_kick(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t n;

	(void)what;
	(void)eventfd_read(fd, &n);
	ctrl_vq_poll(arg);
}

void
ctrl_vq_wake(struct device *dev)
{
	if (dev->ctrl.running)
		(void)eventfd_write(dev->ctrl.kick_fd, 1);
}

int
ctrl_vq_start(struct device *dev)
{
	const uint16_t q = virtio_net_ctrl_queue(virtio_dev_state(dev->vdev));
	struct ctrl_vq *cq = &dev->ctrl;
	struct vring_conf conf;
	int ret;

	if (cq->running || !virtio_has(virtio_dev_features(dev->vdev), VIRTIO_NET_F_CTRL_VQ) ||
		!device_queue_wanted(dev, q))
		return 0;
	device_ring_conf(dev, q, &conf);
	ret = vring_start(&cq->ring, &conf);
	if (ret < 0)
		return ret;
	cq->kick_fd = device_kick_get(dev, q);
	if (cq->kick_fd < 0) {
		ret = -errno;
		vring_stop(&cq->ring);
		return ret;
	}
	cq->kick_event = event_new(dev->ctl->base, cq->kick_fd, EV_READ | EV_PERSIST, on_kick, dev);
	if (cq->kick_event == NULL || event_add(cq->kick_event, NULL) != 0)
		log_err("%s: cannot watch the control queue", dev->vuid);
	/* What the driver has asked for before. */
	(void)eventfd_write(cq->kick_fd, 1);
	cq->queue = q;
	cq->starts++;
	cq->running = true;
	return 0;
}

void
ctrl_vq_stop(struct device *dev)
{
	struct ctrl_vq *cq = &dev->ctrl;

	if (!cq->running)
		return;
	cq->running = false;
	cq->waiting = false;
	if (cq->kick_event != NULL)
		event_free(cq->kick_event);
	cq->kick_event = NULL;
	device_kick_put(dev, cq->queue, cq->kick_fd);
	vring_stop(&cq->ring);
}
