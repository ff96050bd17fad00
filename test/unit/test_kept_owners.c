/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Kept devices: a device changes its process - by death or by hand-over - and its client notices
 * nothing.
 */

#include "kept_fixture.h"

/* ---- requests: handled once in effect, answered once */

static void
request_of_a_process_that_died_is_handled_by_the_next_one(void **state)
{
	struct bench *b = *state;
	int ram = memfd("ram"), s = client(b);
	uint64_t seq = 0;

	send_map(s, 5, ram);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	fds_close(b);
	emu_replaced(b);
	assert_true(kept_request(device(b), &seq));
	assert_int_equal(seq, b->mb->seq);

	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED | HA_ADOPT_REQUEST);
	assert_hears(b, b->emu, HA_REQUEST);
	assert_int_equal(b->n, 1);
	assert_true(same_file(b->fds[0], ram));
	fds_close(b);
	assert_no_reply(s);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	assert_no_reply(s);
	assert_false(kept_request(device(b), &seq));
	close_all(2, (int[]){ram, s});
}

static void
reply_of_a_process_that_died_before_it_said_so_is_sent(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	emu_replaced(b);
	assert_reply(s, 5, 0);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED);
	assert_hears(b, b->emu, 0);
	assert_no_reply(s);
	close(s);
}

static void
reply_is_sent_once_though_it_is_told_of_and_found(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	assert_int_equal(emu_says(b, b->emu, HA_REPLY), 0);
	emu_replaced(b);
	assert_reply(s, 5, 0);
	assert_no_reply(s);
	close(s);
}

static void
request_that_came_while_nobody_had_the_device_waits(void **state)
{
	struct bench *b = *state;
	int s = client(b);
	uint64_t seq;

	kept_take_back(device(b));
	send_reset(s, 5);
	pump(b->place.base);
	/* Nobody can have died of it. */
	assert_false(kept_request(device(b), &seq));
	assert_hears(b, b->emu, 0);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED | HA_ADOPT_REQUEST);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	close(s);
}

static void
mailbox_that_the_dead_process_damaged_costs_the_connection_not_the_device(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 4; i++) {
		int s = client(b);

		send_reset(s, 5);
		pump(b->place.base);
		assert_hears(b, b->emu, HA_REQUEST);
		if (i == 0)
			atomic_store(&b->mb->state, 77);
		else if (i == 1)
			b->mb->nfds = 200;
		else if (i == 2)
			b->mb->req_len = UINT32_MAX;
		else
			memset(&b->mb->stream, 0xff, sizeof(b->mb->stream));
		emu_replaced(b);
		assert_true(hung_up(s));
		assert_int_equal(emu_adopts(b).flags, HA_ADOPT_GONE);
		assert_hears(b, b->emu, HA_DISCONNECTED);
		emu_says(b, b->emu, HA_GONE_DONE);
		close(s);
	}
	close(client(b));
}

/* ---- clients */

static void
client_that_came_while_nobody_had_the_device_is_told_of_at_adoption(void **state)
{
	struct bench *b = *state;
	int s;

	kept_take_back(device(b));
	s = raw_connect(b->place.path);
	pump(b->place.base);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED);
	assert_hears(b, b->emu, 0);
	close(s);
}

static void
disconnect_is_told_again_until_somebody_has_dealt_with_it(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	close(s);
	wait_for(b->place.base, !kept_connected(device(b)));
	assert_hears(b, b->emu, HA_DISCONNECTED);
	for (int i = 0; i < 2; i++) {
		emu_replaced(b);
		assert_int_equal(emu_adopts(b).flags, HA_ADOPT_GONE);
		assert_hears(b, b->emu, HA_DISCONNECTED);
		assert_hears(b, b->emu, 0);
	}
	mailbox_end(b->mb);
	emu_says(b, b->emu, HA_GONE_DONE);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	emu_replaced(b);
	assert_int_equal(emu_adopts(b).flags, 0);
}

static void
client_that_waits_behind_a_disconnect_is_served_by_whoever_deals_with_it(void **state)
{
	struct bench *b = *state;
	int s = client(b), next;

	close(s);
	pump(b->place.base);
	kept_take_back(device(b));
	next = raw_connect(b->place.path);
	send_reset(next, 6);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_DISCONNECTED);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_GONE);
	assert_hears(b, b->emu, HA_DISCONNECTED);
	emu_says(b, b->emu, HA_GONE_DONE);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_CONNECTED);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(next, 6, 0);
	close(next);
}

/* ---- what is given */

static void
three_hundred_descriptors_are_given_with_their_names(void **state)
{
	struct bench *b = *state;
	int ram[300];
	unsigned int seen = 0;

	for (unsigned int i = 0; i < 300; i++) {
		ram[i] = memfd("ram");
		assert_int_equal(emu_store(b, i < 150 ? HA_FD_DMA : HA_FD_MSIX, i, ram[i]), 0);
	}
	emu_replaced(b);
	assert_int_equal(kept_give(device(b), b->emu, 0, 0), 0);
	assert_hears(b, b->emu, HA_ADOPT);
	fds_close(b);
	while (emu_hears(b, b->emu) == HA_FDS) {
		assert_int_equal(b->msg.u.fds.n, b->n);
		for (unsigned int i = 0; i < b->n; i++, seen++) {
			const unsigned int index = b->msg.u.fds.slot[i].index;

			assert_int_equal(
				b->msg.u.fds.slot[i].kind, index < 150 ? HA_FD_DMA : HA_FD_MSIX);
			assert_true(same_file(b->fds[i], ram[index]));
		}
		fds_close(b);
	}
	assert_int_equal(b->msg.type, HA_ADOPT_END);
	assert_int_equal(seen, 300);
	close_all(300, ram);
}

static void
adopt_says_how_the_device_was_opened_and_what_the_keeper_knows(void **state)
{
	struct bench *b = *state;
	const struct ha_msg want = open_message(b->place.path);

	emu_replaced(b);
	assert_int_equal(
		kept_give(device(b), b->emu, HA_ADOPT_CRASHED | HA_ADOPT_POISON_QUEUE, 3), 0);
	assert_hears(b, b->emu, HA_ADOPT);
	assert_int_equal(b->msg.device, DEV);
	assert_memory_equal(&b->msg.u.adopt.open, &want.u.open, sizeof(want.u.open));
	assert_int_equal(b->msg.u.adopt.flags, HA_ADOPT_CRASHED | HA_ADOPT_POISON_QUEUE);
	assert_int_equal(b->msg.u.adopt.queue, 3);
	fds_close(b);
	assert_hears(b, b->emu, HA_ADOPT_END);
	assert_ptr_equal(kept_owner(device(b)), b->emu);
}

static void
device_stays_with_nobody_if_the_process_is_gone(void **state)
{
	struct bench *b = *state;

	emu_replaced(b);
	fake_child_hang_up(b->emu);
	assert_int_equal(kept_give(device(b), b->emu, 0, 0), -EPIPE);
	assert_null(kept_owner(device(b)));
}

/* ---- blocks that are converted */

/* What a process sends that has converted the block it was given. */
static struct state_block *
convert(struct bench *b)
{
	struct state_block *blk = block_new("converted");

	memcpy(block_mailbox(blk), b->mb, sizeof(struct mailbox));
	return blk;
}

static void
say_block(struct bench *b, struct state_block *blk)
{
	const struct ha_msg msg = {.type = HA_BLOCK, .device = DEV};
	int fd = state_block_fd(blk);

	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), 0);
}

static void
converted_block_is_used_and_the_former_one_kept_until_it_is_final(void **state)
{
	struct bench *b = *state;
	int s = client(b);
	struct state_block *blk = convert(b);

	assert_int_equal(kept_former_block(device(b)), -1);
	say_block(b, blk);
	assert_true(same_file(kept_block(device(b)), state_block_fd(blk)));
	assert_true(same_file(kept_former_block(device(b)), state_block_fd(b->blk)));
	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(block_mailbox(blk));
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	kept_commit_block(device(b));
	assert_int_equal(kept_former_block(device(b)), -1);
	state_block_close(blk);
	close(s);
}

static void
request_that_came_while_the_block_was_converted_is_not_lost(void **state)
{
	struct bench *b = *state;
	int s = client(b);
	struct state_block *blk = convert(b);

	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST); /* of which its mailbox knows nothing */
	say_block(b, blk);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(block_mailbox(blk));
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	assert_no_reply(s);
	state_block_close(blk);
	close(s);
}

static void
request_that_was_handled_in_the_converted_block_is_not_handled_again(void **state)
{
	struct bench *b = *state;
	int s = client(b);
	struct state_block *blk;

	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	blk = convert(b);
	mailbox_answer(block_mailbox(blk));
	say_block(b, blk);
	assert_hears(b, b->emu, 0);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	assert_no_reply(s);
	state_block_close(blk);
	close(s);
}

static void
reply_that_was_sent_while_the_block_was_converted_is_not_sent_again(void **state)
{
	struct bench *b = *state;
	int s = client(b);
	struct state_block *blk;

	send_reset(s, 5);
	pump(b->place.base);
	mailbox_answer(b->mb);
	blk = convert(b);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	say_block(b, blk);
	emu_says(b, b->emu, HA_REPLY);
	kept_take_back(device(b));
	assert_no_reply(s);
	state_block_close(blk);
	close(s);
}

static void
message_that_has_come_in_half_is_continued_in_the_converted_block(void **state)
{
	struct bench *b = *state;
	int s = client(b);
	struct state_block *blk;
	struct vfio_user_header hdr = {
		.id = 8, .command = VFIO_USER_REGION_WRITE, .size = VFIO_USER_HEADER_SIZE + 32};
	uint8_t body[32] = {[0] = 1, [15] = 15, [16] = 16, [31] = 31};

	send_with_fds(s, &hdr, sizeof(hdr), NULL, 0);
	send_with_fds(s, body, 16, NULL, 0);
	pump(b->place.base);
	blk = block_new("converted"); /* from before all that */
	say_block(b, blk);
	send_with_fds(s, body + 16, 16, NULL, 0);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	assert_int_equal(block_mailbox(blk)->req_len, 32);
	assert_memory_equal(block_mailbox(blk)->req, body, 32);
	state_block_close(blk);
	close(s);
}

static void
roll_back_goes_on_in_the_block_that_was_converted_back(void **state)
{
	struct bench *b = *state;
	int s = client(b), fd;
	struct state_block *up = convert(b), *down;

	say_block(b, up);
	kept_take_back(device(b));
	down = convert(b);
	send_reset(s, 5);
	pump(b->place.base);
	fd = fcntl(state_block_fd(down), F_DUPFD_CLOEXEC, 0);
	assert_int_equal(kept_replace_block(device(b), fd), 0);
	assert_int_equal(kept_former_block(device(b)), -1);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED | HA_ADOPT_REQUEST);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(block_mailbox(down));
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	state_block_close(up);
	state_block_close(down);
	close(s);
}

static void
process_that_has_got_half_of_a_device_is_ended(void **state)
{
	struct bench *b = *state;

	kept_take_back(device(b));
	fake_child_fail(b->emu, -EMFILE);
	assert_int_equal(kept_give(device(b), b->emu, 0, 0), -EMFILE);
	assert_null(kept_owner(device(b)));
	assert_true(fake_child_killed(b->emu));
}

static int
test_kept_owners(void)
{
	const struct CMUnitTest tests[] = {
		T(request_of_a_process_that_died_is_handled_by_the_next_one),
		T(reply_of_a_process_that_died_before_it_said_so_is_sent),
		T(reply_is_sent_once_though_it_is_told_of_and_found),
		T(request_that_came_while_nobody_had_the_device_waits),
		T(mailbox_that_the_dead_process_damaged_costs_the_connection_not_the_device),
		T(client_that_came_while_nobody_had_the_device_is_told_of_at_adoption),
		T(disconnect_is_told_again_until_somebody_has_dealt_with_it),
		T(client_that_waits_behind_a_disconnect_is_served_by_whoever_deals_with_it),
		T(three_hundred_descriptors_are_given_with_their_names),
		T(adopt_says_how_the_device_was_opened_and_what_the_keeper_knows),
		T(device_stays_with_nobody_if_the_process_is_gone),
		T(process_that_has_got_half_of_a_device_is_ended),
		T(converted_block_is_used_and_the_former_one_kept_until_it_is_final),
		T(request_that_came_while_the_block_was_converted_is_not_lost),
		T(request_that_was_handled_in_the_converted_block_is_not_handled_again),
		T(reply_that_was_sent_while_the_block_was_converted_is_not_sent_again),
		T(message_that_has_come_in_half_is_continued_in_the_converted_block),
		T(roll_back_goes_on_in_the_block_that_was_converted_back),
	};

	return cmocka_run_group_tests_name("kept_owners", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(kept_owners, test_kept_owners)
