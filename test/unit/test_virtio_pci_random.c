/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* A driver that does anything, the same random walk everywhere: invariants hold after each step. */

#include <errno.h>

#include <linux/virtio_pci.h>

#include "test.h"
#include "virtio_pci_fixture.h"

static uint32_t
random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 16);
}

/* What must hold whatever a driver does. */
static void
check_invariants(const struct fix *f)
{
	const struct virtio_state *s = &f->o->st;
	uint8_t status = s->status;

	assert_true((status & VIRTIO_CONFIG_S_DRIVER_OK) == 0 || (status & FOK) == FOK);
	assert_true((status & VIRTIO_CONFIG_S_FEATURES_OK) == 0 ||
		    (s->driver_features & ~s->device_features) == 0);
	assert_int_equal(status & 0x30, 0);
	assert_int_equal(f->o->bad_irqs, 0);
	for (uint16_t q = 0; q < FIX_QUEUES; q++)
		if (s->queue[q].enable != 0)
			assert_true(
				s->queue[q].size != 0 && s->queue[q].size <= s->queue[q].max_size);
}

/* Offsets and values near what means something, now and then anything. */
static uint64_t
random_off(uint64_t *seed)
{
	static const uint32_t base[] = {VIRTIO_PCI_COMMON_OFFSET, VIRTIO_PCI_COMMON_OFFSET,
		VIRTIO_PCI_COMMON_OFFSET, VIRTIO_PCI_ISR_OFFSET, VIRTIO_PCI_DEVICE_OFFSET,
		VIRTIO_PCI_NOTIFY_OFFSET};
	uint32_t r = random_next(seed);

	return r % 64 == 0 ? random_next(seed) % 0x4010
			   : base[r % ARRAY_SIZE(base)] + (r >> 8) % 64;
}

static void
driver_sets_queue_if_idle(struct owner *o, uint16_t queue)
{
	if (o->st.queue[queue].enable == 0 && !virtio_dev_op_pending(o->dev))
		driver_sets_queue(o, queue);
	o->st.queue_select = queue;
}

static void
random_step(struct fix *f, uint64_t *seed)
{
	static const int answers[] = {0, 0, 0, -EINPROGRESS, -EIO};
	static const uint8_t widths[] = {1, 2, 4, 8, 3}, steps[] = {ACK, DRV, FOK, DOK};
	static const uint64_t values[] = {
		0, 1, 2, 3, 7, 11, 15, 64, 0xffff, 0x10000, 0x139bf, UINT64_MAX};
	uint64_t off = random_off(seed), v = values[random_next(seed) % ARRAY_SIZE(values)];
	uint32_t r = random_next(seed), len = widths[r / 32 % ARRAY_SIZE(widths)];
	uint8_t buf[8];

	memcpy(buf, &v, 8);
	f->o->answer = answers[r / 1024 % ARRAY_SIZE(answers)];
	f->o->msix = r / 8192 % 2 != 0;
	switch (r % 16) {
	case 0:
		virtio_dev_op_done(f->o->dev);
		break;
	case 1:
		if (r / 16384 % 16 == 0)
			virtio_dev_needs_reset(f->o->dev);
		else if (r / 16384 % 16 < 4)
			virtio_pci_bar_write(f->vp, VIRTIO_PCI_COMMON_STATUS, &(uint8_t){0}, 1);
		break;
	case 2:
		virtio_dev_queue_interrupt(f->o->dev, (uint16_t)v);
		break;
	case 3:
		off = CAP_PCI_CFG + off % 24;
		if (pci_fn_cfg_write(f->fn, (uint32_t)off, buf, len) == PCI_EV_VENDOR)
			virtio_pci_cfg_access_write(f->vp, (uint32_t)off, len);
		virtio_pci_cfg_access_read(f->vp, (uint32_t)off, len);
		break;
	case 4:
		pci_fn_cfg_write(f->fn, (uint32_t)off, buf, len);
		break;
	case 5: /* steps in the right direction, which chance alone would hardly take */
		virtio_dev_set_driver_features(
			f->o->dev, FIX_MINIMAL | VIRTIO_BIT(VIRTIO_F_RING_RESET));
		driver_sets_queue_if_idle(f->o, (uint16_t)(r / 16384 % FIX_QUEUES));
		break;
	case 6:
	case 7:
		buf[0] = rd(f, VIRTIO_PCI_COMMON_STATUS, 1) | steps[r / 16384 % ARRAY_SIZE(steps)];
		virtio_pci_bar_write(f->vp, VIRTIO_PCI_COMMON_STATUS, buf, 1);
		break;
	case 8:
		off = r / 16384 % 4 == 0 ? VIRTIO_PCI_COMMON_Q_RESET : VIRTIO_PCI_COMMON_Q_ENABLE;
		virtio_pci_bar_write(f->vp, off, &(uint16_t){1}, 2);
		virtio_pci_bar_write(f->vp, VIRTIO_PCI_NOTIFY_OFFSET + v % 16 * 4, buf, 2);
		break;
	case 9:
	case 10:
		virtio_pci_bar_read(f->vp, off, buf, len);
		break;
	default:
		virtio_pci_bar_write(f->vp, off, buf, len);
		break;
	}
}

/*
 * A fixed number of steps from a fixed seed: the same run everywhere, well below a second under
 * sanitizers.
 */
static void
random_register_accesses_never_break_the_invariants(void **state)
{
	struct fix *f = *state;
	uint64_t seed = 0x9e3779b97f4a7c15;

	for (unsigned int i = 0; i < 200000; i++) {
		random_step(f, &seed);
		check_invariants(f);
	}
	/* The walk came somewhere. */
	assert_true(f->o->driver_ok > 100 && f->o->reset > 100 && f->o->queue_enable > 10);
	assert_true(f->o->queue_reset > 10 && f->o->notify > 10);
}

static int
test_virtio_pci_random(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			random_register_accesses_never_break_the_invariants, setup, teardown),
	};

	return cmocka_run_group_tests_name("virtio_pci_random", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(virtio_pci_random, test_virtio_pci_random)
