# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A VM starts with devices on its command line, and meets them again after a reboot, a reset, a new driver."""

import pytest


FAR = "192.0.2.1"
NEAR = "192.0.2.2"


@pytest.fixture(scope="module")
def lab(make_lab):
    """A controller whose host has no driver: VMs connect to the device's socket by themselves."""
    made, close = make_lab("test_boot", vms=())
    yield made
    close()


@pytest.fixture(scope="module")
def device(lab):
    return lab.controller.hotplug(mac="0C:C4:7A:FF:22:93", pairs=2)


class Booted:
    """A VM that had the device at boot, and what tests do to the function in it."""

    netdev = "eth0"
    driver = "/sys/bus/pci/drivers/virtio-pci"

    def __init__(self, lab, device):
        self.device = device
        self.guest = lab.boot("vm1", devices=[device.socket])
        netdev, self.far = lab.connect(self.guest, device, "192.0.2")
        self.address = self.guest.pci_of(netdev)
        self.sysfs = f"/sys/bus/pci/devices/{self.address}"

    def unbind(self):
        self.guest.run(f"echo {self.address} > {self.driver}/unbind")

    def bind(self):
        self.guest.run(f"echo {self.address} > {self.driver}/bind")

    def check_traffic(self):
        """The driver is there again: give its netdev the address and ping both ways."""
        self.guest.up(self.guest.netdev(self.device.mac), f"{NEAR}/24")
        self.guest.ping(FAR)
        self.far.ping(NEAR)


@pytest.fixture(scope="module")
def booted(lab, device):
    return Booted(lab, device)


def test_device_on_the_command_line_is_there_at_boot(booted):
    assert booted.guest.netdev(booted.device.mac) == booted.netdev
    booted.guest.ping(FAR)
    booted.far.ping(NEAR)


def test_lspci_shows_a_sane_function(booted):
    text = booted.guest.run(f"lspci -vvv -nn -s {booted.address}")
    assert "Ethernet controller [0200]" in text
    assert "[1af4:1041] (rev 01)" in text
    for capability in ("Express", "FLReset+", "MSI-X: Enable+", "Power Management"):
        assert capability in text
    for part in ("CommonCfg", "Notify", "ISR", "DeviceCfg"):
        assert f"VirtIO: {part}" in text
    assert "Kernel driver in use: virtio-pci" in text
    for trouble in ("!!!", "Unknown", "access denied", "unassigned", "disabled]"):
        assert trouble not in text, text


def test_driver_sees_what_was_asked_for(booted):
    channels = [line.split() for line in booted.guest.run(f"ethtool -l {booted.netdev}").splitlines()]
    assert channels.count(["Combined:", "2"]) == 2, channels
    assert booted.guest.run(f"cat /sys/class/net/{booted.netdev}/mtu").strip() == "1500"
    assert "scatter-gather: on" in booted.guest.run(f"ethtool -k {booted.netdev}")


def test_driver_is_unbound_and_bound_twenty_times(lab, booted):
    booted.guest.run(
        f"""for i in $(seq 20); do
            echo {booted.address} > {booted.driver}/unbind || exit 1
            [ ! -e /sys/class/net/{booted.netdev} ] || exit 2
            echo {booted.address} > {booted.driver}/bind || exit 3
            for j in $(seq 50); do [ -e /sys/class/net/{booted.netdev} ] && break; sleep 0.1; done
            ip link set {booted.netdev} up || exit 4
        done""",
        seconds=100,
    )
    booted.check_traffic()
    assert lab.cli.device(booted.device.id, "-b")["status"]["value"] == "0xf"


def test_device_without_a_driver_is_reset(lab, booted):
    booted.unbind()
    entry = lab.cli.device(booted.device.id)
    # Linux resets the device and says that it has seen it, for the driver to come.
    assert entry["status"] == {"value": "0x1", "    0": "ACK"}
    assert (entry["enabled_queues"], entry["enabled-queues-info"]) == ("0", [])
    booted.bind()
    booted.check_traffic()


def test_function_level_reset_of_a_function_without_driver(booted):
    assert "flr" in booted.guest.run(f"cat {booted.sysfs}/reset_method")
    booted.unbind()
    booted.guest.run(f"echo 1 > {booted.sysfs}/reset")
    booted.bind()
    booted.check_traffic()


def test_function_level_reset_under_a_bound_driver_then_reset_of_the_vm(lab, booted):
    booted.guest.run(f"echo 1 > {booted.sysfs}/reset", check=False)
    assert lab.cli.device(booted.device.id, "-b")["status"]["value"] == "0x0"
    # Linux's driver does not come back from that by itself.
    booted.guest.reset()
    booted.check_traffic()


def test_guest_reboots_and_goes_on(booted):
    booted.guest.reboot()
    booted.check_traffic()
