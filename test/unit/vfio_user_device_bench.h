/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_VFIO_USER_DEVICE_BENCH_H
#define TEST_UNIT_VFIO_USER_DEVICE_BENCH_H

/**
 * @file
 * Bench for the device side: a mailbox that the test fills as the front would, and operations that
 * remember what they were called with.
 */

#include "vfio_user_fixture.h"

enum { CFG = 7, BAR0 = 0, ROM = 6, INTX = 0, MSIX = 2, ERR_IRQ = 3 };

#define VECTORS	 5u
#define CFG_SIZE 4096u

/** What the last operation was called with. */
struct seen {
	unsigned int calls;
	unsigned int region;
	uint64_t off;
	uint32_t count;
	uint8_t data[16];
	uint64_t iova, size;
	uint64_t offset;
	uint32_t prot;
	bool all;
	int fds[VFIO_USER_FDS_MAX];
	unsigned int nfds;
	struct vfio_user_irq_set irq;
	uint8_t bools[8];
};

struct bench {
	struct mailbox *mb;
	struct vfio_user_device *dev;
	struct seen seen;
	int ret;	       /* what operations return */
	unsigned int ret_from; /* ... from this call on */
	unsigned int resets, attached;
	void *read_buf;
	int fds[MAILBOX_FDS_MAX]; /* of the request, as the front has them */
	int fds_before;
};

UNUSED static int
result(struct bench *b)
{
	return b->seen.calls++ >= b->ret_from ? b->ret : 0;
}

UNUSED static int
op_read(void *ctx, unsigned int region, uint64_t off, void *buf, uint32_t count)
{
	struct bench *b = ctx;

	b->seen.region = region;
	b->seen.off = off;
	b->seen.count = count;
	b->read_buf = buf;
	memset(buf, 0xc5, count);
	return result(b);
}

UNUSED static int
op_write(void *ctx, unsigned int region, uint64_t off, const void *buf, uint32_t count)
{
	struct bench *b = ctx;

	b->seen.region = region;
	b->seen.off = off;
	b->seen.count = count;
	memcpy(b->seen.data, buf, count < 16 ? count : 16);
	return result(b);
}

UNUSED static int
op_map(void *ctx, uint64_t iova, uint64_t size, int fd, uint64_t offset, uint32_t prot)
{
	struct bench *b = ctx;

	b->seen.iova = iova;
	b->seen.size = size;
	b->seen.fds[0] = fd;
	b->seen.nfds = fd >= 0;
	b->seen.offset = offset;
	b->seen.prot = prot;
	return result(b);
}

UNUSED static int
op_unmap(void *ctx, uint64_t iova, uint64_t size, bool all)
{
	struct bench *b = ctx;

	b->seen.iova = iova;
	b->seen.size = size;
	b->seen.all = all;
	return result(b);
}

UNUSED static int
op_irq(void *ctx, const struct vfio_user_irq_set *set)
{
	struct bench *b = ctx;

	b->seen.irq = *set;
	b->seen.nfds = set->fds != NULL ? set->count : 0;
	for (unsigned int i = 0; i < b->seen.nfds; i++)
		b->seen.fds[i] = set->fds[i];
	if (set->bools != NULL)
		memcpy(b->seen.bools, set->bools, set->count);
	return result(b);
}

UNUSED static int
op_reset(void *ctx)
{
	struct bench *b = ctx;

	b->resets++;
	return result(b);
}

UNUSED static void
op_attached(void *ctx)
{
	((struct bench *)ctx)->attached++;
}

static const struct vfio_user_device_ops ops = {
	.region_read = op_read,
	.region_write = op_write,
	.dma_map = op_map,
	.dma_unmap = op_unmap,
	.irq_set = op_irq,
	.reset = op_reset,
	.attached = op_attached,
};

UNUSED static void
bench_device(struct bench *b, const struct vfio_user_device_ops *with)
{
	struct vfio_user_device_conf conf = {
		.regions =
			{
				[BAR0] = {0x4000,
					VFIO_USER_REGION_F_READ | VFIO_USER_REGION_F_WRITE},
				[1] = {0x1000, VFIO_USER_REGION_F_READ},
				[2] = {0x1000, VFIO_USER_REGION_F_WRITE},
				[CFG] = {CFG_SIZE,
					VFIO_USER_REGION_F_READ | VFIO_USER_REGION_F_WRITE},
			},
		.irqs =
			{
				[INTX] = {1, VFIO_USER_IRQ_F_EVENTFD | VFIO_USER_IRQ_F_MASKABLE |
						     VFIO_USER_IRQ_F_AUTOMASKED},
				[MSIX] = {VECTORS, VFIO_USER_IRQ_F_EVENTFD},
				[ERR_IRQ] = {1, VFIO_USER_IRQ_F_EVENTFD},
			},
		.ops = with,
		.ctx = b,
		.mailbox = b->mb,
	};

	assert_int_equal(vfio_user_device_create(&conf, &b->dev), 0);
}

UNUSED static int
setup_unnegotiated(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->fds_before = open_fds();
	b->mb = mailbox_new();
	bench_device(b, &ops);
	*state = b;
	return 0;
}

UNUSED static int
setup(void **state)
{
	struct bench *b;

	setup_unnegotiated(state);
	b = *state;
	b->mb->negotiated_seq = 1;
	b->mb->seq = 1;
	return 0;
}

UNUSED static int
teardown(void **state)
{
	struct bench *b = *state;

	vfio_user_device_destroy(b->dev);
	fds_settle(b->fds_before);
	free(b->mb);
	free(b);
	return 0;
}

/* Put a request into the mailbox, as the front does. */
UNUSED static void
post(struct bench *b, uint16_t command, const void *body, uint32_t len, const int *fds,
	unsigned int nfds)
{
	const struct vfio_user_header hdr = {.id = 0x1234, .command = command, .size = 16 + len};

	memcpy(b->mb->header, &hdr, sizeof(hdr));
	if (len > 0)
		memcpy(b->mb->req, body, len);
	b->mb->req_len = len;
	b->mb->seq++;
	b->mb->reply_wanted = 1;
	b->mb->close = 0;
	b->mb->nfds = nfds;
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		b->fds[i] = i < nfds ? fcntl(fds[i], F_DUPFD_CLOEXEC, 0) : -1;
	atomic_store(&b->mb->state, MAILBOX_REQUEST);
}

/* The reply's errno; everything else about its header is checked. */
UNUSED static int
reply(struct bench *b)
{
	struct vfio_user_header hdr;

	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_REPLY);
	memcpy(&hdr, b->mb->reply_header, sizeof(hdr));
	assert_int_equal(hdr.id, 0x1234);
	assert_int_equal(hdr.flags & VFIO_USER_F_TYPE_MASK, VFIO_USER_F_TYPE_REPLY);
	assert_int_equal(hdr.size, 16 + b->mb->reply_len);
	if (hdr.flags & VFIO_USER_F_ERROR)
		assert_int_equal(b->mb->reply_len, 0);
	else
		assert_int_equal(hdr.error, 0);
	for (unsigned int i = 0; i < MAILBOX_FDS_MAX; i++)
		if (b->fds[i] >= 0)
			close(b->fds[i]);
	atomic_store(&b->mb->state, MAILBOX_EMPTY);
	return hdr.error;
}

UNUSED static int
request_fds(struct bench *b, uint16_t command, const void *body, uint32_t len, const int *fds,
	unsigned int nfds)
{
	post(b, command, body, len, fds, nfds);
	assert_true(vfio_user_device_handle(b->dev, b->fds));
	return reply(b);
}

UNUSED static int
request(struct bench *b, uint16_t command, const void *body, uint32_t len)
{
	return request_fds(b, command, body, len, NULL, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif /* TEST_UNIT_VFIO_USER_DEVICE_BENCH_H */
