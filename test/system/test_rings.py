# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Every kind of ring that a guest's driver can be made to use, in one guest: a device for each."""

import os
import signal

import pytest

from virtnet_test.features import GUEST_GSO, check_accepted, mask
from virtnet_test.group import Group
from virtnet_test.wait import wait_until
from virtnet_test.wire import DATAGRAMS_FLOW, Wire

FILE_SIZE = 3 << 20
PINGS = (1, 1473, 8000, 20000)

# What a device does without, of all that the controller supports, and how else it is plugged.
LAYOUTS = {
    "split": (("RING_PACKED", "MRG_RXBUF", *GUEST_GSO, "NOTIFICATION_DATA"), {"size": 4096}),
    "split plain": (("RING_PACKED", "MRG_RXBUF", *GUEST_GSO, "INDIRECT_DESC", "EVENT_IDX"), {"size": 32}),
    "split mergeable": (("RING_PACKED",), {"size": 32768}),
    "split large buffers": (("RING_PACKED", "MRG_RXBUF"), {}),
    "packed": (("MRG_RXBUF", *GUEST_GSO), {"size": 1024}),
    "packed plain": (("MRG_RXBUF", *GUEST_GSO, "INDIRECT_DESC", "EVENT_IDX", "NOTIFICATION_DATA"), {"size": 64}),
    "packed mergeable jumbo": ((), {"mtu": 9000}),
    "packed large buffers jumbo": (("MRG_RXBUF",), {"mtu": 9216}),
}


@pytest.fixture(scope="module")
def lab(make_lab):
    made, close = make_lab("test_rings", settings={"packed_vq": 1, "mrg_rxbuf": 1})
    yield made
    close()


@pytest.fixture(scope="module")
def guest(lab):
    return lab.boot("vm1", memory=512)


@pytest.fixture(scope="module")
def wires():
    """Those that there are so far, by layout."""
    return {}


@pytest.fixture(scope="module", params=list(LAYOUTS))
def wire(request, lab, guest, supported, wires):
    without, how = LAYOUTS[request.param]
    features = supported & ~mask(*without, "GUEST_HDRLEN")
    wires[request.param] = Wire(lab, guest, len(wires), options=("-f", hex(features)), **how)
    return wires[request.param]


def test_packed_is_among_the_queue_types(lab):
    shown = lab.cli.good("list")["controller"]["supported_virt_queue_types"]
    assert shown == {"value": "0x3", "    0": "SPLIT", "    1": "PACKED"}


def test_driver_takes_what_is_offered(wire):
    check_accepted(wire.guest, wire.offered(), wire.accepted())
    shown = wire.query("--dbg_stats")
    for queue in shown["enabled-queues-info"][:2]:
        assert queue["jumbo_mtu"] == (int(shown["mtu"]) > 1500)
        assert ("packed" in queue["burst_function"]) == bool(wire.accepted() & mask("RING_PACKED"))
        assert ("mergeable" in queue["burst_function"]) == bool(wire.accepted() & mask("MRG_RXBUF"))


def test_packets_of_many_sizes(wire):
    wire.ping(*PINGS)
    assert wire.iperf() > 1_000_000
    assert wire.iperf("-R") > 1_000_000
    assert wire.iperf("-u", "-b", "20M", "-l", "1400", "-R") > DATAGRAMS_FLOW
    wire.check_rings()


def test_files_in_odd_pieces(wire, tmp_path):
    wire.file_to_guest(tmp_path, FILE_SIZE)
    wire.file_from_guest(tmp_path, FILE_SIZE)
    wire.check_rings()


def test_rings_change_their_size_under_traffic(wire):
    sizes = {number: int(queue["size"]) for number, queue in wire.queues().items()}
    pings = wire.far.start("busybox", "ping", "-i", "0.002", "-s", "1400", wire.near_address)
    for size in (32, 16, sizes[0]):
        wire.guest.run(f"ethtool -G {wire.netdev} rx {size}")
        wait_until(lambda: int(wire.queues()[0]["size"]) == size, f"a receive queue of {size}")  # noqa: B023
    wire.guest.run(f"ethtool -G {wire.netdev} tx {sizes[1] // 2}; ethtool -G {wire.netdev} tx {sizes[1]}")
    pings.kill()
    wire.ping(1400)
    assert {number: int(queue["size"]) for number, queue in wire.queues().items()} == sizes
    wire.check_rings()


def crash(lab):
    group = Group(lab.controller)
    group.standby()
    former = group.active()
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: group.active() != former, "a successor")


def restart(lab):
    Group(lab.controller).standby()
    assert lab.cli("restart").status == 0


@pytest.mark.parametrize("how", [crash, restart])
def test_every_ring_goes_on_in_another_process(lab, wires, tmp_path, how):
    how(lab)
    for wire in wires.values():
        wire.ping(1400)
        wire.check_rings()
    wires["packed mergeable jumbo"].file_to_guest(tmp_path, FILE_SIZE)
    wires["packed mergeable jumbo"].file_from_guest(tmp_path, FILE_SIZE)


def test_guest_reboots_under_traffic(guest, wires):
    traffic = []
    for wire in wires.values():
        traffic.append(wire.far.start("busybox", "ping", "-i", "0.005", "-s", "1400", wire.near_address))
    # All at once would leave an emulated CPU no time for the reboot.
    for name in ("split mergeable", "packed mergeable jumbo"):
        traffic.append(wires[name].far.start("iperf3", "-s"))
        guest.background(f"iperf3 -c {wires[name].far_address} -t 60 -b 20M --bidir")
    guest.reboot()
    for process in traffic:
        process.kill()
    for wire in wires.values():
        wire.netdev = guest.netdev(wire.device.mac)
        guest.run(f"ip link set {wire.netdev} mtu {wire.query('-b')['mtu']}")
        guest.up(wire.netdev, f"{wire.near_address}/24")
    for wire in wires.values():
        check_accepted(guest, wire.offered(), wire.accepted())
        wire.ping(1400)
        wire.check_rings()


def test_packed_and_mergeable_were_among_them(wires):
    accepted = [wire.accepted() for wire in wires.values()]
    for bits in (0, mask("RING_PACKED"), mask("MRG_RXBUF"), mask("RING_PACKED", "MRG_RXBUF")):
        assert any(one & mask("RING_PACKED", "MRG_RXBUF") == bits for one in accepted), bits
