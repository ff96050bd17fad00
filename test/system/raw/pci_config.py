# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A PCI function's configuration space as a host's software reads it, over a vfio-user client."""

import struct

from vfio_user_client import REGION_CONFIG

COMMAND = 0x04
STATUS = 0x06
BAR0 = 0x10
CAP_POINTER = 0x34
INTERRUPT_PIN = 0x3d

COMMAND_MEMORY = 0x2
COMMAND_MASTER = 0x4
COMMAND_INTX_DISABLE = 0x400
STATUS_CAP_LIST = 0x10

CAP_PM = 0x01
CAP_VENDOR = 0x09
CAP_EXP = 0x10
CAP_MSIX = 0x11

EXP_DEVCAP = 4
EXP_DEVCTL = 8
DEVCAP_FLR = 1 << 28
DEVCTL_FLR = 1 << 15

MSIX_ENABLE = 1 << 15


class PciConfig:
    """Typed access to configuration space, and the lists in it."""

    def __init__(self, client):
        self.client = client

    def read(self, offset, count):
        return self.client.read(REGION_CONFIG, offset, count)

    def write(self, offset, data):
        self.client.write(REGION_CONFIG, offset, data)

    def read8(self, offset):
        return self.read(offset, 1)[0]

    def read16(self, offset):
        return struct.unpack("<H", self.read(offset, 2))[0]

    def read32(self, offset):
        return struct.unpack("<I", self.read(offset, 4))[0]

    def write16(self, offset, value):
        self.write(offset, struct.pack("<H", value))

    def write32(self, offset, value):
        self.write(offset, struct.pack("<I", value))

    def capabilities(self):
        """[(id, offset)] of the list, which must end."""
        found = []
        if not self.read16(STATUS) & STATUS_CAP_LIST:
            return found
        offset = self.read8(CAP_POINTER)
        while offset:
            assert offset % 4 == 0 and 0x40 <= offset < 0x100, f"capability at {offset:#x}"
            assert len(found) < 48, "the capability list does not end"
            found.append((self.read8(offset), offset))
            offset = self.read8(offset + 1)
        return found

    def extended_capabilities(self):
        """[(id, offset)] of the list from 0x100 on."""
        found = []
        offset = 0x100
        while offset:
            assert offset % 4 == 0 and 0x100 <= offset < 0x1000, f"capability at {offset:#x}"
            assert len(found) < 960, "the extended capability list does not end"
            header = self.read32(offset)
            if header in (0, 0xffffffff):
                break
            found.append((header & 0xffff, offset))
            offset = header >> 20
        return found

    def capability(self, wanted):
        return next((offset for kind, offset in self.capabilities() if kind == wanted), None)

    def set_command(self, bits):
        self.write16(COMMAND, bits)

    def enable(self):
        """Memory decoding and bus mastering, as any driver does first."""
        self.set_command(COMMAND_MEMORY | COMMAND_MASTER)

    def function_level_reset(self):
        exp = self.capability(CAP_EXP)
        self.write16(exp + EXP_DEVCTL, self.read16(exp + EXP_DEVCTL) | DEVCTL_FLR)

    def enable_msix(self, on=True):
        msix = self.capability(CAP_MSIX)
        control = self.read16(msix + 2)
        self.write16(msix + 2, control | MSIX_ENABLE if on else control & ~MSIX_ENABLE)

    def msix_table_size(self):
        return (self.read16(self.capability(CAP_MSIX) + 2) & 0x7ff) + 1
