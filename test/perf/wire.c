/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Frames into a network interface, a burst a system call. */

#include "wire.h"

#include <err.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if_packet.h>

#include <rte_common.h>

#include "load.h"

int
wire_open(const char *ifname)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname)};
	const int one = 1;
	int fd;

	/* Protocol 0: it only sends. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) != 0)
		err(EXIT_FAILURE, "%s", ifname);
	return fd;
}

uint32_t
wire_send(int fd, uint32_t n, uint16_t size)
{
	union {
		struct load_frame frame;
		uint8_t bytes[LOAD_FRAME_MAX];
	} buf;
	struct iovec iov = {.iov_base = &buf, .iov_len = size};
	struct mmsghdr msg[LOAD_BURST];
	int sent;

	memset(&buf, 0, sizeof(buf));
	load_frame_init(&buf.frame);
	n = RTE_MIN(n, LOAD_BURST);
	for (uint32_t i = 0; i < n; i++)
		msg[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
	sent = sendmmsg(fd, msg, n, MSG_DONTWAIT);
	return sent > 0 ? (uint32_t)sent : 0;
}
