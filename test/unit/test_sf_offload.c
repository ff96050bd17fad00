/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The same random packets through SFs with every combination of capabilities: what is on the wire
 * in the end, or what the driver has after doing its part, is the same frame by frame - be it that
 * the driver, we, the loop or the kernel behind a TAP did which part of the work.
 */

#include <linux/if_packet.h>
#include <stdio.h>
#include <string.h>

#include "net/fit.h"
#include "offload_rig.h"
#include "sf_tap_fixture.h"

/* Few enough segments for the queues of loop and TAP. */
static const struct offload_limits few = {.len = 1900, .gso_len = 8000, .gso_size = 100};
static const struct offload_limits large = {.len = 8900, .gso_len = 65500, .gso_size = 500};

static const struct virtio_net_hdr nothing;

/* Large: kept out of the stack. */
static struct {
	struct offload_pkt pkt, part;
	struct offload_wire got, want;
	char what[128];
	/* of transmit() */
	struct sf *sf;
	unsigned int sent;
} t;

static void
wanted(uint32_t seed, const struct offload_limits *limits)
{
	offload_random(&t.pkt, seed, limits);
	t.got.n = t.got.bytes = 0;
	t.want.n = t.want.bytes = 0;
	offload_finish(&t.want, &t.pkt);
}

static void
transmit(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	(void)arg;
	for (uint16_t i = 0; i < n; i++) {
		offload_flat(pkts[i], &t.part);
		if ((offload_asked(&t.part) & ~SF_TX_OFFLOADS(t.sf->caps)) != 0)
			fail_msg("%s: the SF is asked for 0x%x", t.what, offload_asked(&t.part));
	}
	t.sent += t.sf->ops->tx_burst(t.sf, 0, pkts, n);
}

/* As a queue pair does it. */
static void
transmit_fitted(struct sf *sf, uint32_t seed)
{
	struct rte_mbuf *m = offload_mbuf(&t.pkt, seed);
	struct net_fit fit = {
		.offloads = SF_TX_OFFLOADS(sf->caps),
		.pool = offload_pool(),
		.emit = transmit,
		.budget = UINT32_MAX,
	};

	t.sf = sf;
	t.sent = 0;
	net_fit(&fit, &m, 1);
	assert_true(t.sent > 0);
	assert_int_equal(fit.bad + fit.no_mbuf + fit.excess, 0);
}

static void
received(void *arg, struct rte_mbuf **pkts, uint16_t n)
{
	const uint32_t *may = arg;

	for (uint16_t i = 0; i < n; i++) {
		offload_flat(pkts[i], &t.part);
		if ((offload_asked(&t.part) & ~*may) != 0)
			fail_msg(
				"%s: the driver is asked for 0x%x", t.what, offload_asked(&t.part));
		offload_finish(&t.got, &t.part);
	}
	rte_pktmbuf_free_bulk(pkts, n);
}

/* What the driver gets that takes `offloads` of what the SF was told it may deliver. */
static void
receive_fitted(struct rte_mbuf **pkts, uint16_t n, uint32_t told, uint32_t offloads)
{
	struct net_fit fit = {
		.offloads = offloads,
		.pool = offload_pool(),
		.emit = received,
		.arg = &offloads,
		.budget = UINT32_MAX,
	};

	for (uint16_t i = 0; i < n; i++) {
		offload_flat(pkts[i], &t.part);
		if ((offload_asked(&t.part) & ~told) != 0)
			fail_msg("%s: the SF delivers 0x%x", t.what, offload_asked(&t.part));
	}
	net_fit(&fit, pkts, n);
	assert_int_equal(fit.bad + fit.no_mbuf + fit.excess, 0);
}

static void
caps_text(char *buf, size_t len, uint32_t caps)
{
	static const char *const names[] = {"csum", "tso4", "tso6", "ecn", "uso4", "uso6"};
	size_t at = (size_t)snprintf(buf, len, "caps=none");

	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		if (caps & SF_CAP_RX_CSUM << i)
			at += (size_t)snprintf(buf + at, len - at, "+rx_%s", names[i]);
		if (caps & SF_CAP_TX_CSUM << i)
			at += (size_t)snprintf(buf + at, len - at, "+tx_%s", names[i]);
	}
}

static void
through_a_loop_of_any_capabilities_packets_stay_the_same(void **state)
{
	const struct sf_ops *ops = sf_driver_find("loop");
	struct sf_params p = params(1, 1500);
	struct rte_mbuf *pkts[VRING_BURST];
	char args[256], err[256];
	struct sf *sf;
	uint32_t seed = 1;
	uint16_t n;

	p.pool = offload_pool();
	p.args = args;
	for (uint32_t caps = 0; caps < 1u << 12; caps++, seed++) {
		const uint32_t told = seed * 2654435761u >> 7 & SF_CAP_RX;

		caps_text(args, sizeof(args), (caps & SF_CAP_RX) | (caps >> 6) << SF_CAP_TX_SHIFT);
		assert_int_equal(ops->create(&p, &sf, err, sizeof(err)), 0);
		assert_int_equal(sf->caps, (caps & SF_CAP_RX) | (caps >> 6) << SF_CAP_TX_SHIFT);
		assert_int_equal(ops->set_queues(sf, 1, told), 0);
		snprintf(t.what, sizeof(t.what), "packet %u, caps 0x%x, asked for 0x%x", seed,
			sf->caps, told);
		wanted(seed, &few);
		transmit_fitted(sf, seed);
		while ((n = ops->rx_burst(sf, 0, pkts, RTE_DIM(pkts))) > 0)
			receive_fitted(pkts, n, told & sf->caps, seed % 64);
		offload_same(&t.got, &t.want, t.what);
		ops->destroy(sf);
	}
	assert_int_equal(rte_mempool_avail_count(offload_pool()), OFFLOAD_MBUFS);
}

/* ---- TAP ---- */

/* A socket on the representor that gets all of a frame, its outer tag included. */
static int
far_side(struct sf *sf, uint16_t mtu)
{
	int fd = rep_open(sf, 1, 0), on = 1, bytes = 4 * 1024 * 1024;

	rep_ioctl(SIOCSIFMTU, mtu);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)), 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return fd;
}

/* The kernel takes the outer tag out of the frame. */
static void
tag_put_back(struct offload_pkt *p, const struct tpacket_auxdata *aux)
{
	const uint16_t tag[2] = {htons(aux->tp_vlan_tpid), htons(aux->tp_vlan_tci)};

	if ((aux->tp_status & TP_STATUS_VLAN_VALID) == 0)
		return;
	memmove(p->data + 16, p->data + 12, p->len - 12);
	memcpy(p->data + 12, tag, sizeof(tag));
	p->len += sizeof(tag);
	if ((p->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
		p->hdr.csum_start += sizeof(tag);
}

static void
far_recv(int fd, struct offload_pkt *p)
{
	struct iovec iov[2] = {{&p->hdr, sizeof(p->hdr)}, {p->data, sizeof(p->data)}};
	char ctl[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct msghdr msg = {
		.msg_iov = iov, .msg_iovlen = 2, .msg_control = ctl, .msg_controllen = sizeof(ctl)};
	struct tpacket_auxdata aux;
	ssize_t len;

	if (!wait_readable(fd))
		fail_msg("%s: %u of %u frames", t.what, t.got.n, t.want.n);
	len = recvmsg(fd, &msg, 0);
	assert_true(len > (ssize_t)sizeof(p->hdr));
	p->len = (uint32_t)len - (uint32_t)sizeof(p->hdr);
	assert_non_null(CMSG_FIRSTHDR(&msg));
	memcpy(&aux, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(aux));
	tag_put_back(p, &aux);
}

static void
through_a_tap_that_takes_some_packets_go_out_the_same(void **state)
{
	struct sf *sf = tap_new(1, 9000);
	const uint32_t all = SF_TX_OFFLOADS(sf->caps);
	int fd = far_side(sf, 9000);

	for (uint32_t seed = 1; seed <= 256; seed++) {
		sf->caps = (seed & all) << SF_CAP_TX_SHIFT;
		snprintf(t.what, sizeof(t.what), "packet %u, TX caps 0x%x", seed, seed & all);
		wanted(seed * 3, &large);
		transmit_fitted(sf, seed);
		while (t.got.n < t.want.n) {
			far_recv(fd, &t.part);
			offload_finish(&t.got, &t.part);
		}
		offload_same(&t.got, &t.want, t.what);
	}
	close(fd);
	tap_delete(sf);
	assert_int_equal(rte_mempool_avail_count(offload_pool()), OFFLOAD_MBUFS);
}

/*
 * Here the kernel does what the driver does not take: its segmentation is compared with the test's,
 * which ours is compared with above.
 */
static void
through_a_tap_that_delivers_some_packets_come_in_the_same(void **state)
{
	struct sf *sf = tap_new(1, 9000);
	int fd = far_side(sf, 9000);
	struct rte_mbuf *pkts[VRING_BURST];

	for (uint32_t seed = 1; seed <= 256; seed++) {
		const uint32_t told = seed & SF_CAP_RX;
		uint16_t n;

		assert_int_equal(tap.ops->set_queues(sf, 1, told), 0);
		snprintf(t.what, sizeof(t.what), "packet %u, asked for 0x%x", seed, told);
		wanted(seed * 5, &large);
		rep_send(fd, t.pkt.hdr.flags != 0 ? &t.pkt.hdr : &nothing, t.pkt.data, t.pkt.len);
		while (t.got.n < t.want.n) {
			if (!wait_readable(tap.ops->rx_fd(sf, 0)))
				fail_msg("%s: %u of %u frames", t.what, t.got.n, t.want.n);
			n = tap.ops->rx_burst(sf, 0, pkts, RTE_DIM(pkts));
			receive_fitted(pkts, n, told, seed >> 2 & NET_OFFLOAD_ALL);
		}
		offload_same(&t.got, &t.want, t.what);
	}
	close(fd);
	tap_delete(sf);
}

static int
test_sf_offload(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(through_a_loop_of_any_capabilities_packets_stay_the_same),
		cmocka_unit_test(through_a_tap_that_takes_some_packets_go_out_the_same),
		cmocka_unit_test(through_a_tap_that_delivers_some_packets_come_in_the_same),
	};

	return cmocka_run_group_tests_name(
		"sf_offload", tests, tap_group_setup, tap_group_teardown);
}

REGISTER_TEST_COMMAND(sf_offload, test_sf_offload)
