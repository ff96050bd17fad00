/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

#ifndef APP_KEEPER_INTERNAL_H
#define APP_KEEPER_INTERNAL_H

/* Between keeper_link.c (the connection) and keeper_door.c (devices' doors at it). */

#include <sys/queue.h>

#include "device_adopt.h"
#include "ha/conn.h"
#include "ha/log_limit.h"
#include "keeper_link.h"

/* Handles are numbers in a row: doors spread evenly. */
#define DOOR_BUCKETS 256u

struct event;
struct keeper_door;
struct sock_closer;

/* A device that has gone to another process in the hand-over under way. */
struct gone_device {
	uint32_t handle;
	uint16_t pf_id;
	char vuid[DEVICE_VUID_LEN];
};

struct keeper_link {
	struct controller *c;
	struct ha_conn *conn;
	struct sock_closer *closer; /* of clients' descriptors that nobody has taken */
	struct event *readable, *writable;
	struct event *send_later; /* this system is short of what it takes to send */
	struct event *exit_timer; /* EXIT has come: until the last answer is out */
	unsigned int exit_ticks, exit_quiet;
	bool active;
	bool migrating; /* a hand-over has been asked for or begun */
	struct ha_status status;
	uint32_t next_handle;
	struct device_heirloom *heirloom; /* between ADOPT and ADOPT_END */
	uint32_t incomplete; /* the device of which descriptors are lost, until ADOPT_END */
	struct log_limit log_limit;
	struct gone_device *gone;
	unsigned int n_gone, room_gone;
	LIST_HEAD(, keeper_door) door[DOOR_BUCKETS];
};

/* Send, now or when there is room. A keeper that cannot be told anything ends the process. */
void keeper_link_send(
	struct keeper_link *link, const struct ha_msg *msg, const int *fds, unsigned int n);

/* ---- doors */

struct keeper_door *keeper_door_find(struct keeper_link *link, uint32_t device);
/* Something about a door; descriptors that are taken become -1. */
void keeper_door_event(
	struct keeper_door *door, const struct ha_msg *msg, int *fds, unsigned int n);
/* The keeper takes the device away: nothing of the host is passed on, but kept for... */
void keeper_door_hold(struct keeper_door *door);
/* ...the device that stays after all. */
void keeper_door_unhold(struct keeper_door *door);
/* The next request crashed whoever handled it. */
void keeper_door_refuse(struct keeper_door *door);
/* A request has come without its descriptors: this process may open no more. */
void keeper_door_request_lost(struct keeper_door *door);
/* Another block is in use. */
void keeper_door_block(struct keeper_door *door, int fd);
/* About a device that the keeper knows, as soon as it does. Doors that never open swallow it. */
void keeper_door_send(
	struct keeper_door *door, const struct ha_msg *msg, const int *fds, unsigned int n);
void keeper_doors_free(struct keeper_link *link);

#endif /* APP_KEEPER_INTERNAL_H */
