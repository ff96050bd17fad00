# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A controller process of our own, in a network namespace of its own."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from .cli import Cli
from .netns import Netns
from .wait import wait_until

SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|SUMMARY: .*Sanitizer|runtime error:")
SERIAL = "MT2611X00001"


class Device:
    """What hotplug told about a device, and where a VM connects to it."""

    def __init__(self, reply, controller):
        self.reply = reply
        self.id = reply["id"]
        self.vuid = reply["vuid"]
        self.bdf = reply["bdf"]
        self.mac = reply["mac"]
        self.representor = reply["sf_rep_net_device"]
        self.socket = controller.folder / f"{self.vuid}.sock"


class Controller:
    """dpdk-virtnet with a temporary configuration and an EAL file prefix of its own."""

    numbers = itertools.count(1)

    def __init__(
        self, build, folder, hosts=(), config=None, options=(), environment=None, memory=512, settings=None
    ):
        self.build = Path(build)
        self.folder = Path(folder)
        self.prefix = f"virtnet-test-{os.getpid()}-{next(self.numbers)}"
        self.netns = Netns("ctl")
        self.log_path = self.folder / f"{self.prefix}.log"
        self.config_path = self.folder / f"{self.prefix}.conf"
        config = config or {**self.default_config(hosts), **(settings or {})}
        self.config_path.write_text(json.dumps(config, indent=4))
        self.cli = Cli(self.prefix, self.build)
        self.options = [*map(str, options)]  # behind the configuration
        self.environment = environment or {}
        self.memory = memory  # MiB
        self.process = None

    def default_config(self, hosts):
        return {
            "ib_dev_p0": "mlx5_0",
            "platform": {
                "serial": SERIAL,
                "socket_dir": str(self.folder),
                "ports": [{"name": "mlx5_0", "pci_addr": "0000:03:00.0", "mtu": 9216}],
                **({"hosts": list(hosts)} if hosts else {}),
            },
        }

    def start(self):
        """Start it and wait until it takes commands."""
        old_log = self.log()
        cpus = sorted(os.sched_getaffinity(0))
        # Workers stay clear of the first core, where the control core and most of QEMU run.
        lcores = f"0@{cpus[0]},1@{cpus[1 % len(cpus)]}"
        with open(self.log_path, "ab") as log:
            self.process = self.spawn(
                self.netns.command(
                    self.build / "app" / "dpdk-virtnet", "--lcores", lcores, "--no-huge", "-m", self.memory,
                    "--no-pci", "--iova-mode=va", "--file-prefix", self.prefix, "--", "--config", self.config_path,
                    *self.options,
                ),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.environment},
            )  # fmt: skip
        wait_until(lambda: self._ready(old_log), "the controller to be ready", seconds=60)
        return self

    def spawn(self, command, **options):
        """How the process is started; services have managers for that."""
        return subprocess.Popen(command, **options)

    def _ready(self, old_log):
        assert self.process.poll() is None, f"the controller ended at its start:\n{self.log()}"
        return "controller is ready" in self.log()[len(old_log):]

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def hotplug(self, *options, mac="0C:C4:7A:FF:22:93", mtu=1500, pairs=1, size=1024):
        """Plug a device with the options that a user must give, and more."""
        reply = self.cli.good(
            "hotplug", "-i", "mlx5_0", "-m", mac, "-t", mtu, "-qp", pairs, "-s", size, *options
        )
        return Device(reply, self)

    def stop(self):
        """SIGTERM; a clean end means status 0, no sanitizer's report, and nothing left behind."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the controller did not end within 30 s of SIGTERM:\n{self.log()[-3000:]}") from None
        assert status == 0, f"the controller ended with {status}:\n{self.log()[-3000:]}"
        self.check_log()
        assert not list(self.folder.glob("*VNET*.sock")), "sockets of devices are left"
        assert not self.netns.links(), "representors are left"
        assert not Path(f"/var/run/dpdk/{self.prefix}/dpdk_telemetry.v2").exists(), "the telemetry socket is left"

    def check_log(self):
        assert not SANITIZER.search(self.log()), f"a sanitizer's report:\n{self.log()[-6000:]}"

    def close(self):
        """Stop it if a test has not done so, and remove its namespace in any case."""
        try:
            if self.alive():
                self.stop()
            elif self.process is not None:
                self.check_log()
        finally:
            self.netns.delete()
            shutil.rmtree(f"/var/run/dpdk/{self.prefix}", ignore_errors=True)
