# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The named places where a process can be made to die, found in the source, and how each is reached."""

import re
from dataclasses import dataclass

from virtnet_test import TOP

PLACE = re.compile(r'FAULT_POINT\("([a-z0-9_.]+)"\)')
FOLDERS = ("lib", "drivers", "app")


def fault_points():
    """All names, sorted."""
    names = set()
    for folder in FOLDERS:
        for path in sorted((TOP / folder).rglob("*.[ch]")):
            if path.name != "fault_point.h":
                names |= set(PLACE.findall(path.read_text(encoding="utf-8")))
    return sorted(names)


@dataclass(frozen=True)
class Way:
    """How a process gets there."""

    prefix: str  # of the point's name
    trigger: str = "traffic"  # what is done meanwhile: a function of test_points.py
    who: str = "VIRTNET_FAULT"  # variable of the environment that names the point to the process
    deaths: int = 1  # processes with devices that die
    passage: int = 1  # the how manieth
    allow_ms: int = 3000
    ring: str = "split-event-idx-indirect"  # of fault_lab.RINGS
    transport: str = "vfio-user"  # of fault_lab.TRANSPORTS

    def named(self, name):
        """A test's name."""
        return f"{name} by {self.trigger}, {self.ring}, {self.transport}"


# Network devices come and go: the kernel does that under one lock, for seconds on a busy machine.
SLOW_MS = 8000
# A point may be reached in more than one way. Later points need no entry if their prefix is here.
WAYS = (
    Way("vring.tx.", passage=37),
    Way("vring.rx.", passage=37),
    Way("vring.chain.", passage=3),
    Way("vring.tx.", passage=37, ring="packed-event-idx-indirect"),
    Way("vring.rx.", passage=37, ring="packed-mergeable-in-order"),
    Way("vring.chain.", passage=3, ring="packed-event-idx-indirect"),
    Way("vring.packed.", passage=37, ring="packed"),
    Way("vring.packed.", passage=38, ring="packed-mergeable-in-order"),
    Way("emu.request.", passage=11),
    Way("emu.reply.", passage=11),
    Way("emu.config.", passage=2),
    Way("emu.irqs.", passage=2),
    Way("device.ctrl.", passage=2),
    Way("device.map.", passage=2),
    Way("device.unmap.", passage=2),
    Way("device.start.", "start", allow_ms=SLOW_MS),
    Way("device.sf.", "start", allow_ms=SLOW_MS),
    Way("device.hash.", "start", allow_ms=SLOW_MS, ring="packed-mergeable-hash"),
    Way("emu.gone.", "disconnect", allow_ms=SLOW_MS),
    Way("emu.gone.", "disconnect", allow_ms=SLOW_MS, transport="vhost-user"),
    Way("emu.ring.", "start", allow_ms=SLOW_MS, transport="vhost-user"),
    Way("emu.features.", "messages", transport="vhost-user"),
    Way("emu.status.", "messages", transport="vhost-user"),
    Way("emu.backend.", "messages", transport="vhost-user"),
    Way("emu.log.", "messages", transport="vhost-user"),
    Way("device.hotplug.", "hotplug", allow_ms=SLOW_MS),
    Way("device.unplug.", "unplug", allow_ms=SLOW_MS),
    Way("device.remove.", "unplug", allow_ms=SLOW_MS),
    Way("device.release.", "restart"),
    Way("device.adopt.", "kill", who="VIRTNET_FAULT_STANDBY", deaths=2, allow_ms=5000),
    Way("device.adopt.", "restart", who="VIRTNET_FAULT_SUCCESSOR", deaths=0, allow_ms=5000),
)
# The new process has said that it has the device: the hand-over has succeeded, then its heir has crashed.
HANDED_OVER = ("device.adopt.told", "device.adopt.rings", "device.adopt.signalled")


def ways_of(name):
    return [way for way in WAYS if name.startswith(way.prefix)]
