# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Ours alone: a controller of a build, one device, virtnet-perf on it, and what both say."""

import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machine import Watch, raise_group
from servers import FRAME_MTU, Controller, cpus, wait_until, worker_counters
from stats import disturbed, enough, range_of, without_outliers

SIZES = (64, 1518)  # bytes of a frame without its checksum


@dataclass(frozen=True)
class Row:
    """What is measured: the SF behind the device, and what the driver does."""

    name: str
    sf: str
    args: str
    mode: str
    size: int
    wire: bool = False  # frames come from the far side of the TAP
    options: tuple = ()

    def config(self, folder):
        return {"platform": {"socket_dir": str(folder), "sf": self.sf, "sf_args": self.args}}


def rows():
    """The whole matrix."""
    made = []
    for size in SIZES:
        made += [
            Row(f"ring tx {size}", "loop", "mode=sink", "tx", size),
            Row(f"ring rx {size}", "loop", f"mode=source,size={size}", "rx", size),
            Row(f"ring loop {size}", "loop", "mode=loop", "loop", size),
        ]
    for size in SIZES:
        made += [
            Row(f"tap tx {size}", "tap", "", "tx", size),
            Row(f"tap rx {size}", "tap", "", "rx", size, wire=True),
        ]
    return made


class Bench:
    """Measures rows; one driver program for all builds, so that only the device differs."""

    def __init__(self, driver_build, seconds, warmup, queue_size, nice):
        self.program = Path(driver_build) / "test" / "perf" / "virtnet-perf"
        self.seconds = seconds
        self.warmup = warmup
        self.queue_size = queue_size
        self.nice = nice
        self.commands = {}
        # The driver shares a CPU with the control lcore, which sleeps; the worker has the other one for itself.
        self.cpu = cpus()[0]

    def measure(self, build, row):
        """Figures of one run."""
        folder = Path(tempfile.mkdtemp(prefix="virtnet-perf-"))
        # One process: the threads that are looked at are its own, and no standby starts meanwhile.
        controller = Controller(build, folder, config=row.config(folder), options=["--no-ha"])
        try:
            controller.start()
            result = self._drive(controller, row)
            controller.stop()
            return result
        finally:
            controller.close()
            shutil.rmtree(folder)

    def _drive(self, controller, row):
        device = controller.hotplug(size=self.queue_size, mtu=FRAME_MTU)
        command = [
            self.program, "--mode", row.mode, "--size", row.size, "--time", self.seconds, "--warmup", self.warmup,
            "--queue-size", self.queue_size, "--cpu", self.cpu, *row.options,
        ]  # fmt: skip
        if row.sf == "tap":
            wait_until(lambda: device.representor in controller.netns.links(), "the representor")
            controller.netns.run(f"ip link set {device.representor} up")
        if row.wire:
            command += ["--wire", device.representor]
        driver = controller.netns.command(*command, device.socket)
        self.commands[row.name] = {
            "config": row.config(controller.folder),
            "controller": shlex.join(map(str, controller.process.args)),
            "driver": shlex.join(driver),
        }
        pid = controller.process.pid  # "ip netns exec" has become the controller
        raise_group(pid, self.nice)
        watch, before = Watch(pid), worker_counters(controller.prefix)
        done = subprocess.run(
            driver, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=self.seconds + self.warmup + 60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"virtnet-perf ended with {done.returncode}: {done.stderr}"
        after = worker_counters(controller.prefix)
        result = {**json.loads(done.stdout), **watch.done()}
        return finish(result, {key: after[key] - before[key] for key in after})


def finish(result, worker):
    """Add what follows from the driver's and the worker's counters."""
    moved = max(1, worker["packets"])
    result["pps"] = result["rx_pps"] if result["mode"] in ("rx", "loop") else result["tx_pps"]
    result["busy_cycles"] = worker["busy_cycles"] / moved
    cycles = worker["busy_cycles"] + worker["poll_cycles"]
    result["worker_busy"] = worker["busy_cycles"] / max(1, cycles)
    result["worker"] = worker
    return result


def progress(text):
    print(text, file=sys.stderr, flush=True)


def summarise(runs):
    """What a row's runs say, and how many of them do not count."""
    good = [run for run in runs if disturbed(run) is None]
    kept = without_outliers(good, "busy_cycles")
    summary = {
        "runs": len(runs),
        "steal": sum(disturbed(run) == "steal" for run in runs),
        "waited": sum(disturbed(run) == "waited" for run in runs),
        "spread": len(good) - len(kept),
        "counted": len(kept),
    }
    if enough(len(kept), len(runs)):
        for key in ("pps", "busy_cycles", "worker_busy", "driver_busy"):
            summary[key] = range_of([run[key] for run in kept])
    return summary


def run_matrix(bench, build, chosen, count):
    """Every row once, then every row again: what changes with time hits all alike."""
    runs = {row.name: [] for row in chosen}
    for number in range(count):
        for row in chosen:
            run = bench.measure(build, row)
            runs[row.name].append(run)
            progress(f"{number + 1}/{count}  {row.name:14}  {run['pps'] / 1e6:7.3f} Mpps  "
                     f"{run['busy_cycles']:7.1f} cycles  {disturbed(run) or ''}")
    return [{"name": row.name, "size": row.size, "commands": bench.commands[row.name], "runs": runs[row.name],
             "summary": summarise(runs[row.name])} for row in chosen]


def run_pairs(bench, builds, chosen, count):
    """Runs of A and B in turn, the first of a pair changing; both of a pair must be undisturbed."""
    results = []
    for row in chosen:
        pairs = []
        for number in range(count):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            pair = {which: bench.measure(builds[which], row) for which in order}
            why = disturbed(pair[0]) or disturbed(pair[1])
            ratio = pair[1]["busy_cycles"] / pair[0]["busy_cycles"]
            pairs.append({"a": pair[0], "b": pair[1], "ratio": ratio, "disturbed": why})
            progress(f"{number + 1}/{count}  {row.name:14}  A {pair[0]['busy_cycles']:7.1f}  "
                     f"B {pair[1]['busy_cycles']:7.1f} cycles  B/A {ratio:.3f}  {why or ''}")
        good = [pair for pair in pairs if pair["disturbed"] is None]
        kept = without_outliers(good, "ratio")
        summary = {"pairs": count, "disturbed": count - len(good), "spread": len(good) - len(kept),
                   "counted": len(kept)}
        if kept:
            summary["ratio"] = range_of([pair["ratio"] for pair in kept])
            summary["a"] = range_of([pair["a"]["busy_cycles"] for pair in kept])
            summary["b"] = range_of([pair["b"]["busy_cycles"] for pair in kept])
        results.append({"name": row.name, "size": row.size, "pairs": pairs, "summary": summary})
    return results
