/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Processes that are played by the test, and what a service manager has handed over. */

#include <stdlib.h>
#include <unistd.h>

#include "kept_fakes.h"
#include "test.h"

struct child {
	struct ha_conn *keeper, *emu; /* the two ends */
	bool killed;
	int fails;
};

static unsigned int stored;
static const int *stored_fds;
static char *const *stored_names;

struct child *
fake_child_new(void)
{
	struct child *ch = calloc(1, sizeof(*ch));
	int fd[2];

	assert_non_null(ch);
	assert_int_equal(ha_socketpair(fd), 0);
	assert_int_equal(ha_conn_create(fd[0], &ch->keeper), 0);
	assert_int_equal(ha_conn_create(fd[1], &ch->emu), 0);
	return ch;
}

struct child *
fake_child_on(int fd)
{
	struct child *ch = calloc(1, sizeof(*ch));

	assert_non_null(ch);
	assert_int_equal(ha_conn_create(fd, &ch->keeper), 0);
	return ch;
}

struct ha_conn *
fake_child_conn(const struct child *ch)
{
	return ch->keeper;
}

void
fake_child_free(struct child *ch)
{
	ha_conn_destroy(ch->keeper);
	ha_conn_destroy(ch->emu);
	free(ch);
}

void
fake_child_hang_up(struct child *ch)
{
	ha_conn_destroy(ch->emu);
	ch->emu = NULL;
}

bool
fake_child_killed(const struct child *ch)
{
	return ch->killed;
}

bool
fake_child_recv(struct child *ch, struct ha_msg *msg, int *fds, unsigned int *n)
{
	return ha_conn_recv(ch->emu, msg, fds, n) == 1;
}

void
fake_child_fail(struct child *ch, int err)
{
	ch->fails = err;
}

void
fake_stored_set(unsigned int n, const int *fds, char *const *names)
{
	stored = n;
	stored_fds = fds;
	stored_names = names;
}

int
fake_child_send(struct child *ch, const struct ha_msg *msg, const int *fds, unsigned int n)
{
	return ch->fails != 0 ? ch->fails : ha_conn_send(ch->keeper, msg, fds, n);
}

void
fake_child_kill(struct child *ch)
{
	ch->killed = true;
}

pid_t
fake_child_pid(const struct child *ch)
{
	(void)ch;
	return getpid();
}

const char *
fake_child_name(const struct child *ch)
{
	(void)ch;
	return "emu";
}

unsigned int
fake_sd_stored(void)
{
	return stored;
}

int
fake_sd_stored_get(unsigned int i, const char **name)
{
	*name = stored_names[i];
	return stored_fds[i];
}
