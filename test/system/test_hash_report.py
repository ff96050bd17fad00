# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Hash reports to a guest: its kernel has the hash that the device has found, and asks for it by ethtool."""

import ipaddress
import os
import signal
import struct

import pytest

from virtnet_test.features import check_accepted, mask
from virtnet_test.group import Group
from virtnet_test.toeplitz import toeplitz
from virtnet_test.wait import wait_until
from virtnet_test.wire import Wire

FILE_SIZE = 1 << 20
PORTS = range(20000, 20020)
DISCARD = 9

# What a device does without, of all that the controller supports.
LAYOUTS = {"split": ("RING_PACKED", "MRG_RXBUF", "GUEST_HDRLEN"), "packed mergeable": ("GUEST_HDRLEN",)}

# On the far side: a datagram from each of these ports.
SEND = """
import socket, sys
address, port, *sources = sys.argv[1:]
for source in sources:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("", int(source)))
        sender.sendto(b"hash", (address, int(port)))
"""


@pytest.fixture(scope="module")
def lab(make_lab):
    made, close = make_lab("test_hash_report", settings={"packed_vq": 1, "mrg_rxbuf": 1})
    yield made
    close()


@pytest.fixture(scope="module")
def guest(lab):
    return lab.boot("vm1", memory=512)


@pytest.fixture(scope="module", params=list(LAYOUTS))
def wire(request, lab, guest, supported):
    features = supported & ~mask("NOTIFICATION_DATA", *LAYOUTS[request.param])
    if "MRG_RXBUF" in LAYOUTS[request.param]:
        features &= ~mask("GUEST_TSO4", "GUEST_TSO6", "GUEST_ECN", "GUEST_USO4", "GUEST_USO6")
    return Wire(lab, guest, list(LAYOUTS).index(request.param), options=("-f", hex(features)))


@pytest.fixture(scope="module")
def packet_hashes(wire, build):
    return wire.install(build / "test" / "system" / "packet-hashes")


def key_of(guest):
    """Linux gives every device the first bytes of this one."""
    return bytes.fromhex(guest.run("cat /proc/sys/net/core/netdev_rss_key").strip().replace(":", ""))[:40]


def expected(wire, port):
    addresses = ipaddress.ip_address(wire.far_address).packed + ipaddress.ip_address(wire.near_address).packed
    return toeplitz(key_of(wire.guest), addresses + struct.pack(">HH", port, DISCARD))


def rxhash(wire, state):
    wire.guest.run(f"ethtool -K {wire.netdev} rxhash {state}")
    assert f"receive-hashing: {state}" in wire.guest.run(f"ethtool -k {wire.netdev}")


def hashes(wire, program):
    """{source port: hash} that the guest's kernel has of datagrams."""
    wire.guest.background(f"{program} {wire.netdev} {len(PORTS)} > /tmp/hashes 2>&1")
    wait_until(lambda: "ready" in wire.guest.run("cat /tmp/hashes", check=False), "packet-hashes")
    found = {}

    def look():
        wire.far.run(f"/usr/bin/python3 -c '{SEND}' {wire.near_address} {DISCARD} {' '.join(map(str, PORTS))}")
        for line in wire.guest.run("cat /tmp/hashes").splitlines()[1:]:
            value, packet = line.split()
            packet = bytes.fromhex(packet)
            if packet[12:14] == b"\x08\0" and packet[23] == 17:  # UDP over IPv4
                found[int.from_bytes(packet[34:36], "big")] = int(value, 16)
        return found

    wait_until(look, "datagrams in the guest", 30)
    return found


def check_hashes(wire, program):
    found = hashes(wire, program)
    assert found == {port: expected(wire, port) for port in found}


def test_driver_takes_hash_reports(wire):
    assert wire.offered() & mask("HASH_REPORT")
    check_accepted(wire.guest, wire.offered(), wire.accepted())
    assert "hash" in wire.query("--dbg_stats")["enabled-queues-info"][0]["burst_function"]


def test_kernel_has_the_devices_hashes_when_it_asks_for_them(wire, packet_hashes):
    rxhash(wire, "on")
    check_hashes(wire, packet_hashes)
    rxhash(wire, "off")
    found = hashes(wire, packet_hashes)
    assert all(value != expected(wire, port) for port, value in found.items()), "the kernel's own"
    rxhash(wire, "on")
    check_hashes(wire, packet_hashes)


def test_packets_arrive_as_they_were(wire, tmp_path):
    wire.ping(1, 1400, 8000)
    wire.file_to_guest(tmp_path, FILE_SIZE)
    wire.file_from_guest(tmp_path, FILE_SIZE)
    wire.check_rings()


def test_hashes_go_on_after_a_crash(lab, wire, packet_hashes):
    rxhash(wire, "on")
    group = Group(lab.controller)
    group.standby()
    former = group.active()
    os.kill(former, signal.SIGKILL)
    wait_until(lambda: group.active() != former, "a successor")
    check_hashes(wire, packet_hashes)


def test_hashes_go_on_in_a_new_process(lab, wire, packet_hashes):
    rxhash(wire, "on")
    Group(lab.controller).standby()
    assert lab.cli("restart").status == 0
    check_hashes(wire, packet_hashes)
