/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The device side: version, what is refused, what is told about the device, pending operations. */

#include "test.h"
#include "vfio_user_device_bench.h"

/* ---- version */

static int
version(struct bench *b, uint16_t major, uint16_t minor, const char *json)
{
	uint8_t body[512];
	struct vfio_user_version v = {.major = major, .minor = minor};

	memcpy(body, &v, sizeof(v));
	strcpy((char *)body + sizeof(v), json);
	return request(b, VFIO_USER_VERSION, body, sizeof(v) + strlen(json) + 1);
}

static void
version_is_answered_with_0_0_and_our_limits(void **state)
{
	struct bench *b = *state;

	assert_false(vfio_user_device_attached(b->dev));
	assert_int_equal(
		version(b, 0, 0, "{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true}}"),
		0);
	assert_memory_equal(b->mb->reply, "\0\0\0\0", 4);
	assert_string_equal((char *)b->mb->reply + 4,
		"{\"capabilities\":{\"max_msg_fds\":16,\"max_data_xfer_size\":4096,"
		"\"max_dma_maps\":65535,\"pgsizes\":4096}}");
	assert_int_equal(b->mb->reply_len, 4 + strlen((char *)b->mb->reply + 4) + 1);
	assert_int_equal(b->attached, 1);
	assert_true(vfio_user_device_attached(b->dev));
	assert_int_equal(b->mb->close, 0);
}

static void
version_of_a_newer_minor_is_answered_with_0_0(void **state)
{
	struct bench *b = *state;

	assert_int_equal(version(b, 0, 7, "{}"), 0);
	assert_memory_equal(b->mb->reply, "\0\0\0\0", 4);
}

static void
version_of_another_major_ends_the_connection(void **state)
{
	struct bench *b = *state;

	assert_int_equal(version(b, 1, 0, "{}"), ENOTSUP);
	assert_int_equal(b->mb->close, 1);
	assert_int_equal(b->attached, 0);
	assert_false(vfio_user_device_attached(b->dev));
}

static void
version_that_cannot_be_read_ends_the_connection(void **state)
{
	struct bench *b = *state;
	int fd = memfd("x");

	assert_int_equal(version(b, 0, 0, "{"), EINVAL);
	assert_int_equal(b->mb->close, 1);
	assert_int_equal(request(b, VFIO_USER_VERSION, "\0\0\0", 3), EINVAL);
	assert_int_equal(b->mb->close, 1);
	assert_int_equal(request_fds(b, VFIO_USER_VERSION, "\0\0\0\0", 4, &fd, 1), EINVAL);
	assert_int_equal(b->mb->close, 1);
	assert_false(vfio_user_device_attached(b->dev));
	close(fd);
}

static void
write_multiple_is_agreed_only_when_offered_and_proposed(void **state)
{
	static const struct {
		bool offer;
		const char *json;
		bool agreed;
	} table[] = {
		{false, "{\"capabilities\":{\"write_multiple\":true}}", false},
		{true, "{\"capabilities\":{\"write_multiple\":true}}", true},
		{true, "{\"capabilities\":{\"write_multiple\":false}}", false},
		{true, "{}", false},
	};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct vfio_user_device_conf conf = {.offer_write_multi = table[i].offer,
			.ops = &ops,
			.ctx = b,
			.mailbox = b->mb};

		vfio_user_device_destroy(b->dev);
		b->mb->negotiated_seq = 0;
		assert_int_equal(vfio_user_device_create(&conf, &b->dev), 0);
		assert_int_equal(version(b, 0, 0, table[i].json), 0);
		assert_int_equal(strstr((char *)b->mb->reply + 4, "write_multiple") != NULL,
			table[i].agreed);
	}
}

static void
every_command_before_version_is_refused(void **state)
{
	struct bench *b = *state;
	uint8_t body[64] = {0};

	for (uint16_t cmd = 0; cmd < 40; cmd++)
		if (cmd != VFIO_USER_VERSION)
			assert_int_equal(request(b, cmd, body, cmd), EINVAL);
	assert_int_equal(b->seen.calls, 0);
}

static void
second_version_is_refused_and_changes_nothing(void **state)
{
	struct bench *b = *state;

	assert_int_equal(version(b, 0, 0, "{}"), 0);
	assert_int_equal(version(b, 0, 0, "{}"), EINVAL);
	assert_int_equal(b->mb->close, 0);
	assert_int_equal(b->attached, 1);
	assert_true(vfio_user_device_attached(b->dev));
}

static void
version_handled_again_by_a_successor_is_no_second_one(void **state)
{
	struct bench *b = *state;

	assert_int_equal(version(b, 0, 0, "{}"), 0);
	/* The first one died before its reply stood. */
	atomic_store(&b->mb->state, MAILBOX_REQUEST);
	vfio_user_device_destroy(b->dev);
	bench_device(b, &ops);
	assert_true(vfio_user_device_handle(b->dev, b->fds));
	assert_int_equal(reply(b), 0);
}

/* ---- commands that are not carried out */

static void
command_not_supported_says_so(void **state)
{
	static const struct {
		uint16_t command;
		int err;
	} table[] = {
		{0, ENOTSUP},
		{VFIO_USER_DEVICE_GET_REGION_IO_FDS, ENOTSUP},
		{VFIO_USER_DMA_READ, EINVAL},
		{VFIO_USER_DMA_WRITE, EINVAL},
		{VFIO_USER_DIRTY_PAGES, ENOTSUP},
		{VFIO_USER_DEVICE_FEATURE, ENOTSUP},
		{VFIO_USER_MIG_DATA_READ, ENOTSUP},
		{VFIO_USER_MIG_DATA_WRITE, ENOTSUP},
		{19, ENOTSUP},
		{UINT16_MAX, ENOTSUP},
	};
	struct bench *b = *state;
	int fd = memfd("x");

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(request(b, table[i].command, "12345678", 8), table[i].err);
		assert_int_equal(request_fds(b, table[i].command, NULL, 0, &fd, 1), table[i].err);
	}
	assert_int_equal(b->seen.calls, 0);
	close(fd);
}

static void
command_without_an_operation_is_not_supported(void **state)
{
	static const struct vfio_user_device_ops none;
	struct bench *b = *state;
	struct vfio_user_dma_map m = {32, 3, 0, 0, 4096};
	struct vfio_user_device_info info = {.argsz = 16};
	int fd = memfd("x");

	vfio_user_device_destroy(b->dev);
	bench_device(b, &none);
	assert_int_equal(request(b, VFIO_USER_DEVICE_RESET, NULL, 0), ENOTSUP);
	assert_int_equal(request_fds(b, VFIO_USER_DMA_MAP, &m, sizeof(m), &fd, 1), ENOTSUP);
	/* Without reset the device does not claim it. */
	assert_int_equal(request(b, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)), 0);
	memcpy(&info, b->mb->reply, sizeof(info));
	assert_int_equal(info.flags, VFIO_USER_DEVICE_F_PCI);
	close(fd);
}

static void
body_of_any_other_size_is_refused(void **state)
{
	static const struct {
		uint16_t command;
		uint32_t len;
	} exact[] = {
		{VFIO_USER_DMA_MAP, 32}, {VFIO_USER_DMA_UNMAP, 24}, {VFIO_USER_DEVICE_GET_INFO, 16},
		{VFIO_USER_DEVICE_GET_REGION_INFO, 32}, {VFIO_USER_DEVICE_GET_IRQ_INFO, 16},
		{VFIO_USER_REGION_READ, 16}, {VFIO_USER_DEVICE_RESET, 0},
	};
	struct bench *b = *state;
	uint8_t body[64] = {32};

	for (size_t i = 0; i < sizeof(exact) / sizeof(exact[0]); i++)
		for (uint32_t len = 0; len < sizeof(body); len++)
			if (len != exact[i].len)
				assert_int_equal(request(b, exact[i].command, body, len), EINVAL);
	assert_int_equal(b->seen.calls, 0);
}

static void
descriptors_with_a_command_that_takes_none_are_refused_and_closed(void **state)
{
	static const struct {
		uint16_t command;
		uint32_t len;
		unsigned int nfds;
	} table[] = {
		{VFIO_USER_DMA_MAP, 32, 2},
		{VFIO_USER_DMA_UNMAP, 24, 1},
		{VFIO_USER_DEVICE_GET_INFO, 16, 1},
		{VFIO_USER_DEVICE_GET_REGION_INFO, 32, 1},
		{VFIO_USER_DEVICE_GET_IRQ_INFO, 16, 1},
		{VFIO_USER_REGION_READ, 16, 1},
		{VFIO_USER_REGION_WRITE, 17, 1},
		{VFIO_USER_DEVICE_RESET, 0, 1},
		{VFIO_USER_REGION_WRITE_MULTI, 32, 16},
	};
	struct bench *b = *state;
	uint8_t body[64] = {32};
	int fds[16], before;

	for (int i = 0; i < 16; i++)
		fds[i] = memfd("x");
	before = open_fds();
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(
			request_fds(b, table[i].command, body, table[i].len, fds, table[i].nfds),
			EINVAL);
	assert_int_equal(b->seen.calls, 0);
	assert_int_equal(open_fds(), before);
	close_all(16, fds);
}

/* ---- information */

static void
device_info_tells_of_a_pci_device_with_reset(void **state)
{
	struct bench *b = *state;
	struct vfio_user_device_info info = {.argsz = 16};

	assert_int_equal(request(b, VFIO_USER_DEVICE_GET_INFO, &info, sizeof(info)), 0);
	assert_int_equal(b->mb->reply_len, sizeof(info));
	memcpy(&info, b->mb->reply, sizeof(info));
	assert_int_equal(info.argsz, 16);
	assert_int_equal(info.flags, VFIO_USER_DEVICE_F_PCI | VFIO_USER_DEVICE_F_RESET);
	assert_int_equal(info.num_regions, 9);
	assert_int_equal(info.num_irqs, 5);
}

static void
region_info_tells_size_and_flags(void **state)
{
	struct bench *b = *state;

	for (uint32_t i = 0; i < VFIO_USER_PCI_REGIONS; i++) {
		struct vfio_user_region_info info = {.argsz = 1000, .index = i};

		assert_int_equal(
			request(b, VFIO_USER_DEVICE_GET_REGION_INFO, &info, sizeof(info)), 0);
		memcpy(&info, b->mb->reply, sizeof(info));
		assert_int_equal(info.argsz, 32);
		assert_int_equal(info.index, i);
		assert_int_equal(info.cap_offset, 0);
		assert_int_equal(info.size, i == BAR0  ? 0x4000
					    : i <= 2   ? 0x1000
					    : i == CFG ? CFG_SIZE
						       : 0);
		assert_int_equal(info.flags, i == 1 ? 1 : i == 2 ? 2 : info.size > 0 ? 3 : 0);
	}
}

static void
irq_info_tells_count_and_flags_without_noresize(void **state)
{
	struct bench *b = *state;

	for (uint32_t i = 0; i < VFIO_USER_PCI_IRQS; i++) {
		struct vfio_user_irq_info info = {.argsz = 16, .index = i};

		assert_int_equal(request(b, VFIO_USER_DEVICE_GET_IRQ_INFO, &info, sizeof(info)), 0);
		memcpy(&info, b->mb->reply, sizeof(info));
		assert_int_equal(info.index, i);
		assert_int_equal(info.count, i == MSIX			 ? VECTORS
					     : i == INTX || i == ERR_IRQ ? 1
									 : 0);
		assert_int_equal(info.flags & VFIO_USER_IRQ_F_NORESIZE, 0);
	}
}

static void
information_with_too_small_argsz_or_a_wrong_index_is_refused(void **state)
{
	struct bench *b = *state;
	const struct vfio_user_device_info dev = {.argsz = 15};
	const struct vfio_user_region_info small = {.argsz = 31}, nine = {.argsz = 32, .index = 9};
	const struct vfio_user_region_info huge = {.argsz = 32, .index = UINT32_MAX};
	const struct vfio_user_irq_info less = {.argsz = 15}, five = {.argsz = 16, .index = 5};

	assert_int_equal(request(b, VFIO_USER_DEVICE_GET_INFO, &dev, sizeof(dev)), EINVAL);
	assert_int_equal(
		request(b, VFIO_USER_DEVICE_GET_REGION_INFO, &small, sizeof(small)), EINVAL);
	assert_int_equal(request(b, VFIO_USER_DEVICE_GET_REGION_INFO, &nine, sizeof(nine)), EINVAL);
	assert_int_equal(request(b, VFIO_USER_DEVICE_GET_REGION_INFO, &huge, sizeof(huge)), EINVAL);
	assert_int_equal(request(b, VFIO_USER_DEVICE_GET_IRQ_INFO, &less, sizeof(less)), EINVAL);
	assert_int_equal(request(b, VFIO_USER_DEVICE_GET_IRQ_INFO, &five, sizeof(five)), EINVAL);
}

/* ---- later, never, again */

static void
pending_operation_is_answered_when_complete(void **state)
{
	struct bench *b = *state;
	const struct vfio_user_region_access a = {0, BAR0, 4};

	b->ret = -EINPROGRESS;
	post(b, VFIO_USER_REGION_READ, &a, sizeof(a), NULL, 0);
	assert_false(vfio_user_device_handle(b->dev, b->fds));
	assert_true(vfio_user_device_pending(b->dev));
	assert_false(vfio_user_device_handle(b->dev, b->fds)); /* not twice */
	assert_int_equal(b->seen.calls, 1);
	memcpy(b->read_buf, "late", 4);
	assert_true(vfio_user_device_complete(b->dev, 0));
	assert_int_equal(reply(b), 0);
	assert_memory_equal(b->mb->reply + sizeof(a), "late", 4);
	assert_false(vfio_user_device_pending(b->dev));
}

static void
completion_without_a_pending_operation_does_nothing(void **state)
{
	struct bench *b = *state;

	assert_false(vfio_user_device_complete(b->dev, 0));
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	assert_false(vfio_user_device_handle(b->dev, b->fds));
}

static void
request_of_a_vanished_client_is_abandoned(void **state)
{
	struct bench *b = *state;

	b->ret = -EINPROGRESS;
	post(b, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0);
	assert_false(vfio_user_device_handle(b->dev, b->fds));
	vfio_user_device_reset_connection(b->dev);
	assert_int_equal(b->mb->reply_wanted, 0);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_REPLY);
	assert_false(vfio_user_device_complete(b->dev, 0));
	assert_false(vfio_user_device_attached(b->dev));
}

static void
unhandled_request_of_a_vanished_client_touches_no_descriptor(void **state)
{
	const struct vfio_user_dma_map m = {32, 3, 0, 0, 0x1000};
	struct bench *b = *state;
	int fd = memfd("ram");

	post(b, VFIO_USER_DMA_MAP, &m, sizeof(m), &fd, 1);
	vfio_user_device_reset_connection(b->dev);
	assert_true(same_file(b->fds[0], fd));
	assert_int_equal(reply(b), ECONNRESET);
	assert_int_equal(b->seen.calls, 0);
	vfio_user_device_reset_connection(b->dev);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	close(fd);
}

static void
successor_handles_the_standing_request_again(void **state)
{
	struct bench *b = *state;

	b->ret = -EINPROGRESS;
	post(b, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0);
	assert_false(vfio_user_device_handle(b->dev, b->fds));
	vfio_user_device_destroy(b->dev);
	bench_device(b, &ops);
	b->ret = 0;
	assert_true(vfio_user_device_handle(b->dev, b->fds));
	assert_int_equal(reply(b), 0);
	assert_int_equal(b->resets, 2);
}

static void
refused_request_is_answered_without_being_looked_at(void **state)
{
	struct bench *b = *state;

	assert_false(vfio_user_device_refuse(b->dev, -EIO));
	post(b, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0);
	assert_true(vfio_user_device_refuse(b->dev, -EIO));
	assert_int_equal(reply(b), EIO);
	assert_int_equal(b->resets, 0);
}

static void
mailbox_that_lies_about_its_lengths_does_no_harm(void **state)
{
	struct bench *b = *state;

	post(b, VFIO_USER_REGION_WRITE_MULTI, NULL, 0, NULL, 0);
	b->mb->req_len = UINT32_MAX;
	b->mb->nfds = 255;
	assert_true(vfio_user_device_handle(b->dev, b->fds));
	assert_int_equal(reply(b), EINVAL);
}

#define V(name) cmocka_unit_test_setup_teardown(name, setup_unnegotiated, teardown)

static int
test_vfio_user_device(void)
{
	const struct CMUnitTest tests[] = {
		V(version_is_answered_with_0_0_and_our_limits),
		V(version_of_a_newer_minor_is_answered_with_0_0),
		V(version_of_another_major_ends_the_connection),
		V(version_that_cannot_be_read_ends_the_connection),
		V(write_multiple_is_agreed_only_when_offered_and_proposed),
		V(every_command_before_version_is_refused),
		V(second_version_is_refused_and_changes_nothing),
		V(version_handled_again_by_a_successor_is_no_second_one),
		T(command_not_supported_says_so),
		T(command_without_an_operation_is_not_supported),
		T(body_of_any_other_size_is_refused),
		T(descriptors_with_a_command_that_takes_none_are_refused_and_closed),
		T(device_info_tells_of_a_pci_device_with_reset),
		T(region_info_tells_size_and_flags),
		T(irq_info_tells_count_and_flags_without_noresize),
		T(information_with_too_small_argsz_or_a_wrong_index_is_refused),
		T(pending_operation_is_answered_when_complete),
		T(completion_without_a_pending_operation_does_nothing),
		T(request_of_a_vanished_client_is_abandoned),
		T(unhandled_request_of_a_vanished_client_touches_no_descriptor),
		T(successor_handles_the_standing_request_again),
		T(refused_request_is_answered_without_being_looked_at),
		T(mailbox_that_lies_about_its_lengths_does_no_harm),
	};

	return cmocka_run_group_tests_name("vfio_user_device", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_device, test_vfio_user_device)
