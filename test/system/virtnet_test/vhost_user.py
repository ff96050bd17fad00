# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A vhost-user client straight on the socket, written from the protocol's text.

It shares no code with the product on purpose: what both would misunderstand alike, no test could
show. Every field of every message can be chosen by a test, the impossible values included.

The client's addresses of its memory (user addresses) are never those of the guest: who takes one for
the other is found out.
"""

import array
import select
import socket
import struct
import time

GET_FEATURES = 1
SET_FEATURES = 2
SET_OWNER = 3
RESET_OWNER = 4
SET_MEM_TABLE = 5
SET_LOG_BASE = 6
SET_LOG_FD = 7
SET_VRING_NUM = 8
SET_VRING_ADDR = 9
SET_VRING_BASE = 10
GET_VRING_BASE = 11
SET_VRING_KICK = 12
SET_VRING_CALL = 13
SET_VRING_ERR = 14
GET_PROTOCOL_FEATURES = 15
SET_PROTOCOL_FEATURES = 16
GET_QUEUE_NUM = 17
SET_VRING_ENABLE = 18
SEND_RARP = 19
NET_SET_MTU = 20
SET_BACKEND_REQ_FD = 21
IOTLB_MSG = 22
SET_VRING_ENDIAN = 23
GET_CONFIG = 24
SET_CONFIG = 25
POSTCOPY_ADVISE = 28
GET_INFLIGHT_FD = 31
SET_INFLIGHT_FD = 32
RESET_DEVICE = 34
VRING_KICK = 35
GET_MAX_MEM_SLOTS = 36
ADD_MEM_REG = 37
REM_MEM_REG = 38
SET_STATUS = 39
GET_STATUS = 40

# Those that are answered in any case.
ANSWERED = {GET_FEATURES, GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_VRING_BASE, SET_LOG_BASE, GET_CONFIG,
            GET_MAX_MEM_SLOTS, GET_STATUS}  # fmt: skip

VERSION = 1
F_REPLY = 0x4
F_NEED_REPLY = 0x8

F_LOG_ALL = 1 << 26
F_PROTOCOL_FEATURES = 1 << 30
VRING_F_LOG = 1
NOFD = 0x100

P_MQ = 1 << 0
P_LOG_SHMFD = 1 << 1
P_RARP = 1 << 2
P_REPLY_ACK = 1 << 3
P_MTU = 1 << 4
P_BACKEND_REQ = 1 << 5
P_CONFIG = 1 << 9
P_RESET_DEVICE = 1 << 13
P_CONFIGURE_MEM_SLOTS = 1 << 15
P_STATUS = 1 << 16

HEADER = struct.Struct("<III")
REGION = struct.Struct("<QQQQ")
REPLY_TIMEOUT_S = 20  # generous: the sanitizer build on a busy machine
USER = 0x7F00_0000_0000  # user address - guest address


class Disconnected(Exception):
    """The server has closed the connection."""


class Refused(Exception):
    """The server says that it has failed."""


def table_body(regions, count=None):
    """regions: (guest address, size, user address, offset in the file)"""
    body = struct.pack("<II", len(regions) if count is None else count, 0)
    return body + b"".join(REGION.pack(*region) for region in regions)


def single_body(region):
    return bytes(8) + REGION.pack(*region)


def vring_body(index, value=0):
    return struct.pack("<II", index, value)


def addr_body(index, desc, used, avail, flags=0, log=0):
    return struct.pack("<IIQQQQ", index, flags, desc, used, avail, log)


def config_body(offset, size, flags=0, data=None):
    return struct.pack("<III", offset, size, flags) + (bytes(size) if data is None else data)


def number(value):
    return struct.pack("<Q", value)


class Client:
    """One connection to a device; listen: the server is the one that connects, to this path."""

    def __init__(self, path, listen=False, timeout=REPLY_TIMEOUT_S):
        self.listener = None
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        if listen:
            self.listener = self.sock
            self.listener.bind(str(path))
            self.listener.listen(1)
            self.accept()
        else:
            self.sock.connect(str(path))
        self.protocol = 0  # features agreed
        self.regions = {}  # by guest address

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def accept(self):
        """The server's connection, or its next one."""
        self.sock, _ = self.listener.accept()
        self.sock.settimeout(REPLY_TIMEOUT_S)

    def close(self):
        self.sock.close()
        if self.listener:
            self.listener.close()

    # --- messages ---------------------------------------------------------------------------------

    def send_raw(self, data, fds=()):
        """Bytes as they are, the descriptors with the first of them."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.sock.sendmsg([data], ancillary)
        if sent < len(data):
            self.sock.sendall(data[sent:])

    def send(self, request, body=b"", fds=(), flags=VERSION, size=None):
        self.send_raw(HEADER.pack(request, flags, len(body) if size is None else size) + body, fds)

    def _read(self, count):
        data = b""
        while len(data) < count:
            try:
                part = self.sock.recv(count - len(data))
            except ConnectionError:
                part = b""
            if not part:
                raise Disconnected()
            data += part
        return data

    def receive(self, request):
        """Body of the next message, which has to be the answer to this request."""
        got, flags, size = HEADER.unpack(self._read(HEADER.size))
        assert got == request, f"{got} does not answer {request}"
        assert flags == VERSION | F_REPLY, f"impossible flags {flags:#x}"
        assert size <= 4096, f"impossible size {size} from the server"
        return self._read(size)

    def call(self, request, body=b"", fds=()):
        """Body of the answer to a request that has one of its own."""
        self.send(request, body, fds)
        return self.receive(request)

    def get(self, request):
        return struct.unpack("<Q", self.call(request))[0]

    def status_of(self, request, body=b"", fds=()):
        """What the acknowledgement of a request says: 0 for success."""
        self.send(request, body, fds, flags=VERSION | F_NEED_REPLY)
        return struct.unpack("<Q", self.receive(request))[0]

    def tell(self, request, body=b"", fds=()):
        """A request without an answer of its own: acknowledged, where that has been agreed."""
        if self.protocol & P_REPLY_ACK:
            code = self.status_of(request, body, fds)
            if code:
                raise Refused(f"request {request}: {code}")
        else:
            self.send(request, body, fds)

    def answers(self, timeout_s):
        """Does the server say anything within this time (an end of the connection included)?"""
        return bool(select.select([self.sock], [], [], timeout_s)[0])

    def disconnected(self, timeout_s=REPLY_TIMEOUT_S):
        """Wait for the server to close; whatever it still answers is passed over."""
        give_up = time.monotonic() + timeout_s
        while self.answers(max(0, give_up - time.monotonic())):
            try:
                if not self.sock.recv(4096):
                    return True
            except ConnectionError:
                return True
        return False

    # --- requests ---------------------------------------------------------------------------------

    def features(self):
        return self.get(GET_FEATURES)

    def set_features(self, features):
        self.tell(SET_FEATURES, number(features))

    def negotiate(self, protocol=None):
        """As QEMU begins: protocol features (by default all), owner."""
        assert self.features() & F_PROTOCOL_FEATURES
        offered = self.get(GET_PROTOCOL_FEATURES)
        wanted = offered if protocol is None else protocol & offered
        self.send(SET_PROTOCOL_FEATURES, number(wanted))
        self.protocol = wanted
        self.tell(SET_OWNER)
        return self

    def queue_pairs(self):
        return self.get(GET_QUEUE_NUM)

    def set_mem_table(self, regions, fds):
        self.tell(SET_MEM_TABLE, table_body(regions), fds)

    def add_region(self, region, fd):
        self.tell(ADD_MEM_REG, single_body(region), (fd,))

    def remove_region(self, region):
        self.tell(REM_MEM_REG, single_body(region))

    def dma_map(self, guest, size, fd, offset=0):
        """What a transport must be able to do for guest memory (virtio_driver.GuestMemory)."""
        self.regions[guest] = ((guest, size, USER + guest, offset), fd)
        if self.protocol & P_CONFIGURE_MEM_SLOTS:
            self.add_region(*self.regions[guest])
        else:
            self.send_table()

    def dma_unmap(self, guest, size):
        region, _ = self.regions.pop(guest)
        assert region[1] == size
        if self.protocol & P_CONFIGURE_MEM_SLOTS:
            self.remove_region(region)
        else:
            self.send_table()

    def send_table(self):
        regions = [region for region, _ in self.regions.values()]
        self.set_mem_table(regions, [fd for _, fd in self.regions.values()])

    def set_vring_num(self, queue, size):
        self.tell(SET_VRING_NUM, vring_body(queue, size))

    def set_vring_base(self, queue, base):
        self.tell(SET_VRING_BASE, vring_body(queue, base))

    def set_vring_addr(self, queue, desc, avail, used, flags=0, log=0):
        """Guest addresses."""
        self.tell(SET_VRING_ADDR, addr_body(queue, USER + desc, USER + used, USER + avail, flags, log))

    def set_vring_fd(self, request, queue, fd=None):
        self.tell(request, number(queue | (NOFD if fd is None else 0)), () if fd is None else (fd,))

    def set_vring_enable(self, queue, on):
        self.tell(SET_VRING_ENABLE, vring_body(queue, int(on)))

    def get_vring_base(self, queue):
        """Stops the ring."""
        got, base = struct.unpack("<II", self.call(GET_VRING_BASE, vring_body(queue)))
        assert got == queue
        return base

    def set_status(self, status):
        self.tell(SET_STATUS, number(status))

    def status(self):
        return self.get(GET_STATUS)

    def config(self, offset, size):
        """Bytes of the configuration, None if the server refuses."""
        body = self.call(GET_CONFIG, config_body(offset, size))
        if not body:
            return None
        assert body[:12] == config_body(offset, size)[:12] and len(body) == 12 + size
        return body[12:]

    def set_log_base(self, fd, size, offset=0):
        self.call(SET_LOG_BASE, struct.pack("<QQ", size, offset), (fd,))
