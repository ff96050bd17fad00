/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The registers in the BAR: each at its width and no other, and nothing a driver writes does harm.
 */

#include <errno.h>

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "test.h"
#include "virtio_pci_fixture.h"

/* ---- PCI side ---- */

static void
function_is_a_modern_network_device(void **state)
{
	struct pci_fn_params params;

	virtio_pci_fn_params(&params, FIX_VECTORS, false);
	assert_int_equal(params.vendor_id, 0x1af4);
	assert_int_equal(params.device_id, 0x1041);
	assert_int_equal(params.subsys_id, 0x1041);
	assert_int_equal(params.class_code, 0x020000);
	assert_int_equal(params.revision, 1);
	assert_int_equal(params.bar[2].size, 0x2000);
	virtio_pci_fn_params(&params, FIX_VECTORS, true);
	assert_int_equal(params.msix_vectors, 0);
	assert_int_equal(params.bar[2].size, 0);
	assert_true(params.intx);
}

static void
vendor_capabilities_say_where_the_structures_are(void **state)
{
	static const struct {
		uint16_t off;
		uint32_t dword[5];
	} table[] = {
		{CAP_COMMON, {0x0110a009, 0x00000000, 0x0000, 60}},
		{CAP_ISR, {0x0310b009, 0x00000000, 0x1000, 1}},
		{CAP_DEVICE, {0x0410c009, 0x00000000, 0x2000, sizeof(struct virtio_net_config)}},
		{CAP_NOTIFY, {0x0214d409, 0x00000000, 0x3000, 0x1000, 4}},
		{CAP_PCI_CFG, {0x05140009, 0x00000000, 0, 0, 0}},
	};
	struct fix *f = *state;

	assert_int_equal(pci_fn_find_cap(f->fn, PCI_CAP_ID_VNDR), CAP_COMMON);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		for (unsigned int d = 0; d < (table[i].off >= CAP_NOTIFY ? 5 : 4); d++)
			if (cfg_rd(f, table[i].off + 4 * d, 4) != table[i].dword[d])
				fail_msg("capability %#x, dword %u: %#x", table[i].off, d,
					cfg_rd(f, table[i].off + 4 * d, 4));
}

/* ---- common configuration ---- */

/* What each register reads after `write` was written with queue 1 selected. */
static const struct common_case {
	uint8_t off, width;
	uint32_t write, reads;
} common[] = {
	{VIRTIO_PCI_COMMON_DFSELECT, 4, 0xdeadbeef, 0xdeadbeef},
	{VIRTIO_PCI_COMMON_GFSELECT, 4, 0x00000001, 0x00000001},
	{VIRTIO_PCI_COMMON_GF, 4, 0x12345678, 0x12345678}, {VIRTIO_PCI_COMMON_MSIX, 2, 3, 3},
	{VIRTIO_PCI_COMMON_NUMQ, 2, 77, FIX_QUEUES}, {VIRTIO_PCI_COMMON_STATUS, 1, ACK, ACK},
	{VIRTIO_PCI_COMMON_CFGGENERATION, 1, 9, 0}, {VIRTIO_PCI_COMMON_Q_SELECT, 2, 1, 1},
	{VIRTIO_PCI_COMMON_Q_SIZE, 2, 64, 64}, {VIRTIO_PCI_COMMON_Q_MSIX, 2, 9, 9},
	{VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1, 0}, /* too early */
	{VIRTIO_PCI_COMMON_Q_NOFF, 2, 7, 1},
	{VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x11110000, 0x11110000},
	{VIRTIO_PCI_COMMON_Q_DESCHI, 4, 0x22220000, 0x22220000},
	{VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x33330000, 0x33330000},
	{VIRTIO_PCI_COMMON_Q_AVAILHI, 4, 0x44440000, 0x44440000},
	{VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x55550000, 0x55550000},
	{VIRTIO_PCI_COMMON_Q_USEDHI, 4, 0x66660000, 0x66660000},
	{VIRTIO_PCI_COMMON_Q_NDATA, 2, 7, 1},
	{VIRTIO_PCI_COMMON_Q_RESET, 2, 1, 0}, /* nothing to reset */
};

static void
common_registers_work_at_their_own_width(void **state)
{
	struct fix *f = *state;

	wr(f, VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	for (size_t i = 0; i < ARRAY_SIZE(common); i++) {
		wr(f, common[i].off, common[i].width, common[i].write);
		if (rd(f, common[i].off, common[i].width) != common[i].reads)
			fail_msg("register %u reads %#x", common[i].off,
				rd(f, common[i].off, common[i].width));
	}
	assert_int_equal(f->o->st.queue[1].desc, 0x2222000011110000);
	assert_int_equal(f->o->st.queue[1].driver, 0x4444000033330000);
	assert_int_equal(f->o->st.queue[1].device, 0x6666000055550000);
	assert_int_equal(f->o->st.queue[0].desc, 0);
}

static bool
is_register(uint32_t off, uint32_t width)
{
	for (size_t i = 0; i < ARRAY_SIZE(common); i++)
		if (common[i].off == off)
			return common[i].width == width;
	return off == VIRTIO_PCI_COMMON_DF && width == 4;
}

static void
common_registers_ignore_every_other_width_and_place(void **state)
{
	struct fix *f = *state;
	struct virtio_state *before = malloc(sizeof(*before));
	uint8_t ones[16], got[16];

	memset(ones, 0xff, sizeof(ones));
	*before = f->o->st;
	for (uint32_t off = 0; off < 80; off++)
		for (uint32_t width = 0; width <= sizeof(ones); width++) {
			if (is_register(off, width))
				continue;
			assert_int_equal(virtio_pci_bar_write(f->vp, off, ones, width), 0);
			memset(got, 0xee, sizeof(got));
			assert_int_equal(virtio_pci_bar_read(f->vp, off, got, width), 0);
			for (uint32_t i = 0; i < width; i++)
				assert_int_equal(got[i], 0);
		}
	assert_memory_equal(before, &f->o->st, sizeof(*before));
	free(before);
}

static void
features_are_read_and_written_in_halves(void **state)
{
	struct fix *f = *state;
	uint64_t features = virtio_net_default_features(UINT64_MAX);

	for (uint32_t half = 0; half < 2; half++) {
		wr(f, VIRTIO_PCI_COMMON_DFSELECT, 4, half);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_DF, 4), (uint32_t)(features >> 32 * half));
		wr(f, VIRTIO_PCI_COMMON_GFSELECT, 4, half);
		wr(f, VIRTIO_PCI_COMMON_GF, 4, 0x100 + half);
	}
	assert_int_equal(f->o->st.driver_features, 0x0000010100000100);
}

static void
feature_halves_beyond_the_second_are_empty(void **state)
{
	static const uint32_t selects[] = {2, 3, 32, 0x80000000, 0xffffffff};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(selects); i++) {
		wr(f, VIRTIO_PCI_COMMON_DFSELECT, 4, selects[i]);
		wr(f, VIRTIO_PCI_COMMON_GFSELECT, 4, selects[i]);
		wr(f, VIRTIO_PCI_COMMON_GF, 4, 0xffffffff);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_DF, 4), 0);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_GF, 4), 0);
	}
	assert_int_equal(f->o->st.driver_features, 0);
}

static void
queues_beyond_the_last_read_as_absent(void **state)
{
	static const uint16_t selects[] = {FIX_QUEUES, VIRTIO_MAX_QUEUES, 0x7fff, 0xffff};
	struct fix *f = *state;
	struct virtio_state *before = malloc(sizeof(*before));

	driver_at(f->o, FOK, FIX_MINIMAL);
	for (size_t i = 0; i < ARRAY_SIZE(selects); i++) {
		wr(f, VIRTIO_PCI_COMMON_Q_SELECT, 2, selects[i]);
		*before = f->o->st;
		for (uint32_t off = VIRTIO_PCI_COMMON_Q_SIZE; off <= VIRTIO_PCI_COMMON_Q_RESET;
			off += 2)
			for (uint32_t width = 2; width <= 4; width += 2) {
				wr(f, off, width, 1);
				assert_int_equal(rd(f, off, width),
					off == VIRTIO_PCI_COMMON_Q_MSIX && width == 2
						? VIRTIO_NO_VECTOR
						: 0);
			}
		assert_memory_equal(before, &f->o->st, sizeof(*before));
	}
	free(before);
}

static void
vectors_the_function_lacks_read_back_as_no_vector(void **state)
{
	static const uint16_t bad[] = {FIX_VECTORS, 0x100, 0x7fff, 0xfffe, 0xffff};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		wr(f, VIRTIO_PCI_COMMON_MSIX, 2, 1);
		wr(f, VIRTIO_PCI_COMMON_MSIX, 2, bad[i]);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_NO_VECTOR);
		wr(f, VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
		wr(f, VIRTIO_PCI_COMMON_Q_MSIX, 2, bad[i]);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_NO_VECTOR);
	}
}

static void
bad_queue_sizes_keep_the_queue_from_being_enabled(void **state)
{
	static const uint16_t bad[] = {0, 3, FIX_QUEUE_SIZE * 2, 65535};
	struct fix *f = *state;

	driver_at(f->o, FOK, FIX_MINIMAL);
	driver_sets_queue(f->o, 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		wr(f, VIRTIO_PCI_COMMON_Q_SIZE, 2, bad[i]);
		wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	}
	wr(f, VIRTIO_PCI_COMMON_Q_SIZE, 2, 32);
	wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 2); /* only 1 enables */
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

static void
running_queue_keeps_its_registers(void **state)
{
	struct fix *f = *state;

	driver_at(f->o, FOK, FIX_MINIMAL);
	driver_sets_queue(f->o, 0);
	wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	wr(f, VIRTIO_PCI_COMMON_Q_SIZE, 2, 128);
	wr(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0);
	wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 0);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0x100000);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
}

static void
queue_that_is_being_started_keeps_its_registers(void **state)
{
	struct fix *f = *state;
	uint16_t one = 1;

	driver_at(f->o, DOK, FIX_MINIMAL);
	driver_sets_queue(f->o, 0);
	f->o->answer = -EINPROGRESS;
	assert_int_equal(
		virtio_pci_bar_write(f->vp, VIRTIO_PCI_COMMON_Q_ENABLE, &one, 2), -EINPROGRESS);
	wr(f, VIRTIO_PCI_COMMON_Q_SIZE, 2, 3);
	virtio_dev_op_done(f->o->dev);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
}

static void
status_write_that_takes_time_is_reported(void **state)
{
	struct fix *f = *state;
	uint8_t status = DOK;

	driver_at(f->o, FOK, FIX_MINIMAL);
	f->o->answer = -EINPROGRESS;
	assert_int_equal(
		virtio_pci_bar_write(f->vp, VIRTIO_PCI_COMMON_STATUS, &status, 1), -EINPROGRESS);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_STATUS, 1), FOK);
	virtio_dev_op_done(f->o->dev);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_STATUS, 1), DOK);
}

static void
queue_reset_register_reads_one_until_done(void **state)
{
	struct fix *f = *state;
	uint16_t one = 1;

	driver_at(f->o, FOK, FIX_MINIMAL | VIRTIO_BIT(VIRTIO_F_RING_RESET));
	driver_sets_queue(f->o, 0);
	wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	wr(f, VIRTIO_PCI_COMMON_STATUS, 1, DOK);
	f->o->answer = -EINPROGRESS;
	assert_int_equal(
		virtio_pci_bar_write(f->vp, VIRTIO_PCI_COMMON_Q_RESET, &one, 2), -EINPROGRESS);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_RESET, 2), 1);
	wr(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0xbad0);
	virtio_dev_op_done(f->o->dev);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4), 0);
}

static void
queue_that_was_reset_is_enabled_with_another_size(void **state)
{
	static const struct {
		uint64_t features;
		uint16_t size;
		uint32_t enabled;
	} table[] = {
		{0, FIX_QUEUE_SIZE, 1},
		{0, 8, 1},
		{0, 100, 0}, /* no power of two */
		{0, FIX_QUEUE_SIZE * 2, 0},
		{VIRTIO_BIT(VIRTIO_F_RING_PACKED), 100, 1},
		{VIRTIO_BIT(VIRTIO_F_RING_PACKED), 1, 1},
	};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		driver_at(f->o, FOK,
			FIX_MINIMAL | VIRTIO_BIT(VIRTIO_F_RING_RESET) | table[i].features);
		driver_sets_queue(f->o, 0);
		wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		wr(f, VIRTIO_PCI_COMMON_STATUS, 1, DOK);
		wr(f, VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SIZE, 2), FIX_QUEUE_SIZE);
		driver_sets_queue(f->o, 0);
		wr(f, VIRTIO_PCI_COMMON_Q_SIZE, 2, table[i].size);
		wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		if (rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2) != table[i].enabled)
			fail_msg("row %zu", i);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_SIZE, 2), table[i].size);
		wr(f, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	}
}

/* ---- the other structures ---- */

static void
isr_is_cleared_and_intx_lowered_by_a_byte_read(void **state)
{
	struct fix *f = *state;

	virtio_dev_queue_interrupt(f->o->dev, 0);
	assert_int_equal(rd(f, VIRTIO_PCI_ISR_OFFSET, 2), 0);
	assert_int_equal(rd(f, VIRTIO_PCI_ISR_OFFSET, 4), 0);
	assert_true(f->o->intx);
	assert_int_equal(rd(f, VIRTIO_PCI_ISR_OFFSET, 1), 1);
	assert_false(f->o->intx);
	assert_int_equal(rd(f, VIRTIO_PCI_ISR_OFFSET, 1), 0);
}

static void
device_configuration_reads_at_any_width(void **state)
{
	struct fix *f = *state;
	uint8_t whole[64], part[32];

	assert_int_equal(
		virtio_pci_bar_read(f->vp, VIRTIO_PCI_DEVICE_OFFSET, whole, sizeof(whole)), 0);
	/* RSS is not offered, so the fields from rss_max_key_size on do not exist. */
	assert_memory_equal(
		whole, &f->o->st.config, offsetof(struct virtio_net_config, rss_max_key_size));
	for (size_t i = offsetof(struct virtio_net_config, rss_max_key_size); i < sizeof(whole);
		i++)
		assert_int_equal(whole[i], 0);
	for (uint32_t off = 0; off < 32; off++)
		for (uint32_t len = 0; len <= sizeof(part); len++) {
			assert_int_equal(virtio_pci_bar_read(
						 f->vp, VIRTIO_PCI_DEVICE_OFFSET + off, part, len),
				0);
			assert_memory_equal(part, whole + off, len);
		}
}

static void
configuration_fields_exist_with_their_feature_only(void **state)
{
	static const struct {
		unsigned int feature;
		uint32_t off, width, value;
	} table[] = {
		{VIRTIO_NET_F_MAC, 0, 4, 0x33221102},
		{VIRTIO_NET_F_STATUS, 6, 2, VIRTIO_NET_S_LINK_UP},
		{VIRTIO_NET_F_MQ, 8, 2, 4},
		{VIRTIO_NET_F_MTU, 10, 2, 1500},
		{VIRTIO_NET_F_SPEED_DUPLEX, 12, 4, 200000},
		{VIRTIO_NET_F_SPEED_DUPLEX, 16, 1, 1},
		{VIRTIO_NET_F_RSS, 17, 1, 40},
		{VIRTIO_NET_F_HASH_REPORT, 17, 1, 40},
		{VIRTIO_NET_F_RSS, 18, 2, 128},
		{VIRTIO_NET_F_HASH_REPORT, 18, 2, 0},
		{VIRTIO_NET_F_RSS, 20, 4, 0x3f},
		{VIRTIO_NET_F_HASH_REPORT, 20, 4, 0x3f},
	};
	struct fix *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		f->o->st.device_features = VIRTIO_BIT(table[i].feature);
		assert_int_equal(rd(f, VIRTIO_PCI_DEVICE_OFFSET + table[i].off, table[i].width),
			table[i].value);
		f->o->st.device_features = 0;
		assert_int_equal(rd(f, VIRTIO_PCI_DEVICE_OFFSET + table[i].off, table[i].width), 0);
	}
}

static void
device_configuration_cannot_be_written(void **state)
{
	struct fix *f = *state;
	struct virtio_net_config before = f->o->st.config;

	for (uint32_t off = 0; off < sizeof(before); off++)
		wr(f, VIRTIO_PCI_DEVICE_OFFSET + off, 1, 0xff);
	assert_memory_equal(&before, &f->o->st.config, sizeof(before));
}

static void
doorbell_of_a_running_queue_is_passed_on(void **state)
{
	static const struct {
		uint32_t off, width;
		bool rings;
	} table[] = {
		{4, 2, true},
		{4, 1, false},
		{4, 4, false},
		{5, 2, false},
		{6, 2, false},
		{0, 2, false},
		{FIX_QUEUES * 4, 2, false},
		{VIRTIO_MAX_QUEUES * 4, 2, false},
		{0xffc, 2, false},
		{0xffe, 2, false},
	};
	struct fix *f = *state;

	driver_at(f->o, FOK, FIX_MINIMAL);
	driver_sets_queue(f->o, 1);
	virtio_dev_queue_enable(f->o->dev, 1);
	virtio_dev_set_status(f->o->dev, DOK);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		f->o->notify = 0;
		wr(f, VIRTIO_PCI_NOTIFY_OFFSET + table[i].off, table[i].width, 0xffff);
		if (f->o->notify != table[i].rings)
			fail_msg("row %zu", i);
		assert_int_equal(rd(f, VIRTIO_PCI_NOTIFY_OFFSET + table[i].off, table[i].width), 0);
	}
}

static void
doorbell_with_data_has_four_bytes(void **state)
{
	static const struct {
		uint32_t off, width, value;
		bool rings;
	} table[] = {
		{4, 4, 0x00000001, true},
		{4, 4, 0x80ff0001, true}, /* next entry 255, wrap counter 1 */
		{4, 2, 0x0001, false}, {4, 1, 0x01, false}, {6, 4, 0x00000001, false},
		{0, 4, 0x00000001, false}, /* the address counts: queue 0 does not run */
	};
	struct fix *f = *state;

	f->o->st.device_features |= VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA);
	driver_at(f->o, FOK, FIX_MINIMAL | VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA));
	driver_sets_queue(f->o, 1);
	virtio_dev_queue_enable(f->o->dev, 1);
	virtio_dev_set_status(f->o->dev, DOK);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		f->o->notify = 0;
		wr(f, VIRTIO_PCI_NOTIFY_OFFSET + table[i].off, table[i].width, table[i].value);
		if (f->o->notify != table[i].rings)
			fail_msg("row %zu", i);
	}
}

static void
accesses_beyond_the_bar_are_refused(void **state)
{
	static const struct {
		uint64_t off;
		uint32_t len;
	} bad[] = {{VIRTIO_PCI_BAR_SIZE, 1}, {VIRTIO_PCI_BAR_SIZE - 1, 2}, {UINT64_MAX, 1},
		{0, UINT32_MAX}, {UINT64_MAX - 3, 8}};
	struct fix *f = *state;
	uint32_t v = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(virtio_pci_bar_read(f->vp, bad[i].off, &v, bad[i].len), -EINVAL);
		assert_int_equal(virtio_pci_bar_write(f->vp, bad[i].off, &v, bad[i].len), -EINVAL);
	}
}

/* ---- PCI configuration access ---- */

static void
window_set(struct fix *f, uint8_t bar, uint32_t off, uint32_t len)
{
	pci_fn_cfg_write(f->fn, CAP_PCI_CFG + VIRTIO_PCI_CAP_BAR, &bar, 1);
	pci_fn_cfg_write(f->fn, CAP_PCI_CFG + VIRTIO_PCI_CAP_OFFSET, &off, 4);
	pci_fn_cfg_write(f->fn, CAP_PCI_CFG + VIRTIO_PCI_CAP_LENGTH, &len, 4);
}

static const uint32_t window_data = CAP_PCI_CFG + sizeof(struct virtio_pci_cap);

static uint32_t
window_read(struct fix *f)
{
	virtio_pci_cfg_access_read(f->vp, window_data, 4);
	return cfg_rd(f, window_data, 4);
}

static int
window_write(struct fix *f, uint32_t v)
{
	assert_int_equal(pci_fn_cfg_write(f->fn, window_data, &v, 4), PCI_EV_VENDOR);
	return virtio_pci_cfg_access_write(f->vp, window_data, 4);
}

static void
window_reaches_the_registers(void **state)
{
	struct fix *f = *state;

	window_set(f, 0, VIRTIO_PCI_COMMON_NUMQ, 2);
	assert_int_equal(window_read(f) & 0xffff, FIX_QUEUES);
	window_set(f, 0, VIRTIO_PCI_COMMON_STATUS, 1);
	assert_int_equal(window_write(f, DRV), 0);
	assert_int_equal(f->o->st.status, DRV);
	driver_at(f->o, FOK, FIX_MINIMAL);
	f->o->answer = -EINPROGRESS;
	assert_int_equal(window_write(f, DOK), -EINPROGRESS);
}

static void
wild_windows_do_nothing(void **state)
{
	static const struct {
		uint8_t bar;
		uint32_t off, len;
	} table[] = {
		{1, 0x14, 1},
		{6, 0x14, 1},
		{0xff, 0x14, 1},
		{0, 0x14, 0},
		{0, 0x14, 3},
		{0, 0x14, 8},
		{0, 0x14, 0xffffffff},
		{0, 0x15, 2},
		{0, 0x16, 4},
		{0, 0x4000, 1},
		{0, 0xffffffff, 1},
		{0, 0xfffffffc, 4},
		{0, 0x4000, 4},
		{2, 0, 4},
	};
	struct fix *f = *state;
	struct virtio_state *before = malloc(sizeof(*before));

	*before = f->o->st;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		window_set(f, table[i].bar, table[i].off, table[i].len);
		assert_int_equal(window_write(f, 0x5a5a5a5a), 0);
		assert_int_equal(window_read(f), 0x5a5a5a5a);
	}
	assert_memory_equal(before, &f->o->st, sizeof(*before));
	free(before);
}

static void
window_opens_only_when_its_data_is_touched(void **state)
{
	static const struct {
		uint32_t off, len;
		bool opens;
	} table[] = {
		{0, 4096, true},
		{0xe4, 4, true},
		{0xe7, 1, true},
		{0xe0, 5, true},
		{0xe0, 4, false},
		{0xe8, 4, false},
		{0xe4, 0, false},
		{0xffffffff, 4, false},
		{0, 0xffffffff, false},
	};
	struct fix *f = *state;

	assert_int_equal(window_data, 0xe4);
	window_set(f, 0, VIRTIO_PCI_ISR_OFFSET, 1);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		virtio_dev_queue_interrupt(f->o->dev, 0);
		virtio_pci_cfg_access_read(f->vp, table[i].off, table[i].len);
		if ((f->o->st.isr == 0) != table[i].opens)
			fail_msg("row %zu", i);
	}
}

/* ---- a driver's whole start ---- */

static void
driver_brings_the_device_up_through_registers(void **state)
{
	struct fix *f = *state;
	uint64_t want = virtio_net_default_features(UINT64_MAX);

	f->o->msix = true;
	wr(f, VIRTIO_PCI_COMMON_STATUS, 1, 0);
	wr(f, VIRTIO_PCI_COMMON_STATUS, 1, ACK);
	wr(f, VIRTIO_PCI_COMMON_STATUS, 1, DRV);
	for (uint32_t half = 0; half < 2; half++) {
		wr(f, VIRTIO_PCI_COMMON_GFSELECT, 4, half);
		wr(f, VIRTIO_PCI_COMMON_GF, 4, (uint32_t)(want >> 32 * half));
	}
	wr(f, VIRTIO_PCI_COMMON_STATUS, 1, FOK);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_STATUS, 1), FOK);
	for (uint16_t q = 0; q < FIX_QUEUES; q++) {
		wr(f, VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
		wr(f, VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x10000);
		wr(f, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, 0x20000);
		wr(f, VIRTIO_PCI_COMMON_Q_USEDLO, 4, 0x30000);
		wr(f, VIRTIO_PCI_COMMON_Q_MSIX, 2, q + 1);
		wr(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
		assert_int_equal(rd(f, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	}
	wr(f, VIRTIO_PCI_COMMON_STATUS, 1, DOK);
	assert_int_equal(rd(f, VIRTIO_PCI_COMMON_STATUS, 1), DOK);
	assert_int_equal(f->o->features, want);
	virtio_dev_queue_interrupt(f->o->dev, 3);
	assert_int_equal(f->o->irqs[4], 1);
}

#define VP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
test_virtio_pci(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_is_a_modern_network_device),
		VP_TEST(vendor_capabilities_say_where_the_structures_are),
		VP_TEST(common_registers_work_at_their_own_width),
		VP_TEST(common_registers_ignore_every_other_width_and_place),
		VP_TEST(features_are_read_and_written_in_halves),
		VP_TEST(feature_halves_beyond_the_second_are_empty),
		VP_TEST(queues_beyond_the_last_read_as_absent),
		VP_TEST(vectors_the_function_lacks_read_back_as_no_vector),
		VP_TEST(bad_queue_sizes_keep_the_queue_from_being_enabled),
		VP_TEST(running_queue_keeps_its_registers),
		VP_TEST(queue_that_is_being_started_keeps_its_registers),
		VP_TEST(status_write_that_takes_time_is_reported),
		VP_TEST(queue_reset_register_reads_one_until_done),
		VP_TEST(queue_that_was_reset_is_enabled_with_another_size),
		VP_TEST(isr_is_cleared_and_intx_lowered_by_a_byte_read),
		VP_TEST(device_configuration_reads_at_any_width),
		VP_TEST(configuration_fields_exist_with_their_feature_only),
		VP_TEST(device_configuration_cannot_be_written),
		VP_TEST(doorbell_of_a_running_queue_is_passed_on),
		VP_TEST(doorbell_with_data_has_four_bytes),
		VP_TEST(accesses_beyond_the_bar_are_refused),
		VP_TEST(window_reaches_the_registers),
		VP_TEST(wild_windows_do_nothing),
		VP_TEST(window_opens_only_when_its_data_is_touched),
		VP_TEST(driver_brings_the_device_up_through_registers),
	};

	return cmocka_run_group_tests_name("virtio_pci", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(virtio_pci, test_virtio_pci)
