/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Messages to the service manager, and what it has kept.
 *
 * A message goes out at once. When the manager's socket is full - it is busy with itself, for
 * seconds perhaps - messages queue up here, and a thread sends them in their order; it ends when
 * all are sent. So nobody waits for the manager.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "klog.h"
#include "sd.h"

/* sd_listen_fds(3): the first descriptor that a manager hands over. */
#define SD_LISTEN_START 3
/* Of our unit, config/virtio-net-controller.service, where the manager does not say. */
#define SD_ROOM_DEFAULT 32768u
/* Messages that may wait: everything of a thousand devices, twice. */
#define SD_WAITING_MAX 65536u

struct waiting {
	STAILQ_ENTRY(waiting) next;
	int fd; /* a duplicate, or -1 */
	char text[];
};

static struct {
	struct sockaddr_un addr;
	socklen_t addr_len; /* 0: no manager */
	int sock;
	bool keeps;
	unsigned int room;
	unsigned int n;
	char **name; /* of what was kept */

	pthread_mutex_t lock; /* of the following, and of sock */
	pthread_cond_t sent;  /* the thread has ended */
	bool sending;	      /* the thread runs */
	unsigned int n_waiting;
	STAILQ_HEAD(, waiting) waiting;
} sd = {
	.sock = -1,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.sent = PTHREAD_COND_INITIALIZER,
	.waiting = STAILQ_HEAD_INITIALIZER(sd.waiting),
};

/* Not more than `max`, or 0 if it is not a number. */
static unsigned long
env_number(const char *name, unsigned long max)
{
	const char *text = getenv(name);
	unsigned long v;
	char *end;

	if (text == NULL || *text < '0' || *text > '9')
		return 0;
	v = strtoul(text, &end, 10);
	return *end != '\0' || v > max ? 0 : v;
}

/* A path, or an abstract name after '@'. */
static void
address_read(const char *text)
{
	const size_t len = text == NULL ? 0 : strlen(text);

	sd.addr_len = 0;
	if (len < 2 || len >= sizeof(sd.addr.sun_path) || (text[0] != '/' && text[0] != '@'))
		return;
	memset(&sd.addr, 0, sizeof(sd.addr));
	sd.addr.sun_family = AF_UNIX;
	memcpy(sd.addr.sun_path, text, len);
	sd.addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	if (text[0] == '@')
		sd.addr.sun_path[0] = '\0';
	else
		sd.addr_len++;
}

static void
names_free(void)
{
	for (unsigned int i = 0; i < sd.n; i++)
		free(sd.name[i]);
	free(sd.name);
	sd.name = NULL;
	sd.n = 0;
}

/* One name for each descriptor; those that are not named are called as the manager would. */
static int
names_read(unsigned int n)
{
	const char *at = getenv("LISTEN_FDNAMES");

	sd.name = calloc(n, sizeof(*sd.name));
	if (sd.name == NULL)
		return -ENOMEM;
	for (sd.n = 0; sd.n < n; sd.n++) {
		const size_t len = at == NULL ? 0 : strcspn(at, ":");

		sd.name[sd.n] = at == NULL ? strdup("unknown") : strndup(at, len);
		if (sd.name[sd.n] == NULL)
			return -ENOMEM;
		if (at != NULL)
			at = at[len] == ':' ? at + len + 1 : NULL;
	}
	return 0;
}

static void
stored_read(void)
{
	const unsigned int n = (unsigned int)env_number("LISTEN_FDS", INT_MAX / 2);

	if (n == 0 || env_number("LISTEN_PID", INT_MAX) != (unsigned long)getpid())
		return;
	/* A number that is no descriptor would be a lie about all that follow. */
	for (unsigned int i = 0; i < n; i++)
		if (fcntl(SD_LISTEN_START + (int)i, F_SETFD, FD_CLOEXEC) < 0) {
			klog_err("descriptor %u of %u of the service manager is not there", i, n);
			return;
		}
	if (names_read(n) < 0) {
		klog_err("no memory for what the service manager has kept");
		names_free();
	}
}

static void
sd_disconnect(void)
{
	if (sd.sock >= 0)
		close(sd.sock);
	sd.sock = -1;
}

void
sd_init(void)
{
	static const char *const ours[] = {
		"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "FDSTORE"};

	names_free();
	pthread_mutex_lock(&sd.lock);
	while (sd.sending)
		pthread_cond_wait(&sd.sent, &sd.lock);
	sd_disconnect();
	pthread_mutex_unlock(&sd.lock);
	address_read(getenv("NOTIFY_SOCKET"));
	sd.room = (unsigned int)env_number("FDSTORE", UINT_MAX);
	sd.keeps = sd.room > 0;
	stored_read();
	/* Whoever hands over what it kept keeps things. */
	if (sd.n > 0 && sd.addr_len > 0)
		sd.keeps = true;
	for (unsigned int i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		unsetenv(ours[i]);
}

void
sd_assume_keeps(void)
{
	sd.keeps = true;
}

bool
sd_keeps(void)
{
	return sd.keeps && sd.addr_len > 0;
}

unsigned int
sd_room(void)
{
	return sd.room > 0 ? sd.room : SD_ROOM_DEFAULT;
}

/* Connected, so that poll() tells when the manager has room again. */
static int
sd_connect(void)
{
	if (sd.sock >= 0)
		return 0;
	sd.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sd.sock < 0)
		return -errno;
	if (connect(sd.sock, (struct sockaddr *)&sd.addr, sd.addr_len) < 0) {
		int err = errno;

		sd_disconnect();
		return -err;
	}
	return 0;
}

static int
send_once(const char *text, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = {.buf = {0}};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int ret = sd_connect();

	if (ret < 0)
		return ret;
	if (fd >= 0) {
		struct cmsghdr *c;

		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		ret = sendmsg(sd.sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
	while (ret == -EINTR);
	return ret;
}

/* A manager that was started anew listens on another socket at the same address. Lock held. */
static int
send_now(const char *text, int fd)
{
	int ret = send_once(text, fd);

	if (ret == -ECONNREFUSED || ret == -ENOTCONN || ret == -ECONNRESET) {
		sd_disconnect();
		ret = send_once(text, fd);
	}
	return ret;
}

static void
waiting_end(struct waiting *w)
{
	STAILQ_REMOVE_HEAD(&sd.waiting, next);
	sd.n_waiting--;
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

/* Sends all that waits. What the manager will not have is dropped, with whoever listens no more. */
static void *
sender_main(void *arg)
{
	struct pollfd p = {.events = POLLOUT};
	struct waiting *w;

	(void)arg;
	pthread_mutex_lock(&sd.lock);
	while ((w = STAILQ_FIRST(&sd.waiting)) != NULL) {
		if (send_now(w->text, w->fd) != -EAGAIN) {
			waiting_end(w);
			continue;
		}
		p.fd = sd.sock;
		pthread_mutex_unlock(&sd.lock);
		poll(&p, 1, -1);
		pthread_mutex_lock(&sd.lock);
	}
	sd.sending = false;
	pthread_cond_broadcast(&sd.sent);
	pthread_mutex_unlock(&sd.lock);
	return NULL;
}

/* The process's signals are for the main thread. */
static int
sender_start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (sd.sending)
		return 0;
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&thread, &attr, sender_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	sd.sending = err == 0;
	return -err;
}

/* Lock held. */
static int
send_later(const char *text, int fd)
{
	struct waiting *w;
	int ret;

	if (sd.n_waiting >= SD_WAITING_MAX)
		return -ENOBUFS;
	w = malloc(sizeof(*w) + strlen(text) + 1);
	if (w == NULL)
		return -ENOMEM;
	strcpy(w->text, text);
	w->fd = -1;
	if (fd >= 0) {
		w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (w->fd < 0) {
			ret = -errno;
			free(w);
			return ret;
		}
	}
	STAILQ_INSERT_TAIL(&sd.waiting, w, next);
	sd.n_waiting++;
	/* Without a thread now, the next message tries again. */
	(void)sender_start();
	return 0;
}

static int
sd_send(const char *text, int fd)
{
	int ret;

	if (sd.addr_len == 0)
		return 0;
	pthread_mutex_lock(&sd.lock);
	ret = sd.n_waiting > 0 ? -EAGAIN : send_now(text, fd);
	if (ret == -EAGAIN)
		ret = send_later(text, fd);
	pthread_mutex_unlock(&sd.lock);
	return ret;
}

void
sd_notify(const char *text)
{
	const int ret = sd_send(text, -1);

	if (ret < 0)
		klog_err("service manager: \"%s\" could not be told: %s", text, strerror(-ret));
}

int
sd_store_new(const char *name, int fd)
{
	char text[128];

	if (!sd_keeps())
		return 0;
	/*
	 * Without FDPOLL=0 the manager would give up a connection when its client has gone; we
	 * shall want to see that by ourselves.
	 */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	return sd_send(text, fd);
}

void
sd_remove(const char *name)
{
	char text[128];
	int ret;

	if (!sd_keeps())
		return;
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	ret = sd_send(text, -1);
	if (ret < 0)
		klog_err("service manager: \"%s\" could not be removed: %s", name, strerror(-ret));
}

int
sd_store(const char *name, int fd)
{
	sd_remove(name);
	return sd_store_new(name, fd);
}

int
sd_barrier(void)
{
	int p[2], ret;

	if (sd.addr_len == 0)
		return -ENOTCONN;
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	ret = sd_send("BARRIER=1", p[1]);
	close(p[1]);
	if (ret < 0) {
		close(p[0]);
		return ret;
	}
	return p[0];
}

unsigned int
sd_stored(void)
{
	return sd.n;
}

int
sd_stored_get(unsigned int i, const char **name)
{
	*name = sd.name[i];
	return SD_LISTEN_START + (int)i;
}
