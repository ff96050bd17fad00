# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Bytes between a VM and the network behind the representor: every size, both ways, with and without offloads."""

import pytest

from virtnet_test.wait import wait_until
from virtnet_test.wire import DATAGRAMS_FLOW, Wire

FILE_SIZE = 16 << 20


class Ends(Wire):
    """A wire whose both ends have their offloads on or off."""

    def offloads(self, state):
        """Checksum and segmentation offloads of both ends. What an end lacks stays as it is."""
        features = " ".join(f"{name} {state}" for name in ("tx", "sg", "tso", "gso", "gro"))
        self.guest.run(f"ethtool -K {self.netdev} {features}", check=False)
        self.far.run(f"ethtool -K {self.device.representor} {features}", check=False)

    def average_frame_from_guest(self, transfer):
        return self.far_frame(transfer, "rx")


@pytest.fixture(scope="module")
def wire(lab, guest):
    return Ends(lab, guest, size=1024)


@pytest.fixture(params=["on", "off"], ids=["offloads on", "offloads off"])
def offloads(request, wire):
    wire.offloads(request.param)
    yield request.param
    wire.offloads("on")


@pytest.mark.parametrize("size", [1, 18, 56, 500, 1472, 1473, 3000, 8000, 20000])
def test_ping_both_ways(wire, size):
    wire.guest.ping(wire.far_address, f"-c 3 -i 0.05 -W 2 -s {size}")
    wire.far.ping(wire.near_address, f"-c 3 -i 0.05 -W 2 -s {size}")


def test_many_pings_none_lost(wire):
    assert "200 packets received" in wire.guest.ping(wire.far_address, "-c 200 -i 0.002 -W 2")


def test_tcp_from_the_guest(wire, offloads):
    frame = wire.average_frame_from_guest(lambda: wire.iperf())
    if offloads == "on":
        assert frame > 3000, "large segments cross the device whole"
    else:
        assert frame <= 1514


def test_tcp_to_the_guest(wire, offloads):
    assert wire.iperf("-R") > 1_000_000


def test_udp_both_ways(wire):
    assert wire.iperf("-u", "-b", "20M", "-l", "1400") > DATAGRAMS_FLOW
    assert wire.iperf("-u", "-b", "20M", "-l", "1400", "-R") > DATAGRAMS_FLOW


def test_file_arrives_in_the_guest_unchanged(wire, offloads, tmp_path):
    wire.far.run(f"head -c {FILE_SIZE} /dev/urandom > {tmp_path}/file")
    server = wire.far.start("sh", "-c", f"busybox nc -l -p 8000 < {tmp_path}/file")
    wait_until(lambda: wire.far.listening(8000), "the far side's nc")
    received = wire.guest.run(f"sha256sum < /dev/tcp/{wire.far_address}/8000", seconds=60)
    server.wait(10)
    assert received == wire.far.run(f"sha256sum < {tmp_path}/file")


def test_file_from_the_guest_arrives_unchanged(wire, offloads, tmp_path):
    server = wire.far.start("sh", "-c", f"busybox nc -l -p 8000 > {tmp_path}/file")
    wait_until(lambda: wire.far.listening(8000), "the far side's nc")
    wire.guest.run(f"head -c {FILE_SIZE} /dev/urandom > /tmp/file; cat /tmp/file > /dev/tcp/{wire.far_address}/8000", seconds=60)
    server.wait(10)
    assert wire.far.run(f"sha256sum < {tmp_path}/file") == wire.guest.run("sha256sum < /tmp/file; rm /tmp/file")


def test_ipv6_both_ways(wire):
    wire.far.run(f"ip address add 2001:db8::1/64 dev {wire.device.representor} nodad")
    wire.guest.run(f"ip address add 2001:db8::2/64 dev {wire.netdev} nodad")
    wire.guest.ping("2001:db8::1", "-6 -c 3 -i 0.2 -W 2 -s 3000")
    wire.far.ping("2001:db8::2", "-6 -c 3 -i 0.2 -W 2 -s 3000")
    assert wire.average_frame_from_guest(lambda: wire.iperf("-6", far="2001:db8::1")) > 3000


def test_guest_gives_itself_another_mac(lab, wire):
    wire.guest.run(f"ip link set {wire.netdev} down && ip link set {wire.netdev} address 02:00:00:00:00:55")
    wire.guest.up(wire.netdev, f"{wire.near_address}/24")
    wire.far.run(f"ip neigh flush dev {wire.device.representor}")
    wire.far.ping(wire.near_address)
    assert "02:00:00:00:00:55" in wire.far.run(f"ip neigh show {wire.near_address}")
    entry = lab.cli.device(wire.device.id, "-b")
    assert (entry["mac"], entry["ctrl_mac"]) == (wire.device.mac, "02:00:00:00:00:55")


def test_vm_is_paused_under_traffic_and_goes_on(wire):
    pings = wire.far.start("busybox", "ping", "-i", "0.01", wire.near_address)
    wire.guest.qmp.command("stop")
    before = wire.far.statistics(wire.device.representor)["tx"]["packets"]
    wait_until(
        lambda: wire.far.statistics(wire.device.representor)["tx"]["packets"] > before + 50, "packets for a paused VM"
    )
    wire.guest.qmp.command("cont")
    wire.guest.ping(wire.far_address)
    pings.kill()
    wire.far.ping(wire.near_address)


def test_guest_goes_down_and_up_again(wire):
    wire.guest.run(f"ip link set {wire.netdev} down")
    assert " 100% packet loss" in wire.far.run(f"busybox ping -c 2 -i 0.2 -W 1 {wire.near_address}", check=False)
    wire.guest.run(f"ip link set {wire.netdev} up")
    wire.far.ping(wire.near_address)


def test_two_way_traffic_at_once(wire):
    server = wire.far.start("iperf3", "-s", "-1")
    wait_until(lambda: wire.far.listening(5201), "the iperf3 server")
    wire.guest.run(f"iperf3 -c {wire.far_address} -t 3 --bidir", seconds=30)
    server.wait(10)
    wire.guest.ping(wire.far_address)
