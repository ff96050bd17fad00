# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""DPDK's virtio-user as a vhost-user client: testpmd on a device whose SF sends back what it gets."""

import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from virtnet_test.group import Group
from virtnet_test.vhost import ConnectingController, VhostController
from virtnet_test.wait import wait_until

pytestmark = pytest.mark.skipif(shutil.which("dpdk-testpmd") is None, reason="dpdk-testpmd is not installed")

# The ring paths of a virtio-user port.
PATHS = {
    "split": "mrg_rxbuf=0,in_order=0",
    "split, mergeable": "mrg_rxbuf=1,in_order=0",
    "split, in order": "mrg_rxbuf=0,in_order=1",
    "split, in order, mergeable": "mrg_rxbuf=1,in_order=1",
    "split, vectorised": "mrg_rxbuf=0,in_order=0,vectorized=1",
    "packed": "packed_vq=1,mrg_rxbuf=0,in_order=0",
    "packed, mergeable": "packed_vq=1,mrg_rxbuf=1,in_order=0",
    "packed, in order": "packed_vq=1,mrg_rxbuf=0,in_order=1",
    "packed, in order, mergeable": "packed_vq=1,mrg_rxbuf=1,in_order=1",
    "packed, vectorised": "packed_vq=1,mrg_rxbuf=0,in_order=1,vectorized=1",
}
MEMORY = 256  # MiB


class LoopController(VhostController):
    def default_config(self, hosts):
        config = super().default_config(hosts)
        config["platform"]["sf"] = "loop"
        return config


class ConnectingLoopController(LoopController):
    mode = ConnectingController.mode


class Testpmd:
    """A port that sends back what comes; commands on its console."""

    numbers = itertools.count(1)
    __test__ = False

    def __init__(self, folder, sock, options="", queues=1, pmd=""):
        self.log_path = Path(folder) / f"testpmd{next(self.numbers)}.log"
        cpus = sorted(os.sched_getaffinity(0))
        # Its poller has the core that the controller's worker does not have.
        lcores = f"0@{cpus[1 % len(cpus)]},1@{cpus[0]}"
        vdev = ",".join(word for word in (f"net_virtio_user0,path={sock},queue_size=256,queues={queues}", options) if word)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["stdbuf", "-o0", "dpdk-testpmd", "--lcores", lcores, "--no-huge", "-m", str(MEMORY), "--iova-mode=va", "--no-pci",
                 "--no-telemetry", f"--file-prefix=tp{os.getpid()}-{self.log_path.stem}", "--vdev", vdev, "--",
                 "--no-mlockall", "--nb-cores=1", "--total-num-mbufs=8192", "-i", f"--rxq={queues}",
                 f"--txq={queues}", *pmd.split()],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.wait_for("testpmd>")

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_for(self, text, since=0, seconds=60):
        def there():
            assert self.process.poll() is None, f"testpmd ended:\n{self.log()[-3000:]}"
            return text in self.log()[since:]

        wait_until(there, f"testpmd: {text}", seconds)

    def tell(self, command, until="testpmd>"):
        since = len(self.log())
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()
        self.wait_for(until, since)
        return self.log()[since:]

    def packets(self):
        """(received, sent) of port 0."""
        text = self.tell("show port stats 0", "TX-packets:")
        wait_until(lambda: "Tx-pps" in self.log()[-2000:], "the statistics")
        text = self.log()[-2000:]
        return tuple(int(re.findall(rf"{way}-packets:\s*(\d+)", text)[-1]) for way in ("RX", "TX"))

    def circulates(self):
        """Packets go round: more and more are received."""
        before, _ = self.packets()
        wait_until(lambda: self.packets()[0] > before + 1000, "packets to go round", 30, pause=0.2)

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.write(b"stop\nquit\n")
            self.process.stdin.flush()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.stdin.close()

    def kill(self):
        self.process.kill()
        self.process.wait()


class Bench:
    """A controller with one device, and the clients that come to it."""

    def __init__(self, build, kind=LoopController):
        self.folder = Path(tempfile.mkdtemp(prefix="virtnet-test-", dir="/tmp"))
        self.clients = []
        self.controller = kind(build, self.folder, memory=256)
        self.controller.start()
        self.group = Group(self.controller)

    def client(self, *arguments, **options):
        made = Testpmd(self.folder, *arguments, **options)
        self.clients.append(made)
        return made

    def close(self):
        try:
            for client in self.clients:
                client.end()
            self.controller.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def bench(request, build):
    made = Bench(build, getattr(request, "param", LoopController))
    yield made
    made.close()


@pytest.mark.parametrize("options", PATHS.values(), ids=PATHS.keys())
def test_every_ring_path_with_port_restarts(bench, options):
    device = bench.controller.hotplug(size=256)
    pmd = bench.client(device.socket, options)
    for _ in range(3):
        pmd.tell("start tx_first 1")
        pmd.circulates()
        pmd.tell("stop", "Done.")
        pmd.tell("port stop 0", "Done")
        pmd.tell("port start 0", "Done")
    assert bench.controller.log().count("host connected") == 1


def test_two_queue_pairs(bench):
    device = bench.controller.hotplug(size=256, pairs=2)
    pmd = bench.client(device.socket, queues=2)
    pmd.tell("start tx_first 1")
    pmd.circulates()
    queues = {
        int(queue["index"]): int(queue["received_desc"])
        for queue in bench.controller.cli.device(device.id)["enabled-queues-info"]
    }
    assert queues[1] > 0 and queues[3] > 0, queues


@pytest.mark.parametrize("options", ["", "packed_vq=1"], ids=["split", "packed"])
def test_crash_and_restart_go_unseen(bench, options):
    device = bench.controller.hotplug(size=256)
    pmd = bench.client(device.socket, options)
    # A crash may cost a burst of received packets (32); more than that go round.
    pmd.tell("start tx_first 7")
    for _ in range(3):
        pmd.circulates()
        bench.group.standby()
        os.kill(bench.group.active(), signal.SIGKILL)
    pmd.circulates()
    bench.group.standby()
    assert bench.controller.cli("restart").status == 0
    pmd.circulates()
    assert "host disconnected" not in bench.controller.log()


def test_client_dies_and_the_next_one_starts_from_scratch(bench):
    device = bench.controller.hotplug(size=256)
    first = bench.client(device.socket)
    first.tell("start tx_first 1")
    first.circulates()
    first.kill()
    wait_until(lambda: "host disconnected" in bench.controller.log(), "the controller to notice")
    second = bench.client(device.socket, "packed_vq=1")
    second.tell("start tx_first 1")
    second.circulates()


@pytest.mark.parametrize("bench", [ConnectingLoopController], indirect=True, ids=["virtio-user listens"])
def test_controller_comes_back_to_a_client_that_listens(bench):
    sock = bench.folder / "MT2611X00001VNETS1D0F0.sock"
    device = bench.controller.hotplug(size=256)
    assert device.socket == sock
    pmd = bench.client(sock, "server=1")
    pmd.tell("start tx_first 1")
    pmd.circulates()
    bench.controller.process.kill()
    bench.controller.process.wait()
    bench.controller.start()
    bench.controller.hotplug(size=256)
    pmd.tell("stop", "Done.")
    pmd.tell("start tx_first 1")
    pmd.circulates()
