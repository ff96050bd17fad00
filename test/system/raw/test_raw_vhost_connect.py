# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Devices over vhost-user whose client listens: the controller is the one that connects."""

import os

import pytest

from conftest import lab_for
from packet_socket import PacketSocket
from test_raw_vhost import both_ways
from vhost_driver import VhostNet
from virtnet_test.vhost_user import Client

MAC = "0C:C4:7A:FF:22:0B"


@pytest.fixture(name="lab_connecting", scope="module")
def fixture_lab_connecting(request):
    lab = lab_for(request, vhost_mode="client")
    yield lab.ready()
    lab.close()


@pytest.fixture(name="device_connecting", scope="module")
def fixture_device_connecting(lab_connecting):
    """Nobody listens when it is plugged."""
    return lab_connecting.plug(MAC, "--transport", "vhost_user")


@pytest.fixture(name="listening")
def fixture_listening(device_connecting):
    client = Client(device_connecting.socket, listen=True).negotiate()
    yield client
    client.close()
    os.unlink(device_connecting.socket)


@pytest.fixture(name="far_connecting")
def fixture_far_connecting(lab_connecting, device_connecting):
    far = PacketSocket(lab_connecting.controller.process.pid, device_connecting.representor)
    far.drain()
    yield far
    far.close()


def test_client_that_listens_is_found(listening, far_connecting, device_connecting):
    driver = VhostNet(listening)
    driver.start()
    both_ways(driver, far_connecting, device_connecting)
    driver.close()


def test_connection_is_made_again_whenever_it_ends(listening, far_connecting, device_connecting):
    for round_ in range(3):
        listening.sock.close()
        listening.accept()
        listening.regions = {}
        listening.negotiate()
        driver = VhostNet(listening)
        driver.start()
        both_ways(driver, far_connecting, device_connecting, b"round %d" % round_)
        driver.close()


def test_message_that_is_malformed_costs_the_connection_alone(listening, lab_connecting):
    listening.send_raw(bytes(12))
    assert listening.disconnected()
    listening.accept()
    listening.negotiate()
    assert listening.queue_pairs() == 2
    lab_connecting.check()


def test_device_is_unplugged_while_its_client_is_away(lab_connecting):
    other = lab_connecting.plug("0C:C4:7A:FF:22:0C", "--transport", "vhost_user")
    lab_connecting.controller.cli.good("unplug", "-p", str(other.id))
    assert not os.path.exists(other.socket)
    lab_connecting.check()
