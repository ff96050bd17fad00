/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Which breadcrumbs have been fatal twice, and which devices again and again. */

#include "ha/msg.h"
#include "ha/poison.h"

#include "test.h"

static const struct ha_crumb queue7 = {.kind = HA_CRUMB_QUEUE, .device = 3, .queue = 7, .pos = 500};
static const struct ha_crumb request9 = {.kind = HA_CRUMB_REQUEST, .device = 3, .seq = 9};
static const struct ha_crumb adopt = {.kind = HA_CRUMB_ADOPT, .device = 3};

static void
one_death_is_an_accident(void **state)
{
	struct poison p = {0};
	uint32_t queue;

	assert_false(poison_death(&p, &queue7, 0));
	assert_int_equal(poison_flags(&p, 3, &queue), 0);
}

static void
a_second_death_over_the_same_thing_makes_it_poison(void **state)
{
	static const struct {
		const struct ha_crumb *crumb;
		uint32_t flag;
	} cases[] = {
		{&queue7, HA_ADOPT_POISON_QUEUE},
		{&request9, HA_ADOPT_POISON_REQUEST},
		{&adopt, HA_ADOPT_POISON_BLOCK},
	};

	for (unsigned int i = 0; i < 3; i++) {
		struct poison p = {0};
		uint32_t queue = 0;

		poison_death(&p, cases[i].crumb, 1000);
		assert_true(poison_death(&p, cases[i].crumb, 1000 + POISON_WINDOW_MS));
		assert_int_equal(poison_flags(&p, 3, &queue), cases[i].flag);
		assert_int_equal(queue, cases[i].crumb->queue);
		assert_int_equal(poison_flags(&p, 4, &queue), 0);
	}
}

static void
deaths_over_different_things_are_no_poison(void **state)
{
	static const struct ha_crumb others[] = {
		{.kind = HA_CRUMB_QUEUE, .device = 3, .queue = 7, .pos = 501},
		{.kind = HA_CRUMB_QUEUE, .device = 3, .queue = 6, .pos = 500},
		{.kind = HA_CRUMB_QUEUE, .device = 2, .queue = 7, .pos = 500},
		{.kind = HA_CRUMB_REQUEST, .device = 3, .queue = 7, .pos = 500},
		{.kind = HA_CRUMB_REQUEST, .device = 3, .seq = 1},
		{.kind = HA_CRUMB_ADOPT, .device = 3},
	};

	for (unsigned int i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		struct poison p = {0};

		poison_death(&p, &queue7, 0);
		assert_false(poison_death(&p, &others[i], 0));
	}
}

/* A death over another place of the device each time. */
static enum poison_verdict
death_elsewhere(struct poison *p, uint32_t device, uint64_t now_ms)
{
	const uint16_t n = (uint16_t)p->n_deaths;
	const struct ha_crumb cases[] = {
		{.kind = HA_CRUMB_QUEUE, .device = device, .queue = n, .pos = n},
		{.kind = HA_CRUMB_REQUEST, .device = device, .seq = n},
	};

	return poison_death(p, &cases[n % 2], now_ms);
}

static void
device_that_is_fatal_again_and_again_elsewhere_begins_anew(void **state)
{
	const uint64_t apart = POISON_DEVICE_WINDOW_MS / (POISON_DEVICE_DEATHS - 1);
	struct poison p = {0};
	uint32_t queue;

	for (unsigned int i = 0; i < POISON_DEVICE_DEATHS - 1; i++)
		assert_int_equal(death_elsewhere(&p, 3, i * apart), POISON_NOT);
	assert_int_equal(poison_flags(&p, 3, &queue), 0);
	assert_int_equal(death_elsewhere(&p, 3, POISON_DEVICE_WINDOW_MS), POISON_DEVICE);
	/* Of queues and requests nothing is left. */
	assert_int_equal(poison_flags(&p, 3, &queue), HA_ADOPT_POISON_BLOCK);
	assert_int_equal(poison_flags(&p, 4, &queue), 0);
}

static void
device_that_is_fatal_now_and_then_goes_on(void **state)
{
	const uint64_t apart = POISON_DEVICE_WINDOW_MS / (POISON_DEVICE_DEATHS - 1) + 1;
	struct poison p = {0};

	for (unsigned int i = 0; i < 1000; i++)
		assert_int_equal(death_elsewhere(&p, 3, i * apart), POISON_NOT);
}

static void
host_waits_longer_with_each_death_more(void **state)
{
	unsigned int ms = POISON_QUARANTINE_MS;
	struct poison p = {0};

	for (unsigned int i = 0; i < POISON_DEVICE_DEATHS; i++)
		death_elsewhere(&p, 3, 0);
	for (unsigned int i = 0; i <= POISON_QUARANTINE_DOUBLES; i++, ms *= 2) {
		assert_int_equal(poison_quarantine_ms(&p, 3, 0), ms);
		assert_int_equal(death_elsewhere(&p, 3, 0), POISON_DEVICE);
	}
	assert_int_equal(poison_quarantine_ms(&p, 3, 0), ms / 2);
}

/* Something that none of them has done kills over whoever is served at that moment. */
static void
devices_that_deaths_are_spread_over_go_on(void **state)
{
	struct poison p = {0};

	for (unsigned int i = 0; i < 10 * POISON_DEATHS; i++)
		assert_int_equal(
			death_elsewhere(&p, 1 + i % (2 * POISON_DEVICE_SHARE), i * 5000ull),
			POISON_NOT);
}

static void
devices_in_league_are_found(void **state)
{
	struct poison p = {0};
	unsigned int found = 0;

	for (unsigned int i = 0; i < POISON_DEVICE_SHARE * POISON_DEVICE_DEATHS; i++)
		found += death_elsewhere(&p, 1 + i % POISON_DEVICE_SHARE, i * 5000ull) ==
			 POISON_DEVICE;
	assert_int_equal(found, POISON_DEVICE_SHARE);
}

static void
deaths_more_than_a_minute_apart_are_no_poison(void **state)
{
	struct poison p = {0};

	poison_death(&p, &queue7, 0);
	assert_false(poison_death(&p, &queue7, POISON_WINDOW_MS + 1));
}

static void
what_is_no_crumb_is_passed_over(void **state)
{
	static const struct ha_crumb cases[] = {
		{.kind = HA_CRUMB_NONE, .device = 3},
		{.kind = HA_CRUMB_ADOPT + 1, .device = 3},
		{.kind = UINT32_MAX, .device = UINT32_MAX},
		{.kind = HA_CRUMB_QUEUE, .device = 0},
	};
	struct poison p = {0};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		poison_death(&p, &cases[i], 0);
		assert_false(poison_death(&p, &cases[i], 0));
	}
}

static void
the_sentence_stands_until_a_process_has_taken_up_the_device(void **state)
{
	struct poison p = {0};
	uint32_t queue;

	poison_death(&p, &queue7, 0);
	poison_death(&p, &queue7, 0);
	poison_carried_out(&p, 4);
	assert_int_equal(poison_flags(&p, 3, &queue), HA_ADOPT_POISON_QUEUE);
	poison_carried_out(&p, 3);
	assert_int_equal(poison_flags(&p, 3, &queue), 0);
	assert_true(poison_death(&p, &queue7, 0));
}

static void
any_number_of_deaths_is_taken(void **state)
{
	struct poison p = {0};
	uint32_t queue;

	for (unsigned int i = 0; i < 4 * POISON_DEATHS; i++) {
		struct ha_crumb crumb = queue7;

		crumb.device = i + 1;
		assert_false(poison_death(&p, &crumb, i));
		assert_true(poison_death(&p, &crumb, i));
	}
	assert_int_equal(poison_flags(&p, 1, &queue), HA_ADOPT_POISON_QUEUE);
}

static int
test_keeper_poison(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_death_is_an_accident),
		cmocka_unit_test(a_second_death_over_the_same_thing_makes_it_poison),
		cmocka_unit_test(deaths_over_different_things_are_no_poison),
		cmocka_unit_test(device_that_is_fatal_again_and_again_elsewhere_begins_anew),
		cmocka_unit_test(device_that_is_fatal_now_and_then_goes_on),
		cmocka_unit_test(host_waits_longer_with_each_death_more),
		cmocka_unit_test(devices_that_deaths_are_spread_over_go_on),
		cmocka_unit_test(devices_in_league_are_found),
		cmocka_unit_test(deaths_more_than_a_minute_apart_are_no_poison),
		cmocka_unit_test(what_is_no_crumb_is_passed_over),
		cmocka_unit_test(the_sentence_stands_until_a_process_has_taken_up_the_device),
		cmocka_unit_test(any_number_of_deaths_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

REGISTER_TEST_COMMAND(keeper_poison, test_keeper_poison)
