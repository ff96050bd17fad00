/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Message headers: framing check and reply headers. */

#include "codec.h"

enum sock_frame
vfio_user_frame_check(const struct vfio_user_header *hdr, uint32_t msg_max)
{
	if (hdr->size < VFIO_USER_HEADER_SIZE || hdr->size > VFIO_USER_SKIP_MAX)
		return SOCK_FRAME_BROKEN;
	return hdr->size > msg_max ? SOCK_FRAME_SKIP : SOCK_FRAME_OK;
}

struct vfio_user_header
vfio_user_reply_to(const struct vfio_user_header *req, uint32_t body_len, int err)
{
	struct vfio_user_header hdr = {
		.id = req->id,
		.command = req->command,
		.size = VFIO_USER_HEADER_SIZE + (err == 0 ? body_len : 0),
		.flags = VFIO_USER_F_TYPE_REPLY,
	};

	if (err != 0) {
		hdr.flags |= VFIO_USER_F_ERROR;
		hdr.error = (uint32_t)-err;
	}
	return hdr;
}
