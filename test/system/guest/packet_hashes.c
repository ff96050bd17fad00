/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * What the kernel has as the hash of each packet that an interface receives: the device's, if that
 * reports any. Runs in test VMs; needs nothing but libc.
 *
 *	packet-hashes INTERFACE COUNT     for COUNT packets to other than broadcast addresses a line
 *					  each: hash, and the packet's first bytes
 */

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

#define BLOCK	  65536u
#define BLOCKS	  4u
#define RETIRE_MS 5
#define IDLE_MS	  20000 /* without any packet: the end */
#define SHOWN	  64u	/* bytes of a packet */

static void
die(const char *what)
{
	fprintf(stderr, "packet-hashes: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint8_t *
ring_open(const char *interface, int *fd)
{
	const struct tpacket_req3 req = {
		.tp_block_size = BLOCK,
		.tp_block_nr = BLOCKS,
		.tp_frame_size = 2048,
		.tp_frame_nr = BLOCKS * BLOCK / 2048,
		.tp_retire_blk_tov = RETIRE_MS,
		.tp_feature_req_word = TP_FT_REQ_FILL_RXHASH,
	};
	const int version = TPACKET_V3;
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	uint8_t *ring;

	at.sll_ifindex = (int)if_nametoindex(interface);
	*fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (*fd < 0 || at.sll_ifindex == 0)
		die(interface);
	if (setsockopt(*fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) != 0 ||
		setsockopt(*fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) != 0)
		die("ring");
	ring = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (ring == MAP_FAILED || bind(*fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		die("ring");
	return ring;
}

/* @return whether it was one of those wanted */
static int
show(const struct tpacket3_hdr *hdr)
{
	const uint8_t *packet = (const uint8_t *)hdr + hdr->tp_mac;
	const struct sockaddr_ll *from =
		(const void *)((const uint8_t *)hdr + TPACKET_ALIGN(sizeof(*hdr)));

	if (from->sll_pkttype != PACKET_HOST)
		return 0;
	printf("%08x ", hdr->hv1.tp_rxhash);
	for (uint32_t i = 0; i < hdr->tp_snaplen && i < SHOWN; i++)
		printf("%02x", packet[i]);
	printf("\n");
	fflush(stdout);
	return 1;
}

int
main(int argc, char **argv)
{
	unsigned long wanted = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	uint8_t *ring;
	int fd;

	if (wanted == 0) {
		fprintf(stderr, "packet-hashes INTERFACE COUNT\n");
		return 2;
	}
	ring = ring_open(argv[1], &fd);
	printf("ready\n");
	fflush(stdout);
	for (unsigned int at = 0;; at = (at + 1) % BLOCKS) {
		struct tpacket_block_desc *block = (void *)(ring + at * BLOCK);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		const uint8_t *next;

		while (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) &
			 TP_STATUS_USER))
			if (poll(&p, 1, IDLE_MS) <= 0)
				return 3;
		next = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
		for (uint32_t n = block->hdr.bh1.num_pkts; n > 0; n--) {
			const struct tpacket3_hdr *hdr = (const void *)next;

			if (show(hdr) && --wanted == 0)
				return 0;
			next += hdr->tp_next_offset;
		}
		__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	}
}
