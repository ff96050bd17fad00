/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef TEST_UNIT_HOST_QMP_FIXTURE_H
#define TEST_UNIT_HOST_QMP_FIXTURE_H

/**
 * @file
 * A host of driver "qmp" with the monitor that plays its QEMU, for the suites host_qmp*.
 */

#include <string.h>

#include "host/host.h"
#include "qmp_monitor.h"
#include "test.h"

#define GUARD_S 20 /* a test that hangs fails */

static struct {
	struct host *host;
	struct host_reply replies[4];
	unsigned int n_replies;
} t;

static inline void
host_new(struct host_conf conf)
{
	char err[HOST_ERR_LEN] = "";

	conf.name = "vm1";
	conf.qmp_socket = qmp_monitor.path;
	assert_int_equal(
		host_driver_find("qmp")->create(&conf, qmp_monitor.base, &t.host, err, sizeof(err)),
		0);
}

static inline int
qmp_setup(void **state)
{
	memset(&t, 0, sizeof(t));
	return qmp_monitor_setup();
}

static inline void
host_delete(void)
{
	t.host->ops->destroy(t.host);
	t.host = NULL;
}

static inline int
qmp_teardown(void **state)
{
	if (t.host != NULL)
		host_delete();
	return qmp_monitor_teardown();
}

static inline void
done(void *arg, const struct host_reply *reply)
{
	t.replies[t.n_replies++] = *reply;
}

static inline void
run_until(unsigned int n_replies)
{
	const struct timeval guard = {.tv_sec = GUARD_S};

	/* Asked for now, answered later. */
	assert_int_equal(t.n_replies, 0);
	event_base_loopexit(qmp_monitor.base, &guard);
	while (t.n_replies < n_replies && !event_base_got_exit(qmp_monitor.base))
		event_base_loop(qmp_monitor.base, EVLOOP_ONCE);
	assert_int_equal(t.n_replies, n_replies);
	assert_int_equal(qmp_monitor.at, qmp_monitor.n_steps);
	t.n_replies = 0;
}

static const struct host_plug dev_a = {
	.id = "virtnet-a", .socket = "/run/a.sock", .function = {VMM_VFIO_USER, .msix = true}};
static const struct host_plug dev_a_intx = {
	.id = "virtnet-a", .socket = "/run/a.sock", .function = {VMM_VFIO_USER, .msix = false}};
static const struct host_plug dev_b = {
	.id = "virtnet-b", .socket = "/run/b.sock", .function = {VMM_VFIO_USER, .msix = true}};

static inline const struct host_reply *
plug(const struct host_plug *p)
{
	t.host->ops->plug(t.host, p, done, NULL);
	run_until(1);
	return &t.replies[0];
}

static inline const struct host_reply *
unplug(const struct host_plug *p, bool force, unsigned int timeout_ms)
{
	t.host->ops->unplug(t.host, p, force, timeout_ms, done, NULL);
	run_until(1);
	return &t.replies[0];
}

static inline const struct host_reply *
query(const char *id)
{
	t.host->ops->query(t.host, id, done, NULL);
	run_until(1);
	return &t.replies[0];
}

static inline void
assert_reply(const struct host_reply *reply, enum host_result result, const char *sentence)
{
	if (reply->result != result || strstr(reply->err, sentence) == NULL)
		fail_msg("result %d (wanted %d), '%s' (wanted '%s')", reply->result, result,
			reply->err, sentence);
}

/* clang-format off */
#define ADD_STEPS(port)                                                                            \
	{"\"/machine/peripheral/" port "/" port "\"", FREE}, {"\"hotplug\"", RETURN("true")},      \
	{"\"bus\":\"" port "\"", OK}
/* clang-format on */

#define QMP_TEST(name) cmocka_unit_test_setup_teardown(name, qmp_setup, qmp_teardown)

#endif /* TEST_UNIT_HOST_QMP_FIXTURE_H */
