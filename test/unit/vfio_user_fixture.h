/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VFIO_USER_FIXTURE_H
#define TEST_UNIT_VFIO_USER_FIXTURE_H

/**
 * @file
 * Shared by the vfio-user suites: messages as they stand on the wire.
 */

#include "sock_fixture.h"
#include "vfio_user/vfio_user.h"

/* A message as one would lay it out by hand; its parts may lie. */
struct raw {
	uint16_t id;
	uint16_t command;
	uint32_t flags;
	uint32_t size; /* 0: the true one */
	const void *body;
	uint32_t len;
	const int *fds;
	unsigned int nfds;
};

UNUSED static void
raw_send(int sock, struct raw m)
{
	uint8_t buf[VFIO_USER_MSG_MAX + 4096];
	struct vfio_user_header hdr = {
		.id = m.id,
		.command = m.command,
		.size = m.size != 0 ? m.size : VFIO_USER_HEADER_SIZE + m.len,
		.flags = m.flags,
	};

	assert_true(m.len <= sizeof(buf) - sizeof(hdr));
	memcpy(buf, &hdr, sizeof(hdr));
	if (m.len > 0)
		memcpy(buf + sizeof(hdr), m.body, m.len);
	send_with_fds(sock, buf, sizeof(hdr) + m.len, m.fds, m.nfds);
}

struct raw_reply {
	struct vfio_user_header hdr;
	uint8_t body[VFIO_USER_BODY_MAX];
};

/* False if there is no complete reply. */
UNUSED static bool
raw_recv(int sock, struct raw_reply *r)
{
	memset(r, 0, sizeof(*r));
	if (recv(sock, &r->hdr, sizeof(r->hdr), MSG_DONTWAIT) != (ssize_t)sizeof(r->hdr))
		return false;
	if (r->hdr.size == sizeof(r->hdr))
		return true;
	assert_true(r->hdr.size <= VFIO_USER_MSG_MAX);
	return recv(sock, r->body, r->hdr.size - sizeof(r->hdr), MSG_DONTWAIT) ==
	       (ssize_t)(r->hdr.size - sizeof(r->hdr));
}

/* A reply with this id, and this errno or 0. */
#define assert_reply(sock, id_, err_)                                                              \
	do {                                                                                       \
		struct raw_reply reply_;                                                           \
		assert_true(raw_recv(sock, &reply_));                                              \
		assert_int_equal(reply_.hdr.id, id_);                                              \
		assert_int_equal(reply_.hdr.error, err_);                                          \
		assert_int_equal(reply_.hdr.flags,                                                 \
			VFIO_USER_F_TYPE_REPLY | ((err_) != 0 ? VFIO_USER_F_ERROR : 0));           \
	} while (0)

#endif /* TEST_UNIT_VFIO_USER_FIXTURE_H */
