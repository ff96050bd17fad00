/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The vfio-user transport: a request that is handled again by a successor, on the same state block,
 * ends like one that was handled once.
 */

#include "emu_fn_bench.h"

static void
prepare(struct fn *f, struct request *r)
{
	if (r->status != 0)
		driver_at(&f->o, r->status,
			VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_F_RING_RESET));
	driver_sets_queue(&f->o, QUEUE);
	f->o.st.queue_select = QUEUE;
	if (r->prepare != NULL)
		r->prepare(f, r);
}

/* What the client and the driver can see in the end. */
struct outcome {
	struct pci_fn_state pci;
	struct virtio_state virtio;
	uint8_t reply_header[16];
	uint32_t reply_len;
	uint8_t reply[MAILBOX_BODY_MAX];
	bool attached[FIX_VECTORS], attached_intx;
};

static bool
fires(struct fn *f, unsigned int vector)
{
	eventfd_take(f->event[vector]);
	f->emu->ops->irq_msix(f->emu, (uint16_t)vector);
	return eventfd_take(f->event[vector]) == 1;
}

static void
outcome_get(struct fn *f, struct outcome *out)
{
	memset(out, 0, sizeof(*out));
	out->pci = *f->pci;
	out->virtio = f->o.st;
	/* Once more, or not at all: both are right. */
	out->pci.flr_count = 0;
	out->virtio.isr = 0;
	out->pci.intx_level = 0;
	assert_int_equal(atomic_load(&f->mb->state), MAILBOX_REPLY);
	memcpy(out->reply_header, f->mb->reply_header, sizeof(out->reply_header));
	out->reply_len = f->mb->reply_len;
	memcpy(out->reply, f->mb->reply, out->reply_len);
	for (unsigned int i = 0; i < FIX_VECTORS; i++)
		out->attached[i] = fires(f, i);
}

static void
handled_once(struct request r, struct outcome *out)
{
	struct fn *f = fn_new();

	prepare(f, &r);
	post(f, &r);
	handle(f, &r);
	assert_int_equal(f->replies, 1);
	outcome_get(f, out);
	fn_free(f);
}

/* The first life ends with the reply all but stored, or (late) while workers are waited for. */
static void
handled_twice(struct request r, bool late, struct outcome *out)
{
	struct fn *f = fn_new();

	prepare(f, &r);
	post(f, &r);
	f->answer = f->o.answer = late ? -EINPROGRESS : 0;
	handle(f, &r);
	f->answer = f->o.answer = 0;
	atomic_store(&f->mb->state, MAILBOX_REQUEST);
	fn_succeed(f);
	handle(f, &r);
	assert_false(f->emu->ops->busy(f->emu));
	outcome_get(f, out);
	fn_free(f);
}

/* ---- what may be asked */

static void
flr(struct fn *f, struct request *r)
{
	write_config(f, r, find_cap(f, PCI_CAP_ID_EXP, -1) + PCI_EXP_DEVCTL + 1,
		PCI_EXP_DEVCTL_BCR_FLR >> 8);
}

static void
power_d1(struct fn *f, struct request *r)
{
	write_config(f, r, find_cap(f, PCI_CAP_ID_PM, -1) + PCI_PM_CTRL, 1);
}

static void
clear_status_errors(struct fn *f, struct request *r)
{
	f->pci->cfg[PCI_STATUS + 1] |= PCI_STATUS_REC_MASTER_ABORT >> 8;
	write_config(f, r, PCI_STATUS + 1, 0xff);
}

/* The window of virtio's PCI configuration access, pointed at a register. */
static uint32_t
window_at(struct fn *f, uint32_t off, uint8_t len)
{
	const uint8_t at = find_cap(f, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG);
	struct virtio_pci_cfg_cap cap;

	memcpy(&cap, f->pci->cfg + at, sizeof(cap));
	cap.cap.bar = VIRTIO_PCI_BAR;
	cap.cap.offset = off;
	cap.cap.length = len;
	memcpy(f->pci->cfg + at, &cap, sizeof(cap));
	return at + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
}

static void
window_resets(struct fn *f, struct request *r)
{
	write_config(f, r, window_at(f, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	r->access.data[0] = 0;
}

static void
window_reads_status(struct fn *f, struct request *r)
{
	r->access.a = (struct vfio_user_region_access){.region = VFIO_PCI_CONFIG_REGION_INDEX,
		.offset = window_at(f, VIRTIO_PCI_COMMON_STATUS, 1),
		.count = 4};
	r->len = sizeof(r->access.a);
}

static void
queue_is_enabled(struct fn *f, struct request *r)
{
	f->o.st.queue[QUEUE].enable = 1;
}

static void
vectors_are_attached(struct fn *f, struct request *r)
{
	attach_all(f);
}

static void
one_is_pending(struct fn *f, struct request *r)
{
	f->emu->ops->irq_msix(f->emu, 1);
}

static const struct request requests[] = {
	{"map", VFIO_USER_DMA_MAP, .events = 1, .len = 32, .map = {32, 3, 0, 0x1000, 0x1000}},
	{"unmap", VFIO_USER_DMA_UNMAP, .len = 24, .unmap = {24, 0, 0x1000, 0x1000}},
	{"unmap all", VFIO_USER_DMA_UNMAP, .len = 24,
		.unmap = {24, VFIO_USER_DMA_UNMAP_F_ALL, 0, 0}},
	{"info", VFIO_USER_DEVICE_GET_INFO, .len = 16, .info = {.argsz = 16}},
	{"region info", VFIO_USER_DEVICE_GET_REGION_INFO, .len = 32, .info = {.argsz = 32}},
	{"irq info", VFIO_USER_DEVICE_GET_IRQ_INFO, .len = 16, .info = {.argsz = 16}},
	{"attach", VFIO_USER_DEVICE_SET_IRQS, .events = 3,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 3)},
	{"attach, pending", VFIO_USER_DEVICE_SET_IRQS, .events = 3, .prepare = one_is_pending,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 3)},
	{"attach again", VFIO_USER_DEVICE_SET_IRQS, .events = 3, .prepare = vectors_are_attached,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 3)},
	{"detach some", VFIO_USER_DEVICE_SET_IRQS, .prepare = vectors_are_attached,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_MSIX_IRQ_INDEX, .start = 1, .count = 2)},
	{"detach all", VFIO_USER_DEVICE_SET_IRQS, .prepare = vectors_are_attached,
		IRQ(.flags = NONE(TRIGGER), .index = VFIO_PCI_MSIX_IRQ_INDEX)},
	{"trigger", VFIO_USER_DEVICE_SET_IRQS, .prepare = vectors_are_attached,
		IRQ(.flags = NONE(TRIGGER), .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 2)},
	{"INTx", VFIO_USER_DEVICE_SET_IRQS, .events = 1,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1)},
	{"INTx off", VFIO_USER_DEVICE_SET_IRQS,
		IRQ(.flags = NONE(TRIGGER), .index = VFIO_PCI_INTX_IRQ_INDEX)},
	{"mask", VFIO_USER_DEVICE_SET_IRQS,
		IRQ(.flags = NONE(MASK), .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1)},
	{"unmask", VFIO_USER_DEVICE_SET_IRQS,
		IRQ(.flags = NONE(UNMASK), .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1)},
	{"error irq", VFIO_USER_DEVICE_SET_IRQS, .events = 1,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_ERR_IRQ_INDEX, .count = 1)},
	{"read config", VFIO_USER_REGION_READ, .status = READY,
		READ(VFIO_PCI_CONFIG_REGION_INDEX, 0, 4096)},
	{"read status", VFIO_USER_REGION_READ, .status = RUNNING,
		READ(VIRTIO_PCI_BAR, COMMON(STATUS), 1)},
	{"read past the end", VFIO_USER_REGION_READ, READ(VFIO_PCI_CONFIG_REGION_INDEX, 4096, 1)},
	{"window read", VFIO_USER_REGION_READ, .status = READY, .prepare = window_reads_status},
	{"bus mastering", VFIO_USER_REGION_WRITE, .prepare = bus_mastering_on},
	{"MSI-X on", VFIO_USER_REGION_WRITE, .status = RUNNING, .prepare = msix_on},
	{"FLR", VFIO_USER_REGION_WRITE, .status = RUNNING, .prepare = flr},
	{"D1", VFIO_USER_REGION_WRITE, .prepare = power_d1},
	{"write 1 to clear", VFIO_USER_REGION_WRITE, .prepare = clear_status_errors},
	{"window reset", VFIO_USER_REGION_WRITE, .status = RUNNING, .prepare = window_resets},
	{"table", VFIO_USER_REGION_WRITE, .len = 32,
		.access = {.a = {.region = VIRTIO_PCI_MSIX_BAR, .offset = 16, .count = 16},
			.data = {4, 0, 0, 0xfe, 0, 0, 0, 0, 0x21}}},
	{"select", VFIO_USER_REGION_WRITE, REG(COMMON(Q_SELECT), 2, 2)},
	{"size", VFIO_USER_REGION_WRITE, REG(COMMON(Q_SIZE), 2, 32)},
	{"address", VFIO_USER_REGION_WRITE, REG(COMMON(Q_DESCLO), 4, 0, 0x10)},
	{"vector", VFIO_USER_REGION_WRITE, REG(COMMON(Q_MSIX), 2, 2)},
	{"features", VFIO_USER_REGION_WRITE, .status = 3, REG(COMMON(GF), 4, 1)},
	{"FEATURES_OK", VFIO_USER_REGION_WRITE, .status = 3, REG(COMMON(STATUS), 1, READY)},
	{"DRIVER_OK", VFIO_USER_REGION_WRITE, .status = READY, REG(COMMON(STATUS), 1, RUNNING)},
	{"reset", VFIO_USER_REGION_WRITE, .status = RUNNING, REG(COMMON(STATUS), 1, 0)},
	{"enable", VFIO_USER_REGION_WRITE, .status = READY, REG(COMMON(Q_ENABLE), 2, 1)},
	{"enable late", VFIO_USER_REGION_WRITE, .status = RUNNING, REG(COMMON(Q_ENABLE), 2, 1)},
	{"queue reset", VFIO_USER_REGION_WRITE, .status = RUNNING, .prepare = queue_is_enabled,
		REG(COMMON(Q_RESET), 2, 1)},
	{"notify", VFIO_USER_REGION_WRITE, .status = RUNNING, .prepare = queue_is_enabled,
		REG(VIRTIO_PCI_NOTIFY_OFFSET + QUEUE * VIRTIO_PCI_NOTIFY_MULT, 2, QUEUE)},
	{"device reset", VFIO_USER_DEVICE_RESET, .status = RUNNING},
	{"several", VFIO_USER_REGION_WRITE_MULTI, .status = RUNNING, .len = 8 + 4 * 24,
		.multi = {4, {ONE(Q_SELECT, 2, 3), ONE(Q_ENABLE, 2, 1), ONE(STATUS, 1, 0),
				     ONE(STATUS, 1, 1)}}},
	{"unknown", 99, .len = 0},
};

static void
each_request_handled_again_ends_like_one_handled_once(void **state)
{
	static struct outcome once, twice;

	for (unsigned int i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		handled_once(requests[i], &once);
		for (int late = 0; late < 2; late++) {
			handled_twice(requests[i], late, &twice);
			if (memcmp(&once, &twice, sizeof(once)) != 0)
				fail_msg("%s%s: differs", requests[i].name, late ? " (late)" : "");
		}
	}
}

static void
version_handled_again_is_no_second_one(void **state)
{
	static const struct request r = {.command = VFIO_USER_VERSION, .len = 4};
	struct fn *f = fn_new();
	uint8_t reply[256];

	f->mb->negotiated_seq = 0;
	post(f, &r);
	handle(f, &r);
	assert_in_range(f->mb->reply_len, 4, sizeof(reply));
	memcpy(reply, f->mb->reply, sizeof(reply));
	atomic_store(&f->mb->state, MAILBOX_REQUEST);
	fn_succeed(f);
	handle(f, &r);
	assert_memory_equal(f->mb->reply, reply, f->mb->reply_len);
	assert_int_equal(f->mb->negotiated_seq, f->mb->seq);
	fn_free(f);
}

static int
test_emu_again(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_handled_again_ends_like_one_handled_once),
		cmocka_unit_test(version_handled_again_is_no_second_one),
	};

	return cmocka_run_group_tests_name("emu_again", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(emu_again, test_emu_again)
