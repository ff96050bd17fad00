# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The controller as a service of a real systemd: process 1 of namespaces of its own, with our unit file."""

import contextlib
import os
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

from . import TOP
from .controller import Controller
from .wait import wait_until

SYSTEMD = Path("/lib/systemd/systemd")
UNIT = "virtio-net-controller.service"

# /run stays the machine's, so that the controller's command socket is where the outside looks for it.
BOOT = """
set -e
mount --make-rprivate /
mount --bind /run /run
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
exec env -i PATH="$PATH" container=virtnet-test SYSTEMD_UNIT_PATH={units} \
    {systemd} --system --show-status=no --log-target=console --log-level=notice
"""


def missing():
    """What this machine lacks for it; empty if nothing."""
    if not SYSTEMD.exists():
        return "systemd is not installed"
    if not Path("/sys/fs/cgroup/systemd").exists() and not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "no cgroup hierarchy for systemd"
    return ""


class Service(Controller):
    """Our unit file, with this build's program and a configuration of the test's."""

    def start(self):
        self.units = self.folder / "units"
        self.units.mkdir(exist_ok=True)
        self._write_units()
        boot = BOOT.format(units=self.units, systemd=SYSTEMD)
        with open(self.folder / "systemd.log", "ab") as log:
            self.process = subprocess.Popen(
                self.netns.command(
                    "unshare", "--fork", "--pid", "--mount", "--mount-proc", "--uts", "--ipc", "--kill-child",
                    "bash", "-c", boot,
                ),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(lambda: self.show("ActiveState") == "active", "the service to be active", seconds=60)
        return self

    def _write_units(self):
        cpus = sorted(os.sched_getaffinity(0))
        lcores = f"0@{cpus[0]},1@{cpus[1 % len(cpus)]}"
        (self.units / UNIT).write_text((TOP / "config" / UNIT).read_text())
        drop_in = self.units / f"{UNIT}.d"
        drop_in.mkdir(exist_ok=True)
        (drop_in / "test.conf").write_text(
            textwrap.dedent(f"""\
            [Unit]
            DefaultDependencies=no
            [Service]
            ExecStart=
            ExecStart={self.build}/app/dpdk-virtnet --lcores {lcores} --no-huge -m 256 --no-pci --iova-mode=va \\
                --file-prefix {self.prefix} -- --config {self.config_path} --fdstore
            StandardOutput=append:{self.log_path}
            StandardError=append:{self.log_path}
            RestartSec=100ms
            """)
        )
        (self.units / "default.target").write_text(
            f"[Unit]\nDefaultDependencies=no\nRequires={UNIT}\nAfter={UNIT}\n"
        )
        for target in ("basic", "sysinit", "shutdown", "network", "network-online", "multi-user"):
            (self.units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")

    def init(self):
        """systemd's process id outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def systemctl(self, *words, seconds=60, check=True):
        done = subprocess.run(
            ["nsenter", "-t", str(self.init()), "-a", "systemctl", *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"systemctl {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, what):
        assert self.process.poll() is None, (self.folder / "systemd.log").read_text()
        if not self.init():
            return ""
        return self.systemctl("show", "-P", what, UNIT, check=False).strip()

    def main_pid(self):
        """The keeper's process id outside."""
        inside = self.show("MainPID")
        for status in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                ids = re.search(r"^NSpid:\s+(.*)$", status.read_text(), re.M)
                if ids and ids[1].split()[-1] == inside and len(ids[1].split()) > 1:
                    return int(ids[1].split()[0])
        raise AssertionError(f"no process {inside}")

    def processes(self):
        """All processes of the controller, as ps has them, outside's numbers."""
        listing = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        return [line for line in listing.splitlines() if self.prefix in line and "dpdk-virtnet" in line]

    def stop(self):
        """Ask systemd to stop it: every process has to be gone."""
        self.systemctl("stop", UNIT)
        assert not self.processes(), "processes are left"
        self.check_log()

    def close(self):
        try:
            if self.process is not None and self.process.poll() is None and self.init():
                self.stop()
        finally:
            if self.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.init() or self.process.pid, 9)
                self.process.wait(10)
            self._remove_cgroups()
            self.netns.delete()
            shutil.rmtree(f"/var/run/dpdk/{self.prefix}", ignore_errors=True)

    @staticmethod
    def _remove_cgroups():
        """What systemd made for itself; those of another systemd are not empty and stay."""
        for scope in ("system.slice", "init.scope"):
            for top in Path("/sys/fs/cgroup").glob(f"*/{scope}"):
                for folder in [*sorted((p for p in top.rglob("*") if p.is_dir()), reverse=True), top]:
                    with contextlib.suppress(OSError):
                        folder.rmdir()
