/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Host driver "qmp" in the place of a process that died with its work half done. */

#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_common.h>

#include "host/qmp/qmp_host.h"
#include "host_qmp_fixture.h"

/* Another client of the socket: a process that is still there, or an operator. */
static int
other_client(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", qmp_monitor.path);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void
over(evutil_socket_t fd, short what, void *arg)
{
	*(bool *)arg = true;
}

static void
loop_ms(unsigned int ms)
{
	const struct timeval tv = {.tv_usec = ms * 1000};
	bool is_over = false;

	event_base_once(qmp_monitor.base, -1, EV_TIMEOUT, over, &is_over, &tv);
	while (!is_over)
		event_base_loop(qmp_monitor.base, EVLOOP_ONCE);
}

static void
plug_of_a_device_that_is_in_answers_with_its_address(void **state)
{
	static const char *const ports[] = {"slot7"};

	qmp_monitor_listen();
	for (unsigned int n = 0; n < 2; n++) {
		host_new((struct host_conf){.root_ports = n > 0 ? ports : NULL, .n_root_ports = n});
		QMP_PLAY({"qom-list", DEVICES(WITH_A)}, {"query-pci", PCI_NONE},
			{"query-pci", PCI_A});
		assert_reply(plug(&dev_a), HOST_OK, "");
		assert_string_equal(t.replies[0].bdf, "0a:00.0");
		assert_true(t.replies[0].was_in);
		host_delete();
		qmp_monitor_wait_drop();
	}
}

static void
plug_of_a_device_that_comes_in_meanwhile_takes_no_second_port(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add", ERR("GenericError", "Duplicate device ID 'virtnet-a'")},
		{"qom-list", DEVICES(WITH_A)}, {"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_true(t.replies[0].was_in);
}

static void
plug_is_refused_when_the_id_belongs_to_something_else(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(", " PROPERTY("virtnet-a", "child<virtio-rng-pci>"))},
		{"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add", ERR("GenericError", "Duplicate device ID 'virtnet-a'")},
		{"qom-list", DEVICES(", " PROPERTY("virtnet-a", "child<virtio-rng-pci>"))},
		{"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add", ERR("GenericError", "Duplicate device ID 'virtnet-a'")});
	assert_reply(plug(&dev_a), HOST_ERR_REFUSED, "Duplicate device ID");
	assert_false(t.replies[0].was_in);
}

static void
a_new_plug_says_that_the_device_was_not_in(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_false(t.replies[0].was_in);
}

static void
unplug_of_a_device_on_its_way_out_waits_until_it_is_gone(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)},
		{"device_del",
			ERR("GenericError", "Device virtnet-a is already in the process of unplug")
			"\r\n" DELETED});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_OK, "");
}

static void
unplug_of_a_device_that_went_between_look_and_request_is_done(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)},
		{"device_del", ERR("DeviceNotFound", "Device 'virtnet-a' not found")});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_OK, "");
}

static void
a_host_without_work_does_not_connect(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	loop_ms(20);
	assert_int_equal(qmp_monitor.accepted, 0);
}

static void
work_waits_for_the_connection_of_the_process_before(void **state)
{
	int before;

	qmp_monitor_listen();
	before = other_client();
	loop_ms(20);
	assert_int_equal(qmp_monitor.accepted, 1);
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", PCI_A});
	t.host->ops->plug(t.host, &dev_a, done, NULL);
	loop_ms(20);
	assert_int_equal(t.n_replies, 0);
	assert_int_equal(qmp_monitor.at, 0);
	close(before);
	run_until(1);
	assert_reply(&t.replies[0], HOST_OK, "");
	assert_int_equal(qmp_monitor.accepted, 2);
}

/* QEMU lets so few wait that connect() has no room. */
static void
work_waits_while_too_many_clients_wait(void **state)
{
	int others[8], n = 0;

	qmp_monitor_listen();
	while ((others[n] = other_client()) >= 0)
		assert_true(++n < 8);
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", PCI_A});
	event_del(qmp_monitor.accepting); /* as if a client was being served */
	t.host->ops->plug(t.host, &dev_a, done, NULL);
	loop_ms(20);
	assert_int_equal(t.n_replies, 0);
	while (n-- > 0)
		close(others[n]);
	event_add(qmp_monitor.accepting, NULL);
	run_until(1);
	assert_reply(&t.replies[0], HOST_OK, "");
}

static void
destroy_leaves_the_monitor_to_the_successor(void **state)
{
	qmp_monitor_listen();
	for (unsigned int i = 1; i < 4; i++) {
		host_new((struct host_conf){0});
		QMP_PLAY({"query-pci", PCI_A});
		assert_reply(query("virtnet-a"), HOST_OK, "");
		host_delete();
		assert_int_equal(qmp_monitor.accepted, i);
	}
}

static int
test_host_qmp_again(void)
{
	const struct CMUnitTest tests[] = {
		QMP_TEST(plug_of_a_device_that_is_in_answers_with_its_address),
		QMP_TEST(plug_of_a_device_that_comes_in_meanwhile_takes_no_second_port),
		QMP_TEST(plug_is_refused_when_the_id_belongs_to_something_else),
		QMP_TEST(a_new_plug_says_that_the_device_was_not_in),
		QMP_TEST(unplug_of_a_device_on_its_way_out_waits_until_it_is_gone),
		QMP_TEST(unplug_of_a_device_that_went_between_look_and_request_is_done),
		QMP_TEST(a_host_without_work_does_not_connect),
		QMP_TEST(work_waits_for_the_connection_of_the_process_before),
		QMP_TEST(work_waits_while_too_many_clients_wait),
		QMP_TEST(destroy_leaves_the_monitor_to_the_successor),
	};

	return cmocka_run_group_tests_name("host_qmp_again", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(host_qmp_again, test_host_qmp_again)
