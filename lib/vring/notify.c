/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What is there to take, and notifications both ways (virtio 1.2, 2.7.7, 2.7.10, 2.8.10, 2.8.14).
 */

#include "vring/packed_ring.h"
#include "vring/split_ring.h"

/* Bursts of large packets in a packed ring, where each chain has to be looked at. */
#define ROOM_LARGE 8u
/* Looks at a ring without room for a large packet after which one packet is let through. */
#define ROOM_LOOKS 1024u

/*
 * Chains that can be seen, up to want. There is no index, each has to be looked at; but once only,
 * for the driver's CPU writes their lines.
 */
static uint16_t
packed_avail_entries(struct vring *vr, uint32_t want)
{
	struct packed_at at = packed_seen_at(vr);
	uint16_t room = packed_room(vr, at), n = vr->seen;
	uint64_t line[PACKED_LINE];
	struct packed_head head;

	if (n >= want)
		return (uint16_t)want;
	while (n < want) {
		if (packed_take_line(vr, line, at, room, VIRTQ_DESC_F_WRITE)) {
			n += PACKED_LINE;
			at = packed_ahead(vr, at, PACKED_LINE);
			room -= PACKED_LINE;
			continue;
		}
		if (!packed_take(vr, &head, at, room))
			break;
		/* One without an end is to be taken, but nothing can be behind it. */
		if (head.n == 0)
			return n + 1;
		n++;
		at = packed_ahead(vr, at, head.n);
		room -= head.n;
	}
	vr->seen = n;
	vr->seen_idx = at.slot;
	vr->seen_wrap = at.wrap;
	/* For the next look. */
	packed_prefetch(vr, at, RTE_MIN(room, (uint16_t)VRING_BURST));
	return RTE_MIN(n, want);
}

uint16_t
vring_avail_entries(struct vring *vr)
{
	const uint16_t known = (uint16_t)(vr->avail_cached - vr->avail_idx);

	if (vring_broken(vr))
		return 0;
	if (vr->packed)
		return packed_avail_entries(vr, VRING_BURST);
	return known >= VRING_BURST ? known : split_avail(vr, UINT16_MAX);
}

uint16_t
vring_rx_room(struct vring *vr)
{
	const uint16_t span = vr->span;
	uint16_t chains;

	if (span <= 1)
		return vring_avail_entries(vr);
	if (vring_broken(vr))
		return 0;
	chains = vr->packed ? packed_avail_entries(vr, span * ROOM_LARGE)
			    : split_avail(vr, UINT16_MAX);
	if (chains == 0)
		return 0;
	if (chains < span && ++vr->short_looks < ROOM_LOOKS)
		return 0;
	vr->short_looks = 0;
	return RTE_MAX(chains / span, 1);
}

void
vring_kicks_off(struct vring *vr)
{
	/* Stored on a change only: the driver reads the line all the time, for the used index. */
	if (vr->kicks_are_off)
		return;
	vr->kicks_are_off = true;
	if (vr->packed)
		__atomic_store_n(
			&vr->device_event->flags, RING_EVENT_FLAGS_DISABLE, __ATOMIC_RELAXED);
	/* With the event index the event is left where it is, behind: a kick per 65536 entries. */
	else if (!vr->event_idx)
		__atomic_store_n(&vr->used->flags, VIRTQ_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
}

/* The driver stores its index, then looks at the event; we do it the other way round. */
static inline void
kicks_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* @return whether the chain at `at`, which is the first that is news, has come meanwhile */
static bool
packed_kicks_on(struct vring *vr, struct packed_at at)
{
	struct pvirtq_event_suppress *event = vr->device_event;
	uint16_t flags = RING_EVENT_FLAGS_ENABLE;

	if (vr->event_idx) {
		flags = RING_EVENT_FLAGS_DESC;
		__atomic_store_n(&event->off_wrap,
			(uint16_t)(at.slot | (at.wrap ? RING_EVENT_WRAP : 0)), __ATOMIC_RELAXED);
	}
	__atomic_store_n(&event->flags, flags, __ATOMIC_RELEASE);
	if (ring_logs(vr))
		ring_log(vr, vr->used_log_addr, PACKED_EVENT_SIZE);
	kicks_fence();
	return packed_rest_avail(packed_rest(vr, at.slot), at.wrap);
}

/* The same of a split ring. */
static bool
split_kicks_on(struct vring *vr, uint16_t idx)
{
	uint16_t *const event = split_avail_event(vr);

	if (vr->event_idx)
		__atomic_store_n(event, idx, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&vr->used->flags, 0, __ATOMIC_RELAXED);
	if (ring_logs(vr)) {
		ring_log(vr, vr->used_log_addr, sizeof(vr->used->flags));
		ring_log(vr, vr->used_log_addr + SPLIT_USED_SIZE(vr->size) - sizeof(*event),
			sizeof(*event));
	}
	kicks_fence();
	return __atomic_load_n(&vr->avail->idx, __ATOMIC_ACQUIRE) != idx;
}

bool
vring_kicks_on(struct vring *vr)
{
	vr->kicks_are_off = false;
	return vr->packed ? packed_kicks_on(vr, packed_avail_at(vr))
			  : split_kicks_on(vr, vr->avail_idx);
}

bool
vring_kicks_on_more(struct vring *vr)
{
	vr->kicks_are_off = false;
	if (!vr->packed)
		return split_kicks_on(vr, vr->avail_cached);
	(void)packed_avail_entries(vr, vr->size);
	return packed_kicks_on(vr, packed_seen_at(vr));
}

static bool
split_interrupt_wanted(struct vring *vr)
{
	const uint16_t old = vr->signalled_used, new = vr->used_idx;
	const bool valid = vr->signalled_valid;

	if (valid && old == new)
		return false;
	vr->signalled_used = new;
	vr->signalled_valid = true;
	vr->rec->signalled_used = new;
	/* The used index must be out before we look whether the driver waits for it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!vr->event_idx)
		return (__atomic_load_n(&vr->avail->flags, __ATOMIC_RELAXED) &
			       VIRTQ_AVAIL_F_NO_INTERRUPT) == 0;
	/* virtio 1.2, 2.7.7.2: has the index passed used_event since the last time? */
	return !valid ||
	       virtq_need_event(__atomic_load_n(split_used_event(vr), __ATOMIC_RELAXED), new, old);
}

/* Is the driver's event among the last `since` slots used? */
static bool
packed_event_passed(const struct vring *vr, uint16_t off_wrap, uint32_t since)
{
	const uint16_t off = off_wrap & (uint16_t)~RING_EVENT_WRAP;
	const bool wrap = (off_wrap & RING_EVENT_WRAP) != 0;
	/* slots from the event to the next one to use; none or less: it is still to come */
	const int32_t back = vr->used_idx - off + (wrap != vr->used_wrap ? vr->size : 0);

	return back > 0 && (uint32_t)back <= since;
}

static bool
packed_interrupt_wanted(struct vring *vr)
{
	const uint32_t since = vr->unsignalled;
	const bool valid = vr->signalled_valid;
	uint16_t flags;

	if (valid && since == 0)
		return false;
	vr->unsignalled = 0;
	vr->signalled_valid = true;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	flags = __atomic_load_n(&vr->driver_event->flags, __ATOMIC_ACQUIRE);
	if (flags == RING_EVENT_FLAGS_DISABLE)
		return false;
	if (flags != RING_EVENT_FLAGS_DESC || !vr->event_idx)
		return true;
	return !valid || since >= vr->size ||
	       packed_event_passed(
		       vr, __atomic_load_n(&vr->driver_event->off_wrap, __ATOMIC_RELAXED), since);
}

bool
vring_interrupt_wanted(struct vring *vr)
{
	return vr->packed ? packed_interrupt_wanted(vr) : split_interrupt_wanted(vr);
}
