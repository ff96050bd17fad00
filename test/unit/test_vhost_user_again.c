/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Device side of vhost-user: a process dies while it handles a message, its successor handles the
 * message again. Whatever operation it died in, before its effect or after, device and connection
 * end up as if nobody had died.
 */

#include <setjmp.h>

#include "vhost_user_device_bench.h"

#define SLOTS 4u
#define RINGS (2 * PAIRS)

/* What a device makes of its operations. Outlives the process, as shared memory does. */
struct device {
	struct vhost_user_mem_region slot[SLOTS];
	uint64_t features;
	uint64_t log_size;
	uint32_t started, enabled, kick; /* rings, as bits */
	uint32_t position[RINGS];
	uint8_t status;
	bool logging;
};

struct life {
	struct bench bench; /* first: operations of the bench are used where nothing is at stake */
	struct device device;
	jmp_buf death;
	int dies_in; /* operations, counted twice: before and after their effect */
};

/* Called before and after each effect. */
static void
may_die(struct life *l)
{
	if (l->dies_in >= 0 && l->dies_in-- == 0)
		longjmp(l->death, 1);
}

#define EFFECT(l, what)                                                                            \
	do {                                                                                       \
		may_die(l);                                                                        \
		what;                                                                              \
		may_die(l);                                                                        \
		return 0;                                                                          \
	} while (0)

static int
dev_set_features(void *ctx, uint64_t features)
{
	struct life *l = ctx;

	EFFECT(l, l->device.features = features);
}

static int
dev_mem_add(void *ctx, unsigned int slot, const struct vhost_user_mem_region *r, int fd)
{
	struct life *l = ctx;

	close(fd);
	assert_true(slot < SLOTS);
	EFFECT(l, l->device.slot[slot] = *r);
}

static int
dev_mem_remove(void *ctx, unsigned int slot, const struct vhost_user_mem_region *r)
{
	struct life *l = ctx;

	EFFECT(l, memset(&l->device.slot[slot], 0, sizeof(l->device.slot[slot])));
}

static int
dev_mem_commit(void *ctx)
{
	struct life *l = ctx;

	EFFECT(l, (void)l);
}

static int
dev_ring_set_base(void *ctx, uint16_t queue, uint32_t base)
{
	struct life *l = ctx;

	assert_false(l->device.started & 1u << queue);
	EFFECT(l, l->device.position[queue] = base);
}

static uint32_t
dev_ring_get_base(void *ctx, uint16_t queue)
{
	struct life *l = ctx;

	return l->device.position[queue];
}

/* The ring runs, and its position moves, as soon as it is started. */
static void
run(struct device *d, uint16_t queue)
{
	if ((d->started & 1u << queue) == 0)
		d->position[queue] += 5;
	d->started |= 1u << queue;
}

static int
dev_ring_start(void *ctx, uint16_t queue, const struct vhost_user_ring *ring)
{
	struct life *l = ctx;

	EFFECT(l, run(&l->device, queue));
}

static int
dev_ring_stop(void *ctx, uint16_t queue)
{
	struct life *l = ctx;

	EFFECT(l, l->device.started &= ~(1u << queue));
}

static int
dev_ring_enable(void *ctx, uint16_t queue, bool on)
{
	struct life *l = ctx;
	const uint32_t bit = 1u << queue;

	EFFECT(l, l->device.enabled = (l->device.enabled & ~bit) | (on ? bit : 0));
}

static int
dev_ring_fd(void *ctx, uint16_t queue, enum vhost_user_ring_fd kind, int fd)
{
	struct life *l = ctx;
	const uint32_t bit = 1u << queue;

	if (fd >= 0)
		close(fd);
	EFFECT(l, l->device.kick = (l->device.kick & ~bit) | (fd >= 0 ? bit : 0));
}

static int
dev_log_base(void *ctx, uint64_t size, uint64_t offset, int fd)
{
	struct life *l = ctx;

	close(fd);
	EFFECT(l, l->device.log_size = size);
}

static int
dev_logging(void *ctx, bool on)
{
	struct life *l = ctx;

	EFFECT(l, l->device.logging = on);
}

static int
dev_ring_log(void *ctx, uint16_t queue, bool log_used, uint64_t log)
{
	struct life *l = ctx;

	EFFECT(l, (void)l);
}

static int
dev_set_status(void *ctx, uint8_t status)
{
	struct life *l = ctx;

	EFFECT(l, {
		l->device.status = status;
		if (status == 0)
			l->device.started = 0;
	});
}

static const struct vhost_user_device_ops dev_ops = {
	.get_features = op_get_features,
	.set_features = dev_set_features,
	.mem_add = dev_mem_add,
	.mem_remove = dev_mem_remove,
	.mem_commit = dev_mem_commit,
	.ring_set_base = dev_ring_set_base,
	.ring_get_base = dev_ring_get_base,
	.ring_start = dev_ring_start,
	.ring_stop = dev_ring_stop,
	.ring_enable = dev_ring_enable,
	.ring_fd = dev_ring_fd,
	.log_base = dev_log_base,
	.logging = dev_logging,
	.ring_log = dev_ring_log,
	.set_status = dev_set_status,
	.get_status = op_get_status,
	.reset = op_reset,
};

/* ---- messages */

struct message {
	uint32_t request;
	uint32_t len;
	unsigned int nfds; /* so often the client's memory */
	union {
		uint64_t number;
		struct vhost_user_vring_state state;
		struct vhost_user_vring_addr addr;
		struct vhost_user_mem_table table;
		struct vhost_user_mem_single single;
		struct vhost_user_log log;
	} body;
};

#define NUMBER(r, v)                                                                               \
	{                                                                                          \
		.request = (r), .len = 8, .body.number = (v)                                       \
	}
#define STATE(r, i, v)                                                                             \
	{                                                                                          \
		.request = (r), .len = 8, .body.state = {(i), (v) }                                \
	}
#define KICK(q)                                                                                    \
	{                                                                                          \
		.request = VHOST_USER_SET_VRING_KICK, .len = 8, .nfds = 1, .body.number = (q)      \
	}
#define MIB 0x100000ull
#define REGION(i)                                                                                  \
	{                                                                                          \
		(i) * 16 * MIB, MIB, RAM_USER + (i)*MIB, 0                                         \
	}
#define TABLE2(a, b)                                                                               \
	{                                                                                          \
		.request = VHOST_USER_SET_MEM_TABLE, .len = 72, .nfds = 2, .body.table = {         \
			2,                                                                         \
			0,                                                                         \
			{REGION(a), REGION(b)}                                                     \
		}                                                                                  \
	}
#define ADDR                                                                                       \
	{                                                                                          \
		.request = VHOST_USER_SET_VRING_ADDR, .len = 40, .body.addr = {                    \
			0,                                                                         \
			0,                                                                         \
			RAM_USER,                                                                  \
			RAM_USER + 0x4000,                                                         \
			RAM_USER + 0x2000,                                                         \
			0                                                                          \
		}                                                                                  \
	}
#define LOGGED_ADDR                                                                                \
	{                                                                                          \
		.request = VHOST_USER_SET_VRING_ADDR, .len = 40, .body.addr = {                    \
			0,                                                                         \
			1,                                                                         \
			RAM_USER,                                                                  \
			RAM_USER + 0x4000,                                                         \
			RAM_USER + 0x2000,                                                         \
			0x77                                                                       \
		}                                                                                  \
	}
#define LOG(size)                                                                                  \
	{                                                                                          \
		.request = VHOST_USER_SET_LOG_BASE, .len = 16, .nfds = 1, .body.log = {(size), 0 } \
	}

/* A client's life; every message of it is died in. */
static const struct message story[] = {
	NUMBER(VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_PROTOCOL_FEATURES),
	NUMBER(VHOST_USER_SET_FEATURES, SPLIT),
	TABLE2(0, 1),
	STATE(VHOST_USER_SET_VRING_NUM, 0, 64),
	STATE(VHOST_USER_SET_VRING_BASE, 0, 100),
	ADDR,
	STATE(VHOST_USER_SET_VRING_ENABLE, 0, 1),
	KICK(0),
	NUMBER(VHOST_USER_SET_STATUS, 0xf),
	TABLE2(0, 2),
	{.request = VHOST_USER_ADD_MEM_REG, .len = 40, .nfds = 1, .body.single = {0, REGION(3)}},
	{.request = VHOST_USER_REM_MEM_REG, .len = 40, .body.single = {0, REGION(2)}},
	LOG(0x1000),
	NUMBER(VHOST_USER_SET_FEATURES, SPLIT | LOG_ALL),
	LOG(0x2000),
	LOGGED_ADDR,
	STATE(VHOST_USER_SET_VRING_ENABLE, 0, 0),
	KICK(0),
	NUMBER(VHOST_USER_SET_FEATURES, SPLIT),
	STATE(VHOST_USER_GET_VRING_BASE, 0, 0),
	KICK(0),
	STATE(VHOST_USER_GET_VRING_BASE, 0, 0),
	STATE(VHOST_USER_SET_VRING_BASE, 0, 500),
	KICK(0),
	NUMBER(VHOST_USER_SET_STATUS, 0),
	TABLE2(2, 3),
};

#define STORY (sizeof(story) / sizeof(story[0]))

/* @param ram  of another life: the same file is the same region */
static void
life_begin(struct life *l, int ram)
{
	struct bench *b = &l->bench;

	memset(l, 0, sizeof(*l));
	l->dies_in = -1;
	b->mb = mailbox_new();
	b->state = calloc(1, sizeof(*b->state));
	b->ram = ram >= 0 ? fcntl(ram, F_DUPFD_CLOEXEC, 0) : memfd("ram");
	assert_int_equal(ftruncate(b->ram, RAM_SIZE), 0);
	b->event = eventfd(0, EFD_CLOEXEC);
	memset(b->fds, -1, sizeof(b->fds));
	assert_int_equal(bench_device(b, &dev_ops, true), 0);
}

static void
life_end(struct life *l)
{
	vhost_user_device_destroy(l->bench.dev);
	close_all(2, (int[]){l->bench.ram, l->bench.event});
	free(l->bench.state);
	free(l->bench.mb);
}

/* Descriptors of the request as each process gets them anew. */
static void
give_fds(struct bench *b, int fd, unsigned int n)
{
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++) {
		if (b->fds[i] >= 0)
			close(b->fds[i]);
		b->fds[i] = i < n ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	}
}

static void
send_message(struct life *l, const struct message *m)
{
	struct bench *b = &l->bench;
	const int fd = m->request == VHOST_USER_SET_VRING_KICK ? b->event : b->ram;
	int fds[2] = {fd, fd};

	post(b, m->request, 0, &m->body, m->len, fds, m->nfds);
	if (setjmp(l->death) == 0) {
		assert_true(vhost_user_device_handle(b->dev, b->fds));
	} else {
		vhost_user_device_destroy(b->dev);
		assert_int_equal(bench_device(b, &dev_ops, false), 0);
		give_fds(b, fd, m->nfds);
		assert_true(vhost_user_device_handle(b->dev, b->fds));
	}
	assert_true(fate(b) == SILENT || fate(b) == ANSWERED);
	request_over(b);
}

/* @return false if message `at` has fewer operations than that */
static bool
story_with_death(size_t at, int dies_in, struct life *undisturbed)
{
	static struct life l;
	bool died = false;

	life_begin(&l, undisturbed->bench.ram);
	for (size_t i = 0; i < STORY; i++) {
		l.dies_in = i == at ? dies_in : -1;
		send_message(&l, &story[i]);
		died |= i == at && l.dies_in < 0;
	}
	assert_memory_equal(&l.device, &undisturbed->device, sizeof(l.device));
	assert_memory_equal(l.bench.state, undisturbed->bench.state, sizeof(*l.bench.state));
	assert_memory_equal(l.bench.mb->reply, undisturbed->bench.mb->reply, 16);
	life_end(&l);
	return died;
}

static void
message_handled_twice_has_the_effect_of_one(void **state)
{
	static struct life undisturbed;
	const int before = open_fds();
	unsigned int deaths = 0;

	life_begin(&undisturbed, -1);
	for (size_t i = 0; i < STORY; i++)
		send_message(&undisturbed, &story[i]);
	for (size_t at = 0; at < STORY; at++)
		for (int in = 0; story_with_death(at, in, &undisturbed); in++)
			deaths++;
	assert_true(deaths > 2 * STORY);
	life_end(&undisturbed);
	assert_int_equal(open_fds(), before);
}

/* After each message the successor finds the rings as they are. */
static void
successor_knows_the_ring_that_runs(void **state)
{
	struct vhost_user_ring before, after;
	static struct life l;

	life_begin(&l, -1);
	for (size_t i = 0; i < STORY; i++) {
		bool runs;

		send_message(&l, &story[i]);
		runs = vhost_user_device_ring(l.bench.dev, 0, &before);
		assert_int_equal(runs, l.device.started & 1);
		vhost_user_device_destroy(l.bench.dev);
		assert_int_equal(bench_device(&l.bench, &dev_ops, false), 0);
		assert_int_equal(vhost_user_device_ring(l.bench.dev, 0, &after), runs);
		if (!runs)
			continue;
		assert_int_equal(after.desc, before.desc);
		assert_int_equal(after.device, before.device);
		assert_int_equal(after.enabled, before.enabled);
		assert_int_equal(after.log_used, before.log_used);
	}
	life_end(&l);
}

static int
test_vhost_user_again(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_handled_twice_has_the_effect_of_one),
		cmocka_unit_test(successor_knows_the_ring_that_runs),
	};

	return cmocka_run_group_tests_name("vhost_user_again", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_again, test_vhost_user_again)
