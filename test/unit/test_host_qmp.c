/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Host driver "qmp" against a monitor that plays transcripts of QEMU 11.1.3, and against a real
 * QEMU if there is one.
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_common.h>

#include "host/qmp/qmp_host.h"
#include "host_qmp_fixture.h"

static void
plug_takes_the_first_free_root_port_and_answers_with_the_address(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"\"path\":\"/machine/peripheral\"", DEVICES("")},
		{"/machine/peripheral/rp1/rp1", USED}, ADD_STEPS("rp2"), {"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "0a:00.0");
}

static void
plug_says_driver_id_bus_and_socket_as_json(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"{\"driver\":\"vfio-user-pci\",\"id\":\"virtnet-a\",\"bus\":\"rp1\","
		 "\"socket\":{\"type\":\"unix\",\"path\":\"/run/a.sock\"}}",
			OK},
		{"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
}

static void
plug_keeps_to_the_root_ports_of_the_configuration(void **state)
{
	static const char *const ports[] = {"slot7", "slot8"};

	qmp_monitor_listen();
	host_new((struct host_conf){.root_ports = ports, .n_root_ports = 2});
	QMP_PLAY({"qom-list", DEVICES("")},
		{"/slot7/slot7", ERR("DeviceNotFound",
					 "Device '/machine/peripheral/slot7/slot7' not found")},
		ADD_STEPS("slot8"), {"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
}

static void
plug_passes_over_ports_without_hotplug(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"/rp1/rp1", FREE}, {"\"hotplug\"", RETURN("false")},
		ADD_STEPS("rp2"), {"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
}

static void
plug_without_a_free_port_says_what_the_vm_lacks(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"/rp1/rp1", USED}, {"/rp2/rp2", USED},
		{"/rp10/rp10", USED});
	assert_reply(plug(&dev_a), HOST_ERR_NO_SLOT, "host vm1: none of 3 PCIe root ports is free");
}

static void
two_plugs_at_once_take_different_ports(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", DEVICES("")}, {"/rp1/rp1", FREE},
		{"/rp1/rp1", FREE}, {"hotplug", RETURN("true")}, {"hotplug", RETURN("true")},
		{"\"bus\":\"rp1\"", OK}, {"/rp2/rp2", FREE}, {"query-pci", PCI_A},
		{"hotplug", RETURN("true")}, {"\"bus\":\"rp2\"", OK},
		{"query-pci", PCI(", \"devices\": [" FUNCTION("2", "virtnet-b") "]")});
	t.host->ops->plug(t.host, &dev_a, done, NULL);
	t.host->ops->plug(t.host, &dev_b, done, NULL);
	run_until(2);
	assert_reply(&t.replies[0], HOST_OK, "");
	assert_reply(&t.replies[1], HOST_OK, "");
	assert_string_equal(t.replies[1].bdf, "02:00.0");
}

static void
plug_asks_again_until_the_guest_has_numbered_the_bus(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", PCI_NONE},
		{"query-pci", PCI_NONE}, {"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "0a:00.0");
}

static void
plug_is_done_without_an_address_if_no_bus_is_numbered(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", PCI_NONE},
		{"query-pci", PCI_NONE}, {"query-pci", PCI_NONE}, {"query-pci", PCI_NONE},
		{"query-pci", PCI_NONE}, {"query-pci", PCI_NONE}, {"query-pci", PCI_NONE},
		{"query-pci", PCI_NONE}, {"query-pci", PCI_NONE}, {"query-pci", PCI_NONE});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "");
}

static void
plug_reports_why_qemu_refuses(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add",
			ERR("GenericError",
				"Failed to connect to '/run/a.sock': No such file or directory")});
	assert_reply(plug(&dev_a), HOST_ERR_REFUSED,
		"host vm1: QEMU: Failed to connect to '/run/a.sock': No such file or directory");
}

static void
plug_into_an_old_qemu_names_the_version_needed(void **state)
{
	qmp_monitor.greeting = OLD_GREETING;
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add",
			ERR("GenericError", "'vfio-user-pci' is not a valid device model name")});
	assert_reply(plug(&dev_a), HOST_ERR_REFUSED,
		"QEMU 7.2.22: 'vfio-user-pci' is not a valid device model name "
		"(vfio-user devices need QEMU 10.1 or later)");
}

static void
plug_refuses_a_transport_that_it_does_not_know(void **state)
{
	const struct host_plug p = {
		.id = "virtnet-a", .socket = "/run/a.sock", .function = {.kind = 77}};

	qmp_monitor_listen();
	host_new((struct host_conf){0});
	assert_reply(plug(&p), HOST_ERR_REFUSED, "QEMU has no device for that transport");
}

static void
plug_without_a_vm_is_unreachable(void **state)
{
	host_new((struct host_conf){0});
	assert_reply(plug(&dev_a), HOST_ERR_UNREACHABLE, "is the VM running?");
}

static void
plug_looks_at_no_more_ports_than_there_are_buses(void **state)
{
	static struct qmp_step steps[QMP_PORTS_MAX + 1];
	const char *ports[QMP_PORTS_MAX + 1];

	for (size_t i = 0; i < RTE_DIM(ports); i++)
		ports[i] = "port";
	steps[0] = (struct qmp_step){"qom-list", DEVICES("")};
	for (size_t i = 1; i < RTE_DIM(steps); i++)
		steps[i] = (struct qmp_step){"/port/port", USED};
	qmp_monitor_listen();
	host_new((struct host_conf){.root_ports = ports, .n_root_ports = RTE_DIM(ports)});
	qmp_monitor.steps = steps;
	qmp_monitor.n_steps = RTE_DIM(steps);
	assert_reply(plug(&dev_a), HOST_ERR_NO_SLOT, "none of 256 PCIe root ports is free");
}

static void
query_finds_the_address_or_says_that_the_device_is_not_there(void **state)
{
	static const struct {
		struct qmp_step steps[2];
		size_t n;
		enum host_result result;
		const char *bdf;
	} cases[] = {
		{{{"query-pci", PCI_A}}, 1, HOST_OK, "0a:00.0"},
		{{{"query-pci", PCI_NONE}, {"qom-list", DEVICES(WITH_A)}}, 2, HOST_OK, ""},
		{{{"query-pci", PCI_NONE}, {"qom-list", DEVICES("")}}, 2, HOST_ERR_NOT_FOUND, ""},
	};

	qmp_monitor_listen();
	host_new((struct host_conf){0});
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		qmp_monitor.steps = cases[i].steps;
		qmp_monitor.n_steps = cases[i].n;
		qmp_monitor.at = 0;
		assert_reply(query("virtnet-a"), cases[i].result,
			cases[i].result == HOST_OK ? "" : "no device virtnet-a");
		assert_string_equal(t.replies[0].bdf, cases[i].bdf);
	}
}

static void
unplug_waits_for_the_guest(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)},
		{"\"device_del\"", OK "\r\n" EVENT("ACPI_DEVICE_OST", "virtnet-a") "\r\n" EVENT(
					   "DEVICE_DELETED", "virtnet-b") "\r\n" DELETED});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_OK, "");
}

static void
unplug_takes_the_event_before_the_answer(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)}, {"device_del", DELETED "\r\n" OK});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_OK, "");
}

static void
unplug_tells_when_the_guest_refuses(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)},
		{"device_del", OK "\r\n" EVENT("DEVICE_UNPLUG_GUEST_ERROR", "virtnet-a")});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_ERR_NOT_READY,
		"the guest refused to let go of virtnet-a");
}

static void
unplug_asks_twice_and_then_gives_up(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)}, {"device_del", OK},
		{"device_del", ERR("GenericError",
				       "Device virtnet-a is already in the process of unplug")});
	assert_reply(unplug(&dev_a_intx, false, 50), HOST_ERR_NOT_READY,
		"host vm1: the guest did not let go of virtnet-a within 50 ms");
}

static void
unplug_of_a_device_that_is_gone_is_done(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")});
	assert_reply(unplug(&dev_a, false, 5000), HOST_OK, "");
	QMP_PLAY({"qom-list", DEVICES(WITH_A)},
		{"device_del", ERR("DeviceNotFound", "Device 'virtnet-a' not found")});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_OK, "");
}

static void
unplug_of_msix_is_refused_with_the_bug_and_the_way_out(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)});
	assert_reply(unplug(&dev_a, false, 5000), HOST_ERR_NOT_READY, "vfio_user_msix_teardown");
	assert_non_null(strstr(t.replies[0].err, "QEMU 11.1.3"));
	assert_non_null(strstr(t.replies[0].err, "stop the VM first"));
	assert_non_null(strstr(t.replies[0].err, "--intx"));
	assert_non_null(strstr(t.replies[0].err, "--force"));
}

static void
unplug_of_msix_goes_ahead_when_forced_or_declared_safe(void **state)
{
	qmp_monitor_listen();
	for (int forced = 0; forced < 2; forced++) {
		host_new((struct host_conf){.msix_unplug_safe = !forced});
		QMP_PLAY({"qom-list", DEVICES(WITH_A)}, {"device_del", OK "\r\n" DELETED});
		assert_reply(unplug(&dev_a, forced, 5000), HOST_OK, "");
		host_delete();
		qmp_monitor_wait_drop();
	}
}

static void
a_version_is_known_good_within_the_ranges_of_the_table(void **state)
{
	static const struct qmp_version_range table[] = {
		{{11, 1, 7}, {11, 1, 99}}, {{12, 0, 0}, {14, 2, 1}}, {{0, 0, 0}, {0, 0, 0}}};
	static const struct {
		struct qmp_version v;
		bool good;
	} cases[] = {
		{{11, 1, 6}, false},
		{{11, 1, 7}, true},
		{{11, 2, 0}, false},
		{{12, 0, 0}, true},
		{{13, 9, 9}, true},
		{{14, 2, 1}, true},
		{{14, 2, 2}, false},
		{{0, 0, 0}, false},
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++)
		assert_int_equal(qmp_version_in(&cases[i].v, table), cases[i].good);
	assert_false(qmp_version_in(&cases[1].v, &table[2]));
}

static void
unplug_without_a_vm_is_done(void **state)
{
	host_new((struct host_conf){0});
	assert_reply(unplug(&dev_a, false, 5000), HOST_OK, "");
	/* A socket that a dead QEMU left behind. */
	qmp_monitor_listen();
	qmp_monitor_close();
	assert_reply(unplug(&dev_a, false, 5000), HOST_OK, "");
}

static void
destroy_drops_what_is_under_way_without_calling_back(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)}, {"device_del", OK});
	t.host->ops->unplug(t.host, &dev_a_intx, false, 5000, done, NULL);
	t.host->ops->plug(t.host, &dev_b, done, NULL);
	while (qmp_monitor.at == 0)
		event_base_loop(qmp_monitor.base, EVLOOP_ONCE);
	host_delete();
	qmp_monitor_wait_drop();
	assert_int_equal(t.n_replies, 0);
}

static void
done_destroy(void *arg, const struct host_reply *reply)
{
	done(arg, reply);
	host_delete();
}

static void
the_callback_may_destroy_the_host(void **state)
{
	host_new((struct host_conf){0});
	t.host->ops->plug(t.host, &dev_a, done_destroy, NULL);
	t.host->ops->plug(t.host, &dev_b, done, NULL);
	run_until(1);
}

static void
a_host_needs_a_socket_path_that_fits(void **state)
{
	char longest[200], err[HOST_ERR_LEN];
	struct host_conf conf = {.name = "vm1"};
	struct host *h = NULL;

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(
		host_driver_find("qmp")->create(&conf, qmp_monitor.base, &h, err, sizeof(err)),
		-EINVAL);
	assert_string_equal(err, "host vm1: the path of its QMP socket is missing");
	conf.qmp_socket = longest;
	assert_int_equal(
		host_driver_find("qmp")->create(&conf, qmp_monitor.base, &h, err, sizeof(err)),
		-EINVAL);
	assert_string_equal(
		err, "host vm1: the path of its QMP socket has more than 107 characters");
}

static void
host_none_answers_from_the_next_turn_of_the_loop(void **state)
{
	const struct host_conf conf = {.name = "default"};
	const struct host_ops *ops = host_driver_find("none");

	assert_int_equal(ops->create(&conf, qmp_monitor.base, &t.host, NULL, 0), 0);
	assert_string_equal(t.host->name, "default");
	ops->plug(t.host, &dev_a, done, NULL);
	ops->unplug(t.host, &dev_a, false, 5000, done, NULL);
	run_until(2);
	assert_reply(&t.replies[0], HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "");
	ops->plug(t.host, &dev_a, done, NULL); /* freed with the host, without an answer */
}

static pid_t
qemu_start(const char *qemu)
{
	char qmp[128];
	pid_t pid;

	snprintf(qmp, sizeof(qmp), "unix:%s,server=on,wait=off", qmp_monitor.path);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(qemu, qemu, "-M", "q35", "-accel", "tcg", "-m", "128M", "-nodefaults",
			"-display", "none", "-global",
			"ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off", "-qmp", qmp, "-device",
			"pcie-root-port,id=rp1,chassis=1", "-device",
			"virtio-rng-pci,id=virtnet-a,bus=rp1", "-device",
			"pcie-root-port,id=rp2,chassis=2", "-device",
			"pcie-root-port,id=rp3,chassis=3,hotplug=off", NULL);
		_exit(127);
	}
	while (access(qmp_monitor.path, F_OK) != 0 && waitpid(pid, NULL, WNOHANG) == 0)
		poll(NULL, 0, 10);
	return pid;
}

/* Give QEMU a device that its firmware has not switched on: such a one is let go at once. */
static void
qemu_hotplug(const char *id, const char *bus)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char in[1024];
	size_t len = 0;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", qmp_monitor.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	dprintf(fd,
		"{\"execute\": \"qmp_capabilities\"} {\"execute\": \"device_add\", \"id\": 5, "
		"\"arguments\": "
		"{\"driver\": \"virtio-rng-pci\", \"id\": \"%s\", \"bus\": \"%s\"}}\n",
		id, bus);
	do {
		ssize_t n = read(fd, in + len, sizeof(in) - len - 1);

		assert_true(n > 0);
		len += (size_t)n;
		in[len] = '\0';
	} while (strstr(in, "\"id\": 5") == NULL);
	assert_null(strstr(in, "error"));
	close(fd);
}

static void
a_real_qemu_understands_and_is_understood(void **state)
{
	const char *qemu = getenv("VIRTNET_QEMU");
	pid_t pid;

	if (qemu == NULL) {
		print_message("[  SKIPPED ] VIRTNET_QEMU names no QEMU\n");
		skip();
	}
	pid = qemu_start(qemu);
	host_new((struct host_conf){0});
	/* The firmware numbers the buses in its own time. */
	do {
		assert_reply(query("virtnet-a"), HOST_OK, "");
	} while (t.replies[0].bdf[0] == '\0');
	assert_string_equal(t.replies[0].bdf, "01:00.0");
	assert_reply(query("virtnet-b"), HOST_ERR_NOT_FOUND, "no device virtnet-b");
	assert_reply(plug(&dev_b), HOST_ERR_REFUSED, "/run/b.sock");
	assert_reply(unplug(&dev_a, false, 5000), HOST_ERR_NOT_READY, "--intx");
	assert_reply(
		unplug(&dev_a_intx, false, 100), HOST_ERR_NOT_READY, "did not let go of virtnet-a");
	host_delete();
	qemu_hotplug("virtnet-b", "rp2");
	host_new((struct host_conf){0});
	assert_reply(query("virtnet-b"), HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "02:00.0");
	assert_reply(plug(&dev_b), HOST_ERR_NO_SLOT, "none of 3");
	assert_reply(unplug(&dev_b, true, 5000), HOST_OK, "");
	assert_reply(query("virtnet-b"), HOST_ERR_NOT_FOUND, "");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_reply(plug(&dev_b), HOST_ERR_UNREACHABLE, "is the VM running?");
	assert_reply(unplug(&dev_a, false, 5000), HOST_OK, "");
}

static int
test_host_qmp(void)
{
	const struct CMUnitTest tests[] = {
		QMP_TEST(plug_takes_the_first_free_root_port_and_answers_with_the_address),
		QMP_TEST(plug_says_driver_id_bus_and_socket_as_json),
		QMP_TEST(plug_keeps_to_the_root_ports_of_the_configuration),
		QMP_TEST(plug_passes_over_ports_without_hotplug),
		QMP_TEST(plug_without_a_free_port_says_what_the_vm_lacks),
		QMP_TEST(two_plugs_at_once_take_different_ports),
		QMP_TEST(plug_asks_again_until_the_guest_has_numbered_the_bus),
		QMP_TEST(plug_is_done_without_an_address_if_no_bus_is_numbered),
		QMP_TEST(plug_reports_why_qemu_refuses),
		QMP_TEST(plug_into_an_old_qemu_names_the_version_needed),
		QMP_TEST(plug_refuses_a_transport_that_it_does_not_know),
		QMP_TEST(plug_without_a_vm_is_unreachable),
		QMP_TEST(plug_looks_at_no_more_ports_than_there_are_buses),
		QMP_TEST(query_finds_the_address_or_says_that_the_device_is_not_there),
		QMP_TEST(unplug_waits_for_the_guest),
		QMP_TEST(unplug_takes_the_event_before_the_answer),
		QMP_TEST(unplug_tells_when_the_guest_refuses),
		QMP_TEST(unplug_asks_twice_and_then_gives_up),
		QMP_TEST(unplug_of_a_device_that_is_gone_is_done),
		QMP_TEST(unplug_of_msix_is_refused_with_the_bug_and_the_way_out),
		QMP_TEST(unplug_of_msix_goes_ahead_when_forced_or_declared_safe),
		QMP_TEST(a_version_is_known_good_within_the_ranges_of_the_table),
		QMP_TEST(unplug_without_a_vm_is_done),
		QMP_TEST(destroy_drops_what_is_under_way_without_calling_back),
		QMP_TEST(the_callback_may_destroy_the_host),
		QMP_TEST(a_host_needs_a_socket_path_that_fits),
		QMP_TEST(host_none_answers_from_the_next_turn_of_the_loop),
		QMP_TEST(a_real_qemu_understands_and_is_understood),
	};

	return cmocka_run_group_tests_name("host_qmp", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(host_qmp, test_host_qmp)
