/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * The dirty log of a live migration: the client's file, mapped, for rings to write.
 *
 * A new log may come while rings write another one. So there are two: what rings have, and what
 * they are given next; the former is unmapped when no ring has it any more.
 */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "state/fault_point.h"
#include "vhost_user_emu.h"

/* Of a ring whose used ring is not to be logged: where no log reaches. */
#define LOG_NOWHERE (UINT64_C(1) << 63)

static void
log_unmap(struct vhost_user_emu *e, struct vhost_user_log_map *m)
{
	if (m->log.bits != NULL)
		e->up->area_end(e->ctx, m->log.bits);
	*m = (struct vhost_user_log_map){0};
}

/*
 * A file that the client could truncate would be a SIGBUS of a worker in the middle of a burst, and
 * the end of the device. QEMU's cannot be truncated; others' are made so. What else is a SIGBUS -
 * no memory for a page - is met by the owner (emu_upcalls.area_map()).
 */
static int
seal(int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);

	if (seals >= 0 && (seals & F_SEAL_SHRINK) != 0)
		return 0;
	return seals >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 ? 0 : -EPERM;
}

/* Looked at after the seal: before it, the client may have cut the file since it was checked. */
static bool
is_long_enough(int fd, uint64_t end)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_size >= 0 && (uint64_t)st.st_size >= end;
}

static int
log_map(struct vhost_user_emu *e, struct vhost_user_log_map *m, uint64_t size, uint64_t offset,
	int fd)
{
	uint8_t *bits;
	int ret;

	ret = seal(fd);
	if (ret < 0)
		return ret;
	if (size > UINT64_MAX - offset || !is_long_enough(fd, offset + size))
		return -EINVAL;
	ret = e->up->area_map(e->ctx, size, fd, (off_t)offset, &bits);
	if (ret < 0)
		return ret;
	m->log.bits = bits;
	m->log.size = size;
	return 0;
}

int
vhost_user_emu_log_base(void *ctx, uint64_t size, uint64_t offset, int fd)
{
	struct vhost_user_emu *e = ctx;
	struct vhost_user_log_map *next = &e->log[e->log_at ^ 1u];
	int ret;

	log_unmap(e, next);
	ret = log_map(e, next, size, offset, fd);
	if (ret == 0) {
		vhost_user_emu_keep(e, EMU_KEEP_TRANSPORT, VHOST_USER_KEEP_LOG, 1, fd);
		FAULT_POINT("emu.log.kept");
	}
	close(fd);
	return ret;
}

int
vhost_user_emu_logging(void *ctx, bool on)
{
	struct vhost_user_emu *e = ctx;
	int ret;

	if (on && e->log[e->log_at ^ 1u].log.bits != NULL)
		e->log_at ^= 1u;
	e->logging = on && e->log[e->log_at].log.bits != NULL;
	ret = e->up->log_changed(e->ctx);
	FAULT_POINT("emu.log.switched");
	if (ret == -EINPROGRESS)
		return vhost_user_emu_wait(e, VHOST_USER_STEP_LOG);
	vhost_user_emu_log_changed(e);
	return ret;
}

void
vhost_user_emu_log_used(struct vhost_user_emu *e, uint16_t queue, bool log_used, uint64_t log)
{
	e->used_log[queue] = log_used ? log : LOG_NOWHERE;
}

int
vhost_user_emu_ring_log(void *ctx, uint16_t queue, bool log_used, uint64_t log)
{
	struct vhost_user_emu *e = ctx;
	int ret;

	vhost_user_emu_log_used(e, queue, log_used, log);
	if (!e->logging)
		return 0;
	ret = e->up->log_changed(e->ctx);
	return ret == -EINPROGRESS ? vhost_user_emu_wait(e, VHOST_USER_STEP_OP) : ret;
}

const struct vring_log *
vhost_user_emu_log(const struct emu *emu, uint16_t queue, uint64_t *used)
{
	const struct vhost_user_emu *e = (const struct vhost_user_emu *)emu;

	if (!e->logging || queue >= e->queues)
		return NULL;
	*used = e->used_log[queue];
	return &e->log[e->log_at].log;
}

void
vhost_user_emu_log_changed(struct vhost_user_emu *e)
{
	log_unmap(e, &e->log[e->log_at ^ 1u]);
	if (!e->logging)
		log_unmap(e, &e->log[e->log_at]);
}

int
vhost_user_emu_log_adopt(struct vhost_user_emu *e, int fd)
{
	const struct vhost_user_state *s = e->state;
	int ret = 0;

	/* Of a request that stands: it comes with the descriptor once more. */
	if (s->log_size > 0)
		ret = log_map(e, &e->log[e->log_at], s->log_size, s->log_offset, fd);
	if (ret == 0) {
		e->logging = s->log_size > 0 && vhost_user_device_logging(e->dev);
		close(fd);
	}
	return ret;
}

void
vhost_user_emu_log_close(struct vhost_user_emu *e)
{
	e->logging = false;
	log_unmap(e, &e->log[0]);
	log_unmap(e, &e->log[1]);
}
