/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Host driver "qmp" and devices of vhost-user: chardev, netdev and QEMU's own virtio-net-pci. */

#include <stdlib.h>
#include <string.h>

#include <linux/virtio_config.h>

#include "host/qmp/qmp_host.h"
#include "host_qmp_fixture.h"

#define BIT(n)	   (UINT64_C(1) << (n))
#define WITH_VHOST ", " PROPERTY("virtnet-a", "child<virtio-net-pci>")
#define NOT_FOUND  ERR("DeviceNotFound", "Device 'virtnet-a-net' not found")
#define NO_CHARDEV ERR("GenericError", "Chardev 'virtnet-a-chr' not found")
#define SHARED	   RETURN("[{\"id\": \"mem\", \"size\": 536870912, \"share\": true}]")
#define TYPE	   RETURN("[" PROPERTY("mac", "str") ", " PROPERTY("in_order", "bool") "]")
#define OLD_TYPE   RETURN("[" PROPERTY("mac", "str") "]")

/* clang-format off */
#define FIND_PORT {"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")}
#define CHECKS	  {"device-list-properties", TYPE}, {"query-memdev", SHARED}
#define CLEAR	  {"netdev_del", NOT_FOUND}, {"chardev-remove", NO_CHARDEV}
#define MAKE	  FIND_PORT, CHECKS, CLEAR, {"chardev-add", OK}, {"netdev_add", OK}
#define UNDO	  {"netdev_del", OK}, {"chardev-remove", NO_CHARDEV}
/* clang-format on */

static struct host_plug
vhost(void)
{
	return (struct host_plug){
		.id = "virtnet-a",
		.socket = "/run/a.sock",
		.function =
			{
				.kind = VMM_VHOST_USER,
				.msix = true,
				.mac = {0x0c, 0xc4, 0x7a, 0xff, 0x22, 0x93},
				.mtu = 9000,
				.pairs = 2,
				.queue_size = 512,
			},
	};
}

static void
begin(void)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
}

static void
plug_makes_chardev_and_netdev_and_a_device_that_looks_as_ours(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY(FIND_PORT, {"\"typename\":\"virtio-net-pci\"", TYPE}, {"query-memdev", SHARED},
		{"\"netdev_del\"", NOT_FOUND}, {"\"chardev-remove\"", NO_CHARDEV},
		{"\"id\":\"virtnet-a-chr\",\"backend\":{\"type\":\"socket\",\"data\":{\"addr\":"
		 "{\"type\":\"unix\",\"data\":{\"path\":\"/run/a.sock\"}},\"server\":false,"
		 "\"reconnect-ms\":1000}}",
			OK},
		{"\"type\":\"vhost-user\",\"id\":\"virtnet-a-net\",\"chardev\":\"virtnet-a-chr\","
		 "\"queues\":2",
			OK},
		{"{\"driver\":\"virtio-net-pci\",\"id\":\"virtnet-a\",\"bus\":\"rp1\","
		 "\"netdev\":\"virtnet-a-net\",\"mac\":\"0c:c4:7a:ff:22:93\","
		 "\"disable-legacy\":\"on\",\"romfile\":\"\",\"vectors\":6,"
		 "\"rx_queue_size\":512,\"tx_queue_size\":512,\"mq\":true,\"host_mtu\":9000}",
			OK},
		{"query-pci", PCI_A});
	assert_reply(plug(&p), HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "0a:00.0");
}

static void
properties_follow_from_what_the_device_has(void **state)
{
	static const struct {
		uint64_t features;
		bool in_order;
		uint16_t pairs, queue_size, mtu;
		bool msix;
		const char *has, *lacks;
	} cases[] = {
		{0, true, 1, 1024, 0, true, "\"vectors\": 4", "host_mtu"},
		{0, true, 1, 1024, 0, true, "\"mq\": false", "packed"},
		{0, true, 1, 256, 0, false, "\"vectors\": 0", "in_order"},
		{0, true, 1, 4096, 0, true, "\"rx_queue_size\": 1024", "4096"},
		{BIT(VIRTIO_F_RING_PACKED), true, 1, 256, 0, true, "\"packed\": true", "in_order"},
		{BIT(VIRTIO_F_IN_ORDER), true, 1, 256, 0, true, "\"in_order\": true", "packed"},
		{BIT(VIRTIO_F_IN_ORDER), false, 1, 256, 1500, true, "\"host_mtu\": 1500",
			"in_order"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qmp_job job = {.id = (char *)(uintptr_t) "virtnet-a",
			.function = vhost().function,
			.in_order = cases[i].in_order};
		json_t *p;
		char *text;

		job.function.features = cases[i].features;
		job.function.pairs = cases[i].pairs;
		job.function.queue_size = cases[i].queue_size;
		job.function.mtu = cases[i].mtu;
		job.function.msix = cases[i].msix;
		p = qmp_vhost_properties(&job);
		text = json_dumps(p, 0);
		assert_non_null(strstr(text, cases[i].has));
		assert_null(strstr(text, cases[i].lacks));
		free(text);
		json_decref(p);
	}
}

static void
an_old_qemu_is_told_in_its_own_words(void **state)
{
	struct host_plug p = vhost();

	qmp_monitor.greeting = OLD_GREETING;
	p.function.features = BIT(VIRTIO_F_IN_ORDER);
	begin();
	QMP_PLAY(FIND_PORT, {"device-list-properties", OLD_TYPE}, {"query-memdev", SHARED}, CLEAR,
		{"\"server\":false,\"reconnect\":1}", OK}, {"netdev_add", OK},
		{"\"host_mtu\":9000}", OK}, {"query-pci", PCI_A});
	assert_reply(plug(&p), HOST_OK, "");
}

static void
qemu_listens_where_we_connect(void **state)
{
	struct host_plug p = vhost();

	p.function.listens = true;
	begin();
	QMP_PLAY(FIND_PORT, CHECKS, CLEAR, {"\"server\":true,\"wait\":false}", OK},
		{"netdev_add", OK}, {"device_add", OK}, {"query-pci", PCI_A});
	assert_reply(plug(&p), HOST_OK, "");
}

static void
what_a_former_try_has_left_is_removed_first(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY(FIND_PORT, CHECKS, {"\"id\":\"virtnet-a-net\"", OK},
		{"\"id\":\"virtnet-a-chr\"", OK}, {"chardev-add", OK}, {"netdev_add", OK},
		{"device_add", OK}, {"query-pci", PCI_A});
	assert_reply(plug(&p), HOST_OK, "");
}

static void
a_device_that_is_in_is_left_alone(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY({"qom-list", DEVICES(WITH_VHOST)},
		{"\"/machine/peripheral/virtnet-a\",\"property\":\"mac\"",
			RETURN("\"0C:c4:7a:ff:22:93\"")},
		{"query-pci", PCI_A});
	assert_reply(plug(&p), HOST_OK, "");
	assert_true(t.replies[0].was_in);
}

static void
a_device_of_a_former_controller_is_told_by_its_address(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY({"qom-list", DEVICES(WITH_VHOST)}, {"qom-get", RETURN("\"0c:c4:7a:ff:22:94\"")});
	assert_reply(plug(&p), HOST_ERR_REFUSED,
		"has a device virtnet-a from before, with MAC 0c:c4:7a:ff:22:94");
}

static void
memory_that_is_not_shared_is_named_and_nothing_is_made(void **state)
{
	static const struct {
		const char *memory, *words;
	} cases[] = {
		{RETURN("[{\"id\": \"pc.ram\", \"share\": false}]"), "its memory (pc.ram)"},
		{RETURN("[{\"id\": \"mem\", \"share\": true}, {\"share\": false}]"), "its memory,"},
		{RETURN("[]"), "share=on"},
	};
	const struct host_plug p = vhost();

	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct qmp_step steps[] = {FIND_PORT, {"device-list-properties", TYPE},
			{"query-memdev", cases[i].memory}};

		qmp_monitor.steps = steps;
		qmp_monitor.n_steps = sizeof(steps) / sizeof(steps[0]);
		qmp_monitor.at = 0;
		assert_reply(plug(&p), HOST_ERR_REFUSED, cases[i].words);
		assert_non_null(strstr(t.replies[0].err, "memory-backend-memfd"));
	}
}

static void
queues_smaller_than_qemus_are_refused(void **state)
{
	struct host_plug p = vhost();

	p.function.queue_size = 128;
	begin();
	QMP_PLAY(FIND_PORT);
	assert_reply(plug(&p), HOST_ERR_REFUSED, "at least 256 entries, the device's only 128");
}

static void
what_has_been_made_goes_when_a_later_step_fails(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY(FIND_PORT, CHECKS, CLEAR,
		{"chardev-add", ERR("GenericError",
					"Failed to bind socket to /run/a.sock: Permission denied")},
		{"netdev_del", NOT_FOUND}, {"chardev-remove", NO_CHARDEV});
	assert_reply(plug(&p), HOST_ERR_REFUSED, "at chardev-add: Failed to bind socket");
	QMP_PLAY(FIND_PORT, CHECKS, CLEAR, {"chardev-add", OK},
		{"netdev_add", ERR("GenericError", "Failed to connect to '/run/a.sock'")},
		{"netdev_del", NOT_FOUND}, {"chardev-remove", OK});
	assert_reply(plug(&p), HOST_ERR_REFUSED, "at netdev_add: Failed to connect");
	QMP_PLAY(MAKE, {"device_add", ERR("GenericError", "PCI: no slot")}, UNDO);
	assert_reply(plug(&p), HOST_ERR_REFUSED, "host vm1: QEMU: PCI: no slot");
}

static void
the_first_failure_is_reported_whatever_becomes_of_the_rest(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY(MAKE, {"device_add", ERR("GenericError", "PCI: no slot")},
		{"netdev_del", ERR("GenericError", "no")}, {"chardev-remove", NULL});
	assert_reply(plug(&p), HOST_ERR_REFUSED, "PCI: no slot");
}

static void
plug_clears_up_when_the_connection_ended_within(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY(FIND_PORT, CHECKS, CLEAR, {"chardev-add", OK}, {"netdev_add", NULL},
		{"qom-list", DEVICES("")}, UNDO);
	assert_reply(plug(&p), HOST_ERR_UNREACHABLE, "has no device virtnet-a");
	QMP_PLAY(MAKE, {"device_add", NULL}, {"qom-list", DEVICES(WITH_VHOST)},
		{"query-pci", PCI_A});
	assert_reply(plug(&p), HOST_OK, "");
}

static void
unplug_removes_all_three_and_needs_no_force(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY({"qom-list", DEVICES(WITH_VHOST)}, {"device_del", OK "\r\n" DELETED},
		{"\"netdev_del\",\"id\":", OK}, {"\"chardev-remove\",\"id\":", NO_CHARDEV});
	assert_reply(unplug(&p, false, 5000), HOST_OK, "");
	QMP_PLAY({"qom-list", DEVICES(WITH_VHOST)}, {"device_del", DELETED "\r\n" OK},
		{"netdev_del", OK}, {"chardev-remove", OK});
	assert_reply(unplug(&p, false, 5000), HOST_OK, "");
}

static void
unplug_finishes_what_was_begun(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY({"qom-list", DEVICES("")}, {"netdev_del", OK}, {"chardev-remove", OK});
	assert_reply(unplug(&p, false, 5000), HOST_OK, "");
	QMP_PLAY({"qom-list", DEVICES(WITH_VHOST)}, {"device_del", OK "\r\n" DELETED},
		{"netdev_del", NULL}, {"qom-list", DEVICES("")}, {"netdev_del", NOT_FOUND},
		{"chardev-remove", NO_CHARDEV});
	assert_reply(unplug(&p, false, 5000), HOST_OK, "");
}

static void
unplug_says_what_qemu_does_not_let_go_of(void **state)
{
	const struct host_plug p = vhost();

	begin();
	QMP_PLAY({"qom-list", DEVICES("")}, {"netdev_del", NOT_FOUND},
		{"chardev-remove", ERR("GenericError", "Chardev 'virtnet-a-chr' is busy")});
	assert_reply(unplug(&p, false, 5000), HOST_ERR_REFUSED,
		"at chardev-remove: Chardev 'virtnet-a-chr' is busy");
	QMP_PLAY({"qom-list", DEVICES("")}, {"netdev_del", NOT_FOUND},
		{"chardev-remove", ERR("GenericError", "Chardev 'virtnet-a-chr' is busy")});
	assert_reply(unplug(&p, true, 5000), HOST_OK, "");
}

static int
test_host_qmp_vhost(void)
{
	const struct CMUnitTest tests[] = {
		QMP_TEST(plug_makes_chardev_and_netdev_and_a_device_that_looks_as_ours),
		cmocka_unit_test(properties_follow_from_what_the_device_has),
		QMP_TEST(an_old_qemu_is_told_in_its_own_words),
		QMP_TEST(qemu_listens_where_we_connect),
		QMP_TEST(what_a_former_try_has_left_is_removed_first),
		QMP_TEST(a_device_that_is_in_is_left_alone),
		QMP_TEST(a_device_of_a_former_controller_is_told_by_its_address),
		QMP_TEST(memory_that_is_not_shared_is_named_and_nothing_is_made),
		QMP_TEST(queues_smaller_than_qemus_are_refused),
		QMP_TEST(what_has_been_made_goes_when_a_later_step_fails),
		QMP_TEST(the_first_failure_is_reported_whatever_becomes_of_the_rest),
		QMP_TEST(plug_clears_up_when_the_connection_ended_within),
		QMP_TEST(unplug_removes_all_three_and_needs_no_force),
		QMP_TEST(unplug_finishes_what_was_begun),
		QMP_TEST(unplug_says_what_qemu_does_not_let_go_of),
	};

	return cmocka_run_group_tests_name("host_qmp_vhost", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(host_qmp_vhost, test_host_qmp_vhost)
