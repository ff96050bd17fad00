/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * UDP datagrams that the kernel cuts out of large buffers (UDP_SEGMENT), and their receiver, which
 * takes them joined (UDP_GRO): what a network device's UDP segmentation is for. Runs in test VMs
 * and beside them; needs nothing but libc.
 *
 *	udp-segments send ADDRESS PORT BYTES BURSTS     BYTES per datagram
 *	udp-segments receive ADDRESS PORT               until a second passes without any
 */

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAMS   40u	   /* of a burst; the last one is shorter */
#define BUFFER	    65536u /* more than UDP's largest */
#define PAUSE_NS    (5 * 1000 * 1000)
#define IDLE_S	    1
#define FIRST_S	    30 /* for the first one to come */
#define RECEIVE_BUF (4 << 20)

struct head {
	uint32_t number;
	uint32_t len; /* of the datagram, this included */
	uint32_t sum; /* of all bytes behind this */
};

static uint8_t buf[BUFFER];

static void
die(const char *what)
{
	fprintf(stderr, "udp-segments: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint32_t
checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 2166136261u;

	while (len-- > 0)
		sum = (sum ^ *p++) * 16777619u;
	return sum;
}

static int
open_socket(
	const char *address, const char *port, int (*use)(int, const struct sockaddr *, socklen_t))
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST};
	struct addrinfo *ai;
	int fd;

	if (getaddrinfo(address, port, &hints, &ai) != 0)
		die(address);
	fd = socket(ai->ai_family, ai->ai_socktype, 0);
	if (fd < 0 || use(fd, ai->ai_addr, ai->ai_addrlen) < 0)
		die(address);
	freeaddrinfo(ai);
	return fd;
}

static void
fill(uint8_t *p, uint32_t number, uint32_t len)
{
	struct head h = {.number = number, .len = len};

	for (uint32_t i = sizeof(h); i < len; i++)
		p[i] = (uint8_t)rand();
	h.sum = checksum(p + sizeof(h), len - sizeof(h));
	memcpy(p, &h, sizeof(h));
}

static int
send_all(const char *address, const char *port, int bytes, uint32_t bursts)
{
	const struct timespec pause = {.tv_nsec = PAUSE_NS};
	const int fd = open_socket(address, port, connect);
	const uint32_t last = sizeof(struct head) + ((uint32_t)bytes - sizeof(struct head)) / 3;
	const size_t len = (DATAGRAMS - 1) * (size_t)bytes + last;
	uint32_t number = 0;

	if (len > BUFFER || setsockopt(fd, SOL_UDP, UDP_SEGMENT, &bytes, sizeof(bytes)) < 0)
		die("UDP_SEGMENT");
	for (uint32_t b = 0; b < bursts; b++) {
		for (uint32_t i = 0; i < DATAGRAMS; i++, number++)
			fill(buf + i * (size_t)bytes, number,
				i + 1 < DATAGRAMS ? (uint32_t)bytes : last);
		if (send(fd, buf, len, 0) < 0)
			die("send");
		nanosleep(&pause, NULL);
	}
	printf("%u\n", number);
	return 0;
}

/* Bytes of each datagram in what recvmsg() returned, or all of it. */
static size_t
segment_of(struct msghdr *msg, size_t len)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int bytes;

			memcpy(&bytes, CMSG_DATA(c), sizeof(bytes));
			return (size_t)bytes;
		}
	return len;
}

static bool
sound(const uint8_t *p, size_t len)
{
	struct head h;

	if (len < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	return h.len == len && h.sum == checksum(p + sizeof(h), len - sizeof(h));
}

static int
receive_all(const char *address, const char *port)
{
	const int fd = open_socket(address, port, bind), one = 1, room = RECEIVE_BUF;
	struct timeval wait = {.tv_sec = FIRST_S};
	unsigned int good = 0, bad = 0;
	size_t largest = 0;

	(void)setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	for (;;) {
		char control[256];
		struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
		struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t len;
		size_t segment;

		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
		len = recvmsg(fd, &msg, 0);
		if (len < 0)
			break;
		wait.tv_sec = IDLE_S;
		segment = segment_of(&msg, (size_t)len);
		for (size_t at = 0; at < (size_t)len; at += segment) {
			const size_t left = (size_t)len - at;

			if (sound(buf + at, left < segment ? left : segment))
				good++;
			else
				bad++;
		}
		if ((size_t)len > largest)
			largest = (size_t)len;
	}
	printf("%u %u %zu\n", good, bad, largest);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "send") == 0)
		return send_all(argv[2], argv[3], atoi(argv[4]), (uint32_t)atoi(argv[5]));
	if (argc == 4 && strcmp(argv[1], "receive") == 0)
		return receive_all(argv[2], argv[3]);
	fprintf(stderr,
		"usage: udp-segments send ADDRESS PORT BYTES BURSTS | receive ADDRESS PORT\n");
	return 2;
}
