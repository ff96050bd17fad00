# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A guest: the quick start's VM with what tests ask of it."""

import json
import re
import shlex

from guestvm import BOOT_SECONDS, GuestVM, VMError  # pylint: disable=import-error

from .wait import wait_until

__all__ = ["BOOT_SECONDS", "Guest", "VMError"]

# What a guest's kernel prints when a device drives it mad.
KERNEL_TROUBLE = re.compile(r"Kernel panic|BUG:|Oops|WARNING: CPU|Call Trace|soft lockup|blocked for more than")


class Guest(GuestVM):
    """A VM whose network devices are found by their MAC."""

    def netdev(self, mac, seconds=30):
        """Name of the network device with that MAC, once the driver has made it."""
        find = f"grep -lix {mac} /sys/class/net/*/address | cut -d/ -f5"
        return wait_until(lambda: self.run(find, check=False).strip(), f"a network device {mac} in the guest", seconds)

    def pci_of(self, netdev):
        """PCI address (with domain) of a network device."""
        # The network device is a child of the virtio device, which is a child of the PCI function.
        return self.run(f"basename $(readlink -f /sys/class/net/{netdev}/device/..)").strip()

    def up(self, netdev, address):
        self.run(f"ip address flush dev {netdev}; ip address add {address} dev {netdev} && ip link set {netdev} up")

    def ping(self, address, options="-c 3 -i 0.2 -W 2"):
        output = self.run(f"ping {options} {address}", seconds=60, check=False)
        assert " 0% packet loss" in output, output
        return output

    def background(self, command):
        """Start a shell command that goes on after this call."""
        self.run(f"setsid bash -c {shlex.quote(command)} > /dev/null 2>&1 &")

    def statistics(self, netdev):
        return json.loads(self.run(f"ip -j -s link show {netdev}"))[0]["stats64"]

    def check_kernel(self):
        """A guest's kernel that complained is a failed test, whatever else worked."""
        log = self.run("dmesg", check=False)
        assert not KERNEL_TROUBLE.search(log), log[-4000:]
