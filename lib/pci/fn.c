/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Configuration space of a function: the register model, header and BARs, accesses, reset. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define CAPS_START     PCI_STD_HEADER_SIZEOF
#define CAPS_END       PCI_CFG_SPACE_SIZE
#define EXT_CAPS_START PCI_CFG_SPACE_SIZE
#define EXT_CAP_HEADER 4u
#define BARS_LEN       (PCI_NUM_BARS * 4u)
#define BAR_SIZE_MIN   16u
#define BAR_SIZE_MAX32 (1ull << 31)
#define BAR_SIZE_MAXIO (1ull << 16) /* all the I/O space there is on x86 */

#define STATUS_ERRORS                                                                              \
	(PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT |           \
		PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR |                        \
		PCI_STATUS_DETECTED_PARITY)

static_assert(PCI_EXP_DEVCTL_BCR_FLR >> 8 == 0x80, "Initiate FLR is bit 7 of the second byte");
#define DEVCTL_FLR_BYTE 1u
#define DEVCTL_FLR_BIT	0x80u

/* ---- the register model ---- */

void
pci_reg_define(struct pci_fn *fn, uint16_t base, const struct pci_reg *r)
{
	for (unsigned int i = 0; i < r->width; i++) {
		uint16_t off = base + r->off + i;

		fn->reg[off] = (struct pci_reg_byte){
			.init = (uint8_t)(r->init >> 8 * i),
			.rw = (uint8_t)(r->rw >> 8 * i),
			.w1c = (uint8_t)(r->w1c >> 8 * i),
			.sticky = (uint8_t)(r->sticky >> 8 * i),
		};
		if (fn->fresh)
			pci_cfg_put8(fn, off, fn->reg[off].init);
	}
}

static void
define(struct pci_fn *fn, uint16_t off, uint8_t width, uint32_t init, uint32_t rw)
{
	pci_reg_define(
		fn, 0, &(struct pci_reg){.off = off, .width = width, .init = init, .rw = rw});
}

void
pci_watch_add(struct pci_fn *fn, uint16_t off, uint16_t mask, uint32_t event)
{
	fn->watch[fn->n_watches++] = (struct pci_watch){.off = off, .mask = mask, .event = event};
}

uint16_t
pci_cap_alloc(struct pci_fn *fn, uint8_t id, size_t len)
{
	uint16_t off = fn->next_cap;

	if (len < PCI_CAP_SIZEOF - 2 || len > (size_t)(CAPS_END - off))
		return 0;
	fn->next_cap = (uint16_t)((off + len + 3) & ~3u);
	define(fn, fn->last_link, 1, off, 0);
	define(fn, off + PCI_CAP_LIST_ID, 1, id, 0);
	define(fn, off + PCI_CAP_LIST_NEXT, 1, 0, 0);
	fn->last_link = off + PCI_CAP_LIST_NEXT;
	return off;
}

uint16_t
pci_ext_cap_alloc(struct pci_fn *fn, uint16_t id, uint8_t version, size_t len)
{
	uint16_t off = fn->next_ext;

	if (len > (size_t)(PCI_CFG_SIZE - off))
		return 0;
	fn->next_ext = (uint16_t)((off + len + 3) & ~3u);
	if (fn->last_ext != 0) {
		/*
		 * The link is the upper 12 bits of the header; version is the low nibble of byte 2.
		 */
		uint8_t ver = fn->reg[fn->last_ext + 2].init & 0xf;

		define(fn, fn->last_ext + 2, 2, ver | (uint32_t)off << 4, 0);
	}
	define(fn, off, 4, id | (version & 0xfu) << 16, 0);
	fn->last_ext = off;
	return off;
}

static int
bar_define(struct pci_fn *fn, unsigned int i)
{
	const struct pci_bar *bar = &fn->params.bar[i];
	uint16_t off = PCI_BASE_ADDRESS_0 + 4 * i;
	uint64_t mask = ~(bar->size - 1);
	uint32_t flags;

	if (bar->size == 0)
		return 0;
	if (bar->size < BAR_SIZE_MIN || (bar->size & (bar->size - 1)) != 0)
		return -EINVAL;
	if (bar->io) {
		if (bar->mem64 || bar->prefetchable || bar->size > BAR_SIZE_MAXIO)
			return -EINVAL;
		define(fn, off, 4, PCI_BASE_ADDRESS_SPACE_IO, (uint32_t)mask);
		return 0;
	}
	flags = bar->prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0;
	if (!bar->mem64) {
		if (bar->size > BAR_SIZE_MAX32)
			return -EINVAL;
		define(fn, off, 4, flags, (uint32_t)mask);
		return 0;
	}
	if (i + 1 == PCI_NUM_BARS || fn->params.bar[i + 1].size != 0)
		return -EINVAL;
	define(fn, off, 4, flags | PCI_BASE_ADDRESS_MEM_TYPE_64, (uint32_t)mask);
	define(fn, off + 4, 4, 0, (uint32_t)(mask >> 32));
	return 0;
}

/*
 * Only decoders that exist can be enabled. What PCIe hardwires to zero (special cycles, VGA ...) is
 * not writable.
 */
static uint16_t
command_mask(const struct pci_fn_params *p)
{
	uint16_t mask = PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR;

	for (unsigned int i = 0; i < PCI_NUM_BARS; i++)
		if (p->bar[i].size != 0)
			mask |= p->bar[i].io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
	if (p->intx)
		mask |= PCI_COMMAND_INTX_DISABLE;
	return mask;
}

static int
header_define(struct pci_fn *fn)
{
	const struct pci_fn_params *p = &fn->params;
	const struct pci_reg status = {
		.off = PCI_STATUS, .width = 2, .init = PCI_STATUS_CAP_LIST, .w1c = STATUS_ERRORS};
	uint16_t command = command_mask(p);
	int rc = 0;

	define(fn, PCI_VENDOR_ID, 2, p->vendor_id, 0);
	define(fn, PCI_DEVICE_ID, 2, p->device_id, 0);
	define(fn, PCI_COMMAND, 2, 0, command);
	pci_reg_define(fn, 0, &status);
	define(fn, PCI_CLASS_REVISION, 4, p->revision | p->class_code << 8, 0);
	define(fn, PCI_CACHE_LINE_SIZE, 1, 0, 0xff); /* kept for software's sake, means nothing */
	define(fn, PCI_SUBSYSTEM_VENDOR_ID, 2, p->subsys_vendor_id, 0);
	define(fn, PCI_SUBSYSTEM_ID, 2, p->subsys_id, 0);
	define(fn, PCI_INTERRUPT_LINE, 1, 0, 0xff);
	define(fn, PCI_INTERRUPT_PIN, 1, p->intx ? 1 : 0, 0);
	for (unsigned int i = 0; i < PCI_NUM_BARS && rc == 0; i++)
		rc = bar_define(fn, i);
	pci_watch_add(fn, PCI_COMMAND, command, PCI_EV_COMMAND);
	pci_watch_add(fn, PCI_COMMAND, PCI_COMMAND_MASTER, PCI_EV_BUS_MASTER);
	return rc;
}

static bool
msix_params_ok(const struct pci_fn_params *p)
{
	if (p->msix_vectors == 0)
		return true;
	return p->msix_vectors <= PCI_MSIX_MAX && p->msix_bar < PCI_NUM_BARS &&
	       !p->bar[p->msix_bar].io &&
	       p->bar[p->msix_bar].size >= pci_msix_bar_size(p->msix_vectors);
}

int
pci_fn_create(struct pci_fn_state *state, const struct pci_fn_params *params, bool fresh,
	struct pci_fn **out)
{
	struct pci_fn *fn;
	int rc;

	if (!msix_params_ok(params) || params->class_code > 0xffffff)
		return -EINVAL;
	fn = calloc(1, sizeof(*fn));
	if (fn == NULL)
		return -ENOMEM;
	fn->state = state;
	fn->params = *params;
	fn->fresh = fresh;
	fn->next_cap = CAPS_START;
	fn->last_link = PCI_CAPABILITY_LIST;
	fn->next_ext = EXT_CAPS_START;
	if (fresh) {
		memset(state->cfg, 0, sizeof(state->cfg));
		state->intx_level = 0;
		state->intx_masked = 0;
		state->flr_count = 0;
		memset(state->msix_pending, 0, params->msix_vectors);
		pci_msix_reset(fn);
	}
	rc = header_define(fn);
	if (rc == 0)
		rc = pci_caps_add(fn);
	if (rc != 0) {
		free(fn);
		return rc;
	}
	*out = fn;
	return 0;
}

void
pci_fn_destroy(struct pci_fn *fn)
{
	free(fn);
}

void
pci_fn_set_irqs(struct pci_fn *fn, struct pci_irqs *irqs)
{
	fn->irqs = irqs;
	if (irqs == NULL)
		return;
	pci_irqs_use_state(irqs, fn->state);
	pci_irqs_intx_disable(
		irqs, (pci_cfg_get16(fn, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE) != 0);
}

/* ---- capabilities of the owner's ---- */

static void
body_define(struct pci_fn *fn, uint16_t off, const uint8_t *body, size_t len, const uint8_t *wmask)
{
	for (size_t i = 0; i < len; i++)
		define(fn, (uint16_t)(off + i), 1, body[i], wmask != NULL ? wmask[i] : 0);
}

int
pci_fn_add_cap(struct pci_fn *fn, const void *body, size_t len, const void *wmask, uint32_t event)
{
	const uint8_t *b = body, *m = wmask;
	uint16_t off;

	if (len < 2 || (event != 0 && fn->n_cap_events == PCI_MAX_CAP_EVENTS))
		return len < 2 ? -EINVAL : -ENOSPC;
	off = pci_cap_alloc(fn, b[PCI_CAP_LIST_ID], len);
	if (off == 0)
		return -ENOSPC;
	body_define(fn, off + 2, b + 2, len - 2, m != NULL ? m + 2 : NULL);
	if (event != 0)
		fn->cap_event[fn->n_cap_events++] =
			(struct pci_cap_event){off, (uint16_t)len, event};
	return off;
}

int
pci_fn_add_ext_cap(struct pci_fn *fn, uint16_t id, uint8_t version, const void *body, size_t len,
	const void *wmask)
{
	uint16_t off;

	if (len > PCI_CFG_SIZE)
		return -ENOSPC;
	off = pci_ext_cap_alloc(fn, id, version, len + EXT_CAP_HEADER);
	if (off == 0)
		return -ENOSPC;
	body_define(fn, off + EXT_CAP_HEADER, body, len, wmask);
	return off;
}

/* The walks go over the model, not the state: a damaged state must not make them endless. */
uint16_t
pci_fn_find_cap(const struct pci_fn *fn, uint8_t id)
{
	uint16_t off = fn->reg[PCI_CAPABILITY_LIST].init;

	while (off != 0 && fn->reg[off + PCI_CAP_LIST_ID].init != id)
		off = fn->reg[off + PCI_CAP_LIST_NEXT].init;
	return off;
}

uint16_t
pci_fn_find_ext_cap(const struct pci_fn *fn, uint16_t id)
{
	uint16_t off = fn->last_ext != 0 ? EXT_CAPS_START : 0;

	while (off != 0 && (fn->reg[off].init | fn->reg[off + 1].init << 8) != id)
		off = (uint16_t)(fn->reg[off + 2].init >> 4 | fn->reg[off + 3].init << 4);
	return off;
}

/* ---- accesses ---- */

static bool
in_range(uint32_t off, uint32_t len)
{
	return off <= PCI_CFG_SIZE && len <= PCI_CFG_SIZE - off;
}

int
pci_fn_cfg_read(const struct pci_fn *fn, uint32_t off, void *buf, uint32_t len)
{
	uint8_t *b = buf;

	if (!in_range(off, len))
		return -EINVAL;
	memcpy(b, fn->state->cfg + off, len);
	if (pci_ranges_overlap(off, len, PCI_STATUS, 1) &&
		__atomic_load_n(&fn->state->intx_level, __ATOMIC_RELAXED) != 0)
		b[PCI_STATUS - off] |= PCI_STATUS_INTERRUPT;
	return 0;
}

int
pci_fn_cfg_poke(struct pci_fn *fn, uint32_t off, const void *buf, uint32_t len)
{
	const uint8_t *b = buf;

	if (!in_range(off, len))
		return -EINVAL;
	for (uint32_t i = 0; i < len; i++)
		pci_cfg_put8(fn, (uint16_t)(off + i), b[i]);
	return 0;
}

/* @return was any writable byte among those of [start, start + n)? */
static bool
touched(const struct pci_fn *fn, uint32_t off, uint32_t len, uint32_t start, uint32_t n)
{
	for (uint32_t i = start; i < start + n; i++)
		if (i >= off && i < off + len && (fn->reg[i].rw | fn->reg[i].w1c) != 0)
			return true;
	return false;
}

static void
write_bytes(struct pci_fn *fn, uint32_t off, const uint8_t *b, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++) {
		const struct pci_reg_byte *r = &fn->reg[off + i];
		uint8_t old = pci_cfg_get8(fn, (uint16_t)(off + i));
		uint8_t new = (old & ~r->rw) | (b[i] & r->rw);

		new &= ~(b[i] & r->w1c);
		if (new != old)
			pci_cfg_put8(fn, (uint16_t)(off + i), new);
	}
}

/*
 * A state that the function does not have is not entered (PCI PM 1.2, 3.2.4). A process may have
 * died before it had seen to that: then there is no state to go back to but D0.
 */
static void
power_state_check(struct pci_fn *fn, unsigned int old)
{
	uint16_t off = fn->pm_off + PCI_PM_CTRL;
	unsigned int new = pci_fn_power_state(fn);

	if (old == 1 || old == 2)
		old = 0;
	if (new == 1 || new == 2)
		pci_cfg_put8(fn, off,
			(uint8_t)((pci_cfg_get8(fn, off) & ~PCI_PM_CTRL_STATE_MASK) | old));
}

static uint32_t
access_events(const struct pci_fn *fn, uint32_t off, const uint8_t *b, uint32_t len)
{
	uint32_t flr_at = fn->exp_off + PCI_EXP_DEVCTL + DEVCTL_FLR_BYTE;
	uint32_t events = 0;

	if (touched(fn, off, len, PCI_BASE_ADDRESS_0, BARS_LEN))
		events |= PCI_EV_BAR;
	if (pci_ranges_overlap(off, len, flr_at, 1) && (b[flr_at - off] & DEVCTL_FLR_BIT) != 0)
		events |= PCI_EV_FLR;
	for (unsigned int i = 0; i < fn->n_cap_events; i++)
		if (touched(fn, off, len, fn->cap_event[i].off, fn->cap_event[i].len))
			events |= fn->cap_event[i].event;
	return events;
}

int
pci_fn_cfg_write(struct pci_fn *fn, uint32_t off, const void *buf, uint32_t len)
{
	unsigned int power = pci_fn_power_state(fn);
	uint16_t before[PCI_MAX_WATCHES];
	uint32_t events;

	if (!in_range(off, len))
		return -EINVAL;
	for (unsigned int i = 0; i < fn->n_watches; i++)
		before[i] = pci_cfg_get16(fn, fn->watch[i].off);
	write_bytes(fn, off, buf, len);
	power_state_check(fn, power);
	events = access_events(fn, off, buf, len);
	for (unsigned int i = 0; i < fn->n_watches; i++)
		if (((before[i] ^ pci_cfg_get16(fn, fn->watch[i].off)) & fn->watch[i].mask) != 0)
			events |= fn->watch[i].event;
	if ((events & PCI_EV_COMMAND) != 0 && fn->irqs != NULL)
		pci_irqs_intx_disable(
			fn->irqs, (pci_cfg_get16(fn, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE) != 0);
	return (int)events;
}

void
pci_fn_reset(struct pci_fn *fn, bool flr)
{
	for (uint16_t i = 0; i < PCI_CFG_SIZE; i++) {
		uint8_t keep = flr ? fn->reg[i].sticky : 0;
		uint8_t old = pci_cfg_get8(fn, i);
		uint8_t new = (old & keep) | (fn->reg[i].init & ~keep);

		if (new != old)
			pci_cfg_put8(fn, i, new);
	}
	pci_msix_reset(fn);
	if (fn->irqs != NULL) {
		pci_irq_intx(fn->irqs, false);
		pci_irqs_intx_disable(fn->irqs, false);
	} else {
		__atomic_store_n(&fn->state->intx_level, 0, __ATOMIC_RELAXED);
	}
	if (flr)
		fn->state->flr_count++;
}

bool
pci_fn_bus_master(const struct pci_fn *fn)
{
	return (pci_cfg_get16(fn, PCI_COMMAND) & PCI_COMMAND_MASTER) != 0;
}

bool
pci_fn_msix_enabled(const struct pci_fn *fn)
{
	return fn->msix_off != 0 &&
	       (pci_cfg_get16(fn, fn->msix_off + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_ENABLE) != 0;
}

unsigned int
pci_fn_power_state(const struct pci_fn *fn)
{
	return pci_cfg_get8(fn, fn->pm_off + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK;
}
