# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Virtio features by name, and which of them a Linux guest's driver takes."""

import re

BITS = {
    "CSUM": 0, "GUEST_CSUM": 1, "CTRL_GUEST_OFFLOADS": 2, "MTU": 3, "MAC": 5, "GUEST_TSO4": 7, "GUEST_TSO6": 8,
    "GUEST_ECN": 9, "HOST_TSO4": 11, "HOST_TSO6": 12, "HOST_ECN": 13, "MRG_RXBUF": 15, "STATUS": 16, "CTRL_VQ": 17,
    "CTRL_RX": 18, "GUEST_ANNOUNCE": 21, "MQ": 22, "CTRL_MAC_ADDR": 23, "INDIRECT_DESC": 28, "EVENT_IDX": 29,
    "VERSION_1": 32, "ACCESS_PLATFORM": 33, "RING_PACKED": 34, "IN_ORDER": 35, "ORDER_PLATFORM": 36,
    "NOTIFICATION_DATA": 38, "RING_RESET": 40, "GUEST_USO4": 54, "GUEST_USO6": 55, "HOST_USO": 56,
    "HASH_REPORT": 57, "GUEST_HDRLEN": 59, "SPEED_DUPLEX": 63,
}  # fmt: skip

# Linux from which the driver takes a feature, those of 6.1 not named.
SINCE = {"GUEST_USO4": (6, 2), "GUEST_USO6": (6, 2), "HOST_USO": (6, 2), "NOTIFICATION_DATA": (6, 4)}
# What some kernels take and others do not.
MAY = ("IN_ORDER", "GUEST_HDRLEN")

GUEST_GSO = ("GUEST_TSO4", "GUEST_TSO6", "GUEST_ECN", "GUEST_USO4", "GUEST_USO6")


def mask(*names):
    """The bits of some features."""
    return sum(1 << BITS[name] for name in names)


def names(bits):
    return sorted(name for name, bit in BITS.items() if bits >> bit & 1)


def kernel_of(guest):
    """(major, minor) of a guest's kernel."""
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", guest.run("uname -r")).groups()))


def check_accepted(guest, offered, accepted):
    """The driver took whatever it knows of what it was offered."""
    kernel = kernel_of(guest)
    unknown = mask(*MAY, *(name for name, since in SINCE.items() if kernel < since))
    assert names(accepted & ~mask(*MAY)) == names(offered & ~unknown)
