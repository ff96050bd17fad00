# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""What a process that has taken up a client's device still holds when the client needs it no more."""

import contextlib
import os
import signal

import pytest

from conftest import connect
from packet_socket import frame
from test_raw_traffic import exchange
from virtio_driver import (BASIC_FEATURES, CTRL_OK, F_CTRL_GUEST_OFFLOADS, F_GUEST_CSUM, wait_for)
from virtnet_test.group import Group

MB = 1 << 20
IOVA = 1 << 32
CLASS_GUEST_OFFLOADS = 5


@pytest.fixture(name="group")
def fixture_group(lab):
    return Group(lab.controller)


@pytest.fixture(name="memory")
def fixture_memory():
    """A file with a name that no other client's has."""
    fd = os.memfd_create("adopted")
    os.ftruncate(fd, 4 * MB)
    yield fd
    os.close(fd)


def crash(group):
    """Kill the active process. Returns the one that takes its place."""
    group.standby()
    former = group.active()
    os.kill(former, signal.SIGKILL)
    return wait_for(lambda: next((pid for pid in [group.active()] if pid != former), None), "successor", 20)


def links(pid):
    """What its descriptors lead to."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[fd] = os.readlink(f"/proc/{pid}/fd/{fd}")
    return found


def holds(pid, name):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return any(name in link for link in links(pid).values()) or name in maps.read()


def unmap(client):
    client.dma_unmap(IOVA, MB)
    client.dma_unmap(2 * IOVA, MB)


@pytest.mark.parametrize("end", [unmap, lambda client: client.close()], ids=["unmaps", "leaves"])
def test_a_clients_memory_is_free_when_it_takes_it_back_after_a_crash(group, device, memory, end):
    with connect(device.socket) as client:
        client.dma_map(IOVA, MB, memory)
        client.dma_map(2 * IOVA, MB, memory, offset=MB)
        successor = crash(group)
        client.info()  # it is served again

        assert holds(successor, "memfd:adopted")
        assert not any("memfd:adopted" in link for link in links(successor).values()), "mapped, and nothing else"
        end(client)

        for pid in successor, group.keeper():
            wait_for(lambda pid=pid: not holds(pid, "memfd:adopted"), "end of the client's memory", 20)


def test_a_successor_holds_no_more_files_than_its_predecessor(group):
    def files(pid):
        return sorted(link for link in links(pid).values() if "memfd:" in link)

    before = files(group.active())
    successor = crash(group)

    assert files(successor) == before


def test_a_file_that_was_truncated_costs_its_own_ranges(group, driver, memory, far):
    driver.start()
    driver.client.dma_map(IOVA, MB, memory)
    os.ftruncate(memory, 0)

    crash(group)

    wait_for(driver.needs_reset, "sign that something is lost", 20)
    driver.start()  # on memory that it does not map again
    driver.send(frame("ff:ff:ff:ff:ff:ff", b"here I am" + bytes(60)))
    assert b"here I am" in far.receive()
    driver.client.dma_unmap(IOVA, MB)


@pytest.mark.parametrize("offloads", [0, F_GUEST_CSUM], ids=["off", "on"])
def test_what_the_driver_takes_is_known_to_a_successor(group, driver, far, device, lab, offloads):
    driver.start(BASIC_FEATURES | F_GUEST_CSUM | F_CTRL_GUEST_OFFLOADS)
    assert driver.control(CLASS_GUEST_OFFLOADS, 0, offloads.to_bytes(8, "little")) == CTRL_OK
    crash(group)
    shown = lab.controller.cli.device(device.id, "-b", "--dbg_stats")
    assert int(shown["guest_offloads"]["value"], 16) == offloads
    exchange(driver, far, device.mac)
    assert driver.control(CLASS_GUEST_OFFLOADS, 0, bytes(8)) == CTRL_OK
    exchange(driver, far, device.mac)
