# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Framing: sizes, flags, order, descriptors, connections - whatever the command is."""

import errno
import os
import random
import socket
import struct
import time

import pytest

import vfio_user_client as vu
from vfio_user_client import HEADER, Client, Disconnected, access_body, dma_map_body

XFER_MAX = 4096
# command: (smallest body, largest body)
BODY_SIZES = {
    vu.DMA_MAP: (32, 32),
    vu.DMA_UNMAP: (24, 24),
    vu.GET_INFO: (16, 16),
    vu.GET_REGION_INFO: (32, 32),
    vu.GET_IRQ_INFO: (16, 16),
    vu.SET_IRQS: (20, 20),
    vu.REGION_READ: (16, 16),
    vu.REGION_WRITE: (17, 16 + XFER_MAX),
    vu.DEVICE_RESET: (0, 0),
    vu.REGION_WRITE_MULTI: (32, 8192),
}
WRONG_SIZES = [(command, size) for command, (low, high) in BODY_SIZES.items()
               for size in sorted({0, 1, low // 2, low - 4, low - 1, high + 1, high + 4, 2 * high,
                                   8192, 8191})
               if 0 <= size <= 8192 and not low <= size <= high]
UNSUPPORTED = [0, vu.GET_REGION_IO_FDS, vu.DIRTY_PAGES, vu.DEVICE_FEATURE, vu.MIG_DATA_READ,
               vu.MIG_DATA_WRITE, 19, 255, 4096, 65535]


def serves(client):
    """The connection still works."""
    assert client.info()[1] >= 8


@pytest.mark.parametrize("command, size", WRONG_SIZES)
def test_body_of_the_wrong_size_is_refused(client, command, size):
    # argsz says what was sent, so that only the size of the message is wrong
    body = (struct.pack("<I", size) + bytes(size))[:size]
    assert client.error(command, body) == errno.EINVAL
    serves(client)


@pytest.mark.parametrize("argsz", [0, 1, 15, 31])
@pytest.mark.parametrize("command", [vu.GET_INFO, vu.GET_REGION_INFO, vu.GET_IRQ_INFO])
def test_argsz_without_room_for_the_answer_is_refused(client, command, argsz):
    size = BODY_SIZES[command][0]
    if argsz < size:
        assert client.error(command, struct.pack("<I", argsz) + bytes(size - 4)) == errno.EINVAL
    serves(client)


@pytest.mark.parametrize("command", UNSUPPORTED)
@pytest.mark.parametrize("size", [0, 8, 64, 8192])
def test_command_that_is_not_supported(client, command, size):
    assert client.error(command, bytes(size)) == errno.ENOTSUP
    serves(client)


@pytest.mark.parametrize("command", [vu.DMA_READ, vu.DMA_WRITE])
def test_command_of_the_other_direction(client, command):
    assert client.error(command, bytes(16)) == errno.EINVAL
    serves(client)


@pytest.mark.parametrize("size", [0, 1, 8, 15])
def test_message_smaller_than_its_header_ends_the_connection(client, size):
    client.send(vu.GET_INFO, b"", size=size)
    assert client.disconnected()


@pytest.mark.parametrize("size", [16 + 8193, 64 * 1024, 1 << 20])
def test_message_that_is_too_large_is_skipped_and_said_so(client, size):
    assert client.error(vu.REGION_WRITE, bytes(size - HEADER.size)) == errno.EMSGSIZE
    serves(client)


@pytest.mark.parametrize("size", [2 << 20, 0x7fffffff, 0x80000000, 0xffffffff])
def test_message_of_absurd_size_ends_the_connection(client, size):
    client.send(vu.GET_INFO, b"", size=size)
    assert client.disconnected()


@pytest.mark.parametrize("flags", [vu.F_REPLY, vu.F_REPLY | vu.F_ERROR])
def test_reply_that_nobody_asked_for_ends_the_connection(client, flags):
    client.send(vu.GET_INFO, bytes(16), flags=flags, error=errno.EIO)
    assert client.disconnected()


@pytest.mark.parametrize("kind", range(2, 16))
def test_message_that_is_neither_command_nor_reply_is_refused(client, kind):
    assert client.error(vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0), flags=kind) == errno.EINVAL
    serves(client)


@pytest.mark.parametrize("msg_id", [0, 1, 0x7fff, 0xffff])
def test_answer_repeats_the_id(client, msg_id):
    assert client.call(vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0), msg_id=msg_id).id == msg_id


@pytest.mark.parametrize("command, body", [
    (vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)),
    (vu.REGION_READ, access_body(vu.REGION_CONFIG, 0, 4)),
    (vu.REGION_READ, access_body(99, 0, 4)),
    (vu.GET_INFO, b""),
    (vu.DIRTY_PAGES, b""),
    (vu.DEVICE_RESET, b""),
    (vu.SET_IRQS, bytes(20)),
])
def test_request_that_wants_no_answer_gets_none(client, command, body):
    client.send(command, body, flags=vu.F_NO_REPLY)
    serves(client)  # whose call() checks that the next message answers it


def test_pipelined_messages_are_answered_in_order(client):
    messages = [client.message(vu.REGION_READ, access_body(vu.REGION_CONFIG, offset, 2))
                for offset in range(0, 128, 2)]
    client.send_raw(b"".join(data for _, data in messages))
    assert [client.receive().id for _ in messages] == [msg_id for msg_id, _ in messages]


def test_message_may_arrive_byte_by_byte(client):
    _, data = client.message(vu.REGION_READ, access_body(vu.REGION_CONFIG, 0, 2))
    for byte in data:
        client.send_raw(bytes([byte]))
    assert client.receive().body[16:] == b"\xf4\x1a"


def test_pipelined_descriptors_belong_to_their_messages(client):
    """Each DMA_MAP of a burst has a file that only fits its own size."""
    files = []
    for pages in range(1, 17):
        files.append(os.memfd_create("page"))
        os.ftruncate(files[-1], pages * 4096)
    for pages, file in enumerate(files, 1):
        client.send(vu.DMA_MAP, dma_map_body(pages << 24, pages * 4096), [file])
    answers = [client.receive() for _ in files]
    for file in files:
        os.close(file)
    assert [answer.error for answer in answers] == [0] * 16
    client.dma_unmap(0, 0, vu.UNMAP_ALL)


def test_descriptor_with_the_body_rather_than_the_header(client):
    file = os.memfd_create("late")
    os.ftruncate(file, 4096)
    _, data = client.message(vu.DMA_MAP, dma_map_body(0, 4096))
    client.send_raw(data[:HEADER.size])
    time.sleep(0.05)
    client.send_raw(data[HEADER.size:], [file])
    os.close(file)
    assert client.receive().error == 0
    client.dma_unmap(0, 4096)


@pytest.mark.parametrize("count", [1, 2, 16])
def test_descriptors_that_a_command_does_not_take_are_refused(client, count):
    with open("/dev/null", "rb") as file:
        body = struct.pack("<IIII", 16, 0, 0, 0)
        assert client.error(vu.GET_INFO, body, fds=[file.fileno()] * count) == errno.EINVAL
    serves(client)


@pytest.mark.parametrize("count", [17, 60, 100, 253])
@pytest.mark.parametrize("command", [vu.GET_INFO, vu.DMA_MAP, vu.SET_IRQS, vu.REGION_READ])
def test_more_descriptors_than_any_command_takes_end_the_connection(client, reconnect, lab, command, count):
    before = lab.descriptors()
    with open("/dev/null", "rb") as file, pytest.raises(Disconnected):
        client.call(command, bytes(20), fds=[file.fileno()] * count)
    client.close()
    serves(reconnect())
    assert lab.descriptors() == before


def test_descriptors_sent_with_refused_messages_are_closed(client, lab):
    before = lab.descriptors()
    with open("/dev/null", "rb") as file:
        for command in (vu.GET_INFO, vu.DMA_MAP, vu.SET_IRQS, vu.REGION_READ, vu.DIRTY_PAGES):
            for fds in (1, 2, 15, 16):
                client.call(command, bytes(20), fds=[file.fileno()] * fds)
        client.call(vu.REGION_WRITE, bytes(20000), fds=[file.fileno()] * 3)
    assert lab.descriptors() == before


@pytest.mark.parametrize("cut", [1, 8, 15, 16, 17, 47])
def test_client_that_dies_within_a_message(client, reconnect, cut):
    _, data = client.message(vu.DMA_MAP, dma_map_body(0, 4096))
    file = os.memfd_create("half")
    client.send_raw(data[:cut], [file])
    os.close(file)
    client.close()
    serves(reconnect())


def send_until_blocked(client):
    """Requests, until the server stops reading because nobody reads its answers."""
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        for _ in range(5000):
            client.send(vu.REGION_READ, access_body(vu.REGION_CONFIG, 0, 4096))


def test_client_that_dies_before_reading_its_answers(client, reconnect):
    send_until_blocked(client)
    client.close()
    serves(reconnect())


def test_client_that_never_reads_does_not_stop_others(client, lab):
    send_until_blocked(client)
    lab.witness.check()


def test_second_client_is_turned_away_at_once(client, device):
    start = time.monotonic()
    with pytest.raises(vu.ServerError, match="EBUSY"):
        Client(device.socket)
    assert time.monotonic() - start < 2
    serves(client)


def test_hundred_surplus_clients_harm_nobody(client, device):
    others = []
    for _ in range(100):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(5)
            sock.connect(str(device.socket))
        except BlockingIOError:
            pass  # more than the server lets wait: turned down by the kernel
        others.append(sock)
    for sock in others:
        try:
            assert sock.recv(1) == b""
        except OSError:
            pass
        sock.close()
    serves(client)


def test_socket_is_for_its_owner_only(device):
    assert device.socket.stat().st_mode & 0o777 == 0o600


def test_flood_of_random_bytes(device, reconnect):
    rng = random.Random(1)
    for _ in range(30):
        client = reconnect(negotiate=rng.random() < 0.7)
        try:
            for _ in range(20):
                size = rng.choice([16, 16, 17, 20, 32, 36, 48, 200, rng.randrange(16, 9000)])
                header = HEADER.pack(rng.randrange(65536), rng.randrange(0, 20), size,
                                     rng.choice([0, 0, 0, 0x10, 0x20, rng.getrandbits(32)]), 0)
                client.send_raw(header + rng.randbytes(size - HEADER.size))
        except (ConnectionError, TimeoutError):
            pass
        client.close()
    serves(reconnect())
