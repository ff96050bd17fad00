/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright(c) 2026 The virtnet authors
 */

/* The command table: the one place where commands, options and reply shapes are written down. */

#include <rte_common.h>

#include "cmd.h"
#include "topology.h"

/* A host may take its time to plug or let go of a device. */
#define SLOW_MS	 60000
#define QUICK_MS 10000

#define U64_MAX	 UINT64_MAX

/* Device selectors: one of pf (with vf), vuid, all. */
#define PARAM_PF(must)                                                                             \
	{                                                                                          \
		.key = "pf", .abbr = "p", .type = PARAM_UINT, .metavar = "PF", .max = 65535,       \
		.required = must, .exclusive = "device", .help = "id of the PF"                    \
	}
#define PARAM_VUID(must)                                                                           \
	{                                                                                          \
		.key = "vuid", .abbr = "u", .type = PARAM_STRING, .metavar = "VUID",               \
		.required = must, .exclusive = "device", .help = "VUID of the device"              \
	}

static const struct cmd_param hotplug_params[] = {
	{.key = "ib_device",
		.abbr = "i",
		.type = PARAM_STRING,
		.metavar = "IB_DEVICE",
		.required = true,
		.help = "RDMA device of the port, e.g. mlx5_0"},
	{.key = "features",
		.abbr = "f",
		.type = PARAM_HEX,
		.metavar = "FEATURES",
		.max = U64_MAX,
		.help = "feature bits to enable; some are on anyway"},
	{.key = "mac",
		.abbr = "m",
		.type = PARAM_MAC,
		.metavar = "MAC",
		.required = true,
		.help = "MAC address"},
	{.key = "mtu",
		.abbr = "t",
		.type = PARAM_UINT,
		.metavar = "MTU",
		.max = 65535,
		.required = true,
		.help = "MTU, not larger than the uplink's"},
	{.key = "max_queues",
		.abbr = "n",
		.type = PARAM_UINT,
		.metavar = "MAX_QUEUES",
		.max = 65535,
		.required = true,
		.exclusive = "queues",
		.help = "max virtqueues: RX, TX and control counted one by one"},
	{.key = "max_queue_pairs",
		.abbr = "qp",
		.type = PARAM_UINT,
		.metavar = "MAX_QUEUE_PAIRS",
		.max = 65535,
		.required = true,
		.exclusive = "queues",
		.help = "max pairs of data virtqueues"},
	{.key = "max_queue_size",
		.abbr = "s",
		.type = PARAM_UINT,
		.metavar = "MAX_QUEUE_SIZE",
		.max = 1u << 20,
		.required = true,
		.help = "virtqueue depth, a power of two from 4 to 32768"},
	{.key = "sf_num",
		.abbr = "u",
		.type = PARAM_UINT,
		.metavar = "SF_NUM",
		.max = UINT32_MAX,
		.help = "SF number, 2000-2999; default: the first free one"},
	{.key = "legacy",
		.abbr = "l",
		.type = PARAM_FLAG,
		.help = "create a transitional (legacy) device"},
	{.key = "host",
		.type = PARAM_STRING,
		.metavar = "HOST",
		.extension = true,
		.help = "host to plug into (platform.hosts); default: the only one"},
	{.key = "transport",
		.type = PARAM_ENUM,
		.metavar = "TRANSPORT",
		.values = {"vfio_user", "vhost_user"},
		.extension = true,
		.help = "how it reaches its host; default: platform.emu"},
	{.key = "intx",
		.type = PARAM_FLAG,
		.extension = true,
		.help = "no MSI-X: for QEMU versions that abort when an MSI-X device is unplugged"},
	{0},
};

static const struct cmd_param unplug_params[] = {
	{.key = "id",
		.option = "pf",
		.abbr = "p",
		.type = PARAM_UINT,
		.metavar = "PF",
		.max = 65535,
		.required = true,
		.exclusive = "device",
		.help = "id of the PF"},
	PARAM_VUID(true),
	{.key = "force",
		.type = PARAM_FLAG,
		.extension = true,
		.help = "even if a client is connected or the host is known to crash"},
	{0},
};

static const struct cmd_param list_params[] = {
	{0},
};

static const struct cmd_param query_params[] = {
	{.key = "all",
		.abbr = "a",
		.type = PARAM_FLAG,
		.required = true,
		.exclusive = "device",
		.echo_always = true,
		.help = "all devices; slow with many"},
	{.key = "vf",
		.abbr = "v",
		.type = PARAM_UINT,
		.metavar = "VF",
		.max = 65535,
		.with = "pf",
		.help = "id of the VF"},
	PARAM_PF(true),
	PARAM_VUID(true),
	{.key = "queue_id",
		.abbr = "q",
		.type = PARAM_UINT,
		.metavar = "QUEUE_ID",
		.max = 65535,
		.help = "this virtqueue only"},
	{.key = "dbg_stats",
		.type = PARAM_FLAG,
		.echo_always = true,
		.help = "debug counters and information"},
	{.key = "brief",
		.abbr = "b",
		.type = PARAM_FLAG,
		.echo_always = true,
		.help = "no virtqueue section"},
	{.key = "latency_stats",
		.type = PARAM_FLAG,
		.echo_always = true,
		.help = "latency statistics"},
	{.key = "stats_clear",
		.type = PARAM_FLAG,
		.echo_always = true,
		.help = "clear the debug counters"},
	{0},
};

static const struct cmd_param log_params[] = {
	{.key = "level",
		.abbr = "l",
		.type = PARAM_ENUM,
		.metavar = "LEVEL",
		.values = {"info", "err", "debug"},
		.required = true,
		.help = "log level"},
	{0},
};

static const struct cmd_param validate_params[] = {
	{.key = "file",
		.abbr = "f",
		.type = PARAM_PATH,
		.metavar = "PATH_TO_FILE",
		.required = true,
		.help = "configuration file to check"},
	{0},
};

static const struct cmd_param update_params[] = {
	{.key = "start",
		.abbr = "s",
		.type = PARAM_FLAG,
		.required = true,
		.exclusive = "action",
		.help = "start updating to the installed version"},
	{.key = "status",
		.abbr = "t",
		.type = PARAM_FLAG,
		.required = true,
		.exclusive = "action",
		.help = "show whether an update is under way, and how the last one went"},
	{0},
};

static const struct cmd_shape no_shape[] = {
	{0},
};

static const struct cmd_shape list_shape[] = {
	{.key = "supported_features", .bits = "feature"},
	{.key = "supported_virt_queue_types", .bits = "queue_type"},
	{.key = "supported_event_modes", .bits = "event_mode"},
	{0},
};

static const struct cmd_shape query_shape[] = {
	{.key = "device_feature", .bits = "feature"},
	{.key = "driver_feature", .bits = "feature"},
	{.key = "guest_offloads", .bits = "feature"},
	{.key = "status", .bits = "status"},
	{.key = "enabled_queues_info", .name = "enabled-queues-info"},
	{0},
};

static const struct cmd_shape version_shape[] = {
	{.key = "original_controller", .name = "Original Controller"},
	{.key = "destination_controller", .name = "Destination Controller"},
	{0},
};

static const struct cmd_shape update_shape[] = {
	{.key = "last_live_update_status", .name = "last live update status"},
	{.key = "time_used_us", .name = "time_used (s)", .seconds = true},
	{0},
};

const struct cmd cmd_table[] = {
	{"hotplug", "/virtnet/hotplug", "hotplug virtnet device", REPLY_OBJECT, SLOW_MS,
		CMD_CHANGES_DEVICES, hotplug_params, no_shape, cmd_hotplug, NULL},
	{"unplug", "/virtnet/unplug", "unplug virtnet device", REPLY_OBJECT, SLOW_MS,
		CMD_CHANGES_DEVICES, unplug_params, no_shape, cmd_unplug, NULL},
	{"list", "/virtnet/list", "list all virtnet devices", REPLY_DEVICES, QUICK_MS, CMD_ASKS,
		list_params, list_shape, cmd_list, NULL},
	{"query", "/virtnet/query", "query virtnet device", REPLY_DEVICES, QUICK_MS, CMD_ASKS,
		query_params, query_shape, cmd_query, NULL},
	{"log", "/virtnet/log", "set log level", REPLY_TEXT, QUICK_MS, CMD_ASKS, log_params,
		no_shape, cmd_log, NULL},
	{"version", "/virtnet/version", "show running and installed versions", REPLY_ARRAY,
		QUICK_MS, CMD_ASKS, list_params, version_shape, cmd_version, NULL},
	{"update", "/virtnet/update", "live update to the installed version", REPLY_PLAIN, QUICK_MS,
		CMD_ASKS, update_params, update_shape, cmd_update, NULL},
	{"restart", "/virtnet/restart", "fast restart without killing the service", REPLY_TEXT,
		QUICK_MS, 0, list_params, no_shape, cmd_restart, "/virtnet/update,status=0x1"},
	{"validate", "/virtnet/validate", "validate a configuration file", REPLY_TEXT, QUICK_MS,
		CMD_ASKS, validate_params, no_shape, cmd_validate, NULL},
	{"workers", "/virtnet/workers", "load of the worker lcores", REPLY_RAW, QUICK_MS, 0,
		list_params, no_shape, cmd_workers, NULL},
};

const unsigned int cmd_table_len = RTE_DIM(cmd_table);
