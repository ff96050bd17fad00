/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef PCI_PCI_H
#define PCI_PCI_H

/**
 * @file
 * One emulated PCIe function: 4 KiB of configuration space, capabilities, MSI-X, INTx.
 *
 * The plain state (struct pci_fn_state) lives in a state block; struct pci_fn is this process's
 * view of it. What a register write means is returned as a set of events, so that all side effects
 * have one place - the owner's.
 *
 * Configuration accesses are for the control lcore. Raising an interrupt is for any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_CFG_SIZE	   4096u
#define PCI_FN_VERSION	   2
#define PCI_NUM_BARS	   6u
#define PCI_MSIX_MAX	   2048u /**< PCI 3.0, 6.8.2 */
#define PCI_MSIX_NO_VECTOR 0xffffu
#define PCI_MSIX_ENTRY	   16u /**< bytes of a table entry: address, data, vector control */

/** Plain state of a function, section STATE_SEC_PCI. */
struct pci_fn_state {
	uint8_t cfg[PCI_CFG_SIZE];
	uint32_t intx_level; /**< 1: INTx is asserted (before COMMAND.INTx Disable); atomic */
	uint32_t flr_count;
	uint32_t intx_masked; /**< 1: by the client, until it unmasks; atomic */
	uint32_t reserved;
	/** Room for the largest table; pages of vectors that a function lacks are never touched. */
	uint8_t msix_table[PCI_MSIX_MAX * PCI_MSIX_ENTRY];
	/** 1: raised while no eventfd was attached, or perhaps so; a byte per vector, atomic */
	uint8_t msix_pending[PCI_MSIX_MAX];
};

struct pci_bar {
	uint64_t size; /**< bytes, a power of two >= 16; 0: no BAR */
	bool mem64;    /**< takes the next BAR register as well */
	bool prefetchable;
	bool io;
};

/** What a function is; nothing of it changes while it lives. */
struct pci_fn_params {
	uint16_t vendor_id, device_id, subsys_vendor_id, subsys_id;
	uint8_t revision;
	uint32_t class_code; /**< 24 bits, e.g. 0x020000 */
	struct pci_bar bar[PCI_NUM_BARS];
	uint16_t msix_vectors; /**< 0: no MSI-X capability (INTx only) */
	uint8_t msix_bar;      /**< BAR of table and PBA, theirs alone */
	bool intx;	       /**< interrupt pin A */
	uint64_t serial;       /**< device serial number extended capability; 0: none */
};

/** Side effects of a configuration write, a set of bits. */
enum pci_event {
	PCI_EV_COMMAND = 1u << 0,    /**< COMMAND changed (memory, I/O decode, INTx disable) */
	PCI_EV_BUS_MASTER = 1u << 1, /**< bus master enable changed */
	PCI_EV_FLR = 1u << 2,	     /**< function level reset requested */
	PCI_EV_MSIX = 1u << 3,	     /**< MSI-X enable or function mask changed */
	PCI_EV_POWER = 1u << 4,	     /**< power state changed */
	PCI_EV_BAR = 1u << 5,	     /**< a BAR was written */
	PCI_EV_VENDOR = 1u << 6,     /**< a writable vendor capability (virtio PCI cfg access) */
};

struct pci_fn;
struct pci_irqs;

/**
 * Create the view on `state`.
 *
 * @param fresh  true: initialise the state (power-on values); false: take it up (after a restart)
 * @return 0; -EINVAL on impossible parameters; -ENOMEM
 */
int pci_fn_create(struct pci_fn_state *state, const struct pci_fn_params *params, bool fresh,
	struct pci_fn **out);
void pci_fn_destroy(struct pci_fn *fn);

/**
 * Connect the function's registers with its interrupts: STATUS.Interrupt shows the INTx level,
 * COMMAND.INTx Disable gates it, the PBA shows what is pending. Level, mask and what is pending
 * live in the state from now on: with a state that was taken up they are what they were.
 * Once, before anybody raises. `irqs` must not be used any more when the state goes away; with irqs
 * == NULL the connection ends.
 */
void pci_fn_set_irqs(struct pci_fn *fn, struct pci_irqs *irqs);

/**
 * Add a capability to the list, at the next free 4-byte aligned offset (0x40..0xff). Before the
 * function is shown to a host; in the same order after a restart (with fresh == false nothing is
 * written to the state).
 *
 * @param body   capability from its id byte on; byte 1 (next) is filled in here
 * @param wmask  writable bits, same length, or NULL: read-only
 * @param event  enum pci_event raised when a writable byte is written, or 0
 * @return offset; -ENOSPC
 */
int pci_fn_add_cap(
	struct pci_fn *fn, const void *body, size_t len, const void *wmask, uint32_t event);

/**
 * Add an extended capability (0x100..0xfff): the header is made from id and version.
 * @return offset; -ENOSPC
 */
int pci_fn_add_ext_cap(struct pci_fn *fn, uint16_t id, uint8_t version, const void *body,
	size_t len, const void *wmask);

/** Offset of a capability (first with that id) or 0. */
uint16_t pci_fn_find_cap(const struct pci_fn *fn, uint8_t id);
uint16_t pci_fn_find_ext_cap(const struct pci_fn *fn, uint16_t id);

/** Read configuration space. @return 0; -EINVAL beyond PCI_CFG_SIZE */
int pci_fn_cfg_read(const struct pci_fn *fn, uint32_t off, void *buf, uint32_t len);

/**
 * Write configuration space: only writable bits change, write-1-to-clear bits clear. The access may
 * have any length and alignment.
 *
 * @return events (>= 0); -EINVAL beyond PCI_CFG_SIZE
 */
int pci_fn_cfg_write(struct pci_fn *fn, uint32_t off, const void *buf, uint32_t len);

/**
 * Set bytes whatever their masks say: for registers that the device itself changes.
 * @return 0; -EINVAL
 */
int pci_fn_cfg_poke(struct pci_fn *fn, uint32_t off, const void *buf, uint32_t len);

/**
 * Back to power-on values (conventional reset, or FLR: `flr` keeps what PCIe 6.6.2 says survives).
 * INTx is deasserted. Attached eventfds stay: they are the client's, not the function's.
 */
void pci_fn_reset(struct pci_fn *fn, bool flr);

bool pci_fn_bus_master(const struct pci_fn *fn);
/** Any thread. */
bool pci_fn_msix_enabled(const struct pci_fn *fn);
/** Power state: 0 (D0) or 3 (D3hot). */
unsigned int pci_fn_power_state(const struct pci_fn *fn);

/**
 * MSI-X table and PBA BAR, as the host sees it. Writes are taken in whole aligned dwords
 * (PCI 3.0, 6.8.2 allows dword and qword accesses only), others are ignored; reads may have any
 * width.
 * @return 0; -EINVAL out of range
 */
int pci_fn_msix_bar_read(const struct pci_fn *fn, uint64_t off, void *buf, uint32_t len);
int pci_fn_msix_bar_write(struct pci_fn *fn, uint64_t off, const void *buf, uint32_t len);
/** Size of the MSI-X BAR for a number of vectors: table, then PBA on a page of its own. */
uint64_t pci_msix_bar_size(uint16_t vectors);
uint64_t pci_msix_pba_offset(uint16_t vectors);

/* ---- interrupts: how the function reaches its host, local to this process ---- */

/**
 * What to do with an eventfd that workers may still be writing to: close it after a grace period.
 * NULL: closed at once.
 */
typedef void (*pci_irq_retire_t)(void *ctx, int fd);

int pci_irqs_create(
	uint16_t msix_vectors, pci_irq_retire_t retire, void *ctx, struct pci_irqs **out);
/** Closes what is left. No worker may use it any more. */
void pci_irqs_destroy(struct pci_irqs *irqs);

/**
 * Attach eventfds to MSI-X vectors; ownership of the descriptors passes. fd -1 detaches. A vector
 * that was raised while nothing was attached fires when one is. Whatever the client does with its
 * end, signalling one neither blocks nor takes long.
 *
 * @param fds  count descriptors, or NULL: all -1
 * @return 0; -EINVAL out of range or not an eventfd (then nothing was taken)
 */
int pci_irqs_set_msix(
	struct pci_irqs *irqs, unsigned int start, unsigned int count, const int *fds);
/** The same for INTx. Detaching takes a mask away. */
int pci_irqs_set_intx(struct pci_irqs *irqs, int fd);
/**
 * Attach eventfds that a predecessor had attached: nothing else changes, nothing is signalled.
 * @return 0; -EINVAL as above (then it was not taken)
 */
int pci_irqs_adopt_msix(struct pci_irqs *irqs, unsigned int vector, int fd);
int pci_irqs_adopt_intx(struct pci_irqs *irqs, int fd);
/**
 * After adoption: signal what is pending, and INTx if it is asserted and not masked. What a
 * predecessor had raised and died before it signalled it is its user's to raise again.
 */
void pci_irqs_resignal(struct pci_irqs *irqs);
/** Nothing is signalled until pci_irqs_intx_unmask() (VFIO mask). */
void pci_irqs_intx_mask(struct pci_irqs *irqs);
/** Host finished with the INTx it got (VFIO unmask): signal again if the line is still asserted. */
void pci_irqs_intx_unmask(struct pci_irqs *irqs);
/**
 * Signal once whatever the level and the mask are (VFIO loopback); COMMAND.INTx Disable prevents
 * it. Control lcore only.
 */
void pci_irqs_intx_trigger(struct pci_irqs *irqs);
/** Is an interrupt of this vector waiting for an eventfd? Any thread. */
bool pci_irqs_msix_pending(const struct pci_irqs *irqs, uint16_t vector);
/** Detach all and forget what is pending (host gone, reset). The INTx level stays. */
void pci_irqs_clear(struct pci_irqs *irqs);

/**
 * Make what the calling thread needs to raise interrupts by itself, before it is urgent. Otherwise
 * that is done at its first interrupt, and as long as it cannot be, another thread delivers them.
 *
 * @return 0; -ENOSYS: this system does not have it; -EAGAIN (fs.aio-max-nr is used up), -errno
 */
int pci_signal_begin(void);
/**
 * Raise an MSI-X vector. Any thread; one system call, a second only if the eventfd is replaced at
 * that moment. PCI_MSIX_NO_VECTOR and out of range do nothing.
 *
 * If the client makes its eventfds slow to signal (irq.c), another thread delivers the function's
 * interrupts for a while, several of a vector as one.
 */
void pci_irq_msix(struct pci_irqs *irqs, uint16_t vector);
/** Assert or deassert INTx; edges to the eventfd only on assertion. Any thread. */
void pci_irq_intx(struct pci_irqs *irqs, bool level);
/** Number of interrupts delivered through eventfds since creation. */
uint64_t pci_irqs_count(const struct pci_irqs *irqs);

#endif /* PCI_PCI_H */
