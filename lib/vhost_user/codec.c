/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Message headers, and what there is to know about requests without looking into them. */

#include "codec.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Of a request. */
#define HAS_REPLY 0x1u
#define HAS_FDS	  0x2u

static const struct {
	const char *name;
	unsigned int traits;
} requests[] = {
	[VHOST_USER_GET_FEATURES] = {"GET_FEATURES", HAS_REPLY},
	[VHOST_USER_SET_FEATURES] = {"SET_FEATURES", 0},
	[VHOST_USER_SET_OWNER] = {"SET_OWNER", 0},
	[VHOST_USER_RESET_OWNER] = {"RESET_OWNER", 0},
	[VHOST_USER_SET_MEM_TABLE] = {"SET_MEM_TABLE", HAS_FDS},
	[VHOST_USER_SET_LOG_BASE] = {"SET_LOG_BASE", HAS_REPLY | HAS_FDS},
	[VHOST_USER_SET_LOG_FD] = {"SET_LOG_FD", HAS_FDS},
	[VHOST_USER_SET_VRING_NUM] = {"SET_VRING_NUM", 0},
	[VHOST_USER_SET_VRING_ADDR] = {"SET_VRING_ADDR", 0},
	[VHOST_USER_SET_VRING_BASE] = {"SET_VRING_BASE", 0},
	[VHOST_USER_GET_VRING_BASE] = {"GET_VRING_BASE", HAS_REPLY},
	[VHOST_USER_SET_VRING_KICK] = {"SET_VRING_KICK", HAS_FDS},
	[VHOST_USER_SET_VRING_CALL] = {"SET_VRING_CALL", HAS_FDS},
	[VHOST_USER_SET_VRING_ERR] = {"SET_VRING_ERR", HAS_FDS},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {"GET_PROTOCOL_FEATURES", HAS_REPLY},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {"SET_PROTOCOL_FEATURES", 0},
	[VHOST_USER_GET_QUEUE_NUM] = {"GET_QUEUE_NUM", HAS_REPLY},
	[VHOST_USER_SET_VRING_ENABLE] = {"SET_VRING_ENABLE", 0},
	[VHOST_USER_SEND_RARP] = {"SEND_RARP", 0},
	[VHOST_USER_NET_SET_MTU] = {"NET_SET_MTU", 0},
	[VHOST_USER_SET_BACKEND_REQ_FD] = {"SET_BACKEND_REQ_FD", HAS_FDS},
	[VHOST_USER_IOTLB_MSG] = {"IOTLB_MSG", 0},
	[VHOST_USER_SET_VRING_ENDIAN] = {"SET_VRING_ENDIAN", 0},
	[VHOST_USER_GET_CONFIG] = {"GET_CONFIG", HAS_REPLY},
	[VHOST_USER_SET_CONFIG] = {"SET_CONFIG", 0},
	[VHOST_USER_CREATE_CRYPTO_SESSION] = {"CREATE_CRYPTO_SESSION", HAS_REPLY},
	[VHOST_USER_CLOSE_CRYPTO_SESSION] = {"CLOSE_CRYPTO_SESSION", 0},
	[VHOST_USER_POSTCOPY_ADVISE] = {"POSTCOPY_ADVISE", HAS_REPLY},
	[VHOST_USER_POSTCOPY_LISTEN] = {"POSTCOPY_LISTEN", 0},
	[VHOST_USER_POSTCOPY_END] = {"POSTCOPY_END", HAS_REPLY},
	[VHOST_USER_GET_INFLIGHT_FD] = {"GET_INFLIGHT_FD", HAS_REPLY},
	[VHOST_USER_SET_INFLIGHT_FD] = {"SET_INFLIGHT_FD", HAS_FDS},
	[VHOST_USER_GPU_SET_SOCKET] = {"GPU_SET_SOCKET", HAS_FDS},
	[VHOST_USER_RESET_DEVICE] = {"RESET_DEVICE", 0},
	[VHOST_USER_VRING_KICK] = {"VRING_KICK", 0},
	[VHOST_USER_GET_MAX_MEM_SLOTS] = {"GET_MAX_MEM_SLOTS", HAS_REPLY},
	[VHOST_USER_ADD_MEM_REG] = {"ADD_MEM_REG", HAS_FDS},
	[VHOST_USER_REM_MEM_REG] = {"REM_MEM_REG", HAS_FDS},
	[VHOST_USER_SET_STATUS] = {"SET_STATUS", 0},
	[VHOST_USER_GET_STATUS] = {"GET_STATUS", HAS_REPLY},
};

static unsigned int
traits(uint32_t request)
{
	return request < ARRAY_SIZE(requests) ? requests[request].traits : 0;
}

bool
vhost_user_header_ok(const struct vhost_user_header *hdr)
{
	return (hdr->flags & VHOST_USER_F_VERSION_MASK) == VHOST_USER_VERSION &&
	       hdr->size <= VHOST_USER_BODY_MAX;
}

struct vhost_user_header
vhost_user_request_header(uint32_t request, uint32_t flags, uint32_t body_len)
{
	return (struct vhost_user_header){
		.request = request,
		.flags = VHOST_USER_VERSION | flags,
		.size = body_len,
	};
}

struct vhost_user_header
vhost_user_reply_to(const struct vhost_user_header *req, uint32_t body_len)
{
	return vhost_user_request_header(req->request, VHOST_USER_F_REPLY, body_len);
}

bool
vhost_user_has_reply(uint32_t request)
{
	return (traits(request) & HAS_REPLY) != 0;
}

bool
vhost_user_has_fds(uint32_t request)
{
	return (traits(request) & HAS_FDS) != 0;
}

const char *
vhost_user_request_name(uint32_t request)
{
	const char *name = request < ARRAY_SIZE(requests) ? requests[request].name : NULL;

	return name != NULL ? name : "unknown request";
}
