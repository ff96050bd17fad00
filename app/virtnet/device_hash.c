/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* How a device's received packets are hashed. */

#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "device_hash.h"
#include "mem.h"
#include "net/hash.h"
#include "state/fault_point.h"
#include "virtio/virtio_net_ctrl.h"

_Static_assert(VIRTIO_NET_HASH_TYPES == NET_HASH_TYPES_ALL, "what is offered can be done");
_Static_assert(
	VIRTIO_NET_HASH_KEY_SIZE == NET_HASH_KEY_SIZE && DEVICE_HASH_KEY_LEN == NET_HASH_KEY_SIZE,
	"one key");

/* A change on its way through a grace period. */
struct hash_change {
	struct device *dev;
	device_hash_done_t done;
	uint32_t token;
};

bool
device_hash_possible(const struct device *dev, uint32_t types)
{
	return (types & ~virtio_dev_state(dev->vdev)->config.supported_hash_types) == 0;
}

void
device_hash_pair(const struct device *dev, struct qpair *qp)
{
	if (virtio_has(qp->features, VIRTIO_NET_F_HASH_REPORT))
		qpair_set_hash(qp, dev->state->hash.types, dev->state->hash.key);
}

/* A removal, too, waits for a grace period that begins later: the device is there. */
static void
after_grace(void *arg)
{
	const struct hash_change ch = *(struct hash_change *)arg;

	free(arg);
	ch.done(ch.dev, 0, ch.token);
}

void
device_hash_set(struct device *dev, uint32_t types, const uint8_t key[DEVICE_HASH_KEY_LEN],
	device_hash_done_t done, uint32_t token)
{
	struct hash_change *ch = must_zalloc(sizeof(*ch));

	*ch = (struct hash_change){.dev = dev, .done = done, .token = token};
	dev->state->hash.types = types;
	FAULT_POINT("device.hash.types");
	memcpy(dev->state->hash.key, key, sizeof(dev->state->hash.key));
	for (uint16_t i = 0; i < dev->conf.max_pairs; i++)
		if (dev->pair[i] != NULL)
			device_hash_pair(dev, dev->pair[i]);
	FAULT_POINT("device.hash.set");
	grace_call(dev->ctl->grace, after_grace, ch);
}
