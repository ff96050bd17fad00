/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Both directions of a device's streams, and what a driver and a wire may expect of them. */

#include "run.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/virtio_net.h>

#include <rte_common.h>

#define BUFFER_LEN 2048u
/* Not a power of two, or the first lines of all buffers would share a few sets of the caches. */
#define BUFFER_STEP (BUFFER_LEN + 2 * RTE_CACHE_LINE_SIZE)
#define BURST	    32u
/* Frames of a stream and direction per tick: what is due after a pause comes bit by bit. */
#define TICK_FRAMES 8
/* In order, before a stream counts as flowing. */
#define SETTLED_FRAMES 64
/* Pause after which frames that are due are not made up for. */
#define DEBT_NS	      (5 * NS_PER_MS)
#define RX_FIRST_PART 96u /* of a receive chain of two buffers */
/* Mergeable receive buffers are too short for most frames, and no two alike. */
#define RX_SHORT	160u
#define RX_CHAINS_MAX	16u /* of one frame */

#define FEATURE(f, bit) (((f)&UINT64_C(1) << (bit)) != 0)

static struct net_dev_queue *
queue_of(struct device *dev, uint16_t pair, enum frame_dir dir)
{
	return net_dev_queue(&dev->nd, pair, dir == FRAME_TX ? NET_DEV_TX : NET_DEV_RX);
}

static uint64_t
buffer_of(const struct stream *s, const struct net_dev_queue *q, enum frame_dir dir, uint64_t token)
{
	return s->base[dir] + token % q->ring.size * BUFFER_STEP;
}

/* ---- driver to wire ---- */

/* One buffer mostly; every fourth frame in a chain of two to four, every eighth indirect. */
static int
tx_add(struct device *dev, struct net_dev_queue *q, uint64_t iova, uint32_t len, uint64_t token)
{
	struct vring_buf bufs[4] = {{iova, len}};
	const uint32_t hdr_len = net_dev_hdr_len(&dev->nd);
	const unsigned int kind = token % 8;
	const bool indirect = kind == 3 && FEATURE(dev->nd.features, VIRTIO_RING_F_INDIRECT_DESC);
	uint16_t n = 1;

	if (kind == 3 || kind == 7) {
		/* The header alone, or with the start of the frame, then uneven pieces. */
		const uint32_t cut[] = {kind == 3 ? hdr_len : hdr_len + 17,
			(uint32_t)(1 + token % 23), (uint32_t)(1 + token % 11)};

		for (n = 0; n < 3 && bufs[n].len > cut[n]; n++) {
			bufs[n + 1] =
				(struct vring_buf){bufs[n].iova + cut[n], bufs[n].len - cut[n]};
			bufs[n].len = cut[n];
		}
		n++;
	}
	return vring_driver_add(&q->ring, bufs, n, 0, indirect, token);
}

/* @return false if the ring is full */
static bool
tx_one(struct device *dev, uint16_t pair, int64_t now_ns)
{
	struct net_dev_queue *q = queue_of(dev, pair, FRAME_TX);
	struct stream *s = &dev->stream[pair];
	const uint32_t hdr_len = net_dev_hdr_len(&dev->nd);
	const uint64_t token = s->added[FRAME_TX];
	const struct frame_info info = {
		.dir = FRAME_TX,
		.device = (uint8_t)dev->index,
		.stream = pair,
		.seq = (uint32_t)token,
		.stamp = run_stamp(dev->run, now_ns),
	};
	uint64_t iova;
	uint8_t *va;
	uint32_t len;

	if (token - s->done[FRAME_TX] >= q->ring.size || q->ring.n_free < 4)
		return false;
	iova = buffer_of(s, q, FRAME_TX, token);
	va = guest_mem_va(dev->nd.mem, iova);
	memset(va, 0, hdr_len);
	len = hdr_len + frame_make(va + hdr_len, &info, dev->nd.mac);
	if (tx_add(dev, q, iova, len, token) != 0)
		return false;
	s->added[FRAME_TX]++;
	return true;
}

static void
tx_done(struct device *dev, uint16_t pair, const struct vring_used_chain *used)
{
	struct net_dev_queue *q = queue_of(dev, pair, FRAME_TX);
	struct stream *s = &dev->stream[pair];
	const uint64_t iova = buffer_of(s, q, FRAME_TX, used->token);

	if (used->token != s->done[FRAME_TX])
		run_violation(dev->run, dev, "TX queue %u: chain %llu came back, %llu was next",
			q->index, (unsigned long long)used->token,
			(unsigned long long)s->done[FRAME_TX]);
	if (used->len != 0)
		run_violation(dev->run, dev, "TX queue %u: used length %u", q->index, used->len);
	s->done[FRAME_TX] = used->token + 1;
	/* Whoever reads it from now on sends a frame that fails its check. */
	frame_spoil((uint8_t *)guest_mem_va(dev->nd.mem, iova) + net_dev_hdr_len(&dev->nd));
}

/* ---- wire to driver ---- */

/* Bytes of a receive chain. */
static uint32_t
rx_len(const struct device *dev, uint64_t token)
{
	return FEATURE(dev->nd.features, VIRTIO_NET_F_MRG_RXBUF)
		       ? (uint32_t)(RX_SHORT + token % 7 * RX_SHORT)
		       : BUFFER_LEN;
}

static void
rx_fill(struct device *dev, uint16_t pair)
{
	struct net_dev_queue *q = queue_of(dev, pair, FRAME_RX);
	struct stream *s = &dev->stream[pair];
	bool added = false;

	while (q->ring.n_free >= 2 && s->added[FRAME_RX] - s->done[FRAME_RX] < q->ring.size) {
		const uint64_t token = s->added[FRAME_RX];
		const uint64_t iova = buffer_of(s, q, FRAME_RX, token);
		const uint32_t len = rx_len(dev, token);
		const bool two = token % 4 == 1;
		const struct vring_buf bufs[] = {
			{iova, two ? RX_FIRST_PART : len},
			{iova + RX_FIRST_PART, len - RX_FIRST_PART},
		};

		if (vring_driver_add(&q->ring, bufs, 0, two ? 2 : 1, false, token) != 0)
			break;
		s->added[FRAME_RX]++;
		added = true;
	}
	if (added)
		net_dev_publish(&dev->nd, q);
}

static void
arrival(struct device *dev, const struct frame_info *info, uint16_t pair, int64_t ns)
{
	struct run *run = dev->run;
	struct track *t = &dev->stream[info->stream].track[info->dir];

	if (info->stream != pair) {
		t->event.moved++;
		t->total.moved++;
	}
	/* Until a TAP has learnt where a flow belongs, frames overtake each other. */
	if (!t->begun && (info->stream != pair || info->seq != t->next))
		t->frames = 0;
	if (track_arrival(t, info->seq, ns) != 0)
		run_violation(run, dev, "%s stream %u: number %u, expected about %u",
			info->dir == FRAME_TX ? "TX" : "RX", info->stream, info->seq, t->next);
	if (run->ev.settling && (int32_t)(info->stamp - run_stamp(run, run->ev.settle_ns)) > 0)
		t->fresh = true;
}

/* @return it is one of the device's, in that direction */
static bool
frame_ours(struct device *dev, const uint8_t *data, uint32_t len, enum frame_dir dir,
	struct frame_info *info)
{
	const int ret = frame_check(data, len, info);

	if (ret == -ENOMSG)
		return false;
	if (ret != 0 || info->dir != dir || info->device != dev->index ||
		info->stream >= dev->nd.pairs) {
		run_violation(dev->run, dev, "%s: corrupt frame of %u bytes (stream %u, number %u)",
			dir == FRAME_TX ? "TX" : "RX", len, info->stream, info->seq);
		return false;
	}
	return true;
}

/* Move what a chain holds to `to`. @return bytes; 0: the chain or its length cannot be */
static uint32_t
rx_chain(struct device *dev, uint16_t pair, const struct vring_used_chain *used, uint8_t *to,
	uint32_t room)
{
	struct net_dev_queue *q = queue_of(dev, pair, FRAME_RX);
	struct stream *s = &dev->stream[pair];
	uint8_t *va = guest_mem_va(dev->nd.mem, buffer_of(s, q, FRAME_RX, used->token));

	if (used->token != s->done[FRAME_RX])
		run_violation(dev->run, dev, "RX queue %u: chain %llu came back, %llu was next",
			q->index, (unsigned long long)used->token,
			(unsigned long long)s->done[FRAME_RX]);
	s->done[FRAME_RX] = used->token + 1;
	if (used->len == 0 || used->len > room || used->len > rx_len(dev, used->token)) {
		run_violation(dev->run, dev, "RX queue %u: used length %u", q->index, used->len);
		return 0;
	}
	memcpy(to, va, used->len);
	/* Whoever takes it for a frame once more finds none. */
	memset(va, 0, used->len);
	return used->len;
}

/* A frame, in n chains. */
static void
rx_done(struct device *dev, uint16_t pair, const struct vring_used_chain *used, uint16_t n,
	int64_t now_ns)
{
	struct net_dev_queue *q = queue_of(dev, pair, FRAME_RX);
	const uint32_t hdr_len = net_dev_hdr_len(&dev->nd);
	uint8_t data[NET_DEV_HDR_MAX + FRAME_MAX];
	const struct virtio_net_hdr_mrg_rxbuf *hdr = (struct virtio_net_hdr_mrg_rxbuf *)data;
	struct frame_info info;
	uint32_t len = 0;

	for (uint16_t i = 0; i < n; i++) {
		const uint32_t part = rx_chain(dev, pair, &used[i], data + len, sizeof(data) - len);

		if (part == 0)
			return;
		if (i + 1 < n && part != rx_len(dev, used[i].token))
			run_violation(dev->run, dev, "RX queue %u: chain %u of %u is not full",
				q->index, i, n);
		len += part;
	}
	if (len < hdr_len) {
		run_violation(dev->run, dev, "RX queue %u: used length %u", q->index, len);
		return;
	}
	if (hdr->hdr.flags != 0 || hdr->hdr.gso_type != 0 || hdr->num_buffers != n)
		run_violation(dev->run, dev, "RX queue %u: virtio-net header %u %u %u", q->index,
			hdr->hdr.flags, hdr->hdr.gso_type, hdr->num_buffers);
	if (!frame_ours(dev, data + hdr_len, len - hdr_len, FRAME_RX, &info))
		return;
	if (!net_dev_hash_right(&dev->nd, data, data + hdr_len))
		run_violation(dev->run, dev, "RX queue %u: hash of stream %u, number %u", q->index,
			info.stream, info.seq);
	arrival(dev, &info, pair, now_ns);
}

static bool
rx_one(struct device *dev, uint16_t pair, int64_t now_ns)
{
	struct stream *s = &dev->stream[pair];
	const struct frame_info info = {
		.dir = FRAME_RX,
		.device = (uint8_t)dev->index,
		.stream = pair,
		.seq = s->rx_seq,
		.stamp = run_stamp(dev->run, now_ns),
	};
	const struct track *t = &s->track[FRAME_RX];
	const int32_t waiting = t->begun ? (int32_t)(s->rx_seq - t->next) : 0;
	uint8_t frame[FRAME_MAX];
	uint32_t len;

	/* What waits longer says nothing about the present. */
	if (waiting > (int32_t)dev->run->opt.rate)
		return false;
	len = frame_make(frame, &info, dev->nd.mac);

	/* What the kernel did not take has no number: it is sent again. */
	if (wire_send(&dev->wire, frame, len) != 0)
		return false;
	s->rx_seq++;
	return true;
}

/* ---- events ---- */

static uint16_t
used_idx(const struct net_dev_queue *q)
{
	return __atomic_load_n(&q->ring.used->idx, __ATOMIC_ACQUIRE);
}

/*
 * A driver that looks at interrupts only would not see an index that goes back and forth. (A packed
 * ring has none: what must not be used is found with what is used.)
 */
static void
check_used(struct device *dev, uint16_t pair, enum frame_dir dir)
{
	const struct net_dev_queue *q = queue_of(dev, pair, dir);
	struct stream *s = &dev->stream[pair];
	uint16_t idx;

	if (q->ring.packed)
		return;
	idx = used_idx(q);
	if ((int16_t)(idx - s->used_seen[dir]) < 0 ||
		(uint16_t)(idx - q->ring.used_idx) > (uint16_t)(s->added[dir] - s->done[dir]))
		run_violation(dev->run, dev, "queue %u: used index %u after %u, %llu chains given",
			q->index, idx, s->used_seen[dir],
			(unsigned long long)(s->added[dir] - s->done[dir]));
	s->used_seen[dir] = idx;
}

static uint16_t
tx_take(struct device *dev, uint16_t pair)
{
	struct net_dev_queue *q = queue_of(dev, pair, FRAME_TX);
	struct vring_used_chain used[BURST];
	const uint16_t n = vring_driver_get_burst(&q->ring, used, BURST);

	for (uint16_t i = 0; i < n; i++)
		tx_done(dev, pair, &used[i]);
	return n;
}

struct rx_place {
	struct device *dev;
	uint16_t pair;
};

static const struct virtio_net_hdr_mrg_rxbuf *
rx_header(void *arg, uint64_t token)
{
	const struct rx_place *at = arg;
	const struct net_dev_queue *q = queue_of(at->dev, at->pair, FRAME_RX);

	return guest_mem_va(
		at->dev->nd.mem, buffer_of(&at->dev->stream[at->pair], q, FRAME_RX, token));
}

static uint16_t
rx_take(struct device *dev, uint16_t pair)
{
	struct net_dev_queue *q = queue_of(dev, pair, FRAME_RX);
	struct rx_place at = {dev, pair};
	struct vring_used_chain used[RX_CHAINS_MAX];
	const int64_t now = run_now();
	uint16_t done, n;

	for (done = 0; done < BURST; done++) {
		n = vring_driver_get_packet(&q->ring, used, RX_CHAINS_MAX, rx_header, &at);
		if (n == 0)
			break;
		rx_done(dev, pair, used, n, now);
	}
	if (done > 0)
		rx_fill(dev, pair);
	return done;
}

static void
queue_take(struct device *dev, uint16_t pair, enum frame_dir dir)
{
	struct net_dev_queue *q = queue_of(dev, pair, dir);
	const bool was_broken = q->ring.broken;
	uint16_t n;

	do {
		n = dir == FRAME_TX ? tx_take(dev, pair) : rx_take(dev, pair);
	} while (n == BURST);
	if (q->ring.broken && !was_broken)
		run_violation(dev->run, dev,
			"queue %u: the device has used what it was not given, or not all of a "
			"frame's buffers",
			q->index);
}

void
device_queue(struct device *dev, uint16_t queue)
{
	struct net_dev_queue *q = &dev->nd.queue[queue];
	const enum frame_dir dir = (queue & 1) != 0 ? FRAME_TX : FRAME_RX;

	q->interrupts++;
	do {
		vring_driver_interrupts_off(&q->ring);
		queue_take(dev, queue / 2, dir);
	} while (vring_driver_interrupts_on(&q->ring) && !q->ring.broken);
}

void
device_wire(struct device *dev)
{
	struct wire_frame frames[WIRE_BURST];
	struct frame_info info;
	unsigned int n;

	do {
		n = wire_receive(&dev->wire, frames);
		for (unsigned int i = 0; i < n; i++)
			if (frame_ours(dev, frames[i].data, frames[i].len, FRAME_TX, &info))
				arrival(dev, &info, info.stream, frames[i].ns);
	} while (n == WIRE_BURST);
}

static void
send_due(struct device *dev, uint16_t pair, enum frame_dir dir, int64_t now_ns)
{
	struct stream *s = &dev->stream[pair];
	const int64_t interval = NS_PER_S / dev->run->opt.rate;
	int sent = 0;

	if (now_ns - s->due_ns[dir] > DEBT_NS)
		s->due_ns[dir] = now_ns;
	while (now_ns >= s->due_ns[dir] && sent < TICK_FRAMES) {
		if (!(dir == FRAME_TX ? tx_one(dev, pair, now_ns) : rx_one(dev, pair, now_ns))) {
			s->due_ns[dir] = now_ns;
			break;
		}
		s->due_ns[dir] += interval;
		sent++;
	}
	if (dir == FRAME_TX && sent > 0)
		net_dev_publish(&dev->nd, queue_of(dev, pair, dir));
}

void
device_tick(struct device *dev, int64_t now_ns)
{
	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
		for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++) {
			struct net_dev_queue *q = queue_of(dev, pair, dir);

			check_used(dev, pair, dir);
			if (q->kick_waits)
				net_dev_kick(&dev->nd, q);
			if (!dev->run->stop && !q->ring.broken && !dev->needs_reset)
				send_due(dev, pair, dir, now_ns);
		}
}

static void
report_stall(struct device *dev, uint16_t pair, enum frame_dir dir, int64_t ms)
{
	struct net_dev_queue *q = queue_of(dev, pair, dir);
	const struct stream *s = &dev->stream[pair];
	const bool unwanted = q->ring.packed
				      ? q->ring.device_event->flags == RING_EVENT_FLAGS_DISABLE
				      : (q->ring.used->flags & VIRTQ_USED_F_NO_NOTIFY) != 0;

	run_violation(dev->run, dev,
		"%s stream %u stalls for %lld ms: %llu chains with the device, %s without an "
		"interrupt, kicks %s",
		dir == FRAME_TX ? "TX" : "RX", pair, (long long)ms,
		(unsigned long long)(s->added[dir] - s->done[dir]),
		vring_driver_interrupts_on(&q->ring) ? "some used" : "none used",
		unwanted ? "unwanted" : "wanted");
}

void
device_check_stall(struct device *dev, int64_t now_ns)
{
	const struct event *ev = &dev->run->ev;
	const int64_t allowed = ev->active ? ev->allow_ns : QUIET_MS * NS_PER_MS;

	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
		for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++) {
			struct track *t = &dev->stream[pair].track[dir];
			const int64_t since = RTE_MAX(t->last_ns, ev->end_ns);

			if (now_ns - since <= allowed || t->stalled)
				continue;
			t->stalled = true;
			report_stall(dev, pair, dir, (now_ns - since) / NS_PER_MS);
		}
}

bool
device_moves(const struct device *dev)
{
	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
		for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++)
			if (dev->stream[pair].track[dir].frames < SETTLED_FRAMES)
				return false;
	return true;
}

void
device_begin(struct device *dev, int64_t now_ns)
{
	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++)
		for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++)
			track_begin(&dev->stream[pair].track[dir], now_ns);
}

void
device_poison(struct device *dev, uint64_t iova)
{
	struct net_dev_queue *q = queue_of(dev, 0, FRAME_TX);
	struct stream *s = &dev->stream[0];
	const struct vring_buf buf = {iova, net_dev_hdr_len(&dev->nd) + FRAME_MIN};

	dev->poisoned = true;
	if (vring_driver_add(&q->ring, &buf, 1, 0, false, s->added[FRAME_TX]) != 0)
		run_violation(dev->run, dev, "no room for the poisonous descriptor");
	s->added[FRAME_TX]++;
	net_dev_publish(&dev->nd, q);
}

static void
sources_open(struct device *dev)
{
	struct run *run = dev->run;

	dev->source_wire = (struct source){.type = SOURCE_WIRE, .dev = dev};
	dev->source_client = (struct source){.type = SOURCE_CLIENT, .dev = dev};
	dev->source_config = (struct source){.type = SOURCE_CONFIG_IRQ, .dev = dev};
	run_watch(run, dev->wire.fd, &dev->source_wire);
	run_watch(run, net_dev_fd(&dev->nd), &dev->source_client);
	run_watch(run, dev->nd.config_irq_fd, &dev->source_config);
	for (uint16_t i = 0; i < 2 * dev->nd.pairs; i++) {
		dev->source_queue[i] =
			(struct source){.type = SOURCE_QUEUE_IRQ, .dev = dev, .queue = i};
		run_watch(run, dev->nd.queue[i].irq_fd, &dev->source_queue[i]);
	}
}

void
device_open(struct device *dev)
{
	struct run *run = dev->run;
	struct net_dev_params params = run->opt.net;
	const int64_t now = run_now();

	params.path = dev->socket;
	params.mem = &run->mem;
	net_dev_open(&dev->nd, &params);
	dev->tap_drops = wire_tap_drops(&dev->wire);
	dev->stream = calloc(dev->nd.pairs, sizeof(*dev->stream));
	if (dev->stream == NULL)
		err(EXIT_FAILURE, "streams");
	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++) {
		struct stream *s = &dev->stream[pair];

		for (enum frame_dir dir = 0; dir < FRAME_DIRS; dir++) {
			const struct net_dev_queue *q = queue_of(dev, pair, dir);

			s->base[dir] =
				guest_mem_alloc(&run->mem, (uint64_t)q->ring.size * BUFFER_STEP);
			s->due_ns[dir] = now;
		}
	}
	sources_open(dev);
	for (uint16_t pair = 0; pair < dev->nd.pairs; pair++) {
		struct net_dev_queue *q = queue_of(dev, pair, FRAME_TX);

		rx_fill(dev, pair);
		(void)vring_driver_interrupts_on(&q->ring);
		(void)vring_driver_interrupts_on(&queue_of(dev, pair, FRAME_RX)->ring);
	}
	requests_open(dev);
}

void
device_close(struct device *dev)
{
	requests_close(dev);
	net_dev_close(&dev->nd);
	wire_close(&dev->wire);
	free(dev->stream);
}
