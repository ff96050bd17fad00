/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A connection to DPDK's vhost library in this process, as small as it can be. */

#include "vhost_peer.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_log.h>
#include <rte_vhost.h>

#include "test.h"

/* Requests of the vhost-user protocol, and the header's flags. */
enum {
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};
#define FLAGS_VERSION	 0x1u
#define FLAGS_NEED_REPLY 0x8u
#define F_PROTOCOL	 (UINT64_C(1) << 30)
#define PROTOCOL_ACK	 (UINT64_C(1) << 3)
#define WAIT_S		 10

struct msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail, log;
		} addr;
		struct {
			uint32_t n, padding;
			struct {
				uint64_t iova, len, user, offset;
			} region[VHOST_PEER_REGIONS];
		} memory;
	} u;
} __attribute__((packed));
#define MSG_HEADER 12u

struct vhost_peer {
	int fd;
	int vid;
	int kick[2], call[2];
};

/* The library calls back without an argument of ours: one device at a time. */
static struct {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	sem_t up, down;
	int vid;
} server;

static int
device_up(int vid)
{
	server.vid = vid;
	sem_post(&server.up);
	return 0;
}

static void
device_down(int vid)
{
	sem_post(&server.down);
}

static const struct rte_vhost_device_ops server_ops = {
	.new_device = device_up,
	.destroy_device = device_down,
};

int
vhost_peer_end(void **state)
{
	if (server.path[0] != '\0')
		rte_vhost_driver_unregister(server.path);
	server.path[0] = '\0';
	return 0;
}

static void
server_start(void)
{
	if (server.path[0] != '\0')
		return;
	sem_init(&server.up, 0, 0);
	sem_init(&server.down, 0, 0);
	/* It reports each message, and each malformed chain. */
	rte_log_set_level_pattern("lib.vhost.*", RTE_LOG_EMERG);
	snprintf(server.path, sizeof(server.path), "/tmp/virtnet-test-vhost-%d.sock", getpid());
	assert_int_equal(
		rte_vhost_driver_register(server.path, RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS), 0);
	assert_int_equal(rte_vhost_driver_callback_register(server.path, &server_ops), 0);
	assert_int_equal(rte_vhost_driver_start(server.path), 0);
}

static void
server_wait(sem_t *sem)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += WAIT_S;
	assert_int_equal(sem_timedwait(sem, &t), 0);
}

static void
request(struct vhost_peer *peer, uint32_t code, struct msg *m, uint32_t size, const int *fds,
	uint32_t n_fds)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(VHOST_PEER_REGIONS * sizeof(int))];
	} control;
	struct iovec iov = {m, MSG_HEADER + size};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	const bool acked =
		code != SET_FEATURES && code != SET_OWNER && code != SET_PROTOCOL_FEATURES;

	m->request = code;
	m->flags = FLAGS_VERSION | (acked ? FLAGS_NEED_REPLY : 0);
	m->size = size;
	if (n_fds != 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		control.hdr = (struct cmsghdr){.cmsg_len = CMSG_LEN(n_fds * sizeof(int)),
			.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.hdr), fds, n_fds * sizeof(int));
	}
	assert_int_equal(sendmsg(peer->fd, &mh, MSG_NOSIGNAL), MSG_HEADER + size);
	if (!acked)
		return;
	assert_int_equal(recv(peer->fd, m, MSG_HEADER + sizeof(uint64_t), MSG_WAITALL),
		MSG_HEADER + sizeof(uint64_t));
	assert_int_equal(m->u.u64, 0);
}

static void
request_u64(struct vhost_peer *peer, uint32_t code, uint64_t value, const int *fd)
{
	struct msg m = {.u.u64 = value};

	request(peer, code, &m, sizeof(value), fd, fd != NULL ? 1 : 0);
}

static void
request_state(struct vhost_peer *peer, uint32_t code, uint32_t index, uint32_t num)
{
	struct msg m = {.u.state = {index, num}};

	request(peer, code, &m, sizeof(m.u.state), NULL, 0);
}

/* For the library, addresses of the "hypervisor" are those of the guest. */
static void
memory_set(struct vhost_peer *peer, const struct vhost_peer_conf *conf)
{
	struct msg m = {.u.memory.n = VHOST_PEER_REGIONS};
	int fds[VHOST_PEER_REGIONS];

	for (uint32_t i = 0; i < VHOST_PEER_REGIONS; i++) {
		const struct vhost_peer_region *r = &conf->region[i];

		m.u.memory.region[i].iova = r->iova;
		m.u.memory.region[i].user = r->iova;
		m.u.memory.region[i].len = r->len;
		m.u.memory.region[i].offset = r->offset;
		fds[i] = r->fd;
	}
	request(peer, SET_MEM_TABLE, &m, sizeof(m.u.memory), fds, VHOST_PEER_REGIONS);
}

static void
ring_set(struct vhost_peer *peer, uint32_t index, const struct vring_driver *vd)
{
	struct msg m = {.u.addr = {.index = index,
				.desc = vd->desc_iova,
				.avail = vd->driver_iova,
				.used = vd->device_iova}};

	peer->kick[index] = eventfd(0, EFD_NONBLOCK);
	peer->call[index] = eventfd(0, EFD_NONBLOCK);
	request_state(peer, SET_VRING_NUM, index, vd->size);
	/* packed: place 0 with the wrap counter set */
	request_state(peer, SET_VRING_BASE, index, vd->packed ? 0x8000 : 0);
	request(peer, SET_VRING_ADDR, &m, sizeof(m.u.addr), NULL, 0);
	request_u64(peer, SET_VRING_KICK, index, &peer->kick[index]);
	request_u64(peer, SET_VRING_CALL, index, &peer->call[index]);
}

struct vhost_peer *
vhost_peer_start(const struct vhost_peer_conf *conf)
{
	struct vhost_peer *peer = calloc(1, sizeof(*peer));
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct msg m = {0};

	assert_non_null(peer);
	server_start();
	memcpy(un.sun_path, server.path, sizeof(un.sun_path));
	peer->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(peer->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	request(peer, SET_OWNER, &m, 0, NULL, 0);
	request_u64(peer, SET_FEATURES, conf->features | F_PROTOCOL, NULL);
	request_u64(peer, SET_PROTOCOL_FEATURES, PROTOCOL_ACK, NULL);
	memory_set(peer, conf);
	for (uint32_t i = 0; i < 2; i++)
		ring_set(peer, i, conf->ring[i]);
	for (uint32_t i = 0; i < 2; i++)
		request_state(peer, SET_VRING_ENABLE, i, 1);
	server_wait(&server.up);
	peer->vid = server.vid;
	for (uint16_t i = 0; i < 2; i++)
		vhost_peer_interrupted(peer, i);
	return peer;
}

void
vhost_peer_stop(struct vhost_peer *peer)
{
	if (peer == NULL)
		return;
	close(peer->fd);
	server_wait(&server.down);
	for (uint32_t i = 0; i < 2; i++) {
		close(peer->kick[i]);
		close(peer->call[i]);
	}
	free(peer);
}

uint16_t
vhost_peer_dequeue(
	struct vhost_peer *peer, struct rte_mempool *mp, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_vhost_dequeue_burst(peer->vid, 1, mp, pkts, n);
}

uint16_t
vhost_peer_enqueue(struct vhost_peer *peer, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_vhost_enqueue_burst(peer->vid, 0, pkts, n);
}

bool
vhost_peer_interrupted(struct vhost_peer *peer, uint16_t ring)
{
	uint64_t count;

	return read(peer->call[ring], &count, sizeof(count)) == sizeof(count);
}
