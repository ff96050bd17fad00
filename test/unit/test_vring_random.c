/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Both sides of a ring against each other: random packets in random layouts, through every
 * combination of ring features, with bursts, restarts and notifications as chance has it. What goes
 * in comes out, in order, and nobody waits for a notification that was not sent.
 *
 * A failure names its seed; VIRTNET_TEST_SEED=<n> begins with that one.
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "net/hash.h"
#include "test.h"
#include "vring/vring.h"
#include "vring/vring_driver.h"

#define BIT(n)	  (UINT64_C(1) << (n))
#define HDR_MAX	  ((uint32_t)sizeof(struct virtio_net_hdr_v1_hash))
#define RING_IOVA UINT64_C(0x100000000)
#define RING_LEN  (2u << 20)
/* Buffers: consecutive for the guest, but each chunk lies elsewhere in memory. */
#define ARENA_IOVA UINT64_C(0x200000000)
#define CHUNK	   (64u << 10)
#define CHUNKS	   64u
#define ARENA_LEN  (CHUNK * CHUNKS)
#define MAX_SIZE   4096u
#define MAX_PIECES 60u /**< of a chain; below VRING_DRIVER_INDIRECT_MAX */
#define MBUFS	   1023u
#define STEPS	   400u

/* A feature each; all combinations are gone through. */
static const uint64_t choices[] = {
	BIT(VIRTIO_F_RING_PACKED),
	BIT(VIRTIO_F_IN_ORDER),
	BIT(VIRTIO_NET_F_MRG_RXBUF),
	BIT(VIRTIO_RING_F_INDIRECT_DESC),
	BIT(VIRTIO_RING_F_EVENT_IDX),
	BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM),
	BIT(VIRTIO_NET_F_HASH_REPORT),
};
#define COMBINATIONS (1u << RTE_DIM(choices))

/* A chain under way, or a packet that is expected. */
struct note {
	uint64_t arena; /**< end of its memory, counted on through all laps */
	uint32_t len;	/**< of the packet; receive: of the buffers */
	uint32_t seed;
	uint16_t n;
	bool csum, hashed;
	struct vring_buf bufs[MAX_PIECES];
};

struct game {
	uint32_t seed, random;
	uint64_t features;
	uint32_t hdr; /**< bytes of a header */
	uint16_t size;
	int fd;
	uint8_t *mem;
	struct hostmem_files *files;
	struct hostmem *hm;
	struct rte_mempool *mp;
	const struct vring_burst *burst;
	struct vring_conf conf;
	struct ring_record rec;
	struct vring vr;
	struct vring_driver vd;
	struct vring_driver_slot slots[MAX_SIZE];
	struct note *chains; /**< MAX_SIZE, by token */
	uint64_t added, got; /**< chains: tokens of the next ones */
	uint64_t arena_head, arena_tail;
	/* receive: packets that the device took and the driver has not seen */
	struct note *packets;
	uint32_t packets_head, packets_tail, skipped;
	bool driver_waits, device_waits;
	bool roomy; /**< receive: each packet fits in what there is */
};

#define CHECK(g, what)                                                                             \
	do {                                                                                       \
		if (!(what))                                                                       \
			fail_msg("seed %u, features 0x%" PRIx64 ", size %u: %s", (g)->seed,        \
				(g)->features, (g)->size, #what);                                  \
	} while (0)

static uint32_t
rnd(struct game *g, uint32_t below)
{
	g->random ^= g->random << 13;
	g->random ^= g->random >> 17;
	g->random ^= g->random << 5;
	return g->random % below;
}

static void
rnd_bytes(struct game *g, uint8_t *buf, uint32_t len)
{
	while (len-- > 0)
		buf[len] = (uint8_t)rnd(g, 256);
}

/* ---- memory ---- */

static uint32_t
chunk_place(uint32_t chunk)
{
	return (chunk * 37 + 11) % CHUNKS;
}

static uint8_t *
arena_va(struct game *g, uint64_t iova)
{
	const uint64_t off = iova - ARENA_IOVA;

	return g->mem + RING_LEN + chunk_place((uint32_t)(off / CHUNK)) * CHUNK + off % CHUNK;
}

static void
arena_copy(struct game *g, uint64_t iova, uint8_t *buf, uint32_t len, bool out)
{
	uint32_t part;

	for (; len != 0; len -= part, buf += part, iova += part) {
		part = RTE_MIN(len, CHUNK - (uint32_t)((iova - ARENA_IOVA) % CHUNK));
		if (out)
			memcpy(arena_va(g, iova), buf, part);
		else
			memcpy(buf, arena_va(g, iova), part);
	}
}

static void
pattern(uint8_t *buf, uint32_t len, uint32_t seed)
{
	uint32_t x = seed * 2654435761u + len;

	for (uint32_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(x >> 24);
	}
}

static void
game_memory(struct game *g)
{
	struct hostmem_retired *retired;

	g->fd = memfd_create("virtnet-test-random", MFD_CLOEXEC);
	assert_int_equal(ftruncate(g->fd, RING_LEN + ARENA_LEN), 0);
	g->mem = mmap(NULL, RING_LEN + ARENA_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	assert_ptr_not_equal(g->mem, MAP_FAILED);
	g->files = hostmem_files_create(false);
	g->hm = hostmem_create(g->files);
	assert_int_equal(
		hostmem_map(g->hm, RING_IOVA, RING_LEN, g->fd, 0, HOSTMEM_READ | HOSTMEM_WRITE), 0);
	for (uint32_t i = 0; i < CHUNKS; i++)
		assert_int_equal(
			hostmem_map(g->hm, ARENA_IOVA + (uint64_t)i * CHUNK, CHUNK, g->fd,
				RING_LEN + chunk_place(i) * CHUNK, HOSTMEM_READ | HOSTMEM_WRITE),
			0);
	assert_int_equal(hostmem_publish(g->hm, &retired), 0);
	hostmem_retire(retired);
}

static int
setup(void **state)
{
	struct game *g = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*g), 64));

	assert_non_null(g);
	memset(g, 0, sizeof(*g));
	g->chains = calloc(MAX_SIZE, sizeof(*g->chains));
	g->packets = calloc(MAX_SIZE, sizeof(*g->packets));
	game_memory(g);
	g->mp = rte_mempool_lookup("random");
	if (g->mp == NULL)
		g->mp = rte_pktmbuf_pool_create(
			"random", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(g->mp);
	*state = g;
	return 0;
}

static int
teardown(void **state)
{
	struct game *g = *state;

	vring_stop(&g->vr);
	hostmem_destroy(g->hm);
	hostmem_files_destroy(g->files);
	munmap(g->mem, RING_LEN + ARENA_LEN);
	close(g->fd);
	free(g->chains);
	free(g->packets);
	free(g);
	return 0;
}

static uint16_t
size_choose(struct game *g)
{
	static const uint16_t split[] = {4, 8, 32, 64, 256, 1024};
	static const uint16_t packed[] = {4, 5, 7, 31, 64, 100, 256, 257, 1000};
	const bool is_packed = (g->features & BIT(VIRTIO_F_RING_PACKED)) != 0;

	return is_packed ? packed[rnd(g, RTE_DIM(packed))] : split[rnd(g, RTE_DIM(split))];
}

static void
game_begin(struct game *g, uint32_t seed)
{
	struct vring_driver_conf conf = {.va = g->mem, .iova = RING_IOVA, .slots = g->slots};

	vring_stop(&g->vr);
	g->seed = seed;
	g->random = seed * 2654435761u + 88172645u;
	g->features = BIT(VIRTIO_F_VERSION_1);
	for (uint32_t i = 0; i < RTE_DIM(choices); i++)
		if ((seed & 1u << i) != 0)
			g->features |= choices[i];
	g->hdr = (g->features & BIT(VIRTIO_NET_F_HASH_REPORT)) != 0
			 ? HDR_MAX
			 : (uint32_t)sizeof(struct virtio_net_hdr_mrg_rxbuf);
	g->size = size_choose(g);
	conf.size = g->size;
	conf.features = g->features;
	assert_true(vring_driver_memory(g->size, g->features) <= RING_LEN);
	assert_int_equal(vring_driver_init(&g->vd, &conf), 0);
	memset(&g->rec, 0, sizeof(g->rec));
	g->conf = (struct vring_conf){
		.size = g->size,
		.features = g->features,
		.desc = g->vd.desc_iova,
		.driver = g->vd.driver_iova,
		.device = g->vd.device_iova,
		.hm = g->hm,
		.record = &g->rec,
	};
	g->burst = vring_burst_select(g->features);
	CHECK(g, vring_start(&g->vr, &g->conf) == 0);
	g->added = g->got = g->arena_head = g->arena_tail = 0;
	g->packets_head = g->packets_tail = g->skipped = 0;
	g->driver_waits = g->device_waits = false;
}

/* ---- the driver ---- */

/* Memory for a chain, given back in the order taken. */
static bool
arena_take(struct game *g, struct note *note, uint32_t len)
{
	/* No buffer goes round the end. */
	uint64_t at = g->arena_head;

	if (at % ARENA_LEN + len > ARENA_LEN)
		at += ARENA_LEN - at % ARENA_LEN;
	if (at + len - g->arena_tail > ARENA_LEN)
		return false;
	note->bufs[0].iova = ARENA_IOVA + at % ARENA_LEN;
	note->arena = g->arena_head = at + len;
	return true;
}

/* Cut `total` bytes into up to `most` pieces, with gaps between them. Some pieces are empty. */
static bool
lay_out(struct game *g, struct note *note, uint32_t total, uint32_t most)
{
	const uint32_t want = rnd(g, 3) == 0 ? 1 : 1 + rnd(g, most);
	const uint32_t few = rnd(g, 2) != 0 ? 2 : total;
	uint32_t left = total;
	uint64_t at;

	if (!arena_take(g, note, total + 3 * MAX_PIECES))
		return false;
	at = note->bufs[0].iova;
	for (note->n = 0; left != 0 || note->n == 0; note->n++) {
		uint32_t part = note->n + 1u == want ? left : rnd(g, RTE_MIN(left, few) + 1);

		if (note->n + 1u == most)
			part = left;
		at += rnd(g, 4);
		note->bufs[note->n] = (struct vring_buf){at, part};
		at += part;
		left -= part;
	}
	return true;
}

static uint32_t
length_choose(struct game *g)
{
	switch (rnd(g, 16)) {
	case 0:
		return RTE_ETHER_HDR_LEN;
	case 1:
		return 1514 + rnd(g, 9000);
	case 2:
		return VRING_MAX_PACKET - rnd(g, 3000);
	case 3:
	case 4:
		return 1500 + rnd(g, 20);
	default:
		return RTE_ETHER_HDR_LEN + rnd(g, 300);
	}
}

static void
tx_fill(struct game *g, struct note *note)
{
	uint8_t *buf = malloc(g->hdr + note->len), *from = buf;
	struct virtio_net_hdr_mrg_rxbuf *hdr = (struct virtio_net_hdr_mrg_rxbuf *)buf;

	/* What a driver leaves in a hash has no meaning. */
	rnd_bytes(g, buf, g->hdr);
	memset(hdr, 0, sizeof(*hdr));
	if (note->csum)
		hdr->hdr = (struct virtio_net_hdr){
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16};
	pattern(buf + g->hdr, note->len, note->seed);
	for (uint16_t i = 0; i < note->n; from += note->bufs[i++].len)
		arena_copy(g, note->bufs[i].iova, from, note->bufs[i].len, true);
	free(buf);
}

static struct note *
chain_note(struct game *g, uint64_t token)
{
	return &g->chains[token % MAX_SIZE];
}

/* Add a chain; false if there is no room. */
static bool
chain_add(struct game *g, bool rx, uint32_t len)
{
	const bool table = (g->features & BIT(VIRTIO_RING_F_INDIRECT_DESC)) != 0 && rnd(g, 3) == 0;
	const uint32_t most = RTE_MIN(MAX_PIECES, table ? MAX_PIECES : g->vd.n_free);
	struct note *note = chain_note(g, g->added);

	if (g->vd.n_free == 0)
		return false;
	note->len = len;
	note->seed = (uint32_t)g->added;
	note->csum =
		!rx && (g->features & BIT(VIRTIO_NET_F_CSUM)) != 0 && len >= 64 && rnd(g, 2) != 0;
	if (!lay_out(g, note, rx ? len : g->hdr + len, most))
		return false;
	if (!rx)
		tx_fill(g, note);
	CHECK(g, vring_driver_add(&g->vd, note->bufs, rx ? 0 : note->n, rx ? note->n : 0, table,
			 g->added) == 0);
	g->added++;
	return true;
}

static bool
kicks_can_be_off(const struct game *g)
{
	return g->vr.kicks_are_off &&
	       (g->features & (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_PACKED))) !=
		       BIT(VIRTIO_RING_F_EVENT_IDX);
}

static void
publish(struct game *g, uint32_t n)
{
	bool needed;

	vring_driver_publish(&g->vd);
	needed = vring_driver_kick_needed(&g->vd);
	if (n == 0)
		return;
	CHECK(g, needed || !g->device_waits);
	CHECK(g, !needed || !kicks_can_be_off(g));
	g->device_waits = false;
}

static void
driver_adds(struct game *g, bool rx)
{
	const uint32_t want = rnd(g, rnd(g, 4) == 0 ? 80 : 8);
	uint32_t n = 0, len;

	while (n < want) {
		len = length_choose(g);
		if (rx && g->roomy)
			len = g->hdr + VRING_MAX_PACKET;
		else if (rx)
			len = g->hdr + RTE_MIN(len, 3000u);
		if (!chain_add(g, rx, len))
			break;
		n++;
	}
	publish(g, n);
}

/* The chain with the next token is back. */
static struct note *
chain_back(struct game *g, const struct vring_used_chain *used)
{
	struct note *note = chain_note(g, g->got);

	CHECK(g, used->token == g->got && g->got < g->added);
	g->got++;
	g->arena_tail = note->arena;
	return note;
}

static void
driver_gets_tx(struct game *g)
{
	struct vring_used_chain used[64];
	const uint16_t n = vring_driver_get_burst(&g->vd, used, 1 + rnd(g, RTE_DIM(used)));

	CHECK(g, !g->vd.broken);
	for (uint16_t i = 0; i < n; i++) {
		CHECK(g, used[i].len == 0);
		chain_back(g, &used[i]);
	}
}

/* Headers as the driver reads them: a chain's first piece may be short. */
struct header_arg {
	struct game *g;
	struct virtio_net_hdr_mrg_rxbuf hdr;
};

static uint32_t
note_read(struct game *g, const struct note *note, uint8_t *buf, uint32_t len)
{
	uint32_t done = 0;

	for (uint16_t i = 0; i < note->n && done < len; i++) {
		const uint32_t part = RTE_MIN(note->bufs[i].len, len - done);

		arena_copy(g, note->bufs[i].iova, buf + done, part, false);
		done += part;
	}
	return done;
}

static const struct virtio_net_hdr_mrg_rxbuf *
header_read(void *arg, uint64_t token)
{
	struct header_arg *h = arg;

	note_read(h->g, chain_note(h->g, token), (uint8_t *)&h->hdr, sizeof(h->hdr));
	return &h->hdr;
}

/* The hash that a packet is given, if it is given any. */
static struct net_hdr_hash
hash_of(const struct note *p)
{
	if (!p->hashed)
		return (struct net_hdr_hash){0};
	return (struct net_hdr_hash){.value = p->seed * 3, .report = (uint16_t)(1 + p->seed % 9)};
}

static void
hash_check(struct game *g, const struct note *p, const uint8_t *hdr)
{
	const struct net_hdr_hash want = hash_of(p);

	if (g->hdr == HDR_MAX)
		CHECK(g, memcmp(hdr + g->hdr - sizeof(want), &want, sizeof(want)) == 0);
}

/* What was received is the next packet that the device took, or one after those dropped. */
static void
packet_check(struct game *g, const uint8_t *data, uint32_t len)
{
	static uint8_t want[VRING_MAX_PACKET];
	const struct virtio_net_hdr_mrg_rxbuf *hdr = (const void *)data;

	for (; g->packets_tail != g->packets_head; g->skipped++) {
		const struct note *p = &g->packets[g->packets_tail++ % MAX_SIZE];

		if (p->len != len - g->hdr)
			continue;
		pattern(want, p->len, p->seed);
		if (memcmp(want, data + g->hdr, p->len) != 0)
			continue;
		CHECK(g, hdr->hdr.flags == (p->csum ? VIRTIO_NET_HDR_F_DATA_VALID : 0));
		CHECK(g, hdr->hdr.gso_type == 0 && hdr->hdr.csum_start == 0);
		hash_check(g, p, data);
		return;
	}
	fail_msg("seed %u, features 0x%" PRIx64 ", size %u: a packet that was never sent", g->seed,
		g->features, g->size);
}

static void
driver_gets_rx(struct game *g)
{
	static uint8_t data[HDR_MAX + VRING_MAX_PACKET + 1];
	const bool mergeable = (g->features & BIT(VIRTIO_NET_F_MRG_RXBUF)) != 0;
	struct vring_used_chain used[MAX_SIZE];
	struct header_arg arg = {.g = g};
	uint32_t len = 0;
	uint16_t n;

	n = vring_driver_get_packet(&g->vd, used, mergeable ? MAX_SIZE : 1, header_read, &arg);
	CHECK(g, !g->vd.broken);
	for (uint16_t i = 0; i < n; i++) {
		const struct note *note = chain_back(g, &used[i]);

		/* All buffers of a packet but the last are full. */
		CHECK(g, used[i].len <= note->len && (i + 1 == n || used[i].len == note->len));
		CHECK(g, len + used[i].len <= g->hdr + VRING_MAX_PACKET);
		CHECK(g, note_read(g, note, data + len, used[i].len) == used[i].len);
		len += used[i].len;
	}
	if (n == 0)
		return;
	CHECK(g, arg.hdr.num_buffers == n);
	packet_check(g, data, len);
}

/* ---- the device ---- */

static bool
interrupts_can_be_off(const struct game *g)
{
	return g->vd.interrupts_off &&
	       (g->features & (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_PACKED))) !=
		       BIT(VIRTIO_RING_F_EVENT_IDX);
}

static void
interrupt(struct game *g, uint64_t used_before)
{
	bool wanted;

	if (g->rec.stats.completed_desc == used_before)
		return;
	wanted = vring_interrupt_wanted(&g->vr);
	CHECK(g, wanted || !g->driver_waits);
	CHECK(g, !wanted || !interrupts_can_be_off(g));
	g->driver_waits = false;
}

static void
device_takes(struct game *g)
{
	const uint64_t before = g->rec.stats.completed_desc;
	uint64_t token = before;
	struct rte_mbuf *pkts[VRING_BURST];
	static uint8_t want[VRING_MAX_PACKET], copy[VRING_MAX_PACKET];
	uint16_t n;

	vring_refresh(&g->vr);
	n = g->burst->dequeue(&g->vr, g->mp, pkts, 1 + rnd(g, VRING_BURST));
	CHECK(g, !vring_broken(&g->vr) && vring_tx_taken(&g->vr) == n);
	if (rnd(g, 2) == 0)
		driver_adds(g, false);
	vring_tx_complete(&g->vr);
	CHECK(g, vring_tx_taken(&g->vr) == 0);
	for (uint16_t i = 0; i < n; i++, token++) {
		const struct note *note = chain_note(g, token);

		CHECK(g, pkts[i]->pkt_len == note->len);
		pattern(want, note->len, note->seed);
		CHECK(g, memcmp(rte_pktmbuf_read(pkts[i], 0, note->len, copy), want, note->len) ==
				 0);
		CHECK(g, VRING_MBUF_HDR(pkts[i])->hdr.flags ==
				 (note->csum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0));
	}
	rte_pktmbuf_free_bulk(pkts, n);
	interrupt(g, before);
}

static struct rte_mbuf *
packet_make(struct game *g, struct note *p)
{
	static uint8_t data[VRING_MAX_PACKET];
	const uint32_t most = 1 + rnd(g, 2048);
	struct rte_mbuf *m = NULL, *s;
	uint32_t done = 0, part;

	pattern(data, p->len, p->seed);
	for (; done < p->len; done += part) {
		s = rte_pktmbuf_alloc(g->mp);
		CHECK(g, s != NULL);
		if (m == NULL) {
			m = s;
			m->data_off = VRING_MBUF_DATA_OFF;
			memset(VRING_MBUF_HDR(m), 0, sizeof(*VRING_MBUF_HDR(m)));
			if (p->hashed)
				net_hash_set(m, hash_of(p));
			if (p->csum)
				VRING_MBUF_HDR(m)->hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
		} else {
			CHECK(g, rte_pktmbuf_chain(m, s) == 0);
		}
		part = RTE_MIN(p->len - done, RTE_MAX(most, p->len / 64 + 1));
		part = RTE_MIN(part, rte_pktmbuf_tailroom(s));
		memcpy(rte_pktmbuf_append(m, (uint16_t)part), data + done, part);
	}
	return m;
}

static void
device_gives(struct game *g)
{
	const uint64_t before = g->rec.stats.completed_desc;
	const uint32_t big_at_most = 8;
	struct note notes[VRING_BURST];
	struct rte_mbuf *pkts[VRING_BURST];
	uint16_t n = 1 + rnd(g, rnd(g, 4) == 0 ? VRING_BURST : big_at_most), done;

	for (uint16_t i = 0; i < n; i++) {
		notes[i].len = n > big_at_most ? 60 + rnd(g, 1500) : length_choose(g);
		notes[i].seed = rnd(g, UINT32_MAX);
		notes[i].hashed = rnd(g, 2);
		notes[i].csum = (g->features & BIT(VIRTIO_NET_F_GUEST_CSUM)) != 0 && rnd(g, 2);
		pkts[i] = packet_make(g, &notes[i]);
	}
	vring_refresh(&g->vr);
	done = g->burst->enqueue(&g->vr, pkts, n);
	CHECK(g, !vring_broken(&g->vr) && done <= n);
	rte_pktmbuf_free_bulk(&pkts[done], n - done);
	for (uint16_t i = 0; i < done; i++)
		g->packets[g->packets_head++ % MAX_SIZE] = notes[i];
	CHECK(g, g->packets_head - g->packets_tail <= MAX_SIZE);
	interrupt(g, before);
}

/* ---- a game ---- */

static void
notifications_change(struct game *g)
{
	switch (rnd(g, 4)) {
	case 0:
		vring_driver_interrupts_off(&g->vd);
		g->driver_waits = false;
		break;
	case 1:
		g->driver_waits = !vring_driver_interrupts_on(&g->vd);
		break;
	case 2:
		vring_kicks_off(&g->vr);
		g->device_waits = false;
		break;
	case 3:
		g->device_waits = !vring_kicks_on(&g->vr);
		break;
	}
}

/* As at the end of a process in good order: its successor asks for kicks and goes on. */
static void
device_restarts(struct game *g)
{
	vring_stop(&g->vr);
	CHECK(g, vring_start(&g->vr, &g->conf) == 0);
	g->device_waits = false;
}

static void
step(struct game *g, bool rx)
{
	switch (rnd(g, 16)) {
	case 0:
		notifications_change(g);
		break;
	case 1:
		if (rnd(g, 8) == 0)
			device_restarts(g);
		break;
	case 2 ... 5:
		driver_adds(g, rx);
		break;
	case 6 ... 10:
		if (rx)
			device_gives(g);
		else
			device_takes(g);
		break;
	default:
		if (rx)
			driver_gets_rx(g);
		else
			driver_gets_tx(g);
	}
}

static uint32_t
first_seed(void)
{
	const char *env = getenv("VIRTNET_TEST_SEED");

	return env == NULL ? 0 : (uint32_t)strtoul(env, NULL, 0);
}

static void
what_the_driver_sends_arrives_in_every_ring(void **state)
{
	struct game *g = *state;
	const uint32_t first = first_seed();

	for (uint32_t seed = first; seed < first + 4 * COMBINATIONS; seed++) {
		game_begin(g, seed);
		for (uint32_t i = 0; i < STEPS; i++)
			step(g, false);
		while (g->rec.stats.completed_desc != g->added)
			device_takes(g);
		while (g->got != g->added)
			driver_gets_tx(g);
		CHECK(g, g->vd.n_free == g->size);
		CHECK(g, g->rec.stats.packets == g->added);
		CHECK(g, rte_mempool_in_use_count(g->mp) == 0);
	}
}

static void
receive_game(struct game *g, uint32_t seed)
{
	uint64_t before;

	game_begin(g, seed);
	g->roomy = rnd(g, 4) == 0;
	for (uint32_t i = 0; i < STEPS; i++)
		step(g, true);
	do {
		before = g->got;
		driver_gets_rx(g);
	} while (g->got != before);
	/* Whatever the driver did not see was dropped, and counted. */
	g->skipped += g->packets_head - g->packets_tail;
	CHECK(g, g->skipped == g->rec.stats.oversize);
	CHECK(g, !g->roomy || g->skipped == 0);
	CHECK(g, g->got == g->rec.stats.completed_desc);
	CHECK(g, rte_mempool_in_use_count(g->mp) == 0);
}

static void
what_the_device_receives_arrives_in_every_ring(void **state)
{
	const uint32_t first = first_seed();

	for (uint32_t seed = first; seed < first + 4 * COMBINATIONS; seed++)
		receive_game(*state, seed);
}

static int
test_vring_random(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_the_driver_sends_arrives_in_every_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_the_device_receives_arrives_in_every_ring, setup, teardown),
	};

	return cmocka_run_group_tests_name("vring_random", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vring_random, test_vring_random)
