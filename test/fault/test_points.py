# SPDX-License-Identifier: BSD-3-Clause
# Copyright(c) 2026 The virtnet authors
"""Death at each named step of a ring update, a register access, a hand-over: a build with fault injection."""

import os
import signal
import socket

import pytest

from points import HANDED_OVER, fault_points, ways_of
from virtnet_test import vhost_user
from virtnet_test.wait import wait_until

POINTS = [(name, way) for name in fault_points() for way in ways_of(name)]
# What another kind of death may do differently is shown at one point of each kind of thread.
OTHER_ACTIONS = [
    ("vring.tx.sent", "segv"),
    ("vring.rx.copied", "abort"),
    ("vring.tx.recorded", "hang"),
    ("emu.request.stored", "segv"),
    ("device.map.begin", "hang"),
    ("vring.rx.recorded", "stop"),
    ("vring.packed.shadowed", "abort"),
    ("vring.packed.written", "stop"),
]
# Triggers during which another device changes; the one with traffic is only a witness.
OTHER_DEVICE = ("start", "disconnect", "unplug", "messages")
LOG_BYTES = 4096
ACKNOWLEDGE = 1  # of device_status


class Injection:
    """A point that is armed by making a file; whoever passes it removes the file and dies."""

    def __init__(self, folder, name, way, action="kill"):
        self.file = folder / "fault"
        self.name = name
        self.way = way
        self.deaths = way.deaths
        self.allow_ms = way.allow_ms + (2000 if action in ("hang", "stop") else 0)
        self.environment = {
            way.who: f"{name}:{way.passage}:{action}",
            "VIRTNET_FAULT_FILE": str(self.file),
        }

    def arm(self):
        self.file.touch()

    def wait_passed(self, lab, seconds=10):
        try:
            wait_until(lambda: not self.file.exists(), f"passage of {self.name}", seconds, pause=0.002)
        except AssertionError as error:
            raise AssertionError(f"{error}; {lab.generator.trouble()}") from None


# --- triggers: armed, reached, and looked after -----------------------------------------------------


def by_traffic(lab, injection):
    injection.arm()
    injection.wait_passed(lab)


def by_kill(lab, injection):
    """The standby dies while it takes over."""
    injection.arm()
    lab.strike(lab.group.active(), signal.SIGKILL, injection.allow_ms)
    injection.wait_passed(lab)


def by_restart(lab, injection):
    """Old or new process of a hand-over."""
    injection.arm()
    answer = lab.controller.cli("restart")
    injection.wait_passed(lab)
    if injection.way.deaths > 0:
        return
    if answer.status == 0:
        assert injection.name in HANDED_OVER, f"a restart whose new process died has succeeded: {answer}"
        injection.deaths = 1


def by_start(lab, injection):
    """A driver comes up."""
    injection.arm()
    other = lab.traffic_on(lab.devices[1:])
    injection.wait_passed(lab)
    other.stop()


def by_disconnect(lab, injection):
    """A host goes; the next one finds a device that works."""
    other = lab.traffic_on(lab.devices[1:])
    injection.arm()
    other.kill_itself()
    injection.wait_passed(lab)
    lab.group.active()
    lab.traffic_on(lab.devices[1:]).stop()


def by_messages(lab, injection):
    """A vhost-user client says what virtnet-fault does not; each message is answered once, by whoever lives."""
    log = os.memfd_create("log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)  # it must not shrink
    os.ftruncate(log, LOG_BYTES)
    ours, theirs = socket.socketpair()
    with vhost_user.Client(lab.devices[1].socket) as client, ours, theirs:
        client.negotiate()
        injection.arm()
        features = client.features() & ~vhost_user.F_LOG_ALL
        client.set_features(features)
        client.set_status(ACKNOWLEDGE)
        client.tell(vhost_user.SET_BACKEND_REQ_FD, fds=(theirs.fileno(),))
        client.set_log_base(log, LOG_BYTES)
        client.set_features(features | vhost_user.F_LOG_ALL)
        injection.wait_passed(lab)
        assert client.status() & ACKNOWLEDGE
    os.close(log)


def by_hotplug(lab, injection):
    """Whatever has become of the device: it is there and can be removed, or it is not there."""
    injection.arm()
    lab.controller.cli("hotplug", "-i", "mlx5_0", "-m", "0C:C4:7A:FE:FF:01", "-t", 1500, "-qp", 1, "-s", 256)
    injection.wait_passed(lab)
    known = {device.vuid for device in lab.devices}
    for entry in listed(lab):
        if entry["vuid"] not in known:
            lab.controller.cli.good("unplug", "-p", entry["pf_id"])
    lab.plug()


def by_unplug(lab, injection):
    """The device goes, at the latest when asked again."""
    subject = lab.devices.pop()
    injection.arm()
    lab.controller.cli("unplug", "-p", subject.id)
    injection.wait_passed(lab)
    wait_until(lambda: gone(lab, subject), "the end of the device", 10)


def listed(lab):
    lab.group.active()
    return lab.controller.cli.good("list")["devices"]


def gone(lab, device):
    if device.vuid not in {entry["vuid"] for entry in listed(lab)}:
        return True
    lab.controller.cli("unplug", "-p", device.id)
    return False


TRIGGERS = {
    "traffic": by_traffic, "kill": by_kill, "restart": by_restart, "start": by_start, "disconnect": by_disconnect,
    "hotplug": by_hotplug, "unplug": by_unplug, "messages": by_messages,
}  # fmt: skip


def die_at(new_lab, fault_build, folder, name, way, action="kill"):
    injection = Injection(folder, name, way, action)
    lab = new_lab(
        build=fault_build, ring=way.ring, transport=way.transport, environment=injection.environment,
        devices=2 if way.trigger in OTHER_DEVICE else 1,
    )  # fmt: skip
    lab.start_traffic(devices=lab.devices[:1])
    lab.group.standby()
    lab.generator.mark(injection.allow_ms)
    TRIGGERS[way.trigger](lab, injection)
    lab.settled(f"{name} {action} {way.trigger}".strip(), injection.allow_ms, bursts=injection.deaths)
    lab.all_there()
    lab.stop_traffic()


def test_each_point_can_be_reached():
    missing = [name for name in fault_points() if not ways_of(name)]
    assert fault_points() and not missing, f"points.py knows no way to {missing}"
    assert {name for name, _ in OTHER_ACTIONS} <= set(fault_points()), "points of OTHER_ACTIONS are no more"


@pytest.mark.parametrize("name, way", POINTS, ids=[way.named(name) for name, way in POINTS])
def test_death_at(new_lab, fault_build, tmp_path, name, way):
    die_at(new_lab, fault_build, tmp_path, name, way)


@pytest.mark.parametrize("name, action", OTHER_ACTIONS, ids=[" ".join(row) for row in OTHER_ACTIONS])
def test_other_death_at(new_lab, fault_build, tmp_path, name, action):
    die_at(new_lab, fault_build, tmp_path, name, ways_of(name)[0], action)
