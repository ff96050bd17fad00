# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Network namespaces: the machine that runs the controller, and the far sides of representors."""

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess


def remove_stale():
    """Remove the namespaces of test runs that were killed."""
    for entry in json.loads(subprocess.run(["ip", "-j", "netns", "list"], capture_output=True, check=True).stdout or "[]"):
        owner = re.match(r"vt(\d+)-", entry["name"])
        if owner and not os.path.exists(f"/proc/{owner[1]}"):
            subprocess.run(["ip", "netns", "delete", entry["name"]], check=False)


class Netns:
    """A network namespace of our own; deleted with all that is in it."""

    numbers = itertools.count(1)

    def __init__(self, what="net"):
        self.name = f"vt{os.getpid()}-{next(self.numbers)}-{what}"
        self.background = []
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip link set lo up")

    def command(self, *words):
        """The words with which a program is started in here."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def run(self, command, seconds=30, check=True):
        """Output of a shell command in here."""
        done = subprocess.run(
            self.command("sh", "-c", command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, f"{command}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, *words):
        """A program in the background, ended with the namespace at the latest."""
        process = subprocess.Popen(
            self.command(*words), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self.background.append(process)
        return process

    def links(self):
        """Names of the network devices in here but loopback."""
        return [link["ifname"] for link in json.loads(self.run("ip -j link show")) if link["ifname"] != "lo"]

    def take(self, device, origin, address, mtu=None):
        """Move a representor from where the controller made it, give it an address and bring it up."""
        origin.run(f"ip link set {device} netns {self.name}")
        if mtu:
            self.run(f"ip link set {device} mtu {mtu}")
        self.run(f"ip address add {address} dev {device} && ip link set {device} up")

    def statistics(self, device):
        """Kernel counters of a device, as ip -s has them."""
        return json.loads(self.run(f"ip -j -s link show {device}"))[0]["stats64"]

    def ping(self, address, options="-c 3 -i 0.2 -W 2"):
        """Ping with Debian's busybox; a failed test if an answer is missing."""
        output = self.run(f"busybox ping {options} {address}", seconds=60, check=False)
        assert " 0% packet loss" in output, output
        return output

    def listening(self, port):
        return self.run(f"ss -Hltn sport = :{port}") != ""

    def delete(self):
        for process in self.background:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        subprocess.run(["ip", "netns", "delete", self.name], check=True)
