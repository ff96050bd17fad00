/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Messages between keeper and emu process are an ABI between versions: what stands here may be
 * added to, not changed.
 */

#include <assert.h>
#include <string.h>

#include "ha/conn.h"
#include "test.h"

#define AT(type, field, offset)                                                                    \
	static_assert(offsetof(struct type, field) == (offset), #type "." #field " has moved")
/* Of what was appended since version 1 only the offset is asserted, in a line of its own. */
#define LAST(type, field, offset, end)                                                             \
	AT(type, field, offset);                                                                   \
	static_assert((offset) + sizeof(((struct type *)0)->field) == (end),                       \
		#type "." #field " has another size")

AT(ha_msg, type, 0);
AT(ha_msg, len, 2);
AT(ha_msg, device, 4);
AT(ha_msg, u, 8);
static_assert(HA_MSG_HEADER == 8, "header");
static_assert(HA_PACKET_MAX >= 4096, "a newer peer may send as much");

static_assert(sizeof(struct ha_layout) == 4, "an array's element cannot grow");
AT(ha_layout, section, 0);
AT(ha_layout, version, 2);

AT(ha_hello, proto, 0);
AT(ha_hello, role, 4);
AT(ha_hello, pid, 8);
AT(ha_hello, n_layouts, 12);
AT(ha_hello, layout, 16);
LAST(ha_hello, version, 80, 144);
/* Appended. */
AT(ha_hello, eal_us, 144);
AT(ha_hello, pools_us, 148);

AT(ha_open, transport, 0);
AT(ha_open, vuid, 64);
AT(ha_open, path, 128);
AT(ha_open, mode, 236);
AT(ha_open, gid, 240);
AT(ha_open, max_queues, 244);
LAST(ha_open, any_fd, 248, 252);

AT(ha_notify, region, 0);
AT(ha_notify, multiplier, 4);
AT(ha_notify, offset, 8);
LAST(ha_notify, size, 16, 24);

AT(ha_kick, queue, 0);
LAST(ha_kick, mode, 4, 8);

AT(ha_slot, kind, 0);
AT(ha_slot, index, 4);
LAST(ha_slot, count, 8, 12);

AT(ha_fds, n, 0);
LAST(ha_fds, slot, 4, 260);
AT(ha_fds, slot[1].kind, 8);
AT(ha_fds, slot[1].index, 10);
static_assert(sizeof(struct ha_fds) == 260, "the slots end a message: nothing can follow them");

AT(ha_adopt, flags, 0);
AT(ha_adopt, queue, 4);
AT(ha_adopt, open, 8);
static_assert(sizeof(struct ha_adopt) == 8 + sizeof(struct ha_open), "open ends it, and may grow");

AT(ha_result, err, 0);
AT(ha_result, flags, 4);
LAST(ha_result, text, 8, 264);

LAST(ha_handover, kind, 0, 4);

AT(ha_status, ongoing, 0);
AT(ha_status, kind, 4);
AT(ha_status, last, 8);
AT(ha_status, devices, 12);
AT(ha_status, time_us, 16);
AT(ha_status, gap_us, 24);
AT(ha_status, from, 32);
AT(ha_status, to, 96);
LAST(ha_status, text, 160, 416);

static void
numbers_and_names_of_types_are_fixed(void **state)
{
	static const struct {
		unsigned int type;
		const char *name;
	} types[] = {
		{1, "HELLO"},
		{2, "OPEN"},
		{3, "CLOSE"},
		{4, "REPLY"},
		{5, "GONE_DONE"},
		{6, "DISCONNECT"},
		{7, "NOTIFY"},
		{8, "KICK"},
		{9, "STORE"},
		{10, "DROP"},
		{11, "RELEASED"},
		{12, "ADOPTED"},
		{13, "BLOCK"},
		{14, "HANDOVER"},
		{15, "CONVERTED"},
		{16, "STOPPED"},
		{64, "WELCOME"},
		{65, "ACTIVATE"},
		{66, "ADOPT"},
		{67, "FDS"},
		{68, "ADOPT_END"},
		{69, "ACTIVE"},
		{70, "OPENED"},
		{71, "CLOSED"},
		{72, "CONNECTED"},
		{73, "DISCONNECTED"},
		{74, "REQUEST"},
		{75, "RELEASE"},
		{76, "MIGRATE"},
		{77, "STATUS"},
		{78, "STOP"},
		{79, "EXIT"},
		{80, "CONVERT"},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_string_equal(ha_msg_name(types[i].type), types[i].name);
}

static void
a_type_that_is_not_known_has_a_name_all_the_same(void **state)
{
	static const unsigned int types[] = {0, 17, 63, 81, 65535, UINT32_MAX};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_string_equal(ha_msg_name(types[i]), "unknown");
}

static void
numbers_of_kinds_and_flags_are_fixed(void **state)
{
	assert_int_equal(HA_FD_BLOCK, 0);
	assert_int_equal(HA_FD_LISTEN, 1);
	assert_int_equal(HA_FD_CONN, 2);
	assert_int_equal(HA_FD_REQUEST, 3);
	assert_int_equal(HA_FD_KICK, 4);
	assert_int_equal(HA_FD_DMA, 5);
	assert_int_equal(HA_FD_MSIX, 6);
	assert_int_equal(HA_FD_INTX, 7);
	assert_int_equal(HA_FD_SF, 8);
	assert_int_equal(HA_ADOPT_CONNECTED, 1);
	assert_int_equal(HA_ADOPT_REQUEST, 2);
	assert_int_equal(HA_ADOPT_GONE, 4);
	assert_int_equal(HA_ADOPT_POISON_REQUEST, 8);
	assert_int_equal(HA_ADOPT_POISON_QUEUE, 16);
	assert_int_equal(HA_ADOPT_POISON_BLOCK, 32);
	assert_int_equal(HA_ADOPT_CRASHED, 64);
	assert_int_equal(HA_ROLE_EMU, 0);
	assert_int_equal(HA_ROLE_CONVERT, 1);
	assert_int_equal(HA_KICK_NONE, 0);
	assert_int_equal(HA_KICK_EVENTFD, 1);
	assert_int_equal(HA_KICK_FORWARD, 2);
	assert_int_equal(HA_HANDOVER_RESTART, 0);
	assert_int_equal(HA_HANDOVER_UPDATE, 1);
}

static int
test_ha_msg(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_names_of_types_are_fixed),
		cmocka_unit_test(a_type_that_is_not_known_has_a_name_all_the_same),
		cmocka_unit_test(numbers_of_kinds_and_flags_are_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(ha_msg, test_ha_msg);
