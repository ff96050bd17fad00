/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* What each type of message must look like; checked alike before it is sent and after it came. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#include "conn.h"
#include "msg_check.h"

/* Which member of u a type uses. */
enum body {
	BODY_NONE,
	BODY_HELLO,
	BODY_OPEN,
	BODY_NOTIFY,
	BODY_KICK,
	BODY_SLOT,
	BODY_FDS,
	BODY_ADOPT,
	BODY_RESULT,
	BODY_HANDOVER,
	BODY_STATUS,
};

/*
 * Bytes of u: in version 1 (fields that were appended since may be missing), and all that this
 * version knows.
 */
static const struct {
	uint16_t v1, len;
} bodies[] = {
	[BODY_NONE] = {0, 0},
	[BODY_HELLO] = {144, sizeof(struct ha_hello)},
	[BODY_OPEN] = {252, sizeof(struct ha_open)},
	[BODY_NOTIFY] = {24, sizeof(struct ha_notify)},
	[BODY_KICK] = {8, sizeof(struct ha_kick)},
	[BODY_SLOT] = {12, sizeof(struct ha_slot)},
	/* And as many slots as it says. */
	[BODY_FDS] = {offsetof(struct ha_fds, slot), sizeof(struct ha_fds)},
	[BODY_ADOPT] = {260, sizeof(struct ha_adopt)},
	[BODY_RESULT] = {264, sizeof(struct ha_result)},
	[BODY_HANDOVER] = {4, sizeof(struct ha_handover)},
	[BODY_STATUS] = {416, sizeof(struct ha_status)},
};

struct msg_desc {
	const char *name;
	bool device; /* it is about one, named by its handle */
	uint8_t body;
	uint8_t fds_min, fds_max;
};

#define PROCESS				   false
#define DEVICE				   true
#define TYPE(t, about, member, fmin, fmax) [HA_##t] = {#t, about, BODY_##member, fmin, fmax}

static const struct msg_desc types[] = {
	TYPE(HELLO, PROCESS, HELLO, 0, 0),
	TYPE(OPEN, DEVICE, OPEN, 1, 1),
	TYPE(CLOSE, DEVICE, NONE, 0, 0),
	TYPE(REPLY, DEVICE, NONE, 0, 0),
	TYPE(GONE_DONE, DEVICE, NONE, 0, 0),
	TYPE(DISCONNECT, DEVICE, NONE, 0, 0),
	TYPE(NOTIFY, DEVICE, NOTIFY, 0, 0),
	TYPE(KICK, DEVICE, KICK, 0, 1),
	TYPE(STORE, DEVICE, SLOT, 1, HA_FDS_MAX),
	TYPE(DROP, DEVICE, SLOT, 0, 0),
	TYPE(RELEASED, DEVICE, RESULT, 0, 0),
	TYPE(ADOPTED, DEVICE, RESULT, 0, 0),
	TYPE(BLOCK, DEVICE, NONE, 1, 1),
	TYPE(HANDOVER, PROCESS, HANDOVER, 0, 0),
	TYPE(CONVERTED, PROCESS, RESULT, 0, 1),
	TYPE(STOPPED, PROCESS, NONE, 0, 0),
	TYPE(WELCOME, PROCESS, STATUS, 0, 0),
	TYPE(ACTIVATE, PROCESS, NONE, 0, 0),
	TYPE(ADOPT, DEVICE, ADOPT, 1, 1),
	TYPE(FDS, DEVICE, FDS, 1, HA_FDS_MAX),
	TYPE(ADOPT_END, DEVICE, NONE, 0, 0),
	TYPE(ACTIVE, PROCESS, NONE, 0, 0),
	TYPE(OPENED, DEVICE, RESULT, 0, 0),
	TYPE(CLOSED, DEVICE, NONE, 0, 0),
	TYPE(CONNECTED, DEVICE, NONE, 0, 0),
	TYPE(DISCONNECTED, DEVICE, NONE, 0, 0),
	TYPE(REQUEST, DEVICE, NONE, 0, HA_FDS_MAX),
	TYPE(RELEASE, DEVICE, NONE, 0, 0),
	TYPE(MIGRATE, PROCESS, RESULT, 0, 0),
	TYPE(STATUS, PROCESS, STATUS, 0, 0),
	TYPE(STOP, PROCESS, NONE, 0, 0),
	TYPE(EXIT, PROCESS, NONE, 0, 0),
	TYPE(CONVERT, PROCESS, HELLO, 1, 1),
};

#define N_TYPES (sizeof(types) / sizeof(types[0]))

/* Slots are named by 16 bits, in ha_fds and in the keeper's tables. */
#define SLOT_INDICES 0x10000u

static_assert(HA_MSG_HEADER + sizeof(((struct ha_msg *)0)->u) <= HA_PACKET_MAX, "packet too small");

static const struct msg_desc *
find(unsigned int type)
{
	return type < N_TYPES && types[type].name != NULL ? &types[type] : NULL;
}

const char *
ha_msg_name(unsigned int type)
{
	const struct msg_desc *d = find(type);

	return d != NULL ? d->name : "unknown";
}

int
ha_msg_length(const struct ha_msg *msg)
{
	const struct msg_desc *d = find(msg->type);

	if (d == NULL || msg->len > sizeof(msg->u))
		return -EPROTO;
	if (msg->len != 0)
		return msg->len;
	if (d->body == BODY_FDS && msg->u.fds.n <= HA_FDS_MAX)
		return offsetof(struct ha_fds, slot) + msg->u.fds.n * sizeof(msg->u.fds.slot[0]);
	return bodies[d->body].len;
}

static bool
slot_ok(const struct ha_slot *s)
{
	return s->count > 0 && s->count <= SLOT_INDICES && s->index <= SLOT_INDICES - s->count;
}

/* What the fields say of the message itself. */
static bool
counts_ok(const struct ha_msg *msg, unsigned int len, unsigned int n)
{
	switch (msg->type) {
	case HA_HELLO:
	case HA_CONVERT:
		return msg->u.hello.n_layouts <= HA_LAYOUTS_MAX;
	case HA_KICK:
		return n == (msg->u.kick.mode == HA_KICK_EVENTFD);
	case HA_STORE:
		return slot_ok(&msg->u.slot) && msg->u.slot.count == n;
	case HA_DROP:
		return slot_ok(&msg->u.slot);
	case HA_FDS:
		return msg->u.fds.n == n &&
		       len >= offsetof(struct ha_fds, slot) + n * sizeof(msg->u.fds.slot[0]);
	case HA_CONVERTED:
		return n == (msg->u.result.err == 0);
	default:
		return true;
	}
}

int
ha_msg_check(const struct ha_msg *msg, unsigned int len, unsigned int n)
{
	const struct msg_desc *d = find(msg->type);

	if (d == NULL || len < bodies[d->body].v1 || n < d->fds_min || n > d->fds_max)
		return -EPROTO;
	if (d->device && msg->device == 0)
		return -EPROTO;
	return counts_ok(msg, len, n) ? 0 : -EPROTO;
}

#define TERMINATE(array) ((array)[sizeof(array) - 1] = '\0')

static void
terminate_open(struct ha_open *o)
{
	TERMINATE(o->transport);
	TERMINATE(o->vuid);
	TERMINATE(o->path);
}

void
ha_msg_terminate(struct ha_msg *msg)
{
	const struct msg_desc *d = find(msg->type);

	switch (d != NULL ? d->body : BODY_NONE) {
	case BODY_HELLO:
		TERMINATE(msg->u.hello.version);
		break;
	case BODY_OPEN:
		terminate_open(&msg->u.open);
		break;
	case BODY_ADOPT:
		terminate_open(&msg->u.adopt.open);
		break;
	case BODY_RESULT:
		TERMINATE(msg->u.result.text);
		break;
	case BODY_STATUS:
		TERMINATE(msg->u.status.from);
		TERMINATE(msg->u.status.to);
		TERMINATE(msg->u.status.text);
		break;
	default:
		break;
	}
}
