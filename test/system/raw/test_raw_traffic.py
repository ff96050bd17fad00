# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A driver of our own: bring-up, frames both ways, interrupts, rings that come and go."""

import os
import struct
import time

import pytest

import pci_config as pci
from packet_socket import frame
from virtio_driver import (BASIC_FEATURES, DESC_INDIRECT, DESC_WRITE, F_CTRL_VQ, F_EVENT_IDX,
                           F_INDIRECT_DESC, F_MAC, F_RING_RESET, F_VERSION_1, NET_HEADER,
                           NO_VECTOR, RX, STATUS_ACKNOWLEDGE, STATUS_DRIVER, STATUS_FEATURES_OK,
                           TX, GuestMemory, VirtioNet, wait_for)

BROADCAST = "ff:ff:ff:ff:ff:ff"


def exchange(driver, far, mac, payload=b"hello" + bytes(60), queue=TX):
    """A frame each way."""
    driver.send(frame(BROADCAST, payload), queue)
    received = far.receive()
    assert received and received[14:14 + len(payload)] == payload
    driver.receives(lambda: far.send(frame(mac, payload)),
                    lambda data: data[14:14 + len(payload)] == payload)


def live(driver, far):
    """Wait until the device runs: frames that come before are nobody's."""
    driver.send(frame(BROADCAST, b"live" + bytes(60)))
    assert far.receive()
    time.sleep(0.05)  # the kernel's own delay after a link has come up


def test_frames_cross_both_ways(driver, far, device):
    driver.start()
    for n in range(50):
        exchange(driver, far, device.mac, b"frame %d" % n + bytes(50))


@pytest.mark.parametrize("length", [14, 15, 60, 61, 1000, 1513, 1514])
def test_frame_of_any_length_arrives_as_it_was(driver, far, device, length):
    driver.start()
    payload = os.urandom(length - 14)
    driver.send(frame(BROADCAST, payload))
    assert far.receive()[14:length] == payload
    received = driver.receives(lambda: far.send(frame(device.mac, payload)),
                               lambda data: data[14:length] == payload)
    assert len(received) >= length


@pytest.mark.parametrize("features", [
    F_VERSION_1, F_VERSION_1 | F_MAC, BASIC_FEATURES | F_EVENT_IDX,
    BASIC_FEATURES & ~F_INDIRECT_DESC, F_VERSION_1 | F_EVENT_IDX])
def test_frames_cross_with_other_features(driver, far, device, features):
    driver.start(features)
    for _ in range(5):
        exchange(driver, far, device.mac)


@pytest.mark.parametrize("size", [4, 8, 256])
def test_ring_wraps_many_times(driver, far, device, size):
    driver.start(queue_size=size, rx_buffers=min(size, 16))
    for n in range(3 * size + 5):
        exchange(driver, far, device.mac, b"%d" % n + bytes(60))


def test_chain_of_many_small_pieces_is_one_frame(driver, far):
    driver.start()
    payload = bytes(range(200))
    data = NET_HEADER + frame(BROADCAST, payload)
    pieces = [data[start:start + 7] for start in range(0, len(data), 7)]
    driver.submit(TX, [(driver.store(piece), len(piece), 0) for piece in pieces])
    assert far.receive()[14:214] == payload
    driver.wait_used(TX)


def test_indirect_chain_is_one_frame(driver, far):
    driver.start()
    payload = b"indirect" + bytes(60)
    data = driver.store(NET_HEADER + frame(BROADCAST, payload))
    table = driver.store(struct.pack("<QIHH", data, 12, 1, 1) +
                         struct.pack("<QIHH", data + 12, 14 + len(payload), 0, 0))
    driver.submit(TX, [(table, 32, DESC_INDIRECT)])
    assert far.receive()[14:14 + len(payload)] == payload
    driver.wait_used(TX)


def test_received_frame_is_spread_over_a_chain(driver, far, device):
    driver.start(rx_buffers=0)
    pieces = [(driver.buffers.allocate(100), 100, DESC_WRITE) for _ in range(16)]
    driver.submit(RX, pieces)
    live(driver, far)
    payload = os.urandom(1000)
    far.send(frame(device.mac, payload))
    far.send(frame(device.mac, payload))  # there is one chain for the first that arrives
    _, length = driver.wait_used(RX)
    assert length == 12 + 14 + 1000
    data = b"".join(driver.buffers.read(iova, 100) for iova, _, _ in pieces)
    assert data[26:1026] == payload


def test_frame_that_does_not_fit_is_dropped_and_the_next_one_arrives(driver, far, device):
    driver.start(rx_buffers=0)
    driver.fill(RX, 4, length=128)
    live(driver, far)
    payload = b"short" + bytes(55)

    def send():
        far.send(frame(device.mac, bytes(1000)))
        far.send(frame(device.mac, payload))
    driver.receives(send, lambda data: data[14:14 + len(payload)] == payload)
    assert not driver.needs_reset()


def test_interrupts_are_fired_for_sent_and_received_frames(driver, far, device):
    driver.start()
    exchange(driver, far, device.mac)
    assert driver.interrupted(1), "receive"
    assert driver.interrupted(2), "transmit"


def test_no_interrupt_while_the_driver_does_not_want_one(driver, far, device):
    driver.start()
    for queue in (RX, TX):
        driver.memory.store16(driver.rings[queue].avail, 1)  # VIRTQ_AVAIL_F_NO_INTERRUPT
    exchange(driver, far, device.mac)
    exchange(driver, far, device.mac)
    assert not driver.interrupted(1, 0.2)
    assert not driver.interrupted(2, 0.2)


def test_queue_without_a_vector_makes_no_interrupt(driver, far, device):
    driver.start()
    for queue in (RX, TX):
        driver.registers.set("queue_select", queue)
        driver.registers.set("queue_msix_vector", NO_VECTOR)
    exchange(driver, far, device.mac)
    assert not driver.interrupted(1, 0.2)


def test_idle_queue_is_woken_by_a_kick(driver, far, device):
    driver.start()
    for _ in range(3):
        wait_for(driver.rings[TX].kicks_wanted, "request for kicks on an idle queue")
        exchange(driver, far, device.mac)


def test_burst_larger_than_the_devices_own(driver, far):
    driver.start(queue_size=256)
    data = NET_HEADER + frame(BROADCAST, bytes(100))
    iova = driver.store(data)
    ring = driver.rings[TX]
    for _ in range(256):
        ring.offer(ring.add([(iova, len(data), 0)]))
    driver.kick(TX)
    for _ in range(256):
        driver.wait_used(TX)
        assert far.receive()


def test_second_queue_pair_sends_once_the_driver_has_asked_for_it(driver, far, device):
    driver.start(pairs=2)
    assert driver.control(4, 0, struct.pack("<H", 2)) == 0
    exchange(driver, far, device.mac)
    driver.send(frame(BROADCAST, b"second pair" + bytes(50)), queue=3)
    assert far.receive()[14:25] == b"second pair"


def test_driver_that_resets_and_starts_again_and_again(driver, far, device):
    for features in (BASIC_FEATURES, F_VERSION_1, BASIC_FEATURES | F_EVENT_IDX) * 5:
        driver.start(features)
        exchange(driver, far, device.mac)


def test_features_that_were_not_offered_are_refused(driver):
    registers = driver.registers
    registers.reset()
    registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER)
    registers.accept_features(registers.features() | 1 << 62)
    registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK)
    assert not registers.status() & STATUS_FEATURES_OK


def test_driver_without_version_1_is_refused(driver):
    registers = driver.registers
    registers.reset()
    registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER)
    registers.accept_features(F_MAC)
    registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK)
    assert not registers.status() & STATUS_FEATURES_OK


def test_multiqueue_without_a_control_queue_is_refused_or_not_used(driver):
    registers = driver.registers
    registers.reset()
    registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER)
    registers.accept_features((registers.features() | F_VERSION_1) & ~F_CTRL_VQ)
    registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK)
    registers.set("device_status", registers.status() | 4)
    assert driver.client.info()[1] >= 8


def test_one_queue_is_reset_and_enabled_again(driver, far, device):
    driver.start(BASIC_FEATURES | F_RING_RESET)
    if not driver.features & F_RING_RESET:
        pytest.skip("the device does not offer VIRTIO_F_RING_RESET")
    exchange(driver, far, device.mac)
    registers = driver.registers
    registers.set("queue_select", TX)
    registers.set("queue_reset", 1)
    wait_for(lambda: registers.get("queue_reset") == 0, "end of the queue's reset")
    assert registers.get("queue_enable") == 0
    driver.set_up_queue(TX, 64, 2)
    registers.set("queue_enable", 1)
    exchange(driver, far, device.mac)


def test_function_level_reset_under_traffic(driver, far, device):
    for _ in range(5):
        far.drain()
        driver.start()
        exchange(driver, far, device.mac)
        for _ in range(8):
            driver.post_frame(frame(BROADCAST, bytes(1000)))
        driver.registers.config.function_level_reset()
        assert driver.status() == 0
    far.drain()
    driver.start()
    exchange(driver, far, device.mac)


def test_client_that_vanishes_under_traffic(device, far, reconnect):
    for _ in range(5):
        client = reconnect()
        driver = VirtioNet(client, GuestMemory(client))
        driver.start()
        for n in range(10):
            far.send(frame(device.mac, bytes(1000)))
            driver.post_frame(frame(BROADCAST, b"%d" % n + bytes(1000)))
        client.close()
        driver.close()
    client = reconnect()
    driver = VirtioNet(client, GuestMemory(client))
    driver.start()
    far.drain()
    exchange(driver, far, device.mac)
    driver.close()


def test_device_writes_nothing_after_it_was_reset(driver, far, device):
    driver.start()
    exchange(driver, far, device.mac)
    driver.registers.reset()
    driver.memory.map[:] = b"\xa5" * driver.memory.size
    driver.buffers.map[:] = b"\xa5" * driver.buffers.size
    for _ in range(20):
        far.send(frame(device.mac, bytes(1000)))
    driver.client.info()
    driver.client.reset()
    assert driver.memory.map[:] == b"\xa5" * driver.memory.size
    assert driver.buffers.map[:] == b"\xa5" * driver.buffers.size


def test_without_bus_mastering_there_is_no_dma(driver, far, device):
    driver.start()
    exchange(driver, far, device.mac)
    driver.registers.config.set_command(pci.COMMAND_MEMORY)
    used = driver.rings[RX].used_idx(), driver.rings[TX].used_idx()
    for _ in range(5):
        far.send(frame(device.mac, bytes(100)))
        driver.post_frame(frame(BROADCAST, bytes(100)))
    driver.client.info()
    assert far.receive(0.2) is None
    assert (driver.rings[RX].used_idx(), driver.rings[TX].used_idx()) == used
    driver.registers.config.enable()
    driver.start()
    far.drain()
    exchange(driver, far, device.mac)


def test_link_status_is_shown(driver):
    driver.start()
    assert struct.unpack("<H", driver.registers.device_config(6, 2))[0] & 1 == 1
