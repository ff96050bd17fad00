# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A restart and a live update of more devices than a card has, all of them with traffic both ways."""

import statistics

import pytest

from report import quantile
from test_handover import restart, update

DEVICES = 64
DEVICES_MOST = 235
FUNCTIONS = 256
FIRST_BUS = 0x15
FIRST_SF = 2000
TIMES_FULL = 10
# All of them together make what a few devices do in other tests: frames of each direction, accesses to registers.
FRAMES = 16_000
REQUESTS = 3_200
# The generator looks at each device that often.
TICK_US = 500
TARGET_SECONDS = 1.0
TARGET_GAP_US = 25_000


def figures(gaps, used):
    """Of gaps in microseconds and durations in seconds."""
    return {
        "gap_median_ms": round(statistics.median(gaps) / 1000, 1),
        "gap_p99_ms": round(quantile(gaps, 0.99) / 1000, 1),
        "gap_max_ms": round(max(gaps) / 1000, 1),
        "time_used_median_s": round(statistics.median(used), 3),
        "time_used_max_s": round(max(used), 3),
    }


@pytest.fixture
def scale_lab(new_lab):
    """A lab with so many devices and the traffic that two processors can make for them."""

    def make(devices):
        lab = new_lab(devices=devices, pairs=1, config={"max_host_functions": FUNCTIONS})
        lab.start_traffic(options=[
            "--rate", FRAMES // devices, "--requests", 1_000_000 * devices // REQUESTS, "--tick", TICK_US,
        ])  # fmt: skip
        lab.group.standby()
        return lab

    return make


def many_updates(lab, times):
    """Gaps and durations of live updates one after the other, all of which have been checked."""
    gaps, used = [], []
    for _ in range(times):
        event, seconds = update(lab, f"update, {len(lab.devices)} devices")
        assert len(event["devices"]) == len(lab.devices)
        gaps += [device["gap_us"] for device in event["devices"]]
        used.append(seconds)
        lab.group.standby()
    lab.all_there()
    lab.record.figure(lab.name, f"updates of {len(lab.devices)} devices", **figures(gaps, used))
    print(f"{times} updates of {len(lab.devices)} devices: {figures(gaps, used)}")
    return gaps, used


def check_names(lab):
    """Numbers and names are those of the switch ports, in order, whoever has the devices by now."""
    reply = lab.controller.cli.good("list")
    count = len(lab.devices)
    assert reply["controller"]["max_hotplug_devices"] == str(count)
    listed = reply["devices"]
    assert [entry["vuid"] for entry in listed] == [device.vuid for device in lab.devices]
    assert [entry["vuid"].split("VNETS")[1] for entry in listed] == [f"{port}D0F0" for port in range(1, count + 1)]
    assert [entry["pci_bdf"] for entry in listed] == [f"{FIRST_BUS + port:02x}:00.0" for port in range(count)]
    assert [entry["sf_num"] for entry in listed] == [FIRST_SF + port for port in range(count)]
    assert [entry["sf_rep_net_device"] for entry in listed] == [f"en3f0pf0sf{FIRST_SF + port}" for port in range(count)]
    assert len({entry["mac"] for entry in listed}) == count


@pytest.mark.seconds(300)
def test_updates_and_restarts(scale_lab, full_run):
    lab = scale_lab(DEVICES)
    times = TIMES_FULL if full_run else 1
    gaps, used = many_updates(lab, times)
    for _ in range(times):
        restart(lab, f"restart, {DEVICES} devices")
        lab.group.standby()
    check_names(lab)
    lab.stop_traffic()
    if full_run:
        assert max(used) < TARGET_SECONDS
        assert max(gaps) <= TARGET_GAP_US


@pytest.mark.seconds(300)
def test_every_switch_port(scale_lab, full_run):
    """As many devices as there are numbers for."""
    if not full_run:
        pytest.skip("part of the full run: VIRTNET_FAULT_KILLS=1000")
    lab = scale_lab(DEVICES_MOST)
    many_updates(lab, 1)
    check_names(lab)
    with lab.group.telemetry() as telemetry:
        refused = telemetry.ask(
            "/virtnet/hotplug", ib_device="mlx5_0", mac="0C:C4:7A:FF:FF:FF", mtu="0x5dc", max_queue_pairs="0x1",
            max_queue_size="0x100",
        )  # fmt: skip
    assert refused["errno"] != 0 and "235 switch ports are in use" in str(refused), refused
    lab.stop_traffic()
