# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A vfio-user client straight on the socket, written from the protocol's text.

It shares no code with the product on purpose: what both would misunderstand alike, no test could
show. Every field of every message can be chosen by a test, the impossible values included.
"""

import array
import errno
import json
import select
import socket
import struct
import time

VERSION = 1
DMA_MAP = 2
DMA_UNMAP = 3
GET_INFO = 4
GET_REGION_INFO = 5
GET_REGION_IO_FDS = 6
GET_IRQ_INFO = 7
SET_IRQS = 8
REGION_READ = 9
REGION_WRITE = 10
DMA_READ = 11
DMA_WRITE = 12
DEVICE_RESET = 13
DIRTY_PAGES = 14
REGION_WRITE_MULTI = 15
DEVICE_FEATURE = 16
MIG_DATA_READ = 17
MIG_DATA_WRITE = 18

F_REPLY = 0x1
F_NO_REPLY = 0x10
F_ERROR = 0x20

PROT_READ = 1
PROT_WRITE = 2
UNMAP_ALL = 2

REGION_CONFIG = 7
IRQ_INTX = 0
IRQ_MSI = 1
IRQ_MSIX = 2

DATA_NONE = 0x1
DATA_BOOL = 0x2
DATA_EVENTFD = 0x4
ACTION_MASK = 0x8
ACTION_UNMASK = 0x10
ACTION_TRIGGER = 0x20

HEADER = struct.Struct("<HHIII")
REPLY_TIMEOUT_S = 20  # generous: the sanitizer build on a busy machine

# What QEMU sends.
QEMU_CAPABILITIES = {"capabilities": {
    "pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535, "max_data_xfer_size": 1048576,
    "migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, "write_multiple": True}}


class Disconnected(Exception):
    """The server has closed the connection."""


class ServerError(Exception):
    """The server has answered with an errno."""

    def __init__(self, code):
        super().__init__(errno.errorcode.get(code, str(code)))
        self.code = code


class Reply:
    """One message from the server."""

    def __init__(self, header, body, fds):
        self.id, self.command, self.size, self.flags, self.error = HEADER.unpack(header)
        self.body = body
        self.fds = fds

    @property
    def failed(self):
        return bool(self.flags & F_ERROR)

    def __repr__(self):
        return (f"Reply(id={self.id}, command={self.command}, flags={self.flags:#x}, "
                f"error={errno.errorcode.get(self.error, self.error)}, {len(self.body)} bytes)")


def version_body(capabilities, major=0, minor=0):
    """Body of VERSION; capabilities: a dict, text or bytes to send as they are, or None."""
    if isinstance(capabilities, dict):
        capabilities = json.dumps(capabilities)
    if isinstance(capabilities, str):
        capabilities = capabilities.encode() + b"\0"
    return struct.pack("<HH", major, minor) + (capabilities or b"")


def dma_map_body(iova, size, offset=0, flags=PROT_READ | PROT_WRITE, argsz=32):
    return struct.pack("<IIQQQ", argsz, flags, offset, iova, size)


def dma_unmap_body(iova, size, flags=0, argsz=24):
    return struct.pack("<IIQQ", argsz, flags, iova, size)


def access_body(region, offset, count, data=b""):
    return struct.pack("<QII", offset, region, count) + data


def irqs_body(index, flags, start, count, data=b"", argsz=None):
    return struct.pack("<IIIII", 20 + len(data) if argsz is None else argsz, flags, index, start,
                       count) + data


class Client:
    """One connection to a device. Requests that fail raise ServerError unless call() is used."""

    def __init__(self, path, negotiate=True):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(REPLY_TIMEOUT_S)
        self.sock.connect(str(path))
        self.next_id = 1
        self.capabilities = self.negotiate() if negotiate else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    # --- messages ---------------------------------------------------------------------------------

    def send_raw(self, data, fds=()):
        """Bytes as they are, the descriptors with the first of them."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.sock.sendmsg([data], ancillary)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def message(self, command, body=b"", flags=0, size=None, msg_id=None, error=0):
        """(id, bytes) of a request."""
        if msg_id is None:
            msg_id = self.next_id
            self.next_id = self.next_id % 0xffff + 1
        size = HEADER.size + len(body) if size is None else size
        return msg_id, HEADER.pack(msg_id, command, size, flags, error) + body

    def send(self, command, body=b"", fds=(), **header):
        msg_id, data = self.message(command, body, **header)
        self.send_raw(data, fds)
        return msg_id

    def _read(self, count, fds):
        data = b""
        while len(data) < count:
            try:
                part, ancillary, _, _ = self.sock.recvmsg(
                    count - len(data), socket.CMSG_SPACE(16 * 4))
            except ConnectionError:
                part, ancillary = b"", []
            for _, kind, payload in ancillary:
                if kind == socket.SCM_RIGHTS:
                    fds.extend(array.array("i", payload[:len(payload) // 4 * 4]))
            if not part:
                raise Disconnected()
            data += part
        return data

    def receive(self):
        fds = []
        header = self._read(HEADER.size, fds)
        size = HEADER.unpack(header)[2]
        assert HEADER.size <= size <= 1 << 20, f"impossible size {size} from the server"
        return Reply(header, self._read(size - HEADER.size, fds), fds)

    def call(self, command, body=b"", fds=(), **header):
        """Send, wait for the answer to it."""
        msg_id = self.send(command, body, fds, **header)
        reply = self.receive()
        assert (reply.id, reply.command) == (msg_id, command), f"{reply} does not answer {msg_id}"
        assert reply.flags & 0xf == F_REPLY
        return reply

    def request(self, command, body=b"", fds=()):
        reply = self.call(command, body, fds)
        if reply.failed:
            raise ServerError(reply.error)
        return reply.body

    def error(self, command, body=b"", fds=(), **header):
        """errno of the answer, 0 for success."""
        reply = self.call(command, body, fds, **header)
        assert not reply.failed or not reply.body, "an error has no body"
        return reply.error if reply.failed else 0

    def answers(self, timeout_s):
        """Does the server say anything within this time (an end of the connection included)?"""
        return bool(select.select([self.sock], [], [], timeout_s)[0])

    def disconnected(self, timeout_s=REPLY_TIMEOUT_S):
        """Wait for the server to close; whatever it still answers is passed over."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            if not self.answers(max(0, give_up - time.monotonic())):
                return False
            try:
                self.receive()
            except Disconnected:
                return True
        return False

    # --- commands ---------------------------------------------------------------------------------

    def negotiate(self, capabilities=QEMU_CAPABILITIES):  # pylint: disable=dangerous-default-value
        body = self.request(VERSION, version_body(capabilities))
        major, minor = struct.unpack("<HH", body[:4])
        assert (major, minor) == (0, 0)
        return json.loads(body[4:].rstrip(b"\0")) if len(body) > 4 else {}

    def info(self):
        """(flags, regions, irq indexes)"""
        return struct.unpack("<IIII", self.request(GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)))[1:]

    def region_info(self, index):
        """(flags, size)"""
        body = self.request(GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, index, 0, 0, 0))
        _, flags, got, _, size, _ = struct.unpack("<IIIIQQ", body[:32])
        assert got == index
        return flags, size

    def irq_info(self, index):
        """(flags, count)"""
        body = self.request(GET_IRQ_INFO, struct.pack("<IIII", 16, 0, index, 0))
        _, flags, got, count = struct.unpack("<IIII", body)
        assert got == index
        return flags, count

    def read(self, region, offset, count):
        body = self.request(REGION_READ, access_body(region, offset, count))
        assert body[:16] == access_body(region, offset, count)
        assert len(body) == 16 + count
        return body[16:]

    def write(self, region, offset, data):
        body = self.request(REGION_WRITE, access_body(region, offset, len(data), data))
        assert body == access_body(region, offset, len(data))

    def post(self, region, offset, data):
        """A write that wants no answer."""
        self.send(REGION_WRITE, access_body(region, offset, len(data), data), flags=F_NO_REPLY)

    def dma_map(self, iova, size, fd=None, offset=0, flags=PROT_READ | PROT_WRITE):
        self.request(DMA_MAP, dma_map_body(iova, size, offset, flags),
                     () if fd is None else (fd,))

    def dma_unmap(self, iova, size, flags=0):
        body = self.request(DMA_UNMAP, dma_unmap_body(iova, size, flags))
        assert struct.unpack("<IIQQ", body)[1:] == (flags, iova, size)

    def set_irqs(self, index, flags, start=0, count=0, fds=(), data=b""):
        self.request(SET_IRQS, irqs_body(index, flags, start, count, data), fds)

    def set_eventfds(self, index, start, fds):
        self.set_irqs(index, DATA_EVENTFD | ACTION_TRIGGER, start, len(fds), fds)

    def reset(self):
        assert self.request(DEVICE_RESET) == b""
