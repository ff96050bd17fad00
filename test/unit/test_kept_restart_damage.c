/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Kept devices: what a next keeper finds is missing, damaged or foreign. That costs the device that
 * it belongs to, and is said; the others go on.
 */

#include "kept_restart_fixture.h"

/* What is logged while the next keeper takes up what there is. */
static void
restart_logging(struct restart *r, char *text, size_t room)
{
	int log = memfd("log"), err = dup(2);
	ssize_t n;

	dup2(log, 2);
	restart(r);
	dup2(err, 2);
	n = pread(log, text, room - 1, 0);
	text[n < 0 ? 0 : n] = '\0';
	close_all(2, (int[]){log, err});
}

static void
replace(struct restart *r, const char *name, int fd)
{
	manager_forget(&r->m, name);
	manager_put(&r->m, name, fd);
}

/* One byte of an entry of the register, by slot. */
static void
register_damage(struct restart *r, unsigned int slot)
{
	uint8_t byte;
	const off_t at = 64 + (off_t)slot * 512 + 20;

	assert_int_equal(pread(manager_fd(&r->m, "register"), &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(manager_fd(&r->m, "register"), &byte, 1, at), 1);
}

/* ---- one device is lost */

static void
no_block(struct restart *r)
{
	manager_forget(&r->m, "00b0");
}

static void
foreign_block(struct restart *r)
{
	replace(r, "00b0", memfd("foreign"));
}

static void
damaged_block(struct restart *r)
{
	uint8_t zero[64] = {0};

	assert_int_equal(pwrite(state_block_fd(r->b.blk), zero, sizeof(zero), 0), 64);
}

static void
damaged_mailbox(struct restart *r)
{
	r->b.mb->reply_len = UINT32_MAX;
}

static void
no_listening_socket(struct restart *r)
{
	manager_forget(&r->m, "00l0");
}

static void
foreign_listening_socket(struct restart *r)
{
	replace(r, "00l0", eventfd(0, EFD_CLOEXEC));
}

static void
listening_socket_of_the_other_device(struct restart *r)
{
	replace(r, "00l0", fcntl(manager_fd(&r->m, "01l0"), F_DUPFD_CLOEXEC, 0));
}

static void
no_irq(struct restart *r)
{
	manager_forget(&r->m, "00m3");
}

static void
no_ram(struct restart *r)
{
	manager_forget(&r->m, "00d14");
}

static void
no_tap(struct restart *r)
{
	manager_forget(&r->m, "00s0");
}

static void
kick_of_a_queue_that_is_not(struct restart *r)
{
	manager_put(&r->m, "00k4", eventfd(0, EFD_CLOEXEC));
}

static void
damaged_entry(struct restart *r)
{
	register_damage(r, 0);
}

static void
all_but_the_entry_missing(struct restart *r)
{
	static const char *const names[] = {"00b0", "00l0", "00k1", "00d14", "00m3", "00s0"};

	for (unsigned int i = 0; i < 6; i++)
		manager_forget(&r->m, names[i]);
	unlink(r->b.place.path);
}

static void
device_with_a_part_missing_or_damaged_is_dropped_and_named_the_other_goes_on(void **state)
{
	static const struct {
		void (*damage)(struct restart *r);
		const char *part;
	} table[] = {
		{no_block, "state block"},
		{foreign_block, "state block"},
		{damaged_block, "state block"},
		{damaged_mailbox, "state block"},
		{no_listening_socket, "listening socket"},
		{foreign_listening_socket, "listening socket"},
		{listening_socket_of_the_other_device, "listening socket"},
		{no_irq, "MSI-X eventfds"},
		{no_ram, "client memory"},
		{no_tap, "SF descriptors"},
		{kick_of_a_queue_that_is_not, "kick eventfds"},
		{damaged_entry, "entry in the register"},
		{all_but_the_entry_missing, "everything"},
	};

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char log[2048], want[160];
		struct restart *r;

		if (i > 0)
			restart_setup(state);
		r = *state;
		old_kill(r);
		table[i].damage(r);
		restart_logging(r, log, sizeof(log));
		assert_int_equal(kept_count(r->b.k), 1);
		assert_non_null(kept_find(r->b.k, DEV + 1));
		snprintf(want, sizeof(want),
			"VNETS1D0F2: does not survive the restart: %s missing or damaged",
			table[i].part);
		if (strstr(log, want) == NULL)
			fail_msg("no \"%s\" in: %s", want, log);
		wait_for(r->b.place.base, (manager_read(&r->m), r->m.n == 4));
		assert_int_equal(access(r->b.place.path, F_OK), -1);
		assert_int_equal(access(r->second_path, F_OK), 0);
		if (i + 1 < sizeof(table) / sizeof(table[0]))
			restart_teardown(state);
	}
}

static void
slot_of_a_device_that_was_lost_is_free_again(void **state)
{
	struct restart *r = *state;
	char log[2048];

	old_kill(r);
	no_block(r);
	restart_logging(r, log, sizeof(log));
	state_block_close(r->b.blk);
	device_open(&r->b);
	manager_read(&r->m);
	assert_true(same_file(manager_fd(&r->m, "00b0"), state_block_fd(r->b.blk)));
	assert_int_equal(kept_count(r->b.k), 2);
}

/* ---- all are lost */

static void
without_a_register_nothing_goes_on_and_all_is_closed(void **state)
{
	static const char *const registers[] = {NULL, "foreign"};

	for (unsigned int i = 0; i < 2; i++) {
		struct restart *r;
		char log[2048];

		if (i > 0)
			restart_setup(state);
		r = *state;
		old_kill(r);
		manager_forget(&r->m, "register");
		if (registers[i] != NULL)
			manager_put(&r->m, "register", memfd(registers[i]));
		restart_logging(r, log, sizeof(log));
		assert_int_equal(kept_count(r->b.k), 0);
		assert_non_null(strstr(log, "VNETS1D0F2: does not survive"));
		assert_non_null(strstr(log, "VNETS1D0F3: does not survive"));
		wait_for(r->b.place.base, (manager_read(&r->m), r->m.n == 1));
		assert_true(manager_fd(&r->m, "register") >= 0);
		assert_int_equal(access(r->b.place.path, F_OK), -1);
		if (i == 0)
			restart_teardown(state);
	}
}

static void
keeper_that_is_not_to_take_up_closes_all(void **state)
{
	struct restart *r = *state;

	old_kill(r);
	hand_over(r);
	assert_int_equal(kept_create(r->b.place.base, false, &r->b.k), 0);
	fake_stored_set(0, NULL, NULL);
	assert_int_equal(kept_count(r->b.k), 0);
	wait_for(r->b.place.base, (manager_read(&r->m), r->m.n == 1));
	unlink(r->b.place.path);
}

/* ---- nothing is lost */

static void
descriptors_that_belong_to_nothing_are_closed_and_removed(void **state)
{
	static const char *const names[] = {"", "unknown", "stored", "00", "00m", "00x1", "00m03",
		"00M1", "0am1", "zzm1", "00m1234567", "00i1", "00r0", "00r16", "00b1", "00s76",
		"00mzzz", "register2"};
	struct restart *r = *state;
	const unsigned int before = r->m.n;

	old_kill(r);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		manager_put(&r->m, names[i], eventfd(0, EFD_CLOEXEC));
	restart(r);
	assert_int_equal(kept_count(r->b.k), 2);
	wait_for(r->b.place.base, (manager_read(&r->m), r->m.n == before));
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(manager_fd(&r->m, names[i]), -1);
}

static void
descriptor_that_the_register_was_not_told_of_yet_is_the_device_s(void **state)
{
	struct restart *r = *state;

	old_kill(r);
	manager_put(&r->m, "00m9", eventfd(0, EFD_CLOEXEC));
	restart(r);
	assert_int_equal(kept_count(r->b.k), 2);
	assert_true(manager_fd(&r->m, "00m9") >= 0);
}

static void
name_that_is_there_twice_is_there_once_afterwards(void **state)
{
	struct restart *r = *state;
	const unsigned int before = r->m.n;

	old_kill(r);
	manager_put(&r->m, "00m3", eventfd(0, EFD_CLOEXEC));
	restart(r);
	assert_int_equal(kept_count(r->b.k), 2);
	manager_read(&r->m);
	assert_int_equal(r->m.n, before);
	assert_true(manager_fd(&r->m, "00m3") >= 0);
}

static void
connection_that_is_lost_is_a_client_that_has_gone(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s = old_client(r);

	old_settled(r);
	old_kill(r);
	manager_forget(&r->m, "00c0");
	restart(r);
	assert_true(hung_up(s));
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_GONE);
	assert_hears(b, b->emu, HA_DISCONNECTED);
	emu_says(b, b->emu, HA_GONE_DONE);
	close(s);
	s = client(b);
	close(s);
}

static void
request_whose_descriptors_are_lost_ends_the_connection_not_the_device(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s = old_client(r);

	send_map(s, 5, r->ram);
	old_says(r, HA_REQUEST);
	old_settled(r);
	old_kill(r);
	manager_forget(&r->m, "00r0");
	restart(r);
	assert_true(hung_up(s));
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_GONE);
	close(s);
}

static int
test_kept_restart_damage(void)
{
	const struct CMUnitTest tests[] = {
		R(device_with_a_part_missing_or_damaged_is_dropped_and_named_the_other_goes_on),
		R(slot_of_a_device_that_was_lost_is_free_again),
		R(without_a_register_nothing_goes_on_and_all_is_closed),
		R(keeper_that_is_not_to_take_up_closes_all),
		R(descriptors_that_belong_to_nothing_are_closed_and_removed),
		R(descriptor_that_the_register_was_not_told_of_yet_is_the_device_s),
		R(name_that_is_there_twice_is_there_once_afterwards),
		R(connection_that_is_lost_is_a_client_that_has_gone),
		R(request_whose_descriptors_are_lost_ends_the_connection_not_the_device),
	};

	return cmocka_run_group_tests_name("kept_restart_damage", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(kept_restart_damage, test_kept_restart_damage)
