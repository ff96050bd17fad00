/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The client of vhost-user against the whole of the server: front and device side on a thread of
 * their own, as a client meets them; and against servers that misbehave.
 */

#include <poll.h>
#include <pthread.h>

#include "vhost_user_device_bench.h"

struct server {
	struct bench bench; /* first: its operations are the device's */
	struct place place;
	struct sock_front *front;
	struct vhost_user_client *client;
	struct event *stop_ev;
	int stop;
	pthread_t thread;
};

static void
on_request(void *ctx)
{
	struct server *s = ctx;

	if (vhost_user_device_handle(s->bench.dev, sock_front_request_fds(s->front)))
		sock_front_reply(s->front);
}

static void
on_disconnected(void *ctx)
{
	struct server *s = ctx;

	vhost_user_device_reset_connection(s->bench.dev);
	sock_front_gone_done(s->front);
}

static const struct sock_front_ops front_ops = {
	.request = on_request, .disconnected = on_disconnected};

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	event_base_loopbreak(((struct server *)arg)->place.base);
}

static void *
server_main(void *arg)
{
	event_base_dispatch(((struct server *)arg)->place.base);
	return NULL;
}

static int
server_start(void **state)
{
	struct server *s = calloc(1, sizeof(*s));
	struct bench *b = &s->bench;
	struct sock_front_conf conf = {.ops = &front_ops, .ctx = s, .gid = (gid_t)-1};

	b->fds_before = open_fds();
	place_make(&s->place);
	b->mb = mailbox_new();
	b->state = calloc(1, sizeof(*b->state));
	b->ram = memfd("ram");
	assert_int_equal(ftruncate(b->ram, RAM_SIZE), 0);
	assert_int_equal(bench_device(b, &bench_ops, true), 0);
	conf.base = s->place.base;
	conf.mailbox = b->mb;
	conf.path = s->place.path;
	assert_int_equal(vhost_user_front_create(&conf, &s->front), 0);
	s->stop = eventfd(0, EFD_CLOEXEC);
	s->stop_ev = event_new(s->place.base, s->stop, EV_READ, on_stop, s);
	event_add(s->stop_ev, NULL);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
	assert_int_equal(vhost_user_client_connect(s->place.path, &s->client), 0);
	*state = s;
	return 0;
}

static int
server_end(void **state)
{
	struct server *s = *state;
	struct bench *b = &s->bench;
	const uint64_t one = 1;

	vhost_user_client_destroy(s->client);
	assert_int_equal(write(s->stop, &one, sizeof(one)), sizeof(one));
	pthread_join(s->thread, NULL);
	sock_front_destroy(s->front);
	vhost_user_device_destroy(b->dev);
	event_free(s->stop_ev);
	close_all((int)b->n_taken, b->taken);
	close_all(2, (int[]){s->stop, b->ram});
	place_remove(&s->place);
	assert_int_equal(open_fds(), b->fds_before);
	free(b->state);
	free(b->mb);
	free(s);
	return 0;
}

/* As QEMU begins. */
static void
negotiate(struct server *s)
{
	struct vhost_user_client *c = s->client;
	uint64_t value;

	assert_int_equal(vhost_user_client_get(c, VHOST_USER_GET_FEATURES, &value), 0);
	assert_int_equal(value, OFFERED | PROTOCOL | LOG_ALL);
	assert_int_equal(vhost_user_client_get(c, VHOST_USER_GET_PROTOCOL_FEATURES, &value), 0);
	assert_int_equal(vhost_user_client_set(c, VHOST_USER_SET_PROTOCOL_FEATURES, value), 0);
	assert_int_equal(vhost_user_client_tell(c, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0), 0);
	assert_int_equal(vhost_user_client_set(c, VHOST_USER_SET_FEATURES, SPLIT), 0);
}

static void
client_sets_up_a_ring_and_takes_it_down_again(void **state)
{
	struct server *s = *state;
	struct vhost_user_client *c = s->client;
	const struct vhost_user_mem_region r = ram_region();
	const struct vhost_user_vring_addr a = ring_addr(0);
	uint32_t base = 0;
	int kick = eventfd(0, EFD_CLOEXEC);

	negotiate(s);
	assert_int_equal(vhost_user_client_set_mem_table(c, &r, &s->bench.ram, 1), 0);
	assert_int_equal(vhost_user_client_set_vring(c, VHOST_USER_SET_VRING_NUM, 0, RING_SIZE), 0);
	assert_int_equal(vhost_user_client_set_vring(c, VHOST_USER_SET_VRING_BASE, 0, 9), 0);
	assert_int_equal(vhost_user_client_set_vring_addr(c, &a), 0);
	assert_int_equal(vhost_user_client_set_vring_fd(c, VHOST_USER_SET_VRING_KICK, 0, kick), 0);
	assert_int_equal(vhost_user_client_set_vring_fd(c, VHOST_USER_SET_VRING_CALL, 0, -1), 0);
	assert_int_equal(vhost_user_client_set_vring(c, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_trace(&s->bench,
		"set_features 100000000; mem_add 0 40000000+200000; mem_commit; "
		"kick 0 fd; ring_set_base 0 9; ring_start 0; call 0 none; ring_enable 0 1; ");
	s->bench.base = 1234;
	assert_int_equal(vhost_user_client_get_vring_base(c, 0, &base), 0);
	assert_int_equal(base, 1234);
	close(kick);
}

static void
client_is_told_of_failures(void **state)
{
	const struct vhost_user_mem_region r = {0, RAM_SIZE + 1, 0, 0};
	struct server *s = *state;
	uint64_t value;

	negotiate(s);
	assert_int_equal(
		vhost_user_client_set_mem_table(s->client, &r, &s->bench.ram, 1), -EREMOTEIO);
	assert_int_equal(
		vhost_user_client_set(s->client, VHOST_USER_SET_FEATURES, ~0ull), -EREMOTEIO);
	assert_int_equal(vhost_user_client_get(s->client, VHOST_USER_GET_QUEUE_NUM, &value), 0);
	assert_int_equal(value, PAIRS);
}

static void
client_that_wants_no_acknowledgement_gets_none(void **state)
{
	struct server *s = *state;
	uint64_t value;

	assert_int_equal(
		vhost_user_client_tell(s->client, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0), 0);
	assert_int_equal(vhost_user_client_set(s->client, VHOST_USER_SET_FEATURES, SPLIT), 0);
	assert_int_equal(vhost_user_client_get(s->client, VHOST_USER_GET_QUEUE_NUM, &value), 0);
	assert_trace(&s->bench, "set_features 100000000; ");
}

static void
client_whose_message_failed_unheard_is_disconnected(void **state)
{
	struct server *s = *state;
	uint64_t value;

	assert_int_equal(vhost_user_client_set(s->client, VHOST_USER_SET_FEATURES, ~0ull), 0);
	assert_int_equal(
		vhost_user_client_get(s->client, VHOST_USER_GET_QUEUE_NUM, &value), -ECONNRESET);
	assert_int_equal(vhost_user_client_fd(s->client), -1);
	/* The next one is served. */
	vhost_user_client_destroy(s->client);
	assert_int_equal(vhost_user_client_connect(s->place.path, &s->client), 0);
	negotiate(s);
}

static void
regions_configuration_and_log_have_calls_of_their_own(void **state)
{
	const struct vhost_user_mem_region r = ram_region();
	struct server *s = *state;
	struct vhost_user_client *c = s->client;
	uint8_t config[20] = {0};

	negotiate(s);
	trace_take(&s->bench);
	assert_int_equal(vhost_user_client_add_region(c, &r, s->bench.ram), 0);
	assert_int_equal(vhost_user_client_remove_region(c, &r), 0);
	assert_int_equal(vhost_user_client_set_log_base(c, 0x1000, 0, s->bench.ram), 0);
	assert_int_equal(vhost_user_client_get_config(c, 4, config, sizeof(config)), 0);
	assert_int_equal(config[19], 0xc5);
	assert_int_equal(vhost_user_client_get_config(c, 250, config, 20), -EREMOTEIO);
	assert_int_equal(
		vhost_user_client_set_config(c, 0, config, 6, VHOST_USER_CONFIG_MIGRATION), 0);
	assert_trace(&s->bench, "mem_add 0 40000000+200000; mem_commit; mem_remove 0; mem_commit; "
				"log_base 0+1000; config_read 4+20; config_write 0+6 1; ");
}

/* ---- servers that misbehave */

struct answers {
	unsigned int n;
	int err;
};

static void
on_answer(void *ctx, int err, const void *body, size_t len)
{
	struct answers *a = ctx;

	a->n++;
	a->err = err;
}

static void
every_request_ends_when_the_connection_does(void **state)
{
	struct vhost_user_client *c;
	struct answers a = {0};
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(vhost_user_client_adopt(sv[0], &c), 0);
	for (unsigned int i = 0; i < VHOST_USER_CLIENT_PENDING_MAX; i++)
		assert_int_equal(vhost_user_client_request(c, VHOST_USER_GET_FEATURES, 0, NULL, 0,
					 NULL, 0, on_answer, &a),
			0);
	assert_int_equal(vhost_user_client_request(
				 c, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0, on_answer, &a),
		-EAGAIN);
	close(sv[1]);
	assert_int_equal(vhost_user_client_process(c), -ECONNRESET);
	assert_int_equal(a.n, VHOST_USER_CLIENT_PENDING_MAX);
	assert_int_equal(a.err, -ECONNRESET);
	vhost_user_client_destroy(c);
}

static void
reply_that_was_not_asked_for_ends_the_connection(void **state)
{
	static const struct vhost_user_header table[] = {
		{VHOST_USER_GET_QUEUE_NUM, VHOST_USER_VERSION | VHOST_USER_F_REPLY, 0},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0},
		{VHOST_USER_GET_FEATURES, VHOST_USER_F_REPLY, 0},
		{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION | VHOST_USER_F_REPLY,
			VHOST_USER_BODY_MAX + 1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct vhost_user_client *c;
		struct answers a = {0};
		int sv[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		assert_int_equal(vhost_user_client_adopt(sv[0], &c), 0);
		assert_int_equal(vhost_user_client_request(c, VHOST_USER_GET_FEATURES, 0, NULL, 0,
					 NULL, 0, on_answer, &a),
			0);
		send_with_fds(sv[1], &table[i], sizeof(table[i]), NULL, 0);
		assert_int_equal(vhost_user_client_process(c), -EPROTO);
		vhost_user_client_destroy(c);
		close(sv[1]);
	}
}

static void
server_that_says_nothing_is_not_waited_for_for_ever(void **state)
{
	struct vhost_user_client *c;
	uint64_t value;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(vhost_user_client_adopt(sv[0], &c), 0);
	vhost_user_client_set_timeout(c, 1);
	assert_int_equal(vhost_user_client_get(c, VHOST_USER_GET_FEATURES, &value), -ETIMEDOUT);
	assert_int_equal(vhost_user_client_events(c), POLLIN);
	vhost_user_client_destroy(c);
	close(sv[1]);
}

static void
late_reply_is_nobodys(void **state)
{
	struct {
		struct vhost_user_header hdr;
		uint64_t value;
	} __attribute__((packed)) reply[2] = {
		{{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION | VHOST_USER_F_REPLY, 8}, 1},
		{{VHOST_USER_GET_FEATURES, VHOST_USER_VERSION | VHOST_USER_F_REPLY, 8}, 2},
	};
	struct vhost_user_client *c;
	uint64_t value;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(vhost_user_client_adopt(sv[0], &c), 0);
	vhost_user_client_set_timeout(c, 1);
	assert_int_equal(vhost_user_client_get(c, VHOST_USER_GET_FEATURES, &value), -ETIMEDOUT);
	send_with_fds(sv[1], reply, sizeof(reply), NULL, 0);
	vhost_user_client_set_timeout(c, 5000);
	assert_int_equal(vhost_user_client_get(c, VHOST_USER_GET_FEATURES, &value), 0);
	assert_int_equal(value, 2);
	vhost_user_client_destroy(c);
	close(sv[1]);
}

#define S(name) cmocka_unit_test_setup_teardown(name, server_start, server_end)

static int
test_vhost_user_client(void)
{
	const struct CMUnitTest tests[] = {
		S(client_sets_up_a_ring_and_takes_it_down_again),
		S(client_is_told_of_failures),
		S(client_that_wants_no_acknowledgement_gets_none),
		S(client_whose_message_failed_unheard_is_disconnected),
		S(regions_configuration_and_log_have_calls_of_their_own),
		cmocka_unit_test(every_request_ends_when_the_connection_does),
		cmocka_unit_test(reply_that_was_not_asked_for_ends_the_connection),
		cmocka_unit_test(server_that_says_nothing_is_not_waited_for_for_ever),
		cmocka_unit_test(late_reply_is_nobodys),
	};

	return cmocka_run_group_tests_name("vhost_user_client", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_client, test_vhost_user_client)
