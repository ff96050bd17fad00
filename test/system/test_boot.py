# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A VM starts with devices on its command line, and meets them again after a reboot, a reset, a new driver."""

import pytest

from virtnet_test.wait import wait_until


@pytest.fixture(scope="module")
def device(make_plain_lab):
    return make_plain_lab.controller.hotplug(mac="0C:C4:7A:FF:22:93", pairs=2)


@pytest.fixture(scope="module")
def make_plain_lab(make_lab):
    """A controller whose host has no driver: VMs connect to the device's socket by themselves."""
    made, close = make_lab("test_boot", vms=())
    yield made
    close()


@pytest.fixture(scope="module")
def booted(make_plain_lab, device):
    """The VM, its netdev and the far side."""
    guest = make_plain_lab.boot("vm1", devices=[device.socket])
    netdev, far = make_plain_lab.connect(guest, device, "192.0.2")
    return guest, netdev, far


def reconnect(guest, device):
    guest.up(guest.netdev(device.mac), "192.0.2.2/24")


def test_device_on_the_command_line_is_there_at_boot(booted):
    guest, netdev, far = booted
    assert netdev == "eth0"
    guest.ping("192.0.2.1")
    far.ping("192.0.2.2")


def test_lspci_shows_a_sane_function(booted, device):
    guest, netdev, _ = booted
    address = guest.pci_of(netdev)
    text = guest.run(f"lspci -vvv -nn -s {address}")
    assert "Ethernet controller [0200]" in text
    assert "[1af4:1041] (rev 01)" in text
    assert "Subsystem: Red Hat, Inc. Virtio 1.0 network device [1af4:1041]" in text or "[1af4:1041]" in text
    assert "Capabilities: [" in text and "Express" in text and "FLReset+" in text
    assert "MSI-X: Enable+" in text
    assert "Power Management" in text
    for part in ("CommonCfg", "Notify", "ISR", "DeviceCfg"):
        assert f"VirtIO: {part}" in text
    assert "Kernel driver in use: virtio-pci" in text
    assert "!!!" not in text and "Unknown" not in text and "access denied" not in text


def test_driver_sees_features_and_queues_that_were_asked_for(booted, device):
    guest, netdev, _ = booted
    channels = guest.run(f"ethtool -l {netdev}")
    assert "Combined:\t2" in channels.replace(" ", "").replace("Combined:", "Combined:\t").replace("\t\t", "\t")
    assert guest.run(f"cat /sys/class/net/{netdev}/mtu").strip() == "1500"
    assert "scatter-gather: on" in guest.run(f"ethtool -k {netdev}")


def test_driver_is_unbound_and_bound_twenty_times(make_plain_lab, booted, device):
    guest, netdev, far = booted
    address = guest.pci_of(netdev)
    guest.run(
        f"""for i in $(seq 20); do
            echo {address} > /sys/bus/pci/drivers/virtio-pci/unbind || exit 1
            [ ! -e /sys/class/net/{netdev} ] || exit 2
            echo {address} > /sys/bus/pci/drivers/virtio-pci/bind || exit 3
            for j in $(seq 50); do [ -e /sys/class/net/{netdev} ] && break; sleep 0.1; done
            ip link set {netdev} up || exit 4
        done""",
        seconds=100,
    )
    reconnect(guest, device)
    far.ping("192.0.2.2")
    status = make_plain_lab.cli.device(device.id, "-b")["status"]
    assert status["value"] == "0xf"


def test_unbound_driver_leaves_a_reset_device(make_plain_lab, booted, device):
    guest, netdev, _ = booted
    address = guest.pci_of(netdev)
    guest.run(f"echo {address} > /sys/bus/pci/drivers/virtio-pci/unbind")
    entry = make_plain_lab.cli.device(device.id)
    assert entry["status"]["value"] == "0x0"
    assert entry["enabled_queues"] == "0"
    guest.run(f"echo {address} > /sys/bus/pci/drivers/virtio-pci/bind")
    reconnect(guest, device)
    guest.ping("192.0.2.1")


def test_function_level_reset_of_an_unbound_function(booted, device):
    guest, netdev, far = booted
    address = guest.pci_of(netdev)
    assert "flr" in guest.run(f"cat /sys/bus/pci/devices/{address}/reset_method")
    guest.run(f"echo {address} > /sys/bus/pci/drivers/virtio-pci/unbind")
    guest.run(f"echo 1 > /sys/bus/pci/devices/{address}/reset")
    guest.run(f"echo {address} > /sys/bus/pci/drivers/virtio-pci/bind")
    reconnect(guest, device)
    guest.ping("192.0.2.1")
    far.ping("192.0.2.2")


def test_function_level_reset_under_a_bound_driver_then_reboot(make_plain_lab, booted, device):
    guest, netdev, far = booted
    address = guest.pci_of(netdev)
    guest.run(f"echo 1 > /sys/bus/pci/devices/{address}/reset", check=False)
    assert make_plain_lab.cli.device(device.id, "-b")["status"]["value"] == "0x0"
    # The kernel's driver does not notice; a reset of the system makes both begin anew.
    guest.qmp.command("system_reset")
    guest.wait_ready()
    wait_until(lambda: float(guest.run("cut -d' ' -f1 /proc/uptime")) < 30, "the reset of the VM")
    reconnect(guest, device)
    far.ping("192.0.2.2")


def test_guest_reboots_and_goes_on(booted, device):
    guest, _, far = booted
    guest.reboot()
    reconnect(guest, device)
    guest.ping("192.0.2.1")
    far.ping("192.0.2.2")
