# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Hash reports: what is offered, what the control queue takes, what headers of received frames say
(virtio 1.2, 5.1.6.4.3 and 5.1.6.5.6.4), and that a successor knows it."""

import ipaddress
import os
import struct

import pytest

from conftest import connect
from packet_socket import PacketSocket, frame
from test_raw_adopt import crash
from test_raw_traffic import exchange
from virtio_driver import (BASIC_FEATURES, CTRL_ERR, CTRL_OK, F_HASH_REPORT, GuestMemory, VirtioNet)
from virtnet_test.group import Group
from virtnet_test.toeplitz import toeplitz

MAC = "0C:C4:7A:FF:22:31"
CLASS_MQ = 4
HASH_CONFIG = 2

NONE, IPV4, TCPV4, UDPV4, IPV6, TCPV6, UDPV6, IPV6_EX, TCPV6_EX, UDPV6_EX = range(10)
ALL = (1 << UDPV6_EX) - 1
KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
OTHER_KEY = bytes(range(1, 41))
RSS_MAX_KEY_SIZE, SUPPORTED_HASH_TYPES = 17, 20  # of the device configuration

TCP, UDP, ICMP, ROUTING, FRAGMENT, DSTOPTS = 6, 17, 1, 43, 44, 60


def bit(report):
    return 1 << (report - 1)


def hash_config(types, key=KEY, reserved=bytes(8)):
    return struct.pack("<I", types) + reserved + bytes([len(key)]) + key


def packed(address):
    return ipaddress.ip_address(address).packed


def ipv4(src, dst, proto, payload, fragment=0):
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, fragment, 64, proto, 0) + \
        packed(src) + packed(dst) + payload


def ipv6(src, dst, following, payload):
    return struct.pack(">IHBB", 6 << 28, len(payload), following, 64) + packed(src) + packed(dst) + payload


def ports(src, dst, proto):
    return struct.pack(">HH", src, dst) + bytes(16 if proto == TCP else 4)


A4, B4, A6, B6, HOME, CARE = "66.9.149.187", "161.142.100.80", "2001:db8::1", "2001:db8::2", "fd01::7", "fd02::8"
PORTS = struct.pack(">HH", 2794, 1766)
HOME_OPTION = bytes([TCP, 2, 1, 2, 0, 0, 0xc9, 16]) + packed(HOME)
ROUTE_2 = bytes([DSTOPTS, 2, 2, 1, 0, 0, 0, 0]) + packed(CARE)

# EtherType, packet, report with all types, what is hashed
PACKETS = {
    "TCP over IPv4": (0x800, ipv4(A4, B4, TCP, ports(2794, 1766, TCP)), TCPV4, packed(A4) + packed(B4) + PORTS),
    "UDP over IPv4": (0x800, ipv4(A4, B4, UDP, ports(2794, 1766, UDP)), UDPV4, packed(A4) + packed(B4) + PORTS),
    "ICMP": (0x800, ipv4(A4, B4, ICMP, bytes(8)), IPV4, packed(A4) + packed(B4)),
    "first fragment": (0x800, ipv4(A4, B4, UDP, ports(2794, 1766, UDP), 0x2000), IPV4, packed(A4) + packed(B4)),
    "TCP over IPv6": (0x86dd, ipv6(A6, B6, TCP, ports(2794, 1766, TCP)), TCPV6, packed(A6) + packed(B6) + PORTS),
    "UDP over IPv6": (0x86dd, ipv6(A6, B6, UDP, ports(2794, 1766, UDP)), UDPV6, packed(A6) + packed(B6) + PORTS),
    "no next header": (0x86dd, ipv6(A6, B6, 59, b""), IPV6, packed(A6) + packed(B6)),
    "home address and route": (
        0x86dd, ipv6(A6, B6, ROUTING, ROUTE_2 + HOME_OPTION + ports(2794, 1766, TCP)), TCPV6_EX,
        packed(HOME) + packed(CARE) + PORTS),
    "fragment of IPv6": (
        0x86dd, ipv6(A6, B6, FRAGMENT, struct.pack(">BBHI", UDP, 0, 0x100, 1) + bytes(16)), IPV6_EX,
        packed(A6) + packed(B6)),
    "tagged": (0x8100, struct.pack(">HH", 5, 0x800) + ipv4(A4, B4, UDP, ports(2794, 1766, UDP)), UDPV4,
               packed(A4) + packed(B4) + PORTS),
    "ARP": (0x806, bytes(28), NONE, b""),
}  # fmt: skip


@pytest.fixture(name="hashing", scope="module")
def fixture_hashing(lab_of_session):
    """A device that offers hash reports."""
    lab = lab_of_session.ready()
    offered = int(lab.controller.cli.good("list")["controller"]["supported_features"]["value"], 16)
    device = lab.plug(MAC, "-f", hex(offered))
    yield device
    lab.controller.cli.good("unplug", "-p", str(device.id))


@pytest.fixture(name="driver")
def fixture_driver(lab, hashing):
    client = connect(hashing.socket)
    driver = VirtioNet(client, GuestMemory(client), GuestMemory(client, iova=0x80000000))
    yield driver
    driver.close()
    client.close()


@pytest.fixture(name="far")
def fixture_far(lab, hashing):
    far = PacketSocket(lab.controller.process.pid, hashing.representor)
    far.drain()
    yield far
    far.close()


@pytest.fixture(name="group")
def fixture_group(lab):
    return Group(lab.controller)


def report_of(driver, far, name):
    """(hash_value, hash_report) that a packet is received with; the frame itself has to be right."""
    ethertype, packet, _, _ = PACKETS[name]
    sent = frame(MAC, packet + bytes(max(0, 46 - len(packet))), ethertype=ethertype)
    driver.receives(lambda: far.send(sent), lambda data: data == sent)
    value, report, padding = struct.unpack("<IHH", driver.received_header[12:])
    assert padding == 0
    return value, report


def expect(driver, far, key=KEY, names=PACKETS):
    for name in names:
        _, _, report, fields = PACKETS[name]
        value = toeplitz(key, fields) if report else 0
        assert report_of(driver, far, name) == (value, report), name


def start(driver, features=BASIC_FEATURES | F_HASH_REPORT, **options):
    driver.start(features, **options)
    assert driver.features & F_HASH_REPORT
    return driver


def test_offered_to_whom_it_is_plugged_for(driver, lab, hashing):
    start(driver)
    assert driver.registers.device_config(RSS_MAX_KEY_SIZE, 1) == b"\x28"
    assert driver.registers.device_config(SUPPORTED_HASH_TYPES, 4) == struct.pack("<I", ALL)
    shown = lab.controller.cli.device(hashing.id)
    assert (shown["rss_max_key_size"], shown["supported_hash_types"]) == ("40", hex(ALL))


def test_not_offered_unless_asked_for(lab, client, device):
    registers = VirtioNet(client, GuestMemory(client)).registers
    assert registers.features() & F_HASH_REPORT == 0
    assert registers.device_config(RSS_MAX_KEY_SIZE, 1) == b"\0"
    shown = lab.controller.cli.device(device.id)
    assert (shown["rss_max_key_size"], shown["supported_hash_types"]) == ("0", "0x0")


def test_nothing_is_hashed_until_the_driver_asks_for_it(driver, far):
    start(driver)
    for name in PACKETS:
        assert report_of(driver, far, name) == (0, NONE)


def test_each_packet_has_its_hash(driver, far):
    start(driver)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL)) == CTRL_OK
    expect(driver, far)
    assert report_of(driver, far, "TCP over IPv4")[0] == 0x51ccc178, "Microsoft's own example"


def test_types_and_key_can_be_changed_and_switched_off(driver, far):
    start(driver)
    for key in (KEY, OTHER_KEY):
        assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL, key)) == CTRL_OK
        expect(driver, far, key)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(bit(IPV4) | bit(UDPV6))) == CTRL_OK
    addresses = toeplitz(KEY, packed(A4) + packed(B4))
    assert report_of(driver, far, "TCP over IPv4") == (addresses, IPV4)
    assert report_of(driver, far, "TCP over IPv6") == (0, NONE)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(0)) == CTRL_OK
    assert report_of(driver, far, "TCP over IPv4") == (0, NONE)


def test_fields_that_linux_fills_do_not_matter(driver, far):
    start(driver)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL, reserved=b"\0\0\0\0\0\0\2\0")) == CTRL_OK
    expect(driver, far, names=["UDP over IPv4"])


WRONG = {
    "unknown type": hash_config(ALL + 1),
    "all bits": hash_config(0xffffffff),
    "no key": hash_config(ALL, b""),
    "key of 39 bytes": hash_config(ALL, KEY[:39]),
    "key of 41 bytes": hash_config(ALL, KEY + b"\0"),
    "key of 52 bytes": hash_config(ALL, bytes(52)),
    "a byte too few": hash_config(ALL)[:-1],
    "a byte too many": hash_config(ALL) + b"\0",
    "a length that is not the key's": hash_config(ALL)[:12] + b"\x10" + KEY,
    "nothing": b"",
    "types alone": struct.pack("<I", ALL),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_refused_and_the_former_one_stays(driver, far, case):
    start(driver)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL)) == CTRL_OK
    assert driver.control(CLASS_MQ, HASH_CONFIG, WRONG[case]) == CTRL_ERR
    expect(driver, far, names=["TCP over IPv4", "home address and route"])


def test_the_command_needs_its_feature(driver, far):
    driver.start(BASIC_FEATURES)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL)) == CTRL_ERR
    exchange(driver, far, MAC)


def test_frames_are_sent_behind_the_longer_header(driver, far):
    start(driver)
    for length in (46, 100, 1500):
        payload = os.urandom(length)
        driver.send(frame("ff:ff:ff:ff:ff:ff", payload), header=bytes(12) + os.urandom(8))
        assert far.receive()[14:14 + length] == payload


def test_a_reset_ends_it(driver, far):
    start(driver)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL)) == CTRL_OK
    expect(driver, far, names=["UDP over IPv4"])
    start(driver)
    assert report_of(driver, far, "UDP over IPv4") == (0, NONE)


def test_a_successor_goes_on_with_types_and_key(group, driver, far):
    start(driver)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL, OTHER_KEY)) == CTRL_OK
    expect(driver, far, OTHER_KEY)
    crash(group)
    expect(driver, far, OTHER_KEY)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL)) == CTRL_OK
    expect(driver, far)


def test_a_restart_goes_on_with_types_and_key(lab, driver, far):
    start(driver)
    assert driver.control(CLASS_MQ, HASH_CONFIG, hash_config(ALL, OTHER_KEY)) == CTRL_OK
    assert lab.controller.cli("restart").status == 0
    expect(driver, far, OTHER_KEY)
