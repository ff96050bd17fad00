# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Rings and memory made to break the device.

Whatever a driver writes, at most its own device stops (DEVICE_NEEDS_RESET) and comes back with a
reset; that nobody else notices is what the `lab` fixture checks after every test.
"""

import contextlib
import fcntl
import os
import random
import resource
import socket
import struct
import time

import pytest

import pci_config as pci
import vfio_user_client as vu
from conftest import connect
from packet_socket import frame
from test_raw_traffic import exchange, live
from virtio_driver import (BASIC_FEATURES, CTRL_OK, DESC_INDIRECT, DESC_NEXT, DESC_WRITE,
                           F_INDIRECT_DESC, F_MAC, F_MQ, F_RING_RESET, F_VERSION_1, NET_HEADER,
                           RX, TX, GuestMemory, VirtioNet, wait_for)
from virtnet_test.group import Group

BROADCAST = "ff:ff:ff:ff:ff:ff"
FRAME = NET_HEADER + frame(BROADCAST, bytes(100))
OUT_OF_MEMORY = 0xdead0000000
SOON_S = 5  # an answer that waits for nobody, on a busy machine


def desc(iova, length, flags=0, following=0):
    return struct.pack("<QIHH", iova, length, flags, following)


def recovers(driver, far, device):
    """Reset and start again: traffic flows."""
    far.drain()
    driver.start()
    assert not driver.needs_reset()
    far.drain()
    exchange(driver, far, device.mac)


def stops(driver, far=None, device=None):
    """The device asks for a reset; with `far`, after a frame for it has come (one that comes before
    the queues run is nobody's, so there are more)."""
    def stopped():
        if far:
            far.send(frame(device.mac, bytes(200)))
        return driver.needs_reset()
    wait_for(stopped, "DEVICE_NEEDS_RESET")


# Each takes (driver, ring) and returns nothing: it leaves a trap in the descriptors of `ring` and
# offers it. `good` is the address of a proper frame with its header.

def loop_of_one(_, ring, good):
    ring.write_desc(0, good, 4, DESC_NEXT, 0)
    ring.offer(0)


def loop_of_two(_, ring, good):
    ring.write_desc(0, good, 4, DESC_NEXT, 1)
    ring.write_desc(1, good, 4, DESC_NEXT, 0)
    ring.offer(0)


def loop_through_all(_, ring, good):
    for slot in range(ring.size):
        ring.write_desc(slot, good, 1, DESC_NEXT, (slot + 1) % ring.size)
    ring.offer(0)


def head_out_of_range(_, ring, good):
    ring.write_desc(0, good, len(FRAME))
    ring.offer(ring.size)


def head_far_out_of_range(_, ring, good):
    ring.write_desc(0, good, len(FRAME))
    ring.offer(0xffff)


def next_out_of_range(_, ring, good):
    ring.write_desc(0, good, len(FRAME), DESC_NEXT, ring.size)
    ring.offer(0)


def next_far_out_of_range(_, ring, good):
    ring.write_desc(0, good, len(FRAME), DESC_NEXT, 0xffff)
    ring.offer(0)


def index_ahead_of_the_ring(_, ring, good):
    ring.write_desc(0, good, len(FRAME))
    ring.publish(ring.avail_idx + ring.size + 1)


def index_behind(_, ring, good):
    ring.write_desc(0, good, len(FRAME))
    ring.publish(ring.avail_idx - 1)


def index_half_way_round(_, ring, good):
    ring.write_desc(0, good, len(FRAME))
    ring.publish(ring.avail_idx + 0x8000)


def buffer_outside_memory(_, ring, good):
    ring.write_desc(0, OUT_OF_MEMORY, len(FRAME))
    ring.offer(0)


def buffer_at_zero(_, ring, good):
    ring.write_desc(0, 0, len(FRAME))
    ring.offer(0)


def buffer_at_the_top_of_the_address_space(_, ring, good):
    ring.write_desc(0, 2**64 - 8, len(FRAME))
    ring.offer(0)


def buffer_crosses_the_end(driver, ring, good):
    ring.write_desc(0, driver.buffers.iova + driver.buffers.size - 20, len(FRAME))
    ring.offer(0)


def second_piece_outside_memory(_, ring, good):
    ring.write_desc(0, good, 40, DESC_NEXT, 1)
    ring.write_desc(1, OUT_OF_MEMORY, 60)
    ring.offer(0)


def indirect_length_odd(driver, ring, good):
    ring.write_desc(0, driver.store(desc(good, len(FRAME))), 17, DESC_INDIRECT)
    ring.offer(0)


def indirect_length_zero(driver, ring, good):
    ring.write_desc(0, driver.store(desc(good, len(FRAME))), 0, DESC_INDIRECT)
    ring.offer(0)


def indirect_length_huge(driver, ring, good):
    ring.write_desc(0, driver.store(desc(good, len(FRAME))), 0xfffffff0, DESC_INDIRECT)
    ring.offer(0)


def indirect_outside_memory(_, ring, good):
    ring.write_desc(0, OUT_OF_MEMORY, 32, DESC_INDIRECT)
    ring.offer(0)


def indirect_crosses_the_end(driver, ring, good):
    ring.write_desc(0, driver.buffers.iova + driver.buffers.size - 16, 32, DESC_INDIRECT)
    ring.offer(0)


def indirect_in_indirect(driver, ring, good):
    inner = driver.store(desc(good, len(FRAME)))
    ring.write_desc(0, driver.store(desc(inner, 16, DESC_INDIRECT)), 16, DESC_INDIRECT)
    ring.offer(0)


def indirect_of_itself(driver, ring, good):
    table = driver.buffers.allocate(16)
    driver.buffers.write(table, desc(table, 16, DESC_INDIRECT))
    ring.write_desc(0, table, 16, DESC_INDIRECT)
    ring.offer(0)


def indirect_loop(driver, ring, good):
    table = driver.store(desc(good, 4, DESC_NEXT, 1) + desc(good, 4, DESC_NEXT, 0))
    ring.write_desc(0, table, 32, DESC_INDIRECT)
    ring.offer(0)


def indirect_next_out_of_range(driver, ring, good):
    ring.write_desc(0, driver.store(desc(good, 4, DESC_NEXT, 1)), 16, DESC_INDIRECT)
    ring.offer(0)


def indirect_with_next(driver, ring, good):
    ring.write_desc(0, driver.store(desc(good, len(FRAME))), 16, DESC_INDIRECT | DESC_NEXT, 1)
    ring.write_desc(1, good, 4)
    ring.offer(0)


def indirect_longer_than_any_chain(driver, ring, good):
    table = b"".join(desc(good, 1, DESC_NEXT, n + 1) for n in range(4095)) + desc(good, 1)
    ring.write_desc(0, driver.store(table), len(table), DESC_INDIRECT)
    ring.offer(0)


ANY_QUEUE = [loop_of_one, loop_of_two, loop_through_all, head_out_of_range, head_far_out_of_range,
             next_out_of_range, next_far_out_of_range, index_ahead_of_the_ring, index_behind,
             index_half_way_round, indirect_length_odd, indirect_length_zero,
             indirect_outside_memory, indirect_in_indirect, indirect_of_itself, indirect_loop,
             indirect_next_out_of_range, indirect_longer_than_any_chain]
# Wrong only beyond what the chain uses: the device may find the table's beginning good enough.
SUSPICIOUS = [indirect_length_huge, indirect_crosses_the_end]
WITH_BUFFERS = [buffer_outside_memory, buffer_at_zero, buffer_at_the_top_of_the_address_space,
                buffer_crosses_the_end, second_piece_outside_memory]


@pytest.mark.parametrize("trap", ANY_QUEUE + WITH_BUFFERS, ids=lambda trap: trap.__name__)
def test_transmit_queue_with(driver, far, device, trap):
    driver.start()
    trap(driver, driver.rings[TX], driver.store(FRAME))
    driver.kick(TX)
    stops(driver)
    assert driver.interrupted(0), "a configuration interrupt tells the driver"
    recovers(driver, far, device)


@pytest.mark.parametrize("queue", ["RX", "TX", "control"])
@pytest.mark.parametrize("trap", SUSPICIOUS, ids=lambda trap: trap.__name__)
def test_queue_that_is_suspicious_harms_nobody(driver, far, device, trap, queue):
    driver.start(rx_buffers=0)
    number = {"RX": RX, "TX": TX, "control": driver.ctrl}[queue]
    ring = driver.rings[number]
    trap(driver, ring, driver.store(FRAME))
    driver.kick(number)

    def reaction():
        far.send(frame(device.mac, bytes(200)))
        return driver.needs_reset() or ring.used_idx() > 0
    wait_for(reaction, "reaction")
    recovers(driver, far, device)


def writable(ring):
    """Make every descriptor of a ring device-writable, so that only the trap itself is wrong."""
    for slot in range(ring.size):
        place = ring.desc + 16 * slot
        iova, length, flags, following = struct.unpack("<QIHH", ring.memory.read(place, 16))
        if length and not flags & DESC_INDIRECT:
            ring.write_desc(slot, iova, length, flags | DESC_WRITE, following)


@pytest.mark.parametrize("trap", ANY_QUEUE + WITH_BUFFERS, ids=lambda trap: trap.__name__)
def test_receive_queue_with(driver, far, device, trap):
    driver.start(rx_buffers=0)
    ring = driver.rings[RX]
    trap(driver, ring, driver.store(bytes(len(FRAME))))
    writable(ring)
    driver.kick(RX)
    stops(driver, far, device)
    recovers(driver, far, device)


@pytest.mark.parametrize("trap", ANY_QUEUE + WITH_BUFFERS, ids=lambda trap: trap.__name__)
def test_control_queue_with(driver, far, device, trap):
    driver.start()
    trap(driver, driver.rings[driver.ctrl], driver.store(bytes(len(FRAME))))
    driver.kick(driver.ctrl)
    stops(driver)
    recovers(driver, far, device)


def test_indirect_table_that_was_not_negotiated(driver, far, device):
    driver.start(BASIC_FEATURES & ~F_INDIRECT_DESC)
    table = driver.store(desc(driver.store(FRAME), len(FRAME)))
    driver.submit(TX, [(table, 16, DESC_INDIRECT)])
    stops(driver)
    recovers(driver, far, device)


@pytest.mark.parametrize("chain", [
    [(0, 12, 0), (12, 100, DESC_WRITE), (112, 2, 0)],
    [(0, 4, 0)],
    [(0, 12, 0)],
    [(0, 13, 0)],
    [(0, 0, 0)],
    [(0, 0, 0), (0, 0, 0), (0, 12, 0), (12, 0, 0)],
    [(0, 114, DESC_WRITE)],
    [(0, 0xffffffff, 0)],
    [(0, 114, 0x8000)],
    [(0, 12, 0)] + [(12, 2000, 0)] * 60,
], ids=["readable after writable", "half a header", "header alone", "one byte", "nothing",
        "empty pieces", "writable", "4 GiB", "unknown flag", "larger than any packet"])
def test_transmit_chain_of_odd_shape_harms_nobody(driver, far, device, chain):
    driver.start()
    good = driver.store(FRAME + bytes(4096))
    driver.submit(TX, [(good + offset, length, flags) for offset, length, flags in chain])
    wait_for(lambda: driver.needs_reset() or driver.rings[TX].used_idx() == 1, "reaction")
    recovers(driver, far, device)


@pytest.mark.parametrize("chain", [
    [(0, 2048, 0)], [(0, 11, DESC_WRITE)], [(0, 12, DESC_WRITE)], [(0, 0, DESC_WRITE)],
    [(0, 1, DESC_WRITE)], [(0, 12, 0), (12, 2000, DESC_WRITE)],
    [(0, 12, DESC_WRITE), (12, 2000, 0)],
], ids=["readable", "half a header", "header alone", "nothing", "one byte", "readable header",
        "readable tail"])
def test_receive_chain_of_odd_shape_harms_nobody(driver, far, device, chain):
    driver.start(rx_buffers=0)
    good = driver.buffers.allocate(4096)
    driver.submit(RX, [(good + offset, length, flags) for offset, length, flags in chain])
    live(driver, far)
    for _ in range(3):
        far.send(frame(device.mac, bytes(200)))
    driver.client.info()
    recovers(driver, far, device)


@pytest.mark.parametrize("header", [
    b"\xff" * 12,
    struct.pack("<BBHHHHH", 1, 0, 0, 0, 0xffff, 0xffff, 0),      # checksum past the end
    struct.pack("<BBHHHHH", 1, 0, 0, 0, 14, 0xffff, 0),
    struct.pack("<BBHHHHH", 0, 1, 54, 0, 34, 16, 0),             # TSO with MSS 0, without checksum
    struct.pack("<BBHHHHH", 1, 1, 54, 0, 34, 16, 0),             # TSO with MSS 0
    struct.pack("<BBHHHHH", 1, 1, 0xffff, 1, 34, 16, 0),         # MSS 1, header length past the end
    struct.pack("<BBHHHHH", 1, 0x7f, 54, 1000, 34, 16, 0),       # unknown segmentation
    struct.pack("<BBHHHHH", 1, 3, 14, 8, 34, 6, 0),              # UFO
    struct.pack("<BBHHHHH", 0, 0, 0, 0, 0, 0, 0xffff),
], ids=range(9))
def test_frame_with_a_nonsensical_header_is_given_back(driver, far, device, header):
    driver.start(BASIC_FEATURES | 1 | 1 << 11 | 1 << 12)  # with transmit offloads
    driver.post_frame(frame(BROADCAST, bytes(100)), header=header)
    driver.wait_used(TX, "frame given back")
    far.drain()
    exchange(driver, far, device.mac)


@pytest.mark.parametrize("area", ["queue_desc", "queue_driver", "queue_device"])
@pytest.mark.parametrize("iova", [0, OUT_OF_MEMORY, 0x40000000 + (1 << 20) - 16, 2**64 - 16,
                                  0x40000001])
def test_ring_area_that_cannot_be_used_is_refused_or_stops_the_device(driver, far, device, area, iova):
    registers = driver.registers
    driver.start(rx_buffers=0)
    features = driver.features
    registers.reset()
    registers.set("device_status", 3)
    registers.accept_features(features)
    registers.set("device_status", 11)
    driver.set_up_queue(RX, 64)
    driver.set_up_queue(TX, 64)
    registers.set(area, iova)
    for queue in (RX, TX):
        registers.set("queue_select", queue)
        registers.set("queue_enable", 1)
        enabled = registers.get("queue_enable")
    registers.set("device_status", 15)
    driver.kick(TX)
    if enabled:
        stops(driver)
    recovers(driver, far, device)


def test_rings_on_top_of_each_other(driver, far, device):
    registers = driver.registers
    driver.start(rx_buffers=0)
    driver.registers.reset()
    registers.set("device_status", 3)
    registers.accept_features(driver.features)
    registers.set("device_status", 11)
    for queue in (RX, TX):
        driver.set_up_queue(queue, 256)
        for area in ("queue_desc", "queue_driver", "queue_device"):
            registers.set(area, driver.memory.iova)
        registers.set("queue_enable", 1)
    registers.set("device_status", 15)
    driver.memory.map[:65536] = os.urandom(65536)
    for _ in range(20):
        driver.kick(RX)
        driver.kick(TX)
        far.send(frame(device.mac, bytes(100)))
    recovers(driver, far, device)


def test_random_rings(driver, far, device):
    """Every byte of all rings random, again and again."""
    for seed in range(40):
        driver.start(rx_buffers=0)
        ring_bytes = driver.memory.used
        driver.memory.map[:ring_bytes] = os.urandom(ring_bytes)
        for queue in driver.rings:
            driver.kick(queue)
        far.send(frame(device.mac, bytes(60 + seed)))
        driver.client.info()
    recovers(driver, far, device)


def test_plausible_random_rings(driver, far, device):
    """Descriptors that mostly make sense: deep into the code before something is wrong."""
    rng = random.Random(7)
    for _ in range(60):
        driver.start(rx_buffers=0)
        for queue in driver.rings:
            ring = driver.rings[queue]
            for slot in range(ring.size):
                iova = driver.buffers.iova + rng.randrange(0, driver.buffers.size - 3000)
                ring.write_desc(slot, iova, rng.choice([0, 1, 11, 12, 26, 100, 1500, 3000]),
                                rng.choice([0, 0, 1, 1, 2, 3, 4]), rng.randrange(0, ring.size + 1))
            for slot in range(ring.size):
                driver.memory.store16(ring.avail + 4 + 2 * slot, rng.randrange(0, ring.size))
            ring.publish(rng.randrange(0, ring.size + 1))
            driver.kick(queue)
        for size in (60, 300, 1500):
            far.send(frame(device.mac, bytes(size - 14)))
        driver.client.info()
    recovers(driver, far, device)


def test_descriptors_that_change_while_they_are_read(driver, far, device):
    """The device has to copy once, then check: what it checked is what it uses."""
    driver.start()
    ring = driver.rings[TX]
    good = driver.store(FRAME)
    for _ in range(400):
        ring.write_desc(0, good, len(FRAME))
        ring.offer(0)
        driver.kick(TX)
        for iova, length in ((OUT_OF_MEMORY, len(FRAME)), (good, 0xffffffff), (good, len(FRAME))):
            ring.write_desc(0, iova, length)
        if driver.rings[TX].avail_idx % 50 == 0 and driver.needs_reset():
            driver.start()
            ring = driver.rings[TX]
            good = driver.store(FRAME)
    recovers(driver, far, device)


# --- memory and registers pulled away -------------------------------------------------------------

def test_reset_during_traffic(driver, far, device):
    for n in range(20):
        driver.start()
        for _ in range(16):
            driver.post_frame(frame(BROADCAST, bytes(1000)))
            far.send(frame(device.mac, bytes(1000)))
        if n % 2:
            driver.client.reset()
        else:
            driver.registers.reset()
    recovers(driver, far, device)


def test_rings_unmapped_under_the_device(driver, far, device):
    driver.start()
    exchange(driver, far, device.mac)
    driver.memory.unmap()
    driver.memory.map[:] = b"\xa5" * driver.memory.size
    for _ in range(10):
        far.send(frame(device.mac, bytes(100)))
        driver.kick(TX)
    driver.client.info()
    assert driver.memory.map[:] == b"\xa5" * driver.memory.size, "written after the unmap's answer"
    driver.client.dma_map(driver.memory.iova, driver.memory.size, driver.memory.fd)
    recovers(driver, far, device)


def test_buffers_unmapped_during_traffic(driver, far, device):
    driver.start()
    exchange(driver, far, device.mac)
    driver.buffers.unmap()
    driver.buffers.map[:] = b"\xa5" * driver.buffers.size
    driver.submit(TX, [(driver.buffers.iova, 100, 0)])
    far.send(frame(device.mac, bytes(100)))
    stops(driver)
    assert driver.buffers.map[:] == b"\xa5" * driver.buffers.size, "written after the unmap"
    driver.client.dma_map(driver.buffers.iova, driver.buffers.size, driver.buffers.fd)
    recovers(driver, far, device)


def test_all_memory_unmapped_and_mapped_again_as_a_bios_does(driver, far, device):
    driver.start()
    for _ in range(20):
        exchange(driver, far, device.mac)
        driver.client.dma_unmap(0, 0, vu.UNMAP_ALL)
        for memory in (driver.memory, driver.buffers):
            driver.client.dma_map(memory.iova, memory.size, memory.fd)
        recovers(driver, far, device)


def test_other_memory_comes_and_goes_under_traffic(driver, far, device):
    driver.start()
    for n in range(30):
        other = GuestMemory(driver.client, iova=(n + 16) << 32)
        exchange(driver, far, device.mac)
        other.unmap()
        other.close()
        exchange(driver, far, device.mac)


def test_bus_mastering_off_and_on_under_traffic(driver, far, device):
    driver.start()
    for _ in range(10):
        for _ in range(4):
            driver.post_frame(frame(BROADCAST, bytes(500)))
            far.send(frame(device.mac, bytes(500)))
        driver.registers.config.set_command(pci.COMMAND_MEMORY)
        driver.registers.config.enable()
    recovers(driver, far, device)


@pytest.mark.parametrize("which", ["buffers", "memory"])
def test_file_truncated_under_the_device(client, far, device, reconnect, which):
    driver = VirtioNet(client, GuestMemory(client), GuestMemory(client, iova=0x80000000))
    driver.start()
    exchange(driver, far, device.mac)
    doomed = getattr(driver, which)
    if which == "buffers":
        driver.rings[TX].offer(driver.rings[TX].add([(doomed.iova, 100, 0)]))
    os.ftruncate(doomed.fd, 0)
    for _ in range(3):
        driver.kick(TX)
        far.send(frame(device.mac, bytes(100)))
    stops(driver)
    client.close()
    fresh = reconnect()
    driver = VirtioNet(fresh, GuestMemory(fresh))
    recovers(driver, far, device)
    driver.close()


def test_descriptor_area_read_only_is_fine_but_used_ring_read_only_is_not(client, far, device):
    driver = VirtioNet(client, GuestMemory(client), GuestMemory(client, iova=0x80000000))
    client.dma_unmap(driver.memory.iova, driver.memory.size)
    client.dma_map(driver.memory.iova, driver.memory.size, driver.memory.fd, flags=vu.PROT_READ)
    driver.start(rx_buffers=0)
    driver.kick(TX)
    stops(driver)
    client.dma_unmap(driver.memory.iova, driver.memory.size)
    client.dma_map(driver.memory.iova, driver.memory.size, driver.memory.fd)
    recovers(driver, far, device)
    driver.close()


def test_received_frame_into_read_only_memory(driver, far, device):
    driver.start(rx_buffers=0)
    other = GuestMemory(driver.client, iova=1 << 40)
    driver.client.dma_unmap(other.iova, other.size)
    driver.client.dma_map(other.iova, other.size, other.fd, flags=vu.PROT_READ)
    driver.submit(RX, [(other.iova, 2048, DESC_WRITE)])
    stops(driver, far, device)
    assert other.read(other.iova, 4096) == bytes(4096)
    other.close()
    recovers(driver, far, device)


def test_storm_of_kicks(driver, far, device):
    driver.start()
    start = time.monotonic()
    for _ in range(20000):
        driver.kick(TX)
    driver.client.info()
    assert time.monotonic() - start < 30
    exchange(driver, far, device.mac)


def test_storm_of_status_writes(driver, far, device):
    registers = driver.registers
    for status in list(range(256)) * 2:
        registers.set("device_status", status)
    recovers(driver, far, device)


@pytest.mark.parametrize("queue", [3, 4, 5, 0xffff])
def test_reset_of_a_ring_beyond_those_of_a_driver_without_multiqueue(driver, far, device, queue):
    """Queue 4 is the control queue of two pairs; without MQ there is one, and that is queue 2."""
    registers = driver.registers
    registers.config.enable()
    registers.reset()
    registers.set("device_status", 3)
    registers.accept_features((BASIC_FEATURES & ~F_MQ | F_RING_RESET) & registers.features())
    assert registers.features("driver") & F_RING_RESET
    registers.set("device_status", 11)
    for number in {RX, TX, queue}:
        driver.set_up_queue(number, 64)
        registers.set("queue_enable", 1)
    registers.set("device_status", 15)
    driver.post_frame(frame(BROADCAST, bytes(100)))
    driver.wait_used(TX)
    registers.set("queue_select", queue)
    registers.set("queue_reset", 1)
    driver.client.info()
    recovers(driver, far, device)


# --- what a client can make the controller wait for -----------------------------------------------

def others_are_served(lab):
    """In seconds: the control lcore answers, the helper starts a driver, the worker forwards."""
    begin = time.monotonic()
    try:
        lab.witness.client.info()
        lab.witness.driver.start()
        lab.witness.far.drain()
        lab.witness.check()
    except BaseException:
        lab.witness.client.close()  # in the middle of something: a new one for the next test
        raise
    assert time.monotonic() - begin < SOON_S


def set_nonblocking(fd, on):
    flags = fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | (os.O_NONBLOCK if on else 0))


@contextlib.contextmanager
def full_and_blocking(eventfds):
    """Eventfds to which a write() sleeps; whoever did so is woken at the end."""
    for fd in eventfds:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(fd)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(fd, 2**64 - 2)
        set_nonblocking(fd, False)
    try:
        yield
    finally:
        for fd in eventfds:
            set_nonblocking(fd, True)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(fd)


def test_full_eventfd_that_blocks_and_is_fired_for_the_client(client, lab):
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    client.set_eventfds(vu.IRQ_MSIX, 0, [fd])
    with full_and_blocking([fd]):
        client.send(vu.SET_IRQS, vu.irqs_body(vu.IRQ_MSIX, vu.DATA_NONE | vu.ACTION_TRIGGER, 0, 1))
        others_are_served(lab)
        assert client.receive().command == vu.SET_IRQS
    os.close(fd)


def test_full_eventfds_that_block_and_are_fired_for_frames_and_commands(driver, far, device, lab):
    driver.start()
    exchange(driver, far, device.mac)
    with full_and_blocking(driver.interrupts.values()):
        for _ in range(3):
            driver.post_frame(frame(BROADCAST, bytes(100)))
            driver.submit(driver.ctrl, [(driver.store(b"\0\0\1"), 3, 0),
                                        (driver.buffers.allocate(1), 1, DESC_WRITE)])
            far.send(frame(device.mac, bytes(100)))
        others_are_served(lab)
    recovers(driver, far, device)


@contextlib.contextmanager
def lingering_socket():
    """A socket whose last close() sleeps for longer than a test may: what it has to send is not
    taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 2 * SOON_S))
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65536))
    try:
        yield sock
    finally:
        peer.close()  # with bytes unread: a reset, and nobody lingers any more
        sock.close()


@pytest.mark.parametrize("command, body", [
    (vu.DMA_MAP, vu.dma_map_body(0x100000, 0x1000)),
    (vu.SET_IRQS, vu.irqs_body(vu.IRQ_MSIX, vu.DATA_EVENTFD | vu.ACTION_TRIGGER, 0, 1)),
    (vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)),
], ids=["memory", "eventfd", "surplus"])
def test_descriptor_whose_close_blocks(client, lab, command, body):
    with lingering_socket() as sock:
        _, message = client.message(command, body)
        client.send_raw(message[:8], [sock.fileno()])
        time.sleep(0.05)
        sock.close()
        client.send_raw(message[8:])
        others_are_served(lab)
        assert client.receive().command == command


def test_descriptor_whose_close_blocks_of_a_client_that_goes(client, lab):
    with lingering_socket() as sock:
        client.send_raw(client.message(vu.GET_INFO)[1][:8], [sock.fileno()])
        sock.close()
        client.close()
        others_are_served(lab)


def test_fifo_to_validate_is_refused_at_once(lab):
    fifo = lab.folder / "fifo"
    os.mkfifo(fifo)
    begin = time.monotonic()
    answer = lab.controller.cli("validate", "-f", fifo)
    assert answer.status != 0 and "Invalid argument" in answer.stdout + answer.stderr
    assert time.monotonic() - begin < SOON_S
    fifo.unlink()


# --- what a client can use up ---------------------------------------------------------------------

@pytest.mark.parametrize("features", [BASIC_FEATURES, F_VERSION_1 | F_MAC],
                         ids=["with control queue", "data queues alone"])
def test_no_descriptor_left_for_a_queue(driver, far, device, lab, features, monkeypatch):
    """The device must not look alive with a queue that nobody serves."""
    pid = Group(lab.controller).active()
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    original = driver.registers.set

    def set_register(name, value):
        if name == "device_status" and value == 15:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, usual[1]))
        original(name, value)
    with monkeypatch.context() as patch:
        patch.setattr(driver.registers, "set", set_register)
        try:
            driver.start(features)
            stops(driver)
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
    recovers(driver, far, device)
    assert driver.control(0, 0, b"\1") == CTRL_OK, "the control queue, too"


def log_lines(lab, text=""):
    return [line for line in lab.controller.log().splitlines() if text in line]


def test_client_that_connects_in_a_loop_does_not_flood_the_log(device, lab):
    before = len(log_lines(lab))
    for _ in range(500):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(device.socket))
    connect(device.socket).close()
    assert len(log_lines(lab)) - before < 50


def test_memory_that_is_not_shared_is_warned_about_once(client, lab):
    text = "does not share its memory"
    before = len(log_lines(lab, text))
    client.dma_map(0, 1 << 20)
    assert len(log_lines(lab, text)) == before, "a ROM"
    client.dma_map(1 << 30, 64 << 20)
    client.dma_map(2 << 30, 64 << 20)
    assert len(log_lines(lab, text)) == before + 1
