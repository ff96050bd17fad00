/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Device side of vhost-user: what a client asks and sets but for memory and rings, and what becomes
 * of messages that cannot be carried out.
 */

#include "vhost_user_device_bench.h"

static void
features_are_the_devices_own_and_the_protocols_without_iommu(void **state)
{
	struct bench *b = *state;

	assert_int_equal(ask_number(b, VHOST_USER_GET_FEATURES), OFFERED | PROTOCOL | LOG_ALL);
}

static void
device_is_told_of_virtios_features_alone(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_number(b, VHOST_USER_SET_FEATURES, SPLIT | LOG_ALL), SILENT);
	assert_trace(b, "set_features 100000000; ");
	assert_int_equal(b->state->features, SPLIT | LOG_ALL);
}

static void
features_that_were_not_offered_end_the_connection(void **state)
{
	struct bench *b = *state;

	assert_int_equal(
		tell_number(b, VHOST_USER_SET_FEATURES, SPLIT | 1ull << VIRTIO_F_ACCESS_PLATFORM),
		ENDED);
	assert_trace(b, "");
	assert_int_equal(b->state->features, 0);
	assert_int_equal(b->lines, 1);
}

static void
protocol_features_are_agreed_as_far_as_they_are_offered(void **state)
{
	struct bench *b = *state;

	assert_int_equal(
		ask_number(b, VHOST_USER_GET_PROTOCOL_FEATURES), VHOST_USER_PROTOCOL_FEATURES);
	assert_int_equal(
		tell_number(b, VHOST_USER_SET_PROTOCOL_FEATURES, VHOST_USER_PROTOCOL_BIT(STATUS)),
		SILENT);
	assert_true(vhost_user_device_status_told(b->dev));
	assert_int_equal(tell_number(b, VHOST_USER_SET_PROTOCOL_FEATURES,
				 VHOST_USER_PROTOCOL_BIT(PAGEFAULT)),
		ENDED);
	assert_int_equal(b->state->protocol_features, VHOST_USER_PROTOCOL_BIT(STATUS));
}

static void
protocol_feature_that_is_not_offered_takes_its_messages_away(void **state)
{
	struct bench *b = *state;
	const struct vhost_user_device_conf conf = {
		.pairs = 1,
		.max_queue_size = RING_SIZE,
		.protocol_features = VHOST_USER_PROTOCOL_BIT(MQ),
		.ops = &bench_ops,
		.ctx = b,
		.mailbox = b->mb,
		.state = b->state,
		.fresh = true,
	};

	vhost_user_device_destroy(b->dev);
	assert_int_equal(vhost_user_device_create(&conf, &b->dev), 0);
	assert_int_equal(ask_number(b, VHOST_USER_GET_QUEUE_NUM), 1);
	assert_int_equal(tell(b, VHOST_USER_GET_STATUS, NULL, 0), ENDED);
	assert_int_equal(tell(b, VHOST_USER_GET_MAX_MEM_SLOTS, NULL, 0), ENDED);
}

static void
queues_are_counted_in_pairs(void **state)
{
	assert_int_equal(ask_number(*state, VHOST_USER_GET_QUEUE_NUM), PAIRS);
}

static void
slots_are_as_many_as_a_large_machine_has(void **state)
{
	assert_int_equal(ask_number(*state, VHOST_USER_GET_MAX_MEM_SLOTS), VHOST_USER_SLOTS_MAX);
}

static void
owner_comes_and_goes_without_effect(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell(b, VHOST_USER_SET_OWNER, NULL, 0), SILENT);
	assert_int_equal(tell(b, VHOST_USER_SET_OWNER, NULL, 0), SILENT);
	assert_int_equal(tell(b, VHOST_USER_RESET_OWNER, NULL, 0), SILENT);
	assert_trace(b, "");
}

static void
acknowledgement_is_given_when_it_is_asked_for(void **state)
{
	struct bench *b = *state;
	uint64_t answer;

	assert_int_equal(
		tell_with(b, VHOST_USER_SET_OWNER, VHOST_USER_F_NEED_REPLY, NULL, 0, NULL, 0),
		ANSWERED);
	assert_int_equal(b->mb->reply_len, sizeof(answer));
	memcpy(&answer, b->mb->reply, sizeof(answer));
	assert_int_equal(answer, 0);
}

static void
failure_is_told_to_who_wants_to_know(void **state)
{
	const uint64_t bad = ~0ull;
	struct bench *b = *state;

	assert_int_equal(tell_with(b, VHOST_USER_SET_FEATURES, VHOST_USER_F_NEED_REPLY, &bad,
				 sizeof(bad), NULL, 0),
		REFUSED);
	assert_int_equal(*(uint64_t *)b->mb->reply, EINVAL);
}

static void
operation_that_fails_is_a_message_that_fails(void **state)
{
	const uint64_t features = SPLIT;
	struct bench *b = *state;

	b->fail = "set_features";
	b->ret = -ENOMEM;
	assert_int_equal(tell_with(b, VHOST_USER_SET_FEATURES, VHOST_USER_F_NEED_REPLY, &features,
				 sizeof(features), NULL, 0),
		REFUSED);
	assert_int_equal(*(uint64_t *)b->mb->reply, ENOMEM);
	assert_int_equal(b->state->features, 0);
}

static void
messages_that_this_server_does_not_know_end_the_connection(void **state)
{
	static const uint32_t table[] = {0, VHOST_USER_IOTLB_MSG, VHOST_USER_SET_VRING_ENDIAN,
		VHOST_USER_CREATE_CRYPTO_SESSION, VHOST_USER_POSTCOPY_ADVISE,
		VHOST_USER_GET_INFLIGHT_FD, VHOST_USER_VRING_KICK, 41, 1000, UINT32_MAX};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_int_equal(tell(b, table[i], NULL, 0), ENDED);
		assert_int_equal(tell_with(b, table[i], VHOST_USER_F_NEED_REPLY, NULL, 0, NULL, 0),
			table[i] == VHOST_USER_CREATE_CRYPTO_SESSION ||
					table[i] == VHOST_USER_POSTCOPY_ADVISE ||
					table[i] == VHOST_USER_GET_INFLIGHT_FD
				? ENDED
				: REFUSED);
	}
	assert_trace(b, "");
}

static void
every_message_has_its_own_length(void **state)
{
	static const struct {
		uint32_t request;
		uint32_t right;
	} table[] = {
		{VHOST_USER_GET_FEATURES, 0},
		{VHOST_USER_SET_FEATURES, 8},
		{VHOST_USER_SET_OWNER, 0},
		{VHOST_USER_SET_VRING_NUM, 8},
		{VHOST_USER_SET_VRING_ADDR, 40},
		{VHOST_USER_GET_VRING_BASE, 8},
		{VHOST_USER_SET_VRING_KICK, 8},
		{VHOST_USER_SEND_RARP, 8},
		{VHOST_USER_RESET_DEVICE, 0},
		{VHOST_USER_GET_STATUS, 0},
		{VHOST_USER_REM_MEM_REG, 40},
	};
	static const uint8_t zero[VHOST_USER_BODY_MAX];
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (uint32_t len = 0; len < 64; len++)
			if (len != table[i].right)
				tell(b, table[i].request, zero, len);
	assert_trace(b, "");
	assert_int_equal(b->lines, (sizeof(table) / sizeof(table[0])) * 63);
}

static void
descriptors_where_none_belong_are_not_taken(void **state)
{
	const uint64_t features = SPLIT;
	struct bench *b = *state;

	assert_int_equal(
		tell_with(b, VHOST_USER_SET_FEATURES, 0, &features, sizeof(features), &b->ram, 1),
		ENDED);
	assert_int_equal(tell_with(b, VHOST_USER_SET_OWNER, 0, NULL, 0, &b->ram, 1), ENDED);
	assert_trace(b, "");
}

static void
status_goes_to_the_device_and_comes_from_it(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_number(b, VHOST_USER_SET_STATUS, 0xb), SILENT);
	assert_trace(b, "set_status b; ");
	b->status |= 0x40;
	assert_int_equal(ask_number(b, VHOST_USER_GET_STATUS), 0x4b);
	assert_int_equal(tell_number(b, VHOST_USER_SET_STATUS, 0x100), ENDED);
	assert_trace(b, "");
}

static void
status_zero_stops_every_ring_once_the_device_has(void **state)
{
	struct bench *b = *state;
	struct vhost_user_ring ring;
	const uint64_t zero = 0;

	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_ENABLE, 1, 1), SILENT);
	bench_running(b, 1);
	b->fail = "set_status";
	b->ret = -EINPROGRESS;
	post(b, VHOST_USER_SET_STATUS, 0, &zero, sizeof(zero), NULL, 0);
	assert_false(vhost_user_device_handle(b->dev, b->fds));
	assert_true(vhost_user_device_ring(b->dev, 1, &ring));
	assert_true(vhost_user_device_complete(b->dev, 0));
	assert_int_equal(fate(b), SILENT);
	assert_false(vhost_user_device_ring(b->dev, 1, &ring));
	/* What the client has enabled stays enabled. */
	assert_int_equal(b->state->ring[1].flags, VHOST_USER_RING_ENABLED);
}

static void
reset_device_disables_rings_as_well(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_vring(b, VHOST_USER_SET_VRING_ENABLE, 0, 1), SILENT);
	bench_running(b, 0);
	assert_int_equal(tell(b, VHOST_USER_RESET_DEVICE, NULL, 0), SILENT);
	assert_trace(b, "reset; ");
	assert_int_equal(b->state->ring[0].flags, 0);
	assert_int_equal(b->state->slot[0].region.size, RAM_SIZE);
}

static void
configuration_is_read_in_the_size_that_was_asked_for(void **state)
{
	struct {
		struct vhost_user_config c;
		uint8_t data[24];
	} m = {.c = {.offset = 6, .size = 24}};
	struct bench *b = *state;

	assert_int_equal(tell(b, VHOST_USER_GET_CONFIG, &m, sizeof(m)), ANSWERED);
	assert_trace(b, "config_read 6+24; ");
	assert_int_equal(b->mb->reply_len, sizeof(m));
	assert_memory_equal(b->mb->reply, &m.c, sizeof(m.c));
	assert_int_equal(b->mb->reply[sizeof(m.c)], 0xc5);
	assert_int_equal(b->mb->reply[sizeof(m) - 1], 0xc5);
}

static void
configuration_out_of_bounds_is_answered_with_nothing(void **state)
{
	static const struct vhost_user_config table[] = {
		{0, 0, 0},
		{0, 257, 0},
		{256, 1, 0},
		{255, 2, 0},
		{UINT32_MAX, 2, 0},
		{2, UINT32_MAX, 0},
	};
	uint8_t body[sizeof(table[0]) + 256] = {0};
	struct bench *b = *state;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		memcpy(body, &table[i], sizeof(table[i]));
		assert_int_equal(
			tell(b, VHOST_USER_GET_CONFIG, body,
				sizeof(table[0]) + (table[i].size <= 256 ? table[i].size : 256)),
			REFUSED);
		assert_int_equal(b->mb->reply_len, 0);
	}
	assert_trace(b, "");
}

static void
configuration_is_written_by_driver_or_migration(void **state)
{
	struct {
		struct vhost_user_config c;
		uint8_t data[8];
	} m = {.c = {.offset = 0, .size = 8}};
	struct bench *b = *state;

	assert_int_equal(tell(b, VHOST_USER_SET_CONFIG, &m, sizeof(m)), SILENT);
	m.c.flags = VHOST_USER_CONFIG_MIGRATION;
	assert_int_equal(tell(b, VHOST_USER_SET_CONFIG, &m, sizeof(m)), SILENT);
	assert_trace(b, "config_write 0+8 0; config_write 0+8 1; ");
	/* A client that does not ask is none the worse for it. */
	m.c.flags = 2;
	assert_int_equal(tell(b, VHOST_USER_SET_CONFIG, &m, sizeof(m)), SILENT);
	assert_trace(b, "");
}

static void
mtu_is_checked_and_refused_softly(void **state)
{
	const uint64_t small = 67;
	struct bench *b = *state;

	assert_int_equal(tell_number(b, VHOST_USER_NET_SET_MTU, 9000), SILENT);
	assert_trace(b, "set_mtu 9000; ");
	assert_int_equal(tell_number(b, VHOST_USER_NET_SET_MTU, 0x10000), SILENT);
	assert_int_equal(
		tell_with(b, VHOST_USER_NET_SET_MTU, VHOST_USER_F_NEED_REPLY, &small, 8, NULL, 0),
		REFUSED);
	assert_trace(b, "");
}

static void
rarp_is_sent_for_the_address_given(void **state)
{
	struct bench *b = *state;

	assert_int_equal(tell_number(b, VHOST_USER_SEND_RARP, 0x0000060504030201ull), SILENT);
	assert_trace(b, "send_rarp 01..06; ");
}

static void
operations_that_a_device_lacks_are_refused_or_unneeded(void **state)
{
	struct vhost_user_device_ops few = bench_ops;
	struct bench *b = *state;
	const uint64_t mtu = 1500;
	int sv[2];

	few.set_mtu = NULL;
	few.backend_channel = NULL;
	few.log_fd = NULL;
	few.log = NULL;
	vhost_user_device_destroy(b->dev);
	assert_int_equal(bench_device(b, &few, true), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_int_equal(tell_with(b, VHOST_USER_SET_BACKEND_REQ_FD, 0, NULL, 0, sv, 1), SILENT);
	assert_int_equal(tell_with(b, VHOST_USER_SET_LOG_FD, 0, NULL, 0, &b->event, 1), SILENT);
	assert_int_equal(
		tell_with(b, VHOST_USER_NET_SET_MTU, VHOST_USER_F_NEED_REPLY, &mtu, 8, NULL, 0),
		REFUSED);
	close_all(2, sv);
}

static void
configuration_change_is_told_on_the_channel(void **state)
{
	struct bench *b = *state;
	struct vhost_user_header hdr;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	assert_false(vhost_user_device_config_told(b->dev));
	assert_int_equal(
		tell_number(b, VHOST_USER_SET_PROTOCOL_FEATURES,
			VHOST_USER_PROTOCOL_BIT(CONFIG) | VHOST_USER_PROTOCOL_BIT(BACKEND_REQ)),
		SILENT);
	assert_true(vhost_user_device_config_told(b->dev));
	assert_int_equal(tell_with(b, VHOST_USER_SET_BACKEND_REQ_FD, 0, NULL, 0, sv, 1), SILENT);
	assert_trace(b, "backend_channel; ");
	assert_int_equal(vhost_user_backend_config_changed(b->taken[0]), 0);
	assert_int_equal(recv(sv[1], &hdr, sizeof(hdr), MSG_DONTWAIT), sizeof(hdr));
	assert_int_equal(hdr.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(hdr.flags, VHOST_USER_VERSION);
	assert_int_equal(hdr.size, 0);
	close_all(2, sv);
}

static void
client_that_does_not_read_its_channel_holds_nobody_up(void **state)
{
	int sv[2], ret;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	do {
		ret = vhost_user_backend_config_changed(sv[0]);
	} while (ret == 0);
	assert_int_equal(ret, -EAGAIN);
	close(sv[1]);
	assert_int_equal(vhost_user_backend_config_changed(sv[0]), -EPIPE);
	close(sv[0]);
}

static void
request_of_a_crash_is_refused_without_a_look(void **state)
{
	struct bench *b = *state;
	const uint64_t features = SPLIT;

	post(b, VHOST_USER_SET_FEATURES, VHOST_USER_F_NEED_REPLY, &features, 8, NULL, 0);
	assert_true(vhost_user_device_refuse(b->dev, -EIO));
	assert_int_equal(fate(b), REFUSED);
	post(b, VHOST_USER_SET_FEATURES, 0, &features, 8, NULL, 0);
	assert_true(vhost_user_device_refuse(b->dev, -EIO));
	assert_int_equal(fate(b), ENDED);
	request_over(b);
	assert_false(vhost_user_device_refuse(b->dev, -EIO));
	assert_trace(b, "");
}

static void
end_of_a_connection_leaves_nothing_of_it(void **state)
{
	static const struct vhost_user_state none;
	struct bench *b = *state;
	const struct vhost_user_vring_state s = {.index = 1};

	bench_running(b, 1);
	b->fail = "ring_stop";
	b->ret = -EINPROGRESS;
	post(b, VHOST_USER_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);
	assert_false(vhost_user_device_handle(b->dev, b->fds));
	assert_true(vhost_user_device_pending(b->dev));
	vhost_user_device_reset_connection(b->dev);
	assert_false(vhost_user_device_pending(b->dev));
	assert_int_equal(fate(b), SILENT);
	assert_memory_equal(b->state, &none, sizeof(none));
}

static void
state_that_makes_no_sense_is_not_taken_up(void **state)
{
	struct bench *b = *state;

	bench_running(b, 1);
	vhost_user_device_destroy(b->dev);
	b->dev = NULL;
	b->state->ring[1].size = RING_SIZE + 1;
	assert_int_equal(bench_device(b, &bench_ops, false), -EBADMSG);
	b->state->ring[1].size = RING_SIZE;
	b->state->ring[2 * PAIRS].flags = VHOST_USER_RING_STARTED;
	b->state->ring[2 * PAIRS].size = 1;
	assert_int_equal(bench_device(b, &bench_ops, false), -EBADMSG);
	b->state->ring[2 * PAIRS].flags = 0;
	b->state->slot[3].region = (struct vhost_user_mem_region){UINT64_MAX, 2, 0, 0};
	assert_int_equal(bench_device(b, &bench_ops, false), -EBADMSG);
	b->state->slot[3].region.size = 0;
	assert_int_equal(bench_device(b, &bench_ops, false), 0);
}

static void
nonsense_of_the_owner_is_refused(void **state)
{
	struct bench *b = *state;
	struct vhost_user_device_conf conf = {.pairs = 1,
		.max_queue_size = 1,
		.ops = &bench_ops,
		.mailbox = b->mb,
		.state = b->state};
	struct vhost_user_device *dev;

	conf.pairs = 0;
	assert_int_equal(vhost_user_device_create(&conf, &dev), -EINVAL);
	conf.pairs = 129;
	assert_int_equal(vhost_user_device_create(&conf, &dev), -EINVAL);
	conf.pairs = 1;
	conf.max_queue_size = 0;
	assert_int_equal(vhost_user_device_create(&conf, &dev), -EINVAL);
	conf.max_queue_size = 1;
	conf.protocol_features = VHOST_USER_PROTOCOL_BIT(INFLIGHT_SHMFD);
	assert_int_equal(vhost_user_device_create(&conf, &dev), -EINVAL);
	conf.protocol_features = 0;
	conf.state = NULL;
	assert_int_equal(vhost_user_device_create(&conf, &dev), -EINVAL);
}

static int
test_vhost_user_device(void)
{
	const struct CMUnitTest tests[] = {
		T(features_are_the_devices_own_and_the_protocols_without_iommu),
		T(device_is_told_of_virtios_features_alone),
		T(features_that_were_not_offered_end_the_connection),
		T(protocol_features_are_agreed_as_far_as_they_are_offered),
		T(protocol_feature_that_is_not_offered_takes_its_messages_away),
		T(queues_are_counted_in_pairs),
		T(slots_are_as_many_as_a_large_machine_has),
		T(owner_comes_and_goes_without_effect),
		T(acknowledgement_is_given_when_it_is_asked_for),
		T(failure_is_told_to_who_wants_to_know),
		T(operation_that_fails_is_a_message_that_fails),
		T(messages_that_this_server_does_not_know_end_the_connection),
		T(every_message_has_its_own_length),
		T(descriptors_where_none_belong_are_not_taken),
		T(status_goes_to_the_device_and_comes_from_it),
		T(status_zero_stops_every_ring_once_the_device_has),
		T(reset_device_disables_rings_as_well),
		T(configuration_is_read_in_the_size_that_was_asked_for),
		T(configuration_out_of_bounds_is_answered_with_nothing),
		T(configuration_is_written_by_driver_or_migration),
		T(mtu_is_checked_and_refused_softly),
		T(rarp_is_sent_for_the_address_given),
		T(operations_that_a_device_lacks_are_refused_or_unneeded),
		T(configuration_change_is_told_on_the_channel),
		T(client_that_does_not_read_its_channel_holds_nobody_up),
		T(request_of_a_crash_is_refused_without_a_look),
		T(end_of_a_connection_leaves_nothing_of_it),
		T(state_that_makes_no_sense_is_not_taken_up),
		T(nonsense_of_the_owner_is_refused),
	};

	return cmocka_run_group_tests_name("vhost_user_device", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vhost_user_device, test_vhost_user_device)
