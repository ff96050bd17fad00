/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VHOST_USER_CODEC_H
#define VHOST_USER_CODEC_H

/**
 * @file
 * Internal to lib/vhost_user: what both ends of the wire do with headers. No I/O.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vhost_user.h"

static inline struct vhost_user_header
vhost_user_header_of(const void *hdr)
{
	struct vhost_user_header h;

	memcpy(&h, hdr, sizeof(h));
	return h;
}

static inline bool
vhost_user_is_reply(const struct vhost_user_header *hdr)
{
	return (hdr->flags & VHOST_USER_F_REPLY) != 0;
}

static inline bool
vhost_user_needs_reply(const struct vhost_user_header *hdr)
{
	return (hdr->flags & VHOST_USER_F_NEED_REPLY) != 0;
}

/** The version is ours and the body not too large. */
bool vhost_user_header_ok(const struct vhost_user_header *hdr);

struct vhost_user_header vhost_user_request_header(
	uint32_t request, uint32_t flags, uint32_t body_len);
struct vhost_user_header vhost_user_reply_to(
	const struct vhost_user_header *req, uint32_t body_len);

/** Requests that are answered in any case, with more than yes or no. */
bool vhost_user_has_reply(uint32_t request);
/** Requests that come with descriptors. */
bool vhost_user_has_fds(uint32_t request);
/** For messages; never NULL. */
const char *vhost_user_request_name(uint32_t request);

#endif /* VHOST_USER_CODEC_H */
