# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The controller as a service that is restarted, crashes and is stopped, by a service manager that is played here.

test_service.py does the same with a real systemd and a VM, where there is one.
"""

import array
import concurrent.futures
import fcntl
import os
import pathlib
import shutil
import signal
import tempfile
import termios
import time

import pytest

from conftest import OTHER_MAC, SUBJECT_MAC, WITNESS_MAC, Station, build_folder, connect
from vfio_user_client import ACTION_TRIGGER, DATA_EVENTFD, IRQ_MSIX, SET_IRQS, Disconnected, irqs_body
from virtnet_test.group import Group
from virtnet_test.service_manager import ManagedController
from virtnet_test.wait import wait_until

KILLS = 10
CONFIG_REGION = 7
VENDOR_AND_DEVICE = bytes.fromhex("f41a4110")


class Service:
    """A managed controller and two devices in use."""

    def __init__(self, build, logs):
        self.logs = logs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="virtnet-raw-"))
        self.controller = ManagedController(build, self.folder)
        self.manager = self.controller.manager
        self.stations = []
        try:
            self.controller.start()
            for mac in (SUBJECT_MAC, WITNESS_MAC):
                self.stations.append(self.plug(mac))
        except BaseException:
            self.close()
            raise

    def plug(self, mac):
        device = self.controller.hotplug(mac=mac, pairs=2, size=256)
        self.controller.netns.run(f"ip link set {device.representor} up")
        station = Station(self.controller, device)
        station.driver.start()
        station.far.drain()
        station.check()
        return station

    def vuids(self):
        return sorted(device["vuid"] for device in self.controller.cli.good("list")["devices"] if "vuid" in device)

    def close(self):
        for station in self.stations:
            station.close()
        try:
            self.controller.close()
        finally:
            if self.logs:
                os.makedirs(self.logs, exist_ok=True)
                shutil.copy(self.controller.log_path, self.logs)
            shutil.rmtree(self.folder, ignore_errors=True)


def hammer(station, interrupt, after_s):
    """Read registers without a pause, before, during and after an interruption."""
    def run():
        time.sleep(after_s)
        interrupt()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(run)
        while not done.done():
            assert station.client.read(CONFIG_REGION, 0, 4) == VENDOR_AND_DEVICE
        done.result()


def unread(sock):
    """Bytes that the other end has not taken yet."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, count)
    return count[0]


def request_that_stands(service, station, command, body, fds):
    """Send a request that the keeper takes and nobody answers: the active process is stopped."""
    os.kill(Group(service.controller).active(), signal.SIGSTOP)
    station.client.send(command, body, fds)
    wait_until(lambda: unread(station.client.sock) == 0, "the keeper to take the request", 5)
    time.sleep(0.05)  # for what it says to the service manager


@pytest.fixture(name="service")
def fixture_service(request):
    build = build_folder(request.config)
    if build is None:
        pytest.skip("no dpdk-virtnet is built (build, build-asan or $VIRTNET_BUILD)")
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        pytest.skip("needs root and /dev/net/tun")
    service = Service(build, request.config.getoption("--virtnet-logs"))
    yield service
    service.close()


def test_restart_keeps_clients_and_their_traffic(service):
    before = service.vuids()
    links = service.controller.netns.links()

    service.controller.restart()

    for station in service.stations:
        station.check()
    assert service.vuids() == before
    assert service.controller.netns.links() == links


def test_death_of_the_keeper_keeps_clients_and_their_traffic(service):
    for _ in range(3):
        service.controller.crash()
        for station in service.stations:
            station.check()


@pytest.mark.parametrize("repeated", [False, True], ids=["each once", "one for all"])
def test_request_with_eventfds_that_are_in_use_survives_the_keeper(service, repeated):
    """The manager keeps nothing twice: it holds what the request brings already, under another name."""
    subject, witness = service.stations
    fds = list(subject.driver.interrupts.values())
    if repeated:
        fds = [os.eventfd(0)] * len(fds)
    body = irqs_body(IRQ_MSIX, DATA_EVENTFD | ACTION_TRIGGER, 0, len(fds))
    request_that_stands(service, subject, SET_IRQS, body, fds)

    service.controller.crash()

    assert not subject.client.receive().failed
    if repeated:
        os.close(fds[0])
        subject.client.set_eventfds(IRQ_MSIX, 0, list(subject.driver.interrupts.values()))
    subject.check()
    witness.check()


def test_one_eventfd_for_all_vectors_survives_keeper_after_keeper(service):
    subject, witness = service.stations
    vectors = list(subject.driver.interrupts.values())
    event = os.eventfd(0, os.EFD_NONBLOCK)
    subject.client.set_eventfds(IRQ_MSIX, 0, [event] * len(vectors))

    for _ in range(3):
        service.controller.crash()
        subject.check()
        assert os.eventfd_read(event) > 0
        witness.check()

    subject.client.set_eventfds(IRQ_MSIX, 0, vectors)
    os.close(event)
    service.controller.crash()
    subject.check()
    names = service.manager.names()
    assert not [name for name in names if name != name.lower()], f"kept twice without need: {names}"


def test_devices_can_be_plugged_and_unplugged_after_a_restart(service):
    service.controller.restart()

    station = service.plug(OTHER_MAC)
    service.stations.append(station)
    service.controller.restart()
    station.check()
    service.stations.remove(station)
    station.close()
    service.controller.cli.good("unplug", "-p", station.device.id)

    service.controller.restart()
    assert len(service.vuids()) == 2
    for left in service.stations:
        left.check()


def test_client_that_connects_while_nobody_is_there_waits_for_the_next_keeper(service):
    station = service.stations.pop()
    station.close()
    wait_until(lambda: sum(name[2] == "c" for name in service.manager.names()) == 1, "the connection to be dropped")
    service.controller.process.kill()
    service.controller.ended()
    client = connect(station.device.socket, negotiate=False)  # the manager's copy of the socket listens

    service.controller.start()

    assert "capabilities" in client.negotiate()
    client.close()
    service.stations.append(Station(service.controller, station.device))
    service.stations[-1].driver.start()
    service.stations[-1].check()


def test_store_holds_what_there_is_and_nothing_else(service):
    names = service.manager.names()
    assert len(set(names)) == len(names)
    assert names.count("register") == 1
    for slot in ("00", "01"):
        for kind in "blcdkms":
            assert any(name.startswith(slot + kind) for name in names), f"{slot}{kind}: {names}"
    assert len(":".join(names)) < 10 * len(names)

    while service.stations:
        station = service.stations.pop()
        station.close()
        service.controller.cli.good("unplug", "-p", station.device.id)

    assert service.manager.names() == ["register"]
    assert service.manager.senders == {service.controller.process.pid}, "NotifyAccess=main"


def test_stop_drops_clients_and_representors(service):
    service.controller.stop()

    for station in service.stations:
        with pytest.raises((Disconnected, ConnectionError, OSError)):
            station.client.read(CONFIG_REGION, 0, 4)
    assert "STOPPING=1" in service.manager.told
    service.controller.start()
    assert service.vuids() == []


def test_device_whose_part_is_lost_is_dropped_and_reported_the_other_goes_on(service):
    subject, witness = service.stations
    service.controller.process.kill()
    service.controller.ended()
    service.manager.forget(next(name for name in service.manager.names() if name.startswith("00d")))

    service.controller.start()

    witness.check()
    assert service.vuids() == [witness.device.vuid]
    assert f"{subject.device.vuid}: does not survive the restart: client memory" in service.controller.log()
    assert not [name for name in service.manager.names() if name.startswith("00")]
    assert not subject.device.socket.exists()


def test_foreign_descriptors_are_closed_and_removed(service):
    before = service.manager.names()
    for name in ("stored", "00m1zz", "unknown"):
        service.manager.put(name, os.eventfd(0))

    service.controller.restart()

    wait_until(lambda: service.manager.names() == before, "foreign descriptors to be removed")
    for station in service.stations:
        station.check()


def test_keeper_that_dies_in_the_middle_of_requests_answers_each_once(service):
    """Also when it dies within the system call that sends an answer: the kernel has noted what is sent."""
    subject, witness = service.stations
    for number in range(KILLS):
        hammer(subject, service.controller.crash, 0.02 + 0.013 * number)
        subject.check()
        witness.check()
