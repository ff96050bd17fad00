# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""An operator plugs devices into a running VM and unplugs them again."""

import pytest

from virtnet_test.wait import wait_until


@pytest.fixture(scope="module")
def device(lab, guest):
    plugged = lab.controller.hotplug(mac="0C:C4:7A:FF:22:93", pairs=1)
    guest.netdev(plugged.mac)
    return plugged


def test_hotplug_answers_with_what_the_operator_needs(device):
    assert list(device.reply) == [
        "bdf", "vuid", "id", "transitional", "sf_rep_net_device", "mac", "errno", "errstr",
    ]  # fmt: skip
    assert device.id == 0
    assert device.vuid == "MT2611X00001VNETS1D0F0"
    assert device.mac == "0C:C4:7A:FF:22:93"
    assert device.representor == "en3f0pf0sf2000"
    assert device.reply["transitional"] == 0


def test_running_vm_sees_a_virtio_net_function_at_the_bdf_that_was_told(guest, device):
    assert guest.run("lspci -n -d 1af4:1041").split()[:3] == [device.bdf, "0200:", "1af4:1041"]
    assert guest.pci_of(guest.netdev(device.mac)) == f"0000:{device.bdf}"


def test_the_kernels_own_driver_runs_it(guest, device):
    netdev = guest.netdev(device.mac)
    info = guest.run(f"ethtool -i {netdev}")
    assert "driver: virtio_net" in info
    assert f"bus-info: 0000:{device.bdf}" in info
    assert guest.run(f"cat /sys/class/net/{netdev}/mtu").strip() == "1500"


def test_representor_is_in_the_controllers_network(lab, device):
    assert device.representor in lab.controller.netns.links()


def test_plugged_device_talks_to_the_network_behind_its_representor(lab, guest, device):
    _, far = lab.connect(guest, device, "192.0.2")
    guest.ping("192.0.2.1")
    far.ping("192.0.2.2")


def test_unplug_of_an_msix_device_is_refused_because_qemu_would_abort(lab, guest, device):
    answer = lab.cli("unplug", "-p", device.id)
    assert answer.status != 0
    assert answer.reply["errno"] == -1065
    assert "QEMU" in answer.reply["errstr"]
    assert "--force" in answer.reply["errstr"]
    guest.ping("192.0.2.1")


def test_two_devices_in_one_vm_are_two_networks(lab, guest, device):
    second = lab.controller.hotplug(mac="0C:C4:7A:FF:22:94", pairs=1)
    assert second.id != device.id and second.bdf != device.bdf and second.representor == "en3f0pf0sf2001"
    _, far = lab.connect(guest, second, "198.51.100")
    guest.ping("198.51.100.1")
    far.ping("198.51.100.2")
    guest.ping("192.0.2.1")
    assert "1 packets transmitted, 0 packets received" in far.run(
        "busybox ping -c 1 -W 1 192.0.2.2 2>&1 || true"
    ) or "unreachable" in far.run("busybox ping -c 1 -W 1 192.0.2.2 2>&1 || true")


def test_device_without_msix_is_unplugged_and_its_slot_taken_again(lab, guest):
    before = [entry["vuid"] for entry in lab.cli.good("list")["devices"]]
    device = lab.controller.hotplug("--intx", mac="0C:C4:7A:FF:22:95")
    netdev = guest.netdev(device.mac)
    _, far = lab.connect(guest, device, "203.0.113")
    far.ping("203.0.113.2")
    assert "MSI-X: Enable+" not in guest.run(f"lspci -vv -s {device.bdf}")

    lab.cli.good("unplug", "-p", device.id)

    wait_until(lambda: guest.run(f"ls /sys/class/net/{netdev}", check=False).startswith("ls:"), "the netdev to go")
    assert guest.run(f"lspci -s {device.bdf}") == ""
    wait_until(lambda: not far.links(), "the representor to go")
    assert not device.socket.exists()
    assert [entry["vuid"] for entry in lab.cli.good("list")["devices"]] == before

    again = lab.controller.hotplug("--intx", mac="0C:C4:7A:FF:22:96")
    assert again.bdf == device.bdf
    guest.netdev(again.mac)
    lab.cli.good("unplug", "-u", again.vuid)


def test_unplug_of_an_absent_device_says_so(lab):
    answer = lab.cli("unplug", "-p", 30)
    assert answer.status != 0
    assert answer.echo == {"id": "0x1e"}
    assert answer.reply == {"errno": -1001, "errstr": "Failed to find device"}


def test_hotplug_names_what_it_does_not_take(lab):
    def refused(*options):
        answer = lab.cli("hotplug", *options)
        assert answer.status != 0
        return answer.reply["errno"] if answer.reply else answer.stderr

    good = {"-i": "mlx5_0", "-m": "0C:C4:7A:FF:22:97", "-t": "1500", "-qp": "1", "-s": "256"}
    for option, value in (("-i", "mlx5_9"), ("-m", "0C:C4"), ("-t", "70000"), ("-s", "100"), ("-qp", "100000")):
        changed = {**good, option: value}
        assert refused(*[word for pair in changed.items() for word in pair]), f"{option} {value}"
    assert lab.cli.good("list")["devices"][-1]["mac"] != good["-m"]


def test_hotplug_says_why_a_feature_is_refused(lab):
    for features, words in (
        (1 << 34, "VIRTIO_F_RING_PACKED needs packed_vq 1 in virtnet.conf"),
        (1 << 15, "VIRTIO_F_MRG_RX_BUFFER needs mrg_rxbuf 1 in virtnet.conf"),
        (1 << 60, "0x1000000000000000 is not supported"),
        (1 << 7, "VIRTIO_NET_F_GUEST_TSO4 needs VIRTIO_NET_F_GUEST_CSUM"),
        (1 << 56, "VIRTIO_NET_F_HOST_USO needs VIRTIO_NET_F_CSUM"),
        (1 << 2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS needs VIRTIO_NET_F_CTRL_VQ"),
    ):
        answer = lab.cli(
            "hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FF:22:97", "-t", 1500, "-qp", 1, "-s", 256, "-f", hex(features)
        )
        assert answer.reply["errno"] == -1000 and words in answer.reply["errstr"], answer
