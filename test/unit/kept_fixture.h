/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_KEPT_FIXTURE_H
#define TEST_UNIT_KEPT_FIXTURE_H

/**
 * @file
 * Shared by the suites of the kept devices: a keeper's devices, processes that are played by the
 * test (kept_fakes.c), state blocks and clients.
 */

#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "ha/kept.h"
#include "ha/klog.h"
#include "kept_fakes.h"
#include "state/state.h"
#include "vfio_user_fixture.h"

#define DEV	7u
#define QUEUES	4u
#define SECONDS 20 /* until a test that waits for something has failed */

/* More than the usual soft limit. @return the limit to go back to */
UNUSED static struct rlimit
need_descriptors(rlim_t n)
{
	struct rlimit was, more;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	if (was.rlim_max < n)
		skip();
	more = (struct rlimit){.rlim_cur = was.rlim_max, .rlim_max = was.rlim_max};
	setrlimit(RLIMIT_NOFILE, &more);
	return was;
}

/* ---- state blocks */

UNUSED static struct state_block *
block_new(const char *vuid)
{
	static const struct state_section_desc sections[] = {
		{.id = STATE_SEC_PCI, .version = 1, .size = 4096},
		{.id = STATE_SEC_MAILBOX,
			.version = MAILBOX_VERSION,
			.size = sizeof(struct mailbox)},
	};
	struct state_block *blk = NULL;

	assert_int_equal(state_block_create(vuid, sections, 2, &blk), 0);
	return blk;
}

UNUSED static struct mailbox *
block_mailbox(const struct state_block *blk)
{
	struct mailbox *mb = state_block_section(
		blk, STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(struct mailbox));

	assert_non_null(mb);
	return mb;
}

/* The request that stands is answered, as a device side does it. */
UNUSED static void
mailbox_answer(struct mailbox *mb)
{
	struct vfio_user_header hdr;

	assert_int_equal(atomic_load(&mb->state), MAILBOX_REQUEST);
	memcpy(&hdr, mb->header, sizeof(hdr));
	hdr.flags = VFIO_USER_F_TYPE_REPLY;
	hdr.size = VFIO_USER_HEADER_SIZE;
	mb->reply_len = 0;
	memcpy(mb->reply_header, &hdr, sizeof(hdr));
	atomic_store(&mb->state, MAILBOX_REPLY);
}

/* The request that stands ends without an answer, as vfio_user_device_reset_connection() does. */
UNUSED static void
mailbox_end(struct mailbox *mb)
{
	if (atomic_load(&mb->state) != MAILBOX_REQUEST)
		return;
	mb->reply_wanted = 0;
	mb->close = 0;
	atomic_store(&mb->state, MAILBOX_REPLY);
}

/* ---- bench */

struct bench {
	struct place place;
	struct kept *k;
	struct child *emu;	 /* the process that has the devices */
	struct state_block *blk; /* of DEV, as the process sees it */
	struct mailbox *mb;
	int fds_before;
	struct ha_msg msg; /* received last by a process */
	int fds[HA_FDS_MAX];
	unsigned int n;
};

/* A message from a process; descriptors are duplicated on the way, as the kernel does it. */
UNUSED static int
emu_says_with(struct bench *b, struct child *emu, const struct ha_msg *msg, const int *fds,
	unsigned int n)
{
	int copy[HA_FDS_MAX], ret;

	for (unsigned int i = 0; i < n; i++)
		copy[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
	ret = kept_message(b->k, emu, msg, copy, n);
	for (unsigned int i = 0; i < n; i++)
		if (copy[i] >= 0)
			close(copy[i]);
	return ret;
}

UNUSED static int
emu_says(struct bench *b, struct child *emu, enum ha_msg_type type)
{
	const struct ha_msg msg = {.type = (uint16_t)type, .device = DEV};

	return emu_says_with(b, emu, &msg, NULL, 0);
}

UNUSED static int
emu_slot(struct bench *b, enum ha_msg_type type, uint32_t kind, uint32_t index, uint32_t count,
	const int *fds, unsigned int n)
{
	const struct ha_msg msg = {.type = (uint16_t)type,
		.device = DEV,
		.u.slot = {.kind = kind, .index = index, .count = count}};

	return emu_says_with(b, b->emu, &msg, fds, n);
}

UNUSED static int
emu_store(struct bench *b, uint32_t kind, uint32_t index, int fd)
{
	return emu_slot(b, HA_STORE, kind, index, 1, &fd, 1);
}

UNUSED static int
emu_kick(struct bench *b, uint32_t queue, enum ha_kick_mode mode, int fd)
{
	const struct ha_msg msg = {
		.type = HA_KICK, .device = DEV, .u.kick = {.queue = queue, .mode = mode}};

	return emu_says_with(b, b->emu, &msg, &fd, fd >= 0 ? 1 : 0);
}

UNUSED static struct ha_msg
open_message(const char *path)
{
	struct ha_msg msg = {.type = HA_OPEN, .device = DEV};

	strcpy(msg.u.open.transport, "vfio_user");
	strcpy(msg.u.open.vuid, "VNETS1D0F2");
	snprintf(msg.u.open.path, sizeof(msg.u.open.path), "%s", path);
	msg.u.open.gid = -1;
	msg.u.open.max_queues = QUEUES;
	return msg;
}

/* The next message to a process, at once; its descriptors in b->fds. @return its type or 0 */
UNUSED static unsigned int
emu_hears(struct bench *b, struct child *emu)
{
	b->n = 0;
	return fake_child_recv(emu, &b->msg, b->fds, &b->n) ? b->msg.type : 0;
}

#define assert_hears(b, emu, t) assert_int_equal(emu_hears(b, emu), t)

UNUSED static void
fds_close(struct bench *b)
{
	for (unsigned int i = 0; i < b->n; i++)
		if (b->fds[i] >= 0)
			close(b->fds[i]);
	b->n = 0;
}

UNUSED static void
device_open(struct bench *b)
{
	const struct ha_msg msg = open_message(b->place.path);
	int fd;

	b->blk = block_new("VNETS1D0F2");
	b->mb = block_mailbox(b->blk);
	fd = state_block_fd(b->blk);
	assert_int_equal(emu_says_with(b, b->emu, &msg, &fd, 1), 0);
	assert_hears(b, b->emu, HA_OPENED);
	assert_int_equal(b->msg.u.result.err, 0);
}

/* Wait for what another thread or process is going to do. */
#define wait_for(base, condition)                                                                  \
	do {                                                                                       \
		alarm(SECONDS);                                                                    \
		while (!(condition)) {                                                             \
			event_base_loop(base, EVLOOP_NONBLOCK);                                    \
			sched_yield();                                                             \
		}                                                                                  \
		alarm(0);                                                                          \
	} while (0)

UNUSED static int
bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	klog_set_level(KLOG_ERR);
	b->fds_before = open_fds();
	place_make(&b->place);
	b->emu = fake_child_new();
	assert_int_equal(kept_create(b->place.base, false, &b->k), 0);
	*state = b;
	return 0;
}

UNUSED static int
bench_open(void **state)
{
	bench_setup(state);
	device_open(*state);
	return 0;
}

/* Every test ends with as many descriptors as it began with. */
UNUSED static int
bench_teardown(void **state)
{
	struct bench *b = *state;

	kept_destroy(b->k);
	assert_int_equal(access(b->place.path, F_OK), -1);
	fake_child_free(b->emu);
	state_block_close(b->blk);
	place_remove(&b->place);
	fds_settle(b->fds_before);
	free(b);
	return 0;
}

/* The process is dead; another one takes its place. */
UNUSED static void
emu_replaced(struct bench *b)
{
	kept_forget(b->k, b->emu);
	fake_child_free(b->emu);
	b->emu = fake_child_new();
}

UNUSED static struct kept_device *
device(struct bench *b)
{
	struct kept_device *d = kept_find(b->k, DEV);

	assert_non_null(d);
	return d;
}

/* Give DEV to the process; its ADOPT is left in b->msg, descriptors of FDS are closed. */
UNUSED static struct ha_adopt
emu_adopts(struct bench *b)
{
	struct ha_adopt adopt;

	assert_int_equal(kept_give(device(b), b->emu, 0, 0), 0);
	assert_hears(b, b->emu, HA_ADOPT);
	assert_int_equal(b->n, 1);
	assert_true(same_file(b->fds[0], kept_block(device(b))));
	adopt = b->msg.u.adopt;
	fds_close(b);
	while (emu_hears(b, b->emu) == HA_FDS)
		fds_close(b);
	assert_int_equal(b->msg.type, HA_ADOPT_END);
	return adopt;
}

/* A client whose version the device side has accepted. */
UNUSED static int
client(struct bench *b)
{
	int s = raw_connect(b->place.path);

	pump(b->place.base);
	assert_hears(b, b->emu, HA_CONNECTED);
	return s;
}

UNUSED static void
send_reset(int s, uint16_t id)
{
	raw_send(s, (struct raw){.id = id, .command = VFIO_USER_DEVICE_RESET});
}

UNUSED static void
send_map(int s, uint16_t id, int fd)
{
	raw_send(s, (struct raw){.id = id, .command = VFIO_USER_DMA_MAP, .fds = &fd, .nfds = 1});
}

#define T(name) cmocka_unit_test_setup_teardown(name, bench_open, bench_teardown)

#endif /* TEST_UNIT_KEPT_FIXTURE_H */
