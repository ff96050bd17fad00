/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The device side: commands that act on the device - regions, DMA ranges, interrupts. */

#include "test.h"
#include "vfio_user_device_bench.h"

/* ---- region access */

static int
region_read(struct bench *b, uint32_t region, uint64_t off, uint32_t count)
{
	const struct vfio_user_region_access a = {off, region, count};

	return request(b, VFIO_USER_REGION_READ, &a, sizeof(a));
}

static int
region_write(struct bench *b, uint32_t region, uint64_t off, uint32_t count, uint32_t len)
{
	uint8_t body[sizeof(struct vfio_user_region_access) + VFIO_USER_XFER_MAX + 1] = {0};
	const struct vfio_user_region_access a = {off, region, count};

	memcpy(body, &a, sizeof(a));
	memset(body + sizeof(a), 0x9d, sizeof(body) - sizeof(a));
	return request(b, VFIO_USER_REGION_WRITE, body, sizeof(a) + len);
}

static void
whole_configuration_space_is_read_in_one_message(void **state)
{
	struct bench *b = *state;
	struct vfio_user_region_access a;

	assert_int_equal(region_read(b, CFG, 0, CFG_SIZE), 0);
	assert_int_equal(b->mb->reply_len, sizeof(a) + CFG_SIZE);
	memcpy(&a, b->mb->reply, sizeof(a));
	assert_int_equal(a.count, CFG_SIZE);
	assert_int_equal(a.region, CFG);
	assert_int_equal(b->mb->reply[sizeof(a)], 0xc5);
	assert_int_equal(b->mb->reply[sizeof(a) + CFG_SIZE - 1], 0xc5);
}

static void
write_reaches_the_device_and_is_confirmed(void **state)
{
	struct bench *b = *state;
	struct vfio_user_region_access a;

	assert_int_equal(region_write(b, BAR0, 0x3ffc, 4, 4), 0);
	assert_int_equal(b->seen.off, 0x3ffc);
	assert_int_equal(b->seen.count, 4);
	assert_int_equal(b->seen.data[3], 0x9d);
	assert_int_equal(b->mb->reply_len, sizeof(a));
	memcpy(&a, b->mb->reply, sizeof(a));
	assert_int_equal(a.count, 4);
}

static void
access_out_of_bounds_never_reaches_the_device(void **state)
{
	static const struct {
		uint32_t region;
		uint64_t off;
		uint32_t count;
	} table[] = {
		{BAR0, 0x4000, 1},
		{BAR0, 0x3fff, 2},
		{BAR0, UINT64_MAX, 1},
		{BAR0, UINT64_MAX - 3, 4},
		{BAR0, 1ull << 63, 4},
		{BAR0, 0, 0},
		{BAR0, 0, VFIO_USER_XFER_MAX + 1},
		{BAR0, 0, UINT32_MAX},
		{3, 0, 1},
		{ROM, 0, 4},
		{8, 0, 1},
		{9, 0, 1},
		{UINT32_MAX, 0, 1},
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint32_t len = table[i].count > VFIO_USER_XFER_MAX ? 4 : table[i].count;

		assert_int_equal(
			region_read(b, table[i].region, table[i].off, table[i].count), EINVAL);
		assert_int_equal(
			region_write(b, table[i].region, table[i].off, table[i].count, len),
			EINVAL);
	}
	assert_int_equal(b->seen.calls, 0);
}

static void
access_against_the_region_s_flags_is_refused(void **state)
{
	struct bench *b = *state;

	assert_int_equal(region_write(b, 1, 0, 4, 4), EINVAL);
	assert_int_equal(region_read(b, 1, 0, 4), 0);
	assert_int_equal(region_read(b, 2, 0, 4), EINVAL);
	assert_int_equal(region_write(b, 2, 0, 4, 4), 0);
}

static void
write_whose_count_is_not_its_data_s_size_is_refused(void **state)
{
	struct bench *b = *state;

	assert_int_equal(region_write(b, BAR0, 0, 4, 3), EINVAL);
	assert_int_equal(region_write(b, BAR0, 0, 4, 5), EINVAL);
	assert_int_equal(region_write(b, BAR0, 0, 4, 0), EINVAL);
	assert_int_equal(
		region_write(b, BAR0, 0, VFIO_USER_XFER_MAX + 1, VFIO_USER_XFER_MAX + 1), EINVAL);
	assert_int_equal(region_write(b, BAR0, 0, VFIO_USER_XFER_MAX, VFIO_USER_XFER_MAX), 0);
}

static void
error_of_an_operation_is_the_reply_s_errno(void **state)
{
	static const struct {
		int ret;
		int err;
	} table[] = {{-EPERM, EPERM}, {-4095, 4095}, {-4096, EIO}, {1, EIO}};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		b->ret = table[i].ret;
		assert_int_equal(region_read(b, BAR0, 0, 4), table[i].err);
	}
}

/* ---- several writes */

struct multi {
	uint64_t n;
	struct vfio_user_write_one w[3];
};

static const struct multi three_writes = {
	.n = 3,
	.w =
		{
			{.offset = 0x10, .region = BAR0, .count = 4, .data = "abcd"},
			{.offset = 0x20, .region = CFG, .count = 8, .data = "12345678"},
			{.offset = 0x30, .region = BAR0, .count = 1, .data = "z"},
		},
};

static uint64_t
multi_done(const struct bench *b)
{
	uint64_t n;

	assert_int_equal(b->mb->reply_len, sizeof(n));
	memcpy(&n, b->mb->reply, sizeof(n));
	return n;
}

static void
several_writes_in_one_message_are_done_in_order(void **state)
{
	struct bench *b = *state;

	assert_int_equal(
		request(b, VFIO_USER_REGION_WRITE_MULTI, &three_writes, sizeof(three_writes)), 0);
	assert_int_equal(multi_done(b), 3);
	assert_int_equal(b->seen.calls, 3);
	assert_int_equal(b->seen.off, 0x30);
	assert_int_equal(b->seen.data[0], 'z');
}

static void
failure_among_several_writes_tells_how_many_were_done(void **state)
{
	struct bench *b = *state;

	b->ret = -EIO;
	b->ret_from = 2;
	assert_int_equal(
		request(b, VFIO_USER_REGION_WRITE_MULTI, &three_writes, sizeof(three_writes)), 0);
	assert_int_equal(multi_done(b), 2);
	b->ret_from = 0;
	assert_int_equal(
		request(b, VFIO_USER_REGION_WRITE_MULTI, &three_writes, sizeof(three_writes)), EIO);
}

static void
several_writes_go_on_after_each_pending_one(void **state)
{
	struct bench *b = *state;

	b->ret = -EINPROGRESS;
	b->ret_from = 0;
	post(b, VFIO_USER_REGION_WRITE_MULTI, &three_writes, sizeof(three_writes), NULL, 0);
	assert_false(vfio_user_device_handle(b->dev, b->fds));
	assert_false(vfio_user_device_complete(b->dev, 0));
	assert_int_equal(b->seen.calls, 2);
	assert_memory_equal(b->seen.data, "12345678", 8);
	assert_false(vfio_user_device_complete(b->dev, 0));
	assert_int_equal(b->seen.calls, 3);
	assert_true(vfio_user_device_complete(b->dev, 0));
	assert_int_equal(reply(b), 0);
	assert_int_equal(multi_done(b), 3);
}

static void
pending_write_that_fails_ends_the_series(void **state)
{
	struct bench *b = *state;

	b->ret = -EINPROGRESS;
	b->ret_from = 1;
	post(b, VFIO_USER_REGION_WRITE_MULTI, &three_writes, sizeof(three_writes), NULL, 0);
	assert_false(vfio_user_device_handle(b->dev, b->fds));
	assert_true(vfio_user_device_complete(b->dev, -EIO));
	assert_int_equal(reply(b), 0);
	assert_int_equal(multi_done(b), 1);
	assert_int_equal(b->seen.calls, 2);
}

static void
malformed_series_changes_nothing(void **state)
{
	struct bench *b = *state;
	struct multi m = three_writes;

	for (uint32_t len = 0; len < sizeof(m); len++)
		assert_int_equal(request(b, VFIO_USER_REGION_WRITE_MULTI, &m, len), EINVAL);
	for (uint64_t n = 0; n < 5; n++) {
		m.n = n == 3 ? UINT64_MAX : n;
		assert_int_equal(request(b, VFIO_USER_REGION_WRITE_MULTI, &m, sizeof(m)), EINVAL);
	}
	m = three_writes;
	m.w[2].count = 9;
	assert_int_equal(request(b, VFIO_USER_REGION_WRITE_MULTI, &m, sizeof(m)), EINVAL);
	m.w[2].count = 0;
	assert_int_equal(request(b, VFIO_USER_REGION_WRITE_MULTI, &m, sizeof(m)), EINVAL);
	m.w[2].count = 4;
	m.w[2].offset = 0x3ffd;
	assert_int_equal(request(b, VFIO_USER_REGION_WRITE_MULTI, &m, sizeof(m)), EINVAL);
	assert_int_equal(b->seen.calls, 0);
}

/* ---- DMA */

static void
range_with_a_descriptor_reaches_the_device_which_owns_it(void **state)
{
	const struct vfio_user_dma_map m = {32, 3, 0x8000, 0xc3000, 0x5000};
	struct bench *b = *state;
	int fd = memfd("ram");

	assert_int_equal(request_fds(b, VFIO_USER_DMA_MAP, &m, sizeof(m), &fd, 1), 0);
	assert_int_equal(b->mb->reply_len, 0);
	assert_int_equal(b->seen.iova, 0xc3000);
	assert_int_equal(b->seen.size, 0x5000);
	assert_int_equal(b->seen.offset, 0x8000);
	assert_int_equal(b->seen.prot, 3);
	assert_true(same_file(b->seen.fds[0], fd));
	close_all(2, (int[]){b->seen.fds[0], fd});
}

static void
descriptor_of_a_failed_map_is_the_operation_s_too(void **state)
{
	const struct vfio_user_dma_map m = {32, 3, 0, 0, 0x1000};
	struct bench *b = *state;
	int fd = memfd("ram");

	b->ret = -EEXIST;
	assert_int_equal(request_fds(b, VFIO_USER_DMA_MAP, &m, sizeof(m), &fd, 1), EEXIST);
	close_all(2, (int[]){b->seen.fds[0], fd});
}

static void
range_without_a_descriptor_has_none(void **state)
{
	const struct vfio_user_dma_map m = {32, VFIO_USER_DMA_F_READ, 0, 0xfffc0000, 0x40000};
	struct bench *b = *state;

	assert_int_equal(request(b, VFIO_USER_DMA_MAP, &m, sizeof(m)), 0);
	assert_int_equal(b->seen.fds[0], -1);
	assert_int_equal(b->seen.prot, VFIO_USER_DMA_F_READ);
}

static void
malformed_range_is_refused_and_its_descriptor_closed(void **state)
{
	static const struct vfio_user_dma_map table[] = {
		{31, 3, 0, 0, 0x1000},
		{33, 3, 0, 0, 0x1000},
		{0, 3, 0, 0, 0x1000},
		{32, 0, 0, 0, 0x1000},
		{32, 4, 0, 0, 0x1000},
		{32, 0x80000003, 0, 0, 0x1000},
		{32, 3, 0, 0, 0},
		{32, 3, 0, 1, 0x1000},
		{32, 3, 0, 0, 0xfff},
		{32, 3, 512, 0, 0x1000},
		{32, 3, 0, UINT64_MAX - 0xfff, 0x2000},
		{32, 3, 0, 1ull << 63, 1ull << 63},
		{32, 3, (uint64_t)INT64_MAX - 0xfff, 0, 0x1000},
		{32, 3, 1ull << 63, 0, 0x1000},
		{32, 3, UINT64_MAX - 0xfff, 0, 0x1000},
	};
	struct bench *b = *state;
	int fd = memfd("ram"), before = open_fds();

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(request_fds(b, VFIO_USER_DMA_MAP, &table[i], 32, &fd, 1), EINVAL);
	assert_int_equal(b->seen.calls, 0);
	assert_int_equal(open_fds(), before);
	close(fd);
}

static void
unmap_is_answered_with_the_range(void **state)
{
	const struct vfio_user_dma_unmap u = {24, 0, 0x1000, 0x2000};
	struct bench *b = *state;

	assert_int_equal(request(b, VFIO_USER_DMA_UNMAP, &u, sizeof(u)), 0);
	assert_int_equal(b->seen.iova, 0x1000);
	assert_int_equal(b->seen.size, 0x2000);
	assert_false(b->seen.all);
	assert_int_equal(b->mb->reply_len, sizeof(u));
	assert_memory_equal(b->mb->reply, &u, sizeof(u));
}

static void
unmap_of_everything_has_neither_address_nor_size(void **state)
{
	struct vfio_user_dma_unmap u = {24, VFIO_USER_DMA_UNMAP_F_ALL, 0, 0};
	struct bench *b = *state;

	assert_int_equal(request(b, VFIO_USER_DMA_UNMAP, &u, sizeof(u)), 0);
	assert_true(b->seen.all);
	u.size = 0x1000;
	assert_int_equal(request(b, VFIO_USER_DMA_UNMAP, &u, sizeof(u)), EINVAL);
}

static void
malformed_unmap_is_refused(void **state)
{
	static const struct vfio_user_dma_unmap table[] = {
		{23, 0, 0, 0x1000},
		{24, 1, 0, 0x1000},
		{24, 4, 0, 0},
		{24, 3, 0, 0},
		{24, 0, 0, 0},
		{24, 0, UINT64_MAX - 0xfff, 0x2000},
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(request(b, VFIO_USER_DMA_UNMAP, &table[i], 24), EINVAL);
	assert_int_equal(b->seen.calls, 0);
}

/* ---- interrupts */

#define EVENTFD_TRIGGER (VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER)
#define NONE_TRIGGER	(VFIO_USER_IRQ_SET_DATA_NONE | VFIO_USER_IRQ_SET_ACTION_TRIGGER)
#define BOOL_TRIGGER	(VFIO_USER_IRQ_SET_DATA_BOOL | VFIO_USER_IRQ_SET_ACTION_TRIGGER)

static int
set_irqs(struct bench *b, uint32_t index, uint32_t flags, uint32_t start, uint32_t count,
	const int *fds, unsigned int nfds)
{
	const struct vfio_user_irq_set_msg m = {20, flags, index, start, count};

	return request_fds(b, VFIO_USER_DEVICE_SET_IRQS, &m, sizeof(m), fds, nfds);
}

static void
first_enabling_of_msix_comes_without_a_descriptor(void **state)
{
	struct bench *b = *state;

	assert_int_equal(set_irqs(b, MSIX, EVENTFD_TRIGGER, 0, 1, NULL, 0), 0);
	assert_int_equal(b->seen.irq.data, VFIO_USER_IRQ_EVENTFD);
	assert_int_equal(b->seen.irq.action, VFIO_USER_IRQ_TRIGGER);
	assert_int_equal(b->seen.irq.count, 1);
	assert_null(b->seen.irq.fds);
}

static void
vector_s_eventfd_reaches_the_device_which_owns_it(void **state)
{
	struct bench *b = *state;
	int fds[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};

	assert_int_equal(set_irqs(b, MSIX, EVENTFD_TRIGGER, 3, 2, fds, 2), 0);
	assert_int_equal(b->seen.irq.index, MSIX);
	assert_int_equal(b->seen.irq.start, 3);
	assert_int_equal(b->seen.nfds, 2);
	assert_true(b->seen.fds[0] != b->seen.fds[1]);
	close_all(2, b->seen.fds);
	close_all(2, fds);
}

static void
disabling_an_index_names_no_interrupt(void **state)
{
	struct bench *b = *state;

	assert_int_equal(set_irqs(b, MSIX, NONE_TRIGGER, 0, 0, NULL, 0), 0);
	assert_int_equal(b->seen.irq.count, 0);
	assert_int_equal(b->seen.irq.data, VFIO_USER_IRQ_NONE);
	assert_int_equal(b->seen.irq.action, VFIO_USER_IRQ_TRIGGER);
}

static void
intx_is_unmasked_after_each_interrupt(void **state)
{
	struct bench *b = *state;

	assert_int_equal(
		set_irqs(b, INTX, VFIO_USER_IRQ_SET_DATA_NONE | VFIO_USER_IRQ_SET_ACTION_UNMASK, 0,
			1, NULL, 0),
		0);
	assert_int_equal(b->seen.irq.action, VFIO_USER_IRQ_UNMASK);
	assert_int_equal(
		set_irqs(b, INTX, VFIO_USER_IRQ_SET_DATA_NONE | VFIO_USER_IRQ_SET_ACTION_MASK, 0, 1,
			NULL, 0),
		0);
	assert_int_equal(b->seen.irq.action, VFIO_USER_IRQ_MASK);
}

static void
booleans_choose_the_interrupts(void **state)
{
	struct bench *b = *state;
	struct {
		struct vfio_user_irq_set_msg m;
		uint8_t bools[3];
	} __attribute__((packed)) body = {{23, BOOL_TRIGGER, MSIX, 1, 3}, {1, 0, 1}};

	assert_int_equal(request(b, VFIO_USER_DEVICE_SET_IRQS, &body, 23), 0);
	assert_int_equal(b->seen.irq.data, VFIO_USER_IRQ_BOOL);
	assert_memory_equal(b->seen.bools, body.bools, 3);
	assert_int_equal(request(b, VFIO_USER_DEVICE_SET_IRQS, &body, 22), EINVAL);
	body.m.argsz = 22;
	assert_int_equal(request(b, VFIO_USER_DEVICE_SET_IRQS, &body, 22), EINVAL);
}

static void
malformed_interrupt_setting_is_refused_and_its_descriptors_closed(void **state)
{
	static const struct {
		struct vfio_user_irq_set_msg m;
		unsigned int nfds;
	} table[] = {
		{{19, EVENTFD_TRIGGER, MSIX, 0, 1}, 1},
		{{24, EVENTFD_TRIGGER, MSIX, 0, 1}, 1},
		{{20, EVENTFD_TRIGGER, 5, 0, 1}, 1},
		{{20, EVENTFD_TRIGGER, UINT32_MAX, 0, 1}, 1},
		{{20, EVENTFD_TRIGGER, 1, 0, 1}, 1}, /* MSI: no vectors */
		{{20, EVENTFD_TRIGGER, MSIX, VECTORS, 1}, 1},
		{{20, EVENTFD_TRIGGER, MSIX, 1, VECTORS}, 0},
		{{20, EVENTFD_TRIGGER, MSIX, 1, UINT32_MAX}, 0},
		{{20, EVENTFD_TRIGGER, MSIX, UINT32_MAX, 2}, 0},
		{{20, EVENTFD_TRIGGER, MSIX, 0, 0}, 0},
		{{20, EVENTFD_TRIGGER, MSIX, 0, 1}, 2},
		{{20, EVENTFD_TRIGGER, MSIX, 0, 3}, 2},
		{{20, NONE_TRIGGER, MSIX, 0, 1}, 1},
		{{20, NONE_TRIGGER, MSIX, 1, 0}, 0},
		{{20, BOOL_TRIGGER, MSIX, 0, 0}, 0},
		{{20, BOOL_TRIGGER, MSIX, 0, 1}, 0},
		{{20, 0, MSIX, 0, 1}, 0},
		{{20, VFIO_USER_IRQ_SET_DATA_EVENTFD, MSIX, 0, 1}, 1},
		{{20, VFIO_USER_IRQ_SET_ACTION_TRIGGER, MSIX, 0, 1}, 0},
		{{20, EVENTFD_TRIGGER | VFIO_USER_IRQ_SET_DATA_NONE, MSIX, 0, 1}, 0},
		{{20, EVENTFD_TRIGGER | VFIO_USER_IRQ_SET_ACTION_MASK, MSIX, 0, 1}, 0},
		{{20, EVENTFD_TRIGGER | 0x40, MSIX, 0, 1}, 0},
		{{20, VFIO_USER_IRQ_SET_DATA_NONE | VFIO_USER_IRQ_SET_ACTION_MASK, MSIX, 0, 1}, 0},
		{{20, VFIO_USER_IRQ_SET_DATA_NONE | VFIO_USER_IRQ_SET_ACTION_MASK, INTX, 0, 0}, 0},
	};
	struct bench *b = *state;
	int fds[2] = {memfd("a"), memfd("b")}, before = open_fds();
	uint8_t body[24] = {0};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memcpy(body, &table[i].m, 20);
		assert_int_equal(
			request_fds(b, VFIO_USER_DEVICE_SET_IRQS, body, 20, fds, table[i].nfds),
			EINVAL);
	}
	assert_int_equal(b->seen.calls, 0);
	assert_int_equal(open_fds(), before);
	close_all(2, fds);
}

static int
test_vfio_user_access(void)
{
	const struct CMUnitTest tests[] = {
		T(whole_configuration_space_is_read_in_one_message),
		T(write_reaches_the_device_and_is_confirmed),
		T(access_out_of_bounds_never_reaches_the_device),
		T(access_against_the_region_s_flags_is_refused),
		T(write_whose_count_is_not_its_data_s_size_is_refused),
		T(error_of_an_operation_is_the_reply_s_errno),
		T(several_writes_in_one_message_are_done_in_order),
		T(failure_among_several_writes_tells_how_many_were_done),
		T(several_writes_go_on_after_each_pending_one),
		T(pending_write_that_fails_ends_the_series),
		T(malformed_series_changes_nothing),
		T(range_with_a_descriptor_reaches_the_device_which_owns_it),
		T(descriptor_of_a_failed_map_is_the_operation_s_too),
		T(range_without_a_descriptor_has_none),
		T(malformed_range_is_refused_and_its_descriptor_closed),
		T(unmap_is_answered_with_the_range),
		T(unmap_of_everything_has_neither_address_nor_size),
		T(malformed_unmap_is_refused),
		T(first_enabling_of_msix_comes_without_a_descriptor),
		T(vector_s_eventfd_reaches_the_device_which_owns_it),
		T(disabling_an_index_names_no_interrupt),
		T(intx_is_unmasked_after_each_interrupt),
		T(booleans_choose_the_interrupts),
		T(malformed_interrupt_setting_is_refused_and_its_descriptors_closed),
	};

	return cmocka_run_group_tests_name("vfio_user_access", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_access, test_vfio_user_access)
