/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef PCI_INTERNAL_H
#define PCI_INTERNAL_H

/**
 * @file
 * What the files of lib/pci share: the register model of a function.
 */

#include <linux/pci_regs.h>

#include "pci/pci.h"

/**
 * How one byte of configuration space behaves. Made from the parameters, so it needs no place in
 * the state and a restarted process gets the same model from the same parameters.
 */
struct pci_reg_byte {
	uint8_t init;	/**< power-on value */
	uint8_t rw;	/**< bits that a write sets and clears */
	uint8_t w1c;	/**< bits that a written 1 clears */
	uint8_t sticky; /**< bits that survive FLR */
};

/** A register of a capability, in tables. */
struct pci_reg {
	uint16_t off; /**< from the start of the capability */
	uint8_t width;
	uint32_t init, rw, w1c, sticky;
};

/** A 16-bit register whose change is an event. */
struct pci_watch {
	uint16_t off, mask;
	uint32_t event;
};

/** A capability of the owner's whose writes are an event. */
struct pci_cap_event {
	uint16_t off, len;
	uint32_t event;
};

#define PCI_MAX_WATCHES 4u
#define PCI_MAX_CAP_EVENTS                                                                         \
	4u /* the virtio PCI cfg access capability uses one; vendors rarely need more */

struct pci_fn {
	struct pci_fn_state *state;
	struct pci_fn_params params;
	struct pci_irqs *irqs;
	bool fresh;
	uint16_t next_cap, last_link; /* free space; byte that points to the next capability */
	uint16_t next_ext, last_ext;  /* the same for extended capabilities; last_ext 0: none yet */
	uint16_t pm_off, exp_off, msix_off; /* 0: absent */
	unsigned int n_watches, n_cap_events;
	struct pci_watch watch[PCI_MAX_WATCHES];
	struct pci_cap_event cap_event[PCI_MAX_CAP_EVENTS];
	struct pci_reg_byte reg[PCI_CFG_SIZE];
};

/* fn.c */
void pci_reg_define(struct pci_fn *fn, uint16_t base, const struct pci_reg *r);
/** Room for a capability in the list, its header filled in. @return offset or 0 */
uint16_t pci_cap_alloc(struct pci_fn *fn, uint8_t id, size_t len);
/** @param len  with the 4-byte header. @return offset or 0 */
uint16_t pci_ext_cap_alloc(struct pci_fn *fn, uint16_t id, uint8_t version, size_t len);
void pci_watch_add(struct pci_fn *fn, uint16_t off, uint16_t mask, uint32_t event);

/* caps.c: what every function has. @return 0; -ENOSPC */
int pci_caps_add(struct pci_fn *fn);

/* msix.c */
void pci_msix_reset(struct pci_fn *fn);

/* signal.c */
enum pci_signalled {
	PCI_SIGNALLED,
	PCI_SIGNAL_NOBODY, /**< the descriptor is no eventfd (any more) */
	PCI_SIGNAL_LATER,  /**< not now */
};

/**
 * Add one to an eventfd that somebody else holds, too, without blocking. A counter at its limit
 * counts as signalled: the host has been told and has not looked yet. Any thread.
 */
enum pci_signalled pci_signal(int fd);
/** The same for a thread that may wait for the client, where there is no other way. */
enum pci_signalled pci_signal_patiently(int fd);

/* late.c: interrupts that are not for the thread that raises them to deliver */
struct pci_late;
struct pci_irqs;
/** @return NULL: no memory */
struct pci_late *pci_late_create(struct pci_irqs *irqs, unsigned int vectors);
/** From its return on the interrupts are not touched any more. NULL is allowed. */
void pci_late_destroy(struct pci_late *late);
/** Deliver this vector soon: pci_irqs_deliver_fd(), and signal that. Any thread. */
void pci_late_raise(struct pci_late *late, unsigned int vector);

/* irq.c */
/** Keep what outlives the process in a function's state. */
void pci_irqs_use_state(struct pci_irqs *irqs, struct pci_fn_state *state);
/**
 * Of a vector, or INTx (PCI_IRQS_INTX), that is to be signalled now: a duplicate of its eventfd.
 * @return -1: there is none, it fires when one is attached; -EMFILE and the like
 */
int pci_irqs_deliver_fd(struct pci_irqs *irqs, unsigned int vector);
/** It has been. */
void pci_irqs_delivered(struct pci_irqs *irqs, unsigned int vector);
#define PCI_IRQS_INTX PCI_MSIX_MAX
void pci_irqs_intx_disable(struct pci_irqs *irqs, bool disable);

/*
 * Configuration bytes are little-endian and may be read by other threads (pci_fn_msix_enabled()).
 */
static inline uint8_t
pci_cfg_get8(const struct pci_fn *fn, uint16_t off)
{
	return __atomic_load_n(&fn->state->cfg[off], __ATOMIC_RELAXED);
}

static inline uint16_t
pci_cfg_get16(const struct pci_fn *fn, uint16_t off)
{
	return (uint16_t)(pci_cfg_get8(fn, off) | pci_cfg_get8(fn, off + 1) << 8);
}

static inline void
pci_cfg_put8(struct pci_fn *fn, uint16_t off, uint8_t v)
{
	__atomic_store_n(&fn->state->cfg[off], v, __ATOMIC_RELAXED);
}

static inline bool
pci_ranges_overlap(uint32_t a, uint32_t alen, uint32_t b, uint32_t blen)
{
	return a < b + blen && b < a + alen;
}

#endif /* PCI_INTERNAL_H */
