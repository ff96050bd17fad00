/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The commands: what each must look like, what it does to the device. */

#include <errno.h>
#include <string.h>

#include "device_impl.h"

#define BODY(s)	      sizeof(struct vfio_user_##s), sizeof(struct vfio_user_##s)
#define REPLY_FITS(n) _Static_assert((n) <= MAILBOX_BODY_MAX, "reply does not fit the mailbox")

REPLY_FITS(sizeof(struct vfio_user_region_access) + VFIO_USER_XFER_MAX);

static void
reply_put(struct vfio_user_device *dev, const void *body, uint32_t len)
{
	memcpy(dev->mb->reply, body, len);
	dev->reply_len = len;
}

static int
cmd_version(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	const struct vfio_user_caps ours = {
		.max_msg_fds = VFIO_USER_FDS_MAX,
		.max_data_xfer_size = VFIO_USER_XFER_MAX,
		.max_dma_maps = VFIO_USER_DMA_MAPS_MAX,
		.pgsizes = VFIO_USER_PAGE_SIZE,
	};
	struct vfio_user_caps offer = ours, peer;
	struct vfio_user_version version;
	int ret;

	ret = vfio_user_version_parse(body, len, &version, &peer);
	if (ret == 0 && version.major != VFIO_USER_VERSION_MAJOR)
		ret = -ENOTSUP;
	if (ret == 0) {
		/* Only what the client has proposed may be agreed. */
		offer.write_multiple = dev->conf.offer_write_multi && peer.write_multiple;
		ret = vfio_user_version_build(dev->mb->reply, sizeof(dev->mb->reply), &offer);
	}
	if (ret < 0) {
		dev->mb->close = 1;
		return ret;
	}
	dev->reply_len = (uint32_t)ret;
	dev->mb->negotiated_seq = dev->mb->seq;
	if (dev->conf.ops->attached != NULL)
		dev->conf.ops->attached(dev->conf.ctx);
	return 0;
}

static int
cmd_dma_map(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	const uint32_t prot = VFIO_USER_DMA_F_READ | VFIO_USER_DMA_F_WRITE;
	struct vfio_user_dma_map m;

	memcpy(&m, body, sizeof(m));
	if (m.argsz != sizeof(m) || (m.flags & ~prot) != 0 || m.flags == 0)
		return -EINVAL;
	if (m.size == 0 || ((m.address | m.size | m.offset) & (VFIO_USER_PAGE_SIZE - 1)) != 0)
		return -EINVAL;
	/* The end as a file offset must be one, the end as an address must not wrap. */
	if (m.size > UINT64_MAX - m.address || m.offset > INT64_MAX ||
		m.size > INT64_MAX - m.offset)
		return -EINVAL;
	if (dev->conf.ops->dma_map == NULL)
		return -ENOTSUP;
	return dev->conf.ops->dma_map(
		dev->conf.ctx, m.address, m.size, device_take_fd(dev, 0), m.offset, m.flags);
}

static int
cmd_dma_unmap(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vfio_user_dma_unmap u;
	bool all;

	memcpy(&u, body, sizeof(u));
	all = u.flags == VFIO_USER_DMA_UNMAP_F_ALL;
	if (u.argsz < sizeof(u) || (u.flags != 0 && !all))
		return -EINVAL;
	if (all ? u.address != 0 || u.size != 0 : u.size == 0 || u.size > UINT64_MAX - u.address)
		return -EINVAL;
	if (dev->conf.ops->dma_unmap == NULL)
		return -ENOTSUP;
	u.argsz = sizeof(u);
	reply_put(dev, &u, sizeof(u));
	return dev->conf.ops->dma_unmap(dev->conf.ctx, u.address, u.size, all);
}

static int
cmd_get_info(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vfio_user_device_info info;

	memcpy(&info, body, sizeof(info));
	if (info.argsz < sizeof(info))
		return -EINVAL;
	info = (struct vfio_user_device_info){
		.argsz = sizeof(info),
		.flags = VFIO_USER_DEVICE_F_PCI |
			 (dev->conf.ops->reset != NULL ? VFIO_USER_DEVICE_F_RESET : 0),
		.num_regions = VFIO_USER_PCI_REGIONS,
		.num_irqs = VFIO_USER_PCI_IRQS,
	};
	reply_put(dev, &info, sizeof(info));
	return 0;
}

static int
cmd_get_region_info(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vfio_user_region_info info;

	memcpy(&info, body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFIO_USER_PCI_REGIONS)
		return -EINVAL;
	info = (struct vfio_user_region_info){
		.argsz = sizeof(info),
		.flags = dev->conf.regions[info.index].flags,
		.index = info.index,
		.size = dev->conf.regions[info.index].size,
	};
	reply_put(dev, &info, sizeof(info));
	return 0;
}

static int
cmd_get_irq_info(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vfio_user_irq_info info;

	memcpy(&info, body, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= VFIO_USER_PCI_IRQS)
		return -EINVAL;
	info = (struct vfio_user_irq_info){
		.argsz = sizeof(info),
		.flags = dev->conf.irqs[info.index].flags,
		.index = info.index,
		.count = dev->conf.irqs[info.index].count,
	};
	reply_put(dev, &info, sizeof(info));
	return 0;
}

static bool
one_bit(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* Flags, index and range; what data there must be is up to the caller. */
static int
irq_set_check(const struct vfio_user_device *dev, const struct vfio_user_irq_set_msg *m)
{
	const uint32_t known = VFIO_USER_IRQ_SET_DATA_MASK | VFIO_USER_IRQ_SET_ACTION_ANY;
	uint32_t count, flags;

	if ((m->flags & ~known) != 0 || !one_bit(m->flags & VFIO_USER_IRQ_SET_DATA_MASK) ||
		!one_bit(m->flags & VFIO_USER_IRQ_SET_ACTION_ANY) || m->index >= VFIO_USER_PCI_IRQS)
		return -EINVAL;
	count = dev->conf.irqs[m->index].count;
	flags = dev->conf.irqs[m->index].flags;
	if (m->start >= count || m->count > count - m->start)
		return -EINVAL;
	if (m->count == 0 &&
		(m->start != 0 || m->flags != (VFIO_USER_IRQ_SET_DATA_NONE |
						      VFIO_USER_IRQ_SET_ACTION_TRIGGER)))
		return -EINVAL;
	if ((m->flags & VFIO_USER_IRQ_SET_DATA_EVENTFD) && !(flags & VFIO_USER_IRQ_F_EVENTFD))
		return -EINVAL;
	if (!(m->flags & VFIO_USER_IRQ_SET_ACTION_TRIGGER) && !(flags & VFIO_USER_IRQ_F_MASKABLE))
		return -EINVAL;
	return 0;
}

static enum vfio_user_irq_action
irq_action(uint32_t flags)
{
	if (flags & VFIO_USER_IRQ_SET_ACTION_MASK)
		return VFIO_USER_IRQ_MASK;
	if (flags & VFIO_USER_IRQ_SET_ACTION_UNMASK)
		return VFIO_USER_IRQ_UNMASK;
	return VFIO_USER_IRQ_TRIGGER;
}

static int
cmd_set_irqs(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vfio_user_irq_set set = {.data = VFIO_USER_IRQ_NONE};
	unsigned int nfds = dev->mb->nfds;
	struct vfio_user_irq_set_msg m;
	uint32_t bools;

	memcpy(&m, body, sizeof(m));
	if (m.argsz != len || irq_set_check(dev, &m) < 0)
		return -EINVAL;
	bools = (m.flags & VFIO_USER_IRQ_SET_DATA_BOOL) ? m.count : 0;
	if (len - sizeof(m) != bools)
		return -EINVAL;
	/* All descriptors of the range, or none to de-assign it: QEMU splits what is mixed. */
	if (nfds != 0 && (!(m.flags & VFIO_USER_IRQ_SET_DATA_EVENTFD) || nfds != m.count))
		return -EINVAL;
	if (dev->conf.ops->irq_set == NULL)
		return -ENOTSUP;
	set.index = m.index;
	set.start = m.start;
	set.count = m.count;
	set.action = irq_action(m.flags);
	if (bools > 0) {
		set.data = VFIO_USER_IRQ_BOOL;
		set.bools = body + sizeof(m);
	} else if (m.flags & VFIO_USER_IRQ_SET_DATA_EVENTFD) {
		set.data = VFIO_USER_IRQ_EVENTFD;
		for (unsigned int i = 0; i < nfds; i++)
			dev->fds[i] = device_take_fd(dev, i);
		set.fds = nfds > 0 ? dev->fds : NULL;
	}
	return dev->conf.ops->irq_set(dev->conf.ctx, &set);
}

static bool
access_ok(const struct vfio_user_device *dev, uint32_t region, uint64_t off, uint32_t count,
	uint32_t flag)
{
	uint64_t size;

	if (region >= VFIO_USER_PCI_REGIONS || count == 0 || count > VFIO_USER_XFER_MAX)
		return false;
	size = dev->conf.regions[region].size;
	return (dev->conf.regions[region].flags & flag) != 0 && off <= size && count <= size - off;
}

static int
cmd_region_read(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vfio_user_region_access a;

	memcpy(&a, body, sizeof(a));
	if (!access_ok(dev, a.region, a.offset, a.count, VFIO_USER_REGION_F_READ))
		return -EINVAL;
	if (dev->conf.ops->region_read == NULL)
		return -ENOTSUP;
	reply_put(dev, &a, sizeof(a));
	/* What the operation does not fill must not tell of a former message. */
	memset(dev->mb->reply + sizeof(a), 0, a.count);
	dev->reply_len += a.count;
	return dev->conf.ops->region_read(
		dev->conf.ctx, a.region, a.offset, dev->mb->reply + sizeof(a), a.count);
}

static int
cmd_region_write(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	struct vfio_user_region_access a;

	memcpy(&a, body, sizeof(a));
	if (a.count != len - sizeof(a) ||
		!access_ok(dev, a.region, a.offset, a.count, VFIO_USER_REGION_F_WRITE))
		return -EINVAL;
	if (dev->conf.ops->region_write == NULL)
		return -ENOTSUP;
	reply_put(dev, &a, sizeof(a));
	return dev->conf.ops->region_write(
		dev->conf.ctx, a.region, a.offset, body + sizeof(a), a.count);
}

static void
multi_get(const struct vfio_user_device *dev, uint64_t i, struct vfio_user_write_one *w)
{
	memcpy(w, dev->mb->req + sizeof(uint64_t) + i * sizeof(*w), sizeof(*w));
}

static uint64_t
multi_count(const struct vfio_user_device *dev)
{
	return (dev->mb->req_len - sizeof(uint64_t)) / sizeof(struct vfio_user_write_one);
}

/* Some writes done: the reply says how many. None: the error is the answer. */
int
device_write_multi_end(struct vfio_user_device *dev, int err)
{
	if (err != 0 && dev->multi_done == 0)
		return err;
	reply_put(dev, &dev->multi_done, sizeof(dev->multi_done));
	return 0;
}

int
device_write_multi_go_on(struct vfio_user_device *dev)
{
	const uint64_t n = multi_count(dev);

	for (; dev->multi_done < n; dev->multi_done++) {
		struct vfio_user_write_one w;
		int ret;

		multi_get(dev, dev->multi_done, &w);
		ret = dev->conf.ops->region_write(dev->conf.ctx, w.region, w.offset,
			dev->mb->req + sizeof(uint64_t) + dev->multi_done * sizeof(w) +
				offsetof(struct vfio_user_write_one, data),
			w.count);
		if (ret == -EINPROGRESS)
			return ret;
		if (ret != 0)
			return device_write_multi_end(dev, ret);
	}
	return device_write_multi_end(dev, 0);
}

static int
cmd_write_multi(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	const uint64_t n = multi_count(dev);
	uint64_t claimed;

	memcpy(&claimed, body, sizeof(claimed));
	if (claimed != n || n == 0 ||
		(len - sizeof(claimed)) % sizeof(struct vfio_user_write_one) != 0)
		return -EINVAL;
	/*
	 * All are looked at before the first is carried out: a malformed message changes nothing.
	 */
	for (uint64_t i = 0; i < n; i++) {
		struct vfio_user_write_one w;

		multi_get(dev, i, &w);
		if (w.count > sizeof(w.data) ||
			!access_ok(dev, w.region, w.offset, w.count, VFIO_USER_REGION_F_WRITE))
			return -EINVAL;
	}
	if (dev->conf.ops->region_write == NULL)
		return -ENOTSUP;
	return device_write_multi_go_on(dev);
}

static int
cmd_reset(struct vfio_user_device *dev, const uint8_t *body, uint32_t len)
{
	if (dev->conf.ops->reset == NULL)
		return -ENOTSUP;
	return dev->conf.ops->reset(dev->conf.ctx);
}

static const struct device_command commands[] = {
	[VFIO_USER_VERSION] = {sizeof(struct vfio_user_version), MAILBOX_BODY_MAX, 0, cmd_version,
		0},
	[VFIO_USER_DMA_MAP] = {BODY(dma_map), 1, cmd_dma_map, 0},
	[VFIO_USER_DMA_UNMAP] = {BODY(dma_unmap), 0, cmd_dma_unmap, 0},
	[VFIO_USER_DEVICE_GET_INFO] = {BODY(device_info), 0, cmd_get_info, 0},
	[VFIO_USER_DEVICE_GET_REGION_INFO] = {BODY(region_info), 0, cmd_get_region_info, 0},
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = {BODY(irq_info), 0, cmd_get_irq_info, 0},
	[VFIO_USER_DEVICE_SET_IRQS] = {sizeof(struct vfio_user_irq_set_msg), MAILBOX_BODY_MAX,
		VFIO_USER_FDS_MAX, cmd_set_irqs, 0},
	[VFIO_USER_REGION_READ] = {BODY(region_access), 0, cmd_region_read, 0},
	[VFIO_USER_REGION_WRITE] = {sizeof(struct vfio_user_region_access) + 1,
		sizeof(struct vfio_user_region_access) + VFIO_USER_XFER_MAX, 0, cmd_region_write,
		0},
	/* These go from server to client. */
	[VFIO_USER_DMA_READ] = {.err = -EINVAL},
	[VFIO_USER_DMA_WRITE] = {.err = -EINVAL},
	[VFIO_USER_DEVICE_RESET] = {0, 0, 0, cmd_reset, 0},
	[VFIO_USER_REGION_WRITE_MULTI] = {sizeof(uint64_t) + sizeof(struct vfio_user_write_one),
		MAILBOX_BODY_MAX, 0, cmd_write_multi, 0},
};

static const struct device_command unsupported = {.err = -ENOTSUP};

const struct device_command *
device_command_get(uint16_t command)
{
	if (command >= sizeof(commands) / sizeof(commands[0]))
		return &unsupported;
	if (commands[command].run == NULL && commands[command].err == 0)
		return &unsupported;
	return &commands[command];
}
