# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A device with jumbo frames."""

import pytest

FAR = "192.0.2.1"
NEAR = "192.0.2.2"
# 9000 bytes of IP: 20 of IP header, 8 of ICMP header, and this.
LARGEST_PING = 8972


@pytest.fixture(scope="module")
def jumbo(lab, guest):
    device = lab.controller.hotplug(mac="0C:C4:7A:FF:22:93", mtu=9000)
    netdev, far = lab.connect(guest, device, "192.0.2", mtu=9000)
    return device, netdev, far


def test_guest_takes_the_devices_mtu(guest, jumbo):
    _, netdev, _ = jumbo
    assert guest.run(f"cat /sys/class/net/{netdev}/mtu").strip() == "9000"


def test_jumbo_ping_crosses_in_one_frame_each_way(guest, jumbo):
    device, _, far = jumbo
    for ping in (lambda: guest.ping(FAR, f"-c 20 -i 0.02 -W 2 -s {LARGEST_PING}"),
                 lambda: far.ping(NEAR, f"-c 20 -i 0.02 -W 2 -s {LARGEST_PING}")):  # fmt: skip
        before = far.statistics(device.representor)
        ping()
        after = far.statistics(device.representor)
        for way in ("rx", "tx"):
            frames = after[way]["packets"] - before[way]["packets"]
            assert (after[way]["bytes"] - before[way]["bytes"]) / frames > 7000, way


def test_guest_cannot_exceed_the_devices_mtu(guest, jumbo):
    _, netdev, _ = jumbo
    assert "mtu greater than device maximum" in guest.run(f"ip link set {netdev} mtu 9001 2>&1", check=False)
    guest.ping(FAR)
