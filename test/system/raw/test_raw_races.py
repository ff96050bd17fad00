# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Two things at once: memory, rings and devices that go while a worker still has them.

The controller of these tests polls rings for a second after their last frame, so that a worker is
always at them. Where the moment matters the worker is stopped like in a debugger: what waits for it
stays under way until it goes on.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import time

import pytest

import pci_config as pci
import vfio_user_client as vu
from conftest import connect, lab_for
from packet_socket import frame
from test_raw_traffic import BROADCAST, exchange
from virtio_driver import (CFG_COMMON, COMMON, CTRL_OK, DESC_WRITE, RX, TX, GuestMemory, NothingCame, VirtioNet,
                           wait_for)
from virtnet_test.group import Group
from virtnet_test.procs import threads

POLL_US = 1000000  # the most that the configuration takes
STEP_S = 0.03  # for the control core to get to what it has been sent
LOOP_S = 1.5
CLASS_MQ = 4
NO_ANSWER = b"\xee"

PTRACE_DETACH = 17
PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
WAIT_ALL = 0x40000000  # __WALL: threads as well


@pytest.fixture(scope="module", name="lab_of_session")
def fixture_lab_of_session(request):
    """A controller of this file's own, for all the fixtures that build on it."""
    lab = lab_for(request, idle_us=POLL_US)
    yield lab
    lab.close()


@pytest.fixture(name="doomed")
def fixture_doomed(request):
    """A lab for a test that ends the controller."""
    lab = lab_for(request, idle_us=POLL_US).ready()
    yield lab
    lab.close(orderly=False)


@contextlib.contextmanager
def held_worker(controller):
    """The worker lcore stands still within."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long] * 4

    def ptrace(request, thread):
        if libc.ptrace(request, thread, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    names = threads(Group(controller).active(), "comm")
    worker, = [thread for thread, name in names.items() if name.startswith("rte-worker")]
    ptrace(PTRACE_SEIZE, worker)
    try:
        ptrace(PTRACE_INTERRUPT, worker)
        os.waitpid(worker, WAIT_ALL)
        yield
    finally:
        ptrace(PTRACE_DETACH, worker)


class Telemetry:
    """Commands without a process for each, and without waiting for the answer."""

    def __init__(self, controller):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(f"/var/run/dpdk/{controller.prefix}/dpdk_telemetry.v2")
        self.sock.recv(4096)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, text):
        self.sock.send(text.encode())
        time.sleep(STEP_S)

    def succeeds(self):
        reply, = json.loads(self.sock.recv(1 << 16)).values()
        assert reply["errno"] == 0, reply


def unmap_begins(memory):
    """DMA_UNMAP, without waiting for the answer."""
    memory.client.send(vu.DMA_UNMAP, vu.dma_unmap_body(memory.iova, memory.size))
    time.sleep(STEP_S)


def unmap_ends(memory):
    """The answer has come: from now on nobody writes there."""
    reply = memory.client.receive()
    assert (reply.command, reply.failed) == (vu.DMA_UNMAP, False)
    memory.map[:] = b"\xa5" * memory.size
    return reply


def comes_back(driver, far, device):
    """Memory that was unmapped is mapped again, and a driver starts."""
    driver.client.dma_map(driver.memory.iova, driver.memory.size, driver.memory.fd)
    driver.start()
    far.drain()
    exchange(driver, far, device.mac)


def running(device):
    """A driver on a device of its own whose rings are with the worker."""
    client = connect(device.socket)
    driver = VirtioNet(client, GuestMemory(client), GuestMemory(client, iova=0x80000000)).start()
    driver.send(frame(BROADCAST, bytes(60)))
    return driver


# --- control queue --------------------------------------------------------------------------------

def test_command_under_way_when_bus_mastering_ends_is_answered_when_it_is_back(driver, far, device, lab):
    driver.start(pairs=2)
    exchange(driver, far, device.mac)  # before that, commands would wait as well
    client = driver.client
    command = client.read(vu.REGION_CONFIG, pci.COMMAND, 2)
    stopped = bytes([command[0] & ~pci.COMMAND_MASTER]) + command[1:]
    out = driver.store(struct.pack("<BBH", CLASS_MQ, 0, 2))
    ack = driver.store(NO_ANSWER)
    with held_worker(lab.controller):
        driver.submit(driver.ctrl, [(out, 4, 0), (ack, 1, DESC_WRITE)])
        time.sleep(STEP_S)
        client.send(vu.REGION_WRITE, vu.access_body(vu.REGION_CONFIG, pci.COMMAND, 2) + stopped)
        time.sleep(STEP_S)
    assert not client.receive().failed
    wait_for(lambda: lab.controller.cli.device(device.id)["ctrl_mq"] == "2", "two pairs")
    assert driver.buffers.read(ack, 1) == NO_ANSWER, "written to memory without bus mastering"
    client.write(vu.REGION_CONFIG, pci.COMMAND, command)
    driver.wait_used(driver.ctrl, "answer to the command")
    assert driver.buffers.read(ack, 1) == bytes([CTRL_OK])


# --- memory ---------------------------------------------------------------------------------------

def test_rings_unmapped_and_mapped_in_a_loop_under_traffic(driver, far, device):
    driver.start()
    exchange(driver, far, device.mac)
    memory = driver.memory
    end = time.monotonic() + LOOP_S
    while time.monotonic() < end:
        for _ in range(16):
            far.send(frame(device.mac, bytes(100)))
            memory.unmap()
            driver.client.dma_map(memory.iova, memory.size, memory.fd)
        driver.send(frame(BROADCAST, bytes(60)))
        with contextlib.suppress(NothingCame):
            driver.receive(wanted=lambda data: False, timeout_s=0)
    assert not driver.needs_reset()
    far.drain()
    exchange(driver, far, device.mac)


def test_unmap_of_rings_waits_for_the_worker(lab, driver, far, device):
    driver.start()
    exchange(driver, far, device.mac)
    with held_worker(lab.controller):
        unmap_begins(driver.memory)
        assert not driver.client.answers(0), "the worker still has the rings"
    unmap_ends(driver.memory)
    driver.client.info()
    assert driver.memory.map[:] == b"\xa5" * driver.memory.size, "written after the answer"
    comes_back(driver, far, device)


def test_unmap_while_counters_are_cleared_waits_for_the_worker(lab, driver, far, device):
    """Both need the rings back: the second must not take them for here already."""
    with Telemetry(lab.controller) as telemetry:
        for _ in range(5):
            driver.start()
            exchange(driver, far, device.mac)
            with held_worker(lab.controller):
                telemetry.send(f"/virtnet/query,pf={device.id},stats_clear=1,brief=1")
                unmap_begins(driver.memory)
                assert not driver.client.answers(0), "the worker still has the rings"
            unmap_ends(driver.memory)
            telemetry.succeeds()
            driver.kick(TX)
            driver.kick(RX)
            driver.client.info()
            assert driver.memory.map[:] == b"\xa5" * driver.memory.size, "written after the answer"
            comes_back(driver, far, device)


# --- the device itself ----------------------------------------------------------------------------

def driver_resets(driver):
    bar, start, _ = driver.registers.where[CFG_COMMON]
    driver.client.post(bar, start + COMMON["device_status"][0], b"\0")


def client_resets(driver):
    driver.client.send(vu.DEVICE_RESET)


def client_goes(driver):
    driver.client.close()


ENDINGS = [driver_resets, client_resets, client_goes]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)
def test_device_is_unplugged_at_the_moment_when(lab, ending):
    with Telemetry(lab.controller) as telemetry:
        for n in range(2):
            device = lab.plug(f"0C:C4:7A:FF:22:{0x10 + n:02X}")
            driver = running(device)
            with held_worker(lab.controller):
                ending(driver)
                time.sleep(STEP_S)
                telemetry.send(f"/virtnet/unplug,id={device.id},force=1")
            telemetry.succeeds()
            driver.client.close()
            driver.close()


@pytest.mark.parametrize("held", [True, False], ids=["held", "free"])
def test_controller_is_told_to_end_at_the_moment_when_devices_do(doomed, held):
    """All devices go with SIGTERM; each is in the middle of something else."""
    controller = doomed.controller
    drivers = [running(doomed.plug(f"0C:C4:7A:FF:22:{0x20 + n:02X}")) for n in range(len(ENDINGS))]
    with held_worker(controller) if held else contextlib.nullcontext():
        for ending, driver in zip(ENDINGS, drivers):
            ending(driver)
        time.sleep(STEP_S if held else 0)
        controller.process.send_signal(signal.SIGTERM)
        time.sleep(STEP_S)
    assert controller.process.wait(30) == 0, controller.log()[-3000:]
    controller.check_log()
    assert not list(controller.folder.glob("*VNET*.sock")), "sockets of devices are left"
    for driver in drivers:
        driver.client.close()
        driver.close()
