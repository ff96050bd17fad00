/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* Commands hotplug and unplug. */

#include <inttypes.h>
#include <string.h>

#include "cmd.h"
#include "device.h"
#include "errors.h"
#include "show.h"
#include "topology.h"
#include "virtio/features.h"

/* An answer's particulars. */
#define DETAIL_LEN     256

#define MTU_MIN	       68 /* RFC 791 */
#define MAC_LEN	       17 /* "00:11:22:33:44:55" */
#define QUEUE_SIZE_MIN 4
#define QUEUE_SIZE_MAX 32768

static int
parse_mac(const char *text, struct rte_ether_addr *mac, char *detail)
{
	if (strlen(text) == MAC_LEN && rte_ether_unformat_addr(text, mac) == 0)
		return 0;
	snprintf(detail, DETAIL_LEN, "%.32s; six bytes in hex with colons are wanted", text);
	return VN_ERR_MAC_INVALID;
}

static int
parse_port(const struct controller *c, const struct request *req, struct device_conf *conf,
	char *detail)
{
	const char *name = request_arg(req, "ib_device")->str;
	const uint64_t mtu = request_arg(req, "mtu")->num;

	conf->port = config_find_port(&c->cfg, name);
	if (conf->port == NULL) {
		snprintf(detail, DETAIL_LEN, "%.32s is none of platform.ports", name);
		return VN_ERR_PORT_NOT_FOUND;
	}
	if (mtu < MTU_MIN || mtu > conf->port->mtu) {
		snprintf(detail, DETAIL_LEN,
			"%" PRIu64 " is out of range (%u..%" PRIu64 ", the MTU of %.32s)", mtu,
			MTU_MIN, conf->port->mtu, name);
		return VN_ERR_MTU_INVALID;
	}
	conf->mtu = mtu;
	return 0;
}

static int
parse_queues(const struct controller *c, const struct request *req, struct device_conf *conf,
	char *detail)
{
	const struct request_arg *pairs = request_arg(req, "max_queue_pairs");
	const uint64_t size = request_arg(req, "max_queue_size")->num;
	/* A vector for each virtqueue and one for configuration changes. */
	const uint64_t max_queues = RTE_MIN(c->cfg.num_msix - 1, (uint64_t)VIRTIO_MAX_QUEUES - 1);
	const uint64_t queues =
		pairs->given ? pairs->num * 2 + 1 : request_arg(req, "max_queues")->num;

	if (queues < 3 || queues > max_queues) {
		snprintf(detail, DETAIL_LEN,
			"%" PRIu64 " virtqueues; 3..%" PRIu64 " (1..%" PRIu64
			" pairs) are allowed with %" PRIu64 " MSI-X vectors",
			queues, max_queues, (max_queues - 1) / 2, c->cfg.num_msix);
		return VN_ERR_QUEUES_INVALID;
	}
	conf->max_pairs = (queues - 1) / 2;
	if (size < QUEUE_SIZE_MIN || (size & (size - 1)) != 0)
		return VN_ERR_QUEUE_SIZE_RULE;
	if (size > QUEUE_SIZE_MAX) {
		snprintf(detail, DETAIL_LEN, "%" PRIu64 " is out of range (%u..%u)", size,
			QUEUE_SIZE_MIN, QUEUE_SIZE_MAX);
		return VN_ERR_QUEUE_SIZE_INVALID;
	}
	conf->max_queue_size = size;
	return 0;
}

/* The key of virtnet.conf that keeps a feature off, or NULL. */
static const char *
feature_key(unsigned int feature)
{
	switch (feature) {
	case VIRTIO_F_RING_PACKED:
		return "packed_vq";
	case VIRTIO_NET_F_MRG_RXBUF:
		return "mrg_rxbuf";
	default:
		return NULL;
	}
}

static int
feature_refused(uint64_t refused, char *detail)
{
	const unsigned int first = (unsigned int)__builtin_ctzll(refused);
	const char *key = feature_key(first);

	if (key != NULL)
		snprintf(detail, DETAIL_LEN, "%s needs %s 1 in virtnet.conf",
			virtio_feature_name(first), key);
	else
		snprintf(detail, DETAIL_LEN,
			"0x%" PRIx64 " is not supported, see supported_features of list", refused);
	return VN_ERR_FEATURE_VALIDATE;
}

static int
parse_features(const struct controller *c, const struct request *req, struct device_conf *conf,
	char *detail)
{
	const struct request_arg *arg = request_arg(req, "features");
	const uint64_t allowed = config_features(&c->cfg);
	const uint64_t refused = arg->given ? arg->num & ~allowed : 0;
	unsigned int needs, missing;

	if (refused != 0)
		return feature_refused(refused, detail);
	conf->features = (arg->given ? arg->num : virtio_net_default_features(allowed)) |
			 virtio_net_required_features();
	if (virtio_net_check_features(conf->features, &needs, &missing) < 0) {
		snprintf(detail, DETAIL_LEN, "%s needs %s", virtio_feature_name(needs),
			virtio_feature_name(missing));
		return VN_ERR_FEATURE_VALIDATE;
	}
	return 0;
}

static int
parse_sf_num(const struct request *req, struct device_conf *conf, char *detail)
{
	const struct request_arg *arg = request_arg(req, "sf_num");

	if (!arg->given)
		return 0;
	if (arg->num < TOPOLOGY_HOTPLUG_SF_FIRST || arg->num > TOPOLOGY_HOTPLUG_SF_LAST) {
		snprintf(detail, DETAIL_LEN, "%" PRIu64 " is not", arg->num);
		return VN_ERR_SF_NUM_RANGE;
	}
	conf->sf_num = arg->num;
	return 0;
}

static int
parse_host(const struct controller *c, const struct request *req, struct device_conf *conf,
	char *detail)
{
	const struct request_arg *arg = request_arg(req, "host");
	size_t at;

	for (unsigned int i = 0; i < c->cfg.n_hosts; i++)
		if (arg->given ? strcmp(c->cfg.host[i].name, arg->str) == 0 : c->cfg.n_hosts == 1) {
			conf->host = i;
			return 0;
		}
	at = snprintf(detail, DETAIL_LEN,
		arg->given ? "host %.32s is none of: " : "which host%.0s? --host takes one of: ",
		arg->str);
	for (unsigned int i = 0; i < c->cfg.n_hosts && at < DETAIL_LEN; i++)
		at += snprintf(
			detail + at, DETAIL_LEN - at, "%s%s", i ? ", " : "", c->cfg.host[i].name);
	return -EINVAL;
}

static int
parse_transport(const struct controller *c, const struct request *req, struct device_conf *conf,
	char *detail)
{
	const struct request_arg *arg = request_arg(req, "transport");

	const struct emu_ops *ops = arg->given ? emu_driver_find(arg->str) : c->emu_ops;

	if (ops == NULL) {
		snprintf(detail, DETAIL_LEN, "transport %.32s is not part of this build", arg->str);
		return VN_ERR_OPT_NOT_SUPPORTED;
	}
	snprintf(conf->transport, sizeof(conf->transport), "%s", ops->name);
	if (request_arg(req, "legacy")->given) {
		snprintf(detail, DETAIL_LEN,
			"transitional devices (legacy) are not available over %s", conf->transport);
		return VN_ERR_OPT_NOT_SUPPORTED;
	}
	return 0;
}

static int
parse_hotplug(const struct controller *c, const struct request *req, struct device_conf *conf,
	char *detail)
{
	int ret = parse_port(c, req, conf, detail);

	conf->intx_only = request_arg(req, "intx")->given;
	if (ret == 0)
		ret = parse_transport(c, req, conf, detail);
	if (ret == 0)
		ret = parse_mac(request_arg(req, "mac")->str, &conf->mac, detail);
	if (ret == 0)
		ret = parse_queues(c, req, conf, detail);
	if (ret == 0)
		ret = parse_features(c, req, conf, detail);
	if (ret == 0)
		ret = parse_sf_num(req, conf, detail);
	return ret == 0 ? parse_host(c, req, conf, detail) : ret;
}

static void
hotplug_done(void *arg, struct device *dev, int err, const char *text)
{
	struct request *req = arg;
	char mac[SHOW_MAC_LEN];

	if (err != 0) {
		request_fail(req, err, text);
		return;
	}
	req->reply = json_object();
	show_mac(dev->conf.mac.addr_bytes, mac);
	json_object_set_new(req->reply, "bdf", json_string(dev->bdf));
	json_object_set_new(req->reply, "vuid", json_string(dev->vuid));
	json_object_set_new(req->reply, "id", json_integer(dev->pf_id));
	json_object_set_new(req->reply, "transitional", json_integer(0));
	json_object_set_new(req->reply, "sf_rep_net_device", json_string(dev->sf->rep));
	json_object_set_new(req->reply, "mac", json_string(mac));
	request_done(req);
}

void
cmd_hotplug(struct controller *c, struct request *req)
{
	struct device_conf conf = {0};
	char detail[DETAIL_LEN] = "";
	int ret = parse_hotplug(c, req, &conf, detail);

	if (ret == 0)
		ret = device_hotplug(c, &conf, hotplug_done, req, detail, sizeof(detail));
	if (ret != 0)
		request_fail(req, ret, detail);
}

static void
unplug_done(void *arg, struct device *dev, int err, const char *text)
{
	RTE_SET_USED(dev);
	if (err != 0)
		request_fail(arg, err, text);
	else
		request_done(arg);
}

void
cmd_unplug(struct controller *c, struct request *req)
{
	const struct request_arg *pf = request_arg(req, "id");
	struct device *dev = pf->given ? device_find_pf(c, pf->num)
				       : device_find_vuid(c, request_arg(req, "vuid")->str);
	int ret;

	if (dev == NULL) {
		request_fail(req, VN_ERR_DEV_NOT_FOUND, NULL);
		return;
	}
	ret = device_unplug(dev, request_arg(req, "force")->given, unplug_done, req);
	if (ret != 0)
		request_fail(req, ret, NULL);
}
