/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_HA_CONN_FIXTURE_H
#define TEST_UNIT_HA_CONN_FIXTURE_H

/**
 * @file
 * Shared by the suites of the connection between keeper and emu process: its two ends, packets past
 * the sender's checks, a message of each type.
 */

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ha/conn.h"
#include "test.h"

#define UNUSED	  __attribute__((unused))

#define LAST_TYPE 80

UNUSED static int
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* ---- Two ends; each test must give back every descriptor. */

struct ends {
	struct ha_conn *a, *b;
	int before;	   /* descriptors open */
	struct ha_msg msg; /* received last by ends_recv() */
	int fds[HA_FDS_MAX];
	unsigned int n;
};

UNUSED static int
ends_open(void **state)
{
	struct ends *e = calloc(1, sizeof(*e));
	int fd[2];

	e->before = open_fds();
	assert_int_equal(ha_socketpair(fd), 0);
	assert_int_equal(ha_conn_create(fd[0], &e->a), 0);
	assert_int_equal(ha_conn_create(fd[1], &e->b), 0);
	*state = e;
	return 0;
}

UNUSED static void
received_close(struct ends *e)
{
	for (unsigned int i = 0; i < e->n; i++)
		close(e->fds[i]);
	e->n = 0;
}

UNUSED static int
ends_close(void **state)
{
	struct ends *e = *state;

	received_close(e);
	ha_conn_destroy(e->a);
	ha_conn_destroy(e->b);
	assert_int_equal(open_fds(), e->before);
	free(e);
	return 0;
}

UNUSED static int
ends_recv(struct ends *e)
{
	received_close(e);
	return ha_conn_recv(e->b, &e->msg, e->fds, &e->n);
}

/* A packet past all checks of ha_conn_send(). */
UNUSED static void
send_raw(struct ends *e, const void *packet, size_t size, const int *fds, unsigned int n)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)packet, .iov_len = size};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	char ctl[CMSG_SPACE(253 * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct cmsghdr *cm = (struct cmsghdr *)ctl;

	if (n > 0) {
		mh.msg_control = ctl;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		*cm = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(n * sizeof(int))};
		memcpy(CMSG_DATA(cm), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(ha_conn_fd(e->a), &mh, MSG_NOSIGNAL), size);
}

UNUSED static void
send_raw_msg(struct ends *e, const struct ha_msg *msg, const int *fds, unsigned int n)
{
	send_raw(e, msg, HA_MSG_HEADER + msg->len, fds, n);
}

/* Eventfds that hold 1, 2, ...: their numbers tell them apart at the other end. */
UNUSED static void
eventfds(int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		fds[i] = eventfd(i + 1, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(fds[i] >= 0);
	}
}

UNUSED static void
close_all(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
}

UNUSED static uint64_t
eventfd_value(int fd)
{
	uint64_t v = 0;

	return read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

/* ---- A message of each type, with every byte of its argument in use. */

UNUSED static bool
type_exists(unsigned int type)
{
	return strcmp(ha_msg_name(type), "unknown") != 0;
}

/* Bytes of u, as the types are documented in msg.h. */
UNUSED static unsigned int
length_of(unsigned int type)
{
	switch (type) {
	case HA_HELLO:
	case HA_CONVERT:
		return sizeof(struct ha_hello);
	case HA_OPEN:
		return sizeof(struct ha_open);
	case HA_NOTIFY:
		return sizeof(struct ha_notify);
	case HA_KICK:
		return sizeof(struct ha_kick);
	case HA_STORE:
	case HA_DROP:
		return sizeof(struct ha_slot);
	case HA_FDS:
		return sizeof(uint32_t) + 3 * 2 * sizeof(uint16_t);
	case HA_ADOPT:
		return sizeof(struct ha_adopt);
	case HA_RELEASED:
	case HA_ADOPTED:
	case HA_CONVERTED:
	case HA_OPENED:
	case HA_MIGRATE:
		return sizeof(struct ha_result);
	case HA_HANDOVER:
		return sizeof(struct ha_handover);
	case HA_WELCOME:
	case HA_STATUS:
		return sizeof(struct ha_status);
	default:
		return 0;
	}
}

UNUSED static unsigned int
fds_of(unsigned int type)
{
	switch (type) {
	case HA_OPEN:
	case HA_BLOCK:
	case HA_ADOPT:
	case HA_CONVERT:
	case HA_CONVERTED:
	case HA_KICK:
		return 1;
	case HA_STORE:
	case HA_FDS:
	case HA_REQUEST:
		return 3;
	default:
		return 0;
	}
}

UNUSED static struct ha_msg
sample(unsigned int type)
{
	struct ha_msg m = {.type = type, .len = length_of(type), .device = 7};

	memset(&m.u, 'x', m.len);
	switch (type) {
	case HA_HELLO:
	case HA_CONVERT:
		m.u.hello.n_layouts = HA_LAYOUTS_MAX;
		m.u.hello.version[HA_NAME_MAX - 1] = '\0';
		break;
	case HA_OPEN:
		m.u.open.transport[HA_NAME_MAX - 1] = '\0';
		m.u.open.vuid[HA_NAME_MAX - 1] = '\0';
		m.u.open.path[HA_PATH_MAX - 1] = '\0';
		break;
	case HA_ADOPT:
		m.u.adopt.open.transport[HA_NAME_MAX - 1] = '\0';
		m.u.adopt.open.vuid[HA_NAME_MAX - 1] = '\0';
		m.u.adopt.open.path[HA_PATH_MAX - 1] = '\0';
		break;
	case HA_KICK:
		m.u.kick.mode = HA_KICK_EVENTFD;
		break;
	case HA_STORE:
	case HA_DROP:
		m.u.slot = (struct ha_slot){.kind = HA_FD_MSIX, .index = 65533, .count = 3};
		break;
	case HA_FDS:
		m.u.fds.n = 3;
		break;
	case HA_WELCOME:
	case HA_STATUS:
		m.u.status.from[HA_NAME_MAX - 1] = '\0';
		m.u.status.to[HA_NAME_MAX - 1] = '\0';
		m.u.status.text[HA_TEXT_MAX - 1] = '\0';
		break;
	case HA_RELEASED:
	case HA_ADOPTED:
	case HA_CONVERTED:
	case HA_OPENED:
	case HA_MIGRATE:
		m.u.result.err = 0;
		m.u.result.text[HA_TEXT_MAX - 1] = '\0';
		break;
	}
	return m;
}

UNUSED static bool
ends_with_nul(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

#define HAS_NUL(array) ends_with_nul(array, sizeof(array))

UNUSED static bool
strings_end(const struct ha_msg *m)
{
	switch (m->type) {
	case HA_HELLO:
	case HA_CONVERT:
		return HAS_NUL(m->u.hello.version);
	case HA_OPEN:
		return HAS_NUL(m->u.open.transport) && HAS_NUL(m->u.open.vuid) &&
		       HAS_NUL(m->u.open.path);
	case HA_ADOPT:
		return HAS_NUL(m->u.adopt.open.transport) && HAS_NUL(m->u.adopt.open.vuid) &&
		       HAS_NUL(m->u.adopt.open.path);
	case HA_WELCOME:
	case HA_STATUS:
		return HAS_NUL(m->u.status.from) && HAS_NUL(m->u.status.to) &&
		       HAS_NUL(m->u.status.text);
	default:
		return length_of(m->type) != sizeof(struct ha_result) || HAS_NUL(m->u.result.text);
	}
}

#define WITH_ENDS(test) cmocka_unit_test_setup_teardown(test, ends_open, ends_close)

#endif /* TEST_UNIT_HA_CONN_FIXTURE_H */
