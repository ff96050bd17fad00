# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What the machine is and what it does meanwhile."""

import contextlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "test" / "system"))

from virtnet_test.procs import threads  # noqa: E402  (the path comes first)


def output(*command):
    """What a command prints; nothing where it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def machine(build):
    """Where the figures are from."""
    cpu = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]
    options = Path(build, "meson-info", "intro-buildoptions.json")
    chosen = {option["name"]: option["value"] for option in json.loads(options.read_text())} if options.exists() else {}
    revision = output("git", "rev-parse", "--short", "HEAD")
    changed = " with changes" if output("git", "status", "--porcelain", "app", "drivers", "lib", "test/perf") else ""
    return {
        "cpu": cpu[0] if cpu else "unknown",
        "cpus": len(os.sched_getaffinity(0)),
        "hypervisor": output("systemd-detect-virt", "--vm") or "unknown",
        "kernel": platform.release(),
        "dpdk": output("pkg-config", "--modversion", "libdpdk"),
        "compiler": output("cc", "--version").splitlines()[0],
        "buildtype": chosen.get("buildtype", "unknown"),
        "git": revision + changed,
    }


def raise_group(pid, nice):
    """Where the kernel groups processes by session, a process's priority counts within its session only."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def cpu_times():
    """(steal, all) of all CPUs since the machine started, in clock ticks."""
    fields = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]))
    return fields[7], sum(fields)


def thread_times(pid):
    """(nanoseconds run, nanoseconds ready while something else ran) of each thread of a process."""
    return {thread: tuple(map(int, text.split()[:2])) for thread, text in threads(pid, "schedstat").items()}


def busiest(before, after):
    """Nanoseconds (run, waited) of the thread that ran most."""
    return max((ran - before[tid][0], waited - before[tid][1]) for tid, (ran, waited) in after.items() if tid in before)


class Watch:
    """What disturbs a run, from its creation to done()."""

    def __init__(self, pid):
        self.pid = pid
        self.cpus = cpu_times()
        self.threads = thread_times(pid)

    def done(self):
        steal, ticks = cpu_times()
        _, waited = busiest(self.threads, thread_times(self.pid))
        return {
            "worker_waited_ms": waited / 1e6,
            "steal": (steal - self.cpus[0]) / max(1, ticks - self.cpus[1]),
        }
