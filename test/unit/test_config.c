/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* virtnet.conf: what is taken, and how everything else is named. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"
#include "virtio/features.h"
#include "virtio/virtio.h"
#include "virtnet/config.h"

static struct config cfg;
static char err[4096];

/* Load a file with this text. */
static int
load(const char *text)
{
	char path[] = "/tmp/virtnet-test-config-XXXXXX";
	const int fd = mkstemp(path);
	int ret;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	ret = config_load(&cfg, path, err, sizeof(err));
	unlink(path);
	return ret;
}

/* The problem found in text: its line, and words of it. */
static void
assert_problem(const char *text, int line, const char *words)
{
	char where[16];

	assert_int_equal(load(text), -EINVAL);
	snprintf(where, sizeof(where), ":%d: ", line);
	if (strstr(err, where) == NULL || strstr(err, words) == NULL)
		fail_msg("no \"%s\" with \"%s\" in: %s", where, words, err);
}

static void
without_a_file_there_is_one_port_and_one_host(void **state)
{
	(void)state;
	assert_int_equal(config_load(&cfg, NULL, err, sizeof(err)), 0);
	assert_int_equal(cfg.n_ports, 1);
	assert_string_equal(cfg.port[0].name, "mlx5_0");
	assert_int_equal(cfg.port[0].mtu, 9216);
	assert_int_equal(cfg.n_hosts, 1);
	assert_string_equal(cfg.host[0].driver, "none");
}

static void
an_empty_object_is_the_defaults(void **state)
{
	(void)state;
	assert_int_equal(load("{}"), 0);
	assert_string_equal(cfg.sf, "tap");
	assert_string_equal(cfg.emu, "vfio_user");
}

static void
every_key_is_taken(void **state)
{
	(void)state;
	assert_int_equal(
		load("{\"ib_dev_p0\": \"mlx5_1\", \"packed_vq\": 1, \"mrg_rxbuf\": 1, "
		     "\"platform\": {\"serial\": \"S1\", \"vhost_mode\": \"client\", "
		     "\"socket_dir\": \"/x\","
		     "\"emu\": \"vfio_user\", \"sf\": \"tap\", \"sf_args\": \"\", "
		     "\"max_host_functions\": 8, \"num_switch_ports\": 4,"
		     "\"num_msix\": 32, \"idle_us\": 7, \"mbufs\": 2048, \"any_file\": 1,"
		     "\"ports\": [{\"name\": \"mlx5_1\", \"pci_addr\": \"0000:05:00.0\", \"mtu\": "
		     "1500}],"
		     "\"hosts\": [{\"name\": \"a\", \"driver\": \"qmp\", \"qmp_socket\": \"/q\","
		     "\"root_ports\": [\"rp1\", \"rp2\"], \"msix_unplug_safe\": 1}]}}"),
		0);
	assert_int_equal(cfg.packed_vq, 1);
	assert_int_equal(cfg.mrg_rxbuf, 1);
	assert_true(config_vhost_client(&cfg));
	assert_string_equal(cfg.serial, "S1");
	assert_int_equal(cfg.max_host_functions, 8);
	assert_int_equal(cfg.num_switch_ports, 4);
	assert_int_equal(cfg.num_msix, 32);
	assert_int_equal(cfg.idle_us, 7);
	assert_int_equal(cfg.port[0].mtu, 1500);
	assert_int_equal(cfg.host[0].n_root_ports, 2);
	assert_string_equal(cfg.host[0].root_ports[1], "rp2");
	assert_int_equal(cfg.host[0].msix_unplug_safe, 1);
}

static void
packed_rings_and_mergeable_buffers_are_offered_when_switched_on(void **state)
{
	const uint64_t all = virtio_net_supported_features(),
		       packed = VIRTIO_BIT(VIRTIO_F_RING_PACKED),
		       mrg = VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
	const struct {
		const char *text;
		uint64_t features;
	} table[] = {
		{"{}", all & ~packed & ~mrg},
		{"{\"packed_vq\": 0, \"mrg_rxbuf\": 0}", all & ~packed & ~mrg},
		{"{\"packed_vq\": 1}", all & ~mrg},
		{"{\"mrg_rxbuf\": 1}", all & ~packed},
		{"{\"packed_vq\": 1, \"mrg_rxbuf\": 1}", all},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(load(table[i].text), 0);
		assert_int_equal(config_features(&cfg), table[i].features);
		assert_false(config_vhost_client(&cfg));
	}
}

static void
a_host_with_a_qmp_socket_is_a_qmp_host(void **state)
{
	(void)state;
	assert_int_equal(
		load("{\"platform\": {\"hosts\": [{\"name\": \"a\", \"qmp_socket\": \"/q\"}]}}"),
		0);
	assert_string_equal(cfg.host[0].driver, "qmp");
}

static void
problems_are_named_with_line_and_what_is_allowed(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *words;
	} cases[] = {
		{"{\n\"platfrom\": {}\n}", 2,
			"platfrom: unknown key; known are: ib_dev_p0, packed_vq, mrg_rxbuf, "
			"platform"},
		{"{\n\"packed_vq\": 2}", 2, "packed_vq: 2 is out of range (0..1)"},
		{"{\n\"mrg_rxbuf\": true}", 2, "mrg_rxbuf: a number is wanted, not true"},
		{"{\"platform\": {\n\"vhost_mode\": \"both\"}}", 2,
			"platform.vhost_mode: both is none of: server, client"},
		{"{\"platform\": {\n\n\"num_vf\": 1}}", 3, "platform.num_vf: unknown key"},
		{"{\"platform\": {\n\"num_msix\": 2000}}", 2,
			"platform.num_msix: 2000 is out of range (4..256)"},
		{"{\"platform\": {\n\"num_msix\": -1}}", 2,
			"platform.num_msix: -1 is out of range (4..256)"},
		{"{\"platform\": {\n\"num_msix\": \"64\"}}", 2, "a number is wanted, not a string"},
		{"{\"platform\": {\n\"num_msix\": 6.5}}", 2,
			"a number is wanted, not a real number"},
		{"{\"platform\": {\n\"serial\": 5}}", 2, "a string is wanted, not a number"},
		{"{\"platform\": {\n\"serial\": \"\"}}", 2, "a string of 1..31 characters"},
		{"{\"platform\": {\n\"serial\": \"0123456789012345678901234567890123456789\"}}", 2,
			"1..31"},
		{"{\"platform\": {\n\"sf\": \"tun\"}}", 2, "platform.sf: tun is none of: "},
		{"{\"platform\": {\n\"emu\": null}}", 2, "platform.emu: null is none of: "},
		{"{\"platform\": [\n]}", 1, "platform: an object is wanted, not an array"},
		{"{\"platform\": {\"hosts\": []}}", 1, "an array of 1..64 elements"},
		{"{\"platform\": {\"hosts\": [{\"name\": \"a\"},\n{\"nam\": \"b\"}]}}", 2,
			"hosts[1].nam: unknown key"},
		{"{\"platform\": {\"hosts\": [{\"name\": \"a\"}, {\"name\": \"a\"}]}}", 1,
			"a is used twice"},
		{"{\"platform\": {\"hosts\": [{\"driver\": \"none\"}]}}", 1,
			"hosts[0].name is missing"},
		{"{\n\"ib_dev_p0\": \"x\", \"platform\": {\"ports\": [{\"name\": \"y\"}]}}", 2,
			"x is none of"},
		{"{\n\"platform\": {},\n\"platform\": {}}", 3, "duplicate"},
		{"{\n\"platform\": {},\n}", 3, "string or '}' expected"},
		{"[]", 1, "an object is wanted, not an array"},
		{"", 1, "'[' or '{' expected"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_problem(cases[i].text, cases[i].line, cases[i].words);
}

static void
switch_ports_follow_from_functions(void **state)
{
	static const struct {
		const char *text;
		unsigned int ports;
	} cases[] = {
		{"{}", 31},
		{"{\"platform\": {\"num_switch_ports\": 31}}", 31},
		{"{\"platform\": {\"max_host_functions\": 0}}", 31},
		{"{\"platform\": {\"max_host_functions\": 256}}", 31},
		{"{\"platform\": {\"max_host_functions\": 8}}", 8},
		{"{\"platform\": {\"num_switch_ports\": 64, \"max_host_functions\": 64}}", 64},
		{"{\"platform\": {\"max_host_functions\": 256, \"num_switch_ports\": 235}}", 235},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(load(cases[i].text), 0);
		assert_int_equal(cfg.num_switch_ports, cases[i].ports);
	}
}

static void
more_switch_ports_than_functions_are_refused(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{"{\"platform\": {\n\"num_switch_ports\": 32}}",
			"num_switch_ports: 32 is out of range (1..31); more than 31 need "
			"platform.max_host_functions (32..256)"},
		{"{\"platform\": {\n\"num_switch_ports\": 64, \"max_host_functions\": 0}}",
			"need platform.max_host_functions (64..256)"},
		{"{\"platform\": {\n\"num_switch_ports\": 64, \"max_host_functions\": 63}}",
			"num_switch_ports: 64 is out of range (1..63, by "
			"platform.max_host_functions)"},
		{"{\"platform\": {\"max_host_functions\": 256,\n\"num_switch_ports\": 236}}",
			"num_switch_ports: 236 is out of range (1..235)"},
		{"{\"platform\": {\n\"max_host_functions\": 257}}",
			"max_host_functions: 257 is out of range (0..256)"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_problem(cases[i].text, 2, cases[i].words);
}

static void
all_problems_are_named_at_once(void **state)
{
	(void)state;
	assert_problem("{\"platform\": {\n\"num_msix\": 1,\n\"idle_us\": 0}}", 2, "num_msix");
	assert_non_null(strstr(err, ":3: platform.idle_us: 0 is out of range (1..1000000)"));
}

static void
more_problems_than_fit_are_cut(void **state)
{
	char text[8192] = "{";

	(void)state;
	for (int i = 0; i < 200; i++)
		sprintf(text + strlen(text), "%s\"unknown%d\": 1", i ? "," : "", i);
	strcat(text, "}");
	assert_int_equal(load(text), -EINVAL);
	assert_true(strlen(err) < sizeof(err));
}

static void
a_file_that_cannot_be_read_is_named(void **state)
{
	(void)state;
	assert_int_equal(config_load(&cfg, "/nowhere/virtnet.conf", err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "/nowhere/virtnet.conf: No such file or directory");
	assert_int_equal(config_load(&cfg, "/tmp", err, sizeof(err)), -EISDIR);
	assert_int_equal(config_load(&cfg, "/dev/zero", err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "/dev/zero: not a regular file");
}

static int
test_config(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_file_there_is_one_port_and_one_host),
		cmocka_unit_test(an_empty_object_is_the_defaults),
		cmocka_unit_test(every_key_is_taken),
		cmocka_unit_test(packed_rings_and_mergeable_buffers_are_offered_when_switched_on),
		cmocka_unit_test(a_host_with_a_qmp_socket_is_a_qmp_host),
		cmocka_unit_test(problems_are_named_with_line_and_what_is_allowed),
		cmocka_unit_test(switch_ports_follow_from_functions),
		cmocka_unit_test(more_switch_ports_than_functions_are_refused),
		cmocka_unit_test(all_problems_are_named_at_once),
		cmocka_unit_test(more_problems_than_fit_are_cut),
		cmocka_unit_test(a_file_that_cannot_be_read_is_named),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(config, test_config)
