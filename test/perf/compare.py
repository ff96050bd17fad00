# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Ours against testpmd, in pairs: the same driver, the same wire, one core each."""

import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass

from clients import Layout, VfioUser, VirtioUser, layouts
from machine import Watch
from servers import WIRES, Testpmd, Virtnet
from stats import WAITED_MAX, disturbed, enough, range_of, without_outliers

SIZES = ("64", "256", "1518", "imix")
# What is compared with the first of them.
SIDES = ("testpmd", "vhost_user", "vfio_user")
ERROR_LEN = 500  # of a message in the results
IDLE_S = 0.02  # in which the cost of packets is measured that find no room


@dataclass(frozen=True)
class Cell:
    """One combination that is measured."""

    kind: str  # of the wire, and what the driver does
    layout: Layout
    size: str

    @property
    def name(self):
        return f"vs {self.kind} {self.layout.name} {self.size}"


def cells():
    """The whole matrix."""
    return [Cell(kind, layout, size) for kind in ("loop", "tx", "rx") for layout in layouts() for size in SIZES]


def quick_cells():
    """The smallest that has everything in it."""
    return [*(Cell(kind, Layout(packed), "64") for kind in ("loop", "tx", "rx") for packed in (False, True)),
            Cell("rx", Layout(), "imix")]  # fmt: skip


@dataclass
class Settings:
    """What is common to all runs."""

    build: str
    pairs: int = 5
    seconds: float = 0.3
    warmup: float = 0.05
    queue_size: int = 1024
    nice: int = -20
    sides: tuple = SIDES
    waited: float = WAITED_MAX
    client_args: str = ""  # more devargs for virtio-user


def progress(text):
    print(text, file=sys.stderr, flush=True)


# At a run, until its figures do not contradict each other.
LOOKS = 3
# What a measurement that fails raises; the others are still worth having.
FAILURES = (AssertionError, OSError, ValueError, subprocess.SubprocessError)


def failed(errors, what, error):
    progress(f"failed: {what}: {error}")
    errors.append(f"{what}: {str(error)[:ERROR_LEN]}")


def server(side, wire, settings):
    transport, _, build = side.partition("@")
    if transport == "testpmd":
        return Testpmd(wire, settings.nice)
    return Virtnet(build or settings.build, transport, wire, settings.nice, settings.queue_size)


def client(side, path, layout, settings):
    """The same program for all builds of the device."""
    if side.startswith("vfio_user"):
        return VfioUser(settings.build, path, layout, settings.queue_size, settings.nice)
    return VirtioUser(settings.build, path, layout, settings.queue_size, settings.nice, settings.client_args)


def cost_of_a_drop(device):
    """TSC cycles for a packet that finds no room, while the driver takes none: what testpmd's source does then."""
    before = device.counters()
    time.sleep(IDLE_S)
    idle = device.counters() - before
    return idle.busy / idle.dropped if idle.dropped else 0.0


def measure(device, driver, mode, size, settings, rate=0):
    """One run's figures; both sides are there and the device works."""
    for _ in range(LOOKS):
        run = look(device, driver, mode, size, settings, rate)
        if run["busy_cycles"] > 0:
            break
    return run


def look(device, driver, mode, size, settings, rate):
    """The figures. No cycles at all: drops cost more when they were all that there was, so one of the two is wrong."""
    driver.run(mode, size, settings.warmup, rate)
    per_drop = cost_of_a_drop(device) if mode == "rx" else 0.0
    watch, before = Watch(device.pid), device.counters()
    run = driver.run(mode, size, settings.seconds, rate)
    device_did = device.counters() - before
    run.update(watch.done(), waited_max=settings.waited)
    # The driver's counts, for all devices alike. A looped packet crosses a ring twice.
    moved = {"tx": run["tx_packets"], "rx": run["rx_packets"], "loop": run["tx_packets"] + run["rx_packets"]}[mode]
    # A run without a CPU does not count anyway.
    assert moved > 0 or disturbed(run), f"{device.name}: no packets: {run}"
    run["device"] = vars(device_did) | {"per_drop": per_drop}
    run["busy_cycles"] = max(0, device_did.busy - device_did.dropped * per_drop) / max(1, moved)
    run["device_busy"] = device_did.busy / (run["lasted"] * run["tsc_hz"])
    run["pps"] = run["tx_pps"] if mode == "tx" else run["rx_pps"]
    return run


def session(device, side, layout, todo, settings):
    """Runs of one driver process. {cell: run}"""
    device.work()
    try:
        driver = client(side, device.socket, layout, settings)
        try:
            runs = {cell: measure(device, driver, cell.kind, cell.size, settings) for cell in todo}
            for run in runs.values():
                run["paths"] = driver.paths()
            return runs
        finally:
            driver.close()
    finally:
        device.rest()


def batches(chosen):
    """Cells that can share servers: {(kind, size of a source, layout if it serves once): {layout: cells}}

    A source has one size, or mixture. The PMD of mixtures cannot be started again, as ours is for each driver.
    """
    made = {}
    for cell in chosen:
        source = cell.size if cell.kind == "rx" else ""
        once = cell.layout if source == "imix" else None
        made.setdefault((cell.kind, source, once), {}).setdefault(cell.layout, []).append(cell)
    return made


class Comparison:
    """All pairs of all chosen cells."""

    def __init__(self, settings):
        self.settings = settings
        self.errors = []

    def run(self, chosen):
        pairs = {cell: [] for cell in chosen}
        for number in range(self.settings.pairs):
            for (kind, source, _), by_layout in batches(chosen).items():
                wire = WIRES[kind].sized(source) if source else WIRES[kind]
                for cell, runs in self._round(number, wire, by_layout):
                    pairs[cell].append(runs)
        return [result(cell, pairs[cell], self.settings) for cell in chosen]

    def _round(self, number, wire, by_layout):
        """One run of each side in each cell, in turns: (cell, {side: run})"""
        with ExitStack() as stack:
            devices = {}
            for side in self.settings.sides:
                try:
                    devices[side] = server(side, wire, self.settings)
                    stack.callback(devices[side].close)
                except FAILURES as error:
                    failed(self.errors, f"{side}, {wire.vdev}", error)
            # Layouts begin with another one each time, sides with the other one each time.
            order = list(by_layout)
            order = order[number % len(order):] + order[:number % len(order)]
            for turn, layout in enumerate(order):
                runs = {cell: {} for cell in by_layout[layout]}
                sides = list(devices) if (number + turn) % 2 == 0 else list(reversed(devices))
                for side in sides:
                    if side.startswith("vfio_user") and layout.vector:
                        continue  # our own driver has no such functions
                    try:
                        found = session(devices[side], side, layout, by_layout[layout], self.settings)
                    except FAILURES as error:
                        failed(self.errors, f"{side}, {by_layout[layout][0].name}", error)
                        continue
                    for cell, run in found.items():
                        runs[cell][side] = run
                for cell, by_side in runs.items():
                    self._tell(number, cell, by_side)
                    yield cell, by_side

    def _tell(self, number, cell, by_side):
        words = [f"{side} {run['busy_cycles']:6.1f} ({run['pps'] / 1e6:5.2f} Mpps{', ' + why if why else ''})"
                 for side, run in by_side.items() for why in [disturbed(run)]]  # fmt: skip
        progress(f"{number + 1}/{self.settings.pairs}  {cell.name:34}  {'  '.join(words)}")


def result(cell, rounds, settings):
    """A cell's runs and what they say: a pair for each of our sides."""
    made = {"name": cell.name, "kind": cell.kind, "layout": cell.layout.name, "packed": cell.layout.packed,
            "size": cell.size, "compared": list(settings.sides), "runs": rounds, "sides": {}, "ratios": {}}  # fmt: skip
    for side in settings.sides:
        good = [runs[side] for runs in rounds if side in runs and disturbed(runs[side]) is None]
        if good:
            made["sides"][side] = {key: statistics.median(run[key] for run in good)
                                   for key in ("busy_cycles", "pps", "device_busy", "driver_busy")}  # fmt: skip
    for side in settings.sides[1:]:
        made["ratios"][side] = ratios(settings.sides[0], side, rounds)
    return made


def ratios(base, side, rounds):
    """How many times fewer cycles than the base's, how many times its packets; pairs that count, and why others do not."""
    pairs = [(runs[base], runs[side]) for runs in rounds if base in runs and side in runs]
    why = [disturbed(a) or disturbed(b) for a, b in pairs]
    good = [{"cycles": a["busy_cycles"] / b["busy_cycles"], "pps": b["pps"] / a["pps"]}
            for (a, b), reason in zip(pairs, why) if reason is None]  # fmt: skip
    kept = without_outliers(good, "cycles")
    made = {"pairs": len(pairs), "steal": why.count("steal"), "waited": why.count("waited"),
            "spread": len(good) - len(kept), "counted": len(kept)}  # fmt: skip
    if kept and enough(len(kept), len(pairs)):
        made |= {key: range_of([pair[key] for pair in kept]) for key in ("cycles", "pps")}
    return made
