/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Malformed rings: how our device side and DPDK's vhost library differ. */

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "diff_world.h"
#include "test.h"
#include "vhost_peer.h"

#define NEXT	 VIRTQ_DESC_F_NEXT
#define WRITE	 VIRTQ_DESC_F_WRITE
#define TABLE	 VIRTQ_DESC_F_INDIRECT
#define BUF	 (ARENA + 0x1000)
#define TABLE_AT (ARENA + 0x8000)
#define GOOD	 10u /**< split: where the well-formed chain stands that follows */
#define END	 (FAR + FAR_LEN)

struct raw {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /**< split */
};

/*
 * A malformed chain, and a good one behind it. DPDK drops what it cannot read, waits at it for
 * good, or takes it nevertheless; we stop the ring, since its driver is out of order and nothing
 * that it says can be relied upon (the device then asks for a reset). What is well-formed but no
 * packet is dropped by us, too.
 */
struct malformed {
	const char *name;
	int ring;
	struct raw desc[3];
	struct raw table[3];  /**< at TABLE_AT; negotiated if there is one */
	bool split;	      /**< in a split ring only */
	uint16_t head, ahead; /**< split: first descriptor; available index, if not 2 */
	/** packets made of the two chains, in two bursts; theirs: split, packed */
	uint16_t theirs[2], ours;
	enum vring_error error; /**< ours */
};

#define ADDRESS	  .error = VRING_ERR_ADDRESS
#define CHAIN	  .error = VRING_ERR_CHAIN
#define BAD_TABLE .error = VRING_ERR_INDIRECT
#define INDEX	  .split = true, .error = VRING_ERR_INDEX

static const struct malformed malformed[] = {
	{"address that is not mapped", TX, {{HOLE, 100, 0, 0}}, .theirs = {0, 1}, ADDRESS},
	{"buffer that ends past the memory", TX, {{END - 50, 100, 0, 0}}, .theirs = {0, 1},
		ADDRESS},
	{"second piece that is not mapped", TX, {{BUF, 50, NEXT, 1}, {HOLE, 50, 0, 0}},
		.theirs = {0, 1}, ADDRESS},
	{"empty piece that is not mapped", TX, {{HOLE, 0, NEXT, 1}, {BUF, 100, 0, 0}},
		.theirs = {2, 2}, .ours = 2},
	{"writable buffer", TX, {{BUF, 100, WRITE, 0}}, .theirs = {2, 2}, CHAIN},
	{"readable buffer after a writable one", TX,
		{{BUF, 100, WRITE | NEXT, 1}, {BUF, 100, 0, 0}}, .theirs = {2, 2}, CHAIN},
	{"writable buffer after the packet", TX, {{BUF, 100, NEXT, 1}, {BUF, 100, WRITE, 0}},
		.theirs = {2, 2}, .ours = 2},
	{"shorter than the header", TX, {{BUF, 11, 0, 0}}, .theirs = {1, 1}, CHAIN},
	{"nothing at all", TX, {{BUF, 0, 0, 0}}, .theirs = {1, 1}, CHAIN},
	{"header and no packet", TX, {{BUF, 12, 0, 0}}, .theirs = {1, 1}, .ours = 1},
	{"packet of 13 bytes", TX, {{BUF, 25, 0, 0}}, .theirs = {2, 2}, .ours = 1},
	{"packet of 1 MiB", TX, {{ARENA, 1 << 20, 0, 0}}, .theirs = {2, 2}, .ours = 1},
	{"table that was not negotiated", TX, {{TABLE_AT, 16, TABLE, 0}}, .theirs = {1, 1},
		BAD_TABLE},
	{"table of no whole entries", TX, {{TABLE_AT, 24, TABLE, 0}}, {{BUF, 100, 0, 0}},
		.theirs = {2, 2}, BAD_TABLE},
	{"empty table", TX, {{TABLE_AT, 0, TABLE, 0}}, {{BUF, 100, 0, 0}}, .theirs = {0, 1},
		BAD_TABLE},
	{"table that is not mapped", TX, {{HOLE, 16, TABLE, 0}}, {{BUF, 100, 0, 0}},
		.theirs = {0, 1}, ADDRESS},
	{"table in a table", TX, {{TABLE_AT, 16, TABLE, 0}}, {{TABLE_AT, 16, TABLE, 0}},
		.theirs = {2, 2}, BAD_TABLE},
	{"table and another behind it", TX,
		{{TABLE_AT, 16, TABLE | NEXT, 1}, {TABLE_AT, 16, TABLE, 0}}, {{BUF, 50, 0, 0}},
		.theirs = {2, 2}, BAD_TABLE},
	{"buffer in a table that is not mapped", TX, {{TABLE_AT, 16, TABLE, 0}},
		{{HOLE, 100, 0, 0}}, .theirs = {0, 1}, ADDRESS},
	{"readable buffer to receive", RX, {{BUF, 100, 0, 0}}, .theirs = {2, 2}, CHAIN},
	{"address to receive at that is not mapped", RX, {{HOLE, 100, WRITE, 0}}, .theirs = {0, 0},
		ADDRESS},
	{"too short to receive the header", RX, {{BUF, 11, WRITE, 0}}, .theirs = {0, 0}, CHAIN},
	{"nothing to receive in", RX, {{BUF, 0, WRITE, 0}}, .theirs = {0, 0}, CHAIN},
	{"too short to receive the packet", RX, {{BUF, 71, WRITE, 0}}, .theirs = {0, 0}},
	{"head past the table", TX, {{BUF, 100, 0, 0}}, .head = 64, .theirs = {0, 0}, INDEX},
	{"next past the table", TX, {{BUF, 50, NEXT, 64}, {BUF, 50, 0, 0}}, .theirs = {0, 0},
		INDEX},
	{"chain that bites its tail", TX, {{BUF, 50, NEXT, 1}, {BUF, 50, NEXT, 0}}, .split = true,
		.theirs = {0, 0}, CHAIN},
	{"next past an indirect table", TX, {{TABLE_AT, 32, TABLE, 0}},
		{{BUF, 50, NEXT, 2}, {BUF, 50, 0, 0}}, .theirs = {0, 0}, INDEX},
	{"indirect table that bites its tail", TX, {{TABLE_AT, 32, TABLE, 0}},
		{{BUF, 50, NEXT, 1}, {BUF, 50, NEXT, 0}}, .split = true, .theirs = {0, 0}, CHAIN},
	{"index ahead by more than the ring", TX, {{BUF, 100, 0, 0}}, .ahead = 66, .theirs = {4, 0},
		INDEX},
};

static void
malformed_write(struct world *w, const struct malformed *bad)
{
	struct vring_driver *vd = &w->vd[bad->ring];
	const uint16_t dir = bad->ring == RX ? WRITE : 0;
	uint16_t n = 0;

	for (size_t i = 0; i < RTE_DIM(bad->table); i++) {
		const struct raw *t = &bad->table[i];
		const struct virtq_desc split = {t->addr, t->len, t->flags, t->next};
		const struct pvirtq_desc packed = {t->addr, t->len, 0, t->flags};

		world_write(w, TABLE_AT + i * sizeof(split),
			vd->packed ? (const uint8_t *)&packed : (const uint8_t *)&split,
			sizeof(split));
	}
	do {
		const struct raw *d = &bad->desc[n];

		if (vd->packed)
			vd->ring[n] = (struct pvirtq_desc){
				d->addr, d->len, 1, d->flags | VIRTQ_DESC_F_AVAIL};
		else
			vd->desc[n] = (struct virtq_desc){d->addr, d->len, d->flags, d->next};
	} while ((bad->desc[n++].flags & NEXT) != 0 && n < RTE_DIM(bad->desc));
	if (vd->packed) {
		vd->ring[n] = (struct pvirtq_desc){BUF, 100, 2, dir | VIRTQ_DESC_F_AVAIL};
		return;
	}
	vd->desc[GOOD] = (struct virtq_desc){BUF, 100, dir, 0};
	vd->avail->ring[0] = bad->head;
	vd->avail->ring[1] = GOOD;
	vd->avail->idx = bad->ahead != 0 ? bad->ahead : 2;
}

static uint16_t
malformed_burst(struct world *w, struct rte_mempool *mp, int ring)
{
	const uint64_t before = w->rec[RX].stats.packets;
	struct rte_mbuf *pkts[2];
	uint16_t n;

	if (ring == TX) {
		n = world_tx(w, mp, pkts, 2);
		rte_pktmbuf_free_bulk(pkts, n);
		return n;
	}
	assert_int_equal(rte_pktmbuf_alloc_bulk(mp, pkts, 2), 0);
	for (int i = 0; i < 2; i++) {
		pkts[i]->data_off = VRING_MBUF_DATA_OFF;
		memset(VRING_MBUF_HDR(pkts[i]), 0, HDR);
		memset(rte_pktmbuf_append(pkts[i], 60), i, 60);
	}
	n = world_rx(w, pkts, 2);
	/* Ours counts those that it has dropped. */
	return w->theirs != NULL ? n : (uint16_t)(w->rec[RX].stats.packets - before);
}

struct pair {
	struct world *theirs, *ours;
	struct rte_mempool *mp;
};

static void
malformed_play(struct pair *p, const struct malformed *bad, bool packed)
{
	const struct vring *vr = &p->ours->vr[bad->ring];
	uint64_t features = packed ? PACKED : 0;
	uint16_t theirs = 0, ours = 0;

	if (bad->table[0].addr != 0)
		features |= INDIRECT;
	world_start(p->theirs, 64, features, true);
	world_start(p->ours, 64, features, false);
	malformed_write(p->theirs, bad);
	malformed_write(p->ours, bad);
	for (int i = 0; i < 2; i++) {
		theirs += malformed_burst(p->theirs, p->mp, bad->ring);
		ours += malformed_burst(p->ours, p->mp, bad->ring);
	}
	if (theirs != bad->theirs[packed] || ours != bad->ours || vr->error != bad->error)
		fail_msg("%s, %s: theirs %u, ours %u, %s", bad->name, packed ? "packed" : "split",
			theirs, ours, vring_strerror(vr->error));
	assert_int_equal(rte_mempool_in_use_count(p->mp), 0);
}

static void
malformed_chain_stops_our_ring(void **state)
{
	for (size_t i = 0; i < RTE_DIM(malformed); i++) {
		malformed_play(*state, &malformed[i], false);
		if (!malformed[i].split)
			malformed_play(*state, &malformed[i], true);
	}
}

static int
setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	*p = (struct pair){world_new(), world_new(), world_pool()};
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	world_free(p->theirs);
	world_free(p->ours);
	free(p);
	return 0;
}

static int
test_vring_diff_hostile(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(malformed_chain_stops_our_ring, setup, teardown),
	};

	return cmocka_run_group_tests_name("vring_diff_hostile", tests, NULL, vhost_peer_end);
}

REGISTER_TEST_COMMAND(vring_diff_hostile, test_vring_diff_hostile)
