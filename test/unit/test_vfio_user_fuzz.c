/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Random clients against front and device side together. Whatever they send, the server must
 * neither crash nor hang nor leak, must answer no more often than asked, and must serve the next
 * well-behaved client. The seed is fixed: a failure can be repeated.
 */

#include <time.h>

#include "test.h"
#include "vfio_user_fixture.h"

#define SEED	    20260101u
#define ROUNDS	    3000
#define SECONDS	    2
#define QUEUES	    4u
#define DOORBELLS   0x3000u
#define SPARE_FILES 3

struct bench {
	struct place place;
	struct mailbox *mb;
	struct sock_front *front;
	struct vfio_user_device *dev;
	unsigned int seed;
	unsigned int connected, disconnected;
	int kicks[QUEUES];
	int files[SPARE_FILES];
	uint8_t sink[VFIO_USER_XFER_MAX];
};

static uint32_t
rnd(struct bench *b, uint32_t n)
{
	return (uint32_t)rand_r(&b->seed) % n;
}

/* Any operation may fail, or be late. */
static int
outcome(struct bench *b)
{
	switch (rnd(b, 8)) {
	case 0:
		return -EINPROGRESS;
	case 1:
		return -EEXIST;
	default:
		return 0;
	}
}

static int
op_read(void *ctx, unsigned int region, uint64_t off, void *buf, uint32_t count)
{
	memset(buf, (int)off, count);
	return outcome(ctx);
}

static int
op_write(void *ctx, unsigned int region, uint64_t off, const void *buf, uint32_t count)
{
	struct bench *b = ctx;

	assert_true(count <= sizeof(b->sink));
	memcpy(b->sink, buf, count);
	return outcome(ctx);
}

static int
op_map(void *ctx, uint64_t iova, uint64_t size, int fd, uint64_t offset, uint32_t prot)
{
	if (fd >= 0)
		close(fd);
	return outcome(ctx);
}

static int
op_unmap(void *ctx, uint64_t iova, uint64_t size, bool all)
{
	return outcome(ctx);
}

static int
op_irq(void *ctx, const struct vfio_user_irq_set *set)
{
	for (unsigned int i = 0; i < set->count; i++) {
		if (set->fds != NULL)
			close(set->fds[i]);
		else if (set->bools != NULL && set->bools[i] == 0xff)
			return -EPERM;
	}
	return outcome(ctx);
}

static int
op_reset(void *ctx)
{
	return outcome(ctx);
}

static const struct vfio_user_device_ops dev_ops = {
	op_read, op_write, op_map, op_unmap, op_irq, op_reset, NULL};

static void
on_request(void *ctx)
{
	struct bench *b = ctx;

	if (vfio_user_device_handle(b->dev, sock_front_request_fds(b->front)))
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
	vfio_user_device_reset_connection(b->dev);
	sock_front_gone_done(b->front);
}

static const struct sock_front_ops front_ops = {
	.request = on_request, .connected = on_connected, .disconnected = on_disconnected};

static void
bench_start(struct bench *b)
{
	const struct vfio_user_notify notify = {
		.region = 0, .offset = DOORBELLS, .size = 4 * QUEUES, .multiplier = 4};
	struct vfio_user_device_conf dev = {
		.regions = {[0] = {0x4000, 3}, [4] = {0x1000, 3}, [7] = {4096, 3}},
		.irqs = {[0] = {1, 7}, [2] = {9, 1}, [3] = {1, 1}},
		.ops = &dev_ops,
		.ctx = b};
	struct sock_front_conf front = {
		.gid = (gid_t)-1, .ops = &front_ops, .ctx = b, .max_queues = QUEUES};

	place_make(&b->place);
	b->seed = SEED;
	b->mb = dev.mailbox = front.mailbox = mailbox_new();
	front.base = b->place.base;
	front.path = b->place.path;
	assert_int_equal(vfio_user_device_create(&dev, &b->dev), 0);
	assert_int_equal(vfio_user_front_create(&front, &b->front), 0);
	vfio_user_front_set_notify(b->front, &notify);
	for (unsigned int i = 0; i < QUEUES; i++) {
		b->kicks[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		vfio_user_front_set_kick(b->front, i, b->kicks[i]);
	}
	for (int i = 0; i < SPARE_FILES; i++)
		b->files[i] = memfd("ram");
}

static void
bench_stop(struct bench *b)
{
	sock_front_disconnect(b->front);
	sock_front_destroy(b->front);
	vfio_user_device_destroy(b->dev);
	close_all(QUEUES, b->kicks);
	close_all(SPARE_FILES, b->files);
	place_remove(&b->place);
	free(b->mb);
}

/* Operations that are late complete at some time. */
static void
settle(struct bench *b)
{
	pump(b->place.base);
	while (vfio_user_device_pending(b->dev)) {
		if (vfio_user_device_complete(b->dev, rnd(b, 4) == 0 ? -EIO : 0))
			sock_front_reply(b->front);
		pump(b->place.base);
	}
}

/*
 * Sizes that commands really have, and numbers that lie on their borders, so that random goes deep.
 */
static uint32_t
interesting(struct bench *b)
{
	static const uint32_t pool[] = {0, 1, 2, 3, 4, 7, 8, 9, 16, 20, 24, 32, 0x21, 0x24, 0x1000,
		0x2fff, 0x3000, 0x3004, 0x3fff, 0x4000, 0x7fffffff, 0x80000000, 0xfffff000,
		0xffffffff};

	return rnd(b, 16) == 0 ? (uint32_t)rand_r(&b->seed)
			       : pool[rnd(b, sizeof(pool) / sizeof(pool[0]))];
}

/* One message; returns the bytes sent. What they mean is up to the sizes within. */
static unsigned int
random_message(struct bench *b, int sock)
{
	static const uint32_t lens[] = {0, 2, 4, 16, 17, 18, 20, 24, 24, 32, 32, 32, 56, 100};
	uint8_t buf[16 + 128] = {0};
	struct vfio_user_header hdr = {.id = rnd(b, 65536), .command = rnd(b, 20)};
	uint32_t len = lens[rnd(b, sizeof(lens) / sizeof(lens[0]))];
	unsigned int nfds = rnd(b, 4) == 0 ? rnd(b, 20) : rnd(b, 3);
	int fds[20];
	ssize_t n;

	for (uint32_t at = 0; at < len; at += 4) {
		uint32_t v = rnd(b, 3) == 0 ? interesting(b) : rnd(b, 40);

		memcpy(buf + 16 + at, &v, 4);
	}
	hdr.size = rnd(b, 50) == 0 ? interesting(b) : 16 + len;
	hdr.flags = rnd(b, 30) == 0 ? interesting(b) : rnd(b, 4) == 0 ? VFIO_USER_F_NO_REPLY : 0;
	memcpy(buf, &hdr, sizeof(hdr));
	for (unsigned int i = 0; i < nfds; i++)
		fds[i] = b->files[rnd(b, SPARE_FILES)];
	if (rnd(b, 40) == 0) /* cut short: what follows is read as its rest */
		len = rnd(b, len + 1);
	n = try_send_with_fds(sock, buf, 16 + len, fds, nfds);
	return n > 0 ? (unsigned int)n : 0;
}

static unsigned int
count_replies(int sock)
{
	struct raw_reply r;
	unsigned int n = 0;

	while (raw_recv(sock, &r)) {
		assert_int_equal(r.hdr.flags & VFIO_USER_F_TYPE_MASK, VFIO_USER_F_TYPE_REPLY);
		n++;
	}
	return n;
}

static void
good_client_is_served(struct bench *b)
{
	const struct vfio_user_device_info info = {.argsz = sizeof(info)};
	int s = raw_connect(b->place.path);

	raw_send(s,
		(struct raw){.id = 1, .command = VFIO_USER_VERSION, .body = "\0\0\0\0", .len = 4});
	raw_send(s, (struct raw){.id = 2,
			    .command = VFIO_USER_DEVICE_GET_INFO,
			    .body = &info,
			    .len = sizeof(info)});
	pump(b->place.base);
	assert_reply(s, 1, 0);
	assert_reply(s, 2, 0);
	close(s);
	pump(b->place.base);
}

static bool
time_left(const struct timespec *since)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - since->tv_sec < SECONDS;
}

static void
random_clients_neither_break_nor_block_nor_leak(void **state)
{
	struct bench b = {.connected = 0};
	int before = open_fds(), running;
	struct timespec start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	bench_start(&b);
	running = open_fds();
	for (int round = 0; round < ROUNDS && time_left(&start); round++) {
		int s = raw_connect(b.place.path);
		unsigned int sent = 0, got = 0, batches = rnd(&b, 12);

		if (rnd(&b, 8) != 0) {
			raw_send(s, (struct raw){.id = 1,
					    .command = VFIO_USER_VERSION,
					    .body = "\0\0\0\0",
					    .len = 4});
			sent += VFIO_USER_HEADER_SIZE + 4;
		}
		while (batches-- > 0) {
			for (unsigned int n = rnd(&b, 12); n > 0; n--)
				sent += random_message(&b, s);
			settle(&b);
			got += count_replies(s);
		}
		/* Whatever the sizes said, a message is at least a header. */
		assert_true(got <= sent / VFIO_USER_HEADER_SIZE);
		if (rnd(&b, 2) == 0)
			random_message(&b, s);
		close(s);
		settle(&b);
		assert_int_equal(b.connected, b.disconnected);
		assert_int_equal(atomic_load(&b.mb->state), MAILBOX_EMPTY);
		fds_settle(running);
		if (round % 50 == 0)
			good_client_is_served(&b);
	}
	good_client_is_served(&b);
	bench_stop(&b);
	fds_settle(before);
}

static int
test_vfio_user_fuzz(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_clients_neither_break_nor_block_nor_leak),
	};

	return cmocka_run_group_tests_name("vfio_user_fuzz", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_fuzz, test_vfio_user_fuzz)
