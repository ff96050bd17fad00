/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Kept devices: a device's life with one process, from OPEN to CLOSED. */

#include "kept_fixture.h"
#include "sock_lingering.h"

/* ---- OPEN */

static void
opened_device_listens_and_is_found_by_its_handle(void **state)
{
	struct bench *b = *state;
	struct kept_device *d = device(b);

	assert_int_equal(kept_count(b->k), 1);
	assert_ptr_equal(kept_first(b->k), d);
	assert_null(kept_next(b->k, d));
	assert_int_equal(kept_handle(d), DEV);
	assert_string_equal(kept_vuid(d), "VNETS1D0F2");
	assert_ptr_equal(kept_owner(d), b->emu);
	assert_true(same_file(kept_block(d), state_block_fd(b->blk)));
	assert_int_equal(access(b->place.path, F_OK), 0);
}

static void
devices_are_visited_in_the_order_of_their_handles(void **state)
{
	static const uint32_t handles[] = {30, 10, 20};
	struct bench *b = *state;
	uint32_t last = 0;

	for (unsigned int i = 0; i < 3; i++) {
		struct ha_msg msg = open_message(b->place.dir);
		struct state_block *blk = block_new("x");
		int fd = state_block_fd(blk);

		msg.device = handles[i];
		snprintf(msg.u.open.path, sizeof(msg.u.open.path), "%s/%u", b->place.dir, i);
		assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), 0);
		state_block_close(blk);
	}
	for (struct kept_device *d = kept_first(b->k); d != NULL; d = kept_next(b->k, d)) {
		assert_true(kept_handle(d) > last);
		last = kept_handle(d);
	}
	assert_int_equal(last, 30);
	assert_int_equal(kept_count(b->k), 4);
}

static void
open_that_fails_is_answered_with_the_reason_and_leaves_nothing(void **state)
{
	static const struct {
		const char *transport, *path;
		uint32_t mailbox_version;
		int err;
	} table[] = {
		{"vhost_pigeon", "%s/sock", MAILBOX_VERSION, -ENOTSUP},
		{"vfio_user", "%s/no/such/folder", MAILBOX_VERSION, -ENOENT},
		{"vfio_user", "%s", MAILBOX_VERSION, -EEXIST},
		{"vfio_user", "%s/sock", MAILBOX_VERSION + 1, -EBADMSG},
	};
	struct bench *b = *state;

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct state_section_desc section = {.id = STATE_SEC_MAILBOX,
			.version = (uint16_t)table[i].mailbox_version,
			.size = sizeof(struct mailbox)};
		struct ha_msg msg = open_message("");
		struct state_block *blk;
		int fd;

		assert_int_equal(state_block_create("x", &section, 1, &blk), 0);
		fd = state_block_fd(blk);
		strcpy(msg.u.open.transport, table[i].transport);
		snprintf(msg.u.open.path, sizeof(msg.u.open.path), table[i].path, b->place.dir);
		assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), 0);
		assert_hears(b, b->emu, HA_OPENED);
		assert_int_equal(b->msg.u.result.err, table[i].err);
		assert_string_not_equal(b->msg.u.result.text, "");
		assert_int_equal(kept_count(b->k), 0);
		state_block_close(blk);
	}
}

static void
path_of_another_device_is_in_use(void **state)
{
	struct bench *b = *state;
	struct ha_msg msg = open_message(b->place.path);
	int fd = state_block_fd(b->blk);

	msg.device = DEV + 1;
	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), 0);
	assert_hears(b, b->emu, HA_OPENED);
	assert_int_equal(b->msg.device, DEV + 1);
	assert_int_equal(b->msg.u.result.err, -EADDRINUSE);
	assert_int_equal(kept_count(b->k), 1);
}

static void
more_devices_than_the_register_has_room_for_are_refused(void **state)
{
	struct bench *b = *state;
	const struct rlimit was = need_descriptors(4 * 1100);
	int fd = state_block_fd(b->blk);

	for (uint32_t i = 0; i < 1100; i++) {
		struct ha_msg msg = open_message("");

		msg.device = DEV + 1 + i;
		snprintf(msg.u.open.path, sizeof(msg.u.open.path), "%s/%u", b->place.dir, i);
		assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), 0);
		assert_hears(b, b->emu, HA_OPENED);
		assert_int_equal(b->msg.u.result.err, i < 1099 ? 0 : -ENOSPC);
	}
	assert_int_equal(kept_count(b->k), 1100);
	kept_destroy(b->k);
	b->k = NULL;
	setrlimit(RLIMIT_NOFILE, &was);
}

/* ---- client */

static void
request_goes_to_the_owner_and_its_reply_to_the_client(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	assert_int_equal(b->msg.device, DEV);
	assert_no_reply(s);
	mailbox_answer(b->mb);
	assert_int_equal(emu_says(b, b->emu, HA_REPLY), 0);
	assert_reply(s, 5, 0);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	close(s);
}

static void
descriptors_of_a_request_are_the_owner_s_too_until_the_reply(void **state)
{
	struct bench *b = *state;
	int ram = memfd("ram"), s = client(b), before;

	pump(b->place.base);
	before = open_fds();
	send_map(s, 5, ram);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	assert_int_equal(b->n, 1);
	assert_true(same_file(b->fds[0], ram));
	fds_close(b);
	assert_int_equal(open_fds(), before + 1);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	wait_for(b->place.base, open_fds() == before);
	close_all(2, (int[]){ram, s});
}

static void
clients_come_and_go_one_after_the_other(void **state)
{
	struct bench *b = *state;

	for (int i = 0; i < 3; i++) {
		int s = client(b);

		assert_true(kept_connected(device(b)));
		close(s);
		pump(b->place.base);
		assert_hears(b, b->emu, HA_DISCONNECTED);
		assert_false(kept_connected(device(b)));
		assert_int_equal(emu_says(b, b->emu, HA_GONE_DONE), 0);
	}
	assert_hears(b, b->emu, 0);
}

static void
next_client_is_not_told_of_before_the_former_one_is_dealt_with(void **state)
{
	struct bench *b = *state;
	int s = client(b), next;

	close(s);
	pump(b->place.base);
	next = raw_connect(b->place.path);
	send_reset(next, 9);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_DISCONNECTED);
	assert_hears(b, b->emu, 0);
	emu_says(b, b->emu, HA_GONE_DONE);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_CONNECTED);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(next, 9, 0);
	close(next);
}

static void
request_of_a_client_that_has_gone_ends_with_it(void **state)
{
	struct bench *b = *state;
	int s = client(b), next;

	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	close(s);
	wait_for(b->place.base, !kept_connected(device(b)));
	assert_hears(b, b->emu, HA_DISCONNECTED);
	mailbox_end(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	emu_says(b, b->emu, HA_GONE_DONE);
	next = client(b);
	send_reset(next, 6);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(next, 6, 0);
	close(next);
}

static void
owner_may_end_the_connection(void **state)
{
	struct bench *b = *state;
	int s = client(b);

	assert_int_equal(emu_says(b, b->emu, HA_DISCONNECT), 0);
	assert_true(hung_up(s));
	assert_hears(b, b->emu, HA_DISCONNECTED);
	/* It said so again before it had heard: that is not meant for the next client. */
	assert_int_equal(emu_says(b, b->emu, HA_DISCONNECT), 0);
	assert_int_equal(emu_says(b, b->emu, HA_GONE_DONE), 0);
	assert_hears(b, b->emu, 0);
	close(s);
}

/* ---- doorbells */

static void
send_doorbell(int s, uint16_t id, uint64_t off)
{
	struct {
		struct vfio_user_region_access a;
		uint16_t value;
	} body = {.a = {.offset = off, .region = 2, .count = 2}};

	raw_send(s, (struct raw){.id = id,
			    .command = VFIO_USER_REGION_WRITE,
			    .body = &body,
			    .len = sizeof(body.a) + 2});
}

static void
doorbell_signals_the_queue_s_eventfd_or_is_passed_on(void **state)
{
	const struct ha_msg notify = {.type = HA_NOTIFY,
		.device = DEV,
		.u.notify = {.region = 2, .multiplier = 4, .offset = 0x3000, .size = 16}};
	struct bench *b = *state;
	int kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), s = client(b);

	send_reset(s, 1);
	pump(b->place.base);
	b->mb->negotiated_seq = b->mb->seq;
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_hears(b, b->emu, HA_REQUEST);
	assert_reply(s, 1, 0);

	assert_int_equal(emu_says_with(b, b->emu, &notify, NULL, 0), 0);
	assert_int_equal(emu_kick(b, 1, HA_KICK_EVENTFD, kick), 0);
	assert_int_equal(emu_kick(b, 2, HA_KICK_FORWARD, -1), 0);
	send_doorbell(s, 2, 0x3004);
	pump(b->place.base);
	assert_reply(s, 2, 0);
	assert_int_equal(eventfd_take(kick), 1);
	assert_hears(b, b->emu, 0);
	send_doorbell(s, 3, 0x3008);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 3, 0);

	assert_int_equal(emu_kick(b, 1, HA_KICK_NONE, -1), 0);
	send_doorbell(s, 4, 0x3004);
	pump(b->place.base);
	assert_reply(s, 4, 0);
	assert_int_equal(eventfd_take(kick), 0);
	close_all(2, (int[]){kick, s});
}

/* ---- descriptors */

static void
stored_descriptor_is_held_until_it_is_dropped_or_replaced(void **state)
{
	struct bench *b = *state;
	int before = open_fds(), fd = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(emu_store(b, HA_FD_MSIX, 3, fd), 0);
	assert_int_equal(open_fds(), before + 2);
	assert_int_equal(emu_store(b, HA_FD_MSIX, 3, fd), 0);
	wait_for(b->place.base, open_fds() == before + 2);
	assert_int_equal(emu_slot(b, HA_DROP, HA_FD_MSIX, 0, 2048, NULL, 0), 0);
	wait_for(b->place.base, open_fds() == before + 1);
	close(fd);
}

/* ---- CLOSE */

static void
closed_is_said_when_all_is_closed(void **state)
{
	struct bench *b = *state;
	int before = open_fds(), ram = memfd("ram"), s = client(b);

	for (uint32_t i = 0; i < 100; i++)
		emu_store(b, HA_FD_DMA, i, ram);
	assert_int_equal(emu_says(b, b->emu, HA_CLOSE), 0);
	assert_int_equal(kept_count(b->k), 0);
	assert_null(kept_find(b->k, DEV));
	assert_int_equal(kept_closing(b->k), 1);
	assert_true(hung_up(s));
	assert_int_equal(access(b->place.path, F_OK), -1);
	assert_hears(b, b->emu, 0);
	wait_for(b->place.base, kept_closing(b->k) == 0);
	assert_hears(b, b->emu, HA_CLOSED);
	assert_int_equal(b->msg.device, DEV);
	close_all(2, (int[]){ram, s});
	/* The block and the listening socket have gone, too. */
	assert_int_equal(open_fds(), before - 2);
}

/* What a client has sent may never close: nobody else's end waits for it. */
static void
clients_descriptor_that_does_not_close_keeps_nobody_from_being_closed(void **state)
{
	struct bench *b = *state;
	int before = open_fds(), peer[2], next = memfd("next");
	struct lingering s[2];

	for (unsigned int i = 0; i < 2; i++) {
		int sock = lingering_in_socket(&s[i], &peer[i]);

		assert_int_equal(emu_store(b, HA_FD_TRANSPORT, i, sock), 0);
		close(sock);
	}
	alarm(STUCK_S);
	/* One is replaced, the other there to the end. */
	assert_int_equal(emu_store(b, HA_FD_TRANSPORT, 0, next), 0);
	assert_int_equal(emu_says(b, b->emu, HA_CLOSE), 0);
	alarm(0);
	wait_for(b->place.base, kept_closing(b->k) == 0);
	assert_hears(b, b->emu, HA_CLOSED);
	close_all(5, (int[]){next, peer[0], peer[1], s[0].peer, s[1].peer});
	fds_settle(before - 2);
}

static void
process_that_is_gone_is_not_told_closed(void **state)
{
	struct bench *b = *state;

	emu_says(b, b->emu, HA_CLOSE);
	emu_replaced(b);
	wait_for(b->place.base, kept_closing(b->k) == 0);
	assert_hears(b, b->emu, 0);
}

static void
process_that_cannot_be_told_is_killed_so_that_its_successor_is_told(void **state)
{
	struct bench *b = *state;
	int s;

	fake_child_fail(b->emu, -EMFILE);
	s = raw_connect(b->place.path);
	pump(b->place.base);
	assert_true(fake_child_killed(b->emu));
	emu_replaced(b);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED);
	close(s);
}

/* ---- no growth */

static unsigned long
resident_pages(void)
{
	unsigned long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident;
}

static void
request_with_descriptor(struct bench *b, int s, int ram, uint16_t id)
{
	send_map(s, id, ram);
	while (emu_hears(b, b->emu) != HA_REQUEST)
		event_base_loop(b->place.base, EVLOOP_ONCE);
	emu_slot(b, HA_STORE, HA_FD_DMA, id % 8, 1, b->fds, b->n);
	fds_close(b);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, id, 0);
}

static void
ten_thousand_requests_leave_nothing_behind(void **state)
{
	struct bench *b = *state;
	int ram = memfd("ram"), s = client(b), fds = 0;
	unsigned long pages = 0;

	alarm(3 * SECONDS);
	for (unsigned int i = 0; i < 10000; i++) {
		request_with_descriptor(b, s, ram, (uint16_t)i);
		if (i == 1000) {
			pages = resident_pages();
			fds = open_fds();
		}
	}
	alarm(0);
	/* Sanitizers keep what was freed; anybody's odd page is no growth by the message. */
	assert_in_range(resident_pages(), 0, pages + 1000);
	wait_for(b->place.base, open_fds() <= fds);
	close_all(2, (int[]){ram, s});
}

static int
test_kept(void)
{
	const struct CMUnitTest tests[] = {
		T(opened_device_listens_and_is_found_by_its_handle),
		T(devices_are_visited_in_the_order_of_their_handles),
		cmocka_unit_test_setup_teardown(
			open_that_fails_is_answered_with_the_reason_and_leaves_nothing, bench_setup,
			bench_teardown),
		T(path_of_another_device_is_in_use),
		T(more_devices_than_the_register_has_room_for_are_refused),
		T(request_goes_to_the_owner_and_its_reply_to_the_client),
		T(descriptors_of_a_request_are_the_owner_s_too_until_the_reply),
		T(clients_come_and_go_one_after_the_other),
		T(next_client_is_not_told_of_before_the_former_one_is_dealt_with),
		T(request_of_a_client_that_has_gone_ends_with_it),
		T(owner_may_end_the_connection),
		T(doorbell_signals_the_queue_s_eventfd_or_is_passed_on),
		T(stored_descriptor_is_held_until_it_is_dropped_or_replaced),
		T(closed_is_said_when_all_is_closed),
		T(clients_descriptor_that_does_not_close_keeps_nobody_from_being_closed),
		T(process_that_is_gone_is_not_told_closed),
		T(process_that_cannot_be_told_is_killed_so_that_its_successor_is_told),
		T(ten_thousand_requests_leave_nothing_behind),
	};

	return cmocka_run_group_tests_name("kept", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(kept, test_kept)
