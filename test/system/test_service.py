# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""The controller as a systemd service: what restart, a crash of the keeper and stop mean for a VM."""

import os
import signal

import pytest

from virtnet_test import service
from virtnet_test.wait import wait_until

FAR = "192.0.2.1"
NEAR = "192.0.2.2"

pytestmark = pytest.mark.skipif(bool(service.missing()), reason=service.missing())


@pytest.fixture
def plugged(request, make_lab):
    """A VM with a device of a controller that is a service, and the far side."""
    lab, close = make_lab(request.node.nodeid, controller=service.Service)
    try:
        guest = lab.boot("vm1")
        device = lab.controller.hotplug("--host", "vm1", pairs=2)
        _, far = lab.connect(guest, device, "192.0.2")
        far.ping(NEAR)
        yield lab, guest, device, far
    finally:
        close()


def test_restart_of_the_service_keeps_the_vm_on_the_network(plugged):
    lab, _, device, far = plugged
    before = lab.controller.main_pid()

    lab.controller.systemctl("restart", service.UNIT)

    assert lab.controller.main_pid() != before
    far.ping(NEAR)
    assert lab.cli.device(device.id, "-b")["vuid"] == device.vuid


def test_death_of_the_keeper_keeps_the_vm_on_the_network(plugged):
    lab, _, device, far = plugged
    before = lab.controller.main_pid()

    os.kill(before, signal.SIGKILL)

    wait_until(
        lambda: lab.controller.show("ActiveState") == "active" and lab.controller.main_pid() != before,
        "systemd to start it again", seconds=30,
    )  # fmt: skip
    far.ping(NEAR)
    assert lab.cli.device(device.id, "-b")["vuid"] == device.vuid


def test_stop_of_the_service_ends_everything(plugged):
    lab, _, device, _ = plugged

    lab.controller.systemctl("stop", service.UNIT)

    assert not lab.controller.processes()
    assert device.representor not in lab.controller.netns.links()
    lab.controller.systemctl("start", service.UNIT)
    assert lab.cli.good("list")["devices"] == [], "nothing is taken up after a stop"
