/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Kept devices: the keeper itself is killed, and the next one goes on from what the service manager
 * has kept. Nobody notices.
 */

#include <sys/syscall.h>

#include <linux/kcmp.h>

#include "kept_restart_fixture.h"

static void
devices_go_on_with_all_their_descriptors(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	const int want[][3] = {{HA_FD_KICK, 1, r->kick}, {HA_FD_DMA, 40, r->ram},
		{HA_FD_MSIX, 3, r->irq}, {HA_FD_SF, 0, r->tap}};

	restart(r);
	assert_int_equal(kept_count(b->k), 2);
	assert_string_equal(kept_vuid(device(b)), "VNETS1D0F2");
	assert_true(same_file(kept_block(device(b)), state_block_fd(b->blk)));
	assert_null(kept_owner(device(b)));
	assert_int_equal(kept_give(device(b), b->emu, 0, 0), 0);
	assert_hears(b, b->emu, HA_ADOPT);
	assert_string_equal(b->msg.u.adopt.open.path, b->place.path);
	fds_close(b);
	assert_hears(b, b->emu, HA_FDS);
	assert_int_equal(b->n, 4);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(b->msg.u.fds.slot[i].kind, want[i][0]);
		assert_int_equal(b->msg.u.fds.slot[i].index, want[i][1]);
		assert_true(same_file(b->fds[i], want[i][2]));
	}
	fds_close(b);
}

static void
client_goes_on(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s = old_client(r);

	old_settled(r);
	restart(r);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED);
	send_reset(s, 5);
	pump(b->place.base);
	assert_hears(b, b->emu, HA_REQUEST);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	close(s);
}

static void
clients_may_come_again(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s;

	restart(r);
	s = raw_connect(b->place.path);
	pump(b->place.base);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED);
	close(s);
}

static void
request_that_stood_is_handled_with_its_descriptors(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s = old_client(r);
	unsigned int before;

	old_settled(r);
	before = r->m.n;
	send_map(s, 5, r->ram);
	old_says(r, HA_REQUEST);
	old_settled(r);
	assert_int_equal(r->m.n, before + 1);
	restart(r);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED | HA_ADOPT_REQUEST);
	assert_hears(b, b->emu, HA_REQUEST);
	assert_int_equal(b->n, 1);
	assert_true(same_file(b->fds[0], r->ram));
	fds_close(b);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	manager_read(&r->m);
	assert_int_equal(r->m.n, before);
	close(s);
}

static bool
same_open_file(int a, int b)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) == 0;
}

static void
old_drop(struct restart *r, uint32_t kind, uint32_t index)
{
	const struct ha_msg msg = {.type = HA_DROP,
		.device = DEV,
		.u.slot = {.kind = kind, .index = index, .count = 1}};

	old_told(r, &msg, NULL, 0);
}

/* What a process does with the request that stands, before it replies. */
static void
nothing(struct restart *r, int fd)
{
}

static void
stores_it(struct restart *r, int fd)
{
	old_store(r, DEV, HA_FD_MSIX, 4, fd);
}

static void
stores_it_again(struct restart *r, int fd)
{
	old_store(r, DEV, HA_FD_MSIX, 3, fd);
}

static void
replaces_what_is_kept(struct restart *r, int fd)
{
	const int other = eventfd(0, EFD_CLOEXEC);

	old_store(r, DEV, HA_FD_MSIX, 3, other);
	close(other);
}

static void
drops_what_is_kept(struct restart *r, int fd)
{
	old_drop(r, HA_FD_MSIX, 3);
}

static void
drops_and_stores_it(struct restart *r, int fd)
{
	old_drop(r, HA_FD_MSIX, 3);
	old_store(r, DEV, HA_FD_MSIX, 3, fd);
}

static void
stores_it_and_drops_it(struct restart *r, int fd)
{
	old_store(r, DEV, HA_FD_MSIX, 4, fd);
	old_drop(r, HA_FD_MSIX, 4);
}

/* As a service manager does it that takes nothing twice. */
static void
assert_nothing_twice(const struct manager *m)
{
	for (unsigned int i = 0; i < m->n; i++)
		for (unsigned int k = 0; k < i; k++)
			assert_false(same_open_file(m->fd[i], m->fd[k]));
}

static void
descriptors_of_a_request_are_kept_once_each_and_all_come_back(void **state)
{
	static const struct {
		bool kept; /* as MSIX 3; or it is new */
		void (*handle)(struct restart *r, int fd);
		const char *name; /* under which it is kept */
	} cases[] = {
		{true, nothing, "00m3"},
		{true, stores_it_again, "00m3"},
		{true, replaces_what_is_kept, "00r0"},
		{true, drops_what_is_kept, "00r0"},
		{true, drops_and_stores_it, "00m3"},
		{false, nothing, "00r0"},
		{false, stores_it, "00m4"},
		{false, stores_it_and_drops_it, "00r0"},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct restart *r;
		struct bench *b;
		int fd, s;

		if (i > 0) {
			restart_teardown(state);
			restart_setup(state);
		}
		r = *state;
		b = &r->b;
		s = old_client(r);
		fd = cases[i].kept ? dup(r->irq) : eventfd(0, EFD_CLOEXEC);
		raw_send(s, (struct raw){.id = 5,
				    .command = VFIO_USER_DEVICE_SET_IRQS,
				    .fds = (int[]){fd, fd},
				    .nfds = 2});
		old_says(r, HA_REQUEST);
		cases[i].handle(r, fd);
		old_settled(r);
		assert_nothing_twice(&r->m);
		assert_true(same_open_file(manager_fd(&r->m, cases[i].name), fd));
		restart(r);
		assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED | HA_ADOPT_REQUEST);
		assert_hears(b, b->emu, HA_REQUEST);
		assert_int_equal(b->n, 2);
		assert_true(same_open_file(b->fds[0], fd));
		assert_true(same_open_file(b->fds[1], fd));
		fds_close(b);
		mailbox_answer(b->mb);
		emu_says(b, b->emu, HA_REPLY);
		assert_reply(s, 5, 0);
		manager_read(&r->m);
		assert_int_equal(manager_fd(&r->m, "00r0"), -1);
		assert_int_equal(manager_fd(&r->m, "00r1"), -1);
		close(fd);
		close(s);
	}
}

/* Vectors of DEV that come with the next keeper, and whether each is the same eventfd. */
static void
assert_vectors(struct restart *r, uint32_t vectors, int fd)
{
	struct bench *b = &r->b;
	uint32_t found = 0;

	assert_int_equal(kept_count(b->k), 2);
	assert_int_equal(kept_give(device(b), b->emu, 0, 0), 0);
	assert_hears(b, b->emu, HA_ADOPT);
	fds_close(b);
	assert_hears(b, b->emu, HA_FDS);
	for (unsigned int i = 0; i < b->n; i++) {
		if (b->msg.u.fds.slot[i].kind != HA_FD_MSIX)
			continue;
		found |= 1u << b->msg.u.fds.slot[i].index;
		assert_true(same_open_file(b->fds[i], fd));
	}
	fds_close(b);
	assert_int_equal(found, vectors);
}

static void
one_eventfd_for_many_vectors_is_kept_for_each(void **state)
{
	struct restart *r = *state;

	for (uint32_t vector = 4; vector < 8; vector++)
		old_store(r, DEV, HA_FD_MSIX, vector, r->irq);
	old_settled(r);
	assert_nothing_twice(&r->m);
	restart(r);
	assert_vectors(r, 0xf8, r->irq);
}

static void
vectors_of_one_eventfd_come_and_go_and_change(void **state)
{
	static const struct {
		void (*handle)(struct restart *r, int fd);
		uint32_t vectors;
	} cases[] = {
		{stores_it, 0x18},
		{stores_it_again, 0x8},
		{stores_it_and_drops_it, 0x8},
		{drops_what_is_kept, 0},
		{drops_and_stores_it, 0x8},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct restart *r;

		if (i > 0) {
			restart_teardown(state);
			restart_setup(state);
		}
		r = *state;
		old_store(r, DEV, HA_FD_MSIX, 7, r->irq);
		cases[i].handle(r, r->irq);
		old_settled(r);
		assert_nothing_twice(&r->m);
		restart(r);
		assert_vectors(r, cases[i].vectors | 0x80, r->irq);
	}
}

static void
one_eventfd_of_two_devices_is_kept_for_both(void **state)
{
	struct restart *r = *state;

	old_store(r, DEV + 1, HA_FD_MSIX, 3, r->irq);
	old_settled(r);
	assert_nothing_twice(&r->m);
	assert_true(manager_fd(&r->m, "01M3") >= 0);
	restart(r);
	assert_vectors(r, 0x8, r->irq);
	/* Its first owner goes, the other one keeps it. */
	emu_says(&r->b, r->b.emu, HA_CLOSE);
	wait_for(r->b.place.base, kept_closing(r->b.k) == 0 || (manager_read(&r->m), false));
	assert_int_equal(manager_fd(&r->m, "00m3"), -1);
	assert_true(manager_fd(&r->m, "01M3") >= 0);
}

static void
wrapped_descriptor_survives_keeper_after_keeper(void **state)
{
	struct restart *r = *state;

	old_store(r, DEV, HA_FD_MSIX, 4, r->irq);
	old_settled(r);
	old_kill(r);
	old_start(r, true);
	old_says(r, HA_ADOPT);
	old_says(r, HA_FDS);
	old_says(r, HA_ADOPT_END);
	old_drop(r, HA_FD_MSIX, 3);
	old_store(r, DEV, HA_FD_MSIX, 5, r->irq);
	old_settled(r);
	assert_nothing_twice(&r->m);
	restart(r);
	assert_vectors(r, 0x30, r->irq);
}

static void
reply_that_was_not_sent_is_sent(void **state)
{
	struct restart *r = *state;
	int s = old_client(r);

	send_reset(s, 5);
	old_says(r, HA_REQUEST);
	old_settled(r);
	mailbox_answer(r->b.mb);
	restart(r);
	assert_reply(s, 5, 0);
	assert_no_reply(s);
	assert_int_equal(emu_adopts(&r->b).flags, HA_ADOPT_CONNECTED);
	close(s);
}

static void
disconnect_that_nobody_dealt_with_is_told_of(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s = old_client(r);

	close(s);
	old_says(r, HA_DISCONNECTED);
	old_settled(r);
	restart(r);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_GONE);
	assert_hears(b, b->emu, HA_DISCONNECTED);
	emu_says(b, b->emu, HA_GONE_DONE);
	s = client(b);
	close(s);
}

static void
client_that_went_while_no_keeper_was_there_is_noticed(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s = old_client(r);

	old_settled(r);
	old_kill(r);
	close(s);
	restart(r);
	pump(b->place.base);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_GONE);
	assert_hears(b, b->emu, HA_DISCONNECTED);
}

static void
doorbells_ring_before_anybody_has_the_device(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	struct {
		struct vfio_user_region_access a;
		uint16_t value;
	} body = {.a = {.offset = 0x3004, .region = 2, .count = 2}};
	const struct raw ring = {.id = 6,
		.command = VFIO_USER_REGION_WRITE,
		.body = &body,
		.len = sizeof(body.a) + 2};
	int s = old_client(r);

	send_reset(s, 5);
	old_says(r, HA_REQUEST);
	b->mb->negotiated_seq = b->mb->seq;
	mailbox_answer(b->mb);
	old_hears(r, HA_REPLY);
	await_reply(s);
	assert_reply(s, 5, 0);
	old_settled(r);
	restart(r);
	raw_send(s, ring);
	pump(b->place.base);
	assert_reply(s, 6, 0);
	assert_int_equal(eventfd_take(r->kick), 1);
	/* A queue without an eventfd: its doorbell is the next owner's. */
	body.a.offset = 0x3008;
	raw_send(s, ring);
	pump(b->place.base);
	assert_no_reply(s);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED | HA_ADOPT_REQUEST);
	close(s);
}

static void
second_restart_finds_what_the_first_one_found(void **state)
{
	struct restart *r = *state;
	struct bench *b = &r->b;
	int s = old_client(r);

	send_map(s, 5, r->ram);
	old_says(r, HA_REQUEST);
	old_settled(r);
	old_kill(r);
	old_start(r, true);
	old_says(r, HA_ADOPT);
	old_says(r, HA_FDS);
	old_says(r, HA_ADOPT_END);
	old_says(r, HA_REQUEST);
	old_store(r, DEV, HA_FD_MSIX, 9, r->irq);
	old_settled(r);
	restart(r);
	assert_int_equal(kept_count(b->k), 2);
	assert_int_equal(emu_adopts(b).flags, HA_ADOPT_CONNECTED | HA_ADOPT_REQUEST);
	assert_hears(b, b->emu, HA_REQUEST);
	fds_close(b);
	mailbox_answer(b->mb);
	emu_says(b, b->emu, HA_REPLY);
	assert_reply(s, 5, 0);
	assert_true(manager_fd(&r->m, "00M9") >= 0); /* the second one of its kind */
	close(s);
}

static void
block_that_was_converted_is_the_one_that_goes_on(void **state)
{
	const struct ha_msg msg = {.type = HA_BLOCK, .device = DEV};
	struct restart *r = *state;
	struct state_block *blk = block_new("VNETS1D0F2");
	int fd = state_block_fd(blk);

	old_told(r, &msg, &fd, 1);
	old_settled(r);
	assert_int_equal(manager_fd(&r->m, "00b0"), -1);
	restart(r);
	assert_true(same_file(kept_block(device(&r->b)), state_block_fd(blk)));
	state_block_close(blk);
}

static void
what_is_dropped_or_closed_is_not_kept(void **state)
{
	const struct ha_msg drop = {.type = HA_DROP,
		.device = DEV,
		.u.slot = {.kind = HA_FD_DMA, .index = 0, .count = 65536}};
	struct restart *r = *state;
	const unsigned int before = r->m.n;

	old_told(r, &drop, NULL, 0);
	old_settled(r);
	assert_int_equal(r->m.n, before - 1);
	assert_int_equal(manager_fd(&r->m, "00d14"), -1);
	old_hears(r, HA_CLOSE);
	/* It waits for the manager to let go of everything, too. */
	old_says(r, HA_CLOSED);
	assert_int_equal(r->m.n, 4); /* the register, and the other device's */
	restart(r);
	assert_int_equal(kept_count(r->b.k), 1);
	assert_null(kept_find(r->b.k, DEV));
}

static void
device_that_the_manager_has_no_room_for_ends_with_the_keeper(void **state)
{
	struct restart *r = *state;
	/* All that are stored are here up to four times. */
	const struct rlimit was = need_descriptors(4 * 4000);

	/* The old keeper needs more, too. */
	prlimit(r->old, RLIMIT_NOFILE, &(struct rlimit){was.rlim_max, was.rlim_max}, NULL);
	/* Two kinds, for there are 2048 vectors only. */
	for (uint32_t i = 0; i < 4000; i++) {
		old_store(r, DEV, i % 2 == 0 ? HA_FD_DMA : HA_FD_MSIX, i / 2, r->irq);
		if (i % 64 == 0)
			old_settled(r);
	}
	old_settled(r);
	while (r->m.n > 4) {
		manager_poll(&r->m);
		manager_read(&r->m);
	}
	assert_int_equal(r->m.n, 4); /* nothing of it */
	restart(r);
	assert_int_equal(kept_count(r->b.k), 1);
	assert_non_null(kept_find(r->b.k, DEV + 1));
	setrlimit(RLIMIT_NOFILE, &was);
}

static void
thousand_devices_go_on(void **state)
{
	struct restart *r = *state;
	const struct rlimit was = need_descriptors(4 * 4000);
	char path[128];

	old_kill(r);
	unlink(r->b.place.path);
	unlink(r->second_path);
	while (r->m.n > 0)
		manager_close(&r->m, 0);
	old_start(r, false);
	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "%s/%u", r->b.place.dir, i);
		state_block_close(old_open(r, 100 + i, path, "VNETS1D0F2"));
		old_store(r, 100 + i, HA_FD_SF, 0, r->tap);
	}
	old_settled(r);
	assert_int_equal(r->m.n, 3001);
	restart(r);
	assert_int_equal(kept_count(r->b.k), 1000);
	kept_destroy(r->b.k);
	r->b.k = NULL;
	setrlimit(RLIMIT_NOFILE, &was);
}

static void
keeper_that_ends_in_order_leaves_nothing(void **state)
{
	struct restart *r = *state;

	restart(r);
	kept_destroy(r->b.k);
	r->b.k = NULL;
	manager_read(&r->m);
	assert_int_equal(r->m.n, 0);
	assert_int_equal(access(r->b.place.path, F_OK), -1);
}

static int
test_kept_restart(void)
{
	const struct CMUnitTest tests[] = {
		R(devices_go_on_with_all_their_descriptors),
		R(client_goes_on),
		R(clients_may_come_again),
		R(request_that_stood_is_handled_with_its_descriptors),
		R(descriptors_of_a_request_are_kept_once_each_and_all_come_back),
		R(one_eventfd_for_many_vectors_is_kept_for_each),
		R(vectors_of_one_eventfd_come_and_go_and_change),
		R(one_eventfd_of_two_devices_is_kept_for_both),
		R(wrapped_descriptor_survives_keeper_after_keeper),
		R(reply_that_was_not_sent_is_sent),
		R(disconnect_that_nobody_dealt_with_is_told_of),
		R(client_that_went_while_no_keeper_was_there_is_noticed),
		R(doorbells_ring_before_anybody_has_the_device),
		R(second_restart_finds_what_the_first_one_found),
		R(block_that_was_converted_is_the_one_that_goes_on),
		R(what_is_dropped_or_closed_is_not_kept),
		R(device_that_the_manager_has_no_room_for_ends_with_the_keeper),
		R(thousand_devices_go_on),
		R(keeper_that_ends_in_order_leaves_nothing),
	};

	return cmocka_run_group_tests_name("kept_restart", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(kept_restart, test_kept_restart)
