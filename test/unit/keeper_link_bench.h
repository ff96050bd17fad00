/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_KEEPER_LINK_BENCH_H
#define TEST_UNIT_KEEPER_LINK_BENCH_H

/**
 * @file
 * A controller's connection to its keeper, with the test in the keeper's part, and a device's door.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "state/state.h"
#include "test.h"
#include "virtnet/fence.h"
#include "virtnet/keeper_internal.h"

#define UNUSED __attribute__((unused))
#define HANDLE 77u
#define SEQ    4711u

/* A function behind a door that writes down what happens to it. */
struct test_emu {
	struct emu emu;
	unsigned int requests, refused, connected, disconnected;
	int fds[MAILBOX_FDS_MAX];
	struct ha_crumb crumb; /* while the request is handled */
};

static struct {
	struct controller ctl;
	struct keeper_link *link;
	struct ha_conn *keeper;
	struct emu *emu; /* what doors see */
	struct test_emu function;
	struct emu_door *door;
	struct state_block *block;
	struct ha_msg msg; /* the last one that came */
	int fds[HA_FDS_MAX];
	unsigned int n_fds;
	int opened, n_opened, n_closed;
	int fence_fd;
} t;

/* ---- bench */

UNUSED static void
emu_request(struct emu *emu, int *fds)
{
	struct test_emu *f = (struct test_emu *)emu;

	f->requests++;
	f->crumb = fence_self()->crumb;
	memcpy(f->fds, fds, sizeof(f->fds));
	fds[0] = -1; /* taken */
}

UNUSED static void
emu_refuse(struct emu *emu)
{
	((struct test_emu *)emu)->refused++;
}

UNUSED static void
emu_connected(struct emu *emu)
{
	((struct test_emu *)emu)->connected++;
}

UNUSED static void
emu_disconnected(struct emu *emu)
{
	((struct test_emu *)emu)->disconnected++;
}

UNUSED static int
emu_create(const struct emu_params *params, struct emu **out)
{
	(void)params;
	(void)out;
	return -ENODEV;
}

static const struct emu_ops test_emu_ops = {
	.name = "test",
	.create = emu_create,
	.request = emu_request,
	.refuse = emu_refuse,
	.connected = emu_connected,
	.disconnected = emu_disconnected,
};

UNUSED static void
turn(void)
{
	event_base_loop(t.ctl.base, EVLOOP_NONBLOCK);
}

/* The next message for the keeper, or 0. */
UNUSED static unsigned int
heard(void)
{
	for (unsigned int i = 0; i < t.n_fds; i++)
		close(t.fds[i]);
	t.n_fds = 0;
	return ha_conn_recv(t.keeper, &t.msg, t.fds, &t.n_fds) == 1 ? t.msg.type : 0;
}

UNUSED static void
tell(const struct ha_msg *msg, const int *fds, unsigned int n)
{
	assert_int_equal(ha_conn_send(t.keeper, msg, fds, n), 0);
	turn();
}

UNUSED static void
tell_type(enum ha_msg_type type, uint32_t device, int err)
{
	const struct ha_msg msg = {.type = type, .device = device, .u.result.err = err};

	tell(&msg, NULL, 0);
}

UNUSED static int
setup(void **state)
{
	static const struct state_section_desc sections[] = {
		{STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(struct mailbox)},
	};
	struct mailbox *mailbox;
	int fd[2];

	(void)state;
	memset(&t, 0, sizeof(t));
	TAILQ_INIT(&t.ctl.devices);
	t.ctl.base = event_base_new();
	assert_int_equal(ha_socketpair(fd), 0);
	assert_int_equal(ha_conn_create(fd[0], &t.keeper), 0);
	assert_int_equal(keeper_link_create(&t.ctl, fd[1], &t.link), 0);
	t.ctl.keeper = t.link;
	assert_int_equal(state_block_create("test", sections, 1, &t.block), 0);
	mailbox =
		state_block_section(t.block, STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(*mailbox));
	mailbox->seq = SEQ;
	t.function.emu.ops = &test_emu_ops;
	t.emu = &t.function.emu;
	assert_int_equal(heard(), HA_HELLO);
	return 0;
}

UNUSED static int
teardown(void **state)
{
	(void)state;
	(void)heard();
	keeper_link_destroy(t.link);
	ha_conn_destroy(t.keeper);
	state_block_close(t.block);
	event_base_free(t.ctl.base);
	return 0;
}

UNUSED static void
on_opened(void *ctx, int err)
{
	(void)ctx;
	t.n_opened++;
	t.opened = err;
}

UNUSED static void
on_closed(void *arg)
{
	(void)arg;
	t.n_closed++;
}

UNUSED static void
make_door(bool open)
{
	const struct ha_open params = {.transport = "test", .vuid = "VUID", .path = "/run/x.sock"};

	assert_int_equal(keeper_door_create(t.link, HANDLE, &params, open, false,
				 state_block_fd(t.block), &t.emu, &t.door),
		0);
}

UNUSED static void
open_door(void)
{
	make_door(false);
	t.door->ops->open(t.door, on_opened, NULL);
	assert_int_equal(heard(), HA_OPEN);
}

/* ---- what comes with descriptors */

UNUSED static unsigned int
descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* All that a device may come with. */
UNUSED static void
send_adoption(void)
{
	static const enum ha_fd_kind kinds[] = {
		HA_FD_DMA, HA_FD_DMA, HA_FD_MSIX, HA_FD_INTX, HA_FD_KICK, HA_FD_SF};
	struct ha_msg adopt = {.type = HA_ADOPT, .device = HANDLE};
	struct ha_msg fds = {.type = HA_FDS, .device = HANDLE, .u.fds.n = RTE_DIM(kinds)};
	const int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	const int block_fd = state_block_fd(t.block);
	int row[RTE_DIM(kinds)];

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		fds.u.fds.slot[i].kind = kinds[i];
		row[i] = fd;
	}
	tell(&adopt, &block_fd, 1);
	tell(&fds, row, RTE_DIM(kinds));
	tell_type(HA_ADOPT_END, HANDLE, 0);
	close(fd);
}

UNUSED static void
request(unsigned int n)
{
	const struct ha_msg msg = {.type = HA_REQUEST, .device = HANDLE};
	int fds[2] = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};

	tell(&msg, fds, n);
	close(fds[0]);
	close(fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif /* TEST_UNIT_KEEPER_LINK_BENCH_H */
