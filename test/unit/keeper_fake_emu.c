/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * An emu process without EAL or devices, for the keeper's tests: says what a real one says, and
 * goes wrong where it is told to.
 *
 * Each message that comes and each step is a line on standard output: "PID WORD DEVICE". Its
 * VIRTNET_FAULT is a list of ACTION@WORD[/DEVICE], separated by commas: ACTION is taken whenever
 * WORD is about to be done. Words are names of messages, START (before HELLO) and KICKED (SIGUSR2).
 *
 *	kill, segv, abort	die
 *	exit			end with status 3
 *	stop			as by SIGSTOP
 *	hang			a loop without a heartbeat
 *	error			answer with -EIO
 *	once			the same, but only the first time
 *	removing		RELEASE: there is no such device; the second time it is closed then
 *	signal			die by a signal of a thread that has not entered the fence
 *	mute			do not answer
 *	garbage			send what is no message
 *	foreign			send a message about a device of nobody
 *	fuzz			send messages of any kind, then die
 *	convert			ADOPT: put another block in the place of the one that came
 *
 * and version=TEXT, proto=N say something else in HELLO. SIGUSR1 asks for a live update.
 * FAKE_FAULT in the environment: for processes that have no VIRTNET_FAULT.
 * FAKE_DEVICES in the environment: number of devices that it opens, FAKE_DIR: where. FAKE_SEED: for
 * fuzz, instead of the process id. A process that starts beside another one says BESIDE.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ha/conn.h"
#include "ha/fence.h"
#include "state/mailbox.h"
#include "state/state.h"

#define DEVICES_MAX 256u
#define LAYOUT_OLD  1
#define LAYOUT_NEW  2

struct emu {
	struct ha_conn *conn;
	struct ha_fence *fence;
	int socket_fd, fence_fd;
	bool convert;
	uint32_t device[DEVICES_MAX];
	unsigned int n;
	int block; /* of the device that is being adopted */
	const char *fault;
	bool failed_once;
	unsigned int asked; /* for a device that it is removing */
};

static void
say(const char *word, uint32_t device)
{
	char line[96];
	const int len = snprintf(line, sizeof(line), "%d %s %u\n", (int)getpid(), word, device);

	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		_exit(EXIT_FAILURE);
}

/* Text after "NAME=" in the list, up to a comma. */
static bool
setting(const struct emu *e, const char *name, char *value, size_t size)
{
	const char *at = e->fault != NULL ? strstr(e->fault, name) : NULL;

	if (at == NULL)
		return false;
	at += strlen(name);
	snprintf(value, size, "%.*s", (int)strcspn(at, ","), at);
	return true;
}

static bool
told_to(const struct emu *e, const char *action, const char *word, uint32_t device)
{
	char all[64], one[80];
	const char *at = e->fault;

	snprintf(all, sizeof(all), "%s@%s", action, word);
	snprintf(one, sizeof(one), "%s/%u", all, device);
	while (at != NULL && *at != '\0') {
		const size_t len = strcspn(at, ",");

		if ((strlen(all) == len && strncmp(at, all, len) == 0) ||
			(strlen(one) == len && strncmp(at, one, len) == 0))
			return true;
		at += len + (at[len] == ',');
	}
	return false;
}

static void
die_at(struct emu *e, int sig)
{
	ha_fence_crashed(e->fence, 0, sig);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
die_of(struct emu *e, int sig, uint32_t device)
{
	ha_crumb_queue(&e->fence->thread[0], device, 1, 77);
	die_at(e, sig);
}

static void
hang(struct emu *e, uint32_t device)
{
	ha_crumb_queue(&e->fence->thread[0], device, 1, 77);
	ha_thread_sleeps(&e->fence->thread[0], false);
	for (volatile unsigned int i = 0;; i++)
		continue;
}

static void
send_bytes(const struct emu *e, uint16_t type)
{
	const struct ha_msg msg = {.type = type, .len = 1};

	if (send(ha_conn_fd(e->conn), &msg, 9, MSG_NOSIGNAL) < 0)
		_exit(EXIT_FAILURE);
}

/* The section's version stands for the layout that a process of this version understands. */
static int
make_block(uint16_t layout)
{
	const struct state_section_desc desc[] = {
		{STATE_SEC_DEVICE, layout, 64},
		{STATE_SEC_MAILBOX, MAILBOX_VERSION, sizeof(struct mailbox)},
	};
	struct state_block *blk;
	int fd;

	if (state_block_create("fake", desc, 2, &blk) < 0)
		_exit(EXIT_FAILURE);
	fd = dup(state_block_fd(blk));
	state_block_close(blk);
	return fd;
}

/* Messages that can be sent, but make no sense; the process id decides which. */
static void
fuzz(struct emu *e)
{
	static const uint16_t types[] = {HA_OPEN, HA_CLOSE, HA_REPLY, HA_GONE_DONE, HA_DISCONNECT,
		HA_NOTIFY, HA_KICK, HA_STORE, HA_DROP, HA_RELEASED, HA_ADOPTED, HA_BLOCK,
		HA_HANDOVER, HA_CONVERTED, HA_STOPPED};
	int fds[3] = {STDIN_FILENO, e->fence_fd, make_block(LAYOUT_OLD)};
	const char *seed = getenv("FAKE_SEED");

	srandom(seed != NULL ? (unsigned int)atoi(seed) : (unsigned int)getpid());
	for (unsigned int i = 0; i < 1000; i++) {
		struct ha_msg msg = {0};
		uint8_t *bytes = (uint8_t *)&msg.u;

		msg.type = types[(unsigned long)random() % (sizeof(types) / sizeof(types[0]))];
		msg.device = (uint32_t)random() % 5;
		for (unsigned int b = 0; b < 32; b++)
			bytes[b] = (uint8_t)(random() % 4 == 0 ? random() : b % 4 == 0);
		msg.len = sizeof(msg.u.open);
		ha_conn_send(e->conn, &msg, &fds[random() % 3], (unsigned int)random() % 2);
	}
	raise(SIGKILL);
}

/* Faults that need no answer. */
static void
pass(struct emu *e, const char *word, uint32_t device)
{
	say(word, device);
	if (told_to(e, "kill", word, device))
		raise(SIGKILL);
	if (told_to(e, "segv", word, device))
		die_of(e, SIGSEGV, device);
	if (told_to(e, "move", word, device)) {
		ha_crumb_queue(&e->fence->thread[0], device, 1, (uint16_t)getpid());
		die_at(e, SIGSEGV);
	}
	if (told_to(e, "abort", word, device))
		die_of(e, SIGABRT, device);
	if (told_to(e, "signal", word, device)) {
		atomic_store(&e->fence->signal, SIGSEGV);
		raise(SIGKILL);
	}
	if (told_to(e, "exit", word, device))
		_exit(3);
	if (told_to(e, "stop", word, device))
		raise(SIGSTOP);
	if (told_to(e, "hang", word, device))
		hang(e, device);
	if (told_to(e, "garbage", word, device))
		send_bytes(e, 999);
	if (told_to(e, "fuzz", word, device))
		fuzz(e);
	if (told_to(e, "foreign", word, device)) {
		const struct ha_msg msg = {.type = HA_REPLY, .device = 4711};

		ha_conn_send(e->conn, &msg, NULL, 0);
	}
}

static bool
fails(struct emu *e, const char *word, uint32_t device)
{
	if (told_to(e, "once", word, device) && !e->failed_once) {
		e->failed_once = true;
		return true;
	}
	return told_to(e, "error", word, device);
}

/* @return false: it says that it could not */
static bool
send_result(struct emu *e, uint16_t type, const char *word, uint32_t device, int fd)
{
	struct ha_msg msg = {.type = type, .len = sizeof(msg.u.result), .device = device};

	if (told_to(e, "mute", word, device))
		return true;
	if (fails(e, word, device)) {
		msg.u.result.err = -EIO;
		strcpy(msg.u.result.text, "as told");
	}
	ha_conn_send(e->conn, &msg, &fd, fd >= 0 && msg.u.result.err == 0);
	return msg.u.result.err == 0;
}

static void
send_simple(struct emu *e, uint16_t type, uint32_t device)
{
	const struct ha_msg msg = {.type = type, .device = device};

	ha_conn_send(e->conn, &msg, NULL, 0);
}

static unsigned int
layout_of(int fd)
{
	struct state_block *blk;
	unsigned int v;

	if (state_block_open(fd, &blk) < 0)
		return 0;
	v = state_block_section_version(blk, STATE_SEC_DEVICE);
	state_block_close(blk);
	return v;
}

static void
open_devices(struct emu *e)
{
	const char *n = getenv("FAKE_DEVICES"), *dir = getenv("FAKE_DIR");
	const unsigned int want = n != NULL ? (unsigned int)atoi(n) : 0;
	uint32_t last = 0;

	for (unsigned int i = 0; i < e->n; i++)
		last = e->device[i] > last ? e->device[i] : last;
	while (e->n < want && e->n < DEVICES_MAX) {
		struct ha_msg msg = {.type = HA_OPEN, .len = sizeof(msg.u.open), .device = ++last};
		const int fd = make_block(LAYOUT_OLD);

		e->device[e->n++] = msg.device;
		strcpy(msg.u.open.transport, "vfio_user");
		snprintf(msg.u.open.vuid, sizeof(msg.u.open.vuid), "VUID%u", msg.device);
		snprintf(msg.u.open.path, sizeof(msg.u.open.path), "%s/%u", dir, msg.device);
		msg.u.open.mode = 0600;
		msg.u.open.gid = -1;
		msg.u.open.max_queues = 3;
		ha_conn_send(e->conn, &msg, &fd, 1);
		close(fd);
	}
}

static void
forget(struct emu *e, uint32_t device)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < e->n; i++)
		if (e->device[i] != device)
			e->device[kept++] = e->device[i];
	e->n = kept;
}

static void
adopt_end(struct emu *e, uint32_t device)
{
	if (told_to(e, "convert", "ADOPT", device)) {
		const struct ha_msg msg = {.type = HA_BLOCK, .device = device};
		const int fd = make_block(LAYOUT_NEW);

		ha_conn_send(e->conn, &msg, &fd, 1);
		close(fd);
	}
	if (send_result(e, HA_ADOPTED, "ADOPT", device, -1))
		e->device[e->n++] = device;
}

/* A command has come before, and is being carried out. */
static void
release(struct emu *e, uint32_t device)
{
	struct ha_msg msg = {.type = HA_RELEASED, .len = sizeof(msg.u.result), .device = device};

	forget(e, device);
	if (!told_to(e, "removing", "RELEASE", device)) {
		send_result(e, HA_RELEASED, "RELEASE", device, -1);
		return;
	}
	msg.u.result.err = -ENOENT;
	ha_conn_send(e->conn, &msg, NULL, 0);
	if (++e->asked == 2)
		send_simple(e, HA_CLOSE, device);
}

static void
close_all(struct emu *e)
{
	for (unsigned int i = 0; i < e->n; i++)
		send_simple(e, HA_CLOSE, e->device[i]);
	send_simple(e, HA_STOPPED, 0);
}

static void
convert(struct emu *e, const struct ha_msg *msg)
{
	const int fd = make_block(LAYOUT_OLD);

	send_result(e, HA_CONVERTED, "CONVERT", msg->device, fd);
	close(fd);
}

static void
take(struct emu *e, const struct ha_msg *msg, const int *fds)
{
	if (msg->type == HA_ADOPT) {
		char layout[32];

		snprintf(layout, sizeof(layout), "layout%u-flags%u", layout_of(fds[0]),
			msg->u.adopt.flags);
		say(layout, msg->device);
	}
	pass(e, ha_msg_name(msg->type), msg->device);
	switch (msg->type) {
	case HA_ACTIVE:
		open_devices(e);
		break;
	case HA_ADOPT_END:
		adopt_end(e, msg->device);
		break;
	case HA_RELEASE:
		release(e, msg->device);
		break;
	case HA_STOP:
		if (told_to(e, "mute", "STOP", 0))
			break;
		close_all(e);
		_exit(EXIT_SUCCESS);
	case HA_EXIT:
		_exit(EXIT_SUCCESS);
	case HA_CONVERT:
		convert(e, msg);
		break;
	default:
		break;
	}
}

static void
receive(struct emu *e)
{
	struct ha_msg msg;
	int fds[HA_FDS_MAX];
	unsigned int n = 0;
	int ret;

	while ((ret = ha_conn_recv(e->conn, &msg, fds, &n)) == 1) {
		take(e, &msg, fds);
		for (unsigned int i = 0; i < n; i++)
			close(fds[i]);
	}
	if (ret < 0)
		_exit(EXIT_FAILURE);
}

static void
hello(struct emu *e)
{
	struct ha_msg msg = {.type = HA_HELLO, .len = sizeof(msg.u.hello)};
	char proto[16];

	msg.u.hello.proto = setting(e, "proto=", proto, sizeof(proto)) ? (uint32_t)atoi(proto)
								       : HA_PROTO_VERSION;
	msg.u.hello.role = e->convert ? HA_ROLE_CONVERT : HA_ROLE_EMU;
	msg.u.hello.pid = getpid();
	msg.u.hello.n_layouts = 1;
	msg.u.hello.layout[0] = (struct ha_layout){STATE_SEC_DEVICE, LAYOUT_OLD};
	msg.u.hello.eal_us = 1500;
	msg.u.hello.pools_us = 2500;
	if (!setting(e, "version=", msg.u.hello.version, sizeof(msg.u.hello.version)))
		strcpy(msg.u.hello.version, "one");
	ha_conn_send(e->conn, &msg, NULL, 0);
}

static void
on_signal(struct emu *e, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1) {
			struct ha_msg msg = {.type = HA_HANDOVER, .len = sizeof(msg.u.handover)};

			msg.u.handover.kind = HA_HANDOVER_UPDATE;
			ha_conn_send(e->conn, &msg, NULL, 0);
		} else {
			pass(e, "KICKED", e->n > 0 ? e->device[0] : 0);
		}
	}
}

/*
 * Two EAL starts at once would race for a name. @return the lock, to be held until HELLO; -1:
 * another process has it, and is told on
 */
static int
start_alone(void)
{
	const char *dir = getenv("FAKE_DIR");
	char path[128];
	int fd;

	if (dir == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/starting", dir);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	say("BESIDE", 0);
	close(fd);
	return -1;
}

static void
serve(struct emu *e)
{
	struct pollfd p[2] = {{.fd = ha_conn_fd(e->conn), .events = POLLIN}, {.events = POLLIN}};
	const int alone = e->convert ? -1 : start_alone();
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p[1].fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	pass(e, "START", 0);
	if (!told_to(e, "mute", "START", 0)) {
		/* Before HELLO: with it the keeper may start the next one. */
		if (alone >= 0)
			close(alone);
		hello(e);
	}
	for (;;) {
		ha_thread_beat(&e->fence->thread[0]);
		ha_thread_sleeps(&e->fence->thread[0], true);
		if (poll(p, 2, -1) < 0)
			_exit(EXIT_FAILURE);
		ha_thread_sleeps(&e->fence->thread[0], false);
		if (p[0].revents != 0)
			receive(e);
		if (p[1].revents != 0)
			on_signal(e, p[1].fd);
	}
}

static int
number_after(const char *arg, const char *name)
{
	return strncmp(arg, name, strlen(name)) == 0 ? atoi(arg + strlen(name)) : -1;
}

int
main(int argc, char **argv)
{
	static struct emu e = {.socket_fd = -1, .fence_fd = -1, .block = -1};

	for (int i = 1; i < argc; i++) {
		if (e.socket_fd < 0)
			e.socket_fd = number_after(argv[i], "--" HA_OPT_SOCKET "=");
		if (e.fence_fd < 0)
			e.fence_fd = number_after(argv[i], "--" HA_OPT_FENCE "=");
		if (strcmp(argv[i], "--" HA_OPT_CONVERT) == 0)
			e.convert = true;
	}
	e.fault = getenv("VIRTNET_FAULT");
	if (e.fault == NULL)
		e.fault = getenv("FAKE_FAULT");
	if (e.socket_fd < 0 || ha_conn_create(e.socket_fd, &e.conn) < 0 ||
		ha_fence_open(e.fence_fd, &e.fence) < 0)
		return EXIT_FAILURE;
	if (!e.convert && ha_fence_enter(e.fence, 0) < 0)
		return EXIT_FAILURE;
	serve(&e);
	return EXIT_SUCCESS;
}
