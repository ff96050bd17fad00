/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Connection of keeper and emu process: what a peer of another version may send is understood,
 * what cannot be is refused, and costs no descriptor.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "ha_conn_fixture.h"

/* ---- What a peer of another version sends */

static void
what_an_older_peer_leaves_out_reads_as_zero(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_FDS);
	int fds[3];

	memset(&e->msg, 'y', sizeof(e->msg));
	eventfds(fds, 3);
	send_raw_msg(e, &m, fds, 3);
	close_all(fds, 3);
	assert_int_equal(ends_recv(e), 1);
	for (unsigned int i = 3; i < HA_FDS_MAX; i++) {
		assert_int_equal(e->msg.u.fds.slot[i].kind, 0);
		assert_int_equal(e->msg.u.fds.slot[i].index, 0);
	}
}

static void
what_a_newer_peer_says_beyond_is_dropped(void **state)
{
	static const unsigned int lens[] = {sizeof(struct ha_notify) + 8,
		sizeof(((struct ha_msg *)0)->u) + 1, HA_PACKET_MAX - HA_MSG_HEADER};
	struct ends *e = *state;
	char packet[HA_PACKET_MAX];

	for (unsigned int i = 0; i < 3; i++) {
		struct ha_msg m = sample(HA_NOTIFY);

		memset(packet, 'n', sizeof(packet));
		m.len = lens[i];
		memcpy(packet, &m, HA_MSG_HEADER + sizeof(m.u.notify));
		send_raw(e, packet, HA_MSG_HEADER + lens[i], NULL, 0);
		assert_int_equal(ends_recv(e), 1);
		assert_memory_equal(&e->msg.u.notify, &m.u.notify, sizeof(m.u.notify));
		assert_true(e->msg.len <= sizeof(e->msg.u));
	}
}

static void
strings_without_an_end_get_one(void **state)
{
	static const unsigned int types[] = {HA_HELLO, HA_CONVERT, HA_OPEN, HA_ADOPT, HA_WELCOME,
		HA_STATUS, HA_RELEASED, HA_ADOPTED, HA_CONVERTED, HA_OPENED, HA_MIGRATE};
	struct ends *e = *state;

	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct ha_msg s = sample(types[i]), m = s;

		memset(&m.u, 'x', m.len);
		if (types[i] == HA_HELLO || types[i] == HA_CONVERT)
			m.u.hello.n_layouts = 0;
		if (types[i] == HA_CONVERTED)
			m.u.result.err = 0;
		send_raw_msg(e, &m, (int[]){0}, fds_of(types[i]));
		assert_int_equal(ends_recv(e), 1);
		assert_true(strings_end(&e->msg));
	}
}

/* ---- Packets that cannot be. Each costs the connection, and no descriptor. */

static void
refused(const void *packet, size_t size, unsigned int n)
{
	struct ends *e;
	int fds[253];
	void *state;

	ends_open(&state);
	e = state;
	eventfds(fds, n);
	send_raw(e, packet, size, fds, n);
	close_all(fds, n);
	assert_int_equal(ends_recv(e), -EPROTO);
	assert_int_equal(e->n, 0);
	assert_int_equal(ends_recv(e), -EPROTO);
	ends_close(&state);
}

static void
refused_msg(const struct ha_msg *m, unsigned int n)
{
	refused(m, HA_MSG_HEADER + m->len, n);
}

/* In figures: they stay when the structures grow. */
static void
a_message_shorter_than_in_version_1_is_refused(void **state)
{
	static const struct {
		unsigned int type, len;
	} v1[] = {
		{HA_HELLO, 144},
		{HA_CONVERT, 144},
		{HA_OPEN, 252},
		{HA_NOTIFY, 24},
		{HA_KICK, 8},
		{HA_STORE, 12},
		{HA_DROP, 12},
		{HA_FDS, 16},
		{HA_ADOPT, 260},
		{HA_RELEASED, 264},
		{HA_ADOPTED, 264},
		{HA_CONVERTED, 264},
		{HA_OPENED, 264},
		{HA_MIGRATE, 264},
		{HA_HANDOVER, 4},
		{HA_WELCOME, 416},
		{HA_STATUS, 416},
	};

	for (unsigned int i = 0; i < sizeof(v1) / sizeof(v1[0]); i++) {
		struct ha_msg m = sample(v1[i].type);

		m.len = v1[i].len - 1;
		refused_msg(&m, fds_of(m.type));
		m.len = 0;
		refused_msg(&m, fds_of(m.type));
	}
}

static void
a_length_that_is_not_the_packets_is_refused(void **state)
{
	struct ha_msg m = sample(HA_NOTIFY);
	size_t size = HA_MSG_HEADER + m.len;

	m.len++;
	refused(&m, size, 0);
	m.len = UINT16_MAX;
	refused(&m, size, 0);
	m.len = sizeof(m.u.notify);
	refused(&m, size + 1, 0);
}

static void
less_than_a_header_is_refused(void **state)
{
	struct ha_msg m = {.type = HA_STOP};

	for (size_t size = 0; size < HA_MSG_HEADER; size++) {
		refused(&m, size, 0);
		refused(&m, size, 2);
	}
}

static void
more_than_a_packet_is_refused(void **state)
{
	static char packet[2 * HA_PACKET_MAX];
	struct ha_msg m = {.type = HA_STOP, .len = HA_PACKET_MAX + 1 - HA_MSG_HEADER};

	memcpy(packet, &m, HA_MSG_HEADER);
	refused(packet, HA_PACKET_MAX + 1, 0);
	refused(packet, sizeof(packet), 3);
}

static void
unknown_types_are_refused(void **state)
{
	for (unsigned int type = 0; type <= LAST_TYPE + 2; type++) {
		struct ha_msg m = {.type = type, .device = 1};

		if (!type_exists(type))
			refused_msg(&m, type % 3);
	}
	refused_msg(&(struct ha_msg){.type = UINT16_MAX, .device = 1}, 0);
}

static void
a_wrong_number_of_descriptors_is_refused(void **state)
{
	for (unsigned int type = 0; type <= LAST_TYPE; type++) {
		struct ha_msg m = sample(type);

		/* A request's number is known to the mailbox only. */
		if (!type_exists(type) || type == HA_REQUEST)
			continue;
		refused_msg(&m, fds_of(type) + 1);
		if (fds_of(type) > 0)
			refused_msg(&m, fds_of(type) - 1);
	}
}

static void
more_descriptors_than_a_message_may_have_are_refused(void **state)
{
	struct ha_msg m = sample(HA_REQUEST);

	refused_msg(&m, HA_FDS_MAX + 1);
	refused_msg(&m, 253);
}

static void
a_message_about_no_device_is_refused(void **state)
{
	static const unsigned int types[] = {HA_OPEN, HA_CLOSE, HA_REPLY, HA_GONE_DONE,
		HA_DISCONNECT, HA_NOTIFY, HA_KICK, HA_STORE, HA_DROP, HA_RELEASED, HA_ADOPTED,
		HA_BLOCK, HA_ADOPT, HA_FDS, HA_ADOPT_END, HA_OPENED, HA_CLOSED, HA_CONNECTED,
		HA_DISCONNECTED, HA_REQUEST, HA_RELEASE};

	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct ha_msg m = sample(types[i]);

		m.device = 0;
		refused_msg(&m, fds_of(types[i]));
	}
}

static void
counts_that_do_not_agree_are_refused(void **state)
{
	struct ha_msg m = sample(HA_FDS);

	m.u.fds.n = 4; /* three have come */
	refused_msg(&m, 3);
	m.u.fds.n = UINT32_MAX;
	refused_msg(&m, 3);
	m = sample(HA_FDS);
	m.len -= 1; /* three have come, of which two are named */
	refused_msg(&m, 3);
	m = sample(HA_STORE);
	m.u.slot.count = 2;
	refused_msg(&m, 3);
	m = sample(HA_HELLO);
	m.u.hello.n_layouts = HA_LAYOUTS_MAX + 1;
	refused_msg(&m, 0);
	m = sample(HA_KICK);
	m.u.kick.mode = HA_KICK_FORWARD;
	refused_msg(&m, 1);
	m = sample(HA_CONVERTED);
	m.u.result.err = -EBADMSG;
	refused_msg(&m, 1);
}

static void
slots_beyond_16_bits_are_refused(void **state)
{
	static const struct {
		uint32_t index, count;
	} cases[] = {
		{0, 0},
		{65535, 2},
		{65536, 1},
		{UINT32_MAX, 1},
		{1, UINT32_MAX},
		{0, 65537},
		{65536, UINT32_MAX},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ha_msg m = sample(HA_DROP);

		m.u.slot.index = cases[i].index;
		m.u.slot.count = cases[i].count;
		refused_msg(&m, 0);
	}
}

static void
no_room_for_descriptors_costs_the_message_and_none_of_them(void **state)
{
	struct ends *e = *state;
	struct ha_msg m = sample(HA_STORE);
	struct rlimit lim, tight;
	int fds[3], ret;

	eventfds(fds, 3);
	assert_int_equal(ha_conn_send(e->a, &m, fds, 3), 0);
	close_all(fds, 3);
	/* Two of three fit. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
	tight = (struct rlimit){.rlim_cur = fds[0] + 2, .rlim_max = lim.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	ret = ends_recv(e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lim), 0);
	assert_int_equal(ret, -EMFILE);
	assert_int_equal(e->n, 0);
	assert_int_equal(e->msg.type, HA_STORE);
	assert_int_equal(e->msg.device, m.device);
	/* The next one is heard. */
	m = sample(HA_STOP);
	assert_int_equal(ha_conn_send(e->a, &m, NULL, 0), 0);
	assert_int_equal(ends_recv(e), 1);
	assert_int_equal(e->msg.type, HA_STOP);
}

/* ---- Anything at all */

/* xorshift64; the same packets each time. */
static uint32_t
any(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed >> 32;
}

/* Mostly near a message that can be, so that the later checks are met as well. */
static size_t
any_packet(uint64_t *seed, void *packet)
{
	struct ha_msg m = sample(any(seed) % (LAST_TYPE + 4));
	size_t size;

	for (size_t i = 0; i < HA_PACKET_MAX + 64; i += 4)
		memcpy((char *)packet + i, &(uint32_t){any(seed)}, 4);
	if (any(seed) % 16 == 0)
		return any(seed) % (HA_PACKET_MAX + 64);
	if (any(seed) % 8 == 0)
		m.len = any(seed);
	if (any(seed) % 8 == 0)
		m.device = any(seed) % 2;
	for (unsigned int n = any(seed) % 4; n > 0; n--)
		((char *)&m.u)[any(seed) % sizeof(m.u)] = any(seed);
	size = HA_MSG_HEADER + m.len % HA_PACKET_MAX;
	memcpy(packet, &m, sizeof(m));
	return any(seed) % 16 == 0 ? any(seed) % size : size;
}

/* What a receiver relies upon. */
static void
check_received(const struct ends *e)
{
	const struct ha_msg *m = &e->msg;

	assert_true(type_exists(m->type));
	assert_true(m->len <= sizeof(m->u));
	assert_true(strings_end(m));
	if (m->type == HA_HELLO || m->type == HA_CONVERT)
		assert_true(m->u.hello.n_layouts <= HA_LAYOUTS_MAX);
	if (m->type == HA_FDS)
		assert_int_equal(m->u.fds.n, e->n);
	if (m->type == HA_STORE)
		assert_int_equal(m->u.slot.count, e->n);
	for (unsigned int i = 0; i < e->n; i++)
		assert_true(fcntl(e->fds[i], F_GETFD) >= 0);
}

static void
any_packet_is_a_checked_message_or_refused(void **state)
{
	char packet[HA_PACKET_MAX + 64] __attribute__((aligned(8)));
	unsigned int good = 0, bad = 0;
	uint64_t seed = 0x2545f4914f6cdd1dull;
	int before = open_fds(), fds[253];
	void *ends = NULL;

	for (int i = 0; i < 253; i++)
		fds[i] = 0;
	while (good + bad < 100000) {
		struct ends *e;
		unsigned int n;
		size_t size;

		if (ends == NULL)
			ends_open(&ends);
		e = ends;
		size = any_packet(&seed, packet);
		n = any(&seed) % 2 ? fds_of(((struct ha_msg *)packet)->type) : any(&seed) % 80;
		send_raw(e, packet, size, fds, n);
		if (ends_recv(e) == 1) {
			check_received(e);
			good++;
			continue;
		}
		assert_int_equal(ends_recv(e), -EPROTO);
		ends_close(&ends);
		ends = NULL;
		bad++;
	}
	if (ends != NULL)
		ends_close(&ends);
	assert_true(good > 10000 && bad > 10000);
	assert_int_equal(open_fds(), before);
}

static int
test_ha_conn_hostile(void)
{
	const struct CMUnitTest tests[] = {
		WITH_ENDS(what_an_older_peer_leaves_out_reads_as_zero),
		WITH_ENDS(what_a_newer_peer_says_beyond_is_dropped),
		WITH_ENDS(strings_without_an_end_get_one),
		cmocka_unit_test(a_message_shorter_than_in_version_1_is_refused),
		cmocka_unit_test(a_length_that_is_not_the_packets_is_refused),
		cmocka_unit_test(less_than_a_header_is_refused),
		cmocka_unit_test(more_than_a_packet_is_refused),
		cmocka_unit_test(unknown_types_are_refused),
		cmocka_unit_test(a_wrong_number_of_descriptors_is_refused),
		cmocka_unit_test(more_descriptors_than_a_message_may_have_are_refused),
		cmocka_unit_test(a_message_about_no_device_is_refused),
		cmocka_unit_test(counts_that_do_not_agree_are_refused),
		cmocka_unit_test(slots_beyond_16_bits_are_refused),
		WITH_ENDS(no_room_for_descriptors_costs_the_message_and_none_of_them),
		cmocka_unit_test(any_packet_is_a_checked_message_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(ha_conn_hostile, test_ha_conn_hostile);
