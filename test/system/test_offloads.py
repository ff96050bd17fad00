# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Offloads of a guest's driver: all that there are, switched on and off under traffic."""

import re

import pytest

from virtnet_test.features import GUEST_GSO, check_accepted, kernel_of, mask
from virtnet_test.wait import wait_until
from virtnet_test.wire import Wire

FILE_SIZE = 3 << 20
SMALL = 1514  # bytes of the largest frame that is no large segment
LARGE = 3000  # bytes on average that large segments exceed by far
DATAGRAM = 1200
DATAGRAMS_SENT = 20 * 40


@pytest.fixture(scope="module")
def lab(make_lab):
    made, close = make_lab("test_offloads", settings={"mrg_rxbuf": 1, "packed_vq": 1})
    yield made
    close()


@pytest.fixture(scope="module")
def guest(lab):
    return lab.boot("vm1", memory=512)


@pytest.fixture(scope="module")
def wire(lab, guest):
    """A device with what is offered to everybody."""
    return Wire(lab, guest)


def switch(wire, **states):
    """ethtool -K in the guest; the driver must do as told."""
    for name, state in states.items():
        wire.guest.run(f"ethtool -K {wire.netdev} {name.replace('_', '-')} {'on' if state else 'off'}")


def taken(wire):
    """The offloads that the driver takes now, as the controller knows them."""
    return int(wire.query("-b", "--dbg_stats")["guest_offloads"]["value"], 16)


def state_of(wire, name):
    (line,) = re.findall(rf"^\s*{name}: (\w+)", wire.guest.run(f"ethtool -k {wire.netdev}"), re.M)
    return line


@pytest.fixture
def as_before(wire):
    yield
    switch(wire, tx=True, sg=True, tso=True, gso=True, gro=True, rx_gro_hw=True)


def test_driver_takes_all_that_is_offered_by_default(wire):
    offered = wire.offered()
    wanted = mask("CSUM", "GUEST_CSUM", "HOST_TSO4", "HOST_TSO6", "HOST_USO", "CTRL_GUEST_OFFLOADS", *GUEST_GSO)
    assert offered & wanted == wanted
    assert offered & mask("GUEST_HDRLEN", "NOTIFICATION_DATA") == 0
    check_accepted(wire.guest, offered, wire.accepted())


@pytest.mark.parametrize("tso", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("tx", [True, False], ids=["on", "off"])
def test_transmit_offloads(wire, as_before, tmp_path, tx, tso):
    switch(wire, tx=tx, tso=tso and tx)
    frame = wire.far_frame(wire.iperf, "rx")
    if tx and tso:
        assert frame > LARGE
    else:
        assert frame <= SMALL
    wire.file_from_guest(tmp_path, FILE_SIZE)


@pytest.mark.parametrize("large", [True, False, True], ids=["on", "off", "on again"])
def test_receive_offload_is_switched_by_the_control_queue(wire, as_before, tmp_path, large):
    switch(wire, rx_gro_hw=large)
    assert state_of(wire, "rx-gro-hw") == ("on" if large else "off")
    every = wire.accepted() & mask("GUEST_CSUM", *GUEST_GSO)
    assert taken(wire) == (every if large else every & ~mask(*GUEST_GSO))
    frame = wire.near_frame(lambda: wire.iperf("-R"))
    if large:
        assert frame > LARGE
    else:
        assert frame <= SMALL
    wire.file_to_guest(tmp_path, FILE_SIZE)


def test_receive_offload_is_switched_under_traffic(wire, as_before, tmp_path):
    server = wire.serve_iperf()
    wire.guest.background(f"iperf3 -c {wire.far_address} -t 4 -R > /tmp/out 2>&1; echo $? > /tmp/status")
    for turn in range(10):
        switch(wire, rx_gro_hw=turn % 2 == 1)
        wire.guest.run("sleep 0.2")
    wait_until(lambda: wire.guest.run("cat /tmp/status", check=False).strip().isdigit(), "iperf3's end", 60)
    assert wire.guest.run("cat /tmp/status").strip() == "0", wire.guest.run("cat /tmp/out")
    server.wait(10)
    wire.file_to_guest(tmp_path, FILE_SIZE)
    wire.check_rings()


def test_what_is_off_stays_off_when_the_far_side_is_one_that_cannot(wire, as_before):
    # The representor's own offloads are another machine's that lacks them: all is done in software there.
    wire.far.run(f"ethtool -K {wire.device.representor} tx off tso off gso off")
    switch(wire, rx_gro_hw=False)
    assert wire.near_frame(lambda: wire.iperf("-R")) <= SMALL
    wire.far.run(f"ethtool -K {wire.device.representor} tx on tso on gso on")
    wire.ping(20000)


@pytest.fixture(scope="module")
def udp_segments(wire, build):
    """(the program here, the program in the guest)."""
    program = build / "test" / "system" / "udp-segments"
    return program, wire.install(program)


def check_datagrams(words):
    good, bad, largest = map(int, words.split())
    assert (good, bad) == (DATAGRAMS_SENT, 0)
    return largest


def test_udp_segmentation_from_the_guest(wire, udp_segments, tmp_path):
    here, there = udp_segments
    receiver = wire.far.start("sh", "-c", f"{here} receive {wire.far_address} 9000 > {tmp_path}/out")
    wait_until(lambda: wire.far.run("ss -Hlun sport = :9000"), "the receiver")
    frame = wire.far_frame(
        lambda: wire.guest.run(f"{there} send {wire.far_address} 9000 {DATAGRAM} {DATAGRAMS_SENT // 40}"), "rx"
    )
    receiver.wait(40)
    largest = check_datagrams((tmp_path / "out").read_text())
    if wire.accepted() & mask("HOST_USO"):
        assert frame > LARGE and largest > LARGE
    else:
        assert kernel_of(wire.guest) < (6, 2)


@pytest.mark.parametrize("large", [True, False], ids=["on", "off"])
def test_udp_segmentation_to_the_guest(wire, as_before, udp_segments, large):
    here, there = udp_segments
    switch(wire, rx_gro_hw=large)
    wire.guest.background(f"{there} receive {wire.near_address} 9000 > /tmp/datagrams")
    wire.guest.run("for i in $(seq 100); do grep -q :2328 /proc/net/udp && break; sleep 0.1; done")
    frame = wire.near_frame(
        lambda: wire.far.run(f"{here} send {wire.near_address} 9000 {DATAGRAM} {DATAGRAMS_SENT // 40}")
    )
    wait_until(lambda: wire.guest.run("cat /tmp/datagrams").strip(), "the receiver's end", 40)
    check_datagrams(wire.guest.run("cat /tmp/datagrams"))
    if wire.accepted() & mask("GUEST_USO4"):
        assert (frame > LARGE) == large
    else:
        assert frame <= SMALL and kernel_of(wire.guest) < (6, 2)


@pytest.mark.parametrize("suite", ["csum", "tso", "uso"])
def test_kselftest_of_drivers_net(suite):
    pytest.skip(f"kselftest drivers/net {suite}: Debian has no package of the kernel's selftests")


def test_ipv6_with_all_offloads(wire):
    wire.far.run(f"ip address add 2001:db8::1/64 dev {wire.device.representor} nodad")
    wire.guest.run(f"ip address add 2001:db8::2/64 dev {wire.netdev} nodad")
    assert wire.near_frame(lambda: wire.iperf("-6", "-R", far="2001:db8::1")) > LARGE
    assert wire.far_frame(lambda: wire.iperf("-6", far="2001:db8::1"), "rx") > LARGE


def test_vlan_with_all_offloads(wire):
    added = wire.far.run(f"ip link add link {wire.device.representor} name v7 type vlan id 7", check=False)
    if "Unknown device type" in added:
        pytest.skip("this machine's kernel has no VLAN devices (8021q)")
    wire.far.run("ip address add 198.19.0.1/24 dev v7 && ip link set v7 up")
    wire.guest.run(
        f"ip link add link {wire.netdev} name v7 type vlan id 7 && ip address add 198.19.0.2/24 dev v7 "
        "&& ip link set v7 up"
    )
    for way in ([], ["-R"]):
        wire.iperf(*way, far="198.19.0.1")
    wire.guest.ping("198.19.0.1", "-c 3 -i 0.05 -W 5 -s 20000")
