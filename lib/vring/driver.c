/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Driver side of a ring: what both formats share, and the choice between them. */

#include <errno.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "vring/driver_ring.h"
#include "vring/vring.h"

#define FEATURE(f, bit) (((f)&UINT64_C(1) << (bit)) != 0)

static size_t
areas_size(uint16_t size, uint64_t features)
{
	return FEATURE(features, VIRTIO_F_RING_PACKED) ? packed_driver_areas(size)
						       : split_driver_areas(size);
}

size_t
vring_driver_memory(uint16_t size, uint64_t features)
{
	size_t len = areas_size(size, features);

	if (FEATURE(features, VIRTIO_RING_F_INDIRECT_DESC))
		len += (size_t)size * VRING_DRIVER_INDIRECT_MAX * sizeof(struct virtq_desc);
	return len;
}

int
vring_driver_init(struct vring_driver *vd, const struct vring_driver_conf *conf)
{
	const bool packed = FEATURE(conf->features, VIRTIO_F_RING_PACKED);
	const uint16_t n = conf->size;
	const size_t areas = areas_size(n, conf->features);

	if (n == 0 || n > VRING_MAX_SIZE || (!packed && !rte_is_power_of_2(n)))
		return -EINVAL;
	if (((uintptr_t)conf->va & (DRIVER_AREA_ALIGN - 1)) != 0 ||
		(conf->iova & (DRIVER_AREA_ALIGN - 1)) != 0)
		return -EINVAL;
	memset(conf->va, 0, areas);
	*vd = (struct vring_driver){
		.slots = conf->slots,
		.size = n,
		.mask = n - 1,
		.packed = packed,
		.in_order = FEATURE(conf->features, VIRTIO_F_IN_ORDER),
		.event_idx = FEATURE(conf->features, VIRTIO_RING_F_EVENT_IDX),
		.n_free = n,
	};
	if (FEATURE(conf->features, VIRTIO_RING_F_INDIRECT_DESC)) {
		vd->indirect = (struct virtq_desc *)(conf->va + areas);
		vd->pindirect = (struct pvirtq_desc *)(conf->va + areas);
		vd->indirect_iova = conf->iova + areas;
	}
	for (uint32_t i = 0; i < n; i++)
		conf->slots[i] = (struct vring_driver_slot){
			.next = (uint16_t)(i + 1u == n ? 0 : i + 1u),
		};
	if (packed)
		packed_driver_init(vd, conf->va, conf->iova);
	else
		split_driver_init(vd, conf->va, conf->iova);
	return 0;
}

int
vring_driver_add(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out,
	uint16_t n_in, bool indirect, uint64_t token)
{
	const uint32_t n = (uint32_t)n_out + n_in;

	if (n == 0 || n > (indirect ? VRING_DRIVER_INDIRECT_MAX : vd->size))
		return -EINVAL;
	if (indirect && vd->indirect == NULL)
		return -EINVAL;
	if ((indirect ? 1 : n) > vd->n_free)
		return -ENOSPC;
	if (vd->packed)
		packed_driver_add(vd, bufs, n_out, (uint16_t)n, indirect, token);
	else
		split_driver_add(vd, bufs, n_out, (uint16_t)n, indirect, token);
	return 0;
}

uint16_t
vring_driver_add_burst(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n, bool in,
	uint64_t first_token)
{
	n = RTE_MIN(n, vd->n_free);
	return vd->packed ? packed_driver_add_burst(vd, bufs, n, in, first_token)
			  : split_driver_add_burst(vd, bufs, n, in, first_token);
}

void
vring_driver_publish(struct vring_driver *vd)
{
	if (vd->packed)
		packed_driver_publish(vd);
	else
		split_driver_publish(vd);
}

bool
vring_driver_kick_needed(struct vring_driver *vd)
{
	return vd->packed ? packed_driver_kick_needed(vd) : split_driver_kick_needed(vd);
}

uint32_t
vring_driver_kick_data(const struct vring_driver *vd, uint16_t index)
{
	const uint32_t next = vd->packed ? packed_driver_published(vd) : vd->published_idx;

	return index | next << 16;
}

uint16_t
vring_driver_get_burst(struct vring_driver *vd, struct vring_used_chain *used, uint16_t n)
{
	if (vd->broken)
		return 0;
	n = vd->packed ? packed_driver_get_burst(vd, used, n) : split_driver_get_burst(vd, used, n);
	/* With the event index an interrupt is asked for entry by entry. */
	if (vd->event_idx && !vd->interrupts_off)
		vring_driver_interrupts_on(vd);
	return n;
}

uint16_t
vring_driver_get_packet(struct vring_driver *vd, struct vring_used_chain *used, uint16_t max,
	vring_driver_hdr_t hdr, void *arg)
{
	const struct virtio_net_hdr_mrg_rxbuf *h;
	uint16_t n;

	if (max == 0 || vring_driver_get_burst(vd, used, 1) == 0)
		return 0;
	h = hdr(arg, used[0].token);
	n = h == NULL || used[0].len < sizeof(*h) ? 0
						  : *(const volatile __virtio16 *)&h->num_buffers;
	if (n == 0 || n > max ||
		(n > 1 && vring_driver_get_burst(vd, &used[1], n - 1u) != n - 1u)) {
		vd->broken = true;
		return 0;
	}
	return n;
}

void
vring_driver_interrupts_off(struct vring_driver *vd)
{
	vd->interrupts_off = true;
	if (vd->packed)
		packed_driver_interrupts_off(vd);
	else
		split_driver_interrupts_off(vd);
}

bool
vring_driver_interrupts_on(struct vring_driver *vd)
{
	vd->interrupts_off = false;
	return vd->packed ? packed_driver_interrupts_on(vd) : split_driver_interrupts_on(vd);
}
