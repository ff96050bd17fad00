/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "ethdev": ports of DPDK's software PMDs, which need nothing outside of the process. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "sf/sf.h"
#include "test.h"
#include "vring/vring.h"

#define N_MBUFS	   4096u
#define PAIRS	   4u
#define REP	   "en3f0pf0sf2000"
#define RING	   "devargs=net_ring{sf_num}"
#define RING_DEPTH 1023u /* of net_ring: 1024 entries, one of them empty */

static const struct rte_ether_addr device_mac = {{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};

static struct {
	struct rte_mempool *pool;
	const struct sf_ops *ops;
} t;

static int
group_setup(void **state)
{
	(void)state;
	t.pool = rte_pktmbuf_pool_create(
		"test-sf-ethdev", N_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	t.ops = sf_driver_find("ethdev");
	return t.pool == NULL || t.ops == NULL ? -1 : 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	rte_mempool_free(t.pool);
	return 0;
}

static int
try_create_pairs(const char *args, uint32_t sf_num, uint16_t pairs, struct sf **sf, char *err,
	size_t err_len)
{
	const struct sf_params p = {
		.sf_num = sf_num,
		.rep = REP,
		.mac = device_mac,
		.mtu = 1500,
		.max_pairs = pairs,
		.pool = t.pool,
		.args = args,
	};

	*sf = NULL;
	err[0] = '\0';
	return t.ops->create(&p, sf, err, err_len);
}

static int
try_create(const char *args, uint32_t sf_num, struct sf **sf, char *err, size_t err_len)
{
	return try_create_pairs(args, sf_num, PAIRS, sf, err, err_len);
}

static struct sf *
create_pairs(const char *args, uint32_t sf_num, uint16_t pairs)
{
	char err[1024];
	struct sf *sf;
	const int ret = try_create_pairs(args, sf_num, pairs, &sf, err, sizeof(err));

	if (ret != 0)
		fail_msg("%s: %d: %s", args, ret, err);
	return sf;
}

static struct sf *
create_stopped(const char *args, uint32_t sf_num)
{
	return create_pairs(args, sf_num, PAIRS);
}

static struct sf *
create(const char *args)
{
	struct sf *sf = create_stopped(args, 2000);

	assert_int_equal(t.ops->set_queues(sf, sf->max_pairs, 0), 0);
	return sf;
}

/* Every mbuf and the port must be back. */
static void
destroy(struct sf *sf)
{
	t.ops->destroy(sf);
	assert_int_equal(rte_mempool_avail_count(t.pool), N_MBUFS);
	assert_int_equal(rte_eth_dev_count_total(), 0);
}

static struct rte_mbuf *
frame(uint16_t len, uint8_t fill)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(t.pool);

	assert_non_null(m);
	m->data_off = VRING_MBUF_DATA_OFF;
	assert_non_null(rte_pktmbuf_append(m, len));
	memset(rte_pktmbuf_mtod(m, void *), fill, len);
	memset(VRING_MBUF_HDR(m), 0, sizeof(struct virtio_net_hdr_mrg_rxbuf));
	return m;
}

static uint16_t
send_frames(struct sf *sf, uint16_t queue, uint16_t n)
{
	uint16_t sent = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = frame(64, (uint8_t)i);

		sent += t.ops->tx_burst(sf, queue, &m, 1);
	}
	return sent;
}

static uint64_t
tx_errors(struct sf *sf, uint16_t queue)
{
	struct sf_queue_stats stats;

	t.ops->queue_stats(sf, queue, &stats);
	return stats.tx_errors;
}

/* ---- packets ---- */

static void
what_net_ring_is_given_on_a_pair_comes_back_on_it_in_order(void **state)
{
	struct sf *sf = create(RING);
	struct rte_mbuf *got[8];

	(void)state;
	assert_int_equal(send_frames(sf, 1, 3), 3);
	assert_int_equal(t.ops->rx_burst(sf, 0, got, 8), 0);
	assert_int_equal(t.ops->rx_burst(sf, 1, got, 8), 3);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(got[i]->pkt_len, 64);
		assert_int_equal(*rte_pktmbuf_mtod(got[i], uint8_t *), i);
	}
	rte_pktmbuf_free_bulk(got, 3);
	destroy(sf);
}

static void
a_received_packet_has_a_header_that_says_nothing_before_its_data(void **state)
{
	static const struct virtio_net_hdr_mrg_rxbuf plain = {.num_buffers = 1};
	struct sf *sf = create(RING);
	struct rte_mbuf *m = frame(64, 7), *got;

	(void)state;
	assert_int_equal(t.ops->tx_burst(sf, 0, &m, 1), 1);
	memset(VRING_MBUF_HDR(m), 0xff, sizeof(plain));
	assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 1);
	assert_memory_equal(VRING_MBUF_HDR(got), &plain, sizeof(plain));
	rte_pktmbuf_free(got);
	destroy(sf);
}

static void
a_packet_without_room_for_a_header_is_dropped_and_counted(void **state)
{
	struct sf *sf = create(RING);
	struct rte_mbuf *m = frame(64, 0), *got;
	struct sf_queue_stats stats;

	(void)state;
	assert_int_equal(t.ops->tx_burst(sf, 0, &m, 1), 1);
	m->data_off = 4;
	assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 0);
	t.ops->queue_stats(sf, 0, &stats);
	assert_int_equal(stats.rx_errors, 1);
	destroy(sf);
}

static void
packets_that_the_port_has_no_room_for_are_freed_and_counted(void **state)
{
	struct sf *sf = create(RING);

	(void)state;
	assert_int_equal(send_frames(sf, 0, RING_DEPTH + 10), RING_DEPTH);
	assert_int_equal(tx_errors(sf, 0), 10);
	destroy(sf);
}

static void
a_checksum_that_the_port_cannot_complete_is_completed_before(void **state)
{
	struct sf *sf = create(RING);
	struct rte_mbuf *m = frame(64, 0), *got;
	struct virtio_net_hdr *hdr = &VRING_MBUF_HDR(m)->hdr;

	(void)state;
	*rte_pktmbuf_mtod_offset(m, uint8_t *, 42) = 0x12;
	*hdr = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	assert_int_equal(t.ops->tx_burst(sf, 0, &m, 1), 1);
	assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 1);
	assert_int_equal(
		*rte_pktmbuf_mtod_offset(got, rte_be16_t *, 40), rte_cpu_to_be_16(0xffff - 0x1200));
	rte_pktmbuf_free(got);
	destroy(sf);
}

static void
a_large_segment_that_was_not_asked_for_is_dropped_and_the_others_go(void **state)
{
	struct sf *sf = create(RING);
	struct rte_mbuf *m[3] = {frame(64, 0), frame(64, 1), frame(64, 2)}, *got[3];

	(void)state;
	assert_int_equal(sf->caps & (SF_CAP_TX_TSO4 | SF_CAP_TX_TSO6 | SF_CAP_TX_USO), 0);
	VRING_MBUF_HDR(m[1])->hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	assert_int_equal(t.ops->tx_burst(sf, 0, m, 3), 2);
	assert_int_equal(tx_errors(sf, 0), 1);
	assert_int_equal(t.ops->rx_burst(sf, 0, got, 3), 2);
	assert_int_equal(*rte_pktmbuf_mtod(got[1], uint8_t *), 2);
	rte_pktmbuf_free_bulk(got, 2);
	destroy(sf);
}

static void
net_null_swallows_and_generates(void **state)
{
	struct sf *sf = create("devargs=net_null{sf_num},size=60");
	struct rte_mbuf *got[VRING_BURST];

	(void)state;
	assert_int_equal(send_frames(sf, 0, 100), 100);
	assert_int_equal(t.ops->rx_burst(sf, 0, got, VRING_BURST), VRING_BURST);
	assert_int_equal(got[0]->pkt_len, 60);
	assert_int_equal(VRING_MBUF_HDR(got[0])->hdr.flags, 0);
	rte_pktmbuf_free_bulk(got, VRING_BURST);
	destroy(sf);
}

static void
pcap_header(FILE *f)
{
	/* magic, version 2.4, zone, accuracy, longest packet, Ethernet */
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, accuracy, snaplen, link;
	} head = {0xa1b2c3d4, 2, 4, 0, 0, 65535, 1};

	assert_int_equal(fwrite(&head, sizeof(head), 1, f), 1);
}

static void
net_pcap_reads_one_file_and_writes_another(void **state)
{
	char in[] = "/tmp/virtnet-test-in-XXXXXX", out[] = "/tmp/virtnet-test-out-XXXXXX";
	const uint32_t record[4] = {1, 0, 60, 60}; /* seconds, microseconds, length, again */
	uint8_t data[60], written[24 + 16 + 64];
	char args[256];
	struct rte_mbuf *got[4];
	struct sf *sf;
	FILE *f = fdopen(mkstemp(in), "w");

	(void)state;
	memset(data, 0x5a, sizeof(data));
	pcap_header(f);
	assert_int_equal(fwrite(record, sizeof(record), 1, f), 1);
	assert_int_equal(fwrite(data, sizeof(data), 1, f), 1);
	fclose(f);
	close(mkstemp(out));
	snprintf(args, sizeof(args), "devargs=net_pcap{sf_num},rx_pcap=%s,tx_pcap=%s", in, out);
	sf = create_pairs(args, 2000, 1);
	assert_int_equal(t.ops->set_queues(sf, 1, 0), 0);
	assert_int_equal(send_frames(sf, 0, 1), 1);
	assert_int_equal(t.ops->rx_burst(sf, 0, got, RTE_DIM(got)), 1);
	assert_int_equal(got[0]->pkt_len, sizeof(data));
	assert_memory_equal(rte_pktmbuf_mtod(got[0], void *), data, sizeof(data));
	rte_pktmbuf_free(got[0]);
	destroy(sf);
	f = fopen(out, "r");
	assert_int_equal(fread(written, 1, sizeof(written), f), sizeof(written));
	assert_int_equal(written[sizeof(written) - 1], 0); /* frame() of 0 */
	fclose(f);
	unlink(in);
	unlink(out);
}

/* ---- pairs ---- */

static void
without_pairs_nothing_passes(void **state)
{
	struct sf *sf = create_stopped("devargs=net_null{sf_num}", 2000);
	struct rte_mbuf *got;

	(void)state;
	assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 0);
	assert_int_equal(send_frames(sf, 0, 1), 0);
	assert_int_equal(tx_errors(sf, 0), 1);
	destroy(sf);
}

static void
the_port_has_as_many_queues_as_pairs_carry_packets(void **state)
{
	static const uint16_t pairs[] = {1, 4, 2, 3};
	struct sf *sf = create_stopped(RING, 2000);
	struct rte_eth_dev_info info;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(pairs); i++) {
		assert_int_equal(t.ops->set_queues(sf, pairs[i], 0), 0);
		assert_int_equal(rte_eth_dev_info_get((uint16_t)rte_eth_find_next(0), &info), 0);
		assert_int_equal(info.nb_rx_queues, pairs[i]);
		assert_int_equal(info.nb_tx_queues, pairs[i]);
		assert_int_equal(send_frames(sf, pairs[i] - 1, 1), 1);
		if (pairs[i] < PAIRS)
			assert_int_equal(send_frames(sf, pairs[i], 1), 0);
	}
	assert_int_equal(t.ops->set_queues(sf, PAIRS + 1, 0), -EINVAL);
	destroy(sf);
}

static void
packets_for_a_driver_that_went_are_dropped(void **state)
{
	struct sf *sf = create(RING);
	struct rte_mbuf *got;

	(void)state;
	assert_int_equal(send_frames(sf, 0, 5), 5);
	assert_int_equal(t.ops->set_queues(sf, 0, 0), 0);
	assert_int_equal(rte_mempool_avail_count(t.pool), N_MBUFS);
	assert_int_equal(t.ops->set_queues(sf, 1, 0), 0);
	assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 0);
	destroy(sf);
}

static void
a_pair_that_stays_keeps_its_packets(void **state)
{
	struct sf *sf = create(RING);
	struct rte_mbuf *got[2];

	(void)state;
	assert_int_equal(send_frames(sf, 0, 2), 2);
	assert_int_equal(t.ops->set_queues(sf, 1, 0), 0);
	assert_int_equal(t.ops->rx_burst(sf, 0, got, 2), 2);
	rte_pktmbuf_free_bulk(got, 2);
	destroy(sf);
}

static void
while_the_link_is_down_nothing_passes_and_nothing_is_kept(void **state)
{
	struct sf *sf = create(RING);
	struct rte_mbuf *got;

	(void)state;
	assert_int_equal(send_frames(sf, 0, 2), 2);
	assert_int_equal(t.ops->set_link(sf, false), 0);
	assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 0);
	assert_int_equal(send_frames(sf, 0, 1), 0);
	assert_int_equal(t.ops->set_queues(sf, 2, 0), 0); /* does not bring it up */
	assert_int_equal(send_frames(sf, 0, 1), 0);
	assert_int_equal(t.ops->set_link(sf, true), 0);
	assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 0);
	assert_int_equal(send_frames(sf, 0, 1), 1);
	destroy(sf);
}

struct poller {
	struct sf *sf;
	_Atomic bool stop;
	_Atomic unsigned int got;
};

/* A worker: what it receives it sends again. */
static void *
poll_pair_0(void *arg)
{
	struct poller *p = arg;
	struct rte_mbuf *pkts[VRING_BURST];

	while (!atomic_load(&p->stop)) {
		const uint16_t n = t.ops->rx_burst(p->sf, 0, pkts, VRING_BURST);

		if (n > 0)
			t.ops->tx_burst(p->sf, 0, pkts, n);
		atomic_fetch_add(&p->got, n);
	}
	return NULL;
}

static void
pairs_come_and_go_while_a_worker_polls(void **state)
{
	struct poller p = {.sf = create("devargs=net_null{sf_num}")};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, poll_pair_0, &p), 0);
	for (unsigned int i = 0; i < 200; i++) {
		const unsigned int before = atomic_load(&p.got);

		assert_int_equal(t.ops->set_queues(p.sf, (uint16_t)(i % (PAIRS + 1)), 0), 0);
		while (i % (PAIRS + 1) > 0 && atomic_load(&p.got) == before)
			sched_yield();
	}
	atomic_store(&p.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	destroy(p.sf);
}

static void
software_pmds_must_be_polled(void **state)
{
	struct sf *sf = create(RING);

	(void)state;
	assert_int_equal(t.ops->rx_fd(sf, 0), -1);
	destroy(sf);
}

/* The other end of a net_virtio_user: DPDK's own vhost-user server, in this process. */
static uint16_t
vhost_start(const char *path)
{
	const struct rte_eth_conf conf = {0};
	char devargs[128];
	uint16_t port;

	snprintf(devargs, sizeof(devargs), "net_vhost0,iface=%s", path);
	assert_int_equal(rte_dev_probe(devargs), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name("net_vhost0", &port), 0);
	assert_int_equal(rte_eth_dev_configure(port, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(port, 0, 128, 0, NULL, t.pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(port, 0, 128, 0, NULL), 0);
	assert_int_equal(rte_eth_dev_start(port), 0);
	return port;
}

static void
vhost_stop(uint16_t port)
{
	struct rte_eth_dev_info info;

	assert_int_equal(rte_eth_dev_info_get(port, &info), 0);
	assert_int_equal(rte_eth_dev_stop(port), 0);
	assert_int_equal(rte_eth_dev_close(port), 0);
	assert_int_equal(rte_dev_remove(info.device), 0);
}

static bool
readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

/* Whoever waits looks once more after rx_wait(): here that look finds nothing. */
static void
interrupts_of_a_port_end_the_wait_for_packets(void **state)
{
	char dir[] = "/tmp/virtnet-test-XXXXXX", path[64], args[160];
	struct rte_mbuf *m, *got;
	uint16_t vhost;
	struct sf *sf;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/vhost", mkdtemp(dir));
	vhost = vhost_start(path);
	snprintf(args, sizeof(args), "devargs=net_virtio_user{sf_num},queues={queues},path=%s",
		path);
	sf = create_pairs(args, 2000, 1);
	assert_int_equal(t.ops->rx_fd(sf, 0), -1); /* stopped */
	assert_int_equal(t.ops->set_queues(sf, 1, 0), 0);
	fd = t.ops->rx_fd(sf, 0);
	assert_true(fd >= 0);
	for (unsigned int i = 0; i < 3; i++) {
		assert_true(t.ops->rx_wait(sf, 0));
		assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 0);
		assert_false(readable(fd, 0));
		m = frame(64, (uint8_t)i);
		while (rte_eth_tx_burst(vhost, 0, &m, 1) == 0)
			sched_yield(); /* its queues are enabled by messages */
		assert_true(readable(fd, 10000));
		assert_int_equal(t.ops->rx_burst(sf, 0, &got, 1), 1);
		assert_int_equal(*rte_pktmbuf_mtod(got, uint8_t *), i);
		rte_pktmbuf_free(got);
	}
	t.ops->destroy(sf);
	vhost_stop(vhost);
	rmdir(dir);
	assert_int_equal(rte_mempool_avail_count(t.pool), N_MBUFS);
}

static void
who_is_told_to_poll_has_no_descriptor_to_wait_for(void **state)
{
	char dir[] = "/tmp/virtnet-test-XXXXXX", path[64], args[160];
	uint16_t vhost;
	struct sf *sf;

	(void)state;
	snprintf(path, sizeof(path), "%s/vhost", mkdtemp(dir));
	vhost = vhost_start(path);
	snprintf(args, sizeof(args), "poll=1,devargs=net_virtio_user{sf_num},path=%s", path);
	sf = create_pairs(args, 2000, 1);
	assert_int_equal(t.ops->set_queues(sf, 1, 0), 0);
	assert_int_equal(t.ops->rx_fd(sf, 0), -1);
	t.ops->destroy(sf);
	vhost_stop(vhost);
	rmdir(dir);
}

static void
mtu_is_limited_by_what_the_port_takes(void **state)
{
	struct sf *sf = create(RING);

	(void)state;
	assert_int_equal(t.ops->set_mtu(sf, 9216), 0);
	assert_int_equal(t.ops->set_mtu(sf, 68), 0);
	assert_int_equal(t.ops->set_mtu(sf, 67), -EINVAL);
	assert_int_equal(t.ops->set_mtu(sf, 9217), -EINVAL);
	assert_int_equal(send_frames(sf, 0, 1), 1);
	destroy(sf);
}

/* ---- the port ---- */

static void
a_name_can_be_used_again_when_its_sf_has_gone(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3; i++)
		destroy(create(RING));
}

static void
two_sfs_cannot_have_the_same_port(void **state)
{
	struct sf *sf = create("devargs=net_null0"), *second;
	char err[1024];

	(void)state;
	assert_int_equal(try_create("devargs=net_null0", 2001, &second, err, sizeof(err)), -EEXIST);
	assert_non_null(strstr(err, "{sf_num}"));
	destroy(sf);
}

static void
a_port_that_eal_was_given_is_taken_as_it_is(void **state)
{
	(void)state;
	assert_int_equal(rte_dev_probe("net_ring77"), 0);
	destroy(create("devargs=net_ring77"));
}

static void
one_port_too_many_for_this_dpdk_is_refused_with_the_way_out(void **state)
{
	struct sf *sf[RTE_MAX_ETHPORTS], *more;
	char err[1024], limit[16];

	(void)state;
	for (uint32_t i = 0; i < RTE_MAX_ETHPORTS; i++)
		sf[i] = create_stopped("devargs=net_null{sf_num}", 2000 + i);
	assert_int_equal(
		try_create("devargs=net_null{sf_num}", 3000, &more, err, sizeof(err)), -ENOSPC);
	snprintf(limit, sizeof(limit), " %u ports", RTE_MAX_ETHPORTS);
	assert_non_null(strstr(err, limit));
	assert_non_null(strstr(err, "-Dmax_ethports="));
	for (uint32_t i = 0; i < RTE_MAX_ETHPORTS; i++)
		t.ops->destroy(sf[i]);
	assert_int_equal(rte_eth_dev_count_total(), 0);
}

static void
a_port_with_fewer_queues_than_the_device_is_refused(void **state)
{
	char in[] = "/tmp/virtnet-test-in-XXXXXX", args[256], err[1024];
	struct sf *sf;
	FILE *f = fdopen(mkstemp(in), "w");

	(void)state;
	pcap_header(f);
	fclose(f);
	snprintf(args, sizeof(args), "devargs=net_pcap{sf_num},rx_pcap=%s", in);
	assert_int_equal(try_create(args, 2000, &sf, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, ": has 1 queue pairs, too few for a device with 4"));
	assert_int_equal(rte_eth_dev_count_total(), 0);
	unlink(in);
}

static void
an_interface_that_net_tap_would_join_is_refused(void **state)
{
	struct sf *sf;
	char err[1024];

	(void)state;
	assert_int_equal(
		try_create("devargs=net_tap{sf_num},iface=lo", 2000, &sf, err, sizeof(err)),
		-EEXIST);
	assert_string_equal(err, "lo: an interface of this name exists already");
}

/* A socket belongs to the process that has called listen(): a child of ours that has ended. */
static void
listen_as_another(int fd)
{
	const pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(listen(fd, 1) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
a_socket_of_another_process_is_not_for_net_memif_but_a_left_one_is(void **state)
{
	char dir[] = "/tmp/virtnet-test-XXXXXX", args[256], err[1024];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	struct sf *sf;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/memif", mkdtemp(dir));
	snprintf(args, sizeof(args),
		"devargs=net_memif{sf_num},role=server,socket-abstract=no,socket=%s",
		address.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	listen_as_another(fd);
	assert_int_equal(try_create_pairs(args, 2000, 1, &sf, err, sizeof(err)), -EEXIST);
	assert_non_null(strstr(err, "/memif: process "));
	close(fd);
	destroy(create_pairs(args, 2000, 1));
	unlink(address.sun_path);
	rmdir(dir);
}

static void
what_no_pmd_takes_is_named(void **state)
{
	static const struct {
		const char *args, *says;
	} bad[] = {
		{"devargs=net_none{sf_num}", "net_none2000"},
		{"devargs=net_pcap{sf_num},rx_pcap=/nonexistent",
			"net_pcap2000,rx_pcap=/nonexistent"},
		{"devargs=net_af_packet{sf_num},iface={rep}", "iface=" REP},
	};
	struct sf *sf;
	char err[1024];

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		assert_true(try_create(bad[i].args, 2000, &sf, err, sizeof(err)) < 0);
		assert_non_null(strstr(err, bad[i].says));
		assert_int_equal(rte_eth_dev_count_total(), 0);
	}
}

/* ---- platform.sf_args ---- */

static void
placeholders_are_filled_in(void **state)
{
	struct sf *sf;
	char err[1024];

	(void)state;
	/* net_pcap refuses it; the message has the text. */
	assert_true(
		try_create("rx_desc=64,devargs=net_pcap{sf_num},rx_pcap=/-/{rep}/{mac}/{queues}",
			2345, &sf, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "net_pcap2345,rx_pcap=/-/" REP "/52:54:00:12:34:56/4: "));
}

static void
bad_arguments_are_named_with_what_is_allowed(void **state)
{
	static const struct {
		const char *args, *says;
	} bad[] = {
		{NULL, "needs devargs="},
		{"", "needs devargs="},
		{"devargs=", "needs devargs="},
		{"poll=1", "needs devargs="},
		{"mydevargs=net_null0", "needs devargs="},
		{"ipv6=1,devargs=net_null0", "ipv6 is unknown to ethdev; allowed: rx_desc"},
		{"rx_desc=0,devargs=net_null0", "rx_desc: '0' is not in 1..32768"},
		{"tx_desc=1k,devargs=net_null0", "tx_desc: '1k' is not in 1..32768"},
		{"poll=2,devargs=net_null0", "poll: '2' is not in 0..1"},
		{"poll,devargs=net_null0", "poll: '' is not in 0..1"},
		{"devargs=net_null{sf}", "'{sf}' is no placeholder; allowed: {sf_num}"},
		{"devargs=net_null{sf_num", "'{sf_num' is no placeholder"},
		{"devargs=net_null0}", "'}' is no placeholder"},
	};
	struct sf *sf;
	char err[1024];

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(bad); i++) {
		assert_int_equal(try_create(bad[i].args, 2000, &sf, err, sizeof(err)), -EINVAL);
		if (strstr(err, bad[i].says) == NULL)
			fail_msg("%s: %s", bad[i].args, err);
	}
}

static int
test_sf_ethdev(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_net_ring_is_given_on_a_pair_comes_back_on_it_in_order),
		cmocka_unit_test(a_received_packet_has_a_header_that_says_nothing_before_its_data),
		cmocka_unit_test(a_packet_without_room_for_a_header_is_dropped_and_counted),
		cmocka_unit_test(packets_that_the_port_has_no_room_for_are_freed_and_counted),
		cmocka_unit_test(a_checksum_that_the_port_cannot_complete_is_completed_before),
		cmocka_unit_test(
			a_large_segment_that_was_not_asked_for_is_dropped_and_the_others_go),
		cmocka_unit_test(net_null_swallows_and_generates),
		cmocka_unit_test(net_pcap_reads_one_file_and_writes_another),
		cmocka_unit_test(without_pairs_nothing_passes),
		cmocka_unit_test(the_port_has_as_many_queues_as_pairs_carry_packets),
		cmocka_unit_test(packets_for_a_driver_that_went_are_dropped),
		cmocka_unit_test(a_pair_that_stays_keeps_its_packets),
		cmocka_unit_test(while_the_link_is_down_nothing_passes_and_nothing_is_kept),
		cmocka_unit_test(pairs_come_and_go_while_a_worker_polls),
		cmocka_unit_test(software_pmds_must_be_polled),
		cmocka_unit_test(interrupts_of_a_port_end_the_wait_for_packets),
		cmocka_unit_test(who_is_told_to_poll_has_no_descriptor_to_wait_for),
		cmocka_unit_test(mtu_is_limited_by_what_the_port_takes),
		cmocka_unit_test(a_name_can_be_used_again_when_its_sf_has_gone),
		cmocka_unit_test(two_sfs_cannot_have_the_same_port),
		cmocka_unit_test(a_port_that_eal_was_given_is_taken_as_it_is),
		cmocka_unit_test(one_port_too_many_for_this_dpdk_is_refused_with_the_way_out),
		cmocka_unit_test(a_port_with_fewer_queues_than_the_device_is_refused),
		cmocka_unit_test(an_interface_that_net_tap_would_join_is_refused),
		cmocka_unit_test(
			a_socket_of_another_process_is_not_for_net_memif_but_a_left_one_is),
		cmocka_unit_test(what_no_pmd_takes_is_named),
		cmocka_unit_test(placeholders_are_filled_in),
		cmocka_unit_test(bad_arguments_are_named_with_what_is_allowed),
	};

	return cmocka_run_group_tests_name("sf_ethdev", tests, group_setup, group_teardown);
}

REGISTER_TEST_COMMAND(sf_ethdev, test_sf_ethdev)
