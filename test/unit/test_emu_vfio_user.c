/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The vfio-user transport put together: what a client's messages do to the function's owner. */

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/virtio_pci.h>

#include "emu/emu.h"
#include "vfio_user_fixture.h"
#include "virtio/virtio_pci.h"
#include "virtio_fixture.h"

#define CFG_BYTES 256u

struct fn_bench {
	struct place place;
	struct mailbox *mb;
	struct pci_fn_state *pci;
	struct owner *o;
	struct emu_door *door;
	struct emu *emu;
	int client;
	int fds_before;
	int dma_answer;
	unsigned int dma_calls;
	bool dma_on;
};

static int
fn_mem_map(void *ctx, uint64_t iova, uint64_t len, int fd, off_t off, int prot)
{
	return 0;
}

static int
fn_mem_unmap(void *ctx, uint64_t iova, uint64_t len, bool all)
{
	return 0;
}

static int
fn_dma_enable(void *ctx, bool on)
{
	struct fn_bench *b = ctx;

	b->dma_calls++;
	b->dma_on = on;
	return b->dma_answer;
}

static void
fn_connected(void *ctx)
{
}

static int
fn_disconnected(void *ctx)
{
	return 0;
}

static void
fn_retire_fd(void *ctx, int fd)
{
	close(fd);
}

static void
fn_keep(void *ctx, enum emu_keep kind, unsigned int index, unsigned int count, int fd)
{
}

static const struct emu_upcalls fn_upcalls = {
	.mem_map = fn_mem_map,
	.mem_unmap = fn_mem_unmap,
	.dma_enable = fn_dma_enable,
	.connected = fn_connected,
	.disconnected = fn_disconnected,
	.retire_fd = fn_retire_fd,
	.keep = fn_keep,
};

static void
say(struct fn_bench *b, uint16_t id, uint16_t command, const void *body, uint32_t len)
{
	raw_send(b->client, (struct raw){.id = id, .command = command, .body = body, .len = len});
	pump(b->place.base);
}

static void
fn_opened(void *ctx, int err)
{
	assert_int_equal(err, 0);
}

static int
setup(void **state)
{
	const struct emu_ops *ops = emu_driver_find("vfio_user");
	static const struct vfio_user_version hello = {.major = VFIO_USER_VERSION_MAJOR};
	struct fn_bench *b = calloc(1, sizeof(*b));
	struct emu_params p = {.fresh = true, .up = &fn_upcalls, .ctx = b};
	struct emu_door_params dp = {.max_queues = VIRTIO_MAX_QUEUES};

	b->fds_before = open_fds();
	place_make(&b->place);
	b->mb = mailbox_new();
	b->pci = calloc(1, sizeof(*b->pci));
	b->o = owner_new();
	dp.socket = b->place.path;
	dp.base = b->place.base;
	dp.mailbox = p.mailbox = b->mb;
	assert_int_equal(ops->door_create(&dp, &b->emu, &b->door), 0);
	p.door = b->door;
	p.pci = b->pci;
	p.vdev = b->o->dev;
	p.msix_vectors = FIX_VECTORS;
	assert_int_equal(ops->create(&p, &b->emu), 0);
	b->door->ops->open(b->door, fn_opened, NULL);
	b->client = raw_connect(b->place.path);
	say(b, 1, VFIO_USER_VERSION, &hello, sizeof(hello));
	assert_reply(b->client, 1, 0);
	*state = b;
	return 0;
}

static int
teardown(void **state)
{
	struct fn_bench *b = *state;

	close(b->client);
	b->emu->ops->destroy(b->emu);
	b->emu = NULL;
	b->door->ops->close(b->door);
	owner_free(b->o);
	place_remove(&b->place);
	fds_settle(b->fds_before);
	free(b->pci);
	free(b->mb);
	free(b);
	return 0;
}

/* ---- INTx */

static void
set_intx(struct fn_bench *b, uint32_t flags, const uint8_t *byte, const int *fd, int err)
{
	struct {
		struct vfio_user_irq_set_msg m;
		uint8_t byte;
	} body = {.m = {.flags = flags, .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1}};
	const uint32_t len = sizeof(body.m) + (byte != NULL ? 1 : 0);

	body.m.argsz = len;
	body.byte = byte != NULL ? *byte : 0;
	raw_send(b->client, (struct raw){.id = 2,
				    .command = VFIO_USER_DEVICE_SET_IRQS,
				    .body = &body,
				    .len = len,
				    .fds = fd,
				    .nfds = fd != NULL ? 1 : 0});
	pump(b->place.base);
	assert_reply(b->client, 2, err);
}

#define NONE	VFIO_USER_IRQ_SET_DATA_NONE
#define BOOL	VFIO_USER_IRQ_SET_DATA_BOOL
#define EVENT	VFIO_USER_IRQ_SET_DATA_EVENTFD
#define MASK	VFIO_USER_IRQ_SET_ACTION_MASK
#define UNMASK	VFIO_USER_IRQ_SET_ACTION_UNMASK
#define TRIGGER VFIO_USER_IRQ_SET_ACTION_TRIGGER

static int
intx_eventfd(struct fn_bench *b)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	set_intx(b, EVENT | TRIGGER, NULL, &fd, 0);
	return fd;
}

static void
client_fires_intx_by_itself(void **state)
{
	struct fn_bench *b = *state;
	const uint8_t no = 0, yes = 1;
	int fd = intx_eventfd(b);

	set_intx(b, NONE | TRIGGER, NULL, NULL, 0);
	assert_int_equal(eventfd_take(fd), 1);
	set_intx(b, BOOL | TRIGGER, &no, NULL, 0);
	assert_int_equal(eventfd_take(fd), 0);
	set_intx(b, BOOL | TRIGGER, &yes, NULL, 0);
	assert_int_equal(eventfd_take(fd), 1);
	close(fd);
}

static void
masked_intx_waits_for_the_unmask(void **state)
{
	struct fn_bench *b = *state;
	const uint8_t no = 0;
	int fd = intx_eventfd(b);

	set_intx(b, NONE | MASK, NULL, NULL, 0);
	b->emu->ops->irq_intx(b->emu, true);
	assert_int_equal(eventfd_take(fd), 0);
	set_intx(b, BOOL | UNMASK, &no, NULL, 0);
	assert_int_equal(eventfd_take(fd), 0);
	set_intx(b, NONE | UNMASK, NULL, NULL, 0);
	assert_int_equal(eventfd_take(fd), 1);
	close(fd);
}

/* Nobody would look at it: the client must find another way. */
static void
eventfd_to_unmask_is_refused(void **state)
{
	struct fn_bench *b = *state;
	int fd = eventfd(0, EFD_CLOEXEC);

	set_intx(b, EVENT | UNMASK, NULL, &fd, ENOTSUP);
	set_intx(b, EVENT | UNMASK, NULL, NULL, 0);
	close(fd);
}

/* ---- one write to several registers */

/* The configuration space, then a write of all of it with bus mastering on. */
struct cfg_write {
	struct vfio_user_region_access a;
	uint8_t cfg[CFG_BYTES];
};

static uint8_t
find_cap(const uint8_t *cfg, uint8_t id, int type)
{
	for (uint8_t at = cfg[PCI_CAPABILITY_LIST]; at != 0; at = cfg[at + 1])
		if (cfg[at] == id && (type < 0 || cfg[at + 3] == type))
			return at;
	fail_msg("no capability %u", id);
	return 0;
}

/* With it the virtio window is used to reset the device, which takes time. */
static struct cfg_write
write_with_reset_through_the_window(struct fn_bench *b)
{
	struct cfg_write w = {.a = {.region = VFIO_PCI_CONFIG_REGION_INDEX, .count = CFG_BYTES}};
	struct virtio_pci_cfg_cap cap;
	uint8_t at;

	memcpy(w.cfg, b->pci->cfg, CFG_BYTES);
	w.cfg[PCI_COMMAND] |= PCI_COMMAND_MASTER;
	at = find_cap(w.cfg, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG);
	memcpy(&cap, w.cfg + at, sizeof(cap));
	cap.cap.bar = VIRTIO_PCI_BAR;
	cap.cap.offset = VIRTIO_PCI_COMMON_STATUS;
	cap.cap.length = 1;
	memset(cap.pci_cfg_data, 0, sizeof(cap.pci_cfg_data));
	memcpy(w.cfg + at, &cap, sizeof(cap));
	driver_at(b->o, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER, 0);
	b->o->answer = -EINPROGRESS;
	return w;
}

static void
owner_done(struct fn_bench *b)
{
	if (virtio_dev_op_pending(b->o->dev))
		virtio_dev_op_done(b->o->dev);
	b->emu->ops->op_done(b->emu, 0);
	pump(b->place.base);
}

static void
bus_mastering_waits_for_the_window_but_is_not_forgotten(void **state)
{
	struct fn_bench *b = *state;
	struct cfg_write w = write_with_reset_through_the_window(b);

	b->dma_answer = -EINPROGRESS;
	say(b, 3, VFIO_USER_REGION_WRITE, &w, sizeof(w));
	assert_int_equal(b->o->reset, 1);
	assert_int_equal(b->dma_calls, 0);
	owner_done(b);
	assert_int_equal(b->dma_calls, 1);
	assert_true(b->dma_on);
	assert_no_reply(b->client);
	owner_done(b);
	assert_reply(b->client, 3, 0);
	assert_int_equal(b->dma_calls, 1);
}

static void
function_level_reset_wins_over_what_came_with_it(void **state)
{
	struct fn_bench *b = *state;
	struct cfg_write w = write_with_reset_through_the_window(b);
	const uint8_t exp = find_cap(w.cfg, PCI_CAP_ID_EXP, -1);

	w.cfg[exp + PCI_EXP_DEVCTL + 1] |= PCI_EXP_DEVCTL_BCR_FLR >> 8;
	say(b, 3, VFIO_USER_REGION_WRITE, &w, sizeof(w));
	assert_int_equal(b->o->reset, 1);
	owner_done(b);
	assert_reply(b->client, 3, 0);
	assert_false(b->dma_on);
	assert_int_equal(b->pci->cfg[PCI_COMMAND] & PCI_COMMAND_MASTER, 0);
	assert_int_equal(b->o->reset, 1);
}

/* A thread keeps what it needs to signal; from the first time on it is there. */
static int
signal_once(void **state)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct pci_irqs *irqs;

	assert_int_equal(pci_irqs_create(1, NULL, NULL, &irqs), 0);
	assert_int_equal(pci_irqs_set_msix(irqs, 0, 1, &fd), 0);
	pci_irq_msix(irqs, 0);
	pci_irqs_destroy(irqs);
	return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
test_emu_vfio_user(void)
{
	const struct CMUnitTest tests[] = {
		T(client_fires_intx_by_itself),
		T(masked_intx_waits_for_the_unmask),
		T(eventfd_to_unmask_is_refused),
		T(bus_mastering_waits_for_the_window_but_is_not_forgotten),
		T(function_level_reset_wins_over_what_came_with_it),
	};

	return cmocka_run_group_tests_name("emu_vfio_user", tests, signal_once, NULL);
}

REGISTER_TEST_COMMAND(emu_vfio_user, test_emu_vfio_user)
