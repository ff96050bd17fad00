/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * MSI-X table and pending bit array behind their BAR. The entries are the host's business only:
 * clients deliver through eventfds and do their own masking, so nothing here gates an interrupt.
 */

#include <errno.h>
#include <string.h>

#include "internal.h"

#define PBA_ALIGN 4096u /* a page of its own: hypervisors emulate the table's pages */

static uint64_t
table_size(uint16_t vectors)
{
	return (uint64_t)vectors * PCI_MSIX_ENTRY;
}

uint64_t
pci_msix_pba_offset(uint16_t vectors)
{
	return (table_size(vectors) + PBA_ALIGN - 1) & ~(uint64_t)(PBA_ALIGN - 1);
}

/* In whole qwords, so that a qword read of the last vectors is inside. */
static uint64_t
pba_size(uint16_t vectors)
{
	return (vectors + 63u) / 64u * 8u;
}

uint64_t
pci_msix_bar_size(uint16_t vectors)
{
	uint64_t need = pci_msix_pba_offset(vectors) + pba_size(vectors);
	uint64_t size = PBA_ALIGN;

	while (size < need)
		size *= 2;
	return size;
}

void
pci_msix_reset(struct pci_fn *fn)
{
	uint8_t *table = fn->state->msix_table;

	memset(table, 0, table_size(fn->params.msix_vectors));
	for (uint16_t i = 0; i < fn->params.msix_vectors; i++)
		table[i * PCI_MSIX_ENTRY + PCI_MSIX_ENTRY_VECTOR_CTRL] =
			PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static bool
in_bar(const struct pci_fn *fn, uint64_t off, uint32_t len)
{
	uint64_t size = fn->params.msix_vectors != 0 ? fn->params.bar[fn->params.msix_bar].size : 0;

	return off <= size && len <= size - off;
}

static uint8_t
pba_byte(const struct pci_fn *fn, uint64_t index)
{
	uint8_t bits = 0;

	for (unsigned int b = 0; b < 8 && fn->irqs != NULL; b++) {
		uint64_t vector = index * 8 + b;

		if (vector < fn->params.msix_vectors &&
			pci_irqs_msix_pending(fn->irqs, (uint16_t)vector))
			bits |= 1u << b;
	}
	return bits;
}

int
pci_fn_msix_bar_read(const struct pci_fn *fn, uint64_t off, void *buf, uint32_t len)
{
	const uint64_t table = table_size(fn->params.msix_vectors);
	const uint64_t pba = pci_msix_pba_offset(fn->params.msix_vectors);
	const uint64_t pba_end = pba + pba_size(fn->params.msix_vectors);
	uint8_t *b = buf;

	if (!in_bar(fn, off, len))
		return -EINVAL;
	for (uint64_t at = off; at < off + len; at++) {
		uint8_t v = 0;

		if (at < table)
			v = fn->state->msix_table[at];
		else if (at >= pba && at < pba_end)
			v = pba_byte(fn, at - pba);
		*b++ = v;
	}
	return 0;
}

/* Which bits of a byte of a table entry can be written. */
static uint8_t
entry_mask(uint64_t at)
{
	switch (at % PCI_MSIX_ENTRY) {
	case PCI_MSIX_ENTRY_LOWER_ADDR:
		return 0xfc; /* addresses are dword aligned */
	case PCI_MSIX_ENTRY_VECTOR_CTRL:
		return PCI_MSIX_ENTRY_CTRL_MASKBIT;
	case PCI_MSIX_ENTRY_VECTOR_CTRL + 1:
	case PCI_MSIX_ENTRY_VECTOR_CTRL + 2:
	case PCI_MSIX_ENTRY_VECTOR_CTRL + 3:
		return 0;
	default:
		return 0xff;
	}
}

int
pci_fn_msix_bar_write(struct pci_fn *fn, uint64_t off, const void *buf, uint32_t len)
{
	const uint64_t table = table_size(fn->params.msix_vectors);
	const uint8_t *b = buf;

	if (!in_bar(fn, off, len))
		return -EINVAL;
	if (off % 4 != 0 || len % 4 != 0)
		return 0;
	for (uint64_t at = off; at < off + len && at < table; at++, b++)
		fn->state->msix_table[at] = *b & entry_mask(at);
	return 0;
}
