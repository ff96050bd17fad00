/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * Memory: the client's table, slot by slot.
 *
 * A whole new table (SET_MEM_TABLE) is turned into what differs: regions that stand in both - the
 * same addresses of the same file - are left alone, so that rings which use them run on.
 */

#include <errno.h>
#include <string.h>

#include "device_impl.h"

/* A region as it came, with its file. */
struct newcomer {
	struct vhost_user_mem_region r;
	uint64_t dev, ino;
};

static bool
used(const struct vhost_user_slot *s)
{
	return s->region.size > 0;
}

static bool
overlap(const struct vhost_user_mem_region *a, const struct vhost_user_mem_region *b)
{
	return a->guest_addr < b->guest_addr + b->size && b->guest_addr < a->guest_addr + a->size;
}

static bool
same(const struct vhost_user_slot *s, const struct newcomer *n)
{
	return memcmp(&s->region, &n->r, sizeof(n->r)) == 0 && s->dev == n->dev && s->ino == n->ino;
}

/* No sum wraps, and the file has what the region says. */
static int
newcomer_check(struct newcomer *n, const uint8_t *body, int fd)
{
	memcpy(&n->r, body, sizeof(n->r));
	if (n->r.size == 0 || n->r.size > UINT64_MAX - n->r.guest_addr ||
		n->r.size > UINT64_MAX - n->r.user_addr)
		return -EINVAL;
	return vhost_device_file_covers(fd, n->r.mmap_offset, n->r.size, &n->dev, &n->ino);
}

/* With its size a slot is there or not: at no instant does a successor find half of it. */
static void
slot_size_store(struct vhost_user_slot *s, uint64_t size)
{
	__atomic_store_n(&s->region.size, size, __ATOMIC_RELEASE);
}

static int
slot_remove(struct vhost_user_device *dev, unsigned int i)
{
	struct vhost_user_slot *s = &dev->state->slot[i];
	const int ret = dev->ops->mem_remove(dev->conf.ctx, i, &s->region);

	if (ret < 0)
		return ret;
	dev->state->removed_seq = dev->mb->seq;
	slot_size_store(s, 0);
	return 0;
}

static int
slot_add(struct vhost_user_device *dev, const struct newcomer *n, unsigned int fd_index)
{
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++) {
		struct vhost_user_slot *s = &dev->state->slot[i];
		int ret;

		if (used(s))
			continue;
		ret = dev->ops->mem_add(
			dev->conf.ctx, i, &n->r, vhost_device_take_fd(dev, fd_index));
		if (ret < 0)
			return ret;
		s->seq = dev->mb->seq;
		s->dev = n->dev;
		s->ino = n->ino;
		s->region.guest_addr = n->r.guest_addr;
		s->region.user_addr = n->r.user_addr;
		s->region.mmap_offset = n->r.mmap_offset;
		slot_size_store(s, n->r.size);
		return 0;
	}
	return -ENOSPC;
}

static int
committed(struct vhost_user_device *dev, int err)
{
	return dev->edit_err < 0 ? dev->edit_err : err;
}

/* Whatever has been edited is to take effect, even if not all could be. */
static int
commit(struct vhost_user_device *dev, int edit_err)
{
	dev->edit_err = edit_err;
	return vhost_device_then(dev, dev->ops->mem_commit(dev->conf.ctx), committed);
}

static const struct vhost_user_slot *
slot_same(const struct vhost_user_device *dev, const struct newcomer *n)
{
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++)
		if (used(&dev->state->slot[i]) && same(&dev->state->slot[i], n))
			return &dev->state->slot[i];
	return NULL;
}

/* Regions that are not in the new table go. */
static int
table_remove(struct vhost_user_device *dev, const struct newcomer *table, unsigned int n)
{
	int ret = 0;

	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX && ret == 0; i++) {
		bool stays = !used(&dev->state->slot[i]);

		for (unsigned int k = 0; k < n && !stays; k++)
			stays = same(&dev->state->slot[i], &table[k]);
		if (!stays)
			ret = slot_remove(dev, i);
	}
	return ret;
}

static int
table_add(struct vhost_user_device *dev, const struct newcomer *table, unsigned int n)
{
	int ret = 0;

	for (unsigned int k = 0; k < n && ret == 0; k++)
		if (slot_same(dev, &table[k]) == NULL)
			ret = slot_add(dev, &table[k], k);
	return ret;
}

/* All of it is looked at before anything is done. */
static int
table_check(const struct vhost_user_device *dev, const uint8_t *regions, struct newcomer *table,
	unsigned int n)
{
	for (unsigned int k = 0; k < n; k++) {
		const int ret = newcomer_check(
			&table[k], regions + k * sizeof(table[k].r), dev->req_fds[k]);

		if (ret < 0)
			return ret;
		for (unsigned int j = 0; j < k; j++)
			if (overlap(&table[j].r, &table[k].r))
				return -EINVAL;
	}
	return 0;
}

int
vhost_device_set_mem_table(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const size_t head = offsetof(struct vhost_user_mem_table, region);
	struct newcomer table[VHOST_USER_TABLE_MAX];
	uint32_t n;
	int ret;

	memcpy(&n, body, sizeof(n));
	if (n > VHOST_USER_TABLE_MAX || n != dev->mb->nfds || len < head + n * sizeof(table[0].r))
		return -EINVAL;
	ret = table_check(dev, body + head, table, n);
	if (ret < 0)
		return ret;
	ret = table_remove(dev, table, n);
	if (ret == 0)
		ret = table_add(dev, table, n);
	return commit(dev, ret);
}

int
vhost_device_add_mem_reg(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	const size_t at = offsetof(struct vhost_user_mem_single, region);
	const struct vhost_user_slot *s;
	struct newcomer n;
	int ret = newcomer_check(&n, body + at, dev->req_fds[0]);

	if (ret < 0)
		return ret;
	/* A predecessor has added it and died before it could say so. */
	s = slot_same(dev, &n);
	if (s != NULL && s->seq == dev->mb->seq)
		return commit(dev, 0);
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++)
		if (used(&dev->state->slot[i]) && overlap(&dev->state->slot[i].region, &n.r))
			return -EEXIST;
	return commit(dev, slot_add(dev, &n, 0));
}

int
vhost_device_rem_mem_reg(struct vhost_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vhost_user_mem_region r;

	memcpy(&r, body + offsetof(struct vhost_user_mem_single, region), sizeof(r));
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++) {
		const struct vhost_user_mem_region *s = &dev->state->slot[i].region;

		if (s->size > 0 && s->guest_addr == r.guest_addr && s->user_addr == r.user_addr &&
			s->size == r.size)
			return commit(dev, slot_remove(dev, i));
	}
	/* A predecessor has removed it and died before it could say so. */
	return dev->state->removed_seq == dev->mb->seq ? commit(dev, 0) : -ENOENT;
}

int
vhost_device_translate(
	const struct vhost_user_device *dev, uint64_t user, uint64_t len, uint64_t *guest)
{
	for (unsigned int i = 0; i < VHOST_USER_SLOTS_MAX; i++) {
		const struct vhost_user_mem_region *r = &dev->state->slot[i].region;

		if (user < r->user_addr || user - r->user_addr >= r->size ||
			len > r->size - (user - r->user_addr))
			continue;
		*guest = r->guest_addr + (user - r->user_addr);
		return 0;
	}
	return -EFAULT;
}
