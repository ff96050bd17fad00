/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef VFIO_USER_CODEC_H
#define VFIO_USER_CODEC_H

/**
 * @file
 * Internal to lib/vfio_user: what both ends of the wire do with headers and version messages. No
 * I/O.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sock/front_proto.h"
#include "vfio_user.h"

/** What a header's size says about the stream; SKIP: answer EMSGSIZE. */
enum sock_frame vfio_user_frame_check(const struct vfio_user_header *hdr, uint32_t msg_max);

static inline bool
vfio_user_is_reply(const struct vfio_user_header *hdr)
{
	return (hdr->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_REPLY;
}

static inline bool
vfio_user_is_command(const struct vfio_user_header *hdr)
{
	return (hdr->flags & VFIO_USER_F_TYPE_MASK) == VFIO_USER_F_TYPE_COMMAND;
}

static inline bool
vfio_user_wants_reply(const struct vfio_user_header *hdr)
{
	return (hdr->flags & VFIO_USER_F_NO_REPLY) == 0;
}

/** Header of the reply to a request. @param err  0 or -errno; with an error there is no body. */
struct vfio_user_header vfio_user_reply_to(
	const struct vfio_user_header *req, uint32_t body_len, int err);

/** The protocol's defaults for a peer that says nothing. */
void vfio_user_caps_default(struct vfio_user_caps *caps);

/**
 * Read the body of a VERSION message. Capabilities that are absent keep their defaults, unknown
 * ones are ignored.
 *
 * @return 0; -EINVAL if it is too short, not terminated, not JSON, nested too deeply or a
 *         capability has another type than the protocol says
 */
int vfio_user_version_parse(const uint8_t *body, size_t len, struct vfio_user_version *version,
	struct vfio_user_caps *caps);

/** @return bytes written, terminating NUL included; -ENOBUFS; -ENOMEM */
int vfio_user_version_build(uint8_t *body, size_t room, const struct vfio_user_caps *caps);

#endif /* VFIO_USER_CODEC_H */
