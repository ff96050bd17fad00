/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VIRTIO_VIRTIO_PCI_H
#define VIRTIO_VIRTIO_PCI_H

/**
 * @file
 * Virtio over PCI bus, modern registers (virtio 1.2, 4.1): common configuration, ISR, device
 * configuration, notification area, and the PCI configuration access capability. Control lcore
 * only.
 */

#include "pci/pci.h"
#include "virtio/virtio.h"

#define VIRTIO_PCI_BAR		 0u /**< 64-bit memory BAR of all register structures */
#define VIRTIO_PCI_MSIX_BAR	 2u /**< 64-bit memory BAR of MSI-X table and PBA */
#define VIRTIO_PCI_BAR_SIZE	 0x4000u
#define VIRTIO_PCI_COMMON_OFFSET 0x0000u
#define VIRTIO_PCI_ISR_OFFSET	 0x1000u
#define VIRTIO_PCI_DEVICE_OFFSET 0x2000u
#define VIRTIO_PCI_NOTIFY_OFFSET                                                                   \
	0x3000u /**< a page of its own, so that it can be mapped by a hypervisor */
#define VIRTIO_PCI_NOTIFY_SIZE 0x1000u
#define VIRTIO_PCI_NOTIFY_MULT 4u /**< notify_off_multiplier */

struct virtio_pci;

#define VIRTIO_PCI_VENDOR	   0x1af4u
#define VIRTIO_PCI_DEVICE_BASE	   0x1040u /**< + device type (virtio 1.2, 4.1.2) */
#define VIRTIO_PCI_REVISION_MODERN 1u
#define VIRTIO_PCI_CLASS_ETHERNET  0x020000u

/**
 * PCI parameters of a modern virtio-net function (1af4:1041), to be completed by the owner
 * (serial).
 */
void virtio_pci_fn_params(struct pci_fn_params *params, uint16_t msix_vectors, bool intx_only);

/**
 * Put the registers of `dev` on function `fn`: adds the vendor capabilities.
 * @return 0; -ENOSPC; -ENOMEM
 */
int virtio_pci_create(struct virtio_dev *dev, struct pci_fn *fn, struct virtio_pci **out);
void virtio_pci_destroy(struct virtio_pci *vp);

/**
 * Access VIRTIO_PCI_BAR. Widths and alignment are those of the field (virtio 1.2, 4.1.3.1); others
 * read as zero and write nothing.
 * @return 0; -EINVAL out of the BAR; write: -EINPROGRESS while the owner works on it
 */
int virtio_pci_bar_read(struct virtio_pci *vp, uint64_t off, void *buf, uint32_t len);
int virtio_pci_bar_write(struct virtio_pci *vp, uint64_t off, const void *buf, uint32_t len);

/**
 * PCI configuration access capability (4.1.4.9): to be called after a configuration write that
 * raised PCI_EV_VENDOR and touched pci_cfg_data, and before a configuration read that covers
 * pci_cfg_data.
 * @return as virtio_pci_bar_write(); accesses outside the structures do nothing
 */
int virtio_pci_cfg_access_write(struct virtio_pci *vp, uint32_t cfg_off, uint32_t len);
void virtio_pci_cfg_access_read(struct virtio_pci *vp, uint32_t cfg_off, uint32_t len);

#endif /* VIRTIO_VIRTIO_PCI_H */
