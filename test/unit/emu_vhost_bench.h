/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_EMU_VHOST_BENCH_H
#define TEST_UNIT_EMU_VHOST_BENCH_H

/**
 * @file
 * A function of the vhost-user transport and its client's messages: the test plays the door, the
 * keeper of descriptors and the owner.
 */

#include <stdarg.h>

#include "emu/emu.h"
#include "sock/discard.h"
#include "sock_fixture.h"
#include "vhost_user/vhost_user.h"
#include "virtio_fixture.h"
#include "vring/hostmem.h"
#include "vring/vring.h"

#define PAIRS	 ((FIX_QUEUES - 1u) / 2u)
#define RAM_SIZE 0x200000u
#define RAM_USER 0x7f0000000000ull
#define RAM	 0x40000000ull
#define PROTOCOL (1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define LOGGING	 (1ull << VHOST_F_LOG_ALL)
#define MODERN	 (VIRTIO_BIT(VIRTIO_F_VERSION_1) | PROTOCOL)
#define STATUS	 VHOST_USER_PROTOCOL_BIT(STATUS)
#define ACK	 VHOST_USER_PROTOCOL_BIT(REPLY_ACK)

struct fn {
	struct owner o; /* first: the context of its operations */
	struct emu_door door;
	struct mailbox *mb;
	void *transport;
	struct emu *emu;
	bool connected;
	unsigned int replies, gone, disconnects;
	int slow; /* what operations that may take time return */
	uint32_t base[FIX_QUEUES];
	char trace[512];
	struct hostmem_files *files;
	struct hostmem *hm; /* of areas */
	int ram, event;
	int fds_before;
	/* the keeper's */
	int msix[FIX_QUEUES], kick[FIX_QUEUES], transport_fd[EMU_KEEP_TRANSPORT_MAX];
};

__attribute__((format(printf, 2, 3))) static int
note(void *ctx, const char *fmt, ...)
{
	struct fn *f = ctx;
	const size_t at = strlen(f->trace);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->trace + at, sizeof(f->trace) - at, fmt, ap);
	va_end(ap);
	strncat(f->trace, "; ", sizeof(f->trace) - strlen(f->trace) - 1);
	return f->slow;
}

static void
trace_is(struct fn *f, const char *want)
{
	assert_string_equal(f->trace, want);
	f->trace[0] = '\0';
}

static void
keep_one(int *kept, int fd)
{
	if (*kept >= 0)
		close(*kept);
	*kept = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

/* ---- door */

static struct fn *
of_door(const struct emu_door *door)
{
	return (struct fn *)((uintptr_t)door - offsetof(struct fn, door));
}

static void
door_reply(struct emu_door *door)
{
	of_door(door)->replies++;
}

static void
door_gone_done(struct emu_door *door)
{
	of_door(door)->gone++;
}

static void
door_disconnect(struct emu_door *door)
{
	of_door(door)->disconnects++;
}

static void
door_set_kick(struct emu_door *door, uint16_t queue, int fd)
{
	keep_one(&of_door(door)->kick[queue], fd);
}

static bool
door_connected(const struct emu_door *door)
{
	return of_door(door)->connected;
}

static const struct emu_door_ops fn_door_ops = {
	.reply = door_reply,
	.gone_done = door_gone_done,
	.disconnect = door_disconnect,
	.set_kick = door_set_kick,
	.connected = door_connected,
};

/* ---- owner */

static int
fn_driver_ok(void *ctx)
{
	note(ctx, "driver_ok");
	return 0;
}

static int
fn_reset(void *ctx)
{
	return note(ctx, "reset");
}

static int
fn_queue_enable(void *ctx, uint16_t queue)
{
	return note(ctx, "enable %u", queue);
}

static int
fn_queue_stop(void *ctx, uint16_t queue)
{
	return note(ctx, "stop %u", queue);
}

static void
fn_irq_msix(void *ctx, uint16_t vector)
{
	struct fn *f = ctx;

	f->emu->ops->irq_msix(f->emu, vector);
}

static void
fn_irq_intx(void *ctx, bool level)
{
}

static bool
fn_msix_enabled(void *ctx)
{
	return true;
}

static const struct virtio_dev_ops fn_virtio_ops = {
	.features_ok = owner_features_ok,
	.driver_ok = fn_driver_ok,
	.reset = fn_reset,
	.queue_enable = fn_queue_enable,
	.queue_stop = fn_queue_stop,
	.irq_msix = fn_irq_msix,
	.irq_intx = fn_irq_intx,
	.msix_enabled = fn_msix_enabled,
};

static int
up_mem_add(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	note(ctx, "add %llx+%llx", (unsigned long long)iova, (unsigned long long)len);
	return 0;
}

static int
up_mem_remove(void *ctx, uint64_t iova, uint64_t len)
{
	note(ctx, "remove %llx", (unsigned long long)iova);
	return 0;
}

static int
up_mem_commit(void *ctx)
{
	return note(ctx, "commit");
}

static int
up_area_map(void *ctx, uint64_t len, int fd, off_t off, uint8_t **va)
{
	return hostmem_area(((struct fn *)ctx)->hm, fd, off, len, false, va);
}

static void
up_area_end(void *ctx, uint8_t *va)
{
	hostmem_area_end(((struct fn *)ctx)->hm, va);
}

static uint32_t
up_queue_base(void *ctx, uint16_t queue)
{
	return ((struct fn *)ctx)->base[queue];
}

static void
up_queue_set_base(void *ctx, uint16_t queue, uint32_t base)
{
	((struct fn *)ctx)->base[queue] = base;
}

static void
up_pairs_changed(void *ctx)
{
}

static void
up_kick_changed(void *ctx, uint16_t queue)
{
	note(ctx, "kick %u", queue);
}

static int
up_log_changed(void *ctx)
{
	return note(ctx, "log");
}

static int
up_announce(void *ctx, const uint8_t mac[6])
{
	return note(ctx, "announce %02x..%02x", mac[0], mac[5]);
}

static void
up_connected(void *ctx)
{
}

static int
up_disconnected(void *ctx)
{
	return note(ctx, "disconnected");
}

static void
up_retire_fd(void *ctx, int fd)
{
	close(fd);
}

static void
up_keep(void *ctx, enum emu_keep kind, unsigned int index, unsigned int count, int fd)
{
	struct fn *f = ctx;

	for (unsigned int i = 0; i < count; i++)
		keep_one(kind == EMU_KEEP_MSIX ? &f->msix[index + i] : &f->transport_fd[index + i],
			fd);
}

static const struct emu_upcalls fn_upcalls = {
	.mem_add = up_mem_add,
	.mem_remove = up_mem_remove,
	.mem_commit = up_mem_commit,
	.area_map = up_area_map,
	.area_end = up_area_end,
	.queue_base = up_queue_base,
	.queue_set_base = up_queue_set_base,
	.pairs_changed = up_pairs_changed,
	.kick_changed = up_kick_changed,
	.log_changed = up_log_changed,
	.announce = up_announce,
	.connected = up_connected,
	.disconnected = up_disconnected,
	.retire_fd = up_retire_fd,
	.keep = up_keep,
};

/* ---- lives of a function */

static void
fn_start(struct fn *f, bool fresh)
{
	const struct virtio_dev_params vp = owner_params();
	struct emu_params p = {
		.door = &f->door,
		.transport = f->transport,
		.mailbox = f->mb,
		.fresh = fresh,
		.up = &fn_upcalls,
		.ctx = f,
	};

	assert_int_equal(virtio_dev_create(&f->o.st, &vp, fresh, &fn_virtio_ops, f, &f->o.dev), 0);
	p.vdev = f->o.dev;
	assert_int_equal(emu_driver_find("vhost_user")->create(&p, &f->emu), 0);
}

static void
fn_end(struct fn *f)
{
	f->emu->ops->destroy(f->emu);
	f->emu = NULL;
	virtio_dev_destroy(f->o.dev);
}

static void
adopt(struct fn *f, enum emu_keep kind, unsigned int index, int fd)
{
	if (fd >= 0)
		assert_int_equal(
			f->emu->ops->adopt_fd(f->emu, kind, index, fcntl(fd, F_DUPFD_CLOEXEC, 0)),
			0);
}

/* The process has died, another one goes on. */
static void
fn_succeed(struct fn *f)
{
	fn_end(f);
	fn_start(f, false);
	for (unsigned int q = 0; q < FIX_QUEUES; q++) {
		adopt(f, EMU_KEEP_MSIX, q, f->msix[q]);
		adopt(f, EMU_KEEP_KICK, q, f->kick[q]);
	}
	for (unsigned int i = 0; i < EMU_KEEP_TRANSPORT_MAX; i++)
		adopt(f, EMU_KEEP_TRANSPORT, i, f->transport_fd[i]);
	f->emu->ops->adopted(f->emu);
}

static int
setup(void **state)
{
	struct fn *f = calloc(1, sizeof(*f));

	f->fds_before = open_fds();
	f->door.ops = &fn_door_ops;
	f->door.closer = sock_closer_create();
	f->mb = mailbox_new();
	f->files = hostmem_files_create(false);
	f->hm = hostmem_create(f->files);
	f->transport = calloc(1, EMU_TRANSPORT_STATE);
	f->ram = memfd("ram");
	assert_int_equal(ftruncate(f->ram, RAM_SIZE), 0);
	f->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	memset(f->msix, -1, sizeof(f->msix));
	memset(f->kick, -1, sizeof(f->kick));
	memset(f->transport_fd, -1, sizeof(f->transport_fd));
	fn_start(f, true);
	f->connected = true;
	f->emu->ops->connected(f->emu);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fn *f = *state;

	fn_end(f);
	up_keep(f, EMU_KEEP_MSIX, 0, FIX_QUEUES, -1);
	up_keep(f, EMU_KEEP_TRANSPORT, 0, EMU_KEEP_TRANSPORT_MAX, -1);
	for (uint16_t q = 0; q < FIX_QUEUES; q++)
		keep_one(&f->kick[q], -1);
	close(f->ram);
	close(f->event);
	hostmem_destroy(f->hm);
	hostmem_files_destroy(f->files);
	sock_closer_release(f->door.closer);
	fds_settle(f->fds_before);
	free(f->transport);
	free(f->mb);
	free(f);
	return 0;
}

/* ---- messages */

static void
post(struct fn *f, uint32_t request, const void *body, uint32_t len, unsigned int nfds)
{
	const struct vhost_user_header hdr = {request, VHOST_USER_VERSION, len};

	memcpy(f->mb->header, &hdr, sizeof(hdr));
	memcpy(f->mb->req, body, len);
	f->mb->req_len = len;
	f->mb->seq++;
	f->mb->nfds = (uint8_t)nfds;
	f->mb->close = 0;
	atomic_store(&f->mb->state, MAILBOX_REQUEST);
}

/* Have the request handled with a duplicate of fd. */
static void
handle(struct fn *f, int fd)
{
	int fds[MAILBOX_FDS_MAX];

	memset(fds, -1, sizeof(fds));
	if (fd >= 0)
		fds[0] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	f->emu->ops->request(f->emu, fds);
	if (fds[0] >= 0)
		close(fds[0]);
}

/* @return the message has been carried out */
static bool
over(struct fn *f)
{
	assert_int_equal(atomic_load(&f->mb->state), MAILBOX_REPLY);
	atomic_store(&f->mb->state, MAILBOX_EMPTY);
	return !f->mb->close;
}

static bool
tell_fd(struct fn *f, uint32_t request, const void *body, uint32_t len, int fd)
{
	post(f, request, body, len, fd >= 0 ? 1 : 0);
	handle(f, fd);
	return over(f);
}

static bool
tell(struct fn *f, uint32_t request, uint64_t value)
{
	return tell_fd(f, request, &value, sizeof(value), -1);
}

/* The same with an acknowledgement. */
static uint64_t
ask(struct fn *f, uint32_t request, uint64_t value)
{
	const uint32_t flags = VHOST_USER_VERSION | VHOST_USER_F_NEED_REPLY;
	uint64_t answer;

	post(f, request, &value, sizeof(value), 0);
	memcpy(f->mb->header + offsetof(struct vhost_user_header, flags), &flags, sizeof(flags));
	handle(f, -1);
	assert_true(over(f));
	memcpy(&answer, f->mb->reply, sizeof(answer));
	return answer;
}

static bool
tell_ring(struct fn *f, uint32_t request, uint32_t queue, uint32_t num)
{
	const struct vhost_user_vring_state s = {queue, num};

	return tell_fd(f, request, &s, sizeof(s), -1);
}

static bool
tell_memory(struct fn *f)
{
	const struct vhost_user_mem_table t = {.n = 1, .region[0] = {RAM, RAM_SIZE, RAM_USER, 0}};

	return tell_fd(f, VHOST_USER_SET_MEM_TABLE, &t, 8 + sizeof(t.region[0]), f->ram);
}

static void
tell_ring_but_kick(struct fn *f, uint32_t queue)
{
	const struct vhost_user_vring_addr a = {
		.index = queue,
		.desc = RAM_USER + queue * 0x10000,
		.avail = RAM_USER + queue * 0x10000 + 0x2000,
		.used = RAM_USER + queue * 0x10000 + 0x4000,
		.log = RAM + queue * 0x10000 + 0x4000,
	};

	assert_true(tell_ring(f, VHOST_USER_SET_VRING_NUM, queue, FIX_QUEUE_SIZE));
	assert_true(tell_ring(f, VHOST_USER_SET_VRING_BASE, queue, 5));
	assert_true(tell_fd(f, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1));
}

static bool
tell_kick(struct fn *f, uint64_t queue)
{
	return tell_fd(f, VHOST_USER_SET_VRING_KICK, &queue, sizeof(queue), f->event);
}

/* A client as far as rings 0 and 1 that are enabled; DRIVER_OK has come if it tells the status. */
static void
running(struct fn *f, uint64_t protocol_features)
{
	assert_true(tell(f, VHOST_USER_SET_PROTOCOL_FEATURES, protocol_features));
	assert_true(tell(f, VHOST_USER_SET_FEATURES, MODERN));
	assert_true(tell_memory(f));
	for (uint32_t q = 0; q < 2; q++) {
		assert_true(tell_ring(f, VHOST_USER_SET_VRING_ENABLE, q, 1));
		tell_ring_but_kick(f, q);
		assert_true(tell_kick(f, q));
	}
	if ((protocol_features & STATUS) != 0)
		assert_true(tell(f, VHOST_USER_SET_STATUS, 0x0f));
	f->trace[0] = '\0';
}

static uint8_t
status_of(const struct fn *f)
{
	return f->o.st.status;
}

#endif /* TEST_UNIT_EMU_VHOST_BENCH_H */
