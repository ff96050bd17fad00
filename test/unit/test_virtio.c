/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The device as its driver sees it: status machine, features, queues, interrupts, configuration. */

#include <errno.h>

#include "test.h"
#include "virtio_fixture.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Status values as a driver goes through them. */
enum {
	ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE,
	DRV = ACK | VIRTIO_CONFIG_S_DRIVER,
	FOK = DRV | VIRTIO_CONFIG_S_FEATURES_OK,
	DOK = FOK | VIRTIO_CONFIG_S_DRIVER_OK,
	NEED = VIRTIO_CONFIG_S_NEEDS_RESET,
	FAIL = VIRTIO_CONFIG_S_FAILED,
};

/* ---- status ---- */

static void
status_follows_the_table_of_states_and_writes(void **state)
{
	static const struct {
		uint8_t from, write, to;
	} table[] = {
		{0, ACK, ACK},
		{0, DRV, DRV},
		{0, VIRTIO_CONFIG_S_DRIVER, 0},
		{0, VIRTIO_CONFIG_S_FEATURES_OK, 0},
		{0, VIRTIO_CONFIG_S_DRIVER_OK, 0},
		{0, FOK, FOK},
		{0, DOK, FOK},
		{0, FAIL, FAIL},
		{0, 0x30, 0},
		{0, NEED, 0},
		{ACK, DRV, DRV},
		{ACK, FOK, FOK},
		{ACK, ACK | VIRTIO_CONFIG_S_FEATURES_OK, ACK},
		{ACK, ACK | VIRTIO_CONFIG_S_DRIVER_OK, ACK},
		{DRV, ACK, DRV},
		{DRV, FOK, FOK},
		{DRV, DRV | VIRTIO_CONFIG_S_DRIVER_OK, DRV},
		{DRV, DOK, FOK},
		{DRV, DRV | FAIL, DRV | FAIL},
		{FOK, DRV, FOK},
		{FOK, VIRTIO_CONFIG_S_DRIVER_OK, FOK},
		{FOK, DOK, DOK},
		{FOK, FOK | NEED, FOK},
		{FOK, 0xff, DOK | FAIL},
		{DOK, FOK, DOK},
		{DOK, DOK, DOK},
		{DOK, DOK | FAIL, DOK | FAIL},
		{DOK, 0, 0},
		{FOK, 0, 0},
		{DOK | NEED, DOK, DOK | NEED},
		{DOK | NEED, DOK | NEED | FAIL, DOK | NEED | FAIL},
		{FOK | NEED, DOK | NEED, FOK | NEED},
		{DRV | NEED, FOK, DRV | NEED},
		{DOK | NEED, 0, 0},
		{DOK | FAIL, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct owner *o = owner_new();

		driver_at(o, table[i].from, FIX_MINIMAL);
		virtio_dev_set_driver_features(o->dev, FIX_MINIMAL);
		assert_int_equal(virtio_dev_set_status(o->dev, table[i].write), 0);
		if (virtio_dev_status(o->dev) != table[i].to)
			fail_msg("row %zu: %#x written at %#x gives %#x instead of %#x", i,
				table[i].write, table[i].from, virtio_dev_status(o->dev),
				table[i].to);
		owner_free(o);
	}
}

static void
driver_ok_starts_once_and_reset_stops_once(void **state)
{
	struct owner *o = owner_new();

	virtio_dev_set_status(o->dev, 0);
	assert_int_equal(o->reset, 0);
	driver_at(o, DOK, FIX_MINIMAL);
	virtio_dev_set_status(o->dev, DOK);
	assert_int_equal(o->driver_ok, 1);
	virtio_dev_set_status(o->dev, 0);
	virtio_dev_set_status(o->dev, 0);
	assert_int_equal(o->reset, 1);
	owner_free(o);
}

static void
start_that_fails_tells_the_driver(void **state)
{
	struct owner *o = owner_new();

	o->msix = true;
	driver_at(o, FOK, FIX_MINIMAL);
	virtio_dev_set_config_vector(o->dev, 0);
	o->answer = -EIO;
	assert_int_equal(virtio_dev_set_status(o->dev, DOK), 0);
	assert_int_equal(virtio_dev_status(o->dev), DOK | NEED);
	assert_int_equal(o->irqs[0], 1);
	owner_free(o);
}

static void
needs_reset_interrupts_a_running_driver_only(void **state)
{
	struct owner *o = owner_new();

	o->msix = true;
	virtio_dev_needs_reset(o->dev);
	assert_int_equal(virtio_dev_status(o->dev), 0);
	driver_at(o, FOK | NEED, FIX_MINIMAL);
	assert_int_equal(o->irqs[3], 0);
	virtio_dev_set_status(o->dev, 0);
	driver_at(o, DOK, FIX_MINIMAL);
	virtio_dev_set_config_vector(o->dev, 3);
	virtio_dev_needs_reset(o->dev);
	virtio_dev_needs_reset(o->dev);
	assert_int_equal(o->irqs[3], 1);
	owner_free(o);
}

/* ---- features ---- */

static void
features_ok_is_refused_for_what_a_device_must_not_accept(void **state)
{
	const uint64_t v1 = FIX_MINIMAL, ctrl = v1 | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
	const struct {
		uint64_t features;
		bool ok;
	} table[] = {
		{v1, true},
		{virtio_net_default_features(UINT64_MAX), true},
		{0, false},
		{VIRTIO_BIT(VIRTIO_NET_F_MAC), false},
		{v1 | VIRTIO_BIT(VIRTIO_F_RING_PACKED), true},
		{v1 | VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA), false}, /* not offered */
		{UINT64_MAX, false},
		{v1 | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4), false},
		{v1 | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_CSUM), true},
		{v1 | VIRTIO_BIT(VIRTIO_NET_F_MQ), false},
		{ctrl | VIRTIO_BIT(VIRTIO_NET_F_MQ), true},
		{v1 | VIRTIO_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE), false},
		{ctrl, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct owner *o = owner_new();

		driver_at(o, DRV, table[i].features);
		virtio_dev_set_status(o->dev, FOK);
		if (virtio_dev_status(o->dev) != (table[i].ok ? FOK : DRV))
			fail_msg("%#lx", table[i].features);
		assert_int_equal(o->features_ok, table[i].ok);
		assert_int_equal(virtio_dev_features(o->dev), table[i].ok ? table[i].features : 0);
		owner_free(o);
	}
}

static void
owner_may_refuse_features_and_the_driver_try_again(void **state)
{
	struct owner *o = owner_new();

	o->features_answer = -EINVAL;
	driver_at(o, DRV, FIX_MINIMAL);
	virtio_dev_set_status(o->dev, FOK);
	assert_int_equal(virtio_dev_status(o->dev), DRV);
	o->features_answer = 0;
	virtio_dev_set_status(o->dev, FOK);
	assert_int_equal(virtio_dev_status(o->dev), FOK);
	owner_free(o);
}

static void
features_are_final_once_accepted(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, FOK, FIX_MINIMAL);
	virtio_dev_set_driver_features(o->dev, UINT64_MAX);
	assert_int_equal(virtio_dev_features(o->dev), FIX_MINIMAL);
	virtio_dev_set_status(o->dev, 0);
	assert_int_equal(o->st.driver_features, 0);
	owner_free(o);
}

static void
feature_and_status_names_are_those_printed(void **state)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} features[] = {
		{0, "VIRTIO_NET_F_CSUM"},
		{7, "VIRTIO_NET_F_GUEST_TSO4"},
		{8, "VIRTIO_NET_F_GUEST_TSO6"},
		{10, "VIRTIO_NET_F_GUEST_UFO"},
		{15, "VIRTIO_F_MRG_RX_BUFFER"},
		{28, "VIRTIO_F_RING_INDIRECT_DESC"},
		{29, "VIRTIO_F_RING_EVENT_IDX"},
		{32, "VIRTIO_F_VERSION_1"},
		{33, "VIRTIO_F_IOMMU_PLATFORM"},
		{34, "VIRTIO_F_RING_PACKED"},
		{35, "VIRTIO_F_IN_ORDER"},
		{37, "VIRTIO_F_SR_IOV"},
		{40, "VIRTIO_F_RING_RESET"},
		{41, "VIRTIO_F_ADMIN_VQ"},
		{52, "VIRTIO_NET_F_VQ_NOTF_COAL"},
		{53, "VIRTIO_NET_F_NOTF_COAL"},
		{54, "VIRTIO_NET_F_GUEST_USO4"},
		{55, "VIRTIO_NET_F_GUEST_USO6"},
		{56, "VIRTIO_NET_F_HOST_USO"},
		{57, "VIRTIO_NET_F_HASH_REPORT"},
		{59, "VIRTIO_NET_F_GUEST_HDRLEN"},
		{60, "VIRTIO_NET_F_RSS"},
		{63, "VIRTIO_NET_F_SPEED_DUPLEX"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		assert_string_equal(virtio_feature_name(features[i].bit), features[i].name);
	assert_null(virtio_feature_name(4));
	assert_null(virtio_feature_name(64));
	assert_string_equal(virtio_status_name(0), "ACK");
	assert_string_equal(virtio_status_name(6), "DEVICE_NEEDS_RESET");
	assert_null(virtio_status_name(4));
	assert_null(virtio_status_name(8));
}

static void
every_supported_feature_has_a_name_and_its_dependencies(void **state)
{
	uint64_t supported = virtio_net_supported_features(),
		 required = virtio_net_required_features();
	unsigned int needs, missing;

	for (unsigned int bit = 0; bit < 64; bit++)
		if (virtio_has(supported, bit))
			assert_non_null(virtio_feature_name(bit));
	assert_int_equal(virtio_net_check_features(supported, NULL, NULL), 0);
	assert_int_equal(virtio_net_check_features(required, NULL, NULL), 0);
	assert_int_equal(required & ~supported, 0);
	assert_int_equal(virtio_net_check_features(
				 required | VIRTIO_BIT(VIRTIO_NET_F_CTRL_RX), &needs, &missing),
		-EINVAL);
	assert_int_equal(needs, VIRTIO_NET_F_CTRL_RX);
	assert_int_equal(missing, VIRTIO_NET_F_CTRL_VQ);
}

static void
features_need_what_the_standard_says(void **state)
{
	/* Virtio 1.2, 5.1.3.1; each row: a feature and those of which it needs one. */
	static const struct {
		uint8_t feature, needs[2];
	} table[] = {
		{VIRTIO_NET_F_GUEST_TSO4, {VIRTIO_NET_F_GUEST_CSUM}},
		{VIRTIO_NET_F_GUEST_TSO6, {VIRTIO_NET_F_GUEST_CSUM}},
		{VIRTIO_NET_F_GUEST_ECN, {VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6}},
		{VIRTIO_NET_F_GUEST_UFO, {VIRTIO_NET_F_GUEST_CSUM}},
		{VIRTIO_NET_F_GUEST_USO4, {VIRTIO_NET_F_GUEST_CSUM}},
		{VIRTIO_NET_F_GUEST_USO6, {VIRTIO_NET_F_GUEST_CSUM}},
		{VIRTIO_NET_F_HOST_TSO4, {VIRTIO_NET_F_CSUM}},
		{VIRTIO_NET_F_HOST_TSO6, {VIRTIO_NET_F_CSUM}},
		{VIRTIO_NET_F_HOST_ECN, {VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6}},
		{VIRTIO_NET_F_HOST_UFO, {VIRTIO_NET_F_CSUM}},
		{VIRTIO_NET_F_HOST_USO, {VIRTIO_NET_F_CSUM}},
		{VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_CTRL_RX, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_CTRL_VLAN, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_GUEST_ANNOUNCE, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_MQ, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_CTRL_MAC_ADDR, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_NOTF_COAL, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_VQ_NOTF_COAL, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_RSS, {VIRTIO_NET_F_CTRL_VQ}},
		{VIRTIO_NET_F_RSC_EXT, {VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6}},
	};
	unsigned int needs, missing;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint64_t without = UINT64_MAX;

		for (unsigned int n = 0; n < 2; n++)
			if (table[i].needs[n] != 0 || n == 0)
				without &= ~VIRTIO_BIT(table[i].needs[n]);
		assert_int_equal(
			virtio_net_check_features(VIRTIO_BIT(table[i].feature), &needs, &missing),
			-EINVAL);
		assert_int_equal(needs, table[i].feature);
		assert_true(missing == table[i].needs[0] || missing == table[i].needs[1]);
		assert_int_equal(virtio_net_check_features(without, NULL, NULL), -EINVAL);
	}
	assert_int_equal(virtio_net_check_features(UINT64_MAX, NULL, NULL), 0);
	assert_int_equal(virtio_net_check_features(0, NULL, NULL), 0);
}

static void
defaults_are_what_is_allowed_and_useful(void **state)
{
	const uint64_t mrg = VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF),
		       packed = VIRTIO_BIT(VIRTIO_F_RING_PACKED),
		       gso = VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) |
			     VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |
			     VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN) |
			     VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO4) |
			     VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO6),
		       never = VIRTIO_BIT(VIRTIO_NET_F_GUEST_HDRLEN) |
			       VIRTIO_BIT(VIRTIO_NET_F_HASH_REPORT) |
			       VIRTIO_BIT(VIRTIO_F_NOTIFICATION_DATA);
	const uint64_t all = virtio_net_supported_features();

	assert_int_equal(virtio_net_default_features(UINT64_MAX), all & ~never);
	assert_int_equal(virtio_net_default_features(~packed), all & ~never & ~packed);
	assert_int_equal(virtio_net_default_features(~mrg), all & ~never & ~mrg & ~gso);
	assert_int_equal(virtio_net_default_features(0), 0);
	assert_int_equal(
		virtio_net_check_features(virtio_net_default_features(~mrg), NULL, NULL), 0);
}

static void
control_queue_is_the_third_unless_multiqueue_was_accepted(void **state)
{
	const uint64_t ctrl = FIX_MINIMAL | VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
	struct owner *o = owner_new();

	driver_at(o, FOK, ctrl);
	assert_int_equal(virtio_net_ctrl_queue(&o->st), 2);
	assert_int_equal(virtio_net_pairs(&o->st), 1);
	virtio_dev_set_status(o->dev, 0);
	driver_at(o, FOK, ctrl | VIRTIO_BIT(VIRTIO_NET_F_MQ));
	assert_int_equal(virtio_net_ctrl_queue(&o->st), FIX_QUEUES - 1);
	assert_int_equal(virtio_net_pairs(&o->st), 4);
	owner_free(o);
}

/* ---- queues ---- */

static void
queue_is_enabled_only_with_sound_registers(void **state)
{
	static const struct {
		const char *what;
		uint16_t size;
		uint64_t desc, driver, device;
		int rc;
	} table[] = {
		{"sound", 64, 0x10000, 0x20000, 0x30000, 0},
		{"largest", 256, 0x10000, 0x20000, 0x30000, 0},
		{"smallest", 1, 0x10, 0x2, 0x4, 0},
		{"size 0", 0, 0x10000, 0x20000, 0x30000, -EINVAL},
		{"size 3", 3, 0x10000, 0x20000, 0x30000, -EINVAL},
		{"size over maximum", 512, 0x10000, 0x20000, 0x30000, -EINVAL},
		{"size 65535", 65535, 0x10000, 0x20000, 0x30000, -EINVAL},
		{"desc missing", 64, 0, 0x20000, 0x30000, -EINVAL},
		{"driver missing", 64, 0x10000, 0, 0x30000, -EINVAL},
		{"device missing", 64, 0x10000, 0x20000, 0, -EINVAL},
		{"desc odd", 64, 0x10008, 0x20000, 0x30000, -EINVAL},
		{"driver odd", 64, 0x10000, 0x20001, 0x30000, -EINVAL},
		{"device odd", 64, 0x10000, 0x20000, 0x30002, -EINVAL},
		{"desc wraps", 64, 0xfffffffffffffff0, 0x20000, 0x30000, -EINVAL},
		{"driver wraps", 64, 0x10000, 0xfffffffffffffffe, 0x30000, -EINVAL},
		{"device wraps", 64, 0x10000, 0x20000, 0xfffffffffffffffc, -EINVAL},
		{"desc ends at the top", 64, 0xfffffffffffffbf0, 0x20000, 0x30000, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct owner *o = owner_new();
		struct virtio_queue_state *q = &o->st.queue[1];

		driver_at(o, FOK, FIX_MINIMAL);
		q->size = table[i].size;
		q->desc = table[i].desc;
		q->driver = table[i].driver;
		q->device = table[i].device;
		if (virtio_dev_queue_enable(o->dev, 1) != table[i].rc)
			fail_msg("%s", table[i].what);
		assert_int_equal(q->enable, table[i].rc == 0);
		owner_free(o);
	}
}

static void
queue_cannot_be_enabled_at_the_wrong_time_or_place(void **state)
{
	struct owner *o = owner_new();

	driver_sets_queue(o, 0);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 0), -EINVAL);
	driver_at(o, FOK, FIX_MINIMAL);
	assert_int_equal(virtio_dev_queue_enable(o->dev, FIX_QUEUES), -EINVAL);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 0xffff), -EINVAL);
	virtio_dev_needs_reset(o->dev);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 0), -EINVAL);
	owner_free(o);
}

static void
queue_enabled_after_driver_ok_is_started_by_the_owner(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, FOK, FIX_MINIMAL);
	driver_sets_queue(o, 0);
	virtio_dev_queue_enable(o->dev, 0);
	assert_int_equal(o->queue_enable, 0);
	virtio_dev_set_status(o->dev, DOK);
	driver_sets_queue(o, 3);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 3), 0);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 3), 0);
	assert_int_equal(o->queue_enable, 1);
	assert_int_equal(o->queue, 3);
	o->answer = -ENOMEM;
	driver_sets_queue(o, 4);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 4), -ENOMEM);
	assert_int_equal(o->st.queue[4].enable, 0);
	owner_free(o);
}

static void
queue_reset_stops_one_queue_and_restores_its_defaults(void **state)
{
	const uint64_t features = FIX_MINIMAL | VIRTIO_BIT(VIRTIO_F_RING_RESET);
	struct owner *o = owner_new();
	struct virtio_queue_state *q = &o->st.queue[1];

	driver_at(o, FOK, features);
	driver_sets_queue(o, 1);
	virtio_dev_queue_enable(o->dev, 1);
	virtio_dev_set_queue_vector(o->dev, 1, 2);
	virtio_dev_set_status(o->dev, DOK);

	o->answer = -EINPROGRESS;
	assert_int_equal(virtio_dev_queue_reset(o->dev, 1), -EINPROGRESS);
	assert_int_equal(q->reset, 1);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 1), -EBUSY);
	virtio_dev_op_done(o->dev);
	assert_int_equal(q->reset | q->enable | q->desc | q->driver | q->device, 0);
	assert_int_equal(q->size, FIX_QUEUE_SIZE);
	assert_int_equal(q->msix_vector, VIRTIO_NO_VECTOR);
	assert_int_equal(o->queue_reset, 1);

	o->answer = 0;
	driver_sets_queue(o, 1);
	assert_int_equal(virtio_dev_queue_enable(o->dev, 1), 0);
	assert_int_equal(o->queue_enable, 1);
	owner_free(o);
}

static void
queue_reset_needs_its_feature_and_a_queue(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, DOK, FIX_MINIMAL);
	assert_int_equal(virtio_dev_queue_reset(o->dev, 0), -EINVAL);
	virtio_dev_set_status(o->dev, 0);
	driver_at(o, DOK, FIX_MINIMAL | VIRTIO_BIT(VIRTIO_F_RING_RESET));
	assert_int_equal(virtio_dev_queue_reset(o->dev, FIX_QUEUES), -EINVAL);
	assert_int_equal(virtio_dev_queue_reset(o->dev, 0), 0);
	assert_int_equal(o->queue_reset, 0);
	owner_free(o);
}

static void
doorbell_reaches_running_queues_only(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, FOK, FIX_MINIMAL);
	driver_sets_queue(o, 1);
	virtio_dev_queue_enable(o->dev, 1);
	virtio_dev_notify(o->dev, 1);
	assert_int_equal(o->notify, 0);
	virtio_dev_set_status(o->dev, DOK);
	virtio_dev_notify(o->dev, 1);
	virtio_dev_notify(o->dev, 0);
	virtio_dev_notify(o->dev, FIX_QUEUES);
	virtio_dev_notify(o->dev, 0xffff);
	assert_int_equal(o->notify, 1);
	assert_int_equal(o->queue, 1);
	owner_free(o);
}

/* ---- operations that take time ---- */

static void
status_changes_when_the_owner_is_done(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, FOK, FIX_MINIMAL);
	o->answer = -EINPROGRESS;
	assert_int_equal(virtio_dev_set_status(o->dev, DOK), -EINPROGRESS);
	assert_int_equal(virtio_dev_status(o->dev), FOK);
	assert_true(virtio_dev_op_pending(o->dev));
	assert_int_equal(virtio_dev_set_status(o->dev, FOK | FAIL), -EBUSY);
	virtio_dev_op_done(o->dev);
	assert_int_equal(virtio_dev_status(o->dev), DOK);
	assert_int_equal(virtio_dev_set_status(o->dev, 0), -EINPROGRESS);
	assert_int_equal(virtio_dev_status(o->dev), DOK);
	virtio_dev_op_done(o->dev);
	assert_int_equal(virtio_dev_status(o->dev), 0);
	assert_false(virtio_dev_op_pending(o->dev));
	virtio_dev_op_done(o->dev);
	assert_int_equal(virtio_dev_status(o->dev), 0);
	owner_free(o);
}

static void
reset_supersedes_what_is_under_way(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, FOK, FIX_MINIMAL);
	o->answer = -EINPROGRESS;
	virtio_dev_set_status(o->dev, DOK);
	assert_int_equal(virtio_dev_reset(o->dev), -EINPROGRESS);
	assert_int_equal(virtio_dev_reset(o->dev), -EINPROGRESS);
	assert_int_equal(o->reset, 1);
	virtio_dev_op_done(o->dev);
	assert_int_equal(virtio_dev_status(o->dev), 0);
	assert_false(virtio_dev_op_pending(o->dev));
	owner_free(o);
}

static void
device_that_fails_while_starting_interrupts_once_started(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, FOK, FIX_MINIMAL);
	o->answer = -EINPROGRESS;
	virtio_dev_set_status(o->dev, DOK);
	virtio_dev_needs_reset(o->dev);
	assert_false(o->intx);
	virtio_dev_op_done(o->dev);
	assert_int_equal(virtio_dev_status(o->dev), DOK | NEED);
	assert_true(o->intx);
	owner_free(o);
}

/* ---- reset ---- */

static void
reset_restores_registers_and_keeps_the_device(void **state)
{
	struct owner *o = owner_new();
	struct virtio_state *before = malloc(sizeof(*before));

	*before = o->st;
	driver_at(o, FOK, FIX_MINIMAL);
	for (uint16_t i = 0; i < FIX_QUEUES; i++) {
		driver_sets_queue(o, i);
		virtio_dev_queue_enable(o->dev, i);
		virtio_dev_set_queue_vector(o->dev, i, i);
	}
	virtio_dev_set_config_vector(o->dev, 1);
	virtio_dev_set_status(o->dev, DOK);
	o->st.queue_select = o->st.device_feature_select = o->st.driver_feature_select = 1;
	virtio_dev_queue_interrupt(o->dev, 0);
	assert_true(o->intx);

	assert_int_equal(virtio_dev_set_status(o->dev, 0), 0);
	assert_memory_equal(before, &o->st, sizeof(*before));
	assert_false(o->intx);
	free(before);
	owner_free(o);
}

static void
restart_takes_the_state_up_untouched(void **state)
{
	struct owner *o = owner_new();
	struct virtio_state *before = malloc(sizeof(*before));
	struct virtio_dev_params params = {.num_vectors = 3};

	driver_at(o, DOK, FIX_MINIMAL);
	virtio_dev_set_queue_vector(o->dev, 0, 7);
	*before = o->st;
	virtio_dev_destroy(o->dev);
	assert_int_equal(virtio_dev_create(&o->st, &params, false, &owner_ops, o, &o->dev), 0);
	assert_memory_equal(before, &o->st, sizeof(*before));
	virtio_dev_set_queue_vector(o->dev, 0, 3);
	assert_int_equal(o->st.queue[0].msix_vector, VIRTIO_NO_VECTOR);
	o->st.num_queues = VIRTIO_MAX_QUEUES + 1;
	virtio_dev_destroy(o->dev);
	assert_int_equal(
		virtio_dev_create(&o->st, &params, false, &owner_ops, o, &o->dev), -EINVAL);
	free(before);
	free(o);
}

/* ---- interrupts ---- */

static void
msix_goes_to_the_queues_vector_and_leaves_the_isr_alone(void **state)
{
	struct owner *o = owner_new();

	o->msix = true;
	virtio_dev_set_queue_vector(o->dev, 1, 4);
	virtio_dev_queue_interrupt(o->dev, 1);
	virtio_dev_queue_interrupt(o->dev, 0);
	virtio_dev_queue_interrupt(o->dev, 0xffff);
	assert_int_equal(o->irqs[4], 1);
	assert_int_equal(o->bad_irqs, 0);
	assert_false(o->intx);
	assert_int_equal(virtio_dev_isr_read(o->dev), 0);
	owner_free(o);
}

static void
intx_is_asserted_until_the_isr_is_read(void **state)
{
	struct owner *o = owner_new();

	driver_at(o, DOK, FIX_MINIMAL);
	virtio_dev_queue_interrupt(o->dev, 1);
	virtio_dev_needs_reset(o->dev);
	assert_true(o->intx);
	assert_int_equal(o->intx_edges, 1);
	assert_int_equal(virtio_dev_isr_read(o->dev), 3);
	assert_false(o->intx);
	assert_int_equal(virtio_dev_isr_read(o->dev), 0);
	owner_free(o);
}

static void
intx_follows_the_isr_when_msix_is_switched(void **state)
{
	struct owner *o = owner_new();

	virtio_dev_queue_interrupt(o->dev, 1);
	o->msix = true;
	virtio_dev_irq_mode_changed(o->dev);
	assert_false(o->intx);
	o->msix = false;
	virtio_dev_irq_mode_changed(o->dev);
	assert_true(o->intx);
	owner_free(o);
}

/* ---- configuration ---- */

static void
config_change_bumps_the_generation_and_interrupts(void **state)
{
	struct owner *o = owner_new();
	struct virtio_net_config config = o->st.config;

	o->msix = true;
	driver_at(o, DOK, FIX_MINIMAL);
	virtio_dev_set_config_vector(o->dev, 5);
	virtio_dev_config_update(o->dev, &config);
	assert_int_equal(o->st.config_generation, 0);
	config.status = 0;
	virtio_dev_config_update(o->dev, &config);
	assert_int_equal(o->st.config_generation, 1);
	assert_int_equal(o->irqs[5], 1);
	config.mac[5]++;
	virtio_dev_config_update_quiet(o->dev, &config);
	assert_int_equal(o->st.config_generation, 2);
	assert_int_equal(o->irqs[5], 1);
	owner_free(o);
}

static void
reset_withdraws_an_announcement(void **state)
{
	struct owner *o = owner_new();
	struct virtio_net_config config = o->st.config;

	driver_at(o, DOK, FIX_MINIMAL);
	config.status |= VIRTIO_NET_S_ANNOUNCE;
	virtio_dev_config_update(o->dev, &config);
	virtio_dev_set_status(o->dev, 0);
	assert_int_equal(o->st.config.status, VIRTIO_NET_S_LINK_UP);
	owner_free(o);
}

static void
device_is_reconfigured_without_a_driver_only(void **state)
{
	struct owner *o = owner_new();
	struct virtio_dev_params params = owner_params();

	params.num_queues = 5;
	params.max_queue_size = 1024;
	driver_at(o, ACK, 0);
	assert_int_equal(virtio_dev_reconfigure(o->dev, &params), -EBUSY);
	virtio_dev_set_status(o->dev, 0);
	assert_int_equal(virtio_dev_reconfigure(o->dev, &params), 0);
	assert_int_equal(o->st.num_queues, 5);
	assert_int_equal(o->st.queue[4].size, 1024);
	assert_int_equal(o->st.queue[5].size, 0);
	assert_int_equal(o->st.config_generation, 1);
	owner_free(o);
}

static void
impossible_parameters_are_refused(void **state)
{
	struct owner *o = owner_new();
	struct virtio_dev_params bad[8];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		bad[i] = owner_params();
	bad[0].num_queues = 0;
	bad[1].num_queues = 2;
	bad[2].num_queues = VIRTIO_MAX_QUEUES + 1;
	bad[3].max_queue_size = 0;
	bad[4].max_queue_size = 100;
	bad[5].max_queue_size = 65535;
	bad[6].device_features &= ~VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
	bad[7].device_features &= ~VIRTIO_BIT(VIRTIO_NET_F_CSUM);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(virtio_dev_reconfigure(o->dev, &bad[i]), -EINVAL);
	assert_int_equal(o->st.num_queues, FIX_QUEUES);
	owner_free(o);
}

static int
test_virtio(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_follows_the_table_of_states_and_writes),
		cmocka_unit_test(driver_ok_starts_once_and_reset_stops_once),
		cmocka_unit_test(start_that_fails_tells_the_driver),
		cmocka_unit_test(needs_reset_interrupts_a_running_driver_only),
		cmocka_unit_test(features_ok_is_refused_for_what_a_device_must_not_accept),
		cmocka_unit_test(owner_may_refuse_features_and_the_driver_try_again),
		cmocka_unit_test(features_are_final_once_accepted),
		cmocka_unit_test(feature_and_status_names_are_those_printed),
		cmocka_unit_test(every_supported_feature_has_a_name_and_its_dependencies),
		cmocka_unit_test(features_need_what_the_standard_says),
		cmocka_unit_test(defaults_are_what_is_allowed_and_useful),
		cmocka_unit_test(control_queue_is_the_third_unless_multiqueue_was_accepted),
		cmocka_unit_test(queue_is_enabled_only_with_sound_registers),
		cmocka_unit_test(queue_cannot_be_enabled_at_the_wrong_time_or_place),
		cmocka_unit_test(queue_enabled_after_driver_ok_is_started_by_the_owner),
		cmocka_unit_test(queue_reset_stops_one_queue_and_restores_its_defaults),
		cmocka_unit_test(queue_reset_needs_its_feature_and_a_queue),
		cmocka_unit_test(doorbell_reaches_running_queues_only),
		cmocka_unit_test(status_changes_when_the_owner_is_done),
		cmocka_unit_test(reset_supersedes_what_is_under_way),
		cmocka_unit_test(device_that_fails_while_starting_interrupts_once_started),
		cmocka_unit_test(reset_restores_registers_and_keeps_the_device),
		cmocka_unit_test(restart_takes_the_state_up_untouched),
		cmocka_unit_test(msix_goes_to_the_queues_vector_and_leaves_the_isr_alone),
		cmocka_unit_test(intx_is_asserted_until_the_isr_is_read),
		cmocka_unit_test(intx_follows_the_isr_when_msix_is_switched),
		cmocka_unit_test(config_change_bumps_the_generation_and_interrupts),
		cmocka_unit_test(reset_withdraws_an_announcement),
		cmocka_unit_test(device_is_reconfigured_without_a_driver_only),
		cmocka_unit_test(impossible_parameters_are_refused),
	};

	return cmocka_run_group_tests_name("virtio", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(virtio, test_virtio)
