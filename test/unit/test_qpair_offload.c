/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Queue pairs whose two sides do not agree on who does what: a real ring, an SF of the test's. */

#include <string.h>

#include "net/hash.h"
#include "net/offload.h"
#include "offload_rig.h"
#include "test.h"
#include "virtnet/qpair.h"
#include "vring_rig.h"

#define F(name)	 (UINT64_C(1) << VIRTIO_NET_F_##name)
#define TX_ALL	 (F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_ECN) | F(HOST_USO))
#define RX_TSO	 (F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6))
#define RX_ROOM	 0x10000u /* between receive buffers */
#define RX_BUFS	 8u
#define SENT_MAX 64u

static struct {
	struct rig *rig;
	struct qpair qp;
	struct sf sf;
	struct offload_pkt pkt, part;
	struct offload_wire got, want;
	/* the SF's side */
	struct rte_mbuf *sent[SENT_MAX]; /* the first ones; the others are only counted */
	unsigned int n_sent;
	struct rte_mbuf *waiting;
	struct net_hdr_hash hash[RX_BUFS]; /* of what was received */
} t;

static uint16_t
sf_rx(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	(void)sf;
	(void)queue;
	if (n == 0 || t.waiting == NULL)
		return 0;
	pkts[0] = t.waiting;
	t.waiting = NULL;
	return 1;
}

static uint16_t
sf_tx(struct sf *sf, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	(void)sf;
	(void)queue;
	assert_in_range(n, 1, VRING_BURST);
	for (uint16_t i = 0; i < n; i++, t.n_sent++) {
		if (t.n_sent < SENT_MAX)
			t.sent[t.n_sent] = pkts[i];
		else
			rte_pktmbuf_free(pkts[i]);
	}
	return n;
}

static int
sf_fd(struct sf *sf, uint16_t queue)
{
	(void)sf;
	(void)queue;
	return -1;
}

static const struct sf_ops test_sf_ops = {
	.name = "test", .rx_burst = sf_rx, .tx_burst = sf_tx, .rx_fd = sf_fd};

static int
setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.rig = rig_new();
	return 0;
}

static void
sent_forget(void)
{
	rte_pktmbuf_free_bulk(t.sent, RTE_MIN(t.n_sent, SENT_MAX));
	t.n_sent = 0;
}

static int
teardown(void **state)
{
	sent_forget();
	vring_stop(&t.qp.ring[QPAIR_RX]);
	vring_stop(&t.qp.ring[QPAIR_TX]);
	rig_free(t.rig);
	assert_int_equal(rte_mempool_avail_count(offload_pool()), OFFLOAD_MBUFS);
	return 0;
}

/* One side of a pair on the rig's ring, between a driver with these features and an SF with caps.
 */
static void
start(enum qpair_side side, uint64_t features, uint32_t caps)
{
	rig_start(t.rig, RIG_SIZE, RIG_INDIRECT | features);
	vring_driver_interrupts_off(&t.rig->vd);
	t.sf.ops = &test_sf_ops;
	t.sf.caps = caps;
	t.qp.burst = t.rig->burst;
	t.qp.pool = offload_pool();
	t.qp.features = features;
	qpair_set_sf(&t.qp, &t.sf);
	atomic_init(&t.qp.rx_on, true);
	atomic_init(&t.qp.rx_offloads, net_offload_guest(features));
	assert_int_equal(vring_start(&t.qp.ring[side], &t.rig->conf), 0);
	t.qp.run[side] = true;
}

static const struct ring_stats *
counters(void)
{
	return &t.rig->rec.stats;
}

/* ---- transmit */

/* The driver transmits t.pkt n times, all from the same memory. */
static void
transmit(unsigned int n)
{
	struct virtio_net_hdr_mrg_rxbuf hdr = {.hdr = t.pkt.hdr};
	const struct vring_buf bufs[] = {{RIG_BUFS, sizeof(hdr)}, {RIG_BUFS + 64, t.pkt.len}};

	rig_write(t.rig, bufs[0].iova, &hdr, sizeof(hdr));
	rig_write(t.rig, bufs[1].iova, t.pkt.data, t.pkt.len);
	for (unsigned int i = 0; i < n; i++)
		assert_int_equal(vring_driver_add(&t.rig->vd, bufs, 2, 0, true, i), 0);
	vring_driver_publish(&t.rig->vd);
}

static unsigned int
returned(void)
{
	struct vring_used_chain used[RIG_SIZE];

	return vring_driver_get_burst(&t.rig->vd, used, RIG_SIZE);
}

static void
assert_sent_is(const struct offload_pkt *p)
{
	t.want.n = t.want.bytes = 0;
	t.got.n = t.got.bytes = 0;
	offload_finish(&t.want, p);
	for (unsigned int i = 0; i < t.n_sent; i++) {
		offload_flat(t.sent[i], &t.part);
		assert_int_equal(offload_asked(&t.part) & ~SF_TX_OFFLOADS(t.sf.caps), 0);
		offload_finish(&t.got, &t.part);
	}
	offload_same(&t.got, &t.want, "sent");
}

static void
an_sf_gets_of_the_drivers_wishes_what_it_can_do(void **state)
{
	static const struct {
		uint32_t caps;
		unsigned int sent;
	} cases[] = {
		{SF_CAP_TX, 1},
		{SF_CAP_TX_CSUM | SF_CAP_TX_TSO4, 1},
		{SF_CAP_TX_CSUM, 4},
		{SF_CAP_RX, 4},
	};
	const struct offload_kind kind = {.tags = 1, .size = 1000, .payload = 3500};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		start(QPAIR_TX, TX_ALL, cases[i].caps);
		offload_make(&t.pkt, &kind, 7);
		transmit(1);
		assert_int_equal(qpair_poll(&t.qp, QPAIR_TX), 1);
		assert_int_equal(t.n_sent, cases[i].sent);
		assert_sent_is(&t.pkt);
		assert_int_equal(returned(), 1);
		assert_int_equal(counters()->sf_drops + counters()->bad_header, 0);
		sent_forget();
	}
}

static void
headers_are_looked_at_only_if_something_can_be_lacking(void **state)
{
	static const struct {
		uint64_t features;
		uint32_t caps;
		bool rx, tx;
	} cases[] = {
		{0, 0, false, false},
		{TX_ALL, SF_CAP_TX, false, false},
		{TX_ALL, SF_CAP_TX & ~SF_CAP_TX_USO6, false, true},
		{F(CSUM), SF_CAP_TX_CSUM, false, false},
		{F(CSUM), 0, false, true},
		{RX_TSO, 0, true, false},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		t.sf.ops = &test_sf_ops;
		t.sf.caps = cases[i].caps;
		t.qp.features = cases[i].features;
		qpair_set_sf(&t.qp, &t.sf);
		assert_int_equal(t.qp.fits[QPAIR_RX], cases[i].rx);
		assert_int_equal(t.qp.fits[QPAIR_TX], cases[i].tx);
	}
}

static void
a_packet_that_is_not_what_the_driver_says_is_counted_and_given_back(void **state)
{
	const struct offload_kind kind = {.size = 1000, .payload = 3500};

	start(QPAIR_TX, TX_ALL, SF_CAP_TX_CSUM);
	offload_make(&t.pkt, &kind, 7);
	t.pkt.data[23] = 17; /* UDP */
	transmit(2);
	assert_int_equal(qpair_poll(&t.qp, QPAIR_TX), 2);
	assert_int_equal(t.n_sent, 0);
	assert_int_equal(counters()->bad_header, 2);
	assert_int_equal(returned(), 2);
}

static void
packets_of_very_many_segments_make_bursts_smaller_until_they_end(void **state)
{
	struct offload_kind kind = {.udp = true, .size = 60, .payload = 60000};
	unsigned int most = 0, polls = 0;
	uint64_t drops;

	start(QPAIR_TX, TX_ALL, 0);
	offload_make(&t.pkt, &kind, 1);
	transmit(100);
	while (qpair_poll(&t.qp, QPAIR_TX) > 0) {
		most = RTE_MAX(most, t.n_sent);
		sent_forget();
		polls++;
	}
	assert_in_range(most, 1000, 4096);
	assert_in_range(t.qp.tx_limit, 1, 4);
	assert_int_equal(returned(), 100);
	drops = counters()->sf_drops;
	assert_in_range(drops, 1, 60);
	assert_in_range(polls, 20, 100);

	transmit(8); /* settled: nothing is lost any more */
	while (qpair_poll(&t.qp, QPAIR_TX) > 0)
		sent_forget();
	assert_int_equal(counters()->sf_drops, drops);

	kind.size = 0;
	kind.payload = 100;
	offload_make(&t.pkt, &kind, 1);
	transmit(100);
	while (qpair_poll(&t.qp, QPAIR_TX) > 0)
		sent_forget();
	assert_int_equal(t.qp.tx_limit, VRING_BURST);
}

/* ---- receive */

static void
post(uint32_t len)
{
	for (unsigned int i = 0; i < RX_BUFS; i++) {
		const struct vring_buf buf = {RIG_BUFS + i * RX_ROOM, len};

		assert_int_equal(vring_driver_add(&t.rig->vd, &buf, 0, 1, false, i), 0);
	}
	vring_driver_publish(&t.rig->vd);
}

/* The SF has t.pkt; the driver gets it in any number of packets, and does its part. */
static unsigned int
receive(uint32_t may)
{
	const uint32_t hdr_len = t.qp.ring[QPAIR_RX].hdr_len;
	struct vring_used_chain used[RX_BUFS];
	struct virtio_net_hdr_mrg_rxbuf hdr;
	unsigned int n;

	t.want.n = t.want.bytes = 0;
	t.got.n = t.got.bytes = 0;
	offload_finish(&t.want, &t.pkt);
	t.waiting = offload_mbuf(&t.pkt, 0);
	assert_int_equal(qpair_poll(&t.qp, QPAIR_RX), 1);
	n = vring_driver_get_burst(&t.rig->vd, used, RX_BUFS);
	for (unsigned int i = 0; i < n; i++) {
		const uint64_t iova = RIG_BUFS + used[i].token * RX_ROOM;

		rig_read(t.rig, iova, &hdr, sizeof(hdr));
		rig_read(t.rig, iova + sizeof(hdr), &t.hash[i], sizeof(t.hash[i]));
		t.part.hdr = hdr.hdr;
		t.part.len = used[i].len - hdr_len;
		rig_read(t.rig, iova + hdr_len, t.part.data, t.part.len);
		assert_int_equal(offload_asked(&t.part) & ~may, 0);
		offload_finish(&t.got, &t.part);
	}
	return n;
}

static const struct offload_kind large = {.ipv6 = true, .size = 1400, .payload = 5000};

static void
a_driver_that_takes_large_segments_gets_them_whole(void **state)
{
	start(QPAIR_RX, RX_TSO, SF_CAP_RX);
	post(RX_ROOM - 64);
	offload_make(&t.pkt, &large, 1);
	assert_int_equal(receive(NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6), 1);
	offload_same(&t.got, &t.want, "whole");
}

static void
what_the_driver_has_switched_off_is_done_for_it_at_once(void **state)
{
	start(QPAIR_RX, RX_TSO, SF_CAP_RX);
	post(RX_ROOM - 64);
	offload_make(&t.pkt, &large, 1);
	atomic_store(&t.qp.rx_offloads, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
	assert_int_equal(receive(NET_OFFLOAD_CSUM), 4);
	offload_same(&t.got, &t.want, "TSO6 off");
	atomic_store(&t.qp.rx_offloads, 0);
	assert_int_equal(receive(0), 4);
	offload_same(&t.got, &t.want, "all off");
}

static void
large_segments_are_cut_for_a_driver_whose_buffers_are_small(void **state)
{
	start(QPAIR_RX, RX_TSO, SF_CAP_RX);
	post(1600);
	offload_make(&t.pkt, &large, 1);
	assert_int_equal(receive(0), 0); /* that is how we learn */
	assert_int_equal(counters()->oversize, 1);
	assert_int_equal(receive(NET_OFFLOAD_CSUM), 4);
	offload_same(&t.got, &t.want, "small buffers");
	assert_int_equal(counters()->oversize, 1);
}

static void
segments_that_find_no_buffers_wait(void **state)
{
	const struct offload_kind many = {.size = 500, .payload = 6000};

	start(QPAIR_RX, RX_TSO, SF_CAP_RX);
	post(RX_ROOM - 64);
	atomic_store(&t.qp.rx_offloads, NET_OFFLOAD_CSUM);
	offload_make(&t.pkt, &many, 1);
	assert_int_equal(receive(NET_OFFLOAD_CSUM), RX_BUFS);
	assert_int_equal(t.qp.n_held, 12 - RX_BUFS);
	assert_int_equal(counters()->no_buffer, 0);
	qpair_drop_held(&t.qp);
	assert_int_equal(counters()->no_buffer, 12 - RX_BUFS);
}

/* ---- hashes */

static const uint8_t keys[2][NET_HASH_KEY_SIZE] = {{1, 2, 3, 4, 5}, {[2] = 0x80, [17] = 0xff}};

/* What the n packets that were received must have: what the one that came has. */
static void
assert_hashes(unsigned int n, uint32_t types, const uint8_t *key)
{
	struct rte_mbuf *m = offload_mbuf(&t.pkt, 0);
	struct net_hdr_hash want;
	struct net_hash h;

	net_hash_init(&h, types, key);
	want = net_hash_packet(&h, m);
	rte_pktmbuf_free(m);
	assert_int_equal(want.report != 0, types != 0);
	for (unsigned int i = 0; i < n; i++)
		assert_memory_equal(&t.hash[i], &want, sizeof(want));
}

static void
a_received_packet_has_the_hash_that_was_asked_for_last(void **state)
{
	static const uint32_t types[] = {0, NET_HASH_TYPES_ALL, NET_HASH_TYPE(IPv6), 0};
	const struct offload_kind small = {.ipv6 = true, .payload = 100};

	start(QPAIR_RX, F(GUEST_CSUM) | F(HASH_REPORT), SF_CAP_RX);
	post(RX_ROOM - 64);
	for (uint32_t seed = 0; seed < RTE_DIM(types); seed++) {
		offload_make(&t.pkt, &small, seed);
		qpair_set_hash(&t.qp, types[seed], keys[seed % 2]);
		assert_int_equal(receive(NET_OFFLOAD_CSUM), 1);
		assert_hashes(1, types[seed], keys[seed % 2]);
		offload_same(&t.got, &t.want, "hashed");
	}
}

static void
all_segments_of_a_large_packet_have_its_hash(void **state)
{
	start(QPAIR_RX, RX_TSO | F(HASH_REPORT), SF_CAP_RX);
	post(RX_ROOM - 64);
	qpair_set_hash(&t.qp, NET_HASH_TYPES_ALL, keys[0]);
	offload_make(&t.pkt, &large, 1);
	assert_int_equal(receive(NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6), 1);
	assert_hashes(1, NET_HASH_TYPES_ALL, keys[0]);
	atomic_store(&t.qp.rx_offloads, NET_OFFLOAD_CSUM);
	assert_int_equal(receive(NET_OFFLOAD_CSUM), 4);
	assert_hashes(4, NET_HASH_TYPES_ALL, keys[0]);
	offload_same(&t.got, &t.want, "cut and hashed");
}

static int
test_qpair_offload(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(an_sf_gets_of_the_drivers_wishes_what_it_can_do),
		T(headers_are_looked_at_only_if_something_can_be_lacking),
		T(a_packet_that_is_not_what_the_driver_says_is_counted_and_given_back),
		T(packets_of_very_many_segments_make_bursts_smaller_until_they_end),
		T(a_driver_that_takes_large_segments_gets_them_whole),
		T(what_the_driver_has_switched_off_is_done_for_it_at_once),
		T(large_segments_are_cut_for_a_driver_whose_buffers_are_small),
		T(segments_that_find_no_buffers_wait),
		T(a_received_packet_has_the_hash_that_was_asked_for_last),
		T(all_segments_of_a_large_packet_have_its_hash),
	};

	return cmocka_run_group_tests_name("qpair_offload", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(qpair_offload, test_qpair_offload)
