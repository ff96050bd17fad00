/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Driver side of a split ring (virtio 1.2, 2.7). */

#include <errno.h>
#include <string.h>

#include <rte_common.h>

#include "vring/split_ring.h"
#include "vring/vring_driver.h"

#define AREA_ALIGN	64u
#define FEATURE(f, bit) (((f)&UINT64_C(1) << (bit)) != 0)

static size_t
areas_size(uint16_t size)
{
	return RTE_ALIGN_CEIL(SPLIT_DESC_SIZE(size), AREA_ALIGN) +
	       RTE_ALIGN_CEIL(SPLIT_AVAIL_SIZE(size), AREA_ALIGN) +
	       RTE_ALIGN_CEIL(SPLIT_USED_SIZE(size), AREA_ALIGN);
}

size_t
vring_driver_memory(uint16_t size, uint64_t features)
{
	size_t len = areas_size(size);

	if (FEATURE(features, VIRTIO_RING_F_INDIRECT_DESC))
		len += (size_t)size * VRING_DRIVER_INDIRECT_MAX * sizeof(struct virtq_desc);
	return len;
}

int
vring_driver_init(struct vring_driver *vd, const struct vring_driver_conf *conf)
{
	const uint16_t n = conf->size;
	uint64_t avail, used;

	if (n == 0 || n > VRING_MAX_SIZE || !rte_is_power_of_2(n))
		return -EINVAL;
	if (((uintptr_t)conf->va & (AREA_ALIGN - 1)) != 0 || (conf->iova & (AREA_ALIGN - 1)) != 0)
		return -EINVAL;
	avail = RTE_ALIGN_CEIL(SPLIT_DESC_SIZE(n), AREA_ALIGN);
	used = avail + RTE_ALIGN_CEIL(SPLIT_AVAIL_SIZE(n), AREA_ALIGN);
	memset(conf->va, 0, areas_size(n));
	*vd = (struct vring_driver){
		.desc = (struct virtq_desc *)conf->va,
		.avail = (struct virtq_avail *)(conf->va + avail),
		.used = (struct virtq_used *)(conf->va + used),
		.slots = conf->slots,
		.size = n,
		.mask = n - 1,
		.event_idx = FEATURE(conf->features, VIRTIO_RING_F_EVENT_IDX),
		.n_free = n,
		.desc_iova = conf->iova,
		.driver_iova = conf->iova + avail,
		.device_iova = conf->iova + used,
	};
	if (FEATURE(conf->features, VIRTIO_RING_F_INDIRECT_DESC)) {
		vd->indirect = (struct virtq_desc *)(conf->va + areas_size(n));
		vd->indirect_iova = conf->iova + areas_size(n);
	}
	for (uint32_t i = 0; i < n; i++)
		conf->slots[i] = (struct vring_driver_slot){.next = (i + 1) & vd->mask};
	return 0;
}

static struct virtq_desc
desc_of(const struct vring_buf *buf, bool in, bool last, uint16_t next)
{
	return (struct virtq_desc){
		.addr = buf->iova,
		.len = buf->len,
		.flags = (in ? VIRTQ_DESC_F_WRITE : 0) | (last ? 0 : VIRTQ_DESC_F_NEXT),
		.next = last ? 0 : next,
	};
}

static __rte_always_inline void
head_add(struct vring_driver *vd, uint16_t head, uint16_t n, uint64_t token)
{
	vd->slots[head].token = token;
	vd->slots[head].n = n;
	vd->avail->ring[vd->avail_idx++ & vd->mask] = head;
	vd->n_free -= n;
}

static void
add_indirect(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out, uint16_t n,
	uint64_t token)
{
	const uint16_t head = vd->free_head;
	const size_t first = (size_t)head * VRING_DRIVER_INDIRECT_MAX;

	for (uint16_t i = 0; i < n; i++)
		vd->indirect[first + i] = desc_of(&bufs[i], i >= n_out, i + 1 == n, i + 1);
	vd->desc[head] = (struct virtq_desc){
		.addr = vd->indirect_iova + first * sizeof(struct virtq_desc),
		.len = n * sizeof(struct virtq_desc),
		.flags = VIRTQ_DESC_F_INDIRECT,
	};
	vd->free_head = vd->slots[head].next;
	head_add(vd, head, 1, token);
}

int
vring_driver_add(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n_out,
	uint16_t n_in, bool indirect, uint64_t token)
{
	const uint32_t n = (uint32_t)n_out + n_in;
	const uint16_t head = vd->free_head;
	uint16_t at = head;

	if (n == 0 || n > (indirect ? VRING_DRIVER_INDIRECT_MAX : vd->size))
		return -EINVAL;
	if (indirect && vd->indirect == NULL)
		return -EINVAL;
	if ((indirect ? 1 : n) > vd->n_free)
		return -ENOSPC;
	if (indirect) {
		add_indirect(vd, bufs, n_out, (uint16_t)n, token);
		return 0;
	}
	for (uint32_t i = 0; i < n; i++) {
		const uint16_t next = vd->slots[at].next;

		vd->desc[at] = desc_of(&bufs[i], i >= n_out, i + 1 == n, next);
		at = next;
	}
	vd->free_head = at;
	head_add(vd, head, (uint16_t)n, token);
	return 0;
}

uint16_t
vring_driver_add_burst(struct vring_driver *vd, const struct vring_buf *bufs, uint16_t n, bool in,
	uint64_t first_token)
{
	uint16_t i;

	n = RTE_MIN(n, vd->n_free);
	for (i = 0; i < n; i++) {
		const uint16_t head = vd->free_head;

		vd->free_head = vd->slots[head].next;
		vd->desc[head] = desc_of(&bufs[i], in, true, 0);
		head_add(vd, head, 1, first_token + i);
	}
	return n;
}

void
vring_driver_publish(struct vring_driver *vd)
{
	vd->published_idx = vd->avail_idx;
	__atomic_store_n(&vd->avail->idx, vd->avail_idx, __ATOMIC_RELEASE);
}

bool
vring_driver_kick_needed(struct vring_driver *vd)
{
	const uint16_t old = vd->kicked_idx, new = vd->published_idx;
	const uint16_t *event = (const uint16_t *)&vd->used->ring[vd->size];

	vd->kicked_idx = new;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (vd->event_idx)
		return virtq_need_event(__atomic_load_n(event, __ATOMIC_RELAXED), new, old);
	return old != new &&
	       (__atomic_load_n(&vd->used->flags, __ATOMIC_RELAXED) & VIRTQ_USED_F_NO_NOTIFY) == 0;
}

/* Give the descriptors of the chain at head back to the free list. */
static __rte_always_inline void
head_free(struct vring_driver *vd, uint16_t head)
{
	struct vring_driver_slot *slot = &vd->slots[head];
	const uint16_t n = slot->n;
	uint16_t last = head;

	for (uint16_t i = 1; i < n; i++)
		last = vd->slots[last].next;
	slot->n = 0;
	vd->slots[last].next = vd->free_head;
	vd->free_head = head;
	vd->n_free += n;
}

uint16_t
vring_driver_get_burst(struct vring_driver *vd, struct vring_used_chain *used, uint16_t n)
{
	uint16_t i, avail;

	if (vd->broken)
		return 0;
	avail = (uint16_t)(__atomic_load_n(&vd->used->idx, __ATOMIC_ACQUIRE) - vd->used_idx);
	if (avail > vd->size) {
		vd->broken = true;
		return 0;
	}
	n = RTE_MIN(n, avail);
	for (i = 0; i < n; i++) {
		const volatile struct virtq_used_elem *e =
			&vd->used->ring[(uint16_t)(vd->used_idx + i) & vd->mask];
		const uint32_t head = e->id;

		if (head >= vd->size || vd->slots[head].n == 0) {
			vd->broken = true;
			break;
		}
		used[i].token = vd->slots[head].token;
		used[i].len = e->len;
		head_free(vd, (uint16_t)head);
	}
	vd->used_idx += i;
	/* With the event index an interrupt is asked for entry by entry. */
	if (vd->event_idx && !vd->interrupts_off)
		vring_driver_interrupts_on(vd);
	return i;
}

void
vring_driver_interrupts_off(struct vring_driver *vd)
{
	vd->interrupts_off = true;
	if (!vd->event_idx)
		__atomic_store_n(&vd->avail->flags, VIRTQ_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}

bool
vring_driver_interrupts_on(struct vring_driver *vd)
{
	uint16_t *event = &vd->avail->ring[vd->size];

	vd->interrupts_off = false;
	if (vd->event_idx)
		__atomic_store_n(event, vd->used_idx, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vd->avail->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&vd->used->idx, __ATOMIC_ACQUIRE) != vd->used_idx;
}
