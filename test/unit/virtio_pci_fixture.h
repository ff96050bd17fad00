/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VIRTIO_PCI_FIXTURE_H
#define TEST_UNIT_VIRTIO_PCI_FIXTURE_H

/* A virtio-net function with its registers, on the recording owner of virtio_fixture.h. */

#include <linux/virtio_pci.h>

#include "virtio/virtio_pci.h"
#include "virtio_fixture.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

enum {
	ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE,
	DRV = ACK | VIRTIO_CONFIG_S_DRIVER,
	FOK = DRV | VIRTIO_CONFIG_S_FEATURES_OK,
	DOK = FOK | VIRTIO_CONFIG_S_DRIVER_OK,
};

/* The vendor capabilities follow MSI-X at 0x90. */
enum {
	CAP_COMMON = 0x90,
	CAP_ISR = 0xa0,
	CAP_DEVICE = 0xb0,
	CAP_NOTIFY = 0xc0,
	CAP_PCI_CFG = 0xd4,
};

struct fix {
	struct owner *o;
	struct pci_fn_state *pci_state;
	struct pci_fn *fn;
	struct virtio_pci *vp;
};

static inline int
setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	struct pci_fn_params params;

	f->o = owner_new();
	f->pci_state = calloc(1, sizeof(*f->pci_state));
	virtio_pci_fn_params(&params, FIX_VECTORS, false);
	assert_int_equal(pci_fn_create(f->pci_state, &params, true, &f->fn), 0);
	assert_int_equal(virtio_pci_create(f->o->dev, f->fn, &f->vp), 0);
	*state = f;
	return 0;
}

static inline int
teardown(void **state)
{
	struct fix *f = *state;

	virtio_pci_destroy(f->vp);
	pci_fn_destroy(f->fn);
	owner_free(f->o);
	free(f->pci_state);
	free(f);
	return 0;
}

static inline uint32_t
rd(struct fix *f, uint64_t off, uint32_t width)
{
	uint32_t v = 0;

	assert_int_equal(virtio_pci_bar_read(f->vp, off, &v, width), 0);
	return v;
}

static inline void
wr(struct fix *f, uint64_t off, uint32_t width, uint32_t v)
{
	assert_int_equal(virtio_pci_bar_write(f->vp, off, &v, width), 0);
}

static inline uint32_t
cfg_rd(struct fix *f, uint32_t off, uint32_t width)
{
	uint32_t v = 0;

	assert_int_equal(pci_fn_cfg_read(f->fn, off, &v, width), 0);
	return v;
}

#endif /* TEST_UNIT_VIRTIO_PCI_FIXTURE_H */
