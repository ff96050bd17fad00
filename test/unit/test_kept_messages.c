/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Kept devices: messages that cannot be right break the protocol and change nothing. */

#include "kept_fixture.h"

static void
message_of_a_process_that_does_not_have_the_device_breaks_the_protocol(void **state)
{
	static const enum ha_msg_type types[] = {HA_CLOSE, HA_REPLY, HA_GONE_DONE, HA_DISCONNECT,
		HA_NOTIFY, HA_KICK, HA_STORE, HA_DROP, HA_BLOCK};
	struct bench *b = *state;
	struct child *other = fake_child_new();

	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(emu_says(b, other, types[i]), -EPROTO);
	assert_int_equal(kept_count(b->k), 1);
	fake_child_free(other);
}

static void
message_about_no_device_or_of_another_kind_breaks_the_protocol(void **state)
{
	struct bench *b = *state;
	struct ha_msg msg = {.type = HA_CLOSE, .device = DEV + 1};

	assert_int_equal(emu_says_with(b, b->emu, &msg, NULL, 0), -EPROTO);
	for (unsigned int type = 0; type < 100; type++)
		if (type < HA_OPEN || type > HA_BLOCK || type == HA_RELEASED || type == HA_ADOPTED)
			assert_int_equal(emu_says(b, b->emu, type), -EPROTO);
}

static void
open_of_a_handle_that_is_in_use_or_zero_breaks_the_protocol(void **state)
{
	struct bench *b = *state;
	struct ha_msg msg = open_message(b->place.path);
	int fd = state_block_fd(b->blk);

	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), -EPROTO);
	msg.device = 0;
	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), -EPROTO);
}

static void
open_that_makes_no_sense_breaks_the_protocol(void **state)
{
	struct bench *b = *state;
	const struct ha_msg good = open_message(b->place.path);
	struct ha_msg bad[6];
	int fd = state_block_fd(b->blk);

	for (unsigned int i = 0; i < 6; i++) {
		bad[i] = good;
		bad[i].device = DEV + 1;
	}
	bad[0].u.open.transport[0] = '\0';
	bad[1].u.open.vuid[0] = '\0';
	bad[2].u.open.path[0] = '\0';
	memset(bad[3].u.open.path, 'x', sizeof(bad[3].u.open.path));
	memset(bad[4].u.open.vuid, 'x', sizeof(bad[4].u.open.vuid));
	bad[5].u.open.max_queues = 65537;
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(emu_says_with(b, b->emu, &bad[i], &fd, 1), -EPROTO);
	bad[0] = good;
	bad[0].device = DEV + 1;
	assert_int_equal(emu_says_with(b, b->emu, &bad[0], NULL, 0), -EPROTO);
	assert_int_equal(kept_count(b->k), 1);
}

static void
slots_past_their_limit_break_the_protocol(void **state)
{
	static const struct {
		uint32_t kind, index, count;
		bool good;
	} table[] = {
		{HA_FD_MSIX, 2047, 1, true},
		{HA_FD_MSIX, 2048, 1, false},
		{HA_FD_MSIX, 2047, 2, false},
		{HA_FD_MSIX, UINT32_MAX, 1, false},
		{HA_FD_MSIX, 1, UINT32_MAX, false},
		{HA_FD_MSIX, 0, 0, false},
		{HA_FD_DMA, 65535, 1, true},
		{HA_FD_DMA, 65536, 1, false},
		{HA_FD_DMA, 65535, 65536, false},
		{HA_FD_INTX, 0, 1, true},
		{HA_FD_INTX, 1, 1, false},
		{HA_FD_SF, 255, 1, true},
		{HA_FD_SF, 256, 1, false},
		{HA_FD_KICK, 0, 1, false},  /* by KICK only */
		{HA_FD_BLOCK, 0, 1, false}, /* the keeper's own */
		{HA_FD_LISTEN, 0, 1, false},
		{HA_FD_CONN, 0, 1, false},
		{HA_FD_REQUEST, 0, 1, false},
		{HA_FD_KINDS, 0, 1, false},
		{UINT32_MAX, 0, 1, false},
	};
	struct bench *b = *state;
	int fd = eventfd(0, EFD_CLOEXEC);

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const int want = table[i].good ? 0 : -EPROTO;

		if (table[i].count == 1)
			assert_int_equal(emu_store(b, table[i].kind, table[i].index, fd), want);
		assert_int_equal(emu_slot(b, HA_DROP, table[i].kind, table[i].index, table[i].count,
					 NULL, 0),
			want);
	}
	close(fd);
}

static void
number_of_descriptors_that_does_not_match_breaks_the_protocol(void **state)
{
	struct bench *b = *state;
	int fds[3] = {state_block_fd(b->blk), state_block_fd(b->blk), state_block_fd(b->blk)};
	const struct ha_msg msg = {.type = HA_BLOCK, .device = DEV};

	assert_int_equal(emu_slot(b, HA_STORE, HA_FD_DMA, 0, 2, fds, 3), -EPROTO);
	assert_int_equal(emu_slot(b, HA_STORE, HA_FD_DMA, 0, 2, fds, 1), -EPROTO);
	assert_int_equal(emu_slot(b, HA_STORE, HA_FD_DMA, 0, 2, NULL, 0), -EPROTO);
	assert_int_equal(emu_slot(b, HA_DROP, HA_FD_DMA, 0, 2, fds, 1), -EPROTO);
	assert_int_equal(emu_says_with(b, b->emu, &msg, NULL, 0), -EPROTO);
	assert_int_equal(emu_says_with(b, b->emu, &msg, fds, 2), -EPROTO);
	assert_int_equal(emu_kick(b, 0, HA_KICK_NONE, fds[0]), -EPROTO);
	assert_int_equal(emu_kick(b, 0, HA_KICK_FORWARD, fds[0]), -EPROTO);
	assert_int_equal(emu_kick(b, 0, HA_KICK_EVENTFD, -1), -EPROTO);
}

static void
kick_of_a_queue_that_is_not_or_in_a_way_that_is_not_breaks_the_protocol(void **state)
{
	struct bench *b = *state;

	assert_int_equal(emu_kick(b, QUEUES - 1, HA_KICK_NONE, -1), 0);
	assert_int_equal(emu_kick(b, QUEUES, HA_KICK_NONE, -1), -EPROTO);
	assert_int_equal(emu_kick(b, UINT32_MAX, HA_KICK_FORWARD, -1), -EPROTO);
	assert_int_equal(emu_kick(b, 0, HA_KICK_FORWARD + 1, -1), -EPROTO);
}

static void
block_that_is_none_or_has_no_intact_mailbox_is_refused(void **state)
{
	const struct ha_msg msg = {.type = HA_BLOCK, .device = DEV};
	struct bench *b = *state;
	struct state_block *blk = block_new("x");
	int fd = memfd("no block");

	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), -EPROTO);
	close(fd);
	fd = state_block_fd(blk);
	block_mailbox(blk)->req_len = MAILBOX_BODY_MAX + 1;
	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), -EPROTO);
	block_mailbox(blk)->req_len = 0;
	atomic_store(&block_mailbox(blk)->state, 77);
	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), -EPROTO);
	assert_true(same_file(kept_block(device(b)), state_block_fd(b->blk)));
	assert_int_equal(kept_former_block(device(b)), -1);
	state_block_close(blk);
}

static void
words_out_of_place_change_nothing(void **state)
{
	struct bench *b = *state;

	assert_int_equal(emu_says(b, b->emu, HA_REPLY), 0);
	assert_int_equal(emu_says(b, b->emu, HA_GONE_DONE), 0);
	assert_int_equal(emu_says(b, b->emu, HA_DISCONNECT), 0);
	assert_hears(b, b->emu, 0);
}

static void
descriptors_that_are_lost_cost_the_client_and_nothing_else(void **state)
{
	struct bench *b = *state;
	struct child *other = fake_child_new();
	struct ha_msg msg = {.type = HA_STORE, .device = DEV};
	const int s = client(b);

	assert_int_equal(kept_lost(b->k, other, &msg), -EPROTO);
	assert_int_equal(kept_lost(b->k, b->emu, &msg), 0);
	assert_hears(b, b->emu, HA_DISCONNECTED);
	assert_hears(b, b->emu, 0);
	assert_false(fake_child_killed(b->emu));
	msg.type = HA_BLOCK;
	assert_int_equal(kept_lost(b->k, b->emu, &msg), -EMFILE);
	close(s);
	fake_child_free(other);
}

static void
open_whose_block_is_lost_fails(void **state)
{
	struct bench *b = *state;
	struct ha_msg msg = open_message(b->place.path);

	msg.device = DEV + 1;
	assert_int_equal(kept_lost(b->k, b->emu, &msg), 0);
	assert_hears(b, b->emu, HA_OPENED);
	assert_int_equal(b->msg.device, DEV + 1);
	assert_int_equal(b->msg.u.result.err, -EMFILE);
}

static int
test_kept_messages(void)
{
	const struct CMUnitTest tests[] = {
		T(message_of_a_process_that_does_not_have_the_device_breaks_the_protocol),
		T(message_about_no_device_or_of_another_kind_breaks_the_protocol),
		T(open_of_a_handle_that_is_in_use_or_zero_breaks_the_protocol),
		T(open_that_makes_no_sense_breaks_the_protocol),
		T(slots_past_their_limit_break_the_protocol),
		T(number_of_descriptors_that_does_not_match_breaks_the_protocol),
		T(kick_of_a_queue_that_is_not_or_in_a_way_that_is_not_breaks_the_protocol),
		T(block_that_is_none_or_has_no_intact_mailbox_is_refused),
		T(words_out_of_place_change_nothing),
		T(descriptors_that_are_lost_cost_the_client_and_nothing_else),
		T(open_whose_block_is_lost_fails),
	};

	return cmocka_run_group_tests_name("kept_messages", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(kept_messages, test_kept_messages)
