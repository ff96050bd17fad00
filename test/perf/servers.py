# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The device's side of a comparison: testpmd over net_vhost, and our controller over either transport.

Both have the same ethdev behind the device and one core to move packets. All servers of a round are up at the same time;
those that are not measured rest, which means that they use no CPU.
"""

import atexit
import functools
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machine import raise_group
from virtnet_test.controller import Controller
from virtnet_test.wait import wait_until

TELEMETRY_MAX = 16384
# The simple Internet mix, in the order of load.c.
IMIX = (64, 594, 64, 64, 594, 64, 1518, 64, 594, 64, 594, 64)
PCAP_MAGIC, PCAP_VERSION, PCAP_SNAPLEN, PCAP_ETHERNET = 0xA1B2C3D4, (2, 4), 65535, 1
FRAME_MTU = 1518  # lets the largest frame pass a TAP


def cpus():
    """CPUs of the driver (with all control threads) and of the device."""
    have = sorted(os.sched_getaffinity(0))
    return have[0], have[1 % len(have)]


def lcores():
    first, second = cpus()
    return f"0@{first},1@{second}"


@functools.cache
def imix_file():
    """A capture file of IMIX, which stays until this program ends."""
    file = tempfile.NamedTemporaryFile(prefix="virtnet-perf-", suffix=".pcap")  # pylint: disable=consider-using-with
    atexit.register(file.close)
    frame = b"\xff" * 6 + b"\x02" + bytes(5) + b"\x88\xb5"
    file.write(struct.pack("<IHHiIII", PCAP_MAGIC, *PCAP_VERSION, 0, 0, PCAP_SNAPLEN, PCAP_ETHERNET))
    for size in IMIX:
        file.write(struct.pack("<IIII", 0, 0, size, size) + frame.ljust(size, b"\0"))
    file.flush()
    return file.name


@dataclass(frozen=True)
class Wire:
    """What is behind the device."""

    name: str
    vdev: str  # DPDK's; {rep}: name of the representor
    tap: bool = False

    def sized(self, size):
        """The same as a source of frames of a size; of a mixture, another PMD that reads them from a file, once."""
        source = f"net_pcap0,rx_pcap={imix_file()},infinite_rx=1" if size == "imix" else f"{self.vdev},size={size}"
        return Wire(self.name, source, self.tap)


WIRES = {
    "loop": Wire("loop", "net_ring0"),
    "tx": Wire("tx", "net_null0,no-rx=1"),
    "rx": Wire("rx", "net_null0"),
    "tap": Wire("tap", "net_tap0,iface=perftap", tap=True),
}


@dataclass
class Counters:
    """Since some time before: TSC cycles of polls that moved something, packets that were thrown away."""

    busy: int
    packets: int
    dropped: int = 0

    def __sub__(self, other):
        return Counters(self.busy - other.busy, self.packets - other.packets, self.dropped - other.dropped)


class Testpmd:
    """io forward between net_vhost and the wire."""

    name = "testpmd"
    transport = "vhost_user"

    def __init__(self, wire, nice, netns=None, options=""):
        self.folder = Path(tempfile.mkdtemp(prefix="virtnet-perf-"))
        self.socket = self.folder / "vhost.sock"
        self.netns = netns
        self.prefix = f"virtnet-perf-{os.getpid()}-{self.folder.name}"
        self.log_path = self.folder / "testpmd.log"
        self.command = [
            "stdbuf", "-oL", "dpdk-testpmd", "--lcores", lcores(), "--main-lcore", "0", "--no-huge", "-m", "256",
            "--iova-mode=va", "--no-pci", "--no-telemetry", "--file-prefix", self.prefix,
            "--vdev", f"net_vhost0,iface={self.socket},queues=1{options}", "--vdev", wire.vdev, "--", "--no-mlockall",
            "--nb-cores=1", "--total-num-mbufs=16384", "--record-core-cycles", "--forward-mode=io", "-i",
        ]  # fmt: skip
        if netns:
            self.command = netns.command(*self.command)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, errors="replace",
                start_new_session=True,
            )  # fmt: skip
        self.pid = self.process.pid
        raise_group(self.pid, nice)
        try:
            self._ask("")
        except BaseException:
            self.close()
            raise

    def _ask(self, command):
        """What a command prints: all up to the answer to another one, which always has the same line."""
        lines = []
        try:
            self.process.stdin.write(f"{command}\nshow port summary all\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # what it said at its end comes below
        for line in self.process.stdout:
            if "Number of available ports" in line:
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"testpmd has ended: {''.join(lines[-20:])}{self.log_path.read_text()[-2000:]}")

    def work(self):
        self._ask("start")

    def rest(self):
        self._ask("stop")

    def counters(self):
        text = self._ask("show fwd stats all")
        moved = dropped = 0
        for port, body in re.findall(r"Forward statistics for port (\d+) +-+\n(.*?)\n *---", text, re.S):
            figures = {key: int(value) for key, value in re.findall(r"([RT]X-\w+): +(\d+)", body)}
            dropped += figures["TX-dropped"]
            if port == "0":
                moved = figures["RX-packets"] + figures["TX-packets"]
        cycles = re.search(r"\((?:total|busy) cycles=(\d+)", text)
        return Counters(int(cycles[1]) if cycles else 0, moved, dropped)

    def close(self):
        if self.process.poll() is None:
            try:
                self.process.stdin.write("quit\n")
                self.process.stdin.close()
                self.process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(f"/var/run/dpdk/{self.prefix}", ignore_errors=True)
        shutil.rmtree(self.folder)


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


class Virtnet:
    """Our controller with one device. It rests by itself while no driver is there."""

    def __init__(self, build, transport, wire, nice, queue_size, device=()):
        self.name = f"virtnet {transport}"
        self.transport = transport
        self.folder = Path(tempfile.mkdtemp(prefix="virtnet-perf-"))
        # One process: the threads that are looked at are its own, and no standby starts meanwhile.
        self.controller = Controller(
            build, self.folder, config=self._config(wire), options=["--no-ha"]
        )
        try:
            self.controller.start()
            self.pid = self.controller.process.pid
            raise_group(self.pid, nice)
            self.device = self.controller.hotplug(*device, size=queue_size, mtu=FRAME_MTU)
            self.socket = self.device.socket
            self.netns = self.controller.netns
            if wire.tap:
                wait_until(lambda: self.device.representor in self.netns.links(), "the representor")
        except BaseException:
            self.close()
            raise

    def _config(self, wire):
        sf = {"sf": "tap"} if wire.tap else {"sf": "ethdev", "sf_args": f"devargs={wire.vdev}"}
        return {
            "packed_vq": 1,
            "mrg_rxbuf": 1,
            "platform": {"socket_dir": str(self.folder), "emu": self.transport, **sf},
        }

    def work(self):
        pass

    def rest(self):
        pass

    def counters(self):
        total = worker_counters(self.controller.prefix)
        return Counters(total["busy_cycles"], total["packets"])

    def close(self):
        try:
            self.controller.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
