/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* vfio-user on the wire: frames, version bodies. */

#include <errno.h>
#include <string.h>

#include "test.h"
#include "vfio_user/codec.h"
#include "vfio_user_fixture.h"

static void
message_size_decides_whether_the_stream_can_be_followed(void **state)
{
	static const struct {
		uint32_t size;
		enum sock_frame frame;
	} table[] = {
		{0, SOCK_FRAME_BROKEN},
		{15, SOCK_FRAME_BROKEN},
		{16, SOCK_FRAME_OK},
		{VFIO_USER_MSG_MAX, SOCK_FRAME_OK},
		{VFIO_USER_MSG_MAX + 1, SOCK_FRAME_SKIP},
		{VFIO_USER_SKIP_MAX, SOCK_FRAME_SKIP},
		{VFIO_USER_SKIP_MAX + 1, SOCK_FRAME_BROKEN},
		{UINT32_MAX, SOCK_FRAME_BROKEN},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct vfio_user_header hdr = {.size = table[i].size};

		assert_int_equal(vfio_user_frame_check(&hdr, VFIO_USER_MSG_MAX), table[i].frame);
	}
}

static void
reply_header_echoes_id_and_command(void **state)
{
	const struct vfio_user_header req = {.id = 0xbeef, .command = 9, .size = 32, .flags = 0x10};
	struct vfio_user_header r = vfio_user_reply_to(&req, 20, 0);

	assert_int_equal(r.id, 0xbeef);
	assert_int_equal(r.command, 9);
	assert_int_equal(r.size, 36);
	assert_int_equal(r.flags, VFIO_USER_F_TYPE_REPLY);
	assert_int_equal(r.error, 0);
}

static void
error_reply_is_a_header_alone(void **state)
{
	const struct vfio_user_header req = {.id = 7, .command = 9};
	struct vfio_user_header r = vfio_user_reply_to(&req, 20, -EEXIST);

	assert_int_equal(r.size, VFIO_USER_HEADER_SIZE);
	assert_int_equal(r.flags, VFIO_USER_F_TYPE_REPLY | VFIO_USER_F_ERROR);
	assert_int_equal(r.error, EEXIST);
}

static int
parse(const char *json, struct vfio_user_caps *caps)
{
	uint8_t body[1024] = {0};
	struct vfio_user_version v;

	strcpy((char *)body + sizeof(v), json);
	return vfio_user_version_parse(body, sizeof(v) + strlen(json) + 1, &v, caps);
}

static void
version_of_qemu_is_understood(void **state)
{
	struct vfio_user_caps caps;

	assert_int_equal(parse("{\"capabilities\":{\"pgsizes\":4096,\"max_msg_fds\":16,"
			       "\"max_dma_maps\":65535,\"max_data_xfer_size\":1048576,"
			       "\"migration\":{\"max_bitmap_size\":268435456,\"pgsize\":4096},"
			       "\"write_multiple\":true}}",
				 &caps),
		0);
	assert_int_equal(caps.max_msg_fds, 16);
	assert_int_equal(caps.max_data_xfer_size, 1048576);
	assert_int_equal(caps.max_dma_maps, 65535);
	assert_int_equal(caps.pgsizes, 4096);
	assert_true(caps.write_multiple);
}

static void
version_without_capabilities_means_the_defaults(void **state)
{
	static const char *const table[] = {"", "{}", "{\"capabilities\":{}}", "{\"other\":[1,2]}"};
	struct vfio_user_version v = {.major = 1}, out;
	struct vfio_user_caps caps;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(parse(table[i], &caps), 0);
		assert_int_equal(caps.max_msg_fds, 1);
		assert_int_equal(caps.max_data_xfer_size, 1048576);
		assert_int_equal(caps.pgsizes, 4096);
		assert_false(caps.write_multiple);
	}
	assert_int_equal(vfio_user_version_parse((uint8_t *)&v, sizeof(v), &out, &caps), 0);
	assert_int_equal(out.major, 1);
}

static void
version_that_is_no_proper_json_is_refused(void **state)
{
	static const char *const table[] = {
		"{",
		"[]",
		"1",
		"null",
		"{}x",
		"{\"capabilities\":[]}",
		"{\"capabilities\":null}",
		"{\"capabilities\":{\"max_msg_fds\":\"1\"}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_msg_fds\":1.5}}",
		"{\"capabilities\":{\"pgsizes\":true}}",
		"{\"capabilities\":{\"write_multiple\":1}}",
		"{\"capabilities\":{\"max_dma_maps\":{}}}",
		"{\"a\":\"\xff\"}",
		"{\"a\":99999999999999999999}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
		"{\"a\":\"\\",
	};
	struct vfio_user_caps caps;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(parse(table[i], &caps), -EINVAL);
}

static void
version_nested_deeper_than_anything_sensible_is_refused(void **state)
{
	struct vfio_user_caps caps;
	char json[512] = "{\"a\":";
	size_t at = strlen(json), depth = VFIO_USER_JSON_DEPTH_MAX;

	memset(json + at, '[', depth);
	memset(json + at + depth, ']', depth);
	strcpy(json + at + 2 * depth, "}");
	assert_int_equal(parse(json, &caps), -EINVAL);
	/* One less is fine, and brackets within strings do not count. */
	memmove(json + at, json + at + 1, strlen(json + at));
	memmove(json + at + depth - 1, json + at + depth, strlen(json + at + depth - 1));
	assert_int_equal(parse(json, &caps), 0);
	assert_int_equal(parse("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[\"}", &caps), 0);
}

static void
version_must_end_with_its_only_nul(void **state)
{
	static const struct {
		char body[8];
		size_t len;
		int ret;
	} table[] = {
		{"\0\0\0\0{}\0", 7, 0},
		{"\0\0\0\0{}\0", 6, -EINVAL},
		{"\0\0\0\0{}\0", 8, -EINVAL},
		{"\0\0\0\0\0", 5, 0},
		{"\0\0\0", 3, -EINVAL},
		{"", 0, -EINVAL},
	};
	struct vfio_user_version v;
	struct vfio_user_caps caps;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(vfio_user_version_parse(
					 (const uint8_t *)table[i].body, table[i].len, &v, &caps),
			table[i].ret);
}

static void
version_built_here_is_understood_here(void **state)
{
	const struct vfio_user_caps in = {16, 4096, 65535, 4096, true};
	struct vfio_user_version v;
	struct vfio_user_caps out;
	uint8_t body[256];
	int len = vfio_user_version_build(body, sizeof(body), &in);

	assert_true(len > 0);
	assert_int_equal(vfio_user_version_parse(body, len, &v, &out), 0);
	assert_int_equal(v.major, 0);
	assert_int_equal(v.minor, 0);
	assert_int_equal(out.max_msg_fds, in.max_msg_fds);
	assert_int_equal(out.max_data_xfer_size, in.max_data_xfer_size);
	assert_int_equal(out.max_dma_maps, in.max_dma_maps);
	assert_int_equal(out.pgsizes, in.pgsizes);
	assert_true(out.write_multiple);
	for (int room = 0; room < len; room++)
		assert_int_equal(vfio_user_version_build(body, room, &in), -ENOBUFS);
}

static int
test_vfio_user_codec(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_size_decides_whether_the_stream_can_be_followed),
		cmocka_unit_test(reply_header_echoes_id_and_command),
		cmocka_unit_test(error_reply_is_a_header_alone),
		cmocka_unit_test(version_of_qemu_is_understood),
		cmocka_unit_test(version_without_capabilities_means_the_defaults),
		cmocka_unit_test(version_that_is_no_proper_json_is_refused),
		cmocka_unit_test(version_nested_deeper_than_anything_sensible_is_refused),
		cmocka_unit_test(version_must_end_with_its_only_nul),
		cmocka_unit_test(version_built_here_is_understood_here),
	};

	return cmocka_run_group_tests_name("vfio_user_codec", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_codec, test_vfio_user_codec)
