/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Packet socket on a representor. */

#include "wire.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>

/* Holds what comes while this program does not run for half a second: the loss would be its own. */
#define WIRE_BUFFER (64 << 20)

struct batch {
	struct mmsghdr msg[WIRE_BURST];
	struct iovec iov[WIRE_BURST];
	uint8_t control[WIRE_BURST][64];
	uint8_t data[WIRE_BURST][FRAME_MAX + 64];
};

void
wire_open(struct wire *w, const char *interface)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_IP),
		.sll_ifindex = (int)if_nametoindex(interface),
	};
	const int one = 1, size = WIRE_BUFFER;

	*w = (struct wire){0};
	snprintf(w->name, sizeof(w->name), "%s", interface);
	w->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (w->fd < 0 || to.sll_ifindex == 0 ||
		setsockopt(w->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0 ||
		setsockopt(w->fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) != 0 ||
		setsockopt(w->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) != 0 ||
		bind(w->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		err(EXIT_FAILURE, "%s", interface);
}

void
wire_close(struct wire *w)
{
	close(w->fd);
}

int
wire_send(struct wire *w, const uint8_t *data, uint32_t len)
{
	if (send(w->fd, data, len, MSG_DONTWAIT) == (ssize_t)len)
		return 0;
	w->full++;
	return -errno;
}

static int64_t
clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The kernel stamps with the wall clock; what it says is turned at once. */
static int64_t
stamp_of(struct msghdr *msg, int64_t real_to_monotonic)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
		struct timespec t;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&t, CMSG_DATA(c), sizeof(t));
		return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + real_to_monotonic;
	}
	return clock_ns(CLOCK_MONOTONIC);
}

unsigned int
wire_receive(struct wire *w, struct wire_frame *frames)
{
	static struct batch b; /* one thread */
	int64_t offset;
	int n;

	for (unsigned int i = 0; i < WIRE_BURST; i++) {
		b.iov[i] = (struct iovec){.iov_base = b.data[i], .iov_len = sizeof(b.data[i])};
		b.msg[i].msg_hdr = (struct msghdr){
			.msg_iov = &b.iov[i],
			.msg_iovlen = 1,
			.msg_control = b.control[i],
			.msg_controllen = sizeof(b.control[i]),
		};
	}
	n = recvmmsg(w->fd, b.msg, WIRE_BURST, MSG_DONTWAIT, NULL);
	if (n <= 0)
		return 0;
	offset = clock_ns(CLOCK_MONOTONIC) - clock_ns(CLOCK_REALTIME);
	for (int i = 0; i < n; i++)
		frames[i] = (struct wire_frame){
			.data = b.data[i],
			.len = b.msg[i].msg_len,
			.ns = stamp_of(&b.msg[i].msg_hdr, offset),
		};
	return (unsigned int)n;
}

uint64_t
wire_tap_drops(const struct wire *w)
{
	unsigned long long drops = 0;
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/tx_dropped", w->name);
	f = fopen(path, "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu", &drops) != 1)
		drops = 0;
	fclose(f);
	return drops;
}

void
wire_count_drops(struct wire *w)
{
	struct tpacket_stats s;
	socklen_t len = sizeof(s);

	/* Reading sets the kernel's own count to zero. */
	if (getsockopt(w->fd, SOL_PACKET, PACKET_STATISTICS, &s, &len) == 0)
		w->drops += s.tp_drops;
}
