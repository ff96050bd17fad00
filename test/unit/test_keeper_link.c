/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The controller's end of its connection to the keeper, with the test in the keeper's part. */

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "keeper_link_bench.h"
#include "sock/discard.h"
#include "sock_lingering.h"
#include "virtnet/device_release.h"

#define HANG_SECONDS 20

/* ---- the process */

static void
hello_says_who_is_there(void **state)
{
	(void)state;
	assert_int_equal(t.msg.u.hello.proto, HA_PROTO_VERSION);
	assert_int_equal(t.msg.u.hello.role, HA_ROLE_EMU);
	assert_int_equal(t.msg.u.hello.pid, getpid());
	assert_string_equal(t.msg.u.hello.version, "v" VIRTNET_VERSION);
	assert_true(t.msg.u.hello.n_layouts > 0);
}

static void
a_process_is_parked_until_it_is_told_otherwise(void **state)
{
	(void)state;
	assert_int_equal(keeper_link_role(t.link), KEEPER_PARKED);
	tell_type(HA_WELCOME, 0, 0);
	assert_int_equal(keeper_link_role(t.link), KEEPER_PARKED);
	assert_int_equal(keeper_link_handover(t.link, HA_HANDOVER_UPDATE), -EBUSY);
	t.link->active = true;
	assert_int_equal(keeper_link_role(t.link), KEEPER_ACTIVE);
}

static void
without_a_keeper_a_process_is_active_and_cannot_be_replaced(void **state)
{
	(void)state;
	assert_int_equal(keeper_link_role(NULL), KEEPER_ACTIVE);
	assert_int_equal(keeper_link_handover(NULL, HA_HANDOVER_UPDATE), -ENOTSUP);
	assert_int_equal(keeper_link_status(NULL)->last, 1);
	assert_int_equal(keeper_link_handle(NULL), 0);
	assert_false(keeper_link_away(NULL));
	keeper_link_store(NULL, 1, HA_FD_SF, 0, NULL, 0);
	keeper_link_adopted(NULL, 1, 0, false, NULL);
	keeper_link_released(NULL, 1, 0, NULL);
	keeper_link_destroy(NULL);
}

static void
a_hand_over_that_is_asked_for_is_under_way_at_once_and_until_it_has_ended(void **state)
{
	struct ha_msg end = {.type = HA_STATUS};

	(void)state;
	t.link->active = true;
	assert_int_equal(keeper_link_handover(t.link, HA_HANDOVER_UPDATE), 0);
	assert_int_equal(heard(), HA_HANDOVER);
	assert_int_equal(t.msg.u.handover.kind, HA_HANDOVER_UPDATE);
	assert_int_equal(keeper_link_role(t.link), KEEPER_LEAVING);
	assert_int_equal(keeper_link_handover(t.link, HA_HANDOVER_RESTART), -EBUSY);
	end.u.status.last = -ENOENT;
	strcpy(end.u.status.text, "it is not there");
	tell(&end, NULL, 0);
	assert_int_equal(keeper_link_role(t.link), KEEPER_ACTIVE);
	assert_int_equal(keeper_link_status(t.link)->last, -ENOENT);
	assert_string_equal(keeper_link_status(t.link)->text, "it is not there");
}

static void
handles_are_never_used_again(void **state)
{
	struct ha_msg adopt = {.type = HA_ADOPT};
	const uint32_t first = keeper_link_handle(t.link);
	const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(first > 0);
	assert_int_equal(keeper_link_handle(t.link), first + 1);
	adopt.device = first + 100;
	tell(&adopt, &fd, 1);
	close(fd);
	assert_int_equal(keeper_link_handle(t.link), first + 101);
}

static void
a_device_that_is_not_here_cannot_be_released(void **state)
{
	(void)state;
	tell_type(HA_RELEASE, HANDLE, 0);
	assert_int_equal(heard(), HA_RELEASED);
	assert_int_equal(t.msg.device, HANDLE);
	assert_int_equal(t.msg.u.result.err, -ENOENT);
}

static void
a_device_that_has_not_come_whole_is_not_adopted(void **state)
{
	struct ha_msg fds = {.type = HA_FDS, .device = HANDLE, .u.fds.n = 1};
	const int before = open_fds(), fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	tell(&fds, &fd, 1);
	close(fd);
	tell_type(HA_ADOPT_END, HANDLE, 0);
	assert_int_equal(heard(), HA_ADOPTED);
	assert_int_equal(t.msg.u.result.err, -EPROTO);
	fds_settle(before);
}

static void
what_an_adoption_does_not_take_is_closed(void **state)
{
	const unsigned int before = descriptors();

	(void)state;
	t.ctl.emu_ops = &test_emu_ops; /* which cannot make its function */
	for (unsigned int i = 0; i < 3; i++) {
		send_adoption();
		assert_int_equal(heard(), HA_ADOPTED);
		assert_int_equal(t.msg.u.result.err, -ENODEV);
		fds_settle((int)before);
	}
}

static void
a_device_that_is_being_removed_is_not_let_go(void **state)
{
	struct device dev = {.ctl = &t.ctl, .handle = HANDLE, .phase = DEVICE_REMOVING};

	(void)state;
	TAILQ_INSERT_TAIL(&t.ctl.devices, &dev, next);
	tell_type(HA_RELEASE, HANDLE, 0);
	assert_int_equal(heard(), HA_RELEASED);
	assert_int_equal(t.msg.u.result.err, -ENOENT);
	assert_false(keeper_link_away(t.link));
	TAILQ_REMOVE(&t.ctl.devices, &dev, next);
}

static void
a_device_that_is_removed_while_it_is_being_let_go_is_not(void **state)
{
	/* What is under way with its SF keeps it from going at once. */
	struct device dev = {
		.ctl = &t.ctl, .handle = HANDLE, .phase = DEVICE_LIVE, .sf_changes = 1};

	(void)state;
	TAILQ_INSERT_TAIL(&t.ctl.devices, &dev, next);
	tell_type(HA_RELEASE, HANDLE, 0);
	assert_int_equal(heard(), 0);
	assert_true(device_migrating(&dev));
	device_release_cancel(&dev);
	assert_int_equal(heard(), HA_RELEASED);
	assert_int_equal(t.msg.u.result.err, -ENOENT);
	assert_false(device_migrating(&dev));
	assert_false(keeper_link_away(t.link));
	TAILQ_REMOVE(&t.ctl.devices, &dev, next);
}

static void
messages_of_a_device_that_is_not_here_are_dropped(void **state)
{
	static const enum ha_msg_type types[] = {
		HA_OPENED, HA_CLOSED, HA_CONNECTED, HA_DISCONNECTED, HA_REQUEST};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(types); i++)
		tell_type(types[i], HANDLE, 0);
	assert_int_equal(heard(), 0);
}

/* In a process of its own, what `send` sends ends it. @return its status */
static int
end_of_process(void (*send)(void))
{
	const pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(2);
		alarm(HANG_SECONDS);
		if (t.fence_fd > 0 && fence_attach(dup(t.fence_fd)) < 0)
			_exit(2);
		send();
		for (;;)
			event_base_loop(t.ctl.base, EVLOOP_ONCE);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
send_end(void)
{
	(void)shutdown(ha_conn_fd(t.keeper), SHUT_RDWR);
}

static void
send_garbage(void)
{
	(void)send(ha_conn_fd(t.keeper), "garbage", 7, 0);
}

static void
send_exit(void)
{
	const struct ha_msg msg = {.type = HA_EXIT};

	(void)ha_conn_send(t.keeper, &msg, NULL, 0);
}

static void
send_exit_to_active(void)
{
	t.link->active = true;
	send_exit();
}

static void
the_keeper_decides_when_a_process_ends(void **state)
{
	static const struct {
		void (*send)(void);
		int status;
	} cases[] = {
		{send_end, EXIT_FAILURE},
		{send_garbage, EXIT_FAILURE},
		{send_exit, EXIT_SUCCESS},
		{send_exit_to_active, EXIT_SUCCESS},
	};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(end_of_process(cases[i].send), W_EXITCODE(cases[i].status, 0));
		teardown(NULL);
		setup(NULL);
	}
}

static void
a_process_that_does_not_understand_its_keeper_is_not_taken_for_a_victim(void **state)
{
	static const struct {
		void (*send)(void);
		uint32_t sig;
	} cases[] = {{send_garbage, SIGABRT}, {send_exit, 0}};
	struct ha_fence *fence;

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		assert_int_equal(ha_fence_create(&fence, &t.fence_fd), 0);
		(void)end_of_process(cases[i].send);
		assert_int_equal(fence->signal, cases[i].sig);
		assert_int_equal(fence->crashed, HA_NO_THREAD);
		ha_fence_close(fence);
		close(t.fence_fd);
		teardown(NULL);
		setup(NULL);
	}
}

/* ---- doors: opening and closing */

static void
a_door_opens_with_its_block_when_the_keeper_says_so(void **state)
{
	struct stat mine, came;

	(void)state;
	open_door();
	assert_int_equal(t.msg.device, HANDLE);
	assert_string_equal(t.msg.u.open.path, "/run/x.sock");
	assert_int_equal(t.n_fds, 1);
	assert_int_equal(fstat(t.fds[0], &came), 0);
	assert_int_equal(fstat(state_block_fd(t.block), &mine), 0);
	assert_int_equal(came.st_ino, mine.st_ino);
	assert_int_equal(t.n_opened, 0);
	tell_type(HA_OPENED, HANDLE, 0);
	assert_int_equal(t.n_opened, 1);
	assert_int_equal(t.opened, 0);
}

static void
what_is_said_before_a_door_is_open_is_told_then_in_order(void **state)
{
	const struct emu_notify notify = {
		.region = 2, .multiplier = 4, .offset = 0x3000, .size = 64};
	const int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	make_door(false);
	t.door->ops->set_notify(t.door, &notify);
	t.door->ops->set_kick(t.door, 1, fd);
	t.door->ops->open(t.door, on_opened, NULL);
	keeper_link_store(t.link, HANDLE, HA_FD_SF, 3, &fd, 1);
	close(fd);
	assert_int_equal(heard(), HA_OPEN);
	assert_int_equal(heard(), 0);
	tell_type(HA_OPENED, HANDLE, 0);
	assert_int_equal(heard(), HA_NOTIFY);
	assert_int_equal(t.msg.u.notify.offset, 0x3000);
	assert_int_equal(heard(), HA_KICK);
	assert_int_equal(t.msg.u.kick.queue, 1);
	assert_int_equal(t.msg.u.kick.mode, HA_KICK_EVENTFD);
	assert_int_equal(t.n_fds, 1);
	assert_int_equal(heard(), HA_STORE);
	assert_int_equal(t.msg.u.slot.index, 3);
}

static void
a_door_that_cannot_be_opened_is_never_mentioned_again(void **state)
{
	const int fd = eventfd(0, EFD_CLOEXEC);

	(void)state;
	open_door();
	t.door->ops->set_kick(t.door, 0, fd);
	tell_type(HA_OPENED, HANDLE, -EADDRINUSE);
	assert_int_equal(t.opened, -EADDRINUSE);
	keeper_link_store(t.link, HANDLE, HA_FD_KICK, 0, &fd, 1);
	keeper_link_closed_cb(t.link, HANDLE, on_closed, NULL);
	t.door->ops->close(t.door);
	close(fd);
	assert_int_equal(heard(), 0);
	assert_int_equal(t.n_closed, 0);
	turn();
	assert_int_equal(t.n_closed, 1);
}

static void
a_closed_door_is_gone_when_the_keeper_has_closed_it(void **state)
{
	(void)state;
	make_door(true);
	t.door->ops->close(t.door);
	keeper_link_closed_cb(t.link, HANDLE, on_closed, NULL);
	assert_int_equal(heard(), HA_CLOSE);
	tell_type(HA_CONNECTED, HANDLE, 0);
	assert_int_equal(t.function.connected, 0);
	assert_int_equal(t.n_closed, 0);
	tell_type(HA_CLOSED, HANDLE, 0);
	turn();
	assert_int_equal(t.n_closed, 1);
	assert_null(keeper_door_find(t.link, HANDLE));
}

static void
a_door_closed_while_it_is_being_opened_is_closed_afterwards(void **state)
{
	static const struct {
		int err;
		unsigned int then;
	} cases[] = {{0, HA_CLOSE}, {-EADDRINUSE, 0}};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		open_door();
		t.door->ops->close(t.door);
		assert_int_equal(heard(), 0);
		tell_type(HA_OPENED, HANDLE, cases[i].err);
		assert_int_equal(heard(), cases[i].then);
		tell_type(HA_CLOSED, HANDLE, 0);
		assert_null(keeper_door_find(t.link, HANDLE));
	}
	assert_int_equal(t.n_opened, 0);
}

static void
who_waits_for_a_door_that_is_not_there_is_called_later(void **state)
{
	(void)state;
	keeper_link_closed_cb(t.link, HANDLE, on_closed, NULL);
	assert_int_equal(t.n_closed, 0);
	turn();
	assert_int_equal(t.n_closed, 1);
}

/* ---- doors: what happens there */

static void
a_request_comes_with_its_descriptors_and_leaves_a_crumb(void **state)
{
	(void)state;
	make_door(true);
	request(2);
	assert_int_equal(t.function.requests, 1);
	assert_true(t.function.fds[0] >= 0 && t.function.fds[1] >= 0);
	assert_int_equal(t.function.fds[2], -1);
	assert_int_equal(t.function.crumb.kind, HA_CRUMB_REQUEST);
	assert_int_equal(t.function.crumb.device, HANDLE);
	assert_int_equal(t.function.crumb.seq, SEQ);
	assert_int_equal(fence_self()->crumb.kind, HA_CRUMB_NONE);
	/* Only what was taken stays open. */
	assert_int_equal(fcntl(t.function.fds[1], F_GETFD), -1);
	assert_int_equal(close(t.function.fds[0]), 0);
}

/* The keeper's have been closed before: ours is the last. As many as a request may have. */
static void
request_of(int fd)
{
	const struct ha_msg msg = {.type = HA_REQUEST, .device = HANDLE};
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fds[MAILBOX_FDS_MAX];

	fds[0] = eventfd(0, EFD_CLOEXEC);
	for (unsigned int i = 1; i < MAILBOX_FDS_MAX; i++)
		fds[i] = i == 1 && fd >= 0 ? fd : null;
	assert_int_equal(ha_conn_send(t.keeper, &msg, fds, MAILBOX_FDS_MAX), 0);
	close(fds[0]);
	close(null);
	if (fd >= 0)
		close(fd);
	alarm(HANG_SECONDS);
	turn();
	alarm(0);
	close(t.function.fds[0]);
	t.function.fds[0] = -1;
}

static void
descriptors_that_do_not_close_hold_up_nobody_but_their_client(void **state)
{
	const unsigned int enough = SOCK_CLOSER_MAX / (MAILBOX_FDS_MAX - 1) + 1;
	int before, peer, sock;
	struct lingering s;

	(void)state;
	make_door(true);
	before = open_fds();
	sock = lingering_in_socket(&s, &peer);
	request_of(sock);
	for (unsigned int i = 1; i < enough; i++)
		request_of(-1);
	assert_int_equal(t.function.requests, enough);
	request_of(-1);
	assert_int_equal(t.function.requests, enough);
	assert_int_equal(t.function.refused, 1);
	assert_int_equal(heard(), HA_DISCONNECT);
	/* The next client waits. */
	t.door->ops->gone_done(t.door);
	turn();
	assert_int_equal(heard(), 0);
	close(peer);
	let_go(&s, before);
	alarm(HANG_SECONDS);
	while (heard() != HA_GONE_DONE)
		event_base_loop(t.ctl.base, EVLOOP_ONCE);
	alarm(0);
}

static void
replies_and_the_end_of_a_disconnect_are_told(void **state)
{
	(void)state;
	make_door(true);
	t.door->ops->reply(t.door);
	t.door->ops->gone_done(t.door);
	t.door->ops->set_kick(t.door, 2, -1);
	assert_int_equal(heard(), HA_REPLY);
	assert_int_equal(heard(), HA_GONE_DONE);
	assert_int_equal(heard(), HA_KICK);
	assert_int_equal(t.msg.u.kick.mode, HA_KICK_NONE);
	assert_int_equal(t.n_fds, 0);
}

static void
a_door_knows_whether_a_client_is_there(void **state)
{
	(void)state;
	make_door(true);
	assert_false(t.door->ops->connected(t.door));
	tell_type(HA_CONNECTED, HANDLE, 0);
	assert_true(t.door->ops->connected(t.door));
	tell_type(HA_DISCONNECTED, HANDLE, 0);
	assert_false(t.door->ops->connected(t.door));
	assert_int_equal(t.function.connected, 1);
	assert_int_equal(t.function.disconnected, 1);
}

static void
events_before_or_after_the_function_are_dropped(void **state)
{
	(void)state;
	make_door(true);
	t.emu = NULL;
	request(1);
	tell_type(HA_DISCONNECTED, HANDLE, 0);
	assert_int_equal(t.function.requests, 0);
	assert_int_equal(t.function.disconnected, 0);
}

static void
a_poisonous_request_is_refused_once(void **state)
{
	(void)state;
	make_door(true);
	keeper_door_refuse(keeper_door_find(t.link, HANDLE));
	request(0);
	assert_int_equal(t.function.refused, 1);
	assert_int_equal(t.function.requests, 0);
	request(0);
	assert_int_equal(t.function.requests, 1);
}

static void
a_device_that_is_let_go_hears_of_its_host_only_if_it_stays(void **state)
{
	struct keeper_door *d;

	(void)state;
	make_door(true);
	d = keeper_door_find(t.link, HANDLE);
	keeper_door_hold(d);
	request(1);
	assert_int_equal(t.function.requests, 0);
	keeper_link_released(t.link, HANDLE, -EBUSY, "not now");
	assert_int_equal(heard(), HA_RELEASED);
	assert_int_equal(t.msg.u.result.err, -EBUSY);
	assert_int_equal(t.function.requests, 1);
	close(t.function.fds[0]);
	keeper_door_hold(d);
	request(1);
	tell_type(HA_DISCONNECTED, HANDLE, 0);
	keeper_link_released(t.link, HANDLE, 0, NULL);
	keeper_door_forget(t.door);
	assert_int_equal(t.function.requests, 1);
	assert_int_equal(t.function.disconnected, 0);
}

static void
descriptors_are_stored_in_rows_without_gaps(void **state)
{
	int fds[HA_FDS_MAX + 3];
	const int fd = eventfd(0, EFD_CLOEXEC);
	static const struct {
		uint32_t index, count;
	} rows[] = {{10, 1}, {12, HA_FDS_MAX}, {12 + HA_FDS_MAX, 1}};

	(void)state;
	for (unsigned int i = 0; i < RTE_DIM(fds); i++)
		fds[i] = i == 1 ? -1 : fd;
	make_door(true);
	keeper_link_store(t.link, HANDLE, HA_FD_MSIX, 10, fds, RTE_DIM(fds));
	close(fd);
	for (unsigned int i = 0; i < RTE_DIM(rows); i++) {
		assert_int_equal(heard(), HA_STORE);
		assert_int_equal(t.msg.u.slot.kind, HA_FD_MSIX);
		assert_int_equal(t.msg.u.slot.index, rows[i].index);
		assert_int_equal(t.msg.u.slot.count, rows[i].count);
		assert_int_equal(t.n_fds, rows[i].count);
	}
	assert_int_equal(heard(), 0);
}

static int
test_keeper_link(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_says_who_is_there),
		TEST(a_process_is_parked_until_it_is_told_otherwise),
		TEST(without_a_keeper_a_process_is_active_and_cannot_be_replaced),
		TEST(a_hand_over_that_is_asked_for_is_under_way_at_once_and_until_it_has_ended),
		TEST(handles_are_never_used_again),
		TEST(a_device_that_is_not_here_cannot_be_released),
		TEST(a_device_that_has_not_come_whole_is_not_adopted),
		TEST(what_an_adoption_does_not_take_is_closed),
		TEST(a_device_that_is_being_removed_is_not_let_go),
		TEST(a_device_that_is_removed_while_it_is_being_let_go_is_not),
		TEST(messages_of_a_device_that_is_not_here_are_dropped),
		TEST(the_keeper_decides_when_a_process_ends),
		TEST(a_process_that_does_not_understand_its_keeper_is_not_taken_for_a_victim),
		TEST(a_door_opens_with_its_block_when_the_keeper_says_so),
		TEST(what_is_said_before_a_door_is_open_is_told_then_in_order),
		TEST(a_door_that_cannot_be_opened_is_never_mentioned_again),
		TEST(a_closed_door_is_gone_when_the_keeper_has_closed_it),
		TEST(a_door_closed_while_it_is_being_opened_is_closed_afterwards),
		TEST(who_waits_for_a_door_that_is_not_there_is_called_later),
		TEST(a_request_comes_with_its_descriptors_and_leaves_a_crumb),
		TEST(descriptors_that_do_not_close_hold_up_nobody_but_their_client),
		TEST(replies_and_the_end_of_a_disconnect_are_told),
		TEST(a_door_knows_whether_a_client_is_there),
		TEST(events_before_or_after_the_function_are_dropped),
		TEST(a_poisonous_request_is_refused_once),
		TEST(a_device_that_is_let_go_hears_of_its_host_only_if_it_stays),
		TEST(descriptors_are_stored_in_rows_without_gaps),
	};

	return cmocka_run_group_tests_name("keeper_link", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_link, test_keeper_link)
