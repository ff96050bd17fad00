# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A device whose state block is damaged is reset alone and reported; the others go on."""

import os
import random
import signal

import pytest

HEADER = 64
ALLOW_MS = 15000
# Processes that may die over a block before it is not touched any more, and the one that was killed.
DEATHS = 3


def block_of(lab, device):
    """Path of the keeper's descriptor of a device's block."""
    folder = f"/proc/{lab.group.keeper()}/fd"
    for name in os.listdir(folder):
        if os.readlink(f"{folder}/{name}").startswith(f"/memfd:{device.vuid} "):
            return f"{folder}/{name}"
    raise AssertionError(f"the keeper holds no block of {device.vuid}")


def overwrite(chance, size, first, share):
    """(offset, bytes) of the damage: a share of the cache lines from `first` on."""
    lines = range(first // HEADER, size // HEADER)
    for line in chance.sample(lines, max(1, int(len(lines) * share))):
        yield line * HEADER, chance.randbytes(HEADER)


DAMAGE = {
    "header": lambda chance, size: [(0, chance.randbytes(HEADER))],
    "zeroes": lambda chance, size: [(0, bytes(size))],
    "noise": lambda chance, size: [(0, chance.randbytes(size))],
    "noise behind the header": lambda chance, size: overwrite(chance, size, 4096, 1),
    "some lines 1": lambda chance, size: overwrite(chance, min(size, 65536), 512, 0.05),
    "some lines 2": lambda chance, size: overwrite(chance, min(size, 65536), 512, 0.05),
    "some lines 3": lambda chance, size: overwrite(chance, min(size, 65536), 512, 0.2),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_block(new_lab, how):
    # The process must stay stopped until its block is damaged, however long that takes here.
    lab = new_lab(devices=2, ring="split-event-idx-indirect", options=["--watchdog=5000"])
    lab.start_traffic()
    lab.group.standby()
    active = lab.group.active()
    chance = random.Random(how)
    lab.generator.exempt(0)
    lab.strike(active, signal.SIGSTOP, ALLOW_MS)
    path = block_of(lab, lab.devices[0])
    with open(path, "r+b", buffering=0) as block:
        for offset, data in DAMAGE[how](chance, os.stat(path).st_size):
            block.seek(offset)
            block.write(data)
    os.kill(active, signal.SIGKILL)
    event = lab.generator.settle(ALLOW_MS)
    event["devices"] = event["devices"][1:]
    lab.record.add(lab.name, "damaged block (the other device)", event, **lab.labels)
    lab.check(event, bursts=DEATHS)
    lab.all_there()
    lab.stop_traffic()
    # A new driver finds the damaged one fit for use, and another crash costs nothing more.
    # With nothing left of its block, it has the least that a device has.
    lab.pairs = 1
    lab.start_traffic()
    lab.group.standby()
    lab.kill_active()
    lab.stop_traffic()
