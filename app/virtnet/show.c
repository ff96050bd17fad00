/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Devices and queues as list and query show them. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "show.h"
#include "virtio/features.h"

/* Descriptors in one request to a worker; a burst. */
#define TUNNEL_DESCRIPTORS VRING_BURST

/* Bits of supported_virt_queue_types, named in schema.c. */
#define QUEUE_TYPE_SPLIT  0x1u
#define QUEUE_TYPE_PACKED 0x2u

static void
add_int(json_t *o, const char *key, int64_t value)
{
	json_object_set_new(o, key, json_integer(value));
}

static void __rte_format_printf(3, 4) add_str(json_t *o, const char *key, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_set_new(o, key, json_string(text));
}

void
show_mac(const uint8_t *mac, char buf[SHOW_MAC_LEN])
{
	snprintf(buf, SHOW_MAC_LEN, "%02X:%02X:%02X:%02X:%02X:%02X", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
}

static void
add_mac(json_t *o, const char *key, const uint8_t *mac)
{
	char text[SHOW_MAC_LEN];

	show_mac(mac, text);
	add_str(o, key, "%s", text);
}

json_t *
show_controller(const struct controller *c)
{
	json_t *o = json_object();

	add_str(o, "emulation_manager", "%s", c->cfg.ib_dev_p0);
	add_str(o, "max_hotplug_devices", "%" PRIu64, c->cfg.num_switch_ports);
	add_str(o, "max_virt_net_devices", "%" PRIu64, c->cfg.num_switch_ports);
	add_str(o, "max_virt_queues", "%u", VIRTIO_MAX_QUEUES);
	add_str(o, "max_tunnel_descriptors", "%u", TUNNEL_DESCRIPTORS);
	add_str(o, "supported_features", "0x%" PRIx64, config_features(&c->cfg));
	add_str(o, "supported_virt_queue_types", "0x%x",
		c->cfg.packed_vq ? QUEUE_TYPE_SPLIT | QUEUE_TYPE_PACKED : QUEUE_TYPE_SPLIT);
	add_str(o, "supported_event_modes", "0x5");
	return o;
}

static unsigned int
enabled_queues(const struct virtio_state *vs)
{
	unsigned int n = 0;

	for (uint16_t i = 0; i < vs->num_queues; i++)
		n += vs->queue[i].enable != 0;
	return n;
}

static void
add_pool(json_t *o, const struct device *dev)
{
	RTE_SET_USED(dev);
	/* VFs share a pool with their PF; a hotplug PF has none. */
	add_int(o, "msix_num_pool_size", 0);
	add_int(o, "min_msix_num", 0);
	add_int(o, "max_msix_num", 0);
	add_int(o, "min_num_of_qp", 0);
	add_int(o, "max_num_of_qp", 0);
	add_int(o, "qp_pool_size", 0);
}

static void
add_pci_ids(json_t *o, const struct device *dev, const struct virtio_state *vs)
{
	RTE_SET_USED(dev);
	add_str(o, "pci_dev_id", "0x1041");
	add_str(o, "pci_vendor_id", "0x1af4");
	add_str(o, "pci_class_code", "0x20000");
	add_str(o, "pci_subsys_id", "0x1041");
	add_str(o, "pci_subsys_vendor_id", "0x1af4");
	add_str(o, "pci_revision_id", "1");
	add_str(o, "device_feature", "0x%" PRIx64, vs->device_features);
	/* Meaningful once a driver has made its choice. */
	if (vs->status & VIRTIO_CONFIG_S_FEATURES_OK)
		add_str(o, "driver_feature", "0x%" PRIx64, vs->driver_features);
	add_str(o, "status", "0x%x", vs->status);
	add_str(o, "reset", "%d", virtio_dev_op_pending(dev->vdev) && vs->status == 0);
	add_str(o, "enabled", "%d", dev->dma_on);
}

static void
add_settings(json_t *o, const struct device *dev, const struct virtio_state *vs)
{
	const bool up = (vs->config.status & VIRTIO_NET_S_LINK_UP) != 0;

	add_str(o, "num_msix", "%u", dev->conf.num_msix);
	add_str(o, "num_queues", "%u", vs->num_queues);
	add_str(o, "enabled_queues", "%u", enabled_queues(vs));
	add_str(o, "max_queue_size", "%u", dev->conf.max_queue_size);
	add_str(o, "msix_config_vector", "0x%X", vs->msix_config);
	add_mac(o, "mac", dev->conf.mac.addr_bytes);
	add_str(o, "link_status", "%d", up);
	add_str(o, "max_queue_pairs", "%u", dev->conf.max_pairs);
	add_str(o, "mtu", "%u", dev->conf.mtu);
	add_str(o, "speed", "%u", vs->config.speed);
	add_str(o, "rss_max_key_size", "%u", vs->config.rss_max_key_size);
	add_str(o, "supported_hash_types", "0x%x", vs->config.supported_hash_types);
	add_mac(o, "ctrl_mac", dev->state->ctrl_mac);
	add_str(o, "ctrl_mq", "%u", dev->started ? dev->state->pairs : 0u);
}

static void
add_sf(json_t *o, const struct device *dev)
{
	add_int(o, "sf_num", dev->conf.sf_num);
	add_str(o, "sf_parent_device", "%s", dev->conf.port->name);
	add_str(o, "sf_parent_device_pci_addr", "%s", dev->conf.port->pci_addr);
	add_str(o, "sf_rep_net_device", "%s", dev->sf->rep);
	add_int(o, "sf_rep_net_ifindex", dev->sf->rep_ifindex);
	/* RDMA objects of a hardware SF; others have none. */
	add_str(o, "sf_rdma_device", "%s", "");
	add_str(o, "sf_cross_mkey", "0x0");
	add_str(o, "sf_vhca_id", "0x0");
	add_str(o, "sf_rqt_num", "0x0");
	add_str(o, "aarfs", "disabled");
	add_str(o, "dim", "disabled");
}

/* What the contract's own keys, whose list is closed, do not tell. */
static void
add_debug(json_t *o, const struct device *dev)
{
	add_str(o, "transport", "%s", dev->emu_ops->name);
	if (dev->started)
		add_str(o, "guest_offloads", "0x%" PRIx64, dev->state->guest_offloads);
}

json_t *
show_device(const struct device *dev, bool query, bool debug)
{
	const struct virtio_state *vs = virtio_dev_state(dev->vdev);
	json_t *o = json_object();

	add_int(o, "pf_id", dev->pf_id);
	add_str(o, "function_type", "hotplug PF");
	add_int(o, "transitional", 0);
	add_str(o, "vuid", "%s", dev->vuid);
	add_str(o, "pci_bdf", "%s", dev->bdf);
	add_str(o, "pci_vhca_id", "0x%X", dev->pf_id + 1);
	add_str(o, "pci_max_vfs", "0");
	add_str(o, "enabled_vfs", "0");
	if (query)
		add_pci_ids(o, dev, vs);
	else
		add_pool(o, dev);
	add_settings(o, dev, vs);
	add_sf(o, dev);
	if (debug)
		add_debug(o, dev);
	return o;
}

/* The packet path's variant for a queue's pair. */
static const char *
burst_name(const struct device *dev, uint16_t queue)
{
	const struct qpair *qp = dev->pair[queue / 2];

	return qp != NULL && qp->run[queue % 2] ? qp->burst->name : "";
}

json_t *
show_queue(const struct device *dev, uint16_t queue, bool debug)
{
	const struct virtio_queue_state *qs = &virtio_dev_state(dev->vdev)->queue[queue];
	const struct ring_stats *st = &dev->records[queue].stats;
	json_t *o = json_object();

	add_str(o, "index", "%u", queue);
	add_str(o, "size", "%u", qs->size);
	add_str(o, "msix_vector", "0x%X", qs->msix_vector);
	add_str(o, "enable", "%u", qs->enable);
	add_str(o, "notify_offset", "%u", queue);
	add_str(o, "descriptor_address", "0x%" PRIx64, qs->desc);
	add_str(o, "driver_address", "0x%" PRIx64, qs->driver);
	add_str(o, "device_address", "0x%" PRIx64, qs->device);
	add_str(o, "received_desc", "%" PRIu64, st->received_desc);
	add_str(o, "completed_desc", "%" PRIu64, st->completed_desc);
	add_str(o, "bad_desc_errors", "%" PRIu64, st->bad_desc_errors);
	add_str(o, "error_cqes", "%" PRIu64, st->sf_drops);
	add_str(o, "exceed_max_chain", "%" PRIu64, st->exceed_max_chain);
	add_str(o, "invalid_buffer", "%" PRIu64, st->invalid_buffer);
	add_str(o, "batch_number", "%u", VRING_BURST);
	add_str(o, "dma_q_used_number", "%u", queue / 2);
	add_str(o, "handler_schd_number", "0");
	add_str(o, "aux_handler_schd_number", "0");
	add_str(o, "max_post_desc_number", "0");
	add_str(o, "total_bytes", "%" PRIu64, st->bytes);
	add_str(o, "rq_cq_max_count", "0");
	add_str(o, "rq_cq_period", "0");
	add_str(o, "rq_cq_period_mode", "1");
	if (debug && queue < dev->conf.max_pairs * 2) {
		add_int(o, "jumbo_mtu", dev->conf.mtu > RTE_ETHER_MTU);
		add_str(o, "burst_function", "%s", burst_name(dev, queue));
	}
	return o;
}
