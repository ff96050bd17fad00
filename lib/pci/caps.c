/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The capabilities that every function has, as register tables: PM, PCI Express, MSI-X, AER, serial
 * number.
 */

#include <errno.h>

#include "internal.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Link shown to the host: what a card of this class has. Nothing depends on it. */
#define LINK_SPEED PCI_EXP_LNKCAP_SLS_16_0GB
#define LINK_WIDTH 16u
#define LINK_SPEEDS                                                                                \
	(PCI_EXP_LNKCAP2_SLS_2_5GB | PCI_EXP_LNKCAP2_SLS_5_0GB | PCI_EXP_LNKCAP2_SLS_8_0GB |       \
		PCI_EXP_LNKCAP2_SLS_16_0GB)

#define PM_VERSION 3u /* PCI Bus Power Management 1.2 */

/* Without No_Soft_Reset the return from D3hot would have to reset the device. */
static const struct pci_reg pm_regs[] = {
	{.off = PCI_PM_PMC, .width = 2, .init = PM_VERSION},
	{.off = PCI_PM_CTRL,
		.width = 2,
		.init = PCI_PM_CTRL_NO_SOFT_RESET,
		.rw = PCI_PM_CTRL_STATE_MASK},
};

#define EXP_SIZE	  0x3cu /* version 2 has all registers, used or not */
#define EXP_LAT_NO_LIMIT  7u
#define EXP_PAYLOAD_256	  1u
#define EXP_ASPM_OPT_COMP (1u << 22) /* must be set by anything newer than PCIe 2.1 */
#define EXP_LNKSTA2_EQ	  0x001eu    /* equalisation complete, phases 1 to 3 */
#define EXP_DEVSTA_ERRORS                                                                          \
	(PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED | PCI_EXP_DEVSTA_URD)

/*
 * Sticky here is what FLR leaves alone (PCIe 5.0, 6.6.2): the fields that concern the link, not the
 * function.
 */
static const struct pci_reg exp_regs[] = {
	{.off = PCI_EXP_FLAGS, .width = 2, .init = 2 | PCI_EXP_TYPE_ENDPOINT << 4},
	{.off = PCI_EXP_DEVCAP,
		.width = 4,
		.init = EXP_PAYLOAD_256 | PCI_EXP_DEVCAP_EXT_TAG | EXP_LAT_NO_LIMIT << 6 |
			EXP_LAT_NO_LIMIT << 9 | PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR},
	/* Initiate FLR reads as zero, so it is no register bit: see pci_fn_cfg_write(). */
	{.off = PCI_EXP_DEVCTL,
		.width = 2,
		.init = PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
			PCI_EXP_DEVCTL_READRQ_512B,
		.rw = PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
		      PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
		      PCI_EXP_DEVCTL_EXT_TAG | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ,
		.sticky = PCI_EXP_DEVCTL_PAYLOAD},
	{.off = PCI_EXP_DEVSTA, .width = 2, .w1c = EXP_DEVSTA_ERRORS},
	{.off = PCI_EXP_LNKCAP,
		.width = 4,
		.init = LINK_SPEED | LINK_WIDTH << 4 | EXP_ASPM_OPT_COMP},
	{.off = PCI_EXP_LNKCTL,
		.width = 2,
		.rw = PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC |
		      PCI_EXP_LNKCTL_ES,
		.sticky = PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC |
			  PCI_EXP_LNKCTL_ES},
	{.off = PCI_EXP_LNKSTA,
		.width = 2,
		.init = LINK_SPEED | LINK_WIDTH << PCI_EXP_LNKSTA_NLW_SHIFT | PCI_EXP_LNKSTA_SLC},
	{.off = PCI_EXP_DEVCAP2, .width = 4, .init = PCI_EXP_DEVCAP2_COMP_TMOUT_DIS},
	{.off = PCI_EXP_DEVCTL2, .width = 2, .rw = PCI_EXP_DEVCTL2_COMP_TMOUT_DIS},
	{.off = PCI_EXP_LNKCAP2, .width = 4, .init = LINK_SPEEDS},
	{.off = PCI_EXP_LNKCTL2,
		.width = 2,
		.init = LINK_SPEED,
		.rw = PCI_EXP_LNKCTL2_TLS | PCI_EXP_LNKCTL2_HASD,
		.sticky = PCI_EXP_LNKCTL2_TLS | PCI_EXP_LNKCTL2_HASD},
	{.off = PCI_EXP_LNKSTA2, .width = 2, .init = EXP_LNKSTA2_EQ},
};

#define AER_SIZE    0x2cu /* registers and header log; no root port registers, no TLP prefixes */
#define AER_VERSION 1u
#define AER_UNCOR                                                                                  \
	(PCI_ERR_UNC_DLP | PCI_ERR_UNC_POISON_TLP | PCI_ERR_UNC_FCP | PCI_ERR_UNC_COMP_TIME |      \
		PCI_ERR_UNC_COMP_ABORT | PCI_ERR_UNC_UNX_COMP | PCI_ERR_UNC_RX_OVER |              \
		PCI_ERR_UNC_MALF_TLP | PCI_ERR_UNC_UNSUP)
#define AER_FATAL (PCI_ERR_UNC_DLP | PCI_ERR_UNC_FCP | PCI_ERR_UNC_RX_OVER | PCI_ERR_UNC_MALF_TLP)
#define AER_COR                                                                                    \
	(PCI_ERR_COR_RCVR | PCI_ERR_COR_BAD_TLP | PCI_ERR_COR_BAD_DLLP | PCI_ERR_COR_REP_ROLL |    \
		PCI_ERR_COR_REP_TIMER | PCI_ERR_COR_ADV_NFAT)

/*
 * No error ever happens on this link; the registers are there because tools and root ports expect
 * them.
 */
static const struct pci_reg aer_regs[] = {
	{.off = PCI_ERR_UNCOR_STATUS, .width = 4, .w1c = AER_UNCOR, .sticky = AER_UNCOR},
	{.off = PCI_ERR_UNCOR_MASK, .width = 4, .rw = AER_UNCOR, .sticky = AER_UNCOR},
	{.off = PCI_ERR_UNCOR_SEVER,
		.width = 4,
		.init = AER_FATAL,
		.rw = AER_UNCOR,
		.sticky = AER_UNCOR},
	{.off = PCI_ERR_COR_STATUS, .width = 4, .w1c = AER_COR, .sticky = AER_COR},
	{.off = PCI_ERR_COR_MASK,
		.width = 4,
		.init = PCI_ERR_COR_ADV_NFAT,
		.rw = AER_COR,
		.sticky = AER_COR},
};

static void
define_all(struct pci_fn *fn, uint16_t base, const struct pci_reg *regs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		pci_reg_define(fn, base, &regs[i]);
}

static int
pm_add(struct pci_fn *fn)
{
	fn->pm_off = pci_cap_alloc(fn, PCI_CAP_ID_PM, PCI_PM_SIZEOF);
	if (fn->pm_off == 0)
		return -ENOSPC;
	define_all(fn, fn->pm_off, pm_regs, ARRAY_SIZE(pm_regs));
	pci_watch_add(fn, fn->pm_off + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, PCI_EV_POWER);
	return 0;
}

static int
exp_add(struct pci_fn *fn)
{
	fn->exp_off = pci_cap_alloc(fn, PCI_CAP_ID_EXP, EXP_SIZE);
	if (fn->exp_off == 0)
		return -ENOSPC;
	define_all(fn, fn->exp_off, exp_regs, ARRAY_SIZE(exp_regs));
	return 0;
}

static int
msix_add(struct pci_fn *fn)
{
	const struct pci_fn_params *p = &fn->params;
	const uint16_t ctrl = PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL;

	if (p->msix_vectors == 0)
		return 0;

	const struct pci_reg regs[] = {
		{.off = PCI_MSIX_FLAGS, .width = 2, .init = p->msix_vectors - 1u, .rw = ctrl},
		{.off = PCI_MSIX_TABLE, .width = 4, .init = p->msix_bar},
		{.off = PCI_MSIX_PBA,
			.width = 4,
			.init = (uint32_t)pci_msix_pba_offset(p->msix_vectors) | p->msix_bar},
	};

	fn->msix_off = pci_cap_alloc(fn, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	if (fn->msix_off == 0)
		return -ENOSPC;
	define_all(fn, fn->msix_off, regs, ARRAY_SIZE(regs));
	pci_watch_add(fn, fn->msix_off + PCI_MSIX_FLAGS, ctrl, PCI_EV_MSIX);
	return 0;
}

static int
aer_add(struct pci_fn *fn)
{
	uint16_t off = pci_ext_cap_alloc(fn, PCI_EXT_CAP_ID_ERR, AER_VERSION, AER_SIZE);

	if (off == 0)
		return -ENOSPC;
	define_all(fn, off, aer_regs, ARRAY_SIZE(aer_regs));
	return 0;
}

static int
serial_add(struct pci_fn *fn)
{
	const struct pci_reg regs[] = {
		{.off = 4, .width = 4, .init = (uint32_t)fn->params.serial},
		{.off = 8, .width = 4, .init = (uint32_t)(fn->params.serial >> 32)},
	};
	uint16_t off;

	if (fn->params.serial == 0)
		return 0;
	off = pci_ext_cap_alloc(fn, PCI_EXT_CAP_ID_DSN, 1, PCI_EXT_CAP_DSN_SIZEOF);
	if (off == 0)
		return -ENOSPC;
	define_all(fn, off, regs, ARRAY_SIZE(regs));
	return 0;
}

int
pci_caps_add(struct pci_fn *fn)
{
	int (*const add[])(struct pci_fn *) = {pm_add, exp_add, msix_add, aer_add, serial_add};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(add) && rc == 0; i++)
		rc = add[i](fn);
	return rc;
}
