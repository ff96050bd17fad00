/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Configuration space of a function: what reads as what, what can be written, what a write means.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/pci_regs.h>

#include "pci/pci.h"
#include "test.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define VECTORS	      10u

static const struct pci_fn_params net_fn = {
	.vendor_id = 0x1af4,
	.device_id = 0x1041,
	.subsys_vendor_id = 0x1af4,
	.subsys_id = 0x1041,
	.revision = 1,
	.class_code = 0x020000,
	.bar =
		{
			[0] = {.size = 0x4000, .mem64 = true, .prefetchable = true},
			[2] = {.size = 0x2000, .mem64 = true, .prefetchable = true},
		},
	.msix_vectors = VECTORS,
	.msix_bar = 2,
	.intx = true,
	.serial = 0x1122334455667788,
};

/* Where the fixed capabilities lie; the order is part of what a restart relies on. */
enum {
	PM = 0x40,
	EXP = 0x48,
	MSIX = 0x84,
	FREE = 0x90,
	AER = 0x100,
	DSN = 0x12c,
	EXT_FREE = 0x138,
};

static struct pci_fn_state *fn_state;

static struct pci_fn *
create(const struct pci_fn_params *params, bool fresh)
{
	struct pci_fn *fn = NULL;

	assert_int_equal(pci_fn_create(fn_state, params, fresh, &fn), 0);
	return fn;
}

static struct pci_fn *
net(void)
{
	return create(&net_fn, true);
}

static uint32_t
rd(const struct pci_fn *fn, uint32_t off, uint32_t width)
{
	uint32_t v = 0;

	assert_int_equal(pci_fn_cfg_read(fn, off, &v, width), 0);
	return v;
}

static int
wr(struct pci_fn *fn, uint32_t off, uint32_t width, uint32_t v)
{
	return pci_fn_cfg_write(fn, off, &v, width);
}

static int
setup(void **state)
{
	fn_state = calloc(1, sizeof(*fn_state));
	return fn_state == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	free(fn_state);
	return 0;
}

/* ---- values ---- */

struct golden {
	uint16_t off;
	uint8_t width;
	uint32_t value;
	const char *what;
};

static void
check_golden(const struct pci_fn *fn, const struct golden *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rd(fn, g[i].off, g[i].width) != g[i].value)
			fail_msg("%s at %#x: %#x instead of %#x", g[i].what, g[i].off,
				rd(fn, g[i].off, g[i].width), g[i].value);
}

static void
header_shows_the_parameters(void **state)
{
	static const struct golden golden[] = {
		{0x00, 4, 0x10411af4, "ids"},
		{0x04, 2, 0x0000, "command"},
		{0x06, 2, 0x0010, "status: capability list"},
		{0x08, 4, 0x02000001, "class and revision"},
		{0x0c, 4, 0x00000000, "cache line, latency, header type 0, BIST"},
		{0x10, 4, 0x0000000c, "BAR 0: 64-bit prefetchable"},
		{0x14, 4, 0x00000000, "BAR 0 upper half"},
		{0x18, 4, 0x0000000c, "BAR 2"},
		{0x20, 4, 0x00000000, "BAR 4: none"},
		{0x2c, 4, 0x10411af4, "subsystem"},
		{0x30, 4, 0x00000000, "no ROM"},
		{0x34, 1, PM, "first capability"},
		{0x3c, 2, 0x0100, "pin A, no line"},
	};
	struct pci_fn *fn = net();

	check_golden(fn, golden, ARRAY_SIZE(golden));
	pci_fn_destroy(fn);
}

static void
capabilities_have_their_power_on_values(void **state)
{
	static const struct golden golden[] = {
		{PM, 4, 0x00034801, "PM: version 3, next PCIe"},
		{PM + 4, 2, 0x0008, "PMCSR: D0, no soft reset"},
		{EXP, 4, 0x00028410, "PCIe: version 2 endpoint, next MSI-X"},
		{EXP + 0x04, 4, 0x10008fe1, "DEVCAP: 256 bytes, ExtTag, RBER, FLR"},
		{EXP + 0x08, 2, 0x2810, "DEVCTL: relaxed ordering, no snoop, 512 byte reads"},
		{EXP + 0x0a, 2, 0x0000, "DEVSTA"},
		{EXP + 0x0c, 4, 0x00400104, "LNKCAP: 16 GT/s x16"},
		{EXP + 0x10, 2, 0x0000, "LNKCTL"},
		{EXP + 0x12, 2, 0x1104, "LNKSTA: 16 GT/s x16, slot clock"},
		{EXP + 0x24, 4, 0x00000010, "DEVCAP2: timeout disable"},
		{EXP + 0x28, 2, 0x0000, "DEVCTL2"},
		{EXP + 0x2c, 4, 0x0000001e, "LNKCAP2: 2.5 to 16 GT/s"},
		{EXP + 0x30, 2, 0x0004, "LNKCTL2: target 16 GT/s"},
		{EXP + 0x32, 2, 0x001e, "LNKSTA2: equalised"},
		{MSIX, 4, 0x00090011, "MSI-X: 10 vectors, disabled, last"},
		{MSIX + 4, 4, 0x00000002, "table at 0 of BAR 2"},
		{MSIX + 8, 4, 0x00001002, "PBA at 0x1000 of BAR 2"},
		{AER, 4, 0x12c10001, "AER version 1, next serial number"},
		{AER + 0x0c, 4, 0x00062010, "AER severity"},
		{AER + 0x14, 4, 0x00002000, "AER correctable mask"},
		{DSN, 4, 0x00010003, "serial number, last"},
		{DSN + 4, 4, 0x55667788, "serial number, lower half"},
		{DSN + 8, 4, 0x11223344, "serial number, upper half"},
	};
	struct pci_fn *fn = net();

	check_golden(fn, golden, ARRAY_SIZE(golden));
	assert_int_equal(pci_fn_find_cap(fn, PCI_CAP_ID_MSIX), MSIX);
	assert_int_equal(pci_fn_find_cap(fn, PCI_CAP_ID_MSI), 0);
	assert_int_equal(pci_fn_find_ext_cap(fn, PCI_EXT_CAP_ID_DSN), DSN);
	assert_int_equal(pci_fn_find_ext_cap(fn, PCI_EXT_CAP_ID_SRIOV), 0);
	pci_fn_destroy(fn);
}

static void
function_without_msix_serial_or_pin_lacks_their_registers(void **state)
{
	struct pci_fn_params params = net_fn;
	struct pci_fn *fn;

	params.msix_vectors = 0;
	params.serial = 0;
	params.intx = false;
	fn = create(&params, true);

	assert_int_equal(pci_fn_find_cap(fn, PCI_CAP_ID_MSIX), 0);
	assert_int_equal(pci_fn_find_ext_cap(fn, PCI_EXT_CAP_ID_DSN), 0);
	assert_int_equal(rd(fn, PCI_INTERRUPT_PIN, 1), 0);
	wr(fn, PCI_COMMAND, 2, 0xffff);
	assert_int_equal(rd(fn, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE, 0);
	assert_false(pci_fn_msix_enabled(fn));
	pci_fn_destroy(fn);
}

/* ---- masks ---- */

struct mask {
	uint16_t off;
	uint32_t bits;
};

/* Every writable bit of configuration space, by dword; what is not listed is read-only. */
static const struct mask writable[] = {
	{0x04, 0x0146 | PCI_COMMAND_INTX_DISABLE},
	{0x0c, 0x000000ff},
	{0x10, 0xffffc000},
	{0x14, 0xffffffff},
	{0x18, 0xffffe000},
	{0x1c, 0xffffffff},
	{0x3c, 0x000000ff},
	{PM + 0x04, 0x0003},
	{EXP + 0x08, 0x79ff},
	{EXP + 0x10, 0x00cb},
	{EXP + 0x28, 0x0010},
	{EXP + 0x30, 0x002f},
	{MSIX, 0xc0000000},
	{AER + 0x08, 0x0017f010},
	{AER + 0x0c, 0x0017f010},
	{AER + 0x14, 0x000031c1},
};

static uint32_t
writable_bits(uint16_t off)
{
	for (size_t i = 0; i < ARRAY_SIZE(writable); i++)
		if (writable[i].off == off)
			return writable[i].bits;
	return 0;
}

static void
only_the_bits_of_the_mask_table_can_be_set_and_cleared(void **state)
{
	for (uint16_t off = 0; off < PCI_CFG_SIZE; off += 4) {
		struct pci_fn *fn = net();
		uint32_t before = rd(fn, off, 4), bits = writable_bits(off);

		wr(fn, off, 4, 0xffffffff);
		if (rd(fn, off, 4) != (before | bits))
			fail_msg("%#x: all ones give %#x, mask %#x", off, rd(fn, off, 4), bits);
		wr(fn, off, 4, 0);
		if (rd(fn, off, 4) != (before & ~bits))
			fail_msg("%#x: zero gives %#x, mask %#x", off, rd(fn, off, 4), bits);
		pci_fn_destroy(fn);
	}
}

static void
status_bits_are_cleared_by_writing_one_and_no_other_way(void **state)
{
	static const struct mask w1c[] = {
		{PCI_STATUS, 0xf900},
		{EXP + PCI_EXP_DEVSTA, 0x000f},
		{AER + PCI_ERR_UNCOR_STATUS, 0x0017f010},
		{AER + PCI_ERR_COR_STATUS, 0x000031c1},
	};
	struct pci_fn *fn = net();

	for (size_t i = 0; i < ARRAY_SIZE(w1c); i++) {
		uint32_t low = w1c[i].bits & -w1c[i].bits, fixed = rd(fn, w1c[i].off, 2);
		uint32_t all = w1c[i].bits | fixed;

		assert_int_equal(pci_fn_cfg_poke(fn, w1c[i].off, &all, 4), 0);
		wr(fn, w1c[i].off, 4, 0);
		assert_int_equal(rd(fn, w1c[i].off, 4), all);
		wr(fn, w1c[i].off, 4, low);
		assert_int_equal(rd(fn, w1c[i].off, 4), all & ~low);
		wr(fn, w1c[i].off, 4, 0xffffffff);
		assert_int_equal(rd(fn, w1c[i].off, 2), fixed);
	}
	pci_fn_destroy(fn);
}

static void
bar_sizing_reads_back_size_and_type(void **state)
{
	static const struct {
		struct pci_bar bar;
		uint32_t lo, hi;
	} table[] = {
		{{.size = 0}, 0, 0},
		{{.size = 16}, 0xfffffff0, 0},
		{{.size = 0x1000}, 0xfffff000, 0},
		{{.size = 0x1000, .prefetchable = true}, 0xfffff008, 0},
		{{.size = 1u << 31}, 0x80000000, 0},
		{{.size = 0x20, .io = true}, 0xffffffe1, 0},
		{{.size = 0x4000, .mem64 = true}, 0xffffc004, 0xffffffff},
		{{.size = 1ull << 32, .mem64 = true, .prefetchable = true}, 0x0000000c, 0xffffffff},
		{{.size = 1ull << 40, .mem64 = true}, 0x00000004, 0xffffff00},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct pci_fn_params params = {.bar = {[3] = table[i].bar}};
		struct pci_fn *fn = create(&params, true);

		wr(fn, PCI_BASE_ADDRESS_3, 4, 0xffffffff);
		wr(fn, PCI_BASE_ADDRESS_4, 4, 0xffffffff);
		assert_int_equal(rd(fn, PCI_BASE_ADDRESS_3, 4), table[i].lo);
		assert_int_equal(rd(fn, PCI_BASE_ADDRESS_4, 4), table[i].hi);
		pci_fn_destroy(fn);
	}
}

static void
impossible_parameters_are_refused(void **state)
{
	static const struct pci_fn_params bad[] = {
		{.bar = {[0] = {.size = 8}}},
		{.bar = {[0] = {.size = 0x3000}}},
		{.bar = {[5] = {.size = 0x1000, .mem64 = true}}},
		{.bar = {[0] = {.size = 0x1000, .mem64 = true}, [1] = {.size = 0x1000}}},
		{.bar = {[0] = {.size = 1ull << 32}}},
		{.bar = {[0] = {.size = 0x20000, .io = true}}},
		{.bar = {[0] = {.size = 0x20, .io = true, .mem64 = true}}},
		{.class_code = 0x1000000},
		{.msix_vectors = 1},
		{.msix_vectors = 1, .msix_bar = 6, .bar = {[0] = {.size = 0x2000}}},
		{.msix_vectors = 1, .msix_bar = 0, .bar = {[0] = {.size = 0x1000}}},
		{.msix_vectors = 2049, .msix_bar = 0, .bar = {[0] = {.size = 0x100000}}},
		{.msix_vectors = 1, .msix_bar = 0, .bar = {[0] = {.size = 0x2000, .io = true}}},
	};
	struct pci_fn *fn;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(pci_fn_create(fn_state, &bad[i], true, &fn), -EINVAL);
}

/* ---- accesses ---- */

static void
any_width_and_alignment_reads_the_same_bytes(void **state)
{
	uint8_t whole[PCI_CFG_SIZE], part[16];
	struct pci_fn *fn = net();

	assert_int_equal(pci_fn_cfg_read(fn, 0, whole, sizeof(whole)), 0);
	for (uint32_t off = 0; off < 0x140; off++)
		for (uint32_t len = 0; len <= sizeof(part); len++) {
			assert_int_equal(pci_fn_cfg_read(fn, off, part, len), 0);
			assert_memory_equal(part, whole + off, len);
		}
	pci_fn_destroy(fn);
}

static void
odd_writes_touch_their_bytes_only(void **state)
{
	static const uint8_t bytes[] = {0x11, 0x22, 0x33, 0x44, 0x55};
	struct pci_fn *fn = net();

	/* From the second byte of BAR 0 over into its upper half. */
	assert_int_equal(pci_fn_cfg_write(fn, 0x11, bytes, 5), PCI_EV_BAR);
	assert_int_equal(rd(fn, 0x10, 4), 0x3322000c);
	assert_int_equal(rd(fn, 0x14, 4), 0x00005544);
	/* One write over the whole of command and status. */
	assert_int_equal(wr(fn, 0x05, 3, 0xffff04), PCI_EV_COMMAND);
	assert_int_equal(rd(fn, 0x04, 2), PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(wr(fn, 0x04, 0, 0xff), 0);
	pci_fn_destroy(fn);
}

static void
accesses_beyond_configuration_space_are_refused(void **state)
{
	static const struct {
		uint32_t off, len;
	} bad[] = {{4096, 1}, {4095, 2}, {0, 4097}, {0xffffffff, 1}, {1, 0xffffffff}, {4093, 4}};
	struct pci_fn *fn = net();
	uint8_t buf[4] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(pci_fn_cfg_read(fn, bad[i].off, buf, bad[i].len), -EINVAL);
		assert_int_equal(pci_fn_cfg_write(fn, bad[i].off, buf, bad[i].len), -EINVAL);
		assert_int_equal(pci_fn_cfg_poke(fn, bad[i].off, buf, bad[i].len), -EINVAL);
	}
	assert_int_equal(pci_fn_cfg_write(fn, 4092, buf, 4), 0);
	pci_fn_destroy(fn);
}

static void
writes_report_what_they_changed(void **state)
{
	static const struct {
		uint32_t off, width, value;
		int events;
	} steps[] = {
		{PCI_COMMAND, 2, PCI_COMMAND_MEMORY, PCI_EV_COMMAND},
		{PCI_COMMAND, 2, PCI_COMMAND_MEMORY, 0},
		{PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
			PCI_EV_COMMAND | PCI_EV_BUS_MASTER},
		{PCI_COMMAND, 2, PCI_COMMAND_MEMORY, PCI_EV_COMMAND | PCI_EV_BUS_MASTER},
		{PCI_BASE_ADDRESS_0, 4, 0xfe000000, PCI_EV_BAR},
		{PCI_BASE_ADDRESS_4, 4, 0xfe000000, 0},
		{PM + PCI_PM_CTRL, 2, 3, PCI_EV_POWER},
		{PM + PCI_PM_CTRL, 2, 1, 0},
		{PM + PCI_PM_CTRL, 2, 0, PCI_EV_POWER},
		{PM + PCI_PM_CTRL, 2, 2, 0},
		{MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE, PCI_EV_MSIX},
		{MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE, 0},
		{MSIX + PCI_MSIX_FLAGS + 1, 1, 0x40, PCI_EV_MSIX},
		{EXP + PCI_EXP_DEVCTL, 2, 0xa810, PCI_EV_FLR},
		{EXP + PCI_EXP_DEVCTL + 1, 1, 0x80, PCI_EV_FLR},
		{EXP + PCI_EXP_DEVCTL, 1, 0x80, 0},
	};
	struct pci_fn *fn = net();

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (wr(fn, steps[i].off, steps[i].width, steps[i].value) != steps[i].events)
			fail_msg("step %zu", i);
	assert_int_equal(rd(fn, EXP + PCI_EXP_DEVCTL, 2) & PCI_EXP_DEVCTL_BCR_FLR, 0);
	pci_fn_destroy(fn);
}

static void
unsupported_power_states_are_not_entered(void **state)
{
	struct pci_fn *fn = net();

	wr(fn, PM + PCI_PM_CTRL, 2, 3);
	assert_int_equal(pci_fn_power_state(fn), 3);
	wr(fn, PM + PCI_PM_CTRL, 2, 2);
	assert_int_equal(pci_fn_power_state(fn), 3);
	wr(fn, PM + PCI_PM_CTRL, 2, 0);
	assert_int_equal(pci_fn_power_state(fn), 0);
	pci_fn_destroy(fn);
}

/* ---- reset ---- */

static void
flr_keeps_the_link_and_error_masks_and_nothing_else(void **state)
{
	struct pci_fn *fn = net();

	wr(fn, PCI_COMMAND, 2, 0xffff);
	wr(fn, PCI_BASE_ADDRESS_0, 4, 0xfe000000);
	wr(fn, EXP + PCI_EXP_DEVCTL, 2, 0x503f);
	wr(fn, EXP + PCI_EXP_LNKCTL, 2, 0x0043);
	wr(fn, AER + PCI_ERR_UNCOR_MASK, 4, 0x00100000);
	wr(fn, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	pci_fn_reset(fn, true);

	assert_int_equal(rd(fn, PCI_COMMAND, 2), 0);
	assert_int_equal(rd(fn, PCI_BASE_ADDRESS_0, 4), 0xc);
	assert_int_equal(rd(fn, EXP + PCI_EXP_DEVCTL, 2), 0x2830); /* payload 256 survived */
	assert_int_equal(rd(fn, EXP + PCI_EXP_LNKCTL, 2), 0x0043);
	assert_int_equal(rd(fn, AER + PCI_ERR_UNCOR_MASK, 4), 0x00100000);
	assert_false(pci_fn_msix_enabled(fn));
	assert_int_equal(fn_state->flr_count, 1);
	pci_fn_destroy(fn);
}

static void
conventional_reset_restores_every_power_on_value(void **state)
{
	uint8_t before[PCI_CFG_SIZE], ones[PCI_CFG_SIZE], after[PCI_CFG_SIZE];
	struct pci_fn *fn = net();

	pci_fn_cfg_read(fn, 0, before, sizeof(before));
	memset(ones, 0xff, sizeof(ones));
	assert_true(pci_fn_cfg_write(fn, 0, ones, sizeof(ones)) > 0);
	pci_fn_reset(fn, false);
	pci_fn_cfg_read(fn, 0, after, sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	assert_int_equal(fn_state->flr_count, 0);
	pci_fn_destroy(fn);
}

/* ---- capabilities of the owner's ---- */

static const uint8_t vendor_body[] = {PCI_CAP_ID_VNDR, 0xee, 7, 1, 2, 3, 4};
static const uint8_t vendor_mask[] = {0xff, 0xff, 0, 0, 0xf0, 0, 0xff};

static void
added_capability_is_linked_and_honours_its_mask(void **state)
{
	struct pci_fn *fn = net();

	assert_int_equal(pci_fn_add_cap(fn, vendor_body, 7, vendor_mask, PCI_EV_VENDOR), FREE);
	assert_int_equal(pci_fn_add_cap(fn, vendor_body, 7, NULL, 0), FREE + 8);
	assert_int_equal(rd(fn, MSIX, 2), FREE << 8 | PCI_CAP_ID_MSIX);
	assert_int_equal(rd(fn, FREE, 4), 1 << 24 | 7 << 16 | (FREE + 8) << 8 | PCI_CAP_ID_VNDR);
	assert_int_equal(rd(fn, FREE + 8, 2), PCI_CAP_ID_VNDR);
	assert_int_equal(wr(fn, FREE, 4, 0), 0);
	assert_int_equal(wr(fn, FREE + 4, 4, 0xffffffff), PCI_EV_VENDOR);
	assert_int_equal(rd(fn, FREE + 4, 4), 0x00ff03f2);
	assert_int_equal(wr(fn, FREE + 12, 4, 0xffffffff), 0);
	pci_fn_destroy(fn);
}

static void
added_extended_capability_is_linked(void **state)
{
	static const uint8_t body[] = {1, 2, 3, 4}, mask[] = {0, 0xff, 0, 0};
	struct pci_fn *fn = net();

	assert_int_equal(pci_fn_add_ext_cap(fn, PCI_EXT_CAP_ID_ARI, 2, body, 4, mask), EXT_FREE);
	assert_int_equal(rd(fn, DSN, 4), (uint32_t)EXT_FREE << 20 | 0x00010003);
	assert_int_equal(rd(fn, EXT_FREE, 4), 0x0002000e);
	wr(fn, EXT_FREE + 4, 4, 0xffffffff);
	assert_int_equal(rd(fn, EXT_FREE + 4, 4), 0x0403ff01);
	assert_int_equal(pci_fn_find_ext_cap(fn, PCI_EXT_CAP_ID_ARI), EXT_FREE);
	pci_fn_destroy(fn);
}

static void
capabilities_that_do_not_fit_are_refused(void **state)
{
	static const uint8_t big[PCI_CFG_SIZE] = {PCI_CAP_ID_VNDR};
	struct pci_fn *fn = net();

	assert_int_equal(pci_fn_add_cap(fn, big, 1, NULL, 0), -EINVAL);
	assert_int_equal(pci_fn_add_cap(fn, big, 0x100 - FREE + 1, NULL, 0), -ENOSPC);
	assert_int_equal(pci_fn_add_cap(fn, big, SIZE_MAX, NULL, 0), -ENOSPC);
	assert_int_equal(pci_fn_add_cap(fn, big, 0x100 - FREE, NULL, 0), FREE);
	assert_int_equal(pci_fn_add_cap(fn, big, 2, NULL, 0), -ENOSPC);
	assert_int_equal(pci_fn_add_ext_cap(fn, 0xb, 1, big, SIZE_MAX, NULL), -ENOSPC);
	assert_int_equal(pci_fn_add_ext_cap(fn, 0xb, 1, big, 0x1000 - EXT_FREE - 3, NULL), -ENOSPC);
	assert_int_equal(
		pci_fn_add_ext_cap(fn, 0xb, 1, big, 0x1000 - EXT_FREE - 4, NULL), EXT_FREE);
	assert_int_equal(pci_fn_add_ext_cap(fn, 0xb, 1, big, 0, NULL), -ENOSPC);
	pci_fn_destroy(fn);
}

static void
restart_takes_the_state_up_untouched(void **state)
{
	struct pci_fn_state *copy = malloc(sizeof(*copy));
	struct pci_fn *fn = net();

	pci_fn_add_cap(fn, vendor_body, 7, vendor_mask, PCI_EV_VENDOR);
	wr(fn, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
	wr(fn, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	pci_fn_msix_bar_write(fn, 0, (uint32_t[]){0xfee00000, 0, 0x41, 0}, 16);
	wr(fn, FREE + 4, 1, 0x50);
	*copy = *fn_state;
	pci_fn_destroy(fn);

	fn = create(&net_fn, false);
	assert_int_equal(pci_fn_add_cap(fn, vendor_body, 7, vendor_mask, PCI_EV_VENDOR), FREE);
	assert_memory_equal(copy, fn_state, sizeof(*copy));
	assert_true(pci_fn_bus_master(fn));
	assert_true(pci_fn_msix_enabled(fn));
	assert_int_equal(wr(fn, FREE + 4, 1, 0), PCI_EV_VENDOR);
	free(copy);
	pci_fn_destroy(fn);
}

/* ---- MSI-X table ---- */

static void
msix_bar_holds_table_and_pba_on_pages_of_their_own(void **state)
{
	static const struct {
		uint16_t vectors;
		uint64_t pba, size;
	} table[] = {{1, 0x1000, 0x2000}, {64, 0x1000, 0x2000}, {256, 0x1000, 0x2000},
		{257, 0x2000, 0x4000}, {2048, 0x8000, 0x10000}};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		assert_int_equal(pci_msix_pba_offset(table[i].vectors), table[i].pba);
		assert_int_equal(pci_msix_bar_size(table[i].vectors), table[i].size);
	}
}

static void
msix_entries_start_masked_and_keep_their_defined_bits(void **state)
{
	struct pci_fn *fn = net();
	uint32_t e[4], ones[4] = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};

	for (unsigned int v = 0; v < VECTORS; v++) {
		assert_int_equal(pci_fn_msix_bar_read(fn, v * 16, e, 16), 0);
		assert_memory_equal(e, ((uint32_t[]){0, 0, 0, 1}), 16);
	}
	assert_int_equal(pci_fn_msix_bar_write(fn, 16, ones, 16), 0);
	pci_fn_msix_bar_read(fn, 16, e, 16);
	assert_memory_equal(e, ((uint32_t[]){0xfffffffc, 0xffffffff, 0xffffffff, 1}), 16);
	pci_fn_reset(fn, true);
	pci_fn_msix_bar_read(fn, 16, e, 16);
	assert_memory_equal(e, ((uint32_t[]){0, 0, 0, 1}), 16);
	pci_fn_destroy(fn);
}

static void
msix_table_takes_aligned_dwords_and_qwords_only(void **state)
{
	static const struct {
		uint32_t off, len;
		bool taken;
	} table[] = {{32, 4, true}, {36, 4, true}, {32, 8, true}, {36, 8, true}, {32, 1, false},
		{32, 2, false}, {33, 4, false}, {34, 4, false}, {32, 3, false}, {32, 6, false},
		{32, 0, false}};
	static const uint8_t value[8] = {4, 4, 4, 4, 4, 4, 4, 4}, zero[8];
	struct pci_fn *fn = net();

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint8_t got[8] = {0};

		pci_fn_msix_bar_write(fn, 32, zero, 8);
		assert_int_equal(pci_fn_msix_bar_write(fn, table[i].off, value, table[i].len), 0);
		assert_int_equal(pci_fn_msix_bar_read(fn, table[i].off, got, table[i].len), 0);
		assert_memory_equal(got, table[i].taken ? value : zero, table[i].len);
	}
	pci_fn_destroy(fn);
}

static void
msix_bar_outside_the_table_is_read_only_and_bounded(void **state)
{
	static const uint64_t ones = UINT64_MAX;
	struct pci_fn *fn = net();
	uint64_t v = 1;

	assert_int_equal(pci_fn_msix_bar_write(fn, 0x1000, &ones, 8), 0);
	assert_int_equal(pci_fn_msix_bar_read(fn, 0x1000, &v, 8), 0);
	assert_int_equal(v, 0);
	/* Across the end of the table: the last entry takes its part. */
	assert_int_equal(pci_fn_msix_bar_write(fn, VECTORS * 16 - 4, &ones, 8), 0);
	assert_int_equal(pci_fn_msix_bar_read(fn, VECTORS * 16 - 4, &v, 8), 0);
	assert_int_equal(v, 1);
	assert_int_equal(pci_fn_msix_bar_read(fn, 0x2000, &v, 1), -EINVAL);
	assert_int_equal(pci_fn_msix_bar_read(fn, 0x1ffc, &v, 8), -EINVAL);
	assert_int_equal(pci_fn_msix_bar_write(fn, UINT64_MAX, &ones, 4), -EINVAL);
	assert_int_equal(pci_fn_msix_bar_write(fn, 0x1ffe, &ones, 4), -EINVAL);
	pci_fn_destroy(fn);
}

static int
test_pci(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_shows_the_parameters),
		cmocka_unit_test(capabilities_have_their_power_on_values),
		cmocka_unit_test(function_without_msix_serial_or_pin_lacks_their_registers),
		cmocka_unit_test(only_the_bits_of_the_mask_table_can_be_set_and_cleared),
		cmocka_unit_test(status_bits_are_cleared_by_writing_one_and_no_other_way),
		cmocka_unit_test(bar_sizing_reads_back_size_and_type),
		cmocka_unit_test(impossible_parameters_are_refused),
		cmocka_unit_test(any_width_and_alignment_reads_the_same_bytes),
		cmocka_unit_test(odd_writes_touch_their_bytes_only),
		cmocka_unit_test(accesses_beyond_configuration_space_are_refused),
		cmocka_unit_test(writes_report_what_they_changed),
		cmocka_unit_test(unsupported_power_states_are_not_entered),
		cmocka_unit_test(flr_keeps_the_link_and_error_masks_and_nothing_else),
		cmocka_unit_test(conventional_reset_restores_every_power_on_value),
		cmocka_unit_test(added_capability_is_linked_and_honours_its_mask),
		cmocka_unit_test(added_extended_capability_is_linked),
		cmocka_unit_test(capabilities_that_do_not_fit_are_refused),
		cmocka_unit_test(restart_takes_the_state_up_untouched),
		cmocka_unit_test(msix_bar_holds_table_and_pba_on_pages_of_their_own),
		cmocka_unit_test(msix_entries_start_masked_and_keep_their_defined_bits),
		cmocka_unit_test(msix_table_takes_aligned_dwords_and_qwords_only),
		cmocka_unit_test(msix_bar_outside_the_table_is_read_only_and_bounded),
	};

	return cmocka_run_group_tests_name("pci", tests, setup, teardown);
}

REGISTER_TEST_COMMAND(pci, test_pci)
