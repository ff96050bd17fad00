/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Descriptor chains of any layout: gathered, checked, read, written, given back. */

#include <string.h>

#include "vring/chain.h"

/* Where the walk of a chain stands. */
struct walk {
	uint64_t table;	  /* IOVA of the indirect table */
	uint32_t entries; /* descriptors in the table walked, indirect or not */
	uint32_t budget;  /* descriptors that the chain may still have */
	uint32_t seen;	  /* descriptors read */
	uint32_t idx;
	bool indirect;
	bool writable; /* a device-writable buffer has been seen */
};

static int
fail(struct vring *vr, enum vring_error err)
{
	vring_fail(vr, err);
	return -1;
}

static int
fail_too_long(struct vring *vr)
{
	vr->rec->stats.exceed_max_chain++;
	return fail(vr, VRING_ERR_CHAIN);
}

/* An entry of an indirect table, where it is or, if it lies across two ranges, in a copy. */
static const void *
indirect_entry(struct vring *vr, uint64_t iova, uint8_t copy[sizeof(struct virtq_desc)])
{
	uint64_t len = sizeof(struct virtq_desc);
	const uint8_t *va;

	va = hostmem_translate(vr->table, &vr->desc_hint, iova, &len, HOSTMEM_READ);
	if (likely(va != NULL && len == sizeof(struct virtq_desc)))
		return va;
	for (uint64_t done = 0; done < sizeof(struct virtq_desc); done += len) {
		len = sizeof(struct virtq_desc) - done;
		va = hostmem_translate(vr->table, &vr->desc_hint, iova + done, &len, HOSTMEM_READ);
		if (va == NULL)
			return NULL;
		memcpy(copy + done, va, len);
	}
	return copy;
}

/*
 * A packed ring's descriptor as if it was a split one: the next one follows it, as far as the chain
 * or the table goes. In a table flags but WRITE mean nothing (2.8.7), yet none is in another.
 */
static struct virtq_desc
as_split(const struct vring *vr, const struct walk *w, uint64_t addr, uint64_t rest)
{
	const uint16_t kept = VIRTQ_DESC_F_WRITE | VIRTQ_DESC_F_INDIRECT;
	const bool last = w->indirect ? w->idx + 1 == w->entries : w->budget == 0;
	const uint32_t next = w->idx + 1;

	return (struct virtq_desc){
		.addr = addr,
		.len = PACKED_REST_LEN(rest),
		.flags = (PACKED_REST_FLAGS(rest) & kept) | (last ? 0 : VIRTQ_DESC_F_NEXT),
		.next = (uint16_t)(!w->indirect && next == vr->size ? 0 : next),
	};
}

/* The descriptor where the walk stands. */
static int
walk_load(struct vring *vr, const struct walk *w, struct virtq_desc *d)
{
	uint8_t copy[sizeof(*d)];
	struct pvirtq_desc p;
	const void *entry;
	uint64_t rest;

	if (!w->indirect && vr->packed) {
		rest = packed_rest(vr, (uint16_t)w->idx);
		*d = as_split(vr, w, packed_addr(vr, (uint16_t)w->idx), rest);
		return 0;
	}
	if (!w->indirect) {
		*d = split_desc_load(&vr->desc[w->idx]);
		return 0;
	}
	entry = indirect_entry(vr, w->table + w->idx * sizeof(*d), copy);
	if (entry == NULL)
		return fail(vr, VRING_ERR_ADDRESS);
	if (!vr->packed) {
		*d = split_desc_load(entry);
		return 0;
	}
	p = packed_desc_load(entry);
	*d = as_split(vr, w, p.addr, PACKED_REST(p.len, p.id, p.flags));
	return 0;
}

/* virtio 1.2, 2.7.5.3: no table in a table, none with a successor, the WRITE flag means nothing. */
static int
indirect_enter(struct vring *vr, const struct virtq_desc *d, struct walk *w)
{
	if (!vr->indirect || w->indirect || (d->flags & VIRTQ_DESC_F_NEXT) != 0)
		return fail(vr, VRING_ERR_INDIRECT);
	if (d->len == 0 || d->len % sizeof(*d) != 0)
		return fail(vr, VRING_ERR_INDIRECT);
	if (d->addr + d->len < d->addr)
		return fail(vr, VRING_ERR_ADDRESS);
	w->indirect = true;
	w->table = d->addr;
	w->entries = d->len / sizeof(*d);
	w->budget = RTE_MIN(w->entries, VRING_MAX_CHAIN);
	w->idx = 0;
	return 0;
}

/* One buffer, in as many pieces as it has here. Empty ones are passed over, whatever their address.
 */
static int
pieces_add(struct vring *vr, const struct virtq_desc *d, struct walk *w, struct vring_chain *c)
{
	const bool in = (d->flags & VIRTQ_DESC_F_WRITE) != 0;
	uint32_t *total = in ? &c->in_len : &c->out_len;
	uint64_t iova = d->addr, left = d->len, len;
	uint8_t *va;

	/* 2.7.4.2: readable buffers come first */
	if (!in && w->writable)
		return fail(vr, VRING_ERR_CHAIN);
	w->writable = in;
	if (d->addr + d->len < d->addr)
		return fail(vr, VRING_ERR_ADDRESS);
	/* 2.7.5.2: a chain has less than 4 GiB */
	if (*total + d->len < *total)
		return fail(vr, VRING_ERR_CHAIN);
	*total += d->len;
	for (; left != 0; iova += len, left -= len) {
		if (c->n_out + c->n_in == VRING_MAX_CHAIN)
			return fail_too_long(vr);
		len = left;
		va = hostmem_translate(
			vr->table, &vr->hint, iova, &len, in ? HOSTMEM_WRITE : HOSTMEM_READ);
		if (va == NULL)
			return fail(vr, VRING_ERR_ADDRESS);
		c->iov[c->n_out + c->n_in] = (struct iovec){.iov_base = va, .iov_len = len};
		c->iova[c->n_out + c->n_in] = iova;
		if (in)
			c->n_in++;
		else
			c->n_out++;
	}
	return 0;
}

int
chain_gather(struct vring *vr, uint16_t at, uint16_t n, uint32_t max, struct vring_chain *c)
{
	struct walk w = {
		.entries = vr->size,
		.budget = vr->packed ? n : RTE_MIN(vr->size, VRING_MAX_CHAIN),
		.idx = at,
	};
	struct virtq_desc d;

	c->n_out = 0;
	c->n_in = 0;
	c->out_len = 0;
	c->in_len = 0;
	for (;;) {
		if (w.idx >= w.entries)
			return fail(vr, VRING_ERR_INDEX);
		if (w.budget == 0)
			return fail_too_long(vr);
		w.budget--;
		w.seen++;
		if (walk_load(vr, &w, &d) != 0)
			return -1;
		FAULT_MAGIC(d.addr);
		if ((d.flags & VIRTQ_DESC_F_INDIRECT) != 0) {
			if (indirect_enter(vr, &d, &w) != 0)
				return -1;
			continue;
		}
		if (pieces_add(vr, &d, &w, c) != 0)
			return -1;
		if ((d.flags & VIRTQ_DESC_F_NEXT) == 0 || c->out_len > max || c->in_len > max)
			break;
		w.idx = d.next;
	}
	c->work = (uint16_t)RTE_MAX(w.seen, (uint32_t)c->n_out + c->n_in);
	return 0;
}

void
chain_log(const struct vring *vr, const struct vring_chain *chain, uint32_t len)
{
	uint32_t part;

	if (!ring_logs(vr))
		return;
	for (uint32_t i = chain->n_out; len > 0 && i < (uint32_t)chain->n_out + chain->n_in; i++) {
		part = (uint32_t)RTE_MIN((size_t)len, chain->iov[i].iov_len);
		ring_log(vr, chain->iova[i], part);
		len -= part;
	}
}

static void *
cursor_piece(struct iov_cursor *cur, uint32_t *len)
{
	void *at;

	while (cur->n != 0 && cur->off >= cur->iov->iov_len) {
		cur->off -= cur->iov->iov_len;
		cur->iov++;
		cur->n--;
	}
	if (cur->n == 0)
		return NULL;
	at = (uint8_t *)cur->iov->iov_base + cur->off;
	*len = (uint32_t)RTE_MIN((size_t)*len, cur->iov->iov_len - cur->off);
	cur->off += *len;
	return at;
}

uint32_t
iov_cursor_read(struct iov_cursor *cur, void *buf, uint32_t len)
{
	uint32_t done, part;
	const void *from;

	for (done = 0; done < len; done += part) {
		part = len - done;
		from = cursor_piece(cur, &part);
		if (from == NULL)
			break;
		memcpy((uint8_t *)buf + done, from, part);
	}
	/* What was copied is not to be read from the driver's memory again. */
	rte_compiler_barrier();
	return done;
}

uint32_t
iov_cursor_write(struct iov_cursor *cur, const void *buf, uint32_t len)
{
	uint32_t done, part;
	void *to;

	for (done = 0; done < len; done += part) {
		part = len - done;
		to = cursor_piece(cur, &part);
		if (to == NULL)
			break;
		memcpy(to, (const uint8_t *)buf + done, part);
	}
	return done;
}

/* Find the next chain. @return 1; 0 there is none; -1 the ring broke */
static int
chain_find(struct vring *vr, uint16_t *at, struct vring_chain *chain)
{
	const struct packed_at place = packed_avail_at(vr);
	struct packed_head head;

	if (!vr->packed) {
		if (split_avail(vr, 1) == 0)
			return vring_broken(vr) ? -1 : 0;
		*at = chain->head = split_head(vr, vr->avail_idx);
		chain->slots = 1;
		return 1;
	}
	if (!packed_take(vr, &head, place, packed_room(vr, place)))
		return 0;
	*at = place.slot;
	chain->head = head.id;
	chain->slots = head.n;
	return 1;
}

int
vring_pop(struct vring *vr, struct vring_chain *chain)
{
	uint16_t at;
	int ret;

	if (vring_broken(vr))
		return -1;
	ret = chain_find(vr, &at, chain);
	if (ret <= 0)
		return ret;
	if (chain_gather(vr, at, chain->slots, CHAIN_WHOLE, chain) != 0)
		return -1;
	if (vr->packed) {
		packed_advance(vr, packed_ahead(vr, packed_avail_at(vr), chain->slots), 1);
		vr->last_taken = chain->slots;
	} else {
		vr->avail_idx++;
	}
	vr->rec->stats.received_desc++;
	FAULT_POINT("vring.chain.taken");
	return 1;
}

void
vring_unpop(struct vring *vr)
{
	if (!vr->packed) {
		vr->avail_idx--;
	} else {
		if (vr->avail_idx < vr->last_taken) {
			vr->avail_idx += vr->size;
			vr->avail_wrap = !vr->avail_wrap;
		}
		vr->avail_idx -= vr->last_taken;
		vr->taken--;
		vr->seen = 0;
	}
	vr->rec->stats.received_desc--;
}

void
vring_push(struct vring *vr, const struct vring_chain *chain, uint32_t written)
{
	chain_push(vr, chain, written);
}

uint32_t
vring_chain_read(const struct vring_chain *chain, uint32_t offset, void *buf, uint32_t len)
{
	struct iov_cursor cur = {chain->iov, chain->n_out, offset};

	return iov_cursor_read(&cur, buf, len);
}

uint32_t
vring_chain_write(const struct vring_chain *chain, uint32_t offset, const void *buf, uint32_t len)
{
	struct iov_cursor cur = {chain->iov + chain->n_out, chain->n_in, offset};

	return iov_cursor_write(&cur, buf, len);
}
