/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Our device side against DPDK's vhost library: the same descriptors in two memories, then what
 * each makes of them - packets, buffers, used entries, interrupts. Where both accept a ring they
 * must agree; where the ring is malformed the table at the end says how they differ.
 */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>

#include "diff_world.h"
#include "test.h"
#include "vhost_peer.h"

#define HALF	   (ARENA_LEN / 2) /**< each ring's part of the buffers */
#define MAX_PIECES 40u
#define MOST	   32u	  /**< packets per burst of either device */
#define LONGEST	   12000u /**< packet; a fraction of the arena */
#define STEPS	   300u

struct chain {
	uint64_t end; /**< of its memory, counted through all laps */
	uint16_t n;
	struct vring_buf bufs[MAX_PIECES];
};

struct duel {
	struct world *theirs, *ours;
	struct rte_mempool *mp;
	uint32_t seed, random;
	uint64_t features;
	uint16_t size;
	/** receive: chains of several descriptors, and packets of several mbufs for them */
	bool chained;
	struct {
		struct chain chain[MAX_SIZE];
		uint64_t added, got;
		uint64_t head, tail; /**< in its half of the arena */
	} ring[2];
};

#define CHECK(d, what)                                                                             \
	do {                                                                                       \
		if (!(what))                                                                       \
			fail_msg("seed %u, features 0x%" PRIx64 ", size %u: %s", (d)->seed,        \
				(d)->features, (d)->size, #what);                                  \
	} while (0)

static uint32_t
rnd(struct duel *d, uint32_t below)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 17;
	d->random ^= d->random << 5;
	return d->random % below;
}

/* ---- comparison ---- */

/* Entries that the index has not reached may have been tried. */
static void
split_compare(struct duel *d, const struct vring_driver *a, const struct vring_driver *b)
{
	CHECK(d, a->used->idx == b->used->idx);
	for (uint16_t i = a->used_idx; i != a->used->idx; i++) {
		CHECK(d, a->used->ring[i & a->mask].id == b->used->ring[i & a->mask].id);
		CHECK(d, a->used->ring[i & a->mask].len == b->used->ring[i & a->mask].len);
	}
}

/* Of a used descriptor's flags DPDK leaves those that mean nothing there as they were. */
#define USED_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED | VIRTQ_DESC_F_WRITE)

static void
packed_compare(struct duel *d, const struct vring_driver *a, const struct vring_driver *b)
{
	for (uint16_t i = 0; i < d->size; i++) {
		CHECK(d, ((a->ring[i].flags ^ b->ring[i].flags) & USED_FLAGS) == 0);
		CHECK(d, a->ring[i].id == b->ring[i].id);
		if ((a->ring[i].flags & VIRTQ_DESC_F_WRITE) != 0)
			CHECK(d, a->ring[i].len == b->ring[i].len);
	}
}

/* In order, a device may say the same with fewer used entries: the drivers' views are compared. */
static void
used_compare(struct duel *d, int ring)
{
	if ((d->features & IN_ORDER) != 0)
		return;
	if ((d->features & PACKED) != 0)
		packed_compare(d, &d->theirs->vd[ring], &d->ours->vd[ring]);
	else
		split_compare(d, &d->theirs->vd[ring], &d->ours->vd[ring]);
}

static void
packets_compare(struct duel *d, struct rte_mbuf **a, struct rte_mbuf **b, uint16_t n)
{
	static uint8_t left[VRING_MAX_PACKET], right[VRING_MAX_PACKET];

	for (uint16_t i = 0; i < n; i++) {
		const uint32_t len = a[i]->pkt_len;

		CHECK(d, len == b[i]->pkt_len);
		CHECK(d, memcmp(rte_pktmbuf_read(a[i], 0, len, left),
				 rte_pktmbuf_read(b[i], 0, len, right), len) == 0);
	}
}

/* A chain's first bytes, as they stand in memory. */
static void
chain_read(const struct world *w, const struct chain *c, uint8_t *buf, uint32_t len)
{
	for (uint16_t i = 0; i < c->n; i++)
		for (uint32_t j = 0; j < c->bufs[i].len && len != 0; j++, len--)
			*buf++ = *world_va(w, c->bufs[i].iova + j);
}

/*
 * What the devices have written. Without mergeable buffers DPDK leaves num_buffers as it finds it;
 * a driver that has negotiated VERSION_1 must find 1 (5.1.6.4.1).
 */
static void
buffers_compare(struct duel *d, const struct chain *c, uint32_t len)
{
	static uint8_t left[HDR + LONGEST], right[HDR + LONGEST];
	const uint8_t one[2] = {1, 0};

	CHECK(d, len <= sizeof(left));
	chain_read(d->theirs, c, left, len);
	chain_read(d->ours, c, right, len);
	if ((d->features & MERGEABLE) == 0) {
		CHECK(d, memcmp(&right[HDR - 2], one, 2) == 0);
		memcpy(&left[HDR - 2], one, 2);
	}
	CHECK(d, memcmp(left, right, len) == 0);
}

/* ---- drivers ---- */

static void
pattern(uint8_t *buf, uint32_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + len;

	for (uint32_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(x >> 24);
	}
}

/* Cut total bytes into up to `most` pieces somewhere in the ring's half of the arena. */
static bool
lay_out(struct duel *d, int ring, struct chain *c, uint32_t total, uint32_t most)
{
	const uint32_t want = rnd(d, 2) == 0 ? 1 : 1 + rnd(d, most), room = total + 3 * MAX_PIECES;
	uint32_t left = total;
	uint64_t at = d->ring[ring].head;

	if (at % HALF + room > HALF)
		at += HALF - at % HALF;
	if (at + room - d->ring[ring].tail > HALF)
		return false;
	c->end = d->ring[ring].head = at + room;
	at = ARENA + (uint64_t)ring * HALF + at % HALF;
	for (c->n = 0; left != 0; c->n++) {
		uint32_t part = c->n + 1u == want ? left : 1 + rnd(d, RTE_MIN(left, 700u));

		/* Receive: DPDK takes the header in two pieces at most, and else loses bytes. */
		if (ring == RX && c->n == 1)
			part = RTE_MIN(left, RTE_MAX(part, HDR));
		if (c->n + 1u == most)
			part = left;
		at += rnd(d, 4);
		c->bufs[c->n] = (struct vring_buf){at, part};
		at += part;
		left -= part;
	}
	return true;
}

static uint32_t
length_choose(struct duel *d)
{
	switch (rnd(d, 8)) {
	case 0:
		return RTE_ETHER_HDR_LEN;
	case 1:
		return 1500 + rnd(d, 20);
	case 2:
		return LONGEST - rnd(d, 8000);
	default:
		return RTE_ETHER_HDR_LEN + rnd(d, 400);
	}
}

static void
chain_fill(struct world *w, const struct chain *c, uint8_t *from)
{
	for (uint16_t i = 0; i < c->n; from += c->bufs[i++].len)
		world_write(w, c->bufs[i].iova, from, c->bufs[i].len);
}

static bool
chain_add(struct duel *d, int ring)
{
	static uint8_t data[HDR + LONGEST + 1];
	struct world *worlds[] = {d->theirs, d->ours};
	const uint16_t n_free = d->ours->vd[ring].n_free;
	const bool table = (d->features & INDIRECT) != 0 && rnd(d, 3) == 0;
	const uint32_t room = RTE_MIN(MAX_PIECES, table ? MAX_PIECES : n_free);
	const uint32_t most = ring == RX && !d->chained ? 1 : room;
	const uint64_t token = d->ring[ring].added;
	struct chain *c = &d->ring[ring].chain[token % MAX_SIZE];
	uint32_t len = HDR + length_choose(d);

	/* Each packet fits: what becomes of others is in the table of differences. */
	if (ring == RX)
		len = (d->features & MERGEABLE) != 0 ? HDR + 500 + rnd(d, 2000) : HDR + LONGEST;
	if (n_free == 0 || !lay_out(d, ring, c, len, most))
		return false;
	memset(data, 0, HDR);
	pattern(data + HDR, len - HDR, (uint32_t)token);
	for (size_t i = 0; i < RTE_DIM(worlds); i++) {
		if (ring == TX)
			chain_fill(worlds[i], c, data);
		CHECK(d, vring_driver_add(&worlds[i]->vd[ring], c->bufs, ring == TX ? c->n : 0,
				 ring == RX ? c->n : 0, table, token) == 0);
	}
	d->ring[ring].added++;
	return true;
}

static void
drivers_add(struct duel *d, int ring)
{
	const uint32_t n = 1 + rnd(d, rnd(d, 4) == 0 ? 60 : 10);

	for (uint32_t i = 0; i < n && chain_add(d, ring); i++)
		;
	vring_driver_publish(&d->theirs->vd[ring]);
	vring_driver_publish(&d->ours->vd[ring]);
}

static void
drivers_get(struct duel *d, int ring, uint16_t n)
{
	struct vring_used_chain a[MAX_SIZE], b[MAX_SIZE];
	const struct chain *c;
	const uint16_t got = vring_driver_get_burst(&d->theirs->vd[ring], a, n);

	CHECK(d, vring_driver_get_burst(&d->ours->vd[ring], b, n) == got);
	CHECK(d, !d->theirs->vd[ring].broken && !d->ours->vd[ring].broken);
	for (uint16_t i = 0; i < got; i++) {
		CHECK(d, a[i].token == b[i].token && a[i].token == d->ring[ring].got);
		CHECK(d, a[i].len == b[i].len);
		c = &d->ring[ring].chain[d->ring[ring].got++ % MAX_SIZE];
		d->ring[ring].tail = c->end;
		if (ring == RX)
			buffers_compare(d, c, a[i].len);
	}
}

static void
drivers_interrupts(struct duel *d, int ring)
{
	const bool on = rnd(d, 2) != 0;
	struct world *worlds[] = {d->theirs, d->ours};

	for (size_t i = 0; i < RTE_DIM(worlds); i++)
		if (on)
			vring_driver_interrupts_on(&worlds[i]->vd[ring]);
		else
			vring_driver_interrupts_off(&worlds[i]->vd[ring]);
}

/* ---- devices ---- */

static void
devices_take(struct duel *d, uint16_t n)
{
	struct rte_mbuf *a[MOST], *b[MOST];
	const uint16_t got = world_tx(d->theirs, d->mp, a, n);

	CHECK(d, world_tx(d->ours, d->mp, b, n) == got);
	packets_compare(d, a, b, got);
	rte_pktmbuf_free_bulk(a, got);
	rte_pktmbuf_free_bulk(b, got);
	used_compare(d, TX);
	CHECK(d, d->theirs->interrupted[TX] == d->ours->interrupted[TX]);
}

/*
 * DPDK takes packets of one mbuf each for a packed ring four at a time, and then each descriptor
 * for a buffer of its own, whether or not it is part of a chain or indirect.
 */
static struct rte_mbuf *
packet_make(struct duel *d, uint32_t len, uint32_t seed)
{
	static uint8_t data[LONGEST];
	struct rte_mbuf *m = NULL, *s;
	uint32_t part;

	pattern(data, len, seed);
	for (uint32_t done = 0; done < len; done += part) {
		s = rte_pktmbuf_alloc(d->mp);
		CHECK(d, s != NULL);
		if (m == NULL) {
			m = s;
			m->data_off = VRING_MBUF_DATA_OFF;
			memset(VRING_MBUF_HDR(m), 0, HDR);
		} else {
			CHECK(d, rte_pktmbuf_chain(m, s) == 0);
		}
		part = RTE_MIN(d->chained ? len / 2 : len - done, rte_pktmbuf_tailroom(s));
		part = RTE_MIN(part, len - done);
		memcpy(rte_pktmbuf_append(m, (uint16_t)part), data + done, part);
	}
	return m;
}

static void
devices_give(struct duel *d, uint16_t n)
{
	struct rte_mbuf *a[MOST], *b[MOST];
	uint16_t done;

	for (uint16_t i = 0; i < n; i++) {
		const uint32_t len = length_choose(d), seed = rnd(d, UINT32_MAX);

		a[i] = packet_make(d, len, seed);
		b[i] = packet_make(d, len, seed);
	}
	done = world_rx(d->theirs, a, n);
	CHECK(d, world_rx(d->ours, b, n) == done);
	used_compare(d, RX);
	CHECK(d, d->theirs->interrupted[RX] == d->ours->interrupted[RX]);
}

/* ---- a duel ---- */

static int
setup(void **state)
{
	struct duel *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	d->theirs = world_new();
	d->ours = world_new();
	d->mp = rte_mempool_lookup("diff");
	if (d->mp == NULL)
		d->mp = rte_pktmbuf_pool_create("diff", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(d->mp);
	*state = d;
	return 0;
}

static int
teardown(void **state)
{
	struct duel *d = *state;

	world_free(d->theirs);
	world_free(d->ours);
	free(d);
	return 0;
}

static void
duel_begin(struct duel *d, uint64_t features, uint16_t size)
{
	d->features = features;
	d->size = size;
	d->chained = rnd(d, 2) != 0;
	memset(d->ring, 0, sizeof(d->ring));
	world_start(d->theirs, size, d->features, true);
	world_start(d->ours, size, d->features, false);
}

static void
step(struct duel *d)
{
	const int ring = rnd(d, 2) != 0 ? TX : RX;

	switch (rnd(d, 12)) {
	case 0:
		drivers_interrupts(d, ring);
		break;
	case 1 ... 3:
		drivers_add(d, ring);
		break;
	case 4 ... 7:
		if (ring == TX)
			devices_take(d, 1 + rnd(d, MOST));
		else
			devices_give(d, 1 + rnd(d, MOST));
		break;
	default:
		drivers_get(d, ring, 1 + rnd(d, MAX_SIZE));
	}
}

static const uint64_t choices[] = {PACKED, IN_ORDER, MERGEABLE, INDIRECT, EVENT};

static void
same_descriptors_have_the_same_effect(void **state)
{
	const char *env = getenv("VIRTNET_TEST_SEED");
	const uint32_t first = env == NULL ? 0 : (uint32_t)strtoul(env, NULL, 0);
	static const uint16_t sizes[] = {64, 128, 256, 512};
	struct duel *d = *state;

	for (d->seed = first; d->seed < first + 2 * (1u << RTE_DIM(choices)); d->seed++) {
		uint64_t features = 0;

		for (uint32_t i = 0; i < RTE_DIM(choices); i++)
			if ((d->seed & 1u << i) != 0)
				features |= choices[i];
		d->random = d->seed * 2654435761u + 88172645u;
		duel_begin(d, features, sizes[rnd(d, RTE_DIM(sizes))]);
		for (uint32_t i = 0; i < STEPS; i++)
			step(d);
		CHECK(d, rte_mempool_in_use_count(d->mp) == 0);
	}
}

static int
test_vring_diff(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			same_descriptors_have_the_same_effect, setup, teardown),
	};

	return cmocka_run_group_tests_name("vring_diff", tests, NULL, vhost_peer_end);
}

REGISTER_TEST_COMMAND(vring_diff, test_vring_diff)
