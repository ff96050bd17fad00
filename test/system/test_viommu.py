# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A VM whose kernel keeps the device behind an IOMMU: memory comes and goes page by page, rings in scattered pages."""

import pytest

from virtnet_test import USERTOOLS
from virtnet_test.tools import tool_output
from virtnet_test.wait import wait_until

FAR = "192.0.2.1"
NEAR = "192.0.2.2"
IOMMU = "VIRTIO_F_IOMMU_PLATFORM"


@pytest.fixture(scope="module")
def system():
    """Debian's full kernel: the small one for clouds has no driver for an IOMMU."""
    return tool_output(USERTOOLS / "build-guest.sh", "--flavour", "amd64")


@pytest.fixture(scope="module")
def guest(lab, system):
    return lab.boot(
        "vm1", system, append="intel_iommu=on iommu.strict=1", extra=["-device", "intel-iommu,caching-mode=on,intremap=off"]
    )


@pytest.fixture(scope="module")
def device(lab, guest):
    return lab.controller.hotplug(pairs=2)


@pytest.fixture(scope="module")
def far(lab, guest, device):
    netdev, network = lab.connect(guest, device, "192.0.2")
    assert guest.run(f"readlink /sys/bus/pci/devices/{guest.pci_of(netdev)}/iommu_group"), "it is behind the IOMMU"
    return network


def test_driver_comes_up_behind_the_iommu(lab, guest, far, device):
    entry = lab.cli.device(device.id, "-b")
    assert IOMMU in entry["driver_feature"].values()
    assert entry["status"]["value"] == "0xf"
    assert entry["ctrl_mq"] == "2"


def test_traffic_both_ways(guest, far):
    guest.ping(FAR, "-c 50 -i 0.01 -W 2 -s 4000")
    far.ping(NEAR, "-c 50 -i 0.01 -W 2 -s 4000")
    far.start("iperf3", "-s")
    wait_until(lambda: far.listening(5201), "the iperf3 server")
    guest.run(f"iperf3 -c {FAR} -t 2 --bidir", seconds=60)
    guest.ping(FAR)


def test_driver_is_unbound_and_bound(guest, far, device):
    address = guest.pci_of(guest.netdev(device.mac))
    for _ in range(3):
        guest.run(f"echo {address} > /sys/bus/pci/drivers/virtio-pci/unbind")
        guest.run(f"echo {address} > /sys/bus/pci/drivers/virtio-pci/bind")
    guest.up(guest.netdev(device.mac), f"{NEAR}/24")
    far.ping(NEAR)
