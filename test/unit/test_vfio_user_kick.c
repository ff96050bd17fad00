/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The front: doorbell writes become eventfd signals and never touch the mailbox. */

#include "test.h"
#include "vfio_user_front_bench.h"

static void
kick_goes_straight_to_the_queue_s_eventfd(void **state)
{
	static const uint32_t sizes[] = {2, 4};
	struct bench *b = *state;
	int s = negotiated_client(b);

	for (unsigned int i = 0; i < 2; i++)
		for (unsigned int q = 0; q < QUEUES; q++) {
			uint64_t seq = b->mb->seq;

			send_write(s, q, VFIO_USER_F_NO_REPLY, BAR, DOORBELLS + 4 * q, sizes[i]);
			pump(b->place.base);
			for (unsigned int k = 0; k < QUEUES; k++)
				assert_int_equal(eventfd_take(b->kicks[k]), k == q ? 1 : 0);
			assert_int_equal(b->mb->seq, seq);
		}
	assert_int_equal(b->requests, 0);
	assert_int_equal(atomic_load(&b->mb->state), MAILBOX_EMPTY);
	assert_no_reply(s);
	close(s);
}

static void
kick_that_wants_a_reply_gets_it_from_the_front(void **state)
{
	struct bench *b = *state;
	struct vfio_user_region_access a;
	struct raw_reply r;
	int s = negotiated_client(b);

	send_write(s, 9, 0, BAR, DOORBELLS + 8, 2);
	pump(b->place.base);
	assert_true(raw_recv(s, &r));
	assert_int_equal(r.hdr.id, 9);
	assert_int_equal(r.hdr.size, VFIO_USER_HEADER_SIZE + sizeof(a));
	memcpy(&a, r.body, sizeof(a));
	assert_int_equal(a.offset, DOORBELLS + 8);
	assert_int_equal(a.region, BAR);
	assert_int_equal(a.count, 2);
	assert_int_equal(eventfd_take(b->kicks[2]), 1);
	assert_int_equal(b->requests, 0);
	close(s);
}

static void
write_that_is_no_plain_doorbell_goes_to_the_device_side(void **state)
{
	static const struct {
		uint32_t region;
		uint64_t off;
		uint32_t count;
	} table[] = {
		{BAR + 1, DOORBELLS, 2},
		{BAR, DOORBELLS - 4, 4},
		{BAR, DOORBELLS + 1, 2},
		{BAR, DOORBELLS + 2, 2},
		{BAR, DOORBELLS, 1},
		{BAR, DOORBELLS, 8},
		{BAR, DOORBELLS + 4 * (QUEUES + 1), 2},
		{BAR, DOORBELLS + 4 * QUEUES, 4}, /* the range ends within it */
		{BAR, UINT64_MAX - 1, 2},
	};
	struct bench *b = *state;
	int s = negotiated_client(b);

	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		send_write(s, i, 0, table[i].region, table[i].off, table[i].count);
		pump(b->place.base);
		assert_int_equal(b->requests, i + 1);
		assert_reply(s, i, 0);
	}
	for (unsigned int k = 0; k < QUEUES; k++)
		assert_int_equal(eventfd_take(b->kicks[k]), 0);
	close(s);
}

static void
write_to_a_doorbell_with_a_lying_count_or_descriptors_goes_to_the_device_side(void **state)
{
	struct bench *b = *state;
	struct {
		struct vfio_user_region_access a;
		uint8_t data[2];
	} __attribute__((packed)) body = {.a = {.offset = DOORBELLS, .region = BAR, .count = 4}};
	int file = memfd("x"), s = negotiated_client(b);

	raw_send(s, (struct raw){.id = 1,
			    .command = VFIO_USER_REGION_WRITE,
			    .body = &body,
			    .len = sizeof(body)});
	body.a.count = 2;
	raw_send(s, (struct raw){.id = 2,
			    .command = VFIO_USER_REGION_WRITE,
			    .body = &body,
			    .len = sizeof(body),
			    .fds = &file,
			    .nfds = 1});
	pump(b->place.base);
	assert_int_equal(b->requests, 2);
	assert_int_equal(eventfd_take(b->kicks[0]), 0);
	close_all(2, (int[]){file, s});
}

static void
kick_before_the_version_is_negotiated_goes_to_the_device_side(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);

	/* The next client's first message is a kick. */
	close(s);
	pump(b->place.base);
	s = client(b);
	send_write(s, 1, 0, BAR, DOORBELLS, 2);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_int_equal(b->mb->negotiated_seq, 0);
	assert_int_equal(eventfd_take(b->kicks[0]), 0);
	close(s);
}

static void
kick_without_an_eventfd_is_counted_and_answered(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);

	vfio_user_front_set_kick(b->front, 1, -1);
	send_write(s, 1, 0, BAR, DOORBELLS + 4, 2);
	send_write(s, 2, 0, BAR, DOORBELLS + 4 * QUEUES, 2); /* no such queue */
	pump(b->place.base);
	assert_reply(s, 1, 0);
	assert_reply(s, 2, 0);
	assert_int_equal(vfio_user_front_kick_stats(b->front).spurious, 2);
	assert_int_equal(b->requests, 0);
	assert_int_equal(vfio_user_front_set_kick(b->front, QUEUES, -1), -EINVAL);
	close(s);
}

static void
kick_of_a_queue_marked_for_forwarding_goes_to_the_device_side(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);

	vfio_user_front_set_kick(b->front, 3, VFIO_USER_KICK_FORWARD);
	send_write(s, 1, 0, BAR, DOORBELLS + 12, 2);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_reply(s, 1, 0);
	close(s);
}

static void
without_a_doorbell_range_every_write_goes_to_the_device_side(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);

	vfio_user_front_set_notify(b->front, NULL);
	send_write(s, 1, 0, BAR, DOORBELLS, 2);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	close(s);
}

static void
one_doorbell_for_all_names_the_queue_by_its_value(void **state)
{
	const struct vfio_user_notify notify = {.region = BAR, .offset = DOORBELLS, .size = 4};
	struct bench *b = *state;
	struct {
		struct vfio_user_region_access a;
		uint16_t queue;
	} __attribute__((packed))
	body = {.a = {.offset = DOORBELLS, .region = BAR, .count = 2}, .queue = 3};
	int s = negotiated_client(b);

	vfio_user_front_set_notify(b->front, &notify);
	raw_send(s, (struct raw){.command = VFIO_USER_REGION_WRITE,
			    .flags = VFIO_USER_F_NO_REPLY,
			    .body = &body,
			    .len = sizeof(body)});
	pump(b->place.base);
	assert_int_equal(eventfd_take(b->kicks[3]), 1);
	close(s);
}

static void
kick_waits_for_its_turn_behind_a_pending_request(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);

	b->hold = true;
	send_reset(s, 1);
	send_write(s, 2, VFIO_USER_F_NO_REPLY, BAR, DOORBELLS, 2);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_int_equal(eventfd_take(b->kicks[0]), 0);
	answer(b);
	assert_reply(s, 1, 0);
	pump(b->place.base);
	assert_int_equal(eventfd_take(b->kicks[0]), 1);
	close(s);
}

static void
posted_kicks_before_a_request_are_signalled_before_it(void **state)
{
	struct bench *b = *state;
	int s = negotiated_client(b);

	b->hold = true;
	for (int i = 0; i < 5; i++)
		send_write(s, 0, VFIO_USER_F_NO_REPLY, BAR, DOORBELLS, 2);
	send_reset(s, 1);
	pump(b->place.base);
	assert_int_equal(b->requests, 1);
	assert_int_equal(eventfd_take(b->kicks[0]), 5);
	answer(b);
	close(s);
}

static int
test_vfio_user_kick(void)
{
	const struct CMUnitTest tests[] = {
		T(kick_goes_straight_to_the_queue_s_eventfd),
		T(kick_that_wants_a_reply_gets_it_from_the_front),
		T(write_that_is_no_plain_doorbell_goes_to_the_device_side),
		T(write_to_a_doorbell_with_a_lying_count_or_descriptors_goes_to_the_device_side),
		T(kick_before_the_version_is_negotiated_goes_to_the_device_side),
		T(kick_without_an_eventfd_is_counted_and_answered),
		T(kick_of_a_queue_marked_for_forwarding_goes_to_the_device_side),
		T(without_a_doorbell_range_every_write_goes_to_the_device_side),
		T(one_doorbell_for_all_names_the_queue_by_its_value),
		T(kick_waits_for_its_turn_behind_a_pending_request),
		T(posted_kicks_before_a_request_are_signalled_before_it),
	};

	return cmocka_run_group_tests_name("vfio_user_kick", tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(vfio_user_kick, test_vfio_user_kick)
