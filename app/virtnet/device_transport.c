/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/*
 * A device whose client hands out rings by messages: positions, queues in use, eventfds, dirty log,
 * and the word to the network that a guest has moved here.
 */

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_arp.h>
#include <rte_mbuf.h>

#include "device_rings.h"
#include "device_run.h"
#include "device_transport.h"
#include "log.h"
#include "sf/sf.h"

/* Ethernet's shortest frame, less its check sequence. */
#define RARP_LEN (RTE_ETHER_MIN_LEN - RTE_ETHER_CRC_LEN)

uint32_t
device_up_queue_base(void *ctx, uint16_t queue)
{
	const struct device *dev = ctx;

	return vring_base(&dev->records[queue], virtio_dev_features(dev->vdev));
}

void
device_up_queue_set_base(void *ctx, uint16_t queue, uint32_t base)
{
	struct device *dev = ctx;

	vring_base_set(&dev->records[queue], virtio_dev_features(dev->vdev), base);
	dev->base_told[queue] = true;
}

/*
 * A client whose former server died does not know how far that one had got; DPDK's virtio-user says
 * 0, whatever its driver has seen. Of a split ring the used index knows: what is behind it is still
 * to be done, what is before it must not be done again.
 */
void
device_base_check(struct device *dev, uint16_t queue)
{
	const uint64_t features = virtio_dev_features(dev->vdev);
	const uint64_t used_idx = virtio_dev_state(dev->vdev)->queue[queue].device +
				  offsetof(struct virtq_used, idx);
	struct hostmem_hint hint = {0};
	uint64_t len = sizeof(uint16_t);
	uint32_t base, used;
	const uint8_t *at;

	if (!dev->base_told[queue] || virtio_has(features, VIRTIO_F_RING_PACKED))
		return;
	at = hostmem_translate(hostmem_table(dev->hm), &hint, used_idx, &len, HOSTMEM_READ);
	if (at == NULL || len < sizeof(uint16_t))
		return;
	dev->base_told[queue] = false;
	base = vring_base(&dev->records[queue], features);
	used = __atomic_load_n((const uint16_t *)(const void *)at, __ATOMIC_RELAXED);
	if (base == used)
		return;
	log_limited(&dev->log_limit, LOG_LEVEL_INFO,
		"%s: queue %u goes on at %u, where its used ring is, and not at %u", dev->vuid,
		queue, used, base);
	vring_base_set(&dev->records[queue], features, used);
}

uint16_t
device_transport_pairs(const struct device *dev)
{
	const struct emu_ops *ops = dev->emu->ops;

	return ops->pairs != NULL ? RTE_MIN(ops->pairs(dev->emu), dev->conf.max_pairs) : 1;
}

void
device_up_pairs_changed(void *ctx)
{
	device_pairs_changed(ctx);
}

static void
step_kick(struct device *dev, void *arg)
{
	device_ring_kick_renew(dev, (uint16_t)(uintptr_t)arg);
}

void
device_up_kick_changed(void *ctx, uint16_t queue)
{
	struct device *dev = ctx;

	if (queue / 2 < dev->conf.max_pairs && dev->pair[queue / 2] != NULL)
		(void)device_quiesce(dev, step_kick, (void *)(uintptr_t)queue, false);
}

/* They are started again from their records, with the log as it is now. */
static void
step_log(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	device_rings_stop(dev);
}

int
device_up_log_changed(void *ctx)
{
	return device_quiesce(ctx, step_log, NULL, true);
}

/* ---- the guest has moved here */

/* RARP request, as QEMU's own (RFC 903): whoever hears it learns where the address is. */
static struct rte_mbuf *
rarp(struct rte_mempool *pool, const uint8_t mac[6])
{
	static const struct rte_ether_addr broadcast = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ether_hdr *eth;
	struct rte_arp_hdr *arp;

	if (m == NULL)
		return NULL;
	m->data_off = VRING_MBUF_DATA_OFF;
	memset(VRING_MBUF_HDR(m), 0, sizeof(*VRING_MBUF_HDR(m)));
	m->data_len = RARP_LEN;
	m->pkt_len = RARP_LEN;
	eth = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	memset(eth, 0, RARP_LEN);
	eth->dst_addr = broadcast;
	memcpy(&eth->src_addr, mac, RTE_ETHER_ADDR_LEN);
	eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_RARP);
	arp = (struct rte_arp_hdr *)(eth + 1);
	arp->arp_hardware = rte_cpu_to_be_16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = RTE_ETHER_ADDR_LEN;
	arp->arp_plen = sizeof(rte_be32_t);
	arp->arp_opcode = rte_cpu_to_be_16(RTE_ARP_OP_REVREQUEST);
	memcpy(&arp->arp_data.arp_sha, mac, RTE_ETHER_ADDR_LEN);
	memcpy(&arp->arp_data.arp_tha, mac, RTE_ETHER_ADDR_LEN);
	return m;
}

void
device_announce(struct device *dev)
{
	struct rte_mbuf *m = dev->announcement;

	if (m == NULL || !dev->started || dev->held || dev->state->sf.pairs == 0 || dev->sf == NULL)
		return;
	dev->announcement = NULL;
	(void)dev->sf->ops->tx_burst(dev->sf, 0, &m, 1);
}

static void
step_announce(struct device *dev, void *arg)
{
	RTE_SET_USED(arg);
	device_announce(dev);
}

int
device_up_announce(void *ctx, const uint8_t mac[6])
{
	struct device *dev = ctx;

	rte_pktmbuf_free(dev->announcement);
	dev->announcement = rarp(dev->ctl->pool, mac);
	if (dev->announcement == NULL)
		return -ENOMEM;
	return device_quiesce(dev, step_announce, NULL, true);
}
