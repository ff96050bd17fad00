/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* vhost-user on the wire: headers, and what is known about requests by their number alone. */

#include <string.h>

#include "test.h"
#include "vhost_user/codec.h"

static void
header_is_of_version_one_and_of_a_body_that_fits(void **state)
{
	static const struct {
		uint32_t flags, size;
		bool ok;
	} table[] = {
		{VHOST_USER_VERSION, 0, true},
		{VHOST_USER_VERSION | VHOST_USER_F_NEED_REPLY, VHOST_USER_BODY_MAX, true},
		{VHOST_USER_VERSION, VHOST_USER_BODY_MAX + 1, false},
		{VHOST_USER_VERSION, UINT32_MAX, false},
		{0, 0, false},
		{2, 0, false},
		{3, 0, false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct vhost_user_header hdr = {1, table[i].flags, table[i].size};

		assert_int_equal(vhost_user_header_ok(&hdr), table[i].ok);
	}
}

static void
reply_repeats_the_request_with_its_own_size(void **state)
{
	const struct vhost_user_header req = {VHOST_USER_GET_CONFIG, 0x9, 100};
	const struct vhost_user_header r = vhost_user_reply_to(&req, 20);

	assert_int_equal(r.request, VHOST_USER_GET_CONFIG);
	assert_int_equal(r.flags, VHOST_USER_VERSION | VHOST_USER_F_REPLY);
	assert_int_equal(r.size, 20);
	assert_true(vhost_user_is_reply(&r));
	assert_true(vhost_user_needs_reply(&req));
	assert_false(vhost_user_needs_reply(&r));
}

static void
requests_with_replies_are_known(void **state)
{
	static const uint32_t with[] = {VHOST_USER_GET_FEATURES, VHOST_USER_GET_PROTOCOL_FEATURES,
		VHOST_USER_GET_VRING_BASE, VHOST_USER_GET_QUEUE_NUM, VHOST_USER_SET_LOG_BASE,
		VHOST_USER_GET_CONFIG, VHOST_USER_GET_MAX_MEM_SLOTS, VHOST_USER_GET_STATUS};
	static const uint32_t without[] = {0, VHOST_USER_SET_FEATURES, VHOST_USER_SET_MEM_TABLE,
		VHOST_USER_SET_STATUS, VHOST_USER_RESET_DEVICE, VHOST_USER_GET_STATUS + 1,
		UINT32_MAX};

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++)
		assert_true(vhost_user_has_reply(with[i]));
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		assert_false(vhost_user_has_reply(without[i]));
}

static void
requests_with_descriptors_are_known(void **state)
{
	static const uint32_t with[] = {VHOST_USER_SET_MEM_TABLE, VHOST_USER_SET_LOG_BASE,
		VHOST_USER_SET_LOG_FD, VHOST_USER_SET_VRING_KICK, VHOST_USER_SET_VRING_CALL,
		VHOST_USER_SET_VRING_ERR, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_ADD_MEM_REG,
		VHOST_USER_REM_MEM_REG};
	static const uint32_t without[] = {
		0, VHOST_USER_SET_FEATURES, VHOST_USER_SET_VRING_ADDR, 1000, UINT32_MAX};

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++)
		assert_true(vhost_user_has_fds(with[i]));
	for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		assert_false(vhost_user_has_fds(without[i]));
}

static void
every_number_has_a_name(void **state)
{
	assert_string_equal(vhost_user_request_name(VHOST_USER_SET_MEM_TABLE), "SET_MEM_TABLE");
	assert_string_equal(vhost_user_request_name(0), "unknown request");
	assert_string_equal(vhost_user_request_name(41), "unknown request");
	assert_string_equal(vhost_user_request_name(UINT32_MAX), "unknown request");
}

static int
test_vhost_user_codec(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_is_of_version_one_and_of_a_body_that_fits),
		cmocka_unit_test(reply_repeats_the_request_with_its_own_size),
		cmocka_unit_test(requests_with_replies_are_known),
		cmocka_unit_test(requests_with_descriptors_are_known),
		cmocka_unit_test(every_number_has_a_name),
	};

	return cmocka_run_group_tests_name("vhost_user_codec", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_codec, test_vhost_user_codec)
