# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""How long a packet is on its way through a looped wire and back, under part of the load that goes."""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass

from clients import Layout
from compare import FAILURES, client, failed, measure, progress, server
from servers import WIRES
from stats import disturbed

LOADS = (0.10, 0.50)  # of what the slowest side can do
FIGURES = ("p50", "p99", "p999", "max")


@dataclass(frozen=True)
class Cell:
    """One combination that is measured."""

    layout: Layout
    size: str

    @property
    def name(self):
        return f"latency {self.layout.name} {self.size}"


def cells():
    return [Cell(Layout(packed), size) for packed in (False, True) for size in ("64", "1518")]


def quick_cells():
    return [Cell(Layout(), "64")]


def run(chosen, settings, errors):
    """Results of all cells."""
    runs = {cell: [] for cell in chosen}
    for number in range(settings.pairs):
        with ExitStack() as stack:
            devices = {}
            for side in settings.sides:
                try:
                    devices[side] = server(side, WIRES["loop"], settings)
                    stack.callback(devices[side].close)
                except FAILURES as error:
                    failed(errors, f"{side}, latency", error)
            for cell in chosen:
                try:
                    runs[cell] += one_round(devices, cell, number, settings)
                except FAILURES as error:
                    failed(errors, cell.name, error)
    return [result(cell, runs[cell], settings) for cell in chosen]


def one_round(devices, cell, number, settings):
    """All sides under the same load, in turns."""
    most = min(full_speed(devices[side], side, cell, settings) for side in devices)
    progress(f"{number + 1}/{settings.pairs}  {cell.name:34}  of {most / 1e6:.2f} Mpps")
    sides = list(devices) if number % 2 == 0 else list(reversed(devices))
    return [run for side in sides for run in loaded(devices[side], side, cell, most, settings)]


def with_driver(device, side, cell, settings, act):
    device.work()
    try:
        driver = client(side, device.socket, cell.layout, settings)
        try:
            return act(driver)
        finally:
            driver.close()
    finally:
        device.rest()


def full_speed(device, side, cell, settings):
    """Packets a second."""
    return with_driver(device, side, cell, settings,
                       lambda driver: measure(device, driver, "loop", cell.size, settings)["pps"])  # fmt: skip


def loaded(device, side, cell, most, settings):
    """A run at each load."""
    def act(driver):
        return [measure(device, driver, "loop", cell.size, settings, share * most) | {"side": side, "load": share}
                for share in LOADS]  # fmt: skip

    return with_driver(device, side, cell, settings, act)


def result(cell, runs, settings):
    """Medians of the undisturbed runs, by load and side."""
    made = {"name": cell.name, "layout": cell.layout.name, "size": cell.size, "runs": runs, "loads": []}
    for share in LOADS:
        row = {"load": share, "sides": {}}
        for side in settings.sides:
            mine = [found for found in runs if found["side"] == side and found["load"] == share]
            good = [found for found in mine if disturbed(found) is None and "latency_us" in found]
            row["sides"][side] = {"runs": len(mine), "counted": len(good)}
            if good:
                row["sides"][side] |= {key: statistics.median(found["latency_us"][key] for found in good)
                                       for key in FIGURES}  # fmt: skip
        made["loads"].append(row)
    return made
