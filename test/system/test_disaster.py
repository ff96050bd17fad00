# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""VMs and controllers that end when nobody expects it, and clients that should not be there."""

import socket

import pytest

from virtnet_test.guest import VMError
from virtnet_test.wait import wait_until

FAR = "192.0.2.1"
NEAR = "192.0.2.2"


def test_vm_killed_under_traffic_and_a_new_vm_takes_the_device(own_lab):
    first = own_lab.boot("vm1")
    device = own_lab.controller.hotplug("--host", "vm1", pairs=2)
    _, far = own_lab.connect(first, device, "192.0.2")
    far.ping(NEAR)
    far.start("iperf3", "-s")
    wait_until(lambda: far.listening(5201), "the iperf3 server")
    before = far.statistics(device.representor)["rx"]["packets"]
    first.background(f"iperf3 -c {FAR} -t 60 --bidir")
    wait_until(lambda: far.statistics(device.representor)["rx"]["packets"] > before + 1000, "traffic")

    first.kill()

    wait_until(
        lambda: own_lab.cli.device(device.id, "-b")["status"]["value"] == "0x0", "the controller to notice the end"
    )
    second = own_lab.boot("vm2", devices=[device.socket])
    second.up(second.netdev(device.mac), f"{NEAR}/24")
    second.ping(FAR)
    far.ping(NEAR)
    assert own_lab.controller.alive()


def test_second_client_is_turned_away_at_once(own_lab):
    guest = own_lab.boot("vm1")
    device = own_lab.controller.hotplug("--host", "vm1")
    _, far = own_lab.connect(guest, device, "192.0.2")

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(device.socket))
        assert client.recv(1) == b"", "the connection ends without a word being asked"

    arguments = {"driver": "vfio-user-pci", "bus": "rp8", "id": "second",
                 "socket": {"type": "unix", "path": str(device.socket)}}  # fmt: skip
    with pytest.raises(VMError, match="device_add"):
        guest.qmp.command("device_add", seconds=30, **arguments)
    assert "timed out" not in guest.qemu_log()
    far.ping(NEAR)


def test_controller_stops_with_a_vm_attached(own_lab):
    guest = own_lab.boot("vm1")
    device = own_lab.controller.hotplug("--host", "vm1")
    _, far = own_lab.connect(guest, device, "192.0.2")
    guest.background(f"ping -i 0.01 {FAR}")
    far.ping(NEAR)

    own_lab.controller.stop()

    wait_until(lambda: not far.links(), "the representor to go")
    assert guest.alive(), "the VM itself goes on"


def test_controller_starts_again_and_plugs_again(own_lab):
    own_lab.boot("vm1")
    own_lab.controller.hotplug("--host", "vm1")
    own_lab.controller.stop()

    own_lab.controller.start()

    assert own_lab.cli.good("list")["devices"] == []
    guest = own_lab.boot("vm2")
    device = own_lab.controller.hotplug("--host", "vm2")
    own_lab.connect(guest, device, "192.0.2")
    guest.ping(FAR)


def test_hotplug_into_a_vm_that_is_not_there_fails_and_leaves_nothing(own_lab):
    answer = own_lab.cli("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:93", "-t", 1500, "-qp", 1, "-s", 256,
                         "--host", "vm1")  # fmt: skip
    assert answer.status != 0
    assert answer.reply["errno"] < 0 and answer.reply["errstr"]
    assert own_lab.cli.good("list")["devices"] == []
    assert own_lab.controller.netns.links() == []
