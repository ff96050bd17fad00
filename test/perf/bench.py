# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""One measurement: a controller of a build, one device, virtnet-perf on it, and what both say."""

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "test" / "system"))

from virtnet_test.controller import Controller  # noqa: E402  (the path comes first)
from virtnet_test.wait import wait_until  # noqa: E402

TELEMETRY_MAX = 16384
SIZES = (64, 1518)  # bytes of a frame without its checksum
FRAME_MTU = 1518  # lets the largest of them pass a TAP


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


def telemetry(prefix, command):
    """Reply of one telemetry command of a controller."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(30)
        sock.connect(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
        sock.recv(TELEMETRY_MAX)
        sock.send(command.encode())
        return json.loads(sock.recv(TELEMETRY_MAX))[command]


def worker_counters(prefix):
    """Sums over the worker lcores."""
    total = {}
    for lcore in telemetry(prefix, "/virtnet/workers").values():
        if isinstance(lcore, dict):
            for key, value in lcore.items():
                total[key] = total.get(key, 0) + value
    return total


def thread_times(pid):
    """(nanoseconds run, nanoseconds ready while something else ran) of each thread of a process."""
    times = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            ran, waited, _ = map(int, (task / "schedstat").read_text().split())
            times[task.name] = (ran, waited)
    return times


def worker_waited_ms(before, after):
    """How long the busiest thread, the worker, could not run."""
    used = [(ran - before[tid][0], waited - before[tid][1]) for tid, (ran, waited) in after.items() if tid in before]
    return max(used)[1] / 1e6


def raise_group(pid, nice):
    """Where the kernel groups processes by session, a process's priority counts within its session only."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def cpu_times():
    """(steal, all) of all CPUs since the machine started, in clock ticks."""
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return fields[7], sum(fields)


class Bench:
    """Measures rows; one driver program for all builds, so that only the device differs."""

    def __init__(self, driver_build, seconds, warmup, queue_size, nice):
        self.program = Path(driver_build) / "test" / "perf" / "virtnet-perf"
        self.seconds = seconds
        self.warmup = warmup
        self.queue_size = queue_size
        self.nice = nice
        self.commands = {}
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        raise_group(os.getpid(), nice)
        # The driver shares a CPU with the control lcore, which sleeps; the worker has the other one for itself.
        self.cpu = sorted(os.sched_getaffinity(0))[0]

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
        steal, ticks = cpu_times()
        threads, before = thread_times(pid), worker_counters(controller.prefix)
        done = subprocess.run(
            driver, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=self.seconds + self.warmup + 60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"virtnet-perf ended with {done.returncode}: {done.stderr}"
        after = worker_counters(controller.prefix)
        result = json.loads(done.stdout)
        result["worker_waited_ms"] = worker_waited_ms(threads, thread_times(pid))
        steal_now, ticks_now = cpu_times()
        result["steal"] = (steal_now - steal) / max(1, ticks_now - ticks)
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
