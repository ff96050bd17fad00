# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Control virtqueue: commands, and everything that is not one (virtio 1.2, 5.1.6.5)."""

import struct
import time

import pytest

import pci_config as pci
from packet_socket import frame
from test_raw_traffic import exchange
from virtio_driver import (BASIC_FEATURES, CTRL_ERR, CTRL_OK, DESC_WRITE, F_CTRL_GUEST_OFFLOADS,
                           F_CTRL_MAC_ADDR, F_CTRL_RX, F_GUEST_ANNOUNCE, F_GUEST_CSUM, F_MQ,
                           F_RING_PACKED, wait_for)

CLASS_RX = 0
CLASS_MAC = 1
CLASS_VLAN = 2
CLASS_ANNOUNCE = 3
CLASS_MQ = 4
CLASS_GUEST_OFFLOADS = 5

# Some hundred starts of a driver.
RESTARTS_S = 2


@pytest.mark.parametrize("pairs, answer", [(1, CTRL_OK), (2, CTRL_OK), (0, CTRL_ERR), (3, CTRL_ERR),
                                           (0x8000, CTRL_ERR), (0xffff, CTRL_ERR)])
def test_number_of_queue_pairs(driver, pairs, answer):
    driver.start(pairs=2)
    assert driver.control(CLASS_MQ, 0, struct.pack("<H", pairs)) == answer


def test_number_of_queue_pairs_beyond_the_queues_that_are_set_up_is_an_error(driver, far, device):
    driver.start(pairs=1)
    assert driver.max_pairs() == 2
    assert driver.control(CLASS_MQ, 0, struct.pack("<H", 2)) == CTRL_ERR
    assert driver.control(CLASS_MQ, 0, struct.pack("<H", 1)) == CTRL_OK
    exchange(driver, far, device.mac)


def test_command_right_after_the_start_does_not_overtake_it(driver, lab):
    """The start waits for the SF's queues while the helper is busy with other devices' SFs."""
    end = time.monotonic() + RESTARTS_S
    with lab.others_come_and_go():
        while time.monotonic() < end:
            driver.start(pairs=2)
            assert driver.control(CLASS_MQ, 0, struct.pack("<H", 2)) == CTRL_OK
            driver.send(frame("ff:ff:ff:ff:ff:ff", bytes(60)))


def test_number_of_queue_pairs_is_shown(driver, device, lab):
    driver.start(pairs=2)
    driver.control(CLASS_MQ, 0, struct.pack("<H", 2))
    assert lab.controller.cli.device(device.id)["ctrl_mq"] == "2"


@pytest.mark.parametrize("command", [0, 1])
@pytest.mark.parametrize("value, answer", [(0, CTRL_OK), (1, CTRL_OK)])
def test_receive_modes(driver, command, value, answer):
    driver.start()
    assert driver.control(CLASS_RX, command, bytes([value])) == answer


def test_mac_address_is_set_and_shown(driver, device, lab):
    driver.start()
    assert driver.control(CLASS_MAC, 1, bytes.fromhex("020000aabbcc")) == CTRL_OK
    assert lab.controller.cli.device(device.id)["ctrl_mac"] == "02:00:00:AA:BB:CC"
    assert lab.controller.cli.device(device.id)["mac"] == device.mac, "the permanent one stays"


def test_announcement_is_acknowledged(driver):
    driver.start()
    assert driver.control(CLASS_ANNOUNCE, 0) == CTRL_OK


@pytest.mark.parametrize("offloads, answer", [
    (0, CTRL_OK), (F_GUEST_CSUM, CTRL_OK), (F_GUEST_CSUM | 1 << 7, CTRL_ERR), (F_MQ, CTRL_ERR),
    (1 << 63, CTRL_ERR), ((1 << 64) - 1, CTRL_ERR)])
def test_guest_offloads_are_those_negotiated(driver, far, device, lab, offloads, answer):
    def taken():
        shown = lab.controller.cli.device(device.id, "-b", "--dbg_stats")
        return int(shown["guest_offloads"]["value"], 16)

    driver.start(BASIC_FEATURES | F_GUEST_CSUM | F_CTRL_GUEST_OFFLOADS)
    assert taken() == F_GUEST_CSUM
    assert driver.control(CLASS_GUEST_OFFLOADS, 0, struct.pack("<Q", offloads)) == answer
    assert taken() == (offloads if answer == CTRL_OK else F_GUEST_CSUM)
    exchange(driver, far, device.mac)


def test_offloads_of_a_driver_end_with_it(driver, device, lab):
    driver.start(BASIC_FEATURES | F_GUEST_CSUM | F_CTRL_GUEST_OFFLOADS)
    assert driver.control(CLASS_GUEST_OFFLOADS, 0, bytes(8)) == CTRL_OK
    driver.start(BASIC_FEATURES | F_GUEST_CSUM | F_CTRL_GUEST_OFFLOADS)
    shown = lab.controller.cli.device(device.id, "-b", "--dbg_stats")
    assert int(shown["guest_offloads"]["value"], 16) == F_GUEST_CSUM


def test_packed_rings_are_not_offered_unless_configured(driver):
    driver.start(BASIC_FEATURES | F_RING_PACKED)
    assert driver.features & F_RING_PACKED == 0


WRONG = {
    "class that does not exist": (99, 0, b""),
    "class 255": (255, 255, bytes(100)),
    "VLAN, which was not negotiated": (CLASS_VLAN, 0, b"\1\0"),
    "guest offloads, which were not negotiated": (CLASS_GUEST_OFFLOADS, 0, bytes(8)),
    "unknown RX command": (CLASS_RX, 99, b"\1"),
    "RX command without data": (CLASS_RX, 0, b""),
    "RX command with too much data": (CLASS_RX, 0, b"\1\1"),
    "unknown MQ command": (CLASS_MQ, 9, b"\1\0"),
    "MQ with half a number": (CLASS_MQ, 0, b"\1"),
    "MQ with too much": (CLASS_MQ, 0, b"\1\0\0\0"),
    "MQ without data": (CLASS_MQ, 0, b""),
    "MAC address of five bytes": (CLASS_MAC, 1, bytes(5)),
    "MAC address of seven bytes": (CLASS_MAC, 1, bytes(7)),
    "unknown MAC command": (CLASS_MAC, 7, bytes(6)),
    "MAC table that says more than it has": (CLASS_MAC, 0, struct.pack("<I", 5) + bytes(12)),
    "MAC table of 2^32-1 addresses": (CLASS_MAC, 0, struct.pack("<I", 0xffffffff) + bytes(60)),
    "MAC table whose size wraps": (CLASS_MAC, 0, struct.pack("<I", 0x2aaaaaab) + bytes(60)),
    "MAC table without its second half": (CLASS_MAC, 0, struct.pack("<I", 1) + bytes(6)),
    "unknown announce command": (CLASS_ANNOUNCE, 1, b""),
    "announce with data": (CLASS_ANNOUNCE, 0, b"\0"),
    "20000 bytes": (CLASS_MAC, 0, bytes(20000)),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_command_is_answered_with_error(driver, case):
    driver.start()
    assert driver.control(*WRONG[case]) == CTRL_ERR
    assert not driver.needs_reset()
    assert driver.control(CLASS_RX, 0, b"\1") == CTRL_OK, "the queue goes on"


@pytest.mark.parametrize("feature, command", [
    (F_MQ, (CLASS_MQ, 0, b"\1\0")), (F_CTRL_RX, (CLASS_RX, 0, b"\1")),
    (F_CTRL_MAC_ADDR, (CLASS_MAC, 1, bytes.fromhex("020000000001"))),
    (F_GUEST_ANNOUNCE, (CLASS_ANNOUNCE, 0, b""))])
def test_command_whose_feature_was_not_negotiated_is_an_error(driver, feature, command):
    driver.start(BASIC_FEATURES & ~feature)
    assert driver.control(*command) == CTRL_ERR


def submit_control(driver, chain):
    driver.submit(driver.ctrl, chain)
    return driver.wait_used(driver.ctrl, "used control buffer")


def test_command_in_pieces_of_one_byte(driver):
    driver.start()
    command = struct.pack("<BBH", CLASS_MQ, 0, 1)
    ack = driver.store(b"\xee")
    chain = [(driver.store(bytes([byte])), 1, 0) for byte in command] + [(ack, 1, DESC_WRITE)]
    assert submit_control(driver, chain)[1] == 1
    assert driver.buffers.read(ack, 1)[0] == CTRL_OK


@pytest.mark.parametrize("length", [1, 0])
def test_truncated_header_is_answered_with_error(driver, length):
    driver.start()
    ack = driver.store(b"\xee")
    out = [(driver.store(b"\0"), 1, 0)] if length else []
    submit_control(driver, out + [(ack, 1, DESC_WRITE)])
    assert driver.buffers.read(ack, 1)[0] == CTRL_ERR


def test_command_without_room_for_the_answer_is_given_back_or_stops_the_device(driver):
    driver.start()
    driver.submit(driver.ctrl, [(driver.store(b"\0\0\1"), 3, 0)])
    ring = driver.rings[driver.ctrl]
    wait_for(lambda: ring.used_idx() == 1 or driver.needs_reset(), "reaction")
    driver.start()
    assert driver.control(CLASS_RX, 0, b"\1") == CTRL_OK


def test_answer_room_larger_than_one_byte(driver):
    driver.start()
    ack = driver.store(b"\xee" * 64)
    assert submit_control(driver, [(driver.store(b"\0\0\1"), 3, 0), (ack, 64, DESC_WRITE)])[1] == 1
    assert driver.buffers.read(ack, 2) == b"\0\xee"


def test_control_commands_under_traffic(driver, far, device):
    driver.start(pairs=2)
    for n in range(20):
        driver.post_frame(frame("ff:ff:ff:ff:ff:ff", bytes(200)))
        far.send(frame(device.mac, bytes(200)))
        assert driver.control(CLASS_MQ, 0, struct.pack("<H", 1 + n % 2)) == CTRL_OK


def test_command_waits_while_bus_mastering_is_off(driver):
    driver.start()
    assert driver.control(CLASS_RX, 0, b"\1") == CTRL_OK
    driver.registers.config.set_command(pci.COMMAND_MEMORY)
    ack = driver.store(b"\xee")
    driver.submit(driver.ctrl, [(driver.store(b"\0\0\1"), 3, 0), (ack, 1, DESC_WRITE)])
    driver.client.info()
    time.sleep(0.1)
    assert driver.rings[driver.ctrl].take_used() is None, "memory is out of bounds"
    assert driver.buffers.read(ack, 1) == b"\xee", "memory is out of bounds"
    driver.registers.config.enable()
    driver.wait_used(driver.ctrl, "answer once bus mastering is on again")
    assert driver.buffers.read(ack, 1)[0] == CTRL_OK
