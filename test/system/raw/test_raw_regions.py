# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Device, region and interrupt descriptions; accesses within regions and past their ends."""

import errno
import os
import struct

import pytest

import vfio_user_client as vu
from vfio_user_client import REGION_CONFIG, ServerError, access_body, irqs_body

EVENTFD_TRIGGER = vu.DATA_EVENTFD | vu.ACTION_TRIGGER
NONE_TRIGGER = vu.DATA_NONE | vu.ACTION_TRIGGER
BOOL_TRIGGER = vu.DATA_BOOL | vu.ACTION_TRIGGER


def test_device_is_pci_with_reset_and_everything_that_qemu_asks_for(client):
    flags, regions, irqs = client.info()
    assert flags & 3 == 3
    assert regions >= 8
    assert irqs >= 3


def test_regions_are_described(client):
    assert client.region_info(REGION_CONFIG) == (3, 4096)
    sizes = [client.region_info(bar)[1] for bar in range(6)]
    assert sum(size > 0 for size in sizes) == 2, "registers, and MSI-X in a BAR of its own"
    for size in sizes:
        assert size & (size - 1) == 0


def test_interrupts_are_described_without_noresize(client):
    assert client.irq_info(vu.IRQ_INTX) in ((7, 1), (0, 0))
    flags, count = client.irq_info(vu.IRQ_MSIX)
    assert flags == 1 and count >= 4, "NORESIZE makes QEMU lose interrupts"
    assert client.irq_info(vu.IRQ_MSI)[1] == 0


@pytest.mark.parametrize("index", [9, 10, 255, 0x7fffffff, 0xffffffff])
def test_region_that_does_not_exist_has_no_description(client, index):
    body = struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0)
    assert client.error(vu.GET_REGION_INFO, body) == errno.EINVAL


@pytest.mark.parametrize("index", [5, 6, 255, 0xffffffff])
def test_interrupt_that_does_not_exist_has_no_description(client, index):
    body = struct.pack("<IIII", 16, 0, index, 0)
    assert client.error(vu.GET_IRQ_INFO, body) == errno.EINVAL


def wrong_accesses(size):
    """(offset, count) that leave a region of this size, or are none."""
    return [(size, 1), (size - 1, 2), (size - 4, 8), (0, size + 1), (size + 4096, 4), (0, 0),
            (1 << 63, 4), (2**64 - 1, 1), (2**64 - 4, 8), (2**64 - 1, 4096), (0, 0xffffffff),
            (0, 4097)]


@pytest.mark.parametrize("case", range(len(wrong_accesses(4096))))
@pytest.mark.parametrize("region", ["config", "registers", "msix"])
def test_access_that_leaves_its_region_is_refused(client, region, case):
    index = {"config": REGION_CONFIG, "registers": 0, "msix": 2}[region]
    offset, count = wrong_accesses(client.region_info(index)[1])[case]
    assert client.error(vu.REGION_READ, access_body(index, offset, count)) == errno.EINVAL
    if count <= 8:
        body = access_body(index, offset, count, bytes(max(count, 1)))
        assert client.error(vu.REGION_WRITE, body) == errno.EINVAL
    assert client.info()[1] >= 8


@pytest.mark.parametrize("region", [1, 3, 4, 5, 6, 8, 9, 100, 0xffffffff])
def test_access_to_a_region_that_is_not_there_is_refused(client, region):
    assert client.error(vu.REGION_READ, access_body(region, 0, 4)) == errno.EINVAL
    assert client.error(vu.REGION_WRITE, access_body(region, 0, 4, bytes(4))) == errno.EINVAL


@pytest.mark.parametrize("count, data", [(4, 3), (4, 5), (1, 4096), (4096, 1), (0, 4),
                                         (0xffffffff, 4)])
def test_write_whose_count_is_not_its_data_is_refused(client, count, data):
    body = access_body(REGION_CONFIG, 0, count, bytes(data))
    assert client.error(vu.REGION_WRITE, body) == errno.EINVAL


def test_whole_configuration_space_is_read_at_once(client):
    assert client.read(REGION_CONFIG, 0, 4096)[:4] == b"\xf4\x1a\x41\x10"


@pytest.mark.parametrize("offset", [0, 1, 3, 0x3f, 0xff, 0xfff, 0x1000, 0x2001, 0x3ffc])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 64])
def test_register_access_of_odd_width_or_place_is_answered(client, offset, count):
    size = client.region_info(0)[1]
    if offset + count > size:
        return
    assert len(client.read(0, offset, count)) == count
    client.write(0, offset, bytes(count))  # zeros: resets at worst


def multi(*writes):
    return struct.pack("<Q", len(writes)) + b"".join(
        struct.pack("<QII8s", offset, region, count, data) for region, offset, count, data in writes)


def test_write_multi_carries_out_each_write(client):
    body = multi((REGION_CONFIG, 0x3c, 1, b"\x11"), (REGION_CONFIG, 0x0c, 1, b"\x10"))
    assert client.request(vu.REGION_WRITE_MULTI, body)[:8] == struct.pack("<Q", 2)
    assert client.read(REGION_CONFIG, 0x3c, 1) == b"\x11"


@pytest.mark.parametrize("body", [
    multi(),
    multi((REGION_CONFIG, 0x3c, 9, b"")),
    multi((REGION_CONFIG, 0x3c, 0, b"")),
    multi((REGION_CONFIG, 4095, 2, b"")),
    multi((99, 0, 1, b"")),
    struct.pack("<Q", 2) + multi((REGION_CONFIG, 0x3c, 1, b"\x22"))[8:],
    struct.pack("<Q", 2**61) + multi((REGION_CONFIG, 0x3c, 1, b"\x22"))[8:],
    multi((REGION_CONFIG, 0x3c, 1, b"\x22"), (REGION_CONFIG, 5000, 1, b"")),
], ids=range(8))
def test_malformed_write_multi_changes_nothing(client, body):
    client.write(REGION_CONFIG, 0x3c, b"\x07")
    assert client.error(vu.REGION_WRITE_MULTI, body) == errno.EINVAL
    assert client.read(REGION_CONFIG, 0x3c, 1) == b"\x07"


# --- interrupts -----------------------------------------------------------------------------------

WRONG_IRQS = {
    "no data and no action": irqs_body(2, 0, 0, 1),
    "no action": irqs_body(2, vu.DATA_NONE, 0, 1),
    "no data": irqs_body(2, vu.ACTION_TRIGGER, 0, 1),
    "two kinds of data": irqs_body(2, vu.DATA_NONE | vu.DATA_BOOL | vu.ACTION_TRIGGER, 0, 1, b"\1"),
    "two actions": irqs_body(2, vu.DATA_NONE | vu.ACTION_MASK | vu.ACTION_TRIGGER, 0, 1),
    "unknown flags": irqs_body(2, NONE_TRIGGER | 0x40, 0, 1),
    "all flags": irqs_body(2, 0xffffffff, 0, 1),
    "unknown index": irqs_body(5, NONE_TRIGGER, 0, 1),
    "huge index": irqs_body(0xffffffff, NONE_TRIGGER, 0, 1),
    "MSI, which is not there": irqs_body(1, NONE_TRIGGER, 0, 1),
    "start past the end": irqs_body(2, NONE_TRIGGER, 2048, 1),
    "count past the end": irqs_body(2, NONE_TRIGGER, 0, 2049),
    "start + count wraps": irqs_body(2, NONE_TRIGGER, 1, 0xffffffff),
    "both huge": irqs_body(2, NONE_TRIGGER, 0xffffffff, 0xffffffff),
    "count 0 but not 'disable'": irqs_body(2, EVENTFD_TRIGGER, 0, 0),
    "masking, which MSI-X lacks": irqs_body(2, vu.DATA_NONE | vu.ACTION_MASK, 0, 1),
    "too few bools": irqs_body(2, BOOL_TRIGGER, 0, 2, b"\1"),
    "too many bools": irqs_body(2, BOOL_TRIGGER, 0, 1, b"\1\1"),
    "data that nobody announced": irqs_body(2, NONE_TRIGGER, 0, 1, b"\1"),
    "argsz too small": irqs_body(2, NONE_TRIGGER, 0, 1, argsz=19),
    "argsz too large": irqs_body(2, NONE_TRIGGER, 0, 1, argsz=21),
}


@pytest.mark.parametrize("case", WRONG_IRQS)
def test_set_irqs_is_refused_for(client, case):
    assert client.error(vu.SET_IRQS, WRONG_IRQS[case]) == errno.EINVAL


@pytest.mark.parametrize("count, fds", [(1, 2), (2, 1), (1, 16), (3, 2), (15, 16)])
def test_set_irqs_with_missing_or_surplus_descriptors_is_refused(client, count, fds):
    vector = os.eventfd(0)
    body = irqs_body(vu.IRQ_MSIX, EVENTFD_TRIGGER, 0, min(count, client.irq_info(2)[1]))
    assert client.error(vu.SET_IRQS, body, fds=[vector] * fds) == errno.EINVAL
    os.close(vector)


@pytest.mark.parametrize("flags", [NONE_TRIGGER, BOOL_TRIGGER])
def test_descriptors_without_eventfd_flag_are_refused(client, flags):
    vector = os.eventfd(0)
    data = b"\1" if flags == BOOL_TRIGGER else b""
    assert client.error(vu.SET_IRQS, irqs_body(2, flags, 0, 1, data), [vector]) == errno.EINVAL
    os.close(vector)


@pytest.mark.parametrize("kind", ["memfd", "pipe", "null", "folder", "socket"])
@pytest.mark.parametrize("index", [vu.IRQ_MSIX, vu.IRQ_INTX])
def test_interrupt_descriptor_that_is_no_eventfd_is_refused(client, index, kind):
    if client.irq_info(index)[1] == 0:
        pytest.skip("the device lacks this interrupt")
    opened = {"memfd": lambda: [os.memfd_create("x")],
              "pipe": lambda: list(os.pipe())[::-1],
              "null": lambda: [os.open("/dev/null", os.O_RDWR)],
              "folder": lambda: [os.open("/tmp", os.O_RDONLY)],
              "socket": lambda: [os.dup(client.sock.fileno())]}[kind]()
    code = client.error(vu.SET_IRQS, irqs_body(index, EVENTFD_TRIGGER, 0, 1), [opened[0]])
    for fd in opened:
        os.close(fd)
    assert code == errno.EINVAL


def test_interrupt_is_fired_through_its_eventfd(client):
    vectors = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
    client.set_eventfds(vu.IRQ_MSIX, 0, vectors)
    client.set_irqs(vu.IRQ_MSIX, BOOL_TRIGGER, 0, 2, data=b"\0\1")
    assert os.eventfd_read(vectors[1]) == 1
    with pytest.raises(BlockingIOError):
        os.eventfd_read(vectors[0])
    client.set_irqs(vu.IRQ_MSIX, NONE_TRIGGER, 0, 0)  # disable all
    for fd in vectors:
        os.close(fd)


def test_full_eventfd_does_not_stop_the_device(client):
    vector = os.eventfd(0)
    os.eventfd_write(vector, 2**64 - 2)
    client.set_eventfds(vu.IRQ_MSIX, 0, [vector])
    for _ in range(3):
        client.set_irqs(vu.IRQ_MSIX, NONE_TRIGGER, 0, 1)
    assert client.info()[1] >= 8
    os.close(vector)


def test_vectors_are_attached_one_by_one_as_qemu_does(client):
    client.set_irqs(vu.IRQ_MSIX, EVENTFD_TRIGGER, 0, 1)  # first without a descriptor
    vector = os.eventfd(0, os.EFD_NONBLOCK)
    for start in range(client.irq_info(vu.IRQ_MSIX)[1]):
        client.set_eventfds(vu.IRQ_MSIX, start, [vector])
    client.set_irqs(vu.IRQ_MSIX, NONE_TRIGGER, 0, 0)
    os.close(vector)


def test_error_and_request_interrupts_are_taken(client):
    vector = os.eventfd(0, os.EFD_NONBLOCK)
    for index in (3, 4):
        if client.irq_info(index)[1]:
            client.set_eventfds(index, 0, [vector])
            client.set_irqs(index, NONE_TRIGGER, 0, 0)
    os.close(vector)


def test_refusal_is_an_exception_for_the_tests_own_sake(client):
    with pytest.raises(ServerError) as caught:
        client.read(99, 0, 4)
    assert caught.value.code == errno.EINVAL
