/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The vfio-user transport: interrupts, disconnects and bus mastering of an adopted function. */

#include "emu_fn_bench.h"

/* ---- interrupts */

static void
client_sets_intx(struct fn *f)
{
	struct request r = {.command = VFIO_USER_DEVICE_SET_IRQS,
		.events = 1,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1)};

	post(f, &r);
	handle(f, &r);
}

static uint8_t
client_reads_isr(struct fn *f)
{
	struct request r = {
		.command = VFIO_USER_REGION_READ, READ(VIRTIO_PCI_BAR, VIRTIO_PCI_ISR_OFFSET, 1)};

	post(f, &r);
	handle(f, &r);
	return f->mb->reply[sizeof(struct vfio_user_region_access)];
}

static void
isr_that_was_read_but_not_delivered_is_there_again(void **state)
{
	struct fn *f = fn_new();

	driver_at(&f->o, RUNNING, FIX_MINIMAL);
	f->o.st.queue[QUEUE].enable = 1;
	client_sets_intx(f);
	virtio_dev_queue_interrupt(f->o.dev, QUEUE);
	assert_int_equal(eventfd_take(f->event[0]), 1);
	assert_int_equal(client_reads_isr(f), 1);
	fn_succeed(f);
	assert_int_equal(eventfd_take(f->event[0]), 1);
	assert_int_equal(client_reads_isr(f) & 1, 1);
	assert_int_equal(f->pci->intx_level, 0);
	fn_free(f);
}

static void
level_that_was_raised_but_not_signalled_is_signalled(void **state)
{
	struct fn *f = fn_new();

	client_sets_intx(f);
	f->pci->intx_level = 1;
	f->o.st.isr = 2;
	fn_succeed(f);
	assert_true(eventfd_take(f->event[0]) >= 1);
	fn_free(f);
}

static void
switch_to_msix_that_was_cut_short_takes_effect(void **state)
{
	struct request r = {.command = VFIO_USER_REGION_WRITE};
	struct fn *f = fn_new();

	msix_on(f, &r);
	f->pci->cfg[r.access.a.offset] = r.access.data[0];
	f->pci->intx_level = 1;
	f->o.st.isr = 1;
	fn_succeed(f);
	assert_int_equal(f->pci->intx_level, 0);
	fn_free(f);
}

static void
intx_that_the_client_has_masked_stays_masked(void **state)
{
	struct request mask = {.command = VFIO_USER_DEVICE_SET_IRQS,
		IRQ(.flags = NONE(MASK), .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1)};
	struct request unmask = {.command = VFIO_USER_DEVICE_SET_IRQS,
		IRQ(.flags = NONE(UNMASK), .index = VFIO_PCI_INTX_IRQ_INDEX, .count = 1)};
	struct fn *f = fn_new();

	client_sets_intx(f);
	post(f, &mask);
	handle(f, &mask);
	f->o.st.isr = 1;
	f->emu->ops->irq_intx(f->emu, true);
	fn_succeed(f);
	assert_int_equal(eventfd_take(f->event[0]), 0);
	post(f, &unmask);
	handle(f, &unmask);
	assert_int_equal(eventfd_take(f->event[0]), 1);
	fn_free(f);
}

static void
every_vector_in_use_is_raised_once_after_adoption(void **state)
{
	struct request r = {.command = VFIO_USER_REGION_WRITE};
	struct fn *f = fn_new();

	driver_at(&f->o, RUNNING, FIX_MINIMAL);
	attach_all(f);
	msix_on(f, &r);
	post(f, &r);
	handle(f, &r);
	f->o.st.msix_config = 0;
	for (uint16_t q = 0; q < 3; q++) {
		f->o.st.queue[q].enable = 1;
		f->o.st.queue[q].msix_vector = q + 1;
	}
	f->o.st.queue[5].msix_vector = 5; /* not enabled */
	fn_succeed(f);
	for (unsigned int i = 0; i < FIX_VECTORS; i++)
		assert_int_equal(eventfd_take(f->event[i]), i <= 3 ? 1 : 0);
	fn_free(f);
}

static void
vector_that_was_pending_without_an_eventfd_stays_pending(void **state)
{
	struct request r = {.command = VFIO_USER_DEVICE_SET_IRQS,
		.events = 3,
		IRQ(.flags = EVENTS, .index = VFIO_PCI_MSIX_IRQ_INDEX, .count = 3)};
	struct fn *f = fn_new();

	f->emu->ops->irq_msix(f->emu, 2);
	fn_succeed(f);
	post(f, &r);
	handle(f, &r);
	assert_int_equal(eventfd_take(f->event[2]), 1);
	assert_int_equal(eventfd_take(f->event[1]), 0);
	fn_free(f);
}

static void
descriptor_of_no_vector_is_not_adopted(void **state)
{
	static const struct {
		enum emu_keep kind;
		unsigned int index;
		bool event;
	} table[] = {{EMU_KEEP_MSIX, FIX_VECTORS, true}, {EMU_KEEP_MSIX, UINT32_MAX, true},
		{EMU_KEEP_INTX, 1, true}, {EMU_KEEP_MSIX, 0, false}, {EMU_KEEP_INTX, 0, false}};
	struct fn *f = fn_new();
	const int before = open_fds();

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int fd = table[i].event ? eventfd(0, EFD_CLOEXEC) : memfd("x");

		assert_int_equal(
			f->emu->ops->adopt_fd(f->emu, table[i].kind, table[i].index, fd), -EINVAL);
		assert_int_equal(open_fds(), before);
	}
	fn_free(f);
}

/* ---- the end of a connection */

static void
disconnect_dealt_with_again_ends_like_once(void **state)
{
	const struct request r = {.command = VFIO_USER_DEVICE_RESET};
	struct fn *f = fn_new();

	driver_at(&f->o, READY, FIX_MINIMAL);
	attach_all(f);
	post(f, &r);
	f->answer = -EINPROGRESS;
	f->emu->ops->disconnected(f->emu);
	assert_true(f->emu->ops->busy(f->emu));
	assert_int_equal(f->gone, 0);
	f->answer = 0;
	fn_succeed(f);
	f->emu->ops->disconnected(f->emu);
	assert_int_equal(f->gone, 1);
	assert_int_equal(f->mb->reply_wanted, 0);
	for (uint16_t i = 0; i < FIX_VECTORS; i++) {
		f->emu->ops->irq_msix(f->emu, i);
		assert_int_equal(eventfd_take(f->event[i]), 0);
		assert_int_equal(f->kept[i], -1);
	}
	fn_free(f);
}

static void
request_that_crashes_whoever_handles_it_is_refused(void **state)
{
	const struct request r = {.command = VFIO_USER_DEVICE_RESET};
	struct fn *f = fn_new();
	struct vfio_user_header hdr;

	driver_at(&f->o, READY, FIX_MINIMAL);
	post(f, &r);
	fn_succeed(f);
	f->emu->ops->refuse(f->emu);
	assert_int_equal(f->replies, 1);
	memcpy(&hdr, f->mb->reply_header, sizeof(hdr));
	assert_int_equal(hdr.error, EIO);
	assert_int_equal(f->o.reset, 0);
	fn_free(f);
}

static void
bus_mastering_is_as_it_was(void **state)
{
	struct request r = {.command = VFIO_USER_REGION_WRITE};
	struct fn *f = fn_new();

	assert_false(f->emu->ops->dma_enabled(f->emu));
	bus_mastering_on(f, &r);
	post(f, &r);
	handle(f, &r);
	fn_succeed(f);
	assert_true(f->emu->ops->dma_enabled(f->emu));
	fn_free(f);
}

static int
test_emu_adopt(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(isr_that_was_read_but_not_delivered_is_there_again),
		cmocka_unit_test(level_that_was_raised_but_not_signalled_is_signalled),
		cmocka_unit_test(switch_to_msix_that_was_cut_short_takes_effect),
		cmocka_unit_test(intx_that_the_client_has_masked_stays_masked),
		cmocka_unit_test(every_vector_in_use_is_raised_once_after_adoption),
		cmocka_unit_test(vector_that_was_pending_without_an_eventfd_stays_pending),
		cmocka_unit_test(descriptor_of_no_vector_is_not_adopted),
		cmocka_unit_test(disconnect_dealt_with_again_ends_like_once),
		cmocka_unit_test(request_that_crashes_whoever_handles_it_is_refused),
		cmocka_unit_test(bus_mastering_is_as_it_was),
	};

	return cmocka_run_group_tests_name("emu_adopt", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(emu_adopt, test_emu_adopt)
