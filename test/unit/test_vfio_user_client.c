/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The client's non-blocking core, on a socket pair whose other end the test plays. */

#include <poll.h>

#include "test.h"
#include "vfio_user_fixture.h"

struct pair {
	struct vfio_user_client *c;
	int server;
	int fds_before;
	/* what callbacks saw */
	unsigned int done;
	int err;
	uint8_t body[64];
	size_t len;
	int fd;
	bool keep_fd;
	bool again; /* make another request from within */
	unsigned int closed;
};

static int
setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));
	int sv[2];

	p->fds_before = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	assert_int_equal(vfio_user_client_adopt(sv[0], &p->c), 0);
	p->server = sv[1];
	p->fd = -1;
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	vfio_user_client_destroy(p->c);
	close(p->server);
	assert_int_equal(open_fds(), p->fds_before);
	free(p);
	return 0;
}

static void
on_done(void *ctx, int err, const void *body, size_t len, int *fds, unsigned int nfds)
{
	struct pair *p = ctx;

	p->done++;
	p->err = err;
	p->len = len;
	if (len > 0 && len <= sizeof(p->body))
		memcpy(p->body, body, len);
	if (p->keep_fd && nfds > 0) {
		p->fd = fds[0];
		fds[0] = -1;
	}
	if (p->again) {
		p->again = false;
		assert_int_equal(vfio_user_client_request(p->c, VFIO_USER_DEVICE_RESET, NULL, 0,
					 NULL, 0, on_done, p),
			0);
	}
}

static int
ask(struct pair *p, uint16_t command)
{
	return vfio_user_client_request(p->c, command, NULL, 0, NULL, 0, on_done, p);
}

/* The request as the server sees it. */
static struct vfio_user_header
served(struct pair *p)
{
	struct raw_reply r;

	assert_true(raw_recv(p->server, &r));
	return r.hdr;
}

static void
serve(struct pair *p, struct vfio_user_header req, uint32_t err, const void *body, uint32_t len)
{
	uint8_t buf[128];

	req.flags = VFIO_USER_F_TYPE_REPLY | (err != 0 ? VFIO_USER_F_ERROR : 0);
	req.error = err;
	req.size = VFIO_USER_HEADER_SIZE + len;
	memcpy(buf, &req, sizeof(req));
	if (len > 0)
		memcpy(buf + sizeof(req), body, len);
	send_with_fds(p->server, buf, req.size, NULL, 0);
}

static void
reply_ends_its_request(void **state)
{
	struct pair *p = *state;

	assert_int_equal(ask(p, VFIO_USER_DEVICE_RESET), 0);
	assert_int_equal(vfio_user_client_process(p->c), 0);
	assert_int_equal(p->done, 0);
	serve(p, served(p), 0, "body", 4);
	assert_int_equal(vfio_user_client_process(p->c), 0);
	assert_int_equal(p->done, 1);
	assert_int_equal(p->err, 0);
	assert_int_equal(p->len, 4);
	assert_memory_equal(p->body, "body", 4);
}

static void
error_reply_is_its_errno(void **state)
{
	static const struct {
		uint32_t wire;
		int err;
	} table[] = {{EEXIST, -EEXIST}, {4095, -4095}, {4096, -EIO}, {UINT32_MAX, -EIO}};
	struct pair *p = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ask(p, VFIO_USER_DMA_MAP);
		serve(p, served(p), table[i].wire, NULL, 0);
		vfio_user_client_process(p->c);
		assert_int_equal(p->err, table[i].err);
	}
}

static void
replies_are_matched_by_id_in_any_order(void **state)
{
	struct pair *p = *state, other = {.fd = -1};
	struct vfio_user_header first, second;

	ask(p, VFIO_USER_DEVICE_RESET);
	vfio_user_client_request(p->c, VFIO_USER_DEVICE_RESET, NULL, 0, NULL, 0, on_done, &other);
	first = served(p);
	second = served(p);
	assert_int_not_equal(first.id, second.id);
	serve(p, second, 0, "2", 1);
	vfio_user_client_process(p->c);
	assert_int_equal(p->done, 0);
	assert_int_equal(other.done, 1);
	serve(p, first, 0, "1", 1);
	vfio_user_client_process(p->c);
	assert_int_equal(p->done, 1);
	assert_int_equal(p->body[0], '1');
}

static void
request_may_be_made_from_within_a_reply(void **state)
{
	struct pair *p = *state;

	p->again = true;
	ask(p, VFIO_USER_DEVICE_RESET);
	serve(p, served(p), 0, NULL, 0);
	vfio_user_client_process(p->c);
	serve(p, served(p), 0, NULL, 0);
	vfio_user_client_process(p->c);
	assert_int_equal(p->done, 2);
}

static void
reply_that_was_not_asked_for_ends_the_connection(void **state)
{
	struct pair *p = *state;
	struct vfio_user_header hdr = {.id = 99, .command = VFIO_USER_DEVICE_RESET};

	ask(p, VFIO_USER_DEVICE_RESET);
	serve(p, hdr, 0, NULL, 0);
	assert_int_equal(vfio_user_client_process(p->c), -EPROTO);
	assert_int_equal(p->done, 1);
	assert_int_equal(p->err, -ECONNRESET);
	assert_int_equal(ask(p, VFIO_USER_DEVICE_RESET), -EPROTO);
}

static void
reply_to_another_command_ends_the_connection(void **state)
{
	struct pair *p = *state;
	struct vfio_user_header hdr;

	ask(p, VFIO_USER_DEVICE_RESET);
	hdr = served(p);
	hdr.command = VFIO_USER_DMA_MAP;
	serve(p, hdr, 0, NULL, 0);
	assert_int_equal(vfio_user_client_process(p->c), -EPROTO);
}

static void
reply_of_an_impossible_size_ends_the_connection(void **state)
{
	static const uint32_t sizes[] = {0, 15, VFIO_USER_MSG_MAX + 1, UINT32_MAX};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct vfio_user_header hdr = {.flags = VFIO_USER_F_TYPE_REPLY, .size = sizes[i]};
		struct pair *p;

		setup(state);
		p = *state;
		send_with_fds(p->server, &hdr, sizeof(hdr), NULL, 0);
		assert_int_equal(vfio_user_client_process(p->c), -EPROTO);
		teardown(state);
	}
}

static void
end_of_the_connection_ends_every_request_once(void **state)
{
	struct pair *p = *state;

	for (int i = 0; i < 10; i++)
		ask(p, VFIO_USER_DEVICE_RESET);
	shutdown(p->server, SHUT_RDWR);
	assert_int_equal(vfio_user_client_process(p->c), -ECONNRESET);
	assert_int_equal(p->done, 10);
	assert_int_equal(p->err, -ECONNRESET);
	assert_int_equal(vfio_user_client_process(p->c), -ECONNRESET);
	assert_int_equal(vfio_user_client_fd(p->c), -1);
	assert_int_equal(p->done, 10);
}

static void
replies_that_stood_before_the_end_are_delivered(void **state)
{
	struct pair *p = *state;

	ask(p, VFIO_USER_DEVICE_RESET);
	serve(p, served(p), 0, NULL, 0);
	shutdown(p->server, SHUT_RDWR);
	assert_int_equal(vfio_user_client_process(p->c), -ECONNRESET);
	assert_int_equal(p->done, 1);
	assert_int_equal(p->err, 0);
}

static void
posted_writes_are_kept_until_the_server_reads(void **state)
{
	struct pair *p = *state;
	struct raw_reply r;
	uint32_t sent = 0, got = 0;
	uint8_t data[1024];
	int ret;

	while ((ret = vfio_user_client_region_post(p->c, 2, 0, data, sizeof(data))) == 0) {
		memset(data, ++sent & 0xff, sizeof(data));
		assert_true(sent < 10000);
	}
	assert_int_equal(ret, -EAGAIN);
	assert_int_equal(vfio_user_client_events(p->c), POLLIN | POLLOUT);
	memset(data, 0, sizeof(data));
	for (int round = 0; round < 1000 && got < sent; round++) {
		while (got < sent && raw_recv(p->server, &r)) {
			assert_int_equal(r.hdr.command, VFIO_USER_REGION_WRITE);
			assert_int_equal(r.hdr.flags, VFIO_USER_F_NO_REPLY);
			if (got > 0)
				assert_int_equal(r.body[16 + 1023], got & 0xff);
			got++;
			assert_int_equal(vfio_user_client_process(p->c), 0);
		}
	}
	assert_int_equal(got, sent);
	assert_int_equal(vfio_user_client_events(p->c), POLLIN);
	assert_int_equal(vfio_user_client_region_post(p->c, 2, 0, data, 4), 0);
}

static void
descriptors_of_a_kept_request_are_kept_with_it(void **state)
{
	struct pair *p = *state;
	int file = memfd("ram"), ref = dup(file);
	struct vfio_user_fds_seen {
		int fd;
	} seen = {-1};
	uint8_t data[1024] = {0};
	unsigned int posts = 0;

	/* Fill the socket, until messages are kept. */
	while (vfio_user_client_events(p->c) == POLLIN) {
		assert_int_equal(vfio_user_client_region_post(p->c, 2, 0, data, sizeof(data)), 0);
		posts++;
	}
	assert_int_equal(
		vfio_user_client_request(p->c, VFIO_USER_DMA_MAP, NULL, 0, &file, 1, on_done, p),
		0);
	close(file);
	for (unsigned int got = 0; got <= posts;) {
		char control[CMSG_SPACE(sizeof(int))];
		struct vfio_user_header hdr;
		struct iovec iov = {&hdr, sizeof(hdr)};
		struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};

		vfio_user_client_process(p->c);
		if (recvmsg(p->server, &msg, MSG_DONTWAIT) != (ssize_t)sizeof(hdr))
			continue;
		if (CMSG_FIRSTHDR(&msg) != NULL)
			memcpy(&seen.fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
		for (uint32_t left = hdr.size - 16; left > 0;) {
			ssize_t n = recv(p->server, data, left < 1024 ? left : 1024, MSG_DONTWAIT);

			left -= n > 0 ? (uint32_t)n : 0;
			vfio_user_client_process(p->c);
		}
		assert_int_equal(seen.fd >= 0, hdr.command == VFIO_USER_DMA_MAP);
		got++;
	}
	assert_true(same_file(seen.fd, ref));
	close_all(2, (int[]){seen.fd, ref});
}

static void
requests_in_flight_are_bounded(void **state)
{
	struct pair *p = *state;
	unsigned int n = 0;

	while (ask(p, VFIO_USER_DEVICE_RESET) == 0)
		n++;
	assert_int_equal(n, VFIO_USER_CLIENT_PENDING_MAX);
	serve(p, served(p), 0, NULL, 0);
	vfio_user_client_process(p->c);
	assert_int_equal(ask(p, VFIO_USER_DEVICE_RESET), 0);
}

static void
request_that_no_server_could_take_is_refused(void **state)
{
	struct pair *p = *state;
	uint8_t big[VFIO_USER_BODY_MAX + 1] = {0};
	struct iovec iov[2] = {{big, sizeof(big)}, {big, SIZE_MAX}};
	int fds[VFIO_USER_FDS_MAX + 1] = {0};

	assert_int_equal(vfio_user_client_request(p->c, 1, iov, 1, NULL, 0, on_done, p), -EINVAL);
	iov[0].iov_len = 16;
	assert_int_equal(vfio_user_client_request(p->c, 1, iov, 2, NULL, 0, on_done, p), -EINVAL);
	assert_int_equal(
		vfio_user_client_request(p->c, 1, iov, 1, fds, VFIO_USER_FDS_MAX + 1, on_done, p),
		-EINVAL);
	assert_int_equal(p->done, 0);
}

static void
descriptors_of_a_reply_go_to_who_takes_them(void **state)
{
	struct pair *p = *state;
	int files[2] = {memfd("a"), memfd("b")}, before = open_fds();
	struct vfio_user_header hdr;

	p->keep_fd = true;
	ask(p, VFIO_USER_DEVICE_GET_REGION_INFO);
	hdr = served(p);
	hdr.flags = VFIO_USER_F_TYPE_REPLY;
	send_with_fds(p->server, &hdr, sizeof(hdr), files, 2);
	vfio_user_client_process(p->c);
	assert_int_equal(open_fds(), before + 1);
	assert_true(same_file(p->fd, files[0]));
	close_all(3, (int[]){p->fd, files[0], files[1]});
}

static void
server_s_own_command_is_answered_with_enotsup(void **state)
{
	struct pair *p = *state;

	raw_send(p->server, (struct raw){.id = 4,
				    .command = VFIO_USER_DMA_READ,
				    .body = "0123456789abcdef",
				    .len = 16});
	raw_send(p->server,
		(struct raw){
			.id = 5, .command = VFIO_USER_DMA_WRITE, .flags = VFIO_USER_F_NO_REPLY});
	assert_int_equal(vfio_user_client_process(p->c), 0);
	assert_reply(p->server, 4, ENOTSUP);
	assert_no_reply(p->server);
}

static void
on_closed(void *ctx, int err)
{
	struct pair *p = ctx;

	p->closed++;
	p->err = err;
}

static void
event_base_drives_the_client(void **state)
{
	struct pair *p = *state;
	struct event_base *base = event_base_new();

	assert_int_equal(vfio_user_client_attach(p->c, base, on_closed, p), 0);
	ask(p, VFIO_USER_DEVICE_RESET);
	serve(p, served(p), 0, NULL, 0);
	pump(base);
	assert_int_equal(p->done, 1);
	shutdown(p->server, SHUT_RDWR);
	pump(base);
	assert_int_equal(p->closed, 1);
	assert_int_equal(p->err, -ECONNRESET);
	event_base_free(base);
}

static void
event_base_sends_what_was_kept(void **state)
{
	struct pair *p = *state;
	struct event_base *base = event_base_new();
	struct raw_reply r;
	uint8_t data[1024] = {0};
	unsigned int sent = 0, got = 0;

	assert_int_equal(vfio_user_client_attach(p->c, base, NULL, NULL), 0);
	assert_int_equal(vfio_user_client_attach(p->c, base, NULL, NULL), -EBUSY);
	while (vfio_user_client_region_post(p->c, 2, 0, data, sizeof(data)) == 0)
		sent++;
	for (int round = 0; round < 1000 && got < sent; round++) {
		while (got < sent && raw_recv(p->server, &r))
			got++;
		pump(base);
	}
	assert_int_equal(got, sent);
	vfio_user_client_destroy(p->c);
	p->c = NULL;
	event_base_free(base);
}

static void
random_bytes_from_a_server_end_the_connection_at_worst(void **state)
{
	unsigned int seed = 20260101;

	for (int round = 0; round < 300; round++) {
		struct pair *p;
		uint8_t junk[64];
		int n;

		setup(state);
		p = *state;
		for (int i = 0; i < 4; i++)
			ask(p, VFIO_USER_DEVICE_RESET);
		for (n = 0; n < 20 && vfio_user_client_process(p->c) == 0; n++) {
			for (size_t i = 0; i < sizeof(junk); i++)
				junk[i] = rand_r(&seed) % 3 == 0 ? rand_r(&seed)
								 : rand_r(&seed) % 17 == 0;
			assert_int_equal(
				write(p->server, junk, rand_r(&seed) % sizeof(junk)) >= 0, 1);
		}
		teardown(state);
	}
	setup(state);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static int
test_vfio_user_client(void)
{
	const struct CMUnitTest tests[] = {
		T(reply_ends_its_request),
		T(error_reply_is_its_errno),
		T(replies_are_matched_by_id_in_any_order),
		T(request_may_be_made_from_within_a_reply),
		T(reply_that_was_not_asked_for_ends_the_connection),
		T(reply_to_another_command_ends_the_connection),
		cmocka_unit_test(reply_of_an_impossible_size_ends_the_connection),
		T(end_of_the_connection_ends_every_request_once),
		T(replies_that_stood_before_the_end_are_delivered),
		T(posted_writes_are_kept_until_the_server_reads),
		T(descriptors_of_a_kept_request_are_kept_with_it),
		T(requests_in_flight_are_bounded),
		T(request_that_no_server_could_take_is_refused),
		T(descriptors_of_a_reply_go_to_who_takes_them),
		T(server_s_own_command_is_answered_with_enotsup),
		T(event_base_drives_the_client),
		T(event_base_sends_what_was_kept),
		cmocka_unit_test_teardown(
			random_bytes_from_a_server_end_the_connection_at_worst, teardown),
	};

	return cmocka_run_group_tests_name("vfio_user_client", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_client, test_vfio_user_client)
