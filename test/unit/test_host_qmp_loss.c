/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Host driver "qmp" and a QEMU that ends, hangs, or says what is not QMP. */

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_common.h>

#include "host/qmp/qmp_host.h"
#include "host_qmp_fixture.h"

static void
plug_works_again_after_the_vm_restarted(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"query-pci", PCI_A});
	assert_reply(query("virtnet-a"), HOST_OK, "");
	qmp_monitor_drop();
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_int_equal(qmp_monitor.accepted, 2);
}

static void
a_device_is_in_when_the_connection_ends_after_device_add(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", NULL});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "");
	QMP_PLAY({"qom-list", DEVICES("")}, ADD_STEPS("rp1"), {"query-pci", "garbage"});
	assert_reply(plug(&dev_a), HOST_OK, "");
}

static void
plug_looks_for_the_device_when_the_connection_ends_during_device_add(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add", NULL}, {"qom-list", NULL}, {"qom-list", DEVICES(WITH_A)},
		{"query-pci", PCI_A});
	assert_reply(plug(&dev_a), HOST_OK, "");
	assert_string_equal(t.replies[0].bdf, "0a:00.0");
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add", NULL}, {"qom-list", DEVICES("")});
	assert_reply(plug(&dev_a), HOST_ERR_UNREACHABLE,
		"host vm1: QEMU did not answer to a command, and has no device virtnet-a");
}

static void
plug_fails_when_the_vm_ends_during_device_add(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES("")}, {"qom-list", FREE}, {"qom-get", RETURN("true")},
		{"device_add", NULL});
	t.host->ops->plug(t.host, &dev_a, done, NULL);
	while (qmp_monitor.at < qmp_monitor.n_steps)
		event_base_loop(qmp_monitor.base, EVLOOP_ONCE);
	qmp_monitor_close();
	run_until(1);
	assert_reply(&t.replies[0], HOST_ERR_UNREACHABLE, "is the VM running?");
}

static void
plug_gives_up_after_its_time(void **state)
{
	qmp_monitor.greeting = NULL;
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	((struct qmp_host *)t.host)->plug_ms = 50;
	assert_reply(plug(&dev_a), HOST_ERR_UNREACHABLE,
		"host vm1: QEMU did not plug virtnet-a in within 50 ms");
}

static void
an_idle_connection_is_dropped(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"query-pci", PCI_A});
	assert_reply(query("virtnet-a"), HOST_OK, "");
	assert_true(qmp_monitor.client >= 0);
	qmp_monitor_wait_drop();
}

static void
unplug_looks_again_when_qemu_closes_the_connection(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)}, {"device_del", NULL}, {"qom-list", DEVICES("")});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_OK, "");
	QMP_PLAY({"qom-list", NULL}, {"qom-list", NULL});
	assert_reply(unplug(&dev_a_intx, false, 5000), HOST_ERR_UNREACHABLE,
		"QEMU closed the QMP connection");
}

static void
unplug_asks_nothing_of_a_connection_that_has_not_greeted(void **state)
{
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	QMP_PLAY({"qom-list", DEVICES(WITH_A)}, {"device_del", OK});
	t.host->ops->unplug(t.host, &dev_a_intx, false, 200, done, NULL);
	while (qmp_monitor.at < qmp_monitor.n_steps)
		event_base_loop(qmp_monitor.base, EVLOOP_ONCE);
	qmp_monitor.greeting = NULL;
	qmp_monitor_drop();
	run_until(1);
	assert_reply(&t.replies[0], HOST_ERR_UNREACHABLE, "QEMU did not answer within 200 ms");
	assert_int_equal(qmp_monitor.accepted, 2);
}

static void
unplug_gives_up_on_a_silent_monitor_after_its_own_time(void **state)
{
	qmp_monitor.greeting = NULL;
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	assert_reply(unplug(&dev_a, false, 50), HOST_ERR_UNREACHABLE,
		"QEMU did not answer within 50 ms");
}

static void
a_monitor_in_use_by_another_client_is_reported(void **state)
{
	qmp_monitor.greeting = NULL;
	qmp_monitor_listen();
	host_new((struct host_conf){0});
	assert_reply(plug(&dev_a), HOST_ERR_UNREACHABLE, "is another QMP client connected to it?");
}

static void
what_is_not_qmp_ends_with_a_sentence(void **state)
{
	static const char *const greetings[] = {
		"hello",
		"{",
		"[1, 2]",
		"{\"QMP\": 1}",
		VERSION("11", "1", "\"3\"", ""),
		VERSION("11", "1", "-1", ""),
		"{\"return\": {}, \"id\": 1}",
		GREETING "\r\n{\"return\": {}, \"id\": 77}",
		GREETING "\r\n{\"return\": {}}",
		GREETING "\r\n{\"error\": {\"class\": 1}, \"id\": 1}",
		GREETING "\r\n\xff\xfe",
	};

	qmp_monitor_listen();
	for (size_t i = 0; i < RTE_DIM(greetings); i++) {
		host_new((struct host_conf){0});
		qmp_monitor.greeting = greetings[i];
		assert_reply(
			plug(&dev_a), HOST_ERR_UNREACHABLE, "what the QMP socket sent is not QMP");
		host_delete();
		qmp_monitor_wait_drop();
	}
}

static void
odd_answers_are_no_harm(void **state)
{
	static const char *const answers[] = {
		RETURN("null"),
		RETURN("{}"),
		RETURN("[1, null, [], {}]"),
		PCI(", \"devices\": [7, {\"qdev_id\": 1}, " FUNCTION("256", "virtnet-a") "]"),
		PCI(", \"devices\": 3"),
		RETURN("[{\"name\": 5}, {\"name\": \"b\"}]") "\r\n{\"event\": \"X\"}",
		"{\"return\": {}, \"event\": 4, \"id\": @}",
	};
	struct qmp_step steps[2] = {{"query-pci", NULL}, {"qom-list", NULL}};

	qmp_monitor_listen();
	host_new((struct host_conf){0});
	for (size_t i = 0; i < RTE_DIM(answers); i++) {
		steps[0].say = steps[1].say = answers[i];
		qmp_monitor.steps = steps;
		qmp_monitor.n_steps = RTE_DIM(steps);
		qmp_monitor.at = 0;
		assert_reply(query("virtnet-a"), HOST_ERR_NOT_FOUND, "");
	}
}

static void
a_line_without_end_is_cut_off(void **state)
{
	size_t len = QMP_LINE_MAX + 2;
	char *line = malloc(len);

	/* More than a socket holds: it takes a process of its own to send it. */
	memset(line, ' ', len);
	line[0] = '{';
	line[len - 1] = '\0';
	qmp_monitor_listen();
	if (fork() == 0) {
		int c = accept(qmp_monitor.listener, NULL, NULL);

		for (size_t at = 0; at < len - 1;) {
			ssize_t n = write(c, line + at, len - 1 - at);

			if (n <= 0)
				_exit(1);
			at += (size_t)n;
		}
		(void)!read(c, line, 1);
		_exit(0);
	}
	qmp_monitor_close();
	host_new((struct host_conf){0});
	assert_reply(plug(&dev_a), HOST_ERR_UNREACHABLE, "what the QMP socket sent is not QMP");
	wait(NULL);
	free(line);
}

static void
what_qemu_says_is_shown_without_control_characters(void **state)
{
	char says[600] = "";
	const struct qmp_step steps[] = {{"qom-list", DEVICES("")}, {"qom-list", FREE},
		{"qom-get", RETURN("true")}, {"device_add", says}};

	qmp_monitor_listen();
	host_new((struct host_conf){0});
	strcat(says, "{\"id\": @, \"error\": {\"class\": \"GenericError\", \"desc\": \""
		     "\\u001b[2Ja\\nb\\u007fc\\u009bd\\u00fcx");
	for (int i = 0; i < 120; i++)
		strcat(says, "\xe2\x82\xac"); /* a character of three bytes, cut somewhere */
	strcat(says, "\"}}");
	qmp_monitor.steps = steps;
	qmp_monitor.n_steps = RTE_DIM(steps);
	assert_reply(plug(&dev_a), HOST_ERR_REFUSED,
		"host vm1: QEMU: ?[2Ja?b?c??d\xc3\xbcx\xe2\x82\xac");
	assert_string_equal(strrchr(t.replies[0].err, '\xe2'), "\xe2\x82\xac");
}

static int
test_host_qmp_loss(void)
{
	const struct CMUnitTest tests[] = {
		QMP_TEST(plug_works_again_after_the_vm_restarted),
		QMP_TEST(a_device_is_in_when_the_connection_ends_after_device_add),
		QMP_TEST(plug_looks_for_the_device_when_the_connection_ends_during_device_add),
		QMP_TEST(plug_fails_when_the_vm_ends_during_device_add),
		QMP_TEST(plug_gives_up_after_its_time),
		QMP_TEST(an_idle_connection_is_dropped),
		QMP_TEST(unplug_looks_again_when_qemu_closes_the_connection),
		QMP_TEST(unplug_asks_nothing_of_a_connection_that_has_not_greeted),
		QMP_TEST(unplug_gives_up_on_a_silent_monitor_after_its_own_time),
		QMP_TEST(a_monitor_in_use_by_another_client_is_reported),
		QMP_TEST(what_is_not_qmp_ends_with_a_sentence),
		QMP_TEST(odd_answers_are_no_harm),
		QMP_TEST(a_line_without_end_is_cut_off),
		QMP_TEST(what_qemu_says_is_shown_without_control_characters),
	};

	return cmocka_run_group_tests_name("host_qmp_loss", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(host_qmp_loss, test_host_qmp_loss)
