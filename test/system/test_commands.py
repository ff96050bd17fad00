# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What the virtnet command prints: names, order and types that users' scripts rely on."""

import re
import subprocess

import pytest

CONTROLLER_KEYS = [
    "emulation_manager", "max_hotplug_devices", "max_virt_net_devices", "max_virt_queues", "max_tunnel_descriptors",
    "supported_features", "supported_virt_queue_types", "supported_event_modes",
]  # fmt: skip
IDENTITY = [
    "pf_id", "function_type", "transitional", "vuid", "pci_bdf", "pci_vhca_id", "pci_max_vfs", "enabled_vfs",
]  # fmt: skip
POOLS = ["msix_num_pool_size", "min_msix_num", "max_msix_num", "min_num_of_qp", "max_num_of_qp", "qp_pool_size"]
QUERY_ONLY = [
    "pci_dev_id", "pci_vendor_id", "pci_class_code", "pci_subsys_id", "pci_subsys_vendor_id", "pci_revision_id",
    "device_feature", "driver_feature", "status", "reset", "enabled",
]  # fmt: skip
COMMON = [
    "num_msix", "num_queues", "enabled_queues", "max_queue_size", "msix_config_vector", "mac", "link_status",
    "max_queue_pairs", "mtu", "speed", "rss_max_key_size", "supported_hash_types", "ctrl_mac", "ctrl_mq", "sf_num",
    "sf_parent_device", "sf_parent_device_pci_addr", "sf_rep_net_device", "sf_rep_net_ifindex", "sf_rdma_device",
    "sf_cross_mkey", "sf_vhca_id", "sf_rqt_num", "aarfs", "dim",
]  # fmt: skip
QUEUE_KEYS = [
    "index", "size", "msix_vector", "enable", "notify_offset", "descriptor_address", "driver_address", "device_address",
    "received_desc", "completed_desc", "bad_desc_errors", "error_cqes", "exceed_max_chain", "invalid_buffer",
    "batch_number", "dma_q_used_number", "handler_schd_number", "aux_handler_schd_number", "max_post_desc_number",
    "total_bytes", "rq_cq_max_count", "rq_cq_period", "rq_cq_period_mode",
]  # fmt: skip
NUMBERS = {
    "pf_id", "transitional", "sf_num", "sf_rep_net_ifindex", *POOLS,
}  # fmt: skip


@pytest.fixture(scope="module")
def device(lab, guest):
    plugged = lab.controller.hotplug(mac="0C:C4:7A:FF:22:93", pairs=1)
    lab.connect(guest, plugged, "192.0.2")
    return plugged


def check_types(entry):
    for key, value in entry.items():
        if key in NUMBERS:
            assert isinstance(value, int), key
        elif isinstance(value, dict):
            check_bits(value)
        elif key != "enabled-queues-info":
            assert isinstance(value, str), key


def check_bits(bits):
    """{"value": "0x5", "    0": NAME, "    2": NAME}: keys right-aligned in five characters, exactly the set bits."""
    keys = list(bits)
    assert keys[0] == "value"
    assert re.fullmatch("0x[0-9a-f]+", bits["value"])
    value = int(bits["value"], 16)
    assert keys[1:] == [f"{bit:5d}" for bit in range(64) if value >> bit & 1]


def test_list(lab, device):
    answer = lab.cli("list")
    assert answer.status == 0
    assert answer.echo is None
    assert list(answer.reply) == ["controller", "devices"]
    assert list(answer.reply["controller"]) == CONTROLLER_KEYS
    check_types(answer.reply["controller"])
    (entry,) = answer.reply["devices"]
    assert list(entry) == IDENTITY + POOLS + COMMON
    check_types(entry)
    assert entry["function_type"] == "hotplug PF"
    assert (entry["pf_id"], entry["vuid"], entry["pci_bdf"]) == (device.id, device.vuid, device.bdf)
    assert (entry["mac"], entry["mtu"], entry["max_queue_pairs"]) == ("0C:C4:7A:FF:22:93", "1500", "1")
    assert (entry["sf_num"], entry["sf_rep_net_device"]) == (2000, "en3f0pf0sf2000")
    assert (entry["sf_parent_device"], entry["sf_parent_device_pci_addr"]) == ("mlx5_0", "0000:03:00.0")


def test_query_brief(lab, guest, device):
    answer = lab.cli("query", "-p", device.id, "-b")
    assert answer.status == 0
    assert list(answer.echo.items()) == [
        ("all", "0x0"), ("pf", "0x0"), ("dbg_stats", "0x0"), ("brief", "0x1"), ("latency_stats", "0x0"),
        ("stats_clear", "0x0"),
    ]  # fmt: skip
    (entry,) = answer.reply["devices"]
    assert list(entry) == IDENTITY + QUERY_ONLY + COMMON
    check_types(entry)
    assert entry["status"] == {
        "value": "0xf", "    0": "ACK", "    1": "DRIVER", "    2": "DRIVER_OK", "    3": "FEATURES_OK",
    }  # fmt: skip
    assert (entry["pci_dev_id"], entry["pci_vendor_id"], entry["pci_class_code"]) == ("0x1041", "0x1af4", "0x20000")
    device_bits = int(entry["device_feature"]["value"], 16)
    driver_bits = int(entry["driver_feature"]["value"], 16)
    assert driver_bits & ~device_bits == 0
    # The guest's own view of what was negotiated: a string of bits, the lowest first.
    seen = guest.run("cat /sys/bus/virtio/devices/virtio0/features").strip()
    assert sum(1 << bit for bit, char in enumerate(seen) if char == "1") == driver_bits


def test_query_by_vuid_is_the_same_device(lab, device):
    by_vuid = lab.cli.good("query", "-u", device.vuid, "-b")
    assert by_vuid == lab.cli.good("query", "-p", device.id, "-b")
    assert by_vuid == lab.cli.good("query", "-a", "-b")


def test_query_shows_each_queue(lab, device):
    entry = lab.cli.device(device.id)
    queues = entry["enabled-queues-info"]
    assert [queue["index"] for queue in queues] == ["0", "1", "2"]
    for queue in queues:
        assert list(queue) == QUEUE_KEYS
        assert all(isinstance(value, str) for value in queue.values())
        assert queue["enable"] == "1"
        for area in ("descriptor_address", "driver_address", "device_address"):
            assert int(queue[area], 16) > 0
    assert entry["enabled_queues"] == "3"
    (only,) = lab.cli.device(device.id, "-q", 1)["enabled-queues-info"]
    assert only["index"] == "1"


def test_queue_counters_grow_with_traffic(lab, guest, device):
    def transmitted():
        (queue,) = lab.cli.device(device.id, "-q", 1)["enabled-queues-info"]
        return int(queue["received_desc"]), int(queue["completed_desc"])

    before = transmitted()
    guest.ping("192.0.2.1", "-c 50 -i 0.002 -W 2")
    after = transmitted()
    assert after[0] - before[0] >= 50 and after[1] - before[1] >= 50


def test_query_of_an_absent_device(lab):
    answer = lab.cli("query", "-p", 9, "-b")
    assert answer.status != 0
    assert answer.reply == {"Error": "Device doesn't exist"}


@pytest.mark.parametrize(
    "pipeline, lines",
    [
        ("list | grep -i '\"pf_id\": 0' -A 8 | grep -ic msix_num_pool_size", "1"),
        ("list | grep -i '\"pf_id\": 0' -A 10 | grep -cE 'min_msix_num|max_msix_num'", "2"),
        ("list | grep -i '\"pf_id\": 0' -A 13 | grep -c qp_pool_size", "1"),
        ("query -p 0 -b | grep -ic num_", "2"),
        ("query -p 0 -b | grep -ic dim", "1"),
        ("query -p 0 | grep sf_rep_net_device", '"sf_rep_net_device": "en3f0pf0sf2000",'),
        ("query -p 0 | grep transitional", '"transitional": 0,'),
    ],
    ids=lambda text: text if "|" in text else "",
)
def test_published_one_liners(lab, device, pipeline, lines):
    command = " ".join(lab.cli.words) + " " + pipeline
    done = subprocess.run(["sh", "-c", command], env=lab.cli.env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == lines


def test_version(lab):
    answer = lab.cli("version")
    assert answer.status == 0
    assert [list(item) for item in answer.reply] == [["Original Controller"], ["Destination Controller"]]


def test_log_level(lab):
    answer = lab.cli("log", "-l", "info")
    assert (answer.status, answer.echo, answer.reply) == (0, {"level": "info"}, "Success")


def test_validate(lab, tmp_path):
    good = tmp_path / "good.conf"
    good.write_text("{}")
    answer = lab.cli("validate", "-f", good)
    assert answer.status == 0 and f"{good} is valid" in answer.stdout
    bad = tmp_path / "bad.conf"
    bad.write_text("{")
    answer = lab.cli("validate", "-f", bad)
    assert answer.status != 0 and "is valid" not in answer.stdout


def test_log_lines_have_the_documented_shape(lab):
    lines = [line for line in lab.controller.log().splitlines() if line.startswith("virtio-net-controller")]
    assert lines
    shape = re.compile(r"virtio-net-controller\[\d+\]: \[[A-Z]+\] \w+\.c:\d+:\w+: \S")
    for line in lines:
        assert shape.match(line) or ": [INFO] dpdk: " in line, line
