/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Random clients against front and device side of vhost-user together. Most of what they send is
 * nearly right, so that they get far. Whatever it is, the server must neither crash nor hang nor
 * leak, and what the device's operations are promised must hold: they check it. Now and then the
 * device side is replaced by a successor. The seed is fixed: a failure can be repeated.
 */

#include <time.h>

#include <linux/virtio_config.h>

#include "sock_fixture.h"
#include "vhost_user/vhost_user.h"

#define SEED	  20260102u
#define ROUNDS	  4000
#define SECONDS	  3
#define PAIRS	  3u
#define RINGS	  (2 * PAIRS)
#define FILES	  3u
#define FILE_SIZE 0x10000u
#define MAX_SIZE  64u
#define OFFERED	  (1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_PACKED)

/* The device as its operations left it. */
struct model {
	struct vhost_user_mem_region slot[VHOST_USER_SLOTS_MAX];
	uint64_t features;
	uint32_t started, placed;
	bool logging;
	uint64_t log_size;
};

struct bench {
	struct place place;
	struct mailbox *mb;
	struct vhost_user_state *state;
	struct sock_front *front;
	struct vhost_user_device *dev;
	struct model model;
	unsigned int seed;
	unsigned int connected, disconnected, starts, stops, adds;
	int files[FILES];
	int event;
};

static uint32_t
rnd(struct bench *b, uint32_t n)
{
	return (uint32_t)rand_r(&b->seed) % n;
}

/* An operation that has had its effect may still be late. */
static int
late(struct bench *b)
{
	return rnd(b, 6) == 0 ? -EINPROGRESS : 0;
}

static bool
fails(struct bench *b)
{
	return rnd(b, 20) == 0;
}

static uint64_t
op_get_features(void *ctx)
{
	return OFFERED;
}

static int
op_set_features(void *ctx, uint64_t features)
{
	struct bench *b = ctx;

	assert_int_equal(features & ~OFFERED, 0);
	assert_int_equal(b->model.started, 0);
	if (fails(b))
		return -EINVAL;
	b->model.features = features;
	return late(b);
}

static int
op_mem_add(void *ctx, unsigned int slot, const struct vhost_user_mem_region *r, int fd)
{
	struct bench *b = ctx;
	struct stat st;

	assert_true(slot < VHOST_USER_SLOTS_MAX);
	assert_int_equal(b->model.slot[slot].size, 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true(r->size > 0 && r->mmap_offset <= (uint64_t)st.st_size &&
		    r->size <= (uint64_t)st.st_size - r->mmap_offset);
	assert_true(r->guest_addr + r->size > r->guest_addr);
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++) {
		const struct vhost_user_mem_region *s = &b->model.slot[i];

		assert_true(s->size == 0 || s->guest_addr + s->size <= r->guest_addr ||
			    r->guest_addr + r->size <= s->guest_addr);
	}
	close(fd);
	if (fails(b))
		return -ENOMEM;
	b->model.slot[slot] = *r;
	b->adds++;
	return 0;
}

static int
op_mem_remove(void *ctx, unsigned int slot, const struct vhost_user_mem_region *r)
{
	struct bench *b = ctx;

	assert_memory_equal(&b->model.slot[slot], r, sizeof(*r));
	if (fails(b))
		return -EIO;
	memset(&b->model.slot[slot], 0, sizeof(*r));
	return 0;
}

static int
op_mem_commit(void *ctx)
{
	return late(ctx);
}

static int
op_ring_set_base(void *ctx, uint16_t queue, uint32_t base)
{
	struct bench *b = ctx;

	assert_true(queue < RINGS);
	assert_int_equal(b->model.started & 1u << queue, 0);
	b->model.placed |= 1u << queue;
	return 0;
}

static uint32_t
op_ring_get_base(void *ctx, uint16_t queue)
{
	assert_int_equal(((struct bench *)ctx)->model.started & 1u << queue, 0);
	return queue;
}

static void
assert_in_memory(const struct bench *b, uint64_t addr, uint64_t len)
{
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++) {
		const struct vhost_user_mem_region *s = &b->model.slot[i];

		if (addr >= s->guest_addr && addr - s->guest_addr < s->size &&
			len <= s->size - (addr - s->guest_addr))
			return;
	}
	fail_msg("ring outside of memory");
}

static int
op_ring_start(void *ctx, uint16_t queue, const struct vhost_user_ring *ring)
{
	struct bench *b = ctx;
	const bool packed = (b->model.features >> VIRTIO_F_RING_PACKED) & 1;
	const uint64_t n = ring->size;

	assert_true(queue < RINGS);
	assert_int_equal(b->model.started & 1u << queue, 0);
	assert_true(b->model.placed & 1u << queue);
	assert_true(n > 0 && n <= MAX_SIZE && (packed || (n & (n - 1)) == 0));
	assert_in_memory(b, ring->desc, 16 * n);
	assert_in_memory(b, ring->driver, packed ? 4 : 6 + 2 * n);
	assert_in_memory(b, ring->device, packed ? 4 : 6 + 8 * n);
	if (fails(b))
		return -EFAULT;
	b->model.started |= 1u << queue;
	b->starts++;
	return late(b);
}

static int
op_ring_stop(void *ctx, uint16_t queue)
{
	struct bench *b = ctx;

	assert_true(b->model.started & 1u << queue);
	b->model.started &= ~(1u << queue);
	b->stops++;
	return late(b);
}

static int
op_ring_enable(void *ctx, uint16_t queue, bool on)
{
	struct bench *b = ctx;

	assert_true(b->model.started & 1u << queue);
	return fails(b) ? -EIO : late(b);
}

static int
op_ring_fd(void *ctx, uint16_t queue, enum vhost_user_ring_fd kind, int fd)
{
	assert_true(queue < RINGS);
	if (fd >= 0)
		close(fd);
	return 0;
}

static int
op_log_base(void *ctx, uint64_t size, uint64_t offset, int fd)
{
	struct bench *b = ctx;

	assert_true(size > 0 && offset <= FILE_SIZE && size <= FILE_SIZE - offset);
	close(fd);
	if (fails(b))
		return -ENOMEM;
	b->model.log_size = size;
	return 0;
}

static int
op_logging(void *ctx, bool on)
{
	struct bench *b = ctx;

	assert_true(!on || b->model.log_size > 0);
	b->model.logging = on;
	return late(b);
}

static int
op_ring_log(void *ctx, uint16_t queue, bool log_used, uint64_t log)
{
	struct bench *b = ctx;

	assert_true(b->model.started & 1u << queue);
	return late(b);
}

static int
op_set_status(void *ctx, uint8_t status)
{
	struct bench *b = ctx;

	if (status == 0)
		b->model.started = b->model.placed = 0;
	return late(b);
}

static uint8_t
op_get_status(void *ctx)
{
	return 0x0f;
}

static int
op_reset(void *ctx)
{
	return op_set_status(ctx, 0);
}

static int
op_config_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
	assert_true(off + len <= VHOST_USER_CONFIG_MAX);
	memset(buf, 0xff, len);
	return fails(ctx) ? -EIO : 0;
}

static int
op_config_write(void *ctx, uint32_t off, const void *buf, uint32_t len, bool migration)
{
	assert_true(off + len <= VHOST_USER_CONFIG_MAX);
	return fails(ctx) ? -EIO : 0;
}

static int
op_set_mtu(void *ctx, uint16_t mtu)
{
	return mtu >= 68 && !fails(ctx) ? 0 : -EINVAL;
}

static int
op_send_rarp(void *ctx, const uint8_t mac[6])
{
	return late(ctx);
}

static int
op_take_fd(void *ctx, int fd)
{
	close(fd);
	return 0;
}

static const struct vhost_user_device_ops dev_ops = {
	.get_features = op_get_features,
	.set_features = op_set_features,
	.mem_add = op_mem_add,
	.mem_remove = op_mem_remove,
	.mem_commit = op_mem_commit,
	.ring_set_base = op_ring_set_base,
	.ring_get_base = op_ring_get_base,
	.ring_start = op_ring_start,
	.ring_stop = op_ring_stop,
	.ring_enable = op_ring_enable,
	.ring_fd = op_ring_fd,
	.log_base = op_log_base,
	.logging = op_logging,
	.ring_log = op_ring_log,
	.set_status = op_set_status,
	.get_status = op_get_status,
	.reset = op_reset,
	.config_read = op_config_read,
	.config_write = op_config_write,
	.set_mtu = op_set_mtu,
	.send_rarp = op_send_rarp,
	.backend_channel = op_take_fd,
	.log_fd = op_take_fd,
};

/* ---- server */

static void
on_request(void *ctx)
{
	struct bench *b = ctx;

	if (vhost_user_device_handle(b->dev, sock_front_request_fds(b->front)))
		sock_front_reply(b->front);
}

static void
on_connected(void *ctx)
{
	((struct bench *)ctx)->connected++;
}

static void
on_disconnected(void *ctx)
{
	struct bench *b = ctx;

	b->disconnected++;
	vhost_user_device_reset_connection(b->dev);
	memset(&b->model, 0, sizeof(b->model));
	sock_front_gone_done(b->front);
}

static const struct sock_front_ops front_ops = {
	.request = on_request, .connected = on_connected, .disconnected = on_disconnected};

static void
device_side(struct bench *b, bool fresh)
{
	const struct vhost_user_device_conf conf = {
		.pairs = PAIRS,
		.max_queue_size = MAX_SIZE,
		.ops = &dev_ops,
		.ctx = b,
		.mailbox = b->mb,
		.state = b->state,
		.fresh = fresh,
	};

	vhost_user_device_destroy(b->dev);
	assert_int_equal(vhost_user_device_create(&conf, &b->dev), 0);
}

static void
bench_start(struct bench *b)
{
	struct sock_front_conf front = {.gid = (gid_t)-1, .ops = &front_ops, .ctx = b};

	place_make(&b->place);
	b->seed = SEED;
	b->mb = mailbox_new();
	b->state = calloc(1, sizeof(*b->state));
	device_side(b, true);
	front.mailbox = b->mb;
	front.base = b->place.base;
	front.path = b->place.path;
	assert_int_equal(vhost_user_front_create(&front, &b->front), 0);
	for (unsigned int i = 0; i < FILES; i++) {
		b->files[i] = memfd("ram");
		assert_int_equal(ftruncate(b->files[i], FILE_SIZE), 0);
	}
	b->event = eventfd(0, EFD_CLOEXEC);
}

static void
bench_stop(struct bench *b)
{
	sock_front_disconnect(b->front);
	sock_front_destroy(b->front);
	vhost_user_device_destroy(b->dev);
	close_all(FILES, b->files);
	close(b->event);
	place_remove(&b->place);
	free(b->state);
	free(b->mb);
}

/* Operations that are late complete at some time. */
static void
settle(struct bench *b)
{
	pump(b->place.base);
	while (vhost_user_device_pending(b->dev)) {
		if (vhost_user_device_complete(b->dev, 0))
			sock_front_reply(b->front);
		pump(b->place.base);
	}
}

/* ---- clients */

/* Nearly right: one of a few regions that fit, or do not. */
static struct vhost_user_mem_region
some_region(struct bench *b)
{
	const uint32_t i = rnd(b, 5);

	return (struct vhost_user_mem_region){
		.guest_addr = i * FILE_SIZE + (rnd(b, 10) == 0 ? 0x800 : 0),
		.size = rnd(b, 10) == 0 ? FILE_SIZE + 1 : FILE_SIZE,
		.user_addr = 0x7000000000 + i * 2 * FILE_SIZE,
		.mmap_offset = rnd(b, 10) == 0 ? 0x1000 : 0,
	};
}

static uint32_t
some_ring(struct bench *b)
{
	return rnd(b, 4) == 0 ? rnd(b, RINGS) : 1;
}

static uint64_t
some_address(struct bench *b)
{
	return 0x7000000000 + rnd(b, 3) * 2 * FILE_SIZE + rnd(b, 0x1080) * 0x10;
}

struct body {
	uint32_t len;
	uint32_t nfds;
	union {
		uint64_t number;
		struct vhost_user_vring_state state;
		struct vhost_user_vring_addr addr;
		struct vhost_user_mem_table table;
		struct vhost_user_mem_single single;
		struct vhost_user_log log;
		struct vhost_user_config config;
		uint8_t bytes[512];
	};
};

static void
body_table(struct bench *b, struct body *m)
{
	m->table.n = m->nfds = rnd(b, 4);
	for (unsigned int i = 0; i < m->table.n; i++)
		m->table.region[i] = some_region(b);
	m->len = 8 + m->table.n * sizeof(m->table.region[0]);
}

static void
body_number(struct bench *b, uint32_t request, struct body *m)
{
	static const uint64_t features = OFFERED | 1ull << VHOST_USER_F_PROTOCOL_FEATURES;

	m->len = 8;
	switch (request) {
	case VHOST_USER_SET_FEATURES:
		m->number = features ^ (rnd(b, 2) ? 1ull << VIRTIO_F_RING_PACKED : 0) ^
			    (rnd(b, 2) ? 1ull << VHOST_F_LOG_ALL : 0);
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		m->number = VHOST_USER_PROTOCOL_FEATURES;
		break;
	case VHOST_USER_SET_STATUS:
		m->number = rnd(b, 4) == 0 ? 0 : 0xf;
		break;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		m->nfds = rnd(b, 2);
		m->number = some_ring(b) | (m->nfds == 0 ? VHOST_USER_VRING_NOFD : 0);
		break;
	default:
		m->number = 1500;
	}
}

/* What the request's body ought to be. */
static void
body_right(struct bench *b, uint32_t request, struct body *m)
{
	memset(m, 0, sizeof(*m));
	switch (request) {
	case VHOST_USER_SET_FEATURES:
	case VHOST_USER_SET_PROTOCOL_FEATURES:
	case VHOST_USER_SET_STATUS:
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
	case VHOST_USER_SEND_RARP:
	case VHOST_USER_NET_SET_MTU:
		body_number(b, request, m);
		break;
	case VHOST_USER_SET_MEM_TABLE:
		body_table(b, m);
		break;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		m->single.region = some_region(b);
		m->len = sizeof(m->single);
		m->nfds = request == VHOST_USER_ADD_MEM_REG;
		break;
	case VHOST_USER_SET_LOG_BASE:
		m->log = (struct vhost_user_log){1 + rnd(b, FILE_SIZE), rnd(b, 0x100)};
		m->len = sizeof(m->log);
		m->nfds = 1;
		break;
	case VHOST_USER_SET_LOG_FD:
	case VHOST_USER_SET_BACKEND_REQ_FD:
		m->nfds = 1;
		break;
	case VHOST_USER_SET_VRING_NUM:
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
	case VHOST_USER_SET_VRING_ENABLE:
		m->state = (struct vhost_user_vring_state){some_ring(b),
			request == VHOST_USER_SET_VRING_ENABLE ? rnd(b, 2) : 1u << rnd(b, 7)};
		m->len = sizeof(m->state);
		break;
	case VHOST_USER_SET_VRING_ADDR:
		m->addr = (struct vhost_user_vring_addr){some_ring(b), rnd(b, 2), some_address(b),
			some_address(b), some_address(b), rnd(b, 100)};
		m->len = sizeof(m->addr);
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		m->config = (struct vhost_user_config){rnd(b, 8), rnd(b, 250), rnd(b, 2)};
		m->len = sizeof(m->config) + m->config.size;
		break;
	}
}

/* Those that lead somewhere come more often. */
static uint32_t
some_request(struct bench *b)
{
	static const uint32_t ring[] = {VHOST_USER_SET_VRING_NUM, VHOST_USER_SET_VRING_ADDR,
		VHOST_USER_SET_VRING_ADDR, VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_KICK,
		VHOST_USER_SET_MEM_TABLE, VHOST_USER_ADD_MEM_REG, VHOST_USER_SET_FEATURES,
		VHOST_USER_GET_VRING_BASE, VHOST_USER_SET_VRING_ENABLE};

	return rnd(b, 3) != 0 ? ring[rnd(b, sizeof(ring) / sizeof(ring[0]))] : rnd(b, 43);
}

static void
spoil(struct bench *b, struct vhost_user_header *hdr, struct body *m)
{
	switch (rnd(b, 6)) {
	case 0:
		m->bytes[rnd(b, sizeof(m->bytes))] = (uint8_t)rnd(b, 256);
		break;
	case 1:
		for (int i = 0; i < 8; i++)
			m->bytes[rnd(b, 64)] = rnd(b, 2) ? 0xff : 0x80;
		break;
	case 2:
		m->len = rnd(b, 100);
		break;
	case 3:
		m->nfds = rnd(b, 12);
		break;
	case 4:
		hdr->flags = rnd(b, 16);
		break;
	case 5:
		hdr->size = rnd(b, 2) ? (uint32_t)rand_r(&b->seed) : rnd(b, 300);
		return;
	}
	hdr->size = m->len;
}

static void
message_send(struct bench *b, int sock, const struct vhost_user_header *hdr, const struct body *m,
	uint32_t len)
{
	uint8_t buf[VHOST_USER_HEADER_SIZE + sizeof(struct body)];
	int fds[12];
	const bool event = hdr->request >= VHOST_USER_SET_VRING_KICK &&
			   hdr->request <= VHOST_USER_SET_VRING_ERR;

	for (unsigned int i = 0; i < m->nfds; i++)
		fds[i] = event != (rnd(b, 20) == 0) ? b->event : b->files[rnd(b, FILES)];
	memcpy(buf, hdr, sizeof(*hdr));
	memcpy(buf + sizeof(*hdr), m->bytes, len);
	(void)try_send_with_fds(sock, buf, sizeof(*hdr) + len, fds, m->nfds);
}

/* One message, at times spoilt or cut short. */
static void
random_message(struct bench *b, int sock)
{
	struct vhost_user_header hdr = {.request = some_request(b)};
	struct body m;
	uint32_t len;

	body_right(b, hdr.request, &m);
	hdr.flags = VHOST_USER_VERSION | (rnd(b, 40) != 0 ? VHOST_USER_F_NEED_REPLY : 0);
	hdr.size = m.len;
	if (rnd(b, 25) == 0)
		spoil(b, &hdr, &m);
	len = m.len;
	if (rnd(b, 100) == 0)
		len = rnd(b, len + 1);
	message_send(b, sock, &hdr, &m, len);
}

/* What a client begins with that wants to get to its rings. */
static void
beginning(struct bench *b, int sock)
{
	static const uint32_t requests[] = {VHOST_USER_SET_FEATURES, VHOST_USER_ADD_MEM_REG,
		VHOST_USER_ADD_MEM_REG, VHOST_USER_ADD_MEM_REG, VHOST_USER_SET_VRING_NUM,
		VHOST_USER_SET_VRING_KICK};

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct vhost_user_header hdr = {
			requests[i], VHOST_USER_VERSION | VHOST_USER_F_NEED_REPLY, 0};
		struct body m;

		body_right(b, requests[i], &m);
		hdr.size = m.len;
		message_send(b, sock, &hdr, &m, m.len);
	}
	settle(b);
}

/* Each is one, whole. */
static void
replies_take(int sock)
{
	struct vhost_user_header hdr;
	uint8_t body[VHOST_USER_BODY_MAX];

	while (recv(sock, &hdr, sizeof(hdr), MSG_DONTWAIT) == (ssize_t)sizeof(hdr)) {
		assert_int_equal(hdr.flags, VHOST_USER_VERSION | VHOST_USER_F_REPLY);
		assert_true(hdr.size <= sizeof(body));
		if (hdr.size > 0)
			assert_int_equal(recv(sock, body, hdr.size, MSG_DONTWAIT), hdr.size);
	}
}

static void
good_client_is_served(struct bench *b)
{
	const struct vhost_user_header hdr = {VHOST_USER_GET_QUEUE_NUM, VHOST_USER_VERSION, 0};
	struct {
		struct vhost_user_header hdr;
		uint64_t n;
	} __attribute__((packed)) reply;
	int s = raw_connect(b->place.path);

	send_with_fds(s, &hdr, sizeof(hdr), NULL, 0);
	pump(b->place.base);
	assert_int_equal(recv(s, &reply, sizeof(reply), MSG_DONTWAIT), sizeof(reply));
	assert_int_equal(reply.n, PAIRS);
	close(s);
	pump(b->place.base);
}

/* State and device agree on what runs, whoever handled the messages. */
static void
assert_same_rings(struct bench *b)
{
	uint32_t started = 0;

	for (unsigned int i = 0; i < RINGS; i++)
		if ((b->state->ring[i].flags & VHOST_USER_RING_STARTED) != 0)
			started |= 1u << i;
	assert_int_equal(started, b->model.started);
}

static bool
time_left(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - since->tv_sec < SECONDS;
}

static void
random_client(struct bench *b)
{
	int s = raw_connect(b->place.path);

	if (rnd(b, 2) == 0)
		beginning(b, s);
	for (unsigned int batch = rnd(b, 40); batch > 0; batch--) {
		for (unsigned int n = rnd(b, 8); n > 0; n--)
			random_message(b, s);
		settle(b);
		replies_take(s);
		assert_same_rings(b);
		if (rnd(b, 10) == 0)
			device_side(b, false);
	}
	if (rnd(b, 2) == 0)
		random_message(b, s);
	close(s);
	settle(b);
}

static void
random_clients_neither_break_nor_block_nor_leak(void **state)
{
	static struct bench b;
	int before = open_fds(), running;
	struct timespec start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	bench_start(&b);
	running = open_fds();
	for (int round = 0; round < ROUNDS && time_left(&start); round++) {
		random_client(&b);
		assert_int_equal(b.connected, b.disconnected);
		assert_int_equal(atomic_load(&b.mb->state), MAILBOX_EMPTY);
		fds_settle(running);
		if (round % 50 == 0)
			good_client_is_served(&b);
	}
	good_client_is_served(&b);
	/* They got as far as that. */
	assert_true(b.adds > 10 && b.starts > 10 && b.stops > 2);
	bench_stop(&b);
	fds_settle(before);
}

static int
test_vhost_user_fuzz(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_clients_neither_break_nor_block_nor_leak),
	};

	return cmocka_run_group_tests_name("vhost_user_fuzz", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_fuzz, test_vhost_user_fuzz)
