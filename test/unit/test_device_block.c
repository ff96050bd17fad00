/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Blocks that a predecessor has left: intact, damaged here and there, poisonous. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include <rte_log.h>

#include "pci/pci.h"
#include "test.h"
#include "virtio/features.h"
#include "virtnet/device_block.h"
#include "virtnet/device_dma.h"
#include "virtnet/device_function.h"
#include "virtnet/device_layout.h"

#define VUID  "MT2611X00001VNETS3D0F0"
#define PAIRS 2u

struct world {
	struct controller c;
	struct device *first; /* whose block it is */
	struct ha_open open;
	int fd;
};

/* What the registers of a function and a device look like, as far as anybody checks. */
static void
fill_registers(struct device *dev)
{
	struct virtio_state *vs = dev->virtio;
	uint8_t *cfg = dev->pci->cfg;

	cfg[PCI_VENDOR_ID] = 0xf4;
	cfg[PCI_VENDOR_ID + 1] = 0x1a;
	cfg[PCI_DEVICE_ID] = 0x41;
	cfg[PCI_DEVICE_ID + 1] = 0x10;
	cfg[PCI_REVISION_ID] = 1;
	cfg[PCI_CLASS_PROG + 2] = 0x02;
	cfg[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	cfg[PCI_CAPABILITY_LIST] = 0x40;
	cfg[PCI_COMMAND] = PCI_COMMAND_MASTER;
	vs->device_features = dev->conf.features;
	vs->driver_features = VIRTIO_BIT(VIRTIO_F_VERSION_1);
	vs->num_queues = device_num_queues(dev);
	vs->config.max_virtqueue_pairs = PAIRS;
	vs->status = 0xf;
	for (uint16_t q = 0; q < vs->num_queues; q++) {
		vs->queue[q].max_size = vs->queue[q].size = 256;
		dev->records[q].used_idx = 100 + q;
		dev->records[q].running = 1;
	}
	dev->dma_state->high = 1;
	dev->dma_state->range[0].iova = 0x7000;
	dev->state->phase = DEVICE_LIVE;
	dev->state->pairs = PAIRS;
	dev->state->started = 1;
}

static void
configure(struct controller *c)
{
	strcpy(c->cfg.port[0].name, "mlx5_0");
	strcpy(c->cfg.port[1].name, "mlx5_1");
	c->cfg.n_ports = 2;
	c->cfg.port[0].mtu = c->cfg.port[1].mtu = 9216;
	strcpy(c->cfg.host[0].name, "none");
	strcpy(c->cfg.host[1].name, "vm1");
	c->cfg.n_hosts = 2;
	c->cfg.num_msix = 64;
	c->emu_ops = emu_driver_find("vfio_user");
	TAILQ_INIT(&c->devices);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct device *dev;

	configure(&w->c);
	dev = device_alloc(&w->c);
	strcpy(dev->vuid, VUID);
	strcpy(dev->plug_id, "virtnet-" VUID);
	strcpy(dev->socket, "/run/" VUID ".sock");
	strcpy(dev->bdf, "17:00.0");
	dev->pf_id = dev->slot = 2;
	dev->conf = (struct device_conf){
		.port = &w->c.cfg.port[1],
		.host = 1,
		.mac.addr_bytes = {2, 0, 0, 0, 0, 7},
		.mtu = 1400,
		.max_pairs = PAIRS,
		.max_queue_size = 256,
		.sf_num = 2002,
		.features =
			virtio_net_default_features(UINT64_MAX) | virtio_net_required_features(),
		.num_msix = 64,
	};
	assert_int_equal(device_block_create(dev), 0);
	fill_registers(dev);
	w->first = dev;
	w->fd = state_block_fd(dev->block);
	strcpy(w->open.vuid, VUID);
	strcpy(w->open.path, "/run/" VUID ".sock");
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	device_free(w->first);
	free(w);
	return 0;
}

/* @return what was damaged; the device is for device_free() */
static unsigned int
take(struct world *w, struct device **out, bool poison, bool *changed)
{
	int ret;

	*out = device_alloc(&w->c);
	*changed = false;
	ret = device_block_take(*out, w->fd, &w->open, poison, false, changed);
	assert_true(ret >= 0);
	return (unsigned int)ret;
}

static void
assert_identity(const struct device *dev)
{
	assert_string_equal(dev->vuid, VUID);
	assert_int_equal(dev->conf.mac.addr_bytes[5], 7);
	assert_int_equal(dev->conf.sf_num, 2002);
	assert_int_equal(dev->conf.mtu, 1400);
	assert_int_equal(dev->conf.max_pairs, PAIRS);
	assert_int_equal(dev->pf_id, 2);
	assert_string_equal(dev->conf.port->name, "mlx5_1");
	assert_int_equal(dev->conf.host, 1);
	assert_string_equal(dev->socket, "/run/" VUID ".sock");
}

static void
an_intact_block_is_taken_as_it_is(void **state)
{
	struct world *w = *state;
	struct device *dev;
	bool changed;

	assert_int_equal(take(w, &dev, false, &changed), 0);

	assert_false(changed);
	assert_identity(dev);
	assert_string_equal(dev->state->bdf, "17:00.0");
	assert_int_equal(dev->records[3].used_idx, 103);
	assert_int_equal(dev->virtio->status, 0xf);
	assert_int_equal(dev->state->quarantine, 0);
	device_free(dev);
}

static void
names_that_left_the_settings_become_the_first_ones(void **state)
{
	struct world *w = *state;
	struct device *dev;
	bool changed;

	w->c.cfg.n_ports = 1;
	w->c.cfg.n_hosts = 1;
	assert_int_equal(take(w, &dev, false, &changed), 0);
	assert_string_equal(dev->conf.port->name, "mlx5_0");
	assert_int_equal(dev->conf.host, 0);
	device_free(dev);
}

/* ---- damage */

static void
break_ident(struct device *dev)
{
	dev->state->id.mac[3] ^= 0xff;
}

static void
break_phase(struct device *dev)
{
	dev->state->phase = 77;
}

static void
break_pairs(struct device *dev)
{
	dev->state->pairs = 5000;
}

static void
break_sf(struct device *dev)
{
	dev->state->sf.pairs = 300;
}

static void
break_hash(struct device *dev)
{
	dev->state->hash.types = 0x200;
}

static void
break_whole_state(struct device *dev)
{
	memset(dev->state, 0xa5, sizeof(*dev->state));
}

static void
break_vendor(struct device *dev)
{
	dev->pci->cfg[PCI_VENDOR_ID] = 0;
}

static void
break_features(struct device *dev)
{
	dev->virtio->device_features ^= 1;
}

static void
break_status(struct device *dev)
{
	dev->virtio->status = 0x4;
}

static void
break_accepted(struct device *dev)
{
	dev->virtio->driver_features = UINT64_MAX;
}

static void
break_queues(struct device *dev)
{
	dev->virtio->num_queues = 200;
}

static void
break_queue_size(struct device *dev)
{
	dev->virtio->queue[1].size = 4096;
}

static void
break_record(struct device *dev)
{
	memset(&dev->records[2], 0xff, sizeof(dev->records[2]));
}

static void
break_mailbox(struct device *dev)
{
	memset(dev->mailbox, 0xff, 64);
}

static const struct {
	const char *what;
	void (*fn)(struct device *dev);
	unsigned int damage;
} harm[] = {
	{"identity", break_ident, DEVICE_BAD_STATE},
	{"phase", break_phase, DEVICE_BAD_STATE},
	{"pairs", break_pairs, DEVICE_BAD_STATE},
	{"SF", break_sf, DEVICE_BAD_STATE},
	{"hash types", break_hash, DEVICE_BAD_STATE},
	{"all of the state", break_whole_state, DEVICE_BAD_STATE},
	{"vendor", break_vendor, DEVICE_BAD_PCI | DEVICE_BAD_VIRTIO},
	{"features", break_features, DEVICE_BAD_VIRTIO},
	{"status", break_status, DEVICE_BAD_VIRTIO},
	{"accepted features", break_accepted, DEVICE_BAD_VIRTIO},
	{"number of queues", break_queues, DEVICE_BAD_VIRTIO},
	{"queue size", break_queue_size, DEVICE_BAD_VIRTIO},
	{"record", break_record, DEVICE_BAD_RINGS},
	{"mailbox", break_mailbox, DEVICE_BAD_MAILBOX},
};

static void
a_damaged_part_starts_anew_and_the_device_stays_itself(void **state)
{
	for (size_t i = 0; i < RTE_DIM(harm); i++) {
		struct world *w;
		struct device *dev;
		unsigned int damage;
		bool changed;

		assert_int_equal(setup(state), 0);
		w = *state;
		harm[i].fn(w->first);
		damage = take(w, &dev, false, &changed);
		if (damage != harm[i].damage)
			fail_msg("%s: %#x", harm[i].what, damage);
		assert_false(changed);
		assert_identity(dev);
		assert_true(device_ident_intact(&dev->state->id));
		assert_int_equal(dev->state->quarantine, DEVICE_Q_DAMAGE);
		if (damage & (DEVICE_BAD_RINGS | DEVICE_BAD_VIRTIO))
			assert_int_equal(dev->records[1].running, 0);
		device_free(dev);
		teardown(state);
	}
}

static void
a_damaged_header_costs_the_driver_its_state_not_the_device_its_name(void **state)
{
	struct world *w = *state;
	const char junk[512] = "no state block";
	struct device *dev;
	unsigned int damage;
	bool changed;

	assert_int_equal(pwrite(w->fd, junk, sizeof(junk), 0), sizeof(junk));
	damage = take(w, &dev, false, &changed);

	assert_true(damage & DEVICE_BAD_BLOCK);
	assert_true(damage & DEVICE_BAD_VIRTIO);
	assert_false(damage & (DEVICE_BAD_IDENT | DEVICE_BAD_PCI));
	assert_true(changed);
	assert_identity(dev);
	/* The function's registers and the client's memory are found where they must be. */
	assert_int_equal(dev->pci->cfg[PCI_COMMAND], PCI_COMMAND_MASTER);
	assert_int_equal(dev->dma_state->range[0].iova, 0x7000);
	assert_int_equal(dev->records[1].running, 0);
	device_free(dev);
}

static void
a_poisonous_block_is_replaced_without_a_look_at_it(void **state)
{
	struct world *w = *state;
	struct device *dev;
	unsigned int damage;
	bool changed;

	damage = take(w, &dev, true, &changed);

	assert_true(damage & DEVICE_BAD_BLOCK);
	assert_true(changed);
	assert_identity(dev);
	assert_int_equal(dev->dma_state->high, 0);
	assert_int_equal(dev->state->quarantine, DEVICE_Q_BLOCK);
	device_free(dev);
}

static void
of_a_block_that_is_lost_the_keeper_knows_the_name(void **state)
{
	struct world *w = *state;
	struct device *dev;
	unsigned int damage;
	bool changed;

	w->fd = memfd_create("nothing", MFD_CLOEXEC);
	damage = take(w, &dev, false, &changed);
	close(w->fd);

	assert_true(damage & DEVICE_BAD_IDENT);
	assert_true(changed);
	assert_string_equal(dev->vuid, VUID);
	assert_string_equal(dev->socket, "/run/" VUID ".sock");
	assert_int_equal(dev->slot, 2);
	assert_int_equal(dev->conf.sf_num, 2002);
	device_free(dev);
}

/* Its identity stands where it must be: a newer program's block costs what damage costs. */
static void
a_layout_of_the_future_is_refused_if_somebody_else_can_read_it(void **state)
{
	struct state_section_desc desc[DEVICE_SECTIONS];
	struct world *w = *state;
	struct state_block *blk;
	struct device *dev = device_alloc(&w->c);
	struct virtio_state *vs;
	bool changed = false;

	device_layout_sections(PAIRS * 2 + 1, desc);
	desc[0].version = 99;
	assert_int_equal(state_block_create(VUID, desc, DEVICE_SECTIONS, &blk), 0);
	vs = state_block_section(blk, STATE_SEC_VIRTIO, VIRTIO_STATE_VERSION, sizeof(*vs));
	vs->num_queues = PAIRS * 2 + 1;
	assert_int_equal(
		device_block_take(dev, state_block_fd(blk), &w->open, false, true, &changed),
		-ENOTSUP);
	assert_true(device_block_take(dev, state_block_fd(blk), &w->open, false, false, &changed) &
		    DEVICE_BAD_BLOCK);
	device_free(dev);
	state_block_close(blk);
}

/* Random bytes anywhere: whatever it costs, nothing ends. */
static void
random_damage_is_survived(void **state)
{
	unsigned int seed = 1;

	for (unsigned int i = 0; i < 300; i++) {
		struct world *w;
		struct device *dev;
		bool changed;
		off_t size;

		assert_int_equal(setup(state), 0);
		w = *state;
		size = lseek(w->fd, 0, SEEK_END);
		for (unsigned int k = 0; k < 64; k++) {
			const uint8_t byte = (uint8_t)rand_r(&seed);
			const off_t at =
				(off_t)(((uint64_t)rand_r(&seed) << 16 ^ (uint64_t)rand_r(&seed)) %
					(uint64_t)size);

			assert_int_equal(pwrite(w->fd, &byte, 1, k % 2 ? at : at % 65536), 1);
		}
		(void)take(w, &dev, false, &changed);
		assert_string_equal(dev->vuid, VUID);
		device_free(dev);
		teardown(state);
	}
}

static int
test_device_block(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_intact_block_is_taken_as_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(
			names_that_left_the_settings_become_the_first_ones, setup, teardown),
		cmocka_unit_test(a_damaged_part_starts_anew_and_the_device_stays_itself),
		cmocka_unit_test_setup_teardown(
			a_damaged_header_costs_the_driver_its_state_not_the_device_its_name, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_poisonous_block_is_replaced_without_a_look_at_it, setup, teardown),
		cmocka_unit_test_setup_teardown(
			of_a_block_that_is_lost_the_keeper_knows_the_name, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_layout_of_the_future_is_refused_if_somebody_else_can_read_it, setup,
			teardown),
		cmocka_unit_test(random_damage_is_survived),
	};

	return cmocka_run_group_tests_name("device_block", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(device_block, test_device_block);
