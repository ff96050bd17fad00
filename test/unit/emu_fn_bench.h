/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_EMU_FN_BENCH_H
#define TEST_UNIT_EMU_FN_BENCH_H

/**
 * @file
 * A function of the vfio-user transport that changes its process: the test plays the door, the
 * keeper of descriptors and the owner.
 */

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_pci.h>

#include "emu/emu.h"
#include "vfio_user_fixture.h"
#include "virtio/virtio_pci.h"
#include "virtio_fixture.h"

#define QUEUE	  3u
#define READY	  (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define RUNNING	  (READY | VIRTIO_CONFIG_S_DRIVER_OK)
#define CAP_BYTES 256u

struct fn {
	struct owner o; /* first: the context of its operations */
	struct emu_door door;
	unsigned int replies, gone;
	struct mailbox *mb;
	struct pci_fn_state *pci;
	struct emu *emu;
	int answer;		/* of what takes time */
	int event[FIX_VECTORS]; /* the client's eventfds */
	int kept[FIX_VECTORS];	/* the keeper's descriptors of them */
	int kept_intx;
};

/* ---- door */

UNUSED static struct fn *
of_door(struct emu_door *door)
{
	return (struct fn *)((uint8_t *)door - offsetof(struct fn, door));
}

UNUSED static void
door_reply(struct emu_door *door)
{
	of_door(door)->replies++;
}

UNUSED static void
door_gone_done(struct emu_door *door)
{
	of_door(door)->gone++;
}

UNUSED static void
door_set_notify(struct emu_door *door, const struct emu_notify *notify)
{
}

static const struct emu_door_ops fn_door_ops = {
	.reply = door_reply, .gone_done = door_gone_done, .set_notify = door_set_notify};

/* ---- owner */

UNUSED static void
fn_irq_msix(void *ctx, uint16_t vector)
{
	struct fn *f = ctx;

	f->emu->ops->irq_msix(f->emu, vector);
}

UNUSED static void
fn_irq_intx(void *ctx, bool level)
{
	struct fn *f = ctx;

	f->emu->ops->irq_intx(f->emu, level);
}

UNUSED static bool
fn_msix_enabled(void *ctx)
{
	struct fn *f = ctx;

	return f->emu->ops->msix_enabled(f->emu);
}

static const struct virtio_dev_ops fn_virtio_ops = {
	.features_ok = owner_features_ok,
	.driver_ok = owner_driver_ok,
	.reset = owner_reset,
	.queue_enable = owner_queue_enable,
	.queue_reset = owner_queue_reset,
	.notify = owner_notify,
	.irq_msix = fn_irq_msix,
	.irq_intx = fn_irq_intx,
	.msix_enabled = fn_msix_enabled,
};

UNUSED static int
fn_mem_map(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	return 0;
}

UNUSED static int
fn_mem_unmap(void *ctx, uint64_t iova, uint64_t len, bool all)
{
	return ((struct fn *)ctx)->answer;
}

UNUSED static int
fn_dma_enable(void *ctx, bool on)
{
	return ((struct fn *)ctx)->answer;
}

UNUSED static int
fn_disconnected(void *ctx)
{
	return ((struct fn *)ctx)->answer;
}

UNUSED static void
fn_retire_fd(void *ctx, int fd)
{
	close(fd);
}

UNUSED static void
keep_one(int *kept, int fd)
{
	if (*kept >= 0)
		close(*kept);
	*kept = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

UNUSED static void
fn_keep(void *ctx, enum emu_keep kind, unsigned int index, unsigned int count, int fd)
{
	struct fn *f = ctx;

	for (unsigned int i = 0; i < count; i++)
		keep_one(kind == EMU_KEEP_INTX ? &f->kept_intx : &f->kept[index + i], fd);
}

static const struct emu_upcalls fn_upcalls = {
	.mem_map = fn_mem_map,
	.mem_unmap = fn_mem_unmap,
	.dma_enable = fn_dma_enable,
	.disconnected = fn_disconnected,
	.retire_fd = fn_retire_fd,
	.keep = fn_keep,
};

/* ---- lives of a function */

UNUSED static void
fn_start(struct fn *f, bool fresh)
{
	const struct virtio_dev_params vp = owner_params();
	struct emu_params p = {.door = &f->door,
		.pci = f->pci,
		.mailbox = f->mb,
		.fresh = fresh,
		.msix_vectors = FIX_VECTORS,
		.up = &fn_upcalls,
		.ctx = f};

	assert_int_equal(virtio_dev_create(&f->o.st, &vp, fresh, &fn_virtio_ops, f, &f->o.dev), 0);
	p.vdev = f->o.dev;
	assert_int_equal(emu_driver_find("vfio_user")->create(&p, &f->emu), 0);
}

UNUSED static void
fn_end(struct fn *f)
{
	f->emu->ops->destroy(f->emu);
	f->emu = NULL;
	virtio_dev_destroy(f->o.dev);
}

UNUSED static void
adopt(struct fn *f, enum emu_keep kind, unsigned int index, int fd)
{
	if (fd >= 0)
		assert_int_equal(
			f->emu->ops->adopt_fd(f->emu, kind, index, fcntl(fd, F_DUPFD_CLOEXEC, 0)),
			0);
}

/* The process has died, another one goes on. */
UNUSED static void
fn_succeed(struct fn *f)
{
	fn_end(f);
	fn_start(f, false);
	for (unsigned int i = 0; i < FIX_VECTORS; i++)
		adopt(f, EMU_KEEP_MSIX, i, f->kept[i]);
	adopt(f, EMU_KEEP_INTX, 0, f->kept_intx);
	f->emu->ops->adopted(f->emu);
}

UNUSED static struct fn *
fn_new(void)
{
	struct fn *f = calloc(1, sizeof(*f));

	f->door.ops = &fn_door_ops;
	f->mb = mailbox_new();
	f->pci = calloc(1, sizeof(*f->pci));
	f->kept_intx = -1;
	for (unsigned int i = 0; i < FIX_VECTORS; i++) {
		f->event[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->kept[i] = -1;
	}
	f->mb->negotiated_seq = 1;
	f->mb->seq = 1;
	fn_start(f, true);
	return f;
}

UNUSED static void
fn_free(struct fn *f)
{
	fn_end(f);
	close_all(FIX_VECTORS, f->event);
	for (unsigned int i = 0; i < FIX_VECTORS; i++)
		keep_one(&f->kept[i], -1);
	keep_one(&f->kept_intx, -1);
	free(f->pci);
	free(f->mb);
	free(f);
}

/* ---- requests */

struct request {
	const char *name;
	uint16_t command;
	uint8_t status;	     /* of the driver before */
	unsigned int events; /* descriptors: the client's first eventfds */
	uint32_t len;
	union {
		uint8_t bytes[CAP_BYTES + 32];
		struct vfio_user_dma_map map;
		struct vfio_user_dma_unmap unmap;
		struct vfio_user_region_info info;
		struct vfio_user_irq_set_msg irq;
		struct {
			struct vfio_user_region_access a;
			uint8_t data[16];
		} access;
		struct {
			uint64_t n;
			struct vfio_user_write_one w[4];
		} multi;
	};
	void (*prepare)(struct fn *f, struct request *r);
};

UNUSED static void
post(struct fn *f, const struct request *r)
{
	const struct vfio_user_header hdr = {.id = 7, .command = r->command, .size = 16 + r->len};

	memcpy(f->mb->header, &hdr, sizeof(hdr));
	memcpy(f->mb->req, r->bytes, r->len);
	f->mb->req_len = r->len;
	f->mb->seq++;
	f->mb->reply_wanted = 1;
	f->mb->nfds = (uint8_t)r->events;
	atomic_store(&f->mb->state, MAILBOX_REQUEST);
}

/* The keeper gives duplicates, each time. */
UNUSED static void
handle(struct fn *f, const struct request *r)
{
	int fds[MAILBOX_FDS_MAX];

	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		fds[i] = i < r->events ? fcntl(f->event[i], F_DUPFD_CLOEXEC, 0) : -1;
	f->emu->ops->request(f->emu, fds);
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

UNUSED static uint8_t
find_cap(const struct fn *f, uint8_t id, int type)
{
	const uint8_t *cfg = f->pci->cfg;

	for (uint8_t at = cfg[PCI_CAPABILITY_LIST]; at != 0; at = cfg[at + 1])
		if (cfg[at] == id && (type < 0 || cfg[at + 3] == type))
			return at;
	fail_msg("no capability %u", id);
	return 0;
}

/* A write to one byte of configuration space: `or` is set there. */
UNUSED static void
write_config(struct fn *f, struct request *r, uint32_t off, uint8_t or)
{
	r->access.a = (struct vfio_user_region_access){
		.region = VFIO_PCI_CONFIG_REGION_INDEX, .offset = off, .count = 1};
	r->access.data[0] = f->pci->cfg[off] | or;
	r->len = sizeof(r->access.a) + 1;
}

UNUSED static void
bus_mastering_on(struct fn *f, struct request *r)
{
	write_config(f, r, PCI_COMMAND, PCI_COMMAND_MASTER);
}

UNUSED static void
msix_on(struct fn *f, struct request *r)
{
	write_config(f, r, find_cap(f, PCI_CAP_ID_MSIX, -1) + PCI_MSIX_FLAGS + 1,
		PCI_MSIX_FLAGS_ENABLE >> 8);
}

#define EVENTS	 (VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER)
#define NONE(a)	 (VFIO_USER_IRQ_SET_DATA_NONE | VFIO_USER_IRQ_SET_ACTION_##a)
#define IRQ(...) .len = 20, .irq = {.argsz = 20, __VA_ARGS__}
#define REG(off_, len_, ...)                                                                       \
	.len = 16 + (len_),                                                                        \
	.access = {                                                                                \
		.a = {.region = VIRTIO_PCI_BAR, .offset = (off_), .count = (len_)},                \
		.data = {__VA_ARGS__},                                                             \
	}
#define COMMON(reg) (VIRTIO_PCI_COMMON_OFFSET + VIRTIO_PCI_COMMON_##reg)
#define ONE(reg, n, v)                                                                             \
	{                                                                                          \
		.region = VIRTIO_PCI_BAR, .offset = COMMON(reg), .count = (n), .data = { v }       \
	}
#define READ(reg_, off_, count_)                                                                   \
	.len = 16, .access = {                                                                     \
			   .a = {.region = (reg_), .offset = (off_), .count = (count_)},           \
	}

UNUSED static void
attach_all(struct fn *f)
{
	struct request r = {.command = VFIO_USER_DEVICE_SET_IRQS,
		.events = FIX_VECTORS,
		.len = sizeof(r.irq),
		.irq = {.argsz = sizeof(r.irq),
			.flags = VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSIX_IRQ_INDEX,
			.count = FIX_VECTORS}};

	post(f, &r);
	handle(f, &r);
	assert_int_equal(atomic_load(&f->mb->state), MAILBOX_REPLY);
	f->replies = 0;
}

#endif /* TEST_UNIT_EMU_FN_BENCH_H */
