/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The client's synchronous helpers, against a real front and device side on a thread of their own.
 */

#include <pthread.h>

#include "test.h"
#include "vfio_user_fixture.h"

struct server {
	struct place place;
	struct mailbox *mb;
	struct sock_front *front;
	struct vfio_user_device *dev;
	pthread_t thread;
	int stop; /* eventfd */
	struct event *stop_ev;
	int fds_before;
	struct vfio_user_client *c;

	uint8_t bar[4096];
	bool stall; /* next read stays unanswered until a write comes; set before the thread has
		       work */
	int irq;    /* eventfd of vector 0 */
	uint64_t mapped;
};

static int
bar_read(void *ctx, unsigned int region, uint64_t off, void *buf, uint32_t count)
{
	struct server *s = ctx;

	if (region == 7)
		return -EPERM;
	memcpy(buf, s->bar + off, count);
	return 0;
}

static int
bar_write(void *ctx, unsigned int region, uint64_t off, const void *buf, uint32_t count)
{
	struct server *s = ctx;

	memcpy(s->bar + off, buf, count);
	return 0;
}

static int
ram_map(void *ctx, uint64_t iova, uint64_t size, int fd, uint64_t offset, uint32_t prot)
{
	struct server *s = ctx;
	struct stat st;

	/* Shows that the file has come along: its first bytes go into the BAR. */
	if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, s->bar, 8, (off_t)offset) != 8)
		return -EBADF;
	close(fd);
	s->mapped = size;
	return 0;
}

static int
ram_unmap(void *ctx, uint64_t iova, uint64_t size, bool all)
{
	struct server *s = ctx;

	if (!all && size != s->mapped)
		return -ENOENT;
	s->mapped = 0;
	return 0;
}

static int
irq_set(void *ctx, const struct vfio_user_irq_set *set)
{
	struct server *s = ctx;

	if (s->irq >= 0)
		close(s->irq);
	s->irq = set->fds != NULL ? set->fds[0] : -1;
	return 0;
}

static int
reset(void *ctx)
{
	struct server *s = ctx;
	const uint64_t one = 1;

	if (s->stall)
		return -EINPROGRESS; /* until stall_over() */
	return s->irq < 0 || write(s->irq, &one, sizeof(one)) == sizeof(one) ? 0 : -EIO;
}

static const struct vfio_user_device_ops dev_ops = {
	bar_read, bar_write, ram_map, ram_unmap, irq_set, reset, NULL};

static void
on_request(void *ctx)
{
	struct server *s = ctx;

	if (vfio_user_device_handle(s->dev, sock_front_request_fds(s->front)))
		sock_front_reply(s->front);
}

static void
on_disconnected(void *ctx)
{
	struct server *s = ctx;

	vfio_user_device_reset_connection(s->dev);
}

static const struct sock_front_ops front_ops = {
	.request = on_request, .disconnected = on_disconnected};

/* First signal: the stalled operation is done. Second: the thread is. */
static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	eventfd_take(fd);
	if (!s->stall) {
		event_base_loopbreak(s->place.base);
		return;
	}
	s->stall = false;
	if (vfio_user_device_complete(s->dev, 0))
		sock_front_reply(s->front);
}

static void *
server_main(void *arg)
{
	struct server *s = arg;

	event_base_dispatch(s->place.base);
	return NULL;
}

static void
server_signal(struct server *s)
{
	const uint64_t one = 1;

	assert_int_equal(write(s->stop, &one, sizeof(one)), sizeof(one));
}

static int
server_start(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	struct vfio_user_device_conf dev = {.regions = {[0] = {4096, 3}, [7] = {256, 3}},
		.irqs = {[2] = {1, VFIO_USER_IRQ_F_EVENTFD}},
		.ops = &dev_ops,
		.ctx = s};
	struct sock_front_conf front = {.gid = (gid_t)-1, .ops = &front_ops, .ctx = s};

	s->fds_before = open_fds();
	s->irq = -1;
	place_make(&s->place);
	s->mb = dev.mailbox = front.mailbox = mailbox_new();
	front.base = s->place.base;
	front.path = s->place.path;
	s->stop = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	s->stop_ev = event_new(s->place.base, s->stop, EV_READ | EV_PERSIST, on_stop, s);
	event_add(s->stop_ev, NULL);
	assert_int_equal(vfio_user_device_create(&dev, &s->dev), 0);
	assert_int_equal(vfio_user_front_create(&front, &s->front), 0);
	*state = s;
	return 0;
}

/* Everything that the thread uses must be set before. */
static void
server_run(struct server *s)
{
	struct vfio_user_caps caps;

	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
	assert_int_equal(vfio_user_client_connect(s->place.path, &s->c), 0);
	assert_int_equal(vfio_user_client_negotiate(s->c, &caps), 0);
	assert_int_equal(caps.max_msg_fds, 16);
	assert_int_equal(caps.max_data_xfer_size, 4096);
	assert_int_equal(caps.pgsizes, 4096);
	assert_false(caps.write_multiple);
}

static int
server_stop(void **state)
{
	struct server *s = *state;

	vfio_user_client_destroy(s->c);
	server_signal(s);
	pthread_join(s->thread, NULL);
	sock_front_disconnect(s->front);
	sock_front_destroy(s->front);
	vfio_user_device_destroy(s->dev);
	event_free(s->stop_ev);
	close(s->stop);
	if (s->irq >= 0)
		close(s->irq);
	place_remove(&s->place);
	fds_settle(s->fds_before);
	free(s->mb);
	free(s);
	return 0;
}

static void
information_about_the_device_is_read(void **state)
{
	struct server *s = *state;
	struct vfio_user_device_info dev;
	struct vfio_user_region_info region;
	struct vfio_user_irq_info irq;

	server_run(s);
	assert_int_equal(vfio_user_client_get_info(s->c, &dev), 0);
	assert_int_equal(dev.num_regions, 9);
	assert_int_equal(vfio_user_client_get_region_info(s->c, 0, &region), 0);
	assert_int_equal(region.size, 4096);
	assert_int_equal(vfio_user_client_get_irq_info(s->c, 2, &irq), 0);
	assert_int_equal(irq.count, 1);
	assert_int_equal(vfio_user_client_get_irq_info(s->c, 5, &irq), -EINVAL);
}

static void
region_is_written_and_read_back(void **state)
{
	struct server *s = *state;
	char buf[16];

	server_run(s);
	assert_int_equal(vfio_user_client_region_write(s->c, 0, 0x100, "0123456789", 10), 0);
	assert_int_equal(vfio_user_client_region_read(s->c, 0, 0x100, buf, 10), 0);
	assert_memory_equal(buf, "0123456789", 10);
	assert_int_equal(vfio_user_client_region_read(s->c, 0, 4095, buf, 2), -EINVAL);
	assert_int_equal(vfio_user_client_region_read(s->c, 7, 0, buf, 4), -EPERM);
}

static void
posted_writes_are_seen_by_the_read_behind_them(void **state)
{
	struct server *s = *state;
	uint32_t v;

	server_run(s);
	for (uint32_t i = 1; i <= 2000; i++)
		while (vfio_user_client_region_post(s->c, 0, 8, &i, sizeof(i)) == -EAGAIN)
			assert_int_equal(vfio_user_client_flush(s->c), 0);
	assert_int_equal(vfio_user_client_region_read(s->c, 0, 8, &v, sizeof(v)), 0);
	assert_int_equal(v, 2000);
}

static void
memory_is_shared_by_its_descriptor(void **state)
{
	struct server *s = *state;
	int fd = memfd("ram");
	char buf[8];

	server_run(s);
	assert_int_equal(pwrite(fd, "in guest", 8, 4096), 8);
	assert_int_equal(vfio_user_client_dma_map(s->c, 0x10000, 0x1000, fd, 4096, 3), 0);
	close(fd);
	assert_int_equal(vfio_user_client_region_read(s->c, 0, 0, buf, 8), 0);
	assert_memory_equal(buf, "in guest", 8);
	assert_int_equal(vfio_user_client_dma_map(s->c, 0x20000, 0x1000, -1, 0, 3), -EBADF);
	assert_int_equal(vfio_user_client_dma_unmap(s->c, 0x10000, 0x2000, false), -ENOENT);
	assert_int_equal(vfio_user_client_dma_unmap(s->c, 0x10000, 0x1000, false), 0);
	assert_int_equal(vfio_user_client_dma_unmap(s->c, 0, 0, true), 0);
}

static void
interrupt_arrives_on_the_client_s_eventfd(void **state)
{
	const uint32_t flags = VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER;
	struct server *s = *state;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	server_run(s);
	assert_int_equal(vfio_user_client_set_irqs(s->c, 2, flags, 0, 1, &fd), 0);
	assert_int_equal(vfio_user_client_reset(s->c), 0);
	assert_int_equal(eventfd_take(fd), 1);
	assert_int_equal(vfio_user_client_set_irqs(s->c, 2, flags, 0, 1, NULL), 0);
	assert_int_equal(vfio_user_client_reset(s->c), 0);
	assert_int_equal(eventfd_take(fd), 0);
	close(fd);
}

static void
call_that_gets_no_reply_in_time_leaves_the_connection_usable(void **state)
{
	struct server *s = *state;
	uint32_t v;

	s->stall = true;
	server_run(s);
	vfio_user_client_set_timeout(s->c, 20);
	assert_int_equal(vfio_user_client_reset(s->c), -ETIMEDOUT);
	vfio_user_client_set_timeout(s->c, VFIO_USER_CLIENT_TIMEOUT_MS);
	server_signal(s);
	assert_int_equal(vfio_user_client_region_read(s->c, 0, 0, &v, sizeof(v)), 0);
	assert_int_equal(vfio_user_client_reset(s->c), 0);
}

static void
connecting_to_nobody_fails(void **state)
{
	struct vfio_user_client *c;
	char path[200];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(vfio_user_client_connect("/nonexistent/sock", &c), -ENOENT);
	assert_int_equal(vfio_user_client_connect(path, &c), -ENAMETOOLONG);
	assert_int_equal(vfio_user_client_adopt(-1, &c), -EBADF);
}

#define S(name) cmocka_unit_test_setup_teardown(name, server_start, server_stop)

static int
test_vfio_user_calls(void)
{
	const struct CMUnitTest tests[] = {
		S(information_about_the_device_is_read),
		S(region_is_written_and_read_back),
		S(posted_writes_are_seen_by_the_read_behind_them),
		S(memory_is_shared_by_its_descriptor),
		S(interrupt_arrives_on_the_client_s_eventfd),
		S(call_that_gets_no_reply_in_time_leaves_the_connection_usable),
		cmocka_unit_test(connecting_to_nobody_fails),
	};

	return cmocka_run_group_tests_name("vfio_user_calls", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_calls, test_vfio_user_calls)
