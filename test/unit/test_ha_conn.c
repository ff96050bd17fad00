/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Connection of keeper and emu process: nothing is lost, reordered or leaked. */

#include <errno.h>
#include <fcntl.h>

#include "ha_conn_fixture.h"

static void
every_type_arrives_as_it_was_sent(void **state)
{
	struct ends *e = *state;
	int fds[3];

	for (unsigned int type = 0; type <= LAST_TYPE; type++) {
		struct ha_msg m = sample(type);

		if (!type_exists(type))
			continue;
		eventfds(fds, fds_of(type));
		assert_int_equal(ha_conn_send(e->a, &m, fds, fds_of(type)), 0);
		close_all(fds, fds_of(type));
		assert_int_equal(ends_recv(e), 1);
		assert_memory_equal(&e->msg, &m, sizeof(m));
		assert_int_equal(e->n, fds_of(type));
		for (unsigned int i = 0; i < e->n; i++) {
			assert_int_equal(eventfd_value(e->fds[i]), i + 1);
			assert_int_equal(fcntl(e->fds[i], F_GETFD), FD_CLOEXEC);
		}
	}
	assert_int_equal(ends_recv(e), 0);
}

static void
without_a_length_all_that_the_type_uses_is_sent(void **state)
{
	struct ends *e = *state;
	int fds[3];

	for (unsigned int type = 0; type <= LAST_TYPE; type++) {
		struct ha_msg m = sample(type), n = m;

		if (!type_exists(type))
			continue;
		n.len = 0;
		eventfds(fds, fds_of(type));
		assert_int_equal(ha_conn_send(e->a, &n, fds, fds_of(type)), 0);
		close_all(fds, fds_of(type));
		assert_int_equal(ends_recv(e), 1);
		assert_memory_equal(&e->msg, &m, sizeof(m));
	}
}

static void
messages_go_both_ways(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_NOTIFY);

	assert_int_equal(ha_conn_send(e->b, &m, NULL, 0), 0);
	assert_int_equal(ha_conn_recv(e->a, &e->msg, e->fds, &e->n), 1);
	assert_int_equal(e->msg.type, HA_NOTIFY);
}

static void
the_most_descriptors_that_a_message_may_have_arrive(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = {.type = HA_STORE, .device = 1};
	int fds[HA_FDS_MAX];

	m.u.slot = (struct ha_slot){.kind = HA_FD_MSIX, .count = HA_FDS_MAX};
	eventfds(fds, HA_FDS_MAX);
	assert_int_equal(ha_conn_send(e->a, &m, fds, HA_FDS_MAX), 0);
	close_all(fds, HA_FDS_MAX);
	assert_int_equal(ends_recv(e), 1);
	assert_int_equal(e->n, HA_FDS_MAX);
	assert_int_equal(eventfd_value(e->fds[HA_FDS_MAX - 1]), HA_FDS_MAX);
}

static void
what_the_peer_would_refuse_is_not_sent(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_STORE);
	int fds[HA_FDS_MAX + 1];

	eventfds(fds, HA_FDS_MAX + 1);
	assert_int_equal(ha_conn_send(e->a, &m, fds, 2), -EINVAL);
	m.u.slot.count = HA_FDS_MAX + 1;
	m.u.slot.index = 0;
	assert_int_equal(ha_conn_send(e->a, &m, fds, HA_FDS_MAX + 1), -EINVAL);
	m = (struct ha_msg){.type = HA_REPLY};
	assert_int_equal(ha_conn_send(e->a, &m, NULL, 0), -EINVAL);
	m = (struct ha_msg){.type = LAST_TYPE + 1};
	assert_int_equal(ha_conn_send(e->a, &m, NULL, 0), -EINVAL);
	m = (struct ha_msg){.type = HA_STOP, .len = sizeof(m.u) + 1};
	assert_int_equal(ha_conn_send(e->a, &m, NULL, 0), -EINVAL);
	m = (struct ha_msg){.type = HA_NOTIFY, .device = 1, .len = sizeof(m.u.notify) - 1};
	assert_int_equal(ha_conn_send(e->a, &m, NULL, 0), -EINVAL);
	close_all(fds, HA_FDS_MAX + 1);
	assert_int_equal(ends_recv(e), 0);
}

static void
a_descriptor_that_is_not_open_is_not_sent(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_BLOCK);

	assert_int_equal(ha_conn_send(e->a, &m, &(int){-1}, 1), -EBADF);
	assert_int_equal(ends_recv(e), 0);
}

/* ---- A peer that does not read */

static struct ha_msg
numbered(uint64_t i)
{
	struct ha_msg m = {.type = HA_STORE, .device = 1 + i};

	m.u.slot = (struct ha_slot){.kind = HA_FD_SF, .index = i % 65536, .count = 1};
	return m;
}

/* Send messages, each with an eventfd that holds its number, until some wait. @return how many */
static unsigned int
send_until_some_wait(struct ha_conn *c, unsigned int waiting)
{
	unsigned int i = 0;

	setsockopt(ha_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	for (; waiting > 0; i++) {
		struct ha_msg m = numbered(i);
		int fd = eventfd(i + 1, EFD_CLOEXEC | EFD_NONBLOCK);

		assert_int_equal(ha_conn_send(c, &m, &fd, 1), 0);
		close(fd);
		waiting -= ha_conn_waits(c);
	}
	return i;
}

static void
what_waits_keeps_its_order_and_descriptors(void **state)
{
	struct ends *e = *state;
	unsigned int sent = send_until_some_wait(e->a, 100), got = 0;

	while (got < sent) {
		int ret = ends_recv(e);

		assert_true(ret >= 0);
		if (ret == 0) {
			assert_true(ha_conn_waits(e->a));
			assert_int_equal(ha_conn_flush(e->a), 0);
			continue;
		}
		assert_int_equal(e->msg.device, got + 1);
		assert_int_equal(e->n, 1);
		assert_int_equal(eventfd_value(e->fds[0]), ++got);
	}
	assert_false(ha_conn_waits(e->a));
	assert_int_equal(ends_recv(e), 0);
}

static void
what_is_sent_later_does_not_overtake(void **state)
{
	struct ends *e = *state;
	unsigned int sent = send_until_some_wait(e->a, 2), got = 0;
	struct ha_msg last = {.type = HA_STOP};

	assert_int_equal(ends_recv(e), 1); /* room, but two wait */
	assert_int_equal(ha_conn_send(e->a, &last, NULL, 0), 0);
	for (got = 1; got < sent; got++) {
		assert_int_equal(ha_conn_flush(e->a), 0);
		assert_int_equal(ends_recv(e), 1);
		assert_int_equal(e->msg.device, got + 1);
	}
	assert_int_equal(ha_conn_flush(e->a), 0);
	assert_int_equal(ends_recv(e), 1);
	assert_int_equal(e->msg.type, HA_STOP);
}

static void
flush_of_nothing_is_no_error(void **state)
{
	struct ends *e = *state;

	assert_int_equal(ha_conn_flush(e->a), 0);
	assert_false(ha_conn_waits(e->a));
}

static void
what_waits_is_closed_with_the_connection(void **state)
{
	struct ends *e = *state;

	send_until_some_wait(e->a, 50);
	assert_true(open_fds() > e->before + 2); /* teardown counts again */
}

static void
there_is_an_end_to_waiting(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = {.type = HA_STOP};
	unsigned int n = 0;
	int ret;

	setsockopt(ha_conn_fd(e->a), SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	do
		ret = ha_conn_send(e->a, &m, NULL, 0);
	while (ret == 0 && ++n < 100000);
	assert_int_equal(ret, -ENOMEM);
	assert_true(n > 10000); /* a hand-over of all devices must fit */
}

/* ---- A peer that dies */

static void
peer_dies(struct ends *e)
{
	ha_conn_destroy(e->a);
	e->a = NULL;
}

static void
what_the_peer_had_sent_is_received_before_its_end(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_BLOCK);

	for (m.device = 1; m.device <= 3; m.device++)
		assert_int_equal(ha_conn_send(e->a, &m, &(int){0}, 1), 0);
	peer_dies(e);
	for (unsigned int i = 1; i <= 3; i++) {
		assert_int_equal(ends_recv(e), 1);
		assert_int_equal(e->msg.device, i);
		assert_int_equal(e->n, 1);
	}
	assert_int_equal(ends_recv(e), -EPIPE);
	assert_int_equal(ends_recv(e), -EPIPE);
}

/* The kernel then has an error to tell before the messages. */
static void
also_if_the_peer_had_not_read_ours(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_BLOCK);

	assert_int_equal(ha_conn_send(e->b, &m, &(int){0}, 1), 0);
	assert_int_equal(ha_conn_send(e->a, &m, &(int){0}, 1), 0);
	peer_dies(e);
	assert_int_equal(ends_recv(e), 1);
	assert_int_equal(e->msg.type, HA_BLOCK);
	assert_int_equal(ends_recv(e), -EPIPE);
}

static void
also_if_sending_has_failed_before(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_BLOCK);

	assert_int_equal(ha_conn_send(e->b, &m, &(int){0}, 1), 0);
	assert_int_equal(ha_conn_send(e->a, &m, &(int){0}, 1), 0);
	peer_dies(e);
	assert_int_equal(ha_conn_send(e->b, &m, &(int){0}, 1), -EPIPE);
	assert_int_equal(ha_conn_send(e->b, &m, &(int){0}, 1), -EPIPE);
	assert_int_equal(ends_recv(e), 1);
	assert_int_equal(ends_recv(e), -EPIPE);
}

static void
what_waits_for_a_dead_peer_is_dropped(void **state)
{
	struct ends *e = *state;

	send_until_some_wait(e->b, 10);
	peer_dies(e);
	assert_int_equal(ha_conn_flush(e->b), -EPIPE);
	assert_false(ha_conn_waits(e->b));
	assert_int_equal(open_fds(), e->before + 1);
}

static void
a_peer_that_shuts_its_side_has_gone(void **state)
{
	struct ends *e = *state;

	shutdown(ha_conn_fd(e->a), SHUT_WR);
	assert_int_equal(ends_recv(e), -EPIPE);
}

static void
sockets_are_not_inherited_and_do_not_block(void **state)
{
	struct ends *e = *state;

	assert_int_equal(fcntl(ha_conn_fd(e->a), F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(ha_conn_fd(e->b), F_GETFL) & O_NONBLOCK);
	ha_conn_destroy(NULL);
}

static int
test_ha_conn(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ENDS(every_type_arrives_as_it_was_sent),
		WITH_ENDS(without_a_length_all_that_the_type_uses_is_sent),
		WITH_ENDS(messages_go_both_ways),
		WITH_ENDS(the_most_descriptors_that_a_message_may_have_arrive),
		WITH_ENDS(what_the_peer_would_refuse_is_not_sent),
		WITH_ENDS(a_descriptor_that_is_not_open_is_not_sent),
		WITH_ENDS(what_waits_keeps_its_order_and_descriptors),
		WITH_ENDS(what_is_sent_later_does_not_overtake),
		WITH_ENDS(flush_of_nothing_is_no_error),
		WITH_ENDS(what_waits_is_closed_with_the_connection),
		WITH_ENDS(there_is_an_end_to_waiting),
		WITH_ENDS(what_the_peer_had_sent_is_received_before_its_end),
		WITH_ENDS(also_if_the_peer_had_not_read_ours),
		WITH_ENDS(also_if_sending_has_failed_before),
		WITH_ENDS(what_waits_for_a_dead_peer_is_dropped),
		WITH_ENDS(a_peer_that_shuts_its_side_has_gone),
		WITH_ENDS(sockets_are_not_inherited_and_do_not_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(ha_conn, test_ha_conn);
