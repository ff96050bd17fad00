/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_KEPT_RESTART_FIXTURE_H
#define TEST_UNIT_KEPT_RESTART_FIXTURE_H

/**
 * @file
 * A keeper in a process of its own, which is killed, and its successor in the test's process: the
 * test is their service manager, their emu process and their client.
 */

#include <signal.h>
#include <sys/prctl.h>

#include "ha/conn.h"
#include "kept_fixture.h"
#include "service_manager.h"

struct restart {
	struct bench b; /* of the successor */
	struct manager m;
	pid_t old;
	struct ha_conn *conn; /* the old keeper's emu process is the test */
	int kick, ram, irq, tap;
	int handed[MANAGER_STORE_MAX];
	struct state_block *second; /* of device DEV + 1 */
	char second_path[96];
};

/* ---- the old keeper */

UNUSED static void
on_emu(evutil_socket_t fd, short what, void *arg)
{
	void **kept_and_child = arg;
	struct child *ch = kept_and_child[1];
	int fds[HA_FDS_MAX];
	struct ha_msg msg;
	unsigned int n;

	while (ha_conn_recv(fake_child_conn(ch), &msg, fds, &n) == 1) {
		if (kept_message(kept_and_child[0], ch, &msg, fds, n) < 0)
			_exit(3);
		for (unsigned int i = 0; i < n; i++)
			if (fds[i] >= 0)
				close(fds[i]);
	}
}

UNUSED static void
keeper_main(int fd, bool take_up)
{
	struct event_base *base = event_base_new();
	struct child *ch = fake_child_on(fd);
	struct kept *k;
	void *arg[2];
	struct event *ev;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (kept_create(base, take_up, &k) < 0)
		_exit(2);
	arg[0] = k;
	arg[1] = ch;
	if (take_up && (kept_first(k) == NULL || kept_give(kept_first(k), ch, 0, 0) < 0))
		_exit(2);
	ev = event_new(base, fd, EV_READ | EV_PERSIST, on_emu, arg);
	event_add(ev, NULL);
	event_base_dispatch(base);
	_exit(1);
}

/* What the manager holds, as the next keeper gets it. */
UNUSED static void
hand_over(struct restart *r)
{
	manager_read(&r->m);
	for (unsigned int i = 0; i < r->m.n; i++)
		r->handed[i] = fcntl(r->m.fd[i], F_DUPFD_CLOEXEC, 0);
	fake_stored_set(r->m.n, r->handed, r->m.name);
}

UNUSED static void
old_start(struct restart *r, bool take_up)
{
	int fd[2];

	assert_int_equal(ha_socketpair(fd), 0);
	if (take_up)
		hand_over(r);
	r->old = fork();
	assert_true(r->old >= 0);
	if (r->old == 0) {
		close(fd[1]);
		keeper_main(fd[0], take_up);
	}
	close(fd[0]);
	if (take_up)
		close_all((int)r->m.n, r->handed);
	assert_int_equal(ha_conn_create(fd[1], &r->conn), 0);
}

UNUSED static void
old_kill(struct restart *r)
{
	int status;

	if (r->old <= 0)
		return;
	kill(r->old, SIGKILL);
	waitpid(r->old, &status, 0);
	assert_true(WIFSIGNALED(status));
	r->old = 0;
	ha_conn_destroy(r->conn);
}

UNUSED static void
old_told(struct restart *r, const struct ha_msg *msg, const int *fds, unsigned int n)
{
	assert_int_equal(ha_conn_send(r->conn, msg, fds, n), 0);
}

/* The next message of the old keeper; its descriptors are closed. */
UNUSED static void
old_says(struct restart *r, enum ha_msg_type type)
{
	struct pollfd p[] = {
		{.fd = ha_conn_fd(r->conn), .events = POLLIN}, {.fd = r->m.sock, .events = POLLIN}};

	alarm(SECONDS);
	while (poll(p, 2, -1) > 0 && p[0].revents == 0)
		manager_read(&r->m);
	alarm(0);
	assert_int_equal(ha_conn_recv(r->conn, &r->b.msg, r->b.fds, &r->b.n), 1);
	fds_close(&r->b);
	assert_int_equal(r->b.msg.type, type);
}

UNUSED static void
old_store(struct restart *r, uint32_t device, uint32_t kind, uint32_t index, int fd)
{
	const struct ha_msg msg = {.type = HA_STORE,
		.device = device,
		.u.slot = {.kind = kind, .index = index, .count = 1}};

	old_told(r, &msg, &fd, 1);
}

UNUSED static void
old_hears(struct restart *r, enum ha_msg_type type)
{
	const struct ha_msg msg = {.type = (uint16_t)type, .device = DEV};

	old_told(r, &msg, NULL, 0);
}

/* Everything that the old keeper has been told has reached the manager: it says so by a word that
 * nothing else is answered with. */
UNUSED static void
old_settled(struct restart *r)
{
	struct ha_msg msg = open_message("/nowhere/at/all");
	int fd = state_block_fd(r->b.blk);

	msg.device = 4711;
	old_told(r, &msg, &fd, 1);
	old_says(r, HA_OPENED);
	manager_read(&r->m);
}

UNUSED static struct state_block *
old_open(struct restart *r, uint32_t device, const char *path, const char *vuid)
{
	struct ha_msg msg = open_message(path);
	struct state_block *blk = block_new(vuid);
	int fd = state_block_fd(blk);

	msg.device = device;
	strcpy(msg.u.open.vuid, vuid);
	old_told(r, &msg, &fd, 1);
	old_says(r, HA_OPENED);
	assert_int_equal(r->b.msg.u.result.err, 0);
	return blk;
}

UNUSED static int
old_client(struct restart *r)
{
	int s = raw_connect(r->b.place.path);

	old_says(r, HA_CONNECTED);
	return s;
}

UNUSED static void
await_reply(int s)
{
	struct pollfd p = {.fd = s, .events = POLLIN};

	alarm(SECONDS);
	poll(&p, 1, -1);
	alarm(0);
}

/* ---- device DEV in slot 0 with one descriptor of each kind, DEV + 1 in slot 1 with a TAP */

UNUSED static void
devices_open(struct restart *r)
{
	const struct ha_msg notify = {.type = HA_NOTIFY,
		.device = DEV,
		.u.notify = {.region = 2, .multiplier = 4, .offset = 0x3000, .size = 16}};
	const struct ha_msg kick = {
		.type = HA_KICK, .device = DEV, .u.kick = {.queue = 1, .mode = HA_KICK_EVENTFD}};

	r->b.blk = old_open(r, DEV, r->b.place.path, "VNETS1D0F2");
	r->b.mb = block_mailbox(r->b.blk);
	r->second = old_open(r, DEV + 1, r->second_path, "VNETS1D0F3");
	old_told(r, &notify, NULL, 0);
	old_told(r, &kick, &r->kick, 1);
	old_store(r, DEV, HA_FD_DMA, 40, r->ram);
	old_store(r, DEV, HA_FD_MSIX, 3, r->irq);
	old_store(r, DEV, HA_FD_SF, 0, r->tap);
	old_store(r, DEV + 1, HA_FD_SF, 0, r->tap);
	old_settled(r);
}

UNUSED static int
restart_setup(void **state)
{
	struct restart *r = calloc(1, sizeof(*r));

	klog_set_level(KLOG_ERR);
	r->b.fds_before = open_fds();
	place_make(&r->b.place);
	snprintf(r->second_path, sizeof(r->second_path), "%s/second", r->b.place.dir);
	manager_start(&r->m, r->b.place.dir, "4000");
	r->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->ram = memfd("ram");
	r->tap = memfd("tap");
	r->b.emu = fake_child_new();
	old_start(r, false);
	devices_open(r);
	*state = r;
	return 0;
}

/* The old keeper dies, the next one takes up what there is. */
UNUSED static void
restart(struct restart *r)
{
	old_kill(r);
	hand_over(r);
	assert_int_equal(kept_create(r->b.place.base, true, &r->b.k), 0);
	fake_stored_set(0, NULL, NULL);
	pump(r->b.place.base);
}

UNUSED static int
restart_teardown(void **state)
{
	struct restart *r = *state;

	old_kill(r);
	kept_destroy(r->b.k);
	fake_child_free(r->b.emu);
	state_block_close(r->b.blk);
	state_block_close(r->second);
	close_all(4, (int[]){r->kick, r->irq, r->ram, r->tap});
	manager_stop(&r->m);
	unlink(r->second_path);
	place_remove(&r->b.place);
	fds_settle(r->b.fds_before);
	free(r);
	return 0;
}

#define R(name) cmocka_unit_test_setup_teardown(name, restart_setup, restart_teardown)

#endif /* TEST_UNIT_KEPT_RESTART_FIXTURE_H */
