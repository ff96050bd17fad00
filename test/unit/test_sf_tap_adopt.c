/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* SF driver "tap": a TAP changes its process, wherever the one before has ended. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/seccomp.h>

#include "sf_tap_fixture.h"

#define PAIRS 4u

/* Descriptors as the keeper has them: its own, of every queue that there is. */
static void
keep(struct sf *sf, int fds[PAIRS])
{
	for (unsigned int i = 0; i < PAIRS; i++) {
		const int fd = tap.ops->descriptor(sf, i);

		fds[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
}

static struct sf *
adopt(const struct sf_state *state, const int *fds)
{
	const struct sf_params p = params(PAIRS, 1500);
	struct sf *sf = NULL;
	char err[256] = "";

	if (tap.ops->adopt(&p, state, fds, &sf, err, sizeof(err)) != 0)
		fail_msg("adopt: %s", err);
	return sf;
}

/* The process of a TAP ends; another takes its descriptors up. */
static struct sf *
change_process(struct sf *sf, const struct sf_state *state)
{
	int fds[PAIRS];

	keep(sf, fds);
	tap.ops->release(sf);
	assert_int_equal(rte_mempool_avail_count(tap.pool), N_MBUFS);
	return adopt(state, fds);
}

static void
fds_send(int sock, const int *fds)
{
	char control[CMSG_SPACE(PAIRS * sizeof(int))] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t) "", .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(PAIRS * sizeof(int));
	memcpy(CMSG_DATA(c), fds, PAIRS * sizeof(int));
	if (sendmsg(sock, &msg, 0) != 1)
		_exit(1);
}

static void
fds_recv(int sock, int *fds)
{
	char control[CMSG_SPACE(PAIRS * sizeof(int))], byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};

	assert_int_equal(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC), 1);
	memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), PAIRS * sizeof(int));
}

/* A process that makes a TAP with all pairs, hands out its descriptors and waits to be killed. */
static pid_t
child_start(int fds[PAIRS], struct sf_state *state)
{
	int sock[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock), 0);
	pid = fork();
	if (pid == 0) {
		const struct sf_params p = params(PAIRS, 1400);
		struct sf *sf;
		char err[256];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (tap.ops->create(&p, &sf, err, sizeof(err)) != 0 ||
			tap.ops->set_queues(sf, PAIRS, SF_CAP_RX_CSUM) != 0)
			_exit(1);
		for (unsigned int i = 0; i < PAIRS; i++)
			fds[i] = tap.ops->descriptor(sf, i);
		fds_send(sock[1], fds);
		if (write(sock[1], &sf->rep_ifindex, sizeof(int)) != sizeof(int))
			_exit(1);
		for (;;)
			pause();
	}
	fds_recv(sock[0], fds);
	assert_int_equal(read(sock[0], &state->rep_ifindex, sizeof(int)), sizeof(int));
	close(sock[0]);
	close(sock[1]);
	return pid;
}

static void
child_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static unsigned int
recv_all(struct sf *sf, uint16_t pairs)
{
	unsigned int n = 0;

	for (uint16_t q = 0; q < pairs; q++)
		n += recv_count(sf, q);
	return n;
}

static void
a_tap_of_a_killed_process_is_what_it_was_and_has_its_frames(void **state)
{
	struct sf_state st = {.pairs = PAIRS, .rx_caps = SF_CAP_RX_CSUM, .link_up = true};
	int fds[PAIRS], rep;
	struct sf *sf;
	pid_t pid;

	need_tap();
	pid = child_start(fds, &st);
	rep = rep_socket(st.rep_ifindex);
	send_flows(rep, 64);
	child_kill(pid);
	assert_int_equal(if_nametoindex(REP), st.rep_ifindex);
	assert_true(rep_carrier());
	send_flows(rep, 64); /* nobody is there: the kernel keeps them */
	sf = adopt(&st, fds);
	assert_string_equal(sf->rep, REP);
	assert_int_equal(sf->rep_ifindex, st.rep_ifindex);
	assert_int_equal(sf->max_pairs, PAIRS);
	assert_int_equal(recv_all(sf, PAIRS), 128);
	assert_int_equal(rep_ioctl(SIOCGIFMTU, 0).ifr_mtu, 1400);
	assert_true(rep_carrier());
	close(rep);
	tap_delete(sf);
	assert_int_equal(if_nametoindex(REP), 0);
}

static void
frames_pass_both_ways_after_an_adoption(void **state)
{
	struct sf_state st = {.pairs = 2, .link_up = true};
	struct sf *sf = tap_new(PAIRS, 1500);
	int rep = rep_open(sf, 2, 0);
	uint8_t frame[MAX_FRAME], got[MAX_FRAME];
	struct rte_mbuf *m;

	st.rep_ifindex = sf->rep_ifindex;
	sf = change_process(sf, &st);
	rep_send(rep, NULL, frame, frame_make(frame, 100));
	for (m = NULL; m == NULL;) {
		assert_true(tap.ops->rx_fd(sf, 0) >= 0 && tap.ops->rx_fd(sf, 1) >= 0);
		if (tap.ops->rx_burst(sf, 0, &m, 1) == 0)
			(void)tap.ops->rx_burst(sf, 1, &m, 1);
	}
	assert_packet(m, frame, 100);
	assert_int_equal(tap.ops->tx_burst(sf, 1, &m, 1), 1);
	assert_true(wait_readable(rep));
	assert_int_equal(read(rep, got, sizeof(got)), 100 + sizeof(struct virtio_net_hdr));
	close(rep);
	tap_delete(sf);
}

/* No lock of the kernel's is waited for: neither the network's (ioctl, netlink) nor a file's. */
static void
adoption_asks_nothing_of_the_kernel(void **state)
{
	static const unsigned int refused[] = {SYS_ioctl, SYS_socket, SYS_openat, SYS_open};
	struct sock_filter code[2 * RTE_DIM(refused) + 2];
	const struct sock_fprog prog = {.len = RTE_DIM(code), .filter = code};
	const struct sf_state st = {.pairs = 2, .link_up = true};
	struct sf *sf = tap_new(PAIRS, 1500);
	unsigned int n = 0;
	int fds[PAIRS], status;
	pid_t pid;

	code[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned int i = 0; i < RTE_DIM(refused); i++) {
		code[n++] =
			(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refused[i], 0, 1);
		code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	assert_int_equal(tap.ops->set_queues(sf, 2, 0), 0);
	keep(sf, fds);
	pid = fork();
	if (pid == 0) {
		const struct sf_params p = params(PAIRS, 1500);
		struct sf *own;
		char err[256];

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) != 0)
			_exit(2);
		_exit(tap.ops->adopt(&p, &st, fds, &own, err, sizeof(err)) != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (unsigned int i = 0; i < PAIRS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	tap_delete(sf);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
		print_message("[  SKIPPED ] no seccomp\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void
release_leaves_the_interface_to_who_holds_its_descriptors(void **state)
{
	struct sf *sf = tap_new(PAIRS, 1500);
	int fds[PAIRS];

	assert_int_equal(tap.ops->set_queues(sf, 3, 0), 0);
	assert_true(tap.ops->descriptor(sf, 2) >= 0);
	assert_int_equal(tap.ops->descriptor(sf, 3), -1);
	assert_int_equal(tap.ops->descriptor(sf, PAIRS), -1);
	keep(sf, fds);
	tap.ops->release(sf);
	assert_int_equal(rte_mempool_avail_count(tap.pool), N_MBUFS);
	assert_true(if_nametoindex(REP) > 0);
	for (unsigned int i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(if_nametoindex(REP), 0);
}

static void
an_adoption_that_cannot_be_is_refused_and_takes_nothing(void **state)
{
	static const struct {
		bool first;
		uint16_t pairs, mtu;
		const char *args, *sentence;
	} cases[] = {
		{false, 1, 1500, NULL, "the descriptor of the TAP's first queue is missing"},
		{true, PAIRS + 1, 1500, NULL, "5 queue pairs carried packets, the device has 4"},
		{true, 1, 1500, "ipv6=7", "'7' is not one of 0, 1"},
		{true, 1, 20, NULL, "MTU 20 is out of range"},
	};
	struct sf *sf = tap_new(PAIRS, 1500), *other = NULL;
	int fds[PAIRS];

	keep(sf, fds);
	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		const struct sf_state st = {.pairs = cases[i].pairs};
		const int given[PAIRS] = {cases[i].first ? fds[0] : -1, -1, -1, -1};
		struct sf_params p = params(PAIRS, cases[i].mtu);
		char err[256] = "";

		p.args = cases[i].args;
		assert_int_equal(tap.ops->adopt(&p, &st, given, &other, err, sizeof(err)), -EINVAL);
		if (strstr(err, cases[i].sentence) == NULL)
			fail_msg("'%s' does not say '%s'", err, cases[i].sentence);
		assert_true(fcntl(fds[0], F_GETFD) >= 0);
	}
	close(fds[0]);
	tap_delete(sf);
}

/* The wire agrees with the number of pairs: all flows arrive, on these queues. */
static void
assert_carries(struct sf *sf, uint16_t pairs)
{
	int rep = rep_socket(sf->rep_ifindex);

	assert_int_equal(rep_carrier(), pairs > 0);
	(void)recv_all(sf, pairs);
	if (pairs > 0)
		send_flows(rep, 32);
	assert_int_equal(recv_all(sf, pairs), pairs > 0 ? 32 : 0);
	close(rep);
}

static void
queue_switch(int fd, short what)
{
	struct ifreq ifr = {.ifr_flags = what};

	assert_int_equal(ioctl(fd, TUNSETQUEUE, &ifr), 0);
}

static void
half_a_change_of_queues_is_put_right(void **state)
{
	static const struct {
		uint16_t had, attached, wanted; /* `attached`: what the process before really had */
	} cases[] = {
		{0, 1, 1}, {0, 3, 4}, {0, 4, 0}, {0, 4, 2},	       /* it grew */
		{1, 4, 1}, {2, 3, 4}, {2, 4, 2}, {1, 1, 1},	       /* on its way to more */
		{4, 3, 4}, {4, 2, 1}, {4, 1, 0}, {4, 1, 4}, {3, 2, 3}, /* to fewer */
	};

	for (size_t i = 0; i < RTE_DIM(cases); i++) {
		struct sf_state st = {.pairs = cases[i].had, .link_up = true};
		struct sf *sf = tap_new(PAIRS, 1500);

		st.rep_ifindex = sf->rep_ifindex;
		assert_int_equal(tap.ops->set_queues(sf, PAIRS, 0), 0);
		for (uint16_t q = PAIRS; q-- > cases[i].attached;)
			queue_switch(tap.ops->descriptor(sf, q), IFF_DETACH_QUEUE);
		sf = change_process(sf, &st);
		assert_int_equal(tap.ops->set_queues(sf, cases[i].wanted, SF_CAP_RX_CSUM), 0);
		assert_carries(sf, cases[i].wanted);
		assert_int_equal(tap.ops->set_queues(sf, PAIRS, 0), 0);
		assert_carries(sf, PAIRS);
		tap_delete(sf);
	}
}

static void
queues_whose_descriptors_were_lost_are_opened_anew(void **state)
{
	struct sf_state st = {.pairs = PAIRS, .link_up = true};
	struct sf *sf = tap_new(PAIRS, 1500);
	int fds[PAIRS];

	st.rep_ifindex = sf->rep_ifindex;
	assert_int_equal(tap.ops->set_queues(sf, PAIRS, 0), 0);
	keep(sf, fds);
	tap.ops->release(sf);
	close(fds[1]);
	close(fds[3]);
	fds[1] = fds[3] = -1;
	sf = adopt(&st, fds);
	assert_int_equal(tap.ops->rx_fd(sf, 3), -1);
	assert_int_equal(tap.ops->set_queues(sf, PAIRS, 0), 0);
	assert_true(tap.ops->descriptor(sf, 3) >= 0);
	assert_carries(sf, PAIRS);
	tap_delete(sf);
}

static void
frames_that_wait_outlive_a_change_that_changes_nothing(void **state)
{
	struct sf_state st = {.pairs = 2, .link_up = true};
	struct sf *sf = tap_new(PAIRS, 1500);
	int rep = rep_open(sf, 2, 0);

	st.rep_ifindex = sf->rep_ifindex;
	send_flows(rep, 32);
	sf = change_process(sf, &st);
	assert_int_equal(tap.ops->set_queues(sf, 2, 0), 0);
	assert_int_equal(recv_all(sf, 2), 32);
	close(rep);
	tap_delete(sf);
}

static void
a_link_that_was_down_stays_down(void **state)
{
	struct sf_state st = {.pairs = 2, .link_up = false};
	struct sf *sf = tap_new(PAIRS, 1500);
	int rep = rep_open(sf, 2, 0);

	st.rep_ifindex = sf->rep_ifindex;
	assert_int_equal(tap.ops->set_link(sf, false), 0);
	sf = change_process(sf, &st);
	assert_int_equal(tap.ops->set_queues(sf, 3, 0), 0);
	assert_false(rep_carrier());
	assert_int_equal(tap.ops->set_link(sf, true), 0);
	assert_true(rep_carrier());
	close(rep);
	tap_delete(sf);
}

/* ---- killed at random ---- */

#define KILLS	    100u
#define LIFE_MAX_US 20000u /* some changes of queues, each of which waits for the kernel */

static void
change_queues_for_ever(struct sf *sf, unsigned int seed)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		(void)tap.ops->set_queues(sf, (uint16_t)(rand_r(&seed) % (PAIRS + 1)), seed & 1);
}

/* The record is as old as the process: nothing that it did since has been noted. */
static void
a_process_killed_at_random_while_it_changes_queues_leaves_a_tap_that_works(void **state)
{
	unsigned int seed = 1;
	struct sf_state st = {.link_up = true};
	struct sf *sf = tap_new(PAIRS, 1500);

	st.rep_ifindex = sf->rep_ifindex;
	for (unsigned int i = 0; i < KILLS; i++) {
		const uint16_t wanted = (uint16_t)(rand_r(&seed) % (PAIRS + 1));
		pid_t pid;

		/* Without mbufs: their pool is one for both processes. */
		sf = change_process(sf, &st);
		pid = fork();
		if (pid == 0)
			change_queues_for_ever(sf, i);
		usleep((unsigned int)rand_r(&seed) % LIFE_MAX_US);
		child_kill(pid);
		sf = change_process(sf, &st);
		assert_int_equal(tap.ops->set_queues(sf, wanted, i & 1), 0);
		assert_carries(sf, wanted);
		st.pairs = wanted;
		st.rx_caps = i & 1 ? SF_CAP_RX_CSUM : 0;
	}
	tap_delete(sf);
	assert_int_equal(if_nametoindex(REP), 0);
}

static int
test_sf_tap_adopt(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tap_of_a_killed_process_is_what_it_was_and_has_its_frames),
		cmocka_unit_test(frames_pass_both_ways_after_an_adoption),
		cmocka_unit_test(adoption_asks_nothing_of_the_kernel),
		cmocka_unit_test(release_leaves_the_interface_to_who_holds_its_descriptors),
		cmocka_unit_test(an_adoption_that_cannot_be_is_refused_and_takes_nothing),
		cmocka_unit_test(half_a_change_of_queues_is_put_right),
		cmocka_unit_test(queues_whose_descriptors_were_lost_are_opened_anew),
		cmocka_unit_test(frames_that_wait_outlive_a_change_that_changes_nothing),
		cmocka_unit_test(a_link_that_was_down_stays_down),
		cmocka_unit_test(
			a_process_killed_at_random_while_it_changes_queues_leaves_a_tap_that_works),
	};

	return cmocka_run_group_tests_name(
		"sf_tap_adopt", tests, tap_group_setup, tap_group_teardown);
}

REGISTER_TEST_COMMAND(sf_tap_adopt, test_sf_tap_adopt)
