# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The driver's side: DPDK's virtio-user for vhost-user, our own driver for vfio-user; both take the same commands."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machine import raise_group
from servers import cpus

F_MRG_RXBUF = 1 << 15
F_RING_PACKED = 1 << 34
F_IN_ORDER = 1 << 35


@dataclass(frozen=True)
class Layout:
    """How a ring is laid out, and whether DPDK's driver takes its vectorised functions."""

    packed: bool = False
    mergeable: bool = False
    in_order: bool = False
    vector: bool = False

    @property
    def name(self):
        words = ["packed" if self.packed else "split"]
        words += ["mrg"] if self.mergeable else []
        words += ["inorder"] if self.in_order else []
        words += ["vec"] if self.vector else []
        return "-".join(words)

    def devargs(self):
        return (f"packed_vq={self.packed:d},mrg_rxbuf={self.mergeable:d},in_order={self.in_order:d},"
                f"vectorized={self.vector:d}")  # fmt: skip

    def features(self):
        return F_RING_PACKED * self.packed | F_MRG_RXBUF * self.mergeable | F_IN_ORDER * self.in_order


def layouts():
    """All that differ: where DPDK's driver has no vectorised function, asking for one changes nothing."""
    plain = [Layout(packed, mergeable, in_order) for packed in (False, True) for mergeable in (False, True)
             for in_order in (False, True)]  # fmt: skip
    return plain + [
        Layout(vector=True),
        Layout(packed=True, in_order=True, vector=True),
        Layout(packed=True, mergeable=True, in_order=True, vector=True),  # sends so, receives not
    ]


class Client:
    """A program that runs what it is told, line by line."""

    def __init__(self, command, nice):
        self.folder = Path(tempfile.mkdtemp(prefix="virtnet-perf-"))
        self.log_path = self.folder / "client.log"
        self.command = [str(word) for word in self.adapt(command)]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            text=True, start_new_session=True)  # fmt: skip
        raise_group(self.process.pid, nice)
        self._answer()

    def adapt(self, command):
        """How the program is started."""
        return command

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, f"{self.command[0]} has ended:\n{self.log_path.read_text(errors='replace')[-3000:]}"
        return line

    def run(self, mode, size, seconds, rate=0):
        self.process.stdin.write(f"run {mode} {size} {seconds} {rate:.0f}\n")
        self.process.stdin.flush()
        return json.loads(self._answer())

    def close(self):
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        finally:
            self._closed()
            shutil.rmtree(self.folder)

    def _closed(self):
        pass


class VirtioUser(Client):
    """DPDK's driver, over vhost-user."""

    def __init__(self, build, path, layout, queue_size, nice, more=""):
        self.prefix = f"virtnet-perf-{os.getpid()}-client"
        devargs = f"net_virtio_user0,path={path},queues=1,queue_size={queue_size},{layout.devargs()}"
        super().__init__([
            Path(build) / "test" / "perf" / "virtnet-perf-dpdk", "--lcores", f"0@{cpus()[0]}", "--no-huge", "-m", "128",
            "--iova-mode=va", "--no-pci", "--no-telemetry", "--file-prefix", self.prefix,
            "--log-level=pmd.net.virtio.init:info", "--force-max-simd-bitwidth=512",
            "--vdev", f"{devargs},{more}" if more else devargs, "--", "--commands", "--queue-size", queue_size,
        ], nice)  # fmt: skip

    def paths(self):
        """What the driver says of the functions that it has chosen."""
        return re.findall(r"virtio: using (.*) path on port", self.log_path.read_text(errors="replace"))

    def _closed(self):
        shutil.rmtree(f"/var/run/dpdk/{self.prefix}", ignore_errors=True)


class VfioUser(Client):
    """Our own driver, over vfio-user."""

    def __init__(self, build, path, layout, queue_size, nice):
        super().__init__([
            Path(build) / "test" / "perf" / "virtnet-perf", "--commands", "--cpu", cpus()[0], "--queue-size", queue_size,
            "--features", hex(layout.features()), path,
        ], nice)  # fmt: skip

    def paths(self):
        return []
