# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A schema of the shape that `dpdk-virtnet --schema` writes, fixed for the tests of virtnet.py."""


def selector(key, short, kind="uint", required=False, exclusive="device"):
    return {"key": key, "short": short, "long": key, "type": kind, "metavar": key.upper(),
            "required": required, "exclusive": exclusive, "help": f"{key} of the device"}


def plain(key, short, kind, required=False, **more):
    return {"key": key, "short": short, "long": key, "type": kind, "metavar": key.upper(),
            "required": required, "help": key.replace("_", " "), **more}


def flag(key, short=None, **more):
    return {"key": key, "short": short, "long": key, "type": "flag", "help": key, **more}


FEATURES = {"0": "VIRTIO_NET_F_CSUM", "5": "VIRTIO_NET_F_MAC", "32": "VIRTIO_F_VERSION_1"}
DEVICE_SHAPE = [
    {"key": "device_feature", "as": "bits:feature"},
    {"key": "driver_feature", "as": "bits:feature"},
    {"key": "status", "as": "bits:status"},
]

SCHEMA = {
    "version": "26.11.0",
    "bits": {
        "feature": FEATURES,
        "status": {"0": "ACK", "1": "DRIVER", "2": "DRIVER_OK", "3": "FEATURES_OK"},
        "queue_type": {"0": "SPLIT", "1": "PACKED"},
        "event_mode": {"0": "NO_MSIX_MODE", "2": "MSIX_MODE"},
    },
    "commands": [
        {"name": "hotplug", "help": "hotplug virtnet device", "endpoint": "/virtnet/hotplug",
         "reply": "object", "timeout_ms": 60000, "params": [
             plain("ib_device", "i", "string", True),
             plain("features", "f", "hex"),
             plain("mac", "m", "mac", True),
             plain("mtu", "t", "uint", True),
             plain("max_queues", "n", "uint", True, exclusive="queues"),
             plain("max_queue_pairs", "qp", "uint", True, exclusive="queues"),
             plain("max_queue_size", "s", "uint", True),
             plain("sf_num", "u", "uint"),
             flag("legacy", "l"),
             plain("host", None, "string", extension=True),
             flag("intx", extension=True),
         ]},
        {"name": "unplug", "help": "unplug virtnet device", "endpoint": "/virtnet/unplug",
         "reply": "object", "timeout_ms": 60000, "params": [
             {**selector("pf", "p", required=True), "key": "id"},
             selector("vuid", "u", "string", True),
             flag("force", extension=True),
         ]},
        {"name": "list", "help": "list all virtnet devices", "endpoint": "/virtnet/list",
         "reply": "devices", "timeout_ms": 10000, "asks": True, "params": [], "shape": [
             {"key": "supported_features", "as": "bits:feature"},
             {"key": "supported_virt_queue_types", "as": "bits:queue_type"},
             {"key": "supported_event_modes", "as": "bits:event_mode"},
         ]},
        {"name": "query", "help": "query virtnet device", "endpoint": "/virtnet/query",
         "reply": "devices", "timeout_ms": 10000, "asks": True, "params": [
             flag("all", "a", echo_always=True, exclusive="device", required=True),
             {**selector("vf", "v"), "with": "pf"},
             selector("pf", "p"),
             selector("vuid", "u", "string"),
             plain("queue_id", "q", "uint"),
             flag("dbg_stats", echo_always=True),
             flag("brief", "b", echo_always=True),
             flag("latency_stats", echo_always=True),
             flag("stats_clear", echo_always=True),
         ], "shape": DEVICE_SHAPE + [
             {"key": "enabled_queues_info", "name": "enabled-queues-info"}]},
        {"name": "workers", "help": "show the workers", "endpoint": "/virtnet/workers",
         "reply": "raw", "timeout_ms": 5000, "params": []},
        {"name": "version", "help": "show versions", "endpoint": "/virtnet/version",
         "reply": "array", "timeout_ms": 5000, "params": [], "shape": [
             {"key": "original_controller", "name": "Original Controller"},
             {"key": "destination_controller", "name": "Destination Controller"}]},
        {"name": "update", "help": "live update", "endpoint": "/virtnet/update",
         "reply": "plain", "timeout_ms": 5000, "asks": True, "params": [
             flag("start", "s", exclusive="action", required=True),
             flag("status", "t", exclusive="action", required=True),
         ], "shape": [
             {"key": "last_live_update_status", "name": "last live update status"},
             {"key": "time_used_us", "name": "time_used (s)", "as": "seconds"}]},
        {"name": "restart", "help": "restart", "endpoint": "/virtnet/restart",
         "reply": "text", "timeout_ms": 5000, "params": [],
         "follow": "/virtnet/update,status=0x1"},
        {"name": "log", "help": "set the log level", "endpoint": "/virtnet/log",
         "reply": "text", "timeout_ms": 5000, "params": [
             plain("level", "l", "enum", True, values=["info", "err", "debug"])]},
        {"name": "validate", "help": "validate a configuration file",
         "endpoint": "/virtnet/validate", "reply": "text", "timeout_ms": 5000, "params": [
             {**plain("file", "f", "path", True), "metavar": "PATH_TO_FILE"}]},
    ],
}
