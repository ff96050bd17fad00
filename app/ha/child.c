/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* One emu process: its messages, its fence, its end. How it is started: child_spawn.c. */

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "child.h"
#include "child_spawn.h"
#include "clock.h"
#include "klog.h"
#include "sock/discard.h"

/*
 * The watching thread calls one function. Thread-local data of the whole program stand on the same
 * stack, which takes memory only where it is touched.
 */
#define WATCH_STACK_SIZE (256u * 1024)
/* Messages of one child before others have their turn. */
#define RX_BURST 64u
/* More than a socket can hold: what a dead process has left is read to the end, nothing else. */
#define RX_DRAIN_MAX 65536u
/* A process that has closed its connection is about to end by itself. */
#define GONE_MS 2000
/* Until the kernel may have memory again, or other processes have read descriptors. */
#define STARVED_MS 10

/* Shared with the watching thread, which may outlive the child: whoever is last frees it. */
struct watch {
	atomic_uint refs;
	struct ha_fence *fence;
	int eventfd;
	_Atomic uint64_t fallen_ns;
};

struct child {
	struct event_base *base;
	const struct child_ops *ops;
	void *ctx;
	const char *name;
	enum ha_role role;
	pid_t pid;
	struct ha_conn *conn;
	struct sock_closer *closer; /* of clients' descriptors that nobody has taken */
	struct watch *watch;
	struct event *rx, *tx, *tx_later, *sigchld, *fallen, *gone;
	struct ha_hello hello;
	uint64_t fenced_ns, killed_ns;
	bool ready, fenced, reaped, broken;
	bool forgotten;	    /* by child_destroy(); freed when reaped */
	unsigned int depth; /* of own calls: not to be freed now */
};

static void
watch_put(struct watch *w)
{
	if (w == NULL || atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	ha_fence_close(w->fence);
	if (w->eventfd >= 0)
		close(w->eventfd);
	free(w);
}

static int
watch_create(struct watch **out, int *fence_fd)
{
	struct watch *w = calloc(1, sizeof(*w));
	int ret;

	if (w == NULL)
		return -ENOMEM;
	atomic_init(&w->refs, 1);
	w->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = w->eventfd < 0 ? -errno : ha_fence_create(&w->fence, fence_fd);
	if (ret < 0) {
		w->fence = NULL;
		watch_put(w);
		return ret;
	}
	*out = w;
	return 0;
}

static void *
watch_main(void *arg)
{
	struct watch *w = arg;

	ha_fence_wait(w->fence);
	atomic_store(&w->fallen_ns, clock_ns());
	(void)eventfd_write(w->eventfd, 1);
	watch_put(w);
	return NULL;
}

/* No signal is for this thread: they wake the main loop. */
static int
watch_start(struct watch *w)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int ret = pthread_attr_init(&attr);

	if (ret != 0)
		return -ret;
	pthread_attr_setstacksize(&attr, WATCH_STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	atomic_fetch_add(&w->refs, 1);
	ret = pthread_create(&thread, &attr, watch_main, w);
	if (ret != 0)
		atomic_fetch_sub(&w->refs, 1);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -ret;
}

static void
event_drop(struct event **ev)
{
	if (*ev != NULL)
		event_free(*ev);
	*ev = NULL;
}

static void
child_free(struct child *ch)
{
	event_drop(&ch->rx);
	event_drop(&ch->tx);
	event_drop(&ch->tx_later);
	event_drop(&ch->sigchld);
	event_drop(&ch->fallen);
	event_drop(&ch->gone);
	ha_conn_destroy(ch->conn);
	sock_closer_release(ch->closer);
	watch_put(ch->watch);
	free(ch);
}

static void
child_enter(struct child *ch)
{
	ch->depth++;
}

static void
child_leave(struct child *ch)
{
	if (--ch->depth == 0 && ch->forgotten && ch->reaped)
		child_free(ch);
}

/* What it says cannot be understood: nothing that it does can be relied on. */
static void
child_broken(struct child *ch, const char *why)
{
	if (ch->broken)
		return;
	ch->broken = true;
	klog_err("%s process %d %s: killed", ch->name, (int)ch->pid, why);
	child_kill(ch);
}

static void
child_hello_take(struct child *ch, const struct ha_hello *hello)
{
	if (hello->proto != HA_PROTO_VERSION || hello->role != (uint32_t)ch->role) {
		klog_err("%s process %d speaks protocol %u in role %u, not %u in role %u", ch->name,
			(int)ch->pid, hello->proto, hello->role, HA_PROTO_VERSION, ch->role);
		child_broken(ch, "is of a version that does not fit");
		return;
	}
	ch->hello = *hello;
	ch->hello.version[sizeof(ch->hello.version) - 1] = '\0';
	for (char *c = ch->hello.version; *c != '\0'; c++)
		if (!isprint((unsigned char)*c))
			*c = '?';
	/* A converter touches no device: it has no fence. */
	if (ch->role == HA_ROLE_EMU && watch_start(ch->watch) < 0) {
		child_broken(ch, "cannot be watched");
		return;
	}
	ch->ready = true;
	ch->ops->ready(ch);
}

static void
child_message(struct child *ch, const struct ha_msg *msg, int *fds, unsigned int n)
{
	if (ch->forgotten || ch->broken)
		return;
	if ((msg->type == HA_HELLO) == ch->ready) {
		child_broken(ch, ch->ready ? "said HELLO again" : "did not say HELLO first");
		return;
	}
	if (msg->type == HA_HELLO)
		child_hello_take(ch, &msg->u.hello);
	else
		ch->ops->message(ch, msg, fds, n);
}

static void
child_lost(struct child *ch, const struct ha_msg *msg)
{
	if (ch->forgotten || ch->broken)
		return;
	if (ch->ready)
		ch->ops->lost(ch, msg);
	else
		child_broken(ch, "did not say HELLO first");
}

static void
child_receive(struct child *ch, unsigned int max)
{
	struct ha_msg msg;
	int fds[HA_FDS_MAX];
	int ret = 1;

	for (unsigned int i = 0; i < max && !ch->forgotten; i++) {
		unsigned int n = 0;

		ret = ha_conn_recv(ch->conn, &msg, fds, &n);
		if (ret == -EMFILE) {
			child_lost(ch, &msg);
			ret = 1;
			continue;
		}
		if (ret != 1)
			break;
		child_message(ch, &msg, fds, n);
		sock_discard(ch->closer, fds, n);
	}
	if (ret >= 0 || ch->forgotten)
		return;
	event_del(ch->rx);
	if (ret == -EPROTO)
		child_broken(ch, "sent a message that cannot be");
	else if (!ch->fenced && !ch->forgotten)
		event_add(ch->gone, &(struct timeval){.tv_sec = GONE_MS / 1000});
}

static void
on_rx(evutil_socket_t fd, short what, void *arg)
{
	struct child *ch = arg;

	child_enter(ch);
	child_receive(ch, RX_BURST);
	child_leave(ch);
}

/* Whatever waits is sent when that is possible. */
static void
child_watch_tx(struct child *ch)
{
	if (!ha_conn_waits(ch->conn)) {
		event_del(ch->tx);
	} else if (ha_conn_starved(ch->conn)) {
		/* The socket is writable all the time. */
		event_del(ch->tx);
		event_add(ch->tx_later, &(struct timeval){.tv_usec = STARVED_MS * 1000});
	} else {
		event_add(ch->tx, NULL);
	}
}

static void
on_tx(evutil_socket_t fd, short what, void *arg)
{
	struct child *ch = arg;

	/* That the peer has gone is told by the fence; nothing waits then. */
	(void)ha_conn_flush(ch->conn);
	child_watch_tx(ch);
}

static void
on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct child *ch = arg;

	child_enter(ch);
	child_broken(ch, "has closed its connection and goes on");
	child_leave(ch);
}

static void
child_fall(struct child *ch, uint64_t when)
{
	if (ch->fenced || ch->forgotten)
		return;
	/* Before its last messages are delivered, so that nothing is sent in answer. */
	ch->fenced_ns = when;
	if (!ch->reaped)
		kill(ch->pid, SIGKILL);
	child_receive(ch, RX_DRAIN_MAX);
	ch->fenced = true;
	event_drop(&ch->rx);
	event_drop(&ch->tx);
	event_drop(&ch->tx_later);
	event_drop(&ch->gone);
	if (!ch->forgotten)
		ch->ops->fenced(ch);
}

static void
on_fallen(evutil_socket_t fd, short what, void *arg)
{
	struct child *ch = arg;
	eventfd_t n;

	(void)eventfd_read((int)fd, &n);
	child_enter(ch);
	child_fall(ch, atomic_load(&ch->watch->fallen_ns));
	child_leave(ch);
}

static void
child_reaped(struct child *ch, const siginfo_t *info)
{
	ch->reaped = true;
	event_del(ch->sigchld);
	child_fall(ch, clock_ns());
	if (!ch->forgotten)
		ch->ops->reaped(ch, info->si_code == CLD_EXITED ? W_EXITCODE(info->si_status, 0)
								: W_EXITCODE(0, info->si_status));
}

static void
on_sigchld(evutil_socket_t sig, short what, void *arg)
{
	struct child *ch = arg;
	siginfo_t info = {0};

	if (waitid(P_PID, (id_t)ch->pid, &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) < 0 ||
		info.si_pid == 0)
		return;
	child_enter(ch);
	if (info.si_code == CLD_STOPPED || info.si_code == CLD_CONTINUED) {
		if (!ch->fenced && !ch->forgotten)
			ch->ops->stopped(ch, info.si_code == CLD_STOPPED);
		/* Its end may have come together with it. */
		event_active(ch->sigchld, EV_SIGNAL, 1);
	} else {
		child_reaped(ch, &info);
	}
	child_leave(ch);
}

static int
child_events(struct child *ch)
{
	const int fd = ha_conn_fd(ch->conn);

	ch->rx = event_new(ch->base, fd, EV_READ | EV_PERSIST, on_rx, ch);
	ch->tx = event_new(ch->base, fd, EV_WRITE | EV_PERSIST, on_tx, ch);
	ch->tx_later = evtimer_new(ch->base, on_tx, ch);
	ch->sigchld = evsignal_new(ch->base, SIGCHLD, on_sigchld, ch);
	ch->fallen = event_new(ch->base, ch->watch->eventfd, EV_READ | EV_PERSIST, on_fallen, ch);
	ch->gone = evtimer_new(ch->base, on_gone, ch);
	if (ch->rx == NULL || ch->tx == NULL || ch->tx_later == NULL || ch->sigchld == NULL ||
		ch->fallen == NULL || ch->gone == NULL)
		return -ENOMEM;
	/* The signal's before the process is: it may end at once. */
	if (event_add(ch->rx, NULL) < 0 || event_add(ch->fallen, NULL) < 0 ||
		event_add(ch->sigchld, NULL) < 0)
		return -ENOMEM;
	return 0;
}

static int
child_run(struct child *ch, const struct child_params *params)
{
	struct child_spawn spawn = {.argv = params->argv,
		.role = params->role,
		.nice = params->nice,
		.fault = params->fault,
		.fence_fd = -1};
	int sock[2];
	int ret = ha_socketpair(sock);

	if (ret < 0)
		return ret;
	spawn.socket_fd = sock[1];
	ret = ha_conn_create(sock[0], &ch->conn);
	if (ret < 0)
		close(sock[0]);
	else
		ret = watch_create(&ch->watch, &spawn.fence_fd);
	if (ret == 0)
		ret = child_events(ch);
	if (ret == 0)
		ret = child_spawn(&spawn, &ch->pid);
	close(sock[1]);
	if (spawn.fence_fd >= 0)
		close(spawn.fence_fd);
	return ret;
}

int
child_start(const struct child_params *params, struct child **out)
{
	struct child *ch = calloc(1, sizeof(*ch));
	int ret;

	if (ch == NULL)
		return -ENOMEM;
	ch->base = params->base;
	ch->ops = params->ops;
	ch->ctx = params->ctx;
	ch->name = params->name;
	ch->role = params->role;
	ch->closer = sock_closer_create();
	ret = ch->closer == NULL ? -ENOMEM : child_run(ch, params);
	if (ret < 0) {
		child_free(ch);
		return ret;
	}
	klog_debug("%s process %d started", ch->name, (int)ch->pid);
	*out = ch;
	return 0;
}

void
child_destroy(struct child *ch)
{
	if (ch == NULL)
		return;
	ch->forgotten = true;
	if (!ch->reaped) {
		/* Freed when it has been reaped, lest it stays a zombie. */
		kill(ch->pid, SIGKILL);
		event_drop(&ch->rx);
		event_drop(&ch->tx);
		event_drop(&ch->tx_later);
		event_drop(&ch->fallen);
		event_drop(&ch->gone);
	} else if (ch->depth == 0) {
		child_free(ch);
	}
}

void
child_kill(struct child *ch)
{
	if (ch->reaped)
		return;
	if (ch->killed_ns == 0)
		ch->killed_ns = clock_ns();
	kill(ch->pid, SIGKILL);
}

int
child_send(struct child *ch, const struct ha_msg *msg, const int *fds, unsigned int n)
{
	int ret;

	if (ch->fenced_ns != 0 || ch->forgotten)
		return -EPIPE;
	ret = ha_conn_send(ch->conn, msg, fds, n);
	if (ret == 0 && ha_conn_waits(ch->conn))
		child_watch_tx(ch);
	return ret;
}

pid_t
child_pid(const struct child *ch)
{
	return ch->pid;
}

void *
child_ctx(const struct child *ch)
{
	return ch->ctx;
}

const char *
child_name(const struct child *ch)
{
	return ch->name;
}

void
child_rename(struct child *ch, const char *name)
{
	ch->name = name;
}

bool
child_is_ready(const struct child *ch)
{
	return ch->ready;
}

bool
child_is_broken(const struct child *ch)
{
	return ch->broken;
}

const struct ha_hello *
child_hello(const struct child *ch)
{
	return &ch->hello;
}

struct ha_fence *
child_fence(const struct child *ch)
{
	return ch->watch->fence;
}

uint64_t
child_fenced_ns(const struct child *ch)
{
	return ch->fenced_ns;
}

uint64_t
child_killed_ns(const struct child *ch)
{
	return ch->killed_ns;
}
