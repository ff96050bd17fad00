/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The connection to the keeper: what it tells this process to be, to take up and to let go. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_common.h>

#include "controller.h"
#include "device.h"
#include "fence.h"
#include "keeper_internal.h"
#include "log.h"
#include "mem.h"
#include "request.h"
#include "sock/discard.h"
#include "state/fault_point.h"

/* Messages taken in one turn of the loop: timers and commands have their turn, too. */
#define MESSAGES_PER_TURN 64
/*
 * Descriptors of one device: vectors and queues by the hundred, memory ranges up to what a client
 * may map.
 */
#define HEIRLOOM_FDS_MAX 65536u
/*
 * From EXIT to the end: commands that are being carried out, for a second at most, and then
 * telemetry's threads, which may still be writing the last answer.
 */
#define EXIT_TICK_US	 10000
#define EXIT_TICKS_MAX	 100u
#define EXIT_QUIET_TICKS 2u

/* Until the kernel may have memory again, or the keeper has taken descriptors in flight. */
#define STARVED_MS 10

/* ---- end of the process */

/*
 * Without exit handlers: EAL's telemetry would remove a socket that is perhaps a successor's by
 * now.
 */
static void __attribute__((noreturn)) leave(int status)
{
	_exit(status);
}

static void __attribute__((noreturn)) lost(const char *why)
{
	log_err("keeper: %s", why);
	fence_own_end(SIGABRT); /* what made us end so may do it again: not somebody's kill */
	leave(EXIT_FAILURE);
}

/* ---- sending */

static void
watch_writable(struct keeper_link *link)
{
	const struct timeval pause = {.tv_usec = STARVED_MS * 1000};
	int ret = 0;

	/* The socket of one that is starved is writable all the time. */
	if (ha_conn_starved(link->conn))
		ret = event_add(link->send_later, &pause);
	else if (ha_conn_waits(link->conn))
		ret = event_add(link->writable, NULL);
	if (ret < 0)
		lost("out of memory");
}

void
keeper_link_send(struct keeper_link *link, const struct ha_msg *msg, const int *fds, unsigned int n)
{
	const int ret = ha_conn_send(link->conn, msg, fds, n);
	char why[128];

	if (ret < 0) {
		snprintf(why, sizeof(why), "cannot be told %s: %s", ha_msg_name(msg->type),
			strerror(-ret));
		lost(why);
	}
	watch_writable(link);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_link *link = arg;

	(void)fd;
	(void)what;
	if (ha_conn_flush(link->conn) < 0)
		lost("has gone");
	watch_writable(link);
}

static void
say_hello(struct keeper_link *link)
{
	struct ha_msg msg = {.type = HA_HELLO};
	struct ha_hello *hello = &msg.u.hello;

	hello->proto = HA_PROTO_VERSION;
	hello->role = HA_ROLE_EMU;
	hello->pid = getpid();
	hello->n_layouts = device_block_layouts(hello->layout);
	hello->eal_us = link->c->eal_us;
	hello->pools_us = link->c->pools_us;
	snprintf(hello->version, sizeof(hello->version), "v%s", VIRTNET_VERSION);
	keeper_link_send(link, &msg, NULL, 0);
}

static void
send_result(struct keeper_link *link, enum ha_msg_type type, uint32_t device, int err,
	uint32_t flags, const char *text)
{
	struct ha_msg msg = {.type = type, .device = device};

	msg.u.result.err = err;
	msg.u.result.flags = flags;
	snprintf(msg.u.result.text, sizeof(msg.u.result.text), "%s", text != NULL ? text : "");
	keeper_link_send(link, &msg, NULL, 0);
}

/* ---- devices that have gone in the hand-over under way */

static struct device *
find_device(struct keeper_link *link, uint32_t handle)
{
	struct device *dev;

	TAILQ_FOREACH (dev, &link->c->devices, next)
		if (dev->handle == handle)
			return dev;
	return NULL;
}

static void
gone_add(struct keeper_link *link, const struct device *dev)
{
	struct gone_device *g;

	if (link->n_gone == link->room_gone) {
		const unsigned int room = RTE_MAX(16u, link->room_gone * 2);

		g = realloc(link->gone, room * sizeof(*g));
		if (g == NULL)
			lost("out of memory");
		link->gone = g;
		link->room_gone = room;
	}
	g = &link->gone[link->n_gone++];
	g->handle = dev->handle;
	g->pf_id = dev->pf_id;
	memcpy(g->vuid, dev->vuid, sizeof(g->vuid));
}

static void
gone_remove(struct keeper_link *link, uint32_t handle)
{
	for (unsigned int i = 0; i < link->n_gone; i++)
		if (link->gone[i].handle == handle) {
			link->gone[i] = link->gone[--link->n_gone];
			return;
		}
}

bool
keeper_link_away(const struct keeper_link *link)
{
	return link != NULL && link->n_gone > 0;
}

bool
keeper_link_away_pf(const struct keeper_link *link, uint64_t pf_id)
{
	for (unsigned int i = 0; link != NULL && i < link->n_gone; i++)
		if (link->gone[i].pf_id == pf_id)
			return true;
	return false;
}

bool
keeper_link_away_vuid(const struct keeper_link *link, const char *vuid)
{
	for (unsigned int i = 0; link != NULL && i < link->n_gone; i++)
		if (strcmp(link->gone[i].vuid, vuid) == 0)
			return true;
	return false;
}

/* ---- adoption */

/* Whatever device_adopt() has not taken is closed: no client's memory must outlive the client. */
static void
heirloom_free(struct keeper_link *link, struct device_heirloom *h)
{
	for (unsigned int i = 0; i < h->n; i++)
		sock_discard(link->closer, &h->fd[i].fd, 1);
	if (h->block_fd >= 0)
		close(h->block_fd);
	free(h->fd);
	free(h);
}

static void
heirloom_drop(struct keeper_link *link)
{
	if (link->heirloom != NULL)
		heirloom_free(link, link->heirloom);
	link->heirloom = NULL;
}

static void
on_adopt(struct keeper_link *link, const struct ha_msg *msg, int *fds, unsigned int n)
{
	struct device_heirloom *h;

	heirloom_drop(link);
	link->incomplete = 0;
	if (msg->device == 0 || n != 1 || find_device(link, msg->device) != NULL)
		return;
	h = must_zalloc(sizeof(*h));
	h->handle = msg->device;
	h->adopt = msg->u.adopt;
	h->block_fd = fds[0];
	fds[0] = -1;
	link->heirloom = h;
	link->next_handle = RTE_MAX(link->next_handle, msg->device + 1);
}

static void
on_fds(struct keeper_link *link, const struct ha_msg *msg, int *fds, unsigned int n)
{
	struct device_heirloom *h = link->heirloom;

	if (h == NULL || h->handle != msg->device || n != msg->u.fds.n)
		return;
	if (h->n + n > h->room) {
		const unsigned int room = RTE_MAX(h->n + n, h->room * 2);
		void *fd =
			room <= HEIRLOOM_FDS_MAX ? realloc(h->fd, room * sizeof(h->fd[0])) : NULL;

		if (fd == NULL)
			lost("a device with more descriptors than there is room for");
		h->fd = fd;
		h->room = room;
	}
	for (unsigned int i = 0; i < n; i++) {
		h->fd[h->n].kind = msg->u.fds.slot[i].kind;
		h->fd[h->n].index = msg->u.fds.slot[i].index;
		h->fd[h->n++].fd = fds[i];
		fds[i] = -1;
	}
}

static void
on_adopt_end(struct keeper_link *link, uint32_t device)
{
	struct device_heirloom *h = link->heirloom;
	struct keeper_door *door;

	if (h == NULL || h->handle != device) {
		send_result(link, HA_ADOPTED, device,
			device == link->incomplete ? -EMFILE : -EPROTO, 0,
			"not all of the device has come");
		return;
	}
	FAULT_POINT("device.adopt.begin");
	link->heirloom = NULL;
	ha_crumb_set(fence_self(), HA_CRUMB_ADOPT, device, 0);
	device_adopt(link->c, h);
	ha_crumb_set(fence_self(), HA_CRUMB_NONE, 0, 0);
	door = keeper_door_find(link, device);
	if (door != NULL && (h->adopt.flags & HA_ADOPT_POISON_REQUEST))
		keeper_door_refuse(door);
	heirloom_free(link, h);
}

/* ---- release */

static void
on_release(struct keeper_link *link, uint32_t device)
{
	struct device *dev = find_device(link, device);
	struct keeper_door *door = keeper_door_find(link, device);

	if (dev == NULL) {
		send_result(link, HA_RELEASED, device, -ENOENT, 0, "no such device");
		return;
	}
	gone_add(link, dev);
	if (door != NULL)
		keeper_door_hold(door);
	device_release(dev);
}

/* ---- the process as a whole */

static void
on_migrate(struct keeper_link *link, bool begins)
{
	link->migrating = begins;
	if (!begins)
		link->n_gone = 0;
}

static void
on_status(struct keeper_link *link, const struct ha_status *status)
{
	if (link->status.ongoing && !status->ongoing && link->active) {
		if (status->last == 0)
			log_info("%u device(s) taken over from %s, %" PRIu64 " us, at most %" PRIu64
				 " us without anybody",
				status->devices, status->from, status->time_us, status->gap_us);
		else
			log_err("the hand-over to another process failed: %s", status->text);
	}
	link->status = *status;
	if (!status->ongoing)
		on_migrate(link, false);
}

static void
on_exit_timer(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_link *link = arg;
	const struct timeval tick = {.tv_usec = EXIT_TICK_US};

	(void)fd;
	(void)what;
	link->exit_ticks++;
	link->exit_quiet = request_waiting() ? 0 : link->exit_quiet + 1;
	if (link->exit_quiet >= EXIT_QUIET_TICKS || link->exit_ticks >= EXIT_TICKS_MAX ||
		evtimer_add(link->exit_timer, &tick) < 0)
		leave(EXIT_SUCCESS);
}

/* Commands that are being carried out are answered first. */
static void
on_exit_message(struct keeper_link *link)
{
	const struct timeval tick = {.tv_usec = EXIT_TICK_US};

	if (!link->active) {
		controller_unannounce(link->c);
		leave(EXIT_SUCCESS);
	}
	link->migrating = true;
	if (evtimer_add(link->exit_timer, &tick) < 0)
		leave(EXIT_SUCCESS);
}

static void
on_device_message(struct keeper_link *link, const struct ha_msg *msg, int *fds, unsigned int n)
{
	struct keeper_door *door = keeper_door_find(link, msg->device);

	if (door != NULL)
		keeper_door_event(door, msg, fds, n);
	else
		log_debug("keeper: %s of device %u, which is not here", ha_msg_name(msg->type),
			msg->device);
}

static void
on_message(struct keeper_link *link, const struct ha_msg *msg, int *fds, unsigned int n)
{
	switch (msg->type) {
	case HA_WELCOME:
	case HA_STATUS:
		on_status(link, &msg->u.status);
		break;
	case HA_ACTIVATE:
		controller_wake(link->c);
		break;
	case HA_ADOPT:
		on_adopt(link, msg, fds, n);
		break;
	case HA_FDS:
		on_fds(link, msg, fds, n);
		break;
	case HA_ADOPT_END:
		on_adopt_end(link, msg->device);
		break;
	case HA_ACTIVE:
		link->active = true;
		link->migrating = false;
		controller_activate(link->c);
		break;
	case HA_RELEASE:
		on_release(link, msg->device);
		break;
	case HA_MIGRATE:
		on_migrate(link, msg->u.result.err != 0);
		break;
	case HA_STOP:
		controller_stop(link->c, "the keeper");
		break;
	case HA_EXIT:
		on_exit_message(link);
		break;
	case HA_OPENED:
	case HA_CLOSED:
	case HA_CONNECTED:
	case HA_DISCONNECTED:
	case HA_REQUEST:
		on_device_message(link, msg, fds, n);
		break;
	default:
		log_err("keeper: %s is not for us", ha_msg_name(msg->type));
		break;
	}
}

/*
 * A message's descriptors are lost, since this process may open no more; nothing but its type and
 * device is known. One device suffers, the others do not notice.
 */
static void
on_lost(struct keeper_link *link, const struct ha_msg *msg)
{
	struct keeper_door *door = keeper_door_find(link, msg->device);
	unsigned int left_out;

	if (log_limit_take(&link->log_limit, &left_out))
		log_err("no more descriptors (RLIMIT_NOFILE): those of %s of device %u are lost",
			ha_msg_name(msg->type), msg->device);
	if (msg->type == HA_ADOPT || msg->type == HA_FDS) {
		heirloom_drop(link);
		link->incomplete = msg->device;
	} else if (msg->type == HA_REQUEST && door != NULL) {
		keeper_door_request_lost(door);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct keeper_link *link = arg;
	int fds[HA_FDS_MAX];
	struct ha_msg msg;
	unsigned int n;
	int ret = 1;

	(void)fd;
	(void)what;
	for (unsigned int i = 0; i < MESSAGES_PER_TURN; i++) {
		ret = ha_conn_recv(link->conn, &msg, fds, &n);
		if (ret <= 0 && ret != -EMFILE)
			break;
		ha_thread_beat(fence_self());
		if (ret > 0)
			on_message(link, &msg, fds, n);
		else
			on_lost(link, &msg);
		sock_discard(link->closer, fds, n);
	}
	if (ret < 0 && ret != -EMFILE)
		lost(ret == -EPIPE ? "has gone" : "says what cannot be understood");
}

/* ---- keeper_link.h */

/*
 * Handles are never used again, whichever process gave them away: they are counted on from the time
 * of this process's start, since nobody opens a device each millisecond for long.
 */
static uint32_t
first_handle(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint32_t)((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
}

int
keeper_link_create(struct controller *c, int fd, struct keeper_link **out)
{
	struct keeper_link *link = calloc(1, sizeof(*link));

	if (link == NULL || ha_conn_create(fd, &link->conn) < 0) {
		free(link);
		close(fd);
		return -ENOMEM;
	}
	link->closer = sock_closer_create();
	link->c = c;
	link->status.last = 1;
	link->next_handle = first_handle();
	for (unsigned int i = 0; i < DOOR_BUCKETS; i++)
		LIST_INIT(&link->door[i]);
	link->readable = event_new(c->base, fd, EV_READ | EV_PERSIST, on_readable, link);
	link->writable = event_new(c->base, fd, EV_WRITE, on_writable, link);
	link->send_later = evtimer_new(c->base, on_writable, link);
	link->exit_timer = evtimer_new(c->base, on_exit_timer, link);
	if (link->closer == NULL || link->readable == NULL || link->writable == NULL ||
		link->send_later == NULL || link->exit_timer == NULL ||
		event_add(link->readable, NULL) < 0) {
		keeper_link_destroy(link);
		return -ENOMEM;
	}
	*out = link;
	say_hello(link);
	return 0;
}

void
keeper_link_destroy(struct keeper_link *link)
{
	if (link == NULL)
		return;
	heirloom_drop(link);
	keeper_doors_free(link);
	if (link->readable != NULL)
		event_free(link->readable);
	if (link->writable != NULL)
		event_free(link->writable);
	if (link->send_later != NULL)
		event_free(link->send_later);
	if (link->exit_timer != NULL)
		event_free(link->exit_timer);
	ha_conn_destroy(link->conn);
	sock_closer_release(link->closer);
	free(link->gone);
	free(link);
}

void
keeper_link_stopped(struct keeper_link *link)
{
	const struct ha_msg msg = {.type = HA_STOPPED};
	const struct timespec moment = {.tv_nsec = 1000000};

	if (link == NULL)
		return;
	keeper_link_send(link, &msg, NULL, 0);
	/* The loop has ended. The keeper reads, or ends this process. */
	while (ha_conn_waits(link->conn) && ha_conn_flush(link->conn) == 0)
		nanosleep(&moment, NULL);
}

bool
keeper_link_is_heir(const struct keeper_link *link)
{
	return link != NULL && !link->active && link->migrating;
}

enum keeper_role
keeper_link_role(const struct keeper_link *link)
{
	if (link == NULL)
		return KEEPER_ACTIVE;
	if (!link->active)
		return KEEPER_PARKED;
	return link->migrating ? KEEPER_LEAVING : KEEPER_ACTIVE;
}

const struct ha_status *
keeper_link_status(const struct keeper_link *link)
{
	static const struct ha_status none = {.last = 1};

	return link != NULL ? &link->status : &none;
}

int
keeper_link_handover(struct keeper_link *link, enum ha_handover_kind kind)
{
	struct ha_msg msg = {.type = HA_HANDOVER, .u.handover.kind = kind};

	if (link == NULL)
		return -ENOTSUP;
	if (!link->active || link->migrating || link->status.ongoing)
		return -EBUSY;
	/* As if the keeper had said so already: no device may be plugged behind its back. */
	link->status.ongoing = 1;
	link->status.kind = kind;
	link->migrating = true;
	keeper_link_send(link, &msg, NULL, 0);
	return 0;
}

uint32_t
keeper_link_handle(struct keeper_link *link)
{
	uint32_t handle;

	if (link == NULL)
		return 0;
	do
		handle = link->next_handle++;
	while (handle == 0 || keeper_door_find(link, handle) != NULL);
	return handle;
}

void
keeper_link_store(struct keeper_link *link, uint32_t device, enum ha_fd_kind kind,
	unsigned int index, const int *fds, unsigned int n)
{
	struct keeper_door *door = link != NULL ? keeper_door_find(link, device) : NULL;
	struct ha_msg msg = {.type = HA_STORE, .device = device};
	unsigned int run;

	for (unsigned int i = 0; door != NULL && i < n; i += run) {
		for (run = 0; run < HA_FDS_MAX && i + run < n && fds[i + run] >= 0; run++)
			;
		if (run > 0) {
			msg.u.slot.kind = kind;
			msg.u.slot.index = index + i;
			msg.u.slot.count = run;
			keeper_door_send(door, &msg, &fds[i], run);
		} else {
			run = 1; /* a gap */
		}
	}
}

void
keeper_link_drop(struct keeper_link *link, uint32_t device, enum ha_fd_kind kind,
	unsigned int index, unsigned int count)
{
	struct keeper_door *door = link != NULL ? keeper_door_find(link, device) : NULL;
	struct ha_msg msg = {.type = HA_DROP, .device = device};

	if (door == NULL || count == 0)
		return;
	msg.u.slot.kind = kind;
	msg.u.slot.index = index;
	msg.u.slot.count = count;
	keeper_door_send(door, &msg, NULL, 0);
}

void
keeper_link_adopted(
	struct keeper_link *link, uint32_t device, int err, bool was_reset, const char *text)
{
	if (link == NULL)
		return;
	if (err == 0)
		gone_remove(link, device);
	send_result(link, HA_ADOPTED, device, err, was_reset, text);
	FAULT_POINT("device.adopt.told");
}

void
keeper_link_released(struct keeper_link *link, uint32_t device, int err, const char *text)
{
	struct keeper_door *door;

	if (link == NULL)
		return;
	send_result(link, HA_RELEASED, device, err, 0, text);
	FAULT_POINT("device.release.told");
	if (err == 0)
		return;
	gone_remove(link, device);
	if (err == -ENOENT)
		return; /* it is on its way out: nothing of its host is passed on any more */
	door = keeper_door_find(link, device);
	if (door != NULL)
		keeper_door_unhold(door);
}

void
keeper_link_block(struct keeper_link *link, uint32_t device, int fd)
{
	const struct ha_msg msg = {.type = HA_BLOCK, .device = device};
	struct keeper_door *door;

	if (link == NULL)
		return;
	keeper_link_send(link, &msg, &fd, 1);
	door = keeper_door_find(link, device);
	if (door != NULL)
		keeper_door_block(door, fd);
}
