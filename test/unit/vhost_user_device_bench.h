/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VHOST_USER_DEVICE_BENCH_H
#define TEST_UNIT_VHOST_USER_DEVICE_BENCH_H

/**
 * @file
 * Bench for the device side of vhost-user: a mailbox that the test fills as the front would, and
 * operations that write down what they were called with ("ring_start 0; "). Every test ends with as
 * many descriptors as it began with.
 */

#include <stdarg.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#include "sock_fixture.h"
#include "vhost_user/vhost_user.h"

#define PAIRS	  4u
#define RING_SIZE 256u
#define RAM_SIZE  0x200000u
#define RAM_GUEST 0x40000000ull
#define RAM_USER  0x7f0000000000ull
#define OFFERED                                                                                    \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_NET_F_MQ)
#define PROTOCOL (1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define LOG_ALL	 (1ull << VHOST_F_LOG_ALL)
#define SPLIT	 (1ull << VIRTIO_F_VERSION_1 | PROTOCOL)
#define PACKED	 (SPLIT | 1ull << VIRTIO_F_RING_PACKED)

struct bench {
	struct mailbox *mb;
	struct vhost_user_state *state;
	struct vhost_user_device *dev;
	char trace[2048]; /* operations since trace_take() */
	char last[2048];
	const char *fail; /* the operation of this name returns ret */
	int ret;
	uint32_t base; /* where a ring that is stopped stands */
	uint8_t status;
	struct vhost_user_ring ring; /* of the last ring_start() */
	int taken[16];		     /* descriptors of operations */
	unsigned int n_taken;
	int fds[MAILBOX_FDS_MAX]; /* of the request, as the front has them */
	int ram;		  /* the client's memory */
	int event;		  /* an eventfd of the client's */
	int fds_before;
	unsigned int lines;
};

UNUSED __attribute__((format(printf, 2, 3))) static int
op(void *ctx, const char *fmt, ...)
{
	struct bench *b = ctx;
	const size_t at = strlen(b->trace);
	va_list ap;
	bool fails;

	va_start(ap, fmt);
	vsnprintf(b->trace + at, sizeof(b->trace) - at, fmt, ap);
	va_end(ap);
	fails = b->fail != NULL && strncmp(b->trace + at, b->fail, strlen(b->fail)) == 0;
	strncat(b->trace, "; ", sizeof(b->trace) - strlen(b->trace) - 1);
	return fails ? b->ret : 0;
}

UNUSED static void
op_fd(struct bench *b, int fd)
{
	if (fd >= 0 && b->n_taken < 16)
		b->taken[b->n_taken++] = fd;
	else if (fd >= 0)
		close(fd);
}

static uint64_t
op_get_features(void *ctx)
{
	return OFFERED | 1ull << VIRTIO_F_ACCESS_PLATFORM;
}

static int
op_set_features(void *ctx, uint64_t features)
{
	return op(ctx, "set_features %llx", (unsigned long long)features);
}

static int
op_mem_add(void *ctx, unsigned int slot, const struct vhost_user_mem_region *r, int fd)
{
	op_fd(ctx, fd);
	return op(ctx, "mem_add %u %llx+%llx", slot, (unsigned long long)r->guest_addr,
		(unsigned long long)r->size);
}

static int
op_mem_remove(void *ctx, unsigned int slot, const struct vhost_user_mem_region *r)
{
	return op(ctx, "mem_remove %u", slot);
}

static int
op_mem_commit(void *ctx)
{
	return op(ctx, "mem_commit");
}

static int
op_ring_set_base(void *ctx, uint16_t queue, uint32_t base)
{
	return op(ctx, "ring_set_base %u %x", queue, base);
}

static uint32_t
op_ring_get_base(void *ctx, uint16_t queue)
{
	return ((struct bench *)ctx)->base;
}

static int
op_ring_start(void *ctx, uint16_t queue, const struct vhost_user_ring *ring)
{
	((struct bench *)ctx)->ring = *ring;
	return op(ctx, "ring_start %u", queue);
}

static int
op_ring_stop(void *ctx, uint16_t queue)
{
	return op(ctx, "ring_stop %u", queue);
}

static int
op_ring_enable(void *ctx, uint16_t queue, bool on)
{
	return op(ctx, "ring_enable %u %d", queue, on);
}

static int
op_ring_fd(void *ctx, uint16_t queue, enum vhost_user_ring_fd kind, int fd)
{
	static const char *const name[] = {"kick", "call", "err"};

	op_fd(ctx, fd);
	return op(ctx, "%s %u %s", name[kind], queue, fd >= 0 ? "fd" : "none");
}

static int
op_log_base(void *ctx, uint64_t size, uint64_t offset, int fd)
{
	op_fd(ctx, fd);
	return op(ctx, "log_base %llx+%llx", (unsigned long long)offset, (unsigned long long)size);
}

static int
op_logging(void *ctx, bool on)
{
	return op(ctx, "logging %d", on);
}

static int
op_ring_log(void *ctx, uint16_t queue, bool log_used, uint64_t log)
{
	return op(ctx, "ring_log %u %d %llx", queue, log_used, (unsigned long long)log);
}

static int
op_set_status(void *ctx, uint8_t status)
{
	((struct bench *)ctx)->status = status;
	return op(ctx, "set_status %x", status);
}

static uint8_t
op_get_status(void *ctx)
{
	return ((struct bench *)ctx)->status;
}

static int
op_reset(void *ctx)
{
	return op(ctx, "reset");
}

static int
op_config_read(void *ctx, uint32_t off, void *buf, uint32_t len)
{
	memset(buf, 0xc5, len);
	return op(ctx, "config_read %u+%u", off, len);
}

static int
op_config_write(void *ctx, uint32_t off, const void *buf, uint32_t len, bool migration)
{
	return op(ctx, "config_write %u+%u %d", off, len, migration);
}

static int
op_set_mtu(void *ctx, uint16_t mtu)
{
	return op(ctx, "set_mtu %u", mtu);
}

static int
op_send_rarp(void *ctx, const uint8_t mac[6])
{
	return op(ctx, "send_rarp %02x..%02x", mac[0], mac[5]);
}

static int
op_backend_channel(void *ctx, int fd)
{
	op_fd(ctx, fd);
	return op(ctx, "backend_channel");
}

static int
op_log_fd(void *ctx, int fd)
{
	op_fd(ctx, fd);
	return op(ctx, "log_fd");
}

static void
op_log(void *ctx, int level, const char *msg)
{
	((struct bench *)ctx)->lines++;
}

static const struct vhost_user_device_ops bench_ops = {
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
	.backend_channel = op_backend_channel,
	.log_fd = op_log_fd,
	.log = op_log,
};

UNUSED static int
bench_device(struct bench *b, const struct vhost_user_device_ops *ops, bool fresh)
{
	const struct vhost_user_device_conf conf = {
		.pairs = PAIRS,
		.max_queue_size = RING_SIZE,
		.ops = ops,
		.ctx = b,
		.mailbox = b->mb,
		.state = b->state,
		.fresh = fresh,
	};

	return vhost_user_device_create(&conf, &b->dev);
}

/* The process has died, another one goes on. */
UNUSED static void
bench_successor(struct bench *b)
{
	vhost_user_device_destroy(b->dev);
	assert_int_equal(bench_device(b, &bench_ops, false), 0);
}

UNUSED static int
setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->fds_before = open_fds();
	b->mb = mailbox_new();
	b->state = calloc(1, sizeof(*b->state));
	b->ram = memfd("ram");
	assert_int_equal(ftruncate(b->ram, RAM_SIZE), 0);
	b->event = eventfd(0, EFD_CLOEXEC);
	memset(b->fds, -1, sizeof(b->fds));
	assert_int_equal(bench_device(b, &bench_ops, true), 0);
	*state = b;
	return 0;
}

UNUSED static int
teardown(void **state)
{
	struct bench *b = *state;

	vhost_user_device_destroy(b->dev);
	close_all((int)b->n_taken, b->taken);
	close_all(2, (int[]){b->ram, b->event});
	fds_settle(b->fds_before);
	free(b->state);
	free(b->mb);
	free(b);
	return 0;
}

/* ---- requests */

/* Put a request into the mailbox, as the front does. */
UNUSED static void
post(struct bench *b, uint32_t request, uint32_t flags, const void *body, uint32_t len,
	const int *fds, unsigned int nfds)
{
	const struct vhost_user_header hdr = {request, VHOST_USER_VERSION | flags, len};

	memcpy(b->mb->header, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(b->mb->req, body, len);
	b->mb->req_len = len;
	b->mb->seq++;
	b->mb->reply_wanted = 0;
	b->mb->close = 0;
	b->mb->nfds = (uint8_t)nfds;
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		b->fds[i] = i < nfds ? fcntl(fds[i], F_DUPFD_CLOEXEC, 0) : -1;
	atomic_store(&b->mb->state, MAILBOX_REQUEST);
}

/* The front has sent the reply, or dropped it. */
UNUSED static void
request_over(struct bench *b)
{
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++) {
		if (b->fds[i] >= 0)
			close(b->fds[i]);
		b->fds[i] = -1;
	}
	atomic_store(&b->mb->state, MAILBOX_EMPTY);
}

/** What becomes of a message. */
enum fate {
	SILENT,	  /* done, no reply */
	ANSWERED, /* with a body */
	REFUSED,  /* told so: a number that is not 0, or no configuration */
	ENDED,	  /* the connection ends */
};

UNUSED static enum fate
fate(const struct bench *b)
{
	struct vhost_user_header hdr, req;
	uint64_t number = 0;

	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_REPLY);
	if (!b->mb->reply_wanted)
		return b->mb->close ? ENDED : SILENT;
	assert_false(b->mb->close);
	memcpy(&hdr, b->mb->reply_header, sizeof(hdr));
	memcpy(&req, b->mb->header, sizeof(req));
	assert_int_equal(hdr.request, req.request);
	assert_int_equal(hdr.flags, VHOST_USER_VERSION | VHOST_USER_F_REPLY);
	assert_int_equal(hdr.size, b->mb->reply_len);
	memcpy(&number, b->mb->reply, hdr.size < 8 ? hdr.size : 8);
	if (hdr.request == VHOST_USER_GET_CONFIG)
		return hdr.size == 0 ? REFUSED : ANSWERED;
	if ((req.flags & VHOST_USER_F_NEED_REPLY) != 0 && number != 0 && hdr.size == 8)
		return REFUSED;
	return ANSWERED;
}

/* A message and its end; the mailbox is empty again afterwards. */
UNUSED static enum fate
tell_with(struct bench *b, uint32_t request, uint32_t flags, const void *body, uint32_t len,
	const int *fds, unsigned int nfds)
{
	enum fate f;

	post(b, request, flags, body, len, fds, nfds);
	assert_true(vhost_user_device_handle(b->dev, b->fds));
	f = fate(b);
	request_over(b);
	return f;
}

UNUSED static enum fate
tell(struct bench *b, uint32_t request, const void *body, uint32_t len)
{
	return tell_with(b, request, 0, body, len, NULL, 0);
}

UNUSED static enum fate
tell_number(struct bench *b, uint32_t request, uint64_t value)
{
	return tell(b, request, &value, sizeof(value));
}

UNUSED static uint64_t
ask_number(struct bench *b, uint32_t request)
{
	uint64_t value;

	assert_int_equal(tell(b, request, NULL, 0), ANSWERED);
	assert_int_equal(b->mb->reply_len, sizeof(value));
	memcpy(&value, b->mb->reply, sizeof(value));
	return value;
}

UNUSED static enum fate
tell_vring(struct bench *b, uint32_t request, uint32_t queue, uint32_t num)
{
	const struct vhost_user_vring_state s = {queue, num};

	return tell(b, request, &s, sizeof(s));
}

UNUSED static enum fate
tell_vring_fd(struct bench *b, uint32_t request, uint64_t queue, int fd)
{
	const uint64_t value = queue | (fd < 0 ? VHOST_USER_VRING_NOFD : 0);

	return tell_with(b, request, 0, &value, sizeof(value), &fd, fd >= 0 ? 1 : 0);
}

/* Regions of the client's memory, as a table. */
UNUSED static enum fate
tell_table(struct bench *b, const struct vhost_user_mem_region *r, const int *fds, unsigned int n)
{
	struct vhost_user_mem_table t = {.n = n};

	for (unsigned int i = 0; i < n; i++)
		t.region[i] = r[i];
	return tell_with(b, VHOST_USER_SET_MEM_TABLE, 0, &t, 8 + n * sizeof(*r), fds, n);
}

UNUSED static struct vhost_user_mem_region
ram_region(void)
{
	return (struct vhost_user_mem_region){RAM_GUEST, RAM_SIZE, RAM_USER, 0};
}

UNUSED static void
bench_memory(struct bench *b)
{
	const struct vhost_user_mem_region r = ram_region();

	assert_int_equal(tell_table(b, &r, &b->ram, 1), SILENT);
}

/* What has been called since the last time. */
UNUSED static const char *
trace_take(struct bench *b)
{
	strcpy(b->last, b->trace);
	b->trace[0] = '\0';
	return b->last;
}

UNUSED static struct vhost_user_vring_addr
ring_addr(uint32_t queue)
{
	return (struct vhost_user_vring_addr){
		.index = queue,
		.desc = RAM_USER + queue * 0x10000,
		.avail = RAM_USER + queue * 0x10000 + 0x2000,
		.used = RAM_USER + queue * 0x10000 + 0x4000,
		.log = RAM_GUEST + queue * 0x10000 + 0x4000,
	};
}

/* All that a ring needs, but for its kick. */
UNUSED static void
bench_ring(struct bench *b, uint32_t queue)
{
	const struct vhost_user_vring_addr a = ring_addr(queue);

	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_NUM, queue, RING_SIZE), SILENT);
	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_BASE, queue, 0), SILENT);
	assert_int_equal(tell(b, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a)), SILENT);
}

/* A client that has come as far as a running ring. */
UNUSED static void
bench_running(struct bench *b, uint32_t queue)
{
	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT), SILENT);
	bench_memory(b);
	bench_ring(b, queue);
	assert_int_equal(tell_vring_fd(b, VHOST_USER_SET_VRING_KICK, queue, -1), SILENT);
	trace_take(b);
}

#define assert_trace(b, what) assert_string_equal(trace_take(b), what)

#define T(name)		      cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif /* TEST_UNIT_VHOST_USER_DEVICE_BENCH_H */
