# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A lab: one controller, its guests, and the networks behind its representors; made and removed together."""

import contextlib
import shutil
import tempfile
from pathlib import Path

from .controller import Controller
from .guest import BOOT_SECONDS, Guest, VMError
from .netns import Netns

ROOT_PORTS = 8
# Ten times what a boot takes if nothing else is to be done, and half as much again.
BOOT_TRIES = (40, 60)


class Lab:
    """The controller knows the VMs by name, as platform.hosts; each has free root ports rp1 to rp8."""

    def __init__(self, tools, vms=("vm1",), controller=Controller, settings=None):
        self.tools = tools
        # Short, because a unix socket's path may have 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="virtnet-test-", dir="/tmp"))
        self.guests = {}
        self.networks = []
        self.controller = None
        hosts = [
            {
                "name": name,
                "driver": "qmp",
                "qmp_socket": str(self.folder / name / "qmp.sock"),
                "root_ports": [f"rp{port}" for port in range(1, ROOT_PORTS + 1)],
            }
            for name in vms
        ]
        try:
            self.controller = controller(tools.build, self.folder, hosts, settings=settings)
            self.controller.start()
        except BaseException:
            self.close()
            raise

    @property
    def cli(self):
        return self.controller.cli

    def boot(self, name="vm1", system=None, **options):
        """Start a VM, of the usual system or of another, and wait until it runs commands."""
        for seconds in BOOT_TRIES:
            try:
                return self._boot(name, system, options, seconds)
            except VMError:
                # On a machine with much to do, a VM's serial port, over which commands go, may stop for good.
                self.guests.pop(name).kill()
                shutil.rmtree(self.folder / name, ignore_errors=True)
        return self._boot(name, system, options, BOOT_SECONDS)

    def _boot(self, name, system, options, seconds):
        guest = Guest.start(
            self.folder / name, self.tools.qemu, system or self.tools.guest, root_ports=ROOT_PORTS,
            **{"memory": 256, "cpus": 2, **options},
        )  # fmt: skip
        self.guests[name] = guest
        guest.wait_ready(seconds)
        return guest

    def network(self, device, address, mtu=None):
        """A network namespace that holds the device's representor."""
        far = Netns("far")
        self.networks.append(far)
        far.take(device.representor, self.controller.netns, address, mtu)
        return far

    def connect(self, guest, device, subnet, mtu=None):
        """Addresses on both sides: the guest has .2, the far side .1. Returns the guest's netdev and the far side."""
        far = self.network(device, f"{subnet}.1/24", mtu)
        netdev = guest.netdev(device.mac)
        guest.up(netdev, f"{subnet}.2/24")
        return netdev, far

    def keep_logs(self, where):
        where.mkdir(parents=True, exist_ok=True)
        for path in [*self.folder.glob("*.log"), *self.folder.glob("*/*.log"), *self.folder.glob("*.conf")]:
            shutil.copy(path, where / "-".join(path.relative_to(self.folder).parts))

    def close(self, logs=None):
        """Stop all of it. The controller has to end cleanly, and the guests' kernels have to be content."""
        with contextlib.ExitStack() as last:
            last.callback(shutil.rmtree, self.folder, ignore_errors=True)
            if logs:
                last.callback(self.keep_logs, logs)
            for network in self.networks:
                last.callback(network.delete)
            if self.controller:
                last.callback(self.controller.close)
            for guest in self.guests.values():
                last.callback(guest.kill)
            for guest in self.guests.values():
                if guest.alive() and guest.agent:
                    guest.check_kernel()
