# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A minimal virtio-net driver (virtio 1.2, PCI, split rings) over a vfio-user client.

Guest memory is a memfd. Rings are plain bytes in it, so that a test can write any nonsense.
"""

import mmap
import os
import select
import struct
import time

from pci_config import CAP_VENDOR, PciConfig
from vfio_user_client import IRQ_MSIX

STATUS_ACKNOWLEDGE = 1
STATUS_DRIVER = 2
STATUS_DRIVER_OK = 4
STATUS_FEATURES_OK = 8
STATUS_NEEDS_RESET = 0x40
STATUS_FAILED = 0x80

F_CSUM = 1 << 0
F_GUEST_CSUM = 1 << 1
F_CTRL_GUEST_OFFLOADS = 1 << 2
F_MTU = 1 << 3
F_MAC = 1 << 5
F_MRG_RXBUF = 1 << 15
F_STATUS = 1 << 16
F_CTRL_VQ = 1 << 17
F_CTRL_RX = 1 << 18
F_GUEST_ANNOUNCE = 1 << 21
F_MQ = 1 << 22
F_CTRL_MAC_ADDR = 1 << 23
F_INDIRECT_DESC = 1 << 28
F_EVENT_IDX = 1 << 29
F_VERSION_1 = 1 << 32
F_RING_PACKED = 1 << 34
F_RING_RESET = 1 << 40
F_HASH_REPORT = 1 << 57
BASIC_FEATURES = (F_VERSION_1 | F_MAC | F_STATUS | F_CTRL_VQ | F_CTRL_RX | F_CTRL_MAC_ADDR |
                  F_GUEST_ANNOUNCE | F_MQ | F_INDIRECT_DESC)

DESC_NEXT = 1
DESC_WRITE = 2
DESC_INDIRECT = 4

NET_HEADER = bytes(12)
NET_HEADER_WITH_HASH = bytes(20)
CTRL_OK = 0
CTRL_ERR = 1
NO_VECTOR = 0xffff

RX = 0
TX = 1

# name: (offset, width) in the common configuration structure
COMMON = {
    "device_feature_select": (0, 4), "device_feature": (4, 4), "driver_feature_select": (8, 4),
    "driver_feature": (12, 4), "config_msix_vector": (16, 2), "num_queues": (18, 2),
    "device_status": (20, 1), "config_generation": (21, 1), "queue_select": (22, 2),
    "queue_size": (24, 2), "queue_msix_vector": (26, 2), "queue_enable": (28, 2),
    "queue_notify_off": (30, 2), "queue_desc": (32, 8), "queue_driver": (40, 8),
    "queue_device": (48, 8), "queue_reset": (58, 2),
}
WIDTH = {1: "<B", 2: "<H", 4: "<I", 8: "<Q"}
CFG_COMMON, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI = range(1, 6)

WAIT_S = 10


class NothingCame(AssertionError):
    """Waited in vain."""


def wait_for(condition, what, timeout_s=WAIT_S):
    """The first true value of condition(); fails the test when there is none in time."""
    give_up = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise NothingCame(f"no {what} within {timeout_s:.1f} s")
        time.sleep(0.002)


class GuestMemory:
    """A piece of guest memory at an I/O address, shared with the device through a memfd."""

    def __init__(self, client, size=1 << 20, iova=0x40000000):
        self.client = client
        self.size = size
        self.iova = iova
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        # Indices go through this view: one store or load each. (struct.pack_into() writes bytes, and
        # zeros before them, while the device is looking.)
        self.words = memoryview(self.map).cast("H")
        self.used = 0
        client.dma_map(iova, size, self.fd)

    def close(self):
        self.words.release()
        self.map.close()
        os.close(self.fd)

    def unmap(self):
        self.client.dma_unmap(self.iova, self.size)

    def allocate(self, size, align=64):
        """I/O address of zeroed bytes; nothing is ever given back but by reset()."""
        start = (self.used + align - 1) // align * align
        assert start + size <= self.size, "out of guest memory"
        self.used = start + size
        self.write(self.iova + start, bytes(size))
        return self.iova + start

    def reset(self):
        self.used = 0

    def write(self, iova, data):
        start = iova - self.iova
        assert 0 <= start and start + len(data) <= self.size
        self.map[start:start + len(data)] = data

    def read(self, iova, count):
        start = iova - self.iova
        return self.map[start:start + count]

    def store16(self, iova, value):
        self.words[(iova - self.iova) // 2] = value & 0xffff

    def load16(self, iova):
        return self.words[(iova - self.iova) // 2]


class SplitRing:
    """Driver side of a split virtqueue. Chains are lists of (iova, length, flags)."""

    def __init__(self, memory, size):
        self.memory = memory
        self.size = size
        self.desc = memory.allocate(16 * size, 16)
        self.avail = memory.allocate(6 + 2 * size, 2)
        self.used = memory.allocate(6 + 8 * size, 4)
        self.avail_idx = 0
        self.seen_idx = 0
        self.free = list(range(size))
        self.chains = {}

    def write_desc(self, index, iova, length, flags=0, following=0):
        self.memory.write(self.desc + 16 * index,
                          struct.pack("<QIHH", iova, length, flags, following))

    def add(self, chain):
        """Describe a chain; its head."""
        slots = [self.free.pop(0) for _ in chain]
        for slot, following, (iova, length, flags) in zip(slots, slots[1:] + [0], chain):
            more = DESC_NEXT if slot != slots[-1] else 0
            self.write_desc(slot, iova, length, flags | more, following)
        self.chains[slots[0]] = slots
        return slots[0]

    def offer(self, head):
        """Put a head into the available ring and publish it."""
        self.memory.store16(self.avail + 4 + 2 * (self.avail_idx % self.size), head)
        self.publish(self.avail_idx + 1)

    def publish(self, index):
        self.avail_idx = index & 0xffff
        self.memory.store16(self.avail + 2, self.avail_idx)

    def kicks_wanted(self):
        return not self.memory.load16(self.used) & 1

    def used_idx(self):
        return self.memory.load16(self.used + 2)

    def take_used(self):
        """(head, length) of the next used chain, or None."""
        if self.used_idx() == self.seen_idx:
            return None
        entry = self.memory.read(self.used + 4 + 8 * (self.seen_idx % self.size), 8)
        self.seen_idx = (self.seen_idx + 1) & 0xffff
        head, length = struct.unpack("<II", entry)
        assert head in self.chains, f"the device has used {head}, which it was not given"
        self.free.extend(self.chains.pop(head))
        return head, length


class Registers:
    """The structures that the vendor capabilities point at."""

    def __init__(self, client):
        self.client = client
        self.config = PciConfig(client)
        self.where = {}
        for kind, offset in self.config.capabilities():
            if kind == CAP_VENDOR:
                _, _, length, cfg_type, bar = struct.unpack("<BBBBB", self.config.read(offset, 5))
                start, size = struct.unpack("<II", self.config.read(offset + 8, 8))
                self.where.setdefault(cfg_type, (bar, start, size))
                if cfg_type == CFG_NOTIFY:
                    assert length >= 20
                    self.notify_multiplier = self.config.read32(offset + 16)
                if cfg_type == CFG_PCI:
                    self.pci_cfg = offset

    def get(self, name):
        offset, width = COMMON[name]
        bar, start, _ = self.where[CFG_COMMON]
        if width == 8:
            return sum(struct.unpack("<I", self.client.read(bar, start + offset + part, 4))[0]
                       << (8 * part) for part in (0, 4))
        return struct.unpack(WIDTH[width], self.client.read(bar, start + offset, width))[0]

    def set(self, name, value):
        offset, width = COMMON[name]
        bar, start, _ = self.where[CFG_COMMON]
        if width == 8:
            self.client.write(bar, start + offset, struct.pack("<I", value & 0xffffffff))
            self.client.write(bar, start + offset + 4, struct.pack("<I", value >> 32))
        else:
            self.client.write(bar, start + offset, struct.pack(WIDTH[width], value))

    def device_config(self, offset, count):
        bar, start, _ = self.where[CFG_DEVICE]
        return self.client.read(bar, start + offset, count)

    def isr(self):
        bar, start, _ = self.where[CFG_ISR]
        return self.client.read(bar, start, 1)[0]

    def features(self, register="device"):
        value = 0
        for half in (0, 1):
            self.set(register + "_feature_select", half)
            value |= self.get(register + "_feature") << (32 * half)
        return value

    def accept_features(self, features):
        for half in (0, 1):
            self.set("driver_feature_select", half)
            self.set("driver_feature", features >> (32 * half) & 0xffffffff)

    def status(self):
        return self.get("device_status")

    def reset(self):
        self.set("device_status", 0)
        wait_for(lambda: self.status() == 0, "end of the reset")

    def notify_address(self, queue):
        bar, start, _ = self.where[CFG_NOTIFY]
        self.set("queue_select", queue)
        return bar, start + self.get("queue_notify_off") * self.notify_multiplier


class VirtioNet:
    """The driver. start() brings the device to DRIVER_OK; the rings are in `rings` by queue."""

    def __init__(self, client, memory=None, buffers=None):
        self.client = client
        self.registers = Registers(client)
        self.memory = memory or GuestMemory(client)
        self.buffers = buffers or self.memory
        self.rings = {}
        self.doorbell = {}
        self.interrupts = {}
        self.rx_address = {}
        self.ctrl = None
        self.features = 0
        self.header = NET_HEADER  # of a frame to be sent, and as long as those of received ones
        self.received_header = None  # of the last received frame
        self.proven = False  # a frame was received since start()

    def close(self):
        for fd in self.interrupts.values():
            os.close(fd)
        self.interrupts = {}
        for memory in {self.memory, self.buffers}:
            memory.close()

    # --- bringing it up ---------------------------------------------------------------------------

    def start(self, features=BASIC_FEATURES, pairs=1, queue_size=64, rx_buffers=16):
        """Negotiate (what the device offers of `features`), set up rings, go."""
        registers = self.registers
        registers.config.enable()
        registers.reset()
        registers.set("device_status", STATUS_ACKNOWLEDGE)
        registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER)
        self.features = features & registers.features()
        self.header = NET_HEADER_WITH_HASH if self.features & F_HASH_REPORT else NET_HEADER
        registers.accept_features(self.features)
        registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK)
        assert registers.status() & STATUS_FEATURES_OK, "the device refused the features"
        self.memory.reset()
        self.buffers.reset()
        self._set_up_queues(pairs, queue_size)
        registers.set("device_status", STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK |
                      STATUS_DRIVER_OK)
        for pair in range(pairs):
            self.fill(2 * pair, rx_buffers)
        return self

    def _set_up_queues(self, pairs, queue_size):
        # Without MQ there is one pair and the control queue is queue 2 (virtio 1.2, 5.1.2).
        most = self.max_pairs() if self.features & F_MQ else 1
        self.ctrl = 2 * most if self.features & F_CTRL_VQ else None
        queues = list(range(2 * pairs)) + ([self.ctrl] if self.ctrl is not None else [])
        self.rx_address = {}
        self.proven = False
        self._set_up_interrupts(len(queues) + 1)
        self.registers.set("config_msix_vector", 0)
        self.rings = {}
        for vector, queue in enumerate(queues, 1):
            self.set_up_queue(queue, queue_size, vector)
        for queue in queues:
            self.registers.set("queue_select", queue)
            self.registers.set("queue_enable", 1)

    def max_pairs(self):
        return struct.unpack("<H", self.registers.device_config(8, 2))[0]

    def set_up_queue(self, queue, size, vector=NO_VECTOR):
        registers = self.registers
        registers.set("queue_select", queue)
        size = min(size, registers.get("queue_size"))
        ring = SplitRing(self.memory, size)
        registers.set("queue_size", size)
        registers.set("queue_desc", ring.desc)
        registers.set("queue_driver", ring.avail)
        registers.set("queue_device", ring.used)
        registers.set("queue_msix_vector", vector)
        self.rings[queue] = ring
        self.doorbell[queue] = registers.notify_address(queue)

    def _set_up_interrupts(self, vectors):
        for fd in self.interrupts.values():
            os.close(fd)
        self.interrupts = {vector: os.eventfd(0, os.EFD_NONBLOCK) for vector in range(vectors)}
        self.registers.config.enable_msix()
        self.client.set_eventfds(IRQ_MSIX, 0, list(self.interrupts.values()))

    def status(self):
        return self.registers.status()

    def needs_reset(self):
        return bool(self.status() & STATUS_NEEDS_RESET)

    def interrupted(self, vector, timeout_s=WAIT_S):
        """Wait for an interrupt of this vector and clear it."""
        ready = select.select([self.interrupts[vector]], [], [], timeout_s)[0]
        return bool(ready) and os.eventfd_read(self.interrupts[vector]) > 0

    # --- traffic ----------------------------------------------------------------------------------

    def kick(self, queue):
        bar, offset = self.doorbell[queue]
        self.client.post(bar, offset, struct.pack("<H", queue))

    def submit(self, queue, chain):
        ring = self.rings[queue]
        head = ring.add(chain)
        ring.offer(head)
        self.kick(queue)
        return head

    def wait_used(self, queue, what="used buffer", timeout_s=WAIT_S):
        return wait_for(self.rings[queue].take_used, what, timeout_s)

    def store(self, data):
        """Bytes put into guest memory; their address."""
        iova = self.buffers.allocate(len(data))
        self.buffers.write(iova, data)
        return iova

    def fill(self, queue, count, length=2048):
        """Give the device receive buffers of one descriptor each."""
        for _ in range(count):
            iova = self.buffers.allocate(length)
            head = self.submit(queue, [(iova, length, DESC_WRITE)])
            self.rx_address[queue, head] = (iova, length)

    def receives(self, send, wanted):
        """A frame that `send` makes arrive. The first one after start() may get lost on its way: to
        the kernel the representor's link has only just come up."""
        for _ in range(1 if self.proven else 20):
            send()
            try:
                received = self.receive(wanted=wanted, timeout_s=WAIT_S if self.proven else 0.5)
                self.proven = True
                return received
            except NothingCame:
                pass
        raise NothingCame("no received frame")

    def receive(self, queue=RX, wanted=lambda frame: True, timeout_s=WAIT_S):
        """The next frame that is `wanted`; its buffer goes back to the device."""
        give_up = time.monotonic() + timeout_s
        while True:
            head, length = self.wait_used(queue, "received frame",
                                          max(0, give_up - time.monotonic()))
            iova, room = self.rx_address.pop((queue, head))
            assert len(self.header) <= length <= room, f"impossible used length {length}"
            data = self.buffers.read(iova, length)
            head = self.submit(queue, [(iova, room, DESC_WRITE)])
            self.rx_address[queue, head] = (iova, room)
            if wanted(data[len(self.header):]):
                self.received_header = data[:len(self.header)]
                return data[len(self.header):]

    def post_frame(self, frame, queue=TX, header=None):
        """Give the device a frame to send, without waiting for it."""
        header = header or self.header
        return self.submit(queue, [(self.store(header + frame), len(header) + len(frame), 0)])

    def send(self, frame, queue=TX, header=None):
        """Send a frame and wait until the device has given the buffer back."""
        mark = self.buffers.used
        head = self.post_frame(frame, queue, header)
        while self.wait_used(queue, "sent frame")[0] != head:
            pass
        self.buffers.used = mark

    def control(self, cls, command, data=b""):
        """The answer to a command on the control virtqueue."""
        mark = self.buffers.used
        out = self.store(struct.pack("<BB", cls, command) + data)
        ack = self.store(b"\xee")
        chain = [(out, 2, 0)] + ([(out + 2, len(data), 0)] if data else []) + [(ack, 1, DESC_WRITE)]
        self.submit(self.ctrl, chain)
        _, written = self.wait_used(self.ctrl, "answer to a control command")
        assert written == 1
        answer = self.buffers.read(ack, 1)[0]
        self.buffers.used = mark
        return answer
