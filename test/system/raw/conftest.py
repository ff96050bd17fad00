# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Fixtures of the raw-protocol tests.

One controller and two devices serve all tests: the *subject*, which tests maltreat, and the
*witness*, a device with a live driver that must pass a frame both ways after every test. A test
that brings the controller down fails, and the next one gets a new controller.
"""

import concurrent.futures
import contextlib
import errno
import json
import os
import pathlib
import shutil
import tempfile
import threading
import time

import pytest

from packet_socket import PacketSocket, frame
from pci_config import PciConfig
from vfio_user_client import Client, Disconnected, ServerError
from virtio_driver import GuestMemory, VirtioNet, wait_for
from virtnet_test import TOP
from virtnet_test.controller import Controller
from virtnet_test.group import Group

CONNECT_TIMEOUT_S = 10
SUBJECT_MAC = "0C:C4:7A:FF:22:01"
WITNESS_MAC = "0C:C4:7A:FF:22:02"
OTHER_MAC = "0C:C4:7A:FF:22:77"


def build_folder(config):
    """$VIRTNET_BUILD, else the sanitizer build, else --virtnet-build; None when nothing is built."""
    named = os.environ.get("VIRTNET_BUILD")
    for folder in [named] if named else [TOP / "build-asan", config.getoption("--virtnet-build")]:
        path = pathlib.Path(folder).resolve()
        if (path / "app" / "dpdk-virtnet").is_file():
            return path
    return None


def connect(path, **options):
    """A client. While a former one is being cleaned up, a new one is turned away: try again."""
    give_up = time.monotonic() + CONNECT_TIMEOUT_S
    while True:
        try:
            return Client(path, **options)
        except (Disconnected, ConnectionError, BlockingIOError, ServerError) as error:
            if isinstance(error, ServerError) and error.code != errno.EBUSY:
                raise
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


class Station:
    """A device, its driver and the far side of its representor."""

    def __init__(self, controller, device):
        self.device = device
        self.client = connect(device.socket)
        self.driver = VirtioNet(self.client)
        self.far = PacketSocket(controller.process.pid, device.representor)
        self.count = 0

    def check(self):
        """A frame each way."""
        self.count += 1
        payload = b"witness %d " % self.count + bytes(64)
        self.driver.send(frame("ff:ff:ff:ff:ff:ff", payload))
        received = self.far.receive()
        assert received and received[14:14 + len(payload)] == payload, "transmit path is dead"
        self.driver.receives(lambda: self.far.send(frame(self.device.mac, payload)),
                             lambda data: data[14:14 + len(payload)] == payload)

    def close(self):
        self.client.close()
        self.driver.close()
        self.far.close()


class Lab:
    """Controller, subject and witness; made anew when the controller has gone."""

    def __init__(self, build, logs, platform=None, keys=None):
        self.build = build
        self.logs = logs
        # What the configuration says beyond the usual, in its `platform` and outside of it.
        self.platform = platform or {}
        self.keys = keys or {}
        self.controller = None
        self.folder = None
        self.subject = None
        self.witness = None

    def ready(self):
        if not self.controller:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="virtnet-raw-"))
            self.controller = Controller(self.build, self.folder)
            config = self.controller.default_config(())
            config.update(self.keys)
            config["platform"].update(self.platform)
            self.controller.config_path.write_text(json.dumps(config, indent=4))
            self.controller.start()
            self.subject = self.plug(SUBJECT_MAC)
            self.witness = Station(self.controller, self.plug(WITNESS_MAC))
            self.witness.driver.start()
            self.witness.far.drain()
        return self

    def plug(self, mac, *options):
        device = self.controller.hotplug(*options, mac=mac, pairs=2, size=256)
        self.controller.netns.run(f"ip link set {device.representor} up")
        return device

    @contextlib.contextmanager
    def others_come_and_go(self):
        """Meanwhile devices are plugged and unplugged, which keeps the controller's helper busy."""
        over = threading.Event()

        def run():
            while not over.is_set():
                other = self.plug(OTHER_MAC)
                self.controller.cli.good("unplug", "-p", str(other.id))

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            others = pool.submit(run)
            try:
                yield
            finally:
                over.set()
            others.result()

    def connections(self, device):
        """Connections to a device's socket that the controller has accepted and not closed."""
        with open(f"/proc/{self.controller.process.pid}/net/unix", encoding="utf-8") as table:
            rows = [line.split() for line in table]
        # Num RefCount Protocol Flags Type St Inode Path; St 03 is SS_CONNECTED.
        return sum(row[5] == "03" and row[7:] == [str(device.socket)] for row in rows)

    def descriptors(self):
        """Number of descriptors that the controller holds: the keeper and the process that serves."""
        group = Group(self.controller)
        pids = group.keeper(), group.active()  # who is asked for it closes a connection a little later
        before = None
        while True:
            count = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
            if count == before:
                return count
            before = count
            time.sleep(0.02)

    def check(self):
        """Everybody but the subject is unharmed."""
        try:
            assert self.controller.alive(), \
                f"the controller has gone:\n{self.controller.log()[-6000:]}"
            self.controller.check_log()
            self.witness.check()
        except BaseException:
            self.close(orderly=False)
            raise

    def close(self, orderly=True):
        """The end of the controller; a leak is reported here when it is orderly."""
        controller, self.controller = self.controller, None
        if not controller:
            return
        self.witness.close()
        try:
            if orderly or controller.alive():
                controller.close()
        except AssertionError:
            if orderly:
                raise
        finally:
            if self.logs:
                os.makedirs(self.logs, exist_ok=True)
                shutil.copy(controller.log_path, self.logs)
            shutil.rmtree(self.folder, ignore_errors=True)


def lab_for(request, keys=None, **platform):
    """A Lab that is not started yet; skips the test where there cannot be one."""
    build = build_folder(request.config)
    if build is None:
        pytest.skip("no dpdk-virtnet is built (build, build-asan or $VIRTNET_BUILD)")
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and TAP devices")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("needs /dev/net/tun")
    return Lab(build, request.config.getoption("--virtnet-logs"), platform, keys)


@pytest.fixture(scope="session", name="lab_of_session")
def fixture_lab_of_session(request):
    lab = lab_for(request)
    yield lab
    lab.close()


@pytest.fixture(name="lab")
def fixture_lab(lab_of_session):
    """Running controller; afterwards it and the witness have to be well."""
    yield lab_of_session.ready()
    lab_of_session.check()


@pytest.fixture(name="device")
def fixture_device(lab):
    return lab.subject


@pytest.fixture(name="stranger")
def fixture_stranger(lab, device):
    """A connection on which nothing has been said yet."""
    wait_for(lambda: lab.connections(device) == 0, "end of the connection before")
    client = connect(device.socket, negotiate=False)
    yield client
    client.close()


@pytest.fixture(name="client")
def fixture_client(device):
    """A connection with the version negotiated."""
    client = connect(device.socket)
    yield client
    client.close()


@pytest.fixture(name="config")
def fixture_config(client):
    return PciConfig(client)


@pytest.fixture(name="driver")
def fixture_driver(client):
    """A driver that is not started yet; rings and buffers lie in two ranges of guest memory."""
    driver = VirtioNet(client, GuestMemory(client), GuestMemory(client, iova=0x80000000))
    yield driver
    driver.close()


@pytest.fixture(name="far")
def fixture_far(lab, device):
    """The far side of the subject's representor."""
    far = PacketSocket(lab.controller.process.pid, device.representor)
    far.drain()
    yield far
    far.close()


@pytest.fixture(name="reconnect")
def fixture_reconnect(device):
    """Further connections to the subject, closed at the end."""
    clients = []

    def new(**options):
        clients.append(connect(device.socket, **options))
        return clients[-1]
    yield new
    for client in clients:
        client.close()
