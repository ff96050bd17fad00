# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""A received frame for which the driver has given too few mergeable buffers."""

import os
import struct

import pytest

from conftest import lab_for
from packet_socket import frame, is_ours
from virtio_driver import BASIC_FEATURES, DESC_WRITE, F_MRG_RXBUF, RX, NothingCame

SMALL = 200  # bytes of a buffer
PAYLOAD = os.urandom(900)


@pytest.fixture(scope="module", name="lab_of_session")
def fixture_lab_of_session(request):
    lab = lab_for(request, keys={"mrg_rxbuf": 1})
    yield lab
    lab.close()


def give(driver, count):
    """Receive buffers of which the device is not told."""
    ring = driver.rings[RX]
    for _ in range(count):
        iova = driver.buffers.allocate(SMALL)
        head = ring.add([(iova, SMALL, DESC_WRITE)])
        driver.rx_address[RX, head] = (iova, SMALL)
        ring.offer(head)


def received(driver, timeout_s=5):
    """The next frame of this test, put together from its buffers."""
    def part():
        head, length = driver.wait_used(RX, "received frame", timeout_s)
        return driver.buffers.read(driver.rx_address.pop((RX, head))[0], length)

    while True:
        data = part()
        for _ in range(struct.unpack_from("<H", data, 10)[0] - 1):
            data += part()
        if is_ours(data[len(driver.header):]):
            return data[len(driver.header):]


@pytest.fixture(name="waiting")
def fixture_waiting(driver, far, device):
    """A frame has been read from the representor; the driver has buffers for less than half of it."""
    driver.start(BASIC_FEATURES | F_MRG_RXBUF, rx_buffers=0)
    assert driver.features & F_MRG_RXBUF
    give(driver, 8)
    driver.kick(RX)
    small = frame(device.mac, b"small" + bytes(60))
    for _ in range(20):  # the first ones may come before the link is up
        far.send(small)
        try:
            received(driver, 0.5)
            break
        except NothingCame:
            pass
    while len(driver.rx_address) > 2:
        far.send(small)
        received(driver)
    far.send(frame(device.mac, PAYLOAD))
    with pytest.raises(NothingCame):
        received(driver, 0.3)
    return driver


def test_it_arrives_when_there_are_enough(waiting):
    give(waiting, 8)
    assert waiting.rings[RX].kicks_wanted()
    waiting.kick(RX)
    assert received(waiting)[14:] == PAYLOAD


def test_it_outlives_a_restart(lab, waiting):
    """The device does not look before it goes to another process: nobody has kicked."""
    give(waiting, 8)
    assert waiting.rings[RX].take_used() is None
    assert lab.controller.cli("restart").status == 0
    assert received(waiting)[14:] == PAYLOAD
